//! The confusion matrix of a run's last test: how often each class was given each name.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use plotters::coord::Shift;
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};

use super::sheet::{Figure, save, text};
use super::theme::{FONT, LARGE, MEDIUM, Theme};
use crate::Error;

/// Most classes that are all named along an axis.
const CLASSES: usize = 30;

/// Counts over one or several runs.
struct Confusion {
    /// `[true][given]`.
    counts: Vec<Vec<u32>>,
    /// What the data calls each class; its number where the record does not say.
    words: Vec<String>,
    caption: Vec<String>,
}

/// Adds up the last tests of `runs` (`test.csv`) and draws them to `NAME.svg` and `NAME.png`; nothing where no run was tested.
pub fn confusion(
    runs: &[PathBuf],
    mut caption: Vec<String>,
    folder: &Path,
    name: &str,
    theme: Theme,
) -> Result<Vec<PathBuf>, Error> {
    let mut counts: Vec<Vec<u32>> = Vec::new();
    let mut words: Vec<String> = Vec::new();
    for run in runs {
        for [(label, label_word), (answer, answer_word)] in answers(&run.join("test.csv"))? {
            let classes = counts.len().max(label.max(answer) + 1);
            words.extend((words.len()..classes).map(|class| class.to_string()));
            for (class, word) in [(label, label_word), (answer, answer_word)] {
                if !word.is_empty() {
                    words[class] = word;
                }
            }
            counts.resize(classes, Vec::new());
            for row in &mut counts {
                row.resize(classes, 0);
            }
            counts[label][answer] += 1;
        }
    }
    if counts.is_empty() {
        return Ok(vec![]);
    }
    let all: u32 = counts.iter().flatten().sum();
    let right: u32 = (0..counts.len()).map(|class| counts[class][class]).sum();
    caption.insert(
        0,
        format!(
            "{right} of {all} right; numbers: rows of the test set, over {} run{}",
            runs.len(),
            if runs.len() == 1 { "" } else { "s" }
        ),
    );
    save(&Confusion { counts, words: shortened(&words), caption }, folder, name, theme)
}

/// The most letters of a class's word, and of the words of all classes beside one another.
const LONGEST_WORD: usize = 8;
const LONGEST_LINE: usize = 60;
/// The most classes that a figure shows.
const MOST_CLASSES: usize = 1000;

/// Words that fit below their columns: their beginnings; where some of these are alike, their ends; where those are as well, the numbers of
/// the classes.
fn shortened(words: &[String]) -> Vec<String> {
    let most = (LONGEST_LINE / words.len().max(1)).clamp(4, LONGEST_WORD);
    let short = |keeps_end: bool| words.iter().map(|word| cut(word, most, keeps_end)).collect::<Vec<String>>();
    let differ = |short: &Vec<String>| short.iter().collect::<BTreeSet<_>>().len() == short.len();
    let numbers = || (0..words.len()).map(|class| class.to_string()).collect();
    [false, true].into_iter().map(short).find(differ).unwrap_or_else(numbers)
}

/// The beginning of a word, or its end, of at most `most` letters.
fn cut(word: &str, most: usize, keeps_end: bool) -> String {
    let letters: Vec<char> = word.chars().map(|letter| if letter.is_control() { ' ' } else { letter }).collect();
    if letters.len() <= most {
        return letters.into_iter().collect();
    }
    if keeps_end {
        ['…'].iter().chain(&letters[letters.len() + 1 - most..]).collect()
    } else {
        letters[..most - 1].iter().chain(&['…']).collect()
    }
}

/// A class, by its number and the data's word for it, which is empty where the record has none.
type Class = (usize, String);

/// Label and answer of each row; nothing where the run has no such file.
fn answers(path: &Path) -> Result<Vec<[Class; 2]>, Error> {
    if !path.exists() {
        return Ok(vec![]);
    }
    let bad = |message: String| Error::Record { path: path.to_owned(), message: format!("cannot be read: {message}") };
    let mut reader = csv::Reader::from_path(path).map_err(|error| bad(error.to_string()))?;
    let class = |row: &csv::StringRecord, column: usize| {
        let text = row.get(column).unwrap_or_default();
        let number: u16 = text.parse().map_err(|_| bad(format!("`{text}` is no number of a class")))?;
        let class = usize::from(number);
        // The words stand behind both numbers.
        let word = row.get(column + 2).unwrap_or_default().to_owned();
        if class < MOST_CLASSES {
            Ok((class, word))
        } else {
            Err(bad(format!("it names class {class}: at most {MOST_CLASSES} are drawn")))
        }
    };
    let rows = reader.records().map(|row| row.map_err(|error| bad(error.to_string())));
    rows.map(|row| row.and_then(|row| Ok([class(&row, 1)?, class(&row, 2)?]))).collect()
}

impl Figure for Confusion {
    fn draw<B: DrawingBackend>(&self, area: &DrawingArea<B, Shift>, theme: Theme) -> Result<(), String> {
        let classes = self.counts.len();
        // A segmented range holds its end as well.
        let range = || (0..classes.max(1) as u32 - 1).into_segmented();
        let ink = theme.ink();
        let mut builder = ChartBuilder::on(area);
        builder.margin(18).x_label_area_size(48).y_label_area_size(64);
        let mut chart = builder.build_cartesian_2d(range(), range()).map_err(text)?;
        let class = |value: &SegmentValue<u32>| match value {
            SegmentValue::CenterOf(class) => self.words.get(*class as usize).cloned().unwrap_or_default(),
            _ => String::new(),
        };
        chart
            .configure_mesh()
            .disable_mesh()
            .x_desc("the network says class")
            .y_desc("it is class")
            .x_labels(classes.min(CLASSES))
            .y_labels(classes.min(CLASSES))
            .x_label_formatter(&class)
            .y_label_formatter(&class)
            .label_style((FONT, MEDIUM, &ink))
            .axis_desc_style((FONT, LARGE, &ink))
            .axis_style(ink)
            .draw()
            .map_err(text)?;
        for (label, row) in self.counts.iter().enumerate() {
            let sum: u32 = row.iter().sum();
            for (answer, count) in row.iter().enumerate() {
                let share = f64::from(*count) / f64::from(sum.max(1));
                let edge = |class: usize| SegmentValue::Exact(class as u32);
                let corners = [(edge(answer), edge(label)), (edge(answer + 1), edge(label + 1))];
                let cell = Rectangle::new(corners, theme.shade(share).filled());
                chart.draw_series([cell]).map_err(text)?;
                if *count == 0 {
                    continue;
                }
                let middle = (SegmentValue::CenterOf(answer as u32), SegmentValue::CenterOf(label as u32));
                let word = if 0.5 < share { theme.paper() } else { ink };
                let style = (FONT, MEDIUM, &word).into_text_style(area).pos(Pos::new(HPos::Center, VPos::Center));
                chart.draw_series([Text::new(count.to_string(), middle, style)]).map_err(text)?;
            }
        }
        Ok(())
    }

    fn caption(&self) -> Vec<String> {
        self.caption.clone()
    }

    fn size(&self) -> (u32, u32) {
        (660, 600)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_of_classes_stay_apart() {
        let short = |words: &[&str]| shortened(&words.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>());
        assert_eq!(short(&["ae", "unpronounceable"]), ["ae", "unprono…"]);
        assert_eq!(short(&["number one", "number two"]), ["…ber one", "…ber two"]);
        assert_eq!(short(&["beginning 1 of an end", "beginning 2 of an end"]), ["0", "1"]);
        let many: Vec<String> = (0..12).map(|class| format!("class {class}")).collect();
        assert_eq!(shortened(&many)[11], "…s 11");
    }

    #[test]
    fn answers_are_counted_over_runs_and_broken_rows_named() {
        let folder = tempfile::tempdir().unwrap();
        let run = folder.path().join("run");
        std::fs::create_dir(&run).unwrap();
        std::fs::write(run.join("test.csv"), "row,label,answer\n0,0,0\n1,1,0\n2,2,2\n").unwrap();
        let files = confusion(&[run.clone(), run.clone()], vec![], folder.path(), "c", Theme::Light).unwrap();
        let svg = std::fs::read_to_string(&files[0]).unwrap();
        assert!(svg.contains("4 of 6 right"));
        let words = svg.lines().map(str::trim);
        assert_eq!(
            words.clone().filter(|word| *word == "2").count(),
            5,
            "class 2 on both axes, and three counts of two"
        );
        assert_eq!(words.filter(|word| *word == "3").count(), 0, "there is no class 3");
        let words = "row,label,answer,label_word,answer_word\n7,0,0,ae,ae\n3,1,0,\"a, b\",ae\n9,2,2,unpronounceable,unpronounceable\n";
        std::fs::write(run.join("test.csv"), words).unwrap();
        let files = confusion(std::slice::from_ref(&run), vec![], folder.path(), "w", Theme::Light).unwrap();
        let svg = std::fs::read_to_string(&files[0]).unwrap();
        for word in ["ae", "a, b", "unprono…"] {
            assert_eq!(svg.lines().filter(|line| line.trim() == word).count(), 2, "{word} on both axes");
        }
        std::fs::write(run.join("test.csv"), "row,label,answer\n0,0,x\n").unwrap();
        let error = confusion(&[run], vec![], folder.path(), "c", Theme::Light).unwrap_err();
        assert!(error.to_string().contains("test.csv"), "{error}");
        assert!(confusion(&[folder.path().join("none")], vec![], folder.path(), "d", Theme::Light).unwrap().is_empty());
    }
}
