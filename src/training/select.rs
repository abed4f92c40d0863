//! One of several read-outs is chosen by what training did not see: labeled shots from elsewhere, the worst of several environments, or answers that
//! a stated change of the shots must not change. Nothing is trained.

mod perturbation;

use std::path::{Path, PathBuf};

use serde::Serialize;
use serde_json::{Value, json};
use sims::Key;

use crate::Error;
use crate::control::Attendant;
use crate::data::further::Further;
use crate::data::{Answers, Rows, Split, Targets};
use crate::plants::Lab;
use crate::record::{Checkpoint, add_entry, command_line, note, plant_facts, unix_seconds};
use crate::scores::{Better, Score};
use crate::training::{Interrupted, Prepared, Trainer};

pub use perturbation::Perturbation;

/// Where choices stand one after another, in the folder of a run.
const RECORD: &str = "select.json";
/// How far below the best a read-out may be on the run's own rows, to be chosen for its consistency: one that always answers the same is consistent.
const WITHIN: f64 = 0.02;
/// From so much difference on between the best and the median read-out a shortcut is suspected.
const SHORTCUT: f64 = 0.1;

/// What chooses.
pub enum By<'a> {
    /// Its score on labeled shots.
    Labels(&'a Path),
    /// Its score in the environment where it is the worst; a column says which.
    Environment(&'a Path, &'a str),
    /// How many of its answers stay the same under each of these changes of the run's own validation rows, or those of a file.
    Consistency(Option<&'a Path>, &'a [Perturbation]),
    /// The user: this read-out, or all together.
    Hand(Option<usize>),
}

/// How one read-out did.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct HeadScore {
    /// Its number.
    pub head: usize,
    /// What chooses.
    pub score: f64,
    /// On the run's own validation rows, where they were measured.
    pub own: Option<f64>,
}

/// What was chosen, and why.
#[derive(Debug, Serialize)]
pub struct Selected {
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
    /// `labels`, `environment`, `consistency` or `hand`.
    pub by: &'static str,
    /// The score that chooses: `accuracy`, `nrmse`, or `consistency`.
    pub score: &'static str,
    /// Rows that were measured.
    pub rows: usize,
    /// Shots on the plants.
    pub shots: u64,
    /// Each read-out, the chosen one among them.
    pub heads: Vec<HeadScore>,
    /// What all of them together reach.
    pub ensemble: Option<f64>,
    /// The chosen read-out; null: all together.
    pub selected: Option<usize>,
    /// Whether the read-outs differ so much that those which are worse must have learned a shortcut.
    pub shortcut_suspected: bool,
    /// Where choices stand one after another.
    #[serde(skip)]
    pub record: PathBuf,
}

/// What was measured of each read-out.
struct Found {
    each: Vec<f64>,
    ensemble: f64,
    own: Vec<Option<f64>>,
    rows: usize,
}

impl Prepared {
    /// Chooses among the read-outs of `run` on this rig. `goes_on` says that it is the run's own bench, as the run has left it.
    pub fn select(&self, run: &Interrupted, by: &By<'_>, goes_on: bool) -> Result<Selected, Error> {
        let data = self.load(run.seed)?;
        let Some(heads) = &self.experiment.heads else {
            return Err(Error::Usage(format!(
                "{}: this run has one read-out: give its experiment a table [heads], and train again",
                run.folder.display()
            )));
        };
        if let By::Hand(Some(head)) = by
            && heads.count <= *head
        {
            return Err(Error::Usage(format!("--head {head}: the run has {} read-outs, numbered from 0", heads.count)));
        }
        let further = |file: &Path, environment| data.further(file, self.experiment.data.columns(environment));
        let rows = match by {
            By::Labels(file) => labeled(further(file, None)?, file)?,
            By::Environment(file, column) => labeled(further(file, Some(*column))?, file)?,
            By::Consistency(Some(file), _) => further(file, None)?,
            By::Consistency(None, _) | By::Hand(_) => {
                Further { rows: data.validation.clone(), labeled: true, environments: vec![] }
            }
        };
        if let By::Labels(file) | By::Environment(file, _) | By::Consistency(Some(file), _) = by {
            data.familiar(&rows.rows, file).into_iter().for_each(|warning| tell!("pnnlab: {warning}"));
        }
        if let By::Consistency(_, perturbations) = by {
            if rows.rows.is_empty() {
                return Err(Error::Usage(
                    "--perturb: the run holds no rows back for validation: name others with --data".to_owned(),
                ));
            }
            if let Some(bad) = perturbations.iter().find_map(|one| one.complaint(data.width)) {
                return Err(Error::Usage(bad));
            }
        }
        let trainer_of = |prepared: &Self| -> Result<(Trainer<'_>, Lab), Error> {
            let lab = prepared.lab_beside(run.seed)?;
            let mut trainer = self.saved(run, &data, &lab)?;
            trainer.select(None);
            Ok((trainer, lab))
        };
        let (mut trainer, mut lab) = trainer_of(self)?;
        if goes_on && let Some(checkpoint) = Checkpoint::newest(&run.folder)? {
            lab.restore(&checkpoint.snapshot.position.plants)
                .map_err(|message| Error::Record { path: checkpoint.path.clone(), message })?;
        }
        lab.attend(Attendant::new());
        // Those of the run itself are behind it.
        let before = lab.meter().shots;
        let mut other_shots = 0;
        let mut on_another = |prepared: &Self, rows: &Rows| -> Result<Vec<Answers>, Error> {
            let (trainer, mut lab) = trainer_of(prepared)?;
            lab.attend(Attendant::new());
            let found = trainer.answer_rows(rows, &mut lab);
            lab.make_safe()?;
            other_shots += lab.meter().shots;
            found.map(|found| found.1)
        };
        let found = find(&trainer, by, &rows, &mut lab, &mut on_another);
        lab.make_safe()?;
        let found =
            found.map_err(|error| if matches!(error, Error::Halted(_)) { Error::CalibrationStopped } else { error })?;
        let score = trainer.objective().kind().score();
        let selected = match by {
            By::Hand(head) => *head,
            By::Consistency(..) => found.best_of(&CONSISTENCY, Some(score)),
            _ => found.best_of(score, None),
        };
        let chooses = if matches!(by, By::Consistency(..)) { &CONSISTENCY } else { score };
        let of =
            |head: usize, value: f64| HeadScore { head, score: value, own: found.own.get(head).copied().flatten() };
        let done = Selected {
            unix_seconds: unix_seconds(),
            command: command_line(),
            version: env!("CARGO_PKG_VERSION"),
            rig: self.rig.config.name.clone(),
            plants: plant_facts(&lab),
            by: by.name(),
            score: chooses.name,
            rows: found.rows,
            shots: lab.meter().shots - before + other_shots,
            heads: found.each.iter().enumerate().map(|(head, value)| of(head, *value)).collect(),
            ensemble: (!found.each.is_empty()).then_some(found.ensemble),
            selected,
            shortcut_suspected: !matches!(by, By::Hand(_)) && found.differ(chooses),
            record: run.folder.join(RECORD),
        };
        trainer.select(selected);
        add_entry(&done.record, json!(done))?;
        trainer.saved().write(&run.folder)?;
        note(&run.folder, &json!({ "selected_head": selected, "selected_by": by.name() }))?;
        Ok(done)
    }
}

/// How alike answers stay: 1 is all of them.
static CONSISTENCY: Score = Score {
    name: "consistency",
    words: "consistency",
    better: Better::Higher,
    in_percent: true,
    each: "consistencies",
    range: [f64::NEG_INFINITY, 1.0],
};

fn labeled(further: Further, file: &Path) -> Result<Further, Error> {
    if further.labeled {
        return Ok(further);
    }
    Err(Error::Usage(format!(
        "--data {}: has no column of what is to be learned: name a table that has, or choose by --perturb",
        file.display()
    )))
}

/// What the read-outs say of rows on another bench.
type Another<'a> = dyn FnMut(&Prepared, &Rows) -> Result<Vec<Answers>, Error> + 'a;

/// Measures on the plant what chooses.
fn find(
    trainer: &Trainer<'_>,
    by: &By<'_>,
    further: &Further,
    lab: &mut Lab,
    on_another: &mut Another<'_>,
) -> Result<Found, Error> {
    let rows = &further.rows;
    if let By::Hand(_) = by {
        return Ok(Found { each: vec![], ensemble: f64::NAN, own: vec![], rows: 0 });
    }
    let objective = trainer.objective();
    let first = |answers: &Answers, targets: &Targets| objective.scores(answers, targets).first();
    let (all, each) = trainer.answer_rows(rows, lab)?;
    match by {
        By::Labels(_) | By::Hand(_) => {
            let scores = each.iter().map(|answers| first(answers, &rows.targets)).collect();
            Ok(Found { each: scores, ensemble: first(&all, &rows.targets), own: vec![], rows: rows.len() })
        }
        By::Environment(..) => {
            let mut names = further.environments.clone();
            names.sort_unstable();
            names.dedup();
            let places = |name: &String| {
                (0..rows.len()).filter(|row| further.environments.get(*row) == Some(name)).collect::<Vec<_>>()
            };
            let groups: Vec<Vec<usize>> = names.iter().map(places).collect();
            let score = objective.kind().score();
            let worst = |answers: &Answers| {
                let of = |group: &Vec<usize>| first(&pick(answers, group, rows.len()), &rows.targets.pick(group));
                groups.iter().map(of).reduce(|a, b| if score.is_better(a, b) { b } else { a }).unwrap_or(f64::NAN)
            };
            Ok(Found { each: each.iter().map(worst).collect(), ensemble: worst(&all), own: vec![], rows: rows.len() })
        }
        By::Consistency(file, perturbations) => {
            let own_rows = trainer.rows(Split::Validation);
            let own = match (file, own_rows.is_empty()) {
                (_, true) => vec![None; each.len()],
                (None, false) => each.iter().map(|answers| Some(first(answers, &own_rows.targets))).collect(),
                (Some(_), false) => {
                    let (_, each) = trainer.answer_rows(own_rows, lab)?;
                    each.iter().map(|answers| Some(first(answers, &own_rows.targets))).collect()
                }
            };
            let mut sums = vec![0.0; each.len()];
            for (number, perturbation) in perturbations.iter().enumerate() {
                let key = Key::new(number as u64).branch("perturb");
                let after = match perturbation {
                    Perturbation::Bench(prepared) => on_another(prepared, rows)?,
                    other => trainer.answer_rows(&other.apply(rows, key), lab)?.1,
                };
                for (sum, (before, after)) in sums.iter_mut().zip(each.iter().zip(&after)) {
                    *sum += consistency(before, after) / perturbations.len() as f64;
                }
            }
            Ok(Found { each: sums, ensemble: f64::NAN, own, rows: rows.len() })
        }
    }
}

/// The answers to some of so many rows.
fn pick(answers: &Answers, places: &[usize], rows: usize) -> Answers {
    match answers {
        Answers::Classes(all) => Answers::Classes(places.iter().filter_map(|row| all.get(*row)).copied().collect()),
        Answers::Values(all) => {
            let width = all.len() / rows.max(1);
            Answers::Values(places.iter().flat_map(|row| all.iter().skip(row * width).take(width)).copied().collect())
        }
    }
}

/// The share of classes that stay; of numbers the share of their variance that stays.
fn consistency(before: &Answers, after: &Answers) -> f64 {
    match (before, after) {
        (Answers::Classes(before), Answers::Classes(after)) => {
            before.iter().zip(after).filter(|(a, b)| a == b).count() as f64 / before.len().max(1) as f64
        }
        (Answers::Values(before), Answers::Values(after)) => {
            let mean = before.iter().sum::<f64>() / before.len().max(1) as f64;
            let variance: f64 = before.iter().map(|value| (value - mean).powi(2)).sum();
            1.0 - before.iter().zip(after).map(|(a, b)| (a - b).powi(2)).sum::<f64>() / variance.max(f64::MIN_POSITIVE)
        }
        _ => f64::NAN,
    }
}

impl Found {
    /// The best by `score`; of equals the one that is better on the run's own rows, then the first. With `own` only those are asked that are nearly
    /// as good as the best on the run's own rows.
    fn best_of(&self, score: &Score, own: Option<&Score>) -> Option<usize> {
        let known = |head: usize| self.own.get(head).copied().flatten();
        let best_own = own.and_then(|own| {
            (0..self.each.len()).filter_map(known).reduce(|a, b| if own.is_better(b, a) { b } else { a })
        });
        let may = |head: &usize| match (own, best_own, known(*head)) {
            (Some(score), Some(best), Some(value)) => score.lead(best, value) <= WITHIN,
            _ => true,
        };
        (0..self.each.len()).filter(may).reduce(|a, b| {
            let (one, other) = (self.each[a], self.each[b]);
            let ties = one == other && own.zip(known(a).zip(known(b))).is_some_and(|(own, (a, b))| own.is_better(b, a));
            if score.is_better(other, one) || ties { b } else { a }
        })
    }

    /// Whether the best is so far above the median that the others must go by something else.
    fn differ(&self, score: &Score) -> bool {
        let mut values = self.each.clone();
        values.sort_by(|a, b| score.lead(*b, *a).total_cmp(&0.0));
        let median = values.get(values.len() / 2);
        values.first().zip(median).is_some_and(|(best, median)| SHORTCUT < score.lead(*best, *median))
    }
}

impl By<'_> {
    fn name(&self) -> &'static str {
        match self {
            Self::Labels(_) => "labels",
            Self::Environment(..) => "environment",
            Self::Consistency(..) => "consistency",
            Self::Hand(_) => "hand",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scores::ObjectiveKind;

    fn found(each: &[f64], own: &[f64]) -> Found {
        Found { each: each.to_vec(), ensemble: 0.0, own: own.iter().map(|value| Some(*value)).collect(), rows: 10 }
    }

    #[test]
    fn the_best_is_chosen_and_of_errors_the_lowest() {
        let [accuracy, nrmse] = [ObjectiveKind::Classify, ObjectiveKind::Regress].map(ObjectiveKind::score);
        assert_eq!(found(&[0.5, 0.9, 0.9], &[]).best_of(accuracy, None), Some(1));
        assert_eq!(found(&[0.5, 0.9, 0.2], &[]).best_of(nrmse, None), Some(2));
        assert_eq!(found(&[], &[]).best_of(accuracy, None), None);
        assert!(found(&[0.5, 0.52, 0.9], &[]).differ(accuracy) && !found(&[0.85, 0.84, 0.9], &[]).differ(accuracy));
    }

    #[test]
    fn whoever_always_answers_the_same_is_not_chosen_for_its_consistency() {
        let accuracy = ObjectiveKind::Classify.score();
        let all = found(&[1.0, 0.8, 0.9, 0.9], &[0.5, 0.99, 0.98, 0.985]);
        assert_eq!(
            all.best_of(&CONSISTENCY, Some(accuracy)),
            Some(3),
            "of equals the one that is better on its own rows"
        );
    }

    #[test]
    fn consistency_is_what_stays() {
        let classes = |all: &[u32]| Answers::Classes(all.to_vec());
        assert_eq!(consistency(&classes(&[0, 1, 1, 0]), &classes(&[0, 1, 0, 0])), 0.75);
        let values = |all: &[f64]| Answers::Values(all.to_vec());
        // The variance is 2/3 of three, the error 0.5² once.
        assert!((consistency(&values(&[0.0, 1.0, 2.0]), &values(&[0.0, 1.5, 2.0])) - (1.0 - 0.25 / 2.0)).abs() < 1e-12);
    }
}
