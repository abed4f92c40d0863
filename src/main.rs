//! The program `pnnlab`.

use std::process::ExitCode;

fn main() -> ExitCode {
    match pnnlab::cli::run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("pnnlab: {error}");
            ExitCode::from(error.exit_code())
        }
    }
}
