//! What a run says of itself, put together on the thread of whoever asks from what the training thread leaves here.

use std::collections::VecDeque;
use std::ops::ControlFlow;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use drivers::Histogram;

use crate::Error;
use crate::control::{
    Alarms, Budget, Control, Hooks, Quantity, Status, Thumbnail, TrainingStatus, Tried, TriedOn, TuningStatus, Viewer,
    Watching,
};
use crate::event::{Alarm, Evaluated, Event, GuardCounts, Observer, Severity, Step, TimeShares};
use crate::record::unix_seconds;
use crate::scores::ObjectiveKind;
use crate::stop::StopReason;
use crate::writing::Backlog;

/// The speed is measured over so many marks, set at most so often: over the last few seconds.
const MARKS: usize = 16;
const MARK_EVERY: Duration = Duration::from_millis(250);
/// How long one picture is shown at least.
const PICTURE_EVERY: Duration = Duration::from_millis(500);

/// What does not change while a run goes.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Heading {
    /// The experiment.
    pub experiment: String,
    /// The method.
    pub method: String,
    /// The seed.
    pub seed: u64,
    /// What is learned.
    pub objective: ObjectiveKind,
    /// Updates in all.
    pub steps: usize,
    /// What it will cost; what it has cost is filled in.
    pub budget: Budget,
    /// Alarms that it had before this process continued it.
    pub alarms: u64,
}

/// What the training thread leaves behind.
#[derive(Debug, Default)]
struct Now {
    step: Option<Step>,
    test: Option<Evaluated>,
    time: TimeShares,
    /// Of each update of this process: its parts in the order of [`TimeShares::parts`].
    steps: [Histogram; 4],
    drift_score: Option<f64>,
    /// What guards found in the updates of this process.
    guard: Option<GuardCounts>,
    /// How a search for knobs goes, where it is one.
    tuning: Option<TuningStatus>,
    /// What it makes, and since when that is shown; none while nobody watches.
    picture: Option<(Instant, Thumbnail)>,
    /// When how many steps were done.
    marks: VecDeque<(Instant, usize)>,
}

impl Now {
    /// Updates, or signatures of a search, that are done.
    fn done(&self) -> Option<usize> {
        let searched = self.tuning.as_ref().map(|tuning| tuning.evaluations);
        self.step.map(|step| step.step).or(searched)
    }

    /// So many are done by now.
    fn mark(&mut self, done: usize) {
        if self.marks.back().is_none_or(|(when, _)| when.elapsed() >= MARK_EVERY) {
            self.marks.push_back((Instant::now(), done));
            if MARKS < self.marks.len() {
                self.marks.pop_front();
            }
        }
    }
}

/// What a run says of itself.
#[derive(Debug)]
pub struct Board {
    heading: Heading,
    control: Arc<Control>,
    viewer: Arc<Viewer>,
    began: Instant,
    now: Mutex<Now>,
    /// Who watches over the socket.
    watchers: AtomicUsize,
    alarms: Mutex<Alarms>,
    /// What monitors have to tell.
    reports: Mutex<Vec<Event>>,
    /// What waits to be written, by what it is.
    backlogs: Mutex<Vec<(&'static str, Backlog)>>,
    /// Who is told of alarms.
    hooks: Mutex<Option<Arc<Hooks>>>,
}

impl Board {
    /// The board of a run that begins now.
    pub fn new(heading: Heading, control: Arc<Control>, viewer: Arc<Viewer>) -> Arc<Self> {
        let alarms = Mutex::new(Alarms::after(heading.alarms));
        Arc::new(Self {
            heading,
            control,
            viewer,
            began: Instant::now(),
            now: Mutex::default(),
            watchers: AtomicUsize::new(0),
            alarms,
            reports: Mutex::default(),
            backlogs: Mutex::default(),
            hooks: Mutex::default(),
        })
    }

    /// What others ask of the run.
    pub fn control(&self) -> &Arc<Control> {
        &self.control
    }

    /// The plants.
    pub fn viewer(&self) -> &Arc<Viewer> {
        &self.viewer
    }

    /// Where the time of the steps went so far, and that of the last one.
    pub fn spend(&self, time: TimeShares, step: TimeShares) {
        let mut now = lock(&self.now);
        now.time = time;
        now.steps.iter_mut().zip(step.parts()).for_each(|(histogram, (_, part))| histogram.add(part));
    }

    /// Somebody watches over the socket until what is returned is dropped: pictures are made meanwhile.
    pub fn watch(self: &Arc<Self>) -> Watcher {
        self.watchers.fetch_add(1, Relaxed);
        Watcher { board: self.clone(), _shots: self.viewer.watch() }
    }

    /// Shows a picture of what is made where somebody watches, unless one has been shown just now.
    pub fn show(&self, picture: impl FnOnce() -> Option<Thumbnail>) {
        let mut now = lock(&self.now);
        if self.watchers.load(Relaxed) == 0 {
            // Whoever comes later is not shown an old one.
            now.picture = None;
        } else if now.picture.as_ref().is_none_or(|(since, _)| PICTURE_EVERY <= since.elapsed()) {
            now.picture = picture().map(|picture| (Instant::now(), picture));
        }
    }

    /// How long the updates of this process took, part by part.
    pub fn steps(&self) -> [Histogram; 4] {
        lock(&self.now).steps
    }

    /// From now on `backlog` is what waits to be written of `what`.
    pub fn watch_backlog(&self, what: &'static str, backlog: Backlog) {
        lock(&self.backlogs).push((what, backlog));
    }

    /// What waits to be written, by what it is.
    pub fn backlogs(&self) -> Vec<(&'static str, Backlog)> {
        lock(&self.backlogs).clone()
    }

    /// From now on `hooks` are told of alarms.
    pub fn tell(&self, hooks: &Arc<Hooks>) {
        *lock(&self.hooks) = Some(hooks.clone());
    }

    /// The last update.
    pub fn last_step(&self) -> Option<Step> {
        lock(&self.now).step
    }

    /// What the drift monitor says, as a fraction of its threshold.
    pub fn drift(&self, score: f64) {
        lock(&self.now).drift_score = Some(score);
    }

    /// How a search for knobs goes.
    pub fn search(&self, tuning: TuningStatus) {
        let mut now = lock(&self.now);
        now.mark(tuning.evaluations);
        now.tuning = Some(tuning);
    }

    /// A monitor tells what it did; it is written down between two steps.
    pub fn report(&self, event: Event) {
        lock(&self.reports).push(event);
    }

    /// What monitors told since this was last asked.
    pub fn take_reports(&self) -> Vec<Event> {
        std::mem::take(&mut *lock(&self.reports))
    }

    /// Raises an alarm of `source`; it is one alarm until its cause is gone. `pause`: the run pauses meanwhile.
    pub fn raise(&self, source: &str, severity: Severity, message: String, pause: bool) {
        let mut alarms = lock(&self.alarms);
        if !alarms.raise(source, severity, message) {
            return;
        }
        let raised = alarms.list().iter().find(|alarm| alarm.source == source).cloned();
        drop(alarms);
        // They wait for nobody, so that an alarm is told at once by whoever raises it.
        if let (Some(hooks), Some(alarm)) = (&*lock(&self.hooks), raised) {
            hooks.alarm(&alarm);
        }
        self.control.bring_news();
        // Once: who resumes although the cause persists has decided.
        if pause {
            self.control.pause_for_alarm();
        }
    }

    /// What `source` complained of is over; a run that it paused goes on.
    pub fn clear(&self, source: &str) {
        if lock(&self.alarms).clear(source) {
            self.control.bring_news();
            self.control.resume_after_alarm();
        }
    }

    /// Somebody has seen the alarm.
    pub fn acknowledge(&self, id: u64) -> Result<(), String> {
        if lock(&self.alarms).acknowledge(id) {
            self.control.bring_news();
            return Ok(());
        }
        Err(format!("there is no alarm {id} to acknowledge: the status lists those that there are"))
    }

    /// Alarms that changed since this was last asked.
    pub fn fresh_alarms(&self) -> Vec<Alarm> {
        lock(&self.alarms).take_fresh()
    }

    /// What an alarm watches, as the last update or test has it.
    pub fn quantity(&self, quantity: Quantity) -> Option<f64> {
        let now = lock(&self.now);
        match quantity {
            Quantity::Loss => now.step.map(|step| f64::from(step.loss)),
            Quantity::ClippingRate => now.step.map(|step| step.clipping_rate),
            Quantity::RangeUse => now.step.map(|step| step.range_use),
            Quantity::TestAccuracy | Quantity::TestNrmse | Quantity::TestR2 => {
                now.test.and_then(|test| test.scores().get(quantity.score()?))
            }
            Quantity::Illusion => {
                now.test.map(|test| test.believed.kind().score().lead(test.believed.first(), test.scores().first()))
            }
            Quantity::DriftScore => now.drift_score,
        }
    }

    /// Times that the plants were made safe on request.
    pub fn safe_states(&self) -> u64 {
        self.control.safe_states()
    }

    /// The run at this moment.
    pub fn status(&self) -> Status {
        let (plants, twin_residual) = self.viewer.status();
        let (training, wall_seconds) = (self.training(twin_residual), self.began.elapsed().as_secs_f64());
        let left = training.steps.saturating_sub(training.step) as f64;
        let budget = Budget {
            shots_taken: plants.iter().map(|plant| plant.shots).sum(),
            plant_seconds_spent: plants.iter().map(|plant| plant.plant_seconds).sum(),
            wall_seconds,
            wall_seconds_left: training.steps_per_second.filter(|speed| *speed > 0.0).map(|speed| left / speed),
            ..self.heading.budget
        };
        let (tuning, picture) = {
            let now = lock(&self.now);
            (now.tuning.clone(), now.picture.as_ref().map(|(_, picture)| picture.clone()))
        };
        Status {
            unix_seconds: unix_seconds(),
            process: std::process::id(),
            experiment: self.heading.experiment.clone(),
            method: self.heading.method.clone(),
            seed: self.heading.seed,
            state: self.control.state(),
            why: self.control.why(),
            held: self.control.is_held(),
            training,
            tuning,
            plants,
            alarms: lock(&self.alarms).list().to_vec(),
            budget,
            picture,
        }
    }

    fn training(&self, twin_residual: Option<f64>) -> TrainingStatus {
        let now = lock(&self.now);
        let shares = now.time.parts().map(|(_, time)| time.as_secs_f64());
        let total: f64 = shares.iter().sum();
        let speed = match (now.marks.front(), now.done()) {
            (Some((when, first)), Some(done)) if *first < done => {
                Some((done - first) as f64 / when.elapsed().as_secs_f64())
            }
            _ => None,
        };
        let searched = now.tuning.as_ref();
        TrainingStatus {
            step: now.done().unwrap_or(0),
            steps: self.heading.steps,
            epoch: now.step.map_or(0, |step| step.epoch),
            loss: now.step.map(|step| f64::from(step.loss)).or(searched.and_then(|tuning| tuning.distance)),
            tried: Tried {
                kind: self.heading.objective,
                plant: now.test.map(|test| test.scores()),
                believed: now.test.map(|test| test.believed),
            },
            tried_on: now.test.map(|test| match test.test {
                Some(_) => TriedOn::Test,
                None => TriedOn::Validation,
            }),
            twin_residual,
            drift_score: now.drift_score,
            steps_per_second: speed,
            range_use: now.step.map(|step| step.range_use),
            clipping_rate: now.step.map(|step| step.clipping_rate),
            alignment: now.step.and_then(|step| step.alignment).map(f64::from),
            heads: now.test.and_then(|test| test.heads),
            guard: now.guard,
            time_shares: (total > 0.0).then(|| shares.map(|share| share / total)),
        }
    }
}

/// Somebody watches over the socket, the last shots as well.
pub struct Watcher {
    board: Arc<Board>,
    _shots: Watching,
}

impl Drop for Watcher {
    fn drop(&mut self) {
        self.board.watchers.fetch_sub(1, Relaxed);
    }
}

/// The board is shared, so observing needs no more than a reference.
impl Observer for Arc<Board> {
    fn observe(&mut self, event: &Event) -> Result<ControlFlow<StopReason>, Error> {
        let mut now = lock(&self.now);
        match event {
            Event::Step(step) => {
                now.step = Some(*step);
                if let Some(counts) = &step.guard {
                    now.guard.get_or_insert_default().add(counts);
                }
                now.mark(step.step);
            }
            Event::Evaluated(test) => now.test = Some(*test),
            Event::Paused { .. } | Event::Resumed => now.marks.clear(),
            _ => {}
        }
        Ok(ControlFlow::Continue(()))
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // Plain data: a thread that panicked while it held it has broken nothing.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_picture_is_made_only_while_somebody_watches() {
        let board = Board::new(Heading::default(), Control::new(), Arc::new(Viewer::new(vec![])));
        let picture = || Thumbnail { size: [1, 1], colors: "000000".to_owned() };
        board.show(|| unreachable!("nobody watches"));
        let [first, second] = [board.watch(), board.watch()];
        drop(first);
        board.show(|| Some(picture()));
        board.show(|| unreachable!("one was made just now"));
        assert_eq!(board.status().picture, Some(picture()));
        drop(second);
        board.show(|| unreachable!("nobody watches any more"));
        assert_eq!(board.status().picture, None, "an old picture is shown to nobody");
    }
}
