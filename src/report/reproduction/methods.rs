//! `methods`: the network of Sharpness-Aware-Training behind a mesh with fabrication errors, trained in the ways of its published table and
//! with a twin that was calibrated first; and how near each estimator's gradient is to the true one for the shots that it spends.

use super::program::{Asked, Check, Measured, Measurement, Program};
use crate::Error;
use crate::training::Spread;
use crate::training::methods::{Size, Trained, WAYS, estimates, images, train};

/// The program.
pub const PROGRAM: Program = Program { name: "methods", checks: || judge(|_| None), run };

/// Chips, each with the seed of its own training. Settings were chosen on others.
const CHIPS: [u64; 2] = [1, 2];
/// A part of the images, since the whole published table would take hours on two cores.
const FULL: Size = Size { images: [6000, 2000], epochs: 10, batch: 300, shots: [10_000, 10] };
const QUICK: Size = Size { images: [600, 300], epochs: 2, batch: 100, shots: [4000, 10] };

/// The two tables: with each method's published optimizer, and with one for all.
const TABLES: [(&str, bool); 2] = [("published optimizers", true), ("one optimizer", false)];

fn judge(of: impl Fn(&str) -> Option<f64>) -> Vec<Check> {
    let best = |name: &str| {
        let of_table = |(table, _): (&str, bool)| of(&format!("{table}: {name}"));
        TABLES.map(of_table).into_iter().flatten().reduce(f64::max)
    };
    let least = |name: &str, target: f64| {
        Check::at_least(&format!("{name}: accuracy ≥ {:.1} %", 100.0 * target), target, best(name), "points")
    };
    let mut checks =
        vec![least("sharpness-aware in silico", 0.92), least("calibrated first, then physics-aware", 0.975)];
    let published = WAYS.iter().filter_map(|way| Some((way, way.published?)));
    checks.extend(published.map(|(way, published)| {
        let name = format!("{}: accuracy ≥ its published {:.1} %", way.name, 100.0 * published);
        Check::at_least(&name, published, of(&format!("{}: {}", TABLES[0].0, way.name)), "points")
    }));
    checks
}

fn run(asked: &Asked<'_>) -> Result<Measured, Error> {
    let Some(folder) = asked.data else {
        return Err(Error::MissingData(
            "methods: needs MNIST: `pnnlab data fetch mnist` downloads it; name the folder that holds it with --data"
                .to_owned(),
        ));
    };
    let (size, chips) = if asked.quick { (QUICK, &CHIPS[..1]) } else { (FULL, &CHIPS[..]) };
    let on = format!(
        "MNIST, {} training and {} test images, {} passes; SIMULATED meshes of 64 modes with errors of 0.15",
        size.images[0], size.images[1], size.epochs
    );
    let mut measured = Measured { on, ..Measured::default() };
    for (table, as_published) in TABLES {
        // The quick form shows one table.
        if asked.quick && as_published {
            continue;
        }
        for way in WAYS {
            tell!("methods: {table}: {}", way.name);
            let of_chip = |&chip: &u64| train(way, size, &images(size, folder, chip)?, chip, as_published);
            let trained = chips.iter().map(of_chip).collect::<Result<Vec<Trained>, _>>()?;
            measured.take_trained(&format!("{table}: {}", way.name), &trained, chips);
        }
    }
    tell!("methods: gradients");
    for found in estimates()? {
        let name = format!("gradient: {}, {} passes: cosine with the true one", found.name, found.passes);
        measured.add(name, found.cosine, "1", 1);
    }
    let known = measured.measurements.clone();
    measured.checks = judge(|name| known.iter().find(|one| one.name == name).map(|one| one.value));
    Ok(measured)
}

impl Measured {
    /// Adds means and spreads of trainings.
    fn take_trained(&mut self, name: &str, trained: &[Trained], seeds: &[u64]) {
        let mut take = |name: String, unit: &str, of: fn(&Trained) -> f64| {
            let values: Vec<f64> = trained.iter().map(of).collect();
            let Spread { mean, spread } = Spread::of(&values);
            let spread = (1 < values.len()).then_some(spread);
            self.measurements.push(Measurement {
                name,
                value: mean,
                spread,
                unit: unit.to_owned(),
                seeds: seeds.to_vec(),
            });
        };
        take(name.to_owned(), "1", |one| one.accuracy);
        take(format!("{name}: shots that trained"), "1", |one| one.shots);
        take(format!("{name}: bench time"), "s", |one| one.bench_seconds);
        take(format!("{name}: time here"), "s", |one| one.seconds);
    }
}
