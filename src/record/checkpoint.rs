//! Checkpoints: snapshots of a training in `checkpoints/` of the run folder, from which it can be continued.
//!
//! One file each (safetensors: weights and Adam's moments; its metadata: all numbers as TOML, whose floating-point numbers come
//! back bit for bit), written beside and renamed, so there
//! is no half one; the last two are kept. The training thread hands a snapshot over, another thread writes it.

use std::collections::HashMap;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use drivers::{MEBIBYTE, read_bounded};
use safetensors::SafeTensors;
use safetensors::tensor::{Dtype, TensorView};

use crate::network::{NamedTensor, rows};
use crate::record::room::{CHECKPOINTS, list};
use crate::record::{Journal, Position, ShotMark, ShotMarks, Snapshot, packing};
use crate::writing::{Backlog, Mark, replace};
use crate::{Error, log};

/// How many are kept.
const KEPT: usize = 2;
/// The layout of the files that are written.
const FORMAT: &str = "3";
/// The layouts that are read; another one is refused. In the second, what monitors remember is all text.
const FORMATS: [&str; 2] = ["2", FORMAT];
/// The most that is read of one: three times the most weights that a network may have.
const MOST: u64 = 1024 * MEBIBYTE;
/// How often a disk that is slow is looked at.
const LOOK: Duration = Duration::from_millis(1);
/// What helps when no checkpoint can be read.
const START_ANEW: &str = "Remove the folder `checkpoints` to begin again from the first step";

/// How often a checkpoint is made: after so many steps, or so many seconds, whichever is asked for and comes first.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Cadence {
    /// Steps; 0: however many.
    pub steps: usize,
    /// Seconds; 0: however long.
    pub seconds: f64,
}

impl Cadence {
    fn is_due(&self, steps: usize, time: Duration) -> bool {
        (self.steps > 0 && self.steps <= steps) || (self.seconds > 0.0 && self.seconds <= time.as_secs_f64())
    }
}

/// A snapshot on disk.
#[derive(Debug)]
pub struct Checkpoint {
    /// The file.
    pub path: PathBuf,
    /// What it holds.
    pub snapshot: Snapshot,
    /// How long `metrics.csv` was then.
    pub metrics_bytes: u64,
}

impl Checkpoint {
    /// The newest of the run in `folder` that can be read; none before the first.
    pub fn newest(folder: &Path) -> Result<Option<Self>, Error> {
        let metrics = fs::metadata(folder.join("metrics.csv")).map_or(0, |file| file.len());
        let mut failure = None;
        let mut paths = list(&folder.join(CHECKPOINTS)).into_iter().rev().peekable();
        while let Some(path) = paths.next() {
            let message = match read(&path) {
                Ok(checkpoint) if checkpoint.metrics_bytes <= metrics => return Ok(Some(checkpoint)),
                Ok(_) => "is newer than metrics.csv, which has lost rows".to_owned(),
                Err(message) => message,
            };
            if paths.peek().is_some() {
                tell!("pnnlab: {} {message}: the one before is tried", path.display());
            }
            failure = Some((path, message));
        }
        failure.map_or(Ok(None), |(path, message)| {
            Err(Error::Record { path, message: format!("{message}. {START_ANEW}") })
        })
    }

    /// The checkpoint that the content of the file at `path` is; the rest of the sentence says why it is none.
    pub fn parse(path: &Path, bytes: &[u8]) -> Result<Self, String> {
        let broken = |error: String| format!("is not a checkpoint: {error}");
        let (_, metadata) = SafeTensors::read_metadata(bytes).map_err(|error| broken(error.to_string()))?;
        let facts = metadata.metadata().clone().unwrap_or_default();
        let fact = |name: &str| facts.get(name).ok_or_else(|| broken(format!("it has no `{name}`")));
        if !FORMATS.contains(&fact("format")?.as_str()) {
            return Err(format!("has format {}, but this program reads {}", fact("format")?, FORMATS.join(" and ")));
        }
        let text = fact("position")?;
        let position = Position::parse(text)?;
        let metrics_bytes =
            fact("metrics_bytes")?.parse().map_err(|_| broken("`metrics_bytes` is no number".into()))?;
        let views = SafeTensors::deserialize(bytes).map_err(|error| broken(error.to_string()))?;
        let mut whole: Vec<(String, Vec<u8>)> =
            views.tensors().into_iter().map(|(name, view)| (name, view.data().to_vec())).collect();
        if digest(text, &mut whole) != *fact("sha256")? {
            return Err("is damaged: its checksum is another".to_owned());
        }
        let mut snapshot = Snapshot { position, tensors: matrices(&views).map_err(broken)? };
        packing::unpack(&mut snapshot).map_err(broken)?;
        Ok(Self { path: path.to_owned(), snapshot, metrics_bytes })
    }
}

/// The named matrices of a safetensors file.
pub(super) fn tensors_of(bytes: &[u8]) -> Result<Vec<NamedTensor>, String> {
    matrices(&SafeTensors::deserialize(bytes).map_err(|error| error.to_string())?)
}

fn matrices(views: &SafeTensors<'_>) -> Result<Vec<NamedTensor>, String> {
    let named = |(name, view): (String, TensorView<'_>)| {
        let (&[rows, columns], Dtype::F32) = (view.shape(), view.dtype()) else {
            return Err(format!("`{name}` is no matrix of 32-bit floats"));
        };
        let values: Vec<f32> = view.data().as_chunks::<4>().0.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect();
        Ok(NamedTensor { name, tensor: rows::tensor(values, [rows, columns]) })
    };
    views.tensors().into_iter().map(named).collect()
}

/// Numbers and tensors as a digest, so that a damaged file is not taken for a checkpoint.
fn digest(position: &str, tensors: &mut [(String, Vec<u8>)]) -> String {
    tensors.sort();
    let parts = tensors.iter().flat_map(|(name, bytes)| [name.as_bytes(), bytes]);
    let whole: Vec<u8> = std::iter::once(position.as_bytes()).chain(parts).flatten().copied().collect();
    calibration::digest(&whole)
}

fn read(path: &Path) -> Result<Checkpoint, String> {
    let bytes = read_bounded(path, MOST).map_err(|error| format!("cannot be read: {error}"))?;
    Checkpoint::parse(path, &bytes)
}

/// The values of a matrix as a safetensors file has them.
fn little_endian(named: &NamedTensor) -> Vec<u8> {
    rows::values(named.tensor.clone()).iter().flat_map(|value| value.to_le_bytes()).collect()
}

/// Named matrices as a safetensors file.
pub(super) fn to_file(
    tensors: &[NamedTensor],
    facts: Option<HashMap<String, String>>,
    path: &Path,
) -> Result<Vec<u8>, Error> {
    let bytes: Vec<(&str, Vec<usize>, Vec<u8>)> =
        tensors.iter().map(|named| (named.name.as_str(), named.tensor.dims().to_vec(), little_endian(named))).collect();
    let views: Result<Vec<_>, _> = bytes
        .iter()
        .map(|(name, shape, bytes)| TensorView::new(Dtype::F32, shape.clone(), bytes).map(|view| (*name, view)))
        .collect();
    views.and_then(|views| safetensors::serialize(views, facts)).map_err(|error: safetensors::SafeTensorError| {
        Error::Record { path: path.to_owned(), message: error.to_string() }
    })
}

/// Makes checkpoints of a run while it goes.
#[derive(Debug)]
pub struct Keeper {
    cadence: Cadence,
    last: (usize, Instant),
    jobs: Option<SyncSender<Job>>,
    /// What is written last, when the plants are safe: until then no disk is asked anything.
    last_snapshot: Option<Snapshot>,
    /// What writes `metrics.csv`: a checkpoint counts on the rows before it.
    journal: Arc<Journal>,
    /// Where every shot is written down: a checkpoint counts on those before it.
    shots: Option<ShotMarks>,
    thread: Option<JoinHandle<()>>,
    failure: Arc<Mutex<Option<Error>>>,
    backlog: Backlog,
}

/// A checkpoint to be written.
#[derive(Debug)]
struct Job {
    snapshot: Snapshot,
    /// How long `metrics.csv` is, once the rows before the mark are written.
    metrics: (u64, Mark),
    shots: Option<ShotMark>,
}

impl Keeper {
    /// Of the run in `folder`, `done` steps of which are done, whose rows `journal` writes and whose shots are written down where
    /// `shots` sets marks.
    pub fn new(
        folder: &Path,
        cadence: Cadence,
        done: usize,
        (journal, shots): (Arc<Journal>, Option<ShotMarks>),
    ) -> Result<Self, Error> {
        let within = folder.join(CHECKPOINTS);
        fs::create_dir_all(&within).map_err(Error::record(&within, "cannot be made"))?;
        // One waits while another is written; more would be old before they are.
        let (jobs, work) = sync_channel(1);
        let (failure, backlog) = (Arc::new(Mutex::new(None)), Backlog::default());
        let thread = {
            let (folder, failure, backlog) = (folder.to_owned(), failure.clone(), backlog.clone());
            let log = log::current();
            std::thread::Builder::new()
                .name("checkpoints".into())
                .spawn(move || {
                    let _log = log::adopt(log);
                    write_all(&folder, &work, (&failure, &backlog));
                    drop(work);
                    backlog.give_up();
                })
                .map_err(Error::record(&within, "cannot be written"))?
        };
        let last = (done, Instant::now());
        let (jobs, thread) = (Some(jobs), Some(thread));
        Ok(Self { cadence, last, jobs, last_snapshot: None, journal, shots, thread, failure, backlog })
    }

    /// Checkpoints that wait to be written.
    pub fn backlog(&self) -> Backlog {
        self.backlog.clone()
    }

    /// Makes a checkpoint if one is due after `step`. Where it must wait for the disk, it waits only until `is_asked` says that somebody
    /// wants something of the run: then there will be another one.
    pub fn keep(
        &mut self,
        step: usize,
        snapshot: impl FnOnce() -> Snapshot,
        is_asked: &dyn Fn() -> bool,
    ) -> Result<(), Error> {
        if !self.cadence.is_due(step - self.last.0, self.last.1.elapsed()) {
            return Ok(());
        }
        self.fail()?;
        if let Some(jobs) = &self.jobs {
            let by_step = self.cadence.steps > 0 && self.cadence.steps <= step - self.last.0;
            let mut job = self.job(snapshot());
            self.backlog.add();
            let sent = loop {
                job = match jobs.try_send(job) {
                    // The disk is slower than the cadence: the next step tries again.
                    Err(TrySendError::Full(_)) if !by_step || is_asked() => {
                        self.backlog.take_back();
                        return Ok(());
                    }
                    Err(TrySendError::Full(job)) => job,
                    sent => break sent.map_err(drop),
                };
                std::thread::sleep(LOOK);
            };
            // A writer that is gone has said why.
            if sent.is_err() {
                self.backlog.take_back();
                return self.fail();
            }
        }
        self.last = (step, Instant::now());
        Ok(())
    }

    /// Makes the last checkpoint; [`Self::finish`] writes it.
    pub fn keep_last(&mut self, snapshot: Snapshot) {
        self.last_snapshot = Some(snapshot);
    }

    /// Writes the last checkpoint, if there is one, and waits until all are on the disk.
    pub fn finish(&mut self) -> Result<(), Error> {
        if let (Some(jobs), Some(snapshot)) = (self.jobs.take(), self.last_snapshot.take()) {
            self.backlog.add();
            if jobs.send(self.job(snapshot)).is_err() {
                self.backlog.take_back();
            }
        }
        self.join();
        self.fail()
    }

    /// What a checkpoint holds, and counts on.
    fn job(&self, snapshot: Snapshot) -> Job {
        Job { snapshot, metrics: self.journal.mark(), shots: self.shots.as_ref().map(ShotMarks::set) }
    }

    fn fail(&self) -> Result<(), Error> {
        let failure = self.failure.lock().unwrap_or_else(PoisonError::into_inner).take();
        failure.map_or(Ok(()), Err)
    }

    fn join(&mut self) {
        self.jobs = None;
        if let Some(thread) = self.thread.take() {
            drop(thread.join());
        }
    }
}

impl Drop for Keeper {
    fn drop(&mut self) {
        self.join();
    }
}

fn write_all(folder: &Path, work: &Receiver<Job>, (failure, backlog): (&Mutex<Option<Error>>, &Backlog)) {
    for Job { snapshot, metrics: (metrics_bytes, rows), shots } in work {
        rows.wait();
        // Without its shots a checkpoint is none; that they cannot be written ends the run.
        let whole = shots.map_or(Ok(true), ShotMark::wait);
        let written = whole.and_then(|whole| if whole { write(folder, snapshot, metrics_bytes) } else { Ok(()) });
        if let Err(error) = written {
            *failure.lock().unwrap_or_else(PoisonError::into_inner) = Some(error);
            return;
        }
        backlog.done();
    }
}

fn write(folder: &Path, mut snapshot: Snapshot, metrics_bytes: u64) -> Result<(), Error> {
    packing::pack(&mut snapshot);
    let within = folder.join(CHECKPOINTS);
    // What the checkpoint counts on is on the disk before it.
    let metrics = folder.join("metrics.csv");
    File::open(&metrics).and_then(|file| file.sync_all()).map_err(Error::record(&metrics, "cannot be written"))?;
    let path = within.join(format!("step-{:09}.safetensors", snapshot.position.done));
    let position = toml::to_string(&snapshot.position)
        .map_err(|error| Error::Record { path: path.clone(), message: error.to_string() })?;
    let mut whole: Vec<(String, Vec<u8>)> =
        snapshot.tensors.iter().map(|named| (named.name.clone(), little_endian(named))).collect();
    let sha256 = digest(&position, &mut whole);
    let facts = [
        ("format", FORMAT.into()),
        ("position", position),
        ("metrics_bytes", metrics_bytes.to_string()),
        ("sha256", sha256),
    ];
    let facts = facts.into_iter().map(|(name, value): (&str, String)| (name.to_owned(), value)).collect();
    replace(&path, &to_file(&snapshot.tensors, Some(facts), &path)?)?;
    tracing::info!(step = snapshot.position.done, "checkpoint");
    let all = list(&within);
    for old in all.iter().rev().filter(|one| **one != path).skip(KEPT - 1) {
        drop(fs::remove_file(old));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::ShotRecorder;
    use drivers::{Bank, Batch, Card, Identity, Origin, Ports, Range, Timing};

    fn snapshot(done: usize) -> Snapshot {
        let values = vec![f32::MIN_POSITIVE, -0.0, 1.0 / 3.0, done as f32];
        let tensor = rows::tensor(values, [1, 4]);
        let position = Position { done, seconds: [0.1 + 0.2, 1.0 / 3.0, 1e-300, 0.0], ..Position::default() };
        Snapshot { position, tensors: vec![NamedTensor { name: "weight/x".into(), tensor }] }
    }

    #[test]
    fn the_newest_comes_back_bit_for_bit_and_two_are_kept() {
        let folder = tempfile::tempdir().unwrap();
        let journal = Journal::within(folder.path());
        assert!(Checkpoint::newest(folder.path()).unwrap().is_none());
        let mut keeper = Keeper::new(folder.path(), Cadence { steps: 2, seconds: 0.0 }, 0, (journal, None)).unwrap();
        for step in 1..=7 {
            keeper.keep(step, || snapshot(step), &|| false).unwrap();
        }
        keeper.keep_last(snapshot(7));
        keeper.finish().unwrap();
        let kept: Vec<_> = list(&folder.path().join(CHECKPOINTS));
        assert_eq!(kept.len(), 2);
        let newest = Checkpoint::newest(folder.path()).unwrap().unwrap();
        assert_eq!(newest.snapshot.position, snapshot(7).position);
        let bits = |snapshot: &Snapshot| {
            rows::values(snapshot.tensors[0].tensor.clone()).into_iter().map(f32::to_bits).collect::<Vec<_>>()
        };
        assert_eq!(bits(&newest.snapshot), bits(&snapshot(7)));

        // A broken one is passed over for the one before: here one bit of a weight.
        let mut bytes = fs::read(&kept[1]).unwrap();
        *bytes.last_mut().unwrap() ^= 1;
        assert!(read(&kept[1]).is_ok());
        fs::write(&kept[1], bytes).unwrap();
        assert!(read(&kept[1]).unwrap_err().contains("damaged"));
        assert_eq!(Checkpoint::newest(folder.path()).unwrap().unwrap().snapshot.position.done, 6);
        fs::write(&kept[0], "broken").unwrap();
        assert!(Checkpoint::newest(folder.path()).unwrap_err().to_string().contains("is not a checkpoint"));
    }
    #[test]
    fn a_checkpoint_waits_for_its_shots_and_is_none_without_them() {
        let folder = tempfile::tempdir().unwrap();
        let journal = Journal::within(folder.path());
        let bank = |name: &str| vec![Bank::new(name, 1, "V", Range::new(-1.0, 1.0))];
        let ports = Ports { inputs: bank("in"), controls: vec![], outputs: bank("out") };
        let identity = Identity { system: "test".into(), serial: "1".into(), origin: Origin::Simulated };
        let plants = [("a".to_owned(), Card { identity, ports, timing: Timing::default() })];
        let mut recorder = ShotRecorder::create(folder.path(), &plants, &HashMap::new()).unwrap();
        let cadence = Cadence { steps: 1, seconds: 0.0 };
        let keep = |step, recorder: &ShotRecorder| {
            let mut keeper = Keeper::new(folder.path(), cadence, 0, (journal.clone(), recorder.marks())).unwrap();
            keeper.keep_last(snapshot(step));
            keeper.finish().unwrap();
        };
        let (right, wrong) = (Batch::zeros(2, 1), Batch::zeros(2, 3));
        recorder.take(0, (2, 0.0), &[], (&right, &right)).unwrap();
        keep(1, &recorder);
        assert_eq!(list(&folder.path().join(CHECKPOINTS)).len(), 1);
        recorder.take(0, (4, 0.0), &[], (&wrong, &right)).unwrap();
        keep(2, &recorder);
        let newest = Checkpoint::newest(folder.path()).unwrap().unwrap();
        assert_eq!(newest.snapshot.position.done, 1, "its shots are not on the disk");
    }

    #[test]
    fn a_disk_that_hangs_keeps_nobody_who_asks_waiting() {
        let folder = tempfile::tempdir().unwrap();
        let (recorder, disk) = ShotRecorder::of_a_disk_that_hangs();
        let journal = Journal::within(folder.path());
        let cadence = Cadence { steps: 1, seconds: 0.0 };
        let mut keeper = Keeper::new(folder.path(), cadence, 0, (journal.clone(), recorder.marks())).unwrap();
        // One is being written, one waits behind it: sooner or later there is room for no other.
        for step in 1..=9 {
            keeper.keep(step, || snapshot(step), &|| true).unwrap();
        }
        assert!(keeper.backlog().waiting().0 <= 2);
        keeper.keep_last(snapshot(9));
        drop(disk);
        keeper.finish().unwrap();
    }

    #[test]
    fn what_cannot_be_written_waits_no_longer() {
        let folder = tempfile::tempdir().unwrap();
        let journal = Journal::within(folder.path());
        let cadence = Cadence { steps: 1, seconds: 0.0 };
        let mut keeper = Keeper::new(folder.path(), cadence, 0, (journal, None)).unwrap();
        fs::remove_file(folder.path().join("metrics.csv")).unwrap();
        keeper.keep(1, || snapshot(1), &|| false).unwrap();
        let bound = Instant::now() + Duration::from_mins(1);
        while keeper.thread.as_ref().is_some_and(|thread| !thread.is_finished()) {
            assert!(Instant::now() < bound, "it still writes");
            std::thread::yield_now();
        }
        assert_eq!(keeper.backlog().waiting().0, 0, "what failed");
        assert!(keeper.keep(2, || snapshot(2), &|| false).is_err());
        // Said once; the writer is gone.
        keeper.keep(3, || snapshot(3), &|| false).unwrap();
        assert_eq!(keeper.backlog().waiting().0, 0, "what was not sent");
    }
}
