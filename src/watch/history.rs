//! The curves of a run in bounded memory, however long it is.
//!
//! Losses are kept twice: the last [`RECENT`] one by one, and all of them in at most [`BUCKETS`] buckets of equal numbers of updates, each
//! with its lowest and highest value; when the buckets are full, neighbors are merged and each holds twice as many. Tests
//! are few; of more than [`TESTS`], every second one is dropped.

use std::collections::VecDeque;

use crate::control::TriedOn;
use crate::event::HeadScores;
use crate::scores::Scores;

/// Buckets at most.
const BUCKETS: usize = 4096;
/// Losses that are kept one by one.
const RECENT: usize = 4096;
/// Tests at most.
const TESTS: usize = 4096;

/// One row of `metrics.csv`; what the row does not have is `None`.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Row {
    /// The update.
    pub step: u64,
    /// Counted from 1.
    pub epoch: Option<f64>,
    /// Of the objective, with the penalty.
    pub loss: Option<f64>,
    /// Fraction of the range that the batch covered.
    pub range_use: Option<f64>,
    /// Fraction of the values that were clamped.
    pub clipping_rate: Option<f64>,
    /// Mean squared cosine between the gradients of two read-outs, where there are several.
    pub alignment: Option<f64>,
    /// Of a test: each read-out by itself, where there are several.
    pub heads: Option<HeadScores>,
    /// Of a test or a validation, on the plant.
    pub scores: Option<Scores>,
    /// Which of the two.
    pub tried_on: Option<TriedOn>,
    /// Of a test, as the method believes.
    pub believed: Option<Scores>,
    /// Shots so far.
    pub shots: Option<f64>,
    /// Bench time so far, in s.
    pub plant_seconds: Option<f64>,
    /// RMS difference of twin and plant.
    pub twin_residual: Option<f64>,
    /// Of the drift monitor.
    pub drift_score: Option<f64>,
}

/// One test.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Test {
    /// After this update.
    pub step: u64,
    /// On the plant.
    pub scores: Scores,
    /// Of which rows.
    pub tried_on: Option<TriedOn>,
    /// As the method believes.
    pub believed: Scores,
    /// Each read-out by itself, where there are several.
    pub heads: Option<HeadScores>,
}

impl Test {
    /// What a row says whose scores are these.
    pub fn of(row: &Row, scores: Scores) -> Self {
        let believed = row.believed.unwrap_or(scores);
        Self { step: row.step, scores, tried_on: row.tried_on, believed, heads: row.heads }
    }
}

/// Some updates together.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Bucket {
    first: u64,
    last: u64,
    low: f64,
    high: f64,
    rows: usize,
}

/// The curves of a run.
#[derive(Debug, Clone, PartialEq)]
pub struct History {
    buckets: Vec<Bucket>,
    /// Updates in a full bucket.
    stride: usize,
    recent: VecDeque<(u64, f64)>,
    tests: Vec<Test>,
    /// Every so many tests are kept.
    test_stride: usize,
    tests_seen: usize,
    /// The last update.
    pub last: Option<Row>,
    /// The last test, whether or not the curve keeps it.
    pub last_test: Option<Test>,
}

impl Default for History {
    fn default() -> Self {
        Self {
            buckets: Vec::new(),
            stride: 1,
            recent: VecDeque::new(),
            tests: Vec::new(),
            test_stride: 1,
            tests_seen: 0,
            last: None,
            last_test: None,
        }
    }
}

impl History {
    /// Adds a row: an update or a test.
    pub fn add(&mut self, row: Row) {
        if let Some(scores) = row.scores {
            let test = Test::of(&row, scores);
            self.add_test(test);
        }
        if let Some(loss) = row.loss {
            self.last = Some(row);
            self.add_loss(row.step, loss);
        }
    }

    /// The tests, in order.
    pub fn tests(&self) -> &[Test] {
        &self.tests
    }

    /// The last test at or before `step`.
    pub fn test_at(&self, step: u64) -> Option<Test> {
        match self.last_test {
            Some(last) if last.step <= step => Some(last),
            _ => self.tests.iter().rev().find(|test| test.step <= step).copied(),
        }
    }

    /// The steps that the curves cover.
    pub fn span(&self) -> Option<(u64, u64)> {
        let first = self.buckets.first().map(|bucket| bucket.first).or(self.tests.first().map(|test| test.step))?;
        let last = self.last.map(|row| row.step).max(self.last_test.map(|test| test.step))?;
        Some((first, last))
    }

    /// The loss from step `from` to `to` in at most `columns` columns: the lowest and highest value of each, as points for a line.
    pub fn loss(&self, from: u64, to: u64, columns: usize) -> Vec<(f64, f64)> {
        if self.recent.front().is_some_and(|(first, _)| *first <= from) {
            let points = self.recent.iter().map(|&(step, loss)| (step, loss, loss));
            return envelope(points, (from, to), columns);
        }
        let points = self.buckets.iter().map(|bucket| (bucket.first.midpoint(bucket.last), bucket.low, bucket.high));
        envelope(points, (from, to), columns)
    }

    fn add_loss(&mut self, step: u64, loss: f64) {
        if self.recent.len() == RECENT {
            self.recent.pop_front();
        }
        self.recent.push_back((step, loss));
        match self.buckets.last_mut() {
            Some(bucket) if bucket.rows < self.stride => {
                bucket.last = step;
                bucket.rows += 1;
                (bucket.low, bucket.high) = (bucket.low.min(loss), bucket.high.max(loss));
            }
            _ => {
                if self.buckets.len() == BUCKETS {
                    self.merge();
                }
                self.buckets.push(Bucket { first: step, last: step, low: loss, high: loss, rows: 1 });
            }
        }
    }

    /// Makes one bucket of each two.
    fn merge(&mut self) {
        let merged = self.buckets.chunks(2).map(|pair| {
            let end = pair[pair.len() - 1];
            Bucket {
                first: pair[0].first,
                last: end.last,
                low: pair[0].low.min(end.low),
                high: pair[0].high.max(end.high),
                rows: pair.iter().map(|bucket| bucket.rows).sum(),
            }
        });
        self.buckets = merged.collect();
        self.stride *= 2;
    }

    fn add_test(&mut self, test: Test) {
        self.last_test = Some(test);
        if self.tests_seen.is_multiple_of(self.test_stride) {
            if self.tests.len() == TESTS {
                let mut index = 0;
                self.tests.retain(|_| {
                    index += 1;
                    index % 2 == 1
                });
                self.test_stride *= 2;
            }
            self.tests.push(test);
        }
        self.tests_seen += 1;
    }
}

/// Lowest and highest of `points` (step, low, high) in each of `columns` columns from step `from` to `to`.
pub fn envelope(
    points: impl Iterator<Item = (u64, f64, f64)>,
    (from, to): (u64, u64),
    columns: usize,
) -> Vec<(f64, f64)> {
    let width = ((to.saturating_sub(from) + 1) as f64 / columns.max(1) as f64).max(1.0);
    let mut drawn: Vec<(f64, f64)> = Vec::new();
    let mut current: Option<(usize, f64, f64, f64)> = None;
    let mut close = |column: Option<(usize, f64, f64, f64)>| {
        if let Some((_, step, low, high)) = column {
            drawn.push((step, low));
            if low != high {
                drawn.push((step, high));
            }
        }
    };
    for (step, low, high) in points.filter(|(step, low, _)| (from..=to).contains(step) && low.is_finite()) {
        let column = ((step - from) as f64 / width) as usize;
        match &mut current {
            Some((open, _, lowest, highest)) if *open == column => {
                (*lowest, *highest) = (lowest.min(low), highest.max(high));
            }
            _ => close(current.replace((column, step as f64, low, high))),
        }
    }
    close(current);
    drawn
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scores::ObjectiveKind;

    fn update(step: u64, loss: f64) -> Row {
        Row { step, loss: Some(loss), ..Row::default() }
    }

    #[test]
    fn a_million_updates_stay_small_and_keep_their_extremes() {
        let mut history = History::default();
        for step in 1..=1_000_000 {
            history.add(update(step, if step == 123_456 { 9.0 } else { 1.0 }));
            if step % 100 == 0 {
                let scores = Scores::new(ObjectiveKind::Classify, &[step as f64 / 1e6]);
                history.add(Row { step, scores: Some(scores), ..Row::default() });
            }
        }
        assert!(history.buckets.len() <= BUCKETS && history.recent.len() <= RECENT && history.tests.len() <= TESTS);
        assert_eq!(history.span(), Some((1, 1_000_000)));
        assert_eq!(history.buckets.iter().map(|bucket| bucket.rows).sum::<usize>(), 1_000_000);
        let points = history.loss(1, 1_000_000, 200);
        assert!(points.len() <= 401);
        let peak = points.iter().max_by(|a, b| a.1.total_cmp(&b.1)).unwrap();
        assert!(peak.1 == 9.0 && (peak.0 - 123_456.0).abs() < 6000.0, "{peak:?}");
        assert_eq!(history.last_test.unwrap().step, 1_000_000);
        assert_eq!(history.test_at(999_999).unwrap().step % 100, 0);
    }

    #[test]
    fn the_last_updates_are_exact() {
        let mut history = History::default();
        for step in 1..=10_000_u64 {
            history.add(update(step, step as f64));
        }
        assert_eq!(history.loss(9_998, 10_000, 100), [(9_998.0, 9_998.0), (9_999.0, 9_999.0), (10_000.0, 10_000.0)]);
    }

    #[test]
    fn an_empty_history_has_no_span_and_no_points() {
        let history = History::default();
        assert_eq!((history.span(), history.loss(0, 10, 10), history.test_at(5)), (None, vec![], None));
    }
}
