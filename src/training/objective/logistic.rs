//! Logistic regression, trained to the end whatever the experiment trains: what a table without physics reaches.
//!
//! ```text
//! loss = mean cross-entropy + |W|²/(2 C n)        C = 1, n training rows, offsets free
//! ```
//!
//! That is scikit-learn's `LogisticRegression()` as it comes, and it is minimized likewise, by L-BFGS, until no slope of the loss is
//! above 1e-5 (there 1e-4) or single precision shows no descent any more.

// Circle with training/objective/classify.rs: the baseline of the objective learns by its loss.

use burn::module::Param;
use burn::optim::{GradientsParams, LBFGSConfig, LineSearchFn};
use burn::tensor::Tensor;

use super::classify::cross_entropy;
use crate::data::{Dataset, Rows};
use crate::network::rows;

/// C: how weakly weights are drawn to 0.
const STRENGTH: f64 = 1.0;
/// It ends where no slope of the loss is steeper.
const SLOPE: f64 = 1e-5;
/// Or, so that it ends at all, after so many steps.
const STEPS: usize = 1000;

/// What logistic regression on the training rows says of the rows of the test set: `[rows, classes]`, the largest is the answer.
pub fn logistic_answers(data: &Dataset) -> Tensor<2> {
    with_ones(&data.test, data.width).matmul(fit(data).0)
}

/// The weights, `[width + 1, classes]` with the offsets last, and the loss that they leave.
fn fit(data: &Dataset) -> (Tensor<2>, f64) {
    let device = rows::device().autodiff();
    let train = &data.train;
    let inputs = Tensor::from_inner(with_ones(train, data.width));
    let penalty = 0.5 / (STRENGTH * train.len() as f64);
    let start = Param::from_tensor(Tensor::<2>::zeros([data.width + 1, data.meaning.names().len()], &device));
    let mut search = LBFGSConfig::new()
        .with_max_iter(STEPS)
        .with_max_eval(Some(2 * STEPS))
        .with_history_size(10)
        .with_tolerance_grad(SLOPE)
        .with_line_search_fn(LineSearchFn::StrongWolfe)
        .init();
    let (weights, loss) = search.step(1.0, start, |weights: Param<Tensor<2>>| {
        let entropy = cross_entropy(inputs.clone().matmul(weights.val()), train.labels(), &device);
        let penalized = weights.val().narrow(0, 0, data.width).square().sum().mul_scalar(penalty);
        let loss = entropy + penalized;
        let value = f64::from(rows::values(loss.clone().inner())[0]);
        (value, GradientsParams::from_grads(loss.backward(), &weights))
    });
    (weights.val().inner(), loss)
}

/// The rows, each with a 1 after its values.
fn with_ones(rows: &Rows, width: usize) -> Tensor<2> {
    let values = rows.values.chunks_exact(width).flat_map(|row| row.iter().copied().chain([1.0])).collect::<Vec<f32>>();
    rows::tensor(values, [rows.len(), width + 1])
}

#[cfg(test)]
mod tests {
    use sims::Key;

    use super::*;
    use crate::data::DataConfig;
    use crate::document::Document;
    use crate::training::objective::objective;

    /// What scikit-learn's regression leaves of the loss, and how many of the 500 it gets right.
    const SKLEARN: (f64, f64) = (0.227_643_87, 484.0);

    fn digits(keys: &str) -> Dataset {
        let document = Document::parse("a.toml", &format!("source = \"digits\"\nvalidation = 0\n{keys}")).unwrap();
        let config: DataConfig = document.table().clone().try_into().unwrap();
        Dataset::load(&config, None, &document, Key::new(1)).unwrap()
    }

    /// scikit-learn 1.9.1, `LogisticRegression(tol=1e-8, max_iter=10000)` on `load_digits()` over 16, the same rows.
    #[test]
    fn it_ends_where_scikit_learn_ends() {
        let data = digits("split = \"interleaved\"\ntest = 500\n");
        let loss = fit(&data).1;
        assert!((loss - SKLEARN.0).abs() < 1e-5, "{loss}");
        let right = (500.0 * objective(&data).baseline(&data).first()).round();
        assert!((right - SKLEARN.1).abs() <= 1.0, "{right} of 500");
    }
}
