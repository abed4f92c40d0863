//! `textures`: automata that grow textures: published rules, one trained from an image, and one whose rule runs through a plant.

use std::path::Path;
use std::time::Instant;

use sims::{Key, Perception, TrainedRule};

use super::program::{Asked, Check, Measured, Program};
use crate::Error;
use crate::data::{CellsConfig, Dataset, Meaning, read_rule};
use crate::network::Network;
use crate::plants::Rig;
use crate::plants::{Derivatives, Forward, Lab};
use crate::record::Saved;
use crate::report::Theme;
use crate::training::growth::{Growth, NetworkRule, Rule};
use crate::training::{Experiment, Judge, Method, Prepared, Trainer};

/// The program.
pub const PROGRAM: Program = Program { name: "textures", checks: || judge(&|_| None), run };

/// Rules of the public collection that are grown.
const RULES: [&str; 6] =
    ["bubbly_0101", "bumpy_0169", "chequered_0121", "dotted_0201", "interlaced_0081", "honeycombed_0171"];
/// Cells of a side and steps of a grown rule, and of its hole.
const RULE_SIZE: [usize; 2] = [64, 64];
const RULE_STEPS: usize = 1000;
const RULE_HOLE: [usize; 2] = [24, 24];
/// The hole in a trained lattice, and how long it is left to itself afterwards.
const HOLE: [usize; 2] = [8, 8];
const LATER: usize = 1500;
/// Seeds of what was trained and of lattices that are grown, which no setting was chosen by.
const SEED: u64 = 1;
/// The digital rule in place of the plant: the same 32 hidden values.
const DIGITAL: [&str; 2] = ["layers.1={ kind = \"activation\", function = \"relu\" }", "name=\"textures-digital\""];
/// Another bench.
const OTHER_BENCH: &str = "plants.electrical.simulated.plant_seed=2";

/// What is asked of numbers that `of` knows by name.
fn judge(of: &dyn Fn(&str) -> Option<f64>) -> Vec<Check> {
    let mut checks = Vec::new();
    for rule in RULES {
        let name = format!("{rule}: distance 150 steps after the hole");
        checks.push(Check::at_most(&format!("{name} ≤ 0.05"), 0.05, of(&name), "1"));
        let name = format!("{rule}: distance with synchronous updates");
        checks.push(Check::at_least(&format!("{name} ≥ 1 (control)"), 1.0, of(&name), "1"));
    }
    let gain = "bubbly_0101: distance with gains off by up to 5 %";
    checks.push(Check::at_most(&format!("{gain} ≤ 0.3"), 0.3, of(gain), "1"));
    let speed = "cell updates per second, 12 channels, 96 hidden";
    checks.push(Check::at_least(&format!("{speed} ≥ 50 million"), 50e6, of(speed), "1/s"));
    let over = |one: &str, other: &str| of(one).zip(of(other)).map(|(one, other)| one - other);
    for (rule, after, far) in [("digital", 0.05, 0.15), ("electrical, physics-aware", 0.05, 0.15)] {
        let own = format!("{rule}: distance");
        checks.push(Check::at_most(&format!("{own} ≤ 0.10"), 0.1, of(&own), "1"));
        let repaired = format!("{rule}: distance 50 steps after the hole");
        checks.push(Check::at_most(&format!("{repaired}, above its own ≤ 0.05"), after, over(&repaired, &own), "1"));
        let later = format!("{rule}: distance {LATER} steps later");
        checks.push(Check::at_most(&format!("{later} ≤ 0.15"), far, of(&later), "1"));
    }
    let gain = "digital: distance with gains off by up to 5 %";
    checks.push(Check::at_most(&format!("{gain} ≤ 0.20"), 0.2, of(gain), "1"));
    let [aware, silico] = ["physics-aware", "in-silico"].map(|method| of(&format!("electrical, {method}: distance")));
    // A distance that is below that of a piece of the image counts as 0.02: nothing is more often as far as nothing.
    let ratio = aware.zip(silico).map(|(aware, silico)| silico / aware.max(0.02));
    checks.push(Check::at_least("electrical: in silico deployed ≥ 3 × as far as physics-aware", 3.0, ratio, "1"));
    let control = "electrical, physics-aware: distance with synchronous updates";
    let change = of(control).zip(aware).map(|(control, aware)| control - aware);
    checks.push(Check::at_least(&format!("{control}, above its own ≥ 0.1 (control)"), 0.1, change, "1"));
    checks
}

fn run(asked: &Asked<'_>) -> Result<Measured, Error> {
    let mut measured = Measured {
        on: "an automaton that is digital, and the SIMULATED plant electrical".to_owned(),
        ..Measured::default()
    };
    match asked.data.map(|data| data.join("texture_nca/models.json")) {
        Some(file) if file.is_file() => rules(&file, asked.quick, &mut measured)?,
        _ => tell!("textures: published rules are left out: they need --data with texture_nca/models.json"),
    }
    speed(asked.quick, &mut measured)?;
    tell!("textures: a digital rule");
    let digital = Trained::new(&DIGITAL, Method::PhysicsAware, asked.quick)?;
    digital.measure("digital", asked.quick, &mut measured)?;
    let tilted = digital.distance_where(Some(0.05), digital.steps())?;
    measured.add("digital: distance with gains off by up to 5 %", tilted, "1", SEED);
    for method in [Method::PhysicsAware, Method::InSilico] {
        tell!("textures: a rule that runs through the electrical plant, {method}");
        let trained = Trained::new(&[], method, asked.quick)?;
        let name = format!("electrical, {method}");
        if method == Method::PhysicsAware {
            trained.measure(&name, asked.quick, &mut measured)?;
            let other = trained.on(Some(OTHER_BENCH), Forward::Plant, |growth, judge| {
                growth.advance(trained.steps(), None)?;
                Ok(judge.distance(&growth.colors()))
            })?;
            measured.add(format!("{name}: distance on another bench, untouched"), other, "1", SEED);
        } else {
            let grown = |on| {
                trained.on(None, on, |growth, judge| {
                    growth.advance(trained.steps(), None)?;
                    Ok(judge.distance(&growth.colors()))
                })
            };
            measured.add(format!("{name}: distance on its twin"), grown(Forward::Twin)?, "1", SEED);
            measured.add(format!("{name}: distance"), grown(Forward::Plant)?, "1", SEED);
        }
    }
    let known = measured.measurements.clone();
    measured.checks = judge(&|name| known.iter().find(|one| one.name == name).map(|one| one.value));
    Ok(measured)
}

/// Published rules: repair, gains that are off, and all cells at once.
fn rules(file: &Path, quick: bool, measured: &mut Measured) -> Result<(), Error> {
    let wanted = if quick { &RULES[..2] } else { &RULES[..] };
    let steps = if quick { RULE_STEPS / 2 } else { RULE_STEPS };
    for name in wanted {
        tell!("textures: {name}");
        let (rule, cells) = read_rule(Path::new(&format!("{}#{name}", file.display())))?;
        let grown = |cells: &CellsConfig, seed: u64, rate: Option<f32>| -> Result<Growth<'static>, Error> {
            let mut growth = Growth::new(Rule::Trained(rule.clone()), cells, RULE_SIZE, seed);
            growth.advance(steps, rate)?;
            Ok(growth)
        };
        // Another lattice of the same rule is what it is compared with.
        let judge = Judge::new(&grown(&cells, 2, None)?.colors(), RULE_SIZE);
        let mut growth = grown(&cells, 1, None)?;
        let mut add = |what: &str, value: f64| measured.add(format!("{name}: distance {what}"), value, "1", SEED);
        add("from another lattice", judge.distance(&growth.colors()));
        growth.damage(RULE_HOLE);
        add("after a hole of 24 × 24", judge.distance(&growth.colors()));
        growth.advance(50, None)?;
        add("50 steps after the hole", judge.distance(&growth.colors()));
        growth.advance(100, None)?;
        add("150 steps after the hole", judge.distance(&growth.colors()));
        let off = with_gains(&cells, 0.05);
        add("with gains off by up to 5 %", judge.distance(&grown(&off, 1, None)?.colors()));
        add("with synchronous updates", judge.distance(&grown(&cells, 1, Some(1.0))?.colors()));
    }
    Ok(())
}

fn with_gains(cells: &CellsConfig, gain_error: f32) -> CellsConfig {
    let perception = cells.perception.iter().map(|one| Perception { gain_error, ..*one }).collect();
    CellsConfig { perception, ..cells.clone() }
}

/// How fast a digital rule of the published size is.
fn speed(quick: bool, measured: &mut Measured) -> Result<(), Error> {
    let cells = CellsConfig { contrast: 0.5, ..CellsConfig::default() };
    let mut stream = Key::new(SEED).branch("speed").stream();
    let mut draw = |count: usize, scale: f32| (0..count).map(|_| scale * stream.normal()).collect::<Vec<f32>>();
    let [first, second] = [draw(49 * 96, 0.1), draw(97 * 12, 0.02)];
    let rule = TrainedRule::new([&first, &second], 12, cells.width()).map_err(Error::Data)?;
    let mut growth = Growth::new(Rule::Trained(rule), &cells, [256, 256], SEED);
    growth.advance(2, None)?;
    let (steps, start) = (if quick { 20 } else { 100 }, Instant::now());
    growth.advance(steps, None)?;
    let rate = (growth.cells() * steps) as f64 / start.elapsed().as_secs_f64();
    measured.add("cell updates per second, 12 channels, 96 hidden", rate, "1/s", SEED);
    Ok(())
}

/// A trained automaton.
struct Trained {
    prepared: Prepared,
    data: Dataset,
    saved: Saved,
    cells: CellsConfig,
}

impl Trained {
    /// The built-in experiment with these keys changed, trained by a method.
    fn new(assignments: &[&str], method: Method, quick: bool) -> Result<Self, Error> {
        let prepared = prepare(assignments, quick)?;
        let data = prepared.load(SEED)?;
        let mut lab = prepared.lab_unrecorded(method, SEED)?;
        let experiment = prepared.counted(method, SEED, &data);
        let network = Network::build(&experiment.layers, &prepared.document, &lab, &data)?;
        let mut trainer = Trainer::new(network, &data, &experiment.training, method, Key::new(SEED));
        trainer.updates(experiment.training.steps, &mut lab)?;
        let saved = trainer.saved();
        drop(trainer);
        lab.make_safe()?;
        let cells = experiment.cells.unwrap_or_default();
        Ok(Self { prepared, data, saved, cells })
    }

    /// Steps from a fresh seed.
    fn steps(&self) -> usize {
        self.cells.tested()
    }

    /// What is measured of a lattice that grows, on a bench of its own that differs by an assignment.
    fn on(
        &self,
        assignment: Option<&str>,
        on: Forward,
        measure: impl FnOnce(&mut Growth<'_>, &Judge) -> Result<f64, Error>,
    ) -> Result<f64, Error> {
        self.grown((assignment, &self.cells), on, measure)
    }

    fn grown(
        &self,
        (assignment, cells): (Option<&str>, &CellsConfig),
        on: Forward,
        measure: impl FnOnce(&mut Growth<'_>, &Judge) -> Result<f64, Error>,
    ) -> Result<f64, Error> {
        let mut document = self.prepared.document.clone();
        assignment.map_or(Ok(()), |assignment| document.set(assignment))?;
        let opened = Rig::find(None, &document)?.open(&self.prepared.plants(), SEED)?;
        let mut lab = Lab::new(opened, Derivatives::Twin)?;
        let layers = (&self.prepared.experiment.layers[..], cells);
        let rule = NetworkRule::new(layers, &self.saved, &self.prepared.document, &lab)?;
        let Meaning::Texture(texture) = &self.data.meaning else {
            return Err(Error::Data("textures: the experiment has no image".to_owned()));
        };
        let judge = Judge::new(&texture.image, [cells.size; 2]);
        let found = {
            let rule = Rule::Network(Box::new(rule), &mut lab, on);
            let mut growth = Growth::new(rule, cells, [cells.size; 2], SEED);
            measure(&mut growth, &judge)
        };
        lab.make_safe()?;
        found
    }

    /// The distance where the gains of each kernel are off.
    fn distance_where(&self, gain_error: Option<f32>, steps: usize) -> Result<f64, Error> {
        let cells = gain_error.map_or_else(|| self.cells.clone(), |error| with_gains(&self.cells, error));
        self.grown((None, &cells), Forward::Plant, |growth, judge| {
            growth.advance(steps, None)?;
            Ok(judge.distance(&growth.colors()))
        })
    }

    /// Growth, repair, a long time, and all cells at once.
    fn measure(&self, name: &str, quick: bool, measured: &mut Measured) -> Result<(), Error> {
        let (steps, later) = (self.steps(), if quick { LATER / 10 } else { LATER });
        let mut found = Vec::new();
        self.on(None, Forward::Plant, |growth, judge| {
            let mut add = |what: &str, growth: &Growth<'_>| {
                found.push((format!("{name}: distance{what}"), judge.distance(&growth.colors())));
            };
            growth.advance(steps, None)?;
            add("", growth);
            growth.damage(HOLE);
            add(" after a hole of 8 × 8", growth);
            growth.advance(10, None)?;
            add(" 10 steps after the hole", growth);
            growth.advance(40, None)?;
            add(" 50 steps after the hole", growth);
            growth.advance(later, None)?;
            add(&format!(" {LATER} steps later"), growth);
            Ok(0.0)
        })?;
        for (name, value) in found {
            measured.add(name, value, "1", SEED);
        }
        let synchronous = self.on(None, Forward::Plant, |growth, judge| {
            // A lattice that diverges is as far as can be said.
            match growth.advance(steps, Some(1.0)) {
                Err(Error::Diverged { .. }) => Ok(f64::from(u16::MAX)),
                Err(error) => Err(error),
                Ok(()) => Ok(judge.distance(&growth.colors())),
            }
        })?;
        measured.add(format!("{name}: distance with synchronous updates"), synchronous, "1", SEED);
        Ok(())
    }
}

fn prepare(assignments: &[&str], quick: bool) -> Result<Prepared, Error> {
    let assignments: Vec<String> = assignments.iter().map(|one| (*one).to_owned()).collect();
    let (experiment, document) = Experiment::find_form("textures-electrical", quick, &assignments)?;
    let rig = Rig::find(None, &document)?;
    Ok(Prepared { experiment, document, rig, data: None, drawer: std::sync::Arc::new(Theme::default()) })
}

#[cfg(test)]
mod tests {
    use sims::Kernel;

    use super::*;

    #[test]
    fn each_check_names_what_is_measured() {
        assert!(judge(&|_| None).iter().all(|check| check.met.is_none()));
        let all = judge(&|_| Some(0.04));
        assert!(all.iter().all(|check| check.met.is_some()), "{all:?}");
    }

    #[test]
    fn gains_that_are_off_leave_the_kernels_as_they_are() {
        let off = with_gains(&CellsConfig::default(), 0.05);
        assert_eq!(off.perception.len(), 4);
        assert!(off.perception.iter().all(|one| one.gain_error == 0.05));
        assert_eq!(off.perception[3].kernel, Kernel::Laplacian);
    }
}
