//! Traces as Arrow IPC files, which pandas, polars and `DuckDB` open: a column for each bank, units and ranges in the
//! fields' metadata, the plant's card and the provenance in the schema's.
//!
//! Written and read by the flatbuffers of the crate `arrow-format`: a trace has columns of three kinds, and Arrow's full
//! implementations, which know some forty, would cost more to build than the rest of the workspace. Layout after the Arrow columnar
//! format, "IPC File Format": magic, schema, record batches, footer.

use std::collections::BTreeMap;

use arrow_format::ipc;
use drivers::{Bank, Batch, Direction};
use planus::Builder;

use crate::arrow_columns::Columns;
use crate::card_text::{card_text, read_card};
use crate::{Error, Trace};

/// Shots in a record batch of the file.
const ROWS: usize = 4096;
/// What a file begins and ends with.
const MAGIC: &[u8] = b"ARROW1";
/// Marks the length of a message.
const CONTINUATION: [u8; 4] = [0xFF; 4];
/// The key of the card in the schema's metadata.
const CARD: &str = "pnnlab.card";
/// What the keys of the provenance begin with.
const PROVENANCE: &str = "pnnlab.provenance.";

const DIRECTIONS: [Direction; 3] = [Direction::Input, Direction::Control, Direction::Output];

impl Trace {
    /// The trace as the bytes of an Arrow IPC file.
    pub fn to_arrow(&self) -> Vec<u8> {
        let schema = self.schema();
        let mut file = Vec::new();
        file.extend_from_slice(MAGIC);
        file.extend_from_slice(&[0, 0]);
        let header = ipc::MessageHeader::Schema(Box::new(schema.clone()));
        add_message(&mut file, header, &[]);
        let mut blocks = Vec::new();
        for first in (0..self.shots()).step_by(ROWS) {
            let rows = first..(first + ROWS).min(self.shots());
            let (batch, body) = self.record_batch(rows);
            blocks.push(add_message(&mut file, ipc::MessageHeader::RecordBatch(Box::new(batch)), &body));
        }
        file.extend_from_slice(&CONTINUATION);
        file.extend_from_slice(&[0; 4]);
        let footer = ipc::Footer {
            version: ipc::MetadataVersion::V5,
            schema: Some(Box::new(schema)),
            dictionaries: None,
            record_batches: Some(blocks),
            custom_metadata: None,
        };
        let mut builder = Builder::new();
        let footer = builder.finish(&footer, None).to_vec();
        file.extend_from_slice(&footer);
        file.extend_from_slice(&(footer.len() as i32).to_le_bytes());
        file.extend_from_slice(MAGIC);
        file
    }

    /// The trace that an Arrow IPC file holds.
    pub fn from_arrow(bytes: &[u8]) -> Result<Self, Error> {
        let columns = Columns::read(bytes)?;
        let missing =
            || Error::trace(format!("has no `{CARD}` in its schema: it was not written by `pnnlab calibrate`"));
        let card = read_card(columns.metadata.get(CARD).ok_or_else(missing)?)?;
        let provenance = columns
            .metadata
            .iter()
            .filter_map(|(key, value)| Some((key.strip_prefix(PROVENANCE)?.to_owned(), value.clone())));
        let provenance: BTreeMap<String, String> = provenance.collect();
        let seconds = columns.doubles("seconds")?;
        let (stimulus, setting_of) = (columns.counts("stimulus")?, columns.counts("setting")?);
        let shots = seconds.len();
        if shots == 0 {
            return Err(Error::trace("holds no shots"));
        }
        let rows = |direction: Direction| -> Result<Batch, Error> {
            let banks = card.ports.banks(direction);
            let lists = banks.iter().map(|bank| columns.floats(&column_name(direction, bank), bank.count));
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

    fn schema(&self) -> ipc::Schema {
        let float = |precision| ipc::Type::FloatingPoint(Box::new(ipc::FloatingPoint { precision }));
        let count = || ipc::Type::Int(Box::new(ipc::Int { bit_width: 32, is_signed: false }));
        let mut fields = vec![
            field("seconds", float(ipc::Precision::Double), vec![], &[("unit", "s")]),
            field("stimulus", count(), vec![], &[("unit", "1")]),
            field("setting", count(), vec![], &[("unit", "1")]),
        ];
        for direction in DIRECTIONS {
            for bank in self.card.ports.banks(direction) {
                let item = field("item", float(ipc::Precision::Single), vec![], &[]);
                let list = ipc::Type::FixedSizeList(Box::new(ipc::FixedSizeList { list_size: bank.count as i32 }));
                let (low, high) = (bank.range.low.to_string(), bank.range.high.to_string());
                let metadata = [("unit", bank.unit.as_str()), ("low", &low), ("high", &high)];
                fields.push(field(&column_name(direction, bank), list, vec![item], &metadata));
            }
        }
        let card = card_text(&self.card);
        let provenance = self.provenance.iter().map(|(key, value)| pair(&format!("{PROVENANCE}{key}"), value));
        ipc::Schema {
            endianness: ipc::Endianness::Little,
            fields: Some(fields),
            custom_metadata: Some(std::iter::once(pair(CARD, &card)).chain(provenance).collect()),
            features: None,
        }
    }

    /// Some shots: their columns' places, and the columns.
    fn record_batch(&self, rows: std::ops::Range<usize>) -> (ipc::RecordBatch, Vec<u8>) {
        let mut body = Body::new(rows.len());
        body.column(rows.clone().flat_map(|shot| self.seconds[shot].to_le_bytes()).collect(), rows.len());
        body.column(rows.clone().flat_map(|shot| self.stimulus[shot].to_le_bytes()).collect(), rows.len());
        body.column(rows.clone().flat_map(|shot| self.setting_of[shot].to_le_bytes()).collect(), rows.len());
        for direction in DIRECTIONS {
            let mut first = 0;
            for bank in self.card.ports.banks(direction) {
                let of_shot = |shot: usize| match direction {
                    Direction::Input => self.inputs.row(shot),
                    Direction::Control => self.controls(shot),
                    Direction::Output => self.outputs.row(shot),
                };
                let values = rows.clone().flat_map(|shot| &of_shot(shot)[first..first + bank.count]);
                body.list(values.flat_map(|value| value.to_le_bytes()).collect(), rows.len() * bank.count);
                first += bank.count;
            }
        }
        let batch = ipc::RecordBatch {
            length: rows.len() as i64,
            nodes: Some(body.nodes),
            buffers: Some(body.buffers),
            compression: None,
        };
        (batch, body.bytes)
    }
}

/// The body of a record batch as it grows.
struct Body {
    rows: usize,
    bytes: Vec<u8>,
    nodes: Vec<ipc::FieldNode>,
    buffers: Vec<ipc::Buffer>,
}

impl Body {
    fn new(rows: usize) -> Self {
        Self { rows, bytes: vec![], nodes: vec![], buffers: vec![] }
    }

    /// A column of plain numbers; nothing is null, so its validity is left out.
    fn column(&mut self, values: Vec<u8>, count: usize) {
        self.nodes.push(ipc::FieldNode { length: count as i64, null_count: 0 });
        self.buffer(vec![]);
        self.buffer(values);
    }

    /// A column of lists of equal size.
    fn list(&mut self, values: Vec<u8>, count: usize) {
        self.nodes.push(ipc::FieldNode { length: self.rows as i64, null_count: 0 });
        self.buffer(vec![]);
        self.column(values, count);
    }

    fn buffer(&mut self, values: Vec<u8>) {
        self.buffers.push(ipc::Buffer { offset: self.bytes.len() as i64, length: values.len() as i64 });
        self.bytes.extend(values);
        pad(&mut self.bytes);
    }
}

/// Up to a multiple of 8 bytes.
fn pad(bytes: &mut Vec<u8>) {
    bytes.resize(bytes.len().next_multiple_of(8), 0);
}

/// Adds a message with its body: where it lies.
fn add_message(file: &mut Vec<u8>, header: ipc::MessageHeader, body: &[u8]) -> ipc::Block {
    let message = ipc::Message {
        version: ipc::MetadataVersion::V5,
        header: Some(header),
        body_length: body.len() as i64,
        custom_metadata: None,
    };
    let mut builder = Builder::new();
    let mut metadata = builder.finish(&message, None).to_vec();
    pad(&mut metadata);
    let block = ipc::Block {
        offset: file.len() as i64,
        meta_data_length: metadata.len() as i32 + 8,
        body_length: body.len() as i64,
    };
    file.extend_from_slice(&CONTINUATION);
    file.extend_from_slice(&(metadata.len() as i32).to_le_bytes());
    file.extend(metadata);
    file.extend_from_slice(body);
    block
}

fn pair(key: &str, value: &str) -> ipc::KeyValue {
    ipc::KeyValue { key: Some(key.to_owned()), value: Some(value.to_owned()) }
}

fn field(name: &str, kind: ipc::Type, children: Vec<ipc::Field>, metadata: &[(&str, &str)]) -> ipc::Field {
    ipc::Field {
        name: Some(name.to_owned()),
        nullable: false,
        type_: Some(kind),
        dictionary: None,
        children: Some(children),
        custom_metadata: Some(metadata.iter().map(|(key, value)| pair(key, value)).collect()),
    }
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
            let bytes = original.to_arrow();
            assert_eq!(Trace::from_arrow(&bytes).unwrap(), original);
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
        let text = Trace::from_arrow(&bad.to_arrow()).unwrap_err().to_string();
        assert!(text.contains("not finite"), "{text}");
    }
}
