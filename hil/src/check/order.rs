//! Checks of readings: the same again, and each in its place.

use std::collections::HashMap;

use drivers::{Batch, Direction, Ports};

use super::subject::{Failure, Seen, Subject, distance, free_to_drive, set_controls, shots};

/// Shots in a check.
const SHOTS: usize = 12;
/// The most that readings may differ from one time to the next, as a part of how much they differ from shot to shot.
const REPEATABILITY: f64 = 0.3;
/// A shift that leaves no more than this part of the difference between two readings explains it.
const LEFT: f64 = 0.5;

/// The same shots read the same twice, but for noise.
pub(super) fn repeatability(subject: &mut Subject) -> Seen {
    free_to_drive(subject)?;
    set_controls(subject)?;
    let inputs = shots(subject, SHOTS, 2);
    let (first, second) = (subject.plant.measure(&inputs)?, subject.plant.measure(&inputs)?);
    let differs = distance(first.values(), second.values());
    let spread = spread(&first);
    if spread == 0.0 {
        return Err(Failure::Wrong("all shots read the same: check that the drive reaches the plant".to_owned()));
    }
    let ports = subject.plant.ports();
    if let Some(ailment) = ailment(ports, &[(&inputs, &first), (&inputs, &second)]) {
        return Err(Failure::Wrong(ailment));
    }
    // Written so that what is no number fails.
    if differs <= REPEATABILITY * spread {
        return Ok(format!("differs by {:.2} % of the spread of the shots", 100.0 * differs / spread));
    }
    let whole = shift(ports, first.values(), second.values());
    let rows = || (0..SHOTS).find_map(|row| shift(ports, first.row(row), second.row(row)));
    let percent = 100.0 * differs / spread;
    let cause = whole.or_else(rows).map_or_else(String::new, |shift| format!(": {shift}"));
    Err(Failure::Wrong(format!("readings differ by {percent:.0} % of their spread from one time to the next{cause}")))
}

/// Each shot of a batch in another order comes back in its place.
pub(super) fn order(subject: &mut Subject) -> Seen {
    free_to_drive(subject)?;
    set_controls(subject)?;
    match mistaken(subject)? {
        None => Ok(format!("{SHOTS} shots in another order came back in their places")),
        Some(why) => Err(Failure::Wrong(why)),
    }
}

/// Why shots of a shuffled batch read more like others than like themselves, if any do.
pub(super) fn mistaken(subject: &mut Subject) -> Result<Option<String>, drivers::Error> {
    let inputs = shots(subject, SHOTS, 3);
    let straight = subject.plant.measure(&inputs)?;
    // Five and twelve have no common divisor: every shot has another place.
    let places: Vec<usize> = (0..SHOTS).map(|row| (5 * row + 7) % SHOTS).collect();
    let shuffled = Batch::from_fn(SHOTS, inputs.columns(), |row, column| inputs.row(places[row])[column]);
    let read = subject.plant.measure(&shuffled)?;
    let nearest = |row: usize| {
        let distances = (0..SHOTS).map(|other| distance(read.row(row), straight.row(other)));
        distances.enumerate().min_by(|(_, a), (_, b)| a.total_cmp(b)).map(|(place, _)| place)
    };
    let mistaken: Vec<usize> = (0..SHOTS).filter(|row| nearest(*row) != Some(places[*row])).collect();
    let Some(first) = mistaken.first() else { return Ok(None) };
    let ports = subject.plant.ports();
    let ailment = ailment(ports, &[(&inputs, &straight), (&shuffled, &read)]);
    let shift = || shift(ports, straight.row(places[*first]), read.row(*first));
    let cause = ailment.or_else(shift);
    let cause =
        cause.unwrap_or_else(|| format!("shots {mistaken:?} came back as others: an answer is in the wrong place"));
    Ok(Some(cause))
}

/// What is wrong with readings by themselves, of batches with their inputs one after another.
fn ailment(ports: &Ports, batches: &[(&Batch, &Batch)]) -> Option<String> {
    let ranges = ports.ranges(Direction::Output);
    let mut seen: HashMap<Vec<u32>, (usize, &[f32])> = HashMap::new();
    let rows = batches.iter().flat_map(|(inputs, readings)| inputs.iter().zip(readings.iter()));
    for (row, (driven, reading)) in rows.enumerate() {
        if reading.iter().any(|value| !value.is_finite()) {
            return Some(format!("a reading of shot {row} is not a number"));
        }
        let mut ends = reading.iter().zip(&ranges);
        if ends.all(|(value, range)| *value <= range.low || range.high <= *value) {
            return Some(format!(
                "all readings of shot {row} are at the end of their range: saturated. Drive less, or lower the gain; a `screen` in the \
                 rig file drives such shots again"
            ));
        }
        let bits = reading.iter().map(|value| value.to_bits()).collect();
        if let Some((other, _)) = seen.insert(bits, (row, driven)).filter(|(_, before)| *before != driven) {
            return Some(format!(
                "shot {row} reads bit for bit what shot {other} read, though it was driven otherwise: a value that is stuck, or an \
                 old frame. A `screen` in the rig file drives such shots again"
            ));
        }
    }
    None
}

/// The shift of all readings by one value that explains most of their difference, if there is one.
fn shift(ports: &Ports, before: &[f32], after: &[f32]) -> Option<String> {
    let count = before.len().max(1) as f64;
    let by = before.iter().zip(after).map(|(before, after)| f64::from(after - before)).sum::<f64>() / count;
    let moved: Vec<f32> = before.iter().map(|value| value + by as f32).collect();
    let unit = &ports.outputs.first()?.unit;
    let explains = distance(&moved, after) <= LEFT * distance(before, after);
    explains.then(|| {
        format!("the readings have shifted by {by:.3} {unit} from one time to the next: drift, or a step of it")
    })
}

/// Root mean square of each port's deviation from its mean over the shots.
fn spread(readings: &Batch) -> f64 {
    let rows = readings.rows().max(1) as f64;
    let mut sum = 0.0;
    for column in 0..readings.columns() {
        let mean = readings.iter().map(|row| f64::from(row[column])).sum::<f64>() / rows;
        sum += readings.iter().map(|row| (f64::from(row[column]) - mean).powi(2)).sum::<f64>() / rows;
    }
    (sum / readings.columns().max(1) as f64).sqrt()
}
