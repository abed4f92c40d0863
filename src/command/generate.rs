//! `pnnlab generate`: images of a trained generator, or sequences of one that is moved: a film, a folder of frames, or a table.

use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::time::Instant;

use clap::Args;
use serde_json::{Value, json};

use super::arguments::MakingArgs;
use super::place::{refuse_file, refuse_folder};
use crate::Error;
use crate::control::Attendant;
use crate::data::read_frame;
use crate::output::duration;
use crate::plants::Lab;
use crate::report::{Theme, picture};
use crate::training::Prepared;
use crate::training::film::{Film, Maker, SEARCHED, shown};
use crate::writing::replace_chosen;

/// Frames at most, of all sequences together, and their values: they are in memory until they are written.
const MOST: usize = 1 << 20;
const MOST_VALUES: usize = 1 << 26;

/// `pnnlab generate`.
#[derive(Debug, Args)]
pub struct GenerateArgs {
    /// The run: its folder, or its name. It learned to `generate` images, or to move such a generator
    pub run: PathBuf,
    /// Frames of a sequence, also more than were learned; without it, as many as were
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    pub frames: Option<u32>,
    /// Sequences, or images of a run that moves nothing
    #[arg(long, value_name = "N", default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub count: u32,
    /// Where they go: a film (.gif), a picture of all frames side by side (.png), a table (.csv), or a new or empty folder for a picture of each frame;
    /// without it, film.gif, and images.png of a run that moves nothing
    #[arg(long, value_name = "PATH")]
    pub out: Option<PathBuf>,
    /// The frame that sequences begin with: a picture of the generator's size (.png, .pgm, .ppm), or a row of a table with a header (FILE.csv, or
    /// FILE.csv:ROW, counted from 1). The nearest that the generator can show is searched, and how far it is, is told
    #[arg(long, value_name = "FRAME")]
    pub first: Option<String>,
    /// Pixels of a value's side
    #[arg(long, value_name = "N", default_value_t = 8, value_parser = clap::value_parser!(u16).range(1..=32))]
    pub zoom: u16,
    /// On what, and drawn how.
    #[command(flatten)]
    pub making: MakingArgs,
}

/// Makes the frames and writes them.
pub fn run(arguments: &GenerateArgs) -> Result<(), Error> {
    let run = arguments.making.on.run(&arguments.run)?;
    let prepared = super::prepare_run(&run, arguments.making.on.bench(), None, Theme::default())?;
    let none = || {
        Error::Usage(format!(
            "{}: is no generator: its objective is neither `generate` nor `motion`, so there is nothing to show",
            run.folder.display()
        ))
    };
    let (size, gray) = shown(&prepared, &run)?.ok_or_else(none)?;
    let first = arguments.first.as_deref().map(|asked| read_frame(asked, size, gray)).transpose()?;
    let mut lab = prepared.lab_beside(run.seed)?;
    let mut maker = Maker::of_run(&prepared, &run, &lab)?.ok_or_else(none)?;
    let (count, length) = (arguments.count as usize, arguments.frames.map_or(maker.length(), |frames| frames as usize));
    if MOST < count * length {
        return Err(Error::Usage(format!(
            "--frames, --count: {count} × {length} frames are more than {MOST}: give fewer"
        )));
    }
    let values: usize = size.iter().product();
    if MOST_VALUES / values.max(1) < count * length {
        return Err(Error::Usage(format!(
            "--frames, --count: {count} × {length} frames of {values} values are more than {MOST_VALUES} values: give fewer"
        )));
    }
    let moves = matches!(maker, Maker::Sequences(_));
    if first.is_some() && !moves {
        return Err(Error::Usage(format!(
            "--first: {} makes images and no sequences: give a run with a table [motion], or leave it out",
            run.folder.display()
        )));
    }
    let out = arguments.out.clone().unwrap_or_else(|| if moves { "film.gif".into() } else { "images.png".into() });
    refuse_large(&out, (count, length, size), usize::from(arguments.zoom))?;
    writable(&out, count * length)?;
    lab.attend(Attendant::new());
    let on = arguments.making.forward();
    let searched = if first.is_some() { SEARCHED } else { 0 };
    announce(arguments, (count, length, searched), &prepared, &lab)?;
    let (before, start) = (lab.meter(), Instant::now());
    let seed = arguments.making.seed;
    let begun = match (&first, &mut maker) {
        (Some(frame), Maker::Sequences(mover)) => mover.start_at(frame, seed, (&mut lab, on)).map(Some),
        _ => Ok(None),
    };
    let made = begun.and_then(|distance| {
        let film = maker.make((count, length, seed), size, (&mut lab, on))?;
        Ok((film, distance))
    });
    let seconds = start.elapsed().as_secs_f64();
    // The plants are made safe before anything is said, whatever came out.
    lab.make_safe()?;
    let (film, distance) = made.map_err(Error::outside_a_run)?;
    if !film.frames.iter().all(|value| value.is_finite()) {
        return Err(Error::Diverged { what: "a value of a frame".to_owned() });
    }
    write(&out, &film, (gray, usize::from(arguments.zoom)))?;
    let meter = lab.meter();
    let facts = json!({
        "run": arguments.run,
        "count": count,
        "frames": length,
        "size": size,
        "seed": arguments.making.seed,
        "on": arguments.making.word(),
        "shots": meter.shots - before.shots,
        "plant_seconds": meter.plant_seconds - before.plant_seconds,
        "seconds": seconds,
        "largest_step": moves.then_some(film.largest_step),
        "told": film.told,
        "first_distance": distance,
        "out": out,
    });
    tell(&facts, arguments);
    Ok(())
}

/// Says what it will cost on the plants, the frames of the search for the first one included; refuses more shots than the rig allows.
fn announce(
    arguments: &GenerateArgs,
    (count, length, searched): (usize, usize, usize),
    prepared: &Prepared,
    lab: &Lab,
) -> Result<(), Error> {
    if arguments.making.twin || prepared.plants().is_empty() {
        return Ok(());
    }
    let frames = searched + count * length;
    // What moves a generator is run for each frame but the first.
    let steps = if prepared.experiment.motion.is_some() { count * (length - 1) } else { count * length };
    for plant in lab.names() {
        let [moving, shown] = prepared.passes(plant);
        prepared.rig.refuse_shots(plant, (moving * steps + shown * frames) as u64)?;
    }
    let seconds: f64 = (0..lab.names().len()).map(|place| lab.card(place).timing.batch(frames)).sum();
    tell!("pnnlab: {frames} frames, each a shot: {} of bench time", duration(seconds));
    Ok(())
}

/// Whether a path is of a folder: there is one, or it has no known ending.
fn is_folder(path: &Path) -> bool {
    path.is_dir() || path.extension().is_none()
}

/// Refuses a place that the frames cannot be written to, before anything is driven.
fn writable(out: &Path, frames: usize) -> Result<(), Error> {
    if !is_folder(out) {
        return refuse_file(out, &["gif", "png", "csv"], ", or a folder");
    }
    if 100_000 < frames {
        return Err(Error::Usage(format!("--out {}: {frames} frames are too many files: write .csv", out.display())));
    }
    refuse_folder(out)
}

/// Refuses a film or pictures that are too large, before anything is driven.
fn refuse_large(out: &Path, (count, length, size): (usize, usize, [usize; 2]), zoom: usize) -> Result<(), Error> {
    if out.extension().is_some_and(|end| end.eq_ignore_ascii_case("csv")) {
        return Ok(());
    }
    let is_strip = !is_folder(out) && !picture::is_film(out);
    let (images, across) = if is_strip { strip(count, length) } else { (count, columns(count)) };
    let frames = if picture::is_film(out) { length } else { 1 };
    let sheet = picture::sheet_size(images, (size, across));
    let instead = "fewer with --frames or --count, a smaller --zoom, or --out FILE.csv";
    picture::refuse_large((out, "--out"), (frames, sheet), (zoom, instead))
}

/// Images of a strip, and those in a line: the frames of a sequence; images by themselves stand in a square.
fn strip(count: usize, length: usize) -> (usize, usize) {
    (count * length, if length == 1 { columns(count) } else { length })
}

/// Writes the frames as the name of the place says.
fn write(out: &Path, film: &Film, (gray, zoom): ([f32; 2], usize)) -> Result<(), Error> {
    let sheet = |frame: usize| {
        let images: Vec<&[f32]> = (0..film.count).map(|sequence| film.frame(sequence, frame)).collect();
        picture::sheet(&images, (film.size, columns(film.count)), gray)
    };
    if is_folder(out) {
        std::fs::create_dir_all(out).map_err(Error::chosen(out, "cannot be made", "--out"))?;
        for frame in 0..film.length {
            picture::write((&out.join(format!("frame-{:05}.png", frame + 1)), "--out"), &[sheet(frame)], zoom)?;
        }
        return Ok(());
    }
    if out.extension().is_some_and(|end| end.eq_ignore_ascii_case("csv")) {
        return replace_chosen(out, table(film).as_bytes(), "--out");
    }
    if picture::is_film(out) {
        let sheets: Vec<_> = (0..film.length).map(sheet).collect();
        return picture::write((out, "--out"), &sheets, zoom);
    }
    let pairs = (0..film.count).flat_map(|sequence| (0..film.length).map(move |frame| (sequence, frame)));
    let images: Vec<&[f32]> = pairs.map(|(sequence, frame)| film.frame(sequence, frame)).collect();
    let (_, across) = strip(film.count, film.length);
    picture::write((out, "--out"), &[picture::sheet(&images, (film.size, across), gray)], zoom)
}

/// Images in a line, of so many.
fn columns(count: usize) -> usize {
    let root = count.isqrt();
    if root * root < count { root + 1 } else { root.max(1) }
}

/// One line for each frame.
fn table(film: &Film) -> String {
    let values: Vec<String> = (0..film.pixels()).map(|value| format!("value_{value}")).collect();
    let mut text = format!("sequence,frame,{}\n", values.join(","));
    for (sequence, frame) in (0..film.count).flat_map(|sequence| (0..film.length).map(move |frame| (sequence, frame))) {
        let values: Vec<String> = film.frame(sequence, frame).iter().map(f32::to_string).collect();
        // Writing to a string does not fail.
        let _ = writeln!(text, "{sequence},{frame},{}", values.join(","));
    }
    text
}

fn tell(facts: &Value, arguments: &GenerateArgs) {
    if arguments.making.on.json {
        say!("{facts:#}");
        return;
    }
    let number = |key: &str| facts[key].as_f64().unwrap_or_default();
    say!(
        "{} sequences of {} frames in {}: {} shots on the plants",
        facts["count"],
        facts["frames"],
        duration(number("seconds")),
        facts["shots"]
    );
    if let Some(step) = facts["largest_step"].as_f64() {
        say!("the largest step of a component: {step:.3} of its standard deviations");
    }
    if let (Some(distance), Some(first)) = (facts["first_distance"].as_f64(), &arguments.first) {
        say!("the first frame is {distance:.3} from {first}, the root mean square of the differences of their values");
    }
    say!("frames: {}", facts["out"].as_str().unwrap_or_default());
}

#[cfg(test)]
mod tests {
    use super::*;

    fn film() -> Film {
        Film {
            frames: (0..24).map(|value| value as f32 / 24.0).collect(),
            size: [2, 3],
            count: 2,
            length: 2,
            ..Film::default()
        }
    }

    #[test]
    fn frames_are_written_as_the_place_says() {
        let place = tempfile::tempdir().unwrap();
        let at = |name: &str| place.path().join(name);
        for name in ["film.gif", "strip.png", "table.csv", "frames"] {
            writable(&at(name), 4).unwrap();
            write(&at(name), &film(), ([0.0, 1.0], 2)).unwrap();
        }
        let text = std::fs::read_to_string(at("table.csv")).unwrap();
        assert_eq!(text.lines().count(), 5);
        assert!(text.lines().nth(3).unwrap().starts_with("1,0,0.5,"), "{text}");
        // Two lines of two frames with a gap of one pixel: 2 · 2 + 1 by 2 · 3 + 1, twice as large.
        assert_eq!(crate::data::read_image(&at("strip.png")).unwrap().size, [10, 14]);
        assert_eq!(std::fs::read_dir(at("frames")).unwrap().count(), 2);
        assert!(std::fs::read(at("film.gif")).unwrap().starts_with(b"GIF89a"));
        let said = writable(&at("film.mp4"), 4).unwrap_err().to_string();
        assert!(said.contains("unknown ending"), "{said}");
        let said = writable(&at("frames"), 4).unwrap_err().to_string();
        assert!(said.contains("holds 2 files already, such as `frame-00001.png`"), "{said}");
    }

    #[test]
    fn what_memory_does_not_hold_is_refused_before_it_is_made() {
        let asked = |out: &str, count: usize, length: usize, zoom: usize| {
            refuse_large(Path::new(out), (count, length, [8, 8]), zoom).map_err(|error| error.to_string())
        };
        asked("a.csv", 100_000, 10, 32).unwrap();
        asked("a.png", 100, 16, 8).unwrap();
        asked("a.gif", 10, 48, 8).unwrap();
        asked("frames", 100, 1000, 8).unwrap();
        for (out, count, length) in [("a.png", 10_000, 10), ("a.gif", 1000, 100), ("frames", 100_000, 1)] {
            let said = asked(out, count, length, 32).unwrap_err();
            assert!(said.contains("fewer with --frames or --count"), "{said}");
        }
    }

    #[test]
    fn images_stand_in_a_square() {
        assert_eq!([1, 2, 4, 5, 10, 16].map(columns), [1, 2, 2, 3, 4, 4]);
    }
}
