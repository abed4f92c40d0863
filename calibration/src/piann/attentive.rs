//! The network of the physics-informed attention-based twin: a recurrent encoder over initial and boundary values, attention, and a recurrent
//! decoder that gives all nodes at once (after Rodriguez-Torrado et al., arXiv 2105.07898).
//!
//! ```text
//! e₀ = tanh(W₂·tanh(W₁·c))         eₖ = GRU(encoder inputₖ, eₖ₋₁)           c: what holds of the whole field, such as time and mobility
//! s₀ = e_last                      sₙ = GRU(decoder inputₙ, sₙ₋₁)
//! Cₙ = attention of W_q·sₙ + b over all eₖ       oₙ = W_o·tanh(W_c·[sₙ; Cₙ]) + b         uₙ = oₙ, or σ(oₙ) where the field lies between 0 and 1
//! ```
//!
//! All of it goes through as values with their rates ([`super::wave`]), so a loss may hold ∂u/∂t at every node. The published network's layer
//! sizes are not public; these are ours. Shapes: c `[context, 2·batch]`, inputs a list over the nodes of `[features, 2·batch]`, u `[outputs, 2·batch]`
//! for each node.

use nalgebra::DMatrix;
use sims::Key;

use super::attention::{Attended, attend, of_sample, to_waves};
use super::cell::{Cell, Step};
use super::wave::{Dense, Number, back, of, sigmoid, squash, squash_back, stacked};

/// How large a network is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sizes {
    /// Values that hold of the whole field.
    pub context: usize,
    /// Values that the encoder reads at each of its places.
    pub encoder: usize,
    /// Values that the decoder reads at each node.
    pub decoder: usize,
    /// Hidden values of encoder and decoder.
    pub hidden: usize,
    /// Values of the field at each node.
    pub outputs: usize,
    /// Whether the field lies between 0 and 1.
    pub bounded: bool,
}

/// Its weights, or gradients for them.
#[derive(Debug, Clone, PartialEq)]
pub struct Attentive<S> {
    sizes: Sizes,
    start: [Dense<S>; 2],
    encoder: Cell<S>,
    decoder: Cell<S>,
    question: Dense<S>,
    joint: Dense<S>,
    output: Dense<S>,
}

/// What a batch of fields is asked for: waves of values and rates.
#[derive(Debug, Clone)]
pub struct Asked<S> {
    /// How many fields; waves have as many columns again where rates are wanted.
    pub batch: usize,
    /// `[context, 2·batch]`.
    pub context: DMatrix<S>,
    /// Of each place that is read, `[encoder, 2·batch]`.
    pub read: Vec<DMatrix<S>>,
    /// Of each node, `[decoder, 2·batch]`.
    pub nodes: Vec<DMatrix<S>>,
}

/// What a forward pass leaves for the way back.
#[derive(Debug)]
pub struct Passed<S> {
    batch: usize,
    start_sums: [DMatrix<S>; 2],
    starts: [DMatrix<S>; 2],
    context: DMatrix<S>,
    encoded: Vec<Step<S>>,
    decoded: Vec<Step<S>>,
    states: Vec<DMatrix<S>>,
    attended: Vec<Attended<S>>,
    /// Of each node: [s; C], the sums of the joint layer, their tanh, and u.
    nodes: Vec<[DMatrix<S>; 4]>,
    /// Of each node, the rates of o.
    output_rates: Vec<DMatrix<S>>,
}

impl<S: Number> Attentive<S> {
    /// A new network, its weights drawn with `key`.
    pub fn new(sizes: Sizes, key: Key) -> Self {
        let mut stream = key.stream();
        let mut draw = || f64::from(stream.uniform());
        let Sizes { context, encoder, decoder, hidden, outputs, .. } = sizes;
        Self {
            sizes,
            start: [Dense::new(hidden, context, context, &mut draw), Dense::new(hidden, hidden, hidden, &mut draw)],
            encoder: Cell::new(encoder, hidden, &mut draw),
            decoder: Cell::new(decoder, hidden, &mut draw),
            question: Dense::new(hidden, hidden, hidden, &mut draw),
            joint: Dense::new(hidden, 2 * hidden, 2 * hidden, &mut draw),
            output: Dense::new(outputs, hidden, hidden, &mut draw),
        }
    }

    /// The network of matrices in the order of `matrices`, each column after column; `None` where they are not those of these sizes.
    pub(super) fn of_matrices(sizes: Sizes, matrices: &[Vec<S>]) -> Option<Self> {
        let Sizes { context, encoder, decoder, hidden, outputs, .. } = sizes;
        let triple = hidden.checked_mul(3)?;
        let shapes = [
            [hidden, context],
            [hidden, hidden],
            [triple, encoder],
            [triple, hidden],
            [triple, decoder],
            [triple, hidden],
            [hidden, hidden],
            [hidden, hidden.checked_mul(2)?],
            [outputs, hidden],
        ];
        let wanted: Option<Vec<usize>> =
            shapes.iter().flat_map(|[rows, columns]| [rows.checked_mul(*columns), Some(*rows)]).collect();
        let held: Vec<usize> = matrices.iter().map(Vec::len).collect();
        if held != wanted? || hidden == 0 {
            return None;
        }
        let mut pairs = matrices.chunks_exact(2).zip(shapes).map(|(pair, [rows, columns])| Dense {
            weights: DMatrix::from_column_slice(rows, columns, &pair[0]),
            bias: DMatrix::from_column_slice(rows, 1, &pair[1]),
        });
        let mut next = || pairs.next();
        Some(Self {
            sizes,
            start: [next()?, next()?],
            encoder: Cell { input: next()?, state: next()? },
            decoder: Cell { input: next()?, state: next()? },
            question: next()?,
            joint: next()?,
            output: next()?,
        })
    }

    /// Its sizes.
    pub fn sizes(&self) -> Sizes {
        self.sizes
    }

    fn zeros_like(&self) -> Self {
        let cell = |cell: &Cell<S>| Cell { input: cell.input.zeros_like(), state: cell.state.zeros_like() };
        Self {
            sizes: self.sizes,
            start: [self.start[0].zeros_like(), self.start[1].zeros_like()],
            encoder: cell(&self.encoder),
            decoder: cell(&self.decoder),
            question: self.question.zeros_like(),
            joint: self.joint.zeros_like(),
            output: self.output.zeros_like(),
        }
    }

    /// All matrices, in an order that never changes.
    pub(super) fn matrices(&self) -> Vec<&DMatrix<S>> {
        let all = [
            &self.start[0],
            &self.start[1],
            &self.encoder.input,
            &self.encoder.state,
            &self.decoder.input,
            &self.decoder.state,
            &self.question,
            &self.joint,
            &self.output,
        ];
        all.into_iter().flat_map(|dense| [&dense.weights, &dense.bias]).collect()
    }

    /// The same, to be changed.
    pub(super) fn matrices_mut(&mut self) -> Vec<&mut DMatrix<S>> {
        let [first, second] = &mut self.start;
        let all = [
            first,
            second,
            &mut self.encoder.input,
            &mut self.encoder.state,
            &mut self.decoder.input,
            &mut self.decoder.state,
            &mut self.question,
            &mut self.joint,
            &mut self.output,
        ];
        all.into_iter().flat_map(|dense| [&mut dense.weights, &mut dense.bias]).collect()
    }

    /// The same, by value.
    pub(super) fn into_matrices(self) -> Vec<DMatrix<S>> {
        self.matrices().into_iter().cloned().collect()
    }

    /// How many weights there are.
    pub fn size(&self) -> usize {
        self.matrices().iter().map(|matrix| matrix.len()).sum()
    }

    /// The field at all nodes, each `[outputs, 2·batch]`: values and rates.
    pub fn forward(&self, asked: &Asked<S>) -> (Vec<DMatrix<S>>, Passed<S>) {
        let (batch, columns) = (asked.batch, asked.context.ncols());
        let first_sums = self.start[0].forward(&asked.context, batch);
        let first = squash(&first_sums, batch);
        let second_sums = self.start[1].forward(&first, batch);
        let second = squash(&second_sums, batch);
        let run = |cell: &Cell<S>, inputs: &[DMatrix<S>], start: &DMatrix<S>| {
            let (mut states, mut steps) = (Vec::with_capacity(inputs.len()), Vec::with_capacity(inputs.len()));
            for input in inputs {
                let (next, step) = cell.step(input, states.last().unwrap_or(start), batch);
                states.push(next);
                steps.push(step);
            }
            (states, steps)
        };
        let (states, encoded) = run(&self.encoder, &asked.read, &second);
        let (answers, decoded) = run(&self.decoder, &asked.nodes, states.last().unwrap_or(&second));
        let questions: Vec<DMatrix<S>> = answers.iter().map(|answer| self.question.forward(answer, batch)).collect();
        let mut contexts = vec![DMatrix::zeros(self.sizes.hidden, columns); answers.len()];
        let mut attended = Vec::with_capacity(batch);
        for sample in 0..batch {
            let (context, kept) = attend(of_sample(&states, sample, batch), of_sample(&questions, sample, batch));
            to_waves(&context, &mut contexts, sample, batch);
            attended.push(kept);
        }
        let (mut outputs, mut nodes, mut output_rates) = (vec![], vec![], vec![]);
        for (answer, context) in answers.iter().zip(&contexts) {
            let both = stacked(answer, context);
            let sums = self.joint.forward(&both, batch);
            let joint = squash(&sums, batch);
            let mut output = self.output.forward(&joint, batch);
            output_rates.push(output.columns(batch, columns - batch).into_owned());
            if self.sizes.bounded {
                let (values, rates) = output.as_mut_slice().split_at_mut(batch * self.sizes.outputs);
                for value in &mut *values {
                    *value = sigmoid(*value);
                }
                for (value, rate) in values.iter().zip(rates) {
                    *rate *= *value * (S::one() - *value);
                }
            }
            outputs.push(output.clone());
            nodes.push([both, sums, joint, output]);
        }
        let passed = Passed {
            batch,
            start_sums: [first_sums, second_sums],
            starts: [first, second],
            context: asked.context.clone(),
            encoded,
            decoded,
            states,
            attended,
            nodes,
            output_rates,
        };
        (outputs, passed)
    }

    /// Gradients for the weights, and what is wanted of all that was asked, where `wanted` is of the field and its rates.
    pub fn back(&self, passed: &Passed<S>, wanted: &[DMatrix<S>]) -> (Self, Asked<S>) {
        let (batch, hidden) = (passed.batch, self.sizes.hidden);
        let columns = passed.context.ncols();
        let mut gradient = self.zeros_like();
        let [joint_turned, output_turned, question_turned] =
            [&self.joint, &self.output, &self.question].map(|dense| dense.weights.transpose());
        let (mut of_answers, mut of_contexts) = (vec![], vec![]);
        for ((wanted, [both, sums, joint, output]), rates) in wanted.iter().zip(&passed.nodes).zip(&passed.output_rates)
        {
            let mut wanted = wanted.clone();
            if self.sizes.bounded {
                let (of_values, of_rates) = wanted.as_mut_slice().split_at_mut(batch * self.sizes.outputs);
                let slope = |u: S| u * (S::one() - u);
                of_values.iter_mut().zip(output.as_slice()).for_each(|(of_value, u)| *of_value *= slope(*u));
                let places = of_values.iter_mut().zip(of_rates).zip(output.as_slice().iter().zip(rates.as_slice()));
                for ((of_value, of_rate), (u, rate)) in places {
                    *of_value += *of_rate * *rate * slope(*u) * (S::one() - of::<S>(2.0) * *u);
                    *of_rate *= slope(*u);
                }
            }
            Dense::gather(&mut gradient.output, joint, &wanted, batch);
            let mut of_joint = back(&output_turned, &wanted);
            squash_back(sums, joint, &mut of_joint, batch);
            Dense::gather(&mut gradient.joint, both, &of_joint, batch);
            let of_both = back(&joint_turned, &of_joint);
            of_answers.push(of_both.rows(0, hidden).into_owned());
            of_contexts.push(of_both.rows(hidden, hidden).into_owned());
        }
        let mut of_states = vec![DMatrix::zeros(hidden, columns); passed.states.len()];
        let mut of_questions = vec![DMatrix::zeros(hidden, columns); of_answers.len()];
        for (sample, attended) in passed.attended.iter().enumerate() {
            let [states, questions] = attended.back(&of_sample(&of_contexts, sample, batch));
            to_waves(&states, &mut of_states, sample, batch);
            to_waves(&questions, &mut of_questions, sample, batch);
        }
        for ((of_answer, of_question), [both, ..]) in of_answers.iter_mut().zip(&of_questions).zip(&passed.nodes) {
            let answer = both.rows(0, hidden).into_owned();
            Dense::gather(&mut gradient.question, &answer, of_question, batch);
            *of_answer += back(&question_turned, of_question);
        }
        let (nodes, mut of_state) =
            run_back(&self.decoder, &passed.decoded, of_answers, &mut gradient.decoder, [hidden, batch, columns]);
        if let Some(last) = of_states.last_mut() {
            *last += &of_state;
            of_state.fill(S::zero());
        }
        let (read, of_start) =
            run_back(&self.encoder, &passed.encoded, of_states, &mut gradient.encoder, [hidden, batch, columns]);
        let mut of_second = of_start + of_state;
        squash_back(&passed.start_sums[1], &passed.starts[1], &mut of_second, batch);
        Dense::gather(&mut gradient.start[1], &passed.starts[0], &of_second, batch);
        let mut of_first = back(&self.start[1].weights.transpose(), &of_second);
        squash_back(&passed.start_sums[0], &passed.starts[0], &mut of_first, batch);
        Dense::gather(&mut gradient.start[0], &passed.context, &of_first, batch);
        let context = back(&self.start[0].weights.transpose(), &of_first);
        (gradient, Asked { batch, context, read, nodes })
    }
}

/// Back through the steps of a cell: what is wanted of its inputs, and of the state that it began with.
fn run_back<S: Number>(
    cell: &Cell<S>,
    steps: &[Step<S>],
    mut of_states: Vec<DMatrix<S>>,
    gradient: &mut Cell<S>,
    [hidden, batch, columns]: [usize; 3],
) -> (Vec<DMatrix<S>>, DMatrix<S>) {
    let turned = cell.turned();
    let mut of_inputs = Vec::with_capacity(steps.len());
    let mut later = DMatrix::zeros(hidden, columns);
    for step in steps.iter().rev() {
        if let Some(own) = of_states.pop() {
            later += own;
        }
        let [of_input, before] = Cell::back(&turned, step, &later, gradient, batch);
        of_inputs.push(of_input);
        later = before;
    }
    of_inputs.reverse();
    (of_inputs, later)
}
