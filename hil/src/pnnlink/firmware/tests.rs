//! The firmware as a controller sees it, in virtual time.

use super::*;
use crate::Fault;
use crate::pnnlink::Pattern;

struct Bench {
    faults: Faults,
    firmware: Firmware,
    deframer: Deframer,
    now: Duration,
}

impl Bench {
    fn new() -> Self {
        let faults = Faults::new(0);
        let build = Build { window: 8, ..Build::default() };
        let firmware = Firmware::new(Arc::new(Pattern::new(2)), build, faults.clone());
        Self { faults, firmware, deframer: Firmware::deframer(), now: Duration::from_secs(1) }
    }

    fn say(&mut self, session: u32, id: u32, request: &Request) -> Vec<Reply> {
        let mut wire = Vec::new();
        request.encode(session, id, &mut wire);
        let mut replies = Vec::new();
        let mut reader = Deframer::new(Way::Reply);
        for frame in self.firmware.receive(self.now, &mut self.deframer, &wire) {
            reader.push(&frame, |frame| {
                let frame = frame.unwrap();
                assert_eq!((frame.session, frame.id), (session, id));
                replies.push(Reply::decode(frame.message).unwrap());
            });
        }
        replies
    }

    fn hello(&mut self, session: u32, replaces: u32) -> Reply {
        let hello = Request::Hello { version: VERSION, schema: SCHEMA, watchdog_ms: 100, replaces };
        self.say(session, 1, &hello).remove(0)
    }

    fn arm(&mut self) {
        assert!(matches!(self.hello(7, 0), Reply::Welcome(_)));
        let values = 0.5_f32.to_le_bytes().to_vec();
        assert_eq!(self.say(7, 2, &Request::Stage { first: 0, values }), [Reply::Staged { first: 0 }]);
        assert_eq!(self.say(7, 3, &Request::Apply), [Reply::Applied]);
    }

    fn shots(&mut self, first: u64, values: &[f32]) -> Vec<Reply> {
        let values = values.iter().flat_map(|value| value.to_le_bytes()).collect();
        self.say(7, 100, &Request::Shots { first, batch: 0, values })
    }
}

fn refusal(replies: &[Reply]) -> Option<(Reason, u64)> {
    match replies {
        [Reply::Refused { reason, expected }] => Some((*reason, *expected)),
        _ => None,
    }
}

#[test]
fn what_the_page_says_of_odd_requests_is_so() {
    let mut bench = Bench::new();
    assert_eq!(refusal(&[bench.hello(0, 0)]), Some((Reason::Malformed, 0)), "session 0 is none");
    bench.arm();
    assert_eq!(refusal(&[bench.hello(8, 0)]), Some((Reason::Busy, 0)), "it is somebody else's");
    assert_eq!(refusal(&bench.say(7, 50, &Request::Describe { bank: 200 })), Some((Reason::OutOfRange, 0)));
    for values in [vec![], vec![0; 6]] {
        let shots = Request::Shots { first: 0, batch: 0, values };
        assert_eq!(refusal(&bench.say(7, 51, &shots)), Some((Reason::Malformed, 0)));
    }
    assert_eq!(refusal(&bench.shots(0, &[0.0; 18])), Some((Reason::Malformed, 0)), "more than its window of 8");
    assert_eq!(bench.firmware.driven(), 0);
    assert!(matches!(bench.hello(9, 7), Reply::Welcome(_)), "a new number that names the old one");
}

#[test]
fn shots_are_driven_once_however_often_they_are_sent() {
    let mut bench = Bench::new();
    bench.arm();
    let first = bench.shots(0, &[1.0, 2.0, 3.0, 4.0]);
    let values: Vec<u8> = [1.5_f32, 3.0, 4.5, 6.0].iter().flat_map(|value| value.to_le_bytes()).collect();
    assert_eq!(first, [Reply::Results { first: 0, acquisition: 1, quality: 0, values }]);
    assert_eq!(bench.shots(0, &[1.0, 2.0, 3.0, 4.0]), first);
    assert_eq!(bench.firmware.driven(), 2);
    assert_eq!(refusal(&bench.shots(3, &[0.0, 0.0])), Some((Reason::OutOfOrder, 2)));
    bench.shots(1, &[3.0, 4.0, 5.0, 6.0]);
    assert_eq!(bench.firmware.driven(), 3, "only the shot that was new");
    for number in 3..12 {
        bench.shots(number, &[0.0, 0.0]);
    }
    assert_eq!(refusal(&bench.shots(0, &[1.0, 2.0])), Some((Reason::OutOfOrder, 12)), "forgotten");
}

#[test]
fn a_control_request_that_is_repeated_is_answered_from_memory() {
    let mut bench = Bench::new();
    bench.arm();
    assert_eq!(bench.say(7, 3, &Request::Apply), [Reply::Applied]);
    assert_eq!(refusal(&bench.say(7, 4, &Request::Apply)), Some((Reason::Incomplete, 0)), "a new one needs controls");
    let values = 0.5_f32.to_le_bytes().to_vec();
    assert_eq!(bench.say(7, 5, &Request::Readback { first: 0, count: 1 }), [Reply::Controls { first: 0, values }]);
}

#[test]
fn what_is_out_of_range_or_no_number_is_not_driven() {
    let mut bench = Bench::new();
    bench.arm();
    for bad in [f32::NAN, f32::INFINITY, 1e9] {
        assert_eq!(refusal(&bench.shots(0, &[bad, 0.0])), Some((Reason::OutOfRange, 0)));
        let values = bad.to_le_bytes().to_vec();
        bench.say(7, 10, &Request::Stage { first: 0, values });
        assert_eq!(refusal(&bench.say(7, 11, &Request::Apply)), Some((Reason::OutOfRange, 0)));
        bench.say(7, 12, &Request::Ping);
    }
    assert_eq!(bench.firmware.driven(), 0);
    assert_eq!(refusal(&bench.shots(0, &[0.0])), Some((Reason::Malformed, 0)));
}

#[test]
fn it_makes_itself_safe_when_it_hears_nothing() {
    let mut bench = Bench::new();
    assert!(bench.firmware.is_safe());
    bench.arm();
    assert!(!bench.firmware.is_safe());
    bench.now += Duration::from_millis(99);
    bench.say(7, 20, &Request::Ping);
    bench.now += Duration::from_millis(99);
    bench.firmware.tick(bench.now);
    assert!(!bench.firmware.is_safe(), "it has heard of us");
    bench.now += Duration::from_millis(1);
    bench.firmware.tick(bench.now);
    assert!(bench.firmware.is_safe());
    assert_eq!(bench.firmware.watchdog_trips(), 1);
    assert_eq!(refusal(&bench.shots(0, &[0.0, 0.0])), Some((Reason::NoSession, 0)));
    assert!(bench.firmware.is_safe(), "a session that is over wakes nothing");
}

#[test]
fn a_frame_of_another_session_does_not_quiet_the_watchdog() {
    let mut bench = Bench::new();
    bench.arm();
    bench.now += Duration::from_millis(60);
    assert_eq!(refusal(&bench.say(8, 1, &Request::Ping)), Some((Reason::Busy, 0)));
    bench.now += Duration::from_millis(60);
    bench.firmware.tick(bench.now);
    assert!(bench.firmware.is_safe());
}

#[test]
fn a_second_controller_is_refused_and_the_first_may_come_back() {
    let mut bench = Bench::new();
    bench.arm();
    assert!(matches!(bench.hello(8, 0), Reply::Refused { reason: Reason::Busy, .. }));
    assert!(!bench.firmware.is_safe(), "it disturbs nothing");
    assert!(matches!(bench.hello(9, 7), Reply::Welcome(_)));
    assert!(bench.firmware.is_safe(), "a new session begins safe");
    assert_eq!(refusal(&bench.say(7, 5, &Request::Ping)), Some((Reason::Busy, 0)));
}

#[test]
fn whoever_says_safe_is_obeyed_and_the_session_is_over() {
    let mut bench = Bench::new();
    bench.arm();
    assert_eq!(bench.say(0, 1, &Request::MakeSafe), [Reply::Safe]);
    assert!(bench.firmware.is_safe());
    assert_eq!(refusal(&bench.shots(0, &[0.0, 0.0])), Some((Reason::Stopped, 0)));
    assert!(matches!(bench.hello(8, 7), Reply::Refused { reason: Reason::Stopped, .. }), "not by itself");
    bench.arm();
    assert!(!bench.firmware.is_safe(), "a new controller may begin again");
    assert_eq!(bench.say(7, 9, &Request::MakeSafe), [Reply::Safe]);
    assert_eq!(refusal(&bench.shots(0, &[0.0, 0.0])), Some((Reason::NotReady, 0)), "its own session goes on, safe");
}

#[test]
fn a_power_cycle_forgets_everything_and_shows() {
    let mut bench = Bench::new();
    bench.arm();
    let Reply::Welcome(before) = bench.hello(9, 7) else { panic!("welcome") };
    bench.firmware.power_cycle(bench.now, true);
    assert!(bench.firmware.is_safe());
    assert_eq!(refusal(&bench.say(9, 5, &Request::Ping)), Some((Reason::NoSession, 0)));
    let Reply::Welcome(after) = bench.hello(10, 9) else { panic!("welcome") };
    assert_ne!(before.boot, after.boot);
    assert_ne!(before.firmware, after.firmware);
    assert_eq!(after.uptime_ms, 0);
}

#[test]
fn a_stale_frame_shows_by_its_acquisition() {
    let mut bench = Bench::new();
    bench.arm();
    bench.shots(0, &[1.0, 1.0]);
    bench.faults.once(Fault::StaleFrame);
    let replies = bench.shots(1, &[2.0, 2.0, 3.0, 3.0]);
    let acquisitions: Vec<u32> = replies
        .iter()
        .map(|reply| match reply {
            Reply::Results { acquisition, .. } => *acquisition,
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(acquisitions, [1], "shots 1 and 2 have acquisitions 1 and 2");
    assert_eq!(bench.faults.counts().get(&Fault::StaleFrame), Some(&1));
}
