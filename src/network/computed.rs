//! One differentiable operation whose value is computed by a kernel of ours, with its adjoint beside it.

use std::fmt;
use std::sync::Arc;

use burn::backend::tensor::FloatTensor;
use burn::backend::{Autodiff, Backend, Dispatch, Flex, TensorMetadata, backend_extension};
use burn::tensor::{Tensor, TensorData};
use burn_autodiff::checkpoint::{base::Checkpointer, strategy::CheckpointStrategy};
use burn_autodiff::grads::Gradients;
use burn_autodiff::ops::{Backward, Ops, OpsKind};

/// What leads from cotangents of a value to those of its input.
type Adjoint = dyn Fn(Vec<f32>) -> Vec<f32> + Send + Sync;

/// A value that was computed of an input.
struct Computed {
    value: Vec<f32>,
    shape: [usize; 2],
    input: [usize; 2],
    adjoint: Box<Adjoint>,
}

impl fmt::Debug for Computed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Computed").field("shape", &self.shape).field("input", &self.input).finish_non_exhaustive()
    }
}

/// The value `[rows, columns]` that was computed of `input`, whose gradient `adjoint` makes of that of the value.
pub fn computed(
    input: Tensor<2>,
    (value, shape): (Vec<f32>, [usize; 2]),
    adjoint: impl Fn(Vec<f32>) -> Vec<f32> + Send + Sync + 'static,
) -> Tensor<2> {
    let computed = Computed { value, shape, input: input.dims(), adjoint: Box::new(adjoint) };
    Tensor::from_dispatch(Dispatch::computed(input.into_dispatch(), Arc::new(computed)))
}

/// The operation as each backend has it.
#[backend_extension(Flex, Autodiff)]
trait ComputedOps: Backend {
    /// See [`computed`].
    fn computed(input: FloatTensor<Self>, computed: Arc<Computed>) -> FloatTensor<Self>;
}

impl ComputedOps for Flex {
    fn computed(input: FloatTensor<Self>, computed: Arc<Computed>) -> FloatTensor<Self> {
        from_values::<Self>(computed.value.clone(), computed.shape, &input)
    }
}

impl<B: Backend + ComputedOps, C: CheckpointStrategy> ComputedOps for Autodiff<B, C> {
    fn computed(input: FloatTensor<Self>, computed: Arc<Computed>) -> FloatTensor<Self> {
        let node = input.node();
        let output = B::computed(input.into_primitive(), computed.clone());
        match Pulled.prepare::<C>([node]).compute_bound().stateful() {
            OpsKind::Tracked(prepared) => prepared.finish(computed, output),
            OpsKind::UnTracked(prepared) => prepared.finish(output),
        }
    }
}

/// The backward pass.
#[derive(Debug)]
struct Pulled;

impl<B: Backend> Backward<B, 1> for Pulled {
    type State = Arc<Computed>;

    fn backward(self, ops: Ops<Self::State, 1>, grads: &mut Gradients, _: &mut Checkpointer) {
        let [input] = ops.parents;
        let gradient = grads.consume::<B>(&ops.node);
        let Some(node) = input else { return };
        let data = burn::tensor::try_read_sync(B::float_into_data(gradient.clone())).and_then(Result::ok);
        // The backend computes on this machine's processor in f32: reading it neither waits nor converts.
        let values =
            data.and_then(|data| data.try_into_vec().ok()).expect("a float tensor of the flex backend is read at once");
        let pulled = (ops.state.adjoint)(values);
        grads.register::<B>(node.id, from_values::<B>(pulled, ops.state.input, &gradient));
    }
}

/// A tensor of values on the device of `like`.
fn from_values<B: Backend>(values: Vec<f32>, shape: [usize; 2], like: &FloatTensor<B>) -> FloatTensor<B> {
    B::float_from_data(TensorData::new(values, shape), &like.device())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::network::rows;

    #[test]
    fn the_value_is_what_was_computed_and_the_gradient_the_adjoint_s() {
        let leaf = Tensor::from_inner(rows::tensor(vec![1.0, 2.0], [1, 2])).require_grad();
        // y = (3 a, 5 b, a + b)
        let adjoint = |c: Vec<f32>| vec![3.0 * c[0] + c[2], 5.0 * c[1] + c[2]];
        let value = computed(leaf.clone() * 2.0, (vec![6.0, 20.0, 6.0], [3, 1]), adjoint);
        assert_eq!(rows::values(value.clone().detach()), [6.0, 20.0, 6.0]);
        let gradients = value.square().sum().backward();
        assert_eq!(rows::values(leaf.grad(&gradients).unwrap()), [2.0 * (36.0 + 12.0), 2.0 * (200.0 + 12.0)]);
        assert_eq!(rows::values(computed(rows::tensor(vec![1.0], [1, 1]), (vec![2.0], [1, 1]), |c| c)), [2.0]);
    }
}
