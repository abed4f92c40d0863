//! How the values of a network become those of ports, and their gradients go the other way.
//!
//! A network computes in full scales, where 1 stands for the largest magnitude that a port may have, or in SI units. Here, and
//! only here, one becomes the other: `sent = unit · clamp(wanted, range)`, `given = reading / unit`. No gradient passes where
//! the clamp changed a value.

use std::sync::Arc;

use drivers::Range;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What a network counts in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Units {
    /// 1 is the largest magnitude that a port may have.
    #[default]
    FullScale,
    /// The SI units of the ports.
    Si,
}

/// The ports of one direction with their units.
#[derive(Debug, Clone)]
pub struct FullScale {
    /// Ports that are alike, one stretch after another.
    stretches: Vec<Stretch>,
    /// The range of each port, as the network counts.
    ranges: Arc<[Range]>,
}

/// Neighboring ports that are alike, so that a loop over them has constants.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Stretch {
    count: usize,
    /// SI units in 1.
    unit: f32,
    /// The range as the network counts.
    range: Range,
    /// The range in SI units.
    limits: Range,
}

/// The ports of all directions with their units.
#[derive(Debug, Clone)]
pub struct FullScales {
    /// Of the inputs.
    pub inputs: FullScale,
    /// Of the controls.
    pub controls: FullScale,
    /// Of the outputs.
    pub outputs: FullScale,
}

impl FullScale {
    /// Ports with these ranges in SI units.
    pub fn new(limits: &[Range], units: Units) -> Self {
        let mut stretches: Vec<Stretch> = Vec::new();
        for port in limits.iter().map(|range| Stretch::of_one(*range, units)) {
            match stretches.last_mut() {
                Some(last) if last.limits == port.limits => last.count += 1,
                _ => stretches.push(port),
            }
        }
        let ranges = stretches.iter().flat_map(|stretch| std::iter::repeat_n(stretch.range, stretch.count)).collect();
        Self { stretches, ranges }
    }

    /// How many ports.
    pub fn count(&self) -> usize {
        self.ranges.len()
    }

    /// The range of each port, as the network counts.
    pub fn ranges(&self) -> &Arc<[Range]> {
        &self.ranges
    }

    /// The nearest allowed values to those that are wanted, in SI units; rows of all ports.
    pub fn allow(&self, wanted: &[f32]) -> Vec<f32> {
        let mut allowed = wanted.to_vec();
        self.each(&mut allowed, |stretch, values, _| {
            for value in values {
                // Clamped again, because rounding on the way to SI units can leave a range by its last bit.
                *value = within(within(*value, stretch.range) * stretch.unit, stretch.limits);
            }
        });
        allowed
    }

    /// Turns gradients for allowed values into those for the `wanted` ones.
    pub fn pull_back(&self, wanted: &[f32], gradients: &mut [f32]) {
        self.each(gradients, |Stretch { unit, range, .. }, gradients, at| {
            for (gradient, value) in gradients.iter_mut().zip(&wanted[at..]) {
                let passes = range.low <= *value && *value <= range.high;
                *gradient = if passes { *gradient * unit } else { 0.0 };
            }
        });
    }

    /// Turns readings into what the network counts in, or gradients for that into gradients for readings.
    pub fn count_in(&self, mut readings: Vec<f32>) -> Vec<f32> {
        if self.stretches.iter().any(|stretch| stretch.unit != 1.0) {
            self.each(&mut readings, |Stretch { unit, .. }, values, _| {
                for value in values {
                    *value /= unit;
                }
            });
        }
        readings
    }

    /// Runs `work` on the values of every stretch of every row; it also gets the place of the first.
    fn each(&self, mut values: &mut [f32], mut work: impl FnMut(Stretch, &mut [f32], usize)) {
        let mut at = 0;
        // A stretch that is all of a row goes over all rows at once.
        if let [stretch] = self.stretches[..] {
            return work(stretch, values, at);
        }
        while self.count() != 0 && self.count() <= values.len() {
            for stretch in &self.stretches {
                let (these, rest) = values.split_at_mut(stretch.count);
                work(*stretch, these, at);
                (values, at) = (rest, at + stretch.count);
            }
        }
    }
}

impl Stretch {
    /// One port.
    fn of_one(limits: Range, units: Units) -> Self {
        let unit = match units {
            // A port that can only be zero has no full scale; 1 keeps it zero.
            Units::FullScale if 0.0 < limits.full_scale() => limits.full_scale(),
            _ => 1.0,
        };
        Self { count: 1, unit, range: Range::new(limits.low / unit, limits.high / unit), limits }
    }
}

/// The nearest value within a range.
#[inline]
fn within(value: f32, range: Range) -> f32 {
    let above = if value < range.low { range.low } else { value };
    if range.high < above { range.high } else { above }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RANGES: [Range; 3] = [Range::new(-0.3, 0.7), Range::new(0.0, 5.0), Range::new(0.0, 0.0)];

    #[test]
    fn one_is_the_largest_magnitude() {
        let scale = FullScale::new(&RANGES, Units::FullScale);
        let wanted = [0.5, 0.5, 0.5, -9.0, 9.0, 9.0];
        assert_eq!(scale.allow(&wanted), [0.35, 2.5, 0.0, -0.3, 5.0, 0.0]);
        let mut gradients = vec![1.0; 6];
        scale.pull_back(&wanted, &mut gradients);
        assert_eq!(gradients, [0.7, 5.0, 0.0, 0.0, 0.0, 0.0]);
        assert_eq!(scale.count_in(vec![0.7, 5.0, 3.0]), [1.0, 1.0, 3.0]);
    }

    #[test]
    fn si_units_stay_as_they_are() {
        let scale = FullScale::new(&RANGES, Units::Si);
        assert_eq!(scale.allow(&[0.5, 4.5, 1.0]), [0.5, 4.5, 0.0]);
        assert_eq!(scale.count_in(vec![0.7, 5.0, 3.0]), [0.7, 5.0, 3.0]);
    }

    #[test]
    fn whatever_is_wanted_stays_within_the_range_to_its_last_bit() {
        let mut stream = sims::Key::new(1).stream();
        for _ in 0..20_000 {
            let (a, b) = (stream.normal(), stream.normal());
            let range = Range::new(a.min(b), a.max(b));
            let scale = FullScale::new(&[range], Units::FullScale);
            for wanted in [-9.0, 9.0, 2.0 * stream.uniform() - 1.0] {
                let sent = scale.allow(&[wanted])[0];
                assert!(range.low <= sent && sent <= range.high, "{sent} is not within {range}");
            }
        }
    }
}
