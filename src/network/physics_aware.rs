//! The heart: one differentiable operation whose value is what the plant did, bit for bit, and whose gradient is the
//! twin's, taken at the inputs and controls that the plant really saw (Wright et al., Nature 601, 549, 2022).
//!
//! `inputs` `[shots, inputs]` and `controls` `[1, controls]` only receive the gradients; the values come from
//! [`Measured`]. Rounding by a converter is passed straight through.

use std::sync::Arc;

use burn::backend::tensor::FloatTensor;
use burn::backend::{Autodiff, Backend, Dispatch, Flex, TensorMetadata, backend_extension};
use burn::tensor::{Tensor, TensorData};
use burn_autodiff::checkpoint::{base::Checkpointer, strategy::CheckpointStrategy};
use burn_autodiff::grads::Gradients;
use burn_autodiff::ops::{Backward, Ops, OpsKind};
use drivers::Batch;
use sims::{Pullback, Twin};

use crate::network::{FullScales, rows};

/// One batch of shots as it really happened.
#[derive(Debug)]
pub struct Measured {
    /// What drove the plant, `[shots, inputs]`.
    pub inputs: Batch,
    /// The controls that it really had, `[controls]`.
    pub controls: Vec<f32>,
    /// What it read, `[shots, outputs]`.
    pub outputs: Batch,
}

/// What a network wanted, as it counts, before it became allowed values in SI units.
#[derive(Debug)]
pub struct Wanted {
    /// Inputs, `[shots, inputs]`.
    pub inputs: Vec<f32>,
    /// Controls, `[controls]`.
    pub controls: Vec<f32>,
    /// How they became SI units.
    pub scales: Arc<FullScales>,
}

/// One batch through a plant.
#[derive(Debug, Clone)]
struct Passage {
    measured: Arc<Measured>,
    twin: Arc<dyn Twin>,
    /// None if all values are in SI units.
    wanted: Option<Arc<Wanted>>,
}

/// The value of `measured.outputs`, `[shots, outputs]`, differentiable through `twin`.
///
/// In the units of the plant. `controls` is `[1, controls]`, or `None` for a plant without any.
pub fn physical(
    inputs: Tensor<2>,
    controls: Option<Tensor<2>>,
    measured: Arc<Measured>,
    twin: Arc<dyn Twin>,
) -> Tensor<2> {
    run(inputs, controls, Passage { measured, twin, wanted: None })
}

/// The same as the network counts: `inputs` and `controls` are those of `wanted`, the value is `measured.outputs` in full
/// scales, and no gradient passes where a value was not allowed.
pub fn physical_in_full_scales(
    inputs: Tensor<2>,
    controls: Option<Tensor<2>>,
    (measured, wanted): (Measured, Wanted),
    twin: Arc<dyn Twin>,
) -> Tensor<2> {
    run(inputs, controls, Passage { measured: Arc::new(measured), twin, wanted: Some(Arc::new(wanted)) })
}

fn run(inputs: Tensor<2>, controls: Option<Tensor<2>>, passage: Passage) -> Tensor<2> {
    // A plant without controls gets a dummy that nothing depends on.
    let controls = controls.unwrap_or_else(|| Tensor::zeros([1, 1], &inputs.device()));
    Tensor::from_dispatch(Dispatch::physical(inputs.into_dispatch(), controls.into_dispatch(), Arc::new(passage)))
}

impl Passage {
    /// The readings as the network counts.
    fn value(&self) -> Batch {
        match &self.wanted {
            None => self.measured.outputs.clone(),
            Some(wanted) => {
                let outputs = &self.measured.outputs;
                rows::batch(outputs.columns(), wanted.scales.outputs.count_in(outputs.values().to_vec()))
            }
        }
    }

    /// Gradients for inputs and controls from those for the value.
    fn pull_back(&self, mut gradient: Vec<f32>) -> Pullback {
        let measured = &self.measured;
        if let Some(wanted) = &self.wanted {
            gradient = wanted.scales.outputs.count_in(gradient);
        }
        let cotangents = rows::batch(measured.outputs.columns(), gradient);
        let mut pulled = self.twin.pull_back(&measured.inputs, &measured.controls, &cotangents);
        if let Some(wanted) = &self.wanted {
            wanted.scales.inputs.pull_back(&wanted.inputs, pulled.inputs.values_mut());
            wanted.scales.controls.pull_back(&wanted.controls, &mut pulled.controls);
        }
        pulled
    }
}

/// The operation as each backend has it.
#[backend_extension(Flex, Autodiff)]
trait PhysicalOps: Backend {
    /// See [`physical`].
    fn physical(inputs: FloatTensor<Self>, controls: FloatTensor<Self>, passage: Arc<Passage>) -> FloatTensor<Self>;
}

impl PhysicalOps for Flex {
    fn physical(inputs: FloatTensor<Self>, _: FloatTensor<Self>, passage: Arc<Passage>) -> FloatTensor<Self> {
        from_batch::<Self>(passage.value(), &inputs)
    }
}

impl<B: Backend + PhysicalOps, C: CheckpointStrategy> PhysicalOps for Autodiff<B, C> {
    fn physical(inputs: FloatTensor<Self>, controls: FloatTensor<Self>, passage: Arc<Passage>) -> FloatTensor<Self> {
        let guards = [inputs.node(), controls.node()];
        let output = B::physical(inputs.into_primitive(), controls.into_primitive(), passage.clone());
        match Physical.prepare::<C>(guards).compute_bound().stateful() {
            OpsKind::Tracked(prepared) => prepared.finish(passage, output),
            OpsKind::UnTracked(prepared) => prepared.finish(output),
        }
    }
}

/// The backward pass.
#[derive(Debug)]
struct Physical;

impl<B: Backend> Backward<B, 2> for Physical {
    type State = Arc<Passage>;

    fn backward(self, ops: Ops<Self::State, 2>, grads: &mut Gradients, _: &mut Checkpointer) {
        let [inputs, controls] = ops.parents;
        let gradient = grads.consume::<B>(&ops.node);
        let pulled = ops.state.pull_back(read::<B>(gradient.clone()));
        if let Some(node) = inputs {
            grads.register::<B>(node.id, from_batch::<B>(pulled.inputs, &gradient));
        }
        if let Some(node) = controls {
            // The dummy of a plant without controls.
            let row = if pulled.controls.is_empty() { vec![0.0] } else { pulled.controls };
            grads.register::<B>(node.id, from_batch::<B>(rows::batch(row.len(), row), &gradient));
        }
    }
}

/// A tensor with the values of `batch`, on the device of `like`.
fn from_batch<B: Backend>(batch: Batch, like: &FloatTensor<B>) -> FloatTensor<B> {
    let shape = [batch.rows(), batch.columns()];
    B::float_from_data(TensorData::new(batch.into_values(), shape), &like.device())
}

/// The values of `tensor`, row after row.
fn read<B: Backend>(tensor: FloatTensor<B>) -> Vec<f32> {
    let data = burn::tensor::try_read_sync(B::float_into_data(tensor)).and_then(Result::ok);
    // The backend computes on this machine's processor in f32: reading it neither waits nor converts.
    data.and_then(|data| data.try_into_vec().ok()).expect("a float tensor of the flex backend is read at once")
}

#[cfg(test)]
mod tests;
