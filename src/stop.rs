//! Ctrl-C and SIGTERM: the first asks every run to close, the second ends the program at once.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};

use drivers::{Batch, Card, Error, Plant};

use crate::run::Control;

static REQUESTED: AtomicBool = AtomicBool::new(false);
/// The runs of this process.
static RUNS: Mutex<Vec<Weak<Control>>> = Mutex::new(Vec::new());

/// Starts listening for signals. Called once, before anything is opened.
pub fn listen() {
    let handler = || {
        if REQUESTED.swap(true, Ordering::SeqCst) {
            crate::run::restore_terminal();
            std::process::exit(131);
        }
        tell!("\npnnlab: stopping; once more ends at once, without making the plants safe");
        let runs = RUNS.lock().unwrap_or_else(PoisonError::into_inner).clone();
        runs.iter().filter_map(Weak::upgrade).for_each(|control| control.interrupt());
    };
    if let Err(error) = ctrlc::set_handler(handler) {
        tell!("pnnlab: signals cannot be caught ({error}): Ctrl-C will end without closing the run");
    }
}

/// Listens where no run goes in this process: a signal is remembered, and nothing is said.
pub fn listen_silently() {
    let handler = || REQUESTED.store(true, Ordering::SeqCst);
    // Without it, a signal ends the program without giving the terminal back; there is nothing else to lose.
    drop(ctrlc::set_handler(handler));
}

/// Whether the user has asked to stop.
pub fn requested() -> bool {
    REQUESTED.load(Ordering::SeqCst)
}

/// From now on `control` is told of signals; at once, if one has come already.
pub fn tell(control: &Arc<Control>) {
    let mut runs = RUNS.lock().unwrap_or_else(PoisonError::into_inner);
    runs.retain(|run| run.strong_count() > 0);
    runs.push(Arc::downgrade(control));
    drop(runs);
    if requested() {
        control.interrupt();
    }
}

/// The longest piece of a batch that a stop waits for, in s of bench time.
const PIECE: f64 = 0.5;

/// A plant for measurements that are no run: it is driven in pieces, and no more once the user has asked to stop.
pub struct Stoppable<'a> {
    plant: &'a mut dyn Plant,
    /// The most shots that are driven at once.
    most: usize,
}

impl<'a> Stoppable<'a> {
    /// `plant`, whose batches are cut where its instruments are wired: a plant in this process is fast.
    pub fn new(plant: &'a mut dyn Plant, is_wired: bool) -> Self {
        let shots = PIECE / plant.card().timing.shot.max(1e-9);
        Self { plant, most: if is_wired { (shots as usize).max(1) } else { usize::MAX } }
    }
}

impl Plant for Stoppable<'_> {
    fn card(&self) -> &Card {
        self.plant.card()
    }

    fn apply(&mut self, controls: &[f32]) -> Result<Vec<f32>, Error> {
        if requested() { Err(Error::Interrupted) } else { self.plant.apply(controls) }
    }

    fn measure(&mut self, inputs: &Batch) -> Result<Batch, Error> {
        let mut outputs = Vec::new();
        let (columns, most) = (inputs.columns(), self.most.min(inputs.rows().max(1)));
        for piece in inputs.values().chunks((most * columns).max(1)) {
            if requested() {
                return Err(Error::Interrupted);
            }
            outputs.extend(self.plant.measure(&Batch::new(columns, piece.to_vec())?)?.into_values());
        }
        Batch::new(self.plant.ports().output_count(), outputs)
    }

    fn make_safe(&mut self) -> Result<(), Error> {
        self.plant.make_safe()
    }
}
