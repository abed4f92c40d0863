//! The training step of the default experiment, split into plant, twin, digital and overhead; and what guards of its four passes take of it.
//!
//! `cargo bench --bench step`

use std::ops::ControlFlow;

use pnnlab::control::{Control, Helm};
use pnnlab::data::{DataConfig, Dataset};
use pnnlab::event::{Event, Observer};
use pnnlab::network::{GuardConfig, Network};
use pnnlab::plants::{Lab, Rig};
use pnnlab::training::{Experiment, Method, Trainer};
use pnnlab::{Error, StopReason};
use sims::Key;

/// Steps that are timed.
const STEPS: usize = 300;

/// Watches nothing.
struct Nobody;

impl Observer for Nobody {
    fn observe(&mut self, _: &Event) -> Result<ControlFlow<StopReason>, Error> {
        Ok(ControlFlow::Continue(()))
    }
}

fn main() -> Result<(), Error> {
    println!("{STEPS} steps of digits-electrical, ms in each step\n");
    println!(
        "{:16}{:>9}{:>9}{:>9}{:>10}{:>9}{:>18}",
        "method", "plant", "twin", "digital", "overhead", "sum", "overhead share"
    );
    for method in Method::ALL {
        time(method, None)?;
    }
    // Runs of the same steps with and without, one after the other, so that what else the machine does falls on both.
    let config = GuardConfig::default();
    let (mut plain, mut guarded) = (0.0, 0.0);
    for _ in 0..3 {
        plain += time(Method::PhysicsAware, None)?;
        guarded += time(Method::PhysicsAware, Some(&config))?;
    }
    println!("\nguards take {:.1} % of a step", 100.0 * (guarded / plain - 1.0));
    Ok(())
}

/// Prints a row of the table; the time of a step, in ms.
fn time(method: Method, guard: Option<&GuardConfig>) -> Result<f64, Error> {
    let (mut experiment, document) = Experiment::find("digits-electrical", &[])?;
    (experiment.training.steps, experiment.training.evaluate_every) = (STEPS, 0);
    let rig = Rig::find(None, &document)?;
    let mut lab = Lab::new(rig.open(&["electrical"], 1)?, method.derivatives())?;
    let config: &DataConfig = &experiment.data;
    let data = Dataset::load(config, None, &document, Key::new(1))?;
    let network = Network::build(experiment.layout(), &document, &lab, &data)?.guarded(guard, &document)?;
    let mut trainer = Trainer::new(network, &data, &experiment.training, method, Key::new(1));
    let shares = trainer.run(&mut lab, &mut Helm::new(Control::new(), None, &mut Nobody))?.time;
    let each = |time: std::time::Duration| 1e3 * time.as_secs_f64() / STEPS as f64;
    let parts = [shares.plant, shares.twin, shares.digital, shares.overhead].map(each);
    let sum: f64 = parts.iter().sum();
    println!(
        "{:16}{:>9.3}{:>9.3}{:>9.3}{:>10.3}{:>9.3}{:>16.1} %",
        if guard.is_some() { "guarded" } else { method.name() },
        parts[0],
        parts[1],
        parts[2],
        parts[3],
        sum,
        100.0 * parts[3] / sum
    );
    Ok(sum)
}
