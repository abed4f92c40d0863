//! A bench that is driven with waveforms and read as waveforms: a generator before the plant, a digitizer behind it.
//!
//! Shots are laid end to end into bursts, each followed by rest, and read back in the same places:
//!
//! ```text
//! drive     ┃ shot 0 ┃ rest (0 V) ┃ shot 1 ┃ rest (0 V) ┃ …      samples + rest_samples at sample_rate_hertz
//! readings  ┃ row 0  ┃ not used   ┃ row 1  ┃ not used   ┃ …
//! ```
//!
//! Inputs `drive` and outputs `node`, `[shots, samples]` in V; controls are those that its rig file names, if any. The last sample of a burst is rest, so the drive ends
//! at 0 V whatever happens next.

use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{
    Allowance, Bank, Batch, Card, Error, Identity, LinkWatch, Origin, Plant, Ports, Range, ScpiControls, ScpiIdentity,
    Timing,
};

/// The longest burst that is laid out at once.
const MOST_SAMPLES: usize = 1 << 28;

/// How shots become waveforms.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct WaveformConfig {
    /// Samples of a shot: as many inputs as outputs.
    #[schemars(range(min = 1, max = 65_536))]
    pub samples: usize,
    /// Samples of 0 V after each shot, at least 1, until the plant rests.
    #[schemars(range(min = 1, max = 268_435_456))]
    pub rest_samples: usize,
    /// Rate of generator and digitizer, in Hz.
    #[schemars(range(min = 0.001, max = 1e12))]
    pub sample_rate_hertz: f64,
    /// Largest drive, in V, either way.
    #[schemars(extend("exclusiveMinimum" = 0))]
    pub drive_volts: f32,
    /// Full scale of the readings, in V, either way.
    #[schemars(extend("exclusiveMinimum" = 0))]
    pub reading_volts: f32,
    /// The longest burst that both instruments hold, in samples.
    #[schemars(range(min = 2, max = 268_435_456))]
    pub burst_samples: usize,
    /// How often a burst is repeated whose answer was lost or cannot be right.
    #[serde(default = "retries")]
    #[schemars(range(max = 1000))]
    pub retries: u32,
}

/// What `retries` is when left out.
fn retries() -> u32 {
    3
}

impl WaveformConfig {
    /// Refuses what makes no sense.
    pub fn check(&self) -> Result<(), Error> {
        let refuse = |key: &str, message: String| Err(Error::Description { key: format!("waveform.{key}"), message });
        if self.samples == 0 {
            return refuse("samples", "is 0: a shot has at least 1 sample".to_owned());
        }
        if self.rest_samples == 0 {
            return refuse("rest_samples", "is 0: the drive must end at 0 V, so give at least 1".to_owned());
        }
        let shot = self.samples.saturating_add(self.rest_samples);
        if self.burst_samples < shot {
            return refuse(
                "burst_samples",
                format!("is {}, but one shot with its rest takes {shot}", self.burst_samples),
            );
        }
        if !(1e-3..=1e12).contains(&self.sample_rate_hertz) {
            return refuse("sample_rate_hertz", format!("is {} Hz: give 0.001 to 1e12", self.sample_rate_hertz));
        }
        if MOST_SAMPLES < self.burst_samples {
            return refuse("burst_samples", format!("is {}: give at most {MOST_SAMPLES}", self.burst_samples));
        }
        for (key, value, unit) in
            [("drive_volts", f64::from(self.drive_volts), "V"), ("reading_volts", f64::from(self.reading_volts), "V")]
        {
            if !(value.is_finite() && 0.0 < value) {
                return refuse(key, format!("is {value} {unit}: it must be above 0"));
            }
        }
        Ok(())
    }

    /// The ports of a bench with such waveforms, whose trainable controls are these.
    pub fn ports(&self, controls: Vec<Bank>) -> Ports {
        let bank = |name: &str, volts: f32| vec![Bank::new(name, self.samples, "V", Range::new(-volts, volts))];
        Ports { inputs: bank("drive", self.drive_volts), controls, outputs: bank("node", self.reading_volts) }
    }

    /// Samples from one shot's first to the next one's.
    pub fn period(&self) -> usize {
        self.samples + self.rest_samples
    }

    /// Shots in the longest burst.
    pub fn shots_per_burst(&self) -> usize {
        self.burst_samples / self.period()
    }

    /// Rows end to end, each followed by rest.
    pub fn lay_out<'a>(&self, rows: impl IntoIterator<Item = &'a [f32]>) -> Vec<f32> {
        let mut volts = Vec::new();
        for row in rows {
            volts.extend_from_slice(row);
            volts.resize(volts.len() + self.rest_samples, 0.0);
        }
        volts
    }

    /// How long a burst of `count` samples takes.
    pub fn duration(&self, count: usize) -> Duration {
        Duration::from_secs_f64(count as f64 / self.sample_rate_hertz)
    }
}

/// Instruments that drive and read one burst.
pub trait Bursts: Send {
    /// Who they are.
    fn identity(&self) -> &ScpiIdentity;

    /// Gets ready to drive `volts`. Where it fails, nothing was driven.
    fn prepare(&mut self, volts: &[f32]) -> Result<(), Error>;

    /// Drives `volts`, for which it is prepared, and reads as many samples, in V.
    fn burst(&mut self, volts: &[f32]) -> Result<Vec<f32>, Error>;

    /// Switches the output off, and brings the controls to their safe values.
    fn make_safe(&mut self) -> Result<(), Error>;

    /// Their trainable controls.
    fn controls(&self) -> ScpiControls {
        ScpiControls::default()
    }

    /// Their links; that of the instrument that reads is the last.
    fn watches(&self) -> Vec<LinkWatch>;
}

/// The plant behind a generator and a digitizer.
pub struct WaveformBench {
    bursts: Box<dyn Bursts>,
    controls: ScpiControls,
    config: WaveformConfig,
    card: Card,
    allowance: Allowance,
    /// Whether readings that are no numbers are given back: all of them are in the one bank.
    shows_all: bool,
}

impl WaveformBench {
    /// A bench of opened instruments around the plant called `system`.
    pub fn new(bursts: Box<dyn Bursts>, config: &WaveformConfig, system: &str) -> Result<Self, Error> {
        config.check()?;
        let controls = bursts.controls();
        let who = bursts.identity();
        let replayed = bursts.watches().iter().any(|watch| watch.report().address.starts_with("replay://"));
        let origin = match (replayed, who.is_simulated()) {
            (true, _) => Origin::Replayed,
            (false, true) => Origin::Simulated,
            (false, false) => Origin::Real,
        };
        let card = Card {
            identity: Identity { system: system.to_owned(), serial: who.serial.clone(), origin },
            ports: config.ports(controls.banks()),
            timing: Timing {
                settle: controls.settle_seconds(),
                latency: 0.0,
                shot: config.period() as f64 / config.sample_rate_hertz,
            },
        };
        let allowance = Allowance::default();
        Ok(Self { bursts, controls, config: config.clone(), card, allowance, shows_all: false })
    }

    /// The links of its instruments.
    pub fn watches(&self) -> Vec<LinkWatch> {
        self.bursts.watches()
    }

    /// One burst, repeated a few times where that can help and the allowance allows it.
    fn burst(&mut self, rows: &[&[f32]]) -> Result<Vec<f32>, Error> {
        let volts = self.config.lay_out(rows.iter().copied());
        let (mut tries, mut is_paid) = (0, true);
        loop {
            let readings = self.attempt(rows, &volts, &mut is_paid);
            if let (Err(error), Some(watch)) = (&readings, self.bursts.watches().last()) {
                watch.rejections().add_for(error, volts.len() / self.config.period());
            }
            match readings {
                Err(error) if error.is_retryable() && tries < self.config.retries => tries += 1,
                done => return done,
            }
        }
    }

    /// Drives a burst once; counts it first, unless it is paid for already.
    fn attempt(&mut self, rows: &[&[f32]], volts: &[f32], is_paid: &mut bool) -> Result<Vec<f32>, Error> {
        self.controls.hold(&self.allowance)?;
        self.bursts.prepare(volts)?;
        if !std::mem::take(is_paid) {
            self.allowance.spend_rows(rows.iter().copied())?;
        }
        let readings = self.bursts.burst(volts)?;
        self.accept(readings, volts.len())
    }

    /// Rejects readings that cannot be right.
    fn accept(&self, readings: Vec<f32>, expected: usize) -> Result<Vec<f32>, Error> {
        // The one that reads is the last of them, or the only one.
        let reader = || self.bursts.watches().last().map_or_else(String::new, |watch| watch.report().instrument);
        if readings.len() != expected {
            return Err(Error::Garbled {
                instrument: reader(),
                message: format!("reads {} samples where {expected} were taken", readings.len()),
            });
        }
        match readings.iter().position(|reading| !reading.is_finite()) {
            _ if self.shows_all => Ok(readings),
            Some(at) => {
                Err(Error::Rejected { instrument: reader(), message: format!("{} at sample {at}", readings[at]) })
            }
            None => Ok(readings),
        }
    }
}

impl Plant for WaveformBench {
    fn card(&self) -> &Card {
        &self.card
    }

    fn apply(&mut self, controls: &[f32]) -> Result<Vec<f32>, Error> {
        self.card.ports.check(crate::Direction::Control, controls)?;
        self.controls.apply(controls, &self.allowance)
    }

    fn measure(&mut self, inputs: &Batch) -> Result<Batch, Error> {
        let rows: Vec<&[f32]> = inputs.iter().collect();
        let mut outputs = Vec::with_capacity(inputs.values().len());
        for rows in rows.chunks(self.config.shots_per_burst()) {
            let readings = self.burst(rows)?;
            for shot in readings.chunks(self.config.period()) {
                outputs.extend_from_slice(&shot[..self.config.samples]);
            }
        }
        Batch::new(self.config.samples, outputs)
    }

    fn make_safe(&mut self) -> Result<(), Error> {
        self.controls.leave();
        self.bursts.make_safe()?;
        self.controls.rest();
        Ok(())
    }

    fn spend_from(&mut self, allowance: Allowance) {
        self.allowance = allowance;
    }

    fn shots_at_once(&self) -> usize {
        self.config.shots_per_burst()
    }

    fn show_all(&mut self) {
        self.shows_all = true;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{DoseLimits, Limited, Limits};

    /// Reads back what it drives, but fails as often as it is told: before it drives, and afterwards.
    struct Loopback {
        identity: ScpiIdentity,
        absences: u32,
        failures: u32,
    }

    impl Bursts for Loopback {
        fn identity(&self) -> &ScpiIdentity {
            &self.identity
        }
        fn prepare(&mut self, _: &[f32]) -> Result<(), Error> {
            if 0 < self.absences {
                self.absences -= 1;
                return Err(Error::Lost { instrument: "loopback".into(), message: "unplugged".into() });
            }
            Ok(())
        }
        fn burst(&mut self, volts: &[f32]) -> Result<Vec<f32>, Error> {
            if 0 < self.failures {
                self.failures -= 1;
                return Ok(vec![f32::NAN; volts.len()]);
            }
            Ok(volts.to_vec())
        }
        fn make_safe(&mut self) -> Result<(), Error> {
            Ok(())
        }
        fn watches(&self) -> Vec<LinkWatch> {
            let address: crate::Address = "tcp://127.0.0.1:5025".parse().unwrap();
            ["generator", "digitizer"].map(|name| LinkWatch::new(name, &address, String::new(), None)).to_vec()
        }
    }

    fn config() -> WaveformConfig {
        WaveformConfig {
            samples: 3,
            rest_samples: 2,
            sample_rate_hertz: 1e6,
            drive_volts: 1.0,
            reading_volts: 1.0,
            burst_samples: 12,
            retries: 1,
        }
    }

    fn with_retries(retries: u32, absences: u32, failures: u32) -> WaveformBench {
        let identity = ScpiIdentity::parse("pnnlab,Loopback (simulated),7,1");
        let config = WaveformConfig { retries, ..config() };
        WaveformBench::new(Box::new(Loopback { identity, absences, failures }), &config, "wire").unwrap()
    }

    fn bench(failures: u32) -> WaveformBench {
        with_retries(1, 0, failures)
    }

    #[test]
    fn every_shot_comes_back_in_its_place_whatever_the_bursts() {
        let inputs = Batch::from_fn(5, 3, |row, column| 0.1 * row as f32 + 0.01 * column as f32);
        let mut bench = bench(1);
        assert_eq!(bench.card().identity.origin, Origin::Simulated);
        assert_eq!(bench.measure(&inputs).unwrap(), inputs, "after one repeated burst");
        assert_eq!(config().lay_out([[1.0, 2.0, 3.0].as_slice()]), [1.0, 2.0, 3.0, 0.0, 0.0]);
    }

    #[test]
    fn readings_that_are_no_numbers_are_repeated_only_so_often() {
        let error = bench(2).measure(&Batch::zeros(1, 3)).unwrap_err();
        assert!(matches!(error, Error::Rejected { .. }), "{error}");
        assert!(error.to_string().starts_with("instrument `digitizer` reads NaN at sample 0"), "{error}");
    }

    #[test]
    fn a_repeated_burst_is_counted_and_refused_where_the_budget_ends() {
        // A shot takes 5 µs at 1 V: the limit lets the burst pass once and again, but not a third time.
        let energy = std::collections::BTreeMap::from([("drive".to_owned(), 12.5e-6)]);
        let limits =
            Limits { dose: DoseLimits { energy_per_minute: energy, ..Default::default() }, ..Default::default() };
        let ones = Batch::new(3, vec![1.0; 3]).unwrap();
        let mut plant = Limited::new(bench(1), &limits).unwrap();
        plant.measure(&ones).unwrap();
        let error = plant.measure(&ones).unwrap_err().to_string();
        assert!(error.contains("the energy of input drive in a minute would be 0.000015 V²·s"), "{error}");

        let limited = |bench| Limited::new(bench, &limits).unwrap();
        let error = limited(with_retries(9, 0, 9)).measure(&ones).unwrap_err();
        assert!(matches!(error, Error::Overdriven { .. }), "the third time is not driven: {error}");
        // Five times nothing could be driven, and once it was in vain.
        limited(with_retries(9, 5, 1)).measure(&ones).unwrap();
    }

    #[test]
    fn a_description_without_sense_is_refused_by_its_key() {
        let refused = |change: fn(&mut WaveformConfig)| {
            let mut config = config();
            change(&mut config);
            config.check().unwrap_err().to_string()
        };
        assert!(refused(|config| config.rest_samples = 0).starts_with("`waveform.rest_samples` is 0"));
        assert!(refused(|config| config.burst_samples = 4).contains("takes 5"));
        assert!(refused(|config| config.drive_volts = f32::NAN).contains("`waveform.drive_volts` is NaN V"));
    }
}
