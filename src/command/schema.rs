//! `pnnlab schema`: what may stand in an experiment and a rig file.

use serde_json::json;

use crate::document::schema;
use crate::plants::RigConfig;
use crate::training::Experiment;

/// Prints both schemas as one object.
pub fn run() {
    say!("{:#}", json!({ "experiment": schema::<Experiment>(), "rig": schema::<RigConfig>() }));
}
