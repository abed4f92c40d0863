//! What comes to the dashboard from outside, and what it changes.

use std::path::PathBuf;
use std::sync::Arc;

use ratatui::crossterm::event::Event as Input;

use super::connection::Connection;
use super::dashboard::{Dashboard, Detail, Page};
use super::find::{self, RunRow};
use super::history::History;
use super::holder::Holder;
use super::record::{Facts, Log};
use super::theme::Tone;
use crate::control::{Reply, Request, RunState, Status};

/// One thing that comes from outside. The number says which opening of a run it belongs to.
#[derive(Debug)]
pub enum News {
    /// A key, the mouse, or another size.
    Input(Input),
    /// The terminal is gone.
    InputEnded,
    /// Somebody else had the terminal, and what stands there is not what was drawn.
    TerminalBack,
    /// `!` was pressed then (seconds since 1970), and the request is on its way to these runs already.
    SafeAsked(f64, Vec<PathBuf>),
    /// A run's process says how it is.
    Status(u64, Box<Status>),
    /// The connection to it changed.
    Connection(u64, Connection),
    /// Its files changed.
    Record(u64, Box<RecordNews>),
    /// Rows that the slider asked for.
    Detail(u64, Detail),
    /// The runs of the folder.
    Runs(Vec<RunRow>),
    /// A request was answered, or could not be asked.
    Answer(Box<Answer>),
}

/// What became of a request.
#[derive(Debug)]
pub struct Answer {
    /// The run that was asked.
    pub folder: PathBuf,
    /// What.
    pub request: Request,
    /// When: seconds since 1970.
    pub asked: f64,
    /// What it said, or why it said nothing.
    pub reply: Result<Reply, String>,
    /// Who runs it, where the answer is not what was wished.
    pub holder: Holder,
}

/// What changed in a run's folder.
#[derive(Debug, Default)]
pub struct RecordNews {
    /// `run.json`.
    pub facts: Option<Facts>,
    /// `metrics.csv`.
    pub history: Option<Arc<History>>,
    /// `events.jsonl`.
    pub log: Option<Arc<Log>>,
    /// What cannot be read, and why; empty when all can be.
    pub problem: Option<String>,
}

impl Dashboard {
    /// The process of the open run says how it is.
    pub fn take_status(&mut self, status: Status) {
        if let Some(run) = &mut self.run {
            let heard = run.wish == Some(status.state);
            let ends = matches!(status.state, RunState::Stopping | RunState::Closed(_));
            run.wish = run.wish.filter(|_| !heard && !ends);
            let drives = status.state == RunState::Running && run.wish.is_none();
            run.status = Some(status);
            run.connection = Connection::Live;
            if drives {
                let folder = run.folder.clone();
                self.forget_safe(&folder);
            }
        }
    }

    /// The connection to the open run changed.
    pub fn take_connection(&mut self, connection: Connection) {
        let Some(run) = &mut self.run else { return };
        run.connection = connection;
        if run.gone().is_some() {
            let folder = run.folder.clone();
            self.forget_safe(&folder);
        }
    }

    /// The files of the open run changed.
    pub fn take_record(&mut self, record: RecordNews) {
        let Some(run) = &mut self.run else { return };
        if let Some(facts) = record.facts {
            run.facts = facts;
        }
        if let Some(history) = record.history {
            run.history = history;
        }
        let said = record.log.map(|log| (run.folder.clone(), log));
        if let Some((_, log)) = &said {
            run.log = log.clone();
        }
        if let Some(problem) = record.problem {
            run.problem = Some(problem).filter(|problem| !problem.is_empty());
        }
        if let Some((folder, log)) = said {
            self.take_safe_record(&folder, &log);
        }
    }

    /// Rows that the slider asked for.
    pub fn take_detail(&mut self, detail: Detail) {
        if let Some(run) = &mut self.run {
            run.detail = Some(detail);
        }
    }

    /// The runs of the folder. Says which one to open, where the newest is followed and another is open.
    pub fn take_runs(&mut self, rows: Vec<RunRow>) -> Option<PathBuf> {
        let selected = self.table.visible().nth(self.table.selected).map(|row| row.folder.clone());
        for row in &rows {
            let running = row.status.as_ref().filter(|status| status.state == RunState::Running);
            // A run pauses a moment after it has said that it is safe.
            if running.is_some_and(|status| self.safe_since(&row.folder) + 1.0 < status.unix_seconds) {
                self.forget_safe(&row.folder);
            }
        }
        (self.table.rows, self.table.read) = (rows, true);
        // The selection stays on its run when rows come and go.
        let place = selected.and_then(|folder| self.table.visible().position(|row| row.folder == folder));
        self.table.selected = place.unwrap_or(self.table.selected.min(self.table.visible().count().saturating_sub(1)));
        if !self.follow {
            return None;
        }
        let newest = find::newest(&self.table.rows)?;
        match &self.run {
            Some(run) if run.folder == newest.folder || (self.page == Page::Run && !newest.active()) => None,
            // What runs is not left for something that is not newer.
            Some(run) if !run.over() && newest.facts.started_unix_seconds <= run.facts.started_unix_seconds => None,
            _ => Some(newest.folder.clone()),
        }
    }

    /// A request was answered, or could not be asked.
    pub fn take_answer(&mut self, answer: Answer) {
        // What was answered is newer than the last status: the next key already counts on it.
        if let (Some(run), Ok(Reply::Done { state })) = (&mut self.run, &answer.reply)
            && run.folder == answer.folder
            && matches!(answer.request, Request::Pause | Request::Resume | Request::Safe)
        {
            run.wish = Some(*state);
        }
        if answer.request == Request::Safe {
            return self.take_safe_answer(&answer);
        }
        let name = self.prefix(&answer.folder);
        let (tone, text) = match (answer.request, answer.reply) {
            (Request::Acknowledge { alarm }, Ok(Reply::Done { .. })) => {
                (Tone::Good, format!("alarm {alarm} acknowledged"))
            }
            (_, Ok(Reply::Done { state })) => (Tone::Good, said(state).to_owned()),
            (_, Ok(Reply::Status(_))) => (Tone::Plain, "the run answers".to_owned()),
            (_, Ok(Reply::Refused { message })) => (Tone::Minor, format!("refused: {message}")),
            (_, Err(why)) => (Tone::Minor, format!("the run does not answer: {why}")),
        };
        self.say(tone, format!("{name}{text}"));
    }
}

/// What a state means to who has just asked for it.
fn said(state: RunState) -> &'static str {
    match state {
        RunState::Running => "it goes on",
        RunState::Paused => "it is paused; p goes on",
        RunState::Stopping => "it is stopping; the record is being closed",
        RunState::Closed(_) => "it is closed",
    }
}
