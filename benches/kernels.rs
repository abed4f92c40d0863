//! Shots per second of the electrical plant and its twins, and the same as a multiple of a straightforward scalar
//! implementation. Rounds are interleaved, so that the ratios hold while the machine's speed drifts.
//!
//! `cargo bench --bench kernels`; with `RAYON_NUM_THREADS=1` for one core.

use std::hint::black_box;
use std::time::Instant;

use drivers::Batch;
use sims::{Electrical, Key, Moment};

/// Shots of a batch.
const SHOTS: usize = 512;
/// Interleaved rounds; the fastest counts.
const ROUNDS: usize = 15;

fn main() {
    println!("{} threads, batches of {SHOTS} shots, best of {ROUNDS} interleaved rounds", rayon::current_num_threads());
    for samples in [64, 256, 784] {
        electrical(samples);
    }
}

/// Name, shots, work.
type Task<'a> = (&'static str, usize, Box<dyn FnMut() + 'a>);

/// One system at one record length.
fn electrical(samples: usize) {
    let config = Electrical { samples, ..Electrical::default() };
    let built = config.build().expect("the default circuit can be built");
    let mut stream = Key::new(1).stream();
    let mut random = |rows: usize| Batch::from_fn(rows, samples, |_, _| 2.0 * stream.uniform() - 1.0);
    let (inputs, cotangents) = (random(SHOTS), random(SHOTS));
    let few = random(16);
    let mut tasks: Vec<Task<'_>> = vec![
        ("scalar twin, forward", 16, Box::new(|| drop(black_box(scalar_twin(&config, &few))))),
        ("plant, forward", SHOTS, Box::new(|| drop(black_box(built.system.shoot(&inputs, &[], Moment::default()))))),
        ("twin, forward", SHOTS, Box::new(|| drop(black_box(built.twin.predict(&inputs, &[]))))),
        ("twin, pull back", SHOTS, Box::new(|| drop(black_box(built.twin.pull_back(&inputs, &[], &cotangents))))),
        ("ideal, forward", SHOTS, Box::new(|| drop(black_box(built.ideal.predict(&inputs, &[]))))),
        ("ideal, pull back", SHOTS, Box::new(|| drop(black_box(built.ideal.pull_back(&inputs, &[], &cotangents))))),
    ];
    let mut best = vec![f64::INFINITY; tasks.len()];
    for _ in 0..ROUNDS {
        for ((_, shots, task), best) in tasks.iter_mut().zip(&mut best) {
            let start = Instant::now();
            task();
            *best = best.min(start.elapsed().as_secs_f64() / *shots as f64);
        }
    }
    println!("\nelectrical, {samples} samples, {} substeps", config.substeps);
    println!("{:24}{:>14}{:>20}{:>18}", "", "shots/s", "× scalar forward", "× own forward");
    for (index, (name, _, _)) in tasks.iter().enumerate() {
        let forward = [0, 1, 2, 2, 4, 4][index];
        println!(
            "{name:24}{:>14.0}{:>20.1}{:>18.2}",
            1.0 / best[index],
            best[0] / best[index],
            best[index] / best[forward]
        );
    }
}

/// The twin's equations as one would write them down: one shot after another, sample by sample, in `f32`.
///
/// Coil and node advance by a semi-implicit Euler step; the junction is linearized about the last node voltage.
fn scalar_twin(config: &Electrical, inputs: &Batch) -> Batch {
    let device = &config.device;
    let omega = std::f64::consts::TAU * config.resonance_hertz;
    let (l, c) = ((config.impedance_ohms / omega) as f32, (1.0 / (omega * config.impedance_ohms)) as f32);
    let r = (config.impedance_ohms / config.quality) as f32;
    let h = (1.0 / (config.sample_rate_hertz * config.substeps as f64)) as f32;
    let (own, scale) = (device.own as f32, device.scale_volts as f32);
    let (offset, current_scale, load) =
        (device.offset_volts as f32, device.current_amperes as f32, config.load_ohms as f32);
    let mut outputs = Batch::zeros(inputs.rows(), inputs.columns());
    for row in 0..inputs.rows() {
        let (mut current, mut node) = (0.0_f32, 0.0_f32);
        for sample in 0..inputs.columns() {
            let drive = inputs.row(row)[sample];
            for _ in 0..config.substeps {
                current = (current + h / l * (drive - node)) / (1.0 + h / l * r);
                let x = (own * node + offset) / scale;
                let junction = current_scale * (x + x.powi(3) / 6.0 + x.powi(5) / 120.0);
                let slope = current_scale * own / scale * (1.0 + x.powi(2) / 2.0 + x.powi(4) / 24.0);
                node += h / c * (current - node / load - junction) / (1.0 + h / c * (slope + 1.0 / load));
            }
            outputs.values_mut()[row * inputs.columns() + sample] = node;
        }
    }
    outputs
}
