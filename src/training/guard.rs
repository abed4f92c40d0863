//! A trained network meets other data on the plant of its run: how well each score tells its rows from those of its own test set.

use std::path::{Path, PathBuf};

use serde::Serialize;
use serde_json::{Value, json};
use sims::Key;

use super::trainer::Probed;
use super::unknown::{Familiar, ScoredUnknown};
use crate::Error;
use crate::control::Attendant;
use crate::data::{Dataset, Rows};
use crate::plants::Lab;
use crate::record::{Checkpoint, command_line, plant_facts, unix_seconds};
use crate::training::{Interrupted, Prepared, Trainer};
use crate::writing::replace;

/// Training rows that scores are fitted to, at most: so many at random.
const FITTED_TO: usize = 2000;
/// Where the last comparison stands in the folder of a run, and its scores row by row.
const RECORD: &str = "guard.json";
/// The scores row by row, in the folder of a run.
pub const GUARD_SCORES: &str = "guard.csv";

/// How well each score tells the rows of other data from a network's own.
#[derive(Debug, Serialize)]
pub struct GuardedRun {
    /// Seconds since 1970.
    pub unix_seconds: f64,
    /// The command line.
    pub command: String,
    /// The version of the program.
    pub version: &'static str,
    /// The run.
    pub run: PathBuf,
    /// The rig.
    pub rig: String,
    /// What its plants say of themselves.
    pub plants: Value,
    /// Whose rows are known.
    pub known: String,
    /// Whose rows are unknown.
    pub unknown: String,
    /// Rows of the test set.
    pub known_rows: usize,
    /// Rows of the other data.
    pub unknown_rows: usize,
    /// Training rows that scores were fitted to.
    pub fitted_rows: usize,
    /// Shots on the plants.
    pub shots: u64,
    /// Time of a row in the network and its plants, in s.
    pub network_seconds_per_shot: f64,
    /// What all scores share.
    pub higher_is: &'static str,
    /// Each score.
    pub scores: Vec<ScoredUnknown>,
}

impl Prepared {
    /// Scores the rows of `other` beside the test set of `run`. `goes_on` says that it is the run's own bench, as the run has left it.
    pub fn guard(&self, run: &Interrupted, other: &Path, goes_on: bool) -> Result<GuardedRun, Error> {
        let data = self.load(run.seed)?;
        let key = Key::new(run.seed).branch("data");
        let others = data.others(&self.experiment.data, other, &self.document, key)?;
        data.familiar(&others, other).into_iter().for_each(|warning| tell!("pnnlab: {warning}"));
        let mut lab = self.lab_beside(run.seed)?;
        let trainer = self.saved(run, &data, &lab)?;
        if goes_on && let Some(checkpoint) = Checkpoint::newest(&run.folder)? {
            lab.restore(&checkpoint.snapshot.position.plants)
                .map_err(|message| Error::Record { path: checkpoint.path.clone(), message })?;
        }
        lab.attend(Attendant::new());
        let before = lab.meter().shots;
        let found = scored(&trainer, (&data, &others), Key::new(run.seed), &mut lab);
        lab.make_safe()?;
        let (scores, fitted_rows, seconds) = found.map_err(Error::outside_a_run)?;
        let done = GuardedRun {
            unix_seconds: unix_seconds(),
            command: command_line(),
            version: env!("CARGO_PKG_VERSION"),
            run: run.folder.clone(),
            rig: self.rig.config.name.clone(),
            plants: plant_facts(&lab),
            known: data.name.clone(),
            unknown: other.display().to_string(),
            known_rows: data.test.len(),
            unknown_rows: others.len(),
            fitted_rows,
            shots: lab.meter().shots - before,
            network_seconds_per_shot: seconds,
            higher_is: "unknown",
            scores,
        };
        done.write_down()?;
        Ok(done)
    }
}

/// Scores, the training rows that they were fitted to, and the time of a row in the network, in s.
type Scored = (Vec<ScoredUnknown>, usize, f64);

/// Scores the rows of `others` beside the test set, on the plant.
pub(crate) fn scored(
    trainer: &Trainer<'_>,
    (data, others): (&Dataset, &Rows),
    key: Key,
    lab: &mut Lab,
) -> Result<Scored, Error> {
    let mut order: Vec<usize> = (0..data.train.len()).collect();
    key.branch("guard").stream().shuffle(&mut order);
    order.truncate(FITTED_TO);
    let train = data.train.select(&order, data.width);
    let familiar: Probed = trainer.probe(&train, lab)?;
    let familiar = Familiar::new(&data.meaning, &familiar, train.labels())?;
    let (known, unknown) = (trainer.probe(&data.test, lab)?, trainer.probe(others, lab)?);
    Ok((familiar.tell(&known, &unknown)?, order.len(), known.seconds))
}

impl GuardedRun {
    /// Puts this in the place of what an earlier call has left.
    fn write_down(&self) -> Result<(), Error> {
        let write = |name: &str, text: &str| replace(&self.run.join(name), text.as_bytes());
        let names: Vec<&str> = self.scores.iter().map(|score| score.score).collect();
        let mut rows = vec![format!("set,{}", names.join(","))];
        for (set, count) in [("known", self.known_rows), ("unknown", self.unknown_rows)] {
            for row in 0..count {
                let of = |score: &ScoredUnknown| if set == "known" { score.known[row] } else { score.unknown[row] };
                let cells: Vec<String> = self.scores.iter().map(|score| of(score).to_string()).collect();
                rows.push(format!("{set},{}", cells.join(",")));
            }
        }
        write(GUARD_SCORES, &format!("{}\n", rows.join("\n")))?;
        write(RECORD, &format!("{:#}\n", json!(self)))
    }
}
