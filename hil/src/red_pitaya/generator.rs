//! The generator's commands.

use super::board::{Asked, SimulatedRedPitaya as Board, any, on_off, place};
use super::data_sheet::{BUFFER, OUT_OF_RANGE};
use super::source::{SHAPES, Source, TRIGGERS};
use crate::scpi_box::{Parameter, Response, ScpiError, Table};

/// The modes, as they are written; older programs switch bursts on and off.
const MODES: &str = "CONTINUOUS|BURST|OFF|ON";

/// A number among the settings of an output.
type Field = fn(&mut Source) -> &mut f64;
/// A switch among the settings of an output.
type Switch = fn(&mut Source) -> &mut bool;

impl Board {
    /// As it is switched on.
    pub(super) fn reset_generator(&mut self) {
        self.sources = [Source::default(), Source::default()];
        self.world().switch(false);
    }

    fn source(&mut self, call: &Asked<'_>) -> Result<&mut Source, ScpiError> {
        Ok(&mut self.sources[place(call)?])
    }

    fn switch(&mut self, index: usize, on: bool) {
        self.sources[index].is_on = on;
        if index == 0 {
            self.world().switch(on);
        }
        // Pulses come at the external trigger all the time.
        if on && matches!(TRIGGERS[self.sources[index].trigger], "EXT_PE" | "EXT_NE" | "GATED") {
            self.look([index == 0, index == 1]);
        }
    }
}

/// Which outputs a header means: without a number all.
fn meant(call: &Asked<'_>) -> Result<[bool; 2], ScpiError> {
    let first = call.header.split(':').next().unwrap_or_default();
    if !first.ends_with(|letter: char| letter.is_ascii_digit()) {
        return Ok([true; 2]);
    }
    let index = place(call)?;
    Ok([index == 0, index == 1])
}

/// Adds a number to the commands.
fn number(table: Table<Board>, header: &str, unit: &str, range: (f64, f64), field: Field) -> Table<Board> {
    let set = move |it: &mut Board, call: &mut Asked<'_>| {
        let value = call.number(0)?;
        if !(range.0..=range.1).contains(&value) {
            return Err(OUT_OF_RANGE.about(call.header));
        }
        let source = it.source(call)?;
        let before = std::mem::replace(field(source), value);
        source.check().inspect_err(|_| *field(source) = before)
    };
    table.setting(header, any(unit), set, move |it, call| Ok(Response::text(*field(it.source(call)?))))
}

/// Adds a switch to the commands, whose two positions have names of their own.
fn either(table: Table<Board>, header: &str, words: [&'static str; 2], field: Switch) -> Table<Board> {
    table.setting(
        header,
        Parameter::choice(&words.join("|")),
        move |it, call| {
            *field(it.source(call)?) = call.place(0)? == 1;
            Ok(())
        },
        move |it, call| Ok(Response::text(words[usize::from(*field(it.source(call)?))])),
    )
}

/// The commands.
pub(super) fn commands(table: Table<Board>, is_second: bool) -> Table<Board> {
    let reset = |it: &mut Board, _: &mut Asked<'_>| {
        it.reset_generator();
        Ok(())
    };
    let table = table.command("GEN:RST", [], reset);
    let table = triggers(outputs(table), is_second);
    let table = waveforms(bursts(table));
    if is_second { sweeps(table) } else { table }
}

fn outputs(table: Table<Board>) -> Table<Board> {
    let set = |it: &mut Board, call: &mut Asked<'_>| {
        let on = call.on(0)?;
        for (index, _) in meant(call)?.iter().enumerate().filter(|(_, meant)| **meant) {
            it.switch(index, on);
        }
        Ok(())
    };
    table.setting("OUTPut#[:STATe]", Parameter::boolean(), set, |it, call| Ok(on_off(it.source(call)?.is_on)))
}

fn waveforms(table: Table<Board>) -> Table<Board> {
    let table = table
        .setting(
            "SOUR#:FUNC",
            Parameter::choice(&SHAPES.join("|")),
            |it, call| {
                it.source(call)?.shape = call.place(0)?;
                Ok(())
            },
            |it, call| Ok(Response::text(SHAPES[it.source(call)?.shape])),
        )
        .command("SOUR#:TRAC:DATA:DATA", [any("").repeated()], |it, call| {
            let data = call.numbers(0)?;
            it.source(call)?.load(&data)
        })
        .query("SOUR#:TRAC:DATA:DATA?", [], |it, call| {
            let data = it.source(call)?.data.clone();
            let padded: Vec<f32> = (0..BUFFER).map(|at| data.get(at).copied().unwrap_or_default()).collect();
            Ok(call.client.volts(if data.is_empty() { &padded } else { &data }))
        });
    let table = number(table, "SOUR#:FREQ:FIX", "HZ", (1e-6, 62.5e6), |source| &mut source.hertz);
    let table = number(table, "SOUR#:VOLT", "V", (0.0, 1.0), |source| &mut source.volts);
    let table = number(table, "SOUR#:VOLT:OFFS", "V", (-1.0, 1.0), |source| &mut source.offset);
    let table = number(table, "SOUR#:PHAS", "DEG", (-360.0, 360.0), |source| &mut source.degrees);
    number(table, "SOUR#:DCYC", "", (0.0, 1.0), |source| &mut source.duty)
}

fn bursts(table: Table<Board>) -> Table<Board> {
    let table = table.setting(
        "SOUR#:BURS:STAT",
        Parameter::choice(MODES),
        |it, call| {
            it.source(call)?.is_burst = call.place(0)? % 2 == 1;
            Ok(())
        },
        |it, call| Ok(Response::text(if it.source(call)?.is_burst { "BURST" } else { "CONTINUOUS" })),
    );
    let table = number(table, "SOUR#:BURS:NCYC", "", (1.0, 65_536.0), |source| &mut source.cycles);
    let table = number(table, "SOUR#:BURS:NOR", "", (1.0, 65_536.0), |source| &mut source.repetitions);
    number(table, "SOUR#:BURS:INT:PER", "", (0.0, 500e6), |source| &mut source.period)
}

fn triggers(table: Table<Board>, is_second: bool) -> Table<Board> {
    let fire = |it: &mut Board, call: &mut Asked<'_>| {
        let fired = meant(call)?;
        it.look(fired);
        Ok(())
    };
    let table = table
        .setting(
            "SOUR#:TRig:SOUR",
            Parameter::choice(&TRIGGERS.join("|")),
            |it, call| {
                it.source(call)?.trigger = call.place(0)?;
                Ok(())
            },
            |it, call| Ok(Response::text(TRIGGERS[it.source(call)?.trigger])),
        )
        // Those of OS 1.x.
        .command("SOUR#:TRig:IMM", [], fire)
        .command("TRig:IMM", [], fire);
    if !is_second {
        return table;
    }
    table.command("SOUR#:TRig:INT", [], fire).command("SOUR#:TRig:INT:ONLY", [], fire).command(
        "PHAS:ALIGN",
        [],
        |_, _| Ok(()),
    )
}

/// What OS 2.x has in addition.
fn sweeps(table: Table<Board>) -> Table<Board> {
    let level = (-1.0, 1.0);
    let table = number(table, "SOUR#:BURS:INITValue", "V", level, |source| &mut source.initial);
    let table = number(table, "SOUR#:INITValue", "V", level, |source| &mut source.initial);
    let table = number(table, "SOUR#:BURS:LASTValue", "V", level, |source| &mut source.last);
    let table = either(table, "SOUR#:LOAD", ["INF", "L50"], |source| &mut source.has_fifty_ohms);
    let table = either(table, "SOUR#:SWeep:STATE", ["OFF", "ON"], |source| &mut source.sweeps);
    let table = either(table, "SOUR#:SWeep:MODE", ["LINEAR", "LOG"], |source| &mut source.sweep_is_logarithmic);
    let table = either(table, "SOUR#:SWeep:DIR", ["NORMAL", "UP_DOWN"], |source| &mut source.sweep_is_up_down);
    let table = either(table, "SOUR#:SWeep:REP:INF", ["OFF", "ON"], |source| &mut source.sweep_is_endless);
    let hertz = (1e-6, 62.5e6);
    let table = number(table, "SOUR#:SWeep:FREQ:START", "HZ", hertz, |source| &mut source.sweep_start);
    let table = number(table, "SOUR#:SWeep:FREQ:STOP", "HZ", hertz, |source| &mut source.sweep_stop);
    let table = number(table, "SOUR#:SWeep:TIME", "", (1.0, 1e10), |source| &mut source.sweep_micros);
    let table = number(table, "SOUR#:SWeep:REP:COUNT", "", (1.0, 1e9), |source| &mut source.sweep_count);
    let table = table.command("SOUR#:FREQ:FIX:Direct", [any("HZ")], |it, call| {
        let hertz = call.number(0)?;
        if !(1e-6..=62.5e6).contains(&hertz) {
            return Err(OUT_OF_RANGE.about(call.header));
        }
        it.source(call)?.hertz = hertz;
        Ok(())
    });
    let settle = |it: &mut Board, _: &mut Asked<'_>| {
        for source in &mut it.sources {
            let Source { sweeps, sweep_start, sweep_stop, sweep_micros, .. } = Source::default();
            (source.sweeps, source.sweep_start) = (sweeps, sweep_start);
            (source.sweep_stop, source.sweep_micros) = (sweep_stop, sweep_micros);
        }
        Ok(())
    };
    table.command("SOUR:SWeep:DEFault", [], settle).command("SOUR:SWeep:RESET", [], |_, _| Ok(()))
}
