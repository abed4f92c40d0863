//! Batches cut into blocks of [`LANES`] shots, turned so that a sample's shots lie side by side, and shared out over
//! the cores.

use drivers::Batch;
use rayon::prelude::*;

use crate::{LANES, Lanes, Pullback, Real};

/// Runs `kernel(block, from, to)` for every block of `inputs`, in parallel, and gathers the outputs.
///
/// `block` counts from 0; `from` is `[columns]` lanes and `to` `[outputs]` lanes, zero at the start. The last block's
/// unused lanes repeat its last shot. `scratch` makes what a thread keeps between blocks.
pub(crate) fn map<S: Send>(
    inputs: &Batch,
    outputs: usize,
    scratch: impl Fn() -> S + Sync + Send,
    kernel: impl Fn(usize, &[Lanes<f32>], &mut [Lanes<f32>], &mut S) + Sync + Send,
) -> Batch {
    let mut result = Batch::zeros(inputs.rows(), outputs);
    if inputs.rows() == 0 || outputs == 0 {
        return result;
    }
    let columns = inputs.columns();
    let new = || (vec![[0.0; LANES]; columns], vec![[0.0; LANES]; outputs], scratch());
    result
        .values_mut()
        .par_chunks_mut(LANES * outputs)
        .zip(inputs.values().par_chunks(LANES * columns))
        .enumerate()
        .for_each_init(new, |(from, to, scratch), (block, (rows, source))| {
            gather(source, from);
            to.fill([0.0; LANES]);
            kernel(block, from, to, scratch);
            scatter(to, rows);
        });
    result
}

/// What a block of shots saw, and what its outputs are worth.
pub(crate) struct Driven<'a, S> {
    /// `[inputs]` lanes.
    pub inputs: &'a [Lanes<S>],
    /// `[outputs]` lanes, zero in unused lanes.
    pub cotangents: &'a [Lanes<S>],
}

/// What a block's backward pass gives.
pub(crate) struct Gradients<'a, S> {
    /// `[inputs]` lanes.
    pub inputs: &'a mut [Lanes<S>],
    /// `[controls]` lanes, each shot's own.
    pub controls: &'a mut [Lanes<S>],
}

/// Runs the backward pass `kernel(driven, gradients)` for every block, in parallel, and gathers the gradients.
///
/// Gradients for the controls are summed lane by lane and then block by block, so the sum does not depend on the threads.
pub(crate) fn pull_back<S: Send>(
    inputs: &Batch,
    cotangents: &Batch,
    controls: usize,
    scratch: impl Fn() -> S + Sync + Send,
    kernel: impl Fn(&Driven<f32>, Gradients<f32>, &mut S) + Sync + Send,
) -> Pullback {
    let (columns, outputs) = (inputs.columns(), cotangents.columns());
    let mut result = Pullback { inputs: Batch::zeros(inputs.rows(), columns), controls: vec![0.0; controls] };
    if inputs.rows() == 0 || outputs == 0 || columns == 0 {
        return result;
    }
    let lanes = |count: usize| vec![[0.0; LANES]; count];
    let new = || ([lanes(columns), lanes(outputs), lanes(columns), lanes(controls)], scratch());
    let sums: Vec<Vec<f32>> = result
        .inputs
        .values_mut()
        .par_chunks_mut(LANES * columns)
        .zip(inputs.values().par_chunks(LANES * columns))
        .zip(cotangents.values().par_chunks(LANES * outputs))
        .map_init(new, |([from, back, to, to_controls], scratch), ((rows, source), cotangents)| {
            gather(source, from);
            gather(cotangents, back);
            let used = rows.len() / columns;
            for lanes in back.iter_mut() {
                lanes[used..].fill(0.0);
            }
            kernel(
                &Driven { inputs: from, cotangents: back },
                Gradients { inputs: to, controls: to_controls },
                scratch,
            );
            scatter(to, rows);
            to_controls.iter().map(|lanes| lanes.iter().sum()).collect()
        })
        .collect();
    for sum in &sums {
        for (total, part) in result.controls.iter_mut().zip(sum) {
            *total += part;
        }
    }
    result
}

/// Turns up to [`LANES`] rows into lanes; unused lanes repeat the last row.
pub(crate) fn gather<S: Real>(rows: &[S], lanes: &mut [Lanes<S>]) {
    let columns = lanes.len();
    let last = rows.len() / columns - 1;
    for lane in 0..LANES {
        let row = &rows[lane.min(last) * columns..][..columns];
        for (value, lanes) in row.iter().zip(lanes.iter_mut()) {
            lanes[lane] = *value;
        }
    }
}

/// Turns lanes into up to [`LANES`] rows.
pub(crate) fn scatter<S: Real>(lanes: &[Lanes<S>], rows: &mut [S]) {
    let columns = lanes.len();
    for (lane, row) in rows.chunks_exact_mut(columns).enumerate() {
        for (value, lanes) in row.iter_mut().zip(lanes) {
            *value = lanes[lane];
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_shot_comes_back_in_its_place() {
        for shots in [0, 1, 15, 16, 17, 100] {
            let inputs = Batch::from_fn(shots, 3, |row, column| (10 * row + column) as f32);
            let doubled = map(
                &inputs,
                2,
                || (),
                |_, from, to, ()| {
                    for lane in 0..LANES {
                        to[0][lane] = 2.0 * from[0][lane];
                        to[1][lane] = from[1][lane] + from[2][lane];
                    }
                },
            );
            for row in 0..shots {
                assert_eq!(doubled.row(row), [20.0 * row as f32, 20.0 * row as f32 + 3.0]);
            }
        }
    }
}
