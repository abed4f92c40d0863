//! What is random, rounded or drifting on the electrical bench.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What is random, rounded or drifting on the bench. 0 switches each of them off.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct ElectricalImperfections {
    /// RMS noise of a reading, in V.
    #[schemars(range(min = 0))]
    pub noise_volts: f64,
    /// RMS delay of a shot's trigger, in s; the card's clock follows it within a sample.
    #[schemars(range(min = 0))]
    pub jitter_seconds: f64,
    /// Resolution of the DAC, in bits.
    #[schemars(range(max = 24))]
    pub dac_bits: u32,
    /// Resolution of the ADC, in bits.
    #[schemars(range(max = 24))]
    pub adc_bits: u32,
    /// Largest deviation of the temperature from that of the calibration, in K.
    #[schemars(range(min = 0))]
    pub temperature_swing_kelvin: f64,
    /// Period of the temperature's main swing, in s: an air conditioner's.
    #[schemars(extend("exclusiveMinimum" = 0))]
    pub temperature_period_seconds: f64,
    /// What the device's bias gains with temperature, in V/K: a base–emitter voltage falls by 2 mV/K.
    pub junction_volts_per_kelvin: f64,
    /// What the ADC's gain changes with temperature, in 1/K.
    pub gain_per_kelvin: f64,
}

impl Default for ElectricalImperfections {
    fn default() -> Self {
        Self {
            noise_volts: 2e-3,
            jitter_seconds: 20e-9,
            dac_bits: 14,
            adc_bits: 14,
            temperature_swing_kelvin: 1.0,
            temperature_period_seconds: 1200.0,
            junction_volts_per_kelvin: 2e-3,
            gain_per_kelvin: 50e-6,
        }
    }
}

impl ElectricalImperfections {
    /// A bench without noise, rounding or drift.
    pub fn none() -> Self {
        Self {
            noise_volts: 0.0,
            jitter_seconds: 0.0,
            dac_bits: 0,
            adc_bits: 0,
            temperature_swing_kelvin: 0.0,
            ..Self::default()
        }
    }
}
