//! From the text of a file to what it declares. What the lines mean is checked in [`check`](super::check).

// Circle with equations/file/sections.rs: one reader of one file; split for its length.

mod sections;
pub(super) mod tables;
mod values;

use std::collections::HashMap;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::model::{Index, Line, Meaning, Model, Quantity, Role, Source, Time, Written, nearest};
use super::units::{self, Dimension, Words};
use super::wording::said;
use super::{check, constant, syntax};
use crate::Error;

/// The most bytes of a file, elements of one quantity, and names: beyond them nobody writes by hand, and nothing is made room for.
const MOST_BYTES: usize = 1 << 20;
const MOST_ELEMENTS: usize = 1 << 22;
const MOST_INDICES: usize = 12;

/// Reads the twin's system, and the bench's where `[plant]` says more.
pub(super) fn read(name: &str, text: &str, samples: Option<usize>) -> Result<(Model, Option<Model>), Error> {
    if text.len() > MOST_BYTES {
        let what = format!("the file has {} bytes: at most {MOST_BYTES} are read", text.len());
        return Err(Error::Equations { file: name.to_owned(), line: 1, column: 1, what });
    }
    let source = Source { name: name.to_owned(), text: text.to_owned() };
    let table = DeTable::parse(text)
        .map_err(|error| source.error(error.span().map_or(0, |span| span.start), error.message().to_owned()))?;
    let root = Table { source: &source, at: 0, name: "", entries: table.get_ref() };
    let model = Reader::new(&root, samples)?.model(&root, None)?;
    check::check(&model)?;
    let plant = match root.table("plant")? {
        Some(plant) => {
            let bench = Reader::new(&root, samples)?.model(&root, Some(&plant))?;
            check::check(&bench)?;
            Some(bench)
        }
        None => None,
    };
    Ok((model, plant))
}

/// A table of the file.
struct Table<'a> {
    source: &'a Source,
    at: usize,
    name: &'a str,
    entries: &'a DeTable<'a>,
}

impl<'a> Table<'a> {
    fn get(&self, key: &str) -> Option<&'a Spanned<DeValue<'a>>> {
        self.entries.iter().find(|(name, _)| name.get_ref() == key).map(|(_, value)| value)
    }

    fn fail<T>(&self, value: &Spanned<DeValue>, what: impl Into<String>) -> Result<T, Error> {
        Err(self.source.error(value.span().start, what))
    }

    /// Refuses keys that nobody knows.
    fn only(&self, known: &[&str]) -> Result<(), Error> {
        for (key, _) in self.entries {
            if !known.contains(&key.get_ref().as_ref()) {
                let near = nearest(key.get_ref(), known.iter().copied());
                let place = if self.name.is_empty() { String::new() } else { format!(" in `{}`", self.name) };
                let what = format!("unknown key `{}`{place}{near}; known are {}", key.get_ref(), known.join(", "));
                return Err(self.source.error(key.span().start, what));
            }
        }
        Ok(())
    }

    fn as_table(&self, name: &'a str, value: &'a Spanned<DeValue<'a>>) -> Result<Table<'a>, Error> {
        match value.get_ref() {
            DeValue::Table(entries) => Ok(Table { source: self.source, at: value.span().start, name, entries }),
            _ => self.fail(value, format!("`{name}` must be a table such as {{ unit = \"V\" }}")),
        }
    }

    fn table(&self, key: &'a str) -> Result<Option<Table<'a>>, Error> {
        self.get(key).map(|value| self.as_table(key, value)).transpose()
    }

    fn number(&self, value: &Spanned<DeValue>, key: &str) -> Result<f64, Error> {
        let text = match value.get_ref() {
            DeValue::Integer(integer) if integer.radix() == 10 => integer.as_str(),
            DeValue::Float(float) if !float.as_str().contains(['i', 'n']) => float.as_str(),
            _ => return self.fail(value, format!("`{key}` must be a finite number")),
        };
        syntax::number(text).or_else(|what| self.fail(value, format!("`{key}`: {what}")))
    }

    fn optional_number(&self, key: &str) -> Result<Option<f64>, Error> {
        self.get(key).map(|value| self.number(value, key)).transpose()
    }

    /// A number within bounds, or what stands for a missing one.
    fn bounded(&self, key: &str, missing: f64, [low, high]: [f64; 2]) -> Result<f64, Error> {
        let Some(value) = self.get(key) else { return Ok(missing) };
        let number = self.number(value, key)?;
        if (low..=high).contains(&number) {
            Ok(number)
        } else {
            self.fail(value, format!("`{key}` = {} is outside {} to {}", said(number), said(low), said(high)))
        }
    }

    fn count(&self, key: &str, missing: usize, [low, high]: [usize; 2]) -> Result<usize, Error> {
        let number = self.bounded(key, missing as f64, [low as f64, high as f64])?;
        match self.get(key) {
            Some(value) if number.fract() != 0.0 => self.fail(value, format!("`{key}` must be a whole number")),
            _ => Ok(number as usize),
        }
    }

    fn text(&self, key: &str) -> Result<Option<&'a str>, Error> {
        match self.get(key) {
            None => Ok(None),
            Some(value) => match value.get_ref().as_str() {
                Some(text) => Ok(Some(text)),
                None => self.fail(value, format!("`{key}` must be a string")),
            },
        }
    }

    fn flag(&self, key: &str) -> Result<bool, Error> {
        match self.get(key) {
            None => Ok(false),
            Some(value) => match value.get_ref().as_bool() {
                Some(flag) => Ok(flag),
                None => self.fail(value, format!("`{key}` must be true or false")),
            },
        }
    }

    fn range(&self) -> Result<Option<[f64; 2]>, Error> {
        let Some(value) = self.get("range") else { return Ok(None) };
        let ends = value.get_ref().as_array().filter(|ends| ends.len() == 2);
        let Some(ends) = ends else { return self.fail(value, "`range` must be two numbers such as [-1, 1]") };
        let range = [self.number(&ends[0], "range")?, self.number(&ends[1], "range")?];
        let single = range.map(|end| end as f32);
        let wrong = match (range[0] < range[1], single[0] < single[1]) {
            _ if single.iter().any(|end| end.is_infinite()) => {
                "goes beyond 3.4e38, the largest number of single precision"
            }
            (true, true) => return Ok(Some(range)),
            (true, false) => "has ends that are one number in single precision",
            (false, _) => "must have its low end first",
        };
        self.fail(value, format!("the range [{}, {}] {wrong}", said(range[0]), said(range[1])))
    }

    /// The expression in a string.
    fn written(&self, value: &Spanned<DeValue>, key: &str) -> Result<Written, Error> {
        let Some(text) = value.get_ref().as_str() else {
            return self.fail(value, format!("`{key}` must be an expression in quotes"));
        };
        let span = value.span();
        // Where the string has escapes, its parts are said to stand at its beginning.
        let raw = self.source.text.get(span.clone()).unwrap_or_default();
        let at = span.start + raw.find(text).unwrap_or(1);
        match syntax::parse(text) {
            Ok(expr) => Ok(Written { expr, text: text.to_owned(), at }),
            Err(syntax::Unreadable { at: within, what }) => {
                Err(self.source.error(at + within, format!("{key}: {what}")))
            }
        }
    }
}

/// What is read so far.
struct Reader<'a> {
    source: &'a Source,
    words: Words,
    indices: Vec<Index>,
    names: HashMap<String, Meaning>,
    time: Time,
    /// Elements of all arrays so far.
    elements: usize,
}

const TABLES: [&str; 13] = [
    "title",
    "indices",
    "inputs",
    "controls",
    "coefficients",
    "states",
    "let",
    "equations",
    "outputs",
    "time",
    "plant",
    "tables",
    "assume",
];

impl<'a> Reader<'a> {
    fn new(root: &Table<'a>, samples: Option<usize>) -> Result<Self, Error> {
        root.only(&TABLES)?;
        let time = sections::time(root, samples)?;
        let mut reader = Self {
            source: root.source,
            words: Words::default(),
            indices: Vec::new(),
            names: HashMap::new(),
            time,
            elements: 0,
        };
        reader.read_indices(root)?;
        Ok(reader)
    }

    fn name(&mut self, name: &str, at: usize, meaning: Meaning) -> Result<(), Error> {
        let mut letters = name.chars();
        let sound = letters.next().is_some_and(|first| first.is_alphabetic() || first == '_')
            && letters.all(|letter| letter.is_alphanumeric() || letter == '_');
        if !sound || name.len() > 64 {
            let what = format!("`{name}` is no name: letters, digits and `_`, not beginning with a digit, at most 64");
            return Err(self.source.error(at, what));
        }
        if syntax::FUNCTIONS.contains(&name) || matches!(name, "pi" | "and" | "or" | "not") {
            return Err(self.source.error(at, format!("`{name}` has a meaning already: take another name")));
        }
        if self.names.insert(name.to_owned(), meaning).is_some() {
            return Err(self.source.error(at, format!("`{name}` is declared twice")));
        }
        Ok(())
    }

    fn read_indices(&mut self, root: &Table<'a>) -> Result<(), Error> {
        let Some(table) = root.table("indices")? else { return Ok(()) };
        for (key, value) in table.entries {
            let name = key.get_ref().as_ref();
            let (size, periodic, zero_outside) = if value.get_ref().as_table().is_some() {
                let inner = table.as_table(name, value)?;
                inner.only(&["size", "periodic", "outside"])?;
                let zero = inner.optional_number("outside")?;
                if zero.is_some_and(|zero| zero != 0.0) {
                    return table.fail(value, "`outside` can only be 0: what is outside counts as nothing");
                }
                let Some(size) = inner.optional_number("size")? else {
                    return table.fail(value, format!("index `{name}` needs a size such as {{ size = 8 }}"));
                };
                let periodic = inner.flag("periodic")?;
                if periodic && zero.is_some() {
                    return table
                        .fail(value, "a periodic index has nothing outside: leave out `outside` or `periodic`");
                }
                (size, periodic, zero.is_some())
            } else {
                (table.number(value, name)?, false, false)
            };
            if size.fract() != 0.0 || !(1.0..=MOST_ELEMENTS as f64).contains(&size) {
                let what = format!(
                    "index `{name}` has the size {}: it must be a whole number from 1 to {MOST_ELEMENTS}",
                    said(size)
                );
                return table.fail(value, what);
            }
            if self.indices.len() == MOST_INDICES {
                return table.fail(value, format!("more than {MOST_INDICES} indices are not read"));
            }
            self.name(name, key.span().start, Meaning::Index(self.indices.len()))?;
            self.indices.push(Index { name: name.to_owned(), size: size as usize, periodic, zero_outside });
        }
        Ok(())
    }

    fn unit(&mut self, table: &Table, scaled: bool) -> Result<(String, Dimension, f64), Error> {
        let Some(value) = table.get("unit") else {
            let what = format!("`{}` needs a unit such as unit = \"V\"; unit = \"1\" where it has none", table.name);
            return Err(self.source.error(table.at, what));
        };
        let text = value.get_ref().as_str().unwrap_or_default();
        let unit = units::read(text).or_else(|what| table.fail(value, what))?;
        if !scaled && unit.scale != 1.0 {
            let (plain, scale) = (self.words.say(unit.dimension), said(unit.scale));
            let what = format!(
                "`{text}`: inputs, controls, states and outputs are in SI units without prefix: write unit = \"{plain}\", \
                 and {scale} where 1 {text} is meant; only coefficients and tables have other units"
            );
            return table.fail(value, what);
        }
        if unit.scale == 1.0 {
            self.words.learn(unit.dimension, text);
        }
        Ok((text.to_owned(), unit.dimension, unit.scale))
    }

    fn shape(&mut self, table: &Table) -> Result<Vec<usize>, Error> {
        let Some(value) = table.get("shape") else { return Ok(Vec::new()) };
        let Some(list) = value.get_ref().as_array() else {
            return table.fail(value, "`shape` must be a list of indices such as [\"k\"]");
        };
        let mut shape = Vec::new();
        for entry in list {
            let name = entry.get_ref().as_str().unwrap_or_default();
            if let Some(Meaning::Index(index)) = self.names.get(name) {
                shape.push(*index);
            } else {
                let near = nearest(name, self.indices.iter().map(|index| index.name.as_str()));
                return table.fail(entry, format!("`{name}` is no index of [indices]{near}"));
            }
        }
        let sizes = shape.iter().map(|index: &usize| self.indices[*index].size);
        let count = sizes.fold(1_usize, usize::saturating_mul);
        if shape.len() > 4 || count > MOST_ELEMENTS {
            let what = format!(
                "`{}` has {count} elements in {} directions: at most {MOST_ELEMENTS} in 4 are computed",
                table.name,
                shape.len()
            );
            return table.fail(value, what);
        }
        self.elements = self.elements.saturating_add(count);
        if MOST_ELEMENTS < self.elements {
            let what = format!(
                "with `{}` all quantities have {} elements together: at most {MOST_ELEMENTS} are computed",
                table.name, self.elements
            );
            return table.fail(value, what);
        }
        Ok(shape)
    }

    fn quantities(&mut self, tables: &[Option<&Table<'a>>], key: &'a str, role: Role) -> Result<Vec<Quantity>, Error> {
        let known: &[&str] = match role {
            Role::Input => &["unit", "range", "shape", "kind"],
            Role::Control => &["unit", "range", "shape", "where"],
            Role::Coefficient => &["unit", "value", "spread", "range", "shape", "where"],
            Role::State => &["unit", "shape", "start"],
        };
        let mut list = Vec::new();
        for table in tables.iter().copied().flatten() {
            let Some(declared) = table.table(key)? else { continue };
            for (name, value) in declared.entries {
                let at = name.span().start;
                let name = name.get_ref().as_ref();
                let entry = Table { at, ..declared.as_table(name, value)? };
                entry.only(known)?;
                self.name(name, at, Meaning::Of(role, list.len()))?;
                list.push(self.quantity(&entry, role)?);
            }
        }
        Ok(list)
    }

    fn quantity(&mut self, entry: &Table<'a>, role: Role) -> Result<Quantity, Error> {
        let (unit, dimension, scale) = self.unit(entry, role == Role::Coefficient)?;
        let shape = self.shape(entry)?;
        let range = entry.range()?.map(|range| range.map(|end| end * scale));
        let name = entry.name;
        if range.is_none() && matches!(role, Role::Input | Role::Control) {
            let what = format!("`{name}` needs a range such as range = [-1, 1], in {unit}");
            return Err(self.source.error(entry.at, what));
        }
        let is_static = match entry.text("kind")? {
            None | Some("waveform") => false,
            Some("static") => true,
            Some(_) => {
                let what =
                    format!("`{name}` can be of kind \"waveform\", one value a sample, or \"static\", one a shot");
                return Err(self.source.error(entry.at, what));
            }
        };
        let written = |key: &str| entry.get(key).map(|value| entry.written(value, key)).transpose();
        let (start, only) = (written("start")?, written("where")?);
        let values = if role == Role::Coefficient { self.values(entry, &shape, scale)? } else { Vec::new() };
        if let Some([low, high]) = range
            && let Some(outside) = values.iter().find(|value| !(low..=high).contains(value))
        {
            let [outside, low, high] = [*outside, low, high].map(|value| said(value / scale));
            let what = format!("`{name}` = {outside} is outside its own range, {low} to {high}, in {unit}");
            return Err(self.source.error(entry.at, what));
        }
        Ok(Quantity {
            name: name.to_owned(),
            at: entry.at,
            unit,
            dimension,
            shape,
            range,
            values,
            spread: entry.bounded("spread", 0.0, [0.0, 10.0])?,
            is_static,
            start,
            only,
        })
    }

    /// A name as it stands on the left of an equation: `v`, `v[k]`.
    fn left(&self, text: &str, at: usize) -> Result<(String, Vec<usize>, Vec<String>), Error> {
        let parsed = syntax::parse(text).map_err(|error| self.source.error(at, format!("`{text}`: {}", error.what)))?;
        let syntax::Kind::Name { name, at: places } = parsed.kind else {
            return Err(self.source.error(at, format!("`{text}` must be a name, with its indices where it has any")));
        };
        let (mut indices, mut called) = (Vec::new(), Vec::new());
        for place in &places {
            let Some((Some(index), 0)) = constant::place(place) else {
                let what = format!(
                    "`{text}`: an array is written with an index, such as `{name}[k]`; one element is told by if(k == 0, …, …)"
                );
                return Err(self.source.error(at, what));
            };
            let Some(Meaning::Index(number)) = self.names.get(index) else {
                let near = nearest(index, self.indices.iter().map(|index| index.name.as_str()));
                return Err(self.source.error(at, format!("`{text}`: `{index}` is no index of [indices]{near}")));
            };
            if called.contains(&index.to_owned()) {
                return Err(self.source.error(at, format!("`{text}`: the index `{index}` stands twice")));
            }
            indices.push(*number);
            called.push(index.to_owned());
        }
        Ok((name, indices, called))
    }

    fn lines(&self, table: &Table<'a>) -> Result<Vec<(Line, usize)>, Error> {
        let mut lines = Vec::new();
        for (key, value) in table.entries {
            let at = key.span().start;
            let (name, indices, called) = self.left(key.get_ref(), at)?;
            lines.push((Line { name, indices, called, right: table.written(value, key.get_ref())? }, at));
        }
        Ok(lines)
    }

    fn model(mut self, root: &Table<'a>, plant: Option<&Table<'a>>) -> Result<Model, Error> {
        if let Some(plant) = plant {
            plant.only(&["equations", "let", "coefficients", "states"])?;
        }
        let tables = [Some(root), plant];
        let title = root.text("title")?.unwrap_or_default().to_owned();
        if title.contains(char::is_control) {
            return Err(self.source.error(0, "`title` must be one line of plain text"));
        }
        let inputs = self.quantities(&tables[..1], "inputs", Role::Input)?;
        if inputs.is_empty() {
            return Err(self.source.error(0, "nothing is driven: the file needs [inputs]"));
        }
        let controls = self.quantities(&tables[..1], "controls", Role::Control)?;
        let coefficients = self.quantities(&tables, "coefficients", Role::Coefficient)?;
        let states = self.quantities(&tables, "states", Role::State)?;
        let curves = self.curves(root)?;
        let mut lets: Vec<Line> = Vec::new();
        for table in tables.into_iter().flatten() {
            let Some(table) = table.table("let")? else { continue };
            for (line, at) in self.lines(&table)? {
                match lets.iter_mut().find(|known| known.name == line.name) {
                    Some(known) if plant.is_some() => *known = line,
                    _ => {
                        self.name(&line.name, at, Meaning::Let(lets.len()))?;
                        lets.push(line);
                    }
                }
            }
        }
        let equations = self.equations(root, plant, &states)?;
        let outputs = self.outputs(root)?;
        let mut assumed = Vec::new();
        if let Some(value) = root.get("assume") {
            let Some(list) = value.get_ref().as_array() else {
                return root.fail(value, "`assume` must be a list such as [\"v > 0\"]");
            };
            for entry in list {
                assumed.push(root.written(entry, "assume")?);
            }
        }
        Ok(Model {
            source: self.source.clone(),
            title,
            words: self.words,
            indices: self.indices,
            inputs,
            controls,
            coefficients,
            states,
            lets,
            equations,
            outputs,
            curves,
            assumed,
            time: self.time,
            names: self.names,
        })
    }
}
