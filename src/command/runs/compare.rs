//! `pnnlab runs compare`: runs side by side.

use std::path::PathBuf;

use clap::Args;
use comfy_table::{Table, presets};
use serde_json::{Map, Value, json};

use super::{Named, find_all};
use crate::Error;
use crate::output::table::print;
use crate::record::{Catalog, read_text};
use crate::scores::ObjectiveKind;

/// `pnnlab runs compare`.
#[derive(Debug, Args)]
pub struct CompareArgs {
    /// The runs: their names, or their folders
    #[arg(required = true, num_args = 2..)]
    run: Vec<PathBuf>,
    /// Prints one JSON object on standard output
    #[arg(long)]
    json: bool,
}

/// What is compared whether it differs or not.
fn results(runs: &[Named]) -> Vec<String> {
    let kinds = ObjectiveKind::JUDGED.into_iter();
    let kinds = kinds.filter(|kind| runs.iter().any(|run| ObjectiveKind::of_record(&run.facts).judged() == *kind));
    let scores = kinds.flat_map(ObjectiveKind::scores);
    let scores = scores.flat_map(|score| ["test", "believed"].map(|part| score.key(part)));
    let rest = ["shots", "plant_seconds", "wall_seconds", "range_use", "clipping_rate"].map(str::to_owned);
    std::iter::once("state".to_owned()).chain(scores).chain(rest).collect()
}

/// Compares.
pub fn run(catalog: &Catalog, arguments: &CompareArgs) -> Result<(), Error> {
    let runs = find_all(catalog, &arguments.run)?;
    let settings = runs.iter().map(settings).collect::<Result<Vec<_>, _>>()?;
    let results = results(&runs);
    let mut keys: Vec<&String> = settings.iter().flat_map(Map::keys).collect();
    keys.sort_unstable();
    keys.dedup();
    let of = |map: &Map<String, Value>, key: &str| map.get(key).cloned().unwrap_or(Value::Null);
    keys.retain(|key| settings.iter().any(|one| of(one, key) != of(&settings[0], key)));
    if arguments.json {
        let each = runs.iter().zip(&settings).map(|(run, settings)| {
            let results: Map<String, Value> = results.iter().map(|key| (key.clone(), run.facts[key].clone())).collect();
            let differs: Map<String, Value> = keys.iter().map(|key| ((*key).clone(), of(settings, key))).collect();
            json!({ "run": run.name, "differs": differs, "results": results })
        });
        say!("{:#}", json!({ "runs": each.collect::<Vec<_>>() }));
        return Ok(());
    }
    let mut table = Table::new();
    table.load_preset(presets::UTF8_HORIZONTAL_ONLY);
    table.set_header(std::iter::once(String::new()).chain(runs.iter().map(|run| run.name.clone())));
    let words = |value: &Value| match value {
        Value::Null => "–".to_owned(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    };
    for key in keys {
        table.add_row(std::iter::once(key.clone()).chain(settings.iter().map(|one| words(&of(one, key)))));
    }
    for key in &results {
        table.add_row(std::iter::once(key.clone()).chain(runs.iter().map(|run| words(&run.facts[key]))));
    }
    print(&mut table, &[]);
    Ok(())
}

/// All keys of experiment and rig, and what else decides a run, flat.
pub(super) fn settings(run: &Named) -> Result<Map<String, Value>, Error> {
    let mut flat = Map::new();
    for (file, prefix) in [("experiment.toml", ""), ("rig.toml", "rig.")] {
        let path = run.folder.join(file);
        let text = read_text(&path).map_err(Error::record(&path, "cannot be read"))?;
        let tree: Value = toml::from_str(&text)
            .map_err(|error| Error::Record { path: path.clone(), message: format!("cannot be read: {error}") })?;
        flatten(prefix, &tree, &mut flat);
    }
    for key in ["version", "data", "data_fingerprint"] {
        flat.insert(key.to_owned(), run.facts[key].clone());
    }
    flat.insert("program.commit".to_owned(), run.facts["program"]["commit"].clone());
    flat.insert("git.commit".to_owned(), run.facts["git"]["commit"].clone());
    Ok(flat)
}

fn flatten(path: &str, value: &Value, flat: &mut Map<String, Value>) {
    let below = |key: &str| {
        if path.is_empty() || path.ends_with('.') { format!("{path}{key}") } else { format!("{path}.{key}") }
    };
    match value {
        Value::Object(map) => map.iter().for_each(|(key, value)| flatten(&below(key), value, flat)),
        Value::Array(list) => {
            list.iter().enumerate().for_each(|(index, value)| flatten(&below(&index.to_string()), value, flat));
        }
        leaf => drop(flat.insert(path.to_owned(), leaf.clone())),
    }
}
