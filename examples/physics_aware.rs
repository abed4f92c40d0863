//! Physics-aware training by hand: a drive is learned with which a plant's readings follow a target. The value is what the plant
//! did, the gradient its twin's. The plant is simulated.
//!
//! `cargo run --release --example physics_aware`

use std::error::Error;
use std::sync::Arc;

use drivers::{Batch, Plant};
use pnnlab::network::physics_aware::{Measured, physical};
use pnnlab::network::rows;
use sims::{Electrical, Simulated};

const SAMPLES: usize = 64;

fn main() -> Result<(), Box<dyn Error>> {
    let bench = Electrical { samples: SAMPLES, ..Electrical::default() }.build()?;
    let mut plant = Simulated::new(bench.system);
    // A sine of 0.1 V, in a shot of one row.
    let target = Batch::from_fn(1, SAMPLES, |_, sample| 0.1 * (0.2 * sample as f32).sin());
    let mut drive = Batch::zeros(1, SAMPLES);

    for update in 0..=60 {
        let readings = plant.measure(&drive)?;
        let measured = Measured { inputs: drive.clone(), controls: vec![], outputs: readings };

        let x = rows::to_tensor(&drive, &rows::device().autodiff()).require_grad();
        let y = physical(x.clone(), None, Arc::new(measured), bench.twin.clone());
        let miss = (y - rows::to_tensor(&target, &rows::device().autodiff())).square().sum();
        if update % 20 == 0 {
            println!("update {update:2}: {:.4} V² away from the target", rows::values(miss.clone())[0]);
        }
        let gradient = x.grad(&miss.backward()).ok_or("no gradient")?;
        let step = rows::to_batch(gradient);
        drive = Batch::from_fn(1, SAMPLES, |row, sample| {
            (drive.row(row)[sample] - 0.2 * step.row(row)[sample]).clamp(-1.0, 1.0)
        });
    }
    plant.make_safe()?;
    Ok(())
}
