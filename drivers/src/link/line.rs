//! The way to a link's task, with the runtime that it lives in.

use tokio::runtime::Runtime;
use tokio::sync::{mpsc, oneshot};

use super::session::Session;
use super::task::Job;
use crate::Error;

/// What the handle and the keeper share: the runtime that the task lives in, and the way to it.
pub(super) struct Line<S: Session> {
    pub(super) runtime: Option<Runtime>,
    pub(super) jobs: mpsc::UnboundedSender<Job<S>>,
    pub(super) instrument: String,
}

impl<S: Session> Line<S> {
    /// Hands a job to the task and drives the runtime until it is done.
    pub(super) fn ask<T>(&self, job: impl FnOnce(oneshot::Sender<Result<T, Error>>) -> Job<S>) -> Result<T, Error> {
        let (reply, answer) = oneshot::channel();
        // The runtime is there until the line is dropped.
        let runtime = self.runtime.as_ref().ok_or_else(|| Error::Lost {
            instrument: self.instrument.clone(),
            message: "its link has ended".to_owned(),
        })?;
        let gone = || Error::Lost { instrument: self.instrument.clone(), message: "its link has ended".to_owned() };
        self.jobs.send(job(reply)).map_err(|_| gone())?;
        runtime.block_on(answer).map_err(|_| gone())?
    }
}

impl<S: Session> Drop for Line<S> {
    fn drop(&mut self) {
        // A name that is still being looked up must not keep anybody waiting past a deadline.
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}
