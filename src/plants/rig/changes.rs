//! What an experiment may change of a rig.

use crate::Error;
use crate::document::{Document, list, nearest};

/// Refuses an experiment that changes a plant which the rig does not have, or more of it than its simulation.
pub(super) fn known_plants(rig: &Document, experiment: &Document) -> Result<(), Error> {
    let tables = |document: &'_ Document| {
        document.table().get("plants").and_then(toml::Value::as_table).cloned().unwrap_or_default()
    };
    let (known, wanted) = (tables(rig), tables(experiment));
    let names: Vec<&str> = known.keys().map(String::as_str).collect();
    for (name, keys) in &wanted {
        let path = format!("plants.{name}");
        if !known.contains_key(name) {
            let hint = nearest(name, &names).map(|near| format!(" Did you mean `{near}`?")).unwrap_or_default();
            return Err(experiment.refuse_inside(
                &path,
                "",
                format!("is not a plant of the rig `{}`: it has {}.{hint}", rig.name(), list(&names)),
            ));
        }
        let foreign = keys
            .as_table()
            .into_iter()
            .flat_map(toml::Table::keys)
            .find(|key| !["simulated", "shift", "feedthrough", "fit"].contains(&key.as_str()));
        if let Some(key) = foreign {
            let message = "belongs to the rig: an experiment can change only how a plant is simulated, below `simulated`, `shift` and `feedthrough`, and its `fit`";
            return Err(experiment.refuse_inside(&format!("{path}.{key}"), "", message));
        }
    }
    Ok(())
}
