//! Recorded dialogues: every byte that went to and from an instrument, with times, as lines of JSON.
//!
//! ```text
//! {"dialogue":1,"address":"tcp://192.168.1.5:5000"}
//! {"s":0.000,"opened":true}
//! {"s":0.001,"sent":"*IDN?\n"}
//! {"s":0.003,"received":"REDPITAYA,…\n"}
//! {"s":0.010,"received_hex":"23340…"}                       what is not text
//! ```
//!
//! `s` is seconds since the recording began. A replay gives what was received as soon as all that was sent before it has been
//! sent again, byte for byte, in whatever pieces; it refuses any deviation and says on which line.

use std::collections::VecDeque;
use std::fs::File;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::time::Instant;

use serde::{Deserialize, Serialize};

use crate::{Address, Error};

/// The format's version.
const VERSION: u32 = 1;

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
}

impl DialogueRecorder {
    /// A new recording of the dialogue with the instrument at `address`; it must not exist yet.
    pub fn create(path: &Path, address: &Address) -> Result<Self, Error> {
        if path.exists() {
            return Err(Error::recording(path, "exists already, and a recording is never overwritten".to_owned()));
        }
        let failed = |source: std::io::Error| Error::recording(path, format!("cannot be written: {source}"));
        let mut file = File::create_new(path).map_err(failed)?;
        let head = Head { dialogue: VERSION, address: address.to_string() };
        file.write_all((json(&head) + "\n").as_bytes()).map_err(failed)?;
        Ok(Self { file, path: path.to_owned(), start: Instant::now() })
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

    fn write(&mut self, mut line: Line) -> Result<(), Error> {
        line.s = (self.start.elapsed().as_secs_f64() * 1e6).round() / 1e6;
        let failed = |source| Error::recording(&self.path, format!("cannot be written: {source}"));
        self.file.write_all((json(&line) + "\n").as_bytes()).map_err(failed)
    }
}

/// One thing that happened.
#[derive(Debug, PartialEq)]
enum Turn {
    Opened,
    Sent(VecDeque<u8>),
    Received(VecDeque<u8>),
}

/// Answers as a recorded instrument did.
#[derive(Debug)]
pub struct DialogueReplay {
    path: PathBuf,
    turns: VecDeque<(usize, Turn)>,
}

impl DialogueReplay {
    /// Opens a recording.
    pub fn open(path: &Path) -> Result<Self, Error> {
        let file = File::open(path).map_err(|source| Error::recording(path, format!("cannot be read: {source}")))?;
        let mut turns = VecDeque::new();
        for (index, text) in BufReader::new(file).lines().enumerate() {
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
                continue;
            }
            turns.push_back((number, turn(&text).map_err(bad)?));
        }
        Ok(Self { path: path.to_owned(), turns })
    }

    /// The port is opened again: what was recorded must have been opened here too.
    pub fn reopen(&mut self) -> Result<(), Error> {
        while let Some((_, Turn::Received(_))) = self.turns.front() {
            self.turns.pop_front();
        }
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

    /// What was received next, if all that was sent before it has been sent.
    pub fn receive(&mut self) -> Result<Vec<u8>, Error> {
        match self.turns.pop_front() {
            Some((_, Turn::Received(bytes))) => Ok(bytes.into()),
            Some((line, turn)) => {
                let expected = match &turn {
                    Turn::Sent(bytes) => format!("`{}` to be sent", shown(&bytes.iter().copied().collect::<Vec<_>>())),
                    _ => "the port to be reopened".to_owned(),
                };
                self.turns.push_front((line, turn));
                Err(self.deviates(line, &format!("an answer is awaited, but the recording expects {expected}")))
            }
            None => Err(self.ended("answer")),
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
        _ => (None, Some(bytes.iter().fold(String::new(), |text, byte| text + &format!("{byte:02x}")))),
    }
}

/// Bytes from hexadecimal digits.
fn from_hex(text: &str) -> Result<VecDeque<u8>, String> {
    let bad = || "has hexadecimal digits that are not pairs of 0-9 and a-f".to_owned();
    if !text.len().is_multiple_of(2) || !text.is_ascii() {
        return Err(bad());
    }
    (0..text.len()).step_by(2).map(|at| u8::from_str_radix(&text[at..at + 2], 16).map_err(|_| bad())).collect()
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
        assert_eq!(replay.receive().unwrap(), b"A,B,");
        assert_eq!(replay.receive().unwrap(), b"C,D\n");
        let error = replay.send(&[0, 254]).unwrap_err().to_string();
        assert!(error.contains("line 6: `\\x00\\xfe` is sent, but `\\x00\\xff` was recorded"), "{error}");
        replay.send(&[0, 255]).unwrap();
        assert_eq!(replay.receive().unwrap(), [1, 2]);
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
            ("nonsense", "line 3"),
        ] {
            std::fs::write(&path, format!("{head}{line}\n")).unwrap();
            let error = DialogueReplay::open(&path).unwrap_err().to_string();
            assert!(error.contains("line 3: ") && error.contains(sentence), "{error}");
        }
        std::fs::write(&path, "{}\n").unwrap();
        assert!(DialogueReplay::open(&path).unwrap_err().to_string().contains("line 1: is not the head"));
    }
}
