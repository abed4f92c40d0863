//! What the upkeep of a twin costs: shots and bench time.

use drivers::Card;

use super::noise;
use crate::training::{Method, TrainingConfig};

/// Shots of the reference set that share one setting of the controls.
pub(super) const REFERENCE_PER_SETTING: usize = 20;

/// Shots and bench time, in s, that looking after one plant will take, when a training on `rows` rows drives it `shots` times
/// itself. What an alarm would ask for is not in it.
pub fn cost(config: &TrainingConfig, method: Method, (rows, shots): (usize, u64), card: &Card) -> (u64, f64) {
    let settle = if card.ports.control_count() == 0 { 0.0 } else { card.timing.settle };
    let takes = |times: u64, shots: usize| (times * shots as u64, times as f64 * (settle + card.timing.batch(shots)));
    let parts = match method {
        Method::PhysicsAware => {
            let drift = config.drift.as_ref().map(|drift| {
                let every = drift.every_shots.max(1) + drift.pattern as u64;
                takes(drift.first_takes.max(8) as u64 + shots / every, drift.pattern)
            });
            let refresh = config.refresh.as_ref().filter(|refresh| refresh.every_epochs > 0).map(|refresh| {
                let times = config.steps / epoch_steps(rows, config.batch) / refresh.every_epochs;
                let settings = refresh.reference_shots.div_ceil(REFERENCE_PER_SETTING);
                takes((times * settings) as u64, refresh.reference_shots / settings.max(1))
            });
            [drift, refresh]
        }
        Method::NoiseAware => [Some(noise::cost(&card.timing, settle)), None],
        _ => [None, None],
    };
    parts.into_iter().flatten().fold((0, 0.0), |sum, part| (sum.0 + part.0, sum.1 + part.1))
}

/// Updates in a pass over `rows` rows.
pub(super) fn epoch_steps(rows: usize, batch: usize) -> usize {
    (rows / batch.min(rows).max(1)).max(1)
}
