//! Small networks through one pass of a plant, trained by each method with the same number of shots, and the step size that is best for
//! each: accuracy on the plant against the shots that were spent.

use std::path::Path;
use std::time::Instant;

use sims::Key;

use crate::Error;
use crate::data::Dataset;
use crate::document::Document;
use crate::network::Network;
use crate::plants::{Lab, Rig};
use crate::training::{Experiment, Method, Trainer, TrainingConfig, upkeep, vowels};

/// What is learned, and through what.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Task {
    /// The digits of `digits-electrical` through one pass of the electrical plant.
    Digits,
    /// The vowels of `vowels-optical` through one pass of the optical plant.
    Vowels,
    /// The digits through nodes that settle, all of whose couplings are trained (`hil/rigs/systems/settling.toml`).
    Settling,
}

/// What digits have in common.
const DIGITS: &str = "[data]\nsource = \"digits\"\ntest = 500\n";

/// Digits through the circuit: the class that is tried, what drives each of 74 samples, a read-out.
fn electrical(first: &str) -> String {
    format!(
        r#"
[plants.electrical.simulated]
samples = 74
[[layers]]
kind = "label"
classes = 10
[[layers]]
{first}
[[layers]]
kind = "physical"
plant = "electrical"
[[layers]]
kind = "linear"
width = 10
"#
    )
}

/// A factor and a summand for each sample.
const FACTORS: &str = "kind = \"scale-offset\"\nwidth = 74\nscale = 1.0\nscale_spread = 0.1\noffset = -0.4";

/// A matrix in their place, for local learning, whose stages must mix the class with the rest by themselves: its samples come after those
/// of the pixels, which the circuit has read by then.
const MATRIX: &str = "kind = \"linear\"\nwidth = 74";

/// Vowels: twelve formants and the class that is tried over the 50 channels of data, one gain, the light with its 50 controls, a read-out.
const OPTICAL: &str = r#"
[plants.optical.simulated]
mismatch = 0.8
[[layers]]
kind = "label"
classes = 7
[[layers]]
kind = "repeat"
width = 50
order = "hold"
[[layers]]
kind = "skip"
from = 1
gain = 0.0
trainable = true
[[layers]]
kind = "physical"
plant = "optical"
control_spread = 0.3
[[layers]]
kind = "scale"
scale = 9.0
[[layers]]
kind = "linear"
width = 7
"#;

/// Digits through nodes that settle: what drives them and no push, their answers, a read-out.
const SETTLING: &str = r#"
[[layers]]
kind = "pad"
width = 74
[[layers]]
kind = "physical"
plant = "settling"
control_spread = 0.05
[[layers]]
kind = "pick"
from = 0
count = 10
[[layers]]
kind = "scale"
scale = 16.0
[[layers]]
kind = "linear"
width = 10
"#;

impl Task {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Digits, Self::Vowels, Self::Settling];

    /// What it is called in tables.
    pub fn name(self) -> &'static str {
        match self {
            Self::Digits => "digits, electrical",
            Self::Vowels => "vowels, optical",
            Self::Settling => "digits, settling",
        }
    }

    fn text(self, method: Method) -> String {
        let (data, batch, layers) = match self {
            Self::Digits if method == Method::Phyll => (DIGITS.to_owned(), 10, electrical(MATRIX)),
            Self::Digits => (DIGITS.to_owned(), 10, electrical(FACTORS)),
            Self::Vowels => (vowels::data(84, "maximum"), 50, OPTICAL.to_owned()),
            Self::Settling => (DIGITS.to_owned(), 50, SETTLING.to_owned()),
        };
        format!("name = \"budget\"\n{data}[training]\nbatch = {batch}\n[training.pepg]\npairs = 4\n{layers}")
    }

    fn plant(self) -> &'static str {
        match self {
            Self::Digits => "electrical",
            Self::Vowels => "optical",
            Self::Settling => "settling",
        }
    }

    /// Data of a seed; vowels lie in `folder`.
    pub fn data(self, folder: Option<&Path>, seed: u64) -> Result<Dataset, Error> {
        let (experiment, document) = self.experiment(Method::PhysicsAware)?;
        let folder = folder.filter(|_| experiment.data.reads_files());
        Dataset::load(&experiment.data, folder, &document, Key::new(seed).branch("data"))
    }

    /// The network, which of digits is another one for local learning.
    fn experiment(self, method: Method) -> Result<(Experiment, Document), Error> {
        let document = Document::parse(self.name(), &self.text(method))?;
        Ok((document.check()?, document))
    }
}

/// Step sizes of which each method gets the one with the best validation.
pub const RATES: [f64; 4] = [0.003, 0.01, 0.03, 0.1];
/// The seed by which they are chosen, which is not reported.
const TUNED_ON: u64 = 101;
/// Points of a curve, the last at the end, each at half the shots of the next.
const POINTS: u32 = 9;
/// Updates that a method must come to within a budget.
const FEWEST: usize = 10;

/// What a training came to.
#[derive(Debug, Clone)]
pub struct Learned {
    /// Shots that trained, and the accuracy of the test rows on the plant.
    pub curve: Vec<(f64, f64)>,
    /// Shots that trained; of a method that trains in silico none.
    pub shots: f64,
    /// Bench time of these, by the plant's card, in s.
    pub bench_seconds: f64,
    /// Time that the updates took here, in s.
    pub seconds: f64,
}

impl Learned {
    /// The accuracy at the end.
    pub fn accuracy(&self) -> f64 {
        self.curve.last().map_or(f64::NAN, |(_, accuracy)| *accuracy)
    }
}

/// What can be trained within so many shots, in updates; a method without shots makes as many as one with a single pass.
fn updates(method: Method, training: &TrainingConfig, weights: usize, shots: u64) -> usize {
    let passes = method.plant_passes(training, weights).max(1);
    shots as usize / (passes * training.batch)
}

/// Trains by `method` within so many shots at a step size; none where the method cannot train this network in them.
pub fn learn(
    (task, method): (Task, Method),
    data: &Dataset,
    (seed, shots, rate): (u64, u64, f64),
) -> Result<Option<Learned>, Error> {
    let (experiment, document) = task.experiment(method)?;
    let opened = Rig::find(None, &document)?.open(&[task.plant()], seed)?;
    let mut lab = Lab::new(opened, method.derivatives())?;
    let network = Network::build(&experiment.layers, &document, &lab, data)?;
    if method.fits(&network, &experiment.training, &document).is_err() {
        return Ok(None);
    }
    let batch = experiment.training.batch.min(data.train.len());
    let mut training = TrainingConfig { learning_rate: rate, batch, evaluate_every: 0, ..experiment.training };
    training.steps = updates(method, &training, network.weight_count(), shots);
    if training.steps < FEWEST {
        return Ok(None);
    }
    if method == Method::NoiseAware {
        upkeep::add_noise(&mut lab, Key::new(seed))?;
    }
    let before = lab.meter();
    let mut trainer = Trainer::new(network, data, &training, method, Key::new(seed));
    let points: Vec<usize> = (0..POINTS).map(|halves| training.steps >> halves).collect();
    let per_update = shots as f64 / training.steps as f64;
    let mut found =
        Learned { curve: vec![], shots: before.shots as f64, bench_seconds: before.plant_seconds, seconds: 0.0 };
    for step in 1..=training.steps {
        Error::if_stopped()?;
        let (start, before) = (Instant::now(), lab.meter());
        trainer.step(step, &mut lab)?;
        found.seconds += start.elapsed().as_secs_f64();
        let after = lab.meter();
        found.shots += (after.shots - before.shots) as f64;
        found.bench_seconds += after.plant_seconds - before.plant_seconds;
        if points.contains(&step) {
            found.curve.push((per_update * step as f64, trainer.test_scores(&mut lab)?.first()));
        }
    }
    Ok(Some(found))
}

/// The step size of [`RATES`] with which `method` is best on the validation rows of another seed, after a part of the shots.
pub fn tuned((task, method): (Task, Method), folder: Option<&Path>, shots: u64) -> Result<f64, Error> {
    let mut data = task.data(folder, TUNED_ON)?;
    // Tests of this data set are those of its validation rows: the test rows are met by no choice.
    data.test = data.validation.clone();
    let mut best = (f64::NEG_INFINITY, RATES[1]);
    // Ridge regression makes no steps.
    let rates = if method == Method::Reservoir { &RATES[..1] } else { &RATES[..] };
    for rate in rates {
        let found = match learn((task, method), &data, (TUNED_ON, shots, *rate)) {
            // A step that is too large is not chosen.
            Err(Error::Diverged { .. }) => continue,
            found => found?,
        };
        let accuracy = found.map_or(f64::NEG_INFINITY, |found| found.accuracy());
        if best.0 < accuracy {
            best = (accuracy, *rate);
        }
    }
    Ok(best.1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_networks_can_be_built_and_methods_spend_what_they_may() {
        let data = Task::Digits.data(None, 1).unwrap();
        for (method, spent) in
            [(Method::PhysicsAware, 1000.0), (Method::Phyll, 1000.0), (Method::InSilico, 0.0), (Method::Spsa, 1000.0)]
        {
            let found = learn((Task::Digits, method), &data, (1, 1000, 0.01)).unwrap().unwrap();
            assert_eq!(found.shots, spent, "{method}");
            assert!((found.curve.last().unwrap().0 - 1000.0).abs() < 1e-6 && 0.0 < found.accuracy(), "{method}");
        }
        // 884 weights, each moved alone, are no updates within a thousand shots; and too many for a covariance.
        for method in [Method::FiniteDifferences, Method::CmaEs] {
            assert!(learn((Task::Digits, method), &data, (1, 1000, 0.01)).unwrap().is_none(), "{method}");
        }
        let (experiment, document) = Task::Vowels.experiment(Method::PhysicsAware).unwrap();
        let lab =
            Lab::new(Rig::find(None, &document).unwrap().open(&["optical"], 1).unwrap(), Method::Phyll.derivatives());
        let network = Network::build(&experiment.layers, &document, &lab.unwrap(), [12, 7]).unwrap();
        assert!(network.weight_count() <= 500, "small enough for every method");
        for method in Method::ALL {
            let settles = method == Method::EquilibriumPropagation;
            assert_eq!(method.fits(&network, &experiment.training, &document).is_ok(), !settles, "{method}");
        }
    }
}
