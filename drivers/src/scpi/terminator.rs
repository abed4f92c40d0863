//! What ends a line to a SCPI instrument, and from it.

use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};

/// What ends a message or an answer. IEEE 488.2 has a line feed; some instruments want a carriage return before it or in its place.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Terminator {
    /// A line feed.
    #[default]
    #[serde(alias = "\n")]
    Lf,
    /// A carriage return and a line feed.
    #[serde(alias = "\r\n")]
    CrLf,
    /// A carriage return.
    #[serde(alias = "\r")]
    Cr,
}

impl Terminator {
    /// Its bytes.
    pub fn bytes(self) -> &'static [u8] {
        match self {
            Self::Lf => b"\n",
            Self::CrLf => b"\r\n",
            Self::Cr => b"\r",
        }
    }
}

impl JsonSchema for Terminator {
    fn schema_name() -> Cow<'static, str> {
        "Terminator".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "description": "What ends a message or an answer, by name or as the characters themselves.",
            "enum": ["lf", "crlf", "cr", "\n", "\r\n", "\r"],
        })
    }
}
