//! A network that was trained on one bench meets others: how much of its accuracy their own statistics give back, and how much ten updates do.

use sims::Key;

use super::Finding;
use crate::Error;
use crate::data::Dataset;
use crate::document::Document;
use crate::network::Network;
use crate::plants::{Derivatives, Lab, Rig};
use crate::record::Saved;
use crate::training::{Experiment, Schedule, Trainer, TrainingConfig};

/// Unlabeled shots that statistics are measured on.
const SAMPLES: usize = 1000;
/// Updates that are tried in the place of new statistics, and their step size.
const UPDATES: usize = 10;
const STEP_SIZE: f64 = 0.003;

/// A simulated system whose benches are met.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum System {
    /// A transistor in a resonator.
    Electrical,
    /// Second-harmonic generation.
    Optical,
}

impl System {
    /// Its name, which is its plant's in the built-in rig.
    fn name(self) -> &'static str {
        match self {
            Self::Electrical => "electrical",
            Self::Optical => "optical",
        }
    }

    /// Digits through two passes, each normalized.
    fn experiment(self, steps: usize) -> String {
        let (size, before, between) = match self {
            Self::Electrical => (64, "kind = \"scale-offset\"\noffset = -0.4", "scale = 0.4"),
            Self::Optical => (50, "kind = \"linear\"\nwidth = 50", "scale = 0.2\noffset = 0.4"),
        };
        let pass = format!(
            "[[layers]]\nkind = \"physical\"\nplant = \"{}\"\n[[layers]]\nkind = \"normalize\"\nepsilon = 1e-8\n",
            self.name()
        );
        let samples = if self == Self::Electrical {
            format!("[plants.electrical.simulated]\nsamples = {size}\n")
        } else {
            String::new()
        };
        format!(
            "name = \"benches\"\n[data]\nsource = \"digits\"\ntest = 500\nvalidation = 0\n[training]\nsteps = {steps}\nbatch = 128\nlearning_rate = 0.01\n\
             evaluate_every = 0\n{samples}[[layers]]\n{before}\n{pass}{between}\n{pass}[[layers]]\nkind = \"linear\"\nwidth = 10\n"
        )
    }
}

/// One bench: the seed of its fixed pattern, and how far its parts are from nominal.
type Bench = (u64, f64);

/// The bench that is trained on.
const HOME: Bench = (1, 1.0);
/// The same later: its parts have moved on by half of how far they were from nominal.
const DRIFTED: Bench = (1, 1.5);

fn lab(system: System, text: &str, (plant_seed, mismatch): Bench, seed: u64) -> Result<Lab, Error> {
    let mut document = Document::parse("benches", text)?;
    let key = |key: &str| format!("plants.{}.simulated.{key}", system.name());
    document.set(&format!("{}={plant_seed}", key("plant_seed")))?;
    document.set(&format!("{}={mismatch:?}", key("mismatch")))?;
    Lab::new(Rig::find(None, &document)?.open(&[system.name()], seed)?, Derivatives::Twin)
}

/// Accuracies on a bench: as the network comes, with statistics of the bench, after ten updates besides, and after ten updates in their place.
fn met(
    (experiment, document, data): (&Experiment, &Document, &Dataset),
    saved: &Saved,
    lab: &mut Lab,
    seed: u64,
) -> Result<[f64; 4], Error> {
    let config =
        TrainingConfig { learning_rate: STEP_SIZE, schedule: Schedule::Constant, ..experiment.training.clone() };
    let come = |lab: &Lab| -> Result<Trainer<'_>, Error> {
        let network = Network::build(experiment.layout(), document, lab, data)?;
        let mut trainer = Trainer::new(network, data, &config, config.method, Key::new(seed));
        trainer.take_over(saved).map_err(Error::Data)?;
        Ok(trainer)
    };
    let mut trainer = come(lab)?;
    let before = trainer.test_scores(lab)?.first();
    trainer.measure_all(Some(SAMPLES), lab)?;
    let normalized = trainer.test_scores(lab)?.first();
    trainer.updates(UPDATES, lab)?;
    trainer.measure_all(Some(SAMPLES), lab)?;
    let besides = trainer.test_scores(lab)?.first();
    let mut trainer = come(lab)?;
    trainer.updates(UPDATES, lab)?;
    Ok([before, normalized, besides, trainer.test_scores(lab)?.first()])
}

/// A network of `system` for each of these seeds, trained on bench A (`plant_seed` 1), meets benches B to F (2 to 6) and A after a drift.
/// Means over seeds and benches.
pub fn on_other_benches(system: System, seeds: &[u64], steps: usize) -> Result<Vec<Finding>, Error> {
    let text = system.experiment(steps);
    let document = Document::parse("benches", &text)?;
    let experiment: Experiment = document.check()?;
    let (mut home, mut others, mut drifted) = (0.0, [0.0; 4], [0.0; 4]);
    for &seed in seeds {
        let data = Dataset::load(&experiment.data, None, &document, Key::new(seed).branch("data"))?;
        let mut own = lab(system, &text, HOME, seed)?;
        let network = Network::build(experiment.layout(), &document, &own, &data)?;
        let training = &experiment.training;
        let mut trainer = Trainer::new(network, &data, training, training.method, Key::new(seed));
        trainer.updates(steps, &mut own)?;
        trainer.measure_all(Some(SAMPLES), &mut own)?;
        home += trainer.test_scores(&mut own)?.first() / seeds.len() as f64;
        let saved = trainer.saved();
        for plant_seed in 2..=6 {
            let mut other = lab(system, &text, (plant_seed, HOME.1), seed)?;
            let found = met((&experiment, &document, &data), &saved, &mut other, seed)?;
            others.iter_mut().zip(found).for_each(|(sum, value)| *sum += value / (5 * seeds.len()) as f64);
        }
        let found = met((&experiment, &document, &data), &saved, &mut lab(system, &text, DRIFTED, seed)?, seed)?;
        drifted.iter_mut().zip(found).for_each(|(sum, value)| *sum += value / seeds.len() as f64);
    }
    let name = system.name();
    let mut all = vec![Finding::new(format!("{name} A: accuracy"), home)];
    for (bench, [before, normalized, updated, alone]) in [("B to F", others), ("A drifted", drifted)] {
        let find = |what: &str, value: f64| Finding::new(format!("{name} {bench}: {what}"), value);
        all.extend([
            find("accuracy before", before),
            find("accuracy with its own statistics", normalized),
            find("still lost with its own statistics", home - normalized),
            find("accuracy after ten updates besides", updated),
            find("accuracy after ten updates in their place", alone),
        ]);
    }
    Ok(all)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bench_with_statistics_of_its_own_is_met_no_worse() {
        let found = on_other_benches(System::Electrical, &[1], 40).unwrap();
        let of = |name: &str| found.iter().find(|finding| finding.name == name).unwrap().value;
        let names = ["electrical B to F: accuracy before", "electrical B to F: accuracy with its own statistics"];
        let [before, normalized] = names.map(of);
        assert!(of("electrical A: accuracy") > 0.5 && normalized > before - 0.01, "{found:?}");
    }
}
