//! `pnnlab normalize`: the statistics of a trained network measured anew on a bench.

use std::path::PathBuf;

use clap::Args;
use serde_json::json;

use crate::Error;
use crate::report::Theme;
use crate::training::{Interrupted, Renormalized, RenormalizedLayer};

/// `pnnlab normalize`.
#[derive(Debug, Args)]
pub struct NormalizeArgs {
    /// The run: its folder, or its name
    pub run: PathBuf,
    /// The rig file of another bench; without it, the run's own rig
    #[arg(long, value_name = "FILE")]
    pub rig: Option<PathBuf>,
    /// Training rows to measure on; without it, as the layers say (1,000)
    #[arg(long, value_name = "N")]
    pub samples: Option<usize>,
    /// Changes one key of the rig's plants, such as plants.electrical.simulated.mismatch=0.5
    #[arg(long = "set", value_name = "K=V")]
    pub set: Vec<String>,
    /// Tries the test set before and after: the only use of labels
    #[arg(long)]
    pub test: bool,
    /// The data, where it lies elsewhere than when the run was started
    #[arg(long, value_name = "PATH")]
    pub data: Option<PathBuf>,
    /// The folder that runs are kept in
    #[arg(long, value_name = "DIR", default_value = "runs")]
    pub runs: PathBuf,
    /// Prints one JSON object on standard output
    #[arg(long)]
    pub json: bool,
}

/// Measures, replaces, and says what has changed.
pub fn run(arguments: &NormalizeArgs) -> Result<(), Error> {
    let run = Interrupted::of(("", &arguments.run), &arguments.runs, false)?;
    let bench = (arguments.rig.as_deref(), &arguments.set[..]);
    let prepared = super::prepare_run(&run, bench, arguments.data.clone(), Theme::default())?;
    // The bench that the run has left is taken up where it left it; another one begins its own life.
    let goes_on = arguments.rig.is_none() && arguments.set.is_empty();
    let done = prepared.renormalize(&run, (arguments.samples, arguments.test, goes_on))?;
    if arguments.json {
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
