//! Rules of the public collection of texture automata (distillpub/post--selforg-textures, CC BY 4.0): the whole of it, `models.json#NAME`, in
//! which the matrices of all rules lie side by side in two pictures; or one rule as two tables, `NAME_w1.csv` and `NAME_w2.csv`.
//!
//! A weight is `scale · (byte − 127)/255`. Both matrices have a last row of summands; channels are clipped to ±2, and a color is
//! `0.5 + 0.5 · channel`.

use std::path::{Path, PathBuf};

use drivers::{MEBIBYTE, read_bounded};
use serde::Deserialize;
use sims::TrainedRule;

use super::CellsConfig;
use crate::Error;
use crate::document::nearest;

/// The most that is read of a file.
const LONGEST: u64 = 64 * MEBIBYTE;
/// Channels of a rule of the collection.
const CHANNELS: usize = 12;

/// `models.json`.
#[derive(Deserialize)]
struct Collection {
    model_names: Vec<String>,
    layers: Vec<Packed>,
}

/// The matrices of one layer of all rules, in a picture.
#[derive(Deserialize)]
struct Packed {
    scale: f32,
    data: String,
    shape: [usize; 2],
    layout: [usize; 2],
}

/// Whether a path names a rule and no run.
pub fn is_rule(path: &Path) -> bool {
    let text = path.to_string_lossy();
    text.contains(".json#") || text.ends_with(".json") || text.ends_with("_w1.csv")
}

/// A trained rule, and the lattice that it was trained for.
pub fn read(path: &Path) -> Result<(TrainedRule, CellsConfig), Error> {
    let cells =
        CellsConfig { channels: CHANNELS, contrast: 0.5, clip: Some(2.0), seed_noise: 0.0, ..CellsConfig::default() };
    Ok((fitting(path, &cells)?.0, cells))
}

/// A trained rule and its two matrices, row after row, the last row of each its summands; refused where it does not fit the cells of a lattice.
pub fn fitting(path: &Path, cells: &CellsConfig) -> Result<(TrainedRule, [Vec<f32>; 2]), Error> {
    let text = path.to_string_lossy();
    let matrices = match text.rsplit_once('#') {
        Some((file, name)) => of_collection(Path::new(file), name)?,
        None if path.extension().is_some_and(|ending| ending.eq_ignore_ascii_case("json")) => of_collection(path, "")?,
        None => of_tables(path)?,
    };
    let rule = TrainedRule::new([&matrices[0], &matrices[1]], cells.channels, cells.width());
    rule.map(|rule| (rule, matrices)).map_err(|message| Error::Data(format!("{text}: {message}")))
}

/// The names of the rules of a collection.
pub fn names(file: &Path) -> Result<Vec<String>, Error> {
    collection(file).map(|collection| collection.model_names)
}

fn collection(file: &Path) -> Result<Collection, Error> {
    let bytes = bytes(file)?;
    serde_json::from_slice(&bytes)
        .map_err(|error| Error::Data(format!("{}: is no collection of rules: {error}", file.display())))
}

fn bytes(file: &Path) -> Result<Vec<u8>, Error> {
    read_bounded(file, LONGEST).map_err(|error| Error::Data(format!("{}: cannot be read: {error}", file.display())))
}

fn of_collection(file: &Path, name: &str) -> Result<[Vec<f32>; 2], Error> {
    let bad = |message: String| Error::Data(format!("{}: {message}", file.display()));
    let Collection { model_names, layers } = collection(file)?;
    let Some(index) = model_names.iter().position(|known| known == name) else {
        let known: Vec<&str> = model_names.iter().map(String::as_str).collect();
        let hint = nearest(name, &known).map(|near| format!(" Did you mean `{near}`?")).unwrap_or_default();
        let first = known.first().copied().unwrap_or("NAME");
        let message = format!(
            "has no rule `{name}`: name one of its {} as FILE#NAME, such as {}#{first}.{hint}",
            known.len(),
            file.display()
        );
        return Err(bad(message));
    };
    let [first, second] = &layers[..] else { return Err(bad(format!("has {} layers, not 2", layers.len()))) };
    Ok([first.matrix(index).map_err(bad)?, second.matrix(index).map_err(bad)?])
}

impl Packed {
    /// The matrix of the rule with this number, row after row.
    fn matrix(&self, index: usize) -> Result<Vec<f32>, String> {
        let encoded = self.data.split_once("base64,").map_or(self.data.as_str(), |(_, encoded)| encoded);
        let picture = base64(encoded).ok_or("has a picture that is not base64")?;
        let bad = |error: png::DecodingError| format!("has a picture that is no PNG image: {error}");
        let mut decoder = png::Decoder::new(std::io::Cursor::new(picture));
        decoder.set_limits(png::Limits { bytes: 1 << 26 });
        let mut reader = decoder.read_info().map_err(bad)?;
        let size = reader.output_buffer_size().filter(|size| *size <= 1 << 26).ok_or("has too large a picture")?;
        let mut values = vec![0; size];
        let info = reader.next_frame(&mut values).map_err(bad)?;
        let ([rows, columns], [across, down]) = (self.shape, self.layout);
        // Four weights are one pixel.
        let line = info.width as usize * info.color_type.samples();
        let fits = info.bit_depth == png::BitDepth::Eight
            && line == across.saturating_mul(columns)
            && info.height as usize == down.saturating_mul(rows)
            && index < across * down;
        if !fits {
            return Err(format!("has a picture of {line} × {} weights, not {across} × {down} matrices", info.height));
        }
        let (top, left) = (index / across * rows, index % across * columns);
        let row = |row: usize| &values[(top + row) * line + left..][..columns];
        Ok((0..rows).flat_map(row).map(|byte| self.scale * (f32::from(*byte) - 127.0) / 255.0).collect())
    }
}

/// The bytes of base64 (RFC 4648).
fn base64(text: &str) -> Option<Vec<u8>> {
    let mut bytes = Vec::with_capacity(text.len() / 4 * 3);
    let (mut bits, mut count) = (0_u32, 0);
    for letter in text.bytes().filter(|letter| *letter != b'=' && !letter.is_ascii_whitespace()) {
        let value = match letter {
            b'A'..=b'Z' => letter - b'A',
            b'a'..=b'z' => letter - b'a' + 26,
            b'0'..=b'9' => letter - b'0' + 52,
            b'+' => 62,
            b'/' => 63,
            _ => return None,
        };
        bits = bits << 6 | u32::from(value);
        count += 6;
        if 8 <= count {
            count -= 8;
            bytes.push((bits >> count) as u8);
            bits &= (1 << count) - 1;
        }
    }
    Some(bytes)
}

fn of_tables(path: &Path) -> Result<[Vec<f32>; 2], Error> {
    let text = path.to_string_lossy();
    let Some(stem) = text.strip_suffix("_w1.csv") else {
        let message = format!("{text}: is no rule: name the first of its two tables, NAME_w1.csv, or models.json#NAME");
        return Err(Error::Data(message));
    };
    let second = PathBuf::from(format!("{stem}_w2.csv"));
    Ok([table(path)?, table(&second)?])
}

fn table(file: &Path) -> Result<Vec<f32>, Error> {
    let bytes = bytes(file)?;
    let bad = |message: String| Error::Data(format!("{}: {message}", file.display()));
    let mut reader = csv::ReaderBuilder::new().has_headers(false).trim(csv::Trim::All).from_reader(&bytes[..]);
    let mut values = Vec::new();
    for (line, record) in reader.records().enumerate() {
        let record = record.map_err(|error| bad(format!("is no table of numbers: {error}")))?;
        for cell in &record {
            values.push(cell.parse().map_err(|_| bad(format!("line {}: `{cell}` is no number", line + 1)))?);
        }
    }
    Ok(values)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A collection of two rules whose weights are the numbers of their bytes.
    fn collection() -> String {
        let picture = |rows: u32, columns: u32| {
            let mut bytes = vec![];
            let mut encoder = png::Encoder::new(&mut bytes, 2 * columns / 4, rows);
            encoder.set_color(png::ColorType::Rgba);
            let data: Vec<u8> = (0..rows * 2 * columns).map(|place| (place % 251) as u8).collect();
            encoder.write_header().unwrap().write_image_data(&data).unwrap();
            encode(&bytes)
        };
        let layer = |rows: u32, columns: u32| {
            format!(
                "{{\"scale\": 255.0, \"data\": \"data:image/PNG;base64,{}\", \"shape\": [{rows}, {columns}], \"layout\": [2, 1]}}",
                picture(rows, columns)
            )
        };
        format!("{{\"model_names\": [\"one\", \"two\"], \"layers\": [{}, {}]}}", layer(49, 8), layer(9, 12))
    }

    fn encode(bytes: &[u8]) -> String {
        const LETTERS: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
        let letters = |three: &[u8]| {
            let bits = three.iter().fold(0_u32, |bits, byte| bits << 8 | u32::from(*byte)) << (8 * (3 - three.len()));
            (0..=three.len())
                .map(move |place| char::from(LETTERS[(bits >> (18 - 6 * place)) as usize & 63]))
                .collect::<String>()
        };
        bytes.chunks(3).map(letters).collect()
    }

    #[test]
    fn a_rule_is_cut_out_of_the_collection() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("models.json");
        std::fs::write(&file, collection()).unwrap();
        let [first, second] = of_collection(&file, "two").unwrap();
        assert_eq!((first.len(), second.len()), (49 * 8, 9 * 12));
        assert_eq!(first[0], 8.0 - 127.0);
        assert_eq!(first[8], 24.0 - 127.0, "the next row");
        assert_eq!(second[0], 12.0 - 127.0);
        let path = PathBuf::from(format!("{}#one", file.display()));
        assert!(is_rule(&path));
        assert_eq!(read(&path).unwrap().0.hidden(), 8);
        let said = read(&PathBuf::from(format!("{}#twi", file.display()))).unwrap_err().to_string();
        assert!(said.contains("has no rule `twi`") && said.contains("Did you mean `two`?"), "{said}");
        assert_eq!(names(&file).unwrap(), ["one", "two"]);
    }

    #[test]
    fn two_tables_are_a_rule_and_what_does_not_fit_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let file = |name: &str| folder.path().join(name);
        std::fs::write(file("a_w1.csv"), "0.5,1\n".repeat(49)).unwrap();
        let said = |path: &str| read(&file(path)).unwrap_err().to_string();
        assert!(said("a_w1.csv").contains("a_w2.csv: cannot be read"));
        std::fs::write(file("a_w2.csv"), "1,2,3,4,5,6,7,8,9,10,11,12\n".repeat(3)).unwrap();
        assert_eq!(read(&file("a_w1.csv")).unwrap().0.hidden(), 2);
        std::fs::write(file("a_w2.csv"), "1,2\n").unwrap();
        assert!(said("a_w1.csv").contains("2 numbers in its second matrix, not 3 rows of 12"));
        assert!(said("rule.txt").contains("NAME_w1.csv"));
        assert!(base64("a?").is_none());
    }
}
