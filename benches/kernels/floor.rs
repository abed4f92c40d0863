//! What this machine can do at best: multiply–adds that never leave the registers, and bytes that stream through memory; by
//! one thread and by all. A kernel's floor is the time that its arithmetic takes at that rate, and two threads cannot
//! gain more than they gain here: two processors of a virtual machine may be one core, or share their caches with others.

use std::hint::black_box;
use std::time::Instant;

use rayon::ThreadPool;
use sims::{LANES, Lanes};

/// Rounds; the fastest counts.
const ROUNDS: usize = 200;
/// Multiply–adds of each chain in a round: some hundred microseconds.
const LENGTH: usize = 40_000;
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

/// Independent chains of multiply–adds. Their number decides between waiting for results and running out of registers.
struct Chains<const COUNT: usize>;

impl<const COUNT: usize> pulp::NullaryFnOnce for Chains<COUNT> {
    type Output = f32;

    #[inline(always)]
    fn call(self) -> f32 {
        let (factor, summand) = (black_box(0.999_f32), black_box(0.001_f32));
        let mut chains = [[1.0_f32; LANES]; COUNT];
        for _ in 0..LENGTH {
            for chain in &mut chains {
                for value in chain.iter_mut() {
                    *value = value.mul_add(factor, summand);
                }
            }
        }
        chains.iter().flatten().sum()
    }
}

/// The best rate of a pool's threads together.
fn flops(pool: &ThreadPool) -> f64 {
    let each = |count: usize| (2 * LENGTH * LANES * count * pool.current_num_threads()) as f64;
    let few = best(|| drop(pool.broadcast(|_| black_box(pulp::Arch::new().dispatch(Chains::<6>)))));
    let many = best(|| drop(pool.broadcast(|_| black_box(pulp::Arch::new().dispatch(Chains::<12>)))));
    (each(6) / few).max(each(12) / many)
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
