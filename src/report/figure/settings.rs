//! What decides a run beside its method and seed, and by what runs differ: runs of different settings are no repetitions.

use std::path::Path;

use serde_json::{Map, Value};

use crate::Error;
use crate::record::read_text;

/// Keys that change nothing in what is learned, or that a curve names anyway.
const ASIDE: [&str; 5] = ["seed", "about", "training.method", "run.", "comparison."];
/// Differing keys that a curve's name shows; more would not be read.
const SHOWN: usize = 2;

/// All keys of a run's experiment and rig, flat.
pub fn settings(run: &Path) -> Result<Map<String, Value>, Error> {
    let mut flat = Map::new();
    for (file, prefix) in [("experiment.toml", ""), ("rig.toml", "rig")] {
        let path = run.join(file);
        // Records of other programs may lack them: then nothing is known to differ.
        let Ok(text) = read_text(&path) else { continue };
        let tree: Value = toml::from_str(&text)
            .map_err(|error| Error::Record { path: path.clone(), message: format!("cannot be read: {error}") })?;
        flatten(prefix, &tree, &mut flat);
    }
    flat.retain(|key, _| !ASIDE.iter().any(|aside| key == aside || (aside.ends_with('.') && key.starts_with(aside))));
    Ok(flat)
}

fn flatten(path: &str, value: &Value, flat: &mut Map<String, Value>) {
    let below = |key: &str| if path.is_empty() { key.to_owned() } else { format!("{path}.{key}") };
    match value {
        Value::Object(map) => map.iter().for_each(|(key, value)| flatten(&below(key), value, flat)),
        Value::Array(list) => {
            list.iter().enumerate().for_each(|(index, value)| flatten(&below(&index.to_string()), value, flat));
        }
        leaf => drop(flat.insert(path.to_owned(), leaf.clone())),
    }
}

/// How one of `all` settings is called beside the others: the keys that differ, with its values; empty where none does.
pub fn differing(one: &Map<String, Value>, all: &[&Map<String, Value>]) -> String {
    let mut keys: Vec<&String> = all.iter().flat_map(|settings| settings.keys()).collect();
    keys.sort_unstable();
    keys.dedup();
    keys.retain(|key| all.iter().any(|settings| settings.get(*key) != all[0].get(*key)));
    let word = |key: &str| match one.get(key) {
        None => format!("no {key}"),
        Some(Value::String(text)) => format!("{key} {text}"),
        Some(value) => format!("{key} {value}"),
    };
    let mut words: Vec<String> = keys.iter().take(SHOWN).map(|key| word(key)).collect();
    if SHOWN < keys.len() {
        words.push(format!("and {} more keys", keys.len() - SHOWN));
    }
    words.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_are_told_apart_by_what_differs_but_not_by_seed_and_method() {
        let folder = tempfile::tempdir().unwrap();
        let read = |text: &str| {
            std::fs::write(folder.path().join("experiment.toml"), text).unwrap();
            settings(folder.path()).unwrap()
        };
        let short = read("seed = 1\n[training]\nmethod = \"ideal\"\nsteps = 8\n[run]\nrecord = true");
        let again = read("seed = 2\n[training]\nmethod = \"in-silico\"\nsteps = 8");
        let long = read("seed = 1\n[training]\nmethod = \"ideal\"\nsteps = 16\n[[layers]]\nkind = \"pad\"\nwidth = 3");
        assert_eq!(short, again);
        assert_ne!(short, long);
        assert_eq!(differing(&short, &[&short, &again]), "");
        assert_eq!(differing(&short, &[&short, &long]), "no layers.0.kind, no layers.0.width, and 1 more keys");
        let wide = read("[training]\nsteps = 16");
        assert_eq!(differing(&wide, &[&short, &wide]), "training.steps 16");
    }
}
