//! Systems written as text beside the kernels that were written for them by hand, in one run.

// Circle with report/reproduction/symbolic_numerics.rs: one program; split for its length.

use std::sync::Arc;

use drivers::{Batch, Direction};
use sims::{Electrical, Equations, Key, Oscillators, Twin};

use super::super::Check;
use super::super::program::{Asked, Measured};
use super::{ROUNDS, fastest, wrong};
use crate::Error;

/// A system: its name, as text, and by hand.
type Pair = (&'static str, Arc<dyn Twin>, Arc<dyn Twin>);

/// Shots of a batch.
const SHOTS: usize = 512;
/// A share of each range around its middle: where the systems are used.
const AROUND: f32 = 0.1;

/// Names of the systems.
const SYSTEMS: [&str; 2] = ["electrical", "oscillators"];

pub(super) fn judge(of: &dyn Fn(&str) -> Option<f64>) -> Vec<Check> {
    let mut checks = Vec::new();
    for system in SYSTEMS {
        for way in ["forward", "pull back"] {
            checks.push(Check::at_least(
                &format!("{system} from text, {way}: ≥ 0.5 × the kernel written by hand"),
                0.5,
                of(&format!("{system}: speed of the text, {way}")),
                "1",
            ));
        }
        let time = |way: &str| of(&format!("{system}: text, {way}"));
        let ratio = time("pull back").zip(time("forward")).map(|(back, forward)| back / forward);
        checks.push(Check::at_most(&format!("{system} from text: pull back ≤ 4 × forward"), 4.0, ratio, "1"));
    }
    checks
}

pub(super) fn run(asked: &Asked<'_>, measured: &mut Measured) -> Result<(), Error> {
    let electrical = Electrical { imperfections: sims::ElectricalImperfections::none(), ..Electrical::default() };
    let oscillators = Oscillators::default();
    let of = |text: &str| Ok::<_, Error>(wrong(Equations::from_text("written.toml", text).build())?.twin);
    let pairs: [Pair; 2] = [
        (SYSTEMS[0], of(&electrical.written())?, wrong(electrical.build())?.twin),
        (SYSTEMS[1], of(&oscillators.written())?, wrong(oscillators.build())?.twin),
    ];
    let rounds = if asked.quick { ROUNDS } else { 4 * ROUNDS };
    for (name, text, by_hand) in pairs {
        let ports = &by_hand.card().ports;
        let mut stream = Key::new(1).branch(name).stream();
        let ranges = ports.ranges(Direction::Input);
        let mut near = |range: &drivers::Range| range.at(0.5 + AROUND * (stream.uniform() - 0.5));
        let inputs = Batch::from_fn(SHOTS, ranges.len(), |_, port| near(&ranges[port]));
        let controls: Vec<f32> = ports.ranges(Direction::Control).iter().map(&mut near).collect();
        let cotangents = Batch::from_fn(SHOTS, ports.output_count(), |_, _| stream.normal());
        let mut best = [f64::INFINITY; 4];
        for _ in 0..rounds {
            for (kind, twin) in [&text, &by_hand].into_iter().enumerate() {
                best[kind] =
                    best[kind].min(fastest(1, || drop(std::hint::black_box(twin.predict(&inputs, &controls)))));
                best[2 + kind] = best[2 + kind]
                    .min(fastest(1, || drop(std::hint::black_box(twin.pull_back(&inputs, &controls, &cotangents)))));
            }
        }
        for (way, [text, by_hand]) in [("forward", [best[0], best[1]]), ("pull back", [best[2], best[3]])] {
            measured.add(format!("{name}: text, {way}"), 1e6 * text / SHOTS as f64, "µs a shot", 1);
            measured.add(format!("{name}: by hand, {way}"), 1e6 * by_hand / SHOTS as f64, "µs a shot", 1);
            measured.add(format!("{name}: speed of the text, {way}"), by_hand / text, "× by hand", 1);
        }
    }
    Ok(())
}
