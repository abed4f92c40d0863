//! Files of equations that the plants of a rig name.

use std::path::PathBuf;

use drivers::{MEBIBYTE, read_bounded};

use super::RigConfig;
use crate::Error;
use crate::document::Document;

/// The most that is read of a file of equations.
const MOST_EQUATIONS: u64 = 10 * MEBIBYTE;

/// Reads the files of equations that plants name: beside the rig file in `folder`, or where there is none of that name, those that come with
/// the program.
pub(super) fn read_equations(
    config: &mut RigConfig,
    document: &Document,
    folder: Option<&PathBuf>,
) -> Result<(), Error> {
    for (name, plant) in &mut config.plants {
        for (key, system) in plant.equations() {
            // A run keeps the text beside the name.
            if !system.text.is_empty() {
                continue;
            }
            let refuse = |message: String| document.refuse(&format!("plants.{name}.{key}.file"), message);
            let built_in = hil::SYSTEMS.iter().find(|(file, _)| *file == system.file);
            if system.file.is_empty() {
                return Err(refuse("is missing: name the file of equations, such as \"diode.toml\"".to_owned()));
            }
            let path = folder.map_or_else(|| PathBuf::from(&system.file), |folder| folder.join(&system.file));
            system.text = match built_in {
                Some((_, text)) if folder.is_none() || !path.exists() => (*text).to_owned(),
                _ => {
                    let read = read_bounded(&path, MOST_EQUATIONS);
                    let bytes = read.map_err(|error| {
                        refuse(format!(
                            "{}: cannot be read: {error}. Put the file beside the rig, or give its path",
                            path.display()
                        ))
                    })?;
                    String::from_utf8(bytes).map_err(|_| refuse(format!("{}: is no text", path.display())))?
                }
            };
        }
    }
    Ok(())
}
