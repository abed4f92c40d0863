//! Each rule says by what it normalizes, gives the slopes of differences, and keeps a set for each bench.

use burn::tensor::{Tensor, TensorData};
use sims::Key;

use super::bank;
use crate::Error;
use crate::document::Document;
use crate::network::{Amounts, LayerConfig, Measurement, NamedTensor, Network, Pass, Purpose, State, Wants, rows};
use crate::plants::{Derivatives, Forward, Lab, Rig};

const TRAIN: Purpose = Purpose::Train { step: 1 };

/// Layers of a TOML text on rows of `inputs` values.
fn build(text: &str, lab: &Lab, inputs: usize) -> Result<Network, Error> {
    let document = Document::parse("layers.toml", text)?;
    let mut table = document.table().clone();
    let layers: Vec<LayerConfig> = table.remove("layers").and_then(|layers| layers.try_into().ok()).unwrap();
    Network::build(&layers, &document, lab, [inputs, inputs])
}

fn digital() -> Lab {
    Lab::new(vec![], Derivatives::Twin).unwrap()
}

/// A lab with the simulated electrical plant of this seed.
fn electrical(plant_seed: u64) -> Lab {
    let document = Document::parse(
        "a.toml",
        &format!("[plants.electrical.simulated]\nsamples = 16\nplant_seed = {plant_seed}\nmismatch = 2.0\n"),
    );
    let rig = Rig::find(None, &document.unwrap()).unwrap();
    Lab::new(rig.open(&["electrical"], 1).unwrap(), Derivatives::Twin).unwrap()
}

fn weights(network: &Network) -> Vec<Tensor<2>> {
    network.weights(Key::new(3)).into_iter().map(|(_, weight)| rows::tensor(weight.values, weight.shape)).collect()
}

/// Random rows whose columns have means and spreads of their own.
fn random(seed: u64, shots: usize, width: usize) -> Vec<f32> {
    let mut stream = Key::new(seed).stream();
    (0..shots * width)
        .map(|index| 0.3 * (index % width) as f32 + (0.2 + 0.1 * (index % width) as f32) * stream.normal())
        .collect()
}

/// What one pass gives, and what it leaves.
fn pass(
    network: &Network,
    (values, width): (&[f32], usize),
    (purpose, state): (Purpose, &mut State),
    lab: &mut Lab,
) -> Result<Vec<f32>, Error> {
    let input = rows::tensor(values.to_vec(), [values.len() / width, width]);
    let mut pass = Pass::new(lab, Forward::Plant, purpose, state);
    network.forward(input, &weights(network), &mut pass).map(rows::values)
}

/// Mean and variance of some values.
fn moments(values: impl Iterator<Item = f64> + Clone) -> (f64, f64) {
    let count = values.clone().count() as f64;
    let mean = values.clone().sum::<f64>() / count;
    (mean, values.map(|value| (value - mean).powi(2)).sum::<f64>() / count)
}

#[test]
fn a_batch_has_mean_zero_and_variance_one_in_each_group() {
    let text = "layers = [{ kind = \"normalize\", channels = 4, groups = 2, statistics = \"batch\", scale = 2.0, offset = 0.5 }]";
    let (mut lab, values) = (digital(), random(1, 30, 8));
    let network = build(text, &lab, 8).unwrap();
    let names: Vec<_> = network.weights(Key::new(1)).into_iter().map(|(name, weight)| (name, weight.shape)).collect();
    assert_eq!(names, [("layers.0.normalize.scale".into(), [1, 4]), ("layers.0.normalize.offset".into(), [1, 4])]);
    for purpose in [TRAIN, Purpose::Test] {
        let mut state = State::default();
        let given = pass(&network, (&values, 8), (purpose, &mut state), &mut lab).unwrap();
        for group in 0..2 {
            let own = given
                .chunks_exact(8)
                .flat_map(|row| row[4 * group..4 * group + 4].iter().map(|value| f64::from(*value)));
            let (mean, variance) = moments(own);
            assert!((mean - 0.5).abs() < 1e-5 && (variance - 4.0).abs() < 2e-3, "{mean} {variance}");
        }
        assert!(network.remembered(&state).is_empty(), "it keeps nothing");
    }
}

#[test]
fn a_moving_average_of_batches_is_what_tests_are_normalized_by() {
    let text = "layers = [{ kind = \"normalize\", decay = 0.75 }]";
    let (mut lab, mut state) = (digital(), State::default());
    let network = build(text, &lab, 2).unwrap();
    let error = pass(&network, (&[0.0; 4], 2), (Purpose::Test, &mut state), &mut lab).unwrap_err().to_string();
    assert!(error.starts_with("layer 0 (normalize) has no statistics yet"), "{error}");
    let batches = [random(1, 20, 2), random(2, 20, 2)];
    let of = |batch: &[f32], column: usize| {
        let (mean, variance) = moments(batch.iter().skip(column).step_by(2).map(|value| f64::from(*value)));
        (mean, variance * 20.0 / 19.0)
    };
    for batch in &batches {
        pass(&network, (batch, 2), (TRAIN, &mut state), &mut lab).unwrap();
    }
    let set = bank::read(state.of(0).unwrap(), "no plant").unwrap();
    assert_eq!((set.updates, set.count), (2.0, 35.0));
    for column in 0..2 {
        let [first, second] = [0, 1].map(|batch: usize| of(&batches[batch], column));
        assert!((f64::from(set.mean[column]) - (0.75 * first.0 + 0.25 * second.0)).abs() < 1e-6);
        assert!((f64::from(set.variance[column]) - (0.75 * first.1 + 0.25 * second.1)).abs() < 1e-6);
    }
    let before = network.remembered(&state);
    let given = pass(&network, (&[1.0, 2.0], 2), (Purpose::Test, &mut state), &mut lab).unwrap();
    for (column, value) in [1.0_f32, 2.0].into_iter().enumerate() {
        let expected = (value - set.mean[column]) / (set.variance[column] + 1e-5).sqrt();
        assert!((given[column] - expected).abs() < 1e-5, "one shot is enough for a test");
    }
    let bits = |named: &[NamedTensor]| named.iter().map(|one| rows::values(one.tensor.clone())).collect::<Vec<_>>();
    assert_eq!(bits(&before), bits(&network.remembered(&state)), "a test leaves nothing");
}

#[test]
fn ghost_batches_are_normalized_part_by_part() {
    let text = "layers = [{ kind = \"normalize\", statistics = \"ghost\", size = 8 }]";
    let (mut lab, mut state, values) = (digital(), State::default(), random(4, 20, 1));
    let network = build(text, &lab, 1).unwrap();
    let given = pass(&network, (&values, 1), (TRAIN, &mut state), &mut lab).unwrap();
    let mut means = vec![];
    for part in [0..10, 10..20] {
        let (mean, variance) = moments(given[part.clone()].iter().map(|value| f64::from(*value)));
        assert!(mean.abs() < 1e-5 && (variance - 1.0).abs() < 1e-3, "{mean} {variance}");
        means.push(moments(values[part].iter().map(|value| f64::from(*value))).0);
    }
    let set = bank::read(state.of(0).unwrap(), "no plant").unwrap();
    assert!((f64::from(set.mean[0]) - 0.5 * (means[0] + means[1])).abs() < 1e-6);
}

#[test]
fn frozen_statistics_stay_and_train_nothing() {
    let frozen = "layers = [{ kind = \"normalize\", statistics = \"population\", freeze_after = 5 }]";
    let (mut lab, mut state) = (digital(), State::default());
    let network = build(frozen, &lab, 2).unwrap();
    assert_eq!(network.samples(Wants::Test { done: 5 }, 300), Some(300));
    assert_eq!(network.samples(Wants::Test { done: 6 }, 300), None, "frozen before");
    assert_eq!(
        (network.samples(Wants::Freeze { step: 6 }, 300), network.samples(Wants::Freeze { step: 5 }, 300)),
        (Some(300), None)
    );
    let values = random(5, 50, 2);
    let batches = vec![rows::tensor(values.clone(), [50, 2])];
    let weights = weights(&network);
    let mut measuring = Pass::new(&mut lab, Forward::Plant, Purpose::Test, &mut state);
    network.measure(batches, &weights, Wants::Freeze { step: 6 }, &mut measuring).unwrap();
    let one =
        |purpose, state: &mut State, lab: &mut Lab| pass(&network, (&values[..8], 2), (purpose, state), lab).unwrap();
    let tested = one(Purpose::Test, &mut state, &mut lab);
    assert_eq!(one(Purpose::Train { step: 6 }, &mut state, &mut lab), tested);
    assert_ne!(one(Purpose::Train { step: 5 }, &mut state, &mut lab), tested);
    let always = build(&frozen.replace("population\", freeze_after = 5", "frozen\""), &lab, 2).unwrap();
    assert_eq!(
        (always.samples(Wants::Freeze { step: 1 }, 9000), always.samples(Wants::Freeze { step: 2 }, 9000)),
        (Some(1000), None)
    );
    assert_eq!(pass(&always, (&values[..8], 2), (TRAIN, &mut state), &mut lab).unwrap(), tested);
}

/// What the layers measure on these rows, in batches of these sizes.
fn measured(network: &Network, values: &[f32], width: usize, sizes: &[usize], lab: &mut Lab) -> Vec<Measurement> {
    let (mut batches, mut rest) = (vec![], values);
    for size in sizes.iter().cycle() {
        let (own, others) = rest.split_at((size * width).min(rest.len()));
        batches.push(rows::tensor(own.to_vec(), [own.len() / width, width]));
        rest = others;
        if rest.is_empty() {
            break;
        }
    }
    let mut state = State::default();
    let mut pass = Pass::new(lab, Forward::Plant, Purpose::Test, &mut state);
    network.measure(batches, &weights(network), Wants::All, &mut pass).unwrap()
}

#[test]
fn exact_statistics_do_not_depend_on_the_batches_at_any_depth() {
    let text = "[[layers]]\nkind = \"linear\"\nwidth = 24\n[[layers]]\nkind = \"normalize\"\nchannels = 8\n[[layers]]\nkind = \"activation\"\n\
                function = \"tanh\"\n[[layers]]\nkind = \"linear\"\nwidth = 12\n[[layers]]\nkind = \"normalize\"\nscale = 0.3\n[[layers]]\n\
                kind = \"skip\"\nfrom = 3\n[[layers]]\nkind = \"normalize\"\nepsilon = 1e-12\n";
    let (mut lab, values) = (digital(), random(7, 128, 12));
    let network = build(text, &lab, 12).unwrap();
    let whole = measured(&network, &values, 12, &[128], &mut lab);
    assert_eq!(whole.iter().map(|one| one.layer).collect::<Vec<_>>(), [1, 4, 6]);
    assert_eq!(whole[0].new.count(), 128 * 3, "each position of a channel is a value");
    // The splits of fvcore's test, and single shots.
    for sizes in [&[2, 2, 4, 8, 16, 32, 64][..], &[1], &[16], &[100, 3]] {
        for (one, other) in whole.iter().zip(measured(&network, &values, 12, sizes, &mut lab)) {
            let near = |a: f64, b: f64, unit: f64| assert!((a - b).abs() <= 1e-6 * unit, "{a} {b}");
            for (group, variance) in one.new.variance().into_iter().enumerate() {
                near(one.new.variance()[group], other.new.variance()[group], variance);
                near(one.new.mean()[group], other.new.mean()[group], variance.sqrt());
            }
        }
    }
}

/// The loss that slopes are taken of: every output counts, and not alike.
fn loss(given: &[f64]) -> f64 {
    given.iter().enumerate().map(|(index, value)| (index as f64 + 0.5).sin() * value + 0.3 * value * value).sum()
}

/// A normalizing layer on `s · x + o`, in f64: its parts, channels of one value, by statistics of the batch or by a given set.
fn reference(x: &[f32], weights: &[Vec<f64>], parts: &[std::ops::Range<usize>], set: Option<&bank::Set>) -> Vec<f64> {
    let width = weights[0].len();
    let mut values: Vec<f64> =
        x.iter().enumerate().map(|(at, x)| weights[0][at % width] * f64::from(*x) + weights[1][at % width]).collect();
    for part in parts {
        for (column, (scale, offset)) in weights[2].iter().zip(&weights[3]).enumerate() {
            let own = part.clone().map(|row| row * width + column);
            let (mean, variance) = match set {
                Some(set) => (f64::from(set.mean[column]), f64::from(set.variance[column])),
                None => moments(own.clone().map(|at| values[at]).collect::<Vec<_>>().into_iter()),
            };
            for at in own {
                values[at] = (values[at] - mean) / (variance + 1e-5).sqrt() * scale + offset;
            }
        }
    }
    values
}

#[test]
fn slopes_are_those_of_differences_by_every_rule() {
    let (shots, width) = (12, 3);
    let x = random(8, shots, width);
    let whole = 0..shots;
    for (keys, purpose, parts, is_set) in [
        ("statistics = \"batch\"", TRAIN, vec![whole.clone()], false),
        ("statistics = \"moving\"", TRAIN, vec![whole.clone()], false),
        ("statistics = \"population\"", TRAIN, vec![whole.clone()], false),
        ("statistics = \"ghost\", size = 4", TRAIN, vec![0..4, 4..8, 8..12], false),
        ("statistics = \"frozen\"", TRAIN, vec![whole.clone()], true),
        ("statistics = \"moving\", freeze_after = 3", Purpose::Train { step: 4 }, vec![whole.clone()], true),
        ("statistics = \"population\"", Purpose::Test, vec![whole.clone()], true),
    ] {
        let text = format!(
            "layers = [{{ kind = \"scale-offset\", scale_spread = 0.3 }}, {{ kind = \"normalize\", scale = 0.7, offset = 0.1, {keys} }}]"
        );
        let mut lab = digital();
        let network = build(&text, &lab, width).unwrap();
        let set = bank::Set { mean: vec![0.1, 0.2, 0.4], variance: vec![0.5, 0.04, 0.2], count: 9.0, updates: 1.0 };
        let mut state = State::default();
        bank::write(state.of_mut(1), "no plant", set.clone());
        let device = rows::device().autodiff();
        let leaves: Vec<Tensor<2>> =
            weights(&network).into_iter().map(|weight| Tensor::from_inner(weight).require_grad()).collect();
        let input = Tensor::<2>::from_data(TensorData::new(x.clone(), [shots, width]), &device);
        let mut pass = Pass::new(&mut lab, Forward::Plant, purpose, &mut state);
        let given = network.forward(input, &leaves, &mut pass).unwrap();
        let factors: Vec<f32> = (0..shots * width).map(|index| (index as f32 + 0.5).sin()).collect();
        let factors = Tensor::<2>::from_data(TensorData::new(factors, [shots, width]), &device);
        let gradients = ((given.clone() * factors).sum() + given.square().sum().mul_scalar(0.3)).backward();
        let start: Vec<Vec<f64>> = weights(&network)
            .into_iter()
            .map(|weight| rows::values(weight).into_iter().map(f64::from).collect())
            .collect();
        let set = is_set.then_some(&set);
        for (index, leaf) in leaves.iter().enumerate() {
            let slopes = rows::values(leaf.grad(&gradients).unwrap());
            for (place, slope) in slopes.into_iter().enumerate() {
                let moved = |by: f64| {
                    let mut weights = start.clone();
                    weights[index][place] += by;
                    loss(&reference(&x, &weights, &parts, set))
                };
                let difference = (moved(1e-5) - moved(-1e-5)) / 2e-5;
                assert!(
                    (f64::from(slope) - difference).abs() < 2e-4 * (1.0 + difference.abs()),
                    "{keys}, weight {index}.{place}: {slope}, not {difference}"
                );
            }
        }
    }
}

const BEHIND_A_PLANT: &str =
    "[[layers]]\nkind = \"physical\"\nplant = \"electrical\"\n[[layers]]\nkind = \"normalize\"\nepsilon = 1e-12\n";

#[test]
fn each_bench_has_a_set_of_its_own() {
    let (mut a, mut b) = (electrical(1), electrical(2));
    let network = build(BEHIND_A_PLANT, &a, 16).unwrap();
    let mut state = State::default();
    let values: Vec<f32> = random(9, 40, 16).into_iter().map(|value| 0.3 * value).collect();
    pass(&network, (&values, 16), (TRAIN, &mut state), &mut a).unwrap();
    let trained = network.remembered(&state);
    let names: Vec<&str> = trained.iter().map(|one| one.name.as_str()).collect();
    assert_eq!(
        names,
        ["count", "mean", "variance"].map(|kind| format!("layers.1.normalize.{kind} of electrical simulated-1"))
    );
    // Another bench is met with the statistics of the first, until it has its own.
    let spread = |given: &[f32]| {
        let columns =
            (0..16).map(|column| moments(given.iter().skip(column).step_by(16).map(|value| f64::from(*value))));
        columns.map(|(mean, variance)| mean.powi(2) + (variance - 1.0).powi(2)).sum::<f64>()
    };
    let foreign = pass(&network, (&values, 16), (Purpose::Test, &mut state), &mut b).unwrap();
    let batch = rows::tensor(values.clone(), [40, 16]);
    let mut measuring = Pass::new(&mut b, Forward::Plant, Purpose::Test, &mut state);
    let found = network.measure(vec![batch], &weights(&network), Wants::All, &mut measuring).unwrap();
    assert_eq!((found.len(), found[0].new.of()), (1, "electrical simulated-2"));
    assert_eq!(found[0].old.as_ref().unwrap().of(), "electrical simulated-1");
    let own = pass(&network, (&values, 16), (Purpose::Test, &mut state), &mut b).unwrap();
    assert!(spread(&own) < 0.2 * spread(&foreign), "{} {}", spread(&own), spread(&foreign));
    let on_a = |state: &State| {
        let named = network.remembered(state).into_iter().filter(|one| one.name.ends_with("-1"));
        named.map(|one| rows::values(one.tensor)).collect::<Vec<_>>()
    };
    let before: Vec<Vec<f32>> = trained.iter().map(|one| rows::values(one.tensor.clone())).collect();
    assert_eq!(on_a(&state), before, "the first bench keeps its own");
    // What a file gives back is what was kept.
    let again = network.recall(&network.remembered(&state)).unwrap();
    assert_eq!(network.remembered(&again).len(), 6);
    // The twin is not the plant: whoever trains in silico has the twin's statistics.
    let mut silico = State::default();
    let input = rows::tensor(values.clone(), [40, 16]);
    let mut on_twin = Pass::new(&mut a, Forward::Twin, TRAIN, &mut silico);
    network.forward(input, &weights(&network), &mut on_twin).unwrap();
    assert!(network.remembered(&silico)[0].name.ends_with("count of the twin of electrical simulated-1"));
}

#[test]
fn behind_a_plant_the_batch_that_counts_is_what_was_measured() {
    let mut lab = electrical(1);
    let network = build(BEHIND_A_PLANT, &lab, 16).unwrap();
    let values: Vec<f32> = random(10, 24, 16).into_iter().map(|value| 0.3 * value).collect();
    let mut slopes = |loss: fn(Tensor<2>) -> Tensor<1>| {
        let device = rows::device().autodiff();
        let input = Tensor::<2>::from_data(TensorData::new(values.clone(), [24, 16]), &device).require_grad();
        let leaves: Vec<Tensor<2>> =
            weights(&network).into_iter().map(|weight| Tensor::from_inner(weight).require_grad()).collect();
        let mut state = State::default();
        let mut pass = Pass::new(&mut lab, Forward::Plant, TRAIN, &mut state);
        let given = network.forward(input.clone(), &leaves, &mut pass).unwrap();
        let measured = rows::values(pass.outputs[1].clone());
        let set = bank::read(state.of(1).unwrap(), "electrical simulated-1").unwrap();
        for (column, variance) in set.variance.iter().enumerate() {
            let of = |values: &[f32]| {
                moments(
                    values
                        .iter()
                        .skip(column)
                        .step_by(16)
                        .map(|value| f64::from(*value))
                        .collect::<Vec<_>>()
                        .into_iter(),
                )
            };
            let ((mean, own), (_, one)) = (of(&measured), of(&rows::values(given.clone())));
            assert!((f64::from(set.mean[column]) - mean).abs() < 1e-6 && (one - 1.0).abs() < 1e-2, "{mean} {one}");
            assert!((f64::from(*variance) / (own * 24.0 / 23.0) - 1.0).abs() < 1e-3, "{variance} {own}");
        }
        let gradients = loss(given).backward();
        rows::values(input.grad(&gradients).unwrap()).iter().map(|slope| slope.abs()).sum::<f32>()
    };
    // A loss that sees the batch's own mean and variance alone has no slope: what comes in would be shifted and stretched as a whole.
    let flat = slopes(|given| given.square().sum());
    let steep = slopes(|given| given.clone().square().mul(given).sum());
    assert!(flat < 1e-2 * steep, "{flat} {steep}");
}

#[test]
fn what_cannot_be_is_refused_with_numbers() {
    let lab = digital();
    let error = |keys: &str| {
        build(&format!("layers = [{{ kind = \"normalize\", {keys} }}]"), &lab, 12).err().unwrap().to_string()
    };
    assert!(
        error("channels = 5")
            .ends_with("`layers.0.channels` is 5, but 12 values come in: give a number that divides 12")
    );
    assert!(
        error("channels = 6, groups = 4")
            .ends_with("is 4, but 6 channels are to be grouped: give a number that divides 6")
    );
    assert!(error("statistics = \"ghost\"").contains("needs `size`"));
    assert!(error("size = 4").contains("is for `ghost`, but the statistics are `moving`"));
    assert!(
        error("statistics = \"batch\", freeze_after = 4").contains("freezes nothing where the statistics are `batch`")
    );
    assert!(error("decay = 1.0").contains("from 0 to below 1"));
    let amounts = |text: &str, batch, rows, tests: &[usize]| {
        let text = format!("layers = [{{ kind = \"normalize\", {text} }}]");
        let network = build(&text, &lab, 12).unwrap();
        let document = Document::parse("a.toml", &text).unwrap();
        network.check_statistics(&document, Amounts { batch, rows, tests }).err().map(|error| error.to_string())
    };
    assert!(
        amounts("samples = 900", 10, 300, &[])
            .unwrap()
            .contains("is 900, but there are 300 training rows: give 2 to 300")
    );
    assert!(
        amounts("statistics = \"ghost\", size = 64", 10, 300, &[])
            .unwrap()
            .contains("an update has 10 shots: give 2 to 10")
    );
    assert!(amounts("statistics = \"moving\"", 1, 300, &[]).unwrap().contains("an update has 1 shot"));
    assert!(
        amounts("statistics = \"batch\"", 10, 300, &[50, 1]).unwrap().contains("the last batch of a test has 1 shot")
    );
    assert_eq!(amounts("statistics = \"batch\", channels = 6", 1, 300, &[1]), None, "two positions are a variance");
    assert_eq!(amounts("statistics = \"frozen\"", 1, 300, &[1]), None);
    // Whoever drives fewer all the same is told how many.
    let (mut lab, mut state) = (digital(), State::default());
    let network = build("layers = [{ kind = \"normalize\" }]", &lab, 12).unwrap();
    let error = pass(&network, (&[0.0; 12], 12), (TRAIN, &mut state), &mut lab).unwrap_err().to_string();
    assert!(error.contains("1 shots in 1 parts give 1 values of each group"), "{error}");
}

#[test]
fn only_what_it_can_have_left_is_recalled() {
    let lab = digital();
    let network = build("layers = [{ kind = \"scale\" }, { kind = \"normalize\", groups = 2 }]", &lab, 4).unwrap();
    let named = |name: &str, values: Vec<f32>| {
        let columns = values.len();
        [NamedTensor { name: name.into(), tensor: rows::tensor(values, [1, columns]) }]
    };
    let recall = |name: &str, values: Vec<f32>| network.recall(&named(name, values));
    assert!(recall("layers.1.normalize.mean of a", vec![-1.0, 2.0]).is_ok());
    let error = |name: &str, values: Vec<f32>| recall(name, values).unwrap_err();
    assert_eq!(
        error("layers.1.normalize.mean of a", vec![1.0]),
        "has `layers.1.normalize.mean of a` (1 × 1), which no layer of this network remembers"
    );
    for (name, values) in [
        ("layers.1.normalize.variance of a", vec![-1.0, 2.0]),
        ("layers.1.normalize.mean of a", vec![f32::NAN, 2.0]),
        ("layers.1.normalize.median of a", vec![1.0, 2.0]),
        ("layers.0.scale.mean of a", vec![1.0, 2.0]),
        ("layers.0.normalize.mean of a", vec![1.0, 2.0]),
        ("layers.9.normalize.mean of a", vec![1.0, 2.0]),
        ("mean of a", vec![1.0, 2.0]),
    ] {
        assert!(error(name, values).contains("which no layer of this network remembers"), "{name}");
    }
}
