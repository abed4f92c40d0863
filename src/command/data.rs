//! `pnnlab data`: public data sets, listed and downloaded.

use clap::{Args, Subcommand};
use std::path::PathBuf;

use serde_json::json;

use crate::Error;
use crate::data::fetch::{SOURCES, fetch};
use crate::document::{list as words, nearest};

/// `pnnlab data`.
#[derive(Debug, Subcommand)]
pub enum DataCommand {
    /// Lists the data sets that can be fetched
    List {
        /// Prints one JSON object on standard output
        #[arg(long)]
        json: bool,
    },
    /// Downloads a data set, compares it with its published checksums, and says how to use it
    Fetch(FetchArgs),
}

/// `pnnlab data fetch`.
#[derive(Debug, Args)]
pub struct FetchArgs {
    /// The data set: mnist
    pub name: String,
    /// The folder that it is put in; without it, data/NAME
    #[arg(long, value_name = "DIR")]
    pub to: Option<PathBuf>,
    /// Another place to fetch from, in place of the public mirrors: a folder on the web
    #[arg(long, value_name = "URL")]
    pub from: Option<String>,
    /// Prints one JSON object on standard output
    #[arg(long)]
    pub json: bool,
}

/// Lists or fetches.
pub fn run(command: &DataCommand) -> Result<(), Error> {
    match command {
        DataCommand::List { json } => {
            list(*json);
            Ok(())
        }
        DataCommand::Fetch(arguments) => get(arguments),
    }
}

/// What can be fetched, and what comes with the program.
fn list(as_json: bool) {
    if as_json {
        let sets = SOURCES.iter().map(|source| {
            let files = source.files.iter();
            let files = files.map(|file| json!({ "name": file.name, "bytes": file.bytes, "sha256": file.sha256 }));
            json!({ "name": source.name, "about": source.about, "mirrors": source.mirrors, "files": files.collect::<Vec<_>>() })
        });
        say!("{:#}", json!({ "data_sets": sets.collect::<Vec<_>>() }));
        return;
    }
    for source in SOURCES {
        let bytes: u64 = source.files.iter().map(|file| file.bytes).sum();
        say!("{:8} {}; {:.1} MB", source.name, source.about, bytes as f64 / 1e6);
        say!("{:8} pnnlab data fetch {}", "", source.name);
    }
    say!("digits   1,797 handwritten digits of 8×8 pixels; they come with the program, nothing to fetch");
    say!("vowels   formants of spoken vowels as CSV; by hand: `pnnlab train vowels-optical` says where from");
}

/// Fetches one data set.
fn get(arguments: &FetchArgs) -> Result<(), Error> {
    let known: Vec<&str> = SOURCES.iter().map(|source| source.name).collect();
    let Some(source) = SOURCES.iter().find(|source| source.name == arguments.name) else {
        let hint = nearest(&arguments.name, &known).map(|near| format!(" Did you mean `{near}`?")).unwrap_or_default();
        return Err(Error::Usage(format!(
            "data fetch: `{}` is not a data set that can be fetched: there is {}.{hint}",
            arguments.name,
            words(&known)
        )));
    };
    let folder = arguments.to.clone().unwrap_or_else(|| PathBuf::from("data").join(source.name));
    let fetched = fetch(source, &folder, arguments.from.as_deref())?;
    if arguments.json {
        let files: Vec<PathBuf> = source.files.iter().map(|file| folder.join(file.name)).collect();
        say!("{:#}", json!({ "name": source.name, "folder": folder, "fetched": fetched, "files": files }));
    } else {
        say!(
            "{}: {} of {} files fetched, all as published. Use them with --data {}",
            folder.display(),
            fetched.len(),
            source.files.len(),
            folder.display()
        );
    }
    Ok(())
}
