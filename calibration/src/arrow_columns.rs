//! The columns of an Arrow IPC file, as far as a trace has them: numbers, counts, and lists of floats of equal size.
//!
//! Files that other programs have rewritten may hold further columns; they are passed over.

use std::collections::BTreeMap;

use arrow_format::ipc;
use planus::ReadAsRoot;

use crate::Error;

/// How a column lies in the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// 64-bit floats.
    Doubles,
    /// 32-bit unsigned counts.
    Counts,
    /// Lists of so many 32-bit floats.
    Floats(usize),
    /// Something else, in so many buffers.
    Other(usize),
}

/// The columns, as bytes, batch after batch.
#[derive(Debug, Default)]
pub(crate) struct Columns {
    /// The schema's metadata.
    pub metadata: BTreeMap<String, String>,
    columns: BTreeMap<String, (Kind, Vec<u8>)>,
}

/// What a flatbuffer that cannot be read says.
fn broken(error: impl std::fmt::Display) -> Error {
    Error::trace(format!("is not an Arrow IPC file: {error}"))
}

fn cut_off() -> Error {
    broken("it is cut off")
}

impl Columns {
    /// Reads a whole file.
    pub fn read(bytes: &[u8]) -> Result<Self, Error> {
        const MAGIC: &[u8] = b"ARROW1";
        if !(bytes.starts_with(MAGIC) && bytes.ends_with(MAGIC)) {
            return Err(broken("it does not begin and end with ARROW1"));
        }
        let end = bytes.len().checked_sub(10).ok_or_else(cut_off)?;
        let length = bytes[end..end + 4].try_into().map(i32::from_le_bytes).map_err(broken)?;
        let start = usize::try_from(length).ok().and_then(|length| end.checked_sub(length)).ok_or_else(cut_off)?;
        let footer = ipc::FooterRef::read_as_root(&bytes[start..end]).map_err(broken)?;
        let schema = footer.schema().map_err(broken)?.ok_or_else(|| broken("it has no schema"))?;
        let mut columns = Self::default();
        for pair in schema.custom_metadata().map_err(broken)?.into_iter().flatten() {
            let pair = pair.map_err(broken)?;
            if let (Some(key), Some(value)) = (pair.key().map_err(broken)?, pair.value().map_err(broken)?) {
                columns.metadata.insert(key.to_owned(), value.to_owned());
            }
        }
        let mut fields = Vec::new();
        for field in schema.fields().map_err(broken)?.into_iter().flatten() {
            let field = field.map_err(broken)?;
            let name = field.name().map_err(broken)?.unwrap_or_default().to_owned();
            let kind = kind(&field)?;
            columns.columns.insert(name.clone(), (kind, Vec::new()));
            fields.push((name, kind));
        }
        for block in footer.record_batches().map_err(broken)?.into_iter().flatten() {
            let at = |value: i64| usize::try_from(value).map_err(broken);
            let (offset, meta) = (at(block.offset())?, at(i64::from(block.meta_data_length()))?);
            let header = bytes.get(offset + 8..offset.saturating_add(meta)).ok_or_else(cut_off)?;
            let body = bytes
                .get(offset + meta..)
                .and_then(|rest| rest.get(..at(block.body_length()).ok()?))
                .ok_or_else(cut_off)?;
            columns.add(header, body, &fields)?;
        }
        Ok(columns)
    }

    /// Adds one record batch.
    fn add(&mut self, header: &[u8], body: &[u8], fields: &[(String, Kind)]) -> Result<(), Error> {
        let message = ipc::MessageRef::read_as_root(header).map_err(broken)?;
        let Some(ipc::MessageHeaderRef::RecordBatch(batch)) = message.header().map_err(broken)? else {
            return Err(broken("one of its messages is no record batch"));
        };
        if batch.compression().map_err(broken)?.is_some() {
            return Err(Error::trace("is compressed: write it without compression"));
        }
        let nulls = batch.nodes().map_err(broken)?.into_iter().flatten().any(|node| node.null_count() > 0);
        if nulls {
            return Err(Error::trace("has missing values: remove those shots"));
        }
        let mut buffers = batch.buffers().map_err(broken)?.into_iter().flatten();
        for (name, kind) in fields {
            let (before, used) = match kind {
                Kind::Doubles | Kind::Counts => (1, true),
                Kind::Floats(_) => (2, true),
                Kind::Other(buffers) => (*buffers, false),
            };
            for _ in 0..before {
                buffers.next();
            }
            if !used {
                continue;
            }
            let buffer = buffers.next().ok_or_else(cut_off)?;
            let range = usize::try_from(buffer.offset()).ok().zip(usize::try_from(buffer.length()).ok());
            let values =
                range.and_then(|(offset, length)| body.get(offset..offset.checked_add(length)?)).ok_or_else(cut_off)?;
            let rows = usize::try_from(batch.length().map_err(broken)?).map_err(broken)?;
            let size = kind.bytes();
            // A buffer may be padded beyond its values.
            let values = rows.checked_mul(size).and_then(|size| values.get(..size)).ok_or_else(cut_off)?;
            if let Some((_, all)) = self.columns.get_mut(name) {
                all.extend_from_slice(values);
            }
        }
        Ok(())
    }

    fn find(&self, name: &str, wanted: Kind, expected: &str) -> Result<&[u8], Error> {
        match self.columns.get(name) {
            Some((kind, bytes)) if *kind == wanted => Ok(bytes),
            Some(_) => Err(Error::trace(format!("has a column `{name}` that does not hold {expected}"))),
            None => Err(Error::trace(format!("has no column `{name}`: leave all columns in"))),
        }
    }

    /// A column of 64-bit floats.
    pub fn doubles(&self, name: &str) -> Result<Vec<f64>, Error> {
        let bytes = self.find(name, Kind::Doubles, "64-bit floats")?;
        Ok(bytes.as_chunks().0.iter().map(|bytes| f64::from_le_bytes(*bytes)).collect())
    }

    /// A column of 32-bit counts.
    pub fn counts(&self, name: &str) -> Result<Vec<u32>, Error> {
        let bytes = self.find(name, Kind::Counts, "32-bit counts")?;
        Ok(bytes.as_chunks().0.iter().map(|bytes| u32::from_le_bytes(*bytes)).collect())
    }

    /// A column of lists of `size` 32-bit floats, one after another.
    pub fn floats(&self, name: &str, size: usize) -> Result<Vec<f32>, Error> {
        let bytes = self.find(name, Kind::Floats(size), &format!("lists of {size} 32-bit floats"))?;
        Ok(bytes.as_chunks().0.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect())
    }
}

impl Kind {
    /// Bytes of a row.
    fn bytes(self) -> usize {
        match self {
            Self::Doubles => 8,
            Self::Counts => 4,
            Self::Floats(size) => 4 * size,
            Self::Other(_) => 0,
        }
    }
}

/// How a field lies in a record batch.
fn kind(field: &ipc::FieldRef<'_>) -> Result<Kind, Error> {
    use ipc::TypeRef as T;
    let mut below = 0;
    let mut single = false;
    for child in field.children().map_err(broken)?.into_iter().flatten() {
        let child = child.map_err(broken)?;
        single = matches!(child.type_().map_err(broken)?, Some(T::FloatingPoint(float)) if float.precision().map_err(broken)? == ipc::Precision::Single);
        below += match kind(&child)? {
            Kind::Doubles | Kind::Counts => 2,
            Kind::Floats(_) => 3,
            Kind::Other(buffers) => buffers,
        };
    }
    if field.dictionary().map_err(broken)?.is_some() {
        return Ok(Kind::Other(2));
    }
    Ok(match field.type_().map_err(broken)? {
        Some(T::FloatingPoint(float)) if float.precision().map_err(broken)? == ipc::Precision::Double => Kind::Doubles,
        Some(T::Int(int)) if int.bit_width().map_err(broken)? == 32 && !int.is_signed().map_err(broken)? => {
            Kind::Counts
        }
        Some(T::FixedSizeList(list)) if single => {
            Kind::Floats(usize::try_from(list.list_size().map_err(broken)?).map_err(broken)?)
        }
        Some(T::FixedSizeList(_) | T::Struct(_)) => Kind::Other(1 + below),
        Some(T::List(_) | T::LargeList(_) | T::Map(_)) => Kind::Other(2 + below),
        Some(T::Utf8(_) | T::LargeUtf8(_) | T::Binary(_) | T::LargeBinary(_)) => Kind::Other(3),
        Some(T::Null(_)) => Kind::Other(0),
        _ => Kind::Other(2),
    })
}
