//! Every method with the same number of shots on the same small networks: accuracy, curves, and what each costs.

use super::super::program::{Asked, Check, Curve, Measured};
use super::words::Known;
use crate::Error;
use crate::training::Method;
use crate::training::methods::budget::{Learned, Task, learn, tuned};

/// Shots of a training, with the seeds of each.
const FULL: [(u64, &[u64]); 2] = [(100_000, &[1, 2, 3]), (1_000_000, &[1])];
const QUICK: [(u64, &[u64]); 1] = [(5000, &[1])];
/// The part of the shots after which a step size is judged.
const TUNING: u64 = 5;
/// The step size of the quick form.
const QUICK_RATE: f64 = 0.03;
/// Methods without a twin, of which is asked that they learn clearly.
const WITHOUT_TWIN: [Method; 8] = [
    Method::FeedbackAlignment,
    Method::Spsa,
    Method::Multiplexed,
    Method::Pepg,
    Method::CmaEs,
    Method::FiniteDifferences,
    Method::Reservoir,
    Method::Phyll,
];

fn name(task: Task, shots: u64, method: Method) -> String {
    format!("budget, {}, {shots} shots: {method}", task.name())
}

pub(super) fn judge(of: Known<'_>) -> Vec<Check> {
    let of_method = |method: Method| {
        let budgets = FULL.iter().chain(&QUICK);
        let best = budgets.filter_map(|(shots, _)| of(&name(Task::Digits, *shots, method))).reduce(f64::max);
        Check::at_least(&format!("digits, electrical: {method} ≥ 80.0 %"), 0.8, best, "points")
    };
    WITHOUT_TWIN.map(of_method).to_vec()
}

pub(super) fn run(asked: &Asked<'_>, measured: &mut Measured) -> Result<(), Error> {
    let budgets: &[(u64, &[u64])] = if asked.quick { &QUICK } else { &FULL };
    for task in Task::ALL {
        match task.data(asked.data, 1) {
            Err(Error::MissingData(reason)) => {
                tell!("methods: budget: {} is left out: {reason}", task.name());
                continue;
            }
            found => drop(found?),
        }
        for (shots, seeds) in budgets {
            let seeds = asked.some(seeds);
            for method in Method::ALL {
                tell!("methods: budget: {}, {shots} shots, {method}", task.name());
                let rate =
                    if asked.quick { QUICK_RATE } else { tuned((task, method), asked.data, shots / TUNING)? };
                let mut found = Vec::new();
                for &seed in seeds {
                    let data = task.data(asked.data, seed)?;
                    match learn((task, method), &data, (seed, *shots, rate)) {
                        Err(error @ Error::Diverged { .. }) => tell!("methods: budget: {method}, seed {seed}: {error}"),
                        one => found.extend(one?),
                    }
                }
                if found.len() == seeds.len() {
                    take(measured, (task, *shots, method), (&found, rate), seeds);
                }
            }
        }
    }
    Ok(())
}

/// Adds what a method reached and cost, and its curve.
fn take(
    measured: &mut Measured,
    (task, shots, method): (Task, u64, Method),
    (found, rate): (&[Learned], f64),
    seeds: &[u64],
) {
    let name = name(task, shots, method);
    let mut take = |name: String, unit: &str, of: fn(&Learned) -> f64| {
        let values: Vec<f64> = found.iter().map(of).collect();
        measured.take_mean(name, unit, &values, seeds);
    };
    take(name.clone(), "1", Learned::accuracy);
    take(format!("{name}: shots that trained"), "1", |one| one.shots);
    take(format!("{name}: bench time"), "s", |one| one.bench_seconds);
    take(format!("{name}: time here"), "s", |one| one.seconds);
    let needs = if method.needs_twin() { 1.0 } else { 0.0 };
    measured.add(format!("{name}: needs a twin (1) or none (0)"), needs, "1", seeds[0]);
    measured.add(format!("{name}: step size that validation preferred"), rate, "1", seeds[0]);
    let points = found[0].curve.iter().enumerate().map(|(place, (spent, _))| {
        let each = found.iter().filter_map(|one| one.curve.get(place)).map(|(_, accuracy)| *accuracy);
        (*spent, each.sum::<f64>() / found.len() as f64)
    });
    let panel = format!("{}, {shots} shots", task.name());
    measured.curves.push(Curve { panel, name: method.name().to_owned(), points: points.collect() });
}
