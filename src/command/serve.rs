//! `pnnlab serve`: simulated instruments on real wires, for other programs to talk to.

use std::io::BufRead;
use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use hil::{Fault, Faults, Wire};
use serde_json::json;

use crate::document::Document;
use crate::plants::{Rig, ServedInstrument};
use crate::{Error, stop};

/// `pnnlab serve`.
#[derive(Debug, Args)]
pub struct ServeArgs {
    /// A rig file whose plants have instruments (`bench`)
    pub rig: PathBuf,
    /// Serves on pseudo-terminals instead of TCP
    #[arg(long)]
    pub pty: bool,
    /// Answers take as long as on a line of so many symbols a second; with --pty
    #[arg(long, value_name = "N", requires = "pty", value_parser = clap::value_parser!(u32).range(1..))]
    pub baud: Option<u32>,
    /// A fault that happens once, or with a probability at each opportunity, such as no-reply or no-reply=0.01
    #[arg(long = "fault", value_name = "KIND[=P]")]
    pub faults: Vec<String>,
    /// Decides when faults happen, and the noise of the shots
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub seed: u64,
    /// Writes the rig with the addresses that are served, for `pnnlab check` and `pnnlab train --rig`
    #[arg(long, value_name = "FILE")]
    pub write_rig: Option<PathBuf>,
    /// Prints one JSON object with the addresses on standard output
    #[arg(long)]
    pub json: bool,
}

/// Serves until it is stopped.
pub fn run(arguments: &ServeArgs) -> Result<(), Error> {
    let rig = Rig::find(Some(&arguments.rig), &Document::parse("no experiment", "")?)?;
    let faults = Faults::new(arguments.seed);
    arguments
        .faults
        .iter()
        .try_for_each(|text| switch(&faults, text).map_err(|message| Error::Usage(format!("--fault {message}"))))?;
    let wire = if arguments.pty { Wire::Pty { link: None, baud: arguments.baud } } else { Wire::Tcp { port: 0 } };
    let (served, config) = rig.serve(&wire, &faults, arguments.seed)?;
    if let Some(path) = &arguments.write_rig {
        let text = toml::to_string(&config).map_err(|error| Error::Usage(format!("--write-rig: {error}")))?;
        let unwritten = |error| Error::Usage(format!("--write-rig: {} cannot be written: {error}", path.display()));
        std::fs::write(path, text).map_err(unwritten)?;
    }
    print(&config.name, &served, arguments.json);
    // Faults can be switched while it runs, by whoever holds its standard input; the end of input ends nothing.
    let switchboard = faults.clone();
    std::thread::spawn(move || {
        std::io::stdin().lock().lines().map_while(Result::ok).for_each(|line| obey(&switchboard, &line));
    });
    while !stop::requested() {
        std::thread::sleep(Duration::from_millis(20));
    }
    let counts = faults.counts();
    if !counts.is_empty() {
        let counts: Vec<String> = counts.iter().map(|(fault, count)| format!("{fault} {count}")).collect();
        tell!("faults that happened: {}", counts.join(", "));
    }
    Ok(())
}

/// Says where the instruments are.
fn print(rig: &str, served: &[ServedInstrument], as_json: bool) {
    if as_json {
        let instruments: Vec<_> = served
            .iter()
            .map(|one| {
                let address = &one.address;
                let environment: serde_json::Map<_, _> =
                    one.environment.iter().map(|(key, path)| ((*key).to_owned(), json!(path))).collect();
                json!({
                    "instrument": one.instrument,
                    "address": address.to_string(),
                    "visa": address.visa(),
                    "environment": environment,
                })
            })
            .collect();
        say!("{}", json!({ "rig": rig, "simulated": true, "instruments": instruments }));
        return;
    }
    say!("SIMULATED instruments of the rig `{rig}`; Ctrl-C ends them");
    for one in served {
        let address = &one.address;
        say!("{:24} {:40} {}", one.instrument, address.to_string(), address.visa().unwrap_or_default());
        if let Some((key, path)) = &one.environment {
            say!("{:24} in the other shell first: export {key}={}", "", path.display());
        }
    }
    say!("on standard input: KIND or KIND=P switches a fault, `clear` switches all off, `counts` counts them");
}

/// One line of standard input.
fn obey(faults: &Faults, line: &str) {
    match line.trim() {
        "" => {}
        "clear" => faults.clear(),
        "counts" => {
            let counts = faults.counts().into_iter().map(|(fault, count)| (fault.name().to_owned(), json!(count)));
            say!("{}", serde_json::Value::Object(counts.collect()));
        }
        text => {
            if let Err(message) = switch(faults, text) {
                tell!("{message}");
            }
        }
    }
}

/// Switches a fault: `KIND` once, `KIND=P` with a probability.
fn switch(faults: &Faults, text: &str) -> Result<(), String> {
    let (name, probability) = text.split_once('=').map_or((text, None), |(name, number)| (name, Some(number)));
    let fault: Fault = name.trim().parse()?;
    match probability {
        None => faults.once(fault),
        Some(number) => {
            let probability = number.trim().parse::<f64>().ok().filter(|number| (0.0..=1.0).contains(number));
            let probability =
                probability.ok_or_else(|| format!("`{text}`: the probability `{number}` must be from 0 to 1"))?;
            faults.set(fault, probability);
        }
    }
    Ok(())
}
