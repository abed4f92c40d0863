//! The published table, with each way's published optimizer and with one for all; and what is left of each way after phases have drifted.

use super::super::program::{Asked, Check, Measured};
use super::words::{Known, needs};
use crate::Error;
use crate::training::methods::chip::{Chip, Size, Trained, WAYS, images, train};

/// Chips, each with the seed of its own training. Settings were chosen on others.
const CHIPS: [u64; 5] = [1, 2, 3, 4, 5];
/// Parts of the images, since the published table would take hours on two cores: for one optimizer on all chips; and for the published
/// optimizers, with as many updates as published (400), on one chip.
const FULL: Size = Size { images: [6000, 2000], epochs: 10, batch: 300, shots: [10_000, 10] };
const PUBLISHED: Size = Size { images: [12_000, 2000], epochs: 20, batch: 600, shots: [10_000, 10] };
const QUICK: Size = Size { images: [600, 300], epochs: 2, batch: 100, shots: [2000, 10] };
/// The folder of the published chip's errors, in that of the data sets. Without it the published optimizers meet the first of the chips.
const ERRORS: &str = "mesh_errors";

/// The two tables: with each method's published optimizer, and with one for all.
const TABLES: [(&str, bool); 2] = [("published optimizers", true), ("one optimizer", false)];
/// How far phases drift, in rad, root mean square over all of them.
const DRIFTS: [f64; 7] = [0.02, 0.05, 0.1, 0.2, 0.3, 0.5, 1.0];
/// The middle of these drifts, as they are asked of: half of the way to 1 rad.
const MIDDLE: f64 = 0.5;
/// A way and the same with sharpness-aware gradients.
const PAIRS: [[&str; 2]; 3] = [
    ["in silico", "sharpness-aware in silico"],
    ["physics-aware", "sharpness- and physics-aware"],
    ["calibrated first, then physics-aware", "calibrated first, then sharpness- and physics-aware"],
];

/// The name of a measurement.
fn row(table: &str, way: &str) -> String {
    format!("mesh, {table}: {way}")
}

fn drift(way: &str, radians: f64) -> String {
    format!("drift: {way}, {radians} rad: accuracy")
}

pub(super) fn judge(of: Known<'_>) -> Vec<Check> {
    let best = |name: &str| TABLES.iter().filter_map(|(table, _)| of(&row(table, name))).reduce(f64::max);
    let least = |name: &str, target: f64| {
        Check::at_least(&format!("{name}: accuracy ≥ {:.1} %", 100.0 * target), target, best(name), "points")
    };
    let mut checks = vec![
        least("sharpness-aware in silico", 0.92),
        least("dual-adaptive", 0.95),
        least("calibrated first, then physics-aware", 0.975),
    ];
    let published = WAYS.iter().filter_map(|way| Some((way, way.published?)));
    checks.extend(published.map(|(way, published)| {
        let name = format!("{}: accuracy ≥ its published {:.1} %", way.name, 100.0 * published);
        Check::at_least(&name, published, of(&row(TABLES[0].0, way.name)), "points")
    }));
    checks.extend(PAIRS.map(|[plain, sharp]| {
        let more = of(&drift(sharp, MIDDLE)).zip(of(&drift(plain, MIDDLE))).map(|(sharp, plain)| sharp - plain);
        let name = format!("after a drift of {MIDDLE} rad: {sharp} keeps ≥ 10 points more than {plain}");
        Check::at_least(&name, 0.1, more, "points")
    }));
    checks
}

pub(super) fn run(asked: &Asked<'_>, measured: &mut Measured) -> Result<(), Error> {
    let Some(folder) = asked.data else {
        return Err(needs("MNIST (`pnnlab data fetch mnist` downloads it)"));
    };
    let (size, chips) = if asked.quick { (QUICK, &CHIPS[..1]) } else { (FULL, &CHIPS[..]) };
    let (chips, of_table) = (asked.some(chips), asked.wants("mesh"));
    let errors = folder.join(ERRORS);
    let errors = errors.is_dir().then_some(&*errors);
    for (table, as_published) in TABLES {
        // The quick form shows one table, and phases drift after one optimizer on one chip.
        if as_published && (asked.quick || !of_table) {
            continue;
        }
        let (size, errors) = if as_published { (PUBLISHED, errors) } else { (size, None) };
        let chips = if of_table && !as_published { chips } else { &chips[..1] };
        for way in WAYS {
            tell!("methods: mesh: {table}: {}", way.name);
            let mut trained = Vec::new();
            for &seed in chips {
                let drifts = !as_published && seed == chips[0] && asked.wants("drift");
                let drifts = if drifts { &DRIFTS[..] } else { &[] };
                let chip = Chip { seed, errors, as_published };
                trained.push(train(way, size, &images(size, folder, seed)?, chip, drifts)?);
            }
            if of_table {
                take(measured, &row(table, way.name), &trained, chips);
            }
            for one in trained.iter().filter(|one| !one.drifted.is_empty()) {
                measured.add(drift(way.name, 0.0), one.accuracy, "1", chips[0]);
                for (radians, accuracy) in DRIFTS.iter().zip(&one.drifted) {
                    measured.add(drift(way.name, *radians), *accuracy, "1", chips[0]);
                }
            }
        }
    }
    Ok(())
}

/// Adds means and spreads of trainings.
fn take(measured: &mut Measured, name: &str, trained: &[Trained], seeds: &[u64]) {
    let mut take = |name: String, unit: &str, of: fn(&Trained) -> f64| {
        let values: Vec<f64> = trained.iter().map(of).collect();
        measured.take_mean(name, unit, &values, seeds);
    };
    take(name.to_owned(), "1", |one| one.accuracy);
    take(format!("{name}: shots that trained"), "1", |one| one.shots);
    take(format!("{name}: bench time"), "s", |one| one.bench_seconds);
    take(format!("{name}: time here"), "s", |one| one.seconds);
}
