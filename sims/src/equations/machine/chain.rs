//! Chains: single elements, link after link, a tile of shots in registers.

use super::super::program::{Form, Link, NOWHERE};
use super::unit::Unit;
use super::walk::placed;
use crate::Real;

/// Vectors of a tile, and of one of what is left.
const TILE: usize = 8;
const HALF: usize = 4;

/// An operand of a link.
trait From<V> {
    fn get(&self, at: usize) -> V;
}

struct Held<'a, V, const T: usize>(&'a [V; T]);

impl<V: Copy, const T: usize> From<V> for Held<'_, V, T> {
    #[inline(always)]
    fn get(&self, at: usize) -> V {
        self.0[at]
    }
}

struct Lane<'a, V>(&'a [V]);

impl<V: Copy> From<V> for Lane<'_, V> {
    #[inline(always)]
    fn get(&self, at: usize) -> V {
        self.0[at]
    }
}

struct Same<V>(V);

impl<V: Copy> From<V> for Same<V> {
    #[inline(always)]
    fn get(&self, _: usize) -> V {
        self.0
    }
}

/// Runs the links on all tiles. `lanes` has `row` numbers an element.
#[inline(always)]
pub(super) fn chain<U: Unit>(
    unit: U,
    links: &[Link],
    (lanes, table): (&mut [U::Scalar], &[U::Scalar]),
    row: usize,
    kept: usize,
) {
    let stride = unit.vectors(&lanes[..row]).len();
    let lanes = unit.vectors_mut(lanes);
    let mut at = 0;
    while at < stride {
        let place = Place { stride, at, kept };
        at += match stride - at {
            TILE.. => tile::<U, TILE>(unit, links, (lanes, table), place),
            HALF.. => tile::<U, HALF>(unit, links, (lanes, table), place),
            _ => tile::<U, 1>(unit, links, (lanes, table), place),
        };
    }
}

/// Where a tile is.
#[derive(Clone, Copy)]
struct Place {
    /// Vectors of an element, and those before the tile.
    stride: usize,
    at: usize,
    /// Where the kept elements begin.
    kept: usize,
}

#[inline(always)]
fn tile<U: Unit, const T: usize>(
    unit: U,
    links: &[Link],
    (lanes, table): (&mut [U::Vector], &[U::Scalar]),
    Place { stride, at, kept }: Place,
) -> usize {
    let zero = unit.splat(U::Scalar::of(0.0));
    let mut held = [zero; T];
    for link in links {
        let mut next = held;
        {
            macro_rules! source {
                (Held, $operand:literal) => {
                    Held(&held)
                };
                (Lane, $operand:literal) => {
                    Lane(&lanes[placed(link.from[$operand], kept) * stride + at..][..T])
                };
                (Same, $operand:literal) => {
                    Same(unit.splat(table[link.from[$operand] as usize]))
                };
            }
            macro_rules! each {
                ($at:ident => $value:expr) => {
                    for $at in 0..T {
                        next[$at] = $value;
                    }
                };
            }
            macro_rules! link {
                (Copy, $a:ident) => {{
                    let a = source!($a, 0);
                    each!(at => a.get(at));
                }};
                (Invert, $a:ident) => {{
                    let a = source!($a, 0);
                    each!(at => unit.invert(a.get(at)));
                }};
                (Root, $a:ident) => {{
                    let a = source!($a, 0);
                    each!(at => unit.root(a.get(at)));
                }};
                (Add, $a:ident, $b:ident) => {{
                    let (a, b) = (source!($a, 0), source!($b, 1));
                    each!(at => unit.add(a.get(at), b.get(at)));
                }};
                (Subtract, $a:ident, $b:ident) => {{
                    let (a, b) = (source!($a, 0), source!($b, 1));
                    each!(at => unit.subtract(a.get(at), b.get(at)));
                }};
                (Multiply, $a:ident, $b:ident) => {{
                    let (a, b) = (source!($a, 0), source!($b, 1));
                    each!(at => unit.multiply(a.get(at), b.get(at)));
                }};
                (MultiplyAdd, $a:ident, $b:ident, $c:ident) => {{
                    let (a, b, c) = (source!($a, 0), source!($b, 1), source!($c, 2));
                    each!(at => unit.multiply_add(a.get(at), b.get(at), c.get(at)));
                }};
                (MultiplySubtract, $a:ident, $b:ident, $c:ident) => {{
                    let (a, b, c) = (source!($a, 0), source!($b, 1), source!($c, 2));
                    each!(at => unit.multiply_subtract(a.get(at), b.get(at), c.get(at)));
                }};
            }
            macro_rules! executed {
                ($($name:ident: $op:ident($($source:ident),*);)*) => {
                    match link.form {
                        $(Form::$name => link!($op, $($source),*),)*
                    }
                };
            }
            super::super::program::forms!(executed);
        }
        held = next;
        if link.to != NOWHERE {
            let to = &mut lanes[placed(link.to, kept) * stride + at..][..T];
            to[..T].copy_from_slice(&held[..T]);
        }
    }
    T
}
