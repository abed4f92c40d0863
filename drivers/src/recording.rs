//! Recorded and replayed plants: every set of controls and every batch of shots, as lines of JSON.
//!
//! The first line is the plant's card; each other line is one call with its answer. A replayed plant refuses whatever
//! deviates from the recording, and says where.

use std::fs::File;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use serde::{Deserialize, Deserializer, Serialize};

use crate::{
    Allowance, Bank, Batch, Card, Error, Identity, MEBIBYTE, Origin, Plant, Ports, Range, Timing, open_bounded,
};

/// The most that is read of a recording.
pub(crate) const MOST_BYTES: u64 = 4096 * MEBIBYTE;

/// One line of a recording.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "call", rename_all = "kebab-case")]
enum Line {
    Card {
        system: String,
        serial: String,
        origin: String,
        timing: [f64; 3],
        inputs: Vec<BankLine>,
        controls: Vec<BankLine>,
        outputs: Vec<BankLine>,
    },
    Apply {
        controls: Vec<f32>,
        applied: Vec<f32>,
    },
    Measure {
        shots: usize,
        inputs: Vec<f32>,
        #[serde(deserialize_with = "readings")]
        outputs: Vec<f32>,
    },
    MakeSafe,
}

/// Readings; one that was no number is written as `null`, as JSON has it.
fn readings<'a, D: Deserializer<'a>>(source: D) -> Result<Vec<f32>, D::Error> {
    let values = Vec::<Option<f32>>::deserialize(source)?;
    Ok(values.into_iter().map(|value| value.unwrap_or(f32::NAN)).collect())
}

/// A bank: name, count, unit, lowest, highest.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct BankLine(String, usize, String, f32, f32);

/// A plant that writes down all that is asked of it and all that it answers.
pub struct Recorded<P> {
    plant: P,
    /// Made by the first call that is recorded.
    file: Option<File>,
    path: PathBuf,
}

impl<P: Plant> Recorded<P> {
    /// Records `plant` to a new file, which is made when the plant is first asked something.
    pub fn create(plant: P, path: &Path) -> Result<Self, Error> {
        if path.exists() {
            return Err(Error::recording(
                path,
                "exists already, and a recording is never overwritten: move it away, or name another file".to_owned(),
            ));
        }
        Ok(Self { plant, file: None, path: path.to_owned() })
    }

    /// Adds one line, whole; before the first, the card.
    fn write(&mut self, line: &Line) -> Result<(), Error> {
        let failed = |message: String| Error::recording(&self.path, format!("cannot be written: {message}"));
        let text = |line: &Line| {
            serde_json::to_string(line).map(|text| text + "\n").map_err(|error| failed(error.to_string()))
        };
        let (mut lines, card) = (text(line)?, text(&card_line(self.plant.card()))?);
        let file = match &mut self.file {
            Some(file) => file,
            none => {
                lines = card + &lines;
                none.insert(File::create_new(&self.path).map_err(|error| failed(error.to_string()))?)
            }
        };
        file.write_all(lines.as_bytes()).map_err(|error| failed(error.to_string()))
    }
}

impl<P: Plant> Plant for Recorded<P> {
    fn card(&self) -> &Card {
        self.plant.card()
    }

    fn apply(&mut self, controls: &[f32]) -> Result<Vec<f32>, Error> {
        let applied = self.plant.apply(controls)?;
        self.write(&Line::Apply { controls: controls.to_vec(), applied: applied.clone() })?;
        Ok(applied)
    }

    fn measure(&mut self, inputs: &Batch) -> Result<Batch, Error> {
        let outputs = self.plant.measure(inputs)?;
        self.write(&Line::Measure {
            shots: inputs.rows(),
            inputs: inputs.values().to_vec(),
            outputs: outputs.values().to_vec(),
        })?;
        Ok(outputs)
    }

    fn make_safe(&mut self) -> Result<(), Error> {
        // The plant first: a full disk must not keep it from being safe, nor say that it is not. A replay needs no such line.
        self.plant.make_safe()?;
        let _ = self.write(&Line::MakeSafe);
        Ok(())
    }

    fn spend_from(&mut self, allowance: Allowance) {
        self.plant.spend_from(allowance);
    }

    fn shots_at_once(&self) -> usize {
        self.plant.shots_at_once()
    }

    fn show_all(&mut self) {
        self.plant.show_all();
    }
}

/// Where a replay is in its recording: how many calls have been answered. All copies move together.
#[derive(Debug, Clone, Default)]
pub struct Playhead(Arc<AtomicUsize>);

impl Playhead {
    /// Calls that have been answered.
    pub fn at(&self) -> usize {
        self.0.load(Ordering::Relaxed)
    }

    /// The next call is the one after so many.
    pub fn go_to(&self, calls: usize) {
        self.0.store(calls, Ordering::Relaxed);
    }
}

/// A plant that answers as a recording did.
#[derive(Debug)]
pub struct Replayed {
    card: Card,
    path: PathBuf,
    /// All calls but those that made it safe: a replay needs none.
    calls: Vec<(usize, Line)>,
    playhead: Playhead,
}

impl Replayed {
    /// Opens a recording.
    pub fn open(path: &Path) -> Result<Self, Error> {
        let file = open_bounded(path, MOST_BYTES)
            .map_err(|source| Error::recording(path, format!("cannot be read: {source}")))?;
        Self::read(path, BufReader::new(file))
    }

    /// Reads a recording; `path` is its name in errors.
    pub fn read(path: &Path, recording: impl BufRead) -> Result<Self, Error> {
        let mut lines = Vec::new();
        for (index, text) in recording.lines().enumerate() {
            let bad = |message: String| Error::recording(path, format!("line {}: {message}", index + 1));
            let text = text.map_err(|error| bad(error.to_string()))?;
            lines.push((index + 1, serde_json::from_str::<Line>(&text).map_err(|error| bad(error.to_string()))?));
        }
        let Some((_, Line::Card { .. })) = lines.first() else {
            return Err(Error::recording(path, "line 1: is not the card of a plant".to_owned()));
        };
        let card = read_card(&lines.remove(0).1);
        let bad = |line: usize, message| Error::recording(path, format!("line {line}: {message}"));
        if let Some(complaint) = card.complaint() {
            return Err(bad(1, complaint));
        }
        lines.iter().try_for_each(|(number, line)| fits(&card, line).map_err(|message| bad(*number, message)))?;
        lines.retain(|(_, line)| *line != Line::MakeSafe);
        Ok(Self { card, path: path.to_owned(), calls: lines, playhead: Playhead::default() })
    }

    /// Where it is, for whoever goes on with it another time.
    pub fn playhead(&self) -> Playhead {
        self.playhead.clone()
    }

    /// The next call, which must be what `expected` recognizes.
    fn next<T>(&mut self, what: &str, expected: impl FnOnce(&Line) -> Option<T>) -> Result<T, Error> {
        let at = self.playhead.at();
        let Some((number, line)) = self.calls.get(at) else {
            return Err(Error::recording(
                &self.path,
                format!("ends before this {what}: the replay asks for more than was recorded"),
            ));
        };
        self.playhead.go_to(at + 1);
        expected(line)
            .ok_or_else(|| Error::recording(&self.path, format!("line {number}: this {what} is not what was recorded")))
    }
}

impl Plant for Replayed {
    fn card(&self) -> &Card {
        &self.card
    }

    fn apply(&mut self, controls: &[f32]) -> Result<Vec<f32>, Error> {
        self.next("apply", |line| match line {
            Line::Apply { controls: recorded, applied } if recorded == controls => Some(applied.clone()),
            _ => None,
        })
    }

    /// A batch may have been measured in pieces.
    fn measure(&mut self, inputs: &Batch) -> Result<Batch, Error> {
        let (mut rest, mut outputs) = (inputs.values(), Vec::new());
        loop {
            let piece = self.next("measure", |line| match line {
                Line::Measure { inputs: recorded, outputs, .. }
                    if rest.starts_with(recorded) && recorded.is_empty() == rest.is_empty() =>
                {
                    Some((recorded.len(), outputs.clone()))
                }
                _ => None,
            })?;
            outputs.extend(piece.1);
            rest = &rest[piece.0..];
            if rest.is_empty() {
                return Batch::new(self.card.ports.output_count(), outputs);
            }
        }
    }

    fn make_safe(&mut self) -> Result<(), Error> {
        Ok(())
    }

    fn shots_at_once(&self) -> usize {
        match self.calls.get(self.playhead.at()) {
            Some((_, Line::Measure { shots, .. })) => *shots,
            _ => usize::MAX,
        }
    }
}

/// The card as a line.
fn card_line(card: &Card) -> Line {
    let banks = |banks: &[Bank]| {
        banks
            .iter()
            .map(|bank| BankLine(bank.name.clone(), bank.count, bank.unit.clone(), bank.range.low, bank.range.high))
            .collect()
    };
    Line::Card {
        system: card.identity.system.clone(),
        serial: card.identity.serial.clone(),
        origin: card.identity.origin.to_string(),
        timing: [card.timing.settle, card.timing.latency, card.timing.shot],
        inputs: banks(&card.ports.inputs),
        controls: banks(&card.ports.controls),
        outputs: banks(&card.ports.outputs),
    }
}

/// Refuses a call whose values do not fill the ports.
fn fits(card: &Card, line: &Line) -> Result<(), String> {
    let fill = |shots: usize, count: usize, values: &[f32]| shots.checked_mul(count) == Some(values.len());
    let ports = &card.ports;
    let is_whole = match line {
        Line::Card { .. } => return Err("is a second card: a recording is of one plant".to_owned()),
        Line::Apply { controls, applied } => [controls, applied].iter().all(|row| fill(1, ports.control_count(), row)),
        Line::Measure { shots, inputs, outputs } => {
            fill(*shots, ports.input_count(), inputs) && fill(*shots, ports.output_count(), outputs)
        }
        Line::MakeSafe => true,
    };
    if is_whole { Ok(()) } else { Err("has values that do not fill the ports of the card".to_owned()) }
}

/// The card from its line; whatever was recorded is now replayed.
fn read_card(line: &Line) -> Card {
    let banks = |banks: &[BankLine]| {
        banks
            .iter()
            .map(|BankLine(name, count, unit, low, high)| Bank::new(name, *count, unit, Range::new(*low, *high)))
            .collect()
    };
    match line {
        Line::Card { system, serial, timing: [settle, latency, shot], inputs, controls, outputs, .. } => Card {
            identity: Identity { system: system.clone(), serial: serial.clone(), origin: Origin::Replayed },
            ports: Ports { inputs: banks(inputs), controls: banks(controls), outputs: banks(outputs) },
            timing: Timing { settle: *settle, latency: *latency, shot: *shot },
        },
        _ => unreachable!("`open` has checked that the first line is a card"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Reads the sum of its inputs times its control.
    struct Adder {
        card: Card,
        gain: f32,
    }

    impl Adder {
        fn new() -> Self {
            let wide = Range::new(-10.0, 10.0);
            let identity = Identity { system: "adder".into(), serial: "1".into(), origin: Origin::Real };
            let ports = Ports {
                inputs: vec![Bank::new("x", 2, "V", wide)],
                controls: vec![Bank::new("gain", 1, "1", wide)],
                outputs: vec![Bank::new("y", 1, "V", wide)],
            };
            Self { card: Card { identity, ports, timing: Timing { settle: 0.1, latency: 0.2, shot: 0.3 } }, gain: 0.0 }
        }
    }

    impl Plant for Adder {
        fn card(&self) -> &Card {
            &self.card
        }
        fn apply(&mut self, controls: &[f32]) -> Result<Vec<f32>, Error> {
            self.gain = controls[0].round();
            Ok(vec![self.gain])
        }
        fn measure(&mut self, inputs: &Batch) -> Result<Batch, Error> {
            Ok(Batch::from_fn(inputs.rows(), 1, |row, _| self.gain * inputs.row(row).iter().sum::<f32>()))
        }
        fn make_safe(&mut self) -> Result<(), Error> {
            self.gain = 0.0;
            Ok(())
        }
    }

    #[test]
    fn a_replay_answers_as_the_plant_did_and_refuses_deviations() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("adder.jsonl");
        let inputs = Batch::new(2, vec![0.1, 0.2, 1.0 / 3.0, 0.7]).unwrap();
        let mut recorded = Recorded::create(Adder::new(), &path).unwrap();
        assert_eq!(recorded.apply(&[1.9]).unwrap(), [2.0]);
        let readings = recorded.measure(&inputs).unwrap();
        recorded.make_safe().unwrap();
        assert!(Recorded::create(Adder::new(), &path).is_err(), "a recording is never overwritten");

        let mut replayed = Replayed::open(&path).unwrap();
        assert_eq!(replayed.card().identity.origin, Origin::Replayed);
        assert_eq!(replayed.ports(), recorded.ports());
        assert_eq!(replayed.apply(&[1.9]).unwrap(), [2.0]);
        assert_eq!(replayed.measure(&inputs).unwrap(), readings);
        let error = replayed.measure(&inputs).unwrap_err().to_string();
        assert!(error.contains("ends before this measure"), "{error}");

        // The same batch in two pieces, which an interlock would look between.
        let pieces = folder.path().join("pieces.jsonl");
        let mut recorded = Recorded::create(Adder::new(), &pieces).unwrap();
        recorded.apply(&[1.9]).unwrap();
        for row in &inputs {
            recorded.measure(&Batch::new(2, row.to_vec()).unwrap()).unwrap();
        }
        let mut replayed = Replayed::open(&pieces).unwrap();
        replayed.apply(&[1.9]).unwrap();
        assert_eq!(replayed.shots_at_once(), 1);
        assert_eq!(replayed.measure(&inputs).unwrap(), readings);

        let mut replayed = Replayed::open(&path).unwrap();
        replayed.apply(&[1.9]).unwrap();
        replayed.measure(&inputs).unwrap();
        let mut later = Replayed::open(&path).unwrap();
        later.playhead().go_to(1);
        assert_eq!(later.measure(&inputs).unwrap(), readings);
        assert_eq!(later.playhead().at(), replayed.playhead().at());

        let mut replayed = Replayed::open(&path).unwrap();
        let error = replayed.apply(&[1.8]).unwrap_err().to_string();
        assert!(error.contains("line 2: this apply is not what was recorded"), "{error}");
        std::fs::write(&path, "{}\n").unwrap();
        assert!(Replayed::open(&path).unwrap_err().to_string().contains("line 1"));
    }

    #[test]
    fn a_recording_that_makes_no_sense_is_refused_with_its_line() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("adder.jsonl");
        let mut recorded = Recorded::create(Adder::new(), &path).unwrap();
        recorded.measure(&Batch::zeros(1, 2)).unwrap();
        let good = std::fs::read_to_string(&path).unwrap();
        let card = good.lines().next().unwrap();
        for (from, to, sentence) in [
            ("[\"x\",2,", "[\"x\",18446744073709551615,", "line 1: has 18446744073709551615 ports"),
            ("\"shots\":1", "\"shots\":2", "line 2: has values that do not fill"),
            ("\"outputs\":[0.0]", "\"outputs\":[0.0,0.0]", "line 2: has values that do not fill"),
            ("{\"call\":\"measure\"", &format!("{card}\n{{\"call\":\"measure\""), "line 2: is a second card"),
        ] {
            let bad = good.replace(from, to);
            assert_ne!(bad, good, "{from}");
            let error = Replayed::read(&path, bad.as_bytes()).unwrap_err().to_string();
            assert!(error.contains(sentence), "{error}");
        }
    }
}
