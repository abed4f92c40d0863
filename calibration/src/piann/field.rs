//! What networks of fields learn from the equation alone: residuals of a conservation law, as losses with their gradients.
//!
//! ```text
//! on nodes xₙ = n·h:    rₙ = ∂uₙ/∂t + (f(uₙ) − f(uₙ₋₁))/h,  u₀ = 1 in it       upwind, so the limit is the entropy solution
//! at points (x, t):     r = ∂u/∂t + f'(u)·∂u/∂x                              as it stands, or with the concave hull of f
//! ```
//!
//! The time derivatives are the network's own. Times go from 0 to [`END`], x from 0 to 1; the law is [`BuckleyLeverett`].

use nalgebra::DMatrix;
use sims::{BuckleyLeverett, Stream};

use super::wave::{Number, of, wide};

/// The last time that is learned.
pub const END: f64 = 0.5;
/// Nodes of the networks that give a field at nodes.
pub const NODES: usize = 51;
/// The factors of the initial and the boundary values in the loss, beside the mean square of h·r at nodes.
const VALUES: f64 = 1.0;
/// The same beside the mean square of r at points.
const POINT_VALUES: f64 = 10.0;

/// Times and mobilities of a batch.
#[derive(Debug, Clone)]
pub(super) struct Times {
    pub times: Vec<f64>,
    pub mobilities: Vec<f64>,
}

impl Times {
    /// A batch, of which one in eight is at the start.
    pub fn draw(batch: usize, mobilities: &[f64], stream: &mut Stream) -> Self {
        let times = (0..batch).map(|place| if place % 8 == 0 { 0.0 } else { END * f64::from(stream.uniform()) });
        let times = times.collect();
        let mobilities = (0..batch).map(|_| mobilities[stream.below(mobilities.len())]).collect();
        Self { times, mobilities }
    }
}

/// What networks see of a time, and how fast that changes with it.
pub(super) const TIME_SCALE: f64 = 1.0 / END;

/// What networks see of a mobility.
pub(super) fn mobility_feature(mobility: f64) -> f64 {
    mobility.ln() - 2.0
}

/// The loss of fields at nodes, and what it wants of values and rates: all `[nodes, batch]`.
pub(super) fn node_loss<S: Number>(asked: &Times, u: &DMatrix<S>, rates: &DMatrix<S>) -> (f64, DMatrix<S>, DMatrix<S>) {
    let (nodes, batch) = u.shape();
    let width = 1.0 / (nodes - 1) as f64;
    let mut of_u = DMatrix::zeros(nodes, batch);
    let mut of_rates = DMatrix::zeros(nodes, batch);
    let (mut loss, share) = (0.0, 1.0 / (nodes * batch) as f64);
    for (sample, (time, mobility)) in asked.times.iter().zip(&asked.mobilities).enumerate() {
        let law = BuckleyLeverett::new(*mobility);
        let at = |node: usize| wide(u[(node, sample)]);
        let boundary = at(0) - 1.0;
        loss += VALUES * boundary * boundary * share;
        let mut wanted = vec![0.0; nodes];
        wanted[0] = 2.0 * VALUES * boundary * share;
        if *time == 0.0 {
            for (node, wanted) in wanted.iter_mut().enumerate().skip(1) {
                loss += VALUES * at(node).powi(2) * share;
                *wanted = 2.0 * VALUES * at(node) * share;
            }
        } else {
            let mut before = law.flux(1.0);
            for node in 1..nodes {
                let flux = law.flux(at(node));
                let residual = width * wide(rates[(node, sample)]) + flux - before;
                before = flux;
                loss += residual * residual * share;
                let slope = 2.0 * residual * share;
                of_rates[(node, sample)] = of(slope * width);
                wanted[node] += slope * law.speed(at(node));
                if 1 < node {
                    wanted[node - 1] -= slope * law.speed(at(node - 1));
                }
            }
        }
        for (node, wanted) in wanted.into_iter().enumerate() {
            of_u[(node, sample)] = of(wanted);
        }
    }
    (loss, of_u, of_rates)
}

/// Which points a batch of a field without nodes has: the first for the equation, then those at the start and at the boundary.
#[derive(Debug, Clone)]
pub(super) struct Points {
    pub places: Vec<[f64; 2]>,
    pub inside: usize,
    pub initial: usize,
}

impl Points {
    pub fn draw(inside: usize, beside: usize, stream: &mut Stream) -> Self {
        let mut places: Vec<[f64; 2]> =
            (0..inside).map(|_| [f64::from(stream.uniform()), END * f64::from(stream.uniform())]).collect();
        places.extend((0..beside).map(|_| [f64::from(stream.uniform()), 0.0]));
        places.extend((0..beside).map(|_| [0.0, END * f64::from(stream.uniform())]));
        Self { places, inside, initial: beside }
    }
}

/// The loss at points, and what it wants of u, ∂u/∂x and ∂u/∂t, which lie in one row `[1, 3·points]`; with the hull of the flux or without.
pub(super) fn point_loss<S: Number>(
    points: &Points,
    law: BuckleyLeverett,
    hull: bool,
    wave: &DMatrix<S>,
) -> (f64, DMatrix<S>) {
    let count = points.places.len();
    let mut wanted = DMatrix::zeros(1, 3 * count);
    let mut loss = 0.0;
    let beside = (count - points.inside).max(1);
    for place in 0..count {
        let [u, along, rate] = [0, 1, 2].map(|block| wide(wave[block * count + place]));
        if place < points.inside {
            let (speed, bend) = if hull { (law.hull_speed(u), law.hull_bend(u)) } else { (law.speed(u), law.bend(u)) };
            let residual = rate + speed * along;
            let share = 1.0 / points.inside as f64;
            loss += residual * residual * share;
            let slope = 2.0 * residual * share;
            wanted[place] = of(slope * bend * along);
            wanted[count + place] = of(slope * speed);
            wanted[2 * count + place] = of(slope);
        } else {
            let known = if place < points.inside + points.initial { 0.0 } else { 1.0 };
            let share = POINT_VALUES / beside as f64;
            loss += (u - known).powi(2) * share;
            wanted[place] = of(2.0 * (u - known) * share);
        }
    }
    (loss, wanted)
}
