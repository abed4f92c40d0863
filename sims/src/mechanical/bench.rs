//! The plate on its bench: the plant's physics with converters, shot-to-shot changes, warming and noise.
//!
//! ```text
//! warm(t)  = 1 − exp(−t/τ)                     t since the bench was switched on
//! gain     = (1 − gain_drift · warm) · (1 + gain_noise · N)         N once per shot
//! δ        = −frequency_drift · warm
//! reading  = ADC( plate(gain, δ; DAC(drive)) + noise_volts · N )    N once per sample
//! ```
//!
//! The warming of the coil takes force away, that of the plate frequency; so a channel on the flank of a resonance
//! drifts more than one beside it, as on a real bench. Both end at a plateau.

#![allow(clippy::inline_always)] // A block's work vectorizes only as part of the dispatched function.

use drivers::{Batch, Card};
use pulp::{Arch, Simd, WithSimd};

use super::config::{Imperfections, Mechanical};
use super::discrete::Discrete;
use super::kernel::{Conditions, Forward, Scratch};
use super::physics::Physics;
use crate::random::normal_pair;
use crate::{Converter, Key, LANES, Lanes, Moment, System, blocks};

/// The bench-fidelity plate. Shapes: drive and microphone `[shots, samples]`, in V.
#[derive(Debug)]
pub(super) struct Bench {
    card: Card,
    plate: Discrete<f32>,
    imperfections: Imperfections,
    dac: Converter,
    adc: Converter,
    shots: Key,
}

impl Bench {
    /// The bench that `config` describes.
    pub fn new(config: &Mechanical, card: Card) -> Self {
        let imperfections = config.imperfections.clone();
        Self {
            plate: Physics::actual(config).discretize(),
            dac: Converter::new(card.ports.inputs[0].range, imperfections.dac_bits),
            adc: Converter::new(card.ports.outputs[0].range, imperfections.adc_bits),
            imperfections,
            shots: Key::new(config.shot_seed).branch("mechanical"),
            card,
        }
    }

    /// How far the bench has warmed up, 0 to 1, when shot number `row` of a batch starts.
    fn warmth(&self, moment: Moment, row: u64) -> f64 {
        let timing = &self.card.timing;
        let seconds = moment.seconds + timing.latency + timing.shot * row as f64;
        1.0 - (-seconds / self.imperfections.drift_seconds).exp()
    }

    /// What a block's shots find, given their own keys.
    fn conditions(&self, moment: Moment, first: u64, keys: &[Key; LANES]) -> Conditions<f32> {
        let mut conditions = Conditions::nominal();
        let imperfections = &self.imperfections;
        let [jitter, _] = normal_pair(&keys.map(|key| key.branch("gain")), 0);
        for (lane, jitter) in jitter.into_iter().enumerate() {
            let warmth = self.warmth(moment, first + lane as u64);
            let drift = 1.0 - imperfections.gain_drift * warmth;
            conditions.gain[lane] = (drift * (1.0 + imperfections.gain_noise * f64::from(jitter))) as f32;
            conditions.detuning[lane] = (-imperfections.frequency_drift * warmth) as f32;
        }
        conditions
    }
}

/// What a thread keeps between blocks.
struct Played {
    drive: Vec<Lanes<f32>>,
    scratch: Scratch<f32>,
}

impl System for Bench {
    fn card(&self) -> &Card {
        &self.card
    }

    fn settle(&self, controls: &[f32]) -> Vec<f32> {
        controls.to_vec()
    }

    fn shoot(&self, inputs: &Batch, _controls: &[f32], moment: Moment) -> Batch {
        let samples = inputs.columns();
        let new = || Played { drive: vec![[0.0; LANES]; samples], scratch: Scratch::forward(self.plate.modes.len()) };
        blocks::map(inputs, samples, new, |block, from, to, played| {
            let first = (block * LANES) as u64;
            let keys: [Key; LANES] = std::array::from_fn(|lane| self.shots.number(moment.shots + first + lane as u64));
            let conditions = self.conditions(moment, first, &keys);
            Arch::new().dispatch(Shoot { bench: self, keys: &keys, conditions: &conditions, played, from, to });
        })
    }
}

/// One block of shots, from converter to converter.
struct Shoot<'a> {
    bench: &'a Bench,
    keys: &'a [Key; LANES],
    conditions: &'a Conditions<f32>,
    played: &'a mut Played,
    from: &'a [Lanes<f32>],
    to: &'a mut [Lanes<f32>],
}

impl WithSimd for Shoot<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<V: Simd>(self, simd: V) {
        let Self { bench, keys, conditions, played: Played { drive, scratch }, from, to } = self;
        for (drive, from) in drive.iter_mut().zip(from) {
            for lane in 0..LANES {
                drive[lane] = bench.dac.convert(from[lane]);
            }
        }
        Forward::<_, false, false> { plate: &bench.plate, conditions, drive, scratch, output: &mut *to }
            .with_simd(simd);
        let volts = bench.imperfections.noise_volts as f32;
        if 0.0 < volts {
            add_noise(keys, volts, to);
        }
        for lanes in to {
            for value in lanes {
                *value = bench.adc.convert(*value);
            }
        }
    }
}

/// Adds white noise of standard deviation `volts`, each shot's from its own key.
#[inline(always)]
fn add_noise(keys: &[Key; LANES], volts: f32, output: &mut [Lanes<f32>]) {
    for (pair, samples) in output.chunks_mut(2).enumerate() {
        for (sample, noise) in samples.iter_mut().zip(normal_pair(keys, pair as u32)) {
            for lane in 0..LANES {
                sample[lane] = noise[lane].mul_add(volts, sample[lane]);
            }
        }
    }
}
