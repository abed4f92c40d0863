//! `weights.safetensors`: the weights by their names, and what layers remember besides below `state/`.

use std::path::{Path, PathBuf};

use drivers::{MEBIBYTE, read_bounded};

use super::checkpoint::{tensors_of, to_file};
use crate::Error;
use crate::network::NamedTensor;
use crate::writing::replace;

/// How the names of what layers remember begin.
const STATE: &str = "state/";
/// The most that is read: the most weights that a network may have, and as much again.
const MOST: u64 = 512 * MEBIBYTE;

/// What a training leaves of its network.
#[derive(Debug, Clone, Default)]
pub struct Saved {
    /// The weights.
    pub weights: Vec<NamedTensor>,
    /// What layers remember.
    pub state: Vec<NamedTensor>,
}

impl Saved {
    /// Where it lies in the folder of a run.
    pub fn path(folder: &Path) -> PathBuf {
        folder.join("weights.safetensors")
    }

    /// That of the run in `folder`.
    pub fn read(folder: &Path) -> Result<Self, Error> {
        let path = Self::path(folder);
        let bad = |message: String| Error::Record { path: path.clone(), message };
        let bytes = read_bounded(&path, MOST).map_err(|error| bad(format!("cannot be read: {error}")))?;
        let mut tensors = tensors_of(&bytes).map_err(|error| bad(format!("does not hold weights: {error}")))?;
        // A file has no order: what is wrong with several is said of the same one each time.
        tensors.sort_by(|a, b| a.name.cmp(&b.name));
        let mut saved = Self::default();
        for NamedTensor { name, tensor } in tensors {
            match name.strip_prefix(STATE) {
                Some(name) => saved.state.push(NamedTensor { name: name.to_owned(), tensor }),
                None => saved.weights.push(NamedTensor { name, tensor }),
            }
        }
        Ok(saved)
    }

    /// Puts it into `folder`, in the place of what was there before, whole or not at all.
    pub fn write(&self, folder: &Path) -> Result<(), Error> {
        let path = Self::path(folder);
        let state = self
            .state
            .iter()
            .map(|one| NamedTensor { name: format!("{STATE}{}", one.name), tensor: one.tensor.clone() });
        let tensors: Vec<NamedTensor> = self.weights.iter().cloned().chain(state).collect();
        replace(&path, &to_file(&tensors, None, &path)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::network::rows;

    #[test]
    fn weights_and_state_are_told_apart_and_weights_alone_are_read() {
        let folder = tempfile::tempdir().unwrap();
        let named =
            |name: &str, value: f32| NamedTensor { name: name.into(), tensor: rows::tensor(vec![value; 2], [1, 2]) };
        let saved = Saved {
            weights: vec![named("layers.0.linear.matrix", 1.0)],
            state: vec![named("layers.1.normalize.mean of electrical simulated-1", 2.0)],
        };
        saved.write(folder.path()).unwrap();
        let read = Saved::read(folder.path()).unwrap();
        let all = |tensors: &[NamedTensor]| {
            tensors.iter().map(|one| (one.name.clone(), rows::values(one.tensor.clone()))).collect::<Vec<_>>()
        };
        assert_eq!((all(&read.weights), all(&read.state)), (all(&saved.weights), all(&saved.state)));
        Saved { state: vec![], ..saved }.write(folder.path()).unwrap();
        assert!(Saved::read(folder.path()).unwrap().state.is_empty());
        std::fs::write(Saved::path(folder.path()), "none").unwrap();
        assert!(Saved::read(folder.path()).unwrap_err().to_string().contains("does not hold weights"));
    }
}
