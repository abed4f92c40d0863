//! The commands, one file each.

pub mod attended;
pub mod calibrate;
pub mod check;
pub mod compare;
pub mod data;
pub mod ports;
pub mod reproduce;
pub mod response;
pub mod runs;
pub mod safe;
pub mod schema;
pub mod serve;
pub mod soak;
pub mod sweep;
pub mod systems;
pub mod train;
pub mod watch;

use std::path::{Path, PathBuf};

use crate::catalog::Catalog;
use crate::cli::ExperimentArgs;
use crate::comparison::Prepared;
use crate::run::{refuse_existing, unix_seconds};
use crate::{Error, Experiment, Rig};

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
    Ok(Prepared { experiment, document, rig, data: arguments.data.clone(), theme: arguments.theme })
}

/// Closes runs whose process is gone. The catalog is a convenience: what is wrong with it is said, and keeps nobody from training.
fn close_lost(runs: &Path) {
    if runs.is_dir()
        && let Err(error) = Catalog::open(runs)
    {
        tell!("pnnlab: {error}");
    }
}

/// The command line, without the folder that the program lies in.
fn line() -> String {
    std::iter::once("pnnlab".to_owned()).chain(std::env::args().skip(1)).collect::<Vec<_>>().join(" ")
}

/// The new folder: as named, or by time and `label`, with a number where that is taken.
fn new_folder(arguments: &ExperimentArgs, label: &str) -> Result<PathBuf, Error> {
    if let Some(name) = &arguments.name {
        let folder = arguments.runs.join(plain(name)?);
        // Before any plant is asked anything.
        refuse_existing(&folder)?;
        return Ok(folder);
    }
    let name = format!("{}-{label}", timestamp(unix_seconds() as u64));
    let mut folder = arguments.runs.join(&name);
    let mut number = 1;
    while folder.exists() {
        number += 1;
        folder = arguments.runs.join(format!("{name}-{number}"));
    }
    Ok(folder)
}

/// A name that is one folder.
fn plain(name: &str) -> Result<&str, Error> {
    if name.is_empty() || name.contains(['/', '\\']) || name.starts_with('.') || name.contains(char::is_control) {
        return Err(Error::Usage(format!(
            "--name `{name}` is not the name of a folder: use letters, digits and dashes"
        )));
    }
    Ok(name)
}

/// Coordinated universal time as `20261123-094147`, after Hinnant's `civil_from_days`.
pub(crate) fn timestamp(seconds: u64) -> String {
    let (days, rest) = (seconds / 86_400 + 719_468, seconds % 86_400);
    let (era, day_of_era) = (days / 146_097, days % 146_097);
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted = (5 * day_of_year + 2) / 153;
    let (day, month) =
        (day_of_year - (153 * shifted + 2) / 5 + 1, if shifted < 10 { shifted + 3 } else { shifted - 9 });
    let year = year_of_era + era * 400 + u64::from(month <= 2);
    format!("{year:04}{month:02}{day:02}-{:02}{:02}{:02}", rest / 3600, rest / 60 % 60, rest % 60)
}

#[cfg(test)]
mod tests {
    #[test]
    fn timestamps_are_calendar_dates() {
        assert_eq!(super::timestamp(0), "19700101-000000");
        assert_eq!(super::timestamp(951_826_154), "20000229-120914");
        assert_eq!(super::timestamp(1_795_427_999), "20261123-095959");
    }
}
