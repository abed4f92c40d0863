//! What is read of the fields at the outputs, and the cotangents of the fields from those of the readings.
//!
//! ```text
//! intensity    I = |y|²                     ȳ = 2 Ī y
//! normalized   n = I / √(Σ I²)              Ī = (n̄ − n (n·n̄)) / √(Σ I²)
//! quadratures  Re y, then Im y              ȳ = the cotangents of both
//! ```

#![allow(clippy::needless_range_loop)] // A lane's number walks several arrays side by side.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::waves::Wave;
use crate::{LANES, Lanes, Real};

/// What is read at the outputs of a mesh.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum MeshOutputs {
    /// The intensity at each output: a photodiode each.
    #[default]
    Intensity,
    /// The intensities divided by the root of the sum of their squares: what is read does not depend on the light's power.
    Normalized,
    /// Both quadratures of each field, first all real parts, then all imaginary ones: homodyne detection.
    Quadratures,
}

/// The dark: an intensity below which nothing is divided by.
const DARK: f64 = 1e-20;

impl MeshOutputs {
    /// Values for so many modes.
    pub(super) fn width(self, modes: usize) -> usize {
        if self == Self::Quadratures { 2 * modes } else { modes }
    }
}

/// Reads a block of shots.
pub(super) struct Detect<'a, S> {
    pub outputs: MeshOutputs,
    pub wave: &'a Wave<S>,
    pub to: &'a mut [Lanes<S>],
}

impl<S: Real> pulp::NullaryFnOnce for Detect<'_, S> {
    type Output = ();

    #[inline(always)]
    fn call(self) {
        let Self { outputs, wave: [re, im], to } = self;
        if outputs == MeshOutputs::Quadratures {
            let (real, imaginary) = to.split_at_mut(re.len());
            real.copy_from_slice(re);
            imaginary.copy_from_slice(im);
            return;
        }
        for ((to, re), im) in to.iter_mut().zip(re).zip(im) {
            for lane in 0..LANES {
                to[lane] = re[lane].mul_add(re[lane], im[lane] * im[lane]);
            }
        }
        if outputs == MeshOutputs::Normalized {
            let inverse = inverse_norm(to);
            for to in to {
                for lane in 0..LANES {
                    to[lane] = to[lane] * inverse[lane];
                }
            }
        }
    }
}

/// Cotangents of the fields.
pub(super) struct Undetect<'a, S> {
    pub outputs: MeshOutputs,
    pub wave: &'a Wave<S>,
    /// Of the readings.
    pub from: &'a [Lanes<S>],
    pub to: &'a mut Wave<S>,
}

impl<S: Real> pulp::NullaryFnOnce for Undetect<'_, S> {
    type Output = ();

    #[inline(always)]
    fn call(self) {
        let Self { outputs, wave: [re, im], from, to: [to_re, to_im] } = self;
        if outputs == MeshOutputs::Quadratures {
            let (real, imaginary) = from.split_at(re.len());
            to_re.copy_from_slice(real);
            to_im.copy_from_slice(imaginary);
            return;
        }
        let (mut inverse, mut along) = ([S::of(1.0); LANES], [S::default(); LANES]);
        if outputs == MeshOutputs::Normalized {
            // The intensities for now, then their share in the readings' cotangents.
            for ((to, re), im) in to_re.iter_mut().zip(re).zip(im) {
                for lane in 0..LANES {
                    to[lane] = re[lane].mul_add(re[lane], im[lane] * im[lane]);
                }
            }
            inverse = inverse_norm(to_re);
            for (intensity, from) in to_re.iter().zip(from) {
                for lane in 0..LANES {
                    along[lane] = (intensity[lane] * inverse[lane]).mul_add(from[lane], along[lane]);
                }
            }
        }
        for (mode, from) in from.iter().enumerate() {
            for lane in 0..LANES {
                let (x, y) = (re[mode][lane], im[mode][lane]);
                let reading = x.mul_add(x, y * y) * inverse[lane];
                let twice = S::of(2.0) * inverse[lane] * (from[lane] - reading * along[lane]);
                to_re[mode][lane] = twice * x;
                to_im[mode][lane] = twice * y;
            }
        }
    }
}

/// 1/√(Σ I²) of each shot.
#[inline(always)]
fn inverse_norm<S: Real>(intensities: &[Lanes<S>]) -> Lanes<S> {
    let mut inverse = [S::default(); LANES];
    for intensity in intensities {
        for lane in 0..LANES {
            inverse[lane] = intensity[lane].mul_add(intensity[lane], inverse[lane]);
        }
    }
    for value in &mut inverse {
        *value = S::of(1.0) / Real::max(value.sqrt(), S::of(DARK));
    }
    inverse
}
