//! Rows of other data as the network of some data takes them: scaled by that data's training rows, and without labels.

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
}
