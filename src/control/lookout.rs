//! The lookout: a thread that looks at the links of the instruments while the training thread may be waiting for one of them. An
//! instrument that is not there is an alarm, until it is.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use drivers::LinkState;

use crate::Error;
use crate::control::{Board, Wires};
use crate::event::Severity;

/// How often it looks.
const LOOK: Duration = Duration::from_millis(250);
/// A link that is opened again within this time, and what its instrument may be silent for, is nobody's concern: it is counted as a
/// reconnection.
const PATIENCE: Duration = Duration::from_secs(2);

/// Looks until it is dropped.
pub struct Lookout {
    stop: Option<Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Lookout {
    /// Looks at the links of the plants of `board`; alarms are raised there.
    pub fn start(board: &Arc<Board>) -> Result<Self, Error> {
        let (stop, stopped) = channel();
        let board = board.clone();
        let work = move || {
            let mut lost = Lost::default();
            while stopped.recv_timeout(LOOK) == Err(RecvTimeoutError::Timeout) {
                lost.look(&board.viewer().wires(), Instant::now(), &board);
            }
            lost.end(&board);
        };
        let thread = std::thread::Builder::new().name("lookout".into()).spawn(work);
        let thread = thread.map_err(|error| Error::Usage(format!("no thread can be started: {error}")))?;
        Ok(Self { stop: Some(stop), thread: Some(thread) })
    }
}

impl Drop for Lookout {
    fn drop(&mut self) {
        self.stop = None;
        if let Some(thread) = self.thread.take() {
            drop(thread.join());
        }
    }
}

/// The instruments that are not there, and since when.
#[derive(Default)]
struct Lost(BTreeMap<String, Instant>);

impl Lost {
    fn look(&mut self, wires: &[Wires], now: Instant, board: &Board) {
        for link in wires.iter().flat_map(|plant| &plant.links) {
            let name = &link.instrument;
            // One that was never opened, or was closed on purpose, is not missed.
            if matches!(link.state, LinkState::Ready | LinkState::Closed) {
                if self.0.remove(name).is_some() {
                    board.clear(name);
                }
                continue;
            }
            let since = *self.0.entry(name.clone()).or_insert(now);
            if PATIENCE + link.patience <= now.duration_since(since) {
                let message = format!("does not answer at {}. Check power and cable", link.address);
                board.raise(name, Severity::Invalid, message, false);
            }
        }
    }

    /// Nobody looks any more: what was missed is an alarm no longer.
    fn end(self, board: &Board) {
        for name in self.0.keys() {
            board.clear(name);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::control::{Control, Heading, Viewer};
    use drivers::LinkReport;

    fn wires(state: LinkState, patience: u64) -> [Wires; 1] {
        let patience = Duration::from_secs(patience);
        let report = LinkReport { instrument: "scope".into(), state, patience, ..LinkReport::default() };
        [Wires { plant: "a".into(), backend: "real".into(), links: vec![report], rejected: BTreeMap::new() }]
    }

    /// Looks at a link in these states, s after the first look: the alarms after each.
    fn looks(patience: u64, states: &[(u64, LinkState)]) -> Vec<&'static str> {
        let board = Board::new(Heading::default(), Control::new(), Arc::new(Viewer::new(vec![])));
        let (mut lost, start) = (Lost::default(), Instant::now());
        let look = |(seconds, state): &(u64, LinkState)| {
            lost.look(&wires(*state, patience), start + Duration::from_secs(*seconds), &board);
            match &board.status().alarms[..] {
                [] => "none",
                [alarm] if alarm.active => "active",
                [_] => "over",
                _ => "several",
            }
        };
        states.iter().map(look).collect()
    }

    #[test]
    fn an_instrument_that_stays_away_is_one_alarm_until_it_is_back() {
        let states = [
            (0, LinkState::Backoff),
            // A short absence is none.
            (1, LinkState::Ready),
            (10, LinkState::Dirty),
            (12, LinkState::Opening),
            // It is one alarm, latched until somebody has seen it.
            (60, LinkState::Backoff),
            (61, LinkState::Ready),
        ];
        assert_eq!(looks(0, &states), ["none", "none", "none", "active", "active", "over"]);
    }

    #[test]
    fn an_instrument_that_measures_for_long_is_not_missed_before() {
        let states =
            [(0, LinkState::Dirty), (2, LinkState::Opening), (11, LinkState::Opening), (12, LinkState::Opening)];
        assert_eq!(looks(10, &states), ["none", "none", "none", "active"]);
    }

    #[test]
    fn no_alarm_outlives_its_lookout() {
        let board = Board::new(Heading::default(), Control::new(), Arc::new(Viewer::new(vec![])));
        let (mut lost, start) = (Lost::default(), Instant::now());
        for seconds in [0, 10] {
            lost.look(&wires(LinkState::Dirty, 0), start + Duration::from_secs(seconds), &board);
        }
        let is_active = || board.status().alarms.iter().any(|alarm| alarm.active);
        assert!(is_active());
        lost.end(&board);
        assert!(!is_active(), "the run has ended");
    }
}
