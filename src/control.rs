//! A run while it goes: who may steer it, what it says of itself, alarms, hooks, metrics.

mod alarms;
mod attendant;
mod board;
mod config;
mod fleet;
mod helm;
mod hooks;
mod http;
mod keyboard;
mod learning;
mod lookout;
mod metrics;
mod progress;
mod quantity;
mod reference;
mod run_control;
mod server;
mod status;
mod supervisor;
mod thresholds;
mod thumbnail;
mod tuning;
mod viewer;

pub use alarms::Alarms;
pub use attendant::Attendant;
pub use board::{Board, Heading, Watcher};
pub use config::{RecordConfig, RunConfig};
pub use fleet::Fleet;
pub use helm::{Helm, Monitor, Moves};
pub use hooks::{HookConfig, Hooks, HooksConfig};
pub(crate) use keyboard::{Keyboard, restore_terminal};
pub use learning::Learning;
pub use lookout::Lookout;
pub use metrics::{Metrics, MetricsListener};
pub use progress::Progress;
pub use quantity::Quantity;
pub use reference::Reference;
pub use run_control::Control;
pub use server::{SOCKET, Server, connect};
pub use status::{
    BankStatus, Budget, LinkStatus, PlantStatus, Reply, Request, RunState, Status, TrainingStatus, Tried, TriedOn,
};
pub use supervisor::RunSupervisor;
pub use thresholds::{AlarmConfig, Thresholds};
pub use thumbnail::Thumbnail;
pub use tuning::{KnobStatus, TuningStatus};
pub use viewer::{Shots, Viewer, Watching, Wires, twin_residual};
