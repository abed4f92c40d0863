//! The small steps either way that slopes are measured with, and shots that leave room for them.

use drivers::{Batch, Ports};

/// How far each direction goes either way, in ranges.
pub(super) const REACH: f32 = 0.05;

/// Half of the steps that are allowed: the rest is left for moving neighbors apart.
pub(super) fn with_room(ports: &Ports) -> Ports {
    let mut calm = ports.clone();
    for bank in &mut calm.inputs {
        bank.dose.slew = bank.dose.slew.map(|slew| 0.49 * slew);
    }
    calm
}

/// Changes shots as little as keeps them within what limits over time allow, each taking at most `share` of a minute.
pub(super) fn moderate(shots: &mut Batch, ports: &Ports, share: f32) {
    let columns = shots.columns().max(1);
    shots.values_mut().chunks_exact_mut(columns).for_each(|row| ports.moderate(row, share));
}

/// Either way, as a number from 0 to 1 has it.
pub(super) fn sign(uniform: f32) -> f32 {
    if uniform < 0.5 { -1.0 } else { 1.0 }
}
