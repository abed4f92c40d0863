//! One training from the folder to the end: opened, recorded, steered, closed on every way out.

use std::collections::BTreeMap;
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
use crate::plan::Plan;
use crate::resume::Interrupted;
use crate::run::{Board, Budget, Control, Header, Heading, Helm, Keeper, Keyboard, RunState, Server, restore_terminal};
use crate::train::{Outcome, TimeShares, Trainer};
use crate::{Error, Event, Method, Observer, Progress, Record, StopReason, figure};

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
        self.train_at_keyboard(method, seed, Start::New(folder))
    }

    /// Goes on with a run from its last checkpoint.
    pub(crate) fn resume(&self, run: &Interrupted) -> Result<Finished, Error> {
        self.train_at_keyboard(run.method, run.seed, Start::Continued(run))
    }

    fn train_at_keyboard(&self, method: Method, seed: u64, start: Start<'_>) -> Result<Finished, Error> {
        let bars = MultiProgress::new();
        let control = Control::new();
        let _keyboard = Keyboard::listen(&control, &bars);
        self.train_steered(method, seed, start, (&bars, control))
    }

    /// Trains once, with its progress among `bars`, steered by its socket.
    pub(crate) fn train_shown(
        &self,
        method: Method,
        seed: u64,
        start: Start<'_>,
        bars: &MultiProgress,
    ) -> Result<Finished, Error> {
        self.train_steered(method, seed, start, (bars, Control::new()))
    }

    fn train_steered(
        &self,
        method: Method,
        seed: u64,
        start: Start<'_>,
        (bars, control): (&MultiProgress, Arc<Control>),
    ) -> Result<Finished, Error> {
        let began = Instant::now();
        let data = self.load(seed)?;
        let mut lab = self.lab(method, seed)?;
        let network = Network::build(&self.experiment.layers, &self.document, &lab, [data.width, data.classes])?;
        let mut experiment = self.experiment.clone();
        (experiment.seed, experiment.training.method) = (seed, method);
        let mut trainer = Trainer::new(network, &data, &experiment.training, method, Key::new(seed));
        let header = Header {
            experiment: &experiment,
            rig: &self.rig.config,
            rig_folder: self.rig.folder(),
            method,
            seed,
            data: &data,
            data_path: self.data.as_deref(),
        };
        let runs = start.folder().parent().unwrap_or(Path::new(""));
        let plan = Plan::new(&experiment, method, (&data, trainer.weight_count()), &lab, runs);
        plan.check(runs)?;
        let (mut record, opening, states) = begin(&start, &header, &mut trainer, &mut lab)?;
        let folder = record.folder().to_owned();
        drop(bars.println(format!("plan: {plan}")));
        let mut progress =
            Progress::new(&format!("{method} seed {seed}"), (plan.steps, plan.plant_seconds), bars);
        let heading = Heading {
            experiment: experiment.name.clone(),
            method: method.name().to_owned(),
            seed,
            steps: experiment.training.steps,
            budget: plan.budget(),
        };
        let mut board = Board::new(heading, control.clone(), lab.attend(&control));
        let server = Server::open(&folder, &board)?;
        let metrics = experiment.run.metrics.parse().ok().map(|address| Metrics::serve(address, &board)).transpose()?;
        if let Some(metrics) = &metrics {
            drop(bars.println(format!("metrics: http://{}/metrics", metrics.address())));
        }
        if experiment.run.record {
            lab.record(ShotRecorder::create(&folder, &lab.cards(), &record.provenance())?);
        }
        // The record holds the last shots as well: somebody always watches.
        let watching = board.viewer().watch();
        let seen = board.clone();
        let shown = board.viewer().clone();
        let mut observers: Vec<&mut dyn Observer> = vec![&mut record, &mut progress, &mut board];
        let mut helm = Helm::new(control.clone(), Some(seen), &mut observers);
        helm.keep_by(Keeper::new(&folder, experiment.run.cadence(), trainer.done())?);
        helm.add(Box::new(Thresholds::new(&experiment.run.alarms)));
        let result = helm
            .restore(&states)
            .map_err(|message| Error::Record { path: folder.clone(), message })
            .and_then(|()| helm.tell(&opening))
            .and_then(|_| trainer.run(&mut lab, &mut helm));
        drop(helm);
        let reason = result.as_ref().map_or(StopReason::Failed, |outcome| outcome.reason);
        control.enter(RunState::Stopping);
        let finished = close(result, &mut lab, &mut observers);
        drop(metrics);
        let saved = record.save_weights(trainer.weights()).and_then(|()| record.save_reference(&shown));
        drop(watching);
        control.enter(RunState::Closed(if finished.is_ok() { reason } else { StopReason::Failed }));
        drop(server);
        let outcome = finished?;
        saved?;
        let meter = lab.meter();
        let finished = Finished {
            outcome,
            folder: folder.clone(),
            shots: meter.shots,
            plant_seconds: meter.plant_seconds,
            wall_seconds: began.elapsed().as_secs_f64(),
        };
        record.note(summary(&finished))?;
        match outcome.reason {
            StopReason::Finished => {
                figure::of_run(&folder, self.theme)?;
                Ok(finished)
            }
            _ => Err(Error::Stopped(folder)),
        }
    }
}

/// Where a training starts.
pub(crate) enum Start<'a> {
    /// In a new folder.
    New(&'a Path),
    /// Where a run was left.
    Continued(&'a Interrupted),
}

impl Start<'_> {
    fn folder(&self) -> &Path {
        match self {
            Self::New(folder) => folder,
            Self::Continued(run) => &run.folder,
        }
    }
}

/// What monitors remember.
type Memories = BTreeMap<String, toml::Table>;

/// Opens the record, brings a continued training to its checkpoint, and says what the first event is.
fn begin(
    start: &Start<'_>,
    header: &Header<'_>,
    trainer: &mut Trainer<'_>,
    lab: &mut Lab,
) -> Result<(Record, Event, Memories), Error> {
    let run = match start {
        Start::New(folder) => {
            let opening = Event::Started {
                experiment: header.experiment.name.clone(),
                method: header.method.name().to_owned(),
                seed: header.seed,
                steps: header.experiment.training.steps,
            };
            return Ok((Record::create(folder, header, lab)?, opening, Memories::new()));
        }
        Start::Continued(run) => run,
    };
    let checkpoint = run.checkpoint(header, lab)?;
    let mut memories = Memories::new();
    if let Some(checkpoint) = &checkpoint {
        trainer
            .restore(&checkpoint.snapshot, lab)
            .map_err(|message| Error::Record { path: checkpoint.path.clone(), message })?;
        memories.clone_from(&checkpoint.snapshot.position.monitors);
    }
    let record = Record::reopen(&run.folder, header, checkpoint.as_ref())?;
    Ok((record, Event::Continued { step: trainer.done() }, memories))
}

/// Makes the plants safe and closes the run, whatever `result` is.
fn close(
    result: Result<Outcome, Error>,
    lab: &mut Lab,
    observers: &mut Vec<&mut dyn Observer>,
) -> Result<Outcome, Error> {
    let deadline = Deadline::set(TEARDOWN);
    // A plant that is not safe is worse news than whatever ended the training.
    let safe = lab.make_safe();
    drop(deadline);
    // Shots that are not on the disk are worse news than a good end only.
    let recorded = lab.finish_recording();
    let result = safe.and(result).and_then(|outcome| recorded.map(|()| outcome));
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
