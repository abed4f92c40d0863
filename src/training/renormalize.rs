//! A trained network on a bench that has changed, or on another one: the statistics of its normalizing layers are measured anew there. Nothing
//! is trained.

use std::path::PathBuf;

use serde::Serialize;
use serde_json::{Value, json};
use sims::Key;

use crate::Error;
use crate::control::Attendant;
use crate::network::{Measurement, Network};
use crate::plants::Lab;
use crate::record::{Checkpoint, Saved, add_entry, command_line, plant_facts, unix_seconds};
use crate::scores::{Keyed, ObjectiveKind, Score, Scores};
use crate::training::{Interrupted, Prepared, Trainer};

/// What was measured, and what it has changed.
#[derive(Debug, Serialize)]
pub struct Renormalized {
    /// Seconds since 1970.
    pub unix_seconds: f64,
    /// The command line.
    pub command: String,
    /// The version of the program.
    pub version: &'static str,
    /// The rig.
    pub rig: String,
    /// What its plants say of themselves.
    pub plants: Value,
    /// Training rows that were measured, without their labels.
    pub samples: usize,
    /// Shots on the plants, those of tests included.
    pub shots: u64,
    /// Each layer: the statistics before and now, side by side.
    pub layers: Vec<RenormalizedLayer>,
    /// The scores of the test set on the plant with the statistics before and with the new ones (`test_accuracy`), where it was tried.
    #[serde(flatten)]
    pub tests: Keyed<Option<[f64; 2]>>,
    /// Where old and new stand side by side.
    #[serde(skip)]
    pub record: PathBuf,
}

/// The statistics of one layer.
#[derive(Debug, Serialize)]
pub struct RenormalizedLayer {
    /// The number of the layer.
    pub layer: usize,
    /// Root mean square change of the means, in standard deviations of before.
    pub mean_shift: Option<f64>,
    /// Root mean square logarithm of the ratio of the standard deviations.
    pub scale_shift: Option<f64>,
    /// What was in use on this bench before, and whose it was.
    pub old: Option<calibration::Statistics>,
    /// What is in use now.
    pub new: calibration::Statistics,
}

impl From<Measurement> for RenormalizedLayer {
    fn from(Measurement { layer, old, new }: Measurement) -> Self {
        let shift = old.as_ref().and_then(|old| new.shift_from(old));
        Self { layer, mean_shift: shift.map(|shift| shift.mean), scale_shift: shift.map(|shift| shift.scale), old, new }
    }
}

/// Where old and new stand side by side, in the folder of a run.
const RECORD: &str = "normalize.json";

impl Prepared {
    /// Measures the statistics of the network of `run` on this rig, on so many training rows, and puts them in the place of those before.
    /// With `tests` the test set is tried before and after. `goes_on` says that it is the run's own bench, as the run has left it.
    pub fn renormalize(
        &self,
        run: &Interrupted,
        (samples, tests, goes_on): (Option<usize>, bool, bool),
    ) -> Result<Renormalized, Error> {
        let data = self.load(run.seed)?;
        let rows = data.train.len();
        if let Some(samples) = samples.filter(|samples| !(2..=rows).contains(samples)) {
            return Err(Error::Usage(format!(
                "--samples {samples}: the run has {rows} training rows to measure with: give 2 to {rows}"
            )));
        }
        let mut lab = self.lab_beside(run.seed)?;
        let network = Network::build(self.experiment.layout(), &self.document, &lab, &data)?
            .guarded(self.experiment.guard.as_ref(), &self.document)?;
        if !network.has_statistics() {
            return Err(Error::Usage(format!(
                "{}: no layer of this run's network keeps statistics: add a layer `normalize` whose statistics are not `batch`, and train again",
                run.folder.display()
            )));
        }
        let mut trainer = Trainer::new(network, &data, &self.experiment.training, run.method, Key::new(run.seed));
        let bad = |message: String| Error::Record { path: Saved::path(&run.folder), message };
        trainer.take_over(&Saved::read(&run.folder)?).map_err(bad)?;
        if goes_on && let Some(checkpoint) = Checkpoint::newest(&run.folder)? {
            lab.restore(&checkpoint.snapshot.position.plants)
                .map_err(|message| Error::Record { path: checkpoint.path.clone(), message })?;
        }
        lab.attend(Attendant::new());
        let found = try_out(&mut trainer, (samples, tests), &mut lab);
        lab.make_safe()?;
        let (layers, tests, shots) = found.map_err(Error::outside_a_run)?;
        let done = Renormalized {
            unix_seconds: unix_seconds(),
            command: command_line(),
            version: env!("CARGO_PKG_VERSION"),
            rig: self.rig.config.name.clone(),
            plants: plant_facts(&lab),
            samples: samples.unwrap_or_else(|| trainer.samples()),
            shots,
            layers: layers.into_iter().map(RenormalizedLayer::from).collect(),
            tests: keyed(data.kind(), tests),
            record: run.folder.join(RECORD),
        };
        add_entry(&done.record, json!(done))?;
        trainer.saved().write(&run.folder)?;
        Ok(done)
    }
}

impl Prepared {
    /// The score that decides of the test set of `run` on this rig, with the weights and the state that the run has left.
    pub fn test_as_saved(&self, run: &Interrupted) -> Result<f64, Error> {
        let data = self.load(run.seed)?;
        let mut lab = self.lab_beside(run.seed)?;
        let trainer = self.saved(run, &data, &lab)?;
        lab.attend(Attendant::new());
        let scores = trainer.test_scores(&mut lab);
        lab.make_safe()?;
        scores.map(|scores| scores.first())
    }
}

/// Scores before and after under their keys.
fn keyed(kind: ObjectiveKind, tests: Option<[Scores; 2]>) -> Keyed<Option<[f64; 2]>> {
    let of = |score: &'static Score| {
        let values = |tests: [Scores; 2]| tests.map(|scores| scores.get(score.name).unwrap_or(f64::NAN));
        (score.key("test"), tests.map(values))
    };
    kind.scores().iter().map(of).collect()
}

/// What was measured at each layer, the scores before and after where they are asked for, and the shots that all took.
type Tried = (Vec<Measurement>, Option<[Scores; 2]>, u64);

fn try_out(trainer: &mut Trainer<'_>, (samples, tests): (Option<usize>, bool), lab: &mut Lab) -> Result<Tried, Error> {
    let before = lab.meter().shots;
    let old = tests.then(|| trainer.test_scores(lab)).transpose()?;
    let layers = trainer.measure_all(samples, lab)?;
    let new = tests.then(|| trainer.test_scores(lab)).transpose()?;
    Ok((layers, old.zip(new).map(|(old, new)| [old, new]), lab.meter().shots - before))
}
