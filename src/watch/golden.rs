//! Golden screens: every panel in every state, on terminals of fixed size, from statuses made here.
//!
//! A changed picture is looked at (`cargo insta review`, or the `.snap.new` beside the old one) before it is taken.

use std::sync::Arc;

use ratatui::Terminal;
use ratatui::backend::TestBackend;
use ratatui::crossterm::event::{Event, KeyCode, KeyEvent, KeyModifiers};
use ratatui::layout::Rect;

use super::connection::Connection;
use super::dashboard::{Dashboard, RunView};
use super::find::RunRow;
use super::history::{History, Row};
use super::holder::Holder;
use super::keys::Effect;
use super::panel::Panel;
use super::record::{Facts, Log, LogLine, PlantFacts};
use super::theme::{Theme, Tone};
use crate::control::{BankStatus, Budget, LinkStatus, PlantStatus, Request, RunState, Status, TrainingStatus, Tried};
use crate::event::{Alarm, Severity};
use crate::plants::CalibrationStatus;
use crate::scores::{ObjectiveKind, Scores};
use crate::stop::StopReason;

/// 2026-11-24 14:13:20 UTC.
pub const NOW: f64 = 1_795_529_600.0;
pub const SMALL: (u16, u16) = (80, 24);
pub const LARGE: (u16, u16) = (200, 60);
pub const UNICODE: Theme = Theme { color: true, unicode: true };

pub fn wave(count: usize, period: f32, size: f32) -> Vec<f32> {
    (0..count).map(|index| size * (std::f32::consts::TAU * index as f32 / period).sin()).collect()
}

fn bank(name: &str, values: Vec<f32>) -> BankStatus {
    BankStatus { bank: name.into(), unit: "V".into(), low: -1.0, high: 1.0, set_points: vec![], values }
}

fn link(instrument: &str, state: &str, answered: f64) -> LinkStatus {
    LinkStatus {
        instrument: instrument.into(),
        address: "/dev/ttyUSB0".into(),
        state: state.into(),
        reconnects: u64::from(state != "ready") * 3,
        latency_p50_seconds: Some(0.000_85),
        latency_p99_seconds: Some(0.0042),
        answered_unix_seconds: Some(answered),
        owner: "pnnlab 4711".into(),
    }
}

/// A run at `unix_seconds`, with two plants: one simulated in the process, one on wires.
pub fn status(unix_seconds: f64) -> Status {
    let plant = |name: &str| PlantStatus {
        plant: name.into(),
        system: "electrical".into(),
        serial: "SIM-7".into(),
        origin: "simulated".into(),
        shots: 158_000,
        plant_seconds: 125.5,
        driven_unix_seconds: Some(unix_seconds - 0.05),
        waits_seconds: None,
        inputs: vec![bank("drive", wave(256, 64.0, 0.9))],
        controls: vec![BankStatus { set_points: vec![0.25, -0.5], ..bank("bias", vec![0.2498, -0.5004]) }],
        outputs: vec![bank("response", wave(256, 32.0, 0.4))],
        links: vec![],
        calibration: None,
    };
    let wired = PlantStatus {
        plant: "plate".into(),
        system: "mechanical".into(),
        links: vec![link("voice-coil", "ready", unix_seconds - 0.1), link("microphone", "ready", unix_seconds - 0.2)],
        calibration: Some(CalibrationStatus {
            fit: "plate-20261123".into(),
            made_unix_seconds: unix_seconds - 93_600.0,
            residual: 0.043,
            due: String::new(),
        }),
        ..plant("plate")
    };
    Status {
        unix_seconds,
        process: 4711,
        experiment: "digits-electrical".into(),
        method: "physics-aware".into(),
        seed: 1,
        state: RunState::Running,
        why: String::new(),
        held: false,
        tuning: None,
        training: TrainingStatus {
            step: 1234,
            steps: 2500,
            epoch: 122,
            loss: Some(0.412),
            tried: Tried {
                kind: ObjectiveKind::Classify,
                plant: Some(accuracy(0.885)),
                believed: Some(accuracy(0.91)),
            },
            tried_on: None,
            twin_residual: Some(0.137),
            drift_score: Some(0.42),
            steps_per_second: Some(113.4),
            range_use: Some(0.77),
            clipping_rate: Some(0.001),
            guard: None,
            alignment: None,
            heads: None,
            time_shares: Some([0.45, 0.3, 0.2, 0.05]),
        },
        plants: vec![plant("electrical"), wired],
        picture: None,
        alarms: vec![],
        budget: Budget {
            shots: 1_300_000,
            shots_taken: 645_000,
            plant_seconds: 1033.0,
            plant_seconds_spent: 512.0,
            wall_seconds: 10.9,
            wall_seconds_left: Some(11.2),
            record_bytes: 1_340_000,
        },
    }
}

fn accuracy(share: f64) -> Scores {
    Scores::new(ObjectiveKind::Classify, &[share])
}

pub fn history(steps: u64) -> History {
    let mut history = History::default();
    for step in 1..=steps {
        let decay = 2.3 * (-(step as f64) / 400.0).exp();
        let loss = 0.3 + decay * (1.0 + 0.2 * (step as f64 * 0.7).sin());
        history.add(Row {
            shots: Some(step as f64 * 512.0),
            plant_seconds: Some(step as f64 * 0.4),
            ..row(step, loss)
        });
        if step.is_multiple_of(250) {
            let share = 0.9 - 0.8 * (-(step as f64) / 400.0).exp();
            let (scores, believed) = (Some(accuracy(share)), Some(accuracy(share + 0.03)));
            history.add(Row { step, scores, believed, ..Row::default() });
        }
    }
    history
}

pub fn row(step: u64, loss: f64) -> Row {
    Row { step, loss: Some(loss), epoch: Some(3.0), range_use: Some(0.7), clipping_rate: Some(0.0), ..Row::default() }
}

pub fn facts(state: &str) -> Facts {
    let plant = PlantFacts {
        plant: "electrical".into(),
        system: "electrical".into(),
        serial: "SIM-7".into(),
        origin: "simulated".into(),
        inputs: 256,
        controls: 2,
        outputs: 256,
    };
    Facts {
        experiment: "digits-electrical".into(),
        method: "physics-aware".into(),
        seed: 1,
        state: state.into(),
        plants: vec![plant],
        started_unix_seconds: NOW - 11.0,
        ..Facts::default()
    }
}

pub fn log() -> Log {
    let line = |age: f64, tone, text: &str| LogLine {
        unix_seconds: NOW - age,
        step: None,
        tone,
        text: text.into(),
        topic: None,
    };
    let mut log = Log::default();
    log.lines.push_back(line(11.0, Tone::Strong, "started digits-electrical by physics-aware, seed 1, 2500 steps"));
    for test in 1..=4_u32 {
        let age = 11.0 - 2.2 * f64::from(test);
        log.times.push((u64::from(test) * 250, NOW - age));
        let text = format!("test 88.5 % on the plant, 91.0 % believed, after step {}", test * 250);
        log.lines.push_back(line(age, Tone::Plain, &text));
    }
    log
}

pub fn alarm(id: u64, severity: Severity, (active, acknowledged): (bool, bool)) -> Alarm {
    let (source, message) = match severity {
        Severity::Minor => ("drift", "the reference pattern moved by 0.8 of its limit"),
        Severity::Major => ("interlock", "the laser's door is open"),
        Severity::Invalid => ("microphone", "no reading for 3 s: check its cable"),
    };
    let (source, message) = (source.into(), message.into());
    Alarm { id, severity, source, message, first_unix_seconds: NOW - 60.0 * id as f64, active, acknowledged }
}

/// A dashboard with a run open.
pub fn dashboard(state: &str) -> Dashboard {
    let mut dashboard = Dashboard::new("runs".into(), UNICODE, NOW);
    dashboard.open("runs/20261124-141309-digits".into());
    let run = dashboard.run.as_mut().unwrap();
    (run.facts, run.log, run.history) = (facts("running"), Arc::new(log()), Arc::new(history(1234)));
    (run.connection, run.status) = (Connection::Live, Some(status(NOW - 0.1)));
    match state {
        "normal" => {}
        "stale" => run.status = Some(status(NOW - 17.0)),
        "alarm" => alarmed(run),
        "disconnected" => {
            run.status = Some(status(NOW - 75.0));
            run.connection = lost(None);
        }
        "died" => {
            run.status = Some(status(NOW - 75.0));
            run.connection = lost(Some(4711));
        }
        "unknown" => *run = RunView::new(run.folder.clone()),
        "over" => {
            (run.connection, run.status, run.facts) = (Connection::Over, None, facts("finished"));
            run.history = Arc::new(history(2500));
        }
        other => panic!("no state {other}"),
    }
    dashboard
}

fn lost(gone: Option<u64>) -> Connection {
    Connection::Lost { since: NOW - 74.0, tries: 37, why: "nobody listens".into(), gone }
}

fn alarmed(run: &mut RunView) {
    let mut status = status(NOW - 0.1);
    status.state = RunState::Paused;
    status.alarms = vec![
        alarm(3, Severity::Minor, (false, false)),
        alarm(2, Severity::Major, (true, false)),
        alarm(1, Severity::Invalid, (true, true)),
    ];
    status.training.drift_score = Some(1.3);
    status.plants[0].inputs[0].values[7] = 1.5;
    status.plants[1].links = vec![link("voice-coil", "dirty", NOW - 4.0), link("microphone", "backoff", NOW - 130.0)];
    if let Some(fit) = &mut status.plants[1].calibration {
        fit.due = "its residual is 1.3 times what it was".into();
    }
    run.status = Some(status);
}

/// The picture as text.
pub fn picture(dashboard: &Dashboard, (width, height): (u16, u16)) -> String {
    let mut terminal = Terminal::new(TestBackend::new(width, height)).unwrap();
    terminal.draw(|frame| frame.render_widget(dashboard, frame.area())).unwrap();
    let buffer = terminal.backend().buffer();
    let line = |y| (0..width).map(|x| buffer[(x, y)].symbol()).collect::<String>().trim_end().to_owned();
    (0..height).map(line).collect::<Vec<_>>().join("\n")
}

/// Presses keys on a small terminal.
pub fn press(dashboard: &mut Dashboard, keys: &[KeyCode]) -> Vec<Effect> {
    let area = Rect::new(0, 0, SMALL.0, SMALL.1);
    let event = |code: &KeyCode| Event::Key(KeyEvent::new(*code, KeyModifiers::NONE));
    keys.iter().filter_map(|code| dashboard.input(&event(code), area)).collect()
}

pub fn type_keys(dashboard: &mut Dashboard, keys: &str) -> Vec<Effect> {
    press(dashboard, &keys.chars().map(KeyCode::Char).collect::<Vec<_>>())
}

#[test]
fn each_panel_in_each_state() {
    for state in ["normal", "stale", "alarm", "disconnected", "over"] {
        for panel in Panel::ALL {
            let mut dashboard = dashboard(state);
            (dashboard.look.focus, dashboard.look.expanded) = (panel, true);
            insta::assert_snapshot!(format!("{}-{state}", panel.name()), picture(&dashboard, SMALL));
        }
    }
}

#[test]
fn the_whole_page_in_each_state_small_and_large() {
    for state in ["normal", "stale", "alarm", "disconnected", "died", "unknown", "over"] {
        let mut dashboard = dashboard(state);
        dashboard.look.plant = 1;
        insta::assert_snapshot!(format!("page-{state}-80x24"), picture(&dashboard, SMALL));
        insta::assert_snapshot!(format!("page-{state}-200x60"), picture(&dashboard, LARGE));
    }
}

#[test]
fn the_whole_page_in_ascii() {
    for state in ["normal", "alarm", "disconnected", "over"] {
        let mut dashboard = dashboard(state);
        dashboard.theme = Theme { color: false, unicode: false };
        for size in [SMALL, LARGE, (30, 8), (8, 2)] {
            let text = picture(&dashboard, size);
            assert!(text.is_ascii(), "{text}");
        }
        dashboard.overlay = Some(super::dashboard::Overlay::Help(0));
        assert!(picture(&dashboard, SMALL).is_ascii());
    }
    let mut dashboard = dashboard("alarm");
    dashboard.theme.unicode = false;
    insta::assert_snapshot!("page-alarm-ascii", picture(&dashboard, SMALL));
}

#[test]
fn questions_help_filters_and_frozen_pictures() {
    let mut dashboard = dashboard("normal");
    type_keys(&mut dashboard, "?");
    insta::assert_snapshot!("help", picture(&dashboard, SMALL));
    type_keys(&mut dashboard, "?s");
    insta::assert_snapshot!("confirm-stop", picture(&dashboard, SMALL));
    assert_eq!(type_keys(&mut dashboard, "n"), [], "anything but y goes on");
    assert_eq!(type_keys(&mut dashboard, "sy"), [Effect::Ask(Request::Stop)]);
    type_keys(&mut dashboard, "/750");
    press(&mut dashboard, &[KeyCode::Enter]);
    insta::assert_snapshot!("filtered-log", picture(&dashboard, SMALL));
    press(&mut dashboard, &[KeyCode::Esc]);
    assert!(dashboard.look.filter.is_empty());

    type_keys(&mut dashboard, "f");
    let frozen = picture(&dashboard, SMALL);
    dashboard.now += 30.0;
    let mut later = status(dashboard.now);
    later.training.step = 2000;
    later.alarms = vec![alarm(1, Severity::Major, (true, false))];
    dashboard.take_status(later);
    let text = picture(&dashboard, SMALL);
    assert!(text.contains("FROZEN 30 s") && text.contains("1,234/2,500"), "{text}");
    assert!(
        text.contains("!! MAJOR interlock") && !frozen.contains("MAJOR"),
        "alarms show over a frozen picture: {text}"
    );
    type_keys(&mut dashboard, "f");
    assert!(picture(&dashboard, SMALL).contains("2,000/2,500"));
}

#[test]
fn an_expanded_alarm_is_told_whole_and_a_kept_filter_is_marked() {
    let mut dashboard = dashboard("normal");
    let words: Vec<String> = (0..60).map(|word| format!("word{word}")).collect();
    let long = Alarm { message: words.join(" "), ..alarm(1, Severity::Major, (true, false)) };
    dashboard.take_status(Status { alarms: vec![alarm(2, Severity::Minor, (true, true)), long], ..status(NOW) });
    dashboard.look.focus = Panel::Alarms;
    assert!(!picture(&dashboard, SMALL).contains("word59"));
    dashboard.look.expanded = true;
    for size in [SMALL, LARGE] {
        let text = picture(&dashboard, size);
        assert!(words.iter().all(|word| text.contains(word.as_str())), "{text}");
    }
    dashboard.look.expanded = false;
    type_keys(&mut dashboard, "/750");
    press(&mut dashboard, &[KeyCode::Enter]);
    dashboard.say(Tone::Plain, "a sentence that hides the last line".into());
    assert!(picture(&dashboard, SMALL).contains("6 log /750"));
}

#[test]
fn the_table_of_runs() {
    let mut dashboard = Dashboard::new("runs".into(), UNICODE, NOW);
    insta::assert_snapshot!("table-unread", picture(&dashboard, SMALL));
    let run = |name: &str, state: &str, status: Option<Status>| RunRow {
        folder: format!("runs/{name}").into(),
        name: name.into(),
        facts: facts(state),
        status,
        holder: Holder::Unknown,
    };
    let mut alarmed = status(NOW - 0.3);
    alarmed.alarms = vec![alarm(2, Severity::Major, (true, false))];
    alarmed.state = RunState::Paused;
    let died = RunRow { holder: Holder::Gone(4711), ..run("died", "running", None) };
    let rows = vec![
        run("bench-a", "running", Some(status(NOW - 0.4))),
        run("bench-b", "running", Some(alarmed)),
        run("gone", "running", None),
        died,
        run("yesterday", "finished", None),
        run("compare/seed-1", "interrupted", None),
    ];
    assert_eq!(dashboard.take_runs(rows), None, "nothing is followed");
    insta::assert_snapshot!("table-80x24", picture(&dashboard, SMALL));
    insta::assert_snapshot!("table-200x60", picture(&dashboard, LARGE));
    type_keys(&mut dashboard, "jj");
    assert_eq!(press(&mut dashboard, &[KeyCode::Enter]), [Effect::Open("runs/gone".into())]);
    type_keys(&mut dashboard, "/seed");
    assert_eq!(press(&mut dashboard, &[KeyCode::Enter, KeyCode::Enter]), [Effect::Open("runs/compare/seed-1".into())]);
}

#[test]
fn the_newest_run_is_followed() {
    let mut dashboard = Dashboard::new("runs".into(), UNICODE, NOW);
    dashboard.follow = true;
    let run = |name: &str, started: f64, status: Option<Status>| RunRow {
        folder: format!("runs/{name}").into(),
        name: name.into(),
        facts: Facts { started_unix_seconds: started, ..facts(if status.is_some() { "running" } else { "finished" }) },
        status,
        holder: Holder::Unknown,
    };
    let old = run("old", NOW - 100.0, None);
    assert_eq!(dashboard.take_runs(vec![old.clone()]), Some("runs/old".into()));
    dashboard.open("runs/old".into());
    dashboard.take_connection(Connection::Over);
    dashboard.run.as_mut().unwrap().facts = old.facts.clone();
    assert_eq!(dashboard.take_runs(vec![old.clone()]), None);
    let new = run("new", NOW, Some(status(NOW)));
    assert_eq!(dashboard.take_runs(vec![new, old]), Some("runs/new".into()));
}

#[test]
fn keys_ask_what_they_say() {
    let mut dashboard = dashboard("alarm");
    assert_eq!(type_keys(&mut dashboard, "p"), [Effect::Ask(Request::Resume)], "it is paused");
    assert_eq!(type_keys(&mut dashboard, "a"), [Effect::Ask(Request::Acknowledge { alarm: 2 })], "the worst unseen");
    type_keys(&mut dashboard, "5j");
    assert_eq!(type_keys(&mut dashboard, "a"), [Effect::Ask(Request::Acknowledge { alarm: 3 })], "the selected");
    dashboard.run.as_mut().unwrap().status = Some(status(NOW));
    assert_eq!(type_keys(&mut dashboard, "p"), [Effect::Ask(Request::Pause)]);
    assert_eq!(type_keys(&mut dashboard, "a"), []);
    for (key, panel) in "1234567".chars().zip(Panel::ALL) {
        press(&mut dashboard, &[KeyCode::Char(key)]);
        assert_eq!(dashboard.look.focus, panel);
    }
    assert_eq!(type_keys(&mut dashboard, "9"), []);
    assert!(picture(&dashboard, SMALL).contains("there is no panel 9"));
    press(&mut dashboard, &[KeyCode::Tab]);
    assert_eq!(dashboard.look.focus, Panel::Bench, "around the end");
    press(&mut dashboard, &[KeyCode::BackTab]);
    assert_eq!(dashboard.look.focus, Panel::Budget);
    assert_eq!(type_keys(&mut dashboard, "q"), [Effect::Quit]);
    assert_eq!(press(&mut dashboard, &[KeyCode::Enter, KeyCode::Esc]), [], "Esc takes back the expanding first");
    assert_eq!(press(&mut dashboard, &[KeyCode::Esc]), [Effect::Close]);
    let control_c = Event::Key(KeyEvent::new(KeyCode::Char('c'), KeyModifiers::CONTROL));
    dashboard.overlay = Some(super::dashboard::Overlay::ConfirmStop);
    assert_eq!(dashboard.input(&control_c, Rect::new(0, 0, 80, 24)), Some(Effect::Quit));
}

#[test]
fn a_click_gives_the_focus() {
    use ratatui::crossterm::event::{MouseButton, MouseEvent, MouseEventKind};
    let mut dashboard = dashboard("normal");
    let area = Rect::new(0, 0, SMALL.0, SMALL.1);
    let at = |column, row| {
        Event::Mouse(MouseEvent {
            kind: MouseEventKind::Down(MouseButton::Left),
            column,
            row,
            modifiers: KeyModifiers::NONE,
        })
    };
    dashboard.input(&at(70, 3), area);
    assert_eq!(dashboard.look.focus, Panel::Bench);
    dashboard.input(&at(5, 20), area);
    assert_eq!(dashboard.look.focus, Panel::Plant);
    dashboard.input(&at(0, 0), area);
    assert_eq!(dashboard.look.focus, Panel::Plant, "the title is no panel");
}

#[test]
fn any_size_and_any_state_can_be_drawn() {
    for state in ["normal", "alarm", "disconnected", "died", "unknown", "over"] {
        let mut dashboard = dashboard(state);
        for expanded in [false, true] {
            for panel in Panel::ALL {
                (dashboard.look.expanded, dashboard.look.focus) = (expanded, panel);
                (dashboard.look.scroll, dashboard.look.spectrum) = (1000, expanded);
                for size in [(1, 1), (24, 6), (25, 7), (40, 12), (79, 24), (80, 22), (139, 31), (140, 32), (300, 90)] {
                    let text = picture(&dashboard, size);
                    assert_eq!(text.lines().count(), usize::from(size.1).max(text.lines().count()));
                }
            }
        }
    }
}

#[test]
fn a_closed_run_is_over() {
    let mut dashboard = dashboard("normal");
    let closed = Status { state: RunState::Closed(StopReason::Stopped), ..status(NOW) };
    dashboard.take_status(closed);
    let text = picture(&dashboard, SMALL);
    assert!(text.contains("REPLAY") && text.contains("STOPPED") && text.contains("SIMULATED"), "{text}");
}
