//! Who a SCPI instrument says that it is.

/// Who an instrument is: the four fields of `*IDN?`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ScpiIdentity {
    /// Who made it.
    pub manufacturer: String,
    /// What it is.
    pub model: String,
    /// Which one it is.
    pub serial: String,
    /// What runs in it.
    pub firmware: String,
}

impl std::fmt::Display for ScpiIdentity {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{},{},{},{}", self.manufacturer, self.model, self.serial, self.firmware)
    }
}

impl ScpiIdentity {
    /// Reads the answer to `*IDN?`; what is missing is empty.
    pub fn parse(text: &str) -> Self {
        let mut fields = text.splitn(4, ',').map(|field| field.trim().to_owned());
        let mut next = || fields.next().unwrap_or_default();
        Self { manufacturer: next(), model: next(), serial: next(), firmware: next() }
    }

    /// Whether it says of itself that it is simulated.
    pub fn is_simulated(&self) -> bool {
        self.to_string().to_lowercase().contains("simulated")
    }
}
