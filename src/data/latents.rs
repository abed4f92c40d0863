//! Latents: what a generator makes images of, drawn by the experiment's seed.
//!
//! A row is a standard normal number for each latent, then 1 for the class and 0 for all others where the generator is told classes, then the
//! noise of a motion. Training rows are drawn anew in each epoch, by seed, epoch and row: the same in any batch and after a resumed run.

use sims::Key;

use super::Targets;
use super::augmentation::Augmented;

/// What goes into a generator.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Latents {
    /// Standard normal numbers.
    pub latent: usize,
    /// Classes that it is told; 0 where it is told none.
    pub classes: usize,
}

impl Latents {
    /// Values of a row.
    pub fn width(&self) -> usize {
        self.latent + self.classes
    }

    /// A row with so many values of noise behind it; without a label its class is drawn as well.
    pub fn row(&self, label: Option<u32>, noise: usize, key: Key) -> Vec<f32> {
        let mut stream = key.stream();
        let mut row: Vec<f32> = (0..self.latent).map(|_| stream.normal()).collect();
        if 0 < self.classes {
            let class = label.map_or_else(|| stream.below(self.classes), |label| label as usize % self.classes);
            row.extend((0..self.classes).map(|one| f32::from(u8::from(one == class))));
        }
        let mut stream = key.branch("noise").stream();
        row.extend((0..noise).map(|_| stream.normal()));
        row
    }
}

/// Training rows that are drawn for each epoch.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Drawn {
    pub latents: Latents,
    /// Values of noise behind the latents.
    pub noise: usize,
    pub key: Key,
    /// The class of each row, where rows have classes.
    pub labels: Vec<u32>,
    /// How the images of each epoch are varied, if they are.
    pub augmented: Option<Augmented>,
}

impl Drawn {
    /// The rows at `indices`, as they are drawn for `epoch`, and their targets.
    pub fn batch(&self, epoch: usize, indices: &[usize], targets: &Targets) -> (Vec<f32>, Targets) {
        let key = self.key.branch("epochs").number(epoch as u64);
        let row =
            |&index: &usize| self.latents.row(self.labels.get(index).copied(), self.noise, key.number(index as u64));
        let values = indices.iter().flat_map(row).collect();
        let targets = targets.pick(indices);
        let (Some(augmented), Targets::Values { values: known, width }) = (&self.augmented, &targets) else {
            return (values, targets);
        };
        // The last value of a target is its class.
        let pixels = width - 1;
        let varied = augmented.rows(epoch, indices, pixels);
        let rows = varied.chunks_exact(pixels).zip(known.chunks_exact(*width));
        let varied = rows.flat_map(|(pixels, known)| pixels.iter().chain(&known[pixels.len()..])).copied().collect();
        (values, Targets::Values { values: varied, width: *width })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_is_latents_a_class_and_noise_and_follows_its_key() {
        let latents = Latents { latent: 3, classes: 4 };
        let key = Key::new(5);
        let row = latents.row(Some(2), 5, key);
        assert_eq!((row.len(), &row[3..7]), (12, &[0.0, 0.0, 1.0, 0.0][..]));
        assert_eq!(row, latents.row(Some(2), 5, key));
        assert_ne!(row[..3], latents.row(Some(2), 5, Key::new(6))[..3]);
        // Longer noise begins with the shorter.
        assert_eq!(row, latents.row(Some(2), 8, key)[..12]);
        let drawn = latents.row(None, 0, key);
        assert_eq!(drawn[3..].iter().sum::<f32>(), 1.0);
        assert_eq!(Latents { classes: 0, ..latents }.row(Some(2), 0, key).len(), 3);
    }
}
