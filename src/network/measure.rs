//! Exact statistics of the layers that normalize: measured on many rows with the weights as they are (Wu and Johnson 2021).
//!
//! All batches go through one layer before they go through the next, so that each layer sees what the layers before it give with their new
//! statistics, and how the rows were divided into batches changes nothing.

// Circle with network/normalize.rs: a layer says what it wants measured, and measuring asks each layer that normalizes.

use burn::tensor::Tensor;
use calibration::Statistics;
use drivers::Batch;

use super::normalize::FEWEST;
use super::{Network, Pass, StatisticsRule};
use crate::Error;
use crate::document::Document;

/// Whose statistics are to be measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wants {
    /// What a test after so many updates is normalized by.
    Test {
        /// Updates that are done.
        done: usize,
    },
    /// What stays as it is from this update on, counted from 1.
    Freeze {
        /// The number of the update.
        step: usize,
    },
    /// All that there are.
    All,
}

/// What was measured at one layer.
#[derive(Debug, Clone, PartialEq)]
pub struct Measurement {
    /// The number of the layer.
    pub layer: usize,
    /// What was in use on this bench before, and whose it is.
    pub old: Option<Statistics>,
    /// What is in use now.
    pub new: Statistics,
}

/// How many shots there are to take statistics of.
#[derive(Debug, Clone, Copy)]
pub struct Amounts<'a> {
    /// Shots of an update.
    pub batch: usize,
    /// Training rows.
    pub rows: usize,
    /// Shots of the smallest batch of each test.
    pub tests: &'a [usize],
}

impl Network {
    /// How many of `rows` training rows are needed for what is wanted; none where nothing is measured.
    pub fn samples(&self, wants: Wants, rows: usize) -> Option<usize> {
        let wanted = self.layers.iter().filter_map(|layer| layer.normalize());
        wanted
            .map(super::normalize::Normalize::config)
            .filter(|config| config.is_wanted(wants))
            .map(|config| config.samples_of(rows))
            .max()
    }

    /// Whether any layer has statistics that can be measured.
    pub fn has_statistics(&self) -> bool {
        self.samples(Wants::All, usize::MAX).is_some()
    }

    /// What the layers behind the physical layer `first` make of readings of its plant, up to the next one that drives a plant or needs what came
    /// before: all their outputs side by side, and those of every read-out.
    pub fn behind(
        &self,
        first: usize,
        readings: &Batch,
        weights: &[Tensor<2>],
        pass: &mut Pass<'_>,
    ) -> Result<Tensor<2>, Error> {
        let given = self.layers.get(first).and_then(|layer| layer.readings(readings));
        let mut values =
            given.ok_or_else(|| Error::Usage(format!("layer {first} drives no plant: it has no readings")))?;
        let mut found = Vec::new();
        for (index, (layer, these)) in self.layers.iter().zip(self.dealt(weights)).enumerate().skip(first + 1) {
            let (head, _) = self.place(index);
            if head.is_some() || layer.readings(readings).is_some() || self.kinds[index] == "skip" {
                break;
            }
            values = layer.forward(values, these, pass)?;
            found.push(values.clone());
        }
        found.extend(self.read_outs(&values, first, weights, pass)?);
        if found.is_empty() {
            found.push(values);
        }
        Ok(Tensor::cat(found, 1))
    }

    /// Measures on these batches what is wanted, and leaves it in the state of the pass. After an error that state is no whole one.
    pub fn measure(
        &self,
        batches: Vec<Tensor<2>>,
        weights: &[Tensor<2>],
        wants: Wants,
        pass: &mut Pass<'_>,
    ) -> Result<Vec<Measurement>, Error> {
        let is_wanted =
            |index: &usize| self.layers[*index].normalize().is_some_and(|layer| layer.config().is_wanted(wants));
        let Some(last) = (0..self.layers.len()).rev().find(is_wanted) else { return Ok(vec![]) };
        let batches = match &self.automaton {
            Some(automaton) => automaton.perceptions(self, batches, weights, pass)?,
            None => batches,
        };
        let (mut found, mut places) = (Vec::new(), Vec::new());
        // What each batch has come to, and what every layer so far has given for it.
        let mut flows: Vec<(Tensor<2>, Vec<Tensor<2>>)> = batches.into_iter().map(|batch| (batch, vec![])).collect();
        for (index, (layer, these)) in self.layers.iter().zip(self.dealt(weights)).enumerate().take(last + 1) {
            pass.places.clone_from(&places);
            if let Some(normalize) = layer.normalize().filter(|_| is_wanted(&index)) {
                let values: Vec<&Tensor<2>> = flows.iter().map(|(values, _)| values).collect();
                let (old, new) = normalize.measure(&values, wants, pass)?;
                found.push(Measurement { layer: index, old, new });
            }
            if index == last {
                break;
            }
            for (values, outputs) in &mut flows {
                pass.places.clone_from(&places);
                std::mem::swap(&mut pass.outputs, outputs);
                pass.enter(index, values.clone());
                *values = layer.forward(values.clone(), these, pass)?;
                std::mem::swap(&mut pass.outputs, outputs);
            }
            places.clone_from(&pass.places);
        }
        Ok(found)
    }

    /// Refuses statistics of too few samples, and says how many there are.
    pub fn check_statistics(&self, document: &Document, amounts: Amounts<'_>) -> Result<(), Error> {
        for (index, layer) in self.layers.iter().enumerate() {
            let Some(normalize) = layer.normalize() else { continue };
            let (config, stretch) = (normalize.config(), normalize.stretch());
            let refuse = |key: &str, message: String| Err(document.refuse(&format!("layers.{index}.{key}"), message));
            let Amounts { batch, rows, tests } = amounts;
            if let Some(samples) = config.samples.filter(|samples| rows < *samples) {
                return refuse(
                    "samples",
                    format!("is {samples}, but there are {rows} training rows: give {FEWEST} to {rows}"),
                );
            }
            if let Some(size) = config.size.filter(|size| batch < *size) {
                return refuse("size", format!("is {size}, but an update has {batch} shots: give {FEWEST} to {batch}"));
            }
            let too_few = |shots: usize| shots * stretch < FEWEST;
            if config.statistics != StatisticsRule::Frozen && too_few(batch) {
                let message = format!(
                    "needs a variance of each batch, but an update has {batch} shot: raise training.batch to at least {FEWEST}"
                );
                return refuse("statistics", message);
            }
            let is_tested = config.statistics == StatisticsRule::Batch;
            if let Some(shots) = tests.iter().copied().find(|shots| is_tested && too_few(*shots)) {
                let message = format!(
                    "is `batch`, but the last batch of a test has {shots} shot, which has no variance: hold back another number of \
                     rows, or choose `population`"
                );
                return refuse("statistics", message);
            }
        }
        Ok(())
    }
}
