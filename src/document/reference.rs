//! The page of all keys: what a schema says, as tables that people read.
//!
//! Each table of a file is a section; the example beside a key is the first value that it has in the files that come with the program.

use std::collections::BTreeMap;
use std::fmt::Write;

use serde_json::{Map, Value as Json};
use toml::Value;

use super::bounds::short;
use super::schema::{choice, flat, resolve, tag, type_names, words};
use super::{Document, join};

/// The longest example that is shown.
const LONGEST_EXAMPLE: usize = 60;

/// Where a table of a file stands, and what is in it.
struct Section<'a> {
    /// As the file has it: `training.drift`, `layers`.
    path: String,
    /// Whether it is one of a list.
    is_listed: bool,
    /// The key and word that tell it from others at the same place.
    chosen: Option<(&'a str, &'a str)>,
    schema: &'a Json,
    /// The tables that stand there in files.
    samples: Vec<&'a Value>,
}

/// A page that is being written.
struct Page<'a> {
    /// The whole schema, for references.
    root: &'a Json,
    text: String,
    /// The heading under which a definition stands.
    known: BTreeMap<&'a str, String>,
}

/// All keys of a file with this schema, as sections of a Markdown page; examples are from `samples`.
pub fn reference(schema: &Json, samples: &[Document]) -> String {
    let page = Page { root: schema, text: String::new(), known: BTreeMap::new() };
    let tables: Vec<Value> = samples.iter().map(|sample| Value::Table(sample.table().clone())).collect();
    page.written(schema, tables.iter().collect())
}

impl<'a> Page<'a> {
    fn written(mut self, schema: &'a Json, samples: Vec<&'a Value>) -> String {
        let mut waiting = vec![Section { path: String::new(), is_listed: false, chosen: None, schema, samples }];
        while let Some(section) = waiting.pop() {
            let mut inside = self.section(&section);
            inside.reverse();
            waiting.extend(inside);
        }
        self.text
    }

    /// Writes one section; those that stand inside it.
    fn section(&mut self, section: &Section<'a>) -> Vec<Section<'a>> {
        let heading = section.heading();
        let about = section.schema.get("description").and_then(Json::as_str).filter(|_| !section.path.is_empty());
        let _ = write!(self.text, "\n### {heading}\n\n");
        if let Some(about) = about {
            let _ = write!(self.text, "{}\n\n", line(about));
        }
        let Some(properties) = section.schema.get("properties").and_then(Json::as_object) else { return vec![] };
        let required: Vec<&str> = section
            .schema
            .get("required")
            .and_then(Json::as_array)
            .into_iter()
            .flatten()
            .filter_map(Json::as_str)
            .collect();
        self.text.push_str("| key | takes | default | example | meaning |\n|---|---|---|---|---|\n");
        let mut inside = vec![];
        for (key, schema) in properties {
            let samples: Vec<&Value> = section.samples.iter().filter_map(|sample| sample.get(key)).collect();
            let example = samples.iter().find_map(|value| example(value)).unwrap_or_default();
            let (takes, meanings) = self.takes(schema, (&join(&section.path, key), samples), &mut inside);
            let about = schema.get("description").and_then(Json::as_str);
            let about = about.or_else(|| resolve(self.root, schema).get("description").and_then(Json::as_str));
            let meaning = [about.map(line).unwrap_or_default(), meanings].join(" ");
            let default = default(schema, required.contains(&key.as_str()));
            let _ = writeln!(self.text, "| `{key}` | {takes} | {default} | {example} | {} |", meaning.trim());
        }
        inside
    }

    /// What a key takes, and what its words mean; tables go to `inside`.
    fn takes(
        &mut self,
        schema: &'a Json,
        (path, samples): (&str, Vec<&'a Value>),
        inside: &mut Vec<Section<'a>>,
    ) -> (String, String) {
        let name = schema.get("$ref").and_then(Json::as_str).and_then(|name| name.rsplit('/').next());
        let resolved = resolve(self.root, schema);
        if let Some(variants) = choice(resolved) {
            return self.takes_one_of(variants, (path, samples, name), inside);
        }
        let listed = words(resolved);
        if !listed.is_empty() {
            return (quoted(&listed), String::new());
        }
        let is_table = resolved.get("properties").is_some();
        let others = resolved.get("additionalProperties").filter(|others| others.is_object());
        match type_names(resolved).into_iter().find(|name| *name != "null") {
            Some("object") if is_table => {
                let section =
                    Section { path: path.to_owned(), is_listed: false, chosen: None, schema: resolved, samples };
                (self.announce(section, name, inside), String::new())
            }
            Some("object") => {
                let inner =
                    samples.iter().filter_map(|sample| sample.as_table()).flat_map(|table| table.values()).collect();
                let named = others.map(|others| self.takes(others, (&join(path, "NAME"), inner), inside).0);
                (format!("table: NAME = {}", named.unwrap_or_else(|| "any value".to_owned())), String::new())
            }
            Some("array") => {
                let inner: Vec<&Value> = samples.iter().filter_map(|sample| sample.as_array()).flatten().collect();
                let before = inside.len();
                let each = resolved.get("items").map(|items| self.takes(items, (path, inner), inside).0);
                for section in inside[before..].iter_mut().filter(|section| section.path == path) {
                    section.is_listed = true;
                    // It was noted under the heading of a single table.
                    let noted = self.known.values_mut().filter(|heading| **heading == format!("`[{path}]`"));
                    noted.for_each(|heading| *heading = format!("`[[{path}]]`"));
                }
                (format!("list: {}", each.unwrap_or_else(|| "any values".to_owned())), String::new())
            }
            Some("boolean") => ("`true` or `false`".to_owned(), String::new()),
            Some("string") => ("text".to_owned(), String::new()),
            Some(kind) => (numbers(resolved, kind), String::new()),
            None => ("any value".to_owned(), String::new()),
        }
    }

    /// The same of a choice.
    fn takes_one_of(
        &mut self,
        variants: &'a [Json],
        (path, samples, name): (&str, Vec<&'a Value>, Option<&'a str>),
        inside: &mut Vec<Section<'a>>,
    ) -> (String, String) {
        // An optional value is that value.
        let real: Vec<&Json> = variants.iter().filter(|variant| type_names(variant) != ["null"]).collect();
        if let [only] = real[..] {
            return self.takes(only, (path, samples), inside);
        }
        let flat = flat(self.root, variants);
        let flat: Vec<&'a Json> = flat.into_iter().filter(|variant| type_names(variant) != ["null"]).collect();
        let listed: Vec<&str> = flat.iter().copied().flat_map(words).collect();
        let mut all: Vec<String> = if listed.is_empty() { vec![] } else { vec![quoted(&listed)] };
        let said = flat.iter().filter_map(|variant| {
            let about = variant.get("description").and_then(Json::as_str)?;
            Some(format!("`{}`: {}", words(variant).first()?, line(about)))
        });
        let meanings = said.collect::<Vec<_>>().join(" ");
        let tables: Vec<&'a Json> = flat.iter().copied().filter(|variant| tag(variant).is_some()).collect();
        // The variants of a choice that is a definition of its own stand under that.
        let name = name.filter(|_| listed.is_empty()).or_else(|| {
            let mut names = real.iter().filter_map(|variant| variant.get("$ref")?.as_str()?.rsplit('/').next());
            names.find(|name| {
                choice(&self.root["$defs"][*name]).is_some_and(|all| all.iter().any(|one| tag(one).is_some()))
            })
        });
        let mut told = None;
        for table in tables {
            let Some(key) = tag(table) else { continue };
            let Some(word) = table["properties"][key]["const"].as_str() else { continue };
            let of_it = samples.iter().copied().filter(|sample| sample.get(key).and_then(Value::as_str) == Some(word));
            let section = Section {
                path: path.to_owned(),
                is_listed: false,
                chosen: Some((key, word)),
                schema: table,
                samples: of_it.collect(),
            };
            let id = name.map(|name| (name, word));
            told = Some(self.announce_variant(section, id, key, inside));
        }
        all.extend(told);
        for variant in flat.iter().filter(|variant| words(variant).is_empty() && tag(variant).is_none()) {
            all.push(self.takes(variant, (path, samples.clone()), inside).0);
        }
        (all.join(", or "), meanings)
    }

    /// Notes a table for later; how it is said of the key.
    fn announce(&mut self, section: Section<'a>, name: Option<&'a str>, inside: &mut Vec<Section<'a>>) -> String {
        if let Some(heading) = name.and_then(|name| self.known.get(name)) {
            return format!("table, as {heading}");
        }
        if let Some(name) = name {
            self.known.insert(name, section.heading());
        }
        inside.push(section);
        "table".to_owned()
    }

    /// The same of one of several that a key tells apart.
    fn announce_variant(
        &mut self,
        section: Section<'a>,
        id: Option<(&'a str, &'a str)>,
        key: &str,
        inside: &mut Vec<Section<'a>>,
    ) -> String {
        let heading = section.place();
        if let Some((name, _)) = id {
            match self.known.get(name) {
                Some(known) if *known != heading => return format!("table with `{key}`, as {known}"),
                Some(_) => {}
                None => {
                    self.known.insert(name, heading);
                }
            }
        }
        inside.push(section);
        format!("table with `{key}`")
    }
}

impl Section<'_> {
    /// As a file has it: `[training]`, `[[layers]] kind = "linear"`.
    fn heading(&self) -> String {
        let place = self.place();
        match self.chosen {
            Some((key, word)) => format!("{place} with `{key} = \"{word}\"`"),
            None => place,
        }
    }

    /// The same, whichever of those at its place it is.
    fn place(&self) -> String {
        match (self.path.as_str(), self.is_listed) {
            ("", _) => "At the top".to_owned(),
            (path, true) => format!("`[[{path}]]`"),
            (path, false) => format!("`[{path}]`"),
        }
    }
}

/// Which numbers are taken.
fn numbers(schema: &Json, kind: &str) -> String {
    let word = if kind == "integer" { "whole number" } else { "number" };
    // Whole numbers beyond 2^53 are not exact as others.
    let bound = |key: &str| {
        let bound = schema.get(key)?;
        Some(bound.as_i64().map_or_else(|| short(bound.as_f64().unwrap_or_default()), |whole| whole.to_string()))
    };
    let most = bound("maximum").filter(|most| most != "1e30");
    match (bound("exclusiveMinimum"), bound("minimum"), bound("exclusiveMaximum"), most) {
        (Some(above), _, Some(below), _) => format!("{word} above {above} and below {below}"),
        (Some(above), _, _, Some(most)) => format!("{word} above {above}, up to {most}"),
        (Some(above), ..) => format!("{word} above {above}"),
        (_, Some(least), Some(below), _) => format!("{word} from {least} to below {below}"),
        // What is bounded by its kind alone.
        (_, Some(least), _, Some(most)) if least.starts_with('-') && least[1..] == most => word.to_owned(),
        (_, Some(least), _, Some(most)) if least == "-1e30" => format!("{word} up to {most}"),
        (_, Some(least), _, Some(most)) => format!("{word} from {least} to {most}"),
        (_, Some(least), _, None) if least != "-1e30" => format!("{word} from {least} on"),
        _ => word.to_owned(),
    }
}

/// What a key is when it is left out.
fn default(schema: &Json, is_required: bool) -> String {
    match schema.get("default") {
        _ if is_required => "must be given".to_owned(),
        None | Some(Json::Null) => String::new(),
        Some(Json::String(text)) if text.is_empty() => "empty".to_owned(),
        Some(Json::String(text)) => format!("`\"{text}\"`"),
        Some(Json::Object(table)) => if is_empty(table) { "empty" } else { "its defaults" }.to_owned(),
        Some(Json::Array(items)) if items.is_empty() => "empty".to_owned(),
        Some(value) => format!("`{value}`"),
    }
}

fn is_empty(table: &Map<String, Json>) -> bool {
    table.values().all(|value| value.as_object().is_some_and(is_empty))
}

/// A value as a file has it, where that is short and no table.
fn example(value: &Value) -> Option<String> {
    let has_tables = value.as_array().is_some_and(|items| items.iter().any(Value::is_table));
    let text = (!value.is_table() && !has_tables).then(|| line(&value.to_string()))?;
    // A code span cannot hold the mark that ends it.
    (text.chars().count() <= LONGEST_EXAMPLE && !text.contains('`')).then(|| format!("`{text}`"))
}

/// Words of a choice.
fn quoted(words: &[&str]) -> String {
    words.iter().map(|word| format!("`{word:?}`")).collect::<Vec<_>>().join(", ")
}

/// A text on one line of a table.
fn line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ").replace('|', "\\|")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn numbers_are_said_with_their_ends() {
        let said = |mut schema: Json| {
            super::super::bounds::declare(&mut schema);
            let kind = schema["type"].as_str().unwrap().to_owned();
            numbers(&schema, &kind)
        };
        let of = |keys: Json| {
            let mut schema = json!({ "type": "number" });
            schema.as_object_mut().unwrap().extend(keys.as_object().unwrap().clone());
            said(schema)
        };
        assert_eq!(of(json!({})), "number");
        assert_eq!(of(json!({ "minimum": 0 })), "number from 0 on");
        assert_eq!(of(json!({ "maximum": 5 })), "number up to 5");
        assert_eq!(of(json!({ "exclusiveMinimum": 0 })), "number above 0");
        assert_eq!(of(json!({ "exclusiveMinimum": 0, "maximum": 1 })), "number above 0, up to 1");
        assert_eq!(of(json!({ "minimum": 0, "exclusiveMaximum": 1 })), "number from 0 to below 1");
        assert_eq!(said(json!({ "type": "integer", "minimum": 1 })), "whole number from 1 to 1048576");
    }
}
