//! How the owner gets to its instrument: over a wire, written down or not, or to a recording in the instrument's place.

use std::time::Duration;

use crate::port::{Opener, locked};
use crate::tap::{Tap, Trouble};
use crate::{Error, LinkOptions, Stream};

use super::replay::Replay;

/// The way to one instrument, again and again if need be.
pub(super) struct Wires {
    opener: Opener,
    replay: Option<Replay>,
    trouble: Trouble,
}

impl Wires {
    /// The way that `options` describe: begins the recording, or reads the one that is replayed.
    pub fn new(options: &LinkOptions) -> Result<Self, Error> {
        let mut opener = Opener::new(options)?;
        let trouble = Trouble::default();
        let replay = opener.replay.take().map(|replay| Replay::new(&mut locked(&replay), &trouble)).transpose()?;
        Ok(Self { opener, replay, trouble })
    }

    /// The instrument's name in the rig.
    pub fn instrument(&self) -> &str {
        &self.opener.instrument
    }

    /// Whether a recording answers.
    pub fn is_replay(&self) -> bool {
        self.replay.is_some()
    }

    /// The instrument cannot be reached, and why.
    pub fn unreachable(&self, message: &str) -> Error {
        self.opener.unreachable(message)
    }

    /// Something takes the connection, and has said nothing for `within`.
    pub fn mute(&self, within: Duration) -> Error {
        self.opener.mute(within, String::new())
    }

    /// A fresh stream. Nothing is sent.
    pub async fn dial(&self) -> Result<Box<dyn Stream>, Error> {
        if let Some(replay) = &self.replay {
            return replay.open();
        }
        let stream = self.opener.dial().await?;
        let Some(recorder) = &self.opener.recorder else { return Ok(stream) };
        locked(recorder).opened()?;
        Ok(Box::new(Tap { stream, recorder: recorder.clone(), trouble: self.trouble.clone() }))
    }

    /// What went wrong beside the wire, if that is why a stream has ended: a recording that cannot be written, once, or one that
    /// is not followed, from then on.
    pub fn trouble(&self) -> Option<Error> {
        let mut trouble = locked(&self.trouble);
        if self.is_replay() { trouble.clone() } else { trouble.take() }
    }
}
