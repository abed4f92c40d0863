//! The undepleted limit as a kernel, and its adjoint: what twin and ideal compute.
//!
//! With `c_n` = `F_n·T_n^p`, S = c ∗ c, and B the bins' weights: `y_b` = dark + `Σ_k` `B_bk·|S_k|²`. Backward, with cotangents g:
//! `G_k` = 2·(Bᵀg)_`k·S_k`, `γ_n` = `2·Σ_k` conj(c_(`k−n))·G_k`, ∂`T_n` = `p·T_n^(p−1)·Re(conj(γ_n)·F_n)`.
//! Both sums go through a transform of 200 points: forward takes 2 of them, backward 4, about 12,000 and
//! 25,000 operations per shot; term by term they would take 20,000 and 60,000 multiply–adds.

#![allow(clippy::needless_range_loop)] // Lanes of several arrays are walked together.

use drivers::{Batch, Card};
use pulp::{Arch, Simd, WithSimd};

use super::band::{Band, transposed};
use super::config::{CHANNELS, INPUTS, OUTPUTS, SAMPLES};
use super::path::Path;
use super::transform::{Between, Complex, Field, POINTS, Transform};
use crate::blocks::{self, Driven, Gradients};
use crate::dual::{self, Dual};
use crate::{LANES, Lanes, Pullback, Real, Sensitivity, Twin};

/// A transmission this small is dark; it keeps the logarithm finite.
const DARK: f64 = 1e-30;

/// Fields of the channels as the shaper sets them.
#[derive(Debug, Clone)]
pub(super) struct Shaper<S> {
    /// Field of each fully open channel, times 1/√200 so that the transforms back and forth need no factor.
    field: [Complex<S>; CHANNELS],
    /// The power of the transmission; `None` for exactly 1.
    exponent: Option<S>,
}

impl<S: Real> Shaper<S> {
    pub fn new(path: &Path<S::Wide>) -> Self {
        let scale = S::Wide::of((POINTS as f64).recip().sqrt());
        let field = path.field.map(|Complex { re, im }| Complex::nearest(Complex { re: scale * re, im: scale * im }));
        let exponent = (path.exponent != S::Wide::of(1.0)).then(|| S::nearest(path.exponent));
        Self { field, exponent }
    }

    /// T^p.
    #[inline(always)]
    fn amplitude(&self, transmission: &Lanes<S>) -> Lanes<S> {
        let mut amplitude = *transmission;
        if let Some(exponent) = self.exponent {
            for amplitude in &mut amplitude {
                *amplitude = (exponent * amplitude.max(S::of(DARK)).ln()).exp();
            }
        }
        amplitude
    }

    /// p·T^(p−1).
    #[inline(always)]
    fn slope(&self, transmission: &Lanes<S>) -> Lanes<S> {
        let mut slope = [S::of(1.0); LANES];
        if let Some(exponent) = self.exponent {
            for lane in 0..LANES {
                slope[lane] = exponent * ((exponent - S::of(1.0)) * transmission[lane].max(S::of(DARK)).ln()).exp();
            }
        }
        slope
    }

    /// Fields of the controls' channels, the same in every shot.
    pub fn mask(&self, controls: &[S]) -> Vec<Complex<S>> {
        let open = |(index, &control): (usize, &S)| {
            let (field, amplitude) = (self.field[2 * index + 1], self.amplitude(&[control; LANES])[0]);
            Complex { re: field.re * amplitude, im: field.im * amplitude }
        };
        controls.iter().enumerate().map(open).collect()
    }

    /// Sets the channels: even ones carry the inputs, odd ones the mask.
    #[inline(always)]
    pub fn shape(&self, inputs: &[Lanes<S>], mask: &[Complex<S>], to: &mut Field<S>) {
        for index in 0..INPUTS {
            let (field, amplitude) = (self.field[2 * index], self.amplitude(&inputs[index]));
            for lane in 0..LANES {
                to.re[2 * index][lane] = amplitude[lane] * field.re;
                to.im[2 * index][lane] = amplitude[lane] * field.im;
            }
            to.re[2 * index + 1] = [mask[index].re; LANES];
            to.im[2 * index + 1] = [mask[index].im; LANES];
        }
    }

    /// Gradient for the transmission of a channel from that for its field.
    #[inline(always)]
    fn pull_back(&self, channel: usize, transmission: &Lanes<S>, gamma: &Field<S>) -> Lanes<S> {
        let field = self.field[channel];
        let mut gradient = self.slope(transmission);
        for lane in 0..LANES {
            let along = gamma.re[channel][lane].mul_add(field.re, gamma.im[channel][lane] * field.im);
            gradient[lane] = (along + along) * gradient[lane];
        }
        gradient
    }
}

/// The undepleted limit in one precision.
#[derive(Debug, Clone)]
struct Kernel<S> {
    shaper: Shaper<S>,
    transform: Transform<S>,
    /// Light of the samples to outputs.
    bins: Band<S>,
    /// Cotangents of the outputs to samples, doubled.
    samples: Band<S>,
    dark: S,
}

/// What a thread keeps between blocks.
struct Scratch<S> {
    /// Field of the channels, of the second harmonic, and their cotangents.
    field: Box<Field<S>>,
    light: Vec<Lanes<S>>,
}

impl<S: Real> Scratch<S> {
    fn new() -> Self {
        Self { field: Field::boxed(), light: vec![[S::default(); LANES]; SAMPLES] }
    }
}

impl<S: Real> Kernel<S> {
    fn new(path: &Path<S::Wide>, dark: S::Wide) -> Self {
        let bins = path.bins();
        let doubled: Vec<S::Wide> = transposed(&bins, SAMPLES).iter().map(|weight| *weight + *weight).collect();
        Self {
            shaper: Shaper::new(path),
            transform: Transform::new(),
            bins: Band::new(&bins, SAMPLES),
            samples: Band::new(&doubled, OUTPUTS),
            dark: S::nearest(dark),
        }
    }
}

/// One block forward.
struct Predict<'a, S> {
    kernel: &'a Kernel<S>,
    mask: &'a [Complex<S>],
    inputs: &'a [Lanes<S>],
    outputs: &'a mut [Lanes<S>],
    scratch: &'a mut Scratch<S>,
}

impl<S: Real> WithSimd for Predict<'_, S> {
    type Output = ();

    #[inline(always)]
    fn with_simd<V: Simd>(self, _: V) {
        let Self { kernel, mask, inputs, outputs, scratch: Scratch { field, light } } = self;
        kernel.shaper.shape(inputs, mask, field);
        convolve(&kernel.transform, field);
        intensity(field, light);
        let dark = kernel.dark;
        for (bin, to) in outputs.iter_mut().enumerate() {
            *to = kernel.bins.row(bin, light);
            for to in to {
                *to += dark;
            }
        }
    }
}

/// One block backward; the gradients for the controls come shot by shot.
struct PullBack<'a, S> {
    kernel: &'a Kernel<S>,
    controls: &'a [S],
    mask: &'a [Complex<S>],
    driven: &'a Driven<'a, S>,
    gradients: Gradients<'a, S>,
    scratch: &'a mut Scratch<S>,
}

impl<S: Real> WithSimd for PullBack<'_, S> {
    type Output = ();

    #[inline(always)]
    fn with_simd<V: Simd>(self, _: V) {
        let Self { kernel, controls, mask, driven, gradients, scratch: Scratch { field, .. } } = self;
        let Kernel { shaper, transform, samples, .. } = kernel;
        shaper.shape(driven.inputs, mask, field);
        transform.filter::<true, false>(field, Between::KeepAndSquare);
        for sample in 0..SAMPLES {
            let weight = samples.row(sample, driven.cotangents);
            for lane in 0..LANES {
                field.re[sample][lane] = field.re[sample][lane] * weight[lane];
                field.im[sample][lane] = field.im[sample][lane] * weight[lane];
            }
        }
        // The last point lies beyond the samples.
        field.re[SAMPLES] = [S::default(); LANES];
        field.im[SAMPLES] = [S::default(); LANES];
        transform.filter::<false, true>(field, Between::Correlate);
        for index in 0..INPUTS {
            gradients.inputs[index] = shaper.pull_back(2 * index, &driven.inputs[index], field);
            gradients.controls[index] = shaper.pull_back(2 * index + 1, &[controls[index]; LANES], field);
        }
    }
}

/// Autoconvolution of the first [`CHANNELS`] points, in place.
#[inline(always)]
pub(super) fn convolve<S: Real>(transform: &Transform<S>, field: &mut Field<S>) {
    transform.filter::<true, false>(field, Between::Square);
}

/// |`S_k|²`.
#[inline(always)]
pub(super) fn intensity<S: Real>(field: &Field<S>, to: &mut [Lanes<S>]) {
    let (re, im) = (field.re.as_flattened(), field.im.as_flattened());
    for ((to, &re), &im) in to.as_flattened_mut().iter_mut().zip(re).zip(im) {
        *to = re.mul_add(re, im * im);
    }
}

/// A path in the undepleted limit as a [`Twin`].
#[derive(Debug, Clone)]
pub(super) struct Undepleted {
    card: Card,
    kernel: Kernel<f32>,
}

impl Undepleted {
    pub fn new(card: Card, path: &Path, dark: f64) -> Self {
        Self { card, kernel: Kernel::new(path, dark) }
    }
}

impl Twin for Undepleted {
    fn card(&self) -> &Card {
        &self.card
    }

    fn predict(&self, inputs: &Batch, controls: &[f32]) -> Batch {
        let mask = self.kernel.shaper.mask(controls);
        blocks::map(inputs, OUTPUTS, Scratch::new, |_, from, to, scratch| {
            Arch::new().dispatch(Predict { kernel: &self.kernel, mask: &mask, inputs: from, outputs: to, scratch });
        })
    }

    fn pull_back(&self, inputs: &Batch, controls: &[f32], cotangents: &Batch) -> Pullback {
        let mask = self.kernel.shaper.mask(controls);
        blocks::pull_back(inputs, cotangents, controls.len(), Scratch::new, |driven, to, scratch| {
            Arch::new().dispatch(PullBack {
                kernel: &self.kernel,
                controls,
                mask: &mask,
                driven,
                gradients: to,
                scratch,
            });
        })
    }
}

/// How the readings go with the coefficient that `path` and `dark` depend on.
pub(super) fn sensitivity(path: &Path<Dual<f64>>, dark: Dual<f64>) -> Sensitivity {
    let kernel = Kernel::<Dual<f32>>::new(path, dark);
    Box::new(move |inputs, controls| {
        let mask = kernel.shaper.mask(&dual::constants(controls));
        let lanes = |count: usize| vec![[Dual::default(); LANES]; count];
        let scratch = || (Scratch::new(), lanes(INPUTS), lanes(OUTPUTS));
        blocks::map(inputs, OUTPUTS, scratch, |_, from, to, (scratch, inputs, outputs)| {
            dual::load(from, inputs);
            Arch::new().dispatch(Predict { kernel: &kernel, mask: &mask, inputs, outputs, scratch });
            dual::slopes(outputs, to);
        })
    })
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::optical::{Optical, transform::POINTS};
    use crate::{Key, gradient_check::error_along};

    const DARK: f64 = 0.04;

    fn random(count: usize, seed: u64) -> Vec<f64> {
        let mut stream = Key::new(seed).stream();
        (0..count).map(|_| f64::from(stream.uniform())).collect()
    }

    fn paths() -> [Path; 2] {
        [Path::nominal(&Optical::default()), Path::of_bench(&Optical::default())]
    }

    fn predict<S: Real>(kernel: &Kernel<S>, inputs: &[f64], controls: &[f64]) -> Vec<f64> {
        let controls: Vec<S> = controls.iter().map(|&x| S::of(x)).collect();
        let inputs: Vec<Lanes<S>> = inputs.iter().map(|&x| [S::of(x); LANES]).collect();
        let mut outputs = vec![[S::default(); LANES]; OUTPUTS];
        let (mask, mut scratch) = (kernel.shaper.mask(&controls), Scratch::new());
        let predict = Predict { kernel, mask: &mask, inputs: &inputs, outputs: &mut outputs, scratch: &mut scratch };
        Arch::new().dispatch(predict);
        outputs.iter().map(|lanes| lanes[5].to_f64()).collect()
    }

    /// Readings of `shots` in double precision.
    pub(in crate::optical) fn readings(path: &Path, dark: f64, shots: &Batch, mask: &[f32]) -> Vec<f64> {
        let wide = |values: &[f32]| values.iter().map(|value| f64::from(*value)).collect::<Vec<_>>();
        let kernel = Kernel::<f64>::new(path, dark);
        shots.iter().flat_map(|shot| predict(&kernel, &wide(shot), &wide(mask))).collect()
    }

    /// Gradients for the inputs and for the controls.
    fn pull_back<S: Real>(kernel: &Kernel<S>, at: [&[f64]; 2], cotangents: &[f64]) -> [Vec<f64>; 2] {
        let lanes = |values: &[f64]| values.iter().map(|&x| [S::of(x); LANES]).collect::<Vec<_>>();
        let (inputs, cotangents) = (lanes(at[0]), lanes(cotangents));
        let controls: Vec<S> = at[1].iter().map(|&x| S::of(x)).collect();
        let (mut to_inputs, mut to_controls) = (lanes(at[0]), lanes(at[1]));
        let (mask, mut scratch) = (kernel.shaper.mask(&controls), Scratch::new());
        Arch::new().dispatch(PullBack {
            kernel,
            controls: &controls,
            mask: &mask,
            driven: &Driven { inputs: &inputs, cotangents: &cotangents },
            gradients: Gradients { inputs: &mut to_inputs, controls: &mut to_controls },
            scratch: &mut scratch,
        });
        [to_inputs, to_controls].map(|lanes| lanes.iter().map(|lanes| lanes[9].to_f64()).collect())
    }

    #[test]
    fn the_transforms_sum_what_is_summed_term_by_term() {
        for path in paths() {
            let kernel = Kernel::<f64>::new(&path, DARK);
            let (inputs, controls) = (random(INPUTS, 1), random(INPUTS, 2));
            let channels = std::array::from_fn(|n| if n % 2 == 0 { inputs[n / 2] } else { controls[n / 2] });
            for (fast, slow) in predict(&kernel, &inputs, &controls).iter().zip(&path.read(&[channels])[0]) {
                assert!((fast - slow - DARK).abs() < 1e-13, "{fast} against {slow}");
            }
        }
    }

    #[test]
    fn single_precision_is_enough() {
        for path in paths() {
            let (inputs, controls) = (random(INPUTS, 3), random(INPUTS, 4));
            let exact = predict(&Kernel::<f64>::new(&path, DARK), &inputs, &controls);
            let fast = predict(&Kernel::<f32>::new(&path, DARK), &inputs, &controls);
            assert!(exact.iter().zip(&fast).all(|(a, b)| (a - b).abs() < 1e-6));
        }
    }

    #[test]
    fn the_reading_goes_with_the_fourth_power_of_the_transmission() {
        let kernel = Kernel::<f64>::new(&paths()[0], 0.0);
        let (inputs, controls) = (random(INPUTS, 3), random(INPUTS, 4));
        let half = |values: &[f64]| values.iter().map(|x| 0.5 * x).collect::<Vec<_>>();
        let (full, dimmed) = (predict(&kernel, &inputs, &controls), predict(&kernel, &half(&inputs), &half(&controls)));
        assert!(full.iter().zip(&dimmed).all(|(a, b)| (a - 16.0 * b).abs() < 1e-13));
    }

    #[test]
    fn the_adjoint_is_exact() {
        for path in paths() {
            let kernel = Kernel::<f64>::new(&path, DARK);
            for seed in 10..14 {
                // Away from the dark, where the exponent's derivative is steep.
                let point: Vec<f64> = random(CHANNELS, seed).iter().map(|x| 0.05 + 0.9 * x).collect();
                let cotangents: Vec<f64> = random(OUTPUTS, seed + 100).iter().map(|x| x - 0.5).collect();
                let loss = |inputs: &[f64], controls: &[f64]| -> f64 {
                    predict(&kernel, inputs, controls).iter().zip(&cotangents).map(|(y, g)| y * g).sum()
                };
                let (inputs, controls) = point.split_at(INPUTS);
                let [to_inputs, to_controls] = pull_back(&kernel, [inputs, controls], &cotangents);
                let direction: Vec<f64> = random(INPUTS, seed + 200).iter().map(|x| x - 0.5).collect();
                let error = error_along(|inputs| loss(inputs, controls), inputs, &direction, &to_inputs);
                assert!(error < 1e-6, "inputs: {error:e}");
                let error = error_along(|controls| loss(inputs, controls), controls, &direction, &to_controls);
                assert!(error < 1e-6, "controls: {error:e}");
            }
        }
    }

    #[test]
    fn single_precision_gradients_are_those_of_double_precision() {
        for path in paths() {
            let (inputs, controls) = (random(INPUTS, 3), random(INPUTS, 4));
            let cotangents = random(OUTPUTS, 5);
            let at = [&inputs[..], &controls[..]];
            let exact = pull_back(&Kernel::<f64>::new(&path, DARK), at, &cotangents).concat();
            let fast = pull_back(&Kernel::<f32>::new(&path, DARK), at, &cotangents).concat();
            let largest = exact.iter().fold(0.0_f64, |largest, x| largest.max(x.abs()));
            assert!(exact.iter().zip(&fast).all(|(a, b)| (a - b).abs() < 3e-6 * largest));
        }
    }

    #[test]
    fn a_dark_channel_has_finite_gradients() {
        let kernel = Kernel::<f32>::new(&paths()[1], DARK);
        let dark = [0.0; INPUTS];
        let gradients = pull_back(&kernel, [&dark, &random(INPUTS, 1)], &random(OUTPUTS, 2)).concat();
        assert!(gradients.iter().all(|gradient| gradient.is_finite()));
        assert_eq!(POINTS, SAMPLES + 1);
    }
}
