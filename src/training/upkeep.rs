//! Upkeep of a twin while a training runs: a drift monitor that takes a reference pattern again and again, and a refresh that fits
//! the twin anew to the shots that training has taken.
//!
//! The pattern is a few smooth random shots at the middle of the controls. Its first takes say what it scatters by itself; from
//! then on a cumulative sum tells drift (see [`calibration::DriftMonitor`]). A refresh fits the twin's coefficients and
//! corrections, and a small network on what these leave, to the newest shots of the training and to a fixed reference set, which is
//! taken anew for it. The new twin is used only if it is better on shots that the fit has not seen.

mod config;
mod cost;
mod noise;

pub use config::{DriftConfig, OnAlarm, RefreshConfig};
pub use cost::cost;

use cost::{REFERENCE_PER_SETTING, epoch_steps};
pub(in crate::training) use noise::add_noise;
use noise::NoiseKeeper;

use calibration::{
    Corrected, DriftMonitor, DriftState, LearnedTwin, Network, Parts, PlainLayer, Residual, Search, Stimuli, Trace,
    Unobserved, correct, fit_physics, learn_part, learn_stages,
};
use drivers::{Batch, Direction, Ports};
use serde::{Deserialize, Serialize};
use sims::{Adjustable, Key, Twin};

use std::collections::BTreeMap;
use std::sync::Arc;

use toml::Table;

use crate::Error;
use crate::control::{Board, Monitor};
use crate::event::{Event, Severity};
use crate::plants::{CalibrationStatus, Lab, Memory, Recent};
use crate::record::unix_seconds;
use crate::training::{Method, Trainer, TrainingConfig};

/// Why the drift monitor asks for a refresh.
const DRIFT: &str = "drift";
/// Why a twin that knows nothing asks for one before the first step.
const FIRST: &str = "first";
/// Updates of a network that learns a whole plant, at least.
const WHOLE_PLANT: usize = 1500;
/// Shots of an update.
const UPDATE: usize = 128;
/// A refresh that leaves more than this of the residual has not helped.
const NO_BETTER: f64 = 0.99;

/// Those that look after the twins and plants of a training, as its experiment asks.
pub fn monitors(trainer: &Trainer<'_>, lab: &mut Lab) -> Vec<Box<dyn Monitor>> {
    let (method, config, rows, key) = trainer.facts();
    match method {
        Method::PhysicsAware => Upkeep::of_lab(lab, config, rows, key),
        Method::NoiseAware => NoiseKeeper::of_lab(lab, key),
        _ => vec![],
    }
}

/// Who looks after one plant's twin.
pub struct Upkeep {
    name: String,
    plant: String,
    place: usize,
    drift: Option<DriftConfig>,
    refresh: Option<RefreshConfig>,
    /// Updates in a pass over the data.
    epoch_steps: usize,
    key: Key,
    model: Option<Arc<dyn Adjustable>>,
    /// The twin before any refresh, under a network that is learned where there is no model.
    base: Arc<dyn Twin>,
    /// Whether the twin was nothing but ports before any refresh.
    unlearned: bool,
    pattern: Batch,
    /// Stimuli of the reference set.
    reference: Stimuli,
    recent: Recent,
    /// Whether a checkpoint was read whose twin is not in use yet.
    restored: bool,
    state: State,
}

/// Outputs, inputs, weights and bias of a layer.
type Layer = (usize, usize, Vec<f32>, Vec<f32>);

/// A network's layers, to be kept.
fn kept(network: Option<&Network>) -> Vec<Layer> {
    let plain = network.into_iter().flat_map(Network::plain);
    plain.map(|layer| (layer.outputs, layer.inputs, layer.weights, layer.bias)).collect()
}

/// The network that was [`kept`].
fn network(layers: &[Layer], sizes: [usize; 3]) -> Option<Network> {
    let layer = |(outputs, inputs, weights, bias)| PlainLayer { outputs, inputs, weights, bias };
    Network::new(&layers.iter().cloned().map(layer).collect::<Vec<_>>(), sizes)
}

/// All that decides what it does next.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
struct State {
    monitor: Option<DriftMonitor>,
    sum: DriftState,
    /// Training shots at which the pattern is due.
    due_shots: u64,
    /// The pass after which the twin was last refreshed.
    refreshed_epoch: usize,
    refreshes: u64,
    coefficients: Vec<f64>,
    corrections: Vec<f64>,
    /// Least squares, where the plant is learned as a whole.
    #[serde(default)]
    linear: Vec<Layer>,
    network: Vec<Layer>,
    memory: Memory,
}

impl Upkeep {
    /// One for each plant that is driven, where the experiment asks for any.
    pub fn of_lab(lab: &mut Lab, config: &TrainingConfig, rows: usize, key: Key) -> Vec<Box<dyn Monitor>> {
        if config.drift.is_none() && config.refresh.is_none() {
            return vec![];
        }
        let names: Vec<String> = lab.names().into_iter().map(str::to_owned).collect();
        let epoch_steps = epoch_steps(rows, config.batch);
        let upkeep = |plant: String| -> Option<Box<dyn Monitor>> {
            let place = lab.find(&plant)?;
            let ports = lab.card(place).ports.clone();
            let key = key.branch("upkeep").branch(&plant);
            let refresh = config.refresh.clone();
            let recent = Recent::of(refresh.as_ref().map_or(0, |refresh| refresh.shots));
            if refresh.is_some() {
                lab.remember(place, &recent);
            }
            let (pattern_shots, reference_shots) = (
                config.drift.as_ref().map_or(0, |drift| drift.pattern),
                refresh.as_ref().map_or(1, |refresh| refresh.reference_shots),
            );
            Some(Box::new(Self {
                name: format!("upkeep of {plant}"),
                place,
                drift: config.drift.clone(),
                refresh,
                epoch_steps,
                model: lab.adjustable(place),
                base: lab.bare_twin(place),
                unlearned: lab.is_unlearned(place),
                recent,
                restored: false,
                pattern: Stimuli::smooth(&ports, pattern_shots, pattern_shots.max(1), key.branch("pattern")).inputs,
                reference: Stimuli::smooth(&ports, reference_shots, REFERENCE_PER_SETTING, key.branch("reference")),
                key,
                plant,
                state: State::default(),
            }))
        };
        names.into_iter().filter_map(upkeep).collect()
    }

    /// One take of the pattern, with the controls in the middle of their ranges.
    fn take(&self, lab: &mut Lab) -> Result<Batch, Error> {
        let middle = middle(&lab.card(self.place).ports);
        lab.run_apart(self.place, &middle, &self.pattern).map(|(_, outputs)| outputs)
    }

    /// Takes the pattern where it is due; `true` for an alarm.
    fn monitor(&mut self, step: usize, lab: &mut Lab, board: &Board) -> Result<bool, Error> {
        let Some(config) = self.drift.clone() else { return Ok(false) };
        let shots = lab.shots(self.place);
        let Some(monitor) = &self.state.monitor else {
            let takes = (0..config.first_takes.max(8)).map(|_| self.take(lab)).collect::<Result<Vec<_>, _>>()?;
            self.state.monitor = DriftMonitor::learn(&takes, config.takes_between_false_alarms);
            self.state.due_shots = lab.shots(self.place) + config.every_shots;
            return Ok(false);
        };
        if shots < self.state.due_shots {
            return Ok(false);
        }
        let outputs = self.take(lab)?;
        let (next, alarm) = monitor.take(self.state.sum, &outputs);
        let score = if alarm { 1.0 } else { monitor.score(next) };
        self.state.sum = next;
        self.state.due_shots = lab.shots(self.place) + config.every_shots;
        board.drift(score);
        board.report(Event::Reference { step, plant: self.plant.clone(), score, alarm });
        Ok(alarm)
    }

    /// Fits the twin anew, and uses it if it is better.
    fn refresh(&mut self, step: usize, lab: &mut Lab, board: &Board, why: &str) -> Result<(), Error> {
        let Some(config) = self.refresh.clone() else { return Ok(()) };
        let seen = self.recent.trace(lab.card(self.place));
        if seen.is_none() && !self.unlearned {
            return Ok(());
        }
        let reference = self.measure_reference(lab)?;
        let trace = seen.map_or_else(|| reference.clone(), |seen| seen.followed_by(&reference));
        let key = self.key.branch("refresh").number(self.state.refreshes);
        let (train, held_out) = split(&trace, key);
        let before = error(&*lab.bare_twin(self.place), &held_out);
        let fitted = |start: &[f64]| {
            self.fitted([&train, &held_out], start, &config, key).map_err(Error::calibration(&self.plant))
        };
        let mut parts = fitted(&self.state.coefficients)?;
        // A step from what was fitted last can be stuck where a bench has moved: then the coefficients are fitted from nominal ones.
        let stuck = why == DRIFT
            && !self.state.coefficients.is_empty()
            && self.twin(&parts).is_some_and(|twin| error(&*twin, &held_out) > NO_BETTER * before);
        if stuck {
            parts = fitted(&[])?;
        }
        let Some(twin) = self.twin(&parts) else { return Ok(()) };
        let after = error(&*twin, &held_out);
        let kept = after < before;
        if kept {
            self.keep(&parts);
            lab.calibrated(
                self.place,
                &CalibrationStatus {
                    fit: format!("refreshed at step {step}"),
                    made_unix_seconds: unix_seconds(),
                    residual: of_output_std(&*twin, &held_out),
                    due: String::new(),
                },
            );
            lab.replace_twin(self.place, &twin);
        }
        self.state.refreshes += 1;
        board.report(Event::Refreshed {
            step,
            plant: self.plant.clone(),
            why: why.to_owned(),
            shots: trace.shots(),
            residual_before: before,
            residual_after: after,
            kept,
        });
        if kept || why == DRIFT {
            self.learn_again(step, lab, board)?;
        }
        Ok(())
    }

    /// What is normal has changed, whether a fit could follow or not: the pattern is learned anew, at once, so that a continued run does
    /// the same.
    fn learn_again(&mut self, step: usize, lab: &mut Lab, board: &Board) -> Result<(), Error> {
        if self.state.monitor.take().is_some() {
            self.state.sum = DriftState::default();
            self.monitor(step, lab, board)?;
        }
        Ok(())
    }

    fn measure_reference(&self, lab: &mut Lab) -> Result<Trace, Error> {
        let card = lab.card(self.place).clone();
        let shots = self.reference.inputs.rows();
        let mut settings = Batch::zeros(self.reference.settings.rows(), card.ports.control_count());
        let mut outputs = Vec::with_capacity(shots * card.ports.output_count());
        let columns = settings.columns();
        for (setting, inputs) in self.reference.by_setting() {
            let wanted = self.reference.settings.row(setting as usize).to_vec();
            let (applied, read) = lab.run_apart(self.place, &wanted, &inputs)?;
            settings.values_mut()[setting as usize * columns..(setting as usize + 1) * columns]
                .copy_from_slice(&applied);
            outputs.extend_from_slice(read.values());
        }
        let outputs = Batch::new(card.ports.output_count().max(1), outputs).map_err(Error::plant(&self.plant))?;
        Ok(Trace {
            provenance: BTreeMap::new(),
            settings,
            setting_of: self.reference.setting_of.clone(),
            stimulus: (0..shots as u32).collect(),
            seconds: vec![0.0; shots],
            inputs: self.reference.inputs.clone(),
            outputs,
            card,
        })
    }

    /// Coefficients, corrections and network that fit `train`, from the coefficients `start` or, where there are none, from nominal
    /// ones.
    fn fitted(
        &self,
        [train, held_out]: [&Trace; 2],
        start: &[f64],
        config: &RefreshConfig,
        key: Key,
    ) -> Result<Parts, calibration::Error> {
        let batches = train.shots().div_ceil(UPDATE);
        let updates = config.network_epochs.max(10) * batches;
        if self.unlearned {
            let search = Search { candidates: 0, updates: updates.max(WHOLE_PLANT), ..Search::default() };
            let stages = learn_stages([train, held_out], None, &search, key, &Unobserved)?;
            return Ok(Parts { linear: Some(stages.linear), network: stages.part.network, ..Parts::default() });
        }
        let mut parts = Parts::default();
        let physics: Arc<dyn Twin> = if let Some(model) = &self.model {
            let known = !start.is_empty();
            let start = if known {
                Corrected { coefficients: start.to_vec(), corrections: self.state.corrections.clone() }
            } else {
                Corrected { coefficients: fit_physics(&**model, train)?.values(), corrections: vec![] }
            };
            let corrected = correct(&**model, train, &start, if known { 2 } else { 4 });
            let twin = model.adjusted(&corrected.coefficients, &corrected.corrections);
            parts.corrected = Some(corrected);
            twin
        } else {
            self.base.clone()
        };
        if config.network_epochs > 0 || self.model.is_none() {
            let search = Search { candidates: 0, updates, ..Search::default() };
            parts.network = learn_part([train, held_out], Some(&physics), &search, key)?.network;
        }
        Ok(parts)
    }

    /// The twin of these parts.
    fn twin(&self, parts: &Parts) -> Option<Arc<dyn Twin>> {
        if self.unlearned {
            return parts.twin(self.base.card(), None);
        }
        match (&self.model, &parts.network) {
            (Some(model), _) => parts.twin(&model.card(), Some(&**model)),
            (None, Some(network)) => {
                Some(Arc::new(LearnedTwin::new(self.base.card().clone(), Some(self.base.clone()), network.clone())))
            }
            (None, None) => None,
        }
    }

    fn keep(&mut self, parts: &Parts) {
        if let Some(corrected) = &parts.corrected {
            self.state.coefficients.clone_from(&corrected.coefficients);
            self.state.corrections.clone_from(&corrected.corrections);
        }
        self.state.linear = kept(parts.linear.as_ref());
        self.state.network = kept(parts.network.as_ref());
    }

    /// What least squares and the network take: inputs, controls and readings of what lies beneath.
    fn sizes(&self) -> ([usize; 3], [usize; 3]) {
        let ports = &self.base.card().ports;
        let [inputs, controls] = [ports.input_count(), ports.control_count()];
        // Over least squares a network sees nothing of it that the inputs do not say.
        let seen = if self.unlearned { 0 } else { ports.output_count() };
        ([inputs, controls, 0], [inputs, controls, seen])
    }

    /// Refuses the memory of another upkeep, or one that none can have left.
    fn believe(&self, state: &State) -> Result<(), String> {
        let ports = &self.base.card().ports;
        let readings = self.pattern.rows() * ports.output_count();
        let refuse = |what: &str| Err(format!("has {what} of `{}` that is not this plant's", self.plant));
        if state.monitor.as_ref().is_some_and(|monitor| !monitor.fits(readings)) || !state.sum.sum.is_finite() {
            return refuse("a drift monitor");
        }
        let known = self.model.as_ref().map_or(0, |model| model.coefficients().len());
        let finite = state.coefficients.iter().chain(&state.corrections).all(|number| number.is_finite());
        if ![0, known].contains(&state.coefficients.len()) || !finite {
            return refuse("a twin");
        }
        let outputs = ports.output_count();
        for (layers, sizes) in [(&state.linear, self.sizes().0), (&state.network, self.sizes().1)] {
            if !layers.is_empty() && network(layers, sizes).is_none_or(|network| network.outputs() != outputs) {
                return refuse("a network");
            }
        }
        if state.memory.fits(ports) { Ok(()) } else { refuse("a memory of shots") }
    }

    /// Puts the twin of a checkpoint in use.
    fn use_restored(&self, lab: &mut Lab) {
        let state = &self.state;
        if state.refreshes == 0 {
            return;
        }
        let corrected = (!state.coefficients.is_empty())
            .then(|| Corrected { coefficients: state.coefficients.clone(), corrections: state.corrections.clone() });
        let (linear, learned) = self.sizes();
        let parts = Parts {
            corrected,
            linear: network(&state.linear, linear),
            network: network(&state.network, learned),
            ..Parts::default()
        };
        if let Some(twin) = self.twin(&parts) {
            lab.replace_twin(self.place, &twin);
        }
    }

    /// Whether a pass has ended after which a refresh is due.
    fn is_due(&mut self, step: usize) -> bool {
        let Some(every) = self.refresh.as_ref().map(|refresh| refresh.every_epochs).filter(|every| *every > 0) else {
            return false;
        };
        let epoch = step / self.epoch_steps;
        let due = step > 0 && step.is_multiple_of(self.epoch_steps) && epoch >= self.state.refreshed_epoch + every;
        if due {
            self.state.refreshed_epoch = epoch;
        }
        due
    }
}

impl Monitor for Upkeep {
    fn name(&self) -> &str {
        &self.name
    }

    fn look(&mut self, step: usize, lab: &mut Lab, board: &Board) -> Result<(), Error> {
        if std::mem::take(&mut self.restored) {
            self.use_restored(lab);
        }
        if self.unlearned && self.state.refreshes == 0 && self.refresh.is_some() {
            self.refresh(step, lab, board, FIRST)?;
        }
        let alarm = self.monitor(step, lab, board)?;
        let reaction = self.drift.as_ref().map(|drift| drift.on_alarm).filter(|_| alarm);
        if let Some(reaction) = reaction {
            let message = format!("plant `{}` drifts: its reference pattern is no longer what it was", self.plant);
            board.raise(&format!("drift of {}", self.plant), Severity::Minor, message, reaction == OnAlarm::Pause);
            lab.calibration_due(self.place, "the plant drifts");
        }
        if reaction == Some(OnAlarm::Refresh) {
            self.refresh(step, lab, board, DRIFT)?;
            board.clear(&format!("drift of {}", self.plant));
        } else if reaction == Some(OnAlarm::Normalize) {
            // The training measures its statistics before the next update.
            self.learn_again(step, lab, board)?;
            board.clear(&format!("drift of {}", self.plant));
        } else if self.is_due(step) {
            self.refresh(step, lab, board, "epoch")?;
        }
        Ok(())
    }

    fn state(&self) -> Table {
        let state = State { memory: self.recent.memory(), ..self.state.clone() };
        Table::try_from(&state).unwrap_or_default()
    }

    fn restore(&mut self, state: &Table) -> Result<(), String> {
        let state: State = state.clone().try_into().map_err(|error: toml::de::Error| error.to_string())?;
        self.believe(&state)?;
        self.state = state;
        self.recent.restore(std::mem::take(&mut self.state.memory));
        self.restored = true;
        Ok(())
    }
}

/// The middle of each control's range.
fn middle(ports: &Ports) -> Vec<f32> {
    ports.ranges(Direction::Control).iter().map(|range| 0.5 * (range.low + range.high)).collect()
}

/// Root mean square in full scales.
fn error(twin: &dyn Twin, trace: &Trace) -> f64 {
    residual(twin, trace).rmse_of_full_scale
}

/// Root mean square over the standard deviation of the readings.
fn of_output_std(twin: &dyn Twin, trace: &Trace) -> f64 {
    residual(twin, trace).rmse_of_output_std
}

fn residual(twin: &dyn Twin, trace: &Trace) -> Residual {
    let ranges = trace.card.ports.ranges(Direction::Output);
    Residual::of(&trace.predict(twin), &trace.outputs, &ranges, &trace.stimulus)
}

/// Every fifth shot, at random, is held out.
fn split(trace: &Trace, key: Key) -> (Trace, Trace) {
    let mut order: Vec<usize> = (0..trace.shots()).collect();
    key.branch("held out").stream().shuffle(&mut order);
    let (held, kept) = order.split_at((trace.shots() / 5).max(1));
    let sorted = |shots: &[usize]| {
        let mut shots = shots.to_vec();
        shots.sort_unstable();
        shots
    };
    (trace.select(&sorted(kept)), trace.select(&sorted(held)))
}
