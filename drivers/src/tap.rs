//! A stream whose bytes are written down as they pass, for protocols that read and write at once.

use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::port::{SharedRecorder, locked};
use crate::{Error, Stream};

/// What went wrong beside the wire, for whoever owns it: a stream itself can only end.
pub(crate) type Trouble = Arc<Mutex<Option<Error>>>;

/// A stream that is recorded.
pub(crate) struct Tap {
    pub(crate) stream: Box<dyn Stream>,
    pub(crate) recorder: SharedRecorder,
    pub(crate) trouble: Trouble,
}

impl Tap {
    /// Notes why nothing could be written down, and ends the stream with it.
    fn check(&self, written: Result<(), Error>) -> io::Result<()> {
        written.map_err(|error| {
            let text = error.to_string();
            *locked(&self.trouble) = Some(error);
            io::Error::other(text)
        })
    }
}

impl AsyncRead for Tap {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        ready!(Pin::new(&mut self.stream).poll_read(context, buffer))?;
        let new = &buffer.filled()[before..];
        let written = if new.is_empty() { Ok(()) } else { locked(&self.recorder).received(new) };
        Poll::Ready(self.check(written))
    }
}

impl AsyncWrite for Tap {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let count = ready!(Pin::new(&mut self.stream).poll_write(context, bytes))?;
        let written = locked(&self.recorder).sent(&bytes[..count]);
        Poll::Ready(self.check(written).map(|()| count))
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}
