//! The class that is tried, as values behind those that come in: 1 of each class, `value` at its place and 0 at the others.
//!
//! Methods that hold a right class against a wrong one (`phyll`) drive each row with several; where none is tried all values are 0.

use burn::tensor::{Tensor, TensorData};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use sims::Key;

use super::{Chain, Layer, Pass, Weight};
use crate::Error;

/// The class that is tried.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct LabelConfig {
    /// As many as the data has.
    #[schemars(range(min = 2, max = 10_000))]
    pub classes: usize,
    /// The value at the place of the class that is tried (1).
    #[serde(default = "one", skip_serializing_if = "is_one")]
    #[schemars(range(min = -1e6, max = 1e6))]
    pub value: f32,
}

fn one() -> f32 {
    1.0
}

#[allow(clippy::trivially_copy_pass_by_ref)] // serde's signature
fn is_one(value: &f32) -> bool {
    *value == 1.0
}

impl LabelConfig {
    pub(super) fn build(&self, chain: &Chain<'_>) -> Result<Box<dyn Layer>, Error> {
        if self.value == 0.0 || !self.value.is_finite() {
            let message = format!("is {}, but it must be another number than 0: no class could be told", self.value);
            return Err(chain.refuse("value", message));
        }
        Ok(Box::new(Label { config: self.clone(), before: chain.width() }))
    }
}

struct Label {
    config: LabelConfig,
    before: usize,
}

impl Layer for Label {
    fn width(&self) -> usize {
        self.before + self.config.classes
    }

    fn weights(&self, _: Key) -> Vec<Weight> {
        vec![]
    }

    fn label(&self) -> Option<usize> {
        Some(self.config.classes)
    }

    fn forward(&self, values: Tensor<2>, _: &[Tensor<2>], pass: &mut Pass<'_>) -> Result<Tensor<2>, Error> {
        let (shots, classes) = (values.dims()[0], self.config.classes);
        let mut tried = vec![0.0; shots * classes];
        for (row, label) in tried.chunks_exact_mut(classes).zip(&pass.labels) {
            if let Some(place) = row.get_mut(*label as usize) {
                *place = self.config.value;
            }
        }
        let tried = Tensor::from_data(TensorData::new(tried, [shots, classes]), &values.device());
        Ok(Tensor::cat(vec![values, tried], 1))
    }
}
