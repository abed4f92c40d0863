//! A simulated pnnlink instrument on a real wire: pseudo-terminal or TCP, with a line rate and with faults.

use std::collections::BTreeMap;
use std::io;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::task::AbortHandle;

use super::Firmware;
use super::mishaps::{After, Mishaps, Piece};
use crate::{Faults, Pty};

/// How often the instrument looks at its clock: its watchdog is as exact as that.
const TICK: Duration = Duration::from_millis(2);
/// How long a pulled cable stays out.
const UNPLUGGED: Duration = Duration::from_millis(40);
/// How long the other end of a serial line is gone when it goes without a word.
const MUTE: Duration = Duration::from_millis(400);
/// How long a line goes on by itself: 4,096 bytes that a terminal's buffer holds, at 921,600 baud.
const BUFFERED: Duration = Duration::from_millis(44);
/// Bits on the line for each byte: a start bit, eight of data, a stop bit.
const BITS: f64 = 10.0;

/// Where an instrument is served.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    /// On this TCP port of this machine; 0 takes any free one.
    Tcp(u16),
    /// On a pseudo-terminal that is reached by this path.
    Pty(PathBuf),
}

/// What can be seen of a served instrument from outside its wire.
#[derive(Debug, Clone, Default)]
pub struct ServedReport {
    /// Whether its outputs are off.
    pub is_safe: bool,
    /// Since when.
    pub safe_since: Option<Instant>,
    /// Shots that the bench has really seen.
    pub driven: u64,
    /// How often its watchdog has made it safe.
    pub watchdog_trips: u32,
    /// The largest step that a control has made at once since it was last safe, in its unit.
    pub largest_step: f32,
}

/// A served instrument; dropping it switches it off.
#[derive(Debug)]
pub struct Served {
    address: String,
    /// Its end ends the instrument.
    life: Option<UnboundedSender<()>>,
    report: Arc<Mutex<ServedReport>>,
    thread: Option<JoinHandle<()>>,
}

impl Served {
    /// Serves an instrument at `place`, with a line rate in baud if there is one, and with faults.
    pub fn start(firmware: Firmware, place: Place, baud: Option<u32>, faults: &Faults) -> io::Result<Self> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let (life, end) = unbounded_channel();
        let (sender, events) = unbounded_channel();
        let (wire, address) = {
            let _context = runtime.enter();
            open(place)?
        };
        let report = Arc::new(Mutex::new(ServedReport { is_safe: true, ..ServedReport::default() }));
        let server = Server {
            firmware,
            wire,
            baud,
            mishaps: Mishaps::new(faults.clone()),
            connections: BTreeMap::new(),
            last: 0,
            sender,
            report: Arc::clone(&report),
            start: Instant::now(),
        };
        let thread = std::thread::Builder::new()
            .name(format!("instrument {address}"))
            .spawn(move || runtime.block_on(server.run(events, end)))?;
        Ok(Self { address, life: Some(life), report, thread: Some(thread) })
    }

    /// Its address, as a rig file has it.
    pub fn address(&self) -> &str {
        &self.address
    }

    /// What can be seen of it now.
    pub fn report(&self) -> ServedReport {
        self.report.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        self.life = None;
        if let Some(thread) = self.thread.take() {
            // A panic in there has shown as an instrument that fell silent.
            let _ = thread.join();
        }
    }
}

/// What the instrument listens on.
enum Wire {
    Tcp(TcpListener),
    Pty(PathBuf, Option<Pty>),
}

fn open(place: Place) -> io::Result<(Wire, String)> {
    match place {
        Place::Tcp(port) => {
            let listener = std::net::TcpListener::bind(("127.0.0.1", port))?;
            listener.set_nonblocking(true)?;
            let port = listener.local_addr()?.port();
            Ok((Wire::Tcp(TcpListener::from_std(listener)?), format!("tcp://127.0.0.1:{port}")))
        }
        Place::Pty(link) => {
            let pty = Pty::open(&link)?;
            let address = link.display().to_string();
            Ok((Wire::Pty(link, Some(pty)), address))
        }
    }
}

/// What happens on the wires.
enum Event {
    Bytes(u64, Vec<u8>),
    Closed(u64),
}

/// One controller's end.
struct Connection {
    deframer: drivers::pnnlink::frame::Deframer,
    outgoing: UnboundedSender<Piece>,
    tasks: [AbortHandle; 2],
    mute_until: Option<Instant>,
}

struct Server {
    firmware: Firmware,
    wire: Wire,
    baud: Option<u32>,
    mishaps: Mishaps,
    connections: BTreeMap<u64, Connection>,
    last: u64,
    sender: UnboundedSender<Event>,
    report: Arc<Mutex<ServedReport>>,
    start: Instant,
}

impl Server {
    /// Serves until its life ends.
    async fn run(mut self, mut events: UnboundedReceiver<Event>, mut end: UnboundedReceiver<()>) {
        let mut ticks = tokio::time::interval(TICK);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Skip);
        self.plug_in();
        loop {
            tokio::select! {
                accepted = accept(&self.wire) => self.connect(accepted),
                Some(event) = events.recv() => self.happen(event).await,
                _ = end.recv() => break,
                _ = ticks.tick() => {
                    self.firmware.tick(self.start.elapsed());
                    if let Some((id, piece)) = self.mishaps.release() {
                        self.send(id, piece);
                    }
                }
            }
            self.publish();
        }
        self.unplug();
    }

    /// Takes a controller in.
    fn connect(&mut self, accepted: io::Result<TcpStream>) {
        // A controller that has gone again before it was let in is none.
        if let Ok(stream) = accepted
            && stream.set_nodelay(true).is_ok()
        {
            self.attach(stream);
        }
    }

    /// Reads and writes a stream from now on.
    fn attach(&mut self, stream: impl AsyncRead + AsyncWrite + Send + 'static) {
        self.last += 1;
        let id = self.last;
        let (reader, writer) = tokio::io::split(stream);
        let (outgoing, pieces) = unbounded_channel();
        let tasks = [
            tokio::spawn(read(reader, id, self.baud, self.sender.clone())).abort_handle(),
            tokio::spawn(write(writer, self.baud, pieces)).abort_handle(),
        ];
        let connection = Connection { deframer: Firmware::deframer(), outgoing, tasks, mute_until: None };
        self.connections.insert(id, connection);
    }

    async fn happen(&mut self, event: Event) {
        match event {
            Event::Closed(id) => self.hang_up(id),
            Event::Bytes(id, bytes) => {
                let Some(connection) = self.connections.get_mut(&id) else { return };
                if connection.mute_until.is_some_and(|until| Instant::now() < until) {
                    return;
                }
                let bytes = self.mishaps.receive(bytes);
                let frames = self.firmware.receive(self.start.elapsed(), &mut connection.deframer, &bytes);
                for frame in frames {
                    self.reply(id, frame).await;
                }
            }
        }
    }

    /// Sends one answer, or what a fault makes of it.
    async fn reply(&mut self, id: u64, frame: Vec<u8>) {
        let (pieces, after) = self.mishaps.apply(id, frame);
        for piece in pieces {
            self.send(id, piece);
        }
        self.follow(id, after).await;
    }

    async fn follow(&mut self, id: u64, after: After) {
        match after {
            After::Nothing => {}
            After::Mute => {
                let until = match self.wire {
                    Wire::Tcp(..) => Instant::now() + Duration::from_hours(24),
                    Wire::Pty(..) => Instant::now() + MUTE,
                };
                if let Some(connection) = self.connections.get_mut(&id) {
                    connection.mute_until = Some(until);
                }
            }
            After::Unplug => self.replug().await,
            After::PowerCycle { new_firmware } => {
                self.firmware.power_cycle(self.start.elapsed(), new_firmware);
                self.replug().await;
            }
        }
    }

    fn send(&self, id: u64, piece: Piece) {
        if let Some(connection) = self.connections.get(&id) {
            // A controller that has gone wants no answer.
            let _ = connection.outgoing.send(piece);
        }
    }

    /// The cable out and in again.
    async fn replug(&mut self) {
        self.unplug();
        tokio::time::sleep(UNPLUGGED).await;
        self.plug_in();
    }

    fn plug_in(&mut self) {
        if let Wire::Pty(link, pty) = &mut self.wire {
            // If the link cannot be made again, the instrument stays away, as a broken one would.
            let opened = pty.take().map_or_else(|| Pty::open(link), Ok);
            if let Ok(pty) = opened {
                self.attach(pty);
            }
        }
    }

    fn unplug(&mut self) {
        for id in self.connections.keys().copied().collect::<Vec<_>>() {
            self.hang_up(id);
        }
        self.mishaps.forget();
    }

    fn hang_up(&mut self, id: u64) {
        if let Some(connection) = self.connections.remove(&id) {
            connection.tasks.iter().for_each(AbortHandle::abort);
        }
    }

    fn publish(&self) {
        let mut report = self.report.lock().unwrap_or_else(PoisonError::into_inner);
        let is_safe = self.firmware.is_safe();
        if is_safe != report.is_safe || report.safe_since.is_none() {
            report.safe_since = is_safe.then(Instant::now);
        }
        report.is_safe = is_safe;
        report.driven = self.firmware.driven();
        report.watchdog_trips = self.firmware.watchdog_trips();
        report.largest_step = self.firmware.largest_step();
    }
}

/// The next controller; a pseudo-terminal has its one already.
async fn accept(wire: &Wire) -> io::Result<TcpStream> {
    match wire {
        Wire::Tcp(listener) => listener.accept().await.map(|(stream, _)| stream),
        Wire::Pty(..) => std::future::pending().await,
    }
}

/// How many bytes go at once, so that the line rate is kept from one tick of the clock to the next.
fn chunk(baud: Option<u32>) -> usize {
    baud.map_or(16_384, |baud| ((f64::from(baud) / BITS * 0.002) as usize).max(1))
}

/// When the line is free again.
struct Line {
    baud: Option<u32>,
    free: tokio::time::Instant,
}

impl Line {
    fn new(baud: Option<u32>) -> Self {
        Self { baud, free: tokio::time::Instant::now() }
    }

    /// Nothing was waiting to be carried: the line has been idle until now.
    fn rest(&mut self) {
        self.free = self.free.max(tokio::time::Instant::now());
    }

    /// Waits as long as `bytes` are on the line.
    async fn carry(&mut self, bytes: usize) {
        if let Some(baud) = self.baud {
            // A line goes on while this program waits for its turn, as far as the system's buffer lasts.
            let earliest = tokio::time::Instant::now().checked_sub(BUFFERED).unwrap_or(self.free);
            let start = self.free.max(earliest);
            self.free = start + Duration::from_secs_f64(bytes as f64 * BITS / f64::from(baud));
            // The clock of the runtime ticks in milliseconds: short waits are saved up.
            if Duration::from_millis(2) < self.free - tokio::time::Instant::now() {
                tokio::time::sleep_until(self.free - Duration::from_millis(1)).await;
            }
        }
    }
}

/// Reads a stream until it ends.
async fn read(mut reader: impl AsyncRead + Unpin, id: u64, baud: Option<u32>, events: UnboundedSender<Event>) {
    let mut buffer = vec![0; chunk(baud)];
    let mut line = Line::new(baud);
    loop {
        // Bytes that were there already have been on the line while this program waited for its turn.
        let waiting = tokio::select! {
            biased;
            read = reader.read(&mut buffer) => Some(read),
            () = std::future::ready(()) => None,
        };
        let read = if let Some(read) = waiting {
            read
        } else {
            let read = reader.read(&mut buffer).await;
            line.rest();
            read
        };
        match read {
            Ok(count) if 0 < count => {
                line.carry(count).await;
                if events.send(Event::Bytes(id, buffer[..count].to_vec())).is_err() {
                    return;
                }
            }
            _ => break,
        }
    }
    // The server may have ended first.
    let _ = events.send(Event::Closed(id));
}

/// Writes pieces one after another.
async fn write(mut writer: impl AsyncWrite + Unpin, baud: Option<u32>, mut pieces: UnboundedReceiver<Piece>) {
    let mut line = Line::new(baud);
    loop {
        let piece = if let Ok(piece) = pieces.try_recv() {
            piece
        } else {
            let Some(piece) = pieces.recv().await else { return };
            line.rest();
            piece
        };
        let Piece { pause, bytes } = piece;
        if !pause.is_zero() {
            tokio::time::sleep(pause).await;
        }
        for part in bytes.chunks(chunk(baud)) {
            if writer.write_all(part).await.is_err() {
                return;
            }
            line.carry(part.len()).await;
        }
    }
}
