//! The light path's coefficients, as a calibration fits them.
//!
//! Coefficients: exposure, dark level, chirp, phase matching, the shaper's exponent, and the spectrometer's registration
//! and point spread. Corrections: smooth ripples of the laser's field and of the spectral phase along the band, as
//! cosines `cos(π·k·(u + 1)/2)`, one for each k. A constant and a linear phase are left out: no detector sees them.

use std::f64::consts::PI;
use std::sync::Arc;

use drivers::Card;

use super::config::{CHANNELS, Optical};
use super::gap::Gap;
use super::path::{Path, exposure_factor, gap_of_bench, position};
use super::spectrum::{Undepleted, sensitivity};
use super::transform::Complex;
use crate::adjustable::plausible;
use crate::{Adjustable, Coefficient, Real, Sensitivity, Twin, dual};

/// Where the dark level stands among the coefficients.
const DARK_LEVEL: usize = 1;
/// Cosines of the laser's ripple: up to one period in six channels, finer than a femtosecond laser's fringes.
const RIPPLES: usize = 32;
/// Expected size of each of them. Lasers' spectra ripple by 3 to 10 % in all.
const RIPPLE: f64 = 0.01;
/// Cosines of the spectral phase, from the second on: dispersion is smooth.
const PHASES: usize = 14;
/// Expected size of each of them, in rad: some tenths in all, after compression by hand.
const PHASE: f64 = 0.1;

impl Adjustable for Optical {
    fn card(&self) -> Card {
        Optical::card(self)
    }

    fn coefficients(&self) -> Vec<Coefficient> {
        let radians = |name: &str, nominal: f64| {
            let reach = 0.2 * nominal.abs() + 5.0;
            Coefficient::new(name, "rad", nominal, [nominal - reach, nominal + reach])
        };
        vec![
            Coefficient::new("gain", "1", 1.0, [0.2, 5.0]),
            Coefficient::new("dark_level", "1", self.dark_level, [-0.2, 0.8]),
            radians("quadratic_radians", self.quadratic_radians),
            radians("cubic_radians", self.cubic_radians),
            Coefficient::new("matching_radians", "rad", 0.0, [-2.0, 2.0]),
            Coefficient::new("shaper_exponent", "1", 1.0, [0.5, 2.0]),
            Coefficient::new("registration_pixels", "1", 0.0, [-4.0, 4.0]),
            // A spread far below a pixel is none: the fit starts where it can be felt.
            Coefficient::new("spread_pixels", "1", 0.0, [0.0, 4.0]).starting_at(0.4),
        ]
    }

    fn corrections(&self) -> usize {
        RIPPLES + PHASES
    }

    fn adjusted(&self, coefficients: &[f64], corrections: &[f64]) -> Arc<dyn Twin> {
        let values = plausible(&self.coefficients(), coefficients);
        Arc::new(Undepleted::new(Optical::card(self), &path(self, &values, corrections), values[DARK_LEVEL]))
    }

    fn sensitivity(&self, coefficients: &[f64], corrections: &[f64], index: usize) -> Sensitivity {
        let mut values = plausible(&self.coefficients(), coefficients);
        let count = values.len();
        values.extend((0..self.corrections()).map(|index| corrections.get(index).copied().unwrap_or(0.0)));
        let values = dual::along(&values, index);
        let (coefficients, corrections) = values.split_at(count);
        sensitivity(&path(self, coefficients, corrections), coefficients[DARK_LEVEL])
    }
}

impl Optical {
    /// The coefficients of the simulated plant itself, in the order of [`Adjustable::coefficients`]: what only the simulation
    /// knows. Its ripples and its smooth phase are not among them.
    pub fn plant_coefficients(&self) -> Vec<f64> {
        let gap = gap_of_bench(self);
        let [quadratic, cubic] = gap.chirp;
        vec![
            1.0 + gap.gain,
            self.dark_level,
            self.quadratic_radians + quadratic,
            self.cubic_radians + cubic,
            gap.matching,
            1.0 + gap.exponent,
            gap.shift,
            gap.spread,
        ]
    }
}

/// The path with these coefficients and corrections.
fn path<R: Real>(nominal: &Optical, values: &[R], corrections: &[R]) -> Path<R> {
    let gap = Gap {
        gain: values[0] - R::of(1.0),
        chirp: [values[2] - R::of(nominal.quadratic_radians), values[3] - R::of(nominal.cubic_radians)],
        matching: values[4],
        exponent: values[5] - R::of(1.0),
        shift: values[6],
        spread: values[7],
        ..Gap::none()
    };
    // The exposure is set once, on the nominal bench; a chirp that is fitted changes what it gives.
    let mut path = Path::with(nominal, &gap, exposure_factor(nominal));
    correct(&mut path, corrections);
    path
}

/// Adds the ripples to the field of each channel.
fn correct<R: Real>(path: &mut Path<R>, corrections: &[R]) {
    if corrections.is_empty() {
        return;
    }
    for (channel, field) in path.field.iter_mut().enumerate() {
        let u = position(channel, CHANNELS);
        let wave = |k: usize| (PI * k as f64 * 0.5 * (u + 1.0)).cos();
        let size = |index: usize| corrections.get(index).copied().unwrap_or_default();
        let sum = |total: R, (size, wave): (R, f64)| total + size * R::of(wave);
        let ripple = (0..RIPPLES).map(|k| (size(k), RIPPLE * wave(k + 1))).fold(R::of(1.0), sum);
        let phase = (0..PHASES).map(|k| (size(RIPPLES + k), PHASE * wave(k + 2))).fold(R::of(0.0), sum);
        *field = field.mul(Complex::polar(ripple, phase));
    }
}

#[cfg(test)]
mod tests {
    use drivers::Batch;

    use super::*;
    use crate::Key;
    use crate::gradient_check::slopes_error;
    use crate::optical::spectrum::tests::readings;

    #[test]
    fn nominal_coefficients_make_the_nominal_twin() {
        let bench = Optical::default();
        let mut stream = Key::new(1).stream();
        let shots = Batch::from_fn(20, 50, |_, _| stream.uniform());
        let mask = vec![0.5; 50];
        let nominal: Vec<f64> = bench.coefficients().iter().map(|coefficient| coefficient.nominal).collect();
        let twin = bench.build().unwrap().twin;
        assert_eq!(bench.adjusted(&nominal, &[]).predict(&shots, &mask), twin.predict(&shots, &mask));
        let mut corrections = vec![0.0; bench.corrections()];
        assert_eq!(bench.adjusted(&[], &corrections).predict(&shots, &mask), twin.predict(&shots, &mask));
        // Each correction is felt.
        for index in 0..bench.corrections() {
            corrections.fill(0.0);
            corrections[index] = 1.0;
            assert_ne!(bench.adjusted(&[], &corrections).predict(&shots, &mask), twin.predict(&shots, &mask));
        }
    }

    #[test]
    fn the_sensitivities_are_the_slopes_of_the_reading() {
        let bench = Optical::default();
        let mut stream = Key::new(2).stream();
        let shots = Batch::from_fn(3, 50, |_, _| stream.uniform());
        let mask: Vec<f32> = (0..50).map(|_| stream.uniform()).collect();
        let read = |values: &[f64]| {
            let (coefficients, corrections) = values.split_at(bench.coefficients().len());
            readings(&path(&bench, coefficients, corrections), coefficients[DARK_LEVEL], &shots, &mask)
        };
        let coefficients = bench.coefficients();
        let corrections = (0..bench.corrections()).map(|_| 0.0);
        let nominal: Vec<f64> = coefficients.iter().map(|c| c.nominal).chain(corrections).collect();
        let off = coefficients.iter().map(|c| c.start + 0.05 * c.span());
        let off: Vec<f64> = off.chain((0..bench.corrections()).map(|_| f64::from(stream.normal()))).collect();
        for point in [nominal, off] {
            for index in 0..point.len() {
                let (known, corrections) = point.split_at(coefficients.len());
                let slopes = bench.sensitivity(known, corrections, index)(&shots, &mask);
                // Short enough to stay on one of the straight lines between samples.
                let step = coefficients.get(index).map_or(1e-3, |coefficient| 1e-5 * coefficient.span());
                let error = slopes_error(read, &point, (index, step), slopes.values());
                assert!(error < 2e-5, "number {index}: {error:e}");
            }
        }
    }
}
