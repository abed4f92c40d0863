//! What the upkeep of a twin costs: shots and bench time.

use drivers::Card;

use super::noise::{NOISE_SHOTS, PER_SETTING};
use crate::training::{Method, TrainingConfig};

/// Shots of the reference set that share one setting of the controls.
pub(super) const REFERENCE_PER_SETTING: usize = 20;

/// Shots and bench time, in s, that looking after one plant will take, when a training on `rows` rows drives it `shots` times
/// itself; `knows_noise` says that a fit has the plant's noise. What an alarm would ask for is not in it.
pub fn cost(
    config: &TrainingConfig,
    method: Method,
    (rows, shots): (usize, u64),
    (card, knows_noise): (&Card, bool),
) -> (u64, f64) {
    let takes = |times: u64, shots: usize| {
        let (each, seconds) = stimuli(card, [shots, shots], 1);
        (times * each, times as f64 * seconds)
    };
    let parts = match method {
        Method::PhysicsAware => {
            let drift = config.drift.as_ref().map(|drift| {
                let every = drift.every_shots.max(1) + drift.pattern as u64;
                takes(drift.first_takes.max(8) as u64 + shots / every, drift.pattern)
            });
            let refresh = config.refresh.as_ref().filter(|refresh| refresh.every_epochs > 0).map(|refresh| {
                let times = config.steps / epoch_steps(rows, config.batch) / refresh.every_epochs;
                let (each, seconds) = stimuli(card, [refresh.reference_shots, REFERENCE_PER_SETTING], 1);
                (times as u64 * each, times as f64 * seconds)
            });
            [drift, refresh]
        }
        Method::NoiseAware if !knows_noise => {
            let [count, repeats] = NOISE_SHOTS;
            [Some(stimuli(card, [count, PER_SETTING], repeats)), None]
        }
        _ => [None, None],
    };
    parts.into_iter().flatten().fold((0, 0.0), |sum, part| (sum.0 + part.0, sum.1 + part.1))
}

/// Shots and bench time, in s, of stimuli of which so many have one setting of the controls, each setting driven so many times. Where there are no
/// controls, all are driven together.
fn stimuli(card: &Card, [count, per_setting]: [usize; 2], repeats: usize) -> (u64, f64) {
    let (settle, together) = if card.ports.control_count() == 0 {
        (0.0, count.max(1))
    } else {
        (card.timing.settle, per_setting.clamp(1, count.max(1)))
    };
    let setting = |shots: usize| settle + repeats as f64 * card.timing.batch(shots);
    let rest = count % together;
    let seconds = (count / together) as f64 * setting(together) + if rest == 0 { 0.0 } else { setting(rest) };
    ((count * repeats) as u64, seconds)
}

/// Updates in a pass over `rows` rows.
pub(super) fn epoch_steps(rows: usize, batch: usize) -> usize {
    (rows / batch.min(rows).max(1)).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use drivers::{Bank, Identity, Origin, Ports, Range, Timing};

    fn card(controls: usize) -> Card {
        let bank = |name: &str, count: usize| Bank::new(name, count, "V", Range::new(-1.0, 1.0));
        Card {
            identity: Identity { system: "any".to_owned(), serial: "1".to_owned(), origin: Origin::Simulated },
            ports: Ports {
                inputs: vec![bank("in", 4)],
                controls: if controls == 0 { vec![] } else { vec![bank("set", controls)] },
                outputs: vec![bank("out", 4)],
            },
            timing: Timing { settle: 10.0, latency: 1.0, shot: 0.0 },
        }
    }

    #[test]
    fn stimuli_that_do_not_fill_their_last_setting_are_all_counted() {
        // Two settings of 20 and one of 10, each settled and driven once.
        assert_eq!(stimuli(&card(3), [50, 20], 1), (50, 33.0));
        // The same without controls is one batch.
        assert_eq!(stimuli(&card(0), [50, 20], 1), (50, 1.0));
        // Five settings, each settled once and driven ten times.
        assert_eq!(stimuli(&card(3), [100, 20], 10), (1000, 100.0));
        assert_eq!(stimuli(&card(0), [100, 20], 10), (1000, 10.0));
    }

    #[test]
    fn noise_that_a_fit_knows_is_not_measured() {
        let config = TrainingConfig::default();
        let of = |knows_noise| cost(&config, Method::NoiseAware, (100, 0), (&card(0), knows_noise));
        assert_eq!(of(true), (0, 0.0));
        assert_eq!(of(false), (1000, 10.0));
    }
}
