//! What `pnnlab calibrate` says: to a program, and to a person.

use std::path::{Path, PathBuf};

use comfy_table::{CellAlignment, Table, presets};
use serde_json::{Value, json};

use crate::report::{
    Calibrated,
    calibration::{LEVELS, level_rows},
};

/// Ports that the terminal shows.
const PORTS: usize = 8;

/// What `--json` prints.
pub(super) fn object(calibrated: &Calibrated<'_>, trace: &Path, figures: Option<&[PathBuf]>) -> Value {
    let Calibrated { facts, fitted, fit, seconds, .. } = calibrated;
    let short = |residual: &Option<calibration::Residual>| {
        residual.as_ref().map(|residual| {
            json!({
                "rmse_of_full_scale": residual.rmse_of_full_scale,
                "rmse_standard_error": residual.rmse_standard_error,
                "rmse_of_output_std": residual.rmse_of_output_std,
                "r2_median": residual.r2_median,
                "r2_lowest": residual.r2_lowest,
                "noise_of_full_scale": residual.noise_of_full_scale,
                "neighbors_of_full_scale": residual.neighbors_of_full_scale,
            })
        })
    };
    json!({
        "plant": facts.plant,
        "procedure": facts.procedure,
        "shots": facts.shots,
        "fit": fit,
        "residual": short(&fitted.residual),
        "noise": facts.noise,
        "coefficients": facts.coefficients,
        "nominal_residual": short(&fitted.nominal_residual),
        "physics_residual": short(&fitted.physics_residual),
        "corrected_residual": short(&fitted.corrected_residual),
        "linear_residual": short(&fitted.linear_residual),
        "network": fitted.learned.as_ref().map(|(architecture, left)| json!({
            "hidden": architecture.hidden, "kept": fitted.parts.network.is_some(), "left": left,
        })),
        "confused": fitted.physics.as_ref().map(calibration::PhysicsFit::confused),
        "levels": fitted.levels,
        "timing": fitted.timing,
        "validity": facts.validity,
        "origin": facts.origin,
        "key": facts.key,
        "trace": trace,
        "figures": figures,
        "warnings": calibrated.warnings(),
        "wall_seconds": seconds,
    })
}

/// What is said to a person.
pub(super) fn say(calibrated: &Calibrated<'_>, trace: &Path, report: Option<&Path>) {
    for line in calibrated.sentences() {
        say!("{line}");
    }
    let fitted = calibrated.fitted;
    match calibrated.facts.procedure.as_str() {
        "levels" => say!("{}", levels(&fitted.levels)),
        "timing" => calibrated.times().iter().for_each(|line| say!("{line}")),
        _ => {}
    }
    for warning in calibrated.warnings() {
        say!("warning: {warning}");
    }
    say!("trace: {}", trace.display());
    say!("fit: {}", calibrated.fit.display());
    if let Some(report) = report {
        say!("report: {}", report.display());
    }
}

/// The levels of the ports that look worst.
fn levels(levels: &calibration::Levels) -> Table {
    let mut table = Table::new();
    let (rows, left) = level_rows(levels, PORTS);
    table.load_preset(presets::UTF8_HORIZONTAL_ONLY).set_header(LEVELS);
    table.add_rows(rows);
    if left > 0 {
        table.add_row([format!("{left} more"), "in --report and --json".to_owned()]);
    }
    for column in table.column_iter_mut().skip(1) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    table
}
