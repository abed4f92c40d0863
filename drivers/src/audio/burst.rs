//! How shots and chirps lie in a burst, as a pure function of their number.

use crate::WaveformConfig;

/// The places of one burst, in frames from its first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Layout {
    /// Frames of a shot, and of a chirp.
    pub samples: usize,
    /// Frames from one shot's first to the next one's.
    pub period: usize,
    /// Shots.
    pub shots: usize,
}

impl Layout {
    /// A burst of `shots`.
    pub fn new(waveform: &WaveformConfig, shots: usize) -> Self {
        Self { samples: waveform.samples, period: waveform.period(), shots }
    }

    /// Shots in the longest burst, at least 1.
    pub fn most_shots(waveform: &WaveformConfig) -> usize {
        (waveform.burst_samples / waveform.period()).saturating_sub(2).max(1)
    }

    /// Where the second chirp begins.
    pub fn last_chirp(&self) -> usize {
        (self.shots + 1) * self.period
    }

    /// Where the second chirp ends.
    pub fn end(&self) -> usize {
        self.last_chirp() + self.samples
    }

    /// How far from where they are expected the chirps are looked for: not as far as the next shot.
    pub fn margin(&self) -> usize {
        (self.period - self.samples) / 2
    }

    /// The rows out of what was heard, whose frame `start` is the burst's first.
    pub fn split<'a>(&self, heard: &'a [f32], start: usize) -> impl Iterator<Item = &'a [f32]> {
        let Self { samples, period, shots } = *self;
        (1..=shots).filter_map(move |place| heard.get(start + place * period..)?.get(..samples))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shots_are_found_where_they_were_laid() {
        let waveform = WaveformConfig {
            samples: 3,
            rest_samples: 4,
            sample_rate_hertz: 48_000.0,
            drive_volts: 1.0,
            reading_volts: 1.0,
            burst_samples: 30,
            retries: 1,
        };
        assert_eq!(Layout::most_shots(&waveform), 2);
        let layout = Layout::new(&waveform, 2);
        let (chirp, one, two) = ([9.0; 3], [1.0, 2.0, 3.0], [4.0, 5.0, 6.0]);
        let played = waveform.lay_out([&chirp[..], &one, &two, &chirp]);
        assert_eq!(&played[layout.last_chirp()..layout.end()], chirp);
        assert_eq!((played.len(), layout.margin()), (28, 2));
        let heard = [&[0.0; 5][..], &played].concat();
        let rows: Vec<&[f32]> = layout.split(&heard, 5).collect();
        assert_eq!(rows, [&one[..], &two]);
        assert_eq!(layout.split(&heard[..20], 5).count(), 1, "a row that was not heard is not made up");
    }
}
