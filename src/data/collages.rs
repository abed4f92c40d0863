//! Rows of several blocks that all tell the class in training, and one at a time in the tests: as published experiments on shortcuts use them.
//!
//! ```text
//! block 1   the sign of x                       linear
//! block k   k slabs of equal width, by turns of one class and of the other
//! ```

use std::path::Path;

use drivers::{MEBIBYTE, read_text_bounded};
use sims::Key;

use super::{Dataset, Meaning, Rows, Targets};
use crate::Error;

/// The most that is read of one file.
const MOST: u64 = 64 * MEBIBYTE;

/// Collages, and the rows in which one block alone tells the class.
#[derive(Debug, Clone, PartialEq)]
pub struct Collages {
    /// All blocks tell the class; its test set is the same again.
    pub data: Dataset,
    /// Of each block, the simplest first.
    pub blocks: Vec<Rows>,
}

/// The tables of the blocks.
const BLOCKS: [&str; 4] = ["test_block0_k1.csv", "test_block1_k3.csv", "test_block2_k5.csv", "test_block3_k7.csv"];

impl Collages {
    /// Those in `folder`: `train_all.csv`, `val_all.csv` and four tests, each row four values and the class.
    pub fn read(folder: &Path) -> Result<Self, Error> {
        let read = |name: &str| rows(&folder.join(name));
        let blocks = BLOCKS.iter().map(|name| read(name)).collect::<Result<_, _>>()?;
        let (train, own) = (read("train_all.csv")?, read("val_all.csv")?);
        let data = Dataset::of_rows("collages", [4, 2], [train, own.clone(), own]);
        Ok(Self { data, blocks })
    }
}

/// The rows of one table without a header.
fn rows(file: &Path) -> Result<Rows, Error> {
    let bad = |message: String| Error::Data(format!("{}: {message}", file.display()));
    let text = read_text_bounded(file, MOST).map_err(|error| bad(format!("cannot be read: {error}")))?;
    let (mut values, mut labels) = (Vec::new(), Vec::new());
    for (line, text) in text.lines().enumerate() {
        let wrong = || bad(format!("line {}: four numbers and the class 0 or 1 were expected, not `{text}`", line + 1));
        let fields: Vec<f32> =
            text.split(',').map(|field| field.trim().parse().ok()).collect::<Option<_>>().ok_or_else(wrong)?;
        match fields.as_slice() {
            [row @ .., label]
                if row.len() == 4 && [0.0, 1.0].contains(label) && row.iter().all(|value| value.is_finite()) =>
            {
                values.extend_from_slice(row);
                labels.push(*label as u32);
            }
            _ => return Err(wrong()),
        }
    }
    if labels.is_empty() {
        return Err(bad("has no rows".to_owned()));
    }
    let numbers = (0..labels.len()).collect();
    Ok(Rows { values, targets: Targets::Classes(labels), numbers })
}

impl Dataset {
    /// Rows that are made elsewhere, to learn from, to validate with and to test on: so many values each, of so many classes.
    pub fn of_rows(name: &str, [width, classes]: [usize; 2], [train, validation, test]: [Rows; 3]) -> Self {
        let meaning = Meaning::Classes((0..classes).map(|class| class.to_string()).collect());
        Self {
            name: name.to_owned(),
            width,
            meaning,
            train,
            validation,
            test,
            augmented: None,
            drawn: None,
            columns: vec![],
        }
    }
}

/// A value between −1 and 1 that is of this class by `slabs` slabs of equal width, at least `gap` of a slab from their edges.
pub fn in_slabs(class: u32, slabs: usize, gap: f32, stream: &mut sims::Stream) -> f32 {
    let own: Vec<usize> = (0..slabs).filter(|slab| slab % 2 == class as usize).collect();
    let pick = ((stream.uniform() * own.len() as f32) as usize).min(own.len().saturating_sub(1));
    let slab = own.get(pick).copied().unwrap_or(0) as f32;
    let within = gap + (1.0 - 2.0 * gap) * stream.uniform();
    (slab + within) / slabs as f32 * 2.0 - 1.0
}

/// Classes by turns in a random order.
pub fn classes(count: usize, key: Key) -> Vec<u32> {
    let mut labels: Vec<u32> = (0..count).map(|row| (row % 2) as u32).collect();
    key.stream().shuffle(&mut labels);
    labels
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_lies_in_a_slab_of_its_class() {
        let mut stream = Key::new(1).stream();
        for class in [0, 1] {
            for _ in 0..200 {
                let value = in_slabs(class, 3, 0.1, &mut stream);
                let at = f32::midpoint(value, 1.0) * 3.0;
                assert_eq!(at.floor() as u32 % 2, class, "{value}");
                assert!((0.099..=0.901).contains(&(at - at.floor())), "{value}");
            }
        }
    }

    #[test]
    fn a_table_that_is_none_is_told_with_its_line() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("a.csv");
        for (text, words) in
            [("0.1,0.2,0.3,0.4,1\n0.1,x,0,0,1\n", "line 2"), ("0.1,0.2,0.3,1\n", "line 1"), ("", "has no rows")]
        {
            std::fs::write(&file, text).unwrap();
            assert!(rows(&file).unwrap_err().to_string().contains(words), "{text}");
        }
        std::fs::write(&file, "0.1,0.2,0.3,0.4,1\n-0.1,0,0,0,0\n").unwrap();
        assert_eq!(rows(&file).unwrap().labels(), [1, 0]);
    }
}
