//! Systems that are only text: a file of equations with units becomes a bench, a twin with exact derivatives, and coefficients that
//! a calibration fits.
//!
//! ```text
//! text ─► file ─► check ─► build ─► terms ─► steps, calculus ─► hoist ─► compile ─► programs ─► run ─► twin, bench
//!         what is declared  names,   canonical  derivatives    shared    registers   blocks of shots
//!                           units    forms                     terms
//! ```
//!
//! Equations are parsed, never run as code. Every term stands once in an arena; loops over indices stay loops where a system is
//! large. A program is a list of instructions, each of which works through a block of shots on the vector units with the
//! functions of [`Real`](crate::Real), so that readings are the same bits on every machine.

// Circle with equations/report.rs: a plant is built only where its steps are stable, which a report of its file looks at.

mod bench;
mod build;
mod calculus;
mod check;
mod compile;
mod constant;
mod elimination;
mod export;
mod factoring;
mod file;
mod functions;
mod hoist;
mod horner;
mod implicit;
mod machine;
mod model;
mod program;
mod report;
mod rosenbrock;
mod rules;
mod run;
mod steps;
mod syntax;
mod system;
mod terms;
#[cfg(test)]
pub(crate) mod tests;
pub mod trials;
mod twin;
mod units;
mod wording;

use std::sync::Arc;

use drivers::{Bank, Card, Identity, Origin, Ports, Range, Timing};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{Adjustable, Built, Coefficient, Converter, Error, Key};
use bench::TextBench;
pub use export::Language;
pub use file::tables::with_tables;
use model::{Method, Model, Quantity};
pub use report::SystemReport;
use run::Course;
use system::Compiled;
use twin::{Family, Runner, TextTwin};

/// A coefficient of a bench is at least this share of its value: resistances do not change their sign.
const LEAST_SHARE: f64 = 0.05;
/// The most values of a shot: beyond them nothing is made room for.
const MOST_PORTS: usize = 1 << 24;

/// A system from a file of equations, as a rig file describes it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Equations {
    /// The file, beside the rig.
    pub file: String,
    /// What stands in the file. Whoever opens the rig reads it; a run keeps it, so that the run is whole without the file.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub text: String,
    /// Samples of a shot, in place of what the file says.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 65_536))]
    pub samples: Option<usize>,
    /// Scales the spread of the coefficients (1). With 0 the terms of `[plant]` are left out too: the bench is the twin.
    #[schemars(range(min = 0, max = 100))]
    pub mismatch: f64,
    /// Decides this bench's coefficients.
    #[schemars(range(max = 9_223_372_036_854_775_807_u64))]
    pub plant_seed: u64,
    /// Decides the noise of each shot.
    #[schemars(range(max = 9_223_372_036_854_775_807_u64))]
    pub shot_seed: u64,
    /// From setting the controls until they have settled, in s.
    #[schemars(range(min = 0, max = 1e9))]
    pub settle_seconds: f64,
    /// Once per batch, in s.
    #[schemars(range(min = 0, max = 1e9))]
    pub latency_seconds: f64,
    /// After each shot, until the system rests, in s.
    #[schemars(range(min = 0, max = 1e9))]
    pub rest_seconds: f64,
}

impl Default for Equations {
    fn default() -> Self {
        Self {
            file: String::new(),
            text: String::new(),
            samples: None,
            mismatch: 1.0,
            plant_seed: 0,
            shot_seed: 0,
            settle_seconds: 0.0,
            latency_seconds: 0.0,
            rest_seconds: 0.0,
        }
    }
}

impl Equations {
    /// The system of `text`, which errors call `file`.
    pub fn from_text(file: &str, text: &str) -> Self {
        Self { file: file.to_owned(), text: text.to_owned(), ..Self::default() }
    }

    /// Time from sample to sample, in s, where a shot has several; `None` also of a file that cannot be read.
    pub fn sample_seconds(&self) -> Option<f64> {
        let (model, _) = self.read().ok()?;
        (1 < model.time.samples).then_some(model.time.sample_seconds)
    }

    /// Samples of a shot; `None` of a file that cannot be read.
    pub fn samples(&self) -> Option<usize> {
        self.read().ok().map(|(model, _)| model.time.samples)
    }

    /// What the file says of a coefficient, in its SI unit: that of the first element, where it has several. `None` where there is no such
    /// coefficient, or the file cannot be read.
    pub fn coefficient(&self, name: &str) -> Option<f64> {
        let (model, _) = self.read().ok()?;
        model.coefficients.iter().find(|known| known.name == name)?.values.first().copied()
    }

    /// Builds plant, twin and ideal from the file, or says where in it what is wrong.
    pub fn build(&self) -> Result<Built, Error> {
        let (model, plant) = self.read()?;
        let runner = runner(&model)?;
        let own = plant.filter(|_| self.mismatch != 0.0);
        let bench_runner = match &own {
            Some(plant) => self::runner(plant)?,
            None => runner.clone(),
        };
        let card = self.card(&model);
        let coefficients = self.bench_coefficients(own.as_ref().unwrap_or(&model));
        let mut ports = Vec::new();
        for (output, bank) in model.outputs.iter().zip(&card.ports.outputs) {
            ports.extend(std::iter::repeat_n(
                (output.noise as f32, Converter::new(bank.range, output.bits)),
                bank.count,
            ));
        }
        let system = TextBench {
            card: card.clone(),
            runner: bench_runner.clone(),
            coefficients: coefficients.clone(),
            ports,
            shots: Key::new(self.shot_seed).branch("equations shots"),
        };
        Ok(Built {
            system: Arc::new(system),
            twin: Arc::new(TextTwin::new(card.clone(), runner, nominal(&model))),
            ideal: Arc::new(TextTwin::new(card, bench_runner, coefficients)),
        })
    }

    /// The twins with other coefficients: those with a spread or a range, or all where none has one.
    pub fn adjustable(&self) -> Result<Arc<dyn Adjustable>, Error> {
        let (model, _) = self.read()?;
        let (mut found, mut place, is_fitted) = (Vec::new(), 0, fitted(&model));
        for coefficient in &model.coefficients {
            for (name, value) in model.elements(coefficient).iter().zip(&coefficient.values) {
                if is_fitted[place] {
                    // Five standard deviations, and at least half as much and half as much again.
                    let span = if *value == 0.0 { 1.0 } else { value.abs() * (5.0 * coefficient.spread).max(0.5) };
                    let range = coefficient.range.unwrap_or([value - span, value + span]);
                    let unit = model.words.say(coefficient.dimension);
                    found.push((Coefficient::new(name, &unit, *value, range), place));
                }
                place += 1;
            }
        }
        let runner = runner(&model)?;
        Ok(Arc::new(Family { card: self.card(&model), runner, nominal: nominal(&model), fitted: found }))
    }

    /// Elements of all that is computed, loops of sums counted as often as they run: how large the programs of every element would be;
    /// `None` of a file that cannot be read.
    pub fn size(&self) -> Option<usize> {
        self.read().ok().map(|(model, plant)| Compiled::parts(plant.as_ref().unwrap_or(&model)))
    }

    /// Reads and checks the file, and makes nothing of it.
    pub fn check(&self) -> Result<(), Error> {
        self.read().map(|_| ())
    }

    /// What the coefficients that a calibration fits are on this bench: what only a simulation knows.
    pub fn plant_coefficients(&self) -> Result<Vec<f64>, Error> {
        let (model, _) = self.read()?;
        let values = self.bench_coefficients(&model);
        let mut places = fitted(&model).into_iter();
        Ok(values.into_iter().filter(|_| places.next() == Some(true)).collect())
    }

    fn read(&self) -> Result<(Model, Option<Model>), Error> {
        let refuse =
            |name, value, expected| Err(Error::Coefficient { system: "equations", name, value, unit: "s", expected });
        for (name, value) in [
            ("settle_seconds", self.settle_seconds),
            ("latency_seconds", self.latency_seconds),
            ("rest_seconds", self.rest_seconds),
        ] {
            if !(0.0..=1e9).contains(&value) {
                return refuse(name, value, "it must be from 0 to 1e9");
            }
        }
        if !(0.0..=100.0).contains(&self.mismatch) {
            let (name, value, expected) = ("mismatch", self.mismatch, "it must be from 0 to 100; 1 is the bench");
            return Err(Error::Coefficient { system: "equations", name, value, unit: "1", expected });
        }
        if self.samples.is_some_and(|samples| !(1..=65_536).contains(&samples)) {
            let (name, value) = ("samples", self.samples.unwrap_or_default() as f64);
            let expected = "a shot has 1 to 65,536 samples";
            return Err(Error::Coefficient { system: "equations", name, value, unit: "1", expected });
        }
        let (model, plant) = file::read(&self.file, &self.text, self.samples)?;
        let ports = ports(&model);
        if MOST_PORTS < ports {
            let what =
                format!("a shot has {ports} values of inputs and outputs together: at most {MOST_PORTS} are handled");
            return Err(model.source.error(model.time.at, what));
        }
        for model in [Some(&model), plant.as_ref()].into_iter().flatten() {
            if model.time.method == Method::SemiImplicit && !Compiled::is_small(model) {
                let what = "semi-implicit steps are for small systems: take method = \"implicit\"";
                return Err(model.source.error(model.time.at, what));
            }
        }
        Ok((model, plant))
    }

    /// The bench's coefficients: each off by its spread, as `plant_seed` has it.
    fn bench_coefficients(&self, model: &Model) -> Vec<f64> {
        let pattern = Key::new(self.plant_seed).branch("equations");
        let mut values = Vec::new();
        for coefficient in &model.coefficients {
            let mut stream = pattern.branch(&coefficient.name).stream();
            let deviation = self.mismatch * coefficient.spread;
            let mut share = || (1.0 + deviation * f64::from(stream.normal())).max(LEAST_SHARE);
            values.extend(coefficient.values.iter().map(|value| value * share()));
        }
        values
    }

    fn card(&self, model: &Model) -> Card {
        let samples = model.time.samples;
        let bank = |quantity: &Quantity, samples: usize| {
            let [low, high] = quantity.range.unwrap_or_default().map(|end| end as f32);
            Bank::new(&quantity.name, samples * model.count(&quantity.shape), &quantity.unit, Range::new(low, high))
        };
        let outputs = model.outputs.iter().map(|output| {
            let count = model.count(&output.line.indices) * if output.at_end { 1 } else { samples };
            let [low, high] = output.range.map(|end| end as f32);
            Bank::new(&output.line.name, count, &output.unit, Range::new(low, high))
        });
        Card {
            identity: Identity {
                system: "equations".to_owned(),
                serial: format!("simulated-{}", self.plant_seed),
                origin: Origin::Simulated,
            },
            ports: Ports {
                inputs: model
                    .inputs
                    .iter()
                    .map(|input| bank(input, if input.is_static { 1 } else { samples }))
                    .collect(),
                controls: model.controls.iter().map(|control| bank(control, 1)).collect(),
                outputs: outputs.collect(),
            },
            timing: Timing {
                settle: self.settle_seconds,
                latency: self.latency_seconds,
                shot: samples as f64 * model.time.sample_seconds + self.rest_seconds,
            },
        }
    }
}

/// Values of inputs and outputs of a shot.
fn ports(model: &Model) -> usize {
    let of = |shape: &[usize], once: bool| model.count(shape).saturating_mul(if once { 1 } else { model.time.samples });
    let inputs = model.inputs.iter().map(|input| of(&input.shape, input.is_static));
    let outputs = model.outputs.iter().map(|output| of(&output.line.indices, output.at_end));
    inputs.chain(outputs).fold(0, usize::saturating_add)
}

/// The programs of a model, where its steps are stable in the given ranges.
fn runner(model: &Model) -> Result<Arc<Runner>, Error> {
    let course = Course::new(model);
    match report::undefined(model, &course).or_else(|| report::unstable(model, &course)) {
        Some(what) => Err(model.source.error(model.time.at, what)),
        None => Ok(Arc::new(Runner::new(course, ranges(model)))),
    }
}

/// Which elements of the coefficients are fitted: those with a spread or a range, or all where none has one.
fn fitted(model: &Model) -> Vec<bool> {
    let is_fitted = |coefficient: &Quantity| coefficient.spread != 0.0 || coefficient.range.is_some();
    let all = !model.coefficients.iter().any(is_fitted);
    let list = model.coefficients.iter();
    list.flat_map(|coefficient| vec![all || is_fitted(coefficient); coefficient.values.len()]).collect()
}

/// The coefficients of the file.
fn nominal(model: &Model) -> Vec<f64> {
    model.coefficients.iter().flat_map(|coefficient| coefficient.values.iter().copied()).collect()
}

/// The range of each output port.
fn ranges(model: &Model) -> Vec<Range> {
    let mut ranges = Vec::new();
    for output in &model.outputs {
        let count = model.count(&output.line.indices) * if output.at_end { 1 } else { model.time.samples };
        let [low, high] = output.range.map(|end| end as f32);
        ranges.extend(std::iter::repeat_n(Range::new(low, high), count));
    }
    ranges
}
