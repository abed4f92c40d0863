//! How near the gradient that each estimator finds is to the true one for the shots that it spends, on a small network through a mesh with
//! fabrication errors.

use burn::tensor::Tensor;
use sims::Key;

use crate::Error;
use crate::data::Dataset;
use crate::document::Document;
use crate::network::{NamedTensor, Network, State, rows};
use crate::plants::{Derivatives, Lab, Rig};
use crate::training::estimator::{DifferencesConfig, Estimator, MultiplexedConfig, PepgConfig, Problem, SpsaConfig};
use crate::training::objective::objective;
use crate::training::{Experiment, Method, TrainingConfig};

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
