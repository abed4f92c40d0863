//! Levels: what each output reads at rest and at most, how it answers to everything being turned up, and which ports clip.

use drivers::{Direction, Range};
use serde::{Deserialize, Serialize};

use crate::score::scale;
use crate::{Error, Trace};

/// A share of shots at one end of the range, above which a port counts as clipped; and how many shots that must be at least.
const CLIPPED: f64 = 0.002;
const SEVERAL: f64 = 5.0;
/// How far beyond its range a reading may lie, in full scales: rounding.
const BEYOND: f64 = 1e-4;

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
    /// What lies between the two, as a share of the port's range: the usable range.
    #[serde(default)]
    pub range_use: f64,
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
    /// Share of shots beyond its range, where no reading should be.
    #[serde(default)]
    pub beyond: f64,
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
    /// Ports with readings beyond their range.
    #[serde(default)]
    pub beyond: Vec<String>,
}

/// The levels of every output of a trace.
pub fn fit_levels(trace: &Trace) -> Result<Levels, Error> {
    if trace.shots() < 20 {
        return Err(Error::TooFew {
            procedure: "levels",
            what: "shots",
            needed: 20,
            given: trace.shots(),
            held_out: 0,
        });
    }
    let drive = mean_drive(trace);
    let mut ports = Vec::new();
    let mut output = 0;
    for bank in trace.card.ports.banks(Direction::Output) {
        for index in 0..bank.count {
            let values: Vec<f64> = trace.outputs.iter().map(|row| f64::from(row[output])).collect();
            let port = levels_of(format!("{}[{index}]", bank.name), &bank.unit, bank.range, (&values, &drive));
            ports.push(port);
            output += 1;
        }
    }
    let mut uses: Vec<f64> = ports.iter().map(|port| port.range_use).collect();
    uses.sort_by(f64::total_cmp);
    let named = |wanted: &dyn Fn(&PortLevels) -> bool| {
        ports.iter().filter(|port| wanted(port)).map(|port| port.port.clone()).collect::<Vec<_>>()
    };
    // The ends of recorded data are the data's own smallest and largest values: these say nothing of an instrument.
    let own = trace.card.identity.system != crate::trace::RECORDED;
    let several = CLIPPED.max(SEVERAL / trace.shots() as f64);
    let clipped = named(&|port| own && port.spread > 0.0 && several <= port.clipped_low.max(port.clipped_high));
    let dead = named(&|port| port.spread <= 0.0);
    let beyond = named(&|port| port.beyond > 0.0);
    Ok(Levels { range_use: crate::score::median(&uses), clipped, dead, beyond, ports })
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
    let (low, high, beyond) = (f64::from(range.low), f64::from(range.high), BEYOND * scale(range));
    let (dark, brightest) = (quantile(0.001), quantile(0.999));
    PortLevels {
        port,
        unit: unit.to_owned(),
        dark,
        brightest,
        range_use: (brightest - dark) / (high - low).max(f64::MIN_POSITIVE),
        spread: (yy / count).sqrt(),
        gain,
        linearity: if yy > 0.0 && xx > 0.0 { xy * xy / (xx * yy) } else { 0.0 },
        clipped_low: share(&|value| **value <= low + near),
        clipped_high: share(&|value| high - near <= **value),
        beyond: share(&|value| **value < low - beyond || high + beyond < **value),
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
        assert!(levels.beyond.is_empty() && (levels.ports[0].range_use - 0.25).abs() < 0.01);
    }

    #[test]
    fn one_shot_at_the_end_is_no_clipping_nor_is_the_end_of_recorded_data() {
        let reaching = |x: &[f32], _: &[f32], shot: usize| vec![if shot == 7 { 1.0 } else { 0.9 * x[0] }, 1.0];
        let mut few = trace(card(1, 0, 2), [300, 1, 300], reaching);
        let levels = fit_levels(&few).unwrap();
        assert_eq!((levels.clipped.len(), levels.dead), (0, vec!["y[1]".to_owned()]), "a constant never moves");
        few.outputs.values_mut()[4] = 1.5;
        assert_eq!(fit_levels(&few).unwrap().beyond, ["y[0]"]);
        let often = |x: &[f32], _: &[f32], _: usize| vec![(3.0 * x[0]).min(1.0)];
        let mut clipped = trace(card(1, 0, 1), [300, 1, 300], often);
        assert_eq!(fit_levels(&clipped).unwrap().clipped, ["y[0]"]);
        clipped.card.identity.system = crate::trace::RECORDED.into();
        assert!(fit_levels(&clipped).unwrap().clipped.is_empty());
    }
}
