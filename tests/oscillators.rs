//! The reference implementation's oscillators, through the program: shortened, on images that are made here.

use std::path::Path;

use crate::program::Place;

/// Writes the four files of `count` images of 28×28 pixels, each a bright stripe whose place is its class.
fn write_images(folder: &Path, count: usize) {
    std::fs::create_dir_all(folder).unwrap();
    let number = |value: usize| u32::try_from(value).unwrap().to_be_bytes();
    for split in ["train", "t10k"] {
        let mut images = [&[0, 0, 8, 3][..], &number(count), &number(28), &number(28)].concat();
        let mut labels = [&[0, 0, 8, 1][..], &number(count)].concat();
        for image in 0..count {
            let class = image % 10;
            labels.push(class as u8);
            let stripe = |line: usize, column: usize| u8::from(line / 3 == class && column % 28 < 20 + image % 5) * 250;
            images.extend((0..28 * 28).map(|pixel| stripe(pixel / 28, pixel % 28)));
        }
        std::fs::write(folder.join(format!("{split}-images-idx3-ubyte")), images).unwrap();
        std::fs::write(folder.join(format!("{split}-labels-idx1-ubyte")), labels).unwrap();
    }
}

/// A few steps of a built-in experiment.
const SHORT: &[&str] = &[
    "--data",
    "mnist",
    "--quick",
    "--json",
    "--set",
    "training.epochs=2",
    "--set",
    "training.evaluate_every=0",
    "--set",
    "data.test=40",
];

fn train(place: &Place, experiment: &str, method: &str) -> String {
    let arguments = ["train", experiment, "--method", method, "--name", method];
    place.json(&[&arguments, SHORT].concat());
    place.read(&format!("runs/{method}/metrics.csv"))
}

#[test]
fn without_a_gap_all_methods_are_one() {
    let place = Place::new();
    write_images(&place.path("mnist"), 160);
    // Loss, accuracy and range use of each step, without the plant's meters, which in-silico training does not turn.
    let learned = |metrics: String| {
        let row = |line: &str| line.split(',').take(11).map(str::to_owned).collect::<Vec<_>>();
        metrics.lines().filter(|line| line.starts_with("step")).map(row).collect::<Vec<_>>()
    };
    let [aware, in_silico, ideal] =
        ["physics-aware", "in-silico", "ideal"].map(|method| learned(train(&place, "mnist-oscillators", method)));
    assert_eq!(aware.len(), 10, "two epochs of five batches");
    assert!(aware == ideal && aware == in_silico);
    let loss = |row: &[String]| row[4].parse::<f64>().unwrap();
    assert!(loss(&aware[9]) < loss(&aware[0]), "{} after {}", aware[9][4], aware[0][4]);
}

#[test]
fn with_the_gap_the_twin_is_wrong_and_each_shot_starts_elsewhere() {
    let place = Place::new();
    write_images(&place.path("mnist"), 160);
    let methods = ["--methods", "physics-aware,in-silico", "--seeds", "1"];
    let result = place.json(&[&["compare", "mnist-oscillators-gap"][..], &methods, SHORT].concat());
    assert_eq!(result["simulated"], true);
    // Two lattices; the worse twin counts, 0 without a gap. White stimuli of ±10π rad are far from what training uses.
    assert!(result["twin_error"].as_f64().unwrap() > 0.01, "{}", result["twin_error"]);
    let aware = train(&place, "mnist-oscillators-gap", "physics-aware");
    assert_ne!(aware, train(&place, "mnist-oscillators-gap", "ideal"), "the ideal twin knows the plant's physics");
}
