//! Long lists of numbers that monitors remember, as tensors of a checkpoint instead of text in its header: shots that a refresh is
//! fitted to, networks. A header has a bounded length, and text takes three times the room.
//!
//! A list whose numbers are all exactly `f32` leaves `{ tensor = "monitors/…" }` in its place. It comes back bit for bit.

use std::collections::HashMap;

use toml::{Table, Value};

use crate::network::{NamedTensor, rows};
use crate::record::Snapshot;

/// Shorter lists stay text.
const SHORTEST: usize = 64;
/// How the tensors are called, and the key in the place of a list.
const PREFIX: &str = "monitors/";
const KEY: &str = "tensor";

/// Moves long lists from what the monitors remember to the tensors.
pub fn pack(snapshot: &mut Snapshot) {
    for (monitor, table) in &mut snapshot.position.monitors {
        for (key, value) in table.iter_mut() {
            pack_value(value, &format!("{PREFIX}{monitor}/{key}"), &mut snapshot.tensors);
        }
    }
}

fn pack_value(value: &mut Value, name: &str, tensors: &mut Vec<NamedTensor>) {
    if let Some(values) = numbers(value) {
        let tensor = rows::tensor(values.clone(), [1, values.len()]);
        tensors.push(NamedTensor { name: name.to_owned(), tensor });
        *value = Value::Table(Table::from_iter([(KEY.to_owned(), Value::String(name.to_owned()))]));
        return;
    }
    match value {
        Value::Array(items) => {
            items
                .iter_mut()
                .enumerate()
                .for_each(|(index, item)| pack_value(item, &format!("{name}/{index}"), tensors));
        }
        Value::Table(table) => {
            table.iter_mut().for_each(|(key, item)| pack_value(item, &format!("{name}/{key}"), tensors));
        }
        _ => {}
    }
}

/// A long list of numbers that are exactly `f32`.
fn numbers(value: &Value) -> Option<Vec<f32>> {
    let items = value.as_array().filter(|items| SHORTEST <= items.len())?;
    let exact = |item: &Value| {
        let value = item.as_float()?;
        (f64::from(value as f32).to_bits() == value.to_bits()).then_some(value as f32)
    };
    items.iter().map(exact).collect()
}

/// Puts the lists back; fails where one is missing.
pub fn unpack(snapshot: &mut Snapshot) -> Result<(), String> {
    let (packed, tensors): (Vec<NamedTensor>, Vec<NamedTensor>) =
        std::mem::take(&mut snapshot.tensors).into_iter().partition(|named| named.name.starts_with(PREFIX));
    snapshot.tensors = tensors;
    let mut packed: HashMap<String, NamedTensor> =
        packed.into_iter().map(|named| (named.name.clone(), named)).collect();
    let mut tables = snapshot.position.monitors.values_mut().flat_map(|table| table.iter_mut());
    tables.try_for_each(|(_, value)| unpack_value(value, &mut packed))
}

fn unpack_value(value: &mut Value, packed: &mut HashMap<String, NamedTensor>) -> Result<(), String> {
    match value {
        Value::Array(items) => items.iter_mut().try_for_each(|item| unpack_value(item, packed)),
        Value::Table(table) => {
            let name =
                table.get(KEY).and_then(Value::as_str).filter(|name| table.len() == 1 && name.starts_with(PREFIX));
            let Some(name) = name else {
                return table.iter_mut().try_for_each(|(_, item)| unpack_value(item, packed));
            };
            let found = packed.remove(name).ok_or_else(|| format!("lacks the numbers of `{name}`"))?;
            let numbers = rows::values(found.tensor).into_iter().map(|number| Value::Float(f64::from(number)));
            *value = Value::Array(numbers.collect());
            Ok(())
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::Position;

    #[test]
    fn long_lists_go_to_tensors_and_come_back_bit_for_bit() {
        let list = |count: usize, scale: f64| -> Value {
            Value::Array((0..count).map(|index| Value::Float(f64::from((index as f32 - 3.5) / 7.0) * scale)).collect())
        };
        let batch = |scale| {
            Value::Table(Table::from_iter([
                ("inputs".to_owned(), list(100, scale)),
                ("shots".to_owned(), Value::Integer(4)),
            ]))
        };
        let upkeep = Table::from_iter([
            ("batches".to_owned(), Value::Array(vec![batch(1.0), batch(-0.5)])),
            ("short".to_owned(), list(SHORTEST - 1, 1.0)),
            // Twice as exact as f32 is.
            ("exact".to_owned(), list(100, 1.0 + 1e-12)),
        ]);
        let position = Position { monitors: [("upkeep of a".to_owned(), upkeep)].into(), ..Position::default() };
        let weights = NamedTensor { name: "weight/x".into(), tensor: rows::tensor(vec![1.0_f32, 2.0], [1, 2]) };
        let mut snapshot = Snapshot { position: position.clone(), tensors: vec![weights] };
        pack(&mut snapshot);
        let names: Vec<&str> = snapshot.tensors.iter().map(|named| named.name.as_str()).collect();
        let packed = ["monitors/upkeep of a/batches/0/inputs", "monitors/upkeep of a/batches/1/inputs"];
        assert_eq!(names, [&["weight/x"][..], &packed].concat());
        let mut torn = Snapshot { position: snapshot.position.clone(), tensors: vec![] };
        assert!(unpack(&mut torn).unwrap_err().contains("batches/0/inputs"));
        unpack(&mut snapshot).unwrap();
        assert_eq!(snapshot.position, position);
        assert_eq!(snapshot.tensors.len(), 1);
    }
}
