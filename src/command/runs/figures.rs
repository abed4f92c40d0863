//! `pnnlab runs figures`.

use std::path::PathBuf;

use clap::Args;

use super::find_all;
use crate::Error;
use crate::record::Catalog;
use crate::report::{Theme, figure};

/// `pnnlab runs figures`.
#[derive(Debug, Args)]
pub struct FiguresArgs {
    /// The runs: their names, or their folders
    #[arg(required = true)]
    run: Vec<PathBuf>,
    /// Draws one figure of all runs together into this folder, instead of each run's own into its folder
    #[arg(long, value_name = "DIR")]
    to: Option<PathBuf>,
    /// Light or dark
    #[arg(long, value_enum, default_value_t)]
    theme: Theme,
}

/// Draws.
pub fn run(catalog: &Catalog, arguments: &FiguresArgs) -> Result<(), Error> {
    let folders: Vec<PathBuf> = find_all(catalog, &arguments.run)?.into_iter().map(|run| run.folder).collect();
    let drawn = if let Some(folder) = &arguments.to {
        figure::learning_curves(&folders, folder, arguments.theme)?
    } else {
        let each = folders.iter().map(|run| figure::of_run(run, arguments.theme));
        each.collect::<Result<Vec<_>, _>>()?.concat()
    };
    if drawn.is_empty() {
        say!("nothing to draw yet: no test was recorded");
    }
    for path in drawn {
        say!("figure: {}", path.display());
    }
    Ok(())
}
