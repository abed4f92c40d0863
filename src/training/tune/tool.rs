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
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use calibration::Signature;
use drivers::{MEBIBYTE, read_bounded};
use rustix::process::{Pid, Signal, kill_process_group};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Range, Turned};
use crate::Error;
use crate::document::{Document, name_complaint};
use crate::plants::{Derivatives, Lab, NO_RIG};
use crate::stop;

/// The most that is read of an output.
const MOST: u64 = 256 * MEBIBYTE;
/// Values of a row of its signature.
const COLUMNS: usize = 32;
/// What stands for the file that a program writes.
const OUTPUT: &str = "output";
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
        if let Some(complaint) = name_complaint(&file.name) {
            return Err(document.refuse("name", complaint));
        }
        if file.ending.contains(['/', '\\']) {
            return Err(document.refuse("ending", "holds a slash: write how the name of a file ends, such as `.wav`"));
        }
        if file.knobs.is_empty() || file.tool.is_empty() {
            return Err(document.refuse("knobs", "or `tool` is empty: name a program, and what it is told"));
        }
        if file.knobs.contains_key(OUTPUT) {
            let message = "has the name of the file that the program writes: give the knob another name";
            return Err(document.refuse(&format!("knobs.{OUTPUT}"), message));
        }
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
    /// What the reference is, once it was read.
    wanted: Option<&'static str>,
    /// No plants, and whoever may hold or end the search.
    pub lab: Lab,
}

impl<'a> Tool<'a> {
    /// `file` in `folder`; its output goes to a file in `scratch`.
    pub fn new(file: &'a ToolFile, folder: &Path, scratch: &Path) -> Result<Self, Error> {
        let here = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
        let output = scratch.join(format!("{}-{OUTPUT}{}", file.name, file.ending));
        Ok(Self { file, folder: here.to_owned(), output, wanted: None, lab: Lab::new(vec![], Derivatives::Twin)? })
    }

    /// Where its output goes.
    pub fn output(&self) -> &Path {
        &self.output
    }

    /// The signature of the reference.
    pub fn reference(&mut self) -> Result<Signature, Error> {
        let (kind, signature) = self.signature(&self.folder.join(&self.file.reference))?;
        self.wanted = Some(kind);
        Ok(signature)
    }

    /// What kind of file it is, and its signature.
    fn signature(&self, path: &Path) -> Result<(&'static str, Signature), Error> {
        let bytes = read_bounded(path, MOST)
            .map_err(|error| Error::Data(format!("{}: cannot be read: {error}", path.display())))?;
        let (kind, mut values) = numbers(&bytes);
        if let Some(place) = values.iter().position(|value| !value.is_finite()) {
            return Err(Error::Data(format!(
                "{}: number {} is {}, which nothing can be compared with: take another reference, or narrow the ranges of the knobs",
                path.display(),
                place + 1,
                values[place]
            )));
        }
        if values.len() < 2 * COLUMNS {
            return Err(Error::Data(format!(
                "{}: holds {} values: at least {} are needed to compare",
                path.display(),
                values.len(),
                2 * COLUMNS
            )));
        }
        values.truncate(values.len() / COLUMNS * COLUMNS);
        Ok((kind, Signature::of(&self.file.name, &values, COLUMNS)))
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
            let word = word.replace(&format!("{{{OUTPUT}}}"), &output.to_string_lossy());
            named.fold(word, |word, (name, value)| word.replace(&format!("{{{name}}}"), &value.to_string()))
        });
        let bad = |message: String| Error::Usage(format!("tool `{}`: {message}", self.file.name));
        let program = words.next().ok_or_else(|| bad("names no program".to_owned()))?;
        drop(std::fs::remove_file(&output));
        let mut command = Command::new(&program);
        // In a group of its own: Ctrl-C is for whoever searches, and what the program has started ends with it.
        command.args(words).current_dir(&self.folder).process_group(0);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let mut child = command.spawn().map_err(|error| bad(format!("`{program}` cannot be started: {error}")))?;
        let begun = Instant::now();
        let status = loop {
            if let Some(status) = child.try_wait().map_err(|error| bad(error.to_string()))? {
                break status;
            }
            if LONGEST < begun.elapsed() || stop::requested() {
                end(&mut child);
                return Err(if stop::requested() {
                    Error::TuningStopped
                } else {
                    bad(format!("`{program}` took longer than {} s with {values:?}", LONGEST.as_secs()))
                });
            }
            std::thread::sleep(Duration::from_millis(1));
        };
        if !status.success() && stop::requested() {
            return Err(Error::TuningStopped);
        }
        if !status.success() {
            return Err(bad(format!("`{program}` ended with {status} for {values:?}: try the command by hand")));
        }
        if !output.is_file() {
            let message = format!("`{program}` ended well, but did not write {{{OUTPUT}}}, {}", output.display());
            return Err(bad(message));
        }
        let (kind, signature) = self.signature(&output)?;
        match self.wanted {
            Some(wanted) if wanted != kind => Err(bad(format!(
                "`{program}` writes {kind}, but the reference is {wanted}: take a reference of the same kind"
            ))),
            _ => Ok(signature),
        }
    }
}

/// Ends a program and what it has started.
fn end(child: &mut Child) {
    // It may have ended this moment.
    let _ = kill_process_group(Pid::from_child(child), Signal::KILL);
    drop(child.wait());
}

/// What a file is, and its numbers: samples of a WAV file, pixels of a PGM or PPM, a text's numbers, or else its bytes.
fn numbers(bytes: &[u8]) -> (&'static str, Vec<f64>) {
    if let Some(samples) = samples(bytes) {
        return ("a WAV file", samples);
    }
    if let Some(pixels) = pixels(bytes) {
        return ("an image", pixels);
    }
    if let Ok(text) = std::str::from_utf8(bytes) {
        let words = text.split(|letter: char| letter.is_whitespace() || letter == ',' || letter == ';');
        let numbers: Vec<f64> = words.filter_map(|word| word.parse().ok()).collect();
        if !numbers.is_empty() {
            return ("a text of numbers", numbers);
        }
    }
    ("a file of bytes", bytes.iter().map(|byte| f64::from(*byte) / 255.0).collect())
}

/// The samples of a WAV file, chunk by chunk; none where it is none, or its samples are coded otherwise than as whole or single-precision numbers.
fn samples(bytes: &[u8]) -> Option<Vec<f64>> {
    if !bytes.starts_with(b"RIFF") || bytes.get(8..12) != Some(&b"WAVE"[..]) {
        return None;
    }
    let (mut at, mut format, mut size) = (12, 0, 0);
    loop {
        let head = bytes.get(at..at + 8)?;
        let length = u32::from_le_bytes([head[4], head[5], head[6], head[7]]) as usize;
        let body = bytes.get(at + 8..)?;
        // Who writes into a pipe does not know the length, and gives a larger one.
        let body = &body[..length.min(body.len())];
        let word = |at: usize| body.get(at..at + 2).map_or(0, |pair| u16::from_le_bytes([pair[0], pair[1]]));
        match &head[..4] {
            // An extended description says the format behind itself.
            b"fmt " => (format, size) = (if word(0) == 0xFFFE { word(24) } else { word(0) }, usize::from(word(14) / 8)),
            b"data" if 0 < size => return body.chunks_exact(size).map(|part| sample(format, part)).collect(),
            _ => {}
        }
        at += 8 + length + length % 2;
    }
}

/// One sample: format 1 are whole numbers, 3 are those with a point.
fn sample(format: u16, part: &[u8]) -> Option<f64> {
    let mut wide = [0; 4];
    wide.get_mut(4_usize.checked_sub(part.len())?..)?.copy_from_slice(part);
    match (format, part) {
        // Eight bits have no sign.
        (1, [byte]) => Some((f64::from(*byte) - 128.0) / 128.0),
        (1, _) => Some(f64::from(i32::from_le_bytes(wide)) / 2_147_483_648.0),
        (3, [_, _, _, _]) => Some(f64::from(f32::from_le_bytes(wide))),
        _ => None,
    }
}

/// The pixels of a PGM or PPM; none where it is none.
fn pixels(bytes: &[u8]) -> Option<Vec<f64>> {
    if !(bytes.starts_with(b"P5") || bytes.starts_with(b"P6")) {
        return None;
    }
    // Width, height and the largest value, with white and comments before each.
    let (mut at, mut most) = (2, 0);
    for _ in 0..3 {
        loop {
            match bytes.get(at)? {
                b'#' => at += bytes[at..].iter().position(|byte| *byte == b'\n')?,
                byte if byte.is_ascii_whitespace() => at += 1,
                _ => break,
            }
        }
        let digits = bytes[at..].iter().take_while(|byte| byte.is_ascii_digit()).count();
        most = std::str::from_utf8(&bytes[at..at + digits]).ok()?.parse().ok().filter(|most: &u16| 0 < *most)?;
        at += digits;
    }
    let pixels = bytes.get(at + 1..)?;
    let share = |value: u16| f64::from(value) / f64::from(most);
    Some(if most < 256 {
        pixels.iter().map(|byte| share(u16::from(*byte))).collect()
    } else {
        pixels.chunks_exact(2).map(|pair| share(u16::from_be_bytes([pair[0], pair[1]]))).collect()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A WAV file with a chunk of an odd length before its samples and one behind them.
    fn wave(format: u16, bits: u16, data: &[u8]) -> Vec<u8> {
        let chunk = |name: &[u8; 4], body: &[u8]| {
            let mut chunk = [&name[..], &(body.len() as u32).to_le_bytes()[..], body].concat();
            chunk.resize(chunk.len().next_multiple_of(2), 0);
            chunk
        };
        let words = [format, 1, 8000, 0, 0, 0, 0, bits];
        let description: Vec<u8> = words.iter().flat_map(|word| word.to_le_bytes()).collect();
        let chunks =
            [chunk(b"LIST", b"of data"), chunk(b"fmt ", &description), chunk(b"data", data), chunk(b"LIST", b"end")];
        [&b"RIFF\0\0\0\0WAVE"[..], &chunks.concat()[..]].concat()
    }

    #[test]
    fn numbers_are_found_in_what_programs_write() {
        assert_eq!(numbers(b"a,1.5\n2e1;x 3\n"), ("a text of numbers", vec![1.5, 20.0, 3.0]));
        assert_eq!(numbers(&[0xFF, 0xFE, 0x00]), ("a file of bytes", vec![1.0, 254.0 / 255.0, 0.0]));
        for image in [
            &b"P5\n2 1\n255\n\x00\xff"[..],
            &b"P5\n# by hand\n2 # wide\n1 100 \x00\x64"[..],
            &b"P5 2 1 1000 \0\0\x03\xe8"[..],
        ] {
            assert_eq!(numbers(image), ("an image", vec![0.0, 1.0]), "{image:?}");
        }
        let of = |format, bits, data: &[u8]| numbers(&wave(format, bits, data));
        let halves = ("a WAV file", vec![0.5, -0.5]);
        assert_eq!(of(1, 8, &[0xC0, 0x40]), halves);
        assert_eq!(of(1, 16, &[0, 0x40, 0, 0xC0]), halves);
        assert_eq!(of(1, 24, &[0, 0, 0x40, 0, 0, 0xC0]), halves);
        assert_eq!(of(1, 32, &[0, 0, 0, 0x40, 0, 0, 0, 0xC0]), halves);
        assert_eq!(of(3, 32, &[0.5_f32.to_le_bytes(), (-0.5_f32).to_le_bytes()].concat()), halves);
        assert_eq!(of(3, 64, &0.5_f64.to_le_bytes()).0, "a file of bytes", "nobody guesses");
    }

    #[test]
    fn what_is_no_number_and_what_is_of_another_kind_are_refused() {
        let folder = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| std::fs::write(folder.path().join(name), text).unwrap();
        write("wanted", &"1 2 3 4\n".repeat(20));
        write("holed", &"1 nan 3 4\n".repeat(20));
        let file = |reference: &str, words: &[&str]| ToolFile {
            name: "copy".to_owned(),
            tool: words.iter().map(|word| (*word).to_owned()).collect(),
            ending: String::new(),
            reference: reference.into(),
            knobs: BTreeMap::new(),
        };
        let read = |file: &ToolFile| {
            let mut tool = Tool::new(file, folder.path(), folder.path()).unwrap();
            tool.reference().and_then(|_| tool.read(&[])).map(drop).map_err(|error| error.to_string())
        };
        assert!(read(&file("holed", &["true"])).unwrap_err().contains("number 2 is NaN"));
        let said = read(&file("wanted", &["true"])).unwrap_err();
        assert!(said.contains("`true` ended well, but did not write {output}"), "{said}");
        read(&file("wanted", &["cp", "wanted", "{output}"])).unwrap();
        write("words", &"word\n".repeat(40));
        let said = read(&file("wanted", &["cp", "words", "{output}"])).unwrap_err();
        assert!(said.contains("`cp` writes a file of bytes, but the reference is a text of numbers"), "{said}");
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
        let whole = text("[\"a\", \"{gain}\", \"{output}\"]");
        assert!(read(&whole.replace("\"f\"", "\"../f\"")).unwrap_err().contains("`name` holds the character '/'"));
        let ending = whole.replace("reference", "ending = \"/x\"\nreference");
        assert!(read(&ending).unwrap_err().contains("`ending` holds a slash"));
        assert!(
            read(&whole.replace("gain", "output")).unwrap_err().contains("`knobs.output` has the name of the file")
        );
    }
}
