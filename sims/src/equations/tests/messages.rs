//! What messages say of names, numbers and units.

use super::DIODE;
use crate::Equations;

fn refused(text: &str) -> String {
    Equations::from_text("diode.toml", text).build().expect_err(text).to_string()
}

/// The diode with one piece in place of another.
fn with(from: &str, to: &str) -> String {
    assert!(DIODE.contains(from), "{from}");
    refused(&DIODE.replace(from, to))
}

/// The diode with a table and lines of [let] that are of it.
fn more(points: &str, lets: &str) -> String {
    refused(&DIODE.replace(
        "[equations]",
        &format!("[tables]\ng = {{ unit = \"A\", of = \"mV\", points = {points} }}\n[let]\n{lets}\n[equations]"),
    ))
}

#[test]
fn names_that_are_no_names_are_told_what_they_are() {
    let long = "x".repeat(64);
    let cases = [
        (with("R*i", "sin*i"), "`sin` is a function: write `sin(…)`"),
        (with("R*i", "R(i)"), "`R` is no function: a product is written with `*`"),
        (with("R*i", "RR*i"), "unknown name `RR`; did you mean `R`?"),
        (with("R*i - v)", "R*i - V)"), "unknown name `V`; did you mean `v`?"),
        (with("R*i - v)", "R*i - vv)"), "unknown name `vv`; did you mean `v`?"),
        (with("R*i", "min(R)*i"), "`min` takes 2 to 16 arguments, not 1"),
        (with("R*i", "abs(R, R)*i"), "`abs` takes 1 argument, not 2"),
        (with("R*i", "if(i > 0, R, L)*i"), "`R` is in ohm, `L` in H: the choice needs one unit"),
        (
            more("[[0, 0], [1, 1]]", "a = \"b\"\nb = \"2*c\"\nc = \"a\""),
            "`a` of [let] depends on itself: a → b → c → a",
        ),
        (with("value = \"v\"", "value = \"v[0]\""), "`v` has no index"),
    ];
    for (found, expected) in cases {
        assert!(found.contains(expected), "{found}\ninstead of\n{expected}");
    }
    let found = with("R*i", &format!("{long}*i"));
    assert!(found.contains(&format!("`{}…`", &long[..60])), "{found}");
}

#[test]
fn numbers_are_said_as_people_write_them() {
    let cases = [
        (with("sample_seconds = 1e-6", "sample_seconds = 1e-30"), "`sample_seconds` = 1e-30 is outside 1e-18 to 1e9"),
        (with("noise = 2e-3", "noise = -1"), "`noise` = -1 is outside 0 to 1e30"),
        (with("value = 1e-9", "value = 1e-400"), "`value`: `1e-400` is too small"),
        (with("value = 1e-9", "value = 1e400"), "`value`: `1e400` is too large"),
        (with("R*i", "R*i*(1 + 1e-400)"), "`1e-400` is too small"),
        (with("value = 200", "value = 200, range = [1, 100]"), "`R` = 200 is outside its own range, 1 to 100, in ohm"),
        (
            more("[[0, 0], [2, 1], [2, 3]]", "a = \"v\""),
            "the point [2, 3] of the table `g`, number 3, must have a larger x",
        ),
        (
            more("[[0, 0], [1e-310, 1], [2, 3]]", "a = \"v\""),
            "the point [1e-310, 1] of the table `g`, number 2, is so near to the one before it",
        ),
        (with("range = [-1, 1]", "range = [-1e39, 1]"), "the range [-1e39, 1] goes beyond 3.4e38"),
        (with("range = [-1, 1]", "range = [1, 1.000000001]"), "has ends that are one number in single precision"),
        (
            with("i = { unit = \"A\" }", "i = { unit = \"A\", start = \"0.1\" }"),
            "`0.1` is in 1, where A is needed; a quantity is written with an exponent: `1e-1`",
        ),
        (with("R*i - v)", "R*i - v + 2)"), "a quantity is written with an exponent: `2e0`"),
        (with("R*i", "R*i*((v^30)^30)^30"), "with this exponent those of its unit get too large"),
    ];
    for (found, expected) in cases {
        assert!(found.contains(expected), "{found}\ninstead of\n{expected}");
    }
}

#[test]
fn what_a_file_cannot_mean_is_refused() {
    let found = with("A diode in a resonator", "A diode\\nin a resonator");
    assert!(found.contains("`title` must be one line"), "{found}");
    let found = with("[states]", "[indices]\nk = { size = 2, periodic = true, outside = 0 }\n[states]");
    assert!(found.contains("a periodic index has nothing outside"), "{found}");
}

#[test]
fn a_unit_that_is_refused_has_one_that_is_not() {
    let cases = [
        (
            with("drive = { unit = \"V\"", "drive = { unit = \"mV\""),
            "write unit = \"V\", and 0.001 where 1 mV is meant",
        ),
        (with("drive = { unit = \"V\"", "drive = { unit = \"%\""), "write unit = \"1\", and 0.01 where 1 % is meant"),
        (with("drive = { unit = \"V\"", "drive = { unit = \"degC\""), "write K"),
        (with("unit = \"ohm\"", "unit = \"ohn\""), "`ohn` is no unit that is known"),
    ];
    for (found, expected) in cases {
        assert!(found.contains(expected), "{found}\ninstead of\n{expected}");
    }
    for unit in ["kV/(A*1)", "V·A⁻¹", "%*ohm"] {
        let text = DIODE.replace("unit = \"ohm\"", &format!("unit = \"{unit}\""));
        Equations::from_text("diode.toml", &text).build().unwrap_or_else(|error| panic!("{error}"));
    }
}
