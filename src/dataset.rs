//! What is learned: rows of numbers with a class each, split into training and test.

mod csv_file;
mod digits;
mod idx;

use std::path::{Path, PathBuf};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use sims::Key;

use crate::{Document, Error};

/// Where the data comes from, and how it is split.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "source", rename_all = "kebab-case")]
pub enum DataConfig {
    /// The 1,797 handwritten digits of 8×8 pixels (UCI optical recognition of handwritten digits) that come with the
    /// program; 0 to 16 becomes 0 to 1.
    Digits(DigitsConfig),
    /// A CSV file with a header and one column of labels; each other column is scaled to 0 to 1 by its extremes.
    Csv(CsvConfig),
    /// A folder with the four IDX files of MNIST, plain or gzip; 0 to 255 becomes 0 to 1.
    Idx(IdxConfig),
}

/// The embedded digits.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct DigitsConfig {
    /// Rows held back for the test, drawn at random by the experiment's seed (500).
    #[serde(default = "test_rows")]
    pub test: usize,
}

/// A CSV file.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CsvConfig {
    /// The file; `--data` names another.
    pub file: PathBuf,
    /// The column of labels; any words will do.
    pub label: String,
    /// Rows held back for the test, drawn at random by the experiment's seed.
    pub test: usize,
}

/// A folder of IDX files.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct IdxConfig {
    /// The folder with `train-images-idx3-ubyte`, `train-labels-idx1-ubyte`, `t10k-images-idx3-ubyte` and
    /// `t10k-labels-idx1-ubyte`, each plain or with `.gz`; `--data` names another.
    pub folder: PathBuf,
    /// Pixels are averaged in squares of this many (1).
    #[serde(default = "one_pixel")]
    pub pool: usize,
}

fn test_rows() -> usize {
    500
}

fn one_pixel() -> usize {
    1
}

/// Rows with a class each.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Rows {
    /// `[rows, width]`, row after row, each from 0 to 1.
    pub values: Vec<f32>,
    /// The class of each row, counted from 0.
    pub labels: Vec<u32>,
}

/// Data as it is learned.
#[derive(Debug, Clone, PartialEq)]
pub struct Dataset {
    /// What it is called in records and captions.
    pub name: String,
    /// Values in each row.
    pub width: usize,
    /// Classes.
    pub classes: usize,
    /// Learned from.
    pub train: Rows,
    /// Tested on.
    pub test: Rows,
}

/// Training or test.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Split {
    /// Learned from.
    Train,
    /// Tested on.
    Test,
}

impl Dataset {
    /// Loads the data that `config` names, or `path` in place of its file or folder, split by `key`.
    pub fn load(config: &DataConfig, path: Option<&Path>, document: &Document, key: Key) -> Result<Self, Error> {
        let dataset = match config {
            DataConfig::Digits(config) => {
                if path.is_some() {
                    return Err(Error::Usage(
                        "--data: this experiment's digits come with the program: leave the option out".into(),
                    ));
                }
                split("digits", &digits::load()?, 64, config.test, (document, key))?
            }
            DataConfig::Csv(config) => {
                let file = inside(path.unwrap_or(&config.file), &config.file);
                let (rows, width) = csv_file::load(&file, &config.label)?;
                let mut dataset = split(&file.display().to_string(), &rows, width, config.test, (document, key))?;
                csv_file::scale(&mut dataset);
                dataset
            }
            DataConfig::Idx(config) => idx::load(path.unwrap_or(&config.folder), config.pool)?,
        };
        Ok(dataset)
    }

    /// One of the two splits.
    pub fn rows(&self, split: Split) -> &Rows {
        match split {
            Split::Train => &self.train,
            Split::Test => &self.test,
        }
    }
}

impl Rows {
    /// How many.
    pub fn len(&self) -> usize {
        self.labels.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.labels.is_empty()
    }

    /// The rows at `indices`: values and labels.
    pub fn pick(&self, indices: &[usize], width: usize) -> (Vec<f32>, Vec<u32>) {
        let values = indices.iter().flat_map(|&row| &self.values[row * width..(row + 1) * width]).copied().collect();
        (values, indices.iter().map(|&row| self.labels[row]).collect())
    }
}

/// `path`, or the file of the wanted name inside it.
fn inside(path: &Path, wanted: &Path) -> PathBuf {
    match wanted.file_name() {
        Some(name) if path.is_dir() => path.join(name),
        _ => path.to_owned(),
    }
}

/// Holds back `test` random rows.
fn split(
    name: &str,
    rows: &Rows,
    width: usize,
    test: usize,
    (document, key): (&Document, Key),
) -> Result<Dataset, Error> {
    if test == 0 || test >= rows.len() {
        let message =
            format!("is {test}, but there are {} rows: hold back 1 to {}", rows.len(), rows.len().saturating_sub(1));
        return Err(document.refuse("data.test", message));
    }
    let mut order: Vec<usize> = (0..rows.len()).collect();
    key.branch("split").stream().shuffle(&mut order);
    let pick = |indices: &[usize]| {
        let (values, labels) = rows.pick(indices, width);
        Rows { values, labels }
    };
    let classes = rows.labels.iter().max().map_or(0, |&last| last as usize + 1);
    Ok(Dataset { name: name.to_owned(), width, classes, train: pick(&order[test..]), test: pick(&order[..test]) })
}
