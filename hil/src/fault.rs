//! Faults as named switches, each from a complaint about a real bench, and a seeded mix of them.

use std::collections::BTreeMap;

use sims::Key;

/// What may go wrong at an instrument or on its wire.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Fault {
    /// An answer never comes.
    NoReply,
    /// An answer comes late, and those after it behind it.
    LateReply,
    /// An answer comes in two pieces with a pause between.
    SplitReply,
    /// Two answers come in one piece.
    JoinedReplies,
    /// The byte that ends an answer is missing.
    MissingTerminator,
    /// Another byte ends an answer.
    WrongTerminator,
    /// A block is shorter than its header or its checksum says.
    WrongLength,
    /// A block of exactly a whole number of buffers, sent buffer by buffer.
    WholeBuffers,
    /// Readings are not numbers: NaN, or the 9.91E37 that IEEE 488.2 instruments send for it.
    NotANumber,
    /// The instrument's queue overflows: what it was just told is lost.
    QueueOverflow,
    /// The instrument loses its power, and its settings with it.
    PowerCycle,
    /// The instrument comes back with another firmware.
    FirmwareChange,
    /// The cable is pulled and put back.
    Unplug,
    /// The other end of the connection is gone without a word.
    HalfOpen,
    /// Somebody else talks to the instrument.
    SecondClient,
    /// A reading that does not change when it should.
    StuckValue,
    /// A reading at the end of the converter's range.
    Saturation,
    /// A reading of an earlier shot.
    StaleFrame,
    /// A gain that jumps.
    DriftStep,
    /// Samples are lost while a shot is taken.
    Overrun,
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
        Self::WrongLength,
        Self::WholeBuffers,
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
        Self::Overrun,
    ];

    /// Its name on the command line and in reports.
    pub fn name(self) -> &'static str {
        match self {
            Self::NoReply => "no-reply",
            Self::LateReply => "late-reply",
            Self::SplitReply => "split-reply",
            Self::JoinedReplies => "joined-replies",
            Self::MissingTerminator => "missing-terminator",
            Self::WrongTerminator => "wrong-terminator",
            Self::WrongLength => "wrong-length",
            Self::WholeBuffers => "whole-buffers",
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
            Self::Overrun => "overrun",
        }
    }

    /// The fault called `name`.
    pub fn find(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|fault| fault.name() == name)
    }
}

/// Which faults occur, how often, and how often they have.
#[derive(Debug, Clone)]
pub struct FaultMix {
    kinds: Vec<Fault>,
    rate: f32,
    random: sims::Stream,
    counts: BTreeMap<Fault, u64>,
}

impl FaultMix {
    /// The faults of `kinds`, at random with probability `rate` at each opportunity, decided by `seed`.
    pub fn new(kinds: &[Fault], rate: f32, seed: u64) -> Self {
        let random = Key::new(seed).branch("faults").stream();
        Self { kinds: kinds.to_vec(), rate, random, counts: BTreeMap::new() }
    }

    /// Nothing ever goes wrong.
    pub fn none() -> Self {
        Self::new(&[], 0.0, 0)
    }

    /// What goes wrong this time, if anything.
    pub fn draw(&mut self) -> Option<Fault> {
        if self.kinds.is_empty() || self.rate <= self.random.uniform() {
            return None;
        }
        let kind = self.below(self.kinds.len());
        Some(self.kinds[kind])
    }

    /// Notes that a fault really happened.
    pub fn count(&mut self, fault: Fault) {
        *self.counts.entry(fault).or_default() += 1;
    }

    /// A random number below `bound`.
    pub fn below(&mut self, bound: usize) -> usize {
        self.random.below(bound)
    }

    /// How often each fault has happened.
    pub fn counts(&self) -> &BTreeMap<Fault, u64> {
        &self.counts
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_lead_back_to_their_faults() {
        for fault in Fault::ALL {
            assert_eq!(Fault::find(fault.name()), Some(fault));
        }
        assert_eq!(Fault::find("gremlin"), None);
    }

    #[test]
    fn a_mix_has_its_rate_and_all_its_kinds_and_repeats_with_its_seed() {
        let draws = |seed| {
            let mut mix = FaultMix::new(&Fault::ALL, 0.1, seed);
            (0..10_000).map(|_| mix.draw()).collect::<Vec<_>>()
        };
        let drawn = draws(3);
        let count = drawn.iter().flatten().count();
        assert!((900..1100).contains(&count), "{count}");
        assert!(Fault::ALL.iter().all(|fault| drawn.contains(&Some(*fault))));
        assert_eq!(drawn, draws(3));
        assert_ne!(drawn, draws(4));
    }
}
