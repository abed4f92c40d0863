//! `style-parameters`: knobs without a gradient, found by the signature of a bench (after Yakura and others, arXiv 2105.09207).

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use super::program::{Asked, Check, Measured, Program};
use crate::Error;
use crate::training::batchnorm::Finding;
use crate::training::comparison::median;
use crate::training::style_parameters::{Bench, Trained, delay, held_out, over_the_wire, program, safety};

/// The program.
pub const PROGRAM: Program = Program { name: "style-parameters", checks: || judge(|_| None), run };

/// The seeds that are reported; settings were chosen on others.
const SEEDS: [u64; 5] = [1, 2, 3, 4, 5];
/// Signatures of a search, of the full and of the quick form.
const EVALUATIONS: [usize; 2] = [300, 90];
/// Updates of the networks.
const UPDATES: [usize; 2] = [600, 150];
/// A drift counts where it costs so much accuracy.
const DROP: f64 = 0.03;

/// What the check of programs is of.
const WORST: &str = "program: largest error of a parameter over all references, share of the range";

fn judge(of: impl Fn(&str) -> Option<f64>) -> Vec<Check> {
    let mut checks = Vec::new();
    for bench in [Bench::Electrical, Bench::Optical] {
        let name = bench.name();
        checks.push(Check::at_least(
            &format!("E1 {name}: share of a drift recovered, median, ≥ 0.85"),
            0.85,
            of(&format!("E1 {name}: share recovered, median of seeds that lost 3 points")),
            "1",
        ));
        checks.push(Check::at_most(
            &format!("E1 {name}: never more than 0.5 points below the drifted bench"),
            0.005,
            of(&format!("E1 {name}: most lost by tuning")),
            "points",
        ));
    }
    for bench in [Bench::Electrical, Bench::Optical, Bench::Diode] {
        let name = bench.name();
        checks.push(Check::at_most(
            &format!("E2 {name}: distance on other shots ≤ 0.15 of that at the start"),
            0.15,
            of(&format!("E2 {name}: distance on other shots, share of the start")),
            "1",
        ));
        let over = of(&format!("E2 {name}: distance on other shots, share of the start"))
            .zip(of(&format!("E2 {name}: the same of settings at random")))
            .map(|(own, random)| own / random);
        checks.push(Check::at_most(&format!("E2 {name}: ≤ 0.6 of what settings at random reach"), 0.6, over, "1"));
    }
    checks.push(Check::at_least(
        "E3: a delay is told as unseen where the signature knows no beginning",
        1.0,
        of("E3: told as unseen"),
        "1",
    ));
    checks.push(Check::at_least("E3: the same delay is seen where it does", 1.0, of("E3: seen otherwise"), "1"));
    checks.push(Check::at_least("E4: every setting within its limits", 1.0, of("E4: settings within limits"), "1"));
    checks.push(Check::at_least(
        "E4: a search that fails leaves the knobs where they were",
        1.0,
        of("E4: knobs restored"),
        "1",
    ));
    checks.push(Check::at_most(
        "E4, over the wire: values sent beyond the range of the knob",
        0.0,
        of("wire: values beyond its range"),
        "1",
    ));
    checks.push(Check::at_most(
        "E4, over the wire: the largest step is allowed by the slew",
        1.0001,
        of("wire: largest step, share of the slew"),
        "1",
    ));
    checks.push(Check::at_most(
        "over the wire: a SCPI knob ends within 5 % of its range",
        0.05,
        of("wire: distance from the healthy value, share of the range"),
        "1",
    ));
    checks.push(Check::at_most(
        "a program: each parameter within 5 % of its range, or told as not shown",
        0.05,
        of(WORST),
        "1",
    ));
    checks.push(Check::at_most(
        "a program: signatures that were read",
        300.0,
        of("program: signatures that were read"),
        "1",
    ));
    checks
}

/// A folder for the searches, which goes with it.
struct Scratch(PathBuf);

impl Scratch {
    fn new() -> Result<Self, Error> {
        let path = std::env::temp_dir().join(format!("pnnlab-style-parameters-{}", std::process::id()));
        std::fs::create_dir_all(&path).map_err(Error::record(&path, "cannot be made"))?;
        Ok(Self(path))
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        drop(std::fs::remove_dir_all(&self.0));
    }
}

fn run(asked: &Asked<'_>) -> Result<Measured, Error> {
    let scratch = Scratch::new()?;
    let form = usize::from(asked.quick);
    let (evaluations, updates) = (EVALUATIONS[form], UPDATES[form]);
    let seeds = if asked.quick { &SEEDS[..1] } else { &SEEDS[..] };
    let mut measured = Measured {
        on: "SIMULATED plants whose coefficients drift, and a served SCPI pair before one".to_owned(),
        ..Measured::default()
    };
    let mut known = Vec::new();
    for bench in [Bench::Electrical, Bench::Optical] {
        tell!("style-parameters: E1, {}", bench.name());
        known.extend(measured.medians(&recovered(bench, (updates, evaluations), seeds, &scratch.0)?, seeds));
    }
    for bench in [Bench::Electrical, Bench::Optical, Bench::Diode] {
        tell!("style-parameters: E2, {}", bench.name());
        let of_seed = |seed: &u64| -> Result<Vec<Finding>, Error> {
            let [own, random] = held_out(bench, evaluations, *seed, &scratch.0)?;
            let name = bench.name();
            Ok(vec![
                Finding::new(format!("E2 {name}: distance on other shots, share of the start"), own),
                Finding::new(format!("E2 {name}: the same of settings at random"), random),
            ])
        };
        let found = seeds.iter().map(of_seed).collect::<Result<Vec<_>, _>>()?;
        known.extend(measured.medians(&found, seeds));
    }
    tell!("style-parameters: E3, E4, over the wire");
    let ([unseen, seen], [within, restored]) = (delay(SEEDS[0])?, safety(SEEDS[0], &scratch.0)?);
    let mut last = vec![
        Finding::new("E3: told as unseen", unseen),
        Finding::new("E3: seen otherwise", seen),
        Finding::new("E4: settings within limits", within),
        Finding::new("E4: knobs restored", restored),
    ];
    last.extend(over_the_wire(if asked.quick { 24 } else { 60 }, SEEDS[0], &scratch.0)?);
    known.extend(measured.medians(&[last], &SEEDS[..1]));
    tell!("style-parameters: a program");
    let references = if asked.quick { &SEEDS[..1] } else { &SEEDS[..3] };
    match program(evaluations, references, &scratch.0)? {
        Some((name, found)) => {
            let _ = write!(measured.on, "; the program is {name}");
            known.extend(measured.medians(&found, references));
            let worst = found.iter().filter_map(|of_seed| of_seed.first()).map(|one| one.value).fold(0.0, f64::max);
            known.extend(measured.medians(&[vec![Finding::new(WORST, worst)]], references));
        }
        None => {
            measured
                .on
                .push_str("; neither sox nor ImageMagick nor python3 is installed here, so no program was tuned");
        }
    }
    measured.checks =
        judge(|name| known.iter().find(|one| one.name == name && one.value.is_finite()).map(|one| one.value));
    Ok(measured)
}

/// E1, in one set of findings: medians over the seeds are taken here, since of seeds that lost little no share can be told.
fn recovered(
    bench: Bench,
    (updates, evaluations): (usize, usize),
    seeds: &[u64],
    scratch: &Path,
) -> Result<Vec<Vec<Finding>>, Error> {
    let name = bench.name();
    let trained = Trained::new(bench, updates, SEEDS[0])?;
    let (mut all, mut shares, mut most_lost) = (Vec::new(), Vec::new(), 0.0_f64);
    for seed in seeds {
        let [healthy, drifted, tuned] = trained.recovered(evaluations, *seed, scratch)?;
        if DROP <= healthy - drifted {
            shares.push((tuned - drifted) / (healthy - drifted));
        }
        most_lost = most_lost.max(drifted - tuned);
        all.push([healthy, drifted, tuned]);
    }
    let of = |place: usize| median(&all.iter().map(|found| found[place]).collect::<Vec<_>>());
    let share = if shares.is_empty() { f64::NAN } else { median(&shares) };
    Ok(vec![vec![
        Finding::new(format!("E1 {name}: accuracy on the healthy bench"), of(0)),
        Finding::new(format!("E1 {name}: accuracy after the drift"), of(1)),
        Finding::new(format!("E1 {name}: accuracy after tuning"), of(2)),
        Finding::new(format!("E1 {name}: seeds that lost 3 points"), shares.len() as f64),
        Finding::new(format!("E1 {name}: share recovered, median of seeds that lost 3 points"), share),
        Finding::new(format!("E1 {name}: most lost by tuning"), most_lost),
    ]])
}
