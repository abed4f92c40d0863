//! The measuring loop: every setting of the controls once, its stimuli in one batch, each batch as often as asked.

use std::collections::BTreeMap;
use std::ops::ControlFlow;

use drivers::{Batch, Plant};

use crate::trace::put;
use crate::{Error, Stimuli, Trace};

/// What a measurement tells and asks while it runs.
pub struct Watch<'a> {
    /// The bench's time in s; `None` takes the times of the plant's card, which is right for what is simulated or replayed.
    pub now: &'a mut dyn FnMut() -> Option<f64>,
    /// Told how many shots are done; may end the measurement.
    pub progress: &'a mut dyn FnMut(usize) -> ControlFlow<()>,
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
    for (setting, inputs) in &groups {
        if trace.settings.columns() > 0 {
            let applied = plant.apply(stimuli.settings.row(*setting as usize))?;
            let row = Batch::new(applied.len().max(1), applied)?;
            put(&mut trace.settings, &[*setting as usize], &row);
            seconds += trace.card.timing.settle;
        }
        for _ in 0..repeats {
            let begun = (watch.now)().unwrap_or(seconds);
            let outputs = plant.measure(inputs)?;
            let timing = trace.card.timing;
            seconds += timing.batch(inputs.rows());
            let ended = (watch.now)().unwrap_or(seconds);
            let rows: Vec<usize> = (trace.stimulus.len()..trace.stimulus.len() + inputs.rows()).collect();
            put(&mut trace.inputs, &rows, inputs);
            put(&mut trace.outputs, &rows, &outputs);
            for index in 0..inputs.rows() {
                trace.setting_of.push(*setting);
                trace.stimulus.push((first + index) as u32);
                let share = (index + 1) as f64 / inputs.rows() as f64;
                trace.seconds.push(begun + share * (ended - begun));
            }
            if (watch.progress)(trace.stimulus.len()).is_break() {
                return Ok(None);
            }
        }
        first += inputs.rows();
    }
    Ok(Some(trace))
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
        let stopped = measure(
            &mut plant,
            &stimuli,
            3,
            &mut Watch { now: &mut || None, progress: &mut |_| ControlFlow::Break(()) },
        );
        assert_eq!(stopped.unwrap(), None);
    }
}
