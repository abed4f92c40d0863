//! `pnnlab runs list --best` over 10,000 runs: the program from start to end, with the catalog up to date, changed and lost.

use std::path::Path;
use std::process::Command;
use std::time::Instant;

use serde_json::json;

/// Runs in the folder.
const RUNS: usize = 10_000;

fn main() -> std::io::Result<()> {
    let place = tempfile::tempdir()?;
    let runs = place.path().join("runs");
    for number in 0..RUNS {
        write(&runs, number)?;
    }
    println!("pnnlab runs list --best test_accuracy --limit 20 over {RUNS} runs, wall time of the whole program");
    println!("{:42}{:9.1} ms", "catalog lost: all folders are read", list(place.path())?);
    let mut times = (0..9).map(|_| list(place.path())).collect::<std::io::Result<Vec<_>>>()?;
    times.sort_by(f64::total_cmp);
    println!(
        "{:42}{:9.1} ms (median of {}; {:.1} to {:.1})",
        "catalog up to date",
        times[4],
        times.len(),
        times[0],
        times[8]
    );
    write(&runs, 77)?;
    println!("{:42}{:9.1} ms", "one run changed", list(place.path())?);
    Ok(())
}

/// A run that is finished, as far as the catalog reads it.
fn write(runs: &Path, number: usize) -> std::io::Result<()> {
    let folder = runs.join(format!("run-{number:05}"));
    std::fs::create_dir_all(&folder)?;
    let plant = json!({"plant": "electrical", "system": "electrical", "serial": "1", "origin": "simulated"});
    let facts = json!({
        "experiment": "digits-electrical", "method": "physics-aware", "seed": number, "plants": [plant], "simulated": true,
        "started_unix_seconds": number, "state": "finished", "shots": 1, "plant_seconds": 1.0, "wall_seconds": 1.0,
        "test_accuracy": (number * 7919 % RUNS) as f64 / RUNS as f64, "believed_accuracy": 0.5,
    });
    std::fs::write(folder.join("run.json"), facts.to_string())?;
    std::fs::write(folder.join("events.jsonl"), "")
}

/// Milliseconds of one call.
fn list(place: &Path) -> std::io::Result<f64> {
    let start = Instant::now();
    let output = Command::new(env!("CARGO_BIN_EXE_pnnlab"))
        .args(["runs", "list", "--best", "test_accuracy", "--limit", "20"])
        .current_dir(place)
        .output()?;
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    Ok(1e3 * start.elapsed().as_secs_f64())
}
