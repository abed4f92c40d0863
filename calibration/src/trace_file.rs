//! Traces as Arrow IPC files, which pandas, polars and `DuckDB` open: a column for each bank, units and ranges in the
//! fields' metadata, the plant's card and the provenance in the schema's.

use std::collections::{BTreeMap, HashMap};
use std::io::Cursor;
use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::types::{Float32Type, Float64Type, UInt32Type};
use arrow_array::{ArrayRef, FixedSizeListArray, Float32Array, Float64Array, RecordBatch, UInt32Array};
use arrow_ipc::reader::FileReader;
use arrow_ipc::writer::FileWriter;
use arrow_schema::{DataType, Field, Schema};
use drivers::{Bank, Batch, Direction};

use crate::card_text::{card_text, read_card};
use crate::{Error, Trace};

/// Shots in a record batch of the file.
const ROWS: usize = 4096;
/// The key of the card in the schema's metadata.
const CARD: &str = "pnnlab.card";
/// What the keys of the provenance begin with.
const PROVENANCE: &str = "pnnlab.provenance.";

impl Trace {
    /// The trace as the bytes of an Arrow IPC file.
    pub fn to_arrow(&self) -> Result<Vec<u8>, Error> {
        let broken = |error: arrow_schema::ArrowError| Error::trace(format!("cannot be written: {error}"));
        let schema = Arc::new(self.schema());
        let mut bytes = Vec::new();
        let mut writer = FileWriter::try_new(&mut bytes, &schema).map_err(broken)?;
        for first in (0..self.shots()).step_by(ROWS) {
            let rows = first..(first + ROWS).min(self.shots());
            let batch = RecordBatch::try_new(schema.clone(), self.columns(&schema, rows)?).map_err(broken)?;
            writer.write(&batch).map_err(broken)?;
        }
        writer.finish().map_err(broken)?;
        drop(writer);
        Ok(bytes)
    }

    /// The trace that an Arrow IPC file holds.
    pub fn from_arrow(bytes: &[u8]) -> Result<Self, Error> {
        let broken = |error: arrow_schema::ArrowError| Error::trace(format!("is not an Arrow IPC file: {error}"));
        let reader = FileReader::try_new(Cursor::new(bytes), None).map_err(broken)?;
        let schema = reader.schema();
        let missing =
            || Error::trace(format!("has no `{CARD}` in its schema: it was not written by `pnnlab calibrate`"));
        let card = read_card(schema.metadata().get(CARD).ok_or_else(missing)?)?;
        let provenance = schema
            .metadata()
            .iter()
            .filter_map(|(key, value)| Some((key.strip_prefix(PROVENANCE)?.to_owned(), value.clone())));
        let provenance: BTreeMap<String, String> = provenance.collect();
        let mut trace = Self {
            settings: Batch::default(),
            setting_of: vec![],
            stimulus: vec![],
            seconds: vec![],
            inputs: Batch::default(),
            outputs: Batch::default(),
            card,
            provenance,
        };
        let mut values = [vec![], vec![], vec![]];
        for batch in reader {
            trace.add(&batch.map_err(broken)?, &mut values)?;
        }
        let [inputs, controls, outputs] = values;
        let ports = &trace.card.ports;
        let shots = trace.stimulus.len();
        if shots == 0 {
            return Err(Error::trace("holds no shots"));
        }
        let rows = |values: Vec<f32>, columns: usize| {
            if columns == 0 { Ok(Batch::zeros(shots, 0)) } else { Batch::new(columns, values) }
        };
        let controls = rows(controls, ports.control_count())?;
        trace.inputs = rows(inputs, ports.input_count())?;
        trace.outputs = rows(outputs, ports.output_count())?;
        trace.settings = settings(&controls, &trace.setting_of)?;
        let whole = [&trace.inputs, &controls, &trace.outputs].iter().all(|batch| batch.rows() == shots);
        let finite = [&trace.inputs, &controls, &trace.outputs]
            .iter()
            .all(|batch| batch.values().iter().all(|value| value.is_finite()));
        match (whole, finite) {
            (false, _) => Err(Error::trace("has columns of different lengths")),
            (_, false) => Err(Error::trace("holds a value that is not finite: remove that shot")),
            _ => Ok(trace),
        }
    }

    fn schema(&self) -> Schema {
        let plain = |name: &str, kind: DataType, unit: &str| {
            Field::new(name, kind, false).with_metadata(HashMap::from([("unit".to_owned(), unit.to_owned())]))
        };
        let mut fields = vec![
            plain("seconds", DataType::Float64, "s"),
            plain("stimulus", DataType::UInt32, "1"),
            plain("setting", DataType::UInt32, "1"),
        ];
        for direction in DIRECTIONS {
            fields.extend(self.card.ports.banks(direction).iter().map(|bank| field(direction, bank)));
        }
        let provenance = self.provenance.iter().map(|(key, value)| (format!("{PROVENANCE}{key}"), value.clone()));
        let mut metadata: HashMap<String, String> = provenance.collect();
        metadata.insert(CARD.to_owned(), card_text(&self.card));
        Schema::new(fields).with_metadata(metadata)
    }

    /// The columns of some shots.
    fn columns(&self, schema: &Schema, rows: std::ops::Range<usize>) -> Result<Vec<ArrayRef>, Error> {
        let mut columns: Vec<ArrayRef> = vec![
            Arc::new(Float64Array::from(self.seconds[rows.clone()].to_vec())),
            Arc::new(UInt32Array::from(self.stimulus[rows.clone()].to_vec())),
            Arc::new(UInt32Array::from(self.setting_of[rows.clone()].to_vec())),
        ];
        for direction in DIRECTIONS {
            let mut first = 0;
            for bank in self.card.ports.banks(direction) {
                let of_shot = |shot: usize| match direction {
                    Direction::Input => self.inputs.row(shot),
                    Direction::Control => self.controls(shot),
                    Direction::Output => self.outputs.row(shot),
                };
                let values: Vec<f32> =
                    rows.clone().flat_map(|shot| of_shot(shot)[first..first + bank.count].iter().copied()).collect();
                first += bank.count;
                let DataType::FixedSizeList(item, size) = schema.field(columns.len()).data_type() else {
                    return Err(Error::trace("cannot be written: a bank is not a list"));
                };
                let list = FixedSizeListArray::try_new(item.clone(), *size, Arc::new(Float32Array::from(values)), None)
                    .map_err(|error| Error::trace(format!("cannot be written: {error}")))?;
                columns.push(Arc::new(list));
            }
        }
        Ok(columns)
    }

    /// Adds the shots of one record batch; `values` are those of inputs, controls and outputs.
    fn add(&mut self, batch: &RecordBatch, values: &mut [Vec<f32>; 3]) -> Result<(), Error> {
        let find = |name: &str| {
            batch
                .column_by_name(name)
                .ok_or_else(|| Error::trace(format!("has no column `{name}`: leave all columns in")))
        };
        let numbers = |name: &str| {
            let column = find(name)?.as_primitive_opt::<UInt32Type>();
            column.map(|column| column.values().to_vec()).ok_or_else(|| odd(name, "32-bit counts"))
        };
        let seconds =
            find("seconds")?.as_primitive_opt::<Float64Type>().ok_or_else(|| odd("seconds", "64-bit floats"))?;
        self.seconds.extend_from_slice(seconds.values());
        self.stimulus.extend(numbers("stimulus")?);
        self.setting_of.extend(numbers("setting")?);
        let shots = batch.num_rows();
        for (direction, values) in DIRECTIONS.into_iter().zip(values) {
            let banks = self.card.ports.banks(direction);
            let mut columns = Vec::new();
            for bank in banks {
                let name = column_name(direction, bank);
                let list = find(&name)?.as_fixed_size_list_opt().ok_or_else(|| odd(&name, "lists of equal size"))?;
                let floats =
                    list.values().as_primitive_opt::<Float32Type>().ok_or_else(|| odd(&name, "32-bit floats"))?;
                if list.value_length() as usize != bank.count || floats.len() != shots * bank.count {
                    return Err(odd(&name, &format!("{} values a shot", bank.count)));
                }
                columns.push((floats.values().clone(), bank.count));
            }
            for shot in 0..shots {
                for (floats, count) in &columns {
                    values.extend_from_slice(&floats[shot * count..(shot + 1) * count]);
                }
            }
        }
        Ok(())
    }
}

const DIRECTIONS: [Direction; 3] = [Direction::Input, Direction::Control, Direction::Output];

fn odd(name: &str, expected: &str) -> Error {
    Error::trace(format!("has a column `{name}` that does not hold {expected}"))
}

/// Such as `input.drive`.
fn column_name(direction: Direction, bank: &Bank) -> String {
    format!("{direction}.{}", bank.name)
}

fn field(direction: Direction, bank: &Bank) -> Field {
    let item = Arc::new(Field::new("item", DataType::Float32, false));
    let metadata = HashMap::from([
        ("unit".to_owned(), bank.unit.clone()),
        ("low".to_owned(), bank.range.low.to_string()),
        ("high".to_owned(), bank.range.high.to_string()),
    ]);
    Field::new(column_name(direction, bank), DataType::FixedSizeList(item, bank.count as i32), false)
        .with_metadata(metadata)
}

/// The controls of each setting.
fn settings(controls: &Batch, setting_of: &[u32]) -> Result<Batch, Error> {
    let count = setting_of.iter().max().map_or(0, |last| *last as usize + 1);
    if count > setting_of.len() {
        return Err(Error::trace("numbers its settings with gaps: count them from 0"));
    }
    let mut settings = Batch::zeros(count, controls.columns());
    let columns = controls.columns();
    for (shot, &setting) in setting_of.iter().enumerate() {
        let row = &mut settings.values_mut()[setting as usize * columns..(setting as usize + 1) * columns];
        row.copy_from_slice(controls.row(shot));
    }
    Ok(settings)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::trace::tests::{card, trace};

    #[test]
    fn a_trace_survives_its_file() {
        for controls in [0, 2] {
            let original = trace(card(3, controls, 2), [5000, 1, 100], |x, _, _| vec![x[0], x[1] * x[2]]);
            let bytes = original.to_arrow().unwrap();
            assert_eq!(Trace::from_arrow(&bytes).unwrap(), original);
        }
    }

    #[test]
    fn what_is_no_trace_is_refused() {
        let text = Trace::from_arrow(b"no arrow").unwrap_err().to_string();
        assert!(text.starts_with("the trace is not an Arrow IPC file"), "{text}");
        let mut bad = trace(card(1, 0, 1), [10, 1, 10], |x, _, _| vec![x[0]]);
        bad.outputs.values_mut()[3] = f32::NAN;
        let text = Trace::from_arrow(&bad.to_arrow().unwrap()).unwrap_err().to_string();
        assert!(text.contains("not finite"), "{text}");
    }
}
