//! What commands take alike: those that run an experiment, and those that drive what a run has trained.

use std::path::{Path, PathBuf};

use clap::Args;

use crate::Error;
use crate::plants::Forward;
use crate::report::Theme;
use crate::training::{Interrupted, Method};

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

/// What every command takes that drives the plants of a run's trained network.
#[derive(Debug, Clone, Args)]
pub struct BenchArgs {
    /// The rig file of another bench; without it, the run's own rig
    #[arg(long, value_name = "FILE")]
    pub rig: Option<PathBuf>,
    /// Changes one key of the rig's plants, such as plants.electrical.simulated.mismatch=0.5; with `grow` also one of the lattice, such as
    /// cells.rotation=30
    #[arg(long = "set", value_name = "K=V")]
    pub set: Vec<String>,
    /// The folder that runs are kept in
    #[arg(long, value_name = "DIR", default_value = "runs")]
    pub runs: PathBuf,
    /// Prints one JSON object on standard output
    #[arg(long)]
    pub json: bool,
}

impl BenchArgs {
    /// The run that is named so.
    pub fn run(&self, name: &Path) -> Result<Interrupted, Error> {
        Interrupted::of(("", name), &self.runs, false)
    }

    /// The rig file, if one is named, and what is changed.
    pub fn bench(&self) -> (Option<&Path>, &[String]) {
        (self.rig.as_deref(), &self.set)
    }

    /// Whether it is the run's own bench, which is taken up where the run has left it; another one begins its own life.
    pub fn is_own(&self) -> bool {
        self.rig.is_none() && self.set.is_empty()
    }
}

/// What every command takes that makes pictures by a run's trained network.
#[derive(Debug, Clone, Args)]
pub struct MakingArgs {
    /// On which bench.
    #[command(flatten)]
    pub on: BenchArgs,
    /// On the twins of the plants, which drives nothing
    #[arg(long)]
    pub twin: bool,
    /// The seed of all that is drawn: latents and noise; the fresh seed and the cells that change
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub seed: u64,
}

impl MakingArgs {
    /// On what a pass goes forward.
    pub fn forward(&self) -> Forward {
        if self.twin { Forward::Twin } else { Forward::Plant }
    }

    /// The same in a word.
    pub fn word(&self) -> &'static str {
        if self.twin { "twin" } else { "plant" }
    }
}

/// `pnnlab train`.
#[derive(Debug, Args)]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag of its own on the command line")]
pub struct TrainArgs {
    /// The experiment and where it goes.
    #[command(flatten)]
    pub run: ExperimentArgs,
    /// How gradients are made; without it, as the experiment says
    #[arg(long)]
    pub method: Option<Method>,
    /// Whether each plant is first asked, with some 900 shots, if it will train
    #[arg(long, value_name = "BOOL", default_value_t = true, action = clap::ArgAction::Set)]
    pub check: bool,
    /// Continues the run in this folder from its last checkpoint, to the same end as if it had never stopped
    #[arg(long, value_name = "RUN", conflicts_with_all = ["method", "seed", "name"])]
    pub resume: Option<PathBuf>,
    /// Says what it will cost, holds the first batches against every limit, and stops before anything is driven or written
    #[arg(long, conflicts_with = "resume")]
    pub dry_run: bool,
    /// Records every shot in the run folder, as run.record does
    #[arg(long)]
    pub record: bool,
    /// An address where Prometheus can ask for metrics, such as 127.0.0.1:9090, as run.metrics does
    #[arg(long, value_name = "ADDRESS")]
    pub metrics: Option<std::net::SocketAddr>,
    /// Continues although experiment, rig, data or program differ from what the run was started with
    #[arg(long, requires = "resume")]
    pub allow_changes: bool,
    /// Trains in a process of its own and opens the dashboard on it; leaving the dashboard does not stop it
    #[arg(long, conflicts_with_all = ["json", "resume", "dry_run"])]
    pub watch: bool,
}
