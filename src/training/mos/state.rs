//! The guard of a plant's state by numbers: what it costs of a step, how often it takes usual shots for suspicious ones, and what it finds.

use std::time::Instant;

use calibration::{GuardRule, StateGuard};
use drivers::Batch;
use sims::Key;

use crate::Error;
use crate::data::Dataset;
use crate::document::Document;
use crate::network::{GuardConfig, LEARNS_ONE_IN, Network};
use crate::plants::{Derivatives, Forward, Lab, Rig};
use crate::training::batchnorm::Finding;
use crate::training::comparison::median;
use crate::training::{Experiment, Trainer};

/// The experiment whose steps are timed.
const EXPERIMENT: &str = "digits-electrical";
/// Steps, and the passes of each.
const STEPS: usize = 120;
const PASSES: f64 = 4.0;
/// Steps whose learning is counted together.
const STRETCH: usize = 20;

/// The share of a step that the guards of its four passes take: their time over that of a step without them. Of each the median of all steps, since
/// what else the machine does falls on some of them.
pub fn cost(seed: u64) -> Result<Vec<Finding>, Error> {
    let (experiment, document) = Experiment::find(EXPERIMENT, &[])?;
    let config = GuardConfig::default();
    let mut lab = Lab::new(Rig::find(None, &document)?.open(&["electrical"], seed)?, Derivatives::Twin)?;
    let data = Dataset::load(&experiment.data, None, &document, Key::new(seed).branch("data"))?;
    let network = Network::build(&experiment.layers, &document, &lab, &data)?;
    let mut trainer = Trainer::new(network, &data, &experiment.training, experiment.training.method, Key::new(seed));
    let (mut steps, mut judged, mut learned) = (vec![], vec![], vec![]);
    let ports = lab.card(0).ports.clone();
    let controls = ports.at_rest(drivers::Direction::Control);
    let mut guard = StateGuard::new("electrical", &ports, config.rule());
    let batch = experiment.training.batch;
    let mut stream = Key::new(seed).branch("cost").stream();
    for step in 1..=STEPS {
        let before = Instant::now();
        trainer.step(step, &mut lab)?;
        steps.push(before.elapsed().as_secs_f64());
        let inputs = Batch::from_fn(batch, ports.input_count(), |_, _| 0.2 * stream.normal());
        let outputs = Batch::from_fn(batch, ports.output_count(), |_, _| 0.2 * stream.normal());
        // As a layer does it: judged, and of one update in so many learned from. Until the first fit there is nothing to judge by.
        let before = Instant::now();
        let out = guard.judge(&controls, &inputs, &outputs).map(|verdict| verdict.out);
        let seconds = before.elapsed().as_secs_f64();
        judged.extend(out.is_some().then_some(seconds));
        let before = Instant::now();
        guard
            .learn(&controls, &inputs, &outputs, &out.unwrap_or_default())
            .map_err(Error::calibration("electrical"))?;
        learned.push(before.elapsed().as_secs_f64());
    }
    // Each stretch has its fits, which are few and dear.
    let stretches: Vec<f64> =
        learned.chunks(STRETCH).map(|these| these.iter().sum::<f64>() / these.len() as f64).collect();
    let guards = median(&judged) + median(&stretches) / LEARNS_ONE_IN as f64;
    Ok(vec![Finding::new(format!("state guard: share of a step of {EXPERIMENT}"), PASSES * guards / median(&steps))])
}

/// How often the guard takes shots of the electrical plant for suspicious that are like those it was fitted to, over the stated rate; and the share
/// of suspicious ones where the bench has moved.
pub fn false_alarms(seed: u64, shots: usize) -> Result<Vec<Finding>, Error> {
    let rule = GuardRule { shots: 1000, channels: 32, false_alarms: 1e-3, follows: false };
    let lab = |mismatch: f64| -> Result<Lab, Error> {
        let mut document = Document::parse("state", "name = \"state\"\n")?;
        document.set("plants.electrical.simulated.samples=64")?;
        document.set(&format!("plants.electrical.simulated.mismatch={mismatch:?}"))?;
        Lab::new(Rig::find(None, &document)?.open(&["electrical"], seed)?, Derivatives::Twin)
    };
    let (mut usual, mut moved) = (lab(1.0)?, lab(1.5)?);
    let ports = usual.card(0).ports.clone();
    let mut guard = StateGuard::new("electrical", &ports, rule);
    let controls = ports.at_rest(drivers::Direction::Control);
    // Digits-like rows: a smooth pattern of two free parts, the rest small.
    let mut stream = Key::new(seed).branch("rows").stream();
    let mut batch = |count: usize| Batch::from_fn(count, ports.input_count(), |_, _| 0.4 * stream.uniform() - 0.2);
    let mut drive = |lab: &mut Lab, count: usize| -> Result<(Batch, Batch), Error> {
        let inputs = batch(count);
        let (_, outputs) = lab.run(0, Forward::Plant, &controls, &inputs)?;
        Ok((inputs, outputs))
    };
    while !guard.is_fitted() {
        let (inputs, outputs) = drive(&mut usual, 100)?;
        guard.learn(&controls, &inputs, &outputs, &[]).map_err(Error::calibration("electrical"))?;
    }
    let mut share = |lab: &mut Lab, count: usize| -> Result<f64, Error> {
        let (inputs, outputs) = drive(lab, count)?;
        let out = guard.judge(&controls, &inputs, &outputs).unwrap_or_default().out;
        Ok(out.iter().filter(|out| **out).count() as f64 / count as f64)
    };
    Ok(vec![
        Finding::new(
            "state guard: false alarms over the stated rate of 1e-3",
            share(&mut usual, shots)? / rule.false_alarms,
        ),
        Finding::new(
            "state guard: suspicious shots where the parts have moved by half of their mismatch",
            share(&mut moved, 1000)?,
        ),
    ])
}
