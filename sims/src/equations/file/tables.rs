//! Points of tables that lie in files of their own.

use toml::de::{DeTable, DeValue};

use super::super::model::Source;
use super::{MOST_BYTES, Table};
use crate::Error;

/// The text with the points of each `file` of `[tables]` in its place, so that it is whole without the files. `read` gives the points of
/// a file, or says why it cannot.
pub fn with_tables(
    name: &str,
    text: &str,
    mut read: impl FnMut(&str) -> Result<Vec<[f64; 2]>, String>,
) -> Result<String, Error> {
    // What is too large, or cannot be parsed, is told when the system is built.
    if MOST_BYTES < text.len() {
        return Ok(text.to_owned());
    }
    let Ok(table) = DeTable::parse(text) else { return Ok(text.to_owned()) };
    let source = Source { name: name.to_owned(), text: text.to_owned() };
    let root = Table { source: &source, at: 0, name: "", entries: table.get_ref() };
    let mut replaced = Vec::new();
    for (name, value) in root.table("tables")?.iter().flat_map(|tables| tables.entries) {
        let DeValue::Table(entries) = value.get_ref() else { continue };
        let Some((key, value)) = entries.iter().find(|(key, _)| key.get_ref() == "file") else { continue };
        let fail = |what: String| Err(source.error(value.span().start, what));
        let Some(file) = value.get_ref().as_str() else {
            return fail(format!("the `file` of the table `{}` is the name of a file in quotes", name.get_ref()));
        };
        match read(file) {
            Ok(points) => {
                let points: Vec<String> = points.iter().map(|[x, y]| format!("[{x:e}, {y:e}]")).collect();
                replaced.push((key.span().start..value.span().end, format!("points = [{}]", points.join(", "))));
            }
            Err(what) => return fail(what),
        }
    }
    replaced.sort_by_key(|(span, _)| std::cmp::Reverse(span.start));
    let mut text = text.to_owned();
    for (span, points) in replaced {
        text.replace_range(span, &points);
    }
    Ok(text)
}
