//! One stage of a network, physical or digital. A layer does not change; what training changes are its weights.

// Circle with network/: the list of layers names each kind, and each is made of the trait and the words here.

mod activation;
mod automaton;
mod bins;
mod chain;
mod computed;
mod convolution;
pub(crate) mod full_scale;
mod guard;
mod heads;
mod image;
mod label;
mod linear;
mod lstm;
mod magnitude;
mod measure;
mod motion;
mod normalize;
mod pad;
mod pass;
mod physical;
pub mod physics_aware;
mod pick;
mod pool;
pub mod range_penalty;
mod repeat;
pub mod rows;
mod scale;
mod scale_offset;
mod sequence;
mod skip;
mod stages;
mod state;
mod trail;
mod usage;

use std::ops::Range;
use std::sync::Arc;

use burn::tensor::Tensor;
use drivers::{Batch, Ports};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use sims::{Key, Pixels};

use crate::Error;
use crate::document::Document;
use crate::plants::Lab;
use heads::Heads;
use normalize::Normalize;

pub use activation::{ActivationConfig, Function};
pub use automaton::{Automaton, is_slot};
pub use bins::BinsConfig;
pub use chain::{Chain, Ends};
pub use computed::computed;
pub use convolution::ConvolutionConfig;
pub use full_scale::{FullScale, FullScales, Units};
pub use guard::{GuardAlarm, GuardConfig, GuardSource, LEARNS_ONE_IN};
pub use heads::{HeadsConfig, Layout, Metric, Outputs, Penalty};
pub use image::Image;
pub use label::LabelConfig;
pub use linear::LinearConfig;
pub use lstm::LstmConfig;
pub use magnitude::{Fields, MagnitudeConfig};
pub use measure::{Amounts, Measurement, Wants};
pub use motion::{Generator, Motion, Walk};
pub use normalize::{NormalizeConfig, StatisticsRule};
pub use pad::PadConfig;
pub use pass::{Pass, Purpose, Shots};
pub use physical::{Distribution, PhysicalConfig};
pub use physics_aware::{Measured, Wanted};
pub use pick::PickConfig;
pub use pool::{PoolConfig, PoolStatistic};
pub use range_penalty::Walls;
pub use repeat::RepeatConfig;
pub use scale::ScaleConfig;
pub use scale_offset::ScaleOffsetConfig;
pub use sequence::{MotionEnds, Sequence};
pub use skip::SkipConfig;
pub use state::{Remembered, State};
pub use trail::{Rollout, Trail};
pub use usage::Usage;

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
    /// Images convolved with trainable kernels.
    Convolution(ConvolutionConfig),
    /// Windows of images, each as one value.
    Pool(PoolConfig),
    /// Intensities of fields, each shot brought to length 1.
    Magnitude(MagnitudeConfig),
    /// A memory that goes on from frame to frame of a motion.
    Lstm(LstmConfig),
    /// The class that is tried, beside the values that come in: for methods that hold a right class against a wrong one.
    Label(LabelConfig),
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
            Self::Convolution(_) => "convolution",
            Self::Pool(_) => "pool",
            Self::Magnitude(_) => "magnitude",
            Self::Lstm(_) => "lstm",
            Self::Label(_) => "label",
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
            Self::Convolution(config) => config.build(chain),
            Self::Pool(config) => config.build(chain),
            Self::Magnitude(config) => config.build(chain),
            Self::Lstm(config) => config.build(chain),
            Self::Label(config) => config.build(chain),
        }
    }
}

/// One stage of a network.
pub trait Layer: Send {
    /// Values that it gives for each shot.
    fn width(&self) -> usize;

    /// The images that it gives, if it gives images. Without an answer those that came in are left, where it gives as many values.
    fn image(&self) -> Option<Image> {
        None
    }

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

    /// How many classes it tries, where it says which one is tried.
    fn label(&self) -> Option<usize> {
        None
    }

    /// Readings of its plant, in SI units, as it gives them; none where it drives no plant.
    fn readings(&self, _readings: &Batch) -> Option<Tensor<2>> {
        None
    }

    /// The gradient, at the values that came in, of its outputs weighed by `cotangents`: as tensor operations, which can be differentiated
    /// again. None where it cannot be part of a read-out.
    fn pull_back(&self, _values: &Tensor<2>, _weights: &[Tensor<2>], _cotangents: Tensor<2>) -> Option<Tensor<2>> {
        None
    }

    /// What it gives, and the slope at each value where it is a function of each value alone whose slope needs what its value needs: then nothing is
    /// computed twice, and the slope stands in for [`Layer::pull_back`].
    fn forward_with_slope(
        &self,
        values: Tensor<2>,
        weights: &[Tensor<2>],
        pass: &mut Pass<'_>,
    ) -> Result<(Tensor<2>, Option<Tensor<2>>), Error> {
        Ok((self.forward(values, weights, pass)?, None))
    }

    /// The plant that it drives, with its name.
    fn plant(&self) -> Option<(&str, &Ports)> {
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

/// Values that a layer may give at most.
const WIDEST: usize = 1 << 16;
/// Layers that a network may have at most.
const MOST_LAYERS: usize = 1000;
/// Weights that a network may have at most: with their gradients, moments and checkpoints some GiB.
const MOST_WEIGHTS: usize = 1 << 26;

/// The table of a lattice.
const CELLS: &str = "[cells]";

/// The table that says how a network is run otherwise than once for each row, if one does.
fn table(cells: bool, motion: bool) -> Option<&'static str> {
    if cells { Some(CELLS) } else { motion.then_some("[motion]") }
}

/// A network: layers one after another.
pub struct Network {
    layers: Vec<Box<dyn Layer>>,
    kinds: Vec<&'static str>,
    /// Weights of each layer.
    counts: Vec<usize>,
    /// Several read-outs, whose layers stand behind those that they share, one read-out after another.
    heads: Option<Heads>,
    /// What guards its physical layers, if anything does.
    guard: Option<Arc<GuardConfig>>,
    /// What runs it at each cell of a lattice, if it is a rule.
    automaton: Option<Automaton>,
    /// What runs it at each frame of a sequence, if it moves a generator.
    motion: Option<Motion>,
}

impl Network {
    /// Builds and chains the layers between its ends: those of the data.
    pub fn build<'c>(
        layout: impl Into<Layout<'c>>,
        document: &Document,
        lab: &Lab,
        ends: impl Into<Ends>,
    ) -> Result<Self, Error> {
        let Ends { inputs, outputs, what, classes, cells, movement } = ends.into();
        let layout = layout.into();
        if let (Some(table), Some(_)) = (table(cells.is_some(), movement.is_some()), layout.heads) {
            let message =
                format!("is for networks that say something of a row: leave it out where there is a table {table}");
            return Err(document.refuse("heads", message));
        }
        let (configs, shared) = layout.chain(document)?;
        if MOST_LAYERS < configs.len() {
            return Err(
                document.refuse("layers", format!("are {}: at most {MOST_LAYERS} can be chained", configs.len()))
            );
        }
        let has_own = layout.heads.is_some_and(|heads| !heads.layers.is_empty());
        let own_from = if has_own { layout.layers.len() } else { usize::MAX };
        let from = match table(cells.is_some(), movement.is_some()) {
            None => "the data",
            Some(CELLS) => "what a cell perceives",
            Some(_) => "the noise of a frame",
        };
        let motion = movement.as_deref().map(Motion::ends);
        let (mut before, mut images) = (vec![(from, inputs)], vec![None]);
        let (mut layers, mut counts, mut weights): (Vec<Box<dyn Layer>>, Vec<usize>, usize) = Default::default();
        for (index, config) in configs.iter().enumerate() {
            let image = images[index];
            let chain = Chain { document, lab, before: &before, own_from, image, motion };
            let layer = config.build(&chain)?;
            if layer.width() > WIDEST {
                let message = format!("gives {} values: at most {WIDEST} make sense", layer.width());
                return Err(document.refuse(&heads::path(&chain), message));
            }
            // A layer has as many weights whatever their values are drawn from.
            let own = layer.weights(Key::new(0));
            let times = layout.heads.filter(|_| shared <= index).map_or(1, |heads| heads.count);
            weights += times * own.iter().map(|weight| weight.values.len()).sum::<usize>();
            if MOST_WEIGHTS < weights {
                let message = format!("is where there are {weights} weights: at most {MOST_WEIGHTS} can be trained");
                return Err(document.refuse(&heads::path(&chain), message));
            }
            if let Some(tried) = layer.label().filter(|tried| !classes || *tried != outputs) {
                let message = format!("is {tried}, but there are {outputs} {what}: it tries the classes of the data");
                return Err(chain.refuse("classes", message));
            }
            counts.push(own.len());
            images.push(layer.image().or(image.filter(|_| layer.width() == chain.width())));
            before.push((config.kind(), layer.width()));
            layers.push(layer);
        }
        let last = before[before.len() - 1];
        if layers.is_empty() || last.1 != outputs {
            let message = format!(
                "end with {} ({} values), but {} has {outputs} {what}: end with a layer that gives {outputs}",
                last.0,
                last.1,
                match table(cells.is_some(), movement.is_some()) {
                    None => "the data",
                    Some(CELLS) => "a cell",
                    Some(_) => "a motion",
                }
            );
            return Err(document.refuse(if has_own { "heads.layers" } else { "layers" }, message));
        }
        let mut kinds: Vec<&str> = configs.iter().map(|config| config.kind()).collect();
        for _ in 1..layout.heads.map_or(1, |heads| heads.count) {
            for (index, config) in configs.iter().enumerate().skip(shared) {
                let chain = Chain { document, lab, before: &before[..=index], own_from, image: images[index], motion };
                layers.push(config.build(&chain)?);
                kinds.push(config.kind());
                counts.push(counts[index]);
            }
        }
        let heads = layout.heads.map(|heads| Heads::new((heads, shared, classes), &layers, document)).transpose()?;
        let automaton = cells.as_ref().map(Automaton::new);
        let motion = movement.as_deref().map(Motion::new);
        Ok(Self { layers, kinds, counts, guard: None, heads, automaton, motion })
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

    /// The same with a guard for each physical layer. Refuses one that would be fitted to too few shots.
    pub fn guarded(mut self, guard: Option<&GuardConfig>, document: &Document) -> Result<Self, Error> {
        if let Some(config) = guard {
            if let Some(table) = table(self.automaton.is_some(), self.motion.is_some()) {
                let message =
                    format!("judges the shots of a batch of rows: leave it out where there is a table {table}");
                return Err(document.refuse("guard", message));
            }
            let plants = self.layers.iter().enumerate().filter_map(|(index, layer)| Some((index, layer.plant()?)));
            for (index, (plant, ports)) in plants {
                config.check((index, plant), ports, document)?;
            }
        }
        self.guard = guard.cloned().map(Arc::new);
        Ok(self)
    }

    /// How many numbers are trained.
    pub fn weight_count(&self) -> usize {
        // A layer has as many whatever their values are drawn from.
        self.layers.iter().flat_map(|layer| layer.weights(Key::new(0))).map(|weight| weight.values.len()).sum()
    }

    /// The kind of the last layer.
    pub fn last_kind(&self) -> Option<&'static str> {
        self.kinds.last().copied()
    }

    /// Whether none but plants have weights.
    pub fn is_read_only(&self) -> bool {
        self.kinds.iter().zip(&self.counts).all(|(kind, count)| *kind == "physical" || *count == 0)
    }

    /// Names and initial values of all weights: `layers.3.physical.mask`, and of several read-outs `heads.0.layers.5.linear.matrix`.
    pub fn weights(&self, key: Key) -> Vec<(String, Weight)> {
        let mut named = Vec::new();
        for (index, (layer, kind)) in self.layers.iter().zip(&self.kinds).enumerate() {
            let (head, number) = self.place(index);
            let key = key.branch("weights").number(number as u64);
            let (before, key) = match head {
                Some(head) => (format!("heads.{head}."), key.branch("head").number(head as u64)),
                None => (String::new(), key),
            };
            let weights = layer.weights(key);
            named.extend(
                weights.into_iter().map(|weight| (format!("{before}layers.{number}.{kind}.{}", weight.name), weight)),
            );
        }
        self.automaton.iter().for_each(|automaton| automaton.begin(&mut named));
        named
    }

    /// What an automaton makes: a lattice of its pool.
    pub fn picture(&self, state: &State) -> Option<Pixels<f32>> {
        self.automaton.as_ref()?.picture(self.layers.len(), state)
    }

    /// `[shots, inputs]` → `[shots, outputs]`: of classes their logits. The rule of an automaton: `[lattices, 2]` → their final states. What
    /// moves a generator: `[sequences, latents and noise]` → their frames, and how well the noise is told.
    pub fn forward(&self, inputs: Tensor<2>, weights: &[Tensor<2>], pass: &mut Pass<'_>) -> Result<Tensor<2>, Error> {
        self.outputs(inputs, weights, pass).map(|outputs| outputs.said)
    }

    /// Through the layers that all read-outs share; without several read-outs these are all. An automaton is run through them at every cell.
    fn shared(&self, inputs: Tensor<2>, weights: &[Tensor<2>], pass: &mut Pass<'_>) -> Result<Tensor<2>, Error> {
        match (&self.automaton, &self.motion) {
            (Some(automaton), _) => automaton.grow(self, &inputs, weights, pass),
            (None, Some(motion)) => motion.roll(self, &inputs, weights, pass),
            (None, None) => self.chain(inputs, weights, pass),
        }
    }

    /// Each of these layers once.
    fn chain(&self, inputs: Tensor<2>, weights: &[Tensor<2>], pass: &mut Pass<'_>) -> Result<Tensor<2>, Error> {
        let shared = self.heads.as_ref().map_or(self.layers.len(), |heads| heads.shared);
        self.chain_within(0..shared, inputs, weights, pass)
    }

    /// Each of some layers once, `inputs` being what comes to the first of them: none of these may reach behind it.
    fn chain_within(
        &self,
        places: Range<usize>,
        inputs: Tensor<2>,
        weights: &[Tensor<2>],
        pass: &mut Pass<'_>,
    ) -> Result<Tensor<2>, Error> {
        pass.begin(self.guard.as_ref());
        // Places of outputs that nobody asks for, so that those behind have their numbers.
        pass.outputs.resize(places.start, inputs.clone());
        let mut values = inputs;
        let layers = self.layers.iter().zip(self.dealt(weights)).enumerate();
        for (index, (layer, these)) in layers.take(places.end).skip(places.start) {
            pass.enter(index, values.clone());
            values = layer.forward(values, these, pass)?;
        }
        Ok(values)
    }

    /// What the physical layers gave in a pass that ended with `outputs`: their readings, one after another.
    pub fn readings(&self, pass: &Pass<'_>, outputs: &Tensor<2>) -> Vec<Tensor<2>> {
        let physical = self.layers.iter().enumerate().filter(|(_, layer)| layer.plant().is_some());
        physical.map(|(index, _)| pass.outputs.get(index + 1).unwrap_or(outputs).clone()).collect()
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
