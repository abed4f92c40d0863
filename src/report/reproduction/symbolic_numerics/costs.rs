//! What each function costs in the engine's programs, in products: what `sims/src/equations/factoring.rs` weighs forms of slopes by.

// Circle with report/reproduction/symbolic_numerics.rs: one program; split for its length.

use drivers::Batch;
use sims::{Equations, Twin};

use super::super::program::{Asked, Measured};
use super::{ROUNDS, fastest, wrong};
use crate::Error;

/// Shots of a batch, and operations in each.
const SHOTS: usize = 2048;
const OPERATIONS: usize = 32;

/// Names of operations and what stands in the sum over k for each.
const COSTS: [(&str, &str); 13] = [
    ("1/x", "1/x[k]"),
    ("sqrt", "sqrt(x[k])"),
    ("exp", "exp(x[k])"),
    ("ln", "ln(x[k])"),
    ("sin", "sin(x[k])"),
    ("tan", "tan(x[k])"),
    ("atan", "atan(x[k])"),
    ("asin", "asin(x[k])"),
    ("sinh", "sinh(x[k])"),
    ("tanh", "tanh(x[k])"),
    ("abs", "abs(x[k] - 0.5)"),
    ("power", "x[k]^0.3"),
    ("if", "if(x[k] < 0.5, x[k], 1)"),
];

pub(super) fn run(asked: &Asked<'_>, measured: &mut Measured) -> Result<(), Error> {
    let inputs =
        Batch::from_fn(SHOTS, 2 * OPERATIONS, |shot, port| 0.1 + 0.8 * ((shot * 7 + port * 3) % 64) as f32 / 64.0);
    let twin = |term: &str| {
        let sum: Vec<String> = (0..OPERATIONS)
            .map(|k| term.replace("x[k]", &format!("x[{k}]")).replace("x[other]", &format!("x[{}]", k + OPERATIONS)))
            .collect();
        let text = format!(
            "[indices]\nk = {}\n[inputs]\nx = {{ unit = \"1\", range = [0, 1], shape = [\"k\"], kind = \"static\" }}\n[outputs]\ny = {{ \
             unit = \"1\", value = \"{}\", range = [-1e3, 1e3] }}\n",
            2 * OPERATIONS,
            sum.join(" + ")
        );
        wrong(Equations::from_text("cost.toml", &text).build()).map(|built| built.twin)
    };
    let rounds = if asked.quick { ROUNDS } else { 4 * ROUNDS };
    let seconds = |twin: &dyn Twin| fastest(rounds, || drop(std::hint::black_box(twin.predict(&inputs, &[]))));
    // No product shares a factor with another: what they had in common would be taken out.
    let [alone, sum] = [seconds(&*twin("0*x[k]")?), seconds(&*twin("x[k]*x[other]")?)];
    let product = (sum - alone).max(1e-9);
    for (name, term) in COSTS {
        let cost = (seconds(&*twin(term)?) - alone) / product;
        measured.add(format!("cost of {name}, added, in products that are added"), cost, "×", 0);
    }
    Ok(())
}
