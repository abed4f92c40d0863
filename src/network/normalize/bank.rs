//! The statistics of one layer for each bench, as the tensors that it remembers: `mean of BENCH`, `variance of BENCH`, and `count of
//! BENCH` with the values behind them and how often training has renewed them.

use burn::tensor::Tensor;

use crate::network::{Remembered, rows};

/// What the tensors of a set are called.
const MEAN: &str = "mean of ";
const VARIANCE: &str = "variance of ";
const COUNT: &str = "count of ";

/// The statistics of one bench.
#[derive(Debug, Clone, PartialEq)]
pub struct Set {
    /// Of each group.
    pub mean: Vec<f32>,
    /// Of each group.
    pub variance: Vec<f32>,
    /// Values of each group behind them; of a moving average, weighted as they are.
    pub count: f32,
    /// How often training has renewed them; 0 where they were only measured.
    pub updates: f32,
}

/// The set of a bench, if it has one.
pub fn read(memory: &Remembered, bench: &str) -> Option<Set> {
    let find = |kind: &str| Some(rows::values(memory.get(&format!("{kind}{bench}"))?.clone()));
    let &[count, updates] = &find(COUNT)?[..] else { return None };
    Some(Set { mean: find(MEAN)?, variance: find(VARIANCE)?, count, updates })
}

/// The set of a bench; of one that has none, the set of the bench that training has used most. With the name of whose it is.
pub fn find(memory: &Remembered, bench: &str) -> Option<(String, Set)> {
    let own = read(memory, bench).map(|set| (bench.to_owned(), set));
    let home = || {
        let benches = memory.keys().filter_map(|name| name.strip_prefix(MEAN));
        let mut sets: Vec<(String, Set)> = benches.filter_map(|of| Some((of.to_owned(), read(memory, of)?))).collect();
        // Stable, and the names are in order: of equals the first.
        sets.sort_by(|one, other| other.1.updates.total_cmp(&one.1.updates));
        sets.into_iter().next()
    };
    own.or_else(home)
}

/// Puts the set of a bench in the place of the one before.
pub fn write(memory: &mut Remembered, bench: &str, set: Set) {
    let mut put = |kind: &str, values: Vec<f32>| {
        let columns = values.len();
        memory.insert(format!("{kind}{bench}"), rows::tensor(values, [1, columns]));
    };
    put(MEAN, set.mean);
    put(VARIANCE, set.variance);
    put(COUNT, vec![set.count, set.updates]);
}

/// Whether `tensor` can be part of a set with so many groups.
pub fn is_part(name: &str, tensor: &Tensor<2>, groups: usize) -> bool {
    let (columns, least) = if name.starts_with(MEAN) {
        (groups, f32::MIN)
    } else if name.starts_with(VARIANCE) {
        (groups, 0.0)
    } else if name.starts_with(COUNT) {
        (2, 0.0)
    } else {
        return false;
    };
    tensor.dims() == [1, columns]
        && rows::values(tensor.clone()).iter().all(|value| value.is_finite() && least <= *value)
}
