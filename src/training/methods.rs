//! What methods do on one bench, as numbers: the published network behind a mesh, gradients for shots, small networks at an equal budget,
//! numbers to predict, a recorded cavity (`pnnlab reproduce methods` judges them).

pub mod acoustic;
pub mod budget;
pub mod chip;
pub mod estimates;
pub mod regression;
pub mod speed;
