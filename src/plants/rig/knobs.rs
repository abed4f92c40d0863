//! `[knobs.NAME]`: what can be set on a bench but is not trained, such as a gain, a bias, a temperature, a tilt.
//!
//! A knob is a control of a plant that is held apart: training does not see it, limits and slew hold for it as for any control, and it stands where the
//! rig file says. What a SCPI command sets becomes such a control of the bench; on a simulated plant it is a key of its system.

// Circle with plants/rig/config.rs: a rig declares its knobs, and a knob is checked against the rig that it is of.
// Circle with plants/rig/held.rs: a plant that is held looks where its knobs stand, and knobs say what is held.
// Circle with plants/rig/retuned.rs: a knob says which key it is, and what is turned is made of knobs.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use drivers::{Plant, ScpiControlConfig};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use sims::Twin;

use super::bench::InstrumentsConfig;
use super::config::{PlantConfig, RigConfig};
use super::held::{HeldApart, HeldTwin, Places};
use super::limits::RangeConfig;
use super::retuned::Retuned;
use crate::Error;
use crate::document::{Document, list};
use crate::output::unit_behind;

/// Steps from one end of a knob's range to the other at most.
const MOST_STEPS: f32 = 10_000.0;

/// What can be set on a bench but is not trained. Give exactly one of `control`, `setting`, `command` and `simulated`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct KnobConfig {
    /// The plant that it belongs to.
    pub plant: String,
    /// Its unit, such as `V`; `1` for a pure number. Of a control, a setting, and a key whose unit is known it must be the same; of a command
    /// it is as you say.
    pub unit: String,
    /// Smallest value.
    #[schemars(range(min = -1e12, max = 1e12))]
    pub low: f32,
    /// Largest value.
    #[schemars(range(min = -1e12, max = 1e12))]
    pub high: f32,
    /// Where it stands. `pnnlab tune` writes what it has found here.
    #[schemars(range(min = -1e12, max = 1e12))]
    pub value: f32,
    /// Largest step from one setting to the next; what is further away is reached in as many steps as that takes. Left out, any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(max = 1e12), extend("exclusiveMinimum" = 0))]
    pub slew: Option<f32>,
    /// A control of the plant, by its bank of one port: it is held apart, and training does not see it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub control: Option<String>,
    /// A control that a board which speaks pnnlink has, by its bank of one port.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub setting: Option<String>,
    /// A SCPI command of the instrument that drives, with `{value}` among what it takes, such as `SOUR2:VOLT:OFFS {value}`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub command: Option<String>,
    /// Reads the command's value back, such as `SOUR2:VOLT:OFFS?`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub query: Option<String>,
    /// Of a command: from when the instrument has taken it to when the plant has followed, in s.
    #[serde(default)]
    #[schemars(range(min = 0, max = 60))]
    pub settle_seconds: f64,
    /// A key of a simulated plant's system, such as `device.offset_volts`: the plant is built anew with it, the twin stays.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub simulated: Option<String>,
    /// Of a simulated plant: what is added to the value before it takes effect, which nobody on the bench knows (0): a drift that the knob is to undo.
    #[serde(default)]
    #[schemars(range(min = -1e12, max = 1e12))]
    pub hidden: f32,
}

/// Where the knobs of a rig stand now; all copies are one.
#[derive(Debug, Clone, Default)]
pub struct Knobs(Arc<Mutex<BTreeMap<String, f32>>>);

impl Knobs {
    /// Where the rig file says.
    pub fn of(config: &RigConfig) -> Self {
        Self(Arc::new(Mutex::new(config.knobs.iter().map(|(name, knob)| (name.clone(), knob.value)).collect())))
    }

    /// Where these stand.
    pub fn values(&self, names: &[String]) -> Vec<f32> {
        let all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        names.iter().map(|name| all.get(name).copied().unwrap_or_default()).collect()
    }

    /// Turns some: they are set before the plant is driven next.
    pub fn turn(&self, names: &[String], values: &[f32]) {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.extend(names.iter().cloned().zip(values.iter().copied()));
    }
}

impl KnobConfig {
    /// The bank of controls that it is, in the plant as it is opened.
    pub fn bank<'a>(&'a self, name: &'a str) -> &'a str {
        self.control.as_deref().or(self.setting.as_deref()).unwrap_or(name)
    }
}

/// Refuses knobs that cannot be turned.
pub(super) fn check(config: &RigConfig, document: &Document) -> Result<(), Error> {
    for (name, knob) in &config.knobs {
        let refuse = |key: &str, message: String| Err(document.refuse(&format!("knobs.{name}{key}"), message));
        let ways = [&knob.control, &knob.setting, &knob.command, &knob.simulated];
        if ways.iter().filter(|way| way.is_some()).count() != 1 {
            return refuse(
                "",
                "must have exactly one of `control`, `setting`, `command` and `simulated`: say what is turned"
                    .to_owned(),
            );
        }
        if knob.low.partial_cmp(&knob.high) != Some(std::cmp::Ordering::Less) {
            return refuse(".high", format!("is {}, which is not above `low`, {}", knob.high, knob.low));
        }
        if !(knob.low..=knob.high).contains(&knob.value) {
            let (value, unit) = (knob.value, unit_behind(&knob.unit));
            return refuse(".value", format!("is {value}{unit}: it must be from {} to {}{unit}", knob.low, knob.high));
        }
        if knob.slew.is_some_and(|slew| !(slew.is_finite() && 0.0 < slew)) {
            return refuse(".slew", "must be above 0: leave it out for any step".to_owned());
        }
        if knob.slew.is_some_and(|slew| MOST_STEPS * slew < knob.high - knob.low) {
            let most = format!("is so small that the way through the range takes more than {MOST_STEPS} steps");
            return refuse(".slew", most);
        }
        let Some(plant) = config.plants.get(&knob.plant) else {
            let known: Vec<&str> = config.plants.keys().map(String::as_str).collect();
            return refuse(".plant", format!("is `{}`, but the rig has {}", knob.plant, list(&known)));
        };
        let others = config.knobs.iter().filter(|(other, _)| *other != name);
        let same = |other: &KnobConfig| {
            other.plant == knob.plant
                && (&other.simulated, &other.command, other.control.as_ref().or(other.setting.as_ref()))
                    == (&knob.simulated, &knob.command, knob.control.as_ref().or(knob.setting.as_ref()))
        };
        if let Some((other, _)) = others.into_iter().find(|(_, other)| same(other)) {
            return refuse("", format!("turns what the knob `{other}` turns: leave one of the two out"));
        }
        if let Some(key) = &knob.simulated {
            if let Err((own, message)) = check_simulated(knob, key, plant) {
                return refuse(own, message);
            }
        } else if knob.hidden != 0.0 {
            return refuse(
                ".hidden",
                "is for knobs that are keys of a simulated plant: nothing else can be told to drift".to_owned(),
            );
        }
        let of_commands = [(".query", knob.query.is_some()), (".settle_seconds", 0.0 < knob.settle_seconds)];
        if let Some((key, _)) = of_commands.into_iter().find(|(_, is_given)| *is_given && knob.command.is_none()) {
            return refuse(key, "is of a knob that is set by a `command`: leave it out".to_owned());
        }
        let controls = plant.bench.as_ref().and_then(|bench| bench.instruments.scpi_controls());
        if let Some(command) = &knob.command {
            let Some(controls) = controls else {
                return refuse(
                    ".command",
                    format!("is a SCPI command, but plant `{}` has no instrument that takes any", knob.plant),
                );
            };
            let header = |command: &str| command.split_whitespace().next().unwrap_or_default().to_ascii_uppercase();
            if let Some((control, _)) =
                controls.0.iter().find(|(_, control)| header(&control.command) == header(command))
            {
                return refuse(
                    ".command",
                    format!(
                        "sets what the control `{control}` sets, which training sets too: hold it apart with `control = \"{control}\"`"
                    ),
                );
            }
            if controls.0.contains_key(name) {
                return refuse(
                    "",
                    format!("has the name of the control `{name}`, which training sets: give the knob another name"),
                );
            }
        }
        if knob.setting.is_some()
            && !plant.bench.as_ref().is_some_and(|bench| matches!(bench.instruments, InstrumentsConfig::Pnnlink(_)))
        {
            return refuse(
                ".setting",
                format!("is of a board that speaks pnnlink, but plant `{}` is none: name a `control`", knob.plant),
            );
        }
    }
    Ok(())
}

/// Refuses what is no number of a simulated plant's system, or has another unit; with the key of the knob that is wrong.
fn check_simulated(knob: &KnobConfig, key: &str, plant: &PlantConfig) -> Result<(), (&'static str, String)> {
    let name = &knob.plant;
    let Some(system) = &plant.simulated else {
        return Err((".simulated", format!("is a key of a simulated plant, but plant `{name}` is none")));
    };
    if plant.shift.is_some() {
        let message = format!("cannot be turned on plant `{name}`, which has a `shift` that changes it as well");
        return Err((".simulated", message));
    }
    Retuned::known(system, key).map_err(|message| (".simulated", message))?;
    match Retuned::unit(system, key) {
        Some(unit) if !is_same_unit(&unit, &knob.unit) => Err((".unit", other_unit(&knob.unit, key, &unit))),
        _ => Ok(()),
    }
}

/// Whether two words are of one unit.
fn is_same_unit(a: &str, b: &str) -> bool {
    // The Greek letter, and the sign of its own.
    let plain = |unit: &str| unit.trim().replace(['Ω', '\u{2126}'], "ohm");
    plain(a) == plain(b)
}

/// That a knob is in another unit than what it turns.
fn other_unit(wrong: &str, turned: &str, unit: &str) -> String {
    format!("is `{wrong}`, but `{turned}` is in {unit}: write `{unit}`, and all numbers of the knob in it")
}

/// The knobs of one plant.
pub(super) struct OfPlant<'a> {
    name: &'a str,
    knobs: Vec<(&'a String, &'a KnobConfig)>,
}

impl<'a> OfPlant<'a> {
    pub fn new(config: &'a RigConfig, name: &'a str) -> Self {
        Self { name, knobs: config.knobs.iter().filter(|(_, knob)| knob.plant == name).collect() }
    }

    /// The plant's description with commands as controls of its bench, and limits for all.
    pub fn as_controls(&self, config: &PlantConfig) -> PlantConfig {
        let mut config = config.clone();
        for (name, knob) in &self.knobs {
            let bank = knob.bank(name).to_owned();
            if let (Some(command), Some(bench)) = (&knob.command, &mut config.bench) {
                let control = ScpiControlConfig {
                    command: command.clone(),
                    query: knob.query.clone(),
                    unit: knob.unit.clone(),
                    low: knob.low,
                    high: knob.high,
                    settle_seconds: knob.settle_seconds,
                    tolerance: None,
                    on: None,
                    off: None,
                };
                if let Some(controls) = bench.instruments.scpi_controls_mut() {
                    controls.0.insert(bank.clone(), control);
                }
            }
            config.limits.controls.insert(bank.clone(), RangeConfig { low: knob.low, high: knob.high });
            if let Some(slew) = knob.slew {
                config.limits.slew.insert(bank, slew);
            }
        }
        config
    }

    /// A simulated plant whose keys are controls of it; any other as it is. An error is the key of the rig file that is wrong, and the rest of
    /// the sentence.
    pub fn retuned(
        &self,
        config: &PlantConfig,
        plant: sims::Simulated,
        seed: u64,
    ) -> Result<Box<dyn Plant>, (String, String)> {
        let keys: Vec<(&str, &KnobConfig)> = self
            .knobs
            .iter()
            .filter(|(_, knob)| knob.simulated.is_some())
            .map(|(name, knob)| (name.as_str(), *knob))
            .collect();
        match &config.simulated {
            Some(_) if !keys.is_empty() => Ok(Box::new(Retuned::new(plant, config, &keys, seed)?)),
            _ => Ok(Box::new(plant)),
        }
    }

    /// The plant without its knobs, which stand where `knobs` says; nothing where it has none.
    pub fn hold(&self, plant: Box<dyn Plant>, knobs: &Knobs) -> Result<Box<dyn Plant>, String> {
        if self.knobs.is_empty() {
            return Ok(plant);
        }
        let places = self.places(plant.card().ports.controls.as_slice(), true)?;
        Ok(Box::new(HeldApart::new(plant, places, knobs.clone())))
    }

    /// The twin without those knobs that it has.
    pub fn hold_twin(&self, twin: Arc<dyn Twin>, knobs: &Knobs) -> Result<Arc<dyn Twin>, String> {
        let places = self.places(twin.card().ports.controls.as_slice(), false)?;
        if places.names.is_empty() {
            return Ok(twin);
        }
        let values = knobs.values(&places.names);
        Ok(Arc::new(HeldTwin::new(twin, places, values)))
    }

    /// Where the knobs are among controls.
    fn places(&self, banks: &[drivers::Bank], all: bool) -> Result<Places, String> {
        let mut places = Places::default();
        for (name, knob) in &self.knobs {
            let bank = knob.bank(name);
            let mut first = 0;
            let found = banks.iter().find(|known| {
                let is_it = known.name == bank;
                first += if is_it { 0 } else { known.count };
                is_it
            });
            match found {
                Some(found) if found.count == 1 && is_same_unit(&found.unit, &knob.unit) => {
                    places.add(name, first, knob.slew);
                }
                Some(found) if found.count == 1 => {
                    let why = other_unit(&knob.unit, bank, &found.unit);
                    return Err(format!("has the knob `{name}`, whose `unit` {why}"));
                }
                Some(found) => {
                    return Err(format!(
                        "has the knob `{name}`, but its control `{bank}` has {} ports: a knob is one",
                        found.count
                    ));
                }
                None if all => {
                    let known: Vec<&str> = banks.iter().map(|bank| bank.name.as_str()).collect();
                    let has =
                        if known.is_empty() { "has no controls".to_owned() } else { format!("has {}", list(&known)) };
                    return Err(format!(
                        "has the knob `{name}`, which is the control `{bank}`, but plant `{}` {has}",
                        self.name
                    ));
                }
                None => {}
            }
        }
        Ok(places)
    }
}
