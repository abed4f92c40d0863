//! What a rig file may say of a control, and the lines that come of it.

use super::*;

fn bias(command: &str) -> ScpiControlConfig {
    ScpiControlConfig {
        command: command.into(),
        query: Some("SOUR2:VOLT?".into()),
        unit: "V".into(),
        low: -0.5,
        high: 1.0,
        settle_seconds: 0.0,
        tolerance: None,
        on: None,
        off: None,
    }
}

fn reserved() -> Reserved<'static> {
    Reserved {
        commands: vec!["SOUR1:VOLT {volts}".into(), "SOUR1:DATA:ARB BURST,{data}".into()],
        switches: ["OUTP1 ON", "OUTP1 OFF", "*TRG"],
        owns: |header| header.starts_with("ACQ:"),
    }
}

/// What is said of one control called `bias`.
fn said(control: ScpiControlConfig) -> String {
    let controls = ScpiControlsConfig(BTreeMap::from([("bias".to_owned(), control)]));
    controls.check(&reserved()).err().map(|error| error.to_string()).unwrap_or_default()
}

#[test]
fn a_command_with_a_number_in_it_is_a_control() {
    for command in [
        "SOUR2:VOLT {value}",
        ":SOURce2:VOLT:OFFS {value}",
        "ANALOG:PIN AOUT0,{value}",
        "INST:VOLT (@2),{value}",
        "VOLT2 {value} V",
    ] {
        assert_eq!(said(bias(command)), "", "{command}");
    }
    let switched = |on: &str, off: &str| {
        said(ScpiControlConfig { on: Some(on.into()), off: Some(off.into()), ..bias("SOUR2:VOLT {value}") })
    };
    assert_eq!(switched("OUTP2 ON", "OUTP2 OFF"), "");
    assert!(switched("OUTP1 ON", "OUTP2 OFF").contains("`controls.bias.on` does what `OUTP1 ON` does"));
    assert!(switched("OUTP2 ON", "*RST").contains("`controls.bias.off` must switch one output"));
    for off in ["SYST:PRES", ":SYSTem:PRESet"] {
        assert!(switched("OUTP2 ON", off).contains("`controls.bias.off` must switch one output"), "{off}");
        assert!(switched(off, "OUTP2 OFF").contains("`controls.bias.on` must switch one output"), "{off}");
    }
    for off in ["OUTP2 ON", "outp2 1", "OUTPut2:STATe ON"] {
        assert!(switched("OUTP2 ON", off).contains("`controls.bias.off` does what `on`, `OUTP2 ON`, does"), "{off}");
    }
    assert!(switched("OUTP2 OFF", "OUTP2 ON").contains("`controls.bias.on` switches the output off"));
    assert!(switched("HEAT:START", "OUTP2 ON").contains("`controls.bias.off` switches the output on"));
    assert!(switched("OUTP2 ON", "OUTP3 OFF").contains("switches another output than `on`"));
    assert_eq!(switched("CHAN2:ENABLE", "CHAN2:DISABLE"), "");
    assert_eq!(switched("MUTE2 OFF", "MUTE2 ON"), "", "not every switch is an output's");
    assert!(switched("OUTP2 ON;OUTP1 ON", "OUTP2 OFF").contains("several commands"));
    assert!(switched("OUTP2 {value}", "OUTP2 OFF").contains("has a place"));
    let alone = ScpiControlConfig { on: Some("OUTP2 ON".into()), ..bias("SOUR2:VOLT {value}") };
    assert!(said(alone).contains("`controls.bias.off` is missing"));
}

#[test]
fn a_command_that_is_more_or_less_than_that_is_refused_by_its_key() {
    for (command, words) in [
        ("SOUR2:VOLT 1", "has `{value}` 0 times"),
        ("SOUR2:VOLT {value},{value}", "2 times"),
        ("SOUR2:VOLT {value};:OUTP1 ON", "holds several commands"),
        ("SOUR2:VOLT {value}\nOUTP1 ON", "line feed"),
        ("SOUR2:VOLT {value}\r", "line feed or another control character"),
        ("SOUR2:VOLT {value} {unit}", "a place other than `{value}`"),
        ("SOUR2:VOLT {value} {", "a place other than"),
        ("SOUR{value}:VOLT 1", "in its header"),
        ("SOUR2:VOLT? {value}", "is a query"),
        ("OUTP2 {value}", "may switch an output"),
        ("OUTP1:STAT {value}", "may switch an output"),
        ("*RCL {value}", "may switch an output, reset or trigger"),
        ("*TRG {value}", "may switch an output, reset or trigger"),
        ("SOUR1:VOLT {value}", "sets what `SOUR1:VOLT {volts}` sets"),
        ("VOLTage {value}", "sets what `SOUR1:VOLT {volts}` sets"),
        ("SOUR1:DATA:ARB BURST,{value}", "sets what"),
        ("ACQ:DEC {value}", "sets what `the driver` sets"),
        ("", "0 times"),
    ] {
        let text = said(bias(command));
        assert!(text.contains("`controls.bias.command`") && text.contains(words), "{command}: {text}");
    }
    for (query, words) in [
        ("SOUR2:VOLT", "must be one query"),
        ("SOUR2:VOLT?;:OUTP1 ON", "several commands"),
        ("SOUR2:VOLT?\n*RST", "line feed"),
        ("SOUR2:VOLT? {value}", "has a place"),
        ("", "is empty"),
    ] {
        let text = said(ScpiControlConfig { query: Some(query.into()), ..bias("SOUR2:VOLT {value}") });
        assert!(text.contains("`controls.bias.query`") && text.contains(words), "{query}: {text}");
    }
    let usual = || bias("SOUR2:VOLT {value}");
    assert!(said(ScpiControlConfig { unit: " ".into(), ..usual() }).contains("`controls.bias.unit` is empty"));
    assert!(said(ScpiControlConfig { high: -0.5, ..usual() }).contains("is not above `low`"));
    assert!(said(ScpiControlConfig { low: f32::NAN, ..usual() }).contains("`controls.bias.high`"));
    assert!(said(ScpiControlConfig { settle_seconds: 61.0, ..usual() }).contains("give 0 to 60"));
    assert!(said(ScpiControlConfig { tolerance: Some(0.0), ..usual() }).contains("must be above 0"));
}

#[test]
fn two_controls_are_two_things() {
    let pair = |one: &str, other: &str| {
        let both = [("a", one), ("b", other)].map(|(name, command)| (name.to_owned(), bias(command)));
        ScpiControlsConfig(BTreeMap::from(both)).check(&reserved()).err().map(|error| error.to_string())
    };
    assert_eq!(pair("ANALOG:PIN AOUT0,{value}", "ANALOG:PIN AOUT1,{value}"), None);
    assert_eq!(pair("SOUR2:VOLT {value}", "SOUR3:VOLT {value}"), None);
    assert!(
        pair("SOUR2:VOLT {value}", "SOURCE2:VOLTAGE {value}")
            .unwrap()
            .contains("`controls.b.command` sets what another")
    );
    let named = ScpiControlsConfig(BTreeMap::from([("a b".to_owned(), bias("SOUR2:VOLT {value}"))]));
    assert!(named.check(&reserved()).unwrap_err().to_string().contains("has a name of other letters"));
}

#[test]
fn the_lines_are_those_of_what_has_changed_and_the_safe_ones_of_all() {
    let heater = ScpiControlConfig {
        low: 0.25,
        on: Some("OUTP3 ON".into()),
        off: Some("OUTP3 OFF".into()),
        query: None,
        settle_seconds: 2.0,
        ..bias("SOUR3:VOLT {value}")
    };
    let both = [("bias".to_owned(), bias("SOUR2:VOLT {value}")), ("heater".to_owned(), heater)];
    let controls = ScpiControlsConfig(BTreeMap::from(both));
    assert_eq!(controls.lines(&[0.1, 0.5], &[true, false], false), ["SOUR2:VOLT 0.1"]);
    assert_eq!(
        controls.lines(&[-0.0, 1e-7], &[true, true], true),
        ["SOUR2:VOLT 0", "SOUR3:VOLT 0.0000001", "OUTP3 ON"]
    );
    assert_eq!(controls.safe(), [0.0, 0.25]);
    let (lines, held): (Vec<_>, Vec<_>) = controls.safe_lines().into_iter().unzip();
    assert_eq!(lines, [vec!["SOUR2:VOLT 0"], vec!["SOUR3:VOLT 0.25", "OUTP3 OFF"]]);
    assert_eq!(held.iter().flatten().map(|held| held.value).collect::<Vec<_>>(), [0.0]);
    assert_eq!((controls.settle_seconds(|_| true), controls.settle_seconds(|index| index == 0)), (2.0, 0.0));
    assert_eq!(controls.applied(&[0.1, 0.5], &[b"+9.98E-02".to_vec()]), [0.0998, 0.5]);
    assert_eq!(controls.queries(), None, "one of them cannot say");
    let held = controls.held(&[0.1, 0.5]);
    assert_eq!((held.len(), held[0].header.as_str(), held[0].tolerance as f32), (1, "SOUR2:VOLT", 1e-3));
}

#[test]
fn an_answer_is_read_alike_wherever_it_comes() {
    let controls = ScpiControlsConfig(BTreeMap::from([("bias".to_owned(), bias("SOUR2:VOLT {value}"))]));
    let (held, wanted) = (controls.held(&[0.25]), [0.25]);
    for answer in ["0.2505", "\"0.2505\"", "'+2.505E-01'", " 250.5 mV "].map(|text| [text.as_bytes().to_vec()]) {
        assert!(held[0].read(&answer[0]).is_some(), "{answer:?}");
        assert_eq!(controls.applied(&wanted, &answer), [0.2505], "{answer:?}");
        assert_eq!(controls.parse(&answer), Some(vec![0.2505]), "{answer:?}");
    }
    for answer in ["9.91E37", "\"9.91E37\"", "9.9E37", "INF", "NAN", "1e999", "", "-0.6", "1.5", "0.2,0.2"] {
        assert_eq!(controls.parse(&[answer.as_bytes().to_vec()]), None, "{answer}: it cannot say where it is");
        assert!(held[0].read(answer.as_bytes()).is_none(), "{answer}");
    }
    assert_eq!(
        controls.parse(&[b"1.0005".to_vec()]),
        Some(vec![1.0]),
        "a converter may be off by as much as is allowed"
    );
}
