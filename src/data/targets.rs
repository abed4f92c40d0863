//! What belongs to each row and is to be learned: a class, or numbers; and what a network says of it.

// Circle with data/pictures.rs: what a generator is learned by is one kind of targets, and its images are a data set with targets.
// Circle with data/motion.rs: what a motion is learned by is one kind of targets, and sequences are a data set with targets.

use serde::{Deserialize, Serialize};

use super::{Movement, Pictures, Taxonomy, Texture};
use crate::scores::ObjectiveKind;

/// What belongs to each row.
#[derive(Debug, Clone, PartialEq)]
pub enum Targets {
    /// The class of each row, counted from 0.
    Classes(Vec<u32>),
    /// Numbers of each row, row after row: in standard deviations from the mean, both those of the training rows.
    Values {
        /// `rows × width`.
        values: Vec<f32>,
        /// Numbers of a row.
        width: usize,
    },
}

impl Default for Targets {
    fn default() -> Self {
        Self::Classes(Vec::new())
    }
}

impl Targets {
    /// Of how many rows.
    pub fn len(&self) -> usize {
        match self {
            Self::Classes(classes) => classes.len(),
            Self::Values { values, width } => values.len() / width.max(&1),
        }
    }

    /// Whether there are no rows.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Those of the rows at `indices`.
    pub fn pick(&self, indices: &[usize]) -> Self {
        match self {
            Self::Classes(classes) => Self::Classes(indices.iter().map(|&row| classes[row]).collect()),
            Self::Values { values, width } => Self::Values {
                values: indices.iter().flat_map(|&row| &values[row * width..(row + 1) * width]).copied().collect(),
                width: *width,
            },
        }
    }

    /// The classes; none where there are numbers.
    pub fn classes(&self) -> &[u32] {
        match self {
            Self::Classes(classes) => classes,
            Self::Values { .. } => &[],
        }
    }

    /// The numbers, row after row; none where there are classes.
    pub fn values(&self) -> &[f32] {
        match self {
            Self::Classes(_) => &[],
            Self::Values { values, .. } => values,
        }
    }

    /// Each as 32 bits, for a fingerprint.
    pub fn words(&self) -> Vec<u32> {
        match self {
            Self::Classes(classes) => classes.clone(),
            Self::Values { values, .. } => values.iter().map(|value| value.to_bits()).collect(),
        }
    }
}

/// What the outputs of a network stand for.
#[derive(Debug, Clone, PartialEq)]
pub enum Meaning {
    /// One for each class; what the data calls them.
    Classes(Vec<String>),
    /// One for each class and one for the others of each group.
    Groups(Taxonomy),
    /// One for each number that is to be predicted.
    Targets(Vec<Target>),
    /// A texture that lattices are to show.
    Texture(Box<Texture>),
    /// Images that a generator is to make.
    Images(Box<Pictures>),
    /// Sequences that a frozen generator is to be moved through.
    Motion(Box<Movement>),
}

/// A number that is to be predicted.
#[derive(Debug, Clone, PartialEq)]
pub struct Target {
    /// What the data calls it.
    pub name: String,
    /// The mean over the training rows, in the data's own unit.
    pub mean: f64,
    /// The standard deviation over the training rows, in the data's own unit.
    pub deviation: f64,
}

impl Target {
    /// A value of the network in the data's own unit.
    pub fn own(&self, scaled: f32) -> f64 {
        self.mean + self.deviation * f64::from(scaled)
    }
}

impl Meaning {
    /// How many outputs there are.
    pub fn len(&self) -> usize {
        match self {
            Self::Classes(words) => words.len(),
            Self::Groups(taxonomy) => taxonomy.outputs(),
            Self::Targets(targets) => targets.len(),
            Self::Texture(_) => sims::COLORS,
            Self::Images(pictures) => pictures.pixels(),
            Self::Motion(movement) => movement.components,
        }
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// What belongs to no rows at all.
    pub fn no_targets(&self) -> Targets {
        match self {
            Self::Classes(_) | Self::Groups(_) => Targets::Classes(vec![]),
            Self::Targets(targets) => Targets::Values { values: vec![], width: targets.len() },
            Self::Texture(_) | Self::Images(_) | Self::Motion(_) => Targets::Values { values: vec![], width: 1 },
        }
    }

    /// The objective that learns it.
    pub fn kind(&self) -> ObjectiveKind {
        match self {
            Self::Classes(_) => ObjectiveKind::Classify,
            Self::Groups(_) => ObjectiveKind::Groups,
            Self::Targets(_) => ObjectiveKind::Regress,
            Self::Texture(_) => ObjectiveKind::Texture,
            Self::Images(_) => ObjectiveKind::Generate,
            Self::Motion(_) => ObjectiveKind::Motion,
        }
    }

    /// What is told apart or predicted, in a word.
    pub fn word(&self) -> &'static str {
        match self {
            Self::Classes(_) | Self::Groups(_) | Self::Images(_) => "classes",
            Self::Targets(_) => "targets",
            Self::Texture(_) => "colors",
            Self::Motion(_) => "sequences",
        }
    }

    /// What the outputs are, in some words.
    pub fn outputs(&self) -> &'static str {
        match self {
            Self::Classes(_) => "classes",
            Self::Groups(_) => "classes and groups",
            Self::Targets(targets) if targets.len() == 1 => "target",
            Self::Targets(_) => "targets",
            Self::Texture(_) => "colors",
            Self::Images(_) => "values in an image",
            Self::Motion(_) => "components to move along",
        }
    }

    /// What each class or target is called.
    pub fn names(&self) -> Vec<&str> {
        match self {
            Self::Classes(words) => words.iter().map(String::as_str).collect(),
            Self::Groups(taxonomy) => taxonomy.words().iter().map(String::as_str).collect(),
            Self::Targets(targets) => targets.iter().map(|target| target.name.as_str()).collect(),
            Self::Texture(_) => vec!["red", "green", "blue"],
            Self::Images(pictures) => pictures.words.iter().map(String::as_str).collect(),
            Self::Motion(_) => vec![],
        }
    }
}

/// What a network said of each row.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Answers {
    /// A class.
    Classes(Vec<u32>),
    /// Numbers, row after row, in the data's own unit.
    Values(Vec<f64>),
}

impl Default for Answers {
    fn default() -> Self {
        Self::Classes(Vec::new())
    }
}

impl Answers {
    /// Whether nothing was said.
    pub fn is_empty(&self) -> bool {
        match self {
            Self::Classes(classes) => classes.is_empty(),
            Self::Values(values) => values.is_empty(),
        }
    }
}
