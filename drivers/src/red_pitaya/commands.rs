//! Which commands the server of a Red Pitaya has: `SYST:HELP?` lists them, from OS 2.04 on.
//!
//! A server that has no such list refuses to give it, or says nothing. It then has the commands of OS 2.x if it answers
//! `ACQ:TRIG:FILL?`, which only OS 2.x has, and those of OS 1.x if it does not.

use std::time::Duration;

use crate::{Error, Link, Scpi, ScpiRequest, Setting, Step};

/// A list of commands has this one, or it is something else.
const CERTAIN: &str = "ACQ:START";

/// The commands of one server, where servers differ.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Commands {
    /// Triggers the generator.
    pub fire: &'static str,
    /// Sets the decimation. `ACQ:DEC` may take powers of two alone, `ACQ:DEC:F` any whole number.
    pub decimation: &'static str,
    /// Whether the server tells when the ring is full.
    pub tells_full: bool,
    /// The headers of its list in capitals, without numbers and optional marks; empty where there is no list.
    listed: Vec<String>,
}

impl Commands {
    /// Asks the server behind `link`.
    pub fn ask(link: &Link<Scpi>, within: Duration) -> Result<Self, Error> {
        let ask = |step: Step| link.insist(ScpiRequest::Steps(vec![step]), within);
        let list = match ask(Step::query_lines("SYST:HELP?")) {
            Ok(answers) => String::from_utf8_lossy(&answers.concat()).into_owned(),
            Err(Error::Refused { .. } | Error::Timeout { .. } | Error::Unfinished { .. } | Error::Garbled { .. }) => {
                String::new()
            }
            Err(error) => return Err(error),
        };
        if let Some(commands) = Self::listed(&list) {
            return Ok(commands);
        }
        match ask(Step::query("ACQ:TRIG:FILL?")) {
            Ok(_) => Ok(Self::unlisted(true)),
            Err(Error::Refused { .. }) => Ok(Self::unlisted(false)),
            Err(error) => Err(error),
        }
    }

    /// Those of a server that gives this list; nothing where it is none.
    fn listed(list: &str) -> Option<Self> {
        let commands = Self { listed: list.lines().map(plain).collect(), ..Self::unlisted(true) };
        let has = |header: &str| commands.has(header);
        if !has(CERTAIN) {
            return None;
        }
        Some(Self {
            fire: if has("SOUR:TRIG:INT") || !has("SOUR:TRIG:IMM") { "SOUR1:TRIG:INT" } else { "SOUR1:TRIG:IMM" },
            decimation: if has("ACQ:DEC:FACTOR") { "ACQ:DEC:F" } else { "ACQ:DEC" },
            tells_full: has("ACQ:TRIG:FILL?"),
            ..commands
        })
    }

    /// Those of OS 2.x before it listed its commands, or of OS 1.x.
    fn unlisted(is_second: bool) -> Self {
        let fire = if is_second { "SOUR1:TRIG:INT" } else { "SOUR1:TRIG:IMM" };
        Self { fire, decimation: "ACQ:DEC", tells_full: is_second, listed: vec![] }
    }

    fn has(&self, header: &str) -> bool {
        self.listed.iter().any(|known| known == header)
    }

    /// A setting that is read back only where its server has a query for it. Without a list, only the format is known to have none in
    /// some of them.
    pub fn readable(&self, setting: Setting) -> Setting {
        let is_known = match &setting.query {
            Some(query) if self.listed.is_empty() => !query.eq_ignore_ascii_case("ACQ:DATA:FORMAT?"),
            // The list has the long form of the decimation's factor.
            Some(query) => self.has(&plain(query)) || query.starts_with("ACQ:DEC:F"),
            None => false,
        };
        Setting { query: setting.query.filter(|_| is_known), ..setting }
    }
}

/// A header as it is compared: in capitals, without the marks of numbers and of words that may be left out.
fn plain(header: &str) -> String {
    let marks = |letter: &char| !letter.is_ascii_digit() && !"#[]".contains(*letter);
    header.trim().trim_start_matches(':').chars().filter(marks).collect::<String>().to_ascii_uppercase()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_says_what_there_is() {
        let newest = "*IDN?\nACQ:START\nACQ:DEC\nACQ:DEC?\nACQ:DEC:Factor\nACQ:DEC:Factor?\nACQ:TRig:FILL?\nACQ:DATA:FORMAT\nSOUR#:VOLT?\nSOUR#:TRig:INT\n";
        let commands = Commands::listed(newest).unwrap();
        assert_eq!((commands.fire, commands.decimation, commands.tells_full), ("SOUR1:TRIG:INT", "ACQ:DEC:F", true));
        let query = |header: &str| commands.readable(Setting::new(header, &1)).query;
        assert_eq!(query("SOUR1:VOLT").unwrap(), "SOUR1:VOLT?");
        assert_eq!(query("ACQ:DEC:F").unwrap(), "ACQ:DEC:F?");
        assert_eq!(query("ACQ:DATA:FORMAT"), None, "it takes the format, and does not give it back");
        let old = Commands::listed("ACQ:START\nACQ:DEC\nSOUR#:TRIG:IMM\nOUTPut#[:STATe]\n").unwrap();
        assert_eq!((old.fire, old.decimation, old.tells_full), ("SOUR1:TRIG:IMM", "ACQ:DEC", false));
        assert!(old.has("OUTPUT:STATE"));
        assert_eq!(Commands::listed("Type HELP for help\n"), None);
    }

    #[test]
    fn without_a_list_one_query_tells_the_systems_apart() {
        let (first, second) = (Commands::unlisted(false), Commands::unlisted(true));
        assert_eq!((first.fire, first.tells_full), ("SOUR1:TRIG:IMM", false));
        assert_eq!((second.fire, second.tells_full), ("SOUR1:TRIG:INT", true));
        assert!(first.readable(Setting::new("ACQ:DEC", &8)).query.is_some());
        assert!(first.readable(Setting::new("ACQ:DATA:FORMAT", &"BIN")).query.is_none());
    }
}
