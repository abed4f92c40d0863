//! The mesh of interferometers through the program: listed, checked, calibrated, trained through.

use crate::program::Place;

const RIG: &str = "name = \"chip\"\n[plants.mesh.simulated]\nsystem = \"mesh\"\nmodes = 6\ncoupler_error = 0.15\nphase_error = 0.15\n";

#[test]
fn a_mesh_is_listed_and_passes_its_checks() {
    let place = Place::new();
    let facts = place.json(&["systems", "--json"]);
    let mesh = facts["systems"].as_array().unwrap().iter().find(|system| system["system"] == "mesh").unwrap();
    assert_eq!(mesh["ports"]["controls"][0]["name"], "theta");
    assert_eq!(mesh["ports"]["controls"][1]["count"], 120, "{mesh}");
    assert_eq!(mesh["plants"][0], "mesh");
    place.write("chip.toml", RIG);
    let output = place.run(&["check", "chip.toml"]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let facts = place.json(&["response", "mesh", "--rig", "chip.toml", "--repeats", "10", "--json"]);
    assert_eq!(facts["plant"], "mesh");
}

#[test]
fn a_calibration_finds_the_errors_of_a_chip() {
    let place = Place::new();
    place.write("chip.toml", RIG);
    let count = ["--stimuli", "600", "--per-setting", "10", "--candidates", "0"];
    let calibrate = [&["calibrate", "chip.toml", "mesh"][..], &count, &["--json"]].concat();
    let facts = place.json(&calibrate);
    let left = |key: &str| facts[key]["rmse_of_output_std"].as_f64();
    let (nominal, fitted) = (left("nominal_residual"), left("residual"));
    assert!(fitted.unwrap() < 0.3 * nominal.unwrap(), "{facts}");
}

#[test]
fn errors_of_a_chip_come_from_a_folder() {
    let place = Place::new();
    place.write("chip.toml", &format!("{RIG}errors = \"nowhere\"\n"));
    let (code, text) = place.refusal(&["response", "mesh", "--rig", "chip.toml"]);
    assert_eq!(code, 3);
    assert!(text.contains("`plants.mesh.simulated.errors`") && text.contains("nowhere/enn.npy"), "{text}");
}

#[test]
fn the_published_network_is_an_experiment() {
    let place = Place::new();
    let (code, text) = place.refusal(&["train", "mnist-mesh"]);
    assert_eq!(code, 4, "its images are asked for: {text}");
    assert!(text.contains("pnnlab data fetch mnist"), "{text}");
}
