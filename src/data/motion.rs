//! The table `[motion]`: a frozen generator, and what moves through its latents.

// Circle with data/targets.rs: what a motion is learned by is one kind of targets, and sequences are a data set with targets.

use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use sims::Key;

use super::latents::Drawn;
use super::{Asked, Dataset, Latents, Meaning, PathConfig, Rows, Targets, pictures::square};
use crate::Error;
use crate::document::Document;

/// Values that the sequences of one split may have: some GiB.
const LARGEST: usize = 1 << 28;
/// Weights that the first layer of a critic may have.
const MOST_WEIGHTS: usize = 1 << 24;

/// Sequences through a generator that stays as it is. The experiment's `[[layers]]` are run once for each frame: its noise comes in, and what
/// goes out, one value for each component, moves the generator's latents. Every frame is one shot of each of the generator's plants.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct MotionConfig {
    /// A run that learned to `generate`: its folder, or its name below `runs`.
    pub generator: PathBuf,
    /// Frames of a sequence (16).
    #[schemars(range(min = 2, max = 1000))]
    pub frames: usize,
    /// Principal components of the generator's latents that are moved along (6): of what comes to its first plant, or out of its first layer
    /// where it has none.
    #[schemars(range(min = 1, max = 4096))]
    pub components: usize,
    /// Whether it moves along principal components, in their standard deviations (true); if not, along each latent by itself, of which
    /// `components` then is the number.
    pub principal: bool,
    /// How far a component moves from frame to frame at most, in its standard deviations (0.2).
    #[schemars(range(min = 0.0001, max = 10))]
    pub step: f32,
    /// Values of noise in each frame (4).
    #[schemars(range(min = 1, max = 4096))]
    pub noise: usize,
    /// What it counts that the noise of a frame can be told from the state of the `lstm` layers (0.5); 0: nothing.
    #[schemars(range(min = 0, max = 1000))]
    pub mutual_information: f32,
    /// What sequences are learned by (windows).
    #[serde(skip_serializing_if = "is_windows")]
    pub objective: MotionObjective,
    /// How critics learn, for `objective = "critics"`; left out: as its defaults say.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub critics: Option<CriticsConfig>,
    /// How images are moved, where the data is images; left out, turned by up to 30 degrees.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub path: Option<PathConfig>,
    /// The plant of each physical layer of the generator, as its experiment names them, once that was read.
    #[serde(skip)]
    #[schemars(skip)]
    pub drives: Vec<String>,
}

/// What sequences are learned by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum MotionObjective {
    /// Sliced optimal transport of windows.
    #[default]
    Windows,
    /// Two networks that learn at the same time to tell the data's sequences from others: one sees whole sequences, one the first frame beside
    /// another one. For methods that differentiate through a twin.
    Critics,
}

#[allow(clippy::trivially_copy_pass_by_ref)] // serde's signature
fn is_windows(objective: &MotionObjective) -> bool {
    *objective == MotionObjective::Windows
}

/// How the critics of a motion learn.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct CriticsConfig {
    /// Units of each of the two hidden layers of a critic (64).
    #[schemars(range(min = 1, max = 4096))]
    pub width: usize,
    /// Their step size (0.002).
    #[schemars(range(min = 1e-6, max = 10))]
    pub learning_rate: f64,
    /// Updates of the critics for each update of what moves (2).
    #[schemars(range(min = 1, max = 100))]
    pub steps: usize,
    /// What it counts that the slope of a critic is not of length 1 between the data's sequences and others (10).
    #[schemars(range(min = 0, max = 1e6))]
    pub penalty: f32,
    /// What it counts that frames of one sequence are told from those of others by the same features, which are learned by contrast (0); 0:
    /// nothing. For a generator whose images are not those of the data.
    #[schemars(range(min = 0, max = 1000))]
    pub contrastive: f32,
}

impl Default for CriticsConfig {
    fn default() -> Self {
        Self { width: 64, learning_rate: 0.002, steps: 2, penalty: 10.0, contrastive: 0.0 }
    }
}

impl Default for MotionConfig {
    fn default() -> Self {
        Self {
            generator: PathBuf::new(),
            frames: 16,
            components: 6,
            principal: true,
            step: 0.2,
            noise: 4,
            mutual_information: 0.5,
            objective: MotionObjective::default(),
            critics: None,
            path: None,
            drives: vec![],
        }
    }
}

impl MotionConfig {
    /// Refuses what cannot move.
    pub fn sensible(&self, document: &Document) -> Result<(), Error> {
        let refuse = |key: &str, message: &str| Err(document.refuse(&format!("motion.{key}"), message));
        if self.generator.as_os_str().is_empty() {
            return refuse("generator", "is missing: name a run that learned to `generate`");
        }
        if self.critics.is_some() && self.objective == MotionObjective::Windows {
            return refuse(
                "critics",
                "is there, but there are no critics: say `objective = \"critics\"`, or leave the table out",
            );
        }
        match &self.path {
            Some(path) if !(path.amplitude.is_finite() && 0.0 < path.amplitude) => {
                refuse("path.amplitude", "is not above 0: nothing would move")
            }
            Some(path) if path.period[1] < path.period[0] => refuse("path.period", "has its ends turned round"),
            _ => Ok(()),
        }
    }
}

/// A generator, as far as its sequences depend on it.
#[derive(Debug, Clone, PartialEq)]
pub struct GeneratorFacts {
    /// What it is called in records.
    pub name: String,
    /// What goes into it.
    pub latents: Latents,
    /// The classes that it is told, if it is.
    pub words: Vec<String>,
    /// Of its weights: another generator has other rows.
    pub check: u64,
}

/// Sequences that are to be learned, and what makes such.
#[derive(Debug, Clone, PartialEq)]
pub struct Movement {
    /// Lines and columns of a frame.
    pub size: [usize; 2],
    /// The sequences as they were recorded, each with all of its frames, before anybody cuts windows out of them.
    pub recorded: Vec<Vec<f32>>,
    /// What goes into the generator.
    pub latents: Latents,
    /// The check of the generator's weights, where it is one that a run has left.
    pub generator: Option<u64>,
    /// Frames of a sequence.
    pub frames: usize,
    /// Values of noise in each frame.
    pub noise: usize,
    /// Components that are moved along.
    pub components: usize,
    /// Whether these are principal components.
    pub principal: bool,
    /// How far each moves at most, in its standard deviations.
    pub step: f32,
    /// What it counts that noise can be told from the state.
    pub mutual_information: f32,
    /// The critics that it is learned by; none where it is by windows.
    pub critics: Option<CriticsConfig>,
}

impl Movement {
    /// Of recorded frames of one size.
    pub fn recorded(size: [usize; 2], recorded: Vec<Vec<f32>>) -> Self {
        let latents = Latents { latent: 0, classes: 0 };
        let own = Self::new(&MotionConfig::default(), latents, size);
        Self { recorded, ..own }
    }

    /// As `config` moves a generator with such latents.
    pub fn new(config: &MotionConfig, latents: Latents, size: [usize; 2]) -> Self {
        Self {
            size,
            recorded: vec![],
            latents,
            generator: None,
            frames: config.frames,
            noise: config.noise,
            components: config.components,
            principal: config.principal,
            step: config.step,
            mutual_information: config.mutual_information,
            critics: (config.objective == MotionObjective::Critics).then(|| config.critics.clone().unwrap_or_default()),
        }
    }

    /// Values of a frame.
    pub fn pixels(&self) -> usize {
        self.size[0] * self.size[1]
    }

    /// What goes in for a sequence of so many frames.
    pub fn row(&self, label: Option<u32>, frames: usize, key: Key) -> Vec<f32> {
        self.latents.row(label, self.noises(frames), key)
    }

    /// Values of noise of so many frames: the first one is drawn by the latents alone.
    pub fn noises(&self, frames: usize) -> usize {
        frames.saturating_sub(1) * self.noise
    }

    /// Values that go in for a sequence that it learns.
    pub fn width(&self) -> usize {
        self.latents.width() + self.noises(self.frames)
    }
}

impl Dataset {
    /// The same as sequences that a generator is to be moved through.
    pub(super) fn moved_by(
        mut self,
        config: &MotionConfig,
        facts: &GeneratorFacts,
        asked: Asked<'_>,
    ) -> Result<Self, Error> {
        let Asked { document, key } = asked;
        let key = key.branch("motion");
        let names: Vec<String> = self.meaning.names().into_iter().map(str::to_owned).collect();
        let (size, parts) = match &self.meaning {
            Meaning::Motion(movement) => {
                if config.path.is_some() {
                    let message = "moves images, but the data is sequences already: leave it out";
                    return Err(document.refuse("motion.path", message));
                }
                (movement.size, self.windows(movement, config.frames)?)
            }
            Meaning::Classes(_) | Meaning::Groups(_) => {
                if 0 < facts.latents.classes && facts.words != names {
                    let message = format!(
                        "is told {} classes ({}), but the data has {} ({}): take the data that it learned from",
                        facts.words.len(),
                        facts.words.join(", "),
                        names.len(),
                        names.join(", ")
                    );
                    return Err(document.refuse("motion.generator", message));
                }
                let path = config.path.clone().unwrap_or_default();
                self.name = format!("{}, {}", self.name, path.kind.words());
                let parts = [(&self.train, "train"), (&self.validation, "validation"), (&self.test, "test")];
                (square(self.width), parts.map(|(rows, part)| self.swung(rows, &path, config.frames, key.branch(part))))
            }
            _ => {
                let message = "move a generator's images, but [data] has neither images with classes (digits, IDX files) nor recorded \
                               sequences (frames, trace): take one of those, or leave the table out";
                return Err(document.refuse("motion", message));
            }
        };
        let movement = Movement { generator: Some(facts.check), ..Movement::new(config, facts.latents, size) };
        let width = movement.pixels() * config.frames;
        if let Some(part) = parts.iter().find(|part| LARGEST / width < part.rows) {
            let message = format!(
                "is {}, which makes {} sequences of {width} values: at most {LARGEST} values can be kept",
                config.frames, part.rows
            );
            return Err(document.refuse("motion.frames", message));
        }
        if let Some(critics) = movement.critics.as_ref().filter(|critics| MOST_WEIGHTS / critics.width.max(1) < width) {
            let message = format!(
                "is {}, and a sequence has {width} values: a critic's first layer may have at most {MOST_WEIGHTS} weights",
                critics.width
            );
            return Err(document.refuse("motion.critics.width", message));
        }
        let key = key.branch("latents").number(facts.check);
        let labels = self.train.labels().to_vec();
        let rows = |part: Sequences, name: &str, labels: &[u32], numbers: Vec<usize>| {
            let key = key.branch(name);
            let row = |row: usize| movement.row(labels.get(row).copied(), config.frames, key.number(row as u64));
            Rows {
                values: (0..part.rows).flat_map(row).collect(),
                targets: Targets::Values { values: part.values, width },
                numbers,
            }
        };
        let numbers = |known: &Rows, part: &Sequences| {
            if known.numbers.len() == part.rows { known.numbers.clone() } else { (0..part.rows).collect() }
        };
        let [train, validation, test] = parts;
        let numbers =
            [numbers(&self.train, &train), numbers(&self.validation, &validation), numbers(&self.test, &test)];
        let [of_train, of_validation, of_test] = numbers;
        let (validation_labels, test_labels) = (self.validation.labels().to_vec(), self.test.labels().to_vec());
        self.train = rows(train, "train", &labels, of_train);
        self.validation = rows(validation, "validation", &validation_labels, of_validation);
        self.test = rows(test, "test", &test_labels, of_test);
        let noise = movement.noises(config.frames);
        self.drawn = Some(Drawn { latents: facts.latents, noise, key, labels, augmented: None });
        self.name = format!("{}, through {}", self.name, facts.name);
        (self.width, self.columns, self.augmented) = (movement.width(), vec![], None);
        self.meaning = Meaning::Motion(Box::new(movement));
        Ok(self)
    }

    /// Sequences that a program made, to learn from and to test on, each with all frames of `movement`.
    pub fn of_sequences(name: &str, movement: Movement, parts: [Vec<f32>; 2], key: Key) -> Self {
        let (width, frames) = (movement.pixels() * movement.frames, movement.frames);
        let rows = |values: Vec<f32>, part: &str| {
            let (count, key) = (values.len() / width, key.branch(part));
            Rows {
                values: (0..count).flat_map(|row| movement.row(None, frames, key.number(row as u64))).collect(),
                targets: Targets::Values { values, width },
                numbers: (0..count).collect(),
            }
        };
        let [train, test] = parts;
        let drawn = Drawn {
            latents: movement.latents,
            noise: movement.noises(frames),
            key: key.branch("latents"),
            labels: vec![],
            augmented: None,
        };
        Self {
            name: name.to_owned(),
            width: movement.width(),
            train: rows(train, "train"),
            validation: rows(vec![], "validation"),
            test: rows(test, "test"),
            meaning: Meaning::Motion(Box::new(movement)),
            augmented: None,
            drawn: Some(drawn),
            columns: vec![],
        }
    }

    /// Each image of some rows, moved along a path of its own.
    fn swung(&self, rows: &Rows, path: &PathConfig, frames: usize, key: Key) -> Sequences {
        let blank = self.train.values.iter().copied().fold(f32::INFINITY, f32::min);
        let images = rows.values.chunks_exact(self.width).enumerate();
        let moved = |(row, image)| path.frames(image, (square(self.width), blank), frames, key.number(row as u64));
        Sequences { rows: rows.len(), values: images.flat_map(moved).collect() }
    }

    /// All windows of recorded sequences: the first ones to learn from, the last ones to test on, none of which share a frame.
    fn windows(&self, movement: &Movement, frames: usize) -> Result<[Sequences; 3], Error> {
        let pixels = movement.pixels();
        let mut parts = [(); 3].map(|()| Sequences { rows: 0, values: vec![] });
        for sequence in &movement.recorded {
            let count = sequence.len() / pixels;
            // A share of the frames at the end, and at least those of one window.
            let test = (count / 5).max(frames).min(count);
            for (part, range) in [(0, 0..count - test), (2, count - test..count)] {
                for first in range.clone().take((range.len() + 1).saturating_sub(frames)) {
                    parts[part].values.extend(&sequence[first * pixels..(first + frames) * pixels]);
                    parts[part].rows += 1;
                }
            }
        }
        if parts[0].rows == 0 || parts[2].rows == 0 {
            let longest = movement.recorded.iter().map(|sequence| sequence.len() / pixels).max().unwrap_or(0);
            return Err(Error::Data(format!(
                "{}: the longest sequence has {longest} frames, of which a fifth, or at least motion.frames = {frames}, is held back: give at \
                 least {} frames, or learn shorter sequences",
                self.name,
                2 * frames
            )));
        }
        Ok(parts)
    }
}

/// Sequences of one split, one after another.
struct Sequences {
    rows: usize,
    values: Vec<f32>,
}
