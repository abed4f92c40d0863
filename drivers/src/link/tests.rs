//! Links against an echo that misbehaves, over real sockets.

use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use super::{Disturbance, Link, LinkOptions, LinkState, Opening, Session};
use crate::{Address, Error, Port};

/// Lines there and back; says hello first.
struct Lines;

impl Session for Lines {
    type Request = String;
    type Reply = String;

    async fn greet(&mut self, port: &mut Port, opening: Opening) -> Result<(), Error> {
        self.exchange(port, &format!("hello {}", opening.count)).await.map(drop)
    }

    fn verb(_: &String) -> &'static str {
        "line"
    }

    async fn exchange(&mut self, port: &mut Port, request: &String) -> Result<String, Error> {
        port.write(format!("{request}\n").as_bytes()).await?;
        let line = port.read_until(b'\n', 1000).await?;
        Ok(String::from_utf8_lossy(&line).trim_end().to_owned())
    }
}

/// What the server does with a line.
enum Act {
    Echo,
    Silent,
    Close,
}

/// An echo on any port that asks `act` what to do with each line; what it read goes to the receiver.
fn serve(act: impl Fn(&str) -> Act + Send + 'static) -> (Address, Receiver<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let (seen, lines) = channel();
    std::thread::spawn(move || {
        while let Ok((stream, _)) = listener.accept() {
            if talk(stream, &act, &seen).is_none() {
                return;
            }
        }
    });
    (Address::Tcp { host: "127.0.0.1".into(), port }, lines)
}

fn talk(stream: TcpStream, act: &impl Fn(&str) -> Act, seen: &std::sync::mpsc::Sender<String>) -> Option<()> {
    let mut writer = stream.try_clone().unwrap();
    for line in BufReader::new(stream).lines() {
        let Ok(line) = line else { break };
        seen.send(line.clone()).ok()?;
        match act(&line) {
            Act::Echo => writer.write_all(format!("{line}\n").as_bytes()).unwrap_or_default(),
            Act::Silent => {}
            Act::Close => break,
        }
    }
    Some(())
}

fn open(address: &Address) -> Link<Lines> {
    Link::open(Lines, &LinkOptions::new("echo", address.clone())).unwrap()
}

const LONG: Duration = Duration::from_secs(5);

#[test]
fn a_timeout_is_kept_and_the_next_query_gets_its_own_answer() {
    let (address, lines) = serve(|line| if line == "lost" { Act::Silent } else { Act::Echo });
    let link = open(&address);
    assert_eq!(link.ask("a".into(), LONG).unwrap(), "a");
    let start = Instant::now();
    let error = link.ask("lost".into(), Duration::from_millis(50)).unwrap_err();
    assert!(start.elapsed() < LONG, "the deadline is kept");
    assert!(matches!(error, Error::Timeout { .. }) && error.is_retryable(), "{error}");
    assert_eq!(link.watch().report().state, LinkState::Dirty);
    assert_eq!(link.ask("b".into(), LONG).unwrap(), "b");
    let report = link.watch().report();
    assert_eq!((report.state, report.reconnects), (LinkState::Ready, 1));
    assert!(report.latency_p50 <= report.latency_p99 && report.latency_p50.is_some());
    drop(link);
    assert_eq!(lines.try_iter().collect::<Vec<_>>(), ["hello 0", "a", "lost", "hello 1", "b"]);
}

#[test]
fn a_closed_connection_is_an_error_and_then_reopened() {
    let (address, _lines) = serve(|line| if line == "die" { Act::Close } else { Act::Echo });
    let link = open(&address);
    assert!(matches!(link.ask("die".into(), LONG), Err(Error::Lost { .. })));
    assert_eq!(link.ask("again".into(), LONG).unwrap(), "again");
    let watch = link.watch();
    drop(link);
    assert_eq!(watch.report().reconnects, 1);
}

#[test]
fn nobody_there_says_so_within_the_deadline_and_holds_nothing() {
    let unused = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let address = Address::Tcp { host: "127.0.0.1".into(), port: unused };
    let options = LinkOptions { open_within: Duration::from_secs(1), ..LinkOptions::new("echo", address.clone()) };
    let error = Link::open(Lines, &options).err().unwrap();
    assert!(matches!(&error, Error::Unreachable { .. }) && error.to_string().contains("`echo`"), "{error}");
    assert_eq!(crate::owner::holder(&address), Ok(None));
}

#[test]
fn the_second_owner_is_refused_but_may_stand_beside() {
    let (address, _lines) = serve(|_| Act::Echo);
    let link = open(&address);
    let error = Link::open(Lines, &LinkOptions::new("echo", address.clone())).err().unwrap();
    assert!(matches!(error, Error::Owned { .. }), "{error}");
    drop(link);
    assert_eq!(open(&address).ask("mine".into(), LONG).unwrap(), "mine");
}

#[test]
fn a_dialogue_is_replayed_through_the_same_link() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("echo.jsonl");
    let (address, _lines) = serve(|line| if line == "die" { Act::Close } else { Act::Echo });
    let options = LinkOptions { record: Some(path.clone()), ..LinkOptions::new("echo", address) };
    let script = |link: &Link<Lines>| {
        let first = link.ask("one".into(), LONG).unwrap();
        assert!(link.ask("die".into(), LONG).is_err());
        (first, link.ask("two".into(), LONG).unwrap())
    };
    let said = script(&Link::open(Lines, &options).unwrap());
    let replay = LinkOptions::new("echo", Address::Replay { path });
    assert_eq!(script(&Link::open(Lines, &replay).unwrap()), said);
    let link = Link::open(Lines, &replay).unwrap();
    let error = link.ask("other".into(), LONG).unwrap_err().to_string();
    assert!(error.contains("`other\\n` is sent, but `one\\n` was recorded"), "{error}");
}

#[test]
fn a_disturbed_link_is_reopened_however_fast_the_answer_is() {
    let (address, _lines) = serve(|_| Act::Echo);
    let link = open(&address);
    link.watch().disturb(Disturbance::LoseAnswer);
    assert!(matches!(link.ask("lost".into(), LONG), Err(Error::Timeout { .. })));
    assert_eq!(link.ask("found".into(), LONG).unwrap(), "found");
    link.watch().disturb(Disturbance::ClosePort);
    assert_eq!(link.ask("again".into(), LONG).unwrap(), "again");
    assert_eq!(link.watch().report().reconnects, 2);
}

#[test]
fn what_belongs_together_is_asked_on_one_port_or_not_at_all() {
    let (address, lines) = serve(|_| Act::Echo);
    let link = open(&address);
    let (_, loaded) = link.ask_noting("load".into(), LONG).unwrap();
    assert_eq!(link.ask_on(loaded, "fire".into(), LONG).unwrap(), "fire");
    link.watch().disturb(Disturbance::ClosePort);
    let error = link.ask_on(loaded, "lost".into(), LONG).unwrap_err();
    assert!(matches!(error, Error::Lost { .. }) && error.is_retryable(), "{error}");
    // Also where the port is there again by now.
    let again = link.ready(LONG).unwrap();
    assert_ne!(again, loaded);
    assert!(link.ask_on(loaded, "old".into(), LONG).is_err());
    assert_eq!(link.ask_on(again, "new".into(), LONG).unwrap(), "new");
    drop(link);
    assert_eq!(lines.try_iter().collect::<Vec<_>>(), ["hello 0", "load", "fire", "hello 1", "new"]);
}

#[test]
fn a_greeting_whose_answer_is_lost_is_begun_anew_within_the_deadline() {
    let lost = AtomicU32::new(2);
    let lose = move |line: &str| {
        line.starts_with("hello")
            && lost.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1)).is_ok()
    };
    let (address, lines) = serve(move |line| if lose(line) { Act::Silent } else { Act::Echo });
    let start = Instant::now();
    let link = open(&address);
    assert!(start.elapsed() < LinkOptions::new("echo", address).open_within);
    assert_eq!(link.ask("a".into(), LONG).unwrap(), "a");
    drop(link);
    assert_eq!(lines.try_iter().collect::<Vec<_>>(), ["hello 0", "hello 0", "hello 0", "a"]);
}

#[test]
fn an_instrument_that_lost_its_greeting_is_found_again_before_its_deadline() {
    let lose = AtomicU32::new(0);
    let is_lost = move |line: &str| line == "hello 1" && lose.fetch_add(1, Ordering::Relaxed) < 2;
    let (address, _lines) = serve(move |line| if is_lost(line) { Act::Silent } else { Act::Echo });
    let link = open(&address);
    link.watch().disturb(Disturbance::ClosePort);
    assert_eq!(link.ask("again".into(), Duration::from_mins(1)).unwrap(), "again");
    let report = link.watch().report();
    assert_eq!(report.reconnects, 1);
    assert!(report.opened_after.unwrap() < LONG, "{report:?}");
}

#[test]
fn a_port_that_says_nothing_or_never_stops_fails_within_the_deadline_and_says_so() {
    let within = Duration::from_millis(400);
    let refusal = |address: Address| {
        let start = Instant::now();
        let options = LinkOptions { open_within: within, ..LinkOptions::new("echo", address) };
        let error = Link::open(Lines, &options).err().unwrap();
        assert!(start.elapsed() < within + Duration::from_secs(2), "{:?}", start.elapsed());
        error.to_string()
    };
    let (silent, _lines) = serve(|_| Act::Silent);
    let text = refusal(silent);
    assert!(text.contains("`echo` gave no answer to a greeting within 0.4 s: check that tcp://"), "{text}");

    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            // Until the other end has heard enough.
            while stream.as_ref().is_ok_and(|mut stream| stream.write_all(&[b'x'; 4096]).is_ok()) {}
        }
    });
    let text = refusal(Address::Tcp { host: "127.0.0.1".into(), port });
    assert!(text.contains("sent") && text.contains("bytes without an end"), "{text}");
}
