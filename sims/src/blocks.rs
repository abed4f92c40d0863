//! Batches cut into blocks of [`LANES`] shots, turned so that a sample's shots lie side by side, and shared out over
//! the cores.

use drivers::Batch;
use rayon::prelude::*;

use crate::{LANES, Lanes, Real};

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
