//! The Fréchet distance between two sets of rows, each taken as a normal distribution.
//!
//! ```text
//! d² = |μ₁ − μ₂|² + tr C₁ + tr C₂ − 2 tr (C₁^½ C₂ C₁^½)^½
//! ```
//!
//! In the square of the rows' unit; 0 only where means and covariances agree. After Dowson and Landau, *The Fréchet distance between
//! multivariate normal distributions* (J. Multivar. Anal. 12, 450, 1982), as films and images are compared by it (Heusel et al., 2017).

use nalgebra::{DMatrix, DVector};

/// d² between rows of `width` values; none where a side has fewer than two rows.
pub fn frechet(one: &[f64], other: &[f64], width: usize) -> Option<f64> {
    let ((mean, covariance), (wanted, known)) = (moments(one, width)?, moments(other, width)?);
    let root = root(covariance.clone());
    let between = &root * &known * &root;
    let both = between.symmetric_eigen().eigenvalues.iter().map(|value| value.max(0.0).sqrt()).sum::<f64>();
    Some((mean - wanted).norm_squared() + covariance.trace() + known.trace() - 2.0 * both)
}

/// Mean and covariance.
fn moments(rows: &[f64], width: usize) -> Option<(DVector<f64>, DMatrix<f64>)> {
    let count = rows.len() / width.max(1);
    if count < 2 || width == 0 {
        return None;
    }
    let rows = DMatrix::from_row_slice(count, width, rows);
    let mean = rows.row_mean().transpose();
    let centered = DMatrix::from_fn(count, width, |row, column| rows[(row, column)] - mean[column]);
    let covariance = centered.tr_mul(&centered) / (count - 1) as f64;
    Some((mean, covariance))
}

/// The symmetric square root.
fn root(matrix: DMatrix<f64>) -> DMatrix<f64> {
    let eigen = matrix.symmetric_eigen();
    let roots = DMatrix::from_diagonal(&eigen.eigenvalues.map(|value| value.max(0.0).sqrt()));
    &eigen.eigenvectors * roots * eigen.eigenvectors.transpose()
}

#[cfg(test)]
mod tests {
    use sims::Key;

    use super::*;

    fn rows(count: usize, seed: u64, make: impl Fn(f64, f64) -> [f64; 2]) -> Vec<f64> {
        let mut stream = Key::new(seed).stream();
        (0..count).flat_map(|_| make(f64::from(stream.normal()), f64::from(stream.normal()))).collect()
    }

    #[test]
    fn normal_rows_are_as_far_apart_as_their_means_and_deviations_say() {
        let one = rows(40_000, 1, |a, b| [a, 3.0 * b]);
        // Along each axis (μ₁ − μ₂)² + (σ₁ − σ₂)²: 2² + 1² and 0 + 2².
        let other = rows(40_000, 2, |a, b| [2.0 + 2.0 * a, b]);
        let found = frechet(&one, &other, 2).unwrap();
        assert!((found - 9.0).abs() < 0.15, "{found}");
        assert!(frechet(&one, &one, 2).unwrap().abs() < 1e-9);
    }

    #[test]
    fn rows_that_never_vary_are_as_far_as_the_trace_of_the_others() {
        let still = rows(100, 3, |_, _| [1.0, 1.0]);
        // Correlated: the covariance is [[1, 1], [1, 2]], whatever its axes are.
        let other = rows(40_000, 4, |a, b| [1.0 + a, 1.0 + a + b]);
        let found = frechet(&still, &other, 2).unwrap();
        assert!((found - 3.0).abs() < 0.1, "{found}");
        assert_eq!(frechet(&[1.0, 2.0], &other, 2), None);
    }
}
