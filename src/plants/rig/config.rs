//! What a rig file says: its plants, where their readings come from, and what they may be driven with.

// Circle with plants/rig/knobs.rs: a rig declares its knobs, and a knob is checked against the rig that it is of.

use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::path::PathBuf;

use drivers::{GaugeConfig, Interlock, Range, Recovery, Screen, Watched};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use sims::{Built, Equations, Mesh};

use super::limits::LimitsConfig;
use super::system::{SimulatedConfig, TwinConfig};
use super::{BenchConfig, FeedthroughConfig, KnobConfig};

/// What a rig file says.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RigConfig {
    /// What the bench is called.
    pub name: String,
    /// Its plants, by name.
    pub plants: BTreeMap<String, PlantConfig>,
    /// What can be set on the bench but is not trained, by name: `pnnlab tune` turns it.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub knobs: BTreeMap<String, KnobConfig>,
}

/// One plant: where its readings come from, and what it may be driven with. Give exactly one of `simulated`, `bench`,
/// `replay`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PlantConfig {
    /// A plant made of bench-fidelity physics.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub simulated: Option<SimulatedConfig>,
    /// A simulated plant that changes while it is used.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shift: Option<ShiftConfig>,
    /// An input that leaks into the readings of a simulated plant.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub feedthrough: Option<FeedthroughConfig>,
    /// A plant behind real instruments.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bench: Option<BenchConfig>,
    /// A plant that repeats a recording.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub replay: Option<ReplayConfig>,
    /// A file that every set of controls and every shot is recorded to; it must not exist yet. A run that is continued records to the
    /// next one beside it: `plant-2.jsonl` after `plant.jsonl`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub record: Option<PathBuf>,
    /// The fit behind the twin: `none` (the nominal twin), `auto` (the newest fit of this plant in the folder `fits`), or a fit's
    /// TOML file, relative to the folder of the rig file. Left out it is `none`, or `auto` where the twin is learned.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fit: Option<String>,
    /// Narrower ranges than the instruments' own.
    #[serde(default)]
    pub limits: LimitsConfig,
    /// Readings that must stay within bounds: one that does not makes the plant safe and ends the run, or pauses it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub interlocks: Vec<InterlockConfig>,
    /// Looks at each reading before it is believed: a suspicious shot is driven again, within its limits, and given up after a few
    /// attempts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub screen: Option<ScreenConfig>,
}

/// What makes a reading suspicious. One that is no number always is.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct ScreenConfig {
    /// All outputs exactly as in another shot of the batch, or in the last one before, though the inputs differ: a converter that has
    /// stuck. Switch it off for a plant that rightly reads the same for different inputs.
    pub stuck: bool,
    /// All outputs at an end of their range: a converter that has been overdriven.
    pub saturated: bool,
    /// How often a suspicious shot is driven, at least 1, before it is given up.
    #[schemars(range(min = 1, max = 1000))]
    pub attempts: u32,
}

impl Default for ScreenConfig {
    fn default() -> Self {
        let Screen { stuck, saturated, attempts } = Screen::default();
        Self { stuck, saturated, attempts }
    }
}

/// From one shot on, at once or bit by bit, a simulated plant reads like another: how a twin that was right goes wrong.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ShiftConfig {
    /// Shots before it begins.
    #[schemars(range(max = 1_000_000_000_000_000_u64))]
    pub after_shots: u64,
    /// Shots that it takes; 0: it happens at once.
    #[serde(default)]
    #[schemars(range(max = 1_000_000_000_000_000_u64))]
    pub over_shots: u64,
    /// What the plant becomes; it must have the same ports.
    pub to: SimulatedConfig,
}

/// A reading that must stay within bounds.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct InterlockConfig {
    /// What it protects, in words.
    pub name: String,
    /// The output bank, unless there is an `instrument`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub output: Option<String>,
    /// An instrument beside the plant that is asked for the reading, such as a power meter, a shutter or a thermometer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub instrument: Option<GaugeConfig>,
    /// Smallest allowed reading, in the unit of the bank or instrument.
    pub low: f32,
    /// Largest allowed reading, in the unit of the bank or instrument.
    pub high: f32,
    /// The run pauses until the readings are back, instead of ending.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pause: Option<PauseConfig>,
}

/// How a run waits for readings that have left their bounds. While it waits, all its plants are in their safe state, and the plant is
/// probed: one shot of inputs at zero, or the allowed value nearest to it, with the controls where the safe state has left them, within
/// the plant's limits; then it is made safe again.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct PauseConfig {
    /// How far within `low` and `high` a reading must be to count as back, in the bank's unit.
    #[schemars(range(min = 0))]
    pub hysteresis: f32,
    /// Probes in a row that must find all readings back.
    #[schemars(range(min = 1))]
    pub clear_after: u32,
    /// From probe to probe, in s.
    #[schemars(range(min = 0.001, max = 86_400))]
    pub probe_seconds: f32,
    /// Probes after one trip, before the run ends.
    #[schemars(range(min = 1))]
    pub most_probes: u32,
    /// Trips that pause, counted anew when the run is continued; one more ends it.
    #[schemars(range(min = 1))]
    pub most_trips: u32,
}

impl Default for PauseConfig {
    fn default() -> Self {
        Self { hysteresis: 0.0, clear_after: 3, probe_seconds: 1.0, most_probes: 600, most_trips: 10 }
    }
}

/// The longest time from probe to probe, in s: a day.
const LONGEST_PROBE_SECONDS: f32 = 86_400.0;

impl InterlockConfig {
    /// What makes no sense, if anything: the key below the interlock's, and the rest of the sentence.
    pub(super) fn complaint(&self) -> Option<(String, String)> {
        if self.output.is_some() == self.instrument.is_some() {
            let message = "must be there, or `instrument`, and not both: say what is watched";
            return Some(("output".to_owned(), message.to_owned()));
        }
        match self.instrument.as_ref().map_or(Ok(()), GaugeConfig::check) {
            Ok(()) => {}
            Err(drivers::Error::Description { key, message }) => return Some((format!("instrument.{key}"), message)),
            Err(error) => return Some(("instrument.address".to_owned(), format!("cannot be used: {error}"))),
        }
        self.bounds_complaint().map(|(key, message)| (key.to_owned(), message))
    }

    /// The same of its bounds and its pause.
    fn bounds_complaint(&self) -> Option<(&'static str, String)> {
        if self.low.partial_cmp(&self.high) != Some(Ordering::Less) {
            let message =
                format!("is {}, which is not above `low`, {}: no reading would be allowed", self.high, self.low);
            return Some(("high", message));
        }
        let pause = self.pause.as_ref()?;
        let (width, seconds) = (self.high - self.low, pause.probe_seconds);
        if !(0.0..).contains(&pause.hysteresis) || width <= 2.0 * pause.hysteresis {
            let message = format!(
                "is {}: it must not be negative, and leave something of [{}, {}] on both sides",
                pause.hysteresis, self.low, self.high
            );
            return Some(("pause.hysteresis", message));
        }
        if !(0.001..=LONGEST_PROBE_SECONDS).contains(&seconds) {
            return Some(("pause.probe_seconds", format!("is {seconds} s: give 0.001 to {LONGEST_PROBE_SECONDS}")));
        }
        if pause.clear_after == 0 {
            return Some(("pause.clear_after", "is 0: give at least 1".to_owned()));
        }
        if pause.most_probes < pause.clear_after {
            let message = format!("is {}, fewer than the {} of `clear_after`", pause.most_probes, pause.clear_after);
            return Some(("pause.most_probes", message));
        }
        (pause.most_trips == 0).then(|| ("pause.most_trips", "is 0: give at least 1, or leave out `pause`".to_owned()))
    }

    /// A reading within its bounds, as an instrument answers it.
    pub(super) fn within(&self) -> String {
        let words = self.instrument.iter().flat_map(|gauge| &gauge.values);
        let mut words = words.filter(|(_, value)| Range::new(self.low, self.high).contains(**value));
        let middle = 0.5 * self.low + 0.5 * self.high;
        let middle = [middle, self.low, self.high].into_iter().find(|value| value.is_finite()).unwrap_or_default();
        words.next().map_or_else(|| middle.to_string(), |(word, _)| word.clone())
    }

    pub(super) fn interlock(&self, watched: Watched) -> Interlock {
        let recovery = self.pause.as_ref().map(|pause| Recovery {
            range: Range::new(self.low + pause.hysteresis, self.high - pause.hysteresis),
            probes: pause.clear_after,
            every: pause.probe_seconds,
            most_probes: pause.most_probes,
            most_trips: pause.most_trips,
        });
        Interlock { name: self.name.clone(), watched, range: Range::new(self.low, self.high), recovery }
    }
}

impl PlantConfig {
    /// A simulated system with the feed-through that the plant has.
    pub(super) fn leaking(&self, built: Built) -> Result<Built, sims::Error> {
        self.feedthrough.as_ref().map_or(Ok(built.clone()), |leak| leak.into(built))
    }

    /// The twin that a bench or a recording has.
    pub fn twin(&self) -> Option<&TwinConfig> {
        let of_bench = self.bench.as_ref().map(|bench| &bench.twin);
        of_bench.or(self.replay.as_ref().map(|replay| &replay.twin))
    }

    /// The system that its twin is made of: simulated, behind instruments or recorded.
    pub fn twin_system(&self) -> Option<&SimulatedConfig> {
        self.simulated.as_ref().or_else(|| self.twin().and_then(TwinConfig::system))
    }

    /// All systems that it names, with the keys that name them.
    pub(super) fn systems(&mut self) -> impl Iterator<Item = (&'static str, &mut SimulatedConfig)> {
        fn of(twin: &mut TwinConfig) -> Option<&mut SimulatedConfig> {
            match twin {
                TwinConfig::Learned(_) => None,
                TwinConfig::System(system) => Some(system),
            }
        }
        let systems = [
            ("simulated", self.simulated.as_mut()),
            ("shift.to", self.shift.as_mut().map(|shift| &mut shift.to)),
            ("bench.twin", self.bench.as_mut().and_then(|bench| of(&mut bench.twin))),
            ("replay.twin", self.replay.as_mut().and_then(|replay| of(&mut replay.twin))),
        ];
        systems.into_iter().filter_map(|(key, system)| system.map(|system| (key, system)))
    }

    /// All files of equations that it names, with the keys that name them.
    pub(super) fn equations(&mut self) -> impl Iterator<Item = (&'static str, &mut Equations)> {
        self.systems().filter_map(|(key, system)| match system {
            SimulatedConfig::Equations(config) => Some((key, config)),
            _ => None,
        })
    }

    /// All meshes that it names, with the keys that name them.
    pub(super) fn meshes(&mut self) -> impl Iterator<Item = (&'static str, &mut Mesh)> {
        self.systems().filter_map(|(key, system)| match system {
            SimulatedConfig::Mesh(config) => Some((key, &mut **config)),
            _ => None,
        })
    }

    /// Whether its twin is learned.
    pub fn is_learned(&self) -> bool {
        self.twin().is_some_and(|twin| twin.system().is_none())
    }
}

/// A recorded plant.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ReplayConfig {
    /// The recording; a relative path counts from the folder of the rig file.
    pub file: PathBuf,
    /// The system whose twin gives the gradient, or `"learned"`.
    pub twin: TwinConfig,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::document::Document;

    fn plant(twin: &str) -> Result<PlantConfig, crate::Error> {
        let text = format!(
            "name = \"r\"\n[plants.p.bench]\ntwin = {twin}\n[plants.p.bench.instruments]\nprotocol = \"pnnlink\"\n\
             address = \"tcp://127.0.0.1:1\"\nwiring = \"w\"\n"
        );
        let mut config: RigConfig = Document::parse("rig.toml", &text)?.check()?;
        // What is written into a run's folder reads the same.
        let again: RigConfig = Document::parse("rig.toml", &toml::to_string(&config).unwrap())?.check()?;
        assert_eq!(config, again);
        Ok(config.plants.remove("p").unwrap())
    }

    #[test]
    fn the_twin_of_a_bench_has_a_system_or_is_learned() {
        let known = plant("{ system = \"electrical\", samples = 64 }").unwrap();
        // What `response` and `calibrate` need for waveforms and lags.
        assert!(known.twin_system().and_then(SimulatedConfig::sample_seconds).is_some() && !known.is_learned());
        let learned = plant("\"learned\"").unwrap();
        assert!(learned.twin_system().is_none() && learned.is_learned());
        for (twin, complaint) in [
            ("\"lerned\"", "rig.toml:3: `plants.p.bench.twin` is `lerned`, but it must be one of `learned`"),
            ("{ system = \"elektrical\" }", "Did you mean `electrical`?"),
            ("{ samples = 64 }", "has no `system`"),
            ("3", "is the number 3"),
        ] {
            let text = plant(twin).unwrap_err().to_string();
            assert!(text.contains(complaint), "{twin}: {text}");
        }
    }
}
