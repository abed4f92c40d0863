//! Where everything stands, for any size of the terminal: a pure function, asked by the drawing and by the mouse.

use ratatui::layout::{Constraint, Layout, Position, Rect};

use super::dashboard::Dashboard;
use super::panel::Panel;

/// What the whole page needs; smaller terminals show one panel at a time.
const WHOLE: (u16, u16) = (80, 22);
/// From this size on there are three columns.
const WIDE: (u16, u16) = (140, 32);
/// Less than this shows nothing useful.
pub const LEAST: (u16, u16) = (24, 6);

/// The parts of every page: title, second line, body, what became of `!`, last line.
pub fn parts(dashboard: &Dashboard, area: Rect) -> [Rect; 5] {
    let safety = dashboard.safety_lines(area.width).len() as u16;
    let one = Constraint::Length(1);
    Layout::vertical([one, one, Constraint::Fill(1), Constraint::Length(safety), one]).areas(area)
}

/// The panels that are drawn, and where.
pub fn panels(dashboard: &Dashboard, area: Rect) -> Vec<(Panel, Rect)> {
    let [_, _, body, _, _] = parts(dashboard, area);
    if dashboard.look.expanded || area.width < WHOLE.0 || area.height < WHOLE.1 {
        return vec![(dashboard.look.focus, body)];
    }
    if WIDE.0 <= area.width && WIDE.1 <= area.height { three_columns(body) } else { two_columns(dashboard, body) }
}

fn column<const N: usize>(area: Rect, rows: [(Panel, Constraint); N]) -> Vec<(Panel, Rect)> {
    let areas = Layout::vertical(rows.map(|(_, height)| height)).split(area);
    rows.iter().map(|(panel, _)| *panel).zip(areas.iter().copied()).collect()
}

fn two_columns(dashboard: &Dashboard, body: Rect) -> Vec<(Panel, Rect)> {
    let [left, right] = Layout::horizontal([Constraint::Percentage(58), Constraint::Fill(1)]).areas(body);
    // A record holds no single shots: the curves take their room.
    let shots = dashboard.shown().is_none_or(|run| !run.over() || run.status.is_some());
    let plant = if shots { Constraint::Fill(1) } else { Constraint::Length(3) };
    // What is left over 21 rows goes to curves, bench and log.
    let mut all = column(left, [(Panel::Training, Constraint::Fill(1)), (Panel::Plant, plant)]);
    all.extend(column(
        right,
        [
            (Panel::Bench, Constraint::Fill(2)),
            (Panel::Calibration, Constraint::Length(3)),
            (Panel::Alarms, Constraint::Length(4)),
            (Panel::Budget, Constraint::Length(5)),
            (Panel::Log, Constraint::Fill(2)),
        ],
    ));
    all
}

fn three_columns(body: Rect) -> Vec<(Panel, Rect)> {
    let widths = [Constraint::Percentage(40), Constraint::Percentage(32), Constraint::Fill(1)];
    let [left, middle, right] = Layout::horizontal(widths).areas(body);
    let mut all = column(left, [(Panel::Training, Constraint::Fill(3)), (Panel::Log, Constraint::Fill(2))]);
    all.extend(column(middle, [(Panel::Plant, Constraint::Fill(1))]));
    all.extend(column(
        right,
        [
            (Panel::Bench, Constraint::Fill(3)),
            (Panel::Calibration, Constraint::Fill(1)),
            (Panel::Alarms, Constraint::Fill(2)),
            (Panel::Budget, Constraint::Length(5)),
        ],
    ));
    all
}

/// The first row of the table that is drawn, with the selected one in sight.
pub fn table_start(dashboard: &Dashboard, rows: usize) -> usize {
    (dashboard.table.selected + 1).saturating_sub(rows.max(1))
}

/// Where the rows of the table stand: below frame and heading.
pub fn table_rows(dashboard: &Dashboard, area: Rect) -> Rect {
    let [_, _, body, _, _] = parts(dashboard, area);
    let (height, y) = (body.height.saturating_sub(3), body.y + 2);
    Rect { x: body.x + 1, y, width: body.width.saturating_sub(2), height }
}

/// The row of the table at `position`.
pub fn table_row(dashboard: &Dashboard, area: Rect, position: Position) -> Option<usize> {
    let rows = table_rows(dashboard, area);
    let row = rows.contains(position).then(|| usize::from(position.y - rows.y))?;
    let row = table_start(dashboard, usize::from(rows.height)) + row;
    (row < dashboard.table.visible().count()).then_some(row)
}
