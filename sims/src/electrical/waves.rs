//! Records of many shots, turned so that a sample's shots lie side by side.
//!
//! A wave is `[samples · chunks]` lanes: a sample's chunks of [`LANES`] shots follow one another. Rows of a batch become
//! lanes and lanes rows in square tiles, which stay in the nearest cache.

#![allow(clippy::inline_always)] // Part of the blocks, compiled for the vector unit that is found at run time.
#![allow(clippy::needless_range_loop)] // A lane's number walks several arrays side by side.

use crate::{LANES, Lanes, Real};

/// Chunks that are worth advancing together: enough to hide the latency of one chain of substeps behind the others.
const MOST_CHUNKS: usize = 4;

/// How many chunks make a block, when `rows` shots share `threads` threads and one chunk's memory is `bytes`.
///
/// No result depends on it.
pub(super) fn chunks_per_block(rows: usize, threads: usize, bytes: usize) -> usize {
    /// What a block may take of a core's second-level cache, in bytes: 1 MiB is common.
    const CACHE: usize = 700 * 1024;
    let fair = rows.div_ceil(LANES).div_ceil(threads.max(1));
    fair.min(CACHE / bytes.max(1)).clamp(1, MOST_CHUNKS)
}

/// Turns up to `chunks · LANES` rows of `columns` values into a wave; unused lanes repeat the last row.
#[inline(always)]
pub(super) fn gather<S: Real>(rows: &[S], columns: usize, chunks: usize, wave: &mut [Lanes<S>]) {
    let last = rows.len() / columns - 1;
    for chunk in 0..chunks {
        for start in (0..columns).step_by(LANES) {
            let width = LANES.min(columns - start);
            let mut tile = [[S::of(0.0); LANES]; LANES];
            for (lane, line) in tile.iter_mut().enumerate() {
                let row = (chunk * LANES + lane).min(last);
                let from = &rows[row * columns + start..][..width];
                if let Ok(full) = <&[S; LANES]>::try_from(from) {
                    *line = *full;
                } else {
                    line[..width].copy_from_slice(from);
                }
            }
            for column in 0..width {
                let to = &mut wave[(start + column) * chunks + chunk];
                for lane in 0..LANES {
                    to[lane] = tile[lane][column];
                }
            }
        }
    }
}

/// Turns a wave into up to `chunks · LANES` rows of `columns` values.
#[inline(always)]
pub(super) fn scatter<S: Real>(wave: &[Lanes<S>], columns: usize, chunks: usize, rows: &mut [S]) {
    for (index, row) in rows.chunks_exact_mut(columns).enumerate() {
        let (chunk, lane) = (index / LANES, index % LANES);
        for (value, lanes) in row.iter_mut().zip(wave.iter().skip(chunk).step_by(chunks)) {
            *value = lanes[lane];
        }
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
        assert_eq!(chunks_per_block(128, 1, 300_000), 2);
        assert_eq!(chunks_per_block(1, 1, usize::MAX), 1);
    }
}
