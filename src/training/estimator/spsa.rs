//! Simultaneous perturbation stochastic approximation (Spall, IEEE Trans. Automat. Contr. 37, 332, 1992): no twin, two passes through
//! the plant for each estimate, whatever the number of weights.
//!
//! ```text
//! g = (L(w + c Δ) − L(w − c Δ)) / (2 c) · Δ        Δ: ±1 for each weight, at random        c = perturbation / stepᵞ
//! ```
//!
//! For small `c` its mean is the gradient; each component carries the noise of all others, so it learns slower the more weights there
//! are. Several pairs are averaged. Values that leave their range are clamped as always, so a perturbation reaches no plant outside it.

use burn::tensor::Tensor;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use sims::Key;

use super::{Estimate, Estimator, Graph, Loss, Problem, sharpness};
use crate::Error;
use crate::document::Document;
use crate::network::{Pass, Purpose, State, Usage, rows};
use crate::plants::{Forward, Lab};

/// How gradients are estimated from perturbations of all weights at once: the table `[training.spsa]`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct SpsaConfig {
    /// How far each weight is moved, either way, in the first update (0.05): in the weight's own unit, so controls in full scales.
    #[schemars(range(max = 1000), extend("exclusiveMinimum" = 0))]
    pub perturbation: f64,
    /// The perturbation falls as the number of the update to this power (0.101, after Spall).
    #[schemars(range(min = 0, max = 1))]
    pub decay: f64,
    /// Pairs of passes that are averaged in each update (1).
    #[schemars(range(min = 1, max = 10_000))]
    pub pairs: usize,
}

impl Default for SpsaConfig {
    fn default() -> Self {
        Self { perturbation: 0.05, decay: 0.101, pairs: 1 }
    }
}

impl SpsaConfig {
    /// How often an update drives a plant with its batch.
    pub fn passes(&self) -> usize {
        2 * self.pairs
    }

    /// Refuses numbers that estimate nothing.
    pub fn sensible(&self, document: &Document) -> Result<(), Error> {
        if !(self.perturbation > 0.0 && self.perturbation.is_finite()) {
            let message = format!("is {}, but it must be above 0: nothing would be perturbed", self.perturbation);
            return Err(document.refuse("training.spsa.perturbation", message));
        }
        Ok(())
    }
}

/// Gradients from perturbations of all weights at once.
#[derive(Debug)]
pub struct Spsa {
    config: SpsaConfig,
    key: Key,
}

impl Spsa {
    /// Draws from `key`.
    pub fn new(config: SpsaConfig, key: Key) -> Self {
        Self { config, key: key.branch("spsa") }
    }

    /// One sign for each value of each weight.
    fn signs(&self, problem: &Problem<'_>, pair: usize) -> Vec<Vec<f32>> {
        let mut stream = self.key.number(problem.step as u64).number(pair as u64).stream();
        let mut sign = || if stream.uniform() < 0.5 { -1.0 } else { 1.0 };
        let count = |weight: &Tensor<2>| weight.dims().iter().product::<usize>();
        problem.weights.iter().map(|weight| (0..count(&weight.tensor)).map(|_| sign()).collect()).collect()
    }
}

/// The loss with every weight moved by `by` times its sign.
fn loss(
    problem: &Problem<'_>,
    (signs, by): (&[Vec<f32>], f64),
    state: &mut State,
    lab: &mut Lab,
) -> Result<(Loss, Usage), Error> {
    let device = rows::device();
    let moved = problem.weights.iter().zip(signs).map(|(weight, signs)| {
        let signs = rows::tensor(signs.clone(), weight.tensor.dims());
        weight.tensor.clone() + signs.mul_scalar(by)
    });
    let weights: Vec<Tensor<2>> = moved.collect();
    let purpose = Purpose::Train { step: problem.step };
    let mut pass = Pass::new(lab, Forward::Plant, purpose, state).penalized(sharpness(problem.config));
    let outputs = problem.network.forward(problem.inputs.clone(), &weights, &mut pass)?;
    let (penalties, kept, usage) = (std::mem::take(&mut pass.penalties), pass.kept(), pass.usage);
    Ok((Graph::new(problem, outputs, (penalties, kept), &device).numbers, usage))
}

impl Estimator for Spsa {
    fn estimate(&mut self, problem: &Problem<'_>, lab: &mut Lab) -> Result<Estimate, Error> {
        let by = self.config.perturbation / (problem.step as f64).powf(self.config.decay);
        let share = 1.0 / self.config.passes() as f32;
        let (mut mean, mut usage) = (Loss::none(problem.objective.kind()), Usage::default());
        let mut gradients: Vec<Vec<f32>> = vec![];
        let mut state = problem.state.clone();
        for pair in 0..self.config.pairs {
            let signs = self.signs(problem, pair);
            let mut totals = [0.0; 2];
            for (total, by) in totals.iter_mut().zip([by, -by]) {
                let (found, used) = loss(problem, (&signs, by), &mut state, lab)?;
                *total = f64::from(found.total);
                mean.total += share * found.total;
                mean.objective += share * found.objective;
                mean.penalty += share * found.penalty;
                mean.scores.add(f64::from(share), &found.scores);
                usage.add(used);
            }
            let slope = ((totals[0] - totals[1]) / (2.0 * by) / self.config.pairs as f64) as f32;
            if gradients.is_empty() {
                gradients = signs.iter().map(|signs| vec![0.0; signs.len()]).collect();
            }
            for (gradient, signs) in gradients.iter_mut().flatten().zip(signs.iter().flatten()) {
                *gradient += slope * signs;
            }
        }
        let gradients = gradients.into_iter().map(Some).collect();
        Ok(Estimate { gradients, set: None, loss: mean, usage, state, outputs: None })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::Targets;
    use crate::network::{LayerConfig, NamedTensor, Network};
    use crate::plants::Derivatives;
    use crate::training::TrainingConfig;
    use crate::training::estimator::Backpropagation;
    use crate::training::objective::Classify;

    /// A small digital network: what estimates on it needs no plant.
    const LAYERS: &str = "[[layers]]\nkind = \"scale-offset\"\nwidth = 3\n[[layers]]\nkind = \"linear\"\nwidth = 2\n";

    #[derive(Deserialize)]
    struct Layers {
        layers: Vec<LayerConfig>,
    }

    fn two_classes() -> Classify {
        Classify::new(&["a".to_owned(), "b".to_owned()])
    }

    #[test]
    fn its_mean_is_the_gradient() {
        let document = Document::parse("a.toml", LAYERS).unwrap();
        let layers: Layers = toml::from_str(LAYERS).unwrap();
        let mut lab = Lab::new(vec![], Derivatives::Twin).unwrap();
        let network = Network::build(&layers.layers, &document, &lab, [3, 2]).unwrap();
        let weights: Vec<NamedTensor> = network
            .weights(Key::new(4))
            .into_iter()
            .map(|(name, weight)| NamedTensor { name, tensor: rows::tensor(weight.values, weight.shape) })
            .collect();
        let (config, state) = (TrainingConfig::default(), State::default());
        let (targets, objective) = (Targets::Classes(vec![0, 1]), two_classes());
        let problem = |step| Problem {
            network: &network,
            weights: &weights,
            state: &state,
            inputs: rows::tensor(vec![0.3, -1.0, 0.5, 0.8, 0.1, -0.6], [2, 3]),
            targets: &targets,
            objective: &objective,
            config: &config,
            step,
        };
        let exact = Backpropagation { on: Forward::Plant }.estimate(&problem(1), &mut lab).unwrap();
        let exact: Vec<f32> = exact.gradients.into_iter().flat_map(Option::unwrap).collect();
        let mut spsa = Spsa::new(SpsaConfig { perturbation: 0.02, decay: 0.0, pairs: 1 }, Key::new(5));
        let draws = 10_000;
        let (mut sum, mut squares) = (vec![0.0; exact.len()], vec![0.0; exact.len()]);
        for step in 1..=draws {
            let estimate = spsa.estimate(&problem(step), &mut lab).unwrap();
            for (place, value) in estimate.gradients.into_iter().flat_map(Option::unwrap).enumerate() {
                sum[place] += f64::from(value);
                squares[place] += f64::from(value).powi(2);
            }
        }
        for ((sum, squares), exact) in sum.iter().zip(&squares).zip(&exact) {
            let mean = sum / draws as f64;
            let error = ((squares / draws as f64 - mean * mean) / draws as f64).sqrt();
            // Four standard errors for a dozen components; 1e-3 for the third derivative and rounding.
            assert!((mean - f64::from(*exact)).abs() < 4.0 * error + 1e-3, "{mean} ± {error}, not {exact}");
        }
        assert!(exact.iter().any(|value| 0.05 < value.abs()), "there is a gradient to find");
    }

    #[test]
    fn the_same_update_draws_the_same_and_others_other_signs() {
        let config = SpsaConfig::default();
        let weights = [NamedTensor { name: "w".into(), tensor: Tensor::zeros([4, 8], &rows::device()) }];
        let lab = Lab::new(vec![], Derivatives::Twin).unwrap();
        let document = Document::parse("a.toml", LAYERS).unwrap();
        let layers: Layers = toml::from_str(LAYERS).unwrap();
        let network = Network::build(&layers.layers, &document, &lab, [3, 2]).unwrap();
        let (training, state) = (TrainingConfig::default(), State::default());
        let (targets, objective) = (Targets::Classes(vec![0]), two_classes());
        let problem = |step| Problem {
            network: &network,
            weights: &weights,
            state: &state,
            inputs: Tensor::zeros([1, 3], &rows::device()),
            targets: &targets,
            objective: &objective,
            config: &training,
            step,
        };
        let draw = |step, pair| Spsa::new(config.clone(), Key::new(1)).signs(&problem(step), pair);
        assert_eq!(draw(3, 0), draw(3, 0));
        assert!(draw(3, 0) != draw(4, 0) && draw(3, 0) != draw(3, 1));
        assert!(draw(3, 0)[0].iter().all(|sign| sign.abs() == 1.0));
    }
}
