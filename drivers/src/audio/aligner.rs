//! Finds the chirp in what was heard, by generalized cross-correlation.
//!
//! ```text
//! r = F⁻¹[ H · X̄ / (|X|² + ε max|X|²) ]      x: what is expected of a chirp, h: what was heard
//! ```
//!
//! This is the Roth processor (C. Knapp and G. Carter, "The generalized correlation method for estimation of time delay", IEEE
//! Trans. ASSP 24, 320, 1976) with a floor `ε`: a plate rings, and its plain correlation has sidelobes nearly as high as the peak at
//! each period of its strongest mode; dividing by the spectrum takes the ringing out. The peak is 1 where all is as expected.

use std::sync::Arc;

use rustfft::num_complex::Complex;
use rustfft::{Fft, FftPlanner};

/// The floor of the division, as a part of the largest power: 30 dB down the chirp is no longer trusted.
const FLOOR: f32 = 1e-3;
/// What lies within so many frames of the peak belongs to it: a cycle of the lowest resonances.
const GUARD: usize = 48;

/// Where a chirp was heard.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Aligned {
    /// Frames from the first one that was heard, between two frames where it lies between.
    pub lag: f64,
    /// How many times higher the correlation is there than anywhere else; infinite where there is nothing else.
    pub peak_to_sidelobe: f32,
    /// How loud it is, as a part of what was expected; negative where it comes back upside down.
    pub level: f32,
}

/// Looks for one expected sound.
pub struct Aligner {
    expected: Vec<f32>,
    planner: FftPlanner<f32>,
}

impl Aligner {
    /// Looks for `expected`.
    pub fn new(expected: &[f32]) -> Self {
        Self { expected: expected.to_vec(), planner: FftPlanner::new() }
    }

    /// How long it is, in frames.
    pub fn frames(&self) -> usize {
        self.expected.len()
    }

    /// Where it lies in `heard`, if it can lie there wholly and anything was heard at all.
    pub fn align(&mut self, heard: &[f32]) -> Option<Aligned> {
        let lags = (heard.len() + 1).checked_sub(self.expected.len()).filter(|lags| 0 < *lags)?;
        let correlation = self.correlate(heard);
        let peak = (0..lags).max_by(|a, b| correlation[*a].abs().total_cmp(&correlation[*b].abs()))?;
        let level = correlation[peak];
        if level == 0.0 || !level.is_finite() {
            return None;
        }
        // A chirp that is only partly heard lies at other lags than these: it counts as a sidelobe.
        let count = correlation.len();
        let apart = |lag: usize| lag.abs_diff(peak).min(count - lag.abs_diff(peak));
        let others = (0..count).filter(|lag| GUARD < apart(*lag)).map(|lag| correlation[lag].abs());
        let sidelobe = others.fold(0.0, f32::max);
        let beside = |lag: usize| f64::from(correlation[lag] * level.signum());
        let (before, after) = (beside((peak + count - 1) % count), beside((peak + 1) % count));
        let lag = peak as f64 + vertex(before, f64::from(level.abs()), after);
        Some(Aligned { lag, peak_to_sidelobe: level.abs() / sidelobe, level })
    }

    /// The correlation at each lag; negative lags at the end.
    fn correlate(&mut self, heard: &[f32]) -> Vec<f32> {
        let count = (heard.len() + self.expected.len()).next_power_of_two();
        let forward = self.planner.plan_fft_forward(count);
        let spectrum = |sound: &[f32], forward: &Arc<dyn Fft<f32>>| {
            let mut buffer: Vec<Complex<f32>> = sound.iter().map(|&value| Complex::new(value, 0.0)).collect();
            buffer.resize(count, Complex::default());
            forward.process(&mut buffer);
            buffer
        };
        let expected = spectrum(&self.expected, &forward);
        let mut buffer = spectrum(heard, &forward);
        let floor = FLOOR * expected.iter().map(Complex::norm_sqr).fold(0.0, f32::max);
        // The peak of a perfect match is the sum of these weights.
        let weight = |value: &Complex<f32>| value.norm_sqr() / (value.norm_sqr() + floor);
        let whole: f32 = expected.iter().map(weight).sum();
        for (heard, expected) in buffer.iter_mut().zip(&expected) {
            *heard *= expected.conj() / ((expected.norm_sqr() + floor) * whole);
        }
        self.planner.plan_fft_inverse(count).process(&mut buffer);
        buffer.into_iter().map(|value| value.re).collect()
    }
}

/// Where a parabola through three neighbors is highest, from the middle one.
fn vertex(before: f64, peak: f64, after: f64) -> f64 {
    let bend = before - 2.0 * peak + after;
    if bend < 0.0 { (0.5 * (before - after) / bend).clamp(-0.5, 0.5) } else { 0.0 }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// A sweep through three quarters of the band.
    fn sweep(count: usize) -> Vec<f32> {
        (0..count)
            .map(|index| {
                let time = index as f32;
                0.5 * (time * (0.05 + 1.0 * time / count as f32)).sin()
            })
            .collect()
    }

    /// White noise from a linear congruential generator.
    fn noise(count: usize, amplitude: f32) -> Vec<f32> {
        let mut word = 1_u32;
        let mut next = || {
            word = word.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            amplitude * ((word >> 8) as f32 / 8_388_608.0 - 1.0)
        };
        (0..count).map(|_| next()).collect()
    }

    /// `sound` from frame `lag` on, among silence.
    fn at(lag: usize, count: usize, sound: &[f32]) -> Vec<f32> {
        let mut heard = vec![0.0; count];
        heard[lag..lag + sound.len()].copy_from_slice(sound);
        heard
    }

    #[test]
    fn a_chirp_is_found_in_noise_at_its_level() {
        let chirp = sweep(512);
        let mut heard: Vec<f32> = at(1234, 4000, &chirp).iter().map(|value| -0.25 * value).collect();
        for (heard, noise) in heard.iter_mut().zip(noise(4000, 0.02)) {
            *heard += noise;
        }
        let found = Aligner::new(&chirp).align(&heard).unwrap();
        assert!((found.lag - 1234.0).abs() < 0.1, "{found:?}");
        assert!((found.level + 0.25).abs() < 0.02 && 4.0 < found.peak_to_sidelobe, "{found:?}");
    }

    #[test]
    fn what_lies_between_two_frames_is_found_there() {
        let chirp = sweep(512);
        let halfway: Vec<f32> = std::iter::once(0.0)
            .chain(chirp.windows(2).map(|pair| 0.5 * (pair[0] + pair[1])))
            .chain([0.5 * chirp[511]])
            .collect();
        let found = Aligner::new(&chirp).align(&at(700, 2000, &halfway)).unwrap();
        assert!((found.lag - 700.5).abs() < 0.1, "{found:?}");
    }

    #[test]
    fn ringing_does_not_hide_the_peak() {
        // A weakly damped resonance: the plain correlation of its answer with itself rings for hundreds of frames.
        let (mut ringing, mut before, mut last) = (vec![], 0.0_f32, 0.0_f32);
        for drive in sweep(512) {
            let next = drive + 1.95 * last - 0.99 * before;
            (before, last) = (last, next);
            ringing.push(next);
        }
        let found = Aligner::new(&ringing).align(&at(900, 4000, &ringing)).unwrap();
        assert!((found.lag - 900.0).abs() < 0.01 && (found.level - 1.0).abs() < 0.01, "{found:?}");
        assert!(3.0 < found.peak_to_sidelobe, "{found:?}");
    }

    #[test]
    fn noise_silence_and_half_a_chirp_are_no_chirp() {
        let chirp = sweep(512);
        let mut aligner = Aligner::new(&chirp);
        assert!(aligner.align(&noise(4000, 0.5)).unwrap().peak_to_sidelobe < 2.0);
        assert_eq!(aligner.align(&[0.0; 4000]), None);
        assert_eq!(aligner.align(&chirp[..511]), None, "too short to hold it");
        let half = at(1000, 1256, &chirp[..256]);
        assert!(aligner.align(&half).unwrap().peak_to_sidelobe < 2.0, "its beginning is not taken for the whole");
        assert_eq!(aligner.align(&[f32::NAN; 1000]), None);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(32))]
        #[test]
        fn every_lag_is_found(lag in 0_usize..3000, level in 0.01_f32..10.0) {
            let chirp = sweep(256);
            let heard: Vec<f32> = at(lag, 3256, &chirp).iter().map(|value| level * value).collect();
            let found = Aligner::new(&chirp).align(&heard).unwrap();
            prop_assert!((found.lag - lag as f64).abs() < 0.01);
            prop_assert!((found.level / level - 1.0).abs() < 0.01);
        }
    }
}
