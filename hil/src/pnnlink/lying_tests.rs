//! A board that says of itself what cannot be, or keeps another watchdog time than it was asked for: a wire that changes what is said.

use std::convert::identity;
use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::Arc;
use std::time::{Duration, Instant};

use drivers::pnnlink::frame::{Deframer, Frame, Way};
use drivers::pnnlink::link::{Options, Pnnlink};
use drivers::pnnlink::message::{Reply, Request, Welcome};
use drivers::{Address, LinkOptions, Plant};

use super::{Build, Firmware, Pattern, Place, Served};
use crate::Faults;

fn board() -> Served {
    let faults = Faults::new(0);
    let firmware = Firmware::new(Arc::new(Pattern::new(4)), Build::default(), faults.clone());
    Served::start(firmware, Place::Tcp(0), None, &faults).unwrap()
}

/// A link to `board` by a wire on which requests and replies are changed.
fn wire(
    board: &Served,
    requests: impl Fn(Request) -> Request + Copy + Send + 'static,
    replies: impl Fn(Reply) -> Reply + Copy + Send + 'static,
) -> LinkOptions {
    let address: Address = board.address().parse().unwrap();
    let Address::Tcp { host, port } = address.clone() else { panic!("{address}") };
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let here = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        for near in listener.incoming().map_while(Result::ok) {
            let far = TcpStream::connect((host.as_str(), port)).unwrap();
            let back = (far.try_clone().unwrap(), near.try_clone().unwrap());
            std::thread::spawn(move || {
                carry(near, far, Way::Request, |frame, wire| {
                    requests(Request::decode(frame.message).unwrap()).encode(frame.session, frame.id, wire);
                });
            });
            std::thread::spawn(move || {
                carry(back.0, back.1, Way::Reply, |frame, wire| {
                    replies(Reply::decode(frame.message).unwrap()).encode(frame.session, frame.id, wire);
                });
            });
        }
    });
    LinkOptions::new("board", Address::Tcp { host: "127.0.0.1".into(), port: here })
}

/// Carries frames that go `way` from one end to the other, each as `change` writes it.
fn carry(mut from: TcpStream, mut to: TcpStream, way: Way, change: impl Fn(Frame<'_>, &mut Vec<u8>)) {
    let (mut deframer, mut buffer) = (Deframer::new(way), [0; 4096]);
    while let Ok(count @ 1..) = from.read(&mut buffer) {
        let mut changed = Vec::new();
        deframer.push(&buffer[..count], |frame| {
            if let Ok(frame) = frame {
                change(frame, &mut changed);
            }
        });
        if to.write_all(&changed).is_err() {
            break;
        }
    }
    drop(to.shutdown(Shutdown::Both));
}

/// What opening a board says whose welcome is changed.
fn refusal(change: fn(&mut Welcome)) -> String {
    let board = board();
    let replies = move |mut reply: Reply| {
        if let Reply::Welcome(welcome) = &mut reply {
            change(welcome);
        }
        reply
    };
    Pnnlink::open(&wire(&board, identity, replies), Options::default()).unwrap_err().to_string()
}

#[test]
fn times_without_sense_are_refused_before_anything_is_driven() {
    let watchdog = "does not keep a watchdog time from 20 ms to 60 s";
    assert!(refusal(|welcome| welcome.watchdog_ms = 0).contains(watchdog));
    assert!(refusal(|welcome| welcome.watchdog_ms = 60_001).contains(watchdog));
    let times = "does not say that settling, a request and a shot take from 0 s to an hour each";
    assert!(refusal(|welcome| welcome.shot_seconds = f32::NAN).contains(times));
    assert!(refusal(|welcome| welcome.shot_seconds = -1e-3).contains(times));
    assert!(refusal(|welcome| welcome.latency_seconds = f32::INFINITY).contains(times));
    assert!(refusal(|welcome| welcome.settle_seconds = 1e9).contains(times));
}

#[test]
fn a_board_that_keeps_a_shorter_watchdog_time_than_asked_for_is_kept_awake() {
    let board = board();
    let shorter = |request: Request| match request {
        Request::Hello { version, schema, replaces, .. } => {
            Request::Hello { version, schema, watchdog_ms: 400, replaces }
        }
        other => other,
    };
    let options = Options { watchdog: Duration::from_mins(1), ..Options::default() };
    let mut plant = Pnnlink::open(&wire(&board, shorter, identity), options).unwrap();
    plant.apply(&[0.5]).unwrap();
    let start = Instant::now();
    while start.elapsed() < Duration::from_millis(1200) {
        assert!(!board.report().is_safe, "the heartbeat keeps it awake");
        std::thread::yield_now();
    }
    assert_eq!(board.report().watchdog_trips, 0);
}

#[test]
fn controls_that_read_back_as_no_number_or_far_out_of_range_are_refused() {
    for value in [f32::NAN, f32::INFINITY, 5.0] {
        let board = board();
        let replies = move |reply: Reply| match reply {
            Reply::Controls { first, .. } => Reply::Controls { first, values: value.to_le_bytes().to_vec() },
            other => other,
        };
        let mut plant = Pnnlink::open(&wire(&board, identity, replies), Options::default()).unwrap();
        let error = plant.apply(&[0.5]).unwrap_err().to_string();
        assert!(error.contains("reads a control back that is no number, or out of its range"), "{error}");
    }
}
