//! The settings that a search has tried, line by line on disk, so that it can go on where it was.

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use crate::Error;
use crate::record::read_text;

/// One setting that is known.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Known {
    /// The knobs.
    pub values: Vec<f32>,
    /// The squared distance from the reference.
    pub squared: f64,
    /// Where what is turned was in its life after it.
    pub moment: String,
}

/// One search on disk: what was asked, and each setting with its squared distance.
#[derive(Debug)]
pub struct Journal {
    path: PathBuf,
    file: File,
    /// The settings that are known.
    pub known: Vec<Known>,
}

impl Journal {
    /// A new search; what was there before is replaced.
    pub fn begin(path: &Path, asked: &Value) -> Result<Self, Error> {
        if let Some(parent) = path.parent() {
            std::fs::create_dir_all(parent).map_err(Error::chosen(parent, "cannot be made", "--out"))?;
        }
        let mut file = File::create(path).map_err(Error::chosen(path, "cannot be written", "--out"))?;
        writeln!(file, "{}", json!({ "asked": asked })).map_err(Error::chosen(path, "cannot be written", "--out"))?;
        Ok(Self { path: path.to_owned(), file, known: vec![] })
    }

    /// The search that was begun there, if it was asked the same.
    pub fn go_on(path: &Path, asked: &Value) -> Result<Self, Error> {
        let bad = |message: String| Error::Record { path: path.to_owned(), message };
        let text = read_text(path).map_err(|error| bad(format!("cannot be read: {error}. Begin without --resume")))?;
        // A line that was being written when the program ended is not there.
        let whole = text.rfind('\n').map_or("", |end| &text[..=end]);
        let mut lines = whole.lines().map(serde_json::from_str::<Value>);
        let first = lines.next().and_then(Result::ok).map(|line| line["asked"].clone());
        if first.as_ref() != Some(asked) {
            return Err(bad("is of a search that was asked otherwise: knobs, ranges, reference, evaluations, strategy and seed must be the same. Begin without --resume".to_owned()));
        }
        let known = lines.map(|line| known(&line.ok()?)).collect::<Option<Vec<Known>>>();
        let known = known.ok_or_else(|| bad("has a line that is no setting: begin without --resume".to_owned()))?;
        let mut file =
            OpenOptions::new().append(true).open(path).map_err(Error::chosen(path, "cannot be written", "--out"))?;
        if whole.len() < text.len() {
            file.set_len(whole.len() as u64).map_err(Error::chosen(path, "cannot be cut", "--out"))?;
        }
        file.flush().map_err(Error::chosen(path, "cannot be written", "--out"))?;
        Ok(Self { path: path.to_owned(), file, known })
    }

    /// Adds one setting.
    pub fn note(&mut self, tried: &Known) -> Result<(), Error> {
        // A number in JSON may lose its last digits on the way back.
        let line = json!({
            "values": tried.values, "squared_distance": tried.squared, "bits": tried.squared.to_bits(), "moment": tried.moment,
        });
        writeln!(self.file, "{line}").map_err(Error::chosen(&self.path, "cannot be written", "--out"))
    }
}

/// What a line says.
fn known(line: &Value) -> Option<Known> {
    let values = line["values"].as_array()?.iter().map(|value| value.as_f64().map(|value| value as f32));
    Some(Known {
        values: values.collect::<Option<_>>()?,
        squared: f64::from_bits(line["bits"].as_u64()?),
        moment: line["moment"].as_str()?.to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_search_goes_on_with_what_is_whole_and_only_if_it_was_asked_the_same() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("tune/rig.jsonl");
        let asked = json!({ "seed": 1 });
        let known =
            |value: f32, squared: f64| Known { values: vec![value], squared, moment: "shots = 64\n".to_owned() };
        let mut journal = Journal::begin(&path, &asked).unwrap();
        journal.note(&known(0.5, 0.25)).unwrap();
        journal.note(&known(0.1, 0.1 + 0.2)).unwrap();
        drop(journal);
        std::fs::write(&path, std::fs::read_to_string(&path).unwrap() + "{\"values\":[0.7").unwrap();
        let mut again = Journal::go_on(&path, &asked).unwrap();
        assert_eq!(again.known, [known(0.5, 0.25), known(0.1, 0.1 + 0.2)]);
        again.note(&known(0.7, 0.0625)).unwrap();
        assert_eq!(Journal::go_on(&path, &asked).unwrap().known.len(), 3);
        let refused = Journal::go_on(&path, &json!({ "seed": 2 })).unwrap_err().to_string();
        assert!(refused.contains("was asked otherwise"), "{refused}");
        assert!(
            Journal::go_on(&folder.path().join("none"), &asked)
                .unwrap_err()
                .to_string()
                .contains("Begin without --resume")
        );
    }
}
