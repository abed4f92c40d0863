//! The filters of a network that sees images, from a safetensors file: what the textures of an automaton may be compared by.
//!
//! A convolution is a tensor `NAME.weight` `[channels, channels before, height, width]` of f32 with `NAME.bias` `[channels]` beside it. They follow
//! one another by the numbers in their names, with a rectifier behind each. A new block, before which squares of two by two places are
//! brought to their largest, begins where the numbers leave room for it: `features.2.weight` is followed by a rectifier and by pooling
//! where the next one is `features.5.weight` (torchvision), and `conv1_2` by pooling where the next one is `conv2_1`. Other tensors, such as
//! the matrices of a classifier, are passed over.

use std::path::Path;

use drivers::{MEBIBYTE, read_bounded};
use safetensors::{Dtype, SafeTensors};
use sims::COLORS;

use crate::Error;

/// The most that is read of a file.
const LONGEST: u64 = 2048 * MEBIBYTE;
/// The largest side of a kernel.
const WIDEST: usize = 31;

/// One convolution with a rectifier behind it.
#[derive(Debug, Clone, PartialEq)]
pub struct Filter {
    /// Channels, channels before, height and width of a kernel.
    pub shape: [usize; 4],
    /// The kernels, in that order.
    pub kernels: Vec<f32>,
    /// One summand a channel.
    pub offsets: Vec<f32>,
    /// Whether a block begins with it.
    pub begins: bool,
}

/// A network of convolutions, up to the first one of its last block.
#[derive(Debug, Clone, PartialEq)]
pub struct Filters(pub Vec<Filter>);

impl Filters {
    /// Reads a file; the error says what in it is no such network.
    pub fn read(file: &Path) -> Result<Self, Error> {
        let bad = |message: String| Error::Data(format!("{}: {message}", file.display()));
        let bytes = read_bounded(file, LONGEST).map_err(|error| bad(format!("cannot be read: {error}")))?;
        Self::of(&bytes).map_err(bad)
    }

    fn of(bytes: &[u8]) -> Result<Self, String> {
        let tensors = SafeTensors::deserialize(bytes).map_err(|error| format!("is no safetensors file: {error}"))?;
        let mut named: Vec<(Vec<u64>, String)> = tensors
            .iter()
            .filter(|(_, view)| view.shape().len() == 4)
            .filter_map(|(name, _)| name.strip_suffix(".weight"))
            .map(|name| (numbers(name), name.to_owned()))
            .collect();
        named.sort();
        let mut filters: Vec<Filter> = Vec::new();
        let mut channels = COLORS;
        for (place, (numbers, name)) in named.iter().enumerate() {
            let (shape, kernels) = floats(&tensors, &format!("{name}.weight"))?;
            let shape: [usize; 4] = shape.try_into().map_err(|_| format!("has `{name}.weight` of other dimensions"))?;
            let [after, before, sides @ ..] = shape;
            if before != channels {
                return Err(format!("has `{name}.weight`, which takes {before} channels where {channels} come before"));
            }
            if after == 0 || sides.iter().any(|side| side % 2 == 0 || WIDEST < *side) {
                let [height, width] = sides;
                return Err(format!("has `{name}.weight` of {height} × {width}: sides must be odd, at most {WIDEST}"));
            }
            let offsets = match tensors.tensor(&format!("{name}.bias")) {
                Ok(_) => floats(&tensors, &format!("{name}.bias"))?.1,
                Err(_) => vec![0.0; after],
            };
            if offsets.len() != after {
                return Err(format!("has `{name}.bias` of {} values for {after} channels", offsets.len()));
            }
            let begins = place.checked_sub(1).is_none_or(|last| is_apart(&named[last].0, numbers));
            filters.push(Filter { shape, kernels, offsets, begins });
            channels = after;
        }
        let Some(last) = filters.iter().rposition(|filter| filter.begins) else {
            return Err("has no tensor `NAME.weight` with four dimensions: no convolutions".to_owned());
        };
        filters.truncate(last + 1);
        Ok(Self(filters))
    }
}

/// The numbers in a name.
fn numbers(name: &str) -> Vec<u64> {
    name.split(|letter: char| !letter.is_ascii_digit()).filter_map(|digits| digits.parse().ok()).collect()
}

/// Whether there is pooling between two convolutions with these numbers.
fn is_apart(before: &[u64], after: &[u64]) -> bool {
    match (before, after) {
        // Block and place in it.
        ([.., block, _], [.., next, _]) => block != next,
        // Convolution, rectifier, pooling.
        ([.., one], [.., next]) => one + 2 < *next,
        _ => false,
    }
}

fn floats(tensors: &SafeTensors<'_>, name: &str) -> Result<(Vec<usize>, Vec<f32>), String> {
    let view = tensors.tensor(name).map_err(|error| format!("has no readable `{name}`: {error}"))?;
    if view.dtype() != Dtype::F32 {
        return Err(format!("has `{name}` in {:?}: write it in F32", view.dtype()));
    }
    let values: Vec<f32> = view.data().as_chunks::<4>().0.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect();
    match values.iter().find(|value| !value.is_finite()) {
        Some(value) => Err(format!("has the value {value} in `{name}`")),
        None => Ok((view.shape().to_vec(), values)),
    }
}

#[cfg(test)]
mod tests {
    use safetensors::tensor::{TensorView, serialize};

    use super::*;

    /// A file of zeros of these shapes.
    fn file(tensors: &[(&str, &[usize])]) -> Vec<u8> {
        let zeros = vec![0; 1 << 16];
        let view = |shape: &[usize]| {
            let bytes = 4 * shape.iter().product::<usize>();
            TensorView::new(Dtype::F32, shape.to_vec(), &zeros[..bytes]).unwrap()
        };
        serialize(tensors.iter().map(|(name, shape)| (*name, view(shape))), None).unwrap()
    }

    #[test]
    fn blocks_begin_where_numbers_leave_room_for_pooling() {
        let found = Filters::of(&file(&[
            ("features.10.weight", &[8, 8, 3, 3]),
            ("features.2.weight", &[4, 4, 3, 3]),
            ("features.0.weight", &[4, 3, 3, 3]),
            ("features.0.bias", &[4]),
            ("features.5.weight", &[8, 4, 1, 5]),
            ("features.7.weight", &[8, 8, 3, 3]),
            ("features.12.weight", &[8, 8, 3, 3]),
            ("classifier.0.weight", &[10, 8]),
        ]))
        .unwrap();
        assert_eq!(found.0.iter().map(|filter| filter.begins).collect::<Vec<_>>(), [true, false, true, false, true]);
        assert_eq!(found.0[2].shape, [8, 4, 1, 5]);
        let named = |name: &'static str, before| (name, [4, before, 3, 3]);
        let tensors = [named("conv1_1.weight", 3), named("conv1_2.weight", 4), named("conv2_1.weight", 4)];
        let tensors: Vec<(&str, &[usize])> = tensors.iter().map(|(name, shape)| (*name, &shape[..])).collect();
        let begins: Vec<bool> = Filters::of(&file(&tensors)).unwrap().0.iter().map(|filter| filter.begins).collect();
        assert_eq!(begins, [true, false, true]);
    }

    #[test]
    fn what_is_no_such_network_says_why() {
        let said = |tensors: &[(&str, &[usize])]| Filters::of(&file(tensors)).unwrap_err();
        assert!(said(&[("a.weight", &[2, 2])]).contains("no convolutions"));
        assert!(
            said(&[("0.weight", &[4, 1, 3, 3])]).contains("`0.weight`, which takes 1 channels where 3 come before")
        );
        assert!(said(&[("0.weight", &[4, 3, 2, 3])]).contains("2 × 3: sides must be odd"));
        assert!(said(&[("0.weight", &[4, 3, 3, 3]), ("0.bias", &[3])]).contains("`0.bias` of 3 values for 4 channels"));
        assert!(Filters::of(b"PNG").unwrap_err().contains("no safetensors file"));
    }
}
