//! Figures: pure functions from run folders to SVG and PNG, one style, safe for color-blind readers.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Once;

use plotters::coord::Shift;
use plotters::prelude::*;
use plotters::style::{FontStyle, register_font};
use serde_json::Value;

use crate::comparison::Spread;
use crate::{Error, Method};

/// Width and height in pixels.
const SIZE: (u32, u32) = (960, 600);
const FONT: &str = "sans-serif";
const INK: RGBColor = RGBColor(40, 40, 40);

/// The text of figures is measured with a font that comes with the program, so that no system font is needed.
static FONTS: Once = Once::new();

/// One curve of a run: what was tested, step by step.
struct Curve {
    method: String,
    seed: u64,
    facts: Value,
    /// Step, accuracy on the plant, accuracy believed.
    tests: Vec<(f64, f64, f64)>,
}

/// Learning curves of the runs, by method, with the spread over seeds: `learning-curves.svg` and `.png` in `folder`.
pub fn learning_curves(runs: &[PathBuf], folder: &Path) -> Result<Vec<PathBuf>, Error> {
    let curves = runs.iter().map(|run| read(run)).collect::<Result<Vec<_>, _>>()?;
    if curves.iter().all(|curve| curve.tests.is_empty()) {
        return Ok(vec![]);
    }
    std::fs::create_dir_all(folder).map_err(Error::record(folder, "cannot be made"))?;
    let (svg, png) = (folder.join("learning-curves.svg"), folder.join("learning-curves.png"));
    FONTS.call_once(|| drop(register_font(FONT, FontStyle::Normal, epaint_default_fonts::UBUNTU_LIGHT)));
    let failed = |path: &Path, error: String| Error::Record {
        path: path.to_owned(),
        message: format!("cannot be drawn: {error}"),
    };
    draw(&SVGBackend::new(&svg, SIZE).into_drawing_area(), &curves).map_err(|error| failed(&svg, error))?;
    draw(&BitMapBackend::new(&png, SIZE).into_drawing_area(), &curves).map_err(|error| failed(&png, error))?;
    Ok(vec![svg, png])
}

/// Reads the tests of one run.
fn read(run: &Path) -> Result<Curve, Error> {
    let bad = |path: &Path, message: String| Error::Record {
        path: path.to_owned(),
        message: format!("cannot be read: {message}"),
    };
    let facts_path = run.join("run.json");
    let text = std::fs::read_to_string(&facts_path).map_err(|error| bad(&facts_path, error.to_string()))?;
    let facts: Value = serde_json::from_str(&text).map_err(|error| bad(&facts_path, error.to_string()))?;
    let path = run.join("metrics.csv");
    let mut reader = csv::Reader::from_path(&path).map_err(|error| bad(&path, error.to_string()))?;
    let mut tests = Vec::new();
    for row in reader.records() {
        let row = row.map_err(|error| bad(&path, error.to_string()))?;
        let number = |column: usize| row.get(column).and_then(|field| field.parse::<f64>().ok());
        if let (Some("test"), Some(step), Some(plant), Some(believed)) = (row.get(0), number(1), number(10), number(11))
        {
            tests.push((step, plant, believed));
        }
    }
    let method = facts["method"].as_str().unwrap_or("unknown").to_owned();
    Ok(Curve { method, seed: facts["seed"].as_u64().unwrap_or(0), facts, tests })
}

/// Colors of Okabe and Ito (2008), which color-blind readers tell apart.
fn color(method: &str) -> RGBColor {
    match Method::ALL.iter().position(|known| known.name() == method) {
        Some(0) => RGBColor(0, 114, 178),
        Some(1) => RGBColor(213, 94, 0),
        Some(2) => RGBColor(0, 158, 115),
        _ => RGBColor(204, 121, 167),
    }
}

/// A step with the spread of its values over the seeds.
type Band = Vec<(f64, Spread)>;

/// The mean and spread of each method at each step, in the order of the tables.
fn bands(curves: &[Curve], value: impl Fn(&(f64, f64, f64)) -> f64) -> Vec<(String, Band)> {
    let mut methods: Vec<String> = curves.iter().map(|curve| curve.method.clone()).collect();
    methods.sort_by_key(|method| Method::ALL.iter().position(|known| known.name() == method));
    methods.dedup();
    let of = |method: &str| {
        let mut steps: BTreeMap<u64, Vec<f64>> = BTreeMap::new();
        for curve in curves.iter().filter(|curve| curve.method == method) {
            for test in &curve.tests {
                steps.entry(test.0 as u64).or_default().push(value(test));
            }
        }
        steps.into_iter().map(|(step, values)| (step as f64, Spread::of(&values))).collect()
    };
    methods
        .into_iter()
        .map(|method| {
            let band = of(&method);
            (method, band)
        })
        .collect()
}

/// Draws the curves.
fn draw<B: DrawingBackend>(area: &DrawingArea<B, Shift>, curves: &[Curve]) -> Result<(), String> {
    let text = |error: DrawingAreaErrorKind<B::ErrorType>| error.to_string();
    area.fill(&WHITE).map_err(text)?;
    let (main, caption) = area.split_vertically(SIZE.1 - 74);
    let last = curves.iter().flat_map(|curve| &curve.tests).map(|test| test.0).fold(1.0, f64::max);
    let mut chart = ChartBuilder::on(&main)
        .margin(18)
        .x_label_area_size(48)
        .y_label_area_size(64)
        .build_cartesian_2d(0.0..last * 1.02, 0.0..100.0)
        .map_err(text)?;
    chart
        .configure_mesh()
        .x_desc("update")
        .y_desc("test accuracy, %")
        .label_style((FONT, 17, &INK))
        .axis_desc_style((FONT, 19, &INK))
        .light_line_style(TRANSPARENT)
        .bold_line_style(INK.mix(0.12))
        .axis_style(INK)
        .draw()
        .map_err(text)?;
    for (method, band) in bands(curves, |test| test.1) {
        let color = color(&method);
        let percent = |(step, spread): &(f64, Spread), sign: f64| {
            (*step, (100.0 * (spread.mean + sign * spread.spread)).clamp(0.0, 100.0))
        };
        let outline =
            band.iter().map(|point| percent(point, 1.0)).chain(band.iter().rev().map(|point| percent(point, -1.0)));
        chart.draw_series([Polygon::new(outline.collect::<Vec<_>>(), color.mix(0.18))]).map_err(text)?;
        chart
            .draw_series(
                LineSeries::new(band.iter().map(|point| percent(point, 0.0)), color.stroke_width(3)).point_size(4),
            )
            .map_err(text)?
            .label(format!("{method}, on the plant"))
            .legend(move |(x, y)| PathElement::new([(x, y), (x + 26, y)], color.stroke_width(3)));
    }
    for (method, band) in bands(curves, |test| test.2) {
        if method != Method::InSilico.name() {
            continue;
        }
        let color = color(&method);
        let points = band.iter().map(|(step, spread)| (*step, 100.0 * spread.mean));
        chart
            .draw_series(DashedLineSeries::new(points, 8, 6, color.stroke_width(2)))
            .map_err(text)?
            .label(format!("{method}, what it believes"))
            .legend(move |(x, y)| PathElement::new([(x, y), (x + 14, y)], color.stroke_width(2)));
    }
    chart
        .configure_series_labels()
        .position(SeriesLabelPosition::LowerRight)
        .margin(14)
        .legend_area_size(34)
        .label_font((FONT, 17, &INK))
        .background_style(WHITE.mix(0.85))
        .border_style(INK.mix(0.2))
        .draw()
        .map_err(text)?;
    for (line, words) in captions(curves).iter().enumerate() {
        let place = (24, 6 + 22 * line as i32);
        caption.draw(&Text::new(words.clone(), place, (FONT, 16, &INK).into_text_style(&caption))).map_err(text)?;
    }
    area.present().map_err(text)
}

/// What was measured on what, with which seeds, and the command.
fn captions(curves: &[Curve]) -> Vec<String> {
    let first = &curves[0].facts;
    let plants = first["plants"].as_array().cloned().unwrap_or_default();
    let plants = plants.iter().map(|plant| {
        let text = |key: &str| plant[key].as_str().unwrap_or("?").to_owned();
        format!("plant {} ({}, {})", text("plant"), text("origin").to_uppercase(), text("serial"))
    });
    let mut seeds: Vec<u64> = curves.iter().map(|curve| curve.seed).collect();
    seeds.sort_unstable();
    seeds.dedup();
    let seeds = seeds.iter().map(u64::to_string).collect::<Vec<_>>().join(", ");
    let experiment = first["experiment"].as_str().unwrap_or("?");
    vec![
        format!(
            "{experiment}; {}; seeds {seeds}; line: mean, band: one standard deviation over seeds",
            plants.collect::<Vec<_>>().join(", ")
        ),
        format!("command: {}", first["command"].as_str().unwrap_or("?")),
    ]
}
