//! One output of the generator: its settings, and what it plays.

use super::data_sheet::{BUFFER, NOT_NORMALIZED, OUT_OF_RANGE};
use crate::scpi_box::ScpiError;

/// The waveforms, as they are written.
pub(super) const SHAPES: [&str; 9] = ["SINE", "SQUARE", "TRIANGLE", "SAWU", "SAWD", "DC", "PWM", "ARBITRARY", "DC_NEG"];
/// What triggers it, as it is written.
pub(super) const TRIGGERS: [&str; 4] = ["INT", "EXT_PE", "EXT_NE", "GATED"];
/// Largest output, either way, in V.
const MOST_VOLTS: f64 = 1.0;
/// A sample that lies closer to the next place of the buffer than this, in samples, is there: decimations are rounded.
const NEARLY: f64 = 0.02;

/// Settings of one output, and whether it is on.
#[derive(Debug, Clone)]
#[expect(clippy::struct_excessive_bools, reason = "each is a setting of the board with a command of its own")]
pub(super) struct Source {
    pub(super) is_on: bool,
    pub(super) shape: usize,
    pub(super) hertz: f64,
    pub(super) volts: f64,
    pub(super) offset: f64,
    pub(super) degrees: f64,
    pub(super) duty: f64,
    /// From −1 to 1.
    pub(super) data: Vec<f32>,
    pub(super) is_burst: bool,
    pub(super) cycles: f64,
    pub(super) repetitions: f64,
    /// From one burst to the next, in µs; 0 where one follows the other at once.
    pub(super) period: f64,
    /// What it gives before a burst, in V.
    pub(super) initial: f64,
    /// What it gives after a burst, in V.
    pub(super) last: f64,
    pub(super) trigger: usize,
    pub(super) has_fifty_ohms: bool,
    pub(super) sweeps: bool,
    pub(super) sweep_start: f64,
    pub(super) sweep_stop: f64,
    pub(super) sweep_micros: f64,
    pub(super) sweep_is_logarithmic: bool,
    pub(super) sweep_is_up_down: bool,
    pub(super) sweep_is_endless: bool,
    pub(super) sweep_count: f64,
}

impl Default for Source {
    fn default() -> Self {
        Self {
            is_on: false,
            shape: 0,
            hertz: 1000.0,
            volts: 1.0,
            offset: 0.0,
            degrees: 0.0,
            duty: 0.5,
            data: vec![],
            is_burst: false,
            cycles: 1.0,
            repetitions: 1.0,
            period: 0.0,
            initial: 0.0,
            last: 0.0,
            trigger: 0,
            has_fifty_ohms: false,
            sweeps: false,
            sweep_start: 1000.0,
            sweep_stop: 10_000.0,
            sweep_micros: 1_000_000.0,
            sweep_is_logarithmic: false,
            sweep_is_up_down: false,
            sweep_is_endless: true,
            sweep_count: 1.0,
        }
    }
}

impl Source {
    /// Refuses amplitude and offset that go beyond the output's range together.
    pub(super) fn check(&self) -> Result<(), ScpiError> {
        let fits = self.volts.abs() + self.offset.abs() <= MOST_VOLTS + 1e-9;
        if fits { Ok(()) } else { Err(OUT_OF_RANGE) }
    }

    /// From one burst to the next, in s: at least as long as a burst is.
    fn repeats_after(&self) -> f64 {
        (self.cycles / self.hertz).max(self.period * 1e-6)
    }

    /// Samples, at `rate` per second, from the trigger to the end of the last burst.
    pub(super) fn burst_samples(&self, rate: f64) -> usize {
        (((self.repetitions - 1.0) * self.repeats_after() + self.cycles / self.hertz) * rate).round() as usize
    }

    /// What it gives in V, `sample` samples after the trigger at `rate` per second; a burst is played only where it `plays`.
    pub(super) fn at(&self, sample: i64, rate: f64, plays: bool) -> f32 {
        let seconds = sample as f64 / rate;
        if !self.is_burst {
            return self.wave(self.cycle(seconds));
        }
        if !plays || self.burst_samples(rate) as i64 <= sample {
            return if plays { self.last as f32 } else { self.initial as f32 };
        }
        if sample < 0 {
            return self.initial as f32;
        }
        let within = seconds % self.repeats_after();
        if self.cycles <= within * self.hertz { self.last as f32 } else { self.wave(within * self.hertz) }
    }

    /// Cycles since the trigger.
    fn cycle(&self, seconds: f64) -> f64 {
        if !self.sweeps {
            return seconds * self.hertz;
        }
        let length = (self.sweep_micros * 1e-6).max(f64::MIN_POSITIVE);
        let whole = self.sweep_cycles(length, length);
        let sweeps = (seconds / length).floor();
        if !self.sweep_is_endless && self.sweep_count <= sweeps {
            return self.sweep_count * whole + (seconds - self.sweep_count * length) * self.sweep_stop;
        }
        let within = seconds - sweeps * length;
        // Every second sweep goes backwards where it goes up and down.
        let is_back = self.sweep_is_up_down && sweeps.rem_euclid(2.0) != 0.0;
        let part = if is_back {
            whole - self.sweep_cycles(length - within, length)
        } else {
            self.sweep_cycles(within, length)
        };
        sweeps * whole + part
    }

    /// Cycles of the first `seconds` of a sweep of `length` seconds.
    fn sweep_cycles(&self, seconds: f64, length: f64) -> f64 {
        let (start, stop) = (self.sweep_start, self.sweep_stop);
        if self.sweep_is_logarithmic && 0.0 < start && start != stop {
            let rate = (stop / start).ln() / length;
            return start * ((rate * seconds).exp() - 1.0) / rate;
        }
        seconds * (start + (stop - start) * seconds / (2.0 * length))
    }

    /// The waveform in V, `cycles` after its beginning.
    fn wave(&self, cycles: f64) -> f32 {
        let place = (cycles + self.degrees / 360.0).rem_euclid(1.0);
        let value = match SHAPES[self.shape] {
            "SINE" => (std::f64::consts::TAU * place).sin() as f32,
            "SQUARE" => either(place < 0.5),
            "TRIANGLE" => (1.0 - 4.0 * ((place + 0.25).rem_euclid(1.0) - 0.5).abs()) as f32,
            "SAWU" => (2.0 * place - 1.0) as f32,
            "SAWD" => (1.0 - 2.0 * place) as f32,
            "PWM" => either(place < self.duty),
            "ARBITRARY" => {
                let count = self.data.len();
                let index = (place * count as f64 + NEARLY) as usize;
                self.data.get(index % count.max(1)).copied().unwrap_or_default()
            }
            "DC_NEG" => -1.0,
            _ => 1.0,
        };
        value * self.volts as f32 + self.offset as f32
    }

    /// Takes a waveform of its own.
    pub(super) fn load(&mut self, data: &[f64]) -> Result<(), ScpiError> {
        if BUFFER < data.len() {
            return Err(ScpiError::TOO_MUCH_DATA);
        }
        if !data.iter().all(|value| value.abs() <= 1.0) {
            return Err(NOT_NORMALIZED);
        }
        self.data = data.iter().map(|value| *value as f32).collect();
        Ok(())
    }
}

/// One of the two levels of a square wave.
fn either(is_high: bool) -> f32 {
    if is_high { 1.0 } else { -1.0 }
}
