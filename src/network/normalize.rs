//! Batch normalization (Ioffe and Szegedy 2015), with statistics that each bench has of its own (Wu and Johnson 2021).
//!
//! ```text
//! y = scale · (x − mean)/√(variance + ε) + offset
//! ```
//!
//! Scale and offset are trained, and the same on every bench. Mean and variance are kept for each bench by what its plants say they are:
//! whoever changes the bench changes the set, and nothing is trained again. After a plant, x is what was measured: so are the statistics
//! of a batch, and the backward pass goes through them.

// Circle with network/measure.rs: a layer says what it wants measured, and measuring asks each layer that normalizes.

mod bank;

use burn::tensor::{Tensor, TensorData};
use calibration::Statistics;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use sims::Key;

use super::{Chain, Layer, Pass, Purpose, Wants, Weight};
use crate::Error;
use crate::network::rows;

use bank::Set;

/// The fewest values of a group that have a variance.
pub(super) const FEWEST: usize = 2;
/// Shots that statistics are measured on, where nobody says how many.
const SAMPLES: usize = 1000;

/// Each channel brought to mean 0 and variance 1.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct NormalizeConfig {
    /// Into how many channels of neighboring values a row is divided (each value is one): 6 of 6 × 24 × 24 values. Each has a factor and
    /// a summand of its own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 65_536))]
    pub channels: Option<usize>,
    /// Into how many groups of neighboring channels with common statistics they are divided (each channel is one).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 65_536))]
    pub groups: Option<usize>,
    /// By whose mean and variance it normalizes.
    #[serde(default)]
    pub statistics: StatisticsRule,
    /// For `ghost`: shots of each part of a batch.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 2, max = 1_000_000_000))]
    pub size: Option<usize>,
    /// For `moving` and `ghost`: the share of the moving average that each update keeps (0.9).
    #[serde(default = "most")]
    #[schemars(range(min = 0), extend("exclusiveMaximum" = 1))]
    pub decay: f64,
    /// Shots that statistics are measured on, of the run's own training rows: for `population` and `frozen`, and by `pnnlab normalize`
    /// (1000, or as many as there are).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 2, max = 1_000_000))]
    pub samples: Option<usize>,
    /// After so many updates the statistics stay as they are, in training too; left out: never. `frozen` begins so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 1_000_000_000))]
    pub freeze_after: Option<usize>,
    /// What is added to the variance, so that a channel that does not vary is not divided by 0 (1e-5).
    #[serde(default = "little")]
    #[schemars(range(min = 1e-12, max = 1))]
    pub epsilon: f64,
    /// The factors at the start (1): before a plant, the standard deviation in full scales.
    #[serde(default = "one")]
    #[schemars(range(min = -1e6, max = 1e6))]
    pub scale: f32,
    /// The summands at the start (0).
    #[serde(default)]
    #[schemars(range(min = -1e6, max = 1e6))]
    pub offset: f32,
}

/// By whose mean and variance it normalizes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum StatisticsRule {
    /// Those of the batch, in tests too: what a shot gives depends on those beside it.
    Batch,
    /// Trained by those of the batch, tested by a moving average of them.
    #[default]
    Moving,
    /// Trained by those of the batch, tested by exact ones, measured before each test on `samples` training rows.
    Population,
    /// Exact ones, measured before the first update, and no others.
    Frozen,
    /// Trained by those of parts of the batch with `size` shots, tested by a moving average of them.
    Ghost,
}

fn most() -> f64 {
    0.9
}

fn little() -> f64 {
    1e-5
}

fn one() -> f32 {
    1.0
}

impl StatisticsRule {
    /// The word in files.
    fn word(self) -> &'static str {
        match self {
            Self::Batch => "batch",
            Self::Moving => "moving",
            Self::Population => "population",
            Self::Frozen => "frozen",
            Self::Ghost => "ghost",
        }
    }
}

impl NormalizeConfig {
    /// Whether its statistics are to be measured.
    pub fn is_wanted(&self, wants: Wants) -> bool {
        match (wants, self.statistics) {
            (_, StatisticsRule::Batch) => false,
            (Wants::All, _) => true,
            (Wants::Test { done }, StatisticsRule::Population) => self.freeze_after.is_none_or(|after| done <= after),
            (Wants::Freeze { step }, StatisticsRule::Population) => self.freeze_after == step.checked_sub(1),
            (Wants::Freeze { step }, StatisticsRule::Frozen) => step == 1,
            (Wants::Test { .. } | Wants::Freeze { .. }, _) => false,
        }
    }

    /// Shots that its statistics are measured on, of so many training rows.
    pub fn samples_of(&self, rows: usize) -> usize {
        self.samples.unwrap_or(SAMPLES.min(rows))
    }

    pub(super) fn build(&self, chain: &Chain<'_>) -> Result<Box<dyn Layer>, Error> {
        let width = chain.width();
        let divides = |key: &str, parts: usize, what: &str, whole: usize| {
            if parts != 0 && whole.is_multiple_of(parts) {
                return Ok(parts);
            }
            Err(chain.refuse(key, format!("is {parts}, but {whole} {what}: give a number that divides {whole}")))
        };
        let channels = divides("channels", self.channels.unwrap_or(width), "values come in", width)?;
        let groups = divides("groups", self.groups.unwrap_or(channels), "channels are to be grouped", channels)?;
        let is_ghost = self.statistics == StatisticsRule::Ghost;
        match self.size {
            None if is_ghost => {
                return Err(
                    chain.refuse("statistics", "is `ghost`, which needs `size`: the shots of each part".to_owned())
                );
            }
            Some(size) if is_ghost && size < FEWEST => {
                return Err(chain.refuse("size", format!("is {size}, but a part needs at least {FEWEST} shots")));
            }
            Some(_) if !is_ghost => {
                let message =
                    format!("is for `ghost`, but the statistics are `{}`: leave it out", self.statistics.word());
                return Err(chain.refuse("size", message));
            }
            _ => {}
        }
        if self.freeze_after.is_some() && matches!(self.statistics, StatisticsRule::Batch | StatisticsRule::Frozen) {
            let message =
                format!("freezes nothing where the statistics are `{}`: leave it out", self.statistics.word());
            return Err(chain.refuse("freeze_after", message));
        }
        if !(0.0..1.0).contains(&self.decay) {
            return Err(chain.refuse("decay", format!("is {}, but it must be from 0 to below 1", self.decay)));
        }
        if !(self.epsilon > 0.0 && self.epsilon.is_finite()) {
            return Err(chain.refuse("epsilon", format!("is {}, but it must be above 0", self.epsilon)));
        }
        if self.samples.is_some_and(|samples| samples < FEWEST) {
            return Err(chain.refuse("samples", format!("is {}, but it must be at least {FEWEST}", self.samples_of(0))));
        }
        for (key, value) in [("scale", self.scale), ("offset", self.offset)] {
            if !value.is_finite() {
                return Err(chain.refuse(key, format!("is {value}, but it must be a finite number")));
            }
        }
        Ok(Box::new(Normalize { config: self.clone(), index: chain.index(), width, channels, groups }))
    }
}

/// The layer.
pub struct Normalize {
    config: NormalizeConfig,
    /// Its number in the network.
    index: usize,
    width: usize,
    channels: usize,
    groups: usize,
}

impl Normalize {
    /// What the experiment says of it.
    pub fn config(&self) -> &NormalizeConfig {
        &self.config
    }

    /// Values of one group in a shot.
    pub fn stretch(&self) -> usize {
        self.width / self.groups
    }

    /// The statistics of these rows, where the pass is; they are in use from now on. The first are those that were in use before.
    pub fn measure(
        &self,
        batches: &[&Tensor<2>],
        wants: Wants,
        pass: &mut Pass<'_>,
    ) -> Result<(Option<Statistics>, Statistics), Error> {
        let bench = pass.bench();
        let mut new = Statistics::new(&bench, self.groups);
        for values in batches {
            new.add_stretches(&rows::values((*values).clone()), self.stretch());
        }
        if new.count() < FEWEST as u64 {
            let needed = FEWEST.div_ceil(self.stretch());
            return Err(Error::Usage(format!(
                "layer {} (normalize) needs at least {needed} shots to measure its statistics, but was given {}",
                self.index,
                batches.iter().map(|values| values.dims()[0]).sum::<usize>()
            )));
        }
        let variance = new.variance();
        if !new.mean().iter().chain(&variance).all(|value| value.is_finite()) {
            return Err(Error::Diverged { what: format!("what comes to layer {} (normalize)", self.index) });
        }
        let memory = pass.state.of_mut(self.index);
        let old = bank::find(memory, &bench);
        let to_f32 = |values: &[f64]| values.iter().map(|value| *value as f32).collect::<Vec<_>>();
        // Sets that training has not made are nobody's home.
        let trained = bank::read(memory, &bench).map_or(0.0, |set| set.updates);
        let updates = if wants == Wants::All { trained } else { trained + 1.0 };
        let set = Set { mean: to_f32(new.mean()), variance: to_f32(&variance), count: new.count() as f32, updates };
        if matches!(wants, Wants::Freeze { .. }) {
            // What training goes on by is all that fits what it learns from now on.
            memory.clear();
        }
        bank::write(memory, &bench, set);
        let old = old.map(|(of, set)| {
            let wide = |values: &[f32]| values.iter().map(|value| f64::from(*value)).collect::<Vec<_>>();
            Statistics::known(of, set.count as u64, wide(&set.mean), &wide(&set.variance))
        });
        Ok((old.transpose()?, new))
    }

    /// The set by which a pass normalizes; none where it does so by the batch itself.
    fn set(&self, pass: &Pass<'_>, bench: &str) -> Result<Option<Set>, Error> {
        let rule = self.config.statistics;
        let is_frozen =
            |step: usize| rule == StatisticsRule::Frozen || self.config.freeze_after.is_some_and(|after| after < step);
        if rule == StatisticsRule::Batch || matches!(pass.purpose, Purpose::Train { step } if !is_frozen(step)) {
            return Ok(None);
        }
        let found = pass.state.of(self.index).and_then(|memory| bank::find(memory, bench)).map(|(_, set)| set);
        match pass.purpose {
            // Before they are first measured those of the batch say the same, less exactly.
            Purpose::Train { .. } => Ok(found),
            Purpose::Test => found.map(Some).ok_or_else(|| {
                Error::Usage(format!(
                    "layer {} (normalize) has no statistics yet: train at least one step, or measure them with `pnnlab normalize`",
                    self.index
                ))
            }),
        }
    }

    /// Normalizes by what was measured before.
    fn by_set(&self, values: Tensor<3>, set: &Set) -> Tensor<3> {
        let device = values.device();
        let row = |values: Vec<f32>| Tensor::<3>::from_data(TensorData::new(values, [1, self.groups, 1]), &device);
        let factor = |variance: &f32| (1.0 / (f64::from(*variance) + self.config.epsilon).sqrt()) as f32;
        let factors = set.variance.iter().map(factor).collect();
        (values - row(set.mean.clone())) * row(factors)
    }

    /// Normalizes by the batch itself, or by parts of it, and remembers its statistics where the pass trains.
    fn by_batch(&self, values: &Tensor<3>, pass: &mut Pass<'_>, bench: &str) -> Result<Tensor<3>, Error> {
        let shots = values.dims()[0];
        let parts = match (self.config.size, pass.purpose) {
            (Some(size), Purpose::Train { .. }) => (shots / size).max(1),
            _ => 1,
        };
        if shots / parts * self.stretch() < FEWEST {
            return Err(Error::Usage(format!(
                "layer {} (normalize) has too few samples: {shots} shots in {parts} parts give {} values of each group, but a variance \
                 needs at least {FEWEST}: raise training.batch, or choose `statistics = \"population\"`",
                self.index,
                shots / parts * self.stretch()
            )));
        }
        let (mut normalized, mut seen) = (Vec::with_capacity(parts), Vec::with_capacity(parts));
        for part in 0..parts {
            let [from, to] = [part, part + 1].map(|part| part * shots / parts);
            let own = if parts == 1 { values.clone() } else { values.clone().narrow(0, from, to - from) };
            let mean = own.clone().mean_dim(2).mean_dim(0);
            let centered = own - mean.clone();
            let variance = centered.clone().square().mean_dim(2).mean_dim(0);
            normalized.push(centered / variance.clone().add_scalar(self.config.epsilon).sqrt());
            seen.push((mean, variance, (to - from) * self.stretch()));
        }
        if matches!(pass.purpose, Purpose::Train { .. }) && self.config.statistics.is_averaged() {
            self.remember(&seen, pass, bench);
        }
        Ok(if parts == 1 { normalized.remove(0) } else { Tensor::cat(normalized, 0) })
    }

    /// Takes the statistics of the parts of a batch, each with its count, into the moving average.
    fn remember(&self, parts: &[(Tensor<3>, Tensor<3>, usize)], pass: &mut Pass<'_>, bench: &str) {
        let (mut mean, mut variance, mut count) = (vec![0.0; self.groups], vec![0.0; self.groups], 0);
        for (means, variances, values) in parts {
            let share = 1.0 / parts.len() as f64;
            // As of a sample: a batch is one.
            let unbiased = share * *values as f64 / (*values as f64 - 1.0);
            for (sum, value) in mean.iter_mut().zip(rows::values(means.clone().detach())) {
                *sum += share * f64::from(value);
            }
            for (sum, value) in variance.iter_mut().zip(rows::values(variances.clone().detach())) {
                *sum += unbiased * f64::from(value);
            }
            count += values;
        }
        let memory = pass.state.of_mut(self.index);
        let before = bank::read(memory, bench);
        let kept = if before.as_ref().is_some_and(|set| set.updates > 0.0) { self.config.decay } else { 0.0 };
        let average = |before: Option<&Vec<f32>>, now: Vec<f64>| {
            let old = |index: usize| before.and_then(|before| before.get(index)).map_or(0.0, |value| f64::from(*value));
            let both = now.into_iter().enumerate().map(|(index, now)| kept * old(index) + (1.0 - kept) * now);
            both.map(|value| value as f32).collect::<Vec<_>>()
        };
        let set = Set {
            mean: average(before.as_ref().map(|set| &set.mean), mean),
            variance: average(before.as_ref().map(|set| &set.variance), variance),
            count: before.as_ref().map_or(0.0, |set| kept as f32 * set.count) + count as f32,
            updates: before.map_or(0.0, |set| set.updates) + 1.0,
        };
        bank::write(memory, bench, set);
    }
}

impl StatisticsRule {
    /// Whether training leaves a moving average.
    fn is_averaged(self) -> bool {
        matches!(self, Self::Moving | Self::Ghost)
    }
}

impl Layer for Normalize {
    fn width(&self) -> usize {
        self.width
    }

    fn weights(&self, _: Key) -> Vec<Weight> {
        let row = |name, value| Weight::row(name, vec![value; self.channels]);
        vec![row("scale", self.config.scale), row("offset", self.config.offset)]
    }

    fn remembers(&self, name: &str, tensor: &Tensor<2>) -> bool {
        bank::is_part(name, tensor, self.groups)
    }

    fn normalize(&self) -> Option<&Normalize> {
        Some(self)
    }

    fn forward(&self, values: Tensor<2>, weights: &[Tensor<2>], pass: &mut Pass<'_>) -> Result<Tensor<2>, Error> {
        let shots = values.dims()[0];
        let grouped = values.reshape([shots, self.groups, self.stretch()]);
        let bench = pass.bench();
        let normalized = match self.set(pass, &bench)? {
            Some(set) => self.by_set(grouped, &set),
            None => self.by_batch(&grouped, pass, &bench)?,
        };
        let [scale, offset] = [0, 1].map(|weight: usize| weights[weight].clone().reshape([1, self.channels, 1]));
        let channels = normalized.reshape([shots, self.channels, self.width / self.channels]);
        Ok((channels * scale + offset).reshape([shots, self.width]))
    }
}

#[cfg(test)]
mod tests;
