//! What a training says of its guards: new fits are events, and more suspicious shots than chance explains are an alarm.

use super::Trainer;
use crate::Error;
use crate::control::Helm;
use crate::event::{Event, GuardCounts, Severity, Step};
use crate::network::{GuardAlarm, GuardConfig, State};

/// The source of its alarms.
const SOURCE: &str = "guard";
/// An update is an alarm where chance gives as many suspicious shots less often than this: once in a million updates.
const CHANCE: f64 = 1e-6;
/// The alarm is over after so many updates without a cause.
const QUIET: usize = 20;

impl Trainer<'_> {
    /// The same with guards that do this about suspicious shots; the network has them.
    pub fn guarded(mut self, guard: Option<&GuardConfig>) -> Self {
        self.guard = guard.cloned();
        self
    }

    /// What the guards found in an update, where there are any.
    pub(super) fn counted(&self, counts: GuardCounts) -> Option<GuardCounts> {
        self.guard.as_ref().map(|_| counts)
    }

    /// Remembers which guards were fitted in update `step`.
    pub(super) fn note_fits(&mut self, step: usize, state: &State) {
        let fitted = state.newly_guarded(&self.state).map(|(layer, guard)| Event::Guarded {
            step,
            layer,
            bench: guard.of().to_owned(),
            shots: guard.statistics().map_or(0, |[each, _]| each.count()),
        });
        self.fits.extend(fitted);
    }

    /// Tells what the guards did in an update.
    pub(super) fn tell_guards(&mut self, step: &Step, helm: &mut Helm<'_>) -> Result<(), Error> {
        for event in std::mem::take(&mut self.fits) {
            helm.tell(&event).map(drop)?;
        }
        let (Some(config), Some(counts), Some(board)) = (&self.guard, step.guard, helm.board()) else { return Ok(()) };
        if counts.judged == 0 {
            return Ok(());
        }
        if chance((counts.judged, counts.suspicious), config.false_alarms) < CHANCE {
            let [layer, most] = counts.worst;
            let of_layer =
                if most == counts.suspicious { String::new() } else { format!(", {most} of them at layer {layer}") };
            let message = format!(
                "{} of {} shots of step {} are not like those that the guard was fitted to ({}{of_layer}): the twin may not be trusted there",
                counts.suspicious,
                counts.judged,
                step.step,
                counts.why()
            );
            board.raise(SOURCE, Severity::Minor, message, config.on_alarm == GuardAlarm::Pause);
            self.quiet = 0;
        } else {
            self.quiet += 1;
            // One that comes and goes with every update says nothing more than one that stays.
            if QUIET <= self.quiet {
                board.clear(SOURCE);
            }
        }
        Ok(())
    }
}

/// How often chance gives so many of so many or more, where each has this chance: the tail of the binomial distribution.
fn chance((all, found): (u64, u64), share: f64) -> f64 {
    if found == 0 {
        return 1.0;
    }
    // The first term of the tail, and each next one by its ratio; they fall quickly where this is small.
    let (all, found) = (all as f64, found as f64);
    let mut logarithm = found * share.ln() + (all - found) * (-share).ln_1p();
    let mut place = 0.0;
    while place < found {
        logarithm += ((all - place) / (found - place)).ln();
        place += 1.0;
    }
    let (mut term, mut sum, mut place) = (logarithm.exp(), 0.0, found);
    while place <= all && 1e-18 < term {
        sum += term;
        term *= (all - place) / (place + 1.0) * share / (1.0 - share);
        place += 1.0;
    }
    sum.min(1.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chance_is_the_tail_of_the_binomial_distribution() {
        // 1 − 0.999^32; and of three of ten at one half: (120 + 210 + 252 + 210 + 120 + 45 + 10 + 1)/1024.
        assert!((chance((32, 1), 1e-3) - (1.0 - 0.999_f64.powi(32))).abs() < 1e-12);
        assert!((chance((10, 3), 0.5) - 968.0 / 1024.0).abs() < 1e-12);
        assert_eq!(chance((10, 0), 0.5), 1.0);
        assert!((chance((3, 3), 0.1) - 1e-3).abs() < 1e-15);
        assert!(chance((32, 4), 1e-3) < 1e-6 && 1e-6 < chance((32, 3), 1e-3));
    }
}
