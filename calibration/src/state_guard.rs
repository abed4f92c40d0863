//! A guard of the state of a plant: whether shots are like those that it was fitted to, so that what is known of the plant holds for them.
//!
//! Each shot is held against two limits: a *box*, within which each input and each reading keeps to its own mean by so many of its spreads,
//! and a *distance* (Mahalanobis, shrunk covariance) of inputs and readings together, each side by at most so many means of neighbors. The
//! controls, which all shots of a batch share, have a box of what they were, widened by a part of their range.
//!
//! Of the shots that it is given two thirds are gathered as [`Statistics`]; the others are judged by what these say, and the tail of their
//! scores tells the limits that half of the stated share of false alarms passes each. A guard that follows begins to gather anew at once, and
//! takes the next fit in the place of the last one.

#![allow(clippy::inline_always)] // The loops must be compiled for the vector unit that is found at run time.

mod packed;

use std::ops::Range;
use std::sync::Arc;

use drivers::{Batch, Direction, Ports};
use pulp::{Arch, NullaryFnOnce};

use crate::tail::tail_quantile;
use crate::{Error, Mahalanobis, Statistics};

/// What varies less than this part of its range is counted in it: a port that rests is not out because its last digit moved.
const FLOOR: f64 = 0.01;
/// Controls may leave what they were by this part of their range.
const MARGIN: f32 = 0.25;
/// Shots that are gathered for each number of the distance, at least: fewer leave a covariance that is mostly chance, shrunk or not.
const SHOTS_PER_NUMBER: usize = 2;

/// How a guard is fitted.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct GuardRule {
    /// Shots that one fit takes.
    pub shots: usize,
    /// Means of neighbors that inputs, and readings, enter the distance as, at most.
    pub channels: usize,
    /// The share of shots like the fitted ones that are out all the same.
    pub false_alarms: f64,
    /// Whether it is fitted anew again and again.
    pub follows: bool,
}

/// What one fit rests on.
#[derive(Debug, Clone, PartialEq)]
struct Seen {
    /// Each input, then each reading.
    each: Statistics,
    /// The means of neighbors, with cross-moments.
    joint: Statistics,
    /// The least and the most of each control.
    controls: Vec<[f32; 2]>,
    /// Scores of shots that were judged by the statistics: in the box, and by the distance.
    scores: Vec<[f32; 2]>,
}

/// What shots are held against.
#[derive(Debug, Clone, PartialEq)]
struct Fit {
    distance: Mahalanobis,
    mean: Vec<f32>,
    weight: Vec<f32>,
    controls: Vec<[f32; 2]>,
}

/// A fit in use.
#[derive(Debug, Clone, PartialEq)]
struct InUse {
    seen: Arc<Seen>,
    fit: Arc<Fit>,
    /// In the box, and of the distance.
    limits: [f32; 2],
}

/// What is said of a batch.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Verdict {
    /// Whether each shot is out.
    pub out: Vec<bool>,
    /// Shots that are out by their controls, an input, a reading, and the distance alone.
    pub reasons: [u64; 4],
}

/// Guards one plant.
#[derive(Debug, Clone, PartialEq)]
pub struct StateGuard {
    rule: GuardRule,
    of: String,
    /// Inputs, controls and readings.
    counts: [usize; 3],
    floors: Vec<f64>,
    joint_floors: Vec<f64>,
    margins: Vec<f32>,
    in_use: Option<InUse>,
    next: Seen,
    /// What the scores of `next` are told by, once its statistics are whole.
    next_fit: Option<Arc<Fit>>,
}

impl GuardRule {
    /// Shots that are gathered as statistics; the others tell the limits.
    fn gathered(self) -> usize {
        self.shots - self.shots / 3
    }

    /// The numbers that the distance is of: of inputs, and of readings.
    pub fn numbers(self, ports: &Ports) -> [usize; 2] {
        [ports.input_count(), ports.output_count()].map(|count| count.min(self.channels))
    }

    /// The fewest shots that this plant can be guarded by.
    pub fn fewest_shots(self, ports: &Ports) -> usize {
        let gathered = SHOTS_PER_NUMBER * self.numbers(ports).iter().sum::<usize>();
        (gathered + gathered / 2 + 1).max(150)
    }
}

impl Seen {
    fn nothing(of: &str, counts: [usize; 3], numbers: usize) -> Self {
        Self {
            each: Statistics::new(of, counts[0] + counts[2]),
            joint: Statistics::with_cross_moments(of, numbers),
            controls: vec![[f32::INFINITY, f32::NEG_INFINITY]; counts[1]],
            scores: vec![],
        }
    }
}

impl StateGuard {
    /// Of a plant with these ports that is called `of`; nothing is known yet.
    pub fn new(of: &str, ports: &Ports, rule: GuardRule) -> Self {
        let [inputs, outputs] = [Direction::Input, Direction::Output].map(|direction| {
            ports.ranges(direction).iter().map(|range| FLOOR * f64::from(range.span())).collect::<Vec<f64>>()
        });
        let counts = [ports.input_count(), ports.control_count(), ports.output_count()];
        let [of_inputs, of_outputs] = rule.numbers(ports);
        let joint_floors = [pooled(&inputs, of_inputs), pooled(&outputs, of_outputs)].concat();
        Self {
            rule,
            of: of.to_owned(),
            counts,
            floors: [inputs, outputs].concat(),
            next: Seen::nothing(of, counts, joint_floors.len()),
            joint_floors,
            margins: ports.ranges(Direction::Control).iter().map(|range| MARGIN * range.span()).collect(),
            in_use: None,
            next_fit: None,
        }
    }

    /// What it guards.
    pub fn of(&self) -> &str {
        &self.of
    }

    /// Whether shots can be judged yet.
    pub fn is_fitted(&self) -> bool {
        self.in_use.is_some()
    }

    /// The statistics that it judges by: of each input and reading, and of the numbers of the distance; none before the first fit.
    pub fn statistics(&self) -> Option<[&Statistics; 2]> {
        self.in_use.as_ref().map(|used| [&used.seen.each, &used.seen.joint])
    }

    /// Whether both judge by one fit.
    pub fn has_fit_of(&self, other: &Self) -> bool {
        let seen = [self, other].map(|guard| guard.in_use.as_ref().map(|used| &used.seen));
        matches!(seen, [Some(one), Some(two)] if Arc::ptr_eq(one, two))
    }

    /// Judges the shots of a batch; none before the first fit.
    pub fn judge(&self, controls: &[f32], inputs: &Batch, outputs: &Batch) -> Option<Verdict> {
        let used = self.in_use.as_ref()?;
        let mut verdict = Verdict { out: Vec::with_capacity(inputs.rows()), reasons: [0; 4] };
        let strayed =
            controls.iter().zip(&used.fit.controls).any(|(control, [low, high])| !(*low..=*high).contains(control));
        let distances = used.fit.distance.distances(&self.joint(inputs, outputs));
        let limit = used.limits[0];
        let left = [(inputs, 0), (outputs, self.counts[0])]
            .map(|(batch, from)| Arch::new().dispatch(Left { fit: &used.fit, from, batch, limit }));
        for (shot, distance) in distances.into_iter().enumerate() {
            let reasons = [strayed, left[0][shot], left[1][shot], used.limits[1] < distance];
            if let Some(first) = reasons.iter().position(|reason| *reason) {
                verdict.reasons[first] += 1;
            }
            verdict.out.push(reasons.contains(&true));
        }
        Some(verdict)
    }

    /// Learns of a batch what is not left out; `true` when that has given a fit.
    pub fn learn(
        &mut self,
        controls: &[f32],
        inputs: &Batch,
        outputs: &Batch,
        left_out: &[bool],
    ) -> Result<bool, Error> {
        if self.in_use.is_some() && !self.rule.follows {
            return Ok(false);
        }
        let is_kept = |row: &usize| !left_out.get(*row).copied().unwrap_or(false);
        let is_whole = |row: &usize| [inputs, outputs].iter().all(|batch| is_finite(batch.row(*row)));
        let kept: Vec<usize> = (0..inputs.rows()).filter(is_kept).filter(is_whole).collect();
        if kept.is_empty() {
            return Ok(false);
        }
        for (seen, control) in self.next.controls.iter_mut().zip(controls) {
            *seen = [seen[0].min(*control), seen[1].max(*control)];
        }
        // What the statistics still want, and what is judged by them.
        let wanted = (self.rule.gathered() as u64).saturating_sub(self.next.each.count()) as usize;
        let (gathered, judged) = kept.split_at(wanted.min(kept.len()));
        if !gathered.is_empty() {
            let (inputs, outputs) = (inputs.picked(gathered), outputs.picked(gathered));
            let mut rows = Vec::with_capacity(gathered.len() * self.next.each.width());
            for (input, output) in inputs.iter().zip(outputs.iter()) {
                rows.extend_from_slice(input);
                rows.extend_from_slice(output);
            }
            self.next.each.add(&rows);
            self.next.joint.add(&self.joint(&inputs, &outputs));
        }
        if self.next_fit.is_none() && self.rule.gathered() as u64 <= self.next.each.count() {
            self.next_fit = Some(Arc::new(self.fit(&self.next)?));
        }
        if let Some(fit) = self.next_fit.as_ref().filter(|_| !judged.is_empty()) {
            let (inputs, outputs) = (inputs.picked(judged), outputs.picked(judged));
            let distances = fit.distance.distances(&self.joint(&inputs, &outputs));
            for ((input, output), distance) in inputs.iter().zip(outputs.iter()).zip(distances) {
                let of = fit.mean.iter().zip(&fit.weight);
                let most = input
                    .iter()
                    .chain(output)
                    .zip(of)
                    .fold(0.0_f32, |most, (value, (mean, weight))| most.max((value - mean).abs() * weight));
                self.next.scores.push([most, distance]);
            }
        }
        self.promote()
    }

    /// Refuses to be without a fit after all the shots that one takes.
    pub fn insist(&self) -> Result<(), Error> {
        let (gathered, judged) = (self.next.each.count(), self.next.scores.len());
        let message = || {
            format!(
                "are of {} shots, but a guard needs {}: the others had readings that are no finite numbers",
                gathered + judged as u64,
                self.rule.shots
            )
        };
        if self.is_fitted() { Ok(()) } else { Err(Error::statistics(&self.of, message())) }
    }

    /// Puts the next fit in use, once enough was judged by it.
    fn promote(&mut self) -> Result<bool, Error> {
        if self.next.scores.len() < (self.rule.shots / 3).max(1) {
            return Ok(false);
        }
        let nothing = Seen::nothing(&self.of, self.counts, self.joint_floors.len());
        let mut seen = std::mem::replace(&mut self.next, nothing);
        let limits = self.limits(&seen)?;
        seen.scores.clear();
        // Since then nothing was gathered but what the controls were.
        let fit = match self.next_fit.take() {
            Some(fit) => Fit { controls: self.widened(&seen), ..Arc::unwrap_or_clone(fit) },
            None => self.fit(&seen)?,
        };
        self.in_use = Some(InUse { fit: Arc::new(fit), seen: Arc::new(seen), limits });
        Ok(true)
    }

    /// What a share of further shots will pass, each by half of the false alarms.
    fn limits(&self, seen: &Seen) -> Result<[f32; 2], Error> {
        let limit = |which: usize| {
            let scores: Vec<f32> = seen.scores.iter().map(|scores| scores[which]).collect();
            tail_quantile(&scores, 0.5 * self.rule.false_alarms).map(|limit| limit as f32).ok_or_else(|| {
                Error::statistics(
                    &self.of,
                    format!("are of too few shots: {} tell no rate of false alarms", scores.len()),
                )
            })
        };
        Ok([limit(0)?, limit(1)?])
    }

    fn fit(&self, seen: &Seen) -> Result<Fit, Error> {
        let spreads =
            seen.each.variance().into_iter().zip(&self.floors).map(|(variance, floor)| variance.sqrt().max(*floor));
        Ok(Fit {
            distance: Mahalanobis::fit(&seen.joint, &self.joint_floors)?,
            mean: seen.each.mean().iter().map(|mean| *mean as f32).collect(),
            weight: spreads.map(|spread| (1.0 / spread.max(f64::MIN_POSITIVE)) as f32).collect(),
            controls: self.widened(seen),
        })
    }

    /// What each control was, and a part of its range besides.
    fn widened(&self, seen: &Seen) -> Vec<[f32; 2]> {
        let widened = |([low, high], margin): (&[f32; 2], &f32)| [low - margin, high + margin];
        seen.controls.iter().zip(&self.margins).map(widened).collect()
    }

    /// The numbers that the distance is of, row after row.
    fn joint(&self, inputs: &Batch, outputs: &Batch) -> Vec<f32> {
        let width = self.joint_floors.len();
        let of_inputs = self.counts[0].min(self.rule.channels);
        let mut rows = vec![0.0; inputs.rows() * width];
        for (batch, places) in [(inputs, 0..of_inputs), (outputs, of_inputs..width)] {
            Arch::new().dispatch(Pooled { batch, rows: &mut rows, width, places });
        }
        rows
    }
}

/// Whether all values are numbers. All are looked at, so that they are side by side.
fn is_finite(values: &[f32]) -> bool {
    values.iter().fold(true, |all, value| all & value.is_finite())
}

/// The means of neighbors of each row of a batch, into these places of rows of `width` numbers.
struct Pooled<'a> {
    batch: &'a Batch,
    rows: &'a mut [f32],
    width: usize,
    places: Range<usize>,
}

impl NullaryFnOnce for Pooled<'_> {
    type Output = ();

    #[inline(always)]
    fn call(self) {
        let Self { batch, rows, width, places } = self;
        let (count, wanted) = (batch.columns(), places.len());
        if wanted == 0 {
            return;
        }
        let (mut half, mut quarter) = (vec![0.0; count / 2], vec![0.0; count / 4]);
        for (row, to) in batch.iter().zip(rows.chunks_exact_mut(width)) {
            let to = &mut to[places.clone()];
            // Each row begins with the longer one: they are exchanged with each halving.
            let (mut some, mut other) = (&mut half[..], &mut quarter[..]);
            if count == wanted {
                to.copy_from_slice(row);
            } else if count.is_multiple_of(wanted) {
                // Neighbors are added in pairs as long as stretches are even, all pairs of a row side by side.
                let (mut left, mut length) = (count / wanted, count);
                if left.is_multiple_of(2) {
                    (left, length) = (left / 2, length / 2);
                    pairs(row, &mut some[..length]);
                } else {
                    stretches(row, left, (to, 1.0 / left as f32));
                    continue;
                }
                while left.is_multiple_of(2) {
                    (left, length) = (left / 2, length / 2);
                    pairs(&some[..2 * length], &mut other[..length]);
                    std::mem::swap(&mut some, &mut other);
                }
                stretches(&some[..length], left, (to, wanted as f32 / count as f32));
            } else {
                for (place, mean) in to.iter_mut().enumerate() {
                    let stretch = &row[place * count / wanted..(place + 1) * count / wanted];
                    *mean = stretch.iter().sum::<f32>() / stretch.len().max(1) as f32;
                }
            }
        }
    }
}

/// The sum of each two neighbors.
#[inline(always)]
fn pairs(from: &[f32], to: &mut [f32]) {
    for (sum, [a, b]) in to.iter_mut().zip(from.as_chunks().0) {
        *sum = a + b;
    }
}

/// The sum of each stretch of `length` values, times a factor.
#[inline(always)]
fn stretches(from: &[f32], length: usize, (to, factor): (&mut [f32], f32)) {
    if length == 1 {
        return to.iter_mut().zip(from).for_each(|(to, value)| *to = factor * value);
    }
    for (to, these) in to.iter_mut().zip(from.chunks_exact(length)) {
        *to = factor * these.iter().sum::<f32>();
    }
}

/// Which rows of a batch leave the box, whose sides for them begin at `from`.
struct Left<'a> {
    fit: &'a Fit,
    from: usize,
    batch: &'a Batch,
    limit: f32,
}

impl NullaryFnOnce for Left<'_> {
    type Output = Vec<bool>;

    #[inline(always)]
    fn call(self) -> Vec<bool> {
        let Self { fit, from, batch, limit } = self;
        let sides = (&fit.mean[from..], &fit.weight[from..]);
        // Without an inner loop over lanes: one would be unrolled, and the rest gathered value by value.
        let has_left = |row: &[f32]| {
            let sides = sides.0.iter().zip(sides.1);
            row.iter().zip(sides).fold(0, |out, (value, (mean, weight))| out | is_out((*value, *mean, *weight), limit))
                != 0
        };
        batch.iter().map(has_left).collect()
    }
}

/// 1 where a value is not within the box; what is no number is not.
#[inline(always)]
fn is_out((value, mean, weight): (f32, f32, f32), limit: f32) -> u32 {
    let within = (value - mean).abs() * weight <= limit;
    u32::from(!within)
}

/// The mean floors of those stretches: where neighbors move together, so does their mean.
fn pooled(floors: &[f64], places: usize) -> Vec<f64> {
    let count = floors.len();
    let stretches = (0..places).map(|place| &floors[place * count / places..(place + 1) * count / places]);
    stretches.map(|stretch| stretch.iter().sum::<f64>() / stretch.len().max(1) as f64).collect()
}

#[cfg(test)]
mod tests;
