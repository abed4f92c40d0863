//! A range of allowed values.

/// A closed interval of allowed values, in the unit of its port.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Range {
    /// Smallest allowed value.
    pub low: f32,
    /// Largest allowed value.
    pub high: f32,
}

impl Range {
    /// The interval from `low` to `high`.
    pub const fn new(low: f32, high: f32) -> Self {
        Self { low, high }
    }

    /// Whether `value` is inside. NaN and infinity are outside every range.
    pub fn contains(&self, value: f32) -> bool {
        value.is_finite() && self.low <= value && value <= self.high
    }

    /// Whether all of `other` is inside.
    pub fn covers(&self, other: &Self) -> bool {
        self.contains(other.low) && self.contains(other.high)
    }

    /// Zero, or the allowed value nearest to it.
    pub fn at_rest(&self) -> f32 {
        0.0_f32.clamp(self.low, self.high)
    }

    /// The larger magnitude of the two ends: what one unit of a normalised value stands for.
    pub fn full_scale(&self) -> f32 {
        self.low.abs().max(self.high.abs())
    }

    /// The distance between the ends.
    pub fn span(&self) -> f32 {
        self.high - self.low
    }

    /// The value at `fraction` of the way from the low end to the high one, never outside: rounding would take it there.
    pub fn at(&self, fraction: f32) -> f32 {
        (self.low + fraction * self.span()).clamp(self.low, self.high)
    }
}

impl std::fmt::Display for Range {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "[{}, {}]", self.low, self.high)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_fraction_of_a_range_is_outside() {
        for high in (1..=100).map(|hundredths| hundredths as f32 / 100.0) {
            let range = Range::new(-high, high);
            let most = 1.0 - f32::EPSILON / 2.0;
            assert!([0.0, most, 1.0].into_iter().all(|fraction| range.contains(range.at(fraction))), "{range}");
        }
    }

    #[test]
    fn nan_and_infinity_are_outside_every_range() {
        for bad in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
            assert!(!Range::new(f32::NEG_INFINITY, f32::INFINITY).contains(bad));
        }
    }
}
