//! An optical bench: a shaper that gives each spectral channel its transmission, and a spectrometer that reads what comes out.
//!
//! Inputs `data` and controls `mask`, transmissions in 0..1, are interleaved over the channels: channel 2k is input k, channel
//! 2k+1 is control k. Outputs `spectrum`, in fractions of full scale, are averages over equal runs of the
//! spectrometer's pixels. A shot is: write the mask, throw away the frames that may have begun before, read the next.

use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::lightcrafter::{LightCrafter, MirrorCode, ShaperRequest};
use crate::ocean_obp::{OceanObp, SpectrometerReply, SpectrometerRequest, Spectrum};
use crate::{
    Address, Allowance, Bank, Batch, Card, Error, Identity, Link, LinkOptions, LinkWatch, Origin, Plant, Ports, Range,
    Timing,
};

/// A dark mask that takes longer than this, twice, has failed.
const SAFE_WITHIN: Duration = Duration::from_secs(1);
/// How often a shot is repeated whose answer was lost.
const RETRIES: u32 = 5;
/// How often in a row a spectrometer may send an old frame.
const MOST_OLD: u32 = 20;

/// A shaper and a spectrometer in a rig file.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SpectralBenchConfig {
    /// The optical path in words.
    pub wiring: String,
    /// Channels of data.
    #[serde(default = "fifty")]
    pub inputs: usize,
    /// Channels of mask: as many.
    #[serde(default = "fifty")]
    pub controls: usize,
    /// Readings: the spectrometer's pixels in as many equal runs.
    #[serde(default = "fifty")]
    pub outputs: usize,
    /// The deadline of one image or spectrum beyond the light's own time, in s.
    #[serde(default = "deadline")]
    pub deadline_seconds: f64,
    /// A TI DLP `LightCrafter`.
    pub shaper: ShaperConfig,
    /// A spectrometer that speaks the Ocean Binary Protocol.
    pub spectrometer: SpectrometerConfig,
}

/// The shaper.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ShaperConfig {
    /// Where it listens, such as `tcp://192.168.1.100:21845`.
    pub address: String,
}

/// The spectrometer.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SpectrometerConfig {
    /// Where it listens, such as `serial:///dev/ttyUSB0?baud=115200`.
    pub address: String,
    /// Integration time, in s.
    pub integration_seconds: f64,
    /// The code that stands for 1, in codes of its converter.
    pub full_scale_codes: u32,
    /// Frames thrown away after each change of the mask.
    #[serde(default = "one")]
    pub discard: u32,
    /// Whether requests carry an MD5.
    #[serde(default)]
    pub md5: bool,
}

fn fifty() -> usize {
    50
}

fn one() -> u32 {
    1
}

fn deadline() -> f64 {
    2.0
}

impl SpectralBenchConfig {
    /// Refuses what makes no sense.
    pub fn check(&self) -> Result<(), Error> {
        let refuse = |key: &str, message: String| Err(Error::Description { key: key.to_owned(), message });
        let channels = self.inputs + self.controls;
        if self.inputs == 0 || self.inputs != self.controls || crate::lightcrafter::COLUMNS < channels {
            let most = crate::lightcrafter::COLUMNS / 2;
            return refuse("inputs", format!("is {}: give 1 to {most}, and as many `controls`", self.inputs));
        }
        let seconds = self.deadline_seconds;
        if !(1e-3..=3600.0).contains(&seconds) {
            return refuse("deadline_seconds", format!("is {seconds} s: give 0.001 to 3600"));
        }
        if self.outputs == 0 {
            return refuse("outputs", "is 0: give at least 1".to_owned());
        }
        let seconds = self.spectrometer.integration_seconds;
        if !(1e-6..=60.0).contains(&seconds) {
            return refuse("spectrometer.integration_seconds", format!("is {seconds} s: give 1e-6 to 60"));
        }
        if self.spectrometer.full_scale_codes == 0 {
            return refuse("spectrometer.full_scale_codes", "is 0: give the converter's largest code".to_owned());
        }
        Ok(())
    }
}

/// The plant between a shaper and a spectrometer.
pub struct SpectralBench {
    config: SpectralBenchConfig,
    card: Card,
    shaper: Link<LightCrafter>,
    spectrometer: Link<OceanObp>,
    mask: Vec<MirrorCode>,
    allowance: Allowance,
}

impl SpectralBench {
    /// Opens both instruments around the plant called `system`. The mask stays as it is.
    pub fn open(
        config: &SpectralBenchConfig,
        system: &str,
        shaper: &LinkOptions,
        spectrometer: &LinkOptions,
    ) -> Result<Self, Error> {
        config.check()?;
        let micros = (config.spectrometer.integration_seconds * 1e6).round() as u32;
        let session = OceanObp::new(&spectrometer.instrument, micros, config.spectrometer.md5);
        let link = Link::open(session, spectrometer)?;
        let SpectrometerReply::Serial(serial) = link.ask(SpectrometerRequest::Serial, spectrometer.open_within)? else {
            let message = "sent a spectrum for its serial number".to_owned();
            return Err(Error::Garbled { instrument: spectrometer.instrument.clone(), message });
        };
        let bank = |name: &str, count| vec![Bank::new(name, count, "1", Range::new(0.0, 1.0))];
        let is_replay = [shaper, spectrometer].iter().any(|link| matches!(link.address, Address::Replay { .. }));
        let origin = match (is_replay, serial.contains("SIM")) {
            (true, _) => Origin::Replayed,
            (false, true) => Origin::Simulated,
            (false, false) => Origin::Real,
        };
        let frames = f64::from(1 + config.spectrometer.discard);
        let card = Card {
            identity: Identity { system: system.to_owned(), serial, origin },
            ports: Ports {
                inputs: bank("data", config.inputs),
                controls: bank("mask", config.controls),
                outputs: bank("spectrum", config.outputs),
            },
            timing: Timing { shot: frames * config.spectrometer.integration_seconds, ..Timing::default() },
        };
        let shaper = Link::open(LightCrafter::new(&shaper.instrument), shaper)?;
        let mask = vec![MirrorCode::nearest(0.0); config.controls];
        Ok(Self { config: config.clone(), card, shaper, spectrometer: link, mask, allowance: Allowance::default() })
    }

    /// Its links.
    pub fn watches(&self) -> Vec<LinkWatch> {
        vec![self.shaper.watch(), self.spectrometer.watch()]
    }

    /// Blocks all light over a connection of its own, whoever holds the shaper.
    pub fn make_safe_beside(shaper: &LinkOptions) -> Result<(), Error> {
        Link::open_beside(LightCrafter::new(&shaper.instrument), shaper)?.insist(ShaperRequest::Dark, SAFE_WITHIN)
    }

    /// Shows one shot and reads it, again if an answer was lost and the allowance allows it.
    fn shoot(&mut self, inputs: &[f32]) -> Result<Vec<f32>, Error> {
        let data = inputs.iter().map(|&value| MirrorCode::nearest(value));
        let codes: Vec<MirrorCode> = data.zip(&self.mask).flat_map(|(data, &mask)| [data, mask]).collect();
        let (mut attempt, mut is_paid) = (1, true);
        loop {
            match self.expose(inputs, &codes, &mut is_paid) {
                Ok(spectrum) => return self.average(&spectrum),
                Err(error) => {
                    self.spectrometer.watch().rejections().add_for(&error, 1);
                    if !error.is_retryable() || RETRIES <= attempt {
                        return Err(error);
                    }
                    attempt += 1;
                }
            }
        }
    }

    /// Shows one shot and reads a spectrum. The shot is counted before, unless it is paid for already.
    fn expose(&mut self, inputs: &[f32], codes: &[MirrorCode], is_paid: &mut bool) -> Result<Spectrum, Error> {
        let within = Duration::from_secs_f64(self.config.deadline_seconds);
        // Where one of them is not there, no light is sent.
        self.shaper.ready(within)?;
        self.spectrometer.ready(within + self.integration())?;
        if !std::mem::take(is_paid) {
            self.allowance.spend_rows([inputs])?;
        }
        self.shaper.ask(ShaperRequest::Show(codes.to_vec()), within)?;
        for _ in 0..self.config.spectrometer.discard {
            self.frame(inputs)?;
        }
        self.frame(inputs)
    }

    /// The next frame. For each old one that comes instead the light shines once more, which is counted before it is asked again.
    fn frame(&mut self, inputs: &[f32]) -> Result<Spectrum, Error> {
        let within = Duration::from_secs_f64(self.config.deadline_seconds) + self.integration();
        for asked in 0..MOST_OLD {
            if 0 < asked {
                self.allowance.spend_rows([inputs])?;
            }
            match self.spectrometer.ask(SpectrometerRequest::Read, within)? {
                SpectrometerReply::Spectrum(spectrum) => return Ok(spectrum),
                SpectrometerReply::Old => {}
                SpectrometerReply::Serial(_) => {
                    return Err(self.garbled("sent its serial number for a spectrum".to_owned()));
                }
            }
        }
        let instrument = self.spectrometer.watch().report().instrument;
        Err(Error::Rejected { instrument, message: format!("the same spectrum {MOST_OLD} times") })
    }

    fn integration(&self) -> Duration {
        Duration::from_secs_f64(self.config.spectrometer.integration_seconds)
    }

    /// The readings in a spectrum.
    fn average(&self, spectrum: &Spectrum) -> Result<Vec<f32>, Error> {
        let (pixels, outputs) = (spectrum.pixels.len(), self.config.outputs);
        if pixels == 0 || !pixels.is_multiple_of(outputs) {
            return Err(self.garbled(format!("has {pixels} pixels, which do not make {outputs} equal runs")));
        }
        let full_scale = f64::from(self.config.spectrometer.full_scale_codes);
        let average = |run: &[u32]| {
            let sum: f64 = run.iter().copied().map(f64::from).sum();
            (sum / (run.len() as f64 * full_scale)) as f32
        };
        Ok(spectrum.pixels.chunks_exact(pixels / outputs).map(average).collect())
    }

    fn garbled(&self, message: String) -> Error {
        Error::Garbled { instrument: self.spectrometer.watch().report().instrument, message }
    }
}

impl Plant for SpectralBench {
    fn card(&self) -> &Card {
        &self.card
    }

    fn apply(&mut self, controls: &[f32]) -> Result<Vec<f32>, Error> {
        // The mask goes out with the next shot: the device takes one image for both.
        self.mask = controls.iter().map(|&value| MirrorCode::nearest(value)).collect();
        Ok(self.mask.iter().map(|code| code.transmission()).collect())
    }

    fn measure(&mut self, inputs: &Batch) -> Result<Batch, Error> {
        let mut values = Vec::with_capacity(inputs.rows() * self.config.outputs);
        for row in inputs {
            values.extend(self.shoot(row)?);
        }
        Batch::new(self.config.outputs, values)
    }

    fn make_safe(&mut self) -> Result<(), Error> {
        self.mask.fill(MirrorCode::nearest(0.0));
        self.shaper.insist(ShaperRequest::Dark, SAFE_WITHIN)
    }

    fn spend_from(&mut self, allowance: Allowance) {
        self.allowance = allowance;
    }
}
