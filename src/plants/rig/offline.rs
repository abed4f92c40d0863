//! What can be told of a rig without opening any plant of it.

use drivers::{Address, Card, Direction, Interlocked, Limited, Replayed, Silent, Watched};

use super::config::InterlockConfig;
use super::twin_ports::matching;
use super::{PlantConfig, Rig, SimulatedConfig};
use crate::Error;

/// What was looked at, and what was seen or is wrong.
pub type Looked = (&'static str, Result<String, Error>);

impl Rig {
    /// Looks at what the rig file says of the plant called `name`; that its keys and ranges make sense was seen when it was read.
    pub fn look_at(&self, name: &str) -> Result<Vec<Looked>, Error> {
        let config = &self.config.plants[name];
        let path = format!("plants.{name}");
        let bench = config.bench.as_ref();
        let key = match (&config.simulated, bench) {
            (Some(_), _) => "simulated",
            (None, Some(_)) => "bench.twin",
            (None, None) => "replay.twin",
        };
        let mut all = vec![("description", Ok("its keys, ranges and units make sense".to_owned()))];
        let card = match config.twin_system().map(|system| self.twin_card(system, &format!("{path}.{key}"))) {
            Some(Ok(card)) => {
                all.push(("twin", Ok(ports(&card))));
                Some(card)
            }
            Some(Err(error)) => {
                all.push(("twin", Err(error)));
                None
            }
            None => {
                all.push(("twin", Ok("is learned; its banks are those of the plant".to_owned())));
                None
            }
        };
        if let Some(bench) = bench {
            let addresses = bench.instruments.addresses(name, &self.folder);
            let addresses = addresses.and_then(|all| bench.instruments.keeps(&config.limits).map(|()| all));
            let words = |all: Vec<Address>| {
                let spelled = all.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
                match self.others_at(name, &all) {
                    others if others.is_empty() => spelled,
                    others => {
                        let others = others.join("`, `");
                        format!("{spelled}; plant `{others}` has it as well: only one of these can be open at a time")
                    }
                }
            };
            all.push(("addresses", addresses.map(words).map_err(|error| self.bench_error(name, error))));
        }
        if let Some(replay) = &config.replay {
            let opened = Replayed::open(&self.folder.join(&replay.file));
            let seen = opened.map(|_| format!("{} can be read", replay.file.display()));
            all.push((
                "recording",
                seen.map_err(|error| self.document.refuse(&format!("{path}.replay.file"), error.to_string())),
            ));
        }
        if let (Some(card), Some(bench)) = (&card, bench)
            && let Some(has) = bench.instruments.ports()
        {
            let same = matching(config, &has, &card.ports)
                .map(|()| "numbers, units and the names of controls are the twin's".to_owned());
            all.push(("ports", same.map_err(|message| self.document.refuse(&path, message))));
        }
        if let Some(card) = card {
            all.push(("limits", self.limits_of(name, &card, bench.is_some())));
            all.push(("interlocks", self.interlocks_of(name, card)));
        }
        Ok(all)
    }

    /// The plants besides the one called `name` that are at one of its `addresses`, spelled alike: no name of a host is looked up here.
    fn others_at(&self, name: &str, addresses: &[Address]) -> Vec<&str> {
        let is_there = |(other, config): &(&String, &PlantConfig)| {
            let bench = config.bench.as_ref().filter(|_| *other != name);
            let all = bench.and_then(|bench| bench.instruments.addresses(other, &self.folder).ok()).unwrap_or_default();
            all.iter().any(|address| addresses.contains(address))
        };
        self.config.plants.iter().filter(is_there).map(|(other, _)| other.as_str()).collect()
    }

    fn twin_card(&self, system: &SimulatedConfig, path: &str) -> Result<Card, Error> {
        let built = system.build(0);
        Ok(built.map_err(|error| self.unbuilt(path, &error))?.twin.card().clone())
    }

    /// Refuses the system at `path`, where the key stands that makes no sense.
    pub(super) fn unbuilt(&self, path: &str, error: &sims::Error) -> Error {
        let key = match error {
            sims::Error::Coefficient { name: key, .. } | sims::Error::Feedthrough { key, .. } => *key,
            sims::Error::Equations { .. } => "",
        };
        self.document.refuse_inside(path, key, format!("cannot be built: {error}"))
    }

    /// Whether the limits are of banks that there are, and within their ranges; those of real instruments only they can tell.
    fn limits_of(&self, name: &str, card: &Card, is_bench: bool) -> Result<String, Error> {
        let limits = self.config.plants[name].limits.limits();
        match Limited::new(Silent::new(card.clone()), &limits) {
            Err(drivers::Error::LimitOutside { .. }) if is_bench => {
                Ok("of banks that there are; whether the instruments can keep them only they can tell".to_owned())
            }
            Err(error) => {
                Err(self.document.refuse(&format!("plants.{name}.limits"), format!("cannot be kept: {error}")))
            }
            Ok(_) => Ok("of banks that there are".to_owned()),
        }
    }

    fn interlocks_of(&self, name: &str, card: Card) -> Result<String, Error> {
        // Those of instruments beside the plant watch no bank.
        let of = |interlock: &InterlockConfig| {
            let bank = interlock.output.clone().filter(|_| interlock.instrument.is_none())?;
            Some(interlock.interlock(Watched::Bank(bank)))
        };
        let interlocks: Vec<_> = self.config.plants[name].interlocks.iter().filter_map(of).collect();
        let count = interlocks.len();
        let watched = Interlocked::new(Silent::new(card), interlocks);
        let refuse = |error: drivers::Error| {
            self.document.refuse(&format!("plants.{name}.interlocks"), format!("cannot be watched: {error}"))
        };
        watched.map(|_| format!("{count}, of banks that there are")).map_err(refuse)
    }
}

/// How many ports there are.
fn ports(card: &Card) -> String {
    let count = |direction| card.ports.count(direction);
    let [inputs, controls, outputs] = [Direction::Input, Direction::Control, Direction::Output].map(count);
    format!("{inputs} inputs, {controls} controls, {outputs} outputs")
}
