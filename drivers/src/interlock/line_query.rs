//! Instruments that answer one line with one line and have no other manners: thermometers, power meters, shutters.

use std::time::Duration;

use crate::{Error, Opening, Port, Session, Terminator};

/// The longest answer, in bytes.
const LONGEST: usize = 4096;
/// What is still on its way comes within this pause.
const PAUSE: Duration = Duration::from_millis(50);

/// A dialogue of lines.
#[derive(Debug)]
pub(super) struct LineQuery(pub Terminator);

impl Session for LineQuery {
    type Request = String;
    type Reply = String;

    fn verb(_: &String) -> &'static str {
        "query"
    }

    async fn greet(&mut self, port: &mut Port, opening: Opening) -> Result<(), Error> {
        if opening.stale { port.discard_until_quiet(PAUSE, 10 * PAUSE).await } else { Ok(()) }
    }

    async fn exchange(&mut self, port: &mut Port, request: &String) -> Result<String, Error> {
        port.write(&[request.as_bytes(), self.0.bytes()].concat()).await?;
        let line = port.read_line(LONGEST).await?;
        Ok(String::from_utf8_lossy(&line).trim().to_owned())
    }
}
