//! The pins: eight light-emitting diodes, and two rows of eight that are inputs or outputs.

use super::{Asked, SimulatedRedPitaya as Board};
use crate::scpi_box::{Parameter, Response, ScpiError, Table};

/// Pins of a row.
const ROW: usize = 8;
/// `RP_ELID` of the vendor's library.
const LED_IS_OUTPUT: ScpiError = ScpiError::new(9507, "LED Input Direction is not valid");
/// `RP_EWIP`.
const IS_INPUT: ScpiError = ScpiError::new(9509, "Writing to Input Pin is not valid");

/// The pins' states: the diodes, the row P and the row N.
#[derive(Debug, Clone, Default)]
pub(super) struct Pins {
    levels: [bool; 3 * ROW],
    /// Whether a pin is an output; the diodes always are.
    drives: [bool; 3 * ROW],
    /// Whether the rows P and N are joined inside.
    loops: bool,
}

impl Pins {
    fn drives(&self, pin: usize) -> bool {
        pin < ROW || self.drives[pin]
    }

    /// What is read at a pin.
    fn level(&self, pin: usize) -> bool {
        let other = if pin < 2 * ROW { pin + ROW } else { pin - ROW };
        let is_driven = self.loops && ROW <= pin && !self.drives(pin) && self.drives(other);
        self.levels[if is_driven { other } else { pin }] && (is_driven || self.drives(pin))
    }

    fn set(&mut self, pin: usize, level: i64) -> Result<(), ScpiError> {
        if !self.drives(pin) {
            return Err(IS_INPUT);
        }
        self.levels[pin] = level != 0;
        Ok(())
    }
}

/// Names of the pins, as they are written.
fn names() -> Parameter {
    let row = |pattern: &'static str| (0..ROW).map(move |number| pattern.replace('#', &number.to_string()));
    let names: Vec<String> = row("LED#").chain(row("DIO#_P")).chain(row("DIO#_N")).collect();
    Parameter::choice(&names.join("|"))
}

/// The commands.
pub(super) fn commands(table: Table<Board>) -> Table<Board> {
    let direct = |it: &mut Board, call: &mut Asked<'_>| {
        let (drives, pin) = (call.place(0)? == 1, call.place(1)?);
        if pin < ROW && !drives {
            return Err(LED_IS_OUTPUT);
        }
        it.pins.drives[pin] = drives;
        Ok(())
    };
    table
        .command("DIG:RST", [], |it, _| {
            it.pins = Pins::default();
            Ok(())
        })
        .command("DIG:PIN", [names(), Parameter::integer(0..=1)], |it, call| {
            it.pins.set(call.place(0)?, call.integer(1)?)
        })
        .query("DIG:PIN?", [names()], |it, call| Ok(Response::text(u8::from(it.pins.level(call.place(0)?)))))
        .command("DIG:PIN:DIR", [Parameter::choice("IN|OUT"), names()], direct)
        .query("DIG:PIN:DIR?", [names()], |it, call| {
            Ok(Response::text(if it.pins.drives(call.place(0)?) { "OUT" } else { "IN" }))
        })
        .command("RP:DIg[:LOOP]", [], |it, _| {
            it.pins.loops = true;
            Ok(())
        })
}
