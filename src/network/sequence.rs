//! What layers that are run frame after frame are told, and what they carry on.

use std::collections::BTreeMap;

use burn::tensor::Tensor;

/// What a motion says to the layers that it runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MotionEnds {
    /// Values that go into the generator.
    pub start: usize,
    /// Values of noise in each frame.
    pub noise: usize,
    /// Whether the noise is to be told from the state.
    pub told: bool,
}

/// What layers carry from frame to frame.
#[derive(Default)]
pub struct Sequence {
    /// What goes into the generator for the first frame.
    pub start: Option<Tensor<2>>,
    /// Output and state of each recurrent layer.
    pub states: BTreeMap<usize, [Tensor<2>; 2]>,
    /// What recurrent layers tell of the noise of the last frame.
    pub told: Vec<Tensor<2>>,
}
