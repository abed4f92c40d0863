//! Rows of numbers with a class each.

/// Rows with a class each.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Rows {
    /// `[rows, width]`, row after row, in full scales of what they will drive.
    pub values: Vec<f32>,
    /// The class of each row, counted from 0.
    pub labels: Vec<u32>,
    /// The number of each row in the data's own file, counted from 0.
    pub numbers: Vec<usize>,
}

impl Rows {
    /// How many.
    pub fn len(&self) -> usize {
        self.labels.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.labels.is_empty()
    }

    /// The rows at `indices`: values and labels.
    pub fn pick(&self, indices: &[usize], width: usize) -> (Vec<f32>, Vec<u32>) {
        let values = indices.iter().flat_map(|&row| &self.values[row * width..(row + 1) * width]).copied().collect();
        (values, indices.iter().map(|&row| self.labels[row]).collect())
    }

    /// The rows at `indices`, as rows.
    pub(super) fn select(&self, indices: &[usize], width: usize) -> Self {
        let (values, labels) = self.pick(indices, width);
        Self { values, labels, numbers: indices.iter().map(|&row| self.numbers[row]).collect() }
    }
}
