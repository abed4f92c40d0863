//! One sitting: threads that bring news, the loop that takes it and draws what has changed.

use std::path::PathBuf;
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::thread::Builder;
use std::time::{Duration, Instant};

use super::connection::Connection;
use super::dashboard::Dashboard;
use super::keys::Effect;
use super::news::News;
use super::terminal::{self, Screen, Targets};
use super::{client, follow};
use crate::record::unix_seconds;
use crate::{Error, stop};

/// What to open first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Start {
    /// The table of the runs of a folder.
    Table,
    /// The newest run of a folder, and each newer one that appears.
    Newest,
    /// One run.
    Run(PathBuf),
}

/// Pictures a second at most, but for keys: those are answered at once.
const PERIOD: Duration = Duration::from_millis(100);
/// Ages are drawn anew this often, even when nothing comes.
const AGES: Duration = Duration::from_millis(500);
/// Pictures a second while keys come.
const KEY_PERIOD: Duration = Duration::from_millis(25);

/// The threads of the run that is open; they end when this is dropped.
struct Opened {
    key: u64,
    /// Stretches of steps to read again.
    ask: Sender<(u64, u64)>,
    asked: Option<(u64, u64)>,
    _wanted: Sender<()>,
}

/// One sitting at the dashboard.
pub struct Session {
    dashboard: Dashboard,
    screen: Screen,
    news: Sender<News>,
    received: Receiver<News>,
    targets: Targets,
    opened: Option<Opened>,
    keys: u64,
    /// The thread that looks for runs ends when this is dropped.
    _finder: Sender<()>,
}

impl Session {
    /// Starts the threads that every sitting needs.
    pub fn begin(dashboard: Dashboard, screen: Screen) -> Result<Self, Error> {
        let (news, received) = mpsc::channel();
        Screen::tell(&news);
        let targets = Targets::default();
        let (finder, wanted) = mpsc::channel();
        let (folder, sender) = (dashboard.table.folder.clone(), news.clone());
        spawn("runs", move || follow::runs(&folder, &sender, &wanted))?;
        let (sender, concerned) = (news.clone(), targets.clone());
        spawn("keys", move || terminal::read_keys(&sender, &concerned))?;
        Ok(Self { dashboard, screen, news, received, targets, opened: None, keys: 0, _finder: finder })
    }

    /// Shows and answers until the user leaves.
    pub fn go(mut self, start: Start) -> Result<(), Error> {
        if let Start::Run(folder) = start {
            self.open(folder)?;
        }
        let (mut drawn, mut changed, mut hurried) = (Instant::now(), true, true);
        loop {
            let period = match (hurried, changed || self.dashboard.look.playing) {
                (true, _) => KEY_PERIOD,
                (false, true) => PERIOD,
                (false, false) => AGES,
            };
            let due = period.saturating_sub(drawn.elapsed());
            if due.is_zero() {
                self.play();
                self.draw()?;
                (drawn, changed, hurried) = (Instant::now(), false, false);
            }
            match self.received.recv_timeout(due) {
                Ok(news) => {
                    hurried |=
                        matches!(news, News::Input(_) | News::TerminalBack | News::SafeAsked(..) | News::Answer(_));
                    changed = true;
                    if !self.take(news)? {
                        return Ok(());
                    }
                }
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return Ok(()),
            }
            if stop::requested() {
                return Ok(());
            }
        }
    }

    fn draw(&mut self) -> Result<(), Error> {
        self.dashboard.now = unix_seconds();
        self.screen.draw(&self.dashboard)
    }

    /// Takes one piece of news; `false` at the end.
    fn take(&mut self, news: News) -> Result<bool, Error> {
        self.dashboard.now = unix_seconds();
        let current = self.opened.as_ref().map(|opened| opened.key);
        match news {
            News::Input(event) => {
                let area = self.screen.area();
                if let Some(effect) = self.dashboard.input(&event, area) {
                    return self.act(effect);
                }
            }
            News::InputEnded => return Ok(false),
            News::TerminalBack => self.screen.forget(),
            News::SafeAsked(asked, folders) => self.dashboard.ask_safe(asked, &folders),
            News::Status(key, status) if Some(key) == current => self.dashboard.take_status(*status),
            News::Connection(key, connection) if Some(key) == current => self.dashboard.take_connection(connection),
            News::Record(key, record) if Some(key) == current => self.take_record(*record)?,
            News::Detail(key, detail) if Some(key) == current => self.dashboard.take_detail(detail),
            News::Runs(rows) => {
                if let Some(folder) = self.dashboard.take_runs(rows) {
                    self.open(folder)?;
                }
            }
            News::Answer(answer) => self.dashboard.take_answer(*answer),
            News::Status(..) | News::Connection(..) | News::Record(..) | News::Detail(..) => {}
        }
        self.aim();
        self.read_wanted();
        Ok(true)
    }

    /// A run that was continued after its end is connected to again.
    fn take_record(&mut self, record: super::news::RecordNews) -> Result<(), Error> {
        self.dashboard.take_record(record);
        let Some(run) = &mut self.dashboard.run else { return Ok(()) };
        if run.connection == Connection::Over && run.facts.open() {
            run.connection = Connection::Opening;
            let folder = run.folder.clone();
            run.status = None;
            self.connect(folder)?;
        }
        Ok(())
    }

    fn act(&mut self, effect: Effect) -> Result<bool, Error> {
        match effect {
            Effect::Quit => return Ok(false),
            Effect::Open(folder) => self.open(folder)?,
            Effect::Close => {
                self.opened = None;
                self.dashboard.close();
            }
            Effect::Ask(request) => {
                if let Some(run) = &self.dashboard.run {
                    terminal::ask(run.folder.clone(), request, &self.news);
                }
            }
        }
        self.aim();
        self.read_wanted();
        Ok(true)
    }

    /// Opens a run: its record and its socket get a thread each.
    fn open(&mut self, folder: PathBuf) -> Result<(), Error> {
        self.dashboard.open(folder.clone());
        self.connect(folder)
    }

    fn connect(&mut self, folder: PathBuf) -> Result<(), Error> {
        self.keys += 1;
        let key = self.keys;
        let ((ask, asked), (keep, wanted)) = (mpsc::channel(), mpsc::channel());
        let (news, record) = (self.news.clone(), folder.clone());
        spawn("record", move || follow::record(&record, key, &news, &asked))?;
        let news = self.news.clone();
        spawn("status", move || client::watch(&folder, key, &news, &wanted))?;
        self.opened = Some(Opened { key, ask, asked: None, _wanted: keep });
        self.aim();
        Ok(())
    }

    fn aim(&self) {
        *self.targets.lock().unwrap_or_else(std::sync::PoisonError::into_inner) = self.dashboard.targets();
    }

    /// Asks for the rows that the slider needs, once.
    fn read_wanted(&mut self) {
        let wanted = self.dashboard.wanted();
        let Some(opened) = &mut self.opened else { return };
        if let Some(stretch) = wanted
            && opened.asked != wanted
        {
            let _ = opened.ask.send(stretch);
        }
        opened.asked = wanted;
    }

    /// Moves the slider of a record that plays by itself: a hundredth of the curves each time.
    fn play(&mut self) {
        if !self.dashboard.look.playing {
            return;
        }
        let before = self.dashboard.look.cursor;
        self.dashboard.slide(1);
        self.dashboard.look.playing = self.dashboard.look.cursor != before;
        self.read_wanted();
    }
}

fn spawn(name: &str, work: impl FnOnce() + Send + 'static) -> Result<(), Error> {
    let started = Builder::new().name(name.to_owned()).spawn(work);
    started.map(drop).map_err(|error| Error::NoTerminal { reason: format!("no thread can be started: {error}") })
}
