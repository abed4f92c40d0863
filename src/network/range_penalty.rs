//! The soft range penalty: what keeps training inside the range of a plant before the hard clamp cuts its gradient.
//!
//! `penalty = mean(softplus(f·(low − x))/f + softplus(f·(x − high))/f)` over all values of `x` `[shots, ports]`, as in the
//! original code of physics-aware training (`clamp_lag`, f = 20). One operation with its own backward pass, because
//! the composition of elementary ones overflows and costs more than a small plant.

use std::sync::Arc;

use burn::backend::tensor::FloatTensor;
use burn::backend::{Autodiff, Backend, Dispatch, Flex, TensorMetadata, backend_extension};
use burn::tensor::{Tensor, TensorData};
use burn_autodiff::checkpoint::{base::Checkpointer, strategy::CheckpointStrategy};
use burn_autodiff::grads::Gradients;
use burn_autodiff::ops::{Backward, Ops, OpsKind, unary};
use drivers::Range;
use sims::{LANES, Real};

/// Ranges of the ports, and how sharply the penalty rises at their ends.
#[derive(Debug, Clone)]
pub struct Walls {
    /// The range of each port, in the unit of the values.
    pub ranges: Arc<[Range]>,
    /// The factor f, per unit of the values.
    pub sharpness: f32,
}

/// The penalty of `values`, `[shots, ports]`, as a tensor of one number.
pub fn range_penalty(values: Tensor<2>, walls: Arc<Walls>) -> Tensor<1> {
    Tensor::from_dispatch(<Dispatch as PenaltyOps>::range_penalty(values.into_dispatch(), walls))
}

/// The operation as each backend has it.
#[backend_extension(Flex, Autodiff)]
pub trait PenaltyOps: Backend {
    /// See [`range_penalty`].
    fn range_penalty(values: FloatTensor<Self>, walls: Arc<Walls>) -> FloatTensor<Self>;
}

impl PenaltyOps for Flex {
    fn range_penalty(values: FloatTensor<Self>, walls: Arc<Walls>) -> FloatTensor<Self> {
        let device = values.device();
        let penalty = mean_penalty(&read::<Self>(values), &walls);
        <Self as burn::backend::ops::FloatTensorOps<Self>>::float_from_data(
            TensorData::new(vec![penalty], [1]),
            &device,
        )
    }
}

impl<B: Backend + PenaltyOps, C: CheckpointStrategy> PenaltyOps for Autodiff<B, C> {
    fn range_penalty(values: FloatTensor<Self>, walls: Arc<Walls>) -> FloatTensor<Self> {
        let guard = values.node();
        let inner = values.into_primitive();
        let output = B::range_penalty(inner.clone(), walls.clone());
        match RangePenalty.prepare::<C>([guard]).compute_bound().stateful() {
            OpsKind::Tracked(prepared) => prepared.finish((inner, walls), output),
            OpsKind::UnTracked(prepared) => prepared.finish(output),
        }
    }
}

/// The backward pass.
#[derive(Debug)]
struct RangePenalty;

impl<B: Backend> Backward<B, 1> for RangePenalty {
    type State = (FloatTensor<B>, Arc<Walls>);

    fn backward(self, ops: Ops<Self::State, 1>, grads: &mut Gradients, _: &mut Checkpointer) {
        unary::<B, _>(ops.parents, ops.node, grads, |gradient| {
            let (values, walls) = ops.state;
            let (device, shape) = (values.device(), values.shape());
            let scale = read::<B>(gradient)[0];
            let slopes = slopes(&read::<B>(values), &walls, scale);
            B::float_from_data(TensorData::new(slopes, shape), &device)
        });
    }
}

/// The values of a tensor.
fn read<B: Backend>(tensor: FloatTensor<B>) -> Vec<f32> {
    let data = burn::tensor::try_read_sync(B::float_into_data(tensor)).and_then(Result::ok);
    // The backend computes on this machine's processor in f32: reading it neither waits nor converts.
    data.and_then(|data| data.try_into_vec().ok()).expect("a float tensor of the flex backend is read at once")
}

/// ln(1 + e^z), without overflow.
#[inline(always)]
fn softplus(z: f32) -> f32 {
    Real::max(z, 0.0) + Real::ln(1.0 + Real::exp(-z.abs()))
}

/// 1/(1 + e^−z).
#[inline(always)]
fn sigmoid(z: f32) -> f32 {
    1.0 / (1.0 + Real::exp(-z))
}

/// The penalty, averaged over all values.
fn mean_penalty(values: &[f32], walls: &Walls) -> f32 {
    let sum = pulp::Arch::new().dispatch(Penalties { values, walls });
    (sum / (f64::from(walls.sharpness) * values.len().max(1) as f64)) as f32
}

/// The derivative of `scale` times the penalty for each value.
fn slopes(values: &[f32], walls: &Walls, scale: f32) -> Vec<f32> {
    let mut slopes = vec![0.0; values.len()];
    let factor = scale / values.len().max(1) as f32;
    pulp::Arch::new().dispatch(Slopes { values, walls, factor, to: &mut slopes });
    slopes
}

/// The sum of all softplus terms. A struct, because a borrowing closure is not compiled for the vector unit.
struct Penalties<'a> {
    values: &'a [f32],
    walls: &'a Walls,
}

impl pulp::NullaryFnOnce for Penalties<'_> {
    type Output = f64;

    #[inline(always)]
    fn call(self) -> f64 {
        let (f, ranges) = (self.walls.sharpness, &*self.walls.ranges);
        let mut sum = 0.0;
        for row in self.values.chunks_exact(ranges.len()) {
            // Lanes of partial sums, so that the additions of a row do not wait for each other.
            let mut lanes = [0.0_f32; LANES];
            for (values, ranges) in row.chunks(LANES).zip(ranges.chunks(LANES)) {
                for ((lane, &x), range) in lanes.iter_mut().zip(values).zip(ranges) {
                    *lane += softplus(f * (range.low - x)) + softplus(f * (x - range.high));
                }
            }
            sum += lanes.iter().map(|&lane| f64::from(lane)).sum::<f64>();
        }
        sum
    }
}

/// The slopes of all values.
struct Slopes<'a> {
    values: &'a [f32],
    walls: &'a Walls,
    factor: f32,
    to: &'a mut [f32],
}

impl pulp::NullaryFnOnce for Slopes<'_> {
    type Output = ();

    #[inline(always)]
    fn call(self) {
        let (f, ranges) = (self.walls.sharpness, &*self.walls.ranges);
        let width = ranges.len();
        for (row, slopes) in self.values.chunks_exact(width).zip(self.to.chunks_exact_mut(width)) {
            for ((&x, range), slope) in row.iter().zip(ranges).zip(slopes) {
                *slope = self.factor * (sigmoid(f * (x - range.high)) - sigmoid(f * (range.low - x)));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::network::rows;

    fn walls() -> Arc<Walls> {
        Arc::new(Walls { ranges: Arc::new([Range::new(-1.0, 1.0), Range::new(0.0, 1.0)]), sharpness: 20.0 })
    }

    #[test]
    fn the_penalty_is_the_published_formula() {
        let device = rows::device();
        let values = [[0.3, -0.2], [1.5, 0.5], [-40.0, 30.0]];
        let penalty = range_penalty(Tensor::from_data(values, &device), walls());
        let relu = |x: f64| if 20.0 * x > 30.0 { x } else { (1.0 + (20.0 * x).exp()).ln() / 20.0 };
        let mut expected = 0.0;
        for row in values {
            for (x, low) in [(row[0], -1.0), (row[1], 0.0)] {
                expected += (relu(low - x) + relu(x - 1.0)) / 6.0;
            }
        }
        let penalty = f64::from(rows::values(penalty)[0]);
        assert!((penalty / expected - 1.0).abs() < 1e-5, "{penalty} against {expected}");
    }

    #[test]
    fn its_gradient_is_that_of_its_differences() {
        let at = |x: f32| f64::from(mean_penalty(&[x, 0.5], &walls()));
        for x in [-1.3_f32, -1.0, -0.9, 0.97, 1.02, 1.4] {
            let difference = (at(x + 1e-2) - at(x - 1e-2)) / 2e-2;
            let slope = f64::from(slopes(&[x, 0.5], &walls(), 1.0)[0]);
            assert!((slope - difference).abs() < 3e-3, "at {x}: {slope} against {difference}");
        }
        let device = rows::device().autodiff();
        let values = Tensor::<2>::from_data([[1.4, 0.5]], &device).require_grad();
        let gradients = (range_penalty(values.clone(), walls()) * 3.0).backward();
        let gradient = rows::values(values.grad(&gradients).unwrap());
        assert_eq!(gradient, slopes(&[1.4, 0.5], &walls(), 3.0));
    }
}
