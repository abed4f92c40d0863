//! Files that are there whole or not at all, whatever ends the program or fills the disk meanwhile.

use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};

/// Puts `bytes` at `path`, in the place of what was there, and on the disk before this returns. Where it fails, what was there stays.
pub fn replace(path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    let beside = beside(path);
    let write = || {
        let mut file = File::create(&beside)?;
        file.write_all(bytes)?;
        file.sync_all()?;
        fs::rename(&beside, path)?;
        // The new name is on the disk when its folder is; where a folder cannot be opened or synced, the system does it in time.
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let _ = File::open(folder).and_then(|folder| folder.sync_all());
        Ok(())
    };
    write().inspect_err(|_| {
        // On a full disk it is half a file.
        let _ = fs::remove_file(&beside);
    })
}

/// Whether `replace` could put a file at `path`: the file beside it is made and removed, and what is at `path` stays.
pub fn probe(path: &Path) -> std::io::Result<()> {
    if path.is_dir() {
        return Err(std::io::ErrorKind::IsADirectory.into());
    }
    let beside = beside(path);
    File::create(&beside)?;
    fs::remove_file(&beside)
}

/// Where a file is written before it has its name: with the number of this process, since two may write to one place.
fn beside(path: &Path) -> PathBuf {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    path.with_file_name(format!(".{name}.{}.partial", std::process::id()))
}

/// Removes what killed processes have left in `folder`, which is this process's own.
pub fn sweep(folder: &Path) {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let is_left = |name: &str| name.starts_with('.') && name.ends_with(".partial");
    for entry in entries.filter(|entry| entry.file_name().to_str().is_some_and(is_left)) {
        // Of a folder that cannot be written the next file will say so.
        let _ = fs::remove_file(entry.path());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_replaced_whole_or_stays() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.toml");
        replace(&path, b"one").unwrap();
        replace(&path, b"two").unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"two");
        // A folder cannot be replaced by a file.
        let taken = folder.path().join("taken");
        fs::create_dir_all(taken.join("inside")).unwrap();
        replace(&taken, b"three").unwrap_err();
        assert!(taken.is_dir());
        let names: Vec<_> = fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        assert_eq!(names.len(), 2, "nothing is left beside them: {names:?}");
        fs::write(folder.path().join(".a.toml.4294967295.partial"), "hal").unwrap();
        sweep(folder.path());
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 2);
    }
}
