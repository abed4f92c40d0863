//! A guard as named rows of single precision, for what keeps nothing else: three of them hold the bits of a number of double precision.

use std::sync::Arc;

use super::{InUse, Seen, StateGuard};
use crate::{Error, Statistics};

/// Bits of the second and of the third row.
const SHIFT: u32 = 21;
const BITS: u64 = (1 << SHIFT) - 1;

/// Rows of equal length by name.
pub type PackedRows = (&'static str, [usize; 2], Vec<f32>);

/// The names of the parts: of what is in use, and of what is gathered.
const NAMES: [[&str; 4]; 2] = [
    ["each in use", "joint in use", "controls in use", "limits in use"],
    ["each gathered", "joint gathered", "controls gathered", "scores gathered"],
];

impl StateGuard {
    /// All that decides what it says next.
    pub fn pack(&self) -> Vec<PackedRows> {
        let mut parts = Vec::new();
        if let Some(used) = &self.in_use {
            parts.extend(pack(NAMES[0], &used.seen));
            parts.push((NAMES[0][3], [1, 2], used.limits.to_vec()));
        }
        parts.extend(pack(NAMES[1], &self.next));
        let scores: Vec<f32> = self.next.scores.iter().flatten().copied().collect();
        if !scores.is_empty() {
            parts.push((NAMES[1][3], [scores.len() / 2, 2], scores));
        }
        parts
    }

    /// The names that parts can have.
    pub fn part_names() -> impl Iterator<Item = &'static str> {
        NAMES.into_iter().flatten()
    }

    /// Takes over what [`Self::pack`] gave of a guard of the same plant by the same rule; the rest of a sentence says what does not fit.
    pub fn unpack(&mut self, find: impl Fn(&str) -> Option<([usize; 2], Vec<f32>)>) -> Result<(), Error> {
        let bad = |what: &str| Error::statistics(&self.of, format!("have {what} of a guard that is not this plant's"));
        let limits = find(NAMES[0][3]).map(|(_, limits)| limits);
        let in_use = match limits.as_deref() {
            None => None,
            Some(&[within, distance]) if within.is_finite() && distance.is_finite() => {
                let seen = self.unpacked(NAMES[0], &find)?;
                Some(InUse { fit: Arc::new(self.fit(&seen)?), seen: Arc::new(seen), limits: [within, distance] })
            }
            Some(_) => return Err(bad("limits")),
        };
        let mut next = self.unpacked(NAMES[1], &find)?;
        if let Some((_, scores)) = find(NAMES[1][3]) {
            next.scores = scores.chunks_exact(2).map(|pair| [pair[0], pair[1]]).collect();
        }
        if 2 * self.rule.shots < next.scores.len() {
            return Err(bad("scores"));
        }
        self.next_fit = None;
        if self.rule.gathered() as u64 <= next.each.count() {
            self.next_fit = Some(Arc::new(self.fit(&next)?));
        }
        (self.in_use, self.next) = (in_use, next);
        Ok(())
    }

    fn unpacked(
        &self,
        names: [&str; 4],
        find: &impl Fn(&str) -> Option<([usize; 2], Vec<f32>)>,
    ) -> Result<Seen, Error> {
        let part = |name: &str| {
            find(name).ok_or_else(|| Error::statistics(&self.of, format!("of a guard have no part `{name}`")))
        };
        let [inputs, controls, outputs] = self.counts;
        let (each, joint) = (part(names[0])?, part(names[1])?);
        let each = unpack(&each.1, &Statistics::new(&self.of, inputs + outputs))?;
        let joint = unpack(&joint.1, &Statistics::with_cross_moments(&self.of, self.joint_floors.len()))?;
        let ranges = if controls == 0 { vec![] } else { part(names[2])?.1 };
        if ranges.len() != 2 * controls || ranges.iter().any(|value| value.is_nan()) || each.count() != joint.count() {
            return Err(Error::statistics(&self.of, "are of a guard of another plant".to_owned()));
        }
        let pairs = ranges.chunks_exact(2).map(|pair| [pair[0], pair[1]]).collect();
        Ok(Seen { each, joint, controls: pairs, scores: vec![] })
    }
}

fn pack(names: [&'static str; 4], seen: &Seen) -> Vec<PackedRows> {
    let of = |name: &'static str, statistics: &Statistics| {
        let whole = split(&statistics.numbers());
        (name, [3, whole.len() / 3], whole)
    };
    let mut parts = vec![of(names[0], &seen.each), of(names[1], &seen.joint)];
    if !seen.controls.is_empty() {
        parts.push((names[2], [seen.controls.len(), 2], seen.controls.iter().flatten().copied().collect()));
    }
    parts
}

fn unpack(parts: &[f32], like: &Statistics) -> Result<Statistics, Error> {
    like.with_numbers(&joined(parts))
}

/// Three rows that hold the bits of the numbers: 22, 21 and 21 of each, as whole numbers that single precision has.
fn split(numbers: &[f64]) -> Vec<f32> {
    let part = |shift: u32| numbers.iter().map(move |number| ((number.to_bits() >> shift) & BITS) as f32);
    let first = numbers.iter().map(|number| (number.to_bits() >> (2 * SHIFT)) as f32);
    first.chain(part(SHIFT)).chain(part(0)).collect()
}

/// The numbers of such rows; not a number where the rows are of no such kind.
fn joined(rows: &[f32]) -> Vec<f64> {
    let count = rows.len() / 3;
    let bits = |place: usize, part: usize| {
        let value = rows[part * count + place];
        let most = if part == 0 { (1_u32 << 22) as f32 } else { (1_u32 << SHIFT) as f32 };
        (value.fract() == 0.0 && (0.0..most).contains(&value)).then_some(value as u64)
    };
    let number = |place: usize| {
        let [first, second, third] = [bits(place, 0)?, bits(place, 1)?, bits(place, 2)?];
        Some(f64::from_bits((first << (2 * SHIFT)) | (second << SHIFT) | third))
    };
    (0..count).map(|place| number(place).unwrap_or(f64::NAN)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_come_back_bit_for_bit() {
        let numbers = [1.0 / 3.0, -1e-12 / 7.0, 123_456_789.123_456_79, 0.0, -0.0, f64::MAX, f64::MIN_POSITIVE / 8.0];
        let back = joined(&split(&numbers));
        assert_eq!(back.iter().map(|value| value.to_bits()).collect::<Vec<_>>(), numbers.map(f64::to_bits));
        assert!(joined(&[0.5, 1.0, 1.0])[0].is_nan() && joined(&[1.0, -1.0, 1.0])[0].is_nan());
    }
}
