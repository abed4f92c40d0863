//! Where instructions find their operands: places of elements, walks over them, and their rows.

use super::super::program::{Bank, Direction, KEPT, Operand};
use crate::Real;

/// Where an element of a program lies.
#[inline(always)]
pub(super) fn placed(element: u32, kept: usize) -> usize {
    if element < KEPT { element as usize } else { (element - KEPT) as usize + kept }
}

/// The same of an operand.
#[inline(always)]
pub(super) fn found(operand: Operand, kept: usize) -> Operand {
    match operand.bank {
        Bank::Lanes => Operand { base: placed(operand.base, kept) as u32, ..operand },
        Bank::Shared => operand,
    }
}

/// The steps of a walk but the innermost: where the target and the operands are in each. Loops are written out with it, as a
/// closure would not be compiled for the vector unit.
pub(super) struct Outer<'a> {
    walk: &'a [Direction],
    number: usize,
    steps: usize,
}

impl<'a> Outer<'a> {
    /// The outer steps, and the innermost direction.
    #[inline(always)]
    pub(super) fn of(walk: &'a [Direction]) -> (Self, Direction) {
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
    pub(super) fn next(&mut self) -> Option<(usize, [usize; 3])> {
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
pub(super) trait Rows<S, const W: usize>: Copy {
    /// One after the other.
    type Flat: Flat<S, W>;

    /// The row of an element and chunk.
    fn row(self, element: usize, chunk: usize) -> [S; W];
    /// The rows of an element.
    fn element(self, element: usize) -> Self::Flat;
    /// The rows of `count` elements from `element` on, each `step` from the last, where they lie one after the other.
    fn flat(self, element: usize, step: usize, count: usize) -> Option<Self::Flat>;
}

/// Rows one after the other.
pub(super) trait Flat<S, const W: usize>: Copy {
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
pub(super) struct Still<S>(pub S);

impl<S: Real, const W: usize> Flat<S, W> for Still<S> {
    #[inline(always)]
    fn at(self, _: usize) -> [S; W] {
        [self.0; W]
    }
}

#[derive(Clone, Copy)]
pub(super) struct Lane<'a, S, const W: usize> {
    pub values: &'a [[S; W]],
    pub chunks: usize,
}

impl<'a, S: Real, const W: usize> Rows<S, W> for Lane<'a, S, W> {
    type Flat = &'a [[S; W]];

    #[inline(always)]
    fn row(self, element: usize, chunk: usize) -> [S; W] {
        self.values[element * self.chunks + chunk]
    }
    #[inline(always)]
    fn element(self, element: usize) -> Self::Flat {
        &self.values[element * self.chunks..][..self.chunks]
    }
    #[inline(always)]
    fn flat(self, element: usize, step: usize, count: usize) -> Option<Self::Flat> {
        (step == 1).then(|| &self.values[element * self.chunks..][..count * self.chunks])
    }
}

#[derive(Clone, Copy)]
pub(super) struct Splat<'a, S> {
    pub values: &'a [S],
}

impl<S: Real, const W: usize> Rows<S, W> for Splat<'_, S> {
    type Flat = Still<S>;

    #[inline(always)]
    fn row(self, element: usize, _: usize) -> [S; W] {
        [self.values[element]; W]
    }
    #[inline(always)]
    fn element(self, element: usize) -> Still<S> {
        Still(self.values[element])
    }
    #[inline(always)]
    fn flat(self, element: usize, step: usize, _: usize) -> Option<Still<S>> {
        (step == 0).then(|| Still(self.values[element]))
    }
}
