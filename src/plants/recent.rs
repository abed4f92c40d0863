//! The newest shots of a plant, as training took them: what a refresh of its twin is fitted to.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use calibration::Trace;
use drivers::{Batch, Card, Ports};
use serde::{Deserialize, Serialize};

use super::{Driven, ShotTap};
use crate::Error;

/// One batch.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Taken {
    controls: Vec<f32>,
    shots: usize,
    inputs: Vec<f32>,
    outputs: Vec<f32>,
}

/// The newest batches, of at least so many shots together as were asked for.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Memory {
    wanted: usize,
    held: usize,
    batches: VecDeque<Taken>,
}

impl Memory {
    /// Whether its batches are whole shots of the plant with these ports: what a checkpoint says is held against it.
    pub fn fits(&self, ports: &Ports) -> bool {
        let is_whole = |batch: &Taken| {
            let fill = |count: usize, values: &[f32]| {
                batch.shots.checked_mul(count) == Some(values.len()) && values.iter().all(|value| value.is_finite())
            };
            batch.controls.len() == ports.control_count()
                && fill(ports.input_count(), &batch.inputs)
                && fill(ports.output_count(), &batch.outputs)
        };
        self.batches.iter().all(is_whole) && self.held == self.batches.iter().map(|batch| batch.shots).sum::<usize>()
    }
}

/// What fills a memory with the shots of the plant at one place.
#[derive(Debug)]
struct Remembering {
    recent: Recent,
    place: usize,
}

impl ShotTap for Remembering {
    fn see(&mut self, driven: &Driven<'_>) -> Result<(), Error> {
        if driven.place == self.place && !driven.apart {
            self.recent.add(driven.applied, driven.inputs, driven.outputs);
        }
        Ok(())
    }
}

/// A memory that the lab fills and the upkeep reads.
#[derive(Debug, Clone, Default)]
pub struct Recent(Arc<Mutex<Memory>>);

impl Recent {
    /// A memory of the newest `shots`.
    pub fn of(shots: usize) -> Self {
        Self(Arc::new(Mutex::new(Memory { wanted: shots, ..Memory::default() })))
    }

    /// The tap that fills it with the shots of the plant at `place`.
    pub fn at(&self, place: usize) -> impl ShotTap + use<> {
        Remembering { recent: self.clone(), place }
    }

    fn lock(&self) -> MutexGuard<'_, Memory> {
        // Plain data: a thread that panicked while it held it has broken nothing.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds a batch, and forgets what is too old.
    pub fn add(&self, controls: &[f32], inputs: &Batch, outputs: &Batch) {
        let mut memory = self.lock();
        memory.held += inputs.rows();
        memory.batches.push_back(Taken {
            controls: controls.to_vec(),
            shots: inputs.rows(),
            inputs: inputs.values().to_vec(),
            outputs: outputs.values().to_vec(),
        });
        while let Some(oldest) = memory.batches.front().map(|batch| batch.shots)
            && memory.held - oldest >= memory.wanted
        {
            memory.batches.pop_front();
            memory.held -= oldest;
        }
    }

    /// What is remembered, as a trace of the plant of `card`; `None` if that is nothing.
    pub fn trace(&self, card: &Card) -> Option<Trace> {
        let memory = self.lock();
        let rows = |columns: usize, values: Vec<f32>| {
            let mut batch = Batch::zeros(memory.held, columns);
            batch.values_mut().copy_from_slice(&values);
            batch
        };
        if memory.held == 0 {
            return None;
        }
        let ports = &card.ports;
        let settings = memory.batches.iter().flat_map(|batch| batch.controls.iter().copied()).collect::<Vec<_>>();
        let mut to = Batch::zeros(memory.batches.len(), ports.control_count());
        to.values_mut().copy_from_slice(&settings);
        let numbered = memory.batches.iter().enumerate();
        Some(Trace {
            provenance: BTreeMap::new(),
            settings: to,
            setting_of: numbered.flat_map(|(index, batch)| std::iter::repeat_n(index as u32, batch.shots)).collect(),
            stimulus: (0..memory.held as u32).collect(),
            seconds: vec![0.0; memory.held],
            inputs: rows(
                ports.input_count(),
                memory.batches.iter().flat_map(|batch| batch.inputs.iter().copied()).collect(),
            ),
            outputs: rows(
                ports.output_count(),
                memory.batches.iter().flat_map(|batch| batch.outputs.iter().copied()).collect(),
            ),
            card: card.clone(),
        })
    }

    /// What is remembered, for a checkpoint.
    pub fn memory(&self) -> Memory {
        self.lock().clone()
    }

    /// Remembers what a checkpoint kept.
    pub fn restore(&self, memory: Memory) {
        *self.lock() = memory;
    }
}

#[cfg(test)]
mod tests {
    use sims::Adjustable;

    use super::*;

    #[test]
    fn old_shots_are_forgotten_and_a_checkpoint_remembers() {
        let card = sims::Electrical { samples: 2, ..sims::Electrical::default() }.card();
        let recent = Recent::of(10);
        assert!(recent.trace(&card).is_none());
        for number in 0..7 {
            let batch = Batch::from_fn(4, 2, |row, column| (10 * number + 2 * row + column) as f32);
            recent.add(&[], &batch, &batch);
        }
        let trace = recent.trace(&card).unwrap();
        assert_eq!((trace.shots(), trace.settings.rows()), (12, 3));
        assert_eq!(trace.outputs.row(11), [66.0, 67.0]);
        let other = Recent::of(1);
        other.restore(recent.memory());
        assert_eq!(other.trace(&card), Some(trace));
        let memory = recent.memory();
        assert!(memory.fits(&card.ports));
        assert!(!Memory { held: 11, ..memory.clone() }.fits(&card.ports));
        let narrow = sims::Electrical { samples: 1, ..sims::Electrical::default() }.card();
        assert!(!memory.fits(&narrow.ports), "shots of another plant");
    }
}
