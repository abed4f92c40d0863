//! Runs the built program in a folder of its own.

use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;
use tempfile::TempDir;

/// The program.
pub fn binary() -> &'static str {
    env!("CARGO_BIN_EXE_pnnlab")
}

/// A folder to run in.
pub struct Place {
    folder: TempDir,
}

impl Place {
    pub fn new() -> Self {
        Self { folder: tempfile::tempdir().unwrap() }
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Writes a file.
    pub fn write(&self, name: &str, text: &str) -> &Self {
        std::fs::write(self.path(name), text).unwrap();
        self
    }

    pub fn read(&self, name: &str) -> String {
        std::fs::read_to_string(self.path(name)).unwrap()
    }

    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(binary());
        command.args(arguments).current_dir(self.folder.path());
        command
    }

    /// Runs to the end.
    pub fn run(&self, arguments: &[&str]) -> Output {
        self.command(arguments).output().unwrap()
    }

    /// Runs to a good end and reads the object on standard output.
    pub fn json(&self, arguments: &[&str]) -> Value {
        let output = self.run(arguments);
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        serde_json::from_slice(&output.stdout).unwrap()
    }

    /// Trains under a name until `metrics.csv` has so many lines, or to the end, and kills it.
    pub fn kill(&self, arguments: &[&str], (name, lines): (&str, usize)) {
        let arguments = [&["train"][..], arguments, &["--name", name]].concat();
        let mut child = self.command(&arguments).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        let metrics = self.path(&format!("runs/{name}/metrics.csv"));
        let found = || std::fs::read_to_string(&metrics).map_or(0, |text| text.lines().count());
        let bound = Instant::now() + Duration::from_mins(1);
        while found() < lines && child.try_wait().unwrap().is_none() {
            assert!(Instant::now() < bound, "{name} does not come to line {lines}");
            std::thread::yield_now();
        }
        child.kill().unwrap();
        child.wait().unwrap();
    }

    /// Goes on with a run that was killed, where it was not over, and holds it against one that nobody has touched.
    pub fn goes_on_as(&self, name: &str, whole: &str) {
        let output = self.run(&["train", "--resume", &format!("runs/{name}")]);
        let text = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success() || text.contains("is finished"), "{text}");
        for file in ["metrics.csv", "weights.safetensors"] {
            let bytes = |run: &str| std::fs::read(self.path(&format!("runs/{run}/{file}"))).unwrap();
            assert!(bytes(name) == bytes(whole), "{name}: {file} differs from that of the uninterrupted run");
        }
    }

    /// Runs to a bad end: the exit code and the one line on standard error.
    pub fn refusal(&self, arguments: &[&str]) -> (i32, String) {
        let output = self.run(arguments);
        let text = String::from_utf8(output.stderr).unwrap();
        assert!(!text.contains("panicked"), "{text}");
        (output.status.code().unwrap(), text.trim_end().to_owned())
    }
}

/// A small experiment: digits through one short pass.
pub const SMALL: &str = r#"
name = "small"

[data]
source = "digits"
test = 100

[training]
steps = 8
batch = 32
evaluate_every = 4

[plants.electrical.simulated]
samples = 64

[[layers]]
kind = "scale-offset"
width = 64

[[layers]]
kind = "physical"
plant = "electrical"

[[layers]]
kind = "bins"
bins = 10
"#;

/// The same for minutes, on any machine: it ends when it is told to or killed. It plans for little room on the disk.
pub fn endless() -> String {
    SMALL.replace("steps = 8", "steps = 50000").replace("evaluate_every = 4", "evaluate_every = 1000")
}

/// Files of a folder, as names.
pub fn names(folder: &Path) -> Vec<String> {
    let mut names: Vec<String> =
        std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

/// The rows of `metrics.csv` without bench time, which an instrument on a wire takes by the clock.
pub fn without_bench_time(metrics: &str) -> Vec<String> {
    let header = metrics.lines().next().unwrap_or_default();
    let place = header.split(',').position(|name| name == "plant_seconds");
    let row = |line: &str| {
        let fields = line.split(',').enumerate().filter(|(index, _)| Some(*index) != place);
        fields.map(|(_, field)| field).collect::<Vec<_>>().join(",")
    };
    metrics.lines().map(row).collect()
}
