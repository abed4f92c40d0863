//! A mesh with its detectors, for batches of shots: readings, and gradients for inputs, settings, and the numbers of the chip.
//!
//! A batch of more shots than half the modes goes through the matrix of the whole mesh, worked out once ([`super::matrix`]); a smaller one
//! through the columns, shot by shot ([`super::waves`]). Blocks of [`LANES`] shots go over the cores; sums over shots are taken in their
//! order, so no result depends on the threads.

use rayon::prelude::*;

use super::chip::{Chip, Slopes, Transfer};
use super::layout::Layout;
use super::matrix::{Adjoint, Matrix, Outer, Product};
use super::readout::{Detect, MeshOutputs, Undetect};
use super::waves::{Back, Forth, Set, Wave, dark};
use crate::blocks::{gather, scatter};
use crate::{LANES, Lanes, Real};

/// Blocks of shots whose products are added up together before they are added to the rest.
const TOGETHER: usize = 8;

/// The optics of a mesh.
#[derive(Debug, Clone)]
pub(super) struct Optics<S> {
    pub chip: Chip<S>,
    /// Whether inputs have imaginary parts, which follow the real ones.
    pub complex: bool,
    pub outputs: MeshOutputs,
}

/// A mesh at a setting.
#[derive(Debug, Clone)]
pub(super) struct At<S> {
    layout: Layout,
    /// The phases that the setting makes.
    phases: Vec<S>,
    transfers: Vec<Transfer<S>>,
    turns: Vec<[S; 2]>,
}

/// What a batch gives backward.
#[derive(Debug, Clone)]
pub(super) struct Gradients<S> {
    /// `[shots, inputs]`.
    pub inputs: Vec<S>,
    /// With the numbers of the chip, summed over the shots.
    pub slopes: Slopes<S>,
}

/// Products and slopes with the phases of the outputs, as [`Back`] adds them up.
type Sums<S> = (Vec<[S; 8]>, Vec<S>);

impl<S: Real> At<S> {
    fn set(&self) -> Set<'_, S> {
        Set { layout: self.layout, transfers: &self.transfers, turns: &self.turns }
    }

    /// The whole mesh as one matrix.
    pub fn matrix(&self) -> Matrix<S> {
        let modes = self.layout.modes;
        let mut matrix = Matrix::zeros(modes);
        let waves: Vec<Wave<S>> = (0..matrix.padded / LANES)
            .into_par_iter()
            .map(|block| {
                let mut wave = unit(modes, block);
                pulp::Arch::new().dispatch(Forth { set: self.set(), wave: &mut wave, tape: &mut [] });
                wave
            })
            .collect();
        for (block, wave) in waves.iter().enumerate() {
            matrix.set_columns(block, wave);
        }
        matrix
    }

    fn tape(&self) -> Vec<[Lanes<S>; 2]> {
        vec![[[S::default(); LANES]; 2]; self.layout.columns() * self.layout.modes]
    }

    fn no_sums(&self) -> Sums<S> {
        (vec![[S::default(); 8]; self.transfers.len()], vec![S::default(); self.turns.len()])
    }

    /// Products of the interferometers from the cotangent of the matrix.
    fn products(&self, cotangent: &Matrix<S>) -> Sums<S> {
        let modes = self.layout.modes;
        let parts: Vec<Sums<S>> = (0..cotangent.padded / LANES)
            .into_par_iter()
            .map_init(
                || (self.tape(), dark(modes)),
                |(tape, back), block| {
                    let mut wave = unit(modes, block);
                    cotangent.columns(block, back);
                    let mut sums = self.no_sums();
                    self.back_and_forth(&mut wave, (tape, back), &mut sums, |_, _| {});
                    sums
                },
            )
            .collect();
        self.added(&parts)
    }

    /// Sends `wave` forth, has `read` make the cotangents from it, and sends these back.
    fn back_and_forth(
        &self,
        wave: &mut Wave<S>,
        (tape, back): (&mut Vec<[Lanes<S>; 2]>, &mut Wave<S>),
        (products, of_outputs): &mut Sums<S>,
        read: impl FnOnce(&Wave<S>, &mut Wave<S>),
    ) {
        let arch = pulp::Arch::new();
        arch.dispatch(Forth { set: self.set(), wave, tape });
        read(wave, back);
        arch.dispatch(Back { set: self.set(), wave, tape, cotangents: back, products, of_outputs });
    }

    /// Sums of blocks, in their order.
    fn added(&self, parts: &[Sums<S>]) -> Sums<S> {
        let mut sums = self.no_sums();
        for (products, of_outputs) in parts {
            let (to, from) = (sums.0.as_flattened_mut().iter_mut(), products.as_flattened());
            to.zip(from).for_each(|(sum, term)| *sum += *term);
            sums.1.iter_mut().zip(of_outputs).for_each(|(sum, term)| *sum += *term);
        }
        sums
    }
}

/// Light in one input of each shot: the inputs of block `block`.
fn unit<S: Real>(modes: usize, block: usize) -> Wave<S> {
    let mut wave = dark(modes);
    for lane in 0..LANES {
        if let Some(field) = wave[0].get_mut(block * LANES + lane) {
            field[lane] = S::of(1.0);
        }
    }
    wave
}

/// What a thread keeps between blocks of a forward pass: inputs, fields, readings.
type Bench<S> = (Vec<Lanes<S>>, Wave<S>, Vec<Lanes<S>>);

impl<S: Real> Optics<S> {
    /// The mesh with these settings, as its converters apply them.
    pub fn at(&self, controls: &[S]) -> At<S> {
        self.with(self.chip.phases(controls))
    }

    /// The mesh with these phases.
    pub fn with(&self, phases: Vec<S>) -> At<S> {
        let (transfers, turns) = (self.chip.transfers(&phases), self.chip.turned(&phases));
        At { layout: self.chip.layout, phases, transfers, turns }
    }

    fn modes(&self) -> usize {
        self.chip.layout.modes
    }

    /// Values that go in with each shot.
    fn inputs(&self) -> usize {
        if self.complex { 2 * self.modes() } else { self.modes() }
    }

    fn new_bench(&self) -> Bench<S> {
        let lanes = |count: usize| vec![[S::default(); LANES]; count];
        (lanes(self.inputs()), dark(self.modes()), lanes(self.outputs.width(self.modes())))
    }

    /// Whether so many shots go through the columns one by one.
    fn is_few(&self, shots: usize) -> bool {
        2 * shots <= self.modes()
    }

    /// Readings, `[shots, outputs]`.
    pub fn predict(&self, at: &At<S>, inputs: &[S]) -> Vec<S> {
        if self.is_few(inputs.len() / self.inputs()) {
            return self.read(inputs, |from, wave| self.through(at, from, wave));
        }
        self.predict_by(&at.matrix(), inputs)
    }

    /// Readings through the matrix of the mesh: those of a shot do not depend on the others.
    pub fn predict_by(&self, matrix: &Matrix<S>, inputs: &[S]) -> Vec<S> {
        self.read(inputs, |from, to| self.multiply(matrix, from, to))
    }

    /// A block's fields, column by column.
    fn through(&self, at: &At<S>, from: &[Lanes<S>], wave: &mut Wave<S>) {
        self.load(from, wave);
        pulp::Arch::new().dispatch(Forth { set: at.set(), wave, tape: &mut [] });
    }

    /// A block's fields by the matrix.
    fn multiply(&self, matrix: &Matrix<S>, from: &[Lanes<S>], to: &mut Wave<S>) {
        let (real, imaginary) = from.split_at(self.modes());
        pulp::Arch::new().dispatch(Product { matrix, real, imaginary, to });
    }

    /// The fields that go in.
    fn load(&self, from: &[Lanes<S>], wave: &mut Wave<S>) {
        let (real, imaginary) = from.split_at(self.modes());
        wave[0].copy_from_slice(real);
        if self.complex {
            wave[1].copy_from_slice(imaginary);
        } else {
            wave[1].fill([S::default(); LANES]);
        }
    }

    /// What detectors read of the fields that `fields` makes of each block.
    fn read(&self, inputs: &[S], fields: impl Fn(&[Lanes<S>], &mut Wave<S>) + Sync) -> Vec<S> {
        let (columns, width) = (self.inputs(), self.outputs.width(self.modes()));
        let mut outputs = vec![S::default(); inputs.len() / columns * width];
        let blocks = outputs.par_chunks_mut(LANES * width).zip(inputs.par_chunks(LANES * columns));
        blocks.for_each_init(
            || self.new_bench(),
            |(from, wave, to), (rows, source)| {
                gather(source, columns, 1, from);
                fields(from, wave);
                pulp::Arch::new().dispatch(Detect { outputs: self.outputs, wave, to });
                scatter(to, width, 1, rows);
            },
        );
        outputs
    }

    /// Gradients at `inputs` from the cotangents of the readings.
    pub fn pull_back(&self, at: &At<S>, inputs: &[S], cotangents: &[S]) -> Gradients<S> {
        let few = self.is_few(inputs.len() / self.inputs());
        let (inputs, (products, of_outputs)) =
            if few { self.back_through(at, inputs, cotangents) } else { self.back_by(at, inputs, cotangents) };
        let slopes = self.chip.slopes(&at.phases, &products, &of_outputs);
        Gradients { inputs, slopes }
    }

    /// Column by column, for few shots.
    fn back_through(&self, at: &At<S>, inputs: &[S], cotangents: &[S]) -> (Vec<S>, Sums<S>) {
        let (columns, width) = (self.inputs(), self.outputs.width(self.modes()));
        let mut gradients = vec![S::default(); inputs.len()];
        let parts: Vec<Sums<S>> = gradients
            .par_chunks_mut(LANES * columns)
            .zip(inputs.par_chunks(LANES * columns))
            .zip(cotangents.par_chunks(LANES * width))
            .map_init(
                || (self.new_bench(), at.tape(), dark(self.modes())),
                |((from, wave, readings), tape, back), ((rows, source), cotangents)| {
                    gather(source, columns, 1, from);
                    gather_used(cotangents, width, readings);
                    self.load(from, wave);
                    let mut sums = at.no_sums();
                    at.back_and_forth(wave, (&mut *tape, &mut *back), &mut sums, |wave, to| {
                        let undetect = Undetect { outputs: self.outputs, wave, from: readings, to };
                        pulp::Arch::new().dispatch(undetect);
                    });
                    let (real, imaginary) = from.split_at_mut(self.modes());
                    real.copy_from_slice(&back[0]);
                    imaginary.copy_from_slice(&back[1][..imaginary.len()]);
                    scatter(from, columns, 1, rows);
                    sums
                },
            )
            .collect();
        (gradients, at.added(&parts))
    }

    /// Through the matrix of the mesh.
    fn back_by(&self, at: &At<S>, inputs: &[S], cotangents: &[S]) -> (Vec<S>, Sums<S>) {
        let (columns, width, modes) = (self.inputs(), self.outputs.width(self.modes()), self.modes());
        let matrix = at.matrix();
        let mut gradients = vec![S::default(); inputs.len()];
        let rows = LANES * TOGETHER;
        let parts: Vec<Matrix<S>> = gradients
            .par_chunks_mut(rows * columns)
            .zip(inputs.par_chunks(rows * columns))
            .zip(cotangents.par_chunks(rows * width))
            .map_init(
                || (self.new_bench(), dark(modes), vec![[S::default(); LANES]; matrix.padded]),
                |((from, wave, readings), back, padded), ((gradients, inputs), cotangents)| {
                    let mut sum = Matrix::zeros(modes);
                    let blocks = gradients.chunks_mut(LANES * columns).zip(inputs.chunks(LANES * columns));
                    for ((rows, source), cotangents) in blocks.zip(cotangents.chunks(LANES * width)) {
                        gather(source, columns, 1, from);
                        gather_used(cotangents, width, readings);
                        self.multiply(&matrix, from, wave);
                        let arch = pulp::Arch::new();
                        arch.dispatch(Undetect { outputs: self.outputs, wave, from: readings, to: back });
                        let mut imaginary = vec![];
                        pad(source, (columns, 0..modes), padded);
                        if self.complex {
                            imaginary.clone_from(padded);
                            pad(source, (columns, modes..columns), &mut imaginary);
                        }
                        let rows_of = [&padded[..], &imaginary[..]];
                        arch.dispatch(Outer { cotangents: back, rows: rows_of, to: &mut sum });
                        arch.dispatch(Adjoint { matrix: &matrix, cotangents: back, to: from });
                        scatter(from, columns, 1, rows);
                    }
                    sum
                },
            )
            .collect();
        let mut total = Matrix::zeros(modes);
        for part in &parts {
            total.add(part);
        }
        (gradients, at.products(&total))
    }
}

/// Turns rows into lanes; unused lanes are zero.
fn gather_used<S: Real>(rows: &[S], columns: usize, lanes: &mut [Lanes<S>]) {
    gather(rows, columns, 1, lanes);
    let used = rows.len() / columns;
    for lanes in lanes {
        lanes[used..].fill(S::default());
    }
}

/// Some columns of up to a block of rows, each row filled up with zeros to whole blocks.
fn pad<S: Real>(rows: &[S], (columns, part): (usize, std::ops::Range<usize>), to: &mut [Lanes<S>]) {
    let flat = to.as_flattened_mut();
    let padded = flat.len() / LANES;
    flat.fill(S::default());
    for (row, to) in rows.chunks_exact(columns).zip(flat.chunks_exact_mut(padded)) {
        to[..part.len()].copy_from_slice(&row[part.clone()]);
    }
}
