//! The thread that reads the files of the open run, and the one that looks for runs.

use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender};
use std::time::{Duration, SystemTime};

use super::dashboard::Detail;
use super::find::Finder;
use super::metrics::Metrics;
use super::news::{News, RecordNews};
use super::record::{Events, Facts};

/// How often the files are looked at.
const LOOK: Duration = Duration::from_millis(200);
/// How often runs are looked for.
const LOOK_FOR_RUNS: Duration = Duration::from_secs(1);
/// Bytes of `metrics.csv` that are read before what was read is shown.
const CHUNK: u64 = 8 << 20;

/// Reads the run in `folder` until nobody can ask any more; `asked` brings stretches of steps to read again.
pub fn record(folder: &Path, key: u64, news: &Sender<News>, asked: &Receiver<(u64, u64)>) {
    let mut metrics = Metrics::new(folder.join("metrics.csv"));
    let mut events = Events::new(folder.join("events.jsonl"));
    let (mut modified, mut problem) = (None, String::new());
    loop {
        let (found, more) = look(folder, &mut modified, &mut metrics, &mut events);
        let (found, said) = match found {
            Ok(found) => (found, String::new()),
            Err(error) => (RecordNews::default(), error.to_string()),
        };
        let changed = said != problem;
        problem.clone_from(&said);
        let found = RecordNews { problem: changed.then_some(said), ..found };
        let nothing = found.facts.is_none() && found.history.is_none() && found.log.is_none() && !changed;
        if !nothing && news.send(News::Record(key, Box::new(found))).is_err() {
            return;
        }
        let wait = if more { Duration::ZERO } else { LOOK };
        match asked.recv_timeout(wait) {
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => return,
            Ok(first) => {
                // Of several only the last is still wanted.
                let (from, to) = asked.try_iter().last().unwrap_or(first);
                let rows = metrics.rows(from, to).unwrap_or_default();
                if news.send(News::Detail(key, Detail { from, to, rows })).is_err() {
                    return;
                }
            }
        }
    }
}

/// Reads what is new; says as well whether there is more.
fn look(
    folder: &Path,
    modified: &mut Option<SystemTime>,
    metrics: &mut Metrics,
    events: &mut Events,
) -> (std::io::Result<RecordNews>, bool) {
    let mut more = false;
    let mut found = || -> std::io::Result<RecordNews> {
        let mut found = RecordNews::default();
        let now = folder.join("run.json").metadata()?.modified()?;
        if *modified != Some(now) {
            found.facts = Some(Facts::read_with_plan(folder)?);
            *modified = Some(now);
        }
        if metrics.poll(CHUNK)? {
            found.history = Some(Arc::new(metrics.history().clone()));
            more = true;
        }
        if events.poll()? {
            found.log = Some(Arc::new(events.log().clone()));
        }
        Ok(found)
    };
    (found(), more)
}

/// Looks for runs in `folder` until nobody wants them.
pub fn runs(folder: &Path, news: &Sender<News>, wanted: &Receiver<()>) {
    let mut finder = Finder::default();
    loop {
        let start = std::time::Instant::now();
        if news.send(News::Runs(finder.find(folder))).is_err() {
            return;
        }
        // A folder of very many runs is looked at less often, so that looking costs little; waiting for a silent run costs nothing.
        let pause = LOOK_FOR_RUNS.max(start.elapsed().saturating_sub(finder.waited) * 50);
        match wanted.recv_timeout(pause) {
            Err(RecvTimeoutError::Timeout) => {}
            _ => return,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    #[test]
    fn a_record_is_read_as_it_grows_and_problems_come_and_go() {
        let place = tempfile::tempdir().unwrap();
        let folder = place.path().to_owned();
        let (news, received) = mpsc::channel();
        let (ask, asked) = mpsc::channel();
        let thread = std::thread::spawn(move || record(&folder, 3, &news, &asked));
        let next = || received.recv_timeout(Duration::from_secs(30)).unwrap();
        let News::Record(3, first) = next() else { panic!("no record") };
        assert!(first.problem.is_some_and(|problem| !problem.is_empty()), "no run.json yet");
        std::fs::write(place.path().join("metrics.csv"), "kind,step,loss\nstep,1,2.5\nstep,2,1.5\n").unwrap();
        std::fs::write(place.path().join("part"), r#"{"experiment":"digits","state":"running"}"#).unwrap();
        std::fs::rename(place.path().join("part"), place.path().join("run.json")).unwrap();
        let News::Record(3, second) = next() else { panic!("no record") };
        assert_eq!(second.problem.as_deref(), Some(""));
        assert_eq!(second.facts.unwrap().experiment, "digits");
        assert_eq!(second.history.unwrap().span(), Some((1, 2)));
        ask.send((1, 1)).unwrap();
        let News::Detail(3, detail) = next() else { panic!("no detail") };
        assert_eq!(detail.rows[0].loss, Some(2.5));
        drop(ask);
        thread.join().unwrap();
    }
}
