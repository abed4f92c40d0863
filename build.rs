//! Which source the program is built from, for records and reports: `PNNLAB_COMMIT` and `PNNLAB_CHANGED` for `src/record/facts.rs`.
//!
//! The commit is that of this repository; in a source archive that of `commit.txt`, which `git archive` fills in; the environment's
//! `PNNLAB_COMMIT` goes before both. Where nobody knows it, the program says so.

use std::path::Path;
use std::process::Command;

fn main() {
    let folder = std::env::var("CARGO_MANIFEST_DIR").unwrap_or_default();
    let git = |arguments: &[&str]| {
        let output = Command::new("git").arg("-C").arg(&folder).args(arguments).output().ok()?;
        output.status.success().then(|| String::from_utf8_lossy(&output.stdout).trim().to_owned())
    };
    // A source archive may lie in somebody else's repository.
    let is_own = git(&["rev-parse", "--show-toplevel"]).is_some_and(|top| same(&top, &folder));
    let given = std::env::var("PNNLAB_COMMIT").ok();
    let archived = std::fs::read_to_string(Path::new(&folder).join("commit.txt")).ok();
    let archived = archived.map(|text| text.trim().to_owned()).filter(|text| !text.contains('$'));
    let cloned = || git(&["rev-parse", "HEAD"]).filter(|_| is_own);
    let commit = given.filter(|commit| !commit.is_empty()).or_else(cloned).or(archived);
    let changed =
        is_own && git(&["status", "--porcelain", "--untracked-files=no"]).is_some_and(|list| !list.is_empty());
    println!("cargo::rustc-env=PNNLAB_COMMIT={}", commit.unwrap_or_default());
    println!("cargo::rustc-env=PNNLAB_CHANGED={changed}");
    println!("cargo::rerun-if-env-changed=PNNLAB_COMMIT");
    for source in ["build.rs", "commit.txt", "Cargo.toml", "src", "drivers", "sims", "calibration", "hil"] {
        println!("cargo::rerun-if-changed={source}");
    }
    // While one works on it, a commit alone is no reason to build it anew.
    if std::env::var("PROFILE").is_ok_and(|profile| profile == "release")
        && let Some(log) = git(&["rev-parse", "--git-path", "logs/HEAD"])
    {
        println!("cargo::rerun-if-changed={log}");
    }
}

/// Whether two paths are one folder.
fn same(one: &str, other: &str) -> bool {
    let whole = |path: &str| std::fs::canonicalize(path).ok();
    whole(one).is_some() && whole(one) == whole(other)
}
