//! What is learned: rows of numbers, each with a class or with numbers to predict, split into training, validation and test.

// Circle with data/: the list of sources names each, and each makes the data set that is declared here.

mod augmentation;
mod cells;
mod clusters;
pub mod collages;
mod config;
mod csv_file;
mod digits;
pub(crate) mod fetch;
mod filters;
mod frames;
pub mod further;
mod gzip;
mod hierarchy;
mod idx;
mod image;
mod latents;
mod motion;
mod other;
mod path;
mod pattern;
mod pictures;
mod pixels;
mod regression;
mod rows;
mod scaling;
mod series;
mod source;
mod span;
mod split;
mod targets;
mod taxonomy;
mod texture;
mod trained_rule;
mod uneven;

use std::path::{Path, PathBuf};

use sims::Key;

use crate::Error;
use crate::document::Document;
use crate::scores::ObjectiveKind;
use augmentation::Augmented;
use latents::Drawn;
use scaling::Column;

pub use augmentation::AugmentationConfig;
pub use cells::CellsConfig;
pub use config::{CsvConfig, DataConfig, DigitsConfig, IdxConfig, ImageConfig};
pub use filters::{Filter, Filters};
pub use frames::{FramesConfig, TraceConfig, read_frame};
pub use hierarchy::{Hierarchical, Hierarchy};
pub use image::read as read_image;
pub use latents::Latents;
pub use motion::{CriticsConfig, GeneratorFacts, MotionConfig, MotionObjective, Movement};
pub use path::{PathConfig, PathKind};
pub use pattern::Pattern;
pub use pictures::Pictures;
pub use rows::Rows;
pub use scaling::Scaling;
pub use series::{ChannelConfig, MackeyGlassConfig, NarmaConfig};
pub(crate) use source::read as read_table;
pub use span::Span;
pub use split::SplitRule;
pub use targets::{Answers, Meaning, Target, Targets};
pub use taxonomy::{Group, Grouping, Taxonomy};
pub use texture::Texture;
pub use trained_rule::{is_rule, names as rule_names, read as read_rule};

/// Patches by which textures are compared: 5 × 5 pixels at two scales.
pub const PATCHES: sims::Patches = sims::Patches { side: 5, scales: 2 };

/// Data as it is learned.
#[derive(Debug, Clone, PartialEq)]
pub struct Dataset {
    /// What it is called in records and captions.
    pub name: String,
    /// Values in each row.
    pub width: usize,
    /// What a network's outputs stand for: classes, or numbers to predict.
    pub meaning: Meaning,
    /// Learned from.
    pub train: Rows,
    /// What is tried while it trains, and what settings are chosen by; may be empty.
    pub validation: Rows,
    /// Tested on, at the end.
    pub test: Rows,
    /// How the training images are varied, if they are.
    augmented: Option<Augmented>,
    /// How the training rows of a generator are drawn, if they are.
    drawn: Option<Drawn>,
    /// The columns of a table, by the places of their values in a row; data that is no table has none.
    columns: Vec<Column>,
}

/// Training, validation or test.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Split {
    /// Learned from.
    Train,
    /// Tried while it trains.
    Validation,
    /// Tested on.
    Test,
}

/// Who asks for data: the experiment, for errors, and the branch of its seed.
#[derive(Clone, Copy)]
struct Asked<'a> {
    document: &'a Document,
    key: Key,
}

impl Dataset {
    /// Loads the data that `config` names, or looks for it at `path`; split, drawn and varied by `key`.
    pub fn load(config: &DataConfig, path: Option<&Path>, document: &Document, key: Key) -> Result<Self, Error> {
        config.sensible(document)?;
        let asked = Asked { document, key };
        let dataset = match config {
            DataConfig::Digits(_) if path.is_some() => {
                Err(Error::Usage("--data: this experiment's digits come with the program: leave the option out".into()))
            }
            made if path.is_some() && !made.reads_files() => {
                Err(Error::Usage("--data: this experiment's data is made by the program: leave the option out".into()))
            }
            DataConfig::Digits(config) => digits::dataset(config, asked),
            DataConfig::Csv(config) => csv_file::dataset(config, &file(config, path, document)?, asked),
            DataConfig::Idx(config) => idx::dataset(config, &folder(config, path, document)?, asked),
            DataConfig::Image(config) => image::dataset(config, image(config, path).as_deref(), asked),
            DataConfig::Frames(config) => frames::of_folder(config, path),
            DataConfig::Trace(config) => frames::of_trace(config, path),
            DataConfig::Narma(config) => config.dataset(asked),
            DataConfig::MackeyGlass(config) => config.dataset(asked),
            DataConfig::Channel(config) => config.dataset(asked),
        }?;
        let classifies = dataset.kind() == ObjectiveKind::Classify;
        if classifies && dataset.train.labels().windows(2).all(|pair| pair[0] == pair[1]) {
            let message = "all training rows have the same label: nothing can be learned. Learn from rows of at least two classes";
            return Err(Error::Data(format!("{}: {message}", dataset.name)));
        }
        dataset.tell_of_classes();
        Ok(dataset)
    }

    /// Tells of classes that are uneven, or that no training row has.
    fn tell_of_classes(&self) {
        let Meaning::Classes(words) = &self.meaning else { return };
        let rows = [&self.train, &self.validation, &self.test];
        let labels: Vec<u32> = rows.into_iter().flat_map(Rows::labels).copied().collect();
        for sentence in uneven::of_classes(words, &labels, self.train.len()) {
            uneven::tell_once(&format!("{}: {sentence}", self.name));
        }
    }

    /// The same as the automaton of `cells` grows it, if there is one: what an image is learned by.
    pub fn with_cells(self, cells: Option<&CellsConfig>, document: &Document, key: Key) -> Result<Self, Error> {
        match (cells, &self.meaning) {
            (Some(cells), _) => self.grown_by(cells, Asked { document, key }),
            (None, Meaning::Texture(_)) => {
                let message = "is an image, which is learned by an automaton: add a table [cells]";
                Err(document.refuse("data.source", message))
            }
            (None, _) => Ok(self),
        }
    }

    /// The same as sequences through a generator, if `motion` asks for them: what recorded sequences are learned by.
    pub fn with_motion(
        self,
        motion: Option<(&MotionConfig, &GeneratorFacts)>,
        document: &Document,
        key: Key,
    ) -> Result<Self, Error> {
        match (motion, &self.meaning) {
            (Some((config, facts)), _) => self.moved_by(config, facts, Asked { document, key }),
            (None, Meaning::Motion(_)) => {
                let message = "is sequences, which are learned by moving a generator: add a table [motion]";
                Err(document.refuse("data.source", message))
            }
            (None, _) => Ok(self),
        }
    }

    /// What is learned of it.
    pub fn kind(&self) -> ObjectiveKind {
        self.meaning.kind()
    }

    /// The classes without the groups that the data has, if it has any.
    pub fn ungrouped(mut self) -> Self {
        if let Meaning::Groups(taxonomy) = &self.meaning {
            self.meaning = Meaning::Classes(taxonomy.words().to_vec());
        }
        self
    }

    /// One of the splits, as it is without augmentation.
    pub fn rows(&self, split: Split) -> &Rows {
        match split {
            Split::Train => &self.train,
            Split::Validation => &self.validation,
            Split::Test => &self.test,
        }
    }

    /// Training rows as they are shown in `epoch`: values and targets. With augmentation each epoch varies each row in its
    /// own way, and a generator's latents are drawn anew.
    pub fn batch(&self, epoch: usize, indices: &[usize]) -> (Vec<f32>, Targets) {
        if let Some(drawn) = &self.drawn {
            return drawn.batch(epoch, indices, &self.train.targets);
        }
        let Some(augmented) = &self.augmented else { return self.train.pick(indices, self.width) };
        (augmented.rows(epoch, indices, self.width), self.train.targets.pick(indices))
    }
}

/// The image: the one the experiment names, or what `--data` names or holds.
fn image(config: &ImageConfig, path: Option<&Path>) -> Option<PathBuf> {
    match (path, &config.file) {
        (Some(path), Some(file)) if path.is_dir() => {
            Some(path.join(file.file_name().map_or(file.as_path(), Path::new)))
        }
        (Some(path), _) => Some(path.to_owned()),
        (None, file) => file.clone(),
    }
}

/// The CSV file: the one the experiment names, or what `--data` names or holds.
fn file(config: &CsvConfig, path: Option<&Path>, document: &Document) -> Result<PathBuf, Error> {
    let wanted = config.file.as_path();
    let name = wanted.file_name().map_or(wanted, Path::new);
    let places = match path {
        // A file, or a mistyped name: the reader says what is wrong with it.
        Some(path) if !path.is_dir() => return Ok(path.to_owned()),
        Some(path) => vec![path.join(name), path.join(name.with_extension("")).join(name)],
        None => vec![wanted.to_owned()],
    };
    places
        .iter()
        .find(|place| place.is_file())
        .cloned()
        .ok_or_else(|| missing(document, &format!("the file `{}`", name.display()), &places, &config.obtain))
}

/// The folder of IDX files: the one the experiment names, or `--data`, or one of the experiment's name in it.
fn folder(config: &IdxConfig, path: Option<&Path>, document: &Document) -> Result<PathBuf, Error> {
    let name = config.folder.file_name().map_or(config.folder.as_path(), Path::new);
    let places = match path {
        Some(path) if path.is_file() && idx::is_one_of_four(path) => {
            return Ok(path.parent().unwrap_or(Path::new("")).to_owned());
        }
        Some(path) if path.is_file() => {
            let message = format!(
                "--data {}: this experiment reads a folder of IDX files ({}): name the folder",
                path.display(),
                idx::FILES.join(", ")
            );
            return Err(Error::Usage(message));
        }
        Some(path) => vec![path.to_owned(), path.join(name)],
        // `pnnlab data fetch` puts a set into `data`.
        None => vec![config.folder.clone(), Path::new("data").join(name)],
    };
    // A folder with some of the files is meant; the reader names those that are missing.
    places.iter().flat_map(|place| around(place)).find(|place| idx::holds_any(place)).ok_or_else(|| {
        missing(document, &format!("{}, each plain or with .gz,", idx::FILES.join(", ")), &places, &config.obtain)
    })
}

/// Where the files of a set lie that is in `folder`: there, or where torchvision puts them (`MNIST/raw`).
fn around(folder: &Path) -> Vec<PathBuf> {
    let upper = folder.file_name().map(|name| folder.with_file_name(name.to_ascii_uppercase()));
    let raw = ["raw", "MNIST/raw"].map(|below| folder.join(below));
    [folder.to_owned()].into_iter().chain(upper.map(|upper| upper.join("raw"))).chain(raw).collect()
}

/// The error for data that is nowhere.
fn missing(document: &Document, what: &str, places: &[PathBuf], obtain: &str) -> Error {
    let mut places: Vec<String> = places.iter().map(|place| place.display().to_string()).collect();
    places.dedup();
    let obtain = if obtain.is_empty() { String::new() } else { format!(". {}", obtain.trim_end_matches('.')) };
    Error::MissingData(format!(
        "{} needs {what} and there is nothing at {}: name the file, or a folder that holds it, with --data{obtain}",
        document.name(),
        places.join(" or ")
    ))
}

#[cfg(test)]
mod tests;
