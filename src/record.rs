//! The records of runs: one folder for each, written while it goes, continued from checkpoints, found again in a catalog.
//!
//! A run's folder holds `run.json` (who, when, versions, seeds, plants, how it ended), `experiment.toml` and `rig.toml`
//! with every default written out, `metrics.csv` (one row a step, no wall time: the same seeds give the same bytes),
//! `events.jsonl`, `log.jsonl`, `test.csv` (what the network said of each row of the test set), `reference.csv` (the last shots,
//! plant and twin), `weights.safetensors`, `checkpoints/`, `shots/` on demand and `figures/`; while it goes, `control.sock`.

pub mod catalog;
mod checkpoint;
mod entries;
mod facts;
mod journal;
mod lock;
mod metric_rows;
mod new_folder;
mod packing;
mod rewind;
mod room;
mod search;
mod shots;
mod snapshot;
mod weights;
mod writer;

pub use catalog::{Catalog, Filter, Metric, Row};
pub use checkpoint::{Cadence, Checkpoint, Keeper};
pub use entries::add_entry;
pub use facts::{Header, is_lost, is_suspended, living_process, plant_facts, read_facts, read_text};
pub(crate) use facts::{command_line, commit_words, fingerprint, git_state, program, unix_seconds};
#[cfg(test)]
pub(crate) use facts::{host, this_process};
pub use journal::Journal;
pub(crate) use lock::{hold, is_held, own};
pub use new_folder::NewFolder;
pub(crate) use rewind::whole_stream;
pub use room::CHECKPOINTS;
pub use search::SearchRecord;
pub use shots::{SHOTS, ShotMark, ShotMarks, ShotRecorder};
pub use snapshot::{Choice, Position, Snapshot};
pub use weights::Saved;
pub use writer::Record;
pub(crate) use writer::{edited, note};
