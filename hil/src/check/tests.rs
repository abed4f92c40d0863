//! The checks on good plants, and on plants that are wrong in one way each.

use std::sync::atomic::{AtomicU32, Ordering};

use drivers::{Batch, Card, Error, Limited, Limits, Plant};
use sims::{Electrical, Equations, Mechanical, Mesh, Optical, Oscillators, Simulated};

use super::{Check, CheckOutcome, Subject, check};

fn run(plant: impl Plant) -> Vec<Check> {
    let mut plant = Limited::new(plant, &Limits::default()).unwrap();
    check(&mut Subject { plant: &mut plant, links: vec![], watchdog: false, reads_controls: true, stopped: || false })
}

fn why<'a>(checks: &'a [Check], name: &str) -> &'a str {
    &checks.iter().find(|check| check.name == name).unwrap().why
}

fn outcome(checks: &[Check], name: &str) -> CheckOutcome {
    checks.iter().find(|check| check.name == name).unwrap().outcome
}

fn electrical() -> Simulated {
    Simulated::new(Electrical { samples: 32, ..Electrical::default() }.build().unwrap().system)
}

/// One output a shot, whose readings are a few dozen codes: two shots may read the same one.
fn diode(plant_seed: u64) -> Simulated {
    let text = include_str!("../../rigs/systems/diode.toml").replace("noise = 2e-3", "noise = 5e-5");
    Simulated::new(Equations { plant_seed, ..Equations::from_text("diode.toml", &text) }.build().unwrap().system)
}

#[test]
fn every_simulated_system_passes_what_runs() {
    let systems = [
        Electrical::default().build().unwrap().system,
        Mechanical::default().build().unwrap().system,
        Optical::default().build().unwrap().system,
        Oscillators::default().build().unwrap().system,
        Mesh::default().build().unwrap().system,
    ];
    for system in systems {
        let name = system.card().identity.system.clone();
        let checks = run(Simulated::new(system));
        let failed: Vec<&Check> = checks.iter().filter(|check| check.outcome == CheckOutcome::Failed).collect();
        assert!(failed.is_empty(), "{name}: {failed:?}");
        assert_eq!(outcome(&checks, "order of shots"), CheckOutcome::Passed, "{name}");
        assert_eq!(outcome(&checks, "reconnect"), CheckOutcome::NotRun, "{name}");
    }
}

#[test]
fn shots_of_one_output_that_read_the_same_by_chance_are_neither_stuck_nor_mistaken() {
    for seed in 0..8 {
        let checks = run(diode(seed));
        for name in ["repeatability", "order of shots"] {
            assert_eq!(outcome(&checks, name), CheckOutcome::Passed, "{seed}: {}", why(&checks, name));
        }
    }
}

#[test]
fn one_output_suffices_to_find_what_is_stuck_or_in_another_place() {
    let wrong = |spoil: fn(&mut Batch)| run(Wrong { plant: diode(0), spoil, unsafe_forever: false });
    let shifted = wrong(|readings| readings.values_mut().rotate_right(1));
    assert_eq!(outcome(&shifted, "order of shots"), CheckOutcome::Failed, "{shifted:?}");
    // Half of the answers are the frame before.
    let old = wrong(|readings| readings.values_mut().chunks_exact_mut(2).for_each(|pair| pair[1] = pair[0]));
    assert!(why(&old, "order of shots").contains("reads bit for bit what shot"), "{old:?}");
    let stuck = wrong(|readings| readings.values_mut().fill(0.01));
    for name in ["repeatability", "order of shots"] {
        assert!(why(&stuck, name).contains("all shots read the same"), "{stuck:?}");
    }
}

/// A plant that is wrong in one way.
struct Wrong {
    plant: Simulated,
    spoil: fn(&mut Batch),
    unsafe_forever: bool,
}

impl Plant for Wrong {
    fn card(&self) -> &Card {
        self.plant.card()
    }
    fn apply(&mut self, controls: &[f32]) -> Result<Vec<f32>, Error> {
        self.plant.apply(controls)
    }
    fn measure(&mut self, inputs: &Batch) -> Result<Batch, Error> {
        let mut readings = self.plant.measure(inputs)?;
        (self.spoil)(&mut readings);
        Ok(readings)
    }
    fn make_safe(&mut self) -> Result<(), Error> {
        if self.unsafe_forever {
            return Err(Error::Lost { instrument: "wrong".into(), message: "gone".into() });
        }
        self.plant.make_safe()
    }
}

#[test]
fn each_check_fails_on_a_plant_that_is_wrong_in_its_way() {
    let wrong = |spoil: fn(&mut Batch)| run(Wrong { plant: electrical(), spoil, unsafe_forever: false });
    let shifted = wrong(|readings| {
        let columns = readings.columns();
        readings.values_mut().rotate_right(columns);
    });
    assert_eq!(outcome(&shifted, "order of shots"), CheckOutcome::Failed);
    assert_eq!(outcome(&shifted, "repeatability"), CheckOutcome::Passed);
    let stuck = wrong(|readings| readings.values_mut().fill(0.5));
    assert_eq!(outcome(&stuck, "repeatability"), CheckOutcome::Failed);
    let broken = wrong(|readings| readings.values_mut()[0] = f32::NAN);
    assert!(why(&broken, "repeatability").contains("shot 0 is not a number"));
    assert!(why(&shifted, "order of shots").contains("an answer is in the wrong place"));
    let saturated = wrong(|readings| readings.values_mut()[..32].fill(1.0));
    assert!(why(&saturated, "order of shots").contains("shot 0 are at the end of their range: saturated"));
    let old = wrong(|readings| readings.values_mut().copy_within(32..64, 0));
    assert!(why(&old, "order of shots").contains("shot 1 reads bit for bit what shot 0 read"));
    // Everything is higher from the second batch on that is measured at all.
    let drifted = wrong(|readings| {
        static BATCHES: AtomicU32 = AtomicU32::new(0);
        // The checks of limits drive nothing.
        if 0 < BATCHES.fetch_add(1, Ordering::Relaxed) {
            readings.values_mut().iter_mut().for_each(|value| *value += 0.5);
        }
    });
    assert!(why(&drifted, "repeatability").contains("have shifted by 0.500 V"), "{}", why(&drifted, "repeatability"));
    let on = run(Wrong { plant: electrical(), spoil: |_| {}, unsafe_forever: true });
    assert_eq!(outcome(&on, "safe state"), CheckOutcome::Failed);

    // Without limits around it, nothing refuses.
    let mut bare = electrical();
    let checks = check(&mut Subject {
        plant: &mut bare,
        links: vec![],
        watchdog: false,
        reads_controls: true,
        stopped: || false,
    });
    assert_eq!(outcome(&checks, "limits refuse"), CheckOutcome::Failed);
}

#[test]
fn controls_that_no_instrument_can_say_are_not_called_read_back() {
    let biased = Electrical { samples: 32, bias_volts: 0.5, ..Electrical::default() }.build().unwrap();
    let mut plant = Limited::new(Simulated::new(biased.system), &Limits::default()).unwrap();
    let mut check = |reads_controls| {
        let subject =
            &mut Subject { plant: &mut plant, links: vec![], watchdog: false, reads_controls, stopped: || false };
        outcome(&super::check(subject), "readback of controls")
    };
    assert_eq!([check(true), check(false)], [CheckOutcome::Passed, CheckOutcome::NotRun]);
}
