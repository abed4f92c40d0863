//! Reads `metrics.csv` as it grows: what is new since the last look, and any stretch of it again.
//!
//! Columns are found by name, so a record with more of them is read as well. A file that became shorter, or whose steps
//! go back (a run resumed from a checkpoint), is read from its start again.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::PathBuf;

use csv::{ByteRecord, ReaderBuilder};

use super::history::{History, Row};
use crate::control::TriedOn;
use crate::event::HeadScores;
use crate::scores::Scores;

/// Rows between two entries of the index.
const INDEX_ROWS: usize = 1024;

/// Where each value stands in a row.
#[derive(Debug, Clone, Default, PartialEq)]
struct Columns {
    names: Vec<String>,
}

impl Columns {
    fn value(&self, record: &ByteRecord, name: &str) -> Option<f64> {
        let index = self.names.iter().position(|column| column == name)?;
        std::str::from_utf8(record.get(index)?).ok()?.parse().ok()
    }

    fn row(&self, record: &ByteRecord) -> Option<Row> {
        let value = |name: &str| self.value(record, name);
        let scores = |part: &str| Scores::read(part, value);
        let (test, validation) = (scores("test"), scores("validation"));
        Some(Row {
            step: value("step")? as u64,
            epoch: value("epoch"),
            // A search for knobs has distances in its place.
            loss: value("loss").or_else(|| value("distance")),
            range_use: value("range_use"),
            clipping_rate: value("clipping_rate"),
            alignment: value("alignment"),
            heads: heads(value),
            scores: test.or(validation),
            tried_on: match (test, validation) {
                (Some(_), _) => Some(TriedOn::Test),
                (None, Some(_)) => Some(TriedOn::Validation),
                (None, None) => None,
            },
            believed: scores("believed"),
            shots: value("shots"),
            plant_seconds: value("plant_seconds"),
            twin_residual: value("twin_residual"),
            drift_score: value("drift_score"),
        })
    }
}

/// What a test says of several read-outs.
fn heads(value: impl Fn(&str) -> Option<f64>) -> Option<HeadScores> {
    let (best, median, worst) = (value("heads_best")?, value("heads_median")?, value("heads_worst")?);
    Some(HeadScores { best, median, worst })
}

/// One `metrics.csv`.
pub struct Metrics {
    path: PathBuf,
    /// Bytes read so far, whole rows only.
    offset: u64,
    columns: Columns,
    /// Step and place of every [`INDEX_ROWS`]th row.
    index: Vec<(u64, u64)>,
    rows: usize,
    last_step: u64,
    history: History,
}

impl Metrics {
    /// Reads nothing yet.
    pub fn new(path: PathBuf) -> Self {
        let history = History::default();
        Self { path, offset: 0, columns: Columns::default(), index: Vec::new(), rows: 0, last_step: 0, history }
    }

    /// The curves so far.
    pub fn history(&self) -> &History {
        &self.history
    }

    /// Reads at most `limit` bytes that are new. Says whether the curves changed; a file that does not exist yet changes nothing.
    pub fn poll(&mut self, limit: u64) -> io::Result<bool> {
        let mut file = match File::open(&self.path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
            Err(error) => return Err(error),
        };
        let length = file.metadata()?.len();
        if length < self.offset {
            *self = Self::new(self.path.clone());
        }
        if length == self.offset {
            return Ok(false);
        }
        file.seek(SeekFrom::Start(self.offset))?;
        let mut bytes = Vec::new();
        file.take(limit).read_to_end(&mut bytes)?;
        // A row that is being written is read when it is whole.
        let Some(end) = bytes.iter().rposition(|byte| *byte == b'\n') else { return Ok(false) };
        if self.take(&bytes[..=end]) {
            self.offset += end as u64 + 1;
        } else {
            *self = Self::new(self.path.clone());
        }
        Ok(true)
    }

    /// Adds whole rows; `false` where their steps go back.
    fn take(&mut self, bytes: &[u8]) -> bool {
        let mut reader = ReaderBuilder::new().has_headers(false).flexible(true).from_reader(bytes);
        let mut record = ByteRecord::new();
        while reader.read_byte_record(&mut record).unwrap_or(false) {
            if self.columns.names.is_empty() {
                let names = record.iter().map(|name| String::from_utf8_lossy(name).into_owned());
                self.columns.names = names.collect();
                continue;
            }
            let Some(row) = self.columns.row(&record) else { continue };
            if row.step < self.last_step || (row.step == self.last_step && row.loss.is_some()) {
                return false;
            }
            self.last_step = row.step;
            if self.rows.is_multiple_of(INDEX_ROWS) {
                let place = record.position().map_or(0, csv::Position::byte);
                self.index.push((row.step, self.offset + place));
            }
            self.rows += 1;
            self.history.add(row);
        }
        true
    }

    /// The rows from step `from` to `to`, read from the file again.
    pub fn rows(&self, from: u64, to: u64) -> io::Result<Vec<Row>> {
        let after = self.index.partition_point(|(step, _)| *step < from);
        let Some((_, start)) = self.index.get(after.saturating_sub(1)) else { return Ok(Vec::new()) };
        let end =
            self.index.get(self.index.partition_point(|(step, _)| *step <= to)).map_or(self.offset, |entry| entry.1);
        let mut file = File::open(&self.path)?;
        file.seek(SeekFrom::Start(*start))?;
        let bytes = file.take(end.saturating_sub(*start));
        let mut reader = ReaderBuilder::new().has_headers(false).flexible(true).from_reader(bytes);
        let mut record = ByteRecord::new();
        let mut rows = Vec::new();
        while reader.read_byte_record(&mut record).unwrap_or(false) {
            rows.extend(self.columns.row(&record).filter(|row| (from..=to).contains(&row.step)));
        }
        Ok(rows)
    }
}

#[cfg(test)]
mod tests {
    use std::fmt::Write;

    use super::*;
    use crate::scores::ObjectiveKind;

    const HEADER: &str = "kind,step,new_column,loss,test_accuracy,believed_accuracy\n";

    fn written(text: &str) -> (tempfile::TempDir, Metrics) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("metrics.csv");
        std::fs::write(&path, text).unwrap();
        (folder, Metrics::new(path))
    }

    fn append(metrics: &Metrics, text: &str) {
        let mut whole = std::fs::read_to_string(&metrics.path).unwrap();
        whole.push_str(text);
        std::fs::write(&metrics.path, whole).unwrap();
    }

    #[test]
    fn rows_are_read_as_they_come_and_whole() {
        let (_folder, mut metrics) = written(&format!("{HEADER}step,1,7,2.5,,\nstep,2,7,2"));
        assert!(metrics.poll(1 << 20).unwrap());
        assert_eq!(metrics.history().last.unwrap().loss, Some(2.5));
        assert!(!metrics.poll(1 << 20).unwrap(), "half a row is no row");
        append(&metrics, ".25,,\ntest,2,,,0.5,0.75\n");
        assert!(metrics.poll(1 << 20).unwrap());
        assert_eq!(metrics.history().last.unwrap().loss, Some(2.25));
        assert_eq!(metrics.history().last_test.unwrap().believed.first(), 0.75);
    }

    #[test]
    fn an_accuracy_says_which_rows_it_is_of() {
        let header = "kind,step,loss,test_accuracy,believed_accuracy,validation_accuracy\n";
        let (_folder, mut metrics) = written(&format!("{header}test,2,,,0.5,0.75\n"));
        metrics.poll(1 << 20).unwrap();
        assert_eq!(metrics.history().last_test.unwrap().tried_on, Some(TriedOn::Validation));
        append(&metrics, "test,4,,0.25,0.5,0.75\n");
        metrics.poll(1 << 20).unwrap();
        let last = metrics.history().last_test.unwrap();
        assert_eq!((last.scores.first(), last.tried_on), (0.25, Some(TriedOn::Test)));
    }

    #[test]
    fn scores_of_another_objective_are_found_by_their_names() {
        let header = "kind,step,loss,test_nrmse,believed_nrmse,validation_nrmse,test_r2,believed_r2,validation_r2\n";
        let (_folder, mut metrics) = written(&format!("{header}test,2,,,0.5,0.75,,0.75,0.4375\n"));
        metrics.poll(1 << 20).unwrap();
        let last = metrics.history().last_test.unwrap();
        assert_eq!(last.scores, Scores::new(ObjectiveKind::Regress, &[0.75, 0.4375]));
        assert_eq!((last.believed.first(), last.tried_on), (0.5, Some(TriedOn::Validation)));
    }

    #[test]
    fn a_resumed_run_is_read_again() {
        let (_folder, mut metrics) = written(&format!("{HEADER}step,1,,4,,\nstep,2,,3,,\nstep,3,,2,,\n"));
        assert!(metrics.poll(1 << 20).unwrap());
        // Cut to the checkpoint after step 1, and continued beyond where it was.
        std::fs::write(&metrics.path, format!("{HEADER}step,1,,4,,\nstep,2,,3.5,,\nstep,3,,2.5,,\nstep,2,,1,,\n"))
            .unwrap();
        assert!(metrics.poll(1 << 20).unwrap());
        std::fs::write(&metrics.path, format!("{HEADER}step,1,,8,,\n")).unwrap();
        assert!(metrics.poll(1 << 20).unwrap());
        assert_eq!(metrics.history().span(), Some((1, 1)));
        assert_eq!(metrics.history().last.unwrap().loss, Some(8.0));
    }

    #[test]
    fn any_stretch_is_found_again() {
        let mut text = HEADER.to_owned();
        for step in 1..=5000 {
            writeln!(text, "step,{step},,{},,", f64::from(step) * 0.5).unwrap();
        }
        let (_folder, mut metrics) = written(&text);
        while metrics.poll(10_000).unwrap() {}
        assert_eq!(metrics.history().span(), Some((1, 5000)));
        for (from, to) in [(1, 3), (1024, 1026), (2500, 4000), (4999, 9000)] {
            let rows = metrics.rows(from, to).unwrap();
            assert_eq!(rows.first().map(|row| row.step), Some(from));
            assert_eq!(rows.len() as u64, to.min(5000) - from + 1);
        }
        assert!(metrics.rows(6000, 7000).unwrap().is_empty());
    }

    #[test]
    fn a_missing_file_is_not_an_error_yet() {
        let mut metrics = Metrics::new("/nonexistent/metrics.csv".into());
        assert!(!metrics.poll(1 << 20).unwrap());
    }
}
