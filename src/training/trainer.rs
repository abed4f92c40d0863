//! Training: the loss, the update, and what is tried on the plant in between and at the end.
//!
//! `loss = the objective's, of outputs and targets + range_penalty · mean over physical layers of the soft penalty`.

pub(super) mod adam;
mod batch_lint;
mod batches;
mod choice;
mod config;
mod evaluation;
mod guarding;
mod heads;
mod optimizer;
mod probing;
mod snapshot;
mod statistics;

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::time::{Duration, Instant};

use burn::tensor::Tensor;
use sims::Key;

use crate::Error;
use crate::control::{Helm, Thumbnail};
use crate::data::{Answers, Dataset, Targets};
use crate::event::{Evaluated, Event, Step, TimeShares};
use crate::network::{GuardConfig, NamedTensor, Network, Pass, Purpose, State, Usage, rows};
use crate::plants::{Forward, Lab};
use crate::record::{Choice, Saved, Snapshot};
use crate::scores::ObjectiveKind;
use crate::stop::StopReason;
use crate::training::{Estimate, Estimator, Method, Objective, Problem, objective::objective};

use batches::Batches;
use optimizer::Moments;

pub(crate) use batch_lint::order_warning;
pub use batches::BatchOrder;
pub use config::{Keep, Optimizer, Schedule, TrainingConfig};
pub(crate) use evaluation::EVALUATION_BATCH;
pub use probing::Probed;
pub(crate) use statistics::check_statistics;

/// What the end of a training says.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Outcome {
    /// Why it ended.
    pub reason: StopReason,
    /// What was learned.
    pub objective: ObjectiveKind,
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
    estimator: Box<dyn Estimator>,
    objective: Box<dyn Objective>,
    network: Network,
    data: &'a Dataset,
    weights: Vec<NamedTensor>,
    /// What layers remember.
    state: State,
    moments: Vec<Option<Moments>>,
    batches: Batches,
    usage: Usage,
    time: TimeShares,
    training_shots: u64,
    key: Key,
    /// Updates so far, their tests included.
    done: usize,
    last: Option<Evaluated>,
    /// What validation has decided so far.
    choice: Choice,
    /// The weights of the best validation, where they are kept, and what layers remembered then.
    best: (Vec<NamedTensor>, State),
    /// Whether statistics are to be measured anew before the next update: the bench has moved.
    renew: bool,
    /// What the network said of each row of the test set, when it was last met.
    answers: Answers,
    /// What is done about suspicious shots, where guards look for them.
    guard: Option<GuardConfig>,
    /// Guards that were fitted and not told yet.
    fits: Vec<Event>,
    /// Updates since guards last found more suspicious shots than chance explains.
    quiet: usize,
}

impl<'a> Trainer<'a> {
    /// A network with fresh weights, drawn from `key`.
    pub fn new(network: Network, data: &'a Dataset, config: &'a TrainingConfig, method: Method, key: Key) -> Self {
        let weights: Vec<NamedTensor> = network
            .weights(key)
            .into_iter()
            .map(|(name, weight)| NamedTensor { name, tensor: rows::tensor(weight.values, weight.shape) })
            .collect();
        Self {
            config,
            method,
            estimator: method.estimator(config, key),
            objective: objective(data),
            network,
            data,
            moments: vec![None; weights.len()],
            weights,
            state: State::default(),
            batches: Batches::new((data.train.len(), config.batch), config.order, key.branch("batches")),
            usage: Usage::default(),
            time: TimeShares::default(),
            training_shots: 0,
            key,
            done: 0,
            last: None,
            choice: Choice::default(),
            best: <(Vec<NamedTensor>, State)>::default(),
            renew: false,
            answers: Answers::default(),
            guard: None,
            fits: vec![],
            quiet: 0,
        }
    }

    /// What the network said of each row of the test set, when it was last met on the plant, as a table with a header; empty before.
    pub fn answer_table(&self) -> Vec<Vec<String>> {
        if self.answers.is_empty() { vec![] } else { self.objective.table(&self.data.test, &self.answers) }
    }

    /// How it trains: the method, the configuration, the rows to learn, and the root of what is random.
    pub fn facts(&self) -> (Method, &TrainingConfig, usize, Key) {
        (self.method, self.config, self.data.train.len(), self.key)
    }

    /// The last test on the plant.
    pub fn last(&self) -> Option<Evaluated> {
        self.last
    }

    /// What it learns.
    pub fn objective(&self) -> &dyn Objective {
        &*self.objective
    }

    /// Weights as they are now, and what layers remember.
    pub fn saved(&self) -> Saved {
        Saved { weights: self.weights.clone(), state: self.network.remembered(&self.state) }
    }

    /// What it trains.
    pub fn network(&self) -> &Network {
        &self.network
    }

    /// Makes the first `count` updates with no run around them: nothing is told, recorded or tried. Whoever wants to end ends them.
    pub fn updates(&mut self, count: usize, lab: &mut Lab) -> Result<(), Error> {
        (1..=count).try_for_each(|step| Error::if_stopped().and_then(|()| self.step(step, lab).map(drop)))
    }

    /// The same, and how they used the range: for a lab that rehearses. This network is not to be trained.
    pub fn try_updates(&mut self, count: usize, lab: &mut Lab) -> Result<Usage, Error> {
        self.updates(count.min(self.config.steps.max(1)), lab)?;
        Ok(self.usage)
    }

    /// Computes the first batch forward without learning from it, for a lab that rehearses: the training begins with it all the same.
    pub fn try_batch(&self, lab: &mut Lab) -> Result<(), Error> {
        let weights: Vec<Tensor<2>> = self.weights.iter().map(|weight| weight.tensor.clone()).collect();
        let indices: Vec<usize> = (0..self.data.train.len().min(self.config.batch)).collect();
        let values = self.data.train.pick(&indices, self.data.width).0;
        let inputs = rows::tensor(values, [indices.len(), self.data.width]);
        let (mut state, purpose) = (self.state.clone(), Purpose::Train { step: self.done + 1 });
        self.network.forward(inputs, &weights, &mut Pass::new(lab, Forward::Twin, purpose, &mut state)).map(drop)
    }

    /// Updates so far, their tests included.
    pub fn done(&self) -> usize {
        self.done
    }

    /// Trains to the end, or until somebody stops it.
    pub fn run(&mut self, lab: &mut Lab, helm: &mut Helm<'_>) -> Result<Outcome, Error> {
        let reason = loop {
            let heeded = helm.heed(self.done, lab);
            self.renew |= self.is_moved(helm.take_moves());
            match heeded {
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
            if self.choice.ended || self.config.steps <= self.done {
                helm.keep_last(|monitors| self.checkpoint(lab, monitors));
                break StopReason::Finished;
            }
            match self.renew(lab, helm) {
                Ok(()) => {}
                Err(Error::Halted(reason)) => break reason,
                Err(error) => return Err(error),
            }
            helm.keep(self.done, |monitors| self.checkpoint(lab, monitors))?;
            match self.advance(lab, helm) {
                Ok(ControlFlow::Continue(())) => {}
                Ok(ControlFlow::Break(reason)) | Err(Error::Halted(reason)) => break reason,
                Err(error) => return Err(error),
            }
        };
        Ok(Outcome {
            reason,
            objective: self.objective.kind(),
            last: self.last,
            training_shots: self.training_shots,
            usage: self.usage,
            time: self.time,
        })
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
        self.tell_guards(&event, helm)?;
        self.time.overhead += start.elapsed();
        if let Some(board) = helm.board() {
            board.spend(self.time, self.time.since(&before));
            board.show(|| self.network.picture(&self.state).as_ref().map(Thumbnail::of));
        }
        if flow.is_continue() && self.is_tried(step) {
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

    /// Whether something is tried on the plant after update `step`.
    fn is_tried(&self, step: usize) -> bool {
        let every = self.config.evaluate_every;
        step == self.config.steps || (every > 0 && step.is_multiple_of(every))
    }

    /// One update.
    pub fn step(&mut self, step: usize, lab: &mut Lab) -> Result<Step, Error> {
        self.freeze(step, lab)?;
        let start = Instant::now();
        let before = (lab.meter(), lab.twin_time(), lab.waited());
        let (epoch, indices) = self.batches.next();
        let (values, targets) = self.data.batch(epoch, &indices);
        let prepared = start.elapsed();

        let mut report = self.update(step, values, &targets, lab)?;
        if !report.loss.is_finite() {
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
        // Somebody held the run inside this step: no part of it took that time.
        let waited = lab.waited().saturating_sub(before.2);
        self.time.digital += start.elapsed().saturating_sub(prepared + plant + twin + waited);
        self.time.overhead += prepared;
        Ok(report)
    }

    /// The estimate of the gradient, and the step of the optimizer.
    fn update(&mut self, step: usize, values: Vec<f32>, targets: &Targets, lab: &mut Lab) -> Result<Step, Error> {
        let problem = Problem {
            network: &self.network,
            weights: &self.weights,
            state: &self.state,
            inputs: rows::tensor(values, [targets.len(), self.data.width]),
            targets,
            objective: &*self.objective,
            config: self.config,
            step,
        };
        let Estimate { gradients, set, loss, usage, state, outputs } = self.estimator.estimate(&problem, lab)?;
        let learning_rate = self.config.step_size(step - 1, self.choice.decays);
        let moved = match set {
            Some(values) => self.put(values),
            None => self.descend(gradients, learning_rate),
        };
        if !moved {
            return Err(Error::Diverged { what: format!("the gradient of step {step}") });
        }
        if let Some(outputs) = outputs {
            self.objective.learn(step, &outputs, targets);
        }
        self.note_fits(step, &state);
        self.state = state;
        self.usage.add(usage);
        Ok(Step {
            step,
            epoch: 0,
            learning_rate,
            loss: loss.total,
            objective: loss.objective,
            penalty: loss.penalty,
            batch: loss.scores,
            alignment: loss.alignment,
            range_use: usage.mean_range_use(),
            clipping_rate: usage.clipping_rate(),
            shots: 0,
            plant_seconds: 0.0,
            guard: self.counted(usage.guard),
        })
    }

    /// Gives each weight its values; `false` if one is not finite.
    fn put(&mut self, values: Vec<Vec<f32>>) -> bool {
        let are_finite = values.iter().flatten().all(|value| value.is_finite());
        for (weight, values) in self.weights.iter_mut().zip(values).filter(|_| are_finite) {
            weight.tensor = rows::tensor(values, weight.tensor.dims());
        }
        are_finite
    }

    /// Shortens the gradient and takes one step of the optimizer; `false` if the gradient is not finite.
    fn descend(&mut self, mut gradients: Vec<Option<Vec<f32>>>, learning_rate: f64) -> bool {
        if self.config.normalize_gradients {
            gradients.iter_mut().flatten().for_each(|gradient| normalize(gradient));
        }
        let norm = gradients.iter().flatten().map(|gradient| adam::sum_of_squares(gradient)).sum::<f64>().sqrt();
        if !norm.is_finite() {
            return false;
        }
        let clip = f64::from(self.config.gradient_clip);
        let factor = if clip > 0.0 && norm > clip { clip / norm } else { 1.0 };
        for ((weight, moments), gradient) in self.weights.iter_mut().zip(&mut self.moments).zip(gradients) {
            let Some(gradient) = gradient else { continue };
            // A placeholder, so that the values are taken and not copied.
            let tensor = std::mem::replace(&mut weight.tensor, Tensor::zeros([1, 1], &rows::device()));
            let (tensor, next) =
                optimizer::step(self.config, learning_rate, tensor, (gradient, factor), moments.take());
            (weight.tensor, *moments) = (tensor, Some(next));
        }
        true
    }
}

/// Brings a gradient to the norm 1, as Mordvintsev et al. do for rollouts.
fn normalize(gradient: &mut [f32]) {
    let share = (1.0 / (adam::sum_of_squares(gradient).sqrt() + 1e-8)) as f32;
    for slope in gradient {
        *slope *= share;
    }
}
