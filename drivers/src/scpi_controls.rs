//! Trainable controls of a bench that a SCPI instrument sets: each is a command of the rig file, a number in it.
//!
//! A control is sent when it changes, and read back where it has a query: what is applied is what the instrument says. In the safe state
//! it is at zero, or the allowed value nearest to it. After the connection was lost, controls that read back as they were left are taken
//! for kept. Otherwise the instrument has lost them: from what it reads back they go back in steps that `slew` allows, before anything is
//! driven. Where it cannot say where they are, they are set to the safe state first, and go from there.

mod config;

use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::{Allowance, Bank, Error, Link, Scpi, ScpiRequest, Step};

pub(crate) use config::Reserved;
pub use config::{ScpiControlConfig, ScpiControlsConfig};

/// How often a setting is tried whose answer was lost.
const TRIES: u32 = 5;
/// Whoever wants something else is asked only where it takes longer than this until controls have settled.
const SHORT: Duration = Duration::from_millis(10);

/// The controls of one bench, all at one instrument.
#[derive(Default)]
pub struct ScpiControls(Option<Controls>);

struct Controls {
    link: Arc<Link<Scpi>>,
    config: ScpiControlsConfig,
    within: Duration,
    /// Where they are to be when a burst is driven: as they were applied last.
    wanted: Vec<f32>,
    /// As they were sent last, and as the instrument says that they are.
    asked: Vec<f32>,
    applied: Vec<f32>,
    /// The opening of the port on which they were set last since the safe state.
    set_on: Option<u64>,
    /// Whether the last attempt to set them has failed half-way.
    is_unsure: bool,
    /// Whether they are on their way back after the instrument had lost them.
    walks: bool,
    /// When what was sent last has settled.
    settled_at: Option<Instant>,
}

impl ScpiControls {
    /// Those of `config`, set over `link`, each time within `within`. Nothing is sent.
    pub(crate) fn new(config: &ScpiControlsConfig, link: Arc<Link<Scpi>>, within: Duration) -> Self {
        if config.is_empty() {
            return Self::default();
        }
        let safe = config.safe();
        Self(Some(Controls {
            link,
            config: config.clone(),
            within,
            wanted: safe.clone(),
            asked: safe.clone(),
            applied: safe,
            set_on: None,
            is_unsure: false,
            walks: false,
            settled_at: None,
        }))
    }

    /// The banks that they form: one port each, by their names.
    pub fn banks(&self) -> Vec<Bank> {
        self.0.as_ref().map(|controls| controls.config.banks()).unwrap_or_default()
    }

    /// From when all are set until they have settled, in s.
    pub fn settle_seconds(&self) -> f64 {
        self.0.as_ref().map_or(0.0, |controls| controls.config.settle_seconds(|_| true))
    }

    /// Sets those that have changed, waits until they have settled; what they are now.
    ///
    /// Fails where somebody wants something else meanwhile; asked again, it goes on where it was.
    pub(crate) fn apply(&mut self, wanted: &[f32], allowance: &Allowance) -> Result<Vec<f32>, Error> {
        let Some(controls) = &mut self.0 else { return Ok(vec![]) };
        let mut attempt = 1;
        loop {
            let tried = controls.try_apply(wanted, allowance);
            // Also where the wait for them was cut short.
            if controls.are_set_to(wanted) {
                controls.wanted = wanted.to_vec();
            }
            match tried {
                Ok(()) => return Ok(controls.applied.clone()),
                Err(error) if !error.is_retryable() || TRIES <= attempt => return Err(error),
                Err(_) => attempt += 1,
            }
        }
    }

    /// Makes sure before a burst that they are as they were asked for.
    pub(crate) fn hold(&mut self, allowance: &Allowance) -> Result<(), Error> {
        let Some(controls) = &mut self.0 else { return Ok(()) };
        let opening = controls.link.ready(controls.within)?;
        let wanted = controls.wanted.clone();
        if controls.is_lost(opening) {
            controls.walk_back(opening, &wanted, allowance)?;
            allowance.stay();
            return Ok(());
        }
        if !controls.are_set_to(&wanted) {
            controls.set(opening, &wanted)?;
        }
        controls.settle(allowance)
    }

    /// The instrument is being made safe: until that has succeeded nobody knows where they are, as after a lost connection.
    pub(crate) fn leave(&mut self) {
        let Some(controls) = &mut self.0 else { return };
        controls.walks |= controls.set_on.take().is_some();
    }

    /// The instrument has been made safe: they are at their safe values.
    pub(crate) fn rest(&mut self) {
        let Some(controls) = &mut self.0 else { return };
        controls.asked = controls.config.safe();
        controls.applied.clone_from(&controls.asked);
        controls.wanted.clone_from(&controls.asked);
        (controls.set_on, controls.is_unsure, controls.walks, controls.settled_at) = (None, false, false, None);
    }
}

impl Controls {
    fn is_lost(&self, opening: u64) -> bool {
        self.walks || self.set_on.is_some_and(|set_on| set_on != opening)
    }

    fn are_set_to(&self, wanted: &[f32]) -> bool {
        self.set_on.is_some() && !self.is_unsure && !self.walks && self.asked == wanted
    }

    fn try_apply(&mut self, wanted: &[f32], allowance: &Allowance) -> Result<(), Error> {
        if self.are_set_to(wanted) {
            return self.settle(allowance);
        }
        let opening = self.link.ready(self.within)?;
        if self.is_lost(opening) {
            return self.walk_back(opening, wanted, allowance);
        }
        self.go(opening, wanted, allowance)
    }

    /// After the connection was lost: looks whether the instrument has kept them. If it has not, goes to `wanted` in allowed steps; asked
    /// again on the same port, it goes on from the step that it has come to.
    fn walk_back(&mut self, opening: u64, wanted: &[f32], allowance: &Allowance) -> Result<(), Error> {
        if !(self.walks && self.set_on == Some(opening)) {
            let found = self.look(opening)?;
            // What switches its output on is sent once more: that cannot be read back.
            self.is_unsure = true;
            if !self.walks && found.as_ref().is_some_and(|found| self.is_near(found)) {
                return self.go(opening, wanted, allowance);
            }
            self.walks = true;
            self.begin(opening, found, allowance)?;
        }
        while let Some(step) = allowance.next_to(wanted)? {
            allowance.step_to(&step)?;
            self.go(opening, &step, allowance)?;
        }
        allowance.step_to(wanted)?;
        self.set(opening, wanted)?;
        self.walks = false;
        allowance.arrive_at(wanted);
        self.settle(allowance)
    }

    /// Begins the way back where they were found. Where nobody can say where they are, they may have stayed: any step but the one to the
    /// safe state could be too large.
    fn begin(&mut self, opening: u64, found: Option<Vec<f32>>, allowance: &Allowance) -> Result<(), Error> {
        if let Some(found) = found {
            allowance.fall_to(&found);
            return Ok(());
        }
        let safe = self.config.safe();
        allowance.leave_for(&safe);
        self.set(opening, &safe)?;
        allowance.fall_to(&safe);
        self.settle(allowance)
    }

    /// Whether they were found as they were sent last.
    fn is_near(&self, found: &[f32]) -> bool {
        let held = self.config.held(&self.asked);
        held.iter().zip(found).all(|(held, read)| (f64::from(*read) - held.value).abs() <= held.tolerance)
    }

    /// Sets them, and waits until they have settled.
    fn go(&mut self, opening: u64, wanted: &[f32], allowance: &Allowance) -> Result<(), Error> {
        self.set(opening, wanted)?;
        // They are there, also where the wait is cut short.
        allowance.arrive_at(wanted);
        self.settle(allowance)
    }

    /// Waits for the rest of the time until they have settled.
    fn settle(&mut self, allowance: &Allowance) -> Result<(), Error> {
        let Some(at) = self.settled_at else { return Ok(()) };
        let left = at.saturating_duration_since(Instant::now());
        if left <= SHORT {
            std::thread::sleep(left);
        } else {
            allowance.rest_for(left.as_secs_f64())?;
        }
        self.settled_at = None;
        Ok(())
    }

    /// Where the instrument says that they are, within their ranges; nothing where it cannot say it of all of them.
    fn look(&self, opening: u64) -> Result<Option<Vec<f32>>, Error> {
        let Some(queries) = self.config.queries() else { return Ok(None) };
        let steps = queries.into_iter().map(Step::query).collect();
        let answers = self.link.ask_on(opening, ScpiRequest::Steps(steps), self.within)?;
        Ok(self.config.parse(&answers))
    }

    /// Sends those that have changed; all of them, and what switches their outputs on, on a port where none was set.
    fn set(&mut self, opening: u64, wanted: &[f32]) -> Result<(), Error> {
        let is_fresh = self.set_on != Some(opening) || self.is_unsure;
        let changed: Vec<bool> =
            wanted.iter().zip(&self.asked).map(|(wanted, asked)| is_fresh || wanted != asked).collect();
        self.is_unsure = true;
        let commands = self.config.lines(wanted, &changed, is_fresh);
        let held = self.config.held(wanted);
        let answers = self.link.ask_on(opening, ScpiRequest::Hold { commands, held }, self.within)?;
        self.applied = self.config.applied(wanted, &answers);
        self.asked = wanted.to_vec();
        (self.set_on, self.is_unsure) = (Some(opening), false);
        let seconds = self.config.settle_seconds(|index| changed[index]);
        let settled_at = (0.0 < seconds).then(|| Instant::now() + Duration::from_secs_f64(seconds));
        self.settled_at = self.settled_at.max(settled_at);
        Ok(())
    }
}
