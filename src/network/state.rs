//! What layers remember between passes besides their weights, such as statistics: named tensors, which snapshots keep as they keep weights.

use std::collections::BTreeMap;

use burn::tensor::Tensor;

use super::{NamedTensor, Network};

/// What one layer remembers, by name.
pub type Remembered = BTreeMap<String, Tensor<2>>;

/// What the layers of a network remember.
#[derive(Debug, Clone, Default)]
pub struct State(BTreeMap<usize, Remembered>);

impl State {
    /// What layer `index` remembers, if it does.
    pub fn of(&self, index: usize) -> Option<&Remembered> {
        self.0.get(&index)
    }

    /// The same, to be changed.
    pub fn of_mut(&mut self, index: usize) -> &mut Remembered {
        self.0.entry(index).or_default()
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
        state.0.iter().flat_map(of_layer).collect()
    }

    /// The state that these tensors are; the rest of a sentence says which of them no layer here can have left.
    pub fn recall(&self, tensors: &[NamedTensor]) -> Result<State, String> {
        let mut state = State::default();
        for NamedTensor { name, tensor } in tensors {
            let rest = name.strip_prefix("layers.");
            let index: Option<usize> = rest.and_then(|rest| rest.split('.').next()?.parse().ok());
            let own = index.and_then(|index| {
                let own = name.strip_prefix(&self.before(index))?;
                let remembers = match self.layers.get(index) {
                    Some(layer) => layer.remembers(own, tensor),
                    // Behind the last layer: the pool of an automaton.
                    None => {
                        let automaton = self.automaton.as_ref().filter(|_| index == self.layers.len());
                        automaton.is_some_and(|automaton| automaton.remembers(own, tensor))
                    }
                };
                remembers.then(|| (index, own.to_owned()))
            });
            let Some((index, own)) = own else {
                let [rows, columns] = tensor.dims();
                return Err(format!("has `{name}` ({rows} × {columns}), which no layer of this network remembers"));
            };
            state.of_mut(index).insert(own, tensor.clone());
        }
        Ok(state)
    }

    /// How the names of a layer's tensors begin.
    fn before(&self, index: usize) -> String {
        format!("layers.{index}.{}.", self.kinds.get(index).copied().unwrap_or("cells"))
    }
}
