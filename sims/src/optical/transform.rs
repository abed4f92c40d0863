//! The discrete Fourier transform of 200 points, for a block of shots side by side.
//!
//! 200 = 8·5·5 points are the fewest with fast butterflies that hold the 199 samples of an autoconvolution of 100
//! channels without wrap-around. The transform forward leaves its result in digit-reversed order and the one backward
//! starts from it (Gentleman and Sande 1966, Cooley and Tukey 1965), so nothing is ever permuted: what lies between
//! them is pointwise, and is done while the numbers are at hand.
//!
//! forward: `X_k` = `Σ_n` `x_n·exp(−2πi·nk/200)`; backward: `x_n` = `Σ_k` `X_k·exp(+2πi·nk/200)`, without the factor 1/200.
//! About 5,500 additions and multiplications each.

#![allow(clippy::needless_range_loop)] // Points and lanes of several arrays are walked together.

use std::f64::consts::TAU;

use crate::{LANES, Lanes, Real};

/// Points of the transform.
pub(super) const POINTS: usize = 200;
/// Points of a block after the stage of eights.
const BLOCK: usize = 25;

/// A complex number.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub(super) struct Complex<S> {
    pub re: S,
    pub im: S,
}

impl<S: Real> Complex<S> {
    /// `magnitude·exp(i·angle)`.
    pub fn polar(magnitude: S, angle: S) -> Self {
        let (sin, cos) = angle.sin_cos();
        Self { re: magnitude * cos, im: magnitude * sin }
    }

    /// The nearest number to `wide`.
    pub fn nearest(wide: Complex<S::Wide>) -> Self {
        Self { re: S::nearest(wide.re), im: S::nearest(wide.im) }
    }

    #[inline(always)]
    pub fn add(self, other: Self) -> Self {
        Self { re: self.re + other.re, im: self.im + other.im }
    }

    #[inline(always)]
    pub fn sub(self, other: Self) -> Self {
        Self { re: self.re - other.re, im: self.im - other.im }
    }

    #[inline(always)]
    pub fn mul(self, other: Self) -> Self {
        Self { re: self.re.mul_add(other.re, -(self.im * other.im)), im: self.re.mul_add(other.im, self.im * other.re) }
    }

    #[inline(always)]
    pub fn conjugate(self) -> Self {
        Self { re: self.re, im: -self.im }
    }

    #[inline(always)]
    pub fn square(self) -> Self {
        let twice = self.re + self.re;
        Self { re: (self.re + self.im) * (self.re - self.im), im: twice * self.im }
    }

    /// `self·(−i)` forward, `self·i` backward.
    #[inline(always)]
    fn quarter<const FORWARD: bool>(self) -> Self {
        if FORWARD { Self { re: self.im, im: -self.re } } else { Self { re: -self.im, im: self.re } }
    }

    #[inline(always)]
    fn scaled(self, factor: S) -> Self {
        Self { re: self.re * factor, im: self.im * factor }
    }

    #[inline(always)]
    fn scaled_add(self, factor: S, summand: Self) -> Self {
        Self { re: self.re.mul_add(factor, summand.re), im: self.im.mul_add(factor, summand.im) }
    }
}

/// What happens to each number of a spectrum before it is transformed back.
#[derive(Debug, Clone, Copy)]
pub(super) enum Between {
    /// X → X², which convolves a field with itself.
    Square,
    /// X → X², and X is kept.
    KeepAndSquare,
    /// Y → conj(X)·Y with the kept X, which correlates two fields.
    Correlate,
}

/// A complex array of [`POINTS`] for a block of shots.
#[derive(Debug, Clone)]
pub(super) struct Field<S> {
    pub re: [Lanes<S>; POINTS],
    pub im: [Lanes<S>; POINTS],
    /// The spectrum of an earlier transform. One allocation, so that the compiler sees that nothing overlaps.
    kept_re: [Lanes<S>; POINTS],
    kept_im: [Lanes<S>; POINTS],
}

impl<S: Real> Field<S> {
    /// All zero, on the heap: it is as large as a first-level cache.
    pub fn boxed() -> Box<Self> {
        let zero = [[S::default(); LANES]; POINTS];
        Box::new(Self { re: zero, im: zero, kept_re: zero, kept_im: zero })
    }

    #[inline(always)]
    pub fn get(&self, point: usize, lane: usize) -> Complex<S> {
        Complex { re: self.re[point][lane], im: self.im[point][lane] }
    }

    #[inline(always)]
    pub fn set(&mut self, point: usize, lane: usize, value: Complex<S>) {
        self.re[point][lane] = value.re;
        self.im[point][lane] = value.im;
    }

    #[inline(always)]
    fn change(&mut self, between: Between, place: usize, lane: usize, number: Complex<S>) -> Complex<S> {
        match between {
            Between::Square => number.square(),
            Between::KeepAndSquare => {
                self.kept_re[place][lane] = number.re;
                self.kept_im[place][lane] = number.im;
                number.square()
            }
            Between::Correlate => {
                let kept = Complex { re: self.kept_re[place][lane], im: -self.kept_im[place][lane] };
                kept.mul(number)
            }
        }
    }
}

/// The constants of the transform.
#[derive(Debug, Clone)]
pub(super) struct Transform<S> {
    /// exp(−2πi·jq/200) for the stage of eights, `[j][q]`.
    eights: [[Complex<S>; 8]; BLOCK],
    /// exp(−2πi·jq/25) for the first stage of fives.
    fives: [[Complex<S>; 5]; 5],
    /// cos 72°, cos 144°, sin 72°, sin 144°.
    pentagon: [S; 4],
    /// √½.
    diagonal: S,
}

impl<S: Real> Transform<S> {
    pub fn new() -> Self {
        let root = |count: f64, power: usize| {
            Complex::nearest(Complex::polar(S::Wide::of(1.0), S::Wide::of(-TAU * power as f64 / count)))
        };
        let turn = |fifths: f64| (TAU * fifths / 5.0).sin_cos();
        Self {
            eights: std::array::from_fn(|j| std::array::from_fn(|q| root(200.0, j * q))),
            fives: std::array::from_fn(|j| std::array::from_fn(|q| root(25.0, j * q))),
            pentagon: [turn(1.0).1, turn(2.0).1, turn(1.0).0, turn(2.0).0].map(S::of),
            diagonal: S::of(std::f64::consts::FRAC_1_SQRT_2),
        }
    }

    /// Transforms, changes each number of the spectrum, and transforms back.
    ///
    /// With `HALF_IN` the points from 100 on are taken as zero and not read; with `HALF_OUT` they are not computed.
    #[inline(always)]
    pub fn filter<const HALF_IN: bool, const HALF_OUT: bool>(&self, field: &mut Field<S>, between: Between) {
        self.eights_forward::<HALF_IN>(field);
        self.fives_forward(field);
        for first in (0..POINTS).step_by(5) {
            for lane in 0..LANES {
                let at = |q: usize| field.get(first + q, lane);
                let spectrum = self.five::<true>([at(0), at(1), at(2), at(3), at(4)]);
                let mut changed = |q: usize| field.change(between, first + q, lane, spectrum[q]);
                let points = self.five::<false>([changed(0), changed(1), changed(2), changed(3), changed(4)]);
                for q in 0..5 {
                    field.set(first + q, lane, points[q]);
                }
            }
        }
        self.fives_backward(field);
        self.eights_backward::<HALF_OUT>(field);
    }

    #[inline(always)]
    fn eights_forward<const HALF: bool>(&self, field: &mut Field<S>) {
        for (j, &twiddles) in self.eights.iter().enumerate() {
            for lane in 0..LANES {
                let at = |q: usize| field.get(j + BLOCK * q, lane);
                let first = [at(0), at(1), at(2), at(3)];
                let second = (!HALF).then(|| [at(4), at(5), at(6), at(7)]);
                let spectrum = self.eight(first, second);
                field.set(j, lane, spectrum[0]);
                for q in 1..8 {
                    field.set(j + BLOCK * q, lane, spectrum[q].mul(twiddles[q]));
                }
            }
        }
    }

    #[inline(always)]
    fn fives_forward(&self, field: &mut Field<S>) {
        for block in 0..8 {
            for (j, &twiddles) in self.fives.iter().enumerate() {
                let first = BLOCK * block + j;
                for lane in 0..LANES {
                    let at = |q: usize| field.get(first + 5 * q, lane);
                    let spectrum = self.five::<true>([at(0), at(1), at(2), at(3), at(4)]);
                    field.set(first, lane, spectrum[0]);
                    for q in 1..5 {
                        field.set(first + 5 * q, lane, spectrum[q].mul(twiddles[q]));
                    }
                }
            }
        }
    }

    #[inline(always)]
    fn fives_backward(&self, field: &mut Field<S>) {
        for block in 0..8 {
            for (j, &twiddles) in self.fives.iter().enumerate() {
                let first = BLOCK * block + j;
                for lane in 0..LANES {
                    let at = |q: usize| field.get(first + 5 * q, lane).mul(twiddles[q].conjugate());
                    let points = self.five::<false>([field.get(first, lane), at(1), at(2), at(3), at(4)]);
                    for q in 0..5 {
                        field.set(first + 5 * q, lane, points[q]);
                    }
                }
            }
        }
    }

    #[inline(always)]
    fn eights_backward<const HALF: bool>(&self, field: &mut Field<S>) {
        for (j, &twiddles) in self.eights.iter().enumerate() {
            for lane in 0..LANES {
                let at = |q: usize| field.get(j + BLOCK * q, lane).mul(twiddles[q].conjugate());
                let first = field.get(j, lane);
                let (even, odd) = self.eight_back([first, at(1), at(2), at(3), at(4), at(5), at(6), at(7)]);
                for q in 0..4 {
                    field.set(j + BLOCK * q, lane, even[q].add(odd[q]));
                    if !HALF {
                        field.set(j + BLOCK * (q + 4), lane, even[q].sub(odd[q]));
                    }
                }
            }
        }
    }

    /// Five points with 36 operations on reals.
    #[inline(always)]
    fn five<const FORWARD: bool>(&self, a: [Complex<S>; 5]) -> [Complex<S>; 5] {
        let [cos1, cos2, sin1, sin2] = self.pentagon;
        let (sum1, sum2) = (a[1].add(a[4]), a[2].add(a[3]));
        let (difference1, difference2) = (a[1].sub(a[4]), a[2].sub(a[3]));
        let even1 = sum2.scaled_add(cos2, sum1.scaled_add(cos1, a[0]));
        let even2 = sum2.scaled_add(cos1, sum1.scaled_add(cos2, a[0]));
        let odd1 = difference2.scaled_add(sin2, difference1.scaled(sin1)).quarter::<FORWARD>();
        let odd2 = difference2.scaled_add(-sin1, difference1.scaled(sin2)).quarter::<FORWARD>();
        [a[0].add(sum1).add(sum2), even1.add(odd1), even2.add(odd2), even2.sub(odd2), even1.sub(odd1)]
    }

    /// Four points.
    #[inline(always)]
    fn four<const FORWARD: bool>(a: [Complex<S>; 4]) -> [Complex<S>; 4] {
        let (sum1, difference1) = (a[0].add(a[2]), a[0].sub(a[2]));
        let (sum2, difference2) = (a[1].add(a[3]), a[1].sub(a[3]).quarter::<FORWARD>());
        [sum1.add(sum2), difference1.add(difference2), sum1.sub(sum2), difference1.sub(difference2)]
    }

    /// Multiplies by the eighth roots of unity: 1, (1 ∓ i)/√2, ∓i, (−1 ∓ i)/√2.
    #[inline(always)]
    fn eighths<const FORWARD: bool>(&self, a: [Complex<S>; 4]) -> [Complex<S>; 4] {
        let one = a[1].add(a[1].quarter::<FORWARD>()).scaled(self.diagonal);
        let three = a[3].quarter::<FORWARD>().sub(a[3]).scaled(self.diagonal);
        [a[0], one, a[2].quarter::<FORWARD>(), three]
    }

    /// Eight points forward; without a `second` half it is zero.
    #[inline(always)]
    fn eight(&self, first: [Complex<S>; 4], second: Option<[Complex<S>; 4]>) -> [Complex<S>; 8] {
        let (mut sum, mut difference) = (first, first);
        if let Some(second) = second {
            for q in 0..4 {
                sum[q] = first[q].add(second[q]);
                difference[q] = first[q].sub(second[q]);
            }
        }
        let even = Self::four::<true>(sum);
        let odd = Self::four::<true>(self.eighths::<true>(difference));
        [even[0], odd[0], even[1], odd[1], even[2], odd[2], even[3], odd[3]]
    }

    /// Eight points backward: the sums of the two are the first half, their differences the second.
    #[inline(always)]
    fn eight_back(&self, a: [Complex<S>; 8]) -> ([Complex<S>; 4], [Complex<S>; 4]) {
        let even = Self::four::<false>([a[0], a[2], a[4], a[6]]);
        let odd = self.eighths::<false>(Self::four::<false>([a[1], a[3], a[5], a[7]]));
        (even, odd)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Key;

    fn random_field(points: usize) -> Box<Field<f64>> {
        let mut stream = Key::new(5).stream();
        let mut field = Field::boxed();
        for point in 0..points {
            for lane in 0..LANES {
                field.set(point, lane, Complex { re: stream.normal().into(), im: stream.normal().into() });
            }
        }
        field
    }

    /// Which frequency lies at a place of the digit-reversed order.
    fn frequency(place: usize) -> usize {
        let (eight, five, last) = (place / 25, place % 25 / 5, place % 5);
        eight + 8 * (five + 5 * last)
    }

    #[test]
    fn between_the_two_lies_the_discrete_fourier_transform() {
        let start = random_field(100);
        let mut field = start.clone();
        Transform::new().filter::<true, false>(&mut field, Between::KeepAndSquare);
        for place in 0..POINTS {
            let mut sum = Complex::default();
            for point in 0..100 {
                let turn = Complex::polar(1.0, -TAU * (point * frequency(place) % POINTS) as f64 / POINTS as f64);
                sum = sum.add(start.get(point, 3).mul(turn));
            }
            let error = (sum.re - field.kept_re[place][3]).hypot(sum.im - field.kept_im[place][3]);
            assert!(error < 1e-11, "{place}: {error:e}");
        }
    }

    #[test]
    fn squared_spectra_convolve_and_conjugate_products_correlate() {
        let (a, b) = (random_field(100), random_field(POINTS));
        let mut field = a.clone();
        // What is not read may be anything.
        field.re[100..].fill([7.0; LANES]);
        let transform = Transform::new();
        transform.filter::<true, false>(&mut field, Between::KeepAndSquare);
        let mut squared = a.clone();
        transform.filter::<true, false>(&mut squared, Between::Square);
        for n in 0..POINTS {
            assert_eq!(field.get(n, 7), squared.get(n, 7));
            let pairs = (0..100).filter(|m| (n.saturating_sub(99)..=n).contains(m));
            let sum = pairs.fold(Complex::default(), |sum, m| a.get(m, 7).mul(a.get(n - m, 7)).add(sum));
            assert!(field.get(n, 7).sub(sum.scaled(200.0)).re.abs() < 1e-9, "{n}");
        }
        (field.re, field.im) = (b.re, b.im);
        transform.filter::<false, true>(&mut field, Between::Correlate);
        for n in 0..100 {
            let turned = |m: usize| Complex { re: a.get(m, 7).re, im: -a.get(m, 7).im };
            let sum = (0..100).fold(Complex::default(), |sum, m| turned(m).mul(b.get(n + m, 7)).add(sum));
            assert!(field.get(n, 7).sub(sum.scaled(200.0)).im.abs() < 1e-9, "{n}");
        }
    }
}
