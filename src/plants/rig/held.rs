//! A plant without some of its controls, which stand where their knobs stand; and its twin without them.

// Circle with plants/rig/knobs.rs: a plant that is held looks where its knobs stand, and knobs say what is held.

use std::sync::Arc;

use drivers::{Allowance, Batch, Card, Error, Plant, Probe};
use sims::{Pullback, Twin};

use super::knobs::Knobs;

/// Which controls are held, and how fast they may move.
#[derive(Debug, Clone, Default)]
pub struct Places {
    /// The knobs.
    pub names: Vec<String>,
    /// The number of each among the controls.
    at: Vec<usize>,
    slews: Vec<Option<f32>>,
}

impl Places {
    /// One more.
    pub fn add(&mut self, name: &str, at: usize, slew: Option<f32>) {
        self.names.push(name.to_owned());
        self.at.push(at);
        self.slews.push(slew);
    }

    /// A card without them.
    fn without(&self, card: &Card) -> Card {
        let mut card = card.clone();
        let mut first = 0;
        card.ports.controls.retain(|bank| {
            let own = first;
            first += bank.count;
            !self.at.contains(&own)
        });
        card
    }

    /// All controls: those of training and the knobs.
    fn merged(&self, controls: &[f32], values: &[f32]) -> Vec<f32> {
        let mut rest = controls.iter().copied();
        (0..controls.len() + self.at.len())
            .map(|place| match self.at.iter().position(|at| *at == place) {
                Some(knob) => values.get(knob).copied().unwrap_or_default(),
                None => rest.next().unwrap_or_default(),
            })
            .collect()
    }

    /// Those of training alone.
    fn rest(&self, all: &[f32]) -> Vec<f32> {
        all.iter().enumerate().filter(|(place, _)| !self.at.contains(place)).map(|(_, value)| *value).collect()
    }
}

/// A plant without some of its controls.
pub struct HeldApart {
    inner: Box<dyn Plant>,
    card: Card,
    places: Places,
    knobs: Knobs,
    /// The controls of training and the knobs as they were set last; none where they are at rest.
    set: Option<(Vec<f32>, Vec<f32>)>,
}

impl HeldApart {
    /// Holds the controls at `places` where their knobs stand.
    pub fn new(inner: Box<dyn Plant>, places: Places, knobs: Knobs) -> Self {
        let card = places.without(inner.card());
        Self { inner, card, places, knobs, set: None }
    }

    /// Sets everything, the knobs in steps that they may take.
    fn set(&mut self, controls: &[f32]) -> Result<Vec<f32>, Error> {
        let wanted = self.knobs.values(&self.places.names);
        let is_slow = self.places.slews.iter().any(Option::is_some);
        if self.set.is_none() && is_slow {
            // From rest, where every way out leaves them, they go in steps as well.
            let rest = self.inner.card().ports.at_rest(drivers::Direction::Control);
            self.inner.apply(&rest)?;
            let knobs = self.places.at.iter().map(|at| rest.get(*at).copied().unwrap_or_default()).collect();
            self.set = Some((self.places.rest(&rest), knobs));
        }
        if let Some((before, from)) = self.set.take() {
            let far = |((from, to), slew): ((&f32, &f32), &Option<f32>)| {
                // A little less than a whole step, so that rounding makes none too large.
                slew.map_or(1.0, |slew| ((to - from).abs() / (0.999 * slew)).ceil())
            };
            let steps = from.iter().zip(&wanted).zip(&self.places.slews).map(far).fold(1.0, f32::max);
            for step in 1..steps as usize {
                let share = step as f32 / steps;
                let between: Vec<f32> = from.iter().zip(&wanted).map(|(from, to)| from + share * (to - from)).collect();
                self.inner.apply(&self.places.merged(&before, &between))?;
                self.set = Some((before.clone(), between));
            }
        }
        let applied = self.inner.apply(&self.places.merged(controls, &wanted))?;
        self.set = Some((controls.to_vec(), wanted));
        Ok(self.places.rest(&applied))
    }
}

impl Plant for HeldApart {
    fn card(&self) -> &Card {
        &self.card
    }

    fn apply(&mut self, controls: &[f32]) -> Result<Vec<f32>, Error> {
        self.card.ports.check(drivers::Direction::Control, controls)?;
        self.set(controls)
    }

    fn measure(&mut self, inputs: &Batch) -> Result<Batch, Error> {
        let wanted = self.knobs.values(&self.places.names);
        match &self.set {
            Some((_, values)) if *values == wanted => {}
            Some((controls, _)) => {
                let controls = controls.clone();
                self.set(&controls)?;
            }
            None => {
                let rest = self.card.ports.at_rest(drivers::Direction::Control);
                self.set(&rest)?;
            }
        }
        self.inner.measure(inputs)
    }

    fn make_safe(&mut self) -> Result<(), Error> {
        self.set = None;
        self.inner.make_safe()
    }

    fn spend_from(&mut self, budget: Allowance) {
        self.inner.spend_from(budget);
    }

    fn probe(&mut self, rest: &Batch) -> Result<Probe, Error> {
        self.inner.probe(rest)
    }

    fn shots_at_once(&self) -> usize {
        self.inner.shots_at_once()
    }

    fn show_all(&mut self) {
        self.inner.show_all();
    }

    fn probe_drives(&self) -> bool {
        self.inner.probe_drives()
    }
}

/// A twin without some of its controls, which stand where they stood when it was opened.
#[derive(Debug)]
pub struct HeldTwin {
    inner: Arc<dyn Twin>,
    card: Card,
    places: Places,
    values: Vec<f32>,
}

impl HeldTwin {
    /// Holds the controls at `places` at `values`.
    pub fn new(inner: Arc<dyn Twin>, places: Places, values: Vec<f32>) -> Self {
        let card = places.without(inner.card());
        Self { inner, card, places, values }
    }
}

impl Twin for HeldTwin {
    fn card(&self) -> &Card {
        &self.card
    }

    fn predict(&self, inputs: &Batch, controls: &[f32]) -> Batch {
        self.inner.predict(inputs, &self.places.merged(controls, &self.values))
    }

    fn pull_back(&self, inputs: &Batch, controls: &[f32], cotangents: &Batch) -> Pullback {
        let back = self.inner.pull_back(inputs, &self.places.merged(controls, &self.values), cotangents);
        Pullback { controls: self.places.rest(&back.controls), ..back }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Mutex, PoisonError};

    use drivers::{Bank, Identity, Origin, Ports, Range, Timing};

    use super::*;

    /// Writes down what its controls are set to.
    struct Noting(Card, Arc<Mutex<Vec<Vec<f32>>>>);

    impl Plant for Noting {
        fn card(&self) -> &Card {
            &self.0
        }

        fn apply(&mut self, controls: &[f32]) -> Result<Vec<f32>, Error> {
            self.1.lock().unwrap_or_else(PoisonError::into_inner).push(controls.to_vec());
            Ok(controls.to_vec())
        }

        fn measure(&mut self, inputs: &Batch) -> Result<Batch, Error> {
            Ok(inputs.clone())
        }

        fn make_safe(&mut self) -> Result<(), Error> {
            Ok(())
        }
    }

    #[test]
    fn training_does_not_see_a_knob_and_a_knob_moves_in_steps() {
        let bank = |name: &str, count| Bank::new(name, count, "V", Range::new(-2.0, 2.0));
        let ports = Ports {
            inputs: vec![bank("drive", 1)],
            controls: vec![bank("a", 1), bank("gain", 1), bank("b", 2)],
            outputs: vec![bank("node", 1)],
        };
        let identity = Identity { system: "test".into(), serial: "1".into(), origin: Origin::Simulated };
        let card = Card { identity, ports, timing: Timing::default() };
        let noted = Arc::new(Mutex::new(Vec::new()));
        let knobs = Knobs::default();
        let mut places = Places::default();
        places.add("gain", 1, Some(0.26));
        knobs.turn(&["gain".to_owned()], &[0.5]);
        let mut held = HeldApart::new(Box::new(Noting(card, noted.clone())), places, knobs.clone());
        assert_eq!(held.card().ports.control_count(), 3);
        assert_eq!(held.apply(&[1.0, 2.0, -1.0]).unwrap(), [1.0, 2.0, -1.0]);
        let all = std::mem::take(&mut *noted.lock().unwrap());
        assert_eq!(all, [[0.0, 0.0, 0.0, 0.0], [0.0, 0.25, 0.0, 0.0], [1.0, 0.5, 2.0, -1.0]], "from rest in steps");
        knobs.turn(&["gain".to_owned()], &[-0.25]);
        held.measure(&Batch::zeros(1, 1)).unwrap();
        let taken = || std::mem::take(&mut *noted.lock().unwrap());
        let steps: Vec<f32> = taken().iter().map(|controls| controls[1]).collect();
        assert_eq!(steps, [0.25, 0.0, -0.25]);
        held.measure(&Batch::zeros(1, 1)).unwrap();
        assert!(taken().is_empty(), "where nothing has turned nothing is set");
        held.make_safe().unwrap();
        held.measure(&Batch::zeros(1, 1)).unwrap();
        let last = [[0.0; 4], [0.0, -0.25, 0.0, 0.0]];
        assert_eq!(taken(), last, "after the safe state the knob is where it stood");
        assert!(held.apply(&[1.0]).is_err());
    }
}
