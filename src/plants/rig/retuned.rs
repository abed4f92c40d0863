//! A simulated plant some of whose keys are controls: it is built anew where one of them is turned, and its clock goes on. Of a system that is only
//! text the numbers of its file are keys as well, such as `coefficients.R.value`.

// Circle with plants/rig/knobs.rs: a knob says which key it is, and what is turned is made of knobs.

use drivers::{Bank, Batch, Card, Error, Plant, Ports, Range};
use serde_json::Value;
use sims::{Simulated, System};
use std::sync::Arc;

use super::config::PlantConfig;
use super::knobs::KnobConfig;
use super::system::SimulatedConfig;
use crate::output::unit_behind;

/// The units that keys end in.
const UNITS: [(&str, &str); 9] = [
    ("volts", "V"),
    ("amperes", "A"),
    ("ohms", "ohm"),
    ("hertz", "Hz"),
    ("seconds", "s"),
    ("meters", "m"),
    ("kilograms", "kg"),
    ("radians", "rad"),
    ("decibel", "dB"),
];

/// A simulated plant with keys as controls, behind those that it has.
pub struct Retuned {
    inner: Simulated,
    card: Card,
    config: PlantConfig,
    /// Path of the key, and what is added to its value.
    keys: Vec<(String, f32)>,
    seed: u64,
    /// What the keys are now.
    values: Vec<f32>,
}

impl Retuned {
    /// `inner` as `config` describes it, with these knobs. What cannot be built at an end of a range is refused now, with the key of the rig file
    /// that is wrong and the rest of the sentence.
    pub fn new(
        inner: Simulated,
        config: &PlantConfig,
        knobs: &[(&str, &KnobConfig)],
        seed: u64,
    ) -> Result<Self, (String, String)> {
        let mut card = inner.card().clone();
        for (name, knob) in knobs {
            card.ports.controls.push(Bank::new(name, 1, &knob.unit, Range::new(knob.low, knob.high)));
        }
        let keys = knobs.iter().map(|(_, knob)| (knob.simulated.clone().unwrap_or_default(), knob.hidden)).collect();
        let values: Vec<f32> = knobs.iter().map(|(_, knob)| knob.value).collect();
        let mut plant = Self { inner, card, config: config.clone(), keys, seed, values };
        for (place, (name, knob)) in knobs.iter().enumerate() {
            for (key, value) in [("low", knob.low), ("high", knob.high)] {
                let mut values = plant.values.clone();
                values[place] = value;
                plant.alike(&values).map_err(|why| {
                    let unit = unit_behind(&knob.unit);
                    let hidden = if knob.hidden == 0.0 {
                        String::new()
                    } else {
                        format!(" with the hidden {}{unit} added", knob.hidden)
                    };
                    let range = format!("is {value}{unit}, which `{}` cannot be{hidden}", plant.keys[place].0);
                    (format!("knobs.{name}.{key}"), format!("{range}: {why}"))
                })?;
            }
        }
        let system = plant.alike(&plant.values).map_err(|why| ("knobs".to_owned(), why))?;
        plant.inner.become_system(system);
        Ok(plant)
    }

    /// The system with its keys at these values, if it has the ports that it had.
    fn alike(&self, values: &[f32]) -> Result<Arc<dyn System>, String> {
        let system = self.system(values).map_err(|error| error.to_string())?;
        let counts = |ports: &Ports| [ports.input_count(), ports.control_count(), ports.output_count()];
        let (now, before) = (counts(&system.card().ports), counts(&self.inner.card().ports));
        if now == before {
            return Ok(system);
        }
        Err(format!("the plant then has {now:?} inputs, controls and outputs instead of {before:?}"))
    }

    /// Whether a system has such a key, with a number; a sentence says why not.
    pub fn known(system: &SimulatedConfig, key: &str) -> Result<(), String> {
        let mut value = serde_json::to_value(system).unwrap_or_default();
        match with(&mut value, key, |place| place.is_number()) {
            Some(true) => Ok(()),
            Some(false) => Err(format!("is `{key}`, which is no number")),
            None => Err(format!("is `{key}`, but the plant's system has no such key: `pnnlab schema` lists them")),
        }
    }

    /// The unit of the number at a key, where its name or the file of equations says it.
    pub fn unit(system: &SimulatedConfig, key: &str) -> Option<String> {
        let beside = key.strip_suffix(".value").and_then(|owner| {
            let mut written = serde_json::to_value(system).ok()?;
            with(&mut written, &format!("{owner}.unit"), |unit| unit.as_str().map(str::to_owned)).flatten()
        });
        let last = key.rsplit(['.', '_']).next();
        beside.or_else(|| UNITS.iter().find(|(word, _)| Some(*word) == last).map(|(_, unit)| (*unit).to_owned()))
    }

    fn system(&self, values: &[f32]) -> Result<Arc<dyn System>, sims::Error> {
        let mut written =
            self.config.simulated.as_ref().map(serde_json::to_value).and_then(Result::ok).unwrap_or_default();
        for ((key, hidden), value) in self.keys.iter().zip(values) {
            let value = f64::from(*value) + f64::from(*hidden);
            with(&mut written, key, |place| {
                let whole = place.is_u64() || place.is_i64();
                *place = if whole { serde_json::json!(value.round() as i64) } else { serde_json::json!(value) };
            });
        }
        let config: SimulatedConfig = serde_json::from_value(written).map_err(|_| sims::Error::Coefficient {
            system: "simulated",
            name: "knobs",
            value: f64::from(values.first().copied().unwrap_or_default()),
            unit: "1",
            expected: "the key must be able to take it",
        })?;
        let built = config.build(self.seed)?;
        self.config.leaking(built).map(|built| built.system)
    }
}

impl SimulatedConfig {
    /// The number at a key.
    pub fn number(&self, key: &str) -> Option<f64> {
        let mut value = serde_json::to_value(self).ok()?;
        with(&mut value, key, |place| place.as_f64()).flatten()
    }
}

/// Does something with the value at a path of keys, also where it stands in the text of a file of equations.
fn with<T>(system: &mut Value, path: &str, work: impl FnOnce(&mut Value) -> T) -> Option<T> {
    if let Some(found) = place(system, path) {
        return Some(work(found));
    }
    let text = system.get_mut("text")?;
    let mut file = serde_json::to_value(toml::from_str::<toml::Table>(text.as_str()?).ok()?).ok()?;
    let found = place(&mut file, path)?;
    // A text does not say of 200 that it must be a whole number.
    if let Some(number) = found.as_f64() {
        *found = serde_json::json!(number);
    }
    let done = work(found);
    *text = Value::String(toml::to_string(&file).ok()?);
    Some(done)
}

/// The value at a path of keys.
fn place<'a>(value: &'a mut Value, path: &str) -> Option<&'a mut Value> {
    path.split('.').try_fold(value, |value, key| value.get_mut(key))
}

impl Plant for Retuned {
    fn card(&self) -> &Card {
        &self.card
    }

    fn apply(&mut self, controls: &[f32]) -> Result<Vec<f32>, Error> {
        let (own, values) = controls.split_at(controls.len().saturating_sub(self.keys.len()));
        if self.values != values {
            let system = self
                .system(values)
                .map_err(|error| Error::Description { key: "simulated".to_owned(), message: error.to_string() })?;
            self.inner.become_system(system);
            self.values = values.to_vec();
        }
        let mut applied = self.inner.apply(own)?;
        applied.extend_from_slice(values);
        Ok(applied)
    }

    fn measure(&mut self, inputs: &Batch) -> Result<Batch, Error> {
        self.inner.measure(inputs)
    }

    fn make_safe(&mut self) -> Result<(), Error> {
        self.inner.make_safe()
    }
}

#[cfg(test)]
mod tests {
    use sims::{Electrical, Equations};

    use super::*;

    #[test]
    fn a_coefficient_of_a_text_is_a_key_and_all_else_of_the_text_stays() {
        let text = hil::SYSTEMS[0].1;
        let mut written = serde_json::json!({ "file": "systems/diode.toml", "text": text, "mismatch": 1.0 });
        let r = |written: &mut Value| with(written, "coefficients.R.value", |place| place.as_f64()).flatten();
        assert_eq!(r(&mut written), Some(200.0));
        with(&mut written, "coefficients.R.value", |place| *place = serde_json::json!(150.5)).unwrap();
        assert_eq!(r(&mut written), Some(150.5));
        let table = |text: &str| toml::from_str::<toml::Table>(text).unwrap();
        let (mut before, after) = (table(text), table(written["text"].as_str().unwrap()));
        before["coefficients"]["R"]["value"] = toml::Value::Float(150.5);
        assert_eq!(before, after);
        let order = |table: &toml::Table| table["coefficients"].as_table().unwrap().keys().cloned().collect::<Vec<_>>();
        assert_eq!(order(&before), order(&after));
        assert_eq!(with(&mut written, "mismatch", |place| place.as_f64()), Some(Some(1.0)));
        assert!(with(&mut written, "coefficients.Q.value", |_| ()).is_none());
    }

    #[test]
    fn the_unit_of_a_key_is_in_its_name_or_beside_it() {
        let text = Equations::from_text("systems/diode.toml", hil::SYSTEMS[0].1);
        let (electrical, text) = (SimulatedConfig::Electrical(Electrical::default()), SimulatedConfig::Equations(text));
        let of = Retuned::unit;
        assert_eq!(of(&electrical, "device.offset_volts").as_deref(), Some("V"));
        assert_eq!(of(&electrical, "resonance_hertz").as_deref(), Some("Hz"));
        assert_eq!(of(&electrical, "quality"), None);
        assert_eq!(of(&text, "coefficients.C.value").as_deref(), Some("F"));
        assert_eq!(of(&text, "coefficients.C.spread"), None);
        assert_eq!(of(&text, "time.sample_seconds").as_deref(), Some("s"));
    }
}
