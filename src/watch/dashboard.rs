//! All that the dashboard knows and shows, in one struct. It changes by [`News`] and keys; drawing only reads it.
//!
//! Time is an argument: `now` is set by the loop, so that a picture is a function of this struct.

use std::path::PathBuf;
use std::sync::Arc;

use super::connection::Connection;
use super::find::RunRow;
use super::history::{History, Row, Test};
use super::panel::Panel;
use super::record::{Facts, Log};
use super::theme::{Theme, Tone};
use crate::control::{RunState, Status};
use crate::event::Alarm;

/// A status is drawn stale from this age on, in s. It comes ten times a second.
pub const FRESH_SECONDS: f64 = 2.0;
/// What an answer said stays in the last line for so long, in s.
pub const NOTICE_SECONDS: f64 = 8.0;
/// A stretch of the record that is read row by row has at most so many updates.
pub const DETAIL_STEPS: u64 = 20_000;

/// Some rows of the record, for the time slider.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Detail {
    /// The first step asked for.
    pub from: u64,
    /// The last step asked for.
    pub to: u64,
    /// What the record holds between them.
    pub rows: Vec<Row>,
}

/// One run as it is known.
#[derive(Debug, Clone)]
pub struct RunView {
    /// Its folder.
    pub folder: PathBuf,
    /// `run.json`.
    pub facts: Facts,
    /// The connection to its process.
    pub connection: Connection,
    /// What its process said last.
    pub status: Option<Status>,
    /// What it was asked to become and has not said yet that it is: a pause waits for the end of the step.
    pub wish: Option<RunState>,
    /// `metrics.csv`.
    pub history: Arc<History>,
    /// `events.jsonl`.
    pub log: Arc<Log>,
    /// Rows around the slider.
    pub detail: Option<Detail>,
    /// Where its files cannot be read, and why.
    pub problem: Option<String>,
}

/// The requests to one run to be safe.
#[derive(Debug, Clone, PartialEq)]
pub struct Safety {
    /// The run.
    pub folder: PathBuf,
    /// When it was asked last: seconds since 1970.
    pub asked: f64,
    /// When it had been asked what it has answered last.
    pub answered: f64,
    /// When it had been asked what it has answered by SAFE.
    pub safe: f64,
    /// When it said SAFE.
    pub safe_since: f64,
    /// Whether it waits since then, until somebody lets it go on.
    pub paused: bool,
    /// Why it is not safe, and what to do.
    pub failure: Option<String>,
}

/// How old what a panel shows is.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Freshness {
    /// As it is now.
    Fresh,
    /// As it was so many seconds ago.
    Stale(f64),
    /// From the record of a run that is over.
    Record,
    /// Nothing was ever said.
    Absent,
}

impl RunView {
    /// A run of which nothing is known yet.
    pub fn new(folder: PathBuf) -> Self {
        Self {
            folder,
            facts: Facts::default(),
            connection: Connection::Opening,
            status: None,
            wish: None,
            history: Arc::default(),
            log: Arc::default(),
            detail: None,
            problem: None,
        }
    }

    /// The name of its folder.
    pub fn name(&self) -> String {
        self.folder
            .file_name()
            .map_or_else(|| self.folder.display().to_string(), |name| name.to_string_lossy().into_owned())
    }

    /// The number of its process, where that is gone and nobody closed the record.
    pub fn gone(&self) -> Option<u64> {
        match self.connection {
            Connection::Lost { gone, .. } => gone,
            _ => None,
        }
    }

    /// Whether the run is over, so that its record is what there is to show.
    pub fn over(&self) -> bool {
        let closed = matches!(self.status.as_ref().map(|status| status.state), Some(RunState::Closed(_)));
        closed
            || self.gone().is_some()
            || (self.connection != Connection::Live && !self.facts.state.is_empty() && !self.facts.open())
    }

    /// Where it is in its life, or will be as soon as it has heard.
    pub fn soon(&self) -> Option<RunState> {
        self.wish.or(self.status.as_ref().map(|status| status.state))
    }

    /// How old its status is at `now`.
    pub fn freshness(&self, now: f64) -> Freshness {
        match &self.status {
            None => Freshness::Absent,
            Some(status) => {
                let age = (now - status.unix_seconds).max(0.0);
                let live = self.connection == Connection::Live && !self.over();
                if live && age <= FRESH_SECONDS { Freshness::Fresh } else { Freshness::Stale(age) }
            }
        }
    }

    /// How old what `panel` shows is.
    pub fn panel_freshness(&self, panel: Panel, now: f64) -> Freshness {
        let from_record = matches!(panel, Panel::Training | Panel::Alarms | Panel::Log | Panel::Budget);
        if self.over() && from_record { Freshness::Record } else { self.freshness(now) }
    }

    /// Its alarms: those that its process names, or those of the record as they stood at the slider; what nobody has seen
    /// first, then the worst, then the newest.
    pub fn alarms(&self, cursor: Option<u64>) -> Vec<Alarm> {
        let mut alarms = match &self.status {
            Some(status) if !self.over() => status.alarms.clone(),
            _ => self.log.alarms_at(self.until(cursor)),
        };
        alarms.sort_by_key(|alarm| (alarm.acknowledged, std::cmp::Reverse((alarm.severity, alarm.id))));
        alarms
    }

    /// Where the slider of a record stands before its end: when that was.
    pub fn until(&self, cursor: Option<u64>) -> Option<f64> {
        let step = cursor.filter(|step| self.over() && *step < self.span().1)?;
        self.time_of(step)
    }

    /// About when update `step` was done: between the events that name one, its start and its end.
    pub fn time_of(&self, step: u64) -> Option<f64> {
        let start = (0, self.facts.started_unix_seconds);
        let [before, after] = self.log.around(step);
        let before = before.or(Some(start).filter(|start| 0.0 < start.1));
        let after = after.or(self.log.last.map(|last| (self.span().1.max(step), last)));
        match (before, after) {
            (Some((low, early)), Some((high, late))) if low < high && early <= late => {
                Some(early + (late - early) * (step.saturating_sub(low)) as f64 / (high - low) as f64)
            }
            (Some((_, time)), _) | (None, Some((_, time))) => Some(time),
            (None, None) => None,
        }
    }

    /// The updates that were planned, as far as anything says; never fewer than there are.
    pub fn planned(&self) -> u64 {
        let said = self.status.as_ref().map(|status| status.training.steps as u64);
        said.or(self.log.steps).or(self.facts.steps).unwrap_or(0).max(self.span().1)
    }

    /// Whether anything is known of it.
    pub fn known(&self) -> bool {
        self.status.is_some() || self.history.span().is_some()
    }

    /// The steps that the record holds.
    pub fn span(&self) -> (u64, u64) {
        self.history.span().unwrap_or((0, 0))
    }

    /// The update at `step`, or the last before it, where the rows around it have been read.
    pub fn row_at(&self, step: u64) -> Option<Row> {
        let last = self.history.last.filter(|row| row.step <= step);
        let near =
            |detail: &Detail| detail.rows.iter().rev().find(|row| row.step <= step && row.loss.is_some()).copied();
        last.or_else(|| self.detail.as_ref().filter(|detail| (detail.from..=detail.to).contains(&step)).and_then(near))
    }

    /// The last test at or before `step`.
    pub fn test_at(&self, step: u64) -> Option<Test> {
        let exact = self.detail.as_ref().and_then(|detail| {
            let row = detail.rows.iter().rev().find(|row| row.step <= step && row.scores.is_some())?;
            Some(Test::of(row, row.scores?))
        });
        let kept = self.history.test_at(step);
        match (exact, kept) {
            (Some(exact), Some(kept)) if exact.step < kept.step => Some(kept),
            (exact, kept) => exact.or(kept),
        }
    }
}

/// Which page is open.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Page {
    /// The table of runs.
    Runs,
    /// One run.
    Run,
}

/// What lies over the page.
#[derive(Debug, Clone, PartialEq)]
pub enum Overlay {
    /// The keys; scrolled by so many lines.
    Help(usize),
    /// Whether to stop the run.
    ConfirmStop,
}

/// What an answer said.
#[derive(Debug, Clone, PartialEq)]
pub struct Notice {
    /// How to show it.
    pub tone: Tone,
    /// The sentence.
    pub text: String,
    /// Seconds since 1970.
    pub since: f64,
}

/// How the page of a run is looked at.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Look {
    /// The panel that keys go to.
    pub focus: Panel,
    /// Whether it fills the page.
    pub expanded: bool,
    /// Which plant.
    pub plant: usize,
    /// Whether waveforms are shown as spectra.
    pub spectrum: bool,
    /// The first line shown of the panel in focus, where it scrolls down.
    pub scroll: usize,
    /// Which alarm.
    pub alarm: usize,
    /// Lines from the end of the log.
    pub log_back: usize,
    /// Only lines with this text.
    pub filter: String,
    /// The curves show 2^-zoom of the steps.
    pub zoom: u32,
    /// Where the time slider stands, in steps.
    pub cursor: Option<u64>,
    /// Whether the slider moves by itself.
    pub playing: bool,
}

/// The table of runs.
#[derive(Debug, Clone, Default)]
pub struct RunTable {
    /// The folder that is looked at.
    pub folder: PathBuf,
    /// All runs, active ones first, then the newest.
    pub rows: Vec<RunRow>,
    /// Whether the folder has been looked at.
    pub read: bool,
    /// Which row, of those that the filter leaves.
    pub selected: usize,
    /// Only runs with this text.
    pub filter: String,
}

impl RunTable {
    /// The rows that the filter leaves.
    pub fn visible(&self) -> impl Iterator<Item = &RunRow> {
        let wanted = self.filter.to_lowercase();
        self.rows.iter().filter(move |row| wanted.is_empty() || row.words().to_lowercase().contains(&wanted))
    }
}

/// The dashboard.
#[derive(Debug, Clone)]
pub struct Dashboard {
    /// Seconds since 1970.
    pub now: f64,
    /// What the terminal can show.
    pub theme: Theme,
    /// The page.
    pub page: Page,
    /// The table of runs.
    pub table: RunTable,
    /// The run that is open.
    pub run: Option<RunView>,
    /// What was shown when the user froze it, and when that was.
    pub frozen: Option<(f64, Box<RunView>)>,
    /// How the run is looked at.
    pub look: Look,
    /// What lies over the page.
    pub overlay: Option<Overlay>,
    /// A filter that is being typed.
    pub entry: Option<String>,
    /// What the last answer said.
    pub notice: Option<Notice>,
    /// What became of `!`, run by run.
    pub safety: Vec<Safety>,
    /// Whether a newer run is opened by itself when it appears.
    pub follow: bool,
}

impl Dashboard {
    /// A dashboard of the runs in `folder`.
    pub fn new(folder: PathBuf, theme: Theme, now: f64) -> Self {
        Self {
            now,
            theme,
            page: Page::Runs,
            table: RunTable { folder, ..RunTable::default() },
            run: None,
            frozen: None,
            look: Look::default(),
            overlay: None,
            entry: None,
            notice: None,
            safety: Vec::new(),
            follow: false,
        }
    }

    /// Opens a run.
    pub fn open(&mut self, folder: PathBuf) {
        self.page = Page::Run;
        self.run = Some(RunView::new(folder));
        self.frozen = None;
        self.look = Look { focus: self.look.focus, expanded: self.look.expanded, ..Look::default() };
    }

    /// Goes back to the table.
    pub fn close(&mut self) {
        (self.page, self.run, self.frozen, self.follow) = (Page::Runs, None, None, false);
    }

    /// The run as it is drawn: as it is, or as it was when it was frozen.
    pub fn shown(&self) -> Option<&RunView> {
        self.frozen.as_ref().map(|(_, run)| &**run).or(self.run.as_ref())
    }

    /// The time that ages are counted to: now, but of a frozen picture when it was frozen.
    pub fn shown_now(&self) -> f64 {
        self.frozen.as_ref().map_or(self.now, |(since, _)| *since)
    }

    /// Shows a sentence in the last line for a while.
    pub fn say(&mut self, tone: Tone, text: String) {
        self.notice = Some(Notice { tone, text, since: self.now });
    }

    /// The sentence in the last line, while it lasts.
    pub fn notice(&self) -> Option<&Notice> {
        self.notice.as_ref().filter(|notice| self.now - notice.since < NOTICE_SECONDS)
    }

    /// The runs that `!` concerns: the open one unless it is over, in the table all whose process lives, silent ones as well.
    ///
    /// A run that has died is asked too: it cannot be made safe, and that is said.
    pub fn targets(&self) -> Vec<PathBuf> {
        match (self.page, &self.run) {
            (Page::Run, Some(run)) => {
                let concerned = !run.over() || run.gone().is_some();
                Some(run).filter(|_| concerned).map(|run| run.folder.clone()).into_iter().collect()
            }
            _ => self.table.rows.iter().filter(|row| row.lives()).map(|row| row.folder.clone()).collect(),
        }
    }

    /// The alarms of the run that is shown, at the slider.
    pub fn alarms(&self) -> Vec<Alarm> {
        self.shown().map_or_else(Vec::new, |run| run.alarms(self.look.cursor))
    }

    /// The time that the ages of alarms are counted to: of a record the slider's, or its end.
    pub fn moment(&self) -> f64 {
        let record = self.shown().filter(|run| run.over()).and_then(|run| run.until(self.look.cursor).or(run.log.last));
        record.unwrap_or_else(|| self.shown_now())
    }

    /// The steps that the curves show, and where the slider stands.
    pub fn window(&self) -> Option<(u64, u64)> {
        let run = self.shown()?;
        let (first, last) = run.history.span()?;
        let width = ((last - first) >> self.look.zoom.min(63)).max(8);
        let end = match self.look.cursor {
            Some(cursor) => (cursor + width / 2).clamp(first + width.min(last - first), last),
            None => last,
        };
        Some((end.saturating_sub(width).max(first), end))
    }

    /// The stretch of the record that the slider and the zoom need and that has not been read.
    pub fn wanted(&self) -> Option<(u64, u64)> {
        let run = self.run.as_ref().filter(|run| run.over())?;
        let cursor = self.look.cursor?;
        let (from, to) = self.window().filter(|(from, to)| to - from <= DETAIL_STEPS).unwrap_or((cursor, cursor));
        // A test's row may be some way back; the curves know the rest.
        let (from, to) = (from.min(cursor).saturating_sub(64), to.max(cursor));
        let read = run.detail.as_ref().is_some_and(|detail| detail.from <= from && to <= detail.to);
        (!read).then_some((from, to))
    }
}
