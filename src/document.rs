//! A TOML file that people write: read, overridden by `--set`, checked against its schema, then deserialized.
//!
//! Whatever is wrong in it is refused with the file, the line, the key, and the nearest key that exists. The schema is
//! the one that `pnnlab schema` prints, so the two cannot disagree.

use std::collections::BTreeMap;
use std::path::Path;

use schemars::{JsonSchema, Schema, schema_for};
use serde::de::DeserializeOwned;
use serde_json::Value as Json;
use toml::de::{DeTable, DeValue};
use toml::{Table, Value};

use crate::Error;

/// Where a value was written.
#[derive(Debug, Clone, PartialEq)]
enum Place {
    /// `file:line`.
    Line(String, usize),
    /// A `--set` argument.
    Flag(String),
}

/// A TOML file with the place of each of its values.
#[derive(Debug, Clone)]
pub struct Document {
    name: String,
    table: Table,
    places: BTreeMap<String, Place>,
}

impl Document {
    /// Reads the file at `path`.
    pub fn read(path: &Path) -> Result<Self, Error> {
        let name = path.display().to_string();
        let text = std::fs::read_to_string(path).map_err(|source| Error::Unreadable { file: name.clone(), source })?;
        Self::parse(&name, &text)
    }

    /// Parses `text`, calling it `name` in errors.
    pub fn parse(name: &str, text: &str) -> Result<Self, Error> {
        let malformed = |error: toml::de::Error| Error::Malformed {
            place: format!("{name}:{}", error.span().map_or(1, |span| line(text, span.start))),
            message: error.message().to_owned(),
        };
        let spanned = DeTable::parse(text).map_err(malformed)?;
        let mut places = BTreeMap::new();
        note_places(spanned.get_ref(), "", &mut |path, start| {
            places.insert(path, Place::Line(name.to_owned(), line(text, start)));
        });
        let table = toml::from_str(text).map_err(malformed)?;
        Ok(Self { name: name.to_owned(), table, places })
    }

    /// Applies one `--set KEY=VALUE`: `layers.0.width=32`. What is not TOML is taken as a string.
    pub fn set(&mut self, assignment: &str) -> Result<(), Error> {
        let flag = || format!("--set {assignment}");
        let Some((path, text)) =
            assignment.split_once('=').filter(|(path, _)| path.trim().split('.').all(|part| !part.is_empty()))
        else {
            return Err(Error::Malformed {
                place: flag(),
                message: "write it as KEY=VALUE, such as training.steps=200".into(),
            });
        };
        let (path, text) = (path.trim(), text.trim());
        let parsed =
            toml::from_str::<Table>(&format!("value = {text}")).ok().and_then(|mut table| table.remove("value"));
        let value = parsed.unwrap_or_else(|| Value::String(text.to_owned()));
        put(&mut self.table, path, value).map_err(|message| Error::Malformed { place: flag(), message })?;
        self.places
            .retain(|known, _| !known.strip_prefix(path).is_some_and(|rest| rest.is_empty() || rest.starts_with('.')));
        self.places.insert(path.to_owned(), Place::Flag(flag()));
        Ok(())
    }

    /// Takes a key out of a table, if both are there.
    pub fn leave_out(&mut self, table: &str, key: &str) {
        if let Some(Value::Table(table)) = self.table.get_mut(table) {
            table.remove(key);
        }
    }

    /// Lays the table at `path` of `other` over the table at `path` here, key by key; places come along.
    pub fn overlay(&mut self, other: &Self, path: &str) {
        if let (Some(Value::Table(over)), Some(Value::Table(under))) = (other.table.get(path), self.table.get_mut(path))
        {
            merge(under, over);
        }
        let within = |known: &str| known.strip_prefix(path).is_some_and(|rest| rest.starts_with('.'));
        let places = other.places.iter().filter(|(known, _)| within(known));
        self.places.extend(places.map(|(path, place)| (path.clone(), place.clone())));
    }

    /// Takes the table at `key` out and lays it over the rest, value by value: `layers.0.times` inside reaches into the
    /// array `layers`. Errors keep the lines where the values were written.
    pub fn lay(&mut self, key: &str) -> Result<(), Error> {
        let Some(Value::Table(over)) = self.table.remove(key) else { return Ok(()) };
        let mut leaves = Vec::new();
        note_leaves(&over, "", &mut leaves);
        for (path, value) in leaves {
            let place = join(key, &path);
            put(&mut self.table, &path, value).map_err(|message| self.refuse(&place, message))?;
            let inside = |known: &str, path: &str| {
                known.strip_prefix(path).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
            };
            self.places.retain(|known, _| !inside(known, &path));
            let moved: Vec<(String, Place)> = self
                .places
                .iter()
                .filter(|(known, _)| inside(known, &place))
                .map(|(known, at)| (known[key.len() + 1..].to_owned(), at.clone()))
                .collect();
            self.places.extend(moved);
        }
        Ok(())
    }

    /// The name that errors use.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The raw values.
    pub fn table(&self) -> &Table {
        &self.table
    }

    /// Checks every key and type against the schema of `T`, then reads it.
    pub fn check<T: JsonSchema + DeserializeOwned>(&self) -> Result<T, Error> {
        let schema = schema_for!(T);
        let walk = Walk { root: &schema, document: self };
        walk.value(schema.as_value(), &Value::Table(self.table.clone()), "")?;
        Value::Table(self.table.clone())
            .try_into()
            .map_err(|error: toml::de::Error| self.refuse("", error.message().trim().to_owned()))
    }

    /// An error about the value at `path`: with its file and line, or its `--set`.
    pub fn refuse(&self, path: &str, message: impl Into<String>) -> Error {
        let mut known = path;
        let place = loop {
            match (self.places.get(known), known.rsplit_once('.')) {
                (Some(Place::Line(file, line)), _) => break format!("{file}:{line}"),
                (Some(Place::Flag(flag)), _) => break flag.clone(),
                (None, Some((parent, _))) => known = parent,
                (None, None) => break self.name.clone(),
            }
        };
        Error::Refused { place, key: path.to_owned(), message: message.into() }
    }
}

/// The schema of `T` as JSON.
pub fn schema<T: JsonSchema>() -> Json {
    schema_for!(T).to_value()
}

/// The number of the line that holds byte `offset`.
fn line(text: &str, offset: usize) -> usize {
    text[..text.floor_char_boundary(offset)].matches('\n').count() + 1
}

/// Tells `note` the path and offset of every value.
fn note_places(table: &DeTable<'_>, prefix: &str, note: &mut impl FnMut(String, usize)) {
    for (key, value) in table {
        let path = join(prefix, key.get_ref());
        note(path.clone(), key.span().start);
        note_inside(value.get_ref(), &path, note);
    }
}

/// Goes into tables and arrays.
fn note_inside(value: &DeValue<'_>, path: &str, note: &mut impl FnMut(String, usize)) {
    match value {
        DeValue::Table(table) => note_places(table, path, note),
        DeValue::Array(items) => {
            for (index, item) in items.iter().enumerate() {
                let path = join(path, &index.to_string());
                note(path.clone(), item.span().start);
                note_inside(item.get_ref(), &path, note);
            }
        }
        _ => {}
    }
}

/// `prefix.key`, or `key` at the top.
fn join(prefix: &str, key: &str) -> String {
    if prefix.is_empty() { key.to_owned() } else { format!("{prefix}.{key}") }
}

/// Puts `value` at a dotted path, making tables on the way.
fn put(table: &mut Table, path: &str, value: Value) -> Result<(), String> {
    let Some((first, rest)) = path.split_once('.') else {
        table.insert(path.to_owned(), value);
        return Ok(());
    };
    match table.entry(first.to_owned()).or_insert_with(|| Value::Table(Table::new())) {
        Value::Table(inner) => put(inner, rest, value),
        Value::Array(items) => put_in_array(items, first, rest, value),
        _ => Err(format!("`{first}` is a single value: it has no `{rest}` inside")),
    }
}

/// Puts `value` at `index` or `index.path` of an array.
fn put_in_array(items: &mut [Value], name: &str, path: &str, value: Value) -> Result<(), String> {
    let (index, rest) = path.split_once('.').map_or((path, None), |(index, rest)| (index, Some(rest)));
    let count = items.len();
    let Some(item) = index.parse::<usize>().ok().and_then(|index| items.get_mut(index)) else {
        return Err(format!("`{name}` has no item `{index}`: it has {count}, counted from 0"));
    };
    match (rest, item) {
        (None, item) => {
            *item = value;
            Ok(())
        }
        (Some(rest), Value::Table(inner)) => put(inner, rest, value),
        (Some(rest), _) => Err(format!("`{name}.{index}` is a single value: it has no `{rest}` inside")),
    }
}

/// Lays `over` on `under`, table by table.
fn merge(under: &mut Table, over: &Table) {
    for (key, value) in over {
        match (under.get_mut(key), value) {
            (Some(Value::Table(under)), Value::Table(over)) => merge(under, over),
            _ => {
                under.insert(key.clone(), value.clone());
            }
        }
    }
}

/// The path and value of all that is not a table.
fn note_leaves(table: &Table, prefix: &str, leaves: &mut Vec<(String, Value)>) {
    for (key, value) in table {
        let path = join(prefix, key);
        match value {
            Value::Table(inner) => note_leaves(inner, &path, leaves),
            _ => leaves.push((path, value.clone())),
        }
    }
}

/// A walk through a document along its schema.
struct Walk<'a> {
    root: &'a Schema,
    document: &'a Document,
}

impl Walk<'_> {
    /// Checks `value` at `path` against `schema`.
    fn value(&self, schema: &Json, value: &Value, path: &str) -> Result<(), Error> {
        let schema = self.resolve(schema);
        if let Some(variants) = schema.get("oneOf").or_else(|| schema.get("anyOf")).and_then(Json::as_array) {
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
            (Some("integer"), Value::Integer(number))
                if schema.get("minimum").and_then(Json::as_i64).is_some_and(|least| *number < least) =>
            {
                Err(self.document.refuse(path, format!("is {number}, but it cannot be negative")))
            }
            (Some("number"), Value::Float(number)) if !number.is_finite() => {
                Err(self.document.refuse(path, format!("is {number}, but a finite number was expected")))
            }
            (Some("integer" | "number"), Value::Integer(_))
            | (Some("number"), Value::Float(_))
            | (Some("string"), Value::String(_))
            | (Some("boolean"), Value::Boolean(_))
            | (None, _) => Ok(()),
            (Some(expected), _) => {
                let message = format!("is {}, but {} was expected", describe(value), noun(expected));
                Err(self.document.refuse(path, message))
            }
        }
    }

    /// Follows a reference.
    fn resolve<'s>(&'s self, schema: &'s Json) -> &'s Json {
        let target = schema.get("$ref").and_then(Json::as_str).and_then(|reference| reference.strip_prefix('#'));
        target.and_then(|pointer| self.root.as_value().pointer(pointer)).unwrap_or(schema)
    }

    /// Checks a tagged choice, a choice of words, or an optional value.
    fn one_of(&self, variants: &[Json], value: &Value, path: &str) -> Result<(), Error> {
        let variants: Vec<&Json> = variants.iter().map(|variant| self.resolve(variant)).collect();
        let words: Vec<&str> = variants.iter().flat_map(|variant| words(variant)).collect();
        if !words.is_empty() {
            return self.word(&words, value, path);
        }
        let Some(tag) = variants.first().and_then(|variant| tag(variant)) else {
            let real = variants.iter().find(|variant| type_names(variant) != ["null"]);
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
        items.iter().enumerate().try_for_each(|(index, item)| self.value(each, item, &join(path, &index.to_string())))
    }
}

/// The words of a schema that allows nothing else.
fn words(schema: &Json) -> Vec<&str> {
    let constant = schema.get("const").and_then(Json::as_str);
    let listed = schema.get("enum").and_then(Json::as_array).into_iter().flatten().filter_map(Json::as_str);
    constant.into_iter().chain(listed).collect()
}

/// The property by which a variant is told from the others.
fn tag(variant: &Json) -> Option<&str> {
    let properties = variant.get("properties")?.as_object()?;
    properties.iter().find(|(_, schema)| schema.get("const").is_some()).map(|(name, _)| name.as_str())
}

/// The types that a schema allows.
fn type_names(schema: &Json) -> Vec<&str> {
    match schema.get("type") {
        Some(Json::String(name)) => vec![name],
        Some(Json::Array(names)) => names.iter().filter_map(Json::as_str).collect(),
        _ => vec![],
    }
}

/// The known word that was probably meant.
pub fn nearest<'a>(word: &str, known: &[&'a str]) -> Option<&'a str> {
    let scored = known.iter().map(|candidate| (strsim::damerau_levenshtein(word, candidate), *candidate));
    let (distance, candidate) = scored.min_by_key(|(distance, _)| *distance)?;
    (distance <= 1 + word.chars().count() / 3).then_some(candidate)
}

/// Words in back quotes, with commas.
pub fn list(words: &[&str]) -> String {
    words.iter().map(|word| format!("`{word}`")).collect::<Vec<_>>().join(", ")
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

#[cfg(test)]
mod tests;
