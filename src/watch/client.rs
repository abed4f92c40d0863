//! The other end of a run's control socket: receives its status again and again.
//!
//! A thread holds the connection and makes it anew by itself, with growing pauses, for as long as it is wanted.

use std::io::{BufRead, BufReader, ErrorKind, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender};
use std::time::{Duration, Instant};

use super::ask::reason;
use super::connection::Connection;
use super::holder::Holder;
use super::news::News;
use crate::control::{Reply, Request, RunState, connect};
use crate::record::unix_seconds;

/// Statuses a second that are asked for.
const RATE: u32 = 10;
/// A connection that says nothing for so long is made anew.
const SILENCE: Duration = Duration::from_secs(3);
/// How often the thread looks whether it is still wanted.
const LOOK: Duration = Duration::from_millis(250);
/// The longest pause between two tries.
const LONGEST_PAUSE: Duration = Duration::from_secs(2);
/// A status is shorter than this: thousands of ports in decimal numbers.
const LONGEST_LINE: usize = 16 << 20;

/// Receives the status of the run in `folder` until `wanted` is closed, and tells `news`; `key` says which opening it is.
pub fn watch(folder: &Path, key: u64, news: &Sender<News>, wanted: &Receiver<()>) {
    let (mut since, mut tries, mut pause) = (unix_seconds(), 0, LOOK);
    loop {
        let error = match receive((folder, key), news, wanted) {
            Ok(Ended::Unwanted) => return,
            Ok(Ended::Closed) => {
                drop(news.send(News::Connection(key, Connection::Over)));
                return;
            }
            Ok(Ended::Broken { heard: true }) => {
                (since, tries, pause) = (unix_seconds(), 0, LOOK);
                "the connection ended".to_owned()
            }
            Ok(Ended::Broken { heard: false }) => "the connection ended".to_owned(),
            Err(error) => reason(&error),
        };
        tries += 1;
        let (gone, why) = match Holder::of(folder) {
            Holder::Gone(id) => (Some(id), error),
            Holder::Suspended(id) => (None, format!("its process is suspended: kill -CONT {id}")),
            _ => (None, error),
        };
        if news.send(News::Connection(key, Connection::Lost { since, tries, why, gone })).is_err() {
            return;
        }
        match wanted.recv_timeout(pause) {
            Err(RecvTimeoutError::Timeout) => pause = (pause * 2).min(LONGEST_PAUSE),
            _ => return,
        }
    }
}

/// How a connection ended.
enum Ended {
    /// Nobody wants it any more.
    Unwanted,
    /// The run said that it is closed.
    Closed,
    /// By the other end, or by silence; whether a status had come.
    Broken { heard: bool },
}

/// One connection, from its beginning to its end.
fn receive((folder, key): (&Path, u64), news: &Sender<News>, wanted: &Receiver<()>) -> std::io::Result<Ended> {
    let mut stream: UnixStream = connect(folder)?;
    stream.set_read_timeout(Some(LOOK))?;
    writeln!(stream, "{}", serde_json::to_string(&Request::Watch { rate: RATE })?)?;
    let mut lines = BufReader::new(stream);
    let mut line = Vec::new();
    let (mut heard, mut last) = (false, Instant::now());
    loop {
        if !matches!(wanted.try_recv(), Err(std::sync::mpsc::TryRecvError::Empty)) {
            return Ok(Ended::Unwanted);
        }
        match lines.read_until(b'\n', &mut line) {
            Ok(0) => return Ok(Ended::Broken { heard }),
            Ok(_) if line.last() != Some(&b'\n') => return Ok(Ended::Broken { heard }),
            Ok(_) => {
                if let Ok(Reply::Status(status)) = serde_json::from_slice(&line) {
                    (heard, last) = (true, Instant::now());
                    let closed = matches!(status.state, RunState::Closed(_));
                    if news.send(News::Status(key, status)).is_err() {
                        return Ok(Ended::Unwanted);
                    }
                    if closed {
                        return Ok(Ended::Closed);
                    }
                }
                line.clear();
            }
            // What has come of the line stays in it.
            Err(error)
                if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut | ErrorKind::Interrupted) =>
            {
                if SILENCE < last.elapsed() || LONGEST_LINE < line.len() {
                    return Ok(Ended::Broken { heard });
                }
            }
            Err(error) => return Err(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixListener;
    use std::sync::mpsc;

    use super::*;
    use crate::control::SOCKET;
    use crate::watch::ask::ask;
    use crate::watch::golden;

    /// Answers each connection of a run folder with some lines, then ends it.
    fn serve(folder: &Path, answers: Vec<String>) -> std::thread::JoinHandle<Vec<String>> {
        let listener = UnixListener::bind(folder.join(SOCKET)).unwrap();
        std::thread::spawn(move || {
            let one = |answer: String| {
                let (mut stream, _) = listener.accept().unwrap();
                let mut asked = String::new();
                BufReader::new(stream.try_clone().unwrap()).read_line(&mut asked).unwrap();
                stream.write_all(answer.as_bytes()).unwrap();
                asked
            };
            answers.into_iter().map(one).collect()
        })
    }

    #[test]
    fn a_question_gets_its_answer_or_a_reason() {
        let folder = tempfile::tempdir().unwrap();
        let patience = Duration::from_secs(20);
        assert_eq!(ask(folder.path(), &Request::Safe, patience).unwrap_err(), "no control socket");
        let server =
            serve(folder.path(), vec![r#"{"reply":"done","state":"paused"}"#.to_owned() + "\n", String::new()]);
        assert_eq!(ask(folder.path(), &Request::Safe, patience).unwrap(), Reply::Done { state: RunState::Paused });
        assert_eq!(ask(folder.path(), &Request::Pause, patience).unwrap_err(), "the connection ended");
        assert_eq!(server.join().unwrap(), ["{\"command\":\"safe\"}\n", "{\"command\":\"pause\"}\n"]);
        assert_eq!(ask(folder.path(), &Request::Safe, patience).unwrap_err(), "nobody listens");
    }

    #[test]
    fn a_connection_that_breaks_is_made_again_until_the_run_is_closed() {
        let folder = tempfile::tempdir().unwrap();
        let line = |state| {
            let status = crate::control::Status { state, ..golden::status(100.0) };
            serde_json::to_string(&Reply::Status(Box::new(status))).unwrap() + "\n"
        };
        let closed = RunState::Closed(crate::stop::StopReason::Finished);
        let server = serve(folder.path(), vec![line(RunState::Running), line(RunState::Paused) + &line(closed)]);
        let (news, received) = mpsc::channel();
        let (_keep, wanted) = mpsc::channel();
        watch(folder.path(), 7, &news, &wanted);
        server.join().unwrap();
        let seen: Vec<String> = received
            .try_iter()
            .map(|news| match news {
                News::Status(7, status) => format!("{:?}", status.state),
                News::Connection(7, Connection::Lost { tries, .. }) => format!("lost {tries}"),
                News::Connection(7, connection) => format!("{connection:?}"),
                other => format!("{other:?}"),
            })
            .collect();
        assert_eq!(seen, ["Running", "lost 1", "Paused", "Closed(Finished)", "Over"]);
    }

    #[test]
    fn an_unwanted_watch_ends() {
        let folder = tempfile::tempdir().unwrap();
        let (news, _received) = mpsc::channel();
        let (keep, wanted) = mpsc::channel::<()>();
        drop(keep);
        watch(folder.path(), 1, &news, &wanted);
    }
}
