//! Training: batches, the loss, Adam, and the test on the plant.
//!
//! `loss = cross-entropy(logits, labels) + range_penalty · mean over physical layers of the soft penalty`.

mod snapshot;

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::time::{Duration, Instant};

use burn::optim::AdamState;
use burn::tensor::{Device, Int, Tensor, TensorData, activation::log_softmax};
use sims::{Key, Stream};

use crate::lab::{Forward, Lab};
use crate::layer::{Network, Pass, Usage};
use crate::run::{Evaluated, Event, Helm, Step};
use crate::{Dataset, Error, Method, Split, StopReason, TrainingConfig, adam, rows};

pub use snapshot::{Position, Snapshot};

/// Shots that are evaluated together.
pub(crate) const EVALUATION_BATCH: usize = 250;

/// A named trainable matrix.
#[derive(Debug, Clone)]
pub struct NamedTensor {
    /// Such as `layers.1.scale-offset.scale`.
    pub name: String,
    /// Its values.
    pub tensor: Tensor<2>,
}

/// Where the time of the steps went.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct TimeShares {
    /// In plants.
    pub plant: Duration,
    /// In twins: predictions and pull-backs.
    pub twin: Duration,
    /// In digital layers, loss, backward pass and optimizer.
    pub digital: Duration,
    /// All else: batches, records, observers.
    pub overhead: Duration,
}

impl TimeShares {
    /// Each part with its name.
    pub fn parts(&self) -> [(&'static str, Duration); 4] {
        [("plant", self.plant), ("twin", self.twin), ("digital", self.digital), ("overhead", self.overhead)]
    }

    /// What came to it since it was `before`.
    fn since(&self, before: &Self) -> Self {
        Self {
            plant: self.plant.saturating_sub(before.plant),
            twin: self.twin.saturating_sub(before.twin),
            digital: self.digital.saturating_sub(before.digital),
            overhead: self.overhead.saturating_sub(before.overhead),
        }
    }
}

/// What the end of a training says.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Outcome {
    /// Why it ended.
    pub reason: StopReason,
    /// The last evaluation.
    pub last: Option<Evaluated>,
    /// Shots taken while training.
    pub training_shots: u64,
    /// Range use over all training steps.
    pub usage: Usage,
    /// Where the time of the steps went.
    pub time: TimeShares,
}

/// A network in training.
pub struct Trainer<'a> {
    config: &'a TrainingConfig,
    method: Method,
    network: Network,
    data: &'a Dataset,
    weights: Vec<NamedTensor>,
    states: Vec<Option<AdamState<2>>>,
    batches: Batches,
    usage: Usage,
    time: TimeShares,
    training_shots: u64,
    key: Key,
    /// Updates so far, their tests included.
    done: usize,
    last: Option<Evaluated>,
    /// What the network said of each row of the test set, at the last test on the plant.
    answers: Vec<u32>,
}

impl<'a> Trainer<'a> {
    /// A network with fresh weights, drawn from `key`.
    pub fn new(network: Network, data: &'a Dataset, config: &'a TrainingConfig, method: Method, key: Key) -> Self {
        let device = Device::flex();
        let weights: Vec<NamedTensor> = network
            .weights(key)
            .into_iter()
            .map(|(name, weight)| NamedTensor {
                name,
                tensor: Tensor::from_data(TensorData::new(weight.values, weight.shape), &device),
            })
            .collect();
        Self {
            config,
            method,
            network,
            data,
            states: vec![None; weights.len()],
            weights,
            batches: Batches::new(data.train.len(), config.batch, key.branch("batches")),
            usage: Usage::default(),
            time: TimeShares::default(),
            training_shots: 0,
            key,
            done: 0,
            last: None,
            answers: Vec::new(),
        }
    }

    /// What the network said of each row of the test set, at the last test on the plant.
    pub fn answers(&self) -> &[u32] {
        &self.answers
    }

    /// How it trains: the method, the configuration, the rows to learn, and the root of what is random.
    pub fn facts(&self) -> (Method, &TrainingConfig, usize, Key) {
        (self.method, self.config, self.data.train.len(), self.key)
    }

    /// The weights as they are now.
    pub fn weights(&self) -> &[NamedTensor] {
        &self.weights
    }

    /// How many numbers are trained.
    pub fn weight_count(&self) -> usize {
        self.weights.iter().map(|weight| weight.tensor.dims().iter().product::<usize>()).sum()
    }

    /// Computes the first `count` batches forward without learning from them.
    pub fn try_batches(&mut self, count: usize, lab: &mut Lab) -> Result<Usage, Error> {
        let weights: Vec<Tensor<2>> = self.weights.iter().map(|weight| weight.tensor.clone()).collect();
        let mut usage = Usage::default();
        for _ in 0..count {
            let (_, indices) = self.batches.next();
            let (values, labels) = self.data.train.pick(&indices, self.data.width);
            let inputs = Tensor::from_data(TensorData::new(values, [labels.len(), self.data.width]), &Device::flex());
            let mut pass = pass(lab, Forward::Twin, None);
            self.network.forward(inputs, &weights, &mut pass)?;
            add(&mut usage, pass.usage);
        }
        Ok(usage)
    }

    /// Updates so far, their tests included.
    pub fn done(&self) -> usize {
        self.done
    }

    /// Trains to the end, or until somebody stops it.
    pub fn run(&mut self, lab: &mut Lab, helm: &mut Helm<'_>) -> Result<Outcome, Error> {
        let reason = loop {
            match helm.heed(self.done, lab) {
                Ok(ControlFlow::Continue(())) => {}
                Ok(ControlFlow::Break(reason)) => {
                    // Between two steps all is known: the run can be continued from here.
                    helm.keep_last(|monitors| self.checkpoint(lab, monitors));
                    break reason;
                }
                // While a monitor measured: what it has seen is not whole.
                Err(Error::Halted(reason)) => break reason,
                Err(error) => return Err(error),
            }
            if self.config.steps <= self.done {
                helm.keep_last(|monitors| self.checkpoint(lab, monitors));
                break StopReason::Finished;
            }
            helm.keep(self.done, |monitors| self.checkpoint(lab, monitors))?;
            match self.advance(lab, helm) {
                Ok(ControlFlow::Continue(())) => {}
                Ok(ControlFlow::Break(reason)) | Err(Error::Halted(reason)) => break reason,
                Err(error) => return Err(error),
            }
        };
        Ok(Outcome { reason, last: self.last, training_shots: self.training_shots, usage: self.usage, time: self.time })
    }

    /// A snapshot with what the monitors remember.
    fn checkpoint(&self, lab: &Lab, monitors: BTreeMap<String, toml::Table>) -> Snapshot {
        let mut snapshot = self.snapshot(lab);
        snapshot.position.monitors = monitors;
        snapshot
    }

    /// One update, told to whoever observes, and the test where one is due.
    fn advance(&mut self, lab: &mut Lab, helm: &mut Helm<'_>) -> Result<ControlFlow<StopReason>, Error> {
        let (step, before) = (self.done + 1, self.time);
        let event = self.step(step, lab)?;
        let start = Instant::now();
        let flow = helm.tell(&Event::Step(event))?;
        self.time.overhead += start.elapsed();
        if let Some(board) = helm.board() {
            board.spend(self.time, self.time.since(&before));
        }
        if flow.is_continue() && self.is_tested(step) {
            lab.look_closely();
            let evaluated = self.evaluate(step, lab)?;
            self.last = Some(evaluated);
            let flow = helm.tell(&Event::Evaluated(evaluated))?;
            helm.compare(step)?;
            self.done = step;
            return Ok(flow);
        }
        self.done = step;
        Ok(flow)
    }

    /// Whether a test follows update `step`.
    fn is_tested(&self, step: usize) -> bool {
        let every = self.config.evaluate_every;
        step == self.config.steps || (every > 0 && step.is_multiple_of(every))
    }

    /// One update.
    pub fn step(&mut self, step: usize, lab: &mut Lab) -> Result<Step, Error> {
        let start = Instant::now();
        let before = (lab.meter(), lab.twin_time());
        let (epoch, indices) = self.batches.next();
        let (values, labels) = self.data.batch(epoch, &indices);
        let prepared = start.elapsed();

        let (loss, mut report) = self.update(step, values, &labels, lab)?;
        if !loss.is_finite() {
            return Err(Error::Diverged { what: format!("the loss of step {step}") });
        }
        let meter = lab.meter();
        let plant = Duration::from_secs_f64(meter.wall_seconds - before.0.wall_seconds);
        let twin = lab.twin_time().saturating_sub(before.1);
        let shots = meter.shots - before.0.shots;
        self.training_shots += shots;
        (report.epoch, report.shots, report.plant_seconds) = (epoch, meter.shots, meter.plant_seconds);
        self.time.plant += plant;
        self.time.twin += twin;
        self.time.digital += start.elapsed().saturating_sub(prepared + plant + twin);
        self.time.overhead += prepared;
        Ok(report)
    }

    /// Forward, backward, Adam.
    fn update(&mut self, step: usize, values: Vec<f32>, labels: &[u32], lab: &mut Lab) -> Result<(f32, Step), Error> {
        let device = Device::flex().autodiff();
        let weights: Vec<Tensor<2>> =
            self.weights.iter().map(|weight| Tensor::from_inner(weight.tensor.clone()).require_grad()).collect();
        let inputs = Tensor::from_data(TensorData::new(values, [labels.len(), self.data.width]), &device);
        let sharpness = (0.0 < self.config.range_penalty).then_some(self.config.range_sharpness);
        let mut pass = pass(lab, self.method.forward(), sharpness);
        let logits = self.network.forward(inputs, &weights, &mut pass)?;
        let (penalties, usage) = (std::mem::take(&mut pass.penalties), pass.usage);
        let correct = correct(&logits.clone().inner(), labels);
        let entropy = cross_entropy(logits, labels, &device);
        let penalty = mean(penalties);
        let loss = match &penalty {
            Some(penalty) => entropy.clone() + penalty.clone().mul_scalar(self.config.range_penalty),
            None => entropy.clone(),
        };
        let mut gradients = loss.backward();
        let learning_rate = self.config.schedule.at(self.config.learning_rate, step - 1, self.config.steps);
        // Taken out and not copied; and the weights are nobody else's any more.
        let gradients =
            weights.into_iter().map(|weight| weight.grad_remove(&mut gradients).map(rows::values)).collect();
        if !self.descend(gradients, learning_rate) {
            return Err(Error::Diverged { what: format!("the gradient of step {step}") });
        }

        add(&mut self.usage, usage);
        let number = |tensor: Tensor<1>| rows::values(tensor.inner())[0];
        let report = Step {
            step,
            epoch: 0,
            learning_rate,
            loss: number(loss),
            cross_entropy: number(entropy),
            penalty: penalty.map_or(0.0, number),
            batch_accuracy: correct as f64 / labels.len() as f64,
            range_use: usage.mean_range_use(),
            clipping_rate: usage.clipping_rate(),
            shots: 0,
            plant_seconds: 0.0,
        };
        Ok((report.loss, report))
    }

    /// Shortens the gradient and takes one step of Adam; `false` if the gradient is not finite.
    fn descend(&mut self, gradients: Vec<Option<Vec<f32>>>, learning_rate: f64) -> bool {
        let norm = gradients.iter().flatten().map(|gradient| adam::sum_of_squares(gradient)).sum::<f64>().sqrt();
        if !norm.is_finite() {
            return false;
        }
        let clip = f64::from(self.config.gradient_clip);
        let factor = if clip > 0.0 && norm > clip { clip / norm } else { 1.0 };
        for ((weight, state), gradient) in self.weights.iter_mut().zip(&mut self.states).zip(gradients) {
            let Some(gradient) = gradient else { continue };
            // A placeholder, so that the values are taken and not copied.
            let tensor = std::mem::replace(&mut weight.tensor, Tensor::zeros([1, 1], &Device::flex()));
            let (tensor, next) = adam::step(learning_rate, tensor, (&gradient, factor), state.take());
            (weight.tensor, *state) = (tensor, Some(next));
        }
        true
    }

    /// Accuracy on the test set: on the plant, and as the method itself computes.
    pub fn evaluate(&mut self, step: usize, lab: &mut Lab) -> Result<Evaluated, Error> {
        self.answers = self.answer(lab, Forward::Plant)?;
        let test_accuracy = self.share_right(&self.answers);
        let believed_accuracy = match self.method.forward() {
            Forward::Plant => test_accuracy,
            Forward::Twin => self.share_right(&self.answer(lab, Forward::Twin)?),
        };
        let meter = lab.meter();
        Ok(Evaluated { step, test_accuracy, believed_accuracy, shots: meter.shots, plant_seconds: meter.plant_seconds })
    }

    /// The class that the network gives each row of the test set.
    fn answer(&self, lab: &mut Lab, on: Forward) -> Result<Vec<u32>, Error> {
        let rows = self.data.rows(Split::Test);
        let weights: Vec<Tensor<2>> = self.weights.iter().map(|weight| weight.tensor.clone()).collect();
        let order: Vec<usize> = (0..rows.len()).collect();
        let mut answers = Vec::with_capacity(rows.len());
        for indices in order.chunks(EVALUATION_BATCH) {
            let (values, labels) = rows.pick(indices, self.data.width);
            let inputs = Tensor::from_data(TensorData::new(values, [labels.len(), self.data.width]), &Device::flex());
            answers.extend(largest(&self.network.forward(inputs, &weights, &mut pass(lab, on, None))?));
        }
        Ok(answers)
    }

    /// The fraction of the test set that `answers` get right.
    fn share_right(&self, answers: &[u32]) -> f64 {
        let labels = &self.data.rows(Split::Test).labels;
        let right = answers.iter().zip(labels).filter(|(answer, label)| answer == label).count();
        right as f64 / labels.len().max(1) as f64
    }
}

/// A forward pass that has not begun.
fn pass(lab: &mut Lab, on: Forward, sharpness: Option<f32>) -> Pass<'_> {
    Pass { lab, on, sharpness, outputs: vec![], penalties: vec![], usage: Usage::default() }
}

/// Batches of shuffled rows, epoch after epoch.
struct Batches {
    order: Vec<usize>,
    at: usize,
    epoch: usize,
    size: usize,
    stream: Stream,
}

impl Batches {
    fn new(rows: usize, size: usize, key: Key) -> Self {
        Self { order: (0..rows).collect(), at: rows, epoch: 0, size: size.min(rows), stream: key.stream() }
    }

    /// Goes to where `at` rows of `epoch` have been given: the order is a function of the seed and the number of the epoch.
    fn go_to(&mut self, epoch: usize, at: usize) {
        while self.epoch < epoch {
            self.stream.shuffle(&mut self.order);
            self.epoch += 1;
        }
        self.at = at;
    }

    /// The epoch, counted from 1, and the rows of the next batch. Rows that do not fill a last batch wait for the next
    /// shuffle.
    fn next(&mut self) -> (usize, Vec<usize>) {
        if self.at + self.size > self.order.len() {
            self.stream.shuffle(&mut self.order);
            (self.at, self.epoch) = (0, self.epoch + 1);
        }
        self.at += self.size;
        (self.epoch, self.order[self.at - self.size..self.at].to_vec())
    }
}

/// −mean log p(label).
fn cross_entropy(logits: Tensor<2>, labels: &[u32], device: &Device) -> Tensor<1> {
    let indices: Vec<i64> = labels.iter().map(|&label| i64::from(label)).collect();
    let indices = Tensor::<2, Int>::from_data(TensorData::new(indices, [labels.len(), 1]), device);
    log_softmax(logits, 1).gather(1, indices).mean().neg()
}

/// The mean of some numbers, if there are any.
fn mean(terms: Vec<Tensor<1>>) -> Option<Tensor<1>> {
    let count = terms.len();
    terms.into_iter().reduce(|sum, term| sum + term).map(|sum| sum.div_scalar(count as f64))
}

/// How many rows have their largest logit at their label.
fn correct(logits: &Tensor<2>, labels: &[u32]) -> usize {
    largest(logits).iter().zip(labels).filter(|(answer, label)| answer == label).count()
}

/// Where each row has its largest logit.
fn largest(logits: &Tensor<2>) -> Vec<u32> {
    let classes = logits.dims()[1];
    let values = rows::values(logits.clone());
    let largest = |row: &[f32]| {
        let best = row.iter().enumerate().max_by(|a, b| a.1.total_cmp(b.1));
        best.map_or(0, |(index, _)| index as u32)
    };
    values.chunks_exact(classes).map(largest).collect()
}

/// Adds one pass to the sum over all.
fn add(sum: &mut Usage, one: Usage) {
    sum.sent += one.sent;
    sum.clipped += one.clipped;
    sum.range_use += one.range_use;
    sum.layers += one.layers;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_epoch_shows_every_row_once() {
        let mut batches = Batches::new(10, 5, Key::new(1));
        let mut seen: Vec<usize> = [batches.next(), batches.next()]
            .into_iter()
            .flat_map(|(epoch, rows)| {
                assert_eq!(epoch, 1);
                rows
            })
            .collect();
        seen.sort_unstable();
        assert_eq!(seen, (0..10).collect::<Vec<_>>());
        assert_eq!(batches.next().0, 2);
        let mut later = Batches::new(10, 5, Key::new(1));
        later.go_to(batches.epoch, batches.at);
        assert_eq!((later.next(), later.next()), (batches.next(), batches.next()));
        assert_eq!(Batches::new(3, 128, Key::new(1)).next().1.len(), 3);
    }

    #[test]
    fn cross_entropy_of_even_logits_is_the_logarithm_of_the_classes() {
        let device = Device::flex();
        let loss = cross_entropy(Tensor::zeros([3, 10], &device), &[0, 5, 9], &device);
        assert!((rows::values(loss)[0] - 10.0_f32.ln()).abs() < 1e-6);
    }
}
