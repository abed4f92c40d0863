//! Recorded data as numpy archives (`.npz`): what went in and what came out, one shot a row, as a trace of a plant without a card.
//!
//! An archive is a ZIP of arrays with a one-line header each. Numpy's crates bring a parser generator and five decompressors
//! for that; this reads what `numpy.savez` and `savez_compressed` write.

use std::io::Read;

use drivers::Batch;
use flate2::Crc;
use flate2::read::DeflateDecoder;

use crate::recorded::{Recorded, trace_of};
use crate::{Error, Trace};

/// The most that an array unpacks to, and the most files of an archive.
const MOST_BYTES: usize = 512 << 20;
const MOST_FILES: usize = 4096;
/// The most of a file that is unpacked to find its header.
const MOST_HEADER: usize = 64 << 10;

/// A file of an archive, as it is packed.
#[derive(Debug, Clone)]
struct Packed<'a> {
    name: String,
    method: usize,
    checksum: usize,
    /// Unpacked.
    size: usize,
    content: &'a [u8],
}

/// An array of an archive, not yet unpacked.
#[derive(Debug, Clone)]
struct Array<'a> {
    name: String,
    /// Such as `<f8`.
    kind: String,
    shape: Vec<usize>,
    fortran: bool,
    file: Packed<'a>,
    /// Where its numbers begin.
    start: usize,
}

impl Trace {
    /// The trace that an archive holds, or two, inputs in the first and outputs in the second; `names` are those of the arrays of
    /// inputs and outputs, or parts of them that no other array has.
    ///
    /// Without names there must be exactly two arrays of rows, or one in each archive. The one called `…before…`, `…input…` or `x…`
    /// is the input; else the first in the archive.
    pub fn from_npz(archives: &[&[u8]], names: Option<(&str, &str)>) -> Result<Self, Error> {
        let (inputs, outputs) = match archives {
            [one] => {
                let arrays = read(one)?;
                let (inputs, outputs) = choose(&arrays, names)?;
                (inputs.rows()?, outputs.rows()?)
            }
            [of_inputs, of_outputs] => {
                let of = |archive: &[u8], name: Option<&str>| only(&read(archive)?, name)?.rows();
                (of(of_inputs, names.map(|names| names.0))?, of(of_outputs, names.map(|names| names.1))?)
            }
            _ => {
                return Err(Error::archive(
                    "is one of several: name one with both arrays, or two, inputs first and outputs second",
                ));
            }
        };
        trace_of(inputs, None, outputs, Error::archive)
    }
}

/// The rows of one array as `numpy.save` writes it (`.npy`); errors call it `name`.
pub fn read_npy(name: &str, bytes: &[u8]) -> Result<Batch, Error> {
    let mut crc = Crc::new();
    crc.update(bytes);
    let file =
        Packed { name: name.to_owned(), method: 0, checksum: crc.sum() as usize, size: bytes.len(), content: bytes };
    Ok(array(name.to_owned(), file)?.rows()?.rows())
}

/// All arrays of an archive.
fn read(bytes: &[u8]) -> Result<Vec<Array<'_>>, Error> {
    let mut arrays = Vec::new();
    for file in unzip(bytes)? {
        let Some(name) = file.name.strip_suffix(".npy").map(str::to_owned) else { continue };
        arrays.push(array(name, file)?);
    }
    Ok(arrays)
}

/// A little-endian number of `size` bytes.
fn number(bytes: &[u8], at: usize, size: usize) -> Option<usize> {
    let field = bytes.get(at..at.checked_add(size)?)?;
    Some(field.iter().rev().fold(0, |sum, byte| sum << 8 | usize::from(*byte)))
}

/// The files of a ZIP archive (PKWARE, APPNOTE.TXT 4.3): found from the directory at its end.
fn unzip(bytes: &[u8]) -> Result<Vec<Packed<'_>>, Error> {
    let broken = || Error::archive("cannot be read: it is no whole ZIP archive");
    let end = bytes.windows(4).rposition(|window| window == b"PK\x05\x06").ok_or_else(broken)?;
    let (count, mut at) =
        (number(bytes, end + 10, 2).ok_or_else(broken)?, number(bytes, end + 16, 4).ok_or_else(broken)?);
    if MOST_FILES < count {
        return Err(Error::archive(format!("holds {count} files: at most {MOST_FILES} are looked at")));
    }
    let mut files = Vec::new();
    for _ in 0..count {
        let field = |offset: usize, size: usize| number(bytes, at + offset, size).ok_or_else(broken);
        if bytes.get(at..at + 4) != Some(b"PK\x01\x02") {
            return Err(broken());
        }
        let (method, checksum, packed, size) = (field(10, 2)?, field(16, 4)?, field(20, 4)?, field(24, 4)?);
        let (name, extra, comment, local) = (field(28, 2)?, field(30, 2)?, field(32, 2)?, field(42, 4)?);
        let file = bytes.get(at + 46..at + 46 + name).ok_or_else(broken)?;
        // The local header repeats the name, and has extra fields of its own.
        let skipped = |offset: usize| number(bytes, local + offset, 2).ok_or_else(broken);
        let start = local + 30 + skipped(26)? + skipped(28)?;
        let content = bytes.get(start..start.saturating_add(packed)).ok_or_else(broken)?;
        let name_of = String::from_utf8_lossy(file).into_owned();
        files.push(Packed { name: name_of, method, checksum, size, content });
        at += 46 + name + extra + comment;
    }
    Ok(files)
}

impl Packed<'_> {
    /// The first `most` bytes of its content.
    fn unpacked(&self, most: usize) -> Result<Vec<u8>, Error> {
        match self.method {
            0 => Ok(self.content[..most.min(self.content.len())].to_vec()),
            8 => {
                let mut inflated = Vec::new();
                let mut reader = DeflateDecoder::new(self.content).take(most as u64);
                reader
                    .read_to_end(&mut inflated)
                    .map_err(|error| Error::archive(format!("cannot be read: {error}")))?;
                Ok(inflated)
            }
            _ => Err(Error::archive("is compressed in a way that numpy does not write: use numpy.savez")),
        }
    }

    /// All of its content, if it is that which was packed.
    fn whole(&self) -> Result<Vec<u8>, Error> {
        if MOST_BYTES < self.size {
            return Err(Error::archive(format!(
                "holds `{}`, which unpacks to {} MiB: at most {} MiB are read, save a part of it",
                self.name,
                self.size >> 20,
                MOST_BYTES >> 20
            )));
        }
        // One byte more than there should be shows that there is more.
        let content = self.unpacked(self.size + 1)?;
        let mut crc = Crc::new();
        crc.update(&content);
        if content.len() != self.size || crc.sum() as usize != self.checksum {
            return Err(Error::archive(format!(
                "has a damaged file `{}`: its checksum is not that of its content",
                self.name
            )));
        }
        Ok(content)
    }
}

/// A `.npy` file (numpy.lib.format, versions 1 to 3).
fn array(name: String, file: Packed<'_>) -> Result<Array<'_>, Error> {
    let broken = || Error::archive(format!("has an array `{name}` that is cut off or no numpy array"));
    let bytes = file.unpacked(MOST_HEADER)?;
    if !bytes.starts_with(b"\x93NUMPY") {
        return Err(broken());
    }
    let wide = *bytes.get(6).ok_or_else(broken)? > 1;
    let (length, first) = if wide { (number(&bytes, 8, 4), 12) } else { (number(&bytes, 8, 2), 10) };
    let start = first + length.ok_or_else(broken)?;
    let header = String::from_utf8_lossy(bytes.get(first..start).ok_or_else(broken)?).into_owned();
    let value = |key: &str| header.split_once(&format!("'{key}':")).map(|(_, rest)| rest.trim_start());
    let kind = value("descr").ok_or_else(broken)?;
    let kind = kind.strip_prefix('\'').and_then(|rest| rest.split_once('\'')).map_or("a record", |(kind, _)| kind);
    let fortran = value("fortran_order").is_some_and(|rest| rest.starts_with("True"));
    let shape = value("shape")
        .and_then(|rest| rest.strip_prefix('('))
        .and_then(|rest| rest.split_once(')'))
        .ok_or_else(broken)?
        .0;
    // Numpy under Python 2 writes long numbers as `200L`.
    let size = |size: &str| size.strip_suffix('L').unwrap_or(size).parse().ok();
    let sizes: Option<Vec<usize>> = shape.split(',').map(str::trim).filter(|size| !size.is_empty()).map(size).collect();
    let (kind, shape) = (kind.to_owned(), sizes.ok_or_else(broken)?);
    Ok(Array { name, kind, shape, fortran, file, start })
}

/// How a number of `SIZE` little-endian bytes is read.
fn decoded<const SIZE: usize>(content: &[u8], big: bool, value: impl Fn([u8; SIZE]) -> f64) -> Vec<f64> {
    let turned = |bytes: &[u8; SIZE]| {
        let mut bytes = *bytes;
        if big {
            bytes.reverse();
        }
        value(bytes)
    };
    content.as_chunks().0.iter().map(turned).collect()
}

impl Array<'_> {
    /// Name, type and shape, as an error says them.
    fn words(&self) -> String {
        let shape: Vec<String> = self.shape.iter().map(usize::to_string).collect();
        let shape = if shape.is_empty() { "a single value".to_owned() } else { format!("shape {}", shape.join("×")) };
        format!("`{}` ({}, {shape})", self.name, self.kind)
    }

    /// Whether it holds numbers that are read.
    fn is_numbers(&self) -> bool {
        self.kind.get(1..2).is_some_and(|letter| "fiu".contains(letter))
    }

    /// Whether it can stand for inputs or outputs without being named: labels have one dimension.
    fn is_rows(&self) -> bool {
        self.shape.len() > 1 && self.is_numbers()
    }

    /// The error of an array whose values are not read.
    fn unreadable(&self) -> Error {
        let what = match self.kind.get(1..2).unwrap_or_default() {
            "b" => "booleans",
            "c" => "complex numbers",
            "f" => "floats of a size that is not read",
            "O" => "Python objects",
            "S" | "U" => "text",
            _ => "no plain numbers",
        };
        Error::archive(format!(
            "holds {}, which are {what}: save floats or integers, with `array.astype('float64')`",
            self.words()
        ))
    }

    /// Its numbers, a shot a row; whatever follows the first dimension is columns.
    fn rows(&self) -> Result<Recorded, Error> {
        let big = self.kind.starts_with('>');
        let unpacked = self.file.whole()?;
        let content = unpacked.get(self.start..).unwrap_or_default();
        let values = match self.kind.get(1..).unwrap_or_default() {
            "f8" => decoded(content, big, f64::from_le_bytes),
            "f4" => decoded(content, big, |bytes| f64::from(f32::from_le_bytes(bytes))),
            "i8" => decoded(content, big, |bytes| i64::from_le_bytes(bytes) as f64),
            "i4" => decoded(content, big, |bytes| f64::from(i32::from_le_bytes(bytes))),
            "i2" => decoded(content, big, |bytes| f64::from(i16::from_le_bytes(bytes))),
            "i1" => decoded(content, big, |bytes| f64::from(i8::from_le_bytes(bytes))),
            "u8" => decoded(content, big, |bytes| u64::from_le_bytes(bytes) as f64),
            "u4" => decoded(content, big, |bytes| f64::from(u32::from_le_bytes(bytes))),
            "u2" => decoded(content, big, |bytes| f64::from(u16::from_le_bytes(bytes))),
            "u1" => decoded(content, big, |bytes: [u8; 1]| f64::from(bytes[0])),
            _ => return Err(self.unreadable()),
        };
        let refuse = |what: &str| Err(Error::archive(format!("has an array {} {what}", self.words())));
        if self.shape.contains(&0) {
            return refuse("that is empty: save one with a shot a row, and at least one column");
        }
        if self.fortran && self.shape.len() > 2 {
            return refuse("in Fortran's order: save `numpy.ascontiguousarray(array)`");
        }
        let rows = self.shape.first().copied().unwrap_or(1);
        let all = self.shape.iter().try_fold(1_usize, |all, size| all.checked_mul(*size));
        if all != Some(values.len()) {
            return refuse("that is cut off: save it again");
        }
        let width = values.len() / rows;
        let values = if self.fortran {
            (0..values.len()).map(|at| values[at % width * rows + at / width]).collect()
        } else {
            values
        };
        Ok(Recorded { name: self.name.clone(), columns: vec![], width, values })
    }
}

/// All arrays in words.
fn known(arrays: &[Array<'_>]) -> String {
    if arrays.is_empty() { "none".to_owned() } else { arrays.iter().map(Array::words).collect::<Vec<_>>().join(", ") }
}

/// The array called `name`, or the only one with it in its name.
fn named<'a, 'f>(arrays: &'a [Array<'f>], name: &str) -> Result<&'a Array<'f>, Error> {
    let parts: Vec<&Array<'_>> = arrays.iter().filter(|array| array.name.contains(name)).collect();
    match (arrays.iter().find(|array| array.name == name), &parts[..]) {
        (Some(array), _) => Ok(array),
        (None, [array]) => Ok(array),
        _ => Err(Error::archive(format!(
            "has {} `{name}`: it has {}",
            if parts.is_empty() { "no array" } else { "several arrays with" },
            known(arrays)
        ))),
    }
}

/// Refuses an array of rows whose values are not read.
fn readable(arrays: &[Array<'_>]) -> Result<(), Error> {
    let unread = arrays.iter().find(|array| array.shape.len() > 1 && !array.is_numbers());
    unread.map_or(Ok(()), |array| Err(array.unreadable()))
}

/// The array of an archive that has inputs or outputs alone.
fn only<'a, 'f>(arrays: &'a [Array<'f>], name: Option<&str>) -> Result<&'a Array<'f>, Error> {
    if let Some(name) = name {
        return named(arrays, name);
    }
    let rows: Vec<&Array<'_>> = arrays.iter().filter(|array| array.is_rows()).collect();
    let [one] = rows[..] else {
        if rows.is_empty() {
            readable(arrays)?;
        }
        return Err(Error::archive(format!(
            "has {} arrays of rows, of {}: name one with --arrays INPUTS,OUTPUTS",
            rows.len(),
            known(arrays)
        )));
    };
    Ok(one)
}

fn choose<'a, 'f>(
    arrays: &'a [Array<'f>],
    names: Option<(&str, &str)>,
) -> Result<(&'a Array<'f>, &'a Array<'f>), Error> {
    if let Some((inputs, outputs)) = names {
        return Ok((named(arrays, inputs)?, named(arrays, outputs)?));
    }
    let rows: Vec<&Array<'_>> = arrays.iter().filter(|array| array.is_rows()).collect();
    let [a, b] = rows[..] else {
        if rows.len() < 2 {
            readable(arrays)?;
        }
        let advice = match rows.len() {
            0 | 1 if arrays.iter().filter(|array| array.is_numbers()).count() > 1 => {
                "give a second file, inputs first: --from INPUTS.npz --from OUTPUTS.npz, or name two with --arrays INPUTS,OUTPUTS: \
                 what has one dimension is one column"
            }
            0 | 1 => "give a second file, inputs first: --from INPUTS.npz --from OUTPUTS.npz",
            _ => "name two with --arrays INPUTS,OUTPUTS",
        };
        return Err(Error::archive(format!(
            "needs one array of inputs and one of outputs, a shot a row, but has {}: {advice}",
            known(arrays)
        )));
    };
    let is_input = |array: &Array<'_>| {
        let name = array.name.to_lowercase();
        name.contains("before") || name.contains("input") || name.starts_with('x')
    };
    Ok(if is_input(b) && !is_input(a) { (b, a) } else { (a, b) })
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use flate2::Compression;
    use flate2::write::DeflateEncoder;

    use super::*;

    /// An archive of float arrays that count up.
    fn archive(arrays: &[(&str, usize, usize)]) -> Vec<u8> {
        let floats = |count: usize| (0..count).flat_map(|value| (value as f64).to_le_bytes()).collect();
        let arrays = arrays
            .iter()
            .map(|(name, rows, columns)| (*name, "'<f8'", format!("{rows}, {columns}"), floats(rows * columns)));
        zipped(&arrays.collect::<Vec<_>>())
    }

    /// An archive of arrays: name, type, shape, bytes; every second one deflated.
    fn zipped(arrays: &[(&str, &str, String, Vec<u8>)]) -> Vec<u8> {
        let (mut files, mut directory) = (Vec::new(), Vec::new());
        for (index, (name, kind, shape, values)) in arrays.iter().enumerate() {
            let mut header = format!("{{'descr': {kind}, 'fortran_order': False, 'shape': ({shape}), }}");
            header.push_str(&" ".repeat(117 - header.len()));
            header.push('\n');
            let mut content = b"\x93NUMPY\x01\x00".to_vec();
            content.extend((header.len() as u16).to_le_bytes());
            content.extend(header.bytes());
            content.extend(values);
            let size = content.len() as u32;
            let mut crc = Crc::new();
            crc.update(&content);
            let method = if index % 2 == 1 { 8_u16 } else { 0 };
            if method == 8 {
                let mut encoder = DeflateEncoder::new(Vec::new(), Compression::fast());
                encoder.write_all(&content).unwrap();
                content = encoder.finish().unwrap();
            }
            let file = format!("{name}.npy");
            let mut entry = vec![0; 26];
            entry[4..6].copy_from_slice(&method.to_le_bytes());
            entry[10..14].copy_from_slice(&crc.sum().to_le_bytes());
            entry[14..18].copy_from_slice(&(content.len() as u32).to_le_bytes());
            entry[18..22].copy_from_slice(&size.to_le_bytes());
            entry[22..24].copy_from_slice(&(file.len() as u16).to_le_bytes());
            directory.extend(b"PK\x01\x02\0\0");
            directory.extend(&entry);
            directory.extend([0; 10]);
            directory.extend((files.len() as u32).to_le_bytes());
            directory.extend(file.bytes());
            files.extend(b"PK\x03\x04");
            files.extend(&entry);
            files.extend(file.bytes());
            files.extend(content);
        }
        let start = files.len() as u32;
        files.extend(&directory);
        files.extend(b"PK\x05\x06\0\0\0\0");
        files.extend([(arrays.len() as u16).to_le_bytes(); 2].concat());
        files.extend((directory.len() as u32).to_le_bytes());
        files.extend(start.to_le_bytes());
        files.extend([0, 0]);
        files
    }

    #[test]
    fn inputs_and_outputs_are_found_by_name_or_by_hand() {
        let bytes = archive(&[("data_after", 4, 3), ("data_before", 4, 2)]);
        let read = |names| Trace::from_npz(&[&bytes], names);
        let trace = read(None).unwrap();
        assert_eq!((trace.inputs.columns(), trace.outputs.row(1)), (2, &[3.0, 4.0, 5.0][..]));
        assert_eq!(read(Some(("data_after", "data_before"))).unwrap().inputs.columns(), 3);
        assert_eq!(read(Some(("after", "before"))).unwrap().inputs.columns(), 3, "a part of a name is enough");
        let text = read(Some(("a", "b"))).unwrap_err().to_string();
        assert!(text.contains("several arrays with `a`"), "{text}");
        let text = read(Some(("z", "b"))).unwrap_err().to_string();
        assert!(text.contains("no array `z`: it has `data_after` (<f8, shape 4×3), `data_before`"), "{text}");
        let text = Trace::from_npz(&[&archive(&[("x", 3, 2), ("y", 4, 2)])], None).unwrap_err().to_string();
        assert!(text.contains("3 rows in `x` and 4 in `y`"), "{text}");
        assert!(Trace::from_npz(&[b"nothing"], None).is_err());
        let mut damaged = bytes.clone();
        damaged[200] ^= 1;
        let text = Trace::from_npz(&[&damaged], None).unwrap_err().to_string();
        assert!(text.contains("damaged file `data_after.npy`"), "{text}");
    }

    #[test]
    fn what_python_2_wrote_is_read_and_a_bomb_is_not() {
        let floats = |count: usize| (0..count).flat_map(|value| (value as f64).to_le_bytes()).collect::<Vec<u8>>();
        let x = ("x", "'<f8'", "4L, 2L".to_owned(), floats(8));
        let trace = Trace::from_npz(&[&zipped(&[x.clone(), ("y", "'<f8'", "4L, 3".to_owned(), floats(12))])], None);
        assert_eq!(trace.unwrap().outputs.columns(), 3);
        // The directory promises four GiB: nothing is unpacked.
        let mut bomb = archive(&[("x", 4, 2), ("y", 4, 3)]);
        let directory = bomb.windows(4).position(|window| window == b"PK\x01\x02").unwrap();
        bomb[directory + 24..directory + 28].fill(0xFF);
        let text = Trace::from_npz(&[&bomb], None).unwrap_err().to_string();
        assert!(text.contains("holds `x.npy`, which unpacks to 4095 MiB: at most 512 MiB are read"), "{text}");
    }

    #[test]
    fn inputs_and_outputs_may_lie_in_two_files() {
        let labels = ("labels", "'<i8'", "4,".to_owned(), vec![0; 32]);
        let floats = |count: usize| (0..count).flat_map(|value| (value as f64).to_le_bytes()).collect::<Vec<u8>>();
        let before = zipped(&[("fc1", "'<f8'", "4, 2".to_owned(), floats(8)), labels.clone()]);
        let after = zipped(&[("fc2", "'<f8'", "4, 3".to_owned(), floats(12)), labels]);
        let trace = Trace::from_npz(&[&before, &after], None).unwrap();
        assert_eq!((trace.inputs.columns(), trace.outputs.columns()), (2, 3));
        let named = Trace::from_npz(&[&before, &after], Some(("fc1", "labels"))).unwrap();
        assert_eq!(named.outputs.columns(), 1);
        let text = Trace::from_npz(&[&before], None).unwrap_err().to_string();
        assert!(text.contains("has `fc1` (<f8, shape 4×2), `labels` (<i8, shape 4): give a second file"), "{text}");
    }

    #[test]
    fn integers_of_either_order_are_numbers_and_objects_are_none() {
        let counts: Vec<u8> = [1_i16, -2, 300, 4].iter().flat_map(|value| value.to_be_bytes()).collect();
        let camera = ("camera", "'|u1'", "2, 3".to_owned(), vec![0, 1, 2, 3, 4, 255]);
        let bytes = zipped(&[("x", "'>i2'", "2, 2".to_owned(), counts), camera]);
        let trace = Trace::from_npz(&[&bytes], None).unwrap();
        assert_eq!((trace.inputs.row(0), trace.inputs.row(1)), (&[1.0, -2.0][..], &[300.0, 4.0][..]));
        assert_eq!(trace.outputs.row(1), [3.0, 4.0, 255.0]);
        let objects = zipped(&[("x", "'|O'", "2, 2".to_owned(), vec![1, 2]), ("y", "'|O'", "2, 2".to_owned(), vec![])]);
        let text = Trace::from_npz(&[&objects], Some(("x", "y"))).unwrap_err().to_string();
        assert!(text.contains("`x` (|O, shape 2×2), which are Python objects"), "{text}");
        let y = ("y", "'<f8'", "2, 1".to_owned(), vec![0; 16]);
        for (kind, shape, complaint) in [
            ("'|b1'", "2, 2", "`x` (|b1, shape 2×2), which are booleans: save floats"),
            ("'<c16'", "2, 2", "`x` (<c16, shape 2×2), which are complex numbers"),
            ("'<U1'", "2, 2", "`x` (<U1, shape 2×2), which are text"),
            ("'<f8'", "2,", "`x` (<f8, shape 2), `y` (<f8, shape 2×1): give a second file"),
            ("'<f8'", "2,", "or name two with --arrays"),
            ("'<f8'", "2, 0", "`x` (<f8, shape 2×0) that is empty"),
        ] {
            let bytes = zipped(&[("x", kind, shape.to_owned(), vec![]), y.clone()]);
            let text = Trace::from_npz(&[&bytes], None).unwrap_err().to_string();
            assert!(text.contains(complaint), "{text}");
        }
        let only = zipped(&[("x", "'|b1'", "2, 2".to_owned(), vec![])]);
        let text = Trace::from_npz(&[&only, &zipped(&[y])], None).unwrap_err().to_string();
        assert!(text.contains("`x` (|b1, shape 2×2), which are booleans"), "{text}");
    }
}
