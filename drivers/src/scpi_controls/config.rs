//! Controls as a rig file describes them: the command of each, its range, and how it is read back.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::mnemonic::{same_command, same_header};
use crate::scpi::{number, told};
use crate::scpi_pair::{Unit, is_output, resets, switches_output, units};
use crate::{Bank, Error, Held, Range};

/// The place of the value.
const VALUE: &str = "{value}";
/// The longest time until a control has settled, in s.
const LONGEST_SETTLE: f64 = 60.0;
/// How far a readback may be from what was sent where the rig file does not say it, as a part of the larger end of the range: as of
/// settings.
const TOLERANCE: f32 = 1e-3;

/// A trainable control that one command sets.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ScpiControlConfig {
    /// One command with `{value}` among what it takes, such as `SOUR2:VOLT:OFFS {value}`.
    pub command: String,
    /// Reads it back, such as `SOUR2:VOLT:OFFS?`; left out where the instrument cannot say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub query: Option<String>,
    /// Unit of the value, such as `V`: that of the twin's control.
    pub unit: String,
    /// Smallest value.
    pub low: f32,
    /// Largest value. Narrower ranges, and the largest step, are `limits` of the plant.
    pub high: f32,
    /// From when the instrument has taken it to when the plant has followed, in s.
    #[serde(default)]
    #[schemars(range(min = 0, max = 60))]
    pub settle_seconds: f64,
    /// How far what is read back may be from what was sent, in its unit; left out, a thousandth of the larger end of the range.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("exclusiveMinimum" = 0))]
    pub tolerance: Option<f32>,
    /// Switches on the output that carries it, such as `OUTP2 ON`: sent after its first value. Give `off` as well.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub on: Option<String>,
    /// Switches that output off, in the safe state.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub off: Option<String>,
}

/// Controls by their names, which are those of their banks. They count in the order of the alphabet.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(transparent)]
pub struct ScpiControlsConfig(pub BTreeMap<String, ScpiControlConfig>);

/// What the driver itself tells the instrument: no control may be any of it.
pub(crate) struct Reserved<'a> {
    /// Commands that the bench sends, each with its value, or with a place such as `{volts}` that the value is filled in at.
    pub commands: Vec<String>,
    /// What switches the drive on and off, and plays it.
    pub switches: [&'a str; 3],
    /// Whether all commands with such a header, in capitals, belong to the bench.
    pub owns: fn(&str) -> bool,
}

impl ScpiControlConfig {
    /// The line that sets it.
    fn line(&self, value: f32) -> String {
        // Nobody wants a negative zero.
        self.command.trim().replace(VALUE, &(value + 0.0).to_string())
    }

    fn range(&self) -> Range {
        Range::new(self.low, self.high)
    }

    /// How far a readback may be from what was sent, in its unit.
    fn tolerance(&self) -> f64 {
        f64::from(self.tolerance.unwrap_or(TOLERANCE * self.range().full_scale()))
    }

    /// The value in the answer to its query; nothing where that is no number, or out of its range by more than it may be off.
    fn read(&self, answer: &[u8]) -> Option<f32> {
        let (read, off) = (told(answer)?, self.tolerance());
        let may_be = f64::from(self.low) - off..=f64::from(self.high) + off;
        may_be.contains(&read).then(|| (read as f32).clamp(self.low, self.high))
    }

    fn held(&self, value: f32) -> Option<Held> {
        let (query, tolerance) = (self.query.as_ref()?.trim().to_owned(), self.tolerance());
        let header = self.command.replace(VALUE, "").trim().trim_end_matches(',').trim_end().to_owned();
        Some(Held { header, query, value: f64::from(value), tolerance })
    }

    /// What makes no sense, if anything: the key, and the rest of the sentence.
    fn complaint(&self, reserved: &Reserved<'_>) -> Option<(&'static str, String)> {
        if self.unit.trim().is_empty() {
            return Some(("unit", "is empty: write its SI unit, or 1".to_owned()));
        }
        if !(self.low.is_finite() && self.high.is_finite() && self.low < self.high) {
            return Some(("high", format!("is {}, which is not above `low`, {}", self.high, self.low)));
        }
        if !(0.0..=LONGEST_SETTLE).contains(&self.settle_seconds) {
            return Some(("settle_seconds", format!("is {} s: give 0 to {LONGEST_SETTLE}", self.settle_seconds)));
        }
        if let Some(tolerance) = self.tolerance.filter(|tolerance| !(tolerance.is_finite() && 0.0 < *tolerance)) {
            return Some(("tolerance", format!("is {tolerance} {}: it must be above 0", self.unit)));
        }
        let command = self.command_complaint(reserved).map(|message| ("command", message));
        let query = || self.query.as_ref().and_then(|query| query_complaint(query)).map(|message| ("query", message));
        command.or_else(query).or_else(|| self.switch_complaint(reserved))
    }

    fn command_complaint(&self, reserved: &Reserved<'_>) -> Option<String> {
        let (count, rest) = (self.command.matches(VALUE).count(), self.command.replace(VALUE, ""));
        if count != 1 {
            return Some(format!("has `{VALUE}` {count} times: write once where the value stands"));
        }
        if rest.contains(['{', '}']) {
            return Some(format!("has a place other than `{VALUE}`: nothing else can be filled in"));
        }
        let unit = match one_unit(&self.command) {
            Ok(unit) => unit,
            Err(message) => return Some(message),
        };
        if unit.headers[0].ends_with('?') {
            return Some("is a query: give the command that sets it".to_owned());
        }
        if unit.headers[0].contains(VALUE) {
            return Some(format!("has `{VALUE}` in its header: it stands behind that, after a space"));
        }
        let filled = units(&self.command.replace(VALUE, "1"));
        if filled.iter().any(|unit| switches_output(unit, reserved.switches)) {
            return Some("may switch an output, reset or trigger: a control is a number that the instrument is set to, and an output that carries it is switched by `on` and `off`".to_owned());
        }
        clash(&unit, reserved).map(|command| format!("sets what `{command}` sets: that belongs to the bench"))
    }

    /// What is wrong with `on` and `off`.
    fn switch_complaint(&self, reserved: &Reserved<'_>) -> Option<(&'static str, String)> {
        let (on, off) = match (&self.on, &self.off) {
            (None, None) => return None,
            (Some(on), Some(off)) => (on, off),
            (Some(_), None) => return Some(("off", "is missing: what is switched on must be switched off".to_owned())),
            (None, Some(_)) => return Some(("on", "is missing: what is switched off must be switched on".to_owned())),
        };
        let complaint = |text: &String| {
            if text.contains(['{', '}']) {
                return Some("has a place: it is sent as it is".to_owned());
            }
            let unit = match one_unit(text) {
                Ok(unit) => unit,
                Err(message) => return Some(message),
            };
            if unit.headers[0].ends_with('?') || unit.headers[0].starts_with('*') || resets(&unit) {
                return Some("must switch one output".to_owned());
            }
            clash(&unit, reserved).map(|command| format!("does what `{command}` does: that belongs to the bench"))
        };
        let each = complaint(on).map(|message| ("on", message));
        let each = each.or_else(|| complaint(off).map(|message| ("off", message)));
        each.or_else(|| pair_complaint(on, off))
    }
}

impl ScpiControlsConfig {
    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Refuses what makes no sense.
    pub(crate) fn check(&self, reserved: &Reserved<'_>) -> Result<(), Error> {
        let mut known: Vec<Unit> = vec![];
        for (name, control) in &self.0 {
            let refuse = |key: String, message: String| Err(Error::Description { key, message });
            if name.is_empty() || !name.chars().all(|letter| letter.is_ascii_alphanumeric() || "-_".contains(letter)) {
                return refuse(
                    format!("controls.{name}"),
                    "has a name of other letters than a-z, 0-9, - and _".to_owned(),
                );
            }
            if let Some((key, message)) = control.complaint(reserved) {
                return refuse(format!("controls.{name}.{key}"), message);
            }
            let unit = one_unit(&control.command).ok();
            if let Some(unit) = unit {
                if known.iter().any(|other| is_same(&unit, other)) {
                    return refuse(format!("controls.{name}.command"), "sets what another control sets".to_owned());
                }
                known.push(unit);
            }
        }
        Ok(())
    }

    /// One bank of one port for each.
    pub fn banks(&self) -> Vec<Bank> {
        let bank = |(name, control): (&String, &ScpiControlConfig)| Bank::new(name, 1, &control.unit, control.range());
        self.0.iter().map(bank).collect()
    }

    /// Whether the instrument can say where each of them is.
    pub fn are_read_back(&self) -> bool {
        self.0.values().all(|control| control.query.is_some())
    }

    /// Zero, or the value nearest to it.
    pub(crate) fn safe(&self) -> Vec<f32> {
        self.0.values().map(|control| control.range().at_rest()).collect()
    }

    /// The lines that set those that have changed, and switch on the outputs that carry them where `switches`.
    pub(crate) fn lines(&self, wanted: &[f32], changed: &[bool], switches: bool) -> Vec<String> {
        let all = self.0.values().zip(wanted.iter().zip(changed));
        let lines = all.filter(|(_, (_, changed))| **changed).map(|(control, (wanted, _))| control.line(*wanted));
        let on = self.0.values().filter_map(|control| control.on.clone()).filter(|_| switches);
        lines.chain(on).collect()
    }

    /// What makes each of them safe: its lines, and what it is to read then.
    pub(crate) fn safe_lines(&self) -> Vec<(Vec<String>, Option<Held>)> {
        let lines = |(control, safe): (&ScpiControlConfig, f32)| {
            let lines = [control.line(safe)].into_iter().chain(control.off.clone()).collect();
            (lines, control.held(safe))
        };
        self.0.values().zip(self.safe()).map(lines).collect()
    }

    /// What those that can be read back are to read, at `values`.
    pub(crate) fn held(&self, values: &[f32]) -> Vec<Held> {
        self.0.values().zip(values).filter_map(|(control, value)| control.held(*value)).collect()
    }

    /// The queries of all; nothing where one has none.
    pub(crate) fn queries(&self) -> Option<Vec<String>> {
        self.0.values().map(|control| control.query.as_ref().map(|query| query.trim().to_owned())).collect()
    }

    /// The values in the answers to [`Self::queries`], within their ranges; nothing where one of them is no value that its control can have.
    pub(crate) fn parse(&self, answers: &[Vec<u8>]) -> Option<Vec<f32>> {
        self.0.values().zip(answers).map(|(control, answer)| control.read(answer)).collect()
    }

    /// What is applied when `wanted` was sent and the queries that there are were answered so.
    pub(crate) fn applied(&self, wanted: &[f32], answers: &[Vec<u8>]) -> Vec<f32> {
        let mut answers = answers.iter();
        let value = |(control, wanted): (&ScpiControlConfig, &f32)| {
            let answer = control.query.as_ref().and_then(|_| answers.next());
            answer.and_then(|answer| control.read(answer)).unwrap_or(*wanted)
        };
        self.0.values().zip(wanted).map(value).collect()
    }

    /// The longest time until those that `changed` have settled, in s.
    pub(crate) fn settle_seconds(&self, changed: impl Fn(usize) -> bool) -> f64 {
        let all = self.0.values().enumerate().filter(|(index, _)| changed(*index));
        all.map(|(_, control)| control.settle_seconds).fold(0.0, f64::max)
    }
}

/// What is wrong with `on` and `off` together, each of which is one command: the key, and the rest of the sentence.
fn pair_complaint(on: &str, off: &str) -> Option<(&'static str, String)> {
    let (ons, offs) = (one_unit(on).ok()?, one_unit(off).ok()?);
    let state = |unit: &Unit| unit.arguments.first().and_then(|state| number(state));
    let (header, other) = (&ons.headers[0], &offs.headers[0]);
    let is_channel = same_header(header, other);
    // Words in capitals, numbers and states as numbers.
    let spelled = |unit: &Unit| -> Vec<_> {
        unit.arguments
            .iter()
            .map(|word| number(word).map_or(word.to_ascii_uppercase(), |value| value.to_string()))
            .collect()
    };
    if is_channel && spelled(&ons) == spelled(&offs) {
        return Some(("off", format!("does what `on`, `{on}`, does: it must switch the output off")));
    }
    if !is_channel && same_command(header, other) {
        return Some(("off", format!("switches another output than `on`, `{on}`")));
    }
    if is_output(&ons) && state(&ons) == Some(0.0) {
        return Some(("on", "switches the output off".to_owned()));
    }
    let is_on = is_output(&offs) && state(&offs).is_some_and(|state| state != 0.0);
    is_on.then(|| ("off", "switches the output on".to_owned()))
}

/// What is wrong with the query of a control.
fn query_complaint(query: &str) -> Option<String> {
    if query.contains(['{', '}']) {
        return Some("has a place: it is sent as it is".to_owned());
    }
    match one_unit(query) {
        Ok(unit) if unit.headers[0].ends_with('?') => None,
        Ok(_) => Some("must be one query, which ends with `?`".to_owned()),
        Err(message) => Some(message),
    }
}

/// The one command of a line, or why it is not that.
fn one_unit(line: &str) -> Result<Unit, String> {
    if line.chars().any(char::is_control) {
        return Err("holds a line feed or another control character: give one line".to_owned());
    }
    let mut units = units(line);
    match (units.pop(), units.len()) {
        (Some(unit), 0) => Ok(unit),
        (None, _) => Err("is empty: give one command".to_owned()),
        _ => Err("holds several commands: give one, without `;`".to_owned()),
    }
}

/// The command of the bench that a unit sets as well, if there is one.
fn clash<'a>(unit: &Unit, reserved: &'a Reserved<'_>) -> Option<&'a str> {
    if (reserved.owns)(&unit.headers[0].to_ascii_uppercase()) {
        return Some("the driver");
    }
    let switches = reserved.switches.iter().copied();
    let mut all = reserved.commands.iter().map(String::as_str).chain(switches);
    all.find(|command| units(command).iter().any(|other| is_same(unit, other)))
}

/// Whether two commands set the same thing: the same header, channel by channel, unless a word that both take differs, such as the pin.
fn is_same(unit: &Unit, other: &Unit) -> bool {
    let is_word = |text: &String| !text.contains('{') && number(text).is_none();
    let mut pairs = unit.arguments.iter().zip(&other.arguments);
    same_header(&unit.headers[0], &other.headers[0])
        && !pairs.any(|(one, other)| is_word(one) && is_word(other) && !one.eq_ignore_ascii_case(other))
}

#[cfg(test)]
mod tests;
