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
    for folder in
        ["drivers/", "sims/", "calibration/", "hil/", "src/", "tests/", "benches/", "experiments/", "examples/"]
    {
        assert!(root.join(folder).is_dir() && map.contains(folder), "{folder}");
    }
}

/// The files and rooms of `src/`, lowest first: each uses only those before it.
const ROOMS: [&str; 19] = [
    "output",
    "whole_file",
    "memory",
    "stop",
    "error",
    "scores",
    "event",
    "writing",
    "log",
    "document",
    "data",
    "plants",
    "network",
    "record",
    "control",
    "training",
    "report",
    "watch",
    "command",
];

/// The first words of the paths below `crate::` in a file, its tests left out.
fn used(text: &str) -> Vec<&str> {
    let code = text.split("#[cfg(test)]\nmod tests {").next().unwrap_or_default();
    let lines = code.lines().filter(|line| !line.trim_start().starts_with("//"));
    let starts = lines.flat_map(|line| line.match_indices("crate::").map(|(at, name)| &line[at + name.len()..]));
    // A list that goes on below its line is read from the whole text.
    let rests = starts.map(|rest| &code[rest.as_ptr() as usize - code.as_ptr() as usize..]);
    rests.flat_map(|rest| rest.strip_prefix('{').map_or_else(|| vec![word(rest)], first_words)).collect()
}

/// The first words of the paths of a list, up to its closing brace.
fn first_words(list: &str) -> Vec<&str> {
    let (mut depth, mut at, mut words) = (0, 0, vec![]);
    for (end, letter) in list.char_indices() {
        match letter {
            '{' => depth += 1,
            '}' if depth > 0 => depth -= 1,
            ',' | '}' if depth == 0 => {
                words.push(word(list[at..end].trim_start()));
                at = end + 1;
                if letter == '}' {
                    break;
                }
            }
            _ => {}
        }
    }
    words.retain(|word| !word.is_empty());
    words
}

fn word(path: &str) -> &str {
    path.split(|letter: char| !letter.is_alphanumeric() && letter != '_').next().unwrap_or_default()
}

#[test]
fn every_room_uses_only_those_before_it() {
    assert_eq!(
        used("use crate::{Error, a::{b, c}, d};\nlet x = crate::e::f();\n// crate::g\n"),
        ["Error", "a", "d", "e"]
    );
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    // The list in ARCHITECTURE.md names the same rooms in the same order.
    let map = std::fs::read_to_string(root.join("../ARCHITECTURE.md")).unwrap();
    let list = map.split("`src/` has rooms").nth(1).unwrap().split("```").nth(1).unwrap();
    let named: Vec<&str> = list
        .lines()
        .skip(1)
        .flat_map(|line| line.split("  ").next().unwrap_or_default().split(", "))
        .map(|name| name.trim().trim_end_matches('/'))
        .filter(|name| !name.is_empty())
        .collect();
    assert_eq!(named, ROOMS, "the rooms of ARCHITECTURE.md");
    let place = |room: &str| ROOMS.iter().position(|known| *known == room);
    let mut wrong = vec![];
    for file in sources().iter().filter(|file| file.starts_with(&root)) {
        let path = file.strip_prefix(&root).unwrap().to_str().unwrap();
        // The program and its command line stand above all rooms; files of tests use what they test.
        if ["lib.rs", "main.rs", "cli.rs"].contains(&path) || path.ends_with("tests.rs") || path.ends_with("golden.rs")
        {
            continue;
        }
        let room = path.split(['/', '.']).next().unwrap();
        let Some(own) = place(room) else {
            wrong.push(format!("{path} is in no room: add it to ROOMS, and to the map in ARCHITECTURE.md"));
            continue;
        };
        let text = std::fs::read_to_string(file).unwrap();
        for name in used(&text) {
            // `Error` and macros are the only names that rooms take from the root.
            let name = if name == "Error" { "error" } else { name };
            match place(name) {
                Some(other) if other <= own => {}
                Some(_) => wrong.push(format!("{path} uses `{name}`, which comes after `{room}`")),
                None => wrong.push(format!("{path} uses `{name}`: name the room that it is in")),
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
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

/// The packages of a lock file that come neither from crates.io, with a checksum, nor from this workspace.
fn strangers(lock: &str) -> Vec<&str> {
    let ours = ["pnnlab", "drivers", "sims", "calibration", "hil"];
    let registry = "source = \"registry+https://github.com/rust-lang/crates.io-index\"";
    let mut strangers = vec![];
    for package in lock.split("[[package]]\n").skip(1) {
        let name = package.lines().next().unwrap().strip_prefix("name = \"").unwrap().trim_end_matches('"');
        let has = |key: &str| package.lines().any(|line| line.starts_with(key));
        let is_ours = ours.contains(&name) && !has("source");
        let is_published = package.lines().any(|line| line == registry) && has("checksum");
        if !is_ours && !is_published {
            strangers.push(name);
        }
    }
    strangers
}

#[test]
fn every_crate_is_ours_or_comes_from_crates_io() {
    let published = "[[package]]\nname = \"a\"\nversion = \"1.0.0\"\n\
        source = \"registry+https://github.com/rust-lang/crates.io-index\"\nchecksum = \"0\"\n\n";
    let elsewhere = "[[package]]\nname = \"b\"\nversion = \"1.0.0\"\nsource = \"git+https://example.org/b#0\"\n\n";
    let beside =
        "[[package]]\nname = \"c\"\nversion = \"1.0.0\"\n\n[[package]]\nname = \"sims\"\nversion = \"1.0.0\"\n";
    assert_eq!(strangers(&format!("{published}{elsewhere}{beside}")), ["b", "c"]);

    let lock = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("Cargo.lock")).unwrap();
    assert!(lock.matches("[[package]]").count() > 100, "the packages are found");
    assert!(strangers(&lock).is_empty(), "neither ours nor from crates.io: {}", strangers(&lock).join(", "));
}
