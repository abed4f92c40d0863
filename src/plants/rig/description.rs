//! A digest of a plant's description, which fits are held against.

use super::{LimitsConfig, PlantConfig, Rig};

impl Rig {
    /// A digest of what the rig and the experiment say about a plant: all that a fit of it depends on. The seed of the shots' noise,
    /// recordings, the choice of a fit, interlocks, the screen and limits over time are left out: they decide what is driven and believed,
    /// not how the plant answers.
    pub fn description(&self, name: &str) -> String {
        let Some(config) = self.config.plants.get(name) else { return String::new() };
        let LimitsConfig { inputs, controls, .. } = config.limits.clone();
        let limits = LimitsConfig { inputs, controls, ..LimitsConfig::default() };
        let config =
            PlantConfig { fit: None, record: None, limits, interlocks: vec![], screen: None, ..config.clone() };
        let mut value = serde_json::to_value(&config).unwrap_or_default();
        leave_out(&mut value);
        calibration::digest(value.to_string().as_bytes())
    }
}

/// Takes out of a description what a fit does not depend on: where an instrument is found, recordings, the seed of the shots' noise.
fn leave_out(value: &mut serde_json::Value) {
    match value {
        serde_json::Value::Object(keys) => {
            keys.retain(|key, _| !["address", "record", "shot_seed"].contains(&key.as_str()));
            keys.values_mut().for_each(leave_out);
        }
        serde_json::Value::Array(items) => items.iter_mut().for_each(leave_out),
        _ => {}
    }
}
