//! The junction's current–voltage law, and one linearly implicit Euler step of the node voltage through it.
//!
//! The device draws `I = I_s·S(u)` with `u = (a·v + b·v_b + c)/V_s` (1). One substep solves
//!
//! ```text
//! v' = v + (Δ − h·g·v − h·s·S(u)) / (1 + h·g + h·s·a·S'(u)/V_s),     h·s = dt·I_s/C,  h·g = dt/(C·R_p)
//! ```
//!
//! which is one Newton step of implicit Euler from `v`: `Δ = dt·i/C` is what the coil's current brings. Every `S` here has
//! a slope above zero, so the denominator is at least 1, and a steep junction makes the step smaller, never larger.
//! Source: Hairer and Wanner, "Solving Ordinary Differential Equations II", section IV.7 (linearly implicit methods).

#![allow(clippy::inline_always)] // The time loops vectorise only when these are part of them.

use super::circuit::LARGEST_EXPONENT;
use super::step::Step;
use crate::Real;

/// What one implicit step does to the node, in the terms that the adjoint needs.
pub(super) struct Solved<S> {
    /// v' − v, in V.
    pub change: S,
    /// ∂v'/∂Δ (1).
    pub yielding: S,
    /// ∂v'/∂v with Δ and the bias memory held (1).
    pub keeping: S,
}

/// A device law. `MEMORY` says whether the bias memory reaches the device at all.
pub(super) trait Law<S: Real>: Copy + Send + Sync + 'static {
    const MEMORY: bool;

    /// The implicit step at exponent `u`, where `push = Δ − h·g·v`.
    fn solve(step: &Step<S>, u: S, push: S) -> Solved<S>;
}

/// sinh's Taylor polynomial of fifth order: what a physicist writes down for a weakly driven junction.
#[derive(Clone, Copy)]
pub(super) struct Polynomial;

/// sinh: two junctions back to back (Shockley 1949).
#[derive(Clone, Copy)]
pub(super) struct Junction;

/// `(1 − m)` of the polynomial and `m` of the junction.
#[derive(Clone, Copy)]
pub(super) struct Blend;

/// The polynomial, its slope and its curvature at `u`.
#[inline(always)]
fn polynomial<S: Real>(u: S) -> [S; 3] {
    let square = u * u;
    let value = square.mul_add(S::of(1.0 / 120.0), S::of(1.0 / 6.0)).mul_add(square, S::of(1.0)) * u;
    let slope = square.mul_add(S::of(1.0 / 24.0), S::of(0.5)).mul_add(square, S::of(1.0));
    let curvature = square.mul_add(S::of(1.0 / 6.0), S::of(1.0)) * u;
    [value, slope, curvature]
}

impl<S: Real> Law<S> for Polynomial {
    const MEMORY: bool = false;

    #[inline(always)]
    fn solve(step: &Step<S>, u: S, push: S) -> Solved<S> {
        let [value, slope, curvature] = polynomial(u);
        let inverse = S::of(1.0) / slope.mul_add(step.device_slope, step.stiffness);
        let change = value.mul_add(-step.device, push) * inverse;
        Solved {
            change,
            yielding: inverse,
            keeping: (change * curvature * step.device_curvature).mul_add(-inverse, inverse),
        }
    }
}

impl<S: Real> Law<S> for Junction {
    const MEMORY: bool = true;

    #[inline(always)]
    fn solve(step: &Step<S>, u: S, push: S) -> Solved<S> {
        junction(step, u, push, step.stiffness, S::of(0.0))
    }
}

impl<S: Real> Law<S> for Blend {
    const MEMORY: bool = true;

    #[inline(always)]
    fn solve(step: &Step<S>, u: S, push: S) -> Solved<S> {
        let limit = S::of(LARGEST_EXPONENT);
        let [value, slope, curvature] = polynomial(u.max(-limit).min(limit));
        junction(
            step,
            u,
            value.mul_add(-step.polynomial, push),
            slope.mul_add(step.polynomial_slope, step.stiffness),
            curvature * step.polynomial_curvature,
        )
    }
}

/// The implicit step through a sinh, beside a device that already gives `push`, `stiffness` and `curvature`.
///
/// With E = e^u, both fractions of the step are widened by 2E, so that one division serves the sinh, the cosh and the
/// step.
#[inline(always)]
fn junction<S: Real>(step: &Step<S>, u: S, push: S, stiffness: S, curvature: S) -> Solved<S> {
    let limit = S::of(LARGEST_EXPONENT);
    let clamped = u.max(-limit).min(limit);
    let exponential = clamped.exp();
    let twice = exponential + exponential;
    let odd = exponential.mul_add(exponential, S::of(-1.0));
    let even = exponential.mul_add(exponential, S::of(1.0));
    let inverse = S::of(1.0) / twice.mul_add(stiffness, even * step.device_slope);
    let change = twice.mul_add(push, -(odd * step.device)) * inverse;
    let yielding = twice * inverse;
    let bend = twice.mul_add(curvature, odd * step.device_curvature) * inverse;
    // Where the exponent is clamped the current is constant, and only the load resistor feels the node move.
    let inside = u.abs() <= limit;
    let keeping = if inside { change.mul_add(-bend, yielding) } else { yielding.mul_add(-step.load, S::of(1.0)) };
    Solved { change, yielding, keeping }
}
