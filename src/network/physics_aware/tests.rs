//! The heart, proven: the value bit for bit, the gradient of plain backpropagation where twin and plant are one, and
//! the reference's toy.

use std::sync::Arc;

use burn::tensor::{Device, Tensor, TensorData};
use drivers::{Bank, Batch, Card, Identity, Origin, Ports, Range, Timing};
use sims::{Electrical, Key, Pullback, Simulated, Twin};

use super::{Measured, Wanted, physical, physical_in_full_scales};
use crate::network::{FullScale, FullScales, Units, rows};
use crate::plants::{Derivatives, Forward, Lab, Opened};

fn card(inputs: usize, controls: usize, outputs: usize) -> Card {
    let bank = |name, count| vec![Bank::new(name, count, "1", Range::new(-1e9, 1e9))];
    let ports = Ports { inputs: bank("x", inputs), controls: bank("theta", controls), outputs: bank("y", outputs) };
    let identity = Identity { system: "test".into(), serial: "1".into(), origin: Origin::Simulated };
    Card { identity, ports, timing: Timing::default() }
}

/// `y = tanh(x θ)`, `x` `[shots, 3]`, `θ` the 3×2 matrix of controls.
#[derive(Debug)]
struct Tanh(Card);

impl Tanh {
    fn sums(inputs: &Batch, controls: &[f32]) -> Batch {
        Batch::from_fn(inputs.rows(), 2, |row, output| {
            inputs.row(row).iter().enumerate().map(|(input, x)| x * controls[2 * input + output]).sum()
        })
    }
}

impl Twin for Tanh {
    fn card(&self) -> &Card {
        &self.0
    }

    fn predict(&self, inputs: &Batch, controls: &[f32]) -> Batch {
        let sums = Self::sums(inputs, controls);
        Batch::from_fn(inputs.rows(), 2, |row, output| sums.row(row)[output].tanh())
    }

    fn pull_back(&self, inputs: &Batch, controls: &[f32], cotangents: &Batch) -> Pullback {
        let values = self.predict(inputs, controls);
        let slope = |row: usize, output: usize| cotangents.row(row)[output] * (1.0 - values.row(row)[output].powi(2));
        let to_inputs =
            |row: usize, input: usize| (0..2).map(|output| slope(row, output) * controls[2 * input + output]).sum();
        let to_control =
            |index: usize| (0..inputs.rows()).map(|row| inputs.row(row)[index / 2] * slope(row, index % 2)).sum();
        Pullback { inputs: Batch::from_fn(inputs.rows(), 3, to_inputs), controls: (0..6).map(to_control).collect() }
    }
}

fn tensor(values: Vec<f32>, shape: [usize; 2]) -> Tensor<2> {
    Tensor::from_data(TensorData::new(values, shape), &Device::flex().autodiff())
}

#[test]
fn the_value_is_the_measurement_bit_for_bit() {
    let system = Electrical { samples: 64, ..Electrical::default() };
    let built = system.build().unwrap();
    let opened = Opened::bare("a", Box::new(Simulated::new(built.system.clone())), built.twin.clone());
    let mut lab = Lab::new(vec![opened], Derivatives::Twin).unwrap();
    let mut stream = Key::new(3).stream();
    let inputs = Batch::from_fn(5, 64, |_, _| 2.0 * stream.uniform() - 1.0);
    let (controls, outputs) = lab.run(0, Forward::Plant, &[], &inputs).unwrap();
    let measured = Arc::new(Measured { inputs: inputs.clone(), controls, outputs: outputs.clone() });
    for x in
        [rows::to_tensor(&inputs, &Device::flex()), rows::to_tensor(&inputs, &Device::flex().autodiff()).require_grad()]
    {
        let y = physical(x, None, measured.clone(), lab.twin(0));
        let bits = |values: &[f32]| values.iter().map(|value| value.to_bits()).collect::<Vec<_>>();
        assert_eq!(bits(rows::to_batch(y).values()), bits(outputs.values()));
    }
    assert_ne!(outputs, built.twin.predict(&inputs, &[]), "the plant is not its twin");
}

#[test]
fn where_twin_and_plant_are_one_the_gradient_is_that_of_plain_backpropagation() {
    let x_values = vec![0.3, -0.7, 0.2, 1.1, 0.4, -0.9];
    let theta_values = vec![0.5, -0.2, 0.8, 0.3, -0.6, 0.9];
    let weigh = |y: Tensor<2>| (y * tensor(vec![1.0, -2.0, 0.5, 3.0], [2, 2])).sum();

    let (x, theta) =
        (tensor(x_values.clone(), [2, 3]).require_grad(), tensor(theta_values.clone(), [3, 2]).require_grad());
    let plain = weigh(x.clone().matmul(theta.clone()).tanh()).backward();
    let expected = [rows::values(x.grad(&plain).unwrap()), rows::values(theta.grad(&plain).unwrap())].concat();

    let twin = Arc::new(Tanh(card(3, 6, 2)));
    let (x, theta) =
        (tensor(x_values.clone(), [2, 3]).require_grad(), tensor(theta_values.clone(), [1, 6]).require_grad());
    let inputs = Batch::new(3, x_values).unwrap();
    let outputs = twin.predict(&inputs, &theta_values);
    let measured = Arc::new(Measured { inputs, controls: theta_values, outputs });
    let aware = weigh(physical(x.clone(), Some(theta.clone()), measured, twin)).backward();
    let gradient = [rows::values(x.grad(&aware).unwrap()), rows::values(theta.grad(&aware).unwrap())].concat();

    assert_eq!(gradient.len(), 12);
    for (gradient, expected) in gradient.iter().zip(&expected) {
        assert!((gradient - expected).abs() < 1e-6 * expected.abs().max(1.0), "{gradient} against {expected}");
    }
}

#[test]
fn the_gradient_is_taken_at_the_controls_that_were_really_applied() {
    let twin = Arc::new(Tanh(card(3, 6, 2)));
    let (wanted, applied) = (vec![0.5; 6], vec![0.25, 0.5, 0.25, 0.5, 0.25, 0.5]);
    let inputs = Batch::new(3, vec![1.0, 2.0, -1.5]).unwrap();
    let expected = twin.pull_back(&inputs, &applied, &Batch::new(2, vec![1.0, 1.0]).unwrap());
    assert_ne!(expected, twin.pull_back(&inputs, &wanted, &Batch::new(2, vec![1.0, 1.0]).unwrap()));
    let (x, theta) = (tensor(vec![0.0; 3], [1, 3]).require_grad(), tensor(wanted, [1, 6]).require_grad());
    let measured = Arc::new(Measured { inputs, controls: applied, outputs: Batch::new(2, vec![7.0, 8.0]).unwrap() });
    let gradients = physical(x.clone(), Some(theta.clone()), measured, twin).sum().backward();
    assert_eq!(rows::values(x.grad(&gradients).unwrap()), expected.inputs.into_values());
    assert_eq!(rows::values(theta.grad(&gradients).unwrap()), expected.controls);
}

#[test]
fn full_scales_become_units_and_back_as_a_chain_of_operations_would() {
    let twin = Arc::new(Tanh(card(3, 6, 2)));
    // Volts are half a full scale, readings a quarter; 1.4 and −1.2 are not allowed.
    let (x_values, theta_values) = (vec![0.3, -0.7, 1.4, 0.1, -1.2, 0.9], vec![0.5, -0.2, 0.8, 1.3, -0.6, 0.9]);
    let scale = |count, volts: f32| FullScale::new(&vec![Range::new(-volts, volts); count], Units::FullScale);
    let scales = Arc::new(FullScales { inputs: scale(3, 0.5), controls: scale(6, 2.0), outputs: scale(2, 0.25) });
    let allowed = |values: &[f32], volts: f32| values.iter().map(|v| v.clamp(-1.0, 1.0) * volts).collect::<Vec<_>>();
    let measured = || {
        let inputs = Batch::new(3, allowed(&x_values, 0.5)).unwrap();
        let outputs = Batch::new(2, vec![0.1, 0.2, -0.1, 0.05]).unwrap();
        Measured { inputs, controls: allowed(&theta_values, 2.0), outputs }
    };
    let weigh = |y: Tensor<2>| (y * tensor(vec![1.0, -2.0, 0.5, 3.0], [2, 2])).sum();
    let leaves = || [(&x_values, [2, 3]), (&theta_values, [1, 6])].map(|(v, s)| tensor(v.clone(), s).require_grad());

    let [x, theta] = leaves();
    let [volts, control] = [x.clone().clamp(-1.0, 1.0).mul_scalar(0.5), theta.clone().clamp(-1.0, 1.0).mul_scalar(2.0)];
    let chained = physical(volts, Some(control), Arc::new(measured()), twin.clone()).div_scalar(0.25);
    let value = rows::values(chained.clone());
    let gradients = weigh(chained).backward();
    let expected = [x, theta].map(|leaf| rows::values(leaf.grad(&gradients).unwrap()));

    let [x, theta] = leaves();
    let wanted = Wanted { inputs: x_values.clone(), controls: theta_values.clone(), scales: scales.clone() };
    assert_eq!(scales.inputs.allow(&wanted.inputs), measured().inputs.into_values());
    let at_once = physical_in_full_scales(x.clone(), Some(theta.clone()), (measured(), wanted), twin);
    assert_eq!(rows::values(at_once.clone()), value);
    let gradients = weigh(at_once).backward();
    assert_eq!([x, theta].map(|leaf| rows::values(leaf.grad(&gradients).unwrap())), expected);
    assert_eq!((expected[0][2], expected[0][4], expected[1][3]), (0.0, 0.0, 0.0));
}

/// Example 3 of the reference implementation: the plant is `f(x) = 2 x^θ`, its twin `2.01 x^θ`, applied n times in f64.
struct Toy;

impl Toy {
    /// The values before each application and at the end.
    fn forward(factor: f64, theta: f64, n: usize) -> Vec<f64> {
        let mut values: Vec<f64> = vec![1.0];
        for step in 0..n {
            values.push(factor * values[step].powf(theta));
        }
        values
    }

    /// Derivatives of the end by the start and by θ: the slope of `factor·x^θ` along `values`.
    fn backward(factor: f64, theta: f64, values: &[f64]) -> (f64, f64) {
        let (mut to_x, mut to_theta) = (1.0, 0.0);
        for &x in values[..values.len() - 1].iter().rev() {
            to_theta += to_x * factor * x.powf(theta) * x.ln();
            to_x *= factor * theta * x.powf(theta - 1.0);
        }
        (to_x, to_theta)
    }
}

#[test]
fn the_toy_of_the_reference_gives_its_table() {
    let table = [
        (1, 0.500, 0.500, 0.500),
        (2, 1.053, 1.053, 1.002),
        (5, 3.092, 3.092, 2.525),
        (10, 8.273, 8.273, 5.114),
        (15, 17.171, 17.171, 7.768),
        (20, 33.064, 33.064, 10.490),
    ];
    for (n, forward, in_silico, aware) in table {
        let (real, twin) = (Toy::forward(2.0, 1.1, n), Toy::forward(2.01, 1.1, n));
        let slope = Toy::backward(2.0, 1.1, &real).0;
        let gaps = [
            twin[n] / real[n] - 1.0,
            Toy::backward(2.01, 1.1, &twin).0 / slope - 1.0,
            Toy::backward(2.01, 1.1, &real).0 / slope - 1.0,
        ];
        for (gap, published) in gaps.iter().zip([forward, in_silico, aware]) {
            assert!((100.0 * gap - published).abs() < 5.1e-4, "n = {n}: {} against {published}", 100.0 * gap);
        }
    }
}

#[test]
fn the_toy_of_the_reference_trains_to_its_end_points() {
    // 10 applications, target 1e5, 150 steps of plain descent on the squared error, 1e-15, from θ = 1.1.
    let train = |forward: f64| {
        let mut theta: f64 = 1.1;
        for _ in 0..150 {
            let values = Toy::forward(forward, theta, 10);
            theta -= 1e-15 * 2.0 * (values[10] - 1e5) * Toy::backward(2.01, theta, &values).1;
        }
        (theta, Toy::forward(2.0, theta, 10)[10])
    };
    let ((aware, aware_output), (in_silico, in_silico_output)) = (train(2.0), train(2.01));
    assert!((aware - 1.108_598).abs() < 5.1e-7 && (aware_output - 99_992.0).abs() < 0.6, "{aware} {aware_output}");
    assert!(
        (in_silico - 1.107_108).abs() < 5.1e-7 && (in_silico_output - 92_098.0).abs() < 0.6,
        "{in_silico} {in_silico_output}"
    );
}

/// The toy's twin as the program's own operation differentiates it.
#[derive(Debug)]
struct Power(Card);

impl Twin for Power {
    fn card(&self) -> &Card {
        &self.0
    }

    fn predict(&self, inputs: &Batch, controls: &[f32]) -> Batch {
        Batch::from_fn(inputs.rows(), 1, |row, _| 2.01 * inputs.row(row)[0].powf(controls[0]))
    }

    fn pull_back(&self, inputs: &Batch, controls: &[f32], cotangents: &Batch) -> Pullback {
        let theta = controls[0];
        let x = |row: usize| inputs.row(row)[0];
        let to_input = |row: usize, _| cotangents.row(row)[0] * 2.01 * theta * x(row).powf(theta - 1.0);
        let to_theta =
            (0..inputs.rows()).map(|row| cotangents.row(row)[0] * 2.01 * x(row).powf(theta) * x(row).ln()).sum();
        Pullback { inputs: Batch::from_fn(inputs.rows(), 1, to_input), controls: vec![to_theta] }
    }
}

#[test]
fn the_operation_chains_the_twin_along_what_was_measured() {
    let twin = Arc::new(Power(card(1, 1, 1)));
    let theta = tensor(vec![1.1], [1, 1]).require_grad();
    let start = tensor(vec![1.0], [1, 1]).require_grad();
    let (mut value, mut inputs) = (start.clone(), 1.0_f32);
    for _ in 0..10 {
        let output = 2.0 * inputs.powf(1.1);
        let batch = |value| Batch::new(1, vec![value]).unwrap();
        let measured = Arc::new(Measured { inputs: batch(inputs), controls: vec![1.1], outputs: batch(output) });
        value = physical(value, Some(theta.clone()), measured, twin.clone());
        inputs = output;
    }
    let gradients = value.sum().backward();
    let (to_x, to_theta) = Toy::backward(2.01, 1.1, &Toy::forward(2.0, 1.1, 10));
    for (gradient, expected) in [(start.grad(&gradients), to_x), (theta.grad(&gradients), to_theta)] {
        let gradient = f64::from(rows::values(gradient.unwrap())[0]);
        assert!((gradient / expected - 1.0).abs() < 1e-4, "{gradient} against {expected}");
    }
}
