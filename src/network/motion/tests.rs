//! A motion against its equations in double precision, and the bounds of its steps.

use burn::tensor::Tensor;
use sims::Key;

use super::{Generator, Motion};
use crate::data::{Latents, MotionConfig, Movement};
use crate::document::Document;
use crate::network::{Ends, LayerConfig, NamedTensor, Network, Pass, Purpose, State, rows};
use crate::plants::{Derivatives, Forward, Lab};

#[derive(serde::Deserialize, schemars::JsonSchema)]
struct Layers {
    layers: Vec<LayerConfig>,
}

fn read(text: &str) -> (Vec<LayerConfig>, Document) {
    let document = Document::parse("a.toml", text).unwrap();
    (document.check::<Layers>().unwrap().layers, document)
}

fn lab() -> Lab {
    Lab::new(vec![], Derivatives::Twin).unwrap()
}

/// A generator of these layers with random weights, and its weights.
fn generator(text: &str, latents: Latents, outputs: usize, principal: bool) -> (Generator, Vec<NamedTensor>) {
    let (layers, document) = read(text);
    let ends = Ends { inputs: latents.width(), outputs, what: "values", classes: false, cells: None, movement: None };
    let network = Network::build(&layers, &document, &lab(), ends).unwrap();
    let weights: Vec<NamedTensor> = network
        .weights(Key::new(7))
        .into_iter()
        .map(|(name, weight)| NamedTensor { name, tensor: rows::tensor(weight.values, weight.shape) })
        .collect();
    (Generator::new((network, &layers), (&weights, &[]), (latents, principal)).unwrap(), weights)
}

fn mover(state: usize, rule: &Movement) -> Network {
    let text = format!(
        "[[layers]]\nkind = \"lstm\"\nwidth = {state}\n[[layers]]\nkind = \"linear\"\nwidth = {}\n",
        rule.components
    );
    let (layers, document) = read(&text);
    Network::build(&layers, &document, &lab(), rule).unwrap()
}

fn rule(latents: Latents, principal: bool, components: usize, size: [usize; 2]) -> Movement {
    let config = MotionConfig { frames: 4, noise: 2, components, principal, ..MotionConfig::default() };
    Movement::new(&config, latents, size)
}

const STATE: usize = 3;

/// The equations of `lstm.rs` and `motion.rs` in double precision, of one sequence: free latents through one linear layer.
fn reference(row: &[f64], weights: &[Vec<f64>], generator: &[Vec<f64>]) -> Vec<f64> {
    let through = |x: &[f64], matrix: &[f64], offset: &[f64]| -> Vec<f64> {
        let width = offset.len();
        (0..width)
            .map(|out| offset[out] + x.iter().enumerate().map(|(at, x)| x * matrix[at * width + out]).sum::<f64>())
            .collect()
    };
    let sigmoid = |x: f64| 1.0 / (1.0 + (-x).exp());
    let gated = |gates: &[f64], before: Option<&[f64]>| -> [Vec<f64>; 2] {
        let state: Vec<f64> = (0..STATE)
            .map(|at| {
                let new = sigmoid(gates[at]) * gates[3 * STATE + at].tanh();
                new + before.map_or(0.0, |before| before[at] * sigmoid(gates[STATE + at] + 1.0))
            })
            .collect();
        [(0..STATE).map(|at| sigmoid(gates[2 * STATE + at]) * state[at].tanh()).collect(), state]
    };
    let (mut place, noise) = (row[..2].to_vec(), &row[2..]);
    let [mut output, mut state] = gated(&through(&place, &weights[0], &weights[1]), None);
    let mut frames = through(&place, &generator[0], &generator[1]);
    let mut told = 0.0;
    for drawn in noise.chunks_exact(2) {
        [output, state] = gated(&through(&[drawn, &output].concat(), &weights[2], &weights[3]), Some(&state));
        let hidden = through(&[&output[..], &state].concat(), &weights[4], &weights[5]);
        let hidden: Vec<f64> = hidden.into_iter().map(|value| value.max(0.0)).collect();
        let guess = through(&hidden, &weights[6], &weights[7]);
        let dot = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>();
        told += dot(&guess, drawn) / (dot(&guess, &guess).sqrt() * dot(drawn, drawn).sqrt());
        let moved = through(&output, &weights[8], &weights[9]);
        place.iter_mut().zip(moved).for_each(|(place, moved)| *place += 0.2 * moved.tanh());
        frames.extend(through(&place, &generator[0], &generator[1]));
    }
    frames.push(told / (noise.len() / 2) as f64);
    frames
}

#[test]
fn values_and_gradients_are_those_of_the_equations() {
    let latents = Latents { latent: 2, classes: 0 };
    let rule = rule(latents, false, 2, [1, 2]);
    let (frozen, known) = generator("[[layers]]\nkind = \"linear\"\nwidth = 2\n", latents, 2, false);
    let network = mover(STATE, &rule).through(frozen);
    let shapes: Vec<[usize; 2]> = network.weights(Key::new(1)).into_iter().map(|(_, weight)| weight.shape).collect();
    let mut stream = Key::new(2).stream();
    let mut drawn = |count: usize| (0..count).map(|_| 0.7 * stream.normal()).collect::<Vec<f32>>();
    let weights: Vec<Vec<f32>> = shapes.iter().map(|[height, width]| drawn(height * width)).collect();
    let (inputs, counted) = (drawn(2 * 8), drawn(2 * 9));
    let wide = |values: &[f32]| values.iter().map(|value| f64::from(*value)).collect::<Vec<f64>>();
    let fixed: Vec<Vec<f64>> = known.iter().map(|weight| wide(&rows::values(weight.tensor.clone()))).collect();
    let loss = |weights: &[Vec<f64>]| -> f64 {
        let rows = inputs.chunks_exact(8).zip(counted.chunks_exact(9));
        rows.map(|(row, counted)| {
            reference(&wide(row), weights, &fixed)
                .iter()
                .zip(counted)
                .map(|(value, by)| value * f64::from(*by))
                .sum::<f64>()
        })
        .sum()
    };

    let leaves: Vec<Tensor<2>> = weights
        .iter()
        .zip(&shapes)
        .map(|(values, shape)| Tensor::from_inner(rows::tensor(values.clone(), *shape)).require_grad())
        .collect();
    let (mut lab, mut state) = (lab(), State::default());
    let pass = &mut Pass::new(&mut lab, Forward::Plant, Purpose::Train { step: 1 }, &mut state);
    let given = Tensor::from_inner(rows::tensor(inputs.clone(), [2, 8]));
    let outputs = network.forward(given, &leaves, pass).unwrap();
    let exact: Vec<Vec<f64>> = weights.iter().map(|values| wide(values)).collect();
    let expected: Vec<f64> = inputs.chunks_exact(8).flat_map(|row| reference(&wide(row), &exact, &fixed)).collect();
    for (found, expected) in rows::values(outputs.clone().detach()).into_iter().zip(&expected) {
        assert!((f64::from(found) - expected).abs() < 1e-5, "{found}, not {expected}");
    }
    let by = Tensor::from_inner(rows::tensor(counted.clone(), [2, 9]));
    let mut gradients = (outputs * by).sum().backward();
    for (place, leaf) in leaves.iter().enumerate() {
        let slopes = rows::values(leaf.grad_remove(&mut gradients).unwrap());
        for (at, slope) in slopes.iter().enumerate() {
            let moved = |by: f64| {
                let mut moved = exact.clone();
                moved[place][at] += by;
                loss(&moved)
            };
            let difference = (moved(1e-6) - moved(-1e-6)) / 2e-6;
            assert!((f64::from(*slope) - difference).abs() < 1e-4, "weight {place}, {at}: {slope}, not {difference}");
        }
    }
}

#[test]
fn no_component_steps_by_more_than_its_bound_whatever_the_weights() {
    let latents = Latents { latent: 5, classes: 3 };
    let text = "[[layers]]\nkind = \"linear\"\nwidth = 9\n[[layers]]\nkind = \"activation\"\nfunction = \"tanh\"\n[[layers]]\nkind = \"linear\"\nwidth = 6\n";
    let rule = rule(latents, true, 4, [2, 3]);
    let mut largest = 0.0_f32;
    for seed in 0..20 {
        let network = mover(6, &rule).through(generator(text, latents, 6, true).0);
        let mut stream = Key::new(seed).stream();
        // Some weights so large that every step is as long as it may be.
        let scale = 0.1 * 4.0_f32.powi((seed % 6) as i32);
        let weights: Vec<Tensor<2>> = network
            .weights(Key::new(seed))
            .into_iter()
            .map(|(_, weight)| {
                let values = weight.values.iter().map(|_| scale * stream.normal()).collect();
                rows::tensor(values, weight.shape)
            })
            .collect();
        let row = |row: u64| rule.row(None, 12, Key::new(seed).number(row));
        let inputs: Vec<f32> = (0..10).flat_map(row).collect();
        let inputs = rows::tensor(inputs.clone(), [10, inputs.len() / 10]);
        let (mut lab, mut state) = (lab(), State::default());
        let pass = &mut Pass::new(&mut lab, Forward::Plant, Purpose::Test, &mut state);
        let walk = network.walk(&inputs, &weights, pass).unwrap();
        assert_eq!((walk.styles.len(), walk.steps.len()), (12, 11));
        let bound = rule.step;
        for (frame, step) in walk.steps.iter().enumerate() {
            for along in rows::values(step.clone()) {
                assert!(along.abs() <= bound, "frame {frame}: {along}");
                largest = largest.max(along.abs());
            }
        }
        // What the styles themselves moved by, seen along the components: exact but for rounding.
        let generator = &network.motion.as_ref().unwrap().generator.as_ref().unwrap();
        let scaled = rows::values(generator.components(&rule, pass).unwrap().scaled(&rows::device()));
        for pair in walk.styles.windows(2) {
            let moved = rows::values(pair[1].clone() - pair[0].clone());
            for (moved, along) in
                moved.chunks_exact(9).flat_map(|moved| scaled.chunks_exact(9).map(move |along| (moved, along)))
            {
                let square: f32 = along.iter().map(|value| value * value).sum();
                let dot: f32 = moved.iter().zip(along).map(|(a, b)| a * b).sum();
                assert!(dot.abs() / square <= bound + 1e-5, "{} of a deviation", dot / square);
            }
        }
    }
    assert!(0.199 < largest, "the bound is met: {largest}");
}

#[test]
fn longer_sequences_begin_as_shorter_ones() {
    let latents = Latents { latent: 3, classes: 0 };
    let rule = rule(latents, true, 2, [1, 4]);
    let network = mover(4, &rule).through(generator("[[layers]]\nkind = \"linear\"\nwidth = 4\n", latents, 4, true).0);
    let weights: Vec<Tensor<2>> =
        network.weights(Key::new(3)).into_iter().map(|(_, weight)| rows::tensor(weight.values, weight.shape)).collect();
    let (mut lab, mut state) = (lab(), State::default());
    let mut shown = |frames: usize| {
        let row = rule.row(None, frames, Key::new(4));
        let pass = &mut Pass::new(&mut lab, Forward::Plant, Purpose::Test, &mut state);
        let width = row.len();
        rows::values(network.forward(rows::tensor(row, [1, width]), &weights, pass).unwrap())
    };
    let (short, long) = (shown(4), shown(30));
    assert_eq!((short.len(), long.len()), (4 * 4 + 1, 30 * 4 + 1));
    assert_eq!(short[..16], long[..16]);
}

#[test]
fn principal_components_of_a_linear_layer_are_those_of_its_weights_and_too_many_are_refused() {
    let latents = Latents { latent: 2, classes: 3 };
    let (frozen, known) = generator("[[layers]]\nkind = \"linear\"\nwidth = 5\n", latents, 5, true);
    let (mut lab, mut state) = (lab(), State::default());
    let pass = &mut Pass::new(&mut lab, Forward::Plant, Purpose::Test, &mut state);
    let rule2 = rule(latents, true, 2, [1, 5]);
    let scaled = rows::values(frozen.components(&rule2, pass).unwrap().scaled(&rows::device()));
    // Classes add a mean each, about which the latents vary: Σ (V σ)(V σ)ᵀ = Wᵀ W of the latents' rows.
    let matrix = rows::values(known[0].tensor.clone());
    for (a, b) in (0..5).flat_map(|a| (0..5).map(move |b| (a, b))) {
        let wanted: f32 = (0..2).map(|row| matrix[row * 5 + a] * matrix[row * 5 + b]).sum();
        let found: f32 = (0..2).map(|row| scaled[row * 5 + a] * scaled[row * 5 + b]).sum();
        assert!((found - wanted).abs() < 0.05, "{a}, {b}: {found}, not {wanted}");
    }
    let (frozen, _) = generator("[[layers]]\nkind = \"linear\"\nwidth = 5\n", latents, 5, true);
    let said = frozen.components(&rule(latents, true, 3, [1, 5]), pass).unwrap_err().to_string();
    assert!(said.contains("vary in 2 directions: give at most 2"), "{said}");
    let (frozen, _) = generator("[[layers]]\nkind = \"linear\"\nwidth = 5\n", latents, 5, false);
    let said = frozen.components(&rule(latents, false, 3, [1, 5]), pass).unwrap_err().to_string();
    assert!(said.contains("generator's 2 latents"), "{said}");
}

#[test]
fn a_motion_without_its_generator_and_a_memory_without_a_motion_are_refused() {
    let latents = Latents { latent: 3, classes: 0 };
    let rule = rule(latents, true, 2, [1, 4]);
    let network = mover(4, &rule);
    assert!(network.moves() && Motion::ends(&rule).told);
    let (mut lab, mut state) = (lab(), State::default());
    let pass = &mut Pass::new(&mut lab, Forward::Plant, Purpose::Test, &mut state);
    let said = network.forward(rows::tensor(vec![0.0; 9], [1, 9]), &[], pass).unwrap_err().to_string();
    assert!(said.contains("without its generator"), "{said}");
    let (layers, document) = read("[[layers]]\nkind = \"lstm\"\nwidth = 4\n");
    let said = Network::build(&layers, &document, &lab, [2, 4]).err().unwrap().to_string();
    assert!(said.contains("add a table [motion]"), "{said}");
}
