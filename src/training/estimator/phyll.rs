//! Physical local learning, or the physical forward-forward method (Momeni et al., Science 382, 1297, 2023; its public program
//! MomeniAli/PhyLL): no twin and no backward pass through a plant. Each stage of digital layers learns from what it gives itself when a row is
//! shown with its class, and when it is shown with a wrong one.
//!
//! ```text
//! g = cos(|y|, ξ)        loss of a stage = ⟨log(1 + exp(−θ (g of the right class − g of a wrong one)))⟩        answer: the class of the largest Σ g
//! ```
//!
//! A stage is the digital layers up to a plant, and those behind the last plant; y is what it gives, ξ a direction that was drawn for it and
//! stays, θ the sharpness. The class is shown by a layer of kind `label`. No derivative passes a plant, so controls stay as they are.
//! An update is two passes, an answer one for each class. The public program makes ten small updates of a stage with the same readings
//! before the next stage reads anew; here all stages make one together.

use burn::tensor::{Int, Tensor, TensorData};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use sims::Key;

use super::{Estimate, Estimator, Loss, Problem, Question, mean, sharpness};
use crate::Error;
use crate::document::Document;
use crate::network::{Network, Pass, Purpose, Usage, rows};
use crate::plants::{Forward, Lab};
use crate::scores::Scores;

/// How stages tell right from wrong: the table `[training.phyll]`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct PhyllConfig {
    /// θ (4): how much more a pair counts whose wrong class is as good as the right one.
    #[schemars(range(max = 1000), extend("exclusiveMinimum" = 0))]
    pub sharpness: f64,
}

impl Default for PhyllConfig {
    fn default() -> Self {
        Self { sharpness: 4.0 }
    }
}

impl PhyllConfig {
    /// Refuses a sharpness that tells nothing apart.
    pub fn sensible(&self, document: &Document) -> Result<(), Error> {
        super::positive("phyll", "sharpness", self.sharpness, document)
    }
}

/// Added to squares of lengths, so that nothing is divided by 0.
const SMALL: f32 = 1e-12;

/// Gradients of each stage by itself.
#[derive(Debug)]
pub struct Phyll {
    config: PhyllConfig,
    key: Key,
}

/// One pass with a class for each row.
struct Shown {
    /// `[shots, 1]` of each stage that has weights.
    goodness: Vec<Tensor<2>>,
    penalties: Vec<Tensor<1>>,
    /// Shots that have a part in the gradient, where not all have.
    kept: Option<Vec<usize>>,
    usage: Usage,
}

impl Phyll {
    /// Draws directions and wrong classes from `key`.
    pub fn new(config: PhyllConfig, key: Key) -> Self {
        Self { config, key: key.branch("phyll") }
    }

    /// The direction ξ of stage `stage`, of length 1: `[width, 1]`.
    fn direction(&self, stage: usize, width: usize) -> Tensor<2> {
        let mut stream = self.key.branch("directions").number(stage as u64).stream();
        let drawn: Vec<f32> = (0..width).map(|_| stream.normal()).collect();
        let length = drawn.iter().map(|value| value * value).sum::<f32>().sqrt().max(SMALL);
        rows::tensor(drawn.into_iter().map(|value| value / length).collect(), [width, 1])
    }

    /// For each row one of the classes that are not its own.
    fn wrong(&self, right: &[u32], classes: usize, step: usize) -> Vec<u32> {
        let mut stream = self.key.branch("wrong").number(step as u64).stream();
        let others = classes.saturating_sub(1).max(1);
        let other = |class: &u32| (*class as usize + 1 + stream.below(others)) % classes.max(1);
        right.iter().map(other).map(|class| class as u32).collect()
    }

    /// How good each stage finds rows that are shown with `labels`.
    fn show(
        &self,
        (network, weights, inputs): (&Network, &[Tensor<2>], Tensor<2>),
        labels: Vec<u32>,
        pass: &mut Pass<'_>,
    ) -> Result<Shown, Error> {
        pass.labels = labels;
        let outputs = network.forward(inputs, weights, pass)?;
        let given = std::mem::take(&mut pass.into_plants).into_iter().chain([outputs]);
        let stages = given.zip(network.stages()).enumerate().filter(|(_, (_, has_weights))| *has_weights);
        let goodness = stages.map(|(stage, (given, _))| {
            let size = given.abs();
            let direction = Tensor::from_inner(self.direction(stage, size.dims()[1]));
            let length = size.clone().square().sum_dim(1).add_scalar(SMALL).sqrt();
            size.matmul(direction) / length
        });
        let goodness = goodness.collect();
        Ok(Shown { goodness, penalties: std::mem::take(&mut pass.penalties), kept: pass.kept(), usage: pass.usage })
    }
}

/// The shots that both passes keep, where one keeps not all.
fn both(kept: [Option<Vec<usize>>; 2]) -> Option<Vec<usize>> {
    match kept {
        [Some(one), Some(other)] => Some(one.into_iter().filter(|shot| other.contains(shot)).collect()),
        [one, other] => one.or(other),
    }
}

impl Estimator for Phyll {
    fn estimate(&mut self, problem: &Problem<'_>, lab: &mut Lab) -> Result<Estimate, Error> {
        let device = rows::device().autodiff();
        let leaf = |weight: &Tensor<2>| Tensor::from_inner(weight.clone()).require_grad();
        let weights: Vec<Tensor<2>> = problem.weights.iter().map(|weight| leaf(&weight.tensor)).collect();
        let right = problem.targets.classes().to_vec();
        let wrong = self.wrong(&right, problem.network.label().unwrap_or_default(), problem.step);
        let mut state = problem.state.clone();
        let mut shown = |labels: Vec<u32>| {
            let purpose = Purpose::Train { step: problem.step };
            let mut pass = Pass::new(lab, Forward::Plant, purpose, &mut state);
            pass = pass.penalized(sharpness(problem.config)).in_stages();
            let inputs = Tensor::from_inner(problem.inputs.clone());
            self.show((problem.network, &weights, inputs), labels, &mut pass)
        };
        let (right, wrong) = (shown(right)?, shown(wrong)?);
        let (mut usage, shots) = (right.usage, problem.targets.len());
        usage.add(wrong.usage);
        let kept = both([right.kept, wrong.kept]);
        let count = kept.as_ref().map_or(shots, Vec::len);
        let rows_of = |values: Tensor<2>| match kept.as_ref().filter(|kept| !kept.is_empty()) {
            Some(kept) => {
                let rows: Vec<i64> = kept.iter().map(|row| *row as i64).collect();
                values.select(0, Tensor::<1, Int>::from_data(TensorData::new(rows, [kept.len()]), &device))
            }
            None => values,
        };
        let pairs = right.goodness.into_iter().zip(wrong.goodness);
        let better: Vec<Tensor<2>> = pairs.map(|(right, wrong)| rows_of(right - wrong)).collect();
        let stages = better.len().max(1) as f64;
        let total = better.iter().cloned().reduce(|sum, one| sum + one);
        let told = total.map(|total| rows::values(total.detach())).unwrap_or_default();
        let share = told.iter().filter(|better| 0.0 < **better).count() as f64 / told.len().max(1) as f64;
        let sharp = -self.config.sharpness;
        let losses = better.into_iter().map(|better| better.mul_scalar(sharp).exp().add_scalar(1.0).log().mean());
        let own = losses.reduce(|sum, one| sum + one).unwrap_or_else(|| Tensor::zeros([1], &device));
        let penalty = mean(right.penalties.into_iter().chain(wrong.penalties).collect());
        let number = |tensor: &Tensor<1>| rows::values(tensor.clone().detach())[0];
        let loss = match &penalty {
            Some(penalty) => own.clone() + penalty.clone().mul_scalar(problem.config.range_penalty),
            None => own.clone(),
        };
        let numbers = Loss {
            total: number(&loss),
            objective: number(&own) / stages as f32,
            penalty: penalty.as_ref().map_or(0.0, number),
            alignment: None,
            scores: Scores::new(problem.objective.kind(), &[share]),
        };
        if count == 0 {
            return Ok(Estimate::unmoved(weights.len(), numbers, usage, state));
        }
        let mut gradients = loss.backward();
        let taken = weights.into_iter().map(|weight| weight.grad_remove(&mut gradients).map(rows::values)).collect();
        Ok(Estimate { gradients: taken, set: None, loss: numbers, usage, state, outputs: None })
    }

    fn answer(&self, question: Question<'_>, lab: &mut Lab) -> Result<Option<Tensor<2>>, Error> {
        let Question { network, weights, inputs, state, on } = question;
        let classes = network.label().unwrap_or_default();
        let weights: Vec<Tensor<2>> = weights.iter().map(|weight| Tensor::from_inner(weight.clone())).collect();
        let shots = inputs.dims()[0];
        let mut columns = Vec::with_capacity(classes);
        for class in 0..classes {
            let mut pass = Pass::new(lab, on, Purpose::Test, state).in_stages();
            let inputs = Tensor::from_inner(inputs.clone());
            let shown = self.show((network, &weights, inputs), vec![class as u32; shots], &mut pass)?;
            columns.extend(shown.goodness.into_iter().reduce(|sum, one| sum + one).map(Tensor::inner));
        }
        Ok((columns.len() == classes && 0 < classes).then(|| Tensor::cat(columns, 1)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::network::State;
    use crate::training::estimator::tests::Bench;
    use crate::training::estimator::trial::{dealt, flat, moved};

    /// The loss of each stage at these weights, summed, and the fraction of pairs that are told apart.
    fn told(bench: &Bench, values: &[f32], step: usize) -> (f64, f64) {
        let mut phyll = Phyll::new(PhyllConfig::default(), Key::new(3));
        let found = phyll.estimate(&bench.with(values).problem(step), &mut Bench::lab()).unwrap();
        (f64::from(found.loss.total), found.loss.scores.first())
    }

    #[test]
    fn each_stage_gets_the_slope_of_its_own_loss_and_of_no_other() {
        let bench = Bench::labelled();
        let mut lab = Bench::lab();
        let mut phyll = Phyll::new(PhyllConfig::default(), Key::new(3));
        let found = phyll.estimate(&bench.problem(1), &mut lab).unwrap();
        // Matrix and summand before the plant, its controls, matrix and summand behind it.
        assert!(found.gradients[2].is_none(), "nobody knows how the outputs go with the controls");
        let at = flat(&bench.weights);
        let slopes: Vec<Vec<f32>> = found.gradients.iter().map(|slopes| slopes.clone().unwrap_or_default()).collect();
        // Behind the plant its stage is the only one that a weight changes: the slope is that of the whole loss.
        let counts: Vec<usize> = dealt(&bench.weights, &at).iter().map(Vec::len).collect();
        let first_behind: usize = counts[..3].iter().sum();
        for place in 0..counts[3] + counts[4] {
            let mut along = vec![0.0; at.len()];
            along[first_behind + place] = 1.0;
            let [above, below] = [4e-3, -4e-3].map(|by| told(&bench, &moved(&at, by, &along), 1).0);
            let slope = slopes[3..].concat()[place];
            let wanted = (above - below) / 8e-3;
            assert!((f64::from(slope) - wanted).abs() < 2e-3 + 2e-2 * wanted.abs(), "{slope}, not {wanted}");
        }
        // Before it a weight also changes what the stage behind gets, by which it is not to learn: the slope is that of its own goodness.
        let own = |values: &[f32]| {
            let phyll = Phyll::new(PhyllConfig::default(), Key::new(3));
            let labels = bench.problem(1).targets.classes().to_vec();
            let wrong = phyll.wrong(&labels, 2, 1);
            let moved = bench.with(values);
            let weights: Vec<Tensor<2>> =
                moved.weights.iter().map(|weight| Tensor::from_inner(weight.tensor.clone())).collect();
            let goodness = |labels: Vec<u32>| {
                let (mut state, mut lab) = (State::default(), Bench::lab());
                let mut pass = Pass::new(&mut lab, Forward::Plant, Purpose::Test, &mut state).in_stages();
                let problem = moved.problem(1);
                let inputs = Tensor::from_inner(problem.inputs.clone());
                let shown = phyll.show((problem.network, &weights, inputs), labels, &mut pass).unwrap();
                rows::values(shown.goodness[0].clone().inner())
            };
            let (right, wrong) = (goodness(labels), goodness(wrong));
            let each = right.iter().zip(&wrong).map(|(right, wrong)| f64::from((-4.0 * (right - wrong)).exp()).ln_1p());
            each.sum::<f64>() / right.len() as f64
        };
        for place in 0..counts[0] {
            let mut along = vec![0.0; at.len()];
            along[place] = 1.0;
            let wanted = (own(&moved(&at, 4e-3, &along)) - own(&moved(&at, -4e-3, &along))) / 8e-3;
            assert!((f64::from(slopes[0][place]) - wanted).abs() < 2e-3 + 2e-2 * wanted.abs(), "{wanted}");
        }
        assert!(slopes[0].iter().chain(&slopes[3]).any(|slope| 0.01 < slope.abs()), "there is a slope to find");
    }

    #[test]
    fn it_learns_to_tell_the_right_class_and_draws_the_same_again() {
        let bench = Bench::labelled();
        let mut lab = Bench::lab();
        let mut phyll = Phyll::new(PhyllConfig::default(), Key::new(3));
        let mut at = flat(&bench.weights);
        let before = told(&bench, &at, 1).0;
        for step in 1..=400 {
            let found = phyll.estimate(&bench.with(&at).problem(step), &mut lab).unwrap();
            let each = found.gradients.into_iter().zip(dealt(&bench.weights, &at));
            let slopes: Vec<f32> =
                each.flat_map(|(slopes, own)| slopes.unwrap_or_else(|| vec![0.0; own.len()])).collect();
            at = moved(&at, -0.3, &slopes);
        }
        let (after, share) = told(&bench, &at, 1);
        assert!(after < 0.7 * before && share == 1.0, "{before} to {after}, {share}");
        // The answer is the class with the larger goodness, in every stage's sum.
        let bench = bench.with(&at);
        let problem = bench.problem(1);
        let weights: Vec<Tensor<2>> = bench.weights.iter().map(|weight| weight.tensor.clone()).collect();
        let question = Question {
            network: problem.network,
            weights: &weights,
            inputs: problem.inputs.clone(),
            state: &mut State::default(),
            on: Forward::Plant,
        };
        let said = rows::values(phyll.answer(question, &mut lab).unwrap().unwrap());
        let answers: Vec<u32> = said.chunks_exact(2).map(|pair| u32::from(pair[0] < pair[1])).collect();
        assert_eq!(answers, problem.targets.classes());
        let other = Phyll::new(PhyllConfig::default(), Key::new(3));
        assert_eq!(other.wrong(&[0, 1, 2], 5, 7), phyll.wrong(&[0, 1, 2], 5, 7));
        assert!((0..50).all(|step| other.wrong(&[4], 5, step)[0] < 4));
        assert_eq!(both([Some(vec![0, 2]), Some(vec![2, 3])]), Some(vec![2]));
        assert_eq!(both([None, Some(vec![1])]), Some(vec![1]));
    }
}
