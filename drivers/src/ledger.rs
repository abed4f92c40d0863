//! What was driven in the last minute, on disk: limits over time hold from one opening of a bench to the next, whoever opens it. An
//! opening without such limits writes nothing, and what it drives is not counted.
//!
//! The page lies beside the owner's lock of the instrument that drives, and is written only by who holds that lock:
//!
//! ```text
//! {"limits": ["duty", …], "written_unix_seconds": …, "slices": [{"age_seconds": …, "amounts": [s or unit²·s, …]}, …]}
//! ```
//!
//! It is replaced as a whole, before what it counts is driven. Not for each shot: a page counts an advance as well, a sixtieth of what
//! each limit allows in a minute, which may be driven within the next second without another page. That is at most one page
//! a second and sixty for all that a minute allows. A process that dies leaves the whole advance counted, as driven at the end
//! of its second; one that makes its plant safe leaves the exact page.
//!
//! Its times are by the wall clock. A page from the future (the clock was set back) counts as written now; one that cannot be
//! understood counts as a minute in which all was driven that is allowed, and so does a limit that it lacks. A clock that is set forward
//! makes it look older than it is. The files are in the folder of the owners' locks. Each user has a page of its own, so that in a folder
//! of several users nobody needs to replace another's: the newest counts, whosever it is.

use std::io::{ErrorKind, Write};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};

use crate::Error;
use crate::minute::{MINUTE, Past};
use crate::owner::{Folder, user};

/// How long an advance may be driven.
const VALID: Duration = Duration::from_secs(1);
/// The part of what a minute allows that is an advance.
const ADVANCE: f64 = 1.0 / 60.0;

/// More slices than a page can have: some 600 of the last minute, and what was there before it.
const MOST_SLICES: usize = 1000;

/// The file.
#[derive(Serialize, Deserialize)]
struct Page {
    /// The keys of the limits, in the order of the amounts.
    limits: Vec<String>,
    written_unix_seconds: f64,
    slices: Vec<Past>,
}

/// Where the pages of one instrument are.
#[derive(Debug, Clone)]
pub(crate) struct Place {
    pub folder: Folder,
    /// The instrument's names: a page for each.
    pub names: Vec<String>,
}

/// The pages of one instrument.
#[derive(Debug)]
pub(crate) struct Ledger {
    place: Place,
    limits: Vec<String>,
    /// What each page counts beforehand.
    advance: Vec<f64>,
    /// What is left of it.
    left: Vec<f64>,
    /// When that page was written.
    written: Option<SystemTime>,
}

impl Ledger {
    /// The ledger at `place` for limits by their keys, each with the most that it allows in a minute, and what was driven before
    /// `now`.
    ///
    /// Fails where it cannot be written.
    pub fn open(place: Place, limits: &[(String, f64)], now: SystemTime) -> Result<(Self, Vec<Past>), Error> {
        let keys: Vec<String> = limits.iter().map(|(key, _)| key.clone()).collect();
        let most: Vec<f64> = limits.iter().map(|(_, most)| *most).collect();
        let past = read(&place, limits, now);
        let past = past.unwrap_or_else(|| vec![Past { age_seconds: 0.0, amounts: most.clone() }]);
        let advance: Vec<f64> = most.iter().map(|most| ADVANCE * most).collect();
        let mut ledger = Self { place, limits: keys, left: vec![], advance, written: None };
        // What was not understood, or of the future, is so no longer: it ages from now on.
        ledger.close(past.clone(), now)?;
        Ok((ledger, past))
    }

    /// Makes sure that `amounts` are on the page before they are driven; `past` is the last minute with them.
    pub fn count(&mut self, amounts: &[f64], past: impl FnOnce() -> Vec<Past>, now: SystemTime) -> Result<(), Error> {
        let is_valid =
            self.written.is_some_and(|written| now.duration_since(written).is_ok_and(|passed| passed < VALID));
        if is_valid && amounts.iter().zip(&self.left).all(|(amount, left)| amount <= left) {
            self.left.iter_mut().zip(amounts).for_each(|(left, amount)| *left -= amount);
            return Ok(());
        }
        let advance = Past { age_seconds: -VALID.as_secs_f64(), amounts: self.advance.clone() };
        self.close([past(), vec![advance]].concat(), now)?;
        (self.left, self.written) = (self.advance.clone(), Some(now));
        Ok(())
    }

    /// Writes a page without an advance.
    pub fn close(&mut self, slices: Vec<Past>, now: SystemTime) -> Result<(), Error> {
        self.written = None;
        let page = Page { limits: self.limits.clone(), written_unix_seconds: unix_seconds(now), slices };
        let Place { folder, names } = &self.place;
        names.iter().map(|name| own_page(name)).try_for_each(|file| {
            let replaced = replace(folder, &file, &page);
            replaced.map_err(|error| Error::Ledger { path: folder.file(&file), message: error.to_string() })
        })
    }
}

/// The file of this user's page of the instrument called `name`.
fn own_page(name: &str) -> String {
    format!("{name}.driven.{}.json", user())
}

/// Puts `page` in the place of the one in `file`, or leaves that as it is.
fn replace(folder: &Folder, file: &str, page: &Page) -> std::io::Result<()> {
    let new = format!("{file}.{}.new", std::process::id());
    match std::fs::remove_file(folder.file(&new)) {
        Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    folder.make(&new)?.write_all(&serde_json::to_vec(page)?)?;
    std::fs::rename(folder.file(&new), folder.file(file))
}

/// The newest page of the instrument, whosever it is; an empty one of long ago where there is none. None where one of them cannot
/// be understood.
fn newest(Place { folder, names }: &Place) -> Option<Page> {
    let mut newest = Page { limits: vec![], written_unix_seconds: f64::NEG_INFINITY, slices: vec![] };
    let is_page = |file: &String| {
        let stem = file.strip_suffix(".json");
        stem.is_some_and(|stem| names.iter().any(|name| stem.starts_with(&format!("{name}.driven."))))
    };
    let own: Vec<String> = names.iter().map(|name| own_page(name)).collect();
    for file in folder.names().ok()?.into_iter().filter(is_page) {
        let text = match folder.read(&file) {
            // Another user has replaced it meanwhile.
            Ok(None) => continue,
            text => text.ok().flatten(),
        };
        let page = text.and_then(|text| serde_json::from_slice::<Page>(&text).ok());
        match page.filter(|page| page.slices.len() <= MOST_SLICES) {
            Some(page) if page.written_unix_seconds <= newest.written_unix_seconds => {}
            Some(page) => newest = page,
            // Nobody but its user can replace it: it ages by itself.
            None if !own.contains(&file) && is_old(folder, &file) => {}
            None => return None,
        }
    }
    Some(newest)
}

/// Whether a page was last written longer ago than a page counts.
fn is_old(folder: &Folder, file: &str) -> bool {
    let written = std::fs::symlink_metadata(folder.file(file)).and_then(|found| found.modified()).ok();
    written.and_then(|written| written.elapsed().ok()).is_some_and(|age| age > Duration::from_secs_f64(MINUTE) + VALID)
}

/// What was driven in the minute before `now`; nothing where there is no page. None where that cannot be understood.
fn read(place: &Place, limits: &[(String, f64)], now: SystemTime) -> Option<Vec<Past>> {
    let page = newest(place)?;
    let passed = (unix_seconds(now) - page.written_unix_seconds).max(0.0);
    if MINUTE + VALID.as_secs_f64() <= passed {
        return Some(vec![]);
    }
    let columns: Vec<Option<usize>> =
        limits.iter().map(|(key, _)| page.limits.iter().position(|known| known == key)).collect();
    let past = |slice: &Past| {
        let amount = |column: &Option<usize>| column.map_or(Some(0.0), |column| slice.amounts.get(column).copied());
        let amounts = columns.iter().map(amount).collect::<Option<Vec<f64>>>()?;
        let is_sound = amounts.iter().all(|amount| 0.0 <= *amount);
        is_sound.then_some(Past { age_seconds: (slice.age_seconds + passed).max(0.0), amounts })
    };
    let mut past = page.slices.iter().map(past).collect::<Option<Vec<Past>>>()?;
    if columns.contains(&None) {
        // Nobody has counted it: all that is allowed.
        let amount = |(column, (_, most)): (&Option<usize>, &(String, f64))| if column.is_none() { *most } else { 0.0 };
        past.push(Past { age_seconds: 0.0, amounts: columns.iter().zip(limits).map(amount).collect() });
    }
    Some(past)
}

/// Seconds since 1970.
fn unix_seconds(time: SystemTime) -> f64 {
    time.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs_f64()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::{Path, PathBuf};

    fn limits() -> Vec<(String, f64)> {
        vec![("duty".to_owned(), 30.0), ("energy_per_minute.drive".to_owned(), 6.0)]
    }

    fn at(seconds: f64) -> SystemTime {
        UNIX_EPOCH + Duration::from_secs_f64(1e9 + seconds)
    }

    fn past(age_seconds: f64, amounts: [f64; 2]) -> Past {
        Past { age_seconds, amounts: amounts.to_vec() }
    }

    /// The page in a folder of its own, and that folder.
    fn page_in(folder: &tempfile::TempDir) -> PathBuf {
        folder.path().join(own_page("a"))
    }

    /// Opens the ledger whose page that is.
    fn open(page: &Path, seconds: f64) -> (Ledger, Vec<Past>) {
        let place = Place { folder: Folder::at(page.parent().unwrap()), names: vec!["a".to_owned()] };
        Ledger::open(place, &limits(), at(seconds)).unwrap()
    }

    /// What an opening at `seconds` finds, each amount summed.
    fn found(path: &Path, seconds: f64) -> Vec<f64> {
        let (_, past) = open(path, seconds);
        (0..2).map(|place| past.iter().map(|past| past.amounts[place]).sum()).collect()
    }

    #[test]
    fn who_dies_leaves_what_it_may_have_driven_and_who_makes_safe_what_it_has() {
        let folder = tempfile::tempdir().unwrap();
        let path = page_in(&folder);
        let (mut ledger, none) = open(&path, 0.0);
        assert_eq!(none, []);
        ledger.count(&[2.0, 1.0], || vec![past(0.0, [2.0, 1.0])], at(0.0)).unwrap();
        // Within the advance and its second: no other page.
        ledger.count(&[0.5, 0.1], || unreachable!("the advance covers it"), at(0.9)).unwrap();
        assert_eq!(found(&path, 2.0), [2.5, 1.1], "all of the advance");
        let (_, seen) = open(&path, 3.0);
        assert!(
            (seen[1].age_seconds - 2.0).abs() < 1e-6,
            "the advance was driven at the end of its second at the latest"
        );

        ledger.count(&[0.5, 0.1], || vec![past(4.0, [2.5, 1.1])], at(4.0)).unwrap();
        ledger.count(&[0.1, 0.0], || vec![past(4.0, [2.6, 1.1])], at(5.0)).unwrap();
        assert_eq!(found(&path, 5.0), [2.6 + 0.5, 1.1 + 0.1], "a second later there is a new page");
        ledger.count(&[0.1, 0.0], || vec![past(4.0, [2.7, 1.1])], at(4.5)).unwrap();
        assert_eq!(found(&path, 5.0), [2.7 + 0.5, 1.1 + 0.1], "and after the clock was set back");
        ledger.count(&[0.1, 0.2], || vec![past(0.0, [2.8, 1.3])], at(4.5)).unwrap();
        assert_eq!(found(&path, 5.0), [2.8 + 0.5, 1.3 + 0.1], "and where one limit has too little left");
        ledger.close(vec![past(0.0, [2.8, 1.3])], at(6.0)).unwrap();
        assert_eq!(found(&path, 65.0), [2.8, 1.3]);
        assert_eq!(std::fs::read_dir(path.parent().unwrap()).unwrap().count(), 1, "nothing is left over");
    }

    #[test]
    fn pages_are_few_however_many_shots() {
        let folder = tempfile::tempdir().unwrap();
        let path = page_in(&folder);
        let (mut ledger, _) = open(&path, 0.0);
        let mut pages = 0;
        for shot in 0..100_000 {
            let written = || {
                pages += 1;
                vec![]
            };
            // All that a minute allows, within ten seconds.
            ledger.count(&[30e-5, 6e-5], written, at(f64::from(shot) * 1e-4)).unwrap();
        }
        assert!((50..=75).contains(&pages), "{pages}");
    }

    #[test]
    fn a_page_of_the_future_counts_as_written_now() {
        let folder = tempfile::tempdir().unwrap();
        let path = page_in(&folder);
        let (mut ledger, _) = open(&path, 3600.0);
        ledger.close(vec![past(50.0, [1.0, 2.0])], at(3600.0)).unwrap();
        let (_, seen) = open(&path, 0.0);
        assert_eq!(seen, [past(50.0, [1.0, 2.0])], "its ages are kept");
        let (_, later) = open(&path, 20.0);
        assert_eq!(later[0].age_seconds, 70.0, "it ages from the first opening on");
    }

    #[test]
    fn what_is_not_understood_is_a_minute_of_all_that_is_allowed_and_ages() {
        let folder = tempfile::tempdir().unwrap();
        let path = page_in(&folder);
        let page = |limits: &str, slice: &str| {
            format!(r#"{{"limits": [{limits}], "written_unix_seconds": 1e9, "slices": [{slice}]}}"#)
        };
        let both = r#""energy_per_minute.drive", "duty""#;
        std::fs::write(&path, page(both, r#"{"age_seconds": 1, "amounts": [5, 7]}"#)).unwrap();
        assert_eq!(found(&path, 0.0), [7.0, 5.0], "in any order");
        for bad in [
            String::new(),
            "{}".to_owned(),
            page(both, r#"{"age_seconds": 1, "amounts": [5]}"#),
            page(both, r#"{"age_seconds": 1, "amounts": [5, -7]}"#),
            page(both, r#"{"age_seconds": null, "amounts": [5, 7]}"#),
            page(both, &vec![r#"{"age_seconds": 1, "amounts": [0, 0]}"#; MOST_SLICES + 1].join(",")),
        ] {
            std::fs::write(&path, &bad).unwrap();
            assert_eq!(found(&path, 0.0), [30.0, 6.0], "{bad}");
            assert_eq!(found(&path, 59.0), [30.0, 6.0], "{bad}");
            assert_eq!(found(&path, 121.0), [0.0, 0.0], "{bad}");
        }
        // A limit that nobody has counted.
        std::fs::write(&path, page(r#""duty""#, r#"{"age_seconds": 1, "amounts": [5]}"#)).unwrap();
        assert_eq!(found(&path, 1.0), [5.0, 6.0]);
        // The same, but long ago.
        std::fs::write(&path, page(r#""duty""#, r#"{"age_seconds": 1, "amounts": [5]}"#)).unwrap();
        assert_eq!(found(&path, 61.0), [0.0, 0.0]);
    }

    #[test]
    fn a_pipe_or_a_link_in_the_place_of_a_page_keeps_nobody_waiting_and_is_replaced() {
        let folder = tempfile::tempdir().unwrap();
        let path = page_in(&folder);
        let victim = folder.path().join("victim");
        std::fs::write(&victim, "kept").unwrap();
        let mode = rustix::fs::Mode::from_raw_mode(0o600);
        rustix::fs::mknodat(rustix::fs::CWD, &path, rustix::fs::FileType::Fifo, mode, 0).unwrap();
        assert_eq!(found(&path, 0.0), [30.0, 6.0], "nobody knows what was driven");
        assert_eq!(found(&path, 121.0), [0.0, 0.0]);
        std::fs::remove_file(&path).unwrap();
        std::os::unix::fs::symlink(&victim, &path).unwrap();
        assert_eq!(found(&path, 200.0), [30.0, 6.0]);
        assert!(!std::fs::symlink_metadata(&path).unwrap().is_symlink());
        assert_eq!(std::fs::read_to_string(&victim).unwrap(), "kept");
    }

    #[test]
    fn in_a_folder_of_several_users_the_newest_page_counts_whosever_it_is() {
        let folder = tempfile::tempdir().unwrap();
        let path = page_in(&folder);
        let (mut ledger, _) = open(&path, 0.0);
        ledger.close(vec![past(0.0, [3.0, 2.0])], at(0.0)).unwrap();
        let other = folder.path().join("a.driven.4294967294.json");
        let page = std::fs::read_to_string(&path).unwrap().replace("3.0", "4.0");
        let later = page.replace("1000000000.0", "1000000001.0");
        assert_ne!(page, later);
        std::fs::write(&other, later).unwrap();
        assert_eq!(found(&path, 2.0), [4.0, 2.0]);
        // One that cannot be understood counts for a minute from when it was written.
        std::fs::write(&other, "nonsense").unwrap();
        assert_eq!(found(&path, 2.0), [30.0, 6.0]);
        std::fs::File::options().write(true).open(&other).unwrap().set_modified(SystemTime::UNIX_EPOCH).unwrap();
        assert_eq!(found(&path, 200.0), [0.0, 0.0]);
    }

    #[test]
    fn a_ledger_that_cannot_be_written_is_refused_with_its_path() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("file");
        std::fs::write(&file, "").unwrap();
        let place = Place { folder: Folder::at(&file), names: vec!["a".to_owned()] };
        let text = Ledger::open(place, &limits(), at(0.0)).unwrap_err().to_string();
        assert!(text.contains(&file.display().to_string()) && text.contains("let this user write there"), "{text}");
    }
}
