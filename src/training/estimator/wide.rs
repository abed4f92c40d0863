//! Double precision in checkpoints, whose tensors are single: each number as two, whose sum is it to 48 bits.

use crate::network::{NamedTensor, rows};

/// Numbers as a tensor `[2, count]`: what single precision keeps of each, and of the rest.
pub(super) fn split(name: &str, numbers: &[f64]) -> NamedTensor {
    let high = numbers.iter().map(|number| *number as f32);
    let low = numbers.iter().map(|number| (number - f64::from(*number as f32)) as f32);
    NamedTensor { name: name.to_owned(), tensor: rows::tensor(high.chain(low).collect(), [2, numbers.len()]) }
}

/// The numbers under `name`, if there are any; the sentence says what is wrong with them.
pub(super) fn joined(name: &str, tensors: &[NamedTensor]) -> Result<Option<Vec<f64>>, String> {
    let Some(found) = tensors.iter().find(|tensor| tensor.name == name) else { return Ok(None) };
    let [rows, count] = found.tensor.dims();
    let values = rows::values(found.tensor.clone());
    if rows != 2 || !values.iter().all(|value| value.is_finite()) {
        return Err(format!("has numbers in `{name}` that are not finite, or not in two parts"));
    }
    let (high, low) = values.split_at(count);
    Ok(Some(high.iter().zip(low).map(|(high, low)| f64::from(*high) + f64::from(*low)).collect()))
}
