//! What is driven to learn how a plant answers.
//!
//! All keep what limits over time allow a shot: steps between neighbors, energy.
//! *White* stimuli have independent uniform values.
//! *Smooth* stimuli are those of the optical experiment of Wright et al., Nature 601, 549 (2022), after its surviving code
//! (`lp_xlist`): uniform numbers, averaged over `n` neighbors, stretched by √n about the middle, clipped. Here n differs from
//! stimulus to stimulus, from 1 (white) to [`WIDEST`], so that rough and smooth, dim and saturated all occur.
//! *Near* stimuli lie around shots that were already taken, such as those of a training.

use drivers::{Batch, Direction, Ports, Range};
use sims::{Key, Stream};

use crate::Trace;
use crate::trace::pick;

/// Neighbors in the widest average.
const WIDEST: f32 = 8.0;

/// Settings of the controls, and inputs for each of them.
#[derive(Debug, Clone, PartialEq)]
pub struct Stimuli {
    /// `[settings, controls]`.
    pub settings: Batch,
    /// Which setting each stimulus is for; those of one setting lie together.
    pub setting_of: Vec<u32>,
    /// `[stimuli, inputs]`.
    pub inputs: Batch,
}

impl Stimuli {
    /// `count` smooth random stimuli, `per_setting` for each smooth random setting of the controls.
    pub fn smooth(ports: &Ports, count: usize, per_setting: usize, key: Key) -> Self {
        let (mut to_settings, mut to_inputs) = (key.branch("settings").stream(), key.branch("inputs").stream());
        Self::new(ports, count, per_setting, |direction, row| {
            let stream = if direction == Direction::Control { &mut to_settings } else { &mut to_inputs };
            let mut rest = row;
            for bank in ports.banks(direction) {
                let (these, others) = rest.split_at_mut(bank.count);
                smooth(these, bank.range, stream);
                rest = others;
            }
        })
    }

    /// `count` white random stimuli, `per_setting` for each white random setting of the controls: every value independent and
    /// uniform over its range.
    pub fn white(ports: &Ports, count: usize, per_setting: usize, key: Key) -> Self {
        let (mut to_settings, mut to_inputs) = (key.branch("settings").stream(), key.branch("stimuli").stream());
        Self::new(ports, count, per_setting, |direction, row| {
            let stream = if direction == Direction::Control { &mut to_settings } else { &mut to_inputs };
            for (value, range) in row.iter_mut().zip(ports.ranges(direction)) {
                *value = range.at(stream.uniform());
            }
        })
    }

    /// `count` stimuli around the shots of `seen`: each a shot with normal noise of `spread` ranges on every port.
    pub fn near(ports: &Ports, seen: &Trace, [count, per_setting]: [usize; 2], spread: f32, key: Key) -> Self {
        let mut stream = key.branch("near").stream();
        Self::new(ports, count, per_setting, |direction, row| {
            let shot = stream.below(seen.shots());
            let center = if direction == Direction::Control { seen.controls(shot) } else { seen.inputs.row(shot) };
            for ((value, center), range) in row.iter_mut().zip(center).zip(ports.ranges(direction)) {
                *value = (center + spread * range.span() * stream.normal()).clamp(range.low, range.high);
            }
        })
    }

    fn new(ports: &Ports, count: usize, per_setting: usize, mut draw: impl FnMut(Direction, &mut [f32])) -> Self {
        let controls = ports.control_count();
        let per_setting = if controls == 0 { count.max(1) } else { per_setting.clamp(1, count.max(1)) };
        let mut settings = Batch::zeros(count.div_ceil(per_setting), controls);
        for row in settings.values_mut().chunks_exact_mut(controls.max(1)) {
            draw(Direction::Control, row);
        }
        let mut inputs = Batch::zeros(count, ports.input_count());
        for row in inputs.values_mut().chunks_exact_mut(ports.input_count().max(1)) {
            draw(Direction::Input, row);
            ports.moderate(row, 1.0);
        }
        Self { settings, setting_of: (0..count).map(|stimulus| (stimulus / per_setting) as u32).collect(), inputs }
    }

    /// These and then `others`.
    pub fn and(mut self, others: &Self) -> Self {
        let first = self.settings.rows() as u32;
        self.setting_of.extend(others.setting_of.iter().map(|setting| first + setting));
        self.settings = stacked(&self.settings, &others.settings);
        self.inputs = stacked(&self.inputs, &others.inputs);
        self
    }

    /// The stimuli of each setting.
    pub fn by_setting(&self) -> Vec<(u32, Batch)> {
        let of = |setting: u32| -> Vec<usize> {
            (0..self.setting_of.len()).filter(|&stimulus| self.setting_of[stimulus] == setting).collect()
        };
        // Those of one setting lie together: its first and last stimulus bound them.
        let mut groups: Vec<(u32, std::ops::Range<usize>)> = Vec::new();
        for (stimulus, &setting) in self.setting_of.iter().enumerate() {
            match groups.last_mut() {
                Some((last, range)) if *last == setting => range.end = stimulus + 1,
                _ => groups.push((setting, stimulus..stimulus + 1)),
            }
        }
        let whole = groups.len() == self.settings.rows();
        groups
            .into_iter()
            .map(|(setting, range)| (setting, pick(&self.inputs, &if whole { range.collect() } else { of(setting) })))
            .collect()
    }
}

/// One below the other.
fn stacked(above: &Batch, below: &Batch) -> Batch {
    let mut both = Batch::zeros(above.rows() + below.rows(), above.columns());
    both.values_mut()[..above.values().len()].copy_from_slice(above.values());
    both.values_mut()[above.values().len()..].copy_from_slice(below.values());
    both
}

/// A smooth random row over all of `range`.
fn smooth(row: &mut [f32], range: Range, stream: &mut Stream) {
    let width = (WIDEST.powf(stream.uniform()).round() as usize).clamp(1, row.len().max(1));
    let raw: Vec<f32> = (0..row.len() + width - 1).map(|_| stream.uniform() - 0.5).collect();
    let stretch = (width as f32).sqrt() / width as f32;
    for (index, value) in row.iter_mut().enumerate() {
        let sum: f32 = raw[index..index + width].iter().sum();
        let fraction = (0.5 + stretch * sum).clamp(0.0, 1.0);
        *value = range.at(fraction);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::trace::tests::{card, trace};

    #[test]
    fn white_stimuli_stay_in_range_and_fill_it() {
        let ports = card(40, 5, 1).ports;
        let stimuli = Stimuli::white(&ports, 100, 10, Key::new(1));
        assert_eq!((stimuli.settings.rows(), stimuli.inputs.rows()), (10, 100));
        for (direction, values) in [(Direction::Input, &stimuli.inputs), (Direction::Control, &stimuli.settings)] {
            assert!(values.iter().all(|row| ports.check(direction, row).is_ok()));
            let range = ports.ranges(direction)[0];
            let (low, high) = values.values().iter().fold((f32::MAX, f32::MIN), |(l, h), &v| (l.min(v), h.max(v)));
            assert!(low < range.low + 0.1 * range.span() && range.high - 0.1 * range.span() < high);
        }
        assert_eq!(stimuli, Stimuli::white(&ports, 100, 10, Key::new(1)));
        assert_ne!(stimuli, Stimuli::white(&ports, 100, 10, Key::new(2)));
    }

    #[test]
    fn smooth_stimuli_are_allowed_and_of_all_roughnesses() {
        let ports = card(40, 5, 1).ports;
        let stimuli = Stimuli::smooth(&ports, 1000, 50, Key::new(1));
        assert_eq!((stimuli.settings.rows(), stimuli.inputs.rows()), (20, 1000));
        assert!(stimuli.inputs.iter().all(|row| ports.check(Direction::Input, row).is_ok()));
        assert!(stimuli.settings.iter().all(|row| ports.check(Direction::Control, row).is_ok()));
        let roughness = |row: &[f32]| row.windows(2).map(|pair| (pair[1] - pair[0]).abs()).sum::<f32>() / 39.0;
        let rough: Vec<f32> = stimuli.inputs.iter().map(roughness).collect();
        assert!(rough.iter().any(|value| *value > 0.5) && rough.iter().any(|value| *value < 0.3));
        assert!(stimuli.inputs.values().contains(&1.0), "some are saturated");
        assert_eq!(stimuli, Stimuli::smooth(&ports, 1000, 50, Key::new(1)));
        assert_eq!(stimuli.by_setting().len(), 20);
        assert_eq!(stimuli.clone().and(&stimuli).by_setting().len(), 40);
    }

    #[test]
    fn near_stimuli_stay_near() {
        let seen = trace(card(3, 2, 1), [100, 1, 10], |x, _, _| vec![x[0]]);
        let ports = &seen.card.ports;
        let stimuli = Stimuli::near(ports, &seen, [200, 20], 0.01, Key::new(2));
        for row in &stimuli.inputs {
            let distance =
                |shot: usize| row.iter().zip(seen.inputs.row(shot)).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
            assert!((0..100).map(distance).fold(f32::MAX, f32::min) < 0.12);
        }
    }
}
