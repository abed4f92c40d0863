//! One pass through a plant.
//!
//! The network computes in full scales: 1 stands for the largest magnitude that a port may have. Here, and only here,
//! full scales become SI units and back. Values outside the range are penalized softly, then clamped; what reaches the
//! plant is always allowed.

use std::sync::Arc;

use burn::tensor::Tensor;
use drivers::{Batch, Direction, Range};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use sims::Key;

use super::{Chain, Layer, Pass, Weight};
use crate::Error;
use crate::document::{list, nearest};
use crate::physical::{Measured, physical};
use crate::range_penalty::{Walls, range_penalty};
use crate::rows;

/// One pass through a plant.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PhysicalConfig {
    /// The name of the plant in the rig. Several layers may use one plant, each with controls of its own.
    pub plant: String,
    /// Where the controls start, as a fraction of their range (default 0.5).
    #[serde(default = "half")]
    pub control: f32,
    /// Standard deviation of the controls at the start, as a fraction of their range (default 0).
    #[serde(default)]
    pub control_spread: f32,
}

fn half() -> f32 {
    0.5
}

impl PhysicalConfig {
    pub(super) fn build(&self, chain: &Chain<'_>) -> Result<Box<dyn Layer>, Error> {
        let Some(place) = chain.lab.find(&self.plant) else {
            let names = chain.lab.names();
            let hint = nearest(&self.plant, &names).map(|near| format!(" Did you mean `{near}`?")).unwrap_or_default();
            let message = format!("is `{}`, but the rig has no such plant: it has {}.{hint}", self.plant, list(&names));
            return Err(chain.refuse("plant", message));
        };
        let ports = &chain.lab.card(place).ports;
        chain.takes("physical", "plant", ports.input_count())?;
        Ok(Box::new(Physical {
            config: self.clone(),
            place,
            inputs: Scale::new(&ports.ranges(Direction::Input)),
            controls: Scale::new(&ports.ranges(Direction::Control)),
            outputs: Scale::new(&ports.ranges(Direction::Output)),
        }))
    }
}

/// How the ports of one direction become full scales and back.
struct Scale {
    /// SI units in one full scale, for each port.
    units: Vec<f32>,
    /// The ranges in full scales.
    ranges: Vec<Range>,
}

impl Scale {
    fn new(ranges: &[Range]) -> Self {
        // A port that can only be zero has no scale; 1 keeps it zero.
        let units: Vec<f32> =
            ranges.iter().map(|range| if range.full_scale() > 0.0 { range.full_scale() } else { 1.0 }).collect();
        let ranges =
            ranges.iter().zip(&units).map(|(range, unit)| Range::new(range.low / unit, range.high / unit)).collect();
        Self { units, ranges }
    }

    /// All units, if they are one and the same.
    fn uniform(&self) -> Option<f32> {
        self.units.first().copied().filter(|first| self.units.iter().all(|unit| unit == first))
    }

    /// Values in SI units from values in full scales.
    fn si_units(&self, values: Tensor<2>) -> Tensor<2> {
        match self.uniform() {
            Some(1.0) => values,
            Some(unit) => values.mul_scalar(unit),
            None => {
                let units = self.row(&values, |index| self.units[index]);
                values * units
            }
        }
    }

    /// Values in full scales from values in SI units.
    fn full_scales(&self, values: Tensor<2>) -> Tensor<2> {
        match self.uniform() {
            Some(1.0) => values,
            Some(unit) => values.div_scalar(unit),
            None => {
                let units = self.row(&values, |index| self.units[index]);
                values / units
            }
        }
    }

    /// The nearest allowed values, in full scales; no gradient passes where it clamps.
    fn clamp(&self, values: Tensor<2>) -> Tensor<2> {
        let first = self.ranges[0];
        if self.ranges.iter().all(|range| *range == first) {
            return values.clamp(first.low, first.high);
        }
        let (low, high) =
            (self.row(&values, |index| self.ranges[index].low), self.row(&values, |index| self.ranges[index].high));
        values.max_pair(low).min_pair(high)
    }

    /// One number for each port, on the device of `like`.
    fn row(&self, like: &Tensor<2>, value: impl Fn(usize) -> f32) -> Tensor<2> {
        rows::to_tensor(&Batch::from_fn(1, self.units.len(), |_, index| value(index)), &like.device())
    }

    /// The soft walls around the ranges.
    fn walls(&self, sharpness: f32) -> Arc<Walls> {
        Arc::new(Walls { ranges: self.ranges.clone(), sharpness })
    }

    /// Rounding on the way to SI units and back must not leave a range by its last bit.
    fn confine(&self, batch: &mut Batch) {
        let columns = batch.columns();
        for row in batch.values_mut().chunks_exact_mut(columns) {
            for ((value, range), unit) in row.iter_mut().zip(&self.ranges).zip(&self.units) {
                *value = value.clamp(range.low * unit, range.high * unit);
            }
        }
    }
}

struct Physical {
    config: PhysicalConfig,
    place: usize,
    inputs: Scale,
    controls: Scale,
    outputs: Scale,
}

impl Physical {
    /// Penalizes and clamps `values`, and gives them in SI units.
    fn allowed(scale: &Scale, values: Tensor<2>, pass: &mut Pass<'_>) -> Tensor<2> {
        pass.penalties.push(range_penalty(values.clone(), scale.walls(pass.sharpness)));
        scale.si_units(scale.clamp(values))
    }

    /// Counts what was sent and what the clamp changed.
    fn count(&self, wanted: &Batch, usage: &mut Usage) {
        let ranges = &self.inputs.ranges;
        let mut extremes = vec![(f32::INFINITY, f32::NEG_INFINITY); ranges.len()];
        for row in wanted {
            for ((value, range), (low, high)) in row.iter().zip(ranges).zip(&mut extremes) {
                usage.clipped += u64::from(*value < range.low || range.high < *value);
                let sent = value.clamp(range.low, range.high);
                (*low, *high) = (low.min(sent), high.max(sent));
            }
        }
        usage.sent += wanted.values().len() as u64;
        let shares = extremes.iter().zip(ranges).map(|((low, high), range)| f64::from((high - low) / range.span()));
        usage.range_use += shares.sum::<f64>() / ranges.len() as f64;
        usage.layers += 1;
    }
}

use super::Usage;

impl Layer for Physical {
    fn width(&self) -> usize {
        self.outputs.units.len()
    }

    fn weights(&self, key: Key) -> Vec<Weight> {
        if self.controls.units.is_empty() {
            return vec![];
        }
        let mut stream = key.stream();
        let draw = |range: &Range| {
            let fraction = self.config.control + self.config.control_spread * stream.normal();
            range.low + fraction.clamp(0.0, 1.0) * range.span()
        };
        vec![Weight::row("controls", self.controls.ranges.iter().map(draw).collect())]
    }

    fn forward(&self, values: Tensor<2>, weights: &[Tensor<2>], pass: &mut Pass<'_>) -> Result<Tensor<2>, Error> {
        self.count(&rows::to_batch(values.clone()), &mut pass.usage);
        let inputs = Self::allowed(&self.inputs, values, pass);
        let controls = weights.first().map(|controls| Self::allowed(&self.controls, controls.clone(), pass));

        let mut sent = rows::to_batch(inputs.clone());
        self.inputs.confine(&mut sent);
        let settings = controls.clone().map_or_else(Vec::new, |controls| {
            let mut row = rows::to_batch(controls);
            self.controls.confine(&mut row);
            row.into_values()
        });
        let (applied, outputs) = pass.lab.run(self.place, pass.on, &settings, &sent)?;
        let measured = Arc::new(Measured { inputs: sent, controls: applied, outputs });
        Ok(self.outputs.full_scales(physical(inputs, controls, measured, pass.lab.twin(self.place))))
    }
}
