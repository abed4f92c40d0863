//! Principal components: the directions in which rows vary most, with the standard deviation along each.
//!
//! With the covariance C of the rows, `C vₖ = σₖ² vₖ`, σ₁ ≥ σ₂ ≥ …: vₖ of length 1, σₖ in the unit of the rows. The sign of a direction is
//! such that its largest value is positive, so that the same rows always have the same directions.

use nalgebra::DMatrix;

/// Directions in which rows vary, the most varied first.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Principal {
    /// Each of length 1.
    pub directions: Vec<Vec<f64>>,
    /// The standard deviation along each.
    pub deviations: Vec<f64>,
}

impl Principal {
    /// Of rows of `width` values, the first `count` directions. Rows of one group vary about the mean of that group.
    pub fn of(rows: &[f32], width: usize, count: usize, group: impl Fn(usize) -> usize) -> Self {
        let all = rows.len() / width.max(1);
        let groups = (0..all).map(&group).max().map_or(0, |last| last + 1);
        let (mut means, mut counts) = (vec![vec![0.0; width]; groups], vec![0_usize; groups]);
        for (row, values) in rows.chunks_exact(width.max(1)).enumerate() {
            counts[group(row)] += 1;
            means[group(row)].iter_mut().zip(values).for_each(|(mean, value)| *mean += f64::from(*value));
        }
        for (mean, count) in means.iter_mut().zip(&counts) {
            for mean in mean.iter_mut() {
                *mean /= (*count).max(1) as f64;
            }
        }
        let mut covariance = DMatrix::<f64>::zeros(width, width);
        for (row, values) in rows.chunks_exact(width.max(1)).enumerate() {
            let mean = &means[group(row)];
            for (a, value) in values.iter().enumerate() {
                let deviation = f64::from(*value) - mean[a];
                for b in 0..=a {
                    covariance[(a, b)] += deviation * (f64::from(values[b]) - mean[b]);
                }
            }
        }
        for a in 0..width {
            for b in 0..=a {
                covariance[(a, b)] /= all.saturating_sub(groups).max(1) as f64;
                covariance[(b, a)] = covariance[(a, b)];
            }
        }
        let eigen = covariance.symmetric_eigen();
        let mut order: Vec<usize> = (0..width).collect();
        order.sort_by(|a, b| eigen.eigenvalues[*b].total_cmp(&eigen.eigenvalues[*a]).then(a.cmp(b)));
        let mut found = Self::default();
        for place in order.into_iter().take(count) {
            let direction: Vec<f64> = eigen.eigenvectors.column(place).iter().copied().collect();
            let largest =
                direction.iter().fold(0.0_f64, |most, value| if most.abs() < value.abs() { *value } else { most });
            let sign = if largest < 0.0 { -1.0 } else { 1.0 };
            found.directions.push(direction.into_iter().map(|value| sign * value).collect());
            found.deviations.push(eigen.eigenvalues[place].max(0.0).sqrt());
        }
        found
    }
}

#[cfg(test)]
mod tests {
    use sims::Key;

    use super::*;

    #[test]
    fn directions_and_deviations_are_those_that_rows_were_made_of() {
        let axes = [[0.6_f32, 0.8, 0.0], [-0.8, 0.6, 0.0]];
        let mut stream = Key::new(1).stream();
        let mut rows = Vec::new();
        for row in 0..20_000 {
            let (along, across) = (2.0 * stream.normal(), 0.5 * stream.normal());
            // Every other row is of a group with another mean, along the last value.
            let base = [1.0, 2.0, if row % 2 == 0 { 5.0 } else { -5.0 }];
            rows.extend((0..3).map(|place| base[place] + along * axes[0][place] + across * axes[1][place]));
        }
        let found = Principal::of(&rows, 3, 2, |row| row % 2);
        for (place, (axis, deviation)) in axes.iter().zip([2.0, 0.5]).enumerate() {
            let cosine: f64 = axis.iter().zip(&found.directions[place]).map(|(a, b)| f64::from(*a) * b).sum();
            assert!(0.999 < cosine.abs(), "{found:?}");
            assert!((found.deviations[place] / deviation - 1.0).abs() < 0.03, "{found:?}");
        }
        assert!(found.directions.iter().all(|direction| direction.iter().sum::<f64>().is_finite()));
        // Without groups the means differ most.
        let all = Principal::of(&rows, 3, 1, |_| 0);
        assert!((all.deviations[0] - 5.0).abs() < 0.1 && 0.99 < all.directions[0][2], "{all:?}");
    }

    #[test]
    fn no_rows_have_no_deviation() {
        assert_eq!(Principal::of(&[], 2, 2, |_| 0).deviations, [0.0, 0.0]);
    }
}
