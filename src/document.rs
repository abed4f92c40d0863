//! A TOML file that people write: read, overridden by `--set`, checked against its schema, then deserialized.
//!
//! Whatever is wrong in it is refused with the file, the line, the key, and the nearest key that exists. The schema is
//! the one that `pnnlab schema` prints, so the two cannot disagree.

// Circle with document/: one reader of one document; split for its length.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use drivers::{MEBIBYTE, read_text_bounded};
use schemars::{JsonSchema, schema_for};
use serde::de::DeserializeOwned;
use serde_json::Value as Json;
use toml::de::{DeTable, DeValue};
use toml::{Table, Value};

use crate::Error;

mod bounds;
mod names;
mod nesting;
mod reference;
mod schema;
mod walk;

pub use names::name_complaint;
pub use reference::reference;

use nesting::{DEEPEST, too_deep};
use walk::Walk;

/// The most that is read of a file that people write.
const LONGEST: u64 = 4 * MEBIBYTE;

/// Where a value was written.
#[derive(Debug, Clone, PartialEq)]
enum Place {
    /// `file:line`.
    Line(Arc<str>, usize),
    /// A `--set` argument.
    Flag(Arc<str>),
}

/// A TOML file with the place of each of its values.
#[derive(Debug, Clone)]
pub struct Document {
    name: String,
    table: Table,
    places: BTreeMap<String, Place>,
}

impl Document {
    /// Reads the file at `path`; where it cannot be read, the error gives `advice`.
    pub fn read(path: &Path, advice: &'static str) -> Result<Self, Error> {
        let name = path.display().to_string();
        let unreadable = |source| Error::Unreadable { file: name.clone(), advice, source };
        let text = read_text_bounded(path, LONGEST).map_err(unreadable)?;
        Self::parse(&name, &text)
    }

    /// Parses `text`, calling it `name` in errors.
    pub fn parse(name: &str, text: &str) -> Result<Self, Error> {
        if let Some(line) = too_deep(text) {
            return Err(Error::Malformed { place: format!("{name}:{line}"), message: deeper() });
        }
        let lines = Lines::of(text);
        let malformed = |error: toml::de::Error| Error::Malformed {
            place: format!("{name}:{}", error.span().map_or(1, |span| lines.at(span.start))),
            message: error.message().to_owned(),
        };
        let spanned = DeTable::parse(text).map_err(malformed)?;
        let (mut places, file) = (BTreeMap::new(), Arc::from(name));
        let mut overflow = None;
        note_places(spanned.get_ref(), "", &mut |path, start, value| {
            if overflow.is_none() && overflows(value) {
                let place = format!("{name}:{}", lines.at(start));
                overflow = Some(Error::Refused { place, key: path.clone(), message: too_large() });
            }
            places.insert(path, Place::Line(Arc::clone(&file), lines.at(start)));
        });
        if let Some(error) = overflow {
            return Err(error);
        }
        let table = toml::from_str(text).map_err(malformed)?;
        Ok(Self { name: name.to_owned(), table, places })
    }

    /// Applies one `--set KEY=VALUE`: `layers.0.width=32`. What is not TOML is taken as a string.
    pub fn set(&mut self, assignment: &str) -> Result<(), Error> {
        let flag = format!("--set {}", shown(assignment));
        let malformed = |message: String| Error::Malformed { place: flag.clone(), message };
        let Some((path, text)) =
            assignment.split_once('=').filter(|(path, _)| path.trim().split('.').all(|part| !part.is_empty()))
        else {
            return Err(malformed("write it as KEY=VALUE, such as training.steps=200".into()));
        };
        let (path, text) = (path.trim(), text.trim());
        if text.contains(char::is_control) || path.contains(char::is_control) {
            return Err(malformed("holds more than one line: give a --set for each key".into()));
        }
        if DEEPEST < path.split('.').count() || too_deep(&format!("value = {text}")).is_some() {
            return Err(malformed(deeper()));
        }
        put(&mut self.table, path, assigned(text).map_err(malformed)?).map_err(malformed)?;
        self.forget_places(path);
        self.places.insert(path.to_owned(), Place::Flag(flag.as_str().into()));
        Ok(())
    }

    /// The places of the value at `path`, and of all that is inside, are no longer where it is from.
    fn forget_places(&mut self, path: &str) {
        for place in self.places_within(path) {
            self.places.remove(&place);
        }
    }

    /// `path`, and the paths inside it, that have places.
    fn places_within(&self, path: &str) -> Vec<String> {
        let (first, last) = (format!("{path}."), format!("{path}/"));
        let itself = self.places.contains_key(path).then(|| path.to_owned());
        itself.into_iter().chain(self.places.range(first..last).map(|(place, _)| place.clone())).collect()
    }

    /// Takes the value at `path` out, if it is there.
    pub fn leave_out(&mut self, path: &str) {
        let mut parts = path.split('.');
        let Some(key) = parts.next_back() else { return };
        let mut table = Some(&mut self.table);
        for part in parts {
            table = table.and_then(|table| table.get_mut(part)).and_then(Value::as_table_mut);
        }
        if let Some(table) = table {
            table.remove(key);
        }
        self.forget_places(path);
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
            self.forget_places(&path);
            let moved: Vec<(String, Place)> = self
                .places_within(&place)
                .into_iter()
                .filter_map(|known| Some((known[key.len() + 1..].to_owned(), self.places.get(&known)?.clone())))
                .collect();
            self.places.extend(moved);
        }
        Ok(())
    }

    /// Whether a `--set` gives the value at `path`.
    pub fn is_set(&self, path: &str) -> bool {
        matches!(self.places.get(path), Some(Place::Flag(_)))
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
        let schema = schema::<T>();
        Walk { root: &schema, document: self }.value(&schema, &Value::Table(self.table.clone()), "")?;
        Value::Table(self.table.clone())
            .try_into()
            .map_err(|error: toml::de::Error| self.refuse("", error.message().trim().to_owned()))
    }

    /// An error about the value at `path`: with its file and line, or its `--set`.
    pub fn refuse(&self, path: &str, message: impl Into<String>) -> Error {
        Error::Refused { place: self.place(path), key: path.to_owned(), message: message.into() }
    }

    /// The same about the table at `path` where the value of `key`, somewhere in it, is what is wrong: the place is that of this value.
    /// Where a `--set` changes other values of the table, it is named too: the value may make no sense only beside these.
    pub fn refuse_inside(&self, path: &str, key: &str, message: impl Into<String>) -> Error {
        let within = self.places_within(path);
        let is_it = |known: &&String| known.strip_suffix(key).is_some_and(|rest| rest.ends_with('.'));
        let set: Vec<String> =
            within.iter().filter(|known| self.is_set(known)).map(|known| self.place(known)).collect();
        let place = match within.iter().find(is_it) {
            Some(inside) if set.is_empty() || self.is_set(inside) => self.place(inside),
            Some(inside) => format!("{}, beside {}", self.place(inside), set.join(", ")),
            None if set.is_empty() => self.place(path),
            None => set.join(", "),
        };
        Error::Refused { place, key: path.to_owned(), message: message.into() }
    }

    /// Where the value at `path` stands, or the table around it.
    fn place(&self, path: &str) -> String {
        let mut known = path;
        loop {
            match (self.places.get(known), known.rsplit_once('.')) {
                (Some(Place::Line(file, line)), _) => return format!("{file}:{line}"),
                (Some(Place::Flag(flag)), _) => return flag.to_string(),
                (None, Some((parent, _))) => known = parent,
                (None, None) => return self.name.clone(),
            }
        }
    }
}

/// The schema of `T` as JSON, with the bounds of every number.
pub fn schema<T: JsonSchema>() -> Json {
    let mut schema = schema_for!(T).to_value();
    bounds::declare(&mut schema);
    schema
}

/// Where the lines of a text begin.
struct Lines(Vec<usize>);

impl Lines {
    fn of(text: &str) -> Self {
        Self(text.match_indices('\n').map(|(end, _)| end + 1).collect())
    }

    /// The number of the line that holds byte `offset`.
    fn at(&self, offset: usize) -> usize {
        self.0.partition_point(|start| *start <= offset) + 1
    }
}

/// The value that the right side of a `--set` means.
fn assigned(text: &str) -> Result<Value, String> {
    let parsed = toml::from_str::<Table>(&format!("value = {text}")).ok().and_then(|mut table| table.remove("value"));
    let digits = text.trim_start_matches(['+', '-']);
    if parsed.is_none() && digits.len() > 18 && digits.chars().all(|digit| digit.is_ascii_digit() || digit == '_') {
        return Err(too_large());
    }
    Ok(parsed.unwrap_or_else(|| Value::String(text.to_owned())))
}

/// What is said of keys that are nested too deep.
fn deeper() -> String {
    format!("a key has more than {DEEPEST} parts")
}

/// An argument as errors show it: on one line, and whole unless it is too long for that.
fn shown(argument: &str) -> String {
    const LONGEST: usize = 200;
    let start = argument.chars().take(LONGEST).map(|letter| match letter {
        order if order.is_control() => order.escape_default().to_string(),
        sign => sign.to_string(),
    });
    let rest = if argument.chars().nth(LONGEST).is_some() { "…" } else { "" };
    start.chain([rest.to_owned()]).collect()
}

/// Whether a value is a number that no number of the program can hold.
fn overflows(value: &DeValue<'_>) -> bool {
    match value {
        DeValue::Integer(number) => i64::from_str_radix(number.as_str(), number.radix()).is_err(),
        // TOML writes infinity as a word: digits that lead there are too many.
        DeValue::Float(number) => {
            let text = number.as_str();
            !text.contains("inf") && text.parse().is_ok_and(f64::is_infinite)
        }
        _ => false,
    }
}

/// What is said of such a number.
fn too_large() -> String {
    format!("is too large a number: give at most {} for a whole number", i64::MAX)
}

/// Tells `note` the path, offset and content of every value.
fn note_places(table: &DeTable<'_>, prefix: &str, note: &mut impl FnMut(String, usize, &DeValue<'_>)) {
    for (key, value) in table {
        let path = join(prefix, key.get_ref());
        note(path.clone(), key.span().start, value.get_ref());
        note_inside(value.get_ref(), &path, note);
    }
}

/// Goes into tables and arrays.
fn note_inside(value: &DeValue<'_>, path: &str, note: &mut impl FnMut(String, usize, &DeValue<'_>)) {
    match value {
        DeValue::Table(table) => note_places(table, path, note),
        DeValue::Array(items) => {
            for (index, item) in items.iter().enumerate() {
                let path = join(path, &index.to_string());
                note(path.clone(), item.span().start, item.get_ref());
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

#[cfg(test)]
mod tests;
