//! Checks of what a plant says about itself, and of what it refuses.

use std::collections::BTreeSet;

use drivers::{Batch, Direction, Error};

use super::subject::{Failure, Seen, Subject, free_to_drive, shots};

/// It says who it is.
pub(super) fn identity(subject: &mut Subject) -> Seen {
    let identity = &subject.plant.card().identity;
    if identity.system.trim().is_empty() || identity.serial.trim().is_empty() {
        return Err(Failure::Wrong(format!(
            "system `{}`, serial number `{}`: one is empty",
            identity.system, identity.serial
        )));
    }
    Ok(format!("{} {}, {}", identity.system, identity.serial, identity.origin))
}

/// Its ports have names, units and ranges.
pub(super) fn ports(subject: &mut Subject) -> Seen {
    let ports = subject.plant.ports();
    if ports.input_count() == 0 || ports.output_count() == 0 {
        return Err(Failure::Wrong("it has no inputs or no outputs".to_owned()));
    }
    for direction in [Direction::Input, Direction::Control, Direction::Output] {
        let mut names = BTreeSet::new();
        for bank in ports.banks(direction) {
            let range = bank.range;
            if bank.name.is_empty() || bank.unit.is_empty() || !names.insert(bank.name.clone()) {
                return Err(Failure::Wrong(format!(
                    "{direction} bank `{}` in `{}` has no name or unit of its own",
                    bank.name, bank.unit
                )));
            }
            if !(range.low.is_finite() && range.high.is_finite() && range.low < range.high) {
                return Err(Failure::Wrong(format!("{direction} bank `{}` has the range {range}", bank.name)));
            }
        }
    }
    let timing = subject.plant.card().timing;
    if [timing.settle, timing.latency, timing.shot].iter().any(|seconds| !seconds.is_finite() || *seconds < 0.0) {
        return Err(Failure::Wrong(format!("its timing makes no sense: {timing:?}")));
    }
    Ok(format!("{} inputs, {} controls, {} outputs", ports.input_count(), ports.control_count(), ports.output_count()))
}

/// What is out of range, and what is no number, is refused before anything is sent.
pub(super) fn limits(subject: &mut Subject) -> Seen {
    let range = subject.plant.ports().ranges(Direction::Input)[0];
    let good = shots(subject, 1, 1);
    for bad in [range.high + range.span(), range.low - range.span(), f32::NAN, f32::INFINITY] {
        let mut values = good.values().to_vec();
        values[0] = bad;
        let refused = subject.plant.measure(&Batch::new(good.columns(), values)?);
        if !matches!(refused, Err(Error::OutOfRange { .. })) {
            return Err(Failure::Wrong(format!("an input of {bad} was not refused as out of range")));
        }
    }
    let controls = subject.plant.ports().ranges(Direction::Control);
    if let Some(range) = controls.first() {
        let mut values: Vec<f32> = controls.iter().map(|range| 0.5 * (range.low + range.high)).collect();
        values[0] = range.high + range.span();
        if !matches!(subject.plant.apply(&values), Err(Error::OutOfRange { .. })) {
            return Err(Failure::Wrong(format!("a control of {} was not refused as out of range", values[0])));
        }
    }
    Ok("values outside, NaN and infinity are refused".to_owned())
}

/// What is applied is near what was asked for, and applied again the same.
pub(super) fn readback(subject: &mut Subject) -> Seen {
    free_to_drive(subject)?;
    let ranges = subject.plant.ports().ranges(Direction::Control);
    if ranges.is_empty() {
        return Err(Failure::NotRun("it has no controls"));
    }
    let mut worst = 0.0_f32;
    for part in [0.25, 0.5, 0.75] {
        let asked: Vec<f32> = ranges.iter().map(|range| range.low + part * range.span()).collect();
        let applied = subject.plant.apply(&asked)?;
        if applied.len() != asked.len() || applied != subject.plant.apply(&asked)? {
            return Err(Failure::Wrong("the same controls were applied differently twice".to_owned()));
        }
        for ((asked, applied), range) in asked.iter().zip(&applied).zip(&ranges) {
            worst = worst.max((asked - applied).abs() / range.span());
        }
    }
    // A converter of five bits is the coarsest that is believed.
    if worst.is_nan() || 1.0 / 32.0 < worst {
        return Err(Failure::Wrong(format!("controls are off by up to {:.1} % of their range", 100.0 * worst)));
    }
    if !subject.reads_controls {
        return Err(Failure::NotRun(
            "they were taken, but nobody can say where all of them are: a control without a query, or an image, is not read back",
        ));
    }
    Ok(format!("applied to {:.2} % of the range", 100.0 * worst))
}
