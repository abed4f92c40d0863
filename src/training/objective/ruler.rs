//! A distance between sets of rows, in which 0 is another sample of the data and 1 its rows in disorder.
//!
//! ```text
//! distance = (D(rows, wanted) − floor)/(top − floor)        D: transport between projections, `columns.rs`
//! ```
//!
//! The floor is D between two samples of the training rows of as many rows as are judged, the top that of training rows whose parts are in
//! no order. Both are means over a few draws, which depend on the numbers of rows alone. Below 0 is nearer than such a sample. Where the two
//! ends are no scale, [`scaled`] says what takes its place.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use burn::tensor::Tensor;
use sims::Key;

use super::columns::Columns;
use crate::network::{computed, rows};
use crate::scores::{ObjectiveKind, Scores};

/// Draws that the ends are means over.
const DRAWS: u64 = 4;
/// Distances do not depend on the experiment's seed: those of all runs are comparable.
const SEED: u64 = 20_210_430;

/// A floor above this share of the top makes no scale with it.
const HIGHEST_FLOOR: f64 = 0.9;
/// Ends that are nearer to each other are the same but for rounding: values count by their variance, and colors are of unit 1.
const LEAST_SPAN: f64 = 1e-9;

/// A transport `apart` as a distance: 0 at the floor, 1 at the top. Where another sample is about as far as disorder, or farther, 0 is no
/// transport at all, and 1 still the top; where there is no top either, since all rows are the same, the distance is the transport itself.
pub fn scaled(apart: f64, [floor, top]: [f64; 2]) -> f64 {
    let floor = if floor < HIGHEST_FLOOR * top { floor } else { 0.0 };
    if top - floor < LEAST_SPAN { apart } else { (apart - floor) / (top - floor) }
}

/// Where the draws of all distances begin.
pub fn key() -> Key {
    Key::new(SEED)
}

/// The loss of projections `[rows, columns]` against wanted ones, which can be differentiated.
pub fn transport(projected: Tensor<2>, wanted: &[f32], weights: &[f64], groups: Option<[&[u32]; 2]>) -> Tensor<1> {
    let values = rows::values(projected.clone());
    let (distance, slopes) = Columns { values: &values, wanted, weights, groups }.gradient();
    let adjoint = move |cotangent: Vec<f32>| {
        let by = cotangent.first().copied().unwrap_or_default();
        slopes.iter().map(|slope| by * slope).collect()
    };
    computed(projected, (vec![distance as f32], [1, 1]), adjoint).reshape([1])
}

/// Judges projections of rows.
pub struct Ruler {
    weights: Vec<f64>,
    /// Projections of training rows, and of the same in disorder.
    known: [Vec<f32>; 2],
    ends: Mutex<BTreeMap<[usize; 2], [f64; 2]>>,
}

impl Ruler {
    /// By columns that count so much, of projected training rows and of the same in disorder.
    pub fn new(weights: Vec<f64>, known: [Vec<f32>; 2]) -> Self {
        Self { weights, known, ends: Mutex::default() }
    }

    /// Columns.
    pub fn width(&self) -> usize {
        self.weights.len()
    }

    /// 0: as near as another sample of the data; 1: as far as its rows in disorder.
    pub fn distance(&self, projected: &[f32], wanted: &[f32]) -> f64 {
        let counts = [projected, wanted].map(|values| values.len() / self.width().max(1));
        scaled(self.apart(projected, wanted), self.ends(counts))
    }

    /// D of rows in disorder, in the unit of the loss.
    pub fn top(&self) -> f64 {
        let count = (self.known[0].len() / self.width().max(1) / 2).max(1);
        self.ends([count, count])[1]
    }

    fn apart(&self, values: &[f32], wanted: &[f32]) -> f64 {
        Columns { values, wanted, weights: &self.weights, groups: None }.distance()
    }

    fn ends(&self, counts: [usize; 2]) -> [f64; 2] {
        let mut known = self.ends.lock().unwrap_or_else(PoisonError::into_inner);
        *known.entry(counts).or_insert_with(|| self.measure(counts))
    }

    fn measure(&self, [judged, wanted]: [usize; 2]) -> [f64; 2] {
        let all = self.known[0].len() / self.width().max(1);
        let mut ends = [0.0; 2];
        for draw in 0..DRAWS {
            let mut stream = key().branch("ends").number(draw).stream();
            let mut order: Vec<usize> = (0..all).collect();
            stream.shuffle(&mut order);
            // Where there are fewer rows than two samples take, the second one takes some again.
            let take = |from: usize, count: usize| -> Vec<usize> {
                (from..from + count).map(|place| order[place % order.len().max(1)]).collect()
            };
            let (one, other) = (take(0, judged), take(judged, wanted));
            let pick = |of: &[f32], places: &[usize]| -> Vec<f32> {
                places.iter().flat_map(|row| &of[row * self.width()..][..self.width()]).copied().collect()
            };
            let other = pick(&self.known[0], &other);
            for (end, known) in ends.iter_mut().zip(&self.known) {
                *end += self.apart(&pick(known, &one), &other) / DRAWS as f64;
            }
        }
        ends
    }
}

/// The one score of distances.
pub fn score(kind: ObjectiveKind, distance: f64) -> Scores {
    Scores::new(kind, &[distance])
}

/// A unit vector.
pub fn direction(count: usize, key: Key) -> Vec<f32> {
    let mut stream = key.stream();
    let values: Vec<f32> = (0..count).map(|_| stream.normal()).collect();
    let norm = values.iter().map(|value| value * value).sum::<f32>().sqrt().max(f32::MIN_POSITIVE);
    values.into_iter().map(|value| value / norm).collect()
}

/// The mean variance of the columns of rows.
pub fn mean_variance(rows: &[f32], width: usize) -> f64 {
    let count = (rows.len() / width.max(1)).max(1) as f64;
    let (mut sums, mut squares) = (vec![0.0; width], vec![0.0; width]);
    for row in rows.chunks_exact(width.max(1)) {
        for ((sum, square), value) in sums.iter_mut().zip(&mut squares).zip(row) {
            *sum += f64::from(*value);
            *square += f64::from(*value) * f64::from(*value);
        }
    }
    let of = |(sum, square): (&f64, &f64)| (square / count - (sum / count).powi(2)).max(0.0);
    sums.iter().zip(&squares).map(of).sum::<f64>() / width.max(1) as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_distance_has_a_scale_also_where_another_sample_is_as_far_as_disorder() {
        assert_eq!([1.0, 3.0, 5.0].map(|apart| scaled(apart, [1.0, 5.0])), [0.0, 0.5, 1.0]);
        // The floor is near the top, or above it: 0 is the data itself, 1 still disorder.
        for floor in [3.9, 4.0, 9.0] {
            assert_eq!([0.0, 1.0, 4.0].map(|apart| scaled(apart, [floor, 4.0])), [0.0, 0.25, 1.0]);
        }
        // Rows that are all the same are in no disorder.
        for ends in [[0.0, 0.0], [1e-15, 2e-15], [1.0, 0.0]] {
            assert_eq!(scaled(0.5, ends), 0.5);
        }
    }

    #[test]
    fn rows_without_order_are_judged_by_finite_numbers() {
        let mut stream = key().branch("test").stream();
        let rows: Vec<f32> = (0..400).map(|_| stream.normal()).collect();
        // In disorder they are what they were.
        let ruler = Ruler::new(vec![0.5; 2], [rows.clone(), rows.clone()]);
        let [near, far] = [0.0_f32, 10.0].map(|by| rows.iter().map(|value| value + by).collect::<Vec<f32>>());
        let [near, far] = [near, far].map(|made| ruler.distance(&made, &rows));
        assert!(near.abs() < 1e-6 && near < far && far < 1e6, "{near} {far}");
    }
}
