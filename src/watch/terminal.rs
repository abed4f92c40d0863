//! The terminal: taken over while the dashboard is open, given back on every way out and for Ctrl-Z; and the thread that reads keys.
//!
//! `!` does not wait for anything: the thread that reads it sends the request itself, to every run that it concerns, before anything
//! else hears of the key, so a page that is drawn slowly, an open question or a frozen picture cannot hold it up.

use std::io::{self, IsTerminal};
use std::path::PathBuf;
use std::sync::mpsc::Sender;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use ratatui::DefaultTerminal;
use ratatui::crossterm::event::{
    self, DisableMouseCapture, EnableMouseCapture, Event, KeyCode, KeyEventKind, KeyModifiers,
};
use ratatui::crossterm::execute;
use ratatui::crossterm::terminal::{Clear, ClearType, EnterAlternateScreen, disable_raw_mode, enable_raw_mode};
use ratatui::layout::Rect;
use ratatui::widgets::Widget;

use super::ask;
use super::holder::Holder;
use super::news::{Answer, News};
use crate::Error;
use crate::control::{Reply, Request};
use crate::record::unix_seconds;

/// A request waits so long for its answer; a run answers `!` when its plants are safe.
const PATIENCE: Duration = Duration::from_secs(10);

/// The runs that `!` concerns.
pub type Targets = Arc<Mutex<Vec<PathBuf>>>;

/// Who has the terminal while a dashboard is open.
struct Taken {
    /// Whether it was given back for a while: nothing may be drawn then.
    away: bool,
    /// Where to say that it was taken again.
    news: Option<Sender<News>>,
}

static TAKEN: Mutex<Option<Taken>> = Mutex::new(None);

fn taken() -> MutexGuard<'static, Option<Taken>> {
    TAKEN.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Gives the terminal back until [`take_again`], if a dashboard has it.
pub fn give_back() {
    if let Some(taken) = &mut *taken() {
        taken.away = true;
        leave();
    }
}

/// Takes the terminal again after somebody else had it, if a dashboard is open: whatever was set meanwhile is set anew.
pub fn take_again() {
    if let Some(taken) = &mut *taken() {
        // It keeps in mind that it has set it, and would not again.
        let _ = disable_raw_mode();
        let _ = enable_raw_mode();
        let _ = execute!(io::stdout(), EnterAlternateScreen, Clear(ClearType::All), EnableMouseCapture);
        taken.away = false;
        if let Some(news) = &taken.news {
            let _ = news.send(News::TerminalBack);
        }
    }
}

/// A terminal that is gone cannot be given back, and nobody is there to be told.
fn leave() {
    drop(execute!(io::stdout(), DisableMouseCapture));
    drop(ratatui::try_restore());
}

/// The terminal, until it is dropped.
pub struct Screen {
    terminal: DefaultTerminal,
}

impl Screen {
    /// Takes the terminal over. Fails with one sentence where there is none.
    pub fn open() -> Result<Self, Error> {
        require()?;
        let refuse = |error: io::Error| Error::NoTerminal { reason: error.to_string() };
        let screen = Self { terminal: ratatui::try_init().map_err(refuse)? };
        execute!(io::stdout(), EnableMouseCapture).map_err(refuse)?;
        *taken() = Some(Taken { away: false, news: None });
        Ok(screen)
    }

    /// From now on `news` is told when the terminal was taken again.
    pub fn tell(news: &Sender<News>) {
        if let Some(taken) = &mut *taken() {
            taken.news = Some(news.clone());
        }
    }

    /// Its rows and columns.
    pub fn area(&mut self) -> Rect {
        self.terminal.get_frame().area()
    }

    /// Draws what fills it, unless somebody else has the terminal.
    pub fn draw(&mut self, picture: impl Widget) -> Result<(), Error> {
        if taken().as_ref().is_some_and(|taken| taken.away) {
            return Ok(());
        }
        let drawn = self.terminal.draw(|frame| frame.render_widget(picture, frame.area()));
        drawn.map(drop).map_err(|error| Error::NoTerminal { reason: error.to_string() })
    }

    /// The screen is empty: the next picture is drawn whole.
    pub fn forget(&mut self) {
        // Both pictures that are compared are empty afterwards; to clear through the terminal would ask it where its cursor is.
        self.terminal.swap_buffers();
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

impl Drop for Screen {
    fn drop(&mut self) {
        *taken() = None;
        leave();
    }
}

/// Reads keys until the terminal or the dashboard is gone.
pub fn read_keys(news: &Sender<News>, targets: &Targets) {
    loop {
        let Ok(input) = event::read() else {
            drop(news.send(News::InputEnded));
            return;
        };
        if matches!(&input, Event::Key(key) if key.code == KeyCode::Char('z') && key.modifiers == KeyModifiers::CONTROL)
        {
            crate::stop::suspend();
            continue;
        }
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
        let reply = ask::ask(&to, &what, PATIENCE);
        drop(sender.send(answer(to, what, reply)));
    };
    if let Err(error) = std::thread::Builder::new().name("ask".into()).spawn(work) {
        drop(news.send(answer(folder, request, Err(error.to_string()))));
    }
}
