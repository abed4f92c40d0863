//! Adjoints against finite differences in double precision.

use super::{DIODE, coefficients, course, draw, predict, pull_back};
use crate::gradient_check::error_along;

fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

/// The largest error of the gradients of `text` along random directions.
fn worst(text: &str, size: f64, controls: &[f64]) -> f64 {
    let (course, coefficients) = (course(text), coefficients(text));
    let inputs = draw(course.input_width, size, "inputs");
    let cotangents = draw(course.output_width, 1.0, "cotangents");
    let (by_inputs, by_controls) = pull_back(&course, &coefficients, &inputs, controls, &cotangents);
    let mut worst = 0.0_f64;
    for direction in 0..3 {
        let along = draw(inputs.len(), 0.1 * size, &format!("along {direction}"));
        let loss = |inputs: &[f64]| dot(&predict(&course, &coefficients, inputs, controls), &cotangents);
        worst = worst.max(error_along(loss, &inputs, &along, &by_inputs));
        if !controls.is_empty() {
            let along = draw(controls.len(), 0.1, &format!("across {direction}"));
            let loss = |controls: &[f64]| dot(&predict(&course, &coefficients, &inputs, controls), &cotangents);
            worst = worst.max(error_along(loss, controls, &along, &by_controls));
        }
    }
    worst
}

#[test]
fn adjoints_of_every_method_agree_with_finite_differences() {
    for method in ["rk4", "semi-implicit", "implicit"] {
        let text = DIODE.replace("method = \"implicit\"", &format!("method = \"{method}\""));
        let error = worst(&text, 0.5, &[0.2]);
        assert!(error < 1e-6, "{method}: {error:e}");
    }
}

/// A ring with starts, inputs of both kinds, a delay, a branch, a table, a sum, and readings of both kinds.
const RING: &str = r#"
[indices]
k = { size = SIZE, periodic = true }
j = { size = SIZE, periodic = true }
[inputs]
push = { unit = "1", range = [-9, 9], shape = ["k"] }
seed = { unit = "rad", range = [-9, 9], shape = ["k"], kind = "static" }
[controls]
K = { unit = "1", range = [-9, 9], shape = ["k", "j"], where = "abs(k - j) <= 2" }
gain = { unit = "1", range = [-9, 9] }
[coefficients]
w = { unit = "1/s", value = "1 + 0.1*k", shape = ["k"] }
tau = { unit = "s", value = 1.5 }
[tables]
curve = { unit = "1", of = "rad", points = [[-2, 0.5], [0, 1], [1.5, 3]] }
[states]
q = { unit = "rad", shape = ["k"], start = "0.3*seed[k] + 0.1*gain*k" }
p = { unit = "rad/s", shape = ["k"] }
[let]
"s[k]" = "sin(q[k])"
[equations]
"der(q[k])" = "p[k]"
"der(p[k])" = "w[k]^2*(sum(j, K[k,j]*(s[j] - s[k])) - s[k]*table(q[k], curve) + gain*push[k] + 0.2*(q[k+1] - 2*q[k] + q[k-1]) + if(q[k] > 0.2, sqrt(q[k]), 0) + 0.1*delay(q[k+1], 2) + 0.1*delay(push[k], 1)) - p[k]/tau"
[outputs]
speed = { unit = "rad/s", value = "p[k]*cosh(gain)", shape = ["k"], range = [-99, 99] }
mean = { unit = "rad", value = "sum(k, q[k])/SIZE", range = [-99, 99], at = "end" }
[time]
sample_seconds = 0.1
samples = 5
substeps = 3
method = "METHOD"
tolerance = 1e-8
"#;

fn ring(size: usize, method: &str) -> String {
    RING.replace("SIZE", &size.to_string()).replace("METHOD", method)
}

// Steps that adapt are held while the adjoint is taken: what their choice owes to the inputs is as small as the tolerance.
#[test]
fn adjoints_of_arrays_agree_with_finite_differences() {
    for (size, method) in [
        (5, "rk4"),
        (5, "implicit"),
        (6, "semi-implicit"),
        (60, "rk4"),
        (12, "implicit"),
        (60, "implicit"),
        (5, "implicit-adaptive"),
    ] {
        let controls = draw(size * size + 1, 0.3, "controls");
        let error = worst(&ring(size, method), 0.7, &controls);
        assert!(error < 1e-6, "{size}, {method}: {error:e}");
    }
}

#[test]
fn a_table_has_the_slope_of_the_piece_that_begins_at_a_point() {
    let text = "[inputs]\nu = { unit = \"1\", range = [-9, 9] }\n[outputs]\ny = { unit = \"1\", value = \"table(u, g)\", range = [-9, 9] }\n\
                [tables]\ng = { unit = \"1\", points = [[-1, -1], [0, 0], [1, 4], [2, 5], [4, 1]] }\n";
    let course = course(text);
    for (x, value, slope) in [
        (-2.0, -1.0, 0.0),
        (-0.5, -0.5, 1.0),
        (0.0, 0.0, 4.0),
        (0.5, 2.0, 4.0),
        (1.0, 4.0, 1.0),
        (1.5, 4.5, 1.0),
        (2.0, 5.0, -2.0),
        (3.0, 3.0, -2.0),
        (5.0, 1.0, 0.0),
    ] {
        assert_eq!(predict(&course, &[], &[x], &[]), [value], "{x}");
        assert_eq!(pull_back(&course, &[], &[x], &[], &[1.0]).0, [slope], "{x}");
    }
}

/// Static readings of `u` and of the control `n`.
fn power_of(value: &str) -> super::Course {
    course(&format!(
        "[inputs]\nu = {{ unit = \"1\", range = [-9, 9] }}\n[controls]\nn = {{ unit = \"1\", range = [1, 3] }}\n[outputs]\n\
         y = {{ unit = \"1\", value = \"{value}\", range = [-9, 9] }}\n"
    ))
}

#[test]
fn powers_of_nothing_have_slopes() {
    for (value, exponent, by_u) in
        [("abs(u)^1.3", 1.5, 0.0), ("abs(u)^n", 1.5, 0.0), ("u^n", 1.0, 1.0), ("u^n", 2.5, 0.0)]
    {
        let (found, by_n) = pull_back(&power_of(value), &[], &[0.0], &[exponent], &[1.0]);
        assert_eq!((found[0], by_n[0]), (by_u, 0.0), "{value}, {exponent}");
    }
    let (by_u, by_n) = pull_back(&power_of("u^n"), &[], &[0.5], &[2.5], &[1.0]);
    let power = 0.5_f64.powf(2.5);
    assert!(
        (by_u[0] - 5.0 * power).abs() < 1e-14 && (by_n[0] - power * 0.5_f64.ln()).abs() < 1e-14,
        "{by_u:?} {by_n:?}"
    );
}

#[test]
fn whole_powers_are_those_of_numbers_below_0_however_large() {
    let of = |value: &str, u: f64| predict(&power_of(value), &[], &[u], &[2.0])[0];
    for (exponent, u) in [(33, -0.9), (40, -0.9), (40, 0.9), (1001, -0.999)] {
        let exact = f64::powi(u, exponent);
        assert!((of(&format!("u^{exponent}"), u) / exact - 1.0).abs() < 1e-12, "{u}^{exponent}");
        assert!((of(&format!("u^-{exponent}"), u) * exact - 1.0).abs() < 1e-12, "{u}^-{exponent}");
    }
    // Powers of powers do not turn over where their exponents get too large for a whole number: this one is 2^35.
    let nested = "((((((u^32)^32)^32)^32)^32)^32)^32";
    assert_eq!((of(nested, 0.5), of(nested, 1.0)), (0.0, 1.0));
    let exact = (35.0_f64.exp2() * (-1e-9_f64).ln_1p()).exp();
    assert!((of(nested, 1.0 - 1e-9) / exact - 1.0).abs() < 1e-4);
}

#[test]
fn loops_and_terms_of_their_own_give_the_same() {
    let text = ring(12, "rk4");
    let (model, _) = super::file::read("ring", &text, None).unwrap();
    let [loops, unrolled] = [false, true].map(|unrolls| super::Course::with(&model, unrolls));
    let coefficients = coefficients(&text);
    let inputs = draw(loops.input_width, 0.7, "inputs");
    let controls = draw(12 * 12 + 1, 0.3, "controls");
    let cotangents = draw(loops.output_width, 1.0, "cotangents");
    let [a, b] = [&loops, &unrolled].map(|course| predict(course, &coefficients, &inputs, &controls));
    let [c, d] = [&loops, &unrolled].map(|course| pull_back(course, &coefficients, &inputs, &controls, &cotangents));
    for (a, b) in [(a, b), (c.0, d.0), (c.1, d.1)] {
        let size = a.iter().fold(0.0_f64, |size, value| size.max(value.abs()));
        assert!(a.iter().zip(&b).all(|(a, b)| (a - b).abs() < 1e-12 * size));
    }
}

#[test]
fn steps_that_one_program_takes_together_are_those_steps() {
    // The drive stays as it is through a sample, so that a sample of so many steps is so many samples of one.
    for method in ["rk4", "semi-implicit", "implicit"] {
        for steps in [2_usize, 3, 5, 6] {
            let with = |samples: usize, substeps: usize| {
                DIODE
                    .replace("method = \"implicit\"", &format!("method = \"{method}\""))
                    .replace("samples = 12", &format!("samples = {samples}"))
                    .replace("substeps = 4", &format!("substeps = {substeps}"))
                    .replace("sample_seconds = 1e-6", &format!("sample_seconds = {:e}", substeps as f64 * 2.5e-7))
            };
            let [together, apart] = [with(4, steps), with(4 * steps, 1)].map(|text| course(&text));
            let coefficients = coefficients(DIODE);
            let drives = draw(4, 0.5, "drives");
            let repeated: Vec<f64> = drives.iter().flat_map(|drive| vec![*drive; steps]).collect();
            let given = draw(4, 1.0, "cotangents");
            let spread: Vec<f64> =
                given.iter().flat_map(|value| [vec![0.0; steps - 1], vec![*value]].concat()).collect();
            let ends: Vec<f64> =
                predict(&apart, &coefficients, &repeated, &[0.2]).chunks(steps).map(|these| these[steps - 1]).collect();
            let readings = predict(&together, &coefficients, &drives, &[0.2]);
            assert!(super::apart(&readings, &ends) < 1e-12, "{method}, {steps}: {readings:?}, {ends:?}");
            let (found, by_bias) = pull_back(&together, &coefficients, &drives, &[0.2], &given);
            let (each, by_same) = pull_back(&apart, &coefficients, &repeated, &[0.2], &spread);
            let sums: Vec<f64> = each.chunks(steps).map(|these| these.iter().sum()).collect();
            assert!(super::apart(&found, &sums) < 1e-12, "{method}, {steps}: {found:?}, {sums:?}");
            assert!(super::apart(&by_bias, &by_same) < 1e-12, "{method}, {steps}");
        }
    }
}
