//! The values of a coefficient.

use toml::de::DeValue;

use super::super::constant;
use super::super::wording::counted;
use super::{Reader, Table};
use crate::Error;

impl<'a> Reader<'a> {
    /// One number for all elements, a list of them row by row, or an expression of the indices.
    pub(super) fn values(&self, entry: &Table<'a>, shape: &[usize], scale: f64) -> Result<Vec<f64>, Error> {
        let sizes: Vec<usize> = shape.iter().map(|index| self.indices[*index].size).collect();
        let count = sizes.iter().product();
        let Some(value) = entry.get("value") else {
            return Err(self.source.error(entry.at, format!("`{}` needs a value such as value = 1", entry.name)));
        };
        let mut values = Vec::new();
        match value.get_ref() {
            DeValue::Array(_) => {
                let mut waiting = vec![value];
                while let Some(next) = waiting.pop() {
                    match next.get_ref() {
                        DeValue::Array(inner) => waiting.extend(inner.iter().rev()),
                        _ => values.push(scale * entry.number(next, "value")?),
                    }
                }
                if values.len() != count {
                    let what = format!(
                        "`{}` has {}, but {} given",
                        entry.name,
                        counted(count, "element", "elements"),
                        counted(values.len(), "value is", "values are")
                    );
                    return entry.fail(value, what);
                }
            }
            DeValue::String(_) => {
                let written = entry.written(value, "value")?;
                for element in 0..count {
                    let mut rest = element;
                    let mut places = vec![0; shape.len()];
                    for (place, size) in places.iter_mut().zip(&sizes).rev() {
                        (*place, rest) = (rest % size, rest / size);
                    }
                    let known = |name: &str| {
                        let position = shape.iter().position(|index| self.indices[*index].name == name)?;
                        Some(places[position] as f64)
                    };
                    if let Some(number) = constant::value(&written.expr, &known).filter(|number| number.is_finite()) {
                        values.push(scale * number);
                    } else {
                        let what = format!(
                            "`{}` must be a finite number at every place, of numbers and its own indices",
                            entry.name
                        );
                        return entry.fail(value, what);
                    }
                }
            }
            _ => values = vec![scale * entry.number(value, "value")?; count],
        }
        Ok(values)
    }
}
