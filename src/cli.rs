//! The command line.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

use crate::command;
use crate::command::check::CheckArgs;
use crate::command::ports::PortsArgs;
use crate::command::runs::RunsArgs;
use crate::command::safe::SafeArgs;
use crate::command::serve::ServeArgs;
use crate::{EXIT_CODES, Error, Method, Theme, log, stop};

/// Trains neural networks whose layers are physical systems, with the real hardware in the loop and a differentiable
/// twin for the gradient.
///
/// Without a command it compares the training methods on the default experiment.
#[derive(Debug, Parser)]
#[command(name = "pnnlab", version, after_help = after_help(), max_term_width = 100)]
struct Cli {
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Trains one network by one method
    #[command(
        after_help = "Examples:\n  pnnlab train\n  pnnlab train --method in-silico --seed 3\n  pnnlab train my.toml --rig bench.toml --set training.steps=200\n  pnnlab train --resume runs/20261123-094147-digits"
    )]
    Train(TrainArgs),
    /// Runs one experiment by several methods on the same plant, side by side
    #[command(
        after_help = "Examples:\n  pnnlab compare\n  pnnlab compare digits-electrical --methods physics-aware,in-silico --seeds 5\n  pnnlab compare --set plants.electrical.simulated.mismatch=0.5 --json"
    )]
    Compare(CompareArgs),
    /// Finds, shows, compares, exports, draws and removes runs
    #[command(
        after_help = "Examples:\n  pnnlab runs list --best test_accuracy --limit 10\n  pnnlab runs list --method in-silico --plant electrical --since 7d --json\n  pnnlab runs show 20261123-094147-digits\n  pnnlab runs compare a b\n  pnnlab runs export a b --to both.csv\n  pnnlab runs export a --to a.zip"
    )]
    Runs(RunsArgs),
    /// Checks that the plants of a rig do what every plant must do
    #[command(after_help = "Examples:\n  pnnlab check\n  pnnlab check bench.toml --json")]
    Check(CheckArgs),
    /// Serves simulated instruments on real wires, in the place of a rig's own
    #[command(
        after_help = "Examples:\n  pnnlab serve hil/rigs/red-pitaya.toml --write-rig served.toml\n  pnnlab serve hil/rigs/scpi.toml --pty --fault no-reply=0.01"
    )]
    Serve(ServeArgs),
    /// Brings a bench to its safe state at once, whoever holds it
    #[command(after_help = "Example:\n  pnnlab safe bench.toml")]
    Safe(SafeArgs),
    /// Lists the serial ports, and what answers there
    Ports(PortsArgs),
    /// Prints a JSON schema of experiment and rig files
    Schema,
}

/// What every command that runs an experiment takes.
#[derive(Debug, Clone, Args)]
pub struct ExperimentArgs {
    /// An experiment file, or the name of a built-in experiment
    #[arg(default_value = crate::experiment::DEFAULT)]
    pub experiment: String,
    /// The rig file; without it, the built-in rig of simulated plants
    #[arg(long, value_name = "FILE")]
    pub rig: Option<PathBuf>,
    /// The data, for experiments that read a file or a folder
    #[arg(long, value_name = "PATH")]
    pub data: Option<PathBuf>,
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

/// `pnnlab train`.
#[derive(Debug, Args)]
pub struct TrainArgs {
    /// The experiment and where it goes.
    #[command(flatten)]
    pub run: ExperimentArgs,
    /// How gradients are made; without it, as the experiment says
    #[arg(long)]
    pub method: Option<Method>,
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
}

/// `pnnlab compare`.
#[derive(Debug, Args)]
pub struct CompareArgs {
    /// The experiment and where it goes.
    #[command(flatten)]
    pub run: ExperimentArgs,
    /// The methods, with commas
    #[arg(long, value_delimiter = ',', default_value = "physics-aware,in-silico,ideal")]
    pub methods: Vec<Method>,
    /// How many seeds, from the experiment's on
    #[arg(long, value_name = "N", default_value_t = 3, value_parser = clap::value_parser!(u16).range(1..))]
    pub seeds: u16,
    /// Goes on with the comparison in this folder, asked for with the same experiment, methods and seeds: runs that are
    /// finished are read, the others go on from their last checkpoints
    #[arg(long, value_name = "DIR", conflicts_with = "name")]
    pub resume: Option<PathBuf>,
}

/// Runs the program.
pub fn run() -> Result<(), Error> {
    let cli = Cli::parse();
    log::start();
    stop::listen();
    match cli.command {
        Some(Command::Train(arguments)) => command::train::run(&arguments),
        Some(Command::Compare(arguments)) => command::compare::run(&arguments),
        Some(Command::Runs(arguments)) => command::runs::run(&arguments),
        Some(Command::Check(arguments)) => command::check::run(&arguments),
        Some(Command::Serve(arguments)) => command::serve::run(&arguments),
        Some(Command::Safe(arguments)) => command::safe::run(&arguments),
        Some(Command::Ports(arguments)) => {
            command::ports::run(&arguments);
            Ok(())
        }
        Some(Command::Schema) => {
            command::schema::run();
            Ok(())
        }
        None => command::compare::first(),
    }
}

/// The end of `--help`.
fn after_help() -> String {
    let codes: Vec<String> = EXIT_CODES.iter().map(|(code, meaning)| format!("  {code:>3}  {meaning}")).collect();
    let experiments: Vec<&str> = crate::experiment::BUILT_IN.iter().map(|(name, _)| *name).collect();
    format!(
        "Examples:\n  pnnlab                              compare the methods on the default experiment\n  \
         pnnlab train --method in-silico     train once\n  pnnlab compare --seeds 5 --json     for another program\n\n\
         Built-in experiments: {}\n\nExit codes:\n{}",
        experiments.join(", "),
        codes.join("\n")
    )
}
