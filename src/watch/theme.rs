//! All colors and symbols of the dashboard, and what is left of them where the terminal has none.
//!
//! Panels draw with [`Tone`]s in Unicode. [`Theme::finish`] then takes away what the terminal cannot show: colors where
//! `NO_COLOR` is set (<https://no-color.org>), and everything but ASCII where the locale is not UTF-8. No meaning hangs on a
//! color alone: each has a mark or a word beside it.

use ratatui::buffer::Buffer;
use ratatui::style::{Color, Modifier, Style};

/// What a piece of text means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tone {
    /// Ordinary text.
    Plain,
    /// Names of values, hints, frames.
    Faint,
    /// What matters most in a line.
    Strong,
    /// As it should be.
    Good,
    /// Results may suffer.
    Minor,
    /// Results are wrong, or the bench is at risk.
    Major,
    /// No fresh value, so nobody knows.
    Invalid,
    /// The value is old.
    Stale,
    /// The frame of the panel that keys go to, and the selected row.
    Focus,
    /// A badge that must never be overlooked, such as SIMULATED.
    Badge,
    /// First curve: inputs, loss, the plant.
    First,
    /// Second curve: outputs, accuracy on the plant, the twin.
    Second,
    /// Third curve: accuracy believed, digital layers.
    Third,
}

impl Tone {
    /// Its style. The basic sixteen colors follow the user's own palette; red and green never stand against each other alone.
    pub fn style(self) -> Style {
        let style = Style::new();
        match self {
            Self::Plain => style,
            Self::Faint => style.fg(Color::Gray).add_modifier(Modifier::DIM),
            Self::Strong => style.add_modifier(Modifier::BOLD),
            Self::Good => style.fg(Color::Green),
            Self::Minor | Self::Second => style.fg(Color::Yellow),
            Self::Major => style.fg(Color::Red).add_modifier(Modifier::BOLD),
            Self::Invalid => style.fg(Color::Magenta).add_modifier(Modifier::BOLD),
            Self::Stale => style.fg(Color::DarkGray).add_modifier(Modifier::DIM | Modifier::ITALIC),
            Self::Focus => style.fg(Color::Cyan).add_modifier(Modifier::BOLD),
            Self::Badge => style.add_modifier(Modifier::BOLD | Modifier::REVERSED),
            Self::First => style.fg(Color::Cyan),
            Self::Third => style.fg(Color::Blue),
        }
    }
}

impl From<Tone> for Style {
    fn from(tone: Tone) -> Self {
        tone.style()
    }
}

/// What the terminal can show.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Theme {
    /// Colors.
    pub color: bool,
    /// More than ASCII.
    pub unicode: bool,
}

impl Theme {
    /// What the environment says: `NO_COLOR`, the locale, and the terminal's kind. `ascii` overrules the locale.
    pub fn detect(ascii: bool, variable: impl Fn(&str) -> Option<String>) -> Self {
        let set = |name: &str| variable(name).filter(|value| !value.is_empty());
        let locale = set("LC_ALL").or_else(|| set("LC_CTYPE")).or_else(|| set("LANG")).unwrap_or_default();
        let utf8 = locale.to_ascii_lowercase().replace('-', "").contains("utf8");
        // The kernel's own console knows UTF-8, but its font has no Braille and no half blocks.
        let console = set("TERM").is_some_and(|kind| kind == "linux");
        Self { color: set("NO_COLOR").is_none(), unicode: utf8 && !console && !ascii }
    }

    /// Takes away what the terminal cannot show.
    pub fn finish(self, buffer: &mut Buffer) {
        if self.color && self.unicode {
            return;
        }
        for cell in &mut buffer.content {
            if !self.color {
                (cell.fg, cell.bg) = (Color::Reset, Color::Reset);
            }
            if !self.unicode && !cell.symbol().is_ascii() {
                let plain = ascii(cell.symbol());
                cell.set_char(plain);
            }
        }
    }
}

/// The nearest ASCII character.
fn ascii(symbol: &str) -> char {
    match symbol.chars().next().unwrap_or(' ') {
        '─' | '━' | '–' | '—' | '╌' => '-',
        '│' | '┃' | '▏' | '▕' => '|',
        '┌' | '┐' | '└' | '┘' | '├' | '┤' | '┬' | '┴' | '┼' | '╭' | '╮' | '╯' | '╰' | '╔' | '╗' | '╚' | '╝' | '✓' => {
            '+'
        }
        '█' | '▓' | '■' | '▇' | '▆' | '▅' => '#',
        '▒' | '▄' | '▃' => '=',
        '░' | '·' | '▂' | '▁' | '…' => '.',
        '●' | '◆' | '•' => '*',
        '○' => 'o',
        '▶' | '►' | '→' => '>',
        '◀' | '←' => '<',
        '▲' | '↑' => '^',
        '▼' | '↓' => 'v',
        '×' | '✗' => 'x',
        '±' => '~',
        'µ' | 'μ' => 'u',
        symbol @ '\u{2801}'..='\u{28ff}' => braille(symbol),
        '\u{2800}' => ' ',
        _ => '?',
    }
}

/// A Braille cell by how high its dots lie. Dots 1 and 4 are bit 0 and 3, 7 and 8 the lowest row.
fn braille(symbol: char) -> char {
    let dots = symbol as u32 - 0x2800;
    let rows = [0b0000_1001, 0b0001_0010, 0b0010_0100, 0b1100_0000].map(|mask| dots & mask != 0);
    match rows {
        [true, false, false, false] => '\'',
        [false, false, false, true] => '.',
        [true, _, _, true] => '|',
        [_, false, false, _] => '*',
        [false, _, _, true] => ',',
        [true, ..] => '"',
        _ => '-',
    }
}

#[cfg(test)]
mod tests {
    use ratatui::layout::Rect;

    use super::*;

    fn theme(ascii: bool, variables: &[(&str, &str)]) -> Theme {
        let find = |name: &str| variables.iter().find(|(key, _)| *key == name).map(|(_, value)| (*value).to_owned());
        Theme::detect(ascii, find)
    }

    #[test]
    fn the_environment_decides_what_is_shown() {
        assert_eq!(theme(false, &[("LANG", "de_CH.UTF-8")]), Theme { color: true, unicode: true });
        assert_eq!(theme(false, &[("LANG", "C.utf8"), ("NO_COLOR", "1")]), Theme { color: false, unicode: true });
        assert!(theme(false, &[("LANG", "C.utf8"), ("NO_COLOR", "")]).color, "empty means unset");
        assert!(!theme(false, &[("LANG", "de_CH.UTF-8"), ("LC_ALL", "C")]).unicode, "LC_ALL wins");
        assert!(!theme(false, &[]).unicode, "no locale is the C locale");
        assert!(!theme(true, &[("LANG", "de_CH.UTF-8")]).unicode);
        assert!(!theme(false, &[("LANG", "de_CH.UTF-8"), ("TERM", "linux")]).unicode);
    }

    #[test]
    fn braille_keeps_its_height() {
        assert_eq!(
            ['⠁', '⠂', '⠄', '⡀', '⣿', '⠉', '⣀'].map(|c| ascii(&c.to_string())),
            ['\'', '-', '-', '.', '|', '\'', '.']
        );
    }

    #[test]
    fn a_finished_buffer_holds_what_the_terminal_can_show() {
        let mut buffer = Buffer::empty(Rect::new(0, 0, 4, 1));
        buffer.set_string(0, 0, "│⣿µx", Tone::Major);
        Theme { color: false, unicode: false }.finish(&mut buffer);
        assert!(buffer.content.iter().all(|cell| cell.symbol().is_ascii() && cell.fg == Color::Reset));
        assert!(buffer.content[0].modifier.contains(Modifier::BOLD), "what is bold stays bold");
    }
}
