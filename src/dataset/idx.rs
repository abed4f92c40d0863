//! IDX files, the format of MNIST, plain or gzip: a magic number (0, 0, 8 for bytes, number of dimensions), the
//! dimensions as 32-bit big-endian numbers, then the bytes.

use std::fs::File;
use std::io::{BufReader, Read};
use std::path::{Path, PathBuf};

use flate2::read::GzDecoder;

use super::{Dataset, Rows};
use crate::Error;

/// The four files of a folder, pixels averaged in squares of `pool`.
pub fn load(folder: &Path, pool: usize) -> Result<Dataset, Error> {
    let (train, width) = rows(folder, "train", pool)?;
    let (test, test_width) = rows(folder, "t10k", pool)?;
    if width != test_width {
        return Err(Error::Data(format!(
            "{}: training images have {width} pixels, but test images {test_width}",
            folder.display()
        )));
    }
    let classes = train.labels.iter().chain(&test.labels).max().map_or(0, |&last| last as usize + 1);
    Ok(Dataset { name: folder.display().to_string(), width, classes, train, test })
}

/// Images and labels of one split, and the pixels of an image.
fn rows(folder: &Path, split: &str, pool: usize) -> Result<(Rows, usize), Error> {
    let images = read(&find(folder, &format!("{split}-images-idx3-ubyte"))?, 3)?;
    let labels = read(&find(folder, &format!("{split}-labels-idx1-ubyte"))?, 1)?;
    let [count, height, width] = [images.dimensions[0], images.dimensions[1], images.dimensions[2]];
    if count != labels.dimensions[0] {
        return Err(Error::Data(format!(
            "{}: {count} {split} images, but {} labels",
            folder.display(),
            labels.dimensions[0]
        )));
    }
    if pool == 0 || !height.is_multiple_of(pool) || !width.is_multiple_of(pool) {
        return Err(Error::Data(format!(
            "data.pool is {pool}, but images of {height}×{width} do not divide into squares of it"
        )));
    }
    let values = images.bytes.chunks_exact(height * width).flat_map(|image| pooled(image, width, pool)).collect();
    Ok((
        Rows { values, labels: labels.bytes.iter().map(|&label| u32::from(label)).collect() },
        height * width / (pool * pool),
    ))
}

/// An image with its pixels averaged in squares, from 0 to 1.
fn pooled(image: &[u8], width: usize, pool: usize) -> Vec<f32> {
    let (columns, height) = (width / pool, image.len() / width);
    let scale = 1.0 / (255.0 * (pool * pool) as f32);
    let square = |row: usize, column: usize| {
        let lines = (row * pool..(row + 1) * pool).map(|y| &image[y * width + column * pool..][..pool]);
        lines.flatten().map(|&pixel| u32::from(pixel)).sum::<u32>() as f32 * scale
    };
    (0..height / pool)
        .flat_map(|row| (0..columns).map(move |column| (row, column)))
        .map(|(row, column)| square(row, column))
        .collect()
}

/// The file, plain or with `.gz`.
fn find(folder: &Path, name: &str) -> Result<PathBuf, Error> {
    let candidates = [folder.join(name), folder.join(format!("{name}.gz"))];
    candidates.into_iter().find(|path| path.is_file()).ok_or_else(|| {
        Error::Data(format!(
            "{}: there is no {name} or {name}.gz: name the folder of the IDX files with --data",
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
    let file = BufReader::new(File::open(path).map_err(|error| bad(format!("cannot be read: {error}")))?);
    let zipped = path.extension().is_some_and(|extension| extension == "gz");
    let mut reader: Box<dyn Read> = if zipped { Box::new(GzDecoder::new(file)) } else { Box::new(file) };
    let mut content = Vec::new();
    reader
        .read_to_end(&mut content)
        .map_err(|error| bad(format!("cannot be read after byte {}: {error}", content.len())))?;
    parse(&content, dimensions).map_err(bad)
}

/// Decodes a file.
fn parse(content: &[u8], dimensions: usize) -> Result<Idx, String> {
    let expected = [0, 0, 8, dimensions as u8];
    let magic =
        content.get(..4).ok_or_else(|| format!("byte {}: the file ends inside its magic number", content.len()))?;
    if magic != expected {
        return Err(format!(
            "byte 0: the magic number is {magic:?}, but {expected:?} was expected (bytes in {dimensions} dimensions)"
        ));
    }
    let start = 4 + 4 * dimensions;
    let header = content
        .get(4..start)
        .ok_or_else(|| format!("byte {}: the file ends inside its header of {start} bytes", content.len()))?;
    let sizes: Vec<usize> =
        header.chunks_exact(4).map(|word| word.iter().fold(0, |size, &byte| size << 8 | usize::from(byte))).collect();
    let values = sizes.iter().try_fold(1_usize, |product, &size| product.checked_mul(size));
    let wanted = values.and_then(|values| values.checked_add(start));
    if wanted != Some(content.len()) || sizes.contains(&0) {
        let wanted = wanted.map_or("more than memory has".to_owned(), |bytes| format!("{bytes}"));
        return Err(format!(
            "byte {}: the file ends here, but its header promises {sizes:?} values, {wanted} bytes in all",
            content.len()
        ));
    }
    Ok(Idx { dimensions: sizes, bytes: content[start..].to_vec() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_decoded_and_pooled() {
        let mut file = vec![0, 0, 8, 3, 0, 0, 0, 1, 0, 0, 0, 2, 0, 0, 0, 4];
        file.extend([0, 255, 255, 255, 0, 255, 255, 255]);
        let idx = parse(&file, 3).unwrap();
        assert_eq!(idx.dimensions, [1, 2, 4]);
        assert_eq!(pooled(&idx.bytes, 4, 2), [0.5, 1.0]);
        assert_eq!(pooled(&idx.bytes, 4, 1).len(), 8);
    }

    #[test]
    fn broken_files_are_refused_at_their_byte() {
        let error = |bytes: &[u8]| parse(bytes, 1).err().unwrap();
        assert_eq!(error(&[0, 0]), "byte 2: the file ends inside its magic number");
        assert!(error(&[0, 0, 13, 1, 0, 0, 0, 0]).starts_with("byte 0: the magic number is [0, 0, 13, 1]"));
        assert!(error(&[0, 0, 8, 1, 0]).starts_with("byte 5: the file ends inside its header"));
        assert!(
            error(&[0, 0, 8, 1, 0, 0, 0, 3, 7]).starts_with("byte 9: the file ends here, but its header promises [3]")
        );
        assert!(error(&[0, 0, 8, 1, 0, 0, 0, 0]).contains("promises [0]"));
    }
}
