//! One pass through a plant.
//!
//! The network computes in full scales, where 1 stands for the largest magnitude that a port may have, or in SI units
//! (`src/network/full_scale.rs`). Values outside the range are penalized softly, then clamped; what reaches the plant is always
//! allowed.

use std::sync::Arc;

use burn::tensor::Tensor;
use drivers::{Batch, Direction, Ports, Range};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use sims::Key;

use super::guard::Passed;
use super::{Chain, Layer, Pass, Shots, Usage, Weight, trail::Reading};
use crate::Error;
use crate::document::{list, nearest};
use crate::network::{
    FullScale, FullScales, Measured, Units, Walls, Wanted, physics_aware::physical_in_full_scales,
    range_penalty::range_penalty, rows,
};

/// One pass through a plant.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PhysicalConfig {
    /// The name of the plant in the rig. Several layers may use one plant, each with controls of its own.
    pub plant: String,
    /// Where the controls start, as a fraction of their range (default 0.5).
    #[serde(default = "half")]
    #[schemars(range(min = 0, max = 1))]
    pub control: f32,
    /// Standard deviation of the controls at the start, as a fraction of their range (default 0).
    #[serde(default)]
    #[schemars(range(min = 0, max = 10))]
    pub control_spread: f32,
    /// How the controls are spread: `normal` (default) or `uniform`, with the same standard deviation.
    #[serde(default)]
    pub control_distribution: Distribution,
    /// What the network computes in around this layer, and what its controls are trained in: `full-scale` (default), where 1
    /// is the largest magnitude that a port may have, or `si`, the ports' own units.
    #[serde(default)]
    pub units: Units,
}

/// The shape of a distribution.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Distribution {
    /// Gauss's.
    #[default]
    Normal,
    /// Even up to √3 standard deviations either way.
    Uniform,
}

fn half() -> f32 {
    0.5
}

impl PhysicalConfig {
    /// What is wrong where the plants are these and its own is none of them.
    pub(crate) fn missing_among(&self, plants: &[&str]) -> String {
        let hint = nearest(&self.plant, plants).map(|near| format!(" Did you mean `{near}`?")).unwrap_or_default();
        let known = if plants.is_empty() { "none".to_owned() } else { list(plants) };
        format!("is `{}`, but the rig has no such plant: it has {known}.{hint}", self.plant)
    }

    pub(super) fn build(&self, chain: &Chain<'_>) -> Result<Box<dyn Layer>, Error> {
        let Some(place) = chain.lab.find(&self.plant) else {
            return Err(chain.refuse("plant", self.missing_among(&chain.lab.names())));
        };
        let ports = &chain.lab.card(place).ports;
        chain.takes("physical", "plant", ports.input_count())?;
        let scale = |direction| FullScale::new(&ports.ranges(direction), self.units);
        let scales = FullScales {
            inputs: scale(Direction::Input),
            controls: scale(Direction::Control),
            outputs: scale(Direction::Output),
        };
        Ok(Box::new(Physical { config: self.clone(), place, scales: Arc::new(scales), ports: ports.clone() }))
    }
}

struct Physical {
    config: PhysicalConfig,
    place: usize,
    scales: Arc<FullScales>,
    ports: Ports,
}

impl Physical {
    /// The soft penalty of `values`, if anybody reads it.
    fn penalize(scale: &FullScale, values: &Tensor<2>, pass: &mut Pass<'_>) {
        if let Some(sharpness) = pass.sharpness {
            let walls = Walls { ranges: scale.ranges().clone(), sharpness };
            pass.penalties.push(range_penalty(values.clone(), Arc::new(walls)));
        }
    }

    /// Drives the plant, or computes its twin: the controls that it really had, and its readings.
    fn drive(&self, settings: &[f32], inputs: &Batch, pass: &mut Pass<'_>) -> Result<Reading, Error> {
        pass.fit_guard(self.place)?;
        let (applied, mut outputs) = pass.lab.run(self.place, pass.on, settings, inputs)?;
        pass.watch(&Passed { place: self.place, settings, inputs }, &applied, &mut outputs)?;
        pass.readings.keep(&applied, &outputs);
        Ok((applied, outputs))
    }

    /// Counts what was sent and what the clamp changed.
    fn count(&self, wanted: &[f32], usage: &mut Usage) {
        let ranges: &[Range] = self.scales.inputs.ranges();
        let mut extremes = vec![(f32::INFINITY, f32::NEG_INFINITY); ranges.len()];
        for row in wanted.chunks_exact(ranges.len()) {
            for ((value, range), (low, high)) in row.iter().zip(ranges).zip(&mut extremes) {
                usage.clipped += u64::from(*value < range.low || range.high < *value);
                let sent = value.clamp(range.low, range.high);
                (*low, *high) = (low.min(sent), high.max(sent));
            }
        }
        usage.sent += wanted.len() as u64;
        let shares = extremes.iter().zip(ranges).map(|((low, high), range)| f64::from((high - low) / range.span()));
        usage.range_use += shares.sum::<f64>() / ranges.len() as f64;
        usage.layers += 1;
    }
}

impl Layer for Physical {
    fn plant(&self) -> Option<(&str, &Ports)> {
        Some((&self.config.plant, &self.ports))
    }

    fn width(&self) -> usize {
        self.scales.outputs.count()
    }

    fn weights(&self, key: Key) -> Vec<Weight> {
        let controls = &self.scales.controls;
        if controls.count() == 0 {
            return vec![];
        }
        let mut stream = key.stream();
        let mut deviate = || match self.config.control_distribution {
            Distribution::Normal => stream.normal(),
            Distribution::Uniform => 3.0_f32.sqrt() * (2.0 * stream.uniform() - 1.0),
        };
        let draw = |range: &Range| {
            let fraction = self.config.control + self.config.control_spread * deviate();
            range.at(fraction)
        };
        vec![Weight::row("controls", controls.ranges().iter().map(draw).collect())]
    }

    fn readings(&self, readings: &Batch) -> Option<Tensor<2>> {
        let values = self.scales.outputs.count_in(readings.values().to_vec());
        Some(rows::tensor(values, [readings.rows(), readings.columns()]))
    }

    fn forward(&self, values: Tensor<2>, weights: &[Tensor<2>], pass: &mut Pass<'_>) -> Result<Tensor<2>, Error> {
        let controls = weights.first().cloned();
        let wanted = Wanted {
            inputs: rows::values(values.clone()),
            controls: controls.clone().map(rows::values).unwrap_or_default(),
            scales: self.scales.clone(),
        };
        if !wanted.inputs.iter().all(|value| value.is_finite()) {
            return Err(Error::Diverged { what: format!("what goes to plant `{}`", self.config.plant) });
        }
        self.count(&wanted.inputs, &mut pass.usage);
        Self::penalize(&self.scales.inputs, &values, pass);
        if let Some(controls) = &controls {
            Self::penalize(&self.scales.controls, controls, pass);
        }
        let sent = rows::batch(self.scales.inputs.count(), self.scales.inputs.allow(&wanted.inputs));
        let settings = self.scales.controls.allow(&wanted.controls);
        let (applied, outputs) = match pass.readings.again() {
            Some(known) => known,
            None => self.drive(&settings, &sent, pass)?,
        };
        pass.places.push(self.place);
        if let Some(shots) = &mut pass.shots {
            let (inputs, controls, outputs) = (sent.clone(), applied.clone(), outputs.clone());
            let (wanted, scales) = (wanted.controls.clone(), self.scales.clone());
            shots.push(Shots { layer: pass.layer, place: self.place, inputs, controls, outputs, wanted, scales });
        }
        let measured = Measured { inputs: sent, controls: applied, outputs };
        let twin = pass.twins.get(&pass.layer).cloned().unwrap_or_else(|| pass.lab.twin(self.place));
        if !pass.models {
            pass.into_plants.push(values.clone());
            if pass.local {
                let ended = |output: &Tensor<2>| Tensor::from_inner(output.clone().inner());
                pass.outputs.iter_mut().for_each(|output| *output = ended(output));
            }
            let (values, controls) = (values.inner(), controls.map(Tensor::inner));
            let read = physical_in_full_scales(values, controls, (measured, wanted), twin);
            let read = Tensor::from_inner(read);
            if pass.shots.is_none() {
                return Ok(read);
            }
            let leaf = read.require_grad();
            pass.from_plants.push(leaf.clone());
            return Ok(leaf);
        }
        Ok(physical_in_full_scales(values, controls, (measured, wanted), twin))
    }
}
