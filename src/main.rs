//! The program `pnnlab`.

use std::io::Write;
use std::process::ExitCode;

fn main() -> ExitCode {
    match pnnlab::cli::run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // Nobody may be there to read it; the exit code says it as well.
            drop(writeln!(std::io::stderr(), "pnnlab: {error}"));
            ExitCode::from(error.exit_code())
        }
    }
}
