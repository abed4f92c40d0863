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
use crate::run::{
    Board, Checkpoint, Control, Header, Heading, Helm, Keeper, Keyboard, Metrics, RunConfig, RunState, Server,
    ShotRecorder, Thresholds, Watching, restore_terminal,
};
use crate::train::{Outcome, Position, TimeShares, Trainer};
use crate::upkeep;
use crate::{Error, Event, Method, Observer, Progress, Record, Split, StopReason, figure, log};

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
        self.train_steered(method, seed, start, &Console { bars: &bars, control, announces: true })
    }

    /// Trains once, with its progress among `bars`, steered by its socket.
    pub(crate) fn train_shown(
        &self,
        method: Method,
        seed: u64,
        start: Start<'_>,
        bars: &MultiProgress,
    ) -> Result<Finished, Error> {
        self.train_steered(method, seed, start, &Console { bars, control: Control::new(), announces: false })
    }

    /// Trains once in `folder`, goes on where a run was left there, or reads one that is finished.
    pub(crate) fn train_or_go_on(
        &self,
        (method, seed): (Method, u64),
        folder: &Path,
        bars: &MultiProgress,
    ) -> Result<Finished, Error> {
        if !folder.exists() {
            return self.train_shown(method, seed, Start::New(folder), bars);
        }
        let run = Interrupted::find(folder, Path::new(""), false)?;
        if run.facts["state"] != "finished" {
            return self.train_shown(method, seed, Start::Continued(&run), bars);
        }
        let mut experiment = self.experiment.clone();
        (experiment.seed, experiment.training) = (seed, experiment.training.counted(self.load(seed)?.train.len()));
        experiment.training.method = method;
        let changes = run.changes(&experiment, &self.rig.config);
        if changes.is_empty() {
            return Finished::read(&run);
        }
        Err(Error::Usage(format!("{}: differs from what is asked now: {}", folder.display(), changes.join("; "))))
    }

    fn train_steered(
        &self,
        method: Method,
        seed: u64,
        start: Start<'_>,
        console: &Console<'_>,
    ) -> Result<Finished, Error> {
        let began = Instant::now();
        let data = self.load(seed)?;
        let mut lab = self.lab(method, seed)?;
        let network = Network::build(&self.experiment.layers, &self.document, &lab, [data.width, data.classes])?;
        let mut experiment = self.experiment.clone();
        (experiment.seed, experiment.training) = (seed, experiment.training.counted(data.train.len()));
        experiment.training.method = method;
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
        let (record, opening, memories) = begin(&start, &header, &mut trainer, &mut lab)?;
        let folder = record.folder().to_owned();
        let _log = log::within(&folder)?;
        let mut desk = Desk::open(record, &header, (&plan, console), &mut lab)?;
        let result = desk.steer(&mut trainer, &mut lab, &opening, &memories);
        let outcome = desk.close(result, (&trainer, &data.rows(Split::Test).labels), &mut lab)?;
        let meter = lab.meter();
        let finished = Finished {
            outcome,
            folder: folder.clone(),
            shots: meter.shots,
            plant_seconds: meter.plant_seconds,
            wall_seconds: began.elapsed().as_secs_f64(),
        };
        desk.record.note(summary(&finished))?;
        match outcome.reason {
            StopReason::Finished => {
                figure::of_run(&folder, self.theme)?;
                Ok(finished)
            }
            _ => Err(Error::Stopped(folder)),
        }
    }
}

impl Finished {
    /// What a run gave that is finished, from its last checkpoint.
    fn read(run: &Interrupted) -> Result<Self, Error> {
        let checkpoint = Checkpoint::newest(&run.folder)?.ok_or_else(|| Error::Record {
            path: run.folder.clone(),
            message: "is finished, but has no checkpoint to read the result from: remove it and train again".to_owned(),
        })?;
        let Position { last, training_shots, usage, seconds, plants, .. } = checkpoint.snapshot.position;
        let [plant, twin, digital, overhead] = seconds.map(Duration::from_secs_f64);
        let time = TimeShares { plant, twin, digital, overhead };
        Ok(Self {
            outcome: Outcome { reason: StopReason::Finished, last, training_shots, usage, time },
            folder: run.folder.clone(),
            shots: plants.values().map(|plant| plant.shots).sum(),
            plant_seconds: plants.values().map(|plant| plant.plant_seconds).sum(),
            wall_seconds: run.facts["wall_seconds"].as_f64().unwrap_or(0.0),
        })
    }
}

/// Where a training shows itself, and who steers it.
struct Console<'a> {
    bars: &'a MultiProgress,
    control: Arc<Control>,
    /// Whether it says what it will cost.
    announces: bool,
}

/// All that surrounds one training: its record, its bar, its socket.
struct Desk<'a> {
    record: Record,
    progress: Progress,
    board: Arc<Board>,
    server: Option<Server>,
    metrics: Option<Metrics>,
    run: &'a RunConfig,
    /// The record holds the last shots as well: somebody always watches.
    _watching: Watching,
}

impl<'a> Desk<'a> {
    fn open(
        record: Record,
        header: &Header<'a>,
        (plan, console): (&Plan, &Console<'_>),
        lab: &mut Lab,
    ) -> Result<Self, Error> {
        let (experiment, run) = (header.experiment, &header.experiment.run);
        tracing::info!(process = std::process::id(), "opened: {plan}");
        let say = |words: String| console.bars.suspend(|| tell!("pnnlab: {words}"));
        if console.announces {
            say(format!("plan: {plan}"));
        }
        let progress = Progress::new(
            &format!("{} seed {}", header.method, header.seed),
            (plan.steps, plan.plant_seconds),
            console.bars,
        );
        let heading = Heading {
            experiment: experiment.name.clone(),
            method: header.method.name().to_owned(),
            seed: header.seed,
            steps: plan.steps,
            budget: plan.budget(),
        };
        let board = Board::new(heading, console.control.clone(), lab.attend(&console.control));
        let server = Some(Server::open(record.folder(), &board)?);
        lab.belong_to(record.folder());
        lab.announce(&std::path::absolute(record.folder()).unwrap_or_else(|_| record.folder().to_owned()));
        let metrics = run.metrics.parse().ok().map(|address| Metrics::serve(address, &board)).transpose()?;
        if let Some(metrics) = &metrics {
            say(format!("metrics: http://{}/metrics", metrics.address()));
        }
        if run.record {
            lab.record(ShotRecorder::create(record.folder(), &lab.cards(), &record.provenance())?);
        }
        let watching = board.viewer().watch();
        Ok(Self { record, progress, board, server, metrics, run, _watching: watching })
    }

    /// Trains until it ends or somebody ends it.
    fn steer(
        &mut self,
        trainer: &mut Trainer<'_>,
        lab: &mut Lab,
        opening: &Event,
        memories: &Memories,
    ) -> Result<Outcome, Error> {
        let folder = self.record.folder().to_owned();
        let (control, board) = (self.board.control().clone(), self.board.clone());
        let mut seen = board.clone();
        let mut observers: Vec<&mut dyn Observer> = vec![&mut self.record, &mut self.progress, &mut seen];
        let mut helm = Helm::new(control, Some(board), &mut observers);
        helm.keep_by(Keeper::new(&folder, self.run.cadence(), trainer.done())?);
        helm.add(Box::new(Thresholds::new(&self.run.alarms)));
        for monitor in upkeep::monitors(trainer, lab) {
            helm.add(monitor);
        }
        helm.restore(memories).map_err(|message| Error::Record { path: folder, message })?;
        helm.tell(opening).map(drop)?;
        trainer.run(lab, &mut helm)
    }

    /// Makes the plants safe, closes the record, and lets go of whoever watches.
    fn close(
        &mut self,
        result: Result<Outcome, Error>,
        (trainer, labels): (&Trainer<'_>, &[u32]),
        lab: &mut Lab,
    ) -> Result<Outcome, Error> {
        let control = self.board.control().clone();
        control.enter(RunState::Stopping);
        let reason = result.as_ref().map_or(StopReason::Failed, |outcome| outcome.reason);
        match &result {
            Ok(_) => tracing::info!(steps = trainer.done(), "ends: {reason:?}"),
            Err(error) => tracing::info!(steps = trainer.done(), "fails: {error}"),
        }
        let mut observers: Vec<&mut dyn Observer> = vec![&mut self.record, &mut self.progress];
        let closed = close(result, lab, &mut observers);
        self.metrics = None;
        let saved = self.record.save_weights(trainer.weights());
        let saved = saved.and_then(|()| self.record.save_answers(labels, trainer.answers()));
        let saved = saved.and_then(|()| self.record.save_reference(self.board.viewer()));
        control.enter(RunState::Closed(if closed.is_ok() { reason } else { StopReason::Failed }));
        self.server = None;
        let outcome = closed?;
        saved.map(|()| outcome)
    }
}

/// Where a training starts.
#[derive(Clone, Copy)]
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
                tell!(
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
