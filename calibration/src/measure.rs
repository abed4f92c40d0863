//! The measuring loop: every setting of the controls once, its stimuli in batches, each stimulus as often as asked.
//!
//! Without controls, repeats of a stimulus follow one another: what drifts in between is next to nothing, and their scatter is noise.
//! With controls, repeats are whole passes over a setting's stimuli, so that a plant that has not settled yet shows it.

use std::collections::BTreeMap;
use std::ops::ControlFlow;

use drivers::{Batch, Card, Gentle, Plant, Ports};

use crate::trace::{pick, put};
use crate::{Error, Stimuli, Trace};

/// Stimuli of a setting that are driven together; the measurement can be ended after each batch.
const TOGETHER: usize = 100;

/// What a measurement tells and asks while it runs.
pub struct Watch<'a> {
    /// The bench's time in s; `None` takes the times of the plant's card, which is right for what is simulated or replayed.
    pub now: &'a mut dyn FnMut() -> Option<f64>,
    /// Told how many shots are done; may end the measurement.
    pub progress: &'a mut dyn FnMut(usize) -> ControlFlow<()>,
}

/// What a measurement goes on from, and who keeps what it takes.
pub struct Kept<'a> {
    /// Shots that were taken before with the same stimuli, from the first on.
    pub begun: Option<&'a Trace>,
    /// Told of every batch of shots, so that nothing is lost when the measurement is interrupted.
    pub keep: &'a mut dyn FnMut(&Trace) -> Result<(), Error>,
}

/// Measures `stimuli` on `plant`, each `repeats` times. `None` if the watcher ended it.
///
/// The plant is left as it was last driven: whoever opened it makes it safe.
pub fn measure(
    plant: &mut dyn Plant,
    stimuli: &Stimuli,
    repeats: usize,
    watch: &mut Watch<'_>,
) -> Result<Option<Trace>, Error> {
    let mut kept = Kept { begun: None, keep: &mut |_| Ok(()) };
    measure_on(plant, stimuli, repeats, watch, &mut kept)
}

/// The same, from where `kept` has begun.
pub fn measure_on(
    plant: &mut dyn Plant,
    stimuli: &Stimuli,
    repeats: usize,
    watch: &mut Watch<'_>,
    kept: &mut Kept<'_>,
) -> Result<Option<Trace>, Error> {
    // Settings are drawn anew each, further apart than a limit on steps may allow.
    let plant = &mut Gentle::new(plant);
    let card = plant.card().clone();
    let (groups, shots) = (stimuli.by_setting(), stimuli.inputs.rows() * repeats);
    let mut trace = Trace {
        provenance: BTreeMap::new(),
        settings: Batch::zeros(stimuli.settings.rows(), card.ports.control_count()),
        setting_of: Vec::with_capacity(shots),
        stimulus: Vec::with_capacity(shots),
        seconds: Vec::with_capacity(shots),
        inputs: Batch::zeros(shots, card.ports.input_count()),
        outputs: Batch::zeros(shots, card.ports.output_count()),
        card,
    };
    let (mut seconds, mut first) = (0.0, 0);
    let done = kept.begun.map_or(0, Trace::shots);
    for (setting, inputs) in &groups {
        let mut applied = trace.settings.columns() == 0;
        for batch in batches(inputs.rows(), repeats, trace.settings.columns() > 0) {
            let inputs = pick(inputs, &batch);
            let rows: Vec<usize> = (trace.stimulus.len()..trace.stimulus.len() + inputs.rows()).collect();
            if let Some(begun) = kept.begun.filter(|_| rows.last().is_some_and(|last| *last < done)) {
                take_over(&mut trace, begun, &rows, &inputs)?;
                seconds = trace.seconds.last().copied().unwrap_or(0.0);
                continue;
            }
            if !applied {
                let set = plant.apply(stimuli.settings.row(*setting as usize))?;
                put(&mut trace.settings, &[*setting as usize], &Batch::new(set.len().max(1), set)?);
                seconds += trace.card.timing.settle;
                applied = true;
            }
            let begun = (watch.now)().unwrap_or(seconds);
            let outputs = plant.measure(&inputs)?;
            let timing = trace.card.timing;
            seconds += timing.batch(inputs.rows());
            let ended = (watch.now)().unwrap_or(seconds);
            put(&mut trace.inputs, &rows, &inputs);
            put(&mut trace.outputs, &rows, &outputs);
            for (index, stimulus) in batch.iter().enumerate() {
                trace.setting_of.push(*setting);
                trace.stimulus.push((first + stimulus) as u32);
                let share = (index + 1) as f64 / inputs.rows() as f64;
                trace.seconds.push(begun + share * (ended - begun));
            }
            (kept.keep)(&trace.select(&rows))?;
            if (watch.progress)(trace.stimulus.len()).is_break() {
                return Ok(None);
            }
        }
        first += inputs.rows();
    }
    Ok(Some(trace))
}

/// Ports without their limits over time, which a trace does not keep: they decide the stimuli, and those are compared.
fn undosed(ports: &Ports) -> Ports {
    let mut ports = ports.clone();
    let banks = ports.inputs.iter_mut().chain(&mut ports.controls).chain(&mut ports.outputs);
    banks.for_each(|bank| bank.dose = drivers::BankDose::default());
    ports
}

/// Takes the shots `rows`, which drove `inputs`, from those that were taken before.
fn take_over(trace: &mut Trace, begun: &Trace, rows: &[usize], inputs: &Batch) -> Result<(), Error> {
    let other = || {
        Error::trace(
            "that was begun had other stimuli or another plant: give the options that it was begun with, or leave out --resume",
        )
    };
    let same = pick(&begun.inputs, rows) == *inputs && undosed(&begun.card.ports) == undosed(&trace.card.ports);
    if !same {
        return Err(other());
    }
    put(&mut trace.inputs, rows, inputs);
    put(&mut trace.outputs, rows, &pick(&begun.outputs, rows));
    for &row in rows {
        let setting = begun.setting_of[row];
        if trace.settings.columns() > 0 {
            put(&mut trace.settings, &[setting as usize], &pick(&begun.settings, &[setting as usize]));
        }
        trace.setting_of.push(setting);
        trace.stimulus.push(begun.stimulus[row]);
        trace.seconds.push(begun.seconds[row]);
    }
    Ok(())
}

/// Which of a setting's stimuli each batch drives.
fn batches(stimuli: usize, repeats: usize, controls: bool) -> Vec<Vec<usize>> {
    if controls {
        return vec![(0..stimuli).collect(); repeats];
    }
    let together = (TOGETHER / repeats.max(1)).max(1);
    let block =
        |first: usize| (first..(first + together).min(stimuli)).flat_map(|one| std::iter::repeat_n(one, repeats));
    (0..stimuli).step_by(together).map(|first| block(first).collect()).collect()
}

/// Bench time of a measurement by the timing on the plant's card, in s; `settings` says how many settings of the controls there are,
/// each of how many stimuli.
pub fn bench_seconds(card: &Card, settings: &[(usize, usize)], repeats: usize) -> f64 {
    let (controls, timing) = (card.ports.control_count() > 0, card.timing);
    let settle = if controls { timing.settle } else { 0.0 };
    let of_setting = |stimuli: usize| -> f64 {
        if controls {
            return repeats as f64 * timing.batch(stimuli);
        }
        let together = (TOGETHER / repeats.max(1)).max(1);
        let (whole, rest) = (stimuli / together, stimuli % together);
        let last = if rest == 0 { 0.0 } else { timing.batch(rest * repeats) };
        whole as f64 * timing.batch(together * repeats) + last
    };
    settings.iter().map(|(count, stimuli)| *count as f64 * (settle + of_setting(*stimuli))).sum()
}

#[cfg(test)]
mod tests {
    use sims::{Key, Optical, Simulated};

    use super::*;

    #[test]
    fn a_trace_holds_what_was_applied_and_when() {
        let bench = Optical::default().build().unwrap();
        let mut plant = Simulated::new(bench.system);
        let stimuli = Stimuli::smooth(plant.ports(), 40, 10, Key::new(1));
        let mut told = 0;
        let mut watch = Watch {
            now: &mut || None,
            progress: &mut |shots| {
                told = shots;
                ControlFlow::Continue(())
            },
        };
        let trace = measure(&mut plant, &stimuli, 3, &mut watch).unwrap().unwrap();
        assert_eq!((trace.shots(), told), (120, 120));
        assert_eq!(trace.averaged().trace.shots(), 40);
        // 4 settings of 0.3 s, 120 shots of 0.04 s.
        assert!((trace.seconds[119] - (4.0 * 0.3 + 120.0 * 0.04)).abs() < 1e-9);
        assert_ne!(trace.settings.values(), stimuli.settings.values(), "the shaper rounds");
        assert!((trace.seconds[119] - bench_seconds(&trace.card, &[(4, 10)], 3)).abs() < 1e-9);
        let stopped = measure(
            &mut plant,
            &stimuli,
            3,
            &mut Watch { now: &mut || None, progress: &mut |_| ControlFlow::Break(()) },
        );
        assert_eq!(stopped.unwrap(), None);
    }

    #[test]
    fn an_interrupted_measurement_goes_on_where_it_was() {
        let plant = || Simulated::new(Optical::default().build().unwrap().system);
        let stimuli = Stimuli::smooth(plant().ports(), 40, 10, Key::new(1));
        let mut whole = plant();
        let mut unwatched = Watch { now: &mut || None, progress: &mut |_| ControlFlow::Continue(()) };
        let expected = measure(&mut whole, &stimuli, 2, &mut unwatched).unwrap().unwrap();
        // It ends after three batches, in the middle of the second setting.
        let (mut interrupted, mut shots) = (plant(), Vec::new());
        let mut ends = Watch {
            now: &mut || None,
            progress: &mut |done| if done < 30 { ControlFlow::Continue(()) } else { ControlFlow::Break(()) },
        };
        let mut keep = |batch: &Trace| {
            shots.push(batch.clone());
            Ok(())
        };
        let ended = measure_on(&mut interrupted, &stimuli, 2, &mut ends, &mut Kept { begun: None, keep: &mut keep });
        assert!(ended.unwrap().is_none());
        let begun = expected.select(&(0..30).collect::<Vec<_>>());
        assert_eq!(shots.iter().map(Trace::shots).sum::<usize>(), 30);
        assert_eq!(shots[2].outputs.values(), pick(&begun.outputs, &(20..30).collect::<Vec<_>>()).values());
        let mut taken = 0;
        let mut keep = |batch: &Trace| {
            taken += batch.shots();
            Ok(())
        };
        let mut kept = Kept { begun: Some(&begun), keep: &mut keep };
        let resumed = measure_on(&mut interrupted, &stimuli, 2, &mut unwatched, &mut kept).unwrap().unwrap();
        assert_eq!(taken, 50);
        assert_eq!((resumed.shots(), &resumed.inputs, &resumed.settings), (80, &expected.inputs, &expected.settings));
        assert_eq!(resumed.stimulus, expected.stimulus);
        // The shots' noise goes by their number: only the second settling time makes a difference.
        let pairs = resumed.outputs.values().iter().zip(expected.outputs.values());
        assert!(pairs.map(|(a, b)| (a - b).abs()).fold(0.0, f32::max) < 0.02);
        let other = Stimuli::smooth(plant().ports(), 40, 10, Key::new(2));
        let mut kept = Kept { begun: Some(&begun), keep: &mut |_| Ok(()) };
        let refused = measure_on(&mut plant(), &other, 2, &mut unwatched, &mut kept).unwrap_err().to_string();
        assert!(refused.contains("had other stimuli"), "{refused}");
    }

    #[test]
    fn repeats_follow_one_another_where_nothing_has_to_settle() {
        let bench = sims::Electrical { samples: 64, ..sims::Electrical::default() }.build().unwrap();
        let mut plant = Simulated::new(bench.system);
        let stimuli = Stimuli::smooth(plant.ports(), 70, 10, Key::new(1));
        let mut batches = 0;
        let mut watch = Watch {
            now: &mut || None,
            progress: &mut |_| {
                batches += 1;
                ControlFlow::Continue(())
            },
        };
        let trace = measure(&mut plant, &stimuli, 2, &mut watch).unwrap().unwrap();
        assert_eq!((trace.shots(), batches), (140, 2));
        assert!((0..140).all(|shot| trace.stimulus[shot] as usize == shot / 2));
        assert_eq!(trace.inputs.row(138), trace.inputs.row(139));
        assert_ne!(trace.outputs.row(138), trace.outputs.row(139), "each is a shot of its own");
        assert!((trace.seconds[139] - bench_seconds(&trace.card, &[(1, 70)], 2)).abs() < 1e-9);
    }
}
