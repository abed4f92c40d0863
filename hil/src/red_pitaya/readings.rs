//! How samples are written: text or a block, in V or as codes of the converter.

use drivers::Numbers;

use crate::scpi_box::Response;

/// Codes of the converter at its full scale.
const CODES: f32 = 8192.0;

/// What is kept for each connection: text in braces, until it asks for blocks.
#[derive(Debug, Default)]
pub struct Format {
    /// Whether samples are sent as a block.
    pub(super) is_binary: bool,
    /// Whether the low byte comes first.
    pub(super) is_little: bool,
}

impl Format {
    /// Samples in V.
    pub(super) fn volts(&self, values: &[f32]) -> Response {
        if !self.is_binary {
            return braced(values.iter().map(|value| format!("{value:.6}")));
        }
        let numbers = if self.is_little { Numbers::FloatLittle } else { Numbers::FloatBig };
        Response::bytes(numbers.write(values, 1.0))
    }

    /// Samples as codes, where the full scale is `full` V.
    pub(super) fn codes(&self, values: &[f32], full: f32) -> Response {
        let code = |value: &f32| (value / full * CODES).round().clamp(-CODES, CODES - 1.0) as i16;
        let codes = values.iter().map(code);
        if !self.is_binary {
            return braced(codes.map(|code| code.to_string()));
        }
        let bytes = |code: i16| if self.is_little { code.to_le_bytes() } else { code.to_be_bytes() };
        Response::block(&codes.flat_map(bytes).collect::<Vec<_>>())
    }
}

/// Numbers in braces, between commas.
fn braced(values: impl Iterator<Item = String>) -> Response {
    Response::text(format!("{{{}}}", values.collect::<Vec<_>>().join(",")))
}
