//! The camera of the spectrometer: 448 pixels, each the mean of rows of 8-bit codes, averaged in 50 outputs.
//!
//! Light at each pixel, in fractions of full scale, → outputs, in the same unit. A pixel's rows read
//! round(F·(dark + light) + σξ) counts each, clipped to 0..=F, where F is the count at full scale; an output is the
//! mean over all rows of its 8 or 9 pixels.
//!
//! The noise of a row is about half a count and acts as dither. Where it is at least [`DITHER`] counts, a row's
//! rounding error is independent of the light: its mean differs from 0 by at most exp(−2π²σ²)/π = 0.0023 counts, its
//! variance from 1/12 as little (Widrow and Kollár, "Quantization Noise", 2008). The sum of the 256 or 288 rows of an
//! output is then normal with the measured variance, rounded to whole counts, and one random number does for all of
//! them. With less noise every row is drawn and rounded.

use super::band::Band;
use super::config::{OUTPUTS, Optical, OpticalImperfections};
use super::path::bin_pixels;
use crate::random::normal_pair;
use crate::{Key, LANES, Lanes, Real};

/// Noise of a row, in counts, from which on rounding is independent of the light.
const DITHER: f64 = 0.5;

/// What turns light into readings.
#[derive(Debug, Clone)]
pub(super) struct Readout {
    /// Pixels' view of the samples.
    pixels: Band<f32>,
    /// Dark level of a pixel.
    dark: f32,
    /// Counts at full scale; 0 for an ideal converter.
    full_scale: f32,
    /// Rows of a pixel.
    rows: u32,
    /// Standard deviation of a pixel's reading, rounding included.
    noise: f32,
    /// Noise of a row before rounding, in counts, where every row is drawn.
    row_noise: Option<f32>,
}

impl Readout {
    pub fn new(optical: &Optical, pixels: Band<f32>) -> Self {
        let OpticalImperfections { pixel_noise, full_scale_counts, rows, .. } = optical.imperfections;
        let row_variance = (full_scale_counts * pixel_noise).powi(2) * f64::from(rows) - 1.0 / 12.0;
        let row_noise = row_variance.max(0.0).sqrt();
        Self {
            pixels,
            dark: optical.dark_level as f32,
            full_scale: full_scale_counts as f32,
            rows,
            noise: pixel_noise as f32,
            row_noise: (0.0 < full_scale_counts && row_noise < DITHER).then_some(row_noise as f32),
        }
    }

    /// The readings of the samples' light, with the noise of each lane's own key.
    #[inline(always)]
    pub fn read(&self, light: &[Lanes<f32>], keys: &[Key; LANES], to: &mut [Lanes<f32>]) {
        if let Some(noise) = self.row_noise {
            return self.read_rows(noise, light, keys, to);
        }
        for pair in 0..OUTPUTS / 2 {
            let noise = if 0.0 < self.noise { normal_pair(keys, pair as u32) } else { [[0.0; LANES]; 2] };
            for (bin, noise) in [(2 * pair, &noise[0]), (2 * pair + 1, &noise[1])] {
                to[bin] = self.bin(bin, light, noise);
            }
        }
    }

    /// One output with all its rows at once.
    #[inline(always)]
    fn bin(&self, bin: usize, light: &[Lanes<f32>], normal: &Lanes<f32>) -> Lanes<f32> {
        let range = bin_pixels(bin);
        let (count, dark, noise) = (range.len() as f32, self.dark, self.noise);
        let top = if 0.0 < self.full_scale { 1.0 } else { f32::INFINITY };
        let (mut sum, mut open) = ([0.0; LANES], [0.0; LANES]);
        for pixel in range {
            let light = self.pixels.row(pixel, light);
            for lane in 0..LANES {
                let value = light[lane] + dark;
                sum[lane] += Real::min(value, top);
                // A saturated pixel does not fluctuate.
                open[lane] += if value < top { 1.0 } else { 0.0 };
            }
        }
        for lane in 0..LANES {
            sum[lane] = (open[lane].sqrt() * noise).mul_add(normal[lane], sum[lane]);
        }
        if 0.0 < self.full_scale {
            let counts = self.full_scale * self.rows as f32;
            for sum in &mut sum {
                let codes = (*sum * counts).round_ties_even();
                *sum = Real::max(Real::min(codes, counts * count), 0.0) / (counts * count);
            }
        } else {
            for sum in &mut sum {
                *sum /= count;
            }
        }
        sum
    }

    /// Every row drawn and rounded by itself: exact for any noise, and far slower.
    #[inline(always)]
    fn read_rows(&self, noise: f32, light: &[Lanes<f32>], keys: &[Key; LANES], to: &mut [Lanes<f32>]) {
        // Without noise all rows read the same.
        let rows = if 0.0 < noise { self.rows } else { 1 };
        let (dark, full_scale) = (self.dark, self.full_scale);
        for (bin, to) in to.iter_mut().enumerate() {
            let range = bin_pixels(bin);
            let factor = (range.len() as f32 * rows as f32 * full_scale).recip();
            let mut sum = [0.0; LANES];
            for pixel in range {
                let light = self.pixels.row(pixel, light);
                for row in 0..rows {
                    let counter = OUTPUTS as u32 + pixel as u32 * self.rows + row;
                    let normal = if 0.0 < noise { normal_pair(keys, counter)[0] } else { [0.0; LANES] };
                    for lane in 0..LANES {
                        let counts = noise.mul_add(normal[lane], full_scale * (light[lane] + dark));
                        sum[lane] += Real::max(Real::min(counts.round_ties_even(), full_scale), 0.0);
                    }
                }
            }
            *to = sum.map(|sum| sum * factor);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::optical::config::{PIXELS, SAMPLES};
    use crate::optical::path::Path;

    fn readout(change: impl Fn(&mut OpticalImperfections)) -> Readout {
        let mut optical = Optical::default();
        change(&mut optical.imperfections);
        Readout::new(&optical, Band::new(&Path::nominal(&optical).pixels, SAMPLES))
    }

    /// Readings of many shots of the same light in all samples: `[shots][outputs]`.
    fn readings(readout: &Readout, light: f32, blocks: u64) -> Vec<Vec<f32>> {
        let light = vec![[light; LANES]; SAMPLES];
        let mut to = vec![[0.0; LANES]; OUTPUTS];
        let mut shots = Vec::new();
        for block in 0..blocks {
            let keys = std::array::from_fn(|lane| Key::new(3).number(block * LANES as u64 + lane as u64));
            readout.read(&light, &keys, &mut to);
            shots.extend((0..LANES).map(|lane| to.iter().map(|lanes| lanes[lane]).collect()));
        }
        shots
    }

    fn moments(shots: &[Vec<f32>]) -> (f64, f64) {
        let values: Vec<f64> = shots.iter().flat_map(|shot| shot[1..49].iter().map(|&x| f64::from(x))).collect();
        let mean = values.iter().sum::<f64>() / values.len() as f64;
        let variance = values.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / values.len() as f64;
        (mean, variance.sqrt())
    }

    #[test]
    fn readings_scatter_as_configured_and_lie_on_the_grid() {
        let readout = readout(|_| {});
        assert_eq!(readout.row_noise, None);
        let shots = readings(&readout, 0.3, 200);
        let (mean, deviation) = moments(&shots);
        let expected = 0.0044 / (PIXELS as f64 / OUTPUTS as f64).sqrt();
        assert!((mean - 0.34).abs() < 2e-5, "{mean}");
        assert!((deviation / expected - 1.0).abs() < 0.01, "{deviation} against {expected}");
        for (bin, value) in shots[0].iter().enumerate() {
            let codes = f64::from(*value) * 25.0 * 32.0 * bin_pixels(bin).len() as f64;
            assert!((codes - codes.round()).abs() < 1e-3, "{codes}");
        }
    }

    #[test]
    fn one_random_number_does_for_all_rows() {
        // The same camera with every row drawn: same mean and scatter at every place between two counts.
        let fast = readout(|_| {});
        let variance = 32.0 * (25.0_f32 * 0.0044).powi(2) - 1.0 / 12.0;
        let exact = Readout { row_noise: Some(variance.sqrt()), ..fast.clone() };
        for step in 0..5 {
            let light = 0.2 + 0.01 * step as f32;
            let ((mean, deviation), (exact_mean, exact_deviation)) =
                (moments(&readings(&fast, light, 20)), moments(&readings(&exact, light, 20)));
            // Three standard errors of 15,000 readings, and the bound on the mean rounding error.
            assert!((mean - exact_mean).abs() < 3.0 * 1.7e-5 + 0.0023 / 25.0, "{mean} against {exact_mean}");
            assert!((deviation / exact_deviation - 1.0).abs() < 0.03, "{deviation} against {exact_deviation}");
        }
    }

    #[test]
    fn without_dither_a_pixel_reads_whole_counts() {
        let readout = readout(|imperfections| imperfections.pixel_noise = 0.0);
        let shots = readings(&readout, 0.31, 1);
        // 0.35 of 25 counts is 8.75, which reads 9.
        assert!((shots[0][20] - 9.0 / 25.0).abs() < 1e-6);
    }

    #[test]
    fn bright_light_saturates() {
        for readout in [readout(|_| {}), readout(|imperfections| imperfections.pixel_noise = 0.0)] {
            assert!(readings(&readout, 3.0, 1).iter().all(|shot| shot[1..49].iter().all(|value| *value == 1.0)));
        }
        let ideal = readout(|imperfections| imperfections.full_scale_counts = 0.0);
        assert!(readings(&ideal, 3.0, 1).iter().all(|shot| 2.9 < shot[20]));
    }
}
