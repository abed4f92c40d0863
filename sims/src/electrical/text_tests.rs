//! The nominal circuit written as a file of equations is the same system.

use super::tests::{predict, pull_back};
use super::{Electrical, solver::Solver};
use crate::equations::tests::{Written, apart, draw};

/// The nominal circuit as text, at rest at first. The method takes the coil and then the node, as the kernel does.
fn written(config: &Electrical) -> String {
    let circuit = config.nominal_circuit();
    let node = circuit.rest(0.0, 0.0);
    let current = circuit.rest_current(node, 0.0);
    format!(
        r#"
[inputs]
drive = {{ unit = "V", range = [-1, 1] }}
[coefficients]
R = {{ unit = "ohm", value = {} }}
L = {{ unit = "H", value = {} }}
C = {{ unit = "F", value = {:e} }}
load = {{ unit = "ohm", value = {} }}
Is = {{ unit = "A", value = {:e} }}
own = {{ unit = "1", value = {} }}
c = {{ unit = "V", value = {} }}
Vs = {{ unit = "V", value = {} }}
[states]
i = {{ unit = "A", start = "{current:e}" }}
v = {{ unit = "V", start = "{node:e}" }}
[let]
u = "(own*v + c)/Vs"
[equations]
"der(i)" = "(drive - R*i - v)/L"
"der(v)" = "(i - v/load - Is*(u + u^3/6 + u^5/120))/C"
[outputs]
node = {{ unit = "V", value = "v", range = [-1, 1] }}
[time]
sample_seconds = {:e}
samples = {}
substeps = {}
method = "semi-implicit"
"#,
        circuit.ohms,
        circuit.henry,
        circuit.farad,
        circuit.load_ohms,
        circuit.device_amperes,
        circuit.own,
        circuit.offset_volts,
        circuit.scale_volts,
        1.0 / config.sample_rate_hertz,
        config.samples,
        config.substeps
    )
}

#[test]
fn the_circuit_as_text_agrees_to_rounding_in_value_and_gradients() {
    let config = Electrical { samples: 60, ..Electrical::default() };
    let solver = Solver::<f64>::new(&config.nominal_circuit());
    let written = Written::new(&written(&config));
    let drive = draw(60, 0.4, "drive");
    let error = apart(&written.predict(&drive, &[]), &predict(&solver, &drive));
    assert!(error < 1e-13, "{error:e}");
    let cotangents = draw(60, 1.0, "cotangents");
    let error = apart(&written.pull_back(&drive, &[], &cotangents).0, &pull_back(&solver, &drive, &cotangents));
    assert!(error < 1e-12, "{error:e}");
}
