//! Dual adaptive training (Zheng et al., Nat. Mach. Intell. 5, 1119, 2023): a residual network behind the twin of each physical layer learns,
//! while the weights are trained, what the twin leaves of the readings; derivatives are those of both together.
//!
//! ```text
//! value: what was measured        gradient: that of p + r(x, p), p = twin(x, θ)        r: by Adam on readings − p, a few updates for each batch
//! ```
//!
//! The residual networks are taught by what was measured alone, and the weights by the task. Where a network has several physical layers, each
//! reading between them is what the paper calls an inner state: it teaches the residual network of its layer. An update uses what was
//! learned up to the one before, and a residual network that did not help the newest batch is left out. One pass an update; all that was
//! learned is in checkpoints.

use std::collections::BTreeMap;

use calibration::{Corrector, Part};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use sims::Key;

use super::backpropagation::{Through, differentiate};
use super::{Estimate, Estimator, Problem};
use crate::Error;
use crate::document::Document;
use crate::network::{NamedTensor, Shots, rows};
use crate::plants::{Forward, Lab};

/// How residual networks learn: the table `[training.dual-adaptive]`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct DualConfig {
    /// Units of the hidden layer of each residual network (64).
    #[schemars(range(min = 1, max = 4096))]
    pub hidden: usize,
    /// Updates of each residual network for each batch (4).
    #[schemars(range(min = 1, max = 1000))]
    pub updates: usize,
    /// Their step size (0.003).
    #[schemars(range(max = 10), extend("exclusiveMinimum" = 0))]
    pub learning_rate: f64,
}

impl Default for DualConfig {
    fn default() -> Self {
        Self { hidden: 64, updates: 4, learning_rate: 0.003 }
    }
}

impl DualConfig {
    /// Refuses a step size by which nothing is learned.
    pub fn sensible(&self, document: &Document) -> Result<(), Error> {
        super::positive("dual-adaptive", "learning_rate", self.learning_rate, document)
    }
}

/// How the names of its matrices begin in checkpoints.
const PREFIX: &str = "dual-adaptive.";

/// Gradients of twins that learn.
#[derive(Debug)]
pub struct Dual {
    config: DualConfig,
    key: Key,
    /// Of each physical layer, by its number.
    correctors: BTreeMap<usize, Corrector>,
}

impl Dual {
    /// Draws the first weights of residual networks from `key`.
    pub fn new(config: DualConfig, key: Key) -> Self {
        Self { config, key: key.branch("dual-adaptive"), correctors: BTreeMap::new() }
    }

    /// Learns what the twin leaves of a batch.
    fn learn(&mut self, shots: &Shots, lab: &Lab) {
        let Shots { layer, place, inputs, controls, outputs, .. } = shots;
        let predicted = lab.twin(*place).predict(inputs, controls);
        let batch = [inputs, &predicted, outputs];
        let key = self.key.number(*layer as u64);
        let corrector = self.correctors.entry(*layer).or_insert_with(|| Corrector::new(self.config.hidden, batch, key));
        // What a checkpoint of another plant says is of no use here.
        if corrector.sizes() != [inputs.columns(), outputs.columns()] {
            *corrector = Corrector::new(self.config.hidden, batch, key);
        }
        corrector.learn(batch, self.config.updates, self.config.learning_rate);
    }
}

impl Estimator for Dual {
    fn estimate(&mut self, problem: &Problem<'_>, lab: &mut Lab) -> Result<Estimate, Error> {
        let mut through = Through { shots: Some(vec![]), ..Through::default() };
        for (layer, plant, _) in problem.network.plants() {
            let Some((place, corrector)) = lab.find(plant).zip(self.correctors.get(&layer)) else { continue };
            let ports = &lab.card(place).ports;
            if corrector.sizes() == [ports.input_count(), ports.output_count()] {
                through.twins.insert(layer, corrector.twin(&lab.twin(place)));
            }
        }
        let (estimate, shots) = differentiate(problem, Forward::Plant, through, lab)?;
        for shots in &shots {
            self.learn(shots, lab);
        }
        Ok(estimate)
    }

    fn remembered(&self) -> Vec<NamedTensor> {
        let of = |(layer, corrector): (&usize, &Corrector)| {
            let layer = *layer;
            let tensor = move |(name, shape, values): Part| NamedTensor {
                name: format!("{PREFIX}{layer}.{name}"),
                tensor: rows::tensor(values, shape),
            };
            corrector.parts().into_iter().map(tensor).collect::<Vec<_>>()
        };
        self.correctors.iter().flat_map(of).collect()
    }

    fn recall(&mut self, tensors: &[NamedTensor]) -> Result<(), String> {
        let mut parts: BTreeMap<usize, Vec<Part>> = BTreeMap::new();
        for NamedTensor { name, tensor } in tensors {
            let Some((layer, part)) = name.strip_prefix(PREFIX).and_then(|rest| rest.split_once('.')) else { continue };
            let layer = layer.parse().map_err(|_| format!("has `{name}`, which names no layer"))?;
            parts.entry(layer).or_default().push((part.to_owned(), tensor.dims(), rows::values(tensor.clone())));
        }
        let correctors = parts.into_iter().map(|(layer, parts)| Ok((layer, Corrector::from_parts(&parts)?)));
        self.correctors = correctors.collect::<Result<_, String>>()?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plants::Derivatives;
    use crate::training::estimator::Backpropagation;
    use crate::training::estimator::tests::{Bench, rough_lab};

    /// Of factors and summands before the plant: they go by the slopes of its readings with its inputs.
    fn gradient(estimator: &mut dyn Estimator, bench: &Bench, step: usize, lab: &mut Lab) -> Vec<f32> {
        let found = estimator.estimate(&bench.problem(step), lab).unwrap();
        found.gradients.into_iter().take(2).flat_map(Option::unwrap).collect()
    }

    fn distance(one: &[f32], other: &[f32]) -> f32 {
        one.iter().zip(other).map(|(one, other)| (one - other).powi(2)).sum::<f32>().sqrt()
    }

    #[test]
    fn its_gradient_is_that_of_the_plant_where_the_twin_is_the_plant() {
        let (bench, mut lab) = (Bench::mesh(), Bench::lab());
        let exact = gradient(&mut Backpropagation { on: Forward::Plant }, &bench, 1, &mut lab);
        let mut dual = Dual::new(DualConfig::default(), Key::new(1));
        for step in 1..=20 {
            let found = gradient(&mut dual, &bench, step, &mut lab);
            assert!(distance(&found, &exact) < 1e-3 * distance(&exact, &vec![0.0; exact.len()]), "step {step}");
        }
    }

    #[test]
    fn it_learns_the_slopes_of_a_plant_that_its_twin_misses_and_goes_on_from_a_checkpoint() {
        let bench = Bench::mesh();
        let mut exact_lab = rough_lab(Derivatives::Plant);
        let mut lab = rough_lab(Derivatives::Twin);
        let plain = || Backpropagation { on: Forward::Plant };
        let exact = gradient(&mut plain(), &bench, 1, &mut exact_lab);
        let from_twin = gradient(&mut plain(), &bench, 1, &mut lab);
        let config = DualConfig { hidden: 24, updates: 8, learning_rate: 0.01 };
        let mut dual = Dual::new(config.clone(), Key::new(1));
        assert_eq!(gradient(&mut dual, &bench, 1, &mut lab), from_twin, "nothing is learned yet");
        let mut stream = Key::new(7).stream();
        for step in 2..=300 {
            // Other rows each time, as in a training.
            let values = (0..12).map(|_| 2.0 * stream.uniform() - 1.0).collect();
            let problem = Problem { inputs: rows::tensor(values, [4, 3]), ..bench.problem(step) };
            dual.estimate(&problem, &mut lab).unwrap();
        }
        let mut other = Dual::new(config, Key::new(1));
        other.recall(&dual.remembered()).unwrap();
        let found = gradient(&mut dual, &bench, 301, &mut lab);
        let [with, without] = [&found, &from_twin].map(|found| distance(found, &exact));
        assert!(with < 0.7 * without, "{with}, and {without} by the twin alone");
        assert_eq!(found, gradient(&mut other, &bench, 301, &mut lab));
        assert_eq!(gradient(&mut dual, &bench, 302, &mut lab), gradient(&mut other, &bench, 302, &mut lab));
        let mut broken = dual.remembered();
        broken.remove(0);
        assert!(other.recall(&broken).unwrap_err().contains("residual network"));
    }
}
