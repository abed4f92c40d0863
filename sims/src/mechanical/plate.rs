//! Modes of a free square plate by the method of Rayleigh and Ritz.
//!
//! The deflection is a sum of products of orthonormal Legendre polynomials, `w(x, y) = Σ cᵢⱼ φᵢ(x) φⱼ(y)` on
//! `[−1, 1]²`, so that the mass matrix is the identity and the strain energy of Kirchhoff's plate,
//! `∬ w_xx² + w_yy² + 2ν w_xx w_yy + 2(1−ν) w_xy²`, is a sum of Kronecker products of three small matrices. Free
//! edges are natural boundary conditions: nothing is imposed. The frequency parameter is Leissa's
//! `λ = ω a² √(ρh/D)` for side `a`, density `ρ`, thickness `h` and bending stiffness `D = E h³ / 12(1−ν²)`
//! (A. W. Leissa, "The free vibration of rectangular plates", J. Sound Vib. 31, 257, 1973).
//!
//! The four symmetry classes (even or odd in x and in y) are solved apart: small matrices, and the pairs of equal
//! frequency that a square has come out as one mode of each class instead of an arbitrary mixture.

use nalgebra::{DMatrix, SymmetricEigen};

/// Legendre polynomials of each parity in each direction: degrees up to 15. The 60th mode is then converged to 1e-3.
const DEGREES: usize = 8;
/// Frequency parameters below this one belong to the three motions of the rigid plate; the first mode has 13.5.
const RIGID: f64 = 1.0;

/// One bending mode.
#[derive(Debug, Clone)]
pub(super) struct Shape {
    /// Leissa's frequency parameter `λ`.
    pub parameter: f64,
    /// Parity in x and in y: 0 even, 1 odd.
    parity: [usize; 2],
    /// `[degree in x][degree in y]` within the parities, row-major.
    coefficients: Vec<f64>,
}

impl Shape {
    /// The deflection at a place on the plate, each coordinate in `[−1, 1]`; its mean square over the plate is 1.
    pub fn deflection(&self, place: [f64; 2]) -> f64 {
        let [along_x, along_y] = [0, 1].map(|axis| legendre(place[axis], self.parity[axis]));
        let terms = along_x.iter().flat_map(|x| along_y.iter().map(move |y| x * y));
        // The plate's area is 4 in these coordinates.
        2.0 * self.coefficients.iter().zip(terms).map(|(coefficient, term)| coefficient * term).sum::<f64>()
    }
}

/// The bending modes of a free square plate with Poisson's ratio `poisson`, lowest frequency first.
pub(super) fn free_square(poisson: f64) -> Vec<Shape> {
    let mut shapes: Vec<Shape> =
        [[0, 0], [0, 1], [1, 0], [1, 1]].into_iter().flat_map(|parity| class(parity, poisson)).collect();
    shapes.sort_by(|a, b| a.parameter.total_cmp(&b.parameter));
    shapes
}

/// The bending modes of one symmetry class.
fn class(parity: [usize; 2], poisson: f64) -> Vec<Shape> {
    let [x, y] = parity.map(Integrals::new);
    let one = DMatrix::identity(DEGREES, DEGREES);
    let stretch = x.second_plain.kronecker(&y.second_plain.transpose());
    let stiffness = x.second_second.kronecker(&one)
        + one.kronecker(&y.second_second)
        + (&stretch + stretch.transpose()) * poisson
        + x.first_first.kronecker(&y.first_first) * (2.0 * (1.0 - poisson));
    let solved = SymmetricEigen::new(stiffness);
    let modes = solved.eigenvalues.iter().zip(solved.eigenvectors.column_iter());
    modes
        // The half side is 1 here, so ω a² is (2/1)² times the root of the eigenvalue.
        .map(|(eigenvalue, vector)| (4.0 * eigenvalue.max(0.0).sqrt(), vector))
        .filter(|(parameter, _)| RIGID < *parameter)
        .map(|(parameter, vector)| {
            let largest = vector.iter().copied().fold(0.0, |a: f64, b| if a.abs() < b.abs() { b } else { a });
            Shape { parameter, parity, coefficients: vector.iter().map(|c| c * largest.signum()).collect() }
        })
        .collect()
}

/// Integrals over `[−1, 1]` of products of the orthonormal Legendre polynomials of one parity and their derivatives.
struct Integrals {
    /// `∫ φᵢ′ φⱼ′`.
    first_first: DMatrix<f64>,
    /// `∫ φᵢ″ φⱼ″`.
    second_second: DMatrix<f64>,
    /// `∫ φᵢ″ φⱼ`.
    second_plain: DMatrix<f64>,
}

impl Integrals {
    fn new(parity: usize) -> Self {
        // P′ₙ = Σ (2k+1) Pₖ over k = n−1, n−3, …: row n holds the derivative of φₙ in terms of the φₖ.
        let derivative = DMatrix::from_fn(2 * DEGREES, 2 * DEGREES, |n, k| {
            if k < n && (n - k) % 2 == 1 { (((2 * n + 1) * (2 * k + 1)) as f64).sqrt() } else { 0.0 }
        });
        let second = &derivative * &derivative;
        let of_parity =
            |full: DMatrix<f64>| DMatrix::from_fn(DEGREES, DEGREES, |i, j| full[(2 * i + parity, 2 * j + parity)]);
        Self {
            first_first: of_parity(&derivative * derivative.transpose()),
            second_second: of_parity(&second * second.transpose()),
            second_plain: of_parity(second),
        }
    }
}

/// The orthonormal Legendre polynomials of one parity at `x`.
fn legendre(x: f64, parity: usize) -> [f64; DEGREES] {
    let mut all = [1.0, x, 0.0].repeat(DEGREES);
    for n in 2..2 * DEGREES {
        let order = n as f64;
        all[n] = ((2.0 * order - 1.0) * x * all[n - 1] - (order - 1.0) * all[n - 2]) / order;
    }
    std::array::from_fn(|i| {
        let degree = 2 * i + parity;
        all[degree] * (degree as f64 + 0.5).sqrt()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_frequencies_are_leissas() {
        // Leissa 1973 (F-F-F-F, a/b = 1, ν = 0.3): upper bounds from 36 products of beam functions.
        let leissa = [13.489, 19.789, 24.432, 35.024, 35.024, 61.526];
        for (shape, parameter) in free_square(0.3).iter().zip(leissa) {
            let ratio = shape.parameter / parameter;
            assert!((0.985..=1.0).contains(&ratio), "{} against {parameter}", shape.parameter);
        }
    }

    #[test]
    fn shapes_are_normalised_and_orthogonal() {
        // A midpoint grid integrates polynomials of degree 30 well enough to see a wrong factor.
        let shapes = free_square(0.32);
        let cells = 200;
        let center = |k: usize| (2 * k + 1) as f64 / cells as f64 - 1.0;
        let product = |a: &Shape, b: &Shape| {
            let places = (0..cells * cells).map(|k| [center(k % cells), center(k / cells)]);
            places.map(|place| a.deflection(place) * b.deflection(place)).sum::<f64>() / (cells * cells) as f64
        };
        for a in 0..6 {
            for b in 0..6 {
                let expected = f64::from(u8::from(a == b));
                assert!((product(&shapes[a], &shapes[b]) - expected).abs() < 1e-2, "{a} {b}");
            }
        }
    }

    #[test]
    fn the_first_mode_twists_and_the_second_is_a_saddle() {
        let shapes = free_square(0.32);
        assert!(shapes[0].deflection([0.7, 0.0]).abs() < 1e-9 && shapes[0].deflection([1.0, 1.0]).abs() > 1.0);
        assert!((shapes[1].deflection([0.9, 0.2]) + shapes[1].deflection([0.2, 0.9])).abs() < 1e-9);
    }
}
