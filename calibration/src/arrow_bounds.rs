//! What an Arrow file or stream promises, held against what it has, before anything is made room for: places within the file, and what
//! its compressed columns unpack to. The Arrow library believes both.

use arrow_ipc::{Block, CompressionType, Message, RecordBatch, root_as_footer, root_as_message};

use crate::Error;

/// The most that all columns of a file unpack to, in bytes.
const MOST: u64 = 4 << 30;
/// What a file begins and ends with.
const MAGIC: &[u8] = b"ARROW1";
/// The bytes behind the footer: its length, and the end.
const TRAILER: usize = 10;

/// What is read so far.
#[derive(Default)]
struct Promised {
    unpacked: u64,
}

/// Refuses an Arrow IPC file (Feather) that promises more than it has, or unpacks to more than it may.
pub(crate) fn check_file(bytes: &[u8]) -> Result<(), Error> {
    if bytes.starts_with(b"FEA1") {
        return Err(Error::trace("is a Feather file of version 1: write version 2, which all programs of today do"));
    }
    let body = bytes.len().checked_sub(TRAILER).filter(|_| bytes.starts_with(MAGIC) && bytes.ends_with(MAGIC));
    let body = body.ok_or_else(|| damaged("it does not begin and end as one"))?;
    let length = little_endian(bytes, body).ok_or_else(|| damaged("it has no footer"))?;
    let footer = body.checked_sub(length).and_then(|start| bytes.get(start..body));
    let footer = root_as_footer(footer.ok_or_else(|| damaged("its footer is longer than it"))?);
    let footer = footer.map_err(|_| damaged("its footer cannot be read"))?;
    let blocks = [footer.dictionaries(), footer.recordBatches()].into_iter().flatten();
    let mut promised = Promised::default();
    for block in blocks.flat_map(|blocks| blocks.iter().copied().collect::<Vec<Block>>()) {
        let start = usize::try_from(block.offset()).ok();
        let metadata = start.zip(usize::try_from(block.metaDataLength()).ok());
        let middle = metadata.and_then(|(start, length)| start.checked_add(length));
        let end = middle
            .zip(usize::try_from(block.bodyLength()).ok())
            .and_then(|(middle, length)| middle.checked_add(length));
        let parts = start
            .zip(middle)
            .zip(end)
            .and_then(|((start, middle), end)| Some((bytes.get(start..middle)?, bytes.get(middle..end)?)));
        let (metadata, body) = parts.ok_or_else(|| damaged("it names a batch beyond its end"))?;
        let message = metadata.strip_prefix(&[0xFF; 4]).unwrap_or(metadata).get(4..);
        let message = message.and_then(|message| root_as_message(message).ok());
        promised.add(&message.ok_or_else(|| damaged("a batch cannot be read"))?, body)?;
    }
    Ok(())
}

/// The same of a stream, as far as it is whole: a run that was killed leaves a torn end.
pub(crate) fn check_stream(bytes: &[u8]) -> Result<(), Error> {
    let (mut promised, mut at) = (Promised::default(), 0);
    while let Some(rest) = bytes.get(at..).filter(|rest| !rest.is_empty()) {
        let head = if rest.starts_with(&[0xFF; 4]) { 4 } else { 0 };
        let Some(length) = little_endian(rest, head).filter(|length| *length > 0) else { break };
        let start = head + 4;
        let Some(message) = start.checked_add(length).and_then(|end| rest.get(start..end)) else { break };
        let message = root_as_message(message).map_err(|_| damaged("a message cannot be read"))?;
        let size = usize::try_from(message.bodyLength()).map_err(|_| damaged("a message has a negative length"))?;
        let body = (start + length).checked_add(size).and_then(|end| rest.get(start + length..end));
        let Some(body) = body else { break };
        promised.add(&message, body)?;
        at += start + length + size;
    }
    Ok(())
}

impl Promised {
    /// Looks at the batch of a message, if it has one.
    fn add(&mut self, message: &Message<'_>, body: &[u8]) -> Result<(), Error> {
        let dictionary = || message.header_as_dictionary_batch().and_then(|batch| batch.data());
        let Some(batch) = message.header_as_record_batch().or_else(dictionary) else { return Ok(()) };
        if batch.length() < 0
            || batch.nodes().is_some_and(|nodes| nodes.iter().any(|node| node.length() < 0 || node.null_count() < 0))
        {
            return Err(damaged("a batch has a negative length"));
        }
        let compressed = batch.compression().map(|compression| compression.codec());
        if compressed.is_some_and(|codec| codec != CompressionType::ZSTD) {
            return Err(Error::trace(
                "is compressed with LZ4, which is not read here: write it with compression=\"zstd\" or \"uncompressed\"",
            ));
        }
        self.add_columns(&batch, body, compressed.is_some())
    }

    /// Looks at the columns of a batch.
    fn add_columns(&mut self, batch: &RecordBatch<'_>, body: &[u8], compressed: bool) -> Result<(), Error> {
        for buffer in batch.buffers().into_iter().flatten() {
            let start = usize::try_from(buffer.offset()).ok();
            let end =
                start.zip(usize::try_from(buffer.length()).ok()).and_then(|(start, length)| start.checked_add(length));
            let content = start.zip(end).and_then(|(start, end)| body.get(start..end));
            let content = content.ok_or_else(|| damaged("a column is longer than its batch"))?;
            let size = content.first_chunk::<8>().map(|size| i64::from_le_bytes(*size)).filter(|_| compressed);
            // −1 says that a column is not compressed after all.
            let size = size.and_then(|size| u64::try_from(size).ok()).unwrap_or(content.len() as u64);
            self.unpacked = self.unpacked.saturating_add(size);
        }
        if MOST < self.unpacked {
            let message = format!(
                "unpacks to {} MiB or more: at most {} MiB are read, take fewer shots",
                self.unpacked >> 20,
                MOST >> 20
            );
            return Err(Error::trace(message));
        }
        Ok(())
    }
}

/// A number of four bytes that is not negative.
fn little_endian(bytes: &[u8], at: usize) -> Option<usize> {
    let number = bytes.get(at..)?.first_chunk::<4>()?;
    usize::try_from(i32::from_le_bytes(*number)).ok()
}

fn damaged(why: &str) -> Error {
    Error::trace(format!("is not an Arrow IPC file, or it is cut off or damaged: {why}"))
}
