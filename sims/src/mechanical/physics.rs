//! A driven plate as a sum of modes, in continuous time, and the step from there to samples.
//!
//! ```text
//! q̈ₖ + 2 ζₖ ωₖ q̇ₖ + ωₖ² q̃ₖ (1 + ε (qₖ/r)²) + couplings = φₖ(drive) F(t) / mₖ
//! mic(t) = S · ρ_air · A/(2π d) · Σ φₖ(mic) q̈ₖ(t − d/c)
//! ωₖ = λₖ/a² · √(D/ρh)
//! ```
//!
//! `q` in m, in the kernel in units of the reach `r`: the thickness `h` for the plate, where von Kármán's stretching
//! becomes as strong as bending; 1 mm for the suspension. Shapes `φ` have mean square 1 over the plate, so each modal
//! mass is the plate's own. The microphone hears the nearby part of the plate as a piston in a baffle.
//! The modal form of von Kármán's plate, with the many cubic terms of stretching cut down to one per mode and a few
//! couplings; the full sum is in the public solver VK-Gong. Each mode is updated by its matrix exponential.

use std::f64::consts::{PI, TAU};

use super::config::{LIMIT, Mechanical};
use super::discrete::{Coupling, Discrete, Mode};
use super::plate::{Shape, free_square};
use crate::{Key, Real, Stream};

/// Density of dry air at 20 °C and 1013 hPa, in kg/m³ (handbook value).
const AIR_DENSITY: f64 = 1.204;
/// Speed of sound in dry air at 20 °C, in m/s (handbook value).
pub(super) const SOUND: f64 = 343.2;
/// Excursion of the suspension that counts as 1, in m: what a small full-range speaker allows.
const SUSPENSION_REACH: f64 = 1e-3;
/// Couplings are drawn between this many of the plate's lowest modes, the ones that move far.
const COUPLED: usize = 8;
/// Normal draws beyond this many standard deviations are cut: no tolerance makes another plate of it.
const WORST: f32 = 3.0;

/// One resonance.
#[derive(Debug, Clone)]
pub(super) struct Resonance<R = f64> {
    /// Undamped angular frequency `ω`, in rad/s.
    pub omega: R,
    /// Damping ratio `ζ`.
    pub damping: R,
    /// Acceleration per volt at the coil, in reach/s²/V.
    pub push: R,
    /// Relative stiffening `ε` at a deflection of one reach.
    pub stiffening: R,
    /// Microphone volts per acceleration, in V/(reach/s²).
    pub pickup: R,
}

/// A quartic potential between four modes.
#[derive(Debug, Clone)]
pub(super) struct Quartic {
    /// Which modes.
    pub modes: [usize; 4],
    /// Acceleration of each mode per product of the other three, negative for a restoring force, in 1/s².
    pub strength: f64,
}

/// The chain from the drive to the microphone.
#[derive(Debug, Clone)]
pub(super) struct Physics<R = f64> {
    /// Sample time, in s.
    pub period: f64,
    /// Band edges of the speaker, in Hz.
    pub band: [R; 2],
    /// `κ` of the soft clipping, in 1/V².
    pub clipping: R,
    /// From the coil to the microphone, in s.
    pub delay: R,
    /// All resonances, the suspension's first.
    pub modes: Vec<Resonance<R>>,
    /// What only the plant has.
    pub couplings: Vec<Quartic>,
}

impl Physics {
    /// What a physicist would write down first: handbook values, everything linear.
    pub fn nominal(bench: &Mechanical) -> Self {
        let suspension = bench.speaker.suspension_hertz.len();
        let shapes = free_square(bench.plate.poisson);
        let shapes = &shapes[..bench.modes.saturating_sub(suspension).min(shapes.len())];
        let pickup = pickup_volts(bench);
        let piston = bench.speaker.suspension_hertz.iter().map(|hertz| Resonance {
            omega: TAU * hertz,
            damping: bench.speaker.suspension_damping,
            push: bench.speaker.newtons_per_volt / (bench.speaker.moving_kilograms * SUSPENSION_REACH),
            stiffening: 0.0,
            pickup: pickup * SUSPENSION_REACH,
        });
        let bending = shapes.iter().map(|shape| bending(bench, shape));
        Self {
            period: 1.0 / bench.sample_hertz,
            band: [bench.speaker.low_hertz, bench.speaker.high_hertz],
            clipping: 0.0,
            delay: bench.microphone.distance_meters / SOUND,
            modes: piston.chain(bending).collect(),
            couplings: Vec::new(),
        }
    }

    /// What stands on the bench: tolerances and nonlinearity, both scaled by the mismatch.
    pub fn actual(bench: &Mechanical) -> Self {
        let mut physics = Self::nominal(bench);
        let (gap, mismatch) = (&bench.gap, bench.mismatch);
        let root = Key::new(bench.plant_seed).branch("mechanical");
        let mut draws =
            ["frequency", "damping", "gain", "stiffening", "speaker"].map(|name| root.branch(name).stream());
        let [frequency, damping, gain, stiffening, speaker] = &mut draws;
        for mode in &mut physics.modes {
            mode.omega *= 1.0 + mismatch * gap.frequency_spread * normal(frequency);
            mode.damping *= (mismatch * gap.damping_spread * normal(damping)).exp();
            mode.push *= 1.0 + mismatch * gap.gain_spread * normal(gain);
            // A third of the stiffening differs from mode to mode; it never softens.
            mode.stiffening = mismatch * gap.stiffening * (1.0 + normal(stiffening) / f64::from(WORST));
        }
        for edge in &mut physics.band {
            *edge *= 1.0 + mismatch * gap.gain_spread * normal(speaker);
        }
        physics.clipping = mismatch / gap.clip_volts.powi(2);
        physics.delay += mismatch * gap.delay_seconds;
        if 0.0 < mismatch && 0.0 < gap.coupling {
            physics.couplings = physics.draw_couplings(bench, &mut root.branch("coupling").stream());
        }
        physics
    }

    /// A few quartic potentials between modes of the plate.
    fn draw_couplings(&self, bench: &Mechanical, stream: &mut Stream) -> Vec<Quartic> {
        let first = bench.speaker.suspension_hertz.len();
        let plates = (self.modes.len() - first).min(COUPLED);
        let draw = |_| {
            let modes: [usize; 4] = std::array::from_fn(|_| first + stream.below(plates));
            // ω² of a mode, or the geometric mean over four: the same scale as the modes' own stiffness.
            let square = modes.iter().map(|&mode| self.modes[mode].omega.sqrt()).product::<f64>();
            Quartic { modes, strength: -bench.mismatch * bench.gap.coupling * square * normal(stream) }
        };
        if plates == 0 { Vec::new() } else { (0..bench.gap.couplings).map(draw).collect() }
    }
}

impl<R: Real> Physics<R> {
    /// Samples: exact for the free flow of each mode and for the speaker under a held voltage.
    pub fn discretize<S: Real<Wide = R>>(&self) -> Discrete<S> {
        let period = R::of(self.period);
        let samples = self.delay / period;
        let delay = samples.to_f64().ceil();
        let approach = |hertz: R| S::nearest(R::of(1.0) - (R::of(-TAU) * hertz * period).exp());
        let kicks = |quartic: &Quartic| {
            quartic.modes.map(|mode| S::nearest(R::of(self.period * quartic.strength) / self.modes[mode].omega))
        };
        Discrete {
            follow: approach(self.band[1]),
            block: approach(self.band[0]),
            clipping: S::nearest(self.clipping),
            limit: S::of(LIMIT),
            delay: delay as usize,
            modes: self.modes.iter().map(|mode| mode.discretize(period, R::of(delay) - samples)).collect(),
            couplings: self
                .couplings
                .iter()
                .map(|quartic| Coupling { modes: quartic.modes, kicks: kicks(quartic) })
                .collect(),
        }
    }
}

impl<R: Real> Resonance<R> {
    /// Samples every `period`, read `lead` of a period after each kick.
    fn discretize<S: Real<Wide = R>>(&self, period: R, lead: R) -> Mode<S> {
        let [[xx, xy], [yx, yy]] = self.flow(period);
        let early = self.flow(lead * period);
        let two = R::of(2.0);
        // What rings: q̈ = −ω² q − 2ζω q̇, with q̇ = ω y.
        let read = |column: usize| {
            -self.pickup * self.omega * self.omega * (early[0][column] + two * self.damping * early[1][column])
        };
        Mode {
            xx: S::nearest(xx),
            xy: S::nearest(xy),
            yx: S::nearest(yx),
            yy: S::nearest(yy),
            push: S::nearest(period * self.push / self.omega),
            cubic: S::nearest(-period * self.omega * self.stiffening),
            detune: S::nearest(-two * period * self.omega),
            from_x: S::nearest(read(0)),
            from_y: S::nearest(read(1)),
            // A kick k in y = q̇/ω is a force that accelerates by ω·k/T for one period.
            from_kick: S::nearest(self.pickup * self.omega / period),
        }
    }

    /// The matrix exponential of free, damped motion over `time`, for `(q, q̇/ω)`.
    fn flow(&self, time: R) -> [[R; 2]; 2] {
        let root = (R::of(1.0) - self.damping * self.damping).sqrt();
        let (sin, cos) = (self.omega * root * time).sin_cos();
        let decay = (-self.damping * self.omega * time).exp();
        let lag = self.damping / root * sin;
        [[decay * (cos + lag), decay * sin / root], [-decay * sin / root, decay * (cos - lag)]]
    }
}

/// One bending mode of the nominal plate.
fn bending(bench: &Mechanical, shape: &Shape) -> Resonance {
    let plate = &bench.plate;
    let mass = plate.kilograms_per_cubic_meter * plate.thickness_meters * plate.side_meters.powi(2);
    let stiffness = plate.pascals * plate.thickness_meters.powi(3) / (12.0 * (1.0 - plate.poisson.powi(2)));
    let scale = (stiffness / (plate.kilograms_per_cubic_meter * plate.thickness_meters)).sqrt();
    let omega = shape.parameter / plate.side_meters.powi(2) * scale;
    Resonance {
        omega,
        damping: 0.5 * (plate.mount_loss_per_second / omega + plate.material_loss_seconds * omega),
        push: shape.deflection(bench.speaker.place) * bench.speaker.newtons_per_volt / (mass * plate.thickness_meters),
        stiffening: 0.0,
        pickup: shape.deflection(bench.microphone.place) * pickup_volts(bench) * plate.thickness_meters,
    }
}

/// Microphone volts per acceleration of the plate in front of it, in V/(m/s²): the far field of a baffled piston.
fn pickup_volts(bench: &Mechanical) -> f64 {
    let area = bench.plate.side_meters.powi(2);
    bench.microphone.volts_per_pascal * AIR_DENSITY * area / (2.0 * PI * bench.microphone.distance_meters)
}

/// A standard normal number, cut at [`WORST`].
fn normal(stream: &mut Stream) -> f64 {
    f64::from(stream.normal().clamp(-WORST, WORST))
}
