//! How fast a mesh is: shots a second of the twin's forward pass, and of forward and backward together, in the size that `benches/mesh.py`
//! measures a straightforward mesh of `PyTorch` in.

use std::time::Instant;

use drivers::Batch;
use sims::{Key, Mesh};

use crate::Error;

/// Modes and shots of a batch: those of `benches/mesh.py`.
pub const SIZE: [usize; 2] = [64, 512];

/// Shots a second, forward and then forward and backward: the fastest of so many rounds on all threads.
pub fn mesh(rounds: usize) -> Result<[f64; 2], Error> {
    let [modes, shots] = SIZE;
    let built = Mesh { modes, ..Mesh::default() }.build().map_err(|error| Error::Data(error.to_string()))?;
    let (twin, mut stream) = (built.twin, Key::new(1).stream());
    let controls: Vec<f32> = (0..twin.card().ports.control_count()).map(|_| 3.0 * stream.normal()).collect();
    let mut even = |low: f32| Batch::from_fn(shots, modes, |_, _| low + (1.0 - low) * stream.uniform());
    let (inputs, cotangents) = (even(-1.0), even(0.0));
    let best = |run: &dyn Fn()| {
        let timed = |_| {
            let start = Instant::now();
            run();
            start.elapsed().as_secs_f64()
        };
        shots as f64 / (0..rounds.max(1)).map(timed).fold(f64::INFINITY, f64::min)
    };
    let forward = best(&|| drop(std::hint::black_box(twin.predict(&inputs, &controls))));
    // A pull back goes forward first, whose readings the loss of `benches/mesh.py` needs no second time.
    let both = best(&|| drop(std::hint::black_box(twin.pull_back(&inputs, &controls, &cotangents))));
    Ok([forward, both])
}
