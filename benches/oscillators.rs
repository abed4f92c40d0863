//! The training step of the reference implementation's Example 1 (196 oscillators, then 206 of which the last ten are the
//! classes; batches of 32; forward, backward, Adam), split into plant, twin, digital layers and overhead.
//!
//! `cargo bench --bench oscillators`. The images are the embedded digits, padded to 196 pixels: the arithmetic is that of
//! MNIST, and nothing need be downloaded.

use std::time::Instant;

use pnnlab::Error;
use pnnlab::data::Dataset;
use pnnlab::document::Document;
use pnnlab::network::Network;
use pnnlab::plants::{Lab, Rig};
use pnnlab::training::{Experiment, Method, Trainer};
use sims::Key;

/// Steps of a round.
const STEPS: usize = 20;
/// Rounds; the fastest counts.
const ROUNDS: usize = 40;

/// The experiment, on digits that come with the program.
const DIGITS: [&str; 2] = [
    "data={ source = \"digits\", test = 500 }",
    "layers=[{ kind = \"pad\", width = 196 }, \
     { kind = \"physical\", plant = \"oscillators\", units = \"si\", control_distribution = \"uniform\", control_spread = 0.00516 }, \
     { kind = \"pad\", width = 206 }, \
     { kind = \"physical\", plant = \"oscillators-2\", units = \"si\", control_distribution = \"uniform\", control_spread = 0.00503 }, \
     { kind = \"pick\", count = 10 }, { kind = \"scale\" }]",
];

fn main() -> Result<(), Error> {
    println!("{} threads, best of {ROUNDS} rounds of {STEPS} steps, ms in each step\n", rayon::current_num_threads());
    println!("{:16}{:>9}{:>9}{:>9}{:>9}", "method", "plant", "twin", "digital", "step");
    for method in [Method::PhysicsAware, Method::InSilico] {
        time(method)?;
    }
    println!("\nThe reference's PyTorch code took 14 to 21 ms a step on another idle machine with two cores.");
    Ok(())
}

fn time(method: Method) -> Result<(), Error> {
    let assignments = DIGITS.map(str::to_owned);
    let (experiment, document): (Experiment, Document) = Experiment::find("mnist-oscillators", &assignments)?;
    let rig = Rig::find(None, &document)?;
    let mut lab = Lab::new(rig.open(&["oscillators", "oscillators-2"], 1)?, method.derivatives())?;
    let data = Dataset::load(&experiment.data, None, &document, Key::new(1))?;
    let network = Network::build(experiment.layout(), &document, &lab, &data)?;
    let mut trainer = Trainer::new(network, &data, &experiment.training, method, Key::new(1));
    let mut best = [f64::INFINITY; 4];
    for round in 0..ROUNDS {
        let (start, plant, twin) = (Instant::now(), lab.meter().wall_seconds, lab.twin_time());
        for step in 1..=STEPS {
            trainer.step(round * STEPS + step, &mut lab)?;
        }
        let sum = start.elapsed().as_secs_f64();
        let (plant, twin) =
            (lab.meter().wall_seconds - plant, lab.twin_time().checked_sub(twin).unwrap().as_secs_f64());
        if sum < best[3] {
            best = [plant, twin, sum - plant - twin, sum];
        }
    }
    let [plant, twin, digital, sum] = best.map(|seconds| 1e3 * seconds / STEPS as f64);
    println!("{:16}{plant:>9.3}{twin:>9.3}{digital:>9.3}{sum:>9.3}", method.name());
    Ok(())
}
