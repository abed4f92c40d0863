//! The controls that a rig file gives to a SCPI instrument by their commands: each sets a control of the simulated plant.
//!
//! The plant's controls are meant in their order, as those of the rig file are in the order of the alphabet. Those that the plant does not
//! have are kept without an effect.

use std::sync::{MutexGuard, PoisonError};

use drivers::{Numbers, ScpiControlConfig, ScpiControlsConfig};

use crate::scpi_box::{Response, ScpiError, ScpiInstrument, Table};
use crate::template::Template;
use crate::waveform_world::{SharedWorld, WaveformWorld};

fn locked(world: &SharedWorld) -> MutexGuard<'_, WaveformWorld> {
    world.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Brings all controls to rest, as when power is switched on.
pub(crate) fn reset(controls: &ScpiControlsConfig, world: &mut WaveformWorld) {
    for (index, control) in controls.0.values().enumerate() {
        world.set_control(index, 0.0_f32.clamp(control.low, control.high));
        world.carry(index, control.on.is_none());
    }
}

/// What an instrument keeps of a value that a command with this header has told it.
pub(crate) type Keeps = fn(&str, f64) -> f64;

/// Adds the commands of the controls to those of an instrument, which keeps of their values what `keeps` says. Theirs come first: the
/// instrument may know the same ones.
pub(crate) fn commands<I: ScpiInstrument>(
    mut table: Table<I>,
    controls: &ScpiControlsConfig,
    world: &SharedWorld,
    keeps: Keeps,
) -> Table<I> {
    for (index, control) in controls.0.values().enumerate() {
        table = set_and_asked(table, (index, control), world, keeps);
        for (line, on) in [(&control.on, true), (&control.off, false)] {
            let (Some(line), world) = (line, world.clone()) else { continue };
            let switch = Template::new(line);
            table = table.command(&switch.header, switch.parameters(Numbers::Text), move |_, _| {
                locked(&world).carry(index, on);
                Ok(())
            });
        }
    }
    table
}

/// What sets a control, and what asks for it.
fn set_and_asked<I: ScpiInstrument>(
    table: Table<I>,
    (index, control): (usize, &ScpiControlConfig),
    world: &SharedWorld,
    keeps: Keeps,
) -> Table<I> {
    let command = Template::new(&control.command);
    let (low, high) = (f64::from(control.low), f64::from(control.high));
    let header = command.header.clone();
    let (place, shared) = (command.place_of("{value}").unwrap_or_default(), world.clone());
    let table = table.command(&command.header, command.parameters(Numbers::Text), move |_, call| {
        let value = call.number(place)?;
        if !(low..=high).contains(&value) {
            return Err(ScpiError::OUT_OF_RANGE);
        }
        locked(&shared).set_control(index, keeps(&header, value) as f32);
        Ok(())
    });
    let Some(query) = &control.query else { return table };
    let (query, shared) = (Template::new(query), world.clone());
    table.query(&query.header, query.parameters(Numbers::Text), move |_, _| {
        Ok(Response::text(locked(&shared).control(index)))
    })
}

#[cfg(test)]
mod tests;
