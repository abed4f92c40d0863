//! What an instrument may be told when it is connected: nothing that changes an output, in whatever spelling.
//!
//! Each unit of a setting's line is looked at, with its header read from the root and as the one before it leaves off (SCPI-99, 6.2.4).

use super::config::{GeneratorConfig, SettingConfig};
use crate::mnemonic::{same_command, same_word};
use crate::scpi::number;

/// Common commands that change outputs: reset, recall of a stored state, trigger.
const COMMON: [&str; 3] = ["*RST", "*RCL", "*TRG"];
/// Commands that reset an instrument to a state of its own.
const PRESETS: [&str; 1] = ["SYST:PRES"];
/// What switches an output in SCPI itself (SCPI-99, 15.12).
const OUTPUT: &str = "OUTP";

/// One command of a line.
pub(crate) struct Unit {
    /// Its header, as the root and the unit before it make it.
    pub headers: [String; 2],
    /// What it takes.
    pub arguments: Vec<String>,
}

/// Why a setting may not be sent when an instrument is connected, if it may not.
pub(super) fn complaint(setting: &SettingConfig, generator: &GeneratorConfig) -> Option<String> {
    let (header, value) = setting.parts();
    let texts = [header, value, setting.query.as_deref().unwrap_or_default()];
    if texts.iter().any(|text| text.chars().any(char::is_control)) {
        return Some("holds a line feed or another control character: give one line".to_owned());
    }
    if header.is_empty() {
        return Some("has no header: say what is set".to_owned());
    }
    if let Some(query) = &setting.query {
        let is_query = |unit: &Unit| unit.headers[0].ends_with('?');
        if !matches!(&units(query)[..], [unit] if is_query(unit)) {
            return Some(format!("has the query `{query}`: give one query, which ends with `?`"));
        }
        if value.is_empty() {
            return Some(format!("has the query `{query}`, but no value to compare its answer with"));
        }
    }
    let line = format!("{header} {value}");
    let switches = generator.switches();
    let unit = units(&line).into_iter().find(|unit| switches_output(unit, switches))?;
    let header = &unit.headers[0];
    Some(format!(
        "holds `{}`, which may change an output: connecting changes no output. Leave it to `on`, `off` and `fire`",
        format!("{header} {}", unit.arguments.join(",")).trim_end()
    ))
}

/// Whether a unit may change an output of an instrument that is switched on, off and fired by these lines.
pub(crate) fn switches_output(unit: &Unit, [on, off, fire]: [&str; 3]) -> bool {
    if resets(unit) || (is_output(unit) && switches(unit, &[])) {
        return true;
    }
    let toggles = [on, off].into_iter().flat_map(units);
    if toggles.into_iter().any(|toggle| told(unit, &toggle) && switches(unit, &toggle.arguments)) {
        return true;
    }
    let same = |fire: &Unit| fire.arguments.is_empty() || fire.arguments.iter().all(|word| has(unit, word));
    units(fire).iter().any(|fire| told(unit, fire) && same(fire))
}

/// Whether a unit resets, recalls or triggers, by SCPI's own commands.
pub(crate) fn resets(unit: &Unit) -> bool {
    COMMON.iter().chain(&PRESETS).any(|pattern| is(unit, pattern))
}

/// Whether a unit has the header of SCPI's own switch of an output.
pub(crate) fn is_output(unit: &Unit) -> bool {
    is(unit, OUTPUT)
}

fn is(unit: &Unit, pattern: &str) -> bool {
    unit.headers.iter().any(|header| same_command(header, pattern))
}

/// Whether two units are one command.
fn told(unit: &Unit, other: &Unit) -> bool {
    unit.headers.iter().any(|header| other.headers.iter().any(|other| same_command(header, other)))
}

/// Whether the arguments of a unit may be those of a switch: a state or a number first, or a word of the rig file's own switch, which has
/// `arguments`.
fn switches(unit: &Unit, arguments: &[String]) -> bool {
    let is_state = |text: &String| number(text).is_some();
    unit.arguments.first().is_none_or(is_state) || ["ON", "OFF"].iter().any(|word| has(unit, word)) || {
        let mut words = arguments.iter().filter(|argument| !is_state(argument));
        words.any(|word| has(unit, word))
    }
}

/// Whether an argument of a unit is `word`.
fn has(unit: &Unit, word: &str) -> bool {
    unit.arguments.iter().any(|argument| argument.eq_ignore_ascii_case(word) || same_word(argument, word))
}

/// The units of a line.
pub(crate) fn units(line: &str) -> Vec<Unit> {
    let (mut path, mut units, mut quote) = (String::new(), vec![], None);
    let is_end = |letter: char| {
        match quote {
            Some(open) if letter == open => quote = None,
            None if matches!(letter, '"' | '\'') => quote = Some(letter),
            _ => {}
        }
        letter == ';' && quote.is_none()
    };
    for text in line.split(is_end).map(str::trim).filter(|text| !text.is_empty()) {
        let (header, rest) = text.split_once(char::is_whitespace).unwrap_or((text, ""));
        let root = header.trim_start_matches(':').to_owned();
        let full = if header.starts_with([':', '*']) { root.clone() } else { format!("{path}{root}") };
        path = full.rfind(':').map_or_else(String::new, |at| full[..=at].to_owned());
        let arguments = rest.split(',').map(|argument| argument.trim().to_owned());
        let arguments = arguments.filter(|argument| !argument.is_empty()).collect();
        units.push(Unit { headers: [full, root], arguments });
    }
    units
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Numbers;

    fn generator(on: &str, off: &str, fire: &str) -> GeneratorConfig {
        GeneratorConfig {
            address: String::new(),
            identity: String::new(),
            terminator: None,
            settings: vec![],
            numbers: Numbers::Text,
            load: "DATA {data}".into(),
            on: on.into(),
            fire: fire.into(),
            off: off.into(),
            state: "OUTP1?".into(),
        }
    }

    fn said(header: &str, value: &str, query: Option<&str>, generator: &GeneratorConfig) -> Option<String> {
        let setting = SettingConfig { header: header.into(), value: value.into(), query: query.map(str::to_owned) };
        complaint(&setting, generator)
    }

    #[test]
    fn an_output_is_not_switched_in_any_spelling() {
        let usual = generator("OUTP1 ON", "OUTP1 OFF", "*TRG");
        for (header, value) in [
            ("OUTP1", "ON"),
            ("OUTP1 ON", ""),
            ("OUTP1  ON", ""),
            ("OUTP1\tON", ""),
            (":OUTP1", "ON"),
            ("outp1", "on"),
            ("OUTPUT1", "ON"),
            ("OUTP", "1"),
            ("OUTP1:STAT", "ON"),
            ("OUTPut1:STATe", "5"),
            ("OUTP1", "OFF"),
            ("OUTP2", "ON"),
            ("OUTP1", ""),
            ("SOUR1:VOLT", "1;:OUTP1 ON"),
            ("SOUR1:VOLT 1;:OUTP1 ON", ""),
            ("OUTP1:LOAD", "50;STAT ON"),
            ("SOUR1:VOLT", "1; OUTP1 ON"),
            ("*TRG", ""),
            ("*RST", ""),
            ("*rcl", "0"),
            ("SYSTem:PRESet", ""),
        ] {
            let text = said(header, value, None, &usual).unwrap_or_default();
            assert!(text.contains("connecting changes no output"), "{header} {value}: {text}");
        }
        for (header, value) in [
            ("SOUR1:FUNC", "ARB"),
            ("OUTP1:LOAD", "50"),
            ("OUTP1:LOAD INF", ""),
            ("OUTP1:POL", "NORM"),
            ("TRIG1:SOUR", "BUS"),
            ("SOUR1:BURS:STAT", "ON"),
            ("SOUR1:DATA:NAME", "\"a;OUTP1 ON\""),
            ("SOUR1:BURS:STAT ON;MODE TRIG", ""),
        ] {
            assert_eq!(said(header, value, None, &usual), None, "{header} {value}");
        }
    }

    #[test]
    fn the_switches_of_the_rig_file_are_known() {
        let siglent = generator("C1:OUTP ON", "C1:OUTP OFF", "C1:BTWV MTRIG");
        assert!(said("C2:OUTPUT", "ON,LOAD,50", None, &siglent).is_some());
        assert!(said("C1:BTWV", "MTRIG", None, &siglent).is_some());
        assert_eq!(said("C1:OUTP", "LOAD,50", None, &siglent), None);
        assert_eq!(said("C1:BTWV", "STATE,ON", None, &siglent), None);
        let events = generator("CHAN1:ENABLE", "CHAN1:DISABLE", "TRIG:SOUR IMM");
        assert!(said("CHAN2:ENAB", "", None, &events).is_some());
        assert!(said("TRIGGER:SOURCE", "IMMEDIATE", None, &events).is_some());
        assert_eq!(said("TRIG:SOUR", "BUS", None, &events), None);
        let words = generator("SYST:MODE RUN", "SYST:MODE STOP", "*TRG");
        assert!(said("SYST:MODE", "RUN", None, &words).is_some());
        assert!(said("SYST:MODE", "STOP", None, &words).is_some());
        assert_eq!(said("SYST:MODE", "REMOTE", None, &words), None);
    }

    #[test]
    fn lines_and_queries_that_are_more_than_they_say_are_refused() {
        let usual = generator("OUTP1 ON", "OUTP1 OFF", "*TRG");
        let refused = |header, value, query| said(header, value, query, &usual).unwrap_or_default();
        assert!(refused("SOUR1:VOLT", "1\nOUTP1 ON", None).contains("line feed"));
        assert!(refused("SOUR1:VOLT", "1", Some("OUTP1 ON")).contains("ends with `?`"));
        assert!(refused("SOUR1:VOLT", "1", Some("SOUR1:VOLT?;:OUTP1 ON")).contains("one query"));
        assert!(refused("SOUR1:VOLT", "1", Some("SOUR1:VOLT?\nOUTP1 ON")).contains("line feed"));
        assert!(refused("ABOR", "", Some("OUTP1?")).contains("no value"));
        assert!(refused(" ", "1", None).contains("no header"));
        assert_eq!(said("OUTP1:LOAD INF", "", Some("OUTP1:LOAD?"), &usual), None);
        assert_eq!(said("SOUR1:VOLT", "1", Some("SOUR1:VOLT? MAX"), &usual), None);
    }
}
