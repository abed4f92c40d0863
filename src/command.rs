//! The commands, one file each.

pub mod arguments;
pub mod attended;
pub mod calibrate;
pub mod check;
pub mod compare;
pub mod data;
pub mod generate;
pub mod grow;
pub mod guard;
pub mod normalize;
mod place;
pub mod ports;
pub mod reproduce;
pub mod response;
pub mod runs;
pub mod safe;
pub mod safety_guard;
pub mod schema;
pub mod select;
pub mod serve;
pub mod soak;
pub mod sweep;
pub mod system;
pub mod systems;
pub mod train;
pub mod tune;
pub mod watch;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::Error;
use crate::document::{Document, list, name_complaint};
use crate::output::timestamp;
use crate::plants::{NO_RIG, Rig, bench_first};
use crate::record::{Catalog, NewFolder, unix_seconds};
use crate::report::Theme;
use crate::training::{Experiment, Interrupted, Prepared};
use arguments::ExperimentArgs;

/// Reads what the command line names.
fn prepare(arguments: &ExperimentArgs) -> Result<Prepared, Error> {
    prepare_with(arguments, &[])
}

/// The same, with further assignments.
pub fn prepare_with(arguments: &ExperimentArgs, further: &[String]) -> Result<Prepared, Error> {
    let mut assignments = arguments.set.clone();
    assignments.extend_from_slice(further);
    assignments.extend(arguments.seed.map(|seed| format!("seed={seed}")));
    let (experiment, document) = Experiment::find_form(arguments.experiment(), arguments.quick, &assignments)?;
    let rig = Rig::find(arguments.rig.as_deref(), &document)?;
    Ok(Prepared { experiment, document, rig, data: arguments.data.clone(), drawer: Arc::new(arguments.theme) })
}

/// Closes runs whose process is gone. The catalog is a convenience: what is wrong with it is said, and keeps nobody from training.
fn close_lost(runs: &Path) {
    if runs.is_dir()
        && let Err(error) = Catalog::open(runs)
    {
        tell!("pnnlab: {error}");
    }
}

/// A run as it was, on its own rig or on that of another file, with keys of the rig's plants changed.
fn prepare_run(
    run: &Interrupted,
    (rig, set): (Option<&Path>, &[String]),
    data: Option<PathBuf>,
    theme: Theme,
) -> Result<Prepared, Error> {
    if let Some(other) = set.iter().find(|set| !set.trim_start().starts_with("plants.")) {
        return Err(Error::Usage(format!(
            "--set {other}: only the rig's plants can be changed here, such as plants.electrical.simulated.plant_seed=2: what was trained stays"
        )));
    }
    let prepared = on_bench(run, (rig, set), data, theme)?;
    let used = prepared.plants();
    let plant =
        |set: &str| set.trim_start().split(['.', '=']).nth(1).unwrap_or_default().trim().trim_matches('"').to_owned();
    if let Some(idle) = set.iter().find(|set| !used.contains(&plant(set).as_str())) {
        return Err(Error::Usage(format!(
            "{idle}: the network of this run does not drive that plant, so this changes nothing: it drives {}",
            list(&used)
        )));
    }
    Ok(prepared)
}

/// The experiment of a run with these changes, on its own rig or on another one.
fn on_bench(
    run: &Interrupted,
    (rig, set): (Option<&Path>, &[String]),
    data: Option<PathBuf>,
    theme: Theme,
) -> Result<Prepared, Error> {
    let own = |name: &str| run.folder.join(name);
    let (experiment, mut document) = Experiment::find(&own("experiment.toml").to_string_lossy(), set)?;
    let rig = if let Some(file) = rig {
        // What the experiment once laid over its rig holds only where the file of another bench says nothing.
        bench_first(&mut document, Document::read(file, NO_RIG)?);
        set.iter().try_for_each(|assignment| document.set(assignment))?;
        Rig::find(Some(file), &document)?
    } else {
        let folder = run.facts["rig_folder"].as_str().unwrap_or_default();
        Rig::find(Some(&own("rig.toml")), &document)?.within(folder.into())
    };
    let data = data.or_else(|| run.facts["data_path"].as_str().map(Into::into));
    Ok(Prepared { experiment, document, rig, data, drawer: Arc::new(theme) })
}

/// The command line, without the folder that the program lies in.
fn line() -> String {
    std::iter::once("pnnlab".to_owned()).chain(std::env::args().skip(1)).collect::<Vec<_>>().join(" ")
}

/// The new folder: as named, or by time and `label`, with a number where that is taken.
fn new_folder(arguments: &ExperimentArgs, label: &str) -> Result<NewFolder, Error> {
    let Some(name) = &arguments.name else { return Ok(dated_folder(&arguments.runs, label)) };
    let folder = NewFolder::named(&arguments.runs.join(plain(name)?));
    // Before any plant is asked anything.
    folder.refuse_existing()?;
    Ok(folder)
}

/// The new folder by time and `label`, with a number where that is taken.
fn dated_folder(runs: &Path, label: &str) -> NewFolder {
    NewFolder::numbered(&runs.join(format!("{}-{label}", timestamp(unix_seconds() as u64))))
}

/// A name that is one folder.
fn plain(name: &str) -> Result<&str, Error> {
    match name_complaint(name) {
        Some(complaint) => Err(Error::Usage(format!("--name `{name}` is not the name of a folder: it {complaint}"))),
        None => Ok(name),
    }
}
