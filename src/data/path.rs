//! Images in motion: turned, shifted or scaled to and fro, frame after frame.
//!
//! ```text
//! a(t) = amplitude · sin(φ + 2π t/period)        φ even in 0 to 2π, the period even between its ends
//! ```
//!
//! `a` is an angle, a shift along a direction that is drawn once, or the share by which an image grows. A pixel at `p` from the center shows
//! the image at `R⁻¹(p − t)/s`, interpolated bilinearly; outside the image is blank.

use std::f32::consts::TAU;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use sims::Key;

/// How images are moved to make sequences of them.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct PathConfig {
    /// What moves (rotate).
    pub kind: PathKind,
    /// How far to either side: degrees, pixels, or a share of the size (30).
    #[schemars(range(max = 1000), extend("exclusiveMinimum" = 0))]
    pub amplitude: f32,
    /// Frames of a whole swing, from the fewest to the most: each sequence draws its own (24 to 48).
    #[schemars(inner(range(min = 2, max = 100_000)))]
    pub period: [f32; 2],
}

/// How an image moves.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum PathKind {
    /// It turns about its center, in degrees.
    #[default]
    Rotate,
    /// It shifts along a direction, in pixels.
    Translate,
    /// It grows and shrinks, as a share of its size.
    Scale,
}

impl PathKind {
    /// In a sentence.
    pub fn words(self) -> &'static str {
        match self {
            Self::Rotate => "turned",
            Self::Translate => "shifted",
            Self::Scale => "scaled",
        }
    }
}

impl Default for PathConfig {
    fn default() -> Self {
        Self { kind: PathKind::Rotate, amplitude: 30.0, period: [24.0, 48.0] }
    }
}

impl PathConfig {
    /// So many frames of an image of `size`, whose blank is `blank`, one after another.
    pub fn frames(&self, image: &[f32], (size, blank): ([usize; 2], f32), count: usize, key: Key) -> Vec<f32> {
        let mut stream = key.stream();
        let phase = TAU * stream.uniform();
        let [short, long] = self.period;
        let period = short + (long - short) * stream.uniform();
        let (along_y, along_x) = (TAU * stream.uniform()).sin_cos();
        let mut frames = Vec::with_capacity(count * image.len());
        for frame in 0..count {
            let place = self.amplitude * (phase + TAU * frame as f32 / period).sin();
            let view = match self.kind {
                PathKind::Rotate => View { turn: place.to_radians(), shift: [0.0; 2], scale: 1.0 },
                PathKind::Translate => View { turn: 0.0, shift: [place * along_y, place * along_x], scale: 1.0 },
                PathKind::Scale => View { turn: 0.0, shift: [0.0; 2], scale: (1.0 + place).max(0.05) },
            };
            view.draw(image, (size, blank), &mut frames);
        }
        frames
    }
}

/// How an image is seen in one frame.
struct View {
    turn: f32,
    /// Down and to the right, in pixels.
    shift: [f32; 2],
    scale: f32,
}

impl View {
    fn draw(&self, image: &[f32], ([height, width], blank): ([usize; 2], f32), frames: &mut Vec<f32>) {
        let center = [height, width].map(|side| 0.5 * (side as f32 - 1.0));
        let (sin, cos) = self.turn.sin_cos();
        let at = |line: f32, column: f32| {
            let inside = line >= 0.0 && column >= 0.0 && line < height as f32 && column < width as f32;
            if inside { image[line as usize * width + column as usize] } else { blank }
        };
        for (y, x) in (0..height).flat_map(|y| (0..width).map(move |x| (y, x))) {
            let (down, right) = (y as f32 - center[0] - self.shift[0], x as f32 - center[1] - self.shift[1]);
            let from_y = (cos * down - sin * right) / self.scale + center[0];
            let from_x = (sin * down + cos * right) / self.scale + center[1];
            let (top, left) = (from_y.floor(), from_x.floor());
            let (low, side) = (from_y - top, from_x - left);
            frames.push(
                (1.0 - low) * ((1.0 - side) * at(top, left) + side * at(top, left + 1.0))
                    + low * ((1.0 - side) * at(top + 1.0, left) + side * at(top + 1.0, left + 1.0)),
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_image_turns_shifts_and_grows() {
        let image = [0.0, 1.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0];
        let seen = |turn: f32, shift, scale| {
            let mut frames = vec![];
            View { turn: turn.to_radians(), shift, scale }.draw(&image, ([3, 3], 0.0), &mut frames);
            frames.into_iter().map(|value| (10.0 * value).round() / 10.0).collect::<Vec<f32>>()
        };
        assert_eq!(seen(0.0, [0.0; 2], 1.0), image);
        // A quarter turn brings the top to a side, the next one to the bottom.
        let quarter = seen(90.0, [0.0; 2], 1.0);
        assert!(quarter[3] == 1.0 || quarter[5] == 1.0, "{quarter:?}");
        assert_eq!(seen(180.0, [0.0; 2], 1.0)[7], 1.0);
        assert_eq!(seen(0.0, [1.0, 1.0], 1.0)[5], 1.0);
        assert_eq!(seen(0.0, [0.5, 0.0], 1.0)[1], 0.5);
        // Twice as large: what was one pixel from the center is two away, beyond the edge, and half of it is left at one.
        assert_eq!(seen(0.0, [0.0; 2], 2.0)[1], 0.5);
    }

    #[test]
    fn a_swing_comes_back_after_a_period_and_is_a_function_of_its_key() {
        let path = PathConfig { period: [8.0, 8.0], ..PathConfig::default() };
        let image: Vec<f32> = (0..16).map(|pixel| pixel as f32).collect();
        let frames = path.frames(&image, ([4, 4], 0.0), 9, Key::new(1));
        assert_eq!(frames.len(), 9 * 16);
        for (first, last) in frames[..16].iter().zip(&frames[8 * 16..]) {
            assert!((first - last).abs() < 1e-4);
        }
        assert_ne!(frames[..16], frames[2 * 16..3 * 16]);
        assert_eq!(frames, path.frames(&image, ([4, 4], 0.0), 9, Key::new(1)));
        assert_ne!(frames, path.frames(&image, ([4, 4], 0.0), 9, Key::new(2)));
    }
}
