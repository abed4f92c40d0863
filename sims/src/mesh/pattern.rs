//! The fixed errors of one chip: drawn from its seed, or given, as those that were measured or published.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::layout::Layout;
use crate::Key;

/// The errors of each interferometer of a mesh, column after column, in each from the first mode on.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct MeshPattern {
    /// Error e of the first coupler that light meets: it keeps the share (1 + e)/2 of the power in its mode.
    pub left: Vec<f32>,
    /// The same of the second coupler.
    pub right: Vec<f32>,
    /// What is added to θ, in rad.
    pub theta: Vec<f32>,
    /// What is added to φ, in rad.
    pub phi: Vec<f32>,
}

/// The largest error of a coupler: beyond 1 it would give back more than it gets.
const LARGEST: f32 = 0.99;

impl MeshPattern {
    /// Interferometers of a mesh with so many modes: the length of each list.
    pub fn len_of(modes: usize) -> usize {
        modes * modes.saturating_sub(1) / 2
    }

    /// The pattern in four tables of a row for each column of the mesh, whose first values are those of the column's interferometers, in
    /// the order of the modes: `left`, `right`, `theta`, `phi`. `None` where a table is too small.
    pub fn from_columns(modes: usize, tables: [&[Vec<f32>]; 4]) -> Option<Self> {
        let layout = Layout { modes };
        let [left, right, theta, phi] = tables.map(|table| {
            let columns = (0..layout.columns()).map(|column| table.get(column)?.get(..layout.in_column(column)));
            columns.collect::<Option<Vec<_>>>().map(|columns| columns.concat())
        });
        Some(Self { left: left?, right: right?, theta: theta?, phi: phi? })
    }

    /// Drawn from `key`: normal, with these standard deviations of couplers and phases.
    pub(super) fn drawn(layout: Layout, [coupler, phase]: [f64; 2], key: Key) -> Self {
        let of = |label: &str, deviation: f64| {
            let mut stream = key.branch(label).stream();
            (0..layout.interferometers()).map(|_| deviation as f32 * stream.normal()).collect::<Vec<f32>>()
        };
        Self {
            left: of("left couplers", coupler),
            right: of("right couplers", coupler),
            theta: of("theta", phase),
            phi: of("phi", phase),
        }
    }

    /// Adds to each phase what `key` draws for it: normal, brought to this root mean square over all phases.
    pub(super) fn move_phases(&mut self, radians: f64, key: Key) {
        let mut stream = key.stream();
        let count = self.theta.len() + self.phi.len();
        let drawn: Vec<f64> = (0..count).map(|_| f64::from(stream.normal())).collect();
        let own = (drawn.iter().map(|one| one * one).sum::<f64>() / count.max(1) as f64).sqrt();
        for (phase, drawn) in self.theta.iter_mut().chain(&mut self.phi).zip(drawn) {
            *phase += (radians * drawn / own) as f32;
        }
    }

    /// Errors of couplers and phases, times `mismatch`.
    pub(super) fn scaled(&self, mismatch: f64) -> (Vec<[f32; 2]>, Vec<f32>) {
        let mismatch = mismatch as f32;
        let coupler = |error: f32| (mismatch * error).clamp(-LARGEST, LARGEST);
        let couplers = self.left.iter().zip(&self.right).map(|(left, right)| [coupler(*left), coupler(*right)]);
        let phases = self.theta.iter().chain(&self.phi).map(|error| mismatch * error);
        (couplers.collect(), phases.collect())
    }

    /// Whether it is of a mesh with so many interferometers, and all of its numbers are finite.
    pub(super) fn fits(&self, interferometers: usize) -> bool {
        let lists = [&self.left, &self.right, &self.theta, &self.phi];
        lists.iter().all(|list| list.len() == interferometers && list.iter().all(|error| error.is_finite()))
    }
}
