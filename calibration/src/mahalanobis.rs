//! The Mahalanobis distance with a shrunk covariance: how far a vector is from a mean, in the spreads that its parts have together.
//!
//! ```text
//! R  = correlations of the parts          parts that hardly vary are counted in a floor of their own
//! R* = (1 − ρ) R + ρ (tr R / p) I         ρ = ((1 − 2/p) tr R² + tr² R) / ((n + 1 − 2/p) (tr R² − tr² R / p)), at most 1
//! d² = zᵀ R*⁻¹ z / p                      z = (x − m) / s: about 1 of what it was fitted to
//! ```
//!
//! ρ is that of the oracle approximating shrinkage (Chen, Wiesel, Eldar and Hero, IEEE Trans. Signal Process. 58, 5016, 2010). Like that of
//! Ledoit and Wolf it is the best one for normal samples; unlike theirs it needs no fourth moments, and so follows from [`Statistics`] alone,
//! however these were gathered and merged.

#![allow(clippy::inline_always)] // The loops must be compiled for the vector unit that is found at run time.

use nalgebra::DMatrix;
use pulp::{Arch, NullaryFnOnce};

use crate::{Error, Statistics};

/// Shots whose distances are computed side by side: four of the widest vectors, so that sums do not wait for one another.
const LANES: usize = 64;

/// A distance from a mean.
///
/// ```
/// use calibration::{Mahalanobis, Statistics};
///
/// let mut statistics = Statistics::with_cross_moments("bench 1", 2);
/// // Two parts that always move together.
/// statistics.add(&[1.0, 1.1, -1.0, -0.9, 2.0, 2.0, -2.0, -2.1, 0.0, -0.1]);
/// let distance = Mahalanobis::fit(&statistics, &[0.0; 2])?;
/// let found = distance.distances(&[1.5, 1.5, 1.5, -1.5]);
/// assert!(found[1] > 3.0 * found[0], "each part is usual, both together are not: {found:?}");
/// # Ok::<(), calibration::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct Mahalanobis {
    mean: Vec<f32>,
    /// One over the spread of each part.
    weights: Vec<f32>,
    /// The lower triangle of L⁻¹/√p, where R* = L Lᵀ, row after row with the diagonal.
    factor: Vec<f32>,
    shrinkage: f64,
}

impl Mahalanobis {
    /// Of statistics with cross-moments. A part that varies less than its floor is counted in the floor.
    pub fn fit(statistics: &Statistics, floors: &[f64]) -> Result<Self, Error> {
        Self::shrunk(statistics, floors, None)
    }

    /// The same with a share of the covariance replaced that is given, 0 to 1: with 1 each part counts by itself. None: ρ as above.
    pub fn shrunk(statistics: &Statistics, floors: &[f64], share: Option<f64>) -> Result<Self, Error> {
        let (count, width) = (statistics.count() as f64, statistics.width());
        if statistics.count() < 2 || width == 0 {
            let message =
                format!("have {} rows of {width} columns: a distance needs at least 2 rows", statistics.count());
            return Err(Error::statistics(statistics.of(), message));
        }
        let floor = |column: usize| floors.get(column).copied().unwrap_or(0.0);
        let spreads: Vec<f64> = statistics
            .variance()
            .iter()
            .enumerate()
            .map(|(column, variance)| {
                let spread = variance.sqrt().max(floor(column));
                // What has never moved and has no floor is counted in 1 of its own unit.
                if spread > 0.0 { spread } else { 1.0 }
            })
            .collect();
        let mut correlations = DMatrix::<f64>::zeros(width, width);
        for row in 0..width {
            for column in 0..=row {
                let covariance = statistics.covariance(row, column).ok_or_else(|| {
                    Error::statistics(statistics.of(), "have no cross-moments, which a distance needs".to_owned())
                })?;
                let value = covariance / spreads[row] / spreads[column];
                (correlations[(row, column)], correlations[(column, row)]) = (value, value);
            }
        }
        let shrinkage = share.unwrap_or_else(|| shrinkage(&correlations, count)).clamp(0.0, 1.0);
        let level = correlations.trace() / width as f64;
        // Parts that never vary together leave nothing to shrink to.
        let level = if level > 0.0 { level } else { 1.0 };
        correlations *= 1.0 - shrinkage;
        for part in 0..width {
            // Beside the shrinkage what rounding of single precision may take, so that there is always a factor.
            correlations[(part, part)] += (shrinkage + 1e-6) * level;
        }
        let factor = correlations
            .cholesky()
            .and_then(|whole| whole.l().solve_lower_triangular(&DMatrix::identity(width, width)));
        let factor = factor.ok_or_else(|| {
            Error::statistics(statistics.of(), "have a covariance that is none: a value is not finite".to_owned())
        })?;
        let share = 1.0 / (width as f64).sqrt();
        let triangle = (0..width).flat_map(|row| (0..=row).map(move |column| (row, column)));
        Ok(Self {
            mean: statistics.mean().iter().map(|mean| *mean as f32).collect(),
            weights: spreads.iter().map(|spread| (1.0 / spread) as f32).collect(),
            factor: triangle.map(|place| (share * factor[place]) as f32).collect(),
            shrinkage,
        })
    }

    /// Parts of a vector.
    pub fn width(&self) -> usize {
        self.mean.len()
    }

    /// How much of the covariance was replaced by a multiple of the identity: 0 to 1.
    pub fn shrinkage(&self) -> f64 {
        self.shrinkage
    }

    /// Squared distances from the mean of rows that follow one another, each divided by the number of parts. What is not a finite number is
    /// infinitely far.
    pub fn distances(&self, rows: &[f32]) -> Vec<f32> {
        self.distances_from(&self.mean, rows)
    }

    /// The same from another center, such as the mean of a class.
    pub fn distances_from(&self, center: &[f32], rows: &[f32]) -> Vec<f32> {
        Arch::new().dispatch(Distances { of: self, center, rows })
    }

    /// For each row the squared distance to the nearest of some centers, which follow one another; each divided by the number of parts.
    pub fn nearest(&self, centers: &[f32], rows: &[f32]) -> Vec<f32> {
        let width = self.width().max(1);
        let centers = self.whitened(centers);
        let distance = |row: &[f32], center: &[f32]| {
            row.iter().zip(center).map(|(value, center)| (value - center) * (value - center)).sum::<f32>()
        };
        let nearest = |row: &[f32]| {
            let all = centers.chunks_exact(width).map(|center| distance(row, center));
            all.fold(f32::INFINITY, f32::min)
        };
        self.whitened(rows).chunks_exact(width).map(nearest).collect()
    }

    /// L⁻¹ z/√p of each row: where all directions count alike.
    fn whitened(&self, rows: &[f32]) -> Vec<f32> {
        let width = self.width();
        let mut whole = Vec::with_capacity(rows.len());
        for row in rows.chunks_exact(width.max(1)) {
            let parts: Vec<f32> = row
                .iter()
                .zip(self.mean.iter().zip(&self.weights))
                .map(|(value, (mean, weight))| (value - mean) * weight)
                .collect();
            let mut rest = &self.factor[..];
            for line in 0..width {
                let (weights, others) = rest.split_at(line + 1);
                rest = others;
                whole.push(weights.iter().zip(&parts).map(|(weight, part)| weight * part).sum::<f32>());
            }
        }
        whole
    }
}

/// Distances of rows, compiled for the vector unit that is found.
struct Distances<'a> {
    of: &'a Mahalanobis,
    center: &'a [f32],
    rows: &'a [f32],
}

impl NullaryFnOnce for Distances<'_> {
    type Output = Vec<f32>;

    #[inline(always)]
    fn call(self) -> Vec<f32> {
        let Self { of, center, rows } = self;
        let width = of.width().max(1);
        let mut distances = Vec::with_capacity(rows.len() / width);
        let mut parts = vec![[0.0_f32; LANES]; of.width()];
        for block in rows.chunks(LANES * width) {
            let used = block.len() / width;
            for (lane, row) in block.chunks_exact(width).enumerate() {
                for (part, (value, (center, weight))) in
                    parts.iter_mut().zip(row.iter().zip(center.iter().zip(&of.weights)))
                {
                    part[lane] = (value - center) * weight;
                }
            }
            let sums = squares(&of.factor, &parts);
            let finite = |sum: f32| if sum.is_finite() { sum } else { f32::INFINITY };
            distances.extend(sums[..used].iter().map(|sum| finite(*sum)));
        }
        distances
    }
}

/// |L⁻¹ z|²/p of each lane. Lanes never meet, so the result depends on no vector unit.
#[inline(always)]
fn squares(factor: &[f32], parts: &[[f32; LANES]]) -> [f32; LANES] {
    let mut sums = [0.0; LANES];
    let mut rest = factor;
    // Two rows of the triangle at once, so that each part is loaded once for both.
    for row in (0..parts.len()).step_by(2) {
        let (weights, others) = rest.split_at(row + 1);
        let (next, others) = others.split_at(others.len().min(row + 2));
        rest = others;
        let mut both = [[0.0_f32; LANES]; 2];
        for (place, (weight, part)) in weights.iter().zip(parts).enumerate() {
            let next = next.get(place).copied().unwrap_or(0.0);
            for (lane, value) in part.iter().enumerate() {
                both[0][lane] = weight.mul_add(*value, both[0][lane]);
                both[1][lane] = next.mul_add(*value, both[1][lane]);
            }
        }
        if let (Some(weight), Some(part)) = (next.last(), parts.get(row + 1)) {
            for (sum, value) in both[1].iter_mut().zip(part) {
                *sum = weight.mul_add(*value, *sum);
            }
        }
        for one in both {
            for (sum, value) in sums.iter_mut().zip(one) {
                *sum = value.mul_add(value, *sum);
            }
        }
    }
    sums
}

/// The oracle approximating shrinkage of a covariance of so many samples.
fn shrinkage(covariance: &DMatrix<f64>, count: f64) -> f64 {
    let width = covariance.nrows() as f64;
    let (trace, squares) = (covariance.trace(), covariance.norm_squared());
    let above = (1.0 - 2.0 / width) * squares + trace * trace;
    let below = (count + 1.0 - 2.0 / width) * (squares - trace * trace / width);
    if below > 0.0 { (above / below).clamp(0.0, 1.0) } else { 1.0 }
}

#[cfg(test)]
mod tests {
    use sims::Key;

    use super::*;

    /// Rows whose first part is in the others, so that all of them go together.
    fn rows(key: Key, count: usize, width: usize) -> Vec<f32> {
        let mut stream = key.stream();
        let mut row = || {
            let common = stream.normal();
            (0..width).map(|part| 3.0 + part as f32 * (common + 0.5 * stream.normal())).collect::<Vec<f32>>()
        };
        (0..count).flat_map(|_| row()).collect()
    }

    fn statistics(rows: &[f32], width: usize) -> Statistics {
        let mut statistics = Statistics::with_cross_moments("a", width);
        statistics.add(rows);
        statistics
    }

    #[test]
    fn of_two_parts_it_is_what_the_formula_says() {
        // Means 1 and 2, variances 2 and 8 of the population, covariance 2: a correlation of 1/2.
        let rows: [f64; 8] = [3.0, 4.0, -1.0, 0.0, 1.0, 5.464_101_615_137_754, 1.0, -1.464_101_615_137_754];
        let statistics = {
            let mut statistics = Statistics::with_cross_moments("a", 2);
            statistics.add(&rows);
            statistics
        };
        let [a, b, c] = [(0, 0), (1, 1), (1, 0)].map(|(row, column)| statistics.covariance(row, column).unwrap());
        assert!((a - 2.0).abs() < 1e-12 && (b - 8.0).abs() < 1e-12 && (c - 2.0).abs() < 1e-12);
        let distance = Mahalanobis::fit(&statistics, &[0.0; 2]).unwrap();
        // tr R = 2, tr R² = 2 + 2/4; p = 2: ρ = (0 + 4)/((4 + 1 − 1)(2.5 − 2)) = 2, which is more than 1.
        assert_eq!(distance.shrinkage(), 1.0);
        // R* is the identity: the mean of the squared deviations in spreads.
        let found = distance.distances(&[1.0 + 2.0_f32.sqrt(), 2.0, 1.0, 2.0 + 2.0 * 8.0_f32.sqrt()]);
        assert!((found[0] - 0.5).abs() < 1e-5 && (found[1] - 2.0).abs() < 1e-5, "{found:?}");
    }

    #[test]
    fn of_many_samples_the_covariance_is_kept_and_of_few_it_is_shrunk() {
        let many = Mahalanobis::fit(&statistics(&rows(Key::new(1), 20_000, 6), 6), &[0.0; 6]).unwrap();
        let few = Mahalanobis::fit(&statistics(&rows(Key::new(1), 8, 6), 6), &[0.0; 6]).unwrap();
        assert!(many.shrinkage() < 0.001 && 0.05 < few.shrinkage(), "{} {}", many.shrinkage(), few.shrinkage());
        // About 1 of other rows of the same kind; of parts that go apart much more.
        let fresh = rows(Key::new(2), 4000, 6);
        let mean = |distances: Vec<f32>| distances.iter().sum::<f32>() / distances.len() as f32;
        // The first part never varies, which is a sixth of the sum.
        assert!((mean(many.distances(&fresh)) - 5.0 / 6.0).abs() < 0.03, "{}", mean(many.distances(&fresh)));
        let apart = [3.0, 4.5, 0.0, 7.5, -3.0, 10.5];
        assert!(many.distances(&apart)[0] > 4.0);
    }

    #[test]
    fn it_is_the_distance_of_plain_linear_algebra() {
        let (width, all) = (7, rows(Key::new(5), 400, 7));
        let statistics = statistics(&all, width);
        let distance = Mahalanobis::fit(&statistics, &[0.01; 7]).unwrap();
        let spread = |part: usize| statistics.variance()[part].sqrt().max(0.01);
        let rho = distance.shrinkage();
        let mut shrunk = DMatrix::from_fn(width, width, |row, column| {
            (1.0 - rho) * statistics.covariance(row, column).unwrap() / spread(row) / spread(column)
        });
        let level = (0..width).map(|part| statistics.variance()[part] / spread(part).powi(2)).sum::<f64>() / 7.0;
        (0..width).for_each(|part| shrunk[(part, part)] += (rho + 1e-6) * level);
        let inverse = shrunk.try_inverse().unwrap();
        // The nearest of two centers, one of which is the mean.
        let mean: Vec<f32> = statistics.mean().iter().map(|mean| *mean as f32).collect();
        let far: Vec<f32> = mean.iter().map(|mean| mean + 1e3).collect();
        let nearest = distance.nearest(&[far, mean].concat(), &all[..70]);
        for (one, other) in nearest.iter().zip(distance.distances(&all[..70])) {
            assert!((one - other).abs() < 1e-4 * other.max(1.0), "{one} {other}");
        }
        // More rows than lanes, and not a multiple of them.
        for (row, found) in all[..37 * width].chunks(width).zip(distance.distances(&all[..37 * width])) {
            let z = nalgebra::DVector::from_fn(width, |part, _| {
                (f64::from(row[part]) - statistics.mean()[part]) / spread(part)
            });
            let exact = (z.transpose() * &inverse * &z)[0] / 7.0;
            assert!((f64::from(found) - exact).abs() < 1e-4 * exact.max(1.0), "{found} {exact}");
        }
    }

    #[test]
    fn what_cannot_be_fitted_says_why_and_what_is_no_number_is_far() {
        let one = Mahalanobis::fit(&statistics(&[1.0, 2.0], 2), &[0.0; 2]).unwrap_err().to_string();
        assert!(one.contains("1 rows of 2 columns"), "{one}");
        let mut plain = Statistics::new("a", 1);
        plain.add(&[1.0, 2.0]);
        let said = Mahalanobis::fit(&plain, &[0.0]).err().map(|error| error.to_string());
        // Of one column the variance is all that there is.
        assert_eq!(said, None);
        let mut plain = Statistics::new("a", 2);
        plain.add(&[1.0, 2.0, 3.0, 5.0]);
        assert!(Mahalanobis::fit(&plain, &[0.0; 2]).unwrap_err().to_string().contains("no cross-moments"));
        let constant = Mahalanobis::fit(&statistics(&[1.0; 12], 2), &[0.5; 2]).unwrap();
        assert_eq!(constant.distances(&[1.0, f32::NAN, 1.0, 1.0]), [f32::INFINITY, 0.0]);
    }
}
