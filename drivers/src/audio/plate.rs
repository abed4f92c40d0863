//! The plant behind an audio interface: bursts, their alignment, and their repetition where sound was lost.

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use super::{Aligned, Aligner, AudioPlateConfig, Counts, Layout};
use crate::{
    Allowance, Batch, Card, Direction, Disturbance, Error, Identity, LinkOptions, LinkState, LinkWatch, Origin, Owned,
    Plant, Timing,
};

/// An interface that does not fall silent within this is closed.
const SAFE_WITHIN: Duration = Duration::from_secs(1);
/// What an interface may take beside the sound's own time.
const WITHIN: Duration = Duration::from_secs(2);
/// The first pause before a lost interface is looked for again, and the longest.
const PAUSES: [Duration; 2] = [Duration::from_millis(20), Duration::from_millis(320)];
/// While the chirp is looked for, what was heard is searched each time that it has grown by so many s.
const LOOK_SECONDS: f64 = 0.05;
/// From this part of full scale on a converter clips.
const CLIPPED: f32 = 0.999;

/// Where a burst begins: the frames that were asked for, and those that were heard, when its first frame went out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Mark {
    /// Frames played before.
    pub played: u64,
    /// Frames heard before.
    pub heard: u64,
}

/// An interface that plays and records all the time; what it is not told to play is silence. Sound is in parts of full scale.
pub trait Duplex: Send {
    /// Plays `frames` once, from the next frame that it asks for on, and keeps what it hears from now on.
    fn play(&mut self, frames: Vec<f32>) -> Result<Mark, Error>;

    /// The `count` frames from frame `from` on, waiting for them at most for `within`.
    fn heard(&mut self, from: u64, count: usize, within: Duration) -> Result<Vec<f32>, Error>;

    /// How often it has reported that sound was lost.
    fn xruns(&self) -> u64;

    /// Forgets what it has still to play, and waits until silence goes out.
    fn silence(&mut self, within: Duration) -> Result<(), Error>;
}

/// An opened interface.
pub struct Interface {
    /// What it says that it is.
    pub name: String,
    /// Its sound.
    pub duplex: Box<dyn Duplex>,
}

/// Opens the interface; called again where it was lost.
pub type Open = Box<dyn FnMut() -> Result<Interface, Error> + Send>;

/// What was found about the latency.
#[derive(Debug, Clone, Copy)]
struct Lock {
    /// Frames heard before a frame less frames played before it, rounded.
    offset: i64,
    /// What was rounded off.
    fraction: f64,
    /// The interface's xruns then: after another one the counts of frames mean nothing.
    xruns: u64,
    /// Frames played before.
    played: u64,
}

/// A mechanical plant between the output and the input of an audio interface.
pub struct AudioPlate {
    config: AudioPlateConfig,
    card: Card,
    chirp: Vec<f32>,
    aligner: Aligner,
    open: Open,
    duplex: Option<Box<dyn Duplex>>,
    lock: Option<Lock>,
    counts: Counts,
    watch: LinkWatch,
    /// Where chirps, and shots that are played again, are counted.
    allowance: Allowance,
    /// Given back when the plate is dropped.
    _owned: Option<Arc<Mutex<Owned>>>,
}

impl AudioPlate {
    /// Takes and opens the interface around the plant called `system`; only silence goes out. `expected` is what the microphone
    /// should hear of a [`chirp`](AudioPlateConfig::chirp), in V.
    pub fn new(
        config: &AudioPlateConfig,
        system: &str,
        options: &LinkOptions,
        expected: &[f32],
        mut open: Open,
    ) -> Result<Self, Error> {
        config.check()?;
        let owned = Owned::of(options)?;
        let owner = owned.as_ref().map(|owned| owned.holder().to_string()).unwrap_or_default();
        let owned = owned.map(|owned| Arc::new(Mutex::new(owned)));
        let watch = LinkWatch::new(&options.instrument, &options.address, owner, owned.as_ref());
        let interface = open()?;
        watch.opened();
        let heard: Vec<f32> = expected.iter().map(|volts| volts / config.input.full_scale_volts).collect();
        Ok(Self {
            config: config.clone(),
            card: card(config, system, interface.name),
            chirp: config.chirp(),
            aligner: Aligner::new(&heard),
            open,
            duplex: Some(interface.duplex),
            lock: None,
            counts: Counts::default(),
            watch,
            allowance: Allowance::default(),
            _owned: owned,
        })
    }

    /// The link of its interface.
    pub fn watch(&self) -> LinkWatch {
        self.watch.clone()
    }

    /// What was counted and found so far.
    pub fn counts(&self) -> Counts {
        self.counts
    }

    /// One burst, played again a few times where that can help.
    fn burst(&mut self, rows: &[&[f32]]) -> Result<Vec<f32>, Error> {
        let start = Instant::now();
        let (mut tries, mut is_paid) = (1, true);
        loop {
            let error = match self.attempt(rows, &mut is_paid) {
                Ok(readings) => {
                    self.counts.bursts += 1;
                    self.watch.answered("burst", start.elapsed());
                    self.watch.remark(self.counts.to_string());
                    return Ok(readings);
                }
                Err(error) => error,
            };
            self.lock = None;
            self.watch.state(LinkState::Dirty);
            self.watch.failed(&error);
            self.watch.rejections().add_for(&error, rows.len());
            if error.breaks_link() {
                self.duplex = None;
            }
            if !error.is_retryable() || self.config.waveform.retries < tries {
                self.watch.remark(self.counts.to_string());
                return Err(after(error, tries));
            }
            self.counts.repeated += 1;
            tries += 1;
        }
    }

    /// Plays a burst once and takes its readings, unless something was wrong with it. Its shots are counted first, unless they are paid
    /// for already.
    fn attempt(&mut self, rows: &[&[f32]], is_paid: &mut bool) -> Result<Vec<f32>, Error> {
        let disturbance = self.watch.disturbed();
        if disturbance == Some(Disturbance::ClosePort) {
            self.watch.state(LinkState::Dirty);
            (self.duplex, self.lock) = (None, None);
        }
        let xruns = self.duplex()?.xruns();
        let lock = match self.lock {
            Some(lock) if lock.xruns == xruns => lock,
            Some(lock) => {
                self.counts.xruns += xruns - lock.xruns;
                self.find()?
            }
            None => self.find()?,
        };
        let layout = Layout::new(&self.config.waveform, rows.len());
        let chirp = self.chirp.clone();
        self.allowance.spend_rows([&chirp[..], &chirp])?;
        if !std::mem::take(is_paid) {
            self.allowance.spend_rows(rows.iter().copied())?;
        }
        let shots = std::iter::once(&chirp[..]).chain(rows.iter().copied()).chain([&chirp[..]]);
        let mark = self.play(shots)?;
        if disturbance == Some(Disturbance::LoseAnswer) {
            return Err(self.lost("its answer was given up by a check"));
        }
        // Where the burst's first frame should be heard, and a margin before it.
        let first = mark.played.saturating_add_signed(lock.offset);
        let from = first.saturating_sub(layout.margin() as u64).max(mark.heard);
        let Some(start) = first.checked_sub(from) else {
            self.counts.xruns += 1;
            return Err(self.xrun("the latency fell below nothing".to_owned()));
        };
        let start = start as usize;
        let heard = self.hear(from, start + layout.end() + layout.margin())?;
        let at = self.accept(&heard, start, &layout, lock)?;
        let drift = at - lock.fraction;
        if self.config.sync.drift_frames < drift.abs() {
            self.counts.drifts += 1;
            let seconds = (mark.played - lock.played) as f64 / self.config.waveform.sample_rate_hertz;
            return Err(Error::Drift { instrument: self.instrument(), frames: drift, seconds, tries: 1 });
        }
        let full_scale = self.config.input.full_scale_volts;
        Ok(layout.split(&heard, start).flatten().map(|value| full_scale * value).collect())
    }

    /// How far the burst is from where it was expected, in frames, if nothing was lost of it.
    fn accept(&mut self, heard: &[f32], start: usize, layout: &Layout, lock: Lock) -> Result<f64, Error> {
        let reported = self.duplex()?.xruns() - lock.xruns;
        if 0 < reported {
            self.counts.xruns += reported;
            return Err(self.xrun(format!("the interface reported {reported} xruns")));
        }
        let mut chirp_at = |place: usize, which: &str| {
            let from = place.saturating_sub(layout.margin());
            let until = (place + self.aligner.frames() + layout.margin()).min(heard.len());
            let aligned = heard.get(from..until).and_then(|heard| self.aligner.align(heard));
            match aligned.filter(|aligned| self.config.sync.peak_to_sidelobe < aligned.peak_to_sidelobe) {
                Some(aligned) => Ok((aligned, aligned.lag + from as f64 - place as f64)),
                None => Err(format!("the {which} chirp was not heard in its place")),
            }
        };
        let found = chirp_at(start, "first")
            .and_then(|first| Ok((first, chirp_at(start + layout.last_chirp(), "last")?)))
            .and_then(|((first, before), (last, after))| {
                if self.config.sync.drift_frames < (after - before).abs() {
                    let frames = (after - before).abs();
                    let how = if after < before { "lost" } else { "put in" };
                    return Err(format!("{frames:.0} frames were {how} within a burst"));
                }
                Ok((if first.peak_to_sidelobe < last.peak_to_sidelobe { first } else { last }, before))
            });
        let (worse, at) = found.map_err(|message| {
            self.counts.xruns += 1;
            self.xrun(message)
        })?;
        (self.counts.peak_to_sidelobe, self.counts.level) = (worse.peak_to_sidelobe, worse.level);
        Ok(at)
    }

    /// Finds the latency: plays one chirp and looks for it in what is heard, as far as it has been heard.
    fn find(&mut self) -> Result<Lock, Error> {
        let rate = self.config.waveform.sample_rate_hertz;
        let (xruns, chirp) = (self.duplex()?.xruns(), self.chirp.clone());
        self.allowance.spend_rows([&chirp[..]])?;
        let mark = self.play([&chirp[..]])?;
        let frames = self.aligner.frames();
        let most = (self.config.sync.search_seconds * rate) as usize + 2 * frames;
        let look = (LOOK_SECONDS * rate) as usize + 1;
        let (mut heard, mut found) = (vec![], None::<Aligned>);
        while found.is_none() && heard.len() < most {
            let more = self.hear(mark.heard + heard.len() as u64, look)?;
            heard.extend(more);
            let before = heard.len().saturating_sub(look + 3 * frames);
            let window = &heard[before..];
            // One at the very end may still get louder: the next window has it, too.
            let whole = |aligned: &Aligned| aligned.lag as usize + 2 * frames <= window.len();
            let clear = |aligned: &Aligned| self.config.sync.peak_to_sidelobe < aligned.peak_to_sidelobe;
            found = self.aligner.align(window).filter(|aligned| clear(aligned) && whole(aligned));
            found = found.map(|aligned| Aligned { lag: aligned.lag + before as f64, ..aligned });
        }
        let now = self.duplex()?.xruns();
        if now != xruns {
            self.counts.xruns += now - xruns;
            return Err(self.xrun(format!("the interface reported {} xruns", now - xruns)));
        }
        let found = found.ok_or_else(|| self.no_chirp(&heard))?;
        self.counts.latency_seconds = found.lag / rate;
        (self.counts.peak_to_sidelobe, self.counts.level) = (found.peak_to_sidelobe, found.level);
        self.card.timing.latency = (found.lag + 2.0 * self.config.waveform.period() as f64) / rate;
        let offset = found.lag + mark.heard as f64 - mark.played as f64;
        let lock =
            Lock { offset: offset.round() as i64, fraction: offset - offset.round(), xruns, played: mark.played };
        self.lock = Some(lock);
        Ok(lock)
    }

    /// Plays shots and chirps, in V, each followed by rest.
    fn play<'a>(&mut self, shots: impl IntoIterator<Item = &'a [f32]>) -> Result<Mark, Error> {
        let full_scale = self.config.output.full_scale_volts;
        let volts = self.config.waveform.lay_out(shots);
        self.duplex()?.play(volts.into_iter().map(|volts| volts / full_scale).collect())
    }

    /// Waits for what is heard.
    fn hear(&mut self, from: u64, count: usize) -> Result<Vec<f32>, Error> {
        let search = Duration::from_secs_f64(self.config.sync.search_seconds);
        let within = WITHIN + search + self.config.waveform.duration(count);
        self.duplex()?.heard(from, count, within)
    }

    /// The interface, opened again if it was lost.
    fn duplex(&mut self) -> Result<&mut Box<dyn Duplex>, Error> {
        let duplex = if let Some(duplex) = self.duplex.take() {
            duplex
        } else {
            self.lock = None;
            self.reopen()?.duplex
        };
        Ok(self.duplex.insert(duplex))
    }

    /// Looks for a lost interface, less and less often, for a while.
    fn reopen(&mut self) -> Result<Interface, Error> {
        let (end, [mut pause, longest]) = (Instant::now() + WITHIN, PAUSES);
        loop {
            self.watch.opening(WITHIN);
            match (self.open)() {
                Ok(interface) => {
                    self.watch.opened();
                    return Ok(interface);
                }
                Err(error) if error.is_retryable() && Instant::now() + pause < end => {
                    self.watch.state(LinkState::Backoff);
                    std::thread::sleep(pause);
                    pause = (2 * pause).min(longest);
                }
                Err(error) => return Err(error),
            }
        }
    }

    fn instrument(&self) -> String {
        self.watch.report().instrument
    }

    fn lost(&self, message: &str) -> Error {
        Error::Lost { instrument: self.instrument(), message: message.to_owned() }
    }

    fn xrun(&self, message: String) -> Error {
        Error::Xrun { instrument: self.instrument(), message, tries: 1 }
    }

    /// Why a chirp may not be found.
    fn no_chirp(&self, heard: &[f32]) -> Error {
        let loudest = heard.iter().fold(0.0_f32, |loudest, value| loudest.max(value.abs()));
        let volts = loudest * self.config.input.full_scale_volts;
        let message = if CLIPPED <= loudest {
            format!("the input is clipped at {volts} V. Turn its gain or `sync.volts` down")
        } else {
            format!(
                "the loudest that was heard is {volts:.6} V. Check the wiring, that the amplifier is on, and that the level is neither too low nor lost in noise"
            )
        };
        Error::NoChirp { instrument: self.instrument(), seconds: self.config.sync.search_seconds, message }
    }
}

/// What the plate says of itself before its latency is known.
fn card(config: &AudioPlateConfig, system: &str, name: String) -> Card {
    let origin = if name.to_ascii_lowercase().contains("simulated") { Origin::Simulated } else { Origin::Real };
    Card {
        identity: Identity { system: system.to_owned(), serial: name, origin },
        ports: config.ports(),
        timing: Timing {
            shot: config.waveform.period() as f64 / config.waveform.sample_rate_hertz,
            ..Timing::default()
        },
    }
}

/// The same error, with the tries that it took.
fn after(error: Error, count: u32) -> Error {
    match error {
        Error::Xrun { instrument, message, .. } => Error::Xrun { instrument, message, tries: count },
        Error::Drift { instrument, frames, seconds, .. } => Error::Drift { instrument, frames, seconds, tries: count },
        other => other,
    }
}

impl Plant for AudioPlate {
    fn card(&self) -> &Card {
        &self.card
    }

    fn apply(&mut self, controls: &[f32]) -> Result<Vec<f32>, Error> {
        self.card.ports.check(Direction::Control, controls)?;
        Ok(vec![])
    }

    fn measure(&mut self, inputs: &Batch) -> Result<Batch, Error> {
        let rows: Vec<&[f32]> = inputs.iter().collect();
        rows.iter().try_for_each(|row| self.card.ports.check(Direction::Input, row))?;
        let mut outputs = Vec::with_capacity(inputs.values().len());
        for rows in rows.chunks(Layout::most_shots(&self.config.waveform)) {
            outputs.extend(self.burst(rows)?);
        }
        Batch::new(self.config.waveform.samples, outputs)
    }

    fn make_safe(&mut self) -> Result<(), Error> {
        // An interface that does not obey is closed: nothing plays on it then.
        if let Some(duplex) = &mut self.duplex
            && duplex.silence(SAFE_WITHIN).is_err()
        {
            (self.duplex, self.lock) = (None, None);
            self.watch.state(LinkState::Closed);
        }
        Ok(())
    }

    fn spend_from(&mut self, allowance: Allowance) {
        self.allowance = allowance;
    }

    fn shots_at_once(&self) -> usize {
        Layout::most_shots(&self.config.waveform)
    }
}
