//! The settings of a mesh without errors that make a given unitary matrix (Clements et al., Optica 3, 1460, 2016).
//!
//! Elements below the diagonal are nulled in turn by interferometers from the right and from the left, until a diagonal D is left; those
//! from the left are then moved past D by `T⁻¹(θ, φ)·D = D′·T(θ, φ′)` with `φ′ = arg(d₀/d₁)`, `d₀′ = −e^−i(θ + φ)·d₁`, `d₁′ = −e^−iθ·d₁`. The
//! interferometers then stand in the order in which light meets them, and each takes the first free place of its modes.

use std::f64::consts::PI;

use nalgebra::{Complex, DMatrix};

use super::layout::Layout;

/// One interferometer: the first of its modes, and its phases.
#[derive(Debug, Clone, Copy)]
struct Interferometer {
    mode: usize,
    theta: f64,
    phi: f64,
}

/// How far `UᴴU` may be from the identity.
const TOLERANCE: f64 = 1e-6;

/// Phases in rad, θ, then φ, then those of the outputs, of the mesh whose matrix is `unitary`; `None` of a matrix that is not unitary, or
/// not square with at least two rows.
pub(super) fn decompose(unitary: &DMatrix<Complex<f64>>) -> Option<Vec<f64>> {
    let modes = unitary.nrows();
    let error = (unitary.adjoint() * unitary - DMatrix::identity(unitary.ncols(), unitary.ncols())).camax();
    if modes < 2 || !unitary.is_square() || error.is_nan() || TOLERANCE < error {
        return None;
    }
    let mut rest = unitary.clone();
    let (mut right, mut left): (Vec<Interferometer>, Vec<Interferometer>) = Default::default();
    for diagonal in 1..modes {
        for step in 0..diagonal {
            if diagonal % 2 == 1 {
                right.push(null_from_right(&mut rest, (modes - 1 - step, diagonal - 1 - step)));
            } else {
                left.push(null_from_left(&mut rest, (modes + step - diagonal, step)));
            }
        }
    }
    let mut diagonal: Vec<Complex<f64>> = rest.diagonal().iter().copied().collect();
    for Interferometer { mode, theta, phi } in left.into_iter().rev() {
        let (first, second) = (diagonal[mode], diagonal[mode + 1]);
        right.push(Interferometer { mode, theta, phi: (first / second).arg() });
        diagonal[mode] = -turn(-theta - phi) * second;
        diagonal[mode + 1] = -turn(-theta) * second;
    }
    placed(modes, &right, &diagonal)
}

/// The phases in the order of the mesh.
fn placed(modes: usize, order: &[Interferometer], diagonal: &[Complex<f64>]) -> Option<Vec<f64>> {
    let layout = Layout { modes };
    let count = layout.interferometers();
    let mut phases = vec![0.0; 2 * count + modes];
    // The first column that each mode still may meet.
    let mut free = vec![0; modes];
    for Interferometer { mode, theta, phi } in order {
        let after = usize::max(free[*mode], free[mode + 1]);
        let column = after + (after + mode) % 2;
        if layout.columns() <= column {
            return None;
        }
        let number = layout.first(column) + (mode - column % 2) / 2;
        (phases[number], phases[count + number]) = (wrapped(*theta), wrapped(*phi));
        (free[*mode], free[mode + 1]) = (column + 1, column + 1);
    }
    for (phase, value) in phases[2 * count..].iter_mut().zip(diagonal) {
        *phase = value.arg();
    }
    Some(phases)
}

/// Within [−π, π].
fn wrapped(phase: f64) -> f64 {
    phase - 2.0 * PI * (phase / (2.0 * PI)).round()
}

fn turn(phase: f64) -> Complex<f64> {
    Complex::from_polar(1.0, phase)
}

/// The transfer of an interferometer without errors.
fn transfer(theta: f64, phi: f64) -> [[Complex<f64>; 2]; 2] {
    let common = Complex::<f64>::new(0.0, 1.0) * turn(0.5 * theta);
    let (sin, cos) = (0.5 * theta).sin_cos();
    [[common * turn(phi) * sin, common * cos], [common * turn(phi) * cos, -common * sin]]
}

/// Makes element (row, mode) zero by an interferometer's inverse from the right.
fn null_from_right(rest: &mut DMatrix<Complex<f64>>, (row, mode): (usize, usize)) -> Interferometer {
    let (a, b) = (rest[(row, mode)], rest[(row, mode + 1)]);
    let (theta, phi) = (2.0 * b.norm().atan2(a.norm()), a.arg() - b.arg() - PI);
    let t = transfer(theta, phi);
    for row in 0..rest.nrows() {
        let (x, y) = (rest[(row, mode)], rest[(row, mode + 1)]);
        rest[(row, mode)] = x * t[0][0].conj() + y * t[0][1].conj();
        rest[(row, mode + 1)] = x * t[1][0].conj() + y * t[1][1].conj();
    }
    Interferometer { mode, theta, phi }
}

/// Makes element (row, column) zero by an interferometer from the left, on that row and the one above.
fn null_from_left(rest: &mut DMatrix<Complex<f64>>, (row, column): (usize, usize)) -> Interferometer {
    let mode = row - 1;
    let (a, b) = (rest[(mode, column)], rest[(row, column)]);
    let (theta, phi) = (2.0 * a.norm().atan2(b.norm()), b.arg() - a.arg());
    let t = transfer(theta, phi);
    for column in 0..rest.ncols() {
        let (x, y) = (rest[(mode, column)], rest[(row, column)]);
        rest[(mode, column)] = t[0][0] * x + t[0][1] * y;
        rest[(row, column)] = t[1][0] * x + t[1][1] * y;
    }
    Interferometer { mode, theta, phi }
}
