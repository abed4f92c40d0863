//! What a run says of itself for Prometheus: `GET /metrics` and `GET /healthz` on an address that the user names.
//!
//! Names as in laboratories: base units, `_total` for counters; no run and no parameter in a label.

use std::fmt::Write;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;

use drivers::{ErrorKind, Histogram, LinkReport};

use crate::Error;
use crate::control::{
    Board, RunState, Status, Watching, Wires,
    http::{self, HttpServer},
};
use crate::event::{Severity, TimeShares};
use crate::record::unix_seconds;
use crate::scores::Scores;

/// Serves the metrics of a run until it is dropped.
pub struct Metrics {
    address: SocketAddr,
    _server: HttpServer,
    /// Plant and twin are compared for it as for any watcher.
    _watching: Watching,
}

/// A port that was taken, before there is anything to say.
pub struct MetricsListener {
    listener: TcpListener,
    address: SocketAddr,
}

impl MetricsListener {
    /// Listens on `address`; port 0 means any.
    pub fn bind(address: SocketAddr) -> Result<Self, Error> {
        let (listener, address) = http::bind(address).map_err(refused(address))?;
        Ok(Self { listener, address })
    }

    /// Answers from now on.
    pub fn serve(self, board: &Arc<Board>) -> Result<Metrics, Error> {
        let Self { listener, address } = self;
        let shown = board.clone();
        let server = HttpServer::start(listener, Arc::new(move |path| answer(path, &shown)));
        let server = server.map_err(refused(address))?;
        Ok(Metrics { address, _server: server, _watching: board.viewer().watch() })
    }
}

fn refused(address: SocketAddr) -> impl FnOnce(std::io::Error) -> Error {
    move |error| Error::Usage(format!("--metrics {address}: cannot be served: {error}"))
}

impl Metrics {
    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }
}

fn answer(path: &str, board: &Board) -> (u16, String) {
    match path {
        "/metrics" => (200, text(board)),
        "/healthz" => (200, "ok\n".to_owned()),
        _ => (404, "there are /metrics and /healthz\n".to_owned()),
    }
}

/// One family of metrics.
struct Family<'a> {
    text: &'a mut String,
    name: &'a str,
}

impl<'a> Family<'a> {
    fn new(text: &'a mut String, name: &'a str, kind: &str, help: &str) -> Self {
        // Writing to a string cannot fail.
        let _ = writeln!(text, "# HELP {name} {help}\n# TYPE {name} {kind}");
        Self { text, name }
    }

    fn add(&mut self, labels: &[(&str, &str)], value: Option<f64>) {
        if let Some(value) = value {
            self.write("", labels, value);
        }
    }

    /// How often what was how long: cumulative bins, their sum and their count.
    fn add_histogram(&mut self, labels: &[(&str, &str)], times: &Histogram) {
        let bins = times.at_most().map(|(longest, count)| (longest.to_string(), count));
        for (longest, count) in bins.chain([("+Inf".to_owned(), times.count())]) {
            self.write("_bucket", &[labels, &[("le", &longest)]].concat(), count as f64);
        }
        self.write("_sum", labels, times.seconds());
        self.write("_count", labels, times.count() as f64);
    }

    fn write(&mut self, part: &str, labels: &[(&str, &str)], value: f64) {
        let escape = |word: &str| word.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n");
        let pairs: Vec<String> = labels.iter().map(|(key, word)| format!("{key}=\"{}\"", escape(word))).collect();
        let labels = if pairs.is_empty() { String::new() } else { format!("{{{}}}", pairs.join(",")) };
        let _ = writeln!(self.text, "{}{part}{labels} {value}", self.name);
    }
}

/// The text format of Prometheus, version 0.0.4.
fn text(board: &Board) -> String {
    let status = board.status();
    let mut text = String::new();
    training(&mut text, &status);
    let mut family =
        Family::new(&mut text, "pnn_train_step_seconds", "histogram", "Time of an update, by where it goes.");
    for ((phase, _), times) in TimeShares::default().parts().into_iter().zip(&board.steps()) {
        family.add_histogram(&[("phase", phase)], times);
    }
    let mut family = Family::new(
        &mut text,
        "pnn_safe_state_total",
        "counter",
        "Times that the plants were made safe while it went.",
    );
    family.add(&[("reason", "request")], Some(board.safe_states() as f64));
    let mut family = Family::new(&mut text, "pnn_alarm_active", "gauge", "Active alarms.");
    for (severity, word) in [(Severity::Minor, "minor"), (Severity::Major, "major"), (Severity::Invalid, "invalid")] {
        let count = status.alarms.iter().filter(|alarm| alarm.active && alarm.severity == severity).count();
        family.add(&[("severity", word)], Some(count as f64));
    }
    plants(&mut text, &status);
    wires(&mut text, &board.viewer().wires());
    backlogs(&mut text, board);
    text
}

/// A word as sentences begin with it.
fn first_large(word: &str) -> String {
    let mut letters = word.chars();
    letters.next().map_or(String::new(), |first| first.to_uppercase().chain(letters).collect())
}

fn training(text: &mut String, status: &Status) {
    let training = &status.training;
    let mut gauge = |name: &str, help: &str, value: Option<f64>| Family::new(text, name, "gauge", help).add(&[], value);
    gauge("pnn_train_step", "Updates done.", Some(training.step as f64));
    gauge("pnn_train_steps", "Updates in all.", Some(training.steps as f64));
    gauge("pnn_train_steps_per_second", "Updates a second, over the last few seconds.", training.steps_per_second);
    gauge("pnn_train_loss", "Loss of the last update.", training.loss);
    for score in training.tried.kind.scores() {
        let of = |scores: Option<Scores>| scores.and_then(|scores| scores.get(score.name));
        let words = first_large(score.words);
        gauge(
            &format!("pnn_{}", score.key("test")),
            &format!("{words} of the last test on the plant."),
            of(training.tried.plant),
        );
        gauge(
            &format!("pnn_{}", score.key("believed")),
            &format!("{words} of the last test as the method believes."),
            of(training.tried.believed),
        );
    }
    gauge(
        "pnn_twin_residual",
        "RMS difference of twin and plant over the readings' standard deviation.",
        training.twin_residual,
    );
    gauge("pnn_drift_score", "Of the drift monitor, over its threshold.", training.drift_score);
    gauge("pnn_run_paused", "1 while the run is paused.", Some(f64::from(status.state == RunState::Paused)));
}

fn plants(text: &mut String, status: &Status) {
    let mut each = |name: &str, kind: &str, help: &str, value: &dyn Fn(&super::PlantStatus) -> Option<f64>| {
        let mut family = Family::new(text, name, kind, help);
        for plant in &status.plants {
            family.add(&[("plant", &plant.plant), ("backend", &plant.origin)], value(plant));
        }
    };
    each("pnn_shots_total", "counter", "Shots taken.", &|plant| Some(plant.shots as f64));
    each("pnn_plant_seconds_total", "counter", "Bench time spent.", &|plant| Some(plant.plant_seconds));
    each("pnn_calibration_age_seconds", "gauge", "Age of the fit behind the twin.", &|plant| {
        plant.calibration.as_ref().map(|fit| unix_seconds() - fit.made_unix_seconds)
    });
}

/// Adds what one link says, with the labels that every family of links has.
type OfLink<'a> = &'a dyn Fn(&mut Family<'_>, &[(&str, &str)], &LinkReport);

/// What the links have been through, and the shots that were rejected.
fn wires(text: &mut String, wires: &[Wires]) {
    let links = || wires.iter().flat_map(|plant| plant.links.iter().map(move |link| (plant, link)));
    let mut each = |name: &str, kind: &str, help: &str, add: OfLink<'_>| {
        let mut family = Family::new(text, name, kind, help);
        for (plant, link) in links() {
            add(&mut family, &[("bench", &plant.plant), ("device", &link.instrument)], link);
        }
    };
    each("pnn_link_state", "gauge", "1 for the state that the link is in.", &|family, labels, link| {
        family.add(&[labels, &[("state", &link.state.to_string())]].concat(), Some(1.0));
    });
    each("pnn_lease_held", "gauge", "1 while this process holds the instrument.", &|family, labels, link| {
        family.add(labels, Some(f64::from(link.held)));
    });
    each("pnn_device_reconnects_total", "counter", "Times that a link was reopened.", &|family, labels, link| {
        family.add(labels, Some(link.reconnects as f64));
    });
    let help = "What went wrong on a link, also where it was mended by asking again.";
    each("pnn_device_errors_total", "counter", help, &|family, labels, link| {
        for kind in ErrorKind::ALL {
            let count = link.errors.get(&kind).copied().unwrap_or(0);
            family.add(&[labels, &[("kind", &kind.to_string())]].concat(), Some(count as f64));
        }
    });
    let mut family =
        Family::new(text, "pnn_device_query_seconds", "histogram", "Time until an instrument has answered.");
    for (plant, link) in links() {
        for (verb, times) in &link.queries {
            let labels = [
                ("bench", plant.plant.as_str()),
                ("device", link.instrument.as_str()),
                ("verb", *verb),
                ("backend", plant.backend.as_str()),
            ];
            family.add_histogram(&labels, times);
        }
    }
    let help = "Shots that were refused, or whose readings were thrown away.";
    let mut family = Family::new(text, "pnn_shots_rejected_total", "counter", help);
    for plant in wires {
        for (reason, shots) in &plant.rejected {
            family.add(&[("plant", &plant.plant), ("reason", reason)], Some(*shots as f64));
        }
    }
}

/// What waits to be written to the disk.
fn backlogs(text: &mut String, board: &Board) {
    let backlogs = board.backlogs();
    let mut family = Family::new(text, "pnn_queue_pending", "gauge", "What waits to be written.");
    for (what, backlog) in &backlogs {
        family.add(&[("queue", what)], Some(backlog.waiting().0 as f64));
    }
    let help = "How long the oldest of what waits to be written has waited.";
    let mut family = Family::new(text, "pnn_store_lag_seconds", "gauge", help);
    for (what, backlog) in &backlogs {
        family.add(&[("queue", what)], Some(backlog.waiting().1.as_secs_f64()));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::control::{Control, Heading, Viewer};
    use std::io::{Read, Write as _};

    fn get(address: SocketAddr, path: &str) -> String {
        let mut stream = std::net::TcpStream::connect(address).unwrap();
        write!(stream, "GET {path} HTTP/1.0\r\n\r\n").unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer
    }

    #[test]
    fn the_names_are_served_and_a_taken_port_is_refused() {
        let board =
            Board::new(Heading { steps: 8, ..Heading::default() }, Control::new(), Arc::new(Viewer::new(vec![])));
        board.raise("drift", Severity::Major, "moved".into(), false);
        let metrics = MetricsListener::bind("127.0.0.1:0".parse().unwrap()).unwrap().serve(&board).unwrap();
        let answer = get(metrics.address(), "/metrics");
        assert!(answer.starts_with("HTTP/1.1 200") && answer.contains("text/plain; version=0.0.4"), "{answer}");
        for line in ["pnn_train_steps 8", "pnn_alarm_active{severity=\"major\"} 1", "pnn_run_paused 0"] {
            assert!(answer.lines().any(|one| one == line), "{line}: {answer}");
        }
        assert!(get(metrics.address(), "/healthz").ends_with("ok\n"));
        assert!(get(metrics.address(), "/").starts_with("HTTP/1.1 404"));
        let error = MetricsListener::bind(metrics.address()).err().unwrap().to_string();
        assert!(error.contains("cannot be served"), "{error}");
    }
}
