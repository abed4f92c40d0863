//! The commands of the pins.

use super::board::{Asked, SimulatedRedPitaya as Board};
use super::pins::{LED_IS_OUTPUT, Pins, ROW};
use crate::scpi_box::{Parameter, Response, Table};

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
