//! When the inputs are triggered, and what they record then.

use super::board::SimulatedRedPitaya;
use super::channel::Wait;
use super::data_sheet::{BUFFER, CLOCK_HERTZ};

/// Samples that are asked for: of an input, from a sample after the trigger of the generator on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Window {
    channel: usize,
    start: i64,
    count: usize,
    decimation: i64,
}

/// What was read in one go: an input is read once, whoever looks at it.
type Seen = Vec<(Window, Vec<f32>)>;

impl SimulatedRedPitaya {
    /// Records at each input whose trigger has come. `fired` tells which outputs are triggered at this moment.
    pub(super) fn look(&mut self, fired: [bool; 2]) {
        let mut seen = Seen::new();
        for index in 0..self.channels.len() {
            let channel = &self.channels[index];
            let (size, after, decimation) = channel.plan();
            let before = size - after;
            let window = Window { channel: index, start: -(before as i64), count: size, decimation };
            let samples = match channel.wait() {
                Wait::Never => continue,
                Wait::Generator if !fired.contains(&true) => continue,
                Wait::Generator | Wait::Now => self.read(window, fired, &mut seen),
                Wait::Edge { channel, rises } => {
                    let longer = Window { count: size + BUFFER, ..window };
                    let watched = self.read(Window { channel, ..longer }, fired, &mut seen);
                    let level = self.channels[channel].level as f32;
                    let crosses = |pair: &[f32]| {
                        if rises { pair[0] < level && level <= pair[1] } else { level < pair[0] && pair[1] <= level }
                    };
                    let found = watched.windows(2).skip(before.saturating_sub(1)).position(crosses);
                    // The trigger is at the second sample of the pair.
                    let offset = found.map(|offset| offset + usize::from(before == 0));
                    let Some(offset) = offset.filter(|offset| offset + size <= watched.len()) else { continue };
                    self.read(longer, fired, &mut seen).into_iter().skip(offset).take(size).collect()
                }
            };
            let channel = &mut self.channels[index];
            let ring = if channel.deep.is_enabled { &mut channel.deep.ring } else { &mut channel.ring };
            ring.store(samples, after);
            (channel.trigger, channel.is_started) = (0, false);
        }
        // Where nothing is recorded, the bench is driven all the same.
        if fired[0] && !seen.iter().any(|(window, _)| window.channel == 0) {
            let mut world = self.world();
            world.disarm();
            world.fire();
        }
    }

    fn read(&mut self, window: Window, fired: [bool; 2], seen: &mut Seen) -> Vec<f32> {
        if let Some((_, samples)) = seen.iter().find(|(known, _)| *known == window) {
            return samples.clone();
        }
        let source = &self.sources[window.channel];
        let rate = CLOCK_HERTZ / window.decimation as f64;
        let plays = fired[window.channel];
        let gives = |index: usize| source.at(window.start + index as i64, rate, plays);
        let samples = if window.channel == 1 {
            (0..window.count).map(|index| if source.is_on { gives(index) } else { 0.0 }).collect()
        } else {
            // Around a burst, the bench is at rest.
            let start = if source.is_burst && plays { (-window.start).max(0) as usize } else { 0 };
            let end = if source.is_burst && plays {
                (start + source.burst_samples(rate)).min(window.count)
            } else {
                window.count
            };
            let drive = (start..end).map(gives).collect();
            let mut samples = vec![0.0; window.count];
            let record = self.through_bench(drive);
            for (sample, reading) in samples[start.min(window.count)..].iter_mut().zip(record) {
                *sample = reading;
            }
            samples
        };
        seen.push((window, samples.clone()));
        samples
    }

    /// What the bench answers to what output 1 gives.
    fn through_bench(&self, drive: Vec<f32>) -> Vec<f32> {
        let mut world = self.world();
        world.load(drive);
        world.arm();
        world.fire();
        world.record().to_vec()
    }
}
