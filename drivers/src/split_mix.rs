//! Random numbers for what is no physics: when to try again, the number of a session (Steele, Lea and Flood, *Fast splittable
//! pseudorandom number generators*, OOPSLA 2014, figure 16).

/// A `SplitMix64` sequence.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct SplitMix(pub u64);

impl SplitMix {
    /// The next number.
    pub(crate) fn draw(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut word = self.0;
        word = (word ^ (word >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        word = (word ^ (word >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        word ^ (word >> 31)
    }

    /// The next number from 0 to below 1.
    pub(crate) fn fraction(&mut self) -> f64 {
        (self.draw() >> 11) as f64 / (1_u64 << 53) as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_published_sequence_comes_out() {
        // The reference implementation (prng.di.unimi.it/splitmix64.c) from the state 1234567.
        let mut random = SplitMix(1_234_567);
        let first = [random.draw(), random.draw(), random.draw()];
        assert_eq!(first, [6_457_827_717_110_365_317, 3_203_168_211_198_807_973, 9_817_491_932_198_370_423]);
        let fraction = random.fraction();
        assert!((0.0..1.0).contains(&fraction));
    }
}
