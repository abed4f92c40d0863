//! One stage of a network, physical or digital. A layer does not change; what training changes are its weights.

// Circle with network/: the list of layers names each kind, and each is made of the trait and the words here.

mod activation;
mod automaton;
mod bins;
mod computed;
pub(crate) mod full_scale;
mod linear;
mod measure;
mod normalize;
mod pad;
mod pass;
mod physical;
pub mod physics_aware;
mod pick;
pub mod range_penalty;
mod repeat;
pub mod rows;
mod scale;
mod scale_offset;
mod skip;
mod state;

use burn::tensor::Tensor;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use sims::Key;

use crate::Error;
use crate::data::{CellsConfig, Dataset};
use crate::document::Document;
use crate::plants::Lab;
use normalize::Normalize;

pub use activation::{ActivationConfig, Function};
pub use automaton::{Automaton, Rollout};
pub use bins::BinsConfig;
pub use computed::computed;
pub use full_scale::{FullScale, FullScales, Units};
pub use linear::LinearConfig;
pub use measure::{Amounts, Measurement, Wants};
pub use normalize::{NormalizeConfig, StatisticsRule};
pub use pad::PadConfig;
pub use pass::{Pass, Purpose};
pub use physical::{Distribution, PhysicalConfig};
pub use physics_aware::{Measured, Wanted};
pub use pick::PickConfig;
pub use range_penalty::Walls;
pub use repeat::RepeatConfig;
pub use scale::ScaleConfig;
pub use scale_offset::ScaleOffsetConfig;
pub use skip::SkipConfig;
pub use state::{Remembered, State};

/// A layer as the experiment file describes it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum LayerConfig {
    /// Each value several times: more samples, more controls for each of them.
    Repeat(RepeatConfig),
    /// A trainable factor and summand for each element.
    ScaleOffset(ScaleOffsetConfig),
    /// One pass through a plant.
    Physical(PhysicalConfig),
    /// Adds the output of an earlier layer.
    Skip(SkipConfig),
    /// Read-out: time or frequency bins with trainable attenuation.
    Bins(BinsConfig),
    /// A trainable matrix and summand.
    Linear(LinearConfig),
    /// Constant values after those that come in.
    Pad(PadConfig),
    /// Some neighboring values and no others.
    Pick(PickConfig),
    /// One factor for all values.
    Scale(ScaleConfig),
    /// A fixed function of each value.
    Activation(ActivationConfig),
    /// Each channel brought to mean 0 and variance 1, by statistics that each bench has of its own; then a trainable factor and summand.
    Normalize(NormalizeConfig),
}

impl LayerConfig {
    /// The kind, as it is written in the file.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Repeat(_) => "repeat",
            Self::ScaleOffset(_) => "scale-offset",
            Self::Physical(_) => "physical",
            Self::Skip(_) => "skip",
            Self::Bins(_) => "bins",
            Self::Linear(_) => "linear",
            Self::Pad(_) => "pad",
            Self::Pick(_) => "pick",
            Self::Scale(_) => "scale",
            Self::Activation(_) => "activation",
            Self::Normalize(_) => "normalize",
        }
    }

    /// Builds the layer at the end of a chain.
    fn build(&self, chain: &Chain<'_>) -> Result<Box<dyn Layer>, Error> {
        match self {
            Self::Repeat(config) => config.build(chain),
            Self::ScaleOffset(config) => config.build(chain),
            Self::Physical(config) => config.build(chain),
            Self::Skip(config) => config.build(chain),
            Self::Bins(config) => config.build(chain),
            Self::Linear(config) => config.build(chain),
            Self::Pad(config) => config.build(chain),
            Self::Pick(config) => config.build(chain),
            Self::Scale(config) => config.build(chain),
            Self::Activation(config) => config.build(chain),
            Self::Normalize(config) => config.build(chain),
        }
    }
}

/// One stage of a network.
pub trait Layer: Send {
    /// Values that it gives for each shot.
    fn width(&self) -> usize;

    /// Names and initial values of its weights, drawn from `key`.
    fn weights(&self, key: Key) -> Vec<Weight>;

    /// Whether `tensor` can be what it remembers between passes under `name`: what a file says is held against it.
    fn remembers(&self, _name: &str, _tensor: &Tensor<2>) -> bool {
        false
    }

    /// Itself, where it normalizes by statistics that are measured.
    fn normalize(&self) -> Option<&Normalize> {
        None
    }

    /// `[shots, width before]` → `[shots, width]`.
    fn forward(&self, values: Tensor<2>, weights: &[Tensor<2>], pass: &mut Pass<'_>) -> Result<Tensor<2>, Error>;
}

/// A trainable matrix with its initial values, row-major.
#[derive(Debug, Clone, PartialEq)]
pub struct Weight {
    /// What it is, such as `scale`.
    pub name: &'static str,
    /// Rows and columns.
    pub shape: [usize; 2],
    /// `rows × columns` values.
    pub values: Vec<f32>,
}

impl Weight {
    /// One row of values.
    fn row(name: &'static str, values: Vec<f32>) -> Self {
        Self { name, shape: [1, values.len()], values }
    }
}

/// A named matrix: a weight, or something that a layer remembers.
#[derive(Debug, Clone)]
pub struct NamedTensor {
    /// Such as `layers.1.scale-offset.scale`.
    pub name: String,
    /// Its values.
    pub tensor: Tensor<2>,
}

/// How the input ranges of plants were used.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct Usage {
    /// Values that were sent.
    pub sent: u64,
    /// Values that the hard clamp changed.
    pub clipped: u64,
    /// Sum over physical layers of (largest − smallest value sent)/(span of the range), averaged over the ports.
    pub range_use: f64,
    /// Physical layers.
    pub layers: u64,
}

impl Usage {
    /// Adds what another pass used.
    pub fn add(&mut self, other: Self) {
        self.sent += other.sent;
        self.clipped += other.clipped;
        self.range_use += other.range_use;
        self.layers += other.layers;
    }

    /// The fraction of values that the hard clamp changed.
    pub fn clipping_rate(&self) -> f64 {
        self.clipped as f64 / self.sent.max(1) as f64
    }

    /// The fraction of the range that a batch covers, averaged over ports and physical layers.
    pub fn mean_range_use(&self) -> f64 {
        self.range_use / self.layers.max(1) as f64
    }
}

/// What a layer is built onto.
pub struct Chain<'a> {
    /// For errors.
    pub document: &'a Document,
    /// The plants.
    pub lab: &'a Lab,
    /// Kind and width of all before, the data first.
    pub before: &'a [(&'static str, usize)],
}

impl Chain<'_> {
    /// The number of the layer that is being built.
    fn index(&self) -> usize {
        self.before.len() - 1
    }

    /// The width that comes in.
    pub fn width(&self) -> usize {
        self.before[self.index()].1
    }

    /// An error about a key of this layer.
    pub fn refuse(&self, key: &str, message: String) -> Error {
        self.document.refuse(&format!("layers.{}.{key}", self.index()), message)
    }

    /// Refuses a layer that takes another width than the one before gives.
    pub fn takes(&self, kind: &str, key: &str, width: usize) -> Result<(), Error> {
        let (index, (before, given)) = (self.index(), self.before[self.index()]);
        if given == width {
            return Ok(());
        }
        let from = if index == 0 { before.to_owned() } else { format!("layer {} ({before})", index - 1) };
        Err(self.refuse(
            key,
            format!("does not fit: {from} gives {given} values, but layer {index} ({kind}) takes {width}"),
        ))
    }
}

/// Values that a layer may give at most.
const WIDEST: usize = 1 << 16;
/// Layers that a network may have at most.
const MOST_LAYERS: usize = 1000;
/// Weights that a network may have at most: with their gradients, moments and checkpoints some GiB.
const MOST_WEIGHTS: usize = 1 << 26;

/// What comes into a network, and what must come out.
#[derive(Debug, Clone)]
pub struct Ends {
    /// Values of a row.
    pub inputs: usize,
    /// Values that the last layer gives.
    pub outputs: usize,
    /// What those are.
    pub what: &'static str,
    /// The lattice, at each cell of which it is run, if there is one.
    pub cells: Option<CellsConfig>,
}

impl From<&Dataset> for Ends {
    fn from(data: &Dataset) -> Self {
        match data.cells() {
            Some(cells) => cells.into(),
            None => Self { inputs: data.width, outputs: data.meaning.len(), what: data.meaning.word(), cells: None },
        }
    }
}

/// The rule of an automaton.
impl From<&CellsConfig> for Ends {
    fn from(cells: &CellsConfig) -> Self {
        Self { inputs: cells.width(), outputs: cells.channels, what: "channels", cells: Some(cells.clone()) }
    }
}

/// Inputs and classes.
impl From<[usize; 2]> for Ends {
    fn from([inputs, outputs]: [usize; 2]) -> Self {
        Self { inputs, outputs, what: "classes", cells: None }
    }
}

/// A network: layers one after another.
pub struct Network {
    layers: Vec<Box<dyn Layer>>,
    kinds: Vec<&'static str>,
    /// Weights of each layer.
    counts: Vec<usize>,
    /// What runs it at each cell of a lattice, if it is a rule.
    automaton: Option<Automaton>,
}

impl Network {
    /// Builds and chains the layers between its ends: those of the data.
    pub fn build(
        configs: &[LayerConfig],
        document: &Document,
        lab: &Lab,
        ends: impl Into<Ends>,
    ) -> Result<Self, Error> {
        let Ends { inputs, outputs, what, cells } = ends.into();
        if MOST_LAYERS < configs.len() {
            return Err(
                document.refuse("layers", format!("are {}: at most {MOST_LAYERS} can be chained", configs.len()))
            );
        }
        let from = if cells.is_some() { "what a cell perceives" } else { "the data" };
        let mut before = vec![(from, inputs)];
        let (mut layers, mut counts, mut weights): (Vec<Box<dyn Layer>>, Vec<usize>, usize) = Default::default();
        for config in configs {
            let chain = Chain { document, lab, before: &before };
            let layer = config.build(&chain)?;
            if layer.width() > WIDEST {
                let message = format!("gives {} values: at most {WIDEST} make sense", layer.width());
                return Err(document.refuse(&format!("layers.{}", chain.index()), message));
            }
            // A layer has as many weights whatever their values are drawn from.
            let own = layer.weights(Key::new(0));
            weights += own.iter().map(|weight| weight.values.len()).sum::<usize>();
            if MOST_WEIGHTS < weights {
                let message = format!("is where there are {weights} weights: at most {MOST_WEIGHTS} can be trained");
                return Err(document.refuse(&format!("layers.{}", chain.index()), message));
            }
            counts.push(own.len());
            before.push((config.kind(), layer.width()));
            layers.push(layer);
        }
        let last = before[before.len() - 1];
        if layers.is_empty() || last.1 != outputs {
            let message = format!(
                "end with {} ({} values), but {} has {outputs} {what}: end with a layer that gives {outputs}",
                last.0,
                last.1,
                if cells.is_some() { "a cell" } else { "the data" }
            );
            return Err(document.refuse("layers", message));
        }
        let automaton = cells.as_ref().map(Automaton::new);
        Ok(Self { layers, kinds: configs.iter().map(LayerConfig::kind).collect(), counts, automaton })
    }

    /// The same, unless it has no weights: then there is nothing to train.
    pub fn trained(self, document: &Document) -> Result<Self, Error> {
        if self.counts.iter().sum::<usize>() > 0 {
            return Ok(self);
        }
        let message =
            "have no weights, so there is nothing to train: add a layer that has some, such as `scale-offset`";
        Err(document.refuse("layers", message))
    }

    /// Names and initial values of all weights: `layers.3.physical.mask`.
    pub fn weights(&self, key: Key) -> Vec<(String, Weight)> {
        let mut named = Vec::new();
        for (index, (layer, kind)) in self.layers.iter().zip(&self.kinds).enumerate() {
            let weights = layer.weights(key.branch("weights").number(index as u64));
            named.extend(weights.into_iter().map(|weight| (format!("layers.{index}.{kind}.{}", weight.name), weight)));
        }
        named
    }

    /// `[shots, inputs]` → `[shots, outputs]`: of classes their logits. The rule of an automaton: `[lattices, 2]` → their final states.
    pub fn forward(&self, inputs: Tensor<2>, weights: &[Tensor<2>], pass: &mut Pass<'_>) -> Result<Tensor<2>, Error> {
        match &self.automaton {
            Some(automaton) => automaton.grow(self, &inputs, weights, pass),
            None => self.chain(inputs, weights, pass),
        }
    }

    /// Each layer once.
    fn chain(&self, inputs: Tensor<2>, weights: &[Tensor<2>], pass: &mut Pass<'_>) -> Result<Tensor<2>, Error> {
        pass.begin();
        let mut values = inputs;
        for (index, (layer, these)) in self.layers.iter().zip(self.dealt(weights)).enumerate() {
            pass.enter(index, values.clone());
            values = layer.forward(values, these, pass)?;
        }
        Ok(values)
    }

    /// The weights of each layer.
    fn dealt<'w>(&self, weights: &'w [Tensor<2>]) -> impl Iterator<Item = &'w [Tensor<2>]> {
        let mut rest = weights;
        self.counts.iter().map(move |&count| {
            let (these, others) = rest.split_at(count);
            rest = others;
            these
        })
    }
}

#[cfg(test)]
mod tests;
