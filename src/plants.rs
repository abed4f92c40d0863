//! The plants of a rig: how a file describes them, how they are opened, limited, guarded and metered, and the twins behind them.
//!
//! It knows no network and no run. Who runs the plants stands behind [`Supervisor`] and may hold them before any shot; who wants to see
//! the shots is a [`ShotTap`].

pub mod fits;
pub mod lab;
mod meter;
mod recent;
pub(crate) mod rig;
mod supervisor;
pub(crate) mod systems;

pub use fits::{CalibrationStatus, InUse};
pub use lab::{Derivatives, Forward, Guarded, Lab, Noise, Opened, PlantState, Rehearsed, View};
pub use meter::Meter;
pub use recent::{Memory, Recent};
pub use rig::{
    InstrumentsConfig, KnobConfig, Knobs, PlantConfig, Rig, RigConfig, ServedInstrument, SimulatedConfig,
    equations_with_tables,
};
pub(crate) use rig::{NO_RIG, bench_first};
pub use supervisor::{Bench, Driven, Gate, ShotTap, Supervisor};
