//! A program whose output file is compared with a reference: what it is told is turned like the knobs of a bench.
//!
//! ```toml
//! name = "filter"
//! tool = ["sox", "in.wav", "{output}", "gain", "{gain}"]     # {output}: the file that it writes; {NAME}: a knob
//! ending = ".wav"                                            # of the file that it writes
//! reference = "wanted.wav"                                   # what its output should be like
//!
//! [knobs.gain]
//! low = -20.0
//! high = 20.0
//! value = 0.0
//! unit = "dB"
//! ```

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use calibration::Signature;
use drivers::{MEBIBYTE, read_bounded};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Range, Turned};
use crate::Error;
use crate::document::Document;
use crate::plants::{Derivatives, Lab, NO_RIG};
use crate::stop;

/// The most that is read of an output.
const MOST: u64 = 256 * MEBIBYTE;
/// Values of a row of its signature.
const COLUMNS: usize = 32;
/// How long a program may take for one setting.
const LONGEST: Duration = Duration::from_mins(1);

/// A file that describes a program with knobs.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ToolFile {
    /// What it is called.
    pub name: String,
    /// The program and what it is told: `{NAME}` is a knob, `{output}` the file that it writes.
    pub tool: Vec<String>,
    /// How the name of its output ends, such as `.wav`.
    #[serde(default)]
    pub ending: String,
    /// What its output is to be like: a file of the same kind, made of the same input. Relative paths count from the folder of this file.
    pub reference: PathBuf,
    /// What is turned.
    pub knobs: BTreeMap<String, ToolKnob>,
}

/// A number that a program is told.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ToolKnob {
    /// Smallest value.
    #[schemars(range(min = -1e12, max = 1e12))]
    pub low: f32,
    /// Largest value.
    #[schemars(range(min = -1e12, max = 1e12))]
    pub high: f32,
    /// Where the search begins.
    #[schemars(range(min = -1e12, max = 1e12))]
    pub value: f32,
    /// Its unit.
    #[serde(default)]
    pub unit: String,
}

impl ToolFile {
    /// The file at `path`, if it describes a program.
    pub fn read(path: &Path) -> Result<Option<Self>, Error> {
        let document = Document::read(path, NO_RIG)?;
        if document.table().get("tool").is_none() {
            return Ok(None);
        }
        let file: Self = document.check()?;
        for (name, knob) in &file.knobs {
            let refuse = |key: &str, message: String| Err(document.refuse(&format!("knobs.{name}{key}"), message));
            if knob.low.partial_cmp(&knob.high) != Some(std::cmp::Ordering::Less) {
                return refuse(".high", format!("is {}, which is not above `low`, {}", knob.high, knob.low));
            }
            if !(knob.low..=knob.high).contains(&knob.value) {
                return refuse(".value", format!("is {}: it must be from {} to {}", knob.value, knob.low, knob.high));
            }
            if !file.tool.iter().any(|word| word.contains(&format!("{{{name}}}"))) {
                return refuse("", format!("stands nowhere in `tool`: write {{{name}}} where its value belongs"));
            }
        }
        if file.knobs.is_empty() || file.tool.is_empty() {
            return Err(document.refuse("knobs", "or `tool` is empty: name a program, and what it is told"));
        }
        if !file.tool.iter().any(|word| word.contains("{output}")) {
            return Err(document
                .refuse("tool", "does not name its output: write {output} where the file that it writes belongs"));
        }
        Ok(Some(file))
    }

    /// What is turned.
    pub fn ranges(&self) -> Vec<Range> {
        let of = |(name, knob): (&String, &ToolKnob)| Range {
            name: name.clone(),
            unit: knob.unit.clone(),
            low: knob.low,
            high: knob.high,
            value: knob.value,
        };
        self.knobs.iter().map(of).collect()
    }
}

/// The program, as something that is turned.
pub struct Tool<'a> {
    file: &'a ToolFile,
    /// Its folder, where it is run.
    folder: PathBuf,
    output: PathBuf,
    /// No plants, and whoever may hold or end the search.
    pub lab: Lab,
}

impl<'a> Tool<'a> {
    /// `file` in `folder`; its output goes to a file in `scratch`.
    pub fn new(file: &'a ToolFile, folder: &Path, scratch: &Path) -> Result<Self, Error> {
        let here = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
        let output = scratch.join(format!("output{}", file.ending));
        Ok(Self { file, folder: here.to_owned(), output, lab: Lab::new(vec![], Derivatives::Twin)? })
    }

    /// The signature of the reference.
    pub fn reference(&self) -> Result<Signature, Error> {
        self.signature(&self.folder.join(&self.file.reference))
    }

    fn signature(&self, path: &Path) -> Result<Signature, Error> {
        let bytes = read_bounded(path, MOST)
            .map_err(|error| Error::Data(format!("{}: cannot be read: {error}", path.display())))?;
        let mut values = numbers(&bytes);
        if values.len() < 2 * COLUMNS {
            return Err(Error::Data(format!(
                "{}: holds {} values: at least {} are needed to compare",
                path.display(),
                values.len(),
                2 * COLUMNS
            )));
        }
        values.truncate(values.len() / COLUMNS * COLUMNS);
        Ok(Signature::of(&self.file.name, &values, COLUMNS))
    }
}

impl Turned for Tool<'_> {
    fn gate(&mut self) -> Result<(), Error> {
        self.lab.between()?;
        if stop::requested() { Err(Error::TuningStopped) } else { Ok(()) }
    }

    fn read(&mut self, values: &[f32]) -> Result<Signature, Error> {
        let output = std::path::absolute(&self.output).unwrap_or_else(|_| self.output.clone());
        let mut words = self.file.tool.iter().map(|word| {
            let named = self.file.knobs.keys().zip(values);
            let word = word.replace("{output}", &output.to_string_lossy());
            named.fold(word, |word, (name, value)| word.replace(&format!("{{{name}}}"), &value.to_string()))
        });
        let bad = |message: String| Error::Usage(format!("tool `{}`: {message}", self.file.name));
        let program = words.next().ok_or_else(|| bad("names no program".to_owned()))?;
        drop(std::fs::remove_file(&output));
        let mut command = Command::new(&program);
        command.args(words).current_dir(&self.folder).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let mut child = command.spawn().map_err(|error| bad(format!("`{program}` cannot be started: {error}")))?;
        let begun = Instant::now();
        let status = loop {
            if let Some(status) = child.try_wait().map_err(|error| bad(error.to_string()))? {
                break status;
            }
            if LONGEST < begun.elapsed() || stop::requested() {
                drop(child.kill());
                drop(child.wait());
                return Err(if stop::requested() {
                    Error::TuningStopped
                } else {
                    bad(format!("`{program}` took longer than {} s with {values:?}", LONGEST.as_secs()))
                });
            }
            std::thread::sleep(Duration::from_millis(1));
        };
        if !status.success() {
            return Err(bad(format!("`{program}` ended with {status} for {values:?}: try the command by hand")));
        }
        self.signature(&output)
    }
}

/// The numbers of a file: samples of a WAV file of 16 bits, pixels of a PGM or PPM, a text's numbers, or else its bytes.
fn numbers(bytes: &[u8]) -> Vec<f64> {
    if bytes.starts_with(b"RIFF")
        && let Some(at) = bytes.windows(4).position(|word| word == b"data")
    {
        let samples = bytes.get(at + 8..).unwrap_or_default();
        return samples
            .chunks_exact(2)
            .map(|pair| f64::from(i16::from_le_bytes([pair[0], pair[1]])) / 32768.0)
            .collect();
    }
    if bytes.starts_with(b"P5") || bytes.starts_with(b"P6") {
        // Magic, width, height and maximum, each before one white byte.
        let mut whites = bytes.iter().enumerate().filter(|(_, byte)| byte.is_ascii_whitespace()).map(|(at, _)| at);
        let first = whites.nth(3).map_or(0, |at| at + 1);
        return bytes.get(first..).unwrap_or_default().iter().map(|byte| f64::from(*byte) / 255.0).collect();
    }
    if let Ok(text) = std::str::from_utf8(bytes) {
        let words = text.split(|letter: char| letter.is_whitespace() || letter == ',' || letter == ';');
        let numbers: Vec<f64> =
            words.filter_map(|word| word.parse().ok()).filter(|value: &f64| value.is_finite()).collect();
        if !numbers.is_empty() {
            return numbers;
        }
    }
    bytes.iter().map(|byte| f64::from(*byte) / 255.0).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_found_in_what_programs_write() {
        assert_eq!(numbers(b"a,1.5\n2e1;x 3\n"), [1.5, 20.0, 3.0]);
        assert_eq!(numbers(b"P5\n2 1\n255\n\x00\xff"), [0.0, 1.0]);
        let mut wave = b"RIFF....WAVEfmt data".to_vec();
        wave.extend([0, 0, 0, 0, 0, 0x40, 0, 0xC0]);
        assert_eq!(numbers(&wave), [0.5, -0.5]);
        assert_eq!(numbers(&[0xFF, 0xFE, 0x00]), [1.0, 254.0 / 255.0, 0.0]);
    }

    #[test]
    fn a_file_without_a_place_for_a_knob_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("tool.toml");
        let read = |text: &str| {
            std::fs::write(&path, text).unwrap();
            ToolFile::read(&path).map_err(|error| error.to_string())
        };
        let knob = "[knobs.gain]\nlow = 0.0\nhigh = 1.0\nvalue = 0.5\n";
        let text = |tool: &str| format!("name = \"f\"\ntool = {tool}\nreference = \"r\"\n{knob}");
        assert!(read(&text("[\"a\", \"{output}\"]")).unwrap_err().contains("`knobs.gain` stands nowhere in `tool`"));
        assert!(read(&text("[\"a\", \"{gain}\"]")).unwrap_err().contains("does not name its output"));
        let file = read(&text("[\"a\", \"{gain}\", \"{output}\"]")).unwrap().unwrap();
        assert_eq!(file.ranges()[0].value, 0.5);
        assert!(read("name = \"r\"\n[plants]\n").unwrap().is_none(), "a rig is no program");
    }
}
