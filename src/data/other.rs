//! Rows of other data as the network of some data takes them: scaled by that data's training rows, and without labels. And whether they are other
//! rows at all.

use std::collections::HashSet;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::Path;

use sims::Key;

use super::further::Columns;
use super::{Asked, DataConfig, Dataset, Rows, Targets, idx};
use crate::Error;
use crate::document::Document;

impl Dataset {
    /// The rows of `other`, which is what `--data` names, as a network takes them that learns this data: of a CSV file the columns that are
    /// learned from, by their names; of a folder of IDX files the test images.
    pub fn others(&self, config: &DataConfig, other: &Path, document: &Document, key: Key) -> Result<Rows, Error> {
        let mut rows = match config {
            DataConfig::Idx(config) => {
                // Its labels are nobody's business.
                let mut config = config.clone();
                (config.classes, config.train, config.test, config.validation) = (256, None, None, Some(0));
                let rows = idx::dataset(&config, other, Asked { document, key })?;
                if rows.width != self.width {
                    return Err(Error::Data(format!(
                        "{}: its images give {} values, but the network takes {}: name images of the same size",
                        other.display(),
                        rows.width,
                        self.width
                    )));
                }
                rows.test
            }
            _ => self.further(other, Columns { label: ("", 0), leave_out: &[], environment: None })?.rows,
        };
        rows.targets = Targets::Classes(vec![0; rows.values.len() / self.width.max(1)]);
        Ok(rows)
    }

    /// What is to be said of the rows of `file` where most of them are, value for value, rows that are learned from.
    pub fn familiar(&self, rows: &Rows, file: &Path) -> Option<String> {
        let each = |rows: &Rows| -> Vec<u64> {
            let mark = |row: &[f32]| {
                let mut hasher = DefaultHasher::new();
                for value in row {
                    value.to_bits().hash(&mut hasher);
                }
                hasher.finish()
            };
            rows.values.chunks_exact(self.width.max(1)).map(mark).collect()
        };
        let known: HashSet<u64> = each(&self.train).into_iter().collect();
        let marks = each(rows);
        let seen = marks.iter().filter(|mark| known.contains(*mark)).count();
        (marks.len() < 2 * seen).then(|| {
            format!(
                "{seen} of the {} rows of {} are rows that the network was trained on: name others, which training did not see",
                marks.len(),
                file.display()
            )
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_that_were_learned_from_are_told() {
        let text = "source = \"csv\"\nfile = \"\"\nlabel = \"class\"\ntest = 2\nscaling = \"none\"\nvalidation = 0\nsplit = \"sequential\"\n";
        let config: DataConfig = toml::from_str(text).unwrap();
        let place = tempfile::tempdir().unwrap();
        let write = |name: &str, rows: &[u32]| {
            let lines: Vec<String> = rows.iter().map(|row| format!("{row},0.5,{}\n", row % 2)).collect();
            let path = place.path().join(name);
            std::fs::write(&path, format!("a,b,class\n{}", lines.concat())).unwrap();
            path
        };
        let document = Document::parse("experiment.toml", "").unwrap();
        let own = write("own.csv", &[1, 2, 3, 4, 5, 6]);
        let data = Dataset::load(&config, Some(&own), &document, Key::new(1)).unwrap();
        let said = |rows: &[u32]| {
            let other = write("other.csv", rows);
            data.familiar(&data.others(&config, &other, &document, Key::new(1)).unwrap(), &other)
        };
        let most = said(&[1, 2, 3, 9]).unwrap();
        assert!(most.contains("3 of the 4 rows of") && most.contains("other.csv are rows that the network"), "{most}");
        assert_eq!(said(&[1, 2, 8, 9]), None, "half of them");
        assert_eq!(said(&[5, 6]), None, "rows that are tested on are others");
    }
}
