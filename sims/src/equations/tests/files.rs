//! What a file may say, and what it is told where it may not.

use std::time::{Duration, Instant};

use drivers::{Batch, Direction};

use super::DIODE;
use crate::{Equations, Moment};

fn refused(text: &str) -> String {
    Equations::from_text("diode.toml", text).build().expect_err(text).to_string()
}

/// The diode with one piece in place of another.
fn with(from: &str, to: &str) -> String {
    assert!(DIODE.contains(from), "{from}");
    refused(&DIODE.replace(from, to))
}

#[test]
fn the_example_is_a_bench_with_a_twin_and_coefficients() {
    let system = Equations { plant_seed: 3, ..Equations::from_text("diode.toml", DIODE) };
    let built = system.build().unwrap();
    let ports = &built.twin.card().ports;
    assert_eq!((ports.input_count(), ports.control_count(), ports.output_count()), (12, 1, 12));
    assert_eq!(ports.ranges(Direction::Output)[0], drivers::Range::new(-2.0, 2.0));
    let drive = Batch::from_fn(40, 12, |row, sample| (0.1 * (row * sample) as f32).sin());
    let twin = built.twin.predict(&drive, &[0.3]);
    let ideal = built.ideal.predict(&drive, &[0.3]);
    let bench = built.system.shoot(&drive, &[0.3], Moment::default());
    let apart = |a: &Batch, b: &Batch| {
        let squares = a.values().iter().zip(b.values()).map(|(a, b)| (a - b).powi(2)).sum::<f32>();
        (squares / a.values().len() as f32).sqrt()
    };
    let noise = apart(&bench, &ideal);
    assert!((1.7e-3..2.3e-3).contains(&noise), "{noise}");
    assert!(1e-4 < apart(&twin, &ideal), "the bench has a resistor of its own");
    let lsb = 4.0 / 16383.0;
    assert!(bench.values().iter().all(|value| {
        let code = (value + 2.0) / lsb;
        (code - code.round()).abs() < 0.01
    }));
    let same = Equations { mismatch: 0.0, ..system.clone() }.build().unwrap();
    assert_eq!(same.ideal.predict(&drive, &[0.3]), twin);
    let family = system.adjustable().unwrap();
    let coefficients = family.coefficients();
    assert_eq!(
        coefficients.iter().map(|one| (one.name.as_str(), one.unit.as_str())).collect::<Vec<_>>(),
        [("R", "ohm")]
    );
    assert_eq!(family.adjusted(&[200.0], &[]).predict(&drive, &[0.3]), twin);
}

#[test]
fn sensitivities_are_slopes_and_nothing_depends_on_threads_or_batches() {
    let system = Equations { plant_seed: 3, ..Equations::from_text("diode.toml", DIODE) };
    let family = system.adjustable().unwrap();
    let drive = Batch::from_fn(37, 12, |row, sample| (0.1 * (row * sample) as f32).sin());
    let slopes = family.sensitivity(&[205.0], &[], 0)(&drive, &[0.3]);
    let text = DIODE.replace("value = 200", "value = 205");
    let course = super::course(&text);
    let inputs: Vec<f64> = drive.row(36).iter().map(|value| f64::from(*value)).collect();
    let at = |ohms: f64| super::predict(&course, &[ohms, 1e-2, 2.5e-9, 1e-9, 0.05], &inputs, &[f64::from(0.3_f32)]);
    for ((slope, above), below) in slopes.row(36).iter().zip(at(206.0)).zip(at(204.0)) {
        let exact = (above - below) / 2.0;
        assert!((f64::from(*slope) - exact).abs() < 1e-4 * exact.abs() + 1e-9, "{slope} {exact}");
    }
    let built = system.build().unwrap();
    let in_threads = |threads| {
        rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap().install(|| {
            let moment = Moment { shots: 100, seconds: 1.0 };
            let shots = built.system.shoot(&drive, &[0.3], moment);
            (shots, built.twin.predict(&drive, &[0.3]), built.twin.pull_back(&drive, &[0.3], &drive))
        })
    };
    let (shots, predicted, gradients) = in_threads(1);
    assert_eq!(in_threads(3), (shots.clone(), predicted.clone(), gradients.clone()));
    for row in [0, 15, 16, 36] {
        let alone = drive.part(row, 1);
        let moment = Moment { shots: 100 + row as u64, seconds: 9.0 };
        assert_eq!(built.system.shoot(&alone, &[0.3], moment).values(), shots.row(row));
        assert_eq!(built.twin.predict(&alone, &[0.3]).values(), predicted.row(row));
        assert_eq!(built.twin.pull_back(&alone, &[0.3], &alone).inputs.values(), gradients.inputs.row(row));
    }
}

#[test]
fn a_static_system_is_one_line() {
    let text = r#"
[inputs]
light = { unit = "W", range = [0, 2], kind = "static" }
[coefficients]
depth = { unit = "1", value = 0.7 }
saturation = { unit = "W", value = 0.4 }
[outputs]
through = { unit = "W", value = "light*(1 - depth/(1 + light/saturation))", range = [0, 2] }
"#;
    let built = Equations::from_text("absorber.toml", text).build().unwrap();
    let light = Batch::new(1, vec![0.0, 0.4, 1.2]).unwrap();
    let through = built.twin.predict(&light, &[]);
    for (found, exact) in through.values().iter().zip([0.0, 0.4 * 0.65, 1.2 * (1.0 - 0.7 / 4.0)]) {
        assert!((found - exact).abs() < 1e-6, "{found} {exact}");
    }
}

#[test]
fn errors_name_file_line_column_and_term() {
    let cases = [
        (with("R*i", "Q*i"), "diode.toml:17:22: der(i): unknown name `Q`"),
        (with("(drive - R*i", "(drvie - R*i"), "unknown name `drvie`; did you mean `drive`?"),
        (with("exp((v - bias)/Vd)", "epx((v - bias)/Vd)"), "unknown function `epx`; did you mean `exp`?"),
        (
            with("(i - Is*(exp", "(i - R*(exp"),
            "der(v): `i` is in A, `R*(exp((v - bias)/Vd) - 1)` in ohm: the sum needs one unit",
        ),
        (with("exp((v - bias)/Vd)", "exp(v - bias)"), "der(v): `v - bias` is in V: exp needs a pure number"),
        (
            with("(drive - R*i - v)/L\"\n\"der(v)", "(drive - R*i - v)\"\n\"der(v)"),
            "der(i): `(drive - R*i - v)` is in V, where A/s is needed",
        ),
        (with("\"der(v)\" = \"(i -", "\"der(w)\" = \"(i -"), "`der(w)`: `w` is no state of [states]"),
        (with("\"der(v)\" = \"(i - Is*(exp((v - bias)/Vd) - 1))/C\"\n", ""), "the state `v` has no equation"),
        (with("unit = \"ohm\"", "unit = \"ohms\""), "`ohms` is no unit that is known"),
        (with("method = \"implicit\"", "method = \"implict\""), "unknown method `implict`; did you mean `implicit`?"),
        (with("spread = 0.05", "spraed = 0.05"), "unknown key `spraed` in `R`; did you mean `spread`?"),
        (with("[states]", "[sattes]"), "unknown key `sattes`; did you mean `states`?"),
        (with("i = { unit = \"A\" }", "R = { unit = \"A\" }"), "`R` is declared twice"),
        (with("R*i - v)/L\"\n\"der(v)", "R*i - v/L\"\n\"der(v)"), "where"),
        (with("value = \"v\"", "value = \"v[0]\""), "node: `v` has no index, but `v[0]` stands here"),
        (with("range = [-2, 2]", "range = [2, -2]"), "must have its low end first"),
        (with("sample_seconds = 1e-6\n", ""), "needs sample_seconds"),
    ];
    for (found, expected) in cases {
        assert!(found.contains(expected) && found.starts_with("diode.toml:"), "{found}\ninstead of\n{expected}");
    }
    let ring = |equation: &str, index: &str, more: &str| {
        refused(&format!(
            "[indices]\nk = {index}\nj = 4\n[inputs]\nu = {{ unit = \"V\", range = [-1, 1] }}\n[states]\nv = {{ unit = \"V\", shape = [\"k\"] }}\n{more}[equations]\n{equation}\n[outputs]\ny = {{ unit = \"V\", value = \"v[0]\", range = [-1, 1] }}\n[time]\nsample_seconds = 1\n"
        ))
    };
    let decay = "\"der(v[k])\" = \"(u - v[k + 1])/1e0\"";
    let cases = [
        (ring(decay, "8", ""), "`v[k + 1]` is outside 0 to 7 at k = 7: let the index `k` be periodic"),
        (ring("\"der(v[k])\" = \"-v[9]/1e0\"", "8", ""), "`v[9]` is outside 0 to 7"),
        (ring("\"der(v[k])\" = \"sum(j, v[j])/1e0\"", "8", ""), "`j` runs over 4 places, but that of `v` over 8"),
        (ring("\"der(v[k])\" = \"-v/1e0\"", "8", ""), "`v` has [k], but `v` stands here"),
        (ring("\"der(v[k])\" = \"-v[m]/1e0\"", "8", ""), "`m` is no index here"),
        (ring("\"der(v[k])\" = \"-v[2*k]/1e0\"", "8", ""), "`2*k` is no place"),
        (ring("\"der(v[k])\" = \"sum(k, v[k])/1e0\"", "8", ""), "the index `k` is in use"),
        (ring("\"der(v[k])\" = \"a/1e0\"", "8", "[let]\na = \"b\"\nb = \"2*a\"\n"), "`a` of [let] depends on itself"),
        (ring("\"der(v[k])\" = \"-v[k]/1e0\"\n\"der( v[k])\" = \"0\"", "8", ""), "the state `v` has two equations"),
    ];
    for (found, expected) in cases {
        assert!(found.contains(expected), "{found}\ninstead of\n{expected}");
    }
    let guarded = DIODE.replace("[inputs]", "[indices]\nk = 3\n[inputs]").replace("[let]", "").replace(
        "[equations]",
        "w = { unit = \"V\", shape = [\"k\"] }\n[equations]\n\"der(w[k])\" = \"if(k == 2, v, w[k + 1] - w[k])/1e0\"",
    );
    assert!(Equations::from_text("guarded", &guarded).build().is_ok());
}

#[test]
fn absurd_files_are_refused_at_once() {
    let start = Instant::now();
    let deep = "(".repeat(10_000);
    let cases = [
        ("x".repeat(10 << 20), "at most"),
        (DIODE.replace("[inputs]", "[indices]\nk = 1000000000\n[inputs]"), "it must be a whole number from 1 to"),
        (DIODE.replace("(drive - R*i - v)/L", &deep), "nested"),
        (format!("a = {}", "[".repeat(10_000)), ""),
        (DIODE.replace("samples = 12", "samples = 1000000000"), "outside"),
        (
            (0..9).fold(DIODE.replace("[inputs]", "[indices]\nk = 4000000\n[inputs]"), |text, n| {
                let array = format!("[coefficients]\nz{n} = {{ unit = \"1\", value = 1, shape = [\"k\"] }}");
                text.replace("[coefficients]", &array)
            }),
            "elements together",
        ),
        (
            DIODE.replace(
                "[inputs]",
                "[indices]\nk = 4000000\n[inputs]\nz = { unit = \"1\", range = [0, 1], shape = [\"k\"] }",
            ),
            "values of inputs and outputs together",
        ),
        (DIODE.replace("substeps = 4", "substeps = -1"), "outside"),
        (
            (0..60)
                .fold(DIODE.replace("[equations]", "[let]\nz0 = \"v\"\nLETS[equations]"), |text, n| {
                    text.replace("LETS", &format!("z{} = \"z{n} + z{n}\"\nLETS", n + 1))
                })
                .replace("LETS", ""),
            "",
        ),
        (
            (0..200)
                .fold(DIODE.replace("[equations]", "[let]\nz0 = \"v\"\nLETS[equations]"), |text, n| {
                    text.replace("LETS", &format!("z{} = \"z{n} + z{n}\"\nLETS", n + 1))
                })
                .replace("LETS", "")
                .replace("value = \"v\"", "value = \"z200\""),
            "deep",
        ),
    ];
    for (text, expected) in cases {
        match Equations::from_text("absurd.toml", &text).build() {
            Err(error) => assert!(error.to_string().contains(expected), "{error}"),
            Ok(_) => assert!(expected.is_empty()),
        }
    }
    assert!(start.elapsed() < Duration::from_secs(10), "{:?}", start.elapsed());
}

#[test]
fn a_division_by_what_is_zero_at_the_start_is_refused() {
    let divided = with("(drive - R*i - v)/L", "(drive - R*i - v)/L + 0*R*i/v*1e0*(v/L)*1");
    assert!(divided.contains("der(i) divides by `v`, which is 0 when a shot begins"), "{divided}");
    let power = with("(drive - R*i - v)/L", "(drive - R*i - v)/L*(1 + 0*(v/Vd)^(-1))");
    assert!(power.contains("divides by `(v/Vd)`"), "{power}");
    // A branch that is not taken is not looked into, nor is a state that starts elsewhere.
    for (from, to) in [
        ("(drive - R*i - v)/L", "(drive - R*i - v)/L*(1 + 0*if(v == 0, 1, Vd/v))"),
        (
            "v = { unit = \"V\" }\n[equations]\n\"der(i)\" = \"(drive",
            "v = { unit = \"V\", start = \"0.1*Vd\" }\n[equations]\n\"der(i)\" = \"0*Vd/v*(1e0)/L*Vd + (drive",
        ),
    ] {
        assert!(DIODE.contains(from));
        Equations::from_text("diode.toml", &DIODE.replace(from, to)).build().unwrap_or_else(|error| panic!("{error}"));
    }
}

#[test]
fn points_of_a_table_come_from_a_file() {
    let text = "[inputs]\nx = { unit = \"1\", range = [-1, 1] }\n[outputs]\ny = { unit = \"V\", value = \"table(x, bent)\", \
                range = [-9, 9] }\n[tables]\nbent = { unit = \"V\", file = \"bent.csv\", of = \"1\" }\n";
    let whole = crate::with_tables("bent.toml", text, |file| {
        assert_eq!(file, "bent.csv");
        Ok(vec![[-1.0, 2.0], [0.0, 0.0], [1.0, 4.0]])
    })
    .unwrap();
    let twin = Equations::from_text("bent.toml", &whole).build().unwrap().twin;
    let read = twin.predict(&Batch::from_fn(3, 1, |row, _| [-0.5, 0.25, 1.0][row]), &[]);
    assert_eq!(read.values(), [1.0, 1.0, 4.0]);
    let missing = crate::with_tables("bent.toml", text, |_| Err("bent.csv: there is none".to_owned())).unwrap_err();
    assert!(missing.to_string().contains("bent.toml:6:") && missing.to_string().contains("there is none"), "{missing}");
    assert!(refused(text).contains("were not put in its place"));
}

/// A diode's curve, small in reverse and large forward.
const CURVE: &str = "[inputs]\nu = { unit = \"V\", range = [-1, 0.7] }\n[outputs]\ny = { unit = \"A\", value = \"table(u, d)\", range = [-1, 2] }\n\
                     [tables]\nd = { unit = \"A\", of = \"V\", points = [[-1, -1e-9], [0, 0], [0.6, 1e-3], [0.7, 1]] }\n";

#[test]
fn a_steep_piece_of_a_table_leaves_the_others_their_digits() {
    let twin = Equations::from_text("curve.toml", CURVE).build().unwrap().twin;
    let points: [(f32, f32); 6] =
        [(-1.0, -1e-9), (-0.5, -5e-10), (-0.25, -2.5e-10), (0.0, 0.0), (0.375, 6.25e-4), (0.5, 1e-3 / 1.2)];
    let read = twin.predict(&Batch::from_fn(points.len(), 1, |row, _| points[row].0), &[]);
    for (found, (x, exact)) in read.values().iter().zip(points) {
        assert!((found - exact).abs() <= 1e-6 * exact.abs(), "{x}: {found} instead of {exact}");
    }
}

#[test]
fn what_has_no_finite_slope_where_a_shot_begins_is_refused() {
    let tank = |start: &str, slope: &str| {
        format!(
            "[inputs]\nq = {{ unit = \"m^3/s\", range = [0, 1e-4] }}\n[coefficients]\nA = {{ unit = \"m^2\", value = 0.01 }}\na = {{ unit = \
             \"m^2\", value = 2e-5 }}\ng = {{ unit = \"m/s^2\", value = 9.81 }}\n[states]\nh = {{ unit = \"m\", start = \"{start}\" }}\n[equations]\n\
             \"der(h)\" = \"{slope}\"\n[outputs]\nlevel = {{ unit = \"m\", value = \"h\", range = [-1, 3] }}\n[time]\nsample_seconds = 10\nsamples = 3\n\
             substeps = 20\nmethod = \"implicit\"\n"
        )
    };
    let drains = "(q - a*sqrt(2*g*h))/A";
    let said = refused(&tank("0", drains));
    assert!(said.contains("der(h) has no finite slope by h where a shot begins"), "{said}");
    assert!(Equations::from_text("tank.toml", &tank("1e-6", drains)).build().is_ok());
    let said = refused(&tank("0", "(q - a*sqrt(2*g*(h - 1e-2)))/A"));
    assert!(said.contains("der(h) has no finite value where a shot begins"), "{said}");
}

#[test]
fn sums_over_more_values_than_fit_are_refused_at_once() {
    let text = "[indices]\ni = 2000\nj = 2000\nk = 2000\n[inputs]\nu = { unit = \"1\", range = [-1, 1], shape = [\"i\"], kind = \"static\" }\n[outputs]\n\
                y = { unit = \"1\", value = \"sum(i, sum(j, sum(k, sin(u[i]*j*k))))\", range = [-1, 1] }\n";
    let before = Instant::now();
    let said = refused(text);
    assert!(said.contains("`y` runs over 8000000000 values of its indices"), "{said}");
    assert!(before.elapsed() < Duration::from_secs(5));
}

#[test]
fn an_explicit_method_is_held_against_all_ends_of_the_ranges() {
    // The stiffest point has the drive at one end and the bias at the other.
    let said = refused(
        &DIODE.replace("samples = 12\nsubsteps = 4", "samples = 256\nsubsteps = 1").replace("\"implicit\"", "\"rk4\""),
    );
    assert!(said.contains("rk4 is unstable where the system is fastest"), "{said}");
}
