//! The plant at the other end of a pnnlink wire: one thread owns the wire, whatever happens on it.
//!
//! The owner opens the instrument, keeps its watchdog quiet while nobody measures, and reopens it with growing pauses
//! when it is gone. After a reconnection it sets our controls again when somebody drives, step by step where their steps are limited,
//! checks them by readback, and goes on with the shots that have no reading yet. What cannot be mended so ends the call with an error before its deadline.

use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

use super::options::seconds;
use super::owner::Owner;
use super::wires::Wires;
use crate::{Allowance, Batch, Card, Error, Identity, LinkOptions, LinkWatch, Owned, Plant};

pub use super::options::Options;
pub use super::report::Report;

/// The longest wait for an owner that has died.
const LONGEST: Duration = Duration::from_hours(24 * 365);

/// What the owner is asked to do, and where it answers.
pub(super) enum Command {
    /// Set the controls.
    Apply(Vec<f32>, Sender<Result<Vec<f32>, Error>>),
    /// Drive shots.
    Measure(Batch, Sender<Result<Batch, Error>>),
    /// Make the instrument safe.
    MakeSafe(Sender<Result<(), Error>>),
    /// Count there what is driven again.
    SpendFrom(Allowance),
}

/// A plant behind a pnnlink wire.
#[derive(Debug)]
pub struct Pnnlink {
    card: Card,
    instrument: String,
    options: Options,
    commands: Option<UnboundedSender<Command>>,
    report: Arc<Mutex<Report>>,
    watch: LinkWatch,
    owner: Option<JoinHandle<()>>,
    /// Shots that may be unanswered.
    window: usize,
    /// That nobody else on this machine has it.
    held: Option<Arc<Mutex<Owned>>>,
}

impl Pnnlink {
    /// Opens the instrument that `link` names and reads who it is. Changes no output.
    pub fn open(link: &LinkOptions, options: Options) -> Result<Self, Error> {
        let (instrument, address) = (link.instrument.as_str(), &link.address);
        let held = Owned::of(link)?;
        let holder = held.as_ref().map(|held| held.holder().to_string()).unwrap_or_default();
        let held = held.map(|held| Arc::new(Mutex::new(held)));
        let watch = LinkWatch::new(instrument, address, holder, held.as_ref());
        let wires = Wires::new(link)?;
        let (commands, inbox) = unbounded_channel();
        let (ready, opened) = channel();
        let report = Arc::new(Mutex::new(Report::default()));
        let shared = (Arc::clone(&report), watch.clone());
        let owner = std::thread::Builder::new()
            .name(format!("pnnlink {instrument}"))
            .spawn(move || own(wires, options, (inbox, ready, shared)))
            .map_err(|error| Error::Unreachable {
                instrument: instrument.to_owned(),
                address: address.to_string(),
                message: error.to_string(),
            })?;
        let (card, window) = wait(&opened, instrument, options.deadline)?;
        let (instrument, owner) = (instrument.to_owned(), Some(owner));
        let plant = Self { card, instrument, options, commands: Some(commands), report, watch, owner, window, held };
        if let Some(held) = &plant.held {
            // A board lets nobody else in, but another port of the same box may.
            let Identity { system, serial, .. } = &plant.card.identity;
            held.lock().unwrap_or_else(PoisonError::into_inner).claim("pnnlink", system, serial)?;
        }
        Ok(plant)
    }

    /// What the wire has been through so far.
    pub fn report(&self) -> Report {
        self.report.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The link as it is, for whoever watches; it outlives the link.
    pub fn watch(&self) -> LinkWatch {
        self.watch.clone()
    }

    /// Makes an instrument safe over a connection of its own, whoever holds it: its controller is then refused.
    pub fn make_safe_beside(options: &LinkOptions) -> Result<(), Error> {
        let limit = Options::default().safe_deadline;
        Self::beside(options, async |wires| super::owner::make_safe_beside(wires, limit).await)
    }

    /// Looks for `time` whether the instrument stays without a controller; where it has one again it is made safe once more.
    pub fn stays_safe_beside(options: &LinkOptions, time: Duration) -> Result<(), Error> {
        let limit = Options::default().safe_deadline;
        if Self::beside(options, async |wires| super::owner::stays_safe_beside(wires, limit, time).await)? {
            return Ok(());
        }
        Self::make_safe_beside(options)?;
        Err(Error::OnAgain { instrument: options.instrument.clone() })
    }

    /// Does `work` over a connection of its own.
    fn beside<T>(options: &LinkOptions, work: impl AsyncFnOnce(&Wires) -> Result<T, Error>) -> Result<T, Error> {
        let wires = Wires::new(&LinkOptions { record: None, ..options.clone() })?;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime = runtime.map_err(|error| Error::Unreachable {
            instrument: options.instrument.clone(),
            address: options.address.to_string(),
            message: error.to_string(),
        })?;
        let done = runtime.block_on(work(&wires));
        // A name that is still being looked up must not keep anybody waiting past the deadline.
        runtime.shutdown_background();
        done
    }

    /// Gives the owner a command and waits for its answer, no longer than `limit` and what the owner needs to say so.
    fn call<T>(&self, command: impl FnOnce(Sender<Result<T, Error>>) -> Command, limit: Duration) -> Result<T, Error> {
        let (answer, answered) = channel();
        if let Some(commands) = &self.commands {
            // A closed channel shows below, as an answer that never comes.
            let _ = commands.send(command(answer));
        }
        wait(&answered, &self.instrument, limit)
    }
}

impl Plant for Pnnlink {
    fn card(&self) -> &Card {
        &self.card
    }

    fn apply(&mut self, controls: &[f32]) -> Result<Vec<f32>, Error> {
        // The owner keeps the deadline of each step; this is only for an owner that has died.
        let step = self.options.deadline + seconds(self.card.timing.settle);
        let limit = step.saturating_mul(crate::setting::MOST_STEPS as u32 + 1).min(LONGEST);
        let controls = controls.to_vec();
        self.call(|answer| Command::Apply(controls, answer), limit)
    }

    fn measure(&mut self, inputs: &Batch) -> Result<Batch, Error> {
        // The owner keeps the deadline from shot to shot; this is only for an owner that has died.
        let rows = u32::try_from(inputs.rows()).unwrap_or(u32::MAX);
        let limit = self.options.deadline.saturating_mul(self.options.attempts).saturating_mul(rows.saturating_add(1));
        let limit = limit.saturating_add(seconds(self.card.timing.batch(inputs.rows()))).min(LONGEST);
        let inputs = inputs.clone();
        self.call(|answer| Command::Measure(inputs, answer), limit)
    }

    fn make_safe(&mut self) -> Result<(), Error> {
        self.call(Command::MakeSafe, self.options.safe_deadline)
    }

    fn spend_from(&mut self, allowance: Allowance) {
        if let Some(commands) = &self.commands {
            // An owner that has died drives nothing.
            let _ = commands.send(Command::SpendFrom(allowance));
        }
    }

    fn shots_at_once(&self) -> usize {
        self.window
    }
}

impl Drop for Pnnlink {
    fn drop(&mut self) {
        self.commands = None;
        if let Some(owner) = self.owner.take() {
            // A panic of the owner has been reported as an answer that never came.
            let _ = owner.join();
        }
    }
}

/// Waits for the owner's answer.
fn wait<T>(answers: &Receiver<Result<T, Error>>, instrument: &str, limit: Duration) -> Result<T, Error> {
    // The owner keeps the limit itself and explains; the grace lets it.
    match answers.recv_timeout(limit + Duration::from_secs(1)) {
        Ok(answer) => answer,
        Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => Err(Error::Timeout {
            instrument: instrument.to_owned(),
            what: "sign of life from its link",
            seconds: limit.as_secs_f32(),
        }),
    }
}

/// What the owner's thread needs besides the wire.
type Ends = (UnboundedReceiver<Command>, Sender<Result<(Card, usize), Error>>, (Arc<Mutex<Report>>, LinkWatch));

/// The owner's thread.
fn own(wires: Wires, options: Options, (mut inbox, ready, report): Ends) {
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            let message = format!("its link cannot be started: {error}");
            let _ = ready.send(Err(Error::Lost { instrument: wires.instrument().to_owned(), message }));
            return;
        }
    };
    runtime.block_on(async move {
        match Owner::open(wires, options, report).await {
            Ok(mut owner) => {
                let _ = ready.send(Ok((owner.card(), owner.window())));
                serve(&mut owner, &mut inbox).await;
                owner.close().await;
            }
            Err(error) => {
                let _ = ready.send(Err(error));
            }
        }
    });
    runtime.shutdown_background();
}

/// Obeys commands until the plant is dropped, and keeps the watchdog quiet between them.
async fn serve(owner: &mut Owner, inbox: &mut UnboundedReceiver<Command>) {
    loop {
        match tokio::time::timeout(owner.heartbeat(), inbox.recv()).await {
            Err(_) => owner.beat().await,
            Ok(None) => return,
            // Whoever asked may have given up waiting.
            Ok(Some(Command::Apply(controls, answer))) => drop(answer.send(owner.apply(&controls).await)),
            Ok(Some(Command::Measure(inputs, answer))) => drop(answer.send(owner.measure(&inputs).await)),
            Ok(Some(Command::MakeSafe(answer))) => drop(answer.send(owner.make_safe().await)),
            Ok(Some(Command::SpendFrom(allowance))) => owner.allowance = allowance,
        }
    }
}
