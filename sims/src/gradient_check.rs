//! Central finite differences, to check hand-derived adjoints against.

/// The relative error of `gradient` along `direction` against the slope of `loss` at `point`.
pub(crate) fn error_along(loss: impl Fn(&[f64]) -> f64, point: &[f64], direction: &[f64], gradient: &[f64]) -> f64 {
    let moved = |by: f64| loss(&point.iter().zip(direction).map(|(x, d)| x + by * d).collect::<Vec<_>>());
    // Fourth order, so that the step may be wide enough not to drown in rounding.
    let h = 1e-3;
    let slope = (8.0 * (moved(h) - moved(-h)) - (moved(2.0 * h) - moved(-2.0 * h))) / (12.0 * h);
    let along: f64 = gradient.iter().zip(direction).map(|(g, d)| g * d).sum();
    (along - slope).abs() / slope.abs().max(along.abs())
}
