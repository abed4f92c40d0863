//! Pauses, trips, stops and the safe state, asked for at each gate.

use super::*;

/// Counts, and may ask for something while it is looked at.
struct Counter<'a> {
    control: &'a Control,
    safe: usize,
    looks: usize,
    then: Vec<Request>,
}

impl Bench for Counter<'_> {
    fn make_safe(&mut self) -> Result<(), Error> {
        self.safe += 1;
        Ok(())
    }
    fn pause(&mut self, why: String) -> Result<(), Error> {
        assert!(!why.is_empty());
        assert_eq!(self.control.state(), RunState::Running);
        Ok(())
    }
    fn look(&mut self) -> Result<(), Error> {
        self.looks += 1;
        if let Some(request) = self.then.pop() {
            self.control.request(&request);
        }
        Ok(())
    }
}

fn heed(control: &Control, gate: Gate, then: Vec<Request>) -> (ControlFlow<StopReason>, usize, usize) {
    let mut bench = Counter { control, safe: 0, looks: 0, then };
    let flow = control.heed(gate, &mut bench).unwrap();
    (flow, bench.safe, bench.looks)
}

#[test]
fn a_pause_waits_between_steps_only_until_it_is_resumed() {
    let control = Control::new();
    assert_eq!(control.request(&Request::Pause), Reply::Done { state: RunState::Paused });
    assert_eq!(heed(&control, Gate::Inside, vec![]).0, ControlFlow::Continue(()));
    let (flow, _, looks) = heed(&control, Gate::Between, vec![Request::Resume]);
    assert_eq!((flow, looks), (ControlFlow::Continue(()), 1));
    assert_eq!(control.state(), RunState::Running);
}

#[test]
fn a_stop_lets_the_step_end_and_an_abort_does_not() {
    let control = Control::new();
    control.request(&Request::Stop);
    assert_eq!(heed(&control, Gate::Inside, vec![]).0, ControlFlow::Continue(()));
    assert_eq!(heed(&control, Gate::Between, vec![]).0, ControlFlow::Break(StopReason::Stopped));
    let control = Control::new();
    control.interrupt();
    control.request(&Request::Abort);
    assert_eq!(heed(&control, Gate::Inside, vec![]).0, ControlFlow::Break(StopReason::Aborted));
    control.enter(RunState::Closed(StopReason::Aborted));
    assert!(matches!(control.request(&Request::Resume), Reply::Refused { .. }));
}

#[test]
fn a_run_that_ends_is_not_paused_or_resumed_and_says_whether_it_is_safe() {
    let control = Control::new();
    assert_eq!(control.request(&Request::Stop), Reply::Done { state: RunState::Stopping });
    for request in [Request::Resume, Request::Pause] {
        let reply = control.request(&request);
        assert!(matches!(&reply, Reply::Refused { message } if message.contains("is ending")), "{reply:?}");
    }
    assert_eq!(control.request(&Request::Stop), Reply::Done { state: RunState::Stopping });
    let safe = |failure: Option<&str>, state| {
        let control = Control::new();
        control.enter(RunState::Stopping);
        control.settle(failure.map(str::to_owned));
        control.enter(state);
        control.request(&Request::Safe)
    };
    let failed = RunState::Closed(StopReason::Failed);
    assert_eq!(safe(None, RunState::Stopping), Reply::Done { state: RunState::Stopping });
    assert_eq!(safe(None, failed), Reply::Done { state: failed });
    for state in [RunState::Stopping, failed] {
        let reply = safe(Some("no answer"), state);
        assert!(matches!(&reply, Reply::Refused { message } if message.contains("NOT SAFE: no answer")), "{reply:?}");
    }
}

#[test]
fn safe_is_reached_inside_a_step_and_answered_when_it_is() {
    let control = Control::new();
    control.open();
    let asker = std::thread::spawn({
        let control = control.clone();
        move || control.request(&Request::Safe)
    });
    while !control.attention.load(Ordering::Acquire) {
        std::thread::yield_now();
    }
    let (flow, safe, looks) = heed(&control, Gate::Inside, vec![Request::Resume]);
    assert_eq!((flow, safe, looks), (ControlFlow::Continue(()), 1, 1));
    assert_eq!(asker.join().unwrap(), Reply::Done { state: RunState::Paused });
}

#[test]
fn an_alarm_resumes_only_what_it_paused() {
    let control = Control::new();
    control.pause_for_alarm();
    control.resume_after_alarm();
    assert_eq!(heed(&control, Gate::Between, vec![]).0, ControlFlow::Continue(()));
    control.request(&Request::Pause);
    control.pause_for_alarm();
    control.resume_after_alarm();
    let (flow, _, looks) = heed(&control, Gate::Between, vec![Request::Stop]);
    assert_eq!((flow, looks), (ControlFlow::Break(StopReason::Stopped), 1));
}

/// Does one thing after another while it is looked at.
struct Script<'a> {
    control: &'a Control,
    things: Vec<fn(&Control)>,
    paused: Vec<String>,
}

impl Bench for Script<'_> {
    fn make_safe(&mut self) -> Result<(), Error> {
        Ok(())
    }
    fn pause(&mut self, why: String) -> Result<(), Error> {
        self.paused.push(why);
        Ok(())
    }
    fn look(&mut self) -> Result<(), Error> {
        self.things.remove(0)(self.control);
        Ok(())
    }
    fn patience(&self) -> Duration {
        Duration::ZERO
    }
}

fn is_refused(control: &Control) -> bool {
    let reply = control.request(&Request::Resume);
    matches!(&reply, Reply::Refused { message } if message.contains("it is hot"))
}

fn trip_inside(things: Vec<fn(&Control)>) -> (ControlFlow<StopReason>, Arc<Control>) {
    let control = Control::new();
    control.trip("it is hot".into());
    let mut bench = Script { control: &control, things, paused: vec![] };
    let flow = control.heed(Gate::Inside, &mut bench).unwrap();
    assert!(bench.things.is_empty(), "it waited for all of them");
    assert_eq!(bench.paused, ["it is hot"]);
    (flow, control)
}

#[test]
fn a_trip_holds_a_step_and_nobody_goes_on_while_the_reading_is_out() {
    let (flow, control) = trip_inside(vec![
        |control| assert!(is_refused(control) && control.lets_probe() && control.state() == RunState::Paused),
        |control| control.trip_eases("it cools".into()),
        |control| assert_eq!(control.why(), "it cools"),
        // It begins to be out again.
        |control| control.trip("it is hot again".into()),
        |control| assert!(is_refused(control)),
        Control::trip_is_over,
    ]);
    assert_eq!((flow, control.state(), control.why()), (ControlFlow::Continue(()), RunState::Running, String::new()));
    // Who goes on when the reading is within its bounds need not wait longer.
    let (flow, control) = trip_inside(vec![|control| control.trip_eases("it cools".into()), |control| {
        assert_eq!(control.request(&Request::Resume), Reply::Done { state: RunState::Running });
    }]);
    assert_eq!((flow, control.state()), (ControlFlow::Continue(()), RunState::Running));
}

#[test]
fn who_pauses_while_an_interlock_waits_keeps_it_from_probing_and_the_interlock_stays() {
    let (flow, control) = trip_inside(vec![
        |control| assert_eq!(control.request(&Request::Pause), Reply::Done { state: RunState::Paused }),
        |control| assert!(!control.lets_probe() && control.why().starts_with("by request, and it is hot")),
        |control| assert_eq!(control.request(&Request::Resume), Reply::Done { state: RunState::Paused }),
        |control| assert!(control.lets_probe() && is_refused(control)),
        // Over while somebody holds it: nothing is driven, not even the rest of the step.
        |control| drop(control.request(&Request::Pause)),
        Control::trip_is_over,
        |control| assert_eq!((control.state(), control.why()), (RunState::Paused, "by request".to_owned())),
        |control| drop(control.request(&Request::Resume)),
    ]);
    assert_eq!((flow, control.state()), (ControlFlow::Continue(()), RunState::Running));
    let (flow, _) = trip_inside(vec![|control| drop(control.request(&Request::Stop))]);
    assert_eq!(flow, ControlFlow::Break(StopReason::Stopped), "a stop need not wait for the reading");
}
