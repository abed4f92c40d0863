//! The learned and the residual twin: least squares and a network, or a network that corrects physics.
//!
//! Features are inputs, controls and, behind physics, what it predicts, each less its mean and over its standard deviation. Targets are
//! the readings, less what lies beneath predicts. An output gets the network only if it helps on shots that decided when it had learned
//! enough, by more than chance. Where these are few, that is no proof: then it must also help on all shots in turn, each fifth seen by
//! neither the network nor the least squares that it is held against; physics and curves beneath are those of all. So a twin is not worse than what it is built on, but for chance.

use std::sync::Arc;

use drivers::{Batch, Direction, Range};
use rayon::prelude::*;
use sims::{Key, Twin};

use crate::folds::Folds;
use crate::learner::Examples;
use crate::learning::{Learned, learn, learn_as};
use crate::linear::{as_network, fit_linear, least_squares};
use crate::network::{Network, PlainLayer};
use crate::score::{scale, squares, surely_less};
use crate::{Architecture, Error, LearnedTwin, Observer, Search, Trace, Unobserved};

/// Shots that a network needs at least.
const FEWEST: usize = 50;
/// A network that leaves more than this of what it is to explain costs time and invents detail.
const HARDLY: f64 = 0.98;
/// Updates after which a network behind physics that explains nothing is given up.
const BEHIND_PHYSICS: usize = 1500;

/// What a network has learned of a trace.
#[derive(Debug, Clone)]
pub struct LearnedPart {
    /// The network; `None` where it helps no output.
    pub network: Option<Network>,
    /// Its architecture.
    pub architecture: Architecture,
    /// Mean square that it leaves of the held-out shots, over that without it.
    pub left: f64,
    /// Which outputs it helps; the others it leaves alone.
    pub helps: Vec<bool>,
}

/// What is learned where no physics is known.
#[derive(Debug, Clone)]
pub struct Stages {
    /// Least squares of every output, as a network without hidden layers.
    pub linear: Network,
    /// The network on what that leaves.
    pub part: LearnedPart,
}

/// What a network is built on.
#[derive(Clone, Copy)]
struct Beneath<'a> {
    twin: Option<&'a Arc<dyn Twin>>,
    /// Whether the network sees what it predicts. Of a linear model there is nothing to see that the inputs do not say.
    seen: bool,
}

impl LearnedPart {
    /// The twin of the plant of `trace`: what lies beneath with the network, if it helps.
    pub fn twin(&self, trace: &Trace, beneath: Option<Arc<dyn Twin>>) -> Option<Arc<dyn Twin>> {
        match (&self.network, beneath) {
            (Some(network), beneath) => Some(Arc::new(LearnedTwin::new(trace.card.clone(), beneath, network.clone()))),
            (None, beneath) => beneath,
        }
    }
}

/// How values of one kind become features: `(value − center)/width`.
struct Scaling {
    center: Vec<f32>,
    width: Vec<f32>,
}

impl Scaling {
    /// By mean and standard deviation of each column of `rows`; columns that do not move keep the scale of their range.
    fn of<'a>(rows: &(impl Iterator<Item = &'a [f32]> + Clone), ranges: &[Range]) -> Self {
        let count = rows.clone().count().max(1) as f64;
        let column = |(column, range): (usize, &Range)| {
            let values = || rows.clone().map(|row| f64::from(row[column]));
            let mean = values().sum::<f64>() / count;
            let deviation = (values().map(|value| (value - mean).powi(2)).sum::<f64>() / count).sqrt();
            let moves = deviation > 1e-6 * mean.abs() && deviation > 0.0;
            (mean as f32, if moves { deviation } else { scale(*range) } as f32)
        };
        let (center, width) = ranges.iter().enumerate().map(column).unzip();
        Self { center, width }
    }

    fn apply<'a>(&'a self, row: &'a [f32]) -> impl Iterator<Item = f32> + 'a {
        row.iter().zip(&self.center).zip(&self.width).map(|((value, center), width)| (value - center) / width)
    }
}

/// Learns what `physics` leaves of `trace`, or all of it. Shots of `held_out` decide when to stop and which outputs it helps.
pub fn learn_part(
    traces: [&Trace; 2],
    physics: Option<&Arc<dyn Twin>>,
    search: &Search,
    key: Key,
) -> Result<LearnedPart, Error> {
    learn_part_observed(traces, physics, search, key, &Unobserved)
}

/// The same, watched.
pub(crate) fn learn_part_observed(
    traces: [&Trace; 2],
    physics: Option<&Arc<dyn Twin>>,
    search: &Search,
    key: Key,
    observer: &dyn Observer,
) -> Result<LearnedPart, Error> {
    enough(traces[0])?;
    let search = Search { give_up: physics.map(|_| BEHIND_PHYSICS), ..search.clone() };
    let found = learn_over(traces, Beneath { twin: physics, seen: true }, (&search, None), key, observer)?;
    let Some(physics) = physics else { return found.part(&vec![true; traces[0].outputs.columns()]) };
    let built = |_: [&Trace; 2]| -> Result<Simpler, Error> {
        Ok(Simpler { beneath: physics.clone(), seen: true, rivals: vec![physics.clone()] })
    };
    let helps = found.surely_helps(&Folds::of(traces), &built, (&search, key), observer)?;
    found.part(&helps)
}

/// Least squares, then a network on what it leaves; of the readings, or of what `curves` leave of them.
pub fn learn_stages(
    [train, held_out]: [&Trace; 2],
    curves: Option<&Arc<dyn Twin>>,
    search: &Search,
    key: Key,
    observer: &dyn Observer,
) -> Result<Stages, Error> {
    enough(train)?;
    let folds = Folds::of([train, held_out]);
    let linear = fit_linear(train, &folds, |trace| trace.left(curves))?;
    let twin = |beneath: Option<&Arc<dyn Twin>>, trace: &Trace, network: Network| -> Arc<dyn Twin> {
        Arc::new(LearnedTwin::new(trace.card.clone(), beneath.cloned(), network))
    };
    // Features of curves are as good as curves beneath: the network sees them through what lies beneath.
    let seen = curves.is_some();
    let beneath = twin(curves, train, linear.network(train)?);
    let found = learn_over([train, held_out], Beneath { twin: Some(&beneath), seen }, (search, None), key, observer)?;
    let built = |[train, all]: [&Trace; 2]| -> Result<Simpler, Error> {
        let fitted = |trace: &Trace| -> Result<Arc<dyn Twin>, Error> {
            let linear = linear.clone().refitted(trace, &trace.left(curves), |_| true)?;
            Ok(twin(curves, trace, linear.network(trace)?))
        };
        let plain = twin(None, all, as_network(&least_squares(all, &all.outputs)?, all)?);
        Ok(Simpler { beneath: fitted(train)?, seen, rivals: vec![fitted(all)?, plain] })
    };
    let helps = found.surely_helps(&folds, &built, (search, key), observer)?;
    let part = found.part(&helps)?;
    // What no network is built on may use all shots.
    let all = train.followed_by(held_out);
    let linear = linear.refitted(&all, &all.left(curves), |output| !part.helps[output])?;
    Ok(Stages { linear: linear.network(train)?, part })
}

/// Refuses a trace that is too short for a network.
fn enough(train: &Trace) -> Result<(), Error> {
    if train.shots() < FEWEST {
        return Err(Error::TooFew {
            procedure: "learned",
            what: "stimuli",
            needed: FEWEST,
            given: train.shots(),
            held_out: 0,
        });
    }
    Ok(())
}

/// What a network is built on where it learns of a part of the shots, and what it must be better than.
struct Simpler {
    beneath: Arc<dyn Twin>,
    /// Whether the network sees what it predicts.
    seen: bool,
    /// Of all shots but those that are held out.
    rivals: Vec<Arc<dyn Twin>>,
}

/// Makes what is simpler than a network, of the shots that it learns from and of all but those that are held out.
type Built<'a> = &'a (dyn Fn([&Trace; 2]) -> Result<Simpler, Error> + Sync);

/// A network that has learned, before it is decided where it is used.
struct Found {
    learned: Learned,
    scaling: Scalings,
    /// Of each output the squared errors of held-out shots, with the network and without.
    missed: Vec<[Vec<f64>; 2]>,
}

impl Found {
    /// Which outputs it helps: those where the held-out shots say so by more than chance, and where these are few, all shots in turn.
    fn surely_helps(
        &self,
        folds: &Folds<'_>,
        built: Built<'_>,
        (search, key): (&Search, Key),
        observer: &dyn Observer,
    ) -> Result<Vec<bool>, Error> {
        let of = |[with, without]: &[Vec<f64>; 2]| {
            with.iter().sum::<f64>() < HARDLY * without.iter().sum::<f64>() && surely_less(with, without)
        };
        let helps: Vec<bool> = self.missed.iter().map(of).collect();
        if !folds.in_turn() || !helps.contains(&true) {
            return Ok(helps);
        }
        observer.stage("whether the network helps: each fifth of the shots in turn");
        let missed = folds
            .pairs()
            .into_par_iter()
            .enumerate()
            .map(|(number, pair)| {
                self.missed_again(
                    pair,
                    folds.share(),
                    built,
                    (search, key.branch("fold").number(number as u64)),
                    observer,
                )
            })
            .collect::<Result<Vec<_>, Error>>();
        let missed = match missed {
            // What does not learn from four fifths of the shots has no proof that it helps.
            Err(Error::Diverged { .. }) => return Ok(vec![false; helps.len()]),
            missed => missed?,
        };
        let sure = |output: usize| {
            let of = |model: usize| {
                missed.iter().flat_map(|models| models[model][output].iter().copied()).collect::<Vec<f64>>()
            };
            let network = of(0);
            (1..missed[0].len()).all(|rival| surely_less(&network, &of(rival)))
        };
        Ok(helps.iter().enumerate().map(|(output, helps)| *helps && sure(output)).collect())
    }

    /// Squared errors of the shots that are held out of `all`, by model and output: first of a network that learns as this one did, then
    /// of what is simpler.
    fn missed_again(
        &self,
        [all, held]: [&Trace; 2],
        share: f64,
        built: Built<'_>,
        (search, key): (&Search, Key),
        observer: &dyn Observer,
    ) -> Result<Vec<Vec<Vec<f64>>>, Error> {
        let (train, stop) = all.split(share, key.branch("stop"));
        let Simpler { beneath, seen, rivals } = built([&train, all])?;
        let on = Beneath { twin: Some(&beneath), seen };
        let again = learn_over([&train, &stop], on, (search, Some(&self.learned.architecture)), key, observer)?;
        let network = again.scaling.network(&again.learned, &vec![true; all.outputs.columns()])?;
        let network: Arc<dyn Twin> = Arc::new(LearnedTwin::new(all.card.clone(), Some(beneath), network));
        let models = std::iter::once(&network).chain(&rivals);
        Ok(models.map(|twin| squares(&held.predict(&**twin), &held.outputs)).collect())
    }

    /// The network for the outputs that it helps.
    fn part(&self, helps: &[bool]) -> Result<LearnedPart, Error> {
        let (mut left, mut before) = (0.0, 0.0);
        for (missed, helps) in self.missed.iter().zip(helps) {
            let [with, without] = missed.each_ref().map(|squares| squares.iter().sum::<f64>());
            left += if *helps { with } else { without };
            before += without;
        }
        let network = if helps.contains(&true) { Some(self.scaling.network(&self.learned, helps)?) } else { None };
        Ok(LearnedPart {
            network,
            architecture: self.learned.architecture.clone(),
            left: left / before.max(f64::MIN_POSITIVE),
            helps: helps.to_vec(),
        })
    }
}

/// Learns what lies beneath leaves, with an architecture that is `known` or found.
fn learn_over(
    [train, held_out]: [&Trace; 2],
    beneath: Beneath<'_>,
    (search, known): (&Search, Option<&Architecture>),
    key: Key,
    observer: &dyn Observer,
) -> Result<Found, Error> {
    let ports = &train.card.ports;
    let outputs = ports.ranges(Direction::Output);
    let base = |trace: &Trace| beneath.twin.map(|twin| trace.predict(&**twin));
    let (base_train, base_held) = (base(train), base(held_out));
    let (left_train, left_held) = (train.less(base_train.as_ref()), held_out.less(base_held.as_ref()));
    let seen = base_train.as_ref().filter(|_| beneath.seen);
    let controls = (0..train.shots()).map(|shot| train.controls(shot));
    let scaling = Scalings {
        inputs: Scaling::of(&train.inputs.iter(), &ports.ranges(Direction::Input)),
        controls: Scaling::of(&controls, &ports.ranges(Direction::Control)),
        base: seen.map(|base| Scaling::of(&base.iter(), &outputs)),
        targets: Scaling::of(&left_train.iter(), &outputs),
    };
    let train_examples = scaling.examples(train, seen, &left_train);
    let held_examples = scaling.examples(held_out, base_held.as_ref().filter(|_| beneath.seen), &left_held);
    let examples = [&train_examples, &held_examples];
    let learned = match known {
        Some(architecture) => learn_as(examples, architecture, (search, key), observer)?,
        None => learn(examples, search, key, observer)?,
    };
    let missed = scaling.missed(&learned, &held_examples.targets);
    Ok(Found { learned, scaling, missed })
}

struct Scalings {
    inputs: Scaling,
    controls: Scaling,
    base: Option<Scaling>,
    targets: Scaling,
}

impl Scalings {
    fn examples(&self, trace: &Trace, base: Option<&Batch>, left: &Batch) -> Examples {
        let physics = self.base.as_ref().map_or(0, |scaling| scaling.center.len());
        let columns = self.inputs.center.len() + self.controls.center.len() + physics;
        let mut features = Vec::with_capacity(trace.shots() * columns);
        let mut targets = Vec::with_capacity(left.values().len());
        for shot in 0..trace.shots() {
            features.extend(self.inputs.apply(trace.inputs.row(shot)));
            features.extend(self.controls.apply(trace.controls(shot)));
            if let (Some(scaling), Some(base)) = (&self.base, base) {
                features.extend(scaling.apply(base.row(shot)));
            }
            targets.extend(self.targets.apply(left.row(shot)));
        }
        let batch = |columns: usize, values: Vec<f32>| {
            let mut batch = Batch::zeros(trace.shots(), columns);
            batch.values_mut().copy_from_slice(&values);
            batch
        };
        Examples { features: batch(columns, features), targets: batch(left.columns(), targets) }
    }

    /// Of each output the squared errors of held-out shots, with the network and without.
    fn missed(&self, learned: &Learned, targets: &Batch) -> Vec<[Vec<f64>; 2]> {
        let of = |output: usize| {
            let offset = f64::from(self.targets.center[output]) / f64::from(self.targets.width[output]);
            let with = learned.missed.iter().map(|row| f64::from(row[output])).collect();
            let without = targets.iter().map(|row| (f64::from(row[output]) + offset).powi(2)).collect();
            [with, without]
        };
        (0..targets.columns()).map(of).collect()
    }

    /// The network in the ports' own units: scaling becomes part of the first and the last layer. Outputs that it does not help get
    /// nothing from it.
    fn network(&self, learned: &Learned, helps: &[bool]) -> Result<Network, Error> {
        let parts: Vec<&Scaling> =
            [Some(&self.inputs), Some(&self.controls), self.base.as_ref()].into_iter().flatten().collect();
        let center: Vec<f32> = parts.iter().flat_map(|part| part.center.iter().copied()).collect();
        let width: Vec<f32> = parts.iter().flat_map(|part| part.width.iter().copied()).collect();
        let mut layers = learned.layers.clone();
        if let Some(first) = layers.first_mut() {
            scale_inputs(first, &center, &width);
        }
        if let Some(last) = layers.last_mut() {
            let rows = last.weights.chunks_exact_mut(last.inputs).zip(&mut last.bias);
            for (output, (row, bias)) in rows.enumerate() {
                let (center, width) = (self.targets.center[output], self.targets.width[output]);
                let share = f32::from(u8::from(helps[output]));
                for weight in row.iter_mut() {
                    *weight *= share * width;
                }
                *bias = share * (*bias * width + center);
            }
        }
        let sizes = [
            self.inputs.center.len(),
            self.controls.center.len(),
            self.base.as_ref().map_or(0, |base| base.center.len()),
        ];
        Network::new(&layers, sizes).ok_or_else(|| Error::fit("has layers that do not chain"))
    }
}

/// Weights for raw values instead of scaled ones.
pub(crate) fn scale_inputs(layer: &mut PlainLayer, center: &[f32], width: &[f32]) {
    for (row, bias) in layer.weights.chunks_exact_mut(layer.inputs).zip(&mut layer.bias) {
        for ((weight, center), width) in row.iter_mut().zip(center).zip(width) {
            *weight /= width;
            *bias -= *weight * center;
        }
    }
}

#[cfg(test)]
mod tests {
    use sims::Adjustable;

    use super::*;
    use crate::Residual;
    use crate::physics::tests::Toy;
    use crate::trace::tests::{card, trace};

    #[test]
    fn a_network_corrects_what_physics_misses() {
        let physics = Toy.adjusted(&[1.0, 0.5, 0.5, 0.0, 0.0], &[]);
        let read = |x: &[f32], _: &[f32], _: usize| {
            let mut y = physics.predict(&Batch::new(2, x.to_vec()).unwrap(), &[]).into_values();
            y[0] += 0.3 * (3.0 * x[0]).sin() * x[1];
            y
        };
        let trace = trace(card(2, 0, 2), [1500, 1, 1500], read);
        let (train, held_out) = trace.split(0.2, Key::new(1));
        let search = Search { candidates: 0, updates: 1500, ..Search::default() };
        let part = learn_part([&train, &held_out], Some(&physics), &search, Key::new(2)).unwrap();
        let score = |twin: &dyn Twin| {
            let ranges = held_out.card.ports.ranges(Direction::Output);
            Residual::of(&held_out.predict(twin), &held_out.outputs, &ranges, &held_out.stimulus).rmse_of_full_scale
        };
        let (before, after) = (score(&*physics), score(&*part.twin(&trace, Some(physics.clone())).unwrap()));
        assert!(after < 0.25 * before, "{after} from {before}");
        // Where the physics is right already there is nothing to add.
        let right = crate::trace::tests::trace(card(2, 0, 2), [400, 1, 400], |x, _, shot| {
            let mut stream = Key::new(3).number(shot as u64).stream();
            let y = physics.predict(&Batch::new(2, x.to_vec()).unwrap(), &[]).into_values();
            y.iter().map(|y| y + 0.01 * stream.normal()).collect()
        });
        let (train, held_out) = right.split(0.3, Key::new(1));
        let part = learn_part([&train, &held_out], Some(&physics), &search, Key::new(2)).unwrap();
        assert!(part.network.is_none(), "{}", part.left);
    }

    /// R² of each output on fresh shots, of the learned twin and of plain least squares.
    fn r2(trace: &Trace, test: &Trace, candidates: usize) -> [Vec<f64>; 2] {
        let (train, held_out) = trace.split(0.12, Key::new(1));
        let search = Search { candidates, updates: 5000, ..Search::default() };
        let stages = learn_stages([&train, &held_out], None, &search, Key::new(2), &Unobserved).unwrap();
        let linear: Arc<dyn Twin> = Arc::new(LearnedTwin::new(trace.card.clone(), None, stages.linear.clone()));
        let twin = stages.part.twin(trace, Some(linear)).unwrap();
        let plain = as_network(&least_squares(trace, &trace.outputs).unwrap(), trace).unwrap();
        let plain = LearnedTwin::new(trace.card.clone(), None, plain);
        [&*twin, &plain]
            .map(|twin| Residual::of(&test.predict(twin), &test.outputs, &trace.output_ranges(), &test.stimulus).r2)
    }

    /// Traces to learn from and to test on, `stimuli` shots of the same plant each, with noise of `noise`.
    fn pair(card: &drivers::Card, stimuli: usize, noise: f32, read: &dyn Fn(&[f32]) -> Vec<f32>) -> [Trace; 2] {
        [1, 2].map(|key| {
            let mut drawn = Key::new(key).stream();
            let inputs = Batch::from_fn(stimuli, card.ports.input_count(), |_, _| 2.0 * drawn.uniform() - 1.0);
            let outputs: Vec<f32> = inputs
                .iter()
                .flat_map(|x| read(x).into_iter().map(|y| y + noise * drawn.normal()).collect::<Vec<_>>())
                .collect();
            let outputs = Batch::new(card.ports.output_count(), outputs).unwrap();
            let empty = trace(card.clone(), [stimuli, 1, stimuli], |_, _, _| vec![0.0; card.ports.output_count()]);
            Trace { inputs, outputs, ..empty }
        })
    }

    #[test]
    fn sharp_resonances_are_learned_from_few_shots() {
        let dip = |x: f32, center: f32| 1.0 - 0.9 / (1.0 + ((x - center) / 0.12).powi(2));
        let [train, test] = pair(&card(1, 0, 2), 400, 0.003, &|x| vec![dip(x[0], -0.3), dip(x[0], 0.45)]);
        let [learned, plain] = r2(&train, &test, 0);
        assert!(learned.iter().all(|r2| *r2 > 0.995), "{learned:?} where least squares has {plain:?}");
    }

    #[test]
    fn a_linear_plant_is_never_worse_than_least_squares() {
        for (stimuli, noise) in [(80, 0.1), (1500, 0.3)] {
            let read = |x: &[f32]| vec![x.iter().sum::<f32>(), x[0] - 2.0 * x[5], 0.0];
            let [train, test] = pair(&card(8, 0, 3), stimuli, noise, &read);
            let [learned, plain] = r2(&train, &test, 3);
            for (learned, plain) in learned.iter().zip(&plain) {
                assert!(*learned > plain - 0.002, "{stimuli} shots: {learned} where least squares has {plain}");
            }
        }
    }

    #[test]
    fn few_shots_of_a_linear_plant_keep_no_network_by_chance() {
        for seed in 0..6 {
            let linear = trace(card(17, 0, 2), [72, 1, 72], |x, _, shot| {
                let mut noise = Key::new(seed).number(shot as u64).stream();
                vec![x.iter().sum::<f32>() + noise.normal(), x[0] - x[5] + 0.5 * noise.normal()]
            });
            let (train, held_out) = linear.split(0.12, Key::new(seed));
            let search = Search { candidates: 0, updates: 400, ..Search::default() };
            let stages = learn_stages([&train, &held_out], None, &search, Key::new(seed), &Unobserved).unwrap();
            assert!(stages.part.network.is_none(), "seed {seed}: {:?} by {}", stages.part.helps, stages.part.left);
        }
    }
}
