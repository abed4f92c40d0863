//! The command line.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

use crate::command;
use crate::command::calibrate::CalibrateArgs;
use crate::command::check::CheckArgs;
use crate::command::ports::PortsArgs;
use crate::command::runs::RunsArgs;
use crate::command::safe::SafeArgs;
use crate::command::serve::ServeArgs;
use crate::command::soak::SoakArgs;
use crate::command::sweep::SweepArgs;
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
        after_help = "Examples:\n  pnnlab train\n  pnnlab train --method in-silico --seed 3\n  pnnlab train my.toml --rig bench.toml --set training.steps=200\n  pnnlab train mnist-electrical --data data/mnist --quick\n  pnnlab train --resume runs/20261123-094147-digits"
    )]
    Train(TrainArgs),
    /// Runs one experiment by several methods on the same plant, side by side
    #[command(
        after_help = "Examples:\n  pnnlab compare\n  pnnlab compare digits-electrical --methods physics-aware,in-silico --seeds 5\n  pnnlab compare vowels-optical --data vowels.csv --quick\n  pnnlab compare --set plants.electrical.simulated.mismatch=0.5 --json"
    )]
    Compare(CompareArgs),
    /// Measures a plant, or takes a trace, and leaves a twin with its residual, a noise model and a report
    #[command(
        after_help = "Examples:\n  pnnlab calibrate simulated optical --report optical.html\n  pnnlab calibrate bench.toml --procedure physics --json\n  pnnlab calibrate simulated optical --from fits/optical-1a2b3c4d5e6f.arrow\n  pnnlab calibrate --from train.npz --test test.npz\n  pnnlab calibrate --from inputs.npz --from outputs.npz\n  pnnlab calibrate simulated electrical --near runs/mine/shots/electrical-1.arrows\n  pnnlab calibrate simulated electrical --procedure trainability --depth 4\n\nThe fit is a TOML file with its numbers beside it (.safetensors). A rig uses it with `fit = \"auto\"` or `fit = \"FILE\"` below a plant.\nUncertainties are half widths of 95 % intervals; rmse_standard_error in --json is one standard deviation.\nThe trace is on disk before anything is fitted: Ctrl-C while fitting keeps it, and --from takes it up."
    )]
    Calibrate(CalibrateArgs),
    /// Runs one experiment for several values of one key, by several methods and seeds
    #[command(
        after_help = "Examples:\n  pnnlab sweep --key plants.electrical.simulated.mismatch --values 0,0.5,1,2,3\n  pnnlab sweep --key training.learning_rate --values 0.01,0.03,0.1 --methods physics-aware --seeds 1\n\nphysics-aware+refresh refreshes the twin as the experiment's [training.refresh] says, or by its defaults."
    )]
    Sweep(SweepArgs),
    /// Finds, shows, compares, exports, draws and removes runs
    #[command(
        after_help = "Examples:\n  pnnlab runs list --best test_accuracy --limit 10\n  pnnlab runs list --method in-silico --plant electrical --since 7d --json\n  pnnlab runs show 20261123-094147-digits\n  pnnlab runs compare a b\n  pnnlab runs export a b --to both.csv\n  pnnlab runs export a --to a.zip"
    )]
    Runs(RunsArgs),
    /// Runs published experiments and writes a report: our numbers beside the published ones
    #[command(
        after_help = "Without --data only what needs no files is run; the rest is listed as not run. Sections of earlier calls stay in the report, so \
                      experiments can be run one by one.\nA missed goal is said in the report and in --json; the exit code tells errors only.\n\nExamples:\n  pnnlab reproduce --quick\n  pnnlab reproduce all --data data\n  pnnlab reproduce vowels-optical --data vowels.csv --out docs"
    )]
    Reproduce(ReproduceArgs),
    /// Measures a plant and draws it beside its twin: spectrum, impulse response, nonlinearity, repeatability
    #[command(
        after_help = "Examples:\n  pnnlab response electrical\n  pnnlab response mechanical --set plants.mechanical.simulated.samples=4096\n  pnnlab response optical --rig bench.toml --repeats 5000 --json"
    )]
    Response(ResponseArgs),
    /// Lists the systems: ports, units, ranges, twins, timing, and the plants that are made of them
    #[command(after_help = "Examples:\n  pnnlab systems\n  pnnlab systems --rig bench.toml --json")]
    Systems(SystemsArgs),
    /// Lists and downloads public data sets
    #[command(
        subcommand,
        after_help = "Examples:\n  pnnlab data list\n  pnnlab data fetch mnist\n  pnnlab data fetch mnist --to data/mnist --from http://mirror.example/mnist"
    )]
    Data(DataCommand),
    /// Drives simulated instruments through every fault at once, and counts what is lost, repeated or misplaced
    #[command(after_help = "Examples:\n  pnnlab soak\n  pnnlab soak --shots 1000000 --seed 7 --json")]
    Soak(SoakArgs),
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
    /// Shows runs in the terminal: live while they go, from their record afterwards
    #[command(
        after_help = "Examples:\n  pnnlab watch                 the newest run in ./runs, and each newer one\n  pnnlab watch runs/mine       one run\n  pnnlab watch --runs runs     the table of all runs\n\nLeaving it never stops a run. ! makes the plants safe at once; ? lists the keys.\nNO_COLOR takes the colors away; where the locale is not UTF-8 it draws in ASCII."
    )]
    Watch(WatchArgs),
    /// Prints a JSON schema of experiment and rig files
    Schema,
}

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
        self.experiment.as_deref().unwrap_or(crate::experiment::DEFAULT)
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

/// `pnnlab watch`.
#[derive(Debug, Args)]
pub struct WatchArgs {
    /// A run folder, or the name of one in the folder of runs; without it, the newest is followed
    pub run: Option<PathBuf>,
    /// The folder that runs are kept in; alone, it opens the table of them [default: runs]
    #[arg(long, value_name = "DIR")]
    pub runs: Option<PathBuf>,
    /// Draws in ASCII, whatever the locale
    #[arg(long)]
    pub ascii: bool,
}

/// `pnnlab compare`.
#[derive(Debug, Args)]
pub struct CompareArgs {
    /// The experiment and where it goes.
    #[command(flatten)]
    pub run: ExperimentArgs,
    /// The methods, with commas; without it, as the experiment says
    #[arg(long, value_delimiter = ',')]
    pub methods: Vec<Method>,
    /// How many seeds, from the experiment's on; without it, as the experiment says (3)
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..))]
    pub seeds: Option<u16>,
    /// Goes on with the comparison in this folder, asked for with the same experiment, methods and seeds: runs that are
    /// finished are read, the others go on from their last checkpoints
    #[arg(long, value_name = "DIR", conflicts_with = "name")]
    pub resume: Option<PathBuf>,
}

/// `pnnlab reproduce`.
#[derive(Debug, Args)]
pub struct ReproduceArgs {
    /// An experiment of the report, or all
    #[arg(default_value = "all")]
    pub name: String,
    /// The experiments' quick forms: about a minute each, comparable with nothing
    #[arg(long)]
    pub quick: bool,
    /// A folder that holds the data sets, such as mnist/ and vowels.csv
    #[arg(long, value_name = "PATH")]
    pub data: Option<PathBuf>,
    /// The rig file; without it, the built-in rig of simulated plants
    #[arg(long, value_name = "FILE")]
    pub rig: Option<PathBuf>,
    /// How many seeds; without it, as each experiment says
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..))]
    pub seeds: Option<u16>,
    /// The folder of the report
    #[arg(long, value_name = "DIR", default_value = "reproduction")]
    pub out: PathBuf,
    /// The folder that runs are kept in
    #[arg(long, value_name = "DIR", default_value = "runs")]
    pub runs: PathBuf,
    /// Leaves experiments alone that the report already has numbers of
    #[arg(long)]
    pub keep: bool,
    /// The paper of the figures
    #[arg(long, value_enum, default_value_t)]
    pub theme: Theme,
    /// Prints one JSON object on standard output
    #[arg(long)]
    pub json: bool,
}

/// `pnnlab response`.
#[derive(Debug, Args)]
pub struct ResponseArgs {
    /// A plant of the rig, or a system that one of them is made of
    pub plant: String,
    /// The rig file; without it, the built-in rig of simulated plants
    #[arg(long, value_name = "FILE")]
    pub rig: Option<PathBuf>,
    /// Changes one key of the rig, such as plants.electrical.simulated.samples=1024
    #[arg(long = "set", value_name = "K=V")]
    pub set: Vec<String>,
    /// The seed of shot noise and random stimuli
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u64).range(..=i64::MAX as u64))]
    pub seed: u64,
    /// Size of small steps about the middle of the range, in % of half of it
    #[arg(long, value_name = "PERCENT", default_value_t = 10.0, value_parser = percent)]
    pub step_percent: f64,
    /// Shots that each step, level and amplitude is averaged over
    #[arg(long, value_name = "N", default_value_t = 32, value_parser = clap::value_parser!(u16).range(1..))]
    pub average: u16,
    /// How often one shot is repeated for repeatability and drift
    #[arg(long, value_name = "N", default_value_t = 1000, value_parser = clap::value_parser!(u32).range(2..))]
    pub repeats: u32,
    /// The folder of figures and numbers; without it, response/PLANT. Files there are replaced
    #[arg(long, value_name = "DIR")]
    pub out: Option<PathBuf>,
    /// The paper of the figures
    #[arg(long, value_enum, default_value_t)]
    pub theme: Theme,
    /// Prints one JSON object on standard output
    #[arg(long)]
    pub json: bool,
}

/// A share above 0 and up to 100 %.
fn percent(text: &str) -> Result<f64, String> {
    let value: f64 = text.parse().map_err(|_| format!("`{text}` is not a number"))?;
    if 0.0 < value && value <= 100.0 { Ok(value) } else { Err("give a percentage above 0 and up to 100".to_owned()) }
}

/// `pnnlab systems`.
#[derive(Debug, Args)]
pub struct SystemsArgs {
    /// The rig file; without it, the built-in rig of simulated plants
    #[arg(long, value_name = "FILE")]
    pub rig: Option<PathBuf>,
    /// Prints one JSON object on standard output
    #[arg(long)]
    pub json: bool,
}

/// `pnnlab data`.
#[derive(Debug, Subcommand)]
pub enum DataCommand {
    /// Lists the data sets that can be fetched
    List {
        /// Prints one JSON object on standard output
        #[arg(long)]
        json: bool,
    },
    /// Downloads a data set, compares it with its published checksums, and says how to use it
    Fetch(FetchArgs),
}

/// `pnnlab data fetch`.
#[derive(Debug, Args)]
pub struct FetchArgs {
    /// The data set: mnist
    pub name: String,
    /// The folder that it is put in; without it, data/NAME
    #[arg(long, value_name = "DIR")]
    pub to: Option<PathBuf>,
    /// Another place to fetch from, in place of the public mirrors: a folder on the web
    #[arg(long, value_name = "URL")]
    pub from: Option<String>,
    /// Prints one JSON object on standard output
    #[arg(long)]
    pub json: bool,
}

/// Runs the program.
pub fn run() -> Result<(), Error> {
    let cli = Cli::parse();
    log::start();
    match &cli.command {
        // A dashboard holds no plant: a signal ends it, and nothing else.
        Some(Command::Watch(_) | Command::Train(TrainArgs { watch: true, .. })) => stop::listen_silently(),
        _ => stop::listen(),
    }
    match cli.command {
        Some(Command::Train(arguments)) => command::train::run(&arguments),
        Some(Command::Compare(arguments)) => command::compare::run(&arguments),
        Some(Command::Calibrate(arguments)) => command::calibrate::run(&arguments),
        Some(Command::Sweep(arguments)) => command::sweep::run(&arguments),
        Some(Command::Runs(arguments)) => command::runs::run(&arguments),
        Some(Command::Reproduce(arguments)) => command::reproduce::run(&arguments),
        Some(Command::Response(arguments)) => command::response::run(&arguments),
        Some(Command::Systems(arguments)) => command::systems::run(&arguments),
        Some(Command::Data(command)) => command::data::run(&command),
        Some(Command::Soak(arguments)) => command::soak::run(&arguments),
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
        Some(Command::Watch(arguments)) => command::watch::run(&arguments),
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
