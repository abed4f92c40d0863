//! Batches cut into blocks of shots, turned so that a sample's shots lie side by side, and shared out over the cores.
//!
//! A block is a wave of `[samples · chunks]` lanes: a sample's chunks of [`LANES`] shots follow one another. Rows of a batch
//! become lanes and lanes rows in square tiles, which stay in the nearest cache. [`map`] and [`pull_back`] cut blocks of one
//! chunk; a kernel whose chains of steps are short of independent work takes several, see [`chunks_per_block`].

#![allow(clippy::needless_range_loop)] // A lane's number walks several arrays side by side.

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
            gather(source, columns, 1, from);
            to.fill([0.0; LANES]);
            kernel(block, from, to, scratch);
            scatter(to, outputs, 1, rows);
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
            gather(source, columns, 1, from);
            gather(cotangents, outputs, 1, back);
            let used = rows.len() / columns;
            for lanes in back.iter_mut() {
                lanes[used..].fill(0.0);
            }
            kernel(
                &Driven { inputs: from, cotangents: back },
                Gradients { inputs: to, controls: to_controls },
                scratch,
            );
            scatter(to, columns, 1, rows);
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

/// Chunks that are worth advancing together: enough to hide the latency of one chain of substeps behind the others.
const MOST_CHUNKS: usize = 4;

/// Values of a square tile.
const TILE: usize = LANES * LANES;

/// What a block may take of the caches, in bytes. A tape that streams through the third level costs a tenth more than
/// one in the second; a lone chunk, which waits for each of its divisions, costs twice as much.
const CACHE: usize = 4 << 20;

/// How many chunks make a block, when `rows` shots share `threads` threads and one chunk's memory is `bytes`.
///
/// No result depends on it.
pub(crate) fn chunks_per_block(rows: usize, threads: usize, bytes: usize) -> usize {
    let fair = rows.div_ceil(LANES).div_ceil(threads.max(1));
    fair.min(CACHE / bytes.max(1)).clamp(1, MOST_CHUNKS)
}

/// Turns up to `chunks · LANES` rows of `columns` values into a wave; unused lanes repeat the last row.
#[inline(always)]
pub(crate) fn gather<S: Real>(rows: &[S], columns: usize, chunks: usize, wave: &mut [Lanes<S>]) {
    let last = rows.len() / columns - 1;
    let (whole, rest) = (columns / LANES, columns % LANES);
    let mut tile = [S::of(0.0); TILE];
    for chunk in 0..chunks {
        let row = |lane: usize| &rows[(chunk * LANES + lane).min(last) * columns..][..columns];
        for part in 0..whole {
            for (lane, line) in tile.as_chunks_mut::<LANES>().0.iter_mut().enumerate() {
                *line = row(lane).as_chunks().0[part];
            }
            transpose(&mut tile);
            for (column, line) in tile.as_chunks::<LANES>().0.iter().enumerate() {
                wave[(part * LANES + column) * chunks + chunk] = *line;
            }
        }
        for column in columns - rest..columns {
            for lane in 0..LANES {
                wave[column * chunks + chunk][lane] = row(lane)[column];
            }
        }
    }
}

/// Turns a wave into up to `chunks · LANES` rows of `columns` values.
#[inline(always)]
pub(crate) fn scatter<S: Real>(wave: &[Lanes<S>], columns: usize, chunks: usize, rows: &mut [S]) {
    let (whole, rest) = (columns / LANES, columns % LANES);
    let mut tile = [S::of(0.0); TILE];
    for (chunk, rows) in rows.chunks_mut(LANES * columns).enumerate() {
        for part in 0..whole {
            for (column, line) in tile.as_chunks_mut::<LANES>().0.iter_mut().enumerate() {
                *line = wave[(part * LANES + column) * chunks + chunk];
            }
            transpose(&mut tile);
            for (row, line) in rows.chunks_exact_mut(columns).zip(tile.as_chunks::<LANES>().0) {
                row.as_chunks_mut().0[part] = *line;
            }
        }
        for column in columns - rest..columns {
            for (lane, row) in rows.chunks_exact_mut(columns).enumerate() {
                row[column] = wave[column * chunks + chunk][lane];
            }
        }
    }
}

/// Turns a square tile: each perfect shuffle of all its values turns one bit of the row's number into one of the
/// column's.
#[inline(always)]
pub(crate) fn transpose<S: Real>(tile: &mut [S; TILE]) {
    let mut other = [S::of(0.0); TILE];
    for _ in 0..LANES.ilog2() / 2 {
        shuffle(tile, &mut other);
        shuffle(&other, tile);
    }
}

/// Deals the two halves of `from` out one by one.
#[inline(always)]
fn shuffle<S: Real>(from: &[S; TILE], to: &mut [S; TILE]) {
    let (low, high) = from.split_at(TILE / 2);
    for ((pair, low), high) in to.as_chunks_mut::<2>().0.iter_mut().zip(low).zip(high) {
        *pair = [*low, *high];
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

    #[test]
    fn rows_come_back_as_they_went() {
        for (count, columns, chunks) in [(1, 1, 1), (5, 16, 1), (16, 17, 2), (37, 40, 3), (64, 33, 4)] {
            let rows: Vec<f32> = (0..count * columns).map(|k| k as f32).collect();
            let mut wave = vec![[0.0; LANES]; columns * chunks];
            gather(&rows, columns, chunks, &mut wave);
            let mut back = vec![0.0; rows.len()];
            scatter(&wave, columns, chunks, &mut back);
            assert_eq!(rows, back);
            let spare = count % (chunks * LANES);
            if spare != 0 {
                assert_eq!(
                    wave[chunks - 1][LANES - 1..],
                    rows[(count - 1) * columns..][..1],
                    "spare lanes repeat the last"
                );
            }
        }
    }

    #[test]
    fn blocks_are_fair_and_fit_the_cache() {
        assert_eq!(chunks_per_block(128, 2, 1000), 4);
        assert_eq!(chunks_per_block(128, 8, 1000), 1);
        assert_eq!(chunks_per_block(128, 1, CACHE / 2), 2);
        assert_eq!(chunks_per_block(1, 1, usize::MAX), 1);
    }
}
