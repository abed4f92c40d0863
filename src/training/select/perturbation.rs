//! Changes of the shots that should change no answer.

use sims::Key;

use crate::Error;
use crate::data::Rows;
use crate::training::Prepared;

/// A change of the shots that should change no answer.
pub enum Perturbation {
    /// Normal noise of this standard deviation is added to what comes into the network.
    Noise(f32),
    /// This is added.
    Offset(f32),
    /// It is multiplied by this.
    Scale(f32),
    /// Values of a row, the first and one behind the last, are exchanged with those of another row.
    Shuffle(usize, usize),
    /// The bench becomes this one.
    Bench(Box<Prepared>),
}

impl Perturbation {
    /// What `NAME=VALUE` means, but for benches.
    pub fn parse(text: &str) -> Result<Self, Error> {
        let refuse = || {
            Error::Usage(format!(
                "--perturb {text}: give noise=DEVIATION, offset=VALUE, scale=FACTOR, shuffle=FIRST..END (values of a row, counted from 0), or a key \
                 of the rig such as plants.electrical.simulated.mismatch=0.5"
            ))
        };
        let (name, value) = text.split_once('=').ok_or_else(refuse)?;
        let number = || value.trim().parse::<f32>().ok().filter(|value| value.is_finite()).ok_or_else(refuse);
        match name.trim() {
            "noise" => number().and_then(|value| if 0.0 < value { Ok(Self::Noise(value)) } else { Err(refuse()) }),
            "offset" => number().map(Self::Offset),
            "scale" => number().map(Self::Scale),
            "shuffle" => {
                let (first, end) = value.split_once("..").unwrap_or((value, ""));
                let first: usize = first.trim().parse().map_err(|_| refuse())?;
                let end = if end.is_empty() { first + 1 } else { end.trim().parse().map_err(|_| refuse())? };
                if first < end { Ok(Self::Shuffle(first, end)) } else { Err(refuse()) }
            }
            _ => Err(refuse()),
        }
    }

    /// What does not fit rows of so many values.
    pub(super) fn complaint(&self, width: usize) -> Option<String> {
        match self {
            Self::Shuffle(first, end) if width < *end => {
                Some(format!("--perturb shuffle={first}..{end}: a row has {width} values, numbered from 0"))
            }
            _ => None,
        }
    }

    /// The rows as changed; what is drawn comes from `key`.
    pub(super) fn apply(&self, rows: &Rows, key: Key) -> Rows {
        let mut rows = rows.clone();
        let width = rows.values.len() / rows.len().max(1);
        let mut stream = key.stream();
        match self {
            Self::Noise(deviation) => rows.values.iter_mut().for_each(|value| *value += deviation * stream.normal()),
            Self::Offset(by) => rows.values.iter_mut().for_each(|value| *value += by),
            Self::Scale(by) => rows.values.iter_mut().for_each(|value| *value *= by),
            Self::Shuffle(first, end) => {
                let mut order: Vec<usize> = (0..rows.len()).collect();
                stream.shuffle(&mut order);
                let before = rows.values.clone();
                for (row, from) in order.into_iter().enumerate() {
                    rows.values[row * width + first..row * width + end]
                        .copy_from_slice(&before[from * width + first..from * width + end]);
                }
            }
            Self::Bench(_) => {}
        }
        rows
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::Targets;

    #[test]
    fn perturbations_are_read_and_do_what_they_say() {
        let rows = Rows {
            values: vec![1.0, 10.0, 2.0, 20.0, 3.0, 30.0],
            targets: Targets::Classes(vec![0, 1, 0]),
            numbers: vec![0, 1, 2],
        };
        let apply = |text: &str| Perturbation::parse(text).unwrap().apply(&rows, Key::new(3)).values;
        assert_eq!(apply("offset=0.5")[..2], [1.5, 10.5]);
        assert_eq!(apply("scale=2")[..2], [2.0, 20.0]);
        let shuffled = apply("shuffle=1");
        assert_eq!([shuffled[0], shuffled[2], shuffled[4]], [1.0, 2.0, 3.0]);
        let mut others = [shuffled[1], shuffled[3], shuffled[5]];
        others.sort_by(f32::total_cmp);
        assert_eq!(others, [10.0, 20.0, 30.0]);
        assert_ne!(apply("noise=0.1"), rows.values);
        assert!(Perturbation::parse("shuffle=0..3").unwrap().complaint(2).unwrap().contains("a row has 2 values"));
        for text in ["noise=0", "noise", "shuffle=2..1", "tilt=3", "scale=inf"] {
            assert!(Perturbation::parse(text).err().unwrap().to_string().contains("--perturb"), "{text}");
        }
    }
}
