//! A plant of one's own: four methods. Then limits around it, the checks that every plant must pass, and a twin that is learned from its
//! shots alone.
//!
//! `cargo run --release --example own_plant`

use std::error::Error;
use std::ops::ControlFlow;

use calibration::{Calibration, Procedure, Search, Unobserved, Watch, agreement, measure};
use drivers::{Bank, Batch, Card, Direction, Identity, Limited, Limits, Origin, Plant, Ports, Range, Timing};
use hil::{CheckOutcome, Subject, check};
use sims::Key;

/// Three lamps that three sensors see through a diffuser, whose gain can be set. It stands in for what you would talk to here.
struct Lamps {
    card: Card,
    gain: f32,
}

impl Lamps {
    fn new() -> Self {
        let bank = |name: &str, unit: &str, high| vec![Bank::new(name, 3, unit, Range::new(0.0, high))];
        let card = Card {
            identity: Identity { system: "lamps".into(), serial: "1".into(), origin: Origin::Simulated },
            ports: Ports {
                inputs: bank("lamp", "A", 0.5),
                controls: vec![Bank::new("gain", 1, "1", Range::new(1.0, 4.0))],
                outputs: bank("sensor", "V", 10.0),
            },
            timing: Timing { settle: 0.01, latency: 0.0, shot: 0.002 },
        };
        Self { card, gain: 1.0 }
    }
}

impl Plant for Lamps {
    fn card(&self) -> &Card {
        &self.card
    }

    fn apply(&mut self, controls: &[f32]) -> Result<Vec<f32>, drivers::Error> {
        self.gain = controls[0];
        Ok(controls.to_vec())
    }

    fn measure(&mut self, inputs: &Batch) -> Result<Batch, drivers::Error> {
        let light = |row: &[f32], sensor: usize| -> f32 {
            row.iter().enumerate().map(|(lamp, amperes)| amperes / (1.0 + lamp.abs_diff(sensor) as f32)).sum()
        };
        // A sensor saturates softly.
        Ok(Batch::from_fn(inputs.rows(), 3, |row, sensor| {
            10.0 * (0.2 * self.gain * light(inputs.row(row), sensor)).tanh()
        }))
    }

    fn make_safe(&mut self) -> Result<(), drivers::Error> {
        self.gain = 1.0;
        Ok(())
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    let limits = Limits { inputs: [("lamp".to_owned(), Range::new(0.0, 0.4))].into(), ..Limits::default() };
    let mut plant = Limited::new(Lamps::new(), &limits)?;
    let refused = plant.measure(&Batch::new(3, vec![0.1, 0.45, 0.1])?).expect_err("0.45 A is above the limit");
    println!("refused: {refused}");

    let subject =
        &mut Subject { plant: &mut plant, links: vec![], watchdog: false, reads_controls: true, stopped: || false };
    for found in check(subject).iter().filter(|check| check.outcome != CheckOutcome::NotRun) {
        println!("{}: {}, {}", found.name, found.outcome.name(), found.why);
    }

    let calibration = Calibration {
        procedure: Procedure::Learned,
        stimuli: 600,
        repeats: 1,
        per_setting: 20,
        search: Search { candidates: 0, ..Search::default() },
        key: Key::new(1),
    };
    let mut watch = Watch { now: &mut || None, progress: &mut |_| ControlFlow::Continue(()) };
    let stimuli = calibration.stimuli(plant.ports(), None);
    let trace = measure(&mut plant, &stimuli, calibration.repeats, &mut watch)?.ok_or("nobody ended it")?;
    let twin = calibration.fit(&trace, None, None, &Unobserved)?.twin.ok_or("no twin was made")?;
    let error = agreement(&mut plant, &*twin, 500, Key::new(2))?.relative_error();
    println!("a twin learned from {} shots misses by {:.1} % of the readings' deviation", trace.shots(), 100.0 * error);
    let outputs = twin.card().ports.count(Direction::Output);
    let pulled = twin.pull_back(&Batch::from_fn(1, 3, |_, _| 0.2), &[2.0], &Batch::from_fn(1, outputs, |_, _| 1.0));
    println!("the sum of its readings rises by {:.2} V for each unit of gain", pulled.controls[0]);
    plant.make_safe()?;
    Ok(())
}
