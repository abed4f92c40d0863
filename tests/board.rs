//! A board of one's own, in plain Python, whose twin is learned: checked, calibrated, trained on. Needs `python3`, and says so where
//! there is none.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::sync::{Mutex, MutexGuard, PoisonError};

use serde_json::Value;

use crate::program::Place;

const RIG: &str = include_str!("../hil/examples/heater-board.toml");
const EXPERIMENT: &str = include_str!("../hil/examples/heater-board-digits.toml");

/// Boards have one serial number, so an owner of one keeps all others out: the tests take turns.
static TURN: Mutex<()> = Mutex::new(());

/// The board, ended with the test.
struct Board {
    child: Child,
    address: String,
    _turn: MutexGuard<'static, ()>,
}

impl Board {
    /// `None` where there is no `python3`.
    fn start() -> Option<Self> {
        let turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
        let program = concat!(env!("CARGO_MANIFEST_DIR"), "/hil/examples/heater_board.py");
        let mut child = match Command::new("python3").arg(program).stdout(Stdio::piped()).spawn() {
            Ok(child) => child,
            Err(error) => {
                eprintln!("the board was NOT tested: python3 cannot be started: {error}");
                return None;
            }
        };
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        Some(Self { child, address: line.trim().to_owned(), _turn: turn })
    }

    /// A folder with its rig and the experiment.
    fn place(&self) -> Place {
        let place = Place::new();
        assert!(RIG.contains("tcp://127.0.0.1:15016"));
        place.write("board.toml", &RIG.replace("tcp://127.0.0.1:15016", &self.address));
        place.write("digits.toml", EXPERIMENT);
        place
    }
}

impl Drop for Board {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn outcome<'a>(checked: &'a Value, name: &str) -> &'a Value {
    let checks = checked["plants"][0]["checks"].as_array().unwrap();
    checks.iter().find(|check| check["check"] == name).unwrap()
}

#[test]
fn a_board_without_equations_is_checked_calibrated_and_trained_on() {
    let Some(board) = Board::start() else { return };
    let place = board.place();
    let checked = place.json(&["check", "board.toml", "--json"]);
    let missing = outcome(&checked, "learned twin");
    assert_eq!(missing["outcome"], "not-run", "{missing}");
    assert!(missing["why"].as_str().unwrap().contains("pnnlab calibrate board.toml board"), "{missing}");
    assert_eq!(outcome(&checked, "safe state")["outcome"], "passed");
    assert_eq!(outcome(&checked, "watchdog")["outcome"], "passed");

    let train = ["train", "digits.toml", "--rig", "board.toml", "--check", "false", "--json"];
    let (code, refused) = place.refusal(&train);
    assert_eq!(code, 10, "{refused}");
    assert!(refused.contains("nothing is learned yet") && refused.contains("[training.refresh]"), "{refused}");

    let measure = ["--stimuli", "1500", "--repeats", "1", "--per-setting", "25", "--candidates", "0", "--json"];
    let calibrated = place.json(&[&["calibrate", "board.toml"][..], &measure].concat());
    let r2 = |residual: &Value| residual["r2_median"].as_f64().unwrap();
    assert!(r2(&calibrated["residual"]) > 0.8, "{}", calibrated["residual"]);
    assert!(r2(&calibrated["residual"]) > r2(&calibrated["linear_residual"]));
    let checked = place.json(&["check", "board.toml", "--json"]);
    assert_eq!(outcome(&checked, "learned twin")["outcome"], "passed", "{checked}");

    let trained = place.json(&train);
    let accuracy = trained["test_accuracy"].as_f64().unwrap();
    assert!(accuracy > 0.7, "{trained}");
}

#[test]
fn a_board_is_learned_while_it_trains() {
    let Some(board) = Board::start() else { return };
    let place = board.place();
    let refresh = "\n[training.refresh]\nevery_epochs = 2\nshots = 1000\nreference_shots = 600\n";
    let experiment =
        EXPERIMENT.replace("steps = 300", "steps = 60").replace("evaluate_every = 100", "evaluate_every = 60");
    place.write("digits.toml", &format!("{experiment}{refresh}"));
    let train = ["train", "digits.toml", "--rig", "board.toml", "--check", "false", "--name", "learning", "--json"];
    let trained = place.json(&train);
    assert!(trained["test_accuracy"].as_f64().unwrap() > 0.3, "{trained}");
    let events = place.read("runs/learning/events.jsonl");
    let first = events.lines().find(|line| line.contains("\"first\"")).unwrap();
    let event: Value = serde_json::from_str(first).unwrap();
    assert_eq!((&event["kept"], &event["step"]), (&Value::from(true), &Value::from(0)), "{event}");
}
