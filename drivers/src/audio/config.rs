//! What a rig file says of an audio interface and of the sync chirp.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{Error, Ports, WaveformConfig};

/// A chirp of fewer samples is too short to be found.
const FEWEST_SAMPLES: usize = 64;

/// A mechanical plant between the output and the input of one audio interface.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct AudioPlateConfig {
    /// The interface, such as `audio://hw:CARD=Box,DEV=0`.
    pub address: String,
    /// What is wired to what, in words.
    pub wiring: String,
    /// How shots become sound.
    pub waveform: WaveformConfig,
    /// Where the drive goes out.
    #[serde(default)]
    pub output: AudioChannelConfig,
    /// Where the microphone comes in.
    #[serde(default)]
    pub input: AudioChannelConfig,
    /// Frames that the interface asks for or gives at a time. More of them lose less sound on a busy computer and answer later.
    #[serde(default = "buffer_frames")]
    #[schemars(range(min = 1))]
    pub buffer_frames: u32,
    /// The chirp before and after each burst.
    #[serde(default)]
    pub sync: SyncConfig,
}

/// One channel of an audio interface.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct AudioChannelConfig {
    /// Which: 1 is the first.
    #[schemars(range(min = 1))]
    pub channel: u16,
    /// What digital full scale is at the plant, in V, with the gains between interface and plant.
    pub full_scale_volts: f32,
}

/// The sync chirp: a sine as long as a shot whose frequency rises.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct SyncConfig {
    /// Its amplitude, in V.
    #[schemars(extend("exclusiveMinimum" = 0))]
    pub volts: f32,
    /// Where it begins, in Hz.
    #[schemars(range(min = 0))]
    pub low_hertz: f64,
    /// Where it ends, in Hz.
    #[schemars(extend("exclusiveMinimum" = 0))]
    pub high_hertz: f64,
    /// How long after it was played it may be heard at most, in s.
    #[schemars(range(max = 10), extend("exclusiveMinimum" = 0))]
    pub search_seconds: f64,
    /// How many times higher than anything else its correlation must be.
    #[schemars(extend("exclusiveMinimum" = 1))]
    pub peak_to_sidelobe: f32,
    /// By how many frames the latency may change from burst to burst, and within one.
    #[schemars(range(min = 0.6, max = 100))]
    pub drift_frames: f64,
}

fn buffer_frames() -> u32 {
    960
}

impl Default for AudioChannelConfig {
    fn default() -> Self {
        Self { channel: 1, full_scale_volts: 1.0 }
    }
}

impl Default for SyncConfig {
    fn default() -> Self {
        Self {
            volts: 0.5,
            low_hertz: 200.0,
            high_hertz: 8000.0,
            search_seconds: 1.0,
            peak_to_sidelobe: 3.0,
            drift_frames: 1.0,
        }
    }
}

impl AudioPlateConfig {
    /// Refuses what makes no sense.
    pub fn check(&self) -> Result<(), Error> {
        self.waveform.check()?;
        let waveform = &self.waveform;
        if waveform.samples < FEWEST_SAMPLES {
            let message = format!(
                "is {}: a chirp is as long as a shot and is found from {FEWEST_SAMPLES} samples on",
                waveform.samples
            );
            return refuse("waveform.samples", message);
        }
        if self.sample_hertz().is_none() {
            return refuse(
                "waveform.sample_rate_hertz",
                format!("is {} Hz: an audio interface counts in whole Hz", waveform.sample_rate_hertz),
            );
        }
        if waveform.burst_samples < 3 * waveform.period() {
            let least = 3 * waveform.period();
            return refuse(
                "waveform.burst_samples",
                format!("is {}, but two chirps and a shot, each with its rest, take {least}", waveform.burst_samples),
            );
        }
        if self.buffer_frames == 0 {
            return refuse("buffer_frames", "is 0: give the frames that the interface handles at a time".to_owned());
        }
        for (key, channel, name, volts) in [
            ("output", &self.output, "drive_volts", waveform.drive_volts),
            ("input", &self.input, "reading_volts", waveform.reading_volts),
        ] {
            if channel.channel == 0 {
                return refuse(&format!("{key}.channel"), "is 0: the first channel is 1".to_owned());
            }
            let full = channel.full_scale_volts;
            if !(full.is_finite() && volts <= full) {
                let message = format!("is {full} V: it must reach the {volts} V of `waveform.{name}`");
                return refuse(&format!("{key}.full_scale_volts"), message);
            }
        }
        self.sync.check(waveform)
    }

    /// The sample rate as audio interfaces count it, if it is a whole number.
    pub(super) fn sample_hertz(&self) -> Option<u32> {
        let hertz = self.waveform.sample_rate_hertz;
        (hertz.fract() == 0.0 && (1.0..=f64::from(u32::MAX)).contains(&hertz)).then_some(hertz as u32)
    }

    /// The ports of such a plate.
    pub fn ports(&self) -> Ports {
        let mut ports = self.waveform.ports(vec![]);
        ports.outputs.iter_mut().for_each(|bank| "microphone".clone_into(&mut bank.name));
        ports
    }

    /// The chirp, in V: one shot long, faded in and out over a tenth of it.
    pub fn chirp(&self) -> Vec<f32> {
        use std::f64::consts::PI;
        let (SyncConfig { volts, low_hertz, high_hertz, .. }, waveform) = (&self.sync, &self.waveform);
        let (count, rate) = (waveform.samples as f64, waveform.sample_rate_hertz);
        let sweep = (high_hertz - low_hertz) * rate / count;
        let sample = |index: usize| {
            let seconds = index as f64 / rate;
            let phase = 2.0 * PI * (low_hertz + 0.5 * sweep * seconds) * seconds;
            let edge = (index as f64 + 0.5).min(count - index as f64 - 0.5) / (0.1 * count);
            let fade = 0.5 - 0.5 * (PI * edge.min(1.0)).cos();
            (f64::from(*volts) * fade * phase.sin()) as f32
        };
        (0..waveform.samples).map(sample).collect()
    }
}

impl SyncConfig {
    fn check(&self, waveform: &WaveformConfig) -> Result<(), Error> {
        let nyquist = 0.5 * waveform.sample_rate_hertz;
        if !(0.0 < self.volts && self.volts <= waveform.drive_volts) {
            let message = format!("is {} V: give more than 0 and at most `waveform.drive_volts`", self.volts);
            return refuse("sync.volts", message);
        }
        if !(0.0 <= self.low_hertz && self.low_hertz < self.high_hertz && self.high_hertz <= nyquist) {
            let message = format!(
                "is {} Hz: it must lie above `sync.low_hertz` = {} Hz and at most at half the sample rate, {nyquist} Hz",
                self.high_hertz, self.low_hertz
            );
            return refuse("sync.high_hertz", message);
        }
        if !(0.0 < self.search_seconds && self.search_seconds <= 10.0) {
            let message = format!("is {} s: give more than 0 and at most 10", self.search_seconds);
            return refuse("sync.search_seconds", message);
        }
        if !(self.peak_to_sidelobe.is_finite() && 1.0 < self.peak_to_sidelobe) {
            let message = format!("is {}: give more than 1", self.peak_to_sidelobe);
            return refuse("sync.peak_to_sidelobe", message);
        }
        if !(0.6..=100.0).contains(&self.drift_frames) {
            let message = format!("is {}: give 0.6 to 100, for half a frame is lost by rounding", self.drift_frames);
            return refuse("sync.drift_frames", message);
        }
        Ok(())
    }
}

fn refuse(key: &str, message: String) -> Result<(), Error> {
    Err(Error::Description { key: key.to_owned(), message })
}
