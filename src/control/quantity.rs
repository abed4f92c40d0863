//! What alarms can watch.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What an alarm watches.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Quantity {
    /// Loss of the last update.
    Loss,
    /// Fraction of the values sent that the hard clamp changed.
    ClippingRate,
    /// Fraction of the range that the last batch covered.
    RangeUse,
    /// Accuracy of what was last tried on the plant: the validation set, or at the end the test set.
    TestAccuracy,
    /// NRMSE of the same, where numbers are predicted.
    TestNrmse,
    /// R² of the same, where numbers are predicted.
    TestR2,
    /// How much better the method believed then to be than was true on the plant: in accuracy, or in NRMSE.
    Illusion,
    /// Of the drift monitor, as a fraction of its threshold.
    DriftScore,
}

impl Quantity {
    /// The score that it watches, if it is one.
    pub fn score(self) -> Option<&'static str> {
        match self {
            Self::TestAccuracy => Some("accuracy"),
            Self::TestNrmse => Some("nrmse"),
            Self::TestR2 => Some("r2"),
            Self::Loss | Self::ClippingRate | Self::RangeUse | Self::Illusion | Self::DriftScore => None,
        }
    }
}
