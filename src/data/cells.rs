//! The table `[cells]`: a lattice whose cells all follow one rule, the network.

use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use sims::{COLORS, Grid, Key, Lattice, Perception, Pixels};

use crate::Error;
use crate::document::Document;

/// Values of a lattice at most: with what a rollout keeps of each step some GiB.
const LARGEST: usize = 1 << 22;

/// A lattice on a torus. The experiment's `[[layers]]` are the rule of one cell: what it perceives goes in, what its channels change by
/// comes out. Every cell of a step is one shot of each physical layer.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct CellsConfig {
    /// Cells of a side (24).
    #[schemars(range(min = 3, max = 4096))]
    pub size: usize,
    /// Channels of a cell; the first three are its color (12).
    #[schemars(range(min = 3, max = 4096))]
    pub channels: usize,
    /// What a cell perceives of its neighborhood; left out: identity, sobel-x, sobel-y and laplacian, without errors.
    pub perception: Vec<Perception>,
    /// How cells lie (square).
    pub grid: Grid,
    /// By how much each cell is turned, in degrees (0).
    #[schemars(range(min = -360, max = 360))]
    pub rotation: f32,
    /// How far each cell may be turned besides, evenly either way, in degrees: a fixed pattern (0).
    #[schemars(range(min = 0, max = 180))]
    pub rotation_spread: f32,
    /// The probability that a cell changes in a step (0.5). With 1 all change at once.
    #[schemars(range(min = 0.001, max = 1))]
    pub fire_rate: f32,
    /// Steps of a rollout, from the fewest to the most: each update draws how many (32 to 64).
    #[schemars(inner(range(min = 1, max = 100_000)))]
    pub steps: [usize; 2],
    /// Steps of a test, from fresh seeds; left out, twice the most of a rollout.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 1_000_000))]
    pub test_steps: Option<usize>,
    /// Lattices that training goes on from (256).
    #[schemars(range(min = 1, max = 65_536))]
    pub pool: usize,
    /// Every so many updates one lattice begins from a fresh seed (8).
    #[schemars(range(min = 1, max = 1_000_000))]
    pub fresh_every: usize,
    /// Standard deviation of the channels of a seed (0.1); 0: seeds are zeros.
    #[schemars(range(min = 0, max = 10))]
    pub seed_noise: f32,
    /// What a channel is multiplied by before it is a color: 0.5 + contrast · channel (1).
    #[schemars(range(min = -100, max = 100))]
    pub contrast: f32,
    /// After each step, channels are held within this magnitude, in trainings, tests and `pnnlab grow`; left out, nothing holds them but the loss.
    /// Give it where a plant is in the rule: beyond the range that drives it, nothing brings a channel back.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0.001, max = 1000))]
    pub clip: Option<f32>,
    /// States of a rollout that a training keeps; from each, the steps up to the next are computed once more on the way back, with what the
    /// plants have answered: nothing is driven twice. 1: no step is computed twice, and all that derivatives need is kept. Left out, that where it takes
    /// at most 256 MiB, else as many as take least memory.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 100_000))]
    pub checkpoints: Option<usize>,
    /// A rule of the public collection that a training begins with, `models.json#NAME` or `NAME_w1.csv`. The layers are then `linear`, `activation`
    /// (`clipped-relu`) and `linear`, as wide as the rule. Left out, their weights are drawn.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rule: Option<PathBuf>,
    /// A safetensors file with the filters of a network that sees images, such as VGG16; textures are then learned by what these filters
    /// see. Left out, by patches of their colors, as they are judged in any case.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub features: Option<PathBuf>,
    /// Decides the fixed patterns of gains and turns (1). What a training draws besides follows the experiment's seed.
    #[schemars(range(max = 9_223_372_036_854_775_807_u64))]
    pub seed: u64,
}

impl Default for CellsConfig {
    fn default() -> Self {
        Self {
            size: 24,
            channels: 12,
            perception: Perception::all(),
            grid: Grid::Square,
            rotation: 0.0,
            rotation_spread: 0.0,
            fire_rate: 0.5,
            steps: [32, 64],
            test_steps: None,
            pool: 256,
            fresh_every: 8,
            seed_noise: 0.1,
            contrast: 1.0,
            clip: None,
            checkpoints: None,
            rule: None,
            features: None,
            seed: 1,
        }
    }
}

impl CellsConfig {
    /// The lattice of a training.
    pub fn lattice(&self) -> Lattice {
        self.lattice_of([self.size; 2])
    }

    /// A lattice of another size.
    pub fn lattice_of(&self, size: [usize; 2]) -> Lattice {
        let turn = [self.rotation.to_radians(), self.rotation_spread.to_radians()];
        let key = Key::new(self.seed).branch("cells");
        Lattice::new(size, self.channels, (&self.perception, self.grid), turn, key)
    }

    /// The colors of a state, `[cells, channels]`.
    pub fn colors(&self, size: [usize; 2], states: &[f32]) -> Pixels<f32> {
        let colors = |cell: &[f32]| [0, 1, 2].map(|color| 0.5 + self.contrast * cell[color]);
        let colors: Vec<f32> = states.chunks_exact(self.channels).flat_map(colors).collect();
        debug_assert_eq!(colors.len(), size[0] * size[1] * COLORS);
        Pixels { size, colors }
    }

    /// Values that a cell perceives.
    pub fn width(&self) -> usize {
        self.perception.len() * self.channels
    }

    /// Cells of a lattice.
    pub fn cells(&self) -> usize {
        self.size * self.size
    }

    /// How many steps the rollout of an update takes, counted from 1.
    pub fn rollout(&self, update: usize) -> usize {
        let [least, most] = self.steps;
        least + Key::new(self.seed).branch("rollouts").number(update as u64).stream().below(most + 1 - least)
    }

    /// Steps of the rollouts of so many updates.
    pub fn rollouts(&self, updates: usize) -> usize {
        // Beyond that the mean tells it well enough.
        const COUNTED: usize = 1 << 20;
        let counted: usize = (1..=updates.min(COUNTED)).map(|update| self.rollout(update)).sum();
        counted + updates.saturating_sub(COUNTED) * (self.steps[0] + self.steps[1]) / 2
    }

    /// Steps of a test.
    pub fn tested(&self) -> usize {
        self.test_steps.unwrap_or(2 * self.steps[1])
    }

    /// Refuses what cannot grow.
    pub fn sensible(&self, document: &Document) -> Result<(), Error> {
        let refuse = |key: &str, message: String| Err(document.refuse(&format!("cells.{key}"), message));
        if self.perception.is_empty() {
            return refuse("perception", "is empty: a cell must perceive something, at least `identity`".to_owned());
        }
        let [least, most] = self.steps;
        if most < least {
            return refuse("steps", format!("are from {least} to {most}: give the fewest first"));
        }
        if LARGEST / self.cells() < self.width() {
            let message = format!(
                "is {} with {} channels and {} kernels: {} values, of which at most {LARGEST} can be trained",
                self.size,
                self.channels,
                self.perception.len(),
                self.cells() * self.width()
            );
            return refuse("size", message);
        }
        Ok(())
    }
}
