//! The pins: eight light-emitting diodes, and two rows of eight that are inputs or outputs.

use crate::scpi_box::ScpiError;

/// Pins of a row.
pub(super) const ROW: usize = 8;
/// `RP_ELID` of the vendor's library.
pub(super) const LED_IS_OUTPUT: ScpiError = ScpiError::new(9507, "LED Input Direction is not valid");
/// `RP_EWIP`.
const IS_INPUT: ScpiError = ScpiError::new(9509, "Writing to Input Pin is not valid");

/// The pins' states: the diodes, the row P and the row N.
#[derive(Debug, Clone, Default)]
pub(super) struct Pins {
    levels: [bool; 3 * ROW],
    /// Whether a pin is an output; the diodes always are.
    pub(super) drives: [bool; 3 * ROW],
    /// Whether the rows P and N are joined inside.
    pub(super) loops: bool,
}

impl Pins {
    pub(super) fn drives(&self, pin: usize) -> bool {
        pin < ROW || self.drives[pin]
    }

    /// What is read at a pin.
    pub(super) fn level(&self, pin: usize) -> bool {
        let other = if pin < 2 * ROW { pin + ROW } else { pin - ROW };
        let is_driven = self.loops && ROW <= pin && !self.drives(pin) && self.drives(other);
        self.levels[if is_driven { other } else { pin }] && (is_driven || self.drives(pin))
    }

    pub(super) fn set(&mut self, pin: usize, level: i64) -> Result<(), ScpiError> {
        if !self.drives(pin) {
            return Err(IS_INPUT);
        }
        self.levels[pin] = level != 0;
        Ok(())
    }
}
