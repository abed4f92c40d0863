//! The two streams of one audio interface, through cpal.
//!
//! Both run from opening to dropping. The callbacks share one lock, which is held for copies of a buffer only; what is kept has its
//! memory before it is heard.

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use cpal::traits::{DeviceTrait, HostTrait, StreamTrait};
use cpal::{
    BufferSize, ErrorKind, FromSample, Sample, SampleFormat, SizedSample, StreamConfig, SupportedStreamConfigRange,
};

use super::{AudioPlate, AudioPlateConfig, Duplex, Interface, Mark};
use crate::{Address, Error, LinkOptions};

/// What an interface may take until its first buffer.
const WITHIN: Duration = Duration::from_secs(4);
/// Buffers that go out before an interface is trusted: more than it asks for before it begins to play.
const RUNNING_BUFFERS: u64 = 4;
/// A stream that complains without saying of what is not asked again sooner.
const PAUSE: Duration = Duration::from_millis(5);
/// Formats that are spoken here, the best first.
const FORMATS: [SampleFormat; 3] = [SampleFormat::F32, SampleFormat::I32, SampleFormat::I16];

impl AudioPlate {
    /// Opens the interface of `config` around the plant called `system`, through the system's audio library.
    pub fn open(
        config: &AudioPlateConfig,
        system: &str,
        options: &LinkOptions,
        expected: &[f32],
    ) -> Result<Self, Error> {
        let (again, named) = (config.clone(), options.clone());
        Self::new(config, system, options, expected, Box::new(move || open(&again, &named)))
    }
}

/// What callbacks and plate share.
#[derive(Default)]
struct Sound {
    /// What is to be played, and how much of it was.
    burst: Vec<f32>,
    cursor: usize,
    /// Where the burst began, once it has.
    mark: Option<Mark>,
    /// Buffers of silence since the last burst.
    silent: u64,
    /// Frames played and heard so far.
    played: u64,
    heard: u64,
    /// What was heard from frame `kept_from` on, as far as there is memory for it.
    kept: Vec<f32>,
    kept_from: u64,
    xruns: u64,
    /// Whether a stream complains, and nothing has come since.
    troubled: bool,
    /// Why the interface is no longer there.
    lost: Option<String>,
}

#[derive(Default)]
struct Shared {
    sound: Mutex<Sound>,
    changed: Condvar,
}

impl Shared {
    fn locked(&self) -> MutexGuard<'_, Sound> {
        self.sound.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The output wants a buffer.
    fn fill<T: Sample + FromSample<f32>>(&self, buffer: &mut [T], channels: usize, channel: usize) {
        let mut sound = self.locked();
        if sound.cursor == 0 && !sound.burst.is_empty() {
            sound.mark = Some(Mark { played: sound.played, heard: sound.heard });
            sound.kept.clear();
            sound.kept_from = sound.heard;
        }
        sound.silent = if sound.burst.is_empty() { sound.silent + 1 } else { 0 };
        for frame in buffer.chunks_mut(channels) {
            let value = sound.burst.get(sound.cursor).copied();
            sound.cursor += usize::from(value.is_some());
            frame.fill(T::EQUILIBRIUM);
            if let Some(sample) = frame.get_mut(channel) {
                *sample = T::from_sample(value.unwrap_or_default());
            }
        }
        if sound.cursor == sound.burst.len() {
            sound.burst.clear();
            sound.cursor = 0;
        }
        sound.played += (buffer.len() / channels) as u64;
        sound.troubled = false;
        self.changed.notify_all();
    }

    /// The input has a buffer.
    fn take<T: Sample>(&self, buffer: &[T], channels: usize, channel: usize)
    where
        f32: FromSample<T>,
    {
        let mut sound = self.locked();
        let room = sound.kept.capacity() - sound.kept.len();
        let frames = buffer.chunks(channels).filter_map(|frame| frame.get(channel));
        sound.kept.extend(frames.take(room).map(|sample| sample.to_sample::<f32>()));
        sound.heard += (buffer.len() / channels) as u64;
        sound.troubled = false;
        self.changed.notify_all();
    }

    /// A stream reports something; called from its own thread.
    fn report(&self, error: &cpal::Error) {
        let mut sound = self.locked();
        match error.kind() {
            // After another route the frames are other ones.
            ErrorKind::Xrun | ErrorKind::DeviceChanged => sound.xruns += 1,
            ErrorKind::RealtimeDenied => {}
            ErrorKind::DeviceNotAvailable
            | ErrorKind::HostUnavailable
            | ErrorKind::PermissionDenied
            | ErrorKind::StreamInvalidated => sound.lost = Some(error.to_string()),
            // ALSA's plugin for PulseAudio fails so until the server has told it the time. cpal asks at once again, and holds the
            // lock so often that the answer cannot come in: so it is held up here.
            _ => {
                sound.xruns += u64::from(!sound.troubled);
                sound.troubled = true;
                drop(sound);
                std::thread::sleep(PAUSE);
            }
        }
        self.changed.notify_all();
    }
}

/// Both streams of one interface.
struct Streams {
    instrument: String,
    shared: Arc<Shared>,
    /// Frames that are kept beside the burst's own.
    spare: usize,
    _input: cpal::Stream,
    _output: cpal::Stream,
}

impl Streams {
    /// Waits until `done` says something.
    fn wait<T>(
        &self,
        within: Duration,
        what: &'static str,
        mut done: impl FnMut(&mut Sound) -> Option<T>,
    ) -> Result<T, Error> {
        let end = Instant::now() + within;
        let mut sound = self.shared.locked();
        loop {
            if let Some(message) = sound.lost.clone() {
                return Err(Error::Lost { instrument: self.instrument.clone(), message });
            }
            if let Some(value) = done(&mut sound) {
                return Ok(value);
            }
            let left = end.saturating_duration_since(Instant::now());
            if left.is_zero() {
                let (instrument, seconds) = (self.instrument.clone(), within.as_secs_f32());
                return Err(Error::Timeout { instrument, what, seconds });
            }
            let waited = self.shared.changed.wait_timeout(sound, left);
            sound = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
    }
}

impl Duplex for Streams {
    fn play(&mut self, frames: Vec<f32>) -> Result<Mark, Error> {
        {
            let mut sound = self.shared.locked();
            sound.kept = Vec::with_capacity(frames.len() + self.spare);
            sound.kept_from = sound.heard;
            (sound.burst, sound.cursor, sound.mark) = (frames, 0, None);
        }
        self.wait(WITHIN, "request for sound", |sound| sound.mark)
    }

    fn heard(&mut self, from: u64, count: usize, within: Duration) -> Result<Vec<f32>, Error> {
        self.wait(within, "sound", |sound| {
            let start = from.checked_sub(sound.kept_from)? as usize;
            sound.kept.get(start..start + count).map(<[f32]>::to_vec)
        })
    }

    fn xruns(&self) -> u64 {
        self.shared.locked().xruns
    }

    fn silence(&mut self, within: Duration) -> Result<(), Error> {
        let before = {
            let mut sound = self.shared.locked();
            sound.burst.clear();
            sound.cursor = 0;
            sound.silent
        };
        self.wait(within, "silence", |sound| (before < sound.silent).then_some(()))
    }
}

/// Opens both streams.
fn open(config: &AudioPlateConfig, options: &LinkOptions) -> Result<Interface, Error> {
    let device = find(options)?;
    let unreachable = |what: &str, error: &cpal::Error| Error::Unreachable {
        instrument: options.instrument.clone(),
        address: options.address.to_string(),
        message: format!("its {what} cannot be opened: {error}"),
    };
    let offered = device.supported_output_configs().map_err(|error| unreachable("output", &error))?;
    let output = choose(&offered.collect::<Vec<_>>(), config, "output")?;
    let offered = device.supported_input_configs().map_err(|error| unreachable("input", &error))?;
    let input = choose(&offered.collect::<Vec<_>>(), config, "input")?;
    let shared = Arc::<Shared>::default();
    let built = match input.1 {
        SampleFormat::F32 => listen::<f32>(&device, input.0, config, &shared),
        SampleFormat::I32 => listen::<i32>(&device, input.0, config, &shared),
        _ => listen::<i16>(&device, input.0, config, &shared),
    };
    let input = built.map_err(|error| unreachable("input", &error))?;
    let built = match output.1 {
        SampleFormat::F32 => speak::<f32>(&device, output.0, config, &shared),
        SampleFormat::I32 => speak::<i32>(&device, output.0, config, &shared),
        _ => speak::<i16>(&device, output.0, config, &shared),
    };
    let output = built.map_err(|error| unreachable("output", &error))?;
    input.play().map_err(|error| unreachable("input", &error))?;
    output.play().map_err(|error| unreachable("output", &error))?;
    let spare = ((config.sync.search_seconds + WITHIN.as_secs_f64()) * config.waveform.sample_rate_hertz) as usize;
    let streams = Streams { instrument: options.instrument.clone(), shared, spare, _input: input, _output: output };
    // Only an interface that plays and hears is open; what it asks for at first says nothing of that.
    let running = RUNNING_BUFFERS * u64::from(config.buffer_frames);
    streams.wait(WITHIN, "sound", |sound| (running <= sound.played && 0 < sound.heard).then_some(()))?;
    Ok(Interface { name: name(&device), duplex: Box::new(streams) })
}

/// The interface that the address names.
fn find(options: &LinkOptions) -> Result<cpal::Device, Error> {
    let unreachable = |message: String| Error::Unreachable {
        instrument: options.instrument.clone(),
        address: options.address.to_string(),
        message,
    };
    let Address::Audio { device: wanted } = &options.address else {
        return Err(Error::Description {
            key: "address".to_owned(),
            message: format!("is {}, which is no audio interface: write audio://NAME", options.address),
        });
    };
    let devices = cpal::default_host().devices().map_err(|error| unreachable(error.to_string()))?;
    let devices: Vec<cpal::Device> =
        devices.filter(|device| device.supports_input() && device.supports_output()).collect();
    if let Some(device) = devices.iter().find(|device| [id(device), name(device)].contains(wanted)) {
        return Ok(device.clone());
    }
    let known: Vec<String> = devices.iter().map(|device| format!("`{}`", id(device))).collect();
    let known = if known.is_empty() { "none".to_owned() } else { known.join(", ") };
    Err(unreachable(format!("there is no audio interface `{wanted}` that plays and records; there is {known}")))
}

/// What an address calls it.
pub(super) fn id(device: &cpal::Device) -> String {
    device.id().map(|id| id.id().to_owned()).unwrap_or_default()
}

/// What the system calls it.
pub(super) fn name(device: &cpal::Device) -> String {
    device.description().map(|description| description.name().to_owned()).unwrap_or_default()
}

/// The format with the fewest channels that has the one wanted, at the rate wanted.
fn choose(
    offered: &[SupportedStreamConfigRange],
    config: &AudioPlateConfig,
    direction: &str,
) -> Result<(StreamConfig, SampleFormat), Error> {
    let refuse = |key: String, message: String| Err(Error::Description { key, message });
    let rate = config.waveform.sample_rate_hertz;
    let at_rate = offered
        .iter()
        .filter(|range| (f64::from(range.min_sample_rate())..=f64::from(range.max_sample_rate())).contains(&rate));
    let at_rate: Vec<_> = at_rate.collect();
    let Some(sample_rate) = config.sample_hertz().filter(|_| !at_rate.is_empty()) else {
        let rates: std::collections::BTreeSet<String> =
            offered.iter().map(|range| format!("{}–{} Hz", range.min_sample_rate(), range.max_sample_rate())).collect();
        let rates = rates.into_iter().collect::<Vec<_>>().join(", ");
        let message = format!("is {rate} Hz, which the {direction} does not offer: it offers {rates}");
        return refuse("waveform.sample_rate_hertz".to_owned(), message);
    };
    let channel = if direction == "input" { config.input.channel } else { config.output.channel };
    let place = |range: &SupportedStreamConfigRange| FORMATS.iter().position(|format| *format == range.sample_format());
    let fitting = at_rate.iter().filter(|range| channel <= range.channels());
    let best = fitting
        .filter_map(|range| Some((range.channels(), place(range)?, range.sample_format())))
        .min_by_key(|(channels, place, _)| (*channels, *place));
    let Some((channels, _, format)) = best else {
        let most = at_rate.iter().map(|range| range.channels()).max().unwrap_or_default();
        let message = format!(
            "is {channel}, but the {direction} has {most} channels in a format that is spoken here: f32, i32, i16"
        );
        return refuse(format!("{direction}.channel"), message);
    };
    Ok((StreamConfig { channels, sample_rate, buffer_size: BufferSize::Fixed(config.buffer_frames) }, format))
}

/// The stream that hears.
fn listen<T: SizedSample>(
    device: &cpal::Device,
    stream: StreamConfig,
    config: &AudioPlateConfig,
    shared: &Arc<Shared>,
) -> Result<cpal::Stream, cpal::Error>
where
    f32: FromSample<T>,
{
    let (heard, reported) = (shared.clone(), shared.clone());
    let (channels, channel) = (usize::from(stream.channels), usize::from(config.input.channel - 1));
    device.build_input_stream(
        stream,
        move |buffer: &[T], _| heard.take(buffer, channels, channel),
        move |error| reported.report(&error),
        None,
    )
}

/// The stream that plays.
fn speak<T: SizedSample + FromSample<f32>>(
    device: &cpal::Device,
    stream: StreamConfig,
    config: &AudioPlateConfig,
    shared: &Arc<Shared>,
) -> Result<cpal::Stream, cpal::Error> {
    let (wanted, reported) = (shared.clone(), shared.clone());
    let (channels, channel) = (usize::from(stream.channels), usize::from(config.output.channel - 1));
    device.build_output_stream(
        stream,
        move |buffer: &mut [T], _| wanted.fill(buffer, channels, channel),
        move |error| reported.report(&error),
        None,
    )
}
