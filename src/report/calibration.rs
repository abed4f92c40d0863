//! The report of a calibration, as Markdown or HTML, with its figures in a folder beside it: what was measured, how well the twin
//! predicts, noise, coefficients, what could not be told, and where the fit is valid.

mod calibrated;
mod paper;
mod sections;
mod words;

use std::path::{Path, PathBuf};

use calibration::{FitFacts, Residual};

use crate::Error;
use crate::output::{printable, timestamp};
use crate::plants::fits;
use crate::report::{Theme, figure::calibration_figures};
use crate::writing::replace_chosen;

pub use calibrated::Calibrated;
use paper::{Piece, html, markdown};
pub use sections::{LEVELS, level_rows};
pub use words::{counted, measured as to_uncertainty, significant};
use words::{decimals, in_runs, number};

/// Below this R² of the median output a twin explains too little to be of use.
const POOR: f64 = 0.8;
/// Drift between repeats, in standard deviations of a shot, beyond which it is said aloud.
const DRIFTING: f64 = 0.3;

/// A residual this much below the noise is no chance any more.
const TELLING: f64 = 0.95;

impl Calibrated<'_> {
    /// The result in a few sentences.
    pub fn sentences(&self) -> Vec<String> {
        let mut lines = vec![self.headline()];
        let residuals = self.residuals();
        lines.extend(residuals.iter().map(|(name, residual)| format!("residual, {name}: {}", in_words(residual))));
        lines.extend(self.remarks());
        lines
    }

    /// Whose, by what, from how much, in what time.
    fn headline(&self) -> String {
        let Self { facts, .. } = self;
        format!(
            "plant `{}` ({}, {}): procedure `{}`, {}, {:.1} s here",
            facts.plant,
            facts.origin.to_uppercase(),
            facts.serial,
            facts.procedure,
            counted(facts.shots, "shot", "shots"),
            self.seconds
        )
    }

    /// What is left of the held-out readings, step by step.
    fn residuals(&self) -> Vec<(&'static str, &Residual)> {
        let fitted = self.fitted;
        let steps = [
            ("nominal model", &fitted.nominal_residual),
            (if fitted.parts.curves.is_some() { "curves" } else { "fitted coefficients" }, &fitted.physics_residual),
            ("with corrections", &fitted.corrected_residual),
            ("least squares", &fitted.linear_residual),
            ("the twin", &fitted.residual),
        ];
        steps.into_iter().filter_map(|(name, residual)| Some((name, residual.as_ref()?))).collect()
    }

    /// Noise, clipping, and what the data cannot tell.
    fn remarks(&self) -> Vec<String> {
        let Self { facts, fitted, .. } = self;
        let mut lines = Vec::new();
        if let Some(noise) = &facts.noise {
            lines.push(format!(
                "noise of a shot: {:.3} % of full scale, {}{}",
                100.0 * noise.std_of_full_scale,
                match noise.rank {
                    0 => "each output its own".to_owned(),
                    rank => counted(rank, "common factor", "common factors"),
                },
                noise
                    .held_out_ratio
                    .map(|ratio| format!("; predicted over measured on held-out stimuli {ratio:.3}"))
                    .unwrap_or_default()
            ));
        } else {
            lines.push("noise: unknown, no stimulus was repeated".to_owned());
        }
        if let Some(network) = facts.options.get("network") {
            let beneath = match (&fitted.parts.linear, &fitted.parts.curves) {
                (None, _) => "the physics leaves",
                (Some(_), None) => "least squares leaves",
                (Some(_), Some(_)) => "curves and least squares leave",
            };
            lines.push(format!("a small network on what {beneath} was {network}"));
        }
        let clipped = &fitted.levels.clipped;
        if !clipped.is_empty() {
            let verb = if clipped.len() == 1 { "clips" } else { "clip" };
            lines.push(format!("{} {verb}: lower the drive or the gain", in_runs(clipped)));
        }
        let unknown: Vec<&str> = facts
            .coefficients
            .iter()
            .filter(|estimate| !estimate.identified)
            .map(|estimate| estimate.name.as_str())
            .collect();
        if !unknown.is_empty() {
            lines.push(format!("the data cannot tell: {}", unknown.join(", ")));
        }
        lines
    }

    /// What a reader must know before using the result.
    pub fn warnings(&self) -> Vec<String> {
        let Self { facts, fitted, .. } = self;
        let mut lines = Vec::new();
        if let Some(residual) = &fitted.residual {
            let r2 = residual.r2_median;
            if r2.is_nan() {
                lines.push(
                    "no held-out reading moves: there is no R², and nothing says whether the twin is right".to_owned(),
                );
            } else if r2 < 0.0 {
                lines.push(format!(
                    "the twin is of no use: it predicts the median output worse than the output's own mean does (R² {r2:.2}). Measure \
                     more stimuli, or choose another --procedure"
                ));
            } else if r2 < POOR {
                lines.push(format!(
                    "the twin is of little use: it explains {:.0} % of the variance of the median output",
                    100.0 * r2
                ));
            }
            if let Some(plain) = fitted.linear_residual.as_ref().filter(|plain| worse(residual, plain)) {
                lines.push(format!(
                    "plain least squares predict the held-out readings better than the twin ({:.3} % of full scale against {:.3} %): \
                     measure more stimuli, or choose another --procedure",
                    100.0 * plain.rmse_of_full_scale,
                    100.0 * residual.rmse_of_full_scale
                ));
            }
            if let Some(noise) =
                residual.noise_of_full_scale.filter(|noise| residual.rmse_of_full_scale < TELLING * noise)
            {
                lines.push(format!(
                    "the noise ({:.3} % of full scale) is larger than the residual ({:.3} %), which cannot be: readings drift between \
                     repeats, and the drift counts as noise",
                    100.0 * noise,
                    100.0 * residual.rmse_of_full_scale
                ));
            }
        }
        if let Some(noise) = facts.noise.as_ref().filter(|noise| DRIFTING < noise.drift_rms) {
            lines.push(format!(
                "readings drift between repeats by {:.2} standard deviations of a shot (RMS): that counts as noise here",
                noise.drift_rms
            ));
        }
        if let Some(columns) = self.trace.rounded() {
            lines.push(format!(
                "single precision keeps few digits of how the values differ in {columns}: subtract an offset from them in the file"
            ));
        }
        let levels = &fitted.levels;
        if !levels.beyond.is_empty() {
            lines.push(format!(
                "readings lie beyond the ranges of {}: the plant's ranges or the trace's units are wrong",
                in_runs(&levels.beyond)
            ));
        }
        if !levels.dead.is_empty() {
            lines.push(format!("never moving: {}", in_runs(&levels.dead)));
        }
        lines
    }

    /// Standard deviation of each output's mean of repeats, in full scales.
    pub fn noise_of_ports(&self) -> Option<Vec<f64>> {
        let averaged = self.trace.averaged();
        let repeats = self.trace.shots() as f64 / averaged.trace.shots().max(1) as f64;
        let ranges = self.trace.output_ranges();
        let scaled = |(noise, range): (&f64, drivers::Range)| {
            noise / repeats.sqrt() / f64::from(range.full_scale().max(f32::MIN_POSITIVE))
        };
        Some(averaged.noise?.iter().zip(ranges).map(scaled).collect())
    }

    /// Times, one a line.
    pub fn times(&self) -> Vec<String> {
        sections::times(&self.fitted.timing)
    }
}

/// Whether a twin leaves more than a simpler model, by more than the standard error.
fn worse(twin: &Residual, simpler: &Residual) -> bool {
    twin.rmse_of_full_scale > simpler.rmse_of_full_scale + simpler.rmse_standard_error
}

/// A residual as a clause.
fn in_words(residual: &Residual) -> String {
    let noise = residual
        .noise_of_full_scale
        .map(|noise| format!(", of which noise {:.3} %", 100.0 * noise))
        .unwrap_or_default();
    let noise = match residual.neighbors_of_full_scale {
        Some(scatter) => format!(", noise at most {:.3} % (no repeats: from neighboring shots)", 100.0 * scatter),
        None => noise,
    };
    format!(
        "{:.3} ± {:.3} % of full scale (95 %){noise}; {} % of the outputs' standard deviation; R² {} (median port), {} (worst)",
        100.0 * residual.rmse_of_full_scale,
        100.0 * residual.rmse_uncertainty(),
        decimals(100.0 * residual.rmse_of_output_std, 2),
        decimals(residual.r2_median, 4),
        decimals(residual.r2_lowest, 4)
    )
}

/// Writes the report and its figures; the figures' files.
pub fn write_report(calibrated: &Calibrated<'_>, report: &Path, theme: Theme) -> Result<Vec<PathBuf>, Error> {
    let stem = report.file_stem().and_then(|stem| stem.to_str()).unwrap_or("report");
    let as_html = report.extension().is_some_and(|extension| extension == "html");
    // A report in each form has figures of its own.
    let name = format!("{stem}-{}-figures", if as_html { "html" } else { "md" });
    let folder = report.with_file_name(&name);
    fits::make_folder(&folder, "--report")?;
    let files = calibration_figures(calibrated, &folder, theme)?;
    let pieces = pieces(calibrated, &files, &name);
    let text = printable(&if as_html { html(&pieces) } else { markdown(&pieces) });
    replace_chosen(report, text.as_bytes(), "--report")?;
    Ok(files)
}

fn pieces(calibrated: &Calibrated<'_>, figures: &[PathBuf], folder: &str) -> Vec<Piece> {
    let Calibrated { facts, fitted, .. } = calibrated;
    let title = match facts.rig.as_str() {
        "none" => format!("Calibration of recorded data: `{}`", facts.serial),
        rig => format!("Calibration of `{}` on `{rig}`", facts.plant),
    };
    let mut pieces =
        vec![Piece::Heading(title), Piece::Paragraph(taken(calibrated)), Piece::Heading("Result".to_owned())];
    pieces.extend(residual_table(&calibrated.residuals()));
    pieces.push(Piece::List(calibrated.remarks()));
    let warnings = calibrated.warnings();
    if !warnings.is_empty() {
        pieces.push(Piece::Paragraph("Warnings:".to_owned()));
        pieces.push(Piece::List(warnings));
    }
    for path in figures.iter().filter(|path| path.extension().is_some_and(|extension| extension == "svg")) {
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        let caption = match name {
            "predicted.svg" => {
                "Predicted against measured readings of held-out stimuli, some thousands of them; on the line they agree. At the end of a \
                 range a reading says no more than `at least`, and predictions end there too."
            }
            "ports.svg" => {
                "Root mean square residual of each output on held-out stimuli, and the noise of the means of repeats that is part of it."
            }
            _ => "",
        };
        pieces.push(Piece::Figure(PathBuf::from(folder).join(name), caption.to_owned()));
    }
    pieces.extend(sections::residual_of_ports(calibrated));
    pieces.extend(sections::coefficients(calibrated));
    pieces.extend(sections::noise(facts));
    pieces.extend(sections::levels(fitted));
    pieces.push(Piece::Heading("Where the fit is valid".to_owned()));
    pieces.push(Piece::Paragraph(
        "The smallest and the largest value that the fit has seen in each bank of ports. Beyond them the twin is a guess.".to_owned(),
    ));
    pieces.push(Piece::Table(
        ["bank", "smallest", "largest", "unit"].map(str::to_owned).to_vec(),
        facts
            .validity
            .iter()
            .map(|range| vec![range.bank.clone(), number(range.low), number(range.high), range.unit.clone()])
            .collect(),
    ));
    pieces.push(Piece::Heading("Provenance".to_owned()));
    pieces.push(Piece::List(provenance(facts)));
    pieces
}

/// The residuals as a table.
fn residual_table(residuals: &[(&str, &Residual)]) -> Vec<Piece> {
    if residuals.is_empty() {
        return vec![];
    }
    let header = [
        "model",
        "RMS residual, % of full scale",
        "± (95 %)",
        "% of the outputs' deviation",
        "R², median",
        "R², worst",
    ];
    let rows = residuals.iter().map(|(name, residual)| {
        vec![
            (*name).to_owned(),
            format!("{:.3}", 100.0 * residual.rmse_of_full_scale),
            format!("{:.3}", 100.0 * residual.rmse_uncertainty()),
            decimals(100.0 * residual.rmse_of_output_std, 2),
            decimals(residual.r2_median, 4),
            decimals(residual.r2_lowest, 4),
        ]
    });
    let noise = residuals.iter().find_map(|(_, residual)| {
        let (words, noise) = match residual.neighbors_of_full_scale {
            Some(scatter) => ("Of each, noise is at most", scatter),
            None => ("Of each, noise is", residual.noise_of_full_scale?),
        };
        Some(format!(" {words} {:.3} % of full scale.", 100.0 * noise))
    });
    vec![
        Piece::Table(header.map(str::to_owned).to_vec(), rows.collect()),
        Piece::Paragraph(format!(
            "R² is the share of an output's variance that the model explains: it is low for outputs that hardly move.{}",
            noise.unwrap_or_default()
        )),
    ]
}

/// Whose shots, and how many.
fn taken(calibrated: &Calibrated<'_>) -> String {
    let Calibrated { facts, trace, .. } = calibrated;
    let stimuli = trace.stimulus.iter().collect::<std::collections::HashSet<_>>().len();
    let controls = match trace.settings.columns() {
        0 => String::new(),
        _ => format!(" at {} of the controls", counted(trace.settings.rows(), "setting", "settings")),
    };
    let held_out = if facts.options.contains_key("test") {
        "Residuals are of the shots of --test, which no fit has seen."
    } else {
        "Residuals are of stimuli that no fit has seen: a fifth of them."
    };
    format!(
        "The plant is {} (system {}, serial number {}). {} were taken: {}{controls}. {held_out} After ± stands half the width of a 95 % \
         interval. Full scale of a port is the larger magnitude of its range.",
        facts.origin.to_uppercase(),
        facts.system,
        facts.serial,
        counted(facts.shots, "shot", "shots"),
        counted(stimuli, "stimulus", "stimuli"),
    )
}

fn provenance(facts: &FitFacts) -> Vec<String> {
    let options = facts.options.iter().map(|(key, value)| format!("{key}: {value}"));
    let mut list: Vec<String> = options.collect();
    list.extend([
        format!("seed: {}", facts.seed),
        format!("program: pnnlab {}", facts.code_version),
        format!("key: {}", facts.key),
        format!("trace, SHA-256: {}", facts.trace_sha256),
    ]);
    if !facts.description_sha256.is_empty() {
        list.push(format!("description of the plant in its rig, SHA-256: {}", facts.description_sha256));
    }
    list.push(format!("made: {} (UTC)", timestamp(facts.made_unix_seconds as u64)));
    list
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_twin_is_worse_than_what_is_simpler_beyond_its_standard_error() {
        let left =
            |rmse_of_full_scale: f64| Residual { rmse_of_full_scale, rmse_standard_error: 0.01, ..Residual::default() };
        assert!(worse(&left(0.22), &left(0.2)) && !worse(&left(0.205), &left(0.2)) && !worse(&left(0.1), &left(0.2)));
    }
}
