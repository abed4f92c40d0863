//! Central finite differences in double precision, to check adjoints and sensitivities against.

/// The relative error of `gradient` along `direction` against the slope of `loss` at `point`.
pub(crate) fn error_along(loss: impl Fn(&[f64]) -> f64, point: &[f64], direction: &[f64], gradient: &[f64]) -> f64 {
    let moved = |by: f64| loss(&point.iter().zip(direction).map(|(x, d)| x + by * d).collect::<Vec<_>>());
    // Fourth order, so that the step may be wide enough not to drown in rounding.
    let h = 1e-3;
    let slope = (8.0 * (moved(h) - moved(-h)) - (moved(2.0 * h) - moved(-2.0 * h))) / (12.0 * h);
    let along: f64 = gradient.iter().zip(direction).map(|(g, d)| g * d).sum();
    (along - slope).abs() / slope.abs().max(along.abs())
}

/// The largest error of `slopes`, relative to the largest slope of `outputs` at `point` when its number `index` moves; `step` is how
/// far that number is moved.
pub(crate) fn slopes_error(
    outputs: impl Fn(&[f64]) -> Vec<f64>,
    point: &[f64],
    (index, step): (usize, f64),
    slopes: &[f32],
) -> f64 {
    let moved = |by: f64| {
        let mut point = point.to_vec();
        point[index] += by * step;
        outputs(&point)
    };
    let [far_below, below, above, far_above] = [-2.0, -1.0, 1.0, 2.0].map(moved);
    let places = below.iter().zip(&above).zip(far_below.iter().zip(&far_above));
    let exact: Vec<f64> = places.map(|((b, a), (bb, aa))| (8.0 * (a - b) - (aa - bb)) / (12.0 * step)).collect();
    let largest = exact.iter().fold(0.0_f64, |largest, slope| largest.max(slope.abs()));
    let error = exact.iter().zip(slopes).fold(0.0_f64, |error, (e, s)| error.max((e - f64::from(*s)).abs()));
    if largest == 0.0 { error } else { error / largest }
}
