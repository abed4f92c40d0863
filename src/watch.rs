//! The dashboard: attaches to runs by their folders, shows them live or from their record, and asks them to pause, stop or be safe.
//!
//! It is a process of its own that reads a run's folder and its control socket, so it comes and goes as it likes, and what happens to it
//! never happens to the run. One struct holds all that is known ([`Dashboard`]); threads bring [`News`]; drawing only reads.

mod alarms;
mod ask;
mod bench;
mod budget;
mod calibration;
mod client;
mod connection;
mod dashboard;
mod find;
mod follow;
mod frame;
#[cfg(test)]
mod golden;
mod history;
mod holder;
mod keys;
mod layout;
mod log;
mod metrics;
mod news;
mod number;
mod overlay;
mod panel;
mod picture;
mod plant;
mod plot;
mod record;
#[cfg(test)]
mod replay;
mod runs_table;
mod safety;
mod screen;
mod session;
mod slider;
mod terminal;
mod theme;
mod training;
mod tuning;

use std::path::{Path, PathBuf};

use crate::Error;
use crate::record::unix_seconds;

use dashboard::Dashboard;
pub use session::Start;
pub use terminal::{give_back as give_terminal_back, take_again as take_terminal_again};
use theme::Theme;

/// Opens the dashboard on the runs in `runs`, until the user leaves it.
pub fn watch(start: Start, runs: &Path, ascii: bool) -> Result<(), Error> {
    let theme = Theme::detect(ascii, |name| std::env::var(name).ok());
    let mut dashboard = Dashboard::new(runs.to_owned(), theme, unix_seconds());
    dashboard.follow = start == Start::Newest;
    let screen = terminal::Screen::open()?;
    session::Session::begin(dashboard, screen)?.go(start)
}

/// Fails with one sentence where there is no terminal.
pub fn require_terminal() -> Result<(), Error> {
    terminal::require()
}

/// The run that `named` means: a run folder, or the name of one in `runs`.
pub fn named(named: &Path, runs: &Path) -> Result<PathBuf, Error> {
    let is_run = |path: &Path| path.join("run.json").is_file();
    let below = runs.join(named);
    let folder = match () {
        () if is_run(named) => named.to_owned(),
        () if is_run(&below) => below,
        () => {
            return Err(Error::Usage(format!(
                "{}: is not a run: there is no run.json in it, nor in {}. `pnnlab watch --runs DIR` shows all runs of a folder",
                named.display(),
                below.display()
            )));
        }
    };
    record::Facts::read(&folder).map_err(|error| {
        Error::Usage(format!("{}: is not a run: {}: {error}", folder.display(), folder.join("run.json").display()))
    })?;
    Ok(folder)
}
