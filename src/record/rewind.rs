//! What was recorded of shots after the checkpoint that a run goes on from is taken back, like the rows of `metrics.csv`: these
//! shots are taken and recorded again, and a reader of all streams gets none of them twice.
//!
//! A stream is cut behind its last batch that counts, which mends a torn end as well; one that holds nothing that counts is removed.

use std::fs::{self, File, OpenOptions};
use std::io::{Cursor, ErrorKind, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use arrow_array::RecordBatch;
use arrow_array::cast::AsArray;
use arrow_array::types::UInt64Type;
use arrow_ipc::reader::StreamReader;
use arrow_schema::ArrowError;

use crate::Error;
use crate::record::SHOTS;

/// What ends an Arrow IPC stream: a message of no length.
const END: [u8; 8] = [0xFF, 0xFF, 0xFF, 0xFF, 0, 0, 0, 0];
/// Columns of the streams, as `shots.rs` writes them.
const SHOT: usize = 0;
const SETTING_OF_SHOT: usize = 3;
const SETTING: usize = 0;

/// Keeps in the streams of the run in `folder` the first shots of each plant, as many as `taken` says by its name; of a plant that it
/// does not know, all.
pub fn rewind(folder: &Path, taken: impl Fn(&str) -> Option<u64>) -> Result<(), Error> {
    let entries = fs::read_dir(folder.join(SHOTS)).into_iter().flatten().flatten();
    let is_shots = |path: &PathBuf| {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        name.ends_with(".arrows") && !name.ends_with("-controls.arrows")
    };
    for path in entries.map(|entry| entry.path()).filter(is_shots) {
        let stem = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        let plant = stem.rsplit_once('-').map_or(stem.as_str(), |(plant, _)| plant);
        let controls = path.with_file_name(format!("{stem}-controls.arrows"));
        let Some(shots) = taken(plant) else { continue };
        let last = cut(&path, |batch| last_of(batch, SHOT) <= Some(shots))?;
        let setting = last.and_then(|batch| last_of(&batch, SETTING_OF_SHOT));
        if controls.exists() {
            cut(&controls, |batch| last_of(batch, SETTING) <= setting)?;
        }
    }
    Ok(())
}

/// The last number in a column.
fn last_of(batch: &RecordBatch, column: usize) -> Option<u64> {
    let numbers = batch.columns().get(column)?.as_primitive_opt::<UInt64Type>()?;
    numbers.len().checked_sub(1).map(|last| numbers.value(last))
}

/// Ends a stream behind its last batch that `counts`, and returns that; removes a stream that has none.
fn cut(path: &Path, counts: impl Fn(&RecordBatch) -> bool) -> Result<Option<RecordBatch>, Error> {
    let failed = |doing: &'static str| Error::record(path, doing);
    let file = OpenOptions::new().read(true).write(true).open(path).map_err(failed("cannot be opened"))?;
    let (end, last) = last_that_counts(&file, counts).map_err(failed("cannot be read"))?;
    if last.is_none() {
        fs::remove_file(path).map_err(failed("cannot be removed"))?;
        return Ok(None);
    }
    let write = |mut file: &File| {
        file.set_len(end)?;
        file.seek(SeekFrom::Start(end))?;
        file.write_all(&END)?;
        file.sync_all()
    };
    write(&file).map_err(failed("cannot be cut"))?;
    Ok(last)
}

/// The last batch that `counts` before one that does not or is torn, and where it ends; without one, where they would begin.
fn last_that_counts(
    stream: impl Read + Seek,
    counts: impl Fn(&RecordBatch) -> bool,
) -> std::io::Result<(u64, Option<RecordBatch>)> {
    // A stream whose very beginning is torn has no batch either.
    let mut reader = match StreamReader::try_new(stream, None) {
        Ok(reader) => reader,
        Err(ArrowError::IoError(_, error)) if error.kind() != ErrorKind::UnexpectedEof => return Err(error),
        Err(_) => return Ok((0, None)),
    };
    let (mut end, mut last) = (reader.get_mut().stream_position()?, None);
    while let Some(Ok(batch)) = reader.next()
        && counts(&batch)
    {
        end = reader.get_mut().stream_position()?;
        last = Some(batch);
    }
    Ok((end, last))
}

/// The bytes of a stream up to its last whole batch, and its end: a run that was killed leaves a torn one.
pub fn whole_stream(mut bytes: Vec<u8>) -> Vec<u8> {
    // Nothing but memory is read.
    let end = last_that_counts(Cursor::new(&bytes), |_| true).map_or(0, |(end, _)| end);
    if end > 0 {
        bytes.truncate(end as usize);
        bytes.extend(END);
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plants::ShotTap;
    use crate::record::ShotRecorder;
    use drivers::{Bank, Batch, Card, Identity, Origin, Ports, Range, Timing};
    use std::collections::HashMap;

    /// Records batches of two shots of a plant with a control, up to shot `last`.
    fn record(folder: &Path, first: u64, last: u64) {
        let bank = |name: &str| vec![Bank::new(name, 1, "V", Range::new(-1.0, 1.0))];
        let ports = Ports { inputs: bank("in"), controls: bank("bias"), outputs: bank("out") };
        let identity = Identity { system: "test".into(), serial: "1".into(), origin: Origin::Simulated };
        let card = Card { identity, ports, timing: Timing::default() };
        let mut recorder = ShotRecorder::create(folder, &[("a-b".to_owned(), card)], &HashMap::new()).unwrap();
        let two = Batch::zeros(2, 1);
        for shots in (first + 1..=last).step_by(2) {
            recorder.take(0, (shots, 0.0), &[0.5], (&two, &two)).unwrap();
        }
        ShotTap::finish(&mut recorder).unwrap();
    }

    fn numbers(path: &Path) -> Vec<u64> {
        let reader = StreamReader::try_new(File::open(path).unwrap(), None).unwrap();
        let number = |batch: RecordBatch| batch.column(0).as_primitive::<UInt64Type>().values().to_vec();
        reader.map(Result::unwrap).flat_map(number).collect()
    }

    #[test]
    fn each_shot_is_read_once_however_the_record_was_torn() {
        let place = tempfile::tempdir().unwrap();
        let path = |name: &str| place.path().join(SHOTS).join(name);
        record(place.path(), 1, 8);
        let whole = fs::read(path("a-b-1.arrows")).unwrap();
        // Cut nowhere, it stays as it is; of a torn batch nothing is kept.
        rewind(place.path(), |_| Some(8)).unwrap();
        assert!(fs::read(path("a-b-1.arrows")).unwrap() == whole);
        assert!(whole_stream(whole.clone()) == whole);
        let torn = &whole[..whole.len() - 20];
        fs::write(path("a-b-1.arrows"), whole_stream(torn.to_vec())).unwrap();
        assert_eq!(numbers(&path("a-b-1.arrows")), [1, 2, 3, 4, 5, 6]);
        assert_eq!(whole_stream(b"half a sch".to_vec()), b"half a sch");
        fs::write(path("a-b-1.arrows"), torn).unwrap();
        rewind(place.path(), |_| Some(8)).unwrap();
        assert_eq!(numbers(&path("a-b-1.arrows")), [1, 2, 3, 4, 5, 6]);
        assert_eq!(numbers(&path("a-b-1-controls.arrows")), [1, 2, 3]);
        // Continued, killed again, and continued from before that.
        record(place.path(), 7, 12);
        fs::write(path("torn-1.arrows"), "half a sch").unwrap();
        rewind(place.path(), |_| Some(4)).unwrap();
        assert_eq!(numbers(&path("a-b-1.arrows")), [1, 2, 3, 4]);
        assert!(["a-b-2.arrows", "a-b-2-controls.arrows", "torn-1.arrows"].iter().all(|name| !path(name).exists()));
        record(place.path(), 5, 6);
        assert_eq!(numbers(&path("a-b-2.arrows")), [5, 6]);
        rewind(place.path(), |_| Some(0)).unwrap();
        assert_eq!(fs::read_dir(place.path().join(SHOTS)).unwrap().count(), 0);
        rewind(&place.path().join("nowhere"), |_| Some(0)).unwrap();
    }
}
