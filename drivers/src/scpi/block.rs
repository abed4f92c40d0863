//! Definite-length blocks and the numbers in them: `#<digits><length><bytes>` (IEEE 488.2, 7.7.6 and 8.7.9).

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::value::reading;
use crate::{Error, Port};

/// How numbers are written on the wire.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Numbers {
    /// Decimal numbers with commas, in a line.
    #[default]
    Text,
    /// A block of 32-bit floats, the most significant byte first.
    FloatBig,
    /// A block of 32-bit floats, the least significant byte first.
    FloatLittle,
    /// A block of 16-bit codes, the most significant byte first.
    CodeBig,
    /// A block of 16-bit codes, the least significant byte first.
    CodeLittle,
}

impl Numbers {
    /// Writes numbers; where they are codes, `full_scale` becomes code 32767.
    pub fn write(self, values: &[f32], full_scale: f32) -> Vec<u8> {
        let code = |value: f32| (value / full_scale * 32767.0).round() as i16;
        match self {
            Self::Text => {
                let mut text = String::new();
                for (index, value) in values.iter().enumerate() {
                    if index > 0 {
                        text.push(',');
                    }
                    text += &value.to_string();
                }
                text.into_bytes()
            }
            Self::FloatBig => block(&values.iter().flat_map(|value| value.to_be_bytes()).collect::<Vec<_>>()),
            Self::FloatLittle => block(&values.iter().flat_map(|value| value.to_le_bytes()).collect::<Vec<_>>()),
            Self::CodeBig => block(&values.iter().flat_map(|value| code(*value).to_be_bytes()).collect::<Vec<_>>()),
            Self::CodeLittle => block(&values.iter().flat_map(|value| code(*value).to_le_bytes()).collect::<Vec<_>>()),
        }
    }

    /// Reads the bytes of a block, or a line, as numbers; where they are codes, code 32767 becomes `full_scale`.
    pub fn read(self, bytes: &[u8], full_scale: f32) -> Option<Vec<f32>> {
        let width = match self {
            Self::Text => return super::numbers(std::str::from_utf8(bytes).ok()?),
            Self::FloatBig | Self::FloatLittle => 4,
            Self::CodeBig | Self::CodeLittle => 2,
        };
        if !bytes.len().is_multiple_of(width) {
            return None;
        }
        let volts = |code: i16| f32::from(code) / 32767.0 * full_scale;
        let value = |bytes: &[u8]| match (self, bytes) {
            (Self::FloatBig, &[a, b, c, d]) => reading(f32::from_be_bytes([a, b, c, d]).into()),
            (Self::FloatLittle, &[a, b, c, d]) => reading(f32::from_le_bytes([a, b, c, d]).into()),
            (Self::CodeBig, &[a, b]) => volts(i16::from_be_bytes([a, b])),
            (_, &[a, b]) => volts(i16::from_le_bytes([a, b])),
            _ => f32::NAN,
        };
        Some(bytes.chunks_exact(width).map(value).collect())
    }

    /// Whether they come in a block.
    pub fn is_block(self) -> bool {
        self != Self::Text
    }
}

/// Some bytes as a block.
pub fn block(bytes: &[u8]) -> Vec<u8> {
    let length = bytes.len().to_string();
    let mut block = format!("#{}{length}", length.len()).into_bytes();
    block.extend_from_slice(bytes);
    block
}

/// Reads a block of at most `most` bytes and the end of its line, in whatever pieces it comes.
///
/// An indefinite block, `#0`, ends with a signal that a byte stream does not have: it is refused.
pub async fn read_block(port: &mut Port, most: usize) -> Result<Vec<u8>, Error> {
    let garbled = |port: &Port, message: String| Error::Garbled { instrument: port.instrument().to_owned(), message };
    let head = port.read_exact(2).await?;
    let digits = match head[..] {
        [b'#', digit @ b'1'..=b'9'] => usize::from(digit - b'0'),
        _ => return Err(garbled(port, "sends a block without a definite length".to_owned())),
    };
    let length = port.read_exact(digits).await?;
    let length = std::str::from_utf8(&length).ok().filter(|text| text.bytes().all(|byte| byte.is_ascii_digit()));
    let length = length.and_then(|text| text.parse::<usize>().ok()).filter(|length| *length <= most);
    let Some(length) = length else {
        return Err(garbled(port, format!("sends a block whose length is not a number up to {most}")));
    };
    let bytes = port.read_exact(length).await?;
    let end = port.read_line(2).await;
    match end.as_deref() {
        Ok([] | [b' ']) => Ok(bytes),
        Ok(_) | Err(Error::Garbled { .. }) => {
            Err(garbled(port, format!("sends a block that is longer than the {length} bytes that it says")))
        }
        Err(_) => end,
    }
}
