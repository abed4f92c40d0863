//! The ports of a plant: how many values go in and come out, what they are called, their units and ranges.

use crate::Error;

/// A closed interval of allowed values, in the unit of its port.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Range {
    /// Smallest allowed value.
    pub low: f32,
    /// Largest allowed value.
    pub high: f32,
}

impl Range {
    /// The interval from `low` to `high`.
    pub const fn new(low: f32, high: f32) -> Self {
        Self { low, high }
    }

    /// Whether `value` is inside. NaN and infinity are outside every range.
    pub fn contains(&self, value: f32) -> bool {
        value.is_finite() && self.low <= value && value <= self.high
    }

    /// Whether all of `other` is inside.
    pub fn covers(&self, other: &Self) -> bool {
        self.contains(other.low) && self.contains(other.high)
    }

    /// The larger magnitude of the two ends: what one unit of a normalised value stands for.
    pub fn full_scale(&self) -> f32 {
        self.low.abs().max(self.high.abs())
    }

    /// The distance between the ends.
    pub fn span(&self) -> f32 {
        self.high - self.low
    }
}

impl std::fmt::Display for Range {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "[{}, {}]", self.low, self.high)
    }
}

/// Which way a value goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Direction {
    /// Data that drives the plant, different in every shot.
    Input,
    /// A trainable setting, held for a whole batch.
    Control,
    /// A reading.
    Output,
}

impl std::fmt::Display for Direction {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Input => "input",
            Self::Control => "control",
            Self::Output => "output",
        })
    }
}

/// Some ports alike: the samples of a waveform, the channels of a spectrum, the couplings of a lattice.
#[derive(Debug, Clone, PartialEq)]
pub struct Bank {
    /// What the ports are called together, such as `drive`; the seventh is `drive[6]`.
    pub name: String,
    /// How many there are.
    pub count: usize,
    /// SI unit, such as `V`; `1` where a value has none.
    pub unit: String,
    /// What each of them may be set to, or can read.
    pub range: Range,
}

impl Bank {
    /// `count` ports called `name`, in `unit`, within `range`.
    pub fn new(name: &str, count: usize, unit: &str, range: Range) -> Self {
        Self { name: name.to_owned(), count, unit: unit.to_owned(), range }
    }
}

/// All ports of a plant. Values travel in the order of the banks.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Ports {
    /// Where data goes in.
    pub inputs: Vec<Bank>,
    /// Trainable settings.
    pub controls: Vec<Bank>,
    /// Where readings come out.
    pub outputs: Vec<Bank>,
}

impl Ports {
    /// The banks of one direction.
    pub fn banks(&self, direction: Direction) -> &[Bank] {
        match direction {
            Direction::Input => &self.inputs,
            Direction::Control => &self.controls,
            Direction::Output => &self.outputs,
        }
    }

    /// How many values go that way.
    pub fn count(&self, direction: Direction) -> usize {
        self.banks(direction).iter().map(|bank| bank.count).sum()
    }

    /// Inputs per shot.
    pub fn input_count(&self) -> usize {
        self.count(Direction::Input)
    }

    /// Controls.
    pub fn control_count(&self) -> usize {
        self.count(Direction::Control)
    }

    /// Outputs per shot.
    pub fn output_count(&self) -> usize {
        self.count(Direction::Output)
    }

    /// The range of each port of one direction, in order.
    pub fn ranges(&self, direction: Direction) -> Vec<Range> {
        self.banks(direction).iter().flat_map(|bank| std::iter::repeat_n(bank.range, bank.count)).collect()
    }

    /// Zero for each port of one direction, or the allowed value nearest to it.
    pub fn at_rest(&self, direction: Direction) -> Vec<f32> {
        self.ranges(direction).iter().map(|range| 0.0_f32.clamp(range.low, range.high)).collect()
    }

    /// Refuses a row of values that has the wrong width, or a value that is not finite or out of range.
    pub fn check(&self, direction: Direction, values: &[f32]) -> Result<(), Error> {
        let expected = self.count(direction);
        if values.len() != expected {
            return Err(Error::Width { direction, expected, given: values.len() });
        }
        let mut rest = values;
        for bank in self.banks(direction) {
            let (these, others) = rest.split_at(bank.count);
            rest = others;
            if let Some(index) = these.iter().position(|&value| !bank.range.contains(value)) {
                return Err(Error::OutOfRange {
                    direction,
                    port: format!("{}[{index}]", bank.name),
                    value: these[index],
                    unit: bank.unit.clone(),
                    range: bank.range,
                });
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ports() -> Ports {
        Ports {
            inputs: vec![
                Bank::new("drive", 2, "V", Range::new(-1.0, 1.0)),
                Bank::new("bias", 1, "A", Range::new(0.0, 0.1)),
            ],
            ..Ports::default()
        }
    }

    #[test]
    fn the_offending_port_is_named_with_value_unit_and_range() {
        let error = ports().check(Direction::Input, &[0.0, 1.0, 0.2]).unwrap_err();
        assert_eq!(
            error.to_string(),
            "input bias[0] = 0.2 A is outside [0, 0.1] A: keep it inside, or check the limits in the rig file"
        );
    }

    #[test]
    fn nan_and_infinity_are_outside_every_range() {
        for bad in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
            assert!(ports().check(Direction::Input, &[bad, 0.0, 0.0]).is_err());
            assert!(!Range::new(f32::NEG_INFINITY, f32::INFINITY).contains(bad));
        }
    }

    #[test]
    fn a_row_of_the_wrong_width_is_refused() {
        let error = ports().check(Direction::Input, &[0.0]).unwrap_err();
        assert_eq!(error.to_string(), "the plant has 3 inputs, but 1 value was given");
    }
}
