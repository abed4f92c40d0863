//! Pseudo-terminals: serial lines that are only software, with a stable name.

use std::io;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::task::{Context, Poll};

use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::sys::termios::{SetArg, cfmakeraw, tcgetattr, tcsetattr};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::unix::pipe::{Receiver, Sender};

/// The instrument's end of a pseudo-terminal. The other end is the link's path, for as long as this lives.
#[derive(Debug)]
pub struct Pty {
    terminal: Terminal,
    /// Held open, so that a controller that comes and goes is not an error here.
    _other_end: OwnedFd,
    link: PathBuf,
}

impl Pty {
    /// Opens a pseudo-terminal whose other end is reached by the path `link`. Needs a tokio runtime.
    pub fn open(link: &Path) -> io::Result<Self> {
        let pair = nix::pty::openpty(None, None)?;
        let mut settings = tcgetattr(&pair.slave)?;
        cfmakeraw(&mut settings);
        tcsetattr(&pair.slave, SetArg::TCSANOW, &settings)?;
        let name = nix::unistd::ttyname(&pair.slave)?;
        // A link that is left of a process that died leads nowhere.
        if link.is_symlink() && !link.exists() {
            std::fs::remove_file(link)?;
        }
        std::os::unix::fs::symlink(name, link)?;
        Ok(Self { terminal: Terminal::new(pair.master)?, _other_end: pair.slave, link: link.to_owned() })
    }
}

impl Drop for Pty {
    fn drop(&mut self) {
        // If somebody else has removed it, it is gone all the same.
        let _ = std::fs::remove_file(&self.link);
    }
}

/// One end of a terminal as an asynchronous stream.
///
/// tokio has no terminals, but its pipes read and write any file that can be waited for.
#[derive(Debug)]
struct Terminal {
    receiver: Receiver,
    sender: Sender,
}

impl Terminal {
    /// Takes an open terminal over. Needs a tokio runtime.
    fn new(end: OwnedFd) -> io::Result<Self> {
        let flags = OFlag::from_bits_truncate(fcntl(&end, FcntlArg::F_GETFL)?);
        fcntl(&end, FcntlArg::F_SETFL(flags | OFlag::O_NONBLOCK))?;
        let receiver = Receiver::from_file_unchecked(end.try_clone()?.into())?;
        Ok(Self { receiver, sender: Sender::from_file_unchecked(end.into())? })
    }
}

impl AsyncRead for Terminal {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.receiver).poll_read(context, buffer)
    }
}

impl AsyncWrite for Terminal {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.sender).poll_write(context, bytes)
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

impl AsyncRead for Pty {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.terminal).poll_read(context, buffer)
    }
}

impl AsyncWrite for Pty {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.terminal).poll_write(context, bytes)
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}
