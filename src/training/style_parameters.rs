//! What the search for knobs is held against: benches that have drifted are brought back by their signature (after Yakura and others, arXiv 2105.09207).
//! `pnnlab reproduce style-parameters` judges the numbers.
//!
//! A network is trained on the healthy bench, and the bench's signature taken. Then six coefficients of the bench drift, each by a part of its range that
//! nobody knows, and six knobs turn them back: what is on the knob, plus the drift, takes effect. The network is not trained again.

mod program;
mod wire;

use std::fmt::Write as _;
use std::path::Path;

use calibration::{Reduction, Signature, Strategy};
use drivers::Batch;
use sims::Key;

use crate::Error;
use crate::data::Dataset;
use crate::document::Document;
use crate::network::Network;
use crate::plants::{Derivatives, Lab, Rig};
use crate::record::Saved;
use crate::training::tune::{Found, Healthy, Metric, Range, Search, Tuned, Tuning, Turned, take_reference};
use crate::training::{Experiment, Trainer};

pub use program::program;
pub use wire::over_the_wire;

/// Shots of a signature.
pub(super) const SHOTS: usize = 64;
/// The largest drift, as a share of the half range of a knob.
const DRIFT: f32 = 0.5;

/// A simulated bench with knobs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Bench {
    /// A transistor in a resonator.
    Electrical,
    /// Second-harmonic generation.
    Optical,
    /// A diode across a resonator's capacitor, which is only text.
    Diode,
}

impl Bench {
    /// Its plant in the built-in rig.
    pub fn name(self) -> &'static str {
        match self {
            Self::Electrical => "electrical",
            Self::Optical => "optical",
            Self::Diode => "diode",
        }
    }

    /// What it is made of.
    fn plant(self) -> &'static str {
        match self {
            Self::Electrical => "system = \"electrical\"\nsamples = 64\n",
            Self::Optical => "system = \"optical\"\n",
            Self::Diode => "system = \"equations\"\nfile = \"systems/diode.toml\"\nsamples = 32\n",
        }
    }

    /// Key and unit of each coefficient that has a knob, and half the knob's range: as a share of the healthy value, and besides.
    fn coefficients(self) -> &'static [(&'static str, &'static str, f32, f32)] {
        match self {
            Self::Electrical => &[
                ("resonance_hertz", "Hz", 0.3, 0.0),
                ("impedance_ohms", "ohm", 0.4, 0.0),
                ("quality", "1", 0.4, 0.0),
                ("device.offset_volts", "V", 0.0, 0.3),
                ("device.scale_volts", "V", 0.4, 0.0),
                ("device.own", "1", 0.4, 0.0),
            ],
            Self::Optical => &[
                ("quadratic_radians", "rad", 0.4, 0.0),
                ("cubic_radians", "rad", 0.4, 0.0),
                ("exposure", "1", 0.6, 0.0),
                ("dark_level", "1", 0.5, 0.0),
                ("pulse_seconds", "s", 0.2, 0.0),
                ("mismatch", "1", 0.5, 0.0),
            ],
            Self::Diode => &[
                ("coefficients.R.value", "ohm", 0.6, 0.0),
                ("coefficients.C.value", "F", 0.4, 0.0),
                ("coefficients.Is.value", "A", 0.8, 0.0),
                ("coefficients.Vd.value", "V", 0.2, 0.0),
            ],
        }
    }

    /// The healthy values: those that the system has by default.
    fn healthy(self) -> Result<Vec<f32>, Error> {
        let rig = Rig::of_text("style-parameters", &self.rig(&[]))?;
        let plant = rig.config.plants.get(self.name()).and_then(|plant| plant.simulated.as_ref());
        let of = |key: &str| {
            plant
                .and_then(|system| system.number(key))
                .ok_or_else(|| Error::Usage(format!("style-parameters: the system {} has no key `{key}`", self.name())))
        };
        self.coefficients().iter().map(|(key, ..)| of(key).map(|value| value as f32)).collect()
    }

    /// The range of a knob around the healthy value.
    fn range(self, knob: usize, healthy: f32) -> (f32, f32) {
        let (_, _, share, besides) = self.coefficients()[knob];
        let half = share * healthy.abs() + besides;
        (healthy - half, healthy + half)
    }

    /// A rig with the plant, and knobs whose healthy value is off by these.
    fn rig(self, hidden: &[(f32, f32)]) -> String {
        let mut text = format!("name = \"{0}\"\n[plants.{0}.simulated]\n{1}", self.name(), self.plant());
        for (knob, ((key, unit, ..), (healthy, drift))) in self.coefficients().iter().zip(hidden).enumerate() {
            let (low, high) = self.range(knob, *healthy);
            let _ = write!(
                text,
                "[knobs.k{knob}]\nplant = \"{}\"\nsimulated = \"{key}\"\nunit = \"{unit}\"\nlow = {low:?}\nhigh = {high:?}\nvalue = {healthy:?}\nhidden = {drift:?}\n",
                self.name()
            );
        }
        text
    }

    /// Digits through two passes of the plant.
    fn experiment(self, steps: usize) -> String {
        let (before, between) = match self {
            Self::Optical => ("kind = \"linear\"\nwidth = 50", "scale = 0.2\noffset = 0.4\n"),
            _ => ("kind = \"scale-offset\"\noffset = -0.4", "scale = 0.4\n"),
        };
        // The statistics are those of the healthy bench: nothing but the knobs brings the drifted one back.
        let pass = format!(
            "[[layers]]\nkind = \"physical\"\nplant = \"{}\"\n[[layers]]\nkind = \"normalize\"\nepsilon = 1e-8\n",
            self.name()
        );
        format!(
            "name = \"style-parameters\"\n[data]\nsource = \"digits\"\ntest = 500\nvalidation = 0\n[training]\nsteps = {steps}\nbatch = 128\nlearning_rate = 0.01\n\
             evaluate_every = 0\n[[layers]]\n{before}\n{pass}{between}{pass}[[layers]]\nkind = \"linear\"\nwidth = 10\n"
        )
    }
}

/// How far each coefficient has drifted: between 30 and 100 % of [`DRIFT`], to either side.
fn drifts(bench: Bench, healthy: &[f32], seed: u64) -> Vec<(f32, f32)> {
    let mut stream = Key::new(seed).branch("style-parameters").branch(bench.name()).stream();
    let of = |(knob, healthy): (usize, &f32)| {
        let (low, high) = bench.range(knob, *healthy);
        let sign = if stream.uniform() < 0.5 { -1.0 } else { 1.0 };
        (*healthy, sign * (0.3 + 0.7 * stream.uniform()) * DRIFT * 0.5 * (high - low))
    };
    healthy.iter().enumerate().map(of).collect()
}

/// A network that was trained on the healthy bench.
pub struct Trained {
    bench: Bench,
    experiment: Experiment,
    document: Document,
    data: Dataset,
    saved: Saved,
    healthy: Vec<f32>,
}

impl Trained {
    /// Trains it by so many updates.
    pub fn new(bench: Bench, steps: usize, seed: u64) -> Result<Self, Error> {
        let document = Document::parse("style-parameters", &bench.experiment(steps))?;
        let experiment: Experiment = document.check()?;
        let data = Dataset::load(&experiment.data, None, &document, Key::new(seed).branch("data"))?;
        let healthy = bench.healthy()?;
        let rig = Rig::of_text("style-parameters", &bench.rig(&[]))?;
        let mut lab = Lab::new(rig.open(&[bench.name()], seed)?, Derivatives::Twin)?;
        let network = Network::build(experiment.layout(), &document, &lab, &data)?;
        let training = &experiment.training;
        let mut trainer = Trainer::new(network, &data, training, training.method, Key::new(seed));
        trainer.updates(training.steps, &mut lab)?;
        trainer.measure_all(None, &mut lab)?;
        let saved = trainer.saved();
        Ok(Self { bench, experiment, document, data, saved, healthy })
    }

    /// Its accuracy on a bench.
    fn accuracy(&self, rig: &Rig, seed: u64) -> Result<f64, Error> {
        let mut lab = Lab::new(rig.clone().open(&[self.bench.name()], seed)?, Derivatives::Twin)?;
        let network = Network::build(self.experiment.layout(), &self.document, &lab, &self.data)?;
        let training = &self.experiment.training;
        let mut trainer = Trainer::new(network, &self.data, training, training.method, Key::new(seed));
        trainer.take_over(&self.saved).map_err(Error::Data)?;
        Ok(trainer.test_scores(&mut lab)?.first())
    }

    /// E1: accuracy on the healthy bench, after the drift, and after the knobs were tuned.
    pub fn recovered(&self, evaluations: usize, seed: u64, scratch: &Path) -> Result<[f64; 3], Error> {
        let still: Vec<(f32, f32)> = self.healthy.iter().map(|healthy| (*healthy, 0.0)).collect();
        let healthy = Rig::of_text("style-parameters", &self.bench.rig(&still))?;
        let drifted = Rig::of_text("style-parameters", &self.bench.rig(&drifts(self.bench, &self.healthy, seed)))?;
        let reference = take_reference(&healthy, self.bench.name(), SHOTS, seed)?;
        let [before, after] = [&healthy, &drifted].map(|rig| self.accuracy(rig, seed));
        let ask = Ask { evaluations, strategy: Strategy::PatternFirst, seed, scratch };
        tuned(&drifted, Healthy::Trace(&reference), ask)?;
        Ok([before?, after?, self.accuracy(&drifted, seed)?])
    }
}

/// How a bench is tuned.
#[derive(Clone, Copy)]
struct Ask<'a> {
    evaluations: usize,
    strategy: Strategy,
    seed: u64,
    scratch: &'a Path,
}

/// Tunes all knobs of a rig, and leaves them where they are best.
fn tuned(rig: &Rig, reference: Healthy<'_>, ask: Ask<'_>) -> Result<Tuned, Error> {
    let journal = ask.scratch.join(format!("{}-{}-{:?}.jsonl", rig.config.name, ask.seed, ask.strategy));
    let tuning = Tuning {
        rig,
        plant: None,
        knobs: &[],
        reference,
        shots: SHOTS,
        metric: Metric::Statistics,
        evaluations: ask.evaluations,
        strategy: ask.strategy,
        seed: ask.seed,
        journal: &journal,
        resume: false,
        folder: None,
    };
    tuning.run(&mut |_| {})
}

/// E2: the distance on shots that the search has not seen, as a share of that at the start: of the search as it comes, and of settings at random.
pub fn held_out(bench: Bench, evaluations: usize, seed: u64, scratch: &Path) -> Result<[f64; 2], Error> {
    let values = bench.healthy()?;
    let still: Vec<(f32, f32)> = values.iter().map(|healthy| (*healthy, 0.0)).collect();
    let healthy = Rig::of_text("style-parameters", &bench.rig(&still))?;
    let reference = take_reference(&healthy, bench.name(), SHOTS, seed)?;
    let signature = |rig: &Rig| -> Result<Signature, Error> {
        let trace = take_reference(rig, bench.name(), SHOTS, seed + 1000)?;
        let rows: Vec<f64> = trace.outputs.iter().flat_map(|row| Reduction::Each.columns(row)).collect();
        Ok(Signature::of(bench.name(), &rows, trace.outputs.columns()))
    };
    let unseen = signature(&healthy)?;
    let mut shares = [0.0; 2];
    for (share, strategy) in shares.iter_mut().zip([Strategy::PatternFirst, Strategy::Random]) {
        let drifted = Rig::of_text("style-parameters", &bench.rig(&drifts(bench, &values, seed)))?;
        let before = signature(&drifted)?.squared_distance(&unseen)?;
        tuned(&drifted, Healthy::Trace(&reference), Ask { evaluations, strategy, seed, scratch })?;
        *share = (signature(&drifted)?.squared_distance(&unseen)? / before).max(0.0).sqrt();
    }
    Ok(shares)
}

/// The electrical plant behind an amplifier and a delay, both of which can be turned.
struct Delayed {
    lab: Lab,
    shots: Batch,
    reduction: Reduction,
}

impl Turned for Delayed {
    fn read(&mut self, values: &[f32]) -> Result<Signature, Error> {
        let (_, outputs) = self.lab.run(0, crate::plants::Forward::Plant, &[], &self.shots)?;
        let late = values[1].round().max(0.0) as usize;
        let rows: Vec<f64> = outputs
            .iter()
            .flat_map(|row| {
                let mut shot: Vec<f32> = row.iter().map(|reading| values[0] * reading).collect();
                let late = late.min(shot.len());
                shot.rotate_right(late);
                self.reduction.columns(&shot)
            })
            .collect();
        let columns = rows.len() / self.shots.rows().max(1);
        Ok(Signature::of("delayed", &rows, columns))
    }
}

/// E3: a gain and a delay under a signature that knows no beginning of a shot, and under one that does. Whether the delay was told as unseen, and whether it was
/// seen; 1 is yes.
pub fn delay(seed: u64) -> Result<[f64; 2], Error> {
    let mut answers = [0.0; 2];
    for (answer, reduction) in answers.iter_mut().zip([Reduction::Shiftless, Reduction::Each]) {
        let rig = Rig::of_text("style-parameters", &Bench::Electrical.rig(&[]))?;
        let lab = Lab::new(rig.open(&["electrical"], seed)?, Derivatives::Twin)?;
        let mut stream = Key::new(seed).branch("delay").stream();
        let shots = Batch::from_fn(SHOTS, 64, |_, _| 2.0 * stream.uniform() - 1.0);
        let mut bench = Delayed { lab, shots, reduction };
        let reference = bench.read(&[1.0, 0.0])?;
        let range = |name: &str, low, high, value| Range { name: name.into(), unit: "1".into(), low, high, value };
        let ranges = [range("gain", 0.5, 1.5, 0.8), range("delay", 0.0, 20.0, 6.0)];
        let search = Search { evaluations: 60, strategy: Strategy::PatternFirst, key: Key::new(seed) };
        let Found { knobs, .. } = search.run(&ranges, &reference, &mut bench, (&[], &mut |_| Ok(())))?;
        bench.lab.make_safe()?;
        let is_right = match reduction {
            Reduction::Shiftless => !knobs[1].seen && knobs[0].seen,
            Reduction::Each => knobs[1].seen && knobs[0].seen,
        };
        *answer = f64::from(u8::from(is_right));
    }
    Ok(answers)
}

/// E4: that no setting was asked for beyond its limits, and that a search that is broken off leaves the knobs where they were; 1 is yes.
pub fn safety(seed: u64, scratch: &Path) -> Result<[f64; 2], Error> {
    let bench = Bench::Electrical;
    let values = bench.healthy()?;
    let rig = Rig::of_text(
        "style-parameters",
        &bench.rig(&drifts(bench, &values, seed)).replace("hidden", "slew = 1e9\nhidden"),
    )?;
    let names: Vec<String> = rig.config.knobs.keys().cloned().collect();
    let before = rig.knobs().values(&names);
    let ask = Ask { evaluations: Search::fewest(names.len()) + 20, strategy: Strategy::PatternFirst, seed, scratch };
    let found = tuned(&rig, Healthy::Twin, ask)?.found;
    let allowed = |values: &Vec<f32>| {
        let knobs = rig.config.knobs.values();
        values.iter().zip(knobs).all(|(value, knob)| (knob.low..=knob.high).contains(value))
    };
    let is_kept = found.path.iter().all(|tried| allowed(&tried.values));
    rig.knobs().turn(&names, &before);
    // A trace of another width is refused only when the first signature is compared.
    let mut broken = take_reference(&rig, bench.name(), SHOTS, seed)?;
    broken.outputs = Batch::zeros(broken.outputs.rows(), broken.outputs.columns() - 1);
    let failed = tuned(&rig, Healthy::Trace(&broken), ask).is_err();
    let is_restored = failed && rig.knobs().values(&names) == before;
    Ok([is_kept, is_restored].map(|yes| f64::from(u8::from(yes))))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bench_that_drifted_is_brought_back_and_a_delay_is_told_as_unseen() {
        let folder = tempfile::tempdir().unwrap();
        let [found, random] = held_out(Bench::Electrical, 120, 3, folder.path()).unwrap();
        assert!(found < 0.5 && found < random, "{found} {random}");
        assert_eq!(delay(1).unwrap(), [1.0, 1.0]);
        assert_eq!(safety(1, folder.path()).unwrap(), [1.0, 1.0]);
    }
}
