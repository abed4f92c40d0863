//! The bench as our drivers see it.

use super::*;
use std::time::Duration;

use drivers::{
    Batch, DoseLimits, Error, Limited, Limits, LinkOptions, Origin, Plant, ShaperConfig, SpectralBench,
    SpectralBenchConfig, SpectrometerConfig,
};
use sims::{Built, Optical, OpticalImperfections};

use crate::Fault;

fn system() -> Built {
    let imperfections = OpticalImperfections {
        shaper_steps: 684,
        full_scale_counts: 0.0,
        pixel_noise: 0.0,
        power_noise: 0.0,
        tilt_noise: 0.0,
        power_per_hour: 0.0,
        phase_radians_per_hour: 0.0,
        registration_pixels_per_hour: 0.0,
        ..Optical::default().imperfections
    };
    Optical { imperfections, ..Optical::default() }.build().unwrap()
}

fn open(bench: &OpticalBench) -> SpectralBench {
    let config = SpectralBenchConfig {
        wiring: "laser, shaper, crystal, spectrometer".into(),
        inputs: 50,
        controls: 50,
        outputs: 50,
        deadline_seconds: 0.5,
        shaper: ShaperConfig { address: bench.shaper_address().into(), settle_seconds: 0.002 },
        spectrometer: SpectrometerConfig {
            address: bench.spectrometer_address().into(),
            integration_seconds: 0.001,
            full_scale_codes: FULL_SCALE,
            discard: 1,
            md5: true,
            pixels: None,
        },
    };
    // A busy machine may take its time before anything is measured.
    let patient = Duration::from_secs(20);
    let options = |name: &str, address: &str| LinkOptions {
        open_within: patient,
        ..LinkOptions::new(name, address.parse().unwrap())
    };
    let (shaper, spectrometer) =
        (options("shaper", &config.shaper.address), options("spectrometer", &config.spectrometer.address));
    SpectralBench::open(&config, "optical", &shaper, &spectrometer).unwrap()
}

fn inputs(shots: usize) -> Batch {
    Batch::from_fn(shots, 50, |row, column| ((row * 7 + column * 3) % 11) as f32 / 10.0)
}

/// What the physics says to the transmissions that the mirrors can make, within a code of the converter.
fn assert_reads_the_physics(plant: &mut SpectralBench, shots: usize) {
    let system = system().system;
    let mask: Vec<f32> = (0..50).map(|index| index as f32 / 49.0).collect();
    let applied = plant.apply(&mask).unwrap();
    let inputs = inputs(shots);
    let outputs = plant.measure(&inputs).unwrap();
    let round = |value: f32| (value * 684.0).round() / 684.0;
    let rounded = Batch::from_fn(shots, 50, |row, column| round(inputs.row(row)[column]));
    let expected = system.shoot(&rounded, &applied, Moment::default());
    for (read, wanted) in outputs.values().iter().zip(expected.values()) {
        assert!((read - wanted).abs() < 2e-5, "{read} for {wanted}");
    }
}

#[test]
fn every_shot_waits_until_the_mirrors_have_settled() {
    let bench = OpticalBench::serve(system().system, None, None, &Faults::new(0)).unwrap();
    let mut plant = open(&bench);
    assert!((plant.card().timing.shot - (0.002 + 2.0 * 0.001)).abs() < 1e-12);
    plant.apply(&[0.5; 50]).unwrap();
    let start = std::time::Instant::now();
    plant.measure(&inputs(5)).unwrap();
    assert!(start.elapsed() >= Duration::from_millis(10));
}

#[test]
fn what_the_shaper_writes_the_spectrometer_sees() {
    let bench = OpticalBench::serve(system().system, None, None, &Faults::new(0)).unwrap();
    let mut plant = open(&bench);
    assert!(bench.is_dark(), "connecting switches nothing on");
    let patience = plant.watches()[1].report().patience;
    assert_eq!(patience, Duration::from_secs(20) / 8 + Duration::from_millis(1), "it integrates for 1 ms");
    assert_eq!(plant.card().identity.origin, Origin::Simulated);
    assert_reads_the_physics(&mut plant, 4);
    assert!(!bench.is_dark());
    plant.make_safe().unwrap();
    assert!(bench.is_dark());
}

#[test]
fn no_fault_gives_a_shot_the_reading_of_another() {
    let faults = Faults::new(3);
    let kinds = [
        Fault::StaleFrame,
        Fault::NoReply,
        Fault::LateReply,
        Fault::SplitReply,
        Fault::JoinedReplies,
        Fault::BufferSizedBlock,
        Fault::WrongBlockLength,
        Fault::MissingTerminator,
        Fault::WrongTerminator,
        Fault::PowerCycle,
        Fault::Unplug,
        Fault::HalfOpen,
        Fault::SecondClient,
    ];
    let folder = tempfile::tempdir().unwrap();
    let line = SerialLine { link: folder.path().join("tty"), baud: None };
    let bench = OpticalBench::serve(system().system, Some(&line), None, &faults).unwrap();
    let mut plant = open(&bench);
    for fault in kinds {
        // Each of these costs a deadline.
        let is_cheap = matches!(
            fault,
            Fault::StaleFrame
                | Fault::SplitReply
                | Fault::JoinedReplies
                | Fault::BufferSizedBlock
                | Fault::WrongTerminator
                | Fault::Unplug
        );
        faults.set(fault, if is_cheap { 0.03 } else { 0.005 });
    }
    assert_reads_the_physics(&mut plant, 30);
    assert!(1 < faults.counts().len(), "{:?}", faults.counts());
}

/// The bench with room for so many shots in a minute.
fn limited(bench: &OpticalBench, shots: f64) -> Limited<SpectralBench> {
    let plant = open(bench);
    let duty = Some((shots * plant.card().timing.shot / 60.0) as f32);
    let dose = DoseLimits { duty, ..DoseLimits::default() };
    Limited::new(plant, &Limits { dose, ..Limits::default() }).unwrap()
}

#[test]
fn a_mask_is_shown_step_by_step_on_its_way_from_the_safe_state_and_after_the_shaper_was_lost() {
    let bench = OpticalBench::serve(system().system, None, None, &Faults::new(0)).unwrap();
    let slew = std::collections::BTreeMap::from([("mask".to_owned(), 0.25)]);
    let dose = DoseLimits { slew, ..DoseLimits::default() };
    let mut plant = Limited::new(open(&bench), &Limits { dose, ..Limits::default() }).unwrap();
    let shaper = plant.plant().watches()[0].clone();
    let shown = || -> Vec<f32> {
        std::mem::take(&mut locked(&bench.world).masks).iter().map(|mask| (100.0 * mask[0]).round()).collect()
    };
    plant.make_safe().unwrap();
    plant.apply(&[0.75; 50]).unwrap();
    plant.measure(&inputs(2)).unwrap();
    assert_eq!(shown(), [0.0, 25.0, 50.0, 75.0, 75.0], "the last step goes out with the first shot");
    shaper.disturb(drivers::Disturbance::ClosePort);
    plant.measure(&inputs(1)).unwrap();
    assert_eq!(shown(), [0.0, 25.0, 50.0, 75.0], "it may have kept its mask: only the step to the safe state is free");
    assert_eq!(shaper.report().reconnects, 1);
    plant.apply(&[1.0; 50]).unwrap();
    plant.measure(&inputs(1)).unwrap();
    assert_eq!(shown(), [100.0], "where nothing is on its way, a setting is no image of its own");
}

#[test]
fn an_interlock_looks_after_each_shot() {
    let bench = OpticalBench::serve(system().system, None, None, &Faults::new(0)).unwrap();
    let interlock = drivers::Interlock {
        name: "light".into(),
        watched: drivers::Watched::Bank("spectrum".into()),
        range: drivers::Range::new(-1.0, -0.5),
        recovery: None,
    };
    let mut plant = drivers::Interlocked::new(open(&bench), vec![interlock]).unwrap();
    plant.measure(&inputs(20)).unwrap_err();
    assert_eq!(locked(&bench.world).masks.len(), 2, "one shot, and the dark mask");
    assert!(bench.is_dark());
}

#[test]
fn an_old_frame_is_counted_before_it_is_taken_again() {
    let faults = Faults::new(0);
    let bench = OpticalBench::serve(system().system, None, None, &faults).unwrap();
    let taken = || locked(&bench.world).count;
    let mut plant = limited(&bench, 1.5);
    let before = taken();
    faults.once(Fault::StaleFrame);
    let error = plant.measure(&inputs(1)).unwrap_err();
    assert!(matches!(error, Error::Overdriven { .. }), "{error}");
    assert_eq!(taken(), before, "no light is measured and thrown away");
    drop(plant);
    let mut plant = limited(&bench, 2.5);
    faults.once(Fault::StaleFrame);
    plant.measure(&inputs(1)).unwrap();
    assert!(matches!(plant.measure(&inputs(1)), Err(Error::Overdriven { .. })), "the old frame is counted");
}

#[test]
fn a_shot_that_cannot_be_shown_is_not_counted() {
    let bench = OpticalBench::serve(system().system, None, None, &Faults::new(0)).unwrap();
    let mut plant = limited(&bench, 1.5);
    let OpticalBench { shaper, spectrometer: _still_there, .. } = bench;
    drop(shaper);
    let error = plant.measure(&inputs(1)).unwrap_err();
    assert!(matches!(error, Error::Unreachable { .. }), "it is tried several times, and driven once at most: {error}");
}
