//! Runs programs over blocks of shots.

// Circle with equations/machine/sums.rs: instructions and their sums work on one memory; split for its length.

#![allow(clippy::inline_always)] // The loops must be compiled for the vector unit that is found at run time.
#![allow(clippy::needless_range_loop)] // A lane's number walks several arrays side by side.

mod sums;

use super::functions;
use super::program::{Bank, Direction, Instruction, Op, Operand, Program};
use super::terms::Function;
use crate::Real;

/// The memory of one block: elements of `chunks` rows of `W` lanes each.
#[derive(Debug, Clone)]
pub(super) struct Memory<S, const W: usize> {
    pub chunks: usize,
    /// Inputs, then registers.
    pub lanes: Vec<[S; W]>,
    pub outputs: Vec<[S; W]>,
    /// Sums over shots: one row of lanes an element, whatever the number of chunks.
    pub sums: Vec<[S; W]>,
}

impl<S: Real, const W: usize> Memory<S, W> {
    /// Without any room yet.
    pub fn new(chunks: usize) -> Self {
        Self { chunks, lanes: Vec::new(), outputs: Vec::new(), sums: Vec::new() }
    }

    /// Room for all programs of a system.
    pub fn fit<'a>(&mut self, programs: impl IntoIterator<Item = &'a Program>, sums: usize) {
        let zero = [S::of(0.0); W];
        for program in programs {
            let (elements, outputs) = (program.elements * self.chunks, program.outputs * self.chunks);
            self.lanes.resize(elements.max(self.lanes.len()), zero);
            self.outputs.resize(outputs.max(self.outputs.len()), zero);
        }
        self.sums.resize(sums, zero);
    }

    /// Runs a program. What it does not put into its outputs is 0.
    pub fn run(&mut self, program: &Program, table: &[S]) {
        pulp::Arch::new().dispatch(Run { program, table, memory: self });
    }
}

/// A run, as a type of its own: only an `inline(always)` method is compiled for the vector unit found at run time.
struct Run<'a, S, const W: usize> {
    program: &'a Program,
    table: &'a [S],
    memory: &'a mut Memory<S, W>,
}

impl<S: Real, const W: usize> pulp::NullaryFnOnce for Run<'_, S, W> {
    type Output = ();

    #[inline(always)]
    fn call(self) {
        let Self { program, table, memory } = self;
        let Memory { chunks, lanes, outputs, sums: over_shots } = memory;
        outputs[..program.outputs * *chunks].fill([S::of(0.0); W]);
        for instruction in &program.instructions {
            match instruction {
                Instruction::Map { op, to, from, walk } => {
                    map(*op, *to, from, walk, Block { chunks: *chunks, lanes, table });
                }
                Instruction::Gather { to, base, places } => sums::gather(*to, *base, places, lanes, *chunks),
                Instruction::Total { to, from, count, stride, walk } => {
                    sums::total([*to, from.base, *count, *stride], walk, lanes, *chunks);
                }
                Instruction::Contract { to, shared, lanes: from, count, strides, walk } => {
                    sums::contract(
                        [*to, *shared, *from, *count],
                        *strides,
                        walk,
                        Block { chunks: *chunks, lanes, table },
                    );
                }
                Instruction::Put { from, places, adds, walk } => {
                    sums::put(*from, places, *adds, walk, (lanes, *chunks), outputs);
                }
                Instruction::Gain { to, from, walk } => {
                    sums::gain(*to, *from, walk, (lanes, table, *chunks), over_shots);
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
    /// Moves on by so many elements.
    fn row(self, element: usize, chunk: usize) -> [S; W];
}

#[derive(Clone, Copy)]
struct Lane<'a, S, const W: usize> {
    values: &'a [[S; W]],
    chunks: usize,
}

impl<S: Real, const W: usize> Rows<S, W> for Lane<'_, S, W> {
    #[inline(always)]
    fn row(self, element: usize, chunk: usize) -> [S; W] {
        self.values[element * self.chunks + chunk]
    }
}

#[derive(Clone, Copy)]
struct Splat<'a, S> {
    values: &'a [S],
}

impl<S: Real, const W: usize> Rows<S, W> for Splat<'_, S> {
    #[inline(always)]
    fn row(self, element: usize, _: usize) -> [S; W] {
        [self.values[element]; W]
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
fn map<S: Real, const W: usize>(op: Op, to: u32, from: &[Operand; 3], walk: &[Direction], block: Block<S, W>) {
    let Block { chunks, lanes, table } = block;
    let mut reach = 1;
    for direction in walk {
        reach += (direction.count as usize - 1) * direction.to as usize;
    }
    let copies = if op == Op::SineCosine { 2 } else { 1 };
    let (start, length) = (to as usize * chunks, copies * reach * chunks);
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
