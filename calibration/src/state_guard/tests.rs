//! A guard of a made plant: its rate of false alarms, what it finds, how it follows, and that it is kept bit for bit.

use drivers::{Bank, Range};
use sims::{Key, Stream};

use super::*;

/// Inputs 0 to 1, readings −2 to 2 that follow them.
fn ports() -> Ports {
    Ports {
        inputs: vec![Bank::new("drive", 6, "V", Range::new(0.0, 1.0))],
        controls: vec![Bank::new("bias", 2, "V", Range::new(-1.0, 1.0))],
        outputs: vec![Bank::new("reading", 4, "V", Range::new(-2.0, 2.0))],
    }
}

const RULE: GuardRule = GuardRule { shots: 600, channels: 32, false_alarms: 0.01, follows: false };

/// Shots of a bench whose readings are off by `offset`.
fn shots(stream: &mut Stream, count: usize, offset: f32) -> (Batch, Batch) {
    let inputs = Batch::from_fn(count, 6, |_, _| 0.2 + 0.6 * stream.uniform());
    let outputs = Batch::from_fn(count, 4, |row, column| {
        inputs.row(row)[column] - inputs.row(row)[column + 2] + offset + 0.02 * stream.normal()
    });
    (inputs, outputs)
}

fn fitted(rule: GuardRule, seed: u64) -> (StateGuard, Stream) {
    let mut stream = Key::new(seed).branch("guard").stream();
    let mut guard = StateGuard::new("bench 1", &ports(), rule);
    while !guard.is_fitted() {
        let (inputs, outputs) = shots(&mut stream, 50, 0.0);
        assert_eq!(guard.judge(&[0.1, 0.2], &inputs, &outputs), None);
        guard.learn(&[0.1, 0.2], &inputs, &outputs, &[]).unwrap();
    }
    (guard, stream)
}

fn share(guard: &StateGuard, (inputs, outputs): &(Batch, Batch)) -> f64 {
    let verdict = guard.judge(&[0.1, 0.2], inputs, outputs).unwrap();
    verdict.out.iter().filter(|out| **out).count() as f64 / verdict.out.len() as f64
}

#[test]
fn shots_of_the_same_kind_are_out_as_often_as_stated_and_others_are_told() {
    let mut of_same = 0.0;
    for seed in 0..12 {
        let (guard, mut stream) = fitted(RULE, seed);
        of_same += share(&guard, &shots(&mut stream, 20_000, 0.0)) / 12.0;
        // 0.15 V is a third of the spread of a reading, and seven times its noise: out by the distance, since inputs and readings no longer go together.
        let (inputs, outputs) = shots(&mut stream, 400, 0.15);
        let verdict = guard.judge(&[0.1, 0.2], &inputs, &outputs).unwrap();
        assert!(verdict.out.iter().filter(|out| **out).count() > 300, "{:?}", verdict.reasons);
        assert!(verdict.reasons[3] > 300, "{:?}", verdict.reasons);
    }
    assert!((0.003..0.025).contains(&of_same), "{of_same}, not 0.01");
}

#[test]
fn each_limit_is_named() {
    let (guard, mut stream) = fitted(RULE, 3);
    let (mut inputs, mut outputs) = shots(&mut stream, 5, 0.0);
    inputs.values_mut()[6 + 3] = 7.0;
    outputs.values_mut()[2 * 4] = -1.9;
    outputs.values_mut()[3 * 4 + 1] = f32::NAN;
    let verdict = guard.judge(&[0.1, 0.2], &inputs, &outputs).unwrap();
    assert_eq!(verdict.out[1..4], [true; 3]);
    assert_eq!(verdict.reasons[1..3], [1, 2], "{verdict:?}");
    // A quarter of the range of 2 V is left on either side.
    let moved = guard.judge(&[0.1, 0.75], &inputs, &outputs).unwrap();
    assert_eq!((moved.reasons, moved.out), ([5, 0, 0, 0], vec![true; 5]));
    assert!(!guard.judge(&[0.1, 0.65], &inputs, &outputs).unwrap().out[0]);
}

#[test]
fn one_that_follows_takes_what_is_usual_now() {
    let (mut guard, mut stream) = fitted(GuardRule { follows: true, ..RULE }, 5);
    let moved = shots(&mut stream, 500, 0.3);
    assert!(share(&guard, &moved) > 0.9);
    let before = guard.statistics().unwrap()[0].clone();
    for _ in 0..16 {
        let (inputs, outputs) = shots(&mut stream, 50, 0.3);
        guard.learn(&[0.1, 0.2], &inputs, &outputs, &[]).unwrap();
    }
    assert!(share(&guard, &moved) < 0.05, "{}", share(&guard, &moved));
    assert_ne!(guard.statistics().unwrap()[0], &before);
    let (mut fixed, mut stream) = fitted(RULE, 5);
    let (inputs, outputs) = shots(&mut stream, 900, 0.3);
    assert!(!fixed.learn(&[0.1, 0.2], &inputs, &outputs, &[]).unwrap());
    assert!(share(&fixed, &moved) > 0.9);
}

#[test]
fn what_is_left_out_or_no_number_is_not_learned() {
    let mut stream = Key::new(1).stream();
    let mut guard = StateGuard::new("bench 1", &ports(), RULE);
    let (inputs, mut outputs) = shots(&mut stream, 4, 0.0);
    outputs.values_mut()[0] = f32::INFINITY;
    guard.learn(&[0.0; 2], &inputs, &outputs, &[false, true, false, false]).unwrap();
    assert_eq!(guard.next.each.count(), 2);
    guard.learn(&[0.0; 2], &inputs, &outputs, &[true; 4]).unwrap();
    assert_eq!(guard.next.each.count(), 2);
}

#[test]
fn a_packed_guard_goes_on_bit_for_bit() {
    let rule = GuardRule { follows: true, ..RULE };
    let (mut guard, mut stream) = fitted(rule, 8);
    let check = |guard: &mut StateGuard| {
        let parts = guard.pack();
        let mut other = StateGuard::new("bench 1", &ports(), rule);
        let find = |name: &str| parts.iter().find(|part| part.0 == name).map(|part| (part.1, part.2.clone()));
        other.unpack(find).unwrap();
        assert_eq!(&other, guard);
        assert!(parts.iter().all(|(name, ..)| StateGuard::part_names().any(|known| known == *name)));
        // A part is missing, is of another plant, or holds what is no number.
        assert!(other.unpack(|name| (name != "joint gathered").then(|| find(name))?).is_err());
        let mut narrow = StateGuard::new("bench 1", &ports(), GuardRule { channels: 2, ..rule });
        assert!(narrow.unpack(find).is_err());
        let broken = |name: &str| {
            find(name).map(|(shape, mut values)| {
                (shape, {
                    values[0] = 0.5;
                    values
                })
            })
        };
        assert!(other.unpack(broken).is_err());
    };
    check(&mut guard);
    for _ in 0..10 {
        let (inputs, outputs) = shots(&mut stream, 45, 0.0);
        guard.learn(&[0.1, 0.2], &inputs, &outputs, &[]).unwrap();
    }
    assert!(!guard.next.scores.is_empty());
    check(&mut guard);
}

#[test]
fn wide_plants_enter_by_means_of_neighbors() {
    let ports = Ports {
        inputs: vec![Bank::new("drive", 100, "V", Range::new(0.0, 1.0))],
        controls: vec![],
        outputs: vec![Bank::new("reading", 7, "V", Range::new(0.0, 1.0))],
    };
    assert_eq!(RULE.numbers(&ports), [32, 7]);
    assert_eq!(RULE.fewest_shots(&ports), 150);
    assert_eq!(GuardRule { channels: 64, ..RULE }.fewest_shots(&ports), 142 + 71 + 1);
    // Stretches that are uneven, of one, of 8 = 2³, of 3, of 6 = 2 · 3, and of 4, 12, 16 and 64 values, some of which halve an even number of times.
    for (count, places) in [(9, 4), (5, 5), (32, 4), (12, 4), (24, 4), (16, 4), (48, 4), (64, 4), (256, 4)] {
        let batch = Batch::from_fn(3, count, |row, column| (row * 50 + column * column) as f32);
        let mut rows = vec![-1.0; 3 * (places + 2)];
        Arch::new().dispatch(Pooled { batch: &batch, rows: &mut rows, width: places + 2, places: 1..places + 1 });
        for (row, found) in batch.iter().zip(rows.chunks_exact(places + 2)) {
            let stretch = |place: usize| &row[place * count / places..(place + 1) * count / places];
            let mean = |place: usize| stretch(place).iter().sum::<f32>() / stretch(place).len() as f32;
            for place in 0..places {
                let (found, wanted) = (found[1 + place], mean(place));
                assert!((found - wanted).abs() <= 1e-6 * wanted.abs(), "{count} to {places}: {found} and {wanted}");
            }
            assert_eq!([found[0], found[places + 1]], [-1.0; 2], "others stay");
        }
    }
}
