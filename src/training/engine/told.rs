//! One training with its hooks around it: they are told how it ended, also where it did not begin.

use std::sync::Arc;

use serde_json::json;

use super::{Console, Finished, Start, summary};
use crate::Error;
use crate::control::{Hooks, RunState};
use crate::stop::StopReason;
use crate::training::{Method, Prepared};

impl Prepared {
    /// Trains, and tells the hooks how it ended.
    pub(super) fn train_steered(
        &self,
        method: Method,
        seed: u64,
        start: Start<'_>,
        console: &Console<'_>,
    ) -> Result<Finished, Error> {
        let config = &self.experiment.run.hooks;
        let heading = json!({
            "run": std::path::absolute(start.folder()).unwrap_or_else(|_| start.folder().to_owned()),
            "experiment": self.experiment.name, "method": method.name(), "seed": seed,
        });
        let hooks = Arc::new(Hooks::start(config, &heading)?);
        if console.announces && !config.is_empty() {
            console.bars.suspend(|| tell!("pnnlab: hooks: {config}"));
        }
        let result = self.train_told((method, seed), start, console, &hooks);
        // An error before it began is one as well.
        let reason = match console.control.state() {
            RunState::Closed(reason) => reason,
            _ => StopReason::Failed,
        };
        let error = result.as_ref().err().filter(|_| reason == StopReason::Failed);
        // Nothing has failed where all was done before.
        if !matches!(error, Some(Error::NothingToContinue { .. })) {
            hooks.end(reason, error, &result.as_ref().map(summary).unwrap_or_default());
        }
        hooks.finish();
        result
    }
}
