//! The knobs of a plant: its signature on a fixed set of shots, from a reference that was measured when it was healthy, or on another bench.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use calibration::{Reduction, Signature, Stimuli, Strategy, Trace};
use drivers::{Batch, MEBIBYTE, Plant, Ports, read_bounded};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;
use sims::Key;

use super::desk::{About, Desk, ended};
use super::features::Features;
use super::{Found, Journal, Range, Search, Trial, Turned};
use crate::Error;
use crate::control::Attendant;
use crate::document::list;
use crate::plants::{Derivatives, Forward, KnobConfig, Lab, Opened, PlantState, Rig};
use crate::record::command_line;

/// The most that is read of a trace.
const MOST: u64 = 4096 * MEBIBYTE;

/// The fewest shots of a signature: of one there is no deviation.
const FEWEST: usize = 2;

/// What two readings are compared by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema, clap::ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum Metric {
    /// Means, deviations and correlations of the readings over the shots.
    #[default]
    Statistics,
    /// The same of what does not depend on where a shot begins: a delay is not seen.
    Shiftless,
    /// Means, deviations and correlations of what the layers of a run's network make of the readings.
    Features,
}

/// What the readings are to be like.
#[derive(Debug, Clone, Copy)]
pub enum Healthy<'a> {
    /// What the twin says.
    Twin,
    /// A trace, or a run that recorded its shots.
    File(&'a Path),
    /// A trace at hand.
    Trace(&'a Trace),
}

/// What is asked of a search on a bench.
pub struct Tuning<'a> {
    /// The bench.
    pub rig: &'a Rig,
    /// The plant, where knobs are of several.
    pub plant: Option<&'a str>,
    /// Those that are turned; empty: all of the plant.
    pub knobs: &'a [String],
    /// What the readings are to be like.
    pub reference: Healthy<'a>,
    /// Shots of a signature.
    pub shots: usize,
    /// What is compared.
    pub metric: Metric,
    /// Signatures to read, in all.
    pub evaluations: usize,
    /// How it is searched.
    pub strategy: Strategy,
    /// Draws what is random.
    pub seed: u64,
    /// Where the settings that were tried are kept, line by line.
    pub journal: &'a Path,
    /// Whether it goes on with them.
    pub resume: bool,
    /// The folder that it is recorded in for whoever watches; none: nobody does.
    pub folder: Option<&'a Path>,
}

/// What came of it.
#[derive(Debug, Clone, Serialize)]
pub struct Tuned {
    /// The plant.
    pub plant: String,
    /// What the reference is.
    pub reference: String,
    /// What was compared.
    pub metric: Metric,
    /// Shots of a signature.
    pub shots_each: usize,
    /// Shots on the plant in all.
    pub shots: u64,
    /// The command line.
    pub command: String,
    /// The search.
    #[serde(flatten)]
    pub found: Found,
}

/// Shots with what was read of them.
struct Reference {
    /// Controls and inputs.
    shots: Vec<(Vec<f32>, Batch)>,
    outputs: Vec<Batch>,
    words: String,
}

impl Tuning<'_> {
    /// The knobs that are turned, and their plant.
    pub fn ranges(&self) -> Result<(String, Vec<Range>), Error> {
        let all = &self.rig.config.knobs;
        if all.is_empty() {
            return Err(Error::Usage(format!(
                "rig `{}` has no knobs: declare what can be turned as [knobs.NAME] (docs/readings.md)",
                self.rig.config.name
            )));
        }
        if let Some(unknown) = self.knobs.iter().find(|name| !all.contains_key(*name)) {
            let known: Vec<&str> = all.keys().map(String::as_str).collect();
            return Err(Error::Usage(format!("--knobs: the rig has no knob `{unknown}`: it has {}", list(&known))));
        }
        let is_wanted = |name: &String, plant: &str| {
            (self.knobs.is_empty() || self.knobs.contains(name)) && self.plant.is_none_or(|wanted| wanted == plant)
        };
        let wanted: Vec<_> = all.iter().filter(|(name, knob)| is_wanted(name, &knob.plant)).collect();
        let Some((_, first)) = wanted.first() else {
            let plant = self.plant.unwrap_or_default();
            return Err(Error::Usage(format!(
                "--plant {plant}: none of the knobs that are asked for is of this plant"
            )));
        };
        if let Some((_, other)) = wanted.iter().find(|(_, knob)| knob.plant != first.plant) {
            return Err(Error::Usage(format!(
                "the knobs are of the plants `{}` and `{}`: tune one after the other, with --plant",
                first.plant, other.plant
            )));
        }
        let range = |(name, knob): &(&String, &KnobConfig)| Range {
            name: (*name).clone(),
            unit: knob.unit.clone(),
            low: knob.low,
            high: knob.high,
            value: knob.value,
        };
        self.refuse_senseless(&first.plant, &wanted)?;
        Ok((first.plant.clone(), wanted.iter().map(range).collect()))
    }

    /// Refuses a reference that is not there, or that says nothing of the knobs. Nothing is opened.
    fn refuse_senseless(&self, plant: &str, wanted: &[(&String, &KnobConfig)]) -> Result<(), Error> {
        if let Healthy::File(path) = self.reference {
            let file = trace_of(path, plant)?;
            if !file.is_file() {
                return Err(Error::Data(format!("--reference {}: is no trace and no run", path.display())));
            }
        }
        if self.metric == Metric::Features && !matches!(self.reference, Healthy::File(path) if path.is_dir()) {
            return Err(Error::Usage(
                "--metric features: needs a trained network: name a run with --reference".to_owned(),
            ));
        }
        let Healthy::Twin = self.reference else { return Ok(()) };
        let Some((_, card)) = self.rig.physics(plant)? else { return Ok(()) };
        let is_known = |(name, knob): &&(&String, &KnobConfig)| {
            knob.simulated.is_none() && card.ports.controls.iter().any(|bank| bank.name == knob.bank(name))
        };
        match wanted.iter().find(is_known) {
            Some((name, _)) => Err(Error::Usage(format!(
                "the knob `{name}` is a control of the twin too, which holds it where the rig file says and so knows no better place: name a trace or a run with --reference"
            ))),
            None => Ok(()),
        }
    }

    /// Searches on the bench, and leaves it with what is kept; after an error or a stop with the settings that it had. `tell` sees each
    /// new signature.
    pub fn run(&self, tell: &mut dyn FnMut(&Trial<'_>)) -> Result<Tuned, Error> {
        let (plant, ranges) = self.ranges()?;
        let opened = self.open(&plant)?;
        let reference = self.reference(&plant, &opened)?;
        let features = match self.metric {
            Metric::Features => {
                let run = if let Healthy::File(path) = self.reference { Some(path) } else { None };
                Some(Features::of(run, &plant, &opened)?)
            }
            _ => None,
        };
        let reduction = if self.metric == Metric::Shiftless { Reduction::Shiftless } else { Reduction::Each };
        let names: Vec<String> = ranges.iter().map(|range| range.name.clone()).collect();
        let before: Vec<f32> = ranges.iter().map(|range| range.value).collect();
        let lab = Lab::new(vec![opened], Derivatives::Twin)?;
        let mut bench = Bench { rig: self.rig, lab, names, shots: &reference.shots, reduction, features };
        let known = bench.signature(&reference.outputs)?;
        let shots_each = reference.shots.iter().map(|(_, inputs)| inputs.rows()).sum();
        let asked = json!({
            "rig": self.rig.config.name, "plant": plant, "knobs": ranges, "reference": reference.words, "metric": self.metric,
            "shots": self.shots, "evaluations": self.evaluations, "strategy": self.strategy, "seed": self.seed,
        });
        let mut journal =
            if self.resume { Journal::go_on(self.journal, &asked) } else { Journal::begin(self.journal, &asked) }?;
        let about = About {
            name: &self.rig.config.name,
            strategy: self.strategy,
            seed: self.seed,
            evaluations: self.evaluations,
            shots: shots_each,
            ranges: &ranges,
        };
        let open = |folder| Desk::open(folder, about, &mut bench.lab, self.resume);
        let mut desk = self.folder.map(open).transpose()?;
        if desk.is_none() {
            bench.lab.attend(Attendant::new());
        }
        let search =
            Search { evaluations: self.evaluations, strategy: self.strategy, key: Key::new(self.seed).branch("tune") };
        let told = std::mem::take(&mut journal.known);
        let mut note = |trial: &Trial<'_>| {
            if let Some(desk) = &mut desk {
                desk.see(trial)?;
            }
            if !trial.is_known {
                tell(trial);
            }
            if trial.is_told && !trial.is_known { journal.note(&trial.known()) } else { Ok(()) }
        };
        let taken_up = told.last().map_or(Ok(()), |last| bench.take_up(&last.values, &last.moment));
        let found = taken_up.and_then(|()| search.run(&ranges, &known, &mut bench, (&told, &mut note))).map_err(ended);
        let last: Vec<f32> = match &found {
            Ok(found) => found.knobs.iter().map(|knob| knob.after).collect(),
            Err(_) => before,
        };
        let (set, safe) = bench.leave(&last);
        let closed = desk.map_or(Ok(()), |desk| {
            let safe = safe
                .as_ref()
                .map(drop)
                .map_err(|error| Error::NotSafe { plant: plant.clone(), why: error.to_string() });
            desk.close(&found, &safe, &mut bench.lab)
        });
        // A plant that is not safe is worse news than whatever ended the search.
        safe?;
        let found = found?;
        set.and(closed)?;
        Ok(Tuned {
            plant,
            reference: reference.words,
            metric: self.metric,
            shots_each,
            shots: bench.lab.meter().shots,
            command: command_line(),
            found,
        })
    }

    fn open(&self, plant: &str) -> Result<Opened, Error> {
        let mut opened = self.rig.clone().unrecorded().open(&[plant], self.seed)?;
        let one = opened.pop().ok_or_else(|| Error::Usage(format!("the rig has no plant `{plant}`")))?;
        // Nobody wants it soon enough to end for a limit that is over in a minute.
        one.allowance.pace();
        Ok(one)
    }

    /// The shots of a signature, and what a healthy bench reads for them.
    fn reference(&self, plant: &str, opened: &Opened) -> Result<Reference, Error> {
        let ports = &opened.plant.card().ports;
        let (trace, name) = match self.reference {
            Healthy::Twin => {
                let shots = white(ports, self.shots, self.seed);
                let outputs = shots.iter().map(|(controls, inputs)| opened.twin.predict(inputs, controls)).collect();
                return Ok(Reference { shots, outputs, words: "the twin".to_owned() });
            }
            Healthy::File(path) => {
                let file = trace_of(path, plant)?;
                (&read(&file)?, file.display().to_string())
            }
            Healthy::Trace(trace) => (trace, "a trace".to_owned()),
        };
        let widths = |ports: &Ports| [ports.input_count(), ports.control_count(), ports.output_count()];
        if widths(&trace.card.ports) != widths(ports) {
            return Err(Error::Data(format!(
                "{name}: has {:?} inputs, controls and outputs, but plant `{plant}` has {:?} without its knobs: take the reference on this bench",
                widths(&trace.card.ports),
                widths(ports)
            )));
        }
        // The shots of the setting that has most of them.
        let settings = trace.by_setting();
        let most = settings.iter().max_by_key(|shots| shots.len());
        let chosen: Vec<usize> = most.into_iter().flatten().copied().take(self.shots).collect();
        let (Some(first), true) = (chosen.first(), FEWEST <= chosen.len()) else {
            return Err(Error::Data(format!(
                "{name}: has {} shots of one setting of the controls, but the statistics of a signature need at least {FEWEST}, and 64 are usual: take a longer reference",
                chosen.len()
            )));
        };
        let controls = trace.controls(*first).to_vec();
        let words = format!("{} shots of {name}", chosen.len());
        Ok(Reference {
            shots: vec![(controls, trace.inputs.picked(&chosen))],
            outputs: vec![trace.outputs.picked(&chosen)],
            words,
        })
    }
}

/// Shots that are drawn evenly over all ranges, at one setting of the controls.
fn white(ports: &Ports, count: usize, seed: u64) -> Vec<(Vec<f32>, Batch)> {
    let stimuli = Stimuli::white(ports, count, count, Key::new(seed).branch("tune stimuli"));
    let setting = |(setting, inputs): (u32, Batch)| (stimuli.settings.row(setting as usize).to_vec(), inputs);
    stimuli.by_setting().into_iter().map(setting).collect()
}

/// What a plant reads now for so many shots drawn by `seed`, as a reference for later.
pub fn take_reference(rig: &Rig, plant: &str, shots: usize, seed: u64) -> Result<Trace, Error> {
    let mut opened = rig.clone().unrecorded().open(&[plant], seed)?;
    let mut one = opened.pop().ok_or_else(|| Error::Usage(format!("the rig has no plant `{plant}`")))?;
    one.allowance.pace();
    let card = one.plant.card().clone();
    let mut parts = white(&card.ports, shots, seed);
    let (controls, inputs) = parts.pop().unwrap_or_default();
    let read = one.plant.apply(&controls).and_then(|_| one.plant.measure(&inputs));
    let safe = one.plant.make_safe();
    let outputs = safe.and(read).map_err(Error::plant(plant))?;
    let rows = inputs.rows();
    Ok(Trace {
        card,
        provenance: BTreeMap::new(),
        settings: Batch::from_fn(1, controls.len(), |_, column| controls[column]),
        setting_of: vec![0; rows],
        stimulus: (0..rows as u32).collect(),
        seconds: vec![0.0; rows],
        inputs,
        outputs,
    })
}

/// The trace that a path means: itself, or the recorded shots of a run.
pub(super) fn trace_of(path: &Path, plant: &str) -> Result<PathBuf, Error> {
    if !path.is_dir() {
        return Ok(path.to_owned());
    }
    let shots = path.join("shots").join(format!("{plant}-1.arrows"));
    if shots.is_file() {
        return Ok(shots);
    }
    Err(Error::Data(format!(
        "--reference {}: the run has not recorded the shots of plant `{plant}`: train with --record, or name a trace that `pnnlab calibrate` has left",
        path.display()
    )))
}

fn read(file: &Path) -> Result<Trace, Error> {
    let content = |file: &Path| {
        read_bounded(file, MOST).map_err(|error| {
            Error::Data(format!("{}: cannot be read: {error}. Name a trace (.arrow) or a run", file.display()))
        })
    };
    let bytes = content(file)?;
    let trace = if file.extension().is_some_and(|ending| ending == "arrows") {
        let stem = file.file_stem().and_then(|stem| stem.to_str()).unwrap_or_default();
        let beside = file.with_file_name(format!("{stem}-controls.arrows"));
        let controls = if beside.is_file() { Some(content(&beside)?) } else { None };
        Trace::from_shots(&bytes, controls.as_deref())
    } else {
        Trace::from_arrow(&bytes)
    };
    trace.map_err(|error| Error::Data(format!("{}: {error}", file.display())))
}

/// A plant whose knobs are turned.
struct Bench<'a> {
    rig: &'a Rig,
    /// The plant alone.
    lab: Lab,
    names: Vec<String>,
    shots: &'a [(Vec<f32>, Batch)],
    reduction: Reduction,
    features: Option<Features>,
}

impl Bench<'_> {
    fn signature(&mut self, outputs: &[Batch]) -> Result<Signature, Error> {
        let rows: Vec<Vec<f64>> = match &mut self.features {
            Some(features) => outputs.iter().map(|batch| features.rows(batch)).collect::<Result<Vec<_>, _>>()?.concat(),
            None => outputs.iter().flat_map(Batch::iter).map(|row| self.reduction.columns(row)).collect(),
        };
        let columns = rows.first().map_or(0, Vec::len);
        Ok(Signature::of(self.lab.names().first().unwrap_or(&""), &rows.concat(), columns))
    }

    /// The knobs at these values, and the controls of training where the reference has them.
    fn set(&mut self, values: &[f32]) -> Result<(), Error> {
        self.rig.knobs().turn(&self.names, values);
        let controls = self.shots.first().map(|(controls, _)| controls.clone()).unwrap_or_default();
        self.lab.set(0, &controls)
    }

    /// Goes on where a search was left.
    fn take_up(&mut self, values: &[f32], moment: &str) -> Result<(), Error> {
        let states: BTreeMap<String, PlantState> =
            toml::from_str(moment).map_err(|error| Error::Data(format!("the moment of a search: {error}")))?;
        self.set(values)?;
        self.lab.restore(&states).map_err(Error::Data)
    }

    /// Leaves the knobs at these values, and the plant safe: how each went.
    fn leave(&mut self, values: &[f32]) -> (Result<(), Error>, Result<(), Error>) {
        let set = self.set(values);
        (set, self.lab.make_safe())
    }
}

impl Turned for Bench<'_> {
    fn read(&mut self, values: &[f32]) -> Result<Signature, Error> {
        self.rig.knobs().turn(&self.names, values);
        let mut outputs = Vec::with_capacity(self.shots.len());
        for (controls, inputs) in self.shots {
            outputs.push(self.lab.run(0, Forward::Plant, controls, inputs)?.1);
        }
        self.signature(&outputs)
    }

    fn gate(&mut self) -> Result<(), Error> {
        self.lab.between()
    }

    fn moment(&self) -> String {
        toml::to_string(&self.lab.states()).unwrap_or_default()
    }
}
