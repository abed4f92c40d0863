//! An optical bench: a shaper that gives each spectral channel its transmission, and a spectrometer that reads what comes out.
//!
//! Inputs `data` and controls `mask`, transmissions in 0..1, are interleaved over the channels: channel 2k is input k, channel
//! 2k+1 is control k. Outputs `spectrum`, in fractions of full scale, are averages over runs of the
//! spectrometer's pixels, as equal as their number allows. A shot is: write the mask, wait until it has settled, throw away the frames that may have begun before, read the next.

use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::lightcrafter::{LightCrafter, MirrorCode, ShaperRequest};
use crate::ocean_obp::{OceanObp, SpectrometerReply, SpectrometerRequest, Spectrum, run};
use crate::{
    Address, Allowance, Bank, Batch, Card, Error, Identity, Link, LinkOptions, LinkWatch, Origin, Plant, Ports, Range,
    SafeOrder, Timing,
};

/// A dark mask that takes longer than this, twice, has failed.
const SAFE_WITHIN: Duration = Duration::from_secs(1);
/// How often a shot is repeated whose answer was lost.
const RETRIES: u32 = 5;
/// How often in a row a spectrometer may send an old frame.
const MOST_OLD: u32 = 20;
/// Whoever wants something else is asked only where the mirrors take longer than this to stand still, in s.
const SHORT: f64 = 0.1;

/// A shaper and a spectrometer in a rig file.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SpectralBenchConfig {
    /// The optical path in words.
    pub wiring: String,
    /// Channels of data.
    #[serde(default = "fifty")]
    #[schemars(range(min = 1, max = 65_536))]
    pub inputs: usize,
    /// Channels of mask: as many.
    #[serde(default = "fifty")]
    #[schemars(range(min = 1, max = 65_536))]
    pub controls: usize,
    /// Readings: the spectrometer's pixels in as many runs, which differ by one pixel at most.
    #[serde(default = "fifty")]
    #[schemars(range(min = 1, max = 65_536))]
    pub outputs: usize,
    /// The deadline of one image or spectrum beyond the light's own time, in s.
    #[serde(default = "deadline")]
    #[schemars(range(min = 0.001, max = 3600))]
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
    /// From when it has taken an image to when its mirrors stand still and the light has followed, in s: waited for before each shot is
    /// read. A mirror array that shows images at 60 Hz may take 1/60 s.
    #[serde(default)]
    #[schemars(range(min = 0, max = 60))]
    pub settle_seconds: f64,
}

/// The spectrometer.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SpectrometerConfig {
    /// Where it listens, such as `serial:///dev/ttyUSB0?baud=115200`.
    pub address: String,
    /// Integration time, in s.
    #[schemars(range(min = 1e-6, max = 60))]
    pub integration_seconds: f64,
    /// The code that stands for 1, in codes of its converter.
    #[schemars(range(min = 1, max = 4_294_967_295_u32))]
    pub full_scale_codes: u32,
    /// Frames thrown away after each change of the mask.
    #[serde(default = "one")]
    #[schemars(range(max = 1000))]
    pub discard: u32,
    /// Whether requests carry an MD5.
    #[serde(default)]
    pub md5: bool,
    /// How many pixels its spectra have: one of another length is refused. Left out, any length that has a pixel for each reading is taken, and
    /// `pnnlab serve` serves 20 pixels for each reading.
    #[serde(default)]
    #[schemars(range(min = 1, max = 65_536))]
    pub pixels: Option<usize>,
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
        let seconds = self.shaper.settle_seconds;
        if !(0.0..=60.0).contains(&seconds) {
            return refuse("shaper.settle_seconds", format!("is {seconds} s: give 0 to 60"));
        }
        let seconds = self.spectrometer.integration_seconds;
        if !(1e-6..=60.0).contains(&seconds) {
            return refuse("spectrometer.integration_seconds", format!("is {seconds} s: give 1e-6 to 60"));
        }
        if self.spectrometer.full_scale_codes == 0 {
            return refuse("spectrometer.full_scale_codes", "is 0: give the converter's largest code".to_owned());
        }
        if let Some(pixels) = self.spectrometer.pixels.filter(|pixels| *pixels < self.outputs) {
            let outputs = self.outputs;
            return refuse(
                "spectrometer.pixels",
                format!("is {pixels}: give at least one for each of {outputs} outputs"),
            );
        }
        Ok(())
    }

    /// The ports of such a bench.
    pub fn ports(&self) -> Ports {
        let bank = |name: &str, count| vec![Bank::new(name, count, "1", Range::new(0.0, 1.0))];
        Ports {
            inputs: bank("data", self.inputs),
            controls: bank("mask", self.controls),
            outputs: bank("spectrum", self.outputs),
        }
    }
}

/// The plant between a shaper and a spectrometer.
pub struct SpectralBench {
    config: SpectralBenchConfig,
    card: Card,
    shaper: Link<LightCrafter>,
    spectrometer: Link<OceanObp>,
    /// The controls as they were asked for, and as the mirrors can make them.
    controls: Vec<f32>,
    mask: Vec<MirrorCode>,
    /// Whether the mask has been shown.
    is_shown: bool,
    /// The opening of the shaper's port on which a mask was last shown since the safe state.
    shown_on: Option<u64>,
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
        let is_replay = [shaper, spectrometer].iter().any(|link| matches!(link.address, Address::Replay { .. }));
        let origin = match (is_replay, serial.contains("SIM")) {
            (true, _) => Origin::Replayed,
            (false, true) => Origin::Simulated,
            (false, false) => Origin::Real,
        };
        let frames = f64::from(1 + config.spectrometer.discard);
        let card = Card {
            identity: Identity { system: system.to_owned(), serial, origin },
            ports: config.ports(),
            timing: Timing {
                shot: config.shaper.settle_seconds + frames * config.spectrometer.integration_seconds,
                ..Timing::default()
            },
        };
        let shaper = Link::open(LightCrafter::new(&shaper.instrument), shaper)?;
        Ok(Self {
            config: config.clone(),
            card,
            shaper,
            spectrometer: link,
            controls: vec![0.0; config.controls],
            mask: vec![MirrorCode::nearest(0.0); config.controls],
            is_shown: true,
            shown_on: None,
            allowance: Allowance::default(),
        })
    }

    /// Its links.
    pub fn watches(&self) -> Vec<LinkWatch> {
        vec![self.shaper.watch(), self.spectrometer.watch()]
    }

    /// Blocks all light over a connection of its own, whoever holds the shaper.
    pub fn make_safe_beside(shaper: &LinkOptions) -> Result<(), Error> {
        Link::open_beside(LightCrafter::new(&shaper.instrument), shaper)?.insist(ShaperRequest::Dark, SAFE_WITHIN)
    }

    /// Blocks all light once more when `time` is over: a mirror array cannot say what it shows.
    pub fn stays_safe_beside(shaper: &LinkOptions, time: Duration) -> Result<(), Error> {
        std::thread::sleep(time);
        Self::make_safe_beside(shaper)
    }

    /// What the guard must say to the shaper when this program has died.
    pub fn safe_order(shaper: &LinkOptions) -> SafeOrder {
        SafeOrder::dark(&shaper.instrument, &shaper.address)
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
        let within = self.deadline();
        // Where one of them is not there, no light is sent.
        let opening = self.shaper.ready(within)?;
        self.spectrometer.ready(within + self.integration())?;
        if !std::mem::take(is_paid) {
            self.allowance.spend_rows([inputs])?;
        }
        if self.walk_back(opening)? {
            self.allowance.stay();
        }
        self.shaper.ask_on(opening, ShaperRequest::Show(codes.to_vec()), within)?;
        (self.is_shown, self.shown_on) = (true, Some(opening));
        self.settle()?;
        for _ in 0..self.config.spectrometer.discard {
            self.frame(inputs)?;
        }
        self.frame(inputs)
    }

    /// Where the shaper was lost since it last showed a mask, nobody knows what it shows: the safe state is shown, and from there the way
    /// back to the mask, step by step as `slew` allows. Whether it was lost.
    fn walk_back(&mut self, opening: u64) -> Result<bool, Error> {
        if self.shown_on.is_none_or(|shown| shown == opening) {
            return Ok(false);
        }
        let safe = vec![0.0; self.config.controls];
        self.allowance.leave_for(&safe);
        self.show_mask(opening, &masked(&safe))?;
        self.allowance.fall();
        while let Some(step) = self.allowance.next_to(&self.controls)? {
            self.allowance.step_to(&step)?;
            self.show_mask(opening, &masked(&step))?;
            self.allowance.arrive_at(&step);
        }
        self.allowance.step_to(&self.controls)?;
        self.allowance.arrive_at(&self.controls);
        Ok(true)
    }

    /// Shows the mask alone, all data dark.
    fn show_mask(&self, opening: u64, mask: &[MirrorCode]) -> Result<(), Error> {
        let codes = mask.iter().flat_map(|&mask| [MirrorCode::nearest(0.0), mask]).collect();
        self.shaper.ask_on(opening, ShaperRequest::Show(codes), self.deadline())?;
        self.settle()
    }

    /// Waits until the mirrors stand still: the shaper's answer says that an image has come, not that it is shown.
    ///
    /// Fails where somebody wants something else meanwhile.
    fn settle(&self) -> Result<(), Error> {
        let seconds = self.config.shaper.settle_seconds;
        if seconds <= SHORT {
            std::thread::sleep(Duration::from_secs_f64(seconds));
            return Ok(());
        }
        self.allowance.rest_for(seconds)
    }

    /// Shows the mask that no shot has shown yet.
    fn show_pending(&mut self) -> Result<(), Error> {
        let mut attempt = 1;
        while !self.is_shown {
            let shown = self.shaper.ready(self.deadline()).and_then(|opening| {
                self.walk_back(opening)?;
                self.show_mask(opening, &self.mask)?;
                (self.is_shown, self.shown_on) = (true, Some(opening));
                Ok(())
            });
            if let Err(error) = shown
                && (!error.is_retryable() || RETRIES <= attempt)
            {
                return Err(error);
            }
            attempt += 1;
        }
        Ok(())
    }

    /// The next frame. For each old one that comes instead the light shines once more, which is counted before it is asked again.
    fn frame(&mut self, inputs: &[f32]) -> Result<Spectrum, Error> {
        let within = self.deadline() + self.integration();
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

    fn deadline(&self) -> Duration {
        Duration::from_secs_f64(self.config.deadline_seconds)
    }

    fn integration(&self) -> Duration {
        Duration::from_secs_f64(self.config.spectrometer.integration_seconds)
    }

    /// The readings in a spectrum.
    fn average(&self, spectrum: &Spectrum) -> Result<Vec<f32>, Error> {
        let (pixels, outputs) = (spectrum.pixels.len(), self.config.outputs);
        if let Some(expected) = self.config.spectrometer.pixels.filter(|expected| *expected != pixels) {
            return Err(self.garbled(format!("sent {pixels} pixels, but `pixels` of its rig is {expected}")));
        }
        if pixels < outputs {
            return Err(self.garbled(format!("sent {pixels} pixels, which are not enough for {outputs} outputs")));
        }
        let full_scale = f64::from(self.config.spectrometer.full_scale_codes);
        let average = |output| {
            let run = &spectrum.pixels[run(pixels, outputs, output)];
            let sum: f64 = run.iter().copied().map(f64::from).sum();
            (sum / (run.len() as f64 * full_scale)) as f32
        };
        Ok((0..outputs).map(average).collect())
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
        // The mask goes out with the next shot: the device takes one image for both. One that another follows before is shown by itself,
        // or the steps of a way would become one.
        self.show_pending()?;
        (self.controls, self.mask, self.is_shown) = (controls.to_vec(), masked(controls), false);
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
        self.controls.fill(0.0);
        self.mask.fill(MirrorCode::nearest(0.0));
        (self.is_shown, self.shown_on) = (true, None);
        self.shaper.insist(ShaperRequest::Dark, SAFE_WITHIN)
    }

    fn spend_from(&mut self, allowance: Allowance) {
        self.allowance = allowance;
    }

    fn shots_at_once(&self) -> usize {
        1
    }
}

/// The mask that controls ask for.
fn masked(controls: &[f32]) -> Vec<MirrorCode> {
    controls.iter().map(|&control| MirrorCode::nearest(control)).collect()
}
