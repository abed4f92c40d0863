//! Programs: instructions over arrays of blocks of shots.
//!
//! A value is an array over loop variables; each of its elements holds `chunks` rows of lanes, one lane a shot. What all shots share
//! lies in a table beside, one number an element. An instruction works through all elements; single elements are worked on by
//! chains, which keep what they have in registers from link to link. So choosing what to do costs little beside doing it.

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

/// Where a link of a chain finds an operand.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Source {
    /// In registers: the result of the link before.
    Held,
    /// An element of lanes.
    Lane,
    /// A number that all shots share.
    Same,
}

/// Calls a macro with the forms of links: a name, the operation, and where its operands are.
macro_rules! forms {
    ($with:ident) => {
        $with! {
            CopyL: Copy(Lane); CopyS: Copy(Same);
            AddHL: Add(Held, Lane); AddHS: Add(Held, Same); AddLL: Add(Lane, Lane); AddLS: Add(Lane, Same);
            SubtractHL: Subtract(Held, Lane); SubtractHS: Subtract(Held, Same); SubtractLH: Subtract(Lane, Held);
            SubtractLL: Subtract(Lane, Lane); SubtractLS: Subtract(Lane, Same);
            MultiplyHL: Multiply(Held, Lane); MultiplyHS: Multiply(Held, Same); MultiplyHH: Multiply(Held, Held);
            MultiplyLL: Multiply(Lane, Lane); MultiplyLS: Multiply(Lane, Same);
            MultiplyAddHLL: MultiplyAdd(Held, Lane, Lane); MultiplyAddHLS: MultiplyAdd(Held, Lane, Same);
            MultiplyAddHSL: MultiplyAdd(Held, Same, Lane); MultiplyAddHSS: MultiplyAdd(Held, Same, Same);
            MultiplyAddHHL: MultiplyAdd(Held, Held, Lane); MultiplyAddHHS: MultiplyAdd(Held, Held, Same);
            MultiplyAddLLH: MultiplyAdd(Lane, Lane, Held); MultiplyAddLSH: MultiplyAdd(Lane, Same, Held);
            MultiplyAddLLL: MultiplyAdd(Lane, Lane, Lane); MultiplyAddLLS: MultiplyAdd(Lane, Lane, Same);
            MultiplyAddLSL: MultiplyAdd(Lane, Same, Lane); MultiplyAddLSS: MultiplyAdd(Lane, Same, Same);
            MultiplySubtractHLL: MultiplySubtract(Held, Lane, Lane); MultiplySubtractHLS: MultiplySubtract(Held, Lane, Same);
            MultiplySubtractHSL: MultiplySubtract(Held, Same, Lane); MultiplySubtractHSS: MultiplySubtract(Held, Same, Same);
            MultiplySubtractHHL: MultiplySubtract(Held, Held, Lane); MultiplySubtractHHS: MultiplySubtract(Held, Held, Same);
            MultiplySubtractLLH: MultiplySubtract(Lane, Lane, Held); MultiplySubtractLSH: MultiplySubtract(Lane, Same, Held);
            MultiplySubtractLLL: MultiplySubtract(Lane, Lane, Lane); MultiplySubtractLLS: MultiplySubtract(Lane, Lane, Same);
            MultiplySubtractLSL: MultiplySubtract(Lane, Same, Lane); MultiplySubtractLSS: MultiplySubtract(Lane, Same, Same);
            InvertH: Invert(Held); InvertL: Invert(Lane);
            RootH: Root(Held); RootL: Root(Lane);
        }
    };
}
pub(super) use forms;

macro_rules! declared {
    ($($name:ident: $op:ident($($source:ident),*);)*) => {
        /// What a link does, and where its operands are: H held, L lanes, S shared.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub(super) enum Form {
            $($name,)*
        }

        impl Form {
            /// The form of an operation with operands there, if there is one.
            pub fn of(op: Op, from: &[Source]) -> Option<Self> {
                match (op, from) {
                    $((Op::$op, [$(Source::$source),*]) => Some(Self::$name),)*
                    _ => None,
                }
            }

            /// Where its operands are.
            pub fn sources(self) -> &'static [Source] {
                match self {
                    $(Self::$name => &[$(Source::$source),*],)*
                }
            }
        }
    };
}
forms!(declared);

/// A link of a chain.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Link {
    pub form: Form,
    /// Elements of operands; nobody looks at those that are held.
    pub from: [u32; 3],
    /// The element that gets the result; [`NOWHERE`] where the next link alone needs it.
    pub to: u32,
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
    /// Single elements, each link with the result of the one before at hand.
    Chain(Vec<Link>),
    /// Element by element; `walk` has the outermost direction first.
    Map { op: Op, to: u32, from: [Operand; 3], walk: Vec<Direction> },
    /// These elements become 0: outputs that are added to, or never written.
    Zero(Vec<u32>),
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
/// Elements from here on are those that steps keep for the way back; which step's, is said where a program is run.
pub(super) const KEPT: u32 = 1 << 30;

/// A program that is ready to run.
#[derive(Debug, Clone, Default)]
pub(super) struct Program {
    pub instructions: Vec<Instruction>,
    /// Elements of lanes: inputs, then outputs, then registers.
    pub elements: usize,
    /// Where its outputs begin, and how many there are.
    pub first_output: usize,
    pub outputs: usize,
}

impl Instruction {
    /// The elements of lanes that it names become others. Arrays stay whole.
    fn renamed(&mut self, of: impl Fn(u32) -> u32) {
        let operand = |operand: &mut Operand| {
            if operand.bank == Bank::Lanes {
                operand.base = of(operand.base);
            }
        };
        match self {
            Self::Chain(links) => {
                for Link { form, from, to } in links {
                    for (element, source) in from.iter_mut().zip(form.sources()) {
                        if *source == Source::Lane {
                            *element = of(*element);
                        }
                    }
                    if *to != NOWHERE {
                        *to = of(*to);
                    }
                }
            }
            Self::Map { to, from, .. } => {
                *to = of(*to);
                from.iter_mut().for_each(operand);
            }
            Self::Zero(places) => places.iter_mut().for_each(|place| *place = of(*place)),
            Self::Gather { to, base, .. } => (*to, *base) = (of(*to), of(*base)),
            Self::Total { to, from, .. } => {
                *to = of(*to);
                operand(from);
            }
            Self::Contract { to, lanes, .. } => (*to, *lanes) = (of(*to), of(*lanes)),
            Self::Put { from, places, .. } => {
                operand(from);
                places.iter_mut().filter(|place| **place != NOWHERE).for_each(|place| *place = of(*place));
            }
            Self::Gain { from, .. } => from.iter_mut().for_each(operand),
        }
    }
}

/// How steps follow one another in one program.
#[derive(Debug, Clone, Copy)]
pub(super) struct Repeated {
    pub times: u32,
    /// Where a step finds the states, or their cotangents, and how many these are.
    pub states: [u32; 2],
    /// Elements that a step keeps.
    pub kept: u32,
    /// Whether the last step comes first, and outputs behind those of the states add up.
    pub is_back: bool,
}

impl Program {
    /// Instructions, links counted one by one.
    pub fn length(&self) -> usize {
        let length = |instruction: &Instruction| match instruction {
            Instruction::Chain(links) => links.len(),
            _ => 1,
        };
        self.instructions.iter().map(length).sum()
    }

    /// The same where the outputs from `first` on, `count` of them, are kept instead.
    pub fn keeping(mut self, first: u32, count: u32) -> Self {
        let start = self.first_output as u32 + first;
        for instruction in &mut self.instructions {
            instruction.renamed(|element| match element.checked_sub(start) {
                Some(place) if place < count => KEPT + place,
                Some(_) if element < KEPT => element - count,
                _ => element,
            });
        }
        self.elements -= count as usize;
        self.outputs -= count as usize;
        self
    }

    /// Several steps as one program: each begins with what the one before has left in the outputs. After an even number of steps the
    /// states are where the first one found them, after an odd number in the outputs.
    pub fn repeated(&self, how: Repeated) -> Self {
        let Repeated { times, states: [first, states], kept, is_back } = how;
        let output = self.first_output as u32;
        // What the outputs behind the states get from later steps.
        let (sums, spare) = (output + states..output + self.outputs as u32, self.elements as u32);
        let mut instructions: Vec<Instruction> = Vec::new();
        for step in 0..times {
            let number = if is_back { times - 1 - step } else { step };
            let turned = |element: u32| {
                if KEPT <= element {
                    element + number * kept
                } else if step % 2 == 1 && (first..first + states).contains(&element) {
                    element - first + output
                } else if step % 2 == 1 && (output..output + states).contains(&element) {
                    element - output + first
                } else if 0 < step && sums.contains(&element) {
                    element - sums.start + spare
                } else {
                    element
                }
            };
            let steps = self.instructions.iter().cloned().map(|mut instruction| {
                instruction.renamed(turned);
                instruction
            });
            let adds = |element: u32| Link {
                form: Form::AddLL,
                from: [element, element - sums.start + spare, 0],
                to: element,
            };
            let sum = Instruction::Chain(if step == 0 { Vec::new() } else { sums.clone().map(adds).collect() });
            for instruction in steps.chain([sum]) {
                match (instructions.last_mut(), instruction) {
                    (Some(Instruction::Chain(links)), Instruction::Chain(more)) => links.extend(more),
                    (_, Instruction::Chain(links)) if links.is_empty() => (),
                    (_, other) => instructions.push(other),
                }
            }
        }
        Self { instructions, elements: self.elements + sums.len(), ..*self }
    }
}
