//! Serves an instrument that answers bytes with bytes on TCP or a pseudo-terminal, with the faults of wires. Several clients may be
//! connected at once: each is answered.

use std::io;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use drivers::Stream;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::runtime::Runtime;
use tokio::sync::oneshot;
use tokio::task::JoinSet;

use crate::{Fault, Faults, Pty};

/// The pause inside an answer that comes in two pieces.
const SPLIT: Duration = Duration::from_millis(2);

/// The piece of an answer that is cut by buffers: a USB full-speed bulk packet, in bytes (USB 2.0, 5.8.3).
const BUFFER: usize = 64;
/// How long a pulled cable stays out.
const UNPLUGGED: Duration = Duration::from_millis(40);
/// How long a line hears nothing whose other end is not there; a socket until whoever waits there gives up.
const DEAF: Duration = Duration::from_millis(300);
/// Bits on a line for each byte: a start bit, eight of data, a stop bit.
const BITS: f64 = 10.0;

/// A serial line: the path that leads to it, and its rate in baud where it has one.
#[derive(Debug, Clone)]
pub struct SerialLine {
    /// A stable link to the pseudo-terminal.
    pub link: PathBuf,
    /// Answers take as long as at this rate; none is as fast as it goes.
    pub baud: Option<u32>,
}

/// An instrument that answers bytes with bytes.
pub trait Answering: Send + 'static {
    /// What it knows of one connection.
    type Client: Default + Send + 'static;

    /// Takes the first message out of what has come over a connection. None while it is incomplete.
    fn hear(&mut self, client: &mut Self::Client, received: &[u8]) -> Option<Heard>;

    /// Switched off and on again: settings are gone.
    fn power_cycle(&mut self);
}

/// What an instrument makes of the first message that has come.
#[derive(Debug)]
pub struct Heard {
    /// How many bytes the message took: at least one.
    pub length: usize,
    /// What it answers; none is said to a message that wants no answer.
    pub answer: Option<Vec<u8>>,
    /// How long the work takes before the answer.
    pub work: Duration,
}

/// An instrument that several connections share.
type Shared<A> = Arc<Mutex<A>>;

/// A served instrument; dropping it switches it off.
#[derive(Debug)]
pub struct ByteServer {
    address: String,
    /// Its end ends the instrument.
    life: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl ByteServer {
    /// Serves `instrument` on any free port of this machine.
    pub fn start(instrument: impl Answering, faults: &Faults) -> io::Result<Self> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let listener = runtime.block_on(TcpListener::bind(("127.0.0.1", 0)))?;
        let address = format!("tcp://{}", listener.local_addr()?);
        let faults = faults.clone();
        let work = async move { accept(&listener, Arc::new(Mutex::new(instrument)), &faults).await };
        Self::run(runtime, address, work)
    }

    /// Serves `instrument` on a pseudo-terminal.
    pub fn start_on_line(instrument: impl Answering, line: &SerialLine, faults: &Faults) -> io::Result<Self> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let pty = {
            let _context = runtime.enter();
            Pty::open(&line.link)?
        };
        let address = format!("serial://{}?baud={}", line.link.display(), line.baud.unwrap_or(115_200));
        let (line, faults) = (line.clone(), faults.clone());
        let work = async move { stay(pty, &line, Arc::new(Mutex::new(instrument)), &faults).await };
        Self::run(runtime, address, work)
    }

    /// Does `work` in a thread until this is dropped.
    fn run(runtime: Runtime, address: String, work: impl Future<Output = ()> + Send + 'static) -> io::Result<Self> {
        let (life, end) = oneshot::channel::<()>();
        let work = move || {
            runtime.block_on(async {
                tokio::select! {
                    _ = end => {}
                    () = work => {}
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

async fn accept<A: Answering>(listener: &TcpListener, instrument: Shared<A>, faults: &Faults) {
    let mut clients = JoinSet::new();
    loop {
        // A controller that has gone again before it was let in is none.
        if let Ok((stream, _)) = listener.accept().await
            && stream.set_nodelay(true).is_ok()
        {
            let (instrument, faults) = (Arc::clone(&instrument), faults.clone());
            // A controller that goes away is no error of the instrument.
            clients.spawn(async move { converse(stream, None, &instrument, &faults).await });
        }
        while clients.try_join_next().is_some() {}
    }
}

/// Answers on a line, whose cable may be pulled and plugged in again.
async fn stay<A: Answering>(pty: Pty, line: &SerialLine, instrument: Shared<A>, faults: &Faults) {
    let mut plugged = Some(pty);
    // If the link cannot be made again, the instrument stays away, as a broken one would.
    while let Some(pty) = plugged.take() {
        let _ = converse(pty, Some(line), &instrument, faults).await;
        tokio::time::sleep(UNPLUGGED).await;
        plugged = Pty::open(&line.link).ok();
    }
}

/// Answers one controller until it goes, or the cable does.
async fn converse<A: Answering>(
    mut stream: impl Stream,
    line: Option<&SerialLine>,
    instrument: &Mutex<A>,
    faults: &Faults,
) -> io::Result<()> {
    let mut buffer = vec![0; 65_536];
    let (mut client, mut received) = (A::Client::default(), vec![]);
    let (mut late, mut last) = (vec![], vec![]);
    loop {
        let count = stream.read(&mut buffer).await?;
        if count == 0 {
            return Ok(());
        }
        received.extend(&buffer[..count]);
        loop {
            let heard = held(instrument).hear(&mut client, &received);
            let Some(heard) = heard else { break };
            received.drain(..heard.length);
            if !heard.work.is_zero() {
                tokio::time::sleep(heard.work).await;
            }
            let Some(answer) = heard.answer else { continue };
            if faults.strike(Fault::PowerCycle) {
                held(instrument).power_cycle();
                return Ok(());
            }
            // Another client that takes the instrument over shows as a connection that ends.
            if faults.strike(Fault::Unplug) || faults.strike(Fault::SecondClient) {
                return Ok(());
            }
            if faults.strike(Fault::HalfOpen) {
                let deaf = async { while stream.read(&mut buffer).await.is_ok_and(|count| 0 < count) {} };
                if line.is_some() {
                    return tokio::time::timeout(DEAF, deaf).await.or(Ok(()));
                }
                deaf.await;
                return Ok(());
            }
            let baud = line.and_then(|line| line.baud);
            send(&mut stream, &spoil(answer, &mut late, &mut last, faults), baud).await?;
        }
    }
}

fn held<A>(instrument: &Mutex<A>) -> MutexGuard<'_, A> {
    instrument.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Sends the pieces of an answer, with a pause between them, as fast as the line has it.
async fn send(stream: &mut impl Stream, pieces: &[Vec<u8>], baud: Option<u32>) -> io::Result<()> {
    for (index, piece) in pieces.iter().enumerate() {
        if 0 < index {
            tokio::time::sleep(SPLIT).await;
        }
        if let Some(baud) = baud {
            tokio::time::sleep(Duration::from_secs_f64(BITS * piece.len() as f64 / f64::from(baud))).await;
        }
        stream.write_all(piece).await?;
    }
    Ok(())
}

/// What goes wrong with an answer on its way: the pieces that are sent.
fn spoil(mut answer: Vec<u8>, late: &mut Vec<u8>, last: &mut Vec<u8>, faults: &Faults) -> Vec<Vec<u8>> {
    if faults.strike(Fault::NoReply) {
        return vec![];
    }
    if faults.strike(Fault::LateReply) {
        late.extend(answer);
        return vec![];
    }
    if faults.strike(Fault::JoinedReplies) {
        answer = [last.as_slice(), &answer].concat();
    }
    last.clone_from(&answer);
    if faults.strike(Fault::WrongTerminator)
        && let Some(end) = answer.last_mut()
    {
        *end ^= 0x55;
    }
    if faults.strike(Fault::MissingTerminator) {
        answer.pop();
    }
    if faults.strike(Fault::WrongBlockLength) {
        answer.remove(answer.len() / 2);
    }
    answer = [std::mem::take(late), answer].concat();
    if faults.strike(Fault::BufferSizedBlock) {
        return answer.chunks(BUFFER).map(<[u8]>::to_vec).collect();
    }
    if faults.strike(Fault::SplitReply) {
        let tail = answer.split_off(answer.len() / 2);
        return vec![answer, tail];
    }
    vec![answer]
}
