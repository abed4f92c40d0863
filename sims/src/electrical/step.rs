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
    pub fn new(circuit: &Circuit<S::Wide>) -> Self {
        let of = S::Wide::of;
        let dt = of(circuit.step_seconds);
        let coil = of(1.0) / (of(1.0) + dt * circuit.ohms / circuit.henry);
        let load = dt / (circuit.farad * circuit.load_ohms);
        let own = of(circuit.own / circuit.scale_volts);
        let bias = circuit.memory / of(circuit.scale_volts);
        let charge = dt * circuit.device_amperes / circuit.farad;
        let share = circuit.junction_share;
        // The junction's step is widened by 2e^u, in which sinh and cosh are e^2u ∓ 1.
        let (main, rest) = if share == of(0.0) { (of(1.0), of(0.0)) } else { (share, of(1.0) - share) };
        Self {
            coil: S::nearest(coil),
            gain: S::nearest(dt * dt / (circuit.henry * circuit.farad) * coil),
            load: S::nearest(load),
            stiffness: S::nearest(of(1.0) + load),
            own: S::nearest(own),
            bias: S::nearest(bias),
            ratio: S::nearest(bias / own),
            blend: S::nearest(of(1.0) - (-dt / circuit.memory_seconds).exp()),
            device: S::nearest(main * charge),
            device_slope: S::nearest(main * charge * own),
            device_curvature: S::nearest(main * charge * own * own),
            polynomial: S::nearest(rest * charge),
            polynomial_slope: S::nearest(rest * charge * own),
            polynomial_curvature: S::nearest(rest * charge * own * own),
        }
    }
}
