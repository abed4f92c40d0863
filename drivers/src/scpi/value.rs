//! Values of settings and readings as SCPI writes them.

/// A setting of ours: `HEADER VALUE`, and the query that reads it back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Setting {
    /// Such as `SOUR1:VOLT`.
    pub header: String,
    /// Such as `0.5`.
    pub value: String,
    /// Such as `SOUR1:VOLT?`; none where the instrument cannot say.
    pub query: Option<String>,
}

impl Setting {
    /// A setting that is read back by its header with a question mark.
    pub fn new(header: &str, value: &impl std::fmt::Display) -> Self {
        Self { header: header.to_owned(), value: value.to_string(), query: Some(format!("{header}?")) }
    }

    /// The line that sets it.
    pub fn command(&self) -> String {
        if self.value.is_empty() { self.header.clone() } else { format!("{} {}", self.header, self.value) }
    }
}

/// Whether a setting reads back as it was sent: numbers to a thousandth, words in their long or short form.
pub fn agrees(sent: &str, read: &str) -> bool {
    let (sent, read) = (sent.trim().to_uppercase(), read.trim().trim_matches('"').to_uppercase());
    if let (Ok(sent), Ok(read)) = (number(&sent), number(&read)) {
        return (sent - read).abs() <= 1e-3 * sent.abs().max(1e-9);
    }
    !read.is_empty() && (sent.starts_with(&read) || read.starts_with(&sent))
}

/// A number, where on and off are 1 and 0.
fn number(text: &str) -> Result<f64, std::num::ParseFloatError> {
    match text {
        "ON" => Ok(1.0),
        "OFF" => Ok(0.0),
        _ => text.parse(),
    }
}

/// Numbers with commas, in braces or not; 9.91E37 is what SCPI writes for NaN, 9.9E37 for infinity (SCPI-99, 7.2.1).
pub fn numbers(text: &str) -> Option<Vec<f32>> {
    let value = |text: &str| -> Option<f32> {
        let value = text.trim().parse::<f64>().ok()?;
        Some(match value.abs() {
            size if size >= 9.905e37 => f32::NAN,
            size if size >= 9.89e37 => f32::INFINITY.copysign(value as f32),
            _ => value as f32,
        })
    };
    text.trim().trim_start_matches('{').trim_end_matches('}').split(',').map(value).collect()
}
