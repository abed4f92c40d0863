//! The circuit: component values, converters' lines, and where it rests.
//!
//! ```text
//! L di/dt = v_in − R·i − v
//! C dv/dt = i − v/R_p − I_s·S((a·v + b·v_b + c)/V_s)
//! τ dv_b/dt = v − v_b
//! ```
//!
//! S is [`law::Polynomial`](super::law) in the twin, sinh in the plant, or a blend of both.

use crate::Real;
use crate::dual::Dual;

/// Beyond this exponent the current no longer grows: e^20 times the device's current is more than any bench supplies.
pub(super) const LARGEST_EXPONENT: f64 = 20.0;

/// How the device's law is made up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Shape {
    Polynomial,
    Junction,
    Blend,
}

/// A straight line: what a converter's analog side does to a voltage.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Line<R = f64> {
    /// Slope (1).
    pub gain: R,
    /// What it adds, in V.
    pub offset: R,
}

/// A circuit with its converters' analog sides, in SI units.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Circuit<R = f64> {
    /// Samples of a record.
    pub samples: usize,
    /// Substeps of a sample.
    pub substeps: usize,
    /// Length of a substep, in s.
    pub step_seconds: f64,
    /// Inductance L, in H.
    pub henry: R,
    /// Capacitance C, in F.
    pub farad: R,
    /// Series resistance R, in Ω.
    pub ohms: R,
    /// Parallel resistance `R_p`, in Ω.
    pub load_ohms: R,
    /// The device's current `I_s`, in A.
    pub device_amperes: R,
    /// How much of the node's voltage the device sees (1).
    pub own: f64,
    /// How much of the bias memory the device sees (1).
    pub memory: R,
    /// The device's own bias c, in V.
    pub offset_volts: f64,
    /// The device's voltage scale `V_s`, in V.
    pub scale_volts: f64,
    /// Time constant τ of the bias memory, in s.
    pub memory_seconds: R,
    /// Share of sinh in the law; the rest is its polynomial (1).
    pub junction_share: R,
    /// The DAC's output stage.
    pub drive: Line<R>,
    /// The ADC's input stage.
    pub reading: Line<R>,
    /// What a reading keeps of the sample before it (1).
    pub crosstalk: R,
    /// Full scale of the ADC, in V.
    pub full_scale_volts: f64,
}

impl Circuit {
    /// The same, as it goes with a bias that adds to the drive.
    pub fn along_bias(&self) -> Circuit<Dual<f64>> {
        let fixed = |value: f64| Dual { value, slope: 0.0 };
        let line = |line: Line| Line { gain: fixed(line.gain), offset: fixed(line.offset) };
        let mut drive = line(self.drive);
        drive.offset.slope = 1.0;
        Circuit {
            samples: self.samples,
            substeps: self.substeps,
            step_seconds: self.step_seconds,
            henry: fixed(self.henry),
            farad: fixed(self.farad),
            ohms: fixed(self.ohms),
            load_ohms: fixed(self.load_ohms),
            device_amperes: fixed(self.device_amperes),
            own: self.own,
            memory: fixed(self.memory),
            offset_volts: self.offset_volts,
            scale_volts: self.scale_volts,
            memory_seconds: fixed(self.memory_seconds),
            junction_share: fixed(self.junction_share),
            drive,
            reading: line(self.reading),
            crosstalk: fixed(self.crosstalk),
            full_scale_volts: self.full_scale_volts,
        }
    }
}

impl<R: Real> Circuit<R> {
    /// The same with the controls set: a bias, in V, adds to the drive.
    pub fn biased(&self, controls: &[f32]) -> Self {
        let bias = controls.first().copied().unwrap_or_default();
        let drive = Line { gain: self.drive.gain, offset: self.drive.offset + R::of(f64::from(bias)) };
        Self { drive, ..self.clone() }
    }

    /// How the device's law is made up.
    pub fn shape(&self) -> Shape {
        if self.junction_share == R::of(0.0) {
            Shape::Polynomial
        } else if self.junction_share == R::of(1.0) {
            Shape::Junction
        } else {
            Shape::Blend
        }
    }

    /// The device's exponent without drive when its bias is off by `shift` V (1).
    pub fn exponent(&self, shift: f64) -> f64 {
        (self.offset_volts + shift) / self.scale_volts
    }

    /// The device's exponent when the node rests at `node` V and the device's bias is off by `shift` V (1).
    fn rest_exponent(&self, node: R, shift: f64) -> R {
        (R::of(self.own) + self.memory) * node / R::of(self.scale_volts) + R::of(self.exponent(shift))
    }

    /// The device's current at exponent `u`, in A, and what it gains per unit of it.
    pub fn device_current(&self, u: R) -> [R; 2] {
        let square = u * u;
        let polynomial = u * (R::of(1.0) + square / R::of(6.0) * (R::of(1.0) + square / R::of(20.0)));
        let slope = R::of(1.0) + square / R::of(2.0) * (R::of(1.0) + square / R::of(12.0));
        let limit = R::of(LARGEST_EXPONENT);
        let clamped = u.max(-limit).min(limit);
        let [grown, shrunk] = [clamped, -clamped].map(|u| R::of(0.5) * u.exp());
        let blend = |junction: R, polynomial: R| self.junction_share * (junction - polynomial) + polynomial;
        [blend(grown - shrunk, polynomial), blend(grown + shrunk, slope)].map(|share| self.device_amperes * share)
    }

    /// The node voltage at rest when `volts` stay on the input and the device's bias is off by `shift`, both in V.
    ///
    /// The circuit's current grows with the voltage, so bisection finds the only solution.
    pub fn rest(&self, volts: R, shift: f64) -> R {
        let excess = |node: f64| {
            let node = R::of(node);
            node + self.ohms * self.rest_current(node, shift) - volts
        };
        let (mut low, mut high) = (-1.0, 1.0);
        while excess(low).to_f64() > 0.0 {
            low *= 2.0;
        }
        while excess(high).to_f64() < 0.0 {
            high *= 2.0;
        }
        for _ in 0..100 {
            let middle = 0.5 * (low + high);
            if excess(middle).to_f64() < 0.0 {
                low = middle;
            } else {
                high = middle;
            }
        }
        // A step of Newton's: what the solution owes to the coefficients.
        let node = 0.5 * (low + high);
        let [_, device] = self.device_current(self.rest_exponent(R::of(node), shift));
        let sees = (R::of(self.own) + self.memory) / R::of(self.scale_volts);
        let slope = R::of(1.0) + self.ohms * (R::of(1.0) / self.load_ohms + device * sees);
        R::of(node) - excess(node) / slope
    }

    /// The coil's current when the node rests at `node` V and the device's bias is off by `shift` V, in A.
    pub fn rest_current(&self, node: R, shift: f64) -> R {
        let [current, _] = self.device_current(self.rest_exponent(node, shift));
        node / self.load_ohms + current
    }
}
