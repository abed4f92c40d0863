//! One image, whose texture is to be learned: PNG, PPM or PGM, or CSV.
//!
//! The transparency of a PNG image is passed over. A CSV file without a header is gray, one number for each pixel; values beyond 0 to 1 are
//! brought there by the range of the file, to which 0 and 1 belong.

// Circle with data/config.rs: the tables of all sources stand there, and an image is read as its table says.

use std::io::{BufReader, Read};
use std::path::Path;
use std::sync::Arc;

use drivers::{MEBIBYTE, read_bounded};
use sims::{COLORS, Pixels};

use super::trained_rule::fitting;
use super::{Asked, CellsConfig, Dataset, Filters, ImageConfig, Meaning, Pattern, Rows, Targets, Texture};
use crate::Error;

/// The most that is read of a file.
const LONGEST: u64 = 64 * MEBIBYTE;
/// The longest side of an image.
const WIDEST: usize = 4096;

/// The lattices of a pool, and those of the tests. A row is the number of a lattice and what its seed is drawn by.
pub fn dataset(config: &ImageConfig, file: Option<&Path>, asked: Asked<'_>) -> Result<Dataset, Error> {
    let (name, image) = match (file, config.pattern) {
        (Some(file), _) => (file.display().to_string(), read(file)?),
        (None, pattern) => {
            let pattern = pattern.unwrap_or(Pattern::GrayScott);
            (pattern.name().to_owned(), pattern.image())
        }
    };
    let check =
        image.colors.iter().fold(0xCBF2_9CE4_u32, |hash, color| (hash ^ color.to_bits()).wrapping_mul(0x0100_0193));
    // Exact in single precision.
    let check = (check >> 8) as f32;
    let rows = |what: &str, count: usize| {
        let mut stream = asked.key.branch(what).stream();
        Rows {
            values: (0..count).flat_map(|slot| [slot as f32, stream.below(1 << 24) as f32]).collect(),
            targets: Targets::Values { values: vec![check; count], width: 1 },
            numbers: (0..count).collect(),
        }
    };
    Ok(Dataset {
        name,
        width: 2,
        train: rows("pool", 1),
        validation: rows("validation", config.validation),
        test: rows("test", config.test),
        meaning: Meaning::Texture(Box::new(Texture { image, cells: None, filters: None, rule: None })),
        augmented: None,
        drawn: None,
        columns: vec![],
    })
}

impl Dataset {
    /// The same as it is grown by an automaton.
    pub(super) fn grown_by(mut self, cells: &CellsConfig, asked: Asked<'_>) -> Result<Self, Error> {
        let Asked { document, key } = asked;
        let name = &self.name;
        let Meaning::Texture(texture) = &mut self.meaning else {
            let message = "grow a texture, but [data] has no image: give `source = \"image\"` with a file, or leave the table out";
            return Err(document.refuse("cells", message));
        };
        let least = super::PATCHES.least();
        if let Some(side) = texture.image.size.into_iter().find(|side| *side < least) {
            let message = format!(
                "{name}: is {} × {} pixels, and a side of {side} is smaller than a patch of the coarsest scale: give an image of at least \
                 {least} × {least} pixels",
                texture.image.size[1], texture.image.size[0]
            );
            return Err(Error::Data(message));
        }
        if cells.size < least {
            let message = format!(
                "is {}, but a patch of the coarsest scale has {least} pixels: give at least {least}",
                cells.size
            );
            return Err(document.refuse("cells.size", message));
        }
        texture.filters = match &cells.features {
            Some(file) => Some(Arc::new(Filters::read(file)?)),
            None => None,
        };
        texture.rule = match &cells.rule {
            Some(file) => Some(fitting(file, cells)?.1),
            None => None,
        };
        texture.cells = Some(cells.clone());
        let check = self.test.targets.values().first().copied().unwrap_or_default();
        let mut stream = key.branch("pool").stream();
        self.train = Rows {
            values: (0..cells.pool).flat_map(|slot| [slot as f32, stream.below(1 << 24) as f32]).collect(),
            targets: Targets::Values { values: vec![check; cells.pool], width: 1 },
            numbers: (0..cells.pool).collect(),
        };
        Ok(self)
    }

    /// The matrices of the rule that its training begins with, if it begins with one.
    pub fn rule(&self) -> Option<&[Vec<f32>; 2]> {
        if let Meaning::Texture(texture) = &self.meaning { texture.rule.as_ref() } else { None }
    }

    /// The automaton that grows it, if one does.
    pub fn cells(&self) -> Option<&CellsConfig> {
        if let Meaning::Texture(texture) = &self.meaning { texture.cells.as_ref() } else { None }
    }
}

/// The image in a file, by what its first bytes say it is.
pub fn read(file: &Path) -> Result<Pixels<f32>, Error> {
    let bad = |message: String| Error::Data(format!("{}: {message}", file.display()));
    let bytes = read_bounded(file, LONGEST).map_err(|error| bad(format!("cannot be read: {error}")))?;
    let pixels = match &bytes[..] {
        [0x89, b'P', b'N', b'G', ..] => of_png(&bytes),
        [b'P', kind @ b'1'..=b'6', rest @ ..] => of_pnm(*kind, rest),
        _ => of_csv(&bytes),
    };
    pixels.and_then(|pixels| sensible(pixels.size).map(|()| pixels)).map_err(bad)
}

/// Refuses an image without pixels, or with a side that is too long.
fn sensible([height, width]: [usize; 2]) -> Result<(), String> {
    if [height, width].iter().all(|side| (1..=WIDEST).contains(side)) {
        return Ok(());
    }
    Err(format!("is {width} × {height} pixels: give an image of at most {WIDEST} × {WIDEST}"))
}

fn of_png(bytes: &[u8]) -> Result<Pixels<f32>, String> {
    let bad = |error: png::DecodingError| format!("is no readable PNG image: {error}");
    let mut decoder = png::Decoder::new(std::io::Cursor::new(bytes));
    decoder.set_transformations(png::Transformations::normalize_to_color8());
    decoder.set_limits(png::Limits { bytes: 1 << 28 });
    let mut reader = decoder.read_info().map_err(bad)?;
    // Before its pixels are unpacked: a small file may hold many.
    sensible([reader.info().height as usize, reader.info().width as usize])?;
    let mut pixels = vec![0; reader.output_buffer_size().ok_or("is too large a PNG image")?];
    let info = reader.next_frame(&mut pixels).map_err(bad)?;
    let samples = info.color_type.samples();
    let size = [info.height as usize, info.width as usize];
    let color = |pixel: &[u8]| {
        let of = |place: usize| f32::from(pixel[place]) / 255.0;
        if samples < 3 { [of(0); COLORS] } else { [of(0), of(1), of(2)] }
    };
    Ok(Pixels { size, colors: pixels.chunks_exact(samples).flat_map(color).collect() })
}

/// Netpbm's gray and color maps, in text (P2, P3) or in bytes (P5, P6).
fn of_pnm(kind: u8, rest: &[u8]) -> Result<Pixels<f32>, String> {
    let samples = match kind {
        b'2' | b'5' => 1,
        b'3' | b'6' => 3,
        _ => return Err("is a bitmap of black and white: give a PGM or PPM image".to_owned()),
    };
    let mut reader = BufReader::new(rest);
    let mut number = || -> Result<usize, String> {
        let (mut found, mut comment) = (String::new(), false);
        let mut byte = [0];
        while reader.read(&mut byte).map_err(|error| error.to_string())? == 1 {
            match byte[0] {
                b'\n' if comment => {
                    comment = false;
                    // A comment ends a number as a space does.
                    if !found.is_empty() {
                        break;
                    }
                }
                _ if comment => {}
                b'#' => comment = true,
                byte if byte.is_ascii_whitespace() && found.is_empty() => {}
                byte if byte.is_ascii_whitespace() => break,
                byte if found.len() < 9 => found.push(char::from(byte)),
                _ => break,
            }
        }
        if found.is_empty() {
            return Err("ends where a Netpbm image has a number".to_owned());
        }
        found.parse().map_err(|_| format!("has `{found}` where a Netpbm image has a number"))
    };
    let [width, height, white] = [number()?, number()?, number()?];
    if WIDEST < width.max(height) || !(1..=65_535).contains(&white) {
        return Err(format!(
            "is a Netpbm image of {width} × {height} pixels up to {white}: at most {WIDEST} × {WIDEST} up to 65535"
        ));
    }
    let count = width * height * samples;
    let values: Vec<f32> = if kind < b'4' {
        (0..count).map(|_| number().map(|value| value as f32)).collect::<Result<_, _>>()?
    } else {
        let bytes = if white < 256 { 1 } else { 2 };
        let mut raw = vec![0; count * bytes];
        reader.read_exact(&mut raw).map_err(|_| format!("ends before its {count} values"))?;
        raw.chunks_exact(bytes)
            .map(|value| value.iter().fold(0.0, |sum, byte| 256.0 * sum + f32::from(*byte)))
            .collect()
    };
    let white = white as f32;
    if let Some(value) = values.iter().find(|value| white < **value) {
        return Err(format!("has the value {value}, and says that its largest is {white}"));
    }
    let color = |pixel: &[f32]| if samples == 1 { [pixel[0]; COLORS] } else { [pixel[0], pixel[1], pixel[2]] };
    let colors = values.chunks_exact(samples).flat_map(color).map(|value| value / white).collect();
    Ok(Pixels { size: [height, width], colors })
}

/// Gray values, line by line.
fn of_csv(bytes: &[u8]) -> Result<Pixels<f32>, String> {
    if std::str::from_utf8(bytes).is_err() {
        return Err("is neither a PNG nor a Netpbm image nor a table of numbers: give one of these".to_owned());
    }
    let mut reader = csv::ReaderBuilder::new().has_headers(false).trim(csv::Trim::All).from_reader(bytes);
    let (mut values, mut size) = (Vec::new(), [0, 0]);
    for record in reader.records() {
        let record =
            record.map_err(|error| format!("is neither a PNG nor a Netpbm image nor a table of numbers: {error}"))?;
        size = [size[0] + 1, record.len()];
        for cell in &record {
            let value: f32 = cell.parse().ok().filter(|value: &f32| value.is_finite()).ok_or_else(|| {
                let line = size[0];
                format!(
                    "line {line}: `{}` is no number: give gray values, one for each pixel",
                    cell.chars().take(20).collect::<String>()
                )
            })?;
            values.push(value);
        }
    }
    let ends = values.iter().fold([0.0_f32, 1.0], |[low, high], value| [low.min(*value), high.max(*value)]);
    let gray = values.into_iter().flat_map(|value| [(value - ends[0]) / (ends[1] - ends[0]); COLORS]);
    Ok(Pixels { size, colors: gray.collect() })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(bytes: &[u8]) -> Result<Pixels<f32>, String> {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("image");
        std::fs::write(&file, bytes).unwrap();
        read(&file).map_err(|error| error.to_string())
    }

    #[test]
    fn images_are_read_by_what_they_are() {
        let expected = [0.0, 0.0, 0.0, 1.0, 1.0, 1.0];
        let csv = found(b"0, 1\n").unwrap();
        assert_eq!((csv.size, &csv.colors[..]), ([1, 2], &expected[..]));
        assert_eq!(found(b"P5 2 1 255\n\x00\xff").unwrap(), csv);
        assert_eq!(found(b"P2\n# gray\n2 1\n15\n0 15\n").unwrap(), csv);
        assert_eq!(found(b"P2\n2 1#of two\n15\n0#black\n15\n").unwrap(), csv);
        assert_eq!(found(b"P6\n1 1\n255\n\xff\x00\x33").unwrap().colors, [1.0, 0.0, 0.2]);
        let mut bytes = vec![];
        let mut encoder = png::Encoder::new(&mut bytes, 2, 1);
        encoder.set_color(png::ColorType::Grayscale);
        encoder.write_header().unwrap().write_image_data(&[0, 255]).unwrap();
        assert_eq!(found(&bytes).unwrap(), csv);
    }

    #[test]
    fn a_png_image_of_too_many_pixels_is_refused_by_its_head() {
        let mut bytes = vec![];
        let mut encoder = png::Encoder::new(&mut bytes, 5000, 3);
        encoder.set_color(png::ColorType::Grayscale);
        encoder.write_header().unwrap().write_image_data(&[0; 15_000]).unwrap();
        let said = found(&bytes).unwrap_err();
        assert!(said.contains("is 5000 × 3 pixels: give an image of at most 4096 × 4096"), "{said}");
        // Its pixels are not looked at.
        bytes.truncate(60);
        assert_eq!(found(&bytes).unwrap_err().split_once(": is").unwrap().1, said.split_once(": is").unwrap().1);
    }

    #[test]
    fn what_is_no_image_is_refused_in_a_sentence() {
        for (bytes, words) in [
            (&b"0,1\n0,x\n"[..], "line 2: `x` is no number"),
            (b"P6 2 2 255\n\x00", "ends before its 12 values"),
            (b"P2 2 1 15 3", "ends where a Netpbm image has a number"),
            (b"P2 2 1 15 3 x", "has `x` where a Netpbm image has a number"),
            (b"P2 2 1 15 3 16", "has the value 16, and says that its largest is 15"),
            (b"GIF89a\xff\xfe", "neither a PNG nor a Netpbm image nor a table of numbers: give one of these"),
            (b"P5 9000 2 255\n", "at most 4096 × 4096"),
            (b"P4 2 2\n\x00", "black and white"),
            (b"\x89PNG\r\n\x1a\nnothing", "no readable PNG"),
            (b"", "0 × 0 pixels"),
        ] {
            let said = found(bytes).unwrap_err();
            assert!(said.contains(words), "{said}");
        }
    }
}
