//! The next free name of a file or folder that a continued run records to.

use std::path::{Path, PathBuf};

/// `path`, or where that exists in `folder`, its name with the first number from 2 on that does not.
pub fn next_free(folder: &Path, path: &Path) -> PathBuf {
    let (stem, ending) = (path.file_stem().unwrap_or_default(), path.extension());
    let numbered = |number: usize| {
        let mut name = stem.to_owned();
        name.push(format!("-{number}"));
        if let Some(ending) = ending {
            name.push(".");
            name.push(ending);
        }
        path.with_file_name(name)
    };
    let mut all = std::iter::once(path.to_owned()).chain((2..).map(numbered));
    all.find(|path| !folder.join(path).exists()).unwrap_or_else(|| path.to_owned())
}
