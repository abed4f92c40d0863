//! The command line.

use std::io::Write;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::command::{
    arguments::TrainArgs, calibrate::CalibrateArgs, check::CheckArgs, compare::CompareArgs, data::DataCommand,
    generate::GenerateArgs, grow::GrowArgs, guard::GuardArgs, normalize::NormalizeArgs, ports::PortsArgs,
    reproduce::ReproduceArgs, response::ResponseArgs, runs::RunsArgs, safe::SafeArgs, schema::SchemaArgs,
    select::SelectArgs, serve::ServeArgs, soak::SoakArgs, sweep::SweepArgs, system::SystemArgs, systems::SystemsArgs,
    tune::TuneArgs, watch::WatchArgs,
};
use crate::error::{EXIT_CODES, OUTPUT_LOST};
use crate::plants::lab::guard;
use crate::{Error, command, control, log, output, stop, watch};

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
    /// Measures the statistics of a trained network anew on a bench, from inputs without labels; nothing is trained
    #[command(
        after_help = "The network needs a layer `normalize` (docs/normalize.md). Old and new statistics stand side by side in normalize.json of the run.\n\nExamples:\n  pnnlab normalize runs/mine\n  pnnlab normalize runs/mine --rig other-bench.toml --samples 1000 --test\n  pnnlab normalize mine --set plants.electrical.simulated.plant_seed=2 --test --json"
    )]
    Normalize(NormalizeArgs),
    /// Chooses among several read-outs of a trained network by what training did not see; nothing is trained
    #[command(
        after_help = "The experiment needs a table [heads] (docs/readings.md). Each choice is added to select.json of the run.\n\nExamples:\n  pnnlab select runs/mine --data validation.csv\n  pnnlab select runs/mine --data benches.csv --environment bench\n  pnnlab select mine --perturb shuffle=15 --perturb noise=0.02 --json\n  pnnlab select mine --ensemble"
    )]
    Select(SelectArgs),
    /// Turns the knobs of a bench, which have no gradient, until its readings are those of a reference; nothing is trained
    #[command(
        after_help = "Knobs are declared in the rig file as [knobs.NAME] (docs/readings.md). What is better is written into that file; where nothing is, or when the search is stopped, the knobs are where they were.\n\nExamples:\n  pnnlab tune bench.toml --dry-run\n  pnnlab tune bench.toml --reference fits/electrical-1a2b3c4d5e6f.arrow\n  pnnlab tune bench.toml --reference runs/healthy --metric features --test runs/healthy\n  pnnlab tune bench.toml --evaluations 150 --resume --json"
    )]
    Tune(TuneArgs),
    /// Says how well a trained network and its plant tell rows of other data from its own
    #[command(
        after_help = "Every score is higher for what is unknown. The known rows are the run's test set; the unknown ones are those of --data, whose labels nobody \
                      reads: a CSV file with the run's columns, a folder of IDX files, or, where the program makes the data itself, a CSV file with a column for \
                      each input.\n\nExamples:\n  pnnlab guard runs/mine --data others.csv\n  pnnlab guard mine --data data/fashion-mnist --json"
    )]
    Guard(GuardArgs),
    /// Grows the texture of a trained automaton on its plants, at any size: a picture or a film
    #[command(
        after_help = "The run has a table [cells] (docs/space-and-time.md). Each cell of each step is one shot on its plants; --twin drives nothing.\n\nExamples:\n  pnnlab grow runs/mine\n  pnnlab grow mine --size 256x256 --steps 500 --out texture.png\n  pnnlab grow mine --damage 12x12 --repair 100 --out repair.gif\n  pnnlab grow mine --rate 1 --json\n  pnnlab grow mine --set plants.electrical.simulated.plant_seed=2\n  pnnlab grow models.json#bubbly_0101 --size 128x128 --out bubbly.gif"
    )]
    Grow(GrowArgs),
    /// Makes images or films by a trained generator on its plants, each frame a shot
    #[command(
        after_help = "The run learned to `generate` images, or has a table [motion] that moves such a run (docs/space-and-time.md). Each frame is one shot on \
                      each of its plants; --twin drives nothing.\n\nExamples:\n  pnnlab generate runs/digits\n  pnnlab generate turning --frames 64 --out film.gif\n  pnnlab generate turning --count 100 --out frames.csv\n  pnnlab generate turning --count 4 --out strip.png --json\n  pnnlab generate turning --first digit.png --count 4\n  pnnlab generate turning --set plants.electrical.simulated.plant_seed=2"
    )]
    Generate(GenerateArgs),
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
    /// Says what a file of equations holds and what becomes of it: units, simplified equations, Jacobian, time constants, speed
    #[command(
        after_help = "Examples:\n  pnnlab system diode.toml\n  pnnlab system diode.toml --json\n  pnnlab system diode.toml --export c > diode.c\n\nThe file is described in docs/equations.md."
    )]
    System(SystemArgs),
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
    /// Prints the JSON schema of experiment and rig files, or a page of all their keys
    Schema(SchemaArgs),
}

/// Runs the program.
pub fn run() -> ExitCode {
    // Not among the commands: nobody but pnnlab itself starts it.
    let is_guard = std::env::args_os().nth(1).is_some_and(|argument| argument == guard::ARGUMENT);
    let ended = match Cli::try_parse() {
        _ if is_guard => command::safety_guard::run(),
        Ok(cli) => follow(cli),
        Err(error) => return explain(&error),
    };
    match ended {
        Ok(()) if output::is_lost() => ExitCode::from(OUTPUT_LOST),
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // Nobody may be there to read it; the exit code says it as well.
            tell!("pnnlab: {error}");
            ExitCode::from(error.exit_code())
        }
    }
}

/// Prints what `--help` and `--version` ask for, or what is wrong with the command line.
fn explain(error: &clap::Error) -> ExitCode {
    let printed = error.print().and_then(|()| std::io::stdout().flush());
    match printed {
        Err(failure) if !error.use_stderr() && failure.kind() != std::io::ErrorKind::BrokenPipe => {
            tell!("pnnlab: standard output cannot be written: {failure}");
            ExitCode::from(OUTPUT_LOST)
        }
        _ => ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(2)),
    }
}

/// What is done with the terminal when a signal says so.
const TERMINAL: stop::Terminal = stop::Terminal {
    restore: control::restore_terminal,
    give_back: watch::give_terminal_back,
    take_again: watch::take_terminal_again,
};

/// Does what the command line says.
fn follow(cli: Cli) -> Result<(), Error> {
    log::start();
    match &cli.command {
        // A dashboard holds no plant: a signal ends it, and nothing else.
        Some(Command::Watch(_) | Command::Train(TrainArgs { watch: true, .. })) => stop::listen_silently(TERMINAL),
        // It holds no plant and waits for nobody: a signal ends it as it ends any program.
        Some(Command::Soak(SoakArgs { exits: false, .. })) => {}
        _ => stop::listen(TERMINAL),
    }
    match cli.command {
        Some(Command::Train(arguments)) => command::train::run(&arguments),
        Some(Command::Compare(arguments)) => command::compare::run(&arguments),
        Some(Command::Calibrate(arguments)) => command::calibrate::run(&arguments),
        Some(Command::Normalize(arguments)) => command::normalize::run(&arguments),
        Some(Command::Select(arguments)) => command::select::run(&arguments),
        Some(Command::Tune(arguments)) => command::tune::run(&arguments),
        Some(Command::Guard(arguments)) => command::guard::run(&arguments),
        Some(Command::Grow(arguments)) => command::grow::run(&arguments),
        Some(Command::Generate(arguments)) => command::generate::run(&arguments),
        Some(Command::Sweep(arguments)) => command::sweep::run(&arguments),
        Some(Command::Runs(arguments)) => command::runs::run(&arguments),
        Some(Command::Reproduce(arguments)) => command::reproduce::run(&arguments),
        Some(Command::Response(arguments)) => command::response::run(&arguments),
        Some(Command::System(arguments)) => command::system::run(&arguments),
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
        Some(Command::Schema(arguments)) => command::schema::run(&arguments),
        Some(Command::Watch(arguments)) => command::watch::run(&arguments),
        None => command::compare::first(),
    }
}

/// The end of `--help`.
fn after_help() -> String {
    let codes: Vec<String> = EXIT_CODES.iter().map(|(code, meaning)| format!("  {code:>3}  {meaning}")).collect();
    let experiments: Vec<&str> = crate::training::experiment::BUILT_IN.iter().map(|(name, _)| *name).collect();
    format!(
        "Examples:\n  pnnlab                              compare the methods on the default experiment\n  \
         pnnlab train --method in-silico     train once\n  pnnlab compare --seeds 5 --json     for another program\n\n\
         Built-in experiments: {}\n\nExit codes:\n{}",
        experiments.join(", "),
        codes.join("\n")
    )
}
