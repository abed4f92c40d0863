//! A ring of samples: where it was written last, and where the trigger is.

/// What an input has recorded.
#[derive(Debug, Clone)]
pub(super) struct Ring {
    /// The oldest first.
    samples: Vec<f32>,
    /// The place that is written next, where the oldest sample is.
    pub(super) next: usize,
    /// The place of the trigger.
    pub(super) trigger: usize,
    /// Whether the trigger has come since the start.
    pub(super) is_full: bool,
}

impl Ring {
    /// Of `size` samples, which are 0 so far.
    pub(super) fn new(size: usize) -> Self {
        Self { samples: vec![0.0; size], next: 0, trigger: 0, is_full: false }
    }

    /// How many samples it holds.
    pub(super) fn size(&self) -> usize {
        self.samples.len()
    }

    /// Takes as many samples as it holds, of which the last `after` came from the trigger on.
    pub(super) fn store(&mut self, samples: Vec<f32>, after: usize) {
        self.trigger = self.next;
        self.next = (self.next + after) % samples.len().max(1);
        self.samples = samples;
        self.is_full = true;
    }

    /// `count` samples from a place on.
    pub(super) fn from(&self, place: usize, count: usize) -> Vec<f32> {
        let size = self.size();
        if size == 0 {
            return vec![];
        }
        let oldest = (place % size + size - self.next) % size;
        (0..count.min(size)).map(|index| self.samples[(oldest + index) % size]).collect()
    }
}
