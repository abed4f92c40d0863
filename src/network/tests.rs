//! The digital layers give what their equations say, and their gradients those of differences.

use burn::tensor::{Device, Tensor, TensorData};
use sims::Key;

use super::{LayerConfig, Network, Pass, Purpose, State};
use crate::Error;
use crate::document::Document;
use crate::network::rows;
use crate::plants::{Derivatives, Forward, Lab};

/// Builds the layers of a TOML text on rows of `inputs` values.
fn build(text: &str, inputs: usize, classes: usize) -> Result<Network, Error> {
    let document = Document::parse("layers.toml", text)?;
    let mut table = document.table().clone();
    let layers: Vec<LayerConfig> = table.remove("layers").and_then(|layers| layers.try_into().ok()).unwrap();
    let lab = Lab::new(vec![], Derivatives::Twin)?;
    Network::build(&layers, &document, &lab, [inputs, classes])
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
