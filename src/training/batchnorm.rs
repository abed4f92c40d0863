//! What statistics of normalizing layers are held against: the experiments of a small network behind a device whose read-out drifts (after
//! Wu and Johnson, arXiv 2105.07576), each as named numbers (`pnnlab reproduce batchnorm` judges them).
//!
//! ```text
//! 12 → 32 → device → normalize → 32 → device → normalize → 7        each device: y = gain · (tanh z + 0.3 sin z) + offset, z = slope · h + bias
//! ```

mod plants;

use std::sync::Arc;

use calibration::Statistics;
use drivers::{Bank, Batch, Card, Identity, Origin, Ports, Range, Timing};
use serde::Deserialize;
use sims::{Key, Predicted, Pullback, Twin};

use crate::Error;
use crate::data::Dataset;
use crate::document::Document;
use crate::network::{LayerConfig, Network};
use crate::plants::{Derivatives, Lab, Opened};
use crate::training::{BatchOrder, Method, Optimizer, Schedule, Trainer, TrainingConfig, order_warning};

pub use plants::{System, on_other_benches};

/// Channels of the device.
const CHANNELS: usize = 32;
/// How far the centers of the classes are spread: some 5 % of the rows lie nearer to another one.
const SPREAD: f32 = 1.08;

/// One number of an experiment.
#[derive(Debug, Clone, PartialEq)]
pub struct Finding {
    /// What it is; accuracies and errors are fractions.
    pub name: String,
    /// The number.
    pub value: f64,
}

impl Finding {
    /// Of one experiment.
    pub(crate) fn new(name: impl Into<String>, value: f64) -> Self {
        Self { name: name.into(), value }
    }
}

/// The device: each channel by itself.
#[derive(Debug, Clone)]
struct Device {
    card: Card,
    slope: Vec<f32>,
    bias: Vec<f32>,
    gain: Vec<f32>,
    offset: Vec<f32>,
}

impl Device {
    fn new(serial: &str) -> Self {
        let bank = |name| vec![Bank::new(name, CHANNELS, "1", Range::new(-1e6, 1e6))];
        let ports = Ports { inputs: bank("drive"), controls: vec![], outputs: bank("reading") };
        let identity = Identity { system: "device".into(), serial: serial.into(), origin: Origin::Simulated };
        let [one, zero] = [1.0, 0.0].map(|value| vec![value; CHANNELS]);
        let card = Card { identity, ports, timing: Timing::default() };
        Self { card, slope: one.clone(), bias: zero.clone(), gain: one, offset: zero }
    }

    /// The same after a drift of its read-out: gains exp(0.5 N), offsets 0.5 N.
    fn drifted_behind(&self, key: Key) -> Self {
        let mut stream = key.stream();
        let mut draw = || (0..CHANNELS).map(|_| 0.5 * stream.normal()).collect::<Vec<f32>>();
        let (gain, offset) = (draw().into_iter().map(f32::exp).collect(), draw());
        Self { gain, offset, ..self.clone() }
    }

    /// The same after a drift inside its nonlinearity: slopes 1 + 0.5 N, biases N.
    fn drifted_inside(&self, key: Key) -> Self {
        let mut stream = key.stream();
        let slope = (0..CHANNELS).map(|_| 1.0 + 0.5 * stream.normal()).collect();
        let bias = (0..CHANNELS).map(|_| stream.normal()).collect();
        Self { slope, bias, ..self.clone() }
    }

    fn inside(&self, channel: usize, drive: f32) -> f32 {
        self.slope[channel] * drive + self.bias[channel]
    }
}

/// The names of the two devices that the network drives.
const DEVICES: [&str; 2] = ["first", "second"];

/// A lab with these devices, whose twins are the devices as they were at first.
fn lab(devices: [Device; 2]) -> Result<Lab, Error> {
    let opened = |(name, device): (&str, Device)| {
        Opened::bare(name, Box::new(Predicted::new(Arc::new(device))), Arc::new(Device::new(name)))
    };
    Lab::new(DEVICES.into_iter().zip(devices).map(opened).collect(), Derivatives::Twin)
}

impl Twin for Device {
    fn card(&self) -> &Card {
        &self.card
    }

    fn predict(&self, inputs: &Batch, _: &[f32]) -> Batch {
        Batch::from_fn(inputs.rows(), CHANNELS, |row, channel| {
            let z = self.inside(channel, inputs.row(row)[channel]);
            self.gain[channel] * (z.tanh() + 0.3 * z.sin()) + self.offset[channel]
        })
    }

    fn pull_back(&self, inputs: &Batch, _: &[f32], cotangents: &Batch) -> Pullback {
        let inputs = Batch::from_fn(inputs.rows(), CHANNELS, |row, channel| {
            let z = self.inside(channel, inputs.row(row)[channel]);
            let slope = 1.0 - z.tanh().powi(2) + 0.3 * z.cos();
            cotangents.row(row)[channel] * self.gain[channel] * slope * self.slope[channel]
        });
        Pullback { inputs, controls: vec![] }
    }
}

#[derive(Deserialize)]
struct Layers {
    layers: Vec<LayerConfig>,
}

/// The network, with these keys in its normalizing layers.
fn network(keys: &str, lab: &Lab) -> Result<Network, Error> {
    let pass = |device: &str| {
        format!(
            "{{ kind = \"linear\", width = {CHANNELS} }}, {{ kind = \"physical\", plant = \"{device}\", units = \"si\" }}, \
             {{ kind = \"normalize\"{keys} }}"
        )
    };
    let [first, second] = DEVICES.map(pass);
    let text = format!("layers = [{first}, {second}, {{ kind = \"linear\", width = 7 }}]");
    let document = Document::parse("batchnorm", &text)?;
    let layers: Layers = toml::from_str(&text)
        .map_err(|error| Error::Malformed { place: "batchnorm".into(), message: error.message().to_owned() })?;
    Network::build(&layers.layers, &document, lab, [12, 7])
}

/// Clusters with so many training rows.
fn data(rows: usize, sorted: bool, seed: u64) -> Dataset {
    Dataset::clusters([12, 7], SPREAD, [rows, 0, 4000], sorted, Key::new(seed).branch("batchnorm"))
}

/// How it trains where nothing else is said.
fn config(steps: usize) -> TrainingConfig {
    TrainingConfig {
        steps,
        batch: 128,
        learning_rate: 0.01,
        gradient_clip: 0.0,
        range_penalty: 0.0,
        evaluate_every: 0,
        ..TrainingConfig::default()
    }
}

/// A network that was trained on `data` by all steps of `config`, and the device that it was trained on.
fn trained<'a>(
    keys: &str,
    data: &'a Dataset,
    config: &'a TrainingConfig,
    seed: u64,
) -> Result<(Trainer<'a>, Lab), Error> {
    let mut lab = lab(DEVICES.map(Device::new))?;
    let mut trainer = Trainer::new(network(keys, &lab)?, data, config, Method::PhysicsAware, Key::new(seed));
    trainer.updates(config.steps, &mut lab)?;
    Ok((trainer, lab))
}

/// A1: the largest relative difference of statistics that were gathered in different batches, for the shapes and splits of fvcore's test.
pub fn exactness() -> Result<Finding, Error> {
    let mut largest = 0.0_f64;
    for shape in [&[16, 8, 24][..], &[16, 8, 24, 8], &[16, 8, 4, 12, 6]] {
        let (rows, channels, stretch) = (8 * shape[0], shape[1], shape[2..].iter().product::<usize>());
        let mut stream = Key::new(shape.len() as u64).branch("exactness").stream();
        let values: Vec<f32> = (0..rows * channels * stretch).map(|_| 1.0 + stream.normal()).collect();
        let gather = |sizes: &[usize]| -> Result<Statistics, Error> {
            let (mut all, mut rest) = (Statistics::new("A1", channels), &values[..]);
            for size in sizes.iter().cycle() {
                let (own, others) = rest.split_at((size * channels * stretch).min(rest.len()));
                let mut part = Statistics::new("A1", channels);
                part.add_stretches(own, stretch);
                all.merge(&part)?;
                rest = others;
                if rest.is_empty() {
                    break;
                }
            }
            Ok(all)
        };
        let (equal, uneven) = (gather(&[16])?, gather(&[2, 2, 4, 8, 16, 32, 64])?);
        let pairs = |one: Vec<f64>, other: Vec<f64>| one.into_iter().zip(other).collect::<Vec<_>>();
        let all = [pairs(equal.variance(), uneven.variance()), pairs(equal.mean().to_vec(), uneven.mean().to_vec())];
        largest = all.iter().flatten().fold(largest, |largest, (a, b)| largest.max((a - b).abs() / a.abs()));
    }
    Ok(Finding::new("A1 largest relative difference between splits", largest))
}

/// A2: how much of the distance between the error by a moving average and that by the whole population 1,000 measured rows take away, over
/// the checkpoints of a training with large steps.
pub fn moving_average_gap(seeds: &[u64], steps: usize) -> Result<Vec<Finding>, Error> {
    let (mut gaps, mut errors, mut count) = ([0.0; 2], [0.0; 2], 0.0);
    for &seed in seeds {
        let data = data(8192, false, seed);
        let config = TrainingConfig {
            batch: 1024,
            optimizer: Optimizer::Sgd,
            learning_rate: 1.0,
            schedule: Schedule::Constant,
            ..config(steps)
        };
        let mut lab = lab(DEVICES.map(Device::new))?;
        let keys = ", statistics = \"moving\", decay = 0.99";
        let mut trainer = Trainer::new(network(keys, &lab)?, &data, &config, Method::PhysicsAware, Key::new(seed));
        for step in 1..=steps {
            trainer.step(step, &mut lab)?;
            if !step.is_multiple_of(3) {
                continue;
            }
            let (moving, kept) = (1.0 - trainer.test_scores(&mut lab)?.first(), trainer.saved());
            let mut measured = |samples: usize| -> Result<f64, Error> {
                trainer.measure_all(Some(samples), &mut lab)?;
                Ok(1.0 - trainer.test_scores(&mut lab)?.first())
            };
            let (precise, population) = (measured(1000)?, measured(8192)?);
            trainer.take_over(&kept).map_err(Error::Data)?;
            gaps = [gaps[0] + (moving - population).abs(), gaps[1] + (precise - population).abs()];
            errors = [errors[0] + moving, errors[1] + precise];
            count += 1.0;
        }
    }
    let [moving, precise] = errors.map(|error| error / count);
    Ok(vec![
        Finding::new("A2 share of the moving average's gap removed", 1.0 - gaps[1] / gaps[0]),
        Finding::new("A2 mean error by the moving average", moving),
        Finding::new("A2 mean error by measured statistics", precise),
    ])
}

/// A3 and A4: the accuracy that a drift takes, and how much of it new statistics give back, over several seeds. Inside the nonlinearity that
/// is a part only.
pub fn drift(inside: bool, seeds: &[u64], steps: usize) -> Result<Vec<Finding>, Error> {
    let (name, samples) = if inside { ("A4 (partial)", 256) } else { ("A3", 128) };
    let mut means = [0.0; 3];
    for &seed in seeds {
        let (data, config) = (data(4096, false, seed), config(steps));
        let (mut trainer, mut own) = trained("", &data, &config, seed)?;
        let moved = |name: &str| {
            let (device, key) = (Device::new(name), Key::new(seed).branch("drift").branch(name));
            if inside { device.drifted_inside(key) } else { device.drifted_behind(key) }
        };
        let mut drifted = lab(DEVICES.map(moved))?;
        let (before, after) = (trainer.test_scores(&mut own)?.first(), trainer.test_scores(&mut drifted)?.first());
        trainer.measure_all(Some(samples), &mut drifted)?;
        let found = [before, after, trainer.test_scores(&mut drifted)?.first()];
        means.iter_mut().zip(found).for_each(|(mean, value)| *mean += value / seeds.len() as f64);
    }
    let [before, after, mended] = means;
    Ok(vec![
        Finding::new(format!("{name} accuracy before the drift"), before),
        Finding::new(format!("{name} accuracy after the drift"), after),
        Finding::new(format!("{name} accuracy with {samples} unlabeled rows"), mended),
        Finding::new(format!("{name} share recovered"), (mended - after) / (before - after)),
    ])
}

/// A5: batches sorted by class are warned of, and train a network that tells nothing apart; shuffled, the same rows train a good one.
pub fn sorted_batches(seed: u64, steps: usize) -> Result<Vec<Finding>, Error> {
    let data = data(4096, true, seed);
    let sorted = TrainingConfig { order: BatchOrder::AsGiven, ..config(steps) };
    let shuffled = config(steps);
    let warned = order_warning(&sorted, &data, Key::new(seed)).is_some();
    let tried = |config: &TrainingConfig| -> Result<f64, Error> {
        let (mut trainer, mut lab) = trained("", &data, config, seed)?;
        trainer.measure_all(None, &mut lab)?;
        Ok(trainer.test_scores(&mut lab)?.first())
    };
    Ok(vec![
        Finding::new("A5 warned of", f64::from(u8::from(warned))),
        Finding::new("A5 accuracy with sorted batches", tried(&sorted)?),
        Finding::new("A5 accuracy with shuffled batches", tried(&shuffled)?),
    ])
}

/// A6: the error by the number of rows that statistics are measured on.
pub fn sample_curve(seed: u64, steps: usize) -> Result<Vec<Finding>, Error> {
    let (data, config) = (data(8192, false, seed), config(steps));
    let (mut trainer, mut lab) = trained("", &data, &config, seed)?;
    let mut error = |samples: usize| -> Result<f64, Error> {
        trainer.measure_all(Some(samples), &mut lab)?;
        Ok(1.0 - trainer.test_scores(&mut lab)?.first())
    };
    let all = error(8192)?;
    let mut found = Vec::new();
    for samples in [8, 16, 64, 256, 1024] {
        found.push(Finding::new(format!("A6 error with {samples} rows"), error(samples)?));
    }
    found.push(Finding::new("A6 error with 8192 rows", all));
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn new_statistics_undo_a_drift_behind_the_device_and_sorted_batches_are_ruin() {
        assert!(exactness().unwrap().value < 1e-6);
        let found = [drift(false, &[1], 150).unwrap(), sorted_batches(1, 150).unwrap()].concat();
        let of = |name: &str| found.iter().find(|finding| finding.name == name).unwrap().value;
        assert!(of("A3 accuracy after the drift") < of("A3 accuracy before the drift") - 0.02, "{found:?}");
        assert!(of("A3 share recovered") > 0.7, "{found:?}");
        assert_eq!(of("A5 warned of"), 1.0);
        assert!(of("A5 accuracy with sorted batches") < of("A5 accuracy with shuffled batches") - 0.1, "{found:?}");
    }
}
