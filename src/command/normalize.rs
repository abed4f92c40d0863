//! `pnnlab normalize`: the statistics of a trained network measured anew on a bench.

use std::path::PathBuf;

use clap::Args;
use serde_json::json;

use super::arguments::BenchArgs;
use crate::Error;
use crate::report::Theme;
use crate::training::{Renormalized, RenormalizedLayer};

/// `pnnlab normalize`.
#[derive(Debug, Args)]
pub struct NormalizeArgs {
    /// The run: its folder, or its name
    pub run: PathBuf,
    /// Training rows to measure on; without it, as the layers say (1,000)
    #[arg(long, value_name = "N")]
    pub samples: Option<usize>,
    /// Tries the test set before and after: the only use of labels
    #[arg(long)]
    pub test: bool,
    /// The data, where it lies elsewhere than when the run was started
    #[arg(long, value_name = "PATH")]
    pub data: Option<PathBuf>,
    /// On which bench.
    #[command(flatten)]
    pub on: BenchArgs,
}

/// Measures, replaces, and says what has changed.
pub fn run(arguments: &NormalizeArgs) -> Result<(), Error> {
    let run = arguments.on.run(&arguments.run)?;
    let prepared = super::prepare_run(&run, arguments.on.bench(), arguments.data.clone(), Theme::default())?;
    let done = prepared.renormalize(&run, (arguments.samples, arguments.test, arguments.on.is_own()))?;
    if arguments.on.json {
        let mut facts = json!(done);
        (facts["run"], facts["record"]) = (json!(run.folder), json!(done.record));
        say!("{facts:#}");
    } else {
        print(&done);
        say!("in use from now on: {}", run.folder.join("weights.safetensors").display());
        say!("old and new side by side: {}", done.record.display());
    }
    Ok(())
}

fn print(done: &Renormalized) {
    say!("{} training rows without their labels, {} shots on the plants", done.samples, done.shots);
    done.layers.iter().for_each(|layer| say!("{}", line(layer)));
    let score = done.tests.kind("test").score();
    if let Some([before, after]) = done.tests.get(&score.key("test")).copied().flatten() {
        say!("test set on the plant: {} before, {} after", score.say(before), score.say(after));
    }
}

/// What has changed at one layer.
fn line(layer: &RenormalizedLayer) -> String {
    let RenormalizedLayer { layer, mean_shift, scale_shift, old, new } = layer;
    let place = format!("layer {layer} (normalize) on {}", new.of());
    let (Some(mean), Some(scale), Some(old)) = (mean_shift, scale_shift, old) else {
        return format!("{place}: had no statistics before");
    };
    let whose = if old.of() == new.of() { String::new() } else { format!(", which were those of {}", old.of()) };
    format!(
        "{place}: means moved by {mean:.3} of their standard deviation, standard deviations by a factor of {:.3}{whose} (root mean squares over {} {})",
        scale.exp(),
        new.width(),
        if new.width() == 1 { "group" } else { "groups" }
    )
}
