//! Levels: what each output reads at rest and at most, how it answers to everything being turned up, and which ports clip.

use drivers::{Direction, Range};
use serde::{Deserialize, Serialize};

use crate::score::scale;
use crate::{Error, Trace};

/// A share of shots at one end of the range, above which a port counts as clipped.
const CLIPPED: f64 = 0.002;

/// One output.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PortLevels {
    /// Such as `spectrum[3]`.
    pub port: String,
    /// SI unit of all that follows but shares.
    pub unit: String,
    /// The 0.1 % quantile: for a detector its dark level.
    pub dark: f64,
    /// The 99.9 % quantile.
    pub brightest: f64,
    /// Standard deviation over the stimuli.
    pub spread: f64,
    /// Slope against the mean drive of its shot, in outputs per range of the inputs.
    pub gain: f64,
    /// Share of the variance that a straight line on the mean drive explains.
    pub linearity: f64,
    /// Share of shots at the lower end of its range.
    pub clipped_low: f64,
    /// Share of shots at the upper end of its range.
    pub clipped_high: f64,
}

/// All outputs.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Levels {
    /// One entry for each output.
    pub ports: Vec<PortLevels>,
    /// Share of the outputs' ranges that is used, median port.
    pub range_use: f64,
    /// Ports that clip.
    pub clipped: Vec<String>,
    /// Ports that never move.
    pub dead: Vec<String>,
}

/// The levels of every output of a trace.
pub fn fit_levels(trace: &Trace) -> Result<Levels, Error> {
    if trace.shots() < 20 {
        return Err(Error::TooFew { procedure: "levels", what: "shots", needed: 20, given: trace.shots() });
    }
    let drive = mean_drive(trace);
    let mut ports = Vec::new();
    let mut uses = Vec::new();
    let mut output = 0;
    for bank in trace.card.ports.banks(Direction::Output) {
        for index in 0..bank.count {
            let values: Vec<f64> = trace.outputs.iter().map(|row| f64::from(row[output])).collect();
            let port = levels_of(format!("{}[{index}]", bank.name), &bank.unit, bank.range, (&values, &drive));
            uses.push((port.brightest - port.dark) / f64::from(bank.range.span()).max(f64::MIN_POSITIVE));
            ports.push(port);
            output += 1;
        }
    }
    uses.sort_by(f64::total_cmp);
    let named = |wanted: &dyn Fn(&PortLevels) -> bool| {
        ports.iter().filter(|port| wanted(port)).map(|port| port.port.clone()).collect::<Vec<_>>()
    };
    let clipped = named(&|port| CLIPPED < port.clipped_low.max(port.clipped_high));
    let dead = named(&|port| port.spread <= 0.0);
    Ok(Levels { range_use: crate::score::median(&uses), clipped, dead, ports })
}

/// The mean of all inputs and controls of a shot, each as a fraction of its range.
fn mean_drive(trace: &Trace) -> Vec<f64> {
    let fraction = |values: &[f32], ranges: &[Range]| -> f64 {
        values
            .iter()
            .zip(ranges)
            .map(|(value, range)| f64::from((value - range.low) / range.span().max(f32::MIN_POSITIVE)))
            .sum()
    };
    let (inputs, controls) = (trace.card.ports.ranges(Direction::Input), trace.card.ports.ranges(Direction::Control));
    let count = (inputs.len() + controls.len()).max(1) as f64;
    (0..trace.shots())
        .map(|shot| (fraction(trace.inputs.row(shot), &inputs) + fraction(trace.controls(shot), &controls)) / count)
        .collect()
}

fn levels_of(port: String, unit: &str, range: Range, (values, drive): (&[f64], &[f64])) -> PortLevels {
    let count = values.len() as f64;
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let quantile = |share: f64| sorted[((share * (count - 1.0)).round() as usize).min(sorted.len() - 1)];
    let mean = |values: &[f64]| values.iter().sum::<f64>() / count;
    let (my, mx) = (mean(values), mean(drive));
    let (mut xy, mut xx, mut yy) = (0.0, 0.0, 0.0);
    for (y, x) in values.iter().zip(drive) {
        xy += (x - mx) * (y - my);
        xx += (x - mx).powi(2);
        yy += (y - my).powi(2);
    }
    let gain = if xx > 0.0 { xy / xx } else { 0.0 };
    // A converter's last code lies within a millionth of the end.
    let near = 1e-6 * scale(range);
    let share = |clipped: &dyn Fn(&&f64) -> bool| values.iter().filter(clipped).count() as f64 / count;
    PortLevels {
        port,
        unit: unit.to_owned(),
        dark: quantile(0.001),
        brightest: quantile(0.999),
        spread: (yy / count).sqrt(),
        gain,
        linearity: if yy > 0.0 && xx > 0.0 { xy * xy / (xx * yy) } else { 0.0 },
        clipped_low: share(&|value| **value <= f64::from(range.low) + near),
        clipped_high: share(&|value| f64::from(range.high) - near <= **value),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::trace::tests::{card, trace};

    #[test]
    fn dark_level_gain_and_clipping_are_found() {
        let trace = trace(card(1, 0, 3), [2000, 1, 2000], |x, _, _| {
            vec![0.1 + 0.25 * x[0], (3.0 * x[0]).clamp(-1.0, 1.0), 0.5]
        });
        let levels = fit_levels(&trace).unwrap();
        assert!((levels.ports[0].gain - 0.5).abs() < 1e-4 && levels.ports[0].linearity > 0.999);
        assert!((levels.ports[0].dark + 0.15).abs() < 0.01);
        assert_eq!((levels.clipped, levels.dead), (vec!["y[1]".to_owned()], vec!["y[2]".to_owned()]));
    }
}
