//! Statistics of rows of values that can be merged: count, mean, variance and, where they are asked for, cross-moments.
//!
//! What was gathered in parts is what would have been gathered at once, whatever the parts are (Chan and others, The American
//! Statistician 37, 242, 1983):
//!
//! ```text
//! n = n₁ + n₂        δ = m₂ − m₁        m = m₁ + δ n₂/n        S = S₁ + S₂ + δ δᵀ n₁ n₂/n
//! ```
//!
//! with the mean m and the sums S of products of deviations. All sums are taken in f64.

mod sums;

use pulp::Arch;
use serde::{Deserialize, Serialize};
use sums::{Products, Sums};

use crate::Error;

/// The layout that is written; another one is refused.
const VERSION: u32 = 1;
/// The most columns: with their cross-moments some GiB.
const WIDEST: usize = 1 << 16;

/// Statistics of what was measured on one plant.
///
/// ```
/// use calibration::Statistics;
///
/// let mut all = Statistics::new("electrical 7", 2);
/// all.add(&[1.0, 10.0, 3.0, 30.0]);
/// let mut more = Statistics::new("electrical 7", 2);
/// more.add(&[5.0, 20.0]);
/// all.merge(&more)?;
/// assert_eq!((all.count(), all.mean()), (3, &[3.0, 20.0][..]));
/// assert!(all.merge(&Statistics::new("electrical 8", 2)).is_err(), "two plants have two sets");
/// # Ok::<(), calibration::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "Written", into = "Written")]
pub struct Statistics {
    of: String,
    count: u64,
    mean: Vec<f64>,
    /// Sums of squared deviations from the mean.
    squares: Vec<f64>,
    /// Sums of products of the deviations of two columns, the strict lower triangle row after row; none where only variances are wanted.
    products: Option<Vec<f64>>,
}

/// How far one set of statistics is from another.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct StatisticsShift {
    /// Root mean square over the columns of the change of the mean, in standard deviations of before.
    pub mean: f64,
    /// Root mean square over the columns of the logarithm of the ratio of the standard deviations.
    pub scale: f64,
}

/// The statistics as a file has them.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    version: u32,
    of: String,
    count: u64,
    mean: Vec<f64>,
    squares: Vec<f64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    products: Option<Vec<f64>>,
}

impl From<Statistics> for Written {
    fn from(Statistics { of, count, mean, squares, products }: Statistics) -> Self {
        Self { version: VERSION, of, count, mean, squares, products }
    }
}

impl TryFrom<Written> for Statistics {
    type Error = Error;

    fn try_from(Written { version, of, count, mean, squares, products }: Written) -> Result<Self, Error> {
        if version != VERSION {
            return Err(Error::statistics(&of, format!("have version {version}, but this program reads {VERSION}")));
        }
        let statistics = Self { of, count, mean, squares, products };
        statistics.complaint().map_or(Ok(()), |complaint| Err(Error::statistics(&statistics.of, complaint)))?;
        Ok(statistics)
    }
}

impl Statistics {
    /// Of nothing yet, for rows of `width` values measured on what is called `of`.
    pub fn new(of: impl Into<String>, width: usize) -> Self {
        Self { of: of.into(), count: 0, mean: vec![0.0; width], squares: vec![0.0; width], products: None }
    }

    /// The same with cross-moments.
    pub fn with_cross_moments(of: impl Into<String>, width: usize) -> Self {
        Self { products: Some(vec![0.0; triangle(width)]), ..Self::new(of, width) }
    }

    /// Statistics of which only count, means and variances (of the population) are known.
    pub fn known(of: impl Into<String>, count: u64, mean: Vec<f64>, variance: &[f64]) -> Result<Self, Error> {
        let squares = variance.iter().map(|variance| variance * count as f64).collect();
        let statistics = Self { of: of.into(), count, mean, squares, products: None };
        statistics.complaint().map_or(Ok(()), |complaint| Err(Error::statistics(&statistics.of, complaint)))?;
        Ok(statistics)
    }

    /// All numbers in one row: the count, the means, the sums of squares, and the sums of products where there are any.
    pub(crate) fn numbers(&self) -> Vec<f64> {
        let products = self.products.iter().flatten();
        std::iter::once(&(self.count as f64)).chain(&self.mean).chain(&self.squares).chain(products).copied().collect()
    }

    /// Statistics like these with the [`Self::numbers`] of others.
    pub(crate) fn with_numbers(&self, numbers: &[f64]) -> Result<Self, Error> {
        let (mut other, width) = (self.blank(), self.width());
        let products = other.products.as_ref().map_or(0, Vec::len);
        let refuse = |message| Err(Error::statistics(&self.of, message));
        if numbers.len() != 1 + 2 * width + products {
            return refuse(format!("have {} numbers, not {}", numbers.len(), 1 + 2 * width + products));
        }
        let (mean, rest) = numbers[1..].split_at(width);
        let (squares, cross) = rest.split_at(width);
        if !(0.0..=9e15).contains(&numbers[0]) {
            return refuse(format!("have a count of {}", numbers[0]));
        }
        (other.count, other.mean, other.squares) = (numbers[0] as u64, mean.to_vec(), squares.to_vec());
        other.products = other.products.map(|_| cross.to_vec());
        other.complaint().map_or(Ok(other), refuse)
    }

    /// What cannot be, if anything.
    fn complaint(&self) -> Option<String> {
        let (width, squares) = (self.width(), self.squares.len());
        if WIDEST < width || squares != width {
            return Some(format!(
                "have {width} means and {squares} variances: as many of each, at most {WIDEST}, were expected"
            ));
        }
        if let Some(products) = self.products.as_ref().filter(|products| products.len() != triangle(width)) {
            return Some(format!("have {} cross-moments of {width} columns, not {}", products.len(), triangle(width)));
        }
        let products = self.products.iter().flatten();
        let finite = self.mean.iter().chain(&self.squares).chain(products).all(|value| value.is_finite());
        (!finite || self.squares.iter().any(|square| *square < 0.0))
            .then(|| "have a value that is not finite, or a variance below 0".to_owned())
    }

    /// What was measured.
    pub fn of(&self) -> &str {
        &self.of
    }

    /// Columns.
    pub fn width(&self) -> usize {
        self.mean.len()
    }

    /// Values of each column.
    pub fn count(&self) -> u64 {
        self.count
    }

    /// The mean of each column.
    pub fn mean(&self) -> &[f64] {
        &self.mean
    }

    /// The variance of each column, as of a whole population (divided by the count); 0 of nothing.
    pub fn variance(&self) -> Vec<f64> {
        let count = self.count.max(1) as f64;
        self.squares.iter().map(|square| square / count).collect()
    }

    /// The variance of each column, as of a sample (divided by the count less one).
    pub fn sample_variance(&self) -> Vec<f64> {
        let count = self.count.max(2) as f64 - 1.0;
        self.squares.iter().map(|square| square / count).collect()
    }

    /// The covariance of two columns, as of a whole population; none where cross-moments were not asked for, or there is no such column.
    pub fn covariance(&self, a: usize, b: usize) -> Option<f64> {
        let count = self.count.max(1) as f64;
        if a == b {
            return Some(self.squares.get(a)? / count);
        }
        let (row, column) = (a.max(b), a.min(b));
        (row < self.width()).then_some(())?;
        Some(self.products.as_ref()?[triangle(row) + column] / count)
    }

    /// Adds whole rows, one after another.
    pub fn add<T: Copy + Into<f64>>(&mut self, rows: &[T]) {
        let mut part = self.blank();
        part.take(rows, 1);
        if let Some(products) = &mut part.products {
            Arch::new().dispatch(Products { rows, mean: &part.mean, sums: products });
        }
        self.join(&part);
    }

    /// Adds rows in which `stretch` neighboring values each are of one column, such as the positions of a channel. Where there are
    /// cross-moments they are not known of such rows, and are given up.
    pub fn add_stretches<T: Copy + Into<f64>>(&mut self, rows: &[T], stretch: usize) {
        if stretch == 1 {
            return self.add(rows);
        }
        self.products = None;
        let mut part = self.blank();
        part.take(rows, stretch);
        self.join(&part);
    }

    /// Adds what was gathered elsewhere of the same.
    pub fn merge(&mut self, other: &Self) -> Result<(), Error> {
        let fits = self.width() == other.width() && self.products.is_some() == other.products.is_some();
        if self.of != other.of || !fits {
            let words = |one: &Self| {
                let with = if one.products.is_some() { " with cross-moments" } else { "" };
                format!("{} columns{with} of `{}`", one.width(), one.of)
            };
            let message = format!("have {}, and cannot be merged with {}", words(self), words(other));
            return Err(Error::statistics(&self.of, message));
        }
        self.join(other);
        Ok(())
    }

    /// How far these are from `before`; a column that did not vary is counted in 1 of its own unit. None where the widths differ.
    pub fn shift_from(&self, before: &Self) -> Option<StatisticsShift> {
        (self.width() == before.width()).then_some(())?;
        let width = self.width().max(1) as f64;
        let (mut mean, mut scale) = (0.0, 0.0);
        let deviations = self.variance().into_iter().zip(before.variance());
        for ((now, then), (variance, old)) in self.mean.iter().zip(&before.mean).zip(deviations) {
            let unit = if old > 0.0 { old } else { 1.0 };
            mean += (now - then).powi(2) / unit / width;
            if variance > 0.0 && old > 0.0 {
                scale += (0.5 * (variance / old).ln()).powi(2) / width;
            }
        }
        Some(StatisticsShift { mean: mean.sqrt(), scale: scale.sqrt() })
    }

    /// Of nothing, like these.
    fn blank(&self) -> Self {
        let width = self.width();
        Self {
            products: self.products.as_ref().map(|_| vec![0.0; triangle(width)]),
            ..Self::new(self.of.clone(), width)
        }
    }

    /// Count, means and squares of rows, in two passes, so that a large mean costs no digits.
    fn take<T: Copy + Into<f64>>(&mut self, rows: &[T], stretch: usize) {
        let whole = self.width() * stretch;
        if whole == 0 {
            return;
        }
        self.count = (rows.len() / whole * stretch) as u64;
        let count = self.count.max(1) as f64;
        if stretch == 1 {
            let (mean, squares) = (&mut self.mean[..], &mut self.squares[..]);
            return Arch::new().dispatch(Sums { rows, count, mean, squares });
        }
        for row in rows.chunks_exact(whole) {
            for (mean, values) in self.mean.iter_mut().zip(row.chunks_exact(stretch)) {
                *mean += values.iter().map(|value| (*value).into()).sum::<f64>();
            }
        }
        self.mean.iter_mut().for_each(|mean| *mean /= count);
        let mut remains = vec![0.0; self.width()];
        for row in rows.chunks_exact(whole) {
            let sums = self.mean.iter().zip(self.squares.iter_mut().zip(&mut remains));
            for ((mean, (square, remain)), values) in sums.zip(row.chunks_exact(stretch)) {
                for value in values {
                    let deviation = (*value).into() - mean;
                    (*square, *remain) = (*square + deviation * deviation, *remain + deviation);
                }
            }
        }
        // What rounding of the mean has left.
        for ((square, mean), remain) in self.squares.iter_mut().zip(&mut self.mean).zip(remains) {
            *square = (*square - remain * remain / count).max(0.0);
            *mean += remain / count;
        }
    }

    /// Adds statistics of the same columns.
    fn join(&mut self, other: &Self) {
        let (own, more) = (self.count as f64, other.count as f64);
        if other.count == 0 {
            return;
        }
        let whole = own + more;
        let steps: Vec<f64> = other.mean.iter().zip(&self.mean).map(|(theirs, ours)| theirs - ours).collect();
        let between = own * (more / whole);
        for ((mean, square), (step, theirs)) in
            self.mean.iter_mut().zip(&mut self.squares).zip(steps.iter().zip(&other.squares))
        {
            *mean += step * (more / whole);
            *square += theirs + step * step * between;
        }
        if let (Some(products), Some(theirs)) = (&mut self.products, &other.products) {
            let pairs =
                steps.iter().enumerate().flat_map(|(row, step)| steps[..row].iter().map(move |other| step * other));
            for ((product, theirs), pair) in products.iter_mut().zip(theirs).zip(pairs) {
                *product += theirs + pair * between;
            }
        }
        self.count += other.count;
    }
}

/// Pairs of so many columns.
fn triangle(width: usize) -> usize {
    width * width.saturating_sub(1) / 2
}

#[cfg(test)]
mod tests {
    use sims::Key;

    use super::*;

    /// Rows with a large mean, so that digits are lost where a formula loses any.
    fn rows(key: Key, count: usize, width: usize) -> Vec<f64> {
        let mut stream = key.stream();
        (0..count * width).map(|index| 1000.0 * (index % width) as f64 + f64::from(stream.normal())).collect()
    }

    fn close(a: f64, b: f64) -> bool {
        (a - b).abs() <= 1e-12 * a.abs().max(b.abs()).max(1e-3)
    }

    fn same(one: &Statistics, other: &Statistics) {
        assert_eq!(one.count(), other.count());
        for column in 0..one.width() {
            assert!(close(one.mean()[column], other.mean()[column]), "{:?} {:?}", one.mean(), other.mean());
            for row in 0..one.width() {
                let [a, b] = [one, other].map(|statistics| statistics.covariance(row, column).unwrap_or_default());
                // Deviations of 1 on means of some 1,000: 1e-12 of the mean's scale.
                assert!((a - b).abs() < 1e-12 * 1000.0, "{a} {b}");
            }
        }
    }

    #[test]
    fn any_split_gives_what_the_whole_gives() {
        for trial in 0..40 {
            let key = Key::new(trial).branch("split");
            let mut stream = key.branch("parts").stream();
            let (width, count) = (1 + stream.below(5), 2 + stream.below(200));
            let all = rows(key, count, width);
            let mut whole = Statistics::with_cross_moments("a", width);
            whole.add(&all);
            // Unequal parts, empty ones among them, merged as a chain and as a tree.
            let mut cuts: Vec<usize> = (0..7).map(|_| stream.below(count + 1)).collect();
            cuts.extend([0, count]);
            cuts.sort_unstable();
            let parts: Vec<Statistics> = cuts
                .windows(2)
                .map(|cut| {
                    let mut part = Statistics::with_cross_moments("a", width);
                    part.add(&all[cut[0] * width..cut[1] * width]);
                    part
                })
                .collect();
            let mut chain = Statistics::with_cross_moments("a", width);
            for part in &parts {
                chain.merge(part).unwrap();
            }
            same(&chain, &whole);
            let mut tree = parts;
            while tree.len() > 1 {
                let mut last = tree.pop().unwrap();
                last.merge(&tree.remove(0)).unwrap();
                tree.push(last);
            }
            same(&tree[0], &whole);
            let mut single = Statistics::with_cross_moments("a", width);
            all.chunks_exact(width).for_each(|row| single.add(row));
            same(&single, &whole);
        }
    }

    #[test]
    fn the_shapes_and_splits_of_the_public_reference_agree() {
        // fvcore, tests/test_precise_bn.py: eight batches of these shapes, then the same rows in batches of 2 to 64.
        for shape in [&[16, 8, 24][..], &[16, 8, 24, 8], &[16, 8, 4, 12, 6]] {
            let (rows, channels) = (8 * shape[0], shape[1]);
            let stretch: usize = shape[2..].iter().product();
            let mut stream = Key::new(shape.len() as u64).stream();
            let values: Vec<f32> = (0..rows * channels * stretch).map(|_| 3.0 + 2.0 * stream.normal()).collect();
            let gather = |sizes: &[usize]| {
                let (mut all, mut at) = (Statistics::new("reference", channels), 0);
                for size in sizes.iter().cycle() {
                    let end = (at + size * channels * stretch).min(values.len());
                    let mut part = Statistics::new("reference", channels);
                    part.add_stretches(&values[at..end], stretch);
                    all.merge(&part).unwrap();
                    at = end;
                    if at == values.len() {
                        break;
                    }
                }
                all
            };
            let (equal, uneven) = (gather(&[16]), gather(&[2, 2, 4, 8, 16, 32, 64]));
            assert_eq!((equal.count(), uneven.count()), ((rows * stretch) as u64, (rows * stretch) as u64));
            for (a, b) in
                equal.variance().iter().zip(uneven.variance()).chain(equal.mean().iter().zip(uneven.mean().to_vec()))
            {
                assert!((a - b).abs() <= 1e-12 * a.abs(), "{a} {b}");
            }
            let channel = |channel: usize| {
                let own = values.chunks_exact(stretch).enumerate().filter(move |(at, _)| at % channels == channel);
                own.flat_map(|(_, values)| values.iter().map(|value| f64::from(*value)))
            };
            let count = (rows * stretch) as f64;
            let mean = channel(3).sum::<f64>() / count;
            assert!((equal.mean()[3] - mean).abs() < 1e-12);
            let variance = channel(3).map(|value| (value - mean).powi(2)).sum::<f64>() / count;
            assert!((equal.variance()[3] - variance).abs() < 1e-11);
        }
    }

    #[test]
    fn cross_moments_are_those_of_the_definition() {
        let (width, count) = (4, 50);
        let all = rows(Key::new(3), count, width);
        let mut statistics = Statistics::with_cross_moments("a", width);
        statistics.add(&all);
        let column = |column: usize| all.iter().skip(column).step_by(width);
        let mean = |index: usize| column(index).sum::<f64>() / count as f64;
        for a in 0..width {
            for b in 0..width {
                let products = column(a).zip(column(b)).map(|(x, y)| (x - mean(a)) * (y - mean(b)));
                let expected = products.sum::<f64>() / count as f64;
                assert!((statistics.covariance(a, b).unwrap() - expected).abs() < 1e-9);
            }
        }
        assert_eq!(statistics.covariance(0, width), None);
        assert_eq!(Statistics::new("a", 2).covariance(0, 1), None);
    }

    #[test]
    fn they_are_written_with_their_version_and_come_back_to_the_last_bit() {
        let mut statistics = Statistics::with_cross_moments("optical 3", 3);
        statistics.add(&rows(Key::new(9), 11, 3));
        let text = toml::to_string(&statistics).unwrap();
        assert!(text.starts_with("version = 1\n"), "{text}");
        assert_eq!(toml::from_str::<Statistics>(&text).unwrap(), statistics);
        let error = |text: &str| toml::from_str::<Statistics>(text).unwrap_err().to_string();
        assert!(
            error(&text.replace("version = 1", "version = 9")).contains("have version 9, but this program reads 1")
        );
        assert!(
            error("version = 1\nof = \"a\"\ncount = 1\nmean = [1.0]\nsquares = []\n")
                .contains("1 means and 0 variances")
        );
        assert!(error("version = 1\nof = \"a\"\ncount = 1\nmean = [1.0]\nsquares = [-1.0]\n").contains("below 0"));
    }

    #[test]
    fn other_plants_and_other_widths_are_not_merged() {
        let mut statistics = Statistics::new("a", 2);
        let error = |other: Statistics| Statistics::new("a", 2).merge(&other).unwrap_err().to_string();
        assert!(
            error(Statistics::new("b", 2))
                .contains("have 2 columns of `a`, and cannot be merged with 2 columns of `b`")
        );
        assert!(error(Statistics::new("a", 3)).contains("3 columns"));
        assert!(error(Statistics::with_cross_moments("a", 2)).contains("2 columns with cross-moments"));
        statistics.add::<f32>(&[]);
        assert_eq!((statistics.count(), statistics.variance()), (0, vec![0.0; 2]));
    }

    #[test]
    fn a_shift_is_told_in_standard_deviations() {
        let known = |mean: f64, variance: f64| Statistics::known("a", 10, vec![mean; 3], &[variance; 3]).unwrap();
        let shift = known(1.0, 16.0).shift_from(&known(0.0, 4.0)).unwrap();
        assert!((shift.mean - 0.5).abs() < 1e-12 && (shift.scale - 2.0_f64.ln()).abs() < 1e-12);
        assert_eq!(known(1.0, 1.0).shift_from(&Statistics::new("a", 2)), None);
        assert_eq!(known(2.0, 0.0).shift_from(&known(0.0, 0.0)), Some(StatisticsShift { mean: 2.0, scale: 0.0 }));
    }
}
