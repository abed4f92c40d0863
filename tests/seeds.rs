//! The seeds of the fuzz targets that need no wire (`fuzz/seeds`), and what becomes of them when bytes change: refused, never a panic.
//! `fuzz/README.md` says how the same is done for hours.

use std::path::{Path, PathBuf};

use calibration::{Fit, Trace};
use pnnlab::document::Document;
use pnnlab::plants::RigConfig;
use pnnlab::record::{Checkpoint, Position};
use pnnlab::training::Experiment;
use sims::Key;

/// Changes of each seed.
const CHANGES: u64 = 150;

/// The seeds of a target.
fn seeds(target: &str) -> Vec<(PathBuf, Vec<u8>)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/seeds").join(target);
    let mut files: Vec<PathBuf> = std::fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    assert!(!files.is_empty(), "{target} has seeds");
    files.into_iter().map(|path| (path.clone(), std::fs::read(&path).unwrap())).collect()
}

/// Bytes with some of them changed, cut off, or made a number that is far too large.
fn changed(bytes: &[u8], number: u64) -> Vec<u8> {
    let mut stream = Key::new(number).branch("seeds").stream();
    let mut draw = |below: usize| ((stream.uniform() * below as f32) as usize).min(below.saturating_sub(1));
    let mut bytes = bytes.to_vec();
    match draw(4) {
        0 => bytes.truncate(draw(bytes.len())),
        1 => {
            let at = draw(bytes.len().saturating_sub(8));
            let huge = [i64::MAX, -1, 1 << 40, 1 << 31][draw(4)].to_le_bytes();
            let end = bytes.len().min(at + 8);
            bytes[at..end].copy_from_slice(&huge[..end - at]);
        }
        _ => {
            for _ in 0..4 {
                let at = draw(bytes.len());
                bytes[at] = [0, 0xFF, 0x80, draw(256) as u8][draw(4)];
            }
        }
    }
    bytes
}

/// Gives `decode` every seed, and each as it is changed.
fn try_all(target: &str, decode: impl Fn(&[u8])) {
    for (path, bytes) in seeds(target) {
        decode(&bytes);
        for number in 0..CHANGES {
            let bytes = changed(&bytes, number);
            let decoded = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| decode(&bytes)));
            assert!(decoded.is_ok(), "change {number} of {} is not refused", path.display());
        }
    }
}

#[test]
fn traces() {
    try_all("trace", |bytes| {
        let all = [Trace::from_arrow(bytes), Trace::from_shots(bytes, None), Trace::from_npz(&[bytes], None)];
        for trace in all.into_iter().flatten() {
            assert_eq!(trace.inputs.rows(), trace.outputs.rows());
            let _ = trace.thinned(10).averaged();
        }
    });
}

#[test]
fn feather_files_of_today_are_named_for_what_they_are() {
    let said = |name: &str| {
        let all = seeds("trace");
        let (_, bytes) = all.iter().find(|(path, _)| path.ends_with(name)).unwrap();
        Trace::from_arrow(bytes).unwrap_err().to_string()
    };
    assert!(said("feather-lz4").contains("is compressed with LZ4, which is not read here"), "{}", said("feather-lz4"));
    // It is read; what it lacks is a plant.
    assert!(said("feather-zstd").contains("was not written by `pnnlab calibrate`"), "{}", said("feather-zstd"));
    assert!(Trace::from_arrow(b"FEA1....FEA1").unwrap_err().to_string().contains("Feather file of version 1"));
}

#[test]
fn fits() {
    // Text and numbers lie in one file, with a zero between them.
    try_all("fit", |bytes| {
        let cut = bytes.iter().position(|byte| *byte == 0).unwrap_or(bytes.len());
        let (text, numbers) = (String::from_utf8_lossy(&bytes[..cut]), bytes.get(cut + 1..).unwrap_or_default());
        let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
        if let Some(line) = lines.iter_mut().find(|line| line.starts_with("tensors_sha256")) {
            *line = format!("tensors_sha256 = \"{}\"", calibration::digest(numbers));
        }
        let Ok(fit) = Fit::from_files(&lines.join("\n"), numbers) else { return };
        let model = sims::Electrical { samples: 4, ..sims::Electrical::default() };
        let card = sims::Adjustable::card(&model);
        if let Ok(twin) = fit.twin(&card, Some(&model)) {
            let inputs = drivers::Batch::zeros(2, 4);
            let _ = twin.predict(&inputs, &[]);
            let _ = twin.pull_back(&inputs, &[], &drivers::Batch::zeros(2, 4));
        }
    });
}

#[test]
fn checkpoints() {
    try_all("checkpoint", |bytes| {
        let _ = Checkpoint::parse(Path::new("seed"), bytes);
        // The position alone, past the digest: it stands between quotes in the header.
        let text = String::from_utf8_lossy(bytes);
        let position = text.split("\"position\":\"").nth(1).and_then(|rest| rest.split("\",\"").next());
        let Some(position) = position else { return };
        if let Ok(position) = Position::parse(&position.replace("\\n", "\n").replace("\\\"", "\"")) {
            assert!(position.seconds.iter().all(|seconds| std::time::Duration::try_from_secs_f64(*seconds).is_ok()));
        }
    });
    let (path, bytes) = seeds("checkpoint").remove(0);
    assert!(Checkpoint::parse(&path, &bytes).is_ok(), "the seed is a checkpoint");
}

#[test]
fn experiments_rigs_and_assignments() {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    try_all("experiment", |bytes| {
        let Ok(mut document) = Document::parse("seed.toml", &text(bytes)) else { return };
        let _ = document.check::<Experiment>();
        let _ = document.lay("quick").map(|()| document.check::<Experiment>());
    });
    try_all("rig", |bytes| {
        let _ = Document::parse("seed.toml", &text(bytes)).map(|document| document.check::<RigConfig>());
    });
    try_all("set", |bytes| {
        let assignments: Vec<String> = text(bytes).split('\0').map(str::to_owned).collect();
        let _ = Experiment::find_form("digits-electrical", false, &assignments);
    });
}
