//! `pnnlab grow`: the texture of a trained automaton, at any size, as a picture or a film.

use std::path::PathBuf;
use std::time::Instant;

use clap::Args;
use serde_json::{Value, json};

use super::arguments::MakingArgs;
use super::place::refuse_file;
use crate::Error;
use crate::control::Attendant;
use crate::data::{CellsConfig, Meaning, is_rule, read_image, read_rule};
use crate::output::duration;
use crate::plants::Lab;
use crate::record::Saved;
use crate::report::{Theme, picture};
use crate::training::growth::{Growth, NetworkRule, Rule};
use crate::training::{Judge, Prepared};

/// Frames of a film, unless `--every` says otherwise.
const FRAMES: usize = 60;
/// Cells of a lattice at most.
const MOST_CELLS: usize = 1 << 24;

/// `pnnlab grow`.
#[derive(Debug, Args)]
pub struct GrowArgs {
    /// The run: its folder, or its name; or a rule of the public collection: `models.json#NAME`, or `NAME_w1.csv`
    pub run: PathBuf,
    /// Lines and columns of the lattice; without it, as it was trained
    #[arg(long, value_name = "HxW", value_parser = size)]
    pub size: Option<[usize; 2]>,
    /// Steps from a fresh seed; without it, as many as a test has
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    pub steps: Option<u32>,
    /// Then cuts a hole of so many lines and columns into the middle
    #[arg(long, value_name = "HxW", value_parser = size)]
    pub damage: Option<[usize; 2]>,
    /// Steps that repair the hole; without it, 150
    #[arg(long, value_name = "N", requires = "damage", value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    pub repair: Option<u32>,
    /// The probability that a cell changes in a step; without it, as it was trained. 1: all at once
    #[arg(long, value_name = "R", value_parser = rate)]
    pub rate: Option<f32>,
    /// Where the texture goes: a picture (.png), or a film (.gif)
    #[arg(long, value_name = "FILE", default_value = "texture.png")]
    pub out: PathBuf,
    /// Steps between two frames of a film; without it, so that there are about 60
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub every: Option<u32>,
    /// Pixels of a cell's side
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=32))]
    pub zoom: u16,
    /// The image that a distance is measured to; without it, the run's own
    #[arg(long, value_name = "FILE")]
    pub data: Option<PathBuf>,
    /// On what, and drawn how.
    #[command(flatten)]
    pub making: MakingArgs,
}

/// `256x256`, or `256`.
fn size(text: &str) -> Result<[usize; 2], String> {
    let sides = text.split_once(['x', '×']).unwrap_or((text, text));
    let side = |text: &str| text.trim().parse::<usize>().ok().filter(|side| (1..=MOST_CELLS).contains(side));
    match (side(sides.0), side(sides.1)) {
        (Some(height), Some(width)) if height.saturating_mul(width) <= MOST_CELLS => Ok([height, width]),
        (Some(height), Some(width)) => Err(format!("{height} × {width} cells are more than {MOST_CELLS}")),
        _ => Err("give lines and columns, such as 256x256".to_owned()),
    }
}

fn rate(text: &str) -> Result<f32, String> {
    let rate: Option<f32> = text.parse().ok();
    rate.filter(|rate| 0.0 < *rate && *rate <= 1.0).ok_or_else(|| "give a probability above 0 and at most 1".to_owned())
}

/// Grows, damages, repairs, and writes the picture.
pub fn run(arguments: &GrowArgs) -> Result<(), Error> {
    refuse_file(&arguments.out, &["png", "gif"], "")?;
    if is_rule(&arguments.run) && !arguments.making.on.runs.join(&arguments.run).is_dir() {
        let (rule, mut cells) = read_rule(&arguments.run)?;
        if let Some(other) = arguments.making.on.set.first() {
            return Err(Error::Usage(format!("--set {other}: a rule of the collection has no keys: leave it out")));
        }
        cells.size = 64;
        refuse(arguments, &cells)?;
        let judge = match &arguments.data {
            Some(file) => Some(judge(&read_image(file)?, arguments, &cells)?),
            None => None,
        };
        return grow(Rule::Trained(rule), &cells, judge.as_ref(), arguments).map(|facts| tell(&facts, arguments));
    }
    let run = arguments.making.on.run(&arguments.run)?;
    let fine = |set: &&String| ["plants.", "cells."].iter().any(|start| set.trim_start().starts_with(start));
    if let Some(other) = arguments.making.on.set.iter().find(|set| !fine(set)) {
        return Err(Error::Usage(format!(
            "--set {other}: only the rig's plants and the lattice can be changed here, such as plants.electrical.simulated.plant_seed=2: \
             what was trained stays"
        )));
    }
    refuse_size(&arguments.making.on.set)?;
    let prepared = super::on_bench(&run, arguments.making.on.bench(), arguments.data.clone(), Theme::default())?;
    let Some(cells) = prepared.experiment.cells.clone() else {
        return Err(Error::Usage(format!(
            "{}: is no automaton, which has a table [cells]: there is nothing to grow",
            run.folder.display()
        )));
    };
    refuse(arguments, &cells)?;
    let judged = prepared.load(run.seed).and_then(|data| match &data.meaning {
        Meaning::Texture(texture) => judge(&texture.image, arguments, &cells).map(Some),
        _ => Ok(None),
    });
    let judge = match judged {
        Ok(judge) => judge,
        // The image may be gone, and a lattice smaller than a patch; the texture grows all the same.
        Err(error) if arguments.data.is_none() => {
            tell!("pnnlab: no distance is measured: {error}");
            None
        }
        Err(error) => return Err(error),
    };
    let mut lab = prepared.lab_beside(run.seed)?;
    let layers = (&prepared.experiment.layers[..], &cells);
    let rule = NetworkRule::new(layers, &Saved::read(&run.folder)?, &prepared.document, &lab)?;
    lab.attend(Attendant::new());
    let on = arguments.making.forward();
    let before = lab.meter();
    announce(arguments, &cells, &lab, &prepared)?;
    let grown = grow(Rule::Network(Box::new(rule), &mut lab, on), &cells, judge.as_ref(), arguments);
    // The plants are made safe before anything is said, whatever came out.
    lab.make_safe()?;
    let mut facts = grown.map_err(Error::outside_a_run)?;
    let meter = lab.meter();
    facts["shots"] = json!(meter.shots - before.shots);
    facts["plant_seconds"] = json!(meter.plant_seconds - before.plant_seconds);
    tell(&facts, arguments);
    Ok(())
}

fn steps(arguments: &GrowArgs, cells: &CellsConfig) -> [usize; 2] {
    let grown = arguments.steps.map_or(cells.tested(), |steps| steps as usize);
    [grown, if arguments.damage.is_some() { arguments.repair.unwrap_or(150) as usize } else { 0 }]
}

/// Steps between two frames of a film.
fn every(arguments: &GrowArgs, cells: &CellsConfig) -> usize {
    let all: usize = steps(arguments, cells).iter().sum();
    arguments.every.map_or(all.div_ceil(FRAMES), |every| every as usize).max(1)
}

fn extent(arguments: &GrowArgs, cells: &CellsConfig) -> [usize; 2] {
    arguments.size.unwrap_or([cells.size; 2])
}

/// Refuses another lattice for the training: the pool that it left is of its own size.
fn refuse_size(set: &[String]) -> Result<(), Error> {
    let key = |set: &str| set.split('=').next().unwrap_or_default().trim().to_owned();
    match set.iter().find(|set| ["cells.size", "cells.pool"].contains(&key(set).as_str())) {
        None => Ok(()),
        Some(other) => Err(Error::Usage(format!(
            "--set {other}: is of the lattices that were trained on, which stay: the lattice that is grown has the size of --size, such as --size 64x64"
        ))),
    }
}

/// Refuses a hole that is larger than the lattice, and a picture or film that is too large.
fn refuse(arguments: &GrowArgs, cells: &CellsConfig) -> Result<(), Error> {
    let [height, width] = extent(arguments, cells);
    let every = every(arguments, cells);
    let frames = 1 + steps(arguments, cells).iter().map(|steps| steps.div_ceil(every)).sum::<usize>();
    let instead = "fewer cells with --size, a smaller --zoom, or of a film fewer frames with --every";
    let zoom = usize::from(arguments.zoom);
    picture::refuse_large((&arguments.out, "--out"), (frames, [height, width]), (zoom, instead))?;
    match arguments.damage {
        Some(hole) if height < hole[0] || width < hole[1] => Err(Error::Usage(format!(
            "--damage {}x{}: is larger than the lattice of {height} × {width} cells: cut a smaller hole, or grow more with --size",
            hole[0], hole[1]
        ))),
        _ => Ok(()),
    }
}

/// Says what it will cost on the plants; refuses more shots than the rig allows.
fn announce(arguments: &GrowArgs, cells: &CellsConfig, lab: &Lab, prepared: &Prepared) -> Result<(), Error> {
    if arguments.making.twin || prepared.plants().is_empty() {
        return Ok(());
    }
    let area: usize = extent(arguments, cells).iter().product();
    let steps: usize = steps(arguments, cells).iter().sum();
    let seconds: f64 = (0..lab.names().len()).map(|place| lab.card(place).timing.batch(area) * steps as f64).sum();
    for plant in lab.names() {
        prepared.rig.refuse_shots(plant, (prepared.passes(plant)[0] * area * steps) as u64)?;
    }
    tell!("pnnlab: {steps} steps of {area} cells, each a shot: {} of bench time a plant", duration(seconds));
    Ok(())
}

/// A lattice that has a patch at each scale gets a judge.
fn judge(image: &sims::Pixels<f32>, arguments: &GrowArgs, cells: &CellsConfig) -> Result<Judge, Error> {
    let (size, least) = (extent(arguments, cells), crate::data::PATCHES.least());
    if size.into_iter().chain(image.size).any(|side| side < least) {
        let [height, width] = image.size;
        return Err(Error::Usage(format!(
            "--size: lattice and image need sides of at least {least}, which a patch of the coarsest scale has: the lattice is {} × {}, the \
             image {height} × {width}",
            size[0], size[1]
        )));
    }
    Ok(Judge::new(image, size))
}

fn grow(rule: Rule<'_>, cells: &CellsConfig, judge: Option<&Judge>, arguments: &GrowArgs) -> Result<Value, Error> {
    let size = extent(arguments, cells);
    let [grown, repaired] = steps(arguments, cells);
    let is_film = picture::is_film(&arguments.out);
    let every = every(arguments, cells);
    let mut growth = Growth::new(rule, cells, size, arguments.making.seed);
    let (mut frames, start) = (Vec::new(), Instant::now());
    let mut advance = |growth: &mut Growth<'_>, steps: usize| -> Result<(), Error> {
        let end = growth.done() + steps;
        while growth.done() < end {
            let piece = if is_film { every.min(end - growth.done()) } else { end - growth.done() };
            growth.advance(piece, arguments.rate)?;
            if is_film {
                frames.push(growth.colors());
            }
        }
        Ok(())
    };
    let distance = |growth: &Growth<'_>| judge.map(|judge| judge.distance(&growth.colors()));
    advance(&mut growth, grown)?;
    let mut distances = json!({ "grown": distance(&growth) });
    if let Some(hole) = arguments.damage {
        growth.damage(hole);
        distances["damaged"] = json!(distance(&growth));
        advance(&mut growth, repaired)?;
        distances["repaired"] = json!(distance(&growth));
    }
    let seconds = start.elapsed().as_secs_f64();
    frames.push(growth.colors());
    picture::write((&arguments.out, "--out"), &frames, usize::from(arguments.zoom))?;
    Ok(json!({
        "run": arguments.run,
        "size": size,
        "steps": growth.done(),
        "seed": arguments.making.seed,
        "on": arguments.making.word(),
        "distance": distances,
        "shots": 0,
        "seconds": seconds,
        "cell_updates_per_second": (growth.cells() * growth.done()) as f64 / seconds.max(1e-9),
        "out": arguments.out,
    }))
}

fn tell(facts: &Value, arguments: &GrowArgs) {
    if arguments.making.on.json {
        say!("{facts:#}");
        return;
    }
    let number = |value: &Value| value.as_f64().unwrap_or_default();
    say!(
        "{} steps of {} × {} cells in {}: {:.2} million cell updates a second, {} shots on the plants",
        facts["steps"],
        facts["size"][0],
        facts["size"][1],
        duration(number(&facts["seconds"])),
        1e-6 * number(&facts["cell_updates_per_second"]),
        facts["shots"]
    );
    let words = [("grown", "after growing"), ("damaged", "after the hole"), ("repaired", "after repair")];
    for (key, words) in words {
        if let Some(distance) = facts["distance"][key].as_f64() {
            say!("distance to the image {words}: {distance:.3} (0: a piece of the image; 1: its pixels in no order)");
        }
    }
    say!("texture: {}", arguments.out.display());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_and_rates_are_read_or_refused() {
        assert_eq!(size("12x34"), Ok([12, 34]));
        assert_eq!(size("7"), Ok([7, 7]));
        assert!(size("0x4").is_err() && size("axb").is_err());
        assert!(size("100000x100000").unwrap_err().contains("are more than"));
        assert_eq!(rate("0.5"), Ok(0.5));
        assert!(rate("0").is_err() && rate("1.5").is_err());
    }
}
