//! The plant: a physical system that computes, seen from outside.

use crate::{Allowance, Batch, Card, Error, Ports};

/// What a probe has found.
#[derive(Debug, Clone, PartialEq)]
pub enum Probe {
    /// A reading is out of its bounds: nothing may be driven.
    Out(Error),
    /// All are within their bounds. So many more probes in a row must find them back before the plant is driven again by itself;
    /// whoever drives it sooner decides that.
    Within(u32),
}

/// A physical system that computes: set its controls, drive its inputs, read its outputs.
///
/// All values are in the SI units named by its [`Ports`]. A plant is passed as `&mut`, never stored in a layer: the
/// bench has one user at a time.
///
/// ```
/// use drivers::{Bank, Batch, Card, Error, Identity, Origin, Plant, Ports, Range, Timing};
///
/// /// A voltage divider.
/// struct Divider(Card);
///
/// impl Plant for Divider {
///     fn card(&self) -> &Card {
///         &self.0
///     }
///     fn apply(&mut self, controls: &[f32]) -> Result<Vec<f32>, Error> {
///         Ok(controls.to_vec()) // it has none
///     }
///     fn measure(&mut self, inputs: &Batch) -> Result<Batch, Error> {
///         Ok(Batch::from_fn(inputs.rows(), 1, |row, _| 0.5 * inputs.row(row)[0]))
///     }
///     fn make_safe(&mut self) -> Result<(), Error> {
///         Ok(())
///     }
/// }
///
/// let bank = |name: &str| vec![Bank::new(name, 1, "V", Range::new(-1.0, 1.0))];
/// let mut divider = Divider(Card {
///     identity: Identity { system: "divider".into(), serial: "1".into(), origin: Origin::Simulated },
///     ports: Ports { inputs: bank("drive"), controls: vec![], outputs: bank("tap") },
///     timing: Timing::default(),
/// });
/// assert_eq!(divider.measure(&Batch::new(1, vec![0.8, -0.2])?)?.values(), [0.4, -0.1]);
/// # Ok::<(), Error>(())
/// ```
pub trait Plant: Send {
    /// Who it is, its ports, and how long things take.
    fn card(&self) -> &Card;

    /// Sets the controls, waits until they have settled, and returns the values really applied (a DAC rounds).
    fn apply(&mut self, controls: &[f32]) -> Result<Vec<f32>, Error>;

    /// Drives one shot per row, `[shots, inputs]`, and returns the readings, `[shots, outputs]`.
    fn measure(&mut self, inputs: &Batch) -> Result<Batch, Error>;

    /// Brings the plant to its safe state, its controls to [`Ports::at_rest`]. Runs on every way out: end, error, panic, signal.
    fn make_safe(&mut self) -> Result<(), Error>;

    /// From now on counts in `allowance` what it drives beyond what it is asked for, such as a shot whose answer was lost, before it
    /// drives it.
    fn spend_from(&mut self, _budget: Allowance) {}

    /// Looks whether the readings that have tripped an interlock are back: drives `rest`, which is allowed by its limits, with the
    /// controls where the safe state has left them, and makes the plant safe again. Where no interlock waits for its readings,
    /// nothing is driven.
    fn probe(&mut self, _rest: &Batch) -> Result<Probe, Error> {
        Ok(Probe::Within(0))
    }

    /// So many shots, at least 1, are driven before anybody can look at a reading of theirs: a burst, a window, one shot. Interlocks look
    /// after each.
    fn shots_at_once(&self) -> usize {
        usize::MAX
    }

    /// From now on readings that are no numbers are given back, and not measured again: an interlock looks at them.
    fn show_all(&mut self) {}

    /// Whether [`Self::probe`] would drive something now.
    fn probe_drives(&self) -> bool {
        false
    }

    /// What goes in and comes out.
    fn ports(&self) -> &Ports {
        &self.card().ports
    }
}

impl<P: Plant + ?Sized> Plant for Box<P> {
    fn card(&self) -> &Card {
        (**self).card()
    }

    fn apply(&mut self, controls: &[f32]) -> Result<Vec<f32>, Error> {
        (**self).apply(controls)
    }

    fn measure(&mut self, inputs: &Batch) -> Result<Batch, Error> {
        (**self).measure(inputs)
    }

    fn make_safe(&mut self) -> Result<(), Error> {
        (**self).make_safe()
    }

    fn spend_from(&mut self, allowance: Allowance) {
        (**self).spend_from(allowance);
    }

    fn probe(&mut self, rest: &Batch) -> Result<Probe, Error> {
        (**self).probe(rest)
    }

    fn shots_at_once(&self) -> usize {
        (**self).shots_at_once()
    }

    fn show_all(&mut self) {
        (**self).show_all();
    }

    fn probe_drives(&self) -> bool {
        (**self).probe_drives()
    }
}
