//! The network of Sharpness-Aware-Training behind a mesh with fabrication errors, trained in many ways; and how what was trained bears phases
//! that drift afterwards.

use std::ops::ControlFlow;
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use calibration::{Corrected, NoiseModel, Stimuli, Trace, Watch, correct, measure};
use sims::{Key, Twin};

use crate::Error;
use crate::data::Dataset;
use crate::document::Document;
use crate::network::Network;
use crate::plants::{Derivatives, Lab, Noise, Opened, Rig, SimulatedConfig};
use crate::training::{Experiment, Method, Trainer};

/// One way to train the published network.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Way {
    /// What it is called in tables.
    pub name: &'static str,
    /// The method.
    pub method: Method,
    /// Whether phases and couplers of the twin are fitted to the mesh's own shots first.
    pub calibrated: bool,
    /// The published accuracy, where there is one.
    pub published: Option<f64>,
    /// The optimizer of the published program: SGD 0.1 with momentum 0.5, or Adam 0.1; where it is not known, the latter.
    pub with_sgd: bool,
}

/// The rows of the table.
pub const WAYS: [Way; 9] = [
    way("in silico", Method::InSilico, Some(0.686), true),
    way("physics-aware", Method::PhysicsAware, Some(0.702), true),
    way("noise-aware", Method::NoiseAware, Some(0.798), false),
    way("sharpness-aware in silico", Method::SharpnessInSilico, Some(0.923), false),
    way("dual-adaptive", Method::DualAdaptive, Some(0.946), false),
    way("sharpness- and physics-aware", Method::SharpnessAware, Some(0.971), false),
    Way { calibrated: true, ..way("calibrated first, then physics-aware", Method::PhysicsAware, None, false) },
    Way {
        calibrated: true,
        ..way("calibrated first, then sharpness- and physics-aware", Method::SharpnessAware, None, false)
    },
    way("ideal", Method::Ideal, None, false),
];

const fn way(name: &'static str, method: Method, published: Option<f64>, with_sgd: bool) -> Way {
    Way { name, method, calibrated: false, published, with_sgd }
}

/// How much is trained.
#[derive(Debug, Clone, Copy)]
pub struct Size {
    /// Training and test images.
    pub images: [usize; 2],
    /// Passes over them, and images of an update.
    pub epochs: usize,
    /// See `epochs`.
    pub batch: usize,
    /// Shots that phases and couplers are fitted to, and shots of each setting.
    pub shots: [usize; 2],
}

/// A chip, and whether each way has its published optimizer there, or all the experiment's own.
#[derive(Debug, Clone, Copy)]
pub struct Chip<'a> {
    /// Draws its errors where none are given, and is the seed of the training.
    pub seed: u64,
    /// The folder of the errors of a chip that was measured or published.
    pub errors: Option<&'a Path>,
    /// See above.
    pub as_published: bool,
}

/// What one training came to.
#[derive(Debug, Clone)]
pub struct Trained {
    /// Accuracy of the test images on the mesh.
    pub accuracy: f64,
    /// The same after its phases have drifted, for each drift that was asked for.
    pub drifted: Vec<f64>,
    /// Shots that trained, those of a calibration included.
    pub shots: f64,
    /// Bench time of all shots, tests included, by the plant's card, in s.
    pub bench_seconds: f64,
    /// Time that it took here, in s.
    pub seconds: f64,
}

/// Shots from which the error of a twin is learned, for the noise of predictions: in all, and of each setting.
const ERROR_SHOTS: [usize; 2] = [1000, 20];

/// The images, the same for all ways of a seed.
pub fn images(size: Size, folder: &Path, seed: u64) -> Result<Dataset, Error> {
    let (experiment, document) = experiment(size, Chip { seed, errors: None, as_published: false }, false)?;
    Dataset::load(&experiment.data, Some(folder), &document, Key::new(seed).branch("data"))
}

/// The experiment `mnist-mesh` in this size on a chip, with its own optimizer or SGD.
fn experiment(
    size: Size,
    Chip { seed, errors, .. }: Chip<'_>,
    with_sgd: bool,
) -> Result<(Experiment, Document), Error> {
    let mut assignments = vec![
        format!("data.train={}", size.images[0]),
        format!("data.test={}", size.images[1]),
        format!("training.epochs={}", size.epochs),
        format!("training.batch={}", size.batch),
        format!("plants.mesh.simulated.plant_seed={seed}"),
        format!("seed={seed}"),
    ];
    if let Some(errors) = errors {
        let folder =
            std::path::absolute(errors).map_err(|error| Error::Data(format!("{}: {error}", errors.display())))?;
        assignments.push(format!("plants.mesh.simulated.errors={:?}", folder.display().to_string()));
    }
    if with_sgd {
        let sgd = ["training.optimizer=\"sgd\"", "training.learning_rate=0.1", "training.momentum=0.5"];
        assignments.extend(sgd.map(str::to_owned));
    }
    Experiment::find("mnist-mesh", &assignments)
}

/// Trains the network by `way` on a chip, and tries it there: as its phases were, and after each of these drifts, in rad, root mean square
/// over all phases.
pub fn train(way: Way, size: Size, data: &Dataset, chip: Chip<'_>, drifts: &[f64]) -> Result<Trained, Error> {
    let start = Instant::now();
    let Chip { seed, as_published, .. } = chip;
    let (experiment, mut document) = experiment(size, chip, as_published && way.with_sgd)?;
    let mut training = experiment.training.counted(data.train.len());
    if as_published && !way.with_sgd {
        training.learning_rate = 0.1;
        document.set("training.learning_rate=0.1")?;
    }
    let mut opened = Rig::find(None, &document)?.open(&["mesh"], seed)?;
    let mut asked = vec![];
    if way.calibrated {
        calibrate(&mut opened, size, seed)?;
        asked.push(size.shots);
    }
    let noise = if way.method == Method::NoiseAware { errors_as_noise(&mut opened, seed)? } else { None };
    asked.extend(noise.as_ref().map(|_| ERROR_SHOTS));
    let mut lab = Lab::new(opened, way.method.derivatives())?;
    if let Some(noise) = noise {
        lab.add_noise(0, noise);
    }
    let network = Network::build(&experiment.layers, &document, &lab, data)?;
    let mut trainer = Trainer::new(network, data, &training, way.method, Key::new(seed));
    trainer.updates(training.steps, &mut lab)?;
    let shots = lab.meter().shots;
    let accuracy = trainer.test_scores(&mut lab)?.first();
    let timing = lab.card(0).timing;
    let measuring =
        asked.iter().map(|[shots, each]| shots.div_ceil(*each) as f64 * (timing.settle + timing.batch(*each)));
    let bench_seconds = lab.meter().plant_seconds + measuring.sum::<f64>();
    let (before, seconds) = (asked.iter().map(|[shots, _]| shots).sum::<usize>(), start.elapsed().as_secs_f64());
    let after = |radians: &f64| Ok(trainer.test_scores(&mut drifted(&document, seed, *radians)?)?.first());
    let drifted = drifts.iter().map(after).collect::<Result<_, Error>>()?;
    Ok(Trained { accuracy, drifted, shots: (shots + before as u64) as f64, bench_seconds, seconds })
}

/// The chip after its phases have drifted by so many rad: for the same seed by the same pattern, larger or smaller.
fn drifted(document: &Document, seed: u64, radians: f64) -> Result<Lab, Error> {
    let mut rig = Rig::find(None, document)?;
    let simulated = rig.config.plants.get_mut("mesh").and_then(|plant| plant.simulated.as_mut());
    if let Some(SimulatedConfig::Mesh(mesh)) = simulated {
        **mesh = mesh.drifted(radians, Key::new(seed).branch("drift after training"));
    }
    Lab::new(rig.open(&["mesh"], seed)?, Derivatives::Twin)
}

/// Shots of stimuli that are even over all ranges.
fn measured(plant: &mut Opened, [shots, per_setting]: [usize; 2], key: Key) -> Result<Option<Trace>, Error> {
    let stimuli = Stimuli::white(&plant.twin.card().ports, shots, per_setting, key);
    let mut watch = Watch { now: &mut || None, progress: &mut |_| ControlFlow::Continue(()) };
    measure(&mut plant.plant, &stimuli, 1, &mut watch).map_err(Error::calibration(&plant.name))
}

/// Fits the phases and couplers of the mesh to its own shots, and puts them into its twin.
fn calibrate(opened: &mut [Opened], size: Size, seed: u64) -> Result<(), Error> {
    for plant in opened {
        let Some(model) = plant.adjustable.clone() else { continue };
        let key = Key::new(seed).branch("calibration");
        let Some(trace) = measured(plant, size.shots, key)? else { continue };
        let nominal = model.coefficients().iter().map(|coefficient| coefficient.nominal).collect();
        let fitted = correct(&*model, &trace, &Corrected { coefficients: nominal, corrections: vec![] }, 5);
        let twin: Arc<dyn Twin> = model.adjusted(&fitted.coefficients, &fitted.corrections);
        plant.twin = twin;
    }
    Ok(())
}

/// Noise of predictions that is as large as what the twin leaves of the mesh's readings: this mesh's readings have none of their own.
fn errors_as_noise(opened: &mut [Opened], seed: u64) -> Result<Option<Noise>, Error> {
    let Some(plant) = opened.first_mut() else { return Ok(None) };
    let key = Key::new(seed).branch("errors as noise");
    let Some(trace) = measured(plant, ERROR_SHOTS, key)? else { return Ok(None) };
    let predicted = trace.predict(&*plant.twin);
    let (outputs, shots) = (trace.outputs.columns(), trace.shots().max(1) as f64);
    let variance = |output: usize| {
        let pairs = trace.outputs.iter().zip(predicted.iter());
        pairs.map(|(read, said)| f64::from(read[output] - said[output]).powi(2)).sum::<f64>() / shots
    };
    let variances = (0..outputs).flat_map(|output| [variance(output), 0.0, 0.0]).collect();
    let model = NoiseModel::from_plain(&[variances, vec![0.0; outputs], vec![0.0; outputs], vec![]]);
    Ok(model.map(|model| Noise { model: Arc::new(model), key: key.branch("predictions"), shots: Arc::default() }))
}
