//! The circuit's coefficients, as a calibration fits them.
//!
//! Only voltages are driven and read, so coil, capacitor and resistors are known up to one common factor of impedance:
//! what can be told are rates, `R/L`, `1/(R_p·C)` and `I_s/C`, and the resonance. In the same way `own` and `scale_volts` of
//! the device are held at their nominal values: doubling all voltages inside, and halving both converters' gains, looks
//! the same. And its offset is held, because a shift of all voltages, with both converters' offsets, looks the same too.

use std::sync::Arc;

use drivers::Card;

use super::circuit::{Circuit, Line};
use super::model::{Model, sensitivity};
use crate::adjustable::plausible;
use crate::{Adjustable, Coefficient, Electrical, Real, Sensitivity, Twin, dual};

impl Adjustable for Electrical {
    fn card(&self) -> Card {
        Electrical::card(self)
    }

    fn coefficients(&self) -> Vec<Coefficient> {
        let nominal = values(&self.nominal_circuit());
        let near = |name: &str, unit: &'static str, index: usize, share: f64| {
            let value: f64 = nominal[index];
            Coefficient::new(name, unit, value, [value * (1.0 - share), value * (1.0 + share)])
        };
        let drive = 0.1 * self.drive_volts;
        let reading = 0.1 * self.reading_volts;
        vec![
            near("resonance_hertz", "Hz", 0, 0.5),
            near("coil_loss_per_second", "1/s", 1, 0.9),
            near("load_loss_per_second", "1/s", 2, 0.99),
            near("device_volts_per_second", "V/s", 3, 0.9),
            // Nothing depends on the memory while the device is a polynomial without one.
            Coefficient::new("device_memory", "1", 0.0, [-1.0, 4.0]).starting_at(0.1),
            // Below 0 the device's current would fall with the voltage, and the circuit run away.
            Coefficient::new("junction_share", "1", 0.0, [0.0, 5.0]).starting_at(0.1),
            near("memory_seconds", "s", 6, 0.9),
            Coefficient::new("drive_gain", "1", 1.0, [0.9, 1.1]),
            Coefficient::new("drive_offset_volts", "V", 0.0, [-drive, drive]),
            Coefficient::new("reading_gain", "1", 1.0, [0.9, 1.1]),
            Coefficient::new("reading_offset_volts", "V", 0.0, [-reading, reading]),
            Coefficient::new("crosstalk", "1", 0.0, [-0.1, 0.3]),
        ]
    }

    fn adjusted(&self, coefficients: &[f64], _corrections: &[f64]) -> Arc<dyn Twin> {
        let values = plausible(&self.coefficients(), coefficients);
        let circuit = circuit(&self.nominal_circuit(), self.impedance_ohms, &values);
        Arc::new(Model::new(Electrical::card(self), circuit))
    }

    fn sensitivity(&self, coefficients: &[f64], _corrections: &[f64], index: usize) -> Sensitivity {
        let values = dual::along(&plausible(&self.coefficients(), coefficients), index);
        sensitivity(circuit(&self.nominal_circuit(), self.impedance_ohms, &values))
    }
}

impl Electrical {
    /// The coefficients of the simulated plant itself, in the order of [`Adjustable::coefficients`]: what only the simulation
    /// knows, and a calibration must find.
    pub fn plant_coefficients(&self) -> Vec<f64> {
        values(&self.plant_circuit())
    }
}

/// The coefficients of `circuit`.
fn values(circuit: &Circuit) -> Vec<f64> {
    let Circuit { henry, farad, ohms, load_ohms, .. } = *circuit;
    vec![
        1.0 / (std::f64::consts::TAU * (henry * farad).sqrt()),
        ohms / henry,
        1.0 / (load_ohms * farad),
        circuit.device_amperes / farad,
        circuit.memory,
        circuit.junction_share,
        circuit.memory_seconds,
        circuit.drive.gain,
        circuit.drive.offset,
        circuit.reading.gain,
        circuit.reading.offset,
        circuit.crosstalk,
    ]
}

/// The circuit with these coefficients, at the nominal impedance.
fn circuit<R: Real>(nominal: &Circuit, impedance_ohms: f64, values: &[R]) -> Circuit<R> {
    let Circuit { samples, substeps, step_seconds, own, offset_volts, scale_volts, full_scale_volts, .. } = *nominal;
    let impedance = R::of(impedance_ohms);
    let pulsation = R::of(std::f64::consts::TAU) * values[0];
    let (henry, farad) = (impedance / pulsation, R::of(1.0) / (impedance * pulsation));
    // A law without any share of the junction is compiled without the memory too.
    let none = R::of(0.0);
    let junction_share = if values[5] == none && values[4] != none { R::of(1e-9) } else { values[5] };
    Circuit {
        samples,
        substeps,
        step_seconds,
        henry,
        farad,
        ohms: values[1] * henry,
        load_ohms: R::of(1.0) / (values[2] * farad),
        device_amperes: values[3] * farad,
        own,
        memory: values[4],
        offset_volts,
        scale_volts,
        memory_seconds: values[6],
        junction_share,
        drive: Line { gain: values[7], offset: values[8] },
        reading: Line { gain: values[9], offset: values[10] },
        crosstalk: values[11],
        full_scale_volts,
    }
}

#[cfg(test)]
mod tests {
    use drivers::Batch;

    use super::*;
    use crate::electrical::solver::Solver;
    use crate::electrical::tests::predict;
    use crate::gradient_check::slopes_error;
    use crate::{ElectricalImperfections, Key};

    #[test]
    fn the_plants_own_coefficients_make_its_own_physics() {
        let imperfections = ElectricalImperfections::none();
        let bench = Electrical { samples: 64, imperfections, ..Electrical::default() };
        let built = bench.build().unwrap();
        let mut stream = Key::new(3).stream();
        let drive = Batch::from_fn(40, 64, |_, _| 2.0 * stream.uniform() - 1.0);
        let distance = |a: &dyn Twin, b: &dyn Twin| {
            let (a, b) = (a.predict(&drive, &[]), b.predict(&drive, &[]));
            a.values().iter().zip(b.values()).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max)
        };
        let nominal: Vec<f64> = bench.coefficients().iter().map(|coefficient| coefficient.nominal).collect();
        assert!(distance(&*bench.adjusted(&nominal, &[]), &*built.twin) < 1e-6);
        assert!(distance(&*bench.adjusted(&bench.plant_coefficients(), &[]), &*built.ideal) < 2e-5);
        assert!(distance(&*built.twin, &*built.ideal) > 1e-2);
    }

    #[test]
    fn the_sensitivities_are_the_slopes_of_the_record() {
        let bench = Electrical { samples: 64, imperfections: ElectricalImperfections::none(), ..Electrical::default() };
        let mut stream = Key::new(3).stream();
        let drive = Batch::from_fn(20, 64, |_, _| 2.0 * stream.uniform() - 1.0);
        let inputs: Vec<f64> = drive.values().iter().map(|volts| f64::from(*volts)).collect();
        let coefficients = bench.coefficients();
        let point = |of: fn(&Coefficient) -> f64| coefficients.iter().map(of).collect::<Vec<f64>>();
        let nominal = bench.nominal_circuit();
        for point in [point(|c| c.nominal), point(|c| c.start), bench.plant_coefficients()] {
            for (index, coefficient) in coefficients.iter().enumerate() {
                let slopes = bench.sensitivity(&point, &[], index)(&drive, &[]);
                let record = |values: &[f64]| predict(&Solver::new(&circuit(&nominal, 2e3, values)), &inputs);
                let step = 1e-3 * coefficient.span();
                let error = slopes_error(record, &point, (index, step), slopes.values());
                assert!(error < 1e-5, "{}: {error:e}", coefficient.name);
            }
        }
    }
}
