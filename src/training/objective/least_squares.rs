//! Least squares on the inputs of the network: what a straight line reaches.
//!
//! ```text
//! Σ |y − W x − b|² + α |W|²        α = 1, over the training rows, offsets free
//! ```
//!
//! That is scikit-learn's `Ridge()` as it comes, with the targets in deviations of the training rows; it is solved in double precision
//! from the normal equations.

use nalgebra::{Cholesky, DMatrix, DVector};

use crate::data::{Dataset, Rows};

/// α: how strongly slopes are drawn to 0.
const STRENGTH: f64 = 1.0;

/// What the line through the training rows says of each row of the test set, target by target.
pub fn least_squares(data: &Dataset) -> Vec<f64> {
    let (inputs, outputs) = (matrix(&data.train, data.width), wanted(&data.train, data.meaning.len()));
    let mean = |matrix: &DMatrix<f64>| matrix.row_mean().transpose();
    let (center, offset) = (mean(&inputs), mean(&outputs));
    let (inputs, outputs) = (less(inputs, &center), less(outputs, &offset));
    let mut squares = inputs.tr_mul(&inputs);
    for place in 0..squares.nrows() {
        squares[(place, place)] += STRENGTH;
    }
    // Squares and a positive summand on the diagonal: there is a factor, unless a value is no number.
    let slopes = Cholesky::new(squares).map(|factor| factor.solve(&inputs.tr_mul(&outputs)));
    let slopes = slopes.unwrap_or_else(|| DMatrix::zeros(data.width, data.meaning.len()));
    let predicted = less(matrix(&data.test, data.width), &center) * slopes;
    predicted
        .row_iter()
        .flat_map(|row| row.transpose().iter().zip(&offset).map(|(a, b)| a + b).collect::<Vec<_>>())
        .collect()
}

fn matrix(rows: &Rows, width: usize) -> DMatrix<f64> {
    DMatrix::from_row_iterator(rows.len(), width, rows.values.iter().map(|value| f64::from(*value)))
}

fn wanted(rows: &Rows, width: usize) -> DMatrix<f64> {
    DMatrix::from_row_iterator(rows.len(), width, rows.targets.values().iter().map(|value| f64::from(*value)))
}

/// Each row less `center`.
fn less(mut matrix: DMatrix<f64>, center: &DVector<f64>) -> DMatrix<f64> {
    for (mut column, center) in matrix.column_iter_mut().zip(center) {
        column.add_scalar_mut(-center);
    }
    matrix
}

#[cfg(test)]
mod tests {
    use sims::Key;

    use super::*;
    use crate::data::DataConfig;
    use crate::document::Document;

    #[test]
    fn it_is_the_ridge_of_a_hand_computation() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("a.csv");
        // Of x = 0, 1, 2 and y = 1, 2, 6: means 1 and 3, deviation of y √(14/3); Σ(x−1)² is 2, Σ(x−1)(y−3) is 5.
        std::fs::write(&file, "x,y\n0,1\n1,2\n2,6\n4,9\n7,3\n").unwrap();
        let keys = "source = \"csv\"\nfile = \"a.csv\"\ntargets = [\"y\"]\ntest = 2\nvalidation = 0\nsplit = \"sequential\"\nscaling = \"none\"\n";
        let document = Document::parse("a.toml", keys).unwrap();
        let config: DataConfig = document.table().clone().try_into().unwrap();
        let data = Dataset::load(&config, Some(&file), &document, Key::new(1)).unwrap();
        let slope = 5.0 / (2.0 + STRENGTH) / (14.0_f64 / 3.0).sqrt();
        for (found, known) in least_squares(&data).into_iter().zip([3.0 * slope, 6.0 * slope]) {
            assert!((found - known).abs() < 1e-6, "{found}, not {known}");
        }
    }
}
