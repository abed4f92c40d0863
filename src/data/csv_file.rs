//! CSV with a header, and a column of labels or columns of numbers to predict.

use std::collections::{BTreeSet, HashMap};
use std::path::Path;

use drivers::MEBIBYTE;

use super::regression::Numbers;
use super::scaling::{finite, scale};
use super::split::{Chosen, Parts, classes};
use super::uneven::{of_columns, tell_once};
use super::{Asked, CsvConfig, Dataset, Meaning, Rows, Targets, Taxonomy, source};
use crate::Error;
use crate::document::{list, nearest};

/// The most that is read of a file.
const LONGEST: u64 = 1024 * MEBIBYTE;

/// The rows of `file`, split and scaled.
pub fn dataset(config: &CsvConfig, file: &Path, asked: Asked<'_>) -> Result<Dataset, Error> {
    let table = load(file, config)?;
    let name = file.display().to_string();
    let count = table.count();
    let parts = Parts { test: config.test, validation: config.validation, train: config.train };
    let (targets, meaning, chosen) = match table.wanted {
        Wanted::Labels(words) => {
            let (labels, words) = numbered(&words);
            refuse_unlearnable(&labels, &name, &config.label)?;
            warn(&table.names, &table.values, file, |values| {
                gives_away(values, &labels).map(|what| (what, format!("column `{}`", config.label)))
            });
            let chosen = config.split.choose(&labels, parts, asked)?;
            let meaning = if config.group.is_empty() {
                Meaning::Classes(words)
            } else {
                let taxonomy = Taxonomy::of_rows(words, &labels, &table.families);
                let bad = |complaint| Error::Data(format!("{name}: column `{}` {complaint}", config.group));
                Meaning::Groups(taxonomy.map_err(bad)?)
            };
            (Targets::Classes(labels), meaning, chosen)
        }
        Wanted::Numbers(numbers) => {
            warn(&table.names, &table.values, file, |values| {
                numbers.told_by(values).map(|target| ("says the same as", format!("target `{target}`")))
            });
            // Without classes each rule sees rows of one kind.
            let chosen = config.split.choose(&vec![0; count], parts, asked)?;
            let (targets, meaning) = numbers.scaled(&chosen, &name)?;
            (targets, meaning, chosen)
        }
    };
    let width = table.names.len();
    let Chosen { train, validation, test } = chosen;
    if let Some(sentence) = of_columns(&table.names, &table.values, &train) {
        tell_once(&format!("{name}: {sentence}"));
    }
    let (columns, values) = scale(&table.values, &table.names, &train, (config.scaling, config.range), &name);
    let rows = Rows { values, targets, numbers: (0..count).collect() };
    Ok(Dataset {
        name,
        width,
        meaning,
        train: rows.select(&train, width),
        validation: rows.select(&validation, width),
        test: rows.select(&test, width),
        augmented: None,
        drawn: None,
        columns,
    })
}

/// Refuses labels that tell nothing.
fn refuse_unlearnable(labels: &[u32], name: &str, column: &str) -> Result<(), Error> {
    let classes = classes(labels);
    if classes < 2 {
        let message = format!(
            "{name}: all rows have the same label in column `{column}`: nothing can be learned. Name another column as data.label"
        );
        return Err(Error::Data(message));
    }
    if classes == labels.len() {
        return Err(Error::Data(format!(
            "{name}: each of its {classes} rows has a label of its own in column `{column}`: nothing can be learned. Name another \
             column as data.label, or leave out the start of each label with data.label_skip",
        )));
    }
    Ok(())
}

/// What is learned of a file.
#[derive(Debug)]
struct Table {
    /// The columns of numbers.
    names: Vec<String>,
    /// Row after row, as the file has them.
    values: Vec<f64>,
    /// The group of each row's class, where a column says it.
    families: Vec<String>,
    wanted: Wanted,
}

/// What belongs to each row.
#[derive(Debug)]
enum Wanted {
    /// The label, as it stands there.
    Labels(Vec<String>),
    /// What is to be predicted.
    Numbers(Numbers),
}

impl Table {
    /// How many rows there are.
    fn count(&self) -> usize {
        match &self.wanted {
            Wanted::Labels(words) => words.len(),
            Wanted::Numbers(numbers) => numbers.len(),
        }
    }
}

/// What becomes of a column.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Use {
    Label,
    /// The place among the targets.
    Target(usize),
    /// Says the group of its class.
    Family,
    Number,
    LeftOut,
}

/// All rows of `file`.
fn load(file: &Path, config: &CsvConfig) -> Result<Table, Error> {
    let name = file.display().to_string();
    let opened = source::open(file, LONGEST)
        .map_err(|error| Error::Data(format!("{name}: cannot be read: {error}. Name the file with --data")))?;
    let mut reader = csv::ReaderBuilder::new().flexible(true).from_reader(opened);
    let header = reader.headers().map_err(|error| source::complaint(&name, &error))?.clone();
    let columns: Vec<&str> = header.iter().map(str::trim).collect();
    let uses = uses(&columns, config).map_err(|message| Error::Data(format!("{name}:1: {message}")))?;
    let wanted = if config.targets.is_empty() {
        Wanted::Labels(Vec::new())
    } else {
        Wanted::Numbers(Numbers::of(&config.targets))
    };
    let names =
        columns.iter().zip(&uses).filter(|(_, used)| **used == Use::Number).map(|(column, _)| (*column).to_owned());
    let mut table = Table { names: names.collect(), values: Vec::new(), families: Vec::new(), wanted };
    for record in reader.records() {
        let record = record.map_err(|error| source::complaint(&name, &error))?;
        let line = record.position().map_or(0, csv::Position::line);
        table
            .read_row(&record, (&columns, &uses), config.label_skip)
            .map_err(|message| Error::Data(format!("{name}:{line}: {message}")))?;
    }
    if table.count() < 2 {
        let message = format!("{name}: there are {} rows below the header: at least 2 are needed", table.count());
        return Err(Error::Data(message));
    }
    Ok(table)
}

/// What becomes of each column; what is wrong with the header is a sentence.
fn uses(columns: &[&str], config: &CsvConfig) -> Result<Vec<Use>, String> {
    let hint = |word: &str| nearest(word, columns).map(|near| format!(" Did you mean `{near}`?")).unwrap_or_default();
    let label = Some(&config.label).filter(|_| config.targets.is_empty());
    let group = Some(&config.group).filter(|group| !group.is_empty());
    let wanted = label.into_iter().chain(&config.targets).chain(group).chain(&config.leave_out);
    if let Some(missing) = wanted.into_iter().find(|wanted| !columns.contains(&wanted.as_str())) {
        if columns.iter().all(|column| column.is_empty()) {
            return Err("the file is empty: a CSV file begins with the names of its columns".to_owned());
        }
        let advice = match columns {
            [one] if one.contains([';', '\t', '|']) => {
                " Its values are not separated by commas: write it anew with commas between them.".to_owned()
            }
            _ => hint(missing),
        };
        return Err(format!("there is no column `{missing}`: it has {}.{advice}", list(columns)));
    }
    let left_out = |column: &str| config.leave_out.iter().any(|name| name == column);
    if label.is_some_and(|label| left_out(label)) {
        return Err(format!("column `{}` is the label, and cannot be left out as well", config.label));
    }
    if let Some(target) = config.targets.iter().find(|target| left_out(target)) {
        return Err(format!("column `{target}` is a target, and cannot be left out as well"));
    }
    if let Some(place) = columns.iter().position(|column| column.is_empty() && !left_out(column)) {
        return Err(format!(
            "column {} has no name, as pandas writes row numbers: write the file with index=False, leave the column out with \
             --set 'data.leave_out=[\"\"]', or give it a name if it is to be learned from",
            place + 1
        ));
    }
    let twice =
        columns.iter().enumerate().find(|(place, column)| !left_out(column) && columns[..*place].contains(column));
    if let Some((_, column)) = twice {
        return Err(format!(
            "there are two columns `{column}`: give each a name of its own, or leave them out with data.leave_out"
        ));
    }
    let used = |column: &&str| match config.targets.iter().position(|target| target == *column) {
        Some(place) => Use::Target(place),
        None if label.is_some_and(|label| label == *column) => Use::Label,
        None if group.is_some_and(|group| group == *column) => Use::Family,
        None if left_out(column) => Use::LeftOut,
        None => Use::Number,
    };
    let uses: Vec<Use> = columns.iter().map(used).collect();
    if !uses.contains(&Use::Number) {
        let what = if label.is_some() { "labels" } else { "targets" };
        return Err(format!("there is nothing but {what}: at least one column of numbers is needed"));
    }
    Ok(uses)
}

/// Warns of columns that give away what is to be learned, as `told` says in words: what is learned from them is nothing about the plant.
fn warn(names: &[String], values: &[f64], file: &Path, told: impl Fn(&[f64]) -> Option<(&'static str, String)>) {
    for (column, name) in names.iter().enumerate() {
        let values: Vec<f64> = values.iter().skip(column).step_by(names.len()).copied().collect();
        if let Some((what, whom)) = told(&values) {
            let made = if whom.starts_with("target") { "target" } else { "label" };
            tell_once(&format!(
                "{}: column `{name}` {what} {whom}: if it was made from the {made} or counts the rows, leave it out with \
                 --set 'data.leave_out=[\"{name}\"]'",
                file.display()
            ));
        }
    }
}

/// The fewest rows of a class, and of a value on average, from which that a column tells the classes apart is no chance.
const FEWEST: usize = 5;
const FEWEST_OF_A_VALUE: usize = 3;

/// Whether the values of a column give the labels away, in words: each value belongs to one class, or each class has a stretch of the
/// values for itself.
fn gives_away(values: &[f64], labels: &[u32]) -> Option<&'static str> {
    let mut order: Vec<(f64, u32)> = values.iter().copied().zip(labels.iter().copied()).collect();
    order.sort_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));
    let groups: Vec<&[(f64, u32)]> = order.chunk_by(|a, b| a.0 == b.0).collect();
    if groups.iter().any(|group| group[0].1 != group[group.len() - 1].1) {
        return None;
    }
    let stretches: Vec<&[(f64, u32)]> = order.chunk_by(|a, b| a.1 == b.1).collect();
    let classes: BTreeSet<u32> = labels.iter().copied().collect();
    let once = stretches.len() == classes.len() && stretches.iter().all(|stretch| FEWEST <= stretch.len());
    match classes.len() {
        0 | 1 => None,
        count if FEWEST_OF_A_VALUE * groups.len() <= order.len() => {
            Some(if groups.len() == count { "says the same as" } else { "determines" })
        }
        _ => once.then_some("alone tells every class of"),
    }
}

impl Table {
    /// Adds the numbers of one row, and its label or targets.
    fn read_row(
        &mut self,
        record: &csv::StringRecord,
        (columns, uses): (&[&str], &[Use]),
        label_skip: usize,
    ) -> Result<(), String> {
        if record.len() != columns.len() {
            return Err(format!("the row has {} values, but the header names {} columns", record.len(), columns.len()));
        }
        for ((field, used), column) in record.iter().zip(uses).zip(columns) {
            let missing = || format!("column `{column}` is `{field}`, but a finite number was expected");
            match (used, &mut self.wanted) {
                (Use::Label, Wanted::Labels(words)) => words.push(word(field, column, label_skip)?),
                (Use::Target(place), Wanted::Numbers(numbers)) => {
                    numbers.put(*place, finite(field).ok_or_else(missing)?);
                }
                (Use::Family, _) => self.families.push(word(field, column, 0)?),
                (Use::Number, _) => self.values.push(finite(field).ok_or_else(missing)?),
                _ => {}
            }
        }
        Ok(())
    }
}

/// The label in a field, without its start.
fn word(field: &str, column: &str, label_skip: usize) -> Result<String, String> {
    let word: String = field.trim().chars().skip(label_skip).collect();
    if let Some((start, _)) = word.split_once(['\n', '\r']) {
        return Err(format!("column `{column}` goes on after `{start}` over several lines: close the quotation mark"));
    }
    if word.is_empty() {
        let rest =
            if label_skip > 0 { format!(", of which {label_skip} characters are left out") } else { String::new() };
        return Err(format!("column `{column}` is `{field}`{rest}, but a label was expected"));
    }
    Ok(word)
}

/// The class of each label, and the label of each class.
fn numbered(words: &[String]) -> (Vec<u32>, Vec<String>) {
    let numbers: Option<Vec<f64>> = words.iter().map(|word| word.parse().ok()).collect();
    let mut classes: Vec<(Option<f64>, &String)> = match numbers {
        Some(numbers) => numbers.into_iter().map(Some).zip(words).collect(),
        None => words.iter().map(|word| (None, word)).collect(),
    };
    classes.sort_by(|a, b| {
        let by_number = a.0.zip(b.0).map_or(std::cmp::Ordering::Equal, |(a, b)| a.total_cmp(&b));
        by_number.then_with(|| a.1.cmp(b.1))
    });
    classes.dedup();
    let names = classes.iter().map(|(_, word)| (*word).clone()).collect();
    let classes: HashMap<&String, u32> =
        classes.iter().enumerate().map(|(class, (_, word))| (*word, class as u32)).collect();
    (words.iter().map(|word| classes.get(word).copied().unwrap_or(0)).collect(), names)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(leave_out: &[&str]) -> CsvConfig {
        let leave_out: Vec<String> = leave_out.iter().map(|name| (*name).to_owned()).collect();
        let config = serde_json::json!({ "file": "data.csv", "label": "vowel", "test": 1, "leave_out": leave_out });
        serde_json::from_value(config).unwrap()
    }

    fn error(text: &str) -> String {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("data.csv");
        std::fs::write(&file, text).unwrap();
        match load(&file, &config(&[])) {
            Err(error) => error.to_string().replace(&file.display().to_string(), "data.csv"),
            Ok(Table { names, values, wanted: Wanted::Labels(words), .. }) => {
                let (labels, words) = numbered(&words);
                format!("{values:?} {labels:?} of {} columns, {words:?}", names.len())
            }
            Ok(Table { wanted: Wanted::Numbers(_), .. }) => "targets".to_owned(),
        }
    }

    #[test]
    fn rows_and_labels_are_read() {
        assert_eq!(error("vowel,f1,f2\nb,1,2\na,3,4\n"), "[1.0, 2.0, 3.0, 4.0] [1, 0] of 2 columns, [\"a\", \"b\"]");
        assert_eq!(
            error("f1,vowel\n1,10\n1,9\n1,1a\n1,10\n"),
            "[1.0, 1.0, 1.0, 1.0] [0, 2, 1, 0] of 1 columns, [\"10\", \"1a\", \"9\"]"
        );
        assert_eq!(
            error("f1,vowel\n1,1\n1,1.0\n1,2\n1,1\n"),
            "[1.0, 1.0, 1.0, 1.0] [0, 1, 2, 0] of 1 columns, [\"1\", \"1.0\", \"2\"]"
        );
        assert!(error("vowel\na\n").contains("nothing but labels"));
        assert_eq!(error("f1,vowel\n1,10\n1,9\n"), "[1.0, 1.0] [1, 0] of 1 columns, [\"9\", \"10\"]");
    }

    #[test]
    fn what_is_wrong_is_named_with_its_line() {
        assert_eq!(
            error("vowel,f1\na,1\nb,NaN\n"),
            "data.csv:3: column `f1` is `NaN`, but a finite number was expected"
        );
        assert_eq!(error("vowel,f1\na,x\n"), "data.csv:2: column `f1` is `x`, but a finite number was expected");
        assert_eq!(
            error("vowl,f1\na,1\n"),
            "data.csv:1: there is no column `vowel`: it has `vowl`, `f1`. Did you mean `vowl`?"
        );
        assert!(error("vowel;f1\na;1\n").ends_with("write it anew with commas between them."));
        assert_eq!(error(""), "data.csv:1: the file is empty: a CSV file begins with the names of its columns");
        assert_eq!(error("vowel,f1\na,1\nb,1,2\n"), "data.csv:3: the row has 3 values, but the header names 2 columns");
        assert_eq!(error("vowel,f1\na,1\n,2\n"), "data.csv:3: column `vowel` is ``, but a label was expected");
        assert_eq!(error("f1,vowel\n1,a\n2,\"b\n3,a\n4,b\n"), "data.csv:3: the quotation mark is not closed");
        assert_eq!(error("f1,\"vowel\n1,a\n2,b\n"), "data.csv:1: the quotation mark is not closed");
        assert_eq!(
            error("f1,vowel\n1,a\n2,\"b\n3,\"a\"\n4,b\n"),
            "data.csv:3: column `vowel` goes on after `b` over several lines: close the quotation mark"
        );
        assert_eq!(error("vowel,f1\na,1\n"), "data.csv: there are 1 rows below the header: at least 2 are needed");
    }

    #[test]
    fn text_of_another_encoding_is_named_with_what_to_do() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("data.csv");
        for (bytes, line) in [(&b"vowel,f1\na,1\n\xe4,2\n"[..], 3), (&b"\xff\xfev\0,\0f\0\n\0"[..], 1)] {
            std::fs::write(&file, bytes).unwrap();
            let said = load(&file, &config(&[])).unwrap_err().to_string();
            let wanted = format!("data.csv:{line}: it holds a letter that is not UTF-8");
            assert!(said.contains(&wanted) && said.ends_with("save it as CSV in UTF-8"), "{said}");
        }
    }

    #[test]
    fn a_column_without_a_name_or_with_a_name_twice_is_refused() {
        let nameless = ",f1,vowel\n0,1,a\n1,2,b\n";
        let text = error(nameless);
        assert!(text.starts_with("data.csv:1: column 1 has no name, as pandas writes row numbers: "), "{text}");
        assert!(text.contains("--set 'data.leave_out=[\"\"]'"), "{text}");
        assert!(error("f1,f1,vowel\n0,1,a\n1,2,b\n").contains("two columns `f1`"));
        assert!(error("vowel,f1,vowel\n0,1,a\n1,2,b\n").contains("two columns `vowel`"));
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("data.csv");
        std::fs::write(&file, nameless).unwrap();
        let table = load(&file, &config(&[""])).unwrap();
        assert_eq!((table.names, table.values), (vec!["f1".to_owned()], vec![1.0, 2.0]));
        assert!(load(&file, &config(&["f2"])).unwrap_err().to_string().contains("no column `f2`"));
        assert!(load(&file, &config(&["vowel"])).unwrap_err().to_string().contains("is the label"));
    }

    #[test]
    fn a_column_that_gives_the_label_away_is_told() {
        let labels: Vec<u32> = (0..30).map(|row| row / 10).collect();
        let of = |value: fn(u32) -> f64| gives_away(&(0..30).map(value).collect::<Vec<_>>(), &labels);
        assert_eq!(of(|row| f64::from(row / 10)), Some("says the same as"));
        assert_eq!(of(|row| [5.0, -1.0, 2.0][row as usize / 10]), Some("says the same as"));
        assert_eq!(of(f64::from), Some("alone tells every class of"));
        assert_eq!(of(|row| [0.0, 4.0, 2.0, 5.0, 1.0, 3.0][(row / 5) as usize]), Some("determines"));
        assert_eq!(of(|row| f64::from(row % 7)), None);
        assert_eq!(of(|row| if row == 29 { 0.0 } else { f64::from(row) }), None);
        assert_eq!(of(|_| 1.0), None);
    }

    fn targets(text: &str, keys: &serde_json::Value) -> Result<Dataset, String> {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("data.csv");
        std::fs::write(&file, text).unwrap();
        let mut config = serde_json::json!({ "file": "data.csv", "test": 2, "validation": 0, "split": "sequential" });
        config.as_object_mut().unwrap().extend(keys.as_object().unwrap().clone());
        let config: CsvConfig = serde_json::from_value(config).unwrap();
        let document = crate::document::Document::parse("a.toml", "[data]\n").unwrap();
        let asked = Asked { document: &document, key: sims::Key::new(1) };
        let found = config.sensible(&document).and_then(|()| dataset(&config, &file, asked));
        found.map_err(|error| error.to_string().replace(&file.display().to_string(), "data.csv"))
    }

    const TWO: &str = "b,x,y1,y2\n9,0,10,1\n8,1,14,2\n5,2,10,4\n4,3,14,5\n7,5,20,9\n";

    #[test]
    fn columns_of_numbers_are_predicted_in_deviations_of_the_training_rows() {
        let data = targets(TWO, &serde_json::json!({ "targets": ["y2", "y1"], "leave_out": ["b"], "scaling": "none" }));
        let data = data.unwrap();
        assert_eq!((data.width, data.train.values.as_slice()), (1, &[0.0, 1.0, 2.0][..]));
        // y2 is 1, 2, 4 in the training rows, and y1 is 10, 14, 10.
        let Meaning::Targets(found) = &data.meaning else { panic!("there are targets") };
        assert_eq!(data.meaning.names(), ["y2", "y1"]);
        let deviations = [(14.0_f64 / 9.0).sqrt(), (32.0_f64 / 9.0).sqrt()];
        let close = |a: f64, b: f64| (a - b).abs() < 1e-6;
        assert!(close(found[0].mean, 7.0 / 3.0) && close(found[0].deviation, deviations[0]));
        assert!(close(found[1].mean, 34.0 / 3.0) && close(found[1].deviation, deviations[1]));
        let test = data.test.targets.values();
        assert!(close(f64::from(test[0]), (5.0 - 7.0 / 3.0) / deviations[0]), "{test:?}");
        assert!(close(found[1].own(test[3]), 20.0), "and back");
        assert_eq!(data.test.numbers, [3, 4]);
    }

    #[test]
    fn targets_that_cannot_be_learned_are_refused_by_name() {
        let refused = |text: &str, keys: serde_json::Value| targets(text, &keys).unwrap_err();
        let of = |names: &[&str]| serde_json::json!({ "targets": names });
        assert_eq!(
            refused(TWO, of(&["y1", "y3"])),
            "data.csv:1: there is no column `y3`: it has `b`, `x`, `y1`, `y2`. Did you mean `y1`?"
        );
        assert!(refused(TWO, of(&["y1", "y1"])).contains("`data.targets` names `y1` twice"));
        assert!(refused(TWO, of(&["b", "x", "y1", "y2"])).contains("nothing but targets"));
        assert!(
            refused(&TWO.replace("5,2,10", "5,2,ten"), of(&["y1"])).starts_with("data.csv:4: column `y1` is `ten`")
        );
        assert!(refused(&TWO.replace("14", "10"), of(&["y1"])).contains("all training rows have the same `y1`"));
        assert!(refused(&TWO.replace("20", "14"), of(&["y1"])).contains("all rows of the test have the same `y1`"));
        let more = |key: &str, value: serde_json::Value| {
            let mut keys = of(&["y1"]);
            keys[key] = value;
            refused(TWO, keys)
        };
        assert!(more("label", "x".into()).contains("`data.targets` stands beside `label`"));
        assert!(more("split", "stratified".into()).contains("numbers have no classes: take random"));
        assert!(more("label_skip", 2.into()).contains("`data.label_skip` is of labels"));
        assert!(more("leave_out", serde_json::json!(["y1"])).contains("`y1` is a target, and cannot be left out"));
        assert!(refused(TWO, serde_json::json!({})).contains("`data` has neither `label` nor `targets`"));
    }
}
