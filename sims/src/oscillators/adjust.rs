//! The oscillators' coefficient, as a calibration fits it: the stretch of the positions inside the sines.

use std::sync::Arc;

use drivers::{Batch, Card};

use super::physics::{Physics, Solver};
use super::{Lattice, Oscillators};
use crate::adjustable::plausible;
use crate::{Adjustable, Coefficient, Sensitivity, Twin};

impl Adjustable for Oscillators {
    fn card(&self) -> Card {
        Oscillators::card(self)
    }

    fn coefficients(&self) -> Vec<Coefficient> {
        vec![Coefficient::new("stretch", "1", 1.0, [0.2, 3.0])]
    }

    fn adjusted(&self, coefficients: &[f64], _corrections: &[f64]) -> Arc<dyn Twin> {
        let values = plausible(&self.coefficients(), coefficients);
        let physics = Physics { stretch: values[0], ..self.nominal() };
        Arc::new(Lattice { card: Oscillators::card(self), solver: Solver::new(physics) })
    }

    fn sensitivity(&self, coefficients: &[f64], _corrections: &[f64], _index: usize) -> Sensitivity {
        let values = plausible(&self.coefficients(), coefficients);
        let physics = Physics { stretch: values[0], ..self.nominal() };
        Box::new(move |inputs, controls| {
            let slopes = physics.slopes(inputs.values(), controls);
            Batch::from_fn(inputs.rows(), inputs.columns(), |row, column| slopes[row * inputs.columns() + column])
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Key;
    use crate::gradient_check::slopes_error;

    #[test]
    fn the_sensitivity_is_the_slope_of_the_positions() {
        let lattice = Oscillators { count: 20, ..Oscillators::default() };
        let mut stream = Key::new(1).stream();
        let shots = Batch::from_fn(20, 20, |_, _| stream.normal());
        let controls: Vec<f32> = (0..20 * 21).map(|_| 0.1 * stream.normal()).collect();
        let wide = |values: &[f32]| values.iter().map(|value| f64::from(*value)).collect::<Vec<_>>();
        let positions = |values: &[f64]| {
            let physics = Physics { stretch: values[0], ..lattice.nominal() };
            let mut outputs = wide(shots.values());
            physics.predict(&wide(shots.values()), &wide(&controls), &mut outputs, &mut physics.workspace());
            outputs
        };
        for stretch in [1.0, 1.3] {
            let slopes = lattice.sensitivity(&[stretch], &[], 0)(&shots, &controls);
            let error = slopes_error(positions, &[stretch], (0, 1e-3), slopes.values());
            assert!(error < 1e-5, "at {stretch}: {error:e}");
        }
    }
}
