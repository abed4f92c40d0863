//! Every shot on disk while a run goes: one Arrow IPC stream for each plant, written by a thread of its own.
//!
//! `shots/PLANT-N.arrows` has a row for each shot: its number, the bench time and the wall time of its batch, which row of
//! `shots/PLANT-N-controls.arrows` was applied, inputs and outputs, compressed by Zstandard (which readers of Arrow undo). Units, banks, seed and provenance stand in the schema's metadata.
//! N is 1, and one more each time the run is continued; what a continued run takes again is cut from the earlier streams
//! (`rewind.rs`), so that all of them together hold no shot twice. A batch is on its way to the disk before the next step ends; a
//! stream that was cut off is read up to its last whole batch: a crash loses what had not been written, at most a quarter of a second,
//! and never a shot before the checkpoint that the run goes on from, since a checkpoint waits for them.

use std::collections::HashMap;
use std::fs::{self, File};
use std::io::{BufWriter, Write};
use std::num::NonZeroU64;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

use arrow_array::{ArrayRef, FixedSizeListArray, Float32Array, Float64Array, RecordBatch, UInt64Array};
use arrow_ipc::CompressionType;
use arrow_ipc::writer::{IpcWriteOptions, StreamWriter};
use arrow_schema::{ArrowError, DataType, Field, Schema};
use drivers::{Bank, Batch, Card};
use sims::Key;

use crate::Error;
use crate::plants::{Driven, ShotTap};
use crate::record::unix_seconds;
use crate::writing::Backlog;

/// The folder in the run folder.
pub const SHOTS: &str = "shots";
/// Batches that may wait: a disk that is slower than the bench slows it down, and a crash loses no more than these.
const WAITING: usize = 8;

/// One batch on its way to the disk.
struct Taken {
    place: usize,
    /// The number of its first shot, counted from 1.
    first: u64,
    plant_seconds: f64,
    unix_seconds: f64,
    applied: Vec<f32>,
    inputs: Batch,
    outputs: Batch,
}

/// What the thread that writes is handed.
enum Work {
    Batch(Taken),
    /// Whoever waits is told that all before it is written.
    Mark(Sender<()>),
}

/// Writes every shot of a run.
#[derive(Debug)]
pub struct ShotRecorder {
    work: Option<Sender<Work>>,
    thread: Option<JoinHandle<()>>,
    failure: Arc<Mutex<Option<Error>>>,
    backlog: Backlog,
    files: Arc<[PathBuf]>,
    /// Of how many batches one is recorded, about.
    one_in: NonZeroU64,
}

impl ShotRecorder {
    /// Of plants by name, into `folder`; `provenance` goes into each file's metadata.
    pub fn create(
        folder: &Path,
        plants: &[(String, Card)],
        provenance: &HashMap<String, String>,
    ) -> Result<Self, Error> {
        let within = folder.join(SHOTS);
        fs::create_dir_all(&within).map_err(Error::record(&within, "cannot be made"))?;
        let mut files = Vec::new();
        for (name, card) in plants {
            files.push(PlantFiles::create(&within, name, card, provenance)?);
        }
        let paths = files.iter().flat_map(PlantFiles::paths).collect();
        let (sender, work) = channel();
        let (failure, backlog) = (Arc::new(Mutex::new(None)), Backlog::default());
        let thread = {
            let (failure, backlog) = (failure.clone(), backlog.clone());
            let write = move || {
                write_all(&mut files, &work, (&failure, &backlog));
                drop(work);
                backlog.give_up();
            };
            let thread = std::thread::Builder::new().name("shots".into()).spawn(write);
            thread.map_err(Error::record(&within, "cannot be written"))?
        };
        Ok(Self { work: Some(sender), thread: Some(thread), failure, backlog, files: paths, one_in: NonZeroU64::MIN })
    }

    /// From now on about one batch in `one_in` is recorded. Which ones is drawn by the number of their first shot, so that no
    /// layer is left out whatever their order, and the same ones are recorded when a run goes on.
    pub fn one_in(mut self, one_in: NonZeroU64) -> Self {
        self.one_in = one_in;
        self
    }

    /// Where marks are set, for whoever waits until shots are on the disk. The recorder ends when they are gone.
    pub fn marks(&self) -> Option<ShotMarks> {
        Some(ShotMarks { work: self.work.clone()?, files: self.files.clone() })
    }

    /// Batches that wait to be written.
    pub fn backlog(&self) -> Backlog {
        self.backlog.clone()
    }

    fn fail(&self) -> Result<(), Error> {
        self.failure.lock().unwrap_or_else(PoisonError::into_inner).take().map_or(Ok(()), Err)
    }
}

impl ShotTap for ShotRecorder {
    fn see(&mut self, driven: &Driven<'_>) -> Result<(), Error> {
        let first = driven.meter.shots + 1 - driven.inputs.rows() as u64;
        if !Key::new(first).branch("record").seed().is_multiple_of(self.one_in.get()) {
            return Ok(());
        }
        let taken = Taken {
            place: driven.place,
            first,
            plant_seconds: driven.meter.plant_seconds,
            unix_seconds: unix_seconds(),
            applied: driven.applied.to_vec(),
            inputs: driven.inputs.clone(),
            outputs: driven.outputs.clone(),
        };
        self.backlog.add();
        // A writer that is gone has said why.
        let sent = self.work.as_ref().is_some_and(|sender| sender.send(Work::Batch(taken)).is_ok());
        if sent {
            return Ok(());
        }
        self.backlog.take_back();
        self.fail()
    }

    /// Whether one more batch may wait. Whoever has none does not hand it over yet, and can do something else meanwhile.
    fn has_room(&self) -> bool {
        self.backlog.waiting().0 < WAITING
    }

    fn finish(&mut self) -> Result<(), Error> {
        self.work = None;
        if let Some(thread) = self.thread.take() {
            drop(thread.join());
        }
        self.fail()
    }
}

#[cfg(test)]
impl ShotRecorder {
    /// Sees one batch of the plant at `place`; `shots` and `plant_seconds` are those after it.
    pub fn take(
        &mut self,
        place: usize,
        (shots, plant_seconds): (u64, f64),
        applied: &[f32],
        (inputs, outputs): (&Batch, &Batch),
    ) -> Result<(), Error> {
        let meter = crate::plants::Meter { shots, plant_seconds, wall_seconds: 0.0 };
        self.see(&Driven { place, meter, controls: applied, applied, inputs, outputs, apart: false })
    }

    /// The recorder of a disk that takes nothing, for as long as what is returned with it lives.
    pub fn of_a_disk_that_hangs() -> (Self, impl Sized) {
        let (sender, work) = channel();
        let backlog = Backlog::default();
        (0..WAITING).for_each(|_| backlog.add());
        let failure = Arc::new(Mutex::new(None));
        (
            Self { work: Some(sender), thread: None, failure, backlog, files: Arc::new([]), one_in: NonZeroU64::MIN },
            work,
        )
    }
}

impl Drop for ShotRecorder {
    fn drop(&mut self) {
        if let Err(error) = self.finish() {
            tell!("pnnlab: {error}");
        }
    }
}

/// Sets marks among the shots of a run.
#[derive(Debug)]
pub struct ShotMarks {
    work: Sender<Work>,
    files: Arc<[PathBuf]>,
}

impl ShotMarks {
    /// A mark behind all shots that were handed over until now.
    pub fn set(&self) -> ShotMark {
        let (written, told) = channel();
        // A writer that is gone tells nobody.
        drop(self.work.send(Work::Mark(written)));
        ShotMark { told, files: self.files.clone() }
    }
}

/// A mark behind some shots.
#[derive(Debug)]
pub struct ShotMark {
    told: Receiver<()>,
    files: Arc<[PathBuf]>,
}

impl ShotMark {
    /// Waits until all shots before it are on the disk; `false` if they never will be: their writer has said why.
    pub fn wait(self) -> Result<bool, Error> {
        if self.told.recv().is_err() {
            return Ok(false);
        }
        for path in &*self.files {
            File::open(path).and_then(|file| file.sync_all()).map_err(Error::record(path, "cannot be written"))?;
        }
        Ok(true)
    }
}

fn write_all(files: &mut [PlantFiles], work: &Receiver<Work>, (failure, backlog): (&Mutex<Option<Error>>, &Backlog)) {
    let keep = |error: Error| *failure.lock().unwrap_or_else(PoisonError::into_inner) = Some(error);
    for work in work {
        let taken = match work {
            Work::Batch(taken) => taken,
            Work::Mark(written) => {
                // Who has gone waits for nothing.
                let _ = written.send(());
                continue;
            }
        };
        if let Some(file) = files.get_mut(taken.place)
            && let Err(error) = file.write(&taken)
        {
            keep(error);
            return;
        }
        backlog.done();
    }
    for file in files {
        if let Err(error) = file.finish() {
            keep(error);
        }
    }
}

/// One stream.
struct Stream {
    path: PathBuf,
    schema: Arc<Schema>,
    writer: StreamWriter<BufWriter<File>>,
}

impl Stream {
    fn create(path: PathBuf, schema: Schema) -> Result<Self, Error> {
        let file = File::create_new(&path).map_err(Error::record(&path, "cannot be written"))?;
        let schema = Arc::new(schema);
        let options = IpcWriteOptions::default().try_with_compression(Some(CompressionType::ZSTD));
        let writer =
            options.and_then(|options| StreamWriter::try_new_with_options(BufWriter::new(file), &schema, options));
        let writer = writer.map_err(failed(&path))?;
        Ok(Self { path, schema, writer })
    }

    /// Writes one batch, through to the system.
    fn write(&mut self, columns: Vec<ArrayRef>) -> Result<(), Error> {
        let batch = RecordBatch::try_new(self.schema.clone(), columns).map_err(failed(&self.path))?;
        self.writer.write(&batch).map_err(failed(&self.path))?;
        self.writer.get_mut().flush().map_err(Error::record(&self.path, "cannot be written"))
    }

    fn finish(&mut self) -> Result<(), Error> {
        self.writer.finish().map_err(failed(&self.path))?;
        let file = self.writer.get_mut();
        file.flush().and_then(|()| file.get_ref().sync_all()).map_err(Error::record(&self.path, "cannot be written"))
    }
}

/// The streams of one plant.
struct PlantFiles {
    shots: Stream,
    controls: Option<Stream>,
    setting: u64,
}

impl PlantFiles {
    fn create(folder: &Path, name: &str, card: &Card, provenance: &HashMap<String, String>) -> Result<Self, Error> {
        let path = |number: usize, what: &str| folder.join(format!("{name}-{number}{what}.arrows"));
        let mut number = 1;
        while path(number, "").exists() {
            number += 1;
        }
        let mut facts = provenance.clone();
        for (key, value) in [
            ("plant", name.to_owned()),
            ("system", card.identity.system.clone()),
            ("serial", card.identity.serial.clone()),
            ("origin", card.identity.origin.to_string()),
        ] {
            facts.insert(key.to_owned(), value);
        }
        let ports = &card.ports;
        let number_field = |name: &str, kind: DataType, unit: &str| {
            Field::new(name, kind, false).with_metadata(HashMap::from([("unit".to_owned(), unit.to_owned())]))
        };
        let fields = vec![
            number_field("shot", DataType::UInt64, "1"),
            number_field("plant_seconds", DataType::Float64, "s"),
            number_field("unix_seconds", DataType::Float64, "s"),
            number_field("setting", DataType::UInt64, "1"),
            row_field("inputs", &ports.inputs, ports.input_count()),
            row_field("outputs", &ports.outputs, ports.output_count()),
        ];
        let shots = Stream::create(path(number, ""), Schema::new(fields).with_metadata(facts.clone()))?;
        let controls = if ports.control_count() == 0 {
            None
        } else {
            let fields = vec![
                number_field("setting", DataType::UInt64, "1"),
                row_field("controls", &ports.controls, ports.control_count()),
            ];
            Some(Stream::create(path(number, "-controls"), Schema::new(fields).with_metadata(facts))?)
        };
        Ok(Self { shots, controls, setting: 0 })
    }

    fn write(&mut self, taken: &Taken) -> Result<(), Error> {
        if let Some(controls) = &mut self.controls {
            self.setting += 1;
            let row = rows(&controls.schema, 1, taken.applied.clone()).map_err(failed(&controls.path))?;
            controls.write(vec![Arc::new(UInt64Array::from(vec![self.setting])), row])?;
        }
        let count = taken.inputs.rows();
        let shots = &mut self.shots;
        let inputs = rows(&shots.schema, 4, taken.inputs.values().to_vec()).map_err(failed(&shots.path))?;
        let outputs = rows(&shots.schema, 5, taken.outputs.values().to_vec()).map_err(failed(&shots.path))?;
        shots.write(vec![
            Arc::new(UInt64Array::from_iter_values(taken.first..taken.first + count as u64)),
            Arc::new(Float64Array::from(vec![taken.plant_seconds; count])),
            Arc::new(Float64Array::from(vec![taken.unix_seconds; count])),
            Arc::new(UInt64Array::from(vec![self.setting; count])),
            inputs,
            outputs,
        ])
    }

    fn paths(&self) -> impl Iterator<Item = PathBuf> {
        self.controls.iter().chain([&self.shots]).map(|stream| stream.path.clone())
    }

    fn finish(&mut self) -> Result<(), Error> {
        self.controls.as_mut().map_or(Ok(()), Stream::finish)?;
        self.shots.finish()
    }
}

/// A column of rows of `count` values, with its banks: name, ports, unit and range of each.
fn row_field(name: &str, banks: &[Bank], count: usize) -> Field {
    let item = Arc::new(Field::new("item", DataType::Float32, false));
    let words =
        |bank: &Bank| format!("{} {} {} {} {}", bank.name, bank.count, bank.unit, bank.range.low, bank.range.high);
    let banks = banks.iter().map(words).collect::<Vec<_>>().join("; ");
    Field::new(name, DataType::FixedSizeList(item, count as i32), false)
        .with_metadata(HashMap::from([("banks".to_owned(), banks)]))
}

/// Values as rows, as wide as column `column` of `schema` says.
fn rows(schema: &Schema, column: usize, values: Vec<f32>) -> Result<ArrayRef, ArrowError> {
    let DataType::FixedSizeList(item, width) = schema.field(column).data_type() else {
        return Err(ArrowError::SchemaError(format!("column {column} is not made of rows")));
    };
    let values = Arc::new(Float32Array::from(values));
    Ok(Arc::new(FixedSizeListArray::try_new(item.clone(), *width, values, None)?))
}

fn failed(path: &Path) -> impl Fn(ArrowError) -> Error {
    let path = path.to_owned();
    move |error| Error::Record {
        path: path.clone(),
        message: format!(
            "cannot be written: {error}. What was written before is kept; free the disk, or choose another folder with --runs"
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow_array::cast::AsArray;
    use arrow_ipc::reader::StreamReader;
    use drivers::{Identity, Origin, Ports, Range, Timing};

    fn card() -> Card {
        let volts = Range::new(-1.0, 1.0);
        let ports = Ports {
            inputs: vec![Bank::new("drive", 3, "V", volts)],
            controls: vec![Bank::new("bias", 2, "V", volts)],
            outputs: vec![Bank::new("node", 1, "V", volts)],
        };
        let identity = Identity { system: "test".into(), serial: "7".into(), origin: Origin::Simulated };
        Card { identity, ports, timing: Timing::default() }
    }

    fn shots(path: &Path) -> Vec<u64> {
        let reader = StreamReader::try_new(File::open(path).unwrap(), None).unwrap();
        let batches = reader.map_while(Result::ok);
        let number =
            |batch: RecordBatch| batch.column(0).as_primitive::<arrow_array::types::UInt64Type>().values().to_vec();
        batches.flat_map(number).collect()
    }

    #[test]
    fn of_many_batches_some_are_recorded_and_again_the_same() {
        let inputs = Batch::from_fn(64, 3, |row, column| (row % 5 * 3 + column) as f32);
        let outputs = Batch::zeros(64, 1);
        let recorded = || {
            let folder = tempfile::tempdir().unwrap();
            let recorder = ShotRecorder::create(folder.path(), &[("a".to_owned(), card())], &HashMap::new()).unwrap();
            let mut recorder = recorder.one_in(NonZeroU64::new(10).unwrap());
            for batch in 1..=1000_u64 {
                recorder.take(0, (64 * batch, 0.0), &[0.5, -0.5], (&inputs, &outputs)).unwrap();
            }
            recorder.finish().unwrap();
            let path = folder.path().join("shots/a-1.arrows");
            (shots(&path), fs::metadata(&path).unwrap().len())
        };
        let (numbers, bytes) = recorded();
        assert!((60 * 64..140 * 64).contains(&numbers.len()), "{}", numbers.len());
        assert_eq!(numbers, recorded().0);
        let firsts: std::collections::BTreeSet<u64> = numbers.iter().step_by(64).map(|first| first / 64 % 4).collect();
        assert_eq!(firsts.len(), 4, "whichever of four layers a batch belongs to");
        assert!(
            bytes < numbers.len() as u64 * 40,
            "rows alike are compressed: {bytes} bytes of {} shots",
            numbers.len()
        );
    }

    /// Waits until the thread that writes has given up.
    fn wait_for_end(recorder: &ShotRecorder) {
        let bound = std::time::Instant::now() + std::time::Duration::from_mins(1);
        while recorder.thread.as_ref().is_some_and(|thread| !thread.is_finished()) {
            assert!(std::time::Instant::now() < bound, "it still writes");
            std::thread::yield_now();
        }
    }

    #[test]
    fn shots_come_back_with_units_and_up_to_the_last_whole_batch() {
        let folder = tempfile::tempdir().unwrap();
        let provenance = HashMap::from([("seed".to_owned(), "5".to_owned())]);
        let plants = [("a".to_owned(), card())];
        let mut recorder = ShotRecorder::create(folder.path(), &plants, &provenance).unwrap();
        let inputs = Batch::from_fn(2, 3, |row, column| (row * 3 + column) as f32);
        let outputs = Batch::from_fn(2, 1, |row, _| row as f32);
        for batch in 1..=3 {
            recorder.take(0, (2 * batch, batch as f64), &[0.5, -0.5], (&inputs, &outputs)).unwrap();
        }
        recorder.finish().unwrap();
        let path = folder.path().join("shots/a-1.arrows");
        assert_eq!(shots(&path), [1, 2, 3, 4, 5, 6]);
        let reader = StreamReader::try_new(File::open(&path).unwrap(), None).unwrap();
        assert_eq!(reader.schema().metadata()["origin"], "simulated");
        assert_eq!(reader.schema().field(4).metadata()["banks"], "drive 3 V -1 1");
        let controls = File::open(folder.path().join("shots/a-1-controls.arrows")).unwrap();
        assert_eq!(
            StreamReader::try_new(controls, None).unwrap().map(|batch| batch.unwrap().num_rows()).sum::<usize>(),
            3
        );
        // Cut off anywhere in the third batch, the first two are there.
        let bytes = fs::read(&path).unwrap();
        fs::write(&path, &bytes[..bytes.len() - 100]).unwrap();
        assert_eq!(shots(&path), [1, 2, 3, 4]);
        // Continued, it goes to files of its own.
        let mut recorder = ShotRecorder::create(folder.path(), &plants, &provenance).unwrap();
        let path = folder.path().join("shots/a-2.arrows");
        let marks = recorder.marks().unwrap();
        for batch in 1..=50 {
            recorder.take(0, (2 * batch, batch as f64), &[0.5, -0.5], (&inputs, &outputs)).unwrap();
        }
        assert!(marks.set().wait().unwrap());
        assert_eq!(shots(&path), (1..=100).collect::<Vec<_>>(), "all before a mark are there when it is reached");
        // A batch that cannot be written: nothing waits, and no mark behind it is reached.
        recorder.take(0, (102, 51.0), &[0.5, -0.5], (&outputs, &outputs)).unwrap();
        assert!(!marks.set().wait().unwrap());
        wait_for_end(&recorder);
        assert!(recorder.take(0, (104, 52.0), &[0.5, -0.5], (&inputs, &outputs)).is_err());
        assert_eq!(recorder.backlog().waiting().0, 0);
        drop(marks);
        assert!(recorder.finish().is_ok(), "it has been said");
    }
}
