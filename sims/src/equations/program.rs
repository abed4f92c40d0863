//! Programs: instructions over arrays of blocks of shots.
//!
//! A value is an array over loop variables; each of its elements holds `chunks` rows of lanes, one lane a shot. What all shots share
//! lies in a table beside, one number an element. An instruction works through all elements, so that choosing what to do costs
//! nothing beside doing it.

use super::terms::Function;

/// Where a value lies.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Bank {
    /// Elements of lanes.
    Lanes,
    /// Numbers that all shots share.
    Shared,
}

/// An operand: its first element. How it goes on stands in the walk.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Operand {
    pub bank: Bank,
    pub base: u32,
}

/// What an instruction does with its operands a, b, c.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Op {
    Copy,
    Add,
    Subtract,
    Multiply,
    /// a·b + c.
    MultiplyAdd,
    /// c − a·b.
    MultiplySubtract,
    /// 1/a.
    Invert,
    Root,
    Call(Function),
    /// sin a, and behind it cos a.
    SineCosine,
    Min,
    Max,
    Power,
    Below,
    AtMost,
    Equal,
    /// b where a is not 0, else c.
    Select,
}

/// One direction of a walk: how many steps, and how far each operand goes in one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Direction {
    pub count: u32,
    pub to: u32,
    pub from: [u32; 3],
}

/// One instruction.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Instruction {
    /// Element by element; `walk` has the outermost direction first.
    Map { op: Op, to: u32, from: [Operand; 3], walk: Vec<Direction> },
    /// `to` gets the elements of the array at `base` that `places` name, 0 where they say [`NOWHERE`].
    Gather { to: u32, base: u32, places: Vec<u32> },
    /// `to` is the sum of `count` elements of `from`, `stride` apart, and again along `walk`.
    Total { to: u32, from: Operand, count: u32, stride: u32, walk: Vec<Direction> },
    /// `to` is the sum of `count` products of a shared number and an element of lanes.
    Contract { to: u32, shared: u32, lanes: u32, count: u32, strides: [u32; 2], walk: Vec<Direction> },
    /// Puts a value into an output; `places` as for [`Instruction::Gather`], one for each element of the walk.
    Put { from: Operand, places: Vec<u32>, adds: bool, walk: Vec<Direction> },
    /// Adds the products of two values to sums over all shots. `to` walks over the sums.
    Gain { to: u32, from: [Operand; 2], walk: Vec<Direction> },
}

/// No place.
pub(super) const NOWHERE: u32 = u32::MAX;

/// A program that is ready to run.
#[derive(Debug, Clone, Default)]
pub(super) struct Program {
    pub instructions: Vec<Instruction>,
    /// Elements of lanes, those of the inputs first.
    pub elements: usize,
    /// Elements of the outputs.
    pub outputs: usize,
}
