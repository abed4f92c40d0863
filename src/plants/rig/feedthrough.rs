//! `feedthrough` of a simulated plant: an input that leaks into the readings.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use sims::{Built, Feedthrough};

/// The value of one input leaks into the readings of a simulated plant, as a wire does that lies too near to another: reading + gain · input. The twin does
/// not know of it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct FeedthroughConfig {
    /// The number of the input, counted from 0 over all banks.
    #[schemars(range(max = 65_536))]
    pub input: usize,
    /// Units of the outputs for each unit of the input.
    #[schemars(range(min = -1e6, max = 1e6))]
    pub gain: f32,
    /// The first output that it reaches (0).
    #[serde(default)]
    #[schemars(range(max = 65_536))]
    pub first_output: usize,
    /// How many outputs it reaches; left out, all from the first on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(max = 65_536))]
    pub outputs: Option<usize>,
}

impl FeedthroughConfig {
    /// The system with it.
    pub fn into(&self, built: Built) -> Result<Built, sims::Error> {
        let all = built.system.card().ports.output_count();
        let end = self.outputs.map_or(all, |count| self.first_output.saturating_add(count));
        Feedthrough { input: self.input, outputs: self.first_output..end, gain: self.gain }.into(built)
    }
}
