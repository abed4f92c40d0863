//! The terminal: taken over while the dashboard is open, given back on every way out; and the thread that reads keys.
//!
//! `!` does not wait for anything: the thread that reads it sends the request itself, to every run that it concerns, before anything
//! else hears of the key, so a page that is drawn slowly, an open question or a frozen picture cannot hold it up.

use std::io::{self, IsTerminal};
use std::path::PathBuf;
use std::sync::mpsc::Sender;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use ratatui::DefaultTerminal;
use ratatui::crossterm::event::{self, DisableMouseCapture, EnableMouseCapture, Event, KeyCode, KeyEventKind};
use ratatui::crossterm::execute;

use super::client;
use super::holder::Holder;
use super::news::{Answer, News};
use crate::Error;
use crate::run::{Reply, Request, unix_seconds};

/// A request waits so long for its answer; a run answers `!` when its plants are safe.
const PATIENCE: Duration = Duration::from_secs(10);

/// The runs that `!` concerns.
pub type Targets = Arc<Mutex<Vec<PathBuf>>>;

/// The terminal, until it is dropped.
pub struct Screen {
    /// Where to draw.
    pub terminal: DefaultTerminal,
}

impl Screen {
    /// Takes the terminal over. Fails with one sentence where there is none.
    pub fn open() -> Result<Self, Error> {
        require()?;
        let refuse = |error: io::Error| Error::NoTerminal { reason: error.to_string() };
        let screen = Self { terminal: ratatui::try_init().map_err(refuse)? };
        execute!(io::stdout(), EnableMouseCapture).map_err(refuse)?;
        Ok(screen)
    }
}

/// Fails with one sentence where there is no terminal.
pub fn require() -> Result<(), Error> {
    let refuse = |reason: &str| Err(Error::NoTerminal { reason: reason.to_owned() });
    match () {
        () if !io::stdin().is_terminal() => refuse("standard input is none"),
        () if !io::stdout().is_terminal() => refuse("standard output is none"),
        () if std::env::var("TERM").is_ok_and(|kind| kind == "dumb") => refuse("TERM=dumb cannot place characters"),
        () => Ok(()),
    }
}

/// A terminal that is gone cannot be given back, and nobody is there to be told.
impl Drop for Screen {
    fn drop(&mut self) {
        drop(execute!(io::stdout(), DisableMouseCapture));
        drop(ratatui::try_restore());
    }
}

/// Reads keys until the terminal or the dashboard is gone.
pub fn read_keys(news: &Sender<News>, targets: &Targets) {
    loop {
        let Ok(input) = event::read() else {
            drop(news.send(News::InputEnded));
            return;
        };
        let stop =
            matches!(&input, Event::Key(key) if key.code == KeyCode::Char('!') && key.kind == KeyEventKind::Press);
        let news_of_it = if stop {
            let folders = targets.lock().unwrap_or_else(PoisonError::into_inner).clone();
            let asked = unix_seconds();
            for folder in &folders {
                ask_at(asked, folder.clone(), Request::Safe, news);
            }
            News::SafeAsked(asked, folders)
        } else {
            News::Input(input)
        };
        if news.send(news_of_it).is_err() {
            return;
        }
    }
}

/// Asks a run on a thread of its own; the answer comes as news.
pub fn ask(folder: PathBuf, request: Request, news: &Sender<News>) {
    ask_at(unix_seconds(), folder, request, news);
}

fn ask_at(asked: f64, folder: PathBuf, request: Request, news: &Sender<News>) {
    let sender = news.clone();
    let (to, what) = (folder.clone(), request.clone());
    let answer = move |folder: PathBuf, request, reply| {
        // Who runs it is of interest where somebody may have to end it.
        let done = matches!(reply, Ok(Reply::Done { .. }));
        let holder = if done { Holder::Unknown } else { Holder::of(&folder) };
        News::Answer(Box::new(Answer { folder, request, asked, reply, holder }))
    };
    let work = move || {
        let reply = client::ask(&to, &what, PATIENCE);
        drop(sender.send(answer(to, what, reply)));
    };
    if let Err(error) = std::thread::Builder::new().name("ask".into()).spawn(work) {
        drop(news.send(answer(folder, request, Err(error.to_string()))));
    }
}
