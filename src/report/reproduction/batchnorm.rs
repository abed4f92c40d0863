//! `batchnorm`: what normalizing layers need of their statistics, beside the targets set after Wu and Johnson (arXiv 2105.07576); and networks
//! that meet other benches than the one they were trained on.

use super::program::{Asked, Check, Measured, Program};
use crate::Error;
use crate::training::batchnorm::{
    System, drift, exactness, moving_average_gap, on_other_benches, sample_curve, sorted_batches,
};

/// The program.
pub const PROGRAM: Program = Program { name: "batchnorm", checks: || judge(|_| None), run };

/// Seeds of A2, each of which is a training, and of A3 to A6.
const TRAININGS: [u64; 4] = [1, 2, 3, 4];
const SEEDS: [u64; 5] = [1, 2, 3, 4, 5];
/// Seeds of the networks that meet other benches.
const NETWORKS: [u64; 5] = [1, 2, 3, 4, 5];
/// Updates of a training: of A2, of A3 to A6, of the networks that meet other benches.
const UPDATES: [usize; 3] = [60, 300, 600];

/// What is asked of numbers that `of` knows by name.
fn judge(of: impl Fn(&str) -> Option<f64>) -> Vec<Check> {
    let over = |one: &str, other: &str| of(one).zip(of(other)).map(|(one, other)| one - other);
    vec![
        Check::at_most(
            "A1: statistics do not depend on how rows are split",
            1e-6,
            of("A1 largest relative difference between splits"),
            "1",
        ),
        Check::at_least(
            "A2: share of the moving average's gap removed",
            0.7,
            of("A2 share of the moving average's gap removed"),
            "1",
        ),
        Check::at_most(
            "A2: error by measured statistics above that by the moving average",
            0.0,
            over("A2 mean error by measured statistics", "A2 mean error by the moving average"),
            "points",
        ),
        Check::at_least("A3: share of a drift behind the device recovered", 0.9, of("A3 share recovered"), "1"),
        Check::at_least(
            "A4: share of a drift inside the device recovered (partial)",
            0.25,
            of("A4 (partial) share recovered"),
            "1",
        ),
        Check::at_least("A5: sorted batches are warned of", 1.0, of("A5 warned of"), "1"),
        Check::at_least(
            "A5: accuracy with shuffled batches ≥ 90 %",
            0.9,
            of("A5 accuracy with shuffled batches"),
            "points",
        ),
        Check::at_most(
            "A6: error with 1,024 rows above that with 8,192",
            0.003,
            over("A6 error with 1024 rows", "A6 error with 8192 rows"),
            "points",
        ),
    ]
}

fn run(asked: &Asked<'_>) -> Result<Measured, Error> {
    let mut measured = Measured {
        on: "the SIMULATED device of the experiment, and SIMULATED plants".to_owned(),
        ..Measured::default()
    };
    measured.take(&[vec![exactness()?]], &[0]);
    let seeds = if asked.quick { &SEEDS[..1] } else { &SEEDS[..] };
    let trainings = if asked.quick { &TRAININGS[..1] } else { &TRAININGS[..] };
    let [gap, small, large] = if asked.quick { UPDATES.map(|updates| updates / 2) } else { UPDATES };
    tell!("batchnorm: A2 to A6");
    measured.take(&[moving_average_gap(trainings, gap)?], trainings);
    // The share that is recovered is that of means: of one network it may be a small number over another.
    measured.take(&[[drift(false, seeds, small)?, drift(true, seeds, small)?].concat()], seeds);
    measured.take(&[[sorted_batches(SEEDS[0], small)?, sample_curve(SEEDS[0], small)?].concat()], &SEEDS[..1]);
    let networks = if asked.quick { &NETWORKS[..1] } else { &NETWORKS[..] };
    for system in [System::Electrical, System::Optical] {
        tell!("batchnorm: other benches, {system:?}");
        let of_seed = |&seed: &u64| on_other_benches(system, &[seed], large);
        measured.take(&networks.iter().map(of_seed).collect::<Result<Vec<_>, _>>()?, networks);
    }
    let known = measured.measurements.clone();
    measured.checks = judge(|name| known.iter().find(|one| one.name == name).map(|one| one.value));
    Ok(measured)
}
