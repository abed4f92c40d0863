//! Tensors to rows of plain numbers and back.

use burn::tensor::{Device, Tensor, TensorData};
use drivers::Batch;

/// A tensor of `batch`, `[rows, columns]`.
pub fn to_tensor(batch: &Batch, device: &Device) -> Tensor<2> {
    Tensor::from_data(TensorData::new(batch.values().to_vec(), [batch.rows(), batch.columns()]), device)
}

/// The rows of a tensor.
pub fn to_batch(tensor: Tensor<2>) -> Batch {
    let [rows, columns] = tensor.dims();
    let mut batch = Batch::zeros(rows, columns);
    batch.values_mut().copy_from_slice(&values(tensor));
    batch
}

/// The values of a tensor, row after row.
pub fn values<const D: usize>(tensor: Tensor<D>) -> Vec<f32> {
    // Every tensor here is made in f32 on this machine's processor: reading it neither waits nor converts.
    tensor.into_data().try_into_vec().expect("a tensor of this program holds f32")
}
