//! Tones: what a sine becomes, and where a transfer function peaks.

use std::f64::consts::TAU;

use serde::Serialize;

/// Harmonics that are looked for, the fundamental included.
const HARMONICS: usize = 5;

/// What a sine became.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Tone {
    /// Amplitude of the drive, in the unit of the inputs.
    pub drive: f64,
    /// Amplitudes of the fundamental and its harmonics, in the unit of the outputs.
    pub harmonics: Vec<f64>,
    /// Fundamental over drive.
    pub gain: f64,
    /// Total harmonic distortion: RMS of the second to fifth harmonic over the fundamental (1).
    pub distortion: f64,
}

impl Tone {
    /// Of `readings` that hold `cycles` whole periods of a sine of amplitude `drive`.
    pub fn of(readings: &[f64], cycles: usize, drive: f64) -> Self {
        let count = readings.len();
        let below = (1..=HARMONICS).take_while(|order| 2 * order * cycles < count);
        let harmonics: Vec<f64> =
            below.map(|order| amplitude(readings, (order * cycles) as f64 / count as f64)).collect();
        let fundamental = harmonics.first().copied().unwrap_or(0.0);
        let rest = harmonics.iter().skip(1).map(|value| value * value).sum::<f64>().sqrt();
        let distortion = if fundamental > 0.0 { rest / fundamental } else { 0.0 };
        Self { drive, gain: fundamental / drive, distortion, harmonics }
    }
}

/// Amplitude of the sine of `frequency` (cycles a sample) in `readings`.
fn amplitude(readings: &[f64], frequency: f64) -> f64 {
    2.0 * transform(readings, frequency) / readings.len() as f64
}

/// Magnitude of the Fourier sum of `values` at `frequency`, in cycles a sample.
pub fn transform(values: &[f64], frequency: f64) -> f64 {
    let (mut real, mut imaginary) = (0.0, 0.0);
    for (index, value) in values.iter().enumerate() {
        let (sine, cosine) = (TAU * frequency * index as f64).sin_cos();
        real += value * cosine;
        imaginary -= value * sine;
    }
    f64::hypot(real, imaginary)
}

/// A peak of a transfer function.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Resonance {
    /// Where it is, in Hz.
    pub hertz: f64,
    /// Outputs over inputs there.
    pub gain: f64,
    /// Distance between the frequencies where the gain is 1/√2 of the peak (−3 dB), in Hz; `None` where it does not fall so far.
    pub width_hertz: Option<f64>,
    /// Frequency over width (1).
    pub quality: Option<f64>,
    /// Whether the record is too short to show a narrower peak: the width is below 1.3 over its length.
    pub limited_by_record: bool,
}

/// The highest peak of gains on a grid of frequencies in Hz; `None` where the highest value lies at an end.
pub fn peak(hertz: &[f64], gains: &[f64], record_seconds: f64) -> Option<Resonance> {
    let top = (0..gains.len()).max_by(|&a, &b| gains[a].total_cmp(&gains[b]))?;
    if top == 0 || top + 1 == gains.len() || !gains[top].is_finite() {
        return None;
    }
    // A parabola through the highest point and its neighbors.
    let (left, middle, right) = (gains[top - 1], gains[top], gains[top + 1]);
    let bend = left - 2.0 * middle + right;
    let shift = if bend < 0.0 { 0.5 * (left - right) / bend } else { 0.0 };
    let center = hertz[top] + shift * (hertz[top + 1] - hertz[top]);
    let gain = middle - 0.25 * (left - right) * shift;
    let level = gain / 2.0_f64.sqrt();
    let crossing = |inner: usize, outer: usize| {
        let share = (gains[inner] - level) / (gains[inner] - gains[outer]);
        hertz[inner] + share * (hertz[outer] - hertz[inner])
    };
    let above = (top + 1..gains.len()).find(|&index| gains[index] < level).map(|index| crossing(index - 1, index));
    let below = (0..top).rev().find(|&index| gains[index] < level).map(|index| crossing(index + 1, index));
    let width = above.zip(below).map(|(above, below)| above - below);
    Some(Resonance {
        hertz: center,
        gain,
        width_hertz: width,
        quality: width.map(|width| center / width),
        limited_by_record: width.is_some_and(|width| width < 1.3 / record_seconds),
    })
}

/// How far up a transfer function reaches.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Passband {
    /// The largest gain.
    pub gain: f64,
    /// Where, above it, the gain first falls to 1/√2 of it (−3 dB), in Hz; `None` where it does not.
    pub upper_hertz: Option<f64>,
}

/// The reach of gains on a grid of frequencies in Hz.
pub fn passband(hertz: &[f64], gains: &[f64]) -> Passband {
    let top = (0..gains.len()).max_by(|&a, &b| gains[a].total_cmp(&gains[b])).unwrap_or(0);
    let gain = gains.get(top).copied().unwrap_or(0.0);
    let below = (top..gains.len()).find(|&index| gains[index] < gain / 2.0_f64.sqrt());
    Passband { gain, upper_hertz: below.map(|index| hertz[index]) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bent_sine_has_the_harmonics_that_bent_it() {
        let sine = |index: usize| (TAU * 4.0 * index as f64 / 128.0).sin();
        let readings: Vec<f64> = (0..128).map(|index| sine(index) + 0.1 * sine(index).powi(2)).collect();
        let tone = Tone::of(&readings, 4, 0.5);
        assert!((tone.gain - 2.0).abs() < 1e-9);
        // sin² = (1 − cos 2x)/2: a second harmonic of half the factor.
        assert!((tone.harmonics[1] - 0.05).abs() < 1e-9);
        assert!((tone.distortion - 0.05).abs() < 1e-9);
    }

    #[test]
    fn a_peak_between_two_points_is_found() {
        let hertz: Vec<f64> = (0..400).map(f64::from).collect();
        let gains: Vec<f64> = hertz.iter().map(|f| 3.0 / (1.0 + ((f - 120.3) / 10.0).powi(2)).sqrt()).collect();
        let peak = peak(&hertz, &gains, 1.0).unwrap();
        assert!((peak.hertz - 120.3).abs() < 0.05 && (peak.gain - 3.0).abs() < 1e-3, "{peak:?}");
        assert!((peak.width_hertz.unwrap() - 20.0).abs() < 0.1, "{peak:?}");
        assert!(!peak.limited_by_record);
    }

    #[test]
    fn a_slope_has_no_peak() {
        assert_eq!(peak(&[1.0, 2.0, 3.0], &[1.0, 2.0, 3.0], 1.0), None);
        assert_eq!(passband(&[1.0, 2.0, 3.0], &[2.0, 1.9, 1.0]), Passband { gain: 2.0, upper_hertz: Some(3.0) });
    }
}
