//! What keeping a run costs: the default experiment's steps with everything recorded, with a watcher, and with neither; and how
//! long the safe state takes from the request to the answer.

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// Steps of each run, and rounds of which the best counts: other work on the machine only ever slows.
const STEPS: usize = 2000;
const ROUNDS: usize = 5;

type Failure = Box<dyn std::error::Error>;

fn main() -> Result<(), Failure> {
    let place = tempfile::tempdir()?;
    let mut best = [f64::INFINITY; 3];
    for round in 0..ROUNDS {
        for (kind, best) in best.iter_mut().enumerate() {
            *best = best.min(train(place.path(), round, kind)?);
        }
    }
    println!("digits-electrical, physics-aware, {STEPS} steps, best of {ROUNDS} rounds side by side:");
    for (name, seconds) in ["plain", "every shot recorded", "watched 10 times a second"].iter().zip(best) {
        let each = 1e3 * seconds / STEPS as f64;
        println!("{name:28}{each:9.3} ms/step   steps/s × {:.3} of plain", best[0] / seconds);
    }
    let mut times = (0..20).map(|number| safe(place.path(), number)).collect::<Result<Vec<_>, _>>()?;
    times.sort_by(f64::total_cmp);
    println!(
        "safe state, request to answer: median {:.2} ms, longest {:.2} ms of {}",
        times[10],
        times[19],
        times.len()
    );
    Ok(())
}

fn start(place: &Path, name: &str, steps: usize, more: &[&str]) -> std::io::Result<std::process::Child> {
    Command::new(env!("CARGO_BIN_EXE_pnnlab"))
        .args(["train", "--name", name, "--set", &format!("training.steps={steps}")])
        .args(["--set", "training.evaluate_every=0"])
        .args(more)
        .current_dir(place)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
}

/// Seconds of the steps of one run: 0 plain, 1 recorded, 2 watched.
fn train(place: &Path, round: usize, kind: usize) -> Result<f64, Failure> {
    let name = format!("{round}-{kind}");
    let mut child = start(place, &name, STEPS, if kind == 1 { &["--record"] } else { &[] })?;
    let watcher = (kind == 2).then(|| {
        let folder = place.join("runs").join(&name);
        std::thread::spawn(move || {
            let Ok(mut stream) = connect(&folder) else { return 0 };
            let asked = writeln!(stream, "{{\"command\":\"watch\",\"rate\":10}}");
            asked.map_or(0, |()| BufReader::new(stream).lines().map_while(Result::ok).count())
        })
    });
    assert!(child.wait()?.success(), "the run fails");
    if let Some(watcher) = watcher {
        assert!(watcher.join().unwrap_or(0) > 1, "the watcher saw nothing");
    }
    let facts: serde_json::Value =
        serde_json::from_str(&std::fs::read_to_string(place.join("runs").join(&name).join("run.json"))?)?;
    let parts = ["plant", "twin", "digital", "overhead"];
    Ok(parts.iter().filter_map(|part| facts["step_seconds"][part].as_f64()).sum())
}

/// The socket of a run, as soon as it is there.
fn connect(folder: &Path) -> std::io::Result<std::os::unix::net::UnixStream> {
    let bound = Instant::now() + Duration::from_secs(20);
    loop {
        match pnnlab::control::connect(folder) {
            Err(_) if Instant::now() < bound => std::thread::sleep(Duration::from_millis(1)),
            result => return result,
        }
    }
}

/// Milliseconds from the request to the answer that the plants are safe, in the midst of a training.
fn safe(place: &Path, number: usize) -> Result<f64, Failure> {
    let name = format!("safe-{number}");
    let mut child = start(place, &name, 1_000_000, &[])?;
    let mut stream = connect(&place.join("runs").join(&name))?;
    let mut lines = BufReader::new(stream.try_clone()?).lines();
    std::thread::sleep(Duration::from_millis(50 + 7 * number as u64));
    let begun = Instant::now();
    writeln!(stream, "{{\"command\":\"safe\"}}")?;
    let answer = lines.next().ok_or("no answer")??;
    let time = 1e3 * begun.elapsed().as_secs_f64();
    assert!(answer.contains("done"), "{answer}");
    writeln!(stream, "{{\"command\":\"abort\"}}")?;
    child.wait()?;
    Ok(time)
}
