//! The report of a calibration, as Markdown or HTML, with its figures in a folder beside it: what was measured, how well the twin
//! predicts, noise, coefficients, what could not be told, and where the fit is valid.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use calibration::{FitFacts, Fitted, Residual, Trace};

use crate::command::timestamp;
use crate::figure::calibration_figures;
use crate::{Error, Theme, fits};

/// A calibration with what it came from.
pub struct Calibrated<'a> {
    /// What the fit says of itself.
    pub facts: &'a FitFacts,
    /// What was found.
    pub fitted: &'a Fitted,
    /// Of what.
    pub trace: &'a Trace,
    /// Where the fit lies.
    pub fit: &'a Path,
    /// Time here, in s.
    pub seconds: f64,
}

impl Calibrated<'_> {
    /// The result in a few sentences.
    pub fn sentences(&self) -> Vec<String> {
        let Self { facts, fitted, .. } = self;
        let mut lines = vec![format!(
            "plant `{}` ({}, {}): {} by {} shots in {:.1} s here",
            facts.plant,
            facts.origin.to_uppercase(),
            facts.serial,
            facts.procedure,
            facts.shots,
            self.seconds
        )];
        let steps = [
            ("nominal model", &fitted.nominal_residual),
            ("fitted coefficients", &fitted.physics_residual),
            ("with corrections", &fitted.corrected_residual),
            ("the twin", &fitted.residual),
        ];
        for (name, residual) in steps {
            if let Some(residual) = residual {
                lines.push(format!("residual, {name}: {}", in_words(residual)));
            }
        }
        if let Some(noise) = &facts.noise {
            lines.push(format!(
                "noise of a shot: {:.3} % of full scale, {} common factor{}{}",
                100.0 * noise.std_of_full_scale,
                noise.rank,
                if noise.rank == 1 { "" } else { "s" },
                noise
                    .held_out_ratio
                    .map(|ratio| format!("; predicted over measured on held-out stimuli {ratio:.3}"))
                    .unwrap_or_default()
            ));
        } else {
            lines.push("noise: unknown, no stimulus was repeated".to_owned());
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
}

/// Ports by name, neighbors of one bank as a range: `spectrum[13] to [31], node[0]`.
fn in_runs(names: &[String]) -> String {
    let parts = |name: &str| -> Option<(String, usize)> {
        let (bank, number) = name.strip_suffix(']')?.rsplit_once('[')?;
        Some((bank.to_owned(), number.parse().ok()?))
    };
    let follows = |before: &str, name: &str| match (parts(before), parts(name)) {
        (Some((bank, number)), Some((other, next))) => bank == other && number + 1 == next,
        _ => false,
    };
    let run = |names: &[String]| match names {
        [first, .., last] => format!("{first} to {}", last.find('[').map_or(last.as_str(), |start| &last[start..])),
        _ => names.concat(),
    };
    names.chunk_by(|before, name| follows(before, name)).map(run).collect::<Vec<_>>().join(", ")
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
        "{:.3} ± {:.3} % of full scale{noise}; {:.2} % of the outputs' standard deviation; R² {:.4} (median port), {:.4} (worst)",
        100.0 * residual.rmse_of_full_scale,
        100.0 * residual.rmse_standard_error,
        100.0 * residual.rmse_of_output_std,
        residual.r2_median,
        residual.r2_lowest
    )
}

/// One piece of a report.
enum Piece {
    Heading(String),
    Paragraph(String),
    List(Vec<String>),
    Table(Vec<String>, Vec<Vec<String>>),
    Figure(PathBuf, String),
}

/// Writes the report and its figures; the figures' files.
pub fn write_report(calibrated: &Calibrated<'_>, report: &Path, theme: Theme) -> Result<Vec<PathBuf>, Error> {
    let stem = report.file_stem().and_then(|stem| stem.to_str()).unwrap_or("report");
    let folder = report.with_file_name(format!("{stem}-figures"));
    let files = calibration_figures(calibrated, &folder, theme)?;
    let pieces = pieces(calibrated, &files, stem);
    let text =
        if report.extension().is_some_and(|extension| extension == "html") { html(&pieces) } else { markdown(&pieces) };
    if let Some(parent) = report.parent().filter(|parent| !parent.as_os_str().is_empty()) {
        std::fs::create_dir_all(parent).map_err(Error::record(parent, "cannot be made"))?;
    }
    fits::replace(report, text.as_bytes())?;
    Ok(files)
}

fn pieces(calibrated: &Calibrated<'_>, figures: &[PathBuf], stem: &str) -> Vec<Piece> {
    let Calibrated { facts, fitted, trace, .. } = calibrated;
    let mut pieces = vec![
        Piece::Heading(format!("Calibration of `{}` on `{}`", facts.plant, facts.rig)),
        Piece::Paragraph(format!(
            "The plant is {} (system {}, serial number {}). {} shots were taken: {} stimuli at {} settings of the controls. \
             Residuals are of stimuli that no fit has seen.",
            facts.origin.to_uppercase(),
            facts.system,
            facts.serial,
            facts.shots,
            trace.stimulus.iter().collect::<std::collections::HashSet<_>>().len(),
            trace.settings.rows()
        )),
        Piece::Heading("Result".to_owned()),
        Piece::List(calibrated.sentences()),
    ];
    for path in figures.iter().filter(|path| path.extension().is_some_and(|extension| extension == "svg")) {
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        let caption = match name {
            "predicted.svg" => "Predicted against measured readings of held-out stimuli.",
            "ports.svg" => "Root mean square residual of each output, and its noise.",
            _ => "",
        };
        pieces.push(Piece::Figure(PathBuf::from(format!("{stem}-figures")).join(name), caption.to_owned()));
    }
    pieces.extend(coefficients(calibrated));
    pieces.extend(noise(facts));
    pieces.extend(levels(fitted));
    pieces.push(Piece::Heading("Where the fit is valid".to_owned()));
    pieces.push(Piece::Table(
        ["bank", "smallest", "largest", "unit"].map(str::to_owned).to_vec(),
        facts
            .validity
            .iter()
            .map(|range| vec![range.bank.clone(), number(range.low), number(range.high), range.unit.clone()])
            .collect(),
    ));
    pieces.push(Piece::Heading("Provenance".to_owned()));
    let options = facts.options.iter().map(|(key, value)| format!("{key}: {value}"));
    let mut list: Vec<String> = options.collect();
    list.extend([
        format!("seed: {}", facts.seed),
        format!("program: pnnlab {}", facts.code_version),
        format!("key: {}", facts.key),
        format!("trace, SHA-256: {}", facts.trace_sha256),
        format!("description of the plant, SHA-256: {}", facts.description_sha256),
        format!("made: {} UTC", timestamp(facts.made_unix_seconds as u64)),
    ]);
    pieces.push(Piece::List(list));
    pieces
}

fn coefficients(calibrated: &Calibrated<'_>) -> Vec<Piece> {
    let Calibrated { facts, fitted, .. } = calibrated;
    if facts.coefficients.is_empty() {
        return vec![];
    }
    let rows = facts.coefficients.iter().map(|estimate| {
        vec![
            estimate.name.clone(),
            measured(estimate.value, estimate.uncertainty),
            significant(estimate.uncertainty, 2),
            estimate.unit.clone(),
            number(estimate.nominal),
            if estimate.identified { "yes" } else { "no" }.to_owned(),
        ]
    });
    let header =
        ["coefficient", "value", "± (95 %)", "unit", "nominal", "told by the data"].map(str::to_owned).to_vec();
    let mut pieces = vec![
        Piece::Heading("Coefficients".to_owned()),
        Piece::Paragraph(
            "By Levenberg–Marquardt; the interval allows for noise that is correlated within a shot, not for physics that the model \
             leaves out."
                .to_owned(),
        ),
        Piece::Table(header, rows.collect()),
    ];
    let confused = fitted.physics.as_ref().map(calibration::PhysicsFit::confused).unwrap_or_default();
    if !confused.is_empty() {
        let lines = confused.iter().map(|(a, b, value)| format!("{a} and {b}: correlation {value:.3}"));
        pieces.push(Piece::Paragraph("Known together better than each alone:".to_owned()));
        pieces.push(Piece::List(lines.collect()));
    }
    pieces
}

fn noise(facts: &FitFacts) -> Vec<Piece> {
    let Some(noise) = &facts.noise else { return vec![] };
    let mut list = vec![
        format!(
            "a shot scatters by {:.3} % of full scale, from {:.3} to {:.3} % depending on output and reading",
            100.0 * noise.std_of_full_scale,
            100.0 * noise.std_range[0],
            100.0 * noise.std_range[1]
        ),
        format!("{} common factors carry {:.0} % of the variance", noise.rank, 100.0 * noise.common_share),
        format!(
            "between first and last repeats the worst output moved by {:.2} standard deviations of a shot",
            noise.drift
        ),
        format!("learned from {} stimuli with repeats", noise.stimuli),
    ];
    if let Some(ratio) = noise.held_out_ratio {
        let thirds: Vec<String> = noise.held_out_thirds.iter().map(|ratio| format!("{ratio:.3}")).collect();
        list.push(format!("predicted over measured standard deviation on held-out stimuli: {ratio:.3}; for dim, middle and bright readings {}", thirds.join(", ")));
    }
    vec![Piece::Heading("Noise".to_owned()), Piece::List(list)]
}

fn levels(fitted: &Fitted) -> Vec<Piece> {
    let levels = &fitted.levels;
    let name = |names: &[String]| if names.is_empty() { "none".to_owned() } else { in_runs(names) };
    let timing = &fitted.timing;
    let seconds =
        |seconds: Option<f64>| seconds.map_or("unknown".to_owned(), |seconds| format!("{} s", number(seconds)));
    vec![
        Piece::Heading("Levels and times".to_owned()),
        Piece::List(vec![
            format!("the median output uses {:.0} % of its range", 100.0 * levels.range_use),
            format!("outputs that clip: {}", name(&levels.clipped)),
            format!("outputs that never move: {}", name(&levels.dead)),
            format!(
                "time of a shot: {} s; of a change of the controls: {}",
                number(timing.shot_seconds),
                seconds(timing.change_seconds)
            ),
            format!("still moving after the plant said it had settled: {}", seconds(timing.unsettled_seconds)),
            format!(
                "lag of the readings: {}",
                timing.lag_samples.map_or("unknown".to_owned(), |lag| format!("{lag} samples"))
            ),
        ]),
    ]
}

/// A number with five significant digits.
fn number(value: f64) -> String {
    significant(value, 5)
}

/// A number with so many significant digits.
fn significant(value: f64, digits: i32) -> String {
    if value == 0.0 {
        return "0".to_owned();
    }
    if !value.is_finite() || value.abs() > 1e30 {
        return "unknown".to_owned();
    }
    let magnitude = value.abs().log10().floor() as i32;
    if (-4..6).contains(&magnitude) {
        format!("{value:.*}", (digits - 1 - magnitude).clamp(0, 9) as usize)
    } else {
        format!("{value:.*e}", (digits - 1) as usize)
    }
}

/// A value to the second digit of its uncertainty.
fn measured(value: f64, uncertainty: f64) -> String {
    let sensible = uncertainty > 0.0 && uncertainty.is_finite() && value != 0.0;
    let digits = if sensible { 2 + (value.abs() / uncertainty).log10().floor().clamp(0.0, 8.0) as i32 } else { 5 };
    significant(value, digits)
}

fn markdown(pieces: &[Piece]) -> String {
    let mut text = String::new();
    for (index, piece) in pieces.iter().enumerate() {
        // Writing to a string does not fail.
        let _ = match piece {
            Piece::Heading(words) => writeln!(text, "{} {words}\n", if index == 0 { "#" } else { "##" }),
            Piece::Paragraph(words) => writeln!(text, "{words}\n"),
            Piece::List(items) => {
                writeln!(text, "{}\n", items.iter().map(|item| format!("- {item}")).collect::<Vec<_>>().join("\n"))
            }
            Piece::Table(header, rows) => {
                let line = |cells: &[String]| format!("| {} |\n", cells.join(" | "));
                let rule = format!("|{}\n", "---|".repeat(header.len()));
                let body: String = rows.iter().map(|row| line(row)).collect();
                writeln!(text, "{}{rule}{body}", line(header))
            }
            Piece::Figure(path, caption) => writeln!(text, "![{caption}]({})\n\n{caption}\n", path.display()),
        };
    }
    text
}

fn html(pieces: &[Piece]) -> String {
    let safe = |words: &str| words.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('`', "");
    let title = if let Some(Piece::Heading(title)) = pieces.first() { safe(title) } else { String::new() };
    let mut text = format!(
        "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><title>{title}</title>\n<style>body {{ font: 16px/1.5 sans-serif; \
         max-width: 60rem; margin: 2rem auto; padding: 0 1rem }} table {{ border-collapse: collapse }} td, th {{ border: 1px solid #bbb; \
         padding: 0.2rem 0.6rem; text-align: left }} img {{ max-width: 100% }}</style></head><body>\n"
    );
    for (index, piece) in pieces.iter().enumerate() {
        // Writing to a string does not fail.
        let _ = match piece {
            Piece::Heading(words) if index == 0 => writeln!(text, "<h1>{}</h1>", safe(words)),
            Piece::Heading(words) => writeln!(text, "<h2>{}</h2>", safe(words)),
            Piece::Paragraph(words) => writeln!(text, "<p>{}</p>", safe(words)),
            Piece::List(items) => {
                let items = items.iter().map(|item| format!("<li>{}</li>\n", safe(item))).collect::<Vec<_>>().concat();
                writeln!(text, "<ul>\n{items}</ul>")
            }
            Piece::Table(header, rows) => {
                let row = |cells: &[String], tag: &str| {
                    let cells =
                        cells.iter().map(|cell| format!("<{tag}>{}</{tag}>", safe(cell))).collect::<Vec<_>>().concat();
                    format!("<tr>{cells}</tr>\n")
                };
                let body: String = rows.iter().map(|cells| row(cells, "td")).collect();
                writeln!(text, "<table>\n{}{body}</table>", row(header, "th"))
            }
            Piece::Figure(path, caption) => {
                writeln!(
                    text,
                    "<figure><img src=\"{}\" alt=\"{}\"><figcaption>{}</figcaption></figure>",
                    path.display(),
                    safe(caption),
                    safe(caption)
                )
            }
        };
    }
    text.push_str("</body></html>\n");
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn neighboring_ports_are_named_together() {
        let names = ["a[1]", "a[2]", "a[3]", "b[4]", "lone", "a[7]"].map(str::to_owned);
        assert_eq!(in_runs(&names), "a[1] to [3], b[4], lone, a[7]");
    }

    #[test]
    fn a_value_ends_where_its_uncertainty_does() {
        assert_eq!(
            [
                measured(0.039_710_11, 0.000_154_9),
                measured(29.9688, 0.0130),
                measured(31_812.0, 25.0),
                measured(0.0, 1.0)
            ],
            ["0.03971", "29.969", "31812", "0"]
        );
        assert_eq!(significant(0.000_154_9, 2), "0.00015");
    }

    #[test]
    fn numbers_have_five_digits() {
        assert_eq!(
            [number(31_800.0), number(0.001_234_5), number(1.0), number(3e-9)],
            ["31800", "0.0012345", "1.0000", "3.0000e-9"]
        );
    }

    #[test]
    fn both_forms_hold_the_same_pieces() {
        let pieces = [
            Piece::Heading("a < b".into()),
            Piece::List(vec!["one".into(), "two".into()]),
            Piece::Table(vec!["x".into()], vec![vec!["1".into()]]),
        ];
        let (markdown, html) = (markdown(&pieces), html(&pieces));
        assert!(markdown.starts_with("# a < b\n\n- one\n- two\n\n| x |\n|---|\n| 1 |\n"), "{markdown}");
        assert!(html.contains("<h1>a &lt; b</h1>") && html.contains("<tr><td>1</td></tr>"), "{html}");
    }
}
