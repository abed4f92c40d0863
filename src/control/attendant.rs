//! Who stands above plants that are driven for a measurement that is no run: signals end it, an interlock with a pause is waited for, and what
//! happens is said.

use std::ops::ControlFlow;
use std::sync::Arc;

use crate::Error;
use crate::control::Control;
use crate::event::{Event, Severity};
use crate::plants::{Bench, Gate, Supervisor};
use crate::stop::StopReason;

/// A supervisor without a record.
#[derive(Debug)]
pub struct Attendant(Arc<Control>);

impl Attendant {
    /// One that hears signals from now on.
    pub fn new() -> Arc<Self> {
        let control = Control::new();
        control.open();
        Arc::new(Self(control))
    }
}

impl Supervisor for Attendant {
    fn asks(&self) -> bool {
        self.0.asks()
    }

    fn heed(&self, gate: Gate, bench: &mut dyn Bench) -> Result<ControlFlow<StopReason>, Error> {
        self.0.heed(gate, bench)
    }

    fn trip(&self, why: String) {
        self.0.trip(why);
    }

    fn trip_eases(&self, why: String) {
        self.0.trip_eases(why);
    }

    fn trip_is_over(&self) {
        self.0.trip_is_over();
    }

    fn lets_probe(&self) -> bool {
        self.0.lets_probe()
    }

    fn lets_wait(&self, _: usize, _: f64) -> bool {
        self.0.lets_wait()
    }

    fn raise(&self, source: &str, _: Severity, message: String) {
        tell!("pnnlab: {source}: {message}");
    }

    fn clear(&self, source: &str) {
        tell!("pnnlab: {source}: it is over");
    }

    fn write_down(&self, _: &Event) -> Result<(), Error> {
        Ok(())
    }

    fn write_alarms(&self) -> Result<(), Error> {
        Ok(())
    }
}
