//! The commands that every SCPI instrument has and that concern its status alone (IEEE 488.2, 10; SCPI-99, 4.2.1).

use std::fmt::Display;

use super::error::ScpiError;
use super::parameter::Parameter;
use super::response::Response;
use super::status::{BITS, Register, Status};
use super::table::{Call, ScpiInstrument, Table};

/// What all instruments are: a status for each client.
pub(super) struct Mandatory;

impl ScpiInstrument for Mandatory {
    type Client = Status;

    fn identity(&self) -> [String; 3] {
        [const { String::new() }; 3]
    }

    fn table(&self) -> Table<Self> {
        let byte = || [Parameter::integer(0..=255)];
        let table = Table::new()
            .command("*CLS", [], told(Status::clear))
            .command("*ESE", byte(), given(|status, mask| status.event_mask = mask as u8))
            .query("*ESE?", [], asked(|status| status.event_mask))
            .query("*ESR?", [], asked(Status::take_event))
            .command("*OPC", [], told(Status::complete_later))
            .command("*SRE", byte(), given(|status, mask| status.set_service_mask(mask as u8)))
            .query("*SRE?", [], asked(|status| status.service_mask()))
            .query("*STB?", [], asked(|status| status.byte()))
            .query("SYSTem:ERRor[:NEXT]?", [], asked(Status::next_error))
            .query("SYSTem:ERRor:ALL?", [], asked(|status| all(status, ScpiError::to_string)))
            .query("SYSTem:ERRor:CODE[:NEXT]?", [], asked(|status| status.next_error().code))
            .query("SYSTem:ERRor:CODE:ALL?", [], asked(|status| all(status, |error| error.code.to_string())))
            .query("SYSTem:ERRor:COUNt?", [], asked(|status| status.count()))
            .query("SYSTem:VERSion?", [], asked(|_| "1999.0"))
            .command("STATus:PRESet", [], told(Status::preset));
        let table = register(table, "STATus:OPERation", |status| &mut status.operation);
        register(table, "STATus:QUEStionable", |status| &mut status.questionable)
    }

    fn reset(&mut self) {}
}

/// A command without parameters.
fn told(act: impl Fn(&mut Status)) -> impl Fn(&mut Mandatory, &mut Call<'_, Status>) -> Result<(), ScpiError> {
    move |_, call| {
        act(call.client);
        Ok(())
    }
}

/// A command with a number.
fn given(act: impl Fn(&mut Status, i64)) -> impl Fn(&mut Mandatory, &mut Call<'_, Status>) -> Result<(), ScpiError> {
    move |_, call| {
        let number = call.integer(0)?;
        act(call.client, number);
        Ok(())
    }
}

/// A query.
fn asked<T: Display>(
    ask: impl Fn(&mut Status) -> T,
) -> impl Fn(&mut Mandatory, &mut Call<'_, Status>) -> Result<Response, ScpiError> {
    move |_, call| Ok(Response::text(ask(call.client)))
}

/// All errors that wait, with commas.
fn all(status: &mut Status, show: impl Fn(&ScpiError) -> String) -> String {
    let count = status.count().max(1);
    let shown: Vec<String> = (0..count).map(|_| show(&status.next_error())).collect();
    shown.join(",")
}

/// The commands of one of the registers of SCPI (SCPI-99, 20).
fn register(table: Table<Mandatory>, name: &str, of: fn(&mut Status) -> &mut Register) -> Table<Mandatory> {
    // Bit 15 is taken and never kept.
    let word = || [Parameter::integer(0..=65_535)];
    let kept = |word: i64| word as u16 & BITS;
    let head = |tail: &str| format!("{name}{tail}");
    table
        .query(&head("[:EVENt]?"), [], asked(move |status| of(status).take_event()))
        .query(&head(":CONDition?"), [], asked(move |status| of(status).condition()))
        .command(&head(":ENABle"), word(), given(move |status, word| of(status).enable = kept(word)))
        .query(&head(":ENABle?"), [], asked(move |status| of(status).enable))
        .command(&head(":PTRansition"), word(), given(move |status, word| of(status).rise = kept(word)))
        .query(&head(":PTRansition?"), [], asked(move |status| of(status).rise))
        .command(&head(":NTRansition"), word(), given(move |status, word| of(status).fall = kept(word)))
        .query(&head(":NTRansition?"), [], asked(move |status| of(status).fall))
}
