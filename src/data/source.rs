//! The bytes of a table: of a file, plain or packed by gzip, or of a pipe.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Cursor, Error, ErrorKind, Read, Result};
use std::os::unix::fs::FileTypeExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use drivers::{Bounded, open_bounded, read_bounded};

use super::gzip::Gunzip;

/// What came through pipes: a pipe gives its bytes once, and an experiment reads its data for each seed anew.
static PIPED: Mutex<BTreeMap<PathBuf, Arc<[u8]>>> = Mutex::new(BTreeMap::new());

/// The bytes at `path`, unpacked; at most `most` of them are read.
pub fn open(path: &Path, most: u64) -> Result<Box<dyn Read>> {
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
        assert!(open(&archive, 1000).err().unwrap().to_string().contains(".npz"));
    }
}
