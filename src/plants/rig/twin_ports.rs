//! Whether a twin has the ports of its plant, and what is believed of a plant that has none yet.

use std::sync::Arc;

use calibration::Unlearned;
use drivers::{Card, Direction, Plant, Ports};
use sims::Twin;

use super::PlantConfig;

/// What is believed of a plant whose twin is learned, before anything is.
pub(super) fn unlearned(plant: &dyn Plant) -> Arc<dyn Twin> {
    Arc::new(Unlearned::new(plant.card().clone()))
}

/// Refuses a twin that has other ports than its plant: other numbers, other units, or, where the plant itself says so, another system
/// or other names.
pub(super) fn same_ports(config: &PlantConfig, plant: &Card, twin: &Card) -> Result<(), String> {
    let (is, wanted) = (&plant.identity.system, &twin.identity.system);
    if says_itself(config) && is != wanted {
        return Err(format!(
            "says that its system is `{is}`, but its twin is that of `{wanted}`: name the right system, or `twin = \"learned\"`"
        ));
    }
    matching(config, &plant.ports, &twin.ports)
}

/// Instruments that know no physics have their system, and the names of the banks that they drive and read, from us.
fn says_itself(config: &PlantConfig) -> bool {
    config.bench.as_ref().is_some_and(|bench| bench.instruments.describes_itself())
}

/// Refuses other numbers, units or names of ports than the twin's. Nothing need be opened for it.
pub(super) fn matching(config: &PlantConfig, plant: &Ports, twin: &Ports) -> Result<(), String> {
    let counts = |ports: &Ports| [ports.input_count(), ports.control_count(), ports.output_count()];
    let (has, believed) = (counts(plant), counts(twin));
    if has != believed {
        return Err(format!(
            "has {has:?} inputs, controls and outputs, but its twin has {believed:?}: give the twin the same sizes"
        ));
    }
    for direction in [Direction::Input, Direction::Control, Direction::Output] {
        // Those of controls are somebody's own words: a board's, or a rig file's.
        let are_named = says_itself(config) || direction == Direction::Control && config.bench.is_some();
        let ports = |ports: &Ports| -> Vec<(String, String)> {
            let banks = ports.banks(direction).iter();
            banks.flat_map(|bank| std::iter::repeat_n((bank.name.clone(), bank.unit.clone()), bank.count)).collect()
        };
        for (port, (has, believed)) in ports(plant).iter().zip(ports(twin)).enumerate() {
            if has.1 != believed.1 {
                return Err(format!(
                    "has {direction} {port}, of its bank `{}`, in {}, but its twin has it in {}: both must have one unit",
                    has.0, has.1, believed.1
                ));
            }
            if are_named && has.0 != believed.0 {
                return Err(format!(
                    "calls the bank of its {direction} {port} `{}`, but its twin calls it `{}`: both must have one name",
                    has.0, believed.0
                ));
            }
        }
    }
    Ok(())
}
