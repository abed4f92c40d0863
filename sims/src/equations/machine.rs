//! Runs programs over blocks of shots.

#![allow(clippy::inline_always)] // The loops must be compiled for the vector unit that is found at run time.
#![allow(clippy::needless_range_loop)] // A lane's number walks several arrays side by side.

mod chain;
mod gains;
mod map;
mod sums;
mod unit;
mod walk;

use std::marker::PhantomData;

use super::program::{Direction, Instruction, Link, Operand, Program};
use crate::{Real, rows};
use gains::Outside;
use map::{Block, Mapped};
use unit::{Plain, Wide};
use walk::{found, placed};

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
        let Self { chunks, lanes, sums, turned, .. } = self;
        let (chunks, lanes, arch) = (*chunks, &mut **lanes, pulp::Arch::new());
        // Each kind of instruction is a function of its own for each vector unit: all in one takes compilers minutes.
        for instruction in &program.instructions {
            match instruction {
                Instruction::Chain(links) => arch.dispatch(Chained { links, lanes, table, chunks, kept }),
                Instruction::Map { op, to, from, walk } => {
                    let from = from.map(|operand| found(operand, kept));
                    let to = placed(*to, kept);
                    arch.dispatch(Mapped { op: *op, to, from, walk, block: Block { chunks, lanes, table } });
                }
                Instruction::Contract { .. } => {
                    arch.dispatch(Contracted { instruction, lanes, table, row: chunks * W, kept });
                }
                Instruction::Zero(places) => {
                    for place in places {
                        lanes[placed(*place, kept) * chunks..][..chunks].fill([S::of(0.0); W]);
                    }
                }
                Instruction::Gather { to, base, places } => {
                    sums::gather(placed(*to, kept), *base, places, lanes, chunks);
                }
                Instruction::Total { .. } | Instruction::Put { .. } => {
                    arch.dispatch(Brought { instruction, lanes, chunks, kept });
                }
                Instruction::Gain { to, from, walk } => {
                    let from = from.map(|operand| found(operand, kept));
                    let outside = Outside::of(from, walk);
                    arch.dispatch(Gained { to: *to, from, walk, outside, lanes, table, chunks, sums, turned });
                }
            }
        }
    }

    /// What a program that has run left in its outputs.
    pub fn outputs(&self, program: &Program) -> &[[S; W]] {
        &self.lanes[program.first_output * self.chunks..][..program.outputs * self.chunks]
    }
}

// What is compiled for the vector unit found at run time is an `inline(always)` method of a type of its own.

struct Chained<'a, S, const W: usize> {
    links: &'a [Link],
    lanes: &'a mut [[S; W]],
    table: &'a [S],
    chunks: usize,
    kept: usize,
}

impl<S: Real, const W: usize> pulp::WithSimd for Chained<'_, S, W> {
    type Output = ();

    #[inline(always)]
    fn with_simd<V: pulp::Simd>(self, simd: V) {
        let Self { links, lanes, table, chunks, kept } = self;
        let (row, lanes) = (chunks * W, lanes.as_flattened_mut());
        if let (Some(table), Some(lanes)) = (S::singles(table), S::singles_mut(&mut *lanes)) {
            chain::chain(Wide(simd), links, (lanes, table), row, kept);
        } else {
            chain::chain(Plain(PhantomData), links, (lanes, table), row, kept);
        }
    }
}

struct Contracted<'a, S, const W: usize> {
    instruction: &'a Instruction,
    lanes: &'a mut [[S; W]],
    table: &'a [S],
    row: usize,
    kept: usize,
}

impl<S: Real, const W: usize> pulp::WithSimd for Contracted<'_, S, W> {
    type Output = ();

    #[inline(always)]
    fn with_simd<V: pulp::Simd>(self, simd: V) {
        let Self { instruction, lanes, table, row, kept } = self;
        let Instruction::Contract { to, shared, lanes: from, count, strides, walk } = instruction else { return };
        let ends = [placed(*to, kept), *shared as usize, placed(*from, kept)];
        let (terms, lanes) = ((*count, *strides), lanes.as_flattened_mut());
        if let (Some(table), Some(lanes)) = (S::singles(table), S::singles_mut(&mut *lanes)) {
            sums::contract(Wide(simd), ends, terms, walk, (lanes, table, row));
        } else {
            sums::contract(Plain(PhantomData), ends, terms, walk, (lanes, table, row));
        }
    }
}

struct Brought<'a, S, const W: usize> {
    instruction: &'a Instruction,
    lanes: &'a mut [[S; W]],
    chunks: usize,
    kept: usize,
}

impl<S: Real, const W: usize> pulp::NullaryFnOnce for Brought<'_, S, W> {
    type Output = ();

    #[inline(always)]
    fn call(self) {
        let Self { instruction, lanes, chunks, kept } = self;
        match instruction {
            Instruction::Total { to, from, count, stride, walk } => {
                let ends = [placed(*to, kept), placed(from.base, kept)];
                sums::total(ends, [*count, *stride], walk, lanes, chunks);
            }
            Instruction::Put { from, places, adds, walk } => {
                sums::put(found(*from, kept), (places, kept), *adds, walk, (lanes, chunks));
            }
            _ => (),
        }
    }
}

struct Gained<'a, S, const W: usize> {
    to: u32,
    from: [Operand; 2],
    walk: &'a [Direction],
    outside: Option<Outside>,
    lanes: &'a [[S; W]],
    table: &'a [S],
    chunks: usize,
    sums: &'a mut [S],
    turned: &'a mut Vec<S>,
}

impl<S: Real, const W: usize> pulp::WithSimd for Gained<'_, S, W> {
    type Output = ();

    #[inline(always)]
    fn with_simd<V: pulp::Simd>(self, simd: V) {
        let Self { to, from, walk, outside, lanes, table, chunks, sums, turned } = self;
        let Some(outside) = outside else {
            return gains::gain(to, from, walk, (lanes, table, chunks), sums);
        };
        let (row, lanes, sums) = (chunks * W, lanes.as_flattened(), &mut sums[to as usize..]);
        if let (Some(lanes), Some(turned)) = (S::singles(lanes), S::many(&mut *turned))
            && let Some(sums) = S::singles_mut(&mut *sums)
        {
            outside.add(Wide(simd), (lanes, row), turned, sums);
        } else {
            outside.add(Plain(PhantomData), (lanes, row), turned, sums);
        }
    }
}
