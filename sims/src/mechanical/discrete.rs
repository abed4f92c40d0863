//! The coefficients of the discrete plate: modes, couplings, and the chain from the drive to the microphone. `kernel.rs` has the equations.

/// What one mode does in one step.
#[derive(Debug, Clone, Copy)]
pub(super) struct Mode<S> {
    /// Free flow over one sample, row of `x`.
    pub xx: S,
    /// Free flow, from `y` to `x`.
    pub xy: S,
    /// Free flow, from `x` to `y`.
    pub yx: S,
    /// Free flow, row of `y`.
    pub yy: S,
    /// Kick per volt of force.
    pub push: S,
    /// Kick per cubed deflection.
    pub cubic: S,
    /// Kick per relative change of frequency and deflection.
    pub detune: S,
    /// Microphone volts per deflection.
    pub from_x: S,
    /// Microphone volts per velocity.
    pub from_y: S,
    /// Microphone volts per kick, while the force lasts.
    pub from_kick: S,
}

/// A quartic potential between four modes.
#[derive(Debug, Clone, Copy)]
pub(super) struct Coupling<S> {
    /// Which modes.
    pub modes: [usize; 4],
    /// Kick of each mode per product of the deflections of the other three.
    pub kicks: [S; 4],
}

/// The whole chain from the drive to the microphone.
#[derive(Debug, Clone)]
pub(super) struct Discrete<S> {
    /// What part of the way the coil current goes to the drive in one step.
    pub follow: S,
    /// What part of the way the high-pass's memory goes to the coil current in one step.
    pub block: S,
    /// `κ` of the soft clipping, in 1/V².
    pub clipping: S,
    /// Deflection beyond which the nonlinear force stays the same.
    pub limit: S,
    /// Whole samples from a kick to its first reading.
    pub delay: usize,
    /// All modes.
    pub modes: Vec<Mode<S>>,
    /// All couplings.
    pub couplings: Vec<Coupling<S>>,
}
