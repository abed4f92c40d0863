//! How far a row is from the nearest of some classes: a Mahalanobis distance from their means by one covariance within all of them.
//!
//! ```text
//! d(x) = min_c (x − m_c)ᵀ R*⁻¹ (x − m_c)        R* = (1 − ρ) R + ρ (tr R / p) I,  R = correlations within the classes
//! ```
//!
//! After Lee et al. (arXiv 1807.03888). The shrinkage ρ that is best for the covariance is too small to tell new classes by: of few rows the
//! directions in which the classes vary least come out too short, and rows of known classes that were not fitted to seem far. So ρ is
//! found from the classes themselves: a fifth of them at a time is left out, the distance is fitted to every other row of the rest, and that ρ is
//! taken with which rows of the left-out classes are told best (AUROC) from the other rows of the rest.

use crate::{Detection, Error, Mahalanobis, Statistics};

/// Parts into which the classes are divided, each of which is left out once.
const FOLDS: usize = 5;
/// What is tried for ρ; none: what the covariance asks for. Of equals the first is taken.
const SHARES: [Option<f64>; 6] = [None, Some(0.1), Some(0.2), Some(0.4), Some(0.7), Some(1.0)];
/// A part that never moves within a class, but between them, is counted in so much of its spread over all.
const FLOOR: f64 = 1e-2;
/// With fewer classes none is left out.
const FEWEST: usize = 3;

/// The distance from the nearest class.
///
/// ```
/// use calibration::NearestClass;
///
/// let rows = [0.0, 0.1, 0.1, 0.0, -0.1, 0.1, 5.0, 5.1, 5.1, 5.0, 4.9, 5.1];
/// let nearest = NearestClass::fit(&rows, 2, &[0, 0, 0, 1, 1, 1])?;
/// let found = nearest.distances(&[5.0, 5.0, 0.0, 5.0]);
/// assert!(100.0 * found[0] < found[1]);
/// # Ok::<(), calibration::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct NearestClass {
    distance: Mahalanobis,
    /// Means of the classes, one after another.
    centers: Vec<f32>,
}

/// Rows with their classes; without classes all are of one.
struct Labeled<'a> {
    rows: &'a [f32],
    width: usize,
    labels: &'a [u32],
}

/// What a distance is made of.
struct Within {
    statistics: Statistics,
    floors: Vec<f64>,
    centers: Vec<f32>,
}

impl NearestClass {
    /// Of rows of so many values, and their classes.
    pub fn fit(rows: &[f32], width: usize, labels: &[u32]) -> Result<Self, Error> {
        let known = Labeled { rows, width: width.max(1), labels };
        let all: Vec<usize> = (0..known.count()).collect();
        let share = known.best_share()?;
        known.within(&all).shrunk(share)
    }

    /// The squared distance of each row from the nearest class, divided by the number of values.
    pub fn distances(&self, rows: &[f32]) -> Vec<f32> {
        self.distance.nearest(&self.centers, rows)
    }

    /// How much of the covariance was replaced by a multiple of the identity: 0 to 1.
    pub fn shrinkage(&self) -> f64 {
        self.distance.shrinkage()
    }
}

impl Within {
    fn shrunk(&self, share: Option<f64>) -> Result<NearestClass, Error> {
        let distance = Mahalanobis::shrunk(&self.statistics, &self.floors, share)?;
        Ok(NearestClass { distance, centers: self.centers.clone() })
    }
}

impl Labeled<'_> {
    fn count(&self) -> usize {
        self.rows.len() / self.width
    }

    fn row(&self, place: usize) -> &[f32] {
        &self.rows[place * self.width..(place + 1) * self.width]
    }

    fn class(&self, place: usize) -> usize {
        self.labels.get(place).map_or(0, |label| *label as usize)
    }

    /// The rows at some places, one after another.
    fn pick(&self, places: &[usize]) -> Vec<f32> {
        places.iter().flat_map(|place| self.row(*place)).copied().collect()
    }

    /// The means of the classes of these rows, and the statistics of what rows differ from them.
    fn within(&self, places: &[usize]) -> Within {
        let classes = places.iter().map(|place| self.class(*place) + 1).max().unwrap_or(1);
        let mut means = vec![Statistics::new("a class", self.width); classes];
        let mut all = Statistics::new("rows", self.width);
        all.add(&self.pick(places));
        for place in places {
            means[self.class(*place)].add(self.row(*place));
        }
        let centered: Vec<f64> = places
            .iter()
            .flat_map(|place| {
                let center = means[self.class(*place)].mean();
                self.row(*place).iter().zip(center).map(|(value, center)| f64::from(*value) - center)
            })
            .collect();
        let mut statistics = Statistics::with_cross_moments("rows within their classes", self.width);
        statistics.add(&centered);
        let seen = means.iter().filter(|mean| 0 < mean.count());
        Within {
            statistics,
            floors: all.variance().iter().map(|variance| FLOOR * variance.sqrt()).collect(),
            centers: seen.flat_map(|mean| mean.mean().iter().map(|value| *value as f32)).collect(),
        }
    }

    /// With which share left-out classes are told best; none where there are too few classes or rows to ask.
    fn best_share(&self) -> Result<Option<f64>, Error> {
        let mut classes: Vec<usize> = (0..self.count()).map(|place| self.class(place)).collect();
        classes.sort_unstable();
        classes.dedup();
        if classes.len() < FEWEST {
            return Ok(None);
        }
        let folds = FOLDS.min(classes.len());
        let fold_of = |place: usize| classes.binary_search(&self.class(place)).unwrap_or(0) % folds;
        let mut sums = [0.0; SHARES.len()];
        for fold in 0..folds {
            let (out, rest): (Vec<usize>, Vec<usize>) = (0..self.count()).partition(|place| fold_of(*place) == fold);
            let (fitted, judged) = self.halves(&rest);
            if fitted.len() < 2 || judged.is_empty() {
                return Ok(None);
            }
            let (within, out, judged) = (self.within(&fitted), self.pick(&out), self.pick(&judged));
            for (sum, share) in sums.iter_mut().zip(SHARES) {
                let nearest = within.shrunk(share)?;
                let far = |rows: &[f32]| nearest.distances(rows).into_iter().map(f64::from).collect::<Vec<f64>>();
                let Some(found) = Detection::of(&far(&judged), &far(&out)) else { return Ok(None) };
                *sum += found.auroc;
            }
        }
        let best = (0..sums.len()).reduce(|best, at| if sums[best] < sums[at] { at } else { best });
        Ok(best.and_then(|best| SHARES[best]))
    }

    /// Every other row of each class, and the others.
    fn halves(&self, places: &[usize]) -> (Vec<usize>, Vec<usize>) {
        let mut seen: Vec<usize> = Vec::new();
        places.iter().partition(|place| {
            let class = self.class(**place);
            if seen.len() <= class {
                seen.resize(class + 1, 0);
            }
            seen[class] += 1;
            seen[class] % 2 == 1
        })
    }
}

#[cfg(test)]
mod tests {
    use sims::Key;

    use super::*;

    /// Rows around centers that go apart in all directions, while rows vary along few of them.
    fn drawn(classes: usize, each: usize, width: usize, key: Key) -> (Vec<f32>, Vec<u32>) {
        let mut stream = key.branch("centers").stream();
        let centers: Vec<Vec<f32>> =
            (0..classes).map(|_| (0..width).map(|_| 2.0 * stream.normal()).collect()).collect();
        let mut stream = key.branch("rows").stream();
        let labels: Vec<u32> = (0..classes * each).map(|row| (row % classes) as u32).collect();
        let rows = labels
            .iter()
            .flat_map(|label| {
                let common = stream.normal();
                let own: Vec<f32> =
                    centers[*label as usize].iter().map(|center| center + common + 0.3 * stream.normal()).collect();
                own
            })
            .collect();
        (rows, labels)
    }

    #[test]
    fn of_few_rows_it_shrinks_more_than_the_covariance_asks_for_and_tells_new_classes_better() {
        let width = 20;
        let (rows, labels) = drawn(8, 12, width, Key::new(3));
        let (known, unknown): (Vec<usize>, Vec<usize>) = (0..labels.len()).partition(|row| labels[*row] < 6);
        let all = Labeled { rows: &rows, width, labels: &labels };
        let (fitted, fresh) = all.halves(&known);
        let own: Vec<u32> = fitted.iter().map(|row| labels[*row]).collect();
        let nearest = NearestClass::fit(&all.pick(&fitted), width, &own).unwrap();
        let plain = all.within(&fitted).shrunk(None).unwrap();
        assert!(plain.shrinkage() <= nearest.shrinkage(), "{} {}", plain.shrinkage(), nearest.shrinkage());
        let auroc = |nearest: &NearestClass| {
            let far = |places: &[usize]| -> Vec<f64> {
                nearest.distances(&all.pick(places)).into_iter().map(f64::from).collect()
            };
            Detection::of(&far(&fresh), &far(&unknown)).unwrap().auroc
        };
        assert!(auroc(&plain) <= auroc(&nearest) && 0.95 < auroc(&nearest), "{} {}", auroc(&plain), auroc(&nearest));
    }

    #[test]
    fn without_classes_it_is_the_distance_from_the_mean() {
        let (rows, _) = drawn(1, 50, 4, Key::new(5));
        let nearest = NearestClass::fit(&rows, 4, &[]).unwrap();
        let mut statistics = Statistics::with_cross_moments("a", 4);
        statistics.add(&rows);
        let plain = Mahalanobis::fit(&statistics, &[0.0; 4]).unwrap();
        for (one, other) in nearest.distances(&rows).iter().zip(plain.distances(&rows)) {
            assert!((one - other).abs() < 1e-3 * other.max(1.0), "{one}, {other}");
        }
    }
}
