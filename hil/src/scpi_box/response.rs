//! What a query is answered with.

/// What a query is answered with, without its terminator.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Response(pub(super) Vec<u8>);

impl Response {
    /// Text as it is: a number, a word.
    pub fn text(text: impl std::fmt::Display) -> Self {
        Self(text.to_string().into_bytes())
    }

    /// A string in quotation marks.
    pub fn quoted(text: &str) -> Self {
        Self(format!("\"{}\"", text.replace('"', "\"\"")).into_bytes())
    }

    /// Bytes as a block of definite length.
    pub fn block(bytes: &[u8]) -> Self {
        Self(drivers::scpi_block(bytes))
    }

    /// Bytes that are a response already.
    pub fn bytes(bytes: Vec<u8>) -> Self {
        Self(bytes)
    }
}
