//! What a chain and a sum of products compute on: registers of the vector unit that was found, or single numbers.

use std::marker::PhantomData;

use crate::Real;

/// Arithmetic of vectors of one width. Each lane gives the same bits whatever the width.
pub(super) trait Unit: Copy {
    type Scalar: Real;
    type Vector: Copy;

    /// Numbers as whole vectors; their count is a multiple of the width.
    fn vectors(self, values: &[Self::Scalar]) -> &[Self::Vector];
    fn vectors_mut(self, values: &mut [Self::Scalar]) -> &mut [Self::Vector];
    fn splat(self, value: Self::Scalar) -> Self::Vector;
    fn add(self, a: Self::Vector, b: Self::Vector) -> Self::Vector;
    fn subtract(self, a: Self::Vector, b: Self::Vector) -> Self::Vector;
    fn multiply(self, a: Self::Vector, b: Self::Vector) -> Self::Vector;
    /// a·b + c.
    fn multiply_add(self, a: Self::Vector, b: Self::Vector, c: Self::Vector) -> Self::Vector;
    /// c − a·b.
    fn multiply_subtract(self, a: Self::Vector, b: Self::Vector, c: Self::Vector) -> Self::Vector;
    /// 1/a.
    fn invert(self, a: Self::Vector) -> Self::Vector;
    fn root(self, a: Self::Vector) -> Self::Vector;
}

/// Registers of `f32`.
#[derive(Clone, Copy)]
pub(super) struct Wide<V>(pub V);

impl<V: pulp::Simd> Unit for Wide<V> {
    type Scalar = f32;
    type Vector = V::f32s;

    #[inline(always)]
    fn vectors(self, values: &[f32]) -> &[V::f32s] {
        V::as_simd_f32s(values).0
    }
    #[inline(always)]
    fn vectors_mut(self, values: &mut [f32]) -> &mut [V::f32s] {
        V::as_mut_simd_f32s(values).0
    }
    #[inline(always)]
    fn splat(self, value: f32) -> V::f32s {
        self.0.splat_f32s(value)
    }
    #[inline(always)]
    fn add(self, a: V::f32s, b: V::f32s) -> V::f32s {
        self.0.add_f32s(a, b)
    }
    #[inline(always)]
    fn subtract(self, a: V::f32s, b: V::f32s) -> V::f32s {
        self.0.sub_f32s(a, b)
    }
    #[inline(always)]
    fn multiply(self, a: V::f32s, b: V::f32s) -> V::f32s {
        self.0.mul_f32s(a, b)
    }
    #[inline(always)]
    fn multiply_add(self, a: V::f32s, b: V::f32s, c: V::f32s) -> V::f32s {
        self.0.mul_add_f32s(a, b, c)
    }
    #[inline(always)]
    fn multiply_subtract(self, a: V::f32s, b: V::f32s, c: V::f32s) -> V::f32s {
        self.0.negate_mul_add_f32s(a, b, c)
    }
    #[inline(always)]
    fn invert(self, a: V::f32s) -> V::f32s {
        self.0.div_f32s(self.0.splat_f32s(1.0), a)
    }
    #[inline(always)]
    fn root(self, a: V::f32s) -> V::f32s {
        self.0.sqrt_f32s(a)
    }
}

/// One number at a time, of any kind.
#[derive(Clone, Copy)]
pub(super) struct Plain<S>(pub PhantomData<S>);

impl<S: Real> Unit for Plain<S> {
    type Scalar = S;
    type Vector = S;

    #[inline(always)]
    fn vectors(self, values: &[S]) -> &[S] {
        values
    }
    #[inline(always)]
    fn vectors_mut(self, values: &mut [S]) -> &mut [S] {
        values
    }
    #[inline(always)]
    fn splat(self, value: S) -> S {
        value
    }
    #[inline(always)]
    fn add(self, a: S, b: S) -> S {
        a + b
    }
    #[inline(always)]
    fn subtract(self, a: S, b: S) -> S {
        a - b
    }
    #[inline(always)]
    fn multiply(self, a: S, b: S) -> S {
        a * b
    }
    #[inline(always)]
    fn multiply_add(self, a: S, b: S, c: S) -> S {
        a.mul_add(b, c)
    }
    #[inline(always)]
    fn multiply_subtract(self, a: S, b: S, c: S) -> S {
        (-a).mul_add(b, c)
    }
    #[inline(always)]
    fn invert(self, a: S) -> S {
        S::of(1.0) / a
    }
    #[inline(always)]
    fn root(self, a: S) -> S {
        a.sqrt()
    }
}
