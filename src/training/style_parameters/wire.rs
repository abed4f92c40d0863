//! A knob that is a SCPI command: the pair is served here, its bias has drifted, and every value that is sent to it is overheard.

use std::path::Path;

use calibration::Strategy;
use hil::{Faults, Overheard, Wire};

use super::{Ask, SHOTS, tuned};
use crate::Error;
use crate::plants::{Rig, ServedInstrument};
use crate::training::batchnorm::Finding;
use crate::training::tune::{Healthy, take_reference};

/// The range of the knob, its largest step, where the bench was healthy, and where the knob stands when it has drifted.
const RANGE: [f32; 2] = [-0.5, 0.5];
const SLEW: f32 = 0.2;
const HEALTHY: f32 = 0.1;
const DRIFTED: f32 = -0.3;
/// What sets it.
const HEADER: &str = "SOUR2:VOLT:OFFS";

/// The pair with its knob at a value.
fn rig(value: f32) -> Result<Rig, Error> {
    let text = include_str!("../../../hil/rigs/scpi.toml")
        .replace("samples = 64\n\n# A shot", "samples = 64\nbias_volts = 0.5\n\n# A shot");
    let [low, high] = RANGE;
    let knob = format!(
        "[knobs.bias]\nplant = \"electrical\"\ncommand = \"{HEADER} {{value}}\"\nquery = \"{HEADER}?\"\nunit = \"V\"\nlow = {low:?}\nhigh = {high:?}\n\
         slew = {SLEW:?}\nvalue = {value:?}\n"
    );
    Rig::of_text("scpi", &format!("{text}\n{knob}"))
}

/// Serves it; the rig leads to the generator past whoever overhears.
fn served(rig: &Rig, seed: u64) -> Result<(Vec<ServedInstrument>, Overheard, Rig), Error> {
    let (instruments, config) = rig.serve(&Wire::Tcp { port: 0 }, &Faults::new(seed), seed)?;
    let unheard = |error: std::io::Error| Error::Usage(format!("style-parameters: nobody can listen: {error}"));
    let generator =
        instruments.first().ok_or_else(|| Error::Usage("style-parameters: nothing is served".to_owned()))?;
    let overheard = Overheard::before(&generator.address).map_err(unheard)?;
    let text = toml::to_string(&config).map_err(|error| Error::Usage(error.to_string()))?;
    let text = text.replace(&generator.address.to_string(), &overheard.address.to_string());
    Ok((instruments, overheard, Rig::of_text("scpi", &text)?))
}

/// How far the knob ends from where the bench was healthy, as a share of its range; how many values were sent beyond its range, and the largest step from
/// one to the next, as a share of what its slew allows.
pub fn over_the_wire(evaluations: usize, seed: u64, scratch: &Path) -> Result<Vec<Finding>, Error> {
    let reference = {
        let (_instruments, _overheard, rig) = served(&rig(HEALTHY)?, seed)?;
        take_reference(&rig, "electrical", SHOTS, seed)?
    };
    let (_instruments, overheard, rig) = served(&rig(DRIFTED)?, seed)?;
    let ask = Ask { evaluations, strategy: Strategy::PatternFirst, seed, scratch };
    let found = tuned(&rig, Healthy::Trace(&reference), ask)?.found;
    let ended = found.knobs.first().map_or(f64::NAN, |knob| f64::from((knob.after - HEALTHY).abs()));
    let sent = overheard.numbers(HEADER);
    let outside = sent.iter().filter(|value| !(RANGE[0]..=RANGE[1]).contains(*value)).count();
    // The step to the safe state, 0, is free; the way from there is not.
    let steps = sent.windows(2).filter(|pair| pair[1] != 0.0).map(|pair| (pair[1] - pair[0]).abs());
    let largest = steps.fold(0.0, f32::max);
    Ok(vec![
        Finding::new(
            "wire: distance from the healthy value, share of the range",
            ended / f64::from(RANGE[1] - RANGE[0]),
        ),
        Finding::new("wire: values sent to the knob", sent.len() as f64),
        Finding::new("wire: values beyond its range", outside as f64),
        Finding::new("wire: largest step, share of the slew", f64::from(largest / SLEW)),
    ])
}
