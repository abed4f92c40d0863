//! Curves in a few characters: lines of dots, spectra, bars with limits.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::Style;
use ratatui::symbols::Marker;
use ratatui::text::Span;
use ratatui::widgets::Widget;
use ratatui::widgets::canvas::{Canvas, Line};
use rustfft::{FftPlanner, num_complex::Complex};

use super::theme::Tone;

/// One line of a plot.
pub struct Curve<'a> {
    /// Where it goes through.
    pub points: &'a [(f64, f64)],
    /// Its color.
    pub tone: Tone,
}

/// Draws `curves` over `horizontal` and `vertical` bounds.
pub fn plot(curves: &[Curve<'_>], horizontal: [f64; 2], vertical: [f64; 2], area: Rect, buffer: &mut Buffer) {
    if area.is_empty() {
        return;
    }
    let canvas = Canvas::default().marker(Marker::Braille).x_bounds(horizontal).y_bounds(vertical).paint(|context| {
        for curve in curves {
            let color = Style::from(curve.tone).fg.unwrap_or_default();
            let inside = |point: &(f64, f64)| (point.0, point.1.clamp(vertical[0], vertical[1]));
            if let [(x, y)] = curve.points {
                let (x, y) = inside(&(*x, *y));
                context.draw(&Line { x1: x, y1: y, x2: x, y2: y, color });
            }
            for pair in curve.points.windows(2) {
                let ((x1, y1), (x2, y2)) = (inside(&pair[0]), inside(&pair[1]));
                context.draw(&Line { x1, y1, x2, y2, color });
            }
        }
    });
    canvas.render(area, buffer);
}

/// The amplitude spectrum of `values` in dB below its largest line, against cycles per sample from 0 to 0.5.
///
/// The mean is taken off and a Hann window laid over, so that the ends do not look like a frequency.
pub fn spectrum(values: &[f32]) -> Vec<(f64, f64)> {
    let count = values.len();
    if count < 4 {
        return Vec::new();
    }
    let mean = values.iter().map(|value| f64::from(*value)).sum::<f64>() / count as f64;
    let window = |index: usize| (std::f64::consts::PI * index as f64 / (count - 1) as f64).sin().powi(2);
    let mut lines: Vec<Complex<f64>> = values
        .iter()
        .enumerate()
        .map(|(index, value)| Complex::new((f64::from(*value) - mean) * window(index), 0.0))
        .collect();
    FftPlanner::new().plan_fft_forward(count).process(&mut lines);
    let half: Vec<f64> = lines[..=count / 2].iter().map(|line| line.norm()).collect();
    let largest = half.iter().copied().fold(f64::MIN_POSITIVE, f64::max);
    let decibel = |size: f64| (20.0 * (size / largest).log10()).max(SPECTRUM_FLOOR);
    half.iter().enumerate().map(|(index, size)| (index as f64 / count as f64, decibel(*size))).collect()
}

/// The lowest level that a spectrum shows, in dB.
pub const SPECTRUM_FLOOR: f64 = -80.0;

/// A bar from `low` to `high` with the reading on it and the set-point behind: `├──│─●──┤`.
pub fn limit_bar(value: f64, set_point: Option<f64>, (low, high): (f64, f64), width: usize) -> Span<'static> {
    let width = width.max(3);
    let place = |value: f64| {
        let part = ((value - low) / (high - low)).clamp(0.0, 1.0);
        1 + (part * (width - 3) as f64).round() as usize
    };
    let mut bar: Vec<char> = std::iter::repeat_n('─', width).collect();
    (bar[0], bar[width - 1]) = ('├', '┤');
    if !value.is_finite() || low >= high {
        return Span::styled(bar.into_iter().collect::<String>(), Tone::Invalid);
    }
    if let Some(set_point) = set_point {
        bar[place(set_point)] = '│';
    }
    bar[place(value)] = '●';
    let outside = value < low || high < value;
    if outside {
        bar[place(value)] = '!';
    }
    Span::styled(bar.into_iter().collect::<String>(), if outside { Tone::Major } else { Tone::First })
}

/// A bar that is full at 1: `█████░░░░░`.
pub fn progress_bar(fraction: f64, width: usize) -> Span<'static> {
    let full = (fraction.clamp(0.0, 1.0) * width as f64).round() as usize;
    Span::styled("█".repeat(full) + &"░".repeat(width - full), Tone::First)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sine_is_one_line_of_the_spectrum() {
        let values: Vec<f32> = (0..64).map(|n| 3.0 + (std::f32::consts::TAU * 8.0 * n as f32 / 64.0).sin()).collect();
        let lines = spectrum(&values);
        assert_eq!(lines.len(), 33);
        assert_eq!(lines.iter().max_by(|a, b| a.1.total_cmp(&b.1)).unwrap().0, 0.125);
        assert!(lines[0].1 < -20.0 && lines[20].1 < -40.0, "{lines:?}");
        assert!(spectrum(&[1.0; 3]).is_empty());
        assert!(spectrum(&[1.0; 8]).iter().all(|line| line.1.is_finite()), "no signal is no NaN");
    }

    #[test]
    fn a_bar_shows_reading_set_point_and_what_is_outside() {
        let bar = |value, set_point| limit_bar(value, set_point, (-1.0, 1.0), 9).content.into_owned();
        assert_eq!(bar(0.0, Some(1.0)), "├───●──│┤");
        assert_eq!(bar(-1.0, None), "├●──────┤");
        assert_eq!(bar(2.0, None), "├──────!┤");
        assert_eq!(limit_bar(f64::NAN, None, (-1.0, 1.0), 9).style, Style::from(Tone::Invalid));
        assert_eq!(progress_bar(0.5, 4).content, "██░░");
    }
}
