//! The twin of a text system, and its family: the same programs with other coefficients.

use std::sync::{Arc, Mutex, PoisonError};

use drivers::{Batch, Card, Range};
use rayon::prelude::*;

use super::run::{Course, Work};
use crate::adjustable::plausible;
use crate::dual::{self, Dual};
use crate::{Adjustable, Coefficient, LANES, Lanes, Pullback, Real, Sensitivity, Twin, blocks};

/// What a block may take of the caches, in bytes, and the most chunks that it is worth to advance together.
const CACHE: usize = 192 << 10;
const MOST_CHUNKS: usize = 4;

/// A course with memory for the threads that run it.
#[derive(Debug)]
pub(super) struct Runner {
    pub course: Course,
    /// Chunks of a block: the same whatever the batch and the threads, so that sums over shots are too.
    chunks: usize,
    /// The range of each output.
    pub ranges: Vec<Range>,
    spare: Mutex<Vec<Work<f32>>>,
}

impl Runner {
    pub fn new(course: Course, ranges: Vec<Range>) -> Self {
        let chunks = (CACHE / course.bytes().max(1)).clamp(1, MOST_CHUNKS);
        Self { course, chunks, ranges, spare: Mutex::default() }
    }

    fn lend<T>(&self, task: impl FnOnce(&mut Work<f32>) -> T) -> T {
        let shelf = || self.spare.lock().unwrap_or_else(PoisonError::into_inner);
        let found = shelf().pop();
        let mut work = found.unwrap_or_else(|| Work::new(&self.course, self.chunks));
        let result = task(&mut work);
        shelf().push(work);
        result
    }

    /// The outputs before they are clipped.
    pub fn predict(&self, inputs: &Batch, table: &[f32]) -> Batch {
        let (width, read) = (self.course.input_width, self.course.output_width);
        let mut outputs = Batch::zeros(inputs.rows(), read);
        let block = LANES * self.chunks;
        let rows = outputs.values_mut().par_chunks_mut(block * read).zip(inputs.values().par_chunks(block * width));
        rows.for_each(|(outputs, inputs)| {
            self.lend(|work| forward(&self.course, table, work, self.chunks, (inputs, outputs)));
        });
        outputs
    }

    /// Gradients for the inputs, and what shared terms are worth.
    fn pull_back(&self, inputs: &Batch, table: &[f32], cotangents: &Batch) -> (Batch, Vec<f64>) {
        let (width, read) = (self.course.input_width, self.course.output_width);
        let mut gradients = Batch::zeros(inputs.rows(), width);
        let block = LANES * self.chunks;
        let rows = inputs.values().par_chunks(block * width).zip(cotangents.values().par_chunks(block * read));
        let sums: Vec<Vec<f64>> = gradients
            .values_mut()
            .par_chunks_mut(block * width)
            .zip(rows)
            .map(|(gradients, (inputs, cotangents))| {
                self.lend(|work| {
                    let zero = [0.0; LANES];
                    let [mut from, mut back] = [width, width].map(|count| vec![zero; count * self.chunks]);
                    let [mut read_wave, mut given] = [read, read].map(|count| vec![zero; count * self.chunks]);
                    blocks::gather(inputs, width, self.chunks, &mut from);
                    blocks::gather(cotangents, read, self.chunks, &mut given);
                    self.course.forward(table, work, &from, &mut read_wave, true);
                    drop_clipped(&self.ranges, cotangents.len() / read, (&read_wave, &mut given), self.chunks);
                    self.course.backward(table, work, (&from, &given), &mut back);
                    blocks::scatter(&back, width, self.chunks, gradients);
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

/// One block of rows: `inputs` become `outputs`.
fn forward<S: Real>(course: &Course, table: &[S], work: &mut Work<S>, chunks: usize, (inputs, outputs): (&[S], &mut [S])) {
    let (width, read) = (course.input_width, course.output_width);
    let zero = [S::of(0.0); LANES];
    let (mut from, mut to) = (vec![zero; width * chunks], vec![zero; read * chunks]);
    blocks::gather(inputs, width, chunks, &mut from);
    course.forward(table, work, &from, &mut to, false);
    blocks::scatter(&to, read, chunks, outputs);
}

/// A clipped reading does not move, and a lane without a shot has none: their cotangents are dropped.
fn drop_clipped(ranges: &[Range], shots: usize, (read, given): (&[Lanes<f32>], &mut [Lanes<f32>]), chunks: usize) {
    let ports = read.chunks_exact(chunks).zip(given.chunks_exact_mut(chunks)).zip(ranges);
    for ((read, given), range) in ports {
        for (chunk, (read, given)) in read.iter().zip(given).enumerate() {
            for (lane, (reading, given)) in read.iter().zip(given).enumerate() {
                let inside = range.low <= *reading && *reading <= range.high;
                if shots <= chunk * LANES + lane || (!inside && !reading.is_nan()) {
                    *given = 0.0;
                }
            }
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

    fn table(&self, controls: &[f32]) -> Vec<f32> {
        self.runner.course.compiled.settled(&wide(controls), &self.coefficients)
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
        let mut outputs = self.runner.predict(inputs, &self.table(controls));
        for row in outputs.values_mut().chunks_exact_mut(self.runner.ranges.len()) {
            for (value, range) in row.iter_mut().zip(&self.runner.ranges) {
                *value = Real::min(Real::max(*value, range.low), range.high);
            }
        }
        outputs
    }

    fn pull_back(&self, inputs: &Batch, controls: &[f32], cotangents: &Batch) -> Pullback {
        let (gradients, sums) = self.runner.pull_back(inputs, &self.table(controls), cotangents);
        let by_controls = self.runner.course.compiled.settled_back(&wide(controls), &self.coefficients, &sums);
        Pullback { inputs: gradients, controls: by_controls.into_iter().map(|value| value as f32).collect() }
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
        let mut values: Vec<Dual<f64>> = self.all(coefficients).into_iter().map(|value| Dual { value, slope: 0.0 }).collect();
        values[self.fitted[index].1].slope = 1.0;
        let runner = self.runner.clone();
        Box::new(move |inputs, controls| {
            let course = &runner.course;
            let controls: Vec<Dual<f64>> = controls.iter().map(|value| Dual { value: f64::from(*value), slope: 0.0 }).collect();
            let table: Vec<Dual<f32>> = course.compiled.settled(&controls, &values);
            let (width, read) = (course.input_width, course.output_width);
            let mut slopes = Batch::zeros(inputs.rows(), read);
            let rows = slopes.values_mut().par_chunks_mut(LANES * read).zip(inputs.values().par_chunks(LANES * width));
            rows.for_each_init(
                || Work::new(course, 1),
                |work, (slopes, inputs)| {
                    let inputs = dual::constants(inputs);
                    let mut outputs = dual::constants(slopes);
                    forward(course, &table, work, 1, (&inputs, &mut outputs));
                    for (row, values) in slopes.chunks_exact_mut(read).zip(outputs.chunks_exact(read)) {
                        for ((slope, output), range) in row.iter_mut().zip(values).zip(&runner.ranges) {
                            let inside = range.low <= output.value && output.value <= range.high;
                            *slope = if inside || output.value.is_nan() { output.slope } else { 0.0 };
                        }
                    }
                },
            );
            slopes
        })
    }
}
