//! Who watches a fit: is told how far it is, and may end it.
//!
//! Nothing here knows of signals or terminals: whoever calls a fit passes its own observer.

/// Watches a fit. Asked several times a second, from any thread.
pub trait Observer: Sync {
    /// Whether the fit shall end now; it then ends with [`Error::Stopped`](crate::Error::Stopped).
    fn stop(&self) -> bool {
        false
    }

    /// What is being done, in a few words.
    fn stage(&self, _words: &str) {}
}

/// Nobody watches: the fit runs to its end.
#[derive(Debug, Clone, Copy)]
pub struct Unobserved;

impl Observer for Unobserved {}

/// Refuses to go on once the observer wants to stop.
pub(crate) fn going(observer: &dyn Observer) -> Result<(), crate::Error> {
    if observer.stop() { Err(crate::Error::Stopped) } else { Ok(()) }
}
