//! The scalar of the kernels: `f32` for speed, `f64` for checking gradients, dual numbers for derivatives with respect to
//! coefficients, and blocks of shots side by side.
//!
//! The `f32` functions are branch-free polynomials, so that a loop over [`LANES`] shots compiles to vector
//! instructions. They use fused multiply–add explicitly: results do not depend on the vector unit that is found.
//! NaN stays NaN in every function: a computation that went wrong must not read like a measurement.
//! Polynomials after Moshier's Cephes library (`expf.c`, `sinf.c`, `logf.c`).

use std::ops::{Add, AddAssign, Div, Mul, Neg, Sub, SubAssign};

/// Shots that a kernel advances side by side.
pub const LANES: usize = 16;

/// One value for each of the shots of a block.
pub type Lanes<S> = [S; LANES];

/// A real number of a kernel.
pub trait Real:
    Copy
    + Send
    + Sync
    + PartialOrd
    + std::fmt::Debug
    + Default
    + Add<Output = Self>
    + Sub<Output = Self>
    + Mul<Output = Self>
    + Div<Output = Self>
    + Neg<Output = Self>
    + AddAssign
    + SubAssign
    + 'static
{
    /// The same in double precision: what a kernel's constants are worked out in.
    type Wide: Real;

    /// From 1 to the next number.
    const EPSILON: f64;

    /// The nearest number to `value`.
    fn of(value: f64) -> Self;
    /// The nearest number to `wide`.
    fn nearest(wide: Self::Wide) -> Self;
    /// The number in double precision.
    fn to_f64(self) -> f64;
    /// `self·factor + summand`, rounded once.
    fn mul_add(self, factor: Self, summand: Self) -> Self;
    /// The smaller one; NaN if either is.
    fn min(self, other: Self) -> Self;
    /// The larger one; NaN if either is.
    fn max(self, other: Self) -> Self;
    /// The magnitude.
    fn abs(self) -> Self;
    /// The square root.
    fn sqrt(self) -> Self;
    /// e to the power of it. In `f32` the argument is clamped to ±87 and the relative error is below 2e-7.
    fn exp(self) -> Self;
    /// The natural logarithm of a positive number; that of infinity is infinite. In `f32` the error is below 2e-7 of the larger of 1 and the result.
    fn ln(self) -> Self;
    /// Sine and cosine. In `f32` for magnitudes up to 1,000, with an absolute error below 2e-7; beyond 10⁷ within ±1, and nothing more.
    fn sin_cos(self) -> (Self, Self);

    /// The same values where they are in single precision, which has vector registers of its own.
    fn singles(_: &[Self]) -> Option<&[f32]> {
        None
    }
    /// The same values where they are in single precision, to be changed.
    fn singles_mut(_: &mut [Self]) -> Option<&mut [f32]> {
        None
    }
    /// The same list where it is in single precision.
    fn many(_: &mut Vec<Self>) -> Option<&mut Vec<f32>> {
        None
    }
}

impl Real for f64 {
    type Wide = f64;

    const EPSILON: f64 = Self::EPSILON;

    fn of(value: f64) -> Self {
        value
    }
    fn nearest(wide: f64) -> Self {
        wide
    }
    fn to_f64(self) -> f64 {
        self
    }
    fn mul_add(self, factor: Self, summand: Self) -> Self {
        f64::mul_add(self, factor, summand)
    }
    fn min(self, other: Self) -> Self {
        smaller(self, other)
    }
    fn max(self, other: Self) -> Self {
        larger(self, other)
    }
    fn abs(self) -> Self {
        f64::abs(self)
    }
    fn sqrt(self) -> Self {
        f64::sqrt(self)
    }
    fn exp(self) -> Self {
        f64::exp(self)
    }
    fn ln(self) -> Self {
        f64::ln(self)
    }
    fn sin_cos(self) -> (Self, Self) {
        f64::sin_cos(self)
    }
}

/// The smaller one; NaN if either is. The library's `min` returns the other number instead.
#[inline(always)]
#[allow(clippy::eq_op)] // Only NaN differs from itself.
fn smaller<S: PartialOrd + Copy>(a: S, b: S) -> S {
    // NaN is smaller than nothing: the comparison keeps that of `b`.
    let least = if a < b { a } else { b };
    if a == a { least } else { a }
}

/// The larger one; NaN if either is.
#[inline(always)]
#[allow(clippy::eq_op)] // Only NaN differs from itself.
fn larger<S: PartialOrd + Copy>(a: S, b: S) -> S {
    let most = if a < b { b } else { a };
    if b == b { most } else { b }
}

/// 1.5·2^23: adding it to a small number leaves the nearest integer in the low bits.
const ROUNDER: f32 = 12_582_912.0;

impl Real for f32 {
    type Wide = f64;

    const EPSILON: f64 = Self::EPSILON as f64;

    #[inline(always)]
    fn singles(values: &[f32]) -> Option<&[f32]> {
        Some(values)
    }
    #[inline(always)]
    fn singles_mut(values: &mut [f32]) -> Option<&mut [f32]> {
        Some(values)
    }
    #[inline(always)]
    fn many(values: &mut Vec<f32>) -> Option<&mut Vec<f32>> {
        Some(values)
    }
    #[inline(always)]
    fn of(value: f64) -> Self {
        value as f32
    }
    #[inline(always)]
    fn nearest(wide: f64) -> Self {
        wide as f32
    }
    #[inline(always)]
    fn to_f64(self) -> f64 {
        f64::from(self)
    }
    #[inline(always)]
    fn mul_add(self, factor: Self, summand: Self) -> Self {
        f32::mul_add(self, factor, summand)
    }
    #[inline(always)]
    fn min(self, other: Self) -> Self {
        smaller(self, other)
    }
    #[inline(always)]
    fn max(self, other: Self) -> Self {
        larger(self, other)
    }
    #[inline(always)]
    fn abs(self) -> Self {
        f32::abs(self)
    }
    #[inline(always)]
    fn sqrt(self) -> Self {
        f32::sqrt(self)
    }
    #[inline(always)]
    fn exp(self) -> Self {
        let x = Real::min(Real::max(self, -87.0), 87.0);
        let shifted = x.mul_add(std::f32::consts::LOG2_E, ROUNDER);
        let n = shifted - ROUNDER;
        // ln 2 in two parts, so that the product with n is exact.
        let r = n.mul_add(2.121_944_4e-4, n.mul_add(-0.693_359_375, x));
        let mut p = 1.987_569_1e-4_f32;
        for coefficient in [1.398_199_9e-3, 8.333_452e-3, 4.166_579_6e-2, 1.666_666_5e-1, 0.5] {
            p = p.mul_add(r, coefficient);
        }
        let mantissa = p.mul_add(r * r, r) + 1.0;
        // The integer sits in the low bits of `shifted`; moved to the exponent field it is a factor of 2^n.
        let exponent = (shifted.to_bits() << 23).wrapping_add(0x3F80_0000);
        mantissa * f32::from_bits(exponent)
    }
    #[inline(always)]
    fn ln(self) -> Self {
        // Cut so that the mantissa lies in [√½, √2).
        let offset = self.to_bits().wrapping_sub(0x3F35_04F3);
        let exponent = (offset as i32 >> 23) as f32;
        let r = f32::from_bits((offset & 0x007F_FFFF).wrapping_add(0x3F35_04F3)) - 1.0;
        let mut p = 7.037_683_6e-2_f32;
        for coefficient in [
            -0.115_146_1,
            0.116_769_99,
            -0.124_201_41,
            0.142_493_23,
            -0.166_680_57,
            0.200_007_14,
            -0.249_999_94,
            0.333_333_3,
        ] {
            p = p.mul_add(r, coefficient);
        }
        let square = r * r;
        let tail = exponent.mul_add(-2.121_944_4e-4, p * r * square - 0.5 * square);
        let result = exponent.mul_add(0.693_359_375, r + tail);
        // The bits of NaN and infinity read like those of a large number.
        if self < Self::INFINITY { result } else { self }
    }
    #[inline(always)]
    fn sin_cos(self) -> (Self, Self) {
        let shifted = self.mul_add(std::f32::consts::FRAC_2_PI, ROUNDER);
        let n = shifted - ROUNDER;
        let quadrant = shifted.to_bits();
        // π/2 in three parts (Cody and Waite).
        let r = n.mul_add(-7.549_789_4e-8, n.mul_add(-4.837_512_969_97e-4, n.mul_add(-1.570_312_5, self)));
        // Beyond some 10⁷ the next number is an angle away: what is left means nothing, and the values stay within ±1. NaN stays.
        let r = if 0.8 < r.abs() { 0.0 } else { r };
        let square = r * r;
        let sin =
            (-1.951_529_6e-4_f32).mul_add(square, 8.332_161e-3).mul_add(square, -1.666_665_5e-1).mul_add(square * r, r);
        let cos = 2.443_315_7e-5_f32
            .mul_add(square, -1.388_731_6e-3)
            .mul_add(square, 4.166_664_6e-2)
            .mul_add(square * square, (-0.5_f32).mul_add(square, 1.0));
        let swapped = quadrant & 1 == 1;
        let (a, b) = if swapped { (cos, sin) } else { (sin, cos) };
        let sin_sign = (quadrant & 2) << 30;
        let cos_sign = (quadrant.wrapping_add(1) & 2) << 30;
        (f32::from_bits(a.to_bits() ^ sin_sign), f32::from_bits(b.to_bits() ^ cos_sign))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn worst(low: f64, high: f64, error: impl Fn(f32) -> f64) -> f64 {
        (0..=200_000).map(|k| error((low + (high - low) * f64::from(k) / 200_000.0) as f32)).fold(0.0, f64::max)
    }

    #[test]
    fn sines_of_any_angle_stay_within_one() {
        for angle in [1e7, -3.3e7, 1e8, 2.5e9, 1e15, f32::MAX] {
            for one in [angle, -angle] {
                let (sin, cos) = Real::sin_cos(one);
                assert!(sin.abs() <= 1.0 && cos.abs() <= 1.0, "{one}: {sin} {cos}");
            }
        }
        let (sin, cos) = Real::sin_cos(f32::NAN);
        assert!(sin.is_nan() && cos.is_nan());
        assert!(Real::sin_cos(f32::INFINITY).0.is_nan());
    }

    #[test]
    fn the_exponential_keeps_its_stated_accuracy() {
        let error = worst(-86.0, 86.0, |x| (f64::from(Real::exp(x)) / f64::from(x).exp() - 1.0).abs());
        assert!(error < 2e-7, "{error:e}");
        assert!(Real::exp(1e9_f32).is_finite() && Real::exp(-1e9_f32) > 0.0);
    }

    #[test]
    fn nan_stays_nan() {
        fn check<S: Real>() {
            let (nan, one) = (S::of(f64::NAN), S::of(1.0));
            let (sin, cos) = nan.sin_cos();
            let results = [
                ("exp", nan.exp()),
                ("ln", nan.ln()),
                ("sin", sin),
                ("cos", cos),
                ("sqrt", nan.sqrt()),
                ("abs", nan.abs()),
                ("min", Real::min(nan, one)),
                ("min of the other", Real::min(one, nan)),
                ("max", Real::max(nan, one)),
                ("max of the other", Real::max(one, nan)),
                ("mul_add", nan.mul_add(S::of(0.0), one)),
                ("a clamped value", Real::min(Real::max(nan, -one), one)),
            ];
            for (name, result) in results {
                assert!(result.to_f64().is_nan(), "{name}: {result:?}");
            }
        }
        check::<f32>();
        check::<f64>();
        check::<crate::dual::Dual<f32>>();
        assert_eq!(Real::ln(f32::INFINITY), f32::INFINITY);
        assert_eq!((Real::min(1.0_f32, 2.0), Real::max(1.0_f32, 2.0)), (1.0, 2.0));
    }

    #[test]
    fn the_logarithm_keeps_its_stated_accuracy() {
        let error = worst(-80.0, 80.0, |t| {
            let x = t.exp();
            let exact = f64::from(x).ln();
            (f64::from(Real::ln(x)) - exact).abs() / exact.abs().max(1.0)
        });
        assert!(error < 2e-7, "{error:e}");
    }

    #[test]
    fn sine_and_cosine_keep_their_stated_accuracy() {
        let error = worst(-1000.0, 1000.0, |x| {
            let (sin, cos) = Real::sin_cos(x);
            let (exact_sin, exact_cos) = f64::from(x).sin_cos();
            (f64::from(sin) - exact_sin).abs().max((f64::from(cos) - exact_cos).abs())
        });
        assert!(error < 2e-7, "{error:e}");
    }
}
