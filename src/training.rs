//! Training: an experiment, the methods that move its weights, the objectives that say where to, one run from the folder to the end, and many runs side by side.

pub mod batchnorm;
pub(crate) mod comparison;
mod drawer;
pub(crate) mod engine;
mod estimator;
pub(crate) mod experiment;
pub(crate) mod film;
pub(crate) mod frozen;
pub(crate) mod growth;
mod guard;
mod method;
pub mod methods;
pub(crate) mod mos;
mod objective;
pub(crate) mod plan;
pub(crate) mod prepared;
pub(crate) mod rehearsal;
mod renormalize;
mod resume;
pub mod select;
pub mod simplicity_bias;
pub mod style_parameters;
pub mod sweep;
mod trainer;
pub mod tune;
pub(crate) mod unknown;
pub mod upkeep;
mod vowels;

pub use comparison::{Comparison, MethodSummary, Spread};
pub use drawer::Drawer;
pub use engine::Finished;
pub use estimator::{Estimate, Estimator, Problem, Question, SpsaConfig};
pub use experiment::{ComparisonConfig, Experiment, MethodSettings};
pub use guard::{GUARD_SCORES, GuardedRun};
pub use method::Method;
pub use objective::{
    Classify, Generate, Groups, Judge, Move, Objective, ObjectiveConfig, Regress, TextureObjective,
    group_log_probabilities,
};
pub use plan::Plan;
pub use prepared::Prepared;
pub use rehearsal::Rehearsal;
pub use renormalize::{Renormalized, RenormalizedLayer};
pub use resume::Interrupted;
pub use trainer::{BatchOrder, Keep, Optimizer, Outcome, Schedule, Trainer, TrainingConfig};
pub(crate) use trainer::{EVALUATION_BATCH, check_statistics, order_warning};
pub use upkeep::{DriftConfig, OnAlarm, RefreshConfig};
