//! Traces as Arrow IPC files, which pandas, polars and `DuckDB` open: a column for each bank, units and ranges in the
//! fields' metadata, the plant's card and the provenance in the schema's.

use std::collections::{BTreeMap, HashMap};
use std::io::Cursor;
use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::types::{ArrowPrimitiveType, Float32Type, Float64Type, UInt32Type};
use arrow_array::{Array, ArrayRef, FixedSizeListArray, Float32Array, Float64Array, RecordBatch, UInt32Array};
use arrow_ipc::reader::FileReader;
use arrow_ipc::writer::FileWriter;
use arrow_schema::{ArrowError, DataType, Field, FieldRef, Metadata, Schema};
use drivers::{Bank, Batch, Direction};

use crate::arrow_bounds::check_file;
use crate::card_text::{card_text, read_card};
use crate::{Error, Trace};

/// Shots in a record batch of the file.
const ROWS: usize = 4096;
/// The key of the card in the schema's metadata.
const CARD: &str = "pnnlab.card";
/// What the keys of the provenance begin with.
const PROVENANCE: &str = "pnnlab.provenance.";

const DIRECTIONS: [Direction; 3] = [Direction::Input, Direction::Control, Direction::Output];

impl Trace {
    /// The trace as the bytes of an Arrow IPC file.
    pub fn to_arrow(&self) -> Result<Vec<u8>, Error> {
        let bad = |error: ArrowError| Error::trace(format!("cannot be written: {error}"));
        let schema = Arc::new(self.schema());
        let mut writer = FileWriter::try_new(Vec::new(), &schema).map_err(bad)?;
        for first in (0..self.shots()).step_by(ROWS) {
            let batch = self.record_batch(first..(first + ROWS).min(self.shots()));
            batch.and_then(|batch| writer.write(&batch)).map_err(bad)?;
        }
        writer.into_inner().map_err(bad)
    }

    /// The trace that an Arrow IPC file holds. Columns that a trace does not have are passed over.
    pub fn from_arrow(bytes: &[u8]) -> Result<Self, Error> {
        check_file(bytes)?;
        let broken = |error| Error::trace(format!("is not an Arrow IPC file, or it is cut off or damaged: {error}"));
        let reader = FileReader::try_new(Cursor::new(bytes), None).map_err(broken)?;
        let metadata = reader.schema().metadata().clone();
        let batches = reader.collect::<Result<Vec<_>, _>>().map_err(broken)?;
        Self::from_batches(&metadata, &batches)
    }

    /// The trace that record batches of a file or a stream with this metadata hold.
    pub(crate) fn from_batches(metadata: &Metadata, batches: &[RecordBatch]) -> Result<Self, Error> {
        let missing = || {
            Error::trace(format!(
                "has no `{CARD}` in its schema: it was not written by `pnnlab calibrate`. Shots of a training lie in runs/RUN/shots/PLANT-N.arrows"
            ))
        };
        let card = read_card(metadata.get(CARD).ok_or_else(missing)?)?;
        let provenance =
            metadata.iter().filter_map(|(key, value)| Some((key.strip_prefix(PROVENANCE)?.to_owned(), value.clone())));
        let provenance: BTreeMap<String, String> = provenance.collect();
        let seconds = numbers::<Float64Type>(batches, "seconds")?;
        let stimulus = numbers::<UInt32Type>(batches, "stimulus")?;
        let setting_of = numbers::<UInt32Type>(batches, "setting")?;
        let shots = seconds.len();
        if shots == 0 {
            return Err(Error::trace("holds no shots"));
        }
        let rows = |direction: Direction| -> Result<Batch, Error> {
            let banks = card.ports.banks(direction);
            let lists = banks.iter().map(|bank| lists(batches, &column_name(direction, bank), bank.count));
            let lists = lists.collect::<Result<Vec<_>, _>>()?;
            let mut values = Vec::new();
            for shot in 0..shots {
                for (list, bank) in lists.iter().zip(banks) {
                    values.extend_from_slice(&list[shot * bank.count..(shot + 1) * bank.count]);
                }
            }
            if values.iter().any(|value| !value.is_finite()) {
                return Err(Error::trace("holds a value that is not finite: remove that shot"));
            }
            if values.is_empty() {
                Ok(Batch::zeros(shots, 0))
            } else {
                Ok(Batch::new(card.ports.count(direction), values)?)
            }
        };
        if let Some(bad) = seconds.iter().find(|seconds| !seconds.is_finite()) {
            return Err(Error::trace(format!("was taken at {bad} s: a finite time was expected for each shot")));
        }
        let controls = rows(Direction::Control)?;
        Ok(Self {
            settings: settings(&controls, &setting_of)?,
            inputs: rows(Direction::Input)?,
            outputs: rows(Direction::Output)?,
            setting_of,
            stimulus,
            seconds,
            provenance,
            card,
        })
    }

    /// Some shots as a record batch.
    pub(crate) fn record_batch(&self, rows: std::ops::Range<usize>) -> Result<RecordBatch, ArrowError> {
        let schema = Arc::new(self.schema());
        let columns = self.columns(rows, &schema)?;
        RecordBatch::try_new(schema, columns)
    }

    pub(crate) fn schema(&self) -> Schema {
        let mut fields = vec![
            field("seconds", DataType::Float64, &[("unit", "s")]),
            field("stimulus", DataType::UInt32, &[("unit", "1")]),
            field("setting", DataType::UInt32, &[("unit", "1")]),
        ];
        for direction in DIRECTIONS {
            for bank in self.card.ports.banks(direction) {
                let item = Arc::new(Field::new("item", DataType::Float32, false));
                let (low, high) = (bank.range.low.to_string(), bank.range.high.to_string());
                let metadata = [("unit", bank.unit.as_str()), ("low", &low), ("high", &high)];
                let list = DataType::FixedSizeList(item, bank.count as i32);
                fields.push(field(&column_name(direction, bank), list, &metadata));
            }
        }
        let provenance = self.provenance.iter().map(|(key, value)| (format!("{PROVENANCE}{key}"), value.clone()));
        let metadata: HashMap<_, _> =
            std::iter::once((CARD.to_owned(), card_text(&self.card))).chain(provenance).collect();
        Schema::new(fields).with_metadata(metadata)
    }

    /// Some shots as the schema's columns.
    fn columns(&self, rows: std::ops::Range<usize>, schema: &Schema) -> Result<Vec<ArrayRef>, ArrowError> {
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
                let values = rows.clone().flat_map(|shot| &of_shot(shot)[first..first + bank.count]);
                let values = Float32Array::from_iter_values(values.copied());
                let DataType::FixedSizeList(item, size) = schema.field(columns.len()).data_type() else {
                    unreachable!("the schema has a list for each bank");
                };
                columns.push(Arc::new(FixedSizeListArray::try_new(item.clone(), *size, Arc::new(values), None)?));
                first += bank.count;
            }
        }
        Ok(columns)
    }
}

fn field(name: &str, kind: DataType, metadata: &[(&str, &str)]) -> FieldRef {
    let metadata: HashMap<String, String> =
        metadata.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
    Arc::new(Field::new(name, kind, false).with_metadata(metadata))
}

/// The column of that name in each batch, none of it missing.
fn column<'a>(batches: &'a [RecordBatch], name: &str) -> Result<Vec<&'a ArrayRef>, Error> {
    let found = |batch: &'a RecordBatch| match batch.column_by_name(name) {
        Some(column) if column.null_count() > 0 => {
            Err(Error::trace(format!("has missing values in its column `{name}`: remove those shots")))
        }
        Some(column) => Ok(column),
        None => Err(Error::trace(format!("has no column `{name}`: leave all columns in"))),
    };
    batches.iter().map(found).collect()
}

/// A column of plain numbers.
pub(crate) fn numbers<T: ArrowPrimitiveType>(batches: &[RecordBatch], name: &str) -> Result<Vec<T::Native>, Error> {
    let mut all = Vec::new();
    for column in column(batches, name)? {
        let values = column.as_primitive_opt::<T>().ok_or_else(|| wrong(name, &T::DATA_TYPE.to_string()))?;
        all.extend_from_slice(values.values());
    }
    Ok(all)
}

/// A column of lists of `size` 32-bit floats, one after another.
pub(crate) fn lists(batches: &[RecordBatch], name: &str, size: usize) -> Result<Vec<f32>, Error> {
    let mut all = Vec::new();
    for column in column(batches, name)? {
        let lists = column.as_fixed_size_list_opt().filter(|lists| lists.value_length() as usize == size);
        let values = lists.and_then(|lists| lists.values().as_primitive_opt::<Float32Type>());
        let values = values.ok_or_else(|| wrong(name, &format!("lists of {size} Float32")))?;
        if values.null_count() > 0 {
            return Err(Error::trace(format!("has missing values in its column `{name}`: remove those shots")));
        }
        all.extend_from_slice(values.values());
    }
    Ok(all)
}

fn wrong(name: &str, expected: &str) -> Error {
    Error::trace(format!("has a column `{name}` that does not hold {expected}"))
}

/// Such as `input.drive`.
fn column_name(direction: Direction, bank: &Bank) -> String {
    format!("{direction}.{}", bank.name)
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
            assert_eq!(original.to_arrow().unwrap(), bytes, "the same trace, the same bytes");
            // Cut anywhere it is refused, not misread.
            for end in [0, 5, 100, bytes.len() / 2, bytes.len() - 1] {
                assert!(Trace::from_arrow(&bytes[..end]).is_err());
            }
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
