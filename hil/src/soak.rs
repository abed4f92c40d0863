//! A long run through every fault at once: is any shot lost, repeated or put in another's place?

mod queries;
mod report;
mod shots;

use std::io;

use queries::soak_queries;
pub use report::SoakReport;
use shots::soak_shots;

/// Drives `shots` shots, and a tenth as many queries, through all faults; `seed` decides when which happens.
pub fn soak(shots: u64, seed: u64) -> io::Result<SoakReport> {
    let link = std::env::temp_dir().join(format!("pnnlab-soak-{}", std::process::id()));
    // Both at once, as on a bench with several instruments.
    let (shot, asked) = std::thread::scope(|scope| {
        let asking = scope.spawn(|| soak_queries(shots / 10, seed));
        (soak_shots(shots, seed, &link), asking.join())
    });
    let asked = asked.unwrap_or_else(|_| Err(io::Error::other("the queries' thread has died")))?;
    Ok(shot?.with(&asked))
}
