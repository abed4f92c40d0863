//! What layers remember between passes besides their weights, such as statistics: named tensors, which snapshots keep as they keep weights.

use std::collections::BTreeMap;
use std::sync::Arc;

use burn::tensor::Tensor;
use calibration::StateGuard;

use super::{NamedTensor, Network, rows};

/// How the names begin of what a network remembers of its read-outs, as if they were one more layer.
const HEADS: &str = "heads.";

/// What one layer remembers, by name.
pub type Remembered = BTreeMap<String, Tensor<2>>;

/// What the layers of a network remember.
#[derive(Debug, Clone, Default)]
pub struct State(BTreeMap<usize, Remembered>, BTreeMap<(usize, String), Arc<StateGuard>>);

/// How the names of a guard's tensors begin: `guard each in use of electrical 7`.
const GUARD: &str = "guard ";

impl State {
    /// What layer `index` remembers, if it does.
    pub fn of(&self, index: usize) -> Option<&Remembered> {
        self.0.get(&index)
    }

    /// The same, to be changed.
    pub fn of_mut(&mut self, index: usize) -> &mut Remembered {
        self.0.entry(index).or_default()
    }

    /// The guard of layer `index` for a bench.
    pub fn guard(&self, index: usize, bench: &str) -> Option<&StateGuard> {
        self.guard_arc_of(index, bench).map(|guard| &**guard)
    }

    /// The same, shared.
    pub(super) fn guard_arc(&self, index: usize, bench: &str) -> Option<Arc<StateGuard>> {
        self.guard_arc_of(index, bench).cloned()
    }

    fn guard_arc_of(&self, index: usize, bench: &str) -> Option<&Arc<StateGuard>> {
        self.1.iter().find(|((layer, of), _)| *layer == index && of == bench).map(|(_, guard)| guard)
    }

    /// The guards of a bench, layer after layer.
    pub(super) fn guards_of<'a>(&'a self, bench: &'a str) -> impl Iterator<Item = &'a Arc<StateGuard>> {
        self.1.iter().filter(move |((_, of), _)| of == bench).map(|(_, guard)| guard)
    }

    /// From now on this guards layer `index`.
    pub(super) fn put_guard(&mut self, index: usize, guard: Arc<StateGuard>) {
        self.1.insert((index, guard.of().to_owned()), guard);
    }

    /// The layers whose guards have another fit than `before`, with the fits.
    pub fn newly_guarded<'a>(&'a self, before: &'a Self) -> impl Iterator<Item = (usize, &'a StateGuard)> {
        let is_new = |(place, guard): &(&(usize, String), &Arc<StateGuard>)| {
            guard.is_fitted() && before.1.get(*place).is_none_or(|old| !guard.has_fit_of(old))
        };
        self.1.iter().filter(is_new).map(|((layer, _), guard)| (*layer, &**guard))
    }
}

impl Network {
    /// All that layers remember: `layers.2.normalize.mean of electrical 7`.
    pub fn remembered(&self, state: &State) -> Vec<NamedTensor> {
        let of_layer = |(index, layer): (&usize, &Remembered)| {
            let before = self.before(*index);
            let named = |(name, tensor): (&String, &Tensor<2>)| NamedTensor {
                name: format!("{before}{name}"),
                tensor: tensor.clone(),
            };
            layer.iter().map(named).collect::<Vec<_>>()
        };
        let of_guard = |((index, bench), guard): (&(usize, String), &Arc<StateGuard>)| {
            let before = self.before(*index);
            let named = |(name, shape, values)| NamedTensor {
                name: format!("{before}{GUARD}{name} of {bench}"),
                tensor: rows::tensor(values, shape),
            };
            guard.pack().into_iter().map(named).collect::<Vec<_>>()
        };
        state.0.iter().flat_map(of_layer).chain(state.1.iter().flat_map(of_guard)).collect()
    }

    /// The state that these tensors are; the rest of a sentence says which of them no layer here can have left.
    pub fn recall(&self, tensors: &[NamedTensor]) -> Result<State, String> {
        let mut state = State::default();
        let mut guards: BTreeMap<(usize, String), Vec<(&str, &Tensor<2>)>> = BTreeMap::new();
        for NamedTensor { name, tensor } in tensors {
            if let Some(own) = name.strip_prefix(HEADS).filter(|own| self.heads_remember(own, tensor)) {
                state.of_mut(self.layers.len()).insert(own.to_owned(), tensor.clone());
                continue;
            }
            let rest = name.strip_prefix("layers.");
            let index: Option<usize> = rest.and_then(|rest| rest.split('.').next()?.parse().ok());
            let part = index.filter(|index| *index < self.layers.len()).and_then(|index| {
                self.layers[index].plant()?;
                let own = name.strip_prefix(&self.before(index))?.strip_prefix(GUARD)?;
                let part = StateGuard::part_names().find(|part| own.starts_with(&format!("{part} of ")))?;
                Some((index, &own[part.len() + " of ".len()..], part))
            });
            if let Some((index, bench, part)) = part {
                guards.entry((index, bench.to_owned())).or_default().push((part, tensor));
                continue;
            }
            let own = index.and_then(|index| {
                let own = name.strip_prefix(&self.before(index))?;
                let remembers = if let Some(layer) = self.layers.get(index) {
                    layer.remembers(own, tensor)
                } else {
                    // Behind the last layer: the pool of an automaton.
                    let automaton = self.automaton.as_ref().filter(|_| index == self.layers.len());
                    automaton.is_some_and(|automaton| automaton.remembers(own, tensor))
                };
                remembers.then(|| (index, own.to_owned()))
            });
            let Some((index, own)) = own else {
                let [rows, columns] = tensor.dims();
                return Err(format!("has `{name}` ({rows} × {columns}), which no layer of this network remembers"));
            };
            state.of_mut(index).insert(own, tensor.clone());
        }
        for ((index, bench), parts) in guards {
            // Who has left the guard out of the experiment wants none of what it knew.
            let (Some(config), Some((_, ports))) = (&self.guard, self.layers[index].plant()) else { continue };
            let mut guard = StateGuard::new(&bench, ports, config.rule());
            let find = |name: &str| {
                let found = parts.iter().find(|(part, _)| *part == name);
                found.map(|(_, tensor)| (tensor.dims(), rows::values((*tensor).clone())))
            };
            guard.unpack(find).map_err(|error| format!("has a guard of layer {index} that cannot be used: {error}"))?;
            state.put_guard(index, Arc::new(guard));
        }
        Ok(state)
    }

    /// How the names of a layer's tensors begin.
    fn before(&self, index: usize) -> String {
        match self.kinds.get(index) {
            Some(kind) => format!("layers.{index}.{kind}."),
            // Behind the last layer: the pool of an automaton, or what is remembered of read-outs.
            None if self.automaton.is_some() => format!("layers.{index}.cells."),
            None => HEADS.to_owned(),
        }
    }
}
