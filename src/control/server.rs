//! The control socket of a run folder: requests and replies of [`super::status`], one line of JSON each.
//!
//! Each client has a thread of its own, so a slow one delays nobody; the training thread is never waited for, but by who asks for
//! the safe state. Clients of a run that closes get its last status before the connection ends. The kernel says who a client is: only the
//! run's own user and root are heard.

use std::fs::Permissions;
use std::io::{BufRead, BufReader, ErrorKind, Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};

use crate::control::{Board, Reply, Request, RunState, Watcher};
use crate::{Error, log};

/// The name of the socket in the run folder.
pub const SOCKET: &str = "control.sock";
/// What a socket's address may take in bytes (`sun_path` of Linux, less its end).
const LONGEST_ADDRESS: usize = 107;
/// Clients at a time.
const MOST_CLIENTS: usize = 32;
/// A request is shorter than this.
const LONGEST_LINE: u64 = 4096;
/// A client that takes nothing for so long is let go.
const PATIENCE: Duration = Duration::from_secs(2);
/// How often a client that is not watched for is looked at.
const LOOK: Duration = Duration::from_millis(100);
/// The same for who waits for clients.
const LOOK_AGAIN: Timespec = Timespec { tv_sec: 0, tv_nsec: 100_000_000 };
/// Lines a second at most, whoever asks.
const FASTEST: u32 = 60;

/// Connects to the run in `folder`.
pub fn connect(folder: &Path) -> std::io::Result<UnixStream> {
    with_address(folder, |address| UnixStream::connect(address))
}

/// Calls `work` with an address of the socket that is short enough, however long the folder's name.
fn with_address<T>(folder: &Path, work: impl FnOnce(&Path) -> std::io::Result<T>) -> std::io::Result<T> {
    let direct = folder.join(SOCKET);
    if direct.as_os_str().len() <= LONGEST_ADDRESS {
        return work(&direct);
    }
    // An opened folder has a short name as well.
    let opened = std::fs::File::open(folder)?;
    let number = std::os::fd::AsRawFd::as_raw_fd(&opened);
    work(&PathBuf::from(format!("/proc/self/fd/{number}/{SOCKET}")))
}

/// The control socket of a run, until it is dropped.
#[derive(Debug)]
pub struct Server {
    folder: PathBuf,
    closing: Arc<AtomicBool>,
    clients: Arc<AtomicUsize>,
    thread: Option<JoinHandle<()>>,
}

impl Server {
    /// Opens the socket of the run in `folder`. A socket that nobody answers any more is replaced.
    pub fn open(folder: &Path, board: &Arc<Board>) -> Result<Self, Error> {
        let path = folder.join(SOCKET);
        if path.exists() {
            if connect(folder).is_ok() {
                let message = "answers: another process runs this run. Stop it first, or `pnnlab watch` it".to_owned();
                return Err(Error::Record { path, message });
            }
            std::fs::remove_file(&path).map_err(Error::record(&path, "is left over and cannot be removed"))?;
        }
        let listener = with_address(folder, |address| UnixListener::bind(address))
            .map_err(Error::record(&path, "cannot be opened for control"))?;
        // Where the folder lets others in, they do not get further than here.
        std::fs::set_permissions(&path, Permissions::from_mode(0o600))
            .map_err(Error::record(&path, "cannot be kept from other users"))?;
        let (closing, clients) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
        let accept = {
            let (board, closing, clients, log) = (board.clone(), closing.clone(), clients.clone(), log::current());
            move || {
                let _log = log::adopt(log);
                accept(&listener, &board, &closing, &clients);
            }
        };
        let thread = std::thread::Builder::new()
            .name("control".into())
            .spawn(accept)
            .map_err(Error::record(&path, "cannot be served"))?;
        Ok(Self { folder: folder.to_owned(), closing, clients, thread: Some(thread) })
    }
}

/// Clients get the last status, then the socket is gone.
impl Drop for Server {
    fn drop(&mut self) {
        self.closing.store(true, Ordering::SeqCst);
        // Whoever waits for a client wakes up by one, at once where the socket is still there.
        drop(connect(&self.folder));
        if let Some(thread) = self.thread.take() {
            drop(thread.join());
        }
        drop(std::fs::remove_file(self.folder.join(SOCKET)));
        let bound = Instant::now() + PATIENCE;
        while self.clients.load(Ordering::SeqCst) > 0 && Instant::now() < bound {
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}

fn accept(listener: &UnixListener, board: &Arc<Board>, closing: &Arc<AtomicBool>, clients: &Arc<AtomicUsize>) {
    loop {
        // Whoever closes need not reach the socket by its name: it is looked at again and again.
        let someone = poll(&mut [PollFd::new(listener, PollFlags::IN)], Some(&LOOK_AGAIN));
        if closing.load(Ordering::SeqCst) {
            return;
        }
        if !matches!(someone, Ok(1..)) {
            continue;
        }
        let Ok((stream, _)) = listener.accept() else {
            // Such as too many open files: try again, not at once.
            std::thread::sleep(LOOK);
            continue;
        };
        if !drivers::peer(&stream).is_ok_and(|peer| peer.is_trusted()) {
            let message = "only the user of this run, and root, may ask it".to_owned();
            drop(send(&stream, &Reply::Refused { message }));
            continue;
        }
        if clients.load(Ordering::SeqCst) >= MOST_CLIENTS {
            let message = format!("{MOST_CLIENTS} clients are connected already: close one");
            drop(send(&stream, &Reply::Refused { message }));
            continue;
        }
        clients.fetch_add(1, Ordering::SeqCst);
        let seat = Seat(clients.clone());
        let (board, closing) = (board.clone(), closing.clone());
        let log = log::current();
        let served = std::thread::Builder::new().name("control client".into()).spawn(move || {
            let _log = log::adopt(log);
            // A client that is gone ends its own connection only.
            drop(serve(&stream, &board, &closing));
            drop(seat);
        });
        drop(served);
    }
}

/// One of the clients that may be connected.
struct Seat(Arc<AtomicUsize>);

impl Drop for Seat {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

/// Answers one client until it goes, or the run is closed.
fn serve(stream: &UnixStream, board: &Arc<Board>, closing: &AtomicBool) -> std::io::Result<()> {
    stream.set_write_timeout(Some(PATIENCE))?;
    let mut lines = BufReader::new(stream.try_clone()?);
    let mut line = Vec::new();
    let mut watch: Option<(Duration, Instant, Watcher)> = None;
    loop {
        let closed = closing.load(Ordering::SeqCst) || matches!(board.control().state(), RunState::Closed(_));
        if let Some((period, next, _)) = &mut watch
            && (closed || *next <= Instant::now())
        {
            send(stream, &Reply::Status(Box::new(board.status())))?;
            *next = Instant::now() + *period;
        }
        if closed {
            return Ok(());
        }
        let until = watch.as_ref().map_or(LOOK, |(_, next, _)| next.saturating_duration_since(Instant::now()));
        stream.set_read_timeout(Some(until.clamp(Duration::from_millis(1), LOOK)))?;
        let room = LONGEST_LINE.saturating_sub(line.len() as u64);
        match lines.by_ref().take(room).read_until(b'\n', &mut line) {
            Ok(0) if room > 0 => return Ok(()),
            Ok(_) if line.last() != Some(&b'\n') && line.len() as u64 >= LONGEST_LINE => {
                let message = format!("a request has fewer than {LONGEST_LINE} bytes and ends with a line feed");
                return send(stream, &Reply::Refused { message });
            }
            Ok(_) if line.last() != Some(&b'\n') => return Ok(()),
            Ok(_) => {
                let request = serde_json::from_slice::<Request>(&line);
                line.clear();
                if let Ok(Request::Watch { rate }) = request {
                    let period = Duration::from_secs(1) / rate.clamp(1, FASTEST);
                    watch = Some((period, Instant::now(), board.watch()));
                } else {
                    send(stream, &answer(request, board))?;
                }
            }
            Err(error)
                if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut | ErrorKind::Interrupted) => {}
            Err(error) => return Err(error),
        }
    }
}

/// The answer to one request that is not to watch.
fn answer(request: Result<Request, serde_json::Error>, board: &Arc<Board>) -> Reply {
    match request {
        Ok(Request::Status) => Reply::Status(Box::new(board.status())),
        Ok(Request::Acknowledge { alarm }) => match board.acknowledge(alarm) {
            Ok(()) => Reply::Done { state: board.control().state() },
            Err(message) => Reply::Refused { message },
        },
        Ok(request) => {
            tracing::info!("asked over the socket: {request:?}");
            board.control().request(&request)
        }
        Err(error) => {
            Reply::Refused { message: format!("is not a request: {error}. Such as {{\"command\":\"pause\"}}") }
        }
    }
}

fn send(mut stream: &UnixStream, reply: &Reply) -> std::io::Result<()> {
    let mut line = serde_json::to_vec(reply)?;
    line.push(b'\n');
    stream.write_all(&line)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::control::{Control, Heading, Viewer};
    use crate::event::Severity;
    use crate::stop::StopReason;

    fn board() -> Arc<Board> {
        Board::new(Heading { steps: 8, ..Heading::default() }, Control::new(), Arc::new(Viewer::new(vec![])))
    }

    /// Sends lines and reads as many replies.
    fn ask(folder: &Path, lines: &[&str]) -> Vec<Reply> {
        let mut stream = connect(folder).unwrap();
        let mut replies = BufReader::new(stream.try_clone().unwrap()).lines();
        lines
            .iter()
            .map(|line| {
                writeln!(stream, "{line}").unwrap();
                serde_json::from_str(&replies.next().unwrap().unwrap()).unwrap()
            })
            .collect()
    }

    #[test]
    fn requests_are_answered_line_by_line() {
        let folder = tempfile::tempdir().unwrap();
        let board = board();
        let _server = Server::open(folder.path(), &board).unwrap();
        let mode = std::fs::metadata(folder.path().join(SOCKET)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "other users cannot connect");
        board.raise("drift", Severity::Minor, "the reference moved".into(), false);
        let replies = ask(
            folder.path(),
            &[
                r#"{"command":"status"}"#,
                "nonsense",
                r#"{"command":"pause"}"#,
                r#"{"command":"acknowledge","alarm":9}"#,
                r#"{"command":"acknowledge","alarm":1}"#,
            ],
        );
        let Reply::Status(status) = &replies[0] else { panic!("{replies:?}") };
        assert_eq!((status.training.steps, status.alarms.len()), (8, 1));
        assert!(matches!(&replies[1], Reply::Refused { message } if message.contains("is not a request")));
        assert_eq!(replies[2], Reply::Done { state: RunState::Paused });
        assert!(matches!(&replies[3], Reply::Refused { message } if message.contains("no alarm 9")));
        assert!(matches!(replies[4], Reply::Done { .. }));
        assert_eq!(ask(folder.path(), &[&"x".repeat(5000)]).len(), 1, "too long a line is refused");
    }

    #[test]
    fn a_watcher_gets_the_end_and_a_second_server_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        // Longer than an address may be.
        let folder = folder.path().join("x".repeat(120));
        std::fs::create_dir(&folder).unwrap();
        std::fs::write(folder.join(SOCKET), "left over").unwrap();
        let board = board();
        let server = Server::open(&folder, &board).unwrap();
        assert!(Server::open(&folder, &board).unwrap_err().to_string().contains("another process"));
        let mut stream = connect(&folder).unwrap();
        stream.write_all(b"{\"command\":\"watch\",\"rate\":50}\n{\"command\":\"sta").unwrap();
        let mut lines = BufReader::new(stream.try_clone().unwrap()).lines();
        let first = lines.next().unwrap().unwrap();
        assert!(first.contains("\"reply\":\"status\""), "{first}");
        stream.write_all(b"tus\"}\n").unwrap();
        board.control().enter(RunState::Closed(StopReason::Finished));
        drop(server);
        let last = lines.map(Result::unwrap).last().unwrap();
        let Reply::Status(status) = serde_json::from_str(&last).unwrap() else { panic!("{last}") };
        assert_eq!(status.state, RunState::Closed(StopReason::Finished));
        assert!(!folder.join(SOCKET).exists());
    }
}
