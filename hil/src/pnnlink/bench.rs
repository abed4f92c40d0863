//! What a simulated pnnlink instrument is connected to: the physics of a system, its clock, and the converters' faults.

use std::sync::Arc;

use drivers::pnnlink::description::Layout;
use drivers::pnnlink::message::OVERRUN;
use drivers::{Batch, Direction, Error, Range};
use sims::{Moment, System};

use crate::{Fault, Faults};

/// By how much a step of the gain changes readings (1): below the repeatability of the benches that are simulated.
const GAIN_STEP: f32 = 1e-3;
/// Values whose code is the nearest to a range's end may lie beyond it by this part of the range.
const SLACK: f32 = 1e-5;

/// The answer to one shot.
#[derive(Debug, Clone)]
pub struct Answer {
    /// Which acquisition it was.
    pub acquisition: u32,
    /// What is wrong with it, as in the message.
    pub quality: u8,
    /// Coded outputs.
    pub values: Vec<u8>,
}

/// The bench behind the converters.
#[derive(Debug)]
pub struct Bench {
    system: Arc<dyn System>,
    outputs: Layout,
    controls: Vec<f32>,
    /// The bench's clock at the beginning of the batch.
    moment: Moment,
    /// Shots driven since.
    in_batch: usize,
    acquisition: u32,
    faults: Faults,
    gain: f32,
    driven: u64,
    largest_step: f32,
}

impl Bench {
    /// A bench that has just been switched on, with its controls where safety wants them.
    pub fn new(system: Arc<dyn System>, outputs: Layout, faults: Faults) -> Self {
        Self {
            system,
            outputs,
            controls: Vec::new(),
            moment: Moment::default(),
            in_batch: 0,
            acquisition: 0,
            faults,
            gain: 1.0,
            driven: 0,
            largest_step: 0.0,
        }
    }

    /// Shots that it has really seen.
    pub fn driven(&self) -> u64 {
        self.driven
    }

    /// The largest step that a control has made at once since it was last safe, in its unit.
    pub fn largest_step(&self) -> f32 {
        self.largest_step
    }

    /// The controls that are applied.
    pub fn controls(&self) -> &[f32] {
        &self.controls
    }

    /// The counters of its converters start anew; time goes on.
    pub fn power_cycle(&mut self) {
        self.acquisition = 0;
    }

    /// Outputs off, controls at zero or the nearest allowed.
    pub fn make_safe(&mut self) {
        self.controls = self.system.card().ports.at_rest(Direction::Control);
        self.largest_step = 0.0;
    }

    /// Sets the controls, if they are in range.
    pub fn apply(&mut self, controls: &[f32]) -> Result<(), Error> {
        let card = self.system.card();
        let controls = snap(&card.ports.ranges(Direction::Control), controls);
        card.ports.check(Direction::Control, &controls)?;
        let settle = card.timing.settle;
        let steps = controls.iter().zip(&self.controls).map(|(to, from)| (to - from).abs());
        self.largest_step = steps.fold(self.largest_step, f32::max);
        self.controls = self.system.settle(&controls);
        self.moment = self.now();
        self.moment.seconds += settle;
        self.in_batch = 0;
        Ok(())
    }

    /// Drives shots, if they are in range; `begins` says that a batch begins with them. `last` is the last shot's answer.
    pub fn shoot(&mut self, begins: bool, inputs: &Batch, mut last: Option<Answer>) -> Result<Vec<Answer>, Error> {
        let card = self.system.card();
        let ranges = card.ports.ranges(Direction::Input);
        let values: Vec<f32> = inputs.iter().flat_map(|row| snap(&ranges, row)).collect();
        let inputs = Batch::new(ranges.len(), values)?;
        for row in &inputs {
            card.ports.check(Direction::Input, row)?;
        }
        let shot = card.timing.shot;
        if begins {
            self.moment = self.now();
            self.in_batch = 0;
        }
        let done = self.in_batch;
        let moment =
            Moment { shots: self.moment.shots + done as u64, seconds: self.moment.seconds + shot * done as f64 };
        let outputs = self.system.shoot(&inputs, &self.controls, moment);
        self.in_batch += inputs.rows();
        self.driven += inputs.rows() as u64;
        let mut answers = Vec::with_capacity(outputs.rows());
        for row in &outputs {
            let answer = self.read(row, last.as_ref());
            last = Some(answer.clone());
            answers.push(answer);
        }
        Ok(answers)
    }

    /// The bench's clock after the batch so far.
    fn now(&self) -> Moment {
        let spent = if self.in_batch == 0 { 0.0 } else { self.system.card().timing.batch(self.in_batch) };
        Moment { shots: self.moment.shots + self.in_batch as u64, seconds: self.moment.seconds + spent }
    }

    /// What the converters make of one reading, with the fault that is due.
    fn read(&mut self, row: &[f32], last: Option<&Answer>) -> Answer {
        let mut row: Vec<f32> = row.iter().map(|value| value * self.gain).collect();
        let mut quality = 0;
        if let Some(last) = last {
            if self.faults.strike(Fault::StaleFrame) {
                return last.clone();
            }
            if self.faults.strike(Fault::StuckValue) {
                self.acquisition = self.acquisition.wrapping_add(1);
                return Answer { acquisition: self.acquisition, ..last.clone() };
            }
        }
        if self.faults.strike(Fault::DriftStep) {
            self.gain = if self.gain == 1.0 { 1.0 + GAIN_STEP } else { 1.0 };
        }
        if self.faults.strike(Fault::NotANumber) {
            row[0] = f32::NAN;
        }
        if self.faults.strike(Fault::Xrun) {
            quality = OVERRUN;
            row.fill(0.0);
        }
        if self.faults.strike(Fault::Saturation) {
            row = self.system.card().ports.ranges(Direction::Output).iter().map(|range| range.high).collect();
        }
        self.acquisition = self.acquisition.wrapping_add(1);
        let mut values = Vec::new();
        self.outputs.encode(&row, &mut values);
        Answer { acquisition: self.acquisition, quality, values }
    }
}

/// Values at a range's end that rounding has put beyond it are the end.
fn snap(ranges: &[Range], values: &[f32]) -> Vec<f32> {
    let snap = |(value, range): (&f32, &Range)| {
        let slack = range.span() * SLACK;
        let is_near = range.low - slack <= *value && *value <= range.high + slack;
        if is_near { value.clamp(range.low, range.high) } else { *value }
    };
    values.iter().zip(ranges).map(snap).collect()
}
