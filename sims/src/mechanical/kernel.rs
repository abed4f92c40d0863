//! The discrete plate: one exact step per sample for a block of shots, and its adjoint.
//!
//! A shot starts at rest. Each step gives every mode a kick in velocity, reads the microphone, and lets the modes
//! ring freely for one sample time `T`. With `x` the deflection (in units of the mode's reach) and `y` the velocity
//! over `ω`:
//!
//! ```text
//! band   = speaker's band-pass of the drive            two first-order sections
//! f      = gain · band / √(1 + κ band²)                soft clipping
//! X      = clamp(x, ±limit)
//! k      = push·f + cubic·X³ + detune·δ·x + couplings(X)
//! y     += k
//! output = Σ from_x·x + from_y·y + from_kick·k         the acceleration, part of a sample after the kick
//! (x, y) ← [xx xy; yx yy] (x, y)                       the exact free flow of a damped mode
//! ```
//!
//! The force of a kick lasts the whole sample: `from_kick·k` is what it accelerates the plate by, the rest is what the ringing
//! does. A slow drive so moves the plate against its springs, and hardly any sound comes of it.
//!
//! A kick followed by the exact flow is the impulse-invariant model of a linear mode, and a symplectic splitting of an
//! undamped nonlinear one: its energy stays bounded. The clamp bounds the nonlinear force, so that no drive whatever
//! can make the damped plate diverge.
//!
//! Couplings come from quartic potentials `x_a x_b x_c x_d`: each kicks its four modes by the product of the other
//! three. An index may repeat; the sum over the four places then gives the right factor by itself.
//!
//! Shapes: drive, output and their cotangents `[samples]` lanes; deflections kept for the adjoint `[samples, modes]`
//! lanes. `LINEAR` leaves out whatever is not linear at compile time.

#![allow(clippy::inline_always)] // Each function must become part of the vectorised caller.

use pulp::{Simd, WithSimd};

use super::discrete::Discrete;
use super::step::{band_pass, band_pass_back, couple, couple_back, ring, ring_back, soft_clip, soft_clip_back};
use crate::{LANES, Lanes, Real};

/// What a block of shots finds on the bench.
#[derive(Debug, Clone, Copy)]
pub(super) struct Conditions<S> {
    /// Force per nominal force.
    pub gain: Lanes<S>,
    /// Relative change of all frequencies.
    pub detuning: Lanes<S>,
}

impl<S: Real> Conditions<S> {
    /// A cold bench.
    pub fn nominal() -> Self {
        Self { gain: [S::of(1.0); LANES], detuning: [S::of(0.0); LANES] }
    }
}

/// What a thread keeps between blocks.
#[derive(Debug)]
pub(super) struct Scratch<S> {
    /// `x` and `y` of each mode, or their cotangents.
    state: Vec<[Lanes<S>; 2]>,
    /// The speaker's band-passed voltage, `[samples]`.
    bands: Vec<Lanes<S>>,
    /// The deflection of each mode, `[samples, modes]`.
    deflections: Vec<Lanes<S>>,
}

impl<S: Real> Scratch<S> {
    /// Room for the forward pass only.
    pub fn forward(modes: usize) -> Self {
        Self { state: vec![Default::default(); modes], bands: Vec::new(), deflections: Vec::new() }
    }

    /// Room for what the adjoint of a nonlinear plate needs from the forward pass.
    pub fn adjoint(modes: usize, samples: usize) -> Self {
        let zero = [S::of(0.0); LANES];
        Self { bands: vec![zero; samples], deflections: vec![zero; samples * modes], ..Self::forward(modes) }
    }
}

/// Lets a block of shots ring: drive → microphone, which must be zero before.
///
/// With `KEEP`, the scratch afterwards holds what [`Backward`] needs.
pub(super) struct Forward<'a, S, const LINEAR: bool, const KEEP: bool> {
    /// What rings.
    pub plate: &'a Discrete<S>,
    /// On what bench.
    pub conditions: &'a Conditions<S>,
    /// `[samples]` lanes, in V.
    pub drive: &'a [Lanes<S>],
    /// Anything.
    pub scratch: &'a mut Scratch<S>,
    /// `[samples]` lanes, in V.
    pub output: &'a mut [Lanes<S>],
}

impl<S: Real, const LINEAR: bool, const KEEP: bool> WithSimd for Forward<'_, S, LINEAR, KEEP> {
    type Output = ();

    #[inline(always)]
    fn with_simd<V: Simd>(self, _: V) {
        let Self { plate, conditions, drive, scratch, output } = self;
        let count = plate.modes.len();
        let mut speaker = [[S::of(0.0); LANES]; 2];
        scratch.state.fill([[S::of(0.0); LANES]; 2]);
        // A kick in the last samples is read after the record's end.
        for (step, output) in output.iter_mut().skip(plate.delay).enumerate() {
            let band = band_pass(plate, &drive[step], &mut speaker);
            let force = if LINEAR { band } else { soft_clip(plate.clipping, &conditions.gain, &band) };
            if KEEP {
                scratch.bands[step] = band;
                let kept = &mut scratch.deflections[step * count..][..count];
                kept.iter_mut().zip(&scratch.state).for_each(|(kept, [x, _])| *kept = *x);
            }
            let heard = if LINEAR { [S::of(0.0); LANES] } else { couple(plate, &mut scratch.state) };
            *output = ring::<S, LINEAR>(plate, &conditions.detuning, [&force, &heard], &mut scratch.state);
        }
    }
}

/// The adjoint of [`Forward`] on a nominal bench: cotangents of the microphone → gradients for the drive.
///
/// A linear plate needs nothing from the forward pass.
pub(super) struct Backward<'a, S, const LINEAR: bool> {
    /// What rings.
    pub plate: &'a Discrete<S>,
    /// `[samples]` lanes, per V.
    pub cotangents: &'a [Lanes<S>],
    /// As a forward pass with `KEEP` left it.
    pub scratch: &'a mut Scratch<S>,
    /// `[samples]` lanes, per V.
    pub gradients: &'a mut [Lanes<S>],
}

impl<S: Real, const LINEAR: bool> WithSimd for Backward<'_, S, LINEAR> {
    type Output = ();

    #[inline(always)]
    fn with_simd<V: Simd>(self, _: V) {
        let Self { plate, cotangents, scratch, gradients } = self;
        let count = plate.modes.len();
        let mut speaker = [[S::of(0.0); LANES]; 2];
        scratch.state.fill([[S::of(0.0); LANES]; 2]);
        gradients.fill([S::of(0.0); LANES]);
        for (step, cotangent) in cotangents.iter().skip(plate.delay).enumerate().rev() {
            let deflections: &[Lanes<S>] = if LINEAR { &[] } else { &scratch.deflections[step * count..][..count] };
            let force = ring_back::<S, LINEAR>(plate, deflections, cotangent, &mut scratch.state);
            if !LINEAR {
                couple_back(plate, deflections, cotangent, &mut scratch.state);
            }
            let band = if LINEAR { force } else { soft_clip_back(plate.clipping, &scratch.bands[step], &force) };
            gradients[step] = band_pass_back(plate, &band, &mut speaker);
        }
    }
}
