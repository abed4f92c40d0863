//! CMA-ES with ask and tell: a cloud of settings that moves, stretches and turns towards those that do better (Hansen, The CMA Evolution
//! Strategy: A Tutorial, arXiv 1604.00772; the constants are that tutorial's, table 1 of its section 3 and 4, without negative weights).
//!
//! Coordinates are shares of each range, 0 to 1. A draw outside is reflected at the edge, so nothing is ever asked for beyond a limit.
//! What is drawn is a function of the key and of what was told.

use nalgebra::{DMatrix, DVector, SymmetricEigen};
use sims::Key;

/// The search.
#[derive(Debug, Clone)]
pub struct Evolution {
    key: Key,
    mean: DVector<f64>,
    sigma: f64,
    covariance: DMatrix<f64>,
    path: DVector<f64>,
    sigma_path: DVector<f64>,
    generation: u64,
    weights: Vec<f64>,
    effective: f64,
    /// The draws of this generation, and what was told of the first of them.
    draws: Vec<DVector<f64>>,
    told: Vec<f64>,
}

impl Evolution {
    /// Begins around `start` with standard deviation `sigma` in each coordinate.
    pub fn new(start: &[f64], sigma: f64, key: Key) -> Self {
        let count = start.len();
        let offspring = 4 + (3.0 * (count.max(1) as f64).ln()).floor() as usize;
        let parents = offspring / 2;
        let raw: Vec<f64> = (1..=parents).map(|rank| (parents as f64 + 0.5).ln() - (rank as f64).ln()).collect();
        let sum: f64 = raw.iter().sum();
        let weights: Vec<f64> = raw.into_iter().map(|weight| weight / sum).collect();
        let effective = 1.0 / weights.iter().map(|weight| weight * weight).sum::<f64>();
        let mut search = Self {
            key,
            mean: DVector::from_column_slice(start),
            sigma,
            covariance: DMatrix::identity(count, count),
            path: DVector::zeros(count),
            sigma_path: DVector::zeros(count),
            generation: 0,
            weights,
            effective,
            draws: Vec::with_capacity(offspring),
            told: Vec::new(),
        };
        search.draw(offspring);
        search
    }

    /// The next setting to try.
    pub fn ask(&self) -> Vec<f64> {
        self.draws.get(self.told.len()).map(|draw| draw.iter().copied().collect()).unwrap_or_default()
    }

    /// How the setting that was asked for last did: less is better.
    pub fn tell(&mut self, value: f64) {
        // What cannot be judged is the worst.
        self.told.push(if value.is_nan() { f64::INFINITY } else { value });
        if self.told.len() == self.draws.len() {
            self.advance();
        }
    }

    /// The middle of the cloud, and its largest standard deviation.
    pub fn center(&self) -> (Vec<f64>, f64) {
        let largest = (0..self.mean.len()).map(|at| self.covariance[(at, at)]).fold(0.0, f64::max);
        (self.mean.iter().copied().collect(), self.sigma * largest.max(0.0).sqrt())
    }

    fn draw(&mut self, offspring: usize) {
        let eigen = SymmetricEigen::new(self.covariance.clone());
        let roots = eigen.eigenvalues.map(|value| value.max(1e-20).sqrt());
        let mut stream = self.key.number(self.generation).stream();
        self.draws.clear();
        self.told.clear();
        for _ in 0..offspring {
            let normal = DVector::from_fn(self.mean.len(), |_, _| f64::from(stream.normal()));
            let step = &eigen.eigenvectors * normal.component_mul(&roots);
            self.draws.push((&self.mean + step * self.sigma).map(reflected));
        }
    }

    fn advance(&mut self) {
        let count = self.mean.len() as f64;
        let mut order: Vec<usize> = (0..self.draws.len()).collect();
        order.sort_by(|a, b| self.told[*a].total_cmp(&self.told[*b]));
        let old = self.mean.clone();
        let chosen = || order.iter().zip(&self.weights).map(|(place, weight)| (&self.draws[*place], *weight));
        let mean = chosen().fold(DVector::zeros(old.len()), |sum, (draw, weight)| sum + draw * weight);
        let step = (&mean - &old) / self.sigma;
        let effective = self.effective;
        let sigma_rate = (effective + 2.0) / (count + effective + 5.0);
        let damping = 1.0 + 2.0 * (((effective - 1.0) / (count + 1.0)).sqrt() - 1.0).max(0.0) + sigma_rate;
        let rate = (4.0 + effective / count) / (count + 4.0 + 2.0 * effective / count);
        let first = 2.0 / ((count + 1.3).powi(2) + effective);
        let many = (2.0 * (effective - 2.0 + 1.0 / effective) / ((count + 2.0).powi(2) + effective)).min(1.0 - first);
        // The expected length of a vector of so many standard normal numbers.
        let expected = count.sqrt() * (1.0 - 1.0 / (4.0 * count) + 1.0 / (21.0 * count * count));
        let eigen = SymmetricEigen::new(self.covariance.clone());
        let whitening = eigen.eigenvalues.map(|value| 1.0 / value.max(1e-20).sqrt());
        let white = &eigen.eigenvectors * (eigen.eigenvectors.transpose() * &step).component_mul(&whitening);
        self.sigma_path =
            &self.sigma_path * (1.0 - sigma_rate) + white * (sigma_rate * (2.0 - sigma_rate) * effective).sqrt();
        let length = self.sigma_path.norm();
        let grown = (1.0 - (1.0 - sigma_rate).powf(2.0 * (self.generation as f64 + 1.0))).sqrt();
        let is_steady = length / grown < (1.4 + 2.0 / (count + 1.0)) * expected;
        let share = if is_steady { 1.0 } else { 0.0 };
        self.path = &self.path * (1.0 - rate) + &step * (share * (rate * (2.0 - rate) * effective).sqrt());
        let of_parents = chosen().fold(DMatrix::zeros(old.len(), old.len()), |sum, (draw, weight)| {
            let step = (draw - &old) / self.sigma;
            sum + &step * step.transpose() * weight
        });
        let kept = 1.0 - first - many + (1.0 - share) * first * rate * (2.0 - rate);
        self.covariance = &self.covariance * kept + &self.path * self.path.transpose() * first + of_parents * many;
        self.covariance = (&self.covariance + self.covariance.transpose()) * 0.5;
        self.sigma = (self.sigma * ((sigma_rate / damping) * (length / expected - 1.0)).exp()).clamp(1e-6, 0.5);
        self.mean = mean;
        self.generation += 1;
        self.draw(self.draws.len());
    }
}

/// Within 0 to 1, by mirrors at both ends.
fn reflected(value: f64) -> f64 {
    let folded = value.rem_euclid(2.0);
    if folded > 1.0 { 2.0 - folded } else { folded }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_finds_the_bottom_of_a_turned_valley_and_stays_within() {
        let lowest = [0.2, 0.7, 0.45];
        let value = |x: &[f64]| {
            let [a, b, c] = [0, 1, 2].map(|k| x[k] - lowest[k]);
            (a + b).powi(2) + 25.0 * (a - b).powi(2) + 4.0 * (c - 0.5 * a).powi(2)
        };
        let mut search = Evolution::new(&[0.9, 0.1, 0.9], 0.2, Key::new(3));
        let mut best = f64::INFINITY;
        for _ in 0..700 {
            let setting = search.ask();
            assert!(setting.iter().all(|share| (0.0..=1.0).contains(share)), "{setting:?}");
            best = best.min(value(&setting));
            search.tell(value(&setting));
        }
        assert!(best < 1e-5, "{best}");
        let (center, spread) = search.center();
        assert!(center.iter().zip(lowest).all(|(a, b)| (a - b).abs() < 0.01) && spread < 0.01, "{center:?} {spread}");
    }

    #[test]
    fn the_same_key_asks_the_same_and_what_is_no_number_is_the_worst() {
        let run = |seed: u64| {
            let mut search = Evolution::new(&[0.5; 4], 0.3, Key::new(seed));
            (0..60)
                .map(|k| {
                    let setting = search.ask();
                    search.tell(if k % 7 == 0 { f64::NAN } else { setting[0] });
                    setting
                })
                .collect::<Vec<_>>()
        };
        assert_eq!(run(1), run(1));
        assert_ne!(run(1), run(2));
        assert!(run(1).iter().flatten().all(|share| share.is_finite()));
        assert_eq!([-0.25, 1.25, 2.5, 0.5].map(reflected), [0.25, 0.75, 0.5, 0.5]);
    }
}
