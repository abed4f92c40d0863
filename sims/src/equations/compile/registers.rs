//! Places for virtual registers: a place is free again after the last use of what lies there. A target never shares its place with
//! an operand of its instruction.

// Circle with equations/compile.rs: a draft is filled here and brought into registers there; split for its length.

use std::collections::BTreeMap;

use super::super::program::{Instruction, Program};
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

/// The program in which every register has its place behind the `inputs`.
pub(super) fn placed(drafts: Vec<Draft>, sizes: &[u32], inputs: u32, outputs: u32) -> Program {
    let mut last = vec![0; sizes.len()];
    for (number, draft) in drafts.iter().enumerate() {
        for register in draft.from.iter().flatten().chain(&draft.to) {
            last[*register as usize] = number;
        }
    }
    let (mut free, mut end) = (Free::default(), inputs);
    let mut places = vec![0; sizes.len()];
    let mut instructions = Vec::with_capacity(drafts.len());
    for (number, Draft { mut instruction, to, from }) in drafts.into_iter().enumerate() {
        let target = to.map(|register| {
            let place = free.take(sizes[register as usize], &mut end);
            places[register as usize] = place;
            place
        });
        let at = |operand: usize| from.get(operand).copied().flatten().map_or(0, |register| places[register as usize]);
        match &mut instruction {
            Instruction::Map { to, from, .. } => {
                *to = target.unwrap_or_default();
                for (number, operand) in from.iter_mut().enumerate() {
                    operand.base += at(number);
                }
            }
            Instruction::Gather { to, .. } => *to = target.unwrap_or_default(),
            Instruction::Total { to, from, .. } => {
                *to = target.unwrap_or_default();
                from.base += at(0);
            }
            Instruction::Contract { to, lanes, .. } => {
                *to = target.unwrap_or_default();
                *lanes += at(1);
            }
            Instruction::Put { from, .. } => from.base += at(0),
            Instruction::Gain { from, .. } => {
                for (number, operand) in from.iter_mut().enumerate() {
                    operand.base += at(number);
                }
            }
        }
        instructions.push(instruction);
        let mut done: Vec<u32> =
            from.iter().flatten().chain(&to).copied().filter(|register| last[*register as usize] == number).collect();
        done.sort_unstable();
        done.dedup();
        for register in done {
            free.give(sizes[register as usize], places[register as usize]);
        }
    }
    Program { instructions, elements: end as usize, outputs: outputs as usize }
}
