//! The folder of fits: written whole or not at all, found again by plant, refused when foreign or stale.
//!
//! A plant's `fit` in its rig says which one `train` uses: `"none"` (the nominal twin, the default: a run then depends on nothing but
//! its own files), `"auto"` (the newest fit of this very plant in the folder), or the path of a fit's TOML file.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use calibration::Fit;
use drivers::Card;
use sims::{Adjustable, Twin};

use crate::Error;
use crate::run::CalibrationStatus;

/// The folder that fits are kept in unless another is named.
pub const FOLDER: &str = "fits";

/// Saves a fit as `PLANT-KEY.toml` and `.safetensors` in `folder`; equal fits have equal names.
pub fn save(fit: &Fit, folder: &Path) -> Result<PathBuf, Error> {
    let (text, bytes) = fit.to_files()?;
    std::fs::create_dir_all(folder).map_err(Error::record(folder, "cannot be made"))?;
    let name = format!("{}-{}", fit.facts.plant, &fit.facts.key[..12.min(fit.facts.key.len())]);
    let path = folder.join(format!("{name}.toml"));
    // The numbers first: a text that is there has its numbers beside it.
    replace(&folder.join(format!("{name}.safetensors")), &bytes)?;
    replace(&path, text.as_bytes())?;
    Ok(path)
}

/// Puts `bytes` at `path` whole or not at all.
pub fn replace(path: &Path, bytes: &[u8]) -> Result<(), Error> {
    let beside = path.with_extension(format!("partial-{}", std::process::id()));
    let written = std::fs::write(&beside, bytes).and_then(|()| std::fs::rename(&beside, path));
    if written.is_err() {
        let _ = std::fs::remove_file(&beside);
    }
    written.map_err(Error::record(path, "cannot be written"))
}

/// Reads the fit whose TOML file is at `path`.
pub fn read(path: &Path) -> Result<Fit, Error> {
    let beside = path.with_extension("safetensors");
    let unreadable = |file: &Path| {
        let file = file.display().to_string();
        move |source| Error::Unreadable { file, source }
    };
    let text = std::fs::read_to_string(path).map_err(unreadable(path))?;
    let bytes = std::fs::read(&beside).map_err(unreadable(&beside))?;
    Fit::from_files(&text, &bytes).map_err(Error::from)
}

/// Who a fit is looked for.
pub struct Wanted<'a> {
    /// The plant's name in its rig.
    pub plant: &'a str,
    /// The plant itself.
    pub card: &'a Card,
    /// The digest of its description.
    pub description: &'a str,
    /// Its physics.
    pub model: Option<Arc<dyn Adjustable>>,
}

/// A fit in use.
#[derive(Debug, Clone)]
pub struct InUse {
    /// Where it lies.
    pub path: PathBuf,
    /// The fit.
    pub fit: Arc<Fit>,
    /// Its twin.
    pub twin: Arc<dyn Twin>,
}

impl InUse {
    /// What a dashboard shows of it.
    pub fn status(&self) -> CalibrationStatus {
        let facts = &self.fit.facts;
        CalibrationStatus {
            fit: self.path.display().to_string(),
            made_unix_seconds: facts.made_unix_seconds,
            residual: facts.residual.as_ref().map_or(f64::NAN, |residual| residual.rmse_of_output_std),
            due: String::new(),
        }
    }
}

/// The fit that `choice` names for a plant: `none`, `auto`, or a file.
pub fn find(choice: &str, folder: &Path, wanted: &Wanted<'_>) -> Result<Option<InUse>, Error> {
    let (path, fit) = match choice {
        "none" => return Ok(None),
        "auto" => newest(folder, wanted)?,
        file => (PathBuf::from(file), read(Path::new(file))?),
    };
    let named = |error: calibration::Error| Error::FitOf { path: path.clone(), source: Box::new(error) };
    fit.check(wanted.card, wanted.plant, wanted.description).map_err(named)?;
    let twin = fit.twin(wanted.card, wanted.model.as_deref()).map_err(named)?;
    Ok(Some(InUse { fit: Arc::new(fit), twin, path }))
}

/// The newest fit of this plant that holds a twin and is not stale; if all are, the newest says why.
fn newest(folder: &Path, wanted: &Wanted<'_>) -> Result<(PathBuf, Fit), Error> {
    let entries =
        std::fs::read_dir(folder).map_err(|source| Error::Unreadable { file: folder.display().to_string(), source })?;
    let mut found: Vec<(PathBuf, Fit)> = entries
        .filter_map(|entry| {
            let path = entry.ok()?.path();
            let mine = path.extension()? == "toml";
            mine.then(|| read(&path).ok().map(|fit| (path, fit)))?
        })
        .filter(|(_, fit)| {
            fit.facts.serial == wanted.card.identity.serial && fit.facts.system == wanted.card.identity.system
        })
        .collect();
    found.sort_by(|a, b| b.1.facts.made_unix_seconds.total_cmp(&a.1.facts.made_unix_seconds));
    let fits = |fit: &Fit| {
        fit.check(wanted.card, wanted.plant, wanted.description).is_ok()
            && fit.twin(wanted.card, wanted.model.as_deref()).is_ok()
    };
    let place = found.iter().position(|(_, fit)| fits(fit)).unwrap_or(0);
    let none = || {
        Error::Usage(format!(
            "plant `{}` has `fit = \"auto\"`, but {} holds no fit of it: run `pnnlab calibrate`, or set the fit to \"none\"",
            wanted.plant,
            folder.display()
        ))
    };
    if found.is_empty() { Err(none()) } else { Ok(found.swap_remove(place)) }
}
