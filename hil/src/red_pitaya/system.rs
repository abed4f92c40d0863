//! The board itself, and settings that this bench keeps and gives back without an effect.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;

use super::board::{Asked, SimulatedRedPitaya as Board, any};
use super::data_sheet::NOT_SUPPORTED;
use super::readings::Format;
use crate::scpi_box::{Parameter, Response, ScpiInstrument, Table};

/// The version of its software.
const VERSION: &str = "2.07-48";
/// The commands that all instruments have, as its server lists them.
const COMMON: &str = "*CLS\n*ESE\n*ESE?\n*ESR?\n*IDN?\n*OPC\n*OPC?\n*RST\n*SRE\n*SRE?\n*STB?\n*TST?\n*WAI\nSYSTem:ERRor[:NEXT]?\nSYSTem:ERRor:COUNt?\nSTATus:QUEStionable[:EVENt]?\nSTATus:QUEStionable:ENABle\nSTATus:QUEStionable:ENABle?\nSTATus:PRESet\nSYSTem:Help?";

/// Settings that are kept: their words, or none for a number; what they are at first; and whether there is a query.
const KEPT: [(&str, &str, &str, bool); 14] = [
    ("LED:MMC", "OFF|ON", "ON", true),
    ("LED:HB", "OFF|ON", "ON", true),
    ("LED:ETH", "OFF|ON", "ON", true),
    ("DAISY:SYNC:TRig", "OFF|ON", "OFF", true),
    ("DAISY:SYNC:CLK", "OFF|ON", "OFF", true),
    ("DAISY:TRIG_O:ENable", "OFF|ON", "OFF", true),
    ("DAISY:TRIG_O:SOUR", "ADC|DAC", "ADC", true),
    ("DAISY:TRig:Out:ENable", "OFF|ON", "OFF", true),
    ("DAISY:TRig:Out:SOUR", "ADC|DAC", "ADC", true),
    ("ACQ:TRig:EXT:DEBouncer[:US]", "", "500", true),
    ("SOUR:TRig:EXT:DEBouncer[:US]", "", "500", true),
    ("ACQ:TRig:HYST", "", "0.005", true),
    ("RP:LOGmode", "OFF|CONSOLE|SYSLOG", "OFF", false),
    ("RP:RET_ON_ERROR", "OFF|ON", "OFF", false),
];

/// Its clock, which stands still: what is set, with the bounds of its three numbers; and what it is at first.
const CLOCK: [(&str, [RangeInclusive<i64>; 3], &str); 2] =
    [("SYSTem:TIME", [0..=23, 0..=59, 0..=59], "0,0,0"), ("SYSTem:DATE", [1970..=2100, 1..=12, 1..=31], "1970,1,1")];

/// What the settings that are kept are at first.
pub(super) fn defaults() -> BTreeMap<&'static str, String> {
    let kept = KEPT.iter().map(|(name, _, value, _)| (*name, *value));
    let clock = CLOCK.iter().map(|(name, _, value)| (*name, *value));
    kept.chain(clock).map(|(name, value)| (name, value.to_owned())).collect()
}

/// The commands. The last ones: the board lists all that were added before.
pub(super) fn commands(table: Table<Board>, is_second: bool) -> Table<Board> {
    let reset = |it: &mut Board, call: &mut Asked<'_>| {
        it.reset();
        *call.client = Format::default();
        Ok(())
    };
    let table = table
        .command("RP:INit", [], |_, _| Ok(()))
        .command("RP:REset", [], reset)
        .command("RP:RELease", [], |_, _| Ok(()))
        .query("ECHO?", [], |_, _| Ok(Response::text("ECHO?")))
        .query("ECO:VERSION?", [], |_, _| Ok(Response::text(VERSION)));
    let table = kept(table);
    if !is_second {
        return table;
    }
    let refused = |_: &mut Board, call: &mut Asked<'_>| Err(NOT_SUPPORTED.about(call.header));
    let unanswered = |_: &mut Board, call: &mut Asked<'_>| Err(NOT_SUPPORTED.about(call.header));
    let table = table
        .command("RP:PLL:ENable", [Parameter::boolean()], refused)
        .query("RP:PLL:ENable?", [], unanswered)
        .command("TRig:EXT:LEV", [any("V")], refused)
        .query("TRig:EXT:LEV?", [], unanswered)
        .query("SYSTem:VERSion?", [], |_, _| Ok(Response::text(VERSION)))
        .query("SYSTem:BRD:ID?", [], |_, _| Ok(Response::text(1)))
        .query("SYSTem:BRD:Name?", [], |_, _| Ok(Response::text("STEMlab 125-14 v1.0 (simulated)")));
    let mut list = COMMON.to_owned();
    for header in table.headers() {
        list.push('\n');
        list.push_str(header);
    }
    // The server's own short form `SYST:H?`, and the usual one.
    table.query("SYSTem:Help?", [], move |_, _| Ok(Response::text(&list)))
}

/// Adds the settings that are kept.
fn kept(mut table: Table<Board>) -> Table<Board> {
    for (name, words, _, has_query) in KEPT {
        let is_number = words.is_empty();
        let parameter = if is_number { any("") } else { Parameter::choice(words) };
        table = table.command(name, [parameter], move |it, call| {
            let value =
                if is_number { call.number(0)?.to_string() } else { words_of(words)[call.place(0)?].to_owned() };
            it.settings.insert(name, value);
            Ok(())
        });
        if has_query {
            table = table.query(&format!("{name}?"), [], move |it, _| {
                Ok(Response::text(it.settings.get(name).cloned().unwrap_or_default()))
            });
        }
    }
    for (name, bounds, _) in CLOCK {
        table = table
            .command(name, bounds.map(Parameter::integer), move |it, call| {
                let value = format!("{},{},{}", call.integer(0)?, call.integer(1)?, call.integer(2)?);
                it.settings.insert(name, value);
                Ok(())
            })
            .query(&format!("{name}?"), [], move |it, _| {
                Ok(Response::text(it.settings.get(name).cloned().unwrap_or_default()))
            });
    }
    table
}

/// Words between bars.
fn words_of(words: &'static str) -> Vec<&'static str> {
    words.split('|').collect()
}
