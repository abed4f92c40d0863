//! Records of runs that are over, as the time slider shows them.

use std::sync::Arc;

use ratatui::crossterm::event::KeyCode;

use super::dashboard::{Dashboard, Detail};
use super::golden::{NOW, SMALL, dashboard, history, picture, press, row, type_keys};
use super::panel::Panel;
use super::record::{Events, StepSeconds};

/// A run that was stopped after 1,234 of 200,000 updates, without a test, as it is opened afterwards.
fn stopped() -> Dashboard {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("events.jsonl");
    let alarm = |at: f64, active: bool| {
        format!(
            r#"{{"event":"alarm","id":1,"severity":"major","source":"drift","message":"moved","first_unix_seconds":{},"active":{active},"acknowledged":false,"unix_seconds":{at}}}"#,
            NOW - 3000.0
        )
    };
    let event = |age: f64, text: &str| format!(r#"{{"event":{text},"unix_seconds":{}}}"#, NOW - age);
    let lines = [
        event(3600.0, r#""started","experiment":"digits-electrical","method":"physics-aware","seed":1,"steps":200000"#),
        event(3300.0, r#""agreement","step":100,"twin_residual":0.0312345678901234"#),
        alarm(NOW - 3000.0, true),
        event(2500.0, r#""agreement","step":700,"twin_residual":0.1512345678901234"#),
        event(2400.0, r#""finished","reason":"stopped""#),
    ];
    std::fs::write(&path, lines.join("\n") + "\n").unwrap();
    let mut events = Events::new(path);
    events.poll().unwrap();
    let mut dashboard = dashboard("over");
    let run = dashboard.run.as_mut().unwrap();
    run.facts.state = "stopped".into();
    run.facts.started_unix_seconds = NOW - 3600.0;
    run.facts.step_seconds = Some(StepSeconds { plant: 5.0, twin: 3.0, digital: 1.0, overhead: 1.0 });
    (run.history, run.log) = (Arc::new(history(1234)), Arc::new(events.log().clone()));
    dashboard
}

/// What the slider asks for, read.
fn read(dashboard: &mut Dashboard) {
    if let Some((from, to)) = dashboard.wanted() {
        let rows = (from.max(1)..=to.min(1234)).map(|step| super::history::Row {
            shots: Some(step as f64 * 512.0),
            plant_seconds: Some(step as f64 * 0.4),
            ..row(step, 1.0 / step as f64)
        });
        let rows = rows.collect();
        dashboard.take_detail(Detail { from, to, rows });
    }
}

#[test]
fn a_stopped_run_is_shown_against_its_plan_with_curves() {
    let mut dashboard = stopped();
    let text = picture(&dashboard, SMALL);
    insta::assert_snapshot!("stopped-80x24", text);
    assert!(text.contains("step 1,234/200,000") && text.contains("twin residual 15.1 %"), "{text}");
    assert!(text.contains("steps 1 to 1,234") && text.contains("3.0 %") == text.contains("never"), "{text}");
    dashboard.look.focus = Panel::Training;
    type_keys(&mut dashboard, "+");
    let text = picture(&dashboard, SMALL);
    assert!(text.contains("steps 618 to 1,234"), "the curves are zoomed: {text}");
}

#[test]
fn alarms_log_and_budget_follow_the_slider_and_stand_still_at_the_end() {
    let mut dashboard = stopped();
    let end = picture(&dashboard, SMALL);
    assert!(end.contains("10 min 00 s active") && end.contains("ended: stopped"), "{end}");
    dashboard.now += 5000.0;
    assert!(
        picture(&dashboard, SMALL).contains("10 min 00 s active"),
        "the alarm of a run that is over grows no older"
    );
    dashboard.look.focus = Panel::Training;
    type_keys(&mut dashboard, "g");
    read(&mut dashboard);
    press(&mut dashboard, &[KeyCode::Right]);
    read(&mut dashboard);
    let start = picture(&dashboard, SMALL);
    assert!(start.contains("step 13/200,000") && start.contains("shots 6,656 of 631,808"), "{start}");
    assert!(start.contains("✓ none") && !start.contains("ended"), "before the alarm and the end: {start}");
    assert!(start.contains("here 39 s"), "{start}");
    // Between the two agreements, after the alarm.
    dashboard.look.cursor = Some(500);
    read(&mut dashboard);
    let middle = picture(&dashboard, SMALL);
    assert!(middle.contains("twin residual 3.1 %") && middle.contains("3 min 53 s active"), "{middle}");
}

#[test]
fn a_record_is_replayed_by_a_slider() {
    let mut dashboard = dashboard("over");
    dashboard.look.focus = Panel::Training;
    assert_eq!(dashboard.wanted(), None, "the end is known");
    type_keys(&mut dashboard, "g");
    assert_eq!(dashboard.look.cursor, Some(1));
    let (from, to) = dashboard.wanted().unwrap();
    assert!(from <= 1 && 2500 <= to);
    let rows = (1..=2500).map(|step| row(step, step as f64)).collect();
    dashboard.take_detail(Detail { from, to, rows });
    assert_eq!(dashboard.wanted(), None);
    type_keys(&mut dashboard, "lll");
    assert_eq!(dashboard.look.cursor, Some(1 + 3 * 24));
    assert_eq!(dashboard.run.as_ref().unwrap().row_at(73).unwrap().loss, Some(73.0));
    type_keys(&mut dashboard, "LLLL++");
    insta::assert_snapshot!("replay-80x24", picture(&dashboard, SMALL));
    type_keys(&mut dashboard, " ");
    assert!(dashboard.look.playing);
    type_keys(&mut dashboard, "G");
    assert_eq!(dashboard.look.cursor, Some(2500));
    assert_eq!(type_keys(&mut dashboard, "psa"), [], "nothing can be asked of a run that is over");
    assert!(dashboard.notice().unwrap().text.contains("over"));
}
