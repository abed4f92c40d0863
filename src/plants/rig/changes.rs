//! What an experiment may change of a rig.

use crate::Error;
use crate::document::{Document, list, nearest};

/// What an experiment may change of a plant: how it is simulated, and its fit.
const FREE: [&str; 4] = ["simulated", "shift", "feedthrough", "fit"];
/// Which of that is of simulated plants alone.
const SIMULATION: [&str; 3] = ["simulated", "shift", "feedthrough"];

/// The tables of the plants in a document.
fn tables(document: &Document) -> toml::Table {
    document.table().get("plants").and_then(toml::Value::as_table).cloned().unwrap_or_default()
}

/// What an experiment says of plants, as it holds on another bench, which is a rig file: what the file says goes before, and of a plant that it does
/// not simulate no simulation is left.
pub fn bench_first(experiment: &mut Document, mut bench: Document) {
    for (name, keys) in tables(&bench) {
        let keys: Vec<String> = keys.as_table().into_iter().flat_map(toml::Table::keys).cloned().collect();
        // The rest is the rig's alone, and an experiment that said it would be refused.
        for key in keys.iter().filter(|key| !FREE.contains(&key.as_str())) {
            bench.leave_out(&format!("plants.{name}.{key}"));
        }
        if !keys.iter().any(|key| key == "simulated") {
            for key in SIMULATION {
                experiment.leave_out(&format!("plants.{name}.{key}"));
            }
        }
    }
    experiment.overlay(&bench, "plants");
}

/// Refuses an experiment that changes a plant which the rig does not have, or more of it than its simulation.
pub fn known_plants(rig: &Document, experiment: &Document) -> Result<(), Error> {
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
        let foreign = keys.as_table().into_iter().flat_map(toml::Table::keys).find(|key| !FREE.contains(&key.as_str()));
        if let Some(key) = foreign {
            let message = "belongs to the rig: an experiment can change only how a plant is simulated, below `simulated`, `shift` and `feedthrough`, and its `fit`";
            return Err(experiment.refuse_inside(&format!("{path}.{key}"), "", message));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_bench_goes_before_what_an_experiment_lays_over_a_rig() {
        let document = |text: &str| Document::parse("a.toml", text).unwrap();
        let mut experiment = document(
            "[plants.a.simulated]\nsamples = 64\nplant_seed = 1\n[plants.b]\nfit = \"auto\"\n[plants.b.simulated]\nsamples = 8\n\
             [plants.b.shift]\ngain = 0.1\n[plants.c.simulated]\nsamples = 4\n",
        );
        let bench = "name = \"bench\"\n[plants.a.simulated]\nplant_seed = 2\n[plants.a.limits]\nshots = 9\n[plants.b]\nbench = { driver = \"x\" }\n";
        bench_first(&mut experiment, document(bench));
        let wanted = "[plants.a.simulated]\nsamples = 64\nplant_seed = 2\n[plants.b]\nfit = \"auto\"\n[plants.c.simulated]\nsamples = 4\n";
        assert_eq!(experiment.table(), document(wanted).table());
    }
}
