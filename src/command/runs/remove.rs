//! `pnnlab runs remove`.

use std::io::{BufRead, IsTerminal};
use std::path::PathBuf;

use clap::Args;

use super::find_all;
use crate::Error;
use crate::record::{Catalog, hold, living_process};

/// `pnnlab runs remove`.
#[derive(Debug, Args)]
pub struct RemoveArgs {
    /// The runs: their names, or their folders
    #[arg(required = true)]
    run: Vec<PathBuf>,
    /// Does not ask
    #[arg(long)]
    yes: bool,
}

/// Removes.
pub fn run(catalog: &Catalog, arguments: &RemoveArgs) -> Result<(), Error> {
    let runs = find_all(catalog, &arguments.run)?;
    // What is refused is refused before anything is removed; and what is to be removed nobody goes on with meanwhile.
    let mut locks = vec![];
    for run in &runs {
        if let Some(process) = living_process(&run.facts) {
            return Err(Error::Usage(format!("{}: is being run by process {process}: stop it first", run.name)));
        }
        let in_container =
            |_| Error::Usage(format!("{}: is being run by a process in a container: stop it first", run.name));
        locks.push(hold(&run.folder).map_err(in_container)?);
    }
    if !arguments.yes && !confirmed(runs.len())? {
        return Ok(());
    }
    for run in runs {
        let elsewhere = std::fs::read_link(&run.folder).ok();
        std::fs::remove_dir_all(&run.folder).map_err(Error::record(&run.folder, "cannot be removed"))?;
        match elsewhere {
            None => say!("removed {}", run.folder.display()),
            Some(place) => say!("removed the link {}: the run stays in {}", run.folder.display(), place.display()),
        }
    }
    Catalog::open(catalog.folder()).map(drop)
}

/// Asks on the terminal.
fn confirmed(count: usize) -> Result<bool, Error> {
    if !std::io::stdin().is_terminal() {
        return Err(Error::Usage("there is no terminal to ask on: give --yes to remove for ever".into()));
    }
    tell!("remove {count} run{} for ever? [y/N]", if count == 1 { "" } else { "s" });
    let mut answer = String::new();
    drop(std::io::stdin().lock().read_line(&mut answer));
    Ok(matches!(answer.trim(), "y" | "yes"))
}
