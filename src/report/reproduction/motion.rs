//! `motion`: sequences through a frozen generator: a toy whose numbers were published with its method's prototype, and digits that turn,
//! shown by a plant.

mod features;
mod frechet;
mod rendered;
mod toy;

use super::program::{Asked, Check, Measured, Program};
use crate::Error;
use crate::training::Method;
use rendered::{Classifier, Turning, generator};
use toy::{Moved, Toy, Way};

/// The program.
pub const PROGRAM: Program = Program { name: "motion", checks: || judge(&|_| None), run };

/// Seeds of the toy and of what moves the plant's generator; no setting was chosen by them.
const SEEDS: [u64; 3] = [1, 2, 3];
/// Sequences of the toy, and updates.
const SEQUENCES: usize = 2000;
const UPDATES: usize = 1000;
/// The ways in which the toy is moved.
const WAYS: [(&str, Way); 5] = [
    ("principal components, noise told", Way { principal: true, told: true, critics: false }),
    ("principal components", Way { principal: true, told: false, critics: false }),
    ("free latents, noise told", Way { principal: false, told: true, critics: false }),
    ("free latents", Way { principal: false, told: false, critics: false }),
    ("critics", Way { principal: true, told: true, critics: true }),
];

/// What is asked of numbers that `of` knows by name.
fn judge(of: &dyn Fn(&str) -> Option<f64>) -> Vec<Check> {
    let over = |one: Option<f64>, other: Option<f64>| one.zip(other).map(|(one, other)| one / other);
    let toy = |what: &str| of(&format!("toy, {what}"));
    let own = toy("principal components, noise told: Fréchet distance");
    let free = toy("free latents, noise told: Fréchet distance");
    let walk = over(own, toy("random walk: Fréchet distance"));
    let still = over(own, toy("still: Fréchet distance"));
    let critics = toy("critics: Fréchet distance");
    let shown = |what: &str| of(&format!("digits, {what}"));
    let turned = shown("physics-aware: Fréchet distance");
    let silico = shown("in-silico deployed: Fréchet distance");
    let step = toy("principal components, noise told: largest step");
    // The bound is exact in what is computed; σ is single precision.
    let bound = 0.2 * (1.0 + 1e-6);
    vec![
        Check::at_most("toy: Fréchet distance of the motion ≤ 3.0", 3.0, own, "1"),
        Check::at_most("toy: ≤ 0.75 × that of a random walk", 0.75, walk, "1"),
        Check::at_most("toy: ≤ 0.1 × that of still sequences", 0.1, still, "1"),
        Check::at_most("toy: principal components ≤ free latents", 1.0, over(own, free), "1"),
        Check::at_most("toy: window objective ≤ critics", 1.0, over(own, critics), "1"),
        Check::at_least(
            "toy: cosine between noise and what is told of it ≥ 0.7",
            0.7,
            toy("principal components, noise told: cosine of the noise"),
            "1",
        ),
        Check::at_least(
            "toy: diversity of motion for one content ≥ 0.4",
            0.4,
            toy("principal components, noise told: diversity"),
            "1",
        ),
        Check::at_most("toy: no component steps by more than 0.2 σ", bound, step, "σ"),
        Check::at_most(
            "digits: Fréchet distance ≤ 0.1 × that of still sequences",
            0.1,
            over(turned, shown("physics-aware, still: Fréchet distance")),
            "1",
        ),
        Check::at_most(
            "digits: ≤ 0.75 × that of a random walk",
            0.75,
            over(turned, shown("random walk: Fréchet distance")),
            "1",
        ),
        Check::at_most(
            "digits: window objective ≤ critics",
            1.0,
            over(turned, shown("physics-aware, critics: Fréchet distance")),
            "1",
        ),
        Check::at_least(
            "digits: class of the first frame kept in ≥ 90 % of the frames",
            0.9,
            shown("physics-aware: class kept"),
            "points",
        ),
        Check::at_most(
            "digits: no component steps by more than 0.2 σ",
            bound,
            shown("physics-aware: largest step"),
            "σ",
        ),
        Check::at_least("digits: in silico deployed ≥ as far as physics-aware", 1.0, over(silico, turned), "1"),
    ]
}

fn run(asked: &Asked<'_>) -> Result<Measured, Error> {
    let mut measured =
        Measured { on: "a digital generator, and the SIMULATED plant electrical".to_owned(), ..Measured::default() };
    toys(asked.quick, &mut measured)?;
    digits(asked.quick, &mut measured)?;
    let known = measured.measurements.clone();
    measured.checks = judge(&|name| known.iter().find(|one| one.name == name).map(|one| one.value));
    Ok(measured)
}

/// The toy, seed after seed.
fn toys(quick: bool, measured: &mut Measured) -> Result<(), Error> {
    let (seeds, count, updates) =
        if quick { (&SEEDS[..1], SEQUENCES / 4, UPDATES / 10) } else { (&SEEDS[..], SEQUENCES, UPDATES) };
    let mut controls: Vec<Vec<(&str, f64)>> = vec![];
    let mut moved: Vec<Vec<Moved>> = vec![vec![]; WAYS.len()];
    for seed in seeds {
        let mut toy = Toy::new(*seed, count)?;
        controls.push(toy.controls()?);
        for ((name, way), moved) in WAYS.iter().zip(&mut moved) {
            tell!("motion: toy, seed {seed}, {name}");
            moved.push(toy.train(*way, updates)?);
        }
    }
    for place in 0..controls[0].len() {
        let values: Vec<f64> = controls.iter().map(|controls| controls[place].1).collect();
        measured.take_mean(format!("toy, {}: Fréchet distance", controls[0][place].0), "1", &values, seeds);
    }
    for ((name, way), moved) in WAYS.iter().zip(&moved) {
        let mut of = |what: &str, unit: &str, of: fn(&Moved) -> f64| {
            let values: Vec<f64> = moved.iter().map(of).collect();
            measured.take_mean(format!("toy, {name}: {what}"), unit, &values, seeds);
        };
        of("Fréchet distance", "1", |moved| moved.distance);
        of("diversity", "1", |moved| moved.diversity);
        of("largest step", "σ", |moved| moved.largest_step);
        if way.told {
            of("cosine of the noise", "1", |moved| moved.told);
        }
    }
    Ok(())
}

/// Digits that turn, shown by the plant.
fn digits(quick: bool, measured: &mut Measured) -> Result<(), Error> {
    let seeds = if quick { &SEEDS[..1] } else { &SEEDS[..] };
    tell!("motion: a classifier that knows nothing of the generator");
    let mut classifier = Classifier::new()?;
    measured.add("digits: accuracy of the classifier", classifier.accuracy, "1", rendered::SEED);
    tell!("motion: a generator with the electrical plant, physics-aware");
    let aware = generator(Method::PhysicsAware, quick)?;
    measured.add("digits, generator, physics-aware: distance", aware.distance, "1", rendered::SEED);
    let turning = Turning::new(&aware.frozen, quick, &[])?;
    measured.add("digits, turned digits: Fréchet distance", turning.real(), "1", rendered::SEED);
    measured.add("digits, turned digits: class kept", turning.kept(&mut classifier)?, "1", rendered::SEED);
    measured.add("digits, random walk: Fréchet distance", turning.walk()?, "1", rendered::SEED);
    let mut shown = vec![];
    for seed in seeds {
        tell!("motion: digits that turn on the plant, physics-aware, seed {seed}");
        shown.push(turning.learn(Method::PhysicsAware, *seed, &mut classifier)?);
    }
    let mut of = |what: &str, unit: &str, of: fn(&rendered::Shown) -> f64| {
        let values: Vec<f64> = shown.iter().map(of).collect();
        measured.take_mean(format!("digits, {what}"), unit, &values, seeds);
    };
    of("physics-aware: Fréchet distance", "1", |shown| shown.distance);
    of("physics-aware, still: Fréchet distance", "1", |shown| shown.still);
    of("physics-aware: class kept", "1", |shown| shown.kept);
    of("physics-aware: cosine of the noise", "1", |shown| shown.told);
    of("physics-aware: largest step", "σ", |shown| shown.largest_step);
    for (name, assignments) in [
        ("critics", &["motion.objective=critics"][..]),
        ("noise not told", &["motion.mutual_information=0.0"][..]),
        ("free latents", &["motion.principal=false", "motion.components=8", "layers.1.width=8"][..]),
    ] {
        tell!("motion: digits that turn on the plant, physics-aware, {name}");
        let other = Turning::new(&aware.frozen, quick, assignments)?;
        let shown = other.learn(Method::PhysicsAware, SEEDS[0], &mut classifier)?;
        let name = format!("digits, physics-aware, {name}");
        measured.add(format!("{name}: Fréchet distance"), shown.distance, "1", SEEDS[0]);
        measured.add(format!("{name}: class kept"), shown.kept, "1", SEEDS[0]);
    }
    tell!("motion: the same in silico, then shown on the plant");
    let silico = generator(Method::InSilico, quick)?;
    measured.add("digits, generator, in-silico deployed: distance", silico.distance, "1", rendered::SEED);
    let turning = Turning::new(&silico.frozen, quick, &[])?;
    let shown = turning.learn(Method::InSilico, SEEDS[0], &mut classifier)?;
    measured.add("digits, in-silico deployed: Fréchet distance", shown.distance, "1", SEEDS[0]);
    measured.add("digits, in-silico deployed: class kept", shown.kept, "1", SEEDS[0]);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_check_names_what_is_measured() {
        assert!(judge(&|_| None).iter().all(|check| check.met.is_none()));
        let all = judge(&|_| Some(0.95));
        assert!(all.iter().all(|check| check.met.is_some()), "{all:?}");
    }

    #[test]
    fn a_toy_s_controls_lie_as_they_should_and_steps_keep_their_bound() {
        let mut toy = Toy::new(1, 200).unwrap();
        let controls = toy.controls().unwrap();
        let of = |name: &str| controls.iter().find(|(known, _)| *known == name).unwrap().1;
        assert!(of("real sequences") < of("random walk") && of("random walk") < of("still"), "{controls:?}");
        for (_, way) in WAYS {
            let moved = toy.train(way, 2).unwrap();
            assert!(0.0 < moved.largest_step && moved.largest_step <= 0.2 + 1e-7, "{moved:?}");
            assert!(moved.distance.is_finite() && moved.told.abs() <= 1.0);
        }
    }
}
