//! Networks that learned the law of [`sims::BuckleyLeverett`] from its equation alone: the recurrent one with attention, and those that it is
//! held against.
//!
//! Each gives u at x from 0 to 1, t from 0 to [`super::END`] and, where it learned several, at a mobility. Fields at nodes are interpolated.

use nalgebra::DMatrix;
use sims::{BuckleyLeverett, Key, Stream};

use super::attentive::{Asked, Attentive, Sizes};
use super::descent::Descent;
use super::field::{NODES, Points, TIME_SCALE, Times, mobility_feature, node_loss, point_loss};
use super::plain::Plain;
use super::wave::{Number, of, wide};

/// Hidden values of the recurrent network, and of each of the four layers of the plain ones.
const HIDDEN: usize = 32;
const WIDTH: usize = 40;
/// Points inside, and at the start and at the boundary, of an update of a network without nodes.
const INSIDE: usize = 512;
const BESIDE: usize = 64;

/// How a network is trained.
#[derive(Debug, Clone)]
pub struct Training {
    /// Updates.
    pub updates: usize,
    /// Fields or shots of an update; networks without nodes draw points instead.
    pub batch: usize,
    /// Adam's first step size.
    pub rate: f64,
    /// Draws what is learned from.
    pub key: Key,
}

/// A network with a loss of its own.
pub(super) trait Learns<S: Number> {
    /// What an update learns from.
    type Batch;
    /// Draws one.
    fn draw(&self, training: &Training, stream: &mut Stream) -> Self::Batch;
    /// The loss, and its gradient for each matrix.
    fn loss(&self, batch: &Self::Batch) -> (f64, Vec<DMatrix<S>>);
    /// The matrices, in the same order.
    fn weights(&mut self) -> Vec<&mut DMatrix<S>>;

    /// All updates; `goes_on` hears of each update and its loss, and ends them by `false`.
    fn descend(&mut self, training: &Training, goes_on: &mut dyn FnMut(usize, f64) -> bool) {
        let mut stream = training.key.branch("batches").stream();
        let mut descent = Descent::new(&self.weights(), training.updates, training.rate);
        for update in 0..training.updates {
            let batch = self.draw(training, &mut stream);
            let (loss, gradient) = self.loss(&batch);
            descent.step(self.weights(), &gradient);
            if !goes_on(update, loss) {
                break;
            }
        }
    }
}

/// A field that a network knows.
pub trait FieldTwin {
    /// u at places and a time.
    fn field(&self, places: &[f64], time: f64, mobility: f64) -> Vec<f64>;
    /// How many weights it has.
    fn size(&self) -> usize;
}

/// The recurrent network with attention: u at all nodes at once.
#[derive(Debug, Clone)]
pub struct Piann<S> {
    network: Attentive<S>,
    mobilities: Vec<f64>,
}

/// A plain network of (x, t, M), trained by the same residual at the same nodes.
#[derive(Debug, Clone)]
pub struct PlainParametric<S> {
    network: Plain<S>,
    mobilities: Vec<f64>,
}

/// A plain network of (x, t) for one mobility, trained by the residual at points.
#[derive(Debug, Clone)]
pub struct PointPinn<S> {
    network: Plain<S>,
    law: BuckleyLeverett,
    hull: bool,
}

impl<S: Number> Piann<S> {
    /// A new one that learns these mobilities, of which there is at least one.
    pub fn new(mobilities: &[f64], key: Key) -> Self {
        let sizes = Sizes { context: 2, encoder: 3, decoder: 3, hidden: HIDDEN, outputs: 1, bounded: true };
        Self { network: Attentive::new(sizes, key), mobilities: mobilities.to_vec() }
    }

    fn asked(asked: &Times) -> Asked<S> {
        let batch = asked.times.len();
        let context = DMatrix::from_fn(2, 2 * batch, |row, column| {
            of(match (row, column < batch) {
                (0, true) => TIME_SCALE * asked.times[column] - 0.5,
                (0, false) => TIME_SCALE,
                (_, true) => mobility_feature(asked.mobilities[column]),
                (_, false) => 0.0,
            })
        });
        let x = |node: usize| node as f64 / (NODES - 1) as f64;
        // The encoder reads where it is, the initial value, and the boundary's value where there is a boundary.
        let read = (0..NODES).map(|node| {
            let values = [x(node) - 0.5, 0.0, f64::from(u8::from(node == 0))];
            DMatrix::from_fn(3, 2 * batch, |row, column| of(if column < batch { values[row] } else { 0.0 }))
        });
        let nodes = (0..NODES).map(|node| {
            DMatrix::from_fn(3, 2 * batch, |row, column| match row {
                0 => of(if column < batch { x(node) - 0.5 } else { 0.0 }),
                row => context[(row - 1, column)],
            })
        });
        Asked { batch, read: read.collect(), nodes: nodes.collect(), context: context.clone() }
    }

    /// Trains it; `goes_on` hears of each update and its loss, and ends it by `false`.
    pub fn train(&mut self, training: &Training, goes_on: &mut dyn FnMut(usize, f64) -> bool) {
        self.descend(training, goes_on);
    }
}

impl<S: Number> Learns<S> for Piann<S> {
    type Batch = Times;

    fn draw(&self, training: &Training, stream: &mut Stream) -> Times {
        Times::draw(training.batch, &self.mobilities, stream)
    }

    fn loss(&self, asked: &Times) -> (f64, Vec<DMatrix<S>>) {
        let batch = asked.times.len();
        let (outputs, passed) = self.network.forward(&Self::asked(asked));
        let [u, rates] =
            [0, batch].map(|from| DMatrix::from_fn(NODES, batch, |node, sample| outputs[node][from + sample]));
        let (loss, of_u, of_rates) = node_loss(asked, &u, &rates);
        let wanted: Vec<DMatrix<S>> = (0..NODES)
            .map(|node| {
                DMatrix::from_fn(1, 2 * batch, |_, column| {
                    if column < batch { of_u[(node, column)] } else { of_rates[(node, column - batch)] }
                })
            })
            .collect();
        (loss, self.network.back(&passed, &wanted).0.into_matrices())
    }

    fn weights(&mut self) -> Vec<&mut DMatrix<S>> {
        self.network.matrices_mut()
    }
}

impl<S: Number> FieldTwin for Piann<S> {
    fn field(&self, places: &[f64], time: f64, mobility: f64) -> Vec<f64> {
        let asked = Times { times: vec![time], mobilities: vec![mobility] };
        let (outputs, _) = self.network.forward(&Self::asked(&asked));
        let nodes: Vec<f64> = outputs.iter().map(|output| wide(output[0])).collect();
        interpolated(&nodes, places)
    }

    fn size(&self) -> usize {
        self.network.size()
    }
}

/// Values at nodes from 0 to 1, at places between.
pub fn interpolated(nodes: &[f64], places: &[f64]) -> Vec<f64> {
    let last = nodes.len() - 1;
    let at = |place: &f64| {
        let along = place.clamp(0.0, 1.0) * last as f64;
        let left = (along.floor() as usize).min(last.saturating_sub(1));
        let share = along - left as f64;
        nodes[left] + share * (nodes[(left + 1).min(last)] - nodes[left])
    };
    places.iter().map(at).collect()
}

impl<S: Number> PlainParametric<S> {
    /// A new one that learns these mobilities, of which there is at least one.
    pub fn new(mobilities: &[f64], key: Key) -> Self {
        Self { network: Plain::new(&[3, WIDTH, WIDTH, WIDTH, WIDTH, 1], key), mobilities: mobilities.to_vec() }
    }

    /// Nodes of a sample side by side, then the next sample's; then the rates.
    fn wave(asked: &Times, places: &[f64]) -> DMatrix<S> {
        let (count, nodes) = (asked.times.len() * places.len(), places.len());
        DMatrix::from_fn(3, 2 * count, |row, column| {
            let (sample, node) = ((column % count) / nodes, column % nodes);
            of(match (row, column < count) {
                (0, true) => places[node] - 0.5,
                (1, true) => TIME_SCALE * asked.times[sample] - 0.5,
                (1, false) => TIME_SCALE,
                (2, true) => mobility_feature(asked.mobilities[sample]),
                _ => 0.0,
            })
        })
    }

    /// Trains it; `goes_on` hears of each update and its loss, and ends it by `false`.
    pub fn train(&mut self, training: &Training, goes_on: &mut dyn FnMut(usize, f64) -> bool) {
        self.descend(training, goes_on);
    }
}

fn nodes() -> Vec<f64> {
    (0..NODES).map(|node| node as f64 / (NODES - 1) as f64).collect()
}

impl<S: Number> Learns<S> for PlainParametric<S> {
    type Batch = Times;

    fn draw(&self, training: &Training, stream: &mut Stream) -> Times {
        Times::draw(training.batch, &self.mobilities, stream)
    }

    fn loss(&self, asked: &Times) -> (f64, Vec<DMatrix<S>>) {
        let (batch, places) = (asked.times.len(), nodes());
        let count = batch * NODES;
        let (output, passed) = self.network.forward(&Self::wave(asked, &places), count);
        let [u, rates] =
            [0, count].map(|from| DMatrix::from_fn(NODES, batch, |node, sample| output[from + sample * NODES + node]));
        let (loss, of_u, of_rates) = node_loss(asked, &u, &rates);
        let wanted = DMatrix::from_fn(1, 2 * count, |_, column| {
            let (sample, node) = ((column % count) / NODES, column % NODES);
            if column < count { of_u[(node, sample)] } else { of_rates[(node, sample)] }
        });
        (loss, self.network.back(&passed, &wanted).into_matrices())
    }

    fn weights(&mut self) -> Vec<&mut DMatrix<S>> {
        self.network.matrices_mut()
    }
}

impl<S: Number> FieldTwin for PlainParametric<S> {
    fn field(&self, places: &[f64], time: f64, mobility: f64) -> Vec<f64> {
        let asked = Times { times: vec![time], mobilities: vec![mobility] };
        let (output, _) = self.network.forward(&Self::wave(&asked, places), places.len());
        output.iter().take(places.len()).map(|u| wide(*u)).collect()
    }

    fn size(&self) -> usize {
        self.network.size()
    }
}

impl<S: Number> PointPinn<S> {
    /// A new one for this law; with the concave hull of its flux or without.
    pub fn new(law: BuckleyLeverett, hull: bool, key: Key) -> Self {
        Self { network: Plain::new(&[2, WIDTH, WIDTH, WIDTH, WIDTH, 1], key), law, hull }
    }

    /// x and t of each point, then their derivatives by x, then by t.
    fn wave(places: &[[f64; 2]]) -> DMatrix<S> {
        let count = places.len();
        DMatrix::from_fn(2, 3 * count, |row, column| {
            let place = places[column % count];
            of(match (row, column / count) {
                (0, 0) => 2.0 * place[0] - 1.0,
                (1, 0) => 2.0 * TIME_SCALE * place[1] - 1.0,
                (0, 1) => 2.0,
                (1, 2) => 2.0 * TIME_SCALE,
                _ => 0.0,
            })
        })
    }

    /// Trains it; `goes_on` hears of each update and its loss, and ends it by `false`.
    pub fn train(&mut self, training: &Training, goes_on: &mut dyn FnMut(usize, f64) -> bool) {
        self.descend(training, goes_on);
    }
}

impl<S: Number> Learns<S> for PointPinn<S> {
    type Batch = Points;

    fn draw(&self, _training: &Training, stream: &mut Stream) -> Points {
        Points::draw(INSIDE, BESIDE, stream)
    }

    fn loss(&self, points: &Points) -> (f64, Vec<DMatrix<S>>) {
        let (output, passed) = self.network.forward(&Self::wave(&points.places), points.places.len());
        let (loss, wanted) = point_loss(points, self.law, self.hull, &output);
        (loss, self.network.back(&passed, &wanted).into_matrices())
    }

    fn weights(&mut self) -> Vec<&mut DMatrix<S>> {
        self.network.matrices_mut()
    }
}

impl<S: Number> FieldTwin for PointPinn<S> {
    fn field(&self, places: &[f64], time: f64, _mobility: f64) -> Vec<f64> {
        let points: Vec<[f64; 2]> = places.iter().map(|x| [*x, time]).collect();
        let (output, _) = self.network.forward(&Self::wave(&points), points.len());
        output.iter().take(points.len()).map(|u| wide(*u)).collect()
    }

    fn size(&self) -> usize {
        self.network.size()
    }
}
