//! Where a command puts what it makes. What cannot be written there is said before anything is driven.

use std::path::Path;

use crate::{Error, whole_file};

/// Refuses a file for `--out` whose ending is none of these, or that cannot be written; `or` says what else may be given.
pub fn refuse_file(out: &Path, endings: &[&str], or: &str) -> Result<(), Error> {
    let end = out.extension().map(|end| end.to_string_lossy().to_ascii_lowercase()).unwrap_or_default();
    if !endings.contains(&end.as_str()) {
        let known: Vec<String> = endings.iter().map(|end| format!(".{end}")).collect();
        return Err(Error::Usage(format!(
            "--out {}: has an unknown ending: give {}{or}",
            out.display(),
            known.join(", ")
        )));
    }
    whole_file::probe(out).map_err(Error::chosen(out, "cannot be written", "--out"))
}

/// Refuses a folder for `--out` that cannot be made or written, and one with other files: old frames would stand among the new ones, and whose
/// they are is not known. A new one is not left there: what comes between may still be refused.
pub fn refuse_folder(out: &Path) -> Result<(), Error> {
    // The deepest first.
    let is_missing = |folder: &&Path| !folder.as_os_str().is_empty() && !folder.exists();
    let missing: Vec<&Path> = out.ancestors().take_while(is_missing).collect();
    std::fs::create_dir_all(out).map_err(Error::chosen(out, "cannot be made", "--out"))?;
    let entries = std::fs::read_dir(out).map_err(Error::chosen(out, "cannot be read", "--out"))?;
    let mut names: Vec<String> =
        entries.flatten().map(|entry| entry.file_name().to_string_lossy().into_owned()).collect();
    names.sort();
    if let Some(first) = names.first() {
        return Err(Error::Usage(format!(
            "--out {}: holds {} files already, such as `{first}`, which would stand among the new ones: name a new folder, or empty it",
            out.display(),
            names.len()
        )));
    }
    let file = out.join("frame");
    whole_file::probe(&file).map_err(Error::chosen(out, "cannot be written", "--out"))?;
    // One that cannot be removed stays, empty.
    let _ = missing.into_iter().try_for_each(std::fs::remove_dir);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_that_cannot_be_written_is_refused_and_nothing_is_left_there() {
        let place = tempfile::tempdir().unwrap();
        let at = |name: &str| place.path().join(name);
        let said = |refused: Result<(), Error>| refused.unwrap_err().to_string();
        refuse_file(&at("a.PNG"), &["png"], "").unwrap();
        assert!(said(refuse_file(&at("a.bmp"), &["png", "gif"], "")).contains("unknown ending: give .png, .gif"));
        assert!(said(refuse_file(&at("none/a.png"), &["png"], "")).contains("Choose another place with --out"));
        std::fs::create_dir(at("taken.png")).unwrap();
        assert!(said(refuse_file(&at("taken.png"), &["png"], "")).contains("cannot be written"));
        refuse_folder(&at("new/frames")).unwrap();
        assert!(!at("new").exists(), "what was new is not left there");
        std::fs::create_dir_all(at("new/frames")).unwrap();
        refuse_folder(&at("new/frames")).unwrap();
        assert!(at("new/frames").is_dir(), "what was there stays");
        std::fs::write(at("new/frames/frame-00007.png"), "old").unwrap();
        assert!(said(refuse_folder(&at("new/frames"))).contains("holds 1 files already, such as `frame-00007.png`"));
        std::fs::write(at("file"), "").unwrap();
        assert!(said(refuse_folder(&at("file"))).contains("cannot be made"));
        assert_eq!(std::fs::read_dir(place.path()).unwrap().count(), 3);
    }
}
