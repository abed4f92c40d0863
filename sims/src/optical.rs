//! Broadband second-harmonic generation: a shaped femtosecond pulse, a crystal, a spectrometer.
//!
//! 100 spectral channels of transmission T in [0, 1], 50 inputs and 50 controls interleaved, set the field
//! `c_n = E_n·T_n^p·exp(iφ_n)`, with the laser's Gaussian envelope E and a strong chirp φ. In the undepleted limit the
//! second harmonic is the autoconvolution `S_k = Σ_n c_n·c_(k−n)`, 199 samples, filtered by phase matching; a camera of
//! 448 pixels reads its spectrum as 50 outputs `y_b = dark + Σ_k B_bk·|S_k|²`, in fractions of full scale.
//! The field goes with T, its second harmonic with T², the reading with T⁴. Without the chirp the map is too smooth to
//! train.
//!
//! Inputs `[shots, 50]`, controls `[50]`, outputs `[shots, 50]`, all of unit 1.
//! Source: Wright et al., "Deep physical neural networks trained with backpropagation", Nature 601, 549 (2022), and
//! surviving code of that experiment.

mod adjust;
mod band;
mod bench;
mod config;
mod gap;
mod path;
mod readout;
mod spectrum;
mod transform;
mod waves;

use std::sync::Arc;

use drivers::{Bank, Card, Identity, Origin, Ports, Range, Timing};

use crate::{Built, Error};
use bench::Bench;
use config::{CHANNELS, INPUTS, OUTPUTS};
pub use config::{Optical, OpticalCoupledWave, OpticalFidelity, OpticalImperfections};
use path::Path;
use spectrum::Undepleted;

impl Optical {
    /// The plant, its twin, and its own undepleted physics.
    pub fn build(&self) -> Result<Built, Error> {
        self.check()?;
        let card = self.card();
        let bench = Path::of_bench(self);
        Ok(Built {
            twin: Arc::new(Undepleted::new(card.clone(), &Path::nominal(self), self.dark_level)),
            ideal: Arc::new(Undepleted::new(card.clone(), &bench, self.dark_level)),
            system: Arc::new(Bench::new(self, card, &bench)),
        })
    }

    fn card(&self) -> Card {
        let range = Range::new(0.0, 1.0);
        Card {
            identity: Identity {
                system: "optical".to_owned(),
                serial: format!("simulated-{}", self.plant_seed),
                origin: Origin::Simulated,
            },
            ports: Ports {
                inputs: vec![Bank::new("data", INPUTS, "1", range)],
                controls: vec![Bank::new("mask", CHANNELS - INPUTS, "1", range)],
                outputs: vec![Bank::new("spectrum", OUTPUTS, "1", range)],
            },
            timing: Timing { settle: self.settle_seconds, latency: self.latency_seconds, shot: self.shot_seconds },
        }
    }

    /// Refuses coefficients without physical sense.
    fn check(&self) -> Result<(), Error> {
        let (waves, flaws) = (&self.coupled_wave, &self.imperfections);
        let positive = |value: f64| 0.0 < value && value.is_finite();
        let not_negative = |value: f64| 0.0 <= value && value.is_finite();
        let check = |fine: bool, name, value, unit, expected| {
            if fine { Ok(()) } else { Err(Error::Coefficient { system: "optical", name, value, unit, expected }) }
        };
        for (name, value, unit) in [
            ("channel_hertz", self.channel_hertz, "Hz"),
            ("pulse_seconds", self.pulse_seconds, "s"),
            ("crystal_meters", self.crystal_meters, "m"),
            ("exposure", self.exposure, "1"),
            ("coupled_wave.conversion", waves.conversion, "1"),
            ("coupled_wave.steps", f64::from(waves.steps), "1"),
            ("imperfections.rows", f64::from(flaws.rows), "1"),
        ] {
            check(positive(value), name, value, unit, "it must be above 0")?;
        }
        for (name, value, unit) in [
            ("mismatch", self.mismatch, "1"),
            ("settle_seconds", self.settle_seconds, "s"),
            ("latency_seconds", self.latency_seconds, "s"),
            ("shot_seconds", self.shot_seconds, "s"),
            ("imperfections.full_scale_counts", flaws.full_scale_counts, "1"),
            ("imperfections.power_per_hour", flaws.power_per_hour, "1/h"),
            ("imperfections.phase_radians_per_hour", flaws.phase_radians_per_hour, "rad/h"),
            ("imperfections.registration_pixels_per_hour", flaws.registration_pixels_per_hour, "1/h"),
        ] {
            check(not_negative(value), name, value, unit, "it must be 0 or above")?;
        }
        for (name, value, unit) in [
            ("quadratic_radians", self.quadratic_radians, "rad"),
            ("cubic_radians", self.cubic_radians, "rad"),
            ("group_delay_seconds_per_meter", self.group_delay_seconds_per_meter, "s/m"),
            ("coupled_wave.fundamental_beta2", waves.fundamental_beta2, "s²/m"),
            ("coupled_wave.harmonic_beta2", waves.harmonic_beta2, "s²/m"),
        ] {
            check(value.is_finite(), name, value, unit, "it must be a number")?;
        }
        for (name, value) in [
            ("imperfections.pixel_noise", flaws.pixel_noise),
            ("imperfections.power_noise", flaws.power_noise),
            ("imperfections.tilt_noise", flaws.tilt_noise),
        ] {
            check((0.0..=0.1).contains(&value), name, value, "1", "it must be between 0 and 0.1")?;
        }
        check((0.0..1.0).contains(&self.dark_level), "dark_level", self.dark_level, "1", "it must be between 0 and 1")
    }
}
