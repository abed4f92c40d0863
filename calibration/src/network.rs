//! A small network behind a twin's two methods: predictions, and an adjoint written by hand.
//!
//! ```text
//! p = physics(x, θ)          h₁ = A·x + C·θ + P·p + b₁        hᵢ₊₁ = Wᵢ·a(hᵢ) + bᵢ₊₁        y = p + h_last
//! a(h) = ½·h·(1 + h/√(1 + h²))                                without physics p = 0
//! ```
//!
//! Units are those of the ports: the scaling of inputs and outputs is part of the first and last weights. The controls are
//! the same in all shots of a batch, so their part is computed once. Shots go over the cores in blocks of [`BLOCK`], so results
//! do not depend on the number of threads. Shapes: x `[shots, inputs]`, θ `[controls]`, y `[shots, outputs]`.

use std::sync::Arc;

use drivers::{Batch, Card};
use nalgebra::{DMatrix, DMatrixView};
use rayon::prelude::*;
use sims::{Pullback, Twin};

/// Shots that are computed together.
const BLOCK: usize = 64;

/// One layer's weights, both ways around: a product with a transposed matrix is several times slower.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Weights {
    /// `[outputs, inputs]`.
    forward: DMatrix<f32>,
    /// `[inputs, outputs]`.
    backward: DMatrix<f32>,
}

impl Weights {
    fn new(forward: DMatrix<f32>) -> Self {
        Self { backward: forward.transpose(), forward }
    }
}

/// A network with a smooth activation.
#[derive(Debug, Clone, PartialEq)]
pub struct Network {
    inputs: Weights,
    controls: Weights,
    physics: Weights,
    /// The layers after the first.
    layers: Vec<Weights>,
    biases: Vec<Vec<f32>>,
}

/// A matrix of a network in training: its name, rows and columns, and its values row after row.
pub type Part = (String, [usize; 2], Vec<f32>);

/// One layer as plain numbers: `[outputs, inputs]` row-major, and its bias.
#[derive(Debug, Clone, PartialEq)]
pub struct PlainLayer {
    /// Rows.
    pub outputs: usize,
    /// Columns.
    pub inputs: usize,
    /// Row after row.
    pub weights: Vec<f32>,
    /// One for each output.
    pub bias: Vec<f32>,
}

impl Network {
    /// The network of plain layers; the first takes `[inputs, controls, physics]` values side by side.
    pub fn new(layers: &[PlainLayer], [inputs, controls, physics]: [usize; 3]) -> Option<Self> {
        let matrix = |layer: &PlainLayer| {
            (layer.weights.len() == layer.outputs * layer.inputs && layer.bias.len() == layer.outputs)
                .then(|| DMatrix::from_row_slice(layer.outputs, layer.inputs, &layer.weights))
        };
        let (first, rest) = layers.split_first()?;
        let chained = layers.windows(2).all(|pair| pair[0].outputs == pair[1].inputs);
        let taken = inputs.checked_add(controls).and_then(|sum| sum.checked_add(physics));
        if !chained || Some(first.inputs) != taken || layers.iter().any(|layer| layer.inputs == 0 || layer.outputs == 0)
        {
            return None;
        }
        let whole = matrix(first)?;
        let part = |from: usize, count: usize| Weights::new(whole.columns(from, count).into_owned());
        Some(Self {
            inputs: part(0, inputs),
            controls: part(inputs, controls),
            physics: part(inputs + controls, physics),
            layers: rest.iter().map(|layer| matrix(layer).map(Weights::new)).collect::<Option<_>>()?,
            biases: layers.iter().map(|layer| layer.bias.clone()).collect(),
        })
    }

    /// The layers as plain numbers.
    pub fn plain(&self) -> Vec<PlainLayer> {
        let parts = [&self.inputs, &self.controls, &self.physics];
        let rows = self.biases[0].len();
        let row =
            |row: usize| parts.iter().flat_map(move |part| part.forward.row(row).iter().copied().collect::<Vec<_>>());
        let first = PlainLayer {
            outputs: rows,
            inputs: parts.iter().map(|part| part.forward.ncols()).sum(),
            weights: (0..rows).flat_map(row).collect(),
            bias: self.biases[0].clone(),
        };
        let rest = self.layers.iter().zip(&self.biases[1..]).map(|(layer, bias)| PlainLayer {
            outputs: layer.forward.nrows(),
            inputs: layer.forward.ncols(),
            weights: layer.backward.as_slice().to_vec(),
            bias: bias.clone(),
        });
        std::iter::once(first).chain(rest).collect()
    }

    /// How many inputs, controls and physics' outputs it takes.
    pub fn sizes(&self) -> [usize; 3] {
        [&self.inputs, &self.controls, &self.physics].map(|part| part.forward.ncols())
    }

    /// How many outputs it gives.
    pub fn outputs(&self) -> usize {
        self.biases.last().map_or(0, Vec::len)
    }

    /// Weights and biases.
    pub fn size(&self) -> usize {
        self.plain().iter().map(|layer| layer.weights.len() + layer.bias.len()).sum()
    }

    /// The first bias with the controls' part.
    fn first_bias(&self, controls: &[f32]) -> Vec<f32> {
        let mut bias = self.biases[0].clone();
        for (control, column) in controls.iter().zip(self.controls.forward.column_iter()) {
            bias.iter_mut().zip(column.iter()).for_each(|(bias, weight)| *bias += weight * control);
        }
        bias
    }

    /// All layers' sums for one block: the last is the output.
    fn run(&self, bias: &[f32], inputs: &[f32], physics: &[f32], shots: usize) -> Vec<DMatrix<f32>> {
        let mut sums = Vec::with_capacity(self.biases.len());
        let mut first = repeated(bias, shots);
        first.gemm(1.0, &self.inputs.forward, &view(inputs, shots), 1.0);
        if !physics.is_empty() {
            first.gemm(1.0, &self.physics.forward, &view(physics, shots), 1.0);
        }
        sums.push(first);
        for (layer, bias) in self.layers.iter().zip(&self.biases[1..]) {
            let active = sums[sums.len() - 1].map(activation);
            let mut next = repeated(bias, shots);
            next.gemm(1.0, &layer.forward, &active, 1.0);
            sums.push(next);
        }
        sums
    }

    /// The cotangent of the first sums for one block, from those of the output.
    fn run_back(&self, sums: &[DMatrix<f32>], cotangents: &[f32], shots: usize) -> DMatrix<f32> {
        let mut back = view(cotangents, shots).into_owned();
        for (layer, sums) in self.layers.iter().zip(sums).rev() {
            let mut next = DMatrix::zeros(sums.nrows(), shots);
            next.gemm(1.0, &layer.backward, &back, 0.0);
            next.iter_mut().zip(sums.iter()).for_each(|(gradient, sum)| *gradient *= slope(*sum));
            back = next;
        }
        back
    }
}

/// Rows of a batch as columns of a matrix.
fn view(rows: &[f32], shots: usize) -> DMatrixView<'_, f32> {
    DMatrixView::from_slice(rows, rows.len() / shots.max(1), shots)
}

/// A bias in every column.
fn repeated(bias: &[f32], shots: usize) -> DMatrix<f32> {
    DMatrix::from_fn(bias.len(), shots, |row, _| bias[row])
}

/// A smooth ramp.
#[inline]
pub(crate) fn activation(h: f32) -> f32 {
    0.5 * h * (1.0 + h / (1.0 + h * h).sqrt())
}

/// Its slope: ½ + ½·(2h + h³)/(1 + h²)^(3/2).
#[inline]
pub(crate) fn slope(h: f32) -> f32 {
    let square = 1.0 + h * h;
    0.5 + 0.5 * h * (1.0 + square) / (square * square.sqrt())
}

/// A twin with a learned part: a network alone, or one that corrects physics.
#[derive(Debug, Clone)]
pub struct LearnedTwin {
    card: Card,
    physics: Option<Arc<dyn Twin>>,
    network: Network,
}

impl LearnedTwin {
    /// The twin of the plant of `card`; without `physics` the network does it alone.
    pub fn new(card: Card, physics: Option<Arc<dyn Twin>>, network: Network) -> Self {
        Self { card, physics, network }
    }

    /// The network.
    pub fn network(&self) -> &Network {
        &self.network
    }

    /// The network's cotangents for one batch: of the inputs, of the controls, of the physics' outputs.
    fn network_back(&self, [inputs, base, cotangents]: [&Batch; 3], controls: &[f32]) -> (Batch, Vec<f32>, Batch) {
        let network = &self.network;
        let bias = network.first_bias(controls);
        let (columns, outputs) = (inputs.columns(), cotangents.columns());
        let physics = base.columns();
        let mut to_inputs = Batch::zeros(inputs.rows(), columns);
        let mut to_base = Batch::zeros(inputs.rows(), physics);
        let blocks = to_inputs
            .values_mut()
            .par_chunks_mut(BLOCK * columns)
            .zip(chunks(to_base.values_mut(), BLOCK * physics, inputs.rows().div_ceil(BLOCK)))
            .zip(inputs.values().par_chunks(BLOCK * columns))
            .zip(cotangents.values().par_chunks(BLOCK * outputs))
            .enumerate();
        let sums: Vec<Vec<f32>> = blocks
            .map(|(block, (((to_inputs, to_base), inputs), cotangents))| {
                let shots = cotangents.len() / outputs;
                let base = &base.values()[block * BLOCK * physics..][..shots * physics];
                let sums = network.run(&bias, inputs, base, shots);
                let first = network.run_back(&sums[..sums.len() - 1], cotangents, shots);
                let product = network.inputs.backward.clone_owned_product(&first);
                to_inputs.copy_from_slice(&product);
                if physics > 0 {
                    to_base.copy_from_slice(&network.physics.backward.clone_owned_product(&first));
                }
                first.column_sum().as_slice().to_vec()
            })
            .collect();
        let mut total = nalgebra::DVector::zeros(bias.len());
        for sum in &sums {
            total += nalgebra::DVectorView::from_slice(sum, sum.len());
        }
        let to_controls = (&network.controls.backward * total).as_slice().to_vec();
        (to_inputs, to_controls, to_base)
    }
}

/// A product as plain numbers.
trait Product {
    fn clone_owned_product(&self, right: &DMatrix<f32>) -> Vec<f32>;
}

impl Product for DMatrix<f32> {
    fn clone_owned_product(&self, right: &DMatrix<f32>) -> Vec<f32> {
        let mut product = Self::zeros(self.nrows(), right.ncols());
        product.gemm(1.0, self, right, 0.0);
        product.data.into()
    }
}

/// `count` chunks of `size`, also where `size` is 0; the last may be shorter.
fn chunks(values: &mut [f32], size: usize, count: usize) -> Vec<&mut [f32]> {
    let mut rest = values;
    (0..count)
        .map(|_| {
            let whole = std::mem::take(&mut rest);
            let (these, others) = whole.split_at_mut(size.min(whole.len()));
            rest = others;
            these
        })
        .collect()
}

impl Twin for LearnedTwin {
    fn card(&self) -> &Card {
        &self.card
    }

    fn predict(&self, inputs: &Batch, controls: &[f32]) -> Batch {
        let base = self.physics.as_ref().map(|physics| physics.predict(inputs, controls));
        let outputs = self.card.ports.output_count();
        let mut result = base.clone().unwrap_or_else(|| Batch::zeros(inputs.rows(), outputs));
        let bias = self.network.first_bias(controls);
        let base = base.unwrap_or_default();
        let (columns, physics) = (inputs.columns(), self.network.physics.forward.ncols());
        let blocks = result.values_mut().par_chunks_mut(BLOCK * outputs).enumerate();
        blocks.for_each(|(block, result)| {
            let shots = result.len() / outputs;
            let inputs = &inputs.values()[block * BLOCK * columns..][..shots * columns];
            let base = if physics > 0 { &base.values()[block * BLOCK * physics..][..shots * physics] } else { &[] };
            let sums = self.network.run(&bias, inputs, base, shots);
            let last = sums[sums.len() - 1].as_slice();
            result.iter_mut().zip(last).for_each(|(result, sum)| *result += sum);
        });
        result
    }

    fn pull_back(&self, inputs: &Batch, controls: &[f32], cotangents: &Batch) -> Pullback {
        let physics = self.network.physics.forward.ncols();
        let base = match &self.physics {
            Some(twin) if physics > 0 => twin.predict(inputs, controls),
            _ => Batch::zeros(inputs.rows(), 0),
        };
        let (to_inputs, to_controls, mut to_base) = self.network_back([inputs, &base, cotangents], controls);
        let mut pulled = Pullback { inputs: to_inputs, controls: to_controls };
        let Some(twin) = &self.physics else { return pulled };
        if physics > 0 {
            to_base.values_mut().iter_mut().zip(cotangents.values()).for_each(|(sum, direct)| *sum += direct);
        } else {
            to_base = cotangents.clone();
        }
        let through = twin.pull_back(inputs, controls, &to_base);
        pulled.inputs.values_mut().iter_mut().zip(through.inputs.values()).for_each(|(sum, part)| *sum += part);
        // A network that takes no controls says nothing of them.
        if pulled.controls.is_empty() {
            pulled.controls = through.controls;
        } else {
            pulled.controls.iter_mut().zip(&through.controls).for_each(|(sum, part)| *sum += part);
        }
        pulled
    }
}

#[cfg(test)]
mod tests {
    use sims::{Key, Stream};

    use super::*;
    use crate::trace::tests::card;

    fn layers(sizes: &[usize], stream: &mut Stream) -> Vec<PlainLayer> {
        sizes
            .windows(2)
            .map(|pair| PlainLayer {
                inputs: pair[0],
                outputs: pair[1],
                weights: (0..pair[0] * pair[1]).map(|_| 0.4 * stream.normal()).collect(),
                bias: (0..pair[1]).map(|_| 0.2 * stream.normal()).collect(),
            })
            .collect()
    }

    /// Physics of a toy: y₀ = x₀·x₁, y₁ = x₂·k₀.
    #[derive(Debug)]
    struct Toy(Card);

    impl Twin for Toy {
        fn card(&self) -> &Card {
            &self.0
        }
        fn predict(&self, x: &Batch, k: &[f32]) -> Batch {
            Batch::from_fn(
                x.rows(),
                2,
                |row, port| if port == 0 { x.row(row)[0] * x.row(row)[1] } else { x.row(row)[2] * k[0] },
            )
        }
        fn pull_back(&self, x: &Batch, k: &[f32], g: &Batch) -> Pullback {
            let inputs = Batch::from_fn(x.rows(), 3, |row, port| {
                let (x, g) = (x.row(row), g.row(row));
                [g[0] * x[1], g[0] * x[0], g[1] * k[0]][port]
            });
            let to_k = (0..x.rows()).map(|row| g.row(row)[1] * x.row(row)[2]).sum();
            Pullback { inputs, controls: vec![to_k, 0.0] }
        }
    }

    #[test]
    fn the_adjoint_is_that_of_the_prediction() {
        for (physics, width) in [(false, 0), (true, 0), (true, 2)] {
            let mut stream = Key::new(4).stream();
            let card = card(3, 2, 2);
            let network = Network::new(&layers(&[5 + width, 7, 6, 2], &mut stream), [3, 2, width]).unwrap();
            let toy: Option<Arc<dyn Twin>> = if physics { Some(Arc::new(Toy(card.clone()))) } else { None };
            let twin = LearnedTwin::new(card, toy, network);
            let mut draw = |rows, columns| Batch::from_fn(rows, columns, |_, _| 2.0 * stream.uniform() - 1.0);
            let (x, g, dx) = (draw(100, 3), draw(100, 2), draw(100, 3));
            let (k, dk) = ([0.3, -0.6], [0.5, 0.2]);
            let pulled = twin.pull_back(&x, &k, &g);
            let loss = |t: f32| -> f64 {
                let moved = Batch::from_fn(100, 3, |row, port| x.row(row)[port] + t * dx.row(row)[port]);
                let y = twin.predict(&moved, &[k[0] + t * dk[0], k[1] + t * dk[1]]);
                y.values().iter().zip(g.values()).map(|(y, g)| f64::from(*y) * f64::from(*g)).sum()
            };
            let numeric = (loss(0.02) - loss(-0.02)) / 0.04;
            let along = pulled.inputs.values().iter().zip(dx.values()).map(|(a, b)| f64::from(a * b)).sum::<f64>()
                + pulled.controls.iter().zip(&dk).map(|(a, b)| f64::from(a * b)).sum::<f64>();
            assert!((numeric - along).abs() < 2e-3 * along.abs().max(1.0), "{numeric} {along}");
        }
    }

    #[test]
    fn plain_layers_come_back() {
        let plain = layers(&[5, 4, 2], &mut Key::new(1).stream());
        let network = Network::new(&plain, [2, 2, 1]).unwrap();
        assert_eq!(network.plain(), plain);
        assert!(Network::new(&plain, [2, 2, 2]).is_none());
    }

    #[test]
    fn results_do_not_depend_on_the_batch() {
        let mut stream = Key::new(9).stream();
        let network = Network::new(&layers(&[3, 8, 2], &mut stream), [3, 0, 0]).unwrap();
        let twin = LearnedTwin::new(card(3, 0, 2), None, network);
        let x = Batch::from_fn(200, 3, |_, _| stream.normal());
        let all = twin.predict(&x, &[]);
        let one = twin.predict(&crate::trace::pick(&x, &[150]), &[]);
        assert!(all.row(150).iter().zip(one.row(0)).all(|(a, b)| (a - b).abs() < 1e-6));
    }
}
