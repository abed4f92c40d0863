//! *First hour* is true: its commands run in their order, with the files that it shows, and say what it says they do.
//!
//! A fenced block whose info string has a second word, such as `csv parts.csv`, is a file of that name. In a `console` block a line
//! that begins with `$ pnnlab` is run; what begins with `$` otherwise is not, nor is what it prints looked for.

use std::path::Path;

use crate::program::Place;

const PAGE: &str = include_str!("../docs/first-hour.md");

/// A fenced block: what stands behind the opening fence, and the lines between the fences.
struct Block<'a> {
    info: &'a str,
    lines: Vec<&'a str>,
}

/// A command of the page, and the lines that the page shows below it.
struct Shown<'a> {
    command: &'a str,
    lines: Vec<&'a str>,
}

fn blocks(page: &str) -> Vec<Block<'_>> {
    let mut blocks = Vec::new();
    let mut open: Option<Block<'_>> = None;
    for line in page.lines() {
        match (open.take(), line.strip_prefix("```")) {
            (None, Some(info)) => open = Some(Block { info, lines: Vec::new() }),
            (None, None) => {}
            (Some(block), Some(_)) => blocks.push(block),
            (Some(mut block), None) => {
                block.lines.push(line);
                open = Some(block);
            }
        }
    }
    assert!(open.is_none(), "a fence is not closed");
    blocks
}

/// The commands of a `console` block.
fn commands<'a>(block: &Block<'a>) -> Vec<Shown<'a>> {
    let mut commands: Vec<Shown<'a>> = Vec::new();
    for &line in &block.lines {
        if let Some(command) = line.strip_prefix("$ ") {
            commands.push(Shown { command, lines: Vec::new() });
        } else if let Some(last) = commands.last_mut() {
            last.lines.push(line);
        }
    }
    commands
}

/// The line with single spaces.
fn compressed(line: &str) -> String {
    line.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// Whether a line that the page shows is the same on every machine: words without a number, and nothing left out.
fn always_said(line: &str) -> bool {
    line.contains(char::is_alphabetic) && !line.contains(|c: char| c.is_numeric() || c == '…')
}

/// Runs a command of the page and looks for what the page shows of its output.
fn run(place: &Place, shown: &Shown<'_>) {
    let mut words = shown.command.split_whitespace();
    if words.next() != Some("pnnlab") {
        return;
    }
    let arguments: Vec<&str> = words.collect();
    let output = place.run(&arguments);
    let said = format!("{}\n{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "`{}` ended with {}:\n{said}", shown.command, output.status);
    let said: Vec<String> = said.lines().map(compressed).collect();
    for line in shown.lines.iter().filter(|line| always_said(line)) {
        let wanted = compressed(line);
        assert!(
            said.iter().any(|line| line.contains(&wanted)),
            "`{}` does not say `{wanted}`, but:\n{}",
            shown.command,
            said.join("\n")
        );
    }
}

#[test]
fn the_first_hour_is_as_its_page_says() {
    let place = Place::new();
    let (mut files, mut ran) = (0, 0);
    for block in blocks(PAGE) {
        let mut words = block.info.split_whitespace();
        let (kind, name) = (words.next(), words.next());
        if let Some(name) = name {
            assert_eq!(Path::new(name).components().count(), 1, "`{name}` is no plain file name");
            place.write(name, &format!("{}\n", block.lines.join("\n")));
            files += 1;
        }
        if kind == Some("console") {
            for shown in commands(&block) {
                run(&place, &shown);
                ran += usize::from(shown.command.starts_with("pnnlab "));
            }
        }
    }
    assert_eq!((files, ran), (2, 9), "files and commands of the page");
}
