//! Recorded data as numpy archives (`.npz`): what went in and what came out, one shot a row, as a trace of a plant without a card.
//!
//! An archive is a ZIP of arrays with a one-line header each. Numpy's crates bring a parser generator and five decompressors
//! for that; this reads what `numpy.savez` and `savez_compressed` write.

use std::collections::BTreeMap;
use std::io::Read;

use drivers::{Bank, Batch, Card, Identity, Origin, Ports, Range, Timing};
use flate2::read::DeflateDecoder;

use crate::{Error, Trace};

/// An array of an archive as rows.
#[derive(Debug, Clone)]
struct Array {
    name: String,
    rows: Batch,
}

impl Trace {
    /// The trace that an archive holds; `names` are those of the arrays of inputs and outputs.
    ///
    /// Without names there must be exactly two arrays of several columns and equal rows. The one called `…before…`, `…input…`
    /// or `x…` is the input; else the first in the archive.
    pub fn from_npz(bytes: &[u8], names: Option<(&str, &str)>) -> Result<Self, Error> {
        let arrays = read(bytes)?;
        let (inputs, outputs) = choose(&arrays, names)?;
        if inputs.rows.rows() != outputs.rows.rows() || inputs.rows.rows() == 0 {
            return Err(Error::archive(format!(
                "has {} rows in `{}` and {} in `{}`: a shot is a row in both",
                inputs.rows.rows(),
                inputs.name,
                outputs.rows.rows(),
                outputs.name
            )));
        }
        for array in [inputs, outputs] {
            if let Some(at) = array.rows.values().iter().position(|value| !value.is_finite()) {
                let row = at / array.rows.columns().max(1);
                return Err(Error::archive(format!(
                    "holds a value that is not finite, in row {row} of `{}`",
                    array.name
                )));
            }
        }
        let shots = inputs.rows.rows();
        let bank = |array: &Array, name: &str| vec![Bank::new(name, array.rows.columns(), "1", range_of(&array.rows))];
        Ok(Self {
            card: Card {
                identity: Identity {
                    system: "recorded".into(),
                    serial: outputs.name.clone(),
                    origin: Origin::Replayed,
                },
                ports: Ports { inputs: bank(inputs, "input"), controls: vec![], outputs: bank(outputs, "output") },
                timing: Timing::default(),
            },
            provenance: BTreeMap::from([
                ("inputs".to_owned(), inputs.name.clone()),
                ("outputs".to_owned(), outputs.name.clone()),
            ]),
            settings: Batch::zeros(1, 0),
            setting_of: vec![0; shots],
            stimulus: (0..shots as u32).collect(),
            seconds: vec![0.0; shots],
            inputs: inputs.rows.clone(),
            outputs: outputs.rows.clone(),
        })
    }
}

/// All arrays of numbers that are rows.
fn read(bytes: &[u8]) -> Result<Vec<Array>, Error> {
    let mut arrays = Vec::new();
    for (file, content) in unzip(bytes)? {
        let Some(name) = file.strip_suffix(".npy") else { continue };
        if let Some(rows) = array(name, &content)? {
            arrays.push(Array { name: name.to_owned(), rows });
        }
    }
    Ok(arrays)
}

/// A little-endian number of `size` bytes.
fn number(bytes: &[u8], at: usize, size: usize) -> Option<usize> {
    let field = bytes.get(at..at.checked_add(size)?)?;
    Some(field.iter().rev().fold(0, |sum, byte| sum << 8 | usize::from(*byte)))
}

/// The files of a ZIP archive, stored or deflated (PKWARE, APPNOTE.TXT 4.3): found from the directory at its end.
fn unzip(bytes: &[u8]) -> Result<Vec<(String, Vec<u8>)>, Error> {
    let broken = || Error::archive("cannot be read: it is no whole ZIP archive");
    let end = bytes.windows(4).rposition(|window| window == b"PK\x05\x06").ok_or_else(broken)?;
    let (count, mut at) =
        (number(bytes, end + 10, 2).ok_or_else(broken)?, number(bytes, end + 16, 4).ok_or_else(broken)?);
    let mut files = Vec::new();
    for _ in 0..count {
        let field = |offset: usize, size: usize| number(bytes, at + offset, size).ok_or_else(broken);
        if bytes.get(at..at + 4) != Some(b"PK\x01\x02") {
            return Err(broken());
        }
        let (method, packed, size) = (field(10, 2)?, field(20, 4)?, field(24, 4)?);
        let (name, extra, comment, local) = (field(28, 2)?, field(30, 2)?, field(32, 2)?, field(42, 4)?);
        let file = bytes.get(at + 46..at + 46 + name).ok_or_else(broken)?;
        // The local header repeats the name, and has extra fields of its own.
        let skipped = |offset: usize| number(bytes, local + offset, 2).ok_or_else(broken);
        let start = local + 30 + skipped(26)? + skipped(28)?;
        let content = bytes.get(start..start.saturating_add(packed)).ok_or_else(broken)?;
        let content = match method {
            0 => content.to_vec(),
            8 => {
                let mut inflated = Vec::new();
                // One byte more than there should be shows that there is more.
                let mut reader = DeflateDecoder::new(content).take(size as u64 + 1);
                reader
                    .read_to_end(&mut inflated)
                    .map_err(|error| Error::archive(format!("cannot be read: {error}")))?;
                inflated
            }
            _ => return Err(Error::archive("is compressed in a way that numpy does not write: use numpy.savez")),
        };
        if content.len() != size {
            return Err(broken());
        }
        files.push((String::from_utf8_lossy(file).into_owned(), content));
        at += 46 + name + extra + comment;
    }
    Ok(files)
}

/// The rows of a `.npy` file (numpy.lib.format, versions 1 to 3); `None` if it does not hold floats in two dimensions.
fn array(name: &str, bytes: &[u8]) -> Result<Option<Batch>, Error> {
    let broken = || Error::archive(format!("has an array `{name}` that is cut off or no numpy array"));
    if !bytes.starts_with(b"\x93NUMPY") {
        return Err(broken());
    }
    let wide = *bytes.get(6).ok_or_else(broken)? > 1;
    let (length, first) = if wide { (number(bytes, 8, 4), 12) } else { (number(bytes, 8, 2), 10) };
    let start = first + length.ok_or_else(broken)?;
    let header = String::from_utf8_lossy(bytes.get(first..start).ok_or_else(broken)?).into_owned();
    let value = |key: &str| header.split_once(&format!("'{key}':")).map(|(_, rest)| rest.trim_start());
    let kind =
        value("descr").and_then(|rest| rest.strip_prefix('\'')).and_then(|rest| rest.get(..3)).unwrap_or_default();
    let fortran = value("fortran_order").is_some_and(|rest| rest.starts_with("True"));
    let shape = value("shape")
        .and_then(|rest| rest.strip_prefix('('))
        .and_then(|rest| rest.split_once(')'))
        .ok_or_else(broken)?
        .0;
    let sizes: Option<Vec<usize>> =
        shape.split(',').map(str::trim).filter(|size| !size.is_empty()).map(|size| size.parse().ok()).collect();
    let [rows, columns] = sizes.ok_or_else(broken)?[..] else { return Ok(None) };
    let content = &bytes[start..];
    let values: Vec<f32> = match kind {
        "<f8" => content.as_chunks().0.iter().map(|bytes| f64::from_le_bytes(*bytes) as f32).collect(),
        "<f4" => content.as_chunks().0.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect(),
        // Counts and labels are no readings.
        _ => return Ok(None),
    };
    if columns == 0 || rows.checked_mul(columns) != Some(values.len()) {
        return Err(broken());
    }
    Ok(Some(Batch::from_fn(rows, columns, |row, column| {
        if fortran { values[column * rows + row] } else { values[row * columns + column] }
    })))
}

fn choose<'a>(arrays: &'a [Array], names: Option<(&str, &str)>) -> Result<(&'a Array, &'a Array), Error> {
    let known = || arrays.iter().map(|array| format!("`{}`", array.name)).collect::<Vec<_>>().join(", ");
    let find = |name: &str| {
        arrays
            .iter()
            .find(|array| array.name == name)
            .ok_or_else(|| Error::archive(format!("has no array of rows `{name}`: it has {}", known())))
    };
    if let Some((inputs, outputs)) = names {
        return Ok((find(inputs)?, find(outputs)?));
    }
    let [a, b] = arrays else {
        return Err(Error::archive(format!(
            "has {} arrays of rows ({}): name two with --arrays INPUTS,OUTPUTS",
            arrays.len(),
            known()
        )));
    };
    let is_input = |array: &Array| {
        let name = array.name.to_lowercase();
        name.contains("before") || name.contains("input") || name.starts_with('x')
    };
    Ok(if is_input(b) && !is_input(a) { (b, a) } else { (a, b) })
}

/// The smallest range around all values.
fn range_of(rows: &Batch) -> Range {
    let (low, high) =
        rows.values().iter().fold((f32::MAX, f32::MIN), |(low, high), value| (low.min(*value), high.max(*value)));
    Range::new(low, high)
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use flate2::Compression;
    use flate2::write::DeflateEncoder;

    use super::*;

    /// An archive of arrays that count up, every second one deflated.
    fn archive(arrays: &[(&str, usize, usize)]) -> Vec<u8> {
        let (mut files, mut directory) = (Vec::new(), Vec::new());
        for (index, (name, rows, columns)) in arrays.iter().enumerate() {
            let mut header = format!("{{'descr': '<f8', 'fortran_order': False, 'shape': ({rows}, {columns}), }}");
            header.push_str(&" ".repeat(117 - header.len()));
            header.push('\n');
            let mut content = b"\x93NUMPY\x01\x00".to_vec();
            content.extend((header.len() as u16).to_le_bytes());
            content.extend(header.bytes());
            content.extend((0..rows * columns).flat_map(|value| (value as f64).to_le_bytes()));
            let size = content.len() as u32;
            let method = if index % 2 == 1 { 8_u16 } else { 0 };
            if method == 8 {
                let mut encoder = DeflateEncoder::new(Vec::new(), Compression::fast());
                encoder.write_all(&content).unwrap();
                content = encoder.finish().unwrap();
            }
            let file = format!("{name}.npy");
            let mut entry = vec![0; 26];
            entry[4..6].copy_from_slice(&method.to_le_bytes());
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
        let trace = Trace::from_npz(&bytes, None).unwrap();
        assert_eq!((trace.inputs.columns(), trace.outputs.row(1)), (2, &[3.0, 4.0, 5.0][..]));
        let other = Trace::from_npz(&bytes, Some(("data_after", "data_before"))).unwrap();
        assert_eq!(other.inputs.columns(), 3);
        let text = Trace::from_npz(&bytes, Some(("a", "b"))).unwrap_err().to_string();
        assert!(text.contains("no array of rows `a`: it has `data_after`, `data_before`"), "{text}");
        let text = Trace::from_npz(&archive(&[("x", 3, 2), ("y", 4, 2)]), None).unwrap_err().to_string();
        assert!(text.contains("3 rows in `x` and 4 in `y`"), "{text}");
        assert!(Trace::from_npz(b"nothing", None).is_err());
    }
}
