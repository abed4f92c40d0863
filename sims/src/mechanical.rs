//! A titanium plate on a voice coil, heard by a microphone: what is played comes back convolved with its ringing.
//!
//! ```text
//! q̈ₖ + 2 ζₖ ωₖ q̇ₖ + ωₖ² qₖ (1 + ε qₖ²) + Σ κ q_b q_c q_d = φₖ(coil) · sat(speaker(u)) / mₖ
//! y(t) = Σ cₖ q̈ₖ(t − τ)                           with the force's own share: q̈ is not only what rings
//! ```
//!
//! Inputs: `drive`, `[samples]` V, one value per sample at 48 kS/s. Outputs: `microphone`, `[samples]` V, the same
//! samples; binning is left to a digital layer. No controls: what is trained is the drive. Every shot starts from rest.
//!
//! The twin knows the handbook's linear plate: the frequencies of a free square plate, nominal damping, the
//! speaker's band-pass. The plant adds tolerances, soft clipping, a hardening (Duffing) term in each mode, a few cubic
//! couplings between modes, a delay that was measured a little wrong, and what changes from shot to shot.
//!
//! After the oscillating plate of L. G. Wright et al., "Deep physical neural networks trained with backpropagation",
//! Nature 601, 549 (2022). Where a default has no source it says that it is our choice.

mod adjust;
mod bench;
mod check;
mod config;
mod discrete;
mod kernel;
mod model;
mod physics;
#[cfg(test)]
mod physics_tests;
mod plate;
mod step;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use drivers::{Bank, Card, Identity, Origin, Ports, Range, Timing};

use self::bench::Bench;
pub use self::config::{Gap, Imperfections, Mechanical, Microphone, Plate, Speaker};
use self::model::Modal;
use self::physics::Physics;
use crate::{Built, Error};

/// The name in cards and errors.
const SYSTEM: &str = "mechanical";
/// The drive's full scale, in V: what a line output gives.
const DRIVE_VOLTS: f32 = 1.0;
/// Most modes that a plate may have: higher ones of the Ritz series are not accurate.
const MOST_MODES: usize = 40;

impl Mechanical {
    /// Builds the plant, its twin and its ideal, or says which coefficient makes no sense.
    pub fn build(&self) -> Result<Built, Error> {
        self.check()?;
        let card = self.card();
        let nominal = Physics::nominal(self);
        nominal.check()?;
        let twin = Modal::new(card.clone(), nominal.discretize(), true);
        let ideal = Modal::new(card.clone(), Physics::actual(self).discretize(), false);
        Ok(Built { system: Arc::new(Bench::new(self, card)), twin: Arc::new(twin), ideal: Arc::new(ideal) })
    }

    /// Who it is, its ports, and how long things take.
    fn card(&self) -> Card {
        let full_scale = self.microphone.full_scale_volts as f32;
        let record = self.samples as f64 / self.sample_hertz;
        Card {
            identity: Identity {
                system: SYSTEM.to_owned(),
                serial: format!("simulated-{}", self.plant_seed),
                origin: Origin::Simulated,
            },
            ports: Ports {
                inputs: vec![Bank::new("drive", self.samples, "V", Range::new(-DRIVE_VOLTS, DRIVE_VOLTS))],
                controls: Vec::new(),
                outputs: vec![Bank::new("microphone", self.samples, "V", Range::new(-full_scale, full_scale))],
            },
            timing: Timing {
                // There is no control that would have to settle.
                settle: 0.0,
                latency: self.latency_seconds,
                shot: self.shot_seconds.unwrap_or(record + self.settle_seconds),
            },
        }
    }
}
