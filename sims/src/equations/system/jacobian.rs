//! The Jacobian of the slopes as blocks of entries, and what an implicit step makes of it.

// Circle with equations/system.rs: one compilation; split for its length.

use super::super::compile::{Layout, Target, Wanted, compile, places};
use super::super::elimination::Elimination;
use super::super::implicit::Implicit;
use super::super::model::{Method, Time};
use super::super::program::NOWHERE;
use super::super::steps::{self, Motion};
use super::super::terms::{Id, Leaf, Node, Origin, Terms};
use super::{Assembly, Stage, over};

/// Entries of the Jacobian of the slopes: a term over the variables of its row and column.
#[derive(Debug, Clone)]
pub(in crate::equations) struct Block {
    pub row: Leaf,
    pub column: Leaf,
    pub value: Id,
}

impl Block {
    /// The variables of its entries.
    pub fn over(&self, terms: &Terms) -> u32 {
        over(terms, &self.row) | over(terms, &self.column)
    }

    /// Row and column of each entry, in the order of the term's elements; `None` where the column is outside its array.
    pub fn places(&self, terms: &Terms, layout: &Layout) -> Vec<Option<(u32, u32)>> {
        let vars = self.over(terms);
        let [rows, columns] = [&self.row, &self.column].map(|leaf| {
            let base = layout[&(leaf.origin, leaf.array)];
            places(terms, leaf, vars)
                .into_iter()
                .map(move |place| if place == NOWHERE { NOWHERE } else { base + place })
        });
        rows.zip(columns).map(|(row, column)| (column != NOWHERE).then_some((row, column))).collect()
    }
}

/// The blocks of the Jacobian of `motions` by the states; where every element has terms of its own, each is one entry.
pub(in crate::equations) fn jacobian(terms: &mut Terms, motions: &[Motion]) -> Vec<Block> {
    let mut blocks = Vec::new();
    for motion in motions {
        let kept = over(terms, &motion.state);
        let one = terms.number(1.0);
        for found in terms.backward(&[(motion.slope, one, kept)], kept, steps::is_state) {
            let Node::Leaf(column) = terms.node(found.of).clone() else { unreachable!("only states are wanted") };
            blocks.push(Block { row: motion.state.clone(), column, value: found.worth });
        }
    }
    blocks
}

impl Assembly {
    /// What an implicit step of a large system needs beside the slopes.
    pub(super) fn implicit(&mut self, motions: &[Motion], slopes: Stage, (time, states): (&Time, usize)) -> Implicit {
        let jacobian = jacobian(&mut self.terms, motions);
        let (mut wanted, mut places, mut end) = (Vec::new(), Vec::new(), 0);
        let ids: Vec<Id> = jacobian.iter().map(|block| block.value).collect();
        for (block, id) in jacobian.iter().zip(self.terms.finished(&ids)) {
            let over = block.over(&self.terms);
            places.extend(block.places(&self.terms, &self.layout));
            wanted.push(Wanted { id, over, target: Target::Put { base: end, leaf: None } });
            end += self.terms.count(over) as u32;
        }
        let entries = compile(&self.terms, &wanted, (&self.layout, self.reserved, 0), &mut self.shared, false);
        let inside: Vec<(u32, u32)> = places.iter().copied().flatten().collect();
        let elimination = Elimination::new(states, &inside);
        let slot = |(row, column): (u32, u32)| elimination.slot(row, column);
        let slots = places.iter().map(|place| place.map_or(NOWHERE, slot)).collect();
        let roots: Vec<Id> = motions.iter().map(|motion| motion.slope).collect();
        let moved = self.terms.forward(&roots, |terms, leaf| {
            (leaf.origin == Origin::State).then(|| terms.leaf(Leaf { origin: Origin::Tangent, ..leaf.clone() }))
        });
        let moved = self.terms.hoist(&moved);
        let mut seeded = Vec::new();
        for (motion, id) in motions.iter().zip(moved) {
            let seed = self.terms.leaf(Leaf { origin: Origin::Seed, ..motion.state.clone() });
            seeded.push((id, seed, over(&self.terms, &motion.state)));
        }
        let states_of = self.layout.iter().filter(|((origin, _), _)| *origin == Origin::State);
        let mut starts: Vec<usize> = states_of.map(|(_, start)| *start as usize).collect();
        starts.sort_unstable();
        let ends = starts.iter().skip(1).copied().chain([states]);
        let arrays = starts.iter().copied().zip(ends).map(|(start, end)| start..end).collect();
        Implicit {
            slopes,
            entries,
            places,
            slots,
            elimination,
            arrays,
            curvature: self.backward(&seeded),
            seeds: self.layout[&(Origin::Seed, 0)] as usize,
            tangents: self.layout[&(Origin::Tangent, 0)] as usize,
            tolerance: (time.method == Method::ImplicitAdaptive).then_some(time.tolerance),
            sample_seconds: time.sample_seconds,
            substeps: time.substeps,
        }
    }
}
