//! The bench: shaper, crystal and spectrometer with everything that a careful experimenter would find on it.
//!
//! Inputs `[shots, 50]` and controls `[50]`, transmissions from 0 to 1; outputs `[shots, 50]`, fractions of full scale.
//! Light of a sample: `J_k` = `gain·|S_k|²·sinc²_k·(1` + p + `t·u_k`), with the power p (noise and drift) and the spectral
//! tilt t of the shot. A tilted laser, E·exp(εu), tilts the sums n + m exactly, so this second mode of the noise needs
//! no transform. A registration that has drifted by s samples reads `J_k` − (s/2)·(J_(k+1) − J_(k−1)).

use drivers::{Batch, Card};
use pulp::{Arch, Simd, WithSimd};

use super::band::Band;
use super::config::{CHANNELS, OUTPUTS, Optical, OpticalFidelity, PIXELS, SAMPLES};
use super::path::{Path, position};
use super::readout::Readout;
use super::spectrum::{Shaper, convolve, intensity};
use super::transform::{Complex, Field, Transform};
use super::waves::Waves;
use crate::drift::Drift;
use crate::random::normal_pair;
use crate::{Key, LANES, Lanes, Moment, Real, System, blocks};

/// What drifts.
#[derive(Debug, Clone)]
struct Drifts {
    power: Drift,
    /// In samples.
    registration: Drift,
    /// Two modes of the spectral phase, in rad, and their shapes along the band, root mean square 1.
    phases: [Drift; 2],
    shapes: [[f32; CHANNELS]; 2],
    /// Whether the phase drifts at all.
    turning: bool,
}

impl Drifts {
    fn new(optical: &Optical) -> Self {
        let imperfections = &optical.imperfections;
        let key = Key::new(optical.plant_seed).branch("optical drift");
        let samples = imperfections.registration_pixels_per_hour * SAMPLES as f64 / PIXELS as f64;
        let radians = imperfections.phase_radians_per_hour;
        let phase = |label| Drift::new(radians * std::f64::consts::FRAC_1_SQRT_2, key.branch(label));
        // Curvature and third order, free of the delay and the constant that no detector sees: Legendre polynomials.
        let even = |u: f64| 5.0_f64.sqrt() * 0.5 * (3.0 * u * u - 1.0);
        let odd = |u: f64| 7.0_f64.sqrt() * 0.5 * (5.0 * u.powi(3) - 3.0 * u);
        Self {
            power: Drift::new(imperfections.power_per_hour, key.branch("power")),
            registration: Drift::new(samples, key.branch("registration")),
            phases: [phase("curvature"), phase("third order")],
            shapes: [
                std::array::from_fn(|channel| even(position(channel, CHANNELS)) as f32),
                std::array::from_fn(|channel| odd(position(channel, CHANNELS)) as f32),
            ],
            turning: radians != 0.0,
        }
    }

    /// Turns the phases of the channels to where they have drifted.
    #[inline(always)]
    fn turn(&self, seconds: &[f64; LANES], field: &mut Field<f32>) {
        if !self.turning {
            return;
        }
        let [even, odd] = [self.phases[0].at(seconds), self.phases[1].at(seconds)];
        for channel in 0..CHANNELS {
            let (even_shape, odd_shape) = (self.shapes[0][channel], self.shapes[1][channel]);
            for lane in 0..LANES {
                let (sin, cos) = Real::sin_cos(even[lane].mul_add(even_shape, odd[lane] * odd_shape));
                let turned = field.get(channel, lane).mul(Complex { re: cos, im: sin });
                field.set(channel, lane, turned);
            }
        }
    }
}

/// The bench-fidelity physics.
#[derive(Debug, Clone)]
pub(super) struct Bench {
    card: Card,
    shaper: Shaper<f32>,
    transform: Transform<f32>,
    /// Full coupled waves in place of the undepleted limit.
    waves: Option<Waves>,
    /// `gain·sinc²_k`, without the sinc² where the waves themselves make it.
    sensitivity: Vec<f32>,
    /// `u_k` of the samples.
    places: Vec<f32>,
    readout: Readout,
    drifts: Drifts,
    power_noise: f32,
    tilt_noise: f32,
    /// Settings of the shaper between dark and open; 0 for any.
    shaper_steps: f32,
    shots: Key,
}

impl Bench {
    pub fn new(optical: &Optical, card: Card, path: &Path) -> Self {
        let imperfections = &optical.imperfections;
        let waves = (optical.fidelity == OpticalFidelity::CoupledWave).then(|| Waves::new(optical, path));
        let sensitivity = path.matched.map(|matched| path.gain * if waves.is_some() { 1.0 } else { matched });
        Self {
            card,
            shaper: Shaper::new(path),
            transform: Transform::new(),
            waves,
            sensitivity: sensitivity.iter().map(|&value| value as f32).collect(),
            places: (0..SAMPLES).map(|sample| position(sample, SAMPLES) as f32).collect(),
            readout: Readout::new(optical, Band::new(&path.pixels, SAMPLES)),
            drifts: Drifts::new(optical),
            power_noise: imperfections.power_noise as f32,
            tilt_noise: imperfections.tilt_noise as f32,
            shaper_steps: imperfections.shaper_steps as f32,
            shots: Key::new(optical.shot_seed).branch("optical shots"),
        }
    }

    /// What the shaper makes of a transmission.
    #[inline(always)]
    fn transmit(&self, transmission: f32) -> f32 {
        let clipped = Real::max(Real::min(transmission, 1.0), 0.0);
        let steps = self.shaper_steps;
        if 0.0 < steps { (clipped * steps).round_ties_even() / steps } else { clipped }
    }

    /// Intensities by the full coupled waves, shot after shot.
    fn propagate(waves: &Waves, field: &Field<f32>, light: &mut [Lanes<f32>]) {
        // The shaper's field carries the factor of the transform.
        let scale = (super::transform::POINTS as f64).sqrt();
        for lane in 0..LANES {
            let channels = std::array::from_fn(|channel| {
                let value = field.get(channel, lane);
                Complex { re: scale * f64::from(value.re), im: scale * f64::from(value.im) }
            });
            for (light, value) in light.iter_mut().zip(waves.light(&channels)) {
                light[lane] = value as f32;
            }
        }
    }
}

impl System for Bench {
    fn card(&self) -> &Card {
        &self.card
    }

    fn settle(&self, controls: &[f32]) -> Vec<f32> {
        controls.iter().map(|&control| self.transmit(control)).collect()
    }

    fn shoot(&self, inputs: &Batch, controls: &[f32], moment: Moment) -> Batch {
        let mask = self.shaper.mask(&self.settle(controls));
        let new = || (Field::boxed(), vec![[0.0; LANES]; SAMPLES], vec![[0.0; LANES]; SAMPLES]);
        let (latency, shot) = (self.card.timing.latency, self.card.timing.shot);
        blocks::map(inputs, OUTPUTS, new, |block, from, to, (field, light, shifted)| {
            let row = |lane: usize| (block * LANES + lane) as u64;
            let keys = std::array::from_fn(|lane| self.shots.number(moment.shots + row(lane)));
            let seconds = std::array::from_fn(|lane| moment.seconds + latency + shot * row(lane) as f64);
            Arch::new().dispatch(Expose { bench: self, inputs: from, mask: &mask, seconds: &seconds, field });
            if let Some(waves) = &self.waves {
                Self::propagate(waves, field, light);
            }
            let scene = Scene { keys: &keys, seconds: &seconds, light, shifted };
            Arch::new().dispatch(Read { bench: self, field, scene, outputs: to });
        })
    }
}

/// One block from inputs to the shaped field.
struct Expose<'a> {
    bench: &'a Bench,
    inputs: &'a [Lanes<f32>],
    mask: &'a [Complex<f32>],
    seconds: &'a [f64; LANES],
    field: &'a mut Field<f32>,
}

impl WithSimd for Expose<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<V: Simd>(self, _: V) {
        let mut open = [[0.0; LANES]; super::INPUTS];
        for (open, inputs) in open.iter_mut().zip(self.inputs) {
            *open = inputs.map(|input| self.bench.transmit(input));
        }
        self.bench.shaper.shape(&open, self.mask, self.field);
        self.bench.drifts.turn(self.seconds, self.field);
    }
}

/// What a block's spectrometer sees, and when.
struct Scene<'a> {
    keys: &'a [Key; LANES],
    seconds: &'a [f64; LANES],
    light: &'a mut [Lanes<f32>],
    shifted: &'a mut [Lanes<f32>],
}

/// One block from the shaped field, or from light that the waves have made, to readings.
struct Read<'a> {
    bench: &'a Bench,
    field: &'a mut Field<f32>,
    scene: Scene<'a>,
    outputs: &'a mut [Lanes<f32>],
}

impl WithSimd for Read<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<V: Simd>(self, _: V) {
        let Self { bench, field, scene: Scene { keys, seconds, light, shifted }, outputs } = self;
        if bench.waves.is_none() {
            convolve(&bench.transform, field);
            intensity(field, light);
        }
        let laser = keys.map(|key| key.number(u64::MAX));
        let [mut power, mut tilt] = normal_pair(&laser, 0);
        let drift = bench.drifts.power.at(seconds);
        let shift = bench.drifts.registration.at(seconds);
        for lane in 0..LANES {
            power[lane] = power[lane].mul_add(bench.power_noise, 1.0 + drift[lane]);
            tilt[lane] *= bench.tilt_noise;
        }
        for (light, (&sensitivity, &place)) in light.iter_mut().zip(bench.sensitivity.iter().zip(&bench.places)) {
            for lane in 0..LANES {
                light[lane] *= sensitivity * tilt[lane].mul_add(place, power[lane]);
            }
        }
        let dark = [0.0; LANES];
        for sample in 0..SAMPLES {
            let below = if 0 < sample { light[sample - 1] } else { dark };
            let above = if sample + 1 < SAMPLES { light[sample + 1] } else { dark };
            for lane in 0..LANES {
                shifted[sample][lane] = (-0.5 * shift[lane]).mul_add(above[lane] - below[lane], light[sample][lane]);
            }
        }
        bench.readout.read(shifted, keys, outputs);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::optical::{INPUTS, OpticalCoupledWave, OpticalImperfections};
    use crate::{Built, Error};

    fn stimuli(shots: usize) -> (Batch, Vec<f32>) {
        let mut stream = Key::new(4).stream();
        let inputs = Batch::from_fn(shots, INPUTS, |_, _| stream.uniform());
        (inputs, (0..INPUTS).map(|_| stream.uniform()).collect())
    }

    fn built(change: impl Fn(&mut Optical)) -> Built {
        let mut optical = Optical::default();
        change(&mut optical);
        optical.build().unwrap()
    }

    fn largest_difference(a: &Batch, b: &Batch) -> f32 {
        a.values().iter().zip(b.values()).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max)
    }

    #[test]
    fn without_mismatch_and_imperfections_plant_twin_and_ideal_are_one() {
        let clean = |mismatch| {
            move |optical: &mut Optical| {
                (optical.mismatch, optical.imperfections) = (mismatch, OpticalImperfections::none());
            }
        };
        let (inputs, controls) = stimuli(20);
        let Built { system, twin, ideal } = built(clean(0.0));
        let believed = twin.predict(&inputs, &controls);
        assert_eq!(believed, ideal.predict(&inputs, &controls));
        // The plant sums samples to pixels and pixels to bins; the twin's matrix has done both: equal but for rounding.
        let read = system.shoot(&inputs, &controls, Moment::default());
        assert!(largest_difference(&read, &believed) < 1e-6);
        let Built { system, twin, ideal } = built(clean(1.0));
        let read = system.shoot(&inputs, &controls, Moment { shots: 7, seconds: 1e5 });
        assert!(largest_difference(&read, &ideal.predict(&inputs, &controls)) < 1e-6);
        assert!(largest_difference(&read, &twin.predict(&inputs, &controls)) > 0.02);
    }

    #[test]
    fn a_shot_reads_the_same_in_any_batch_and_with_any_threads() {
        let (inputs, controls) = stimuli(37);
        let Built { system, ideal, .. } = built(|_| ());
        let moment = Moment { shots: 5, seconds: 100.0 };
        let all = system.shoot(&inputs, &controls, moment);
        for row in [0, 15, 16, 36] {
            let alone = Batch::new(INPUTS, inputs.row(row).to_vec()).unwrap();
            let then = Moment { shots: 5 + row as u64, seconds: 100.0 + 0.04 * row as f64 };
            assert_eq!(system.shoot(&alone, &controls, then).row(0), all.row(row));
            assert_eq!(ideal.predict(&alone, &controls).row(0), ideal.predict(&inputs, &controls).row(row));
        }
        let cotangents = system.shoot(&inputs, &controls, Moment::default());
        let with = |threads: usize| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            pool.install(|| {
                (system.shoot(&inputs, &controls, moment), ideal.pull_back(&inputs, &controls, &cotangents))
            })
        };
        assert_eq!(with(1), with(3));
        assert_eq!(with(1).0, all);
    }

    #[test]
    fn control_gradients_are_the_sum_over_the_shots() {
        let (inputs, controls) = stimuli(21);
        let Built { twin, .. } = built(|_| ());
        let cotangents = twin.predict(&inputs, &controls);
        let all = twin.pull_back(&inputs, &controls, &cotangents);
        let mut sum = [0.0; INPUTS];
        for row in 0..21 {
            let alone = |batch: &Batch| Batch::new(INPUTS, batch.row(row).to_vec()).unwrap();
            let one = twin.pull_back(&alone(&inputs), &controls, &alone(&cotangents));
            assert_eq!(one.inputs.row(0), all.inputs.row(row));
            sum.iter_mut().zip(&one.controls).for_each(|(sum, part)| *sum += part);
        }
        assert!(sum.iter().zip(&all.controls).all(|(a, b)| (a - b).abs() < 1e-4 * (1.0 + a.abs())));
    }

    #[test]
    fn repeats_scatter_as_configured() {
        let (inputs, controls) = stimuli(1);
        let repeats = Batch::from_fn(4000, INPUTS, |_, column| inputs.row(0)[column]);
        let Built { system, .. } = built(|optical| {
            optical.imperfections.power_per_hour = 0.0;
            optical.imperfections.phase_radians_per_hour = 0.0;
            optical.imperfections.registration_pixels_per_hour = 0.0;
            // So dim that nothing saturates.
            optical.exposure = 0.05;
        });
        let read = system.shoot(&repeats, &controls, Moment::default());
        for output in 1..OUTPUTS - 1 {
            let values: Vec<f64> = read.iter().map(|shot| f64::from(shot[output])).collect();
            let mean = values.iter().sum::<f64>() / 4000.0;
            let variance = values.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / 4000.0;
            let (light, place) = (mean - 0.04, position(output, OUTPUTS));
            let laser = light * light * (0.005_f64.powi(2) + (0.003 * place).powi(2));
            let pixels = super::super::path::bin_pixels(output).len() as f64;
            let expected = laser + 0.0044_f64.powi(2) / pixels;
            // Five standard errors of a variance over 4,000 repeats.
            assert!((variance / expected - 1.0).abs() < 0.12, "{output}: {variance:e} against {expected:e}");
        }
    }

    #[test]
    fn the_bench_drifts_with_its_own_clock() {
        let (inputs, controls) = stimuli(16);
        let Built { system, ideal, .. } = built(|optical| {
            let drifting = optical.imperfections;
            optical.imperfections = OpticalImperfections {
                power_per_hour: drifting.power_per_hour,
                phase_radians_per_hour: drifting.phase_radians_per_hour,
                registration_pixels_per_hour: drifting.registration_pixels_per_hour,
                ..OpticalImperfections::none()
            };
            optical.shot_seconds = 0.0;
        });
        let at = |hours: f64| system.shoot(&inputs, &controls, Moment { shots: 0, seconds: 3600.0 * hours });
        assert!(largest_difference(&at(0.0), &ideal.predict(&inputs, &controls)) < 1e-6);
        let [minute, hour] = [1.0 / 60.0, 1.0].map(|hours| largest_difference(&at(hours), &at(0.0)));
        assert!(0.0 < minute && minute < 0.2 * hour && 0.001 < hour && hour < 0.2, "{minute}, {hour}");
    }

    #[test]
    fn every_drive_in_range_is_read_in_range() {
        let mut stream = Key::new(9).stream();
        let mut wave = || if stream.uniform() < 0.5 { 0.0 } else { 1.0 };
        let inputs = Batch::from_fn(200, INPUTS, |row, _| if row < 2 { row as f32 } else { wave() });
        let controls: Vec<f32> = (0..INPUTS).map(|_| wave()).collect();
        for exposure in [0.2, 100.0] {
            let Built { system, twin, ideal } = built(|optical| optical.exposure = exposure);
            let read = system.shoot(&inputs, &controls, Moment::default());
            assert!(read.values().iter().all(|value| (0.0..=1.0).contains(value)));
            for model in [twin, ideal] {
                let pulled = model.pull_back(&inputs, &controls, &read);
                assert!(pulled.inputs.values().iter().chain(&pulled.controls).all(|value| value.is_finite()));
            }
        }
    }

    #[test]
    fn weak_coupled_waves_read_as_the_undepleted_limit() {
        let (inputs, controls) = stimuli(3);
        let read = |fidelity, conversion| {
            let Built { system, .. } = built(|optical| {
                (optical.fidelity, optical.imperfections) = (fidelity, OpticalImperfections::none());
                optical.coupled_wave = OpticalCoupledWave { conversion, ..OpticalCoupledWave::default() };
            });
            system.shoot(&inputs, &controls, Moment::default())
        };
        let limit = read(OpticalFidelity::Undepleted, 1.0);
        let weak = largest_difference(&read(OpticalFidelity::CoupledWave, 1e-5), &limit);
        let strong = largest_difference(&read(OpticalFidelity::CoupledWave, 0.3), &limit);
        // What remains at low power is the dispersion that the limit leaves out.
        assert!(weak < 6e-3 && 10.0 * weak < strong, "{weak}, {strong}");
    }

    #[test]
    fn the_shaper_rounds_and_the_controls_say_so() {
        let Built { system, .. } = built(|_| ());
        let settled = system.settle(&[0.5, 0.1, 1.0]);
        assert_eq!(settled, [0.5, 77.0 / 768.0, 1.0]);
        assert_eq!(system.settle(&settled), settled);
        assert_eq!(system.card().identity.serial, "simulated-1");
    }

    #[test]
    fn coefficients_without_sense_are_refused() {
        let refused = |change: fn(&mut Optical)| {
            let mut optical = Optical::default();
            change(&mut optical);
            optical.build().map(|_| ()).unwrap_err()
        };
        let error = refused(|optical| optical.pulse_seconds = 0.0);
        assert_eq!(error.to_string(), "optical: `pulse_seconds` = 0 s makes no sense: it must be above 0");
        let name =
            |error: Error| matches!(error, Error::Coefficient { name: "imperfections.power_noise" | "mismatch", .. });
        assert!(name(refused(|optical| optical.imperfections.power_noise = f64::NAN)));
        assert!(name(refused(|optical| optical.mismatch = -1.0)));
    }
}
