//! The twin of a text system, and its family: the same programs with other coefficients.

use std::sync::{Arc, Mutex, PoisonError};

use drivers::{Batch, Card, Range};
use rayon::prelude::*;

use super::run::{Course, Work};
use crate::adjustable::plausible;
use crate::dual::Dual;
use crate::{Adjustable, Coefficient, LANES, Pullback, Real, Sensitivity, Twin, blocks};

/// Memory that outlives a batch, in one precision and width.
type Shelf<S, const W: usize> = Mutex<Vec<Work<S, W>>>;

/// A course with memory for the threads that run it.
#[derive(Debug)]
pub(super) struct Runner {
    pub course: Course,
    /// Chunks of a block: the same whatever the batch and the threads, so that sums over shots are too.
    chunks: usize,
    /// The range of each output.
    pub ranges: Vec<Range>,
    rows: Shelf<f32, LANES>,
    /// For systems so large that each shot is computed by itself.
    single: Shelf<f64, 1>,
}

/// How rows of a batch become a wave and back, in one precision and width.
trait Form<const W: usize>: Real {
    fn gather(rows: &[f32], columns: usize, chunks: usize, wave: &mut [[Self; W]]);
    fn scatter(wave: &[[Self; W]], columns: usize, chunks: usize, rows: &mut [f32]);
}

/// A turn of rows and lanes, compiled for the vector unit that is found at run time.
enum Turn<'a> {
    Gather(&'a [f32], &'a mut [[f32; LANES]]),
    Scatter(&'a [[f32; LANES]], &'a mut [f32]),
}

/// The same with its columns and chunks.
struct Turned<'a>(Turn<'a>, usize, usize);

impl pulp::NullaryFnOnce for Turned<'_> {
    type Output = ();

    #[inline(always)]
    fn call(self) {
        let Self(turn, columns, chunks) = self;
        match turn {
            Turn::Gather(rows, wave) => blocks::gather(rows, columns, chunks, wave),
            Turn::Scatter(wave, rows) => blocks::scatter(wave, columns, chunks, rows),
        }
    }
}

impl Form<LANES> for f32 {
    fn gather(rows: &[f32], columns: usize, chunks: usize, wave: &mut [[f32; LANES]]) {
        pulp::Arch::new().dispatch(Turned(Turn::Gather(rows, wave), columns, chunks));
    }
    fn scatter(wave: &[[f32; LANES]], columns: usize, chunks: usize, rows: &mut [f32]) {
        pulp::Arch::new().dispatch(Turned(Turn::Scatter(wave, rows), columns, chunks));
    }
}

impl Form<1> for f64 {
    fn gather(rows: &[f32], _: usize, _: usize, wave: &mut [[f64; 1]]) {
        wave.iter_mut().zip(rows).for_each(|(to, value)| *to = [f64::from(*value)]);
    }
    fn scatter(wave: &[[f64; 1]], _: usize, _: usize, rows: &mut [f32]) {
        rows.iter_mut().zip(wave).for_each(|(to, from)| *to = from[0] as f32);
    }
}

fn lend<S: Real, const W: usize, T>(
    shelf: &Shelf<S, W>,
    course: &Course,
    chunks: usize,
    task: impl FnOnce(&mut Work<S, W>) -> T,
) -> T {
    let shelf = || shelf.lock().unwrap_or_else(PoisonError::into_inner);
    let found = shelf().pop();
    let mut work = found.unwrap_or_else(|| Work::new(course, chunks));
    let result = task(&mut work);
    shelf().push(work);
    result
}

impl Runner {
    pub fn new(course: Course, ranges: Vec<Range>) -> Self {
        let chunks = course.chunks();
        Self { course, chunks, ranges, rows: Mutex::default(), single: Mutex::default() }
    }

    /// The outputs, clipped to their ranges or not.
    pub fn predict(&self, inputs: &Batch, controls: &[f64], coefficients: &[f64], clips: bool) -> Batch {
        if self.course.is_large() {
            let table = self.course.compiled.settled::<f64>(controls, coefficients);
            self.predict_in(inputs, &table, &self.single, clips)
        } else {
            let table = self.course.compiled.settled::<f32>(controls, coefficients);
            self.predict_in(inputs, &table, &self.rows, clips)
        }
    }

    fn predict_in<S: Form<W>, const W: usize>(
        &self,
        inputs: &Batch,
        table: &[S],
        shelf: &Shelf<S, W>,
        clips: bool,
    ) -> Batch {
        let (width, read) = (self.course.input_width, self.course.output_width);
        let mut outputs = Batch::zeros(inputs.rows(), read);
        let block = W * self.chunks;
        let rows = outputs.values_mut().par_chunks_mut(block * read).zip(inputs.values().par_chunks(block * width));
        rows.for_each(|(outputs, inputs)| {
            lend(shelf, &self.course, self.chunks, |work| {
                let mut waves = self.waves(work);
                let [from, to, ..] = &mut waves;
                S::gather(inputs, width, self.chunks, from);
                self.course.forward(table, work, from, to, false);
                if clips {
                    pulp::Arch::new().dispatch(Clip { ranges: &self.ranges, wave: to, chunks: self.chunks });
                }
                S::scatter(to, read, self.chunks, outputs);
                work.waves = waves;
            });
        });
        outputs
    }

    /// Waves of a block: inputs, outputs, and what each is worth. All of them are written before they are read.
    fn waves<S: Real, const W: usize>(&self, work: &mut Work<S, W>) -> [Vec<[S; W]>; 4] {
        let mut waves = std::mem::take(&mut work.waves);
        let (width, read) = (self.course.input_width * self.chunks, self.course.output_width * self.chunks);
        for (wave, rows) in waves.iter_mut().zip([width, read, read, width]) {
            wave.resize(rows, [S::of(0.0); W]);
        }
        waves
    }

    /// Gradients for inputs and controls.
    fn pull_back(&self, inputs: &Batch, controls: &[f64], coefficients: &[f64], cotangents: &Batch) -> Pullback {
        let (gradients, sums) = if self.course.is_large() {
            let table = self.course.compiled.settled::<f64>(controls, coefficients);
            self.pull_back_in(inputs, &table, cotangents, &self.single)
        } else {
            let table = self.course.compiled.settled::<f32>(controls, coefficients);
            self.pull_back_in(inputs, &table, cotangents, &self.rows)
        };
        let by_controls = self.course.compiled.settled_back(controls, coefficients, &sums);
        Pullback { inputs: gradients, controls: by_controls.into_iter().map(|value| value as f32).collect() }
    }

    /// Gradients for the inputs, and what shared terms are worth.
    fn pull_back_in<S: Form<W>, const W: usize>(
        &self,
        inputs: &Batch,
        table: &[S],
        cotangents: &Batch,
        shelf: &Shelf<S, W>,
    ) -> (Batch, Vec<f64>) {
        let (width, read) = (self.course.input_width, self.course.output_width);
        let mut gradients = Batch::zeros(inputs.rows(), width);
        let block = W * self.chunks;
        let rows = inputs.values().par_chunks(block * width).zip(cotangents.values().par_chunks(block * read));
        let sums: Vec<Vec<f64>> = gradients
            .values_mut()
            .par_chunks_mut(block * width)
            .zip(rows)
            .map(|(gradients, (inputs, cotangents))| {
                lend(shelf, &self.course, self.chunks, |work| {
                    let mut waves = self.waves(work);
                    let [from, outputs, given, back] = &mut waves;
                    S::gather(inputs, width, self.chunks, from);
                    S::gather(cotangents, read, self.chunks, given);
                    self.course.forward(table, work, from, outputs, true);
                    let shots = cotangents.len() / read;
                    let (ranges, chunks) = (&self.ranges, self.chunks);
                    pulp::Arch::new().dispatch(DropClipped { ranges, shots, read: outputs, given, chunks });
                    self.course.backward(table, work, (from, given), back);
                    S::scatter(back, width, self.chunks, gradients);
                    work.waves = waves;
                    work.sums()
                })
            })
            .collect();
        let mut total = vec![0.0; self.course.compiled.sums];
        for sums in &sums {
            for (total, part) in total.iter_mut().zip(sums) {
                *total += part;
            }
        }
        (gradients, total)
    }
}

/// Clips readings to the ranges of their ports.
struct Clip<'a, S, const W: usize> {
    ranges: &'a [Range],
    wave: &'a mut [[S; W]],
    chunks: usize,
}

impl<S: Real, const W: usize> pulp::NullaryFnOnce for Clip<'_, S, W> {
    type Output = ();

    #[inline(always)]
    fn call(self) {
        for (rows, range) in self.wave.chunks_exact_mut(self.chunks).zip(self.ranges) {
            let [low, high] = bounds(range);
            for value in rows.as_flattened_mut() {
                *value = Real::min(Real::max(*value, low), high);
            }
        }
    }
}

#[inline(always)]
fn bounds<S: Real>(range: &Range) -> [S; 2] {
    [S::of(f64::from(range.low)), S::of(f64::from(range.high))]
}

/// A clipped reading does not move, and a lane without a shot has none: their cotangents are dropped.
struct DropClipped<'a, S, const W: usize> {
    ranges: &'a [Range],
    shots: usize,
    read: &'a [[S; W]],
    given: &'a mut [[S; W]],
    chunks: usize,
}

impl<S: Real, const W: usize> pulp::NullaryFnOnce for DropClipped<'_, S, W> {
    type Output = ();

    #[inline(always)]
    fn call(self) {
        let Self { ranges, shots, read, given, chunks } = self;
        let zero = S::of(0.0);
        for ((read, given), range) in read.chunks_exact(chunks).zip(given.chunks_exact_mut(chunks)).zip(ranges) {
            let [low, high] = bounds(range);
            let (read, given) = (read.as_flattened(), given.as_flattened_mut());
            for (reading, given) in read.iter().zip(&mut *given) {
                *given = if *reading < low || high < *reading { zero } else { *given };
            }
            given[shots.min(read.len())..].fill(zero);
        }
    }
}

/// A differentiable model of a text system.
#[derive(Debug)]
pub(super) struct TextTwin {
    card: Card,
    runner: Arc<Runner>,
    coefficients: Vec<f64>,
}

impl TextTwin {
    pub fn new(card: Card, runner: Arc<Runner>, coefficients: Vec<f64>) -> Self {
        Self { card, runner, coefficients }
    }
}

fn wide(values: &[f32]) -> Vec<f64> {
    values.iter().map(|value| f64::from(*value)).collect()
}

impl Twin for TextTwin {
    fn card(&self) -> &Card {
        &self.card
    }

    fn predict(&self, inputs: &Batch, controls: &[f32]) -> Batch {
        self.runner.predict(inputs, &wide(controls), &self.coefficients, true)
    }

    fn pull_back(&self, inputs: &Batch, controls: &[f32], cotangents: &Batch) -> Pullback {
        self.runner.pull_back(inputs, &wide(controls), &self.coefficients, cotangents)
    }
}

/// The twins with other coefficients.
#[derive(Debug)]
pub(super) struct Family {
    pub card: Card,
    pub runner: Arc<Runner>,
    /// All coefficients of the file.
    pub nominal: Vec<f64>,
    /// Those that are fitted, and where each is among all.
    pub fitted: Vec<(Coefficient, usize)>,
}

impl Family {
    fn all(&self, coefficients: &[f64]) -> Vec<f64> {
        let list = Adjustable::coefficients(self);
        let mut all = self.nominal.clone();
        for (value, (_, place)) in plausible(&list, coefficients).into_iter().zip(&self.fitted) {
            all[*place] = value;
        }
        all
    }
}

impl Adjustable for Family {
    fn card(&self) -> Card {
        self.card.clone()
    }

    fn coefficients(&self) -> Vec<Coefficient> {
        self.fitted.iter().map(|(coefficient, _)| coefficient.clone()).collect()
    }

    fn adjusted(&self, coefficients: &[f64], _corrections: &[f64]) -> Arc<dyn Twin> {
        Arc::new(TextTwin::new(self.card.clone(), self.runner.clone(), self.all(coefficients)))
    }

    fn sensitivity(&self, coefficients: &[f64], _corrections: &[f64], index: usize) -> Sensitivity {
        let mut values: Vec<Dual<f64>> =
            self.all(coefficients).into_iter().map(|value| Dual { value, slope: 0.0 }).collect();
        values[self.fitted[index].1].slope = 1.0;
        let runner = self.runner.clone();
        Box::new(move |inputs, controls| {
            let course = &runner.course;
            let controls: Vec<Dual<f64>> =
                controls.iter().map(|value| Dual { value: f64::from(*value), slope: 0.0 }).collect();
            let table: Vec<Dual<f64>> = course.compiled.settled(&controls, &values);
            slopes_of(&runner, &table, inputs)
        })
    }
}

/// How the outputs go with what the table goes with. Shots lie side by side as chunks of one lane.
fn slopes_of(runner: &Runner, table: &[Dual<f64>], inputs: &Batch) -> Batch {
    let course = &runner.course;
    let (width, read) = (course.input_width, course.output_width);
    let chunks = if course.advances_alone() { 1 } else { LANES };
    let mut slopes = Batch::zeros(inputs.rows(), read);
    let rows = slopes.values_mut().par_chunks_mut(chunks * read).zip(inputs.values().par_chunks(chunks * width));
    rows.for_each_init(
        || Work::<Dual<f64>, 1>::new(course, chunks),
        |work, (slopes, inputs)| {
            let shots = inputs.len() / width;
            let value = |shot: usize, port: usize| [Dual::of(f64::from(inputs[shot.min(shots - 1) * width + port]))];
            let from: Vec<_> = (0..width).flat_map(|port| (0..chunks).map(move |shot| value(shot, port))).collect();
            let mut to = vec![[Dual::of(0.0)]; read * chunks];
            course.forward(table, work, &from, &mut to, false);
            for (shot, row) in slopes.chunks_exact_mut(read).enumerate() {
                for (port, (slope, range)) in row.iter_mut().zip(&runner.ranges).enumerate() {
                    let output = to[port * chunks + shot][0];
                    let outside = output.value < f64::from(range.low) || f64::from(range.high) < output.value;
                    *slope = if outside { 0.0 } else { output.slope as f32 };
                }
            }
        },
    );
    slopes
}
