//! What cells perceive, forward and back, against loops written out, and rules of the public collection.

use super::*;

fn lattice(grid: Grid, turn: [f32; 2], gain_error: f32) -> Lattice {
    let perception: Vec<Perception> =
        Perception::all().into_iter().map(|one| Perception { gain_error, ..one }).collect();
    Lattice::new([4, 5], 3, (&perception, grid), turn, Key::new(7))
}

fn draw(count: usize, seed: u64) -> Vec<f64> {
    let mut stream = Key::new(seed).stream();
    (0..count).map(|_| f64::from(stream.normal())).collect()
}

#[test]
fn the_adjoint_is_that_of_what_cells_perceive() {
    for (grid, turn, gain_error) in
        [(Grid::Square, [0.0, 0.0], 0.0), (Grid::Hexagonal, [0.4, 0.0], 0.2), (Grid::Square, [0.3, 0.5], 0.3)]
    {
        let lattice = lattice(grid, turn, gain_error);
        let states = draw(2 * 20 * 3, 1);
        let cotangents = draw(2 * 20 * 12, 2);
        let seen = lattice.perceive(&states, Key::new(0));
        let pulled = lattice.pull_back(&cotangents);
        let dot = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>();
        let [one, other] = [dot(&seen, &cotangents), dot(&states, &pulled)];
        assert!((one - other).abs() < 1e-12 * one.abs().max(1.0), "{one}, not {other}");
        assert!(0.1 < one.abs());
    }
}

#[test]
fn kernels_see_slopes_and_curvature_on_a_torus() {
    let lattice = Lattice::new([6, 6], 1, (&Perception::all(), Grid::Square), [0.0; 2], Key::new(1));
    // Along x it rises by 1 from cell to cell, but where the torus closes.
    let states: Vec<f32> = (0..36).map(|cell| (cell % 6) as f32).collect();
    let seen = lattice.perceive(&states, Key::new(0));
    let at = |y: usize, x: usize| &seen[4 * (6 * y + x)..][..4];
    assert_eq!(at(2, 3), [3.0, 1.0, 0.0, 0.0]);
    assert_eq!(at(2, 0)[1], -2.0, "its left neighbor is the last cell of the line: 8 · (1 − 5)/8/2");
    // A turn by 90° makes x of y.
    let turned =
        Lattice::new([6, 6], 1, (&Perception::all(), Grid::Square), [std::f32::consts::FRAC_PI_2, 0.0], Key::new(1));
    let seen = turned.perceive(&states, Key::new(0));
    assert!((seen[4 * 15 + 1]).abs() < 1e-6 && (seen[4 * 15 + 2] + 1.0).abs() < 1e-6);
}

#[test]
fn gains_are_a_fixed_pattern_and_noise_is_drawn_for_each_step() {
    let perception = [Perception { kernel: Kernel::Identity, factor: Some(2.0), gain_error: 0.1, noise: 0.5 }];
    let lattice = Lattice::new([50, 50], 1, (&perception, Grid::Square), [0.0; 2], Key::new(3));
    let quiet = Lattice {
        stencils: lattice.stencils.iter().map(|one| Stencil { noise: 0.0, ..one.clone() }).collect(),
        ..lattice.clone()
    };
    let ones = vec![1.0_f32; 2500];
    let gains = quiet.perceive(&ones, Key::new(0));
    assert!(gains.iter().all(|gain| (1.8..=2.2).contains(gain)));
    assert!(gains.iter().any(|gain| *gain < 1.85) && gains.iter().any(|gain| 2.15 < *gain));
    let [first, again, other] = [1, 1, 2].map(|step| lattice.perceive(&ones, Key::new(step)));
    assert!(first == again && first != other);
    let deviation = first.iter().zip(&gains).map(|(a, b)| f64::from(a - b).powi(2)).sum::<f64>() / 2500.0;
    assert!((deviation.sqrt() - 0.5).abs() < 0.03, "{deviation}");
}

#[test]
fn as_many_cells_fire_as_the_rate_says() {
    let fired = fires(10_000, 0.3, Key::new(5));
    assert!((fired.iter().sum::<f32>() - 3000.0).abs() < 150.0);
    assert_eq!(fired, fires(10_000, 0.3, Key::new(5)));
    assert!(fires(100, 1.0, Key::new(5)).iter().all(|fire| *fire == 1.0));
}
