//! One step in time as terms: what a state becomes, as a function of what it was. Derivatives of such a step are exact for what is
//! computed, because they are those of the step itself.
//!
//! ```text
//! rk4            the classical method of Runge and Kutta, order 4
//! semi-implicit  x' = x + h·f/(1 − h·∂f/∂x) for one state after the other, each with the new values of those before it, order 1
//! implicit       (1 − γhJ)·k₁ = f(x),  (1 − γhJ)·k₂ = f(x + h·k₁) − 2k₁,  x' = x + h·(3k₁ + k₂)/2,  γ = 1 − 1/√2
//! ```
//!
//! The last is ROS2 of Verwer, Spee, Blom and Hundsdorfer (SIAM J. Sci. Comput. 20, 1456, 1999): linearly implicit, order 2, L-stable.
//! Its matrix is eliminated without exchanging rows: steps that resolve the solution keep its diagonal near 1 or larger.

#![allow(clippy::needless_range_loop)] // Rows and columns are numbers in Gauss's elimination.

use super::model::Method;
use super::terms::{Id, Leaf, Map, Node, Origin, Terms};

/// γ of ROS2.
pub(super) const GAMMA: f64 = 1.0 - std::f64::consts::FRAC_1_SQRT_2;

/// One element of a state and its derivative in time.
#[derive(Debug, Clone)]
pub(super) struct Motion {
    /// The element.
    pub state: Leaf,
    /// The derivative in time.
    pub slope: Id,
}

impl Terms {
    /// The same terms with others in place of some.
    pub fn replaced(&mut self, roots: &[Id], others: &Map<Id, Id>) -> Vec<Id> {
        let mut new: Map<Id, Id> = Map::default();
        for id in self.reachable(roots) {
            let mut changes = false;
            self.parts(id, |part| changes |= new[&part] != part);
            let now = match others.get(&id) {
                Some(other) => *other,
                None if !changes => id,
                None => self.rebuilt(id, &new),
            };
            new.insert(id, now);
        }
        roots.iter().map(|root| new[root]).collect()
    }

    /// The term with these in place of its parts.
    pub fn rebuilt(&mut self, id: Id, new: &Map<Id, Id>) -> Id {
        match self.node(id).clone() {
            Node::Number(_) | Node::Leaf(_) | Node::Index(_) => id,
            Node::Sum(parts, constant) => {
                let parts: Vec<_> = parts.iter().map(|(part, factor)| (new[part], f64::from_bits(*factor))).collect();
                self.sum(parts, f64::from_bits(constant))
            }
            Node::Product(parts) => {
                let parts = parts.iter().map(|(part, halves)| (new[part], *halves)).collect();
                self.product(parts, 1.0)
            }
            Node::Call(function, part) => self.call(function, new[&part]),
            Node::Pair(pair, a, b) => self.pair(pair, new[&a], new[&b]),
            Node::Select(a, b, c) => self.select(new[&a], new[&b], new[&c]),
            Node::Reduce(var, body) => self.reduce(var, new[&body]),
            Node::Hoisted(part) => self.hoisted(new[&part]),
        }
    }

    /// What the states become in a step of length `h`, in the order of `motions`. The elements have places that are numbers.
    pub fn step(&mut self, method: Method, motions: &[Motion], h: f64) -> Vec<Id> {
        match method {
            Method::Rk4 => self.runge_kutta(motions, h),
            Method::SemiImplicit => self.semi_implicit(motions, h),
            Method::Implicit | Method::ImplicitAdaptive => self.rosenbrock(motions, h),
        }
    }

    fn states(&mut self, motions: &[Motion]) -> Vec<Id> {
        motions.iter().map(|motion| self.leaf(motion.state.clone())).collect()
    }

    /// The slopes at other states.
    fn slopes_at(&mut self, motions: &[Motion], at: &[Id]) -> Vec<Id> {
        let others = self.states(motions).into_iter().zip(at.iter().copied()).collect();
        self.replaced(&motions.iter().map(|motion| motion.slope).collect::<Vec<_>>(), &others)
    }

    /// x + `by`·k.
    fn moved(&mut self, states: &[Id], slopes: &[Id], by: f64) -> Vec<Id> {
        states.iter().zip(slopes).map(|(state, slope)| self.sum([(*state, 1.0), (*slope, by)], 0.0)).collect()
    }

    fn runge_kutta(&mut self, motions: &[Motion], h: f64) -> Vec<Id> {
        let states = self.states(motions);
        let first: Vec<Id> = motions.iter().map(|motion| motion.slope).collect();
        let at = self.moved(&states, &first, 0.5 * h);
        let second = self.slopes_at(motions, &at);
        let at = self.moved(&states, &second, 0.5 * h);
        let third = self.slopes_at(motions, &at);
        let at = self.moved(&states, &third, h);
        let fourth = self.slopes_at(motions, &at);
        let sixth = h / 6.0;
        (0..states.len())
            .map(|n| {
                let parts = [(first[n], sixth), (second[n], 2.0 * sixth), (third[n], 2.0 * sixth), (fourth[n], sixth)];
                self.sum(parts.into_iter().chain([(states[n], 1.0)]), 0.0)
            })
            .collect()
    }

    /// The elements of one state are taken together: they see each other as they were.
    fn semi_implicit(&mut self, motions: &[Motion], h: f64) -> Vec<Id> {
        let states = self.states(motions);
        let mut now = Map::default();
        let mut results = Vec::new();
        for array in motions.chunk_by(|a, b| a.state.array == b.state.array) {
            let first = results.len();
            for (motion, state) in array.iter().zip(&states[first..]) {
                let own = self.derivatives(motion.slope, &[*state])[0];
                let both = self.replaced(&[motion.slope, own], &now);
                let divisor = self.sum([(both[1], -h)], 1.0);
                let change = self.product(vec![(both[0], 2), (divisor, -2)], h);
                results.push(self.add(*state, change));
            }
            now.extend(states[first..].iter().copied().zip(results[first..].iter().copied()));
        }
        results
    }

    /// The derivatives of a term with respect to leaves.
    pub fn derivatives(&mut self, of: Id, by: &[Id]) -> Vec<Id> {
        let one = self.number(1.0);
        let found = self.backward(&[(of, one, 0)], 0, |_, id| by.contains(&id));
        let zero = self.number(0.0);
        by.iter().map(|leaf| found.iter().find(|worth| worth.of == *leaf).map_or(zero, |worth| worth.worth)).collect()
    }

    fn rosenbrock(&mut self, motions: &[Motion], h: f64) -> Vec<Id> {
        let states = self.states(motions);
        let first_right: Vec<Id> = motions.iter().map(|motion| motion.slope).collect();
        let mut matrix: Vec<Vec<Id>> = Vec::new();
        for (row, slope) in first_right.iter().enumerate() {
            let slopes = self.derivatives(*slope, &states);
            let entry =
                |(column, slope): (usize, Id)| self.sum([(slope, -GAMMA * h)], f64::from(u8::from(column == row)));
            matrix.push(slopes.into_iter().enumerate().map(entry).collect());
        }
        let inverses = self.eliminated(&mut matrix);
        let first = self.solved(&matrix, &inverses, first_right);
        let at = self.moved(&states, &first, h);
        let slopes = self.slopes_at(motions, &at);
        let right = self.moved(&slopes, &first, -2.0);
        let second = self.solved(&matrix, &inverses, right);
        let parts = states.into_iter().zip(first).zip(second);
        parts
            .map(|((state, first), second)| self.sum([(state, 1.0), (first, 1.5 * h), (second, 0.5 * h)], 0.0))
            .collect()
    }

    /// Gauss's elimination in place: factors below the diagonal. Returns the inverses of the pivots.
    fn eliminated(&mut self, matrix: &mut [Vec<Id>]) -> Vec<Id> {
        let size = matrix.len();
        let mut inverses = Vec::with_capacity(size);
        for pivot in 0..size {
            let inverse = self.product(vec![(matrix[pivot][pivot], -2)], 1.0);
            inverses.push(inverse);
            for row in pivot + 1..size {
                if self.as_number(matrix[row][pivot]) == Some(0.0) {
                    continue;
                }
                let factor = self.multiply(matrix[row][pivot], inverse);
                matrix[row][pivot] = factor;
                for column in pivot + 1..size {
                    let product = self.multiply(factor, matrix[pivot][column]);
                    matrix[row][column] = self.subtract(matrix[row][column], product);
                }
            }
        }
        inverses
    }

    fn solved(&mut self, matrix: &[Vec<Id>], inverses: &[Id], mut right: Vec<Id>) -> Vec<Id> {
        let size = right.len();
        for row in 0..size {
            for column in 0..row {
                let product = self.multiply(matrix[row][column], right[column]);
                right[row] = self.subtract(right[row], product);
            }
        }
        for row in (0..size).rev() {
            for column in row + 1..size {
                let product = self.multiply(matrix[row][column], right[column]);
                right[row] = self.subtract(right[row], product);
            }
            right[row] = self.multiply(right[row], inverses[row]);
        }
        right
    }
}

/// Whether a leaf is an element of a state.
pub(super) fn is_state(terms: &Terms, id: Id) -> bool {
    matches!(terms.node(id), Node::Leaf(Leaf { origin: Origin::State, .. }))
}
