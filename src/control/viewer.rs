//! The last shots of each plant, for whoever watches: copied only while somebody does, and at most ten times a second.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, UNIX_EPOCH};

use calibration::Agreement;
use drivers::{Bank, Batch, Card, LinkReport, LinkWatch, Rejections};
use sims::Twin;

use crate::Error;
use crate::control::{BankStatus, LinkStatus, PlantStatus};
use crate::plants::{CalibrationStatus, Driven, Meter, ShotTap, View};
use crate::record::unix_seconds;

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
    fn last(driven: &Driven<'_>) -> Self {
        let last = |batch: &Batch| {
            let first = batch.rows().saturating_sub(COPIED_SHOTS);
            Batch::from_fn(batch.rows() - first, batch.columns(), |row, column| batch.row(first + row)[column])
        };
        Self {
            inputs: last(driven.inputs),
            set_points: driven.controls.to_vec(),
            applied: driven.applied.to_vec(),
            outputs: last(driven.outputs),
        }
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
    /// How long it waits for its limits over time, in s.
    waits: AtomicU64,
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
    /// Of the plants of a lab.
    pub fn new(plants: Vec<View>) -> Self {
        let seen = |View { name, card, twin, links, rejections, calibration }| Seen {
            name,
            card,
            twin: Mutex::new(twin),
            shots_taken: AtomicU64::new(0),
            plant_seconds: AtomicU64::new(0),
            driven: AtomicU64::new(0),
            copied: AtomicU64::new(0),
            waits: AtomicU64::new(0),
            last: Mutex::new(Last { links, rejections, calibration, ..Last::default() }),
        };
        let plants = plants.into_iter().map(seen).collect();
        Self { plants, watchers: AtomicUsize::new(0), began: Instant::now(), began_unix_seconds: unix_seconds() }
    }

    /// The plant at `place` waits so many seconds until its limits over time have room.
    pub fn set_waiting(&self, place: usize, seconds: f64) {
        if let Some(seen) = self.plants.get(place) {
            seen.waits.store(seconds.to_bits(), Relaxed);
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
        let waits = f64::from_bits(seen.waits.load(Relaxed));
        PlantStatus {
            plant: seen.name.clone(),
            system: seen.card.identity.system.clone(),
            serial: seen.card.identity.serial.clone(),
            origin: seen.card.identity.origin.to_string(),
            shots: seen.shots_taken.load(Relaxed),
            plant_seconds: f64::from_bits(seen.plant_seconds.load(Relaxed)),
            driven_unix_seconds: (driven > 0).then_some(self.began_unix_seconds + driven as f64 * 1e-9),
            waits_seconds: (0.0 < waits).then_some(waits),
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

impl ShotTap for Arc<Viewer> {
    fn see(&mut self, driven: &Driven<'_>) -> Result<(), Error> {
        Viewer::see(self, driven.place, driven.meter, || Shots::last(driven));
        Ok(())
    }

    fn look_closely(&mut self) {
        Viewer::look_closely(self);
    }

    fn twin_replaced(&mut self, place: usize, twin: &Arc<dyn Twin>) {
        if let Some(seen) = self.plants.get(place) {
            *seen.twin.lock().unwrap_or_else(PoisonError::into_inner) = twin.clone();
        }
    }

    fn calibrated(&mut self, place: usize, calibration: &CalibrationStatus) {
        if let Some(seen) = self.plants.get(place) {
            seen.lock().calibration = Some(calibration.clone());
        }
    }

    fn calibration_due(&mut self, place: usize, why: &str) {
        // A nominal twin has no fit.
        if let Some(seen) = self.plants.get(place)
            && let Some(calibration) = &mut seen.lock().calibration
        {
            why.clone_into(&mut calibration.due);
        }
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
        let view = View {
            name: "electrical".into(),
            card,
            twin: built.twin.clone(),
            links: vec![],
            rejections: Rejections::default(),
            calibration: None,
        };
        let viewer = Arc::new(Viewer::new(vec![view]));
        let meter = Meter { shots: 3, plant_seconds: 0.5, wall_seconds: 0.0 };
        let copies = std::cell::Cell::new(0);
        let shots = || {
            copies.set(copies.get() + 1);
            let drive = Batch::from_fn(40, 16, |row, column| 0.01 * (row + column) as f32);
            let outputs = built.twin.predict(&drive, &[]);
            let (place, apart) = (0, false);
            Shots::last(&Driven { place, meter, controls: &[], applied: &[], inputs: &drive, outputs: &outputs, apart })
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
        Viewer::look_closely(&viewer);
        see(102);
        assert_eq!(copies.get(), 3);
        let (plants, residual) = viewer.status();
        assert_eq!(plants[0].inputs[0].values, (0..16).map(|c| 0.01 * (39 + c) as f32).collect::<Vec<_>>());
        assert_eq!(residual, Some(0.0), "the twin is its own plant here");
        drop(watching);
        assert_eq!(viewer.watchers.load(Relaxed), 0);
    }
}
