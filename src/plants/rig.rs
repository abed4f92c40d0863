//! A rig: the plants of one bench, as one TOML file describes them, and how they are opened.

// Circle with plants/rig/limits.rs: a rig is made of these tables and refuses by them; split for its length.
// Circle with plants/rig/gauges.rs: the instruments of its interlocks are opened with a rig; split for its length.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use drivers::{
    Allowance, Card, Interlock, Interlocked, Limited, Plant, Recorded, Rejections, Replayed, Screen, Screened,
};
use hil::{Faults, Wire};
use sims::{Adjustable, Shifted, Simulated};

use crate::Error;
use crate::document::{Document, list, name_complaint};
use crate::plants::{
    Guarded, Opened, fits,
    lab::guard::{self, Guard},
};

mod bench;
mod changes;
mod config;
mod description;
mod equations;
mod feedthrough;
mod gauges;
mod held;
mod kept;
mod knobs;
mod limits;
mod mesh_errors;
mod next_free;
mod offline;
mod retuned;
mod system;
mod twin_ports;

pub use bench::{BenchConfig, InstrumentsConfig, ServedInstrument};
pub(crate) use changes::{bench_first, known_plants};
use config::InterlockConfig;
pub use config::{PlantConfig, RigConfig, ScreenConfig};
pub use equations::equations_with_tables;
use equations::read_equations;
pub use feedthrough::FeedthroughConfig;
use gauges::Gauges;
use kept::Kept;
use knobs::OfPlant;
pub use knobs::{KnobConfig, Knobs};
pub use limits::LimitsConfig;
use mesh_errors::read_mesh_errors;
use next_free::next_free;
pub use system::SimulatedConfig;
use twin_ports::{same_ports, unlearned};

/// What to do where a rig cannot be read.
pub(crate) const NO_RIG: &str = "Check the path: a rig is a TOML file that describes benches (docs/your-own-bench.md)";

/// What a plant must have.
const ONE_KIND: &str = "must have exactly one of `simulated`, `bench` and `replay`";

/// What a plant that shifts must keep.
const OTHER_PORTS: &str =
    "has other ports than `simulated`: a plant that shifts keeps its numbers of ports, units and ranges";

/// The physics of a plant's twin, and the card that it gives itself.
pub type Physics = (Arc<dyn Adjustable>, Card);

/// The guard of a bench that is being opened. Where that fails nothing was switched on, and it has nothing to do.
struct Posted(Option<Guard>);

impl Drop for Posted {
    fn drop(&mut self) {
        self.0.take().into_iter().for_each(Guard::say_goodbye);
    }
}

/// A rig file, read and checked, with what an experiment lays over it.
#[derive(Debug, Clone)]
pub struct Rig {
    /// What it says, every default written out.
    pub config: RigConfig,
    document: Document,
    folder: PathBuf,
    kept: Kept,
    knobs: Knobs,
}

impl Rig {
    /// The built-in rig of simulated plants, or the one in `file`; with the keys of `experiment` laid over its plants.
    pub fn find(file: Option<&Path>, experiment: &Document) -> Result<Self, Error> {
        let document = match file {
            Some(path) => Document::read(path, NO_RIG)?,
            None => Document::parse("hil/rigs/simulated.toml", hil::SIMULATED_RIG)?,
        };
        Self::of(document, experiment, file)
    }

    /// The rig that a text describes, as if it stood in a file of this name in the present folder.
    pub fn of_text(name: &str, text: &str) -> Result<Self, Error> {
        Self::of(Document::parse(name, text)?, &Document::parse("none", "")?, None)
    }

    fn of(mut document: Document, experiment: &Document, file: Option<&Path>) -> Result<Self, Error> {
        known_plants(&document, experiment)?;
        document.overlay(experiment, "plants");
        let mut config: RigConfig = document.check()?;
        let folder = file.and_then(Path::parent).map(Path::to_owned).unwrap_or_default();
        read_equations(&mut config, &document, file.is_some().then_some(&folder))?;
        read_mesh_errors(&mut config, &document, &folder)?;
        if let Some(complaint) = name_complaint(&config.name) {
            return Err(document.refuse("name", complaint));
        }
        for (name, plant) in &config.plants {
            if let Some(complaint) = name_complaint(name) {
                return Err(document.refuse(&format!("plants.{name}"), complaint));
            }
            let kinds = [plant.simulated.is_some(), plant.bench.is_some(), plant.replay.is_some()];
            if kinds.iter().filter(|given| **given).count() != 1 {
                return Err(document.refuse(&format!("plants.{name}"), ONE_KIND));
            }
            let told = [("shift", plant.shift.is_some()), ("feedthrough", plant.feedthrough.is_some())];
            if let Some((key, _)) = told.into_iter().find(|(_, given)| *given && plant.simulated.is_none()) {
                let message = "needs `simulated`: only a simulated plant can be told how it is to err";
                return Err(document.refuse(&format!("plants.{name}.{key}"), message));
            }
            if let Some((key, message)) = plant.limits.complaint() {
                return Err(document.refuse(&format!("plants.{name}.limits.{key}"), message));
            }
            let complaint = |(index, interlock): (usize, &InterlockConfig)| Some((index, interlock.complaint()?));
            if let Some((index, (key, message))) = plant.interlocks.iter().enumerate().find_map(complaint) {
                return Err(document.refuse(&format!("plants.{name}.interlocks.{index}.{key}"), message));
            }
        }
        knobs::check(&config, &document)?;
        let knobs = Knobs::of(&config);
        Ok(Self { config, document, folder, kept: Kept::default(), knobs })
    }

    /// The same with the changes to its plants that the command line asks for.
    pub fn changed(file: Option<&Path>, assignments: &[String]) -> Result<Self, Error> {
        let mut changes = Document::parse("command line", "")?;
        for assignment in assignments {
            changes.set(assignment)?;
        }
        if let Some(key) = changes.table().keys().find(|key| *key != "plants") {
            let message =
                "is no key of the rig's plants, which alone can be changed here: plants.NAME.simulated.mismatch=0.5";
            return Err(changes.refuse(key, message));
        }
        Self::find(file, &changes)
    }

    /// Opens the plants called `names`, each behind its limits; shot noise of simulated ones is that of run `seed`.
    pub fn open(&self, names: &[&str], seed: u64) -> Result<Vec<Opened>, Error> {
        self.refuse_shared_instruments(names)?;
        let wanted = self.config.plants.iter().filter(|(name, _)| names.contains(&name.as_str()));
        let (is_wanted, mut gauges) = (wanted.clone(), Gauges::new());
        let mut kept =
            self.kept.take(|name, as_config| is_wanted.clone().any(|wanted| wanted == (&name.to_owned(), as_config)));
        wanted
            .map(|(name, config)| match kept.iter().position(|opened| opened.name == *name) {
                Some(place) => Ok(kept.swap_remove(place)),
                None => self.open_plant(name, config, seed, &mut gauges),
            })
            .collect()
    }

    /// Keeps the benches among plants that are safe open, for whoever opens this rig next; what is simulated or replayed begins anew each
    /// time.
    pub fn keep_open(&self, plants: Vec<Opened>) {
        for opened in plants {
            let config = self.config.plants.get(&opened.name).filter(|config| config.bench.is_some());
            if let Some(config) = config {
                self.kept.keep(config.clone(), opened);
            }
        }
    }

    /// Where its knobs stand.
    pub fn knobs(&self) -> &Knobs {
        &self.knobs
    }

    /// The same rig; benches that `other` keeps open are its own as well.
    pub fn sharing(self, other: &Self) -> Self {
        Self { kept: other.kept.clone(), ..self }
    }

    /// Refuses two of these plants that have one instrument, however its address is spelled, before anything is opened.
    fn refuse_shared_instruments(&self, names: &[&str]) -> Result<(), Error> {
        let mut known: Vec<(&str, drivers::Address)> = vec![];
        let wanted = self.config.plants.iter().filter(|(name, _)| names.contains(&name.as_str()));
        for (name, bench) in wanted.filter_map(|(name, plant)| Some((name, plant.bench.as_ref()?))) {
            // What is no address is refused when it is opened.
            let addresses = bench.instruments.addresses(name, &self.folder).unwrap_or_default();
            for address in &addresses {
                let shared = known.iter().find(|(_, other)| drivers::is_same_instrument(other, address));
                if let Some((other, spelled)) = shared {
                    return Err(self.document.refuse(
                        &format!("plants.{name}.bench.instruments"),
                        format!(
                            "has the address {address}, which is that of plant `{other}` ({spelled}): an instrument drives one plant. \
                             Give each its own, or let all layers use plant `{other}`"
                        ),
                    ));
                }
            }
            known.extend(addresses.into_iter().map(|address| (name.as_str(), address)));
        }
        Ok(())
    }

    /// The same rig with relative paths that count from `folder`.
    pub fn within(self, folder: PathBuf) -> Self {
        Self { folder, ..self }
    }

    /// The same rig for a run that goes on: what recorded to files or folders that exist by now records to the next ones beside them
    /// (`plant-2.jsonl`, then `plant-3.jsonl`).
    pub fn recording_on(mut self) -> Self {
        for plant in self.config.plants.values_mut() {
            let records = [plant.record.as_mut(), plant.bench.as_mut().and_then(|bench| bench.record.as_mut())];
            for path in records.into_iter().flatten() {
                *path = next_free(&self.folder, path);
            }
        }
        self
    }

    /// The same rig for questions that are no training: a recording holds one training, and nothing else.
    pub fn unrecorded(mut self) -> Self {
        for plant in self.config.plants.values_mut() {
            plant.record = None;
            if let Some(bench) = &mut plant.bench {
                bench.record = None;
            }
        }
        self
    }

    /// The names of all plants.
    pub fn names(&self) -> Vec<&str> {
        self.config.plants.keys().map(String::as_str).collect()
    }

    /// Opens one plant with its nominal twin, whatever fit the rig names: to calibrate it.
    pub fn open_uncalibrated(&self, name: &str, seed: u64) -> Result<Opened, Error> {
        let known = self.config.plants.get(name);
        let config = known.ok_or_else(|| self.document.refuse("plants", format!("has no plant `{name}`")))?;
        self.open_plant(name, &PlantConfig { fit: Some("none".to_owned()), ..config.clone() }, seed, &mut Gauges::new())
    }

    /// The physics of a plant's twin and the card that it gives itself, with nothing opened; `None` where the twin is learned.
    pub fn physics(&self, name: &str) -> Result<Option<Physics>, Error> {
        let known = self.config.plants.get(name);
        let config = known.ok_or_else(|| self.document.refuse("plants", format!("has no plant `{name}`")))?;
        let Some(system) = config.twin_system() else { return Ok(None) };
        let built = system.build(0).map_err(|error| {
            self.document.refuse(&format!("plants.{name}"), format!("has a system that cannot be built: {error}"))
        })?;
        let adjustable =
            system.adjustable().map_err(|error| self.document.refuse(&format!("plants.{name}"), error.to_string()))?;
        Ok(Some((adjustable, built.twin.card().clone())))
    }

    /// The fit that the rig names for a plant.
    fn fit(&self, name: &str, config: &PlantConfig, wanted: &fits::Wanted<'_>) -> Result<Option<fits::InUse>, Error> {
        let choice = config.fit.as_deref().unwrap_or(if config.is_learned() { "auto" } else { "none" });
        let path = format!("plants.{name}.fit");
        let file = self.folder.join(choice);
        let choice = if matches!(choice, "none" | "auto") { choice } else { file.to_str().unwrap_or(choice) };
        match fits::find(choice, Path::new(fits::FOLDER), wanted) {
            // Nothing is learned yet: that is how every learned twin begins.
            Err(Error::NoFit { .. }) if config.fit.is_none() => Ok(None),
            Err(error @ (Error::Unreadable { .. } | Error::Usage(_))) => {
                Err(self.document.refuse(&path, error.to_string()))
            }
            found => found,
        }
    }

    fn open_plant(&self, name: &str, config: &PlantConfig, seed: u64, gauges: &mut Gauges) -> Result<Opened, Error> {
        let path = format!("plants.{name}");
        let own = OfPlant::new(&self.config, name);
        let config = &own.as_controls(config);
        // What watches a plant is there before the plant is.
        let interlocks = self.interlocks(name, &config.interlocks, gauges)?;
        let build = |system: &SimulatedConfig, key: &str| {
            system.build(seed).map_err(|error| self.unbuilt(&format!("{path}.{key}"), &error))
        };
        let refuse = |error: drivers::Error| self.document.refuse(&path, format!("cannot be opened: {error}"));
        let (mut clock, mut playhead, mut links, mut guard) = (None, None, vec![], Posted(None));
        let (plant, twin, ideal): (Box<dyn Plant>, _, _) = match (&config.simulated, &config.bench, &config.replay) {
            (Some(system), ..) => {
                let leaking =
                    |built| config.leaking(built).map_err(|error| self.document.refuse(&path, error.to_string()));
                let built = leaking(build(system, "simulated")?)?;
                let simulated = Simulated::new(match &config.shift {
                    Some(shift) => {
                        let after = leaking(build(&shift.to, "shift.to")?)?.system;
                        let shifted = Shifted::new(built.system, after, shift.after_shots, shift.over_shots);
                        Arc::new(shifted.ok_or_else(|| self.document.refuse(&format!("{path}.shift.to"), OTHER_PORTS))?)
                    }
                    None => built.system,
                });
                clock = Some(simulated.clock());
                same_ports(config, simulated.card(), built.twin.card())
                    .map_err(|message| self.document.refuse(&path, message))?;
                let plant = own.retuned(config, simulated, seed);
                (plant.map_err(|(key, why)| self.document.refuse(&key, why))?, built.twin, Some(built.ideal))
            }
            (None, Some(bench), _) => {
                let twin = bench.twin.system().map(|system| build(system, "bench.twin")).transpose()?;
                let twin = twin.map(|built| built.twin);
                bench.instruments.keeps(&config.limits).map_err(|error| self.bench_error(name, error))?;
                guard = Posted(self.post_guard(name, bench)?);
                let opened = bench.instruments.open(name, twin.as_deref(), &self.folder, bench.record.as_deref());
                let plant = opened.map_err(|error| self.bench_error(name, error))?;
                links = plant.1;
                let twin = twin.unwrap_or_else(|| unlearned(plant.0.as_ref()));
                (plant.0, twin, None)
            }
            (None, None, Some(replay)) => {
                let twin = replay.twin.system().map(|system| build(system, "replay.twin")).transpose()?;
                let file = self.folder.join(&replay.file);
                let replayed = Replayed::open(&file).map_err(refuse)?;
                playhead = Some(replayed.playhead());
                let twin = twin.map_or_else(|| unlearned(&replayed), |built| built.twin);
                (Box::new(replayed), twin, None)
            }
            (None, None, None) => return Err(self.document.refuse(&path, ONE_KIND)),
        };
        if config.simulated.is_none() {
            same_ports(config, plant.card(), twin.card()).map_err(|message| self.document.refuse(&path, message))?;
        }
        let rejections = Rejections::default();
        let (plant, allowance) = self.guard(name, config, (plant, interlocks), &rejections)?;
        let held = |message: String| self.document.refuse(&path, message);
        let plant = own.hold(plant, &self.knobs).map_err(held)?;
        let twin = own.hold_twin(twin, &self.knobs).map_err(held)?;
        let ideal = ideal.map(|ideal| own.hold_twin(ideal, &self.knobs)).transpose().map_err(held)?;
        let adjustable = config.twin_system().map(SimulatedConfig::adjustable).transpose();
        let adjustable = adjustable.map_err(|error| self.document.refuse(&path, error.to_string()))?;
        let description = self.description(name);
        let wanted =
            fits::Wanted { plant: name, card: plant.card(), description: &description, model: adjustable.clone() };
        let fit = self.fit(name, config, &wanted)?;
        let twin = fit.as_ref().map_or(twin, |fit| fit.twin.clone());
        let unlearned = config.is_learned() && fit.is_none();
        let watchdog = config.bench.as_ref().is_some_and(|bench| bench.instruments.has_watchdog());
        Ok(Opened {
            name: name.to_owned(),
            plant: Guarded::new(name, plant, guard.0.take()),
            twin,
            ideal,
            adjustable,
            fit,
            clock,
            playhead,
            links,
            rejections,
            allowance,
            watchdog,
            unlearned,
        })
    }

    /// Starts whoever makes the bench of the plant called `name` safe when this program dies, where its instruments do not.
    fn post_guard(&self, name: &str, bench: &BenchConfig) -> Result<Option<Guard>, Error> {
        let refuse = |error: drivers::Error| self.bench_error(name, error);
        let orders = bench.instruments.safe_orders(name, &self.folder).map_err(refuse)?;
        let addresses = bench.instruments.addresses(name, &self.folder).map_err(refuse)?;
        guard::wait_for_others(&addresses);
        Guard::start(name, orders).map_err(|error| {
            Error::Usage(format!(
                "plant `{name}`: no guard can be started, which would switch its bench off if this program died: {error}"
            ))
        })
    }

    /// The plant called `name` behind all that the rig puts before it: its recording, interlocks, limits and screen, from the plant
    /// outwards. A shot that is driven again counts against the limits, and so does what an earlier opening of a bench has driven.
    fn guard(
        &self,
        name: &str,
        config: &PlantConfig,
        (plant, interlocks): (Box<dyn Plant>, Vec<Interlock>),
        rejections: &Rejections,
    ) -> Result<(Box<dyn Plant>, Allowance), Error> {
        let path = &format!("plants.{name}");
        let refuse = |error: drivers::Error| self.document.refuse(path, format!("cannot be opened: {error}"));
        let unkept = |key: &'static str| {
            move |error| self.document.refuse(&format!("{path}.{key}"), format!("cannot be kept: {error}"))
        };
        let plant: Box<dyn Plant> = match &config.record {
            Some(file) => Box::new(Recorded::create(plant, &self.folder.join(file)).map_err(refuse)?),
            None => plant,
        };
        let unwatched = |error: drivers::Error| match &error {
            drivers::Error::UnknownBank { bank, .. } => {
                let index =
                    config.interlocks.iter().position(|interlock| interlock.output.as_ref() == Some(bank)).unwrap_or(0);
                self.document
                    .refuse(&format!("{path}.interlocks.{index}.output"), format!("cannot be watched: {error}"))
            }
            _ => unkept("interlocks")(error),
        };
        let plant = Interlocked::new(plant, interlocks).map_err(unwatched)?.counted_in(rejections);
        let mut plant = Limited::new(plant, &config.limits.limits()).map_err(unkept("limits"))?.counted_in(rejections);
        if let Some(bench) = &config.bench {
            let addresses = bench.instruments.addresses(name, &self.folder).map_err(Error::plant(name))?;
            // The first instrument is the one that drives.
            if let Some(address) = addresses.first() {
                plant = plant.kept_beside(address).map_err(Error::plant(name))?;
            }
        }
        let allowance = plant.allowance();
        allowance.wait_with(|_| !crate::stop::requested());
        match &config.screen {
            None => Ok((Box::new(plant), allowance)),
            Some(ScreenConfig { attempts: 0, .. }) => {
                Err(self.document.refuse(&format!("{path}.screen.attempts"), "is 0: give at least 1"))
            }
            Some(ScreenConfig { stuck, saturated, attempts }) => {
                let screen = Screen { stuck: *stuck, saturated: *saturated, attempts: *attempts };
                Ok((Box::new(Screened::new(plant, screen).counted_in(rejections)), allowance))
            }
        }
    }

    /// An error of the bench of the plant called `name`: of the file, or of the instruments.
    fn bench_error(&self, name: &str, error: drivers::Error) -> Error {
        let path = format!("plants.{name}.bench.instruments");
        match error {
            drivers::Error::Description { key, message } => self.document.refuse(&format!("{path}.{key}"), message),
            // Nothing has been recorded or replayed yet: it is the file's address or folder that is wrong.
            error @ drivers::Error::Recording { .. } => {
                self.document.refuse(&path, format!("cannot be opened: {error}"))
            }
            drivers::Error::Address { text, message } => {
                self.document.refuse(&path, format!("has the address `{text}`, which {message}"))
            }
            error => Error::plant(name)(error),
        }
    }

    /// The folder that relative paths count from.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// The plants called `names`, or all if there are none.
    pub fn chosen(&self, names: &[String]) -> Result<Vec<&str>, Error> {
        let known = self.names();
        if names.is_empty() {
            return Ok(known);
        }
        let find = |name: &String| {
            known.iter().copied().find(|known| known == name).ok_or_else(|| {
                Error::Usage(format!("--plants: the rig has no plant `{name}`: it has {}", list(&known)))
            })
        };
        names.iter().map(find).collect()
    }

    /// Serves simulated instruments for all plants that have instruments, and the rig with their addresses.
    pub fn serve(&self, wire: &Wire, faults: &Faults, seed: u64) -> Result<(Vec<ServedInstrument>, RigConfig), Error> {
        let mut config = self.config.clone();
        let mut all = vec![];
        for (name, plant) in &mut config.plants {
            let Some(bench) = &mut plant.bench else { continue };
            let path = format!("plants.{name}.bench");
            let Some(system) = bench.twin.system() else {
                let message = "is learned: there is no system that could be served in its place. Name one";
                return Err(self.document.refuse(&format!("{path}.twin"), message));
            };
            let built = system.build(seed);
            let built = built.map_err(|error| self.unbuilt(&format!("{path}.twin"), &error))?;
            let with_knobs = OfPlant::new(&self.config, name).as_controls(&self.config.plants[name]);
            let instruments = with_knobs.bench.map_or_else(|| bench.instruments.clone(), |bench| bench.instruments);
            let served = instruments.serve(name, built.system, wire, faults);
            let served = served.map_err(|error| self.document.refuse(&path, format!("cannot be served: {error}")))?;
            for (wired, served) in bench.instruments.wired().into_iter().zip(&served) {
                *wired.address = served.address.to_string();
            }
            all.extend(served);
        }
        all.extend(self.serve_gauges(&mut config, faults)?);
        if all.is_empty() {
            let message = "has no plant with instruments to serve: describe them under `plants.NAME.bench`";
            return Err(self.document.refuse("", message));
        }
        Ok((all, config))
    }
}

#[cfg(test)]
mod tests;
