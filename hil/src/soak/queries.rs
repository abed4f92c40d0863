//! Queries that carry their number, of a SCPI instrument over TCP, with all faults.

use std::io;
use std::time::{Duration, Instant};

use drivers::{Error, Link, LinkOptions, Scpi, ScpiRequest, Step};

use super::report::{SoakReport, resident_memory};
use crate::scpi_box::{Parameter, Response, ScpiBox, ScpiInstrument, Table};
use crate::{Fault, Faults, Wire, serve_scpi};

/// How long one attempt may take; what takes longer is asked again.
const ATTEMPT: Duration = Duration::from_millis(300);
/// How long a query may take with all its attempts.
const DEADLINE: Duration = Duration::from_secs(5);
/// How often a fault that costs an attempt happens at each answer.
const COSTLY: f64 = 1.5e-4;
/// How often any other fault happens at each answer.
const CHEAP: f64 = 2e-3;

/// An instrument that answers `ECHO? N` with N.
struct Echo;

impl ScpiInstrument for Echo {
    type Client = ();

    fn identity(&self) -> [String; 3] {
        ["pnnlab".into(), "ECHO SIMULATED".into(), "1".into()]
    }

    fn table(&self) -> Table<Self> {
        Table::<Self>::new().query("ECHO?", [Parameter::raw()], |_, call| Ok(Response::bytes(call.bytes(0)?.to_vec())))
    }

    fn reset(&mut self) {}
}

/// Asks `count` queries with a random mix of faults, decided by `seed`.
pub fn soak_queries(count: u64, seed: u64) -> io::Result<SoakReport> {
    let faults = Faults::new(seed);
    for fault in Fault::ALL {
        faults.set(fault, likelihood(fault));
    }
    let served = serve_scpi(ScpiBox::new(Echo), &Wire::Tcp { port: 0 }, faults.clone())?;
    let options = LinkOptions::new("soak-queries", served.address.clone());
    let mut asker = Asker { options, link: None };
    let mut report = SoakReport { deadline: DEADLINE, ..SoakReport::default() };
    let mut memory = None;
    for number in 0..count {
        let start = Instant::now();
        let outcome = asker.ask(number);
        report.longest_wait = report.longest_wait.max(start.elapsed());
        judge(&mut report, number, &outcome);
        if memory.is_none() && count / 10 <= number {
            memory = resident_memory();
        }
    }
    report.memory_growth = memory.and_then(|before| Some(resident_memory()? - before));
    report.faults = faults.counts().into_iter().map(|(fault, count)| (fault.name(), count)).collect();
    Ok(report)
}

/// Whoever asks: opens the link, and opens it anew when the instrument has another firmware.
struct Asker {
    options: LinkOptions,
    link: Option<Link<Scpi>>,
}

impl Asker {
    /// One query, asked again while that can help and the deadline allows.
    fn ask(&mut self, number: u64) -> Result<Vec<Vec<u8>>, Error> {
        let end = Instant::now() + DEADLINE;
        loop {
            match self.attempt(number, end) {
                // A link refuses to go on with an instrument that is not quite the one before; here somebody looks at
                // it and says that it is.
                Err(Error::Reflashed { .. }) if Instant::now() < end => self.link = None,
                Err(error) if error.is_retryable() && Instant::now() < end => {}
                outcome => return outcome,
            }
        }
    }

    fn attempt(&mut self, number: u64, end: Instant) -> Result<Vec<Vec<u8>>, Error> {
        let left = end.saturating_duration_since(Instant::now());
        let link = match self.link.take() {
            Some(link) => link,
            None => Link::open(Scpi::new("", vec![]), &LinkOptions { open_within: left, ..self.options.clone() })?,
        };
        let request = ScpiRequest::Steps(vec![Step::query(format!("ECHO? {number}"))]);
        self.link.insert(link).ask(request, ATTEMPT.min(left))
    }
}

/// Counts what is wrong with the answer to query `number`.
fn judge(report: &mut SoakReport, number: u64, outcome: &Result<Vec<Vec<u8>>, Error>) {
    let Ok(answers) = outcome else {
        report.lost += 1;
        return;
    };
    report.transactions += 1;
    report.duplicated += answers.len().saturating_sub(1) as u64;
    let text = answers.first().map(|answer| String::from_utf8_lossy(answer).trim().to_owned());
    match text.and_then(|text| text.parse::<u64>().ok()) {
        Some(found) if found == number => {}
        _ => report.misattributed += 1,
    }
}

/// How likely a fault is at each of its opportunities.
fn likelihood(fault: Fault) -> f64 {
    match fault {
        Fault::SplitReply | Fault::BufferSizedBlock | Fault::QueueOverflow | Fault::JoinedReplies => CHEAP,
        _ => COSTLY,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_few_queries_are_clean() {
        let report = soak_queries(1500, 4).unwrap();
        assert!(report.is_clean(), "{report:?}");
        assert_eq!(report.transactions, 1500);
        assert!(2 < report.faults.len(), "{report:?}");
    }

    #[test]
    fn another_queries_answer_is_misattributed() {
        let mut report = SoakReport::default();
        judge(&mut report, 3, &Ok(vec![b"3\n".to_vec()]));
        assert_eq!((report.transactions, report.misattributed), (1, 0));
        judge(&mut report, 4, &Ok(vec![b"3\n".to_vec(), b"4\n".to_vec()]));
        assert_eq!((report.misattributed, report.duplicated), (1, 1));
        let instrument = "soak".to_owned();
        judge(&mut report, 5, &Err(Error::Lost { instrument, message: String::new() }));
        assert_eq!(report.lost, 1);
    }
}
