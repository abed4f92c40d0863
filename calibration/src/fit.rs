//! A fit on disk: `NAME.toml` says what it is of, how it was made and how well it does; `NAME.safetensors` beside it holds the
//! numbers that the twin and the noise model are made of.
//!
//! The key is a digest of all that decides a fit: plant and its description, limits, procedure and options, seed, version of
//! the program, and the trace. Equal keys are equal fits.

use std::collections::BTreeMap;
use std::sync::Arc;

use drivers::Card;
use safetensors::tensor::{Dtype, SafeTensors, TensorView};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use sims::{Adjustable, Twin};

use crate::card_text::card_text;
use crate::piann::FieldNetwork;
use crate::{Corrected, Error, Estimate, Network, NoiseModel, NoiseSummary, Parts, PlainLayer, Residual};

/// The version of the files.
const FORMAT: u32 = 1;

/// What a fit says about itself.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct FitFacts {
    /// The version of the file.
    pub format: u32,
    /// Digest of all that decides the fit.
    pub key: String,
    /// The plant's name in its rig.
    pub plant: String,
    /// The rig.
    pub rig: String,
    /// The physical system.
    pub system: String,
    /// The plant's serial number.
    pub serial: String,
    /// `real`, `simulated` or `replayed`.
    pub origin: String,
    /// Digest of the plant's description in the rig, limits included.
    pub description_sha256: String,
    /// The procedure.
    pub procedure: String,
    /// Stimuli, repeats and whatever else was chosen.
    pub options: BTreeMap<String, String>,
    /// The seed.
    pub seed: u64,
    /// The program's version.
    pub code_version: String,
    /// Digest of the trace.
    pub trace_sha256: String,
    /// Shots of the trace.
    pub shots: usize,
    /// When it was made: seconds since 1970.
    pub made_unix_seconds: f64,
    /// Digest of the numbers beside this file.
    pub tensors_sha256: String,
    /// What the twin leaves.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub residual: Option<Residual>,
    /// The noise.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub noise: Option<NoiseSummary>,
    /// The coefficients.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub coefficients: Vec<Estimate>,
    /// Where it is valid: bank, smallest and largest value that was driven.
    pub validity: Vec<Validity>,
}

/// The values of one bank that a fit has seen.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Validity {
    /// Such as `input.data`.
    pub bank: String,
    /// SI unit.
    pub unit: String,
    /// The smallest.
    pub low: f64,
    /// The largest.
    pub high: f64,
}

/// A fit.
#[derive(Debug, Clone, PartialEq)]
pub struct Fit {
    /// What it says about itself.
    pub facts: FitFacts,
    /// Of what the twin is made.
    pub parts: Parts,
    /// The noise.
    pub noise: Option<NoiseModel>,
}

/// A hexadecimal SHA-256 digest.
pub fn digest(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect::<Vec<_>>().concat()
}

impl FitFacts {
    /// The digest of all that decides the fit of the plant of `card`.
    pub fn decide(&mut self, card: &Card) {
        self.format = FORMAT;
        let options = self.options.iter().map(|(key, value)| format!("{key}={value}\n")).collect::<Vec<_>>().concat();
        let text = format!(
            "{FORMAT}\n{}\n{}\n{}\n{}\n{}\n{}\n{options}{}\n{}\n{}\n",
            self.plant,
            self.rig,
            card_text(card),
            self.description_sha256,
            self.procedure,
            self.seed,
            self.code_version,
            self.trace_sha256,
            self.shots,
        );
        self.key = digest(text.as_bytes());
    }
}

impl Fit {
    /// The text and the numbers as bytes, in this order.
    pub fn to_files(&self) -> Result<(String, Vec<u8>), Error> {
        let broken = |error: safetensors::SafeTensorError| Error::fit(format!("cannot be written: {error}"));
        let tensors = self.tensors();
        let views: Result<Vec<_>, _> = tensors
            .iter()
            .map(|(name, (kind, shape, bytes))| TensorView::new(*kind, shape.clone(), bytes).map(|view| (name, view)))
            .collect();
        let bytes = safetensors::serialize(views.map_err(broken)?, None).map_err(broken)?;
        let facts = FitFacts { tensors_sha256: digest(&bytes), ..self.facts.clone() };
        let text = toml::to_string(&facts).map_err(|error| Error::fit(format!("cannot be written: {error}")))?;
        Ok((text, bytes))
    }

    /// The fit that two files hold.
    pub fn from_files(text: &str, bytes: &[u8]) -> Result<Self, Error> {
        let facts: FitFacts =
            toml::from_str(text).map_err(|error| Error::fit(format!("cannot be read: {}", error.message())))?;
        if facts.format != FORMAT {
            return Err(Error::Stale {
                reason: format!("its file is of version {}, and this program reads {FORMAT}", facts.format),
            });
        }
        if digest(bytes) != facts.tensors_sha256 {
            return Err(Error::fit(
                "does not belong to the numbers beside it: their digest is another. Calibrate again",
            ));
        }
        let tensors =
            SafeTensors::deserialize(bytes).map_err(|error| Error::fit(format!("cannot be read: {error}")))?;
        Ok(Self { parts: parts(&tensors)?, noise: noise(&tensors)?, facts })
    }

    /// Refuses a fit of another plant, or of one that has changed since: `description` is its digest now.
    pub fn check(&self, card: &Card, plant: &str, description: &str) -> Result<(), Error> {
        let identity = &card.identity;
        let foreign = |what: &str, is: &str, wanted: &str| {
            Err(Error::Foreign { reason: format!("it is of the {what} `{is}`, and `{plant}` is `{wanted}`") })
        };
        if self.facts.system != identity.system {
            return foreign("system", &self.facts.system, &identity.system);
        }
        if self.facts.serial != identity.serial {
            return foreign("serial number", &self.facts.serial, &identity.serial);
        }
        if self.facts.description_sha256 != description {
            let reason =
                format!("the description of `{plant}` in its rig or experiment is no longer that of the calibration");
            return Err(Error::Stale { reason });
        }
        Ok(())
    }

    /// The twin, `model` standing for the physics.
    pub fn twin(&self, card: &Card, model: Option<&dyn Adjustable>) -> Result<Arc<dyn Twin>, Error> {
        self.fill(card, model)?;
        self.parts.twin(card, model).ok_or_else(|| {
            Error::fit(format!(
                "made by the procedure `{}` holds no twin: calibrate with `residual`",
                self.facts.procedure
            ))
        })
    }

    /// Refuses numbers that do not fill the plant of `card`: a twin made of them would be that of another one.
    fn fill(&self, card: &Card, model: Option<&dyn Adjustable>) -> Result<(), Error> {
        let ports = &card.ports;
        let counts = [ports.input_count(), ports.control_count(), ports.output_count()];
        let [inputs, controls, outputs] = counts;
        let refuse = |what: &str, is: String, wanted: String| {
            Err(Error::fit(format!("holds {what} {is}, but the plant needs {wanted}: calibrate again")))
        };
        if let (Some(corrected), Some(model)) = (&self.parts.corrected, model) {
            let wanted = [model.coefficients().len(), model.corrections()];
            let is = [corrected.coefficients.len(), corrected.corrections.len()];
            if is[0] != wanted[0] || is[1] != 0 && is[1] != wanted[1] {
                return refuse("coefficients and corrections:", format!("{is:?}"), format!("{wanted:?}"));
            }
        }
        if let Some(curves) = &self.parts.curves
            && (curves.len() != 4 * inputs || inputs != outputs || controls != 0)
        {
            return refuse("curves of", format!("{} channels", curves.len() / 4), format!("{counts:?} ports"));
        }
        // Least squares see nothing but the ports; the network may see what physics or curves predict.
        let known = self.parts.corrected.is_some() || self.parts.curves.is_some();
        for (network, may_see) in [(&self.parts.linear, false), (&self.parts.network, known)] {
            let Some(network) = network else { continue };
            let [of_inputs, of_controls, of_physics] = network.sizes();
            let physics_fits = of_physics == 0 || may_see && of_physics == outputs;
            if [of_inputs, of_controls, network.outputs()] != counts || !physics_fits {
                let is = format!("{:?} to {}", network.sizes(), network.outputs());
                return refuse("a network from", is, format!("{:?} to {outputs}", [inputs, controls]));
            }
        }
        if let Some(field) = &self.parts.field
            && field.counts() != counts
        {
            return refuse("the network of a field of", format!("{:?} ports", field.counts()), format!("{counts:?}"));
        }
        match &self.noise {
            Some(noise) if noise.outputs() != outputs => {
                refuse("the noise of", format!("{} outputs", noise.outputs()), format!("that of {outputs}"))
            }
            _ => Ok(()),
        }
    }

    fn tensors(&self) -> BTreeMap<String, (Dtype, Vec<usize>, Vec<u8>)> {
        let mut tensors = BTreeMap::new();
        let mut doubles = |name: &str, shape: Vec<usize>, values: &[f64]| {
            let bytes: Vec<u8> = values.iter().flat_map(|value| value.to_le_bytes()).collect();
            tensors.insert(name.to_owned(), (Dtype::F64, shape, bytes));
        };
        if let Some(corrected) = &self.parts.corrected {
            doubles("coefficients", vec![corrected.coefficients.len()], &corrected.coefficients);
            doubles("corrections", vec![corrected.corrections.len()], &corrected.corrections);
        }
        if let Some(curves) = &self.parts.curves {
            doubles("curves", vec![curves.len() / 4, 4], curves);
        }
        if let Some(noise) = &self.noise {
            let flat: Vec<f64> = noise.variance.iter().flatten().copied().collect();
            doubles("noise.variance", vec![noise.variance.len(), 3], &flat);
            doubles("noise.center", vec![noise.center.len()], &noise.center);
            doubles("noise.floor", vec![noise.floor.len()], &noise.floor);
            let rows: Vec<f64> = noise.loadings.transpose().as_slice().to_vec();
            doubles("noise.loadings", vec![noise.loadings.nrows(), noise.loadings.ncols()], &rows);
        }
        if let Some(field) = &self.parts.field {
            let counts = field.counts();
            let mut floats = |name: String, values: &[f32]| {
                let bytes: Vec<u8> = values.iter().flat_map(|value| value.to_le_bytes()).collect();
                tensors.insert(name, (Dtype::F32, vec![values.len()], bytes));
            };
            floats("field.counts".to_owned(), &counts.map(|count| count as f32));
            for (index, values) in field.plain().iter().enumerate() {
                floats(format!("field.{index}"), values);
            }
        }
        for (prefix, network) in [("linear", &self.parts.linear), ("network", &self.parts.network)] {
            let Some(network) = network else { continue };
            let mut floats = |name: String, shape: Vec<usize>, values: &[f32]| {
                let bytes: Vec<u8> = values.iter().flat_map(|value| value.to_le_bytes()).collect();
                tensors.insert(name, (Dtype::F32, shape, bytes));
            };
            let sizes = network.sizes().map(|size| size as f32);
            floats(format!("{prefix}.sizes"), vec![3], &sizes);
            for (index, layer) in network.plain().iter().enumerate() {
                floats(format!("{prefix}.{index}.weights"), vec![layer.outputs, layer.inputs], &layer.weights);
                floats(format!("{prefix}.{index}.bias"), vec![layer.outputs], &layer.bias);
            }
        }
        tensors
    }
}

/// The numbers called `name`, each made of its bytes by `number`; none where there are none of that name.
fn numbers<const SIZE: usize, T: Copy + Into<f64>>(
    tensors: &SafeTensors<'_>,
    (name, kind): (&str, Dtype),
    number: impl Fn([u8; SIZE]) -> T,
) -> Result<Option<Vec<T>>, Error> {
    let Ok(view) = tensors.tensor(name) else { return Ok(None) };
    let values: Vec<T> = view.data().as_chunks().0.iter().map(|bytes| number(*bytes)).collect();
    let finite = values.iter().all(|value| Into::<f64>::into(*value).is_finite());
    if view.dtype() == kind && finite {
        return Ok(Some(values));
    }
    Err(Error::fit(format!("holds numbers `{name}` that are not finite numbers of {kind:?}: calibrate again")))
}

fn doubles(tensors: &SafeTensors<'_>, name: &str) -> Result<Option<Vec<f64>>, Error> {
    numbers(tensors, (name, Dtype::F64), f64::from_le_bytes)
}

fn floats(tensors: &SafeTensors<'_>, name: &str) -> Result<Option<Vec<f32>>, Error> {
    numbers(tensors, (name, Dtype::F32), f32::from_le_bytes)
}

fn parts(tensors: &SafeTensors<'_>) -> Result<Parts, Error> {
    let corrections = doubles(tensors, "corrections")?.unwrap_or_default();
    let corrected = doubles(tensors, "coefficients")?.map(|coefficients| Corrected { coefficients, corrections });
    Ok(Parts {
        corrected,
        curves: doubles(tensors, "curves")?,
        linear: network(tensors, "linear")?,
        network: network(tensors, "network")?,
        field: field(tensors)?,
    })
}

/// The network of a field.
fn field(tensors: &SafeTensors<'_>) -> Result<Option<FieldNetwork>, Error> {
    let Some(counts) = floats(tensors, "field.counts")? else { return Ok(None) };
    let broken = || Error::fit("holds a network of a field whose matrices do not fit together: calibrate again");
    let [inputs, controls, outputs] = counts[..] else { return Err(broken()) };
    let mut plain = Vec::new();
    while let Some(values) = floats(tensors, &format!("field.{}", plain.len()))? {
        plain.push(values);
    }
    let counts = [inputs, controls, outputs].map(|count| count as usize);
    FieldNetwork::from_plain(counts, &plain).map(Some).ok_or_else(broken)
}

/// The network whose tensors' names begin with `prefix`.
fn network(tensors: &SafeTensors<'_>, prefix: &str) -> Result<Option<Network>, Error> {
    let Some(sizes) = floats(tensors, &format!("{prefix}.sizes"))? else { return Ok(None) };
    let broken = || Error::fit("holds a network whose layers do not chain: calibrate again");
    let [inputs, controls, physics] = sizes[..] else { return Err(broken()) };
    let mut layers = Vec::new();
    while let (Some(weights), Some(bias)) = (
        floats(tensors, &format!("{prefix}.{}.weights", layers.len()))?,
        floats(tensors, &format!("{prefix}.{}.bias", layers.len()))?,
    ) {
        let outputs = bias.len();
        layers.push(PlainLayer { outputs, inputs: weights.len() / outputs.max(1), weights, bias });
    }
    let sizes = [inputs as usize, controls as usize, physics as usize];
    Network::new(&layers, sizes).map(Some).ok_or_else(broken)
}

fn noise(tensors: &SafeTensors<'_>) -> Result<Option<NoiseModel>, Error> {
    let part = |name: &str| doubles(tensors, &format!("noise.{name}"));
    let Some(variance) = part("variance")? else { return Ok(None) };
    let [center, floor, loadings] = ["center", "floor", "loadings"].map(part);
    let plain = [variance, center?.unwrap_or_default(), floor?.unwrap_or_default(), loadings?.unwrap_or_default()];
    let model = NoiseModel::from_plain(&plain);
    model.map(Some).ok_or_else(|| Error::fit("holds noise whose parts do not fit together: calibrate again"))
}

#[cfg(test)]
mod tests {
    use nalgebra::DMatrix;

    use super::*;
    use crate::piann::{Surrogate, Training};
    use crate::trace::tests::{card, trace};

    pub(crate) fn facts() -> FitFacts {
        FitFacts {
            format: FORMAT,
            key: String::new(),
            plant: "toy".into(),
            rig: "toys".into(),
            system: "toy".into(),
            serial: "1".into(),
            origin: "simulated".into(),
            description_sha256: "d".into(),
            procedure: "residual".into(),
            options: BTreeMap::from([("stimuli".to_owned(), "10".to_owned())]),
            seed: 1,
            code_version: "0".into(),
            trace_sha256: "t".into(),
            shots: 10,
            made_unix_seconds: 1.5,
            tensors_sha256: String::new(),
            residual: Some(Residual { rmse_of_full_scale: 0.1, r2: vec![0.5], ..Residual::default() }),
            noise: None,
            coefficients: vec![],
            validity: vec![Validity { bank: "input.x".into(), unit: "V".into(), low: -1.0, high: 1.0 }],
        }
    }

    fn fit() -> Fit {
        let layer =
            PlainLayer { outputs: 2, inputs: 4, weights: (0..8).map(|k| k as f32).collect(), bias: vec![1.0, 2.0] };
        let noise = NoiseModel {
            variance: vec![[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]],
            center: vec![0.1, 0.2],
            floor: vec![0.01, 0.02],
            loadings: DMatrix::from_row_slice(2, 1, &[0.3, 0.4]),
        };
        let corrected = Some(Corrected { coefficients: vec![1.0, 2.5], corrections: vec![] });
        let straight = PlainLayer { outputs: 2, inputs: 2, weights: vec![0.5, 0.25, -1.0, 2.0], bias: vec![3.0, 4.0] };
        let parts = Parts {
            corrected,
            curves: None,
            linear: Network::new(&[straight], [1, 1, 0]),
            network: Network::new(&[layer], [1, 1, 2]),
            field: None,
        };
        Fit { facts: facts(), parts, noise: Some(noise) }
    }

    #[test]
    fn a_fit_survives_its_files() {
        let (text, bytes) = fit().to_files().unwrap();
        let read = Fit::from_files(&text, &bytes).unwrap();
        assert_eq!((read.parts, read.noise), (fit().parts, fit().noise));
        assert_eq!(read.facts.validity, facts().validity);
        let mut other = bytes.clone();
        *other.last_mut().unwrap() ^= 1;
        assert!(Fit::from_files(&text, &other).unwrap_err().to_string().contains("digest"));
    }

    #[test]
    fn a_network_of_a_field_survives_its_files_and_fits_no_other_plant() {
        let trace = trace(card(4, 2, 3), [60, 1, 4], |x, k, _| (0..3).map(|node| x[node] * k[0]).collect());
        let training = Training { updates: 2, batch: 8, rate: 1e-3, key: sims::Key::new(1) };
        let learned = Surrogate::learn(&trace, 4, &training, &mut |_, _| true).unwrap();
        let parts = Parts { field: Some(learned.part().clone()), ..Parts::default() };
        let fit = Fit { facts: facts(), parts, noise: None };
        let (text, bytes) = fit.to_files().unwrap();
        let read = Fit::from_files(&text, &bytes).unwrap();
        assert_eq!(read.parts, fit.parts);
        let twin = read.twin(&card(4, 2, 3), None).unwrap();
        assert_eq!(twin.predict(&trace.inputs, &[0.1, 0.2]), learned.predict(&trace.inputs, &[0.1, 0.2]));
        let refused = read.twin(&card(5, 2, 3), None).unwrap_err().to_string();
        assert!(refused.contains("the network of a field of [4, 2, 3] ports"), "{refused}");
    }

    #[test]
    fn foreign_and_stale_fits_are_refused_with_the_reason() {
        let mut card = card(1, 1, 2);
        assert_eq!(fit().check(&card, "toy", "d"), Ok(()));
        let stale = fit().check(&card, "toy", "other").unwrap_err().to_string();
        assert!(stale.contains("the fit is stale: the description of `toy`"), "{stale}");
        card.identity.serial = "2".into();
        let foreign = fit().check(&card, "toy", "d").unwrap_err().to_string();
        assert!(foreign.contains("it is of the serial number `1`, and `toy` is `2`"), "{foreign}");
    }

    #[test]
    fn the_key_tells_all_that_decides_apart() {
        let card = card(1, 1, 2);
        let key = |change: &dyn Fn(&mut FitFacts)| {
            let mut facts = facts();
            change(&mut facts);
            facts.decide(&card);
            facts.key
        };
        let same = key(&|_| ());
        assert_eq!(same, key(&|facts| facts.made_unix_seconds = 9.0));
        for change in [
            (&|facts: &mut FitFacts| facts.seed = 2) as &dyn Fn(&mut FitFacts),
            &|facts| facts.trace_sha256 = "u".into(),
            &|facts| facts.options = BTreeMap::new(),
            &|facts| facts.code_version = "1".into(),
        ] {
            assert_ne!(same, key(change));
        }
    }
}
