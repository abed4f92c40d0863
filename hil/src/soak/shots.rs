//! Shots that carry their number through pnnlink on a pseudo-terminal, with all faults.

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use drivers::pnnlink::link::{Options, Pnnlink};
use drivers::{Address, Batch, Error, LinkOptions, Plant, Screen, Screened};

use super::report::{SoakReport, resident_memory};
use crate::pnnlink::{Build, Firmware, Pattern, Place, Served};
use crate::{Fault, Faults};

/// Shots in one call.
const BATCH: u64 = 256;
/// A shot's number travels in four values of eight bits, each one more than its bits: 1 to 256. So a gain that is off by a
/// thousandth does not change it.
const DIGITS: usize = 4;
/// How often a fault of the wire happens at each answer: a few hundred times in a hundred thousand shots.
const OF_ANSWERS: f64 = 1.5e-3;
/// How often a fault of the converters happens at each shot.
const OF_SHOTS: f64 = 1e-4;
/// How often the instrument is lost for a while, at each answer: each time costs up to a second.
const OF_LOSSES: f64 = 4e-4;

/// Drives `shots` shots with a random mix of faults, decided by `seed`; `link` is where the pseudo-terminal will be.
pub fn soak_shots(shots: u64, seed: u64, link: &Path) -> io::Result<SoakReport> {
    let faults = Faults::new(seed);
    for fault in Fault::ALL {
        faults.set(fault, likelihood(fault));
    }
    let firmware = Firmware::new(Arc::new(Pattern::new(DIGITS)), Build::default(), faults.clone());
    let served = Served::start(firmware, Place::Pty(link.to_owned()), None, &faults)?;
    let options = Options { watchdog: Duration::from_millis(500), attempts: 8, ..Options::default() };
    let address = Address::Serial { path: link.to_owned(), baud: 921_600 };
    let opened = Pnnlink::open(&LinkOptions::new("soak", address), options);
    let plant = opened.map_err(|error| io::Error::other(error.to_string()))?;
    let mut plant = Screened::new(plant, Screen::default());
    let mut report = SoakReport { deadline: options.deadline, ..SoakReport::default() };
    let mut memory = None;
    let mut first = 0;
    while first < shots {
        let count = BATCH.min(shots - first);
        let start = Instant::now();
        let outcome = plant.measure(&numbered(first, count));
        report.longest_wait = report.longest_wait.max(start.elapsed());
        judge(&mut report, first, count, &outcome);
        first += count;
        if memory.is_none() && shots / 10 <= first {
            memory = resident_memory();
        }
    }
    report.memory_growth = memory.and_then(|before| Some(resident_memory()? - before));
    drop(plant);
    drop(served);
    report.faults = faults.counts().into_iter().map(|(fault, count)| (fault.name(), count)).collect();
    Ok(report)
}

/// How likely a fault is at each of its opportunities.
fn likelihood(fault: Fault) -> f64 {
    match fault {
        Fault::PowerCycle | Fault::FirmwareChange | Fault::Unplug | Fault::HalfOpen => OF_LOSSES,
        Fault::NotANumber
        | Fault::StuckValue
        | Fault::Saturation
        | Fault::StaleFrame
        | Fault::DriftStep
        | Fault::Xrun => OF_SHOTS,
        _ => OF_ANSWERS,
    }
}

/// Shots that carry their numbers.
fn numbered(first: u64, count: u64) -> Batch {
    Batch::from_fn(count as usize, DIGITS, |row, digit| 1.0 + ((first + row as u64) >> (8 * digit) & 0xFF) as f32)
}

/// The number that a reading carries; none if it carries none.
fn number(reading: &[f32]) -> Option<u64> {
    let digits = reading.iter().enumerate().map(|(place, value)| {
        let digit = value.round();
        ((1.0..=256.0).contains(&digit) && (value - digit).abs() < 0.4).then(|| (digit as u64 - 1) << (8 * place))
    });
    digits.sum()
}

/// Counts what is wrong with the readings of shots `first` and following.
fn judge(report: &mut SoakReport, first: u64, count: u64, outcome: &Result<Batch, Error>) {
    let Ok(readings) = outcome else {
        report.lost += count;
        return;
    };
    report.shots += readings.rows() as u64;
    report.lost += count.saturating_sub(readings.rows() as u64);
    for (expected, reading) in (first..).zip(readings) {
        match number(reading) {
            Some(found) if found == expected => {}
            found => {
                report.misattributed += 1;
                report.duplicated += u64::from(found.is_some_and(|found| found < first + count));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_survive_a_gain_that_is_off_by_a_thousandth() {
        for first in [0, 255, 65_535, 16_777_000] {
            let batch = numbered(first, 300);
            for (expected, row) in (first..).zip(&batch) {
                let drifted: Vec<f32> = row.iter().map(|value| value * 1.001).collect();
                assert_eq!(number(&drifted), Some(expected));
            }
        }
        assert_eq!(number(&[0.0, 1.0, 1.0, 1.0]), None);
        assert_eq!(number(&[1.5, 1.0, 1.0, 1.0]), None);
        assert_eq!(number(&[f32::NAN, 1.0, 1.0, 1.0]), None);
    }

    #[test]
    fn what_is_wrong_is_counted() {
        let mut report = SoakReport::default();
        judge(&mut report, 10, 3, &Ok(numbered(10, 3)));
        assert_eq!((report.shots, report.is_clean()), (3, true));
        judge(&mut report, 10, 3, &Ok(numbered(11, 3)));
        assert_eq!((report.misattributed, report.duplicated), (3, 2));
        judge(&mut report, 10, 3, &Ok(numbered(10, 2)));
        let instrument = "soak".to_owned();
        judge(&mut report, 10, 3, &Err(Error::Lost { instrument, message: String::new() }));
        assert_eq!(report.lost, 4);
        assert!(!report.is_clean());
    }

    #[test]
    fn a_short_soak_is_clean() {
        let folder = tempfile::tempdir().unwrap();
        let report = soak_shots(6000, 5, &folder.path().join("tty")).unwrap();
        assert!(report.is_clean(), "{report:?}");
        assert_eq!(report.shots, 6000);
        assert!(5 < report.faults.len(), "{report:?}");
    }
}
