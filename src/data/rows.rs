//! Rows of numbers, each with what is to be learned of it.

// Circle with data/taxonomy.rs: a taxonomy is found from rows, and rows may have targets in groups.

use super::Targets;

/// Rows, each with a class or with numbers to predict.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Rows {
    /// `[rows, width]`, row after row, in full scales of what they will drive.
    pub values: Vec<f32>,
    /// What belongs to each row.
    pub targets: Targets,
    /// The number of each row in the data's own file, counted from 0.
    pub numbers: Vec<usize>,
}

impl Rows {
    /// How many.
    pub fn len(&self) -> usize {
        self.targets.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.targets.is_empty()
    }

    /// The class of each row; none where there are numbers.
    pub fn labels(&self) -> &[u32] {
        self.targets.classes()
    }

    /// The rows at `indices`: values and targets.
    pub fn pick(&self, indices: &[usize], width: usize) -> (Vec<f32>, Targets) {
        let values = indices.iter().flat_map(|&row| &self.values[row * width..(row + 1) * width]).copied().collect();
        (values, self.targets.pick(indices))
    }

    /// The rows at `indices`, as rows.
    pub fn select(&self, indices: &[usize], width: usize) -> Self {
        let (values, targets) = self.pick(indices, width);
        Self { values, targets, numbers: indices.iter().map(|&row| self.numbers[row]).collect() }
    }
}
