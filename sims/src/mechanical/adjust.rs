//! The plate's coefficients, as a calibration fits them: band edges, clipping, delay, stiffening, and each mode's frequency,
//! damping and gain.

use std::f64::consts::TAU;
use std::sync::Arc;

use drivers::Card;

use super::Mechanical;
use super::model::Modal;
use super::physics::Physics;
use crate::adjustable::plausible;
use crate::{Adjustable, Coefficient, Twin};

/// Coefficients of the chain, before those of the modes.
const CHAIN: usize = 5;
/// Coefficients of each mode.
const OF_MODE: usize = 3;

impl Adjustable for Mechanical {
    fn card(&self) -> Card {
        Mechanical::card(self)
    }

    fn coefficients(&self) -> Vec<Coefficient> {
        let physics = Physics::nominal(self);
        let near = |name: &str, unit: &'static str, nominal: f64, share: f64| {
            Coefficient::new(name, unit, nominal, [nominal * (1.0 - share), nominal * (1.0 + share)])
        };
        let mut coefficients = vec![
            near("low_hertz", "Hz", physics.band[0], 0.5),
            near("high_hertz", "Hz", physics.band[1], 0.5),
            Coefficient::new("clipping_per_square_volt", "1/V²", 0.0, [0.0, 4.0]).starting_at(0.1),
            near("delay_seconds", "s", physics.delay, 0.5),
            Coefficient::new("stiffening", "1", 0.0, [0.0, 4.0]).starting_at(0.1),
        ];
        for (number, mode) in physics.modes.iter().enumerate() {
            coefficients.push(near(&format!("mode_{number}_hertz"), "Hz", mode.omega / TAU, 0.05));
            coefficients.push(near(&format!("mode_{number}_damping"), "1", mode.damping, 0.9));
            coefficients.push(Coefficient::new(&format!("mode_{number}_gain"), "1", 1.0, [0.2, 5.0]));
        }
        coefficients
    }

    fn adjusted(&self, coefficients: &[f64], _corrections: &[f64]) -> Arc<dyn Twin> {
        let values = plausible(&self.coefficients(), coefficients);
        let mut physics = Physics::nominal(self);
        physics.band = [values[0], values[1]];
        physics.clipping = values[2];
        physics.delay = values[3];
        for (mode, values) in physics.modes.iter_mut().zip(values[CHAIN..].chunks_exact(OF_MODE)) {
            mode.omega = TAU * values[0];
            mode.damping = values[1];
            mode.push *= values[2];
        }
        let stiffening = values[4];
        for mode in &mut physics.modes {
            mode.stiffening = stiffening;
        }
        let linear = values[2] == 0.0 && stiffening == 0.0;
        Arc::new(Modal::new(Mechanical::card(self), physics.discretize(), linear))
    }
}

#[cfg(test)]
mod tests {
    use drivers::Batch;

    use super::*;
    use crate::Key;

    #[test]
    fn nominal_coefficients_make_the_nominal_twin() {
        let bench = Mechanical { samples: 64, ..Mechanical::default() };
        let mut stream = Key::new(1).stream();
        let shots = Batch::from_fn(20, 64, |_, _| 2.0 * stream.uniform() - 1.0);
        let nominal: Vec<f64> = bench.coefficients().iter().map(|coefficient| coefficient.nominal).collect();
        let (adjusted, twin) = (bench.adjusted(&nominal, &[]), bench.build().unwrap().twin);
        let (adjusted, twin) = (adjusted.predict(&shots, &[]), twin.predict(&shots, &[]));
        assert!(adjusted.values().iter().zip(twin.values()).all(|(a, b)| (a - b).abs() < 1e-6));
    }
}
