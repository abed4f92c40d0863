//! Serves a simulated SCPI instrument on TCP or a pseudo-terminal, with the faults of wires and boxes.
//!
//! Each server has a thread with a runtime of its own. What one write of the client asks is answered in one write, as a good
//! instrument does; the switchboard decides what goes wrong.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use drivers::{Address, Stream, Terminator};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::time::Instant;
use tokio_serial::{SerialPort, SerialStream};

use crate::scpi_box::{LONGEST, ScpiBox, ScpiClient, first_message};
use crate::{Fault, Faults};

/// How long a pulled cable stays out.
const UNPLUGGED: Duration = Duration::from_millis(150);
/// How long a line hears nothing whose other end is not there.
const DEAF: Duration = Duration::from_millis(300);
/// The pause inside an answer that comes in two pieces.
const SPLIT: Duration = Duration::from_millis(2);
/// How often an instrument looks whether what `*OPC?` waits for is over.
const LOOK: Duration = Duration::from_millis(1);
/// The piece of an answer that is cut by buffers.
const BUFFER: usize = 1024;

/// Where an instrument is served.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Wire {
    /// A port of this machine; 0 is any that is free.
    Tcp {
        /// The port.
        port: u16,
    },
    /// A pseudo-terminal.
    Pty {
        /// A stable link to it.
        link: Option<PathBuf>,
        /// Answers take as long as at this rate, in symbols a second; none is as fast as it goes.
        baud: Option<u32>,
    },
}

/// A served instrument. Dropping it ends the service.
pub struct Served {
    /// Where it listens.
    pub address: Address,
    stop: watch::Sender<bool>,
    thread: Option<JoinHandle<()>>,
    link: Option<PathBuf>,
}

impl Drop for Served {
    fn drop(&mut self) {
        let _ = self.stop.send(true);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
        if let Some(link) = &self.link {
            let _ = std::fs::remove_file(link);
        }
    }
}

/// An instrument that is served.
pub type SharedBox = Arc<Mutex<ScpiBox>>;

/// Serves `instrument` on `wire`.
pub fn serve_scpi(instrument: ScpiBox, wire: &Wire, faults: Faults) -> std::io::Result<Served> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let (stop, stopped) = watch::channel(false);
    let server = Server { instrument: Arc::new(Mutex::new(instrument)), faults, stopped, baud: None, line: false };
    let (address, link, work): (_, _, Box<dyn FnOnce() + Send>) = match wire {
        Wire::Tcp { port } => {
            let listener = runtime.block_on(TcpListener::bind(("127.0.0.1", *port)))?;
            let address = Address::Tcp { host: "127.0.0.1".to_owned(), port: listener.local_addr()?.port() };
            (address, None, Box::new(move || runtime.block_on(server.accept(listener))))
        }
        Wire::Pty { link, baud } => {
            let (near, far) = {
                let _context = runtime.enter();
                SerialStream::pair()?
            };
            let path = PathBuf::from(far.name().unwrap_or_default());
            if let Some(link) = link {
                point(link, &path)?;
            }
            let shown = link.clone().unwrap_or(path);
            let address = Address::Serial { path: shown, baud: baud.unwrap_or(115_200) };
            let server = Server { baud: *baud, line: true, ..server };
            let work = move || {
                // The far end stays open, so that the terminal survives its clients.
                let _far = far;
                runtime.block_on(server.line(near));
            };
            (address, link.clone(), Box::new(work))
        }
    };
    let thread = std::thread::Builder::new().name("simulated instrument".to_owned()).spawn(work)?;
    Ok(Served { address, stop, thread: Some(thread), link })
}

/// Makes `link` point to `path`, in the place of an older link but of nothing else.
fn point(link: &Path, path: &Path) -> std::io::Result<()> {
    if link.symlink_metadata().is_ok_and(|metadata| metadata.is_symlink()) {
        std::fs::remove_file(link)?;
    }
    std::os::unix::fs::symlink(path, link)
}

/// What all connections of one instrument share.
#[derive(Clone)]
struct Server {
    instrument: SharedBox,
    faults: Faults,
    stopped: watch::Receiver<bool>,
    baud: Option<u32>,
    /// Whether it is a line that stays, and not connections.
    line: bool,
}

/// What becomes of a connection after an answer.
#[derive(PartialEq)]
enum After {
    Go,
    /// The connection ends; nobody may connect for a while.
    Drop(Duration),
    /// The connection stays, and nobody is there.
    Deaf,
}

impl Server {
    /// Serves whoever connects, any number at a time.
    async fn accept(mut self, listener: TcpListener) {
        let mut closed_until = Instant::now();
        let (absent, mut absences) = tokio::sync::mpsc::unbounded_channel();
        loop {
            tokio::select! {
                _ = self.stopped.changed() => return,
                Some(until) = absences.recv() => closed_until = until,
                Ok((stream, _)) = listener.accept() => {
                    if Instant::now() < closed_until || stream.set_nodelay(true).is_err() {
                        continue;
                    }
                    let (server, absent) = (self.clone(), absent.clone());
                    tokio::spawn(async move {
                        let mut client = server.client();
                        if let After::Drop(pause) = server.talk(stream, &mut client).await {
                            let _ = absent.send(Instant::now() + pause);
                        }
                    });
                }
            }
        }
    }

    /// Serves a line that stays.
    async fn line(self, mut near: SerialStream) {
        let mut stopped = self.stopped.clone();
        // Whoever opens the line finds the status that the one before has left.
        let mut client = self.client();
        loop {
            tokio::select! {
                _ = stopped.changed() => return,
                after = self.clone().talk(&mut near, &mut client) => match after {
                    // A pulled cable: what is said meanwhile is lost.
                    After::Drop(pause) => {
                        tokio::time::sleep(pause).await;
                        let _ = near.clear(tokio_serial::ClearBuffer::Input);
                    }
                    _ => return,
                },
            }
        }
    }

    /// Hears and answers until the connection ends.
    async fn talk(self, mut stream: impl Stream, client: &mut ScpiClient) -> After {
        let mut stopped = self.stopped.clone();
        let (mut received, mut chunk) = (Vec::new(), vec![0; 64 * 1024]);
        let (mut late, mut last) = (Vec::new(), Vec::new());
        let end = self.terminator().bytes().last().copied().unwrap_or(b'\n');
        let mut waits = false;
        loop {
            let read = tokio::select! {
                _ = stopped.changed() => return After::Go,
                read = stream.read(&mut chunk) => read,
                () = tokio::time::sleep(LOOK), if waits => Ok(usize::MAX),
            };
            match read {
                Ok(0) | Err(_) => return After::Go,
                Ok(usize::MAX) => {}
                Ok(count) => {
                    received.extend_from_slice(&chunk[..count]);
                    // Without an end there is nothing new to be found, however long the beginning is.
                    if !waits && received.len() <= LONGEST && !chunk[..count].contains(&end) {
                        continue;
                    }
                }
            }
            let answer;
            (answer, waits) = self.answer(client, &mut received, waits);
            if answer.is_empty() {
                continue;
            }
            let pieces = match self.spoil(answer, client, &mut late, &mut last) {
                Ok(pieces) => pieces,
                Err(After::Deaf) => {
                    // Whoever waits here waits in vain, until it gives up; a line, which never closes, is deaf for a while.
                    let deaf = async { while stream.read(&mut chunk).await.is_ok_and(|count| 0 < count) {} };
                    if self.line {
                        let _ = tokio::time::timeout(DEAF, deaf).await;
                        return After::Drop(Duration::ZERO);
                    }
                    deaf.await;
                    return After::Go;
                }
                Err(after) => return after,
            };
            for (index, piece) in pieces.iter().enumerate() {
                if 0 < index {
                    tokio::time::sleep(SPLIT).await;
                }
                if let Some(baud) = self.baud {
                    // Ten symbols a byte: start, eight bits, stop.
                    tokio::time::sleep(Duration::from_secs_f64(10.0 * piece.len() as f64 / f64::from(baud))).await;
                }
                if stream.write_all(piece).await.is_err() || stream.flush().await.is_err() {
                    return After::Go;
                }
            }
        }
    }

    /// What its messages end with.
    fn terminator(&self) -> Terminator {
        self.instrument.lock().unwrap_or_else(PoisonError::into_inner).terminator()
    }

    /// Somebody who has just connected.
    fn client(&self) -> ScpiClient {
        self.instrument.lock().unwrap_or_else(PoisonError::into_inner).client()
    }

    /// What the whole messages received so far are answered with, and whether one of them `waits` for something to end: what comes
    /// behind it waits as well.
    fn answer(&self, client: &mut ScpiClient, received: &mut Vec<u8>, mut waits: bool) -> (Vec<u8>, bool) {
        let mut instrument = self.instrument.lock().unwrap_or_else(PoisonError::into_inner);
        let terminator = instrument.terminator();
        let (mut answers, mut done) = (Vec::new(), 0);
        loop {
            let answer = if waits {
                instrument.go_on(client)
            } else {
                let Some((message, count)) = first_message(&received[done..], terminator) else { break };
                done += count;
                instrument.message(client, message)
            };
            waits = answer.is_none();
            let Some(answer) = answer else { break };
            if !answer.is_empty() {
                answers.extend(answer);
                answers.extend_from_slice(terminator.bytes());
            }
        }
        received.drain(..done);
        if LONGEST < received.len() && !waits {
            received.clear();
            ScpiBox::overrun(client);
        }
        (answers, waits)
    }

    /// What goes wrong with an answer: the pieces that are sent, or how the connection ends.
    fn spoil(
        &self,
        mut answer: Vec<u8>,
        client: &mut ScpiClient,
        late: &mut Vec<u8>,
        last: &mut Vec<u8>,
    ) -> Result<Vec<Vec<u8>>, After> {
        let strikes = |fault| self.faults.strike(fault);
        self.ail(client)?;
        if strikes(Fault::NoReply) {
            return Ok(vec![]);
        }
        if strikes(Fault::LateReply) {
            late.extend(answer);
            return Ok(vec![]);
        }
        if strikes(Fault::JoinedReplies) {
            answer = [last.as_slice(), &answer].concat();
        }
        last.clone_from(&answer);
        if strikes(Fault::MissingTerminator) {
            answer.pop();
        }
        if strikes(Fault::WrongTerminator)
            && let Some(end) = answer.last_mut()
        {
            *end = b'\x00';
        }
        if strikes(Fault::WrongBlockLength) {
            lengthen(&mut answer);
        }
        answer = [std::mem::take(late), answer].concat();
        if strikes(Fault::BufferSizedBlock) {
            return Ok(answer.chunks(BUFFER).map(<[u8]>::to_vec).collect());
        }
        if strikes(Fault::SplitReply) {
            let tail = answer.split_off(answer.len() / 2);
            return Ok(vec![answer, tail]);
        }
        Ok(vec![answer])
    }

    /// What goes wrong with the box itself or its plug.
    fn ail(&self, client: &mut ScpiClient) -> Result<(), After> {
        let strikes = |fault| self.faults.strike(fault);
        let mut instrument = self.instrument.lock().unwrap_or_else(PoisonError::into_inner);
        if strikes(Fault::QueueOverflow) {
            ScpiBox::overflow(client);
        }
        if strikes(Fault::PowerCycle) {
            instrument.power_cycle();
            return Err(After::Drop(UNPLUGGED));
        }
        if strikes(Fault::FirmwareChange) {
            instrument.power_cycle();
            instrument.change_firmware();
            return Err(After::Drop(Duration::ZERO));
        }
        if strikes(Fault::Unplug) {
            return Err(After::Drop(UNPLUGGED));
        }
        if strikes(Fault::SecondClient) {
            // The other client takes the instrument over; on a line, it uses the same registers.
            drop(instrument.message(client, b"*ESE 255;*CLS"));
            return Err(After::Drop(Duration::ZERO));
        }
        if strikes(Fault::HalfOpen) {
            return Err(After::Deaf);
        }
        Ok(())
    }
}

/// Lets the first block of an answer say another length than it has.
fn lengthen(answer: &mut [u8]) {
    let Some(at) = answer.iter().position(|byte| *byte == b'#') else { return };
    let Some(digits) = answer.get(at + 1).and_then(|digit| digit.checked_sub(b'0')) else { return };
    if let Some(last) = answer.get_mut(at + 1 + usize::from(digits)) {
        *last = if *last == b'9' { b'8' } else { *last + 1 };
    }
}

#[cfg(test)]
pub(crate) mod tests;
