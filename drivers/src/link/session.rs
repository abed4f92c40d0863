//! A protocol: what is said first on a fresh port, and how one request is exchanged.

use std::time::Duration;

use crate::{Error, Port};

/// A protocol, as the link needs to know it.
///
/// The futures are given up when a deadline passes: the port is then closed and a fresh one is greeted, so a session keeps
/// nothing in itself that refers to bytes on the way.
pub trait Session: Send + 'static {
    /// What may be asked.
    type Request: Send + Sync + 'static;
    /// What is answered.
    type Reply: Send + 'static;

    /// The first words on a fresh port: makes sure that answers are in step, who is there and whether it was switched off in
    /// between; after a reconnection, pushes *our* settings back and verifies them. Changes no output.
    fn greet(&mut self, port: &mut Port, opening: Opening) -> impl Future<Output = Result<(), Error>> + Send;

    /// One request and its answer.
    fn exchange(
        &mut self,
        port: &mut Port,
        request: &Self::Request,
    ) -> impl Future<Output = Result<Self::Reply, Error>> + Send;

    /// What is asked by `request`, in a word: latencies are counted by it.
    fn verb(request: &Self::Request) -> &'static str;

    /// How long the instrument may be silent in a greeting because it measures something.
    fn silence(&self) -> Duration {
        Duration::ZERO
    }

    /// What may be so where the beginning of an answer is `heard` and its rest is missing, in a sentence that begins with a space.
    fn advise(&self, _heard: &[u8]) -> String {
        String::new()
    }

    /// Looks whether the settings of ours that the instrument can say are still there. Changes nothing.
    fn verify(&mut self, _port: &mut Port) -> impl Future<Output = Result<(), Error>> + Send {
        std::future::ready(Ok(()))
    }

    /// Nothing has been asked for [`LinkOptions::idle_every`](crate::LinkOptions::idle_every): a heartbeat, if the protocol has one, and whether the instrument
    /// answered it.
    fn idle(&mut self, _port: &mut Port) -> impl Future<Output = Result<bool, Error>> + Send {
        std::future::ready(Ok(false))
    }
}

/// How a port came to be opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Opening {
    /// How often it was opened before.
    pub count: u64,
    /// Whether an answer of before may still be on its way: a serial line keeps what a closed socket forgets.
    pub stale: bool,
}
