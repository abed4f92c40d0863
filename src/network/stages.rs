//! What a network says of its layers to methods that go through it stage by stage: its plants, and the digital layers between them.

use drivers::Ports;

use super::Network;

impl Network {
    /// How many classes a layer tries, where one says which is tried.
    pub fn label(&self) -> Option<usize> {
        self.layers.iter().find_map(|layer| layer.label())
    }

    /// The first layer that normalizes.
    pub fn normalizing(&self) -> Option<usize> {
        self.layers.iter().position(|layer| layer.normalize().is_some())
    }

    /// Its physical layers: their numbers, their plants and what ports these have.
    pub fn plants(&self) -> Vec<(usize, &str, &Ports)> {
        let layers = self.layers.iter().enumerate();
        layers.filter_map(|(index, layer)| layer.plant().map(|(name, ports)| (index, name, ports))).collect()
    }

    /// Of each stage, the digital layers up to a plant and those behind the last one: whether it has weights.
    pub fn stages(&self) -> Vec<bool> {
        let mut stages = vec![false];
        for (layer, count) in self.layers.iter().zip(&self.counts) {
            match (layer.plant(), stages.last_mut()) {
                (None, Some(stage)) => *stage |= 0 < *count,
                _ => stages.push(false),
            }
        }
        stages
    }
}
