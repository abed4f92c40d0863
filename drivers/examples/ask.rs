//! Tells a SCPI instrument some lines and prints what it answers, through the same link as the plants:
//!
//! ```sh
//! cargo run -p drivers --example ask -- tcp://127.0.0.1:5025 '*IDN?' ':VOLT:IMM:AMPL 2' ':VOLT:IMM:AMPL?'
//! ```
//!
//! `--plain` before the address leaves out what instruments without IEEE 488.2 event registers do not know.

use std::process::ExitCode;
use std::time::Duration;

use drivers::{Address, Error, Link, LinkOptions, Scpi, ScpiRequest, Step};

fn main() -> ExitCode {
    let mut arguments: Vec<String> = std::env::args().skip(1).collect();
    let plain = arguments.first().is_some_and(|first| first == "--plain");
    arguments.drain(..usize::from(plain));
    let Some((address, lines)) = arguments.split_first() else {
        eprintln!("give an address and lines to send");
        return ExitCode::from(2);
    };
    match converse(address, lines, plain) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

fn converse(address: &str, lines: &[String], plain: bool) -> Result<(), Error> {
    let address: Address = address.parse()?;
    let link = Link::open(Scpi::new("", vec![]).numbered(!plain), &LinkOptions::new("instrument", address))?;
    for line in lines {
        let asks = line.trim_end().ends_with('?');
        let step = if asks { Step::query(line.as_str()) } else { Step::tell(line.as_str()) };
        for answer in link.ask(ScpiRequest::Steps(vec![step]), Duration::from_secs(2))? {
            println!("{}", String::from_utf8_lossy(&answer));
        }
    }
    Ok(())
}
