//! IDX files, the format of MNIST, plain or gzip: a magic number (0, 0, 8 for bytes, number of dimensions), the
//! dimensions as 32-bit big-endian numbers, then the bytes.

use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};

use drivers::{MEBIBYTE, open_bounded};

use super::augmentation::Augmented;
use super::gzip::Gunzip;
use super::pixels::{Images, Reduction};
use super::split::{Parts, drawn, subset};
use super::{Asked, Dataset, IdxConfig, Meaning, Rows, Targets};
use crate::Error;

/// The files of a folder.
pub const FILES: [&str; 4] =
    ["train-images-idx3-ubyte", "train-labels-idx1-ubyte", "t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte"];

/// The most that is read of a file, packed or not, and the most that it unpacks to.
const LONGEST: u64 = 1024 * MEBIBYTE;
const MOST: u64 = 1024 * MEBIBYTE;

/// Whether `folder` holds any of the files.
pub fn holds_any(folder: &Path) -> bool {
    FILES.iter().any(|name| candidates(folder, name).iter().any(|path| path.is_file()))
}

/// Whether `file` is called as one of the files.
pub fn is_one_of_four(file: &Path) -> bool {
    let name = file.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    let name = name.trim_end_matches(".gz");
    FILES.iter().any(|file| spellings(file).iter().any(|spelling| spelling == name))
}

/// The four files of `folder`.
pub fn dataset(config: &IdxConfig, folder: &Path, asked: Asked<'_>) -> Result<Dataset, Error> {
    let reduction = Reduction { average: config.average, stride: config.stride, range: config.range };
    let (images, labels) = load(folder, "train", config.classes)?;
    let (test_images, test_labels) = load(folder, "t10k", config.classes)?;
    if images.size != test_images.size {
        let [[height, width], [test_height, test_width]] = [images.size, test_images.size];
        return Err(Error::Data(format!(
            "{}: training images have {height}×{width} pixels, but test images {test_height}×{test_width}",
            folder.display()
        )));
    }
    if images.size.iter().any(|side| !side.is_multiple_of(config.average)) {
        let [height, width] = images.size;
        let message = format!("is {}, but images of {height}×{width} do not divide into squares of it", config.average);
        return Err(asked.document.refuse("data.average", message));
    }
    let parts = Parts { test: 0, validation: config.validation, train: config.train };
    let (train, validation) = drawn(labels.len(), parts, asked)?;
    let test = subset(test_labels.len(), config.test, "test", asked)?;
    let rows = |images: &Images, labels: &[u32], chosen: &[usize]| Rows {
        values: images.rows(chosen, &reduction),
        targets: Targets::Classes(chosen.iter().map(|&row| labels[row]).collect()),
        numbers: chosen.to_vec(),
    };
    Ok(Dataset {
        name: folder.display().to_string(),
        width: reduction.width(images.size),
        meaning: Meaning::Classes((0..config.classes).map(|class| class.to_string()).collect()),
        train: rows(&images, &labels, &train),
        validation: rows(&images, &labels, &validation),
        test: rows(&test_images, &test_labels, &test),
        columns: vec![],
        drawn: None,
        augmented: config.augmentation.clone().map(|config| Augmented {
            images: images.select(&train),
            reduction,
            config,
            key: asked.key.branch("augmentation"),
        }),
    })
}

/// Images and labels of one split.
fn load(folder: &Path, split: &str, classes: usize) -> Result<(Images, Vec<u32>), Error> {
    let images = read(&find(folder, &format!("{split}-images-idx3-ubyte"))?, 3)?;
    let file = find(folder, &format!("{split}-labels-idx1-ubyte"))?;
    let labels = read(&file, 1)?;
    let [count, height, width] = [images.dimensions[0], images.dimensions[1], images.dimensions[2]];
    if count != labels.dimensions[0] {
        return Err(Error::Data(format!(
            "{}: {count} {split} images, but {} labels: the two files do not belong together",
            folder.display(),
            labels.dimensions[0]
        )));
    }
    if let Some(row) = labels.bytes.iter().position(|&label| usize::from(label) >= classes) {
        return Err(Error::Data(format!(
            "{}: byte {}: the label is {}, but there are {classes} classes, 0 to {}: set data.classes if there are more",
            file.display(),
            HEADER_OF_LABELS + row,
            labels.bytes[row],
            classes - 1
        )));
    }
    let labels = labels.bytes.iter().map(|&label| u32::from(label)).collect();
    Ok((Images { pixels: images.bytes, size: [height, width], white: u8::MAX }, labels))
}

/// Bytes before the first label.
const HEADER_OF_LABELS: usize = 8;

/// A name as it was published, and as some unpack it: `train-images.idx3-ubyte`.
fn spellings(name: &str) -> [String; 2] {
    [name.to_owned(), name.replace("-idx", ".idx")]
}

/// What a file may be called.
fn candidates(folder: &Path, name: &str) -> Vec<PathBuf> {
    spellings(name).iter().flat_map(|name| [folder.join(name), folder.join(format!("{name}.gz"))]).collect()
}

/// The file, plain or with `.gz`.
fn find(folder: &Path, name: &str) -> Result<PathBuf, Error> {
    candidates(folder, name).into_iter().find(|path| path.is_file()).ok_or_else(|| {
        Error::Data(format!(
            "{}: there is no {name} or {name}.gz: put it there, or name another folder of the IDX files with --data",
            folder.display()
        ))
    })
}

/// A decoded file.
struct Idx {
    dimensions: Vec<usize>,
    bytes: Vec<u8>,
}

/// Reads a file of bytes with so many dimensions.
fn read(path: &Path, dimensions: usize) -> Result<Idx, Error> {
    let bad = |message: String| Error::Data(format!("{}: {message}", path.display()));
    let opened = open_bounded(path, LONGEST).map_err(|error| bad(format!("cannot be read: {error}")))?;
    let mut file = BufReader::new(opened);
    let start = file.fill_buf().map_err(|error| bad(format!("cannot be read: {error}")))?;
    // By its first bytes, because some download it under one name and unpack it under another.
    if start.starts_with(&[0x1F, 0x8B]) {
        parse(Gunzip::new(file), dimensions).map_err(|message| bad(format!("unpacked, {message}")))
    } else {
        parse(file, dimensions).map_err(bad)
    }
}

/// Decodes a file.
fn parse(mut content: impl Read, dimensions: usize) -> Result<Idx, String> {
    let expected = [0, 0, 8, dimensions as u8];
    let header_bytes = 4 + 4 * dimensions;
    let header = take(&mut content, header_bytes, 0)?;
    let magic =
        header.get(..4).ok_or_else(|| format!("byte {}: the file ends inside its magic number", header.len()))?;
    if magic != expected {
        return Err(format!(
            "byte 0: the magic number is {magic:?}, but {expected:?} was expected (bytes in {dimensions} dimensions)"
        ));
    }
    if header.len() < header_bytes {
        return Err(format!("byte {}: the file ends inside its header of {header_bytes} bytes", header.len()));
    }
    let sizes: Vec<usize> = header[4..]
        .chunks_exact(4)
        .map(|word| word.iter().fold(0, |size, &byte| size << 8 | usize::from(byte)))
        .collect();
    let wanted = sizes.iter().try_fold(1_usize, |product, &size| product.checked_mul(size)).filter(|&count| count > 0);
    if let Some(wanted) = wanted.filter(|wanted| MOST < *wanted as u64) {
        let mebibytes = MOST / MEBIBYTE;
        return Err(format!(
            "byte 4: the header promises {sizes:?} values, {wanted} in all: at most {mebibytes} MiB are read"
        ));
    }
    let promise = || format!("but its header promises {sizes:?} values");
    let Some(wanted) = wanted else {
        return Err(format!("byte {header_bytes}: the file should go on here, {}", promise()));
    };
    // One byte more than promised tells a file that is too long; memory grows only with what the file really holds.
    let mut bytes = take(&mut content, wanted.saturating_add(1), header_bytes)?;
    if bytes.len() != wanted {
        let (end, what) =
            (header_bytes + bytes.len().min(wanted), if bytes.len() < wanted { "ends" } else { "goes on" });
        return Err(format!(
            "byte {end}: the file {what} here, {}, {} bytes in all",
            promise(),
            wanted.saturating_add(header_bytes)
        ));
    }
    bytes.shrink_to_fit();
    Ok(Idx { dimensions: sizes, bytes })
}

/// The next `count` bytes, or fewer at the end of the file; `before` have been read.
fn take(content: &mut impl Read, count: usize, before: usize) -> Result<Vec<u8>, String> {
    let mut bytes = Vec::new();
    match content.by_ref().take(count as u64).read_to_end(&mut bytes) {
        Ok(_) => Ok(bytes),
        Err(error) => Err(format!(
            "byte {}: the file cannot be read on: {error}: it is damaged, get it again",
            before + bytes.len()
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(bytes: &[u8]) -> String {
        parse(bytes, 1).err().unwrap()
    }

    #[test]
    fn bytes_are_decoded() {
        let mut file = vec![0, 0, 8, 3, 0, 0, 0, 1, 0, 0, 0, 2, 0, 0, 0, 4];
        file.extend([0, 255, 255, 255, 0, 255, 255, 255]);
        let idx = parse(&file[..], 3).unwrap();
        assert_eq!(idx.dimensions, [1, 2, 4]);
        assert_eq!(idx.bytes, file[16..]);
    }

    #[test]
    fn broken_files_are_refused_at_their_byte() {
        assert_eq!(error(&[0, 0]), "byte 2: the file ends inside its magic number");
        assert!(error(&[0, 0, 13, 1, 0, 0, 0, 0]).starts_with("byte 0: the magic number is [0, 0, 13, 1]"));
        assert!(error(&[0, 0, 8, 1, 0]).starts_with("byte 5: the file ends inside its header"));
        assert_eq!(
            error(&[0, 0, 8, 1, 0, 0, 0, 3, 7]),
            "byte 9: the file ends here, but its header promises [3] values, 11 bytes in all"
        );
        assert_eq!(
            error(&[0, 0, 8, 1, 0, 0, 0, 1, 7, 7]),
            "byte 9: the file goes on here, but its header promises [1] values, 9 bytes in all"
        );
        assert!(error(&[0, 0, 8, 1, 0, 0, 0, 0]).contains("promises [0]"));
        let huge = [0, 0, 8, 3, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255];
        assert!(parse(&huge[..], 3).err().unwrap().contains("promises [4294967295"));
    }
}
