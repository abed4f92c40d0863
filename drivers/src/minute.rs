//! What was driven in the last minute, in a bounded number of slices of time.

use std::collections::VecDeque;

use serde::{Deserialize, Serialize};

/// The stretch of time that duty and energy are counted over, in s.
pub(crate) const MINUTE: f64 = 60.0;
/// What is driven within this time, in s, is one slice. It is forgotten as late as its last shot.
const SLICE: f64 = 0.1;

/// Amounts that were driven so long ago.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Past {
    /// In s.
    pub age_seconds: f64,
    /// One for each limit over time, in its unit.
    pub amounts: Vec<f64>,
}

/// Shots that are near each other in time.
#[derive(Debug, Clone)]
struct Slice {
    first: f64,
    last: f64,
    amounts: Vec<f64>,
}

/// The last minute: amounts, and their sums. Times are in s from any beginning.
#[derive(Debug, Clone)]
pub(crate) struct Minute {
    slices: VecDeque<Slice>,
    sums: Vec<f64>,
}

impl Minute {
    /// A minute of `count` kinds of amounts, of which `past` was driven before `at`.
    pub fn new(count: usize, past: Vec<Past>, at: f64) -> Self {
        let slice = |past: Past| {
            let then = at - past.age_seconds;
            Slice { first: then, last: then, amounts: past.amounts }
        };
        let mut minute = Self { slices: past.into_iter().map(slice).collect(), sums: vec![0.0; count] };
        minute.add_up();
        minute
    }

    /// What was driven in the minute before `at`.
    pub fn sums(&mut self, at: f64) -> &[f64] {
        let before = self.slices.len();
        while self.slices.front().is_some_and(|slice| slice.last + MINUTE <= at) {
            self.slices.pop_front();
        }
        if self.slices.len() < before {
            self.add_up();
        }
        &self.sums
    }

    /// Counts what is driven at `at`.
    pub fn add(&mut self, at: f64, amounts: &[f64]) {
        add(&mut self.sums, amounts);
        match self.slices.back_mut() {
            Some(slice) if at < slice.first + SLICE => {
                slice.last = at;
                add(&mut slice.amounts, amounts);
            }
            _ => self.slices.push_back(Slice { first: at, last: at, amounts: amounts.to_vec() }),
        }
    }

    /// What was counted since `since` was driven until `at`: it leaves the last minute no earlier than a minute later.
    pub fn lasted(&mut self, since: f64, at: f64) {
        for slice in self.slices.iter_mut().rev().take_while(|slice| since < slice.first + SLICE) {
            slice.last = slice.last.max(at);
        }
    }

    /// How long after `at` there is room for `amounts` where each minute has room for `most`, in s; infinite where there never is.
    pub fn delay(&mut self, amounts: &[f64], most: &[f64], at: f64) -> f64 {
        let fits = |sums: &[f64]| sums.iter().zip(amounts).zip(most).all(|((sum, amount), most)| sum + amount <= *most);
        if fits(self.sums(at)) {
            return 0.0;
        }
        let mut later = self.clone();
        while let Some(slice) = later.slices.front() {
            let when = slice.last + MINUTE;
            if fits(later.sums(when)) {
                return when - at;
            }
        }
        f64::INFINITY
    }

    /// All slices, the oldest first, as they are at `at`.
    pub fn past(&self, at: f64) -> Vec<Past> {
        let past = |slice: &Slice| Past { age_seconds: at - slice.last, amounts: slice.amounts.clone() };
        self.slices.iter().map(past).collect()
    }

    /// The sums anew: what is taken away from a sum leaves its rounding behind.
    fn add_up(&mut self) {
        self.sums.fill(0.0);
        for slice in &self.slices {
            add(&mut self.sums, &slice.amounts);
        }
    }
}

fn add(sums: &mut [f64], amounts: &[f64]) {
    for (sum, amount) in sums.iter_mut().zip(amounts) {
        *sum += amount;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slices_are_bounded_and_no_shot_is_forgotten_too_early() {
        let mut minute = Minute::new(1, vec![], 0.0);
        for shot in 0..200_000 {
            let at = f64::from(shot) * 1e-3;
            let sum = minute.sums(at)[0];
            let exact = f64::from(shot.min(59_999));
            assert!(exact <= sum && sum <= exact + 1000.0 * SLICE, "{sum} for {exact} at {at} s");
            minute.add(at, &[1.0]);
        }
        assert!(minute.slices.len() <= 602, "{}", minute.slices.len());
        assert_eq!(minute.sums(260.0), [0.0]);
        assert!(minute.slices.is_empty());
    }

    #[test]
    fn room_comes_when_what_was_driven_is_a_minute_old() {
        let mut minute = Minute::new(1, vec![], 0.0);
        minute.add(0.0, &[4.0]);
        minute.add(10.0, &[4.0]);
        minute.lasted(10.0, 15.0);
        let mut delay = |amount: f64| minute.delay(&[amount], &[10.0], 20.0);
        assert_eq!([delay(2.0), delay(6.0), delay(6.5)], [0.0, 40.0, 55.0]);
        assert_eq!(delay(10.5), f64::INFINITY);
        minute.lasted(0.0, 30.0);
        assert_eq!(minute.delay(&[6.0], &[10.0], 60.0), 30.0, "each lasted until then");
    }

    #[test]
    fn a_minute_goes_on_from_its_past() {
        let mut before = Minute::new(2, vec![], 0.0);
        before.add(1.0, &[3.0, 0.5]);
        before.add(2.0, &[4.0, 0.25]);
        let mut after = Minute::new(2, before.past(10.0), 100.0);
        assert_eq!(after.sums(100.0), [7.0, 0.75]);
        assert_eq!(after.sums(151.0), [4.0, 0.25]);
        assert_eq!(after.sums(152.0), [0.0, 0.0]);
    }
}
