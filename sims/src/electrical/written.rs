//! The circuit as a file of equations (docs/equations.md).

use super::Electrical;

impl Electrical {
    /// The nominal circuit as a file of equations, at rest at first. The method takes the coil and then the node, as the kernel does.
    pub fn written(&self) -> String {
        let circuit = self.nominal_circuit();
        let node = circuit.rest(0.0, 0.0);
        let current = circuit.rest_current(node, 0.0);
        format!(
            r#"
[inputs]
drive = {{ unit = "V", range = [-{drive}, {drive}] }}
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
node = {{ unit = "V", value = "v", range = [-{reading}, {reading}] }}
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
            1.0 / self.sample_rate_hertz,
            self.samples,
            self.substeps,
            drive = self.drive_volts,
            reading = self.reading_volts,
        )
    }
}
