//! One training from the folder to the end: opened, recorded, steered, closed on every way out.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::{Sender, channel};
use std::time::{Duration, Instant};

use indicatif::MultiProgress;
use serde_json::json;
use sims::Key;

use crate::comparison::Prepared;
use crate::lab::Lab;
use crate::layer::Network;
use crate::run::{Board, Budget, Control, Header, Heading, Helm, Keyboard, RunState, Server, restore_terminal};
use crate::train::{Outcome, TimeShares, Trainer};
use crate::upkeep::{self, Upkeep};
use crate::{Error, Event, Method, Observer, Progress, Record, Split, StopReason, figure};

/// What plants have to reach their safe state at the end. Links keep deadlines of their own; this one is for what has none.
const TEARDOWN: Duration = Duration::from_secs(10);

/// What one run gave.
pub struct Finished {
    /// How it ended.
    pub outcome: Outcome,
    /// Its folder.
    pub folder: PathBuf,
    /// Shots on the plants.
    pub shots: u64,
    /// Bench time, in s.
    pub plant_seconds: f64,
    /// Time here, in s.
    pub wall_seconds: f64,
}

impl Prepared {
    /// Trains once, recorded in `folder`, steered by keys and socket.
    pub fn train(&self, method: Method, seed: u64, folder: &Path) -> Result<Finished, Error> {
        let bars = MultiProgress::new();
        let control = Control::new();
        let _keyboard = Keyboard::listen(&control, &bars);
        self.train_steered(method, seed, folder, (&bars, control))
    }

    /// Trains once, with its progress among `bars`, steered by its socket.
    pub(crate) fn train_shown(
        &self,
        method: Method,
        seed: u64,
        folder: &Path,
        bars: &MultiProgress,
    ) -> Result<Finished, Error> {
        self.train_steered(method, seed, folder, (bars, Control::new()))
    }

    fn train_steered(
        &self,
        method: Method,
        seed: u64,
        folder: &Path,
        (bars, control): (&MultiProgress, Arc<Control>),
    ) -> Result<Finished, Error> {
        let start = Instant::now();
        let data = self.load(seed)?;
        let mut lab = self.lab(method, seed)?;
        let network = Network::build(&self.experiment.layers, &self.document, &lab, [data.width, data.classes])?;
        let mut experiment = self.experiment.clone();
        (experiment.seed, experiment.training) = (seed, experiment.training.counted(data.train.len()));
        experiment.training.method = method;
        let header = Header { experiment: &experiment, rig: &self.rig.config, method, seed, data: &data.name };
        let mut record = Record::create(folder, &header, &lab)?;
        let steps = experiment.training.steps;
        let mut progress = Progress::new(&format!("{method} seed {seed}"), steps, bars);
        let mut trainer = Trainer::new(network, &data, &experiment.training, method, Key::new(seed));

        let name = (experiment.name.clone(), method.name().to_owned());
        let heading =
            Heading { experiment: name.0.clone(), method: name.1.clone(), seed, steps, budget: Budget::default() };
        let mut board = Board::new(heading, control.clone(), lab.attend(&control));
        let server = Server::open(folder, &board)?;
        lab.announce(&std::path::absolute(folder).unwrap_or_else(|_| folder.to_owned()));
        let started = Event::Started { experiment: name.0, method: name.1, seed, steps };
        let seen = board.clone();
        let mut observers: Vec<&mut dyn Observer> = vec![&mut record, &mut progress, &mut board];
        if method == Method::NoiseAware {
            upkeep::add_noise(&mut lab, Key::new(seed))?;
        }
        let monitors = match method {
            Method::PhysicsAware => Upkeep::of_lab(&mut lab, &experiment.training, data.train.len(), Key::new(seed)),
            _ => vec![],
        };
        let result = observers.observe(&started).and_then(|_| {
            let mut helm = Helm::new(control.clone(), Some(seen), &mut observers);
            for monitor in monitors {
                helm.add(monitor);
            }
            trainer.run(&mut lab, &mut helm)
        });
        let reason = result.as_ref().map_or(StopReason::Failed, |outcome| outcome.reason);
        control.enter(RunState::Stopping);
        let finished = close(result, &mut lab, &mut observers);
        let labels = &data.rows(Split::Test).labels;
        let saved = record.save_weights(trainer.weights()).and(record.save_answers(labels, trainer.answers()));
        control.enter(RunState::Closed(if finished.is_ok() { reason } else { StopReason::Failed }));
        drop(server);
        let outcome = finished?;
        saved?;
        let meter = lab.meter();
        let finished = Finished {
            outcome,
            folder: folder.to_owned(),
            shots: meter.shots,
            plant_seconds: meter.plant_seconds,
            wall_seconds: start.elapsed().as_secs_f64(),
        };
        record.note(summary(&finished))?;
        match outcome.reason {
            StopReason::Finished => {
                figure::learning_curves(&[folder.to_owned()], &folder.join("figures"), self.theme)?;
                Ok(finished)
            }
            _ => Err(Error::Stopped(folder.to_owned())),
        }
    }
}

/// Makes the plants safe and closes the run, whatever `result` is.
fn close(
    result: Result<Outcome, Error>,
    lab: &mut Lab,
    observers: &mut Vec<&mut dyn Observer>,
) -> Result<Outcome, Error> {
    let deadline = Deadline::set(TEARDOWN);
    // A plant that is not safe is worse news than whatever ended the training.
    let result = lab.make_safe().and(result);
    drop(deadline);
    let mut told = Ok(());
    let mut tell = |event: Event| told = std::mem::replace(&mut told, Ok(())).and(observers.observe(&event).map(drop));
    match &result {
        Ok(_) => tell(Event::Safe),
        Err(error) => tell(Event::Failed { message: error.to_string() }),
    }
    let reason = result.as_ref().map_or(StopReason::Failed, |outcome| outcome.reason);
    tell(Event::Finished { reason });
    let outcome = result?;
    told.map(|()| outcome)
}

/// Ends the program if it is not dropped in time: a plant whose driver hangs must not keep a terminal for ever.
struct Deadline(#[allow(dead_code)] Sender<()>);

impl Deadline {
    fn set(time: Duration) -> Self {
        let (sender, receiver) = channel::<()>();
        std::thread::spawn(move || {
            if receiver.recv_timeout(time) == Err(std::sync::mpsc::RecvTimeoutError::Timeout) {
                restore_terminal();
                eprintln!(
                    "pnnlab: a plant is NOT SAFE after {} s: its driver hangs. Switch the bench off by hand",
                    time.as_secs()
                );
                std::process::exit(5);
            }
        });
        Self(sender)
    }
}

/// What `run.json` says at the end.
fn summary(finished: &Finished) -> serde_json::Value {
    let TimeShares { plant, twin, digital, overhead } = finished.outcome.time;
    json!({
        "test_accuracy": finished.outcome.last.map(|last| last.test_accuracy),
        "believed_accuracy": finished.outcome.last.map(|last| last.believed_accuracy),
        "shots": finished.shots,
        "training_shots": finished.outcome.training_shots,
        "plant_seconds": finished.plant_seconds,
        "wall_seconds": finished.wall_seconds,
        "range_use": finished.outcome.usage.mean_range_use(),
        "clipping_rate": finished.outcome.usage.clipping_rate(),
        "step_seconds": {
            "plant": plant.as_secs_f64(), "twin": twin.as_secs_f64(),
            "digital": digital.as_secs_f64(), "overhead": overhead.as_secs_f64(),
        },
    })
}
