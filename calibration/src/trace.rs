//! A trace: shots as they were taken, with the plant's card and their provenance. Every fit is a pure function of one.
//!
//! Shapes: `settings` `[settings, controls]`, `inputs` `[shots, inputs]`, `outputs` `[shots, outputs]`, in the SI units of the
//! card. Shots of the same `stimulus` are repeats: equal inputs and controls.

use std::collections::BTreeMap;
use std::sync::Arc;

use drivers::{Batch, Card, Direction, Range};
use sims::{Key, Twin};

/// The system of a trace whose ranges are the data's own.
pub(crate) const RECORDED: &str = "recorded";

/// Shots as they were taken.
#[derive(Debug, Clone, PartialEq)]
pub struct Trace {
    /// Whose.
    pub card: Card,
    /// Where they come from: rig, plant, procedure, seed, version, time.
    pub provenance: BTreeMap<String, String>,
    /// The controls as they were applied.
    pub settings: Batch,
    /// Which of the settings each shot had.
    pub setting_of: Vec<u32>,
    /// Which stimulus each shot repeats.
    pub stimulus: Vec<u32>,
    /// When each shot was taken: bench time, in s.
    pub seconds: Vec<f64>,
    /// What was driven.
    pub inputs: Batch,
    /// What was read.
    pub outputs: Batch,
}

/// A trace with its repeats averaged.
#[derive(Debug, Clone)]
pub struct Averaged {
    /// One shot for each stimulus.
    pub trace: Trace,
    /// How often each was taken.
    pub repeats: Vec<u32>,
    /// Standard deviation of a single shot about the mean of its repeats, for each output; `None` without repeats.
    pub noise: Option<Vec<f64>>,
}

impl Trace {
    /// How many shots.
    pub fn shots(&self) -> usize {
        self.inputs.rows()
    }

    /// The controls of a shot.
    pub fn controls(&self, shot: usize) -> &[f32] {
        self.settings.row(self.setting_of[shot] as usize)
    }

    /// What the outputs' full scales are counted by: the ranges that the plant's card gives, or where the data is recorded without one,
    /// those of each output's own readings.
    pub fn output_ranges(&self) -> Vec<Range> {
        if self.card.identity.system != RECORDED {
            return self.card.ports.ranges(Direction::Output);
        }
        let range = |output: usize| {
            let column = self.outputs.iter().map(|row| row[output]);
            let (low, high) = column.fold((f32::MAX, f32::MIN), |(low, high), value| (low.min(value), high.max(value)));
            Range::new(low, high)
        };
        (0..self.outputs.columns()).map(range).collect()
    }

    /// What `twin` predicts for every shot.
    pub fn predict(&self, twin: &dyn Twin) -> Batch {
        self.map(|inputs, controls| twin.predict(inputs, controls))
    }

    /// What `twin` leaves of the readings; all of them where there is none.
    pub(crate) fn left(&self, twin: Option<&Arc<dyn Twin>>) -> Batch {
        self.less(twin.map(|twin| self.predict(&**twin)).as_ref())
    }

    /// The readings less what is `known` of them, `[shots, outputs]`.
    pub(crate) fn less(&self, known: Option<&Batch>) -> Batch {
        let Some(known) = known else { return self.outputs.clone() };
        Batch::from_fn(known.rows(), known.columns(), |row, port| self.outputs.row(row)[port] - known.row(row)[port])
    }

    /// What `of` makes of every shot, (inputs, controls) → `[shots, outputs]`, setting by setting.
    pub fn map(&self, of: impl Fn(&Batch, &[f32]) -> Batch) -> Batch {
        let mut outputs = Batch::zeros(self.shots(), self.outputs.columns());
        for (setting, shots) in self.by_setting().iter().enumerate().filter(|(_, shots)| !shots.is_empty()) {
            put(&mut outputs, shots, &of(&pick(&self.inputs, shots), self.settings.row(setting)));
        }
        outputs
    }

    /// The shots of each setting.
    pub fn by_setting(&self) -> Vec<Vec<usize>> {
        let mut groups = vec![Vec::new(); self.settings.rows()];
        for (shot, &setting) in self.setting_of.iter().enumerate() {
            groups[setting as usize].push(shot);
        }
        groups
    }

    /// Whether there are enough settings of the controls to hold whole ones out.
    fn by_settings(&self) -> bool {
        self.settings.columns() > 0 && self.settings.rows() >= 10
    }

    /// Which shots may err together: those of a setting of the controls, where whole ones are held out; else those of a stimulus.
    pub fn groups(&self) -> &[u32] {
        let several = self.setting_of.iter().any(|setting| *setting != self.setting_of[0]);
        if self.by_settings() && several { &self.setting_of } else { &self.stimulus }
    }

    /// The named shots, in their order.
    pub fn select(&self, shots: &[usize]) -> Self {
        Self {
            card: self.card.clone(),
            provenance: self.provenance.clone(),
            settings: self.settings.clone(),
            setting_of: shots.iter().map(|&shot| self.setting_of[shot]).collect(),
            stimulus: shots.iter().map(|&shot| self.stimulus[shot]).collect(),
            seconds: shots.iter().map(|&shot| self.seconds[shot]).collect(),
            inputs: pick(&self.inputs, shots),
            outputs: pick(&self.outputs, shots),
        }
    }

    /// These shots and then those of `other`, which is of the same plant. Stimuli are told apart, and settings, unless all are the same.
    pub fn followed_by(&self, other: &Self) -> Self {
        let same = self.settings == other.settings;
        let (settings, stimuli) = (
            if same { 0 } else { self.settings.rows() as u32 },
            self.stimulus.iter().max().map_or(0, |largest| largest + 1),
        );
        let counted = |first: &[u32], then: &[u32], from: u32| {
            first.iter().copied().chain(then.iter().map(|number| number + from)).collect::<Vec<_>>()
        };
        Self {
            card: self.card.clone(),
            provenance: self.provenance.clone(),
            settings: if same { self.settings.clone() } else { self.settings.followed_by(&other.settings) },
            setting_of: counted(&self.setting_of, &other.setting_of, settings),
            stimulus: counted(&self.stimulus, &other.stimulus, stimuli),
            seconds: self.seconds.iter().chain(&other.seconds).copied().collect(),
            inputs: self.inputs.followed_by(&other.inputs),
            outputs: self.outputs.followed_by(&other.outputs),
        }
    }

    /// At most `count` shots, evenly spread over the trace.
    pub fn thinned(&self, count: usize) -> Self {
        let shots = self.shots();
        let count = count.clamp(1, shots.max(1)).min(shots);
        let chosen: Vec<usize> = (0..count).map(|index| index * shots / count).collect();
        self.select(&chosen)
    }

    /// Training and held-out shots. Whole settings are held out where there are enough of them, else whole stimuli: what is
    /// held out was never seen.
    pub fn split(&self, held_out: f64, key: Key) -> (Self, Self) {
        let groups = self.shuffled(key);
        let count = ((groups.len() as f64 * held_out).round() as usize).clamp(1, groups.len().max(2) - 1);
        self.without(&groups[..count.min(groups.len())])
    }

    /// Each of `count` parts of the shots held out in turn, as [`split`](Self::split) does with one: training and held-out shots.
    pub(crate) fn folds(&self, count: usize, key: Key) -> Vec<(Self, Self)> {
        let groups = self.shuffled(key);
        let part = |first: usize| groups.iter().copied().skip(first).step_by(count).collect::<Vec<_>>();
        (0..count.min(groups.len())).map(|first| self.without(&part(first))).collect()
    }

    /// What each shot is held out with: its setting or its stimulus.
    fn held_with(&self) -> &[u32] {
        if self.by_settings() { &self.setting_of } else { &self.stimulus }
    }

    /// What is held out together, each once, in random order.
    fn shuffled(&self, key: Key) -> Vec<u32> {
        let mut groups: Vec<u32> = self.held_with().to_vec();
        groups.sort_unstable();
        groups.dedup();
        key.branch("held out").stream().shuffle(&mut groups);
        groups
    }

    /// The other shots, and those of `groups`.
    fn without(&self, groups: &[u32]) -> (Self, Self) {
        let held: std::collections::HashSet<u32> = groups.iter().copied().collect();
        let group_of = self.held_with();
        let (out, kept): (Vec<usize>, Vec<usize>) = (0..self.shots()).partition(|&shot| held.contains(&group_of[shot]));
        (self.select(&kept), self.select(&out))
    }

    /// One shot for each stimulus, the mean of its repeats.
    pub fn averaged(&self) -> Averaged {
        let mut first: BTreeMap<u32, Vec<usize>> = BTreeMap::new();
        for (shot, &stimulus) in self.stimulus.iter().enumerate() {
            first.entry(stimulus).or_default().push(shot);
        }
        let groups: Vec<Vec<usize>> = first.into_values().collect();
        let mut trace = self.select(&groups.iter().map(|group| group[0]).collect::<Vec<_>>());
        let columns = self.outputs.columns();
        let (mut squares, mut freedoms) = (vec![0.0; columns], 0.0);
        for (index, group) in groups.iter().enumerate() {
            let mean = mean_of(&self.outputs, group);
            for &shot in group {
                for ((sum, value), mean) in squares.iter_mut().zip(self.outputs.row(shot)).zip(&mean) {
                    *sum += (f64::from(*value) - mean).powi(2);
                }
            }
            freedoms += group.len() as f64 - 1.0;
            let row = &mut trace.outputs.values_mut()[index * columns..(index + 1) * columns];
            row.iter_mut().zip(&mean).for_each(|(value, mean)| *value = *mean as f32);
        }
        let noise = (freedoms > 0.0).then(|| squares.iter().map(|sum| (sum / freedoms).sqrt()).collect());
        Averaged { trace, repeats: groups.iter().map(|group| group.len() as u32).collect(), noise }
    }
}

/// The mean of some rows.
fn mean_of(batch: &Batch, rows: &[usize]) -> Vec<f64> {
    let mut mean = vec![0.0; batch.columns()];
    for &row in rows {
        mean.iter_mut().zip(batch.row(row)).for_each(|(sum, value)| *sum += f64::from(*value));
    }
    for sum in &mut mean {
        *sum /= rows.len() as f64;
    }
    mean
}

/// The named rows of `batch`.
pub(crate) fn pick(batch: &Batch, rows: &[usize]) -> Batch {
    let mut picked = Batch::zeros(rows.len(), batch.columns());
    let columns = batch.columns().max(1);
    for (to, &row) in picked.values_mut().chunks_exact_mut(columns).zip(rows) {
        to.copy_from_slice(batch.row(row));
    }
    picked
}

/// Puts the rows of `from` at `rows` of `to`.
pub(crate) fn put(to: &mut Batch, rows: &[usize], from: &Batch) {
    let columns = to.columns();
    for (&row, values) in rows.iter().zip(from) {
        to.values_mut()[row * columns..(row + 1) * columns].copy_from_slice(values);
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use drivers::{Bank, Identity, Origin, Ports, Range, Timing};

    use super::*;

    /// A card of banks `x`, `k`, `y` with the given counts, all within ±1.
    pub(crate) fn card(inputs: usize, controls: usize, outputs: usize) -> Card {
        let bank = |name: &str, count: usize| {
            if count == 0 { vec![] } else { vec![Bank::new(name, count, "V", Range::new(-1.0, 1.0))] }
        };
        Card {
            identity: Identity { system: "toy".into(), serial: "1".into(), origin: Origin::Simulated },
            ports: Ports { inputs: bank("x", inputs), controls: bank("k", controls), outputs: bank("y", outputs) },
            timing: Timing { settle: 0.1, latency: 0.01, shot: 0.001 },
        }
    }

    /// A trace of `stimuli` stimuli taken `repeats` times, `per_setting` stimuli with each of several controls; `read` gives the
    /// readings of (inputs, controls, shot).
    pub(crate) fn trace(
        card: Card,
        [stimuli, repeats, per_setting]: [usize; 3],
        read: impl Fn(&[f32], &[f32], usize) -> Vec<f32>,
    ) -> Trace {
        let mut stream = Key::new(5).stream();
        let ports = &card.ports;
        let settings =
            Batch::from_fn(stimuli.div_ceil(per_setting), ports.control_count(), |_, _| 2.0 * stream.uniform() - 1.0);
        let driven = Batch::from_fn(stimuli, ports.input_count(), |_, _| 2.0 * stream.uniform() - 1.0);
        let shots: Vec<usize> = (0..stimuli * repeats).map(|shot| shot / repeats).collect();
        let outputs: Vec<f32> = shots
            .iter()
            .enumerate()
            .flat_map(|(shot, &stimulus)| read(driven.row(stimulus), settings.row(stimulus / per_setting), shot))
            .collect();
        Trace {
            provenance: BTreeMap::from([("rig".to_owned(), "toys".to_owned())]),
            setting_of: shots.iter().map(|stimulus| (stimulus / per_setting) as u32).collect(),
            stimulus: shots.iter().map(|&stimulus| stimulus as u32).collect(),
            seconds: (0..shots.len()).map(|shot| 0.001 * shot as f64).collect(),
            inputs: pick(&driven, &shots),
            outputs: Batch::new(ports.output_count(), outputs).unwrap(),
            settings,
            card,
        }
    }

    #[test]
    fn repeats_are_averaged_and_their_scatter_is_the_noise() {
        let jitter = |shot: usize| if shot.is_multiple_of(2) { 0.1 } else { -0.1 };
        let trace = trace(card(2, 1, 1), [50, 2, 10], |x, k, shot| vec![x[0] + k[0] + jitter(shot)]);
        let averaged = trace.averaged();
        assert_eq!(averaged.trace.shots(), 50);
        for shot in 0..50 {
            let expected = averaged.trace.inputs.row(shot)[0] + averaged.trace.controls(shot)[0];
            assert!((averaged.trace.outputs.row(shot)[0] - expected).abs() < 1e-6);
        }
        // Two values 0.2 apart have a variance of 0.02.
        assert!((averaged.noise.unwrap()[0] - 0.02_f64.sqrt()).abs() < 1e-6);
    }

    #[test]
    fn what_is_held_out_is_never_seen() {
        let trace = trace(card(2, 1, 1), [200, 2, 10], |x, _, _| vec![x[0]]);
        let (kept, held) = trace.split(0.25, Key::new(1));
        assert_eq!((kept.shots(), held.shots()), (300, 100));
        assert!(held.setting_of.iter().all(|setting| !kept.setting_of.contains(setting)));
        assert_eq!(trace.thinned(7).shots(), 7);
        // Every shot is in one fold, a setting as a whole, also where the trace was put together again.
        let again = kept.followed_by(&held);
        assert_eq!((again.settings.rows(), again.controls(399)), (20, held.controls(99)));
        let folds = again.folds(5, Key::new(1));
        assert_eq!(folds.iter().map(|(_, held)| held.shots()).collect::<Vec<_>>(), [80; 5]);
        for (kept, held) in &folds {
            assert!(held.setting_of.iter().all(|setting| !kept.setting_of.contains(setting)));
        }
    }
}
