//! The digital layers give what their equations say, and their gradients those of differences.

use std::sync::Arc;

use burn::tensor::{Device, Tensor, TensorData};
use sims::{Key, TrainedRule};

use super::{Ends, LayerConfig, Network, Pass, Purpose, Rollout, State};
use crate::Error;
use crate::data::CellsConfig;
use crate::document::Document;
use crate::network::rows;
use crate::plants::{Derivatives, Forward, Lab};

/// Builds the layers of a TOML text on rows of `inputs` values.
fn build(text: &str, inputs: usize, classes: usize) -> Result<Network, Error> {
    build_between(text, [inputs, classes])
}

fn build_between(text: &str, ends: impl Into<Ends>) -> Result<Network, Error> {
    let document = Document::parse("layers.toml", text)?;
    let mut table = document.table().clone();
    let layers: Vec<LayerConfig> = table.remove("layers").and_then(|layers| layers.try_into().ok()).unwrap();
    let lab = Lab::new(vec![], Derivatives::Twin)?;
    Network::build(&layers, &document, &lab, ends)
}

/// What the network gives for one row, with its weights multiplied by `factor`.
fn outputs(network: &Network, row: &[f32], factor: f32) -> Vec<f32> {
    let device = Device::flex();
    let weights: Vec<Tensor<2>> = network
        .weights(Key::new(1))
        .into_iter()
        .map(|(_, weight)| Tensor::from_data(TensorData::new(weight.values, weight.shape), &device).mul_scalar(factor))
        .collect();
    let mut lab = Lab::new(vec![], Derivatives::Twin).unwrap();
    let mut state = State::default();
    let mut pass = Pass::new(&mut lab, Forward::Twin, Purpose::Test, &mut state).penalized(Some(20.0));
    let input = Tensor::from_data(TensorData::new(row.to_vec(), [1, row.len()]), &device);
    rows::values(network.forward(input, &weights, &mut pass).unwrap())
}

#[test]
fn repeat_lays_out_rows_and_holds_values() {
    let rows = build("layers = [{ kind = \"repeat\", times = 2 }]", 2, 4).unwrap();
    assert_eq!(outputs(&rows, &[1.0, 2.0], 1.0), [1.0, 2.0, 1.0, 2.0]);
    let held = build("layers = [{ kind = \"repeat\", times = 2, order = \"hold\" }]", 2, 4).unwrap();
    assert_eq!(outputs(&held, &[1.0, 2.0], 1.0), [1.0, 1.0, 2.0, 2.0]);
    let row = build("layers = [{ kind = \"repeat\", width = 5 }]", 2, 5).unwrap();
    assert_eq!(outputs(&row, &[1.0, 2.0], 1.0), [1.0, 2.0, 1.0, 2.0, 1.0]);
    let held = build("layers = [{ kind = \"repeat\", width = 5, order = \"hold\" }]", 2, 5).unwrap();
    assert_eq!(outputs(&held, &[1.0, 2.0], 1.0), [1.0, 1.0, 1.0, 2.0, 2.0]);
    let error =
        |keys: &str| build(&format!("layers = [{{ kind = \"repeat\", {keys} }}]"), 4, 4).err().unwrap().to_string();
    assert!(error("width = 3").ends_with("is 3, but 4 values come in: give at least as many"));
    assert!(error("width = 8, times = 2").ends_with("give one of the two"));
    assert!(error("times = 0").ends_with("is 0: repeat at least once"));
}

#[test]
fn scale_offset_and_skip_add_up() {
    let text = "layers = [{ kind = \"scale-offset\", scale = 3.0, offset = 1.0 }, { kind = \"scale-offset\", scale = 2.0 }, \
                { kind = \"skip\", from = 0, gain = 0.5 }]";
    // (3x + 1)·2 + 0.5·(3x + 1)
    assert_eq!(outputs(&build(text, 2, 2).unwrap(), &[1.0, -1.0], 1.0), [10.0, -5.0]);
    let trainable = text.replace("gain = 0.5", "gain = 0.5, trainable = true");
    assert_eq!(outputs(&build(&trainable, 2, 2).unwrap(), &[1.0, -1.0], 1.0), [10.0, -5.0]);
    let error = build(&text.replace("from = 0", "from = 2"), 2, 2).err().unwrap().to_string();
    assert!(error.contains("is layer 2, which does not come before"), "{error}");
}

#[test]
fn bins_reduce_to_means_or_loudness() {
    let text = "layers = [{ kind = \"bins\", bins = 2, attenuation = 10.0 }]";
    assert_eq!(outputs(&build(text, 5, 2).unwrap(), &[1.0, 3.0, -1.0, 1.0, 9.0], 1.0), [20.0, 0.0]);
    let loud = text.replace("bins = 2", "bins = 2, statistic = \"root-mean-square\"");
    let values = outputs(&build(&loud, 4, 2).unwrap(), &[3.0, -3.0, 0.0, 0.0], 1.0);
    assert!((values[0] - 30.0).abs() < 1e-4 && values[1].abs() < 1e-4, "{values:?}");
}

#[test]
fn linear_is_a_matrix_and_an_offset() {
    let network = build("layers = [{ kind = \"linear\", width = 3 }]", 2, 3).unwrap();
    let weights = network.weights(Key::new(1));
    let (matrix, offset) = (&weights[0].1, &weights[1].1);
    assert_eq!((weights[0].0.as_str(), matrix.shape), ("layers.0.linear.matrix", [2, 3]));
    for (column, value) in outputs(&network, &[2.0, -1.0], 1.0).into_iter().enumerate() {
        let expected = 2.0 * matrix.values[column] - matrix.values[3 + column] + offset.values[column];
        assert!((value - expected).abs() < 1e-6);
    }
    let zeros = outputs(&network, &[2.0, -1.0], 0.0);
    assert_eq!(zeros, [0.0; 3]);
}

#[test]
fn pad_pick_and_scale_embed_and_read_out() {
    let text = "layers = [{ kind = \"pad\", width = 5, value = 0.5 }, { kind = \"pick\", count = 3 }, \
                { kind = \"scale\", scale = 2.0 }]";
    let network = build(text, 3, 3).unwrap();
    assert_eq!(outputs(&network, &[1.0, 2.0, 3.0], 1.0), [6.0, 1.0, 1.0]);
    let weights = network.weights(Key::new(1));
    assert_eq!((weights.len(), weights[0].0.as_str(), weights[0].1.shape), (1, "layers.2.scale.scale", [1, 1]));
    let fixed =
        text.replace("count = 3", "from = 1, count = 3").replace("scale = 2.0", "scale = 2.0, trainable = false");
    let network = build(&fixed, 3, 3).unwrap();
    assert_eq!(outputs(&network, &[1.0, 2.0, 3.0], 1.0), [4.0, 6.0, 1.0]);
    assert!(network.weights(Key::new(1)).is_empty());
    let error = |text: &str| build(text, 3, 3).err().unwrap().to_string();
    assert!(
        error(&text.replace("width = 5", "width = 2")).contains("is 2, but 3 values come in: pad to at least as many")
    );
    let far = error(&text.replace("count = 3", "from = 4, count = 3"));
    assert!(far.contains("is 3 from value 4 on, but 5 values come in, numbered from 0: pick 1 to 1"), "{far}");
}

/// The largest difference of the gradients of `Σ cos(k)·y_k`, for weights and inputs, from central differences, over the largest slope.
fn gradient_error(text: &str, row: &[f32], width: usize) -> f64 {
    let network = build(text, row.len(), width).unwrap();
    let device = rows::device().autodiff();
    let start: Vec<(Vec<f32>, [usize; 2])> =
        network.weights(Key::new(2)).into_iter().map(|(_, weight)| (weight.values, weight.shape)).collect();
    let factors: Vec<f32> = (0..width).map(|k| (k as f32).cos()).collect();
    let run = |row: &[f32], weights: &[(Vec<f32>, [usize; 2])], back: bool| {
        let leaf = |(values, shape): &(Vec<f32>, [usize; 2])| {
            Tensor::<2>::from_data(TensorData::new(values.clone(), *shape), &device).require_grad()
        };
        let input = leaf(&(row.to_vec(), [1, row.len()]));
        let weights: Vec<Tensor<2>> = weights.iter().map(leaf).collect();
        let (mut lab, mut state) = (Lab::new(vec![], Derivatives::Twin).unwrap(), State::default());
        let mut pass = Pass::new(&mut lab, Forward::Twin, Purpose::Test, &mut state);
        let outputs = network.forward(input.clone(), &weights, &mut pass).unwrap();
        let sum = (outputs * Tensor::from_data(TensorData::new(factors.clone(), [1, width]), &device)).sum();
        let value = f64::from(rows::values(sum.clone().detach())[0]);
        let slopes = back.then(|| {
            let gradients = sum.backward();
            let all = std::iter::once(&input).chain(&weights);
            all.flat_map(|leaf| rows::values(leaf.grad(&gradients).unwrap())).collect::<Vec<f32>>()
        });
        (value, slopes.unwrap_or_default())
    };
    let slopes = run(row, &start, true).1;
    let largest = slopes.iter().fold(0.0_f32, |largest, slope| largest.max(slope.abs()));
    let mut worst = 0.0_f64;
    for (place, slope) in slopes.iter().enumerate() {
        let at = |by: f32| {
            let (mut row, mut weights, mut rest) = (row.to_vec(), start.clone(), place);
            if rest < row.len() {
                row[rest] += by;
            } else {
                rest -= row.len();
                for (values, _) in &mut weights {
                    if rest < values.len() {
                        values[rest] += by;
                        break;
                    }
                    rest -= values.len();
                }
            }
            run(&row, &weights, false).0
        };
        let difference = (at(1e-2) - at(-1e-2)) / 2e-2;
        worst = worst.max((f64::from(*slope) - difference).abs() / f64::from(largest));
    }
    worst
}

#[test]
fn convolutions_and_pools_are_sums_and_largest_values_of_windows() {
    let text = "layers = [{ kind = \"convolution\", channels = 1, size = 2 }]";
    let network = build(text, 9, 4).unwrap();
    let kernel = network.weights(Key::new(1))[0].1.clone();
    assert_eq!(kernel.shape, [1, 4]);
    let offset = network.weights(Key::new(1))[1].1.values[0];
    let image = [1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0, 9.0];
    let window = |at: [usize; 4]| at.iter().zip(&kernel.values).map(|(&k, w)| image[k] * w).sum::<f32>() + offset;
    let found = outputs(&network, &image, 1.0);
    for (found, wanted) in found.iter().zip([[0, 1, 3, 4], [1, 2, 4, 5], [3, 4, 6, 7], [4, 5, 7, 8]].map(window)) {
        assert!((found - wanted).abs() < 1e-5, "{found}, not {wanted}");
    }
    // With a margin and steps of two: four windows of which each sees one corner.
    let padded =
        build("layers = [{ kind = \"convolution\", channels = 2, size = 2, padding = 1, stride = 2 }]", 9, 8).unwrap();
    let found = outputs(&padded, &image, 1.0);
    let (kernels, offsets) = (padded.weights(Key::new(1))[0].1.clone(), padded.weights(Key::new(1))[1].1.clone());
    assert!((found[0] - (kernels.values[3] * 1.0 + offsets.values[0])).abs() < 1e-5);
    assert!((found[4] - (kernels.values[7] * 1.0 + offsets.values[1])).abs() < 1e-5);
    let max = build("layers = [{ kind = \"pool\", statistic = \"max\", size = 2, stride = 1 }]", 9, 4).unwrap();
    assert_eq!(outputs(&max, &image, 1.0), [5.0, 6.0, 8.0, 9.0]);
    let mean =
        build("layers = [{ kind = \"pool\", statistic = \"mean\", size = 3, image = [1, 3, 3] }]", 9, 1).unwrap();
    assert_eq!(outputs(&mean, &image, 1.0), [5.0]);
    // What does not fill a window is left out, and images go on through layers that keep their number of values.
    let chain = "layers = [{ kind = \"convolution\", channels = 2, size = 3, padding = 1 }, { kind = \"activation\", function = \"relu\" }, \
                 { kind = \"pool\", statistic = \"mean\" }, { kind = \"convolution\", channels = 3, size = 2 }]";
    assert_eq!(outputs(&build(chain, 25, 3).unwrap(), &[0.5; 25], 1.0).len(), 3);
    let error = |text: &str, inputs: usize| build(text, inputs, 1).err().unwrap().to_string();
    assert!(error(text, 8).contains("8 values are no square image"), "{}", error(text, 8));
    let large = error("layers = [{ kind = \"pool\", statistic = \"max\", size = 4 }]", 9);
    assert!(large.contains("is 4 on images of 3 × 3"), "{large}");
    let wrong = error("layers = [{ kind = \"pool\", statistic = \"max\", image = [2, 2, 2] }]", 9);
    assert!(wrong.contains("is [2, 2, 2], channels, height and width, but 9 values come in"), "{wrong}");
}

#[test]
fn magnitudes_are_intensities_of_length_one() {
    let of = |of: &str, more: &str| format!("layers = [{{ kind = \"magnitude\", of = \"{of}\"{more} }}]");
    let quadratures = build(&of("quadratures", ""), 4, 2).unwrap();
    // |1 + 2i|² = 5, |0 + i|² = 1.
    let found = outputs(&quadratures, &[1.0, 0.0, 2.0, 1.0], 1.0);
    let length = 26.0_f32.sqrt();
    assert!((found[0] - 5.0 / length).abs() < 1e-6 && (found[1] - 1.0 / length).abs() < 1e-6, "{found:?}");
    let plain = build(&of("amplitudes", ", normalized = false"), 2, 2).unwrap();
    assert_eq!(outputs(&plain, &[3.0, -2.0], 1.0), [9.0, 4.0]);
    let intensities = build(&of("intensities", ""), 2, 2).unwrap();
    assert_eq!(outputs(&intensities, &[3.0, 4.0], 1.0), [0.6, 0.8]);
    assert!(outputs(&intensities, &[0.0, 0.0], 1.0).iter().all(|value| *value == 0.0), "the dark stays dark");
    let error = build(&of("quadratures", ""), 3, 2).err().unwrap().to_string();
    assert!(error.contains("but 3 values come in"), "{error}");
    let error = build(&of("intensities", ", normalized = false"), 2, 2).err().unwrap().to_string();
    assert!(error.contains("would do nothing"), "{error}");
}

#[test]
fn layers_of_images_have_the_slopes_of_differences() {
    let row: Vec<f32> = (0..25).map(|k| (1.3 * k as f32).sin()).collect();
    for (text, inputs, width) in [
        ("layers = [{ kind = \"convolution\", channels = 2, size = 3, padding = 1, stride = 2 }]", 25, 18),
        ("layers = [{ kind = \"pool\", statistic = \"max\" }]", 16, 4),
        ("layers = [{ kind = \"pool\", statistic = \"mean\", size = 3, stride = 2 }]", 25, 4),
        ("layers = [{ kind = \"magnitude\", of = \"quadratures\" }]", 8, 4),
        ("layers = [{ kind = \"magnitude\", of = \"amplitudes\", normalized = false }]", 8, 8),
    ] {
        let error = gradient_error(text, &row[..inputs], width);
        assert!(error < 2e-3, "{text}: {error}");
    }
}

#[test]
fn the_way_back_through_a_large_lattice_takes_little_memory() {
    let rule = "layers = [{ kind = \"linear\", width = 96 }, { kind = \"activation\", function = \"relu\" }, { kind = \"linear\", width = 12 }]";
    let bytes = |size: usize, checkpoints: Option<usize>| {
        let cells = CellsConfig { size, checkpoints, ..CellsConfig::default() };
        build_between(rule, &cells).unwrap().rollout_bytes(4).unwrap()
    };
    let gibibytes = |bytes: u64| bytes as f64 / f64::from(1 << 30);
    // 64 steps of 4 lattices of 128 × 128 cells.
    let least = bytes(128, None);
    assert!(gibibytes(least) < 1.0, "{} GiB", gibibytes(least));
    assert!(gibibytes(bytes(128, Some(1))) > 10.0, "without pieces it is too much");
    assert!([2, 8, 32, 63].iter().all(|checkpoints| least <= bytes(128, Some(*checkpoints))));
    assert_eq!(bytes(12, None), bytes(12, Some(1)), "what is small is kept whole");
    assert!(build("layers = [{ kind = \"linear\", width = 2 }]", 2, 2).unwrap().rollout_bytes(4).is_none());
}

#[test]
fn a_training_that_begins_with_a_digital_rule_grows_what_the_rule_grows() {
    let cells = CellsConfig { size: 12, channels: 5, clip: Some(2.0), ..CellsConfig::default() };
    let mut stream = Key::new(2).stream();
    let mut draw = |count: usize, scale: f32| (0..count).map(|_| scale * stream.normal()).collect::<Vec<f32>>();
    let rule = [draw(21 * 7, 0.7), draw(8 * 5, 0.15)];
    // Within the clip: the kernel leaves cells that do not change as they are.
    let mut states = draw(144 * 5, 0.5);
    let layers = "layers = [{ kind = \"linear\", width = 7 }, { kind = \"activation\", function = \"clipped-relu\" }, { kind = \"linear\", width = 5 }]";
    let begin = |layers: &str| {
        let network = build_between(layers, &cells).unwrap();
        network.beginning_with(Some(&rule), &Document::parse("layers.toml", layers).unwrap())
    };
    let network = begin(layers).unwrap();
    let weights: Vec<Tensor<2>> =
        network.weights(Key::new(1)).into_iter().map(|(_, weight)| rows::tensor(weight.values, weight.shape)).collect();
    let (mut lab, mut state) = (Lab::new(vec![], Derivatives::Twin).unwrap(), State::default());
    let pass = &mut Pass::new(&mut lab, Forward::Plant, Purpose::Test, &mut state);
    let (lattice, rollout) = (Arc::new(cells.lattice()), Rollout { key: Key::new(3), first: 0, steps: 4 });
    let found = network.roll((states.clone(), &lattice), (&weights, rollout), (None, pass)).unwrap();
    let digital = TrainedRule::new([&rule[0], &rule[1]], 5, cells.width()).unwrap();
    let mut next = states.clone();
    for step in 0..4 {
        digital.step(&lattice, &states, &mut next, (cells.fire_rate, rollout.key.number(step)));
        std::mem::swap(&mut states, &mut next);
    }
    let off = found.iter().zip(&states).map(|(found, wanted)| (found - wanted).abs()).fold(0.0, f32::max);
    assert!(off < 1e-4 && states.iter().any(|state| 0.5 < state.abs()), "{off}");
    let refused = |from: &str, to: &str| begin(&layers.replace(from, to)).err().unwrap().to_string();
    assert!(refused("width = 7", "width = 6").contains("has 7 hidden values: give 7"));
    assert!(
        refused("activation\", function = \"clipped-relu\"", "scale\", scale = 2.0")
            .contains("are linear, scale, linear, but")
    );
}
