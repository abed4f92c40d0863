//! What the network of a run makes of readings: the outputs of its layers behind the plant's last pass.

use std::path::{Path, PathBuf};

use burn::tensor::Tensor;
use drivers::{Batch, Plant, Silent};
use sims::Key;

use crate::Error;
use crate::data::Dataset;
use crate::network::{LayerConfig, Network, Pass, Purpose, State, rows};
use crate::plants::{Derivatives, Forward, Lab, Opened};
use crate::record::{Saved, read_facts};
use crate::training::Experiment;

/// A trained network from a physical layer on.
pub struct Features {
    network: Network,
    weights: Vec<Tensor<2>>,
    state: State,
    /// The number of the physical layer whose readings come in.
    layer: usize,
    lab: Lab,
}

impl Features {
    /// Of the run at `reference`, behind its last pass through `plant`.
    pub fn of(reference: Option<&Path>, plant: &str, opened: &Opened) -> Result<Self, Error> {
        let usage = |message: String| Error::Usage(format!("--metric features: {message}"));
        let Some(run) = reference.filter(|path| path.is_dir()) else {
            return Err(usage("needs a trained network: name a run with --reference".to_owned()));
        };
        let (experiment, document) = Experiment::find(&run.join("experiment.toml").to_string_lossy(), &[])?;
        let is_it = |layer: &LayerConfig| matches!(layer, LayerConfig::Physical(config) if config.plant == plant);
        let layer = experiment
            .layers
            .iter()
            .rposition(is_it)
            .ok_or_else(|| usage(format!("the network of {} has no layer on plant `{plant}`", run.display())))?;
        let saved = Saved::read(run)?;
        // The network is built onto the ports alone: nothing of it drives this stand-in.
        let silent = Box::new(Silent::new(opened.plant.card().clone()));
        let lab = Lab::new(vec![Opened::bare(&opened.name, silent, opened.twin.clone())], Derivatives::Twin)?;
        let data = Dataset::load(
            &experiment.data,
            data_path(run)?.as_deref(),
            &document,
            Key::new(experiment.seed).branch("data"),
        )?;
        let network = Network::build(experiment.layout(), &document, &lab, &data)?;
        let named = network.weights(Key::new(0));
        let find =
            |name: &str| saved.weights.iter().find(|weight| weight.name == name).map(|weight| weight.tensor.clone());
        let weights = named.iter().map(|(name, _)| find(name)).collect::<Option<Vec<_>>>();
        let weights = weights.ok_or_else(|| usage(format!("{}: lacks weights of its network", run.display())))?;
        let state =
            network.recall(&saved.state).map_err(|message| Error::Record { path: Saved::path(run), message })?;
        Ok(Self { network, weights, state, layer, lab })
    }

    /// One row of features for each row of readings.
    pub fn rows(&mut self, readings: &Batch) -> Result<Vec<Vec<f64>>, Error> {
        let mut pass = Pass::new(&mut self.lab, Forward::Plant, Purpose::Test, &mut self.state);
        let found = self.network.behind(self.layer, readings, &self.weights, &mut pass)?;
        let [count, columns] = found.dims();
        let values: Vec<f64> = rows::values(found).into_iter().map(f64::from).collect();
        Ok((0..count).map(|row| values[row * columns..(row + 1) * columns].to_vec()).collect())
    }
}

/// Where the run says that its data lies.
fn data_path(run: &Path) -> Result<Option<PathBuf>, Error> {
    Ok(read_facts(run)?["data_path"].as_str().map(Into::into))
}
