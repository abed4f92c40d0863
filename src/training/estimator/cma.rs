//! Covariance matrix adaptation (Hansen, The CMA Evolution Strategy: A Tutorial, arXiv 1604.00772): a generation of weights is drawn from a
//! normal distribution, the better half moves its mean, its covariance and its size. No gradient: the mean becomes the weights.
//!
//! ```text
//! xₖ = m + σ B D zₖ      m ← Σ wₖ xₖ (by rank)      C ← (1 − c₁ − c_μ) C + c₁ p pᵀ + c_μ Σ wₖ yₖ yₖᵀ      σ by the length of its path
//! ```
//!
//! Constants are the tutorial's (Table 1, without negative weights). An update is a generation, each of whose members is one pass of the
//! batch. The covariance of P weights has P² numbers: for small networks only.

use nalgebra::{DMatrix, DVector};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use sims::Key;

use super::trial::{Trials, dealt, flat};
use super::wide::{joined, split};
use super::{Estimate, Estimator, Problem};
use crate::Error;
use crate::document::Document;
use crate::network::NamedTensor;
use crate::plants::Lab;

/// The most weights: their covariance is decomposed in each update.
pub const MOST_WEIGHTS: usize = 500;

/// How a generation is drawn: the table `[training.cma-es]`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct CmaConfig {
    /// The deviation σ of all weights at the start (0.2): in their own unit, so controls in full scales where the layer counts so.
    #[schemars(range(max = 1000), extend("exclusiveMinimum" = 0))]
    pub deviation: f64,
    /// Members of a generation; left out: 4 + ⌊3 ln P⌋ for P weights.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 4, max = 10_000))]
    pub population: Option<usize>,
}

impl Default for CmaConfig {
    fn default() -> Self {
        Self { deviation: 0.2, population: None }
    }
}

impl CmaConfig {
    /// How often an update drives a plant with its batch.
    pub fn passes(&self, weights: usize) -> usize {
        self.population.unwrap_or_else(|| 4 + (3.0 * (weights.max(1) as f64).ln()).floor() as usize)
    }

    /// Refuses a size that is none.
    pub fn sensible(&self, document: &Document) -> Result<(), Error> {
        super::positive("cma-es", "deviation", self.deviation, document)
    }
}

/// What a distribution has learned.
#[derive(Debug, Clone)]
struct Learned {
    /// The size σ.
    size: f64,
    covariance: DMatrix<f64>,
    /// The paths of the size and of the covariance.
    paths: [DVector<f64>; 2],
}

/// Weights by covariance matrix adaptation.
#[derive(Debug)]
pub struct Cma {
    config: CmaConfig,
    key: Key,
    learned: Option<Learned>,
}

/// The tutorial's constants for so many weights and members.
struct Constants {
    /// Weights of the better half, by rank.
    ranks: Vec<f64>,
    /// Effective members.
    effective: f64,
    c_size: f64,
    damping: f64,
    c_path: f64,
    c_one: f64,
    c_mu: f64,
    /// The expected length of a standard normal vector.
    length: f64,
}

impl Constants {
    fn new(weights: usize, population: usize) -> Self {
        let n = weights as f64;
        let half = population / 2;
        let raw: Vec<f64> =
            (1..=half).map(|rank| f64::midpoint(population as f64, 1.0).ln() - (rank as f64).ln()).collect();
        let sum: f64 = raw.iter().sum();
        let ranks: Vec<f64> = raw.iter().map(|weight| weight / sum).collect();
        let effective = 1.0 / ranks.iter().map(|weight| weight * weight).sum::<f64>();
        let c_size = (effective + 2.0) / (n + effective + 5.0);
        let c_one = 2.0 / ((n + 1.3).powi(2) + effective);
        let c_mu = (1.0 - c_one).min(2.0 * (effective - 2.0 + 1.0 / effective) / ((n + 2.0).powi(2) + effective));
        Self {
            ranks,
            effective,
            c_size,
            damping: 1.0 + 2.0 * (((effective - 1.0) / (n + 1.0)).sqrt() - 1.0).max(0.0) + c_size,
            c_path: (4.0 + effective / n) / (n + 4.0 + 2.0 * effective / n),
            c_one,
            c_mu,
            length: n.sqrt() * (1.0 - 1.0 / (4.0 * n) + 1.0 / (21.0 * n * n)),
        }
    }
}

impl Cma {
    /// Draws from `key`.
    pub fn new(config: CmaConfig, key: Key) -> Self {
        Self { config, key: key.branch("cma-es"), learned: None }
    }

    fn learned(&mut self, weights: usize) -> Learned {
        let fits = self.learned.take().filter(|learned| learned.covariance.nrows() == weights);
        fits.unwrap_or_else(|| Learned {
            size: self.config.deviation,
            covariance: DMatrix::identity(weights, weights),
            paths: [DVector::zeros(weights), DVector::zeros(weights)],
        })
    }
}

impl Learned {
    /// Learns from the better members' steps in units of the size, the best first, after `generation` generations; `whiten` is C^(−1/2).
    fn adapt(&mut self, steps: &[DVector<f64>], whiten: &DMatrix<f64>, constants: &Constants, generation: usize) {
        let n = self.covariance.nrows() as f64;
        let Constants { ranks, effective, c_size, damping, c_path, c_one, c_mu, length } = constants;
        let weighted = ranks.iter().zip(steps);
        let mean =
            weighted.clone().fold(DVector::zeros(self.covariance.nrows()), |sum, (rank, step)| sum + step * *rank);
        let gain = |c: f64| (c * (2.0 - c) * effective).sqrt();
        self.paths[0] = &self.paths[0] * (1.0 - c_size) + whiten * &mean * gain(*c_size);
        let norm = self.paths[0].norm();
        let grown = (1.0 - (1.0 - c_size).powi(2 * i32::try_from(generation).unwrap_or(i32::MAX / 2))).sqrt();
        // A path that is long only because it began so does not stretch the covariance.
        let heeded = if norm / grown < (1.4 + 2.0 / (n + 1.0)) * length { 1.0 } else { 0.0 };
        self.paths[1] = &self.paths[1] * (1.0 - c_path) + &mean * (heeded * gain(*c_path));
        let lost = (1.0 - heeded) * c_one * c_path * (2.0 - c_path);
        self.covariance *= 1.0 - c_one - c_mu + lost;
        self.covariance.ger(*c_one, &self.paths[1], &self.paths[1], 1.0);
        for (rank, step) in weighted {
            self.covariance.ger(c_mu * rank, step, step, 1.0);
        }
        self.size *= ((c_size / damping) * (norm / length - 1.0)).exp();
    }
}

impl Estimator for Cma {
    fn estimate(&mut self, problem: &Problem<'_>, lab: &mut Lab) -> Result<Estimate, Error> {
        let mean = flat(problem.weights);
        let population = self.config.passes(mean.len()).max(4);
        let constants = Constants::new(mean.len(), population);
        let mut learned = self.learned(mean.len());
        let eigen = learned.covariance.clone().symmetric_eigen();
        let lengths = eigen.eigenvalues.map(|value| value.max(1e-20).sqrt());
        let spread = &eigen.eigenvectors * DMatrix::from_diagonal(&lengths);
        let whiten =
            &eigen.eigenvectors * DMatrix::from_diagonal(&lengths.map(f64::recip)) * eigen.eigenvectors.transpose();
        let mut trials = Trials::new(problem);
        let mut members = Vec::with_capacity(population);
        for member in 0..population {
            let mut stream = self.key.number(problem.step as u64).number(member as u64).stream();
            let step = &spread * DVector::from_fn(mean.len(), |_, _| f64::from(stream.normal()));
            let tried: Vec<f32> =
                mean.iter().zip(&step).map(|(m, y)| (f64::from(*m) + learned.size * y) as f32).collect();
            let loss = trials.loss(problem, &tried, lab)?;
            members.push((loss, step));
        }
        // Equal losses keep the order in which they were drawn.
        members.sort_by(|(a, _), (b, _)| a.total_cmp(b));
        let steps: Vec<DVector<f64>> = members.into_iter().take(constants.ranks.len()).map(|(_, step)| step).collect();
        let along =
            constants.ranks.iter().zip(&steps).fold(DVector::zeros(mean.len()), |sum, (rank, step)| sum + step * *rank);
        let next: Vec<f32> = mean.iter().zip(&along).map(|(m, y)| (f64::from(*m) + learned.size * y) as f32).collect();
        learned.adapt(&steps, &whiten, &constants, problem.step);
        self.learned = Some(learned);
        // As a checkpoint has it, so that a run that goes on from one draws the same.
        let kept = self.remembered();
        let complaint = self.recall(&kept).err();
        debug_assert!(complaint.is_none());
        Ok(trials.set(dealt(problem.weights, &next)))
    }

    fn remembered(&self) -> Vec<NamedTensor> {
        let Some(Learned { size, covariance, paths: [of_size, of_covariance] }) = &self.learned else { return vec![] };
        vec![
            split("cma-es.size", &[*size]),
            split("cma-es.covariance", covariance.as_slice()),
            split("cma-es.size-path", of_size.as_slice()),
            split("cma-es.covariance-path", of_covariance.as_slice()),
        ]
    }

    fn recall(&mut self, tensors: &[NamedTensor]) -> Result<(), String> {
        let Some(size) = joined("cma-es.size", tensors)? else { return Ok(()) };
        let part = |name: &str| joined(name, tensors)?.ok_or_else(|| format!("has `cma-es.size`, but no `{name}`"));
        let (covariance, of_size, of_covariance) =
            (part("cma-es.covariance")?, part("cma-es.size-path")?, part("cma-es.covariance-path")?);
        let count = of_size.len();
        if size.len() != 1 || covariance.len() != count * count || of_covariance.len() != count {
            return Err(format!(
                "has a covariance of {} numbers in `cma-es.covariance` for {count} weights",
                covariance.len()
            ));
        }
        self.learned = Some(Learned {
            size: size[0],
            covariance: DMatrix::from_column_slice(count, count, &covariance),
            paths: [DVector::from_vec(of_size), DVector::from_vec(of_covariance)],
        });
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::training::estimator::tests::Bench;

    #[test]
    fn it_finds_the_bottom_of_a_bowl_and_goes_on_from_a_checkpoint() {
        let bench = Bench::bowl();
        let mut lab = Bench::lab();
        let config = CmaConfig { deviation: 0.3, population: None };
        assert_eq!(config.passes(3), 7);
        let (mut one, mut other) = (Cma::new(config.clone(), Key::new(2)), Cma::new(config, Key::new(2)));
        let mut at = flat(&bench.weights);
        let first = bench.loss(&at, &mut lab);
        for generation in 1..=200 {
            if generation == 60 {
                other.recall(&one.remembered()).unwrap();
            }
            let problem = bench.with(&at);
            let found = one.estimate(&problem.problem(generation), &mut lab).unwrap();
            if generation >= 60 {
                let again = other.estimate(&problem.problem(generation), &mut lab).unwrap();
                assert_eq!(again.set, found.set, "generation {generation}");
            }
            assert!(found.gradients.is_empty());
            at = found.set.unwrap().concat();
        }
        let last = bench.loss(&at, &mut lab);
        assert!(last < 1e-6 * first, "{first} to {last}");
        // The bowl is a hundred times steeper along the first weight.
        let covariance = &one.learned.as_ref().unwrap().covariance;
        assert!(covariance[(0, 0)] < 0.2 * covariance[(1, 1)], "{covariance}");
        assert!(other.recall(&[split("cma-es.size", &[1.0])]).unwrap_err().contains("cma-es.covariance"));
    }
}
