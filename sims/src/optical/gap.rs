//! How one bench differs from what its twin believes.
//!
//! The kinds of errors and their proportions are those of a prototype: ripple of the laser, dispersion, smooth
//! spectral phase, phase matching, exponent of the shaper, point spread, registration and gain of the spectrometer.
//! How large an error they make together depends on how their signs and shapes fall; so all of them are scaled by one
//! factor, which makes the twin's error on uniformly random transmissions [`TWIN_ERROR`] for every plant seed.

use std::f64::consts::{PI, TAU};

use super::config::{CHANNELS, OUTPUTS, Optical};
use crate::{Key, Real, Stream};

/// The twin's error at `mismatch` = 1: root mean square, over the outputs' standard deviation about their own means
/// (14 % in the prototype, where training in silico then lost half of its accuracy and physics-aware training little).
const TWIN_ERROR: f64 = 0.14;
/// Random shots on which it is set.
const SHOTS: usize = 96;

/// Ripple of the envelope of the field, root mean square.
const RIPPLE: f64 = 0.015;
/// Relative error of the chirp.
const CHIRP: f64 = 0.0075;
/// Smooth error of the spectral phase, root mean square, in rad.
const PHASE: f64 = 0.09;
/// Error of the phase mismatch Δk₀·L/2, in rad.
const MATCHING: f64 = 0.05;
/// How far the exponent of the shaper is above 1.
const EXPONENT: f64 = 0.015;
/// Standard deviation of the spectrometer's point spread, in pixels.
const SPREAD: f64 = 0.5;
/// Shift of the spectrometer's registration, in pixels.
const SHIFT: f64 = 0.15;
/// Relative error of the spectrometer's gain.
const GAIN: f64 = 0.015;

/// The errors of one bench, in the units of the constants above.
#[derive(Debug, Clone)]
pub(super) struct Gap<R = f64> {
    pub ripple: R,
    pub fringes: Ripples,
    /// Of the quadratic and of the cubic spectral phase at the ends of the band, in rad.
    pub chirp: [R; 2],
    pub phase: R,
    pub smooth: Ripples,
    pub matching: R,
    pub exponent: R,
    pub spread: R,
    pub shift: R,
    pub gain: R,
}

impl<R: Real> Gap<R> {
    /// No error at all.
    pub fn none() -> Self {
        let waves = Ripples([(0.0, 0.0); 3]);
        let none = R::of(0.0);
        let [ripple, phase, matching, exponent, spread, shift, gain] = [none; 7];
        let (fringes, smooth, chirp) = (waves.clone(), waves, [none; 2]);
        Self { ripple, fringes, chirp, phase, smooth, matching, exponent, spread, shift, gain }
    }
}

impl Gap {
    /// The errors of the described bench; `read` says what a bench with given errors reads for shots of the channels' transmissions.
    pub fn of_bench(optical: &Optical, read: impl Fn(&Self, &[[f64; CHANNELS]]) -> Vec<Vec<f64>>) -> Self {
        if optical.mismatch == 0.0 {
            return Self::none();
        }
        let shots = typical_shots();
        let believed = read(&Self::none(), &shots);
        let drawn = Self::drawn(optical);
        let mut scale = 1.0;
        // The error is nearly proportional to the scale, so this converges by a digit each time.
        for _ in 0..4 {
            scale *= TWIN_ERROR / relative_error(&believed, &read(&drawn.scaled(scale), &shots));
        }
        drawn.scaled(scale * optical.mismatch)
    }

    /// Errors of the sizes above, of random signs and shapes.
    fn drawn(optical: &Optical) -> Self {
        let mut stream = Key::new(optical.plant_seed).branch("optical path").stream();
        let mut signed = |size: f64| if stream.uniform() < 0.5 { -size } else { size };
        let (chirp, matching, shift) = (signed(CHIRP), signed(MATCHING), signed(SHIFT));
        Self {
            ripple: RIPPLE,
            fringes: Ripples::drawn(&mut stream, [5.0, 8.0, 13.0]),
            chirp: [chirp * optical.quadratic_radians, chirp * optical.cubic_radians],
            phase: PHASE,
            smooth: Ripples::drawn(&mut stream, [1.0, 2.0, 3.0]),
            matching,
            exponent: EXPONENT,
            spread: SPREAD,
            shift,
            gain: GAIN,
        }
    }

    /// All errors times `factor`.
    fn scaled(&self, factor: f64) -> Self {
        Self {
            ripple: factor * self.ripple,
            fringes: self.fringes.clone(),
            chirp: self.chirp.map(|chirp| factor * chirp),
            phase: factor * self.phase,
            smooth: self.smooth.clone(),
            matching: factor * self.matching,
            exponent: factor * self.exponent,
            spread: factor * self.spread,
            shift: factor * self.shift,
            gain: factor * self.gain,
        }
    }
}

/// Three equal ripples along the band, root mean square 1 together: periods across it, and phases in rad.
#[derive(Debug, Clone)]
pub(super) struct Ripples([(f64, f64); 3]);

impl Ripples {
    fn drawn(stream: &mut Stream, periods: [f64; 3]) -> Self {
        Self(periods.map(|periods| (periods, TAU * f64::from(stream.uniform()))))
    }

    /// Their sum at `u` in [−1, 1].
    pub fn at(&self, u: f64) -> f64 {
        let amplitude = (2.0_f64 / 3.0).sqrt();
        self.0.iter().map(|(periods, phase)| amplitude * (PI * periods * u + phase).cos()).sum()
    }
}

/// Uniformly random transmissions.
fn typical_shots() -> Vec<[f64; CHANNELS]> {
    let mut stream = Key::new(0).branch("typical transmissions").stream();
    (0..SHOTS).map(|_| std::array::from_fn(|_| f64::from(stream.uniform()))).collect()
}

/// Root mean square of what is believed less what is real, over the standard deviation of the outputs about their means.
fn relative_error(believed: &[Vec<f64>], real: &[Vec<f64>]) -> f64 {
    let (mut missed, mut varied) = (0.0, 0.0);
    for output in 0..OUTPUTS {
        let mean = real.iter().map(|shot| shot[output]).sum::<f64>() / SHOTS as f64;
        for (believed, real) in believed.iter().zip(real) {
            missed += (believed[output] - real[output]).powi(2);
            varied += (real[output] - mean).powi(2);
        }
    }
    (missed / varied).sqrt()
}

#[cfg(test)]
mod tests {
    use super::super::path::Path;
    use super::*;

    #[test]
    fn every_bench_misses_its_twin_by_as_much() {
        for plant_seed in 0..3 {
            for (mismatch, share) in [(0.5, 0.07), (1.0, 0.14)] {
                let optical = Optical { mismatch, plant_seed, ..Optical::default() };
                let read = |path: Path| path.read(&typical_shots());
                let error = relative_error(&read(Path::nominal(&optical)), &read(Path::of_bench(&optical)));
                assert!((error / share - 1.0).abs() < 0.1, "seed {plant_seed}: {error} for {share}");
            }
        }
    }

    #[test]
    fn benches_of_different_seeds_differ() {
        let field = |plant_seed| Path::of_bench(&Optical { plant_seed, ..Optical::default() }).field;
        assert_eq!(field(1), field(1));
        assert_ne!(field(1), field(2));
    }
}
