//! Records of many shots, turned so that a sample's shots lie side by side.
//!
//! A wave is `[samples · chunks]` lanes: a sample's chunks of [`LANES`] shots follow one another. Rows of a batch become
//! lanes and lanes rows in square tiles, which stay in the nearest cache.

#![allow(clippy::inline_always)] // Part of the blocks, compiled for the vector unit that is found at run time.
#![allow(clippy::needless_range_loop)] // A lane's number walks several arrays side by side.

use crate::{LANES, Lanes, Real};

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
pub(super) fn chunks_per_block(rows: usize, threads: usize, bytes: usize) -> usize {
    let fair = rows.div_ceil(LANES).div_ceil(threads.max(1));
    fair.min(CACHE / bytes.max(1)).clamp(1, MOST_CHUNKS)
}

/// Turns up to `chunks · LANES` rows of `columns` values into a wave; unused lanes repeat the last row.
#[inline(always)]
pub(super) fn gather<S: Real>(rows: &[S], columns: usize, chunks: usize, wave: &mut [Lanes<S>]) {
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
pub(super) fn scatter<S: Real>(wave: &[Lanes<S>], columns: usize, chunks: usize, rows: &mut [S]) {
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
fn transpose<S: Real>(tile: &mut [S; TILE]) {
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
