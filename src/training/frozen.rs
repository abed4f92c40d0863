//! A generator that another run has learned, as a motion moves it: read from the folder of that run, never changed.

// Circle with training/experiment.rs: an experiment says on which plants its generator is, and a generator is of an experiment.

use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::Error;
use crate::data::{Dataset, GeneratorFacts, Latents, Meaning, MotionConfig};
use crate::document::{Document, list};
use crate::network::{Ends, Generator, LayerConfig, NamedTensor, Network, rows};
use crate::plants::Lab;
use crate::record::{Saved, read_facts};
use crate::scores::ObjectiveKind;
use crate::training::Experiment;
use crate::training::experiment::NO_EXPERIMENT;

/// Where the runs are that are named without their folder.
const RUNS: &str = "runs";

/// A run that learned to generate.
pub struct Frozen {
    folder: PathBuf,
    experiment: Experiment,
    document: Document,
    facts: Value,
    saved: Saved,
    latents: Latents,
    size: [usize; 2],
}

/// The folder of a generator's run, if there is one.
fn folder(generator: &Path) -> Option<PathBuf> {
    [generator.to_owned(), Path::new(RUNS).join(generator)].into_iter().find(|folder| folder.join("run.json").is_file())
}

/// The plant of each physical layer of a generator; none where it cannot be read, which who needs it says.
pub fn drives(generator: &Path) -> Vec<String> {
    // Read as it is, and not as an experiment that is found: files that name each other as generators would never end.
    let read = |folder: PathBuf| {
        Document::read(&folder.join("experiment.toml"), NO_EXPERIMENT).ok()?.check::<Experiment>().ok()
    };
    let Some(experiment) = folder(generator).and_then(read) else { return vec![] };
    experiment.layers.iter().filter_map(plant).map(str::to_owned).collect()
}

/// What is wrong where the generator in `folder` drives a plant, `gone`, that is none of these.
pub fn gone(folder: &Path, gone: &str, plants: &[&str]) -> String {
    let known = if plants.is_empty() { "no plant".to_owned() } else { list(plants) };
    format!("is `{}`, whose layers drive the plant `{gone}`, which is gone: the rig has {known}", folder.display())
}

fn plant(layer: &LayerConfig) -> Option<&str> {
    if let LayerConfig::Physical(layer) = layer { Some(&layer.plant) } else { None }
}

impl Frozen {
    /// The generator that a motion names; `document` is that of the motion, for errors.
    pub fn read(motion: &MotionConfig, document: &Document) -> Result<Self, Error> {
        let named = motion.generator.display();
        let refuse = |message: String| document.refuse("motion.generator", message);
        let folder = folder(&motion.generator).ok_or_else(|| {
            Error::MissingData(format!(
                "{}: `motion.generator` is `{named}`, where there is no run: name the folder of a run that learned to `generate`, such as \
                 `pnnlab train generator-electrical --name generator` leaves",
                document.name()
            ))
        })?;
        let found = Self::of(&folder)?;
        found.ok_or_else(|| {
            refuse(format!("is `{named}`, a run that is no generator: name one whose objective is `generate`"))
        })
    }

    /// The run in `folder`; none where it is no generator.
    pub fn of(folder: &Path) -> Result<Option<Self>, Error> {
        let (experiment, document) = Experiment::find(&folder.join("experiment.toml").to_string_lossy(), &[])?;
        if experiment.objective() != ObjectiveKind::Generate {
            return Ok(None);
        }
        Self::new(folder, (experiment, document), read_facts(folder)?, Saved::read(folder)?).map(Some)
    }

    /// Of an experiment, what `run.json` says of it, and what a training has left.
    pub fn new(
        folder: &Path,
        (experiment, document): (Experiment, Document),
        facts: Value,
        saved: Saved,
    ) -> Result<Self, Error> {
        let objective = experiment.objective.clone().ok_or_else(|| document.refuse("objective", "is missing"))?;
        let classes = facts["classes"].as_array().map_or(0, Vec::len);
        let latents = Latents { latent: objective.latents(), classes: if objective.told { classes } else { 0 } };
        let size: [usize; 2] = serde_json::from_value(facts["size"].clone()).map_err(|_| Error::Record {
            path: folder.join("run.json"),
            message: "does not say how many lines and columns its images have: is it of another program?".to_owned(),
        })?;
        Ok(Self { folder: folder.to_owned(), experiment, document, facts, saved, latents, size })
    }

    /// What it learned, as it was written.
    pub fn experiment(&self) -> &Experiment {
        &self.experiment
    }

    /// What goes into it.
    pub fn latents(&self) -> Latents {
        self.latents
    }

    /// Lines and columns of its images.
    pub fn size(&self) -> [usize; 2] {
        self.size
    }

    /// What its sequences depend on.
    pub fn facts(&self) -> GeneratorFacts {
        let mut check = 0xCBF2_9CE4_8422_2325_u64;
        // A file has its tensors in any order.
        let mut tensors: Vec<&NamedTensor> = self.saved.weights.iter().chain(&self.saved.state).collect();
        tensors.sort_by(|one, other| one.name.cmp(&other.name));
        for tensor in tensors {
            for value in rows::values(tensor.tensor.clone()) {
                check = (check ^ u64::from(value.to_bits())).wrapping_mul(0x0100_0000_01B3);
            }
        }
        let words = self.facts["classes"].as_array().into_iter().flatten();
        GeneratorFacts {
            name: self.folder.display().to_string(),
            latents: self.latents,
            words: words.filter_map(Value::as_str).map(str::to_owned).collect(),
            check,
        }
    }

    /// The generator on these plants. `asked` is the motion's document with the key that an error names.
    pub fn generator(&self, lab: &Lab, principal: bool, asked: (&Document, &str)) -> Result<Generator, Error> {
        let (document, key) = asked;
        let names = lab.names();
        if let Some(gone) = self.experiment.layers.iter().filter_map(plant).find(|plant| !names.contains(plant)) {
            return Err(document.refuse(key, self::gone(&self.folder, gone, &names)));
        }
        self.tell_of_others(lab);
        let layers = &self.experiment.layers[..];
        let ends = Ends {
            inputs: self.latents.width(),
            outputs: self.size.iter().product(),
            what: "values in an image",
            classes: false,
            cells: None,
            movement: None,
        };
        let network = Network::build(layers, &self.document, lab, ends)?;
        let saved = (&self.saved.weights[..], &self.saved.state[..]);
        let found = Generator::new((network, layers), saved, (self.latents, principal));
        found.map_err(|message| Error::Record { path: Saved::path(&self.folder), message })
    }

    /// Says where a plant is another one than the generator learned on.
    fn tell_of_others(&self, lab: &Lab) {
        for known in self.facts["plants"].as_array().into_iter().flatten() {
            let word = |key: &str| known[key].as_str().unwrap_or_default();
            let Some(place) = lab.find(word("plant")) else { continue };
            let identity = &lab.card(place).identity;
            if (&identity.system[..], &identity.serial[..]) != (word("system"), word("serial")) {
                tell!(
                    "pnnlab: the generator {} learned on {} {}, not on {} {}: its images may be others there",
                    self.folder.display(),
                    word("system"),
                    word("serial"),
                    identity.system,
                    identity.serial
                );
            }
        }
    }
}

/// Refuses a generator whose frames are not those of the data.
pub fn fits(generator: &Generator, data: &Dataset, document: &Document) -> Result<(), Error> {
    let Meaning::Motion(movement) = &data.meaning else { return Ok(()) };
    if generator.pixels() == movement.pixels() {
        return Ok(());
    }
    let message = format!(
        "makes frames of {} values, but those of the data have {} ({} × {}): take sequences like the images that it learned from",
        generator.pixels(),
        movement.pixels(),
        movement.size[1],
        movement.size[0]
    );
    Err(document.refuse("motion.generator", message))
}
