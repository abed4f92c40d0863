//! The light's path in double precision, from shaper to spectrometer: nominal, or as one bench really is.
//!
//! Along the band u ∈ [−1, 1] channel n has the field `F_n` = `E_n·exp(iφ_n)` when fully open, with a Gaussian envelope E
//! and φ(u) = q·u² + c·u³. Second-harmonic sample k = n + m, for k in 0..199, is filtered by
//! `P_k` = sinc²((Δk₀ + `GVM·Ω_k)·L/2`), and its light falls on 448 pixels, which are summed in 50 bins.
//! Sources: Boyd, "Nonlinear Optics", section 2.7 (undepleted limit and phase matching); sizes of the detector from the
//! surviving code of the experiment of Wright et al., Nature 601, 549 (2022).

use std::f64::consts::{LN_2, PI, TAU};

use super::config::{CHANNELS, OUTPUTS, Optical, PIXELS, SAMPLES};
use super::gap::Gap;
use super::transform::Complex;
use crate::Real;

/// Time–bandwidth product of a Gaussian pulse at its transform limit, 2·ln 2/π.
const TIME_BANDWIDTH: f64 = 2.0 * LN_2 / PI;

/// Everything between shaper and bins that does not change from shot to shot.
#[derive(Debug, Clone)]
pub(super) struct Path<R = f64> {
    /// Field of each channel when fully open, in units of the laser's peak.
    pub field: [Complex<R>; CHANNELS],
    /// The field of a channel goes with transmission to this power.
    pub exponent: R,
    /// Phase mismatch Δk₀·L at the center, in rad.
    pub matching: R,
    /// sinc² of the phase mismatch of each sample.
    pub matched: [R; SAMPLES],
    /// Light at a sample, in full scales, for a unit intensity of the autoconvolution when phase-matched.
    pub gain: R,
    /// What a pixel sees of the samples' light, `[PIXELS][SAMPLES]`.
    pub pixels: Vec<R>,
}

impl Path {
    /// The path that the description says.
    pub fn nominal(optical: &Optical) -> Self {
        Self::with(optical, &Gap::none(), exposure_factor(optical))
    }

    /// The path of the bench whose errors are drawn from the description's plant seed.
    pub fn of_bench(optical: &Optical) -> Self {
        Self::with(optical, &gap_of_bench(optical), exposure_factor(optical))
    }

    /// Readings above dark for shots of the channels' transmissions, in the undepleted limit, term by term.
    pub fn read(&self, shots: &[[f64; CHANNELS]]) -> Vec<Vec<f64>> {
        let bins = self.bins();
        let read = |transmissions: &[f64; CHANNELS]| {
            let open = |channel: usize| {
                let amplitude = transmissions[channel].powf(self.exponent);
                Complex { re: amplitude * self.field[channel].re, im: amplitude * self.field[channel].im }
            };
            let sums = autoconvolution(&std::array::from_fn(open));
            let light = sums.map(|sum| sum.re.mul_add(sum.re, sum.im * sum.im));
            let dot = |row: &[f64]| row.iter().zip(&light).map(|(weight, light)| weight * light).sum();
            bins.chunks_exact(SAMPLES).map(dot).collect()
        };
        shots.iter().map(read).collect()
    }
}

impl<R: Real> Path<R> {
    /// The path with these errors, its light scaled by `factor`.
    pub fn with(optical: &Optical, gap: &Gap<R>, factor: f64) -> Self {
        let (of, one) = (R::of, R::of(1.0));
        let [quadratic, cubic] = [optical.quadratic_radians, optical.cubic_radians];
        let field = std::array::from_fn(|channel| {
            let u = position(channel, CHANNELS);
            let chirp = of(u * u) * (of(quadratic) + gap.chirp[0]) + of(u.powi(3)) * (of(cubic) + gap.chirp[1]);
            let phase = chirp + gap.phase * of(gap.smooth.at(u));
            Complex::polar(of(envelope(optical, u)) * (one + gap.ripple * of(gap.fringes.at(u))), phase)
        });
        let matched = std::array::from_fn(|sample| {
            let half = of(0.5 * walk_off(optical, sample as f64)) + gap.matching;
            let sinc = if half.to_f64() == 0.0 { one } else { half.sin_cos().0 / half };
            sinc * sinc
        });
        Self {
            field,
            exponent: one + gap.exponent,
            matching: gap.matching + gap.matching,
            matched,
            gain: of(factor) * (one + gap.gain),
            pixels: pixels(gap.spread, gap.shift),
        }
    }

    /// Mean of each bin's pixels for a unit intensity of each sample of the autoconvolution, `[OUTPUTS][SAMPLES]`.
    pub fn bins(&self) -> Vec<R> {
        let mut bins = vec![R::of(0.0); OUTPUTS * SAMPLES];
        for (bin, row) in bins.chunks_exact_mut(SAMPLES).enumerate() {
            let range = bin_pixels(bin);
            let share = self.gain / R::of(range.len() as f64);
            for pixel in self.pixels[range.start * SAMPLES..range.end * SAMPLES].chunks_exact(SAMPLES) {
                row.iter_mut().zip(pixel).for_each(|(sum, weight)| *sum += *weight);
            }
            row.iter_mut().zip(&self.matched).for_each(|(sum, matched)| *sum = *sum * (*matched * share));
        }
        bins
    }
}

/// Where in the band [−1, 1] one of `count` evenly spaced points lies.
pub(super) fn position(index: usize, count: usize) -> f64 {
    (2.0 * index as f64) / (count - 1) as f64 - 1.0
}

/// Field of the laser at `u`, 1 in the middle: the square root of a Gaussian spectrum at the transform limit.
fn envelope(optical: &Optical, u: f64) -> f64 {
    let width = TIME_BANDWIDTH / optical.pulse_seconds;
    let hertz = u * 0.5 * (CHANNELS - 1) as f64 * optical.channel_hertz;
    (-2.0 * LN_2 * (hertz / width).powi(2)).exp()
}

/// GVM·Ω·L at a sample, in rad: how far it walks out of phase along the crystal.
pub(super) fn walk_off(optical: &Optical, sample: f64) -> f64 {
    let hertz = (sample - (CHANNELS - 1) as f64) * optical.channel_hertz;
    TAU * hertz * optical.group_delay_seconds_per_meter * optical.crystal_meters
}

/// The pixels that are averaged in an output: each pixel belongs to one, so an output has 8 or 9.
pub(super) fn bin_pixels(bin: usize) -> std::ops::Range<usize> {
    (bin * PIXELS).div_ceil(OUTPUTS)..((bin + 1) * PIXELS).div_ceil(OUTPUTS)
}

/// What each pixel sees of the samples, `[PIXELS][SAMPLES]`: the spectrum between samples is a straight line, smeared
/// by a Gaussian of standard deviation `spread` and shifted by `shift`, both in pixels.
fn pixels<R: Real>(spread: R, shift: R) -> Vec<R> {
    let of = R::of;
    let reach = (4.0 * spread.to_f64()).ceil() as i32;
    let gaussian = |offset: i32| {
        let deviations = of(f64::from(offset)) / spread;
        if spread.to_f64() > 0.0 { (of(-0.5) * deviations * deviations).exp() } else { of(1.0) }
    };
    let sum = (-reach..=reach).map(gaussian).fold(of(0.0), |sum, weight| sum + weight);
    let mut dense = vec![of(0.0); PIXELS * SAMPLES];
    for (pixel, row) in dense.chunks_exact_mut(SAMPLES).enumerate() {
        for offset in -reach..=reach {
            let middle = of(pixel as f64 + f64::from(offset) + 0.5) - shift;
            let at = middle * of(SAMPLES as f64 / PIXELS as f64) - of(0.5);
            let (floor, weight) = (at.to_f64().floor(), gaussian(offset) / sum);
            let rest = at - of(floor);
            for (sample, share) in [(floor, of(1.0) - rest), (floor + 1.0, rest)] {
                // Beyond the samples there is no light.
                if (0.0..SAMPLES as f64).contains(&sample) {
                    row[sample as usize] += weight * share;
                }
            }
        }
    }
    dense
}

/// What makes the brightest nominal output read the description's exposure when every channel is half open.
pub(super) fn exposure_factor(optical: &Optical) -> f64 {
    let path = Path::with(optical, &Gap::none(), 1.0);
    let brightest = path.read(&[[0.5; CHANNELS]])[0].iter().copied().fold(f64::MIN_POSITIVE, f64::max);
    optical.exposure / brightest
}

/// The errors of the bench that is described.
pub(super) fn gap_of_bench(optical: &Optical) -> Gap {
    let factor = exposure_factor(optical);
    Gap::of_bench(optical, |gap, shots| Path::with(optical, gap, factor).read(shots))
}

/// `S_k` = `Σ_n` `c_n·c`_(k−n), summed term by term, each pair once.
pub(super) fn autoconvolution(field: &[Complex<f64>; CHANNELS]) -> [Complex<f64>; SAMPLES] {
    let mut sums = [Complex::default(); SAMPLES];
    for (n, a) in field.iter().enumerate() {
        sums[2 * n] = sums[2 * n].add(a.square());
        let twice = a.add(*a);
        for (m, b) in field.iter().enumerate().take(n) {
            sums[n + m] = sums[n + m].add(twice.mul(*b));
        }
    }
    sums
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_pixel_belongs_to_one_bin() {
        let counts: Vec<usize> = (0..OUTPUTS).map(|bin| bin_pixels(bin).len()).collect();
        assert_eq!((0..OUTPUTS).flat_map(bin_pixels).collect::<Vec<_>>(), (0..PIXELS).collect::<Vec<_>>());
        assert!(counts.iter().all(|count| [8, 9].contains(count)));
    }

    #[test]
    fn the_spectrometer_keeps_the_light() {
        // 448 pixels over 199 samples: a sample's light reaches 448/199 pixels' worth of weight, smeared or not.
        for (spread, shift) in [(0.0, 0.0), (1.5, 0.0), (0.7, 0.4)] {
            let dense = pixels(spread, shift);
            let of_sample = |sample: usize| dense.iter().skip(sample).step_by(SAMPLES).sum::<f64>();
            let expected = PIXELS as f64 / SAMPLES as f64;
            // Straight lines sampled at 2.25 pixels per sample share it unevenly, by less than 1 part in 8.
            assert!((20..180).all(|sample| (of_sample(sample) / expected - 1.0).abs() < 0.125));
            let middle: f64 = (20..180).map(of_sample).sum();
            assert!((middle / (160.0 * expected) - 1.0).abs() < 0.01);
        }
    }

    #[test]
    fn the_pulse_is_at_its_transform_limit() {
        // 100 fs at the transform limit has 4.41 THz full width at half maximum (time–bandwidth product 0.441).
        let optical = Optical::default();
        let half = 0.5 * 0.441_27 / optical.pulse_seconds;
        let u = half / (0.5 * (CHANNELS - 1) as f64 * optical.channel_hertz);
        assert!((envelope(&optical, u).powi(2) - 0.5).abs() < 1e-4);
    }

    #[test]
    fn phase_matching_has_the_bandwidth_of_theory() {
        // sinc² falls to one half at ΔkL/2 = 1.391557 (Boyd, "Nonlinear Optics", figure 2.2.2).
        let optical = Optical { crystal_meters: 1.2e-3, mismatch: 0.0, ..Optical::default() };
        let path = Path::nominal(&optical);
        let half = path.matched.iter().position(|&matched| 0.5 < matched).unwrap();
        let hertz = 1.391_557 / (PI * optical.group_delay_seconds_per_meter * optical.crystal_meters);
        let expected = 99.0 - hertz / optical.channel_hertz;
        assert!((half as f64 - expected).abs() < 1.0, "{half} against {expected}");
    }

    #[test]
    fn the_brightest_output_reads_the_exposure() {
        let optical = Optical::default();
        let path = Path::nominal(&optical);
        let brightest = path.read(&[[0.5; CHANNELS]])[0].iter().copied().fold(0.0, f64::max);
        assert!((brightest - optical.exposure).abs() < 1e-12);
    }
}
