//! Dual numbers: a value and how fast it changes with one coefficient. A kernel that runs on them differentiates itself by
//! the chain rule, exactly but for rounding (forward mode; Wengert, Comm. ACM 7, 463 (1964)).

#![allow(clippy::inline_always)] // Kernels are compiled for the vector unit that is found at run time, with all that they call.

use std::ops::{Add, AddAssign, Div, Mul, Neg, Sub, SubAssign};

use crate::{Lanes, Real};

/// A number that depends on a coefficient. Equal: in value and slope; smaller: in value, or in slope at the same value.
#[derive(Debug, Clone, Copy, Default, PartialEq, PartialOrd)]
pub(crate) struct Dual<S> {
    /// The number.
    pub value: S,
    /// Its derivative.
    pub slope: S,
}

/// `values`, of which number `index` is the coefficient itself.
pub(crate) fn along(values: &[f64], index: usize) -> Vec<Dual<f64>> {
    let slope = |place: usize| if place == index { 1.0 } else { 0.0 };
    values.iter().enumerate().map(|(place, value)| Dual { value: *value, slope: slope(place) }).collect()
}

/// What is driven: it depends on no coefficient.
pub(crate) fn constants<S: Real>(values: &[S]) -> Vec<Dual<S>> {
    values.iter().map(|value| Dual { value: *value, slope: S::default() }).collect()
}

/// The same for a block of shots.
pub(crate) fn load<S: Real>(from: &[Lanes<S>], to: &mut [Lanes<Dual<S>>]) {
    for (to, from) in to.as_flattened_mut().iter_mut().zip(from.as_flattened()) {
        *to = Dual { value: *from, slope: S::default() };
    }
}

/// The derivatives of a block's outputs.
pub(crate) fn slopes<S: Real>(from: &[Lanes<Dual<S>>], to: &mut [Lanes<S>]) {
    for (to, from) in to.as_flattened_mut().iter_mut().zip(from.as_flattened()) {
        *to = from.slope;
    }
}

impl<S: Real> Add for Dual<S> {
    type Output = Self;
    #[inline(always)]
    fn add(self, other: Self) -> Self {
        Self { value: self.value + other.value, slope: self.slope + other.slope }
    }
}

impl<S: Real> Sub for Dual<S> {
    type Output = Self;
    #[inline(always)]
    fn sub(self, other: Self) -> Self {
        Self { value: self.value - other.value, slope: self.slope - other.slope }
    }
}

impl<S: Real> Mul for Dual<S> {
    type Output = Self;
    #[inline(always)]
    fn mul(self, other: Self) -> Self {
        Self { value: self.value * other.value, slope: self.value.mul_add(other.slope, self.slope * other.value) }
    }
}

impl<S: Real> Div for Dual<S> {
    type Output = Self;
    #[inline(always)]
    fn div(self, other: Self) -> Self {
        let value = self.value / other.value;
        Self { value, slope: value.mul_add(-other.slope, self.slope) / other.value }
    }
}

impl<S: Real> Neg for Dual<S> {
    type Output = Self;
    #[inline(always)]
    fn neg(self) -> Self {
        Self { value: -self.value, slope: -self.slope }
    }
}

impl<S: Real> AddAssign for Dual<S> {
    #[inline(always)]
    fn add_assign(&mut self, other: Self) {
        *self = *self + other;
    }
}

impl<S: Real> SubAssign for Dual<S> {
    #[inline(always)]
    fn sub_assign(&mut self, other: Self) {
        *self = *self - other;
    }
}

impl<S: Real> Real for Dual<S> {
    type Wide = Dual<S::Wide>;

    const EPSILON: f64 = S::EPSILON;

    #[inline(always)]
    fn of(value: f64) -> Self {
        Self { value: S::of(value), slope: S::default() }
    }
    #[inline(always)]
    fn nearest(wide: Self::Wide) -> Self {
        Self { value: S::nearest(wide.value), slope: S::nearest(wide.slope) }
    }
    #[inline(always)]
    fn to_f64(self) -> f64 {
        self.value.to_f64()
    }
    #[inline(always)]
    fn mul_add(self, factor: Self, summand: Self) -> Self {
        Self {
            value: self.value.mul_add(factor.value, summand.value),
            slope: self.value.mul_add(factor.slope, self.slope.mul_add(factor.value, summand.slope)),
        }
    }
    #[inline(always)]
    #[allow(clippy::eq_op)] // Only NaN differs from itself.
    fn min(self, other: Self) -> Self {
        // In value alone; NaN if either value is.
        let least = if self.value < other.value { self } else { other };
        if self.value == self.value { least } else { self }
    }
    #[inline(always)]
    #[allow(clippy::eq_op)] // Only NaN differs from itself.
    fn max(self, other: Self) -> Self {
        let most = if self.value < other.value { other } else { self };
        if other.value == other.value { most } else { other }
    }
    #[inline(always)]
    fn abs(self) -> Self {
        if self.value < S::default() { -self } else { self }
    }
    #[inline(always)]
    fn sqrt(self) -> Self {
        let value = self.value.sqrt();
        Self { value, slope: self.slope / (value + value) }
    }
    #[inline(always)]
    fn exp(self) -> Self {
        let value = self.value.exp();
        Self { value, slope: value * self.slope }
    }
    #[inline(always)]
    fn ln(self) -> Self {
        Self { value: self.value.ln(), slope: self.slope / self.value }
    }
    #[inline(always)]
    fn sin_cos(self) -> (Self, Self) {
        let (sin, cos) = self.value.sin_cos();
        (Self { value: sin, slope: cos * self.slope }, Self { value: cos, slope: -(sin * self.slope) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_operation_obeys_the_chain_rule() {
        type Operation = fn(Dual<f64>, Dual<f64>) -> Dual<f64>;
        let operations: [(&str, Operation); 12] = [
            ("add", |a, b| a + b),
            ("sub", |a, b| a - b),
            ("mul", |a, b| a * b),
            ("div", |a, b| a / b),
            ("neg", |a, _| -a),
            ("mul_add", |a, b| a.mul_add(b, a)),
            ("min and max", |a, b| a.min(b) + b.max(a) * b),
            ("abs", |a, b| (a - b).abs() * b),
            ("sqrt", |a, _| a.sqrt()),
            ("exp and ln", |a, b| a.exp() * b.ln()),
            ("sine", |a, _| a.sin_cos().0),
            ("cosine", |a, _| a.sin_cos().1),
        ];
        for (name, operation) in operations {
            for [a, b] in [[0.7, 1.9], [1.9, 0.7]] {
                // Along a(t) = a + t, b(t) = b − 2t.
                let at = |t: f64| operation(Dual::of(a + t), Dual::of(b - 2.0 * t)).value;
                let slope = operation(Dual { value: a, slope: 1.0 }, Dual { value: b, slope: -2.0 }).slope;
                let difference = (at(1e-5) - at(-1e-5)) / 2e-5;
                assert!((slope - difference).abs() < 1e-8, "{name} at {a}, {b}: {slope} for {difference}");
            }
        }
    }
}
