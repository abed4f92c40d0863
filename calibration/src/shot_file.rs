//! The shots that a training records (`runs/RUN/shots/PLANT-N.arrows`), as a trace.
//!
//! They are Arrow streams: batch after batch, readable up to the last whole one. Banks stand in the columns' metadata as `name count
//! unit low high; …`. The controls of each setting are a stream of their own beside it, `PLANT-N-controls.arrows`. The plant's timing is
//! not recorded; every shot counts as a stimulus of its own.

use std::collections::{BTreeMap, HashMap};
use std::io::Cursor;

use arrow_array::RecordBatch;
use arrow_array::types::{Float64Type, UInt64Type};
use arrow_ipc::reader::StreamReader;
use arrow_schema::Schema;
use drivers::{Bank, Batch, Card, Identity, Ports, Range, Timing};

use crate::arrow_bounds::check_stream;
use crate::card_text::read_origin;
use crate::trace_file::{lists, numbers};
use crate::{Error, Trace};

impl Trace {
    /// The trace that a training's recorded shots are, with the controls of each setting where the plant has any.
    pub fn from_shots(shots: &[u8], controls: Option<&[u8]>) -> Result<Self, Error> {
        let (schema, batches) = stream(shots)?;
        let text = |key: &str| schema.metadata().get(key).cloned();
        let missing = |key: &str| {
            Error::trace(format!("has no `{key}` in its schema: it holds no shots that a training recorded"))
        };
        let ports = Ports { inputs: banks(&schema, "inputs")?, controls: vec![], outputs: banks(&schema, "outputs")? };
        let setting = numbers::<UInt64Type>(&batches, "setting")?;
        let ended = numbers::<Float64Type>(&batches, "plant_seconds")?;
        let (width, height) = (ports.input_count(), ports.output_count());
        let inputs = rows(width, lists(&batches, "inputs", width)?)?;
        let outputs = rows(height, lists(&batches, "outputs", height)?)?;
        if setting.is_empty() {
            return Err(Error::trace("holds no shots"));
        }
        let identity = Identity {
            system: text("system").ok_or_else(|| missing("system"))?,
            serial: text("serial").ok_or_else(|| missing("serial"))?,
            origin: read_origin(&text("origin").ok_or_else(|| missing("origin"))?)?,
        };
        let (settings, setting_of, control_banks) = settings(&setting, controls)?;
        let card = Card { identity, ports: Ports { controls: control_banks, ..ports }, timing: Timing::default() };
        if let Some(complaint) = card.complaint() {
            return Err(Error::trace(format!("is of a plant that {complaint}")));
        }
        if ended.iter().any(|seconds| !seconds.is_finite()) {
            return Err(Error::trace("holds a time that is not finite: remove that shot"));
        }
        Ok(Self {
            card,
            provenance: schema.metadata().clone().into_iter().collect::<BTreeMap<_, _>>(),
            settings,
            setting_of,
            stimulus: (0..setting.len() as u32).collect(),
            seconds: spread(&ended),
            inputs,
            outputs,
        })
    }
}

/// The whole batches of a stream; what a crash cut off is left out.
fn stream(bytes: &[u8]) -> Result<(Schema, Vec<RecordBatch>), Error> {
    check_stream(bytes)?;
    let broken = |error| Error::trace(format!("is no Arrow stream: {error}"));
    let reader = StreamReader::try_new(Cursor::new(bytes), None).map_err(broken)?;
    let schema = reader.schema().as_ref().clone();
    Ok((schema, reader.map_while(Result::ok).collect()))
}

/// The banks of a column.
fn banks(schema: &Schema, column: &str) -> Result<Vec<Bank>, Error> {
    let wrong = || {
        Error::trace(format!(
            "does not say the banks of a column `{column}`: it holds no shots that a training recorded"
        ))
    };
    let text = schema.field_with_name(column).ok().and_then(|field| field.metadata().get("banks")).ok_or_else(wrong)?;
    let bank = |words: &str| {
        let [name, count, unit, low, high] = words.split_whitespace().collect::<Vec<_>>()[..] else { return None };
        let range = Range::new(low.parse().ok()?, high.parse().ok()?);
        Some(Bank::new(name, count.parse().ok()?, unit, range))
    };
    text.split(';').map(|words| bank(words).ok_or_else(wrong)).collect()
}

fn rows(columns: usize, values: Vec<f32>) -> Result<Batch, Error> {
    if values.iter().any(|value| !value.is_finite()) {
        return Err(Error::trace("holds a value that is not finite: remove that shot"));
    }
    Ok(Batch::new(columns, values)?)
}

/// The controls of each setting, which of them each shot has, and their banks; equal controls are one setting.
fn settings(of_shots: &[u64], controls: Option<&[u8]>) -> Result<(Batch, Vec<u32>, Vec<Bank>), Error> {
    if of_shots.iter().all(|setting| *setting == 0) {
        return Ok((Batch::zeros(1, 0), vec![0; of_shots.len()], vec![]));
    }
    let beside = "lies without its controls: keep `PLANT-N-controls.arrows` beside `PLANT-N.arrows`";
    let (schema, batches) = stream(controls.ok_or_else(|| Error::trace(beside))?)?;
    let banks = banks(&schema, "controls")?;
    let width = banks.iter().map(|bank| bank.count).sum();
    let (numbers, values) = (numbers::<UInt64Type>(&batches, "setting")?, lists(&batches, "controls", width)?);
    let mut place_of: HashMap<u64, u32> = HashMap::new();
    let mut known: HashMap<Vec<u32>, u32> = HashMap::new();
    let mut all = Vec::new();
    for (number, row) in numbers.iter().zip(values.chunks_exact(width.max(1))) {
        let next = known.len() as u32;
        let place = *known.entry(row.iter().map(|value| value.to_bits()).collect()).or_insert(next);
        if place == next {
            all.extend_from_slice(row);
        }
        place_of.insert(*number, place);
    }
    let place = |setting: &u64| {
        place_of.get(setting).copied().ok_or_else(|| Error::trace(format!("has no controls for its setting {setting}")))
    };
    let setting_of = of_shots.iter().map(place).collect::<Result<Vec<_>, _>>()?;
    Ok((rows(width, all)?, setting_of, banks))
}

/// Times of shots, of which only the end of each batch is known.
fn spread(ended: &[f64]) -> Vec<f64> {
    let (mut seconds, mut before) = (Vec::with_capacity(ended.len()), 0.0);
    for batch in ended.chunk_by(|a, b| a == b) {
        let count = batch.len() as f64;
        seconds.extend((0..batch.len()).map(|shot| before + (shot + 1) as f64 / count * (batch[0] - before)));
        before = batch[0];
    }
    seconds
}
