//! How sequences move: differences between frames, seen along random directions, as normal distributions.
//!
//! ```text
//! features of a sequence = [x_{t+1} − x_t, x_{t+4} − x_t, x_T − x_1] R        R random, 24 columns
//! ```
//!
//! Each kind of difference is divided by its deviation over the real sequences. All are scaled so that sequences that stand still are 37.1
//! away from the real ones, as in the prototype whose numbers stand beside ours: distances of other sequences are then in its unit.

use sims::Key;

use super::frechet::frechet;

/// Random directions.
const DIRECTIONS: usize = 24;
/// Frames between those whose differences are taken, besides all.
const LAGS: [usize; 2] = [1, 4];
/// What still sequences are away.
const STILL: f64 = 37.1;
const SEED: u64 = 20_210_430;

/// Measures how sequences move, beside real ones.
pub struct Features {
    frames: usize,
    pixels: usize,
    /// What each kind of difference is multiplied by.
    scales: Vec<f64>,
    /// `[differences, directions]`.
    directions: Vec<f64>,
    real: Vec<f64>,
    unit: f64,
}

impl Features {
    /// Beside real sequences of so many frames and values in each.
    pub fn new(real: &[f32], [frames, pixels]: [usize; 2]) -> Option<Self> {
        let mut own =
            Self { frames, pixels, scales: vec![1.0; LAGS.len() + 1], directions: vec![], real: vec![], unit: 1.0 };
        own.scales = (0..own.scales.len())
            .map(|kind| {
                let all: Vec<f64> = own.sequences(real).flat_map(|one| own.kind(one, kind)).collect();
                let square = all.iter().map(|value| value * value).sum::<f64>() / all.len().max(1) as f64;
                1.0 / square.sqrt().max(1e-12)
            })
            .collect();
        let width: usize = own.sequences(real).take(1).map(|one| own.differences(one).len()).sum();
        let mut stream = Key::new(SEED).branch("features").stream();
        let norm = 1.0 / (width.max(1) as f64).sqrt();
        own.directions = (0..width * DIRECTIONS).map(|_| norm * f64::from(stream.normal())).collect();
        own.real = own.of(real);
        let still = frechet(&vec![0.0; own.real.len()], &own.real, DIRECTIONS)?;
        own.unit = STILL / still.max(f64::MIN_POSITIVE);
        Some(own)
    }

    /// The Fréchet distance of sequences from the real ones; infinite of fewer than two.
    pub fn distance(&self, sequences: &[f32]) -> f64 {
        frechet(&self.of(sequences), &self.real, DIRECTIONS).map_or(f64::INFINITY, |found| self.unit * found)
    }

    /// Of sequences of which as many follow one another as show the same content: how much of their variance is within a content.
    pub fn diversity(&self, sequences: &[f32], each: usize) -> f64 {
        let features = self.of(sequences);
        let variance = |rows: &[f64]| {
            let count = (rows.len() / DIRECTIONS).max(1) as f64;
            (0..DIRECTIONS)
                .map(|column| {
                    let values = || rows.iter().skip(column).step_by(DIRECTIONS);
                    let mean = values().sum::<f64>() / count;
                    values().map(|value| (value - mean).powi(2)).sum::<f64>() / count
                })
                .sum::<f64>()
        };
        let contents: Vec<f64> = features.chunks_exact(each * DIRECTIONS).map(variance).collect();
        let within = contents.iter().sum::<f64>() / contents.len().max(1) as f64;
        (within / variance(&features).max(f64::MIN_POSITIVE)).sqrt()
    }

    fn sequences<'s>(&self, values: &'s [f32]) -> impl Iterator<Item = &'s [f32]> + use<'s> {
        values.chunks_exact(self.frames * self.pixels)
    }

    /// One kind of difference of a sequence.
    fn kind(&self, sequence: &[f32], kind: usize) -> Vec<f64> {
        let lag = LAGS.get(kind).copied().unwrap_or(self.frames - 1).min(self.frames - 1);
        let shift = lag * self.pixels;
        let pairs = sequence[shift..].iter().zip(sequence);
        pairs.map(|(late, early)| self.scales[kind] * f64::from(late - early)).collect()
    }

    fn differences(&self, sequence: &[f32]) -> Vec<f64> {
        (0..self.scales.len()).flat_map(|kind| self.kind(sequence, kind)).collect()
    }

    fn of(&self, sequences: &[f32]) -> Vec<f64> {
        let mut features = Vec::new();
        for sequence in self.sequences(sequences) {
            let mut seen = [0.0; DIRECTIONS];
            for (difference, along) in
                self.differences(sequence).into_iter().zip(self.directions.chunks_exact(DIRECTIONS))
            {
                seen.iter_mut().zip(along).for_each(|(sum, weight)| *sum += difference * weight);
            }
            features.extend(seen);
        }
        features
    }
}

/// The same sequences with their frames in no order.
pub fn shuffled(sequences: &[f32], [frames, pixels]: [usize; 2], key: Key) -> Vec<f32> {
    let mut stream = key.stream();
    let mut turned = Vec::with_capacity(sequences.len());
    for sequence in sequences.chunks_exact(frames * pixels) {
        let mut order: Vec<usize> = (0..frames).collect();
        stream.shuffle(&mut order);
        for frame in order {
            turned.extend(&sequence[frame * pixels..][..pixels]);
        }
    }
    turned
}

/// The same sequences, each with its first frame alone.
pub fn still(sequences: &[f32], [frames, pixels]: [usize; 2]) -> Vec<f32> {
    sequences.chunks_exact(frames * pixels).flat_map(|sequence| sequence[..pixels].repeat(frames)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn circles(count: usize, key: Key) -> Vec<f32> {
        let mut stream = key.stream();
        let mut values = Vec::new();
        for _ in 0..count {
            let (phase, speed) = (std::f32::consts::TAU * stream.uniform(), 0.2 + 0.2 * stream.uniform());
            for frame in 0..8 {
                let angle = phase + speed * frame as f32;
                values.extend([angle.cos(), angle.sin()]);
            }
        }
        values
    }

    #[test]
    fn others_of_the_same_motion_are_near_and_still_ones_where_the_unit_puts_them() {
        let features = Features::new(&circles(1000, Key::new(1)), [8, 2]).unwrap();
        let near = features.distance(&circles(1000, Key::new(2)));
        assert!((0.0..1.5).contains(&near), "{near}");
        let frozen = features.distance(&still(&circles(100, Key::new(3)), [8, 2]));
        assert!((frozen - 37.1).abs() < 1e-6, "{frozen}");
        let mixed = features.distance(&shuffled(&circles(1000, Key::new(4)), [8, 2], Key::new(5)));
        assert!(5.0 < mixed, "{mixed}");
    }

    #[test]
    fn diversity_is_none_of_repeated_sequences_and_all_of_unrelated_ones() {
        let some = circles(40, Key::new(6));
        let features = Features::new(&some, [8, 2]).unwrap();
        let repeated: Vec<f32> = some.chunks_exact(16).flat_map(|one| one.repeat(5)).collect();
        assert!(features.diversity(&repeated, 5) < 1e-3);
        assert!((features.diversity(&some, 40) - 1.0).abs() < 1e-9);
    }
}
