//! The plate, its speaker and its microphone as a rig file describes them.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Deflection, in units of the reach, beyond which the nonlinear forces stay the same: far above what is played.
pub(super) const LIMIT: f64 = 2.0;

/// The plate, as a rig file describes it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Mechanical {
    /// Samples per shot, both of the drive and of the microphone.
    #[schemars(range(min = 1, max = 65_536))]
    pub samples: usize,
    /// Sample rate of the audio interface, in 1/s.
    #[schemars(extend("exclusiveMinimum" = 0))]
    pub sample_hertz: f64,
    /// Modes in all, up to 40. The suspension's count; the plate's lowest ones fill up the rest. The highest must lie
    /// below a quarter of the sample rate.
    #[schemars(range(min = 1, max = 40))]
    pub modes: usize,
    /// The plate itself.
    pub plate: Plate,
    /// What drives it.
    pub speaker: Speaker,
    /// What hears it.
    pub microphone: Microphone,
    /// Scales all that the twin does not know, `gap`. 0: the plant's deterministic physics is exactly the twin's.
    /// 1, the default, gives a twin error of some 8 to 20 % of the output's standard deviation: plants differ.
    #[schemars(range(min = 0, max = 10))]
    pub mismatch: f64,
    /// What the twin does not know, at a mismatch of 1.
    pub gap: Gap,
    /// What is random, slow or rounded.
    pub imperfections: Imperfections,
    /// Seed of this very plate: tolerances and couplings.
    #[schemars(range(max = 9_223_372_036_854_775_807_u64))]
    pub plant_seed: u64,
    /// Seed of what differs from shot to shot.
    #[schemars(range(max = 9_223_372_036_854_775_807_u64))]
    pub shot_seed: u64,
    /// Pause after each record until the plate is quiet, in s: four time constants of the slowest mode, so that the
    /// next shot starts from rest.
    #[schemars(range(min = 0, max = 1e9))]
    pub settle_seconds: f64,
    /// Round trip through the audio interface, once per batch, in s. USB interfaces need 5 to 30 ms.
    #[schemars(range(min = 0, max = 1e9))]
    pub latency_seconds: f64,
    /// Time of one shot, in s. If left out: the record and the pause after it.
    #[schemars(range(min = 0, max = 1e9))]
    pub shot_seconds: Option<f64>,
}

/// A square plate with free edges.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Plate {
    /// Side, in m.
    #[schemars(extend("exclusiveMinimum" = 0))]
    pub side_meters: f64,
    /// Thickness, in m. Thinner than the usual millimeter, so that 22 modes fit below a quarter of 48 kS/s.
    #[schemars(extend("exclusiveMinimum" = 0))]
    pub thickness_meters: f64,
    /// Young's modulus, in Pa. Titanium, commercially pure: 116e9 Pa (handbook value).
    #[schemars(extend("exclusiveMinimum" = 0))]
    pub pascals: f64,
    /// Poisson's ratio. Titanium: 0.32 (handbook value).
    #[schemars(range(min = 0, max = 0.499))]
    pub poisson: f64,
    /// Density, in kg/m³. Titanium: 4,506 (handbook value).
    #[schemars(extend("exclusiveMinimum" = 0))]
    pub kilograms_per_cubic_meter: f64,
    /// Loss rate `α` through mount and air, in 1/s: every mode's `ζ = α/2ω + βω/2` (Rayleigh). The default gives the
    /// lowest mode 0.02 (our choice: damping ratios of 0.004 to 0.02, ring-down times of 3 to 12 ms).
    #[schemars(range(min = 0))]
    pub mount_loss_per_second: f64,
    /// Loss time `β` inside the material, in s.
    #[schemars(range(min = 0))]
    pub material_loss_seconds: f64,
}

/// An amplifier and a speaker without its cone: a voice coil in its suspension.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Speaker {
    /// Force per volt of drive within the band, in N/V: force factor over resistance, 3 T·m / 4 Ω, at an amplifier
    /// gain of 4 (our choice of a small full-range speaker driven with a few watts).
    #[schemars(extend("exclusiveMinimum" = 0))]
    pub newtons_per_volt: f64,
    /// Lower edge of the band, in Hz: the amplifier's coupling capacitor.
    #[schemars(range(min = 0))]
    pub low_hertz: f64,
    /// Upper edge of the band, in Hz: resistance over the coil's inductance.
    #[schemars(range(min = 0))]
    pub high_hertz: f64,
    /// Resonances of plate and coil on the suspension, in Hz.
    #[schemars(inner(range(min = 0)))]
    pub suspension_hertz: Vec<f64>,
    /// Damping ratio of these resonances: the suspension's own losses (our choice, typical of a bare driver).
    #[schemars(range(min = 1e-6, max = 0.5))]
    pub suspension_damping: f64,
    /// Mass that moves in them, plate and coil, in kg.
    #[schemars(extend("exclusiveMinimum" = 0))]
    pub moving_kilograms: f64,
    /// Where the coil pushes, from −1 to 1 along each side. Off the center, which is a node of most modes,
    /// and off the lines of symmetry (our choice).
    #[schemars(inner(range(min = -1, max = 1)))]
    pub place: [f64; 2],
}

/// A microphone in front of the plate, and the converter behind it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Microphone {
    /// Distance from the plate, in m. It delays the sound by 2.9 µs per millimeter.
    #[schemars(extend("exclusiveMinimum" = 0))]
    pub distance_meters: f64,
    /// Sensitivity with its amplifier, in V/Pa: set so that random full-scale drives stay well below full scale, while
    /// a full-scale tone on a resonance may saturate.
    #[schemars(extend("exclusiveMinimum" = 0))]
    pub volts_per_pascal: f64,
    /// Where on the plate it listens, from −1 to 1 along each side.
    #[schemars(inner(range(min = -1, max = 1)))]
    pub place: [f64; 2],
    /// Full scale of the converter, in V.
    #[schemars(extend("exclusiveMinimum" = 0))]
    pub full_scale_volts: f64,
}

/// What the twin does not know, at a mismatch of 1.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Gap {
    /// Relative standard deviation of each frequency.
    #[schemars(range(min = 0))]
    pub frequency_spread: f64,
    /// Standard deviation of the logarithm of each damping ratio.
    #[schemars(range(min = 0))]
    pub damping_spread: f64,
    /// Relative standard deviation of each mode's gain and of the speaker's band edges.
    #[schemars(range(min = 0))]
    pub gain_spread: f64,
    /// Relative stiffening of a mode at a deflection of one reach: the plate's thickness, or 1 mm for the suspension.
    #[schemars(range(min = 0))]
    pub stiffening: f64,
    /// Couplings between modes, in number.
    #[schemars(range(max = 64))]
    pub couplings: usize,
    /// Standard deviation of a coupling's stiffness, relative to that of its modes, at a deflection of one thickness.
    #[schemars(range(min = 0))]
    pub coupling: f64,
    /// Voltage at which the speaker's force has fallen by 1/√2 through soft clipping, in V.
    #[schemars(extend("exclusiveMinimum" = 0))]
    pub clip_volts: f64,
    /// By how much the delay to the microphone was measured too short, in s.
    #[schemars(range(min = 0))]
    pub delay_seconds: f64,
}

/// What is random, slow or rounded on the bench. 0 switches each off.
///
/// Six repeats in six seconds on an acoustic bench differed by 0.05 % on a strong channel and 0.4 % on a weak one, and
/// drifted by −0.1 % to −1.2 % (the public record of a four-speaker acoustic network, `Acoustic_PNN_Example`).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Imperfections {
    /// Relative standard deviation of the drive's gain from shot to shot.
    #[schemars(range(min = 0, max = 0.5))]
    pub gain_noise: f64,
    /// Standard deviation of the microphone's noise per sample, in V. It is what weak channels see.
    #[schemars(range(min = 0))]
    pub noise_volts: f64,
    /// By how much the force falls, relatively, while the coil warms up.
    #[schemars(range(min = 0, max = 0.5))]
    pub gain_drift: f64,
    /// By how much all frequencies fall, relatively, while the plate warms up. Titanium: 250 ppm/K.
    #[schemars(range(min = 0, max = 0.02))]
    pub frequency_drift: f64,
    /// Time constant of the warming, in s.
    #[schemars(extend("exclusiveMinimum" = 0))]
    pub drift_seconds: f64,
    /// Resolution of the drive's converter.
    #[schemars(range(max = 24))]
    pub dac_bits: u32,
    /// Resolution of the microphone's converter.
    #[schemars(range(max = 24))]
    pub adc_bits: u32,
}

impl Default for Mechanical {
    fn default() -> Self {
        Self {
            samples: 512,
            sample_hertz: 48_000.0,
            modes: 24,
            plate: Plate::default(),
            speaker: Speaker::default(),
            microphone: Microphone::default(),
            mismatch: 1.0,
            gap: Gap::default(),
            imperfections: Imperfections::default(),
            plant_seed: 1,
            shot_seed: 2,
            settle_seconds: 0.05,
            latency_seconds: 0.015,
            shot_seconds: None,
        }
    }
}

impl Default for Plate {
    fn default() -> Self {
        Self {
            side_meters: 0.05,
            thickness_meters: 0.5e-3,
            pascals: 116e9,
            poisson: 0.32,
            kilograms_per_cubic_meter: 4506.0,
            mount_loss_per_second: 164.0,
            material_loss_seconds: 1.2e-7,
        }
    }
}

impl Default for Speaker {
    fn default() -> Self {
        Self {
            newtons_per_volt: 3.0,
            low_hertz: 100.0,
            high_hertz: 8000.0,
            suspension_hertz: vec![180.0, 420.0],
            suspension_damping: 0.1,
            moving_kilograms: 0.010,
            place: [0.8, 0.5],
        }
    }
}

impl Default for Microphone {
    fn default() -> Self {
        Self { distance_meters: 0.02, volts_per_pascal: 0.0008, place: [0.78, 0.62], full_scale_volts: 1.0 }
    }
}

impl Default for Gap {
    fn default() -> Self {
        Self {
            frequency_spread: 0.0012,
            damping_spread: 0.1,
            gain_spread: 0.03,
            stiffening: 0.3,
            couplings: 8,
            coupling: 0.5,
            clip_volts: 2.0,
            delay_seconds: 1e-6,
        }
    }
}

impl Default for Imperfections {
    fn default() -> Self {
        Self {
            gain_noise: 0.0005,
            noise_volts: 0.5e-3,
            gain_drift: 0.01,
            frequency_drift: 0.0002,
            drift_seconds: 30.0,
            dac_bits: 16,
            adc_bits: 16,
        }
    }
}

impl Imperfections {
    /// A perfect bench.
    pub fn off() -> Self {
        Self {
            gain_noise: 0.0,
            noise_volts: 0.0,
            gain_drift: 0.0,
            frequency_drift: 0.0,
            drift_seconds: 1.0,
            dac_bits: 0,
            adc_bits: 0,
        }
    }
}
