//! The command line.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

use crate::command;
use crate::command::calibrate::CalibrateArgs;
use crate::command::sweep::SweepArgs;
use crate::{EXIT_CODES, Error, Method, Theme, stop};

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
        after_help = "Examples:\n  pnnlab train\n  pnnlab train --method in-silico --seed 3\n  pnnlab train my.toml --rig bench.toml --set training.steps=200"
    )]
    Train(TrainArgs),
    /// Runs one experiment by several methods on the same plant, side by side
    #[command(
        after_help = "Examples:\n  pnnlab compare\n  pnnlab compare digits-electrical --methods physics-aware,in-silico --seeds 5\n  pnnlab compare --set plants.electrical.simulated.mismatch=0.5 --json"
    )]
    Compare(CompareArgs),
    /// Measures a plant, or takes a trace, and leaves a twin with its residual, a noise model and a report
    #[command(
        after_help = "Examples:\n  pnnlab calibrate simulated optical --report optical.html\n  pnnlab calibrate bench.toml --procedure physics --json\n  pnnlab calibrate simulated optical --from fits/optical-1a2b3c4d5e6f.arrow\n  pnnlab calibrate --from train.npz --test test.npz\n  pnnlab calibrate simulated electrical --procedure trainability --depth 4\n\nThe fit is a TOML file with its numbers beside it (.safetensors). A rig uses it with `fit = \"auto\"` or `fit = \"FILE\"` below a plant.\nUncertainties are half widths of 95 % intervals."
    )]
    Calibrate(CalibrateArgs),
    /// Runs one experiment for several values of one key, by several methods and seeds
    #[command(
        after_help = "Examples:\n  pnnlab sweep --key plants.electrical.simulated.mismatch --values 0,0.5,1,2,3\n  pnnlab sweep --key training.learning_rate --values 0.01,0.03,0.1 --methods physics-aware --seeds 1\n\nphysics-aware+refresh refreshes the twin as the experiment's [training.refresh] says, or by its defaults."
    )]
    Sweep(SweepArgs),
    /// Prints a JSON schema of experiment and rig files
    Schema,
}

/// What every command that runs an experiment takes.
#[derive(Debug, Args)]
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
    /// Whether each plant is first asked, with some 900 shots, if it will train
    #[arg(long, value_name = "BOOL", default_value_t = true, action = clap::ArgAction::Set)]
    pub check: bool,
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
}

/// Runs the program.
pub fn run() -> Result<(), Error> {
    let cli = Cli::parse();
    stop::listen();
    match cli.command {
        Some(Command::Train(arguments)) => command::train::run(&arguments),
        Some(Command::Compare(arguments)) => command::compare::run(&arguments),
        Some(Command::Calibrate(arguments)) => command::calibrate::run(&arguments),
        Some(Command::Sweep(arguments)) => command::sweep::run(&arguments),
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
