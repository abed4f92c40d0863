//! Whether the batches of an epoch are mixed: those of a data file that is sorted by class hold few classes each, and whoever normalizes by
//! such a batch takes the class out with its mean.
//!
//! How uneven the classes are over the batches is told by the sum of `n²/N` over batches and classes (n shots of a class in a batch, N of that
//! class in all): with the sizes of batches and classes fixed it rises with Pearson's χ². It is held against the same rows in [`SHUFFLES`]
//! random orders. If all orders were alike, the given one would be the most uneven of them once in `SHUFFLES + 1` times: that is the rate of
//! false alarms, exactly.

use sims::Key;

use super::{BatchOrder, TrainingConfig};
use crate::Error;
use crate::data::Dataset;
use crate::training::Prepared;

/// Random orders that the given one is compared with.
const SHUFFLES: usize = 999;
/// Batches that are looked at, evenly spaced over the epoch.
const BATCHES: usize = 64;

impl Prepared {
    /// What is to be said of the order of the batches before the first shot, if anything.
    pub fn order_warning(&self) -> Result<Option<String>, Error> {
        let (training, seed) = (&self.experiment.training, self.experiment.seed);
        if training.order == BatchOrder::Shuffled {
            return Ok(None);
        }
        Ok(order_warning(training, &self.load(seed)?, Key::new(seed)))
    }
}

/// What is to be said of the order of the batches before the first shot, if anything.
pub(crate) fn order_warning(config: &TrainingConfig, data: &Dataset, key: Key) -> Option<String> {
    if config.order == BatchOrder::Shuffled {
        return None;
    }
    let size = config.batch.min(data.train.len());
    let found = Sorted::find(data.train.labels(), size, key.branch("batch order"))?;
    Some(format!(
        "the batches are sorted: on average {:.0} % of a batch's shots are of its most frequent class, where a shuffled batch has {:.0} %. (No \
         one of {SHUFFLES} random orders is as uneven; of shuffled data that would be said once in {} runs.) A layer that normalizes by its \
         batch loses the class with the batch's mean. Set training.order = \"shuffled\"",
        100.0 * found.given,
        100.0 * found.shuffled,
        SHUFFLES + 1
    ))
}

/// How pure batches are: the mean share of a batch's most frequent class.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Sorted {
    given: f64,
    shuffled: f64,
}

impl Sorted {
    /// Where the classes are more unevenly spread over the batches than in any random order.
    fn find(labels: &[u32], size: usize, key: Key) -> Option<Self> {
        let all = labels.len().checked_div(size)?;
        let looked = all.min(BATCHES);
        if looked < 2 {
            return None;
        }
        let starts = (0..looked).map(|batch| batch * all / looked * size);
        let mut rows: Vec<u32> = starts.flat_map(|start| &labels[start..start + size]).copied().collect();
        let classes = rows.iter().max().map_or(0, |last| *last as usize + 1);
        let mut totals = vec![0; classes];
        for label in &rows {
            totals[*label as usize] += 1;
        }
        let (given, purity) = spread(&rows, size, &totals);
        let mut stream = key.stream();
        let mut shuffled = 0.0;
        for _ in 0..SHUFFLES {
            stream.shuffle(&mut rows);
            let (one, of_one) = spread(&rows, size, &totals);
            if given <= one {
                return None;
            }
            shuffled += of_one / SHUFFLES as f64;
        }
        Some(Self { given: purity, shuffled })
    }
}

/// How uneven the classes are over the batches, and the mean share of a batch's most frequent class.
fn spread(rows: &[u32], size: usize, totals: &[u32]) -> (f64, f64) {
    let (mut uneven, mut purity) = (0.0, 0.0);
    let mut counts = vec![0_u32; totals.len()];
    for batch in rows.chunks_exact(size) {
        counts.fill(0);
        for label in batch {
            counts[*label as usize] += 1;
        }
        let part = |(count, total): (&u32, &u32)| f64::from(*count).powi(2) / f64::from((*total).max(1));
        uneven += counts.iter().zip(totals).map(part).sum::<f64>();
        purity += f64::from(counts.iter().copied().max().unwrap_or(0)) / size as f64;
    }
    (uneven, purity / (rows.len() / size) as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shuffled(seed: u64) -> Vec<u32> {
        let mut labels: Vec<u32> = (0..400).map(|row| row % 5).collect();
        Key::new(seed).stream().shuffle(&mut labels);
        labels
    }

    #[test]
    fn sorted_and_class_pure_batches_are_found() {
        let find = |labels: &[u32]| Sorted::find(labels, 20, Key::new(1));
        let sorted: Vec<u32> = (0..400).map(|row| row / 80).collect();
        let found = find(&sorted).unwrap();
        assert!(found.given > 0.99 && found.shuffled < 0.5, "{found:?}");
        // Pure batches in any order are as bad as sorted ones.
        let pure: Vec<u32> = (0..400).map(|row| row / 20 * 3 % 5).collect();
        assert_eq!(find(&pure).unwrap().given, 1.0);
        // Half sorted: the second half of each batch is of one class.
        let half: Vec<u32> = (0..400).map(|row| if row % 20 < 10 { row % 5 } else { row / 20 % 5 }).collect();
        assert!(find(&half).is_some());
        assert_eq!(find(&(0..400).map(|row| row % 5).collect::<Vec<_>>()), None, "evenly mixed");
        assert_eq!(Sorted::find(&sorted, 400, Key::new(1)), None, "one batch of all rows has no order");
        assert_eq!(Sorted::find(&[], 0, Key::new(1)), None);
    }

    #[test]
    fn shuffled_batches_are_hardly_ever_called_sorted() {
        // Of 300 shuffled orders 0.3 are expected; more than 3 would come once in some 4,000 such tests.
        let alarms =
            (0..300).filter(|seed| Sorted::find(&shuffled(*seed), 20, Key::new(1000 + seed)).is_some()).count();
        assert!(alarms <= 3, "{alarms}");
    }
}
