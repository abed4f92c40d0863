//! What keys and the mouse do: a pure change of the dashboard, and what is to be done outside of it.

use std::path::PathBuf;

use ratatui::crossterm::event::{Event, KeyCode, KeyEvent, KeyEventKind, KeyModifiers, MouseEvent, MouseEventKind};
use ratatui::layout::{Position, Rect};

use super::dashboard::{Dashboard, Overlay, Page};
use super::layout;
use super::panel::Panel;
use super::theme::Tone;
use crate::control::{Request, RunState};

/// What is to be done outside of the dashboard.
#[derive(Debug, Clone, PartialEq)]
pub enum Effect {
    /// End the dashboard; runs go on.
    Quit,
    /// Open a run.
    Open(PathBuf),
    /// Go back to the table.
    Close,
    /// Ask the open run.
    Ask(Request),
}

/// Lines of a page.
const PAGE: isize = 10;

impl Dashboard {
    /// One key, click or turn of the wheel on a terminal of size `area`. `!` is not among them: see `terminal.rs`.
    pub fn input(&mut self, event: &Event, area: Rect) -> Option<Effect> {
        match event {
            Event::Key(key) if key.kind != KeyEventKind::Release => self.key(*key),
            Event::Mouse(mouse) => self.mouse(*mouse, area),
            _ => None,
        }
    }

    fn key(&mut self, key: KeyEvent) -> Option<Effect> {
        if key.modifiers.contains(KeyModifiers::CONTROL) {
            return (key.code == KeyCode::Char('c')).then_some(Effect::Quit);
        }
        if self.entry.is_some() {
            self.type_filter(key.code);
            return None;
        }
        match &self.overlay {
            Some(Overlay::Help(_)) => return self.help_key(key.code),
            Some(Overlay::ConfirmStop) => {
                self.overlay = None;
                let yes = matches!(key.code, KeyCode::Char('y' | 'Y'));
                return yes.then_some(Effect::Ask(Request::Stop));
            }
            None => {}
        }
        match key.code {
            KeyCode::Char('q') => return Some(Effect::Quit),
            KeyCode::Char('?') | KeyCode::F(1) => self.overlay = Some(Overlay::Help(0)),
            KeyCode::Char('/') => self.start_filter(),
            _ if self.page == Page::Runs => return self.table_key(key.code),
            _ => return self.run_key(key.code),
        }
        None
    }

    fn help_key(&mut self, key: KeyCode) -> Option<Effect> {
        match (key, &mut self.overlay) {
            (KeyCode::Char('j') | KeyCode::Down, Some(Overlay::Help(scroll))) => *scroll += 1,
            (KeyCode::Char('k') | KeyCode::Up, Some(Overlay::Help(scroll))) => *scroll = scroll.saturating_sub(1),
            _ => self.overlay = None,
        }
        None
    }

    fn start_filter(&mut self) {
        let filter = if self.page == Page::Runs {
            &self.table.filter
        } else {
            self.look.focus = Panel::Log;
            &self.look.filter
        };
        self.entry = Some(filter.clone());
    }

    /// The filter works while it is typed; Esc takes it away.
    fn type_filter(&mut self, key: KeyCode) {
        let Some(entry) = &mut self.entry else { return };
        match key {
            KeyCode::Char(letter) => entry.push(letter),
            KeyCode::Backspace => drop(entry.pop()),
            KeyCode::Esc => entry.clear(),
            _ => {}
        }
        let filter = if self.page == Page::Runs { &mut self.table.filter } else { &mut self.look.filter };
        filter.clone_from(entry);
        (self.table.selected, self.look.log_back) = (0, 0);
        if matches!(key, KeyCode::Esc | KeyCode::Enter) {
            self.entry = None;
        }
    }

    fn table_key(&mut self, key: KeyCode) -> Option<Effect> {
        let last = self.table.visible().count().saturating_sub(1);
        let selected = self.table.selected;
        let moved = |by: isize| selected.saturating_add_signed(by).min(last);
        self.table.selected = match key {
            KeyCode::Char('j') | KeyCode::Down => moved(1),
            KeyCode::Char('k') | KeyCode::Up => moved(-1),
            KeyCode::PageDown => moved(PAGE),
            KeyCode::PageUp => moved(-PAGE),
            KeyCode::Char('g') | KeyCode::Home => 0,
            KeyCode::Char('G') | KeyCode::End => last,
            KeyCode::Enter | KeyCode::Char('e' | 'l') | KeyCode::Right => {
                return self.table.visible().nth(selected).map(|row| Effect::Open(row.folder.clone()));
            }
            KeyCode::Esc => {
                self.table.filter.clear();
                selected
            }
            KeyCode::Char('p' | 's' | 'a') => {
                self.say(Tone::Plain, "open a run first: Enter".to_owned());
                selected
            }
            _ => selected,
        };
        None
    }

    fn run_key(&mut self, key: KeyCode) -> Option<Effect> {
        match key {
            KeyCode::Char(digit @ '1'..='7') => self.focus(Panel::ALL[digit as usize - '1' as usize]),
            KeyCode::Char('8') => return Some(Effect::Close),
            KeyCode::Char('9') => {
                self.say(Tone::Plain, "there is no panel 9: 1 to 7 are panels, 8 all runs".to_owned());
            }
            KeyCode::Tab => self.focus(self.look.focus.next(1)),
            KeyCode::BackTab => self.focus(self.look.focus.next(-1)),
            KeyCode::Char('e') | KeyCode::Enter => self.look.expanded = !self.look.expanded,
            KeyCode::Char('f') => self.freeze(),
            KeyCode::Char('p') => return self.pause(),
            KeyCode::Char('s') => return self.stop(),
            KeyCode::Char('a') => return self.acknowledge(),
            KeyCode::Char('w') => self.look.spectrum = !self.look.spectrum,
            KeyCode::Char('+' | '=') => self.look.zoom = (self.look.zoom + 1).min(40),
            KeyCode::Char('-') => self.look.zoom = self.look.zoom.saturating_sub(1),
            KeyCode::Char(' ') => self.play(),
            KeyCode::Esc => return self.escape(),
            KeyCode::Char('h') | KeyCode::Left => self.sideways(-1),
            KeyCode::Char('l') | KeyCode::Right => self.sideways(1),
            KeyCode::Char('H') => self.sideways(-PAGE),
            KeyCode::Char('L') => self.sideways(PAGE),
            KeyCode::Char('j') | KeyCode::Down => self.scroll(1),
            KeyCode::Char('k') | KeyCode::Up => self.scroll(-1),
            KeyCode::PageDown => self.scroll(PAGE),
            KeyCode::PageUp => self.scroll(-PAGE),
            KeyCode::Char('g') | KeyCode::Home => self.jump(false),
            KeyCode::Char('G') | KeyCode::End => self.jump(true),
            _ => {}
        }
        None
    }

    fn focus(&mut self, panel: Panel) {
        if self.look.focus != panel {
            (self.look.focus, self.look.scroll) = (panel, 0);
        }
    }

    /// Esc undoes one thing after the other, and at last goes back to the table.
    fn escape(&mut self) -> Option<Effect> {
        if self.look.filter.is_empty() && !self.look.expanded && self.frozen.is_none() {
            return Some(Effect::Close);
        }
        if !self.look.filter.is_empty() {
            self.look.filter.clear();
        } else if self.look.expanded {
            self.look.expanded = false;
        } else {
            self.frozen = None;
        }
        None
    }

    fn freeze(&mut self) {
        self.frozen = match (self.frozen.take(), &self.run) {
            (None, Some(run)) => Some((self.now, Box::new(run.clone()))),
            _ => None,
        };
    }

    /// Whether the open run can be asked anything; says why not.
    fn reachable(&mut self) -> bool {
        let over = self.run.as_ref().is_none_or(super::dashboard::RunView::over);
        let gone = self.run.as_ref().and_then(super::dashboard::RunView::gone);
        if over {
            let text = gone.map_or("this run is over: there is nothing to control".to_owned(), |id| {
                format!("its process {id} is gone: there is nothing to control")
            });
            self.say(Tone::Plain, text);
        }
        !over
    }

    fn pause(&mut self) -> Option<Effect> {
        if !self.reachable() {
            return None;
        }
        let paused = self.run.as_ref()?.soon() == Some(RunState::Paused);
        Some(Effect::Ask(if paused { Request::Resume } else { Request::Pause }))
    }

    fn stop(&mut self) -> Option<Effect> {
        if self.reachable() {
            self.overlay = Some(Overlay::ConfirmStop);
        }
        None
    }

    /// The selected alarm, or else the one that the second line shows.
    fn acknowledge(&mut self) -> Option<Effect> {
        if !self.reachable() {
            return None;
        }
        let alarms = self.run.as_ref()?.alarms(None);
        let unseen = |place: usize| alarms.get(place).filter(|alarm| !alarm.acknowledged);
        let selected = if self.look.focus == Panel::Alarms { unseen(self.look.alarm) } else { None };
        let alarm = selected.or_else(|| unseen(0)).map(|alarm| alarm.id);
        if alarm.is_none() {
            self.say(Tone::Plain, "there is no alarm to acknowledge".to_owned());
        }
        alarm.map(|alarm| Effect::Ask(Request::Acknowledge { alarm }))
    }

    /// Moves the time slider by itself, or holds it.
    fn play(&mut self) {
        let Some(run) = self.shown().filter(|run| run.over()) else { return };
        let (first, last) = run.span();
        if self.look.cursor.is_none_or(|cursor| last <= cursor) {
            self.look.cursor = Some(first);
        }
        self.look.playing = !self.look.playing;
    }

    /// The next plant, the time slider, or the next panel: what there is to move sideways.
    fn sideways(&mut self, by: isize) {
        let plants = self.shown().and_then(|run| run.status.as_ref()).map_or(0, |status| status.plants.len());
        if self.look.focus == Panel::Plant && 1 < plants {
            self.look.plant = (self.look.plant as isize + by).rem_euclid(plants as isize) as usize;
        } else if self.shown().is_some_and(super::dashboard::RunView::over) {
            self.slide(by);
        } else {
            self.focus(self.look.focus.next(by.signum()));
        }
    }

    /// Moves the time slider by a hundredth of what the curves show, at least one step.
    pub fn slide(&mut self, by: isize) {
        let Some(run) = self.shown() else { return };
        let (first, last) = run.span();
        let width = self.window().map_or(0, |(from, to)| to - from);
        let steps = (width / 100).max(1) as i64;
        let cursor = self.look.cursor.unwrap_or(last).saturating_add_signed(by as i64 * steps);
        self.look.cursor = Some(cursor.clamp(first, last));
    }

    fn scroll(&mut self, by: isize) {
        match self.look.focus {
            Panel::Log => {
                let most = self.log_lines().len().saturating_sub(1);
                self.look.log_back = self.look.log_back.saturating_add_signed(-by).min(most);
            }
            Panel::Alarms => {
                let most = self.alarms().len().saturating_sub(1);
                self.look.alarm = self.look.alarm.saturating_add_signed(by).min(most);
            }
            _ => self.look.scroll = self.look.scroll.saturating_add_signed(by).min(1000),
        }
    }

    /// To the first or the last line, or of a record's curves to its start or end.
    fn jump(&mut self, end: bool) {
        match self.look.focus {
            Panel::Log => self.look.log_back = if end { 0 } else { self.log_lines().len() },
            Panel::Alarms => {
                self.look.alarm = if end { self.alarms().len().saturating_sub(1) } else { 0 };
            }
            Panel::Training if self.shown().is_some_and(super::dashboard::RunView::over) => {
                let span = self.shown().map_or((0, 0), super::dashboard::RunView::span);
                self.look.cursor = Some(if end { span.1 } else { span.0 });
            }
            _ => self.look.scroll = if end { 1000 } else { 0 },
        }
    }

    /// A click gives a panel or row the focus, the wheel scrolls.
    fn mouse(&mut self, mouse: MouseEvent, area: Rect) -> Option<Effect> {
        let by = match mouse.kind {
            MouseEventKind::ScrollDown => 1,
            MouseEventKind::ScrollUp => -1,
            MouseEventKind::Down(_) => 0,
            _ => return None,
        };
        if self.overlay.is_some() {
            return None;
        }
        let position = Position::new(mouse.column, mouse.row);
        if self.page == Page::Runs {
            let row = layout::table_row(self, area, position);
            match (by, row) {
                (0, Some(row)) if row == self.table.selected => return self.table_key(KeyCode::Enter),
                (0, Some(row)) => self.table.selected = row,
                (0, None) => {}
                _ => return self.table_key(if by == 1 { KeyCode::Down } else { KeyCode::Up }),
            }
            return None;
        }
        let panels = layout::panels(self, area);
        let panel = panels.into_iter().find(|(_, area)| area.contains(position)).map(|(panel, _)| panel)?;
        self.focus(panel);
        if by != 0 {
            self.scroll(by);
        }
        None
    }

    /// How far `panel` is scrolled: only the one in focus is.
    pub fn scroll_of(&self, panel: Panel) -> usize {
        if self.look.focus == panel { self.look.scroll } else { 0 }
    }
}
