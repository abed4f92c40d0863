//! From settings to the 2×2 transfer of each interferometer, and from slopes of transfers back to settings and errors.
//!
//! ```text
//! T = g · C(e₂) · diag(e^iθ, 1) · C(e₁) · diag(e^iφ, 1)        C(e) = [ a  ib ; ib  a ]    a = √((1 + e)/2)    b = √((1 − e)/2)
//!   = g · [ e^iφ (a₂a₁ e^iθ − b₂b₁)    i (a₂b₁ e^iθ + b₂a₁) ; i e^iφ (b₂a₁ e^iθ + a₂b₁)    a₂a₁ − b₂b₁ e^iθ ]
//! θ, φ = set + own error + κ · Σ neighbors' set
//! ```
//!
//! e = 0 is a coupler that halves power; g is what an interferometer lets through of an amplitude. Neighbors of a phase shifter are those
//! of its kind above and below in its column, and the other one of its interferometer.
//! Source: Clements et al., Optica 3, 1460 (2016); the errors e as in Bandyopadhyay et al., Optica 8, 1247 (2021), and in the public
//! files of Sharpness-Aware-Training (products √(1 ± e₁)·√(1 ± e₂)).

use super::layout::Layout;
use crate::Real;

/// Real and imaginary parts of a 2×2 matrix: `[t₀₀, t₀₁, t₁₀, t₁₁]`, real then imaginary of each.
pub(super) type Transfer<S> = [S; 8];

/// A chip: what of it does not depend on the settings.
#[derive(Debug, Clone)]
pub(super) struct Chip<S> {
    pub layout: Layout,
    /// Errors e₁, e₂ of the first and second coupler that light meets in each interferometer.
    pub couplers: Vec<[S; 2]>,
    /// Amplitudes `[a₁, b₁, a₂, b₂]` that follow from these.
    amplitudes: Vec<[S; 4]>,
    /// Own error of each phase, in rad: all θ, all φ, and the phases of the outputs where they are set.
    pub offsets: Vec<S>,
    /// What a neighbor's setting adds, as a share κ of it.
    pub crosstalk: S,
    /// The amplitude g that one interferometer lets through.
    pub passage: S,
}

/// How a loss goes with all numbers of a chip.
#[derive(Debug, Clone)]
pub(super) struct Slopes<S> {
    /// With each phase as it is in the chip.
    pub phases: Vec<S>,
    /// With each coupler's error.
    pub couplers: Vec<[S; 2]>,
    /// With the amplitude that one interferometer lets through.
    pub passage: S,
}

impl<S: Real> Chip<S> {
    /// A chip with these errors: of couplers, and of phases.
    pub fn new(layout: Layout, couplers: Vec<[S; 2]>, offsets: Vec<S>, [crosstalk, passage]: [S; 2]) -> Self {
        let amplitudes = couplers.iter().map(|errors| amplitudes(*errors)).collect();
        Self { layout, couplers, amplitudes, offsets, crosstalk, passage }
    }

    /// How many phases are set.
    pub fn controls(&self) -> usize {
        self.offsets.len()
    }

    /// The phases that settings make.
    pub fn phases(&self, controls: &[S]) -> Vec<S> {
        let mut phases: Vec<S> = controls.iter().zip(&self.offsets).map(|(set, own)| *set + *own).collect();
        self.spread(controls, &mut phases);
        phases
    }

    /// Gradients for the settings from those for the phases: the neighborhood is symmetric.
    pub fn settings(&self, of_phases: &[S]) -> Vec<S> {
        let mut gradients = of_phases.to_vec();
        self.spread(of_phases, &mut gradients);
        gradients
    }

    /// Adds to each phase its share of the neighbors' values.
    fn spread(&self, values: &[S], to: &mut [S]) {
        if self.crosstalk == S::default() {
            return;
        }
        for (to, sum) in to.iter_mut().zip(self.neighborhood(values)) {
            *to += self.crosstalk * sum;
        }
    }

    /// The sum of the neighbors' values of each phase; the phases of the outputs have none.
    pub fn neighborhood(&self, values: &[S]) -> Vec<S> {
        let (layout, count) = (self.layout, self.layout.interferometers());
        let mut sums = vec![S::default(); values.len()];
        for column in 0..layout.columns() {
            for place in 0..layout.in_column(column) {
                let own = layout.first(column) + place;
                for (kind, other) in [(0, count), (count, 0)] {
                    let beside = layout.neighbors(column, place).map(|number| values[kind + number]);
                    sums[kind + own] = beside.fold(values[other + own], |sum, value| sum + value);
                }
            }
        }
        sums
    }

    /// The transfer of each interferometer.
    pub fn transfers(&self, phases: &[S]) -> Vec<Transfer<S>> {
        let turns = turns(phases);
        let count = self.layout.interferometers();
        let (thetas, rest) = turns.split_at(count);
        let each = self.amplitudes.iter().zip(thetas).zip(rest);
        each.map(|((amplitudes, theta), phi)| transfer(*amplitudes, (*theta, *phi), self.passage)).collect()
    }

    /// What turns the light at each output; nothing where no phases are set there.
    pub fn turned(&self, phases: &[S]) -> Vec<[S; 2]> {
        turns(&phases[2 * self.layout.interferometers()..])
    }

    /// How a loss goes with the chip, from `products`, Σ conj(gᵢ)·xⱼ over all shots: of each interferometer its two inputs x and the
    /// cotangents g of its two outputs; and from the slopes with the phases of the outputs.
    pub fn slopes(&self, phases: &[S], products: &[[S; 8]], of_outputs: &[S]) -> Slopes<S> {
        let turns = turns(phases);
        let count = self.layout.interferometers();
        let mut slopes = Slopes {
            phases: vec![S::default(); 2 * count],
            couplers: vec![[S::default(); 2]; count],
            passage: S::default(),
        };
        for (number, product) in products.iter().enumerate() {
            let (theta, phi) = (turns[number], turns[count + number]);
            let amplitudes @ [a1, b1, a2, b2] = self.amplitudes[number];
            let along = |derivative: Transfer<S>| trace(product, &derivative);
            let [t00r, t00i, _, _, t10r, t10i, _, _] = transfer(amplitudes, (theta, phi), self.passage);
            let none = S::default();
            slopes.phases[count + number] = along([-t00i, t00r, none, none, -t10i, t10r, none, none]);
            // With respect to θ: only terms with e^iθ, turned by a quarter.
            let turn = [-theta[1], theta[0]];
            slopes.phases[number] =
                along(terms([a2 * a1, a2 * b1, b2 * a1, -b2 * b1], [none; 4], (turn, phi), self.passage));
            // da/de = 1/(4a), db/de = −1/(4b).
            let quarter = S::of(0.25);
            let [da1, db1, da2, db2] = [quarter / a1, -(quarter / b1), quarter / a2, -(quarter / b2)];
            let first = terms(
                [a2 * da1, a2 * db1, b2 * da1, -b2 * db1],
                [-b2 * db1, b2 * da1, a2 * db1, a2 * da1],
                (theta, phi),
                self.passage,
            );
            let second = terms(
                [da2 * a1, da2 * b1, db2 * a1, -db2 * b1],
                [-db2 * b1, db2 * a1, da2 * b1, da2 * a1],
                (theta, phi),
                self.passage,
            );
            slopes.couplers[number] = [along(first), along(second)];
            slopes.passage += along(transfer(amplitudes, (theta, phi), S::of(1.0)));
        }
        slopes.phases.extend_from_slice(of_outputs);
        slopes
    }
}

/// `[a₁, b₁, a₂, b₂]` of two couplers.
fn amplitudes<S: Real>([first, second]: [S; 2]) -> [S; 4] {
    let half = S::of(0.5);
    let of = |error: S| [(half + half * error).sqrt(), (half - half * error).sqrt()];
    let ([a1, b1], [a2, b2]) = (of(first), of(second));
    [a1, b1, a2, b2]
}

/// e^iφ of each phase.
fn turns<S: Real>(phases: &[S]) -> Vec<[S; 2]> {
    let mut turns = vec![[S::default(); 2]; phases.len()];
    pulp::Arch::new().dispatch(Turn { phases, turns: &mut turns });
    turns
}

struct Turn<'a, S> {
    phases: &'a [S],
    turns: &'a mut [[S; 2]],
}

impl<S: Real> pulp::NullaryFnOnce for Turn<'_, S> {
    type Output = ();

    #[inline(always)]
    fn call(self) {
        for (turn, phase) in self.turns.iter_mut().zip(self.phases) {
            let (sin, cos) = phase.sin_cos();
            *turn = [cos, sin];
        }
    }
}

/// The transfer with couplers of these amplitudes.
fn transfer<S: Real>([a1, b1, a2, b2]: [S; 4], turns: ([S; 2], [S; 2]), passage: S) -> Transfer<S> {
    terms([a2 * a1, a2 * b1, b2 * a1, -b2 * b1], [-b2 * b1, b2 * a1, a2 * b1, a2 * a1], turns, passage)
}

/// The matrix whose elements are `turning·e^iθ + staying` before the φ and i of the transfer; elements t₀₀, t₀₁, t₁₀, t₁₁.
fn terms<S: Real>(turning: [S; 4], staying: [S; 4], (theta, phi): ([S; 2], [S; 2]), passage: S) -> Transfer<S> {
    let element = |k: usize| [passage * (turning[k] * theta[0] + staying[k]), passage * (turning[k] * theta[1])];
    let by_phi = |[re, im]: [S; 2]| [re * phi[0] - im * phi[1], re * phi[1] + im * phi[0]];
    let by_i = |[re, im]: [S; 2]| [-im, re];
    let ([t00, t01], [t10, t11]) = ([by_phi(element(0)), by_i(element(1))], [by_i(by_phi(element(2))), element(3)]);
    [t00[0], t00[1], t01[0], t01[1], t10[0], t10[1], t11[0], t11[1]]
}

/// Re Σ product·derivative.
fn trace<S: Real>(product: &[S; 8], derivative: &Transfer<S>) -> S {
    let pairs = product.as_chunks::<2>().0.iter().zip(derivative.as_chunks::<2>().0);
    pairs.fold(S::default(), |sum, ([pr, pi], [dr, di])| sum + *pr * *dr - *pi * *di)
}
