//! What is learned of an image: its texture, by an automaton.

use std::sync::Arc;

use sims::Pixels;

use super::{CellsConfig, Filters};

/// A texture to learn.
#[derive(Debug, Clone, PartialEq)]
pub struct Texture {
    /// The image: colors from 0 to 1.
    pub image: Pixels<f32>,
    /// Who grows it; none until the experiment's table is known.
    pub cells: Option<CellsConfig>,
    /// What it is compared by in place of its patches of colors.
    pub filters: Option<Arc<Filters>>,
    /// The two matrices of the rule that its training begins with, the last row of each its summands; none where weights are drawn.
    pub rule: Option<[Vec<f32>; 2]>,
}
