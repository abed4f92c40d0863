//! When a training measures the statistics of its normalizing layers: before tests, where they are frozen, and where a bench has moved.

use burn::tensor::Tensor;
use sims::Key;

use super::{EVALUATION_BATCH, Trainer, TrainingConfig};
use crate::Error;
use crate::control::{Helm, Moves};
use crate::data::{Dataset, Split};
use crate::document::Document;
use crate::event::Event;
use crate::network::{Amounts, Measurement, Network, Pass, Purpose, Wants, rows};
use crate::plants::{Forward, Lab};
use crate::record::Saved;
use crate::scores::Scores;
use crate::training::OnAlarm;

/// Training rows that statistics are measured on, without their labels: the same ones for the same `key`.
fn unlabeled(data: &Dataset, samples: usize, key: Key) -> Vec<Tensor<2>> {
    let mut order: Vec<usize> = (0..data.train.len()).collect();
    key.branch("normalize").stream().shuffle(&mut order);
    order.truncate(samples);
    let batch = |indices: &[usize]| rows::tensor(data.train.pick(indices, data.width).0, [indices.len(), data.width]);
    order.chunks(EVALUATION_BATCH).map(batch).collect()
}

/// Refuses statistics of too few samples, and those that nobody has, before anything is driven.
pub(crate) fn check_statistics(
    network: &Network,
    data: &Dataset,
    training: &TrainingConfig,
    document: &Document,
) -> Result<(), Error> {
    let smallest = |split: Split| match data.rows(split).len() {
        rows if rows.is_multiple_of(EVALUATION_BATCH) => rows.min(EVALUATION_BATCH),
        rows => rows % EVALUATION_BATCH,
    };
    let tests = [Split::Validation, Split::Test].map(smallest).into_iter().filter(|rows| *rows > 0);
    let tests: Vec<usize> = tests.collect();
    let rows = data.train.len();
    network.check_statistics(document, Amounts { batch: training.batch.min(rows), rows, tests: &tests })?;
    let refresh = training.refresh.as_ref().is_some_and(|refresh| refresh.normalize);
    let alarm = training.drift.as_ref().is_some_and(|drift| drift.on_alarm == OnAlarm::Normalize);
    for (key, is_asked) in [("training.refresh.normalize", refresh), ("training.drift.on_alarm", alarm)] {
        if is_asked && !network.has_statistics() {
            let message = "asks for statistics to be measured anew, but no layer keeps any: add a layer `normalize` whose statistics are not \
                           `batch`, or leave it out";
            return Err(document.refuse(key, message));
        }
    }
    Ok(())
}

impl Trainer<'_> {
    /// Measures what is wanted, if anything is. Whatever fails leaves the statistics as they are.
    fn measure(&mut self, wants: Wants, on: Forward, lab: &mut Lab) -> Result<Vec<Measurement>, Error> {
        let samples = self.network.samples(wants, self.data.train.len());
        samples.map_or(Ok(vec![]), |samples| self.measure_on(samples, (wants, on), lab))
    }

    fn measure_on(
        &mut self,
        samples: usize,
        (wants, on): (Wants, Forward),
        lab: &mut Lab,
    ) -> Result<Vec<Measurement>, Error> {
        let batches = unlabeled(self.data, samples, self.key);
        let weights: Vec<Tensor<2>> = self.weights.iter().map(|weight| weight.tensor.clone()).collect();
        let mut state = self.state.clone();
        let pass = &mut Pass::new(lab, on, Purpose::Test, &mut state);
        let found = self.network.measure(batches, &weights, wants, pass)?;
        self.state = state;
        Ok(found)
    }

    /// How many training rows all statistics are measured on.
    pub fn samples(&self) -> usize {
        self.network.samples(Wants::All, self.data.train.len()).unwrap_or(0)
    }

    /// Measures all statistics on the plant, on so many training rows or as many as the layers say.
    pub fn measure_all(&mut self, samples: Option<usize>, lab: &mut Lab) -> Result<Vec<Measurement>, Error> {
        self.measure_on(samples.unwrap_or_else(|| self.samples()), (Wants::All, Forward::Plant), lab)
    }

    /// The scores of the test set on the plant.
    pub fn test_scores(&self, lab: &mut Lab) -> Result<Scores, Error> {
        let answers = self.answer(self.data.rows(Split::Test), lab, Forward::Plant)?.0;
        Ok(self.objective.scores(&answers, &self.data.rows(Split::Test).targets))
    }

    /// Takes the weights of a run, and what its layers remember; the rest of a sentence says what does not fit.
    pub fn take_over(&mut self, saved: &Saved) -> Result<(), String> {
        for weight in &mut self.weights {
            let found = saved.weights.iter().find(|found| found.name == weight.name);
            let found = found.ok_or_else(|| format!("has no weight `{}`", weight.name))?;
            let [shape, wanted] = [found, &*weight].map(|weight| weight.tensor.dims());
            if shape != wanted {
                return Err(format!("has `{}` of shape {shape:?}, not {wanted:?}", weight.name));
            }
            weight.tensor = found.tensor.clone();
        }
        self.state = self.network.recall(&saved.state)?;
        Ok(())
    }

    /// Measures what a test needs: on the plant, and where the method computes on the twin there as well.
    pub(super) fn measure_for(&mut self, wants: Wants, lab: &mut Lab) -> Result<(), Error> {
        self.measure(wants, Forward::Plant, lab)?;
        match self.method.forward() {
            Forward::Plant => Ok(()),
            Forward::Twin => self.measure(wants, Forward::Twin, lab).map(drop),
        }
    }

    /// Measures what stays as it is from update `step` on.
    pub(super) fn freeze(&mut self, step: usize, lab: &mut Lab) -> Result<(), Error> {
        self.measure(Wants::Freeze { step }, self.method.forward(), lab).map(drop)
    }

    /// Whether the statistics are to be measured anew after what monitors have found.
    pub(super) fn is_moved(&self, moves: Moves) -> bool {
        let with_refresh = self.config.refresh.as_ref().is_some_and(|refresh| refresh.normalize);
        let on_alarm = self.config.drift.as_ref().is_some_and(|drift| drift.on_alarm == OnAlarm::Normalize);
        (with_refresh && (moves.refreshed || moves.drifted)) || (on_alarm && moves.drifted)
    }

    /// Measures all statistics anew where the bench has moved, and tells what has changed.
    pub(super) fn renew(&mut self, lab: &mut Lab, helm: &mut Helm<'_>) -> Result<(), Error> {
        if !std::mem::take(&mut self.renew) {
            return Ok(());
        }
        let found = self.measure(Wants::All, Forward::Plant, lab)?;
        found.iter().try_for_each(|one| helm.tell(&self.told(one)).map(drop))
    }

    fn told(&self, found: &Measurement) -> Event {
        let Measurement { layer, old, new } = found;
        let shift = old.as_ref().and_then(|old| new.shift_from(old));
        Event::Normalized {
            step: self.done,
            layer: *layer,
            bench: new.of().to_owned(),
            samples: new.count(),
            mean_shift: shift.map(|shift| shift.mean),
            scale_shift: shift.map(|shift| shift.scale),
        }
    }
}
