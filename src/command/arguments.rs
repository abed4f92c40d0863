//! What every command takes that runs an experiment.

use std::path::PathBuf;

use clap::Args;

use crate::report::Theme;

/// What every command that runs an experiment takes.
#[derive(Debug, Clone, Args)]
pub struct ExperimentArgs {
    /// An experiment file, or the name of a built-in experiment; without it, digits-electrical
    pub experiment: Option<String>,
    /// The rig file; without it, the built-in rig of simulated plants
    #[arg(long, value_name = "FILE")]
    pub rig: Option<PathBuf>,
    /// The data, for experiments that read it: the file, or a folder that holds what the experiment names
    #[arg(long, value_name = "PATH")]
    pub data: Option<PathBuf>,
    /// The experiment's quick form: fewer rows and steps, about a minute
    #[arg(long)]
    pub quick: bool,
    /// The seed of all that is random but the plant's fixed pattern
    #[arg(long, value_name = "N")]
    pub seed: Option<u64>,
    /// Changes one key of the experiment, such as training.steps=200 or layers.0.times=2
    #[arg(long = "set", value_name = "K=V")]
    pub set: Vec<String>,
    /// The folder that runs are kept in
    #[arg(long, value_name = "DIR", default_value = "runs")]
    pub runs: PathBuf,
    /// The name of the new folder in it; without it, the time and the experiment
    #[arg(long, value_name = "NAME")]
    pub name: Option<String>,
    /// The paper of the figures
    #[arg(long, value_enum, default_value_t)]
    pub theme: Theme,
    /// Prints one JSON object on standard output
    #[arg(long)]
    pub json: bool,
}

impl ExperimentArgs {
    /// What is run.
    pub fn experiment(&self) -> &str {
        self.experiment.as_deref().unwrap_or(crate::training::experiment::DEFAULT)
    }
}
