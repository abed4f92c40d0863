//! Training on the mechanical bench through a real audio server, as `docs/audio.md` has it. Needs the feature `audio` and `PulseAudio`.

use crate::program::Place;
use crate::wires::Serving;

const RIG: &str = include_str!("../hil/rigs/audio.toml");
const EXPERIMENT: &str = r#"
name = "sound"

[data]
source = "digits"
test = 12
train = 48

[training]
steps = 4
batch = 12
evaluate_every = 4

[[layers]]
kind = "repeat"
times = 8

[[layers]]
kind = "scale-offset"
width = 512

[[layers]]
kind = "physical"
plant = "mechanical"

[[layers]]
kind = "bins"
bins = 10
"#;

#[test]
fn a_network_trains_through_sound() {
    let place = Place::new();
    // Large buffers, so that a busy computer loses no sound, and short rests.
    let rig = RIG
        .replace("buffer_frames = 960 ", "buffer_frames = 3840 ")
        .replace("rest_samples = 2400 ", "rest_samples = 960 ")
        .replace("search_seconds = 1.0 ", "search_seconds = 5.0 ");
    let serving = Serving::start(&place, &rig, &[]);
    place.write("sound.toml", EXPERIMENT);
    let mut command = place.command(&["train", "sound.toml", "--rig", "served.toml", "--name", "sound", "--json"]);
    let output = command.envs(serving.environment.iter().cloned()).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let metrics = place.read("runs/sound/metrics.csv");
    let steps = metrics.lines().filter(|line| line.starts_with("step,")).count();
    let tests = metrics.lines().filter(|line| line.starts_with("test,")).count();
    assert_eq!((steps, tests), (4, 1), "{metrics}");
    assert!(place.read("runs/sound/run.json").contains("simulated"), "a simulated plate says so in the record");
}
