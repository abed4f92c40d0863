//! What figures of one run read: its facts, columns of its metrics, its events.

use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::Error;
use crate::record::{catalog::whole_rows, read_facts, read_text};

/// Points of a curve at most: more would only be drawn over one another.
const POINTS: usize = 480;

/// Whether a number can be drawn: no axis reaches further, and what divides one into steps would not end.
#[expect(clippy::trivially_copy_pass_by_ref, reason = "it stands in `filter`, which lends")]
pub fn drawable(number: &f64) -> bool {
    number.abs() < 1e15
}

/// One run on disk.
pub struct RunRecord {
    folder: PathBuf,
    /// `run.json`.
    pub facts: Value,
}

impl RunRecord {
    /// The run in `folder`.
    pub fn read(folder: &Path) -> Result<Self, Error> {
        Ok(Self { folder: folder.to_owned(), facts: read_facts(folder)? })
    }

    /// Step and value of a column of the updates' rows of `metrics.csv`, averaged over neighbors where there are many.
    pub fn steps(&self, column: &str) -> Result<Vec<(f64, f64)>, Error> {
        let path = self.folder.join("metrics.csv");
        let bad = |message: String| Error::Record { path: path.clone(), message: format!("cannot be read: {message}") };
        let text = whole_rows(&self.folder)?;
        let mut reader = csv::ReaderBuilder::new().flexible(true).from_reader(text.as_slice());
        let headers = reader.headers().map_err(|error| bad(error.to_string()))?.clone();
        let place = headers.iter().position(|name| name == column);
        let place = place.ok_or_else(|| bad(format!("it has no column `{column}`")))?;
        let mut points = Vec::new();
        for row in reader.records() {
            let row = row.map_err(|error| bad(error.to_string()))?;
            let number = |place: usize| row.get(place).and_then(|field| field.parse::<f64>().ok()).filter(drawable);
            if let (Some("step"), Some(step), Some(value)) = (row.get(0), number(1), number(place)) {
                points.push((step, value));
            }
        }
        let group = points.len().div_ceil(POINTS).max(1);
        let mean = |points: &[(f64, f64)]| {
            let count = points.len() as f64;
            let sum = points.iter().fold((0.0, 0.0), |sum, point| (sum.0 + point.0, sum.1 + point.1));
            (sum.0 / count, sum.1 / count)
        };
        Ok(points.chunks(group).map(mean).collect())
    }

    /// The events called `name`, as they came; torn lines are passed over.
    pub fn events(&self, name: &str) -> Vec<Value> {
        let text = read_text(&self.folder.join("events.jsonl")).unwrap_or_default();
        let events = text.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
        events.filter(|event| event["event"] == name).collect()
    }

    /// The text of a file of the run; none where it has no such file.
    pub fn text(&self, name: &str) -> Option<String> {
        read_text(&self.folder.join(name)).ok()
    }

    /// What was measured on what, with which seed, and the command.
    pub fn caption(&self, first: &str) -> Vec<String> {
        let word = |key: &str| self.facts[key].as_str().unwrap_or("?").to_owned();
        let plants = self.facts["plants"].as_array().cloned().unwrap_or_default();
        let plants = plants.iter().map(|plant| {
            let text = |key: &str| plant[key].as_str().unwrap_or("?").to_owned();
            format!("plant {} ({}, {})", text("plant"), text("origin").to_uppercase(), text("serial"))
        });
        let plants = plants.collect::<Vec<_>>().join(", ");
        vec![
            first.to_owned(),
            format!("{} by {}; {plants}; seed {}", word("experiment"), word("method"), self.facts["seed"]),
            format!("command: {}", word("command")),
        ]
    }
}
