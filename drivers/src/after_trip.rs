//! What follows when an interlock has tripped.

/// What follows a trip.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum AfterTrip {
    /// The plant is driven no more.
    Ends,
    /// It is probed, each time after so many seconds, and may be driven again when its readings are back.
    Probes(f32),
    /// It is driven no more: it has tripped so many times.
    TooOften(u32),
    /// It is driven no more: so many probes have not found it back for long enough.
    TooLong(u32),
}

impl std::fmt::Display for AfterTrip {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Probes(every) => return write!(f, "; it is probed every {every} s"),
            Self::Ends => {}
            Self::TooOften(trips) => write!(f, "; this was its trip {trips}, more than `pause.most_trips` allows")?,
            Self::TooLong(probes) => write!(
                f,
                "; {probes} probes have not found it back, `pause.hysteresis` within its bounds, for long enough"
            )?,
        }
        f.write_str(". Find the cause before going on")
    }
}
