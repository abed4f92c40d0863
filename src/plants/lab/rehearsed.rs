//! What a lab does while nothing is to be driven: twins compute, and what would be sent is held against every limit.

use drivers::{Allowance, Batch, Card, Direction, Error, Limited, Plant, Range, Silent, Spent};

use super::{Lab, drive};

/// What would refuse the shots of one plant.
pub(super) struct Rehearsal {
    plant: Limited<Silent>,
    /// Shots that were held against the limits.
    shots: u64,
}

impl Rehearsal {
    fn new(card: &Card, allowance: &Allowance) -> Self {
        Self { plant: Limited::rehearsal(card.clone(), allowance), shots: 0 }
    }

    /// Holds one batch against the limits; also one that only a twin would compute, which the plant is to be driven with some day.
    pub(super) fn drive(&mut self, controls: &[f32], inputs: &Batch) -> Result<(), Error> {
        drive(&mut self.plant, controls, inputs)?;
        self.shots += inputs.rows() as u64;
        Ok(())
    }
}

/// What a plant would be driven with, as far as it was rehearsed.
#[derive(Debug, Clone, PartialEq)]
pub struct Rehearsed {
    /// The plant.
    pub plant: String,
    /// Shots.
    pub shots: u64,
    /// What they add to each limit over time.
    pub spent: Vec<Spent>,
    /// Whether it waits until a minute has room.
    pub paces: bool,
}

impl Lab {
    /// From now on nothing is driven: twins compute, and what would be sent is held against the limits.
    pub fn rehearse(&mut self) {
        for slot in &mut self.slots {
            slot.rehearsal = Some(Rehearsal::new(slot.plant.plant.card(), &slot.allowance));
        }
    }

    /// From now on plants are driven again.
    pub fn end_rehearsal(&mut self) {
        self.slots.iter_mut().for_each(|slot| slot.rehearsal = None);
    }

    /// Whether nothing is driven.
    pub fn is_rehearsing(&self) -> bool {
        self.slots.iter().any(|slot| slot.rehearsal.is_some())
    }

    /// What each plant would have been driven with since the rehearsal began.
    pub fn rehearsed(&self) -> Vec<Rehearsed> {
        let of = self.slots.iter().filter_map(|slot| Some((slot, slot.rehearsal.as_ref()?)));
        of.map(|(slot, rehearsal)| {
            let allowance = rehearsal.plant.allowance();
            Rehearsed {
                plant: slot.name.clone(),
                shots: rehearsal.shots,
                spent: allowance.spent(),
                paces: allowance.paces(),
            }
        })
        .collect()
    }

    /// Whether a plant has limits over time that make it wait.
    pub fn paces(&self) -> bool {
        self.slots.iter().any(|slot| slot.allowance.paces())
    }

    /// How long `shots` on the plant at `place` take by its limits over time, in s, beyond what its first minute has room for: where they
    /// are like the rehearsed ones (where there are none, like shots at rest), and at most, where each input is at the end of its range;
    /// 0 where it is not to wait.
    pub fn paced_seconds(&self, place: usize, shots: u64) -> (f64, f64) {
        let slot = &self.slots[place];
        if !slot.allowance.paces() {
            return (0.0, 0.0);
        }
        let ports = slot.plant.plant.ports();
        let (of, spent) = match &slot.rehearsal {
            Some(rehearsal) if 0 < rehearsal.shots => (rehearsal.shots, rehearsal.plant.allowance().spent()),
            _ => (1, slot.allowance.of(&ports.at_rest(Direction::Input))),
        };
        let seconds = |of: u64, spent: &[Spent]| {
            let minutes = spent.iter().map(|spent| spent.amount / of as f64 * shots as f64 / spent.most_per_minute);
            60.0 * (minutes.fold(0.0, f64::max) - 1.0).max(0.0)
        };
        let ends: Vec<f32> = ports.ranges(Direction::Input).iter().map(Range::full_scale).collect();
        let like_these = seconds(of, &spent);
        (like_these, seconds(1, &slot.allowance.of(&ends)).max(like_these))
    }

    /// What cannot be told of the plants at which something is limited before they are driven, as sentences.
    pub fn unknown(&self) -> Vec<String> {
        let of =
            |slot: &super::Slot| unknown(&slot.name, slot.plant.plant.card(), &slot.allowance, !slot.links.is_empty());
        self.slots.iter().flat_map(of).collect()
    }
}

/// What cannot be told of a plant before it is driven, as sentences.
pub(crate) fn unknown(plant: &str, card: &Card, allowance: &Allowance, is_wired: bool) -> Vec<String> {
    let ports = &card.ports;
    let has_slew = |banks: &[drivers::Bank]| banks.iter().any(|bank| bank.dose.slew.is_some());
    let mut sentences = vec![];
    if has_slew(&ports.controls) {
        sentences.push(format!(
            "whether later steps of the controls of plant `{plant}` keep `slew`: each is checked before it is made"
        ));
    }
    if has_slew(&ports.inputs) {
        sentences.push(format!(
            "whether later inputs of plant `{plant}` keep `slew`: each shot is checked before it is driven"
        ));
    }
    let limits: Vec<String> = allowance.spent().into_iter().map(|spent| format!("`{}`", spent.limit)).collect();
    if limits.is_empty() {
        return sentences;
    }
    let limits = limits.join(" and ");
    sentences
        .push(format!("how much of {limits} later shots of plant `{plant}` take: they are taken to be like these"));
    if is_wired {
        sentences.push(format!(
            "what plant `{plant}` was driven with in the minute before, and what its instruments have to drive again: both count for {limits}"
        ));
    }
    sentences
}
