//! The house rules that a machine can check.

use std::path::{Path, PathBuf};

/// All Rust files of the project.
fn sources() -> Vec<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut folders: Vec<PathBuf> =
        ["drivers/src", "sims/src", "calibration/src", "hil/src", "src", "tests", "benches"]
            .iter()
            .map(|name| root.join(name))
            .collect();
    let mut files = Vec::new();
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).into_iter().flatten() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                files.push(path);
            }
        }
    }
    files
}

#[test]
fn every_file_says_what_it_is_and_is_short() {
    let files = sources();
    assert!(files.len() > 30, "the folders are found");
    for file in files {
        let text = std::fs::read_to_string(&file).unwrap();
        let lines = text.lines().count();
        assert!(lines <= 500, "{} has {lines} lines: split it at a seam", file.display());
        assert!(text.starts_with("//!") || text.starts_with("#![doc"), "{} does not say what it is", file.display());
        let name = file.file_stem().unwrap().to_str().unwrap();
        assert!(
            !["utils", "common", "types", "base", "helpers", "misc"].contains(&name),
            "{} names nothing",
            file.display()
        );
    }
}

#[test]
fn every_top_level_folder_is_on_the_map() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let map = std::fs::read_to_string(root.join("ARCHITECTURE.md")).unwrap();
    for folder in ["drivers/", "sims/", "calibration/", "hil/", "src/", "tests/", "benches/", "experiments/"] {
        assert!(root.join(folder).is_dir() && map.contains(folder), "{folder}");
    }
}

#[test]
fn only_the_crates_to_the_left_are_used() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let crates = ["drivers", "sims", "calibration", "hil"];
    for (index, name) in crates.iter().enumerate() {
        let manifest = std::fs::read_to_string(root.join(name).join("Cargo.toml")).unwrap();
        for right in &crates[index + 1..] {
            assert!(!manifest.contains(&format!("{right}.workspace")), "{name} uses {right}");
        }
        if index < 2 {
            assert!(!manifest.contains("burn"), "{name} knows tensors");
        }
    }
}
