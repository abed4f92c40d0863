//! The mesh as a whole: unitarity, power, known settings, decomposition, adjoints, readings.

use drivers::{Batch, Range};
use nalgebra::{Complex, DMatrix};

use super::chip::Chip;
use super::matrix::unitarity;
use super::model::Optics;
use super::{Mesh, MeshImperfections, MeshInputs, MeshOutputs, MeshPattern};
use crate::gradient_check::{error_along, slopes_error};
use crate::{Adjustable, Key, Moment};

/// A chip with errors in double precision.
fn rough(mesh: &Mesh, passage: f64) -> Optics<f64> {
    let mut stream = Key::new(5).stream();
    let mut normals = |count: usize| (0..count).map(|_| 0.15 * f64::from(stream.normal())).collect::<Vec<_>>();
    let count = mesh.layout().interferometers();
    let couplers = normals(count).into_iter().zip(normals(count)).map(|(left, right)| [left, right]).collect();
    let chip = Chip::new(mesh.layout(), couplers, normals(mesh.phases()), [0.03, passage]);
    Optics { chip, complex: mesh.inputs == MeshInputs::Complex, outputs: mesh.outputs }
}

fn normals(count: usize, seed: u64) -> Vec<f64> {
    let mut stream = Key::new(seed).stream();
    (0..count).map(|_| f64::from(stream.normal())).collect()
}

/// A mesh of each kind of input and output.
fn kinds(modes: usize) -> impl Iterator<Item = Mesh> {
    use MeshOutputs::{Intensity, Normalized, Quadratures};
    let inputs = [MeshInputs::Real, MeshInputs::Complex].into_iter();
    inputs.flat_map(move |inputs| {
        [Intensity, Normalized, Quadratures].map(|outputs| Mesh { modes, inputs, outputs, ..Mesh::default() })
    })
}

#[test]
fn a_mesh_without_loss_is_unitary_whatever_its_errors() {
    for modes in [2, 3, 8, 17, 33] {
        let mesh = Mesh { modes, outputs: MeshOutputs::Quadratures, ..Mesh::default() };
        let optics = rough(&mesh, 1.0);
        let at = optics.at(&normals(mesh.phases(), 2));
        let error = unitarity(&at.matrix());
        assert!(error < 1e-12, "{modes} modes: {error:e}");
    }
}

#[test]
fn power_is_kept_but_for_the_loss_of_each_column() {
    let mesh = Mesh { modes: 8, ..Mesh::default() };
    let power = |passage: f64| {
        let optics = rough(&mesh, passage);
        optics.predict(&optics.at(&normals(mesh.phases(), 2)), &[0.3, 1.0, -2.0, 0.1, 0.7, 0.0, 0.4, 0.9])
    };
    let sent: f64 = [0.3_f64, 1.0, -2.0, 0.1, 0.7, 0.0, 0.4, 0.9].iter().map(|x| x * x).sum();
    assert!((power(1.0).iter().sum::<f64>() - sent).abs() < 1e-12);
    // Light passes 4 interferometers at the edge, 8 elsewhere.
    let kept = power(0.9_f64.sqrt()).iter().sum::<f64>() / sent;
    assert!(0.9_f64.powi(8) < kept && kept < 0.9_f64.powi(4), "{kept}");
}

#[test]
fn one_interferometer_crosses_halves_and_bars() {
    let mesh = Mesh { modes: 2, ..Mesh::default() };
    let optics = mesh.nominal();
    let read = |theta: f32, phi: f32, inputs: [f32; 2]| optics.predict(&optics.at(&[theta, phi]), &inputs);
    let near = |read: Vec<f32>, wanted: [f32; 2]| {
        assert!(read.iter().zip(wanted).all(|(a, b)| (a - b).abs() < 1e-6), "{read:?}, not {wanted:?}");
    };
    near(read(0.0, 0.3, [1.0, 0.0]), [0.0, 1.0]);
    near(read(std::f32::consts::PI, 0.3, [1.0, 0.0]), [1.0, 0.0]);
    near(read(std::f32::consts::FRAC_PI_2, 0.3, [1.0, 0.0]), [0.5, 0.5]);
    // Both inputs interfere by their phase: sin² (θ/2 ± …) with θ = π/2 gives (1 ± cos φ)/2 of the power 2.
    near(read(std::f32::consts::FRAC_PI_2, 0.0, [1.0, 1.0]), [2.0, 0.0]);
    // A coupler that keeps everything makes a bar of any θ.
    let chip = Chip::new(mesh.layout(), vec![[0.999_999_f32; 2]], vec![0.0; 2], [0.0, 1.0]);
    let open = Optics { chip, complex: false, outputs: MeshOutputs::Intensity };
    let read = open.predict(&open.at(&[1.0, 0.0]), &[1.0, 0.0]);
    assert!((read[0] - 1.0).abs() < 1e-5, "{read:?}");
}

#[test]
fn a_given_unitary_becomes_phases() {
    for modes in [2, 3, 4, 5, 8, 16, 21] {
        let values = normals(2 * modes * modes, modes as u64);
        let drawn = DMatrix::from_fn(modes, modes, |row, column| {
            let at = 2 * (row * modes + column);
            Complex::new(values[at], values[at + 1])
        });
        let unitary = drawn.clone().qr().q();
        let mesh = Mesh { modes, outputs: MeshOutputs::Quadratures, mismatch: 0.0, ..Mesh::default() };
        let settings = mesh.settings_for(&unitary).unwrap();
        assert!(mesh.card().ports.check(drivers::Direction::Control, &settings).is_ok());
        let matrix = mesh.nominal().at(&settings).matrix();
        for row in 0..modes {
            for column in 0..modes {
                let at = row * matrix.padded + column;
                let made = Complex::new(f64::from(matrix.parts[0][at]), f64::from(matrix.parts[1][at]));
                let error = (made - unitary[(row, column)]).norm();
                assert!(error < 2e-5, "{modes} modes, ({row}, {column}): {made} is not {}", unitary[(row, column)]);
            }
        }
        // The identity, whose elements are zero already, and what is no unitary.
        let identity = DMatrix::identity(modes, modes);
        let found = mesh.nominal().at(&mesh.settings_for(&identity).unwrap()).matrix();
        assert!((found.parts[0][0] - 1.0).abs() < 1e-5 && found.parts[0][1].abs() < 1e-5);
        assert!(mesh.settings_for(&drawn).is_none());
        assert!(mesh.settings_for(&DMatrix::identity(modes + 1, modes + 1)).is_none());
    }
}

#[test]
fn both_ways_through_the_mesh_read_and_pull_back_the_same() {
    for mesh in kinds(5) {
        let optics = rough(&mesh, 0.99);
        let at = optics.at(&normals(mesh.phases(), 2));
        let (ins, outs) = (mesh.card().ports.input_count(), mesh.card().ports.output_count());
        // Forty shots go by the matrix, two through the columns.
        let (inputs, cotangents) = (normals(40 * ins, 3), normals(40 * outs, 4));
        let whole = optics.predict(&at, &inputs);
        let mut sums = vec![0.0; mesh.phases()];
        for pair in 0..20 {
            let read = optics.predict(&at, &inputs[2 * pair * ins..][..2 * ins]);
            let error = read.iter().zip(&whole[2 * pair * outs..]).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max);
            assert!(error < 1e-13, "{error:e}");
            let part =
                optics.pull_back(&at, &inputs[2 * pair * ins..][..2 * ins], &cotangents[2 * pair * outs..][..2 * outs]);
            sums.iter_mut().zip(&part.slopes.phases).for_each(|(sum, slope)| *sum += slope);
        }
        let all = optics.pull_back(&at, &inputs, &cotangents);
        let error = sums.iter().zip(&all.slopes.phases).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max);
        assert!(error < 1e-11, "{error:e}");
    }
}

#[test]
fn the_adjoint_is_the_slope_of_the_readings() {
    // Six modes and three shots go through the columns, five by the matrix.
    for (mesh, shots) in kinds(6).flat_map(|mesh| [(mesh.clone(), 3), (mesh, 5)]) {
        let optics = rough(&mesh, 0.98);
        let ports = mesh.card().ports;
        let (ins, outs, controls) = (ports.input_count(), ports.output_count(), ports.control_count());
        let point: Vec<f64> = normals(shots * ins + controls, 7);
        let cotangents = normals(shots * outs, 8);
        let loss = |point: &[f64]| {
            let (inputs, settings) = point.split_at(shots * ins);
            let read = optics.predict(&optics.at(settings), inputs);
            read.iter().zip(&cotangents).map(|(y, c)| y * c).sum::<f64>()
        };
        let (inputs, settings) = point.split_at(shots * ins);
        let found = optics.pull_back(&optics.at(settings), inputs, &cotangents);
        let gradient = [found.inputs, optics.chip.settings(&found.slopes.phases)].concat();
        for seed in 0..4 {
            let direction: Vec<f64> = normals(point.len(), 20 + seed).iter().map(|d| 0.1 * d).collect();
            let error = error_along(loss, &point, &direction, &gradient);
            assert!(error < 1e-6, "{:?} {:?} {shots} shots: {error:e}", mesh.inputs, mesh.outputs);
        }
        for port in (0..point.len()).step_by(7) {
            let single: Vec<f64> = (0..point.len()).map(|k| f64::from(u8::from(k == port))).collect();
            let error = error_along(loss, &point, &single, &gradient);
            assert!(error < 1e-6 || error * gradient[port].abs() < 1e-9, "port {port}: {error:e}");
        }
    }
}

#[test]
fn the_slopes_with_errors_of_the_chip_are_those_of_the_readings() {
    let mesh = Mesh { modes: 4, outputs: MeshOutputs::Quadratures, ..Mesh::default() };
    let optics = rough(&mesh, 0.97);
    let settings = normals(mesh.phases(), 2);
    let (inputs, cotangents) = (normals(8 * 4, 3), normals(8 * 8, 4));
    let slopes = optics.pull_back(&optics.at(&settings), &inputs, &cotangents).slopes;
    let count = mesh.layout().interferometers();
    let loss = |values: &[f64]| {
        let couplers = values[..2 * count].as_chunks::<2>().0.to_vec();
        let chip = Chip::new(mesh.layout(), couplers, optics.chip.offsets.clone(), [0.03, values[2 * count]]);
        let other = Optics { chip, ..optics.clone() };
        let read = other.predict(&other.at(&settings), &inputs);
        read.iter().zip(&cotangents).map(|(y, c)| y * c).sum::<f64>()
    };
    let point = [optics.chip.couplers.as_flattened(), &[0.97]].concat();
    let gradient = [slopes.couplers.as_flattened(), &[slopes.passage]].concat();
    for number in 0..point.len() {
        let single: Vec<f64> = (0..point.len()).map(|k| f64::from(u8::from(k == number))).collect();
        let error = error_along(loss, &point, &single, &gradient);
        assert!(error < 1e-6 || error * gradient[number].abs() < 1e-9, "number {number}: {error:e}");
    }
}

#[test]
fn sensitivities_and_the_gradient_of_all_numbers_agree() {
    let mesh = Mesh { modes: 4, ..Mesh::default() };
    let mut stream = Key::new(1).stream();
    let mut uniform =
        |count: usize, by: f32| (0..count).map(|_| by * (2.0 * stream.uniform() - 1.0)).collect::<Vec<_>>();
    let (shots, controls) = (Batch::new(4, uniform(6 * 4, 1.0)).unwrap(), uniform(mesh.phases(), 3.0));
    let corrections: Vec<f64> = uniform(mesh.corrections(), 1.0).iter().map(|value| f64::from(*value)).collect();
    let coefficients = [0.2, 0.01];
    let weights = Batch::new(4, uniform(24, 1.0)).unwrap();
    let gradient = mesh.gradient((&coefficients, &corrections), (&shots, &controls), &|_| weights.clone()).unwrap();
    assert_eq!(gradient.len(), 2 + mesh.corrections());
    for (index, slope) in gradient.iter().enumerate() {
        let slopes = mesh.sensitivity(&coefficients, &corrections, index)(&shots, &controls);
        let along: f64 = slopes.values().iter().zip(weights.values()).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum();
        assert!((along - slope).abs() < 2e-4 * (1.0 + along.abs()), "number {index}: {slope}, not {along}");
    }
    // The sensitivity to the loss against differences of the twin itself.
    let readings = |values: &[f64]| {
        let twin = mesh.adjusted(&[values[0], 0.01], &corrections);
        twin.predict(&shots, &controls).values().iter().map(|value| f64::from(*value)).collect::<Vec<_>>()
    };
    let slopes = mesh.sensitivity(&coefficients, &corrections, 0)(&shots, &controls);
    assert!(slopes_error(readings, &[0.2], (0, 0.05), slopes.values()) < 1e-3);
}

#[test]
fn the_numbers_of_the_plant_make_its_ideal_twin() {
    let mesh = Mesh { modes: 6, outputs: MeshOutputs::Quadratures, ..Mesh::default() };
    let built = mesh.build().unwrap();
    let (coefficients, corrections) = mesh.plant_numbers();
    let twin = mesh.adjusted(&coefficients, &corrections);
    let shots = Batch::from_fn(20, 6, |row, column| ((row * 6 + column) as f32).sin());
    let controls: Vec<f32> = (0..mesh.phases()).map(|k| (k as f32).cos()).collect();
    let (found, exact) = (twin.predict(&shots, &controls), built.ideal.predict(&shots, &controls));
    assert!(found.values().iter().zip(exact.values()).all(|(a, b)| (a - b).abs() < 1e-5));
    let nominal = built.twin.predict(&shots, &controls);
    assert!(nominal.values().iter().zip(exact.values()).any(|(a, b)| 0.05 < (a - b).abs()), "a twin is not its plant");
}

#[test]
fn without_errors_the_plant_is_its_twin() {
    let mesh = Mesh { modes: 8, mismatch: 0.0, imperfections: MeshImperfections::none(), ..Mesh::default() };
    let built = mesh.build().unwrap();
    let shots = Batch::from_fn(20, 8, |row, column| 0.5 * ((row * 8 + column) as f32).sin());
    let controls: Vec<f32> = (0..mesh.phases()).map(|k| (k as f32).cos()).collect();
    assert_eq!(built.system.shoot(&shots, &controls, Moment::default()), built.twin.predict(&shots, &controls));
}

#[test]
fn a_shot_reads_the_same_in_whatever_batch_it_is_while_phases_drift() {
    let imperfections = MeshImperfections { drift_radians_per_hour: 1.0, ..MeshImperfections::default() };
    let mesh = Mesh { modes: 6, imperfections, shot_seconds: 0.3, ..Mesh::default() };
    let system = mesh.build().unwrap().system;
    let shots = Batch::from_fn(20, 6, |row, column| 0.5 * ((row * 6 + column) as f32).sin());
    let controls = system.settle(&vec![0.4; mesh.phases()]);
    let at = |shots: u64| Moment { shots, seconds: 5000.0 + 0.3 * shots as f64 };
    let all = system.shoot(&shots, &controls, at(0));
    for row in 0..20 {
        assert_eq!(system.shoot(&shots.part(row, 1), &controls, at(row as u64)).row(0), all.row(row), "shot {row}");
    }
    let same = Batch::from_fn(20, 6, |_, column| 0.5 * (column as f32).sin());
    let hours = |hours: f64| {
        let quiet = Mesh {
            imperfections: MeshImperfections { drift_radians_per_hour: 1.0, ..MeshImperfections::none() },
            ..mesh.clone()
        };
        quiet.build().unwrap().system.shoot(&same, &controls, Moment { shots: 0, seconds: 3600.0 * hours })
    };
    let moved = |a: &Batch, b: &Batch| a.row(0).iter().zip(b.row(0)).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
    assert!(0.02 < moved(&hours(0.0), &hours(1.0)), "an hour's drift is seen");
}

#[test]
fn converters_round_phases_and_readings_stay_in_range() {
    let mesh = Mesh {
        modes: 4,
        imperfections: MeshImperfections { control_bits: 4, ..MeshImperfections::default() },
        ..Mesh::default()
    };
    let system = mesh.build().unwrap().system;
    let settled = system.settle(&vec![1.0; mesh.phases()]);
    let lsb = 4.0 * std::f32::consts::PI / 15.0;
    assert!((settled[0] - 1.0).abs() <= 0.5 * lsb * 1.001 && settled[0] != 1.0, "{}", settled[0]);
    let bright = Batch::from_fn(3, 4, |_, _| 100.0);
    let read = system.shoot(&bright, &settled, Moment::default());
    let range = Range::new(0.0, 4.0);
    assert!(read.values().iter().all(|value| range.contains(*value)));
}

#[test]
fn a_given_pattern_is_the_plants() {
    let count = MeshPattern::len_of(4);
    let table = |by: f32| (0..4).map(|c| (0..2).map(|m| by * (10 * c + m) as f32).collect()).collect::<Vec<Vec<f32>>>();
    let (a, b, c, d) = (table(0.001), table(0.002), table(0.01), table(0.02));
    let pattern = MeshPattern::from_columns(4, [&a, &b, &c, &d]).unwrap();
    // An odd column of four modes has one.
    assert_eq!(pattern.theta.len(), 6);
    for (found, wanted) in pattern.theta.iter().zip([0.0, 0.01, 0.1, 0.2, 0.21, 0.3]) {
        assert!((found - wanted).abs() < 1e-6, "{:?}", pattern.theta);
    }
    assert!(MeshPattern::from_columns(6, [&a, &b, &c, &d]).is_none());
    let mesh = Mesh { modes: 4, pattern: Some(pattern.clone()), ..Mesh::default() };
    let (_, corrections) = mesh.plant_numbers();
    assert!((corrections[2 * count + 2] - 1.0).abs() < 1e-6, "θ of the second column is 0.1 rad off");
    let error = Mesh { modes: 5, pattern: Some(pattern), ..Mesh::default() }.build().unwrap_err().to_string();
    assert!(error.contains("mesh: `pattern` = 6") && error.contains("four lists"), "{error}");
}

#[test]
fn phases_drift_by_what_was_asked_and_couplers_stay() {
    let mesh = Mesh { modes: 8, mismatch: 2.0, ..Mesh::default() };
    let (_, before) = mesh.plant_numbers();
    let numbers = |radians: f64| mesh.drifted(radians, Key::new(3)).plant_numbers().1;
    // Corrections of couplers, then of θ and φ: in tenths.
    let couplers = before.len() / 2;
    for radians in [0.2, 1.0] {
        let after = numbers(radians);
        assert_eq!(after[..couplers], before[..couplers]);
        let moved: Vec<f64> = after[couplers..].iter().zip(&before[couplers..]).map(|(a, b)| 0.1 * (a - b)).collect();
        let rms = (moved.iter().map(|one| one * one).sum::<f64>() / moved.len() as f64).sqrt();
        assert!((rms - radians).abs() < 1e-4, "{rms}, not {radians}");
    }
    assert_eq!(numbers(0.0), before);
    assert_eq!(numbers(0.5), numbers(0.5));
}

#[test]
fn what_makes_no_sense_is_refused() {
    let refused = |change: fn(&mut Mesh)| {
        let mut mesh = Mesh::default();
        change(&mut mesh);
        mesh.build().unwrap_err().to_string()
    };
    assert_eq!(refused(|mesh| mesh.modes = 1), "mesh: `modes` = 1 makes no sense: it must be from 2 to 128");
    assert!(refused(|mesh| mesh.modes = 129).contains("from 2 to 128"));
    assert!(refused(|mesh| mesh.phase_limit = 0.0).contains("`phase_limit` = 0 rad"));
    assert!(refused(|mesh| mesh.phase_error = -1.0).contains("not negative"));
    assert!(refused(|mesh| mesh.imperfections.read_bits = 30).contains("at most 24"));
}
