//! Test vectors: the bytes that `docs/pnnlink.md` promises.

use super::super::frame::{Deframer, Way};
use super::*;

/// One message of each kind, by the name that the document gives it.
fn requests() -> Vec<(&'static str, Request)> {
    vec![
        ("Hello", Request::Hello { version: 1, schema: SCHEMA, watchdog_ms: 1000, replaces: 0 }),
        ("Describe", Request::Describe { bank: 2 }),
        ("Stage", Request::Stage { first: 0, values: vec![0, 0, 0x80, 0x3F] }),
        ("Apply", Request::Apply),
        ("Readback", Request::Readback { first: 0, count: 300 }),
        ("Shots", Request::Shots { first: 1000, batch: 128, values: vec![1, 0, 2, 0] }),
        ("Ping", Request::Ping),
        ("MakeSafe", Request::MakeSafe),
        ("Bye", Request::Bye),
    ]
}

fn replies() -> Vec<(&'static str, Reply)> {
    let welcome = Welcome {
        version: 1,
        schema: SCHEMA,
        boot: 0xDEAD_BEEF,
        uptime_ms: 1500,
        watchdog_ms: 1000,
        max_body: 4096,
        window: 32,
        banks: 2,
        simulated: true,
        settle_seconds: 0.0,
        latency_seconds: 0.5,
        shot_seconds: 0.001,
        system: "plate".into(),
        serial: "SIM-7".into(),
        firmware: "demo 1.0".into(),
    };
    let bank = BankMessage {
        bank: 0,
        way: BankWay::Input,
        name: "drive".into(),
        count: 256,
        unit: "V".into(),
        low: -1.0,
        high: 1.0,
        coding: Coding::I16 { scale: 0.5, offset: 0.0 },
    };
    let status = StatusMessage { boot: 7, uptime_ms: 1500, state: State::Ready, expected: 1004, watchdog_trips: 1 };
    vec![
        ("Welcome", Reply::Welcome(welcome)),
        ("Bank", Reply::Bank(bank)),
        ("Staged", Reply::Staged { first: 0 }),
        ("Applied", Reply::Applied),
        ("Controls", Reply::Controls { first: 0, values: vec![0, 0, 0x80, 0x3F] }),
        ("Results", Reply::Results { first: 1000, acquisition: 77, quality: 0, values: vec![3, 0, 4, 0] }),
        ("Status", Reply::Status(status)),
        ("Safe", Reply::Safe),
        ("Refused", Reply::Refused { reason: Reason::OutOfOrder, expected: 1002 }),
    ]
}

/// A line of the table: a name and the bytes on the wire.
fn line(name: &str, wire: &[u8]) -> String {
    let bytes: Vec<String> = wire.iter().map(|byte| format!("{byte:02x}")).collect();
    format!("{name:<9}{}\n", bytes.concat())
}

/// The table of test vectors: every message in a frame of session 0x01020304, request 5.
fn table() -> String {
    let mut lines = Vec::new();
    for (name, request) in requests() {
        let mut wire = Vec::new();
        request.encode(0x0102_0304, 5, &mut wire);
        lines.push(line(name, &wire));
    }
    for (name, reply) in replies() {
        let mut wire = Vec::new();
        reply.encode(0x0102_0304, 5, &mut wire);
        lines.push(line(name, &wire));
    }
    lines.concat()
}

#[test]
fn the_document_has_these_test_vectors_and_this_schema() {
    let document = include_str!("../../../../docs/pnnlink.md");
    assert!(document.contains(&table()), "docs/pnnlink.md must have these test vectors:\n{}", table());
    assert!(document.contains(SCHEMA_TEXT), "docs/pnnlink.md must have this schema:\n{SCHEMA_TEXT}");
    assert!(document.contains(&format!("0x{SCHEMA:08X}")), "the schema's checksum is 0x{SCHEMA:08X}");
}

#[test]
fn messages_return_from_their_frames() {
    let mut wire = Vec::new();
    for (id, (_, reply)) in replies().into_iter().enumerate() {
        reply.encode(9, id as u32, &mut wire);
    }
    let mut found = Vec::new();
    Deframer::new(Way::Reply).push(&wire, |frame| found.push(Reply::decode(frame.unwrap().message).unwrap()));
    assert_eq!(found, replies().into_iter().map(|(_, reply)| reply).collect::<Vec<_>>());
    for (_, request) in requests() {
        let bytes = postcard::to_stdvec(&request).unwrap();
        assert_eq!(Request::decode(&bytes), Some(request));
        assert_eq!(Request::decode(&[&bytes[..], &[0]].concat()), None, "bytes left over");
    }
}

proptest::proptest! {
    #[test]
    fn no_bytes_upset_the_decoder(bytes in proptest::collection::vec(proptest::arbitrary::any::<u8>(), 0..200)) {
        let _ = Request::decode(&bytes);
        let _ = Reply::decode(&bytes);
    }
}
