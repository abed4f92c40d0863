//! What an experimenter wants to see of a plant first, with its twin beside it: spectrum, impulse response, nonlinearity,
//! repeatability.
//!
//! Controls stand in the middle of their ranges, and so does the drive where nothing else is said: that is the operating
//! point. Every number is measured by shots through the plant's own ports; the twin answers the same questions.

mod channels;
mod pair;
mod repeats;
mod tone;
mod waveform;

use drivers::{Direction, Error, Plant, Ports};
use serde::Serialize;
use sims::Twin;

use crate::Stimuli;
use crate::agreement::{Agreement, agreement};
pub use channels::{Channels, Level};
use pair::Pair;
pub use pair::Plan;
pub use repeats::{Drift, Repeats};
pub use tone::{Passband, Resonance, Tone};
pub use waveform::{Sweep, Waveform};

/// What was measured.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Response {
    /// RMS error of the twin on white stimuli over the standard deviation of the plant's outputs.
    pub twin_error: f64,
    /// The controls that were applied.
    #[serde(skip)]
    pub controls: Vec<f32>,
    /// One white shot over the full range.
    pub shot: Shot,
    /// The same shot again and again.
    pub repeats: Repeats,
    /// Where the ports lie along time.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub waveform: Option<Waveform>,
    /// Where they lie along channels or places.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub channels: Option<Channels>,
}

/// One shot on plant and twin.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Shot {
    /// What the plant read.
    pub plant: Vec<f32>,
    /// What the twin predicts.
    pub twin: Vec<f32>,
}

/// Measures all of `plan`, at the operating point.
pub fn response(plant: &mut dyn Plant, twin: &dyn Twin, plan: &Plan) -> Result<Response, Error> {
    let Agreement { rms_error, output_std } = agreement(plant, twin, 500, plan.key.branch("agreement"))?;
    if output_std.is_nan() {
        let instrument = plant.card().identity.system.clone();
        let message = "what is not a finite number in some of 500 shots of random inputs".to_owned();
        return Err(Error::Rejected { instrument, message });
    }
    let ports = plant.ports().clone();
    let ranges = ports.ranges(Direction::Input);
    let middle = ranges.iter().map(|range| 0.5 * (range.low + range.high)).collect();
    let half = ranges.iter().map(|range| 0.5 * range.span()).collect();
    let wanted: Vec<f32> =
        ports.ranges(Direction::Control).iter().map(|range| 0.5 * (range.low + range.high)).collect();
    let controls = if wanted.is_empty() { wanted } else { plant.apply(&wanted)? };
    let mut pair = Pair { plant, twin, controls, middle, half };
    let white = Stimuli::white(&ports, 1, 1, plan.key.branch("shot")).inputs;
    let (measured, predicted) = pair.both(&white)?;
    let shot = Shot { plant: measured.into_values(), twin: predicted.into_values() };
    let (waveform, channels) = match plan.sample_seconds.filter(|_| along_time(&ports)) {
        Some(seconds) => (Some(waveform::measure(&mut pair, seconds, plan)?), None),
        None => (None, Some(channels::measure(&mut pair, plan)?)),
    };
    let repeats = repeats::measure(&mut pair, &white, plan.repeats)?;
    let twin_error = if output_std > 0.0 { rms_error / output_std } else { f64::NAN };
    Ok(Response { twin_error, controls: pair.controls, shot, repeats, waveform, channels })
}

/// Whether a waveform goes in and one of the same length comes out.
fn along_time(ports: &Ports) -> bool {
    ports.inputs.len() == 1 && ports.outputs.len() == 1 && ports.input_count() == ports.output_count()
}

#[cfg(test)]
mod tests {
    use super::*;
    use sims::{Electrical, ElectricalImperfections, Equations, Key, Optical, Oscillators, Predicted, Simulated};

    fn plan(sample_seconds: Option<f64>) -> Plan {
        Plan { sample_seconds, step: 0.05, average: 8, repeats: 40, key: Key::new(1) }
    }

    #[test]
    fn a_linear_circuit_shows_its_resonance_and_quality() {
        let mut config = Electrical { samples: 1024, mismatch: 0.0, reading_volts: 20.0, ..Electrical::default() };
        (config.device.current_amperes, config.imperfections) = (0.0, ElectricalImperfections::none());
        let built = config.build().unwrap();
        let mut plant = Simulated::new(built.system);
        let result = response(&mut plant, &*built.twin, &plan(Some(1e-6))).unwrap();
        let waveform = result.waveform.unwrap();
        let resonance = waveform.resonance.unwrap();
        assert!((resonance.hertz / 31.8e3 - 1.0).abs() < 0.01, "{resonance:?}");
        assert!((resonance.quality.unwrap() / 10.0 - 1.0).abs() < 0.03, "{resonance:?}");
        // A series resonator magnifies by its quality at resonance.
        assert!((resonance.gain / 10.0 - 1.0).abs() < 0.03, "{resonance:?}");
        let loudest = waveform.sweep.plant.last().unwrap();
        assert!(loudest.distortion < 1e-3, "a linear circuit has no harmonics: {loudest:?}");
        assert!(result.twin_error < 0.01);
    }

    #[test]
    fn noise_is_repeatability_and_a_twin_repeats_itself_exactly() {
        let config = Electrical { samples: 64, ..Electrical::default() };
        let built = config.build().unwrap();
        let mut plant = Simulated::new(built.system);
        let noisy = response(&mut plant, &*built.twin, &plan(Some(1e-6))).unwrap();
        // 2 mV of 1 V, with jitter and rounding on top.
        assert!((0.0018..0.004).contains(&noisy.repeats.relative), "{}", noisy.repeats.relative);
        let mut twin = Predicted::new(built.twin.clone());
        let quiet = response(&mut twin, &*built.twin, &plan(Some(1e-6))).unwrap();
        assert_eq!((quiet.repeats.relative, quiet.twin_error), (0.0, 0.0));
    }

    #[test]
    fn channels_show_their_derivatives_and_levels() {
        let built = Optical::default().build().unwrap();
        let mut plant = Predicted::new(built.twin.clone());
        let result = response(&mut plant, &*built.twin, &plan(None)).unwrap();
        let channels = result.channels.unwrap();
        assert_eq!((channels.plant.len(), channels.plant[0].len()), (50, 50));
        assert_eq!(channels.relative_error, 0.0);
        assert!(result.waveform.is_none());
        // Where all light is second harmonic of the data, the reading grows with a power of the level.
        assert!(channels.levels.first().unwrap().plant < channels.levels.last().unwrap().plant);
    }

    #[test]
    fn readings_that_are_not_numbers_are_no_response() {
        let text = "[inputs]\nu = { unit = \"1\", range = [-1, 1] }\n[outputs]\ny = { unit = \"1\", value = \"sqrt(u)\", range = [0, 1] }\n";
        let built = Equations::from_text("root.toml", text).build().unwrap();
        let mut plant = Simulated::new(built.system);
        let refused = response(&mut plant, &*built.twin, &plan(None)).unwrap_err();
        assert!(matches!(refused, Error::Rejected { .. }), "{refused}");
        assert!(refused.to_string().contains("reads what is not a finite number"), "{refused}");
    }

    #[test]
    fn oscillators_that_are_not_coupled_move_alone() {
        let built = Oscillators { count: 6, ..Oscillators::default() }.build().unwrap();
        let mut plant = Simulated::new(built.system);
        let channels = response(&mut plant, &*built.twin, &plan(None)).unwrap().channels.unwrap();
        for (output, row) in channels.plant.iter().enumerate() {
            for (input, gain) in row.iter().enumerate() {
                // q'' = −sin q: at small angles q(0.5) = q(0)·cos 0.5, here about the middle with a finite step.
                assert!(if output == input { 0.8 < gain.abs() } else { gain.abs() < 1e-3 }, "{output} {input} {gain}");
            }
        }
    }
}
