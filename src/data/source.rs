//! The bytes of a table: of a file, plain or packed by gzip, or of a pipe. They end in an error where a quotation mark is not closed.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Cursor, Error, ErrorKind, Read, Result};
use std::os::unix::fs::FileTypeExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use calibration::Quotes;
use drivers::{Bounded, open_bounded, read_bounded};

use super::gzip::Gunzip;

/// What came through pipes: a pipe gives its bytes once, and an experiment reads its data for each seed anew.
static PIPED: Mutex<BTreeMap<PathBuf, Arc<[u8]>>> = Mutex::new(BTreeMap::new());

/// A quotation mark that is not closed, at the line where it stands.
#[derive(Debug)]
struct Unclosed(u64);

impl std::fmt::Display for Unclosed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "the quotation mark in line {} is not closed", self.0)
    }
}

impl std::error::Error for Unclosed {}

/// A reader that fails at its end where a quotation mark is not closed.
struct Closed<R> {
    reader: R,
    quotes: Quotes,
}

impl<R: Read> Read for Closed<R> {
    fn read(&mut self, buffer: &mut [u8]) -> Result<usize> {
        let count = self.reader.read(buffer)?;
        self.quotes.read(&buffer[..count]);
        match self.quotes.unclosed() {
            Some(line) if count == 0 && !buffer.is_empty() => Err(Error::new(ErrorKind::InvalidData, Unclosed(line))),
            _ => Ok(count),
        }
    }
}

/// What is wrong with the table called `name`, in a sentence.
pub fn complaint(name: &str, error: &csv::Error) -> crate::Error {
    let unclosed = match error.kind() {
        csv::ErrorKind::Io(error) => error.get_ref().and_then(|inner| inner.downcast_ref::<Unclosed>()),
        _ => None,
    };
    crate::Error::Data(match (unclosed, error.kind()) {
        (Some(Unclosed(line)), _) => format!("{name}:{line}: the quotation mark is not closed"),
        (None, csv::ErrorKind::Utf8 { pos, .. }) => {
            let line = pos.as_ref().map_or(1, csv::Position::line);
            format!(
                "{name}:{line}: it holds a letter that is not UTF-8, such as of Latin-1 or UTF-16: save it as CSV in UTF-8"
            )
        }
        (None, _) => format!("{name}: {error}"),
    })
}

/// All bytes of the table at `path`, unpacked; at most `most` of them are read.
pub(crate) fn read(path: &Path, most: u64) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    unpacked(path, most)?.read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// The bytes of the table at `path`, unpacked; at most `most` of them are read.
pub fn open(path: &Path, most: u64) -> Result<impl Read> {
    Ok(Closed { reader: unpacked(path, most)?, quotes: Quotes::new(b',') })
}

fn unpacked(path: &Path, most: u64) -> Result<Box<dyn Read>> {
    let mut packed: Box<dyn BufRead> = if std::fs::metadata(path)?.file_type().is_fifo() {
        Box::new(Cursor::new(piped(path, most)?))
    } else {
        Box::new(BufReader::new(open_bounded(path, most)?))
    };
    match packed.fill_buf()? {
        [0x1F, 0x8B, ..] => Ok(Box::new(Bounded::new(Gunzip::new(packed), most))),
        [b'P', b'K', 3, 4, ..] => {
            let message = "it is an archive, such as .npz, .xlsx or .zip: write its table as CSV";
            Err(Error::new(ErrorKind::InvalidData, message))
        }
        _ => Ok(Box::new(packed)),
    }
}

fn piped(path: &Path, most: u64) -> Result<Arc<[u8]>> {
    let mut known = PIPED.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(bytes) = known.get(path) {
        return Ok(bytes.clone());
    }
    let bytes: Arc<[u8]> = read_bounded(path, most)?.into();
    known.insert(path.to_owned(), bytes.clone());
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    fn read(path: &Path) -> String {
        let mut text = String::new();
        open(path, 1000).unwrap().read_to_string(&mut text).unwrap();
        text
    }

    #[test]
    fn a_pipe_is_read_as_often_as_a_file_and_gzip_is_unpacked() {
        let folder = tempfile::tempdir().unwrap();
        let [plain, packed, pipe, archive] =
            ["a.csv", "a.csv.gz", "pipe", "a.npz"].map(|name| folder.path().join(name));
        std::fs::write(&plain, "x,y\n").unwrap();
        let mut gzip = flate2::write::GzEncoder::new(vec![], flate2::Compression::default());
        gzip.write_all(b"x,y\n").unwrap();
        std::fs::write(&packed, gzip.finish().unwrap()).unwrap();
        std::fs::write(&archive, b"PK\x03\x04rest").unwrap();
        rustix::fs::mknodat(rustix::fs::CWD, &pipe, rustix::fs::FileType::Fifo, rustix::fs::Mode::RWXU, 0).unwrap();
        let to = pipe.clone();
        let writer = std::thread::spawn(move || std::fs::write(to, "x,y\n"));
        // Whoever reads before somebody writes would find it empty.
        let held = std::fs::OpenOptions::new().read(true).open(&pipe).unwrap();
        assert_eq!([read(&plain), read(&packed), read(&pipe), read(&pipe)], ["x,y\n"; 4]);
        writer.join().unwrap().unwrap();
        drop(held);
        std::fs::write(&plain, "x,y\n1,\"2\n3,4\n").unwrap();
        let cut = open(&plain, 1000).unwrap().read_to_string(&mut String::new()).unwrap_err();
        assert_eq!(cut.to_string(), "the quotation mark in line 2 is not closed");
        assert!(open(&archive, 1000).err().unwrap().to_string().contains(".npz"));
    }
}
