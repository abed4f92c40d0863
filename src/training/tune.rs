//! Knobs are turned until a bench, or a program, reads as it should: the search itself, whatever is turned (after Yakura, Koyama and Goto, Tool- and
//! Domain-Agnostic Parameterization of Style Transfer Effects, arXiv 2105.09207).
//!
//! What is read for a fixed set of stimuli is a signature (`calibration::Signature`); the squared distance from a reference is made small by settings
//! alone. At the end each knob is moved a little to both sides: one that moves the signature by no more than its noise cannot be found by it.

mod bench;
mod desk;
mod features;
mod journal;
mod tool;

use serde::Serialize;
use sims::Key;

use crate::{Error, stop};
use calibration::{KeptSetting, Signature, Strategy, Tuner};

pub use bench::{Healthy, Metric, Tuned, Tuning, take_reference};
pub use desk::{About, Desk, ended};
pub use journal::{Journal, Known};
pub use tool::{Tool, ToolFile, ToolKnob};

/// How far a knob is moved at the end, as a share of its range.
const PROBE: f64 = 0.1;
/// A knob is seen where moving it changes the signature by so many times the noise of one signature, squared.
const SEEN: f64 = 4.0;
/// Changes of a signature below this square are rounding.
const ROUNDING: f64 = 1e-10;
/// Two knobs hang together where the cosine between what they change is at least this.
const ALIKE: f64 = 0.95;

/// One knob as the search sees it.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Range {
    /// Its name.
    pub name: String,
    /// Its unit.
    pub unit: String,
    /// Smallest value.
    pub low: f32,
    /// Largest value.
    pub high: f32,
    /// Where it stands at first.
    pub value: f32,
}

impl Range {
    fn share(&self, value: f32) -> f64 {
        f64::from((value - self.low) / (self.high - self.low)).clamp(0.0, 1.0)
    }

    fn at(&self, share: f64) -> f32 {
        ((f64::from(self.low) + share * f64::from(self.high - self.low)) as f32).clamp(self.low, self.high)
    }
}

/// What is turned and read.
pub trait Turned {
    /// The signature with the knobs at these values.
    fn read(&mut self, values: &[f32]) -> Result<Signature, Error>;

    /// Asked before each signature: waits where somebody pauses, and is an error where somebody ends the search.
    fn gate(&mut self) -> Result<(), Error> {
        if stop::requested() { Err(Error::TuningStopped) } else { Ok(()) }
    }

    /// Where it is in its life, so that a search which goes on reads what it would have read.
    fn moment(&self) -> String {
        String::new()
    }
}

/// One signature that was read, or that is known from before.
#[derive(Debug, Clone, Copy)]
pub struct Trial<'a> {
    /// Its number, counted from 1.
    pub number: usize,
    /// What the search was doing.
    pub stage: &'a str,
    /// The knobs.
    pub values: &'a [f32],
    /// The squared distance from the reference.
    pub squared: f64,
    /// Where what is turned was in its life after it.
    pub moment: &'a str,
    /// Whether the search was told of it: it goes on with it. Those that only measure what each knob changes are none.
    pub is_told: bool,
    /// Whether it was read before the search went on.
    pub is_known: bool,
}

/// How it is searched.
#[derive(Debug, Clone, Copy)]
pub struct Search {
    /// Signatures to read, in all.
    pub evaluations: usize,
    /// How.
    pub strategy: Strategy,
    /// Draws what is random.
    pub key: Key,
}

/// One setting that was tried.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Tried {
    /// The knobs.
    pub values: Vec<f32>,
    /// How far the signature was from the reference.
    pub distance: f64,
}

/// What became of one knob.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct KnobFound {
    /// Its name.
    pub name: String,
    /// Its unit.
    pub unit: String,
    /// Where it stood.
    pub before: f32,
    /// Where it stands.
    pub after: f32,
    /// How much a tenth of its range changes the signature, beside the noise of a signature.
    pub effect: f64,
    /// Whether the signature sees it: its value means something.
    pub seen: bool,
    /// Knobs that change the signature as it does: one of them could stand in for the other.
    pub alike: Vec<String>,
}

/// What a search has found.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Found {
    /// Signatures that were read.
    pub evaluations: usize,
    /// The distance at the start and of what is kept, each the root of a mean of several.
    pub distance_before: f64,
    /// Of what is kept.
    pub distance_after: f64,
    /// What is left between two signatures of one setting.
    pub noise: f64,
    /// Whether something better than the start was found.
    pub is_better: bool,
    /// Each knob.
    pub knobs: Vec<KnobFound>,
    /// Each setting that was tried, in its order.
    pub path: Vec<Tried>,
}

/// Sees each signature.
type Note<'a> = dyn FnMut(&Trial<'_>) -> Result<(), Error> + 'a;
/// What a knob's tenths of its range are called while they are tried.
const SENSITIVITY: &str = "sensitivity";

impl Trial<'_> {
    /// As it is known to a search that goes on.
    pub fn known(&self) -> Known {
        Known { values: self.values.to_vec(), squared: self.squared, moment: self.moment.to_owned() }
    }

    /// The distance from the reference.
    pub fn distance(&self) -> f64 {
        self.squared.max(0.0).sqrt()
    }
}

impl Search {
    /// The fewest signatures that make sense for so many knobs.
    pub fn fewest(knobs: usize) -> usize {
        Tuner::fewest(knobs) + 2 * knobs + 2
    }

    /// Searches. What was told before is in `known`; each signature goes to `note`. A stop by the user is an error.
    pub fn run(
        &self,
        ranges: &[Range],
        reference: &Signature,
        turned: &mut dyn Turned,
        (known, note): (&[Known], &mut Note<'_>),
    ) -> Result<Found, Error> {
        let fewest = Self::fewest(ranges.len());
        if self.evaluations < fewest {
            return Err(Error::Usage(format!(
                "--evaluations {}: {} knobs need at least {fewest}",
                self.evaluations,
                ranges.len()
            )));
        }
        let start: Vec<f64> = ranges.iter().map(|range| range.share(range.value)).collect();
        let own = self.evaluations - (2 * ranges.len() + 2);
        let mut tuner = Tuner::new(&start, own, self.strategy, self.key);
        let at =
            |shares: &[f64]| ranges.iter().zip(shares).map(|(range, share)| range.at(*share)).collect::<Vec<f32>>();
        let mut path = Vec::new();
        while let Some(shares) = tuner.ask() {
            let (values, before) = (at(&shares), known.get(path.len()));
            let (squared, moment) = if let Some(known) = before {
                (known.squared, known.moment.clone())
            } else {
                turned.gate()?;
                (turned.read(&values)?.squared_distance(reference)?, turned.moment())
            };
            note(&Trial {
                number: path.len() + 1,
                stage: tuner.stage(),
                values: &values,
                squared,
                moment: &moment,
                is_told: true,
                is_known: before.is_some(),
            })?;
            tuner.tell(squared);
            path.push(Tried { values, distance: squared.max(0.0).sqrt() });
        }
        let kept =
            tuner.kept().unwrap_or(KeptSetting { setting: start, value: f64::NAN, start: f64::NAN, is_better: false });
        let (mut knobs, noise) = Self::probe(ranges, &kept.setting, reference, (turned, path.len(), note))?;
        // What looks better although no knob changes anything is luck.
        let is_better = kept.is_better && knobs.iter().any(|knob| knob.seen);
        if !is_better {
            for knob in &mut knobs {
                knob.after = knob.before;
            }
        }
        let after = if is_better { kept.value } else { kept.start };
        Ok(Found {
            evaluations: path.len() + 2 * ranges.len() + 2,
            distance_before: kept.start.max(0.0).sqrt(),
            distance_after: after.max(0.0).sqrt(),
            noise,
            is_better,
            knobs,
            path,
        })
    }

    /// What each knob changes around a setting, and the noise of a signature there.
    fn probe(
        ranges: &[Range],
        setting: &[f64],
        reference: &Signature,
        (turned, done, note): (&mut dyn Turned, usize, &mut Note<'_>),
    ) -> Result<(Vec<KnobFound>, f64), Error> {
        let difference = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a - b).collect::<Vec<f64>>();
        let square = |values: &[f64]| values.iter().map(|value| value * value).sum::<f64>();
        let mut number = done;
        let mut seen = |shares: &[f64]| -> Result<Vec<f64>, Error> {
            turned.gate()?;
            let values: Vec<f32> = ranges.iter().zip(shares).map(|(range, share)| range.at(*share)).collect();
            let seen = turned.read(&values)?.seen_from(reference)?;
            number += 1;
            let (squared, moment) = (square(&seen), turned.moment());
            let moment = &moment;
            let stage = SENSITIVITY;
            note(&Trial { number, stage, values: &values, squared, moment, is_told: false, is_known: false })?;
            Ok(seen)
        };
        let (one, other) = (seen(setting)?, seen(setting)?);
        let noise = square(&difference(&one, &other));
        let mut changes = Vec::with_capacity(ranges.len());
        for knob in 0..ranges.len() {
            let mut side = |by: f64| {
                let mut moved = setting.to_vec();
                moved[knob] = (moved[knob] + by).clamp(0.0, 1.0);
                seen(&moved)
            };
            changes.push(difference(&side(PROBE)?, &side(-PROBE)?));
        }
        let cosine = |a: &[f64], b: &[f64]| {
            a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>().abs()
                / (square(a) * square(b)).sqrt().max(f64::MIN_POSITIVE)
        };
        let is_seen = |change: &[f64]| SEEN * noise + ROUNDING < square(change);
        let of = |(knob, range): (usize, &Range)| KnobFound {
            name: range.name.clone(),
            unit: range.unit.clone(),
            before: range.value,
            after: range.at(setting[knob]),
            effect: square(&changes[knob]).sqrt(),
            seen: is_seen(&changes[knob]),
            alike: (0..ranges.len())
                .filter(|other| {
                    *other != knob
                        && is_seen(&changes[knob])
                        && is_seen(&changes[*other])
                        && ALIKE <= cosine(&changes[knob], &changes[*other])
                })
                .map(|other| ranges[other].name.clone())
                .collect(),
        };
        Ok((ranges.iter().enumerate().map(of).collect(), noise.sqrt()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Forty stimuli through y = gain · tanh(x + bias), a second output of the same by another gain, and knobs that do nothing or the same as another.
    struct Toy(u64);

    impl Turned for Toy {
        fn read(&mut self, values: &[f32]) -> Result<Signature, Error> {
            self.0 += 1;
            let mut stream = Key::new(self.0).stream();
            let (gain, bias) = (f64::from(values[0] * values[3]), f64::from(values[1]));
            let rows: Vec<f64> = (0..40)
                .flat_map(|k| {
                    let x = (1.3 * f64::from(k)).sin() + bias;
                    let mut noise = || 0.002 * f64::from(stream.normal());
                    [gain * x.tanh() + noise(), 0.5 * x.tanh().powi(2) + noise()]
                })
                .collect();
            Ok(Signature::of("toy", &rows, 2))
        }
    }

    fn ranges() -> Vec<Range> {
        let range = |name: &str, low, high, value| Range { name: name.into(), unit: "1".into(), low, high, value };
        vec![
            range("gain", 0.5, 2.0, 1.0),
            range("bias", -1.0, 1.0, 0.0),
            range("idle", 0.0, 1.0, 0.5),
            range("level", 0.5, 2.0, 1.0),
        ]
    }

    #[test]
    fn it_finds_what_a_signature_can_tell_and_says_what_it_cannot() {
        let reference = Toy(1_000_000).read(&[1.3, 0.4, 0.5, 1.0]).unwrap();
        let search = Search { evaluations: 150, strategy: Strategy::PatternFirst, key: Key::new(1) };
        let mut noted = Vec::new();
        let mut note = |trial: &Trial<'_>| {
            let values = trial.values.iter().zip(ranges());
            assert!(values.into_iter().all(|(value, range)| range.low <= *value && *value <= range.high));
            noted.extend(trial.is_told.then(|| Known { squared: trial.squared, ..Known::default() }));
            Ok(())
        };
        let found = search.run(&ranges(), &reference, &mut Toy(0), (&[], &mut note)).unwrap();
        assert!(found.evaluations <= 150 && found.is_better, "{found:?}");
        assert!(
            found.distance_after < 0.1 * found.distance_before,
            "{} to {}",
            found.distance_before,
            found.distance_after
        );
        let knob = |name: &str| found.knobs.iter().find(|knob| knob.name == name).unwrap();
        assert!((knob("bias").after - 0.4).abs() < 0.03, "{:?}", knob("bias"));
        assert!((knob("gain").after * knob("level").after - 1.3).abs() < 0.05);
        assert!(!knob("idle").seen && knob("gain").seen && knob("bias").seen);
        assert_eq!(
            (&knob("gain").alike[..], &knob("level").alike[..]),
            (&["level".to_owned()][..], &["gain".to_owned()][..])
        );
        assert!(knob("bias").alike.is_empty());
        // Half of it told again leads to the same end.
        let mut more = Vec::new();
        let mut note = |trial: &Trial<'_>| {
            more.extend(trial.is_told.then_some(trial.squared));
            Ok(())
        };
        let again = search
            .run(&ranges(), &reference, &mut Toy(noted.len() as u64 / 2), (&noted[..noted.len() / 2], &mut note))
            .unwrap();
        assert_eq!(again.path, found.path);
        assert_eq!(more, noted.iter().map(|known| known.squared).collect::<Vec<_>>());
        assert_eq!(again, found, "what was measured around the end as well");
    }

    #[test]
    fn too_few_evaluations_are_refused_with_how_many_it_takes() {
        let reference = Toy(0).read(&[1.0, 0.0, 0.5, 1.0]).unwrap();
        let search = Search { evaluations: 20, strategy: Strategy::PatternFirst, key: Key::new(1) };
        let refused = search.run(&ranges(), &reference, &mut Toy(0), (&[], &mut |_| Ok(()))).unwrap_err().to_string();
        assert!(refused.contains("--evaluations 20: 4 knobs need at least 34"), "{refused}");
    }
}
