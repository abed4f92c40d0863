//! Rows of values that lie side by side, from a cache line on.

use std::ops::{Deref, DerefMut};

use crate::{LANES, Real};

/// Bytes of a cache line, and of the widest vector register.
const LINE: usize = 64;

/// Rows of `W` values, zero at first. They start at a cache line, so that no row of [`LANES`] `f32` crosses one.
#[derive(Debug)]
pub(crate) struct Rows<S, const W: usize = LANES> {
    values: Vec<S>,
    start: usize,
    len: usize,
}

impl<S: Real, const W: usize> Rows<S, W> {
    /// `count` rows of zeros.
    pub(crate) fn zeros(count: usize) -> Self {
        let len = count * W;
        let values = vec![S::default(); len + LINE / size_of::<S>()];
        let start = values.as_ptr().align_offset(LINE).min(LINE / size_of::<S>());
        Self { values, start, len }
    }
}

impl<S, const W: usize> Deref for Rows<S, W> {
    type Target = [[S; W]];

    #[inline(always)]
    fn deref(&self) -> &Self::Target {
        self.values[self.start..][..self.len].as_chunks().0
    }
}

impl<S, const W: usize> DerefMut for Rows<S, W> {
    #[inline(always)]
    fn deref_mut(&mut self) -> &mut Self::Target {
        self.values[self.start..][..self.len].as_chunks_mut().0
    }
}
