//! `pnnlab response`: measures what an experimenter wants to see of a plant first, and draws it beside the twin.

use std::path::PathBuf;

use calibration::{Plan, Resonance, Response, response};
use clap::Args;
use comfy_table::{CellAlignment, Table, presets};
use drivers::{Card, Direction, Origin, Plant};
use serde_json::{Value, json};
use sims::Key;

use crate::Error;
use crate::document::{list, nearest};
use crate::plants::{PlantConfig, Rig, SimulatedConfig, systems::system_of};
use crate::report::{Captioned, Theme, figure};
use crate::stop::Stoppable;
use crate::writing::replace_chosen;

/// A share above 0 and up to 100 %.
fn percent(text: &str) -> Result<f64, String> {
    let value: f64 = text.parse().map_err(|_| format!("`{text}` is not a number"))?;
    if 0.0 < value && value <= 100.0 { Ok(value) } else { Err("give a percentage above 0 and up to 100".to_owned()) }
}

/// `pnnlab response`.
#[derive(Debug, Args)]
pub struct ResponseArgs {
    /// A plant of the rig, or a system that one of them is made of
    pub plant: String,
    /// The rig file; without it, the built-in rig of simulated plants
    #[arg(long, value_name = "FILE")]
    pub rig: Option<PathBuf>,
    /// Changes one key of the rig, such as plants.electrical.simulated.samples=1024
    #[arg(long = "set", value_name = "K=V")]
    pub set: Vec<String>,
    /// The seed of shot noise and random stimuli
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u64).range(..=i64::MAX as u64))]
    pub seed: u64,
    /// Size of small steps about the middle of the range, in % of half of it
    #[arg(long, value_name = "PERCENT", default_value_t = 10.0, value_parser = percent)]
    pub step_percent: f64,
    /// Shots that each step, level and amplitude is averaged over
    #[arg(long, value_name = "N", default_value_t = 32, value_parser = clap::value_parser!(u16).range(1..))]
    pub average: u16,
    /// How often one shot is repeated for repeatability and drift
    #[arg(long, value_name = "N", default_value_t = 1000, value_parser = clap::value_parser!(u32).range(2..=1_000_000))]
    pub repeats: u32,
    /// The folder of figures and numbers; without it, response/PLANT. Files there are replaced
    #[arg(long, value_name = "DIR")]
    pub out: Option<PathBuf>,
    /// The paper of the figures
    #[arg(long, value_enum, default_value_t)]
    pub theme: Theme,
    /// Prints one JSON object on standard output
    #[arg(long)]
    pub json: bool,
}

/// Measures, draws, prints.
pub fn run(arguments: &ResponseArgs) -> Result<(), Error> {
    let rig = Rig::changed(arguments.rig.as_deref(), &arguments.set)?;
    let name = plant_name(&rig, &arguments.plant)?;
    let system = rig.config.plants.get(&name).and_then(PlantConfig::twin_system);
    let plan = Plan {
        sample_seconds: system.and_then(SimulatedConfig::sample_seconds),
        step: arguments.step_percent / 100.0,
        average: usize::from(arguments.average),
        repeats: arguments.repeats as usize,
        key: Key::new(arguments.seed).branch("response"),
    };
    let mut opened = rig.open(&[&name], arguments.seed)?;
    let Some(mut opened) = opened.pop() else { return Err(Error::Usage(format!("plant `{name}` cannot be opened"))) };
    let is_wired = !opened.links.is_empty();
    opened.allowance.pace();
    let measured = response(&mut Stoppable::new(&mut opened.plant, is_wired), &*opened.twin, &plan);
    // The plant is made safe before anything is drawn, whatever came out.
    opened.plant.make_safe().map_err(Error::plant(&name))?;
    Error::if_stopped()?;
    let measured = measured.map_err(Error::plant(&name))?;
    let card = opened.plant.card();
    let unit = |direction: Direction| card.ports.banks(direction).first().map_or("1", |bank| bank.unit.as_str());
    let folder = arguments.out.clone().unwrap_or_else(|| std::path::Path::new("response").join(&name));
    let what = Captioned {
        response: &measured,
        input_unit: unit(Direction::Input),
        output_unit: unit(Direction::Output),
        caption: caption(&name, card, arguments.seed),
    };
    let figures = figure::response(&what, &folder, arguments.theme)?;
    let mut facts = facts(&name, card, &measured);
    facts["seed"] = json!(arguments.seed);
    facts["command"] = json!(super::line());
    let path = folder.join("response.json");
    let mut whole = facts.clone();
    whole["measured"] = json!(measured);
    replace_chosen(&path, format!("{whole:#}\n").as_bytes(), "--out")?;
    facts["figures"] = json!(figures);
    facts["record"] = json!(path);
    if arguments.json {
        say!("{facts:#}");
    } else {
        print(&facts, &measured, card);
        for figure in figures.iter().filter(|figure| figure.extension().is_some_and(|extension| extension == "svg")) {
            say!("figure: {}", figure.display());
        }
        say!("record: {}", path.display());
    }
    Ok(())
}

/// The plant called `wanted`, or the first that is of that system.
fn plant_name(rig: &Rig, wanted: &str) -> Result<String, Error> {
    let plants = &rig.config.plants;
    let by_system = || plants.iter().find(|(_, plant)| system_of(plant) == Some(wanted)).map(|(name, _)| name);
    if let Some(name) = plants.keys().find(|name| *name == wanted).or_else(by_system) {
        return Ok(name.clone());
    }
    let known = rig.names();
    let hint = nearest(wanted, &known).map(|near| format!(" Did you mean `{near}`?")).unwrap_or_default();
    Err(Error::Usage(format!(
        "response: the rig `{}` has no plant `{wanted}` and none of such a system: it has {}.{hint}",
        rig.config.name,
        list(&known)
    )))
}

/// Below each figure.
fn caption(name: &str, card: &Card, seed: u64) -> Vec<String> {
    let controls = if card.ports.control_count() == 0 { "" } else { "; controls in the middle of their ranges" };
    vec![
        format!(
            "plant {name} ({}, {}); twin: nominal; seed {seed}{controls}",
            card.identity.origin.to_string().to_uppercase(),
            card.identity.serial
        ),
        format!("command: {}", super::line()),
    ]
}

/// The numbers, for programs.
fn facts(name: &str, card: &Card, measured: &Response) -> Value {
    let mut facts = json!({
        "plant": name,
        "system": card.identity.system,
        "serial": card.identity.serial,
        "origin": card.identity.origin.to_string(),
        "simulated": card.identity.origin == Origin::Simulated,
        "twin_error": measured.twin_error,
        "repeats": measured.repeats.shots,
        "repeatability": measured.repeats.relative,
        "repeatability_worst": measured.repeats.worst,
        "drift": measured.repeats.drift_relative,
    });
    if let Some(waveform) = &measured.waveform {
        facts["resonance"] = json!(waveform.resonance);
        facts["resonance_twin"] = json!(waveform.resonance_twin);
        facts["passband"] = json!(waveform.passband);
        facts["passband_twin"] = json!(waveform.passband_twin);
        facts["gain_noise"] = json!(waveform.gain_noise);
        facts["sweep_hertz"] = json!(waveform.sweep.hertz);
        let loudest = |tones: &[calibration::Tone]| tones.last().map(|tone| json!(tone));
        facts["distortion_floor"] = json!(waveform.sweep.floor());
        facts["full_drive"] = json!(loudest(&waveform.sweep.plant));
        facts["full_drive_twin"] = json!(loudest(&waveform.sweep.twin));
    }
    if let Some(channels) = &measured.channels {
        facts["exponent"] = json!(channels.exponent);
        facts["derivative_error"] = json!(channels.relative_error);
    }
    facts
}

/// The table.
fn print(facts: &Value, measured: &Response, card: &Card) {
    say!(
        "plant {} ({} {}, {})",
        facts["plant"].as_str().unwrap_or("?"),
        card.identity.origin.to_string().to_uppercase(),
        card.identity.system,
        card.identity.serial
    );
    let mut table = Table::new();
    table.load_preset(presets::UTF8_HORIZONTAL_ONLY).set_header(["", "plant", "twin"]);
    let percent = |value: f64| format!("{:.2} %", 100.0 * value);
    if let Some(waveform) = &measured.waveform {
        let peaks = [waveform.resonance, waveform.resonance_twin];
        let both = |words: &dyn Fn(&Resonance) -> String| peaks.map(|peak| peak.as_ref().map_or("–".to_owned(), words));
        let mut row = |label: &str, [plant, twin]: [String; 2]| {
            table.add_row([label.to_owned(), plant, twin]);
        };
        row("resonance", both(&|peak| format!("{:.3} kHz", 1e-3 * peak.hertz)));
        let reach = [waveform.passband, waveform.passband_twin];
        row("largest gain", reach.map(|reach| format!("{:.3}", reach.gain)));
        let edge = |hertz: f64| format!("{:.3} kHz", 1e-3 * hertz);
        row("upper −3 dB edge", reach.map(|reach| reach.upper_hertz.map_or("–".to_owned(), edge)));
        row("gain at resonance", both(&|peak| format!("{:.3}", peak.gain)));
        row("−3 dB width", both(&width));
        row("quality", both(&|peak| peak.quality.map_or("–".to_owned(), |quality| format!("{quality:.1}"))));
        let ends = [waveform.sweep.plant.last(), waveform.sweep.twin.last()];
        let of = |words: &dyn Fn(&calibration::Tone) -> String| ends.map(|tone| tone.map_or("–".to_owned(), words));
        row("gain at full drive", of(&|tone| format!("{:.3}", tone.gain)));
        row("distortion at full drive (THD)", of(&|tone| percent(tone.distortion)));
        row("of it ringing, no distortion", [String::new(), percent(waveform.sweep.floor())]);
    }
    if let Some(channels) = &measured.channels {
        let exponent = channels.exponent.map_or("–".to_owned(), |exponent| format!("{exponent:.2}"));
        table.add_row(["exponent of reading against level", &exponent, ""]);
        table.add_row(["derivatives: difference", "", &percent(channels.relative_error)]);
    }
    table.add_row(["repeatability, of full scale", &percent(measured.repeats.relative), ""]);
    table.add_row(["drift, first to last quarter", &format!("{:+.3} %", 100.0 * measured.repeats.drift_relative), ""]);
    table.add_row(["twin error, of the outputs' deviation", "", &percent(measured.twin_error)]);
    for column in table.column_iter_mut().skip(1) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    crate::output::table::print(&mut table, &[]);
    for line in absent(measured) {
        say!("{line}");
    }
}

/// Why the table has no number in a cell, a sentence for each row.
fn absent(measured: &Response) -> Vec<String> {
    let who = |missing: [bool; 2]| match missing {
        [true, true] => Some("plant and twin"),
        [true, false] => Some("plant"),
        [false, true] => Some("twin"),
        [false, false] => None,
    };
    let mut lines = Vec::new();
    if let Some(waveform) = &measured.waveform {
        let peaks = [waveform.resonance, waveform.resonance_twin];
        if let Some(who) = who(peaks.map(|peak| peak.is_none())) {
            lines.push(format!(
                "resonance –: the gain of the {who} is largest at the end of the measured frequencies, so there is no peak"
            ));
        }
        if let Some(who) = who(peaks.map(|peak| peak.is_some_and(|peak| peak.width_hertz.is_none()))) {
            lines.push(format!("width –: the gain of the {who} does not fall by 3 dB on both sides of its peak"));
        }
        let edges = [waveform.passband, waveform.passband_twin].map(|reach| reach.upper_hertz.is_none());
        if let Some(who) = who(edges) {
            lines.push(format!("edge –: the gain of the {who} does not fall by 3 dB up to half of the sample rate"));
        }
    }
    if measured.channels.as_ref().is_some_and(|channels| channels.exponent.is_none()) {
        lines.push("exponent –: the readings do not rise throughout the upper half of the levels".to_owned());
    }
    lines
}

/// A width, or that the record is too short to tell.
fn width(peak: &Resonance) -> String {
    match peak.width_hertz {
        Some(width) if peak.limited_by_record => format!("≤ {width:.0} Hz (record too short)"),
        Some(width) => format!("{width:.0} Hz"),
        None => "–".to_owned(),
    }
}
