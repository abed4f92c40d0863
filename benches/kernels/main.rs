//! Shots per second of every system's plant and twins on one thread, how close that is to what the machine's arithmetic allows,
//! and what all threads gain, beside what they gain on arithmetic that never leaves the registers. The electrical system also
//! as a multiple of a straightforward scalar implementation. Rounds are interleaved, so that ratios hold while the machine's
//! speed drifts.
//!
//! `cargo bench --bench kernels`; `cargo bench --bench kernels -- optical` for one system.

mod floor;
mod scalar;
mod systems;

use std::time::Instant;

use floor::Machine;
use rayon::{ThreadPool, ThreadPoolBuilder};
use systems::{System, Task};

/// Interleaved rounds; the fastest counts.
const ROUNDS: usize = 25;

fn main() {
    let wanted: Vec<String> = std::env::args().skip(1).filter(|argument| !argument.starts_with('-')).collect();
    let threads = rayon::current_num_threads();
    let pools = [1, threads].map(|count| {
        ThreadPoolBuilder::new().num_threads(count).build().expect("threads can be started where the bench runs")
    });
    let machine = Machine::measure(&pools);
    machine.print(threads);
    for (name, build) in systems::ALL {
        if wanted.is_empty() || wanted.iter().any(|word| name.contains(word.as_str())) {
            time(build(), &pools, &machine);
        }
    }
}

/// Times one system and prints its table.
fn time(mut system: System, pools: &[ThreadPool; 2], machine: &Machine) {
    let mut best = vec![[f64::INFINITY; 2]; system.tasks.len()];
    for _ in 0..ROUNDS {
        for (task, best) in system.tasks.iter_mut().zip(&mut best) {
            for (pool, best) in pools.iter().zip(best) {
                *best = best.min(seconds(pool, task));
            }
        }
    }
    println!("\n{}, batches of {} shots, best of {ROUNDS} interleaved rounds", system.name, system.shots);
    println!(
        "{:26}{:>12}{:>16}{:>10}{:>14}{:>10}{:>12}",
        "", "shots/s", "× own forward", "of peak", "all threads", "gain", "of the most"
    );
    for (task, [one, all]) in system.tasks.iter().zip(&best) {
        let rate = task.shots as f64 / one;
        println!(
            "{:26}{:>12.0}{:>16.2}{:>8.0} %{:>14.0}{:>10.2}{:>10.0} %",
            task.name,
            rate,
            one / task.shots as f64 / (best[task.forward][0] / system.tasks[task.forward].shots as f64),
            100.0 * rate * task.operations / machine.flops[0],
            task.shots as f64 / all,
            one / all,
            100.0 * one / all / machine.scaling(),
        );
    }
    if let Some(scalar) = system.tasks.iter().position(|task| task.name.starts_with("scalar")) {
        let each = |index: usize| best[index][0] / system.tasks[index].shots as f64;
        let multiples = system.tasks.iter().enumerate().filter(|(index, _)| *index != scalar);
        let words: Vec<String> =
            multiples.map(|(index, task)| format!("{} {:.1}", task.name, each(scalar) / each(index))).collect();
        println!("× the scalar twin, one thread: {}", words.join("; "));
    }
}

/// How long a task takes in a pool.
fn seconds(pool: &ThreadPool, task: &mut Task) -> f64 {
    pool.install(|| {
        let start = Instant::now();
        (task.run)();
        start.elapsed().as_secs_f64()
    })
}
