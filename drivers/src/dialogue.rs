//! Recorded dialogues: every byte that went to and from an instrument, with times, as lines of JSON.
//!
//! ```text
//! {"dialogue":1,"address":"tcp://192.168.1.5:5000"}
//! {"s":0.000,"opened":true}
//! {"s":0.001,"sent":"*IDN?\n"}
//! {"s":0.003,"received":"REDPITAYA,…\n"}
//! {"s":0.010,"received_hex":"2334c000(96)"}                 what is not text; here the last byte comes 96 times
//! ```
//!
//! `s` is seconds since the recording began. A replay gives what was received as soon as all that was sent before it has been
//! sent again, byte for byte, in whatever pieces; it refuses any deviation and says on which line. An answer that never came is
//! missing in the replay as well, at once.

use std::collections::VecDeque;
use std::fs::File;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::time::Instant;

use serde::{Deserialize, Serialize};

use crate::recording::MOST_BYTES;
use crate::{Address, Error, open_bounded};

/// The format's version.
const VERSION: u32 = 1;
/// Equal bytes that are written once with their number, at least.
const RUN: usize = 4;
/// The most that one number stands for: a short text is never a huge dialogue.
const LONGEST_RUN: usize = 1 << 16;

/// The first line.
#[derive(Debug, Serialize, Deserialize)]
struct Head {
    dialogue: u32,
    address: String,
}

/// Any other line: exactly one of the keys beside the time.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Line {
    s: f64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    opened: Option<bool>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    sent: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    sent_hex: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    received: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    received_hex: Option<String>,
}

/// Writes a dialogue down.
#[derive(Debug)]
pub struct DialogueRecorder {
    file: File,
    path: PathBuf,
    start: Instant,
    /// Whether it could not be written once: that has been said, and must not keep anybody from making an instrument safe.
    is_broken: bool,
}

impl DialogueRecorder {
    /// A new recording of the dialogue with the instrument at `address`, in a folder that is made if need be; it must not exist yet.
    pub fn create(path: &Path, address: &Address) -> Result<Self, Error> {
        if path.exists() {
            return Err(Error::recording(path, "exists already, and a recording is never overwritten".to_owned()));
        }
        let failed = |source: std::io::Error| Error::recording(path, format!("cannot be written: {source}"));
        path.parent().map_or(Ok(()), std::fs::create_dir_all).map_err(failed)?;
        let mut file = File::create_new(path).map_err(failed)?;
        let head = Head { dialogue: VERSION, address: address.to_string() };
        file.write_all((json(&head) + "\n").as_bytes()).map_err(failed)?;
        Ok(Self { file, path: path.to_owned(), start: Instant::now(), is_broken: false })
    }

    /// The port was opened.
    pub fn opened(&mut self) -> Result<(), Error> {
        self.write(Line { opened: Some(true), ..Line::default() })
    }

    /// These bytes went out.
    pub fn sent(&mut self, bytes: &[u8]) -> Result<(), Error> {
        let (sent, sent_hex) = text_or_hex(bytes);
        self.write(Line { sent, sent_hex, ..Line::default() })
    }

    /// These bytes came in.
    pub fn received(&mut self, bytes: &[u8]) -> Result<(), Error> {
        let (received, received_hex) = text_or_hex(bytes);
        self.write(Line { received, received_hex, ..Line::default() })
    }

    /// Fails once; from then on nothing is recorded.
    fn write(&mut self, mut line: Line) -> Result<(), Error> {
        if self.is_broken {
            return Ok(());
        }
        line.s = (self.start.elapsed().as_secs_f64() * 1e6).round() / 1e6;
        self.file.write_all((json(&line) + "\n").as_bytes()).map_err(|source| {
            self.is_broken = true;
            Error::recording(&self.path, format!("cannot be written: {source}"))
        })
    }
}

/// One thing that happened.
#[derive(Debug, PartialEq)]
pub(crate) enum Turn {
    /// The port was opened.
    Opened,
    /// Bytes went out.
    Sent(VecDeque<u8>),
    /// Bytes came in.
    Received(VecDeque<u8>),
}

/// Answers as a recorded instrument did.
#[derive(Debug)]
pub struct DialogueReplay {
    path: PathBuf,
    /// Whether it was had over a line that keeps what is late.
    is_line: bool,
    turns: VecDeque<(usize, Turn)>,
}

impl DialogueReplay {
    /// Opens a recording.
    pub fn open(path: &Path) -> Result<Self, Error> {
        let file = open_bounded(path, MOST_BYTES)
            .map_err(|source| Error::recording(path, format!("cannot be read: {source}")))?;
        Self::read(path, BufReader::new(file))
    }

    /// Reads a recording; `path` is its name in errors.
    pub fn read(path: &Path, recording: impl BufRead) -> Result<Self, Error> {
        let (mut turns, mut is_line) = (VecDeque::new(), None);
        for (index, text) in recording.lines().enumerate() {
            let number = index + 1;
            let bad = |message: String| Error::recording(path, format!("line {number}: {message}"));
            let text = text.map_err(|error| bad(error.to_string()))?;
            if index == 0 {
                let head: Head = serde_json::from_str(&text)
                    .map_err(|error| bad(format!("is not the head of a recorded dialogue: {error}")))?;
                if head.dialogue != VERSION {
                    return Err(bad(format!(
                        "is version {}, but only version {VERSION} can be replayed",
                        head.dialogue
                    )));
                }
                is_line = Some(head.address.starts_with("serial://"));
                continue;
            }
            turns.push_back((number, turn(&text).map_err(bad)?));
        }
        let is_line = is_line.ok_or_else(|| Error::recording(path, "is empty".to_owned()))?;
        Ok(Self { path: path.to_owned(), is_line, turns })
    }

    /// The file.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Whether it was had over a line that keeps what is late.
    pub(crate) fn is_line(&self) -> bool {
        self.is_line
    }

    /// All that happened, with the lines that say so; nothing is left to be replayed byte by byte.
    pub(crate) fn take_turns(&mut self) -> VecDeque<(usize, Turn)> {
        std::mem::take(&mut self.turns)
    }

    /// The port is opened again: what was recorded must have been opened here too.
    pub fn reopen(&mut self) -> Result<(), Error> {
        self.discard();
        match self.turns.front() {
            Some((_, Turn::Opened)) => {
                self.turns.pop_front();
                Ok(())
            }
            Some((line, _)) => Err(self.deviates(*line, "the port is opened here, which was not recorded")),
            None => Err(self.ended("opening of the port")),
        }
    }

    /// These bytes are sent: they must be the next that were recorded.
    pub fn send(&mut self, bytes: &[u8]) -> Result<(), Error> {
        let mut rest = bytes;
        let mut place = 0;
        while !rest.is_empty() {
            match self.turns.get_mut(place) {
                Some((line, Turn::Sent(recorded))) => {
                    let count = recorded.len().min(rest.len());
                    if !recorded.iter().take(count).eq(&rest[..count]) {
                        let (line, recorded) = (*line, recorded.iter().copied().collect::<Vec<_>>());
                        let message = format!("`{}` is sent, but `{}` was recorded", shown(rest), shown(&recorded));
                        return Err(self.deviates(line, &message));
                    }
                    recorded.drain(..count);
                    rest = &rest[count..];
                    if recorded.is_empty() {
                        self.turns.remove(place);
                    }
                }
                Some((_, Turn::Received(_))) => place += 1,
                Some((line, Turn::Opened)) => {
                    let line = *line;
                    return Err(self.deviates(line, &format!("`{}` is sent, but the port was reopened", shown(rest))));
                }
                None => return Err(self.ended(&format!("`{}`", shown(rest)))),
            }
        }
        Ok(())
    }

    /// What was received next, if all that was sent before it has been sent; none where the answer never came.
    pub fn receive(&mut self) -> Result<Option<Vec<u8>>, Error> {
        match self.turns.front_mut() {
            Some((_, Turn::Received(bytes))) => {
                let bytes = std::mem::take(bytes);
                self.turns.pop_front();
                Ok(Some(bytes.into()))
            }
            Some((_, Turn::Opened)) => Ok(None),
            Some((line, Turn::Sent(bytes))) => {
                let (line, expected) = (*line, shown(bytes.make_contiguous()));
                let message = format!("an answer is awaited, but the recording expects `{expected}` to be sent");
                Err(self.deviates(line, &message))
            }
            None => Err(self.ended("answer")),
        }
    }

    /// Nothing is awaited: what had been received here is not for anybody.
    pub fn discard(&mut self) {
        while let Some((_, Turn::Received(_))) = self.turns.front() {
            self.turns.pop_front();
        }
    }

    fn deviates(&self, line: usize, message: &str) -> Error {
        Error::recording(&self.path, format!("line {line}: {message}"))
    }

    fn ended(&self, what: &str) -> Error {
        Error::recording(&self.path, format!("ends before this {what}: the replay asks for more than was recorded"))
    }
}

/// What a line says happened.
fn turn(text: &str) -> Result<Turn, String> {
    let line: Line = serde_json::from_str(text).map_err(|error| error.to_string())?;
    let turns = [
        line.opened.map(|_| Ok(Turn::Opened)),
        line.sent.map(|text| Ok(Turn::Sent(text.into_bytes().into()))),
        line.sent_hex.map(|hex| from_hex(&hex).map(Turn::Sent)),
        line.received.map(|text| Ok(Turn::Received(text.into_bytes().into()))),
        line.received_hex.map(|hex| from_hex(&hex).map(Turn::Received)),
    ];
    let mut turns = turns.into_iter().flatten();
    match (turns.next(), turns.next()) {
        (Some(turn), None) => turn,
        _ => Err("must have exactly one of `opened`, `sent`, `sent_hex`, `received`, `received_hex`".to_owned()),
    }
}

/// A value as one line.
fn json(value: &impl Serialize) -> String {
    serde_json::to_string(value).expect("numbers and texts can always be written")
}

/// Bytes as text where they are plain text, as hexadecimal digits otherwise.
fn text_or_hex(bytes: &[u8]) -> (Option<String>, Option<String>) {
    let plain = |byte: &u8| (b' '..=b'~').contains(byte) || matches!(byte, b'\n' | b'\r' | b'\t');
    match std::str::from_utf8(bytes) {
        Ok(text) if bytes.iter().all(plain) => (Some(text.to_owned()), None),
        _ => (None, Some(to_hex(bytes))),
    }
}

/// Hexadecimal digits; `00(96)` is a byte that comes 96 times: images are mostly dark.
fn to_hex(bytes: &[u8]) -> String {
    let mut text = String::new();
    for run in bytes.chunk_by(|a, b| a == b).flat_map(|run| run.chunks(LONGEST_RUN)) {
        let byte = format!("{:02x}", run[0]);
        if RUN <= run.len() {
            text.extend([byte, format!("({})", run.len())]);
        } else {
            text += &byte.repeat(run.len());
        }
    }
    text
}

/// Bytes from hexadecimal digits.
fn from_hex(text: &str) -> Result<VecDeque<u8>, String> {
    let bad = || {
        format!("has hexadecimal digits that are not pairs of 0-9 and a-f, or `(N)` after one, N up to {LONGEST_RUN}")
    };
    let (mut bytes, mut rest) = (VecDeque::new(), text);
    while !rest.is_empty() {
        let (pair, after) = rest.split_at_checked(2).ok_or_else(bad)?;
        let is_hex = pair.bytes().all(|digit| digit.is_ascii_hexdigit());
        let byte = u8::from_str_radix(pair, 16).ok().filter(|_| is_hex).ok_or_else(bad)?;
        let (count, after) = match after.strip_prefix('(') {
            Some(after) => {
                let (count, after) = after.split_once(')').ok_or_else(bad)?;
                let count = count.parse().ok().filter(|count| (1..=LONGEST_RUN).contains(count));
                (count.ok_or_else(bad)?, after)
            }
            None => (1, after),
        };
        bytes.extend(std::iter::repeat_n(byte, count));
        rest = after;
    }
    Ok(bytes)
}

/// The beginning of some bytes, for a sentence.
pub(crate) fn shown(bytes: &[u8]) -> String {
    let text: String =
        bytes.iter().take(60).flat_map(|byte| std::ascii::escape_default(*byte)).map(char::from).collect();
    if bytes.len() > 60 { text + "…" } else { text }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn recorded(write: impl FnOnce(&mut DialogueRecorder)) -> (tempfile::TempDir, PathBuf) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("dialogue.jsonl");
        let address = Address::Tcp { host: "h".into(), port: 1 };
        let mut recorder = DialogueRecorder::create(&path, &address).unwrap();
        write(&mut recorder);
        (folder, path)
    }

    #[test]
    fn a_replay_answers_in_any_split_and_refuses_deviations() {
        let (_folder, path) = recorded(|recorder| {
            recorder.opened().unwrap();
            recorder.sent(b"*IDN?\n").unwrap();
            recorder.received(b"A,B,").unwrap();
            recorder.received(b"C,D\n").unwrap();
            recorder.sent(&[0, 255]).unwrap();
            recorder.received(&[1, 2]).unwrap();
        });
        assert!(DialogueRecorder::create(&path, &Address::Replay { path: path.clone() }).is_err());

        let mut replay = DialogueReplay::open(&path).unwrap();
        replay.reopen().unwrap();
        replay.send(b"*ID").unwrap();
        assert!(replay.receive().unwrap_err().to_string().contains("line 3: an answer is awaited"));
        replay.send(b"N?\n").unwrap();
        assert_eq!(replay.receive().unwrap().unwrap(), b"A,B,");
        assert_eq!(replay.receive().unwrap().unwrap(), b"C,D\n");
        let error = replay.send(&[0, 254]).unwrap_err().to_string();
        assert!(error.contains("line 6: `\\x00\\xfe` is sent, but `\\x00\\xff` was recorded"), "{error}");
        replay.send(&[0, 255]).unwrap();
        assert_eq!(replay.receive().unwrap().unwrap(), [1, 2]);
        assert!(replay.receive().unwrap_err().to_string().contains("ends before this answer"));
        assert!(replay.send(b"x").unwrap_err().to_string().contains("ends before"));
    }

    #[test]
    fn broken_recordings_name_the_line() {
        let (_folder, path) = recorded(|recorder| recorder.opened().unwrap());
        let head = std::fs::read_to_string(&path).unwrap();
        for (line, sentence) in [
            ("{}", "missing field `s`"),
            ("{\"s\":0}", "exactly one of"),
            ("{\"s\":0,\"sent_hex\":\"0g\"}", "not pairs of 0-9 and a-f"),
            ("{\"s\":0,\"sent_hex\":\"+f\"}", "not pairs of 0-9 and a-f"),
            ("{\"s\":0,\"sent_hex\":\"00(0)\"}", "N up to 65536"),
            ("{\"s\":0,\"sent_hex\":\"00(99999999999)\"}", "N up to 65536"),
            ("{\"s\":0,\"sent_hex\":\"00(5\"}", "N up to 65536"),
            ("nonsense", "line 3"),
        ] {
            std::fs::write(&path, format!("{head}{line}\n")).unwrap();
            let error = DialogueReplay::open(&path).unwrap_err().to_string();
            assert!(error.contains("line 3: ") && error.contains(sentence), "{error}");
        }
        std::fs::write(&path, "{}\n").unwrap();
        assert!(DialogueReplay::open(&path).unwrap_err().to_string().contains("line 1: is not the head"));
        std::fs::write(&path, "").unwrap();
        assert!(DialogueReplay::open(&path).unwrap_err().to_string().contains("is empty"));
    }

    #[test]
    fn an_answer_that_never_came_is_missing_again_and_what_came_late_is_nobodys() {
        let (_folder, path) = recorded(|recorder| {
            recorder.opened().unwrap();
            recorder.sent(b"A?\n").unwrap();
            recorder.opened().unwrap();
            recorder.received(b"late\n").unwrap();
            recorder.sent(b"A?\n").unwrap();
            recorder.received(b"a\n").unwrap();
        });
        let mut replay = DialogueReplay::open(&path).unwrap();
        assert!(!replay.is_line());
        replay.reopen().unwrap();
        replay.send(b"A?\n").unwrap();
        assert_eq!(replay.receive().unwrap(), None);
        replay.reopen().unwrap();
        replay.discard();
        replay.send(b"A?\n").unwrap();
        assert_eq!(replay.receive().unwrap().unwrap(), b"a\n");
    }

    #[test]
    fn a_recording_that_cannot_be_written_fails_once_and_then_lets_bytes_pass() {
        let (_folder, path) = recorded(|recorder| recorder.opened().unwrap());
        let file = File::open(&path).unwrap();
        let mut recorder = DialogueRecorder { file, path, start: Instant::now(), is_broken: false };
        assert!(recorder.sent(b"x").unwrap_err().to_string().contains("cannot be written"));
        recorder.sent(b"OUTPUT1:STATE OFF\n").unwrap();
    }

    #[test]
    fn equal_bytes_are_written_once() {
        for bytes in [vec![], vec![0; 3], vec![0; 4], vec![0xff; 200_000], (0..=255).collect()] {
            assert_eq!(from_hex(&to_hex(&bytes)).unwrap(), bytes);
        }
        assert_eq!(to_hex(&[1, 0, 0, 0, 0, 0, 2, 2]), "0100(5)0202");
    }
}
