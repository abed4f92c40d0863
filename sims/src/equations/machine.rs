//! Runs programs over blocks of shots.

#![allow(clippy::inline_always)] // The loops must be compiled for the vector unit that is found at run time.

use super::functions;
use super::program::{Bank, Direction, Instruction, NOWHERE, Op, Operand, Program};
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
        let Memory { chunks, lanes, outputs, sums } = memory;
        outputs[..program.outputs * *chunks].fill([S::of(0.0); W]);
        for instruction in &program.instructions {
            match instruction {
                Instruction::Map { op, to, from, walk } => {
                    map(*op, *to, from, walk, Block { chunks: *chunks, lanes, table })
                }
                Instruction::Gather { to, base, places } => gather(*to, *base, places, lanes, *chunks),
                Instruction::Total { to, from, count, stride, walk } => {
                    total([*to, from.base, *count, *stride], walk, lanes, *chunks);
                }
                Instruction::Contract { to, shared, lanes: from, count, strides, walk } => {
                    contract([*to, *shared, *from, *count], *strides, walk, Block { chunks: *chunks, lanes, table });
                }
                Instruction::Put { from, places, adds, walk } => {
                    put(*from, places, *adds, walk, (lanes, *chunks), outputs);
                }
                Instruction::Gain { to, from, walk } => gain(*to, *from, walk, (lanes, table, *chunks), sums),
            }
        }
    }
}

struct Block<'a, S, const W: usize> {
    chunks: usize,
    lanes: &'a mut [[S; W]],
    table: &'a [S],
}

/// Calls `step` with where the target and the operands are, for all steps of a walk but the innermost, and with the innermost.
#[inline(always)]
fn walked(walk: &[Direction], mut step: impl FnMut(usize, [usize; 3], Direction)) {
    let still = Direction { count: 1, to: 0, from: [0; 3] };
    let (outer, inner) = walk.split_last().map_or((&[][..], still), |(inner, outer)| (outer, *inner));
    let steps: usize = outer.iter().map(|direction| direction.count as usize).product();
    for number in 0..steps {
        let (mut rest, mut to, mut from) = (number, 0, [0; 3]);
        for direction in outer.iter().rev() {
            let at = rest % direction.count as usize;
            rest /= direction.count as usize;
            to += at * direction.to as usize;
            for (place, stride) in from.iter_mut().zip(direction.from) {
                *place += at * stride as usize;
            }
        }
        step(to, from, inner);
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

/// Element by element with operands whose kinds are known.
#[inline(always)]
fn each<S: Real, const W: usize, A: Rows<S, W>, B: Rows<S, W>, C: Rows<S, W>>(
    to: &mut [[S; W]],
    (a, b, c): (A, B, C),
    chunks: usize,
    walk: &[Direction],
    op: impl Fn(S, S, S) -> S,
) {
    walked(walk, |target, from, inner| {
        let [sa, sb, sc] = inner.from.map(|stride| stride as usize);
        for step in 0..inner.count as usize {
            let rows = &mut to[(target + step * inner.to as usize) * chunks..][..chunks];
            let [ea, eb, ec] = [from[0] + step * sa, from[1] + step * sb, from[2] + step * sc];
            for (chunk, row) in rows.iter_mut().enumerate() {
                let (a, b, c) = (a.row(ea, chunk), b.row(eb, chunk), c.row(ec, chunk));
                for lane in 0..W {
                    row[lane] = op(a[lane], b[lane], c[lane]);
                }
            }
        }
    });
}

#[inline(always)]
fn map<S: Real, const W: usize>(op: Op, to: u32, from: &[Operand; 3], walk: &[Direction], block: Block<S, W>) {
    let Block { chunks, lanes, table } = block;
    let reach: usize =
        walk.iter().map(|direction| (direction.count as usize - 1) * direction.to as usize).sum::<usize>() + 1;
    let copies = if op == Op::SineCosine { 2 } else { 1 };
    let (start, length) = (to as usize * chunks, copies * reach * chunks);
    // The target shares its place with no operand.
    let (before, rest) = lanes.split_at_mut(start);
    let (target, after) = rest.split_at_mut(length);
    let (before, after) = (&*before, &*after);
    let lane = |operand: Operand| {
        let at = operand.base as usize * chunks;
        Lane { values: if at < start { &before[at..] } else { &after[at - start - length..] }, chunks }
    };
    let splat = |operand: Operand| Splat { values: &table[operand.base as usize..] };
    let [a, b, c] = *from;
    let nothing = Splat { values: &[S::of(0.0); 1] };
    let is_shared = |operand: Operand| operand.bank == Bank::Shared;
    // Which operands may be shared is decided where programs are written.
    macro_rules! one {
        ($op:expr) => {
            each(target, (lane(a), nothing, nothing), chunks, walk, $op)
        };
    }
    macro_rules! two {
        ($op:expr) => {
            if is_shared(b) {
                each(target, (lane(a), splat(b), nothing), chunks, walk, $op)
            } else {
                each(target, (lane(a), lane(b), nothing), chunks, walk, $op)
            }
        };
    }
    macro_rules! three {
        ($op:expr) => {
            match (is_shared(b), is_shared(c)) {
                (false, false) => each(target, (lane(a), lane(b), lane(c)), chunks, walk, $op),
                (false, true) => each(target, (lane(a), lane(b), splat(c)), chunks, walk, $op),
                (true, false) => each(target, (lane(a), splat(b), lane(c)), chunks, walk, $op),
                (true, true) => each(target, (lane(a), splat(b), splat(c)), chunks, walk, $op),
            }
        };
    }
    macro_rules! pair {
        ($op:expr) => {
            each(target, (lane(a), lane(b), nothing), chunks, walk, $op)
        };
    }
    let truth = |is: bool| if is { S::of(1.0) } else { S::of(0.0) };
    match op {
        Op::Copy if is_shared(a) => each(target, (splat(a), nothing, nothing), chunks, walk, |a, _, _| a),
        Op::Copy => one!(|a, _, _| a),
        Op::Add => two!(|a, b, _| a + b),
        Op::Subtract => two!(|a, b, _| a - b),
        Op::Multiply => two!(|a, b, _| a * b),
        Op::MultiplyAdd => three!(|a: S, b, c| a.mul_add(b, c)),
        Op::MultiplySubtract => three!(|a: S, b, c| (-a).mul_add(b, c)),
        Op::Invert => one!(|a, _, _| S::of(1.0) / a),
        Op::Root => one!(|a: S, _, _| a.sqrt()),
        Op::Min => pair!(|a: S, b, _| a.min(b)),
        Op::Max => pair!(|a: S, b, _| a.max(b)),
        Op::Power => pair!(|a, b, _| functions::power(a, b)),
        Op::Below => pair!(|a, b, _| truth(a < b)),
        Op::AtMost => pair!(|a, b, _| truth(a <= b)),
        Op::Equal => pair!(|a, b, _| truth(a == b)),
        Op::Select => {
            each(target, (lane(a), lane(b), lane(c)), chunks, walk, |a, b, c| if a == S::of(0.0) { c } else { b });
        }
        Op::SineCosine => {
            let (sines, cosines) = target.split_at_mut(reach * chunks);
            let a = lane(a);
            walked(walk, |target, from, inner| {
                for step in 0..inner.count as usize {
                    let at = (target + step * inner.to as usize) * chunks;
                    let element = from[0] + step * inner.from[0] as usize;
                    for chunk in 0..chunks {
                        let row = a.row(element, chunk);
                        let (sine, cosine) = (&mut sines[at + chunk], &mut cosines[at + chunk]);
                        for lane in 0..W {
                            (sine[lane], cosine[lane]) = row[lane].sin_cos();
                        }
                    }
                }
            });
        }
        Op::Call(function) => {
            macro_rules! functions {
                ($($name:ident),*) => {
                    match function {
                        $(Function::$name => one!(|a, _, _| functions::value(Function::$name, a)),)*
                    }
                };
            }
            functions!(Exp, Ln, Sqrt, Sin, Cos, Tan, Asin, Acos, Atan, Sinh, Cosh, Tanh, Abs, Sign);
        }
    }
}

#[inline(always)]
fn gather<S: Real, const W: usize>(to: u32, base: u32, places: &[u32], lanes: &mut [[S; W]], chunks: usize) {
    // An input lies before every register.
    let (inputs, rest) = lanes.split_at_mut(to as usize * chunks);
    for (rows, place) in rest.chunks_exact_mut(chunks).zip(places) {
        if *place == NOWHERE {
            rows.fill([S::of(0.0); W]);
        } else {
            rows.copy_from_slice(&inputs[(base + place) as usize * chunks..][..chunks]);
        }
    }
}

#[inline(always)]
fn total<S: Real, const W: usize>(
    [to, from, count, stride]: [u32; 4],
    walk: &[Direction],
    lanes: &mut [[S; W]],
    chunks: usize,
) {
    walked(walk, |target, source, inner| {
        for step in 0..inner.count as usize {
            let first = from as usize + source[0] + step * inner.from[0] as usize;
            let target = (to as usize + target + step * inner.to as usize) * chunks;
            for chunk in 0..chunks {
                let mut sum = [S::of(0.0); W];
                for term in 0..count as usize {
                    let row = &lanes[(first + term * stride as usize) * chunks + chunk];
                    for (sum, value) in sum.iter_mut().zip(row) {
                        *sum += *value;
                    }
                }
                lanes[target + chunk] = sum;
            }
        }
    });
}

/// Rows of a contraction whose sums are kept in registers together.
const HEIGHT: usize = 4;

#[inline(always)]
fn contract<S: Real, const W: usize>(
    [to, shared, from, count]: [u32; 4],
    strides: [u32; 2],
    walk: &[Direction],
    block: Block<S, W>,
) {
    let Block { chunks, lanes, table } = block;
    let [shared_stride, lane_stride] = strides.map(|stride| stride as usize);
    walked(walk, |target, source, inner| {
        let steps = inner.count as usize;
        // Only where the same lanes serve several targets are those taken together.
        let height = if inner.from[1] == 0 { HEIGHT } else { 1 };
        let mut step = 0;
        while step < steps {
            let together = if step + height <= steps { height } else { 1 };
            let number = |step: usize| shared as usize + source[0] + step * inner.from[0] as usize;
            let row = from as usize + source[1] + step * inner.from[1] as usize;
            let place = |step: usize| (to as usize + target + step * inner.to as usize) * chunks;
            for chunk in 0..chunks {
                if together == HEIGHT {
                    let mut sums = [[S::of(0.0); W]; HEIGHT];
                    for term in 0..count as usize {
                        let values = lanes[(row + term * lane_stride) * chunks + chunk];
                        for (k, sums) in sums.iter_mut().enumerate() {
                            let factor = table[number(step + k) + term * shared_stride];
                            for (sum, value) in sums.iter_mut().zip(values) {
                                *sum = factor.mul_add(value, *sum);
                            }
                        }
                    }
                    for (k, sums) in sums.into_iter().enumerate() {
                        lanes[place(step + k) + chunk] = sums;
                    }
                } else {
                    let mut sums = [S::of(0.0); W];
                    for term in 0..count as usize {
                        let values = lanes[(row + term * lane_stride) * chunks + chunk];
                        let factor = table[number(step) + term * shared_stride];
                        for (sum, value) in sums.iter_mut().zip(values) {
                            *sum = factor.mul_add(value, *sum);
                        }
                    }
                    lanes[place(step) + chunk] = sums;
                }
            }
            step += together;
        }
    });
}

#[inline(always)]
fn put<S: Real, const W: usize>(
    from: Operand,
    places: &[u32],
    adds: bool,
    walk: &[Direction],
    (lanes, chunks): (&[[S; W]], usize),
    outputs: &mut [[S; W]],
) {
    let values = Lane { values: &lanes[from.base as usize * chunks..], chunks };
    walked(walk, |target, source, inner| {
        for step in 0..inner.count as usize {
            let place = places[target + step * inner.to as usize];
            if place == NOWHERE {
                continue;
            }
            let element = source[0] + step * inner.from[0] as usize;
            for (chunk, to) in outputs[place as usize * chunks..][..chunks].iter_mut().enumerate() {
                let row = values.row(element, chunk);
                if adds {
                    for (to, value) in to.iter_mut().zip(row) {
                        *to += value;
                    }
                } else {
                    *to = row;
                }
            }
        }
    });
}

#[inline(always)]
fn gain<S: Real, const W: usize>(
    to: u32,
    [a, b]: [Operand; 2],
    walk: &[Direction],
    (lanes, table, chunks): (&[[S; W]], &[S], usize),
    sums: &mut [[S; W]],
) {
    let first = Lane { values: &lanes[a.base as usize * chunks..], chunks };
    if b.bank == Bank::Shared {
        gained(to, (first, Splat { values: &table[b.base as usize..] }), walk, chunks, sums);
    } else {
        gained(to, (first, Lane { values: &lanes[b.base as usize * chunks..], chunks }), walk, chunks, sums);
    }
}

#[inline(always)]
fn gained<S: Real, const W: usize>(
    to: u32,
    (a, b): (impl Rows<S, W>, impl Rows<S, W>),
    walk: &[Direction],
    chunks: usize,
    sums: &mut [[S; W]],
) {
    walked(walk, |target, source, inner| {
        for step in 0..inner.count as usize {
            let [first, second] = [0, 1].map(|k| source[k] + step * inner.from[k] as usize);
            let sum = &mut sums[to as usize + target + step * inner.to as usize];
            for chunk in 0..chunks {
                let (a, b) = (a.row(first, chunk), b.row(second, chunk));
                for lane in 0..W {
                    sum[lane] = a[lane].mul_add(b[lane], sum[lane]);
                }
            }
        }
    });
}
