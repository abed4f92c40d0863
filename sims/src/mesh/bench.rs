//! The simulated bench of a mesh: phases and inputs behind converters, phases that drift, detectors with noise and a converter.
//!
//! ```text
//! phases = DAC(set) + crosstalk + own errors + drift(t)        reading = ADC(detected + σ n)        n normal, by seed and shot number
//! ```
//!
//! Drift is slow: phases are moved once in a second of bench time. All shots go through the matrix of the whole mesh, so a shot reads the
//! same in whatever batch it is.

use drivers::{Batch, Card, Direction};

use super::imperfections::MeshImperfections;
use super::model::Optics;
use crate::drift::Drift;
use crate::noise::Noise;
use crate::{Converter, Key, LANES, Moment, System};

/// How long phases are held, in s.
const HELD: f64 = 1.0;

/// The plant: its own optics and what differs from shot to shot.
#[derive(Debug)]
pub(super) struct Bench {
    card: Card,
    optics: Optics<f32>,
    /// Of each phase; empty where none drifts.
    drifts: Vec<Drift>,
    noise: Noise,
    imperfections: MeshImperfections,
}

impl Bench {
    /// Puts `optics` on a bench.
    pub(super) fn new(
        card: Card,
        optics: Optics<f32>,
        imperfections: &MeshImperfections,
        [plant_seed, shot_seed]: [u64; 2],
    ) -> Self {
        let rate = imperfections.drift_radians_per_hour;
        let key = Key::new(plant_seed).branch("mesh").branch("drift");
        let drifts = if rate == 0.0 { 0 } else { optics.chip.controls() as u64 };
        Self {
            drifts: (0..drifts).map(|phase| Drift::new(rate, key.number(phase))).collect(),
            noise: Noise::new(Key::new(shot_seed).branch("mesh").branch("detector"), imperfections.detector_noise),
            imperfections: imperfections.clone(),
            card,
            optics,
        }
    }

    /// Rounds rows of ports to the codes of their converters.
    fn convert(&self, values: &mut [f32], direction: Direction, bits: u32) {
        let banks = self.card.ports.banks(direction);
        let converters: Vec<Converter> =
            banks.iter().flat_map(|bank| std::iter::repeat_n(Converter::new(bank.range, bits), bank.count)).collect();
        for row in values.chunks_exact_mut(converters.len()) {
            for (value, converter) in row.iter_mut().zip(&converters) {
                *value = converter.convert(*value);
            }
        }
    }

    /// The phases at a time in s.
    fn phases(&self, controls: &[f32], seconds: f64) -> Vec<f32> {
        let mut phases = self.optics.chip.phases(controls);
        for (phase, drift) in phases.iter_mut().zip(&self.drifts) {
            *phase += drift.at(&[seconds; LANES])[0];
        }
        phases
    }

    /// The time of shot `row` of a batch that begins at `moment`, in whole times of holding; 0 where nothing drifts.
    fn hold(&self, moment: Moment, row: usize) -> f64 {
        if self.drifts.is_empty() {
            return 0.0;
        }
        let timing = self.card.timing;
        ((moment.seconds + timing.latency + timing.shot * row as f64) / HELD).floor()
    }
}

impl System for Bench {
    fn card(&self) -> &Card {
        &self.card
    }

    fn settle(&self, controls: &[f32]) -> Vec<f32> {
        let mut settled = controls.to_vec();
        self.convert(&mut settled, Direction::Control, self.imperfections.control_bits);
        settled
    }

    fn shoot(&self, inputs: &Batch, controls: &[f32], moment: Moment) -> Batch {
        let mut driven = inputs.clone();
        self.convert(driven.values_mut(), Direction::Input, self.imperfections.input_bits);
        let (columns, width) = (inputs.columns(), self.card.ports.output_count());
        let mut readings = Batch::zeros(inputs.rows(), width);
        let mut first = 0;
        while first < inputs.rows() {
            let hold = self.hold(moment, first);
            let after = (first + 1..inputs.rows()).find(|row| self.hold(moment, *row) != hold).unwrap_or(inputs.rows());
            let matrix = self.optics.with(self.phases(controls, hold * HELD)).matrix();
            let read = self.optics.predict_by(&matrix, &driven.values()[first * columns..after * columns]);
            readings.values_mut()[first * width..after * width].copy_from_slice(&read);
            first = after;
        }
        self.noise.add(&mut readings, moment.shots);
        self.convert(readings.values_mut(), Direction::Output, self.imperfections.read_bits);
        readings
    }
}
