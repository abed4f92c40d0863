//! A reservoir: the physics stays as it is, and only the read-out, the last layer, is learned, by ridge regression (Lukoševičius and Jaeger,
//! Comput. Sci. Rev. 3, 127, 2009). The field's baseline for what training of the physics is worth.
//!
//! ```text
//! W = (Σ x xᵀ + λ n I)⁻¹ Σ x yᵀ        x: what comes into the last layer, and 1      y: targets, of classes 1 of the own and 0 of the others
//! ```
//!
//! The sums are over all n rows that were shown so far; after each update the read-out is the one that fits them best, so a pass over the
//! data is enough. λ is counted in mean squares of x. The sums are kept in checkpoints.

use nalgebra::DMatrix;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::wide::{joined, split};
use super::{Estimate, Estimator, Graph, Problem, sharpness};
use crate::Error;
use crate::data::Targets;
use crate::document::Document;
use crate::network::{NamedTensor, Pass, Purpose, rows};
use crate::plants::{Forward, Lab};

/// How the read-out is fitted: the table `[training.reservoir]`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct ReservoirConfig {
    /// How strongly the read-out is drawn to 0 (1e-4), in mean squares of what comes into it.
    #[schemars(range(max = 1e6), extend("exclusiveMinimum" = 0))]
    pub ridge: f64,
}

impl Default for ReservoirConfig {
    fn default() -> Self {
        Self { ridge: 1e-4 }
    }
}

impl ReservoirConfig {
    /// Refuses a ridge that leaves directions open.
    pub fn sensible(&self, document: &Document) -> Result<(), Error> {
        super::positive("reservoir", "ridge", self.ridge, document)
    }
}

/// A read-out by ridge regression.
#[derive(Debug)]
pub struct Reservoir {
    config: ReservoirConfig,
    /// Σ x xᵀ and Σ x yᵀ, and how many rows.
    sums: Option<([DMatrix<f64>; 2], f64)>,
}

impl Reservoir {
    /// Nothing seen yet.
    pub fn new(config: ReservoirConfig) -> Self {
        Self { config, sums: None }
    }

    /// Adds rows of features, 1 last, and of targets.
    fn add(&mut self, features: &DMatrix<f64>, targets: &DMatrix<f64>) {
        let found = [features.tr_mul(features), features.tr_mul(targets)];
        let rows = features.nrows() as f64;
        self.sums = Some(match self.sums.take() {
            Some(([squares, products], before))
                if squares.shape() == found[0].shape() && products.shape() == found[1].shape() =>
            {
                let [more, others] = found;
                ([squares + more, products + others], before + rows)
            }
            _ => (found, rows),
        });
    }

    /// The read-out that fits best: matrix and summand, row after row.
    fn fitted(&self) -> Option<[Vec<f32>; 2]> {
        let ([squares, products], _) = self.sums.as_ref()?;
        let width = squares.nrows();
        // The summand is not drawn to 0.
        let mean = (0..width - 1).map(|index| squares[(index, index)]).sum::<f64>() / (width - 1).max(1) as f64;
        let mut damped = squares.clone();
        for index in 0..width - 1 {
            damped[(index, index)] += self.config.ridge * mean.max(f64::MIN_POSITIVE);
        }
        let solution = damped.cholesky()?.solve(products);
        let row = |index: usize| solution.row(index).iter().map(|value| *value as f32).collect::<Vec<f32>>();
        Some([(0..width - 1).flat_map(row).collect(), row(width - 1)])
    }
}

/// Targets as rows of `width` numbers.
fn wanted(targets: &Targets, width: usize) -> DMatrix<f64> {
    match targets {
        Targets::Classes(classes) => {
            DMatrix::from_fn(classes.len(), width, |row, column| f64::from(u8::from(classes[row] as usize == column)))
        }
        Targets::Values { values, .. } => {
            DMatrix::from_fn(targets.len(), width, |row, column| f64::from(values[row * width + column]))
        }
    }
}

impl Estimator for Reservoir {
    fn estimate(&mut self, problem: &Problem<'_>, lab: &mut Lab) -> Result<Estimate, Error> {
        let weights: Vec<_> = problem.weights.iter().map(|weight| weight.tensor.clone()).collect();
        let (mut state, purpose) = (problem.state.clone(), Purpose::Train { step: problem.step });
        let mut pass = Pass::new(lab, Forward::Plant, purpose, &mut state).penalized(sharpness(problem.config));
        let outputs = problem.network.forward(problem.inputs.clone(), &weights, &mut pass)?;
        let (penalties, kept, usage) = (std::mem::take(&mut pass.penalties), pass.kept(), pass.usage);
        let into_last = pass.outputs.pop();
        let loss = Graph::new(problem, outputs.clone(), (penalties, kept.clone()), &rows::device()).numbers;
        let mut set: Vec<Vec<f32>> = weights.iter().map(|weight| rows::values(weight.clone())).collect();
        if let Some(values) = into_last {
            let [shots, width] = values.dims();
            let values = rows::values(values);
            let kept = kept.unwrap_or_else(|| (0..shots).collect());
            let features = DMatrix::from_fn(kept.len(), width + 1, |row, column| {
                if column < width { f64::from(values[kept[row] * width + column]) } else { 1.0 }
            });
            self.add(&features, &wanted(&problem.targets.pick(&kept), outputs.dims()[1]));
            let kept = self.remembered();
            let complaint = self.recall(&kept).err();
            debug_assert!(complaint.is_none());
        }
        let last = set.len().saturating_sub(2);
        if let (Some([matrix, offset]), [to_matrix, to_offset]) = (self.fitted(), &mut set[last..]) {
            (*to_matrix, *to_offset) = (matrix, offset);
        }
        Ok(Estimate { gradients: vec![], set: Some(set), loss, usage, state, outputs: None })
    }

    fn remembered(&self) -> Vec<NamedTensor> {
        let Some(([squares, products], rows)) = &self.sums else { return vec![] };
        vec![
            split("reservoir.rows", &[*rows, squares.nrows() as f64]),
            split("reservoir.squares", squares.as_slice()),
            split("reservoir.products", products.as_slice()),
        ]
    }

    fn recall(&mut self, tensors: &[NamedTensor]) -> Result<(), String> {
        let Some(facts) = joined("reservoir.rows", tensors)? else { return Ok(()) };
        let part = |name: &str| joined(name, tensors)?.ok_or_else(|| format!("has `reservoir.rows`, but no `{name}`"));
        let (squares, products) = (part("reservoir.squares")?, part("reservoir.products")?);
        let [rows, width] = facts[..] else { return Err("has `reservoir.rows` that are not two numbers".to_owned()) };
        let width = width as usize;
        if width == 0 || squares.len() != width * width || !products.len().is_multiple_of(width) {
            return Err(format!("has {} numbers in `reservoir.squares` for {width} features", squares.len()));
        }
        let columns = products.len() / width;
        let sums = [DMatrix::from_vec(width, width, squares), DMatrix::from_vec(width, columns, products)];
        self.sums = Some((sums, rows));
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::training::estimator::tests::Bench;
    use crate::training::estimator::trial::flat;

    #[test]
    fn the_read_out_is_that_of_least_squares_and_nothing_else_moves() {
        let bench = Bench::bowl();
        let mut lab = Bench::lab();
        let mut reservoir = Reservoir::new(ReservoirConfig { ridge: 1e-9 });
        let found = reservoir.estimate(&bench.problem(1), &mut lab).unwrap().set.unwrap().concat();
        // The rows of the bowl are exactly linear: its bottom is found at once.
        assert!(bench.loss(&found, &mut lab) < 1e-8 * bench.loss(&flat(&bench.weights), &mut lab));
        let mesh = Bench::mesh();
        let mut lab = Bench::lab();
        let mut reservoir = Reservoir::new(ReservoirConfig::default());
        let set = reservoir.estimate(&mesh.problem(1), &mut lab).unwrap().set.unwrap();
        let before: Vec<Vec<f32>> = mesh.weights.iter().map(|weight| rows::values(weight.tensor.clone())).collect();
        let last = set.len() - 2;
        assert_eq!(set[..last], before[..last], "the physics stays");
        assert_ne!(set[last..], before[last..]);
        // A run that goes on has seen what the one before it has.
        let mut other = Reservoir::new(ReservoirConfig::default());
        other.recall(&reservoir.remembered()).unwrap();
        let [a, b] = [&mut reservoir, &mut other].map(|one| one.estimate(&mesh.problem(2), &mut lab).unwrap().set);
        assert_eq!(a, b);
        assert_eq!(reservoir.sums.as_ref().unwrap().1, 8.0, "both batches count");
        assert!(other.recall(&[split("reservoir.rows", &[1.0, 2.0])]).unwrap_err().contains("reservoir.squares"));
    }
}
