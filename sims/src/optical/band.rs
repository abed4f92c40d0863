//! A banded linear map of lanes: each output is a weighted sum of neighboring inputs, `to_r` = `Σ_j` `w_rj·from`_(`first_r` + j).

use crate::{LANES, Lanes, Real};

/// A matrix that is zero away from a band.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Band<S> {
    /// Weights of each row; shorter bands are padded with zeros.
    width: usize,
    /// Column of each row's first weight.
    first: Vec<usize>,
    /// `[rows][width]`.
    weights: Vec<S>,
}

impl<S: Real> Band<S> {
    /// The band of a dense matrix of `columns` columns, row-major.
    pub fn new(dense: &[S::Wide], columns: usize) -> Self {
        let ends = |row: &[S::Wide]| {
            let first = row.iter().position(|&weight| weight != S::Wide::default()).unwrap_or(0);
            let last = row.iter().rposition(|&weight| weight != S::Wide::default()).unwrap_or(0);
            (first, last)
        };
        let rows = dense.chunks_exact(columns);
        let width = rows.clone().map(ends).map(|(first, last)| last + 1 - first).max().unwrap_or(0);
        let first: Vec<usize> = rows.clone().map(|row| ends(row).0.min(columns - width)).collect();
        let weights =
            rows.zip(&first).flat_map(|(row, &first)| row[first..first + width].iter().map(|&w| S::nearest(w)));
        Self { width, weights: weights.collect(), first }
    }

    /// One output.
    #[inline(always)]
    pub fn row(&self, row: usize, from: &[Lanes<S>]) -> Lanes<S> {
        let weights = &self.weights[row * self.width..(row + 1) * self.width];
        let from = &from[self.first[row]..self.first[row] + self.width];
        let mut sum = [S::default(); LANES];
        for (&weight, from) in weights.iter().zip(from) {
            for lane in 0..LANES {
                sum[lane] = from[lane].mul_add(weight, sum[lane]);
            }
        }
        sum
    }
}

/// The transpose of a dense row-major matrix of `columns` columns.
pub(super) fn transposed<R: Real>(dense: &[R], columns: usize) -> Vec<R> {
    (0..columns).flat_map(|column| dense.iter().skip(column).step_by(columns).copied()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_band_is_the_matrix_it_came_from() {
        let dense = [0.0, 2.0, 3.0, 0.0, 0.0, 0.0, 0.0, 0.0, 5.0, 0.0, 0.0, 0.0];
        let from: Vec<Lanes<f64>> = (0..4).map(|k| [f64::from(k) + 1.0; LANES]).collect();
        let band = Band::<f64>::new(&dense, 4);
        assert_eq!([0, 1, 2].map(|row| band.row(row, &from)[3]), [13.0, 0.0, 5.0]);
        let back = Band::<f64>::new(&transposed(&dense, 4), 3);
        assert_eq!([0, 1, 2, 3].map(|row| back.row(row, &from[..3])[0]), [15.0, 2.0, 3.0, 0.0]);
    }
}
