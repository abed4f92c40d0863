//! A walk through a document along its schema: every key, type, word and number is checked.

use serde_json::Value as Json;
use toml::{Table, Value};

use super::bounds::complaint;
use super::schema::{choice, flat, resolve, tag, type_names, words};
use super::{Document, join, list, nearest};
use crate::Error;

/// The most tables in one list, such as `[[layers]]`: nobody writes more by hand.
const MOST_TABLES: usize = 1000;

/// A walk through a document along its schema.
pub struct Walk<'a> {
    /// The whole schema, for references.
    pub root: &'a Json,
    /// The document, for errors.
    pub document: &'a Document,
}

impl Walk<'_> {
    /// Checks `value` at `path` against `schema`.
    pub fn value(&self, schema: &Json, value: &Value, path: &str) -> Result<(), Error> {
        let schema = resolve(self.root, schema);
        if let Some(variants) = choice(schema) {
            return self.one_of(variants, value, path);
        }
        if let Some(allowed) =
            schema.get("const").map(std::slice::from_ref).or_else(|| schema.get("enum")?.as_array().map(Vec::as_slice))
        {
            return self.word(&allowed.iter().filter_map(Json::as_str).collect::<Vec<_>>(), value, path);
        }
        match (type_names(schema).first().copied(), value) {
            (Some("object"), Value::Table(table)) => self.table(schema, table, path),
            (Some("array"), Value::Array(items)) => self.items(schema, items, path),
            (Some("integer" | "number"), Value::Integer(number)) => {
                self.bounded(complaint(schema, *number as f64, &number.to_string()), path)
            }
            (Some("number"), Value::Float(number)) => {
                self.bounded(complaint(schema, *number, &number.to_string()), path)
            }
            (Some("string"), Value::String(_)) | (Some("boolean"), Value::Boolean(_)) | (None, _) => Ok(()),
            (Some(expected), _) => {
                let message = format!("is {}, but {} was expected", describe(value), noun(expected));
                Err(self.document.refuse(path, message))
            }
        }
    }

    /// Refuses a number that is not within its bounds.
    fn bounded(&self, complaint: Option<String>, path: &str) -> Result<(), Error> {
        complaint.map_or(Ok(()), |complaint| Err(self.document.refuse(path, complaint)))
    }

    /// Checks a tagged choice, a choice of words, or an optional value.
    fn one_of(&self, variants: &[Json], value: &Value, path: &str) -> Result<(), Error> {
        let variants = flat(self.root, variants);
        let listed: Vec<&str> = variants.iter().copied().flat_map(words).collect();
        let is_other = |variant: &&Json| words(variant).is_empty() && type_names(variant) != ["null"];
        let variants: Vec<&Json> = variants.into_iter().filter(is_other).collect();
        // A word, or a table in its place.
        if !listed.is_empty() && (variants.is_empty() || !value.is_table()) {
            return self.word(&listed, value, path);
        }
        let Some(tag) = variants.first().and_then(|variant| tag(variant)) else {
            // Of a choice of kinds the one that the value is, else the first.
            let fits = |variant: &&&Json| type_names(variant).contains(&kind(value));
            let real = variants.iter().find(fits).or_else(|| variants.first());
            return real.map_or(Ok(()), |schema| self.value(schema, value, path));
        };
        let Value::Table(table) = value else {
            return Err(self
                .document
                .refuse(path, format!("is {}, but a table with a `{tag}` was expected", describe(value))));
        };
        let known: Vec<&str> =
            variants.iter().filter_map(|variant| variant["properties"][tag]["const"].as_str()).collect();
        let Some(chosen) = table.get(tag) else {
            return Err(self.document.refuse(path, format!("has no `{tag}`: give one of {}", list(&known))));
        };
        self.word(&known, chosen, &join(path, tag))?;
        let variant = variants.iter().find(|variant| variant["properties"][tag]["const"].as_str() == chosen.as_str());
        variant.map_or(Ok(()), |variant| self.table(variant, table, path))
    }

    /// Checks a word against those allowed.
    fn word(&self, allowed: &[&str], value: &Value, path: &str) -> Result<(), Error> {
        match value.as_str() {
            Some(word) if allowed.contains(&word) => Ok(()),
            Some(word) => {
                let hint = nearest(word, allowed).map(|near| format!(" Did you mean `{near}`?")).unwrap_or_default();
                Err(self.document.refuse(path, format!("is `{word}`, but it must be one of {}.{hint}", list(allowed))))
            }
            None => Err(self
                .document
                .refuse(path, format!("is {}, but it must be one of {}", describe(value), list(allowed)))),
        }
    }

    /// Checks the keys of a table.
    fn table(&self, schema: &Json, table: &Table, path: &str) -> Result<(), Error> {
        let empty = serde_json::Map::new();
        let properties = schema.get("properties").and_then(Json::as_object).unwrap_or(&empty);
        let others = schema.get("additionalProperties").filter(|others| **others != Json::Bool(false));
        for (key, value) in table {
            let inside = join(path, key);
            match properties.get(key).or(others) {
                Some(Json::Bool(_)) => {}
                Some(schema) => self.value(schema, value, &inside)?,
                None => {
                    return Err(self.unknown(key, &properties.keys().map(String::as_str).collect::<Vec<_>>(), &inside));
                }
            }
        }
        let required = schema.get("required").and_then(Json::as_array).into_iter().flatten().filter_map(Json::as_str);
        for key in required {
            if !table.contains_key(key) {
                return Err(self.document.refuse(path, format!("lacks the key `{key}`")));
            }
        }
        Ok(())
    }

    /// The error for a key that does not exist.
    fn unknown(&self, key: &str, known: &[&str], path: &str) -> Error {
        let hint = nearest(key, known).map(|near| format!(" Did you mean `{near}`?")).unwrap_or_default();
        let list = if known.is_empty() {
            "no keys are allowed here".to_owned()
        } else {
            format!("the keys here are {}", list(known))
        };
        self.document.refuse(path, format!("is not a known key: {list}.{hint}"))
    }

    /// Checks the items of an array.
    fn items(&self, schema: &Json, items: &[Value], path: &str) -> Result<(), Error> {
        let Some(each) = schema.get("items") else { return Ok(()) };
        if MOST_TABLES < items.len() && items.iter().any(Value::is_table) {
            let message = format!("are {} tables: at most {MOST_TABLES} make sense in one list", items.len());
            return Err(self.document.refuse(path, message));
        }
        items.iter().enumerate().try_for_each(|(index, item)| self.value(each, item, &join(path, &index.to_string())))
    }
}

/// The JSON type of a value.
fn kind(value: &Value) -> &'static str {
    match value {
        Value::String(_) | Value::Datetime(_) => "string",
        Value::Integer(_) => "integer",
        Value::Float(_) => "number",
        Value::Boolean(_) => "boolean",
        Value::Array(_) => "array",
        Value::Table(_) => "object",
    }
}

/// A value in a sentence.
fn describe(value: &Value) -> String {
    match value {
        Value::String(text) => format!("the string \"{text}\""),
        Value::Integer(number) => format!("the number {number}"),
        Value::Float(number) => format!("the number {number}"),
        Value::Boolean(truth) => format!("{truth}"),
        Value::Datetime(time) => format!("the time {time}"),
        Value::Array(_) => "an array".to_owned(),
        Value::Table(_) => "a table".to_owned(),
    }
}

/// A JSON type in a sentence.
fn noun(kind: &str) -> &'static str {
    match kind {
        "integer" => "a whole number",
        "number" => "a number",
        "string" => "a string",
        "boolean" => "`true` or `false`",
        "array" => "an array",
        _ => "a table",
    }
}
