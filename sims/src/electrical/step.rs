//! A circuit's coefficients as one substep of length `dt` uses them.
//!
//! The coil's current travels as `Δ = dt·i/C` (V), what it adds to the node in one substep.

use super::circuit::Circuit;
use crate::Real;

/// The coefficients of one substep. All are without unit but the bias.
#[derive(Debug, Clone, Copy)]
pub(super) struct Step<S> {
    /// What the coil's current keeps: 1/(1 + dt·R/L).
    pub coil: S,
    /// What a volt across the coil adds to Δ: (dt²/LC)·`coil`.
    pub gain: S,
    /// dt/(C·`R_p`).
    pub load: S,
    /// 1 + `load`.
    pub stiffness: S,
    /// The node's part in the exponent, in 1/V.
    pub own: S,
    /// The bias memory's part in the exponent, in 1/V.
    pub bias: S,
    /// `bias`/`own`.
    pub ratio: S,
    /// What the bias memory takes from the node in a substep: 1 − e^(−dt/τ).
    pub blend: S,
    /// dt·`I_s`/C of the law's main part, in V.
    pub device: S,
    /// `device`·`own`.
    pub device_slope: S,
    /// `device`·`own`².
    pub device_curvature: S,
    /// dt·`I_s`/C of the polynomial in a blend, in V.
    pub polynomial: S,
    /// `polynomial`·`own`.
    pub polynomial_slope: S,
    /// `polynomial`·`own`².
    pub polynomial_curvature: S,
}

impl<S: Real> Step<S> {
    /// The coefficients of `circuit`.
    pub fn new(circuit: &Circuit) -> Self {
        let dt = circuit.step_seconds;
        let coil = 1.0 / (1.0 + dt * circuit.ohms / circuit.henry);
        let load = dt / (circuit.farad * circuit.load_ohms);
        let own = circuit.own / circuit.scale_volts;
        let bias = circuit.memory / circuit.scale_volts;
        let charge = dt * circuit.device_amperes / circuit.farad;
        let share = circuit.junction_share;
        // The junction's step is widened by 2e^u, in which sinh and cosh are e^2u ∓ 1.
        let (main, rest) = if share == 0.0 { (1.0, 0.0) } else { (share, 1.0 - share) };
        Self {
            coil: S::of(coil),
            gain: S::of(dt * dt / (circuit.henry * circuit.farad) * coil),
            load: S::of(load),
            stiffness: S::of(1.0 + load),
            own: S::of(own),
            bias: S::of(bias),
            ratio: S::of(bias / own),
            blend: S::of(-(-dt / circuit.memory_seconds).exp_m1()),
            device: S::of(main * charge),
            device_slope: S::of(main * charge * own),
            device_curvature: S::of(main * charge * own * own),
            polynomial: S::of(rest * charge),
            polynomial_slope: S::of(rest * charge * own),
            polynomial_curvature: S::of(rest * charge * own * own),
        }
    }
}
