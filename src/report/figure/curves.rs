//! Learning curves: the score that decides against updates, by method, with the spread over seeds.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use plotters::coord::Shift;
use plotters::prelude::*;
use serde_json::{Map, Value};

use super::key::{Entry, key};
use super::record::drawable;
use super::settings::{differing, settings};
use super::sheet::{Axes, Chart, Figure, Pen, save, text};
use super::theme::Theme;
use crate::Error;
use crate::record::{catalog::whole_rows, read_facts};
use crate::scores::{ObjectiveKind, Score};
use crate::training::{Method, Spread};

/// Commands that a caption names.
const COMMANDS: usize = 4;

/// One curve of a run: what was tested, step by step.
struct Curve {
    method: String,
    seed: u64,
    facts: Value,
    /// What decides it beside method and seed.
    settings: Map<String, Value>,
    /// Step, score on the plant, score believed: of the validation set where there is one, else of the test set.
    tests: Vec<(f64, f64, f64)>,
    /// Where there is a validation set: when the test set was met, and its score.
    end: Option<(f64, f64)>,
    /// Updates in each epoch, where the record shows a whole one.
    epoch: Option<f64>,
}

/// The curves of several runs: one line for each method and setting, over its seeds.
struct Curves {
    score: &'static Score,
    runs: Vec<Curve>,
    /// The settings that there are, in the order of the runs.
    settings: Vec<Map<String, Value>>,
    overlay: Overlay,
}

/// What others published, beside the curves.
#[derive(Debug, Clone, Default)]
pub struct Overlay {
    /// Method, words and accuracy of each published end.
    pub lines: Vec<(String, String, f64)>,
    /// A published curve: its name, and accuracy after each epoch.
    pub curve: Option<(String, Vec<(f64, f64)>)>,
}

/// Learning curves of the runs: `learning-curves.svg` and `.png` in `folder`; nothing where no run was tested.
pub fn learning_curves(runs: &[PathBuf], folder: &Path, theme: Theme) -> Result<Vec<PathBuf>, Error> {
    published_curves(runs, Overlay::default(), &folder.join("learning-curves"), theme)
}

/// The same with what others published beside it: `PATH.svg` and `PATH.png`.
pub fn published_curves(runs: &[PathBuf], overlay: Overlay, path: &Path, theme: Theme) -> Result<Vec<PathBuf>, Error> {
    let curves = runs.iter().map(|run| read(run)).collect::<Result<Vec<_>, _>>()?;
    if curves.iter().all(|curve| curve.tests.is_empty()) {
        return Ok(vec![]);
    }
    let mut settings: Vec<Map<String, Value>> = Vec::new();
    for curve in &curves {
        if !settings.contains(&curve.settings) {
            settings.push(curve.settings.clone());
        }
    }
    let (folder, name) = (path.parent().unwrap_or(Path::new("")), path.file_name().unwrap_or_default());
    let kinds: Vec<ObjectiveKind> =
        curves.iter().map(|curve| ObjectiveKind::of_record(&curve.facts).judged()).collect();
    if let Some(other) = kinds.iter().find(|kind| **kind != kinds[0]) {
        let message = format!("runs that {} and runs that {other} have no scores in common: draw them apart", kinds[0]);
        return Err(Error::Usage(message));
    }
    let score = kinds[0].score();
    save(&Curves { score, runs: curves, settings, overlay }, folder, &name.to_string_lossy(), theme)
}

/// Reads the tests of one run.
fn read(run: &Path) -> Result<Curve, Error> {
    let bad = |path: &Path, message: String| Error::Record {
        path: path.to_owned(),
        message: format!("cannot be read: {message}"),
    };
    let facts = read_facts(run)?;
    let path = run.join("metrics.csv");
    let text = whole_rows(run)?;
    let mut reader = csv::ReaderBuilder::new().flexible(true).from_reader(text.as_slice());
    let headers = reader.headers().map_err(|error| bad(&path, error.to_string()))?.clone();
    let column = |name: &str| {
        let place = headers.iter().position(|header| header == name);
        place.ok_or_else(|| bad(&path, format!("it has no column `{name}`")))
    };
    let score = ObjectiveKind::of_record(&facts).score();
    let columns = [column("step")?, column(&score.key("test"))?, column(&score.key("believed"))?];
    // Records of before there were validation sets have no column for them.
    let validation = headers.iter().position(|header| header == score.key("validation"));
    let epoch_column = column("epoch")?;
    let (mut tests, mut end, mut epoch) = (Vec::new(), None, None);
    for row in reader.records() {
        let row = row.map_err(|error| bad(&path, error.to_string()))?;
        let number = |column: usize| row.get(column).and_then(|field| field.parse::<f64>().ok()).filter(drawable);
        let [step, test, believed] = columns.map(number);
        // While it trains, the validation set is tried; the test set is met at the end. A curve is of one set.
        let validated = validation.and_then(number);
        if let (Some("test"), Some(step), Some(test), Some(_)) = (row.get(0), step, test, validated) {
            end = Some((step, test));
        }
        let plant = validated.or(test);
        if let (Some("test"), Some(step), Some(plant), Some(believed)) = (row.get(0), step, plant, believed) {
            tests.push((step, plant, believed));
        }
        // The first update of the second epoch tells how many the first had.
        if epoch.is_none() && row.get(0) == Some("step") && number(epoch_column) == Some(2.0) {
            epoch = number(columns[0]).map(|step| step - 1.0);
        }
    }
    let method = facts["method"].as_str().unwrap_or("unknown").to_owned();
    let settings = settings(run)?;
    Ok(Curve { method, seed: facts["seed"].as_u64().unwrap_or(0), facts, settings, tests, end, epoch })
}

/// A step with the spread of its values over the seeds.
type Band = Vec<(f64, Spread)>;

/// One line: its runs, and how it looks.
struct Line<'a> {
    method: &'a str,
    /// The method, with what its setting has of its own.
    name: String,
    color: RGBColor,
    runs: Vec<&'a Curve>,
}

impl Line<'_> {
    /// The mean and spread of a value of its tests at each step.
    fn band(&self, value: impl Fn(&(f64, f64, f64)) -> f64) -> Band {
        let mut steps: BTreeMap<u64, Vec<f64>> = BTreeMap::new();
        for test in self.runs.iter().flat_map(|run| &run.tests) {
            steps.entry(test.0 as u64).or_default().push(value(test));
        }
        steps.into_iter().map(|(step, values)| (step as f64, Spread::of(&values))).collect()
    }

    /// The mean over the runs of the test set's score in the end, and when.
    fn end(&self) -> Option<(f64, f64)> {
        let ends: Vec<(f64, f64)> = self.runs.iter().filter_map(|run| run.end).collect();
        let scores: Vec<f64> = ends.iter().map(|end| end.1).collect();
        Some((ends.first()?.0, Spread::of(&scores).mean))
    }

    /// Where its runs come from, as words.
    fn origin(&self) -> String {
        let mut seeds: Vec<u64> = self.runs.iter().map(|run| run.seed).collect();
        seeds.sort_unstable();
        let plural = if seeds.len() == 1 { "" } else { "s" };
        let seeds = seeds.iter().map(u64::to_string).collect::<Vec<_>>().join(", ");
        format!("{}: seed{plural} {seeds}", self.name)
    }
}

impl Curves {
    /// The lines: methods in the order of the tables, each with its settings in the order of the runs.
    fn lines(&self, theme: Theme) -> Vec<Line<'_>> {
        let all: Vec<&Map<String, Value>> = self.settings.iter().collect();
        let mut methods: Vec<&str> = self.runs.iter().map(|curve| curve.method.as_str()).collect();
        methods.sort_by_key(|method| Method::ALL.iter().position(|known| known.name() == *method));
        methods.dedup();
        let mut lines = Vec::new();
        for (method, settings) in methods.into_iter().flat_map(|method| all.iter().map(move |one| (method, *one))) {
            let runs = self.runs.iter().filter(|curve| curve.method == method && curve.settings == *settings);
            let runs: Vec<&Curve> = runs.collect();
            if runs.is_empty() {
                continue;
            }
            let own = differing(settings, &all);
            let name = if own.is_empty() { method.to_owned() } else { format!("{method}, {own}") };
            lines.push(Line { method, name, color: theme.method(method), runs });
        }
        // The color of a method is the same everywhere, unless one has several lines.
        if !lines.is_sorted_by(|one, next| one.method != next.method) {
            lines.iter_mut().enumerate().for_each(|(index, line)| line.color = theme.series(index));
        }
        lines
    }

    /// What the vertical axis is called.
    fn title(&self) -> String {
        self.score.axis(match self.runs.iter().filter(|run| run.end.is_some()).count() {
            0 => "test ",
            count if count == self.runs.len() => "validation ",
            _ => "",
        })
    }

    /// Updates for each unit of the horizontal axis: an epoch, where the record shows one and several were run.
    fn unit(&self) -> Option<f64> {
        let last = self.runs.iter().flat_map(|curve| &curve.tests).map(|test| test.0).fold(1.0, f64::max);
        self.runs.first()?.epoch.filter(|epoch| 0.0 < *epoch && *epoch < last)
    }

    /// What is shown of the vertical axis: all but what belongs to the first tenth.
    fn span(&self, last: f64) -> (f64, f64) {
        let late = self.runs.iter().flat_map(|curve| &curve.tests).filter(|test| 0.1 * last <= test.0);
        let values = late.flat_map(|test| [test.1, test.2]).chain(self.overlay.lines.iter().map(|line| line.2));
        if !self.score.in_percent {
            // An error from 0 up to that of guessing, or as far as it goes; one far below that needs a scale of its own.
            // A distance may be below 0.
            let (least, most) = values.fold((0.0_f64, 0.0_f64), |(low, high), value| (low.min(value), high.max(value)));
            return (1.1 * least.max(-10.0), if most < 0.5 { 1.1 * most.max(1e-6) } else { most.clamp(1.0, 10.0) });
        }
        let lowest = 100.0 * values.fold(1.0, f64::min);
        // Differences of some points need a scale of their own; all else is shown from zero.
        (if lowest < 80.0 { 0.0 } else { (10.0 * ((lowest - 2.0) / 10.0).floor()).max(0.0) }, 100.0)
    }

    /// The names of all that is drawn.
    fn key(&self, lines: &[Line<'_>], theme: Theme) -> Vec<Entry> {
        let plant = lines.iter().map(|line| Entry {
            label: format!("{}, on the plant", line.name),
            color: line.color,
            dashed: false,
        });
        let believed = lines.iter().filter(|line| line.method == Method::InSilico.name()).map(|line| Entry {
            label: format!("{}, what it believes", line.name),
            color: line.color,
            dashed: true,
        });
        let published = self.overlay.lines.iter().map(|(method, words, _)| Entry {
            label: words.clone(),
            color: theme.method(method),
            dashed: true,
        });
        let curve = self.overlay.curve.iter().filter(|_| self.unit().is_some());
        let curve = curve.map(|(words, _)| Entry { label: words.clone(), color: theme.ink(), dashed: true });
        plant.chain(believed).chain(published).chain(curve).collect()
    }

    /// What others published.
    fn draw_published<B: DrawingBackend>(
        &self,
        chart: &mut Chart<'_, B>,
        theme: Theme,
        end: f64,
    ) -> Result<(), String> {
        for (method, _, accuracy) in &self.overlay.lines {
            let pen = Pen { color: theme.method(method), width: 1, dashed: true, label: "" };
            pen.curve(chart, [0.0, end].map(|at| (at, self.score.scaled(*accuracy))))?;
        }
        if let (Some((_, points)), Some(_)) = (&self.overlay.curve, self.unit()) {
            let pen = Pen { color: theme.ink(), width: 2, dashed: true, label: "" };
            pen.curve(chart, points.iter().map(|(epoch, accuracy)| (*epoch, self.score.scaled(*accuracy))))?;
        }
        Ok(())
    }
}

impl Figure for Curves {
    fn draw<B: DrawingBackend>(&self, area: &DrawingArea<B, Shift>, theme: Theme) -> Result<(), String> {
        let steps = self.runs.iter().flat_map(|curve| &curve.tests).map(|test| test.0).fold(1.0, f64::max);
        let (unit, words) = self.unit().map_or((1.0, "update"), |epoch| (epoch, "epoch"));
        let last = steps / unit;
        let (low, high) = self.span(steps);
        let axes = Axes { title: "", x: (words, 0.0..last * 1.02), y: (&self.title(), low..high), small: false };
        let lines = self.lines(theme);
        let below = key(area, theme, &self.key(&lines, theme))?;
        let mut chart = axes.on(&below, theme)?;
        for line in &lines {
            let (band, color) = (line.band(|test| test.1), line.color);
            let place = |(step, spread): &(f64, Spread), sign: f64| {
                (*step / unit, self.score.scaled(spread.mean + sign * spread.spread).clamp(low, high))
            };
            let outline =
                band.iter().map(|point| place(point, 1.0)).chain(band.iter().rev().map(|point| place(point, -1.0)));
            chart.draw_series([Polygon::new(outline.collect::<Vec<_>>(), color.mix(0.18))]).map_err(text)?;
            let points = band.iter().map(|point| place(point, 0.0));
            chart.draw_series(points.clone().map(|point| Circle::new(point, 4, color.filled()))).map_err(text)?;
            Pen { color, width: 3, dashed: false, label: "" }.curve(&mut chart, points)?;
            let end = line.end().map(|(step, value)| (step / unit, self.score.scaled(value).clamp(low, high)));
            chart.draw_series(end.map(|point| Circle::new(point, 8, color.stroke_width(2)))).map_err(text)?;
        }
        for line in lines.iter().filter(|line| line.method == Method::InSilico.name()) {
            let band = line.band(|test| test.2);
            let points =
                band.iter().map(|(step, spread)| (*step / unit, self.score.scaled(spread.mean).max(low).min(high)));
            Pen { color: line.color, width: 2, dashed: true, label: "" }.curve(&mut chart, points)?;
        }
        self.draw_published(&mut chart, theme, last * 1.02)
    }

    /// What was measured on what, with which seeds, and the command.
    fn caption(&self) -> Vec<String> {
        let first = &self.runs[0].facts;
        let plants = first["plants"].as_array().cloned().unwrap_or_default();
        let plants = plants.iter().map(|plant| {
            let text = |key: &str| plant[key].as_str().unwrap_or("?").to_owned();
            format!("plant {} ({}, {})", text("plant"), text("origin").to_uppercase(), text("serial"))
        });
        let experiment = first["experiment"].as_str().unwrap_or("?");
        let lines = self.lines(Theme::Light);
        let origins: Vec<String> = lines.iter().map(Line::origin).collect();
        let repeated = lines.iter().any(|line| 1 < line.runs.len());
        let band = if repeated { "; line: mean, band: one standard deviation over the runs" } else { "" };
        let ring = if lines.iter().any(|line| line.end().is_some()) { "; ring: test set, at the end" } else { "" };
        let mut caption =
            vec![format!("{experiment}; {}{band}{ring}", plants.collect::<Vec<_>>().join(", ")), origins.join("; ")];
        let mut commands: Vec<&str> = Vec::new();
        for curve in &self.runs {
            let command = curve.facts["command"].as_str().unwrap_or("?");
            if !commands.contains(&command) {
                commands.push(command);
            }
        }
        let rest = commands.len().saturating_sub(COMMANDS);
        caption.extend(commands.iter().take(COMMANDS).map(|command| format!("command: {command}")));
        if 0 < rest {
            caption.push(format!("and {rest} more commands, in the runs' records"));
        }
        caption
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn curve(method: &str, seed: u64, steps: u64) -> Curve {
        let settings = Map::from_iter([("training.steps".to_owned(), steps.into())]);
        let facts = serde_json::json!({ "experiment": "small", "command": format!("pnnlab train --steps {steps}"),
            "plants": [{ "plant": "p", "origin": "simulated", "serial": "1" }] });
        Curve {
            method: method.into(),
            seed,
            facts,
            settings,
            tests: vec![(8.0, 0.1 * seed as f64, 0.5)],
            end: None,
            epoch: None,
        }
    }

    fn curves(curves: Vec<Curve>) -> Curves {
        let mut settings: Vec<Map<String, Value>> = curves.iter().map(|curve| curve.settings.clone()).collect();
        settings.dedup();
        Curves { score: ObjectiveKind::Classify.score(), runs: curves, settings, overlay: Overlay::default() }
    }

    #[test]
    fn different_experiments_of_one_seed_are_lines_of_their_own() {
        let both = curves(vec![curve("physics-aware", 1, 8), curve("physics-aware", 1, 16)]);
        let lines = both.lines(Theme::Light);
        let names: Vec<&str> = lines.iter().map(|line| line.name.as_str()).collect();
        assert_eq!(names, ["physics-aware, training.steps 8", "physics-aware, training.steps 16"]);
        assert_ne!(lines[0].color, lines[1].color);
        // One line of each method, with settings of its own, has the method's color.
        let each = curves(vec![curve("physics-aware", 1, 8), curve("ideal", 1, 16)]);
        let colors: Vec<_> = each.lines(Theme::Light).iter().map(|line| line.color).collect();
        assert_eq!(colors, ["physics-aware", "ideal"].map(|method| Theme::Light.method(method)));
        let caption = both.caption().join("\n");
        assert!(!caption.contains("standard deviation"), "{caption}");
        assert!(caption.contains("--steps 8") && caption.contains("--steps 16"), "every command is named: {caption}");
    }

    #[test]
    fn a_curve_is_of_one_set_and_the_test_set_has_a_ring() {
        let folder = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| std::fs::write(folder.path().join(name), text).unwrap();
        write("run.json", "{\"method\": \"ideal\", \"seed\": 1}");
        write("experiment.toml", "name = \"a\"\n");
        write(
            "metrics.csv",
            "kind,step,epoch,test_accuracy,believed_accuracy,validation_accuracy\ntest,2,1,,0.5,0.4\ntest,4,1,0.3,0.5,0.6\n",
        );
        let found = curves(vec![read(folder.path()).unwrap()]);
        assert_eq!(found.runs[0].tests, [(2.0, 0.4, 0.5), (4.0, 0.6, 0.5)]);
        assert_eq!((found.runs[0].end, found.title()), (Some((4.0, 0.3)), "validation accuracy, %".to_owned()));
        assert!(found.caption()[0].ends_with("ring: test set, at the end"));
        assert_eq!(curves(vec![curve("ideal", 1, 8)]).title(), "test accuracy, %");
    }

    #[test]
    fn an_error_is_drawn_under_its_own_name_and_not_beside_an_accuracy() {
        let folder = tempfile::tempdir().unwrap();
        let run = |name: &str, objective: &str, score: &str| {
            let run = folder.path().join(name);
            std::fs::create_dir(&run).unwrap();
            let write = |name: &str, text: &str| std::fs::write(run.join(name), text).unwrap();
            write("run.json", &format!("{{\"method\": \"ideal\", \"seed\": 1, \"objective\": \"{objective}\"}}"));
            write("experiment.toml", "name = \"a\"\n");
            let header = format!("kind,step,epoch,test_{score},believed_{score},validation_{score}");
            write("metrics.csv", &format!("{header}\ntest,2,1,,1.5,1.25\ntest,40,1,0.75,0.5,0.5\n"));
            run
        };
        let (errors, accuracies) = (run("e", "regress", "nrmse"), run("a", "classify", "accuracy"));
        let files = learning_curves(std::slice::from_ref(&errors), folder.path(), Theme::Light).unwrap();
        let svg = std::fs::read_to_string(&files[0]).unwrap();
        assert!(svg.contains("validation NRMSE") && !svg.contains("accuracy"));
        let both = learning_curves(&[errors, accuracies], folder.path(), Theme::Light).unwrap_err().to_string();
        assert!(both.contains("runs that regress and runs that classify have no scores in common"), "{both}");
    }

    #[test]
    fn seeds_of_one_experiment_are_one_line_with_their_spread() {
        let both = curves(vec![curve("physics-aware", 2, 8), curve("in-silico", 1, 8), curve("physics-aware", 1, 8)]);
        let lines = both.lines(Theme::Light);
        let names: Vec<&str> = lines.iter().map(|line| line.name.as_str()).collect();
        assert_eq!(names, ["physics-aware", "in-silico"]);
        assert_eq!(lines[0].color, Theme::Light.method("physics-aware"));
        let band = lines[0].band(|test| test.1);
        assert!((band[0].1.mean - 0.15).abs() < 1e-12 && 0.0 < band[0].1.spread);
        let caption = both.caption();
        assert!(caption[0].contains("one standard deviation over the runs"), "{caption:?}");
        assert_eq!(caption[1], "physics-aware: seeds 1, 2; in-silico: seed 1");
    }
}
