//! The sections of a report: residuals, coefficients, noise, levels and times.

use calibration::{FitFacts, Fitted, Levels, TimingFit};

use super::calibrated::Calibrated;
use super::paper::Piece;
use super::words::{counted, decimals, in_runs, measured, number, significant};

/// Ports that a table shows; of more, those that look worst.
const PORTS: usize = 64;
/// The columns of [`level_rows`].
pub const LEVELS: [&str; 8] =
    ["output", "dark", "brightest", "range used, %", "gain", "linear, %", "shots at the ends, %", "unit"];

/// Residual, R² and noise of each output, worst first.
pub fn residual_of_ports(calibrated: &Calibrated<'_>) -> Vec<Piece> {
    let Some(residual) = &calibrated.fitted.residual else { return vec![] };
    let ports = &calibrated.fitted.levels.ports;
    let noise = calibrated.noise_of_ports();
    let mut order: Vec<usize> = (0..residual.ports.len()).collect();
    order.sort_by(|a, b| residual.ports[*b].total_cmp(&residual.ports[*a]));
    let name = |port: usize| ports.get(port).map_or_else(|| port.to_string(), |port| port.port.clone());
    let worst: Vec<String> = order.iter().take(5).map(|port| name(*port)).collect();
    let rows = order.iter().take(PORTS).map(|&port| {
        vec![
            name(port),
            format!("{:.3}", 100.0 * residual.ports[port]),
            residual.r2.get(port).map_or_else(String::new, |r2| decimals(*r2, 4)),
            noise.as_ref().map_or("unknown".to_owned(), |noise| format!("{:.3}", 100.0 * noise[port])),
        ]
    });
    let header = ["output", "residual, % of full scale", "R²", "of which noise, % of full scale"];
    let left = order.len().saturating_sub(PORTS);
    vec![
        Piece::Heading("Residual of each output".to_owned()),
        Piece::Paragraph(format!(
            "Root mean square over held-out stimuli, worst output first. The worst: {}.{}",
            worst.join(", "),
            if left == 0 { String::new() } else { format!(" {left} better ones are left out here; --json has all.") }
        )),
        Piece::Table(header.map(str::to_owned).to_vec(), rows.collect()),
    ]
}

/// The coefficients with what is known about them.
pub fn coefficients(calibrated: &Calibrated<'_>) -> Vec<Piece> {
    let Calibrated { facts, fitted, .. } = calibrated;
    if facts.coefficients.is_empty() {
        return vec![];
    }
    let rows = facts.coefficients.iter().map(|estimate| {
        vec![
            estimate.name.clone(),
            measured(estimate.value, estimate.uncertainty),
            significant(estimate.uncertainty, 2),
            estimate.unit.clone(),
            number(estimate.nominal),
            if estimate.identified { "yes" } else { "no" }.to_owned(),
        ]
    });
    let header =
        ["coefficient", "value", "± (95 %)", "unit", "nominal", "told by the data"].map(str::to_owned).to_vec();
    let how = match &fitted.physics {
        Some(physics) => format!(
            "By Levenberg–Marquardt in {}{}, fitted to {} (stimuli, repeats averaged); the interval allows for noise that is correlated \
             within a shot, not for physics that the model leaves out.",
            counted(physics.steps, "step", "steps"),
            match fitted.parts.corrected.as_ref().map_or(0, |corrected| corrected.corrections.len()) {
                0 => String::new(),
                count => format!(", then together with {count} small corrections, whose expected sizes the interval counts in"),
            },
            counted(physics.shots, "shot", "shots")
        ),
        None => "Each channel k follows a saturating curve of its own input: y = a·(x − x₀)/(x − x₀ + b) + c, with x₀ the smallest input \
                 that the channel was driven with. channel_k_a is the rise from x₀ to saturation, channel_k_b the input above x₀ that \
                 brings half of it, channel_k_c the reading at x₀. By least squares; the interval takes residuals as independent."
            .to_owned(),
    };
    let mut pieces =
        vec![Piece::Heading("Coefficients".to_owned()), Piece::Paragraph(how), Piece::Table(header, rows.collect())];
    if fitted.physics.is_some() && !fitted.levels.clipped.is_empty() {
        pieces.push(Piece::Paragraph(
            "Some outputs clip. Readings near the end of a range can pull gains and exponents further than their intervals say: for \
             coefficients to rely on, calibrate at a lower drive."
                .to_owned(),
        ));
    }
    let confused = fitted.physics.as_ref().map(calibration::PhysicsFit::confused).unwrap_or_default();
    if !confused.is_empty() {
        let lines = confused.iter().map(|(a, b, value)| format!("{a} and {b}: correlation {value:.3}"));
        pieces.push(Piece::Paragraph("Known together better than each alone:".to_owned()));
        pieces.push(Piece::List(lines.collect()));
    }
    pieces
}

/// The noise.
pub fn noise(facts: &FitFacts) -> Vec<Piece> {
    let Some(noise) = &facts.noise else { return vec![] };
    let mut list = vec![
        format!(
            "a shot scatters by {:.3} % of full scale, from {:.3} to {:.3} % depending on output and reading",
            100.0 * noise.std_of_full_scale,
            100.0 * noise.std_range[0],
            100.0 * noise.std_range[1]
        ),
        match noise.rank {
            0 => "no common factor: each output scatters by itself".to_owned(),
            rank => format!(
                "{} {} {:.0} % of the variance",
                counted(rank, "common factor", "common factors"),
                if rank == 1 { "carries" } else { "carry" },
                100.0 * noise.common_share
            ),
        },
        format!(
            "between first and last repeats offsets and gains moved by {:.2} standard deviations of a shot (RMS over outputs and \
             stimuli, beyond what noise gives); the mean of the worst output by {:.2}",
            noise.drift_rms, noise.drift
        ),
        format!("learned from {} with repeats", counted(noise.stimuli, "stimulus", "stimuli")),
    ];
    if let Some(ratio) = noise.held_out_ratio {
        let thirds: Vec<String> = noise.held_out_thirds.iter().map(|ratio| format!("{ratio:.3}")).collect();
        list.push(format!("predicted over measured standard deviation on held-out stimuli: {ratio:.3}; for dim, middle and bright readings {}", thirds.join(", ")));
    }
    vec![Piece::Heading("Noise".to_owned()), Piece::List(list)]
}

/// Levels of each output: those that clip, then those that use least of their range; and how many more there are.
pub fn level_rows(levels: &Levels, most: usize) -> (Vec<Vec<String>>, usize) {
    let ends = |port: &calibration::PortLevels| port.clipped_low + port.clipped_high;
    let mut ports: Vec<_> = levels.ports.iter().collect();
    if most < ports.len() {
        ports.sort_by(|a, b| {
            let clipped = |port: &calibration::PortLevels| levels.clipped.contains(&port.port);
            let worse = clipped(b).cmp(&clipped(a)).then(ends(b).total_cmp(&ends(a)));
            worse.then(a.range_use.total_cmp(&b.range_use))
        });
    }
    let rows = ports.iter().take(most).map(|port| {
        vec![
            port.port.clone(),
            significant(port.dark, 4),
            significant(port.brightest, 4),
            format!("{:.0}", 100.0 * port.range_use),
            significant(port.gain, 4),
            format!("{:.1}", 100.0 * port.linearity),
            format!("{:.2}", 100.0 * ends(port)),
            port.unit.clone(),
        ]
    });
    (rows.collect(), levels.ports.len().saturating_sub(most))
}

/// Levels, port by port, and times.
pub fn levels(fitted: &Fitted) -> Vec<Piece> {
    let levels = &fitted.levels;
    let name = |names: &[String]| if names.is_empty() { "none".to_owned() } else { in_runs(names) };
    let (rows, left) = level_rows(levels, PORTS);
    let rest = if left == 0 {
        String::new()
    } else {
        format!(
            " Of {} the {PORTS} that clip, or use least of their range, stand here; --json has all.",
            counted(levels.ports.len(), "output", "outputs")
        )
    };
    vec![
        Piece::Heading("Levels".to_owned()),
        Piece::List(vec![
            format!("the median output uses {:.0} % of its range", 100.0 * levels.range_use),
            format!("outputs that clip: {}", name(&levels.clipped)),
            format!("outputs that never move: {}", name(&levels.dead)),
            format!("outputs with readings beyond their range: {}", name(&levels.beyond)),
        ]),
        Piece::Paragraph(format!(
            "Dark and brightest are the 0.1 % and 99.9 % quantiles of the readings, and what lies between them is the range used. Gain is \
             the slope against the mean of all inputs and controls, each from 0 to 1 over its range; linear is the share of the variance \
             that this line explains. An output clips where several shots lie at an end of its range.{rest}"
        )),
        Piece::Table(LEVELS.map(str::to_owned).to_vec(), rows),
        Piece::Heading("Times".to_owned()),
        Piece::List(times(&fitted.timing)),
    ]
}

/// Times, one a line.
pub fn times(timing: &TimingFit) -> Vec<String> {
    let seconds =
        |seconds: Option<f64>| seconds.map_or("unknown".to_owned(), |seconds| format!("{} s", number(seconds)));
    let [settle, latency, shot] = timing.card_seconds;
    let mut lines = vec![
        format!(
            "time of a shot: {} s; of a change of the controls: {}",
            number(timing.shot_seconds),
            seconds(timing.change_seconds)
        ),
        format!(
            "as its card says: {} s to settle, {} s a batch, {} s a shot",
            number(settle),
            number(latency),
            number(shot)
        ),
        format!("still moving after the plant said it had settled: {}", seconds(timing.unsettled_seconds)),
    ];
    if let Some(samples) = timing.lag_samples {
        lines.push(format!(
            "lag of the readings behind the drive: {} ({})",
            counted(samples.unsigned_abs() as usize, "sample", "samples"),
            seconds(timing.lag_seconds)
        ));
    }
    lines
}
