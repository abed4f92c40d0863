//! Runs programs over blocks of shots.

// Circle with equations/machine/sums.rs: instructions and their sums work on one memory; split for its length.
// Circle with equations/machine/gains.rs: instructions and their sums work on one memory; split for its length.

#![allow(clippy::inline_always)] // The loops must be compiled for the vector unit that is found at run time.
#![allow(clippy::needless_range_loop)] // A lane's number walks several arrays side by side.

mod chain;
mod gains;
mod sums;
mod unit;

use std::marker::PhantomData;

use super::functions;
use super::program::{Bank, Direction, Instruction, KEPT, Op, Operand, Program};
use super::terms::Function;
use crate::{Real, rows};
use gains::Outside;
use unit::{Plain, Wide};

/// The memory of one block: elements of `chunks` rows of `W` lanes each.
#[derive(Debug)]
pub(super) struct Memory<S, const W: usize> {
    pub chunks: usize,
    /// Inputs, then outputs, then registers; behind them what steps keep for the way back.
    pub lanes: rows::Rows<S, W>,
    /// Elements before those that steps keep.
    elements: usize,
    /// Sums over shots.
    pub sums: Vec<S>,
    /// An operand of outer products, shot by shot.
    turned: Vec<S>,
}

impl<S: Real, const W: usize> Memory<S, W> {
    /// Room for all these programs, whose inputs have `reserved` elements.
    pub fn new<'a>(
        chunks: usize,
        programs: impl IntoIterator<Item = &'a Program>,
        [reserved, sums]: [usize; 2],
    ) -> Self {
        let elements = programs.into_iter().fold(reserved, |most, program| most.max(program.elements));
        let lanes = rows::Rows::zeros(elements * chunks);
        Self { chunks, lanes, elements, sums: vec![S::of(0.0); sums], turned: Vec::new() }
    }

    /// Makes room for so many elements that steps keep.
    pub fn keep(&mut self, elements: usize) {
        let needed = (self.elements + elements) * self.chunks;
        if self.lanes.len() < needed {
            let before = std::mem::replace(&mut self.lanes, rows::Rows::zeros(needed));
            self.lanes[..before.len()].copy_from_slice(&before);
        }
    }

    /// Where the kept elements from `kept` on begin, in rows.
    pub fn kept(&self, kept: usize) -> usize {
        (self.elements + kept) * self.chunks
    }

    /// Runs a program. What it does not put into its outputs is 0.
    pub fn run(&mut self, program: &Program, table: &[S]) {
        self.run_at(program, table, 0);
    }

    /// Runs a program that keeps, or finds kept, the elements from `kept` on.
    pub fn run_at(&mut self, program: &Program, table: &[S], kept: usize) {
        let kept = self.elements + kept;
        pulp::Arch::new().dispatch(Run { program, table, kept, memory: self });
    }

    /// What a program that has run left in its outputs.
    pub fn outputs(&self, program: &Program) -> &[[S; W]] {
        &self.lanes[program.first_output * self.chunks..][..program.outputs * self.chunks]
    }
}

/// A run, as a type of its own: only an `inline(always)` method is compiled for the vector unit found at run time.
struct Run<'a, S, const W: usize> {
    program: &'a Program,
    table: &'a [S],
    /// Where the elements lie that are called [`KEPT`] and more.
    kept: usize,
    memory: &'a mut Memory<S, W>,
}

/// Where an element of a program lies.
#[inline(always)]
fn placed(element: u32, kept: usize) -> usize {
    if element < KEPT { element as usize } else { (element - KEPT) as usize + kept }
}

/// The same of an operand.
#[inline(always)]
fn found(operand: Operand, kept: usize) -> Operand {
    match operand.bank {
        Bank::Lanes => Operand { base: placed(operand.base, kept) as u32, ..operand },
        Bank::Shared => operand,
    }
}

impl<S: Real, const W: usize> pulp::WithSimd for Run<'_, S, W> {
    type Output = ();

    #[inline(always)]
    fn with_simd<V: pulp::Simd>(self, simd: V) {
        let Self { program, table, kept, memory } = self;
        let Memory { chunks, lanes, sums: over_shots, turned, .. } = memory;
        let (chunks, lanes) = (*chunks, &mut **lanes);
        let row = chunks * W;
        for instruction in &program.instructions {
            match instruction {
                Instruction::Chain(links) => {
                    let lanes = lanes.as_flattened_mut();
                    if let (Some(table), Some(lanes)) = (S::singles(table), S::singles_mut(&mut *lanes)) {
                        chain::chain(Wide(simd), links, (lanes, table), row, kept);
                    } else {
                        chain::chain(Plain(PhantomData), links, (lanes, table), row, kept);
                    }
                }
                Instruction::Map { op, to, from, walk } => {
                    let from = from.map(|operand| found(operand, kept));
                    map(*op, placed(*to, kept), &from, walk, Block { chunks, lanes, table });
                }
                Instruction::Zero(places) => {
                    for place in places {
                        lanes[placed(*place, kept) * chunks..][..chunks].fill([S::of(0.0); W]);
                    }
                }
                Instruction::Gather { to, base, places } => {
                    sums::gather(placed(*to, kept), *base, places, lanes, chunks);
                }
                Instruction::Total { to, from, count, stride, walk } => {
                    let ends = [placed(*to, kept), placed(from.base, kept)];
                    sums::total(ends, [*count, *stride], walk, lanes, chunks);
                }
                Instruction::Contract { to, shared, lanes: from, count, strides, walk } => {
                    let ends = [placed(*to, kept), *shared as usize, placed(*from, kept)];
                    let (terms, lanes) = ((*count, *strides), lanes.as_flattened_mut());
                    if let (Some(table), Some(lanes)) = (S::singles(table), S::singles_mut(&mut *lanes)) {
                        sums::contract(Wide(simd), ends, terms, walk, (lanes, table, row));
                    } else {
                        sums::contract(Plain(PhantomData), ends, terms, walk, (lanes, table, row));
                    }
                }
                Instruction::Put { from, places, adds, walk } => {
                    sums::put(found(*from, kept), (places, kept), *adds, walk, (lanes, chunks));
                }
                Instruction::Gain { to, from, walk } => {
                    let from = from.map(|operand| found(operand, kept));
                    let Some(outside) = Outside::of(from, walk) else {
                        gains::gain(*to, from, walk, (lanes, table, chunks), over_shots);
                        continue;
                    };
                    let (lanes, to) = (lanes.as_flattened(), *to as usize);
                    if let (Some(lanes), Some(sums), Some(turned)) =
                        (S::singles(lanes), S::singles_mut(&mut over_shots[to..]), S::many(turned))
                    {
                        outside.add(Wide(simd), (lanes, row), turned, sums);
                    } else {
                        outside.add(Plain(PhantomData), (lanes, row), turned, &mut over_shots[to..]);
                    }
                }
            }
        }
    }
}

struct Block<'a, S, const W: usize> {
    chunks: usize,
    lanes: &'a mut [[S; W]],
    table: &'a [S],
}

/// The steps of a walk but the innermost: where the target and the operands are in each. Loops are written out with it, as a
/// closure would not be compiled for the vector unit.
struct Outer<'a> {
    walk: &'a [Direction],
    number: usize,
    steps: usize,
}

impl<'a> Outer<'a> {
    /// The outer steps, and the innermost direction.
    #[inline(always)]
    fn of(walk: &'a [Direction]) -> (Self, Direction) {
        let still = Direction { count: 1, to: 0, from: [0; 3] };
        let (walk, inner) = match walk.split_last() {
            Some((inner, outer)) => (outer, *inner),
            None => (walk, still),
        };
        let mut steps = 1;
        for direction in walk {
            steps *= direction.count as usize;
        }
        (Self { walk, number: 0, steps }, inner)
    }

    #[inline(always)]
    fn next(&mut self) -> Option<(usize, [usize; 3])> {
        if self.number == self.steps {
            return None;
        }
        let (mut rest, mut to, mut from) = (self.number, 0, [0; 3]);
        for direction in self.walk.iter().rev() {
            let at = rest % direction.count as usize;
            rest /= direction.count as usize;
            to += at * direction.to as usize;
            for operand in 0..3 {
                from[operand] += at * direction.from[operand] as usize;
            }
        }
        self.number += 1;
        Some((to, from))
    }
}

/// Where an operand's rows come from.
trait Rows<S, const W: usize>: Copy {
    /// One after the other.
    type Flat: Flat<S, W>;

    /// The row of an element and chunk.
    fn row(self, element: usize, chunk: usize) -> [S; W];
    /// The rows of `count` elements from `element` on, each `step` from the last, where they lie one after the other.
    fn flat(self, element: usize, step: usize, count: usize) -> Option<Self::Flat>;
}

/// Rows one after the other.
trait Flat<S, const W: usize>: Copy {
    fn at(self, row: usize) -> [S; W];
}

impl<S: Real, const W: usize> Flat<S, W> for &[[S; W]] {
    #[inline(always)]
    fn at(self, row: usize) -> [S; W] {
        self[row]
    }
}

/// The same number in all rows.
#[derive(Clone, Copy)]
struct Still<S>(S);

impl<S: Real, const W: usize> Flat<S, W> for Still<S> {
    #[inline(always)]
    fn at(self, _: usize) -> [S; W] {
        [self.0; W]
    }
}

#[derive(Clone, Copy)]
struct Lane<'a, S, const W: usize> {
    values: &'a [[S; W]],
    chunks: usize,
}

impl<'a, S: Real, const W: usize> Rows<S, W> for Lane<'a, S, W> {
    type Flat = &'a [[S; W]];

    #[inline(always)]
    fn row(self, element: usize, chunk: usize) -> [S; W] {
        self.values[element * self.chunks + chunk]
    }
    #[inline(always)]
    fn flat(self, element: usize, step: usize, count: usize) -> Option<Self::Flat> {
        (step == 1).then(|| &self.values[element * self.chunks..][..count * self.chunks])
    }
}

#[derive(Clone, Copy)]
struct Splat<'a, S> {
    values: &'a [S],
}

impl<S: Real, const W: usize> Rows<S, W> for Splat<'_, S> {
    type Flat = Still<S>;

    #[inline(always)]
    fn row(self, element: usize, _: usize) -> [S; W] {
        [self.values[element]; W]
    }
    #[inline(always)]
    fn flat(self, element: usize, step: usize, _: usize) -> Option<Still<S>> {
        (step == 0).then(|| Still(self.values[element]))
    }
}

/// An operation of three numbers, of which it may take no notice of some.
trait Apply {
    fn of<S: Real>(a: S, b: S, c: S) -> S;
}

macro_rules! operations {
    ($($name:ident: |$a:ident, $b:ident, $c:ident| $value:expr;)*) => {
        $(
            struct $name;

            impl Apply for $name {
                #[inline(always)]
                fn of<S: Real>($a: S, $b: S, $c: S) -> S {
                    $value
                }
            }
        )*
    };
}

operations! {
    Same: |a, _b, _c| a;
    Add: |a, b, _c| a + b;
    Subtract: |a, b, _c| a - b;
    Multiply: |a, b, _c| a * b;
    MultiplyAdd: |a, b, c| a.mul_add(b, c);
    MultiplySubtract: |a, b, c| (-a).mul_add(b, c);
    Invert: |a, _b, _c| S::of(1.0) / a;
    Root: |a, _b, _c| a.sqrt();
    Min: |a, b, _c| Real::min(a, b);
    Max: |a, b, _c| Real::max(a, b);
    Power: |a, b, _c| functions::power(a, b);
    Below: |a, b, _c| truth(a < b);
    AtMost: |a, b, _c| truth(a <= b);
    Equal: |a, b, _c| truth(a == b);
    Select: |a, b, c| if a == S::of(0.0) { c } else { b };
    Exp: |a, _b, _c| functions::value(Function::Exp, a);
    Ln: |a, _b, _c| functions::value(Function::Ln, a);
    Sin: |a, _b, _c| functions::value(Function::Sin, a);
    Cos: |a, _b, _c| functions::value(Function::Cos, a);
    Tan: |a, _b, _c| functions::value(Function::Tan, a);
    Asin: |a, _b, _c| functions::value(Function::Asin, a);
    Acos: |a, _b, _c| functions::value(Function::Acos, a);
    Atan: |a, _b, _c| functions::value(Function::Atan, a);
    Sinh: |a, _b, _c| functions::value(Function::Sinh, a);
    Cosh: |a, _b, _c| functions::value(Function::Cosh, a);
    Tanh: |a, _b, _c| functions::value(Function::Tanh, a);
    Abs: |a, _b, _c| a.abs();
    Sign: |a, _b, _c| functions::value(Function::Sign, a);
    Floor: |a, _b, _c| functions::value(Function::Floor, a);
}

#[inline(always)]
fn truth<S: Real>(is: bool) -> S {
    if is { S::of(1.0) } else { S::of(0.0) }
}

/// Element by element.
#[inline(always)]
fn each<O: Apply, S: Real, const W: usize>(
    to: &mut [[S; W]],
    (a, b, c): (impl Rows<S, W>, impl Rows<S, W>, impl Rows<S, W>),
    chunks: usize,
    walk: &[Direction],
) {
    if walk.is_empty() {
        for (chunk, row) in to[..chunks].iter_mut().enumerate() {
            let (a, b, c) = (a.row(0, chunk), b.row(0, chunk), c.row(0, chunk));
            for lane in 0..W {
                row[lane] = O::of(a[lane], b[lane], c[lane]);
            }
        }
        return;
    }
    let (mut outer, inner) = Outer::of(walk);
    while let Some((target, from)) = outer.next() {
        let (count, along) = (inner.count as usize, inner.from.map(|step| step as usize));
        if let (1, Some(a), Some(b), Some(c)) = (
            inner.to,
            a.flat(from[0], along[0], count),
            b.flat(from[1], along[1], count),
            c.flat(from[2], along[2], count),
        ) {
            let to = &mut to[target * chunks..][..count * chunks];
            for row in 0..to.len() {
                let (a, b, c) = (a.at(row), b.at(row), c.at(row));
                for lane in 0..W {
                    to[row][lane] = O::of(a[lane], b[lane], c[lane]);
                }
            }
            continue;
        }
        for step in 0..inner.count as usize {
            let rows = &mut to[(target + step * inner.to as usize) * chunks..][..chunks];
            let at = [
                from[0] + step * inner.from[0] as usize,
                from[1] + step * inner.from[1] as usize,
                from[2] + step * inner.from[2] as usize,
            ];
            for (chunk, row) in rows.iter_mut().enumerate() {
                let (a, b, c) = (a.row(at[0], chunk), b.row(at[1], chunk), c.row(at[2], chunk));
                for lane in 0..W {
                    row[lane] = O::of(a[lane], b[lane], c[lane]);
                }
            }
        }
    }
}

/// What an instruction reads: the lanes before and behind its target, and the table.
#[derive(Clone, Copy)]
struct Around<'a, S, const W: usize> {
    before: &'a [[S; W]],
    after: &'a [[S; W]],
    /// Where the lanes behind the target begin.
    end: usize,
    chunks: usize,
    table: &'a [S],
}

impl<'a, S: Real, const W: usize> Around<'a, S, W> {
    #[inline(always)]
    fn lane(self, operand: Operand) -> Lane<'a, S, W> {
        let at = operand.base as usize * self.chunks;
        let values = if at < self.before.len() { &self.before[at..] } else { &self.after[at - self.end..] };
        Lane { values, chunks: self.chunks }
    }

    #[inline(always)]
    fn splat(self, operand: Operand) -> Splat<'a, S> {
        Splat { values: &self.table[operand.base as usize..] }
    }
}

#[inline(always)]
fn map<S: Real, const W: usize>(op: Op, to: usize, from: &[Operand; 3], walk: &[Direction], block: Block<S, W>) {
    let Block { chunks, lanes, table } = block;
    let mut reach = 1;
    for direction in walk {
        reach += (direction.count as usize - 1) * direction.to as usize;
    }
    let copies = if op == Op::SineCosine { 2 } else { 1 };
    let (start, length) = (to * chunks, copies * reach * chunks);
    // The target shares its place with no operand.
    let (before, rest) = lanes.split_at_mut(start);
    let (target, after) = rest.split_at_mut(length);
    let around = Around { before, after, end: start + length, chunks, table };
    let [a, b, c] = *from;
    let nothing = Splat { values: &[S::of(0.0); 1] };
    let shared = [a.bank == Bank::Shared, b.bank == Bank::Shared, c.bank == Bank::Shared];
    // Which operands may be shared is decided where programs are written.
    macro_rules! one {
        ($op:ident) => {
            each::<$op, S, W>(target, (around.lane(a), nothing, nothing), chunks, walk)
        };
    }
    macro_rules! two {
        ($op:ident) => {
            if shared[1] {
                each::<$op, S, W>(target, (around.lane(a), around.splat(b), nothing), chunks, walk)
            } else {
                each::<$op, S, W>(target, (around.lane(a), around.lane(b), nothing), chunks, walk)
            }
        };
    }
    macro_rules! three {
        ($op:ident) => {
            match (shared[1], shared[2]) {
                (false, false) => {
                    each::<$op, S, W>(target, (around.lane(a), around.lane(b), around.lane(c)), chunks, walk)
                }
                (false, true) => {
                    each::<$op, S, W>(target, (around.lane(a), around.lane(b), around.splat(c)), chunks, walk)
                }
                (true, false) => {
                    each::<$op, S, W>(target, (around.lane(a), around.splat(b), around.lane(c)), chunks, walk)
                }
                (true, true) => {
                    each::<$op, S, W>(target, (around.lane(a), around.splat(b), around.splat(c)), chunks, walk)
                }
            }
        };
    }
    macro_rules! pair {
        ($op:ident) => {
            each::<$op, S, W>(target, (around.lane(a), around.lane(b), nothing), chunks, walk)
        };
    }
    match op {
        Op::Copy if shared[0] => each::<Same, S, W>(target, (around.splat(a), nothing, nothing), chunks, walk),
        Op::Copy => one!(Same),
        Op::Add => two!(Add),
        Op::Subtract => two!(Subtract),
        Op::Multiply => two!(Multiply),
        Op::MultiplyAdd => three!(MultiplyAdd),
        Op::MultiplySubtract => three!(MultiplySubtract),
        Op::Invert => one!(Invert),
        Op::Root | Op::Call(Function::Sqrt) => one!(Root),
        Op::Min => pair!(Min),
        Op::Max => pair!(Max),
        Op::Power => pair!(Power),
        Op::Below => pair!(Below),
        Op::AtMost => pair!(AtMost),
        Op::Equal => pair!(Equal),
        Op::Select => each::<Select, S, W>(target, (around.lane(a), around.lane(b), around.lane(c)), chunks, walk),
        Op::SineCosine => sine_cosine(target, around.lane(a), reach * chunks, walk),
        Op::Call(Function::Exp) => one!(Exp),
        Op::Call(Function::Ln) => one!(Ln),
        Op::Call(Function::Sin) => one!(Sin),
        Op::Call(Function::Cos) => one!(Cos),
        Op::Call(Function::Tan) => one!(Tan),
        Op::Call(Function::Asin) => one!(Asin),
        Op::Call(Function::Acos) => one!(Acos),
        Op::Call(Function::Atan) => one!(Atan),
        Op::Call(Function::Sinh) => one!(Sinh),
        Op::Call(Function::Cosh) => one!(Cosh),
        Op::Call(Function::Tanh) => one!(Tanh),
        Op::Call(Function::Abs) => one!(Abs),
        Op::Call(Function::Sign) => one!(Sign),
        Op::Call(Function::Floor) => one!(Floor),
    }
}

#[inline(always)]
fn sine_cosine<S: Real, const W: usize>(to: &mut [[S; W]], from: Lane<S, W>, half: usize, walk: &[Direction]) {
    let chunks = from.chunks;
    let (sines, cosines) = to.split_at_mut(half);
    let (mut outer, inner) = Outer::of(walk);
    while let Some((target, source)) = outer.next() {
        for step in 0..inner.count as usize {
            let at = (target + step * inner.to as usize) * chunks;
            let element = source[0] + step * inner.from[0] as usize;
            for chunk in 0..chunks {
                let row = from.row(element, chunk);
                let (sine, cosine) = (&mut sines[at + chunk], &mut cosines[at + chunk]);
                for lane in 0..W {
                    (sine[lane], cosine[lane]) = row[lane].sin_cos();
                }
            }
        }
    }
}
