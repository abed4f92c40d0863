//! `methods`: ways to train, side by side. Parts, of which `--parts` names some: the published network behind a mesh, phases that drift
//! afterwards, how near gradients are for their shots, small networks at an equal budget of shots, local learning on a recorded cavity,
//! numbers to predict, how fast a mesh is.

mod acoustic;
mod budget;
mod gradients;
mod mesh;
mod regression;
mod speed;
mod words;

use super::program::{Asked, Check, Measured, Program};
use crate::Error;
use words::Known;

/// The program.
pub const PROGRAM: Program = Program { name: "methods", checks: || judge(&|_| None), run };

/// What `--parts` may name. The name of each measurement begins with its part.
pub const PARTS: [&str; 7] = ["mesh", "drift", "gradients", "budget", "acoustic", "regression", "speed"];

fn judge(of: Known<'_>) -> Vec<Check> {
    [mesh::judge(of), budget::judge(of), acoustic::judge(of), regression::judge(of)].concat()
}

/// The part that a measurement is of.
fn part_of(name: &str) -> &str {
    name.split([',', ':']).next().unwrap_or(name)
}

fn run(asked: &Asked<'_>) -> Result<Measured, Error> {
    let on = "SIMULATED plants, and a twin learned from shots of a REAL acoustic cavity";
    let mut measured = Measured { on: on.to_owned(), ..Measured::default() };
    // What was measured before in the same form stays beside the parts that are run now.
    for earlier in asked.earlier.into_iter().filter(|_| !asked.parts.is_empty()) {
        let is_left = |name: &str| PARTS.contains(&part_of(name)) && !asked.wants(part_of(name));
        measured.measurements.extend(earlier.measurements.iter().filter(|one| is_left(&one.name)).cloned());
        measured.curves.extend(earlier.curves.iter().filter(|_| !asked.wants("budget")).cloned());
    }
    let (mut ran, mut missing) = (0, Vec::new());
    for part in PARTS {
        // Phases drift after the trainings of the mesh.
        if !asked.wants(part) || (part == "drift" && asked.wants("mesh")) {
            continue;
        }
        let done = match part {
            "mesh" | "drift" => mesh::run(asked, &mut measured),
            "gradients" => gradients::run(&mut measured),
            "budget" => budget::run(asked, &mut measured),
            "acoustic" => acoustic::run(asked, &mut measured),
            "regression" => regression::run(asked, &mut measured),
            _ => speed::run(asked, &mut measured),
        };
        match done {
            Ok(()) => ran += 1,
            Err(Error::MissingData(reason)) => {
                tell!("methods: {part} is left out: {reason}");
                missing.push(reason);
            }
            Err(error) => return Err(error),
        }
    }
    if let Some(reason) = missing.into_iter().next().filter(|_| ran == 0) {
        return Err(Error::MissingData(reason));
    }
    let known = measured.measurements.clone();
    measured.checks = judge(&|name| known.iter().find(|one| one.name == name).map(|one| one.value));
    Ok(measured)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_check_names_what_is_measured_and_is_open_before() {
        assert!(judge(&|_| None).iter().all(|check| check.met.is_none() && check.value.is_none()));
        assert!(judge(&|_| Some(0.9)).iter().all(|check| check.met.is_some()));
        assert_eq!(part_of("mesh, one optimizer: ideal"), "mesh");
        assert_eq!(part_of("drift: ideal, 0.5 rad: accuracy"), "drift");
    }
}
