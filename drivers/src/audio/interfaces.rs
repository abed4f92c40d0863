//! The audio interfaces of this computer, and what they offer.

/// An audio interface.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FoundInterface {
    /// As a rig file has it, such as `audio://hw:CARD=Box,DEV=0`.
    pub address: String,
    /// What the system calls it.
    pub description: String,
    /// What it plays; nothing if it cannot, or was not asked.
    pub output: Option<Offer>,
    /// What it records.
    pub input: Option<Offer>,
}

/// What an interface offers in one direction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Offer {
    /// Channels, at most.
    pub channels: u16,
    /// The lowest sample rate, in Hz.
    pub lowest_hertz: u32,
    /// The highest.
    pub highest_hertz: u32,
}

impl std::fmt::Display for Offer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { channels, lowest_hertz, highest_hertz } = self;
        write!(f, "{channels} channels, {lowest_hertz}–{highest_hertz} Hz")
    }
}

/// The interfaces that the system's audio library lists; each is opened to ask what it offers, if it is asked.
#[cfg(feature = "audio")]
pub fn find_interfaces(asks: bool) -> Vec<FoundInterface> {
    use cpal::SupportedStreamConfigRange;
    use cpal::traits::{DeviceTrait, HostTrait};

    use super::stream::{id, name};

    let offer = |ranges: Vec<SupportedStreamConfigRange>| {
        Some(Offer {
            channels: ranges.iter().map(SupportedStreamConfigRange::channels).max()?,
            lowest_hertz: ranges.iter().map(SupportedStreamConfigRange::min_sample_rate).min()?,
            highest_hertz: ranges.iter().map(SupportedStreamConfigRange::max_sample_rate).max()?,
        })
    };
    let found = |device: cpal::Device| FoundInterface {
        address: format!("audio://{}", id(&device)),
        description: name(&device),
        // One that cannot be opened, because somebody else has it, offers nothing.
        output: asks.then(|| device.supported_output_configs().ok()).flatten().and_then(|all| offer(all.collect())),
        input: asks.then(|| device.supported_input_configs().ok()).flatten().and_then(|all| offer(all.collect())),
    };
    cpal::default_host().devices().map(|devices| devices.map(found).collect()).unwrap_or_default()
}
