//! A batch of shots: one row per shot, one column per port, row-major `f32` in the port's SI unit.

use crate::Error;

/// Rows of plain values, `[rows, columns]`, row-major.
///
/// ```
/// use drivers::Batch;
///
/// let shots = Batch::new(3, vec![0.1, 0.2, 0.3, 0.4, 0.5, 0.6])?; // two shots on three ports
/// assert_eq!((shots.rows(), shots.row(1)), (2, &[0.4, 0.5, 0.6][..]));
/// assert!(Batch::new(4, vec![0.0; 6]).is_err(), "six values are no rows of four");
/// # Ok::<(), drivers::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Batch {
    rows: usize,
    columns: usize,
    values: Vec<f32>,
}

impl Batch {
    /// A batch of `values` cut into rows of `columns` values each.
    ///
    /// Fails when the values do not fill whole rows.
    pub fn new(columns: usize, values: Vec<f32>) -> Result<Self, Error> {
        if columns == 0 || !values.len().is_multiple_of(columns) {
            return Err(Error::Ragged { values: values.len(), columns });
        }
        Ok(Self { rows: values.len() / columns, columns, values })
    }

    /// A batch of zeros, `[rows, columns]`.
    pub fn zeros(rows: usize, columns: usize) -> Self {
        Self { rows, columns, values: vec![0.0; rows * columns] }
    }

    /// A batch of `[rows, columns]` whose value at `(row, column)` is `value(row, column)`.
    pub fn from_fn(rows: usize, columns: usize, mut value: impl FnMut(usize, usize) -> f32) -> Self {
        let mut values = Vec::with_capacity(rows * columns);
        for row in 0..rows {
            values.extend((0..columns).map(|column| value(row, column)));
        }
        Self { rows, columns, values }
    }

    /// These rows, in this order.
    pub fn picked(&self, rows: &[usize]) -> Self {
        let mut values = Vec::with_capacity(rows.len() * self.columns);
        for row in rows {
            values.extend_from_slice(self.row(*row));
        }
        Self { rows: rows.len(), columns: self.columns, values }
    }

    /// Number of shots.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// Number of values in each shot.
    pub fn columns(&self) -> usize {
        self.columns
    }

    /// All values, row after row.
    pub fn values(&self) -> &[f32] {
        &self.values
    }

    /// All values, row after row, to be written in place.
    pub fn values_mut(&mut self) -> &mut [f32] {
        &mut self.values
    }

    /// All values, row after row, given away.
    pub fn into_values(self) -> Vec<f32> {
        self.values
    }

    /// One shot.
    pub fn row(&self, row: usize) -> &[f32] {
        &self.values[row * self.columns..(row + 1) * self.columns]
    }

    /// So many rows from row `first` on.
    pub fn part(&self, first: usize, rows: usize) -> Self {
        let values = self.values[first * self.columns..(first + rows) * self.columns].to_vec();
        Self { rows, columns: self.columns, values }
    }

    /// These shots and then those of `other`, which has as many columns.
    pub fn followed_by(&self, other: &Self) -> Self {
        let values = [self.values(), other.values()].concat();
        Self { rows: self.rows + other.rows, columns: self.columns, values }
    }

    /// Shot after shot.
    pub fn iter(&self) -> std::slice::ChunksExact<'_, f32> {
        // A batch of no columns has no values: any chunk length walks it.
        self.values.chunks_exact(self.columns.max(1))
    }
}

impl<'a> IntoIterator for &'a Batch {
    type Item = &'a [f32];
    type IntoIter = std::slice::ChunksExact<'a, f32>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_cut_from_the_values() {
        let batch = Batch::new(2, vec![1.0, 2.0, 3.0, 4.0, 5.0, 6.0]).unwrap();
        assert_eq!((batch.rows(), batch.columns()), (3, 2));
        assert_eq!(batch.row(1), [3.0, 4.0]);
        assert_eq!(batch.iter().count(), 3);
        let both = batch.followed_by(&Batch::new(2, vec![7.0, 8.0]).unwrap());
        assert_eq!((both.rows(), both.row(3), both.row(0)), (4, &[7.0, 8.0][..], &[1.0, 2.0][..]));
    }

    #[test]
    fn a_ragged_batch_is_refused() {
        let error = Batch::new(4, vec![0.0; 6]).unwrap_err();
        assert_eq!(error.to_string(), "6 values do not fill rows of 4: give whole rows");
        assert!(Batch::new(0, vec![]).is_err());
    }
}
