//! The status that an instrument keeps for each of its clients: error queue, event register, operation and questionable status.
//!
//! Each client has its own, so that none reads away what another waits for, as servers with a session for each connection have it.
//!
//! ```text
//! status byte   7 OPER   6 MSS   5 ESB   4 MAV   3 QUES   2 error queue       IEEE 488.2, 11.2; SCPI-99, 9
//! event         7 PON    5 CME   4 EXE   3 DDE   2 QYE    0 OPC               IEEE 488.2, 11.5.1
//! ```

use std::collections::VecDeque;

use super::error::ScpiError;

/// How many errors the queue holds.
pub const QUEUE: usize = 16;
/// The fifteen bits that a SCPI register has: the sixteenth is never used (SCPI-99, 9).
pub const BITS: u16 = 0x7fff;
/// Bits of the standard event status register.
pub const POWER_ON: u8 = 128;
const COMMAND_ERROR: u8 = 32;
const EXECUTION_ERROR: u8 = 16;
const DEVICE_ERROR: u8 = 8;
const QUERY_ERROR: u8 = 4;
const OPERATION_COMPLETE: u8 = 1;

/// What an instrument's condition has been: one word, and how often each bit has risen and fallen.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Conditions {
    word: u16,
    rises: [u64; 15],
    falls: [u64; 15],
}

impl Conditions {
    /// From now on it is `word`.
    pub fn note(&mut self, word: u16) {
        for bit in 0..15 {
            let (before, now) = (self.word >> bit & 1, word >> bit & 1);
            self.rises[bit] += u64::from(before < now);
            self.falls[bit] += u64::from(now < before);
        }
        self.word = word & BITS;
    }
}

/// A register of SCPI: condition, transition filters, events and their enable mask.
#[derive(Debug, Clone)]
pub struct Register {
    /// What has been taken into account.
    seen: Conditions,
    event: u16,
    /// Events that reach the status byte.
    pub enable: u16,
    /// Bits whose rise is an event.
    pub rise: u16,
    /// Bits whose fall is an event.
    pub fall: u16,
}

impl Register {
    fn new(now: Conditions) -> Self {
        Self { seen: now, event: 0, enable: 0, rise: BITS, fall: 0 }
    }

    /// Takes into account what the condition is now.
    fn update(&mut self, now: &Conditions) {
        for bit in 0..15 {
            let rose = self.seen.rises[bit] < now.rises[bit] && self.rise >> bit & 1 == 1;
            let fell = self.seen.falls[bit] < now.falls[bit] && self.fall >> bit & 1 == 1;
            self.event |= u16::from(rose || fell) << bit;
        }
        self.seen = *now;
    }

    /// What is so now.
    pub fn condition(&self) -> u16 {
        self.seen.word
    }

    /// What has happened since it was asked last.
    pub fn take_event(&mut self) -> u16 {
        std::mem::take(&mut self.event)
    }

    /// As `STATus:PRESet` has it (SCPI-99, 20.7).
    fn preset(&mut self) {
        (self.enable, self.rise, self.fall) = (0, BITS, 0);
    }

    fn summary(&self) -> bool {
        self.event & self.enable != 0
    }
}

/// The status for one client.
#[derive(Debug, Clone)]
pub struct Status {
    errors: VecDeque<ScpiError>,
    event: u8,
    /// `*ESE`.
    pub event_mask: u8,
    service_mask: u8,
    /// `STATus:OPERation`.
    pub operation: Register,
    /// `STATus:QUEStionable`.
    pub questionable: Register,
    /// `*OPC` waits for the end of what is going on.
    completes: bool,
    /// Whether answers of the message that is being read wait to be sent.
    pub answers_wait: bool,
}

impl Default for Status {
    fn default() -> Self {
        Self::new(Conditions::default(), Conditions::default())
    }
}

impl Status {
    /// As it is after power was switched on.
    pub fn new(operation: Conditions, questionable: Conditions) -> Self {
        Self {
            errors: VecDeque::new(),
            event: POWER_ON,
            event_mask: 0,
            service_mask: 0,
            operation: Register::new(operation),
            questionable: Register::new(questionable),
            completes: false,
            answers_wait: false,
        }
    }

    /// Takes into account what the instrument's conditions are, and whether something is going on.
    pub fn update(&mut self, operation: &Conditions, questionable: &Conditions, busy: bool) {
        self.operation.update(operation);
        self.questionable.update(questionable);
        if self.completes && !busy {
            self.completes = false;
            self.event |= OPERATION_COMPLETE;
        }
    }

    /// Notes an error. A full queue keeps its oldest entries, and its last says that others were lost (SCPI-99, 21.8.1).
    pub fn raise(&mut self, error: ScpiError) {
        self.event |= match error.code {
            -199..=-100 => COMMAND_ERROR,
            -299..=-200 => EXECUTION_ERROR,
            -499..=-400 => QUERY_ERROR,
            _ => DEVICE_ERROR,
        };
        if self.errors.len() < QUEUE {
            self.errors.push_back(error);
        } else if let Some(last) = self.errors.back_mut() {
            *last = ScpiError::OVERFLOW;
        }
    }

    /// The oldest error, which is taken out of the queue.
    pub fn next_error(&mut self) -> ScpiError {
        self.errors.pop_front().unwrap_or(ScpiError::NONE)
    }

    /// How many errors wait.
    pub fn count(&self) -> usize {
        self.errors.len()
    }

    /// `*ESR?`.
    pub fn take_event(&mut self) -> u8 {
        std::mem::take(&mut self.event)
    }

    /// `*OPC`.
    pub fn complete_later(&mut self) {
        self.completes = true;
    }

    /// `*CLS`: errors and events are gone, and masks stay.
    pub fn clear(&mut self) {
        self.errors.clear();
        self.event = 0;
        self.operation.event = 0;
        self.questionable.event = 0;
        self.completes = false;
    }

    /// `*RST`: nothing of the status but a waiting `*OPC` (IEEE 488.2, 10.32).
    pub fn reset(&mut self) {
        self.completes = false;
    }

    /// `STATus:PRESet`.
    pub fn preset(&mut self) {
        self.operation.preset();
        self.questionable.preset();
    }

    /// `*SRE`: bit 6 is not kept (IEEE 488.2, 11.3.2.3).
    pub fn set_service_mask(&mut self, mask: u8) {
        self.service_mask = mask & !64;
    }

    /// `*SRE?`.
    pub fn service_mask(&self) -> u8 {
        self.service_mask
    }

    /// `*STB?`.
    pub fn byte(&self) -> u8 {
        let summary = u8::from(!self.errors.is_empty()) << 2
            | u8::from(self.questionable.summary()) << 3
            | u8::from(self.answers_wait) << 4
            | u8::from(self.event & self.event_mask != 0) << 5
            | u8::from(self.operation.summary()) << 7;
        summary | u8::from(summary & self.service_mask != 0) << 6
    }
}
