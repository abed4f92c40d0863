//! Places for virtual registers: a place is free again after the last use of what lies there. A target never shares its place with
//! an operand of its instruction, but in chains, whose links go element by element. What is put into an output as it is lies there from
//! the beginning.

// Circle with equations/compile.rs: a draft is filled here and brought into registers there; split for its length.

use std::collections::{BTreeMap, HashSet};

use super::super::program::{Bank, Form, Instruction, Link, NOWHERE, Op, Operand, Program, Source};
use super::super::terms::Function;
use super::Draft;

/// Free places by size.
#[derive(Default)]
struct Free(BTreeMap<u32, Vec<u32>>);

impl Free {
    fn take(&mut self, size: u32, end: &mut u32) -> u32 {
        if let Some(places) = self.0.get_mut(&size)
            && let Some(place) = places.pop()
        {
            return place;
        }
        let place = *end;
        *end += size;
        place
    }

    fn give(&mut self, size: u32, place: u32) {
        self.0.entry(size).or_default().push(place);
    }
}

/// A draft as a link: its form, the order of its operands, and which of these are held.
struct Linked {
    form: Form,
    order: [usize; 3],
    held: [bool; 3],
}

/// The draft as a link of a chain, after one whose result is register `before`.
fn linked(draft: &Draft, before: Option<u32>) -> Option<Linked> {
    let (op, from) = match &draft.instruction {
        Instruction::Map { op: Op::Call(Function::Sqrt), from, walk, .. } if walk.is_empty() => (Op::Root, &from[..1]),
        Instruction::Map { op, from, walk, .. } if walk.is_empty() => (
            *op,
            match op {
                Op::Copy | Op::Invert | Op::Root => &from[..1],
                Op::Add | Op::Subtract | Op::Multiply => &from[..2],
                Op::MultiplyAdd | Op::MultiplySubtract => &from[..3],
                _ => return None,
            },
        ),
        Instruction::Put { from, places, adds: false, walk } if walk.is_empty() && places.len() == 1 => {
            (Op::Copy, std::slice::from_ref(from))
        }
        _ => return None,
    };
    let count = from.len();
    let is_held = |operand: usize| {
        before.is_some() && draft.from.get(operand).copied().flatten() == before && from[operand].base == 0
    };
    let source = |operand: usize, held: bool| match from[operand].bank {
        Bank::Shared => Source::Same,
        Bank::Lanes if held && is_held(operand) => Source::Held,
        Bank::Lanes => Source::Lane,
    };
    // Factors and summands may change their places.
    let turned = matches!(op, Op::Add | Op::Multiply | Op::MultiplyAdd | Op::MultiplySubtract);
    for held in [true, false] {
        for order in [[0, 1, 2], [1, 0, 2]] {
            if order[0] != 0 && (!turned || count < 2) {
                continue;
            }
            let sources: Vec<Source> = order[..count].iter().map(|operand| source(*operand, held)).collect();
            if let Some(form) = Form::of(op, &sources) {
                let mut is = [false; 3];
                order[..count].iter().for_each(|operand| is[*operand] = held && is_held(*operand));
                return Some(Linked { form, order, held: is });
            }
        }
    }
    None
}

/// The outputs that lie where they are put from the beginning: of each register the place, if any. Their drafts are taken out. What is
/// gathered is put: it is read from before its target, but where steps are repeated outputs and states change their places.
fn aliased(drafts: &mut Vec<Draft>, sizes: &[u32], outputs: u32) -> Vec<Option<u32>> {
    let mut times = vec![0_u32; outputs as usize];
    for draft in drafts.iter() {
        if let Instruction::Put { places, .. } = &draft.instruction {
            places.iter().filter(|place| **place != NOWHERE).for_each(|place| times[*place as usize] += 1);
        }
    }
    let mut alias = vec![None; sizes.len()];
    let is_gather = |draft: &&Draft| matches!(draft.instruction, Instruction::Gather { .. });
    let gathered: HashSet<u32> = drafts.iter().filter(is_gather).filter_map(|draft| draft.to).collect();
    drafts.retain(|draft| {
        let Instruction::Put { from, places, adds: false, walk } = &draft.instruction else { return true };
        let Some(register) = draft.from[0].filter(|register| !gathered.contains(register)) else { return true };
        let is_whole = match walk[..] {
            [] => places.len() == 1,
            [only] => only.to == 1 && only.from[0] == 1,
            _ => false,
        };
        let in_order = places.iter().zip(places[0]..).all(|(place, next)| *place == next);
        let alone = || places.iter().all(|place| times[*place as usize] == 1);
        let size = sizes[register as usize] as usize;
        if is_whole
            && in_order
            && from.base == 0
            && size == places.len()
            && alias[register as usize].is_none()
            && alone()
        {
            alias[register as usize] = Some(places[0]);
            return false;
        }
        true
    });
    alias
}

/// Outputs that begin as 0.
fn zeros(drafts: &[Draft], alias: &[Option<u32>], sizes: &[u32], outputs: u32) -> Vec<u32> {
    let mut set = vec![None; outputs as usize];
    for (place, size) in alias.iter().zip(sizes).filter_map(|(place, size)| place.map(|place| (place, *size))) {
        set[place as usize..(place + size) as usize].fill(Some(true));
    }
    for draft in drafts {
        if let Instruction::Put { places, adds, .. } = &draft.instruction {
            for place in places.iter().filter(|place| **place != NOWHERE) {
                set[*place as usize].get_or_insert(!adds);
            }
        }
    }
    (0..outputs).filter(|place| set[*place as usize] != Some(true)).collect()
}

/// The program in which every register has its place behind `inputs` and `outputs`.
pub(super) fn placed(mut drafts: Vec<Draft>, sizes: &[u32], inputs: u32, outputs: u32) -> Program {
    let alias = aliased(&mut drafts, sizes, outputs);
    let zeros: Vec<u32> = zeros(&drafts, &alias, sizes, outputs).into_iter().map(|place| inputs + place).collect();
    // Which drafts are links, and which registers somebody finds in memory.
    let (mut links, mut before, mut in_memory) = (Vec::with_capacity(drafts.len()), None, vec![false; sizes.len()]);
    for draft in &drafts {
        let link = linked(draft, before);
        let held = link.as_ref().map_or([false; 3], |link| link.held);
        for (register, held) in draft.from.iter().zip(held.iter().chain(&[false; 3])) {
            if let (Some(register), false) = (register, held) {
                in_memory[*register as usize] = true;
            }
        }
        before = if link.is_some() { draft.to } else { None };
        links.push(link);
    }
    let mut last = vec![0; sizes.len()];
    for (number, draft) in drafts.iter().enumerate() {
        for register in draft.from.iter().flatten().chain(&draft.to) {
            last[*register as usize] = number;
        }
    }
    let (mut free, mut end) = (Free::default(), inputs + outputs);
    let mut places = vec![NOWHERE; sizes.len()];
    let mut instructions: Vec<Instruction> = if zeros.is_empty() { Vec::new() } else { vec![Instruction::Zero(zeros)] };
    for (number, (Draft { mut instruction, to, from }, link)) in drafts.into_iter().zip(links).enumerate() {
        let target = to.map(|register| {
            let place = match alias[register as usize] {
                Some(place) => inputs + place,
                None if link.is_some() && !in_memory[register as usize] => NOWHERE,
                None => free.take(sizes[register as usize], &mut end),
            };
            places[register as usize] = place;
            place
        });
        let at = |operand: usize| from.get(operand).copied().flatten().map_or(0, |register| places[register as usize]);
        if let Instruction::Put { places, .. } = &mut instruction {
            places.iter_mut().filter(|place| **place != NOWHERE).for_each(|place| *place += inputs);
        }
        if let Some(link) = link {
            let (operands, to) = match &instruction {
                Instruction::Map { from, .. } => (*from, target.unwrap_or(NOWHERE)),
                Instruction::Put { from, places, .. } => ([*from; 3], places[0]),
                _ => unreachable!("only these are linked"),
            };
            let element = |operand: usize| match operands[operand] {
                _ if link.held[operand] => 0,
                Operand { bank: Bank::Shared, base } => base,
                Operand { bank: Bank::Lanes, base } => base + at(operand),
            };
            let link = Link { form: link.form, from: link.order.map(element), to };
            match instructions.last_mut() {
                Some(Instruction::Chain(links)) => links.push(link),
                _ => instructions.push(Instruction::Chain(vec![link])),
            }
        } else {
            settled(&mut instruction, target.unwrap_or_default(), at);
            instructions.push(instruction);
        }
        let mut done: Vec<u32> =
            from.iter().flatten().chain(&to).copied().filter(|register| last[*register as usize] == number).collect();
        done.sort_unstable();
        done.dedup();
        for register in done {
            if alias[register as usize].is_none() && places[register as usize] != NOWHERE {
                free.give(sizes[register as usize], places[register as usize]);
            }
        }
    }
    Program { instructions, elements: end as usize, first_output: inputs as usize, outputs: outputs as usize }
}

/// Gives an instruction its places: the target's, and what comes before each operand's base.
fn settled(instruction: &mut Instruction, target: u32, at: impl Fn(usize) -> u32) {
    match instruction {
        Instruction::Map { to, from, .. } => {
            *to = target;
            for (number, operand) in from.iter_mut().enumerate() {
                operand.base += at(number);
            }
        }
        Instruction::Gather { to, .. } => *to = target,
        Instruction::Total { to, from, .. } => {
            *to = target;
            from.base += at(0);
        }
        Instruction::Contract { to, lanes, .. } => {
            *to = target;
            *lanes += at(1);
        }
        Instruction::Put { from, .. } => from.base += at(0),
        Instruction::Gain { from, .. } => {
            for (number, operand) in from.iter_mut().enumerate() {
                operand.base += at(number);
            }
        }
        Instruction::Chain(_) | Instruction::Zero(_) => (),
    }
}
