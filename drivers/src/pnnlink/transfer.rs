//! A batch of shots through a window: what to send next, and what came back, whatever the wire does.
//!
//! Shots are numbered through a session, and the instrument drives them in that order (go back N): it refuses a shot
//! whose predecessors are missing, and answers one that it has driven already from memory. So a request may be repeated
//! at will and a shot is driven once. A lost answer shows as a gap and is asked for again; silence longer than the
//! patience repeats all that is unanswered. Pure: times come in, requests come out.

use std::collections::VecDeque;
use std::ops::Range;
use std::time::Duration;

use super::message::Request;

/// The longest patience with a silent instrument before what is unanswered is sent again.
const LONGEST_PATIENCE: Duration = Duration::from_millis(500);

/// What is known of one shot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Shot {
    /// No answer yet.
    Missing,
    /// Read, by this acquisition.
    Read(u32),
    /// Answered, but the reading is void: samples were lost, or the frame is an older one. The newest acquisition so far.
    Void(u32),
}

impl Shot {
    /// The newest acquisition up to this shot.
    fn newest(self) -> Option<u32> {
        match self {
            Self::Missing => None,
            Self::Read(acquisition) | Self::Void(acquisition) => Some(acquisition),
        }
    }
}

/// Whether an acquisition came after another; the counter may have gone round in between.
fn is_newer(acquisition: u32, before: u32) -> bool {
    (1..=u32::MAX / 2).contains(&acquisition.wrapping_sub(before))
}

/// How a batch travels.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shape {
    /// Coded inputs of one shot, in bytes.
    pub input_bytes: usize,
    /// Coded outputs of one shot, in bytes.
    pub output_bytes: usize,
    /// Shots in one request.
    pub per_request: usize,
    /// Shots that may be unanswered.
    pub window: usize,
}

/// What did not go smoothly.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counts {
    /// The first so many shots were sent.
    pub sent: usize,
    /// Shots that were sent again.
    pub resent: u64,
    /// Answers that had come before.
    pub repeated: u64,
    /// Readings that were void.
    pub void: u64,
}

/// Answers that fit nothing that was sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Nonsense;

/// One batch on its way.
#[derive(Debug)]
pub struct Transfer<'a> {
    inputs: &'a [u8],
    shape: Shape,
    /// The number of the batch's first shot in the session.
    first: u64,
    /// The acquisition of the shot before the first.
    before: Option<u32>,
    outputs: Vec<u8>,
    shots: Vec<Shot>,
    /// The first shot without an answer.
    lowest: usize,
    /// The next shot that was not sent, or is to be sent again.
    next: usize,
    /// One past the last shot that was ever sent.
    sent: usize,
    /// Shots whose answers were lost.
    gaps: VecDeque<Range<usize>>,
    /// One past the last shot that was in a gap since the last silence.
    asked: usize,
    /// Where the last refusal sent us back to, and when.
    rewound: Option<(usize, Duration)>,
    base_patience: Duration,
    patience: Duration,
    /// Since when the instrument has been silent, as far as patience goes.
    progress: Duration,
    /// When the last answer came that was news, or the start.
    answered: Duration,
    counts: Counts,
}

impl<'a> Transfer<'a> {
    /// The batch whose coded `inputs` are shots `first` and following; `before` is the last acquisition so far.
    pub fn new(inputs: &'a [u8], shape: Shape, first: u64, before: Option<u32>) -> Self {
        let rows = inputs.len().checked_div(shape.input_bytes).unwrap_or(0);
        Self {
            inputs,
            shape,
            first,
            before,
            outputs: vec![0; rows * shape.output_bytes],
            shots: vec![Shot::Missing; rows],
            lowest: 0,
            next: 0,
            sent: 0,
            gaps: VecDeque::new(),
            asked: 0,
            rewound: None,
            base_patience: LONGEST_PATIENCE,
            patience: LONGEST_PATIENCE,
            progress: Duration::ZERO,
            answered: Duration::ZERO,
            counts: Counts::default(),
        }
    }

    /// Starts the clock: the instrument is silent when nothing comes for `patience` from `now` on.
    pub fn start(&mut self, now: Duration, patience: Duration) {
        self.progress = now;
        self.answered = now;
        self.base_patience = patience.min(LONGEST_PATIENCE);
        self.patience = self.base_patience;
    }

    /// Whether every shot has an answer.
    pub fn is_done(&self) -> bool {
        self.lowest == self.shots.len()
    }

    /// When the last answer came that was news; before the first, the start.
    pub fn answered(&self) -> Duration {
        self.answered
    }

    /// When [`Self::next`] will have something to say again if nothing comes.
    pub fn wakes(&self) -> Duration {
        self.progress + self.patience
    }

    /// What did not go smoothly so far.
    pub fn counts(&self) -> Counts {
        Counts { sent: self.sent, ..self.counts }
    }

    /// How many shots of the session have been sent, at most: the number of the next new one.
    pub fn following(&self) -> u64 {
        self.first + self.shots.len() as u64
    }

    /// The last acquisition that is known.
    pub fn acquisition(&self) -> Option<u32> {
        self.shots.iter().rev().find_map(|shot| shot.newest()).or(self.before)
    }

    /// The coded outputs of each shot that was read, and none of one that was void or has no answer.
    pub fn readings(&self) -> impl Iterator<Item = Option<&[u8]>> {
        let width = self.shape.output_bytes;
        self.shots.iter().enumerate().map(move |(row, shot)| match shot {
            Shot::Read(_) => Some(&self.outputs[row * width..(row + 1) * width]),
            _ => None,
        })
    }

    /// The next request, if the window has room for one.
    pub fn next(&mut self, now: Duration) -> Option<Request> {
        if self.wakes() <= now && self.lowest < self.sent {
            self.next = self.lowest;
            self.gaps.clear();
            self.asked = 0;
            self.rewound = None;
            self.patience = (self.patience * 2).min(LONGEST_PATIENCE);
            self.progress = now;
        }
        while let Some(gap) = self.gaps.pop_front() {
            let run = self.missing(gap.start, gap.end.min(gap.start + self.shape.per_request));
            if run.end < gap.end {
                self.gaps.push_front(run.end.max(gap.start + 1)..gap.end);
            }
            if !run.is_empty() {
                return Some(self.request(run));
            }
        }
        let end = self.shots.len().min(self.lowest + self.shape.window);
        while self.next < end {
            let run = self.missing(self.next, end.min(self.next + self.shape.per_request));
            self.next = run.end.max(self.next + 1);
            if !run.is_empty() {
                return Some(self.request(run));
            }
        }
        None
    }

    /// Takes readings of shot `first` and following.
    pub fn results(
        &mut self,
        now: Duration,
        first: u64,
        acquisition: u32,
        (is_void, values): (bool, &[u8]),
    ) -> Result<(), Nonsense> {
        let width = self.shape.output_bytes;
        let count = values.len() / width.max(1);
        let row = first.checked_sub(self.first).and_then(|row| usize::try_from(row).ok());
        if first < self.first {
            // A late answer to a shot of an earlier batch, which had its answer.
            self.counts.repeated += count as u64;
            return Ok(());
        }
        let row = row.filter(|&row| row + count <= self.sent && !values.is_empty() && values.len() == count * width);
        let row = row.ok_or(Nonsense)?;
        let mut is_news = false;
        for (index, value) in values.chunks_exact(width).enumerate() {
            is_news |= self.result(row + index, acquisition.wrapping_add(index as u32), is_void, value);
        }
        while self.shots.get(self.lowest).is_some_and(|shot| *shot != Shot::Missing) {
            self.lowest += 1;
        }
        if is_news {
            self.progress = now;
            self.answered = now;
            self.patience = self.base_patience;
        }
        let lost = self.lowest.max(self.asked)..row;
        if !lost.is_empty() {
            self.gaps.push_back(lost);
            self.asked = row;
        }
        Ok(())
    }

    /// Goes back to the shot that the instrument expects.
    pub fn out_of_order(&mut self, now: Duration, expected: u64) -> Result<(), Nonsense> {
        let row = expected.checked_sub(self.first).and_then(|row| usize::try_from(row).ok()).ok_or(Nonsense)?;
        if self.sent < row {
            return Err(Nonsense);
        }
        // All requests in flight behind the lost one are refused; only the first refusal is news.
        let is_known = self.rewound.is_some_and(|(known, at)| known == row && now < at + self.patience);
        if !is_known && row < self.next {
            self.next = row;
            self.rewound = Some((row, now));
        }
        Ok(())
    }

    /// The first run of shots without an answer in `start..end`; empty at `end` when there is none.
    fn missing(&self, start: usize, end: usize) -> Range<usize> {
        let is_missing = |row: &usize| self.shots[*row] == Shot::Missing;
        let start = (start..end).find(is_missing).unwrap_or(end);
        let end = (start..end).find(|row| !is_missing(row)).unwrap_or(end);
        start..end
    }

    /// The request for some shots.
    fn request(&mut self, rows: Range<usize>) -> Request {
        self.counts.resent += self.sent.min(rows.end).saturating_sub(rows.start) as u64;
        self.sent = self.sent.max(rows.end);
        let bytes = rows.start * self.shape.input_bytes..rows.end * self.shape.input_bytes;
        let batch = if rows.start == 0 { self.shots.len() as u32 } else { 0 };
        Request::Shots { first: self.first + rows.start as u64, batch, values: self.inputs[bytes].to_vec() }
    }

    /// Takes one reading; whether it is news.
    fn result(&mut self, row: usize, acquisition: u32, is_void: bool, value: &[u8]) -> bool {
        if self.shots[row] != Shot::Missing {
            self.counts.repeated += 1;
            return false;
        }
        let before = if row == 0 { self.before } else { self.shots[row - 1].newest() };
        let old = before.filter(|before| !is_newer(acquisition, *before));
        if is_void || old.is_some() {
            self.shots[row] = Shot::Void(old.unwrap_or(acquisition));
            self.counts.void += 1;
        } else {
            self.shots[row] = Shot::Read(acquisition);
            let width = self.shape.output_bytes;
            self.outputs[row * width..(row + 1) * width].copy_from_slice(value);
        }
        self.look_behind(row + 1, old.unwrap_or(acquisition));
        true
    }

    /// Looks again at shots whose answers came before that of the shot in front of them: none may be of `newest` or older.
    fn look_behind(&mut self, row: usize, newest: u32) {
        for shot in &mut self.shots[row..] {
            match *shot {
                Shot::Read(acquisition) if !is_newer(acquisition, newest) => self.counts.void += 1,
                Shot::Void(acquisition) if !is_newer(acquisition, newest) => {}
                _ => return,
            }
            *shot = Shot::Void(newest);
        }
    }
}

#[cfg(test)]
mod tests;
