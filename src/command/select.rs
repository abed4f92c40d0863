//! `pnnlab select`: one of several read-outs of a trained network is chosen, or all together.

use std::path::PathBuf;

use clap::Args;
use serde_json::json;

use super::arguments::BenchArgs;
use crate::Error;
use crate::report::Theme;
use crate::training::select::{By, HeadScore, Perturbation, Selected};
use crate::training::{Interrupted, Prepared};

/// `pnnlab select`.
#[derive(Debug, Args)]
pub struct SelectArgs {
    /// The run: its folder, or its name
    pub run: PathBuf,
    /// A CSV table of shots that training did not see, with the columns of the run's data
    #[arg(long, value_name = "FILE")]
    pub data: Option<PathBuf>,
    /// A column of that table that says which environment a row is from: the read-out whose worst environment is best is chosen
    #[arg(long, value_name = "COLUMN", requires = "data")]
    pub environment: Option<String>,
    /// Chooses without labels the read-out whose answers stay the same when the shots change: noise=0.05, offset=0.1, scale=1.1, shuffle=0..4, or a
    /// key of the rig's plants
    #[arg(long, value_name = "K=V", conflicts_with = "environment")]
    pub perturb: Vec<String>,
    /// Chooses this read-out, counted from 0, and drives nothing
    #[arg(long, value_name = "N", conflicts_with_all = ["data", "perturb", "ensemble"])]
    pub head: Option<usize>,
    /// Makes the network say what all read-outs say together, as after training, and drives nothing
    #[arg(long, conflicts_with_all = ["data", "perturb"])]
    pub ensemble: bool,
    /// The data that the run was trained on, where it lies elsewhere than when the run was started
    #[arg(long, value_name = "PATH")]
    pub trained_on: Option<PathBuf>,
    /// On which bench.
    #[command(flatten)]
    pub on: BenchArgs,
}

/// Measures, chooses, and says why.
pub fn run(arguments: &SelectArgs) -> Result<(), Error> {
    let run = arguments.on.run(&arguments.run)?;
    let on = |further: &[String]| prepared(arguments, &run, further);
    let perturbations = arguments
        .perturb
        .iter()
        .map(|text| {
            if text.trim_start().starts_with("plants.") {
                return on(std::slice::from_ref(text)).map(|bench| Perturbation::Bench(Box::new(bench)));
            }
            Perturbation::parse(text)
        })
        .collect::<Result<Vec<_>, Error>>()?;
    let by = match (&arguments.data, &arguments.environment) {
        _ if arguments.ensemble => By::Hand(None),
        _ if arguments.head.is_some() => By::Hand(arguments.head),
        (file, _) if !perturbations.is_empty() => By::Consistency(file.as_deref(), &perturbations),
        (Some(file), Some(column)) => By::Environment(file, column),
        (Some(file), None) => By::Labels(file),
        (None, _) => {
            let message = "select: say what chooses: --data FILE with labels that training did not see, --perturb K=V, --head N or --ensemble";
            return Err(Error::Usage(message.to_owned()));
        }
    };
    let done = on(&[])?.select(&run, &by, arguments.on.is_own())?;
    if arguments.on.json {
        let mut facts = json!(done);
        (facts["run"], facts["record"]) = (json!(run.folder), json!(done.record));
        say!("{facts:#}");
    } else {
        print(&done);
        say!("in use from now on: {}", run.folder.join("weights.safetensors").display());
    }
    Ok(())
}

/// The run's experiment on the rig that is asked for.
fn prepared(arguments: &SelectArgs, run: &Interrupted, further: &[String]) -> Result<Prepared, Error> {
    let set: Vec<String> = arguments.on.set.iter().chain(further).cloned().collect();
    super::prepare_run(run, (arguments.on.rig.as_deref(), &set), arguments.trained_on.clone(), Theme::default())
}

fn print(done: &Selected) {
    if !done.heads.is_empty() {
        say!("{} rows, {} shots on the plants; read-outs by their {}:", done.rows, done.shots, done.score);
    }
    for HeadScore { head, score, own } in &done.heads {
        let mark = if done.selected == Some(*head) { "  <- selected" } else { "" };
        let own = own.map_or(String::new(), |own| format!("   own rows {own:.4}"));
        say!("  {head:>3}  {score:.4}{own}{mark}");
    }
    if let Some(ensemble) = done.ensemble.filter(|value| value.is_finite()) {
        say!("  all together  {ensemble:.4}");
    }
    match done.selected {
        Some(head) => say!("the network says what read-out {head} says"),
        None => say!("the network says what all its read-outs say together"),
    }
    if done.shortcut_suspected {
        say!(
            "the read-outs differ by more than ten points although all were trained on the same shots: those that are worse go by something \
             that is not there in these shots (a shortcut)"
        );
    }
    say!("choices so far: {}", done.record.display());
}
