//! The full coupled waves of second-harmonic generation, with depletion, walk-off and dispersion.
//!
//! With z from 0 to 1 along the crystal, A₀ and A₁ the envelopes of the fundamental and the second harmonic,
//! `∂A₀/∂z = D₀A₀ + i·g·A₁A₀*·exp(+iΔz)` and `∂A₁/∂z = D₁A₁ + (i/2)·g·A₀²·exp(−iΔz)`. D₁ turns the frequency Ω by
//! GVM·Ω·L + ½β₂Ω²·L, D₀ by ½β₂Ω²·L; Δ = Δk₀·L. Photons are conserved (Manley and Rowe 1956): ∑|A₀|² + 2·∑|A₁|².
//! Split steps after Strang (1968): half a step of dispersion in the spectrum, a Runge–Kutta step of fourth order of
//! the nonlinearity in time, half a step of dispersion.
//! Sources: Boyd, "Nonlinear Optics", sections 2.6 and 2.7; default coefficients of β-barium borate at 800 nm as
//! commonly tabulated from its Sellmeier equations (Eimerl et al., J. Appl. Phys. 62, 1968 (1987)).

use std::f64::consts::TAU;
use std::sync::Arc;

use rustfft::{Fft, FftPlanner, num_complex::Complex64};

use super::config::{CHANNELS, Optical, SAMPLES};
use super::path::{Path, autoconvolution, walk_off};
use super::transform::Complex;

/// Points in time: several times the band of the second harmonic, so that what depletion adds does not fold back.
const POINTS: usize = 512;
const I: Complex64 = Complex64::new(0.0, 1.0);

/// A crystal with the light of a bench.
#[derive(Clone)]
pub(super) struct Waves {
    forward: Arc<dyn Fft<f64>>,
    backward: Arc<dyn Fft<f64>>,
    /// Half a step of dispersion of both waves, with the transform's factor.
    dispersion: [Vec<Complex64>; 2],
    /// Δ.
    matching: f64,
    /// g.
    coupling: f64,
    steps: u32,
}

impl std::fmt::Debug for Waves {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Waves").field("coupling", &self.coupling).field("steps", &self.steps).finish_non_exhaustive()
    }
}

/// Both envelopes.
type Envelopes = [Vec<Complex64>; 2];

impl Waves {
    /// The waves in the crystal of `path`, at the power of the nominal laser.
    pub fn new(optical: &Optical, path: &Path) -> Self {
        let steps = optical.coupled_wave.steps;
        let mut planner = FftPlanner::new();
        let half_step = |beta2: f64, walks: bool| {
            let turn = |bin: usize| {
                let frequency = if bin < POINTS / 2 { bin as f64 } else { bin as f64 - POINTS as f64 };
                let angular = TAU * frequency * optical.channel_hertz;
                let spread = 0.5 * beta2 * angular * angular * optical.crystal_meters;
                // The carrier of the transform is that of sample 100.
                let walk = if walks { walk_off(optical, frequency + CHANNELS as f64) } else { 0.0 };
                // Back and forth through the transform multiplies by the number of points.
                Complex64::from_polar(1.0 / POINTS as f64, (spread + walk) / f64::from(2 * steps))
            };
            (0..POINTS).map(turn).collect::<Vec<_>>()
        };
        let coefficients = optical.coupled_wave;
        Self {
            forward: planner.plan_fft_forward(POINTS),
            backward: planner.plan_fft_inverse(POINTS),
            dispersion: [
                half_step(coefficients.fundamental_beta2, false),
                half_step(coefficients.harmonic_beta2, true),
            ],
            matching: path.matching,
            coupling: coupling(optical),
            steps,
        }
    }

    /// Light of the samples that leaves the crystal, in the unit of the undepleted |`S_k|²·sinc²`.
    pub fn light(&self, channels: &[Complex<f64>; CHANNELS]) -> [f64; SAMPLES] {
        let [_, harmonic] = self.propagate(channels);
        let factor = (0.5 * self.coupling).powi(-2);
        std::array::from_fn(|sample| harmonic[bin(sample, CHANNELS)].norm_sqr() * factor)
    }

    /// The spectra of both waves at the end of the crystal.
    fn propagate(&self, channels: &[Complex<f64>; CHANNELS]) -> Envelopes {
        let mut waves = [vec![Complex64::default(); POINTS], vec![Complex64::default(); POINTS]];
        for (channel, value) in channels.iter().enumerate() {
            waves[0][bin(channel, CHANNELS / 2)] = Complex64::new(value.re, value.im);
        }
        for wave in &mut waves {
            self.backward.process(wave);
        }
        let mut scratch = vec![Complex64::default(); POINTS];
        let step = f64::from(self.steps).recip();
        for number in 0..self.steps {
            self.disperse(&mut waves, &mut scratch);
            self.interact(&mut waves, step * f64::from(number), step);
            self.disperse(&mut waves, &mut scratch);
        }
        for wave in &mut waves {
            self.forward.process_with_scratch(wave, &mut scratch);
            for value in wave {
                *value /= POINTS as f64;
            }
        }
        waves
    }

    /// Half a step of dispersion.
    fn disperse(&self, waves: &mut Envelopes, scratch: &mut [Complex64]) {
        for (wave, turns) in waves.iter_mut().zip(&self.dispersion) {
            self.forward.process_with_scratch(wave, scratch);
            for (value, turn) in wave.iter_mut().zip(turns) {
                *value *= turn;
            }
            self.backward.process_with_scratch(wave, scratch);
        }
    }

    /// One step of the nonlinearity from `z`.
    fn interact(&self, waves: &mut Envelopes, z: f64, step: f64) {
        let turn = |z: f64| Complex64::from_polar(self.coupling, self.matching * z);
        let turns = [turn(z), turn(z + 0.5 * step), turn(z + step)];
        let slope =
            |a: Complex64, b: Complex64, turn: Complex64| (I * turn * b * a.conj(), 0.5 * I * turn.conj() * a * a);
        let [fundamental, harmonic] = waves;
        for (a, b) in fundamental.iter_mut().zip(harmonic) {
            let k1 = slope(*a, *b, turns[0]);
            let k2 = slope(*a + 0.5 * step * k1.0, *b + 0.5 * step * k1.1, turns[1]);
            let k3 = slope(*a + 0.5 * step * k2.0, *b + 0.5 * step * k2.1, turns[1]);
            let k4 = slope(*a + step * k3.0, *b + step * k3.1, turns[2]);
            *a += step / 6.0 * (k1.0 + 2.0 * k2.0 + 2.0 * k3.0 + k4.0);
            *b += step / 6.0 * (k1.1 + 2.0 * k2.1 + 2.0 * k3.1 + k4.1);
        }
    }
}

/// Where a point with `middle` points below the carrier lies in the transform.
fn bin(point: usize, middle: usize) -> usize {
    (point + POINTS - middle) % POINTS
}

/// The g that converts the described share of the fully open nominal light, were it not depleted.
fn coupling(optical: &Optical) -> f64 {
    let path = Path::nominal(optical);
    let norm = |value: &Complex<f64>| value.re.mul_add(value.re, value.im * value.im);
    let photons: f64 = path.field.iter().map(norm).sum();
    let sums = autoconvolution(&path.field);
    let converted: f64 = sums.iter().zip(&path.matched).map(|(sum, matched)| norm(sum) * matched).sum();
    // Two photons make one: the share is 2·(g/2)²·Σ|S|²·sinc²/Σ|F|².
    (2.0 * optical.coupled_wave.conversion * photons / converted).sqrt()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Key;
    use crate::optical::OpticalCoupledWave;

    fn bench(conversion: f64) -> Optical {
        let coupled_wave = OpticalCoupledWave { conversion, ..OpticalCoupledWave::default() };
        Optical { coupled_wave, ..Optical::default() }
    }

    fn channels(path: &Path) -> [Complex<f64>; CHANNELS] {
        let mut stream = Key::new(8).stream();
        path.field.map(|field| {
            let open = f64::from(stream.uniform());
            Complex { re: open * field.re, im: open * field.im }
        })
    }

    fn photons(wave: &[Complex64]) -> f64 {
        wave.iter().map(Complex64::norm_sqr).sum()
    }

    #[test]
    fn photons_are_conserved_under_strong_depletion() {
        let optical = bench(2.0);
        let path = Path::of_bench(&optical);
        let given = path.field;
        let [fundamental, harmonic] = Waves::new(&optical, &path).propagate(&given);
        let start: f64 = given.iter().map(|c| c.re * c.re + c.im * c.im).sum();
        let (left, made) = (photons(&fundamental), photons(&harmonic));
        assert!(left < 0.75 * start, "{left} of {start}");
        assert!(((left + 2.0 * made) / start - 1.0).abs() < 1e-6, "{}", (left + 2.0 * made) / start - 1.0);
    }

    /// Largest difference from the undepleted limit at low power, relative to the peak.
    fn distance_from_the_limit(steps: u32) -> f64 {
        let mut optical = bench(1e-6);
        optical.coupled_wave =
            OpticalCoupledWave { steps, fundamental_beta2: 0.0, harmonic_beta2: 0.0, ..optical.coupled_wave };
        let path = Path::of_bench(&optical);
        let given = channels(&path);
        let light = Waves::new(&optical, &path).light(&given);
        let limit = autoconvolution(&given);
        let expected = |k: usize| path.matched[k] * (limit[k].re * limit[k].re + limit[k].im * limit[k].im);
        let peak = (0..SAMPLES).map(expected).fold(0.0, f64::max);
        (0..SAMPLES).map(|k| (light[k] - expected(k)).abs() / peak).fold(0.0, f64::max)
    }

    #[test]
    fn low_power_is_the_undepleted_limit_but_for_the_steps() {
        let (coarse, fine) = (distance_from_the_limit(40), distance_from_the_limit(80));
        assert!(coarse < 5e-4, "{coarse:e}");
        // Strang's splitting is of second order.
        assert!((coarse / fine - 4.0).abs() < 0.2, "{coarse:e}, {fine:e}");
    }

    #[test]
    fn depletion_bends_the_square_law() {
        let path = Path::nominal(&Optical::default());
        let bright = |conversion: f64| -> f64 {
            let optical = bench(conversion);
            Waves::new(&optical, &path).light(&path.field).iter().sum()
        };
        let (weak, strong) = (bright(1e-6), bright(0.3));
        assert!(strong < 0.97 * weak && 0.5 * weak < strong, "{strong} of {weak}");
    }
}
