//! A spectrometer that speaks the Ocean Binary Protocol, over a serial line or TCP.
//!
//! Spectra are read with metadata ("buffered spectrum", QE Pro): 32 bytes of which the first four count spectra, then
//! pixels of 32 bits. The counter tells a stale frame from a new one. Other models (STS, Spark, HDX) send pixels of 16 bits alone, and are not
//! driven (`docs/instruments.md`).

mod message;

use std::time::Duration;

pub use message::{BadMessage, METADATA, ObpMessage, Spectrum, UNKNOWN_TYPE, error, flag, message_type, run};

use crate::dialogue::shown;
use crate::{Error, Opening, Port, Session};
use message::HEADER;

/// The numbers of requests that look whether the settings are still there.
const LOOKS: u32 = 1 << 31;

/// What a spectrometer can be asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SpectrometerRequest {
    /// Who it is.
    Serial,
    /// The next spectrum.
    Read,
}

/// What a spectrometer answers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SpectrometerReply {
    /// Who it is.
    Serial(String),
    /// A spectrum that is newer than any before.
    Spectrum(Spectrum),
    /// The one before, once more.
    Old,
}

/// The dialogue with a spectrometer.
#[derive(Debug)]
pub struct OceanObp {
    instrument: String,
    integration_micros: u32,
    has_md5: bool,
    regarding: u32,
    serial: Option<Vec<u8>>,
    last: Option<u32>,
}

impl OceanObp {
    /// The spectrometer called `instrument` in the rig, with its integration time in µs.
    pub fn new(instrument: &str, integration_micros: u32, has_md5: bool) -> Self {
        let instrument = instrument.to_owned();
        Self { instrument, integration_micros, has_md5, regarding: 0, serial: None, last: None }
    }

    async fn ask(&mut self, port: &mut Port, kind: u32, payload: &[u8], flags: u16) -> Result<Vec<u8>, Error> {
        self.regarding = self.regarding.wrapping_add(1);
        let request = ObpMessage { flags, error: 0, kind, regarding: self.regarding, payload: payload.to_vec() };
        let mut bytes = Vec::new();
        request.encode(self.has_md5, &mut bytes);
        port.write(&bytes).await?;
        let mut bytes = port.read_exact(HEADER).await?;
        let header = bytes.first_chunk().ok_or_else(|| self.garbled("sent half a header"))?;
        let remaining = ObpMessage::remaining(header).map_err(|_| self.garbled("sent what is no OBP message"))?;
        bytes.extend(port.read_exact(remaining).await?);
        let Some((Ok(answer), _)) = ObpMessage::decode(&bytes) else {
            return Err(self.garbled("sent an OBP message with a wrong checksum or end"));
        };
        if answer.regarding != self.regarding || answer.kind != kind {
            return Err(self.garbled("answered another request than it was sent"));
        }
        if !port.is_drained() {
            return Err(self.garbled("said more than it was asked"));
        }
        if answer.flags & flag::NACK != 0 || answer.error != 0 {
            return Err(Error::Refused {
                instrument: self.instrument.clone(),
                command: format!("{kind:#010x}"),
                code: answer.error.into(),
                message: error::meaning(answer.error).to_owned(),
            });
        }
        Ok(answer.payload)
    }

    /// The integration time in µs that it has; none where it cannot say: not all have that message.
    async fn integration(&mut self, port: &mut Port) -> Result<Option<u32>, Error> {
        let read = match self.ask(port, message_type::INTEGRATION, &[], 0).await {
            Err(Error::Refused { code, .. }) if code == i32::from(UNKNOWN_TYPE) => return Ok(None),
            read => read?,
        };
        let read = read.first_chunk().map(|bytes| u32::from_le_bytes(*bytes));
        read.map(Some).ok_or_else(|| self.garbled("sent half an integration time"))
    }

    /// Sets the integration time, and asks whether it is set where the instrument can say.
    async fn push(&mut self, port: &mut Port) -> Result<(), Error> {
        let micros = self.integration_micros;
        self.ask(port, message_type::SET_INTEGRATION, &micros.to_le_bytes(), flag::REQUEST_ACK).await?;
        let Some(read) = self.integration(port).await?.filter(|read| *read != micros) else { return Ok(()) };
        Err(Error::Readback {
            instrument: self.instrument.clone(),
            setting: "its integration time".to_owned(),
            sent: format!("{micros} µs"),
            read: format!("{read} µs"),
        })
    }

    /// A spectrum that is newer than the last one; none where that was sent again.
    async fn next(&mut self, port: &mut Port) -> Result<Option<Spectrum>, Error> {
        let payload = self.ask(port, message_type::SPECTRUM, &[], 0).await?;
        let spectrum = Spectrum::decode(&payload).ok_or_else(|| self.garbled("sent half a spectrum"))?;
        let ahead = self.last.map_or(1, |last| spectrum.count.wrapping_sub(last));
        if u32::MAX / 2 < ahead {
            // It counts anew: it was switched off and on, and has lost its integration time.
            return Err(Error::Restarted { instrument: self.instrument.clone() });
        }
        self.last = Some(spectrum.count);
        Ok((ahead != 0).then_some(spectrum))
    }

    fn garbled(&self, message: &str) -> Error {
        Error::Garbled { instrument: self.instrument.clone(), message: message.to_owned() }
    }
}

impl Session for OceanObp {
    type Request = SpectrometerRequest;
    type Reply = SpectrometerReply;

    fn verb(request: &SpectrometerRequest) -> &'static str {
        match request {
            SpectrometerRequest::Read => "read",
            SpectrometerRequest::Serial => "identity",
        }
    }

    async fn greet(&mut self, port: &mut Port, opening: Opening) -> Result<(), Error> {
        if opening.stale {
            let pause = Duration::from_millis(20);
            port.discard_until_quiet(pause, pause * 10).await?;
        }
        let serial = self.ask(port, message_type::SERIAL, &[], 0).await?;
        if let Some(known) = &self.serial
            && *known != serial
        {
            let text = |bytes: &[u8]| format!("the one with the serial number `{}`", shown(bytes));
            let (expected, found) = (text(known), text(&serial));
            return Err(Error::Stranger { instrument: self.instrument.clone(), expected, found });
        }
        // The protocol is one maker's, whose numbers tell models apart.
        port.claim("ocean", "", &String::from_utf8_lossy(&serial))?;
        self.serial = Some(serial);
        self.push(port).await?;
        // The first frame after opening may be of before (python-seabreeze issue 174).
        self.last = None;
        self.next(port).await.map(drop)
    }

    async fn exchange(&mut self, port: &mut Port, request: &SpectrometerRequest) -> Result<SpectrometerReply, Error> {
        match request {
            SpectrometerRequest::Serial => {
                let serial = String::from_utf8_lossy(self.serial.as_deref().unwrap_or_default()).into_owned();
                Ok(SpectrometerReply::Serial(serial))
            }
            SpectrometerRequest::Read => {
                Ok(self.next(port).await?.map_or(SpectrometerReply::Old, SpectrometerReply::Spectrum))
            }
        }
    }

    async fn verify(&mut self, port: &mut Port) -> Result<(), Error> {
        let micros = self.integration_micros;
        // A recording knows nothing of such looks: what is asked next has the number that it would have without.
        let number = self.regarding;
        self.regarding |= LOOKS;
        let found = self.integration(port).await;
        self.regarding = number;
        let Some(found) = found?.filter(|found| *found != micros) else { return Ok(()) };
        // One that was switched off and on has lost it, and counts anew.
        self.next(port).await?;
        Err(Error::Changed {
            instrument: self.instrument.clone(),
            ours: format!("its integration time = {micros} µs"),
            found: format!("{found} µs"),
        })
    }

    fn silence(&self) -> Duration {
        Duration::from_micros(self.integration_micros.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    /// What the driver says of a spectrometer that answers its integration time with `first`, or knows no such question, and with
    /// `then` when it is looked at again, having counted `count` spectra.
    async fn greeted(first: Option<u32>, (then, count): (Option<u32>, u32)) -> Result<(), Error> {
        let (near, mut far) = tokio::io::duplex(4096);
        let (now, counted) = (std::cell::Cell::new(first), std::cell::Cell::new(9));
        let mut numbers = std::collections::HashSet::new();
        let answer = async {
            loop {
                let mut bytes = vec![0; 64];
                if far.read_exact(&mut bytes).await.is_err() {
                    return;
                }
                let Some((Ok(asked), _)) = ObpMessage::decode(&bytes) else { return };
                assert!(numbers.insert(asked.regarding), "a number comes back");
                let read = now.get();
                let payload = match (asked.kind, read) {
                    (message_type::SERIAL, _) => b"SIM".to_vec(),
                    (message_type::INTEGRATION, Some(read)) => read.to_le_bytes().to_vec(),
                    (message_type::SPECTRUM, _) => Spectrum { count: counted.get(), pixels: vec![7] }.encode(),
                    _ => vec![],
                };
                let refuses = asked.kind == message_type::INTEGRATION && read.is_none();
                let (flags, error) = if refuses { (flag::NACK, UNKNOWN_TYPE) } else { (flag::RESPONSE, 0) };
                let mut bytes = Vec::new();
                ObpMessage { flags, error, payload, ..asked }.encode(true, &mut bytes);
                far.write_all(&bytes).await.unwrap();
            }
        };
        let mut session = OceanObp::new("spectrometer", 10_000, false);
        let mut port = Port::over("spectrometer", near);
        let opening = Opening { count: 0, stale: false };
        tokio::select! {
            greeted = async {
                session.greet(&mut port, opening).await?;
                now.set(then);
                counted.set(count);
                let last = session.regarding;
                session.verify(&mut port).await?;
                assert_eq!(session.regarding, last, "a recording, which has no such looks, has the same numbers");
                Ok(())
            } => greeted,
            () = answer => panic!("the driver asked what is no message"),
        }
    }

    #[tokio::test]
    async fn the_integration_time_is_read_back_where_the_instrument_can_say() {
        let same = (Some(10_000), 9);
        greeted(Some(10_000), same).await.unwrap();
        greeted(None, (None, 9)).await.unwrap();
        let text = greeted(Some(100_000), same).await.unwrap_err().to_string();
        assert!(text.contains("was told its integration time = 10000 µs, but says 100000 µs"), "{text}");
        // Somebody else has changed it since; or it was switched off and on, which its counter tells.
        let text = greeted(Some(10_000), (Some(20_000), 9)).await.unwrap_err().to_string();
        assert!(text.contains("its integration time = 10000 µs, and has 20000 µs now"), "{text}");
        let restarted = greeted(Some(10_000), (Some(20_000), 1)).await;
        assert!(matches!(restarted, Err(Error::Restarted { .. })), "{restarted:?}");
    }
}
