//! A small server for short answers by HTTP: `GET` in, text out, everything bounded.
//!
//! A client has [`PATIENCE`] in all, a request [`LONGEST_HEAD`] bytes, and there are [`MOST_CLIENTS`] at a time; each connection is answered
//! once and closed. So a client that hangs, floods or reads nothing costs one thread for a moment, and whoever drops the server waits for
//! none of them.

use std::io::{Error, ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};

/// All that a client may take, from its connection to the end of its answer.
const PATIENCE: Duration = Duration::from_secs(5);
/// The longest request line with its headers, in bytes.
const LONGEST_HEAD: usize = 8192;
/// Clients at a time.
const MOST_CLIENTS: usize = 16;
/// What a client may still send when it was answered, in bytes: a connection that is closed with something unread is reset, which
/// may take the answer with it.
const MOST_UNREAD: usize = 65_536;
/// Who waits for clients looks so often whether it is over.
const LOOK: Timespec = Timespec { tv_sec: 0, tv_nsec: 50_000_000 };

/// What is answered to a path: the status code and the text.
pub type Answer = dyn Fn(&str) -> (u16, String) + Send + Sync;

/// A server until it is dropped.
#[derive(Debug)]
pub struct HttpServer {
    closing: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl HttpServer {
    /// Answers at `listener`, by `answer`.
    pub fn start(listener: TcpListener, answer: Arc<Answer>) -> std::io::Result<Self> {
        // Whoever is gone again before it is let in must not keep anybody waiting.
        listener.set_nonblocking(true)?;
        let closing = Arc::new(AtomicBool::new(false));
        let ends = closing.clone();
        let thread =
            std::thread::Builder::new().name("metrics".into()).spawn(move || accept(&listener, &answer, &ends))?;
        Ok(Self { closing, thread: Some(thread) })
    }
}

impl Drop for HttpServer {
    fn drop(&mut self) {
        self.closing.store(true, Ordering::SeqCst);
        if let Some(thread) = self.thread.take() {
            drop(thread.join());
        }
    }
}

/// One of the clients that may be connected.
struct Seat(Arc<AtomicUsize>);

impl Drop for Seat {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

fn accept(listener: &TcpListener, answer: &Arc<Answer>, closing: &AtomicBool) {
    let clients = Arc::new(AtomicUsize::new(0));
    while !closing.load(Ordering::SeqCst) {
        if !matches!(poll(&mut [PollFd::new(listener, PollFlags::IN)], Some(&LOOK)), Ok(1..)) {
            continue;
        }
        let stream = match listener.accept() {
            Ok((stream, _)) => stream,
            Err(error) if error.kind() == ErrorKind::WouldBlock => continue,
            Err(_) => {
                // Such as too many open files: try again, not at once.
                std::thread::sleep(Duration::from_millis(50));
                continue;
            }
        };
        // One more than there is room for is let go; it may come again.
        if MOST_CLIENTS <= clients.load(Ordering::SeqCst) {
            continue;
        }
        clients.fetch_add(1, Ordering::SeqCst);
        let (seat, answer) = (Seat(clients.clone()), answer.clone());
        let serve = move || {
            // A client that is gone or too slow ends its own connection only.
            drop(serve(stream, &*answer));
            drop(seat);
        };
        drop(std::thread::Builder::new().name("metrics client".into()).spawn(serve));
    }
}

fn serve(mut stream: TcpStream, answer: &Answer) -> std::io::Result<()> {
    let until = Instant::now() + PATIENCE;
    stream.set_nonblocking(false)?;
    let head = read_head(&mut stream, until)?;
    let (code, text, with_body) = match head.as_deref().map(request) {
        Some(Some((method @ ("GET" | "HEAD"), path))) => {
            let (code, text) = answer(path);
            (code, text, method == "GET")
        }
        Some(Some(_)) => (405, "GET and HEAD are answered here\n".to_owned(), true),
        Some(None) => (400, "is not a request of HTTP\n".to_owned(), true),
        None => (431, format!("a request and its headers have at most {LONGEST_HEAD} bytes\n"), true),
    };
    let mut bytes = format!(
        "HTTP/1.1 {code} {}\r\nContent-Type: text/plain; version=0.0.4; charset=utf-8\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
        reason(code),
        text.len()
    )
    .into_bytes();
    if with_body {
        bytes.extend_from_slice(text.as_bytes());
    }
    write(&mut stream, &bytes, until)?;
    stream.shutdown(Shutdown::Write)?;
    let (mut buffer, mut unread) = ([0; 4096], 0);
    while unread < MOST_UNREAD {
        stream.set_read_timeout(Some(left(until)?))?;
        match stream.read(&mut buffer)? {
            0 => break,
            count => unread += count,
        }
    }
    Ok(())
}

/// The request line and the headers; none if they are too long.
fn read_head(stream: &mut TcpStream, until: Instant) -> std::io::Result<Option<Vec<u8>>> {
    let mut head = Vec::new();
    let mut buffer = [0; 1024];
    loop {
        stream.set_read_timeout(Some(left(until)?))?;
        let count = stream.read(&mut buffer)?;
        if count == 0 {
            return Err(ErrorKind::UnexpectedEof.into());
        }
        let looked = head.len().saturating_sub(3);
        head.extend_from_slice(&buffer[..count]);
        let end = |mark: &[u8]| head[looked..].windows(mark.len()).any(|bytes| bytes == mark);
        if end(b"\r\n\r\n") || end(b"\n\n") {
            return Ok(Some(head));
        }
        if LONGEST_HEAD <= head.len() {
            return Ok(None);
        }
    }
}

/// Method and path of a request; none if it is none.
fn request(head: &[u8]) -> Option<(&str, &str)> {
    let line = head.split(|byte| *byte == b'\n').next()?;
    let mut words = std::str::from_utf8(line).ok()?.trim_end().split(' ');
    let (method, target, version) = (words.next()?, words.next()?, words.next()?);
    if !version.starts_with("HTTP/1.") || words.next().is_some() {
        return None;
    }
    // A proxy sends the whole address.
    let path = match target.strip_prefix("http://") {
        Some(rest) => rest.find('/').map_or("/", |at| &rest[at..]),
        None => target,
    };
    Some((method, path.split('?').next().unwrap_or(path)))
}

fn reason(code: u16) -> &'static str {
    match code {
        200 => "OK",
        400 => "Bad Request",
        404 => "Not Found",
        405 => "Method Not Allowed",
        431 => "Request Header Fields Too Large",
        _ => "Error",
    }
}

/// Writes all of it; a client that takes a byte now and then has no more time than another.
fn write(stream: &mut TcpStream, mut bytes: &[u8], until: Instant) -> std::io::Result<()> {
    while !bytes.is_empty() {
        stream.set_write_timeout(Some(left(until)?))?;
        match stream.write(bytes)? {
            0 => return Err(ErrorKind::WriteZero.into()),
            count => bytes = &bytes[count..],
        }
    }
    Ok(())
}

/// The time until then; an error when it has come.
fn left(until: Instant) -> std::io::Result<Duration> {
    let left = until.saturating_duration_since(Instant::now());
    if left.is_zero() { Err(Error::from(ErrorKind::TimedOut)) } else { Ok(left) }
}

/// A port that was taken, and its address.
pub fn bind(address: SocketAddr) -> std::io::Result<(TcpListener, SocketAddr)> {
    let listener = TcpListener::bind(address)?;
    let address = listener.local_addr()?;
    Ok((listener, address))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn server() -> (HttpServer, SocketAddr) {
        let (listener, address) = bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let answer =
            |path: &str| if path == "/long" { (200, "x".repeat(1 << 26)) } else { (200, format!("at {path}")) };
        (HttpServer::start(listener, Arc::new(answer)).unwrap(), address)
    }

    fn ask(address: SocketAddr, request: &[u8]) -> String {
        let mut stream = TcpStream::connect(address).unwrap();
        let mut answer = String::new();
        stream.write_all(request).unwrap();
        stream.read_to_string(&mut answer).unwrap();
        answer
    }

    #[test]
    fn requests_are_answered_once_each_and_others_refused() {
        let (_server, address) = server();
        let answer = ask(address, b"GET /a?b=c HTTP/1.1\r\nHost: x\r\n\r\nGET /second HTTP/1.1\r\n\r\n");
        assert!(
            answer.starts_with("HTTP/1.1 200 OK\r\n") && answer.ends_with("Connection: close\r\n\r\nat /a"),
            "{answer}"
        );
        assert!(answer.contains("Content-Length: 5\r\n"), "{answer}");
        assert!(ask(address, b"GET http://host:9/a HTTP/1.0\n\n").ends_with("at /a"));
        assert!(ask(address, b"HEAD /a HTTP/1.1\r\n\r\n").ends_with("close\r\n\r\n"));
        assert!(ask(address, b"POST /a HTTP/1.1\r\n\r\n").starts_with("HTTP/1.1 405"));
        assert!(ask(address, b"nonsense\r\n\r\n").starts_with("HTTP/1.1 400"));
        assert!(ask(address, b"GET / HTTP/1.1\xff\r\n\r\n").starts_with("HTTP/1.1 400"));
    }

    #[test]
    fn headers_without_end_are_not_kept() {
        let (_server, address) = server();
        let mut stream = TcpStream::connect(address).unwrap();
        stream.write_all(b"GET / HTTP/1.1\r\n").unwrap();
        // It is refused and let go long before it has sent all of this.
        let mut sent = 0;
        while sent < 1 << 30 && stream.write_all(&[b'x'; 4096]).is_ok() {
            sent += 4096;
        }
        assert!(sent < 1 << 30, "it was listened to for {sent} bytes");
    }

    #[test]
    fn clients_that_hang_keep_nobody_from_the_end() {
        let (server, address) = server();
        // Some say nothing, some ask for much and read none of it, more than there are seats.
        let hanging: Vec<TcpStream> = (0..2 * MOST_CLIENTS)
            .map(|number| {
                let mut stream = TcpStream::connect(address).unwrap();
                if number % 2 == 0 {
                    let _ = stream.write_all("GET /long HTTP/1.1\r\n\r\n".repeat(100).as_bytes());
                }
                stream
            })
            .collect();
        let start = Instant::now();
        drop(server);
        assert!(start.elapsed() < PATIENCE, "it waits for no client");
        drop(hanging);
    }
}
