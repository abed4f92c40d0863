//! The simulated plate as a stream: sound in, sound out, as many frames as went in.
//!
//! The plate is simulated shot by shot. Silence is exactly 0 on a digital line: the first other value begins a shot, which takes the
//! plate's number of samples, and its answer comes out when the shot is over. So the answer is late by one shot; whoever plays what
//! comes out puts as much silence before it ([`PlateStream::lead`]).

use std::sync::Arc;

use drivers::audio::AudioPlateConfig;
use drivers::{Batch, Plant};
use sims::{Simulated, System};

use crate::{Fault, Faults};

/// What a fault loses: a buffer of sound.
const LOST: usize = 240;

/// A simulated plate that is played to without end. Sound is in parts of full scale.
#[derive(Debug)]
pub struct PlateStream {
    plant: Simulated,
    samples: usize,
    volts_out: f32,
    volts_in: f32,
    faults: Faults,
    /// What has come of the shot that is being played; empty at rest.
    shot: Vec<f32>,
}

impl PlateStream {
    /// The plate `system` between the output and the input that `config` describes, at rest.
    pub fn new(system: Arc<dyn System>, config: &AudioPlateConfig, faults: Faults) -> Self {
        Self {
            samples: system.card().ports.input_count(),
            plant: Simulated::new(system),
            volts_out: config.output.full_scale_volts,
            volts_in: config.input.full_scale_volts,
            faults,
            shot: vec![],
        }
    }

    /// Frames that must be in stock before the first answer, so that the stream never waits for it.
    pub fn lead(&self) -> usize {
        self.samples
    }

    /// The plate hears `played` and answers; while a shot is under way, later.
    pub fn push(&mut self, played: &[f32]) -> Vec<f32> {
        let mut answer = Vec::with_capacity(played.len() + self.samples);
        for &value in played {
            if self.shot.is_empty() && value == 0.0 {
                answer.push(0.0);
                continue;
            }
            self.shot.push(self.volts_out * value);
            if self.shot.len() == self.samples {
                answer.extend(self.shoot());
            }
        }
        answer
    }

    /// The answer to the shot that is complete.
    fn shoot(&mut self) -> Vec<f32> {
        let inputs = Batch::new(self.samples, std::mem::take(&mut self.shot));
        let outputs = inputs.and_then(|inputs| self.plant.measure(&inputs));
        // The equations refuse nothing of the right width.
        let mut answer = outputs.map(|outputs| outputs.values().to_vec()).unwrap_or_default();
        for value in &mut answer {
            *value = (*value / self.volts_in).clamp(-1.0, 1.0);
        }
        if self.faults.strike(Fault::Xrun) {
            let middle = answer.len() / 2;
            answer.drain(middle..(middle + LOST).min(answer.len()));
        }
        answer
    }
}
