//! Equilibrium propagation (Scellier and Bengio, Front. Comput. Neurosci. 11, 24, 2017; with nudges both ways, Laborieux et al., Front. Neurosci. 15,
//! 633674, 2021), for plants that settle into the bottom of an energy E(s; x, θ): no twin. The plant settles freely, then with its
//! answers pushed a little towards a smaller loss ℓ and a little away from it; the slopes of its energy with the controls, read in both, say how the
//! loss goes with them.
//!
//! ```text
//! s settles where ∂E/∂s = push        push = ∓β ∂ℓ/∂y        dℓ/dθ = (∂E/∂θ(s₊) − ∂E/∂θ(s₋)) / (2β)        + where the push is −β ∂ℓ/∂y
//! ```
//!
//! The plant says by the names of its banks what it can: an input bank takes the push and an output bank reads the answers y, port by port; for each
//! bank of controls NAME an output bank `slope_NAME` reads ∂E/∂θ. Where its own states are not readable, nothing can be learned of them. β is chosen
//! for each shot so that the largest push is a given part of the push's range: no push leaves it. Layers behind the plant get their true
//! gradient; those before it none. An update is three passes.

use drivers::{Bank, Batch, Direction, Ports};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use burn::tensor::Tensor;

use super::{Estimate, Estimator, Graph, Problem, sharpness};
use crate::Error;
use crate::document::Document;
use crate::network::{Pass, Purpose, Shots, rows};
use crate::plants::{Forward, Lab};

/// How a plant is pushed: the table `[training.equilibrium-propagation]`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct EquilibriumConfig {
    /// The bank of inputs that pushes the answers (`push`).
    pub push: String,
    /// The bank of outputs that reads the answers, as many as are pushed (`answer`).
    pub answer: String,
    /// The largest push of a shot, as a part of the push's range (0.1).
    #[schemars(range(max = 1), extend("exclusiveMinimum" = 0))]
    pub strength: f64,
}

impl Default for EquilibriumConfig {
    fn default() -> Self {
        Self { push: "push".to_owned(), answer: "answer".to_owned(), strength: 0.1 }
    }
}

impl EquilibriumConfig {
    /// Refuses a push that is none, or one beyond the range.
    pub fn sensible(&self, document: &Document) -> Result<(), Error> {
        super::positive("equilibrium-propagation", "strength", self.strength, document)?;
        if self.strength <= 1.0 {
            return Ok(());
        }
        let message = format!("is {}, but it must be at most 1: a push stays within its range", self.strength);
        Err(document.refuse("training.equilibrium-propagation.strength", message))
    }

    /// What a plant lacks, as the rest of a sentence.
    pub(super) fn complaint(&self, ports: &Ports) -> Option<String> {
        Banks::of(self, ports).err()
    }
}

/// Where a bank's ports begin, and how many there are.
type Place = (usize, usize);

/// The ports that a plant must have.
struct Banks {
    push: Place,
    answer: Place,
    /// Of each bank of controls its slopes.
    slopes: Vec<Place>,
}

impl Banks {
    fn of(config: &EquilibriumConfig, ports: &Ports) -> Result<Self, String> {
        let find = |direction: Direction, name: &str| {
            let mut at = 0;
            for Bank { name: own, count, .. } in ports.banks(direction) {
                if own == name {
                    return Ok((at, *count));
                }
                at += count;
            }
            let what = if direction == Direction::Input { "inputs" } else { "outputs" };
            Err(format!("has no bank of {what} `{name}`"))
        };
        let (push, answer) = (find(Direction::Input, &config.push)?, find(Direction::Output, &config.answer)?);
        if push.1 != answer.1 {
            return Err(format!("has {} ports `{}` for {} answers `{}`", push.1, config.push, answer.1, config.answer));
        }
        if ports.controls.is_empty() {
            return Err("has no controls that could be trained".to_owned());
        }
        let slopes = ports.controls.iter().map(|bank| {
            let name = format!("slope_{}", bank.name);
            let found = find(Direction::Output, &name)?;
            let fits = found.1 == bank.count;
            if fits { Ok(found) } else { Err(format!("has {} ports `{name}` for {} controls", found.1, bank.count)) }
        });
        Ok(Self { push, answer, slopes: slopes.collect::<Result<_, _>>()? })
    }
}

/// Gradients from where a plant settles.
#[derive(Debug)]
pub struct Equilibrium {
    config: EquilibriumConfig,
}

impl Equilibrium {
    /// Pushes as the table says.
    pub fn new(config: EquilibriumConfig) -> Self {
        Self { config }
    }

    /// The slopes of the mean loss with the controls, in their SI units, from those with the readings of each shot.
    fn slopes(&self, shots: &Shots, of_readings: &Batch, lab: &mut Lab) -> Result<Vec<f64>, Error> {
        let ports = lab.card(shots.place).ports.clone();
        let lacking = |complaint: String| Error::Usage(format!("plant `{}` {complaint}", lab.names()[shots.place]));
        let banks = Banks::of(&self.config, &ports).map_err(lacking)?;
        let (push, answer) = (banks.push, banks.answer);
        let limits = &ports.ranges(Direction::Input)[push.0..push.0 + push.1];
        let largest = limits.iter().map(|range| range.high.min(-range.low)).fold(f32::INFINITY, f32::min);
        let count = shots.inputs.rows();
        // Of each shot, how far it is pushed for each unit of slope.
        let strengths: Vec<f32> = (0..count)
            .map(|row| {
                let slopes = &of_readings.row(row)[answer.0..answer.0 + answer.1];
                let steepest = slopes.iter().fold(0.0_f32, |most, slope| most.max(slope.abs()));
                if 0.0 < steepest { self.config.strength as f32 * largest / steepest } else { 0.0 }
            })
            .collect();
        let mut settled = |sign: f32| {
            let mut inputs = shots.inputs.clone();
            let columns = inputs.columns();
            for (row, values) in inputs.values_mut().chunks_exact_mut(columns).enumerate() {
                let slopes = &of_readings.row(row)[answer.0..answer.0 + answer.1];
                let ports = values[push.0..push.0 + push.1].iter_mut().zip(slopes).zip(limits);
                for ((value, slope), range) in ports {
                    *value = (*value - sign * strengths[row] * slope).clamp(range.low, range.high);
                }
            }
            lab.run(shots.place, Forward::Plant, &shots.controls, &inputs).map(|(_, outputs)| outputs)
        };
        let (down, up) = (settled(1.0)?, settled(-1.0)?);
        let mut found = Vec::new();
        for (from, bank) in &banks.slopes {
            for port in *from..from + bank {
                let of_shot = |row: usize| {
                    let difference = f64::from(down.row(row)[port]) - f64::from(up.row(row)[port]);
                    let strength = f64::from(strengths[row]);
                    if 0.0 < strength { difference / (2.0 * strength) } else { 0.0 }
                };
                found.push((0..count).map(of_shot).sum::<f64>() / count.max(1) as f64);
            }
        }
        Ok(found)
    }
}

impl Estimator for Equilibrium {
    fn estimate(&mut self, problem: &Problem<'_>, lab: &mut Lab) -> Result<Estimate, Error> {
        let device = rows::device().autodiff();
        let leaf = |weight: &Tensor<2>| Tensor::from_inner(weight.clone()).require_grad();
        let weights: Vec<Tensor<2>> = problem.weights.iter().map(|weight| leaf(&weight.tensor)).collect();
        let (mut state, purpose) = (problem.state.clone(), Purpose::Train { step: problem.step });
        let mut pass =
            Pass::new(lab, Forward::Plant, purpose, &mut state).penalized(sharpness(problem.config)).without_models();
        pass.shots = Some(vec![]);
        let inputs = Tensor::from_inner(problem.inputs.clone());
        let outputs = problem.network.forward(inputs, &weights, &mut pass)?;
        let shots = pass.shots.take().unwrap_or_default();
        let readings = std::mem::take(&mut pass.from_plants);
        let (penalties, kept, usage) = (std::mem::take(&mut pass.penalties), pass.kept(), pass.usage);
        let is_empty = kept.as_ref().is_some_and(Vec::is_empty);
        let Graph { loss, numbers } = Graph::new(problem, outputs, (penalties, kept.clone()), &device);
        if is_empty {
            return Ok(Estimate::unmoved(weights.len(), numbers, usage, state));
        }
        // Where to push is not known of answers that are no numbers.
        if !numbers.total.is_finite() {
            return Err(Error::Diverged { what: format!("the loss of step {}", problem.step) });
        }
        let mut gradients = loss.backward();
        let of_readings = readings.first().and_then(|readings| readings.grad(&gradients)).map(rows::values);
        let mut taken: Vec<Option<Vec<f32>>> =
            weights.into_iter().map(|weight| weight.grad_remove(&mut gradients).map(rows::values)).collect();
        if let (Some(of_readings), Some(shots)) = (of_readings, shots.first()) {
            // Of the mean over the shots that are kept; each is pushed by its own.
            let share = shots.outputs.rows() as f32;
            let own = of_readings.into_iter().map(|slope| share * slope).collect();
            let own = rows::batch(shots.outputs.columns(), shots.scales.outputs.count_in(own));
            let slopes = self.slopes(shots, &own, lab)?;
            let mut slopes: Vec<f32> = slopes.into_iter().map(|slope| slope as f32).collect();
            shots.scales.controls.pull_back(&shots.wanted, &mut slopes);
            let name = format!("layers.{}.physical.controls", shots.layer);
            if let Some(place) = problem.weights.iter().position(|weight| weight.name == name) {
                let penalty = taken[place].take().unwrap_or_else(|| vec![0.0; slopes.len()]);
                taken[place] = Some(slopes.iter().zip(penalty).map(|(slope, penalty)| slope + penalty).collect());
            }
        }
        Ok(Estimate { gradients: taken, set: None, loss: numbers, usage, state, outputs: None })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::training::estimator::Backpropagation;
    use crate::training::estimator::tests::Bench;

    #[test]
    fn its_gradient_is_that_of_the_settled_states() {
        let (bench, mut lab) = (Bench::settling(), Bench::settling_lab());
        let exact = Backpropagation { on: Forward::Plant }.estimate(&bench.problem(1), &mut lab).unwrap();
        let mut equilibrium = Equilibrium::new(EquilibriumConfig { strength: 0.02, ..EquilibriumConfig::default() });
        let found = equilibrium.estimate(&bench.problem(1), &mut lab).unwrap();
        assert_eq!(found.loss, exact.loss);
        // The controls of the plant; the matrix and the summand behind it.
        let [controls, matrix, summand] = &found.gradients[..] else { panic!() };
        assert_eq!([matrix, summand], [&exact.gradients[1], &exact.gradients[2]], "behind the plant it is exact");
        let (controls, exact) = (controls.as_ref().unwrap(), exact.gradients[0].as_ref().unwrap());
        let largest = exact.iter().fold(0.0_f32, |most, slope| most.max(slope.abs()));
        for (slope, exact) in controls.iter().zip(exact) {
            assert!((slope - exact).abs() < 0.02 * largest, "{slope}, not {exact}");
        }
        assert!(1e-6 < largest, "there is a slope to find");
    }

    #[test]
    fn a_plant_whose_states_cannot_be_read_is_refused() {
        let config = EquilibriumConfig::default();
        let mesh = Bench::lab();
        assert!(config.complaint(&mesh.card(0).ports).unwrap().contains("no bank of inputs `push`"));
        let mut ports = Bench::settling_lab().card(0).ports.clone();
        assert_eq!(config.complaint(&ports), None);
        ports.outputs.pop();
        assert!(config.complaint(&ports).unwrap().contains("has no bank of outputs `slope_"));
    }
}
