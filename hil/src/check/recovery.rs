//! Checks of wires and of the way out.

use std::time::{Duration, Instant};

use drivers::{Disturbance, LinkState, LinkWatch};

use super::order::mistaken;
use super::subject::{Failure, Seen, Subject, free_to_drive, set_controls, shots};

/// An instrument that is there is found again within this.
const RECONNECT: Duration = Duration::from_secs(1);
/// An instrument with a watchdog says so within this.
const SAYS: Duration = Duration::from_secs(5);
/// What a clock of an instrument may be late, beyond a quarter of the time.
const MARGIN: Duration = Duration::from_millis(100);

/// After an answer was given up, no shot is mistaken for another.
pub(super) fn timeout(subject: &mut Subject) -> Seen {
    disturbed(subject, Disturbance::LoseAnswer)?;
    Ok("after a lost answer, shots came back in their places".to_owned())
}

/// After the port was closed, the instrument is found again, soon.
pub(super) fn reconnect(subject: &mut Subject) -> Seen {
    let (found, measured) = disturbed(subject, Disturbance::ClosePort)?;
    if RECONNECT < found {
        return Err(Failure::Wrong(format!("it took {:.1} s to be found again", found.as_secs_f64())));
    }
    let [found, measured] = [found, measured].map(|time| 1e3 * time.as_secs_f64());
    Ok(format!("found again in {found:.0} ms, and measured after {measured:.0} ms"))
}

/// Disturbs each link, and measures: the longest that one was without its instrument, and that the first measurement took.
fn disturbed(subject: &mut Subject, disturbance: Disturbance) -> Result<(Duration, Duration), Failure> {
    if subject.links.is_empty() {
        return Err(Failure::NotRun("nothing is wired: there is no link to disturb"));
    }
    free_to_drive(subject)?;
    set_controls(subject)?;
    let (mut found, mut measured) = (Duration::ZERO, Duration::ZERO);
    for link in subject.links.clone() {
        let before = link.report().reconnects;
        link.disturb(disturbance);
        let start = Instant::now();
        subject.plant.measure(&shots(subject, 2, 4))?;
        measured = measured.max(start.elapsed());
        let report = link.report();
        found = found.max(report.opened_after.unwrap_or_default());
        if report.reconnects == before || report.state != LinkState::Ready {
            let name = report.instrument;
            return Err(Failure::Wrong(format!("the link to `{name}` is {} and was not reopened", report.state)));
        }
        if let Some(why) = mistaken(subject)? {
            return Err(Failure::Wrong(format!("afterwards {why}")));
        }
    }
    Ok((found, measured))
}

/// It can be made safe, twice, and driven again; it ends safe.
pub(super) fn safe_state(subject: &mut Subject) -> Seen {
    free_to_drive(subject)?;
    subject.plant.make_safe()?;
    subject.plant.make_safe()?;
    set_controls(subject)?;
    subject.plant.measure(&shots(subject, 2, 5))?;
    let start = Instant::now();
    subject.plant.make_safe()?;
    let milliseconds = 1e3 * start.elapsed().as_secs_f64();
    let confirmed = if subject.links.is_empty() { "done" } else { "its instruments confirm it" };
    Ok(format!("{confirmed}, in {milliseconds:.1} ms"))
}

/// It makes itself safe when it hears nothing: nothing is said to it for so long.
pub(super) fn watchdog(subject: &mut Subject) -> Seen {
    if subject.links.is_empty() {
        return Err(Failure::NotRun("nothing is wired: there is nothing that could be left switched on"));
    }
    free_to_drive(subject)?;
    if !subject.watchdog {
        return Err(Failure::Warning(
            "its instruments have none: where this program dies, its guard switches the output off, but where this computer dies (power), \
             the output stays as it was",
        ));
    }
    let said = |link: &LinkWatch| link.report().watchdog;
    set_controls(subject)?;
    subject.plant.measure(&shots(subject, 2, 6))?;
    let found = wait(SAYS, || subject.links.iter().find_map(|link| Some((link.clone(), said(link)?))));
    let Some((link, (time, before))) = found else {
        return Err(Failure::NotRun(
            "its instrument is silent as soon as nobody plays to it: there is nothing to wait for",
        ));
    };
    let stopped = subject.stopped;
    link.keep_silent(true);
    let ended = wait(time + time / 4 + MARGIN, || stopped().then_some(false));
    link.keep_silent(false);
    let has_acted = || said(&link).filter(|(_, trips)| *trips != before).map(|_| true);
    let acted = ended.or_else(|| wait(time + SAYS, || has_acted().or_else(|| stopped().then_some(false))));
    subject.plant.make_safe()?;
    let seconds = time.as_secs_f64();
    match acted {
        Some(true) => Ok(format!("it made itself safe when it had heard nothing for {seconds} s")),
        Some(false) => Err(Failure::NotRun("somebody has ended the checks before its watchdog time was over")),
        None => Err(Failure::Wrong(format!("it heard nothing for {seconds} s and more, and did not make itself safe"))),
    }
}

/// What `look` sees, at the latest after `patience`.
fn wait<T>(patience: Duration, mut look: impl FnMut() -> Option<T>) -> Option<T> {
    let since = Instant::now();
    loop {
        let seen = look();
        if seen.is_some() || patience < since.elapsed() {
            return seen;
        }
        std::thread::sleep(Duration::from_millis(5));
    }
}
