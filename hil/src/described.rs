//! The generator and the digitizer that a rig file describes by their commands: each understands what the file says it does.
//!
//! A parameter is what the file writes there: a number where it has a place such as `{rate}` or a number, one of the words that it
//! writes otherwise. Readings are refused with -230 before a trigger, and with -222 beyond what was taken.

use std::collections::BTreeMap;
use std::sync::{MutexGuard, PoisonError};

use drivers::{Numbers, ScpiPairConfig, SettingConfig};

use crate::commanded;
use crate::scpi_box::{Call, Response, ScpiError, ScpiInstrument, Table};
use crate::template::Template;
use crate::waveform_world::{SharedWorld, WaveformWorld};

/// Bit 5 of the operation status: it waits for a trigger (SCPI-99, 9.3).
const WAITING: u16 = 32;
/// What a setting that takes words answers before it is set.
const UNSET: &str = "DEF";
/// Rounding of samples that were written as text, as a part of the largest drive.
const ROUNDING: f32 = 1e-6;

/// Which of the two instruments of a pair.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Half {
    /// Drives the bench.
    Generator,
    /// Reads it.
    Digitizer,
}

/// One of the two instruments.
pub struct Described {
    world: SharedWorld,
    config: ScpiPairConfig,
    half: Half,
    settings: BTreeMap<String, String>,
    /// Whether there are readings since it was switched on.
    has_taken: bool,
}

impl Described {
    /// In front of `world`.
    pub fn new(world: SharedWorld, config: &ScpiPairConfig, half: Half) -> Self {
        if half == Half::Generator {
            commanded::reset(&config.controls, &mut world.lock().unwrap_or_else(PoisonError::into_inner));
        }
        Self { world, config: config.clone(), half, settings: BTreeMap::new(), has_taken: false }
    }

    fn world(&self) -> MutexGuard<'_, WaveformWorld> {
        self.world.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Its settings as the rig file lists them.
    fn listed(&self) -> &[SettingConfig] {
        match self.half {
            Half::Generator => &self.config.generator.settings,
            Half::Digitizer => &self.config.digitizer.settings,
        }
    }

    /// Takes samples into the generator's memory.
    fn load(&mut self, samples: &[f32]) -> Result<(), ScpiError> {
        let waveform = &self.config.waveform;
        if waveform.burst_samples < samples.len() {
            return Err(ScpiError::TOO_MUCH_DATA);
        }
        let most = waveform.drive_volts * (1.0 + ROUNDING);
        if !samples.iter().all(|volts| volts.abs() <= most) {
            return Err(ScpiError::OUT_OF_RANGE);
        }
        self.world().load(samples.to_vec());
        Ok(())
    }

    /// The samples that were taken: all, or the first so many.
    fn read(&mut self, count: Option<usize>) -> Result<Response, ScpiError> {
        let world = self.world();
        let taken = if self.has_taken && !world.armed() { world.record() } else { &[] };
        if taken.is_empty() {
            return Err(ScpiError::STALE);
        }
        let wanted = taken.get(..count.unwrap_or(taken.len())).ok_or(ScpiError::OUT_OF_RANGE)?;
        let bytes = self.config.digitizer.numbers.write(wanted, self.config.waveform.reading_volts);
        Ok(Response::bytes(bytes))
    }

    /// What the generator does.
    fn generator(&self, table: Table<Self>) -> Table<Self> {
        let generator = &self.config.generator;
        let (load, numbers) = (Template::new(&generator.load), generator.numbers);
        let full_scale = self.config.waveform.drive_volts;
        let place = load.place_of("{data}").unwrap_or_default();
        let upload = move |it: &mut Self, call: &mut Call<'_, ()>| {
            let samples = if numbers.is_block() {
                numbers.read(call.bytes(place)?, full_scale).ok_or(ScpiError::INVALID_BLOCK)?
            } else {
                call.numbers(place)?.iter().map(|value| *value as f32).collect()
            };
            it.load(&samples)
        };
        let table = table.command(&load.header, load.parameters(numbers), upload);
        let switch = |table: Table<Self>, command: &str, on: bool| {
            let command = Template::new(command);
            table.command(&command.header, command.parameters(numbers), move |it, _| {
                it.world().switch(on);
                Ok(())
            })
        };
        let table = switch(switch(table, &generator.on, true), &generator.off, false);
        let state = Template::new(&generator.state);
        let table = table
            .query(&state.header, state.parameters(numbers), |it, _| Ok(Response::text(u8::from(it.world().output()))));
        let fire = Template::new(&generator.fire);
        table.command(&fire.header, fire.parameters(numbers), |it, _| {
            it.world().fire();
            Ok(())
        })
    }

    /// What the digitizer does.
    fn digitizer(&self, table: Table<Self>) -> Table<Self> {
        let digitizer = &self.config.digitizer;
        let (arm, numbers) = (Template::new(&digitizer.arm), digitizer.numbers);
        let table = table.command(&arm.header, arm.parameters(numbers), |it, _| {
            it.world().arm();
            it.has_taken = true;
            Ok(())
        });
        let complete = Template::new(&digitizer.complete);
        // `*OPC?` waits by itself, as in all instruments.
        let table = if complete.header.eq_ignore_ascii_case("*OPC?") {
            table
        } else {
            table.query(&complete.header, complete.parameters(numbers), |it, _| {
                Ok(Response::text(u8::from(!it.world().armed())))
            })
        };
        let read = Template::new(&digitizer.read);
        let place = read.place_of("{count}");
        table.query(&read.header, read.parameters(numbers), move |it, call| {
            let count = place.map(|place| call.integer(place)).transpose()?;
            it.read(count.map(|count| count as usize))
        })
    }

    /// The settings that the rig file lists: kept, and given back.
    fn settings(&self, mut table: Table<Self>) -> Table<Self> {
        for setting in self.listed() {
            let (header, value) = setting.parts();
            let name = header.to_owned();
            let command = Template::new(&format!("{header} {value}"));
            let kept = name.clone();
            table = table.command(&command.header, command.parameters(Numbers::Text), move |it, call| {
                let value = call.number(0).map(|value| value.to_string());
                let value = value.or_else(|_| call.text(0).map(str::to_owned)).unwrap_or_default();
                it.settings.insert(kept.clone(), value);
                Ok(())
            });
            let Some(query) = &setting.query else { continue };
            let unset = if command.is_number(0) { "0" } else { UNSET };
            table = table.query(query, [], move |it, _| {
                Ok(Response::text(it.settings.get(&name).map_or(unset, String::as_str)))
            });
        }
        table
    }
}

impl ScpiInstrument for Described {
    type Client = ();

    fn identity(&self) -> [String; 3] {
        let model = match self.half {
            Half::Generator => "generator (simulated)",
            Half::Digitizer => "digitizer (simulated)",
        };
        ["pnnlab".to_owned(), model.to_owned(), "SIM-1".to_owned()]
    }

    fn table(&self) -> Table<Self> {
        let table = match self.half {
            Half::Generator => {
                self.generator(commanded::commands(Table::new(), &self.config.controls, &self.world, |_, value| value))
            }
            Half::Digitizer => self.digitizer(Table::new()),
        };
        self.settings(table)
    }

    fn reset(&mut self) {
        self.settings.clear();
        self.has_taken = false;
        let mut world = self.world.lock().unwrap_or_else(PoisonError::into_inner);
        match self.half {
            Half::Generator => {
                world.switch(false);
                commanded::reset(&self.config.controls, &mut world);
            }
            Half::Digitizer => world.disarm(),
        }
    }

    /// A digitizer that waits for its trigger is busy.
    fn is_busy(&self) -> bool {
        self.half == Half::Digitizer && self.world().armed()
    }

    fn conditions(&self) -> (u16, u16) {
        (if self.is_busy() { WAITING } else { 0 }, 0)
    }
}

#[cfg(test)]
mod tests;
