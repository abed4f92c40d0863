//! What an experiment file says about its data.

// Circle with data/image.rs: the tables of all sources stand here, and an image is read as its table says.

use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::further::Columns;
use super::{
    AugmentationConfig, ChannelConfig, FramesConfig, MackeyGlassConfig, NarmaConfig, Pattern, Scaling, Span, SplitRule,
    TraceConfig,
};
use crate::Error;
use crate::document::Document;
use crate::scores::ObjectiveKind;

/// Where the data comes from, and how it is split.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "source", rename_all = "kebab-case")]
pub enum DataConfig {
    /// The 1,797 handwritten digits of 8×8 pixels (UCI optical recognition of handwritten digits) that come with the
    /// program; 0 to 16 becomes `range`.
    Digits(DigitsConfig),
    /// A CSV file with a header and one column of labels, or columns of numbers to predict; all other columns are numbers.
    Csv(CsvConfig),
    /// A folder with the four IDX files of MNIST or a set like it, plain or gzip; 0 to 255 becomes `range`.
    Idx(IdxConfig),
    /// One image whose texture is grown: PNG, PPM, PGM, or a CSV file of gray values. Needs a table `[cells]`.
    Image(ImageConfig),
    /// A folder of frames of one size, in the order of their names: a sequence. Needs a table `[motion]`.
    Frames(FramesConfig),
    /// A recorded trace: a CSV file whose rows are the frames of a sequence. Needs a table `[motion]`.
    Trace(TraceConfig),
    /// NARMA-10, made by the program: the next value of a driven nonlinear system of tenth order, from the last inputs (Atiya and
    /// Parlos, IEEE Trans. Neural Netw. 11, 697, 2000).
    Narma(NarmaConfig),
    /// The Mackey–Glass series, made by the program: a later value of a chaotic delay equation, from past ones (Mackey and Glass,
    /// Science 197, 287, 1977).
    MackeyGlass(MackeyGlassConfig),
    /// Equalization of a nonlinear channel, made by the program: the symbol that was sent, from what was received (Mathews and Lee,
    /// Proc. SPIE 2296, 317, 1994).
    Channel(ChannelConfig),
}

/// One image.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ImageConfig {
    /// The file; `--data` names another, or a folder that holds it. Give it or `pattern`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub file: Option<PathBuf>,
    /// An image that the program makes, in place of a file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pattern: Option<Pattern>,
    /// Lattices that are grown from fresh seeds to validate (2).
    #[serde(default = "two")]
    #[schemars(range(max = 1000))]
    pub validation: usize,
    /// Lattices that are grown from fresh seeds at the end (4).
    #[serde(default = "four")]
    #[schemars(range(min = 1, max = 1000))]
    pub test: usize,
}

fn two() -> usize {
    2
}

fn four() -> usize {
    4
}

/// The embedded digits.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct DigitsConfig {
    /// Rows held back for the test (500).
    #[serde(default = "test_rows")]
    #[schemars(range(min = 1, max = 1_797))]
    pub test: usize,
    /// Rows of the rest to learn from; left out, all of them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 1_797))]
    pub train: Option<usize>,
    /// Rows held back for validation, beside those of the test; left out, a tenth of the rows that are not tested on. What is
    /// tried while training is tried on them, and settings are chosen by them; the test set is met at the end. 0: none, and
    /// what is tried while training is the test set.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub validation: Option<usize>,
    /// Which rows are held back.
    #[serde(default)]
    pub split: SplitRule,
    /// What pixels become: blank paper and full ink.
    #[serde(default)]
    pub range: Span,
    /// Varies the training images.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub augmentation: Option<AugmentationConfig>,
}

/// A CSV file.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CsvConfig {
    /// The file; `--data` names another, or a folder that holds it.
    pub file: PathBuf,
    /// The column of labels; any words will do. Give it or `targets`.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub label: String,
    /// The columns of numbers to predict, in place of `label`. They are learned in standard deviations from the mean, both those of
    /// the training rows; `test.csv` has them in their own units.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub targets: Vec<String>,
    /// The column that says the group of each row's class, for the objective `groups`; it is not learned from.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub group: String,
    /// Characters of each label to leave out at its start (0): 3 makes the class `ae` of the token `w01ae`.
    #[serde(default)]
    #[schemars(range(max = 1000))]
    pub label_skip: usize,
    /// Columns that are not learned from, by their names; `""` is a column without a name, such as the row numbers that pandas writes.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub leave_out: Vec<String>,
    /// Rows held back for the test.
    #[schemars(range(min = 1, max = 1_000_000_000))]
    pub test: usize,
    /// Rows of the rest to learn from; left out, all of them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 1_000_000_000))]
    pub train: Option<usize>,
    /// Rows held back for validation, beside those of the test; left out, a tenth of the rows that are not tested on. What is
    /// tried while training is tried on them, and settings are chosen by them; the test set is met at the end. 0: none, and
    /// what is tried while training is the test set.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub validation: Option<usize>,
    /// Which rows are held back.
    #[serde(default)]
    pub split: SplitRule,
    /// How columns are scaled.
    #[serde(default)]
    pub scaling: Scaling,
    /// What 0 and 1 become after scaling by `extremes` or `maximum`.
    #[serde(default)]
    pub range: Span,
    /// Where the file can be had, in a sentence: part of the error when it is not there.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub obtain: String,
}

/// A folder of IDX files.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct IdxConfig {
    /// The folder with `train-images-idx3-ubyte`, `train-labels-idx1-ubyte`, `t10k-images-idx3-ubyte` and
    /// `t10k-labels-idx1-ubyte`, each plain or with `.gz`; `--data` names another, or one that holds it.
    pub folder: PathBuf,
    /// Classes (10); a label beyond them is an error.
    #[serde(default = "ten")]
    #[schemars(range(min = 1, max = 256))]
    pub classes: usize,
    /// Pixels are averaged in squares of this many (1): 2 makes 14×14 of 28×28.
    #[serde(default = "one_pixel")]
    #[schemars(range(min = 1, max = 65_536))]
    pub average: usize,
    /// Every so many pixels of each line and each column are taken (1), after averaging: 2 makes 14×14 of 28×28.
    #[serde(default = "one_pixel")]
    #[schemars(range(min = 1, max = 65_536))]
    pub stride: usize,
    /// Training images, drawn by the experiment's seed; left out, all of them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 1_000_000_000))]
    pub train: Option<usize>,
    /// Test images, drawn by the experiment's seed; left out, all of them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 1_000_000_000))]
    pub test: Option<usize>,
    /// Training images held back for validation, drawn by the experiment's seed; left out, a tenth of them. What is
    /// tried while training is tried on them, and settings are chosen by them; the test set is met at the end. 0: none, and
    /// what is tried while training is the test set.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub validation: Option<usize>,
    /// What pixels become: black and white.
    #[serde(default)]
    pub range: Span,
    /// Varies the training images, before they are averaged or thinned out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub augmentation: Option<AugmentationConfig>,
    /// Where the files can be had, in a sentence: part of the error when they are not there.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub obtain: String,
}

fn test_rows() -> usize {
    500
}

fn one_pixel() -> usize {
    1
}

fn ten() -> usize {
    10
}

impl DataConfig {
    /// What the columns are called of another table with the same things to learn.
    pub fn columns<'a>(&'a self, environment: Option<&'a str>) -> Columns<'a> {
        match self {
            Self::Csv(config) => {
                Columns { label: (&config.label, config.label_skip), leave_out: &config.leave_out, environment }
            }
            _ => Columns { label: ("label", 0), leave_out: &[], environment },
        }
    }

    /// What can be learned of it.
    pub fn kind(&self) -> ObjectiveKind {
        match self {
            Self::Digits(_) | Self::Idx(_) => ObjectiveKind::Classify,
            Self::Csv(config) if !config.group.is_empty() => ObjectiveKind::Groups,
            Self::Csv(config) if config.targets.is_empty() => ObjectiveKind::Classify,
            Self::Image(_) => ObjectiveKind::Texture,
            Self::Frames(_) | Self::Trace(_) => ObjectiveKind::Motion,
            Self::Csv(_) | Self::Narma(_) | Self::MackeyGlass(_) | Self::Channel(_) => ObjectiveKind::Regress,
        }
    }

    /// What black and white become, where images are read.
    pub fn gray(&self) -> Span {
        match self {
            Self::Digits(config) => config.range,
            Self::Idx(config) => config.range,
            Self::Csv(config) => config.range,
            _ => Span::default(),
        }
    }

    /// Whether it comes from files, so that `--data` can name them.
    pub fn reads_files(&self) -> bool {
        matches!(self, Self::Csv(_) | Self::Idx(_) | Self::Image(_) | Self::Frames(_) | Self::Trace(_))
    }

    /// Refuses numbers without sense, before anything is read.
    pub(super) fn sensible(&self, document: &Document) -> Result<(), Error> {
        let (range, augmentation) = match self {
            Self::Digits(config) => (config.range, &config.augmentation),
            Self::Csv(config) => (config.range, &None),
            Self::Idx(config) => (config.range, &config.augmentation),
            Self::Image(config) if config.file.is_some() == config.pattern.is_some() => {
                let message = "needs either `file` or `pattern`: name an image, or one that the program makes";
                return Err(document.refuse("data", message));
            }
            Self::Image(_) | Self::Frames(_) | Self::Trace(_) => return Ok(()),
            Self::Narma(config) => (config.range, &None),
            Self::MackeyGlass(config) => (config.range, &None),
            Self::Channel(config) => (config.range, &None),
        };
        if range.low == range.high {
            let message = format!("is {} at both ends: give two different values", range.low);
            return Err(document.refuse("data.range", message));
        }
        let train = match self {
            Self::Digits(config) => config.train,
            Self::Csv(config) => config.train,
            Self::Idx(config) => config.train,
            Self::Image(_)
            | Self::Frames(_)
            | Self::Trace(_)
            | Self::Narma(_)
            | Self::MackeyGlass(_)
            | Self::Channel(_) => None,
        };
        if train == Some(0) {
            return Err(document.refuse("data.train", "is 0: learn from at least one row"));
        }
        if let Self::Idx(config) = self {
            for (key, value) in [("average", config.average), ("stride", config.stride), ("classes", config.classes)] {
                if value == 0 {
                    return Err(document.refuse(&format!("data.{key}"), "is 0, but it must be at least 1"));
                }
            }
        }
        if let Self::Csv(config) = self {
            config.sensible(document)?;
        }
        augmentation.as_ref().map_or(Ok(()), |augmentation| augmentation.sensible(document))
    }
}

impl CsvConfig {
    /// Refuses columns that cannot be learned together.
    pub(super) fn sensible(&self, document: &Document) -> Result<(), Error> {
        let refuse = |key: &str, message: String| Err(document.refuse(&format!("data.{key}"), message));
        match (self.label.is_empty(), self.targets.is_empty()) {
            (true, true) => {
                let message = "has neither `label` nor `targets`: name the column of classes as data.label, or the columns of numbers to \
                               predict as data.targets";
                return Err(document.refuse("data", message));
            }
            (false, false) => {
                return refuse(
                    "targets",
                    "stands beside `label`: give `label` for classes, or `targets` for numbers".to_owned(),
                );
            }
            (false, true) if self.group == self.label && !self.group.is_empty() => {
                return refuse(
                    "group",
                    format!("is `{}`, which is the label: name the column of its groups", self.group),
                );
            }
            (false, true) => return Ok(()),
            (true, false) => {}
        }
        if !self.group.is_empty() {
            return refuse("group", "is of labels, but this data has `targets`: leave it out".to_owned());
        }
        let twice = self.targets.iter().enumerate().find(|(place, name)| self.targets[..*place].contains(name));
        if let Some((_, name)) = twice {
            return refuse("targets", format!("names `{name}` twice: name each column once"));
        }
        if self.label_skip > 0 {
            return refuse("label_skip", "is of labels, but this data has `targets`: leave it out".to_owned());
        }
        if self.split == SplitRule::Stratified {
            let message = "is `stratified`, but numbers have no classes: take random, interleaved or sequential";
            return refuse("split", message.to_owned());
        }
        Ok(())
    }
}
