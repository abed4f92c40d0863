//! What a training will cost, before it starts: shots, bench time, disk; and the first batches held against every limit.

use std::collections::BTreeMap;
use std::path::Path;

use serde::Serialize;

use crate::Error;
use crate::control::Budget;
use crate::data::Dataset;
use crate::network::{LayerConfig, Network, StatisticsRule};
use crate::output::{bytes, duration};
use crate::plants::{Forward, Lab, Rig};
use crate::training::{EVALUATION_BATCH, Experiment, Method, TrainingConfig, upkeep};

/// Bytes of one row of `metrics.csv`, and of what else each test leaves, as measured on the built-in experiments.
const STEP_BYTES: u64 = 170;
const TEST_BYTES: u64 = 400;
/// Figures, configurations, `run.json`.
const FIXED_BYTES: u64 = 1_000_000;
/// The weights at the end, and two checkpoints with three matrices for each weight.
const COPIES_OF_WEIGHTS: u64 = 1 + 2 * 3;

/// Whether there are none.
#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes by reference")]
fn is_none(count: &u64) -> bool {
    *count == 0
}

/// What a training will cost.
#[derive(Debug, Clone, PartialEq, Default, Serialize)]
pub struct Plan {
    /// Updates.
    pub steps: usize,
    /// How often something is tried on the plant: the validation set, at the end the test set too.
    pub tests: usize,
    /// Shots on the plants, those of tests included.
    pub shots: u64,
    /// Bench time by the timing on the plants' cards, in s.
    pub plant_seconds: f64,
    /// How long limits on duty and energy make it wait besides, in s, if it goes on driving as it does at first.
    pub waiting_seconds: f64,
    /// The same if it drives with its whole range, which training may come to; in s.
    pub most_waiting_seconds: f64,
    /// Shots that come to it at most where a guard measures every suspicious one again and again.
    #[serde(skip_serializing_if = "is_none")]
    pub most_again_shots: u64,
    /// About what derivatives take in memory while the longest rollout is gone back through, in bytes; 0 where nothing is rolled.
    #[serde(skip_serializing_if = "is_none")]
    pub memory_bytes: u64,
    /// What the record will take, in bytes.
    pub record_bytes: u64,
    /// What is free where it goes, in bytes; none where that cannot be told.
    pub free_bytes: Option<u64>,
    /// Of each plant: shots, and bench time by its card, in s.
    #[serde(skip)]
    pub driven: BTreeMap<String, (u64, f64)>,
}

impl Plan {
    /// Of one training, into a folder below `runs`.
    pub fn new(
        experiment: &Experiment,
        method: Method,
        (data, network): (&Dataset, &Network),
        lab: &Lab,
        runs: &Path,
    ) -> Self {
        let training = &experiment.training;
        let (steps, every) = (training.steps, training.evaluate_every);
        let tests = steps.checked_div(every).unwrap_or(0) + usize::from(every == 0 || !steps.is_multiple_of(every));
        let mut plan = Self { steps, tests, ..Self::default() };
        let (batch, weights) = (training.batch.min(data.train.len()), network.weight_count());
        plan.memory_bytes = network.rollout_bytes(batch).filter(|_| method.needs_twin()).unwrap_or_default();
        // Each cell of each step of a rollout is a shot, and each frame of a sequence; what moves a generator is run once for each frame but
        // the first.
        let frames = experiment.motion.as_ref().map_or(1, |motion| motion.frames);
        let own = match data.cells() {
            Some(lattice) => (lattice.cells(), lattice.rollouts(steps), lattice.tested()),
            None => (1, steps * (frames - 1).max(1), (frames - 1).max(1) * method.passes_of_a_test(data.meaning.len())),
        };
        let physical = experiment.layers.iter().enumerate().filter_map(|(index, layer)| {
            let LayerConfig::Physical(layer) = layer else { return None };
            Some((&layer.plant, &experiment.layers[index..], own))
        });
        let moved = experiment.motion.iter().flat_map(|motion| &motion.drives);
        let moved = moved.map(|plant| (plant, &experiment.layers[..0], (frames, steps, 1)));
        let mut shot_bytes = 0;
        let mut driven: BTreeMap<usize, (u64, f64)> = BTreeMap::new();
        for (plant, layers, (cells, rolled, tested)) in physical.chain(moved) {
            let Some(place) = lab.find(plant) else { continue };
            let (timing, ports) = (lab.card(place).timing, &lab.card(place).ports);
            let settle = if ports.control_count() == 0 { 0.0 } else { timing.settle };
            let pass = |shots: usize| settle + timing.batch(shots);
            let (mut shots, mut seconds) = (0, 0.0);
            let passes = rolled * method.plant_passes(training, weights);
            shots += passes * batch * cells;
            seconds += passes as f64 * pass(batch * cells);
            // The test set is met at the end; in its place without a validation set, each time.
            let (validation, test) = (data.validation.len(), data.test.len());
            let mut tried = if validation == 0 { vec![(tests, test)] } else { vec![(tests, validation), (1, test)] };
            tried.extend(statistics(layers, (method, training), (data.train.len(), tests)));
            for (times, rows) in tried {
                let rest = rows % EVALUATION_BATCH;
                let whole = (rows / EVALUATION_BATCH) as f64 * pass(EVALUATION_BATCH * cells);
                let each = whole + if rest == 0 { 0.0 } else { pass(rest * cells) };
                seconds += (times * tested) as f64 * each;
                shots += times * tested * rows * cells;
            }
            if let Some(guard) = experiment.guard.as_ref().filter(|_| 0 < passes) {
                plan.most_again_shots += (guard.again() * passes * batch) as u64;
                // Each false alarm is one shot more, and nearly always only one.
                let expected = guard.false_alarms * (passes * batch) as f64;
                let again = if 0 < guard.again() { expected.ceil() as usize } else { 0 };
                let first = if driven.contains_key(&place) { 0 } else { guard.calibration_shots() };
                shots += first + again;
                seconds += timing.batch(first) + again as f64 * pass(1);
            }
            let sum = driven.entry(place).or_default();
            *sum = (sum.0 + shots as u64, sum.1 + seconds);
            // Number, two times, setting; inputs and outputs. Controls once a batch.
            shot_bytes += shots as u64 * (32 + 4 * (ports.input_count() + ports.output_count())) as u64;
            shot_bytes += (passes + tests) as u64 * 4 * ports.control_count() as u64;
        }
        for (place, (shots, seconds)) in driven {
            let knows_noise = lab.fit(place).is_some_and(|fit| fit.fit.noise.is_some());
            let looked_after = (lab.card(place), knows_noise);
            let (more, longer) = upkeep::cost(training, method, (data.train.len(), shots), looked_after);
            let (shots, seconds) = (shots + more, seconds + longer);
            (plan.shots, plan.plant_seconds) = (plan.shots + shots, plan.plant_seconds + seconds);
            plan.driven.insert(lab.names()[place].to_owned(), (shots, seconds));
            let (like_first, most) = lab.paced_seconds(place, shots);
            plan.waiting_seconds += (like_first - seconds).max(0.0);
            plan.most_waiting_seconds += (most - seconds).max(0.0);
        }
        plan.record_bytes = FIXED_BYTES
            + steps as u64 * STEP_BYTES
            + tests as u64 * TEST_BYTES
            + 4 * weights as u64 * COPIES_OF_WEIGHTS
            // Compressed they take less, by how much nobody knows before.
            + experiment.run.record.one_in().ok().flatten().map_or(0, |one_in| shot_bytes / one_in);
        plan.free_bytes = free_bytes(runs);
        plan
    }

    /// What is left of it when `done` of its steps need not be done again.
    pub fn rest_after(&self, done: usize) -> Self {
        let share = self.steps.saturating_sub(done) as f64 / self.steps.max(1) as f64;
        let part = |whole: u64| (share * whole as f64).ceil() as u64;
        Self {
            steps: self.steps.saturating_sub(done),
            tests: part(self.tests as u64) as usize,
            shots: part(self.shots),
            plant_seconds: share * self.plant_seconds,
            waiting_seconds: share * self.waiting_seconds,
            most_waiting_seconds: share * self.most_waiting_seconds,
            most_again_shots: part(self.most_again_shots),
            memory_bytes: self.memory_bytes,
            record_bytes: part(self.record_bytes),
            free_bytes: self.free_bytes,
            driven: self
                .driven
                .iter()
                .map(|(plant, (shots, seconds))| (plant.clone(), (part(*shots), share * seconds)))
                .collect(),
        }
    }

    /// This and `times` trainings of another plan.
    pub fn and(self, times: usize, other: &Self) -> Self {
        let many = times as u64;
        Self {
            steps: self.steps + times * other.steps,
            tests: self.tests + times * other.tests,
            shots: self.shots + many * other.shots,
            plant_seconds: self.plant_seconds + times as f64 * other.plant_seconds,
            waiting_seconds: self.waiting_seconds + times as f64 * other.waiting_seconds,
            most_waiting_seconds: self.most_waiting_seconds + times as f64 * other.most_waiting_seconds,
            most_again_shots: self.most_again_shots + many * other.most_again_shots,
            memory_bytes: self.memory_bytes.max(other.memory_bytes),
            record_bytes: self.record_bytes + many * other.record_bytes,
            free_bytes: other.free_bytes,
            driven: other.driven.iter().fold(self.driven, |mut driven, (plant, (shots, seconds))| {
                let sum = driven.entry(plant.clone()).or_default();
                *sum = (sum.0 + many * shots, sum.1 + times as f64 * seconds);
                driven
            }),
        }
    }

    /// The plan as the run's budget.
    pub fn budget(&self) -> Budget {
        Budget {
            shots: self.shots,
            plant_seconds: self.plant_seconds,
            record_bytes: self.record_bytes,
            ..Budget::default()
        }
    }

    /// Refuses more shots than a plant of the rig may be driven with, and a record that does not fit on the disk.
    pub fn check(&self, runs: &Path, rig: &Rig) -> Result<(), Error> {
        self.driven.iter().try_for_each(|(plant, (shots, _))| rig.refuse_shots(plant, *shots))?;
        match self.free_bytes {
            Some(free) if free < self.record_bytes => Err(Error::Record {
                path: runs.to_owned(),
                message: format!(
                    "has {} free, but the record takes {}: free the disk, choose another folder with --runs, or leave \
                     --record out where it is given",
                    bytes(free),
                    bytes(self.record_bytes)
                ),
            }),
            _ => Ok(()),
        }
    }
}

impl std::fmt::Display for Plan {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "{} steps, {} test{}: {} shots, {} of bench time, {} on disk",
            self.steps,
            self.tests,
            if self.tests == 1 { "" } else { "s" },
            self.shots,
            duration(self.plant_seconds),
            bytes(self.record_bytes)
        )?;
        if 0 < self.memory_bytes {
            write!(f, ", about {} of memory", bytes(self.memory_bytes))?;
        }
        if 0 < self.most_again_shots {
            write!(f, ", and at most {} shots more where the guard measures again", self.most_again_shots)?;
        }
        waiting(f, self.waiting_seconds)?;
        if self.waiting_seconds < self.most_waiting_seconds {
            let like_first = if 0.0 < self.waiting_seconds { " if it drives as at first" } else { "" };
            let most = duration(self.most_waiting_seconds);
            write!(f, "{like_first}, and at most {most} of waiting if it drives with its whole range")?;
        }
        self.free_bytes.map_or(Ok(()), |free| write!(f, " ({} free)", bytes(free)))
    }
}

/// How often, and with how many shots, the statistics of these layers are measured on a plant before them.
fn statistics(
    layers: &[LayerConfig],
    (method, training): (Method, &TrainingConfig),
    (rows, tests): (usize, usize),
) -> Vec<(usize, usize)> {
    let normalizing = || {
        layers.iter().filter_map(|layer| if let LayerConfig::Normalize(config) = layer { Some(config) } else { None })
    };
    let on_plant = usize::from(method.forward() == Forward::Plant);
    let mut times: BTreeMap<&str, (usize, usize)> = BTreeMap::new();
    // Layers that are measured at the same time are measured on the same shots.
    let mut add = |when, count: usize, samples: usize| {
        let entry = times.entry(when).or_default();
        *entry = (entry.0.max(count), entry.1.max(samples));
    };
    for config in normalizing() {
        let samples = config.samples_of(rows);
        match (config.statistics, config.freeze_after) {
            (StatisticsRule::Population, None) => add("tests", tests, samples),
            (StatisticsRule::Population, Some(after)) => {
                add("tests", after.checked_div(training.evaluate_every).unwrap_or(0).min(tests), samples);
                add("frozen later", on_plant, samples);
            }
            (StatisticsRule::Frozen, _) => add("frozen", on_plant, samples),
            (StatisticsRule::Batch | StatisticsRule::Moving | StatisticsRule::Ghost, _) => {}
        }
    }
    times.into_values().collect()
}

/// How long limits over time make something wait, where they do.
pub fn waiting(f: &mut std::fmt::Formatter<'_>, seconds: f64) -> std::fmt::Result {
    if seconds <= 0.0 {
        return Ok(());
    }
    write!(f, ", and {} of waiting for its limits over time", duration(seconds))
}

/// What is free where `folder` is or will be, for this user.
pub fn free_bytes(folder: &Path) -> Option<u64> {
    let whole = std::path::absolute(folder).ok()?;
    let existing = whole.ancestors().find(|folder| folder.is_dir())?;
    let disk = rustix::fs::statvfs(existing).ok()?;
    Some(disk.f_bavail * disk.f_frsize)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_and_sizes_are_written_as_people_read_them() {
        assert_eq!([0.04, 59.6, 200.0, 7500.0].map(duration), ["0.0 s", "1 min 00 s", "3 min 20 s", "2 h 05 min"]);
        assert_eq!([999, 1500, 2_500_000, 3_000_000_000].map(bytes), ["999 B", "1.5 kB", "2.5 MB", "3.0 GB"]);
        assert!(free_bytes(Path::new("not/there/yet")).is_some());
    }
}
