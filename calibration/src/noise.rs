//! Repeatability and noise: how much a reading scatters, how that depends on what is read, and what scatters together.
//!
//! ```text
//! noise = σ(m) ⊙ (L·z + √(1 − diag(L·Lᵀ)) ⊙ ε)       z ~ N(0, I_r), ε ~ N(0, I)       σ_b² = c₀ + c₁·m_b + c₂·m_b²
//! ```
//!
//! `m` is the mean reading of the same inputs, so with `A(x) = diag(σ(m(x)))·L` the first part is the low-rank, heteroscedastic noise
//! A(x)·z of the authors' noise twin; the second is what each output has for itself (read-out and rounding). The variance's
//! three terms are those of a detector: dark noise, shot noise, and fluctuation of the source.

use drivers::{Batch, Direction};
use nalgebra::DMatrix;
use serde::{Deserialize, Serialize};
use sims::Key;

use crate::{Error, Trace};

/// Readings that the noise is learned from, at most.
const MOST_VALUES: usize = 4_000_000;
/// At most so many common factors.
const MOST_FACTORS: usize = 4;

/// The noise of a plant's readings.
#[derive(Debug, Clone, PartialEq)]
pub struct NoiseModel {
    /// c₀, c₁, c₂ of each output, of the reading less `center`, in powers of the output's unit.
    pub variance: Vec<[f64; 3]>,
    /// The middle of each output's readings.
    pub center: Vec<f64>,
    /// The smallest variance that is believed.
    pub floor: Vec<f64>,
    /// L, `[outputs, r]`.
    pub loadings: DMatrix<f64>,
}

/// What a noise fit says.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct NoiseSummary {
    /// Root mean square of the noise of a single shot, in full scales.
    pub std_of_full_scale: f64,
    /// The smallest and the largest standard deviation of any output and shot, in full scales.
    pub std_range: [f64; 2],
    /// Common factors.
    pub rank: usize,
    /// Share of the variance that the common factors carry.
    pub common_share: f64,
    /// Predicted over measured standard deviation on held-out stimuli; 1 is right.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub held_out_ratio: Option<f64>,
    /// The same for dim, middle and bright readings.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub held_out_thirds: Vec<f64>,
    /// How far the mean reading moved from the first to the last quarter of the repeats, in standard deviations of a shot.
    pub drift: f64,
    /// The same in all: root mean square over outputs and stimuli of the change of offset and gain, beyond what noise would give, in
    /// standard deviations of a shot. What drifts between repeats counts as noise.
    #[serde(default)]
    pub drift_rms: f64,
    /// Stimuli with repeats that it was learned from.
    pub stimuli: usize,
}

impl NoiseModel {
    /// Variance terms, centers, floors and loadings, row by row, as plain numbers.
    pub fn plain(&self) -> [Vec<f64>; 4] {
        let loadings = self.loadings.transpose().as_slice().to_vec();
        [self.variance.as_flattened().to_vec(), self.center.clone(), self.floor.clone(), loadings]
    }

    /// How many outputs it is of.
    pub fn outputs(&self) -> usize {
        self.center.len()
    }

    /// The model that [`plain`](Self::plain) gave; `None` if the sizes do not fit together, or a number is none.
    pub fn from_plain([variance, center, floor, loadings]: &[Vec<f64>; 4]) -> Option<Self> {
        let outputs = center.len();
        let whole = variance.len() == 3 * outputs
            && floor.len() == outputs
            && outputs > 0
            && loadings.len().is_multiple_of(outputs)
            && [variance, center, floor, loadings].iter().all(|values| values.iter().all(|value| value.is_finite()))
            && floor.iter().all(|least| *least >= 0.0);
        whole.then(|| Self {
            variance: variance.as_chunks().0.to_vec(),
            center: center.clone(),
            floor: floor.clone(),
            loadings: DMatrix::from_row_slice(outputs, loadings.len() / outputs, loadings),
        })
    }

    /// Standard deviation of each output when the mean reading is `mean`.
    pub fn deviation(&self, mean: &[f32]) -> Vec<f64> {
        mean.iter().enumerate().map(|(output, mean)| self.variance_at(output, f64::from(*mean)).sqrt()).collect()
    }

    fn variance_at(&self, output: usize, mean: f64) -> f64 {
        let [c0, c1, c2] = self.variance[output];
        let m = mean - self.center[output];
        (c0 + m * (c1 + m * c2)).max(self.floor[output])
    }

    /// Adds one shot's noise to the mean reading of each row; shot number `first` and on.
    pub fn add(&self, means: &mut Batch, key: Key, first: u64) {
        let outputs = means.columns();
        let own: Vec<f64> = self.loadings.row_iter().map(|row| (1.0 - row.norm_squared()).max(0.0).sqrt()).collect();
        for (shot, row) in means.values_mut().chunks_exact_mut(outputs.max(1)).enumerate() {
            let mut stream = key.number(first + shot as u64).stream();
            let factors: Vec<f64> = (0..self.loadings.ncols()).map(|_| f64::from(stream.normal())).collect();
            let deviations = self.deviation(row);
            for (output, value) in row.iter_mut().enumerate() {
                let common: f64 = self.loadings.row(output).iter().zip(&factors).map(|(load, z)| load * z).sum();
                let noise = deviations[output] * (common + own[output] * f64::from(stream.normal()));
                *value += noise as f32;
            }
        }
    }
}

/// Learns the noise from repeats; the summary's ratios are of stimuli that were held out.
pub fn fit_noise(trace: &Trace, key: Key) -> Result<(NoiseModel, NoiseSummary), Error> {
    let every = trace.outputs.values().len().div_ceil(MOST_VALUES).max(1);
    let some = |shot: &usize| (trace.stimulus[*shot] as usize).is_multiple_of(every);
    let thinned = (every > 1).then(|| trace.select(&(0..trace.shots()).filter(some).collect::<Vec<_>>()));
    let trace = thinned.as_ref().unwrap_or(trace);
    let stimuli = Deviations::of(trace).stimuli;
    if stimuli < 20 {
        return Err(Error::TooFew {
            procedure: "noise",
            what: "stimuli with repeats",
            needed: 20,
            given: stimuli,
            held_out: 0,
        });
    }
    let (kept, held_out) = trace.split(0.2, key);
    let tried = fit(&Deviations::of(&kept));
    let check = Deviations::of(&held_out);
    let (ratio, thirds) = compare(&tried, &check);
    let all = Deviations::of(trace);
    let model = fit(&all);
    let summary = NoiseSummary { held_out_ratio: ratio, held_out_thirds: thirds, ..summarize(&model, &all, trace) };
    Ok((model, summary))
}

/// Deviations of shots from the mean of their repeats, widened by √(n/(n − 1)) so that their variance is that of a shot.
struct Deviations {
    means: Vec<Vec<f64>>,
    scatter: Vec<Vec<f64>>,
    stimuli: usize,
    freedoms: f64,
}

impl Deviations {
    fn of(trace: &Trace) -> Self {
        let mut groups: std::collections::BTreeMap<u32, Vec<usize>> = std::collections::BTreeMap::new();
        for (shot, &stimulus) in trace.stimulus.iter().enumerate() {
            groups.entry(stimulus).or_default().push(shot);
        }
        let mut all = Self { means: vec![], scatter: vec![], stimuli: 0, freedoms: 0.0 };
        for shots in groups.values().filter(|shots| shots.len() > 1) {
            let count = shots.len() as f64;
            let rows: Vec<&[f32]> = shots.iter().map(|&shot| trace.outputs.row(shot)).collect();
            let mean: Vec<f64> = (0..trace.outputs.columns())
                .map(|output| rows.iter().map(|row| f64::from(row[output])).sum::<f64>() / count)
                .collect();
            let widen = (count / (count - 1.0)).sqrt();
            for row in rows {
                all.scatter.push(row.iter().zip(&mean).map(|(y, mean)| widen * (f64::from(*y) - mean)).collect());
                all.means.push(mean.clone());
            }
            all.stimuli += 1;
            all.freedoms += count - 1.0;
        }
        all
    }
}

fn fit(data: &Deviations) -> NoiseModel {
    let outputs = data.means.first().map_or(0, Vec::len);
    let mut model = NoiseModel {
        variance: Vec::with_capacity(outputs),
        center: Vec::with_capacity(outputs),
        floor: Vec::with_capacity(outputs),
        loadings: DMatrix::zeros(outputs, 0),
    };
    for output in 0..outputs {
        let pairs: Vec<(f64, f64)> =
            data.means.iter().zip(&data.scatter).map(|(m, d)| (m[output], d[output] * d[output])).collect();
        let (variance, center, floor) = variance_curve(&pairs);
        model.variance.push(variance);
        model.center.push(center);
        model.floor.push(floor);
    }
    model.loadings = loadings(&model, data);
    model
}

/// c₀, c₁, c₂ about the middle reading. Squares scatter in proportion to their own size, so they are fitted twice, the second
/// time weighted by what the first has found.
fn variance_curve(pairs: &[(f64, f64)]) -> ([f64; 3], f64, f64) {
    let count = pairs.len().max(1) as f64;
    let center = pairs.iter().map(|(m, _)| m).sum::<f64>() / count;
    let mean = pairs.iter().map(|(_, square)| square).sum::<f64>() / count;
    let spread = (pairs.iter().map(|(m, _)| (m - center).powi(2)).sum::<f64>() / count).sqrt();
    let floor = 0.02 * mean;
    if mean <= 0.0 || spread <= 0.0 {
        return ([mean, 0.0, 0.0], center, mean.max(f64::MIN_POSITIVE));
    }
    let mut curve = [mean, 0.0, 0.0];
    for _ in 0..4 {
        let mut normal = nalgebra::Matrix3::<f64>::zeros();
        let mut right = nalgebra::Vector3::<f64>::zeros();
        for (m, square) in pairs {
            let t = (m - center) / spread;
            let basis = nalgebra::Vector3::new(1.0, t, t * t);
            let expected = (curve[0] + t * (curve[1] + t * curve[2])).max(0.2 * mean);
            let weight = (mean / expected).powi(2);
            normal += basis * basis.transpose() * weight;
            right += basis * (weight * square);
        }
        // A little of a prior on a constant variance, for outputs that hardly move.
        normal[(1, 1)] += 1e-3 * count;
        normal[(2, 2)] += 1e-3 * count;
        if let Some(solved) = normal.cholesky().map(|factors| factors.solve(&right)) {
            curve = [solved[0], solved[1], solved[2]];
        }
    }
    ([curve[0], curve[1] / spread, curve[2] / (spread * spread)], center, floor)
}

/// The factors that outputs have in common: eigenvectors of their correlation beyond what noise of its own would give
/// (Marchenko and Pastur 1967).
fn loadings(model: &NoiseModel, data: &Deviations) -> DMatrix<f64> {
    let outputs = model.center.len();
    let mut correlation = DMatrix::<f64>::zeros(outputs, outputs);
    for (means, deviations) in data.means.iter().zip(&data.scatter) {
        let white = |output: usize| deviations[output] / model.variance_at(output, means[output]).sqrt();
        let row = nalgebra::DVector::from_iterator(outputs, (0..outputs).map(white));
        correlation.syger(1.0, &row, &row, 1.0);
    }
    correlation /= data.scatter.len().max(1) as f64;
    correlation.fill_upper_triangle_with_lower_triangle();
    let edge = (1.0 + (outputs as f64 / data.freedoms.max(1.0)).sqrt()).powi(2) * 1.05;
    let eigen = correlation.symmetric_eigen();
    let mut order: Vec<usize> = (0..outputs).collect();
    order.sort_by(|&a, &b| eigen.eigenvalues[b].total_cmp(&eigen.eigenvalues[a]));
    let kept: Vec<usize> =
        order.into_iter().take(MOST_FACTORS).filter(|&index| eigen.eigenvalues[index] > edge).collect();
    let mut loadings = DMatrix::from_fn(outputs, kept.len(), |output, factor| {
        // What stands above the level of the outputs' own noise.
        let common = (eigen.eigenvalues[kept[factor]] - 1.0).max(0.0);
        common.sqrt() * eigen.eigenvectors[(output, kept[factor])]
    });
    for mut row in loadings.row_iter_mut() {
        let norm = row.norm();
        if norm > 0.999 {
            row *= 0.999 / norm;
        }
    }
    loadings
}

/// Predicted over measured standard deviation, in all, and for dim, middle and bright readings.
fn compare(model: &NoiseModel, data: &Deviations) -> (Option<f64>, Vec<f64>) {
    if data.scatter.is_empty() {
        return (None, vec![]);
    }
    let mut terms = Vec::new();
    for (means, deviations) in data.means.iter().zip(&data.scatter) {
        for (output, (mean, deviation)) in means.iter().zip(deviations).enumerate() {
            let typical = model.variance[output][0].max(f64::MIN_POSITIVE);
            // In the output's own variance, so that bright outputs do not outweigh the others.
            terms.push((*mean, model.variance_at(output, *mean) / typical, deviation * deviation / typical));
        }
    }
    let ratio = |terms: &[(f64, f64, f64)]| {
        let (predicted, measured) = terms.iter().fold((0.0, 0.0), |sum, term| (sum.0 + term.1, sum.1 + term.2));
        (predicted / f64::max(measured, f64::MIN_POSITIVE)).sqrt()
    };
    if terms.iter().all(|term| term.2 == 0.0) {
        // A plant that never scatters has no noise to compare with.
        return (None, vec![]);
    }
    let whole = ratio(&terms);
    terms.sort_by(|a, b| a.0.total_cmp(&b.0));
    (Some(whole), terms.chunks(terms.len().div_ceil(3)).map(ratio).collect())
}

fn summarize(model: &NoiseModel, data: &Deviations, trace: &Trace) -> NoiseSummary {
    let drift = drift(trace, data);
    let ranges = trace.card.ports.ranges(Direction::Output);
    let scales: Vec<f64> = ranges.into_iter().map(crate::score::scale).collect();
    let (mut sum, mut count, mut low, mut high) = (0.0, 0.0, f64::MAX, 0.0_f64);
    for means in &data.means {
        for (output, mean) in means.iter().enumerate() {
            let deviation = model.variance_at(output, *mean).sqrt() / scales[output];
            sum += deviation * deviation;
            count += 1.0;
            (low, high) = (low.min(deviation), high.max(deviation));
        }
    }
    NoiseSummary {
        std_of_full_scale: (sum / f64::max(count, 1.0)).sqrt(),
        std_range: [low.min(high), high],
        rank: model.loadings.ncols(),
        common_share: model.loadings.norm_squared() / model.center.len().max(1) as f64,
        held_out_ratio: None,
        held_out_thirds: vec![],
        drift: drift.0,
        drift_rms: drift.1,
        stimuli: data.stimuli,
    }
}

/// How readings moved between the first and the last quarter of each stimulus' repeats, in standard deviations of a shot: the worst
/// output's mean, and the root mean square of all outputs' changes of offset and gain.
fn drift(trace: &Trace, data: &Deviations) -> (f64, f64) {
    let mut repeats: std::collections::BTreeMap<u32, Vec<usize>> = std::collections::BTreeMap::new();
    for (shot, &stimulus) in trace.stimulus.iter().enumerate() {
        repeats.entry(stimulus).or_default().push(shot);
    }
    let outputs = trace.outputs.columns();
    let squares = data.scatter.iter().flatten().map(|d| d * d).sum::<f64>();
    let noise = (squares / (data.scatter.len() * outputs).max(1) as f64).sqrt().max(f64::MIN_POSITIVE);
    let groups: Vec<&Vec<usize>> = repeats.values().filter(|shots| shots.len() > 1).collect();
    let (mut worst, mut square) = (0.0_f64, 0.0);
    for output in 0..outputs {
        let mean = |shots: &[usize]| {
            shots.iter().map(|&shot| f64::from(trace.outputs.row(shot)[output])).sum::<f64>() / shots.len() as f64
        };
        let moved = groups.iter().map(|shots| {
            let quarter = (shots.len() / 4).max(1);
            let (first, last) = (mean(&shots[..quarter]), mean(&shots[shots.len() - quarter..]));
            (0.5 * (first + last), last - first)
        });
        let (offset, whole) = systematic(&moved.collect::<Vec<_>>());
        worst = worst.max((offset / noise).abs());
        square += whole / (noise * noise);
    }
    (worst, (square / outputs.max(1) as f64).sqrt())
}

/// The mean of the changes, and the mean square of what a change of offset and gain explains of them, less what noise would.
/// Pairs of reading and change.
fn systematic(pairs: &[(f64, f64)]) -> (f64, f64) {
    let count = pairs.len().max(1) as f64;
    let mean = |value: &dyn Fn(&(f64, f64)) -> f64| pairs.iter().map(value).sum::<f64>() / count;
    let (reading, offset) = (mean(&|pair| pair.0), mean(&|pair| pair.1));
    let (xx, xy) = (mean(&|pair| (pair.0 - reading).powi(2)), mean(&|pair| (pair.0 - reading) * (pair.1 - offset)));
    let explained = offset * offset + if xx > 0.0 { xy * xy / xx } else { 0.0 };
    let left = (mean(&|pair| pair.1 * pair.1) - explained).max(0.0);
    (offset, (explained - 2.0 * left / (count - 2.0).max(1.0)).max(0.0))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::trace::tests::{card, trace};

    #[test]
    fn heteroscedastic_correlated_noise_comes_back() {
        // y_b = x₀·(b + 1)/4 with 1 % of dark noise each, and 5 % of the reading in common.
        let read = |x: &[f32], _: &[f32], shot: usize| {
            let mut stream = Key::new(7).number(shot as u64).stream();
            let power = 1.0 + 0.05 * stream.normal();
            (0..4).map(|b| power * (1.0 + x[0]) * (b + 1) as f32 / 4.0 + 0.01 * stream.normal()).collect()
        };
        let trace = trace(card(1, 0, 4), [1500, 4, 1500], read);
        let (model, summary) = fit_noise(&trace, Key::new(1)).unwrap();
        for level in [0.2_f32, 1.0, 1.8] {
            let expected = (1e-4 + (0.05 * f64::from(level)).powi(2)).sqrt();
            let found = model.deviation(&[level / 4.0, level / 2.0, level * 0.75, level])[3];
            assert!((found / expected - 1.0).abs() < 0.1, "{level}: {found} for {expected}");
        }
        assert_eq!(summary.rank, 1);
        assert!((summary.held_out_ratio.unwrap() - 1.0).abs() < 0.05, "{summary:?}");
        assert!(summary.held_out_thirds.iter().all(|ratio| (ratio - 1.0).abs() < 0.1), "{summary:?}");
        // What is drawn scatters as the model says, and together.
        let mut drawn = Batch::from_fn(4000, 4, |_, b| (b + 1) as f32 / 4.0);
        model.add(&mut drawn, Key::new(2), 0);
        let moment = |a: usize, b: usize| {
            let d = |row: &[f32], k: usize| f64::from(row[k]) - (k + 1) as f64 / 4.0;
            drawn.iter().map(|row| d(row, a) * d(row, b)).sum::<f64>() / 4000.0
        };
        assert!((moment(3, 3).sqrt() / 0.05099 - 1.0).abs() < 0.1);
        let correlation = moment(2, 3) / (moment(2, 2) * moment(3, 3)).sqrt();
        assert!(correlation > 0.45, "{correlation}");
    }

    #[test]
    fn without_repeats_it_is_refused() {
        let trace = trace(card(1, 0, 1), [100, 1, 100], |x, _, _| vec![x[0]]);
        assert!(fit_noise(&trace, Key::new(1)).unwrap_err().to_string().contains("stimuli with repeats"));
    }

    #[test]
    fn a_gain_that_drifts_between_repeats_is_told_from_noise() {
        // The second repeats of all stimuli read 3 % more; noise is 1 % of full scale.
        let read = |gain: f32| {
            move |x: &[f32], _: &[f32], shot: usize| {
                let mut stream = Key::new(7).number(shot as u64).stream();
                let factor = if shot % 2 == 1 { 1.0 + gain } else { 1.0 };
                vec![factor * x[0] + 0.01 * stream.normal(), factor * x[1] + 0.01 * stream.normal()]
            }
        };
        let drift =
            |gain: f32| fit_noise(&trace(card(2, 0, 2), [1000, 2, 1000], read(gain)), Key::new(1)).unwrap().1.drift_rms;
        // 3 % of ±1, uniform: an RMS of 0.017; half of its square counts as noise of a shot.
        let expected = 0.017_32 / (1e-4 + 0.5 * 0.017_32_f64.powi(2)).sqrt();
        assert!((drift(0.03) / expected - 1.0).abs() < 0.1, "{} {expected}", drift(0.03));
        assert!(drift(0.0) < 0.1, "{}", drift(0.0));
    }
}
