//! What the board can hold, and how its vendor's library calls what it refuses.

use crate::scpi_box::ScpiError;

/// Samples in the buffers of generator and acquisition.
pub(super) const BUFFER: usize = 16_384;
/// Samples per second of both converters.
pub(super) const CLOCK_HERTZ: f64 = 125e6;
/// `RP_EOOR` of the vendor's library, as its server reports it.
pub(super) const OUT_OF_RANGE: ScpiError = ScpiError::new(9506, "Value Out Of Range");
/// `RP_ENN`.
pub(super) const NOT_NORMALIZED: ScpiError = ScpiError::new(9517, "Data not normalized");
/// `RP_NOTS`: other models have it.
pub(super) const NOT_SUPPORTED: ScpiError = ScpiError::new(9524, "Command not supported");
