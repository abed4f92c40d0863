//! Which way a value goes: into a plant, or out of it.

/// Which way a value goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Direction {
    /// Data that drives the plant, different in every shot.
    Input,
    /// A trainable setting, held for a whole batch.
    Control,
    /// A reading.
    Output,
}

impl std::fmt::Display for Direction {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Input => "input",
            Self::Control => "control",
            Self::Output => "output",
        })
    }
}
