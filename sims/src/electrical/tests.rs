//! The system as a whole: adjoints, switches, noise, converters, and safety at every drive.

use drivers::{Batch, Range};
use pulp::{Arch, Scalar, WithSimd};

use super::{
    Electrical, ElectricalImperfections, ElectricalTolerances,
    circuit::Circuit,
    model::{Predict, PullBack, Scratch},
    solver::Solver,
};
use crate::{Key, Moment, gradient_check::error_along};

/// Records through `solver` in double precision.
pub(super) fn predict(solver: &Solver<f64>, inputs: &[f64]) -> Vec<f64> {
    let mut outputs = vec![0.0; inputs.len()];
    let scratch = &mut Scratch::default();
    Arch::new().dispatch(Predict { solver, scratch, inputs, outputs: &mut outputs });
    outputs
}

/// Gradients at `inputs` in double precision.
pub(super) fn pull_back(solver: &Solver<f64>, inputs: &[f64], cotangents: &[f64]) -> Vec<f64> {
    let mut gradients = vec![0.0; inputs.len()];
    let scratch = &mut Scratch::default();
    Arch::new().dispatch(PullBack { solver, scratch, inputs, cotangents, gradients: &mut gradients });
    gradients
}

/// A bench with `samples` samples and nothing random, rounded or drifting.
fn quiet(samples: usize) -> Electrical {
    Electrical { samples, imperfections: ElectricalImperfections::none(), ..Electrical::default() }
}

/// Drives within ±`volts`, held for a random while each.
fn drives(shots: usize, samples: usize, volts: f32, seed: u64) -> Batch {
    let mut stream = Key::new(seed).stream();
    let mut held = 0.0;
    Batch::from_fn(shots, samples, |_, _| {
        if stream.below(3) != 0 {
            held = volts * (2.0 * stream.uniform() - 1.0);
        }
        held
    })
}

fn doubles(batch: &Batch) -> Vec<f64> {
    batch.values().iter().map(|&value| f64::from(value)).collect()
}

/// The twin's circuit, the plant's, and one with half of the mismatch, which blends both laws.
fn circuits(config: &Electrical) -> [Circuit; 3] {
    let half = Electrical { mismatch: 0.5, ..config.clone() };
    [config.nominal_circuit(), config.plant_circuit(), half.plant_circuit()]
}

#[test]
fn the_adjoint_is_the_slope_of_the_record() {
    let samples = 40;
    for circuit in circuits(&quiet(samples)) {
        let solver = Solver::<f64>::new(&circuit);
        for seed in 0..4 {
            let point = doubles(&drives(1, samples, 1.0, seed));
            let mut stream = Key::new(seed).branch("directions").stream();
            let mut normals = || (0..samples).map(|_| f64::from(stream.normal())).collect::<Vec<_>>();
            let cotangents = normals();
            let gradient = pull_back(&solver, &point, &cotangents);
            let loss = |x: &[f64]| predict(&solver, x).iter().zip(&cotangents).map(|(y, c)| y * c).sum::<f64>();
            let mut directions: Vec<Vec<f64>> = (0..4).map(|_| normals()).collect();
            directions.extend((0..samples).map(|port| (0..samples).map(|k| f64::from(u8::from(k == port))).collect()));
            for direction in directions {
                let norm = direction.iter().map(|d| d * d).sum::<f64>().sqrt();
                let unit: Vec<f64> = direction.iter().map(|d| 0.3 * d / norm).collect();
                let error = error_along(loss, &point, &unit, &gradient);
                assert!(error < 1e-6, "{:?}, seed {seed}: {error:e}", circuit.shape());
            }
        }
    }
}

#[test]
fn a_bias_adds_to_the_drive_and_has_its_slope_as_gradient() {
    let config = Electrical { bias_volts: 0.5, ..quiet(40) };
    let built = config.build().unwrap();
    let bank = &built.twin.card().ports.controls[0];
    assert_eq!((bank.name.as_str(), bank.count, bank.range), ("bias", 1, Range::new(-0.5, 0.5)));
    let (inputs, cotangents) = (drives(20, 40, 0.4, 7), drives(20, 40, 1.0, 8));
    let more = Batch::from_fn(20, 40, |row, column| inputs.row(row)[column] + 0.3);
    let largest =
        |a: &Batch, b: &Batch| a.values().iter().zip(b.values()).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
    for twin in [&built.twin, &built.ideal] {
        let biased = twin.predict(&inputs, &[0.3]);
        assert!(largest(&biased, &twin.predict(&inputs, &[0.0])) > 0.1, "a bias is seen");
        // A shot begins where the bias has put the circuit, and ends as if the drive were so much larger.
        let last = |batch: &Batch| Batch::from_fn(20, 8, |row, column| batch.row(row)[32 + column]);
        let gap = largest(&last(&biased), &last(&twin.predict(&more, &[0.0])));
        assert!(gap < largest(&biased, &twin.predict(&more, &[0.0])), "{gap}");
        let loss = |bias: &[f64]| {
            let outputs = twin.predict(&inputs, &[bias[0] as f32]);
            outputs.values().iter().zip(cotangents.values()).map(|(y, c)| f64::from(*y) * f64::from(*c)).sum::<f64>()
        };
        let pullback = twin.pull_back(&inputs, &[0.1], &cotangents);
        assert_eq!(pullback.controls.len(), 1);
        let error = error_along(loss, &[0.1], &[10.0], &[f64::from(pullback.controls[0])]);
        assert!(error < 1e-3, "{error:e}: {:?}", pullback.controls);
    }
    // The bench without anything random reads what its own physics says, at the bias that its converter makes.
    let applied = built.system.settle(&[0.3]);
    let read = built.system.shoot(&inputs, &applied, Moment::default());
    assert!(largest(&read, &built.ideal.predict(&inputs, &applied)) < 1e-4);
    assert!(quiet(40).build().unwrap().twin.card().ports.controls.is_empty());
}

#[test]
fn a_clipped_reading_has_no_gradient() {
    let config = Electrical { reading_volts: 0.05, ..quiet(30) };
    let solver = Solver::<f64>::new(&config.plant_circuit());
    let point = vec![1.0; 30];
    let outputs = predict(&solver, &point);
    let cotangents: Vec<f64> = outputs.iter().map(|&y| f64::from(u8::from(y >= 0.05))).collect();
    assert!(10.0 < cotangents.iter().sum::<f64>(), "most of the record is clipped");
    assert_eq!(pull_back(&solver, &point, &cotangents), vec![0.0; 30]);
}

#[test]
fn single_precision_agrees_with_double() {
    let config = quiet(256);
    let built = config.build().unwrap();
    let inputs = drives(5, 256, 1.0, 1);
    let cotangents = drives(5, 256, 1.0, 2);
    for (twin, circuit) in [(&built.twin, config.nominal_circuit()), (&built.ideal, config.plant_circuit())] {
        let solver = Solver::<f64>::new(&circuit);
        let exact = predict(&solver, &doubles(&inputs));
        for (value, exact) in twin.predict(&inputs, &[]).values().iter().zip(exact) {
            assert!((f64::from(*value) - exact).abs() < 2e-6, "{value} V for {exact} V");
        }
        let exact = pull_back(&solver, &doubles(&inputs), &doubles(&cotangents));
        let pullback = twin.pull_back(&inputs, &[], &cotangents);
        for (value, exact) in pullback.inputs.values().iter().zip(exact) {
            assert!((f64::from(*value) - exact).abs() < 1e-5, "gradient {value} for {exact}");
        }
        assert!(pullback.controls.is_empty());
    }
}

#[test]
fn a_shot_does_not_know_its_batch() {
    let built = Electrical { samples: 33, ..Electrical::default() }.build().unwrap();
    let timing = built.system.card().timing;
    let inputs = drives(137, 33, 1.0, 3);
    let cotangents = drives(137, 33, 1.0, 4);
    let moment = Moment { shots: 1000, seconds: 77.0 };
    let readings = built.system.shoot(&inputs, &[], moment);
    let predictions = built.ideal.predict(&inputs, &[]);
    let gradients = built.ideal.pull_back(&inputs, &[], &cotangents).inputs;
    for row in [0, 1, 15, 16, 63, 64, 100, 136] {
        let alone = |batch: &Batch| Batch::new(33, batch.row(row).to_vec()).unwrap();
        let its_own = Moment { shots: 1000 + row as u64, seconds: 77.0 + timing.shot * row as f64 };
        // The bench's clock may round differently on its two ways to the same time; a code's width is the most it moves.
        for (one, all) in built.system.shoot(&alone(&inputs), &[], its_own).values().iter().zip(readings.row(row)) {
            assert!((one - all).abs() < 1e-4, "{one} V alone, {all} V in the batch");
        }
        assert_eq!(built.ideal.predict(&alone(&inputs), &[]).values(), predictions.row(row));
        assert_eq!(
            built.ideal.pull_back(&alone(&inputs), &[], &alone(&cotangents)).inputs.values(),
            gradients.row(row)
        );
    }
}

#[test]
fn the_number_of_threads_changes_nothing() {
    let built = Electrical { samples: 50, ..Electrical::default() }.build().unwrap();
    let (inputs, cotangents) = (drives(150, 50, 1.0, 5), drives(150, 50, 1.0, 6));
    let [one, three] = [1, 3].map(|threads| {
        rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap().install(|| {
            let readings = built.system.shoot(&inputs, &[], Moment::default());
            let gradients = [&built.twin, &built.ideal].map(|twin| twin.pull_back(&inputs, &[], &cotangents).inputs);
            (readings, built.twin.predict(&inputs, &[]), gradients)
        })
    });
    assert_eq!(one, three);
}

#[test]
fn the_vector_unit_changes_nothing() {
    let config = quiet(48);
    for circuit in circuits(&config) {
        let solver = &Solver::<f32>::new(&circuit);
        let (inputs, cotangents) = (drives(20, 48, 1.0, 13), drives(20, 48, 1.0, 14));
        let (inputs, cotangents) = (inputs.values(), cotangents.values());
        let [mut plain, mut fast] = [vec![0.0; 20 * 48], vec![0.0; 20 * 48]];
        Predict { solver, scratch: &mut Scratch::default(), inputs, outputs: &mut plain }.with_simd(Scalar);
        Arch::new().dispatch(Predict { solver, scratch: &mut Scratch::default(), inputs, outputs: &mut fast });
        assert_eq!(plain, fast);
        let scratch = &mut Scratch::default();
        PullBack { solver, scratch, inputs, cotangents, gradients: &mut plain }.with_simd(Scalar);
        Arch::new().dispatch(PullBack { solver, scratch, inputs, cotangents, gradients: &mut fast });
        assert_eq!(plain, fast);
    }
}

#[test]
fn without_mismatch_and_imperfections_the_plant_is_its_twin_bit_for_bit() {
    for mismatch in [0.0, 0.5, 1.0] {
        let built = Electrical { mismatch, ..quiet(256) }.build().unwrap();
        let inputs = drives(20, 256, 1.0, 7);
        let readings = built.system.shoot(&inputs, &[], Moment { shots: 9, seconds: 1e4 });
        assert_eq!(readings, built.ideal.predict(&inputs, &[]), "mismatch {mismatch}");
        assert_eq!(mismatch == 0.0, readings == built.twin.predict(&inputs, &[]));
    }
}

#[test]
fn the_twin_error_of_the_default_bench_is_believable() {
    for plant_seed in 0..5 {
        let built = Electrical { plant_seed, ..quiet(256) }.build().unwrap();
        let inputs = drives(64, 256, 1.0, 8);
        let (plant, twin) = (doubles(&built.ideal.predict(&inputs, &[])), doubles(&built.twin.predict(&inputs, &[])));
        let mean = plant.iter().sum::<f64>() / plant.len() as f64;
        let variance: f64 = plant.iter().map(|y| (y - mean).powi(2)).sum();
        let missed: f64 = plant.iter().zip(&twin).map(|(y, t)| (y - t).powi(2)).sum();
        let error = (missed / variance).sqrt();
        assert!((0.05..0.20).contains(&error), "seed {plant_seed}: twin error {error:.3}");
    }
}

#[test]
fn the_noise_is_as_configured() {
    let loud = ElectricalImperfections { noise_volts: 3e-3, ..ElectricalImperfections::none() };
    let built = Electrical { imperfections: loud, ..quiet(101) }.build().unwrap();
    let inputs = Batch::zeros(400, 101);
    let clean = built.ideal.predict(&inputs, &[]);
    let shoot = |shots| built.system.shoot(&inputs, &[], Moment { shots, seconds: 0.0 });
    let noise: Vec<f64> = shoot(0).values().iter().zip(clean.values()).map(|(y, clean)| f64::from(y - clean)).collect();
    let mean_of = |value: &dyn Fn(usize) -> f64| (0..noise.len() - 1).map(value).sum::<f64>() / noise.len() as f64;
    // Five standard errors over 40,400 readings.
    assert!(mean_of(&|k| noise[k]).abs() < 5.0 * 3e-3 / 201.0);
    assert!((mean_of(&|k| noise[k].powi(2)).sqrt() / 3e-3 - 1.0).abs() < 5.0 / 284.0);
    assert!(mean_of(&|k| noise[k] * noise[k + 1]).abs() < 5.0 * 9e-6 / 201.0, "neighbors are independent");
    assert_eq!(shoot(0), shoot(0));
    assert_ne!(shoot(0), shoot(400));
}

#[test]
fn jitter_moves_the_record_along_its_slope() {
    let late = ElectricalImperfections { jitter_seconds: 50e-9, ..ElectricalImperfections::none() };
    let tolerances = ElectricalTolerances { crosstalk: 0.0, ..ElectricalTolerances::default() };
    let built = Electrical { imperfections: late, tolerances, ..quiet(20) }.build().unwrap();
    let inputs = drives(1, 20, 1.0, 9);
    let inputs = Batch::from_fn(2000, 20, |_, column| inputs.values()[column]);
    let clean = built.ideal.predict(&inputs, &[]);
    let jittered = built.system.shoot(&inputs, &[], Moment::default());
    for column in 1..19 {
        let moved = |row: usize| f64::from(jittered.row(row)[column] - clean.row(row)[column]);
        let rms = ((0..2000).map(|row| moved(row).powi(2)).sum::<f64>() / 2000.0).sqrt();
        let slope = |a: usize, b: usize| f64::from(clean.row(0)[a] - clean.row(0)[b]).powi(2);
        // Late shots follow the slope ahead, early ones the slope behind.
        let expected = 0.05 * (0.5 * (slope(column + 1, column) + slope(column, column - 1))).sqrt();
        assert!((rms / expected - 1.0).abs() < 0.12, "column {column}: {rms:e} V for {expected:e} V");
    }
}

#[test]
fn the_temperature_drifts_slowly_and_stays_bounded() {
    let warm = ElectricalImperfections { temperature_swing_kelvin: 2.0, ..ElectricalImperfections::none() };
    let built = Electrical { imperfections: warm, ..quiet(100) }.build().unwrap();
    let inputs = drives(1, 100, 1.0, 10);
    let clean = doubles(&built.ideal.predict(&inputs, &[]));
    let moved = |seconds: f64| {
        let readings = doubles(&built.system.shoot(&inputs, &[], Moment { shots: 0, seconds }));
        readings.iter().zip(&clean).map(|(y, c)| (y - c).abs()).fold(0.0, f64::max)
    };
    let over_a_day: Vec<f64> = (0..500).map(|k| moved(173.0 * f64::from(k))).collect();
    let most = over_a_day.iter().copied().fold(0.0, f64::max);
    // 2 K are 4 mV of junction bias: the node follows by less, because the coil's current does not.
    assert!((5e-4..6e-3).contains(&most), "{most:e} V");
    assert!((moved(600.0) - moved(600.1)).abs() < 1e-5, "a tenth of a second changes nothing");
    assert_eq!(moved(600.0).to_bits(), moved(600.0).to_bits());
}

#[test]
fn readings_are_codes_and_saturate() {
    let coarse = ElectricalImperfections { adc_bits: 6, ..ElectricalImperfections::none() };
    let config = Electrical { imperfections: coarse, reading_volts: 0.2, ..quiet(256) };
    let built = config.build().unwrap();
    let inputs = drives(10, 256, 1.0, 11);
    let readings = built.system.shoot(&inputs, &[], Moment::default());
    let lsb = 0.4 / 63.0;
    for &reading in readings.values() {
        let code = (reading + 0.2) / lsb;
        assert!((code - code.round()).abs() < 1e-4 && (-0.2..=0.2).contains(&reading), "{reading} V");
    }
    assert!(readings.values().contains(&-0.2));
    assert_eq!(built.system.card().ports.outputs[0].range, Range::new(-0.2, 0.2));
}

#[test]
fn the_drive_is_rounded_to_the_codes_of_the_dac() {
    let coarse = ElectricalImperfections { dac_bits: 3, ..ElectricalImperfections::none() };
    let built = Electrical { imperfections: coarse, ..quiet(64) }.build().unwrap();
    let codes = Batch::from_fn(3, 64, |row, column| -1.0 + 2.0 / 7.0 * ((row + 3 * column) % 8) as f32);
    let between = Batch::from_fn(3, 64, |row, column| codes.row(row)[column] + 0.1);
    let moment = Moment::default();
    let shoot = |inputs: &Batch| built.system.shoot(inputs, &[], moment);
    assert_eq!(shoot(&codes), shoot(&between));
}

#[test]
fn no_drive_makes_it_diverge() {
    let samples = 4000;
    for (volts, mismatch, scale_volts) in [(1.0, 1.0, 0.12), (2.0, 1.0, 0.1), (2.0, 0.0, 0.05), (2.0, 0.5, 0.02)] {
        let mut config = Electrical { drive_volts: volts, mismatch, reading_volts: 50.0, ..quiet(samples) };
        config.device.scale_volts = scale_volts;
        for substeps in [2, 4] {
            let built = Electrical { substeps, ..config.clone() }.build().unwrap();
            // Square waves of every half period from one sample up, and the same with ragged edges.
            let mut stream = Key::new(12).stream();
            let inputs = Batch::from_fn(64, samples, |row, column| {
                let half = 1 + row / 2;
                let late = if row % 2 == 0 { 0 } else { stream.below(half) };
                let sign = if ((column + late) / half).is_multiple_of(2) { 1.0 } else { -1.0 };
                sign * volts as f32
            });
            for readings in [
                built.system.shoot(&inputs, &[], Moment::default()),
                built.twin.predict(&inputs, &[]),
                built.ideal.predict(&inputs, &[]),
            ] {
                let largest = readings.values().iter().map(|y| y.abs()).fold(0.0, f32::max);
                let finite = readings.values().iter().all(|y| y.is_finite());
                // The junction holds the node well below the drive.
                assert!(finite && f64::from(largest) < volts, "{largest} V at ±{volts} V, scale {scale_volts} V");
            }
            let gradients = built.ideal.pull_back(&inputs, &[], &inputs).inputs;
            assert!(gradients.values().iter().all(|g| g.is_finite() && g.abs() < 100.0));
        }
    }
}

#[test]
fn what_makes_no_sense_is_refused_by_name() {
    let refused = |config: Electrical| config.build().unwrap_err().to_string();
    assert_eq!(
        refused(Electrical { substeps: 17, ..Electrical::default() }),
        "electrical: `substeps` = 17 makes no sense: it must be from 1 to 16"
    );
    for (name, config) in [
        ("samples", Electrical { samples: 0, ..Electrical::default() }),
        ("quality", Electrical { quality: -1.0, ..Electrical::default() }),
        ("load_ohms", Electrical { load_ohms: 1e3, ..Electrical::default() }),
        ("mismatch", Electrical { mismatch: f64::NAN, ..Electrical::default() }),
        ("resonance_hertz", Electrical { resonance_hertz: 1e6, ..Electrical::default() }),
    ] {
        assert!(refused(config).contains(name));
    }
}
