//! The picture that a living run shows of what it makes: two of its lines in each row of the terminal, or shades where there are no
//! colors.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::Color;

use super::theme::Theme;
use crate::control::Thumbnail;

/// Columns that curves need beside it.
const CURVE_COLUMNS: u16 = 24;
/// From dark to bright.
const SHADES: [&str; 5] = [" ", "░", "▒", "▓", "█"];

/// Draws a picture at the right end of an area; what is left of it for the curves, which come first where there is little room.
pub fn beside(picture: &Thumbnail, theme: Theme, area: Rect, buffer: &mut Buffer) -> Rect {
    let [height, width] = picture.size.map(|side| side.min(usize::from(u16::MAX - 1)) as u16);
    let Some(left) = area.width.checked_sub(width + 1).filter(|left| CURVE_COLUMNS <= *left) else { return area };
    for y in 0..height.div_ceil(2).min(area.height) {
        for x in 0..width {
            let [upper, lower] = [0, 1].map(|line| picture.color([usize::from(2 * y + line), usize::from(x)]));
            let cell = &mut buffer[(area.x + left + 1 + x, area.y + y)];
            if theme.color && theme.unicode {
                let color =
                    |of: Option<[u8; 3]>| of.map_or(Color::Reset, |[red, green, blue]| Color::Rgb(red, green, blue));
                cell.set_symbol("▀").set_fg(color(upper)).set_bg(color(lower));
            } else {
                cell.set_symbol(SHADES[shade([upper, lower])]);
            }
        }
    }
    Rect { width: left, ..area }
}

/// The shade of two pixels, by the mean of their colors.
fn shade(pixels: [Option<[u8; 3]>; 2]) -> usize {
    let parts = pixels.into_iter().flatten().flatten().map(usize::from);
    let (sum, count) = parts.fold((0, 0), |(sum, count), part| (sum + part, count + 1));
    sum * SHADES.len() / (256 * count).max(1)
}

#[cfg(test)]
mod tests {
    use super::super::golden;
    use super::*;

    /// Three lines, black, gray and white.
    fn picture() -> Thumbnail {
        Thumbnail { size: [3, 2], colors: ["000000", "808080", "ffffff"].map(|color| color.repeat(2)).concat() }
    }

    #[test]
    fn a_row_has_two_lines_in_colors_or_their_shade() {
        let area = Rect::new(1, 0, 40, 5);
        let mut buffer = Buffer::empty(Rect::new(0, 0, 42, 5));
        assert_eq!(beside(&picture(), golden::UNICODE, area, &mut buffer), Rect { width: 37, ..area });
        let cell = &buffer[(39, 0)];
        assert_eq!((cell.symbol(), cell.fg, cell.bg), ("▀", Color::Rgb(0, 0, 0), Color::Rgb(128, 128, 128)));
        let cell = &buffer[(40, 1)];
        assert_eq!((cell.fg, cell.bg), (Color::Rgb(255, 255, 255), Color::Reset));
        assert_eq!(buffer[(41, 0)].symbol(), " ", "outside of the area");
        let plain = Theme { color: false, unicode: true };
        beside(&picture(), plain, area, &mut buffer);
        assert_eq!([0, 1, 2].map(|row| buffer[(39, row)].symbol().to_owned()), ["░", "█", " "]);
    }

    #[test]
    fn curves_come_first() {
        let mut buffer = Buffer::empty(Rect::new(0, 0, 26, 5));
        assert_eq!(beside(&picture(), golden::UNICODE, buffer.area, &mut buffer), buffer.area);
        assert_eq!(buffer, Buffer::empty(buffer.area));
    }
}
