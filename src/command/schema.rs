//! `pnnlab schema`: what may stand in an experiment and a rig file, for editors and for people.

use clap::{Args, ValueEnum};
use serde_json::json;

use crate::Error;
use crate::document::{Document, reference, schema};
use crate::plants::RigConfig;
use crate::training::{Experiment, experiment::BUILT_IN};

/// The rigs that come with the program.
const RIGS: [(&str, &str); 6] = [
    ("hil/rigs/simulated.toml", hil::SIMULATED_RIG),
    ("hil/rigs/red-pitaya.toml", include_str!("../../hil/rigs/red-pitaya.toml")),
    ("hil/rigs/scpi.toml", include_str!("../../hil/rigs/scpi.toml")),
    ("hil/rigs/pnnlink.toml", include_str!("../../hil/rigs/pnnlink.toml")),
    ("hil/rigs/optical.toml", include_str!("../../hil/rigs/optical.toml")),
    ("hil/rigs/audio.toml", include_str!("../../hil/rigs/audio.toml")),
];

/// `pnnlab schema`.
#[derive(Debug, Args)]
pub struct SchemaArgs {
    /// Of which file; without it, one object with both
    pub of: Option<FileKind>,
    /// Prints a page for people instead: every key of both files with what it takes, its default and an example
    #[arg(long, conflicts_with = "of")]
    pub markdown: bool,
}

/// A kind of file that people write.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum FileKind {
    /// What to learn on which plant.
    Experiment,
    /// The plants of one bench.
    Rig,
}

/// Prints it.
pub fn run(arguments: &SchemaArgs) -> Result<(), Error> {
    let (experiment, rig) = (schema::<Experiment>(), schema::<RigConfig>());
    if arguments.markdown {
        say!("{}", page(&[&experiment, &rig])?.trim_end());
        return Ok(());
    }
    match arguments.of {
        None => say!("{:#}", json!({ "experiment": experiment, "rig": rig })),
        Some(FileKind::Experiment) => say!("{experiment:#}"),
        Some(FileKind::Rig) => say!("{rig:#}"),
    }
    Ok(())
}

/// `docs/files-and-keys.md`.
fn page([experiment, rig]: &[&serde_json::Value; 2]) -> Result<String, Error> {
    let documents = |files: &[(&str, &str)]| {
        files.iter().map(|(name, text)| Document::parse(name, text)).collect::<Result<Vec<_>, _>>()
    };
    Ok(format!(
        "{HEAD}\n## Experiment files\n{}\n## Rig files\n{}",
        reference(experiment, &documents(BUILT_IN)?),
        reference(rig, &documents(&RIGS)?)
    ))
}

/// How the page begins.
const HEAD: &str = "# Files and keys

Written by `pnnlab schema --markdown`; do not edit it by hand.

Both files are TOML. Every key is checked when a file is read: a key that does not exist, a value of another kind and a number out of bounds are
refused with file, line and key. `--set KEY=VALUE` changes one key of an experiment: `training.steps=200`, `layers.0.times=2`. An experiment may
also hold `[plants.NAME.simulated]`, `shift` and `fit` of a rig's plants, and a table `[quick]` whose keys `--quick` lays over the others.

An editor that knows JSON schemas completes keys with `pnnlab schema experiment > experiment.json` and `pnnlab schema rig > rig.json`. The examples are
the first values that the key has in the files below `experiments/` and `hil/rigs/`.
";
