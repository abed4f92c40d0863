//! Adam (Kingma and Ba 2015) in one pass over the values, on burn's own state.
//!
//! ```text
//! m ← β₁ m + (1 − β₁) g        v ← β₂ v + (1 − β₂) g²        w ← w − η m̂/(√v̂ + ε)        m̂ = m/(1 − β₁ᵗ), v̂ = v/(1 − β₂ᵗ)
//! ```
//!
//! burn's optimizer composes this of a dozen tensor operations, each of which walks through memory and allocates.

use burn::optim::{AdamState, AdaptiveMomentumState};
use burn::tensor::{Tensor, TensorData};

use crate::rows;

/// Decay of the mean gradient.
const BETA_1: f64 = 0.9;
/// Decay of the mean square.
const BETA_2: f64 = 0.999;
/// Keeps a weight that never had a gradient where it is.
const EPSILON: f64 = 1e-8;

/// One step of size `learning_rate` along `gradient`, times `factor`; the first has no `state` yet.
pub fn step(
    learning_rate: f64,
    weight: Tensor<2>,
    (gradient, factor): (&[f32], f64),
    state: Option<AdamState<2>>,
) -> (Tensor<2>, AdamState<2>) {
    let (shape, device) = (weight.dims(), weight.device());
    let (time, mut mean, mut square) = match state {
        Some(AdamState { momentum }) => {
            (momentum.time + 1, rows::values(momentum.moment_1), rows::values(momentum.moment_2))
        }
        None => (1, vec![0.0; gradient.len()], vec![0.0; gradient.len()]),
    };
    let mut values = rows::values(weight);
    let unbiased = |beta: f64| 1.0 - beta.powi(i32::try_from(time).unwrap_or(i32::MAX));
    let root = unbiased(BETA_2).sqrt();
    pulp::Arch::new().dispatch(Pass {
        factor: factor as f32,
        size: (learning_rate * root / unbiased(BETA_1)) as f32,
        epsilon: (EPSILON * root) as f32,
        gradient,
        values: &mut values,
        mean: &mut mean,
        square: &mut square,
    });
    let tensor = |values: Vec<f32>| Tensor::from_data(TensorData::new(values, shape), &device);
    let momentum = AdaptiveMomentumState::new(time, tensor(mean), tensor(square));
    (tensor(values), AdamState::new(momentum))
}

/// All values of one weight. A struct, because a borrowing closure is not compiled for the vector unit.
struct Pass<'a> {
    /// Of the gradient.
    factor: f32,
    /// η √(1 − β₂ᵗ)/(1 − β₁ᵗ).
    size: f32,
    /// ε √(1 − β₂ᵗ).
    epsilon: f32,
    gradient: &'a [f32],
    values: &'a mut [f32],
    mean: &'a mut [f32],
    square: &'a mut [f32],
}

impl pulp::NullaryFnOnce for Pass<'_> {
    type Output = ();

    #[inline(always)]
    fn call(self) {
        let Self { factor, size, epsilon, .. } = self;
        let (keep_1, keep_2) = (BETA_1 as f32, BETA_2 as f32);
        let (add_1, add_2) = ((1.0 - BETA_1) as f32, (1.0 - BETA_2) as f32);
        let moments = self.mean.iter_mut().zip(self.square);
        for ((gradient, value), (mean, square)) in self.gradient.iter().zip(self.values).zip(moments) {
            let gradient = factor * gradient;
            *mean = keep_1 * *mean + add_1 * gradient;
            *square = keep_2 * *square + add_2 * (gradient * gradient);
            *value -= size * *mean / (square.sqrt() + epsilon);
        }
    }
}

/// The sum of the squares of some gradients, in the order of the values.
pub fn sum_of_squares(gradient: &[f32]) -> f64 {
    pulp::Arch::new().dispatch(Squares(gradient))
}

/// All values of one gradient, in lanes so that the additions do not wait for each other.
struct Squares<'a>(&'a [f32]);

impl pulp::NullaryFnOnce for Squares<'_> {
    type Output = f64;

    #[inline(always)]
    fn call(self) -> f64 {
        let mut lanes = [0.0_f64; 8];
        for part in self.0.chunks(lanes.len()) {
            for (lane, value) in lanes.iter_mut().zip(part) {
                *lane += f64::from(*value) * f64::from(*value);
            }
        }
        lanes.iter().sum()
    }
}

#[cfg(test)]
mod tests {
    use burn::optim::{AdamConfig, Optimizer};
    use burn::tensor::Device;

    use super::*;

    #[test]
    fn it_goes_where_burn_goes() {
        let device = Device::flex();
        let wave = |phase: f32| (0..37).map(|k| (phase + k as f32).sin()).collect::<Vec<f32>>();
        let tensor = |values: Vec<f32>| Tensor::<2>::from_data(TensorData::new(values, [1, 37]), &device);
        let burn = AdamConfig::new().with_epsilon(EPSILON as f32).build();
        let (mut ours, mut theirs) = (tensor(wave(0.0)), tensor(wave(0.0)));
        let (mut our_state, mut their_state) = (None, None);
        for time in 0..20 {
            let gradient = wave(0.3 * time as f32);
            let (next, state) = step(0.01, ours, (&gradient, 0.5), our_state);
            (ours, our_state) = (next, Some(state));
            let (next, state) = burn.step(0.01, theirs, tensor(gradient).mul_scalar(0.5), their_state);
            (theirs, their_state) = (next, state);
        }
        for (ours, theirs) in rows::values(ours).into_iter().zip(rows::values(theirs)) {
            assert!((ours - theirs).abs() < 2e-6, "{ours} against {theirs}");
        }
        assert_eq!(our_state.map(|state| state.momentum.time), Some(20));
    }

    #[test]
    fn squares_are_summed_in_double_precision() {
        assert_eq!(sum_of_squares(&[3.0; 19]), 171.0);
        assert!(sum_of_squares(&[1.0, f32::NAN]).is_nan());
        assert_eq!(sum_of_squares(&[1e30; 2]), 2.0 * f64::from(1e30_f32).powi(2));
    }
}
