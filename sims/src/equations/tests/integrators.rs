//! Integrators have their order, and the implicit one is stable where explicit ones are not.

use drivers::Batch;

use super::super::implicit::Room;
use super::super::machine::Memory;
use super::super::rosenbrock::{RODAS, ROS2, Rosenbrock};
use super::super::system::Stepper;
use super::{coefficients, course, predict};
use crate::Equations;

/// A pendulum with friction, driven at first, whose two states have different units.
fn pendulum(method: &str, substeps: usize) -> String {
    format!(
        r#"
[inputs]
push = {{ unit = "1/s^2", range = [-9, 9] }}
[coefficients]
w = {{ unit = "1/s", value = 1.3 }}
r = {{ unit = "1/s", value = 0.2 }}
[states]
q = {{ unit = "rad", start = "0.7" }}
p = {{ unit = "1/s" }}
[equations]
"der(q)" = "p"
"der(p)" = "push - w^2*sin(q) - r*p*(1 + q^2)"
[outputs]
q_end = {{ unit = "rad", value = "q", range = [-9, 9], at = "end" }}
p_end = {{ unit = "1/s", value = "p", range = [-9, 9], at = "end" }}
[time]
sample_seconds = 0.5
samples = 4
substeps = {substeps}
method = "{method}"
"#
    )
}

#[test]
fn halving_the_step_divides_the_error_as_the_order_has_it() {
    let end = |method: &str, substeps: usize| {
        let text = pendulum(method, substeps);
        predict(&course(&text), &coefficients(&text), &[0.5, -0.4, 0.0, 0.2], &[])
    };
    let exact = end("rk4", 400);
    for (method, order, substeps) in
        [("rk4", 4.0, 4), ("semi-implicit", 1.0, 64), ("implicit", 2.0, 16), ("implicit", 2.0, 32)]
    {
        let error = |substeps| end(method, substeps).iter().zip(&exact).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max);
        let found = f64::log2(error(substeps) / error(2 * substeps));
        assert!((found - order).abs() < 0.2, "{method} has the order {found}");
    }
}

#[test]
fn implicit_steps_are_stable_at_a_thousand_times_the_explicit_limit() {
    let relaxation = |method: &str, factor: f64| {
        let text = format!(
            r#"
[inputs]
drive = {{ unit = "V", range = [-1, 1] }}
[coefficients]
k = {{ unit = "1/s", value = {:?} }}
one = {{ unit = "V", value = 1 }}
[states]
v = {{ unit = "V" }}
w = {{ unit = "V" }}
[equations]
"der(v)" = "k*(drive - v)"
"der(w)" = "k*(v - w - 0.1*one*sin(w/one))"
[outputs]
node = {{ unit = "V", value = "w", range = [-9, 9] }}
[time]
sample_seconds = 1
samples = 40
method = "{method}"
"#,
            factor * 2.785
        );
        predict(&course(&text), &coefficients(&text), &[0.8; 40], &[])
    };
    // v = 0.8, and w + 0.1·sin w = 0.8.
    let rest = (0..50).fold(0.8_f64, |w, _| 0.8 - 0.1 * w.sin());
    for factor in [1.0, 10.0, 1000.0, 1e6] {
        let record = relaxation("implicit", factor);
        assert!(record.iter().all(|value| value.abs() < 1.2), "{factor}: {record:?}");
        assert!((record[39] - rest).abs() < 1e-6, "{factor}: {} instead of {rest}", record[39]);
    }
    assert!(relaxation("rk4", 1.5).iter().any(|value| value.is_nan() || 100.0 < value.abs()), "the limit is one");
}

#[test]
fn sparse_steps_have_the_order_of_their_method() {
    let text = pendulum("implicit-adaptive", 1);
    let course = course(&text);
    let Stepper::Implicit(implicit) = &course.compiled.stepper else { panic!("steps that adapt are sparse") };
    let table = course.compiled.settled::<f64>(&[], &coefficients(&text));
    let end = |method: &Rosenbrock, steps: usize| {
        let mut memory = Memory::<f64, 1>::new(1, course.compiled.programs(), [course.compiled.reserved, 0]);
        let mut room = Room::default();
        (memory.lanes[0], memory.lanes[1], memory.lanes[2]) = ([0.7], [0.0], [0.4]);
        for _ in 0..steps {
            implicit.single_step(method, &table, &mut memory, &mut room, 2.0 / steps as f64);
        }
        [memory.lanes[0][0], memory.lanes[1][0]]
    };
    let exact = end(&RODAS, 2000);
    for (method, order, steps) in [(&ROS2, 2.0, 40), (&RODAS, 4.0, 10), (&RODAS, 4.0, 20)] {
        let error = |steps| end(method, steps).iter().zip(&exact).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max);
        let found = f64::log2(error(steps) / error(2 * steps));
        assert!((found - order).abs() < 0.3, "{found} instead of {order}");
    }
}

/// What is made at a rate and lost by its square: r·u = k·b² in the end, long before a sample is over.
#[test]
fn steps_that_adapt_find_what_is_over_in_a_part_of_a_sample() {
    for (start, sample_seconds) in [("0", 0.1), ("1e-4", 10.0)] {
        let text = format!(
            r#"
[inputs]
u = {{ unit = "1", range = [0, 2] }}
[coefficients]
r = {{ unit = "1/s", value = 0.04 }}
k = {{ unit = "1/s", value = 3e7 }}
[states]
b = {{ unit = "1", start = "{start}" }}
[equations]
"der(b)" = "r*u - k*b^2"
[outputs]
b = {{ unit = "1", value = "b", range = [-1, 1] }}
[time]
sample_seconds = {sample_seconds}
samples = 3
method = "implicit-adaptive"
"#
        );
        let twin = Equations::from_text("fast.toml", &text).build().unwrap().twin;
        let inputs = Batch::new(3, vec![1.0, 0.9, 1.1]).unwrap();
        let single = twin.predict(&inputs, &[]);
        let double = predict(&course(&text), &coefficients(&text), &[1.0, 0.9, 1.1], &[]);
        for (sample, u) in [1.0, 0.9, 1.1_f64].into_iter().enumerate() {
            let rest = (0.04 * u / 3e7).sqrt();
            for found in [f64::from(single.row(0)[sample]), double[sample]] {
                assert!((found / rest - 1.0).abs() < 1e-3, "{found}, not {rest}");
            }
        }
    }
}

/// Heat on a line of 40 cells that begins in one of them: far from it there is next to nothing for a while.
#[test]
fn steps_that_adapt_follow_what_spreads_from_a_spot() {
    let text = r#"
[indices]
x = { size = 40, outside = 0 }
[inputs]
heat = { unit = "1", range = [0, 1], kind = "static" }
[coefficients]
c = { unit = "1/s", value = 2 }
[states]
a = { unit = "1", shape = ["x"], start = "if(x == 3, heat, 0)" }
[equations]
"der(a[x])" = "c*(a[x+1] - 2*a[x] + a[x-1])"
[outputs]
a = { unit = "1", value = "a[x]", shape = ["x"], range = [-1, 1], at = "end" }
[time]
sample_seconds = 0.1
samples = 4
method = "implicit-adaptive"
"#;
    let twin = Equations::from_text("spot.toml", text).build().unwrap().twin;
    let found = twin.predict(&Batch::new(1, vec![0.8]).unwrap(), &[]);
    for (place, found) in found.row(0).iter().enumerate() {
        // The sum over the line's modes.
        let mode = |mode: usize| {
            let angle = std::f64::consts::PI * mode as f64 / 41.0;
            let rate = 2.0 * (2.0 - 2.0 * angle.cos());
            (4.0 * angle).sin() * ((place + 1) as f64 * angle).sin() * (-0.4 * rate).exp()
        };
        let exact = 0.8 * 2.0 / 41.0 * (1..=40).map(mode).sum::<f64>();
        assert!((f64::from(*found) - exact).abs() < 1e-3, "{place}: {found}, not {exact}");
    }
}

#[test]
fn steps_that_adapt_follow_a_diode_that_turns_off() {
    let text = |method: &str, substeps: usize| {
        format!(
            r#"
[inputs]
vin = {{ unit = "V", range = [-10, 10] }}
[coefficients]
R = {{ unit = "kohm", value = 1 }}
C = {{ unit = "nF", value = 10 }}
Is = {{ unit = "A", value = 1e-14 }}
Vt = {{ unit = "mV", value = 25.85 }}
[states]
v = {{ unit = "V" }}
[equations]
"der(v)" = "((vin - v)/R - Is*(exp(v/Vt) - 1))/C"
[outputs]
v = {{ unit = "V", value = "v", range = [-12, 2] }}
[time]
sample_seconds = 1e-5
samples = 6
substeps = {substeps}
tolerance = 1e-5
method = "{method}"
"#
        )
    };
    let inputs = [8.0, 9.0, -9.0, 7.0, -3.0, -8.0];
    let found = |method: &str, substeps: usize| {
        let text = text(method, substeps);
        predict(&course(&text), &coefficients(&text), &inputs, &[])
    };
    let exact = found("implicit", 10_000);
    for substeps in [1, 2] {
        for (found, exact) in found("implicit-adaptive", substeps).iter().zip(&exact) {
            assert!((found - exact).abs() < 1e-3, "{found}, not {exact}");
        }
    }
}
