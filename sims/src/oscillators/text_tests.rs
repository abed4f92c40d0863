//! The oscillators written as a file of equations are the same system.

use super::Oscillators;
use super::tests::{predict, pull_back};
use crate::equations::tests::{Written, apart, draw};

/// The nominal lattice as text.
fn written(config: &Oscillators) -> String {
    format!(
        r#"
[indices]
k = {count}
j = {count}
[inputs]
position = {{ unit = "rad", range = [-32, 32], shape = ["k"], kind = "static" }}
[controls]
C = {{ unit = "1/s^2", range = [-20, 20], shape = ["k", "j"] }}
e = {{ unit = "1/s^2", range = [-50, 50], shape = ["k"] }}
[coefficients]
own = {{ unit = "1/s^2", value = 1 }}
[states]
q = {{ unit = "rad", shape = ["k"], start = "position[k]" }}
p = {{ unit = "rad/s", shape = ["k"] }}
[let]
"s[k]" = "sin(q[k])"
[equations]
"der(q[k])" = "p[k]"
"der(p[k])" = "-(own + C[k,k])*s[k] + sum(j, 0.5*(C[k,j] + C[j,k])*(s[j] - s[k])) + e[k]"
[outputs]
reading = {{ unit = "rad", value = "q[k]", shape = ["k"], range = [-32, 32], at = "end" }}
[time]
sample_seconds = {seconds:?}
substeps = {steps}
method = "rk4"
"#,
        count = config.count,
        seconds = config.step * config.steps as f64,
        steps = config.steps
    )
}

#[test]
fn the_lattice_as_text_agrees_to_rounding_in_value_and_gradients() {
    // One small enough for terms of their own, one that runs in loops.
    for count in [8, 70] {
        let config = Oscillators { count, ..Oscillators::default() };
        let physics = config.nominal();
        let written = Written::new(&written(&config));
        let inputs = draw(count, 1.0, "inputs");
        let controls = draw(count * (count + 1), 0.3, "controls");
        let cotangents = draw(count, 1.0, "cotangents");
        let error = apart(&written.predict(&inputs, &controls), &predict(&physics, &inputs, &controls));
        assert!(error < 1e-13, "{count}: {error:e}");
        let from_text = written.pull_back(&inputs, &controls, &cotangents);
        let by_hand = pull_back(&physics, &inputs, &controls, &cotangents);
        let errors = [apart(&from_text.0, &by_hand.0), apart(&from_text.1, &by_hand.1)];
        assert!(errors[0] < 1e-12 && errors[1] < 1e-12, "{count}: {errors:?}");
    }
}
