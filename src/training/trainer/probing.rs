//! What a trained network gives for rows that nobody has to label: its outputs, and what its plants were given and read.

use std::time::Instant;

use burn::tensor::Tensor;

use super::{EVALUATION_BATCH, Trainer};
use crate::Error;
use crate::data::Rows;
use crate::network::{Pass, Purpose, rows};
use crate::plants::{Forward, Lab};

/// Numbers of a row that a distance is of, at most: more of them enter as means of neighbors.
const MOST_NUMBERS: usize = 384;

/// What a network gives for some rows.
#[derive(Debug, Clone, Default)]
pub struct Probed {
    /// Outputs, row after row.
    pub outputs: Vec<f32>,
    /// The network's inputs, row after row.
    pub inputs: Vec<f32>,
    /// The readings of all physical layers one after another, row after row; in place of many, means of neighbors.
    pub readings: Vec<f32>,
    /// Outputs, inputs and readings of a row.
    pub widths: [usize; 3],
    /// Time of a row in the network and its plants, in s.
    pub seconds: f64,
}

impl Probed {
    /// How many rows.
    pub fn rows(&self) -> usize {
        self.outputs.len() / self.widths[0].max(1)
    }

    /// Inputs and readings together, row after row, and how many a row has.
    pub fn state(&self) -> (Vec<f32>, usize) {
        let [_, inputs, readings] = self.widths;
        let rows = self.inputs.chunks_exact(inputs.max(1));
        let all = match readings {
            0 => rows.flatten().copied().collect(),
            _ => rows
                .zip(self.readings.chunks_exact(readings))
                .flat_map(|(input, reading)| input.iter().chain(reading))
                .copied()
                .collect(),
        };
        (all, inputs + readings)
    }
}

impl Trainer<'_> {
    /// Runs these rows through the network, on the plant.
    pub fn probe(&self, data: &Rows, lab: &mut Lab) -> Result<Probed, Error> {
        let weights: Vec<Tensor<2>> = self.weights.iter().map(|weight| weight.tensor.clone()).collect();
        let order: Vec<usize> = (0..data.len()).collect();
        let (mut found, mut state) = (Probed::default(), self.state.clone());
        for indices in order.chunks(EVALUATION_BATCH) {
            let values = data.pick(indices, self.data.width).0;
            let inputs = rows::tensor(values.clone(), [indices.len(), self.data.width]);
            let start = Instant::now();
            let pass = &mut Pass::new(lab, Forward::Plant, Purpose::Test, &mut state);
            let outputs = self.network.forward(inputs, &weights, pass)?;
            found.seconds += start.elapsed().as_secs_f64() / data.len() as f64;
            let readings = self.network.readings(pass, &outputs);
            let each: Vec<(Vec<f32>, usize)> = readings
                .into_iter()
                .map(|tensor| {
                    let width = tensor.dims()[1];
                    (rows::values(tensor), width)
                })
                .collect();
            let most = (MOST_NUMBERS / (1 + each.len())).max(1);
            found.widths[1] = self.data.width.min(most);
            found.widths[2] = each.iter().map(|(_, width)| (*width).min(most)).sum();
            for row in 0..indices.len() {
                found.inputs.extend(means(&values[row * self.data.width..(row + 1) * self.data.width], most));
                for (values, width) in &each {
                    found.readings.extend(means(&values[row * width..(row + 1) * width], most));
                }
            }
            found.widths[0] = outputs.dims()[1];
            found.outputs.extend(rows::values(outputs));
        }
        Ok(found)
    }
}

/// The values, or of many the means of so many stretches of neighbors.
fn means(values: &[f32], most: usize) -> Vec<f32> {
    let count = values.len();
    if count <= most {
        return values.to_vec();
    }
    let stretch = |place: usize| &values[place * count / most..(place + 1) * count / most];
    (0..most).map(|place| stretch(place).iter().sum::<f32>() / stretch(place).len() as f32).collect()
}
