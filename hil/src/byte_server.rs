//! Serves an instrument that answers bytes with bytes on TCP, with the faults of wires.

use std::io;
use std::thread::JoinHandle;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;

use crate::{Fault, Faults};

/// The pause inside an answer that comes in two pieces.
const SPLIT: Duration = Duration::from_millis(2);

/// An instrument that answers bytes with bytes.
pub trait Answering: Send {
    /// Takes bytes in, and says what it has to say, one answer each.
    fn hear(&mut self, bytes: &[u8]) -> Vec<Vec<u8>>;

    /// A new connection: half a message of the old one is none.
    fn reset(&mut self);
}

/// A served instrument; dropping it switches it off.
#[derive(Debug)]
pub struct ByteServer {
    address: String,
    /// Its end ends the instrument.
    life: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl ByteServer {
    /// Serves `instrument` on any free port of this machine, one controller at a time.
    pub fn start(mut instrument: Box<dyn Answering>, faults: &Faults) -> io::Result<Self> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let listener = runtime.block_on(TcpListener::bind(("127.0.0.1", 0)))?;
        let address = format!("tcp://{}", listener.local_addr()?);
        let (life, end) = oneshot::channel::<()>();
        let faults = faults.clone();
        let work = move || {
            runtime.block_on(async {
                tokio::select! {
                    _ = end => {}
                    () = accept(&listener, instrument.as_mut(), &faults) => {}
                }
            });
        };
        let thread = std::thread::Builder::new().name(format!("instrument {address}")).spawn(work)?;
        Ok(Self { address, life: Some(life), thread: Some(thread) })
    }

    /// Where it listens.
    pub fn address(&self) -> &str {
        &self.address
    }
}

impl Drop for ByteServer {
    fn drop(&mut self) {
        self.life = None;
        if let Some(thread) = self.thread.take() {
            // A panic in there has shown as an instrument that fell silent.
            let _ = thread.join();
        }
    }
}

async fn accept(listener: &TcpListener, instrument: &mut dyn Answering, faults: &Faults) {
    loop {
        if let Ok((stream, _)) = listener.accept().await {
            instrument.reset();
            // A controller that goes away is no error of the instrument.
            let _ = converse(stream, instrument, faults).await;
        }
    }
}

/// Answers one controller until it goes, or the cable does.
async fn converse(mut stream: TcpStream, instrument: &mut dyn Answering, faults: &Faults) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let mut buffer = vec![0; 65_536];
    loop {
        let count = stream.read(&mut buffer).await?;
        if count == 0 {
            return Ok(());
        }
        for mut answer in instrument.hear(&buffer[..count]) {
            if faults.strike(Fault::Unplug) {
                return Ok(());
            }
            if faults.strike(Fault::NoReply) {
                continue;
            }
            let last = answer.len() - 1;
            if faults.strike(Fault::WrongTerminator) {
                answer[last] ^= 0x55;
            }
            if faults.strike(Fault::WrongBlockLength) {
                answer.truncate(last);
            }
            if faults.strike(Fault::SplitReply) {
                let (first, second) = answer.split_at(answer.len() / 2);
                stream.write_all(first).await?;
                tokio::time::sleep(SPLIT).await;
                stream.write_all(second).await?;
            } else {
                stream.write_all(&answer).await?;
            }
        }
    }
}
