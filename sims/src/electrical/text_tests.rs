//! The nominal circuit written as a file of equations is the same system.

use super::tests::{predict, pull_back};
use super::{Electrical, solver::Solver};
use crate::equations::tests::{Written, apart, draw};

#[test]
fn the_circuit_as_text_agrees_to_rounding_in_value_and_gradients() {
    let config = Electrical { samples: 60, ..Electrical::default() };
    let solver = Solver::<f64>::new(&config.nominal_circuit());
    let written = Written::new(&config.written());
    let drive = draw(60, 0.4, "drive");
    let error = apart(&written.predict(&drive, &[]), &predict(&solver, &drive));
    assert!(error < 1e-13, "{error:e}");
    let cotangents = draw(60, 1.0, "cotangents");
    let error = apart(&written.pull_back(&drive, &[], &cotangents).0, &pull_back(&solver, &drive, &cotangents));
    assert!(error < 1e-12, "{error:e}");
}
