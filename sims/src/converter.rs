//! Digital-to-analog and analog-to-digital converters: clip, then round to a code.

use drivers::Range;

use crate::Real;

/// A converter of a given range and resolution.
///
/// Code `k` of `0 ..= 2^bits − 1` stands for `low + k·lsb` with `lsb = (high − low)/(2^bits − 1)`. A value between two
/// codes rounds to the nearer one; outside the range it saturates. NaN stays NaN.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Converter {
    range: Range,
    /// `None`: ideal resolution.
    lsb: Option<f32>,
}

impl Converter {
    /// A converter of `bits` bits over `range`; 0 bits means that it only clips.
    pub fn new(range: Range, bits: u32) -> Self {
        let codes = 2.0_f64.powi(bits as i32) - 1.0;
        let lsb = (bits > 0).then(|| (f64::from(range.span()) / codes) as f32);
        Self { range, lsb }
    }

    /// What the converter makes of `value`.
    #[inline(always)]
    pub fn convert(&self, value: f32) -> f32 {
        let clipped = Real::min(Real::max(value, self.range.low), self.range.high);
        match self.lsb {
            Some(lsb) => self.range.low + ((clipped - self.range.low) / lsb).round_ties_even() * lsb,
            None => clipped,
        }
    }

    /// The distance between two codes, 0 for an ideal converter.
    pub fn lsb(&self) -> f32 {
        self.lsb.unwrap_or(0.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_round_to_the_nearest_code_and_saturate() {
        let adc = Converter::new(Range::new(-1.0, 1.0), 2);
        assert_eq!(adc.convert(-2.0), -1.0);
        assert!((adc.convert(0.3) - 1.0 / 3.0).abs() < 1e-6);
        assert_eq!(adc.convert(5.0), 1.0);
        assert!(adc.convert(f32::NAN).is_nan() && Converter::new(Range::new(0.0, 1.0), 0).convert(f32::NAN).is_nan());
        assert_eq!(Converter::new(Range::new(0.0, 1.0), 0).convert(0.123_456), 0.123_456);
    }

    #[test]
    fn the_error_of_a_fine_converter_is_half_a_code() {
        let adc = Converter::new(Range::new(-1.0, 1.0), 14);
        for step in 0..1000 {
            let value = -1.0 + 0.002 * step as f32;
            assert!((adc.convert(value) - value).abs() <= 0.5 * adc.lsb() * 1.01);
        }
    }
}
