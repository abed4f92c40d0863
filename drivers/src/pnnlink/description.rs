//! What a pnnlink instrument says about itself ⇄ ports, and values ⇄ bytes as its banks code them.
//!
//! Codes are not volts: a value in its unit is `offset + scale · code`, with both numbers told by the instrument, whose
//! firmware has the circuit in its comments.

use super::message::{BankMessage, BankWay, Coding, Welcome};
use crate::{Bank, Card, Direction, Identity, Origin, Ports, Range, Timing};

/// How the values of one direction travel: for each run of ports, how many and their coding.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Layout(Vec<(usize, Coding)>);

impl Coding {
    /// Bytes of one value.
    pub const fn width(self) -> usize {
        match self {
            Self::F32 => 4,
            Self::I16 { .. } => 2,
        }
    }

    /// Appends a value's bytes; a code is the nearest one.
    fn put(self, value: f32, bytes: &mut Vec<u8>) {
        match self {
            Self::F32 => bytes.extend_from_slice(&value.to_le_bytes()),
            Self::I16 { scale, offset } => {
                // `as` saturates: a value beyond the codes gets the last code.
                let code = ((value - offset) / scale).round() as i16;
                bytes.extend_from_slice(&code.to_le_bytes());
            }
        }
    }

    /// The value in its bytes.
    fn get(self, bytes: &[u8]) -> f32 {
        match (self, bytes) {
            (Self::F32, &[a, b, c, d]) => f32::from_le_bytes([a, b, c, d]),
            (Self::I16 { scale, offset }, &[a, b]) => offset + scale * f32::from(i16::from_le_bytes([a, b])),
            _ => f32::NAN,
        }
    }
}

impl Layout {
    /// How many values there are.
    pub fn count(&self) -> usize {
        self.0.iter().map(|(count, _)| count).sum()
    }

    /// How many bytes they take.
    pub fn bytes(&self) -> usize {
        self.0.iter().map(|(count, coding)| count * coding.width()).sum()
    }

    /// The coding of each value.
    fn codings(&self) -> impl Iterator<Item = Coding> {
        self.0.iter().flat_map(|&(count, coding)| std::iter::repeat_n(coding, count))
    }

    /// Appends a row of values.
    pub fn encode(&self, values: &[f32], bytes: &mut Vec<u8>) {
        for (coding, &value) in self.codings().zip(values) {
            coding.put(value, bytes);
        }
    }

    /// The row of values that fills `bytes`; none when it has another length.
    pub fn decode(&self, bytes: &[u8]) -> Option<Vec<f32>> {
        if bytes.len() != self.bytes() {
            return None;
        }
        let (mut values, mut rest) = (Vec::with_capacity(self.count()), bytes);
        for coding in self.codings() {
            let (value, others) = rest.split_at(coding.width());
            values.push(coding.get(value));
            rest = others;
        }
        Some(values)
    }

    /// As many values from number `first` on as fit into `room` bytes: how many, and their place in the coded row.
    pub fn span(&self, first: usize, room: usize) -> (usize, std::ops::Range<usize>) {
        let start: usize = self.codings().take(first).map(Coding::width).sum();
        let (mut count, mut end) = (0, start);
        for coding in self.codings().skip(first) {
            if room < end + coding.width() - start {
                break;
            }
            count += 1;
            end += coding.width();
        }
        (count, start..end)
    }
}

/// An instrument as it has described itself.
#[derive(Debug, Clone, PartialEq)]
pub struct Description {
    /// Who it is, its ports and times.
    pub card: Card,
    /// How inputs travel.
    pub inputs: Layout,
    /// How controls travel.
    pub controls: Layout,
    /// How outputs travel.
    pub outputs: Layout,
}

impl Description {
    /// The description in the instrument's own words; none when a bank is missing, empty or has no proper range.
    pub fn new(welcome: &Welcome, banks: &[BankMessage]) -> Option<Self> {
        let proper = |bank: &BankMessage| {
            let scale = match bank.coding {
                Coding::F32 => 1.0,
                Coding::I16 { scale, offset } => scale + 0.0 * offset,
            };
            0 < bank.count && bank.low.is_finite() && bank.low < bank.high && bank.high.is_finite() && scale.is_normal()
        };
        if banks.len() != usize::from(welcome.banks) || !banks.iter().all(proper) {
            return None;
        }
        let ports = |way| {
            banks
                .iter()
                .filter(move |bank| bank.way == way)
                .map(|bank| Bank::new(&bank.name, bank.count.into(), &bank.unit, Range::new(bank.low, bank.high)))
                .collect()
        };
        let layout = |way| {
            Layout(banks.iter().filter(|bank| bank.way == way).map(|bank| (bank.count.into(), bank.coding)).collect())
        };
        let origin = if welcome.simulated { Origin::Simulated } else { Origin::Real };
        Some(Self {
            card: Card {
                identity: Identity { system: welcome.system.clone(), serial: welcome.serial.clone(), origin },
                ports: Ports {
                    inputs: ports(BankWay::Input),
                    controls: ports(BankWay::Control),
                    outputs: ports(BankWay::Output),
                },
                timing: Timing {
                    settle: welcome.settle_seconds.into(),
                    latency: welcome.latency_seconds.into(),
                    shot: welcome.shot_seconds.into(),
                },
            },
            inputs: layout(BankWay::Input),
            controls: layout(BankWay::Control),
            outputs: layout(BankWay::Output),
        })
    }
}

/// The banks of `ports` as an instrument sends them, all of one coding by direction.
pub fn describe(ports: &Ports, coding: impl Fn(Direction, &Bank) -> Coding) -> Vec<BankMessage> {
    let ways = [
        (Direction::Input, BankWay::Input),
        (Direction::Control, BankWay::Control),
        (Direction::Output, BankWay::Output),
    ];
    let banks =
        ways.iter().flat_map(|&(direction, way)| ports.banks(direction).iter().map(move |b| (direction, way, b)));
    banks
        .enumerate()
        .map(|(number, (direction, way, bank))| BankMessage {
            bank: number as u8,
            way,
            name: bank.name.clone(),
            count: bank.count as u16,
            unit: bank.unit.clone(),
            low: bank.range.low,
            high: bank.range.high,
            coding: coding(direction, bank),
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_return_from_their_bytes() {
        let layout = Layout(vec![(2, Coding::F32), (3, Coding::I16 { scale: 0.001, offset: 0.5 })]);
        let mut bytes = Vec::new();
        layout.encode(&[1.0, -0.1, 0.5, 33.267, -40.0], &mut bytes);
        assert_eq!((bytes.len(), layout.bytes(), layout.count()), (14, 14, 5));
        let values = layout.decode(&bytes).unwrap();
        assert_eq!(values[..3], [1.0, -0.1, 0.5]);
        assert!((values[3] - 33.267).abs() < 1e-5, "the last code");
        assert!((values[4] + 32.268).abs() < 1e-5, "saturated at the first code");
        assert_eq!(layout.decode(&bytes[1..]), None);
    }

    #[test]
    fn a_row_is_cut_where_values_end() {
        let layout = Layout(vec![(2, Coding::F32), (3, Coding::I16 { scale: 1.0, offset: 0.0 })]);
        assert_eq!(layout.span(0, 11), (3, 0..10));
        assert_eq!(layout.span(3, 100), (2, 10..14));
        assert_eq!(layout.span(0, 3), (0, 0..0));
    }
}
