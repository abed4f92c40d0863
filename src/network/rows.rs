//! Tensors to rows of plain numbers and back.

use burn::tensor::{Device, Tensor, TensorData};
use drivers::Batch;

/// Where all tensors of this program live: in this machine's memory, computed by its processor.
pub fn device() -> Device {
    Device::flex()
}

/// A tensor of values, row after row.
pub fn tensor(values: Vec<f32>, shape: [usize; 2]) -> Tensor<2> {
    Tensor::from_data(TensorData::new(values, shape), &device())
}

/// A tensor of `batch`, `[rows, columns]`.
pub fn to_tensor(batch: &Batch, device: &Device) -> Tensor<2> {
    Tensor::from_data(TensorData::new(batch.values().to_vec(), [batch.rows(), batch.columns()]), device)
}

/// The rows of a tensor.
pub fn to_batch(tensor: Tensor<2>) -> Batch {
    let [rows, columns] = tensor.dims();
    if columns == 0 { Batch::zeros(rows, 0) } else { batch(columns, values(tensor)) }
}

/// Rows of `columns` values; there are whole rows.
pub fn batch(columns: usize, values: Vec<f32>) -> Batch {
    Batch::new(columns, values).expect("the values of a tensor fill its rows")
}

/// The values of a tensor, row after row.
pub fn values<const D: usize>(tensor: Tensor<D>) -> Vec<f32> {
    // Every tensor here is made in f32 on this machine's processor: reading it neither waits nor converts.
    tensor.into_data().try_into_vec().expect("a tensor of this program holds f32")
}
