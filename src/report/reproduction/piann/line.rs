//! The transmission line whose waves steepen: its shock against theory, and a network trained through it with twins of several kinds.

use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::Instant;

use calibration::piann::{LineTwin, Surrogate, Training};
use calibration::{Stimuli, Trace, Watch, agreement, measure};
use drivers::{Batch, Direction, Plant};
use sims::{Equations, Key, LineVolumes, Twin};

use super::super::program::{Asked, Check, Measured};
use super::fields::seconds;
use crate::Error;
use crate::data::Dataset;
use crate::network::Network;
use crate::plants::{Lab, Opened, Rig};
use crate::report::Theme;
use crate::training::batchnorm::Finding;
use crate::training::{Experiment, Method, Prepared, Trainer};

/// The experiment, and its plant's files.
const EXPERIMENT: &str = "digits-line";
const LINE: &str = "systems/line.toml";
const VOLUMES: &str = "systems/line-volumes.toml";
/// Seeds that no setting was chosen by.
const SEEDS: [u64; 2] = [11, 12];
/// Shots that a network learns the line from, and so few that the equation helps.
const SHOTS: usize = 2000;
const FEW: usize = 200;
/// Updates from the equation and from shots, and those of the quick form.
const UPDATES: [usize; 2] = [5000, 1500];
const QUICK: [usize; 2] = [250, 250];
/// Shots for each setting of the controls; shots of a batch whose time is taken; shots that the error of a twin is of.
const PER_SETTING: usize = 10;
const BATCH: usize = 128;
const TESTED: usize = 500;
/// Hidden values of the network, shots of an update, and its first step size.
const HIDDEN: usize = 32;
const LEARNED: usize = 32;
const RATE: f64 = 5e-3;
/// Names of the twins.
const TWINS: [&str; 4] =
    ["the ladder's adjoint", "finite volumes", "PIANN from the equation", "PIANN from 2,000 shots"];

pub(super) fn judge(of: &dyn Fn(&str) -> Option<f64>) -> Vec<Check> {
    let accuracy = |twin: &str| of(&format!("line, physics-aware with {twin}: accuracy on the plant"));
    let silico = of("line, in silico: accuracy on the plant");
    let mut checks = vec![Check::at_most(
        "line: shock speed within 2 % of Rankine and Hugoniot's",
        0.02,
        of("line: shock speed, off that of Rankine and Hugoniot by a share of"),
        "1",
    )];
    for twin in TWINS {
        checks.push(Check::at_least(
            &format!("line: physics-aware with {twin} above in silico"),
            0.0,
            accuracy(twin).zip(silico).map(|(aware, silico)| aware - silico),
            "points",
        ));
    }
    checks
}

pub(super) fn run(asked: &Asked<'_>, measured: &mut Measured) -> Result<(), Error> {
    measured.add("line: shock speed, off that of Rankine and Hugoniot by a share of", shock()?, "1", 0);
    let prepared = prepare(asked.quick)?;
    let seeds = if asked.quick { &SEEDS[..1] } else { &SEEDS[..] };
    let (mut found, mut times) = (vec![], vec![]);
    for seed in seeds {
        let trace = shots(&prepared, SHOTS, *seed)?;
        let (twins, learning) = twins(&prepared, &trace, (asked.quick, *seed))?;
        let data = prepared.load(*seed)?;
        let (mut findings, mut costs) = (vec![], learning);
        for (name, twin) in TWINS.iter().zip(&twins) {
            Error::if_stopped()?;
            findings.push(Finding::new(format!("line, {name}: error of the twin"), error(&prepared, &**twin, *seed)?));
            let [predict, back] = cost(&**twin);
            costs.push((format!("{name}: time of a prediction"), 1e6 * predict, "µs"));
            costs.push((format!("{name}: time of a pull back"), 1e6 * back, "µs"));
            tell!("piann: digits through the line, physics-aware with {name}, seed {seed}");
            let accuracy = trained(&prepared, Method::PhysicsAware, (&data, *seed), Some(twin))?;
            findings.push(Finding::new(format!("line, physics-aware with {name}: accuracy on the plant"), accuracy));
        }
        for (name, method) in [("in silico", Method::InSilico), ("with the plant's own derivatives", Method::Ideal)] {
            tell!("piann: digits through the line, {name}, seed {seed}");
            let accuracy = trained(&prepared, method, (&data, *seed), None)?;
            findings.push(Finding::new(format!("line, {name}: accuracy on the plant"), accuracy));
        }
        found.push(findings);
        times.push(costs);
    }
    measured.take(&found, seeds);
    for (place, (name, _, unit)) in times[0].iter().enumerate() {
        let slowest = times.iter().map(|costs| costs[place].1).fold(0.0, f64::max);
        measured.add(format!("line, {name}"), slowest, unit, seeds[0]);
    }
    few(&prepared, asked.quick, measured)
}

/// Where shots are few: a network that learned from them alone, and one that learned from the equation as well.
fn few(prepared: &Prepared, quick: bool, measured: &mut Measured) -> Result<(), Error> {
    let seed = SEEDS[0];
    let trace = shots(prepared, FEW, seed)?;
    tell!("piann: the line from {FEW} shots, without and with its equation");
    let alone = from_shots(&trace, quick, seed)?;
    let both = from_equation(prepared, Some(&trace), (quick, seed))?;
    for (name, twin) in [("PIANN from 200 shots", alone), ("PIANN from 200 shots and the equation", both)] {
        measured.add(format!("line, {name}: error of the twin"), error(prepared, &*twin, seed)?, "1", seed);
    }
    Ok(())
}

/// A number with its unit.
type Cost = (String, f64, &'static str);
/// Twins, and how long they have learned.
type Learned = (Vec<Arc<dyn Twin>>, Vec<Cost>);

/// The twins in the order of [`TWINS`], and how long networks have learned.
fn twins(prepared: &Prepared, trace: &Trace, (quick, seed): (bool, u64)) -> Result<Learned, Error> {
    let ladder = open(prepared, seed)?.remove(0).twin;
    let volumes = wrong(text(VOLUMES)?.build())?.twin;
    let (mut all, mut costs) = (vec![ladder, volumes], vec![]);
    tell!("piann: the line from its equation alone, seed {seed}");
    let start = Instant::now();
    all.push(from_equation(prepared, None, (quick, seed))?);
    costs.push((format!("{}: time of learning", TWINS[2]), start.elapsed().as_secs_f64(), "s"));
    tell!("piann: the line from {SHOTS} shots, seed {seed}");
    let start = Instant::now();
    all.push(from_shots(trace, quick, seed)?);
    costs.push((format!("{}: time of learning", TWINS[3]), start.elapsed().as_secs_f64(), "s"));
    Ok((all, costs))
}

/// The error of a twin on the plant.
fn error(prepared: &Prepared, twin: &dyn Twin, seed: u64) -> Result<f64, Error> {
    let mut plant = open(prepared, seed)?.remove(0).plant;
    let found = agreement(&mut plant, twin, TESTED, Key::new(seed).branch("agreement"));
    plant.make_safe().map_err(Error::plant("line"))?;
    Ok(found.map_err(Error::plant("line"))?.relative_error())
}

fn wrong<T>(result: Result<T, sims::Error>) -> Result<T, Error> {
    result.map_err(|error| Error::Data(format!("piann: {error}")))
}

/// A system of the built-in rig.
fn text(file: &str) -> Result<Equations, Error> {
    let found = hil::SYSTEMS.iter().find(|(name, _)| *name == file);
    let (name, text) = found.ok_or_else(|| Error::Data(format!("piann: there is no system {file}")))?;
    Ok(Equations::from_text(name, text))
}

/// A step into a longer line at rest, whose only loss is the varactors': how far the speed of its shock is from √(Δv/(L·Δq)), as a share.
fn shock() -> Result<f64, Error> {
    let (sections, samples, bias, height) = (80_usize, 110_usize, 0.6_f32, 0.9_f32);
    let mut system = text(LINE)?;
    for (from, to) in [
        ("size = 32", format!("size = {sections}")),
        ("k == 31", format!("k == {}", sections - 1)),
        ("samples = 32", format!("samples = {samples}")),
        ("value = 0.3,", "value = 0,".to_owned()),
        ("value = 1e-5,", "value = 0,".to_owned()),
        ("value = 10,", "value = 1e-3,".to_owned()),
        (", at = \"end\"", String::new()),
    ] {
        system.text = system.text.replace(from, &to);
    }
    let twin = wrong(system.build())?.twin;
    let record = twin.predict(&Batch::from_fn(1, samples, |_, _| height), &vec![bias; sections]);
    let reading = |node: usize, sample: usize| f64::from(record.row(0)[sample * sections + node]);
    let behind = reading(40, samples - 30);
    let passes = |node: usize| -> f64 {
        let level = 0.5 * behind;
        let place = (1..samples).find(|sample| level <= reading(node, *sample)).unwrap_or(samples - 1);
        let [before, after] = [place - 1, place].map(|sample| reading(node, sample));
        place as f64 + (level - before) / (after - before)
    };
    let number = |name: &str| system.coefficient(name).unwrap_or(f64::NAN);
    let [l, c, junction] = ["L", "C0", "Vj"].map(number);
    // C = C₀/√(1 + V/Vⱼ), so q = 2·C₀·Vⱼ·√(1 + V/Vⱼ).
    let charge = |volts: f64| 2.0 * c * junction * (1.0 + volts / junction).sqrt();
    let charges = charge(f64::from(bias) + behind) - charge(f64::from(bias));
    let expected = (behind / (l * charges)).sqrt();
    let sample_seconds = system.sample_seconds().unwrap_or(f64::NAN);
    let found = 30.0 / ((passes(60) - passes(30)) * sample_seconds);
    Ok((found / expected - 1.0).abs())
}

fn prepare(quick: bool) -> Result<Prepared, Error> {
    let (experiment, document) = Experiment::find_form(EXPERIMENT, quick, &[])?;
    let rig = Rig::find(None, &document)?.unrecorded();
    Ok(Prepared { experiment, document, rig, data: None, drawer: Arc::new(Theme::default()) })
}

fn open(prepared: &Prepared, seed: u64) -> Result<Vec<Opened>, Error> {
    let mut opened = prepared.rig.open(&prepared.plants(), seed)?;
    for opened in &mut opened {
        opened.allowance.pace();
    }
    Ok(opened)
}

/// Shots of the plant that the network learns from: half of them white, half smooth.
fn shots(prepared: &Prepared, count: usize, seed: u64) -> Result<Trace, Error> {
    let mut plant = open(prepared, seed)?.remove(0).plant;
    let key = Key::new(seed).branch("shots");
    let white = Stimuli::white(plant.ports(), count / 2, PER_SETTING, key);
    let stimuli = white.and(&Stimuli::smooth(plant.ports(), count / 2, PER_SETTING, key));
    let mut progress =
        |_: usize| if crate::stop::requested() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) };
    let mut watch = Watch { now: &mut || None, progress: &mut progress };
    let trace = measure(&mut plant, &stimuli, 1, &mut watch).map_err(Error::calibration("line"))?;
    plant.make_safe().map_err(Error::plant("line"))?;
    trace.ok_or(Error::CalibrationStopped)
}

fn training(updates: [usize; 2], quick: bool, seed: u64) -> Training {
    let [full, short] = updates;
    Training {
        updates: if quick { short } else { full },
        batch: LEARNED,
        rate: RATE,
        key: Key::new(seed).branch("piann"),
    }
}

/// The network that learned the line from shots alone.
fn from_shots(trace: &Trace, quick: bool, seed: u64) -> Result<Arc<dyn Twin>, Error> {
    let training = training([UPDATES[1], QUICK[1]], quick, seed);
    let learned = Surrogate::learn(trace, HIDDEN, &training, &mut |_, _| !crate::stop::requested());
    Error::if_stopped()?;
    Ok(Arc::new(learned.map_err(Error::calibration("line"))?))
}

/// The network that learned it from its equation, and from shots where there are some.
fn from_equation(
    prepared: &Prepared,
    trace: Option<&Trace>,
    (quick, seed): (bool, u64),
) -> Result<Arc<dyn Twin>, Error> {
    let opened = open(prepared, seed)?.remove(0);
    let law = LineVolumes::of(&text(VOLUMES)?)
        .ok_or_else(|| Error::Data(format!("piann: {VOLUMES} lacks a coefficient of the line")))?;
    let training = training([UPDATES[0], QUICK[0]], quick, seed);
    let mut goes_on = |_: usize, _: f64| !crate::stop::requested();
    let learned = LineTwin::learn(opened.twin.card(), law, trace, (HIDDEN, &training), &mut goes_on);
    Error::if_stopped()?;
    Ok(Arc::new(learned.map_err(Error::calibration("line"))?))
}

/// Seconds of a shot: predicted, and pulled back, in batches.
fn cost(twin: &dyn Twin) -> [f64; 2] {
    let ports = &twin.card().ports;
    let mut stream = Key::new(SEEDS[0]).branch("cost").stream();
    let ranges = ports.ranges(Direction::Input);
    let inputs = Batch::from_fn(BATCH, ranges.len(), |_, port| ranges[port].at(stream.uniform()));
    let controls: Vec<f32> = ports.ranges(Direction::Control).iter().map(|range| range.at(stream.uniform())).collect();
    let cotangents = Batch::from_fn(BATCH, ports.output_count(), |_, _| stream.normal());
    let shots = BATCH as f64;
    [
        seconds(|| twin.predict(&inputs, &controls)) / shots,
        seconds(|| twin.pull_back(&inputs, &controls, &cotangents)) / shots,
    ]
}

/// Accuracy on the plant after the experiment's updates by a method, with a twin of its own where one is given; 0 of a training that diverged.
fn trained(
    prepared: &Prepared,
    method: Method,
    (data, seed): (&Dataset, u64),
    twin: Option<&Arc<dyn Twin>>,
) -> Result<f64, Error> {
    let mut opened = open(prepared, seed)?;
    if let Some(twin) = twin {
        for opened in &mut opened {
            opened.twin = twin.clone();
            opened.adjustable = None;
        }
    }
    let mut lab = Lab::new(opened, method.derivatives())?;
    let experiment = prepared.counted(method, seed, data);
    let network = Network::build(experiment.layout(), &prepared.document, &lab, data)?;
    let mut trainer = Trainer::new(network, data, &experiment.training, method, Key::new(seed));
    let mut run = || -> Result<f64, Error> {
        trainer.updates(experiment.training.steps, &mut lab)?;
        Ok(trainer.test_scores(&mut lab)?.first())
    };
    let accuracy = match run() {
        // What a twin that is far off leads to is a finding.
        Err(Error::Diverged { .. }) => {
            tell!("piann: the training diverged, and counts as an accuracy of 0");
            0.0
        }
        found => found?,
    };
    drop(trainer);
    lab.make_safe()?;
    Ok(accuracy)
}
