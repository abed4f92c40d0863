//! `symbolic-numerics`: what the engine of equations does beside what Gowda et al. (High-performance symbolic-numerics via multiple
//! dispatch, arXiv 2105.03949) and a prototype report, each number with its baseline.

// Circle with report/reproduction/symbolic_numerics/coefficients.rs: one program; split for its length.
// Circle with report/reproduction/symbolic_numerics/costs.rs: one program; split for its length.
// Circle with report/reproduction/symbolic_numerics/kernels.rs: one program; split for its length.

mod coefficients;
mod costs;
mod kernels;

use std::path::Path;
use std::time::Instant;

use drivers::{MEBIBYTE, read_bounded};
use sims::trials::{NETWORK, Slopes, Stiff, agreement, medium};
use sims::{Equations, Key};

use super::program::{Asked, Check, Measured, Measurement, Program};
use crate::Error;
use crate::training::Spread;

/// The program.
pub const PROGRAM: Program = Program { name: "symbolic-numerics", checks: || judge(&|_| None), run };

/// Seeds of random expressions, each of which draws [`EXPRESSIONS`].
const SEEDS: [u64; 3] = [1, 2, 3];
const EXPRESSIONS: usize = 1_000;
/// Chunks of shots in a block of points, and times each is computed in a round; rounds, of which the fastest counts: other work on a
/// machine only ever slows.
const CHUNKS: usize = 8;
const TIMES: usize = 200;
const ROUNDS: usize = 15;
/// Cells along the sides of the medium: three states each. Length of its steps, in s.
const SIDE: usize = 32;
const STEP: f64 = 0.05;
/// Sides of lattices of about 1,000, 10,000 and 100,000 states.
const SIDES: [usize; 3] = [18, 58, 183];
/// The most bytes of what oracles have measured.
const MOST: u64 = MEBIBYTE;

/// Seconds of the fastest of some rounds.
fn fastest(rounds: usize, mut work: impl FnMut()) -> f64 {
    let mut best = f64::INFINITY;
    for _ in 0..rounds {
        let start = Instant::now();
        work();
        best = best.min(start.elapsed().as_secs_f64());
    }
    best
}

/// What is asked of numbers that `of` knows by name.
fn judge(of: &dyn Fn(&str) -> Option<f64>) -> Vec<Check> {
    let ratio = |over: &str, under: &str| of(over).zip(of(under)).map(|(over, under)| over / under);
    let least = |name: &str, target: f64, value: Option<f64>| Check::at_least(name, target, value, "1");
    let most = |name: &str, target: f64, value: Option<f64>, unit: &str| Check::at_most(name, target, value, unit);
    let mut checks = vec![
        most("random expressions: program and tree agree to 1e-12", 1e-12, of("expressions: largest difference"), "1"),
        most(
            "random expressions: slopes are those of differences to 1e-6",
            1e-6,
            of("expressions: largest error of a slope"),
            "1",
        ),
        most("random expressions: no domain is widened or narrowed", 0.0, of("expressions: domains that changed"), "1"),
        Check {
            met: of("network: entries of the Jacobian").map(|count| count == 34.0),
            ..least("eight oscillators: 34 of 64 entries are found", 34.0, of("network: entries of the Jacobian"))
        },
        most("eight oscillators: Jacobian ≤ 0.1 µs a point in blocks", 0.1, of("network: Jacobian in blocks"), "µs"),
        most(
            "eight oscillators: Jacobian ≤ 0.3 µs at a single point",
            0.3,
            of("network: Jacobian at a single point"),
            "µs",
        ),
        least(
            "eight oscillators: ≥ 4 × central differences on the same programs",
            4.0,
            ratio("network: central differences in blocks", "network: Jacobian in blocks"),
        ),
        least(
            "eight oscillators: ≥ 40 × SymPy lambdify(cse=True)",
            40.0,
            ratio("oracles: SymPy lambdify(cse=True), Jacobian of the network", "network: Jacobian in blocks"),
        ),
    ];
    checks.extend(kernels::judge(of));
    checks.extend([
        least(
            "medium of 3,072 states: ≥ 157 × the same solver with a dense differenced Jacobian",
            157.0,
            ratio("medium: step with the dense Jacobian", "medium: step with the sparse Jacobian"),
        ),
        most("medium: Jacobian's storage < 1 % of dense", 0.01, of("medium: storage of the Jacobian, of dense"), "1"),
        least(
            "medium: faster than SciPy's BDF with the sparsity given",
            1.0,
            ratio("oracles: SciPy BDF with the sparsity given, medium for 10 s", "medium: 10 s in steps that adapt"),
        ),
        least(
            "medium: faster than CasADi's CVODES",
            1.0,
            ratio("oracles: CasADi CVODES, medium for 10 s", "medium: 10 s in steps that adapt"),
        ),
        most("ready ≤ 0.2 s with 1,000 states", 0.2, of("compilation: 972 states"), "s"),
        most("ready ≤ 5 s with 100,000 states", 5.0, of("compilation: 100467 states"), "s"),
    ]);
    checks.extend(coefficients::judge(of));
    checks
}

fn run(asked: &Asked<'_>) -> Result<Measured, Error> {
    let mut measured = Measured {
        on: "this machine; systems are SIMULATED. Times are those of the fastest round".to_owned(),
        ..Measured::default()
    };
    published(&mut measured);
    tell!("symbolic-numerics: random expressions");
    expressions(&mut measured, if asked.quick { &SEEDS[..1] } else { &SEEDS })?;
    tell!("symbolic-numerics: the Jacobian of eight oscillators");
    network(&mut measured)?;
    tell!("symbolic-numerics: text beside kernels written by hand");
    kernels::run(asked, &mut measured)?;
    tell!("symbolic-numerics: what functions cost");
    costs::run(asked, &mut measured)?;
    tell!("symbolic-numerics: a medium of three species");
    stiff(&mut measured, asked)?;
    tell!("symbolic-numerics: from text to ready");
    for side in SIDES {
        let (system, states) = (Equations::from_text("medium.toml", &medium(side)), 3 * side * side);
        let start = Instant::now();
        wrong(system.build())?;
        measured.add(format!("compilation: {states} states"), start.elapsed().as_secs_f64(), "s", 0);
    }
    tell!("symbolic-numerics: coefficients");
    coefficients::run(asked, &mut measured)?;
    if let Some(data) = asked.data {
        oracles(&mut measured, &data.join("symbolic-numerics.json"))?;
    }
    let known = measured.measurements.clone();
    measured.checks = judge(&|name| known.iter().find(|one| one.name == name).map(|one| one.value));
    Ok(measured)
}

/// A system of this room that cannot be read is a fault of this program.
fn wrong<T>(result: Result<T, sims::Error>) -> Result<T, Error> {
    result.map_err(|error| Error::Data(format!("symbolic-numerics: {error}")))
}

/// The paper's numbers and the prototype's.
fn published(measured: &mut Measured) {
    for (name, value, unit) in [
        ("published: symbolic transformations, over generic data structures in the same language", 113.0, "×"),
        ("published: a reaction network after rewriting by an e-graph, over the same not rewritten", 2.0, "×"),
        ("published: medium, TRBDF2, sparse Jacobian and threads over a dense differenced one", 157.0, "×"),
        ("published: medium, dense (Symbolics.jl, auto_parallel.md)", 33.073, "s"),
        ("published: medium, sparse (the same page)", 0.209_67, "s"),
        ("prototype: network, Jacobian compiled by LLVM after common subexpressions, single point", 0.138, "µs"),
        ("prototype: network, the same tree walked", 5.8, "µs"),
        ("prototype: network, central differences over a compiled right side", 1.74, "µs"),
        ("prototype: network, SymPy lambdify(cse=True)", 6.1, "µs"),
    ] {
        let (name, unit) = (name.to_owned(), unit.to_owned());
        measured.measurements.push(Measurement { name, value, spread: None, unit, seeds: vec![] });
    }
}

fn expressions(measured: &mut Measured, seeds: &[u64]) -> Result<(), Error> {
    let found = seeds.iter().map(|seed| wrong(agreement(*seed, EXPRESSIONS))).collect::<Result<Vec<_>, _>>()?;
    if let Some(first) = found.iter().find_map(|found| found.first.as_ref()) {
        tell!("symbolic-numerics: {first}");
    }
    let largest = |values: Vec<f64>| values.into_iter().fold(0.0, f64::max);
    let total = |values: Vec<usize>| values.into_iter().sum::<usize>() as f64;
    let numbers = [
        ("expressions: values compared", total(found.iter().map(|found| found.values).collect())),
        ("expressions: points without a value", total(found.iter().map(|found| found.undefined).collect())),
        ("expressions: domains that changed", total(found.iter().map(|found| found.domains).collect())),
        ("expressions: slopes compared", total(found.iter().map(|found| found.slopes).collect())),
        ("expressions: largest difference", largest(found.iter().map(|found| found.worst_value).collect())),
        ("expressions: largest error of a slope", largest(found.iter().map(|found| found.worst_slope).collect())),
    ];
    for (name, value) in numbers {
        let (name, unit) = (name.to_owned(), "1".to_owned());
        measured.measurements.push(Measurement { name, value, spread: None, unit, seeds: seeds.to_vec() });
    }
    Ok(())
}

fn network(measured: &mut Measured) -> Result<(), Error> {
    let mut slopes = wrong(Slopes::new(&Equations::from_text("network.toml", NETWORK), CHUNKS))?;
    let mut stream = Key::new(1).branch("network").stream();
    let points: Vec<f64> = (0..slopes.points() * slopes.states()).map(|_| f64::from(stream.normal())).collect();
    let states = slopes.states();
    slopes.set(|point, state| points[point * states + state]);
    measured.add("network: entries of the Jacobian", slopes.nonzeros() as f64, "1", 1);
    let [right, jacobian] = slopes.instructions();
    measured.add("network: instructions of the slopes", right as f64, "1", 1);
    measured.add("network: instructions of the Jacobian", jacobian as f64, "1", 1);
    measured.add("network: difference of the Jacobian and central differences", slopes.error(1e-5), "1", 1);
    // Side by side, so that other work on the machine slows all alike.
    let mut best = [f64::INFINITY; 3];
    for _ in 0..ROUNDS {
        best[0] = best[0].min(fastest(1, || (0..TIMES).for_each(|_| slopes.jacobians())));
        best[1] = best[1].min(fastest(1, || (0..TIMES).for_each(|_| slopes.differences(1e-2))));
        best[2] = best[2].min(fastest(1, || (0..10 * TIMES).for_each(|_| slopes.jacobian())));
    }
    let each = 1e6 / (TIMES * slopes.points()) as f64;
    measured.add("network: Jacobian in blocks", each * best[0], "µs", 1);
    measured.add("network: central differences in blocks", each * best[1], "µs", 1);
    measured.add("network: Jacobian at a single point", 1e6 * best[2] / (10 * TIMES) as f64, "µs", 1);
    Ok(())
}

fn stiff(measured: &mut Measured, asked: &Asked<'_>) -> Result<(), Error> {
    let system = Equations::from_text("medium.toml", &medium(SIDE));
    let mut stiff = wrong(Stiff::new(&system))?;
    let [sparse, dense] = stiff.bytes();
    measured.add("medium: states", stiff.states().len() as f64, "1", 0);
    measured.add("medium: storage of the Jacobian, of dense", sparse as f64 / dense as f64, "1", 0);
    measured.add("medium: values of the sparse factors", stiff.factors() as f64, "1", 0);
    let steps = if asked.quick { 1 } else { 4 };
    let start = Instant::now();
    (0..steps).for_each(|_| stiff.dense(STEP));
    let slow = start.elapsed().as_secs_f64() / f64::from(steps);
    let by_dense = stiff.states();
    stiff.restart();
    (0..steps).for_each(|_| stiff.sparse(STEP));
    let apart = stiff.states().iter().zip(&by_dense).fold(0.0_f64, |apart, (a, b)| apart.max((a - b).abs()));
    let fast = fastest(ROUNDS, || (0..10).for_each(|_| stiff.sparse(STEP))) / 10.0;
    let differences = fastest(1, || stiff.difference());
    measured.add("medium: step with the dense Jacobian", slow, "s", 0);
    measured.add("medium: of it, the differences", differences, "s", 0);
    measured.add("medium: step with the sparse Jacobian", fast, "s", 0);
    measured.add("medium: largest difference of the two after these steps", apart, "1", 0);
    let mut taken = 0;
    let whole = fastest(3, || {
        stiff.restart();
        taken = stiff.adaptive();
    });
    let end = stiff.states();
    measured.add("medium: 10 s in steps that adapt", whole, "s", 0);
    measured.add("medium: steps of these", taken as f64, "1", 0);
    let exact = medium(SIDE).replace("tolerance = 1e-4", "tolerance = 1e-7");
    let mut exact = wrong(Stiff::new(&Equations::from_text("medium.toml", &exact)))?;
    exact.adaptive();
    let exact = exact.states();
    let largest = exact.iter().fold(0.0_f64, |largest, value| largest.max(value.abs()));
    let error = exact.iter().zip(&end).fold(0.0_f64, |error, (a, b)| error.max((a - b).abs())) / largest;
    measured.add("medium: error after 10 s, of the largest value", error, "1", 0);
    Ok(())
}

/// What `benches/oracles/run.py` has measured on this machine: seconds or µs by name.
fn oracles(measured: &mut Measured, file: &Path) -> Result<(), Error> {
    if !file.is_file() {
        return Ok(());
    }
    let bad = |error: &dyn std::fmt::Display| Error::Data(format!("{}: {error}", file.display()));
    let bytes = read_bounded(file, MOST).map_err(|error| bad(&error))?;
    let list: Vec<(String, f64, String)> = serde_json::from_slice(&bytes).map_err(|error| {
        bad(&format_args!("{error}; it is a list of [name, value, unit] as benches/oracles/run.py writes it"))
    })?;
    for (name, value, unit) in list {
        measured.measurements.push(Measurement {
            name: format!("oracles: {name}"),
            value,
            spread: None,
            unit,
            seeds: vec![],
        });
    }
    Ok(())
}

/// The mean and the spread of values over seeds.
fn over_seeds(measured: &mut Measured, name: impl Into<String>, values: &[f64], unit: &str, seeds: &[u64]) {
    let Spread { mean, spread } = Spread::of(values);
    let (name, unit, spread) = (name.into(), unit.to_owned(), (1 < values.len()).then_some(spread));
    measured.measurements.push(Measurement { name, value: mean, spread, unit, seeds: seeds.to_vec() });
}
