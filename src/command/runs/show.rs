//! `pnnlab runs show`.

use std::path::PathBuf;

use clap::Args;
use serde_json::{Value, json};

use super::{find, shown, why};
use crate::Error;
use crate::output::timestamp;
use crate::record::{Catalog, commit_words};
use crate::scores::ObjectiveKind;

/// `pnnlab runs show`.
#[derive(Debug, Args)]
pub struct ShowArgs {
    /// The run: its name, or its folder
    run: PathBuf,
    /// Prints one JSON object on standard output
    #[arg(long)]
    json: bool,
}

/// Shows.
pub fn run(catalog: &Catalog, arguments: &ShowArgs) -> Result<(), Error> {
    let run = find(catalog, &arguments.run)?;
    let alarms = catalog.alarms(&run.name)?;
    if arguments.json {
        say!("{:#}", json!({ "run": run.name, "folder": run.folder, "facts": run.facts, "alarms": alarms }));
        return Ok(());
    }
    let facts = &run.facts;
    let word = |key: &str| facts[key].as_str().unwrap_or("?").to_owned();
    let number = |key: &str| facts[key].as_f64();
    let time = |seconds: Option<f64>| seconds.map_or_else(|| "?".to_owned(), |seconds| timestamp(seconds as u64));
    say!("{}: {} by {}, seed {}: {}", run.name, word("experiment"), word("method"), facts["seed"], word("state"));
    say!("started {} UTC by `{}`, version {}", time(number("started_unix_seconds")), word("command"), word("version"));
    if let Some(commit) = commit_words(&facts["program"]) {
        say!("the program is of commit {commit}");
    }
    if let Some(commit) = commit_words(&facts["git"]) {
        say!("started in a repository at commit {commit}");
    }
    if let Some(why) = why(facts) {
        say!("ended because {why}");
    }
    if let Some(early) = facts["ended_early"].as_str() {
        say!("{early}");
    }
    for again in facts["resumed"].as_array().into_iter().flatten() {
        say!("continued {} UTC after step {}", time(again["unix_seconds"].as_f64()), again["step"]);
    }
    for plant in facts["plants"].as_array().into_iter().flatten() {
        let text = |key: &str| plant[key].as_str().unwrap_or("?").to_owned();
        say!("plant {}: {} {}, {}", text("plant"), text("origin").to_uppercase(), text("system"), text("serial"));
    }
    say!("data {}", word("data"));
    for score in ObjectiveKind::of_record(facts).scores() {
        let [test, validation, believed] =
            ["test", "validation", "believed"].map(|part| shown(score, number(&score.key(part))));
        say!("{} on the plant: test {test}, validation {validation}; believed {believed}", score.words);
    }
    if let (Some(shots), Some(plant), Some(wall)) =
        (facts["shots"].as_u64(), number("plant_seconds"), number("wall_seconds"))
    {
        say!("{shots} shots, {plant:.1} s of bench time, {wall:.1} s here");
    }
    for alarm in &alarms {
        say!("alarm {}: {}", alarm["id"], alarm_words(alarm, facts["state"] == "running"));
    }
    say!("folder {}", run.folder.display());
    Ok(())
}

fn alarm_words(alarm: &Value, is_running: bool) -> String {
    let text = |key: &str| alarm[key].as_str().unwrap_or("?").to_owned();
    let state = match (alarm["active"] == true, alarm["acknowledged"] == true) {
        (true, true) if is_running => "active, acknowledged",
        (true, false) if is_running => "active",
        (true, true) => "active when the run ended, acknowledged",
        (true, false) => "active when the run ended",
        (false, true) => "over",
        (false, false) => "over, nobody has acknowledged it",
    };
    format!("{} from {}: {} ({state})", text("severity"), text("source"), text("message"))
}
