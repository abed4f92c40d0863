//! A small picture of what a run makes, for whoever watches it.

use serde::{Deserialize, Serialize};
use sims::{COLORS, Pixels};

/// Pixels of a side at most.
const MOST: usize = 32;
/// Letters of a color as it is written.
const LETTERS: usize = 2 * COLORS;

/// A picture of few pixels.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Thumbnail {
    /// Lines and columns, at most 32 of each.
    pub size: [usize; 2],
    /// Line after line, red, green and blue of each pixel as two hexadecimal digits.
    pub colors: String,
}

impl Thumbnail {
    /// Of a picture, of whose lines and columns every so many are taken.
    pub fn of(pixels: &Pixels<f32>) -> Self {
        let [height, width] = pixels.size;
        let every = height.max(width).div_ceil(MOST).max(1);
        let size = [height.div_ceil(every), width.div_ceil(every)];
        let cells = (0..size[0]).flat_map(|y| (0..size[1]).map(move |x| every * (y * width + x)));
        let byte = |color: &f32| format!("{:02x}", (255.0 * color.clamp(0.0, 1.0)).round() as u8);
        let colors = cells.flat_map(|cell| pixels.colors[cell * COLORS..][..COLORS].iter().map(byte)).collect();
        Self { size, colors }
    }

    /// The color of a pixel; none where the picture has none, or says something else than a color.
    pub fn color(&self, [y, x]: [usize; 2]) -> Option<[u8; COLORS]> {
        let [height, width] = self.size;
        (y < height && x < width).then_some(())?;
        let start = y.checked_mul(width)?.checked_add(x)?.checked_mul(LETTERS)?;
        let letters = self.colors.get(start..start.checked_add(LETTERS)?)?;
        let part = |place: usize| u8::from_str_radix(letters.get(2 * place..2 * place + 2)?, 16).ok();
        Some([part(0)?, part(1)?, part(2)?])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_large_picture_is_thinned_and_each_color_is_where_it_was() {
        let pixel = |cell: usize| [(cell / 40) as f32 / 39.0, (cell % 40) as f32 / 39.0, 2.0];
        let pixels = Pixels { size: [40, 40], colors: (0..1600).flat_map(pixel).collect() };
        let small = Thumbnail::of(&pixels);
        assert_eq!(small.size, [20, 20]);
        let part = |line: usize| (255.0 * (2 * line) as f32 / 39.0).round() as u8;
        assert_eq!(small.color([3, 19]), Some([part(3), part(19), 255]));
        assert_eq!(small.color([20, 0]), None);
        // What another program says may be anything.
        let odd = Thumbnail { size: [usize::MAX, 2], colors: "äöü".to_owned() };
        assert_eq!((odd.color([0, 0]), odd.color([1 << 62, 1])), (None, None));
    }
}
