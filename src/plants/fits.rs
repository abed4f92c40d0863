//! The folder of fits: written whole or not at all, found again by plant, refused when foreign or stale.
//!
//! A plant's `fit` in its rig says which one `train` uses: `"none"` (the nominal twin, the default: a run then depends on nothing but
//! its own files), `"auto"` (the newest fit of this very plant in the folder), or the path of a fit's TOML file.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use calibration::Fit;
use drivers::{Card, MEBIBYTE, read_bounded, read_text_bounded};
use serde::{Deserialize, Serialize};
use sims::{Adjustable, Twin};

use crate::Error;
use crate::writing::replace_chosen;

/// The folder that fits are kept in unless another is named.
pub const FOLDER: &str = "fits";
/// The most that is read of a fit's text, and of its numbers.
const MOST_TEXT: u64 = 16 * MEBIBYTE;
const MOST_NUMBERS: u64 = 1024 * MEBIBYTE;

/// The fit behind a twin.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CalibrationStatus {
    /// Which fit.
    pub fit: String,
    /// When it was made: seconds since 1970.
    pub made_unix_seconds: f64,
    /// Its residual as a fraction of the readings' standard deviation.
    pub residual: f64,
    /// Why it should be made again; empty while it need not.
    pub due: String,
}

/// Saves a fit as `PLANT-KEY.toml` and `.safetensors` in `folder`; equal fits have equal names.
pub fn save(fit: &Fit, folder: &Path) -> Result<PathBuf, Error> {
    let (text, bytes) = fit.to_files()?;
    make_folder(folder, "--fits")?;
    let name = format!("{}-{}", fit.facts.plant, &fit.facts.key[..12.min(fit.facts.key.len())]);
    let path = folder.join(format!("{name}.toml"));
    // The numbers first: a text that is there has its numbers beside it.
    replace_chosen(&folder.join(format!("{name}.safetensors")), &bytes, "--fits")?;
    replace_chosen(&path, text.as_bytes(), "--fits")?;
    Ok(path)
}

/// Makes a folder that `option` of the command line names.
pub fn make_folder(folder: &Path, option: &str) -> Result<(), Error> {
    std::fs::create_dir_all(folder).map_err(Error::chosen(folder, "cannot be made", option))
}

/// Keeps a trace as `PLANT-DIGEST.arrow` in `folder`, before anything is fitted to it.
pub fn keep_trace(plant: &str, (bytes, digest): (&[u8], &str), folder: &Path) -> Result<PathBuf, Error> {
    make_folder(folder, "--fits")?;
    let path = folder.join(format!("{plant}-{}.arrow", &digest[..12.min(digest.len())]));
    replace_chosen(&path, bytes, "--fits")?;
    Ok(path)
}

/// Reads the fit whose TOML file is at `path`.
pub fn read(path: &Path) -> Result<Fit, Error> {
    let beside = path.with_extension("safetensors");
    let named = |source: calibration::Error| Error::FitOf { path: path.to_owned(), source: Box::new(source) };
    let text = read_text_bounded(path, MOST_TEXT).map_err(|source| {
        Error::Usage(format!("{}: cannot be read: {source}. Name a fit's .toml file, `auto` or `none`", path.display()))
    })?;
    let bytes = read_bounded(&beside, MOST_NUMBERS).map_err(|source| {
        let message = format!("lies without its numbers: {} cannot be read: {source}", beside.display());
        named(calibration::Error::Fit { message })
    })?;
    Fit::from_files(&text, &bytes).map_err(named)
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
    let none =
        |why: &str| Error::NoFit { plant: wanted.plant.to_owned(), folder: folder.to_owned(), why: why.to_owned() };
    // A folder that is not there holds no fit.
    let entries = match std::fs::read_dir(folder) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(none(&format!(" ({error})"))),
        entries => entries.into_iter().flatten(),
    };
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
    if found.is_empty() { Err(none("")) } else { Ok(found.swap_remove(place)) }
}
