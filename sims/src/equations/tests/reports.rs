//! What is said of a system, and what other languages get of it.

use super::DIODE;
use crate::{Equations, Language};

/// The network of eight oscillators that are coupled to two neighbours on each side.
const EIGHT: &str = r#"
[indices]
k = 8
j = 8
[inputs]
push = { unit = "1/s^2", range = [-1, 1], shape = ["k"] }
[coefficients]
w = { unit = "1/s", value = "1 + 0.1*k", shape = ["k"] }
K = { unit = "1/s^2", value = 0.1, shape = ["k", "j"], where = "abs(k - j) <= 2 and k != j" }
[states]
q = { unit = "rad/s", shape = ["k"] }
[let]
force = "1e0"
[equations]
"der(q[k])" = "force*(-w[k]^2*sin(1e0*q[k]) + sum(j, K[k,j]*(sin(1e0*q[j]) - sin(1e0*q[k]))*exp(-(1e0*q[k] - 1e0*q[j])^2)) + push[k])"
[outputs]
reading = { unit = "rad/s", value = "q[k]", shape = ["k"], range = [-9, 9] }
[time]
sample_seconds = 0.1
"#;

#[test]
fn a_report_has_equations_pattern_and_time_constants() {
    let report = Equations::from_text("diode.toml", DIODE).report().unwrap();
    assert_eq!((report.states, report.title.as_str()), (2, "A diode in a resonator"));
    assert_eq!(report.pattern, [(0, 0), (0, 1), (1, 0), (1, 1)]);
    assert_eq!(report.equations[0][0], "der(i)");
    assert!(
        report.equations[1][1].contains("exp(") && report.equations[0][2].contains("\\frac"),
        "{:?}",
        report.equations
    );
    let [fast, slow] = report.time_constants.unwrap();
    assert!(0.0 < fast && fast <= 5.1e-6 && fast <= slow, "{fast:e} {slow:e}");
    assert!(report.operations[1] <= report.operations[0]);
    let eight = Equations::from_text("eight.toml", EIGHT).report().unwrap();
    assert_eq!(eight.pattern.len(), 34);
    assert_eq!(eight.picture(8)[0], "###·····");
}

#[test]
fn an_explicit_step_that_is_too_long_is_refused_with_what_would_do() {
    let rk4 = |substeps: usize| {
        let text = DIODE
            .replace("method = \"implicit\"", "method = \"rk4\"")
            .replace("substeps = 4", &format!("substeps = {substeps}"))
            .replace("sample_seconds = 1e-6", "sample_seconds = 1e-5");
        Equations::from_text("diode.toml", &text).build().map(|_| ())
    };
    let refused = rk4(1).unwrap_err().to_string();
    assert!(refused.contains("diode.toml:") && refused.contains("implicit"), "{refused}");
    let enough = refused.split("substeps = ").nth(1).unwrap().split(',').next().unwrap().parse::<usize>().unwrap();
    assert!(1 < enough && rk4(enough).is_ok() && rk4(enough - 1).is_err(), "{refused}");
    assert!(Equations::from_text("diode.toml", DIODE).build().is_ok());
}

#[test]
fn other_languages_get_the_same_numbers() {
    let folder = std::env::temp_dir().join(format!("equations-export-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    for (name, text) in [("diode", DIODE), ("eight", EIGHT)] {
        let export = |language| Equations::from_text(name, text).export(language).unwrap();
        assert!(export(Language::Rust).contains("pub fn jacobian"));
        let (source, program) = (folder.join(format!("{name}.c")), folder.join(name));
        std::fs::write(&source, export(Language::C)).unwrap();
        let compiler =
            std::process::Command::new("cc").arg("-O1").arg(&source).arg("-o").arg(&program).arg("-lm").status();
        if let Ok(status) = compiler {
            assert!(status.success(), "{}", export(Language::C));
            assert!(std::process::Command::new(&program).status().unwrap().success(), "{name}");
        }
        let script = folder.join(format!("{name}.py"));
        std::fs::write(&script, export(Language::Python)).unwrap();
        if let Ok(output) = std::process::Command::new("python3").arg(&script).output() {
            assert!(output.status.success(), "{name}: {}", String::from_utf8_lossy(&output.stderr));
        }
    }
    std::fs::remove_dir_all(&folder).unwrap();
}
