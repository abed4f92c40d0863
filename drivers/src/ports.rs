//! The ports of a plant: how many values go in and come out, what they are called, their units and ranges.

use crate::{Direction, Error, Range};

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
    /// What limits over time let a shot, or a step of controls, be; none where nothing limits it.
    pub dose: BankDose,
}

/// What limits over time leave for the values of a bank.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct BankDose {
    /// The largest step in the bank's unit: of inputs, between neighbors; of controls, from one setting to the next.
    pub slew: Option<f32>,
    /// The mean square of a shot that alone uses up what a minute allows, in the bank's unit squared.
    pub mean_square: Option<f32>,
}

impl Bank {
    /// `count` ports called `name`, in `unit`, within `range`.
    pub fn new(name: &str, count: usize, unit: &str, range: Range) -> Self {
        Self { name: name.to_owned(), count, unit: unit.to_owned(), range, dose: BankDose::default() }
    }
}

/// All ports of a plant. Values travel in the order of the banks.
///
/// ```
/// use drivers::{Bank, Direction, Ports, Range};
///
/// let ports = Ports {
///     inputs: vec![Bank::new("drive", 2, "V", Range::new(-1.0, 1.0))],
///     controls: vec![],
///     outputs: vec![Bank::new("detector", 4, "A", Range::new(0.0, 0.1))],
/// };
/// assert_eq!((ports.input_count(), ports.control_count(), ports.output_count()), (2, 0, 4));
/// let error = ports.check(Direction::Input, &[0.5, 1.5]).unwrap_err().to_string();
/// assert!(error.contains("drive[1]") && error.contains("1.5 V"), "{error}");
/// ```
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
        self.ranges(direction).iter().map(Range::at_rest).collect()
    }

    /// Changes a row of inputs as little as keeps it within what limits over time allow: neighbors no further apart than a step, and no
    /// more energy than `share` of what a minute allows.
    pub fn moderate(&self, row: &mut [f32], share: f32) {
        let mut rest = row;
        for bank in &self.inputs {
            let (these, others) = rest.split_at_mut(bank.count);
            rest = others;
            if let Some(slew) = bank.dose.slew {
                for index in 1..these.len() {
                    these[index] = stepped(these[index - 1], these[index], slew);
                }
            }
            let Some(most) = bank.dose.mean_square.map(|most| share * most) else { continue };
            let mean_square = |row: &[f32]| row.iter().map(|value| value * value).sum::<f32>() / row.len() as f32;
            let (found, calm) = (mean_square(these), bank.range.at_rest());
            if most < found {
                // A little less, since rounding may add to it. Steps shrink with it.
                let factor = 0.999 * (most / found).sqrt();
                for value in these.iter_mut() {
                    *value = calm + factor * (*value - calm);
                }
            }
        }
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

/// `to`, or as near to it as one step of at most `limit` comes.
pub(crate) fn stepped(from: f32, to: f32, limit: f32) -> f32 {
    let next = from + (to - from).clamp(-limit, limit);
    // Rounding may have made the step too large.
    match next - from {
        step if step > limit => next.next_down(),
        step if step < -limit => next.next_up(),
        _ => next,
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
    fn nan_and_infinity_are_refused() {
        for bad in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
            assert!(ports().check(Direction::Input, &[bad, 0.0, 0.0]).is_err());
        }
    }

    #[test]
    fn a_moderated_row_keeps_steps_and_energy_and_what_keeps_them_stays() {
        let mut ports = ports();
        ports.inputs[0].count = 40;
        let wild: Vec<f32> = (0..41).map(|index| if index % 3 == 0 { -0.9 } else { 0.8 }).collect();
        let moderated = |ports: &Ports| {
            let mut row = wild.clone();
            ports.moderate(&mut row, 0.5);
            row
        };
        assert_eq!(moderated(&ports), wild);
        ports.inputs[0].dose = BankDose { slew: Some(0.3), mean_square: Some(0.02) };
        let row = moderated(&ports);
        assert!(row[..40].windows(2).all(|pair| (pair[1] - pair[0]).abs() <= 0.3));
        let mean_square = row[..40].iter().map(|value| value * value).sum::<f32>() / 40.0;
        assert!((0.0099..=0.01).contains(&mean_square), "{mean_square}");
        assert_eq!(row[40], wild[40], "the other bank has no such limits");
    }

    #[test]
    fn a_row_of_the_wrong_width_is_refused() {
        let error = ports().check(Direction::Input, &[0.0]).unwrap_err();
        assert_eq!(error.to_string(), "the plant has 3 inputs, but 1 value was given");
    }
}
