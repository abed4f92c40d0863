//! The program `pnnlab`.

use std::process::ExitCode;

fn main() -> ExitCode {
    pnnlab::cli::run()
}
