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
use sims::Twin;

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

/// The value of `measured.outputs`, `[shots, outputs]`, differentiable through `twin`.
///
/// In the units of the plant. `controls` is `[1, controls]`, or `None` for a plant without any.
pub fn physical(
    inputs: Tensor<2>,
    controls: Option<Tensor<2>>,
    measured: Arc<Measured>,
    twin: Arc<dyn Twin>,
) -> Tensor<2> {
    // A plant without controls gets a dummy that nothing depends on.
    let controls = controls.unwrap_or_else(|| Tensor::zeros([1, 1], &inputs.device()));
    let output = <Dispatch as PhysicalOps>::physical(inputs.into_dispatch(), controls.into_dispatch(), measured, twin);
    Tensor::from_dispatch(output)
}

/// The operation as each backend has it.
#[backend_extension(Flex, Autodiff)]
pub trait PhysicalOps: Backend {
    /// See [`physical`].
    fn physical(
        inputs: FloatTensor<Self>,
        controls: FloatTensor<Self>,
        measured: Arc<Measured>,
        twin: Arc<dyn Twin>,
    ) -> FloatTensor<Self>;
}

impl PhysicalOps for Flex {
    fn physical(
        inputs: FloatTensor<Self>,
        _controls: FloatTensor<Self>,
        measured: Arc<Measured>,
        _twin: Arc<dyn Twin>,
    ) -> FloatTensor<Self> {
        from_batch::<Self>(&measured.outputs, &inputs)
    }
}

impl<B: Backend + PhysicalOps, C: CheckpointStrategy> PhysicalOps for Autodiff<B, C> {
    fn physical(
        inputs: FloatTensor<Self>,
        controls: FloatTensor<Self>,
        measured: Arc<Measured>,
        twin: Arc<dyn Twin>,
    ) -> FloatTensor<Self> {
        let guards = [inputs.node(), controls.node()];
        let output = B::physical(inputs.into_primitive(), controls.into_primitive(), measured.clone(), twin.clone());
        match Physical.prepare::<C>(guards).compute_bound().stateful() {
            OpsKind::Tracked(prepared) => prepared.finish((measured, twin), output),
            OpsKind::UnTracked(prepared) => prepared.finish(output),
        }
    }
}

/// The backward pass.
#[derive(Debug)]
struct Physical;

impl<B: Backend> Backward<B, 2> for Physical {
    type State = (Arc<Measured>, Arc<dyn Twin>);

    fn backward(self, ops: Ops<Self::State, 2>, grads: &mut Gradients, _: &mut Checkpointer) {
        let (measured, twin) = ops.state;
        let [inputs, controls] = ops.parents;
        let gradient = grads.consume::<B>(&ops.node);
        let cotangents = to_batch::<B>(gradient.clone(), measured.outputs.columns());
        let pulled = twin.pull_back(&measured.inputs, &measured.controls, &cotangents);
        if let Some(node) = inputs {
            grads.register::<B>(node.id, from_batch::<B>(&pulled.inputs, &gradient));
        }
        if let Some(node) = controls {
            let row = Batch::from_fn(1, pulled.controls.len().max(1), |_, index| {
                pulled.controls.get(index).copied().unwrap_or(0.0)
            });
            grads.register::<B>(node.id, from_batch::<B>(&row, &gradient));
        }
    }
}

/// A tensor with the values of `batch`, on the device of `like`.
fn from_batch<B: Backend>(batch: &Batch, like: &FloatTensor<B>) -> FloatTensor<B> {
    let data = TensorData::new(batch.values().to_vec(), [batch.rows(), batch.columns()]);
    B::float_from_data(data, &like.device())
}

/// The values of `tensor` in rows of `columns`.
fn to_batch<B: Backend>(tensor: FloatTensor<B>, columns: usize) -> Batch {
    let data = burn::tensor::try_read_sync(B::float_into_data(tensor)).and_then(Result::ok);
    let values = data.and_then(|data| data.try_into_vec::<f32>().ok());
    // The backend computes on this machine's processor in f32: reading it neither waits nor converts.
    let values = values.expect("a float tensor of the flex backend is read at once");
    Batch::new(columns, values).expect("a gradient has the shape of its value")
}

#[cfg(test)]
mod tests;
