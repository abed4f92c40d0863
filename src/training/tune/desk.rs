//! A search as others see it while it goes: its record, its control socket, and what it says of itself. `pnnlab watch` shows it as it shows a run.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use calibration::Strategy;
use serde_json::{Value, json};

use super::{Found, Range, Trial};
use crate::control::{
    Board, Budget, Control, Heading, KnobStatus, Lookout, RunConfig, RunState, RunSupervisor, Server, TuningStatus,
    Viewer, Watching,
};
use crate::event::Event;
use crate::plants::{Lab, PlantState};
use crate::record::SearchRecord;
use crate::scores::ObjectiveKind;
use crate::stop::{StopReason, requested};
use crate::{Error, stop};

/// What a search is.
#[derive(Debug, Clone, Copy)]
pub struct About<'a> {
    /// The rig, or the program.
    pub name: &'a str,
    /// How it is searched.
    pub strategy: Strategy,
    /// Draws what is random.
    pub seed: u64,
    /// Signatures to read, in all.
    pub evaluations: usize,
    /// Shots of a signature.
    pub shots: usize,
    /// What is turned.
    pub ranges: &'a [Range],
}

/// All that surrounds one search.
pub struct Desk {
    record: SearchRecord,
    board: Arc<Board>,
    server: Option<Server>,
    lookout: Option<Lookout>,
    status: TuningStatus,
    began: Instant,
    /// The status shows the last shots: somebody always watches.
    _watching: Watching,
}

impl Desk {
    /// Opens the record in `folder`, and lets others steer `lab` from now on.
    pub fn open(folder: &Path, about: About<'_>, lab: &mut Lab, goes_on: bool) -> Result<Self, Error> {
        let method = format!("tune, {}", json!(about.strategy).as_str().unwrap_or_default());
        let status = beginning(about);
        let names = about.ranges.iter().map(|range| format!("knob.{}", range.name));
        let columns = ["kind", "step", "stage", "distance", "best", "shots", "plant_seconds"].map(str::to_owned);
        let columns = columns.into_iter().chain(names).collect::<Vec<_>>().join(",");
        let facts = json!({
            "experiment": about.name, "method": method, "seed": about.seed, "rig": about.name, "tuning": status,
        });
        let record = SearchRecord::open(folder, (facts, &columns), lab, goes_on)?;
        let viewer = Arc::new(Viewer::new(lab.views()));
        lab.tap(Box::new(viewer.clone()));
        let heading = Heading {
            experiment: about.name.to_owned(),
            method: method.clone(),
            seed: about.seed,
            objective: ObjectiveKind::default(),
            steps: about.evaluations,
            budget: Budget { shots: (about.evaluations * about.shots) as u64, ..Budget::default() },
            alarms: 0,
        };
        let board = Board::new(heading, Control::new(), viewer);
        board.search(status.clone());
        // Before anybody can ask over the socket: a request is then one to a search that may drive.
        lab.attend(RunSupervisor::new(&board, record.journal().clone()));
        board.watch_backlog("record", record.journal().backlog());
        lab.tap(Box::new(record.journal().clone()));
        let server = Some(Server::open(record.folder(), &board)?);
        lab.wait_for_instruments(RunConfig::default().patience());
        lab.announce(&std::path::absolute(record.folder()).unwrap_or_else(|_| record.folder().to_owned()));
        let watching = board.viewer().watch();
        let is_wired = board.viewer().wires().iter().any(|plant| !plant.links.is_empty());
        let lookout = is_wired.then(|| Lookout::start(&board)).transpose()?;
        let opening =
            Event::Started { experiment: about.name.to_owned(), method, seed: about.seed, steps: about.evaluations };
        record.journal().add_event(&opening)?;
        Ok(Self { record, board, server, lookout, status, began: Instant::now(), _watching: watching })
    }

    /// Sees one signature.
    pub fn see(&mut self, trial: &Trial<'_>) -> Result<(), Error> {
        let status = &mut self.status;
        let distance = trial.distance();
        (status.evaluations, status.distance) = (trial.number, Some(distance));
        trial.stage.clone_into(&mut status.stage);
        status.start.get_or_insert(distance);
        let is_best = trial.is_told && status.best.is_none_or(|best| distance < best);
        if is_best {
            status.best = Some(distance);
        }
        for (knob, value) in status.knobs.iter_mut().zip(trial.values) {
            knob.now = *value;
            knob.best = if is_best { *value } else { knob.best };
        }
        let (shots, plant_seconds) = spent(trial.moment);
        let values: Vec<String> = trial.values.iter().map(ToString::to_string).collect();
        let row = format!(
            "step,{},{},{distance},{},{shots},{plant_seconds},{}",
            trial.number,
            trial.stage,
            status.best.unwrap_or(distance),
            values.join(",")
        );
        self.board.search(status.clone());
        self.record.add_row(&row)
    }

    /// Closes the record by how the search ended; `safe` says whether the plants were made safe.
    pub fn close(
        mut self,
        result: &Result<Found, Error>,
        safe: &Result<(), Error>,
        lab: &mut Lab,
    ) -> Result<(), Error> {
        let control = self.board.control().clone();
        control.enter(RunState::Stopping);
        self.lookout = None;
        control.settle(safe.as_ref().err().map(ToString::to_string));
        let journal = self.record.journal().clone();
        let mut told =
            self.board.fresh_alarms().into_iter().try_for_each(|alarm| journal.add_event(&Event::Alarm(alarm)));
        let mut tell = |event: Event| told = std::mem::replace(&mut told, Ok(())).and(journal.add_event(&event));
        match safe {
            Ok(()) => tell(Event::Safe),
            Err(error) => tell(Event::Failed { message: error.to_string() }),
        }
        let (reason, error) = match result {
            Ok(found) => {
                take(&mut self.status, found);
                (StopReason::Finished, Value::Null)
            }
            Err(Error::TuningStopped) if requested() => (StopReason::Interrupted, Value::Null),
            Err(Error::TuningStopped) => (StopReason::Stopped, Value::Null),
            Err(error) => {
                tell(Event::Failed { message: error.to_string() });
                (StopReason::Failed, json!(error.to_string()))
            }
        };
        let taps = lab.finish_taps();
        let meter = lab.meter();
        self.board.search(self.status.clone());
        let closed = self.record.close(
            reason,
            json!({
                "tuning": self.status, "error": error, "shots": meter.shots, "plant_seconds": meter.plant_seconds,
                "wall_seconds": self.began.elapsed().as_secs_f64(),
            }),
        );
        control.enter(RunState::Closed(reason));
        self.server = None;
        told.and(taps).and(closed)
    }
}

/// A search before its first signature.
fn beginning(about: About<'_>) -> TuningStatus {
    let knob = |range: &Range| KnobStatus {
        name: range.name.clone(),
        unit: range.unit.clone(),
        low: range.low,
        high: range.high,
        start: range.value,
        now: range.value,
        best: range.value,
        seen: None,
    };
    TuningStatus {
        planned: about.evaluations,
        knobs: about.ranges.iter().map(knob).collect(),
        ..TuningStatus::default()
    }
}

/// What a search has found, in its last status.
fn take(status: &mut TuningStatus, found: &Found) {
    (status.evaluations, status.noise, status.is_better) =
        (found.evaluations, Some(found.noise), Some(found.is_better));
    (status.start, status.best) = (Some(found.distance_before), Some(found.distance_after));
    "done".clone_into(&mut status.stage);
    for (knob, found) in status.knobs.iter_mut().zip(&found.knobs) {
        (knob.now, knob.best, knob.seen) = (found.after, found.after, Some(found.seen));
    }
}

/// Shots and bench time until a moment.
fn spent(moment: &str) -> (u64, f64) {
    let states: BTreeMap<String, PlantState> = toml::from_str(moment).unwrap_or_default();
    states.values().fold((0, 0.0), |(shots, seconds), state| (shots + state.shots, seconds + state.plant_seconds))
}

/// What a lab that is asked between two signatures says, as a search says it.
pub fn ended(error: Error) -> Error {
    match error {
        Error::Halted(_) => Error::TuningStopped,
        Error::Plant { source: drivers::Error::Interrupted, .. } if stop::requested() => Error::TuningStopped,
        error => error,
    }
}
