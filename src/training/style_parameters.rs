//! What the search for knobs is held against: benches that have drifted are brought back by their signature (after Yakura and others, arXiv 2105.09207).
//! `pnnlab reproduce style-parameters` judges the numbers.
//!
//! A network is trained on the healthy bench, and the bench's signature taken. Then six coefficients of the bench drift, each by a part of its range that
//! nobody knows, and six knobs turn them back: what is on the knob, plus the drift, takes effect. The network is not trained again.

use std::fmt::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};

use calibration::{Reduction, Signature, Strategy};
use drivers::Batch;
use hil::{Faults, Wire};
use sims::Key;

use crate::Error;
use crate::data::Dataset;
use crate::document::Document;
use crate::network::Network;
use crate::plants::{Derivatives, Lab, Rig};
use crate::record::Saved;
use crate::training::tune::{
    Found, Healthy, KnobFound, Metric, Range, Search, Tool, ToolFile, ToolKnob, Tuned, Tuning, Turned, take_reference,
};
use crate::training::{Experiment, Trainer};

/// Shots of a signature.
const SHOTS: usize = 64;
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
            Self::Diode => &[("mismatch", "1", 0.5, 0.0)],
        }
    }

    /// The healthy values: those that the system has by default.
    fn healthy(self) -> Result<Vec<f32>, Error> {
        let rig = Rig::of_text("style-parameters", &self.rig(&[]))?;
        let plant = rig.config.plants.get(self.name()).and_then(|plant| plant.simulated.as_ref());
        let value = serde_json::to_value(plant).unwrap_or_default();
        let of = |key: &str| {
            let found =
                key.split('.').try_fold(&value, |value, key| value.get(key)).and_then(serde_json::Value::as_f64);
            found
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
            Self::Optical => ("kind = \"linear\"\nwidth = 50", "kind = \"scale-offset\"\nscale = 0.5\noffset = 0.3"),
            _ => ("kind = \"scale-offset\"\noffset = -0.4", "kind = \"scale-offset\""),
        };
        let pass = format!("[[layers]]\nkind = \"physical\"\nplant = \"{}\"\n", self.name());
        format!(
            "name = \"style-parameters\"\n[data]\nsource = \"digits\"\ntest = 500\nvalidation = 0\n[training]\nsteps = {steps}\nbatch = 64\nlearning_rate = 0.01\n\
             evaluate_every = 0\n[[layers]]\n{before}\n{pass}[[layers]]\n{between}\n{pass}[[layers]]\nkind = \"linear\"\nwidth = 10\n"
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
        (1..=training.steps).try_for_each(|step| trainer.step(step, &mut lab).map(drop))?;
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
    };
    tuning.run(&mut |_, _| {})
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
        let Found { knobs, .. } = search.run(&ranges, &reference, &mut bench, (&[], &mut |_, _| Ok(())))?;
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

/// The SCPI pair, served here, with a knob that is a command of the generator: how far it ends from where the bench was healthy, as a share of its range.
pub fn over_the_wire(evaluations: usize, seed: u64, scratch: &Path) -> Result<f64, Error> {
    let text = include_str!("../../hil/rigs/scpi.toml")
        .replace("samples = 64\n\n# A shot", "samples = 64\nbias_volts = 0.5\n\n# A shot");
    let knob = |value: f32| {
        format!(
            "[knobs.bias]\nplant = \"electrical\"\ncommand = \"SOUR2:VOLT:OFFS {{value}}\"\nquery = \"SOUR2:VOLT:OFFS?\"\nunit = \"V\"\nlow = -0.5\nhigh = 0.5\nslew = 0.2\nvalue = {value:?}\n"
        )
    };
    let with = |value: f32| Rig::of_text("scpi", &format!("{text}\n{}", knob(value)));
    let served = |rig: &Rig| -> Result<_, Error> {
        let (instruments, config) = rig.serve(&Wire::Tcp { port: 0 }, &Faults::new(seed), seed)?;
        let text = toml::to_string(&config).map_err(|error| Error::Usage(error.to_string()))?;
        Ok((instruments, Rig::of_text("scpi", &text)?))
    };
    let reference = {
        let (_instruments, rig) = served(&with(0.1)?)?;
        take_reference(&rig, "electrical", SHOTS, seed)?
    };
    let (_instruments, rig) = served(&with(-0.3)?)?;
    let found =
        tuned(&rig, Healthy::Trace(&reference), Ask { evaluations, strategy: Strategy::PatternFirst, seed, scratch })?
            .found;
    Ok(found.knobs.first().map_or(f64::NAN, |knob| f64::from((knob.after - 0.1).abs())))
}

/// Of a knob: name, range, start, wanted.
type Knob = (&'static str, f32, f32, f32, f32);

/// A program of the system whose parameters made a reference: its name, and the largest error of a parameter as a share of its range, of those that its output
/// shows. None where there is no such program.
pub fn program(evaluations: usize, seed: u64, scratch: &Path) -> Result<Option<(&'static str, f64)>, Error> {
    let says = |program: &str, word: &str| {
        let output = Command::new(program).arg("--version").stdin(Stdio::null()).output();
        output.is_ok_and(|output| String::from_utf8_lossy(&output.stdout).contains(word) && output.status.success())
    };
    let place = std::path::absolute(scratch).unwrap_or_else(|_| scratch.to_owned());
    let input = |name: &str| place.join(name).display().to_string();
    // Name, command line with its knobs, ending, and each knob.
    let (name, words, ending, knobs): (_, Vec<String>, _, [Knob; 3]) = if says("sox", "SoX") {
        let words =
            format!("sox {} {{output}} gain {{gain}} lowpass {{corner}} overdrive {{drive}} 0", input("in.wav"));
        write_wave(&place.join("in.wav"))?;
        let knobs = [
            ("gain", -20.0, 0.0, -10.0, -4.0),
            ("corner", 500.0, 3500.0, 2000.0, 1200.0),
            ("drive", 0.0, 30.0, 15.0, 8.0),
        ];
        ("sox", words.split(' ').map(str::to_owned).collect(), ".wav", knobs)
    } else if says("magick", "ImageMagick") || says("convert", "Version: ImageMagick") {
        let program = if says("magick", "ImageMagick") { "magick" } else { "convert" };
        let words = format!(
            "{program} {} -gamma {{gamma}} -blur 0x{{blur}} -brightness-contrast {{brightness}} {{output}}",
            input("in.pgm")
        );
        write_image(&place.join("in.pgm"))?;
        let knobs =
            [("gamma", 0.5, 2.0, 1.0, 1.4), ("blur", 0.2, 4.0, 2.0, 1.1), ("brightness", -30.0, 30.0, 0.0, 12.0)];
        ("ImageMagick", words.split(' ').map(str::to_owned).collect(), ".pgm", knobs)
    } else {
        return Ok(None);
    };
    let knob = |(name, low, high, value, _): &Knob| {
        ((*name).to_owned(), ToolKnob { low: *low, high: *high, value: *value, unit: "1".to_owned() })
    };
    let file = ToolFile {
        name: name.to_owned(),
        tool: words,
        ending: ending.to_owned(),
        reference: place.join(format!("reference{ending}")),
        knobs: knobs.iter().map(knob).collect(),
    };
    let ranges = file.ranges();
    let wanted: Vec<f32> =
        ranges.iter().filter_map(|range| Some(knobs.iter().find(|knob| knob.0 == range.name)?.4)).collect();
    let mut tool = Tool::new(&file, &place, &place);
    tool.read(&wanted)?;
    std::fs::copy(place.join(format!("output{ending}")), &file.reference)
        .map_err(Error::record(&file.reference, "cannot be written"))?;
    let reference = tool.reference()?;
    let search = Search { evaluations, strategy: Strategy::PatternFirst, key: Key::new(seed) };
    let found = search.run(&ranges, &reference, &mut tool, (&[], &mut |_, _| Ok(())))?;
    let errors = found.knobs.iter().zip(&ranges).zip(&wanted).filter(|((knob, _), _)| knob.seen);
    let share = |((knob, range), wanted): ((&KnobFound, &Range), &f32)| {
        f64::from((knob.after - wanted).abs() / (range.high - range.low))
    };
    Ok(Some((name, errors.map(share).fold(0.0, f64::max))))
}

/// A second of tones and noise, 16 bits at 8 kHz.
fn write_wave(path: &Path) -> Result<(), Error> {
    let mut stream = Key::new(1).branch("wave").stream();
    let sample = |k: u32, noise: f32| {
        let time = f64::from(k) / 8000.0;
        let tones = [220.0, 660.0, 1500.0, 2900.0].map(|hertz| (std::f64::consts::TAU * hertz * time).sin());
        ((0.15 * tones.iter().sum::<f64>() + 0.05 * f64::from(noise)) * 32000.0).clamp(-32000.0, 32000.0) as i16
    };
    let samples: Vec<u8> = (0..8000).flat_map(|k| sample(k, stream.normal()).to_le_bytes()).collect();
    let length = samples.len() as u32;
    let mut bytes = b"RIFF".to_vec();
    bytes.extend((36 + length).to_le_bytes());
    bytes.extend(b"WAVEfmt ");
    for word in [16_u32.to_le_bytes(), [1, 0, 1, 0], 8000_u32.to_le_bytes(), 16_000_u32.to_le_bytes(), [2, 0, 16, 0]] {
        bytes.extend(word);
    }
    bytes.extend(b"data");
    bytes.extend(length.to_le_bytes());
    bytes.extend(samples);
    std::fs::write(path, bytes).map_err(Error::record(path, "cannot be written"))
}

/// Squares and waves in gray, 64 × 64.
fn write_image(path: &Path) -> Result<(), Error> {
    let pixel = |at: usize| {
        let (x, y) = (at % 64, at / 64);
        let wave = 60.0 * (0.3 * x as f64).sin() * (0.2 * y as f64).cos();
        (120.0 + wave + if (x / 16 + y / 16).is_multiple_of(2) { 50.0 } else { 0.0 }) as u8
    };
    let mut bytes = b"P5\n64 64\n255\n".to_vec();
    bytes.extend((0..64 * 64).map(pixel));
    std::fs::write(path, bytes).map_err(Error::record(path, "cannot be written"))
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
