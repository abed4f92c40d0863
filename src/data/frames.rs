//! Recorded sequences: a folder of frames (PNG, PGM, PPM), or a trace (CSV).

use std::path::{Path, PathBuf};

use drivers::MEBIBYTE;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::scaling::{finite, warn_of_offset};
use super::{Dataset, Meaning, Movement, Rows, Targets, image, source};
use crate::Error;
use crate::document::list;

/// The most that is read of a trace.
const LONGEST: u64 = 1024 * MEBIBYTE;
/// Frames of a folder at most.
const MOST_FRAMES: usize = 1 << 20;

/// A folder of frames.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct FramesConfig {
    /// The folder: PNG, PGM or PPM images of one size, in the order of their names, numbers in them by what they count (`f9.png` before
    /// `f10.png`); or folders of such, each a sequence. `--data` names another.
    pub folder: PathBuf,
}

/// A recorded trace.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TraceConfig {
    /// A CSV file with a header; each row is a frame, as it is. `--data` names another.
    pub file: PathBuf,
    /// The columns of a frame; left out, all but `sequence`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub columns: Vec<String>,
    /// The column that says which sequence a row is of; left out, all rows are of one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sequence: Option<String>,
}

/// What was recorded, whole: windows are cut out when it is known how long they are.
fn recorded(name: String, size: [usize; 2], sequences: Vec<Vec<f32>>) -> Dataset {
    let none = || Rows { values: vec![], targets: Targets::Values { values: vec![], width: 1 }, numbers: vec![] };
    Dataset {
        name,
        width: size[0] * size[1],
        train: none(),
        validation: none(),
        test: none(),
        meaning: Meaning::Motion(Box::new(Movement::recorded(size, sequences))),
        augmented: None,
        drawn: None,
        columns: vec![],
    }
}

/// The frames of a folder.
pub fn of_folder(config: &FramesConfig, path: Option<&Path>) -> Result<Dataset, Error> {
    let folder = path.unwrap_or(&config.folder);
    let name = folder.display().to_string();
    let [mut files, folders] = entries(folder)?;
    let mut sequences = Vec::new();
    let mut first: Option<(PathBuf, [usize; 2])> = None;
    let mut read = |files: &[PathBuf]| -> Result<Vec<f32>, Error> {
        let mut sequence = Vec::new();
        for file in files {
            let pixels = image::read(file)?;
            let (known, size) = first.get_or_insert_with(|| (file.clone(), pixels.size));
            if pixels.size != *size {
                return Err(Error::Data(format!(
                    "{}: is {} × {} pixels, but {} is {} × {}: frames of a sequence are of one size",
                    file.display(),
                    pixels.size[1],
                    pixels.size[0],
                    known.display(),
                    size[1],
                    size[0]
                )));
            }
            sequence.extend(pixels.colors.chunks_exact(sims::COLORS).map(gray));
        }
        Ok(sequence)
    };
    if files.is_empty() {
        for folder in &folders {
            files.clone_from(&entries(folder)?[0]);
            if !files.is_empty() {
                sequences.push(read(&files)?);
            }
        }
    } else {
        sequences.push(read(&files)?);
    }
    let Some((_, size)) = first else {
        return Err(Error::MissingData(format!(
            "{name}: there are no frames: name a folder of PNG, PGM or PPM images, or of folders of such, with data.folder or --data"
        )));
    };
    Ok(recorded(name, size, sequences))
}

/// The mean of its colors.
fn gray(color: &[f32]) -> f32 {
    color.iter().sum::<f32>() / color.len() as f32
}

/// The images in a folder, and the folders in it, each in the order of their names.
fn entries(folder: &Path) -> Result<[Vec<PathBuf>; 2], Error> {
    let bad = |error: std::io::Error| {
        Error::MissingData(format!(
            "{}: cannot be read ({error}): name a folder of frames with data.folder or --data",
            folder.display()
        ))
    };
    let (mut files, mut folders) = (vec![], vec![]);
    for entry in std::fs::read_dir(folder).map_err(bad)? {
        let path = entry.map_err(bad)?.path();
        let is_image = path
            .extension()
            .is_some_and(|end| ["png", "pgm", "ppm"].iter().any(|known| end.eq_ignore_ascii_case(known)));
        if path.is_dir() {
            folders.push(path);
        } else if is_image {
            files.push(path);
        }
        if MOST_FRAMES < files.len().max(folders.len()) {
            let message = format!("{}: has more than {MOST_FRAMES} frames: take fewer", folder.display());
            return Err(Error::Data(message));
        }
    }
    files.sort_by_cached_key(|file| order(file));
    folders.sort_by_cached_key(|folder| order(folder));
    Ok([files, folders])
}

/// What names are ordered by: the text before each number and the number, then the name itself.
fn order(path: &Path) -> (Vec<(String, u128)>, PathBuf) {
    let mut parts = vec![(String::new(), String::new())];
    for letter in path.file_name().unwrap_or_default().to_string_lossy().chars() {
        match parts.last_mut() {
            Some((_, digits)) if letter.is_ascii_digit() => digits.push(letter),
            Some((text, digits)) if digits.is_empty() => text.push(letter),
            _ => parts.push((letter.to_string(), String::new())),
        }
    }
    // More digits than a number holds are of the largest there is.
    let number = |digits: &str| if digits.is_empty() { 0 } else { digits.parse().unwrap_or(u128::MAX) };
    (parts.into_iter().map(|(text, digits)| (text, number(&digits))).collect(), path.to_owned())
}

/// The rows of a trace.
pub fn of_trace(config: &TraceConfig, path: Option<&Path>) -> Result<Dataset, Error> {
    let file = match path {
        Some(path) if path.is_dir() => path.join(config.file.file_name().unwrap_or_default()),
        Some(path) => path.to_owned(),
        None => config.file.clone(),
    };
    let name = file.display().to_string();
    let bad = |place: String, message: String| Error::Data(format!("{name}{place}: {message}"));
    let opened = source::open(&file, LONGEST).map_err(|error| {
        Error::MissingData(format!("{name}: cannot be read ({error}): name a CSV file with data.file or --data"))
    })?;
    let mut reader = csv::ReaderBuilder::new().trim(csv::Trim::All).from_reader(opened);
    let header = reader.headers().map_err(|error| source::complaint(&name, &error))?.clone();
    let names: Vec<&str> = header.iter().collect();
    let find = |wanted: &str| {
        let found = names.iter().position(|name| *name == wanted);
        found.ok_or_else(|| bad(":1".to_owned(), format!("there is no column `{wanted}`: it has {}", list(&names))))
    };
    let sequence = config.sequence.as_deref().map(find).transpose()?;
    let columns: Vec<usize> = if config.columns.is_empty() {
        (0..names.len()).filter(|place| Some(*place) != sequence).collect()
    } else {
        config.columns.iter().map(|name| find(name)).collect::<Result<_, _>>()?
    };
    let mut sequences: Vec<(String, Vec<f32>)> = Vec::new();
    let mut ends = vec![[f64::INFINITY, f64::NEG_INFINITY]; columns.len()];
    for record in reader.records() {
        let record = record.map_err(|error| source::complaint(&name, &error))?;
        let line = record.position().map_or(0, csv::Position::line);
        let of = sequence.and_then(|place| record.get(place)).unwrap_or_default();
        if sequences.last().is_none_or(|(known, _)| known != of) {
            sequences.push((of.to_owned(), vec![]));
        }
        let Some((_, values)) = sequences.last_mut() else { continue };
        for (place, [low, high]) in columns.iter().zip(&mut ends) {
            let cell = record.get(*place).unwrap_or_default();
            let value = finite(cell).ok_or_else(|| {
                let message = format!("column `{}` is `{cell}`, but a finite number was expected", names[*place]);
                bad(format!(":{line}"), message)
            })?;
            (*low, *high) = (low.min(value), high.max(value));
            values.push(value as f32);
        }
    }
    if columns.is_empty() || sequences.is_empty() {
        return Err(bad(String::new(), "has no frames: give a header and a row of numbers for each frame".to_owned()));
    }
    for (place, ends) in columns.iter().zip(ends) {
        warn_of_offset(
            &name,
            names[*place],
            ends,
            "take its offset off in the file, since frames are learned as they are",
        );
    }
    Ok(recorded(name.clone(), [1, columns.len()], sequences.into_iter().map(|(_, values)| values).collect()))
}

/// One frame of a given size: a picture (PNG, PGM, PPM), whose black and white become `black` and `white`; or a row of a table with a header,
/// `FILE.csv` or `FILE.csv:ROW`, as it is. Rows are counted from 1. Columns `sequence` and `frame`, as `pnnlab generate` writes them, are no
/// part of it.
pub fn read_frame(asked: &str, size: [usize; 2], [black, white]: [f32; 2]) -> Result<Vec<f32>, Error> {
    let bad = |message: String| Err(Error::Data(format!("{asked}: {message}")));
    let numbered = asked.rsplit_once(':').and_then(|(file, row)| Some((file, row.parse::<usize>().ok()?)));
    let (file, row) = numbered.unwrap_or((asked, 1));
    let file = Path::new(file);
    let ends =
        |known: &[&str]| file.extension().is_some_and(|end| known.iter().any(|known| end.eq_ignore_ascii_case(known)));
    if !ends(&["csv"]) {
        if !ends(&["png", "pgm", "ppm"]) {
            return bad("is neither a picture (.png, .pgm, .ppm) nor a row of a table (FILE.csv:ROW)".to_owned());
        }
        let pixels = image::read(file)?;
        if pixels.size != size {
            return bad(format!(
                "is {} × {} pixels, but the generator's frames are {} × {}: give a picture of that size",
                pixels.size[1], pixels.size[0], size[1], size[0]
            ));
        }
        return Ok(pixels
            .colors
            .chunks_exact(sims::COLORS)
            .map(|color| black + gray(color) * (white - black))
            .collect());
    }
    let opened = match source::open(file, LONGEST) {
        Ok(opened) => opened,
        Err(error) => {
            return bad(format!("cannot be read ({error}): name a table with a header and a row for each frame"));
        }
    };
    let mut reader = csv::ReaderBuilder::new().trim(csv::Trim::All).from_reader(opened);
    let header = reader.headers().map_err(|error| source::complaint(asked, &error))?.clone();
    let columns: Vec<String> =
        header.iter().filter(|name| !["sequence", "frame"].contains(name)).map(str::to_owned).collect();
    let twice = columns.iter().enumerate().find(|(place, name)| columns[..*place].contains(name));
    if let Some((_, name)) = twice {
        return bad(format!("has two columns of the name `{name}`: give each value of a frame a name of its own"));
    }
    let pixels = size[0] * size[1];
    if columns.len() != pixels {
        return bad(format!(
            "has {} values in a row, but the generator's frames have {pixels} ({} × {})",
            columns.len(),
            size[1],
            size[0]
        ));
    }
    let data = of_trace(&TraceConfig { file: file.to_owned(), columns, sequence: None }, None)?;
    let Meaning::Motion(movement) = &data.meaning else { return bad("has no frames".to_owned()) };
    let rows: Vec<&[f32]> = movement.recorded.iter().flat_map(|values| values.chunks_exact(pixels)).collect();
    match row.checked_sub(1).and_then(|row| rows.get(row)) {
        Some(values) => Ok(values.to_vec()),
        None => bad(format!("there is no row {row}: the table has {}, counted from 1", rows.len())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn gray(folder: &Path, name: &str, size: [usize; 2], value: u8) {
        let mut bytes = format!("P5 {} {} 255\n", size[1], size[0]).into_bytes();
        bytes.extend(vec![value; size[0] * size[1]]);
        std::fs::create_dir_all(folder).unwrap();
        std::fs::write(folder.join(name), bytes).unwrap();
    }

    fn movement(data: &Dataset) -> &Movement {
        let Meaning::Motion(movement) = &data.meaning else { panic!("sequences") };
        movement
    }

    #[test]
    fn frames_are_read_in_the_order_of_their_names() {
        let place = tempfile::tempdir().unwrap();
        let config = FramesConfig { folder: place.path().to_owned() };
        let missing = of_folder(&config, None).unwrap_err().to_string();
        assert!(missing.contains("there are no frames"), "{missing}");
        for (name, value) in [("b.pgm", 255), ("a.pgm", 0), ("note.txt", 9)] {
            gray(place.path(), name, [2, 3], value);
        }
        let data = of_folder(&config, None).unwrap();
        assert_eq!((movement(&data).size, data.width), ([2, 3], 6));
        assert_eq!(movement(&data).recorded, [[vec![0.0; 6], vec![1.0; 6]].concat()]);
        gray(place.path(), "b10.pgm", [2, 3], 102);
        gray(place.path(), "b9.pgm", [2, 3], 51);
        let values: Vec<f32> =
            movement(&of_folder(&config, None).unwrap()).recorded[0].iter().step_by(6).copied().collect();
        assert_eq!(values, [0.0, 0.2, 0.4, 1.0], "a, b9, b10, b.pgm");
        gray(place.path(), "c.pgm", [3, 2], 0);
        let said = of_folder(&config, None).unwrap_err().to_string();
        assert!(
            said.contains("c.pgm: is 2 × 3 pixels, but") && said.contains("frames of a sequence are of one size"),
            "{said}"
        );
    }

    #[test]
    fn folders_in_a_folder_are_sequences_of_their_own() {
        let place = tempfile::tempdir().unwrap();
        gray(&place.path().join("2"), "a.pgm", [1, 1], 255);
        gray(&place.path().join("1"), "a.pgm", [1, 1], 0);
        gray(&place.path().join("1"), "b.pgm", [1, 1], 51);
        let data = of_folder(&FramesConfig { folder: "elsewhere".into() }, Some(place.path())).unwrap();
        assert_eq!(movement(&data).recorded, [vec![0.0, 0.2], vec![1.0]]);
    }

    #[test]
    fn a_trace_is_its_rows_as_they_are() {
        let place = tempfile::tempdir().unwrap();
        let file = place.path().join("trace.csv");
        std::fs::write(&file, "run,a,b\nx,1,2\nx,3,4\ny,5,-6\n").unwrap();
        let config = TraceConfig { file: file.clone(), columns: vec![], sequence: Some("run".to_owned()) };
        let data = of_trace(&config, None).unwrap();
        assert_eq!(movement(&data).recorded, [vec![1.0, 2.0, 3.0, 4.0], vec![5.0, -6.0]]);
        let one = TraceConfig { columns: vec!["b".to_owned()], sequence: None, ..config.clone() };
        assert_eq!(movement(&of_trace(&one, Some(place.path())).unwrap()).recorded, [vec![2.0, 4.0, -6.0]]);
        let said = of_trace(&TraceConfig { sequence: None, ..config.clone() }, None).unwrap_err().to_string();
        assert!(said.contains("trace.csv:2: column `run` is `x`"), "{said}");
        let said = of_trace(&TraceConfig { columns: vec!["z".to_owned()], ..config }, None).unwrap_err().to_string();
        assert!(said.contains("there is no column `z`"), "{said}");
    }

    #[test]
    fn a_frame_is_a_picture_or_a_row_of_a_table() {
        let place = tempfile::tempdir().unwrap();
        let at = |name: &str| place.path().join(name).display().to_string();
        gray(place.path(), "a.pgm", [1, 2], 51);
        std::fs::write(at("a.csv"), "sequence,frame,value_0,value_1\n0,0,3,4\n0,1,5,-6\n").unwrap();
        let read = |name: &str| read_frame(&at(name), [1, 2], [-1.0, 1.0]);
        assert!(read("a.pgm").unwrap().iter().all(|value| (value + 0.6).abs() < 1e-6));
        assert_eq!((read("a.csv").unwrap(), read("a.csv:2").unwrap()), (vec![3.0, 4.0], vec![5.0, -6.0]));
        gray(place.path(), "b.pgm", [2, 2], 0);
        std::fs::write(at("b.csv"), "a\n1\n").unwrap();
        std::fs::write(at("c.csv"), "v,v\n1,2\n").unwrap();
        std::fs::write(at("none.png"), "no picture").unwrap();
        for (name, words) in [
            ("b.pgm", "b.pgm: is 2 × 2 pixels, but the generator's frames are 2 × 1"),
            ("b.csv", "b.csv: has 1 values in a row, but the generator's frames have 2 (2 × 1)"),
            ("c.csv", "two columns of the name `v`"),
            ("a.csv:3", "there is no row 3: the table has 2"),
            ("a.csv:0", "there is no row 0"),
            ("gone.csv", "cannot be read"),
            ("gone.png", "cannot be read"),
            ("none.png", "is no number"),
            ("a.txt", "is neither a picture"),
        ] {
            let said = read(name).unwrap_err().to_string();
            assert!(said.contains(words), "{said}");
        }
    }
}
