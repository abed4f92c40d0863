//! Timing: how long a shot and a batch take, how far readings lag behind the drive, and whether a plant has settled when it
//! says so.

use drivers::Direction;
use serde::{Deserialize, Serialize};

use crate::{Error, Trace};

/// A lag is believed when its correlation stands so far above chance, in standard deviations.
const SIGNIFICANT: f64 = 6.0;

/// What a trace's provenance calls the time from sample to sample, in s: without it, ports do not lie along time.
pub const SAMPLE_SECONDS: &str = "sample_seconds";

/// What was measured of a plant's times.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TimingFit {
    /// Time of a shot, in s.
    pub shot_seconds: f64,
    /// Time of a change of the controls with the batch that follows it, beyond its shots, in s; unknown with one setting.
    pub change_seconds: Option<f64>,
    /// Samples by which readings lag behind the drive, where both are records of equal length along time.
    pub lag_samples: Option<i64>,
    /// The same in s.
    #[serde(default)]
    pub lag_seconds: Option<f64>,
    /// Longest time for which readings after a change of the controls still moved by more than their noise, in s: what
    /// must be added to the plant's own settling time. Unknown without repeats at several settings.
    pub unsettled_seconds: Option<f64>,
    /// What the plant's card says, in s: settling, once per batch, once per shot.
    pub card_seconds: [f64; 3],
}

/// The times of a trace.
pub fn fit_timing(trace: &Trace) -> Result<TimingFit, Error> {
    if trace.shots() < 20 {
        return Err(Error::TooFew {
            procedure: "timing",
            what: "shots",
            needed: 20,
            given: trace.shots(),
            held_out: 0,
        });
    }
    let steps: Vec<(f64, bool)> = (1..trace.shots())
        .map(|shot| {
            let changed = trace.setting_of[shot] != trace.setting_of[shot - 1];
            (trace.seconds[shot] - trace.seconds[shot - 1], changed)
        })
        .collect();
    let median = |changed: bool| {
        let mut times: Vec<f64> = steps.iter().filter(|step| step.1 == changed).map(|step| step.0).collect();
        times.sort_by(f64::total_cmp);
        (!times.is_empty()).then(|| crate::score::median(&times))
    };
    let shot_seconds = median(false).unwrap_or(0.0);
    let timing = trace.card.timing;
    let lag_samples = lag(trace);
    let sample = trace.provenance.get(SAMPLE_SECONDS).and_then(|seconds| seconds.parse::<f64>().ok());
    Ok(TimingFit {
        shot_seconds,
        change_seconds: median(true).map(|seconds| (seconds - shot_seconds).max(0.0)),
        lag_samples,
        lag_seconds: lag_samples.zip(sample).map(|(samples, seconds)| samples as f64 * seconds),
        unsettled_seconds: unsettled(trace),
        card_seconds: [timing.settle, timing.latency, timing.shot],
    })
}

/// The lag at which inputs and outputs correlate most, of the shots taken together.
fn lag(trace: &Trace) -> Option<i64> {
    let samples = trace.inputs.columns();
    let one_bank =
        [Direction::Input, Direction::Output].iter().all(|&direction| trace.card.ports.banks(direction).len() == 1);
    let along_time = one_bank && trace.provenance.contains_key(SAMPLE_SECONDS);
    if samples < 16 || samples != trace.outputs.columns() || !along_time {
        return None;
    }
    let thinned = trace.thinned(400);
    // No reading comes before its cause.
    let most = samples / 4;
    let centered = |rows: &drivers::Batch| -> Vec<f64> {
        let mean = rows.values().iter().map(|v| f64::from(*v)).sum::<f64>() / rows.values().len() as f64;
        rows.values().iter().map(|value| f64::from(*value) - mean).collect()
    };
    let (inputs, outputs) = (centered(&thinned.inputs), centered(&thinned.outputs));
    let power = |values: &[f64]| values.iter().map(|value| value * value).sum::<f64>();
    let correlation = |lag: usize| {
        let mut sum = 0.0;
        for (x, y) in inputs.chunks_exact(samples).zip(outputs.chunks_exact(samples)) {
            sum += x.iter().zip(&y[lag..]).map(|(x, y)| x * y).sum::<f64>();
        }
        sum / (power(&inputs) * power(&outputs)).sqrt().max(f64::MIN_POSITIVE)
    };
    let (best, value) = (0..=most).map(|lag| (lag, correlation(lag))).max_by(|a, b| a.1.abs().total_cmp(&b.1.abs()))?;
    (value.abs() * (inputs.len() as f64).sqrt() > SIGNIFICANT).then_some(best as i64)
}

/// Compares the first repeat of each stimulus after a change with the last one.
fn unsettled(trace: &Trace) -> Option<f64> {
    let noise = trace.averaged().noise?;
    if trace.settings.columns() == 0 || trace.settings.rows() < 5 {
        return None;
    }
    let mut ages: std::collections::BTreeMap<i64, (f64, f64)> = std::collections::BTreeMap::new();
    for shots in trace.by_setting().iter().filter(|shots| shots.len() > 1) {
        let begun = trace.seconds[shots[0]] - trace.card.timing.shot;
        let mut last: std::collections::HashMap<u32, usize> = std::collections::HashMap::new();
        for &shot in shots {
            last.insert(trace.stimulus[shot], shot);
        }
        for &shot in shots.iter().filter(|shot| last[&trace.stimulus[**shot]] != **shot) {
            let reference = trace.outputs.row(last[&trace.stimulus[shot]]);
            let pairs = trace.outputs.row(shot).iter().zip(reference).zip(&noise);
            let moved: f64 = pairs
                .map(|((a, b), noise)| f64::from(a - b).powi(2) / (2.0 * noise * noise).max(f64::MIN_POSITIVE))
                .sum();
            // Ages in units of the shot's time, shots of equal age together.
            let age = ((trace.seconds[shot] - begun) / trace.card.timing.shot.max(1e-9)).round() as i64;
            let entry = ages.entry(age).or_default();
            entry.0 += moved;
            entry.1 += noise.len() as f64;
        }
    }
    // A mean square beyond 1 by five standard errors of its own is movement, not noise.
    let moving = ages.iter().filter(|(_, (sum, count))| sum / count > 1.0 + 5.0 * (2.0 / count).sqrt() + 0.1);
    Some(moving.map(|(age, _)| *age as f64 * trace.card.timing.shot).fold(0.0, f64::max))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::trace::tests::{card, trace};

    #[test]
    fn a_delay_is_found() {
        let mut trace = trace(card(32, 0, 32), [100, 1, 100], |x, _, _| {
            (0..32).map(|n| if n < 3 { 0.0 } else { -0.5 * x[n - 3] }).collect()
        });
        assert_eq!(fit_timing(&trace).unwrap().lag_samples, None, "channels are no samples");
        trace.provenance.insert(SAMPLE_SECONDS.to_owned(), "1e-6".to_owned());
        let timing = fit_timing(&trace).unwrap();
        assert_eq!(timing.lag_samples, Some(3));
        assert!((timing.lag_seconds.unwrap() - 3e-6).abs() < 1e-12);
        assert!((timing.shot_seconds - 0.001).abs() < 1e-9);
    }

    #[test]
    fn a_plant_that_has_not_settled_is_noticed() {
        // Two repeats of 4 stimuli at each of 20 settings; the first three shots after a change still move.
        let read = |moves: f32| {
            move |x: &[f32], k: &[f32], shot: usize| {
                let mut stream = sims::Key::new(1).number(shot as u64).stream();
                let age = (shot % 8) as f32;
                vec![x[0] * k[0] + 0.001 * stream.normal() + moves * (-age).exp()]
            }
        };
        // Repeats lie side by side in this trace: each shot is compared with the one after it.
        let moving = trace(card(1, 1, 1), [200, 2, 4], read(0.1));
        assert!(fit_timing(&moving).unwrap().unsettled_seconds.unwrap() > 0.0);
        let still = trace(card(1, 1, 1), [200, 2, 4], read(0.0));
        assert_eq!(fit_timing(&still).unwrap().unsettled_seconds, Some(0.0));
    }
}
