//! Files that others wrote, read up to a bound: whatever a path leads to, no more of it comes into memory than its kind can need.
//!
//! A device is refused, so `/dev/zero` is said and not read; a pipe that nobody writes to is empty, and does not wait.

use std::fs::{File, OpenOptions};
use std::io::{self, ErrorKind, Read};
use std::os::unix::fs::{FileTypeExt, OpenOptionsExt};
use std::path::Path;

use rustix::fs::{OFlags, fcntl_getfl, fcntl_setfl};

/// One MiB, in which bounds are said.
pub const MEBIBYTE: u64 = 1 << 20;

/// A reader that fails where more than so many bytes come.
#[derive(Debug)]
pub struct Bounded<R> {
    reader: R,
    most: u64,
    left: u64,
}

impl<R: Read> Bounded<R> {
    /// At most `most` bytes of `reader`.
    pub fn new(reader: R, most: u64) -> Self {
        Self { reader, most, left: most }
    }
}

impl<R: Read> Read for Bounded<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        // One byte more than there may be shows that there is more.
        let room = usize::try_from(self.left.saturating_add(1)).unwrap_or(usize::MAX).min(buffer.len());
        let count = self.reader.read(&mut buffer[..room])?;
        let Some(left) = self.left.checked_sub(count as u64) else { return Err(too_long(self.most)) };
        self.left = left;
        Ok(count)
    }
}

/// Opens a file or a pipe of which at most `most` bytes are read.
pub fn open_bounded(path: &Path, most: u64) -> io::Result<Bounded<File>> {
    // Without this flag a pipe that nobody writes to would keep the program waiting here.
    let file = OpenOptions::new().read(true).custom_flags(OFlags::NONBLOCK.bits() as i32).open(path)?;
    let facts = file.metadata()?;
    let kind = facts.file_type();
    if kind.is_dir() {
        return Err(io::Error::new(ErrorKind::IsADirectory, "it is a folder"));
    }
    if kind.is_char_device() || kind.is_block_device() {
        let message = format!("it is a device, which has no end: a file of at most {} is read", size(most));
        return Err(io::Error::new(ErrorKind::InvalidInput, message));
    }
    if kind.is_file() && most < facts.len() {
        return Err(too_long(most));
    }
    if kind.is_fifo() {
        fcntl_setfl(&file, fcntl_getfl(&file)? - OFlags::NONBLOCK)?;
    }
    Ok(Bounded::new(file, most))
}

/// The content of a file or a pipe, at most `most` bytes.
pub fn read_bounded(path: &Path, most: u64) -> io::Result<Vec<u8>> {
    let mut content = Vec::new();
    open_bounded(path, most)?.read_to_end(&mut content)?;
    Ok(content)
}

/// The same as text.
pub fn read_text_bounded(path: &Path, most: u64) -> io::Result<String> {
    let content = read_bounded(path, most)?;
    String::from_utf8(content).map_err(|_| io::Error::new(ErrorKind::InvalidData, "it is no text in UTF-8"))
}

fn too_long(most: u64) -> io::Error {
    io::Error::new(ErrorKind::FileTooLarge, format!("it is longer than {}, the most that is read of it", size(most)))
}

/// A bound in words.
fn size(bytes: u64) -> String {
    if bytes.is_multiple_of(MEBIBYTE) { format!("{} MiB", bytes / MEBIBYTE) } else { format!("{bytes} bytes") }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(path: &Path, most: u64) -> String {
        read_bounded(path, most).unwrap_err().to_string()
    }

    #[test]
    fn a_file_is_read_up_to_its_bound() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        std::fs::write(&path, "12345").unwrap();
        assert_eq!(read_text_bounded(&path, 5).unwrap(), "12345");
        assert_eq!(refusal(&path, 4), "it is longer than 4 bytes, the most that is read of it");
        std::fs::write(&path, [0xFF]).unwrap();
        assert!(read_text_bounded(&path, 5).unwrap_err().to_string().contains("UTF-8"));
        assert_eq!(refusal(folder.path(), 4), "it is a folder");
    }

    #[test]
    fn what_has_no_end_is_refused() {
        assert!(refusal(Path::new("/dev/zero"), 3 * MEBIBYTE).contains("at most 3 MiB"));
        let mut endless = Bounded::new(io::repeat(1), MEBIBYTE);
        let error = io::copy(&mut endless, &mut io::sink()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::FileTooLarge);
    }

    #[test]
    fn a_pipe_that_nobody_writes_to_is_empty() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("pipe");
        rustix::fs::mknodat(rustix::fs::CWD, &path, rustix::fs::FileType::Fifo, rustix::fs::Mode::RWXU, 0).unwrap();
        assert_eq!(read_bounded(&path, 4).unwrap(), b"");
    }
}
