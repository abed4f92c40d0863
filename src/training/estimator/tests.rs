//! Small networks that estimators are held against: digital ones, and one through a plant that is linear and exactly its twin.

use burn::tensor::Tensor;
use serde::Deserialize;
use sims::{Built, Electrical, Equations, Key, Mesh, MeshImperfections, MeshOutputs, Simulated};

use super::trial::{Trials, dealt};
use super::{Backpropagation, Estimator, Problem};
use crate::data::{CellsConfig, Target, Targets};
use crate::document::Document;
use crate::network::{LayerConfig, NamedTensor, Network, State, rows};
use crate::plants::{Derivatives, Forward, Lab, Opened};
use crate::training::objective::{Classify, Regress};
use crate::training::{Objective, TrainingConfig};

/// A network with weights and one batch.
pub struct Bench {
    layers: &'static str,
    network: Network,
    pub weights: Vec<NamedTensor>,
    state: State,
    inputs: Tensor<2>,
    targets: Targets,
    objective: Box<dyn Objective>,
    config: TrainingConfig,
}

#[derive(Deserialize)]
struct Layers {
    layers: Vec<LayerConfig>,
}

/// Nothing but numbers.
const DIGITAL: &str = "[[layers]]\nkind = \"scale-offset\"\nwidth = 3\n[[layers]]\nkind = \"linear\"\nwidth = 2\n";
/// Through a mesh of three modes whose quadratures are read: linear in its inputs.
const THROUGH_MESH: &str = "[[layers]]\nkind = \"scale-offset\"\nwidth = 3\n[[layers]]\nkind = \"physical\"\nplant = \"mesh\"\n\
                            control = 0.55\ncontrol_spread = 0.1\n[[layers]]\nkind = \"linear\"\nwidth = 2\n";
/// With the class that is tried among the inputs.
const LABELLED: &str = "[[layers]]\nkind = \"label\"\nclasses = 2\n[[layers]]\nkind = \"linear\"\nwidth = 3\n[[layers]]\nkind = \"physical\"\n\
                        plant = \"mesh\"\ncontrol = 0.55\ncontrol_spread = 0.1\n[[layers]]\nkind = \"linear\"\nwidth = 2\n";
/// Through three inputs and two pushes of nodes that settle, of whose readings the answers are looked at.
const SETTLING: &str = "[[layers]]\nkind = \"pad\"\nwidth = 5\n[[layers]]\nkind = \"physical\"\nplant = \"settling\"\n\
                        control_spread = 0.2\n[[layers]]\nkind = \"pick\"\nfrom = 0\ncount = 2\n[[layers]]\nkind = \"linear\"\nwidth = 2\n";
/// What four channels of a cell change by, through eight samples of a circuit.
const RULE: &str = "[[layers]]\nkind = \"linear\"\nwidth = 8\n[[layers]]\nkind = \"normalize\"\nstatistics = \"moving\"\n\
                    [[layers]]\nkind = \"physical\"\nplant = \"electrical\"\n[[layers]]\nkind = \"linear\"\nwidth = 4\n";
/// One output of two inputs.
const BOWL: &str = "[[layers]]\nkind = \"linear\"\nwidth = 1\n";

impl Bench {
    /// A digital network of two classes.
    pub fn digital() -> Self {
        let inputs = rows::tensor(vec![0.3, -1.0, 0.5, 0.8, 0.1, -0.6], [2, 3]);
        let objective = Classify::new(&["a".to_owned(), "b".to_owned()]);
        Self::new((DIGITAL, [3, 2]), inputs, Targets::Classes(vec![0, 1]), Box::new(objective))
    }

    /// Two classes through a linear plant that is its twin.
    pub fn mesh() -> Self {
        let inputs = rows::tensor(vec![0.3, -0.9, 0.5, 0.8, 0.1, -0.6, -0.4, 0.7, 0.2, -0.2, 0.3, 0.6], [4, 3]);
        let objective = Classify::new(&["a".to_owned(), "b".to_owned()]);
        Self::new((THROUGH_MESH, [3, 2]), inputs, Targets::Classes(vec![0, 1, 0, 1]), Box::new(objective))
    }

    /// Two classes through a linear plant, of which each row says which is tried.
    pub fn labelled() -> Self {
        Self { layers: LABELLED, ..Self::mesh() }.rebuilt()
    }

    /// Two classes through nodes that settle.
    pub fn settling() -> Self {
        Self { layers: SETTLING, ..Self::mesh() }.rebuilt()
    }

    /// Such nodes, which are their own twin.
    pub fn settling_lab() -> Lab {
        let (_, text) = hil::SYSTEMS.into_iter().find(|(name, _)| *name == "systems/settling.toml").unwrap();
        let sizes = [("j = 64", "j = 3"), ("h = 16", "h = 2"), ("o = 10", "o = 2"), (", noise = 1e-3, bits = 14", "")];
        let text = sizes.iter().fold(text.to_owned(), |text, (from, to)| text.replace(from, to));
        let built = Equations { text, mismatch: 0.0, ..Equations::default() }.build().unwrap();
        opened("settling", built, Derivatives::Twin)
    }

    /// The same with a network of its layers and fresh weights.
    fn rebuilt(self) -> Self {
        Self::new((self.layers, [3, 2]), self.inputs, self.targets, self.objective)
    }

    /// A regression whose loss is a bowl, a hundred times steeper along one weight than along the other; its bottom is 0.
    pub fn bowl() -> Self {
        let row = |k: usize| [3.0 * (k as f32 * 1.7).sin(), 0.3 * (k as f32 * 2.3).cos()];
        let inputs: Vec<f32> = (0..16).flat_map(row).collect();
        let values = (0..16).map(row).map(|[a, b]| 0.5 * a - 2.0 * b + 0.3).collect();
        let target = Target { name: "y".to_owned(), mean: 0.0, deviation: 1.0 };
        let targets = Targets::Values { values, width: 1 };
        Self::new((BOWL, [2, 1]), rows::tensor(inputs, [16, 2]), targets, Box::new(Regress::new(&[target])))
    }

    fn new(
        (layers, ends): (&'static str, [usize; 2]),
        inputs: Tensor<2>,
        targets: Targets,
        objective: Box<dyn Objective>,
    ) -> Self {
        let network = network(layers, ends);
        let weights = network.weights(Key::new(4)).into_iter();
        let tensor = |(name, weight): (String, crate::network::Weight)| NamedTensor {
            name,
            tensor: rows::tensor(weight.values, weight.shape),
        };
        let config = TrainingConfig { range_penalty: 0.0, ..TrainingConfig::default() };
        Self {
            weights: weights.map(tensor).collect(),
            layers,
            network,
            state: State::default(),
            inputs,
            targets,
            objective,
            config,
        }
    }

    /// The plants, as new.
    pub fn lab() -> Lab {
        lab()
    }

    /// The same with these weights, all in one row.
    pub fn with(&self, values: &[f32]) -> Self {
        let each = dealt(&self.weights, values).into_iter().zip(&self.weights);
        let named = each.map(|(values, weight)| NamedTensor {
            name: weight.name.clone(),
            tensor: rows::tensor(values, weight.tensor.dims()),
        });
        self.at(&named.collect::<Vec<_>>())
    }

    /// The same with these weights.
    pub fn at(&self, weights: &[NamedTensor]) -> Self {
        let objective: Box<dyn Objective> = match &self.targets {
            Targets::Classes(_) => Box::new(Classify::new(&["a".to_owned(), "b".to_owned()])),
            Targets::Values { .. } => Box::new(Regress::new(&[])),
        };
        let ends = [self.inputs.dims()[1], if matches!(self.targets, Targets::Classes(_)) { 2 } else { 1 }];
        Self {
            layers: self.layers,
            network: network(self.layers, ends),
            weights: weights.to_vec(),
            state: State::default(),
            inputs: self.inputs.clone(),
            targets: self.targets.clone(),
            objective,
            config: self.config.clone(),
        }
    }

    /// The update with this number.
    pub fn problem(&self, step: usize) -> Problem<'_> {
        Problem {
            network: &self.network,
            weights: &self.weights,
            state: &self.state,
            inputs: self.inputs.clone(),
            targets: &self.targets,
            objective: &*self.objective,
            config: &self.config,
            step,
        }
    }

    /// The loss at these weights, all in one row.
    pub fn loss(&self, values: &[f32], lab: &mut Lab) -> f64 {
        let problem = self.problem(1);
        Trials::new(&problem).loss(&problem, values, lab).unwrap()
    }

    /// The slopes of the loss with the outputs of two classes: softmax minus the class, over the shots.
    pub fn slopes_of_outputs(&self, lab: &mut Lab) -> Vec<f32> {
        let weights: Vec<Tensor<2>> = self.weights.iter().map(|weight| weight.tensor.clone()).collect();
        let mut state = State::default();
        let purpose = crate::network::Purpose::Test;
        let mut pass = crate::network::Pass::new(lab, Forward::Plant, purpose, &mut state);
        let outputs = rows::values(self.network.forward(self.inputs.clone(), &weights, &mut pass).unwrap());
        let shots = self.targets.len() as f32;
        let pairs = outputs.chunks_exact(2).zip(self.targets.classes());
        let slopes = pairs.flat_map(|(pair, class)| {
            let first = 1.0 / (1.0 + (pair[1] - pair[0]).exp());
            let own = if *class == 0 { [1.0, 0.0] } else { [0.0, 1.0] };
            [(first - own[0]) / shots, (1.0 - first - own[1]) / shots]
        });
        slopes.collect()
    }
}

/// The rule of an automaton through a circuit whose readings are noisy, with the circuit.
pub fn rule(cells: &CellsConfig) -> (Network, Lab) {
    let built = Electrical { samples: 8, ..Electrical::default() }.build().unwrap();
    let lab = opened("electrical", built, Derivatives::Twin);
    let (document, layers) = (Document::parse("a.toml", RULE).unwrap(), toml::from_str::<Layers>(RULE).unwrap());
    (Network::build(&layers.layers, &document, &lab, cells).unwrap(), lab)
}

fn network(text: &str, ends: [usize; 2]) -> Network {
    let document = Document::parse("a.toml", text).unwrap();
    let layers: Layers = toml::from_str(text).unwrap();
    let is_settling = text.contains("settling");
    let lab = if is_settling { Bench::settling_lab() } else { lab() };
    Network::build(&layers.layers, &document, &lab, ends).unwrap()
}

fn lab() -> Lab {
    lab_of(0.0, Derivatives::Twin)
}

/// A plant that its twin misses.
pub fn rough_lab(derivatives: Derivatives) -> Lab {
    lab_of(2.0, derivatives)
}

fn lab_of(mismatch: f64, derivatives: Derivatives) -> Lab {
    let imperfections = MeshImperfections::none();
    let mesh = Mesh { modes: 3, outputs: MeshOutputs::Quadratures, mismatch, imperfections, ..Mesh::default() };
    opened("mesh", mesh.build().unwrap(), derivatives)
}

fn opened(name: &str, built: Built, derivatives: Derivatives) -> Lab {
    let opened =
        Opened { ideal: Some(built.ideal), ..Opened::bare(name, Box::new(Simulated::new(built.system)), built.twin) };
    Lab::new(vec![opened], derivatives).unwrap()
}

/// Holds the mean of so many estimates against the gradient, by standard errors.
pub fn is_unbiased(bench: &Bench, estimator: &mut dyn Estimator, draws: usize) {
    let mut lab = Bench::lab();
    let exact = Backpropagation { on: Forward::Plant }.estimate(&bench.problem(1), &mut lab).unwrap();
    let exact: Vec<f32> = exact.gradients.into_iter().flat_map(Option::unwrap).collect();
    let (mut sum, mut squares) = (vec![0.0; exact.len()], vec![0.0; exact.len()]);
    for step in 1..=draws {
        let estimate = estimator.estimate(&bench.problem(step), &mut lab).unwrap();
        for (place, value) in estimate.gradients.into_iter().flat_map(Option::unwrap).enumerate() {
            sum[place] += f64::from(value);
            squares[place] += f64::from(value).powi(2);
        }
    }
    for ((sum, squares), exact) in sum.iter().zip(&squares).zip(&exact) {
        let mean = sum / draws as f64;
        let error = ((squares / draws as f64 - mean * mean) / draws as f64).sqrt();
        // Four standard errors for a dozen components; 1e-3 for the third derivative and rounding.
        assert!((mean - f64::from(*exact)).abs() < 4.0 * error + 1e-3, "{mean} ± {error}, not {exact}");
    }
    assert!(exact.iter().any(|value| 0.05 < value.abs()), "there is a gradient to find");
}
