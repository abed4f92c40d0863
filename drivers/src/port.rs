//! An open port: bytes to and from one instrument over TCP, a serial line, a pseudo-terminal or from a recorded dialogue.
//!
//! Everything that a protocol reads, it reads through [`Port`]: by terminator, by length, or piece by piece, whatever the split
//! in which the bytes arrive, and never more than a stated bound. Deadlines belong to the [`Link`](crate::Link) around it.

mod prompt;

use std::sync::{Arc, Mutex, Weak};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_serial::SerialPortBuilderExt;

use crate::pseudo_terminal::{PseudoTerminal, REPLACED};
use crate::{Address, DialogueRecorder, DialogueReplay, Error, LinkOptions, Owned};

use prompt::Prompt;

/// How much is read at once.
const CHUNK: usize = 64 * 1024;
/// How much of what was heard is kept for messages.
const HEARD: usize = 80;

/// Bytes both ways.
pub trait Stream: AsyncRead + AsyncWrite + Unpin + Send {}

impl<T: AsyncRead + AsyncWrite + Unpin + Send> Stream for T {}

/// A recorder that outlives the ports of one instrument.
pub(crate) type SharedRecorder = Arc<Mutex<DialogueRecorder>>;
/// A replay that outlives the ports of one instrument.
pub(crate) type SharedReplay = Arc<Mutex<DialogueReplay>>;

/// Where the bytes go.
enum Source {
    Stream(Box<dyn Stream>),
    Replay(SharedReplay),
}

/// An open port.
pub struct Port {
    instrument: String,
    source: Source,
    recorder: Option<SharedRecorder>,
    /// What this process holds of the instrument; nothing beside the owner and in a replay.
    owned: Weak<Mutex<Owned>>,
    /// Received and not yet read.
    received: Vec<u8>,
    chunk: Vec<u8>,
    /// The beginning of what was received since somebody began to listen.
    heard: Vec<u8>,
    /// The byte that ended the last line: the other one of a pair belongs to it, and may come later.
    ended: Option<u8>,
    /// How long it waits for more bytes; none waits as long as whoever reads.
    patience: Option<Duration>,
    /// The longest that it has waited for bytes.
    longest_silence: Duration,
}

/// Opens the port of one instrument, again and again if need be.
pub(crate) struct Opener {
    pub(crate) instrument: String,
    pub(crate) address: Address,
    pub(crate) recorder: Option<SharedRecorder>,
    pub(crate) replay: Option<SharedReplay>,
    owned: Weak<Mutex<Owned>>,
    /// Which pseudo-terminal was opened last.
    terminal: Mutex<Option<PseudoTerminal>>,
}

impl Opener {
    /// The way to the instrument of a link: begins its recording, or reads the one that is replayed.
    pub(crate) fn new(options: &LinkOptions) -> Result<Self, Error> {
        if let Address::Audio { .. } = &options.address {
            let (text, message) = (
                options.address.to_string(),
                "is an audio interface, which speaks no protocol of bytes: write a socket or a serial port, or `protocol = \"audio\"`",
            );
            return Err(Error::Address { text, message: message.to_owned() });
        }
        let recorder = options.record.as_ref().map(|path| DialogueRecorder::create(path, &options.address));
        let replay = match &options.address {
            Address::Replay { path } => Some(Arc::new(Mutex::new(DialogueReplay::open(path)?))),
            _ => None,
        };
        Ok(Self {
            instrument: options.instrument.clone(),
            address: options.address.clone(),
            recorder: recorder.transpose()?.map(|recorder| Arc::new(Mutex::new(recorder))),
            replay,
            owned: Weak::new(),
            terminal: Mutex::default(),
        })
    }

    /// The same for who holds the instrument: who answers is held by its serial number as well.
    pub(crate) fn held_by(self, owned: Option<&Arc<Mutex<Owned>>>) -> Self {
        Self { owned: owned.map(Arc::downgrade).unwrap_or_default(), ..self }
    }

    /// Whether an answer that is late stays on the wire for the next opening.
    pub(crate) fn is_line(&self) -> bool {
        match &self.replay {
            Some(replay) => locked(replay).is_line(),
            None => matches!(self.address, Address::Serial { .. }),
        }
    }

    /// Opens the port, at most for `within`. Nothing is sent.
    pub(crate) async fn open(&self, within: Duration) -> Result<Port, Error> {
        let source = match (&self.address, &self.replay) {
            (_, Some(replay)) => {
                locked(replay).reopen()?;
                Source::Replay(replay.clone())
            }
            (Address::Replay { path }, None) => {
                return Err(Error::recording(path, "was not opened before its port".to_owned()));
            }
            _ => {
                let dialed = tokio::time::timeout(within, self.dial()).await;
                Source::Stream(dialed.unwrap_or_else(|_| Err(self.unreachable("nobody takes the connection")))?)
            }
        };
        if let Some(recorder) = &self.recorder {
            locked(recorder).opened()?;
        }
        let (recorder, owned) = (self.recorder.clone(), self.owned.clone());
        Ok(Port { source, recorder, owned, ..Port::closed(&self.instrument) })
    }

    /// Opens a bare stream. Nothing is sent.
    pub(crate) async fn dial(&self) -> Result<Box<dyn Stream>, Error> {
        match &self.address {
            Address::Tcp { host, port } => {
                let stream = TcpStream::connect((host.as_str(), *port)).await;
                let stream = stream.and_then(Prompt::new).map_err(|source| self.unreachable(&source.to_string()))?;
                Ok(Box::new(stream))
            }
            Address::Serial { path, baud } => {
                if locked(&self.terminal).as_ref().is_some_and(|terminal| terminal.is_replaced_at(path)) {
                    return Err(self.unreachable(REPLACED));
                }
                let builder = tokio_serial::new(path.to_string_lossy(), *baud);
                let stream = builder.open_native_async().map_err(|source| self.unreachable(&refusal(&source)))?;
                *locked(&self.terminal) = PseudoTerminal::at(path);
                Ok(Box::new(stream))
            }
            Address::Audio { .. } => Err(self.unreachable("an audio interface is no stream of bytes")),
            Address::Replay { .. } => Err(self.unreachable("a recording is no stream of bytes")),
        }
    }

    /// Something takes the connection, and has said nothing for `within`.
    pub(crate) fn mute(&self, within: Duration, advice: String) -> Error {
        let (instrument, address) = (self.instrument.clone(), self.address.to_string());
        Error::Mute { instrument, address, seconds: within.as_secs_f32(), advice }
    }

    /// It cannot be reached, and why.
    pub(crate) fn unreachable(&self, message: &str) -> Error {
        let (instrument, address) = (self.instrument.clone(), self.address.to_string());
        Error::Unreachable { instrument, address, message: message.to_owned() }
    }
}

impl Port {
    /// A port over any stream that sends what is written without being flushed, such as one end of a pair in a test.
    pub fn over(instrument: &str, stream: impl Stream + 'static) -> Self {
        Self { source: Source::Stream(Box::new(stream)), ..Self::closed(instrument) }
    }

    /// A port at the end of its stream.
    fn closed(instrument: &str) -> Self {
        Self {
            instrument: instrument.to_owned(),
            source: Source::Stream(Box::new(tokio::io::join(tokio::io::empty(), tokio::io::empty()))),
            recorder: None,
            owned: Weak::new(),
            received: Vec::new(),
            chunk: Vec::new(),
            heard: Vec::new(),
            ended: None,
            patience: None,
            longest_silence: Duration::ZERO,
        }
    }

    /// From now on a read fails when nothing has come for `patience`; without one, whoever reads keeps the time.
    pub(crate) fn be_patient(&mut self, patience: Option<Duration>) {
        self.patience = patience;
    }

    /// The longest that it has waited for bytes so far.
    pub(crate) fn longest_silence(&self) -> Duration {
        self.longest_silence
    }

    /// Who answers has said who it is: refuses it where it is held by another address already. Called in a greeting before anything
    /// is set.
    pub fn claim(&self, maker: &str, model: &str, serial: &str) -> Result<(), Error> {
        self.owned.upgrade().map_or(Ok(()), |owned| locked(&owned).claim(maker, model, serial))
    }

    /// Whether no other connection of this process leads to the same box.
    pub(crate) fn is_alone(&self) -> bool {
        self.owned.upgrade().is_none_or(|owned| locked(&owned).is_alone())
    }

    /// Whether a recording answers.
    pub(crate) fn is_replay(&self) -> bool {
        matches!(self.source, Source::Replay(_))
    }

    /// From now on nothing is recorded; what was, to go on with it.
    pub(crate) fn stop_recording(&mut self) -> Option<SharedRecorder> {
        self.recorder.take()
    }

    /// From now on the dialogue is recorded there.
    pub(crate) fn record_to(&mut self, recorder: Option<SharedRecorder>) {
        self.recorder = recorder;
    }

    /// Whose port it is.
    pub fn instrument(&self) -> &str {
        &self.instrument
    }

    /// Sends all of `bytes` in one piece.
    pub async fn write(&mut self, bytes: &[u8]) -> Result<(), Error> {
        match &mut self.source {
            Source::Replay(replay) => locked(replay).send(bytes)?,
            // No flush: sockets and terminals hold nothing back, and on a serial line it waits in the system, past every deadline,
            // until the last bit is out (`tcdrain`).
            Source::Stream(stream) => {
                stream.write_all(bytes).await.map_err(|source| lost(&self.instrument, &source.to_string()))?;
            }
        }
        if let Some(recorder) = &self.recorder {
            locked(recorder).sent(bytes)?;
        }
        Ok(())
    }

    /// What has been received up to and including `end`, at most `most` bytes.
    pub async fn read_until(&mut self, end: u8, most: usize) -> Result<Vec<u8>, Error> {
        let mut looked = 0;
        loop {
            if let Some(at) = self.received[looked..].iter().position(|byte| *byte == end) {
                return Ok(self.take(looked + at + 1));
            }
            looked = self.received.len();
            if most <= looked {
                let message = format!("sent {looked} bytes without an end");
                return Err(Error::Garbled { instrument: self.instrument.clone(), message });
            }
            self.receive().await?;
        }
    }

    /// A line of at most `most` bytes without its end: a line feed, a carriage return, or both in either order.
    ///
    /// Of a pair, the second byte is left out when the next line is read: nobody waits for it.
    pub async fn read_line(&mut self, most: usize) -> Result<Vec<u8>, Error> {
        self.pass_second_end().await?;
        let is_end = |byte: &u8| matches!(byte, b'\n' | b'\r');
        let mut looked = 0;
        loop {
            if let Some(at) = self.received[looked..].iter().position(is_end) {
                let mut line = self.take(looked + at + 1);
                self.ended = line.pop();
                return Ok(line);
            }
            looked = self.received.len();
            if most <= looked {
                let message = format!("sent {looked} bytes without an end");
                return Err(Error::Garbled { instrument: self.instrument.clone(), message });
            }
            self.receive().await?;
        }
    }

    /// Gives a line back, which will be read again.
    pub(crate) fn unread_line(&mut self, line: &[u8]) {
        let line = [line, b"\n"].concat();
        self.received.splice(0..0, line);
        self.ended = None;
    }

    /// Passes over what still belongs to the end of the last line.
    async fn pass_second_end(&mut self) -> Result<(), Error> {
        let Some(first) = self.ended else { return Ok(()) };
        while self.received.is_empty() {
            self.receive().await?;
        }
        self.ended = None;
        if matches!((first, self.received[0]), (b'\r', b'\n') | (b'\n', b'\r')) {
            drop(self.take(1));
        }
        Ok(())
    }

    /// The next byte of an answer, which stays to be read; what ends the line before, and other control characters, are passed over.
    pub(crate) async fn peek_answer(&mut self) -> Result<u8, Error> {
        self.pass_second_end().await?;
        loop {
            let next = self.peek().await?;
            if !next.is_ascii_control() || matches!(next, b'\n' | b'\r') {
                return Ok(next);
            }
            drop(self.take(1));
        }
    }

    /// From now on what is received counts as heard.
    pub(crate) fn listen(&mut self) {
        self.heard.clear();
    }

    /// The beginning of what was received since somebody began to listen.
    pub(crate) fn heard(&self) -> &[u8] {
        &self.heard
    }

    /// The next `count` bytes, whatever the pieces they come in. The caller bounds `count`.
    pub async fn read_exact(&mut self, count: usize) -> Result<Vec<u8>, Error> {
        while self.received.len() < count {
            self.receive().await?;
        }
        Ok(self.take(count))
    }

    /// The next byte, which stays to be read.
    pub async fn peek(&mut self) -> Result<u8, Error> {
        while self.received.is_empty() {
            self.receive().await?;
        }
        Ok(self.received[0])
    }

    /// Whether all that was received has been read.
    pub fn is_drained(&self) -> bool {
        self.received.is_empty()
    }

    /// The same where lines of text are read: white space and control characters behind the last of them say nothing.
    pub fn is_drained_of_text(&self) -> bool {
        self.received.iter().all(|byte| *byte <= b' ')
    }

    /// Whatever is there, at least one byte.
    pub async fn read_some(&mut self) -> Result<Vec<u8>, Error> {
        if self.received.is_empty() {
            self.receive().await?;
        }
        Ok(std::mem::take(&mut self.received))
    }

    /// Throws away what comes until nothing has come for `pause`, but at most for `most`.
    pub async fn discard_until_quiet(&mut self, pause: Duration, most: Duration) -> Result<(), Error> {
        self.received.clear();
        if let Source::Replay(replay) = &self.source {
            locked(replay).discard();
            return Ok(());
        }
        // Silence is what is waited for.
        let (patience, silence) = (self.patience.take(), self.longest_silence);
        let until = tokio::time::Instant::now() + most;
        while tokio::time::Instant::now() < until {
            match tokio::time::timeout(pause, self.receive()).await {
                Ok(received) => received?,
                Err(_) => break,
            }
            self.received.clear();
        }
        self.received.clear();
        (self.patience, self.longest_silence) = (patience, silence);
        Ok(())
    }

    /// Waits for more bytes.
    async fn receive(&mut self) -> Result<(), Error> {
        let before = self.received.len();
        match &mut self.source {
            Source::Replay(replay) => match locked(replay).receive()? {
                Some(bytes) => self.received.extend(bytes),
                None => {
                    return Err(lost(&self.instrument, "no answer was recorded here, and the port was opened again"));
                }
            },
            Source::Stream(stream) => {
                self.chunk.resize(CHUNK, 0);
                let count = match self.patience {
                    None => stream.read(&mut self.chunk).await,
                    Some(patience) => {
                        let start = tokio::time::Instant::now();
                        let read = tokio::time::timeout(patience, stream.read(&mut self.chunk)).await;
                        self.longest_silence = self.longest_silence.max(start.elapsed());
                        read.map_err(|_| Error::Timeout {
                            instrument: self.instrument.clone(),
                            what: "answer",
                            seconds: patience.as_secs_f32(),
                        })?
                    }
                };
                let count = count.map_err(|source| lost(&self.instrument, &source.to_string()))?;
                if count == 0 {
                    return Err(lost(&self.instrument, "the other end closed the connection"));
                }
                self.received.extend_from_slice(&self.chunk[..count]);
            }
        }
        let room = HEARD.saturating_sub(self.heard.len()).min(self.received.len() - before);
        self.heard.extend_from_slice(&self.received[before..before + room]);
        if let Some(recorder) = &self.recorder {
            locked(recorder).received(&self.received[before..])?;
        }
        Ok(())
    }

    /// The first `count` bytes received.
    fn take(&mut self, count: usize) -> Vec<u8> {
        let rest = self.received.split_off(count);
        std::mem::replace(&mut self.received, rest)
    }
}

/// Why the system does not open a serial port, and what helps where it is not the cable.
fn refusal(source: &tokio_serial::Error) -> String {
    match source.kind() {
        tokio_serial::ErrorKind::Io(std::io::ErrorKind::PermissionDenied) => {
            format!("{source}: your user must be in the group that owns the port, often `dialout`")
        }
        _ => format!("{source}: `pnnlab ports` lists the serial ports"),
    }
}

/// The connection is gone.
fn lost(instrument: &str, message: &str) -> Error {
    Error::Lost { instrument: instrument.to_owned(), message: message.to_owned() }
}

/// What a mutex holds, even when another thread has panicked with it: recordings are whole lines.
pub(crate) fn locked<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn bytes_are_read_in_any_split() {
        let (near, mut far) = tokio::io::duplex(64);
        let mut port = Port::over("scope", near);
        let writer = tokio::spawn(async move {
            for byte in b"abc\ndefgh\nxyz" {
                far.write_all(&[*byte]).await.unwrap();
            }
            far
        });
        assert_eq!(port.read_until(b'\n', 10).await.unwrap(), b"abc\n");
        assert_eq!(port.peek().await.unwrap(), b'd');
        assert_eq!(port.read_exact(3).await.unwrap(), b"def");
        assert_eq!(port.read_until(b'\n', 10).await.unwrap(), b"gh\n");
        let far = writer.await.unwrap();
        assert!(matches!(port.read_until(b'\n', 2).await, Err(Error::Garbled { .. })));
        port.discard_until_quiet(Duration::from_millis(1), Duration::from_millis(50)).await.unwrap();
        drop(far);
        assert!(matches!(port.read_exact(1).await, Err(Error::Lost { .. })));
    }

    #[tokio::test]
    async fn a_line_ends_with_either_byte_or_both_in_either_order() {
        for end in ["\n", "\r", "\r\n", "\n\r"] {
            let sent = format!("ab{end}cd{end}");
            let (near, mut far) = tokio::io::duplex(64);
            let mut port = Port::over("scope", near);
            far.write_all(sent.as_bytes()).await.unwrap();
            assert_eq!(port.read_line(10).await.unwrap(), b"ab", "{sent:?}");
            assert_eq!(port.peek_answer().await.unwrap(), b'c', "{sent:?}");
            assert_eq!(port.read_line(10).await.unwrap(), b"cd", "{sent:?}");
            assert!(port.is_drained_of_text(), "{sent:?}");
            assert_eq!(port.heard(), sent.as_bytes());
            far.write_all(end.as_bytes()).await.unwrap();
            assert_eq!(port.read_line(10).await.unwrap(), b"", "an empty line is a line: {sent:?}");
        }
    }
}
