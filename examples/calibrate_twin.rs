//! A twin with equations is brought nearer to its plant: shots are measured, the coefficients fitted, with uncertainties. The plant is
//! simulated, so what it really is can be compared.
//!
//! `cargo run --release --example calibrate_twin`

use std::error::Error;
use std::ops::ControlFlow;

use calibration::{Calibration, Procedure, Search, Unobserved, Watch, agreement, measure};
use drivers::Plant;
use sims::{Electrical, Key, Simulated};

fn main() -> Result<(), Box<dyn Error>> {
    let model = Electrical { samples: 64, ..Electrical::default() };
    let bench = model.clone().build()?;
    let mut plant = Simulated::new(bench.system);
    let nominal = agreement(&mut plant, &*bench.twin, 500, Key::new(2))?.relative_error();

    let calibration = Calibration {
        procedure: Procedure::Physics,
        stimuli: 400,
        repeats: 1,
        per_setting: 400,
        search: Search::default(),
        key: Key::new(1),
    };
    let mut watch = Watch { now: &mut || None, progress: &mut |_| ControlFlow::Continue(()) };
    let stimuli = calibration.stimuli(plant.ports(), None);
    let trace = measure(&mut plant, &stimuli, calibration.repeats, &mut watch)?.ok_or("nobody ended it")?;
    let fitted = calibration.fit(&trace, None, Some(&model), &Unobserved)?;
    for estimate in &fitted.estimates {
        let told = if estimate.identified { "" } else { ", which these shots cannot tell" };
        println!(
            "{}: {:.4e} ± {:.1e} {} (believed before: {:.4e}){told}",
            estimate.name, estimate.value, estimate.uncertainty, estimate.unit, estimate.nominal
        );
    }
    let twin = fitted.twin.ok_or("no twin was made")?;
    let after = agreement(&mut plant, &*twin, 500, Key::new(2))?.relative_error();
    println!(
        "the twin misses by {:.1} % of the readings' deviation, before by {:.1} %",
        100.0 * after,
        100.0 * nominal
    );
    plant.make_safe()?;
    Ok(())
}
