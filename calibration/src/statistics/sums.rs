//! The sums of statistics over rows, compiled for the vector unit that is found at run time.

#![allow(clippy::inline_always)] // The loops must be compiled for the vector unit that is found at run time.

use pulp::NullaryFnOnce;

/// Means, and sums of squared deviations from them, of rows with one value of each column: in two passes, so that a large mean costs no digits.
pub(super) struct Sums<'a, T> {
    pub rows: &'a [T],
    pub count: f64,
    pub mean: &'a mut [f64],
    pub squares: &'a mut [f64],
}

impl<T: Copy + Into<f64>> NullaryFnOnce for Sums<'_, T> {
    type Output = ();

    #[inline(always)]
    fn call(self) {
        let Self { rows, count, mean, squares } = self;
        let width = mean.len();
        for row in rows.chunks_exact(width) {
            mean.iter_mut().zip(row).for_each(|(mean, value)| *mean += (*value).into());
        }
        for mean in mean.iter_mut() {
            *mean /= count;
        }
        let mut remains = vec![0.0; width];
        for row in rows.chunks_exact(width) {
            let sums = squares.iter_mut().zip(&mut remains);
            for ((square, remain), (value, mean)) in sums.zip(row.iter().zip(&*mean)) {
                let deviation = (*value).into() - mean;
                *square += deviation * deviation;
                *remain += deviation;
            }
        }
        // What rounding of the mean has left.
        for ((square, mean), remain) in squares.iter_mut().zip(mean).zip(remains) {
            *square = (*square - remain * remain / count).max(0.0);
            *mean += remain / count;
        }
    }
}

/// Adds the products of the deviations of two columns each: the strict lower triangle, line after line.
pub(super) struct Products<'a, T> {
    pub rows: &'a [T],
    pub mean: &'a [f64],
    pub sums: &'a mut [f64],
}

/// Rows whose products are added together: sums are read and written once for all of them.
const TOGETHER: usize = 4;

impl<T: Copy + Into<f64>> NullaryFnOnce for Products<'_, T> {
    type Output = ();

    #[inline(always)]
    fn call(self) {
        let Self { rows, mean, sums } = self;
        let width = mean.len().max(1);
        let mut deviations = vec![[0.0; TOGETHER]; mean.len()];
        let mut columns = vec![vec![0.0; mean.len()]; TOGETHER];
        for rows in rows.chunks(TOGETHER * width) {
            // Where there are fewer rows the others deviate by nothing.
            for column in &mut columns {
                column.fill(0.0);
            }
            for (column, row) in columns.iter_mut().zip(rows.chunks_exact(width)) {
                column
                    .iter_mut()
                    .zip(row.iter().zip(mean))
                    .for_each(|(to, (value, mean))| *to = (*value).into() - mean);
            }
            for (index, deviation) in deviations.iter_mut().enumerate() {
                *deviation = std::array::from_fn(|row| columns[row][index]);
            }
            let mut rest = &mut sums[..];
            for (index, [a, b, c, d]) in deviations.iter().enumerate() {
                let (line, others) = rest.split_at_mut(index);
                rest = others;
                let [one, two, three, four] = [0, 1, 2, 3].map(|row| &columns[row][..index]);
                for (place, product) in line.iter_mut().enumerate() {
                    *product += (a * one[place] + b * two[place]) + (c * three[place] + d * four[place]);
                }
            }
        }
    }
}
