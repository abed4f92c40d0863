//! A program of the system whose parameters made a file are found again: it is run with other ones until its output is like that file.

use std::path::Path;
use std::process::{Command, Stdio};

use calibration::Strategy;
use sims::Key;

use crate::Error;
use crate::training::batchnorm::Finding;
use crate::training::tune::{KnobFound, Range, Search, Tool, ToolFile, ToolKnob, Turned};

/// A parameter: its name, and its range. The search begins in the middle.
type Parameter = (&'static str, f32, f32);

/// A program of the system.
struct Program {
    /// In words.
    name: String,
    words: Vec<String>,
    ending: &'static str,
    parameters: Vec<Parameter>,
}

/// A filter of sound in Python, whose standard library is all that it needs: a saturation, a low pass of first order, an echo and a gain.
const PYTHON_FILTER: &str = r#"import array, math, sys, wave
source, target, gain, corner, drive, echo = sys.argv[1:3] + [float(word) for word in sys.argv[3:7]]
with wave.open(source) as file:
    rate, samples = file.getframerate(), array.array("h", file.readframes(file.getnframes()))
keep = math.exp(-2 * math.pi * corner / rate)
drive, gain, low, delay = 10 ** (drive / 20), 10 ** (gain / 20), 0.0, [0.0] * 11
for place, sample in enumerate(samples):
    low = keep * low + (1 - keep) * math.tanh(drive * sample / 32768) / math.tanh(drive)
    out = low + echo * delay[place % 11]
    delay[place % 11] = out
    samples[place] = max(-32768, min(32767, round(32768 * gain * out)))
with wave.open(target, "wb") as file:
    file.setparams((1, 2, rate, 0, "NONE", ""))
    file.writeframes(samples.tobytes())
"#;

/// The first program of the system that there is; its input, and what else it needs, are put into `scratch`.
fn installed(scratch: &Path) -> Result<Option<Program>, Error> {
    let says = |program: &str, word: &str| {
        let output = Command::new(program).arg("--version").stdin(Stdio::null()).output();
        output.is_ok_and(|output| {
            let said = [output.stdout, output.stderr].concat();
            output.status.success() && String::from_utf8_lossy(&said).contains(word)
        })
    };
    let at = |name: &str| scratch.join(name).display().to_string();
    let words = |line: &str| line.split(' ').map(str::to_owned).collect::<Vec<_>>();
    if says("sox", "SoX") {
        write_wave(&scratch.join("in.wav"))?;
        // Without dither the same parameters give the same file.
        return Ok(Some(Program {
            name: "sox: gain, lowpass, overdrive".to_owned(),
            words: words(&format!(
                "sox -D {} {{output}} gain {{gain}} lowpass {{corner}} overdrive {{drive}} 0",
                at("in.wav")
            )),
            ending: ".wav",
            parameters: vec![("gain", -20.0, 0.0), ("corner", 500.0, 3500.0), ("drive", 0.0, 30.0)],
        }));
    }
    for program in ["magick", "convert"] {
        if says(program, "Version: ImageMagick") {
            write_image(&scratch.join("in.pgm"))?;
            let line = "-gamma {gamma} -blur 0x{blur} -brightness-contrast {brightness} {output}";
            return Ok(Some(Program {
                name: "ImageMagick: gamma, blur, brightness".to_owned(),
                words: words(&format!("{program} {} {line}", at("in.pgm"))),
                ending: ".pgm",
                parameters: vec![("gamma", 0.5, 2.0), ("blur", 0.2, 4.0), ("brightness", -30.0, 30.0)],
            }));
        }
    }
    if says("python3", "Python 3") {
        write_wave(&scratch.join("in.wav"))?;
        let script = scratch.join("filter.py");
        std::fs::write(&script, PYTHON_FILTER).map_err(Error::record(&script, "cannot be written"))?;
        // What is called `python3` may be a script that looks for the interpreter each time.
        let asked = Command::new("python3").args(["-c", "import sys; print(sys.executable)"]).output();
        let found = asked.map(|output| String::from_utf8_lossy(&output.stdout).trim().to_owned()).unwrap_or_default();
        let python = if Path::new(&found).is_file() { found } else { "python3".to_owned() };
        let [script, input] = ["filter.py", "in.wav"].map(at);
        let line = format!("{python} -I -S {script} {input} {{output}} {{gain}} {{corner}} {{drive}} {{echo}}");
        return Ok(Some(Program {
            name: "python3 and its standard library: gain, low pass, drive, echo".to_owned(),
            words: words(&line),
            ending: ".wav",
            parameters: vec![
                ("gain", -20.0, 0.0),
                ("corner", 500.0, 3500.0),
                ("drive", 0.0, 30.0),
                ("echo", -0.6, 0.6),
            ],
        }));
    }
    Ok(None)
}

/// What a program is called, and what was found for each seed.
type Tried = (String, Vec<Vec<Finding>>);

/// Of a program of the system, for each of these seeds, which draws the parameters of a reference: the largest error of a parameter that its output shows, as a
/// share of its range, and how many were told as not shown. None where there is no such program.
pub fn program(evaluations: usize, seeds: &[u64], scratch: &Path) -> Result<Option<Tried>, Error> {
    let place = std::path::absolute(scratch).unwrap_or_else(|_| scratch.to_owned());
    let Some(program) = installed(&place)? else { return Ok(None) };
    let found = seeds.iter().map(|seed| found_again(&program, evaluations, *seed, &place));
    Ok(Some((program.name.clone(), found.collect::<Result<_, _>>()?)))
}

fn found_again(program: &Program, evaluations: usize, seed: u64, place: &Path) -> Result<Vec<Finding>, Error> {
    let knob = |(name, low, high): &Parameter| {
        ((*name).to_owned(), ToolKnob { low: *low, high: *high, value: 0.5 * (low + high), unit: "1".to_owned() })
    };
    let file = ToolFile {
        name: "program".to_owned(),
        tool: program.words.clone(),
        ending: program.ending.to_owned(),
        reference: place.join(format!("reference{}", program.ending)),
        knobs: program.parameters.iter().map(knob).collect(),
    };
    let ranges = file.ranges();
    let mut stream = Key::new(seed).branch("style-parameters").branch("program").stream();
    let mut drawn = |range: &Range| range.low + (0.15 + 0.7 * stream.uniform()) * (range.high - range.low);
    let wanted: Vec<f32> = ranges.iter().map(&mut drawn).collect();
    let mut tool = Tool::new(&file, place, place)?;
    tool.read(&wanted)?;
    std::fs::copy(tool.output(), &file.reference).map_err(Error::record(&file.reference, "cannot be written"))?;
    let reference = tool.reference()?;
    let search = Search { evaluations, strategy: Strategy::PatternFirst, key: Key::new(seed) };
    let found = search.run(&ranges, &reference, &mut tool, (&[], &mut |_| Ok(())))?;
    let share = |((knob, range), wanted): ((&KnobFound, &Range), &f32)| {
        f64::from((knob.after - wanted).abs() / (range.high - range.low))
    };
    let all = || found.knobs.iter().zip(&ranges).zip(&wanted);
    let shown = all().filter(|((knob, _), _)| knob.seen).map(share).fold(0.0, f64::max);
    Ok(vec![
        Finding::new("program: largest error of a parameter, share of the range", shown),
        Finding::new(
            "program: parameters that were told as not shown",
            all().filter(|((knob, _), _)| !knob.seen).count() as f64,
        ),
        Finding::new("program: signatures that were read", found.evaluations as f64),
    ])
}

/// A second of tones and noise, 16 bits at 8 kHz.
fn write_wave(path: &Path) -> Result<(), Error> {
    let mut stream = Key::new(1).branch("wave").stream();
    let sample = |k: u32, noise: f32| {
        let time = f64::from(k) / 8000.0;
        let tones = [220.0, 660.0, 1500.0, 2900.0].map(|hertz| (std::f64::consts::TAU * hertz * time).sin());
        ((0.15 * tones.iter().sum::<f64>() + 0.05 * f64::from(noise)) * 32000.0).clamp(-32000.0, 32000.0) as i16
    };
    let samples: Vec<u8> = (0..8000).flat_map(|k| sample(k, stream.normal()).to_le_bytes()).collect();
    let length = samples.len() as u32;
    let mut bytes = b"RIFF".to_vec();
    bytes.extend((36 + length).to_le_bytes());
    bytes.extend(b"WAVEfmt ");
    for word in [16_u32.to_le_bytes(), [1, 0, 1, 0], 8000_u32.to_le_bytes(), 16_000_u32.to_le_bytes(), [2, 0, 16, 0]] {
        bytes.extend(word);
    }
    bytes.extend(b"data");
    bytes.extend(length.to_le_bytes());
    bytes.extend(samples);
    std::fs::write(path, bytes).map_err(Error::record(path, "cannot be written"))
}

/// Squares and waves in gray, 64 × 64.
fn write_image(path: &Path) -> Result<(), Error> {
    let pixel = |at: usize| {
        let (x, y) = (at % 64, at / 64);
        let wave = 60.0 * (0.3 * x as f64).sin() * (0.2 * y as f64).cos();
        (120.0 + wave + if (x / 16 + y / 16).is_multiple_of(2) { 50.0 } else { 0.0 }) as u8
    };
    let mut bytes = b"P5\n64 64\n255\n".to_vec();
    bytes.extend((0..64 * 64).map(pixel));
    std::fs::write(path, bytes).map_err(Error::record(path, "cannot be written"))
}
