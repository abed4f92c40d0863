//! Adam (Kingma and Ba 2015) in one pass over the values.
//!
//! ```text
//! m ← β₁ m + (1 − β₁) g        v ← β₂ v + (1 − β₂) g²        w ← w − η m̂/(√v̂ + ε)        m̂ = m/(1 − β₁ᵗ), v̂ = v/(1 − β₂ᵗ)
//! ```
//!
//! burn's optimizer composes this of a dozen tensor operations, each of which walks through memory and allocates.

/// Decay of the mean gradient.
const BETA_1: f64 = 0.9;
/// Decay of the mean square.
const BETA_2: f64 = 0.999;
/// Keeps a weight that never had a gradient where it is.
const EPSILON: f64 = 1e-8;

/// The numbers of one weight.
pub struct Weight<'a> {
    /// Its values.
    pub values: &'a mut [f32],
    /// m.
    pub mean: &'a mut [f32],
    /// v.
    pub square: &'a mut [f32],
}

/// The step with number `time`, counted from 1, of size `learning_rate` along `gradient`.
pub fn step(learning_rate: f64, time: usize, gradient: &[f32], of: Weight<'_>) {
    let unbiased = |beta: f64| 1.0 - beta.powi(i32::try_from(time).unwrap_or(i32::MAX));
    let root = unbiased(BETA_2).sqrt();
    pulp::Arch::new().dispatch(Pass {
        size: (learning_rate * root / unbiased(BETA_1)) as f32,
        epsilon: (EPSILON * root) as f32,
        gradient,
        of,
    });
}

/// All values of one weight. A struct, because a borrowing closure is not compiled for the vector unit.
struct Pass<'a> {
    /// η √(1 − β₂ᵗ)/(1 − β₁ᵗ).
    size: f32,
    /// ε √(1 − β₂ᵗ).
    epsilon: f32,
    gradient: &'a [f32],
    of: Weight<'a>,
}

impl pulp::NullaryFnOnce for Pass<'_> {
    type Output = ();

    #[inline(always)]
    fn call(self) {
        let Self { size, epsilon, gradient, of } = self;
        let (keep_1, keep_2) = (BETA_1 as f32, BETA_2 as f32);
        let (add_1, add_2) = ((1.0 - BETA_1) as f32, (1.0 - BETA_2) as f32);
        let moments = of.mean.iter_mut().zip(of.square);
        for ((gradient, value), (mean, square)) in gradient.iter().zip(of.values).zip(moments) {
            *mean = keep_1 * *mean + add_1 * gradient;
            *square = keep_2 * *square + add_2 * (gradient * gradient);
            *value -= size * *mean / (square.sqrt() + epsilon);
        }
    }
}

/// The sum of the squares of some gradients, in the order of the values.
pub fn sum_of_squares(gradient: &[f32]) -> f64 {
    pulp::Arch::new().dispatch(Squares(gradient))
}

/// All values of one gradient, in lanes so that the additions do not wait for each other.
struct Squares<'a>(&'a [f32]);

impl pulp::NullaryFnOnce for Squares<'_> {
    type Output = f64;

    #[inline(always)]
    fn call(self) -> f64 {
        let mut lanes = [0.0_f64; 8];
        for part in self.0.chunks(lanes.len()) {
            for (lane, value) in lanes.iter_mut().zip(part) {
                *lane += f64::from(*value) * f64::from(*value);
            }
        }
        lanes.iter().sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn squares_are_summed_in_double_precision() {
        assert_eq!(sum_of_squares(&[3.0; 19]), 171.0);
        assert!(sum_of_squares(&[1.0, f32::NAN]).is_nan());
        assert_eq!(sum_of_squares(&[1e30; 2]), 2.0 * f64::from(1e30_f32).powi(2));
    }
}
