//! The plate behind an interface in memory that delays, loses, repeats and drifts as it is told.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use super::{AudioPlate, AudioPlateConfig, Duplex, Interface, Mark, Open};
use crate::{
    Address, Batch, Disturbance, DoseLimits, Error, Limited, Limits, LinkOptions, LinkState, Origin, Plant,
    WaveformConfig,
};

/// Frames from out to in.
const LATENCY: u64 = 700;
/// Frames that the input was started earlier than the output.
const EARLIER: u64 = 333;

/// What can go wrong with one sound that is played.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Mishap {
    /// The interface reports an xrun.
    Reported,
    /// So many frames are lost in the middle, without a word.
    Lost(usize),
    /// So many frames of silence come in between, without a word.
    PutIn(usize),
    /// It and what follows are heard so many frames later.
    Later(u64),
    /// Nothing of it is heard.
    Silence,
    /// It is heard at the end of the range.
    Clipped,
    /// The cable is pulled.
    Pulled,
}

/// What happens to the sounds that are played, in their order, and what happened to the interface.
#[derive(Debug, Default)]
struct Fate {
    mishaps: VecDeque<Option<Mishap>>,
    openings: u32,
    silenced: u32,
    /// Attempts to open it that will find nothing.
    absent: u32,
}

/// What is played is heard half as loud.
struct Loop {
    fate: Arc<Mutex<Fate>>,
    latency: u64,
    played: u64,
    heard: Vec<f32>,
    xruns: u64,
    pulled: bool,
}

impl Duplex for Loop {
    fn play(&mut self, frames: Vec<f32>) -> Result<Mark, Error> {
        let mishap = self.fate.lock().unwrap().mishaps.pop_front().flatten();
        let mark = Mark { played: self.played, heard: self.played + EARLIER };
        let mut heard: Vec<f32> = frames.iter().map(|value| 0.5 * value).collect();
        let (start, middle) = (mark.heard + self.latency, heard.len() / 2);
        match mishap {
            None | Some(Mishap::Later(_)) => {}
            Some(Mishap::Reported) => self.xruns += 1,
            Some(Mishap::Lost(count)) => {
                heard.drain(middle..middle + count);
                self.latency -= count as u64;
            }
            Some(Mishap::PutIn(count)) => {
                heard.splice(middle..middle, vec![0.0; count]);
                self.latency += count as u64;
            }
            Some(Mishap::Silence) => heard.fill(0.0),
            Some(Mishap::Clipped) => heard.fill(1.0),
            Some(Mishap::Pulled) => self.pulled = true,
        }
        let later = if let Some(Mishap::Later(count)) = mishap { count } else { 0 };
        self.latency += later;
        self.heard.resize((start + later) as usize, 0.0);
        self.heard.extend(heard);
        self.played += frames.len() as u64 + 4321;
        Ok(mark)
    }

    fn heard(&mut self, from: u64, count: usize, _: Duration) -> Result<Vec<f32>, Error> {
        if self.pulled {
            return Err(Error::Lost { instrument: "plate".to_owned(), message: "unplugged".to_owned() });
        }
        let frame = |index: usize| self.heard.get(index).copied().unwrap_or_default();
        Ok((from as usize..from as usize + count).map(frame).collect())
    }

    fn xruns(&self) -> u64 {
        self.xruns
    }

    fn silence(&mut self, _: Duration) -> Result<(), Error> {
        self.fate.lock().unwrap().silenced += 1;
        if self.pulled {
            Err(Error::Lost { instrument: "plate".to_owned(), message: "unplugged".to_owned() })
        } else {
            Ok(())
        }
    }
}

fn config() -> AudioPlateConfig {
    AudioPlateConfig {
        address: "audio://loop".to_owned(),
        wiring: "output 1 to input 1".to_owned(),
        waveform: WaveformConfig {
            samples: 256,
            rest_samples: 300,
            sample_rate_hertz: 48_000.0,
            drive_volts: 1.0,
            reading_volts: 1.0,
            burst_samples: 4000,
            retries: 2,
        },
        output: super::AudioChannelConfig { channel: 1, full_scale_volts: 2.0 },
        input: super::AudioChannelConfig { channel: 1, full_scale_volts: 4.0 },
        buffer_frames: 480,
        sync: super::SyncConfig::default(),
    }
}

/// A plate on a wire, and its fate: half of each value comes back, in V, through gains of 2 and 4.
fn plate(name: &str) -> (AudioPlate, Arc<Mutex<Fate>>) {
    let fate = Arc::<Mutex<Fate>>::default();
    let shared = fate.clone();
    let open: Open = Box::new(move || {
        let mut now = shared.lock().unwrap();
        now.openings += 1;
        if 0 < now.absent {
            now.absent -= 1;
            let (instrument, address) = ("plate".to_owned(), "audio://loop".to_owned());
            return Err(Error::Unreachable { instrument, address, message: "unplugged".to_owned() });
        }
        drop(now);
        let latency = LATENCY;
        let fate = shared.clone();
        let duplex = Box::new(Loop { fate, latency, played: 55, heard: vec![], xruns: 0, pulled: false });
        Ok(Interface { name: "a loop (simulated)".to_owned(), duplex })
    });
    let options = LinkOptions::new("plate", Address::Audio { device: name.to_owned() });
    (AudioPlate::new(&config(), "wire", &options, &config().chirp(), open).unwrap(), fate)
}

/// Shots all different.
fn shots(rows: usize) -> Batch {
    Batch::from_fn(rows, 256, |row, column| ((row * 31 + column) as f32 * 0.37).sin() * 0.9)
}

/// Whether what came back is what went out, at the level of the wire.
fn assert_comes_back(plate: &mut AudioPlate, rows: usize) {
    let outputs = plate.measure(&shots(rows)).unwrap();
    for (row, (read, driven)) in outputs.iter().zip(shots(rows).iter()).enumerate() {
        for (read, driven) in read.iter().zip(driven) {
            assert!((read - driven).abs() < 1e-6, "shot {row}: {read} for {driven}");
        }
    }
}

#[test]
fn shots_come_back_in_their_places_and_units_and_the_latency_is_found() {
    let (mut plate, fate) = plate("loop-a");
    assert_eq!((plate.card().identity.origin, plate.card().timing.latency), (Origin::Simulated, 0.0));
    // Five shots fit into a burst.
    assert_comes_back(&mut plate, 12);
    let counts = plate.counts();
    assert!((counts.latency_seconds - LATENCY as f64 / 48_000.0).abs() < 1e-6, "{counts}");
    assert_eq!((counts.bursts, counts.repeated, counts.xruns, counts.drifts), (3, 0, 0, 0));
    assert!((counts.level - 1.0).abs() < 0.01 && 4.0 < counts.peak_to_sidelobe, "{counts}");
    assert!(plate.card().timing.latency > counts.latency_seconds, "the chirps take their time");
    plate.make_safe().unwrap();
    assert_eq!(fate.lock().unwrap().silenced, 1);
    assert!(plate.watch().report().remark.starts_with("latency 14.6 ms"), "{}", plate.watch().report().remark);
}

#[test]
fn a_burst_with_a_gap_is_counted_and_played_again() {
    for mishap in [Mishap::Reported, Mishap::Lost(100), Mishap::PutIn(77), Mishap::Lost(2), Mishap::Silence] {
        let (mut plate, fate) = plate("loop-b");
        // The first sound is the chirp that the latency is found with.
        fate.lock().unwrap().mishaps = [None, Some(mishap)].into();
        assert_comes_back(&mut plate, 3);
        let counts = plate.counts();
        assert_eq!((counts.bursts, counts.repeated, counts.xruns, counts.drifts), (1, 1, 1, 0), "{mishap:?}");
        assert_eq!(plate.watch().report().state, LinkState::Ready);
    }
}

#[test]
fn gaps_without_end_are_an_error_that_says_how_often_it_was_tried() {
    let (mut plate, fate) = plate("loop-c");
    // Before each burst the latency is found again.
    fate.lock().unwrap().mishaps = [None, Some(Mishap::Lost(50))].into_iter().cycle().take(20).collect();
    let error = plate.measure(&shots(1)).unwrap_err();
    let text = error.to_string();
    assert!(
        text.contains("50 frames were lost within a burst, in each of 3 tries") && text.contains("`plate`"),
        "{text}"
    );
    assert!(error.is_retryable() && plate.counts().bursts == 0);
}

#[test]
fn a_latency_that_changes_between_bursts_is_drift() {
    let (mut plate, fate) = plate("loop-d");
    fate.lock().unwrap().mishaps = [None, None, Some(Mishap::Later(3))].into();
    assert_comes_back(&mut plate, 10);
    let counts = plate.counts();
    assert_eq!((counts.bursts, counts.repeated, counts.xruns, counts.drifts), (2, 1, 0, 1));
    assert!((counts.latency_seconds - (LATENCY + 3) as f64 / 48_000.0).abs() < 1e-6, "found again: {counts}");

    fate.lock().unwrap().mishaps =
        [Some(Mishap::Later(4)), None, Some(Mishap::Later(4)), None, Some(Mishap::Later(4))].into();
    let text = plate.measure(&shots(1)).unwrap_err().to_string();
    assert!(text.contains("drifted by 4.0 frames") && text.contains("one clock"), "{text}");
}

#[test]
fn a_chirp_that_is_not_heard_says_what_was_heard() {
    let (mut plate, fate) = plate("loop-e");
    fate.lock().unwrap().mishaps = vec![Some(Mishap::Silence); 3].into();
    let text = plate.measure(&shots(1)).unwrap_err().to_string();
    assert!(text.contains("not found within 1 s: the loudest that was heard is 0.000000 V"), "{text}");
    fate.lock().unwrap().mishaps = vec![Some(Mishap::Clipped); 3].into();
    let text = plate.measure(&shots(1)).unwrap_err().to_string();
    assert!(text.contains("clipped at 4 V"), "{text}");
}

#[test]
fn an_interface_that_is_lost_is_opened_again() {
    let (mut plate, fate) = plate("loop-f");
    fate.lock().unwrap().mishaps = [None, Some(Mishap::Pulled)].into();
    assert_comes_back(&mut plate, 2);
    assert_eq!(fate.lock().unwrap().openings, 2);
    for disturbance in [Disturbance::LoseAnswer, Disturbance::ClosePort] {
        let before = plate.watch().report().reconnects;
        plate.watch().disturb(disturbance);
        assert_comes_back(&mut plate, 2);
        assert_eq!(plate.watch().report().reconnects, before + 1, "{disturbance:?}");
    }
    // It is plugged in again a little later.
    let openings = {
        let mut fate = fate.lock().unwrap();
        (fate.mishaps, fate.absent) = ([Some(Mishap::Pulled)].into(), 3);
        fate.openings
    };
    assert_comes_back(&mut plate, 2);
    assert_eq!(fate.lock().unwrap().openings, openings + 4);
    fate.lock().unwrap().mishaps = vec![Some(Mishap::Pulled); 9].into();
    assert!(matches!(plate.measure(&shots(1)), Err(Error::Lost { .. })));
    plate.make_safe().unwrap();
}

#[test]
fn chirps_and_repeated_bursts_are_counted() {
    let (plate, _) = plate("loop-h");
    let energy = |batch: &Batch, shot: f64| {
        batch.values().iter().map(|value| f64::from(*value).powi(2)).sum::<f64>() / 256.0 * shot
    };
    let shot = plate.card().timing.shot;
    let (shots, chirp) = (shots(3), Batch::new(256, config().chirp()).unwrap());
    let (shots_energy, chirp_energy) = (energy(&shots, shot), energy(&chirp, shot));
    // The latency is found with one chirp, and a burst has two.
    let once = shots_energy + 3.0 * chirp_energy;
    let limited = |most: f64, plate| {
        let energy_per_minute = [("drive".to_owned(), most as f32)].into();
        let dose = DoseLimits { energy_per_minute, ..DoseLimits::default() };
        Limited::new(plate, &Limits { dose, ..Limits::default() }).unwrap()
    };
    let mut plate = limited(1.001 * once, plate);
    plate.measure(&shots).unwrap();
    let error = plate.measure(&Batch::from_fn(1, 256, |_, _| 0.1)).unwrap_err().to_string();
    assert!(error.contains("the energy of input drive in a minute would be"), "{error}");
    drop(plate);

    let (plate, _) = self::plate("loop-i");
    assert!(limited(0.999 * once, plate).measure(&shots).is_err(), "the chirps are counted");

    let (plate, fate) = self::plate("loop-j");
    fate.lock().unwrap().mishaps = [None, Some(Mishap::Lost(100))].into();
    let error = limited(1.9 * once, plate).measure(&shots).unwrap_err();
    assert!(matches!(error, Error::Overdriven { .. }), "played twice, it is too much: {error}");

    // The chirp that finds the latency is not heard at first: nothing else was played.
    let (plate, fate) = self::plate("loop-k");
    fate.lock().unwrap().mishaps = [Some(Mishap::Silence)].into();
    limited(1.001 * (once + chirp_energy), plate).measure(&shots).unwrap();
}

#[test]
fn nothing_outside_the_range_is_played_and_nobody_else_has_the_interface() {
    let (mut plate, fate) = plate("loop-g");
    let error = plate.measure(&Batch::from_fn(1, 256, |_, column| if column == 9 { 1.5 } else { 0.0 })).unwrap_err();
    assert!(matches!(error, Error::OutOfRange { .. }), "{error}");
    assert!(matches!(plate.measure(&Batch::zeros(1, 255)), Err(Error::Width { .. })));
    assert_eq!(fate.lock().unwrap().silenced, 0);
    let options = LinkOptions::new("other", Address::Audio { device: "loop-g".to_owned() });
    let nothing: Open = Box::new(|| unreachable!("it is held"));
    let second = AudioPlate::new(&config(), "wire", &options, &config().chirp(), nothing);
    assert!(matches!(second, Err(Error::Owned { .. })));
}

#[test]
fn a_description_without_sense_is_refused_by_its_key() {
    let refused = |change: fn(&mut AudioPlateConfig)| {
        let mut config = config();
        change(&mut config);
        config.check().unwrap_err().to_string()
    };
    assert!(refused(|config| config.waveform.samples = 32).starts_with("`waveform.samples` is 32"));
    assert!(refused(|config| config.waveform.sample_rate_hertz = 44_100.5).contains("whole Hz"));
    assert!(refused(|config| config.waveform.burst_samples = 1600).contains("take 1668"));
    assert!(refused(|config| config.output.full_scale_volts = 0.5).starts_with("`output.full_scale_volts` is 0.5 V"));
    assert!(refused(|config| config.input.full_scale_volts = f32::NAN).starts_with("`input.full_scale_volts`"));
    assert!(refused(|config| config.input.channel = 0).contains("the first channel is 1"));
    assert!(refused(|config| config.sync.volts = 1.5).starts_with("`sync.volts` is 1.5 V"));
    assert!(refused(|config| config.sync.high_hertz = 30_000.0).contains("half the sample rate, 24000 Hz"));
    assert!(refused(|config| config.sync.search_seconds = 0.0).starts_with("`sync.search_seconds`"));
    assert!(refused(|config| config.sync.peak_to_sidelobe = 1.0).contains("more than 1"));
    assert!(refused(|config| config.sync.drift_frames = 0.1).contains("rounding"));
    assert!(refused(|config| config.buffer_frames = 0).starts_with("`buffer_frames` is 0"));
}

#[test]
fn the_chirp_keeps_its_amplitude_and_begins_and_ends_at_rest() {
    let chirp = config().chirp();
    let largest = chirp.iter().fold(0.0_f32, |largest, value| largest.max(value.abs()));
    assert!(0.45 < largest && largest <= 0.5 && chirp.len() == 256, "{largest}");
    assert!(chirp[0].abs() < 0.01 && chirp[255].abs() < 0.01);
}
