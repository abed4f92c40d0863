//! Adam (Kingma and Ba, arXiv 1412.6980) on a list of matrices, its step size falling along half a cosine.

use nalgebra::DMatrix;

use super::wave::{Number, of, wide};

/// Decay of the two means, and what keeps a step finite.
const BETAS: [f64; 2] = [0.9, 0.999];
const EPSILON: f64 = 1e-8;
/// The largest norm of a gradient: steeper ones are shortened.
const CLIP: f64 = 1.0;

/// The means of gradients so far.
#[derive(Debug, Clone)]
pub(super) struct Descent<S> {
    means: Vec<[DMatrix<S>; 2]>,
    updates: usize,
    /// How many there will be, and the first step size.
    planned: usize,
    rate: f64,
}

impl<S: Number> Descent<S> {
    /// Of `planned` updates, the first with this step size.
    pub fn new(matrices: &[&mut DMatrix<S>], planned: usize, rate: f64) -> Self {
        let zeros = |matrix: &&mut DMatrix<S>| [(); 2].map(|()| DMatrix::zeros(matrix.nrows(), matrix.ncols()));
        Self { means: matrices.iter().map(zeros).collect(), updates: 0, planned, rate }
    }

    /// One update.
    pub fn step(&mut self, weights: Vec<&mut DMatrix<S>>, gradients: &[DMatrix<S>]) {
        let norm = gradients.iter().map(|matrix| wide(matrix.norm_squared())).sum::<f64>().sqrt();
        let shorter: S = of(CLIP / norm.max(CLIP));
        let share = self.updates as f64 / self.planned.max(1) as f64;
        let rate = self.rate * (0.01 + 0.99 * 0.5 * (1.0 + (std::f64::consts::PI * share.min(1.0)).cos()));
        self.updates += 1;
        let count = self.updates as i32;
        let [first, second] = BETAS.map(|beta| of::<S>(1.0 / (1.0 - beta.powi(count))));
        let [keep, keep_square] = BETAS.map(of::<S>);
        let (rate, epsilon): (S, S) = (of(rate), of(EPSILON));
        for ((weights, gradient), [mean, square]) in weights.into_iter().zip(gradients).zip(&mut self.means) {
            let places = weights.as_mut_slice().iter_mut().zip(gradient.as_slice());
            for ((weight, slope), (mean, square)) in
                places.zip(mean.as_mut_slice().iter_mut().zip(square.as_mut_slice()))
            {
                let slope = *slope * shorter;
                *mean = keep * *mean + (S::one() - keep) * slope;
                *square = keep_square * *square + (S::one() - keep_square) * slope * slope;
                *weight -= rate * *mean * first / ((*square * second).sqrt() + epsilon);
            }
        }
    }
}
