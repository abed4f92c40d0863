//! The oscillators' coefficient, as a calibration fits it: the stretch of the positions inside the sines.

use std::sync::Arc;

use drivers::Card;

use super::physics::{Physics, Solver};
use super::{Lattice, Oscillators};
use crate::adjustable::plausible;
use crate::{Adjustable, Coefficient, Twin};

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
}
