//! `piann`: networks that learn a conservation law with a shock from its equation alone, after Rodriguez-Torrado and others (arXiv 2105.07898),
//! beside the classical scheme; and a transmission line whose waves steepen, trained through with twins of three kinds.

mod fields;
mod line;

use super::program::{Asked, Check, Measured, Program};
use crate::Error;

/// The program.
pub const PROGRAM: Program = Program { name: "piann", checks: || judge(&|_| None), run };

/// What is asked of numbers that `of` knows by name.
fn judge(of: &dyn Fn(&str) -> Option<f64>) -> Vec<Check> {
    let mut checks = fields::judge(of);
    checks.extend(line::judge(of));
    checks
}

fn run(asked: &Asked<'_>) -> Result<Measured, Error> {
    let mut measured = Measured {
        on: "the equation of Buckley and Leverett, and the SIMULATED plant line. Times are of this machine".to_owned(),
        ..Measured::default()
    };
    fields::run(asked, &mut measured)?;
    line::run(asked, &mut measured)?;
    let known = measured.measurements.clone();
    measured.checks = judge(&|name| known.iter().find(|one| one.name == name).map(|one| one.value));
    Ok(measured)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_check_names_what_is_measured() {
        assert!(judge(&|_| None).iter().all(|check| check.met.is_none()));
        let all = judge(&|_| Some(0.01));
        assert!(all.iter().all(|check| check.met.is_some()), "{all:?}");
    }
}
