//! A socket that sends at once, acknowledges at once, and notices when the other end is gone.
//!
//! A server without `TCP_NODELAY` holds its next answer back until the last one is acknowledged, which the system delays by 40 ms.
//! Linux forgets that it shall not, so it is told before each read (tcp(7), `TCP_QUICKACK`).

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use socket2::{SockRef, TcpKeepalive};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

/// A peer that has vanished is noticed after this long without an acknowledgment.
const SILENCE: Duration = Duration::from_secs(5);

/// A socket of an instrument.
pub(super) struct Prompt(TcpStream);

impl Prompt {
    pub(super) fn new(stream: TcpStream) -> std::io::Result<Self> {
        stream.set_nodelay(true)?;
        let socket = SockRef::from(&stream);
        let keepalive =
            TcpKeepalive::new().with_time(SILENCE / 2).with_interval(Duration::from_secs(1)).with_retries(3);
        socket.set_tcp_keepalive(&keepalive)?;
        #[cfg(target_os = "linux")]
        socket.set_tcp_user_timeout(Some(SILENCE))?;
        Ok(Self(stream))
    }

    #[cfg(target_os = "linux")]
    fn acknowledge(&self) {
        // Where the system refuses, answers come later, and they come.
        let _ = SockRef::from(&self.0).set_tcp_quickack(true);
    }

    #[cfg(not(target_os = "linux"))]
    fn acknowledge(&self) {}
}

impl AsyncRead for Prompt {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<std::io::Result<()>> {
        self.acknowledge();
        Pin::new(&mut self.0).poll_read(context, buffer)
    }
}

impl AsyncWrite for Prompt {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<std::io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(context)
    }
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;

    /// The kernel leaves the mode by itself when something is sent: before each read it is on again.
    #[tokio::test]
    async fn a_socket_acknowledges_at_once_before_each_read() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let near = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let (mut far, _) = listener.accept().await.unwrap();
        let mut near = Prompt::new(near).unwrap();
        for _ in 0..3 {
            SockRef::from(&near.0).set_tcp_quickack(false).unwrap();
            far.write_all(b"x").await.unwrap();
            assert_eq!(near.read(&mut [0; 8]).await.unwrap(), 1);
            assert!(SockRef::from(&near.0).tcp_quickack().unwrap());
        }
    }
}
