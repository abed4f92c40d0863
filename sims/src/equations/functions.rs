//! Functions of lanes that [`Real`] does not have: made of those that it has, branch-free, with NaN where they have no value.
//!
//! The arc tangent is that of Moshier's Cephes library (`atan.c`).

use super::terms::Function;
use crate::Real;

/// The value of `function` at `x`.
#[inline(always)]
pub(super) fn value<S: Real>(function: Function, x: S) -> S {
    let of = S::of;
    match function {
        Function::Exp => x.exp(),
        Function::Ln => logarithm(x),
        Function::Sqrt => x.sqrt(),
        Function::Sin => x.sin_cos().0,
        Function::Cos => x.sin_cos().1,
        Function::Tan => {
            let (sine, cosine) = x.sin_cos();
            sine / cosine
        }
        Function::Asin => arc_tangent(x / ((of(1.0) - x) * (of(1.0) + x)).sqrt()),
        Function::Acos => of(2.0) * arc_tangent(((of(1.0) - x) / (of(1.0) + x)).sqrt()),
        Function::Atan => arc_tangent(x),
        Function::Sinh => hyperbolic_sine(x),
        Function::Cosh => of(0.5) * (x.exp() + (-x).exp()),
        Function::Tanh => {
            // Beyond 20 it is 1 to the last bit.
            let x = x.max(of(-20.0)).min(of(20.0));
            hyperbolic_sine(x) / (of(0.5) * (x.exp() + (-x).exp()))
        }
        Function::Abs => x.abs(),
        Function::Sign => {
            if of(0.0) < x {
                of(1.0)
            } else if x < of(0.0) {
                of(-1.0)
            } else {
                x
            }
        }
        Function::Floor => floor(x),
    }
}

/// The largest whole number that is not above `x`.
#[inline(always)]
fn floor<S: Real>(x: S) -> S {
    // From `whole` on, all numbers of the precision are whole; added to a smaller one it rounds it.
    let [single, double] = [8_388_608.0, 4_503_599_627_370_496.0].map(S::of);
    let half = S::of(0.5);
    let whole = if single + half == single { single } else { double };
    let size = x.abs();
    let near = (size + whole) - whole;
    let near = if x < S::of(0.0) { -near } else { near };
    let below = if x < near { near - S::of(1.0) } else { near };
    if size < whole { below } else { x }
}

#[inline(always)]
fn logarithm<S: Real>(x: S) -> S {
    let inside = x.ln();
    let edge = if x == S::of(0.0) { S::of(f64::NEG_INFINITY) } else { S::of(f64::NAN) };
    if S::of(0.0) < x { inside } else { edge }
}

/// a^b of a positive a.
#[inline(always)]
pub(super) fn power<S: Real>(a: S, b: S) -> S {
    (b * logarithm(a)).exp()
}

#[inline(always)]
fn hyperbolic_sine<S: Real>(x: S) -> S {
    let square = x * x;
    // Taylor's series to x^17, below 1.
    let mut near = S::of(1.0);
    for n in [272.0, 210.0, 156.0, 110.0, 72.0, 42.0, 20.0, 6.0] {
        near = (near * square).mul_add(S::of(1.0 / n), S::of(1.0));
    }
    let far = S::of(0.5) * (x.exp() - (-x).exp());
    if x.abs() < S::of(1.0) { near * x } else { far }
}

#[inline(always)]
fn arc_tangent<S: Real>(x: S) -> S {
    let of = |value: f64| S::of(value);
    let size = x.abs();
    let (steep, middle) = (of(2.414_213_562_373_095) < size, of(0.66) < size);
    let base = if steep {
        of(std::f64::consts::FRAC_PI_2)
    } else if middle {
        of(std::f64::consts::FRAC_PI_4)
    } else {
        of(0.0)
    };
    let (above, below) = if steep {
        (of(-1.0), size)
    } else if middle {
        (size - of(1.0), size + of(1.0))
    } else {
        (size, of(1.0))
    };
    let r = above / below;
    let z = r * r;
    let mut p = of(-8.750_608_600_031_904_122_785e-1);
    for coefficient in [
        -1.615_753_718_733_365_076_637e1,
        -7.500_855_792_314_704_667_340e1,
        -1.228_866_684_490_136_173_410e2,
        -6.485_021_904_942_025_371_773e1,
    ] {
        p = p.mul_add(z, of(coefficient));
    }
    let mut q = of(1.0);
    for coefficient in [
        2.485_846_490_142_306_297_962e1,
        1.650_270_098_316_988_542_046e2,
        4.328_810_604_912_902_668_951e2,
        4.853_903_996_359_136_964_868e2,
        1.945_506_571_482_613_964_425e2,
    ] {
        q = q.mul_add(z, of(coefficient));
    }
    let angle = base + (z * p / q).mul_add(r, r);
    if x < of(0.0) { -angle } else { angle }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn functions_keep_their_accuracy_in_both_precisions() {
        for (name, function) in Function::ALL {
            let (low, high) = match function {
                Function::Ln | Function::Sqrt => (1e-6, 50.0),
                Function::Asin | Function::Acos => (-1.0, 1.0),
                Function::Tan => (-1.5, 1.5),
                _ => (-30.0, 30.0),
            };
            for step in 0..=20_000 {
                let x = low + (high - low) * f64::from(step) / 20_000.0;
                let exact = function.value(x);
                let double = value(function, x);
                assert!((double - exact).abs() <= 2e-15 * exact.abs().max(1e-3), "{name}({x}) = {exact}, not {double}");
                let single = value(function, x as f32);
                let exact = function.value(f64::from(x as f32));
                let slack = if function == Function::Tan { 1e-5 } else { 6e-7 };
                assert!(
                    (f64::from(single) - exact).abs() <= slack * exact.abs().max(1.0),
                    "{name}({x}) = {exact}, not {single}"
                );
            }
        }
    }

    #[test]
    fn what_has_no_value_is_not_a_number() {
        for (name, function, x) in [
            ("ln", Function::Ln, -1.0_f64),
            ("asin", Function::Asin, 1.5),
            ("acos", Function::Acos, -1.5),
            ("sqrt", Function::Sqrt, -1.0),
        ] {
            assert!(value(function, x as f32).is_nan() && value(function, x).is_nan(), "{name}");
        }
        for (name, function) in Function::ALL {
            assert!(value(function, f32::NAN).is_nan() && value(function, f64::NAN).is_nan(), "{name}");
        }
        assert_eq!(value(Function::Ln, 0.0_f32), f32::NEG_INFINITY);
        assert_eq!(value(Function::Asin, -1.0_f64), -std::f64::consts::FRAC_PI_2);
    }
}
