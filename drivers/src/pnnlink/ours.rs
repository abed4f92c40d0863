//! Sessions of ours that a pnnlink instrument may still have: of an attempt to open one that failed nobody knows how far it came.

use std::time::Duration;

use tokio::time::Instant;

/// Numbers of sessions, the likeliest first, each with the last moment at which the instrument may have heard of it.
#[derive(Debug, Default)]
pub(super) struct Ours(Vec<(u32, Instant)>);

impl Ours {
    /// The session that the next one should replace, or 0 where none was ever lost. An instrument forgets one after it `lasts`.
    ///
    /// One is always left: a controller that comes back says so, or it would undo that somebody has made the instrument safe.
    pub fn likeliest(&mut self, now: Instant, lasts: Duration) -> u32 {
        let likeliest = self.0.first().copied();
        self.0.retain(|(_, heard)| now.saturating_duration_since(*heard) < lasts);
        if self.0.is_empty() {
            self.0.extend(likeliest);
        }
        self.0.first().map_or(0, |(number, _)| *number)
    }

    /// Session `number` was lost, or it may have been opened.
    pub fn lost(&mut self, number: u32, now: Instant) {
        self.0.insert(0, (number, now));
    }

    /// The instrument has another one than the likeliest: another of ours, or somebody else's.
    pub fn missed(&mut self) {
        if !self.0.is_empty() {
            self.0.rotate_left(1);
        }
    }

    /// The instrument has none of them.
    pub fn clear(&mut self) {
        self.0.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LASTS: Duration = Duration::from_secs(3);

    #[test]
    fn whichever_the_instrument_has_is_found_among_all_that_it_may_have() {
        let start = Instant::now();
        for held in 1..=40 {
            let mut ours = Ours::default();
            assert_eq!(ours.likeliest(start, LASTS), 0);
            for number in 1..=40 {
                ours.lost(number, start);
            }
            let found = (0..40).any(|_| {
                let is_it = ours.likeliest(start, LASTS) == held;
                ours.missed();
                is_it
            });
            assert!(found, "{held}");
        }
    }

    #[test]
    fn they_are_forgotten_in_time_but_for_the_last_one() {
        let start = Instant::now();
        let later = |seconds| start + Duration::from_secs(seconds);
        let mut ours = Ours::default();
        ours.lost(1, start);
        ours.lost(2, later(2));
        assert_eq!(ours.likeliest(later(4), LASTS), 2);
        ours.missed();
        assert_eq!(ours.likeliest(later(4), LASTS), 2, "1 is forgotten");
        assert_eq!(ours.likeliest(later(1000), LASTS), 2, "it still says that it comes back");
        ours.clear();
        assert_eq!(ours.likeliest(later(1000), LASTS), 0);
    }
}
