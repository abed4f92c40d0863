//! A trace while it is measured: an Arrow stream to which shots are added batch by batch, readable up to the last whole one. So an
//! interrupted calibration keeps its shots and can go on.

use std::io::{Cursor, Write};

use arrow_ipc::reader::StreamReader;
use arrow_ipc::writer::StreamWriter;
use arrow_schema::ArrowError;

use crate::{Error, Trace};

/// Writes a trace as it is measured.
pub struct TraceWriter<W: Write> {
    writer: StreamWriter<W>,
}

impl<W: Write> TraceWriter<W> {
    /// Begins a stream of shots of the plant and with the provenance of `like`.
    pub fn new(to: W, like: &Trace) -> Result<Self, Error> {
        Ok(Self { writer: StreamWriter::try_new(to, &like.schema()).map_err(|error| unwritten(&error))? })
    }

    /// Adds shots, whose settings and stimuli are numbered as in the whole trace.
    pub fn add(&mut self, shots: &Trace) -> Result<(), Error> {
        self.writer
            .write(&shots.record_batch(0..shots.shots()).map_err(|error| unwritten(&error))?)
            .map_err(|error| unwritten(&error))?;
        self.writer.flush().map_err(|error| unwritten(&error))
    }
}

fn unwritten(error: &ArrowError) -> Error {
    Error::trace(format!("cannot be written: {error}"))
}

impl Trace {
    /// The whole batches of a stream that a [`TraceWriter`] began; what was cut off is left out. `None` if there are none.
    pub fn from_stream(bytes: &[u8]) -> Result<Option<Self>, Error> {
        let broken = |_| Error::trace("that was begun is no Arrow stream: remove it and measure again");
        let reader = StreamReader::try_new(Cursor::new(bytes), None).map_err(broken)?;
        let metadata = reader.schema().metadata().clone();
        let batches: Vec<_> = reader.map_while(Result::ok).collect();
        if batches.iter().all(|batch| batch.num_rows() == 0) {
            Ok(None)
        } else {
            Self::from_batches(&metadata, &batches).map(Some)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::trace::tests::{card, trace};

    #[test]
    fn what_is_written_is_read_up_to_the_last_whole_batch() {
        let whole = trace(card(3, 2, 2), [40, 2, 10], |x, k, _| vec![x[0] + k[1], x[2]]);
        let mut bytes = Vec::new();
        let mut writer = TraceWriter::new(&mut bytes, &whole).unwrap();
        for first in (0..80).step_by(20) {
            writer.add(&whole.select(&(first..first + 20).collect::<Vec<_>>())).unwrap();
        }
        drop(writer);
        assert_eq!(Trace::from_stream(&bytes).unwrap().unwrap(), whole);
        let cut = Trace::from_stream(&bytes[..bytes.len() - 30]).unwrap().unwrap();
        assert_eq!((cut.shots(), cut.settings.rows()), (60, 3));
        assert_eq!(cut.outputs.row(59), whole.outputs.row(59));
        assert!(Trace::from_stream(b"nothing").is_err());
    }
}
