//! What the layers of a network are built onto, and what must come into it and out of it.

// Circle with network/heads.rs: a layer is refused by its place, which read-outs count anew, and read-outs are chains.
// Circle with network/image.rs: a chain carries the images that come in, and images are read from a chain.

use super::{Image, MotionEnds, heads};
use crate::Error;
use crate::data::{CellsConfig, Dataset, Meaning, Movement};
use crate::document::Document;
use crate::plants::Lab;
use crate::scores::ObjectiveKind;

/// What a layer is built onto.
pub struct Chain<'a> {
    /// For errors.
    pub document: &'a Document,
    /// The plants.
    pub lab: &'a Lab,
    /// Kind and width of all before, the data first.
    pub before: &'a [(&'static str, usize)],
    /// From this layer on they are those of `[[heads.layers]]`.
    pub(super) own_from: usize,
    /// The images that come in, where a layer has left some.
    pub image: Option<Image>,
    /// What is run frame after frame, if it is.
    pub motion: Option<MotionEnds>,
}

impl Chain<'_> {
    /// The number of the layer that is being built.
    pub(super) fn index(&self) -> usize {
        self.before.len() - 1
    }

    /// The width that comes in.
    pub fn width(&self) -> usize {
        self.before[self.index()].1
    }

    /// An error about a key of this layer.
    pub fn refuse(&self, key: &str, message: String) -> Error {
        self.document.refuse(&format!("{}.{key}", heads::path(self)), message)
    }

    /// Refuses a layer that takes another width than the one before gives.
    pub fn takes(&self, kind: &str, key: &str, width: usize) -> Result<(), Error> {
        let (index, (before, given)) = (self.index(), self.before[self.index()]);
        if given == width {
            return Ok(());
        }
        let from = if index == 0 { before.to_owned() } else { format!("layer {} ({before})", index - 1) };
        Err(self.refuse(
            key,
            format!("does not fit: {from} gives {given} values, but layer {index} ({kind}) takes {width}"),
        ))
    }
}

/// What comes into a network, and what must come out.
#[derive(Debug, Clone)]
pub struct Ends {
    /// Values of a row.
    pub inputs: usize,
    /// Values that the last layer gives.
    pub outputs: usize,
    /// What those are.
    pub what: &'static str,
    /// Whether they tell classes apart.
    pub classes: bool,
    /// The lattice, at each cell of which it is run, if there is one.
    pub cells: Option<CellsConfig>,
    /// The sequences, at each frame of which it is run, if there are such.
    pub movement: Option<Box<Movement>>,
}

impl From<&Dataset> for Ends {
    fn from(data: &Dataset) -> Self {
        let classes = data.kind() == ObjectiveKind::Classify;
        let (inputs, outputs, what) = (data.width, data.meaning.len(), data.meaning.outputs());
        match &data.meaning {
            Meaning::Motion(movement) => (&**movement).into(),
            _ => match data.cells() {
                Some(cells) => cells.into(),
                None => Self { inputs, outputs, what, classes, cells: None, movement: None },
            },
        }
    }
}

/// The rule of an automaton.
impl From<&CellsConfig> for Ends {
    fn from(cells: &CellsConfig) -> Self {
        let (inputs, outputs) = (cells.width(), cells.channels);
        Self { inputs, outputs, what: "channels", classes: false, cells: Some(cells.clone()), movement: None }
    }
}

/// What moves a generator.
impl From<&Movement> for Ends {
    fn from(movement: &Movement) -> Self {
        let what = "components to move along";
        let (inputs, outputs) = (movement.noise, movement.components);
        Self { inputs, outputs, what, classes: false, cells: None, movement: Some(Box::new(movement.clone())) }
    }
}

/// Inputs and classes.
impl From<[usize; 2]> for Ends {
    fn from([inputs, outputs]: [usize; 2]) -> Self {
        Self { inputs, outputs, what: "classes", classes: true, cells: None, movement: None }
    }
}
