//! Learns a network from examples: a number of updates with a falling step size, the best state on held-out examples, and a search over
//! architectures by random sampling with successive halving (Jamieson and Talwalkar, AISTATS 2016), as the authors of the optical
//! experiment did with Optuna.
//!
//! Effort counts in updates, not in passes: two hundred shots of a sharp resonance need as many as twenty thousand of a smooth one. How
//! strongly weights must decay depends on the noise, which is not known before: the architecture that was found is trained with each
//! of [`DECAYS`], and held-out examples choose.

use drivers::Batch;
use rayon::prelude::*;
use sims::{Key, Stream};

use crate::learner::{Architecture, Examples, Learner};
use crate::network::PlainLayer;
use crate::observer::going;
use crate::{Error, Observer};

/// How long to search and to learn.
#[derive(Debug, Clone, PartialEq)]
pub struct Search {
    /// Architectures that are tried; 0 takes [`Search::fixed`].
    pub candidates: usize,
    /// Updates of the final training.
    pub updates: usize,
    /// Updates after which a network that explains next to nothing is given up. `None`: never.
    pub give_up: Option<usize>,
    /// The architecture where nothing is searched.
    pub fixed: Architecture,
}

impl Default for Search {
    fn default() -> Self {
        Self {
            candidates: 9,
            updates: 5000,
            give_up: None,
            fixed: Architecture { hidden: vec![128, 128], learning_rate: 3e-3, decay: 0.0 },
        }
    }
}

/// What came out.
#[derive(Debug, Clone)]
pub(crate) struct Learned {
    pub layers: Vec<PlainLayer>,
    pub architecture: Architecture,
    /// The squared errors of the held-out examples, `[examples, outputs]`.
    pub missed: Batch,
}

/// Decays of the weights that are tried.
const DECAYS: [f64; 4] = [0.0, 0.1, 0.3, 1.0];
/// How often the held-out examples are asked.
const LOOKS: usize = 48;
/// Held-out examples that are asked each time.
const ASKED: usize = 1500;
/// Updates of each candidate in the first round of the search: this part of the final ones.
const FIRST_ROUND: usize = 16;
/// What a network that explains next to nothing leaves.
const NOTHING: f64 = 0.99;

/// Searches, then learns.
pub(crate) fn learn(
    [train, held_out]: [&Examples; 2],
    search: &Search,
    key: Key,
    observer: &dyn Observer,
) -> Result<Learned, Error> {
    let asked = held_out.thinned(ASKED);
    let found = find([train, &asked], search, key, observer);
    going(observer)?;
    observer.stage(&format!("network {:?}: {} updates, {} times", found.hidden, search.updates, DECAYS.len()));
    let trained: Vec<Option<(f64, Learner, Architecture)>> = DECAYS
        .par_iter()
        .map(|decay| {
            let architecture = Architecture { decay: *decay, ..found.clone() };
            let (score, learner) = train_one([train, &asked], &architecture, (search, key.branch("final")), observer)?;
            Some((score, learner, architecture))
        })
        .collect();
    going(observer)?;
    let best = trained.into_iter().flatten().min_by(|a, b| a.0.total_cmp(&b.0));
    let (_, learner, architecture) = best.ok_or_else(|| diverged(&found))?;
    Ok(Learned { layers: learner.plain(), architecture, missed: learner.missed(held_out) })
}

/// Learns with an architecture that was found before, its decay included.
pub(crate) fn learn_as(
    [train, held_out]: [&Examples; 2],
    architecture: &Architecture,
    (search, key): (&Search, Key),
    observer: &dyn Observer,
) -> Result<Learned, Error> {
    let asked = held_out.thinned(ASKED);
    let trained = train_one([train, &asked], architecture, (search, key.branch("final")), observer);
    going(observer)?;
    let (_, learner) = trained.ok_or_else(|| diverged(architecture))?;
    Ok(Learned { layers: learner.plain(), architecture: architecture.clone(), missed: learner.missed(held_out) })
}

fn diverged(architecture: &Architecture) -> Error {
    let message = format!("the network of {:?} gives numbers which are none: measure more shots", architecture.hidden);
    Error::Diverged { procedure: "learned", message }
}

/// The best state of one training by the held-out examples; `None` where it gives numbers which are none, or the observer ended it.
fn train_one(
    [train, held_out]: [&Examples; 2],
    architecture: &Architecture,
    (search, key): (&Search, Key),
    observer: &dyn Observer,
) -> Option<(f64, Learner)> {
    let mut learner = Learner::new(architecture, train, key);
    let mut best = (learner.score(held_out), learner.clone());
    let every = search.updates.div_ceil(LOOKS).max(1);
    for update in 0..search.updates {
        let course = update as f64 / search.updates as f64;
        let falling = 0.5 * (1.0 + (std::f64::consts::PI * course).cos());
        learner.update(train, architecture.learning_rate * falling.max(1e-3));
        if !(update + 1).is_multiple_of(every) && update + 1 < search.updates {
            continue;
        }
        let score = learner.score(held_out);
        if !score.is_finite() || observer.stop() {
            return None;
        }
        if score < best.0 {
            best = (score, learner.clone());
        }
        if search.give_up.is_some_and(|most| update >= most) && best.0 > NOTHING {
            break;
        }
    }
    Some(best)
}

/// The architecture that learns best in little time.
fn find([train, held_out]: [&Examples; 2], search: &Search, key: Key, observer: &dyn Observer) -> Architecture {
    let mut stream = key.branch("architectures").stream();
    let mut field: Vec<(Architecture, Learner)> = (0..search.candidates)
        .map(|number| {
            let architecture = draw(&mut stream);
            let learner = Learner::new(&architecture, train, key.branch("candidate").number(number as u64));
            (architecture, learner)
        })
        .collect();
    let mut updates = search.updates.div_ceil(FIRST_ROUND);
    while field.len() > 1 && !observer.stop() {
        observer.stage(&format!("network: {} architectures, {updates} updates each", field.len()));
        let mut scored: Vec<(f64, (Architecture, Learner))> = field
            .into_par_iter()
            .map(|(architecture, mut learner)| {
                for _ in 0..updates {
                    if observer.stop() {
                        break;
                    }
                    learner.update(train, architecture.learning_rate);
                }
                let score = learner.score(held_out);
                (if score.is_finite() { score } else { f64::MAX }, (architecture, learner))
            })
            .collect();
        scored.sort_by(|a, b| a.0.total_cmp(&b.0));
        let keep = scored.len().div_ceil(3).min(scored.len() - 1);
        field = scored.into_iter().take(keep).map(|(_, candidate)| candidate).collect();
        updates *= 3;
    }
    field.pop().map_or_else(|| search.fixed.clone(), |(architecture, _)| architecture)
}

/// A random architecture: one to three layers of 24 to 96, Adam's step from 1e-3 to 1e-2.
fn draw(stream: &mut Stream) -> Architecture {
    let depth = 1 + stream.below(3);
    let width = (24.0 * 4.0_f64.powf(f64::from(stream.uniform()))).round() as usize;
    let learning_rate = 1e-3 * 10.0_f64.powf(f64::from(stream.uniform()));
    Architecture { hidden: vec![width; depth], learning_rate, decay: 0.0 }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::network::{LearnedTwin, Network};
    use crate::trace::tests::card;
    use sims::Twin;

    fn examples(count: usize, seed: u64) -> Examples {
        let mut stream = Key::new(seed).stream();
        let features = Batch::from_fn(count, 3, |_, _| 2.0 * stream.uniform() - 1.0);
        let targets = Batch::from_fn(count, 2, |row, port| {
            let x = features.row(row);
            if port == 0 { x[0] * x[1] } else { (2.0 * x[2]).sin() }
        });
        Examples { features, targets }
    }

    /// What a network leaves of the mean square of held-out targets.
    fn left(learned: &Learned, held_out: &Examples) -> f64 {
        let sum = |values: &[f32], power: i32| values.iter().map(|value| f64::from(*value).powi(power)).sum::<f64>();
        sum(learned.missed.values(), 1) / sum(held_out.targets.values(), 2)
    }

    #[test]
    fn a_smooth_function_is_learned_and_runs_the_same_by_hand() {
        let (train, held_out) = (examples(1500, 1), examples(300, 2));
        let search = Search { candidates: 3, updates: 3000, ..Search::default() };
        let learned = learn([&train, &held_out], &search, Key::new(3), &crate::Unobserved).unwrap();
        let left = left(&learned, &held_out);
        assert!(left < 0.01, "{left}");
        let twin = LearnedTwin::new(card(3, 0, 2), None, Network::new(&learned.layers, [3, 0, 0]).unwrap());
        let predicted = twin.predict(&held_out.features, &[]);
        let pairs = || predicted.values().iter().zip(held_out.targets.values());
        let missed: f32 = pairs().map(|(a, b)| (a - b) * (a - b)).sum();
        let all: f32 = held_out.targets.values().iter().map(|value| value * value).sum();
        assert!((f64::from(missed / all) - left).abs() < 1e-4, "{} {left}", missed / all);
    }

    #[test]
    fn what_cannot_be_learned_is_given_up() {
        let noise = |seed: u64| {
            let mut stream = Key::new(seed).stream();
            let features = Batch::from_fn(300, 2, |_, _| stream.normal());
            Examples { features, targets: Batch::from_fn(300, 1, |_, _| stream.normal()) }
        };
        let search = Search { candidates: 0, updates: 1_000_000, give_up: Some(50), ..Search::default() };
        let held_out = noise(2);
        let learned = learn([&noise(1), &held_out], &search, Key::new(3), &crate::Unobserved).unwrap();
        assert!(left(&learned, &held_out) > 0.9);
    }
}
