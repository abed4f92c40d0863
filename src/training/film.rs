//! What a trained generator makes: images, or sequences of any length, each frame a shot on its plants.

mod nearest;

use burn::tensor::Tensor;
use sims::Key;

use crate::Error;
use crate::data::{Latents, Movement};
use crate::network::{Generator, NamedTensor, Network, Pass, Purpose, State, rows};
use crate::plants::{Forward, Lab};
use crate::record::Saved;
use crate::training::frozen::Frozen;
use crate::training::{Interrupted, Prepared};

pub use nearest::SHOTS as SEARCHED;
use nearest::{Nearest, Search};

/// Sequences that are shown together.
const TOGETHER: usize = 64;

/// What a run makes frames with.
pub enum Maker {
    /// Images, each by itself.
    Images(Box<Generator>, Latents),
    /// Sequences.
    Sequences(Box<Mover>),
}

/// A generator with what moves it.
pub struct Mover {
    network: Network,
    weights: Vec<Tensor<2>>,
    state: State,
    movement: Movement,
    /// What goes into the generator first; drawn for each sequence, where nobody asked for a first frame.
    start: Option<Vec<f32>>,
}

/// Frames that were made.
#[derive(Debug, Clone, Default)]
pub struct Film {
    /// Sequence after sequence, frame after frame.
    pub frames: Vec<f32>,
    /// Lines and columns of a frame.
    pub size: [usize; 2],
    /// Sequences.
    pub count: usize,
    /// Frames of each.
    pub length: usize,
    /// The largest step of a component, in its standard deviations.
    pub largest_step: f64,
    /// The mean cosine between noise and what was told of it.
    pub told: Option<f64>,
}

impl Film {
    /// Values of a frame.
    pub fn pixels(&self) -> usize {
        self.size[0] * self.size[1]
    }

    /// A frame of a sequence.
    pub fn frame(&self, sequence: usize, frame: usize) -> &[f32] {
        &self.frames[(sequence * self.length + frame) * self.pixels()..][..self.pixels()]
    }
}

impl Mover {
    /// Of a network and its weights.
    pub fn new(network: Network, saved: (&[NamedTensor], &[NamedTensor]), movement: &Movement) -> Result<Self, String> {
        let mut weights = Vec::new();
        for (name, weight) in network.weights(Key::new(0)) {
            let found = saved.0.iter().find(|found| found.name == name && found.tensor.dims() == weight.shape);
            let [height, width] = weight.shape;
            let found = found.ok_or_else(|| format!("has no weight `{name}` of {height} × {width}"))?;
            weights.push(found.tensor.clone());
        }
        let state = network.recall(saved.1)?;
        Ok(Self { network, weights, state, movement: movement.clone(), start: None })
    }

    /// From now on each sequence that is made begins with the frame that is nearest to `frame`; how far that is, as the root mean square of the
    /// differences of their values. Where the plants are asked, a search is [`SEARCHED`] shots on each.
    pub fn start_at(&mut self, frame: &[f32], seed: u64, lab: (&mut Lab, Forward)) -> Result<f64, Error> {
        let search = Search { generator: self.network.generator()?, latents: self.movement.latents, frame };
        let Nearest { latents, distance } = search.run(Key::new(seed).branch("first"), lab)?;
        self.start = Some(latents);
        Ok(distance)
    }

    /// Sequences of some rows, which are latents and noise.
    pub fn film(&mut self, inputs: &[f32], length: usize, lab: &mut Lab, on: Forward) -> Result<Film, Error> {
        let width = self.movement.latents.width() + self.movement.noises(length);
        let (size, count) = (self.movement.size, inputs.len() / width);
        let mut film = Film { size, count, length, ..Film::default() };
        let (mut told, mut tellers) = (0.0, 0);
        for part in inputs.chunks(TOGETHER * width) {
            Error::if_stopped()?;
            let inputs = rows::tensor(part.to_vec(), [part.len() / width, width]);
            let pass = &mut Pass::new(lab, on, Purpose::Test, &mut self.state);
            let walk = self.network.walk(&inputs, &self.weights, pass)?;
            for step in walk.steps.iter().cloned().flat_map(rows::values) {
                film.largest_step = film.largest_step.max(f64::from(step.abs()));
            }
            let cosines = walk.told.clone().map(rows::values).unwrap_or_default();
            told += cosines.iter().copied().map(f64::from).sum::<f64>();
            tellers += cosines.len();
            film.frames.extend(rows::values(self.network.shown(&walk, pass)?));
        }
        film.told = (0 < tellers).then(|| told / tellers as f64);
        Ok(film)
    }
}

impl Maker {
    /// What `run` has learned, on these plants; none of a run that makes no images.
    pub fn of_run(prepared: &Prepared, run: &Interrupted, lab: &Lab) -> Result<Option<Self>, Error> {
        let document = &prepared.document;
        let (Some(motion), Some(frozen)) = (&prepared.experiment.motion, prepared.frozen()?) else {
            let Some(frozen) = Frozen::of(&run.folder)? else { return Ok(None) };
            let generator = frozen.generator(lab, true, (document, "layers"))?;
            return Ok(Some(Self::Images(Box::new(generator), frozen.latents())));
        };
        let check = format!("{:016x}", frozen.facts().check);
        if run.facts["generator"].as_str().is_some_and(|known| known != check) {
            tell!(
                "pnnlab: the generator {} has changed since {} learned to move it: its sequences may be others",
                motion.generator.display(),
                run.folder.display()
            );
        }
        let movement = Movement::new(motion, frozen.latents(), frozen.size());
        let generator = frozen.generator(lab, motion.principal, (document, "motion.generator"))?;
        let network = Network::build(prepared.experiment.layout(), document, lab, &movement)?.through(generator);
        let saved = Saved::read(&run.folder)?;
        let mover = Mover::new(network, (&saved.weights, &saved.state), &movement);
        let bad = |message: String| Error::Record { path: Saved::path(&run.folder), message };
        Ok(Some(Self::Sequences(Box::new(mover.map_err(bad)?))))
    }

    /// Frames that it makes unless somebody says how many.
    pub fn length(&self) -> usize {
        match self {
            Self::Images(..) => 1,
            Self::Sequences(mover) => mover.movement.frames,
        }
    }

    /// So many sequences of so many frames, drawn by a seed; classes one after another, where it is told classes and no first frame was asked for.
    pub fn make(
        &mut self,
        (count, length, seed): (usize, usize, u64),
        size: [usize; 2],
        (lab, on): (&mut Lab, Forward),
    ) -> Result<Film, Error> {
        let key = Key::new(seed).branch("film");
        let label = |one: usize, latents: &Latents| Some((one % latents.classes.max(1)) as u32);
        match self {
            Self::Images(generator, latents) => {
                let mut film = Film { size, count, length, ..Film::default() };
                let row = |one: usize| latents.row(label(one / length, latents), 0, key.number(one as u64));
                let inputs: Vec<f32> = (0..count * length).flat_map(row).collect();
                for part in inputs.chunks(TOGETHER * latents.width()) {
                    let inputs = rows::tensor(part.to_vec(), [part.len() / latents.width(), latents.width()]);
                    let mut state = State::default();
                    let pass = &mut Pass::new(lab, on, Purpose::Test, &mut state);
                    film.frames.extend(rows::values(generator.images(inputs, pass)?));
                }
                Ok(film)
            }
            Self::Sequences(mover) => {
                let movement = &mover.movement;
                let row = |one: usize| {
                    let mut row = movement.row(label(one, &movement.latents), length, key.number(one as u64));
                    if let Some(start) = &mover.start {
                        row[..start.len()].copy_from_slice(start);
                    }
                    row
                };
                let inputs: Vec<f32> = (0..count).flat_map(row).collect();
                mover.film(&inputs, length, lab, on)
            }
        }
    }
}

/// Lines and columns of a picture, and what its black and white are.
pub type Shown = ([usize; 2], [f32; 2]);

/// How what a run makes is shown; none where it makes no pictures.
pub fn shown(prepared: &Prepared, run: &Interrupted) -> Result<Option<Shown>, Error> {
    let frozen = match prepared.frozen()? {
        Some(frozen) => Some(frozen),
        None => Frozen::of(&run.folder)?,
    };
    Ok(frozen.map(|frozen| {
        let gray = frozen.experiment().data.gray();
        (frozen.size(), [gray.low as f32, gray.high as f32])
    }))
}
