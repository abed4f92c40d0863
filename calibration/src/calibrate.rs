//! A calibration as a whole: which stimuli to measure, and what the readings imply. [`Calibration::fit`] is a pure function of a
//! trace.

use std::sync::Arc;

use drivers::{Batch, Ports, Range};
use sims::{Adjustable, Key, Twin};

use crate::correction::{correct_observed, estimates_observed};
use crate::learned::{learn_part_observed, learn_stages};
use crate::linear::{as_network, least_squares};
use crate::observer::going;
use crate::physics::fit_observed;
use crate::piann::{FieldNetwork, Surrogate, Training};
use crate::saturation::within_range;
use crate::score::neighbors;
use crate::{
    Architecture, Corrected, Curves, Error, Estimate, LearnedPart, LearnedTwin, Levels, NoiseModel, NoiseSummary,
    Observer, PhysicsFit, Residual, Search, Stimuli, TimingFit, Trace, fit_levels, fit_noise, fit_timing,
};

/// Share of the stimuli that the reported residual is measured on.
const TEST_SHARE: f64 = 0.2;
/// Share of the rest that decides when a network has learned enough.
const STOP_SHARE: f64 = 0.12;
/// Gauss–Newton steps of the corrections.
const CORRECTION_STEPS: usize = 5;
/// Updates of a network of a field, shots of each, Adam's first step size, and hidden values.
const FIELD_UPDATES: usize = 3000;
const FIELD_BATCH: usize = 32;
const FIELD_RATE: f64 = 5e-3;
const FIELD_HIDDEN: usize = 32;

/// What is calibrated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Procedure {
    /// Dark level, gain, linearity, range and clipping of each port.
    Levels,
    /// Time of shots and changes, lag, settling.
    Timing,
    /// Repeatability and noise.
    Noise,
    /// The coefficients of the physical model.
    Physics,
    /// A network alone.
    Learned,
    /// A recurrent network with attention, for fields.
    Piann,
    /// The physical model with corrections and a network.
    Residual,
}

impl Procedure {
    /// What it is for, in a few words.
    pub fn about(self) -> &'static str {
        match self {
            Self::Levels => "Dark level, gain, linearity, range and clipping of each port",
            Self::Timing => "Time of shots and changes, lag, settling",
            Self::Noise => "Repeatability and noise",
            Self::Physics => "The coefficients of the physical model, with uncertainties",
            Self::Learned => "Least squares and a network alone: for any plant, without physics",
            Self::Piann => {
                "A recurrent network with attention: for plants whose inputs are a sequence and whose outputs a field"
            }
            Self::Residual => "The physical model with corrections and a network: the default",
        }
    }

    /// The name on the command line and in files.
    pub fn name(self) -> &'static str {
        match self {
            Self::Levels => "levels",
            Self::Timing => "timing",
            Self::Noise => "noise",
            Self::Physics => "physics",
            Self::Learned => "learned",
            Self::Piann => "piann",
            Self::Residual => "residual",
        }
    }
}

/// A procedure with its options.
///
/// ```
/// use std::ops::ControlFlow;
///
/// use calibration::{Calibration, Procedure, Search, Unobserved, Watch, measure};
/// use drivers::Plant;
/// use sims::{Electrical, Key, Simulated};
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let model = Electrical { samples: 16, ..Electrical::default() };
/// let mut plant = Simulated::new(model.clone().build()?.system);
/// let calibration = Calibration {
///     procedure: Procedure::Physics,
///     stimuli: 200,
///     repeats: 1,
///     per_setting: 200,
///     search: Search::default(),
///     key: Key::new(1),
/// };
/// let stimuli = calibration.stimuli(plant.ports(), None);
/// let mut watch = Watch { now: &mut || None, progress: &mut |_| ControlFlow::Continue(()) };
/// let trace = measure(&mut plant, &stimuli, 1, &mut watch)?.ok_or("nobody ended it")?;
/// let fitted = calibration.fit(&trace, None, Some(&model), &Unobserved)?;
/// let error = |residual: Option<calibration::Residual>| residual.map(|residual| residual.rmse_of_output_std);
/// assert!(error(fitted.residual) < error(fitted.nominal_residual), "the twin is nearer than before");
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct Calibration {
    /// What is calibrated.
    pub procedure: Procedure,
    /// Different stimuli.
    pub stimuli: usize,
    /// Shots of each.
    pub repeats: usize,
    /// Stimuli for each setting of the controls.
    pub per_setting: usize,
    /// How networks are searched and learned.
    pub search: Search,
    /// Draws stimuli, splits and initial weights.
    pub key: Key,
}

/// What a calibration found.
#[derive(Debug, Clone)]
pub struct Fitted {
    /// Levels of each port.
    pub levels: Levels,
    /// Times.
    pub timing: TimingFit,
    /// Noise; `None` without repeats.
    pub noise: Option<(NoiseModel, NoiseSummary)>,
    /// Coefficients, of the model or of the curves.
    pub estimates: Vec<Estimate>,
    /// The model's fit.
    pub physics: Option<PhysicsFit>,
    /// What the model leaves before anything is fitted.
    pub nominal_residual: Option<Residual>,
    /// What it leaves with fitted coefficients.
    pub physics_residual: Option<Residual>,
    /// What it leaves with corrections.
    pub corrected_residual: Option<Residual>,
    /// What plain least squares of all inputs and controls leaves, where no physics is known.
    pub linear_residual: Option<Residual>,
    /// What the resulting twin leaves; `None` where no twin is made.
    pub residual: Option<Residual>,
    /// Of what the twin is made.
    pub parts: Parts,
    /// The architecture of the network, and what it leaves of the shots that stopped it.
    pub learned: Option<(Architecture, f64)>,
    /// The twin.
    pub twin: Option<Arc<dyn Twin>>,
    /// Held-out readings and predictions, `[shots, outputs]`.
    pub held_out: Option<(Batch, Batch)>,
}

/// Of what a twin is made; all that a fit file keeps of it.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Parts {
    /// Coefficients and corrections of the model.
    pub corrected: Option<Corrected>,
    /// Curves in place of a model, as plain numbers.
    pub curves: Option<Vec<f64>>,
    /// Least squares, as a network without hidden layers: on what the curves leave, or alone.
    pub linear: Option<crate::Network>,
    /// What was learned of the rest.
    pub network: Option<crate::Network>,
    /// A network of a field, in place of all of these.
    pub field: Option<FieldNetwork>,
}

impl Parts {
    /// The twin of the plant of `card`. `None` where a model is needed and none is given, or there is nothing at all.
    pub fn twin(&self, card: &drivers::Card, model: Option<&dyn Adjustable>) -> Option<Arc<dyn Twin>> {
        if let Some(field) = &self.field {
            return Some(Arc::new(Surrogate::new(card.clone(), field.clone())));
        }
        let physics = match (&self.corrected, &self.curves) {
            (Some(corrected), _) => {
                Some(within_range(model?.adjusted(&corrected.coefficients, &corrected.corrections)))
            }
            (None, Some(curves)) => Some(Curves::from_plain(card.clone(), curves)),
            (None, None) => None,
        };
        let with = |beneath: Option<Arc<dyn Twin>>, network: &crate::Network| -> Option<Arc<dyn Twin>> {
            Some(Arc::new(LearnedTwin::new(card.clone(), beneath, network.clone())))
        };
        [&self.linear, &self.network].into_iter().flatten().fold(physics, with)
    }
}

impl Fitted {
    /// What is found before a twin is fitted.
    fn without_twin(levels: Levels, timing: TimingFit, noise: Option<(NoiseModel, NoiseSummary)>) -> Self {
        Self {
            levels,
            timing,
            noise,
            estimates: vec![],
            physics: None,
            nominal_residual: None,
            physics_residual: None,
            corrected_residual: None,
            linear_residual: None,
            residual: None,
            parts: Parts::default(),
            learned: None,
            twin: None,
            held_out: None,
        }
    }
}

impl Calibration {
    /// The stimuli to measure; half of them near the shots of `near`, where there are any.
    pub fn stimuli(&self, ports: &Ports, near: Option<&Trace>) -> Stimuli {
        let smooth = |count: usize| Stimuli::smooth(ports, count, self.per_setting, self.key.branch("smooth"));
        match near {
            None => smooth(self.stimuli),
            Some(seen) => {
                let half = self.stimuli / 2;
                let around = [self.stimuli - half, self.per_setting];
                smooth(half).and(&Stimuli::near(ports, seen, around, 0.05, self.key.branch("near")))
            }
        }
    }

    /// The settings of the controls that [`stimuli`](Self::stimuli) has, `near` a trace or not: how many, each of how many stimuli.
    pub fn settings(&self, ports: &Ports, near: bool) -> Vec<(usize, usize)> {
        let around = if near { self.stimuli - self.stimuli / 2 } else { 0 };
        let parts = [self.stimuli - around, around].into_iter().filter(|count| *count > 0);
        let of = |count: usize| {
            let each = if ports.control_count() == 0 { count } else { self.per_setting.clamp(1, count) };
            [(count / each, each), (usize::from(!count.is_multiple_of(each)), count % each)]
        };
        parts.flat_map(of).filter(|(settings, _)| *settings > 0).collect()
    }

    /// What `trace` implies, with `model` where the physics is known; `test`, or a part of the trace, measures the residual.
    pub fn fit(
        &self,
        trace: &Trace,
        test: Option<&Trace>,
        model: Option<&dyn Adjustable>,
        observer: &dyn Observer,
    ) -> Result<Fitted, Error> {
        observer.stage("levels, times and noise");
        going(observer)?;
        let noise = match fit_noise(trace, self.key.branch("noise")) {
            Err(Error::TooFew { .. }) if self.procedure != Procedure::Noise => None,
            noise => Some(noise?),
        };
        let mut fitted = Fitted::without_twin(fit_levels(trace)?, fit_timing(trace)?, noise);
        going(observer)?;
        if matches!(self.procedure, Procedure::Levels | Procedure::Timing | Procedure::Noise) {
            return Ok(fitted);
        }
        let averaged = trace.averaged();
        let (rest, part) = if let Some(test) = test {
            (averaged.trace.clone(), test.averaged())
        } else {
            let (rest, part) = trace.split(TEST_SHARE, self.key.branch("test"));
            (rest.averaged().trace, part.averaged())
        };
        let judge = Judge {
            test: &part.trace,
            ranges: rest.output_ranges(),
            repeats: mean_repeats(&part.repeats),
            noise: averaged.noise.as_deref(),
        };
        // Whether the physics is known, whatever is done with it.
        let made = match model.filter(|_| !matches!(self.procedure, Procedure::Learned | Procedure::Piann)) {
            Some(model) => self
                .physics((&rest, model), &judge, &mut fitted, observer)
                .and_then(|()| self.behind_physics(&rest, &mut fitted, observer))
                .map(|()| {
                    // Nobody has measured whether such data is of this plant at all.
                    if trace.is_foreign() {
                        fitted.linear_residual = judge.of_least_squares(&rest).ok();
                    }
                }),
            None if self.procedure == Procedure::Piann => self.field(&rest, &judge, &mut fitted, observer),
            None => self.without_physics(&rest, &judge, &mut fitted, observer),
        };
        // Of the shots of the file, not of the part that is left to learn from.
        made.map_err(|error| error.of_all(averaged.trace.shots()))?;
        let Some(twin) = &fitted.twin else { return Err(Error::NoPhysics { procedure: self.procedure.name() }) };
        let predicted = part.trace.predict(&**twin);
        fitted.residual = Some(judge.residual(&predicted));
        fitted.held_out = Some((part.trace.outputs.clone(), predicted));
        Ok(fitted)
    }

    /// Curves of the outputs that follow their own input, least squares, and a network on what these leave; as far as the procedure
    /// asks for them.
    fn without_physics(
        &self,
        rest: &Trace,
        judge: &Judge<'_>,
        fitted: &mut Fitted,
        observer: &dyn Observer,
    ) -> Result<(), Error> {
        let (train, stop) = rest.split(STOP_SHARE, self.key.branch("stop"));
        let mut curves: Option<Arc<dyn Twin>> = None;
        if self.procedure != Procedure::Learned
            && let Some((found, estimates)) = Curves::fit([&train, &stop])?
        {
            fitted.parts.curves = Some(found.plain());
            fitted.estimates = estimates;
            let twin: Arc<dyn Twin> = Arc::new(found);
            fitted.physics_residual = Some(judge.of(&*twin));
            fitted.twin = Some(twin.clone());
            curves = Some(twin);
        }
        if self.procedure == Procedure::Physics {
            return Ok(());
        }
        fitted.linear_residual = Some(judge.of_least_squares(rest)?);
        let key = self.key.branch("network");
        let stages = learn_stages([&train, &stop], curves.as_ref(), &self.search, key, observer)?;
        let LearnedPart { network, architecture, left, .. } = stages.part;
        fitted.parts = Parts { linear: Some(stages.linear), network, ..std::mem::take(&mut fitted.parts) };
        fitted.learned = Some((architecture, left));
        fitted.twin = fitted.parts.twin(&rest.card, None);
        Ok(())
    }

    /// A network of a field, from the shots alone; least squares are told beside it.
    fn field(
        &self,
        rest: &Trace,
        judge: &Judge<'_>,
        fitted: &mut Fitted,
        observer: &dyn Observer,
    ) -> Result<(), Error> {
        observer.stage("the network of the field");
        fitted.linear_residual = Some(judge.of_least_squares(rest)?);
        let training = Training {
            updates: FIELD_UPDATES.min(self.search.updates),
            batch: FIELD_BATCH,
            rate: FIELD_RATE,
            key: self.key.branch("piann"),
        };
        let learned = Surrogate::learn(rest, FIELD_HIDDEN, &training, &mut |_, _| !observer.stop())?;
        going(observer)?;
        fitted.parts.field = Some(learned.part().clone());
        fitted.twin = Some(Arc::new(learned));
        Ok(())
    }

    /// A network on what the model leaves.
    fn behind_physics(&self, rest: &Trace, fitted: &mut Fitted, observer: &dyn Observer) -> Result<(), Error> {
        if self.procedure != Procedure::Residual {
            return Ok(());
        }
        let (train, stop) = rest.split(STOP_SHARE, self.key.branch("stop"));
        let physics = fitted.twin.clone();
        let key = self.key.branch("network");
        match learn_part_observed([&train, &stop], physics.as_ref(), &self.search, key, observer) {
            // The physics can do without.
            Err(Error::TooFew { .. }) => Ok(()),
            Err(error) => Err(error),
            Ok(part) => {
                fitted.twin = part.twin(rest, physics);
                fitted.parts.network.clone_from(&part.network);
                fitted.learned = Some((part.architecture, part.left));
                Ok(())
            }
        }
    }

    /// Coefficients and corrections of the model.
    fn physics(
        &self,
        (rest, model): (&Trace, &dyn Adjustable),
        judge: &Judge<'_>,
        fitted: &mut Fitted,
        observer: &dyn Observer,
    ) -> Result<(), Error> {
        let nominal: Vec<f64> = model.coefficients().iter().map(|coefficient| coefficient.nominal).collect();
        fitted.nominal_residual = Some(judge.of(&*within_range(model.adjusted(&nominal, &[]))));
        let mut physics = fit_observed(model, rest, observer)?;
        let mut corrected = Corrected { coefficients: physics.values(), corrections: vec![] };
        fitted.physics_residual = Some(judge.of(&*within_range(model.adjusted(&corrected.coefficients, &[]))));
        if self.procedure == Procedure::Residual && model.corrections() > 0 {
            corrected = correct_observed(model, rest, &corrected, CORRECTION_STEPS, observer)?;
            // What the corrections explain, the coefficients had stood in for.
            let before = physics.estimates;
            physics = estimates_observed(model, rest, &corrected, physics.steps, observer)?;
            // The corrections' expected sizes narrow an interval, but make no coefficient felt.
            for (now, before) in physics.estimates.iter_mut().zip(before) {
                now.identified &= before.identified;
            }
            fitted.corrected_residual =
                Some(judge.of(&*within_range(model.adjusted(&corrected.coefficients, &corrected.corrections))));
        }
        fitted.twin = Some(within_range(model.adjusted(&corrected.coefficients, &corrected.corrections)));
        fitted.parts.corrected = Some(corrected);
        fitted.estimates.clone_from(&physics.estimates);
        fitted.physics = Some(physics);
        Ok(())
    }
}

fn mean_repeats(repeats: &[u32]) -> f64 {
    f64::from(repeats.iter().sum::<u32>()) / repeats.len().max(1) as f64
}

/// Shots that no fit has seen.
struct Judge<'a> {
    test: &'a Trace,
    /// What full scales are counted by: the plant's, or where the data is recorded, those of the shots that were learned from.
    ranges: Vec<Range>,
    repeats: f64,
    noise: Option<&'a [f64]>,
}

impl Judge<'_> {
    /// Of plain least squares that are learned of `rest`.
    fn of_least_squares(&self, rest: &Trace) -> Result<Residual, Error> {
        let network = as_network(&least_squares(rest, &rest.outputs)?, rest)?;
        Ok(self.of(&LearnedTwin::new(rest.card.clone(), None, network)))
    }

    fn of(&self, twin: &dyn Twin) -> Residual {
        self.residual(&self.test.predict(twin))
    }

    fn residual(&self, predicted: &Batch) -> Residual {
        let ranges = &self.ranges;
        let residual = Residual::of(predicted, &self.test.outputs, ranges, self.test.groups());
        match self.noise {
            Some(noise) => residual.with_noise(noise, ranges, self.repeats),
            None => Residual {
                neighbors_of_full_scale: neighbors(predicted, &self.test.outputs, &self.test.inputs, ranges),
                ..residual
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use std::ops::ControlFlow;

    use sims::{Optical, Simulated};

    use super::*;
    use crate::{Watch, measure};

    #[test]
    fn the_residual_twin_of_the_optical_bench_is_far_better_than_its_fitted_physics() {
        let bench = Optical::default();
        let mut plant = Simulated::new(bench.build().unwrap().system);
        let calibration = Calibration {
            procedure: Procedure::Residual,
            stimuli: 1200,
            repeats: 2,
            per_setting: 20,
            search: Search { candidates: 0, updates: 200, ..Search::default() },
            key: Key::new(1),
        };
        let ports = sims::Adjustable::card(&bench).ports;
        let stimuli = calibration.stimuli(&ports, None);
        assert_eq!(calibration.settings(&ports, false), [(60, 20)]);
        assert_eq!(Calibration { stimuli: 30, ..calibration.clone() }.settings(&ports, true), [(1, 15), (1, 15)]);
        let mut watch = Watch { now: &mut || None, progress: &mut |_| ControlFlow::Continue(()) };
        let trace = measure(&mut plant, &stimuli, calibration.repeats, &mut watch).unwrap().unwrap();
        let fitted = calibration.fit(&trace, None, Some(&bench), &crate::Unobserved).unwrap();
        let of = |residual: &Option<Residual>| residual.as_ref().unwrap().rmse_of_full_scale;
        let (nominal, physics, residual) =
            (of(&fitted.nominal_residual), of(&fitted.physics_residual), of(&fitted.residual));
        assert!(physics < nominal && residual < 0.5 * physics && residual < 0.025, "{nominal} {physics} {residual}");
        let twin = fitted.parts.twin(&trace.card, Some(&bench)).unwrap();
        assert_eq!(
            twin.predict(&trace.inputs, trace.controls(0)),
            fitted.twin.unwrap().predict(&trace.inputs, trace.controls(0))
        );
    }
}
