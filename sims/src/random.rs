//! Random numbers as a pure function of a key and a counter.
//!
//! A reading's noise depends on the seed, the shot's number and the sample's number only: the same with any number of
//! threads, and after a resumed run. Threefry-2x32 with 20 rounds (Salmon, Moraes, Dror and Shaw, "Parallel random
//! numbers: as easy as 1, 2, 3", SC 2011); it needs only additions, rotations and exclusive ors, so it vectorises.

use std::f32::consts::TAU;

use crate::{LANES, Lanes, Real};

/// Rotation constants of Threefry-2x32 (Salmon et al. 2011, table 2; Random123's `threefry.h`).
const ROTATIONS: [u32; 8] = [13, 15, 26, 6, 17, 29, 16, 24];
/// Skein's key-schedule parity for 32-bit words (Random123's `SKEIN_KS_PARITY32`).
const PARITY: u32 = 0x1BD1_1BDA;

/// One branch of the tree of seeds.
///
/// ```
/// use sims::Key;
///
/// let noise = Key::new(7).branch("noise");
/// let (first, again) = (noise.number(3).stream().normal(), Key::new(7).branch("noise").number(3).stream().normal());
/// assert_eq!(first, again, "a number is a function of its key alone");
/// assert_ne!(first, noise.number(4).stream().normal());
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Key(u64);

impl Key {
    /// The root that belongs to a seed.
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// The branch called `label`: streams of different labels are independent.
    pub fn branch(self, label: &str) -> Self {
        // FNV-1a of the label picks the counter that is enciphered under the parent's key.
        let hash = label
            .bytes()
            .fold(0xCBF2_9CE4_8422_2325_u64, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01B3));
        self.number(hash)
    }

    /// The branch with a number, such as that of a shot.
    #[inline(always)]
    pub fn number(self, number: u64) -> Self {
        let [low, high] = self.words(number as u32, (number >> 32) as u32);
        Self(u64::from(low) | u64::from(high) << 32)
    }

    /// Numbers from this branch one after another.
    pub fn stream(self) -> Stream {
        Stream { key: self, counter: 0, spare: None }
    }

    /// The branch as a seed of its own.
    pub fn seed(self) -> u64 {
        self.0
    }

    /// Two enciphered words.
    #[inline(always)]
    fn words(self, a: u32, b: u32) -> [u32; 2] {
        threefry([self.0 as u32, (self.0 >> 32) as u32], [a, b])
    }
}

/// Threefry-2x32, 20 rounds.
#[inline(always)]
fn threefry(key: [u32; 2], counter: [u32; 2]) -> [u32; 2] {
    let schedule = [key[0], key[1], PARITY ^ key[0] ^ key[1]];
    let mut x = [counter[0].wrapping_add(schedule[0]), counter[1].wrapping_add(schedule[1])];
    for group in 0..5 {
        for round in 0..4 {
            x[0] = x[0].wrapping_add(x[1]);
            x[1] = x[1].rotate_left(ROTATIONS[(group % 2) * 4 + round]) ^ x[0];
        }
        let next = group + 1;
        x[0] = x[0].wrapping_add(schedule[next % 3]);
        x[1] = x[1].wrapping_add(schedule[(next + 1) % 3]).wrapping_add(next as u32);
    }
    x
}

/// A word as a number in (0, 1]: never 0, so that its logarithm is finite.
#[inline(always)]
fn unit(word: u32) -> f32 {
    (word >> 8) as f32 * (1.0 / 16_777_216.0) + 0.5 / 16_777_216.0
}

/// A word as a number in (0, 1): the largest word alone would round to 1.
#[inline(always)]
fn below_one(word: u32) -> f32 {
    unit(word).min(1.0 - f32::EPSILON / 2.0)
}

/// Two standard normal numbers from two words (Box and Muller 1958).
#[inline(always)]
fn normals(words: [u32; 2]) -> [f32; 2] {
    let radius = (-2.0 * Real::ln(unit(words[0]))).sqrt();
    let (sin, cos) = Real::sin_cos(TAU * unit(words[1]) - std::f32::consts::PI);
    [radius * cos, radius * sin]
}

/// Standard normal numbers for one block of shots: number `pair` gives two values for each lane's own key.
///
/// Meant for noise kernels: call it inside a vectorised loop with `pair` counting over half the samples.
#[inline(always)]
pub(crate) fn normal_pair(keys: &[Key; LANES], pair: u32) -> [Lanes<f32>; 2] {
    // Words first: lanes of 32 bits fill the vector unit, keys of 64 bits only half of it.
    let mut words = [[0; LANES]; 2];
    for lane in 0..LANES {
        words[0][lane] = keys[lane].0 as u32;
        words[1][lane] = (keys[lane].0 >> 32) as u32;
    }
    let mut first = [0.0; LANES];
    let mut second = [0.0; LANES];
    for lane in 0..LANES {
        [first[lane], second[lane]] = normals(threefry([words[0][lane], words[1][lane]], [pair, 0]));
    }
    [first, second]
}

/// Numbers one after another.
#[derive(Debug, Clone)]
pub struct Stream {
    key: Key,
    counter: u64,
    spare: Option<f32>,
}

impl Stream {
    /// The next two words.
    fn next_words(&mut self) -> [u32; 2] {
        let words = self.key.words(self.counter as u32, (self.counter >> 32) as u32);
        self.counter += 1;
        words
    }

    /// The next number in (0, 1).
    pub fn uniform(&mut self) -> f32 {
        below_one(self.next_words()[0])
    }

    /// The next standard normal number.
    pub fn normal(&mut self) -> f32 {
        if let Some(spare) = self.spare.take() {
            return spare;
        }
        let [first, second] = normals(self.next_words());
        self.spare = Some(second);
        first
    }

    /// The next number in `0 .. bound` (Lemire's multiplication; the bias is below `bound`/2^64).
    pub fn below(&mut self, bound: usize) -> usize {
        let [low, high] = self.next_words();
        let word = u64::from(low) | u64::from(high) << 32;
        ((u128::from(word) * bound as u128) >> 64) as usize
    }

    /// Puts `items` into random order (Fisher and Yates).
    pub fn shuffle<T>(&mut self, items: &mut [T]) {
        for last in (1..items.len()).rev() {
            items.swap(last, self.below(last + 1));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Known answers from Random123's `kat_vectors`, `threefry2x32 20`.
    #[test]
    fn the_published_test_vectors_come_out() {
        assert_eq!(threefry([0, 0], [0, 0]), [0x6B20_0159, 0x99BA_4EFE]);
        assert_eq!(threefry([u32::MAX, u32::MAX], [u32::MAX, u32::MAX]), [0x1CB9_96FC, 0xBB00_2BE7]);
        assert_eq!(threefry([0x1319_8A2E, 0x0370_7344], [0x243F_6A88, 0x85A3_08D3]), [0xC492_3A9C, 0x483D_F7A0]);
    }

    #[test]
    fn a_uniform_number_is_above_0_and_below_1() {
        assert!(unit(u32::MAX) == 1.0, "the normal numbers may have it");
        let ends = [0, 1 << 8, u32::MAX - (1 << 8), u32::MAX].map(below_one);
        assert!(0.0 < ends[0] && ends.is_sorted() && ends[3] < 1.0, "{ends:?}");
        assert_eq!(ends[2], unit(u32::MAX - (1 << 8)), "every other word stays what it was");
    }

    #[test]
    fn normal_numbers_have_the_moments_of_a_normal() {
        let mut stream = Key::new(7).branch("moments").stream();
        let draws: Vec<f64> = (0..200_000).map(|_| f64::from(stream.normal())).collect();
        let moment = |power: i32| draws.iter().map(|x| x.powi(power)).sum::<f64>() / draws.len() as f64;
        // Five standard errors of each moment over 200,000 draws.
        assert!(moment(1).abs() < 0.012, "mean {}", moment(1));
        assert!((moment(2) - 1.0).abs() < 0.016, "variance {}", moment(2));
        assert!(moment(3).abs() < 0.05, "skew {}", moment(3));
        assert!((moment(4) - 3.0).abs() < 0.11, "kurtosis {}", moment(4));
    }

    #[test]
    fn branches_differ_and_repeat() {
        let root = Key::new(1);
        assert_eq!(root.branch("a"), root.branch("a"));
        assert_ne!(root.branch("a"), root.branch("b"));
        assert_ne!(root.branch("a"), Key::new(2).branch("a"));
        assert_ne!(root.number(1), root.number(1 << 32));
    }

    #[test]
    fn a_shuffle_is_a_permutation() {
        let mut items: Vec<usize> = (0..100).collect();
        Key::new(3).stream().shuffle(&mut items);
        assert_ne!(items, (0..100).collect::<Vec<_>>());
        items.sort_unstable();
        assert_eq!(items, (0..100).collect::<Vec<_>>());
    }
}
