//! `pnnlab runs`: finds, shows, compares, exports, draws and removes runs.

// Circle with command/runs/: the parts of one command share how a run is named.

mod compare;
mod export;
mod figures;
mod list;
mod remove;
mod show;

use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use serde_json::Value;

use crate::Error;
use crate::document::nearest;
use crate::record::{Catalog, Filter};
use crate::scores::Score;

/// `pnnlab runs`.
#[derive(Debug, Args)]
pub struct RunsArgs {
    /// What to do with them.
    #[command(subcommand)]
    pub action: Action,
    /// The folder that runs are kept in
    #[arg(long, value_name = "DIR", default_value = "runs", global = true)]
    pub runs: PathBuf,
}

/// What to do with runs.
#[derive(Debug, Subcommand)]
pub enum Action {
    /// Lists runs, the newest or the best first
    List(list::ListArgs),
    /// Shows one run: what decides it, how it went, its alarms
    Show(show::ShowArgs),
    /// Puts runs side by side: what differs between them, and their results
    Compare(compare::CompareArgs),
    /// Writes runs to one file: .csv or .arrow (all rows of their metrics), .zip (all that is needed to reproduce them)
    Export(export::ExportArgs),
    /// Draws the figures of runs again
    Figures(figures::FiguresArgs),
    /// Removes runs for ever
    Remove(remove::RemoveArgs),
}

/// Does it.
pub fn run(arguments: &RunsArgs) -> Result<(), Error> {
    if !arguments.runs.is_dir() {
        return Err(Error::Usage(format!(
            "--runs {}: is no folder: `pnnlab train` makes it with the first run",
            arguments.runs.display()
        )));
    }
    let catalog = Catalog::open(&arguments.runs)?;
    match &arguments.action {
        Action::List(arguments) => list::run(&catalog, arguments),
        Action::Show(arguments) => show::run(&catalog, arguments),
        Action::Compare(arguments) => compare::run(&catalog, arguments),
        Action::Export(arguments) => export::run(&catalog, arguments),
        Action::Figures(arguments) => figures::run(&catalog, arguments),
        Action::Remove(arguments) => remove::run(&catalog, arguments),
    }
}

/// A run as the user named it.
struct Named {
    /// Below the folder of runs.
    name: String,
    folder: PathBuf,
    /// `run.json`.
    facts: Value,
}

/// Finds a run by its name, or by a path to its folder.
fn find(catalog: &Catalog, wanted: &Path) -> Result<Named, Error> {
    let runs = catalog.folder();
    // A path, however it is written, or a name.
    let whole = |path: &Path| std::fs::canonicalize(path).ok();
    let inside = || Some(whole(wanted)?.strip_prefix(whole(runs)?).ok()?.to_owned());
    // A link in the folder of runs is a run there, wherever it leads.
    let link = || {
        let parent = wanted.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
        Some(whole(parent)?.join(wanted.file_name()?).strip_prefix(whole(runs)?).ok()?.to_owned())
    };
    for below in [inside(), link(), Some(wanted.to_owned())].into_iter().flatten() {
        let name = below.to_string_lossy().trim_end_matches('/').to_owned();
        if let Some(facts) = catalog.facts(&name)? {
            return Ok(Named { folder: runs.join(&name), name, facts });
        }
    }
    let known = names(catalog)?;
    let name = wanted.strip_prefix(runs).unwrap_or(wanted).to_string_lossy();
    let below = format!("{}/", name.trim_end_matches('/'));
    if let Some(inner) = known.iter().find(|run| run.starts_with(&below)) {
        let message = format!("{}: is a folder of several runs: name one of them, such as {inner}", wanted.display());
        return Err(Error::Usage(message));
    }
    let known: Vec<&str> = known.iter().map(String::as_str).collect();
    let hint = nearest(&name, &known).map(|near| format!(". Did you mean `{near}`?")).unwrap_or_default();
    Err(Error::Usage(format!(
        "{}: there is no such run in {}: `pnnlab runs list` names them{hint}",
        wanted.display(),
        runs.display()
    )))
}

/// The names of all runs, in order.
fn names(catalog: &Catalog) -> Result<Vec<String>, Error> {
    let mut names: Vec<String> = catalog.runs(&Filter::default())?.into_iter().map(|row| row.run).collect();
    names.sort();
    Ok(names)
}

/// Several runs as the user named them.
fn find_all(catalog: &Catalog, wanted: &[PathBuf]) -> Result<Vec<Named>, Error> {
    wanted.iter().map(|wanted| find(catalog, wanted)).collect()
}

/// A run, or all runs of a comparison or a sweep, as the user named them.
fn find_groups(catalog: &Catalog, wanted: &[PathBuf]) -> Result<Vec<Named>, Error> {
    let mut all = Vec::new();
    for wanted in wanted {
        let name = wanted.strip_prefix(catalog.folder()).unwrap_or(wanted).to_string_lossy().into_owned();
        let below = format!("{}/", name.trim_end_matches('/'));
        let mut inner = names(catalog)?;
        inner.retain(|run| run.starts_with(&below));
        if inner.is_empty() {
            all.push(find(catalog, wanted)?);
        }
        all.extend(inner.iter().map(|run| find(catalog, Path::new(run))).collect::<Result<Vec<_>, _>>()?);
    }
    Ok(all)
}

/// Why a run did not finish, as its record says; none where it does not.
fn why(facts: &Value) -> Option<String> {
    facts["error"].as_str().map(str::to_owned)
}

/// A score, or a dash.
fn shown(score: &Score, value: Option<f64>) -> String {
    value.map_or_else(|| "–".to_owned(), |value| score.show(value))
}
