//! The nonlinear transmission line of `hil/rigs/systems/line.toml`: dispersion, energy, steepening, shocks and adjoints, against theory.

use super::{Written, draw};
use crate::gradient_check::error_along;

const LINE: &str = include_str!("../../../../hil/rigs/systems/line.toml");
const VOLUMES: &str = include_str!("../../../../hil/rigs/systems/line-volumes.toml");
/// Of the file: H, F, V.
const L: f64 = 1e-6;
const C0: f64 = 1e-9;
const VJ: f64 = 0.7;

/// How the line of a test differs from the file's.
#[derive(Clone, Copy)]
struct Case {
    sections: usize,
    samples: usize,
    substeps: usize,
    /// Coil, leakage, varactor, source, load.
    ohms: [f64; 5],
}

impl Case {
    /// The text; what is `read` of each node, at each sample.
    fn text(&self, read: &str) -> String {
        let Self { sections, samples, substeps, ohms: [r, g, rc, rs, rl] } = self;
        let mut text = LINE.to_owned();
        let last = sections - 1;
        for (from, to) in [
            ("size = 32".to_owned(), format!("size = {sections}")),
            ("k == 31".to_owned(), format!("k == {last}")),
            ("samples = 32".to_owned(), format!("samples = {samples}")),
            ("substeps = 2".to_owned(), format!("substeps = {substeps}")),
            ("value = 0.3,".to_owned(), format!("value = {r:?},")),
            ("value = 1e-5,".to_owned(), format!("value = {g:?},")),
            ("value = 8,".to_owned(), format!("value = {rc:?},")),
            ("value = 10,".to_owned(), format!("value = {rs:?},")),
            ("value = 40,".to_owned(), format!("value = {rl:?},")),
            ("value = \"w[k]\"".to_owned(), format!("value = \"{read}\"")),
            (", at = \"end\"".to_owned(), String::new()),
        ] {
            assert!(text.contains(&from), "the file has no {from}");
            text = text.replace(&from, &to);
        }
        text
    }

    /// Readings of each node, sample after sample.
    fn read(&self, read: &str, drive: &[f64], bias: f64) -> Vec<Vec<f64>> {
        let record = Written::new(&self.text(read)).predict(drive, &vec![bias; self.sections]);
        // All nodes of a sample lie side by side.
        (0..self.sections).map(|node| record.iter().skip(node).step_by(self.sections).copied().collect()).collect()
    }
}

/// The varactor's capacitance, in F.
fn capacitance(volts: f64) -> f64 {
    C0 / (1.0 + volts / VJ).sqrt()
}

/// Its charge, in C.
fn charge(volts: f64) -> f64 {
    2.0 * C0 * VJ * (1.0 + volts / VJ).sqrt()
}

const SAMPLE: f64 = 2.4e-8;

/// When a record first rises through a level, in samples.
fn crossing(record: &[f64], level: f64) -> f64 {
    let place = record.windows(2).position(|pair| pair[0] < level && level <= pair[1]).expect("the level is reached");
    // Readings stand at the ends of samples.
    place as f64 + 1.0 + (level - record[place]) / (record[place + 1] - record[place])
}

#[test]
fn small_waves_travel_as_the_ladder_s_dispersion_has_it_and_stop_above_the_bragg_frequency() {
    let bias = 1.0;
    let lc = L * capacitance(bias);
    let impedance = (L / capacitance(bias)).sqrt();
    let case = Case { sections: 120, samples: 220, substeps: 4, ohms: [0.0, 0.0, 0.0, impedance, impedance] };
    let bragg = 2.0 / lc.sqrt();
    for share in [0.1, 0.4, 1.1] {
        let omega = share * bragg;
        // Samples are steps: what a wave of steps has at its own frequency is a wave, and the line is linear for so small ones. It is read when the
        // beginning is over and nothing has come back from the end.
        let drive: Vec<f64> = (0..case.samples)
            .map(|sample| {
                let slow = (sample as f64 / 60.0).min(1.0);
                1e-4 * slow * slow * (3.0 - 2.0 * slow) * (omega * SAMPLE * (sample as f64 + 0.5)).sin()
            })
            .collect();
        let record = case.read("w[k]", &drive, bias);
        // Amplitude and phase over the last samples.
        let phasor = |node: usize| {
            let [mut a, mut b, mut cc, mut ss, mut cs] = [0.0; 5];
            for (sample, value) in record[node].iter().enumerate().skip(130) {
                let (sine, cosine) = (omega * SAMPLE * (sample as f64 + 1.0)).sin_cos();
                (a, b) = (a + value * cosine, b + value * sine);
                (cc, ss, cs) = (cc + cosine * cosine, ss + sine * sine, cs + cosine * sine);
            }
            let determinant = cc * ss - cs * cs;
            [(a * ss - b * cs) / determinant, (b * cc - a * cs) / determinant]
        };
        let [near, far] = [phasor(2), phasor(6)];
        let size = |[a, b]: [f64; 2]| a.hypot(b);
        if share < 1.0 {
            // Four sections further the phase is behind by 4κ, sin(κ/2) = ω/ω_B.
            let turn = (far[0] * near[1] - far[1] * near[0]).atan2(far[0] * near[0] + far[1] * near[1]);
            let expected = 8.0 * share.asin();
            let off = (-turn - expected).rem_euclid(std::f64::consts::TAU);
            let off = off.min(std::f64::consts::TAU - off);
            assert!(off < 0.02 * expected, "{share}: {turn} instead of {expected}");
            if share == 0.1 {
                let velocity = 4.0 * omega / expected;
                assert!((velocity * lc.sqrt() - 1.0).abs() < 0.01, "long waves make 1/√(LC) sections a second");
            }
        } else {
            // Beyond the cut-off a wave falls by e^(−κ) a section, cosh(κ/2) = ω/ω_B.
            let found = (size(near) / size(far)).ln() / 4.0;
            let expected = 2.0 * share.acosh();
            assert!((found - expected).abs() < 0.05 * expected, "{found} instead of {expected}");
        }
    }
}

#[test]
fn what_the_source_gives_is_stored_or_lost() {
    let case = Case { sections: 12, samples: 30, substeps: 8, ohms: [2.0, 1e-3, 8.0, 10.0, 40.0] };
    let bias = 0.9;
    // The energy balance as one more equation: what has been given less what has been lost in each resistor.
    let losses = "sum(k, R*i[k]^2 + G*v[k]^2 + Rc*(i[k] - out[k])^2 + last[k]*Rl*out[k]^2 + first[k]*Rs*i[k]^2)";
    let given = "sum(k, first[k]*drive*i[k])";
    let with = |read: &str, unit: &str| {
        let text = case.text(read).replace("node = { unit = \"V\"", &format!("node = {{ unit = \"{unit}\""));
        let text = text
            .replace("[let]\n", "stored = { unit = \"J\" }\n[let]\n")
            .replace("[outputs]\n", &format!("\"der(stored)\" = \"{given} - {losses}\"\n[outputs]\n"));
        let text = text.split("# What only the bench has").next().expect("has a start").to_owned();
        let drive: Vec<f64> = (0..case.samples).map(|sample| (0.35 * sample as f64).sin()).collect();
        let record = Written::new(&text).predict(&drive, &vec![bias; case.sections]);
        record[(case.samples - 1) * case.sections..].to_vec()
    };
    let (currents, volts) = (with("i[k]", "A"), with("v[k]", "V"));
    let balance = with("stored", "J")[0];
    // Of a varactor ∫ v dq from 0 to v, beside its bias.
    let of_charge = |v: f64| {
        let root = |v: f64| (1.0 + (bias + v) / VJ).sqrt();
        let integral = |s: f64| 2.0 * C0 * VJ * (VJ * s.powi(3) / 3.0 - (VJ + bias) * s);
        integral(root(v)) - integral(root(0.0))
    };
    let stored: f64 =
        currents.iter().map(|i| 0.5 * L * i * i).sum::<f64>() + volts.iter().map(|v| of_charge(*v)).sum::<f64>();
    assert!(0.0 < stored && (balance - stored).abs() < 1e-4 * stored, "{balance:e} instead of {stored:e}");
}

#[test]
fn a_front_steepens_as_far_as_simple_waves_say() {
    // Nearly without loss, and fed without resistance, so that the first node has the drive.
    let case = Case { sections: 100, samples: 130, substeps: 3, ohms: [0.0, 0.0, 0.5, 1e-3, 40.0] };
    let (bias, height, rise) = (0.6, 0.9, 20.0);
    let volts = |sample: f64| {
        let along = (sample / rise).clamp(0.0, 1.0);
        height * (0.5 - 0.5 * (std::f64::consts::PI * along).cos())
    };
    let drive: Vec<f64> = (0..case.samples).map(|sample| volts(sample as f64 + 0.5)).collect();
    // c(v) = 1/√(L·C(v)) sections a second; the wave of v starts at τ and is at x = c·(t − τ), so it breaks where x = c²/(c'·dv/dτ) is least.
    let c = |v: f64| 1.0 / (L * capacitance(bias + v)).sqrt();
    let breaking = (1..600)
        .map(|part| {
            let at = rise * f64::from(part) / 600.0;
            let slope = (volts(at + 1e-3) - volts(at - 1e-3)) / 2e-3 / SAMPLE;
            let v = volts(at);
            let rising = (c(v + 1e-4) - c(v - 1e-4)) / 2e-4;
            c(v).powi(2) / (rising * slope)
        })
        .fold(f64::INFINITY, f64::min);
    let record = case.read("w[k]", &drive, bias);
    // On the way 1/steepness of the point that breaks first falls on a line to 0.
    let steepness = |node: usize| record[node].windows(2).map(|pair| pair[1] - pair[0]).fold(0.0, f64::max);
    let at = |share: f64| (share * breaking) as usize;
    let (near, far) = (at(0.25), at(0.6));
    let [slow, fast] = [near, far].map(|node| 1.0 / steepness(node));
    let found = near as f64 + 1.0 + (far - near) as f64 * slow / (slow - fast);
    assert!(far < 90 && (found / breaking - 1.0).abs() < 0.06, "{found} sections instead of {breaking}");
}

#[test]
fn shocks_travel_as_rankine_and_hugoniot_say() {
    // A step into a line at rest. The varactors' loss gives the shock its width and takes nothing from what is behind it.
    let case = Case { sections: 80, samples: 110, substeps: 3, ohms: [0.0, 0.0, 8.0, 1e-3, 40.0] };
    // How wide a front is at a node, in samples.
    let width = |record: &[Vec<f64>], node: usize| {
        let behind = record[40][case.samples - 30];
        crossing(&record[node], 0.8 * behind) - crossing(&record[node], 0.2 * behind)
    };
    for (height, bias) in [(0.9, 0.6), (0.5, 1.0)] {
        let record = case.read("w[k]", &vec![height; case.samples], bias);
        let behind = record[40][case.samples - 30];
        // Its own height, since the source's resistance takes some.
        assert!((behind - height).abs() < 0.02 * height, "{behind}");
        let charges = charge(bias + behind) - charge(bias);
        let expected = (behind / (L * charges)).sqrt();
        let passes = [30, 60].map(|node| crossing(&record[node], 0.5 * behind));
        let found = 30.0 / ((passes[1] - passes[0]) * SAMPLE);
        assert!((found / expected - 1.0).abs() < 0.02, "{found:e} instead of {expected:e}");
        // Faster than small waves ahead of it, slower than those behind it: it is a shock.
        let ahead = 1.0 / (L * capacitance(bias)).sqrt();
        let after = 1.0 / (L * capacitance(bias + behind)).sqrt();
        assert!(ahead < found && found < after);
        // Its front stays steep, where that of a small step grows wider.
        let small = case.read("w[k]", &vec![0.01; case.samples], bias);
        let growth = |record: &[Vec<f64>]| width(record, 60) / width(record, 30);
        assert!(width(&record, 60) < 0.8 * width(&small, 60));
        assert!(growth(&record) < 0.95 * growth(&small), "{} {}", growth(&record), growth(&small));
    }
}

#[test]
fn adjoints_of_the_line_and_of_its_volumes_agree_with_finite_differences() {
    for text in [LINE, VOLUMES] {
        let written = Written::new(
            &text.replace("size = 32", "size = 8").replace("k == 31", "k == 7").replace("samples = 32", "samples = 8"),
        );
        let inputs = draw(8, 0.3, "drive");
        let bias: Vec<f64> = draw(8, 0.1, "bias").into_iter().map(|bias| 1.2 + bias).collect();
        let cotangents = draw(8, 1.0, "cotangents");
        let (by_inputs, by_controls) = written.pull_back(&inputs, &bias, &cotangents);
        let loss = |inputs: &[f64], bias: &[f64]| {
            written.predict(inputs, bias).iter().zip(&cotangents).map(|(output, wanted)| output * wanted).sum::<f64>()
        };
        let along = draw(8, 0.1, "along");
        let error = error_along(|inputs| loss(inputs, &bias), &inputs, &along, &by_inputs);
        assert!(error < 1e-6, "inputs: {error:e}");
        let error = error_along(|bias| loss(&inputs, bias), &bias, &along, &by_controls);
        assert!(error < 1e-6, "controls: {error:e}");
    }
}

#[test]
fn volumes_of_one_section_say_nearly_what_the_ladder_says_of_long_waves() {
    let drive: Vec<f64> = (0..32).map(|sample| 0.4 * (0.2 * f64::from(sample)).sin()).collect();
    let [ladder, volumes] = [LINE, VOLUMES].map(|text| Written::new(text).predict(&drive, &[1.2; 32]));
    let square = |values: &mut dyn Iterator<Item = f64>| values.map(|value| value * value).sum::<f64>();
    let missed = square(&mut ladder.iter().zip(&volumes).map(|(a, b)| a - b)) / square(&mut ladder.iter().copied());
    assert!(missed.sqrt() < 0.25, "{}", missed.sqrt());
}
