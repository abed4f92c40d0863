//! Refuses descriptions without physical sense, by the name of the offending key.

use std::f64::consts::TAU;

use super::config::{Gap, Imperfections, LIMIT, Mechanical, Microphone, Plate, Speaker};
use super::physics::{Physics, Resonance, SOUND};
use super::{MOST_MODES, SYSTEM};
use crate::Error;

/// What a coefficient must be.
#[derive(Clone, Copy)]
enum Must {
    /// Above 0.
    Positive,
    /// 0 or above.
    NotNegative,
    /// At least the first and at most the second; the sentence says so.
    Between(f64, f64, &'static str),
}

/// Key, value, unit, and what the value must be.
type Row = (&'static str, f64, &'static str, Must);

/// A place on the plate.
const ON_PLATE: Must = Must::Between(-1.0, 1.0, "a place on the plate is between -1 and 1 along each side");
/// A spread whose draws, cut at three standard deviations, leave the sign alone.
const SPREAD: Must = Must::Between(0.0, 0.3, "it must be between 0 and 0.3 once multiplied by the mismatch");
/// A damping ratio: without any a plate never comes to rest, with much more it does not ring.
const LOSSY: Must = Must::Between(1e-6, 0.5, "it must be between 1e-6 and 0.5");
/// Converters.
const BITS: Must = Must::Between(0.0, 24.0, "it must be between 0, off, and 24 bits");

impl Mechanical {
    /// Refuses the first coefficient without physical sense.
    pub(super) fn check(&self) -> Result<(), Error> {
        self.own().into_iter().try_for_each(check)?;
        self.plate.rows().into_iter().try_for_each(check)?;
        self.speaker.rows().into_iter().try_for_each(check)?;
        self.microphone.rows().into_iter().try_for_each(check)?;
        self.gap.rows(self.mismatch).into_iter().try_for_each(check)?;
        self.imperfections.rows().into_iter().try_for_each(check)
    }

    fn own(&self) -> Vec<Row> {
        let suspension = self.speaker.suspension_hertz.len() as f64;
        let most = MOST_MODES as f64;
        let actual = self.microphone.distance_meters / SOUND + self.mismatch * self.gap.delay_seconds;
        let shortest = (actual * self.sample_hertz).ceil() + 1.0;
        vec![
            ("mismatch", self.mismatch, "1", Must::Between(0.0, 10.0, "it must be between 0 and 10")),
            ("sample_hertz", self.sample_hertz, "1/s", Must::Positive),
            (
                "samples",
                self.samples as f64,
                "1",
                Must::Between(
                    shortest,
                    65_536.0,
                    "a record must be longer than the sound's way to the microphone, and at most 65,536 samples",
                ),
            ),
            (
                "modes",
                self.modes as f64,
                "1",
                Must::Between(suspension.max(1.0), most, "it must cover the suspension's modes and be at most 40"),
            ),
            ("settle_seconds", self.settle_seconds, "s", Must::NotNegative),
            ("latency_seconds", self.latency_seconds, "s", Must::NotNegative),
            ("shot_seconds", self.shot_seconds.unwrap_or(0.0), "s", Must::NotNegative),
        ]
    }
}

impl Plate {
    fn rows(&self) -> Vec<Row> {
        let poisson = Must::Between(0.0, 0.499, "it must be between 0 and 0.499");
        vec![
            ("plate.side_meters", self.side_meters, "m", Must::Positive),
            ("plate.thickness_meters", self.thickness_meters, "m", Must::Positive),
            ("plate.pascals", self.pascals, "Pa", Must::Positive),
            ("plate.poisson", self.poisson, "1", poisson),
            ("plate.kilograms_per_cubic_meter", self.kilograms_per_cubic_meter, "kg/m³", Must::Positive),
            ("plate.mount_loss_per_second", self.mount_loss_per_second, "1/s", Must::NotNegative),
            ("plate.material_loss_seconds", self.material_loss_seconds, "s", Must::NotNegative),
        ]
    }
}

impl Speaker {
    fn rows(&self) -> Vec<Row> {
        let above = Must::Between(self.low_hertz, f64::INFINITY, "it must be at least speaker.low_hertz");
        let mut rows = vec![
            ("speaker.newtons_per_volt", self.newtons_per_volt, "N/V", Must::Positive),
            ("speaker.low_hertz", self.low_hertz, "Hz", Must::NotNegative),
            ("speaker.high_hertz", self.high_hertz, "Hz", above),
            ("speaker.suspension_damping", self.suspension_damping, "1", LOSSY),
            ("speaker.moving_kilograms", self.moving_kilograms, "kg", Must::Positive),
        ];
        rows.extend(
            self.suspension_hertz.iter().map(|&hertz| ("speaker.suspension_hertz", hertz, "Hz", Must::Positive)),
        );
        rows.extend(self.place.map(|place| ("speaker.place", place, "1", ON_PLATE)));
        rows
    }
}

impl Microphone {
    fn rows(&self) -> Vec<Row> {
        let mut rows = vec![
            ("microphone.distance_meters", self.distance_meters, "m", Must::Positive),
            ("microphone.volts_per_pascal", self.volts_per_pascal, "V/Pa", Must::Positive),
            ("microphone.full_scale_volts", self.full_scale_volts, "V", Must::Positive),
        ];
        rows.extend(self.place.map(|place| ("microphone.place", place, "1", ON_PLATE)));
        rows
    }
}

impl Gap {
    fn rows(&self, mismatch: f64) -> Vec<Row> {
        // Beyond this the kicks of the nonlinear terms would no longer resolve the motion that they cause.
        let soft =
            Must::Between(0.0, 4.0 / LIMIT.powi(2), "it must be between 0 and 1 once multiplied by the mismatch");
        let few = Must::Between(0.0, 64.0, "it must be at most 64");
        vec![
            ("gap.frequency_spread", mismatch * self.frequency_spread, "1", SPREAD),
            ("gap.damping_spread", mismatch * self.damping_spread, "1", SPREAD),
            ("gap.gain_spread", mismatch * self.gain_spread, "1", SPREAD),
            ("gap.stiffening", mismatch * self.stiffening, "1", soft),
            ("gap.couplings", self.couplings as f64, "1", few),
            ("gap.coupling", mismatch * self.coupling, "1", soft),
            ("gap.clip_volts", self.clip_volts, "V", Must::Positive),
            ("gap.delay_seconds", self.delay_seconds, "s", Must::NotNegative),
        ]
    }
}

impl Imperfections {
    fn rows(&self) -> Vec<Row> {
        let slight = Must::Between(0.0, 0.5, "it must be between 0 and 0.5");
        let detuning = Must::Between(0.0, 0.02, "it must be between 0 and 0.02");
        vec![
            ("imperfections.gain_noise", self.gain_noise, "1", slight),
            ("imperfections.noise_volts", self.noise_volts, "V", Must::NotNegative),
            ("imperfections.gain_drift", self.gain_drift, "1", slight),
            ("imperfections.frequency_drift", self.frequency_drift, "1", detuning),
            ("imperfections.drift_seconds", self.drift_seconds, "s", Must::Positive),
            ("imperfections.dac_bits", f64::from(self.dac_bits), "bit", BITS),
            ("imperfections.adc_bits", f64::from(self.adc_bits), "bit", BITS),
        ]
    }
}

impl Physics {
    /// Refuses modes that the sample rate does not resolve, or that do not ring.
    pub(super) fn check(&self) -> Result<(), Error> {
        let highest = self.modes.iter().map(|mode| mode.omega / TAU).fold(0.0, f64::max);
        let expected = "the highest mode must lie below a quarter of the sample rate: take fewer modes, or a larger or thinner plate";
        let resolved = Must::Between(0.0, 0.25 / self.period, expected);
        check(("modes (the highest frequency)", highest, "Hz", resolved))?;
        let damping = |mode: &Resonance| check(("plate (a mode's damping ratio)", mode.damping, "1", LOSSY));
        self.modes.iter().try_for_each(damping)
    }
}

/// Refuses a coefficient that is not what it must be. NaN is nothing that anything must be.
fn check((name, value, unit, must): Row) -> Result<(), Error> {
    let (sound, expected) = match must {
        Must::Positive => (0.0 < value && value.is_finite(), "it must be above 0"),
        Must::NotNegative => (0.0 <= value && value.is_finite(), "it must be 0 or above"),
        Must::Between(low, high, expected) => (low <= value && value <= high && value.is_finite(), expected),
    };
    if sound { Ok(()) } else { Err(Error::Coefficient { system: SYSTEM, name, value, unit, expected }) }
}
