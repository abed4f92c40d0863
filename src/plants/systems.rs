//! The systems that this program knows: what `pnnlab systems` lists.

use drivers::{Bank, Ports};
use serde_json::{Value, json};
use sims::{Electrical, Equations, Mechanical, Optical, Oscillators};

use crate::Error;
use crate::plants::{PlantConfig, Rig, SimulatedConfig};

/// One system in its default form.
pub struct SystemFacts {
    /// Its name in rig files.
    pub name: &'static str,
    /// What it is.
    pub about: &'static str,
    /// How much physics its simulated plant can compute, the default first.
    pub fidelities: &'static [(&'static str, &'static str)],
    /// Its default form.
    pub config: SimulatedConfig,
}

/// The twins that every simulated plant has.
const TWINS: &[(&str, &str)] = &[
    ("nominal", "the equations that a physicist writes down first, with nominal coefficients"),
    ("ideal", "the plant's own physics, without noise and rounding; only a simulation knows it"),
];

/// The one fidelity of a system that has no other.
const BENCH: &[(&str, &str)] = &[("bench", "everything that a careful experimenter finds on the bench")];

/// What a system is called, what it is and which fidelities it has. A new system is named here, or this does not compile.
fn facts(config: SimulatedConfig) -> SystemFacts {
    let (name, about, fidelities) = match &config {
        SimulatedConfig::Electrical(_) => {
            ("electrical", "a transistor in an RLC resonator between a DAC and an ADC", BENCH)
        }
        SimulatedConfig::Mechanical(_) => ("mechanical", "a titanium plate on a voice coil, with a microphone", BENCH),
        SimulatedConfig::Optical(_) => (
            "optical",
            "broadband second-harmonic generation between a spectral shaper and a camera",
            &[
                ("undepleted", "the second harmonic takes no light from the fundamental; fast"),
                ("coupled-wave", "depletion, walk-off and dispersion along the crystal; some hundred times slower"),
            ][..],
        ),
        SimulatedConfig::Oscillators(_) => (
            "oscillators",
            "all-to-all coupled nonlinear oscillators, the reference implementation's own system",
            BENCH,
        ),
        SimulatedConfig::Mesh(_) => (
            "mesh",
            "a rectangular mesh of Mach–Zehnder interferometers: any unitary matrix, read by photodiodes",
            BENCH,
        ),
        SimulatedConfig::Equations(_) => {
            ("equations", "what a file of equations says, here a diode in a resonator", BENCH)
        }
    };
    SystemFacts { name, about, fidelities, config }
}

/// All systems.
pub fn systems() -> [SystemFacts; 6] {
    [
        SimulatedConfig::Electrical(Electrical::default()),
        SimulatedConfig::Mechanical(Mechanical::default()),
        SimulatedConfig::Optical(Optical::default()),
        SimulatedConfig::Oscillators(Oscillators::default()),
        SimulatedConfig::Mesh(Box::default()),
        SimulatedConfig::Equations(Equations::from_text(hil::SYSTEMS[0].0, hil::SYSTEMS[0].1)),
    ]
    .map(facts)
}

/// The name of the system that a plant is, or whose twin it has.
pub fn system_of(plant: &PlantConfig) -> Option<&'static str> {
    plant.twin_system().map(|config| facts(config.clone()).name)
}

/// All systems with their ports, timing and the plants of `rig` that are made of them, as JSON.
pub fn listing(rig: &Rig) -> Result<Value, Error> {
    let entries = systems().map(|system| entry(&system, rig));
    let entries = entries.into_iter().collect::<Result<Vec<_>, _>>()?;
    Ok(json!({ "rig": rig.config.name, "systems": entries }))
}

/// One system.
fn entry(system: &SystemFacts, rig: &Rig) -> Result<Value, Error> {
    let built = system.config.build(0).map_err(|error| Error::Usage(format!("system `{}`: {error}", system.name)))?;
    let card = built.system.card();
    let plants = rig.config.plants.iter().filter(|(_, plant)| system_of(plant) == Some(system.name));
    let named = |pairs: &[(&str, &str)]| {
        pairs.iter().map(|(name, about)| json!({ "name": name, "about": about })).collect::<Vec<_>>()
    };
    Ok(json!({
        "system": system.name,
        "about": system.about,
        "ports": ports(&card.ports),
        "sample_seconds": system.config.sample_seconds(),
        "timing": {
            "settle_seconds": card.timing.settle,
            "latency_seconds": card.timing.latency,
            "shot_seconds": card.timing.shot,
        },
        "twins": named(TWINS),
        "fidelities": named(system.fidelities),
        "plants": plants.map(|(name, _)| name).collect::<Vec<_>>(),
    }))
}

/// Banks with units and ranges.
fn ports(ports: &Ports) -> Value {
    let banks = |banks: &[Bank]| {
        let banks = banks.iter().map(|bank| {
            json!({ "name": bank.name, "count": bank.count, "unit": bank.unit, "low": bank.range.low, "high": bank.range.high })
        });
        banks.collect::<Vec<_>>()
    };
    json!({ "inputs": banks(&ports.inputs), "controls": banks(&ports.controls), "outputs": banks(&ports.outputs) })
}
