//! Values that were set for others, such as trainable controls: read back when they are set, and looked at as settings are.

use super::value::told;
use crate::Error;
use crate::dialogue::shown;

/// A value that was set, and the query that reads it back.
#[derive(Debug, Clone, PartialEq)]
pub struct Held {
    /// What set it, without the value, such as `SOUR2:VOLT`: for messages.
    pub header: String,
    /// Such as `SOUR2:VOLT?`.
    pub query: String,
    /// What it was set to.
    pub value: f64,
    /// How far what is read back may be from that.
    pub tolerance: f64,
}

impl Held {
    /// The value that an answer gives, if it is near enough to what was set.
    pub fn read(&self, answer: &[u8]) -> Option<f64> {
        let read = told(answer)?;
        ((read - self.value).abs() <= self.tolerance).then_some(read)
    }

    /// Refuses an answer that is too far from what was set.
    pub(crate) fn check(&self, instrument: &str, answer: &[u8]) -> Result<(), Error> {
        self.read(answer).map(drop).ok_or_else(|| Error::Readback {
            instrument: instrument.to_owned(),
            setting: self.header.clone(),
            sent: format!("{} within {}", self.value, self.tolerance),
            read: shown(answer),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_a_number_in_any_spelling_that_is_near_enough() {
        let held = Held { header: "VOLT".into(), query: "VOLT?".into(), value: 0.5, tolerance: 0.01 };
        for near in ["0.5", "+5.05E-01", "500 mV", "\"0.495\"", " 0.5 "] {
            assert!(held.read(near.as_bytes()).is_some(), "{near}");
        }
        for far in ["0.52", "", "0.5 x", "NAN", "9.91E37", "0.5,0.5"] {
            let text = held.check("scope", far.as_bytes()).unwrap_err().to_string();
            assert!(text.contains("was told VOLT = 0.5 within 0.01, but says"), "{far}: {text}");
        }
    }
}
