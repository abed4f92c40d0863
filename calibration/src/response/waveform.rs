//! Ports along time: impulse response, transfer function, and what becomes of a sine as it grows louder.
//!
//! The impulse response is half the difference of the readings after a pulse of one sample up and one down, over its height:
//! what is even in the drive cancels. Its Fourier sum is the transfer function, outputs over inputs, as the samples see it.

use std::f64::consts::TAU;

use drivers::Error;
use serde::Serialize;

use super::pair::{Pair, Plan};
use super::tone::{Passband, Resonance, Tone, passband, peak, transform};

/// Points of the transfer function.
const POINTS: usize = 1200;
/// Amplitudes of the sine, in fractions of half the range.
const AMPLITUDES: [f64; 13] = [0.02, 0.03, 0.05, 0.07, 0.1, 0.15, 0.2, 0.3, 0.4, 0.55, 0.7, 0.85, 1.0];

/// What was measured of ports along time.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Waveform {
    /// From sample to sample, in s.
    pub sample_seconds: f64,
    /// Height of the pulses, in the unit of the inputs.
    pub pulse: f64,
    /// Readings over the pulse's height, sample by sample.
    pub impulse_plant: Vec<f64>,
    /// The same of the twin.
    pub impulse_twin: Vec<f64>,
    /// Frequencies, in Hz.
    pub hertz: Vec<f64>,
    /// Magnitude of the transfer function.
    pub gain_plant: Vec<f64>,
    /// The same of the twin.
    pub gain_twin: Vec<f64>,
    /// What noise alone would give, RMS.
    pub gain_noise: f64,
    /// How far up the plant's transfer function reaches.
    pub passband: Passband,
    /// The twin's.
    pub passband_twin: Passband,
    /// The plant's highest peak, if it has one at this operating point: a conducting transistor damps its resonator away.
    pub resonance: Option<Resonance>,
    /// The twin's.
    pub resonance_twin: Option<Resonance>,
    /// A sine at the resonance, or in the middle of the passband where there is none, from soft to loud.
    pub sweep: Sweep,
}

/// A sine that grows louder; judged in the second half of the record. What a linear twin shows beside the fundamental is
/// ringing that the record is too short for, and no distortion: the plant has it too.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Sweep {
    /// Its frequency, in Hz: the nearest to the wanted one that fits whole periods into half a record.
    pub hertz: f64,
    /// On the plant.
    pub plant: Vec<Tone>,
    /// On the twin.
    pub twin: Vec<Tone>,
}

impl Sweep {
    /// The harmonics that ringing alone shows beside the fundamental (THD, 1): those of the twin's softest sine. Distortion
    /// below that cannot be told from it.
    pub fn floor(&self) -> f64 {
        self.twin.first().map_or(0.0, |tone| tone.distortion)
    }
}

/// Measures all of it.
pub fn measure(pair: &mut Pair<'_>, sample_seconds: f64, plan: &Plan) -> Result<Waveform, Error> {
    let samples = pair.middle.len();
    let pulse = |sign: f64| move |port: usize| if port == 0 { sign * plan.step } else { 0.0 };
    let (up, down) = (pair.drive(pulse(1.0)), pair.drive(pulse(-1.0)));
    let height = 0.5 * f64::from(up[0] - down[0]);
    // A pulse of one sample is weak: it is repeated more often than all else.
    let shots = 32 * plan.average;
    let ((above, spread), (below, _)) = (pair.averaged(&up, shots)?, pair.averaged(&down, shots)?);
    let half = |above: &[f64], below: &[f64]| -> Vec<f64> {
        above.iter().zip(below).map(|(above, below)| (above - below) / (2.0 * height)).collect()
    };
    let impulse_plant = half(&above, &below);
    let impulse_twin = half(&pair.predicted(&up), &pair.predicted(&down));
    let nyquist = 0.5 / sample_seconds;
    let hertz: Vec<f64> = (0..POINTS).map(|index| nyquist * (index as f64 + 0.5) / POINTS as f64).collect();
    let gains = |impulse: &[f64]| -> Vec<f64> {
        hertz.iter().map(|frequency| transform(impulse, frequency * sample_seconds)).collect()
    };
    let (gain_plant, gain_twin) = (gains(&impulse_plant), gains(&impulse_twin));
    let record = samples as f64 * sample_seconds;
    let resonance = peak(&hertz, &gain_plant, record);
    // Each sample of the impulse response errs by σ/(h·√(2·shots)); the sum of n independent ones by √n of it.
    let variance = spread.iter().map(|value| value * value).sum::<f64>() / (2.0 * shots as f64);
    let reach = passband(&hertz, &gain_plant);
    let center = 0.5 * reach.upper_hertz.unwrap_or(0.5 * nyquist);
    let sweep = sweep(pair, resonance.map_or(center, |peak| peak.hertz), sample_seconds, plan)?;
    Ok(Waveform {
        sample_seconds,
        pulse: height,
        gain_noise: variance.sqrt() / height,
        passband: reach,
        passband_twin: passband(&hertz, &gain_twin),
        resonance_twin: peak(&hertz, &gain_twin, record),
        impulse_plant,
        impulse_twin,
        hertz,
        gain_plant,
        gain_twin,
        resonance,
        sweep,
    })
}

/// A sine near `hertz` at each amplitude.
fn sweep(pair: &mut Pair<'_>, hertz: f64, sample_seconds: f64, plan: &Plan) -> Result<Sweep, Error> {
    let samples = pair.middle.len();
    let window = samples / 2;
    let cycles = ((hertz * sample_seconds * window as f64).round() as usize).clamp(1, (window / 2).max(2) - 1);
    let frequency = cycles as f64 / window.max(1) as f64;
    let mut result = Sweep { hertz: frequency / sample_seconds, plant: vec![], twin: vec![] };
    for amplitude in AMPLITUDES {
        let drive = pair.drive(|port| amplitude * (TAU * frequency * port as f64).sin());
        let height = amplitude * f64::from(pair.half[0]);
        let (readings, _) = pair.averaged(&drive, plan.average)?;
        let tone = |readings: &[f64]| Tone::of(&readings[samples - window..], cycles, height);
        result.plant.push(tone(&readings));
        result.twin.push(tone(&pair.predicted(&drive)));
    }
    Ok(result)
}
