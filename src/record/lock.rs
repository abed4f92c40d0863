//! The lock of a run: whoever runs it has its `events.jsonl` locked. That holds in every process namespace of this machine, where the
//! number of a process in a container means nothing outside.

use std::fs::{File, OpenOptions, TryLockError};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::time::Duration;

use rustix::fs::OFlags;

use crate::Error;

/// How often, and how long apart, a lock that is held is tried again: somebody who only looks has it for a moment.
const LOOKS: u32 = 5;
const LOOK: Duration = Duration::from_millis(5);

/// Makes this process the only one that runs the run in `folder`, as long as `events` is open.
pub(crate) fn own(events: &File, folder: &Path) -> Result<(), Error> {
    let refuse = |message: String| Err(Error::Record { path: folder.to_owned(), message });
    for look in 0..LOOKS {
        if 0 < look {
            std::thread::sleep(LOOK);
        }
        match events.try_lock() {
            Ok(()) => return Ok(()),
            Err(TryLockError::WouldBlock) => {}
            Err(TryLockError::Error(error)) => return refuse(format!("cannot be locked: {error}")),
        }
    }
    refuse("is being run by another process: stop that first, or `pnnlab watch` it".to_owned())
}

/// Whether a process of this machine runs the run in `folder`. Nobody runs one without a record of events.
pub(crate) fn is_held(folder: &Path) -> bool {
    events(folder).is_ok_and(|events| matches!(events.try_lock_shared(), Err(TryLockError::WouldBlock)))
}

/// The lock of a run that nobody runs, so that nobody goes on with it meanwhile; an error where somebody does.
///
/// None where it has no record of events, or where the file system has no locks.
pub(crate) fn hold(folder: &Path) -> Result<Option<File>, Error> {
    let Ok(events) = events(folder) else { return Ok(None) };
    match events.try_lock() {
        Ok(()) => Ok(Some(events)),
        Err(TryLockError::WouldBlock) => own(&events, folder).map(|()| Some(events)),
        Err(TryLockError::Error(_)) => Ok(None),
    }
}

/// The record of events, which is neither followed where it is a link nor waited for where it is a pipe.
fn events(folder: &Path) -> std::io::Result<File> {
    let flags = OFlags::NOFOLLOW | OFlags::NONBLOCK;
    OpenOptions::new().read(true).custom_flags(flags.bits() as i32).open(folder.join("events.jsonl"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_runs_a_run_has_its_lock_whatever_its_number() {
        let folder = tempfile::tempdir().unwrap();
        assert!(!is_held(folder.path()) && hold(folder.path()).unwrap().is_none(), "no record");
        let file = File::create(folder.path().join("events.jsonl")).unwrap();
        own(&file, folder.path()).unwrap();
        assert!(is_held(folder.path()));
        let error = hold(folder.path()).unwrap_err().to_string();
        assert!(error.contains("is being run by another process"), "{error}");
        drop(file);
        assert!(!is_held(folder.path()));
        let held = hold(folder.path()).unwrap().unwrap();
        assert!(is_held(folder.path()));
        drop(held);
    }
}
