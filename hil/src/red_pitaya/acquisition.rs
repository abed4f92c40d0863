//! The acquisition's commands. Those with `CH#` at the end mean one input, the same without it both.

use super::board::{Asked, SimulatedRedPitaya as Board, any, on_off, place};
use super::channel::{Channel, TRIGGERS};
use super::data_sheet::{BUFFER, CLOCK_HERTZ, NOT_SUPPORTED, OUT_OF_RANGE};
use super::readings::Format;
use crate::scpi_box::{Parameter, Response, ScpiError, Table};

/// Sets one input.
type Set = fn(&mut Channel, &Asked<'_>) -> Result<(), ScpiError>;
/// Asks one input.
type Get = fn(&Channel) -> Response;
/// Does something with one input.
type Act = fn(&mut Channel);

impl Board {
    /// As it is switched on.
    pub(super) fn reset_acquisition(&mut self) {
        self.channels = [Channel::default(), Channel::default()];
        (self.is_raw, self.is_deep_raw, self.is_split) = (false, false, false);
        self.world().disarm();
    }

    pub(super) fn channel(&mut self, call: &Asked<'_>) -> Result<&mut Channel, ScpiError> {
        Ok(&mut self.channels[place(call)?])
    }

    /// Samples of an input as the client wants them.
    pub(super) fn readings(&self, call: &Asked<'_>, is_raw: bool, values: &[f32]) -> Result<Response, ScpiError> {
        let full = self.channels[place(call)?].full_scale();
        Ok(if is_raw { call.client.codes(values, full) } else { call.client.volts(values) })
    }

    /// `count` samples of an input's ring from a place on.
    fn samples(&self, call: &Asked<'_>, from: usize, count: usize) -> Result<Response, ScpiError> {
        let values = self.channels[place(call)?].ring.from(from, count);
        self.readings(call, self.is_raw, &values)
    }
}

/// The inputs that a header means.
fn meant(call: &Asked<'_>) -> Result<std::ops::Range<usize>, ScpiError> {
    if !call.header.contains(":CH") {
        return Ok(0..2);
    }
    place(call).map(|index| index..index + 1)
}

/// Adds a setting to the commands, for one input and for both.
fn setting(mut table: Table<Board>, header: &str, parameter: &Parameter, set: Set, get: Get) -> Table<Board> {
    for header in [header.to_owned(), format!("{header}:CH#")] {
        let set = move |it: &mut Board, call: &mut Asked<'_>| {
            for index in meant(call)? {
                set(&mut it.channels[index], call)?;
            }
            Ok(())
        };
        let get = move |it: &mut Board, call: &mut Asked<'_>| Ok(get(&it.channels[meant(call)?.start]));
        table = table.setting(&header, parameter.clone(), set, get);
    }
    table
}

/// Adds a query to the commands, for one input and for both.
fn query(mut table: Table<Board>, header: &str, get: Get) -> Table<Board> {
    for header in [format!("{header}?"), format!("{header}:CH#?")] {
        table = table.query(&header, [], move |it, call| {
            // A level may be reached by what is played now.
            it.look([false; 2]);
            Ok(get(&it.channels[meant(call)?.start]))
        });
    }
    table
}

/// Adds a command, for one input and for both.
fn act(mut table: Table<Board>, header: &str, act: Act) -> Table<Board> {
    for header in [header.to_owned(), format!("{header}:CH#")] {
        table = table.command(&header, [], move |it, call| {
            for index in meant(call)? {
                act(&mut it.channels[index]);
            }
            Ok(())
        });
    }
    table
}

/// Refuses what the converter cannot be divided by.
pub(super) fn decimation(call: &Asked<'_>) -> Result<i64, ScpiError> {
    let value = call.integer(0)?;
    let is_allowed = [1, 2, 4, 8].contains(&value) || (16..=65_536).contains(&value);
    if is_allowed { Ok(value) } else { Err(OUT_OF_RANGE.about(call.header)) }
}

/// Whole numbers, whose range is checked by whoever obeys.
pub(super) fn whole() -> Parameter {
    Parameter::integer(i64::from(i32::MIN)..=i64::from(u32::MAX))
}

/// The commands.
pub(super) fn commands(table: Table<Board>, is_second: bool) -> Table<Board> {
    let table = act(table, "ACQ:START", |channel| {
        (channel.is_started, channel.trigger) = (true, 0);
        (channel.ring.is_full, channel.deep.ring.is_full) = (false, false);
    });
    let table = act(table, "ACQ:STOP", |channel| {
        (channel.is_started, channel.trigger, channel.ring.is_full) = (false, 0, false);
    });
    let table = table.command("ACQ:RST:CH#", [], |it, call| {
        *it.channel(call)? = Channel::default();
        Ok(())
    });
    let table = table.command("ACQ:RST", [], |it, call| {
        it.reset_acquisition();
        *call.client = Format::default();
        Ok(())
    });
    let table = triggers(rates(table, is_second), is_second);
    let table = blocks(inputs(formats(table)));
    if is_second { seconds(table) } else { table }
}

fn rates(table: Table<Board>, is_second: bool) -> Table<Board> {
    let set: Set = |channel, call| {
        channel.decimation = decimation(call)?;
        Ok(())
    };
    let get: Get = |channel| Response::text(channel.decimation);
    let mut table = setting(table, "ACQ:DEC", &whole(), set, get);
    if is_second {
        table = setting(table, "ACQ:DEC:Factor", &whole(), set, get);
    }
    let rate: Get = |channel| Response::text(format!("{:9.0} Hz", CLOCK_HERTZ / channel.decimation as f64));
    let table = query(query(table, "ACQ:SRATe", rate), "ACQ:SRA:HZ", rate);
    let average: Set = |channel, call| {
        channel.averages = call.on(0)?;
        Ok(())
    };
    setting(table, "ACQ:AVG", &Parameter::boolean(), average, |channel| on_off(channel.averages))
}

fn triggers(table: Table<Board>, is_second: bool) -> Table<Board> {
    let mut table = table;
    for header in ["ACQ:TRig", "ACQ:TRig:CH#"] {
        table = table.command(header, [Parameter::choice(&TRIGGERS.join("|"))], |it, call| {
            let trigger = call.place(0)?;
            for index in meant(call)? {
                // The source of a trigger counts from the start of an acquisition on.
                if it.channels[index].is_started {
                    it.channels[index].trigger = trigger;
                }
            }
            it.look([false; 2]);
            Ok(())
        });
    }
    let table = query(table, "ACQ:TRig:STAT", |channel| Response::text(if channel.is_full() { "TD" } else { "WAIT" }));
    let table = if is_second {
        query(table, "ACQ:TRig:FILL", |channel| Response::text(u8::from(channel.is_full())))
    } else {
        table
    };
    delays(table)
}

/// When an input is triggered, and at which level.
fn delays(table: Table<Board>) -> Table<Board> {
    let delay: Set = |channel, call| {
        channel.delay = call.integer(0)?;
        Ok(())
    };
    let table = setting(table, "ACQ:TRig:DLY", &whole(), delay, |channel| Response::text(channel.delay));
    let nanoseconds: Set = |channel, call| {
        channel.delay = (call.number(0)? * 1e-9 * CLOCK_HERTZ / channel.decimation as f64).round() as i64;
        Ok(())
    };
    let table = setting(table, "ACQ:TRig:DLY:NS", &any(""), nanoseconds, |channel| {
        Response::text((channel.delay * channel.decimation) as f64 * 1e9 / CLOCK_HERTZ)
    });
    let level: Set = |channel, call| {
        let level = call.number(0)?;
        if f64::from(channel.full_scale()) < level.abs() {
            return Err(OUT_OF_RANGE.about(call.header));
        }
        channel.level = level;
        Ok(())
    };
    setting(table, "ACQ:TRig:LEV", &any("V"), level, |channel| Response::text(channel.level))
}

fn formats(table: Table<Board>) -> Table<Board> {
    table
        .setting(
            "ACQ:DATA:Units",
            Parameter::choice("RAW|VOLTS"),
            |it, call| {
                it.is_raw = call.place(0)? == 0;
                Ok(())
            },
            |it, _| Ok(Response::text(if it.is_raw { "RAW" } else { "VOLTS" })),
        )
        .setting(
            "ACQ:DATA:FORMAT",
            Parameter::choice("ASCII|BIN"),
            |_, call| {
                call.client.is_binary = call.place(0)? == 1;
                Ok(())
            },
            |_, call| Ok(Response::text(if call.client.is_binary { "BIN" } else { "ASCII" })),
        )
        .setting(
            "ACQ:DATA:BYTE:ORDER",
            Parameter::choice("BEND|LEND"),
            |_, call| {
                call.client.is_little = call.place(0)? == 1;
                Ok(())
            },
            |_, call| Ok(Response::text(if call.client.is_little { "LEND" } else { "BEND" })),
        )
}

fn inputs(table: Table<Board>) -> Table<Board> {
    table
        .setting(
            "ACQ:SOUR#:GAIN",
            Parameter::choice("LV|HV"),
            |it, call| {
                it.channel(call)?.is_high_voltage = call.place(0)? == 1;
                Ok(())
            },
            |it, call| Ok(Response::text(if it.channel(call)?.is_high_voltage { "HV" } else { "LV" })),
        )
        .query("ACQ:BUF:SIZE?", [], |_, _| Ok(Response::text(BUFFER)))
}

fn blocks(table: Table<Board>) -> Table<Board> {
    let table = query(table, "ACQ:WPOS", |channel| Response::text(channel.ring.next));
    let table = query(table, "ACQ:TPOS", |channel| Response::text(channel.ring.trigger));
    let (at, count) = (Parameter::integer(0..=16_383), Parameter::integer(1..=16_384));
    let mut table = table;
    for start in ["STArt", "Start"] {
        table = table
            .query(&format!("ACQ:SOUR#:DATA:{start}:End?"), [at.clone(), at.clone()], |it, call| {
                let (start, end) = (call.integer(0)? as usize, call.integer(1)? as usize);
                it.samples(call, start, (end + BUFFER - start) % BUFFER + 1)
            })
            .query(&format!("ACQ:SOUR#:DATA:{start}:N?"), [at.clone(), count.clone()], |it, call| {
                it.samples(call, call.integer(0)? as usize, call.integer(1)? as usize)
            });
    }
    table
        .query("ACQ:SOUR#:DATA:Old:N?", [count.clone()], |it, call| {
            let oldest = it.channel(call)?.ring.next;
            it.samples(call, oldest, call.integer(0)? as usize)
        })
        .query("ACQ:SOUR#:DATA:LATest:N?", [count], |it, call| {
            let (next, count) = (it.channel(call)?.ring.next, call.integer(0)? as usize);
            it.samples(call, next + BUFFER - count, count)
        })
        .query("ACQ:SOUR#:DATA?", [], |it, call| {
            let oldest = it.channel(call)?.ring.next;
            it.samples(call, oldest, BUFFER)
        })
}

/// What OS 2.x has in addition.
fn seconds(table: Table<Board>) -> Table<Board> {
    let sides = [Parameter::integer(0..=16_383), Parameter::choice("PRE_TRIG|POST_TRIG|PRE_POST_TRIG")];
    let table = table.query("ACQ:SOUR#:DATA:TRig?", sides, |it, call| {
        let (count, side) = (call.integer(0)? as usize, call.place(1)?);
        let trigger = it.channel(call)?.ring.trigger;
        let start = if side == 1 { trigger } else { trigger + BUFFER - count };
        it.samples(call, start, if side == 2 { 2 * count + 1 } else { count + 1 })
    });
    let table = table.setting(
        "ACQ:SPLIT:TRig",
        Parameter::boolean(),
        |it, call| {
            it.is_split = call.on(0)?;
            Ok(())
        },
        |it, _| Ok(on_off(it.is_split)),
    );
    let bypass: Set = |channel, call| {
        channel.bypasses_filter = call.on(0)?;
        Ok(())
    };
    let table =
        setting(table, "ACQ:FILTER:BYPASS", &Parameter::boolean(), bypass, |channel| on_off(channel.bypasses_filter));
    let refused = |_: &mut Board, call: &mut Asked<'_>| Err(NOT_SUPPORTED.about(call.header));
    table
        .command("ACQ:SOUR#:COUP", [Parameter::choice("AC|DC")], refused)
        .query("ACQ:SOUR#:COUP?", [], |_, call| Err(NOT_SUPPORTED.about(call.header)))
}
