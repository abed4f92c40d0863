//! Linearly implicit methods of Rosenbrock: their numbers, in the form of [`implicit`](super::implicit).

use super::steps::GAMMA;

/// A method of some stages.
#[derive(Debug)]
pub(super) struct Rosenbrock {
    pub gamma: f64,
    /// aᵢⱼ and cᵢⱼ with j < i.
    pub places: &'static [&'static [f64]],
    pub shares: &'static [&'static [f64]],
    /// mⱼ.
    pub weights: &'static [f64],
    /// What the increments say of a step's error.
    pub errors: &'static [f64],
}

impl Rosenbrock {
    pub fn stages(&self) -> usize {
        self.weights.len()
    }
}

/// The method of fixed steps, see [`steps`](super::steps).
pub(super) const ROS2: Rosenbrock = Rosenbrock {
    gamma: GAMMA,
    places: &[&[], &[1.0 / GAMMA]],
    shares: &[&[], &[-2.0 / GAMMA]],
    weights: &[1.5 / GAMMA, 0.5 / GAMMA],
    errors: &[0.5 / GAMMA, 0.5 / GAMMA],
};

/// RODAS, order 4, coefficients of E. Hairer's program `rodas.f` (method 1).
#[allow(clippy::unreadable_literal)] // As their source has them.
pub(super) const RODAS: Rosenbrock = Rosenbrock {
    gamma: 0.25,
    places: &[
        &[],
        &[1.544],
        &[0.9466785280815826, 0.2557011698983284],
        &[3.314825187068521, 2.896124015972201, 0.9986419139977817],
        &[1.221224509226641, 6.019134481288629, 12.53708332932087, -0.6878860361058950],
        &[1.221224509226641, 6.019134481288629, 12.53708332932087, -0.6878860361058950, 1.0],
    ],
    shares: &[
        &[],
        &[-5.6688],
        &[-2.430093356833875, -0.2063599157091915],
        &[-0.1073529058151375, -9.594562251023355, -20.47028614809616],
        &[7.496443313967647, -10.24680431464352, -33.99990352819905, 11.70890893206160],
        &[8.083246795921522, -7.981132988064893, -31.52159432874371, 16.31930543123136, -6.058818238834054],
    ],
    weights: &[1.221224509226641, 6.019134481288629, 12.53708332932087, -0.6878860361058950, 1.0, 1.0],
    errors: &[0.0, 0.0, 0.0, 0.0, 0.0, 1.0],
};
