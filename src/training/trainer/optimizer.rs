//! What turns gradients into updates: Adam, Adam with decoupled weight decay, and gradient descent with momentum.
//!
//! ```text
//! sgd     v ← μ v + g                w ← w − η v                 g: the gradient + λ w
//! adam    see `adam.rs`                                          g: the gradient + λ w
//! adamw   w ← (1 − η λ) w, then as adam                          (Loshchilov and Hutter 2019)
//! ```
//!
//! They go where burn's go, in one pass over the values and with a state that a checkpoint holds as plain matrices.

use burn::tensor::Tensor;

use super::adam;
use super::config::{Optimizer, TrainingConfig};
use crate::network::rows;

/// What an optimizer remembers of one weight.
#[derive(Debug, Clone)]
pub struct Moments {
    /// Updates so far.
    pub time: usize,
    /// The running mean of the gradient; of `sgd`, the last update.
    pub first: Tensor<2>,
    /// The running mean of its square; `sgd` has none.
    pub second: Option<Tensor<2>>,
}

/// One step of size `learning_rate` along `gradient`, times `factor`; the first has no `moments` yet.
pub fn step(
    config: &TrainingConfig,
    learning_rate: f64,
    weight: Tensor<2>,
    (mut gradient, factor): (Vec<f32>, f64),
    moments: Option<Moments>,
) -> (Tensor<2>, Moments) {
    let shape = weight.dims();
    let tensor = |values: Vec<f32>| rows::tensor(values, shape);
    let decay = config.weight_decay as f32;
    let mut values = rows::values(weight);
    let (time, first, second) = match moments {
        Some(Moments { time, first, second }) => (time + 1, rows::values(first), second.map(rows::values)),
        None => (1, vec![0.0; values.len()], None),
    };
    for value in &mut gradient {
        *value *= factor as f32;
    }
    if decay > 0.0 {
        for (gradient, value) in gradient.iter_mut().zip(&mut values) {
            if config.optimizer == Optimizer::Adamw {
                *value -= (learning_rate * config.weight_decay) as f32 * *value;
            } else {
                *gradient += decay * *value;
            }
        }
    }
    if config.optimizer == Optimizer::Sgd {
        let mut velocity = first;
        for ((value, velocity), gradient) in values.iter_mut().zip(&mut velocity).zip(&gradient) {
            *velocity = config.momentum as f32 * *velocity + gradient;
            *value -= learning_rate as f32 * *velocity;
        }
        return (tensor(values), Moments { time, first: tensor(velocity), second: None });
    }
    let (mut mean, mut square) = (first, second.unwrap_or_else(|| vec![0.0; values.len()]));
    adam::step(
        learning_rate,
        time,
        &gradient,
        adam::Weight { values: &mut values, mean: &mut mean, square: &mut square },
    );
    (tensor(values), Moments { time, first: tensor(mean), second: Some(tensor(square)) })
}

#[cfg(test)]
mod tests {
    use super::*;
    use burn::optim::decay::WeightDecayConfig;
    use burn::optim::momentum::MomentumConfig;
    use burn::optim::{AdamConfig, AdamWConfig, Optimizer as _, SgdConfig};

    fn wave(phase: f32) -> Vec<f32> {
        (0..37).map(|k| (phase + k as f32).sin()).collect()
    }

    fn tensor(values: Vec<f32>) -> Tensor<2> {
        rows::tensor(values, [1, 37])
    }

    /// Ours after 20 steps of size 0.01 along half of some gradients.
    fn ours(config: &TrainingConfig) -> Vec<f32> {
        let (mut weight, mut moments) = (tensor(wave(0.0)), None);
        for time in 0..20 {
            let (next, state) = step(config, 0.01, weight, (wave(0.3 * time as f32), 0.5), moments);
            (weight, moments) = (next, Some(state));
        }
        assert_eq!(moments.map(|moments| moments.time), Some(20));
        rows::values(weight)
    }

    /// Burn's after the same.
    macro_rules! theirs {
        ($optimizer:expr) => {{
            let (burn, mut weight, mut state) = ($optimizer, tensor(wave(0.0)), None);
            for time in 0..20 {
                let (next, after) = burn.step(0.01, weight, tensor(wave(0.3 * time as f32)).mul_scalar(0.5), state);
                (weight, state) = (next, after);
            }
            rows::values(weight)
        }};
    }

    fn agree(ours: &[f32], theirs: &[f32]) {
        for (ours, theirs) in ours.iter().zip(theirs) {
            assert!((ours - theirs).abs() < 2e-6, "{ours} against {theirs}");
        }
    }

    #[test]
    fn each_goes_where_burn_goes() {
        let config = |optimizer, weight_decay, momentum| TrainingConfig {
            optimizer,
            weight_decay,
            momentum,
            ..TrainingConfig::default()
        };
        let decay = || Some(WeightDecayConfig::new(0.2));
        agree(&ours(&config(Optimizer::Adam, 0.0, 0.9)), &theirs!(AdamConfig::new().with_epsilon(1e-8).build()));
        agree(
            &ours(&config(Optimizer::Adam, 0.2, 0.9)),
            &theirs!(AdamConfig::new().with_epsilon(1e-8).with_weight_decay(decay()).build()),
        );
        agree(
            &ours(&config(Optimizer::Adamw, 0.2, 0.9)),
            &theirs!(AdamWConfig::new().with_epsilon(1e-8).with_weight_decay(0.2).build()),
        );
        let momentum = MomentumConfig { momentum: 0.7, dampening: 0.0, nesterov: false };
        agree(
            &ours(&config(Optimizer::Sgd, 0.2, 0.7)),
            &theirs!(SgdConfig::new().with_momentum(Some(momentum)).with_weight_decay(decay()).build()),
        );
        agree(&ours(&config(Optimizer::Sgd, 0.0, 0.0)), &theirs!(SgdConfig::new().build()));
    }
}
