//! A bench that changes while it is used: from one shot on, at once or bit by bit, it is another bench.
//!
//! ```text
//! reading(n) = (1 − a) before(n) + a after(n),    a = (n − from) / over, within 0 … 1,    n: the shot's number
//! ```
//!
//! A stand-in for what no equation of the bench holds: a connector that is touched, a mirror that creeps, a room that warms up.

use std::sync::Arc;

use drivers::{Batch, Card};

use crate::{Moment, System};

/// One system that becomes another.
#[derive(Debug)]
pub struct Shifted {
    before: Arc<dyn System>,
    after: Arc<dyn System>,
    from: u64,
    over: u64,
}

impl Shifted {
    /// `before` becomes `after` from shot number `from` on, over so many shots; 0: at once.
    ///
    /// `None` if they do not have the same ports.
    pub fn new(before: Arc<dyn System>, after: Arc<dyn System>, from: u64, over: u64) -> Option<Self> {
        (before.card().ports == after.card().ports).then_some(Self { before, after, from, over })
    }

    /// How much of `after` a shot is.
    fn share(&self, shot: u64) -> f32 {
        match shot.checked_sub(self.from) {
            None => 0.0,
            Some(past) if past >= self.over => 1.0,
            Some(past) => (past as f64 / self.over as f64) as f32,
        }
    }
}

impl System for Shifted {
    fn card(&self) -> &Card {
        self.before.card()
    }

    fn settle(&self, controls: &[f32]) -> Vec<f32> {
        self.before.settle(controls)
    }

    fn shoot(&self, inputs: &Batch, controls: &[f32], moment: Moment) -> Batch {
        let last = (moment.shots + inputs.rows() as u64).saturating_sub(1);
        if self.share(last) == 0.0 {
            return self.before.shoot(inputs, controls, moment);
        }
        let mut after = self.after.shoot(inputs, controls, moment);
        if self.share(moment.shots) < 1.0 {
            let before = self.before.shoot(inputs, controls, moment);
            let columns = after.columns().max(1);
            let rows = after.values_mut().chunks_exact_mut(columns).zip(before.values().chunks_exact(columns));
            for (row, (after, before)) in rows.enumerate() {
                let share = self.share(moment.shots + row as u64);
                for (after, before) in after.iter_mut().zip(before) {
                    // The ends exactly: a bench that has not begun to change reads bit for bit as before.
                    *after = if share == 0.0 { *before } else { share.mul_add(*after - *before, *before) };
                }
            }
        }
        after
    }
}

#[cfg(test)]
mod tests {
    use drivers::Plant;

    use super::*;
    use crate::{Electrical, Simulated};

    fn bench(mismatch: f64) -> Arc<dyn System> {
        Electrical { samples: 32, mismatch, ..Electrical::default() }.build().unwrap().system
    }

    #[test]
    fn a_bench_becomes_another_whatever_its_batches() {
        let inputs = Batch::from_fn(12, 32, |row, column| 0.1 * ((row + column) as f32).sin());
        let read = |system: Arc<dyn System>| Simulated::new(system).measure(&inputs).unwrap();
        let (before, after) = (read(bench(1.0)), read(bench(3.0)));
        let shifted = Arc::new(Shifted::new(bench(1.0), bench(3.0), 4, 4).unwrap());
        let whole = read(shifted.clone());
        for row in 0..=4 {
            assert_eq!(whole.row(row), before.row(row));
        }
        for row in 8..12 {
            assert_eq!(whole.row(row), after.row(row));
        }
        for (middle, (before, after)) in whole.row(6).iter().zip(before.row(6).iter().zip(after.row(6))) {
            assert!((middle - 0.5 * (before + after)).abs() < 1e-6);
        }
        let mut plant = Simulated::new(shifted);
        for first in [0, 5, 7] {
            let rows = [5, 2, 5][[0, 5, 7].iter().position(|start| *start == first).unwrap()];
            let part = Batch::from_fn(rows, 32, |row, column| inputs.row(first + row)[column]);
            let read = plant.measure(&part).unwrap();
            for row in 0..rows {
                assert_eq!(read.row(row), whole.row(first + row));
            }
        }
        let wider = Electrical { samples: 33, ..Electrical::default() }.build().unwrap().system;
        assert!(Shifted::new(bench(1.0), wider, 0, 0).is_none());
    }
}
