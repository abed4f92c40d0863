//! Optimal transport in one dimension, column by column: what projections of rows are away from those of other rows.
//!
//! With the sorted projections a₁ ≤ … ≤ aₙ of one column and the quantiles qᵢ of the other rows' at (i − ½)/n
//!
//! ```text
//! D = Σ over columns c of w_c · (1/n) Σᵢ (aᵢ − qᵢ)²        ∂D/∂aᵢ = 2 w_c (aᵢ − qᵢ)/n
//! ```
//!
//! Where rows are of groups, of which both sides have equally many rows, each group is carried to its own: the rows are sorted by group
//! first. Where the columns are projections of unit 1 on random unit vectors, D is a sliced Wasserstein distance, squared (Bonneel et al.,
//! *Sliced and Radon Wasserstein Barycenters of Measures*, J. Math. Imaging Vis. 51, 22, 2015).

use rayon::prelude::*;

/// Projections of rows, and what they are to be carried to.
#[derive(Debug, Clone, Copy)]
pub struct Columns<'a, T> {
    /// `[rows, columns]`.
    pub values: &'a [T],
    /// `[other rows, columns]`.
    pub wanted: &'a [f32],
    /// What each column counts.
    pub weights: &'a [f64],
    /// The groups of both sides' rows; none where all are of one.
    pub groups: Option<[&'a [u32]; 2]>,
}

/// A number that projections are made of.
pub trait Real: Copy + Send + Sync {
    /// As f64.
    fn wide(self) -> f64;
    /// Of f64.
    fn narrow(wide: f64) -> Self;
}

impl Real for f32 {
    fn wide(self) -> f64 {
        f64::from(self)
    }
    fn narrow(wide: f64) -> Self {
        wide as Self
    }
}

impl Real for f64 {
    fn wide(self) -> f64 {
        self
    }
    fn narrow(wide: f64) -> Self {
        wide
    }
}

/// The `place`th of `count` quantiles of ascending values, each in the middle of its share.
fn quantile(values: &[f32], place: usize, count: usize) -> f64 {
    if values.len() == count {
        return f64::from(values[place]);
    }
    let last = (values.len() - 1) as f64;
    let at = ((place as f64 + 0.5) * values.len() as f64 / count as f64 - 0.5).clamp(0.0, last);
    let (below, above) = (at as usize, (at as usize + 1).min(values.len() - 1));
    let [low, high] = [below, above].map(|place| f64::from(values[place]));
    low + (at - below as f64) * (high - low)
}

impl<T: Real> Columns<'_, T> {
    /// The distance.
    pub fn distance(&self) -> f64 {
        self.carry(false).0
    }

    /// The distance and its slopes, `[rows, columns]`.
    pub fn gradient(&self) -> (f64, Vec<T>) {
        self.carry(true)
    }

    fn carry(&self, slopes: bool) -> (f64, Vec<T>) {
        let width = self.weights.len();
        if width == 0 || self.values.is_empty() || self.wanted.is_empty() {
            return (0.0, vec![T::narrow(0.0); if slopes { self.values.len() } else { 0 }]);
        }
        let found: Vec<(f64, Vec<f64>)> =
            (0..width).into_par_iter().map(|column| self.carry_column(column, slopes)).collect();
        // In the order of the columns, whatever thread had which.
        let distance = found.iter().map(|(value, _)| value).sum();
        let rows = self.values.len() / width;
        let gradient = (0..if slopes { rows } else { 0 })
            .flat_map(|row| found.iter().map(move |(_, slopes)| T::narrow(slopes[row])))
            .collect();
        (distance, gradient)
    }

    fn carry_column(&self, column: usize, slopes: bool) -> (f64, Vec<f64>) {
        let (width, weight) = (self.weights.len(), self.weights[column]);
        let group = |side: usize, row: usize| self.groups.map_or(0, |groups| groups[side][row]);
        let own = self.values.iter().skip(column).step_by(width).enumerate();
        let mut own: Vec<(u32, f64, usize)> = own.map(|(row, value)| (group(0, row), value.wide(), row)).collect();
        own.sort_unstable_by(|(a, x, i), (b, y, j)| a.cmp(b).then(x.total_cmp(y)).then(i.cmp(j)));
        let other = self.wanted.iter().skip(column).step_by(width).enumerate();
        let mut other: Vec<(u32, f32)> = other.map(|(row, value)| (group(1, row), *value)).collect();
        other.sort_unstable_by(|(a, x), (b, y)| a.cmp(b).then(x.total_cmp(y)));
        let other: Vec<f32> = other.into_iter().map(|(_, value)| value).collect();
        let (count, mut sum) = (own.len(), 0.0);
        let mut pulled = vec![0.0; if slopes { count } else { 0 }];
        for (rank, (_, value, row)) in own.into_iter().enumerate() {
            let difference = value - quantile(&other, rank, count);
            sum += difference * difference;
            if slopes {
                pulled[row] = 2.0 * weight * difference / count as f64;
            }
        }
        (weight * sum / count as f64, pulled)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use sims::Key;

    fn drawn(count: usize, seed: u64) -> Vec<f64> {
        let mut stream = Key::new(seed).stream();
        (0..count).map(|_| f64::from(stream.normal())).collect()
    }

    #[test]
    fn its_gradient_is_the_slope_of_the_distance() {
        let (values, weights) = (drawn(12 * 3, 1), [0.5, 2.0, 1.0]);
        let narrow = |values: Vec<f64>| values.into_iter().map(|value| value as f32).collect::<Vec<f32>>();
        let groups: [Vec<u32>; 2] = [0, 1].map(|shift| (0..12).map(|row| (row + shift) % 3).collect());
        for (wanted, groups) in
            [(narrow(drawn(20 * 3, 2)), None), (narrow(drawn(12 * 3, 3)), Some([&groups[0][..], &groups[1][..]]))]
        {
            let distance = |values: &[f64]| Columns { values, wanted: &wanted, weights: &weights, groups }.distance();
            let columns = Columns { values: &values[..], wanted: &wanted, weights: &weights, groups };
            let (found, gradient) = columns.gradient();
            assert_eq!(found, distance(&values));
            for (place, slope) in gradient.iter().enumerate() {
                let moved = |by: f64| {
                    let mut moved = values.clone();
                    moved[place] += by;
                    distance(&moved)
                };
                let difference = (moved(1e-7) - moved(-1e-7)) / 2e-7;
                assert!((difference - slope).abs() < 1e-7, "{place}: {difference}, not {slope}");
            }
            assert!(gradient.iter().any(|slope| 1e-2 < slope.abs()), "there is a slope to find");
        }
    }

    #[test]
    fn rows_that_are_shifted_are_away_by_the_square_of_the_shift_and_their_order_does_not_count() {
        let wanted: Vec<f32> = (0..10).map(|row| row as f32).collect();
        let mut values: Vec<f64> = wanted.iter().map(|value| f64::from(*value) + 0.5).collect();
        values.reverse();
        let of = |values: &[f64], groups| Columns { values, wanted: &wanted, weights: &[3.0], groups }.distance();
        assert!((of(&values, None) - 0.75).abs() < 1e-12);
        // Two groups, the low half of the one side against the high half of the other: 5 − ½ apart, and 5 + ½.
        let [low, high] =
            [0, 1].map(|first| (0..10).map(|row| u32::from((row < 5) == (first == 0))).collect::<Vec<_>>());
        let apart = 3.0 * 0.5 * (4.5_f64.powi(2) + 5.5_f64.powi(2));
        let found = of(&values, Some([&low, &low]));
        assert!((found - apart).abs() < 1e-9, "{found}, not {apart}");
        assert!((of(&values, Some([&high, &low])) - 0.75).abs() < 1e-12);
    }

    #[test]
    fn nothing_is_away_from_nothing() {
        let none = Columns::<f64> { values: &[], wanted: &[], weights: &[1.0], groups: None };
        assert_eq!(none.gradient(), (0.0, vec![]));
    }
}
