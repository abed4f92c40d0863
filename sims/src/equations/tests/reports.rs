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

/// A system without states, with branches, rests and powers.
const STILL: &str = r#"
[indices]
k = 2
[inputs]
a = { unit = "1", range = [-1, 1], kind = "static" }
u = { unit = "1", range = [-1, 1], kind = "static" }
[controls]
c = { unit = "1", range = [0, 1], shape = ["k"] }
[outputs]
y = { unit = "1", value = "2^a + max(0, a) + if(a > 0 or u > 0, a, u*c[k])", shape = ["k"], range = [-9, 9] }
a = { unit = "1", value = "mod(a + 5, 2) + floor(3*u) + 1/(2 + a)", range = [-9, 9] }
"#;

/// Numbers that stand alone in a right-hand side.
const PLAIN: &str = r#"
[inputs]
u = { unit = "1", range = [-1, 1] }
[states]
a = { unit = "1" }
[equations]
"der(a)" = "(2^a + max(0, a) + sign(a) - abs(u) + min(1, ln(2 + u)) + if(a > 0 or u > 0, a, -u))/1e0"
[outputs]
y = { unit = "1", value = "a", range = [-9, 9] }
[time]
sample_seconds = 0.1
"#;

#[test]
fn a_system_without_states_is_shown_by_its_outputs() {
    let report = Equations::from_text("still.toml", STILL).report().unwrap();
    let left: Vec<&str> = report.outputs.iter().map(|[left, ..]| left.as_str()).collect();
    assert_eq!((left, report.equations.len()), (vec!["y[0]", "y[1]", "a"], 0));
    assert!(report.outputs[0][1].contains("c[0]"), "{:?}", report.outputs);
    assert!(
        report.outputs[2][1].contains("floor") && report.outputs[2][2].contains("\\lfloor"),
        "{:?}",
        report.outputs
    );
    let names: Vec<&str> = report.quantities.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, ["a", "u", "c", "y", "a (output)"]);
    let named = Equations::from_text("plain.toml", &PLAIN.replace("y = {", "a = {")).report().unwrap();
    assert_eq!(named.quantities.len(), 2, "{:?}", named.quantities);
}

#[test]
fn what_is_delayed_has_its_name_and_is_not_written_out() {
    let delayed = PLAIN.replace("ln(2 + u)", "ln(2 + delay(u, 6)) + delay(a, 2)");
    let system = Equations::from_text("delayed.toml", &delayed);
    let report = system.report().unwrap();
    let [_, text, latex] = &report.equations[0];
    assert!(text.contains("delay(u, 6)") && text.contains("delay(a, 2)"), "{text}");
    assert!(latex.contains("\\operatorname{delay}\\left(u, 6\\right)"), "{latex}");
    for language in [Language::C, Language::Rust, Language::Python] {
        let refused = system.export(language).unwrap_err().to_string();
        assert!(refused.contains("delayed.toml:7:") && refused.contains("`delay("), "{refused}");
    }
}

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
fn a_branch_that_is_not_taken_does_not_stop_a_python_program() {
    let text = "[inputs]\nu = { unit = \"1\", range = [-1, 2], kind = \"static\" }\n[outputs]\n\
                y = { unit = \"1\", value = \"if(u > 0, ln(u) + ln(u)^2 + 1/sqrt(u) + u^1.5, 0)\", range = [-9, 9] }\n";
    let system = Equations::from_text("branches\n.toml", text);
    let script = system.export(Language::Python).unwrap();
    // The name of the file stays in its line.
    assert!(script.starts_with("# branches .toml (by pnnlab)\n# x, states"), "{script}");
    let checks = "assert outputs([], [-0.5], [], []) == [0.0] and jacobian([], [-0.5], [], []) == [0.0]\n\
                  assert outputs([], [0.0], [], []) == [0.0] and outputs([], [1.0], [], []) == [2.0]\n\
                  assert divided(-1.0, 0.0) == -math.inf and of(math.log, 0.0) == -math.inf and of(math.exp, 1e3) == math.inf\n\
                  assert math.isnan(power(-2.0, 1.5)) and power(-2.0, 2.0) == 4.0 and power(-1e300, 3.0) == -math.inf\n";
    if let Ok(output) = std::process::Command::new("python3").arg("-c").arg(script + checks).output() {
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }
}

#[test]
fn other_languages_get_the_same_numbers() {
    let folder = std::env::temp_dir().join(format!("equations-export-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    for (name, text) in [("diode", DIODE), ("eight", EIGHT), ("still", STILL), ("plain", PLAIN)] {
        let export = |language| Equations::from_text(name, text).export(language).unwrap();
        assert!(export(Language::Rust).contains("pub fn jacobian"));
        let (source, program) = (folder.join(format!("{name}.rs")), folder.join(format!("{name}-rust")));
        std::fs::write(&source, export(Language::Rust)).unwrap();
        let compiler = std::process::Command::new("rustc").arg(&source).arg("-o").arg(&program).output();
        if let Ok(output) = compiler {
            assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
            assert!(std::process::Command::new(&program).status().unwrap().success(), "{name}");
        }
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
