//! The loss of several read-outs that are trained together (`network/heads.rs`).

use burn::tensor::{Device, Tensor, TensorData};

use super::{Graph, Kept, Loss, Problem, mean};
use crate::Error;
use crate::network::{HeadsConfig, Metric, Network, Outputs, Pass, rows};

impl Graph {
    /// Of each read-out's outputs, and of what they go by.
    pub(super) fn of_heads(
        (problem, heads): (&Problem<'_>, &HeadsConfig),
        (outputs, penalties, kept): (Outputs, Vec<Tensor<1>>, Option<Vec<usize>>),
        (weights, device): (&[Tensor<2>], &Device),
        pass: &mut Pass<'_>,
    ) -> Result<Self, Error> {
        let kept = Kept::of(problem, kept, device);
        let targets = kept.targets(problem);
        let (said, readings) = (kept.rows(outputs.said), kept.rows(outputs.readings));
        let each: Vec<Tensor<2>> = outputs.each.into_iter().map(|outputs| kept.rows(outputs)).collect();
        let scores = problem.objective.batch_scores(&said.detach(), targets);
        let width = each.first().map_or(0, |outputs| outputs.dims()[1]);
        let shots = targets.len();
        let losses = each.into_iter().map(|outputs| problem.objective.loss(outputs, targets, device)).collect();
        let own = mean(losses).ok_or_else(|| Error::Usage("[heads]: there is no read-out".to_owned()))?;
        let directions = problem.objective.directions(targets, width).ok_or_else(|| {
            Error::Usage(format!(
                "[heads]: the objective `{}` does not say what read-outs could differ in",
                problem.objective.kind()
            ))
        })?;
        let tensor =
            |values: Vec<f32>, shape: [usize; 2]| Tensor::<2>::from_data(TensorData::new(values, shape), device);
        let directions: Vec<Tensor<2>> = directions.into_iter().map(|values| tensor(values, [shots, width])).collect();
        let spread = (heads.metric == Metric::Spread).then(|| {
            let columns = readings.dims()[1];
            tensor(Network::spread(&readings), [columns, columns])
        });
        let wants = 0.0 < heads.diversity;
        let (fixed, held): (Tensor<2>, Vec<Tensor<2>>) = if wants {
            (readings, weights.to_vec())
        } else {
            // Only the number is wanted.
            (readings.detach(), weights.iter().map(|weight| weight.clone().detach()).collect())
        };
        let aligned = problem.network.alignment(&fixed, &held, (&directions, spread.as_ref()), pass)?;
        let number = |tensor: &Tensor<1>| rows::values(tensor.clone().detach())[0];
        let pairs = (heads.count * (heads.count - 1)) as f32;
        let alignment = aligned.as_ref().map(|sum| number(sum) / pairs);
        let penalty = mean(penalties);
        let mut loss = own.clone();
        if let Some(sum) = aligned.filter(|_| wants) {
            loss = loss + sum.mul_scalar(heads.diversity / heads.count as f32);
        }
        if let Some(penalty) = &penalty {
            loss = loss + penalty.clone().mul_scalar(problem.config.range_penalty);
        }
        let numbers = Loss {
            total: number(&loss),
            objective: number(&own),
            penalty: penalty.as_ref().map_or(0.0, number),
            alignment,
            scores,
        };
        Ok(Self { loss, numbers })
    }
}
