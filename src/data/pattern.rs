//! Images that the program makes itself.

use rayon::prelude::*;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use sims::{Key, Pixels};

/// Pixels of a side.
const SIDE: usize = 64;
/// Steps until the pattern fills the image.
const STEPS: usize = 6000;

/// An image that is made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Pattern {
    /// The labyrinth of two substances that react and diffuse (Gray and Scott, Chem. Eng. Sci. 39, 1087, 1984; the feed and kill rates are
    /// Pearson's, Science 261, 189, 1993), 64 × 64 pixels in gray.
    GrayScott,
    /// Diagonal stripes of two colors, eight pixels wide, 64 × 64 pixels.
    Stripes,
}

impl Pattern {
    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Self::GrayScott => "gray-scott",
            Self::Stripes => "stripes",
        }
    }

    /// The image.
    pub fn image(self) -> Pixels<f32> {
        let colors = match self {
            Self::GrayScott => gray_scott(),
            Self::Stripes => (0..SIDE * SIDE)
                .flat_map(|cell| {
                    let phase = std::f32::consts::TAU * ((cell / SIDE + cell % SIDE) % 16) as f32 / 16.0;
                    let share = 0.5 + 0.5 * phase.sin();
                    [0.1 + 0.8 * share, 0.3 + 0.3 * share, 0.8 - 0.7 * share]
                })
                .collect(),
        };
        Pixels { size: [SIDE; 2], colors }
    }
}

/// `∂u = Dᵤ∇²u − uv² + F(1 − u)`, `∂v = Dᵥ∇²v + uv² − (F + k)v` on a torus, with Dᵤ 0.16, Dᵥ 0.08, F 0.035, k 0.060 and a step of 1.
fn gray_scott() -> Vec<f32> {
    const RATES: [f32; 4] = [0.16, 0.08, 0.035, 0.060];
    let mut stream = Key::new(1).branch("gray-scott").stream();
    let start = |_| if stream.uniform() < 0.5 { [1.0, 0.0] } else { [0.5, 0.25 + 0.02 * stream.normal()] };
    let mut field: Vec<[f32; 2]> = (0..SIDE * SIDE).map(start).collect();
    let mut next = field.clone();
    for _ in 0..STEPS {
        next.par_chunks_mut(SIDE * 16).enumerate().for_each(|(piece, next)| {
            for (place, next) in next.iter_mut().enumerate() {
                let cell = piece * SIDE * 16 + place;
                let (y, x) = (cell / SIDE, cell % SIDE);
                let at = |dy: usize, dx: usize| field[(y + dy) % SIDE * SIDE + (x + dx) % SIDE];
                let [u, v] = field[cell];
                let spread = |which: usize| {
                    at(1, 0)[which] + at(SIDE - 1, 0)[which] + at(0, 1)[which] + at(0, SIDE - 1)[which]
                        - 4.0 * field[cell][which]
                };
                let [du, dv, feed, kill] = RATES;
                let reacted = u * v * v;
                *next =
                    [u + du * spread(0) - reacted + feed * (1.0 - u), v + dv * spread(1) + reacted - (feed + kill) * v];
            }
        });
        std::mem::swap(&mut field, &mut next);
    }
    let most = field.iter().fold(f32::MIN_POSITIVE, |most, [_, v]| most.max(*v));
    field.into_iter().flat_map(|[_, v]| [v / most; sims::COLORS]).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_made_image_has_a_pattern_and_no_number_beyond_it() {
        for pattern in [Pattern::GrayScott, Pattern::Stripes] {
            let image = pattern.image();
            assert_eq!(image.colors.len(), SIDE * SIDE * sims::COLORS);
            assert!(image.colors.iter().all(|color| (0.0..=1.0).contains(color)), "{}", pattern.name());
            let mean = image.colors.iter().sum::<f32>() / image.colors.len() as f32;
            let spread =
                image.colors.iter().map(|color| (color - mean).powi(2)).sum::<f32>() / image.colors.len() as f32;
            assert!(0.01 < spread, "{}: {mean} ± {spread}", pattern.name());
        }
    }
}
