//! Who draws what was trained: training leaves folders behind and knows no figure.

use std::path::{Path, PathBuf};

use crate::Error;

/// Draws what was trained.
pub trait Drawer: Send + Sync {
    /// The figures of the finished run in `folder`; the files.
    fn draw_run(&self, folder: &Path) -> Result<Vec<PathBuf>, Error>;

    /// The figures of several runs side by side, into `folder`; the files.
    fn draw_runs(&self, runs: &[PathBuf], folder: &Path) -> Result<Vec<PathBuf>, Error>;

    /// The figures of the sweep in `folder`; the files.
    fn draw_sweep(&self, folder: &Path) -> Result<Vec<PathBuf>, Error>;
}
