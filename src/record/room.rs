//! The checkpoints of a run as files: which there are, and the room that old ones give.

use std::fs;
use std::path::{Path, PathBuf};

/// The folder in the run folder.
pub const CHECKPOINTS: &str = "checkpoints";

/// Makes room on a full disk: all checkpoints but the newest go. Whether there were any.
pub fn make_room(folder: &Path) -> bool {
    let all = list(&folder.join(CHECKPOINTS));
    let old = all.split_last().map_or(&[][..], |(_, old)| old);
    old.iter().filter(|path| fs::remove_file(path).is_ok()).count() > 0
}

/// The checkpoints of a folder, oldest first.
pub fn list(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path());
    let is_one = |path: &PathBuf| path.extension().is_some_and(|extension| extension == "safetensors");
    let mut paths: Vec<PathBuf> = entries.filter(is_one).collect();
    paths.sort();
    paths
}
