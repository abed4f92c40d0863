//! *First hour* is true: its commands run in their order, with the files that it shows, and say what it says they do.
//!
//! A fenced block whose info string has a second word, such as `csv parts.csv`, is a file of that name. In a `console` block a line
//! that begins with `$ pnnlab` is run; what begins with `$` otherwise is not, nor is what it prints looked for. The table of the comparison
//! that takes a minute must be that of the README.

use std::path::Path;

use crate::program::Place;

const PAGE: &str = include_str!("../docs/first-hour.md");
const README: &str = include_str!("../README.md");
const HOW: &str = include_str!("../docs/how-it-works.md");
/// Points that a percentage of the page may be off on another machine: two rows of its test set of 18.
const POINTS: f64 = 12.0;

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

/// A number of a line, whatever stands around it in the sentence.
fn number(word: &str) -> Option<f64> {
    word.trim_matches([',', ';', ':']).parse().ok()
}

/// The words of a line without its numbers, and those of its numbers that are percentages, with or without a spread.
fn percentages(line: &str) -> (Vec<&str>, Vec<f64>) {
    let words: Vec<&str> = line.split_whitespace().collect();
    let is_percentage = |pair: &&[&str]| pair[1].starts_with(['%', '±']);
    let found = words.windows(2).filter(is_percentage).filter_map(|pair| number(pair[0])).collect();
    (words.into_iter().filter(|word| number(word).is_none()).collect(), found)
}

/// Whether a line says what the page says, with percentages that are about the same.
fn agrees(said: &str, shown: &str) -> bool {
    let ((words, values), (wanted, shown)) = (percentages(said), percentages(shown));
    words == wanted && values.len() == shown.len() && values.iter().zip(&shown).all(|(a, b)| (a - b).abs() <= POINTS)
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
    for line in shown.lines.iter().filter(|line| line.contains('%') && !line.contains('…')) {
        assert!(
            said.iter().any(|said| agrees(said, line)),
            "`{}` does not say about `{}`, but:\n{}",
            shown.command,
            compressed(line),
            said.join("\n")
        );
    }
}

#[test]
fn a_percentage_that_has_become_another_is_found() {
    let page = "in-silico   88.9 ± 2.4 %   100.0 ± 0.0 %   34   0.1 s";
    assert!(agrees("in-silico 84.0 ± 3.0 % 94.4 ± 0.0 % 34 0.7 s", page));
    assert!(!agrees("in-silico 70.0 ± 3.0 % 94.4 ± 0.0 % 34 0.7 s", page));
    assert!(!agrees("ideal 88.9 ± 2.4 % 100.0 ± 0.0 % 34 0.1 s", page));
    assert_eq!(percentages("test 55.2 %, validation 45.0 %; 3 shots").1, [55.2, 45.0]);
}

#[test]
fn pages_that_show_the_default_comparison_have_the_numbers_of_the_readme() {
    for method in ["physics-aware", "in-silico", "ideal"] {
        let row = README.lines().find(|line| line.starts_with(&format!("| {method}")) && line.contains('±')).unwrap();
        let cells: Vec<&str> = row.split('|').map(str::trim).filter(|cell| cell.contains('±')).collect();
        let shown = PAGE.lines().find(|line| line.starts_with(&format!(" {method} "))).unwrap();
        assert!(compressed(shown).starts_with(&format!("{method} {} {} ", cells[0], cells[1])), "{shown}: {row}");
        assert!(method == "ideal" || HOW.contains(cells[0]), "docs/how-it-works.md does not say {}", cells[0]);
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
    assert_eq!((files, ran), (2, 10), "files and commands of the page");
}
