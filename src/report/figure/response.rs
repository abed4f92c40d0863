//! What an experimenter wants to see of a plant first: four figures of one measured response, plant and twin overlaid, what
//! the twin misses below.

use std::path::{Path, PathBuf};

use calibration::{Channels, Response, Tone, Waveform};
use plotters::coord::Shift;
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};

use super::sheet::{Axes, Figure, Pen, around, legend, quantity, save, text};
use super::theme::{FONT, SMALL, Theme};
use crate::Error;

/// The unit of inputs and outputs, and the words below each figure.
pub struct Captioned<'a> {
    /// What was measured.
    pub response: &'a Response,
    /// Of the inputs.
    pub input_unit: &'a str,
    /// Of the outputs.
    pub output_unit: &'a str,
    /// Plant, origin, seeds, command.
    pub caption: Vec<String>,
}

/// The vertical axis beyond the largest value, in parts of its span: the legend lies above the curves.
const HEADROOM: f64 = 0.35;
/// Points of a curve from which on it is thin: broad lines that turn sharply are drawn beyond their ends.
const MANY: usize = 150;

/// Pixels beside a map for what its colors mean.
const BAR: i32 = 66;

/// Draws `spectrum`, `nonlinearity`, `repeatability` and `shot` into `folder`.
pub fn response(what: &Captioned<'_>, folder: &Path, theme: Theme) -> Result<Vec<PathBuf>, Error> {
    let mut files = Vec::new();
    for (name, part) in [
        ("spectrum", Part::Spectrum),
        ("nonlinearity", Part::Nonlinearity),
        ("repeatability", Part::Repeatability),
        ("shot", Part::Shot),
    ] {
        files.extend(save(&Sheet { what, part }, folder, name, theme)?);
    }
    Ok(files)
}

/// Which of the four.
#[derive(Clone, Copy)]
enum Part {
    Spectrum,
    Nonlinearity,
    Repeatability,
    Shot,
}

struct Sheet<'a> {
    what: &'a Captioned<'a>,
    part: Part,
}

impl Figure for Sheet<'_> {
    fn draw<B: DrawingBackend>(&self, area: &DrawingArea<B, Shift>, theme: Theme) -> Result<(), String> {
        let what = self.what;
        let (left, right) = area.split_horizontally(self.size().0 / 2);
        match (self.part, &what.response.waveform, &what.response.channels) {
            (Part::Spectrum, Some(waveform), _) => {
                gain(waveform).draw(&left, theme)?;
                impulse(waveform, what).draw(&right, theme)
            }
            (Part::Spectrum, None, Some(channels)) => {
                bright(channels, what).draw(&left, theme)?;
                derivatives(channels, &right, theme)
            }
            (Part::Nonlinearity, Some(waveform), _) => {
                tone_gain(waveform, what).draw(&left, theme)?;
                harmonics(waveform, what, &right, theme)
            }
            (Part::Nonlinearity, None, Some(channels)) => levels(channels, what).draw(area, theme),
            (Part::Repeatability, ..) => {
                deviations(what, &left, theme)?;
                drift(what, &right, theme)
            }
            (Part::Shot, ..) => shot(what).draw(area, theme),
            (_, None, None) => Ok(()),
        }
    }

    fn caption(&self) -> Vec<String> {
        self.what.caption.clone()
    }
}

/// Plant and twin over one axis, the difference below.
struct Overlay {
    title: String,
    x: (String, Vec<f64>),
    /// What, and its unit.
    y: (&'static str, String),
    plant: Vec<f64>,
    twin: Vec<f64>,
}

impl Overlay {
    fn draw<B: DrawingBackend>(&self, area: &DrawingArea<B, Shift>, theme: Theme) -> Result<(), String> {
        let (top, bottom) = area.split_vertically(area.dim_in_pixel().1 * 64 / 100);
        let range = around(self.x.1.iter().copied());
        let inner = range.start.max(self.x.1.first().copied().unwrap_or(0.0))..range.end;
        let tall = around(self.plant.iter().chain(&self.twin).copied());
        let both = tall.start..tall.end + HEADROOM * (tall.end - tall.start);
        let width = width(self.x.1.len());
        let (what, unit) = &self.y;
        let axes = Axes { title: &self.title, x: ("", inner.clone()), y: (&quantity(what, unit), both), small: true };
        let mut chart = axes.on(&top, theme)?;
        let points =
            |values: &[f64]| -> Vec<(f64, f64)> { self.x.1.iter().copied().zip(values.iter().copied()).collect() };
        Pen { color: theme.series(0), width, dashed: false, label: "plant" }.curve(&mut chart, points(&self.plant))?;
        Pen { color: theme.series(1), width, dashed: true, label: "twin" }.curve(&mut chart, points(&self.twin))?;
        legend(&mut chart, theme, SeriesLabelPosition::UpperRight, SMALL)?;
        let residual: Vec<f64> = self.plant.iter().zip(&self.twin).map(|(plant, twin)| plant - twin).collect();
        // A twin that misses nothing shows a flat line, not the last bit of the numbers.
        let least = 1e-4 * (tall.end - tall.start);
        let axes = Axes {
            title: "",
            x: (&self.x.0, inner),
            y: (&quantity("plant − twin", unit), around(residual.iter().copied().chain([-least, least]))),
            small: true,
        };
        let mut chart = axes.on(&bottom, theme)?;
        Pen { color: theme.series(2), width, dashed: false, label: "" }.curve(&mut chart, points(&residual))
    }
}

/// Of a curve of so many points, in pixels.
fn width(points: usize) -> u32 {
    if points < MANY { 2 } else { 1 }
}

/// Decibels, not below −120.
fn decibels(gain: f64) -> f64 {
    20.0 * gain.max(1e-6).log10()
}

fn gain(waveform: &Waveform) -> Overlay {
    Overlay {
        title: format!("Transfer function (noise at {:.0} dB)", decibels(waveform.gain_noise)),
        x: ("frequency, kHz".into(), waveform.hertz.iter().map(|hertz| 1e-3 * hertz).collect()),
        y: ("gain", "dB".into()),
        plant: waveform.gain_plant.iter().copied().map(decibels).collect(),
        twin: waveform.gain_twin.iter().copied().map(decibels).collect(),
    }
}

/// Times of `count` samples in the unit that suits them.
pub fn times(count: usize, sample_seconds: f64) -> (String, Vec<f64>) {
    let (unit, factor) = if count as f64 * sample_seconds < 2e-3 { ("µs", 1e6) } else { ("ms", 1e3) };
    (format!("time, {unit}"), (0..count).map(|sample| factor * sample_seconds * (sample as f64 + 1.0)).collect())
}

fn impulse(waveform: &Waveform, what: &Captioned<'_>) -> Overlay {
    Overlay {
        title: format!("Impulse response (pulse of one sample, ±{:.3} {})", waveform.pulse, what.input_unit),
        x: times(waveform.impulse_plant.len(), waveform.sample_seconds),
        y: ("reading per drive", format!("{}/{}", what.output_unit, what.input_unit)),
        plant: waveform.impulse_plant.clone(),
        twin: waveform.impulse_twin.clone(),
    }
}

fn bright(channels: &Channels, what: &Captioned<'_>) -> Overlay {
    let count = channels.bright_plant.len();
    Overlay {
        title: "Spectrum with every input at its upper end".into(),
        x: ("output".into(), (0..count).map(|output| output as f64).collect()),
        y: ("reading", what.output_unit.to_owned()),
        plant: channels.bright_plant.clone(),
        twin: channels.bright_twin.clone(),
    }
}

fn tone_gain(waveform: &Waveform, what: &Captioned<'_>) -> Overlay {
    let sweep = &waveform.sweep;
    let of = |tones: &[Tone]| tones.iter().map(|tone| tone.gain).collect();
    Overlay {
        title: format!("Sine of {:.3} kHz: fundamental over drive", 1e-3 * sweep.hertz),
        x: (quantity("drive", what.input_unit), sweep.plant.iter().map(|tone| tone.drive).collect()),
        y: ("gain", "1".into()),
        plant: of(&sweep.plant),
        twin: of(&sweep.twin),
    }
}

fn levels(channels: &Channels, what: &Captioned<'_>) -> Overlay {
    let of = |value: &dyn Fn(&calibration::Level) -> f64| channels.levels.iter().map(value).collect();
    Overlay {
        title: "All inputs alike, from end to end of their range".into(),
        x: (quantity("every input", what.input_unit), of(&|level| level.input)),
        y: ("mean reading", what.output_unit.to_owned()),
        plant: of(&|level| level.plant),
        twin: of(&|level| level.twin),
    }
}

fn shot(what: &Captioned<'_>) -> Overlay {
    let response = what.response;
    let numbers = |values: &[f32]| values.iter().copied().map(f64::from).collect();
    let x = match &response.waveform {
        Some(waveform) => times(response.shot.plant.len(), waveform.sample_seconds),
        None => ("output".into(), (0..response.shot.plant.len()).map(|output| output as f64).collect()),
    };
    Overlay {
        title: format!(
            "One random shot over the full range (twin error over many: {:.1} % of the outputs' deviation)",
            100.0 * response.twin_error
        ),
        x,
        y: ("reading", what.output_unit.to_owned()),
        plant: numbers(&response.shot.plant),
        twin: numbers(&response.shot.twin),
    }
}

/// Second and third harmonic against the drive.
fn harmonics<B: DrawingBackend>(
    waveform: &Waveform,
    what: &Captioned<'_>,
    area: &DrawingArea<B, Shift>,
    theme: Theme,
) -> Result<(), String> {
    let sweep = &waveform.sweep;
    let share = |tones: &[Tone], order: usize| -> Vec<(f64, f64)> {
        let of = |tone: &Tone| Some((tone.drive, 100.0 * tone.harmonics.get(order - 1)? / tone.harmonics[0]));
        tones.iter().filter_map(of).collect()
    };
    let all = [share(&sweep.plant, 2), share(&sweep.twin, 2), share(&sweep.plant, 3), share(&sweep.twin, 3)];
    let drives = around(sweep.plant.iter().map(|tone| tone.drive));
    let title = format!("Harmonics of the same sine (ringing alone: THD {:.2} %)", 100.0 * sweep.floor());
    let axes = Axes {
        title: &title,
        x: (&quantity("drive", what.input_unit), 0.0..drives.end),
        y: (
            "% of the fundamental",
            0.0..(1.0 + HEADROOM) * all.iter().flatten().map(|point| point.1).fold(1e-3, f64::max),
        ),
        small: true,
    };
    let mut chart = axes.on(area, theme)?;
    let labels = ["2nd, plant", "2nd, twin", "3rd, plant", "3rd, twin"];
    for (index, (points, label)) in all.into_iter().zip(labels).enumerate() {
        let color = theme.series(if index < 2 { 0 } else { 3 });
        Pen { color, width: 2, dashed: index % 2 == 1, label }.curve(&mut chart, points)?;
    }
    legend(&mut chart, theme, SeriesLabelPosition::UpperLeft, SMALL)
}

/// Standard deviation of each output.
fn deviations<B: DrawingBackend>(
    what: &Captioned<'_>,
    area: &DrawingArea<B, Shift>,
    theme: Theme,
) -> Result<(), String> {
    let repeats = &what.response.repeats;
    let (label, x) = match &what.response.waveform {
        Some(waveform) => times(repeats.deviations.len(), waveform.sample_seconds),
        None => ("output".into(), (0..repeats.deviations.len()).map(|output| output as f64).collect()),
    };
    let title = format!("{} repeats of one shot: {:.2} % of full scale", repeats.shots, 100.0 * repeats.relative);
    let axes = Axes {
        title: &title,
        x: (&label, 0.0..around(x.iter().copied()).end),
        y: (&quantity("standard deviation", what.output_unit), 0.0..around(repeats.deviations.iter().copied()).end),
        small: true,
    };
    let mut chart = axes.on(area, theme)?;
    let width = width(x.len());
    let points = x.into_iter().zip(repeats.deviations.iter().copied());
    Pen { color: theme.series(0), width, dashed: false, label: "" }.curve(&mut chart, points)
}

/// The size of the readings, batch by batch.
fn drift<B: DrawingBackend>(what: &Captioned<'_>, area: &DrawingArea<B, Shift>, theme: Theme) -> Result<(), String> {
    let repeats = &what.response.repeats;
    let points: Vec<(f64, f64)> = repeats.drift.iter().map(|point| (point.seconds, 100.0 * point.change)).collect();
    let title = format!("Drift of its size: {:+.4} % from first to last quarter", 100.0 * repeats.drift_relative);
    let axes = Axes {
        title: &title,
        x: ("bench time, s", 0.0..around(points.iter().map(|point| point.0)).end),
        // A plant that never moves shows a flat line, not the last bit of the numbers.
        y: ("change, %", around(points.iter().map(|point| point.1).chain([-1e-4, 1e-4]))),
        small: true,
    };
    let mut chart = axes.on(area, theme)?;
    chart.draw_series(points.iter().map(|point| Circle::new(*point, 3, theme.series(0).filled()))).map_err(text)?;
    Pen { color: theme.series(0), width: 1, dashed: false, label: "" }.curve(&mut chart, points)
}

/// What each output moves per input: the plant above, what the twin misses below, on one scale.
fn derivatives<B: DrawingBackend>(
    channels: &Channels,
    area: &DrawingArea<B, Shift>,
    theme: Theme,
) -> Result<(), String> {
    let (top, bottom) = area.split_vertically(area.dim_in_pixel().1 / 2);
    let missed: Vec<Vec<f64>> = channels
        .plant
        .iter()
        .zip(&channels.twin)
        .map(|(plant, twin)| plant.iter().zip(twin).map(|(plant, twin)| plant - twin).collect())
        .collect();
    let largest = channels.plant.iter().flatten().fold(0.0_f64, |largest, value| largest.max(value.abs()));
    let title = "∂ output / ∂ input of the plant (color: square root)";
    matrix(&channels.plant, largest, &top, (title, theme))?;
    let title = format!("less that of the twin: {:.1} % of it", 100.0 * channels.relative_error);
    matrix(&missed, largest, &bottom, (&title, theme))
}

/// Cells from −`largest` to `largest`; large matrices are averaged over blocks.
fn matrix<B: DrawingBackend>(
    rows: &[Vec<f64>],
    largest: f64,
    area: &DrawingArea<B, Shift>,
    (title, theme): (&str, Theme),
) -> Result<(), String> {
    let (height, width) = (rows.len(), rows.first().map_or(0, Vec::len));
    let block = (height.max(width) / 64).max(1);
    let (map, bar) = area.split_horizontally(area.dim_in_pixel().0 as i32 - BAR);
    color_bar(largest, &bar, theme)?;
    let axes =
        Axes { title, x: ("input port", 0.0..width as f64), y: ("output port", 0.0..height as f64), small: true };
    let mut chart = axes.on(&map, theme)?;
    let starts = (0..height).step_by(block).flat_map(|row| (0..width).step_by(block).map(move |column| (row, column)));
    let cells = starts.map(|(row, column)| {
        let part = rows[row..(row + block).min(height)].iter();
        let values: Vec<f64> = part.flat_map(|row| &row[column..(column + block).min(width)]).copied().collect();
        let mean = values.iter().sum::<f64>() / values.len() as f64;
        let share = if largest > 0.0 { mean / largest } else { 0.0 };
        let color = derivative_color(share, theme);
        let (x, y) = (column as f64, row as f64);
        Rectangle::new([(x, y), (x + block as f64, y + block as f64)], color.filled())
    });
    chart.draw_series(cells).map_err(text)?;
    Ok(())
}

/// The color of a derivative, as a share of the largest. A square root keeps small ones visible beside large ones.
fn derivative_color(share: f64, theme: Theme) -> RGBColor {
    theme.signed_shade(share.signum() * share.abs().sqrt())
}

/// What the colors of a map mean, from −`largest` to `largest`.
fn color_bar<B: DrawingBackend>(largest: f64, area: &DrawingArea<B, Shift>, theme: Theme) -> Result<(), String> {
    let (width, height) = area.dim_in_pixel();
    // As high as the map beside it: below its title, above its numbers.
    let (top, bottom) = (34_i32, height as i32 - 50);
    let (left, right) = (4_i32, 18_i32);
    for row in top..bottom {
        let share = 1.0 - 2.0 * f64::from(row - top) / f64::from((bottom - top - 1).max(1));
        let color = derivative_color(share, theme).filled();
        area.draw(&Rectangle::new([(left, row), (right, row + 1)], color)).map_err(text)?;
    }
    let frame = theme.ink().mix(0.4).stroke_width(1);
    area.draw(&Rectangle::new([(left, top), (right, bottom)], frame)).map_err(text)?;
    let ink = theme.ink();
    for (share, row) in [(1.0, top), (0.0, i32::midpoint(top, bottom)), (-1.0, bottom)] {
        let place = Pos::new(HPos::Left, VPos::Center);
        let style = (FONT, SMALL - 1, &ink).into_text_style(area).pos(place);
        let label = if share == 0.0 { "0".to_owned() } else { format!("{:.2}", share * largest) };
        area.draw(&Text::new(label, ((right + 4).min(width as i32), row), style)).map_err(text)?;
    }
    Ok(())
}
