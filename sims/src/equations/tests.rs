//! Whole systems from text: against kernels written by hand, finite differences, and exact solutions.

mod derivatives;
mod expressions;
mod files;
mod integrators;
mod line;
mod messages;
mod modulo;
mod reports;

use super::file;
use super::run::{Course, Work};
use crate::Key;

/// The diode resonator of the issue, in which every kind of line stands.
const DIODE: &str = r#"
title = "A diode in a resonator"
[inputs]
drive = { unit = "V", range = [-1, 1] }
[controls]
bias = { unit = "V", range = [0, 0.6] }
[coefficients]
R = { unit = "ohm", value = 200, spread = 0.05 }
L = { unit = "H", value = 1e-2 }
C = { unit = "F", value = 2.5e-9 }
Is = { unit = "A", value = 1e-9 }
Vd = { unit = "V", value = 0.05 }
[states]
i = { unit = "A" }
v = { unit = "V" }
[equations]
"der(i)" = "(drive - R*i - v)/L"
"der(v)" = "(i - Is*(exp((v - bias)/Vd) - 1))/C"
[outputs]
node = { unit = "V", value = "v", range = [-2, 2], noise = 2e-3, bits = 14 }
[time]
sample_seconds = 1e-6
samples = 12
substeps = 4
method = "implicit"
[plant]
equations = { "der(i)" = "(drive - R*(1 + 0.02*i/1e-3)*i - v)/L" }
"#;

/// The nominal system of a text.
fn course(text: &str) -> Course {
    let (model, _) = file::read("test.toml", text, None).unwrap_or_else(|error| panic!("{error}"));
    Course::new(&model)
}

/// The coefficients of a text.
fn coefficients(text: &str) -> Vec<f64> {
    super::nominal(&file::read("test.toml", text, None).unwrap().0)
}

/// Numbers from a seed, of this size.
pub(crate) fn draw(count: usize, size: f64, label: &str) -> Vec<f64> {
    let mut stream = Key::new(16).branch(label).stream();
    (0..count).map(|_| size * f64::from(stream.normal())).collect()
}

fn lanes(values: &[f64]) -> Vec<[f64; 1]> {
    values.iter().map(|value| [*value]).collect()
}

/// One shot in double precision.
fn predict(course: &Course, coefficients: &[f64], inputs: &[f64], controls: &[f64]) -> Vec<f64> {
    let mut work = Work::<f64, 1>::new(course, 1);
    let mut outputs = vec![[0.0]; course.output_width];
    let table = course.compiled.settled(controls, coefficients);
    course.forward(&table, &mut work, &lanes(inputs), &mut outputs, false);
    outputs.iter().map(|lanes| lanes[0]).collect()
}

/// Gradients of one shot in double precision, for inputs and controls.
fn pull_back(
    course: &Course,
    coefficients: &[f64],
    inputs: &[f64],
    controls: &[f64],
    cotangents: &[f64],
) -> (Vec<f64>, Vec<f64>) {
    let mut work = Work::<f64, 1>::new(course, 1);
    let table = course.compiled.settled(controls, coefficients);
    let mut outputs = vec![[0.0]; course.output_width];
    let mut gradients = vec![[0.0]; course.input_width];
    let given = lanes(cotangents);
    let inputs = lanes(inputs);
    course.forward(&table, &mut work, &inputs, &mut outputs, true);
    course.backward(&table, &mut work, (&inputs, &given), &mut gradients);
    let by_controls = course.compiled.settled_back(controls, coefficients, &work.sums());
    (gradients.iter().map(|lanes| lanes[0]).collect(), by_controls)
}

/// A nominal system in double precision, for the rooms whose own system it is.
pub(crate) struct Written {
    course: Course,
    coefficients: Vec<f64>,
}

impl Written {
    pub(crate) fn new(text: &str) -> Self {
        Self { course: course(text), coefficients: coefficients(text) }
    }

    pub(crate) fn predict(&self, inputs: &[f64], controls: &[f64]) -> Vec<f64> {
        predict(&self.course, &self.coefficients, inputs, controls)
    }

    pub(crate) fn pull_back(&self, inputs: &[f64], controls: &[f64], cotangents: &[f64]) -> (Vec<f64>, Vec<f64>) {
        pull_back(&self.course, &self.coefficients, inputs, controls, cotangents)
    }
}

/// The largest difference of two lists as a fraction of the largest value.
pub(crate) fn apart(a: &[f64], b: &[f64]) -> f64 {
    let size = b.iter().fold(0.0_f64, |size, value| size.max(value.abs()));
    a.iter().zip(b).fold(0.0_f64, |apart, (a, b)| apart.max((a - b).abs())) / size
}
