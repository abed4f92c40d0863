//! The lattice as a file of equations (docs/equations.md).

use super::Oscillators;

impl Oscillators {
    /// The nominal lattice as a file of equations. Couplings are given a range in which its steps are stable.
    pub fn written(&self) -> String {
        format!(
            r#"
[indices]
k = {count}
j = {count}
[inputs]
position = {{ unit = "rad", range = [-32, 32], shape = ["k"], kind = "static" }}
[controls]
C = {{ unit = "1/s^2", range = [-1, 1], shape = ["k", "j"] }}
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
            count = self.count,
            seconds = self.step * self.steps as f64,
            steps = self.steps
        )
    }
}
