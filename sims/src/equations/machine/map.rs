//! Operations element by element.

use super::super::functions;
use super::super::program::{Bank, Direction, Op, Operand};
use super::super::terms::Function;
use super::walk::{Flat, Lane, Outer, Rows, Splat};
use crate::Real;

pub(super) struct Block<'a, S, const W: usize> {
    pub chunks: usize,
    pub lanes: &'a mut [[S; W]],
    pub table: &'a [S],
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
            let (a, b, c) = (a.element(at[0]), b.element(at[1]), c.element(at[2]));
            for (chunk, row) in rows.iter_mut().enumerate() {
                let (a, b, c) = (a.at(chunk), b.at(chunk), c.at(chunk));
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

pub(super) struct Mapped<'a, S, const W: usize> {
    pub op: Op,
    pub to: usize,
    pub from: [Operand; 3],
    pub walk: &'a [Direction],
    pub block: Block<'a, S, W>,
}

impl<S: Real, const W: usize> pulp::NullaryFnOnce for Mapped<'_, S, W> {
    type Output = ();

    #[inline(always)]
    fn call(self) {
        let Self { op, to, from, walk, block } = self;
        map(op, to, &from, walk, block);
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
    macro_rules! run {
        ($op:ident, $($from:expr),*) => {
            each::<$op, S, W>(target, ($($from),*), chunks, walk)
        };
    }
    // Which operands may be shared is decided where programs are written.
    macro_rules! one {
        ($op:ident) => {
            run!($op, around.lane(a), nothing, nothing)
        };
    }
    macro_rules! two {
        ($op:ident) => {
            if shared[1] {
                run!($op, around.lane(a), around.splat(b), nothing)
            } else {
                run!($op, around.lane(a), around.lane(b), nothing)
            }
        };
    }
    macro_rules! three {
        ($op:ident) => {
            match (shared[1], shared[2]) {
                (false, false) => {
                    run!($op, around.lane(a), around.lane(b), around.lane(c))
                }
                (false, true) => {
                    run!($op, around.lane(a), around.lane(b), around.splat(c))
                }
                (true, false) => {
                    run!($op, around.lane(a), around.splat(b), around.lane(c))
                }
                (true, true) => {
                    run!($op, around.lane(a), around.splat(b), around.splat(c))
                }
            }
        };
    }
    macro_rules! pair {
        ($op:ident) => {
            run!($op, around.lane(a), around.lane(b), nothing)
        };
    }
    match op {
        Op::Copy if shared[0] => run!(Same, around.splat(a), nothing, nothing),
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
        Op::Select => run!(Select, around.lane(a), around.lane(b), around.lane(c)),
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
