//! What a plant says about itself: who it is, its ports, and how long things take on its bench.

use crate::{Bank, Direction, Ports};

/// The most ports of a plant in one direction, and the most banks that they form: what a recording or a trace says is bounded by it
/// before anything is made room for.
const MOST_PORTS: usize = 1 << 24;
const MOST_BANKS: usize = 1 << 10;
/// The longest that anything takes on a bench, in s: some thirty years.
const LONGEST: f64 = 1e9;

/// Where readings come from. What is not real says so, for ever.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Origin {
    /// Instruments on a bench.
    Real,
    /// Bench-fidelity equations.
    Simulated,
    /// A recording of an earlier dialogue.
    Replayed,
}

impl std::fmt::Display for Origin {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Real => "real",
            Self::Simulated => "simulated",
            Self::Replayed => "replayed",
        })
    }
}

/// Who a plant is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// The physical system, such as `electrical`.
    pub system: String,
    /// What tells this one from another of the same system: a serial number, or the seed of a simulated one.
    pub serial: String,
    /// Real, simulated or replayed.
    pub origin: Origin,
}

/// How long things take on the bench, in seconds. Simulated plants spend this time on their own clock only.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Timing {
    /// From setting the controls until they have settled, in s.
    pub settle: f64,
    /// Once per batch: uploading, arming, downloading, in s.
    pub latency: f64,
    /// Once per shot, in s.
    pub shot: f64,
}

impl Timing {
    /// Bench time of one batch of `shots`, in s.
    pub fn batch(&self, shots: usize) -> f64 {
        self.latency + self.shot * shots as f64
    }
}

/// What a plant says about itself.
#[derive(Debug, Clone, PartialEq)]
pub struct Card {
    /// Who it is.
    pub identity: Identity,
    /// What goes in and comes out.
    pub ports: Ports,
    /// How long things take.
    pub timing: Timing,
}

impl Card {
    /// Why no plant has this card, if none has: what a file or an instrument says of a plant is held against it before it is believed.
    pub fn complaint(&self) -> Option<String> {
        let seconds = [self.timing.settle, self.timing.latency, self.timing.shot];
        if let Some(bad) = seconds.iter().find(|seconds| !(0.0..=LONGEST).contains(*seconds)) {
            return Some(format!("has a time of {bad} s: 0 to {LONGEST:e} s was expected"));
        }
        [Direction::Input, Direction::Control, Direction::Output]
            .into_iter()
            .find_map(|direction| self.ports.complaint(direction))
    }
}

impl Ports {
    /// What is wrong with the banks of one direction.
    fn complaint(&self, direction: Direction) -> Option<String> {
        let banks = self.banks(direction);
        if MOST_BANKS < banks.len() {
            return Some(format!("has {} {direction} banks: at most {MOST_BANKS} can be", banks.len()));
        }
        let is_sound = |bank: &Bank| {
            let Bank { count, range, .. } = bank;
            (1..=MOST_PORTS).contains(count)
                && range.low.is_finite()
                && range.low < range.high
                && range.high.is_finite()
        };
        if let Some(bank) = banks.iter().find(|bank| !is_sound(bank)) {
            return Some(format!(
                "has {} ports and the range {} in its {direction} bank `{}`: 1 to {MOST_PORTS} ports were expected, and a range whose low end is below its high end",
                bank.count, bank.range, bank.name
            ));
        }
        let sum: usize = banks.iter().map(|bank| bank.count).sum();
        (MOST_PORTS < sum).then(|| format!("has {sum} {direction} ports: at most {MOST_PORTS} can be"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Range;

    fn complaint(change: impl Fn(&mut Card)) -> String {
        let bank = || vec![Bank::new("x", 3, "V", Range::new(-1.0, 1.0))];
        let mut card = Card {
            identity: Identity { system: "toy".into(), serial: "1".into(), origin: Origin::Real },
            ports: Ports { inputs: bank(), controls: vec![], outputs: bank() },
            timing: Timing::default(),
        };
        change(&mut card);
        card.complaint().unwrap_or_default()
    }

    #[test]
    fn a_card_that_no_plant_has_is_told() {
        assert_eq!(complaint(|_| ()), "");
        assert!(complaint(|card| card.ports.inputs[0].count = usize::MAX).contains("in its input bank `x`"));
        assert!(complaint(|card| card.ports.outputs[0].count = 0).contains("0 ports"));
        assert!(complaint(|card| card.ports.outputs[0].range = Range::new(1.0, 1.0)).contains("[1, 1]"));
        assert!(complaint(|card| card.ports.outputs[0].range = Range::new(f32::NAN, 1.0)).contains("[NaN, 1]"));
        assert!(complaint(|card| card.timing.shot = -1.0).contains("-1 s"));
        let many =
            |card: &mut Card| card.ports.inputs = vec![Bank::new("x", 1 << 24, "V", Range::new(-1.0, 1.0)); 1000];
        assert!(complaint(many).contains("16777216000 input ports"));
    }
}
