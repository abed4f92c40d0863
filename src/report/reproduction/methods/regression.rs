//! Numbers to predict: a reservoir beside training of all weights, with the same layers and read-out.

use super::super::program::{Asked, Check, Measured};
use super::words::Known;
use crate::Error;
use crate::training::Method;
use crate::training::methods::regression::{PLANTS, Predicted, SERIES, Task};

const SEEDS: [u64; 3] = [1, 2, 3];
/// Updates of training.
const UPDATES: usize = 2000;
const QUICK_UPDATES: usize = 90;
const METHODS: [Method; 2] = [Method::Reservoir, Method::PhysicsAware];
/// What of an error must at least be gone.
const BETTER: f64 = 0.2;

fn name(series: &str, plant: &str, method: Method, score: &str) -> String {
    format!("regression: {series}, {plant}, {method}: {score}")
}

pub(super) fn judge(of: Known<'_>) -> Vec<Check> {
    let mut checks = Vec::new();
    for (series, _) in SERIES {
        for plant in PLANTS {
            let scores: &[&str] = if series == SERIES[1].0 { &["NRMSE", "symbol error rate"] } else { &["NRMSE"] };
            for score in scores {
                let [fixed, trained] = METHODS.map(|method| of(&name(series, plant, method, score)));
                let gone = fixed.zip(trained).map(|(fixed, trained)| 1.0 - trained / fixed.max(1e-9));
                let words = format!("{series}, {plant}: {score} physics-aware ≥ 20 % below that of a reservoir");
                checks.push(Check::at_least(&words, BETTER, gone, "1"));
            }
        }
    }
    checks
}

pub(super) fn run(asked: &Asked<'_>, measured: &mut Measured) -> Result<(), Error> {
    let (seeds, updates) = if asked.quick { (&SEEDS[..1], QUICK_UPDATES) } else { (&SEEDS[..], UPDATES) };
    let seeds = asked.some(seeds);
    for series in SERIES {
        for plant in PLANTS {
            for method in METHODS {
                tell!("methods: regression: {}, {plant}, {method}", series.0);
                let found = Task { series, plant }.predicted(method, seeds, updates)?;
                let nrmse: Vec<f64> = found.iter().map(|found| found.nrmse).collect();
                measured.take_mean(name(series.0, plant, method, "NRMSE"), "1", &nrmse, seeds);
                let errors: Vec<f64> = found.iter().filter_map(|Predicted { symbol_errors, .. }| *symbol_errors).collect();
                if errors.len() == found.len() {
                    measured.take_mean(name(series.0, plant, method, "symbol error rate"), "1", &errors, seeds);
                }
            }
        }
    }
    Ok(())
}
