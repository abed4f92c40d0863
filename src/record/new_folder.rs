//! Where something new goes: a folder that nobody else has, also where several begin within one second.

use std::fs::{self, File};
use std::io::{Error as IoError, ErrorKind, Result as IoResult};
use std::path::{Path, PathBuf};

use rustix::fs::{CWD, RenameFlags, renameat_with};
use rustix::io::Errno;

use crate::Error;

/// A new folder, as its user has named it, or by the time, with a number where that is taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewFolder {
    wanted: PathBuf,
    is_named: bool,
}

impl NewFolder {
    /// This one and no other.
    pub fn named(folder: &Path) -> Self {
        Self { wanted: folder.to_owned(), is_named: true }
    }

    /// This one, or the first of `FOLDER-2`, `FOLDER-3` … that is free.
    pub fn numbered(folder: &Path) -> Self {
        Self { wanted: folder.to_owned(), is_named: false }
    }

    /// Its name, where that is free.
    pub fn wanted(&self) -> &Path {
        &self.wanted
    }

    /// Refuses one that its user has named and that exists.
    pub fn refuse_existing(&self) -> Result<(), Error> {
        if self.is_named && self.wanted.exists() { Err(exists(&self.wanted)) } else { Ok(()) }
    }

    /// The first of its names that is free, by `take`, which takes a name or fails because it exists.
    ///
    /// Whether a name is free is not asked before: two who ask at once would both be told that it is.
    pub fn take(&self, mut take: impl FnMut(&Path) -> IoResult<()>) -> Result<PathBuf, Error> {
        let name = self.wanted.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let mut number = 1_u64;
        let mut folder = self.wanted.clone();
        loop {
            let free = if !self.is_named && output_beside(&folder).exists() {
                Err(IoError::from(ErrorKind::AlreadyExists))
            } else {
                take(&folder)
            };
            match free {
                Ok(()) => return Ok(folder),
                Err(error) if !is_taken(&error) => return Err(Error::record(&folder, "cannot be made")(error)),
                Err(_) if self.is_named => return Err(exists(&folder)),
                Err(_) => {
                    number += 1;
                    folder = self.wanted.with_file_name(format!("{name}-{number}"));
                }
            }
        }
    }

    /// Makes it, and the folders above it.
    pub fn make(&self) -> Result<PathBuf, Error> {
        make_parent(&self.wanted)?;
        self.take(|folder| fs::create_dir(folder))
    }

    /// The same for what a process of its own is to make: an empty file beside it says until then that the name is taken.
    pub fn reserve(&self) -> Result<(PathBuf, PathBuf, File), Error> {
        make_parent(&self.wanted)?;
        let mut reserved = None;
        let folder = self.take(|folder| {
            if folder.exists() {
                return Err(ErrorKind::AlreadyExists.into());
            }
            let output = output_beside(folder);
            // What is left over beside a name that its user gives is nobody's.
            let file = if self.is_named { File::create(&output) } else { File::create_new(&output) }?;
            reserved = Some((output, file));
            Ok(())
        })?;
        // It was taken, so it is there.
        let (output, file) = reserved.ok_or_else(|| exists(&folder))?;
        Ok((folder, output, file))
    }
}

/// The file beside a folder that its training, in a process of its own, writes to until it has made the folder: the name is taken by then.
fn output_beside(folder: &Path) -> PathBuf {
    let name = folder.file_name().unwrap_or_default().to_string_lossy();
    folder.with_file_name(format!(".{name}.output.txt"))
}

/// Makes the folders above `folder`.
pub(super) fn make_parent(folder: &Path) -> Result<(), Error> {
    match folder.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => {
            fs::create_dir_all(parent).map_err(Error::record(parent, "cannot be made"))
        }
        _ => Ok(()),
    }
}

/// Gives the folder `from` the name `to`, and fails where that exists, even where it is an empty folder.
pub(super) fn rename_new(from: &Path, to: &Path) -> IoResult<()> {
    match renameat_with(CWD, from, CWD, to, RenameFlags::NOREPLACE) {
        // Not every file system can do it at once.
        Err(Errno::INVAL | Errno::NOSYS | Errno::NOTSUP) if to.exists() => Err(ErrorKind::AlreadyExists.into()),
        Err(Errno::INVAL | Errno::NOSYS | Errno::NOTSUP) => fs::rename(from, to),
        renamed => Ok(renamed?),
    }
}

/// Whether something failed because the name is taken.
fn is_taken(error: &IoError) -> bool {
    matches!(error.kind(), ErrorKind::AlreadyExists | ErrorKind::DirectoryNotEmpty)
}

fn exists(folder: &Path) -> Error {
    let message = "exists already, and a run is never overwritten: give another --name, or leave it out".to_owned();
    Error::Record { path: folder.to_owned(), message }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn many_who_begin_at_once_get_a_folder_each() {
        let place = tempfile::tempdir().unwrap();
        let wanted = place.path().join("runs/20261123-094147-small");
        let barrier = std::sync::Barrier::new(8);
        let make = |thread: u32| {
            // As a run is made: whole at once, from a hidden folder of its own.
            let partial = place.path().join(format!("runs/.{thread}.partial"));
            make_parent(&wanted).unwrap();
            fs::create_dir(&partial).unwrap();
            fs::write(partial.join("run.json"), "{}").unwrap();
            barrier.wait();
            NewFolder::numbered(&wanted).take(|folder| rename_new(&partial, folder)).unwrap()
        };
        let made: std::collections::BTreeSet<PathBuf> = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..8)
                .map(|thread| {
                    scope.spawn({
                        let make = &make;
                        move || make(thread)
                    })
                })
                .collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).collect()
        });
        assert_eq!(made.len(), 8);
        assert!(made.contains(&wanted) && made.iter().all(|folder| folder.join("run.json").is_file()), "{made:?}");
        assert!(NewFolder::numbered(&wanted).make().unwrap().ends_with("20261123-094147-small-9"));
    }

    #[test]
    fn a_name_that_is_taken_is_refused_and_nothing_is_replaced() {
        let place = tempfile::tempdir().unwrap();
        let named = NewFolder::named(&place.path().join("a/one"));
        named.refuse_existing().unwrap();
        assert_eq!(named.make().unwrap(), place.path().join("a/one"));
        for error in [named.refuse_existing().unwrap_err(), named.make().unwrap_err()] {
            assert!(error.to_string().contains("exists already"), "{error}");
        }
        let other = place.path().join("other");
        fs::create_dir(&other).unwrap();
        let error = rename_new(&other, named.wanted()).unwrap_err();
        assert!(is_taken(&error) && other.is_dir(), "an empty folder is somebody's as well: {error}");
        // One whose training is about to make it.
        fs::write(output_beside(&place.path().join("b")), "").unwrap();
        let folder = NewFolder::numbered(&place.path().join("b")).make().unwrap();
        assert_eq!(folder, place.path().join("b-2"));
    }
}
