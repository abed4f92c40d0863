//! Training images varied a little in each epoch: turned, shifted, scaled, mirrored.
//!
//! A pixel of the new image at `p` (from the center, in pixels) shows the old one at `R⁻¹(p − t)/s`, with the rotation R,
//! the shift t and the scale s drawn evenly from their ranges; between pixels the old image is interpolated bilinearly,
//! outside it is black. The draw is a function of seed, epoch and row: the same in any order and batch. As `RandomAffine`
//! of torchvision, which the reference implementation of the oscillators uses with 15°, (0, 0.05) and 0.9 to 1.1; that one
//! takes the nearest pixel and shifts by whole ones, and so does `nearest`.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use sims::Key;

use super::pixels::{Images, Reduction};
use crate::Error;
use crate::document::Document;

/// How training images are varied.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct AugmentationConfig {
    /// Largest turn either way, in degrees (0).
    #[schemars(range(min = 0, max = 180))]
    pub rotation_degrees: f64,
    /// Largest shift to either side, as a fraction of the image's width (0).
    #[schemars(range(min = 0, max = 1))]
    pub shift_x: f64,
    /// Largest shift up or down, as a fraction of the image's height (0).
    #[schemars(range(min = 0, max = 1))]
    pub shift_y: f64,
    /// Smallest scale (1).
    #[schemars(range(min = 0.01, max = 100))]
    pub scale_low: f64,
    /// Largest scale (1).
    #[schemars(range(min = 0.01, max = 100))]
    pub scale_high: f64,
    /// Whether every other image, at random, is mirrored left to right (false): for clothes, not for digits.
    pub mirror: bool,
    /// Whether the nearest pixel is taken, and shifts are by whole pixels, in place of what lies between (false): as torchvision does.
    pub nearest: bool,
}

impl Default for AugmentationConfig {
    fn default() -> Self {
        Self {
            rotation_degrees: 0.0,
            shift_x: 0.0,
            shift_y: 0.0,
            scale_low: 1.0,
            scale_high: 1.0,
            mirror: false,
            nearest: false,
        }
    }
}

impl AugmentationConfig {
    /// Refuses what makes no image.
    pub(super) fn sensible(&self, document: &Document) -> Result<(), Error> {
        let refuse = |key: &str, message: String| Err(document.refuse(&format!("data.augmentation.{key}"), message));
        if !(0.0..=180.0).contains(&self.rotation_degrees) {
            return refuse("rotation_degrees", format!("is {}, but it must be 0 to 180", self.rotation_degrees));
        }
        for (key, value) in [("shift_x", self.shift_x), ("shift_y", self.shift_y)] {
            if !(0.0..=1.0).contains(&value) {
                return refuse(key, format!("is {value}, but it must be 0 to 1, a fraction of the image"));
            }
        }
        if !(self.scale_low > 0.0 && self.scale_low <= self.scale_high && self.scale_high.is_finite()) {
            let message = format!(
                "is {}, but it must be above 0 and at most scale_high, which is {}",
                self.scale_low, self.scale_high
            );
            return refuse("scale_low", message);
        }
        Ok(())
    }
}

/// The training images, and how each epoch varies them.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Augmented {
    pub images: Images,
    pub reduction: Reduction,
    pub config: AugmentationConfig,
    pub key: Key,
}

impl Augmented {
    /// The training rows at `indices`, as they are shown in `epoch`.
    pub fn rows(&self, epoch: usize, indices: &[usize], width: usize) -> Vec<f32> {
        let mut rows = Vec::with_capacity(indices.len() * width);
        for &index in indices {
            let view = self.view(self.key.number(epoch as u64).number(index as u64));
            let image = self.images.image(index);
            self.reduction.reduce(&self.images, |y, x| view.pixel(image, y, x), &mut rows);
        }
        rows
    }

    /// A drawn view of an image.
    fn view(&self, key: Key) -> View {
        let AugmentationConfig { rotation_degrees, shift_x, shift_y, scale_low, scale_high, mirror, nearest } =
            self.config;
        let mut stream = key.stream();
        let mut within = |low: f64, high: f64| low + (high - low) * f64::from(stream.uniform());
        let angle = within(-rotation_degrees, rotation_degrees).to_radians();
        let [height, width] = self.images.size.map(|side| side as f64);
        let (right, down) = (width * within(-shift_x, shift_x), height * within(-shift_y, shift_y));
        let scale = within(scale_low, scale_high);
        let flip = if mirror && within(0.0, 1.0) < 0.5 { -1.0 } else { 1.0 };
        let (sin, cos) = angle.sin_cos();
        let [sin, cos] = [sin / scale, cos / scale].map(|value| value as f32);
        View {
            size: self.images.size,
            center: [0.5 * (height - 1.0), 0.5 * (width - 1.0)].map(|value| value as f32),
            shift: [down, right].map(|shift| if nearest { shift.round() as f32 } else { shift as f32 }),
            sin,
            cos,
            flip: flip as f32,
            nearest,
        }
    }
}

/// Where each pixel of a varied image comes from.
struct View {
    size: [usize; 2],
    center: [f32; 2],
    shift: [f32; 2],
    sin: f32,
    cos: f32,
    flip: f32,
    nearest: bool,
}

impl View {
    /// The pixel at line `y` and column `x`.
    fn pixel(&self, image: &[u8], y: usize, x: usize) -> f32 {
        let (down, right) = (y as f32 - self.center[0] - self.shift[0], x as f32 - self.center[1] - self.shift[1]);
        let from_y = self.cos * down - self.sin * right + self.center[0];
        let from_x = self.flip * (self.sin * down + self.cos * right) + self.center[1];
        let at = |line: f32, column: f32| {
            let inside = line >= 0.0 && column >= 0.0 && line < self.size[0] as f32 && column < self.size[1] as f32;
            if inside { f32::from(image[line as usize * self.size[1] + column as usize]) } else { 0.0 }
        };
        if self.nearest {
            return at(from_y.round(), from_x.round());
        }
        let (top, left) = (from_y.floor(), from_x.floor());
        let (low, side) = (from_y - top, from_x - left);
        (1.0 - low) * ((1.0 - side) * at(top, left) + side * at(top, left + 1.0))
            + low * ((1.0 - side) * at(top + 1.0, left) + side * at(top + 1.0, left + 1.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::Span;

    fn augmented(config: AugmentationConfig) -> Augmented {
        let pixels = (0..2 * 25).map(|pixel| (pixel * 5) as u8).collect();
        let images = Images { pixels, size: [5, 5], white: 1 };
        let reduction = Reduction { average: 1, stride: 1, range: Span::default() };
        Augmented { images, reduction, config, key: Key::new(3) }
    }

    fn row(augmented: &Augmented, epoch: usize, index: usize) -> Vec<f32> {
        augmented.rows(epoch, &[index], 25)
    }

    fn original(augmented: &Augmented, index: usize) -> Vec<f32> {
        augmented.images.rows(&[index], &augmented.reduction)
    }

    #[test]
    fn nothing_to_vary_changes_nothing() {
        let augmented = augmented(AugmentationConfig::default());
        assert_eq!(row(&augmented, 1, 1), original(&augmented, 1));
    }

    #[test]
    fn a_view_depends_on_epoch_and_row_but_not_on_the_batch() {
        let config = AugmentationConfig {
            rotation_degrees: 15.0,
            shift_y: 0.2,
            scale_low: 0.9,
            scale_high: 1.1,
            ..Default::default()
        };
        let augmented = augmented(config);
        assert_ne!(row(&augmented, 1, 0), row(&augmented, 2, 0));
        assert_eq!(augmented.rows(1, &[1, 0], 25), [row(&augmented, 1, 1), row(&augmented, 1, 0)].concat());
    }

    #[test]
    fn a_quarter_turn_puts_the_top_line_on_a_side() {
        let augmented = augmented(AugmentationConfig::default());
        let view =
            View { size: [5, 5], center: [2.0, 2.0], shift: [0.0, 0.0], sin: 1.0, cos: 0.0, flip: 1.0, nearest: false };
        let image = augmented.images.image(0);
        for (line, column) in (0..5).flat_map(|line| (0..5).map(move |column| (line, column))) {
            assert_eq!(view.pixel(image, line, column), f32::from(image[(4 - column) * 5 + line]));
        }
    }

    #[test]
    fn shifts_scales_and_mirrors_do_what_they_say() {
        let of = augmented(AugmentationConfig::default());
        let image = of.images.image(0);
        let plain =
            View { size: [5, 5], center: [2.0, 2.0], shift: [0.0, 0.0], sin: 0.0, cos: 1.0, flip: 1.0, nearest: false };
        let down = View { shift: [1.0, 0.0], ..plain };
        assert_eq!([down.pixel(image, 0, 0), down.pixel(image, 1, 3)], [0.0, f32::from(image[3])]);
        let between = View { shift: [0.0, 0.5], ..plain };
        assert_eq!(between.pixel(image, 2, 2), 0.5 * (f32::from(image[11]) + f32::from(image[12])));
        let whole = View { nearest: true, ..between };
        assert_eq!(whole.pixel(image, 2, 3), f32::from(image[13]), "the nearest, not what lies between");
        let twice = View { cos: 0.5, ..plain };
        assert_eq!(twice.pixel(image, 2, 4), f32::from(image[13]));
        let mirrored = View { flip: -1.0, ..plain };
        assert_eq!(mirrored.pixel(image, 1, 0), f32::from(image[9]));
    }

    #[test]
    fn ranges_without_sense_are_refused() {
        let document = Document::parse("a.toml", "[data.augmentation]\nscale_low = 2\n").unwrap();
        let error = |config: AugmentationConfig| config.sensible(&document).unwrap_err().to_string();
        assert_eq!(
            error(AugmentationConfig { scale_low: 2.0, ..Default::default() }),
            "a.toml:2: `data.augmentation.scale_low` is 2, but it must be above 0 and at most scale_high, which is 1"
        );
        assert!(error(AugmentationConfig { rotation_degrees: -1.0, ..Default::default() }).contains("0 to 180"));
        assert!(error(AugmentationConfig { shift_x: 5.0, ..Default::default() }).contains("a fraction of the image"));
    }
}
