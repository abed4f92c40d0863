//! The penalty and its slopes are those of differences in double precision; read-outs are built, chosen and remembered.

use burn::tensor::{Tensor, TensorData};
use serde::Deserialize;
use sims::Key;

use super::*;
use crate::network::{NamedTensor, Purpose, Weight};
use crate::plants::{Derivatives, Forward};

#[derive(Deserialize)]
struct File {
    layers: Vec<LayerConfig>,
    heads: HeadsConfig,
}

fn build(text: &str, ends: [usize; 2]) -> Result<Network, Error> {
    let document = Document::parse("heads.toml", text)?;
    let file: File = toml::from_str(text).unwrap();
    let lab = crate::plants::Lab::new(vec![], Derivatives::Twin)?;
    let layout = Layout { layers: &file.layers, heads: Some(&file.heads) };
    Network::build(layout, &document, &lab, ends)
}

/// Runs `with` in a pass over no plants.
fn pass<T>(with: impl FnOnce(&mut Pass<'_>) -> T) -> T {
    let mut lab = crate::plants::Lab::new(vec![], Derivatives::Twin).unwrap();
    let mut state = State::default();
    with(&mut Pass::new(&mut lab, Forward::Twin, Purpose::Test, &mut state))
}

fn wave(count: usize, phase: f64) -> Vec<f32> {
    (0..count).map(|k| (0.7 * (1.3 * k as f64 + phase).sin() + 0.05) as f32).collect()
}

/// erf in double precision, by its series.
fn erf(x: f64) -> f64 {
    let (mut term, mut sum) = (x, x);
    for n in 1..60 {
        term *= -x * x / f64::from(n);
        sum += term / f64::from(2 * n + 1);
    }
    2.0 / std::f64::consts::PI.sqrt() * sum
}

/// Each function in double precision.
fn function(name: &str, x: f64) -> f64 {
    match name {
        "relu" => x.max(0.0),
        "clipped-relu" => x.clamp(0.0, 2.0),
        "leaky-relu" => {
            if x > 0.0 {
                x
            } else {
                0.01 * x
            }
        }
        "gelu" => 0.5 * x * (1.0 + erf(x / 2.0_f64.sqrt())),
        "silu" => x / (1.0 + (-x).exp()),
        "sigmoid" => 1.0 / (1.0 + (-x).exp()),
        "tanh" => x.tanh(),
        "softplus" => x.exp().ln_1p(),
        "abs" => x.abs(),
        "square" => x * x,
        _ => x.sin(),
    }
}

const FUNCTIONS: [&str; 11] =
    ["relu", "clipped-relu", "leaky-relu", "gelu", "silu", "sigmoid", "tanh", "softplus", "abs", "square", "sin"];

/// A read-out of every kind of layer but `scale`, 5 → 2, in double precision: repeat to 7, scale and offset, linear to 6, the function, pick 5 from 1, pad to 6,
/// bins by root mean square to 3, linear to 2.
fn layers(name: &str) -> String {
    let function = format!("{{ kind = \"activation\", function = \"{name}\" }}");
    format!(
        "layers = []\n[heads]\ncount = 3\nlayers = [{{ kind = \"repeat\", width = 7 }}, {{ kind = \"scale-offset\", scale_spread = 0.3, offset_spread = 0.2 }}, \
         {{ kind = \"linear\", width = 6 }}, {function}, {{ kind = \"pick\", from = 1, count = 5 }}, {{ kind = \"pad\", width = 6 }}, \
         {{ kind = \"scale\", scale = 1.2 }}, {{ kind = \"bins\", bins = 3, statistic = \"root-mean-square\" }}, {{ kind = \"linear\", width = 2 }}]\n"
    )
}

fn matrix(x: &[f64], w: &[f64], b: &[f64]) -> Vec<f64> {
    (0..b.len()).map(|k| b[k] + x.iter().enumerate().map(|(i, x)| x * w[i * b.len() + k]).sum::<f64>()).collect()
}

/// The weights of the read-out: scale, offset, matrix, offset, scale, attenuation, offset, matrix, offset.
fn read_out(name: &str, x: &[f64], w: &[Vec<f64>]) -> Vec<f64> {
    let repeated: Vec<f64> = (0..7).map(|place| x[place % 5]).collect();
    let scaled: Vec<f64> = repeated.iter().zip(&w[0]).zip(&w[1]).map(|((x, s), o)| x * s + o).collect();
    let hidden: Vec<f64> = matrix(&scaled, &w[2], &w[3]).into_iter().map(|x| function(name, x)).collect();
    let mut picked = hidden[1..6].to_vec();
    picked.push(0.0);
    let binned: Vec<f64> = picked
        .chunks(2)
        .enumerate()
        .map(|(bin, pair)| {
            let power = pair.iter().map(|x| (w[4][0] * x).powi(2)).sum::<f64>() / 2.0 + 1e-12;
            power.sqrt() * w[5][bin] + w[6][bin]
        })
        .collect();
    matrix(&binned, &w[7], &w[8])
}

/// The sum of squared cosines in double precision: gradients by differences, in the metric `s`.
fn exact(name: &str, x: &[f64], all: &[Vec<f64>], cotangents: &[f64], s: &[f64]) -> f64 {
    let (own, shots) = (all.len() / 3, x.len() / 5);
    let mut sum = 0.0;
    for shot in 0..shots {
        let row = &x[5 * shot..][..5];
        let gradient = |head: usize| -> Vec<f64> {
            let score = |row: &[f64]| {
                let said = read_out(name, row, &all[head * own..(head + 1) * own]);
                said.iter().zip(&cotangents[2 * shot..]).map(|(a, b)| a * b).sum::<f64>()
            };
            (0..5)
                .map(|k| {
                    let at = |by: f64| {
                        let mut moved = row.to_vec();
                        moved[k] += by;
                        score(&moved)
                    };
                    (at(1e-5) - at(-1e-5)) / 2e-5
                })
                .collect()
        };
        let gradients: Vec<Vec<f64>> = (0..3).map(gradient).collect();
        let product = |a: &[f64], b: &[f64]| (0..25).map(|at| a[at / 5] * s[at] * b[at % 5]).sum::<f64>();
        for m in 0..3 {
            for n in (0..3).filter(|n| *n != m) {
                let (a, b) = (&gradients[m], &gradients[n]);
                sum += product(a, b).powi(2) / (product(a, a) * product(b, b));
            }
        }
    }
    sum / shots as f64
}

#[test]
fn the_penalty_and_its_slopes_are_those_of_differences_in_double_precision() {
    let device = rows::device().autodiff();
    let identity: Vec<f32> = (0..25).map(|at| if at % 6 == 0 { 1.0 } else { 0.0 }).collect();
    for name in FUNCTIONS {
        let network = build(&layers(name), [5, 2]).unwrap();
        let values: Vec<Weight> = network.weights(Key::new(4)).into_iter().map(|(_, weight)| weight).collect();
        let tensor =
            |values: Vec<f32>, shape: [usize; 2]| Tensor::<2>::from_data(TensorData::new(values, shape), &device);
        let weights: Vec<Tensor<2>> =
            values.iter().map(|weight| tensor(weight.values.clone(), weight.shape).require_grad()).collect();
        let (inputs, cotangents) = (wave(20, 0.4), wave(8, 1.1));
        let readings = tensor(inputs.clone(), [4, 5]);
        let spread = Network::spread(&readings);
        for metric in [None, Some(spread)] {
            let by = metric.clone().map(|metric| tensor(metric, [5, 5]));
            let found = pass(|pass| {
                network.alignment(&readings, &weights, (&[tensor(cotangents.clone(), [4, 2])], by.as_ref()), pass)
            });
            let found = found.unwrap().unwrap();
            let wide = |values: &[f32]| values.iter().map(|value| f64::from(*value)).collect::<Vec<_>>();
            let all: Vec<Vec<f64>> = values.iter().map(|weight| wide(&weight.values)).collect();
            let exactly = |all: &[Vec<f64>]| {
                exact(name, &wide(&inputs), all, &wide(&cotangents), &wide(metric.as_ref().unwrap_or(&identity)))
            };
            let value = f64::from(rows::values(found.clone().detach())[0]);
            assert!((value - exactly(&all)).abs() < 1e-3, "{name}: {value}, not {}", exactly(&all));
            let slopes = found.backward();
            for (at, weight) in weights.iter().enumerate() {
                let Some(slope) = weight.grad(&slopes) else {
                    assert!(
                        [6, 8].contains(&(at % 9)),
                        "{name}: only what is added behind the last bend has no slope, not weight {at}"
                    );
                    continue;
                };
                let slope = rows::values(slope);
                for place in [0, slope.len() / 2, slope.len() - 1] {
                    let moved = |by: f64| {
                        let mut all = all.clone();
                        all[at][place] += by;
                        exactly(&all)
                    };
                    let difference = (moved(1e-4) - moved(-1e-4)) / 2e-4;
                    let error = (f64::from(slope[place]) - difference).abs();
                    assert!(
                        error < 5e-3 * difference.abs().max(1.0),
                        "{name}: weight {at}, {place}: {}, not {difference}",
                        slope[place]
                    );
                }
            }
        }
    }
}

#[test]
fn a_read_out_that_says_nothing_of_a_shot_is_like_no_other_and_has_no_slope() {
    let text = "layers = []\n[heads]\ncount = 2\nlayers = [{ kind = \"linear\", width = 3 }, { kind = \"activation\", function = \"relu\" }, \
                { kind = \"linear\", width = 2 }]\n";
    let network = build(text, [4, 2]).unwrap();
    let mut values: Vec<Weight> = network.weights(Key::new(4)).into_iter().map(|(_, weight)| weight).collect();
    // No unit of the first read-out is above 0 for any shot.
    values[1].values.fill(-100.0);
    let device = rows::device().autodiff();
    let tensor = |values: Vec<f32>, shape: [usize; 2]| Tensor::<2>::from_data(TensorData::new(values, shape), &device);
    let weights: Vec<Tensor<2>> =
        values.iter().map(|weight| tensor(weight.values.clone(), weight.shape).require_grad()).collect();
    let readings = tensor(wave(12, 0.4), [3, 4]);
    for spread in [None, Some(tensor(Network::spread(&readings), [4, 4]))] {
        let found = pass(|pass| {
            network.alignment(&readings, &weights, (&[tensor(wave(6, 1.1), [3, 2])], spread.as_ref()), pass)
        });
        let found = found.unwrap().unwrap();
        assert_eq!(rows::values(found.clone().detach())[0], 0.0);
        let slopes = found.backward();
        for slope in weights.iter().filter_map(|weight| weight.grad(&slopes)) {
            assert!(rows::values(slope).iter().all(|slope| *slope == 0.0));
        }
    }
}

#[test]
fn the_spread_of_readings_makes_the_angle_independent_of_their_units() {
    let text = "layers = []\n[heads]\ncount = 4\nlayers = [{ kind = \"linear\", width = 3 }]\n";
    let network = build(text, [2, 3]).unwrap();
    let weights: Vec<Tensor<2>> =
        network.weights(Key::new(2)).into_iter().map(|(_, weight)| rows::tensor(weight.values, weight.shape)).collect();
    let readings = rows::tensor(wave(40, 0.2), [20, 2]);
    let units = rows::tensor(vec![1000.0, 0.0, 0.0, 0.01], [2, 2]);
    let back = rows::tensor(vec![0.001, 0.0, 0.0, 100.0], [2, 2]);
    let direction = rows::tensor(wave(60, 0.3), [20, 3]);
    let of = |readings: &Tensor<2>, weights: &[Tensor<2>]| {
        let spread = rows::tensor(Network::spread(readings), [2, 2]);
        let found =
            pass(|pass| network.alignment(readings, weights, (std::slice::from_ref(&direction), Some(&spread)), pass));
        rows::values(found.unwrap().unwrap())[0]
    };
    // The same read-outs for readings in other units.
    let moved: Vec<Tensor<2>> = weights
        .iter()
        .map(|weight| if weight.dims()[0] == 2 { back.clone().matmul(weight.clone()) } else { weight.clone() })
        .collect();
    let (one, other) = (of(&readings, &weights), of(&readings.clone().matmul(units), &moved));
    assert!((one - other).abs() < 1e-3 * one && one > 0.1, "{one} and {other}");
}

#[test]
fn read_outs_share_what_is_before_them_and_are_named() {
    let text = "layers = [{ kind = \"scale-offset\" }, { kind = \"normalize\" }, { kind = \"linear\", width = 2 }]\n[heads]\ncount = 2\n";
    let network = build(text, [3, 2]).unwrap();
    let names: Vec<String> = network.weights(Key::new(1)).into_iter().map(|(name, _)| name).collect();
    let shared = [
        "layers.0.scale-offset.scale",
        "layers.0.scale-offset.offset",
        "layers.1.normalize.scale",
        "layers.1.normalize.offset",
    ];
    assert_eq!(names[..4], shared);
    assert_eq!(names[4..6], ["heads.0.layers.2.linear.matrix", "heads.0.layers.2.linear.offset"]);
    assert_eq!(names[6..], ["heads.1.layers.2.linear.matrix", "heads.1.layers.2.linear.offset"]);
    let weights = network.weights(Key::new(1));
    assert_ne!(weights[4].1.values, weights[6].1.values, "each begins elsewhere");
}

#[test]
fn all_together_say_the_mean_probability_until_one_is_selected() {
    let text = "layers = []\n[heads]\ncount = 2\nlayers = [{ kind = \"linear\", width = 2 }]\n";
    let network = build(text, [2, 2]).unwrap();
    let weights: Vec<Tensor<2>> =
        network.weights(Key::new(3)).into_iter().map(|(_, weight)| rows::tensor(weight.values, weight.shape)).collect();
    let mut lab = crate::plants::Lab::new(vec![], Derivatives::Twin).unwrap();
    let mut said = |state: &mut State| {
        let mut pass = Pass::new(&mut lab, Forward::Twin, Purpose::Test, state);
        let outputs = network.outputs(rows::tensor(vec![0.5, -1.0], [1, 2]), &weights, &mut pass).unwrap();
        (rows::values(outputs.said), outputs.each.into_iter().map(rows::values).collect::<Vec<_>>())
    };
    let mut state = State::default();
    let (all, each) = said(&mut state);
    let probability = |outputs: &[f32]| {
        let sum: f32 = outputs.iter().map(|value| value.exp()).sum();
        outputs.iter().map(|value| value.exp() / sum).collect::<Vec<_>>()
    };
    let mean = f32::midpoint(probability(&each[0])[0], probability(&each[1])[0]);
    assert!((all[0].exp() - mean).abs() < 1e-6, "{all:?}");
    network.select(Some(1), &mut state);
    assert_eq!(said(&mut state).0, each[1]);
    // It is remembered like the state of a layer, and nothing else is.
    let kept = network.remembered(&state);
    assert_eq!(kept.iter().map(|one| one.name.as_str()).collect::<Vec<_>>(), ["heads.selected"]);
    let mut again = network.recall(&kept).unwrap();
    assert_eq!(said(&mut again).0, each[1]);
    for number in [2.0, -1.0, 0.5, f32::NAN] {
        let bad = NamedTensor { name: "heads.selected".into(), tensor: rows::tensor(vec![number], [1, 1]) };
        assert!(network.recall(&[bad]).unwrap_err().contains("which no layer of this network remembers"), "{number}");
    }
    network.select(None, &mut state);
    assert_eq!(said(&mut state).0, all);
}

#[test]
fn what_cannot_be_a_read_out_is_refused_by_its_key() {
    let error = |text: &str| build(text, [2, 2]).err().unwrap().to_string();
    let said = error("layers = [{ kind = \"linear\", width = 2 }, { kind = \"normalize\" }]\n[heads]\ncount = 2\n");
    assert!(
        said.contains(
            "`heads` is there, but behind the last layer that is physical, normalizes or skips there is none"
        ),
        "{said}"
    );
    let said = error(
        "layers = []\n[heads]\ncount = 2\nlayers = [{ kind = \"linear\", width = 2 }, { kind = \"normalize\" }]\n",
    );
    assert!(said.contains("`heads.layers.1.kind` is `normalize`, which cannot be part of a read-out"), "{said}");
    let said = error(
        "layers = [{ kind = \"linear\", width = 4 }, { kind = \"normalize\" }, { kind = \"pick\", from = 1, count = 2 }]\n[heads]\ncount = 2\n",
    );
    assert!(said.contains("`heads` is there, but a read-out has no layer with weights"), "{said}");
    let said = error(
        "layers = [{ kind = \"linear\", width = 4 }, { kind = \"normalize\" }, { kind = \"bins\", bins = 2 }]\n[heads]\ncount = 2\n",
    );
    assert!(said.contains("`heads` is there, but all weights of a read-out begin at given values"), "{said}");
    let said = error("layers = [{ kind = \"linear\", width = 2 }]\n[heads]\ncount = 1\n");
    assert!(said.contains("`heads.count` is 1: train 2 to 256 read-outs"), "{said}");
    let said = error("layers = []\n[heads]\ncount = 2\nlayers = [{ kind = \"linear\", width = 3 }]\n");
    assert!(said.contains("`heads.layers` end with linear (3 values), but the data has 2 classes"), "{said}");
    let said =
        error("layers = [{ kind = \"scale\" }]\n[heads]\ncount = 2\nlayers = [{ kind = \"linear\", width = 0 }]\n");
    assert!(said.contains("`heads.layers.0.width` is 0"), "{said}");
}
