//! What this machine can do at best: multiply–adds that never leave the registers, and bytes that stream through memory; by
//! one thread and by all. A kernel's floor is the time that its arithmetic takes at that rate, and two threads cannot
//! gain more than they gain here: two processors of a virtual machine may be one core, or share their caches with others.

use std::hint::black_box;
use std::time::Instant;

use rayon::ThreadPool;
use sims::{LANES, Lanes};

/// Rounds; the fastest counts.
const ROUNDS: usize = 200;
/// Multiply–adds of a chain.
const DEPTH: usize = 64;
/// Values of the array.
const CHAINS: usize = 2048;
/// Times that a round goes over it: some hundred microseconds.
const REPEATS: usize = 50;
/// Values of each of the three arrays that stream: together beyond any third-level cache.
const VALUES: usize = 8 << 20;

/// Measured rates, by one thread and by all.
pub struct Machine {
    /// Floating-point operations in a second; a multiply–add is two.
    pub flops: [f64; 2],
    /// Bytes read and written in a second.
    pub bytes: [f64; 2],
}

impl Machine {
    /// Measures with a pool of one thread and a pool of all.
    pub fn measure(pools: &[ThreadPool; 2]) -> Self {
        Self { flops: pools.each_ref().map(flops), bytes: pools.each_ref().map(bytes) }
    }

    /// How many times the arithmetic of one thread all of them do.
    pub fn scaling(&self) -> f64 {
        self.flops[1] / self.flops[0]
    }

    /// Prints it.
    pub fn print(&self, threads: usize) {
        println!("{:28}{:>14}{:>16}{:>10}", "this machine", "one thread", "all of them", "ratio");
        for (name, [one, all]) in [("multiply–adds, GFLOP/s", self.flops), ("memory, GB/s", self.bytes)] {
            println!("{name:28}{:>14.1}{:>16.1}{:>10.2}", one / 1e9, all / 1e9, all / one);
        }
        println!("({threads} threads)");
    }
}

/// Chains of multiply–adds side by side, two for each place of two arrays in the nearest cache: they are read and written once for
/// [`DEPTH`] of them. (An array that never leaves the registers is not vectorized, a lone chain waits for itself.)
struct Chains<'a>(&'a mut [f32], &'a mut [f32]);

impl pulp::NullaryFnOnce for Chains<'_> {
    type Output = ();

    #[inline(always)]
    fn call(self) {
        for (one, other) in self.0.iter_mut().zip(self.1.iter_mut()) {
            let (start, mut sum) = (*one, 1.0_f32);
            let (other_start, mut other_sum) = (*other, 2.0_f32);
            for _ in 0..DEPTH {
                sum = sum.mul_add(0.999, start);
                other_sum = other_sum.mul_add(0.999, other_start);
            }
            *one = 1e-3 * sum;
            *other = 1e-3 * other_sum;
        }
    }
}

/// The best rate of a pool's threads together.
fn flops(pool: &ThreadPool) -> f64 {
    let fastest = best(|| {
        drop(pool.broadcast(|_| {
            let (mut ones, mut others) = ([black_box(1.0_f32); CHAINS], [black_box(1.0_f32); CHAINS]);
            for _ in 0..REPEATS {
                pulp::Arch::new().dispatch(Chains(black_box(&mut ones), black_box(&mut others)));
            }
        }));
    });
    (2 * 2 * DEPTH * CHAINS * REPEATS * pool.current_num_threads()) as f64 / fastest
}

/// `a = factor·b + c` over arrays that no cache holds.
struct Triad<'a> {
    a: &'a mut [Lanes<f32>],
    b: &'a [Lanes<f32>],
    c: &'a [Lanes<f32>],
}

impl pulp::NullaryFnOnce for Triad<'_> {
    type Output = ();

    #[inline(always)]
    fn call(self) {
        for ((a, b), c) in self.a.iter_mut().zip(self.b).zip(self.c) {
            for lane in 0..LANES {
                a[lane] = b[lane].mul_add(0.5, c[lane]);
            }
        }
    }
}

/// The best rate of a pool's threads together: twelve bytes for each value.
fn bytes(pool: &ThreadPool) -> f64 {
    use rayon::prelude::*;
    let array = || vec![[1.0_f32; LANES]; VALUES / LANES];
    let (mut a, b, c) = (array(), array(), array());
    let part = (VALUES / LANES).div_ceil(pool.current_num_threads());
    let mut fastest = f64::INFINITY;
    for _ in 0..10 {
        let start = Instant::now();
        pool.install(|| {
            let arrays = a.par_chunks_mut(part).zip(b.par_chunks(part).zip(c.par_chunks(part)));
            arrays.for_each(|(a, (b, c))| pulp::Arch::new().dispatch(Triad { a, b, c }));
        });
        fastest = fastest.min(start.elapsed().as_secs_f64());
    }
    (12 * VALUES) as f64 / fastest
}

/// The fastest of many rounds, in s.
fn best(mut work: impl FnMut()) -> f64 {
    let mut fastest = f64::INFINITY;
    for _ in 0..ROUNDS {
        let start = Instant::now();
        work();
        fastest = fastest.min(start.elapsed().as_secs_f64());
    }
    fastest
}
