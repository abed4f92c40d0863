//! A learned twin of a recorded acoustic cavity beside a linear fit, and local learning of vowels through that twin in place of the cavity.

use super::super::program::{Asked, Check, Measured};
use super::words::{Known, needs};
use crate::Error;
use crate::training::Method;
use crate::training::methods::acoustic::{cavity, files, vowels};

const SEEDS: [u64; 3] = [1, 2, 3];
/// Updates by each method, of all training vowels at once; and of the twin in the quick form.
const UPDATES: usize = 2000;
const QUICK_UPDATES: usize = 300;
const QUICK_TWIN: usize = 500;
/// Local learning, and backpropagation through the same twin beside it.
const METHODS: [Method; 2] = [Method::Phyll, Method::PhysicsAware];

fn accuracy(method: Method) -> String {
    format!("acoustic: vowels through the cavity's twin by {method}: accuracy")
}

pub(super) fn judge(of: Known<'_>) -> Vec<Check> {
    let above = of("acoustic: learned twin: median R²").zip(of("acoustic: linear fit: median R²"));
    let above = above.map(|(learned, linear)| learned - linear);
    vec![
        Check::at_least("acoustic: median R² of the learned twin above that of a linear fit", 0.0, above, "1"),
        Check::at_least("acoustic: vowels by phyll ≥ 93.0 %", 0.93, of(&accuracy(Method::Phyll)), "points"),
    ]
}

pub(super) fn run(asked: &Asked<'_>, measured: &mut Measured) -> Result<(), Error> {
    let Some(folder) = asked.data.filter(|folder| files(folder).iter().all(|file| file.is_file())) else {
        return Err(needs("acoustic/inputs.csv and acoustic/readings.csv of MomeniAli/PhyLL"));
    };
    tell!("methods: acoustic");
    let cavity = cavity(folder, asked.quick.then_some(QUICK_TWIN), SEEDS[0])?;
    for (name, [median, worst]) in [("learned twin", cavity.learned), ("linear fit", cavity.linear)] {
        measured.add(format!("acoustic: {name}: median R²"), median, "1", SEEDS[0]);
        measured.add(format!("acoustic: {name}: worst R²"), worst, "1", SEEDS[0]);
    }
    let (seeds, updates) = if asked.quick { (&SEEDS[..1], QUICK_UPDATES) } else { (&SEEDS[..], UPDATES) };
    let seeds = asked.some(seeds);
    for method in METHODS {
        let found = seeds.iter().map(|seed| vowels(&cavity, method, folder, (*seed, updates)));
        let found = found.collect::<Result<Vec<f64>, Error>>()?;
        measured.take_mean(accuracy(method), "1", &found, seeds);
    }
    Ok(())
}
