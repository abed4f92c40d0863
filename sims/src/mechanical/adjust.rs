//! The plate's coefficients, as a calibration fits them: band edges, clipping, delay, stiffening, and each mode's frequency,
//! damping and gain.

use std::f64::consts::TAU;
use std::sync::Arc;

use drivers::Card;

use super::config::Mechanical;
use super::model::{Modal, sensitivity};
use super::physics::{Physics, Resonance};
use crate::adjustable::plausible;
use crate::{Adjustable, Coefficient, Real, Sensitivity, Twin, dual};

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
        let linear = values[2] == 0.0 && values[4] == 0.0;
        let plate = plate(&Physics::nominal(self), &values).discretize();
        Arc::new(Modal::new(Mechanical::card(self), plate, linear))
    }

    fn sensitivity(&self, coefficients: &[f64], _corrections: &[f64], index: usize) -> Sensitivity {
        let values = dual::along(&plausible(&self.coefficients(), coefficients), index);
        let mut plate = plate(&Physics::nominal(self), &values);
        if let Some(of_modes) = index.checked_sub(CHAIN) {
            // Without couplings a mode's coefficients move no other mode.
            plate.modes = vec![plate.modes.swap_remove(of_modes / OF_MODE)];
        }
        sensitivity(plate.discretize())
    }
}

impl Mechanical {
    /// The coefficients of the simulated plant itself, in the order of [`Adjustable::coefficients`]: what only the simulation
    /// knows. Its modes stiffen each by its own; here stands their mean. Couplings are not among them.
    pub fn plant_coefficients(&self) -> Vec<f64> {
        let (actual, nominal) = (Physics::actual(self), Physics::nominal(self));
        let stiffening = actual.modes.iter().map(|mode| mode.stiffening).sum::<f64>() / actual.modes.len() as f64;
        let [low, high] = actual.band;
        let mut values = vec![low, high, actual.clipping, actual.delay, stiffening];
        for (mode, nominal) in actual.modes.iter().zip(&nominal.modes) {
            values.extend([mode.omega / TAU, mode.damping, mode.push / nominal.push]);
        }
        values
    }
}

/// The plate with these coefficients.
fn plate<R: Real>(nominal: &Physics, values: &[R]) -> Physics<R> {
    let (chain, of_modes) = values.split_at(CHAIN);
    let adjusted = |(mode, values): (&Resonance, &[R])| Resonance {
        omega: R::of(TAU) * values[0],
        damping: values[1],
        push: R::of(mode.push) * values[2],
        stiffening: chain[4],
        pickup: R::of(mode.pickup),
    };
    Physics {
        period: nominal.period,
        band: [chain[0], chain[1]],
        clipping: chain[2],
        delay: chain[3],
        modes: nominal.modes.iter().zip(of_modes.chunks_exact(OF_MODE)).map(adjusted).collect(),
        couplings: Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use drivers::Batch;
    use pulp::Arch;

    use super::*;
    use crate::gradient_check::slopes_error;
    use crate::mechanical::kernel::{Conditions, Forward, Scratch};
    use crate::{Key, LANES, blocks};

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

    #[test]
    fn the_sensitivities_are_the_slopes_of_the_record() {
        let bench = Mechanical { samples: 96, modes: 8, ..Mechanical::default() };
        let mut stream = Key::new(1).stream();
        let shots = Batch::from_fn(LANES, 96, |_, _| 2.0 * stream.uniform() - 1.0);
        let mut drive = vec![[0.0; LANES]; 96];
        blocks::gather(&shots.values().iter().map(|volts| f64::from(*volts)).collect::<Vec<_>>(), 96, 1, &mut drive);
        let record = |values: &[f64]| {
            let (plate, conditions) = (&plate(&Physics::nominal(&bench), values).discretize(), &Conditions::nominal());
            let mut output = vec![[0.0; LANES]; 96];
            let (scratch, drive) = (&mut Scratch::forward(plate.modes.len()), &drive[..]);
            let output_of = &mut output[..];
            Arch::new().dispatch(Forward::<f64, false, false> { plate, conditions, drive, scratch, output: output_of });
            let mut rows = vec![0.0; shots.values().len()];
            blocks::scatter(&output, 96, 1, &mut rows);
            rows
        };
        let coefficients = bench.coefficients();
        let nominal: Vec<f64> = coefficients.iter().map(|c| c.nominal).collect();
        let off: Vec<f64> = coefficients.iter().map(|c| c.start + 0.07 * c.span()).collect();
        for point in [nominal, off] {
            for (index, coefficient) in coefficients.iter().enumerate() {
                let slopes = bench.sensitivity(&point, &[], index)(&shots, &[]);
                let error = slopes_error(record, &point, (index, 1e-3 * coefficient.span()), slopes.values());
                assert!(error < 1e-5, "{}: {error:e}", coefficient.name);
            }
        }
    }
}
