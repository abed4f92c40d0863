//! `pnnlab watch`: the dashboard on runs that go or are over.

use clap::Args;
use std::path::{Path, PathBuf};

use crate::Error;
use crate::watch::{self, Start};

/// `pnnlab watch`.
#[derive(Debug, Args)]
pub struct WatchArgs {
    /// A run folder, or the name of one in the folder of runs; without it, the newest is followed
    pub run: Option<PathBuf>,
    /// The folder that runs are kept in; alone, it opens the table of them [default: runs]
    #[arg(long, value_name = "DIR")]
    pub runs: Option<PathBuf>,
    /// Draws in ASCII, whatever the locale
    #[arg(long)]
    pub ascii: bool,
}

/// The folder that runs are kept in.
const RUNS: &str = "runs";

/// Opens what the command line names.
pub fn run(arguments: &WatchArgs) -> Result<(), Error> {
    let runs = arguments.runs.clone().unwrap_or_else(|| PathBuf::from(RUNS));
    if arguments.runs.is_some() && !runs.is_dir() {
        return Err(Error::Usage(format!("--runs {}: is not a folder", runs.display())));
    }
    let start = match &arguments.run {
        Some(named) => return open(named, &runs, arguments.ascii),
        None if arguments.runs.is_some() => Start::Table,
        None => Start::Newest,
    };
    watch::watch(start, &runs, arguments.ascii)
}

/// A run, or the table of a folder that holds runs.
fn open(named: &Path, runs: &Path, ascii: bool) -> Result<(), Error> {
    let folder = watch::named(named, runs)?;
    let around = folder.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let runs = around.to_owned();
    watch::watch(Start::Run(folder), &runs, ascii)
}
