//! Everything that ends a command early, as sentences, each with its documented exit code.

use std::path::PathBuf;

use crate::stop::StopReason;

/// Why a command ended early.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file that people write cannot be read.
    #[error("{file}: cannot be read: {source}. {advice}")]
    Unreadable {
        /// The file.
        file: String,
        /// What to do.
        advice: &'static str,
        /// What the system says.
        source: std::io::Error,
    },
    /// Not TOML.
    #[error("{place}: {message}")]
    Malformed {
        /// File and line, or the flag.
        place: String,
        /// What is wrong.
        message: String,
    },
    /// A value that makes no sense, or a key that does not exist.
    #[error("{place}: {}{message}", if .key.is_empty() { String::new() } else { format!("`{key}` ") })]
    Refused {
        /// File and line, or the flag.
        place: String,
        /// The dotted key.
        key: String,
        /// The rest of the sentence.
        message: String,
    },
    /// Something named on the command line does not exist or does not fit.
    #[error("{0}")]
    Usage(String),
    /// A run is to go on that is finished.
    #[error("--resume {}: is finished after {done} steps: there is nothing to continue", folder.display())]
    NothingToContinue {
        /// The run's folder.
        folder: std::path::PathBuf,
        /// Its updates.
        done: usize,
    },
    /// Data that cannot be trained on.
    #[error("{0}")]
    Data(String),
    /// Data that is nowhere to be found.
    #[error("{0}")]
    MissingData(String),
    /// A file that cannot be had from any mirror.
    #[error("{what} cannot be downloaded. {tried}. {by_hand}")]
    Download {
        /// The file.
        what: String,
        /// Each mirror with what went wrong there.
        tried: String,
        /// What to do without a download.
        by_hand: String,
    },
    /// Experiments of a report that ended with an error.
    #[error("{} of the report ended with an error: {}. The report says why: {}", if .failed.len() == 1 { "one experiment" } else { "several experiments" }, .failed.join(", "), .report.display())]
    Unreproduced {
        /// Their names.
        failed: Vec<String>,
        /// The report.
        report: PathBuf,
    },
    /// The plant called `name` refuses or fails.
    #[error("plant `{name}`: {source}")]
    Plant {
        /// The plant's name in the rig.
        name: String,
        /// What it says.
        source: drivers::Error,
    },
    /// A plant that was to be made safe, and of which nobody can say that it is.
    #[error("plant `{plant}` is NOT SAFE: {why}")]
    NotSafe {
        /// The plant's name in the rig.
        plant: String,
        /// What is not as it should be.
        why: String,
    },
    /// Conformance checks found what must not be.
    #[error("{count} check{} failed: see the report", if *.count == 1 { "" } else { "s" })]
    Checks {
        /// How many.
        count: usize,
    },
    /// The run folder cannot be written.
    #[error("{}: {message}", .path.display())]
    Record {
        /// The file or folder.
        path: PathBuf,
        /// What is wrong and what to do.
        message: String,
    },
    /// A calibration that cannot be made, or a fit that cannot be used.
    #[error("{0}")]
    Calibration(Box<calibration::Error>),
    /// A calibration of one plant.
    #[error("plant `{plant}`: {source}")]
    CalibrationOf {
        /// The plant's name in the rig.
        plant: String,
        /// What is wrong.
        source: Box<calibration::Error>,
    },
    /// A fit that cannot be used.
    #[error("{}: {source}", .path.display())]
    FitOf {
        /// The fit's file.
        path: PathBuf,
        /// Why.
        source: Box<calibration::Error>,
    },
    /// A plant that shall use its newest fit, and has none.
    #[error("no fit of `{plant}` in {}{why}: run `pnnlab calibrate RIG {plant}`, or set its fit to \"none\"", .folder.display())]
    NoFit {
        /// The plant's name in the rig.
        plant: String,
        /// Where fits lie.
        folder: PathBuf,
        /// What else is wrong, in brackets; or nothing.
        why: String,
    },
    /// A plant whose twin is learned, before it is.
    #[error(
        "the twin of `{plant}` is learned, and nothing is learned yet: run `pnnlab calibrate RIG {plant}` first, train `physics-aware` with a table [training.refresh], which learns it on the way, or train by `spsa`, which needs none"
    )]
    Unlearned {
        /// The plant's name in the rig.
        plant: String,
    },
    /// A calibration that ended before its time; its shots are kept.
    #[error(
        "stopped; the plant is safe, and {shots} shots are kept: {}. Give the same options and --resume to go on", .path.display()
    )]
    CalibrationBegun {
        /// Where they lie.
        path: PathBuf,
        /// How many.
        shots: usize,
    },
    /// The user stopped a fit.
    #[error(
        "stopped by the user while fitting; the plant is safe, and the trace is kept: {}. `pnnlab calibrate … --from` fits it without measuring again", .0.display()
    )]
    FitStopped(PathBuf),
    /// The user stopped a measurement.
    #[error("stopped by the user; the plant is safe, and nothing was kept")]
    CalibrationStopped,
    /// The user stopped a search for the settings of knobs.
    #[error("stopped by the user; the knobs are where they were, and `--resume` goes on with what was tried")]
    TuningStopped,
    /// The user stopped an export.
    #[error("stopped by the user; nothing was exported")]
    ExportStopped,
    /// The user stopped it.
    #[error("stopped by the user; what was recorded so far is in {}", .0.display())]
    Stopped(PathBuf),
    /// A run ends inside a step; where it is caught, it becomes the run's reason to stop.
    #[error("the run ended inside a step: {0:?}")]
    Halted(StopReason),
    /// A soak has lost, repeated or misplaced something, or waited too long.
    #[error("the soak is not clean: see the report; the same --seed brings the same faults")]
    Soak,
    /// A training of a soak has left an output on, or did not end.
    #[error(
        "an output stayed on, or a training did not end: see the report; the same --seed ends them in the same ways"
    )]
    LeftOn,
    /// The dashboard has nowhere to draw.
    #[error(
        "the dashboard needs a terminal: {reason}. `pnnlab watch` shows a run in one; its figures are in metrics.csv as well"
    )]
    NoTerminal {
        /// What is missing.
        reason: String,
    },
    /// A training in a process of its own ended early.
    #[error("{message}")]
    Attended {
        /// Its exit code.
        code: u8,
        /// What it said last.
        message: String,
    },
    /// Training has left the numbers.
    #[error("training diverged: {what} is not finite: lower training.learning_rate, or raise training.range_penalty")]
    Diverged {
        /// What, and where.
        what: String,
    },
}

impl From<calibration::Error> for Error {
    fn from(source: calibration::Error) -> Self {
        Self::Calibration(Box::new(source))
    }
}

/// The exit code where all is done, but what was to be printed is lost.
pub const OUTPUT_LOST: u8 = 7;

/// Exit codes and what they mean, as `--help` prints them.
pub const EXIT_CODES: &[(u8, &str)] = &[
    (0, "done"),
    (1, "training diverged"),
    (2, "the command line is wrong, or names what does not exist"),
    (3, "the experiment or rig file is wrong"),
    (4, "the data cannot be read or used"),
    (5, "a plant refuses or fails"),
    (6, "the run folder cannot be written, or what lies in it cannot be read"),
    (OUTPUT_LOST, "standard output cannot be written, such as on a full disk; all else is done"),
    (9, "a conformance check failed"),
    (10, "a calibration fails, or a fit is foreign, stale or broken"),
    (11, "a soak lost, repeated or misplaced something, waited too long, or left an output on"),
    (12, "a download failed: no network, or what came is not what was published"),
    (13, "an experiment of `reproduce` ended with an error"),
    (20, "there is no terminal to draw in"),
    (130, "stopped by Ctrl-C, SIGTERM, key or socket; the run is closed and the plants are safe"),
    (
        131,
        "ended at once by a second Ctrl-C, half a second or more after the first; the run was not closed, and the plants are left to their watchdogs and guards",
    ),
    (137, "a training under `--watch` was killed: 128 and the number of the signal"),
];

impl Error {
    /// The exit code of the program.
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Attended { code, .. } => *code,
            Self::NoTerminal { .. } => 20,
            Self::Diverged { .. } => 1,
            Self::Usage(_) | Self::NothingToContinue { .. } => 2,
            Self::Unreadable { source, .. } if source.kind() == std::io::ErrorKind::NotFound => 2,
            Self::Unreadable { .. } | Self::Malformed { .. } | Self::Refused { .. } => 3,
            Self::Data(_) | Self::MissingData(_) => 4,
            Self::Download { .. } => 12,
            Self::Unreproduced { .. } => 13,
            Self::Plant { .. } | Self::NotSafe { .. } => 5,
            Self::CalibrationOf { source, .. } if matches!(**source, calibration::Error::Plant(_)) => 5,
            Self::Record { .. } => 6,
            Self::Calibration(_)
            | Self::FitOf { .. }
            | Self::CalibrationOf { .. }
            | Self::NoFit { .. }
            | Self::Unlearned { .. } => 10,
            Self::Stopped(_)
            | Self::Halted(_)
            | Self::CalibrationStopped
            | Self::TuningStopped
            | Self::CalibrationBegun { .. }
            | Self::FitStopped(_)
            | Self::ExportStopped => 130,
            Self::Soak | Self::LeftOn => 11,
            Self::Checks { .. } => 9,
        }
    }

    /// An error of the calibration of the plant called `name`.
    pub fn calibration(name: &str) -> impl FnOnce(calibration::Error) -> Self {
        let plant = name.to_owned();
        move |source| Self::CalibrationOf { plant, source: Box::new(source) }
    }

    /// An error of the plant called `name`.
    pub fn plant(name: &str) -> impl FnOnce(drivers::Error) -> Self {
        let name = name.to_owned();
        move |source| Self::Plant { name, source }
    }

    /// Ends what the user wants to end and of which nothing is kept.
    pub fn if_stopped() -> Result<(), Self> {
        if crate::stop::requested() { Err(Self::CalibrationStopped) } else { Ok(()) }
    }

    /// The error of what drives plants outside of a run: who ended it inside a step has stopped it.
    pub fn outside_a_run(self) -> Self {
        match self {
            Self::Halted(_) => Self::CalibrationStopped,
            error => error,
        }
    }

    /// Whether limits over time, or of the number of shots, have refused something.
    pub fn is_overdriven(&self) -> bool {
        let is = |error: &drivers::Error| {
            matches!(error, drivers::Error::Overdriven { .. } | drivers::Error::OutOfShots { .. })
        };
        match self {
            Self::Plant { source, .. } => is(source),
            Self::CalibrationOf { source, .. } => matches!(&**source, calibration::Error::Plant(error) if is(error)),
            _ => false,
        }
    }

    /// An error at `path` below the folder of runs while `doing` something, such as `cannot be written`.
    pub fn record(path: &std::path::Path, doing: &str) -> impl FnOnce(std::io::Error) -> Self {
        Self::chosen(path, doing, "--runs")
    }

    /// The same at a place that `option` of the command line chose.
    pub fn chosen(path: &std::path::Path, doing: &str, option: &str) -> impl FnOnce(std::io::Error) -> Self {
        let (path, doing, option) = (path.to_owned(), doing.to_owned(), option.to_owned());
        move |source| Self::Record {
            path,
            message: format!("{doing}: {source}. Choose another place with {option}, or free it"),
        }
    }
}
