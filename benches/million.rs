//! A run of 1,000,000 steps: memory of the program from beginning to end, and what reading its record takes.

use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// Steps; `PNNLAB_STEPS` names another number.
const STEPS: usize = 1_000_000;

/// A digital network on a table of few rows: the steps cost little, and all that surrounds them is as ever.
const EXPERIMENT: &str = r#"
name = "million"

[data]
source = "csv"
file = "table.csv"
label = "class"
test = 8

[training]
batch = 4
learning_rate = 0.001
evaluate_every = 1000

[[layers]]
kind = "linear"
width = 2
"#;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let steps = std::env::var("PNNLAB_STEPS").ok().and_then(|text| text.parse().ok()).unwrap_or(STEPS);
    let place = tempfile::tempdir()?;
    let rows = (0..32).map(|row| format!("{},{},{}\n", row, (row * 7) % 32, ["a", "b"][row % 2]));
    std::fs::write(place.path().join("table.csv"), format!("x,y,class\n{}", rows.collect::<String>()))?;
    std::fs::write(place.path().join("million.toml"), EXPERIMENT)?;
    let begun = Instant::now();
    let mut child = Command::new(env!("CARGO_BIN_EXE_pnnlab"))
        .args(["train", "million.toml", "--name", "million", "--set", &format!("training.steps={steps}")])
        .current_dir(place.path())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()?;
    let metrics = place.path().join("runs/million/metrics.csv");
    println!("{:>12}{:>16}{:>16}", "seconds", "metrics, MB", "memory, MB");
    while child.try_wait()?.is_none() {
        let size = std::fs::metadata(&metrics).map_or(0.0, |file| file.len() as f64 / 1e6);
        if let Some(memory) = memory(child.id()) {
            println!("{:12.0}{size:16.1}{memory:16.1}", begun.elapsed().as_secs_f64());
        }
        std::thread::sleep(Duration::from_secs(10).min(begun.elapsed() + Duration::from_secs(1)));
    }
    println!("{steps} steps in {:.0} s, {}", begun.elapsed().as_secs_f64(), child.wait()?);
    Ok(())
}

/// Resident memory of a process in MB.
fn memory(process: u32) -> Option<f64> {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).ok()?;
    let line = status.lines().find(|line| line.starts_with("VmRSS:"))?;
    line.split_whitespace().nth(1)?.parse::<f64>().ok().map(|kilobytes| kilobytes / 1e3)
}
