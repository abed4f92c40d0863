//! How a search for the settings of knobs goes, as its status and its record say.

use serde::{Deserialize, Serialize};

/// A search at one moment.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct TuningStatus {
    /// Signatures that were read.
    pub evaluations: usize,
    /// Signatures in all, at most.
    pub planned: usize,
    /// What it does now: `pattern search`, `CMA-ES`, `random`, `comparison` of the candidates, or `sensitivity` of each knob.
    pub stage: String,
    /// The distance of the last setting from the reference.
    pub distance: Option<f64>,
    /// The least so far.
    pub best: Option<f64>,
    /// That of the setting which the search began with.
    pub start: Option<f64>,
    /// What is left between two signatures of one setting; once it was measured.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub noise: Option<f64>,
    /// Whether what is kept is better than the start; once it is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub is_better: Option<bool>,
    /// The knobs.
    pub knobs: Vec<KnobStatus>,
}

/// One knob in a search.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct KnobStatus {
    /// Its name.
    pub name: String,
    /// Its unit.
    pub unit: String,
    /// Smallest value.
    pub low: f32,
    /// Largest value.
    pub high: f32,
    /// Where it stood when the search began.
    pub start: f32,
    /// Where it stands.
    pub now: f32,
    /// Where the signature was nearest; at the end, what is kept.
    pub best: f32,
    /// Whether the signature sees it; once that was measured.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seen: Option<bool>,
}
