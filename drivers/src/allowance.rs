//! What a plant may still be driven with by its limits over time, shared by all that drives it; and waiting until there is more.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use crate::dose::Dose;
use crate::ledger::Place;
use crate::over_time::Spent;
use crate::setting::{Setting, Way};
use crate::{Batch, Card, Direction, DoseLimits, Error};

/// Who waits looks so often whether somebody wants something else.
const LOOK: Duration = Duration::from_millis(10);

/// Asked again and again while a plant waits, with the seconds that are left: whether it goes on waiting.
type Patience = Arc<dyn Fn(f64) -> bool + Send + Sync>;

/// What a plant may still be driven with; clones are the same allowance, and the default has no limits.
#[derive(Debug, Clone, Default)]
pub struct Allowance {
    dose: Option<Arc<Mutex<Dose>>>,
    most_shots: Option<u64>,
    /// Who is asked while a plant waits, also where there are no limits.
    hook: Arc<Mutex<Hook>>,
}

impl Allowance {
    /// The allowance of the plant with this card, unless there is nothing to keep.
    ///
    /// From then on the banks of the card say what these limits leave for their values. Fails when a limit names a bank that does not
    /// exist, or makes no sense.
    pub(crate) fn new(card: &mut Card, limits: &DoseLimits) -> Result<Self, Error> {
        let dose = if limits.are_empty() { None } else { Some(Dose::new(card, limits)?) };
        Ok(Self::around(dose, limits.shots))
    }

    fn around(dose: Option<Dose>, most_shots: Option<u64>) -> Self {
        Self { dose: dose.map(|dose| Arc::new(Mutex::new(dose))), most_shots, ..Self::default() }
    }

    /// An allowance with the same limits of which nothing is used up, where time passes by the card alone: for what is only rehearsed.
    pub fn rehearsal(&self) -> Self {
        let fresh = self.dose.as_ref().map(|dose| {
            let dose = dose.lock().unwrap_or_else(PoisonError::into_inner);
            let mut fresh = Dose::with(dose.card.clone(), dose.over_time.clone(), dose.pace);
            fresh.by_card = true;
            fresh
        });
        Self::around(fresh, self.most_shots)
    }

    /// How many shots the plant may be asked for from its opening on.
    pub(crate) fn most_shots(&self) -> Option<u64> {
        self.most_shots
    }

    /// From now on a plant waits until a minute has room, whatever its limits say: for measurements, where waiting costs only time.
    pub fn pace(&self) {
        self.pace_as(true);
    }

    /// Whether a plant waits until a minute has room, from now on.
    pub fn pace_as(&self, paces: bool) {
        // It cannot be refused.
        let _ = self.with(|dose| {
            dose.pace = paces;
            Ok(())
        });
    }

    /// Whether it waits until a minute has room.
    pub fn paces(&self) -> bool {
        let mut paces = false;
        let _ = self.with(|dose| {
            paces = dose.pace && !dose.over_time.is_empty();
            Ok(())
        });
        paces
    }

    /// From now on whoever waits asks `patience` with the seconds that are left, and gives up where it says so.
    pub fn wait_with(&self, patience: impl Fn(f64) -> bool + Send + Sync + 'static) {
        self.hook.lock().unwrap_or_else(PoisonError::into_inner).0 = Some(Arc::new(patience));
    }

    /// From now on whoever waits asks nobody.
    pub fn wait_alone(&self) {
        self.hook.lock().unwrap_or_else(PoisonError::into_inner).0 = None;
    }

    /// What was driven so far by each limit over time, since it was made.
    pub fn spent(&self) -> Vec<Spent> {
        let mut spent = vec![];
        let _ = self.with(|dose| {
            spent = dose.over_time.iter().zip(&dose.total).map(|(limit, amount)| limit.spent(*amount)).collect();
            Ok(())
        });
        spent
    }

    /// What one such shot would add to each limit over time.
    pub fn of(&self, shot: &[f32]) -> Vec<Spent> {
        let mut spent = vec![];
        let _ = self.with(|dose| {
            let seconds = dose.card.timing.shot;
            spent = dose.over_time.iter().map(|limit| limit.spent(limit.of(shot, seconds))).collect();
            Ok(())
        });
        spent
    }

    /// How many of `shots` are the next piece, from row `first` on: at least one.
    pub(crate) fn piece(&self, shots: &Batch, first: usize) -> usize {
        let mut rows = shots.rows() - first;
        let _ = self.with(|dose| {
            rows = dose.piece(shots, first);
            Ok(())
        });
        rows
    }

    /// Refuses a batch that is too steep, or of which a piece is too much by itself; where nobody waits, also one for which the next
    /// minutes have no room. Nothing is counted.
    pub(crate) fn foresee(&self, shots: &Batch) -> Result<(), Error> {
        self.with(|dose| dose.foresee(shots))
    }

    /// Waits until a minute has room for `times` these shots, or is empty; not where nobody is to wait.
    ///
    /// Fails where somebody wants something else meanwhile.
    pub(crate) fn wait_for(&self, shots: &Batch, times: f64) -> Result<(), Error> {
        loop {
            let mut delay = 0.0;
            self.with(|dose| {
                delay = if dose.pace { dose.delay(shots, times) } else { 0.0 };
                if !dose.is_by_clock() && 0.0 < delay && delay.is_finite() {
                    // A little more, which rounding cannot take away.
                    dose.bench_seconds += std::mem::take(&mut delay) + 1e-6;
                }
                Ok(())
            })?;
            // Where no wait helps, counting it says so.
            if delay <= 0.0 || !delay.is_finite() {
                return Ok(());
            }
            self.rest_for(delay)?;
        }
    }

    /// Waits so long, such as for what has been set to settle. Fails where somebody wants something else meanwhile.
    pub(crate) fn rest_for(&self, seconds: f64) -> Result<(), Error> {
        let hook = self.hook.lock().unwrap_or_else(PoisonError::into_inner).clone();
        wait(seconds, hook.0.as_deref())
    }

    /// What was counted since `since` on the bench has been driven by now.
    pub(crate) fn lasted(&self, since: f64) {
        let _ = self.with(|dose| {
            let at = dose.at();
            dose.minute.lasted(since, at);
            Ok(())
        });
    }

    /// Time on the bench, in s.
    pub fn at(&self) -> f64 {
        let mut at = 0.0;
        let _ = self.with(|dose| {
            at = dose.at();
            Ok(())
        });
        at
    }

    /// From now on the last minute is kept in the ledger at `place`, and begins with what that says.
    pub(crate) fn keep_in(&self, place: Place) -> Result<(), Error> {
        self.with(|dose| dose.keep_in(place, SystemTime::now()))
    }

    /// The next setting on the way from the safe state to `controls`, in steps that are allowed; none where that is `controls`, or where
    /// the way does not begin at the safe state.
    ///
    /// Fails where the way has too many steps.
    pub(crate) fn next_to(&self, controls: &[f32]) -> Result<Option<Vec<f32>>, Error> {
        let mut next = None;
        self.with(|dose| {
            let ports = &dose.card.ports;
            next = dose.setting.as_ref().map_or(Ok(None), |setting| setting.next_to(controls, ports))?;
            Ok(())
        })?;
        Ok(next)
    }

    /// Refuses controls that step too far. From now on they may be set, or not.
    pub(crate) fn step_to(&self, controls: &[f32]) -> Result<(), Error> {
        self.with(|dose| dose.step_to(controls))
    }

    /// The plant is being made safe, whatever step that takes: its controls may be set to `safe`, or not.
    pub(crate) fn leave_for(&self, safe: &[f32]) {
        // It cannot be refused.
        let _ = self.with(|dose| {
            dose.widen(safe);
            Ok(())
        });
    }

    /// The plant has fallen to its safe state by itself, as after a lost connection or power: the controls are there, and the way back is
    /// walked.
    pub(crate) fn fall(&self) {
        // It cannot be refused.
        let _ = self.with(|dose| {
            let safe = dose.card.ports.at_rest(Direction::Control);
            dose.setting = Some(Setting { way: Way::FromSafe, ..Setting::at(&safe) });
            Ok(())
        });
    }

    /// The same, where the controls were found elsewhere.
    pub(crate) fn fall_to(&self, controls: &[f32]) {
        // It cannot be refused.
        let _ = self.with(|dose| {
            dose.setting = Some(Setting::to_walk_from(controls));
            Ok(())
        });
    }

    /// The plant has been made safe: the controls are `safe`, and what was driven is written exactly.
    pub(crate) fn rest_at(&self, safe: &[f32]) {
        // What cannot be written leaves a page that says too much.
        let _ = self.with(|dose| {
            dose.setting = Some(Setting { way: Way::FromSafe, ..Setting::at(safe) });
            dose.close(SystemTime::now())
        });
    }

    /// The controls have gone where they were to go.
    pub(crate) fn stay(&self) {
        // It cannot be refused.
        let _ = self.with(|dose| {
            dose.setting.iter_mut().for_each(|setting| setting.way = Way::None);
            Ok(())
        });
    }

    /// The controls are set.
    pub(crate) fn arrive_at(&self, controls: &[f32]) {
        // It cannot be refused.
        let _ = self.with(|dose| {
            let way = dose.setting.as_ref().map_or(Way::None, |setting| setting.way);
            dose.setting = Some(Setting { way, ..Setting::at(controls) });
            Ok(())
        });
    }

    /// Refuses shots that are too steep, or too much for this minute, and counts them.
    pub fn spend(&self, shots: &Batch) -> Result<(), Error> {
        self.with(|dose| dose.measure(shots))
    }

    /// The same for rows of a batch.
    pub(crate) fn spend_rows<'a>(&self, rows: impl IntoIterator<Item = &'a [f32]>) -> Result<(), Error> {
        self.with(|dose| {
            let values: Vec<f32> = rows.into_iter().flatten().copied().collect();
            dose.measure(&Batch::new(dose.card.ports.input_count(), values)?)
        })
    }

    fn with(&self, count: impl FnOnce(&mut Dose) -> Result<(), Error>) -> Result<(), Error> {
        // Counts are whole whatever another thread did with them.
        self.dose.as_ref().map_or(Ok(()), |dose| count(&mut dose.lock().unwrap_or_else(PoisonError::into_inner)))
    }
}

/// Who is asked while a plant waits.
#[derive(Clone, Default)]
struct Hook(Option<Patience>);

impl std::fmt::Debug for Hook {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(if self.0.is_some() { "somebody" } else { "nobody" })
    }
}

/// Waits by the clock.
fn wait(seconds: f64, patience: Option<&(dyn Fn(f64) -> bool + Send + Sync)>) -> Result<(), Error> {
    let start = Instant::now();
    loop {
        let left = seconds - start.elapsed().as_secs_f64();
        let goes_on = patience.is_none_or(|patience| patience(left.max(0.0)));
        if left <= 0.0 {
            return Ok(());
        }
        if !goes_on {
            return Err(Error::Interrupted);
        }
        std::thread::sleep(LOOK.min(Duration::from_secs_f64(left)));
    }
}
