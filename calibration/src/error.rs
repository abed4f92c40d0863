//! What can go wrong in a calibration, as sentences.

/// A calibration that cannot be made, or a result that cannot be used.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum Error {
    /// The plant refused or failed.
    #[error(transparent)]
    Plant(#[from] drivers::Error),
    /// A trace that cannot be read or written.
    #[error("the trace {message}")]
    Trace {
        /// The rest of the sentence.
        message: String,
    },
    /// A numpy archive that cannot be read as a trace.
    #[error("the numpy archive {message}")]
    Archive {
        /// The rest of the sentence.
        message: String,
    },
    /// A table of numbers that cannot be read as a trace.
    #[error("the table {message}")]
    Table {
        /// The rest of the sentence.
        message: String,
    },
    /// A trace that does not hold enough for what is asked.
    #[error(
        "{procedure} needs {needed} {what}, but the trace has {}: measure more, or choose another --procedure",
        counted(*.given, *.held_out)
    )]
    TooFew {
        /// The procedure.
        procedure: &'static str,
        /// Of what.
        what: &'static str,
        /// How many.
        needed: usize,
        /// How many there are to learn from.
        given: usize,
        /// How many more there are, held out to judge what is learned.
        held_out: usize,
    },
    /// A fit of coefficients where no physics is known.
    #[error(
        "{procedure} fits the coefficients of a physical model, and this plant has none: use --procedure learned, or name a system. (Without a system, curves are fitted to outputs that follow their own input; here none does)"
    )]
    NoPhysics {
        /// The procedure.
        procedure: &'static str,
    },
    /// A fit that leads to numbers which are none.
    #[error("{procedure} did not converge: {message}")]
    Diverged {
        /// The procedure.
        procedure: &'static str,
        /// Where, and what to do.
        message: String,
    },
    /// Whoever watches the fit has ended it.
    #[error("the fit was stopped before its end")]
    Stopped,
    /// Statistics that cannot be read or merged.
    #[error("the statistics of `{of}` {message}")]
    Statistics {
        /// What was measured.
        of: String,
        /// The rest of the sentence.
        message: String,
    },
    /// A fit that cannot be read or written.
    #[error("the fit {message}")]
    Fit {
        /// The rest of the sentence.
        message: String,
    },
    /// A fit of another plant.
    #[error("the fit is foreign: {reason}. Calibrate this plant with `pnnlab calibrate`, or name its own fit")]
    Foreign {
        /// What is different.
        reason: String,
    },
    /// A fit that was true once.
    #[error("the fit is stale: {reason}. Calibrate again with `pnnlab calibrate`")]
    Stale {
        /// What has changed.
        reason: String,
    },
}

/// How many there are, in words.
fn counted(given: usize, held_out: usize) -> String {
    match held_out {
        0 => given.to_string(),
        held_out => format!("{}, of which {held_out} are held out to judge the twin", given + held_out),
    }
}

impl Error {
    /// The same for whoever knows that there are `all` of which only a part could be learned from.
    pub(crate) fn of_all(self, all: usize) -> Self {
        match self {
            Self::TooFew { procedure, what, needed, given, .. } => {
                Self::TooFew { procedure, what, needed, given, held_out: all.saturating_sub(given) }
            }
            other => other,
        }
    }

    /// An error of the trace.
    pub(crate) fn trace(message: impl Into<String>) -> Self {
        Self::Trace { message: message.into() }
    }

    /// An error of a numpy archive.
    pub(crate) fn archive(message: impl Into<String>) -> Self {
        Self::Archive { message: message.into() }
    }

    /// An error of a table.
    pub(crate) fn table(message: impl Into<String>) -> Self {
        Self::Table { message: message.into() }
    }

    /// An error of statistics.
    pub(crate) fn statistics(of: &str, message: String) -> Self {
        Self::Statistics { of: of.to_owned(), message }
    }

    /// An error of a fit file.
    pub(crate) fn fit(message: impl Into<String>) -> Self {
        Self::Fit { message: message.into() }
    }
}
