//! The circuit: component values, converters' lines, and where it rests.
//!
//! ```text
//! L di/dt = v_in − R·i − v
//! C dv/dt = i − v/R_p − I_s·S((a·v + b·v_b + c)/V_s)
//! τ dv_b/dt = v − v_b
//! ```
//!
//! S is [`law::Polynomial`](super::law) in the twin, sinh in the plant, or a blend of both.

/// How the device's law is made up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Shape {
    Polynomial,
    Junction,
    Blend,
}

/// A straight line: what a converter's analog side does to a voltage.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Line {
    /// Slope (1).
    pub gain: f64,
    /// What it adds, in V.
    pub offset: f64,
}

/// A circuit with its converters' analog sides, in SI units.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Circuit {
    /// Samples of a record.
    pub samples: usize,
    /// Substeps of a sample.
    pub substeps: usize,
    /// Length of a substep, in s.
    pub step_seconds: f64,
    /// Inductance L, in H.
    pub henry: f64,
    /// Capacitance C, in F.
    pub farad: f64,
    /// Series resistance R, in Ω.
    pub ohms: f64,
    /// Parallel resistance `R_p`, in Ω.
    pub load_ohms: f64,
    /// The device's current `I_s`, in A.
    pub device_amperes: f64,
    /// How much of the node's voltage the device sees (1).
    pub own: f64,
    /// How much of the bias memory the device sees (1).
    pub memory: f64,
    /// The device's own bias c, in V.
    pub offset_volts: f64,
    /// The device's voltage scale `V_s`, in V.
    pub scale_volts: f64,
    /// Time constant τ of the bias memory, in s.
    pub memory_seconds: f64,
    /// Share of sinh in the law; the rest is its polynomial (1).
    pub junction_share: f64,
    /// The DAC's output stage.
    pub drive: Line,
    /// The ADC's input stage.
    pub reading: Line,
    /// What a reading keeps of the sample before it (1).
    pub crosstalk: f64,
    /// Full scale of the ADC, in V.
    pub full_scale_volts: f64,
}

impl Circuit {
    /// How the device's law is made up.
    pub fn shape(&self) -> Shape {
        match self.junction_share {
            0.0 => Shape::Polynomial,
            1.0 => Shape::Junction,
            _ => Shape::Blend,
        }
    }

    /// The device's exponent without drive when its bias is off by `shift` V (1).
    pub fn exponent(&self, shift: f64) -> f64 {
        (self.offset_volts + shift) / self.scale_volts
    }

    /// The device's current at exponent `u`, in A.
    pub fn device_current(&self, u: f64) -> f64 {
        let polynomial = u * (1.0 + u * u / 6.0 * (1.0 + u * u / 20.0));
        let junction = u.clamp(-super::law::LARGEST_EXPONENT, super::law::LARGEST_EXPONENT).sinh();
        self.device_amperes * (self.junction_share * (junction - polynomial) + polynomial)
    }

    /// The node voltage at rest when `volts` stay on the input and the device's bias is off by `shift`, both in V.
    ///
    /// The circuit's current grows with the voltage, so bisection finds the only solution.
    pub fn rest(&self, volts: f64, shift: f64) -> f64 {
        let excess = |node: f64| {
            let u = ((self.own + self.memory) * node) / self.scale_volts + self.exponent(shift);
            node + self.ohms * (node / self.load_ohms + self.device_current(u)) - volts
        };
        let (mut low, mut high) = (-1.0, 1.0);
        while excess(low) > 0.0 {
            low *= 2.0;
        }
        while excess(high) < 0.0 {
            high *= 2.0;
        }
        for _ in 0..100 {
            let middle = 0.5 * (low + high);
            if excess(middle) < 0.0 {
                low = middle;
            } else {
                high = middle;
            }
        }
        0.5 * (low + high)
    }

    /// The coil's current when the node rests at `node` V and the device's bias is off by `shift` V, in A.
    pub fn rest_current(&self, node: f64, shift: f64) -> f64 {
        let u = ((self.own + self.memory) * node) / self.scale_volts + self.exponent(shift);
        node / self.load_ohms + self.device_current(u)
    }
}
