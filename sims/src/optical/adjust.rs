//! The light path's coefficients, as a calibration fits them.
//!
//! Coefficients: exposure, dark level, chirp, phase matching, the shaper's exponent, and the spectrometer's registration
//! and point spread. Corrections: smooth ripples of the laser's field and of the spectral phase along the band, as
//! cosines `cos(π·k·(u + 1)/2)`, one for each k. A constant and a linear phase are left out: no detector sees them.

use std::f64::consts::PI;
use std::sync::Arc;

use drivers::Card;

use super::gap::Gap;
use super::path::{Path, exposure_factor, position};
use super::spectrum::Undepleted;
use super::transform::Complex;
use super::{CHANNELS, Optical};
use crate::adjustable::plausible;
use crate::{Adjustable, Coefficient, Twin};

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
        let gap = Gap {
            gain: values[0] - 1.0,
            matching: values[4],
            exponent: values[5] - 1.0,
            shift: values[6],
            spread: values[7],
            ..Gap::none()
        };
        let described = Self { quadratic_radians: values[2], cubic_radians: values[3], ..self.clone() };
        // The exposure is set once, on the nominal bench; a chirp that is fitted changes what it gives.
        let mut path = Path::with(&described, &gap, exposure_factor(self));
        correct(&mut path, corrections);
        Arc::new(Undepleted::new(Optical::card(self), &path, values[1]))
    }
}

/// Adds the ripples to the field of each channel.
fn correct(path: &mut Path, corrections: &[f64]) {
    if corrections.is_empty() {
        return;
    }
    for (channel, field) in path.field.iter_mut().enumerate() {
        let u = position(channel, CHANNELS);
        let wave = |k: usize| (PI * k as f64 * 0.5 * (u + 1.0)).cos();
        let size = |index: usize| corrections.get(index).copied().unwrap_or(0.0);
        let ripple: f64 = (0..RIPPLES).map(|k| RIPPLE * size(k) * wave(k + 1)).sum();
        let phase: f64 = (0..PHASES).map(|k| PHASE * size(RIPPLES + k) * wave(k + 2)).sum();
        *field = field.mul(Complex::polar(1.0 + ripple, phase));
    }
}

#[cfg(test)]
mod tests {
    use drivers::Batch;

    use super::*;
    use crate::Key;

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
}
