//! What several read-outs are held against: collages whose simplest block hides the others (after Teney et al., arXiv 2105.05612, and Shah et al., arXiv
//! 2006.07710), and a plant whose readings carry a shortcut. `pnnlab reproduce simplicity-bias` judges the numbers.
//!
//! ```text
//! collages   4 values ─► M × (64 gelu, 64 gelu, 2)
//! plant      drive: 15 samples of one value, whose slabs tell the class; the last sample a nuisance, whose sign tells it too in training
//!            reading_j = electrical plant + gain · nuisance        ─► normalize ─► M × (64 gelu, 64 gelu, 2)
//! ```

use std::path::Path;

use sims::Key;

use super::batchnorm::Finding;
use crate::Error;
use crate::data::collages::{Collages, classes, in_slabs};
use crate::data::{Answers, Dataset, Rows, Targets};
use crate::document::Document;
use crate::network::Network;
use crate::plants::{Derivatives, Lab, Rig};
use crate::training::{Experiment, Schedule, Trainer, TrainingConfig};

/// Labeled rows from elsewhere that choose; no test meets them.
const CHOOSING: usize = 50;
/// Samples of the plant's drive.
const SAMPLES: usize = 16;
/// How far drives keep from the edges of slabs, in slabs, and the nuisance from 0: as in the tables of collages.
const GAP: f32 = 0.1;

/// How read-outs are trained.
#[derive(Debug, Clone, Copy)]
pub struct Trained {
    /// How many.
    pub heads: usize,
    /// The weight of the penalty.
    pub diversity: f64,
    /// Updates.
    pub steps: usize,
    /// The root of what is random.
    pub seed: u64,
}

/// How good each read-out is on some rows, which are classes.
fn accuracies(each: &[Answers], targets: &[u32]) -> Vec<f64> {
    let of = |answers: &Answers| match answers {
        Answers::Classes(answers) => {
            answers.iter().zip(targets).filter(|(a, b)| a == b).count() as f64 / targets.len().max(1) as f64
        }
        Answers::Values(_) => f64::NAN,
    };
    each.iter().map(of).collect()
}

fn best(values: &[f64]) -> f64 {
    values.iter().copied().fold(f64::NEG_INFINITY, f64::max)
}

fn worst(values: &[f64]) -> f64 {
    values.iter().copied().fold(f64::INFINITY, f64::min)
}

/// The first of the best.
fn chosen(values: &[f64]) -> usize {
    (0..values.len()).reduce(|a, b| if values[a] < values[b] { b } else { a }).unwrap_or(0)
}

/// The first rows and the others.
fn split(rows: &Rows, width: usize, first: usize) -> [Rows; 2] {
    let part = |places: Vec<usize>| {
        let (values, targets) = rows.pick(&places, width);
        Rows { values, targets, numbers: places }
    };
    [part((0..first.min(rows.len())).collect()), part((first.min(rows.len())..rows.len()).collect())]
}

fn config(steps: usize) -> TrainingConfig {
    TrainingConfig {
        steps,
        batch: 256,
        learning_rate: 0.002,
        schedule: Schedule::Constant,
        gradient_clip: 0.0,
        range_penalty: 0.0,
        evaluate_every: 0,
        ..TrainingConfig::default()
    }
}

/// The read-outs of one experiment: three linear layers with gelu between.
fn heads(of: Trained, metric: &str) -> String {
    let hidden = "[[heads.layers]]\nkind = \"linear\"\nwidth = 64\n[[heads.layers]]\nkind = \"activation\"\nfunction = \"gelu\"\n";
    format!(
        "[heads]\ncount = {}\ndiversity = {:?}\nmetric = \"{metric}\"\n{hidden}{hidden}[[heads.layers]]\nkind = \"linear\"\nwidth = 2\n",
        of.heads, of.diversity
    )
}

/// What an experiment without data of its own begins with: the file is read for its layers alone.
const HEADER: &str = "name = \"simplicity-bias\"\n[data]\nsource = \"digits\"\n";

/// Collages: the best read-out on each block, the worst on rows where all blocks tell the class, and the one that 50 labeled rows of the second block choose,
/// on others of them.
pub fn collages(folder: &Path, of: Trained) -> Result<Vec<Finding>, Error> {
    let Collages { data, blocks } = Collages::read(folder)?;
    let text = format!("layers = []\n{HEADER}{}", heads(of, "readings"));
    let document = Document::parse("simplicity-bias", &text)?;
    let experiment: Experiment = document.check()?;
    let (mut lab, training) = (Lab::new(vec![], Derivatives::Twin)?, config(of.steps));
    let network = Network::build(experiment.layout(), &document, &lab, &data)?;
    let mut trainer = Trainer::new(network, &data, &training, training.method, Key::new(of.seed));
    trainer.updates(of.steps, &mut lab)?;
    let mut on = |rows: &Rows| trainer.answer_rows(rows, &mut lab).map(|(_, each)| accuracies(&each, rows.labels()));
    let name = format!("{} read-outs, diversity {}", of.heads, of.diversity);
    let mut found = vec![Finding::new(format!("{name}: worst on its own distribution"), worst(&on(&data.test)?))];
    for (rows, slabs) in blocks.iter().zip([1, 3, 5, 7]) {
        found.push(Finding::new(format!("{name}: best on the {slabs}-slab block"), best(&on(rows)?)));
    }
    if let Some(second) = blocks.get(1) {
        let [choosing, others] = split(second, data.width, CHOOSING);
        let choice = chosen(&on(&choosing)?);
        let each = on(&others)?;
        let selected = each.get(choice).copied().unwrap_or(f64::NAN);
        found.push(Finding::new(format!("{name}: selected by 50 rows of the 3-slab block"), selected));
        found.push(Finding::new(format!("{name}: selected below the best"), best(&each) - selected));
    }
    Ok(found)
}

/// Drives of the plant. The slabs of the first samples tell the class; the sign of the last one does too where it `tells`, and is random elsewhere.
fn drives(count: usize, tells: bool, key: Key) -> Rows {
    let labels = classes(count, key.branch("classes"));
    let mut stream = key.branch("values").stream();
    let mut values = Vec::with_capacity(count * SAMPLES);
    for label in &labels {
        let nuisance = if tells { *label } else { u32::from(stream.uniform() < 0.5) };
        let drive = in_slabs(*label, 3, GAP, &mut stream);
        values.extend(std::iter::repeat_n(drive, SAMPLES - 1));
        let sign = if nuisance == 1 { 1.0 } else { -1.0 };
        values.push(sign * (GAP + (1.0 - GAP) * stream.uniform()));
    }
    Rows { values, targets: Targets::Classes(labels), numbers: (0..count).collect() }
}

/// The electrical plant with a feed-through of the last sample: read-outs trained where the nuisance tells the class meet the bench without the feed-through,
/// and with it, where the nuisance says nothing.
pub fn on_a_plant(of: Trained) -> Result<Vec<Finding>, Error> {
    let key = Key::new(of.seed).branch("simplicity-bias");
    let part = |name: &str, count: usize, tells: bool| drives(count, tells, key.branch(name));
    let data = Dataset::of_rows(
        "drives",
        [SAMPLES, 2],
        [part("train", 4000, true), part("validation", 1000, true), part("test", 1000, true)],
    );
    let text = |gain: f64| {
        format!(
            "layers = [{{ kind = \"physical\", plant = \"electrical\" }}, {{ kind = \"normalize\", epsilon = 1e-8 }}]\n{HEADER}\
             [plants.electrical.simulated]\nsamples = {SAMPLES}\n[plants.electrical.feedthrough]\ninput = {}\ngain = {gain:?}\n{}",
            SAMPLES - 1,
            heads(of, "spread")
        )
    };
    let open = |gain: f64| -> Result<(Document, Lab), Error> {
        let document = Document::parse("simplicity-bias", &text(gain))?;
        let lab = Lab::new(Rig::find(None, &document)?.open(&["electrical"], of.seed)?, Derivatives::Twin)?;
        Ok((document, lab))
    };
    let (document, mut lab) = open(LEAK)?;
    let (_, mut without) = open(0.0)?;
    let experiment: Experiment = document.check()?;
    let training = config(of.steps);
    let network = Network::build(experiment.layout(), &document, &lab, &data)?;
    let mut trainer = Trainer::new(network, &data, &training, training.method, Key::new(of.seed));
    trainer.updates(of.steps, &mut lab)?;
    let on =
        |rows: &Rows, lab: &mut Lab| trainer.answer_rows(rows, lab).map(|(_, each)| accuracies(&each, rows.labels()));
    let elsewhere = part("elsewhere", 1000 + CHOOSING, false);
    let [choosing, others] = split(&elsewhere, SAMPLES, CHOOSING);
    let name = format!("plant, {} read-outs, diversity {}", of.heads, of.diversity);
    let mut found =
        vec![Finding::new(format!("{name}: worst on its own distribution"), worst(&on(&data.test, &mut lab)?))];
    for (lab, bench) in [(&mut without, ", without the feed-through"), (&mut lab, ", nuisance at random")] {
        let choice = chosen(&on(&choosing, lab)?);
        let each = on(&others, lab)?;
        let selected = each.get(choice).copied().unwrap_or(f64::NAN);
        found.push(Finding::new(format!("{name}: best{bench}"), best(&each)));
        found.push(Finding::new(format!("{name}: selected{bench}"), selected));
    }
    Ok(found)
}

/// The feed-through, in volts of a reading for each volt of the nuisance.
const LEAK: f64 = 0.2;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn independent_read_outs_fall_to_the_shortcut_of_a_plant() {
        let found = on_a_plant(Trained { heads: 2, diversity: 0.0, steps: 200, seed: 11 }).unwrap();
        let value = |what: &str| found.iter().find(|one| one.name.ends_with(what)).unwrap().value;
        let (own, best) = (value("own distribution"), value("best, nuisance at random"));
        assert!(own > 0.9 && (0.4..0.65).contains(&best), "{own}, {best}");
    }
}
