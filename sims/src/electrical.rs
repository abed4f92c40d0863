//! Electrical: a transistor in an RLC resonator between a DAC and an ADC.
//!
//! ```text
//! L di/dt = v_in − R·i − v                                    i: the coil's current, v: the node that is read
//! C dv/dt = i − v/R_p − I_s·S((a·v + b·v_b + c)/V_s)          S: sinh in the plant, its fifth-order polynomial in the twin
//! τ dv_b/dt = v − v_b                                         v_b: bias memory, in the plant only
//! ```
//!
//! Inputs `drive`, `[shots, samples]` in V, each held for one sample; outputs `node`, the node voltage at the end of each
//! sample, `[shots, samples]` in V. What is trained is the drive, and with `bias_volts` the control `bias`, in V, which a second output adds
//! to it all the time. Before each shot the circuit rests at the operating point that belongs to 0 V at the DAC.
//!
//! After the electronic system of Wright et al., "Deep physical neural networks trained with backpropagation", Nature 601,
//! 549 (2022): an RLC circuit with an embedded transistor, driven and read at 1 MS/s. Its component values are not
//! published; those here are chosen to fit the same converters.
//!
//! Each sample is integrated in `substeps` linearly implicit Euler steps. Without the device, 4 of them at 31.8 kHz and
//! Q = 10 put the resonance 0.11 % low and the quality 0.06 % high; both errors shrink in proportion to the substep.

use std::sync::Arc;

use drivers::{Bank, Card, Identity, Origin, Ports, Range, Timing};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{Built, Converter, Error, Key};

mod adjust;
mod bench;
mod circuit;
mod imperfections;
mod kernel;
mod law;
mod model;
#[cfg(test)]
mod physics_tests;
mod solver;
mod step;
#[cfg(test)]
mod tests;
#[cfg(test)]
mod text_tests;
mod written;

use bench::Bench;
use circuit::{Circuit, Line};
pub use imperfections::ElectricalImperfections;
use model::{Model, Pool};
use solver::Solver;

/// The electrical system: a transistor in an RLC resonator, driven and read sample by sample.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Electrical {
    /// Samples of a shot: as many inputs as outputs. 64 pixels repeated 4 times make the prototype's 256.
    #[schemars(range(min = 1, max = 65_536))]
    pub samples: usize,
    /// Integration steps in each sample, 1 to 16.
    #[schemars(range(min = 1, max = 16))]
    pub substeps: usize,
    /// Rate of DAC and ADC, in Hz. The original experiment's is 1 MS/s.
    #[schemars(extend("exclusiveMinimum" = 0))]
    pub sample_rate_hertz: f64,
    /// Largest drive, in V, either way.
    #[schemars(extend("exclusiveMinimum" = 0))]
    pub drive_volts: f64,
    /// Largest bias, in V, either way, that the control `bias` adds to the drive. With 0 there is no control.
    #[serde(skip_serializing_if = "is_zero")]
    #[schemars(range(min = 0))]
    pub bias_volts: f64,
    /// Full scale of the ADC, in V, either way. The junction keeps the default node within ±0.6 V by itself.
    #[schemars(extend("exclusiveMinimum" = 0))]
    pub reading_volts: f64,
    /// Resonance of coil and capacitor, 1/(2π√(LC)), in Hz.
    #[schemars(extend("exclusiveMinimum" = 0))]
    pub resonance_hertz: f64,
    /// Impedance of coil and capacitor, √(L/C), in Ω: with 31.8 kHz a coil of 10 mH and 2.5 nF.
    #[schemars(extend("exclusiveMinimum" = 0))]
    pub impedance_ohms: f64,
    /// Quality of the resonance with the load but without the device (1).
    #[schemars(extend("exclusiveMinimum" = 0))]
    pub quality: f64,
    /// Parallel load, the card's input resistance, in Ω. The rest of the loss is in series with the coil.
    #[schemars(extend("exclusiveMinimum" = 0))]
    pub load_ohms: f64,
    /// The transistor stage.
    pub device: ElectricalDevice,
    /// Scales all that the twin does not know: law, memory, component errors, converter errors, crosstalk (1). With 0
    /// the plant's deterministic physics is the twin's; 1 is the bench, with a twin error of 12 to 18 % of the output's
    /// standard deviation when each sample is driven at random.
    #[schemars(range(min = 0, max = 4))]
    pub mismatch: f64,
    /// How far this bench's parts are from nominal, times `mismatch`.
    pub tolerances: ElectricalTolerances,
    /// What is random, rounded or drifting.
    pub imperfections: ElectricalImperfections,
    /// Decides this bench's fixed pattern: which part is off by how much.
    #[schemars(range(max = 9_223_372_036_854_775_807_u64))]
    pub plant_seed: u64,
    /// Decides the noise of each shot.
    #[schemars(range(max = 9_223_372_036_854_775_807_u64))]
    pub shot_seed: u64,
    /// After a change of the bias, in s.
    #[schemars(range(min = 0, max = 1e9))]
    pub settle_seconds: f64,
    /// Once per batch, in s. Block transfers over USB take 1 to 20 ms.
    #[schemars(range(min = 0, max = 1e9))]
    pub latency_seconds: f64,
    /// After each shot, until the circuit rests, in s: five times the resonance's 2Q/ω of 100 µs.
    #[schemars(range(min = 0, max = 1e9))]
    pub rest_seconds: f64,
}

/// The transistor stage: `I = current_amperes · S((own·v + memory·v_b + offset_volts)/scale_volts)`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct ElectricalDevice {
    /// The current's scale, in A.
    #[schemars(range(min = 0))]
    pub current_amperes: f64,
    /// How much of the node voltage the device sees (1).
    #[schemars(extend("exclusiveMinimum" = 0))]
    pub own: f64,
    /// How much of the bias memory the plant's device sees (1).
    #[schemars(range(min = 0))]
    pub memory: f64,
    /// The device's own bias, in V.
    pub offset_volts: f64,
    /// The voltage scale of the exponent, in V: a few junctions and emitter resistance, not one bare 25.9 mV junction.
    #[schemars(extend("exclusiveMinimum" = 0))]
    pub scale_volts: f64,
    /// Time constant of the bias memory, in s.
    #[schemars(extend("exclusiveMinimum" = 0))]
    pub memory_seconds: f64,
}

/// How far this bench's parts are from nominal. All are multiplied by `mismatch`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct ElectricalTolerances {
    /// Lowest relative error of coil, capacitor, resistors and device current (1). Errors are spread evenly.
    #[schemars(range(min = -0.2, max = 1))]
    pub component_low: f64,
    /// Highest relative error of coil, capacitor, resistors and device current (1).
    #[schemars(range(min = -0.2, max = 1))]
    pub component_high: f64,
    /// RMS gain error of DAC and of ADC (1). Data sheets of such cards say 0.1 to 1 %.
    #[schemars(range(min = 0))]
    pub gain: f64,
    /// RMS offset of DAC and of ADC, in V.
    #[schemars(range(min = 0))]
    pub offset_volts: f64,
    /// What a reading keeps of the sample before it, in a multiplexed ADC (1).
    #[schemars(range(min = 0, max = 0.2))]
    pub crosstalk: f64,
}

impl Default for Electrical {
    fn default() -> Self {
        Self {
            samples: 256,
            substeps: 4,
            sample_rate_hertz: 1e6,
            drive_volts: 1.0,
            bias_volts: 0.0,
            reading_volts: 1.0,
            resonance_hertz: 31.8e3,
            impedance_ohms: 2e3,
            quality: 10.0,
            load_ohms: 100e3,
            device: ElectricalDevice::default(),
            mismatch: 1.0,
            tolerances: ElectricalTolerances::default(),
            imperfections: ElectricalImperfections::default(),
            plant_seed: 0,
            shot_seed: 0,
            settle_seconds: 0.0,
            latency_seconds: 5e-3,
            rest_seconds: 500e-6,
        }
    }
}

impl Default for ElectricalDevice {
    fn default() -> Self {
        Self {
            current_amperes: 0.1e-3,
            own: 1.1,
            memory: 0.5,
            offset_volts: 0.1,
            scale_volts: 0.12,
            memory_seconds: 30e-6,
        }
    }
}

impl Default for ElectricalTolerances {
    fn default() -> Self {
        Self { component_low: -0.06, component_high: 0.10, gain: 0.005, offset_volts: 1e-3, crosstalk: 0.005 }
    }
}

impl Electrical {
    /// Builds plant, twin and ideal from this description.
    pub fn build(&self) -> Result<Built, Error> {
        self.check()?;
        let card = self.card();
        let plant = self.plant_circuit();
        let pattern = Key::new(self.plant_seed).branch("electrical");
        let mut stream = pattern.branch("temperature").stream();
        let system = Bench {
            card: card.clone(),
            solver: Solver::new(&plant),
            circuit: plant.clone(),
            imperfections: self.imperfections.clone(),
            dac: Converter::new(symmetric(self.drive_volts), self.imperfections.dac_bits),
            bias: Converter::new(symmetric(self.bias_volts), self.imperfections.dac_bits),
            adc: Converter::new(symmetric(self.reading_volts), self.imperfections.adc_bits),
            sample_seconds: 1.0 / self.sample_rate_hertz,
            phases: [f64::from(stream.uniform()), f64::from(stream.uniform())],
            shots: Key::new(self.shot_seed).branch("electrical shots"),
            pool: Pool::default(),
        };
        Ok(Built {
            system: Arc::new(system),
            twin: Arc::new(Model::new(card.clone(), self.nominal_circuit())),
            ideal: Arc::new(Model::new(card, plant)),
        })
    }

    /// Seconds that a shot takes: its samples, and the rest after it.
    fn shot_seconds(&self) -> f64 {
        self.samples as f64 / self.sample_rate_hertz + self.rest_seconds
    }

    /// What the plant says about itself.
    fn card(&self) -> Card {
        Card {
            identity: Identity {
                system: "electrical".to_owned(),
                serial: format!("simulated-{}", self.plant_seed),
                origin: Origin::Simulated,
            },
            ports: Ports {
                inputs: vec![Bank::new("drive", self.samples, "V", symmetric(self.drive_volts))],
                controls: if self.bias_volts == 0.0 {
                    vec![]
                } else {
                    vec![Bank::new("bias", 1, "V", symmetric(self.bias_volts))]
                },
                outputs: vec![Bank::new("node", self.samples, "V", symmetric(self.reading_volts))],
            },
            timing: Timing { settle: self.settle_seconds, latency: self.latency_seconds, shot: self.shot_seconds() },
        }
    }

    /// The circuit on paper: nominal components, the polynomial, no bias memory, ideal converters.
    fn nominal_circuit(&self) -> Circuit {
        let pulsation = std::f64::consts::TAU * self.resonance_hertz;
        let straight = Line { gain: 1.0, offset: 0.0 };
        Circuit {
            samples: self.samples,
            substeps: self.substeps,
            step_seconds: 1.0 / (self.sample_rate_hertz * self.substeps as f64),
            henry: self.impedance_ohms / pulsation,
            farad: 1.0 / (self.impedance_ohms * pulsation),
            ohms: self.impedance_ohms * (1.0 / self.quality - self.impedance_ohms / self.load_ohms),
            load_ohms: self.load_ohms,
            device_amperes: self.device.current_amperes,
            own: self.device.own,
            memory: 0.0,
            offset_volts: self.device.offset_volts,
            scale_volts: self.device.scale_volts,
            memory_seconds: self.device.memory_seconds,
            junction_share: 0.0,
            drive: straight,
            reading: straight,
            crosstalk: 0.0,
            full_scale_volts: self.reading_volts,
        }
    }

    /// The circuit on the bench: each part a little off, as `plant_seed` and `mismatch` have it.
    fn plant_circuit(&self) -> Circuit {
        let ElectricalTolerances { component_low, component_high, gain, offset_volts, crosstalk } = self.tolerances;
        let mut parts = Key::new(self.plant_seed).branch("electrical").branch("parts").stream();
        let mut part = |nominal: f64| {
            let error = component_low + (component_high - component_low) * f64::from(parts.uniform());
            nominal * (1.0 + self.mismatch * error)
        };
        let mut lines = Key::new(self.plant_seed).branch("electrical").branch("converters").stream();
        let mut line = || Line {
            gain: 1.0 + self.mismatch * gain * f64::from(lines.normal()),
            offset: self.mismatch * offset_volts * f64::from(lines.normal()),
        };
        let nominal = self.nominal_circuit();
        Circuit {
            henry: part(nominal.henry),
            farad: part(nominal.farad),
            ohms: part(nominal.ohms),
            load_ohms: part(nominal.load_ohms),
            device_amperes: part(nominal.device_amperes),
            memory: self.mismatch * self.device.memory,
            junction_share: self.mismatch,
            drive: line(),
            reading: line(),
            crosstalk: self.mismatch * crosstalk,
            ..nominal
        }
    }

    /// Refuses coefficients without physical sense.
    fn check(&self) -> Result<(), Error> {
        let Self { device, tolerances, imperfections, .. } = self;
        let positive = [
            ("sample_rate_hertz", self.sample_rate_hertz, "Hz"),
            ("drive_volts", self.drive_volts, "V"),
            ("reading_volts", self.reading_volts, "V"),
            ("resonance_hertz", self.resonance_hertz, "Hz"),
            ("impedance_ohms", self.impedance_ohms, "Ω"),
            ("quality", self.quality, ""),
            ("load_ohms", self.load_ohms, "Ω"),
            ("device.own", device.own, ""),
            ("device.scale_volts", device.scale_volts, "V"),
            ("device.memory_seconds", device.memory_seconds, "s"),
            ("imperfections.temperature_period_seconds", imperfections.temperature_period_seconds, "s"),
        ];
        for (name, value, unit) in positive {
            ensure(value.is_finite() && 0.0 < value, (name, value, unit), "it must be above 0")?;
        }
        let not_negative = [
            ("bias_volts", self.bias_volts, "V"),
            ("device.current_amperes", device.current_amperes, "A"),
            ("device.memory", device.memory, ""),
            ("tolerances.gain", tolerances.gain, ""),
            ("tolerances.offset_volts", tolerances.offset_volts, "V"),
            ("imperfections.noise_volts", imperfections.noise_volts, "V"),
            ("imperfections.jitter_seconds", imperfections.jitter_seconds, "s"),
            ("imperfections.temperature_swing_kelvin", imperfections.temperature_swing_kelvin, "K"),
            ("settle_seconds", self.settle_seconds, "s"),
            ("latency_seconds", self.latency_seconds, "s"),
            ("rest_seconds", self.rest_seconds, "s"),
        ];
        for (name, value, unit) in not_negative {
            ensure(value.is_finite() && 0.0 <= value, (name, value, unit), "it must be 0 or above")?;
        }
        let finite = [
            ("device.offset_volts", device.offset_volts, "V"),
            ("imperfections.junction_volts_per_kelvin", imperfections.junction_volts_per_kelvin, "V/K"),
            ("imperfections.gain_per_kelvin", imperfections.gain_per_kelvin, "1/K"),
        ];
        for (name, value, unit) in finite {
            ensure(value.is_finite(), (name, value, unit), "it must be a finite number")?;
        }
        self.check_ranges()
    }

    /// Refuses what is out of its range.
    fn check_ranges(&self) -> Result<(), Error> {
        let Self { tolerances, imperfections, .. } = self;
        let samples = ("samples", self.samples as f64, "");
        ensure((1..=65_536).contains(&self.samples), samples, "a shot has 1 to 65,536 samples")?;
        let substeps = ("substeps", self.substeps as f64, "");
        ensure((1..=16).contains(&self.substeps), substeps, "it must be from 1 to 16")?;
        let mismatch = ("mismatch", self.mismatch, "");
        ensure((0.0..=4.0).contains(&self.mismatch), mismatch, "it must be from 0 to 4; 1 is the bench")?;
        let load = ("load_ohms", self.load_ohms, "Ω");
        ensure(
            self.quality * self.impedance_ohms <= self.load_ohms,
            load,
            "the load alone spoils the quality: it must be at least quality · impedance_ohms",
        )?;
        let turn = std::f64::consts::TAU * self.resonance_hertz / (self.sample_rate_hertz * self.substeps as f64);
        let resonance = ("resonance_hertz", self.resonance_hertz, "Hz");
        ensure(turn <= 1.0, resonance, "a substep must be at most 1/(2π) of a period: take more substeps")?;
        let (low, high) = (tolerances.component_low, tolerances.component_high);
        let spread = ("tolerances.component_low", low, "");
        ensure(-0.2 <= low && low <= high && high <= 1.0, spread, "errors lie between -0.2 and 1, the low end first")?;
        let crosstalk = ("tolerances.crosstalk", tolerances.crosstalk, "");
        ensure((0.0..=0.2).contains(&tolerances.crosstalk), crosstalk, "it must be from 0 to 0.2")?;
        for (name, bits) in
            [("imperfections.dac_bits", imperfections.dac_bits), ("imperfections.adc_bits", imperfections.adc_bits)]
        {
            ensure(bits <= 24, (name, f64::from(bits), ""), "it must be from 0, no rounding, to 24")?;
        }
        Ok(())
    }
}

/// Whether there is none of it: a key that changes nothing is not written.
#[allow(clippy::trivially_copy_pass_by_ref)] // serde asks by reference.
fn is_zero(value: &f64) -> bool {
    *value == 0.0
}

/// The range from −`volts` to `volts`.
fn symmetric(volts: f64) -> Range {
    Range::new(-volts as f32, volts as f32)
}

/// Refuses a coefficient unless `sound`.
fn ensure(
    sound: bool,
    (name, value, unit): (&'static str, f64, &'static str),
    expected: &'static str,
) -> Result<(), Error> {
    if sound { Ok(()) } else { Err(Error::Coefficient { system: "electrical", name, value, unit, expected }) }
}
