//! Recorded data without a card: rows of inputs, controls and outputs, as a trace.

use std::collections::{BTreeMap, HashMap};

use drivers::{Bank, Batch, Card, Direction, Identity, Origin, Ports, Range, Timing};

use crate::trace::RECORDED;
use crate::{Error, Trace};

/// Values of one kind, a shot a row.
pub(crate) struct Recorded {
    /// What they are called: an array, a file, a column.
    pub name: String,
    /// The names of the columns, where they have any.
    pub columns: Vec<String>,
    /// The values.
    pub rows: Batch,
}

impl Recorded {
    /// Banks of its columns: one for each that has a name, or one for all.
    fn banks(&self, name: &str) -> Vec<Bank> {
        if self.columns.is_empty() {
            return vec![Bank::new(name, self.rows.columns(), "1", range_of(self.rows.values().iter().copied()))];
        }
        let column =
            |(index, name): (usize, &String)| Bank::new(name, 1, "1", range_of(self.rows.iter().map(|row| row[index])));
        self.columns.iter().enumerate().map(column).collect()
    }
}

/// The trace of a plant that is known by its data alone; `error` makes errors of where they come from.
pub(crate) fn trace_of(
    inputs: Recorded,
    controls: Option<&Recorded>,
    outputs: Recorded,
    error: fn(String) -> Error,
) -> Result<Trace, Error> {
    let shots = inputs.rows.rows();
    if shots != outputs.rows.rows() || shots == 0 {
        return Err(error(format!(
            "has {shots} rows in `{}` and {} in `{}`: a shot is a row in both",
            inputs.name,
            outputs.rows.rows(),
            outputs.name
        )));
    }
    for array in [&inputs, &outputs].into_iter().chain(controls) {
        if let Some(at) = array.rows.values().iter().position(|value| !value.is_finite()) {
            let row = at / array.rows.columns().max(1);
            return Err(error(format!("holds a value that is not finite, in row {row} of `{}`", array.name)));
        }
    }
    let ports = Ports {
        inputs: inputs.banks("input"),
        controls: controls.map_or(vec![], |controls| controls.banks("control")),
        outputs: outputs.banks("output"),
    };
    let (settings, setting_of) = match controls {
        None => (Batch::zeros(1, 0), vec![0; shots]),
        Some(controls) => settings(&controls.rows),
    };
    Ok(Trace {
        card: Card {
            identity: Identity { system: RECORDED.into(), serial: outputs.name.clone(), origin: Origin::Replayed },
            ports,
            timing: Timing::default(),
        },
        provenance: BTreeMap::from([("inputs".to_owned(), inputs.name), ("outputs".to_owned(), outputs.name)]),
        settings,
        setting_of,
        stimulus: (0..shots as u32).collect(),
        seconds: vec![0.0; shots],
        inputs: inputs.rows,
        outputs: outputs.rows,
    })
}

/// Each different row of controls, in the order of their first shots, and which of them each shot has.
fn settings(controls: &Batch) -> (Batch, Vec<u32>) {
    let mut known: HashMap<Vec<u32>, u32> = HashMap::new();
    let (mut all, mut setting_of) = (Vec::new(), Vec::with_capacity(controls.rows()));
    for row in controls {
        let next = known.len() as u32;
        let place = *known.entry(row.iter().map(|value| value.to_bits()).collect()).or_insert(next);
        if place == next {
            all.extend_from_slice(row);
        }
        setting_of.push(place);
    }
    let columns = controls.columns();
    (Batch::from_fn(known.len(), columns, |row, column| all[row * columns + column]), setting_of)
}

/// The smallest range around all values.
fn range_of(values: impl Iterator<Item = f32>) -> Range {
    let (low, high) = values.fold((f32::MAX, f32::MIN), |(low, high), value| (low.min(value), high.max(value)));
    Range::new(low, high)
}

impl Trace {
    /// Whether it is recorded data without a card.
    pub fn is_recorded(&self) -> bool {
        self.card.identity.system == RECORDED
    }

    /// Recorded data as that of a plant of `card`: its ports with their units and ranges. Whose shots they were stays what the data
    /// says: the serial number is not the plant's.
    pub fn of_plant(self, card: &Card) -> Result<Self, Error> {
        let directions = [Direction::Input, Direction::Control, Direction::Output];
        let counts = |ports: &Ports| directions.map(|direction| ports.count(direction));
        let (has, wanted) = (counts(&self.card.ports), counts(&card.ports));
        if has != wanted {
            return Err(Error::trace(format!(
                "has {} inputs, {} controls and {} outputs, but the {} plant has {}, {} and {}: choose other columns, or another plant",
                has[0], has[1], has[2], card.identity.system, wanted[0], wanted[1], wanted[2]
            )));
        }
        let identity = Identity { system: card.identity.system.clone(), ..self.card.identity };
        Ok(Self { card: Card { identity, ports: card.ports.clone(), timing: card.timing }, ..self })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::trace::tests::card;

    fn rows(name: &str, columns: usize, value: impl FnMut(usize, usize) -> f32) -> Recorded {
        Recorded { name: name.into(), columns: vec![], rows: Batch::from_fn(6, columns, value) }
    }

    fn recorded() -> Trace {
        let controls = rows("theta", 1, |row, _| (row / 2) as f32);
        trace_of(rows("x", 2, |row, _| row as f32), Some(&controls), rows("y", 1, |row, _| -(row as f32)), Error::table)
            .unwrap()
    }

    #[test]
    fn equal_controls_are_one_setting() {
        let trace = recorded();
        assert_eq!((trace.settings.rows(), trace.setting_of.as_slice()), (3, &[0, 0, 1, 1, 2, 2][..]));
        assert_eq!(trace.controls(5), [2.0]);
        assert!(trace.is_recorded());
        assert_eq!(trace.output_ranges(), [Range::new(-5.0, 0.0)]);
    }

    #[test]
    fn recorded_data_takes_the_ports_of_a_plant_of_the_same_size() {
        let trace = recorded().of_plant(&card(2, 1, 1)).unwrap();
        assert_eq!((trace.card.identity.system.as_str(), trace.card.identity.serial.as_str()), ("toy", "y"));
        assert_eq!(trace.output_ranges(), [Range::new(-1.0, 1.0)]);
        let text = recorded().of_plant(&card(2, 2, 1)).unwrap_err().to_string();
        assert!(text.contains("has 2 inputs, 1 controls and 1 outputs, but the toy plant has 2, 2 and 1"), "{text}");
    }
}
