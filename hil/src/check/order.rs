//! Checks of readings: the same again, and each in its place.

use drivers::{Batch, Direction, Ports};

use super::subject::{Failure, Seen, Subject, distance, free_to_drive, set_controls, shots};

/// Shots in a check.
const SHOTS: usize = 12;
/// The most that readings may differ from one time to the next, as a part of how much they differ from shot to shot.
const REPEATABILITY: f64 = 0.3;
/// A shift that leaves no more than this part of the difference between two readings explains it.
const LEFT: f64 = 0.5;
/// A shot whose two readings lie this many times further apart than those of most shots do is no matter of noise.
const OUTLIER: f64 = 5.0;
/// A plant of fewer outputs comes to the end of its range in an honest shot.
const FEW: usize = 4;
/// The most, in spreads, that is noise of one shot.
const FARTHEST: f64 = 0.5;
/// What is said where no shot reads otherwise than another.
const ALL_SAME: &str = "all shots read the same: check that the drive reaches the plant";

/// The same shots read the same twice, but for noise.
pub(super) fn repeatability(subject: &mut Subject) -> Seen {
    free_to_drive(subject)?;
    set_controls(subject)?;
    let inputs = shots(subject, SHOTS, 2);
    let (first, second) = (subject.plant.measure(&inputs)?, subject.plant.measure(&inputs)?);
    let differs = distance(first.values(), second.values());
    let spread = spread(&first);
    if spread == 0.0 {
        return Err(Failure::Wrong(ALL_SAME.to_owned()));
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
///
/// Readings of a few outputs may lie near those of another shot by chance, or be the same: a shot counts as another only where it is also
/// further from itself than noise explains.
pub(super) fn mistaken(subject: &mut Subject) -> Result<Option<String>, drivers::Error> {
    let inputs = shots(subject, SHOTS, 3);
    let straight = subject.plant.measure(&inputs)?;
    // Five and twelve have no common divisor: every shot has another place.
    let places: Vec<usize> = (0..SHOTS).map(|row| (5 * row + 7) % SHOTS).collect();
    let shuffled = Batch::from_fn(SHOTS, inputs.columns(), |row, column| inputs.row(places[row])[column]);
    let read = subject.plant.measure(&shuffled)?;
    let spread = spread(&straight);
    if spread == 0.0 {
        return Ok(Some(ALL_SAME.to_owned()));
    }
    let apart = |row: usize, place: usize| distance(read.row(row), straight.row(place));
    let noise = noise(&(0..SHOTS).map(|row| apart(row, places[row])).collect::<Vec<_>>(), spread);
    let nearest = |row: usize| (0..SHOTS).min_by(|a, b| apart(row, *a).total_cmp(&apart(row, *b)));
    let is_itself = |row: usize| nearest(row) == Some(places[row]) || apart(row, places[row]) <= noise;
    let mistaken: Vec<usize> = (0..SHOTS).filter(|row| !is_itself(*row)).collect();
    let Some(first) = mistaken.first() else { return Ok(None) };
    let ports = subject.plant.ports();
    let ailment = ailment(ports, &[(&inputs, &straight), (&shuffled, &read)]);
    let shift = || shift(ports, straight.row(places[*first]), read.row(*first));
    let or = if noise == 0.0 { ", or noise is as large as what the drive changes" } else { "" };
    let cause = ailment.or_else(shift);
    let cause =
        cause.unwrap_or_else(|| format!("shots {mistaken:?} came back as others: an answer is in the wrong place{or}"));
    Ok(Some(cause))
}

/// The most that noise explains between two readings of one shot, from those of all shots and the spread from shot to shot. Nothing where
/// most shots differ from themselves as they may not: then it is no noise.
fn noise(differences: &[f64], spread: f64) -> f64 {
    let mut sorted = differences.to_vec();
    sorted.sort_by(f64::total_cmp);
    let median = sorted.get(sorted.len() / 2).copied().unwrap_or_default();
    if median <= REPEATABILITY * spread {
        // Shots of many outputs lie apart by more than the spread: half of it takes none for another.
        (OUTLIER * median).clamp(REPEATABILITY * spread, FARTHEST * spread)
    } else {
        0.0
    }
}

/// What is wrong with readings by themselves, of two batches of the same shots, each with its inputs, in any order.
fn ailment(ports: &Ports, batches: &[(&Batch, &Batch); 2]) -> Option<String> {
    let ranges = ports.ranges(Direction::Output);
    let rows: Vec<(&[f32], &[f32])> =
        batches.iter().flat_map(|(inputs, readings)| inputs.iter().zip(readings.iter())).collect();
    let most = REPEATABILITY * spread(batches[0].1).min(spread(batches[1].1));
    let is_unlike_itself = |(driven, reading): &(&[f32], &[f32])| {
        rows.iter().any(|(other, again)| other == driven && most < distance(reading, again))
    };
    for (row, shot) in rows.iter().enumerate() {
        let (driven, reading) = *shot;
        if reading.iter().any(|value| !value.is_finite()) {
            return Some(format!("a reading of shot {row} is not a number"));
        }
        let is_at_end = reading.iter().zip(&ranges).all(|(value, range)| *value <= range.low || range.high <= *value);
        if is_at_end && (FEW <= reading.len() || is_unlike_itself(shot)) {
            return Some(format!(
                "all readings of shot {row} are at the end of their range: saturated. Drive less, or lower the gain; a `screen` in the \
                 rig file drives such shots again"
            ));
        }
        // Few outputs, or few codes, are the same by chance. What is stuck is also not what the shot itself reads the other time.
        let same = rows[..row].iter().position(|before| {
            before.1 == reading && before.0 != driven && (is_unlike_itself(shot) || is_unlike_itself(before))
        });
        if let Some(other) = same {
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
