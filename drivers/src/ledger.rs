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
//! makes it look older than it is. The files are in the folder for temporary files, and do not outlast it.

use std::fs::File;
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};

use crate::Error;
use crate::minute::{MINUTE, Past};
use crate::owner::{share_file, share_folder};

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

/// The file of one instrument.
#[derive(Debug)]
pub(crate) struct Ledger {
    path: PathBuf,
    limits: Vec<String>,
    /// What each page counts beforehand.
    advance: Vec<f64>,
    /// What is left of it.
    left: Vec<f64>,
    /// When that page was written.
    written: Option<SystemTime>,
}

impl Ledger {
    /// The ledger at `path` for limits by their keys, each with the most that it allows in a minute, and what was driven before
    /// `now`.
    ///
    /// Fails where it cannot be written.
    pub fn open(path: PathBuf, limits: &[(String, f64)], now: SystemTime) -> Result<(Self, Vec<Past>), Error> {
        let keys: Vec<String> = limits.iter().map(|(key, _)| key.clone()).collect();
        let most: Vec<f64> = limits.iter().map(|(_, most)| *most).collect();
        let past = read(&path, limits, now).unwrap_or_else(|| vec![Past { age_seconds: 0.0, amounts: most.clone() }]);
        let advance: Vec<f64> = most.iter().map(|most| ADVANCE * most).collect();
        let mut ledger = Self { path, limits: keys, left: vec![], advance, written: None };
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
        replace(&self.path, &page)
            .map_err(|error| Error::Ledger { path: self.path.clone(), message: error.to_string() })
    }
}

/// Puts `page` in the place of the one at `path`, or leaves that as it is.
fn replace(path: &Path, page: &Page) -> std::io::Result<()> {
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder)?;
        // Any user may hold the instrument next, and then puts another file in the place of this one.
        share_folder(folder, 0o777);
    }
    let new = path.with_extension(format!("{}.new", std::process::id()));
    match std::fs::remove_file(&new) {
        Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut file = File::create_new(&new)?;
    share_file(&file);
    file.write_all(&serde_json::to_vec(page)?)?;
    std::fs::rename(&new, path)
}

/// What the page at `path` says was driven in the minute before `now`; nothing where there is none. None where it cannot be
/// understood.
fn read(path: &Path, limits: &[(String, f64)], now: SystemTime) -> Option<Vec<Past>> {
    let text = match std::fs::read(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Some(vec![]),
        text => text.ok()?,
    };
    let page: Page = serde_json::from_slice(&text).ok().filter(|page: &Page| page.slices.len() <= MOST_SLICES)?;
    let passed = (unix_seconds(now) - page.written_unix_seconds).max(0.0);
    if MINUTE + VALID.as_secs_f64() <= passed {
        return Some(vec![]);
    }
    let places: Vec<Option<usize>> =
        limits.iter().map(|(key, _)| page.limits.iter().position(|known| known == key)).collect();
    let past = |slice: &Past| {
        let amount = |place: &Option<usize>| place.map_or(Some(0.0), |place| slice.amounts.get(place).copied());
        let amounts = places.iter().map(amount).collect::<Option<Vec<f64>>>()?;
        let is_sound = amounts.iter().all(|amount| 0.0 <= *amount);
        is_sound.then_some(Past { age_seconds: (slice.age_seconds + passed).max(0.0), amounts })
    };
    let mut past = page.slices.iter().map(past).collect::<Option<Vec<Past>>>()?;
    if places.contains(&None) {
        // Nobody has counted it: all that is allowed.
        let amount = |(place, (_, most)): (&Option<usize>, &(String, f64))| if place.is_none() { *most } else { 0.0 };
        past.push(Past { age_seconds: 0.0, amounts: places.iter().zip(limits).map(amount).collect() });
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

    fn limits() -> Vec<(String, f64)> {
        vec![("duty".to_owned(), 30.0), ("energy_per_minute.drive".to_owned(), 6.0)]
    }

    fn at(seconds: f64) -> SystemTime {
        UNIX_EPOCH + Duration::from_secs_f64(1e9 + seconds)
    }

    fn past(age_seconds: f64, amounts: [f64; 2]) -> Past {
        Past { age_seconds, amounts: amounts.to_vec() }
    }

    /// What an opening at `seconds` finds, each amount summed.
    fn found(path: &Path, seconds: f64) -> Vec<f64> {
        let (_, past) = Ledger::open(path.to_owned(), &limits(), at(seconds)).unwrap();
        (0..2).map(|place| past.iter().map(|past| past.amounts[place]).sum()).collect()
    }

    #[test]
    fn who_dies_leaves_what_it_may_have_driven_and_who_makes_safe_what_it_has() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("driven/a.json");
        let (mut ledger, none) = Ledger::open(path.clone(), &limits(), at(0.0)).unwrap();
        assert_eq!(none, []);
        ledger.count(&[2.0, 1.0], || vec![past(0.0, [2.0, 1.0])], at(0.0)).unwrap();
        // Within the advance and its second: no other page.
        ledger.count(&[0.5, 0.1], || unreachable!("the advance covers it"), at(0.9)).unwrap();
        assert_eq!(found(&path, 2.0), [2.5, 1.1], "all of the advance");
        let (_, seen) = Ledger::open(path.clone(), &limits(), at(3.0)).unwrap();
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
        let path = folder.path().join("a.json");
        let (mut ledger, _) = Ledger::open(path, &limits(), at(0.0)).unwrap();
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
        let path = folder.path().join("a.json");
        let (mut ledger, _) = Ledger::open(path.clone(), &limits(), at(3600.0)).unwrap();
        ledger.close(vec![past(50.0, [1.0, 2.0])], at(3600.0)).unwrap();
        let (_, seen) = Ledger::open(path.clone(), &limits(), at(0.0)).unwrap();
        assert_eq!(seen, [past(50.0, [1.0, 2.0])], "its ages are kept");
        let (_, later) = Ledger::open(path, &limits(), at(20.0)).unwrap();
        assert_eq!(later[0].age_seconds, 70.0, "it ages from the first opening on");
    }

    #[test]
    fn what_is_not_understood_is_a_minute_of_all_that_is_allowed_and_ages() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.json");
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
    fn a_ledger_that_cannot_be_written_is_refused_with_its_path() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("file");
        std::fs::write(&file, "").unwrap();
        let text = Ledger::open(file.join("a.json"), &limits(), at(0.0)).unwrap_err().to_string();
        assert!(text.contains(&file.display().to_string()) && text.contains("let this user write there"), "{text}");
    }
}
