//! Recorded data as numpy archives (`.npz`): what went in and what came out, one shot a row, as a trace of a plant without a card.

use std::collections::BTreeMap;
use std::io::Cursor;

use drivers::{Bank, Batch, Card, Identity, Origin, Ports, Range, Timing};
use npyz::npz::NpzArchive;

use crate::{Error, Trace};

/// An array of an archive as rows.
#[derive(Debug, Clone)]
struct Array {
    name: String,
    rows: Batch,
}

impl Trace {
    /// The trace that an archive holds; `names` are those of the arrays of inputs and outputs.
    ///
    /// Without names there must be exactly two arrays of several columns and equal rows. The one called `…before…`, `…input…`
    /// or `x…` is the input; else the first in the archive.
    pub fn from_npz(bytes: &[u8], names: Option<(&str, &str)>) -> Result<Self, Error> {
        let arrays = read(bytes)?;
        let (inputs, outputs) = choose(&arrays, names)?;
        if inputs.rows.rows() != outputs.rows.rows() || inputs.rows.rows() == 0 {
            return Err(Error::archive(format!(
                "has {} rows in `{}` and {} in `{}`: a shot is a row in both",
                inputs.rows.rows(),
                inputs.name,
                outputs.rows.rows(),
                outputs.name
            )));
        }
        for array in [inputs, outputs] {
            if let Some(at) = array.rows.values().iter().position(|value| !value.is_finite()) {
                let row = at / array.rows.columns().max(1);
                return Err(Error::archive(format!(
                    "holds a value that is not finite, in row {row} of `{}`",
                    array.name
                )));
            }
        }
        let shots = inputs.rows.rows();
        let bank = |array: &Array, name: &str| vec![Bank::new(name, array.rows.columns(), "1", range_of(&array.rows))];
        Ok(Self {
            card: Card {
                identity: Identity {
                    system: "recorded".into(),
                    serial: outputs.name.clone(),
                    origin: Origin::Replayed,
                },
                ports: Ports { inputs: bank(inputs, "input"), controls: vec![], outputs: bank(outputs, "output") },
                timing: Timing::default(),
            },
            provenance: BTreeMap::from([
                ("inputs".to_owned(), inputs.name.clone()),
                ("outputs".to_owned(), outputs.name.clone()),
            ]),
            settings: Batch::zeros(1, 0),
            setting_of: vec![0; shots],
            stimulus: (0..shots as u32).collect(),
            seconds: vec![0.0; shots],
            inputs: inputs.rows.clone(),
            outputs: outputs.rows.clone(),
        })
    }
}

/// All arrays of numbers that are rows.
fn read(bytes: &[u8]) -> Result<Vec<Array>, Error> {
    let broken = |error: std::io::Error| Error::archive(format!("cannot be read: {error}"));
    let mut archive = NpzArchive::new(Cursor::new(bytes)).map_err(broken)?;
    let names: Vec<String> = archive.array_names().map(ToOwned::to_owned).collect();
    let mut arrays = Vec::new();
    for name in names {
        let Some(file) = archive.by_name(&name).map_err(broken)? else { continue };
        let shape: Vec<usize> = file.shape().iter().map(|&size| size as usize).collect();
        let order = file.order();
        let [rows, columns] = shape[..] else { continue };
        // Counts and labels are no readings.
        let values: Vec<f32> = match file.try_data::<f64>() {
            Ok(data) => data.map(|value| value.map(|value| value as f32)).collect::<Result<_, _>>().map_err(broken)?,
            Err(file) => match file.try_data::<f32>() {
                Ok(data) => data.collect::<Result<_, _>>().map_err(broken)?,
                Err(_) => continue,
            },
        };
        if values.len() != rows * columns || columns == 0 {
            return Err(Error::archive(format!("has an array `{name}` that is cut off")));
        }
        let at = |row: usize, column: usize| match order {
            npyz::Order::C => values[row * columns + column],
            npyz::Order::Fortran => values[column * rows + row],
        };
        arrays.push(Array { rows: Batch::from_fn(rows, columns, at), name });
    }
    Ok(arrays)
}

fn choose<'a>(arrays: &'a [Array], names: Option<(&str, &str)>) -> Result<(&'a Array, &'a Array), Error> {
    let known = || arrays.iter().map(|array| format!("`{}`", array.name)).collect::<Vec<_>>().join(", ");
    let find = |name: &str| {
        arrays
            .iter()
            .find(|array| array.name == name)
            .ok_or_else(|| Error::archive(format!("has no array of rows `{name}`: it has {}", known())))
    };
    if let Some((inputs, outputs)) = names {
        return Ok((find(inputs)?, find(outputs)?));
    }
    let [a, b] = arrays else {
        return Err(Error::archive(format!(
            "has {} arrays of rows ({}): name two with --arrays INPUTS,OUTPUTS",
            arrays.len(),
            known()
        )));
    };
    let is_input = |array: &Array| {
        let name = array.name.to_lowercase();
        name.contains("before") || name.contains("input") || name.starts_with('x')
    };
    Ok(if is_input(b) && !is_input(a) { (b, a) } else { (a, b) })
}

/// The smallest range around all values.
fn range_of(rows: &Batch) -> Range {
    let (low, high) =
        rows.values().iter().fold((f32::MAX, f32::MIN), |(low, high), value| (low.min(*value), high.max(*value)));
    Range::new(low, high)
}

#[cfg(test)]
mod tests {
    use npyz::WriterBuilder;

    use super::*;

    fn archive(arrays: &[(&str, usize, usize)]) -> Vec<u8> {
        let mut bytes = Cursor::new(Vec::new());
        let mut writer = npyz::npz::NpzWriter::new(&mut bytes);
        for (name, rows, columns) in arrays {
            let mut array = writer
                .array(name, npyz::zip::write::FileOptions::default())
                .unwrap()
                .default_dtype()
                .shape(&[*rows as u64, *columns as u64])
                .begin_nd()
                .unwrap();
            array.extend((0..rows * columns).map(|index| index as f64)).unwrap();
            array.finish().unwrap();
        }
        drop(writer);
        bytes.into_inner()
    }

    #[test]
    fn inputs_and_outputs_are_found_by_name_or_by_hand() {
        let bytes = archive(&[("data_after", 4, 3), ("data_before", 4, 2)]);
        let trace = Trace::from_npz(&bytes, None).unwrap();
        assert_eq!((trace.inputs.columns(), trace.outputs.row(1)), (2, &[3.0, 4.0, 5.0][..]));
        let other = Trace::from_npz(&bytes, Some(("data_after", "data_before"))).unwrap();
        assert_eq!(other.inputs.columns(), 3);
        let text = Trace::from_npz(&bytes, Some(("a", "b"))).unwrap_err().to_string();
        assert!(text.contains("no array of rows `a`: it has `data_after`, `data_before`"), "{text}");
        let text = Trace::from_npz(&archive(&[("x", 3, 2), ("y", 4, 2)]), None).unwrap_err().to_string();
        assert!(text.contains("3 rows in `x` and 4 in `y`"), "{text}");
        assert!(Trace::from_npz(b"nothing", None).is_err());
    }
}
