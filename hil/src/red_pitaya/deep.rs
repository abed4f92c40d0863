//! The deep memory: each input writes into a part of the board's own memory.

use super::acquisition::{decimation, whole};
use super::board::{Asked, SimulatedRedPitaya as Board, place};
use super::channel::Channel;
use super::data_sheet::OUT_OF_RANGE;
use super::ring::Ring;
use crate::scpi_box::{Parameter, Response, ScpiError, Table};

/// Where the memory begins.
const START: i64 = 0x0100_0000;
/// Its size in bytes.
const BYTES: i64 = 2_097_152;
/// A sample takes so many bytes.
const SAMPLE_BYTES: i64 = 2;

/// The commands.
pub(super) fn commands(table: Table<Board>) -> Table<Board> {
    let table = table
        .query("ACQ:AXI:START?", [], |_, _| Ok(Response::text(START)))
        .query("ACQ:AXI:SIZE?", [], |_, _| Ok(Response::text(BYTES)))
        .setting(
            "ACQ:AXI:DATA:Units",
            Parameter::choice("RAW|VOLTS"),
            |it, call| {
                it.is_deep_raw = call.place(0)? == 0;
                Ok(())
            },
            |it, _| Ok(Response::text(if it.is_deep_raw { "RAW" } else { "VOLTS" })),
        )
        .setting(
            "ACQ:AXI:DEC",
            whole(),
            |it, call| {
                let value = decimation(call)?;
                it.channels.iter_mut().for_each(|channel| channel.deep.decimation = value);
                Ok(())
            },
            |it, _| Ok(Response::text(it.channels[0].deep.decimation)),
        )
        .setting(
            "ACQ:AXI:DEC:CH#",
            whole(),
            |it, call| {
                it.channel(call)?.deep.decimation = decimation(call)?;
                Ok(())
            },
            |it, call| Ok(Response::text(it.channel(call)?.deep.decimation)),
        );
    inputs(table)
}

/// Adds a query of one input's memory.
fn query(table: Table<Board>, header: &str, get: fn(&Channel) -> usize) -> Table<Board> {
    table.query(header, [], move |it, call| {
        it.look([false; 2]);
        Ok(Response::text(get(it.channel(call)?)))
    })
}

fn inputs(table: Table<Board>) -> Table<Board> {
    let table = query(table, "ACQ:AXI:SOUR#:Trig:Fill?", |channel| usize::from(channel.deep.ring.is_full));
    let table = query(table, "ACQ:AXI:SOUR#:Write:Pos?", |channel| channel.deep.ring.next);
    let table = query(table, "ACQ:AXI:SOUR#:Trig:Pos?", |channel| channel.deep.ring.trigger);
    let mut table = table
        .setting(
            "ACQ:AXI:SOUR#:Trig:Dly",
            whole(),
            |it, call| {
                it.channel(call)?.deep.delay = call.integer(0)?;
                Ok(())
            },
            |it, call| Ok(Response::text(it.channel(call)?.deep.delay)),
        )
        .command("ACQ:AXI:SOUR#:ENable", [Parameter::boolean()], |it, call| {
            it.channel(call)?.deep.is_enabled = call.on(0)?;
            Ok(())
        })
        .command("ACQ:AXI:SOUR#:SET:Buffer", [whole(), whole()], place_buffer);
    for start in ["STArt", "Start"] {
        table = table.query(&format!("ACQ:AXI:SOUR#:DATA:{start}:N?"), [whole(), whole()], |it, call| {
            let (start, count) = (call.integer(0)?, call.integer(1)?);
            let ring = &it.channels[place(call)?].deep.ring;
            let size = ring.size() as i64;
            if !(0..size).contains(&start) || !(1..=size).contains(&count) {
                return Err(OUT_OF_RANGE.about(call.header));
            }
            let values = ring.from(start as usize, count as usize);
            it.readings(call, it.is_deep_raw, &values)
        });
    }
    table
}

/// Gives an input its part of the memory: where it begins, and its size in bytes.
fn place_buffer(it: &mut Board, call: &mut Asked<'_>) -> Result<(), ScpiError> {
    let (start, bytes) = (call.integer(0)?, call.integer(1)?);
    if start < START || bytes < SAMPLE_BYTES || START + BYTES < start + bytes {
        return Err(OUT_OF_RANGE.about(call.header));
    }
    it.channel(call)?.deep.ring = Ring::new((bytes / SAMPLE_BYTES) as usize);
    Ok(())
}
