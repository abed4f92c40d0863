//! Gauss's elimination of a dense matrix with rows exchanged, in panels: what a library for dense systems does.

use nalgebra::DMatrix;

/// Columns that are eliminated before what is right of them is.
const PANEL: usize = 48;

/// The factors of a matrix, and which row each was exchanged with.
pub(super) struct Factors {
    matrix: DMatrix<f64>,
    pivots: Vec<usize>,
}

impl Factors {
    pub fn of(mut matrix: DMatrix<f64>) -> Self {
        let size = matrix.nrows();
        let mut pivots = Vec::with_capacity(size);
        for first in (0..size).step_by(PANEL) {
            let end = (first + PANEL).min(size);
            for pivot in first..end {
                let column = matrix.column(pivot);
                let row = (pivot..size)
                    .fold(pivot, |most, row| if column[most].abs() < column[row].abs() { row } else { most });
                matrix.swap_rows(pivot, row);
                pivots.push(row);
                let (mut left, mut right) = matrix.columns_range_pair_mut(pivot, pivot + 1..end);
                let inverse = 1.0 / left[pivot];
                let mut below = left.rows_range_mut(pivot + 1..);
                below *= inverse;
                for mut column in right.column_iter_mut() {
                    let factor = column[pivot];
                    column.rows_range_mut(pivot + 1..).axpy(-factor, &below, 1.0);
                }
            }
            if end == size {
                break;
            }
            let (left, mut right) = matrix.columns_range_pair_mut(first..end, end..);
            for mut column in right.column_iter_mut() {
                for row in first..end {
                    let factor = column[row];
                    for later in row + 1..end {
                        column[later] -= left[(later, row - first)] * factor;
                    }
                }
            }
            let above = right.rows_range(first..end).into_owned();
            right.rows_range_mut(end..).gemm(-1.0, &left.rows_range(end..), &above, 1.0);
        }
        Self { matrix, pivots }
    }

    /// Solves in place.
    pub fn solve(&self, right: &mut [f64]) {
        let size = right.len();
        for (row, other) in self.pivots.iter().enumerate() {
            right.swap(row, *other);
        }
        for column in 0..size {
            let value = right[column];
            for (to, factor) in right[column + 1..].iter_mut().zip(&self.matrix.column(column).as_slice()[column + 1..])
            {
                *to -= factor * value;
            }
        }
        for column in (0..size).rev() {
            let factors = self.matrix.column(column);
            let value = right[column] / factors[column];
            right[column] = value;
            for (to, factor) in right[..column].iter_mut().zip(&factors.as_slice()[..column]) {
                *to -= factor * value;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Key;

    #[test]
    fn a_dense_matrix_is_solved_in_panels() {
        let size = 2 * PANEL + 7;
        let mut stream = Key::new(3).branch("dense").stream();
        let matrix = DMatrix::from_fn(size, size, |_, _| f64::from(stream.normal()));
        let exact: Vec<f64> = (0..size).map(|_| f64::from(stream.normal())).collect();
        let mut right: Vec<f64> =
            (0..size).map(|row| (0..size).map(|column| matrix[(row, column)] * exact[column]).sum()).collect();
        Factors::of(matrix).solve(&mut right);
        assert!(right.iter().zip(&exact).all(|(found, exact)| (found - exact).abs() < 1e-9));
    }
}
