//! Checks of readings: the same again, and each in its place.

use drivers::Batch;

use super::{Failure, Seen, Subject, distance, free_to_drive, set_controls, shots};

/// Shots in a check.
const SHOTS: usize = 12;
/// The most that readings may differ from one time to the next, as a part of how much they differ from shot to shot.
const REPEATABILITY: f64 = 0.3;

/// The same shots read the same twice, but for noise.
pub(super) fn repeatability(subject: &mut Subject) -> Seen {
    free_to_drive(subject)?;
    set_controls(subject)?;
    let inputs = shots(subject, SHOTS, 2);
    let (first, second) = (subject.plant.measure(&inputs)?, subject.plant.measure(&inputs)?);
    let differs = distance(first.values(), second.values());
    let spread = spread(&first);
    if first.values().iter().chain(second.values()).any(|reading| !reading.is_finite()) {
        return Err(Failure::Wrong("a reading is not a number".to_owned()));
    }
    if spread == 0.0 {
        return Err(Failure::Wrong("all shots read the same: check that the drive reaches the plant".to_owned()));
    }
    if REPEATABILITY * spread < differs {
        return Err(Failure::Wrong(format!(
            "readings differ by {:.0} % of their spread from one time to the next",
            100.0 * differs / spread
        )));
    }
    Ok(format!("differs by {:.2} % of the spread of the shots", 100.0 * differs / spread))
}

/// Each shot of a batch in another order comes back in its place.
pub(super) fn order(subject: &mut Subject) -> Seen {
    free_to_drive(subject)?;
    set_controls(subject)?;
    let mistaken = mistaken(subject)?;
    if mistaken.is_empty() {
        return Ok(format!("{SHOTS} shots in another order came back in their places"));
    }
    Err(Failure::Wrong(format!("shots {mistaken:?} came back as others: an answer is in the wrong place")))
}

/// Which shots of a shuffled batch read more like another shot than like themselves.
pub(super) fn mistaken(subject: &mut Subject) -> Result<Vec<usize>, drivers::Error> {
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
    Ok((0..SHOTS).filter(|row| nearest(*row) != Some(places[*row])).collect())
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
