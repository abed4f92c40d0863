//! The whole picture: title with badges that never leave, second line with what is wrong, page, last line with keys or answers.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::text::{Line, Span};
use ratatui::widgets::{Clear, Widget};

use super::alarms::{AlarmsPanel, severity_mark};
use super::bench::BenchPanel;
use super::budget::BudgetPanel;
use super::calibration::CalibrationPanel;
use super::connection::Connection;
use super::dashboard::{Dashboard, FRESH_SECONDS, Overlay, Page, RunView};
use super::find::{origin_badge, state_word};
use super::layout;
use super::log::LogPanel;
use super::number::{clock, count, duration, fit};
use super::overlay;
use super::panel::Panel;
use super::plant::PlantPanel;
use super::record::severity_tone;
use super::runs_table;
use super::theme::Tone;
use super::training::TrainingPanel;
use crate::control::RunState;

impl Widget for &Dashboard {
    fn render(self, area: Rect, buffer: &mut Buffer) {
        let (width, height) = layout::LEAST;
        if area.width < width || area.height < height {
            let said = self.safety_lines(u16::MAX).into_iter().next();
            let small = format!("{}x{} is too small: {width}x{height}", area.width, area.height);
            let (tone, text) = said.unwrap_or((Tone::Plain, small));
            Line::styled(text, tone).render(area, buffer);
            return self.theme.finish(buffer);
        }
        let [title, second, body, safety, last] = layout::parts(self, area);
        if let (Page::Run, Some(run)) = (self.page, self.shown()) {
            run_title(self, run, title, buffer);
            second_line(self, run, second.width).render(second, buffer);
            for (panel, area) in layout::panels(self, area) {
                draw_panel(self, panel, area, buffer);
            }
        } else {
            runs_table::title(self, title, buffer);
            runs_table::second_line(self, second.width).render(second, buffer);
            runs_table::draw(self, body, area, buffer);
        }
        last_line(self, last.width).render(last, buffer);
        // Nothing lies over what became of `!`.
        for ((tone, text), row) in self.safety_lines(safety.width).into_iter().zip(safety.rows()) {
            Line::styled(text, tone).render(row, buffer);
        }
        let free = if safety.is_empty() { area } else { Rect { height: safety.y - area.y, ..area } };
        match &self.overlay {
            Some(Overlay::Help(scroll)) => overlay::help(*scroll, free, buffer),
            Some(Overlay::ConfirmStop) => overlay::confirm_stop(self, free, buffer),
            None => {}
        }
        self.theme.finish(buffer);
    }
}

fn draw_panel(dashboard: &Dashboard, panel: Panel, area: Rect, buffer: &mut Buffer) {
    Clear.render(area, buffer);
    match panel {
        Panel::Bench => BenchPanel(dashboard).render(area, buffer),
        Panel::Plant => PlantPanel(dashboard).render(area, buffer),
        Panel::Training => TrainingPanel(dashboard).render(area, buffer),
        Panel::Calibration => CalibrationPanel(dashboard).render(area, buffer),
        Panel::Alarms => AlarmsPanel(dashboard).render(area, buffer),
        Panel::Log => LogPanel(dashboard).render(area, buffer),
        Panel::Budget => BudgetPanel(dashboard).render(area, buffer),
    }
    let freshness = dashboard.shown().map(|run| run.panel_freshness(panel, dashboard.shown_now()));
    if let Some(super::dashboard::Freshness::Stale(_)) = freshness {
        let inside =
            Rect { x: area.x + 1, y: area.y + 1, width: area.width - 2, height: area.height.saturating_sub(2) };
        buffer.set_style(inside, Tone::Stale);
    }
}

fn origins(run: &RunView) -> Vec<&str> {
    match &run.status {
        Some(status) => status.plants.iter().map(|plant| plant.origin.as_str()).collect(),
        None => run.facts.plants.iter().map(|plant| plant.origin.as_str()).collect(),
    }
}

/// Badges first: whatever is cut for want of room, they are not.
fn run_title(dashboard: &Dashboard, run: &RunView, area: Rect, buffer: &mut Buffer) {
    let mut left = vec![Span::styled(format!(" {} ", origin_badge(&origins(run))), Tone::Badge), Span::raw(" ")];
    if run.over() {
        left.push(Span::styled(" REPLAY ", Tone::Badge));
        left.push(Span::raw(" "));
    }
    if let Some((since, _)) = &dashboard.frozen {
        left.push(Span::styled(format!(" FROZEN {} ", duration(dashboard.now - since)), Tone::Badge));
        left.push(Span::raw(" "));
    }
    // A frozen picture does not freeze what the run is doing.
    let live = dashboard.run.as_ref().unwrap_or(run);
    let (state, tone) = state(live);
    let lost = matches!(live.connection, Connection::Lost { .. }) && !live.over();
    let state = if lost { format!("was {state}") } else { state };
    let age = age(dashboard, live);
    let right = vec![
        Span::styled(state, tone),
        Span::raw(" "),
        age,
        Span::styled(format!(" {} UTC ", clock(dashboard.now)), Tone::Faint),
    ];
    let used: usize = left.iter().chain(&right).map(Span::width).sum();
    let (experiment, method, seed) = match &run.status {
        Some(status) => (&status.experiment, &status.method, status.seed),
        None => (&run.facts.experiment, &run.facts.method, run.facts.seed),
    };
    let name = if experiment.is_empty() { run.name() } else { format!("{experiment} {method} seed {seed}") };
    left.push(Span::styled(fit(&name, usize::from(area.width).saturating_sub(used + 1)), Tone::Strong));
    let right_width: usize = right.iter().map(Span::width).sum();
    Line::from(left).render(area, buffer);
    let x = area.right().saturating_sub(right_width as u16).max(area.x);
    Line::from(right).render(Rect { x, width: area.right() - x, ..area }, buffer);
}

/// Where the run is in its life.
fn state(run: &RunView) -> (String, Tone) {
    let word = match &run.status {
        Some(status)
            if run.gone().is_none() && run.wish == Some(RunState::Paused) && status.state == RunState::Running =>
        {
            "pausing".to_owned()
        }
        Some(status) if run.wish == Some(RunState::Running) && status.state == RunState::Paused => {
            "resuming".to_owned()
        }
        _ if run.gone().is_some() => "lost".to_owned(),
        Some(status) => state_word(status.state).to_owned(),
        None if run.facts.state.is_empty() => "opening".to_owned(),
        None => run.facts.state.clone(),
    };
    let tone = match word.as_str() {
        "running" | "finished" => Tone::Good,
        "failed" | "lost" | "aborted" => Tone::Major,
        _ => Tone::Minor,
    };
    (word.to_uppercase(), tone)
}

/// How fresh what is shown is.
fn age(dashboard: &Dashboard, run: &RunView) -> Span<'static> {
    if run.over() {
        let step = dashboard.look.cursor.unwrap_or(run.span().1);
        return Span::styled(format!("step {}", count(step)), Tone::Strong);
    }
    let age = run.status.as_ref().map(|status| dashboard.now - status.unix_seconds);
    match (&run.connection, age) {
        (Connection::Lost { since, .. }, age) => {
            Span::styled(format!("DISCONNECTED {}", duration(age.unwrap_or(dashboard.now - since))), Tone::Major)
        }
        (_, None) => Span::styled("CONNECTING", Tone::Minor),
        (_, Some(age)) if age <= FRESH_SECONDS => Span::styled("live", Tone::Good),
        (_, Some(age)) => Span::styled(format!("STALE {}", duration(age)), Tone::Minor),
    }
}

/// What is wrong, the worst first; or else the names of the panels.
fn second_line(dashboard: &Dashboard, run: &RunView, width: u16) -> Line<'static> {
    let width = usize::from(width);
    // A frozen picture hides no alarm.
    let live = dashboard.run.as_ref().unwrap_or(run);
    if let Some(id) = live.gone() {
        let folder = live.folder.display();
        let text = match live.tuning() {
            Some(_) => format!(" The search died: process {id} is gone. The command of {folder} with --resume goes on"),
            None => format!(" The run died: process {id} is gone. pnnlab train --resume {folder}"),
        };
        return Line::styled(fit(&text, width), Tone::Major);
    }
    if let Some(failure) = live.log.failure.as_ref().filter(|_| live.over()) {
        return Line::styled(fit(&format!(" It failed: {failure}"), width), Tone::Major);
    }
    let unread = live.problem.as_ref().filter(|_| live.status.is_none());
    if let Some(problem) = unread {
        return Line::styled(fit(&format!(" The record cannot be read: {problem}"), width), Tone::Major);
    }
    if let Connection::Lost { tries, why, .. } = &live.connection
        && !live.over()
    {
        let text = format!(" No answer: {why}. Trying again by itself ({tries}). What is shown is old.");
        return Line::styled(fit(&text, width), Tone::Major);
    }
    let alarms = live.alarms(None);
    let unseen = alarms.iter().filter(|alarm| !alarm.acknowledged).count();
    if let Some(worst) = alarms.first().filter(|_| 0 < unseen && !live.over()) {
        let more = if unseen == 1 { String::new() } else { format!(" (+{})", unseen - 1) };
        let over = if worst.active { "" } else { "over: " };
        let mark = severity_mark(worst.severity);
        let text = format!(" {mark}{more} {over}{}: {} - a acknowledges", worst.source, worst.message);
        return Line::styled(fit(&text, width), severity_tone(worst.severity));
    }
    if let Some(status) = live.status.as_ref().filter(|status| status.state == RunState::Paused && !live.over()) {
        let next = if status.held { "goes on by itself, s stops" } else { "p goes on" };
        return Line::styled(fit(&format!(" Paused {} - {next}", status.why), width), Tone::Minor);
    }
    if let Some(problem) = &live.problem {
        return Line::styled(fit(&format!(" The record cannot be read: {problem}"), width), Tone::Minor);
    }
    let mut spans = Vec::new();
    for panel in Panel::ALL {
        let tone = if panel == dashboard.look.focus { Tone::Focus } else { Tone::Faint };
        spans.push(Span::styled(format!(" {} {} ", panel.number(), panel.name()), tone));
    }
    spans.push(Span::styled(" 8 runs", Tone::Faint));
    Line::from(spans)
}

/// What is being typed, what was answered, or the keys.
fn last_line(dashboard: &Dashboard, width: u16) -> Line<'static> {
    let width = usize::from(width);
    if let Some(entry) = &dashboard.entry {
        let text = format!(" filter: {entry}█  Enter keeps it, Esc takes it away");
        return Line::styled(fit(&text, width), Tone::Focus);
    }
    if let Some(notice) = dashboard.notice() {
        return Line::styled(fit(&format!(" {}", notice.text), width), notice.tone);
    }
    let over = dashboard.shown().is_some_and(RunView::over);
    let keys = match (dashboard.page, over) {
        (Page::Runs, _) => " Enter opens  ! SAFE all  / filter  ? help  q quit",
        (Page::Run, true) => " ←→ time  space plays  +- zoom  Tab panel  e expand  Esc runs  ? help  q quit",
        (Page::Run, false) => " ! SAFE  p pause  s stop  a ack  e expand  f freeze  / filter  ? help  q quit",
    };
    let filter = match dashboard.page {
        Page::Runs => &dashboard.table.filter,
        Page::Run => &dashboard.look.filter,
    };
    if filter.is_empty() {
        Line::styled(fit(keys, width), Tone::Faint)
    } else {
        Line::styled(fit(&format!(" filter: {filter} (Esc takes it away) {keys}"), width), Tone::Minor)
    }
}
