//! The slow outputs and inputs, joined by cables.

use super::board::{SimulatedRedPitaya as Board, any};
use super::data_sheet::OUT_OF_RANGE;
use crate::scpi_box::{Parameter, Response, ScpiError, Table};

/// Outputs, and as many inputs.
const OUTPUTS: usize = 4;
/// Largest output in V.
const MOST_VOLTS: f64 = 1.8;
/// The outputs are pulses of so many widths from 0 V to the largest output: the vendor's library keeps the next lower one.
const STEPS: f64 = 156.0;
/// `RP_EPN` of the vendor's library.
const NO_SUCH_PIN: ScpiError = ScpiError::new(9510, "Invalid Pin number");

/// What an output makes of a value. The library reckons in single precision.
fn kept(volts: f64) -> f64 {
    let step = (volts as f32 / MOST_VOLTS as f32 * STEPS as f32).floor();
    (f64::from(step) / STEPS * MOST_VOLTS * 1e6).round() / 1e6
}

/// What the board keeps of a control that is set by a command with this header.
pub(super) fn keeps(header: &str, value: f64) -> f64 {
    if header.eq_ignore_ascii_case("ANALOG:PIN") { kept(value) } else { value }
}

/// The commands.
pub(super) fn commands(table: Table<Board>) -> Table<Board> {
    let pins = || Parameter::choice("AOUT0|AOUT1|AOUT2|AOUT3|AIN0|AIN1|AIN2|AIN3");
    table
        .command("ANALOG:RST", [], |it, _| {
            it.volts = [0.0; OUTPUTS];
            Ok(())
        })
        .command("ANALOG:PIN", [pins(), any("V")], |it, call| {
            let (pin, volts) = (call.place(0)?, call.number(1)?);
            if !(0.0..=MOST_VOLTS).contains(&volts) {
                return Err(OUT_OF_RANGE.about(call.header));
            }
            *it.volts.get_mut(pin).ok_or(NO_SUCH_PIN)? = kept(volts);
            Ok(())
        })
        .query("ANALOG:PIN?", [pins()], |it, call| Ok(Response::text(it.volts[call.place(0)? % OUTPUTS])))
}
