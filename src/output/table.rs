//! Tables on a terminal: columns that do not fit its width are left out, the least needed first, and named below.

use std::io::{IsTerminal, stdout};
use std::os::fd::AsFd;

use comfy_table::{ColumnConstraint, ContentArrangement, Table};
use rustix::termios::tcgetwinsize;

/// How many letters wide the terminal behind `stream` is; none where it is no terminal.
pub fn terminal_width(stream: &(impl IsTerminal + AsFd)) -> Option<usize> {
    let width = stream.is_terminal().then(|| tcgetwinsize(stream).ok()).flatten()?.ws_col;
    (0 < width).then_some(usize::from(width))
}

/// Prints `table`, whose columns called `spare` may be left out, the first of them first.
pub fn print(table: &mut Table, spare: &[&str]) {
    let hidden = terminal_width(&stdout()).map_or(vec![], |width| fit(table, spare, width));
    say!("{table}");
    if !hidden.is_empty() {
        say!("a wider terminal, a file or --json also has: {}", hidden.join(", "));
    }
}

/// Hides columns until the table is at most `width` letters wide, and then breaks cells; the names of the hidden columns.
fn fit(table: &mut Table, spare: &[&str], width: usize) -> Vec<String> {
    let mut hidden = Vec::new();
    for name in spare {
        let widest = table.lines().map(|line| line.chars().count()).max().unwrap_or(0);
        if widest <= width {
            break;
        }
        let header =
            table.header().map(|header| header.cell_iter().map(comfy_table::Cell::content).collect::<Vec<_>>());
        let place = header.unwrap_or_default().iter().position(|cell| cell.replace('\n', " ") == **name);
        if let Some(column) = place.and_then(|place| table.column_mut(place)) {
            column.set_constraint(ColumnConstraint::Hidden);
            hidden.push((*name).to_owned());
        }
    }
    if table.lines().any(|line| width < line.chars().count()) {
        table.set_content_arrangement(ContentArrangement::Dynamic).set_width(width.min(usize::from(u16::MAX)) as u16);
    }
    hidden
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spare_columns_go_first_and_cells_are_broken_last() {
        let table = || {
            let mut table = Table::new();
            table.set_header(["run", "shots", "time\nhere"]);
            table.add_row(["a-rather-long-name-of-a-run", "123456", "12.5 s"]);
            table
        };
        let widest = |table: &Table| table.lines().map(|line| line.chars().count()).max().unwrap();
        let spare = ["time here", "shots"];
        let mut wide = table();
        assert!(fit(&mut wide, &spare, 120).is_empty());
        assert!(wide.to_string().contains("12.5 s"));
        let mut middle = table();
        assert_eq!(fit(&mut middle, &spare, 44), ["time here"]);
        assert!(!middle.to_string().contains("12.5 s") && middle.to_string().contains("123456"));
        let mut narrow = table();
        assert_eq!(fit(&mut narrow, &spare, 20), ["time here", "shots"]);
        assert!(widest(&narrow) <= 20, "{narrow}");
    }
}
