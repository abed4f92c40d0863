//! What a twin leaves of a plant's readings, learned batch after batch while the plant is used: a network with one hidden layer behind the
//! twin, as the error prediction networks of dual adaptive training are (Zheng et al., Nat. Mach. Intell. 5, 1119, 2023).
//!
//! ```text
//! y = p + r(x, p)        p = twin(x, θ)        r learns readings − p by Adam on the newest batch
//! ```
//!
//! Features are inputs and predictions, less their mean and over their deviation in the first batch; targets are counted in the deviations of
//! the readings of that batch. r begins as 0, so it claims nothing that it was not shown; and where it did not help the newest batch, before it learned
//! from it, the twin stands alone. Shapes: x `[shots, inputs]`, p and readings
//! `[shots, outputs]`.

use std::sync::Arc;

use drivers::Batch;
use sims::{Key, Twin};

use crate::learner::{Examples, Learner};
use crate::network::{LearnedTwin, Network, Part};
use crate::{Architecture, PlainLayer};

/// Learns what a twin leaves.
#[derive(Debug, Clone)]
pub struct Corrector {
    /// Mean and deviation of each feature.
    features: [Vec<f32>; 2],
    /// The deviation of each reading.
    targets: Vec<f32>,
    learner: Learner,
    /// Whether it was nearer to the newest batch than the twin alone, before it learned from it.
    helps: bool,
}

/// Mean and deviation of each column; a column that does not move counts as if it moved by the root mean square of all.
fn scaling(batches: &[&Batch]) -> [Vec<f32>; 2] {
    let (mut means, mut deviations) = (Vec::new(), Vec::new());
    for batch in batches {
        let count = batch.rows().max(1) as f64;
        for column in 0..batch.columns() {
            let values = || batch.iter().map(|row| f64::from(row[column]));
            let mean = values().sum::<f64>() / count;
            means.push(mean as f32);
            deviations.push((values().map(|value| (value - mean).powi(2)).sum::<f64>() / count).sqrt() as f32);
        }
    }
    let mean_square = deviations.iter().map(|one| one * one).sum::<f32>() / deviations.len().max(1) as f32;
    let usual = if mean_square > 0.0 { mean_square.sqrt() } else { 1.0 };
    let least = 1e-3 * usual;
    [means, deviations.into_iter().map(|one| if least < one { one } else { usual }).collect()]
}

impl Corrector {
    /// One with so many hidden units that has learned nothing, scaled by a first batch: inputs, predictions, readings. `key` draws its
    /// weights.
    pub fn new(hidden: usize, [inputs, predicted, readings]: [&Batch; 3], key: Key) -> Self {
        let (features, [_, targets]) = (scaling(&[inputs, predicted]), scaling(&[readings]));
        let architecture = Architecture { hidden: vec![hidden.max(1)], learning_rate: 0.0, decay: 0.0 };
        let examples = examples((&features, &targets), [inputs, predicted, readings]);
        Self { learner: Learner::new(&architecture, &examples, key), features, targets, helps: false }
    }

    /// Inputs and outputs of the plant that it corrects the twin of.
    pub fn sizes(&self) -> [usize; 2] {
        [self.features[0].len().saturating_sub(self.targets.len()), self.targets.len()]
    }

    /// Makes so many updates at this step size on a batch: inputs, predictions, readings.
    pub fn learn(&mut self, batch: [&Batch; 3], updates: usize, rate: f64) {
        let examples = examples((&self.features, &self.targets), batch);
        // Relative to what the twin alone leaves.
        self.helps = self.learner.score(&examples) < 1.0;
        for _ in 0..updates {
            self.learner.update_all(&examples, rate);
        }
    }

    /// `twin`, corrected by what was learned so far.
    pub fn twin(&self, twin: &Arc<dyn Twin>) -> Arc<dyn Twin> {
        if !self.helps {
            return twin.clone();
        }
        let mut layers = self.learner.plain();
        if let Some(first) = layers.first_mut() {
            crate::learned::scale_inputs(first, &self.features[0], &self.features[1]);
        }
        if let Some(PlainLayer { inputs, weights, bias, .. }) = layers.last_mut() {
            for ((row, bias), width) in weights.chunks_exact_mut(*inputs).zip(bias).zip(&self.targets) {
                for weight in row.iter_mut() {
                    *weight *= width;
                }
                *bias *= width;
            }
        }
        let [inputs, outputs] = self.sizes();
        match Network::new(&layers, [inputs, 0, outputs]) {
            Some(network) => Arc::new(LearnedTwin::new(twin.card().clone(), Some(twin.clone()), network)),
            None => twin.clone(),
        }
    }

    /// All that decides how it goes on, as matrices.
    pub fn parts(&self) -> Vec<Part> {
        let [means, deviations] = &self.features;
        let mut parts = vec![
            ("features".to_owned(), [2, means.len()], [means.as_slice(), deviations].concat()),
            ("targets".to_owned(), [1, self.targets.len()], self.targets.clone()),
            ("helps".to_owned(), [1, 1], vec![f32::from(u8::from(self.helps))]),
        ];
        parts.extend(self.learner.parts());
        parts
    }

    /// One that goes on from [`Corrector::parts`]; the rest of a sentence says what cannot be.
    pub fn from_parts(parts: &[Part]) -> Result<Self, String> {
        let part = |name: &str| {
            let found = parts.iter().find(|(own, ..)| own == name);
            found.ok_or_else(|| format!("has no `{name}` of a residual network"))
        };
        let (_, [two, count], features) = part("features")?;
        let (_, _, targets) = part("targets")?;
        let helps = part("helps")?.2 == [1.0];
        if let Some((name, ..)) = parts.iter().find(|(_, _, values)| !values.iter().all(|value| value.is_finite())) {
            return Err(format!("has numbers in `{name}` of a residual network that are not finite"));
        }
        let (means, deviations) = features.split_at(features.len() / 2);
        if *two != 2 || means.len() != *count || !deviations.iter().chain(targets).all(|width| 0.0 < *width) {
            return Err("has `features` or `targets` of a residual network that are no means and deviations".to_owned());
        }
        let learner = Learner::from_parts(parts, [*count, targets.len()])?;
        Ok(Self { features: [means.to_vec(), deviations.to_vec()], targets: targets.clone(), learner, helps })
    }
}

/// A batch as the network takes it.
fn examples(
    ([means, deviations], targets): (&[Vec<f32>; 2], &[f32]),
    [inputs, predicted, readings]: [&Batch; 3],
) -> Examples {
    let split = inputs.columns();
    let features = Batch::from_fn(inputs.rows(), means.len(), |row, column| {
        let value = match column.checked_sub(split) {
            None => inputs.row(row)[column],
            Some(output) => predicted.row(row)[output],
        };
        (value - means[column]) / deviations[column]
    });
    let targets = Batch::from_fn(inputs.rows(), targets.len(), |row, output| {
        (readings.row(row)[output] - predicted.row(row)[output]) / targets[output]
    });
    Examples { features, targets }
}

#[cfg(test)]
mod tests {
    use sims::Mesh;

    use super::*;

    /// A mesh with errors and its twin.
    fn pair() -> [Arc<dyn Twin>; 2] {
        let built = Mesh { modes: 4, coupler_error: 0.1, phase_error: 0.2, ..Mesh::default() }.build().unwrap();
        [built.ideal, built.twin]
    }

    #[test]
    fn it_learns_what_the_twin_leaves_and_goes_on_bit_for_bit() {
        let [plant, twin] = pair();
        let controls = vec![0.7; twin.card().ports.control_count()];
        let mut stream = Key::new(2).stream();
        let mut batch = || {
            let inputs = Batch::from_fn(64, 4, |_, _| 2.0 * stream.uniform() - 1.0);
            (plant.predict(&inputs, &controls), inputs)
        };
        let left = |of: &dyn Twin, readings: &Batch, inputs: &Batch| -> f64 {
            let predicted = of.predict(inputs, &controls);
            predicted.values().iter().zip(readings.values()).map(|(p, r)| f64::from(p - r).powi(2)).sum()
        };
        let (readings, inputs) = batch();
        let mut corrector = Corrector::new(24, [&inputs, &twin.predict(&inputs, &controls), &readings], Key::new(1));
        assert_eq!(corrector.sizes(), [4, 4]);
        let untaught = corrector.twin(&twin).predict(&inputs, &controls);
        assert_eq!(untaught, twin.predict(&inputs, &controls), "it claims nothing that it was not shown");
        for _ in 0..300 {
            let (readings, inputs) = batch();
            corrector.learn([&inputs, &twin.predict(&inputs, &controls), &readings], 4, 3e-3);
        }
        let (readings, inputs) = batch();
        let [with, without] = [&*corrector.twin(&twin), &*twin].map(|of| left(of, &readings, &inputs));
        assert!(with < 0.3 * without, "{with} of {without}");
        // Its controls still have the slopes of what lies beneath.
        let pulled = corrector.twin(&twin).pull_back(&inputs, &controls, &readings);
        assert_eq!(pulled.controls.len(), controls.len());
        let mut other = Corrector::from_parts(&corrector.parts()).unwrap();
        for one in [&mut corrector, &mut other] {
            one.learn([&inputs, &twin.predict(&inputs, &controls), &readings], 3, 1e-3);
        }
        assert_eq!(corrector.parts(), other.parts());
        let mut broken = corrector.parts();
        broken.pop();
        assert!(Corrector::from_parts(&broken).unwrap_err().contains("residual network"));
    }
}
