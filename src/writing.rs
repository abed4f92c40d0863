//! Writing: whole files, and by a thread of its own, so that who hands it work never waits for the disk.

mod backlog;

use std::path::Path;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

use crate::{Error, whole_file};

pub use backlog::Backlog;

/// Puts `bytes` at `path`, below the folder of runs, whole or not at all, and on the disk before this returns.
pub fn replace(path: &Path, bytes: &[u8]) -> Result<(), Error> {
    replace_chosen(path, bytes, "--runs")
}

/// The same at a place that `option` of the command line chose.
pub fn replace_chosen(path: &Path, bytes: &[u8], option: &str) -> Result<(), Error> {
    whole_file::replace(path, bytes).map_err(Error::chosen(path, "cannot be written", option))
}

/// Pieces of work that may wait. Whoever hands over more waits for the disk: memory has an end as well.
const MOST: usize = 1 << 16;

/// What the thread is handed.
enum Work {
    /// Writes one thing, and says what went wrong.
    Write(Box<dyn FnOnce() -> Result<(), Error> + Send>),
    /// Is told when all before it is done.
    Mark(Sender<()>),
}

/// A thread that writes what it is handed, in that order.
#[derive(Debug)]
pub struct Writer {
    work: Option<Sender<Work>>,
    thread: Option<JoinHandle<()>>,
    failure: Arc<Mutex<Option<Error>>>,
    backlog: Backlog,
}

impl Writer {
    /// Starts the thread, called `name`.
    pub fn start(name: &str) -> std::io::Result<Self> {
        let (sender, work) = channel();
        let (failure, backlog) = (Arc::new(Mutex::new(None)), Backlog::default());
        let thread = {
            let (failure, backlog) = (failure.clone(), backlog.clone());
            std::thread::Builder::new().name(name.into()).spawn(move || write_all(&work, &failure, &backlog))?
        };
        Ok(Self { work: Some(sender), thread: Some(thread), failure, backlog })
    }

    /// Hands over a piece of work. The error is one of an earlier piece; each is said once, and work after it is tried as well.
    pub fn hand(&self, work: impl FnOnce() -> Result<(), Error> + Send + 'static) -> Result<(), Error> {
        if MOST <= self.backlog.waiting().0 {
            self.mark().wait();
        }
        self.send(Work::Write(Box::new(work)));
        self.fail()
    }

    /// A mark behind all that was handed over until now.
    pub fn mark(&self) -> Mark {
        let (written, told) = channel();
        self.send(Work::Mark(written));
        Mark(told)
    }

    /// Waits until all that was handed over is written; the error is the first that nobody has been told.
    pub fn flush(&self) -> Result<(), Error> {
        self.mark().wait();
        self.fail()
    }

    /// What waits to be written.
    pub fn backlog(&self) -> &Backlog {
        &self.backlog
    }

    fn send(&self, work: Work) {
        self.backlog.add();
        if self.work.as_ref().is_none_or(|sender| sender.send(work).is_err()) {
            self.backlog.take_back();
        }
    }

    fn fail(&self) -> Result<(), Error> {
        self.failure.lock().unwrap_or_else(PoisonError::into_inner).take().map_or(Ok(()), Err)
    }
}

/// What was handed over is written before the thread ends.
impl Drop for Writer {
    fn drop(&mut self) {
        self.work = None;
        if let Some(thread) = self.thread.take() {
            drop(thread.join());
        }
    }
}

/// A mark behind some work.
#[derive(Debug)]
pub struct Mark(Receiver<()>);

impl Mark {
    /// Waits until all work before it is done.
    pub fn wait(self) {
        // A thread that is gone has nothing left to do.
        let _ = self.0.recv();
    }
}

fn write_all(work: &Receiver<Work>, failure: &Mutex<Option<Error>>, backlog: &Backlog) {
    for work in work {
        match work {
            Work::Write(write) => {
                if let Err(error) = write() {
                    failure.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(error);
                }
                backlog.done();
            }
            Work::Mark(told) => {
                // Who is told finds nothing that waits. Who has gone waits for nothing.
                backlog.done();
                let _ = told.send(());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn work_is_done_in_order_and_its_failure_is_told_once() {
        let writer = Writer::start("test").unwrap();
        let seen = Arc::new(Mutex::new(vec![]));
        for number in 0..100 {
            let seen = seen.clone();
            writer
                .hand(move || {
                    seen.lock().unwrap().push(number);
                    Ok(())
                })
                .unwrap();
        }
        writer.flush().unwrap();
        assert_eq!(*seen.lock().unwrap(), (0..100).collect::<Vec<_>>());
        let broken = || Err(Error::Usage("the disk is full".into()));
        writer.hand(broken).and_then(|()| writer.flush()).unwrap_err();
        writer.flush().unwrap();
        let after = seen.clone();
        writer
            .hand(move || {
                after.lock().unwrap().clear();
                Ok(())
            })
            .unwrap();
        drop(writer);
        assert!(seen.lock().unwrap().is_empty(), "what was handed over is done before the thread ends");
    }

    #[test]
    fn a_disk_that_hangs_keeps_nobody_waiting() {
        let (go_on, hangs) = channel::<()>();
        let writer = Writer::start("test").unwrap();
        writer
            .hand(move || {
                let _ = hangs.recv();
                Ok(())
            })
            .unwrap();
        for _ in 0..1000 {
            writer.hand(|| Ok(())).unwrap();
        }
        assert_eq!(writer.backlog().waiting().0, 1001);
        drop(go_on);
        writer.flush().unwrap();
        assert_eq!(writer.backlog().waiting().0, 0);
    }
}
