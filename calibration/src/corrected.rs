//! The numbers of a model as they were fitted.

/// Coefficients and corrections.
#[derive(Debug, Clone, PartialEq)]
pub struct Corrected {
    /// In the model's order.
    pub coefficients: Vec<f64>,
    /// In units of their standard deviations.
    pub corrections: Vec<f64>,
}
