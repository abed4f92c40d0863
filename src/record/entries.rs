//! Files in the folder of a run that hold one entry for each call of a command.

use std::path::Path;

use serde_json::Value;

use super::facts::read_text;
use crate::Error;
use crate::writing::replace;

/// Adds an entry to those that earlier calls have left at `path`.
pub fn add_entry(path: &Path, entry: Value) -> Result<(), Error> {
    let mut all = entries(path)?;
    all.push(entry);
    replace(path, format!("{:#}\n", Value::Array(all)).as_bytes())
}

/// What earlier calls have left; nothing before the first.
fn entries(path: &Path) -> Result<Vec<Value>, Error> {
    if !path.exists() {
        return Ok(vec![]);
    }
    let bad = |message: String| Error::Record {
        path: path.to_owned(),
        message: format!("cannot be read: {message}. Move it elsewhere"),
    };
    let text = read_text(path).map_err(|error| bad(error.to_string()))?;
    serde_json::from_str(&text).map_err(|error| bad(error.to_string()))
}
