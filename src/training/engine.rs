//! One training from the folder to the end: opened, recorded, steered, closed on every way out.

mod told;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use indicatif::MultiProgress;
use serde_json::{Value, json};
use sims::Key;

use crate::control::{
    Board, Control, Fleet, Heading, Helm, Hooks, Keyboard, Learning, Lookout, Metrics, MetricsListener, Progress,
    Reference, RunConfig, RunState, RunSupervisor, Server, Thresholds, Viewer, Watching,
};
use crate::event::{Evaluated, Event, GuardCounts, Observer, TimeShares};
use crate::plants::Lab;
use crate::record::{Checkpoint, Header, Keeper, NewFolder, Position, Record, ShotMarks, ShotRecorder};
use crate::scores::ObjectiveKind;
use crate::stop::StopReason;
use crate::training::{Experiment, Interrupted, Method, Outcome, Plan, Prepared, Trainer, upkeep};
use crate::{Error, log};

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
    pub fn train(&self, method: Method, seed: u64, folder: &NewFolder) -> Result<Finished, Error> {
        self.train_at_keyboard(method, seed, Start::New(folder))
    }

    /// Goes on with a run from its last checkpoint.
    pub(crate) fn resume(&self, run: &Interrupted) -> Result<Finished, Error> {
        self.train_at_keyboard(run.method, run.seed, Start::Continued(run))
    }

    fn train_at_keyboard(&self, method: Method, seed: u64, start: Start<'_>) -> Result<Finished, Error> {
        let bars = MultiProgress::new();
        let control = Control::new();
        let asked = control.clone();
        let _keyboard = Keyboard::listen(move |request| asked.request(request), &bars);
        self.train_steered(method, seed, start, &Console { bars: &bars, control, announces: true })
    }

    /// Trains once in `folder`, goes on where a run was left there, or reads one that is finished; with its progress among `bars`,
    /// steered by its socket and together with `fleet`.
    pub(crate) fn train_or_go_on(
        &self,
        (method, seed): (Method, u64),
        folder: &Path,
        (bars, fleet): (&MultiProgress, &Fleet),
    ) -> Result<Finished, Error> {
        let console = || Console { bars, control: fleet.join(), announces: false };
        if !folder.exists() {
            return self.train_steered(method, seed, Start::New(&NewFolder::named(folder)), &console());
        }
        let run = Interrupted::find(folder, Path::new(""), false)?;
        if run.facts["state"] == "finished" {
            return Finished::read(&run);
        }
        self.train_steered(method, seed, Start::Continued(&run), &console())
    }

    /// Refuses to go on with a run in `folder`, if there is one, that was started otherwise than is asked now.
    pub(crate) fn refuse_changed(&self, (method, seed): (Method, u64), folder: &Path) -> Result<(), Error> {
        if !folder.exists() {
            return Ok(());
        }
        let run = Interrupted::find(folder, Path::new(""), false)?;
        let experiment = self.counted(method, seed, &self.load(seed)?);
        let changes = run.changes(&experiment, &self.rig.config);
        if changes.is_empty() {
            return Ok(());
        }
        Err(Error::Usage(format!(
            "{}: was started otherwise than is asked now: {}. Ask for the same, or begin a new comparison",
            folder.display(),
            changes.join("; ")
        )))
    }

    fn train_told(
        &self,
        (method, seed): (Method, u64),
        start: Start<'_>,
        console: &Console<'_>,
        hooks: &Arc<Hooks>,
    ) -> Result<Finished, Error> {
        let began = Instant::now();
        let data = self.load(seed)?;
        let mut lab = match start {
            Start::New(_) => self.lab(method, seed)?,
            Start::Continued(_) => self.lab_again(method, seed)?,
        };
        let network = self.network_by(method, (&lab, &data))?;
        let experiment = self.counted(method, seed, &data);
        let mut trainer = Trainer::new(network, &data, &experiment.training, method, Key::new(seed));
        trainer = trainer.guarded(experiment.guard.as_ref());
        let header = Header {
            name: &experiment.name,
            experiment: to_toml(&experiment, start.folder())?,
            rig: &self.rig.config,
            rig_folder: self.rig.folder(),
            method: method.name(),
            seed,
            data: &data,
            data_path: self.data.as_deref(),
            heads: experiment.heads.as_ref(),
            guarded: experiment.guard.is_some(),
        };
        let runs = start.folder().parent().unwrap_or(Path::new(""));
        let (done, before) = start.spent()?;
        if lab.paces() {
            // How long it waits depends on what it drives.
            lab.rehearse();
            trainer.try_batch(&mut lab)?;
        }
        let plan = Plan::new(&experiment, method, (&data, trainer.network()), &lab, runs);
        lab.end_rehearsal();
        plan.rest_after(done).check(runs, &self.rig)?;
        let metrics = metrics_listener(&experiment.run)?;
        let (record, opening, memories) = begin(&start, (&experiment, &header), &mut trainer, &mut lab)?;
        let folder = record.folder().to_owned();
        let _log = log::within(&folder)?;
        let mut desk = Desk::open(record, (&experiment, &header), (&plan, done, console), &mut lab)?;
        desk.board.tell(hooks);
        if let Some(listener) = metrics {
            desk.serve_metrics(listener, console)?;
        }
        let result = desk.steer(&mut trainer, &mut lab, &opening, &memories);
        let wall_seconds = || before + began.elapsed().as_secs_f64();
        let finished = desk.close(result, &trainer, &mut lab, &wall_seconds)?;
        match finished.outcome.reason {
            StopReason::Finished => {
                if let Some(early) = trainer.ended_early().filter(|_| console.announces) {
                    console.bars.suspend(|| tell!("pnnlab: {early}"));
                }
                // What was trained is on the disk: a figure that cannot be drawn is said, and can be drawn later.
                if let Err(error) = self.drawer.draw_run(&folder) {
                    tell!("pnnlab: the figures are missing: {error}. `pnnlab runs figures` draws them again");
                }
                // The next run of a comparison finds its bench open.
                self.rig.keep_open(lab.into_plants()?);
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
        let objective = ObjectiveKind::of_record(&run.facts);
        Ok(Self {
            outcome: Outcome { reason: StopReason::Finished, objective, last, training_shots, usage, time },
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
    lookout: Option<Lookout>,
    run: &'a RunConfig,
    /// Where marks are set among the shots that are written down, if they are.
    marks: Option<ShotMarks>,
    /// The record holds the last shots as well: somebody always watches.
    _watching: Watching,
}

impl<'a> Desk<'a> {
    fn open(
        record: Record,
        (experiment, header): (&'a Experiment, &Header<'_>),
        (plan, done, console): (&Plan, usize, &Console<'_>),
        lab: &mut Lab,
    ) -> Result<Self, Error> {
        let run = &experiment.run;
        tracing::info!(process = std::process::id(), "opened: {plan}");
        let say = |words: String| console.bars.suspend(|| tell!("pnnlab: {words}"));
        if console.announces {
            say(match done {
                0 => format!("plan: {plan}"),
                _ => format!("goes on after {done} steps; still to come: {}", plan.rest_after(done)),
            });
        }
        let progress = Progress::new(
            &format!("{} seed {}", header.method, header.seed),
            (plan.steps, plan.plant_seconds),
            console.bars,
        )
        .map_err(Error::record(record.folder(), "cannot be begun"))?;
        let heading = Heading {
            experiment: experiment.name.clone(),
            method: header.method.to_owned(),
            seed: header.seed,
            objective: header.data.kind(),
            steps: plan.steps,
            budget: plan.budget(),
            alarms: record.alarms(),
        };
        let viewer = Arc::new(Viewer::new(lab.views()));
        lab.tap(Box::new(viewer.clone()));
        let board = Board::new(heading, console.control.clone(), viewer);
        // Before anybody can ask over the socket: a request is then one to a run that may drive.
        lab.attend(RunSupervisor::new(&board, record.journal().clone()));
        board.watch_backlog("record", record.journal().backlog());
        lab.tap(Box::new(record.journal().clone()));
        let server = Some(Server::open(record.folder(), &board)?);
        lab.wait_for_instruments(run.patience());
        lab.announce(&std::path::absolute(record.folder()).unwrap_or_else(|_| record.folder().to_owned()));
        let mut marks = None;
        if let Ok(Some(one_in)) = run.record.one_in() {
            let recorder = ShotRecorder::create(record.folder(), &lab.cards(), &record.provenance())?.one_in(one_in);
            board.watch_backlog("shots", recorder.backlog());
            marks = recorder.marks();
            lab.tap(Box::new(recorder));
        }
        let watching = board.viewer().watch();
        let is_wired = board.viewer().wires().iter().any(|plant| !plant.links.is_empty());
        let lookout = is_wired.then(|| Lookout::start(&board)).transpose()?;
        Ok(Self { record, progress, board, server, metrics: None, lookout, run, marks, _watching: watching })
    }

    fn serve_metrics(&mut self, listener: MetricsListener, console: &Console<'_>) -> Result<(), Error> {
        let metrics = listener.serve(&self.board)?;
        console.bars.suspend(|| tell!("pnnlab: metrics: http://{}/metrics", metrics.address()));
        self.metrics = Some(metrics);
        Ok(())
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
        let mut reference = Reference::new(self.record.journal(), board.viewer());
        let counted_on = (self.record.journal().clone(), self.marks.take());
        let mut observers: Vec<&mut dyn Observer> =
            vec![&mut self.record, &mut self.progress, &mut seen, &mut reference];
        let keeper = Keeper::new(&folder, self.run.cadence(), trainer.done(), counted_on)?;
        board.watch_backlog("checkpoints", keeper.backlog());
        let mut helm = Helm::new(control, Some(board), &mut observers);
        helm.keep_by(keeper);
        helm.add(Box::new(Thresholds::new(&self.run.alarms)));
        helm.add(Box::new(Learning::new(
            (trainer.objective().kind(), trainer.objective().guessing()),
            trainer.facts().1.steps,
        )));
        for monitor in upkeep::monitors(trainer, lab) {
            helm.add(monitor);
        }
        helm.restore(memories).map_err(|message| Error::Record { path: folder, message })?;
        helm.tell(opening).map(drop)?;
        let result = trainer.run(lab, &mut helm);
        // Before the last checkpoint is waited for. Whether they are is said when the run is closed, which makes them safe once more.
        let _ = lab.make_safe();
        let kept = helm.finish();
        result.and_then(|outcome| kept.map(|()| outcome))
    }

    /// Makes the plants safe, closes the record, and lets go of whoever watches. That it is finished is written last: until then it
    /// is a run that can be continued.
    fn close(
        &mut self,
        result: Result<Outcome, Error>,
        trainer: &Trainer<'_>,
        lab: &mut Lab,
        wall_seconds: &dyn Fn() -> f64,
    ) -> Result<Finished, Error> {
        let control = self.board.control().clone();
        control.enter(RunState::Stopping);
        self.lookout = None;
        // Those that came while the last step waited.
        let mut alarms = self.board.fresh_alarms().into_iter().map(Event::Alarm);
        let written = alarms.try_for_each(|alarm| self.record.observe(&alarm).map(drop));
        let result = result.and_then(|outcome| written.map(|()| outcome));
        match &result {
            Ok(outcome) => tracing::info!(steps = trainer.done(), "ends: {:?}", outcome.reason),
            Err(error) => tracing::info!(steps = trainer.done(), "fails: {error}"),
        }
        let safe = make_safe(result, lab, &control, &mut self.record);
        self.metrics = None;
        let saved = trainer.saved().write(self.record.folder());
        let saved = saved.and_then(|()| self.record.save_answers(&trainer.answer_table()));
        let reference = Reference::new(self.record.journal(), self.board.viewer());
        let saved = saved.and_then(|()| reference.save());
        let meter = lab.meter();
        let finished = safe.and_then(|outcome| saved.map(|()| outcome)).and_then(|outcome| {
            let finished = Finished {
                outcome,
                folder: self.record.folder().to_owned(),
                shots: meter.shots,
                plant_seconds: meter.plant_seconds,
                wall_seconds: wall_seconds(),
            };
            let early = trainer.ended_early().map_or(Value::Null, |early| json!({ "ended_early": early }));
            self.record.note(together([summary(&finished), early])).map(|()| finished)
        });
        if let Err(error) = &finished {
            // What it had reached stays findable; that this cannot be written changes nothing.
            let _ = self.record.note(together([
                json!({ "error": error.to_string() }),
                scores(trainer.last(), trainer.objective().kind()),
                json!({ "shots": meter.shots, "plant_seconds": meter.plant_seconds, "wall_seconds": wall_seconds() }),
            ]));
        }
        let reason = finished.as_ref().map_or(StopReason::Failed, |finished| finished.outcome.reason);
        let mut observers: Vec<&mut dyn Observer> = vec![&mut self.record, &mut self.progress];
        let told = observers.observe(&Event::Finished { reason });
        control.enter(RunState::Closed(reason));
        self.server = None;
        finished.and_then(|finished| told.map(|_| finished))
    }
}

/// Where a training starts.
#[derive(Clone, Copy)]
pub(crate) enum Start<'a> {
    /// In a new folder.
    New(&'a NewFolder),
    /// Where a run was left.
    Continued(&'a Interrupted),
}

impl Start<'_> {
    /// Updates that need not be done again, and the time that they took, in s.
    fn spent(&self) -> Result<(usize, f64), Error> {
        match self {
            Self::New(_) => Ok((0, 0.0)),
            Self::Continued(run) => run.spent(),
        }
    }

    fn folder(&self) -> &Path {
        match self {
            Self::New(folder) => folder.wanted(),
            Self::Continued(run) => &run.folder,
        }
    }
}

/// What monitors remember.
type Memories = BTreeMap<String, toml::Table>;

/// Opens the record, brings a continued training to its checkpoint, and says what the first event is.
fn begin(
    start: &Start<'_>,
    (experiment, header): (&Experiment, &Header<'_>),
    trainer: &mut Trainer<'_>,
    lab: &mut Lab,
) -> Result<(Record, Event, Memories), Error> {
    let run = match start {
        Start::New(folder) => {
            let opening = Event::Started {
                experiment: experiment.name.clone(),
                method: header.method.to_owned(),
                seed: header.seed,
                steps: experiment.training.steps,
            };
            return Ok((Record::create(folder, header, lab)?, opening, Memories::new()));
        }
        Start::Continued(run) => run,
    };
    let checkpoint = run.checkpoint(experiment, header, lab)?;
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

/// Makes the plants safe, whatever `result` is, and writes down that they are, or what went wrong.
fn make_safe(
    result: Result<Outcome, Error>,
    lab: &mut Lab,
    control: &Control,
    record: &mut Record,
) -> Result<Outcome, Error> {
    // A plant that is not safe is worse news than whatever ended the training.
    let safe = lab.make_safe();
    control.settle(safe.as_ref().err().map(ToString::to_string));
    let mut told = Ok(());
    let mut tell = |event: Event| told = std::mem::replace(&mut told, Ok(())).and(record.observe(&event).map(drop));
    let is_safe = safe.is_ok();
    if is_safe {
        tracing::info!("the plants are safe");
        tell(Event::Safe);
    }
    // Shots that are not on the disk are worse news than a good end only.
    let recorded = lab.finish_taps();
    let result = safe.and(result).and_then(|outcome| recorded.map(|()| outcome));
    if let Err(error) = &result {
        let unsafe_plants = if is_safe { "" } else { "the plants are NOT SAFE: " };
        tell(Event::Failed { message: format!("{unsafe_plants}{error}") });
    }
    let outcome = result?;
    told.map(|()| outcome)
}

/// The port that Prometheus will ask at, where one is wanted: taken before anything is made.
fn metrics_listener(run: &RunConfig) -> Result<Option<MetricsListener>, Error> {
    run.metrics.parse().ok().map(MetricsListener::bind).transpose()
}

/// What `run.json` says at the end.
fn summary(finished: &Finished) -> Value {
    let TimeShares { plant, twin, digital, overhead } = finished.outcome.time;
    let rest = json!({
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
    });
    let guard = finished.outcome.usage.guard;
    let guard = if guard == GuardCounts::default() { json!({}) } else { json!({ "guard": guard }) };
    together([scores(finished.outcome.last, finished.outcome.objective), rest, guard])
}

/// Objects as one, in their order.
fn together<const N: usize>(parts: [Value; N]) -> Value {
    let entries = parts.into_iter().filter_map(|part| if let Value::Object(part) = part { Some(part) } else { None });
    Value::Object(entries.flatten().collect())
}

/// The scores of the last test under their names in files; null where there was none.
fn scores(last: Option<Evaluated>, kind: ObjectiveKind) -> Value {
    let mut facts =
        json!(last.map_or_else(
            || kind.keyed([("test", None), ("validation", None), ("believed", None)]),
            |last| last.keyed()
        ));
    // Of several read-outs each by itself; the scores above are those of all together.
    if let Some(heads) = last.and_then(|last| last.heads) {
        facts["head_scores"] = json!(heads);
    }
    facts
}

fn to_toml(experiment: &Experiment, folder: &Path) -> Result<String, Error> {
    toml::to_string(experiment).map_err(|error| Error::Record { path: folder.to_owned(), message: error.to_string() })
}
