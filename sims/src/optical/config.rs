//! An optical bench as a rig file describes it, and what all of them have in common.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Spectral channels of the shaper.
pub(super) const CHANNELS: usize = 100;
/// Channels that carry data; as many are controls.
pub(super) const INPUTS: usize = 50;
/// Samples of the autoconvolution.
pub(super) const SAMPLES: usize = 2 * CHANNELS - 1;
/// Pixels of the spectrometer's camera.
pub(super) const PIXELS: usize = 448;
/// Readings of a shot.
pub(super) const OUTPUTS: usize = 50;

/// How much physics the simulated plant computes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum OpticalFidelity {
    /// The second harmonic takes no light from the fundamental: an autoconvolution.
    #[default]
    Undepleted,
    /// Coupled waves along the crystal, some hundred times slower. The plant's alone: `ideal` stays the undepleted
    /// limit of the same bench, which is close only while `conversion` is low.
    CoupledWave,
}

/// An optical bench as written in a rig file.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Optical {
    /// How much physics the plant computes.
    pub fidelity: OpticalFidelity,
    /// Scales everything in which the plant differs from its twin: ripple of the laser, chirp, smooth phase, phase
    /// matching, the shaper's exponent, the spectrometer's point spread, registration and gain. 0: none of it. At 1
    /// the twin's error, root mean square over 96 shots of uniformly random transmissions, is 14 % of the outputs' standard
    /// deviation about their own means (over other shots, with noise and saturation: 17 to 19 %); up to there it is nearly proportional.
    #[schemars(range(min = 0, max = 100))]
    pub mismatch: f64,
    /// Draws what is fixed on this bench.
    #[schemars(range(max = 9_223_372_036_854_775_807_u64))]
    pub plant_seed: u64,
    /// Draws what differs from shot to shot.
    #[schemars(range(max = 9_223_372_036_854_775_807_u64))]
    pub shot_seed: u64,
    /// Distance between spectral channels, in Hz. The 100 channels span 1.6 widths of the laser's spectrum.
    #[schemars(extend("exclusiveMinimum" = 0))]
    pub channel_hertz: f64,
    /// Full width at half maximum of the laser's pulse at its transform limit, in s (100 fs: Nature 601, 549).
    #[schemars(extend("exclusiveMinimum" = 0))]
    pub pulse_seconds: f64,
    /// Quadratic spectral phase at the ends of the band, in rad (a prototype that trained well).
    pub quadratic_radians: f64,
    /// Cubic spectral phase at the ends of the band, in rad. The prototype had 18; above a third of the quadratic one the
    /// chirp vanishes inside the band, and there the second harmonic is so much brighter that it takes up the range.
    pub cubic_radians: f64,
    /// Length of the crystal, in m (β-barium borate of 0.1 to 1 mm is usual).
    #[schemars(extend("exclusiveMinimum" = 0))]
    pub crystal_meters: f64,
    /// Group-velocity mismatch of fundamental and second harmonic, in s/m (β-barium borate at 800 nm: 190 fs/mm).
    pub group_delay_seconds_per_meter: f64,
    /// What the brightest output of the nominal bench reads above dark with all channels half open, in full scales.
    #[schemars(extend("exclusiveMinimum" = 0))]
    pub exposure: f64,
    /// Dark level of the spectrometer, in full scales (4 %: repeats printed with the experiment's code).
    #[schemars(range(min = 0), extend("exclusiveMaximum" = 1))]
    pub dark_level: f64,
    /// The crystal beyond the undepleted limit, for the fidelity `coupled-wave`.
    pub coupled_wave: OpticalCoupledWave,
    /// Noise, drift and quantization.
    pub imperfections: OpticalImperfections,
    /// From setting the controls until they have settled, in s (0.3 s for a mirror array on a bench of the same lab).
    #[schemars(range(min = 0, max = 1e9))]
    pub settle_seconds: f64,
    /// Once per batch, in s.
    #[schemars(range(min = 0, max = 1e9))]
    pub latency_seconds: f64,
    /// Once per shot, in s (40 ms on a bench of the same lab).
    #[schemars(range(min = 0, max = 1e9))]
    pub shot_seconds: f64,
}

/// A crystal with depletion and dispersion.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct OpticalCoupledWave {
    /// Share of the fully open nominal light that would be converted were it not depleted. An assumption.
    #[schemars(extend("exclusiveMinimum" = 0))]
    pub conversion: f64,
    /// Split steps along the crystal.
    #[schemars(range(min = 1, max = 10_000))]
    pub steps: u32,
    /// Group-velocity dispersion of the fundamental, in s²/m (β-barium borate at 800 nm: 75 fs²/mm).
    pub fundamental_beta2: f64,
    /// Group-velocity dispersion of the second harmonic, in s²/m (β-barium borate at 400 nm: 200 fs²/mm).
    pub harmonic_beta2: f64,
}

/// Noise, drift and quantization; 0 switches each of them off.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct OpticalImperfections {
    /// Settings of a channel between dark and open: the rows of the mirror array (768 in a `ViALUX` 1024 × 768).
    #[schemars(range(max = 16_777_216))]
    pub shaper_steps: u32,
    /// Counts of the row mean at full scale, 0 for a converter that neither rounds nor saturates. 25 of 255 counts: a
    /// line of light lights about 3 of 32 rows.
    #[schemars(range(min = 0))]
    pub full_scale_counts: f64,
    /// Rows that are averaged in a pixel.
    #[schemars(range(min = 1, max = 65_536))]
    pub rows: u32,
    /// Standard deviation of a raw pixel from shot to shot, rounding included, in full scales (0.44 %: repeats printed
    /// with the experiment's code). Below what rounding alone gives, 1/(√(12·rows)·counts), nothing is drawn.
    #[schemars(range(min = 0, max = 0.1))]
    pub pixel_noise: f64,
    /// Relative standard deviation of the light from shot to shot (0.3 to 1 % is usual for such lasers).
    #[schemars(range(min = 0, max = 0.1))]
    pub power_noise: f64,
    /// Relative standard deviation of the light's spectral tilt from shot to shot, at the ends of the band: the second
    /// mode of the experiment's correlated noise. An assumption.
    #[schemars(range(min = 0, max = 0.1))]
    pub tilt_noise: f64,
    /// Relative drift of the light in an hour (0.5 to 2 % is usual). An assumption.
    #[schemars(range(min = 0))]
    pub power_per_hour: f64,
    /// Drift of the spectral phase in an hour, root mean square over the band, in rad. An assumption.
    #[schemars(range(min = 0))]
    pub phase_radians_per_hour: f64,
    /// Drift of the spectrometer's registration in an hour, in pixels. An assumption.
    #[schemars(range(min = 0))]
    pub registration_pixels_per_hour: f64,
}

impl Default for Optical {
    fn default() -> Self {
        Self {
            fidelity: OpticalFidelity::Undepleted,
            mismatch: 1.0,
            plant_seed: 1,
            shot_seed: 1,
            channel_hertz: 70e9,
            pulse_seconds: 100e-15,
            quadratic_radians: 30.0,
            cubic_radians: 9.0,
            crystal_meters: 0.5e-3,
            group_delay_seconds_per_meter: 190e-12,
            exposure: 0.2,
            dark_level: 0.04,
            coupled_wave: OpticalCoupledWave::default(),
            imperfections: OpticalImperfections::default(),
            settle_seconds: 0.3,
            latency_seconds: 0.0,
            shot_seconds: 0.04,
        }
    }
}

impl Default for OpticalCoupledWave {
    fn default() -> Self {
        Self { conversion: 0.1, steps: 40, fundamental_beta2: 75e-27, harmonic_beta2: 200e-27 }
    }
}

impl Default for OpticalImperfections {
    fn default() -> Self {
        Self {
            shaper_steps: 768,
            full_scale_counts: 25.0,
            rows: 32,
            pixel_noise: 0.0044,
            power_noise: 0.005,
            tilt_noise: 0.003,
            power_per_hour: 0.01,
            phase_radians_per_hour: 0.03,
            registration_pixels_per_hour: 0.2,
        }
    }
}

impl OpticalImperfections {
    /// All switched off.
    pub fn none() -> Self {
        Self {
            shaper_steps: 0,
            full_scale_counts: 0.0,
            rows: 1,
            pixel_noise: 0.0,
            power_noise: 0.0,
            tilt_noise: 0.0,
            power_per_hour: 0.0,
            phase_radians_per_hour: 0.0,
            registration_pixels_per_hour: 0.0,
        }
    }
}
