//! Faults of instruments and wires, as named, seeded switches. Each comes from a complaint about a real one.
//!
//! A simulated instrument asks the switchboard, at the place where a fault can happen, whether it happens now:
//! [`Faults::strike`]. A fault is off, happens once more, or happens with a probability at each opportunity; what happens is
//! decided by the seed and the number of the question, and counted.

use std::collections::BTreeMap;
use std::str::FromStr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use sims::Key;

/// What can go wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Fault {
    /// A query is not answered.
    NoReply,
    /// A query is answered after its deadline, then the next one as well.
    LateReply,
    /// An answer comes in two pieces with a pause between them.
    SplitReply,
    /// Two answers come in one piece.
    JoinedReplies,
    /// An answer lacks its terminator.
    MissingTerminator,
    /// An answer ends with another terminator.
    WrongTerminator,
    /// A block says another length than it has.
    WrongBlockLength,
    /// A block is exactly as long as the reader's buffer, or a multiple.
    BufferSizedBlock,
    /// A reading is NaN, or 9.91E37 as SCPI writes it.
    NotANumber,
    /// The error queue overflows.
    QueueOverflow,
    /// The instrument loses power and comes back without its settings.
    PowerCycle,
    /// The instrument comes back with another firmware.
    FirmwareChange,
    /// The cable is pulled, and plugged in again.
    Unplug,
    /// The connection stays open and nobody is at the other end.
    HalfOpen,
    /// Another client talks to the instrument.
    SecondClient,
    /// A reading stays at its last value.
    StuckValue,
    /// The readings are at the end of the range.
    Saturation,
    /// An old frame is delivered as a new one.
    StaleFrame,
    /// The readings shift by a step.
    DriftStep,
    /// A buffer of sound is lost.
    Xrun,
}

impl Fault {
    /// All of them.
    pub const ALL: [Self; 20] = [
        Self::NoReply,
        Self::LateReply,
        Self::SplitReply,
        Self::JoinedReplies,
        Self::MissingTerminator,
        Self::WrongTerminator,
        Self::WrongBlockLength,
        Self::BufferSizedBlock,
        Self::NotANumber,
        Self::QueueOverflow,
        Self::PowerCycle,
        Self::FirmwareChange,
        Self::Unplug,
        Self::HalfOpen,
        Self::SecondClient,
        Self::StuckValue,
        Self::Saturation,
        Self::StaleFrame,
        Self::DriftStep,
        Self::Xrun,
    ];

    /// Its name on the command line. Inlined into a search of all twenty, this match costs minutes of optimization.
    #[inline(never)]
    pub fn name(self) -> &'static str {
        match self {
            Self::NoReply => "no-reply",
            Self::LateReply => "late-reply",
            Self::SplitReply => "split-reply",
            Self::JoinedReplies => "joined-replies",
            Self::MissingTerminator => "missing-terminator",
            Self::WrongTerminator => "wrong-terminator",
            Self::WrongBlockLength => "wrong-block-length",
            Self::BufferSizedBlock => "buffer-sized-block",
            Self::NotANumber => "not-a-number",
            Self::QueueOverflow => "queue-overflow",
            Self::PowerCycle => "power-cycle",
            Self::FirmwareChange => "firmware-change",
            Self::Unplug => "unplug",
            Self::HalfOpen => "half-open",
            Self::SecondClient => "second-client",
            Self::StuckValue => "stuck-value",
            Self::Saturation => "saturation",
            Self::StaleFrame => "stale-frame",
            Self::DriftStep => "drift-step",
            Self::Xrun => "xrun",
        }
    }
}

impl std::fmt::Display for Fault {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Fault {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        Self::ALL.iter().copied().find(|fault| fault.name() == text).ok_or_else(|| {
            let names: Vec<&str> = Self::ALL.iter().map(|fault| fault.name()).collect();
            format!("`{text}` is not a fault: the faults are {}", names.join(", "))
        })
    }
}

/// One switch.
#[derive(Debug, Clone, Copy, Default)]
struct Switch {
    /// At each opportunity.
    probability: f64,
    /// How many more times for certain.
    armed: u64,
    /// Opportunities so far.
    asked: u64,
    /// Times that it happened.
    happened: u64,
}

/// The switchboard of one bench; clones are the same switchboard.
#[derive(Debug, Clone)]
pub struct Faults {
    key: Key,
    switches: Arc<Mutex<BTreeMap<Fault, Switch>>>,
}

impl Faults {
    /// All off; `seed` decides when those that are switched on happen.
    pub fn new(seed: u64) -> Self {
        Self { key: Key::new(seed).branch("faults"), switches: Arc::default() }
    }

    /// Lets `fault` happen with this probability at each opportunity.
    pub fn set(&self, fault: Fault, probability: f64) {
        self.locked().entry(fault).or_default().probability = probability;
    }

    /// Lets `fault` happen at its next opportunity.
    pub fn once(&self, fault: Fault) {
        self.locked().entry(fault).or_default().armed += 1;
    }

    /// Switches everything off; the counts stay.
    pub fn clear(&self) {
        for switch in self.locked().values_mut() {
            *switch = Switch { probability: 0.0, armed: 0, ..*switch };
        }
    }

    /// Whether `fault` happens now. Asked once at each opportunity.
    pub fn strike(&self, fault: Fault) -> bool {
        let mut switches = self.locked();
        let Some(switch) = switches.get_mut(&fault) else { return false };
        switch.asked += 1;
        let word = self.key.branch(fault.name()).number(switch.asked).seed();
        let fraction = (word >> 11) as f64 / (1_u64 << 53) as f64;
        let happens = 0 < switch.armed || fraction < switch.probability;
        switch.armed = switch.armed.saturating_sub(1);
        switch.happened += u64::from(happens);
        happens
    }

    /// How often each fault has happened; those that never did are left out.
    pub fn counts(&self) -> BTreeMap<Fault, u64> {
        let counts = self.locked().iter().map(|(fault, switch)| (*fault, switch.happened)).collect::<BTreeMap<_, _>>();
        counts.into_iter().filter(|(_, count)| 0 < *count).collect()
    }

    fn locked(&self) -> MutexGuard<'_, BTreeMap<Fault, Switch>> {
        self.switches.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn faults_are_named_seeded_and_counted() {
        for fault in Fault::ALL {
            assert_eq!(fault.name().parse::<Fault>().unwrap(), fault);
        }
        assert!("no-replay".parse::<Fault>().unwrap_err().contains("`no-replay` is not a fault"));
        let strikes = |seed: u64| {
            let faults = Faults::new(seed);
            faults.set(Fault::NoReply, 0.25);
            (0..1000).map(|_| faults.strike(Fault::NoReply)).collect::<Vec<_>>()
        };
        assert_eq!(strikes(1), strikes(1));
        assert_ne!(strikes(1), strikes(2));
        let count = strikes(1).iter().filter(|strike| **strike).count();
        assert!((200..300).contains(&count), "{count} of 1000 at a quarter");
        let faults = Faults::new(0);
        assert!(!faults.strike(Fault::Unplug));
        faults.once(Fault::Unplug);
        assert!(faults.clone().strike(Fault::Unplug) && !faults.strike(Fault::Unplug));
        assert_eq!(faults.counts(), BTreeMap::from([(Fault::Unplug, 1)]));
    }
}
