//! Logs, by `tracing`: for people on standard error, for programs as lines of JSON in the folder of the run (`log.jsonl`).
//!
//! Standard error shows warnings and worse, or what `PNNLAB_LOG` names (error, warn, info, debug, trace). A run's file gets all from
//! info on that the threads of that run say.

use std::cell::RefCell;
use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::path::Path;
use std::sync::Arc;

use tracing::level_filters::LevelFilter;
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{Layer, fmt, registry};

use crate::Error;
use crate::writing::Writer;

/// The name of the file in the run folder.
pub const LOG: &str = "log.jsonl";
/// The environment variable that says how much standard error shows.
const LEVEL: &str = "PNNLAB_LOG";

thread_local! {
    /// Where this thread's run is logged.
    static RUN: RefCell<Option<Arc<RunLog>>> = const { RefCell::new(None) };
}

/// The log of a run, written by a thread of its own: whoever drives plants does not wait for it.
#[derive(Debug)]
pub struct RunLog {
    file: Arc<File>,
    writer: Writer,
}

/// Starts logging. Called once, before anything is done.
pub fn start() {
    let wanted = std::env::var(LEVEL).ok();
    let level = wanted.as_deref().map_or(Ok(LevelFilter::WARN), str::parse);
    let people = fmt::layer().without_time().with_target(false).with_writer(io::stderr);
    let programs = fmt::layer().json().flatten_event(true).with_writer(RunFile).with_filter(LevelFilter::INFO);
    // A second start, as in tests, changes nothing.
    let _ =
        registry().with(people.with_filter(*level.as_ref().unwrap_or(&LevelFilter::WARN))).with(programs).try_init();
    if level.is_err() {
        tracing::warn!("{LEVEL} is none of error, warn, info, debug, trace: it is left aside");
    }
}

/// This thread's run is logged in `folder` until what is returned is dropped.
pub fn within(folder: &Path) -> Result<Guard, Error> {
    let path = folder.join(LOG);
    let file = OpenOptions::new().append(true).create(true).open(&path);
    let log = file.and_then(|file| Ok(RunLog { file: Arc::new(file), writer: Writer::start("log")? }));
    Ok(adopt(Some(Arc::new(log.map_err(Error::record(&path, "cannot be written"))?))))
}

/// The log of this thread's run, for threads that work for it.
pub fn current() -> Option<Arc<RunLog>> {
    RUN.with_borrow(Clone::clone)
}

/// This thread works for the run with that log until what is returned is dropped.
pub fn adopt(log: Option<Arc<RunLog>>) -> Guard {
    Guard(RUN.replace(log))
}

/// Puts back what this thread logged to before, once all that was logged is written.
pub struct Guard(Option<Arc<RunLog>>);

impl Drop for Guard {
    fn drop(&mut self) {
        if let Some(log) = RUN.replace(self.0.take()) {
            log.writer.mark().wait();
        }
    }
}

/// Writes to the log of this thread's run, or nowhere.
struct RunFile;

impl<'a> MakeWriter<'a> for RunFile {
    type Writer = RunLine;

    fn make_writer(&'a self) -> RunLine {
        RunLine(current())
    }
}

/// One line on its way.
struct RunLine(Option<Arc<RunLog>>);

impl Write for RunLine {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if let Some(log) = &self.0 {
            let (file, line) = (log.file.clone(), bytes.to_vec());
            // A log that cannot be written stops nobody: what must be kept is in the record.
            let _ = log.writer.hand(move || {
                let _ = (&*file).write_all(&line);
                Ok(())
            });
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thread_logs_to_its_own_run() {
        start();
        let folders = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
        let read = |index: usize| std::fs::read_to_string(folders[index].path().join(LOG)).unwrap();
        let outer = within(folders[0].path()).unwrap();
        {
            let _inner = within(folders[1].path()).unwrap();
            tracing::info!(step = 3, "inner");
            let log = current();
            let helper = std::thread::spawn(move || {
                let _adopted = adopt(log);
                tracing::info!("helper");
            });
            helper.join().unwrap();
        }
        tracing::info!("outer");
        drop(outer);
        tracing::info!("nowhere");
        assert_eq!((read(0).lines().count(), read(1).lines().count()), (1, 2));
        let line: serde_json::Value = serde_json::from_str(read(1).lines().next().unwrap()).unwrap();
        assert_eq!(
            (line["level"].as_str(), line["message"].as_str(), line["step"].as_u64()),
            (Some("INFO"), Some("inner"), Some(3))
        );
    }
}
