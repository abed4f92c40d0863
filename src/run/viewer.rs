//! The last shots of each plant, for whoever watches: copied only while somebody does, and at most ten times a second.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, UNIX_EPOCH};

use calibration::Agreement;
use drivers::{Bank, Batch, Card, LinkReport, LinkWatch, Rejections};
use sims::Twin;

use super::{BankStatus, CalibrationStatus, LinkStatus, PlantStatus, unix_seconds};
use crate::lab::Meter;

/// Between two copies of a plant's shots.
const COPY_EVERY: Duration = Duration::from_millis(100);
/// Between two comparisons of a plant with its twin.
const COMPARE_EVERY: Duration = Duration::from_secs(1);
/// Shots of a batch that are copied: enough to compare plant and twin, few enough to cost nothing.
const COPIED_SHOTS: usize = 16;

/// What a plant was last asked, and what it answered.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Shots {
    /// `[shots, inputs]`: the last of the batch.
    pub inputs: Batch,
    /// The controls that were asked for.
    pub set_points: Vec<f32>,
    /// The controls that were applied.
    pub applied: Vec<f32>,
    /// `[shots, outputs]`: the readings.
    pub outputs: Batch,
}

impl Shots {
    /// The last rows of a batch.
    pub fn last(controls: &[f32], inputs: &Batch, applied: &[f32], outputs: &Batch) -> Self {
        let last = |batch: &Batch| {
            let first = batch.rows().saturating_sub(COPIED_SHOTS);
            Batch::from_fn(batch.rows() - first, batch.columns(), |row, column| batch.row(first + row)[column])
        };
        Self { inputs: last(inputs), set_points: controls.to_vec(), applied: applied.to_vec(), outputs: last(outputs) }
    }
}

/// RMS difference of `twin` and plant over `shots`, as a fraction of the standard deviation of the readings.
pub fn twin_residual(twin: &dyn Twin, shots: &Shots) -> Option<f64> {
    let predicted = twin.predict(&shots.inputs, &shots.applied);
    let residual = Agreement::between(&shots.outputs, &predicted).relative_error();
    residual.is_finite().then_some(residual)
}

/// A link as it is now.
fn link_status(link: &LinkWatch) -> LinkStatus {
    let report = link.report();
    let answered = report.answered.and_then(|time| time.duration_since(UNIX_EPOCH).ok());
    LinkStatus {
        instrument: report.instrument,
        address: report.address,
        state: report.state.to_string(),
        reconnects: report.reconnects,
        latency_p50_seconds: report.latency_p50.map(|latency| latency.as_secs_f64()),
        latency_p99_seconds: report.latency_p99.map(|latency| latency.as_secs_f64()),
        answered_unix_seconds: answered.map(|time| time.as_secs_f64()),
        owner: report.owner,
    }
}

/// What is known of one plant.
struct Seen {
    name: String,
    card: Card,
    twin: Mutex<Arc<dyn Twin>>,
    shots_taken: AtomicU64,
    plant_seconds: AtomicU64,
    /// Nanoseconds since the viewer began: last driven, last copied.
    driven: AtomicU64,
    copied: AtomicU64,
    last: Mutex<Last>,
}

#[derive(Default)]
struct Last {
    shots: Option<Shots>,
    /// When plant and twin were compared, and what came out.
    residual: Option<(Instant, Option<f64>)>,
    links: Vec<LinkWatch>,
    rejections: Rejections,
    calibration: Option<CalibrationStatus>,
}

/// What the wires of one plant have been through.
#[derive(Debug, Clone, PartialEq)]
pub struct Wires {
    /// Its name in the rig.
    pub plant: String,
    /// `real`, `simulated` or `replayed`.
    pub backend: String,
    /// Its links.
    pub links: Vec<LinkReport>,
    /// Shots that were rejected, by reason: by its limits, interlocks and screen, and on its links.
    pub rejected: BTreeMap<&'static str, u64>,
}

/// The last shots of each plant, for whoever watches.
pub struct Viewer {
    plants: Vec<Seen>,
    watchers: AtomicUsize,
    began: Instant,
    began_unix_seconds: f64,
}

impl std::fmt::Debug for Viewer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Viewer").field("watchers", &self.watchers).finish_non_exhaustive()
    }
}

impl Viewer {
    /// Of plants by name, each with the twin that it is compared with.
    pub fn new(plants: Vec<(String, Card, Arc<dyn Twin>)>) -> Self {
        let seen = |(name, card, twin)| Seen {
            name,
            card,
            twin: Mutex::new(twin),
            shots_taken: AtomicU64::new(0),
            plant_seconds: AtomicU64::new(0),
            driven: AtomicU64::new(0),
            copied: AtomicU64::new(0),
            last: Mutex::default(),
        };
        let plants = plants.into_iter().map(seen).collect();
        Self { plants, watchers: AtomicUsize::new(0), began: Instant::now(), began_unix_seconds: unix_seconds() }
    }

    /// From now on the plant at `place` is compared with `twin`.
    pub fn replace_twin(&self, place: usize, twin: Arc<dyn Twin>) {
        if let Some(seen) = self.plants.get(place) {
            *seen.twin.lock().unwrap_or_else(PoisonError::into_inner) = twin;
        }
    }

    /// Somebody watches until what is returned is dropped.
    pub fn watch(self: &Arc<Self>) -> Watching {
        self.watchers.fetch_add(1, Relaxed);
        Watching(self.clone())
    }

    /// The next shots of each plant are copied, however soon they come.
    pub fn look_closely(&self) {
        self.plants.iter().for_each(|seen| seen.copied.store(0, Relaxed));
    }

    /// The plant at `place` was driven; `shots` are asked for only if they are wanted.
    pub fn see(&self, place: usize, meter: Meter, shots: impl FnOnce() -> Shots) {
        self.see_at(self.began.elapsed(), place, meter, shots);
    }

    /// The same, so long after the viewer began.
    fn see_at(&self, time: Duration, place: usize, meter: Meter, shots: impl FnOnce() -> Shots) {
        let Some(seen) = self.plants.get(place) else { return };
        seen.shots_taken.store(meter.shots, Relaxed);
        seen.plant_seconds.store(meter.plant_seconds.to_bits(), Relaxed);
        let now = time.as_nanos() as u64 + 1;
        seen.driven.store(now, Relaxed);
        if self.watchers.load(Relaxed) == 0 {
            return;
        }
        let before = seen.copied.load(Relaxed);
        if before == 0 || u128::from(now - before) >= COPY_EVERY.as_nanos() {
            seen.copied.store(now, Relaxed);
            seen.lock().shots = Some(shots());
        }
    }

    /// The links of the plant called `name`, and where its shots are counted that are rejected.
    pub fn set_links(&self, name: &str, links: Vec<LinkWatch>, rejections: Rejections) {
        if let Some(seen) = self.plants.iter().find(|seen| seen.name == name) {
            let mut last = seen.lock();
            (last.links, last.rejections) = (links, rejections);
        }
    }

    /// What the links of each plant say, and the shots that were rejected, by reason.
    pub fn wires(&self) -> Vec<Wires> {
        let wires = |seen: &Seen| {
            let (links, mut rejected) = {
                let last = seen.lock();
                (last.links.clone(), last.rejections.by_reason())
            };
            let links: Vec<LinkReport> = links.iter().map(LinkWatch::report).collect();
            for (reason, shots) in links.iter().flat_map(|link| &link.rejected) {
                *rejected.entry(reason).or_default() += shots;
            }
            Wires { plant: seen.name.clone(), backend: seen.card.identity.origin.to_string(), links, rejected }
        };
        self.plants.iter().map(wires).collect()
    }

    /// The fit behind the twin of the plant called `name`.
    pub fn set_calibration(&self, name: &str, calibration: Option<CalibrationStatus>) {
        if let Some(seen) = self.plants.iter().find(|seen| seen.name == name) {
            seen.lock().calibration = calibration;
        }
    }

    /// Why the fit behind the twin of the plant called `name` should be made again; a nominal twin has none.
    pub fn calibration_due(&self, name: &str, why: &str) {
        if let Some(seen) = self.plants.iter().find(|seen| seen.name == name)
            && let Some(calibration) = &mut seen.lock().calibration
        {
            why.clone_into(&mut calibration.due);
        }
    }

    /// Compares each plant with its twin on its last shots, now: the largest difference.
    pub fn compare(&self) -> Option<f64> {
        for seen in &self.plants {
            seen.lock().residual = None;
        }
        self.plants.iter().filter_map(Seen::residual).reduce(f64::max)
    }

    /// The last shots of each plant with what its twin predicts, as a table for figures: plant, bank, unit, shot, port, plant, twin.
    pub fn reference(&self, shots: usize) -> String {
        let mut table = "plant,bank,unit,shot,port,plant_value,twin_value\n".to_owned();
        for seen in &self.plants {
            let Some(last) = seen.lock().shots.clone() else { continue };
            let predicted = seen.twin().predict(&last.inputs, &last.applied);
            for shot in 0..shots.min(last.outputs.rows()) {
                let row = last.outputs.rows() - 1 - shot;
                let mut values = last.outputs.row(row).iter().zip(predicted.row(row));
                for bank in &seen.card.ports.outputs {
                    for (port, (plant, twin)) in values.by_ref().take(bank.count).enumerate() {
                        // Writing to a string cannot fail.
                        let _ =
                            writeln!(table, "{},{},{},{shot},{port},{plant},{twin}", seen.name, bank.name, bank.unit);
                    }
                }
            }
        }
        table
    }

    /// All plants, and the largest difference between a plant and its twin.
    pub fn status(&self) -> (Vec<PlantStatus>, Option<f64>) {
        let residuals = self.plants.iter().filter_map(Seen::residual);
        let worst = residuals.fold(None, |worst: Option<f64>, one| Some(worst.map_or(one, |worst| worst.max(one))));
        (self.plants.iter().map(|seen| self.plant_status(seen)).collect(), worst)
    }

    fn plant_status(&self, seen: &Seen) -> PlantStatus {
        let last = seen.lock();
        let ports = &seen.card.ports;
        let end = |batch: &Batch| batch.rows().checked_sub(1).map_or_else(Vec::new, |row| batch.row(row).to_vec());
        let (inputs, set_points, applied, outputs) = match &last.shots {
            Some(shots) => (end(&shots.inputs), shots.set_points.clone(), shots.applied.clone(), end(&shots.outputs)),
            None => Default::default(),
        };
        let driven = seen.driven.load(Relaxed);
        PlantStatus {
            plant: seen.name.clone(),
            system: seen.card.identity.system.clone(),
            serial: seen.card.identity.serial.clone(),
            origin: seen.card.identity.origin.to_string(),
            shots: seen.shots_taken.load(Relaxed),
            plant_seconds: f64::from_bits(seen.plant_seconds.load(Relaxed)),
            driven_unix_seconds: (driven > 0).then_some(self.began_unix_seconds + driven as f64 * 1e-9),
            inputs: banks(&ports.inputs, &inputs, &[]),
            controls: banks(&ports.controls, &applied, &set_points),
            outputs: banks(&ports.outputs, &outputs, &[]),
            links: last.links.iter().map(link_status).collect(),
            calibration: last.calibration.clone(),
        }
    }
}

impl Seen {
    fn lock(&self) -> MutexGuard<'_, Last> {
        self.last.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn twin(&self) -> Arc<dyn Twin> {
        self.twin.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Compares plant and twin now and then, on the thread of whoever asks.
    fn residual(&self) -> Option<f64> {
        let mut last = self.lock();
        if let Some((when, residual)) = last.residual
            && when.elapsed() < COMPARE_EVERY
        {
            return residual;
        }
        let shots = last.shots.clone()?;
        last.residual = Some((Instant::now(), last.residual.and_then(|(_, residual)| residual)));
        drop(last);
        let residual = twin_residual(&*self.twin(), &shots);
        self.lock().residual = Some((Instant::now(), residual));
        residual
    }
}

/// Somebody watches.
pub struct Watching(Arc<Viewer>);

impl Drop for Watching {
    fn drop(&mut self) {
        self.0.watchers.fetch_sub(1, Relaxed);
    }
}

/// Values bank by bank; none before the first shot.
fn banks(banks: &[Bank], values: &[f32], set_points: &[f32]) -> Vec<BankStatus> {
    let mut at = 0;
    let part = |values: &[f32], at: usize, count: usize| values.get(at..at + count).unwrap_or_default().to_vec();
    banks
        .iter()
        .map(|bank| {
            let status = BankStatus {
                bank: bank.name.clone(),
                unit: bank.unit.clone(),
                low: bank.range.low,
                high: bank.range.high,
                set_points: part(set_points, at, bank.count),
                values: part(values, at, bank.count),
            };
            at += bank.count;
            status
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use sims::Electrical;

    #[test]
    fn shots_are_copied_only_for_a_watcher_and_not_twice_at_once() {
        let built = Electrical { samples: 16, ..Electrical::default() }.build().unwrap();
        let card = built.twin.card().clone();
        let viewer = Arc::new(Viewer::new(vec![("electrical".into(), card, built.twin.clone())]));
        let meter = Meter { shots: 3, plant_seconds: 0.5, wall_seconds: 0.0 };
        let copies = std::cell::Cell::new(0);
        let shots = || {
            copies.set(copies.get() + 1);
            let drive = Batch::from_fn(40, 16, |row, column| 0.01 * (row + column) as f32);
            Shots::last(&[], &drive, &[], &built.twin.predict(&drive, &[]))
        };
        let see = |milliseconds| viewer.see_at(Duration::from_millis(milliseconds), 0, meter, shots);
        see(0);
        assert_eq!((copies.get(), viewer.status().0[0].inputs[0].values.len()), (0, 0));
        assert_eq!(viewer.status().0[0].shots, 3);
        let watching = viewer.watch();
        see(1);
        see(100);
        assert_eq!(copies.get(), 1);
        see(101);
        assert_eq!(copies.get(), 2);
        viewer.look_closely();
        see(102);
        assert_eq!(copies.get(), 3);
        let (plants, residual) = viewer.status();
        assert_eq!(plants[0].inputs[0].values, (0..16).map(|c| 0.01 * (39 + c) as f32).collect::<Vec<_>>());
        assert_eq!(residual, Some(0.0), "the twin is its own plant here");
        drop(watching);
        assert_eq!(viewer.watchers.load(Relaxed), 0);
    }
}
