//! Local learning on a recorded bench: vowels through a learned twin of the acoustic cavity of Momeni et al. (Science 382, 1297, 2023;
//! MomeniAli/PhyLL), which stands in for the cavity.
//!
//! ```text
//! 12 formants, 7 places for the class, one 0 ─► cavity (+ what went in) ─► 20 values, |·|² of length 1 ─► cavity (+ …) ─► 7 classes
//! ```

use std::path::Path;
use std::sync::Arc;

use calibration::{Calibration, ColumnNames, Procedure, Search, Trace, Unobserved};
use drivers::{MEBIBYTE, read_bounded};
use sims::{Key, Predicted, Twin};

use crate::Error;
use crate::data::Dataset;
use crate::document::Document;
use crate::network::Network;
use crate::plants::{Lab, Opened};
use crate::training::{Experiment, Method, Trainer, vowels};

/// The most that is read of one file.
const MOST: u64 = 1024 * MEBIBYTE;

/// The network, in the cavity's own units.
const VOWELS: &str = r#"
validation = 0
[training]
batch = 207
learning_rate = 0.01
range_penalty = 0.1
evaluate_every = 0
[[layers]]
kind = "label"
classes = 7
[[layers]]
kind = "pad"
width = 20
[[layers]]
kind = "physical"
plant = "cavity"
units = "si"
[[layers]]
kind = "skip"
from = 1
[[layers]]
kind = "linear"
width = 20
[[layers]]
kind = "magnitude"
of = "amplitudes"
[[layers]]
kind = "physical"
plant = "cavity"
units = "si"
[[layers]]
kind = "skip"
from = 5
[[layers]]
kind = "linear"
width = 7
"#;

fn document() -> Result<Document, Error> {
    Document::parse("vowels-acoustic", &format!("name = \"vowels-acoustic\"\n{}{VOWELS}", vowels::data(52, "maximum")))
}

/// A learned twin, and how near it is.
#[derive(Debug, Clone)]
pub struct Cavity {
    twin: Arc<dyn Twin>,
    /// R² on held-out shots: median and worst over the outputs.
    pub learned: [f64; 2],
    /// The same of a linear fit.
    pub linear: [f64; 2],
}

/// The files of the recording below the folder of data.
pub fn files(folder: &Path) -> [std::path::PathBuf; 2] {
    ["acoustic/inputs.csv", "acoustic/readings.csv"].map(|name| folder.join(name))
}

/// Learns a twin of the recorded shots; with so many updates, where they are not chosen by a search.
pub fn cavity(folder: &Path, updates: Option<usize>, seed: u64) -> Result<Cavity, Error> {
    let bad = |path: &Path, message: String| Error::Data(format!("{}: {message}", path.display()));
    let [inputs, readings] = files(folder);
    let content = |path: &Path| read_bounded(path, MOST).map_err(|error| bad(path, format!("cannot be read: {error}")));
    let (of_inputs, of_readings) = (content(&inputs)?, content(&readings)?);
    let names = [&inputs, &readings].map(|path| path.display().to_string());
    let tables = [(names[0].as_str(), of_inputs.as_slice()), (names[1].as_str(), of_readings.as_slice())];
    let trace = Trace::from_csv(&tables, &ColumnNames::default()).map_err(|error| bad(&inputs, error.to_string()))?;
    let mut search = Search::default();
    if let Some(updates) = updates {
        (search.candidates, search.updates) = (0, updates);
    }
    let key = Key::new(seed).branch("calibration");
    let calibration =
        Calibration { procedure: Procedure::Learned, stimuli: 0, repeats: 1, per_setting: 1, search, key };
    let fitted = calibration.fit(&trace, None, None, &Unobserved)?;
    let worst = |r2: &[f64]| r2.iter().copied().fold(f64::INFINITY, f64::min);
    match (fitted.twin, &fitted.residual, &fitted.linear_residual) {
        (Some(twin), Some(learned), Some(linear)) => Ok(Cavity {
            twin,
            learned: [learned.r2_median, worst(&learned.r2)],
            linear: [linear.r2_median, worst(&linear.r2)],
        }),
        _ => Err(bad(&inputs, format!("has too few shots to learn a twin of: {}", trace.shots()))),
    }
}

/// Accuracy on the test vowels after so many updates by a method, the cavity's twin in place of the cavity.
pub fn vowels(cavity: &Cavity, method: Method, folder: &Path, (seed, steps): (u64, usize)) -> Result<f64, Error> {
    let document = document()?;
    let experiment: Experiment = document.check()?;
    let data = Dataset::load(&experiment.data, Some(folder), &document, Key::new(seed).branch("data"))?;
    let opened = Opened::bare("cavity", Box::new(Predicted::new(cavity.twin.clone())), cavity.twin.clone());
    let mut lab = Lab::new(vec![opened], method.derivatives())?;
    let network = Network::build(&experiment.layers, &document, &lab, &data)?;
    let mut training = experiment.training;
    method.fits(&network, &training, &document)?;
    (training.steps, training.batch) = (steps, training.batch.min(data.train.len()));
    let mut trainer = Trainer::new(network, &data, &training, method, Key::new(seed));
    trainer.updates(steps, &mut lab)?;
    Ok(trainer.test_scores(&mut lab)?.first())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_network_fits_a_cavity_of_twenty_speakers_and_microphones() {
        let document = document().unwrap();
        let experiment: Experiment = document.check().unwrap();
        assert_eq!(experiment.layers.len(), 9);
        assert!(cavity(Path::new("nowhere"), Some(10), 1).unwrap_err().to_string().contains("acoustic/inputs.csv"));
    }
}
