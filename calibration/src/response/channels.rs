//! Ports along channels or places: what each input moves, and what all of them together do from one end of the range to the
//! other.

use drivers::{Batch, Error};
use serde::Serialize;

use super::pair::{Pair, Plan};

/// Levels of all inputs together.
const LEVELS: usize = 33;

/// What was measured of ports along channels or places.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Channels {
    /// Readings with every input at the upper end of its range: the brightest spectrum.
    pub bright_plant: Vec<f64>,
    /// The same of the twin.
    pub bright_twin: Vec<f64>,
    /// Size of the small steps, in the unit of the inputs.
    pub step: f64,
    /// What each output moves per step of each input at the operating point, `[outputs][inputs]`.
    pub plant: Vec<Vec<f64>>,
    /// The same of the twin.
    pub twin: Vec<Vec<f64>>,
    /// RMS of the difference over RMS of the plant's (1).
    pub relative_error: f64,
    /// All inputs alike, from end to end.
    pub levels: Vec<Level>,
    /// d log(reading above the darkest) / d log(level above the lowest) in the upper half of the range: 1 is linear, 2 a square.
    pub exponent: Option<f64>,
}

/// The mean reading with all inputs alike.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Level {
    /// The inputs, in their unit.
    pub input: f64,
    /// Mean over the plant's outputs.
    pub plant: f64,
    /// Mean over the twin's.
    pub twin: f64,
}

/// Measures all of it.
pub fn measure(pair: &mut Pair<'_>, plan: &Plan) -> Result<Channels, Error> {
    let bright = pair.drive(|_| 1.0);
    let bright_plant = pair.averaged(&bright, plan.average)?.0;
    let bright_twin = pair.predicted(&bright);
    let step = plan.step * f64::from(pair.half.first().copied().unwrap_or(1.0));
    let (plant, twin) = derivatives(pair, plan)?;
    let levels = levels(pair, plan)?;
    let square = |values: &mut dyn Iterator<Item = f64>| values.map(|value| value * value).sum::<f64>();
    let flat = |matrix: &'_ [Vec<f64>]| matrix.iter().flatten().copied().collect::<Vec<f64>>();
    let (all_plant, all_twin) = (flat(&plant), flat(&twin));
    let difference = square(&mut all_plant.iter().zip(&all_twin).map(|(a, b)| a - b));
    let size = square(&mut all_plant.iter().copied());
    Ok(Channels {
        bright_plant,
        bright_twin,
        step,
        relative_error: if size > 0.0 { (difference / size).sqrt() } else { 0.0 },
        exponent: exponent(&levels),
        plant,
        twin,
        levels,
    })
}

/// What each output moves per input, `[outputs][inputs]`.
type Matrix = Vec<Vec<f64>>;

/// Central differences for each input, `[outputs][inputs]`, of plant and twin.
fn derivatives(pair: &mut Pair<'_>, plan: &Plan) -> Result<(Matrix, Matrix), Error> {
    let inputs = pair.middle.len();
    let (mut plant, mut twin) = (Vec::new(), Vec::new());
    for input in 0..inputs {
        let away = |sign: f64| move |port: usize| if port == input { sign * plan.step } else { 0.0 };
        let (up, down) = (pair.drive(away(1.0)), pair.drive(away(-1.0)));
        let distance = f64::from(up[input] - down[input]);
        let slope = |above: &[f64], below: &[f64]| -> Vec<f64> {
            above.iter().zip(below).map(|(above, below)| (above - below) / distance).collect()
        };
        // Both directions in one batch: what drifts between batches cancels.
        let shots = plan.average.max(1);
        let both = Batch::from_fn(2 * shots, inputs, |shot, port| if shot % 2 == 0 { up[port] } else { down[port] });
        let readings = pair.plant.measure(&both)?;
        let mean = |parity: usize| -> Vec<f64> {
            let rows = || readings.iter().skip(parity).step_by(2);
            (0..readings.columns())
                .map(|output| rows().map(|row| f64::from(row[output])).sum::<f64>() / shots as f64)
                .collect()
        };
        plant.push(slope(&mean(0), &mean(1)));
        twin.push(slope(&pair.predicted(&up), &pair.predicted(&down)));
    }
    Ok((transposed(&plant), transposed(&twin)))
}

fn transposed(rows: &[Vec<f64>]) -> Vec<Vec<f64>> {
    let width = rows.first().map_or(0, Vec::len);
    (0..width).map(|column| rows.iter().map(|row| row[column]).collect()).collect()
}

/// All inputs alike, from the lower end to the upper.
fn levels(pair: &mut Pair<'_>, plan: &Plan) -> Result<Vec<Level>, Error> {
    let mean = |values: &[f64]| values.iter().sum::<f64>() / values.len().max(1) as f64;
    let mut levels = Vec::with_capacity(LEVELS);
    for index in 0..LEVELS {
        let drive = pair.drive(|_| 2.0 * index as f64 / (LEVELS - 1) as f64 - 1.0);
        let plant = mean(&pair.averaged(&drive, plan.average)?.0);
        levels.push(Level {
            input: f64::from(drive.first().copied().unwrap_or(0.0)),
            plant,
            twin: mean(&pair.predicted(&drive)),
        });
    }
    Ok(levels)
}

/// The slope of the upper half in double logarithm; `None` where the readings do not rise throughout it.
fn exponent(levels: &[Level]) -> Option<f64> {
    let (first, upper) = (levels.first()?, &levels[levels.len() / 2..]);
    if upper.windows(2).any(|pair| pair[1].plant <= pair[0].plant) || upper[0].plant <= first.plant {
        return None;
    }
    let log = |level: &Level| ((level.input - first.input).ln(), (level.plant - first.plant).ln());
    let (start, end) = (log(&upper[0]), log(upper.last()?));
    Some((end.1 - start.1) / (end.0 - start.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_square_law_has_exponent_two() {
        let level = |index: usize| {
            let input = index as f64 / 32.0;
            Level { input, plant: 0.04 + input * input, twin: 0.0 }
        };
        let levels: Vec<Level> = (0..33).map(level).collect();
        assert!((exponent(&levels).unwrap() - 2.0).abs() < 1e-9);
        let falling: Vec<Level> = levels.iter().map(|level| Level { plant: -level.plant, ..*level }).collect();
        assert_eq!(exponent(&falling), None);
    }
}
