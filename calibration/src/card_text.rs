//! A plant's card as TOML, for the metadata of traces and for fits.

use drivers::{Bank, Card, Identity, Origin, Ports, Range, Timing};
use serde::{Deserialize, Serialize};

use crate::Error;

#[derive(Debug, Serialize, Deserialize)]
struct CardText {
    system: String,
    serial: String,
    origin: String,
    settle_seconds: f64,
    latency_seconds: f64,
    shot_seconds: f64,
    inputs: Vec<BankText>,
    controls: Vec<BankText>,
    outputs: Vec<BankText>,
}

#[derive(Debug, Serialize, Deserialize)]
struct BankText {
    name: String,
    count: usize,
    unit: String,
    low: f32,
    high: f32,
}

/// `card` as TOML.
pub(crate) fn card_text(card: &Card) -> String {
    let banks = |banks: &[Bank]| {
        banks
            .iter()
            .map(|bank| BankText {
                name: bank.name.clone(),
                count: bank.count,
                unit: bank.unit.clone(),
                low: bank.range.low,
                high: bank.range.high,
            })
            .collect()
    };
    let text = CardText {
        system: card.identity.system.clone(),
        serial: card.identity.serial.clone(),
        origin: card.identity.origin.to_string(),
        settle_seconds: card.timing.settle,
        latency_seconds: card.timing.latency,
        shot_seconds: card.timing.shot,
        inputs: banks(&card.ports.inputs),
        controls: banks(&card.ports.controls),
        outputs: banks(&card.ports.outputs),
    };
    // Strings and numbers only: TOML can say all of it.
    toml::to_string(&text).unwrap_or_default()
}

/// The card that [`card_text`] wrote.
pub(crate) fn read_card(text: &str) -> Result<Card, Error> {
    let text: CardText = toml::from_str(text)
        .map_err(|error| Error::trace(format!("has a card that cannot be read: {}", error.message())))?;
    let origin = read_origin(&text.origin)?;
    let banks = |banks: Vec<BankText>| {
        banks
            .into_iter()
            .map(|bank| Bank::new(&bank.name, bank.count, &bank.unit, Range::new(bank.low, bank.high)))
            .collect()
    };
    let card = Card {
        identity: Identity { system: text.system, serial: text.serial, origin },
        ports: Ports { inputs: banks(text.inputs), controls: banks(text.controls), outputs: banks(text.outputs) },
        timing: Timing { settle: text.settle_seconds, latency: text.latency_seconds, shot: text.shot_seconds },
    };
    card.complaint().map_or(Ok(card), |complaint| Err(Error::trace(format!("has a card that {complaint}"))))
}

/// The origin of that name.
pub(crate) fn read_origin(name: &str) -> Result<Origin, Error> {
    match name {
        "real" => Ok(Origin::Real),
        "simulated" => Ok(Origin::Simulated),
        "replayed" => Ok(Origin::Replayed),
        other => {
            Err(Error::trace(format!("comes from a plant that is `{other}`: real, simulated or replayed is known")))
        }
    }
}
