//! Adjoints, determinism, imperfections and safety of the plate.

use drivers::{Batch, Direction};
use pulp::Arch;
use rayon::ThreadPoolBuilder;

use super::discrete::Discrete;
use super::kernel::{Backward, Conditions, Forward, Scratch};
use super::physics::Physics;
use super::{Gap, Imperfections, Mechanical, Speaker};
use crate::gradient_check::error_along;
use crate::{Built, Error, Key, LANES, Lanes, Moment};

/// Random values, each held for `hold` samples, within ± `volts`.
fn play(shots: usize, samples: usize, hold: usize, volts: f32) -> Batch {
    let mut stream = Key::new(11).stream();
    let held: Vec<f32> = (0..shots * samples.div_ceil(hold)).map(|_| volts * (2.0 * stream.uniform() - 1.0)).collect();
    Batch::from_fn(shots, samples, |row, column| held[row * samples.div_ceil(hold) + column / hold])
}

/// A small bench whose nonlinear terms are as strong as they may be.
fn strong() -> Mechanical {
    let mut bench = Mechanical { samples: 60, ..Mechanical::default() };
    bench.speaker.newtons_per_volt = 30.0;
    bench.gap = Gap { stiffening: 1.0, coupling: 1.0, clip_volts: 0.7, ..Gap::default() };
    bench
}

/// The readings of one shot in double precision.
fn predict<const LINEAR: bool>(plate: &Discrete<f64>, shot: &[f64]) -> Vec<f64> {
    run::<LINEAR>(plate, shot, &vec![0.0; shot.len()])[0].clone()
}

/// Readings and gradients of one shot in double precision.
fn run<const LINEAR: bool>(plate: &Discrete<f64>, shot: &[f64], cotangents: &[f64]) -> [Vec<f64>; 2] {
    let lanes = |values: &[f64]| -> Vec<Lanes<f64>> { values.iter().map(|&value| [value; LANES]).collect() };
    let (drive, cotangents, conditions) = (lanes(shot), lanes(cotangents), Conditions::nominal());
    let mut scratch = Scratch::adjoint(plate.modes.len(), shot.len());
    let [mut output, mut gradients] = [lanes(&vec![0.0; shot.len()]), lanes(&vec![0.0; shot.len()])];
    Arch::new().dispatch(Forward::<_, LINEAR, true> {
        plate,
        conditions: &conditions,
        drive: &drive,
        scratch: &mut scratch,
        output: &mut output,
    });
    Arch::new().dispatch(Backward::<_, LINEAR> {
        plate,
        cotangents: &cotangents,
        scratch: &mut scratch,
        gradients: &mut gradients,
    });
    [output, gradients].map(|lanes| lanes.iter().map(|lanes| lanes[3]).collect())
}

/// The worst relative error of the adjoint along random directions and along each single input.
fn worst_gradient<const LINEAR: bool>(plate: &Discrete<f64>, samples: usize) -> f64 {
    let mut stream = Key::new(21).stream();
    let mut worst = 0.0_f64;
    for _ in 0..4 {
        let point: Vec<f64> = (0..samples).map(|_| 2.0 * f64::from(stream.uniform()) - 1.0).collect();
        let cotangents: Vec<f64> = (0..samples).map(|_| f64::from(stream.normal())).collect();
        let [_, gradient] = run::<LINEAR>(plate, &point, &cotangents);
        let loss = |point: &[f64]| -> f64 {
            predict::<LINEAR>(plate, point).iter().zip(&cotangents).map(|(y, g)| y * g).sum()
        };
        let random = (0..4).map(|_| (0..samples).map(|_| f64::from(stream.normal())).collect::<Vec<_>>());
        for direction in random.collect::<Vec<_>>() {
            worst = worst.max(error_along(loss, &point, &direction, &gradient));
        }
        for single in (0..samples - plate.delay).step_by(7) {
            let mut direction = vec![0.0; samples];
            direction[single] = 1.0;
            worst = worst.max(error_along(loss, &point, &direction, &gradient));
        }
    }
    worst
}

#[test]
fn the_adjoints_agree_with_finite_differences() {
    let bench = strong();
    let twin = worst_gradient::<true>(&Physics::nominal(&bench).discretize(), bench.samples);
    let ideal = worst_gradient::<false>(&Physics::actual(&bench).discretize(), bench.samples);
    let usual = worst_gradient::<false>(&Physics::actual(&Mechanical::default()).discretize(), 100);
    assert!(twin < 1e-6 && ideal < 1e-6 && usual < 1e-6, "{twin:e} {ideal:e} {usual:e}");
}

#[test]
fn the_adjoint_holds_where_the_force_saturates() {
    let mut plate: Discrete<f64> = Physics::actual(&strong()).discretize();
    plate.limit = 0.05;
    // The slope jumps at the limit, and some differences step across it; the microphone hears the force that jumps at once.
    let error = worst_gradient::<false>(&plate, 60);
    assert!(error < 3e-3, "{error:e}");
}

#[test]
fn single_precision_agrees_with_double() {
    for bench in [Mechanical::default(), strong()] {
        let Built { twin, ideal, .. } = bench.build().unwrap();
        let inputs = play(20, bench.samples, 8, 1.0);
        let cotangents = play(20, bench.samples, 1, 1.0);
        let [nominal, actual] = [Physics::nominal(&bench), Physics::actual(&bench)].map(|p| p.discretize());
        let wide = |row: &[f32]| row.iter().copied().map(f64::from).collect::<Vec<_>>();
        for row in [0, 17, 19] {
            let (shot, back) = (wide(inputs.row(row)), wide(cotangents.row(row)));
            let exact = [run::<true>(&nominal, &shot, &back), run::<false>(&actual, &shot, &back)];
            for (model, [output, gradient]) in [&twin, &ideal].into_iter().zip(&exact) {
                close(model.predict(&inputs, &[]).row(row), output, 1e-4);
                close(model.pull_back(&inputs, &[], &cotangents).inputs.row(row), gradient, 1e-4);
            }
        }
    }
}

/// Whether all values agree within `tolerance` of the largest.
fn close(values: &[f32], exact: &[f64], tolerance: f64) {
    let largest = exact.iter().fold(0.0_f64, |a, b| a.max(b.abs()));
    for (value, exact) in values.iter().zip(exact) {
        assert!((f64::from(*value) - exact).abs() < tolerance * largest, "{value} against {exact} of {largest}");
    }
}

#[test]
fn a_shot_does_not_depend_on_its_batch() {
    let bench = Mechanical::default();
    let Built { system, ideal, twin } = bench.build().unwrap();
    let (inputs, cotangents) = (play(37, 512, 8, 1.0), play(37, 512, 1, 1.0));
    let start = Moment { shots: 1000, seconds: 3.0 };
    let all = system.shoot(&inputs, &[], start);
    for row in [0, 5, 16, 36] {
        let only = |batch: &Batch| Batch::new(512, batch.row(row).to_vec()).unwrap();
        let seconds = start.seconds + system.card().timing.shot * row as f64;
        let moment = Moment { shots: start.shots + row as u64, seconds };
        assert_eq!(system.shoot(&only(&inputs), &[], moment).row(0), all.row(row));
        for model in [&twin, &ideal] {
            assert_eq!(model.predict(&only(&inputs), &[]).row(0), model.predict(&inputs, &[]).row(row));
            let alone = model.pull_back(&only(&inputs), &[], &only(&cotangents));
            assert_eq!(alone.inputs.row(0), model.pull_back(&inputs, &[], &cotangents).inputs.row(row));
        }
    }
    assert_eq!(system.shoot(&Batch::zeros(0, 512), &[], start).rows(), 0);
}

#[test]
fn results_do_not_depend_on_the_threads() {
    let Built { system, ideal, .. } = Mechanical::default().build().unwrap();
    let (inputs, cotangents) = (play(70, 512, 8, 1.0), play(70, 512, 1, 1.0));
    let [one, three] = [1, 3].map(|threads| {
        let pool = ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(|| (system.shoot(&inputs, &[], Moment::default()), ideal.pull_back(&inputs, &[], &cotangents)))
    });
    assert!(one == three);
}

#[test]
fn with_everything_off_the_plant_is_its_twin_bit_for_bit() {
    let bench = Mechanical { mismatch: 0.0, imperfections: Imperfections::off(), ..Mechanical::default() };
    let Built { system, twin, ideal } = bench.build().unwrap();
    let inputs = play(37, 512, 3, 1.0);
    let readings = system.shoot(&inputs, &[], Moment { shots: 5, seconds: 100.0 });
    assert!(readings == twin.predict(&inputs, &[]), "the twin differs");
    assert!(readings == ideal.predict(&inputs, &[]), "the ideal differs");
}

#[test]
fn the_ideal_is_the_plant_without_imperfections() {
    let bench = Mechanical { imperfections: Imperfections::off(), ..Mechanical::default() };
    let Built { system, ideal, .. } = bench.build().unwrap();
    let inputs = play(17, 512, 8, 1.0);
    assert!(system.shoot(&inputs, &[], Moment::default()) == ideal.predict(&inputs, &[]));
}

/// The standard deviation of the difference of two batches, and of the first.
fn deviations(a: &Batch, b: &Batch) -> [f64; 2] {
    let count = a.values().len() as f64;
    let root = |squares: f64| (squares / count).sqrt();
    let difference = a.values().iter().zip(b.values()).map(|(a, b)| f64::from(a - b).powi(2)).sum();
    [root(difference), root(a.values().iter().map(|a| f64::from(*a).powi(2)).sum())]
}

#[test]
fn the_default_mismatch_is_a_believable_gap() {
    for plant_seed in 1..6 {
        let bench = Mechanical { plant_seed, ..Mechanical::default() };
        let Built { twin, ideal, .. } = bench.build().unwrap();
        for hold in [1, 8] {
            let inputs = play(32, 512, hold, 1.0);
            let [error, output] = deviations(&ideal.predict(&inputs, &[]), &twin.predict(&inputs, &[]));
            assert!((0.05..0.25).contains(&(error / output)), "seed {plant_seed}: {}", error / output);
        }
    }
}

#[test]
fn full_scale_data_leaves_headroom() {
    let Built { ideal, .. } = Mechanical::default().build().unwrap();
    for hold in [1, 3, 8] {
        let readings = ideal.predict(&play(64, 512, hold, 1.0), &[]);
        let largest = readings.values().iter().fold(0.0_f32, |a, b| a.max(b.abs()));
        assert!((0.2..0.8).contains(&largest), "{largest} V at {hold} samples per value");
    }
}

#[test]
fn noise_is_as_configured() {
    let quiet = Mechanical { imperfections: Imperfections::off(), ..Mechanical::default() };
    let inputs = play(200, 512, 8, 0.1);
    let clean = quiet.build().unwrap().system.shoot(&inputs, &[], Moment::default());
    let noisy = |imperfections: Imperfections| {
        let bench = Mechanical { imperfections, ..quiet.clone() };
        bench.build().unwrap().system.shoot(&inputs, &[], Moment { shots: 7, seconds: 0.0 })
    };
    let [error, _] = deviations(&noisy(Imperfections { noise_volts: 1e-3, ..Imperfections::off() }), &clean);
    // 102,400 draws: 0.22 % is one standard error of their deviation.
    assert!((error / 1e-3 - 1.0).abs() < 0.01, "{error}");
    let jittered = noisy(Imperfections { gain_noise: 0.01, ..Imperfections::off() });
    let gains: Vec<f64> = jittered.iter().zip(clean.iter()).map(|(a, b)| projection(a, b) - 1.0).collect();
    let spread = (gains.iter().map(|gain| gain * gain).sum::<f64>() / gains.len() as f64).sqrt();
    // 200 draws: 5 % is one standard error.
    assert!((spread / 0.01 - 1.0).abs() < 0.15, "{spread}");
}

/// The factor by which `b` comes nearest to `a`.
fn projection(a: &[f32], b: &[f32]) -> f64 {
    let product = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum::<f64>();
    product(a, b) / product(b, b)
}

#[test]
fn six_repeats_drift_as_on_a_bench_and_the_drift_ends() {
    let imperfections = Imperfections { noise_volts: 0.0, gain_noise: 0.0, ..Imperfections::default() };
    let Built { system, .. } = Mechanical { imperfections, ..Mechanical::default() }.build().unwrap();
    let inputs = play(16, 512, 8, 0.5);
    let at = |seconds: f64| system.shoot(&inputs, &[], Moment { shots: 0, seconds });
    let [first, sixth, later, last] = [at(0.0), at(6.0), at(600.0), at(6e6)];
    let change = deviations(&sixth, &first)[0] / deviations(&first, &first)[1];
    assert!((0.001..0.012).contains(&change), "{change}");
    let gain = projection(sixth.values(), first.values()) - 1.0;
    assert!((-0.012..-0.001).contains(&gain), "{gain}");
    assert!(later == last);
}

#[test]
fn readings_lie_on_the_grid_and_saturate() {
    let mut bench = Mechanical {
        imperfections: Imperfections { adc_bits: 8, ..Imperfections::default() },
        ..Mechanical::default()
    };
    bench.microphone.full_scale_volts = 0.1;
    let Built { system, .. } = bench.build().unwrap();
    let readings = system.shoot(&play(16, 512, 8, 1.0), &[], Moment::default());
    let lsb = 0.2 / 255.0;
    for reading in readings.values() {
        let code = (f64::from(*reading) + 0.1) / lsb;
        assert!((code - code.round()).abs() < 1e-3 && reading.abs() <= 0.1 + 1e-6, "{reading}");
    }
    assert!(readings.values().iter().any(|reading| 0.0999 < *reading));
    system.card().ports.check(Direction::Output, readings.row(0)).unwrap();
}

#[test]
fn no_drive_makes_it_diverge() {
    let samples = 20_000;
    let mut wild = Mechanical { samples, mismatch: 1.0, ..strong() };
    wild.speaker.newtons_per_volt = 1000.0;
    for bench in [Mechanical { samples, ..Mechanical::default() }, wild] {
        let Built { ideal, system, .. } = bench.build().unwrap();
        let physics = Physics::actual(&bench);
        let mut stream = Key::new(4).stream();
        let random = play(4, samples, 37, 1.0);
        let drive = Batch::from_fn(physics.modes.len() + 8, samples, |row, sample| match row.checked_sub(8) {
            Some(mode) => ((physics.modes[mode].omega * sample as f64 / 48_000.0).sin() as f32).signum(),
            None if row < 4 => random.row(row)[sample].signum(),
            None => {
                if stream.uniform() < 0.5 {
                    -1.0
                } else {
                    1.0
                }
            }
        });
        let readings = ideal.predict(&drive, &[]);
        assert!(readings.values().iter().all(|value| value.is_finite()));
        // Beyond its limits the plate is chaotic: then it is bounded, but no gradient of a long record is.
        if bench.speaker == Speaker::default() {
            let gradient = ideal.pull_back(&drive, &[], &readings).inputs;
            assert!(gradient.values().iter().all(|value| value.is_finite()));
        }
        let bound = |batch: &Batch, from: usize| {
            batch.iter().flat_map(|row| &row[from..from + 5000]).fold(0.0_f32, |a, b| a.max(b.abs()))
        };
        // What rings has rung up after a quarter: later it is no louder.
        assert!(bound(&readings, 15_000) < 2.0 * bound(&readings, 5_000));
        assert!(system.shoot(&drive, &[], Moment::default()).values().iter().all(|value| value.abs() <= 1.0));
    }
}

#[test]
fn the_card_says_what_it_is() {
    let card = Mechanical::default().build().unwrap().system.card().clone();
    assert_eq!(card.identity.serial, "simulated-1");
    assert_eq!((card.ports.input_count(), card.ports.control_count(), card.ports.output_count()), (512, 0, 512));
    assert!((card.timing.shot - (512.0 / 48_000.0 + 0.05)).abs() < 1e-12);
}

#[test]
fn what_makes_no_sense_is_refused_by_name() {
    let refused = |change: &dyn Fn(&mut Mechanical)| {
        let mut bench = Mechanical::default();
        change(&mut bench);
        match bench.build() {
            Err(Error::Coefficient { name, .. }) => name,
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(refused(&|bench| bench.samples = 2), "samples");
    assert_eq!(refused(&|bench| bench.modes = 41), "modes");
    assert_eq!(refused(&|bench| bench.modes = 1), "modes");
    assert_eq!(refused(&|bench| bench.mismatch = f64::NAN), "mismatch");
    assert_eq!(refused(&|bench| bench.plate.poisson = 0.5), "plate.poisson");
    assert_eq!(refused(&|bench| bench.speaker.suspension_hertz[1] = -1.0), "speaker.suspension_hertz");
    assert_eq!(refused(&|bench| bench.microphone.place[0] = 1.5), "microphone.place");
    assert_eq!(refused(&|bench| bench.gap.clip_volts = 0.0), "gap.clip_volts");
    assert_eq!(refused(&|bench| bench.imperfections.drift_seconds = 0.0), "imperfections.drift_seconds");
    assert_eq!(refused(&|bench| bench.plate.mount_loss_per_second = 1e5), "plate (a mode's damping ratio)");
    assert_eq!(refused(&|bench| bench.plate.thickness_meters = 1e-3), "modes (the highest frequency)");
}
