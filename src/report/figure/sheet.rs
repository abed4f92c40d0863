//! One figure on paper: drawn once for SVG and once for PNG, with its caption below, and the axes that all figures share.

use std::ops::Range;
use std::path::{Path, PathBuf};

use plotters::coord::Shift;
use plotters::coord::types::RangedCoordf64;
use plotters::prelude::*;

use super::print::print;
use super::record::drawable;
use super::theme::{FONT, LARGE, MEDIUM, SMALL, Theme};
use crate::Error;
use crate::output::printable;

/// Height of one caption line, in pixels.
pub(super) const LINE: u32 = 21;
/// Widest caption line, in letters for each 960 pixels of figure.
pub(super) const LETTERS: u32 = 124;

/// Something that can be drawn. What it shows was read before: nothing is computed only for a picture.
pub trait Figure {
    /// Draws on an empty area that already leaves room for the caption.
    fn draw<B: DrawingBackend>(&self, area: &DrawingArea<B, Shift>, theme: Theme) -> Result<(), String>;

    /// What was measured on what (SIMULATED, real or replayed), seeds, command.
    fn caption(&self) -> Vec<String>;

    /// Width and height without the caption, in pixels.
    fn size(&self) -> (u32, u32) {
        (960, 526)
    }
}

/// Draws `figure` to `NAME.svg` and `NAME.png` in `folder`, which is made where it is missing.
pub fn save(figure: &impl Figure, folder: &Path, name: &str, theme: Theme) -> Result<Vec<PathBuf>, Error> {
    theme.prepare();
    std::fs::create_dir_all(folder).map_err(Error::record(folder, "cannot be made"))?;
    let (width, height) = figure.size();
    let caption: Vec<String> = figure.caption().iter().map(|line| printable(line)).collect();
    let caption = wrapped(&caption, (LETTERS * width / 960) as usize);
    let size = (width, height + 20 + LINE * caption.len() as u32);
    let (svg, png) = (folder.join(format!("{name}.svg")), folder.join(format!("{name}.png")));
    let failed = |path: &Path| {
        let path = path.to_owned();
        move |error: String| Error::Record { path, message: format!("cannot be drawn: {error}") }
    };
    lay_out(&SVGBackend::new(&svg, size).into_drawing_area(), figure, &caption, theme).map_err(failed(&svg))?;
    print(&png, size, |page| lay_out(&page, figure, &caption, theme)).map_err(failed(&png))?;
    Ok(vec![svg, png])
}

/// Paper, figure, caption.
fn lay_out<B: DrawingBackend>(
    area: &DrawingArea<B, Shift>,
    figure: &impl Figure,
    caption: &[String],
    theme: Theme,
) -> Result<(), String> {
    area.fill(&theme.paper()).map_err(text)?;
    let (main, below) = area.split_vertically(figure.size().1);
    figure.draw(&main, theme)?;
    let ink = theme.ink();
    for (line, words) in caption.iter().enumerate() {
        let style = (FONT, SMALL, &ink).into_text_style(&below);
        below.draw(&Text::new(words.clone(), (24, 4 + (LINE as usize * line) as i32), style)).map_err(text)?;
    }
    area.present().map_err(text)
}

/// Lines of at most `letters`, broken between words.
pub(super) fn wrapped(lines: &[String], letters: usize) -> Vec<String> {
    let mut result = Vec::new();
    for line in lines {
        let mut current = String::new();
        for word in line.split(' ') {
            if !current.is_empty() && letters < current.chars().count() + 1 + word.chars().count() {
                result.push(std::mem::take(&mut current));
            }
            if !current.is_empty() {
                current.push(' ');
            }
            current.push_str(word);
        }
        result.push(current);
    }
    result
}

/// What the drawing library says, as a sentence.
#[expect(clippy::needless_pass_by_value, reason = "it stands in `map_err`, which passes by value")]
pub fn text<E: std::error::Error + Send + Sync>(error: DrawingAreaErrorKind<E>) -> String {
    error.to_string()
}

/// A chart with linear axes.
pub type Chart<'a, B> = ChartContext<'a, B, Cartesian2d<RangedCoordf64, RangedCoordf64>>;

/// Axes of a panel.
#[derive(Debug, Clone)]
pub struct Axes<'a> {
    /// Above the panel; empty: nothing.
    pub title: &'a str,
    /// The horizontal axis: what and unit.
    pub x: (&'a str, Range<f64>),
    /// The vertical axis: what and unit.
    pub y: (&'a str, Range<f64>),
    /// Whether the panel is one of several: smaller text, less margin.
    pub small: bool,
}

/// Letters of an axis's numbers that always have room.
const ROOM: usize = 5;

impl Axes<'_> {
    /// Draws mesh, numbers and descriptions. Panels of one size stand in line, whatever their numbers.
    pub fn on<'a, B: DrawingBackend>(
        &self,
        area: &'a DrawingArea<B, Shift>,
        theme: Theme,
    ) -> Result<Chart<'a, B>, String> {
        self.with_room(area, theme, [ROOM; 2])
    }

    /// The same with room for long numbers: fewer along the horizontal axis, and more space beside the vertical one.
    pub fn on_for_numbers<'a, B: DrawingBackend>(
        &self,
        area: &'a DrawingArea<B, Shift>,
        theme: Theme,
    ) -> Result<Chart<'a, B>, String> {
        let letters = [&self.x.1, &self.y.1].map(|range| {
            let (range, ends) = (widened(range), [range.start, range.end]);
            ends.map(|end| number(end, decimals(&range)).chars().count()).into_iter().max().unwrap_or(0)
        });
        self.with_room(area, theme, letters)
    }

    fn with_room<'a, B: DrawingBackend>(
        &self,
        area: &'a DrawingArea<B, Shift>,
        theme: Theme,
        letters: [usize; 2],
    ) -> Result<Chart<'a, B>, String> {
        if let Some((what, range)) =
            [&self.x, &self.y].into_iter().find(|(_, range)| !drawable(&range.start) || !drawable(&range.end))
        {
            return Err(format!("its axis `{what}` would reach from {:e} to {:e}", range.start, range.end));
        }
        let ink = theme.ink();
        let (numbers, words) = if self.small { (SMALL - 1, SMALL) } else { (MEDIUM, LARGE) };
        let mut builder = ChartBuilder::on(area);
        builder.margin(if self.small { 10 } else { 18 }).x_label_area_size(if self.small { 38 } else { 48 });
        let (beside, letter) = if self.small { (66, 8) } else { (64, 10) };
        builder.y_label_area_size(beside + letter * letters[1].saturating_sub(ROOM) as u32);
        if !self.title.is_empty() {
            builder.caption(self.title, (FONT, words, &ink));
        }
        let (x, y) = (widened(&self.x.1), widened(&self.y.1));
        let (number_x, number_y) = (decimals(&x), decimals(&y));
        let mut chart = builder.build_cartesian_2d(x, y).map_err(text)?;
        chart
            .configure_mesh()
            .x_desc(self.x.0)
            .y_desc(self.y.0)
            .x_labels(labels(if self.small { 6 } else { 10 }, letters[0]))
            .y_labels(if self.small { 5 } else { 10 })
            .x_label_formatter(&move |value| number(*value, number_x))
            .y_label_formatter(&move |value| number(*value, number_y))
            .label_style((FONT, numbers, &ink))
            .axis_desc_style((FONT, words, &ink))
            .light_line_style(TRANSPARENT)
            .bold_line_style(ink.mix(0.12))
            .axis_style(ink)
            .draw()
            .map_err(text)?;
        Ok(chart)
    }
}

/// How many numbers of so many letters have room where `most` short ones have.
fn labels(most: usize, letters: usize) -> usize {
    (most * ROOM / letters.max(ROOM)).max(2)
}

/// A range wide enough to be divided into steps that differ.
fn widened(range: &Range<f64>) -> Range<f64> {
    let least = 1e-9 * range.start.abs().max(range.end.abs()).max(1e-12);
    if range.end - range.start < least { range.start - least..range.start + least } else { range.clone() }
}

/// What an axis shows, with its unit; a number without one stands alone.
pub fn quantity(what: &str, unit: &str) -> String {
    if unit == "1" { what.to_owned() } else { format!("{what}, {unit}") }
}

/// Decimals that tell the numbers along a range apart.
fn decimals(range: &Range<f64>) -> usize {
    let span = (range.end - range.start).abs().max(1e-12);
    (1.0 - (span / 2.0).log10().floor()).clamp(0.0, 9.0) as usize
}

/// A number without idle zeros: `0.5`, not `0.50`; `0`, not `-0`; with an exponent where zeros would fill the margin.
fn number(value: f64, decimals: usize) -> String {
    if 4 < decimals && value != 0.0 {
        return format!("{value:.1e}");
    }
    let words = format!("{value:.decimals$}");
    let short = if words.contains('.') { words.trim_end_matches('0').trim_end_matches('.') } else { &words };
    if short == "-0" { "0".to_owned() } else { short.to_owned() }
}

/// How a curve is drawn.
#[derive(Debug, Clone, Copy)]
pub struct Pen<'a> {
    /// Its color.
    pub color: RGBColor,
    /// Line width, in pixels.
    pub width: u32,
    /// Whether the line is broken.
    pub dashed: bool,
    /// Its name in the legend; empty: none.
    pub label: &'a str,
}

impl Pen<'_> {
    /// Draws a curve; what is not finite is left out.
    pub fn curve<B: DrawingBackend>(
        &self,
        chart: &mut Chart<'_, B>,
        points: impl IntoIterator<Item = (f64, f64)>,
    ) -> Result<(), String> {
        let points = points.into_iter().filter(|(x, y)| x.is_finite() && y.is_finite()).collect::<Vec<_>>();
        let (style, color) = (self.color.stroke_width(self.width), self.color);
        let drawn = if self.dashed {
            chart.draw_series(DashedLineSeries::new(points, 8, 6, style)).map_err(text)?
        } else {
            chart.draw_series(LineSeries::new(points, style)).map_err(text)?
        };
        if !self.label.is_empty() {
            let (length, width) = if self.dashed { (14, self.width) } else { (26, self.width) };
            drawn
                .label(self.label)
                .legend(move |(x, y)| PathElement::new([(x, y), (x + length, y)], color.stroke_width(width)));
        }
        Ok(())
    }
}

/// Draws the legend of the curves that have labels.
pub fn legend<'a, B: DrawingBackend + 'a>(
    chart: &mut Chart<'a, B>,
    theme: Theme,
    place: SeriesLabelPosition,
    size: u32,
) -> Result<(), String> {
    chart
        .configure_series_labels()
        .position(place)
        .margin(10)
        .legend_area_size(34)
        .label_font((FONT, size, &theme.ink()))
        .background_style(theme.paper().mix(0.85))
        .border_style(theme.ink().mix(0.2))
        .draw()
        .map_err(text)
}

/// A range that holds all finite values with some air; never empty.
pub fn around(values: impl IntoIterator<Item = f64>) -> Range<f64> {
    let finite = values.into_iter().filter(|value| value.is_finite());
    let (low, high) =
        finite.fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), value| (low.min(value), high.max(value)));
    if low > high {
        return 0.0..1.0;
    }
    let air = if low < high { 0.06 * (high - low) } else { 0.1 * high.abs().max(1e-6) };
    low - air..high + air
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn captions_break_between_words() {
        let lines = wrapped(&["one two three".to_owned(), "four".to_owned()], 8);
        assert_eq!(lines, ["one two", "three", "four"]);
    }

    #[test]
    fn numbers_are_short_and_told_apart() {
        assert_eq!(number(0.50, 2), "0.5");
        assert_eq!(number(-0.0001, 2), "0");
        assert_eq!(number(100.0, 0), "100");
        assert_eq!(number(2e-7, 8), "2.0e-7");
        assert!(2 <= decimals(&(0.0..0.1)));
        assert_eq!(decimals(&(0.0..2500.0)), 0);
    }

    #[test]
    fn long_numbers_are_fewer() {
        assert_eq!([labels(6, 1), labels(6, 5), labels(6, 9), labels(10, 9), labels(6, 40)], [6, 6, 3, 5, 2]);
    }

    #[test]
    fn a_range_is_never_empty_whatever_the_values() {
        for values in [vec![], vec![f64::NAN], vec![2.0, 2.0], vec![-1.0, 5.0]] {
            let range = around(values);
            assert!(range.start < range.end);
        }
    }
}
