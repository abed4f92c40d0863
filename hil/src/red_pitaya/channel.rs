//! An input: its settings, and what it waits for.

use super::data_sheet::BUFFER;
use super::ring::Ring;

/// The sources of a trigger, as they are written.
pub(super) const TRIGGERS: [&str; 10] =
    ["DISABLED", "NOW", "CH1_PE", "CH1_NE", "CH2_PE", "CH2_NE", "EXT_PE", "EXT_NE", "AWG_PE", "AWG_NE"];

/// What an input waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Wait {
    /// Nothing.
    Never,
    /// Nothing more: it is triggered by itself, or by the pulses at the external trigger.
    Now,
    /// The level of an input.
    Edge { channel: usize, rises: bool },
    /// A trigger of the generator.
    Generator,
}

/// One input of the acquisition.
#[derive(Debug, Clone)]
#[expect(clippy::struct_excessive_bools, reason = "each is a setting of the board with a command of its own")]
pub(super) struct Channel {
    pub(super) decimation: i64,
    pub(super) averages: bool,
    pub(super) bypasses_filter: bool,
    pub(super) level: f64,
    pub(super) delay: i64,
    pub(super) is_high_voltage: bool,
    /// Its place among the sources of a trigger.
    pub(super) trigger: usize,
    pub(super) is_started: bool,
    pub(super) ring: Ring,
    pub(super) deep: Deep,
}

/// The deep memory of an input.
#[derive(Debug, Clone)]
pub(super) struct Deep {
    pub(super) is_enabled: bool,
    pub(super) decimation: i64,
    /// Samples after the trigger.
    pub(super) delay: i64,
    pub(super) ring: Ring,
}

impl Default for Channel {
    fn default() -> Self {
        Self {
            decimation: 1,
            averages: true,
            bypasses_filter: false,
            level: 0.0,
            delay: 0,
            is_high_voltage: false,
            trigger: 0,
            is_started: false,
            ring: Ring::new(BUFFER),
            deep: Deep { is_enabled: false, decimation: 1, delay: 0, ring: Ring::new(0) },
        }
    }
}

impl Channel {
    pub(super) fn wait(&self) -> Wait {
        match self.trigger {
            0 => Wait::Never,
            2..=5 => Wait::Edge { channel: self.trigger / 2 - 1, rises: self.trigger.is_multiple_of(2) },
            8 | 9 => Wait::Generator,
            _ => Wait::Now,
        }
    }

    /// What it records next: samples, those from the trigger on, and the decimation.
    pub(super) fn plan(&self) -> (usize, usize, i64) {
        let (size, after, decimation) = if self.deep.is_enabled {
            (self.deep.ring.size(), self.deep.delay, self.deep.decimation)
        } else {
            (BUFFER, self.delay.saturating_add(BUFFER as i64 / 2), self.decimation)
        };
        (size, after.clamp(0, size as i64) as usize, decimation)
    }

    /// Whether the trigger has come, and its memory is full.
    pub(super) fn is_full(&self) -> bool {
        if self.deep.is_enabled { self.deep.ring.is_full } else { self.ring.is_full }
    }

    /// Its full scale in V.
    pub(super) fn full_scale(&self) -> f32 {
        if self.is_high_voltage { 20.0 } else { 1.0 }
    }
}
