//! Vowels through the electrical plant, each of them left out once: seven classes in two groups are too few for a head for groups, and a
//! distance of the state tells an unseen vowel and a drift of the inputs at once.

use std::path::Path;

use sims::Key;

use super::{Body, fpr95, grouped, told};
use crate::Error;
use crate::data::{Dataset, Meaning, Rows, Targets};
use crate::document::Document;
use crate::training::batchnorm::Finding;
use crate::training::{Experiment, vowels};

/// Front and back vowels.
const GROUPS: [&[&str]; 2] = [&["ae", "ih", "iy"], &["ah", "aw", "er", "uw"]];
/// The vowels, each of which is unseen once.
pub const VOWELS: [&str; 7] = ["ae", "ih", "iy", "ah", "aw", "er", "uw"];
/// A drift of each input, in deviations of the training rows.
const DRIFT: f32 = 1.5;

/// The rows whose class `wanted` says, with the classes counted anew.
fn rows_of(rows: &Rows, width: usize, wanted: impl Fn(u32) -> Option<u32>) -> Rows {
    let indices: Vec<usize> = (0..rows.len()).filter(|row| wanted(rows.labels()[*row]).is_some()).collect();
    let mut picked = rows.select(&indices, width);
    picked.targets = Targets::Classes(picked.labels().iter().filter_map(|label| wanted(*label)).collect());
    picked
}

/// The data without one class, and all rows of that class.
fn without(data: &Dataset, unseen: u32) -> (Dataset, Rows) {
    let keep = |label: u32| (label != unseen).then(|| label - u32::from(unseen < label));
    let only = |label: u32| (label == unseen).then_some(0);
    let (train, test) = (rows_of(&data.train, data.width, keep), rows_of(&data.test, data.width, keep));
    let [mut unknown, more] = [&data.train, &data.test].map(|rows| rows_of(rows, data.width, only));
    unknown.values.extend(more.values);
    unknown.numbers.extend(more.numbers);
    unknown.targets = Targets::Classes(vec![0; unknown.values.len() / data.width]);
    let names = data.meaning.names();
    let words = names.iter().enumerate().filter(|(class, _)| *class != unseen as usize);
    let meaning = Meaning::Classes(words.map(|(_, word)| (*word).to_owned()).collect());
    let mut known = data.clone();
    (known.meaning, known.train, known.test) = (meaning, train, test);
    (known, unknown)
}

/// Rows of the test set after each of their inputs has drifted to one side or the other.
fn drifted(data: &Dataset, key: Key) -> Rows {
    let mut stream = key.branch("drift").stream();
    let offsets: Vec<f32> = (0..data.width).map(|_| if stream.uniform() < 0.5 { -DRIFT } else { DRIFT }).collect();
    let mut rows = data.test.clone();
    // Inputs are counted in deviations.
    rows.values.iter_mut().enumerate().for_each(|(place, value)| *value += offsets[place % data.width]);
    rows
}

/// B3 for one vowel that is left out and one seed.
pub fn vowels(folder: &Path, unseen: &str, seed: u64, steps: usize) -> Result<Vec<Finding>, Error> {
    let layers = "[[layers]]\nkind = \"linear\"\nwidth = 7\n";
    let text = format!("name = \"vowels\"\n{}validation = 0\n{layers}", vowels::data(84, "standard"));
    let document = Document::parse("vowels", &text)?;
    let experiment: Experiment = document.check()?;
    let key = Key::new(seed).branch("data");
    let whole = Dataset::load(&experiment.data, Some(folder), &document, key)?;
    let class = whole.meaning.names().iter().position(|name| *name == unseen);
    let class = class.ok_or_else(|| Error::Data(format!("{}: has no vowel `{unseen}`", whole.name)))?;
    let (data, unknown) = without(&whole, class as u32);
    let moved = drifted(&data, Key::new(seed));
    let group =
        |group: &[&str]| group.iter().filter(|vowel| **vowel != unseen).map(|vowel| (*vowel).to_owned()).collect();
    let in_groups = grouped(&GROUPS.map(group)).apply(data.clone(), &document, key)?;
    let flat = told(Body::Electrical, &data, &[&unknown, &moved], steps, seed)?;
    let of_groups = told(Body::Electrical, &in_groups, &[&unknown, &moved], steps, seed)?;
    let mut found = vec![
        Finding::new("vowels: accuracy of the flat head", flat.accuracy),
        Finding::new("vowels: accuracy of the head for groups", of_groups.accuracy),
    ];
    for (place, kind) in ["an unseen vowel", "a drift of the inputs"].into_iter().enumerate() {
        for score in ["softmax", "energy", "mahalanobis", "state"] {
            found.push(Finding::new(format!("vowels, {kind}: FPR95 by {score}"), fpr95(&flat.unknown[place], score)));
        }
        found.push(Finding::new(format!("vowels, {kind}: FPR95 by mos"), fpr95(&of_groups.unknown[place], "mos")));
    }
    Ok(found)
}
