//! The systems that are timed, with the arithmetic of each task: additions, multiplications, divisions and roots on
//! floating-point numbers, a multiply–add as two, counted in the kernels' sources. Random numbers, conversions and
//! comparisons of a bench are not counted, so a bench's fraction of the peak is less than what it does.

use std::hint::black_box;
use std::sync::Arc;

use calibration::{LearnedTwin, Network, PlainLayer};
use drivers::Batch;
use sims::{Built, Electrical, Key, Mechanical, Mesh, Moment, Optical, Oscillators};

use crate::scalar::scalar_twin;

/// One thing that is timed.
pub struct Task {
    pub name: &'static str,
    /// Shots of one call.
    pub shots: usize,
    /// The task that it is compared with.
    pub forward: usize,
    /// Floating-point operations of a shot.
    pub operations: f64,
    pub run: Box<dyn FnMut() + Send>,
}

/// One system.
pub struct System {
    pub name: String,
    pub shots: usize,
    pub tasks: Vec<Task>,
}

/// Builds a system's tasks.
type Build = fn() -> System;

/// All systems by name.
pub const ALL: [(&str, Build); 11] = [
    ("electrical-64", || electrical(64)),
    ("electrical-256", || electrical(256)),
    ("electrical-784", || electrical(784)),
    ("mechanical-784", mechanical),
    ("optical", optical),
    ("oscillators-100", || oscillators(100)),
    ("oscillators-196", || oscillators(196)),
    ("oscillators-206", || oscillators(206)),
    ("mesh-16", || mesh(16)),
    ("mesh-64", || mesh(64)),
    ("learned", learned),
];

/// Operations of plant, twin and ideal twin, forward; and of both twins' pull backs.
struct Counts {
    forward: [f64; 3],
    back: [f64; 2],
}

/// The five tasks of a system: inputs evenly within `[low, high]`, the same controls for all.
fn tasks(built: &Built, shots: usize, [low, high]: [f32; 2], counts: &Counts) -> Vec<Task> {
    let ports = built.twin.card().ports.clone();
    let mut stream = Key::new(1).stream();
    let mut even = |_: usize, _: usize| low + (high - low) * stream.uniform();
    let inputs = Arc::new(Batch::from_fn(shots, ports.input_count(), &mut even));
    let cotangents = Arc::new(Batch::from_fn(shots, ports.output_count(), &mut even));
    let controls: Arc<Vec<f32>> = Arc::new((0..ports.control_count()).map(|port| 0.1 * even(0, port)).collect());
    let mut tasks = Vec::new();
    let (system, x, theta) = (built.system.clone(), inputs.clone(), controls.clone());
    tasks.push(Task {
        name: "plant, forward",
        shots,
        forward: 0,
        operations: counts.forward[0],
        run: Box::new(move || drop(black_box(system.shoot(&x, &theta, Moment::default())))),
    });
    for (index, (twin, names)) in [
        (built.twin.clone(), ["twin, forward", "twin, pull back"]),
        (built.ideal.clone(), ["ideal, forward", "ideal, pull back"]),
    ]
    .into_iter()
    .enumerate()
    {
        let forward = 1 + 2 * index;
        let (model, x, theta) = (twin.clone(), inputs.clone(), controls.clone());
        tasks.push(Task {
            name: names[0],
            shots,
            forward,
            operations: counts.forward[1 + index],
            run: Box::new(move || drop(black_box(model.predict(&x, &theta)))),
        });
        let (x, theta, y) = (inputs.clone(), controls.clone(), cotangents.clone());
        tasks.push(Task {
            name: names[1],
            shots,
            forward,
            operations: counts.back[index],
            run: Box::new(move || drop(black_box(twin.pull_back(&x, &theta, &y)))),
        });
    }
    tasks
}

/// Per substep (`kernel.rs`, `law.rs`): coil 4, exponent 2, push 2, node 1; the polynomial law 13 and 7 more for its slopes; the
/// blended law 42 with an exponential of 19 and its memory 5, and 9 for its slopes; the way back 7 and 15. Per sample: DAC 2,
/// crosstalk and gain 5, and the same back 6; the bench's gain, jitter and noise 9.
fn electrical(samples: usize) -> System {
    const SHOTS: usize = 512;
    let config = Electrical { samples, ..Electrical::default() };
    let per_shot = |substep: usize, sample: usize| (samples * (config.substeps * substep + sample)) as f64;
    let counts = Counts {
        forward: [per_shot(56, 16), per_shot(22, 7), per_shot(56, 7)],
        back: [per_shot(22 + 7 + 7, 13), per_shot(56 + 9 + 15, 13)],
    };
    let built = config.build().expect("the default circuit can be built");
    let mut tasks = tasks(&built, SHOTS, [-1.0, 1.0], &counts);
    let mut stream = Key::new(1).stream();
    let few = Batch::from_fn(16, samples, |_, _| 2.0 * stream.uniform() - 1.0);
    let scalar = Task {
        name: "scalar twin, forward",
        shots: 16,
        forward: tasks.len(),
        operations: counts.forward[1],
        run: Box::new(move || drop(black_box(scalar_twin(&config, &few)))),
    };
    tasks.push(scalar);
    System { name: format!("electrical, {samples} samples"), shots: SHOTS, tasks }
}

/// Per mode and sample (`step.rs`): a linear mode 12, a nonlinear one 18; back 13 and 18; a coupling 14, back 34; speaker 5,
/// soft clipping 6 and 6 back.
fn mechanical() -> System {
    const SHOTS: usize = 512;
    let config = Mechanical { samples: 784, ..Mechanical::default() };
    let (modes, couplings) = (config.modes, config.gap.couplings);
    let per_shot = |sample: usize| (config.samples * sample) as f64;
    let (linear, nonlinear) = (12 * modes + 5, 18 * modes + 14 * couplings + 11);
    let counts = Counts {
        forward: [per_shot(nonlinear), per_shot(linear), per_shot(nonlinear)],
        back: [per_shot(13 * modes + 5), per_shot(nonlinear + 18 * modes + 34 * couplings + 11)],
    };
    let built = config.build().expect("the default plate can be built");
    System {
        name: format!("mechanical, {} samples, {modes} modes", config.samples),
        shots: SHOTS,
        tasks: tasks(&built, SHOTS, [-1.0, 1.0], &counts),
    }
}

/// A transform is about 5,500 operations (`transform.rs`), half of it where half its points are zero; a shot takes one there and
/// one back, 100 shaped channels of 4 and 199 intensities of 5; the pull back four transforms.
fn optical() -> System {
    const SHOTS: usize = 1024;
    let built = Optical::default().build().expect("the default spectrometer can be built");
    let forward = 2.0 * 5_500.0 + 100.0 * 4.0 + 199.0 * 5.0;
    let counts = Counts { forward: [forward; 3], back: [2.0 * forward; 2] };
    System {
        name: "optical, undepleted limit".to_owned(),
        shots: SHOTS,
        tasks: tasks(&built, SHOTS, [0.0, 1.0], &counts),
    }
}

/// A product of the coupling matrix with a shot's sines is 2 N² operations; 18 of them forward, twice as many again for the way
/// back and 18 outer products. Sines count as 21, and the rest of a stage as 20 (`integrator.rs`).
fn oscillators(count: usize) -> System {
    const SHOTS: usize = 32;
    let config = Oscillators { count, ..Oscillators::default() };
    let built = config.build().expect("the default lattice can be built");
    let stages = (4 * config.steps - 2) as f64;
    let [product, point] = [2.0 * (count * count) as f64, 41.0 * count as f64];
    let forward = (stages - 1.0) * product + stages * point;
    let counts = Counts { forward: [forward; 3], back: [(3.0 * stages - 2.0) * product + 2.0 * stages * point; 2] };
    System {
        name: format!("oscillators, {count} of them"),
        shots: SHOTS,
        tasks: tasks(&built, SHOTS, [-1.0, 1.0], &counts),
    }
}

/// A product with the matrix of the mesh is 4 N² operations on real inputs, and its intensities 3 N; working the matrix out sends N shots
/// through N(N − 1)/2 interferometers of 28 operations each. The way back has a product with the adjoint matrix and one of outputs with
/// inputs besides, and sends N shots back through interferometers of 60.
fn mesh(modes: usize) -> System {
    const SHOTS: usize = 512;
    let config = Mesh { modes, ..Mesh::default() };
    let built = config.build().expect("the default mesh can be built");
    let n = modes as f64;
    let [product, once] = [4.0 * n * n + 3.0 * n, n * n * (n - 1.0) / 2.0 / SHOTS as f64];
    let forward = product + 28.0 * once;
    let counts = Counts { forward: [forward; 3], back: [forward + 8.0 * n * n + (28.0 + 60.0) * once; 2] };
    System { name: format!("mesh, {modes} modes"), shots: SHOTS, tasks: tasks(&built, SHOTS, [-1.0, 1.0], &counts) }
}

/// A network with two layers of 128 alone in place of the optical bench's twin: a product with a matrix is two operations a weight,
/// forward and back; the pull back goes forward first. Activations are not counted.
fn learned() -> System {
    const SHOTS: usize = 1024;
    let built = Optical::default().build().expect("the default spectrometer can be built");
    let card = built.twin.card().clone();
    let [inputs, controls, outputs] = [card.ports.input_count(), card.ports.control_count(), card.ports.output_count()];
    let mut stream = Key::new(2).stream();
    let mut layer = |outputs: usize, inputs: usize| PlainLayer {
        outputs,
        inputs,
        weights: (0..outputs * inputs).map(|_| stream.normal() / (inputs as f32).sqrt()).collect(),
        bias: vec![0.0; outputs],
    };
    let layers = [layer(128, inputs + controls), layer(128, 128), layer(outputs, 128)];
    let network = Network::new(&layers, [inputs, controls, 0]).expect("the layers chain");
    let twin = Arc::new(LearnedTwin::new(card, None, network));
    // The controls are the same in all shots: their weights are used once a batch.
    let products = 2.0 * (128 * (inputs + 128 + outputs)) as f64;
    let counts = Counts { forward: [products; 3], back: [2.0 * products; 2] };
    let built = Built { twin: twin.clone(), ideal: twin, ..built };
    let tasks = tasks(&built, SHOTS, [0.0, 1.0], &counts);
    let tasks = tasks.into_iter().skip(1).take(2).map(|task| Task { forward: 0, ..task }).collect();
    System { name: "learned twin of the optical bench, two layers of 128".to_owned(), shots: SHOTS, tasks }
}
