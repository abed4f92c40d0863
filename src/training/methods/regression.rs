//! Numbers to predict through two passes of a plant: what training of all weights is worth beside a reservoir, whose physics and first layer
//! stay as they were drawn and whose read-out is fitted by ridge regression.

use sims::Key;

use crate::Error;
use crate::data::Dataset;
use crate::document::Document;
use crate::network::Network;
use crate::plants::{Lab, Rig};
use crate::training::{Experiment, Method, Trainer};

/// What is predicted.
pub const SERIES: [(&str, &str); 2] = [
    ("NARMA-10", "source = \"narma\"\ntrain = 2000\ntest = 1000\nwindow = 16\n"),
    ("channel equalization", "source = \"channel\"\ntrain = 2000\ntest = 1000\nwindow = 8\n"),
];

/// Through what.
pub const PLANTS: [&str; 2] = ["electrical", "mechanical"];

/// The symbols of the channel.
const SYMBOLS: [f64; 4] = [-3.0, -1.0, 1.0, 3.0];
/// Seed by which settings are chosen, which is not reported.
const TUNED_ON: u64 = 101;
/// Settings of which the one with the best validation counts: step sizes, and ridges in mean squares of what comes to the read-out.
const RATES: [f64; 3] = [0.01, 0.02, 0.04];
const RIDGES: [f64; 3] = [1e-6, 1e-4, 1e-2];

/// What is predicted, and through what.
#[derive(Debug, Clone, Copy)]
pub struct Task {
    /// One of [`SERIES`].
    pub series: (&'static str, &'static str),
    /// One of [`PLANTS`].
    pub plant: &'static str,
}

/// How well it is predicted.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Predicted {
    /// Root mean square of the errors over the deviation, of the test rows.
    pub nrmse: f64,
    /// The share of symbols that are taken for others, where symbols were sent.
    pub symbol_errors: Option<f64>,
}

impl Task {
    /// The network of `narma-electrical` with this series and plant.
    fn experiment(self, method: Method, setting: f64, steps: usize) -> Result<(Experiment, Document), Error> {
        let Self { series: (name, data), plant } = self;
        let (rate, ridge) = if method == Method::Reservoir { (0.01, setting) } else { (setting, 1e-4) };
        let text = format!(
            "name = \"regression\"\n[objective]\nkind = \"regress\"\n[data]\n{data}[training]\nbatch = 128\nsteps = {steps}\n\
             learning_rate = {rate}\nschedule = \"cosine\"\nevaluate_every = 0\n[training.reservoir]\nridge = {ridge}\n[plants.{plant}.simulated]\nsamples = 64\n\
             [[layers]]\nkind = \"linear\"\nwidth = 64\n[[layers]]\nkind = \"physical\"\nplant = \"{plant}\"\n\
             [[layers]]\nkind = \"scale-offset\"\nwidth = 64\nscale_spread = 0.1\n[[layers]]\nkind = \"physical\"\nplant = \"{plant}\"\n\
             [[layers]]\nkind = \"linear\"\nwidth = 1\n"
        );
        let document = Document::parse(name, &text)?;
        Ok((document.check()?, document))
    }

    fn trained(
        self,
        method: Method,
        (seed, steps, setting): (u64, usize, f64),
        on_validation: bool,
    ) -> Result<Predicted, Error> {
        let (experiment, document) = self.experiment(method, setting, steps)?;
        let mut data = Dataset::load(&experiment.data, None, &document, Key::new(seed).branch("data"))?;
        if on_validation {
            data.test = data.validation.clone();
        }
        let opened = Rig::find(None, &document)?.open(&[self.plant], seed)?;
        let mut lab = Lab::new(opened, method.derivatives())?;
        let network = Network::build(&experiment.layers, &document, &lab, &data)?;
        let mut trainer = Trainer::new(network, &data, &experiment.training, method, Key::new(seed));
        trainer.updates(steps, &mut lab)?;
        let nrmse = trainer.evaluate(steps, &mut lab)?.test.map_or(f64::NAN, |scores| scores.first());
        let is_channel = self.series == SERIES[1];
        Ok(Predicted { nrmse, symbol_errors: is_channel.then(|| symbol_errors(&trainer.answer_table())) })
    }

    /// Predicts by `method` after so many updates, with the setting that validation on another seed prefers. A reservoir sees each row once.
    pub fn predicted(self, method: Method, seeds: &[u64], steps: usize) -> Result<Vec<Predicted>, Error> {
        let (settings, steps) = match method {
            // 2,000 rows are 15 whole batches.
            Method::Reservoir => (RIDGES, 15),
            _ => (RATES, steps),
        };
        let mut best = (f64::INFINITY, settings[0]);
        for setting in settings {
            let found = self.trained(method, (TUNED_ON, steps, setting), true)?;
            if found.nrmse < best.0 {
                best = (found.nrmse, setting);
            }
        }
        seeds.iter().map(|seed| self.trained(method, (*seed, steps, best.1), false)).collect()
    }
}

/// The share of rows of a table of targets and predictions whose nearest symbols differ.
fn symbol_errors(table: &[Vec<String>]) -> f64 {
    let nearest = |value: f64| SYMBOLS.iter().copied().min_by(|a, b| (a - value).abs().total_cmp(&(b - value).abs()));
    let number = |row: &[String], place: usize| row.get(place).and_then(|cell| cell.parse::<f64>().ok());
    let rows = table.iter().skip(1);
    let pairs: Vec<_> = rows.map(|row| (number(row, 1).and_then(nearest), number(row, 2).and_then(nearest))).collect();
    pairs.iter().filter(|(sent, taken)| sent != taken).count() as f64 / pairs.len().max(1) as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn symbols_are_taken_for_the_nearest() {
        let row = |values: [&str; 3]| values.map(str::to_owned).to_vec();
        let table = [row(["row", "target_s", "prediction_s"]), row(["0", "-3", "-2.2"]), row(["1", "1", "2.1"])];
        assert_eq!(symbol_errors(&table), 0.5);
        assert_eq!(symbol_errors(&table[..1]), 0.0);
    }

    #[test]
    fn a_few_updates_predict_something_through_either_plant() {
        for (series, plant) in SERIES.into_iter().zip(PLANTS) {
            let task = Task { series, plant };
            for method in [Method::Reservoir, Method::PhysicsAware] {
                let found = task.trained(method, (1, 4, 0.01), true).unwrap();
                assert!(found.nrmse.is_finite(), "{plant}: {found:?}");
                assert_eq!(found.symbol_errors.is_some(), series == SERIES[1]);
            }
        }
    }
}
