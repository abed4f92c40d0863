//! What a run writes while it goes, `metrics.csv`, `events.jsonl` and `reference.csv`, by a thread of its own: a disk that hangs keeps
//! nobody from making the plants safe.

use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use serde_json::json;

use crate::Error;
use crate::event::Event;
use crate::plants::{Driven, ShotTap};
use crate::record::facts::unix_seconds;
use crate::record::room::make_room;
use crate::writing::{Backlog, Mark, Writer, replace};

/// Lines that may wait before the plants wait for the disk.
const WAITING: usize = 1024;

/// Writes the lines of one run.
#[derive(Debug)]
pub struct Journal {
    folder: PathBuf,
    metrics: Arc<File>,
    events: Arc<File>,
    /// The length of `metrics.csv` once all is written.
    metrics_bytes: AtomicU64,
    writer: Writer,
}

impl Journal {
    /// Of the run in `folder`; both files are open for appending, `metrics` is `bytes` long.
    pub(super) fn new(folder: &Path, (metrics, bytes): (File, u64), events: File) -> Result<Self, Error> {
        let writer = Writer::start("record").map_err(Error::record(folder, "cannot be written"))?;
        let (metrics, events) = (Arc::new(metrics), Arc::new(events));
        Ok(Self { folder: folder.to_owned(), metrics, events, metrics_bytes: AtomicU64::new(bytes), writer })
    }

    /// Adds a row to `metrics.csv`.
    pub(super) fn add_row(&self, row: &str) -> Result<(), Error> {
        let line = format!("{row}\n");
        self.metrics_bytes.fetch_add(line.len() as u64, Ordering::Relaxed);
        let (file, path) = (self.metrics.clone(), self.folder.join("metrics.csv"));
        self.writer.hand(move || (&*file).write_all(line.as_bytes()).map_err(Error::record(&path, "cannot be written")))
    }

    /// Adds an event to `events.jsonl`, with its time.
    pub fn add_event(&self, event: &Event) -> Result<(), Error> {
        let mut line = json!(event);
        line["unix_seconds"] = json!(unix_seconds());
        let line = format!("{line}\n");
        // How a run ended is worth an old checkpoint.
        let insists = matches!(event, Event::Safe | Event::Failed { .. } | Event::Finished { .. });
        let (file, folder) = (self.events.clone(), self.folder.clone());
        self.writer.hand(move || {
            let path = folder.join("events.jsonl");
            let write = || (&*file).write_all(line.as_bytes()).map_err(Error::record(&path, "cannot be written"));
            if insists { insist(&folder, write) } else { write() }
        })
    }

    /// Puts `text` into the file `name` of the run, in the place of what was there.
    pub fn replace(&self, name: &str, text: String) -> Result<(), Error> {
        let path = self.folder.join(name);
        self.writer.hand(move || replace(&path, text.as_bytes()))
    }

    /// How long `metrics.csv` is with all its rows until now, and a mark behind them.
    pub(super) fn mark(&self) -> (u64, Mark) {
        (self.metrics_bytes.load(Ordering::Relaxed), self.writer.mark())
    }

    /// Waits until all is written.
    pub fn flush(&self) -> Result<(), Error> {
        self.writer.flush()
    }

    /// What waits to be written.
    pub fn backlog(&self) -> Backlog {
        self.writer.backlog().clone()
    }
}

/// Plants wait for the disk before too many lines do.
impl ShotTap for Arc<Journal> {
    fn see(&mut self, _: &Driven<'_>) -> Result<(), Error> {
        Ok(())
    }

    fn has_room(&self) -> bool {
        self.writer.backlog().waiting().0 < WAITING
    }

    fn finish(&mut self) -> Result<(), Error> {
        self.flush()
    }
}

/// Writes; on a full disk again, with the room that an old checkpoint took.
pub(super) fn insist(folder: &Path, write: impl Fn() -> Result<(), Error>) -> Result<(), Error> {
    write().or_else(|error| if make_room(folder) { write() } else { Err(error) })
}

#[cfg(test)]
impl Journal {
    /// Of a run whose folder has an empty `metrics.csv` and `events.jsonl` from now on.
    pub fn within(folder: &Path) -> Arc<Self> {
        let open = |name: &str| std::fs::OpenOptions::new().append(true).create(true).open(folder.join(name)).unwrap();
        Arc::new(Self::new(folder, (open("metrics.csv"), 0), open("events.jsonl")).unwrap())
    }

    /// The journal of a disk that takes nothing, for as long as what is returned with it lives.
    pub fn of_a_disk_that_hangs(folder: &Path) -> (Arc<Self>, impl Sized) {
        let journal = Self::within(folder);
        let (disk, hangs) = std::sync::mpsc::channel::<()>();
        let work = move || {
            let _ = hangs.recv();
            Ok(())
        };
        journal.writer.hand(work).unwrap();
        (0..WAITING).for_each(|_| journal.add_row("").unwrap());
        (journal, disk)
    }
}
