//! The shape of images in rows of values: channel after channel, in each line after line.

// Circle with network/chain.rs: a chain carries the images that come in, and images are read from a chain.

use super::Chain;
use crate::Error;

/// Channels, height and width.
pub type Image = [usize; 3];

/// How many values.
pub fn values(image: Image) -> usize {
    image.iter().product()
}

impl Chain<'_> {
    /// The images that come in: as `given` under the key `image`, as the layer before leaves them, or one square channel.
    pub fn image(&self, given: Option<Image>) -> Result<Image, Error> {
        let width = self.width();
        if let Some(image) = given {
            if image.contains(&0) || image.iter().try_fold(1_usize, |all, size| all.checked_mul(*size)) != Some(width) {
                let message = format!("is {image:?}, channels, height and width, but {width} values come in");
                return Err(self.refuse("image", message));
            }
            return Ok(image);
        }
        let side = width.isqrt();
        match self.image {
            Some(image) => Ok(image),
            None if side * side == width => Ok([1, side, side]),
            None => Err(self.refuse(
                "image",
                format!("is missing: {width} values are no square image; give channels, height and width"),
            )),
        }
    }

    /// How many places a window of `size` has along each side of `image`, `padding` zeros around it, at every `stride`.
    pub fn places(&self, image: Image, [size, padding, stride]: [usize; 3]) -> Result<[usize; 2], Error> {
        let [_, height, width] = image;
        if size == 0 || stride == 0 {
            let key = if size == 0 { "size" } else { "stride" };
            return Err(self.refuse(key, "is 0: give at least 1".to_owned()));
        }
        let padded = [height, width].map(|side| side.saturating_add(padding.saturating_mul(2)));
        if padded.iter().any(|side| *side < size) || size <= padding {
            let message = format!(
                "is {size} on images of {height} × {width} with {padding} values around: it must fit in them, and be more than those around"
            );
            return Err(self.refuse("size", message));
        }
        Ok(padded.map(|side| (side - size) / stride + 1))
    }
}
