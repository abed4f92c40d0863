//! `learned-twins`: twins from recorded shots alone, beside least squares, on benches that others recorded.

use std::path::{Path, PathBuf};
use std::time::Instant;

use calibration::{Calibration, ColumnNames, Fitted, Procedure, Search, Trace, Unobserved};
use drivers::{MEBIBYTE, read_bounded};
use sims::Key;

use super::program::{Asked, Check, Measured, Program};
use crate::Error;
use crate::training::comparison::median;

/// The program.
pub const PROGRAM: Program = Program { name: "learned-twins", checks: || judge(None, None), run };

/// Draws splits and initial weights, as `pnnlab calibrate` does without `--seed`.
const SEED: u64 = 0;
/// The most that is read of one file.
const MOST: u64 = 1024 * MEBIBYTE;
/// An output is live where its deviation is at least this share of the largest one's: the others are nearly dark, and read noise.
const LIVE: f64 = 0.2;
/// Updates of the quick form.
const QUICK_UPDATES: usize = 500;

/// What came of one data set.
struct Outcome {
    /// Median over all outputs.
    r2: f64,
    /// Median over the live ones.
    live: f64,
    /// The smallest difference between the R² of the twin and that of least squares, over the outputs.
    above_linear: f64,
    seconds: f64,
}

fn judge(acoustic: Option<&Outcome>, intensifier: Option<&Outcome>) -> Vec<Check> {
    let mut checks = vec![
        Check::at_least("acoustic cavity: median R² ≥ 0.984", 0.984, acoustic.map(|found| found.r2), "1"),
        Check::at_least(
            "acoustic cavity: median R² of the live outputs ≥ 0.989",
            0.989,
            acoustic.map(|found| found.live),
            "1",
        ),
        Check::at_least("image intensifier: median R² ≥ 0.9988", 0.9988, intensifier.map(|found| found.r2), "1"),
    ];
    for (name, found) in [("acoustic cavity", acoustic), ("image intensifier", intensifier)] {
        let above = found.map(|found| found.above_linear);
        checks.push(Check::at_least(&format!("{name}: no output below least squares"), 0.0, above, "1"));
        checks.push(Check::at_most(
            &format!("{name}: time of the fit ≤ 15 s"),
            15.0,
            found.map(|found| found.seconds),
            "s",
        ));
    }
    checks
}

fn run(asked: &Asked<'_>) -> Result<Measured, Error> {
    let Some(data) = asked.data else {
        return Err(Error::MissingData(
            "learned-twins: needs recorded shots: name the folder that holds acoustic/ or intensifier/ with --data"
                .to_owned(),
        ));
    };
    let of = |names: &[&str]| names.iter().map(|name| data.join(name)).collect::<Vec<PathBuf>>();
    let acoustic = of(&["acoustic/inputs.csv", "acoustic/readings.csv"]);
    let intensifier = of(&[
        "intensifier/Train_Data_Quickdraw_Nonlinear_fc1act1.npz",
        "intensifier/Test_Data_Quickdraw_Nonlinear_fc1act1.npz",
    ]);
    let are_there = |files: &[PathBuf]| files.iter().all(|file| file.is_file());
    let mut measured = Measured { on: "shots that others recorded on REAL benches".to_owned(), ..Measured::default() };
    let mut found = [None, None];
    if are_there(&acoustic) {
        let tables = acoustic
            .iter()
            .map(|file| Ok((file.display().to_string(), content(file)?)))
            .collect::<Result<Vec<_>, Error>>()?;
        let tables: Vec<(&str, &[u8])> = tables.iter().map(|(name, bytes)| (name.as_str(), bytes.as_slice())).collect();
        let trace = Trace::from_csv(&tables, &ColumnNames::default()).map_err(bad(&acoustic[0]))?;
        found[0] = Some(fit("acoustic cavity", &trace, None, asked, &mut measured)?);
    }
    if are_there(&intensifier) {
        let [trace, test] =
            [&intensifier[0], &intensifier[1]].map(|file| Trace::from_npz(&[&content(file)?], None).map_err(bad(file)));
        found[1] = Some(fit("image intensifier", &trace?, Some(&test?), asked, &mut measured)?);
    }
    if measured.measurements.is_empty() {
        return Err(Error::MissingData(format!(
            "learned-twins: {} holds neither {} and {} nor {} and {}",
            data.display(),
            acoustic[0].display(),
            acoustic[1].display(),
            intensifier[0].display(),
            intensifier[1].display()
        )));
    }
    measured.checks = judge(found[0].as_ref(), found[1].as_ref());
    Ok(measured)
}

fn fit(
    name: &str,
    trace: &Trace,
    test: Option<&Trace>,
    asked: &Asked<'_>,
    measured: &mut Measured,
) -> Result<Outcome, Error> {
    tell!("learned-twins: {name}: {} shots", trace.shots());
    let start = Instant::now();
    let mut search = Search::default();
    if asked.quick {
        (search.candidates, search.updates) = (0, QUICK_UPDATES);
    }
    let calibration = Calibration {
        procedure: Procedure::Learned,
        stimuli: 0,
        repeats: 1,
        per_setting: 1,
        search,
        key: Key::new(SEED).branch("calibration"),
    };
    let fitted = calibration.fit(trace, test, None, &Unobserved)?;
    let seconds = start.elapsed().as_secs_f64();
    let outcome = outcome(&fitted, seconds).ok_or_else(|| {
        Error::Data(format!("learned-twins: {name}: has too few shots to hold some out: {} shots", trace.shots()))
    })?;
    let linear = fitted.linear_residual.as_ref().map_or(f64::NAN, |residual| residual.r2_median);
    measured.add(format!("{name}: median R² of least squares"), linear, "1", SEED);
    measured.add(format!("{name}: median R² of the twin"), outcome.r2, "1", SEED);
    measured.add(format!("{name}: median R² of the twin, live outputs"), outcome.live, "1", SEED);
    measured.add(format!("{name}: smallest R² of the twin above least squares"), outcome.above_linear, "1", SEED);
    measured.add(format!("{name}: time of the fit"), seconds, "s", SEED);
    Ok(outcome)
}

fn outcome(fitted: &Fitted, seconds: f64) -> Option<Outcome> {
    let (residual, linear) = (fitted.residual.as_ref()?, fitted.linear_residual.as_ref()?);
    let (readings, _) = fitted.held_out.as_ref()?;
    let deviations: Vec<f64> = (0..readings.columns())
        .map(|output| {
            let values = || readings.iter().map(|row| f64::from(row[output]));
            let mean = values().sum::<f64>() / readings.rows() as f64;
            (values().map(|value| (value - mean).powi(2)).sum::<f64>() / readings.rows() as f64).sqrt()
        })
        .collect();
    let largest = deviations.iter().copied().fold(0.0, f64::max);
    let live =
        residual.r2.iter().zip(&deviations).filter(|(_, deviation)| LIVE * largest <= **deviation).map(|(r2, _)| *r2);
    let above = residual.r2.iter().zip(&linear.r2).map(|(own, linear)| own - linear);
    Some(Outcome {
        r2: residual.r2_median,
        live: median(&live.collect::<Vec<_>>()),
        above_linear: above.fold(f64::INFINITY, f64::min),
        seconds,
    })
}

fn content(file: &Path) -> Result<Vec<u8>, Error> {
    read_bounded(file, MOST).map_err(|error| Error::Data(format!("{}: cannot be read: {error}", file.display())))
}

fn bad(file: &Path) -> impl FnOnce(calibration::Error) -> Error {
    move |error| Error::Data(format!("{}: {error}", file.display()))
}
