//! The pattern sequence of a `LightCrafter`, and what is shown meanwhile.

use std::time::{Duration, Instant};

use drivers::lightcrafter::{Image, error};

/// How many patterns there may be at each bit depth, from 1 on.
const MOST_PATTERNS: [usize; 8] = [96, 48, 32, 24, 16, 16, 12, 12];
/// Triggers: a command, and time. All others are signals, which nobody gives here.
const COMMAND: u8 = 0;
const AUTO: u8 = 1;
const LAST_TRIGGER: u8 = 6;

/// What the shaper lets through, channel by channel.
#[derive(Debug, Default)]
pub(super) enum Shown {
    /// Nothing.
    #[default]
    Dark,
    /// The same until told otherwise.
    Still(Vec<f32>),
    /// One after another, each for the first part of a period.
    Frames {
        frames: Vec<Vec<f32>>,
        since: Instant,
        period: Duration,
        exposure: Duration,
        /// Again and again, or once.
        repeats: bool,
    },
}

impl Shown {
    /// The transmissions at this time; none where no light passes.
    fn at(&self, now: Instant) -> Option<&[f32]> {
        match self {
            Self::Dark => None,
            Self::Still(channels) => Some(channels),
            Self::Frames { frames, since, period, exposure, repeats } => {
                let elapsed = now.saturating_duration_since(*since).as_nanos();
                let (turn, within) = (elapsed / period.as_nanos(), elapsed % period.as_nanos());
                let is_over = !repeats && frames.len() as u128 <= turn;
                let index = (turn % frames.len() as u128) as usize;
                (!is_over && within < exposure.as_nanos()).then(|| frames[index].as_slice())
            }
        }
    }

    /// The transmissions of as many channels at this time.
    pub(super) fn now(&self, channels: usize, now: Instant) -> Vec<f32> {
        self.at(now).map_or_else(|| vec![0.0; channels], <[f32]>::to_vec)
    }

    /// Whether no light passes, or would at another time.
    pub(super) fn is_dark(&self) -> bool {
        let is_dark = |channels: &Vec<f32>| channels.iter().all(|transmission| *transmission == 0.0);
        match self {
            Self::Dark => true,
            Self::Still(channels) => is_dark(channels),
            Self::Frames { frames, .. } => frames.iter().all(is_dark),
        }
    }
}

/// A sequence of patterns.
#[derive(Debug, Default)]
pub(super) struct Sequence {
    depth: u8,
    is_inverted: bool,
    trigger: u8,
    /// Delay of the trigger, period and exposure, in µs.
    micros: [u32; 3],
    led: u8,
    repeats: bool,
    patterns: Vec<Option<Image>>,
    /// What runs since when.
    since: Option<Instant>,
    /// The pattern that is shown while none runs, and where commands or signals trigger.
    place: Option<usize>,
}

impl Sequence {
    /// Sets it from the payload of a command, whose number of patterns has two bytes where it is the long one.
    pub(super) fn set(&mut self, payload: &[u8], is_long: bool) -> Result<(), u8> {
        let (head, tail) = payload.split_at_checked(if is_long { 5 } else { 4 }).ok_or(error::FORMAT)?;
        let (depth, inverted, trigger) = (head[0], head[head.len() - 2], head[head.len() - 1]);
        let count = if is_long { usize::from(head[1]) + 256 * usize::from(head[2]) } else { usize::from(head[1]) };
        let (times, rest) = tail.split_at_checked(12).ok_or(error::FORMAT)?;
        let (led, repeats) = match (rest, is_long) {
            ([led], false) => (*led, 1),
            ([led, repeats], true) => (*led, *repeats),
            _ => return Err(error::FORMAT),
        };
        let micros = [0, 4, 8].map(|at| u32::from_le_bytes([times[at], times[at + 1], times[at + 2], times[at + 3]]));
        let most = usize::from(depth).checked_sub(1).and_then(|depth| MOST_PATTERNS.get(depth));
        let is_possible = most.is_some_and(|most| (1..=*most).contains(&count))
            && inverted <= 1
            && trigger <= LAST_TRIGGER
            && (trigger != AUTO || 0 < micros[1] && micros[2] <= micros[1])
            && repeats <= 1;
        if !is_possible {
            return Err(error::INVALID_PARAMETER);
        }
        // Patterns that were defined stay, as long as they have a place.
        self.patterns.resize(count, None);
        (self.since, self.place) = (None, None);
        (self.depth, self.is_inverted, self.trigger, self.micros) = (depth, inverted == 1, trigger, micros);
        (self.led, self.repeats) = (led, repeats == 1);
        Ok(())
    }

    /// What it was set to, as the payload of an answer.
    pub(super) fn setting(&self, is_long: bool) -> Vec<u8> {
        let count = (self.patterns.len() as u16).to_le_bytes();
        let mut payload = vec![self.depth];
        payload.extend(&count[..if is_long { 2 } else { 1 }]);
        payload.extend([u8::from(self.is_inverted), self.trigger]);
        payload.extend(self.micros.iter().flat_map(|micros| micros.to_le_bytes()));
        payload.push(self.led);
        payload.extend(is_long.then_some(u8::from(self.repeats)));
        payload
    }

    /// Takes a pattern: its number, and its bitmap.
    pub(super) fn define(&mut self, payload: &[u8]) -> Result<(), u8> {
        let (index, file) = payload.split_first().ok_or(error::FORMAT)?;
        if self.patterns.is_empty() {
            return Err(error::NOT_INITIALIZED);
        }
        let place = self.patterns.get_mut(usize::from(*index)).ok_or(error::INVALID_PARAMETER)?;
        *place = Some(Image::decode(file, Some(self.depth)).ok_or(error::INVALID_PARAMETER)?);
        Ok(())
    }

    /// Starts or stops it.
    pub(super) fn run(&mut self, payload: &[u8], now: Instant) -> Result<(), u8> {
        match payload {
            [0] => self.stop(),
            [1] if self.patterns.is_empty() || self.patterns.contains(&None) => return Err(error::NOT_INITIALIZED),
            [1] => {
                self.since = Some(now);
                if self.trigger == COMMAND {
                    self.place = Some(0);
                }
            }
            [_] => return Err(error::INVALID_PARAMETER),
            _ => return Err(error::FORMAT),
        }
        Ok(())
    }

    /// Stops it; nothing is shown.
    pub(super) fn stop(&mut self) {
        (self.since, self.place) = (None, None);
    }

    /// Goes on to the next pattern, where commands trigger.
    pub(super) fn advance(&mut self) -> Result<(), u8> {
        let place = self.place.filter(|_| self.since.is_some() && self.trigger == COMMAND);
        let next = place.ok_or(error::NOT_INITIALIZED)? + 1;
        if next < self.frames() {
            self.place = Some(next);
        } else if self.repeats {
            self.place = Some(0);
        } else {
            self.stop();
        }
        Ok(())
    }

    /// Shows one pattern.
    pub(super) fn show(&mut self, payload: &[u8]) -> Result<(), u8> {
        let index = usize::from(u16::from_le_bytes(payload.try_into().map_err(|_| error::FORMAT)?));
        if self.since.is_some() || self.patterns.is_empty() {
            return Err(error::NOT_INITIALIZED);
        }
        self.frame(index).ok_or(error::INVALID_PARAMETER)?;
        self.place = Some(index);
        Ok(())
    }

    /// How many frames it has: an inverted one follows each pattern where that is set.
    fn frames(&self) -> usize {
        self.patterns.len() * if self.is_inverted { 2 } else { 1 }
    }

    fn frame(&self, index: usize) -> Option<Image> {
        if !self.is_inverted {
            return self.patterns.get(index)?.clone();
        }
        let image = self.patterns.get(index / 2)?.as_ref()?;
        Some(if index.is_multiple_of(2) { image.clone() } else { image.inverted() })
    }

    /// What is shown, where `seen` says what an image lets through.
    pub(super) fn shown(&self, seen: impl Fn(&Image) -> Vec<f32>) -> Shown {
        match (self.since, self.trigger, self.place) {
            (Some(since), AUTO, _) => {
                let [_, period, exposure] = self.micros.map(|micros| Duration::from_micros(micros.into()));
                let frames =
                    (0..self.frames()).filter_map(|index| self.frame(index)).map(|image| seen(&image)).collect();
                Shown::Frames { frames, since, period, exposure, repeats: self.repeats }
            }
            (_, _, Some(place)) => self.frame(place).map_or(Shown::Dark, |image| Shown::Still(seen(&image))),
            _ => Shown::Dark,
        }
    }
}
