//! What methods do on one bench: the network of Sharpness-Aware-Training behind a mesh with fabrication errors, and how near the gradient that
//! each estimator finds is to the true one for the shots that it spends.

use std::ops::ControlFlow;
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use burn::tensor::Tensor;
use calibration::{Corrected, Stimuli, Watch, correct, measure};
use sims::{Key, Twin};

use crate::Error;
use crate::data::Dataset;
use crate::document::Document;
use crate::network::{NamedTensor, Network, State, rows};
use crate::plants::{Derivatives, Lab, Opened, Rig};
use crate::training::estimator::{DifferencesConfig, Estimator, MultiplexedConfig, PepgConfig, Problem, SpsaConfig};
use crate::training::objective::objective;
use crate::training::{Experiment, Method, Trainer, TrainingConfig};

/// One way to train the published network.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Way {
    /// What it is called in tables.
    pub name: &'static str,
    /// The method.
    pub method: Method,
    /// Whether phases and couplers of the twin are fitted to the mesh's own shots first.
    pub calibrated: bool,
    /// The published accuracy, where there is one.
    pub published: Option<f64>,
    /// The optimizer of the published program: SGD 0.1 with momentum 0.5, or Adam 0.1.
    pub with_sgd: bool,
}

/// The rows of the table.
pub const WAYS: [Way; 6] = [
    way("in silico", Method::InSilico, Some(0.686), true),
    way("physics-aware", Method::PhysicsAware, Some(0.702), true),
    way("sharpness-aware in silico", Method::SharpnessInSilico, Some(0.923), false),
    way("sharpness- and physics-aware", Method::SharpnessAware, Some(0.971), false),
    Way { calibrated: true, ..way("calibrated first, then physics-aware", Method::PhysicsAware, None, false) },
    way("ideal", Method::Ideal, None, false),
];

const fn way(name: &'static str, method: Method, published: Option<f64>, with_sgd: bool) -> Way {
    Way { name, method, calibrated: false, published, with_sgd }
}

/// How much is trained.
#[derive(Debug, Clone, Copy)]
pub struct Size {
    /// Training and test images.
    pub images: [usize; 2],
    /// Passes over them, and images of an update.
    pub epochs: usize,
    /// See `epochs`.
    pub batch: usize,
    /// Shots that phases and couplers are fitted to, and shots of each setting.
    pub shots: [usize; 2],
}

/// What one training came to.
#[derive(Debug, Clone, Copy)]
pub struct Trained {
    /// Accuracy of the test images on the mesh.
    pub accuracy: f64,
    /// Shots that trained, those of a calibration included.
    pub shots: f64,
    /// Bench time of all shots, tests included, by the plant's card, in s.
    pub bench_seconds: f64,
    /// Time that it took here, in s.
    pub seconds: f64,
}

/// The images, the same for all ways of a seed.
pub fn images(size: Size, folder: &Path, seed: u64) -> Result<Dataset, Error> {
    let (experiment, document) = experiment(size, seed, false)?;
    Dataset::load(&experiment.data, Some(folder), &document, Key::new(seed).branch("data"))
}

/// The experiment `mnist-mesh` in this size on the chip of `seed`, with its own optimizer or the published one.
fn experiment(size: Size, seed: u64, with_sgd: bool) -> Result<(Experiment, Document), Error> {
    let mut assignments = vec![
        format!("data.train={}", size.images[0]),
        format!("data.test={}", size.images[1]),
        format!("training.epochs={}", size.epochs),
        format!("training.batch={}", size.batch),
        format!("plants.mesh.simulated.plant_seed={seed}"),
        format!("seed={seed}"),
    ];
    if with_sgd {
        let sgd = ["training.optimizer=\"sgd\"", "training.learning_rate=0.1", "training.momentum=0.5"];
        assignments.extend(sgd.map(str::to_owned));
    }
    Experiment::find("mnist-mesh", &assignments)
}

/// Trains the network by `way` on the chip of `seed`: as published, or all with the one optimizer of the experiment.
pub fn train(way: Way, size: Size, data: &Dataset, seed: u64, as_published: bool) -> Result<Trained, Error> {
    let start = Instant::now();
    let (experiment, mut document) = experiment(size, seed, as_published && way.with_sgd)?;
    let mut training = experiment.training.counted(data.train.len());
    if as_published && !way.with_sgd {
        training.learning_rate = 0.1;
        document.set("training.learning_rate=0.1")?;
    }
    let mut opened = Rig::find(None, &document)?.open(&["mesh"], seed)?;
    let calibrated = if way.calibrated { calibrate(&mut opened, size, seed)? } else { 0 };
    let mut lab = Lab::new(opened, way.method.derivatives())?;
    let network = Network::build(&experiment.layers, &document, &lab, data)?;
    let mut trainer = Trainer::new(network, data, &training, way.method, Key::new(seed));
    let before = lab.meter().shots;
    (1..=training.steps).try_for_each(|step| trainer.step(step, &mut lab).map(drop))?;
    let shots = lab.meter().shots - before;
    let accuracy = trainer.test_scores(&mut lab)?.first();
    Ok(Trained {
        accuracy,
        shots: (shots + calibrated as u64) as f64,
        bench_seconds: lab.meter().plant_seconds,
        seconds: start.elapsed().as_secs_f64(),
    })
}

/// Fits the phases and couplers of the mesh to its own shots, and puts them into its twin; how many shots that took.
fn calibrate(opened: &mut [Opened], size: Size, seed: u64) -> Result<usize, Error> {
    let [shots, per_setting] = size.shots;
    for plant in opened {
        let Some(model) = plant.adjustable.clone() else { continue };
        let key = Key::new(seed).branch("calibration");
        let stimuli = Stimuli::white(&model.card().ports, shots, per_setting, key);
        let mut watch = Watch { now: &mut || None, progress: &mut |_| ControlFlow::Continue(()) };
        let trace = measure(&mut plant.plant, &stimuli, 1, &mut watch).map_err(Error::calibration(&plant.name))?;
        let Some(trace) = trace else { continue };
        let nominal = model.coefficients().iter().map(|coefficient| coefficient.nominal).collect();
        let fitted = correct(&*model, &trace, &Corrected { coefficients: nominal, corrections: vec![] }, 5);
        let twin: Arc<dyn Twin> = model.adjusted(&fitted.coefficients, &fitted.corrections);
        plant.twin = twin;
    }
    Ok(shots)
}

/// How near an estimate is to the true gradient.
#[derive(Debug, Clone, PartialEq)]
pub struct Estimated {
    /// The method, and what of its settings differs.
    pub name: String,
    /// Passes of the batch through the plant.
    pub passes: usize,
    /// The cosine of the angle between the estimate and the gradient by the plant's own physics.
    pub cosine: f64,
}

/// Updates and chips that a cosine is the mean over.
const REPEATS: u64 = 4;

/// A small network through a mesh of six modes: about a hundred weights.
const SMALL: &str = r#"
name = "estimates"
[data]
source = "digits"
[plants.mesh.simulated]
modes = 6
coupler_error = 0.15
phase_error = 0.15
imperfections = { detector_noise = 0.002 }
[[layers]]
kind = "linear"
width = 6
[[layers]]
kind = "scale-offset"
scale = 0.5
[[layers]]
kind = "physical"
plant = "mesh"
control_distribution = "uniform"
control_spread = 0.1443
[[layers]]
kind = "linear"
width = 3
"#;

/// The estimators with their budgets, of a network with so many weights.
fn budgets(weights: usize) -> Vec<(String, Method, TrainingConfig)> {
    let config = TrainingConfig { range_penalty: 0.0, ..TrainingConfig::default() };
    let mut all = vec![
        ("physics-aware".to_owned(), Method::PhysicsAware, config.clone()),
        ("in-silico".to_owned(), Method::InSilico, config.clone()),
        ("feedback-alignment".to_owned(), Method::FeedbackAlignment, config.clone()),
    ];
    for pairs in [1, 4, 16, 64] {
        let spsa = SpsaConfig { perturbation: 0.02, decay: 0.0, pairs };
        all.push((format!("spsa, {pairs} pairs"), Method::Spsa, TrainingConfig { spsa: Some(spsa), ..config.clone() }));
        let pepg = PepgConfig { deviation: 0.02, pairs, deviation_rate: 0.0 };
        all.push((format!("pepg, {pairs} pairs"), Method::Pepg, TrainingConfig { pepg: Some(pepg), ..config.clone() }));
    }
    for window in [8, 32, (weights + 1).next_power_of_two()] {
        let multiplexed = MultiplexedConfig { window, ..MultiplexedConfig::default() };
        let config = TrainingConfig { multiplexed: Some(multiplexed), ..config.clone() };
        all.push((format!("multiplexed, window {window}"), Method::Multiplexed, config));
    }
    let differences = TrainingConfig { finite_differences: Some(DifferencesConfig::default()), ..config };
    all.push(("finite-differences".to_owned(), Method::FiniteDifferences, differences));
    all
}

/// How near each estimator's gradient is to the true one, for the passes that it takes: the mean over some chips.
pub fn estimates() -> Result<Vec<Estimated>, Error> {
    let document = Document::parse("estimates", SMALL)?;
    let experiment: Experiment = document.check()?;
    let data = Dataset::clusters([8, 3], 1.5, [64, 0, 3], false, Key::new(1).branch("estimates"));
    let mut found: Vec<Estimated> = Vec::new();
    for chip in 1..=REPEATS {
        let mut document = Document::parse("estimates", SMALL)?;
        document.set(&format!("plants.mesh.simulated.plant_seed={chip}"))?;
        let lab = |derivatives| Lab::new(Rig::find(None, &document)?.open(&["mesh"], chip)?, derivatives);
        let mut exact_lab = lab(Derivatives::Plant)?;
        let network = Network::build(&experiment.layers, &document, &exact_lab, &data)?;
        let named = network
            .weights(Key::new(chip))
            .into_iter()
            .map(|(name, weight)| NamedTensor { name, tensor: rows::tensor(weight.values, weight.shape) });
        let weights: Vec<NamedTensor> = named.collect();
        let (state, objective) = (State::default(), objective(&data));
        let all: Vec<usize> = (0..data.train.len()).collect();
        let (values, targets) = data.train.pick(&all, data.width);
        let inputs: Tensor<2> = rows::tensor(values, [targets.len(), data.width]);
        let gradient = |estimator: &mut dyn Estimator, config: &TrainingConfig, lab: &mut Lab| {
            let problem = Problem {
                network: &network,
                weights: &weights,
                state: &state,
                inputs: inputs.clone(),
                targets: &targets,
                objective: &*objective,
                config,
                step: 1,
            };
            let gradients = estimator.estimate(&problem, lab)?.gradients;
            let each = gradients.into_iter().zip(&weights).flat_map(|(gradient, weight)| {
                gradient.unwrap_or_else(|| vec![0.0; weight.tensor.dims().iter().product()])
            });
            Ok::<Vec<f32>, Error>(each.collect())
        };
        let config = TrainingConfig { range_penalty: 0.0, ..TrainingConfig::default() };
        let exact = gradient(&mut *Method::Ideal.estimator(&config, Key::new(chip)), &config, &mut exact_lab)?;
        for (place, (name, method, config)) in budgets(network.weight_count()).into_iter().enumerate() {
            let mut estimator = method.estimator(&config, Key::new(chip));
            let estimate = gradient(&mut *estimator, &config, &mut lab(Derivatives::Twin)?)?;
            let passes = method.plant_passes(&config, network.weight_count());
            if found.len() == place {
                found.push(Estimated { name, passes, cosine: 0.0 });
            }
            found[place].cosine += cosine(&estimate, &exact) / REPEATS as f64;
        }
    }
    Ok(found)
}

/// The cosine of the angle between two rows; 0 where one is nothing.
fn cosine(one: &[f32], other: &[f32]) -> f64 {
    let dot = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum::<f64>();
    let length = (dot(one, one) * dot(other, other)).sqrt();
    if length > 0.0 { dot(one, other) / length } else { 0.0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn more_passes_come_nearer_to_the_gradient() {
        let found = estimates().unwrap();
        let of = |name: &str| found.iter().find(|one| one.name == name).unwrap();
        assert_eq!((of("physics-aware").passes, of("in-silico").passes, of("spsa, 64 pairs").passes), (1, 0, 128));
        assert!(of("spsa, 1 pairs").cosine < of("spsa, 64 pairs").cosine, "{found:?}");
        assert!(of("multiplexed, window 8").cosine < of("multiplexed, window 128").cosine, "{found:?}");
        assert!(0.9 < of("finite-differences").cosine && of("finite-differences").cosine <= 1.0, "{found:?}");
        assert_eq!(cosine(&[1.0, 0.0], &[0.0, 2.0]), 0.0);
        assert!((cosine(&[1.0, 1.0], &[2.0, 2.0]) - 1.0).abs() < 1e-12);
    }
}
