//! Noise-aware training: before the first update each plant's noise is taken from its fit, or measured; from then on the
//! predictions of its twin carry it. It is what people do who train in silico and know their bench's noise.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use calibration::{NoiseModel, Stimuli, Trace, fit_noise};
use drivers::Batch;
use sims::Key;
use toml::Table;

use crate::Error;
use crate::control::{Board, Monitor};
use crate::plants::{Lab, Noise};

/// Shots from which the noise of a plant without a fit is learned: stimuli and repeats.
pub(super) const NOISE_SHOTS: [usize; 2] = [100, 10];

/// Stimuli that share one setting of the controls.
pub(super) const PER_SETTING: usize = 20;

/// Keeps the noise of one plant's predictions.
pub(super) struct NoiseKeeper {
    name: String,
    plant: String,
    place: usize,
    key: Key,
    /// How many outputs the plant has.
    outputs: usize,
    model: Option<NoiseModel>,
    shots: Arc<AtomicU64>,
    in_use: bool,
}

impl NoiseKeeper {
    /// One for each plant.
    pub fn of_lab(lab: &Lab, key: Key) -> Vec<Box<dyn Monitor>> {
        let keeper = |plant: &str| -> Option<Box<dyn Monitor>> {
            let place = lab.find(plant)?;
            Some(Box::new(Self {
                name: format!("noise of {plant}"),
                place,
                outputs: lab.card(place).ports.output_count(),
                key: key.branch("noise").branch(plant),
                plant: plant.to_owned(),
                model: None,
                shots: Arc::default(),
                in_use: false,
            }))
        };
        lab.names().into_iter().filter_map(keeper).collect()
    }
}

impl Monitor for NoiseKeeper {
    fn name(&self) -> &str {
        &self.name
    }

    fn look(&mut self, _step: usize, lab: &mut Lab, _board: &Board) -> Result<(), Error> {
        if std::mem::replace(&mut self.in_use, true) {
            return Ok(());
        }
        let known = self.model.take().or_else(|| lab.fit(self.place).and_then(|fit| fit.fit.noise.clone()));
        let model = match known {
            Some(model) => model,
            None => measured_noise(lab, (self.place, &self.plant), self.key)?,
        };
        self.model = Some(model.clone());
        let noise = Noise { model: Arc::new(model), key: self.key.branch("predictions"), shots: self.shots.clone() };
        lab.add_noise(self.place, noise);
        Ok(())
    }

    fn state(&self) -> Table {
        let mut table = Table::new();
        table.insert("shots".to_owned(), toml::Value::Integer(self.shots.load(Ordering::Relaxed) as i64));
        if let Some(plain) = self.model.as_ref().and_then(|model| toml::Value::try_from(model.plain()).ok()) {
            table.insert("model".to_owned(), plain);
        }
        table
    }

    fn restore(&mut self, state: &Table) -> Result<(), String> {
        let shots = state.get("shots").and_then(toml::Value::as_integer).ok_or("has no `shots` of the noise")?;
        self.shots.store(shots as u64, Ordering::Relaxed);
        if let Some(plain) = state.get("model") {
            let plain: [Vec<f64>; 4] = plain.clone().try_into().map_err(|error: toml::de::Error| error.to_string())?;
            let model = NoiseModel::from_plain(&plain).filter(|model| model.outputs() == self.outputs);
            self.model = Some(model.ok_or("has a noise model of the wrong size")?);
        }
        Ok(())
    }
}

/// From now on the predictions of each plant's twin carry its noise, which is measured for it: for trainings that nothing looks after.
pub(in crate::training) fn add_noise(lab: &mut Lab, key: Key) -> Result<(), Error> {
    let names: Vec<String> = lab.names().into_iter().map(str::to_owned).collect();
    for plant in names {
        let Some(place) = lab.find(&plant) else { continue };
        let key = key.branch("noise").branch(&plant);
        let model = Arc::new(measured_noise(lab, (place, &plant), key)?);
        lab.add_noise(place, Noise { model, key: key.branch("predictions"), shots: Arc::default() });
    }
    Ok(())
}

/// Measures the noise of one plant.
fn measured_noise(lab: &mut Lab, (place, plant): (usize, &str), key: Key) -> Result<NoiseModel, Error> {
    let card = lab.card(place).clone();
    let [count, repeats] = NOISE_SHOTS;
    let stimuli = Stimuli::smooth(&card.ports, count, PER_SETTING, key);
    let shots = count * repeats;
    let mut trace = Trace {
        provenance: BTreeMap::new(),
        settings: stimuli.settings.clone(),
        setting_of: Vec::with_capacity(shots),
        stimulus: Vec::with_capacity(shots),
        seconds: vec![0.0; shots],
        inputs: Batch::zeros(0, card.ports.input_count()),
        outputs: Batch::zeros(0, card.ports.output_count()),
        card,
    };
    let mut first = 0;
    for (setting, inputs) in stimuli.by_setting() {
        for _ in 0..repeats {
            let (_, outputs) = lab.run_apart(place, stimuli.settings.row(setting as usize), &inputs)?;
            trace.inputs = trace.inputs.followed_by(&inputs);
            trace.outputs = trace.outputs.followed_by(&outputs);
            trace.setting_of.extend(std::iter::repeat_n(setting, inputs.rows()));
            trace.stimulus.extend((first..first + inputs.rows()).map(|stimulus| stimulus as u32));
        }
        first += inputs.rows();
    }
    let fitted = fit_noise(&trace, key).map_err(Error::calibration(plant))?;
    Ok(fitted.0)
}
