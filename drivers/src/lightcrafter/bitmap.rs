//! The images of the mirror array: bitmap files of 608 × 684 pixels.
//!
//! Ours have one bit a pixel. Read are 1, 4, 8, 24 and 32 bits, rows from the bottom or from the top, not compressed. A pixel of a color between black
//! and white is a mirror that is on for a part of the time, and one of a color is on for the part of its red, green and blue.

/// Mirrors in a row.
pub const COLUMNS: usize = 608;
/// Rows of mirrors: a channel's transmission has as many steps.
pub const ROWS: usize = 684;
/// Bytes of a monochrome bitmap before its pixels: file header 14, information header 40, two colors of 4.
const BITMAP_HEADER: usize = 62;
/// Bytes of a row of a monochrome bitmap: a whole number of four.
const STRIDE: usize = COLUMNS.div_ceil(32) * 4;
/// The largest bitmap file that there is: 32 bits a pixel, a full palette and the longest header.
pub const LARGEST: usize = COLUMNS * ROWS * 4 + 1024 + 138;
/// What red, green and blue add up to in a white pixel.
const WHITE: u32 = 3 * 255;

/// A transmission as a number of mirrors that are on in each column of its channel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MirrorCode(u16);

impl MirrorCode {
    /// No light.
    pub const DARK: Self = Self(0);

    /// The code nearest to a transmission; beyond 0 and 1 it is the end.
    pub fn nearest(transmission: f32) -> Self {
        Self((transmission.clamp(0.0, 1.0) * ROWS as f32).round() as u16)
    }

    /// The transmission that it stands for, in fractions of the light.
    pub fn transmission(self) -> f32 {
        f32::from(self.0) / ROWS as f32
    }
}

/// The columns of one of `channels` channels: all have as many, centered on the device.
fn columns(channel: usize, channels: usize) -> std::ops::Range<usize> {
    let width = COLUMNS / channels.max(1);
    let start = (COLUMNS - width * channels) / 2 + channel * width;
    start..start + width
}

/// The monochrome bitmap file that gives each channel its transmission.
pub fn bitmap(codes: &[MirrorCode]) -> Vec<u8> {
    let size = BITMAP_HEADER + STRIDE * ROWS;
    let mut file = Vec::with_capacity(size);
    file.extend(b"BM");
    file.extend((size as u32).to_le_bytes());
    file.extend([0; 4]);
    file.extend((BITMAP_HEADER as u32).to_le_bytes());
    file.extend(40_u32.to_le_bytes());
    file.extend((COLUMNS as u32).to_le_bytes());
    file.extend((ROWS as u32).to_le_bytes());
    // One plane of one bit per pixel; not compressed, size and resolution left out, two colors.
    file.extend([1, 0, 1, 0]);
    file.extend([0; 16]);
    file.extend([2, 0, 0, 0, 0, 0, 0, 0]);
    file.extend([0, 0, 0, 0, 0xFF, 0xFF, 0xFF, 0]);
    let mut row = [0; STRIDE];
    for index in 0..ROWS {
        // Most rows are as the one before.
        if index == 0 || codes.iter().any(|code| usize::from(code.0) == index) {
            row = [0; STRIDE];
            let bright = codes.iter().enumerate().filter(|(_, code)| index < usize::from(code.0));
            for column in bright.flat_map(|(channel, _)| columns(channel, codes.len())) {
                row[column / 8] |= 0x80 >> (column % 8);
            }
        }
        file.extend(row);
    }
    file
}

/// How much light each column of mirrors lets through.
#[derive(Debug, Clone, PartialEq)]
pub struct Image(Vec<f64>);

impl Image {
    /// One that lets the same part of the light through everywhere.
    pub fn even(transmission: f64) -> Self {
        Self(vec![transmission; COLUMNS])
    }

    /// What each column lets through, from 0 to 1.
    pub fn from_columns(transmission: impl Fn(usize) -> f64) -> Self {
        Self((0..COLUMNS).map(transmission).collect())
    }

    /// Reads a bitmap file. Its pixels are shown with so many bits; none shows them as they are. Returns none when the file is not one of this
    /// device's.
    pub fn decode(file: &[u8], depth: Option<u8>) -> Option<Self> {
        let pixels = Pixels::find(file)?;
        let most = depth.map(|depth| (1_u32 << depth.clamp(1, 8)) - 1);
        let level = |color: u32| most.map_or(color, |most| (color * (most + 1) / (WHITE + 1)).min(most));
        let full = f64::from(most.unwrap_or(WHITE)) * ROWS as f64;
        let mut sums = vec![0_u32; COLUMNS];
        let rows: Vec<&[u8]> = pixels.rows.collect();
        // Rows that are alike are read once.
        for alike in rows.chunk_by(|a, b| a == b) {
            for (column, sum) in sums.iter_mut().enumerate() {
                *sum += alike.len() as u32 * level(pixels.colors.of(alike[0], column)?);
            }
        }
        Some(Self(sums.into_iter().map(|sum| f64::from(sum) / full).collect()))
    }

    /// The other way round: what was dark is bright.
    #[must_use]
    pub fn inverted(&self) -> Self {
        Self(self.0.iter().map(|part| 1.0 - part).collect())
    }

    /// Flipped across the short axis: left is right.
    #[must_use]
    pub fn flipped(&self) -> Self {
        Self(self.0.iter().rev().copied().collect())
    }

    /// The transmissions of as many channels, each of equally many columns.
    pub fn transmissions(&self, channels: usize) -> Vec<f32> {
        let part = |channel| {
            let columns = &self.0[columns(channel, channels)];
            (columns.iter().sum::<f64>() / columns.len().max(1) as f64) as f32
        };
        (0..channels).map(part).collect()
    }
}

/// The transmissions of `channels` channels that a bitmap file gives; none when it is not one of this device's.
pub fn transmissions(file: &[u8], channels: usize) -> Option<Vec<f32>> {
    Image::decode(file, None).map(|image| image.transmissions(channels))
}

/// Where the pixels of a bitmap file are.
struct Pixels<'a> {
    rows: std::slice::ChunksExact<'a, u8>,
    colors: Colors<'a>,
}

/// How the pixels of a row are to be read.
enum Colors<'a> {
    /// So many bits a pixel are the number of a color: blue, green, red, 0.
    Palette(&'a [u8], usize),
    /// So many bytes a pixel begin with blue, green, red.
    Direct(usize),
}

impl<'a> Pixels<'a> {
    fn find(file: &'a [u8]) -> Option<Self> {
        let word = |at: usize| file.get(at..at + 4)?.first_chunk().map(|bytes| u32::from_le_bytes(*bytes));
        let half = |at: usize| file.get(at..at + 2)?.first_chunk().map(|bytes| u16::from_le_bytes(*bytes));
        let (width, height) = (word(18)?, word(22)?.cast_signed());
        let is_ours = file.starts_with(b"BM") && width == COLUMNS as u32 && height.unsigned_abs() == ROWS as u32;
        let (header, planes, bits, compression) = (word(14)? as usize, half(26)?, usize::from(half(28)?), word(30)?);
        if !is_ours || header < 40 || planes != 1 || compression != 0 {
            return None;
        }
        let colors = match bits {
            1 | 4 | 8 => {
                let most = 1 << bits;
                let count = Some(word(46)? as usize).filter(|count| (1..=most).contains(count)).unwrap_or(most);
                Colors::Palette(file.get(14_usize.checked_add(header)?..)?.get(..4 * count)?, bits)
            }
            24 | 32 => Colors::Direct(bits / 8),
            _ => return None,
        };
        let stride = (COLUMNS * bits).div_ceil(32) * 4;
        let rows = file.get(word(10)? as usize..)?.get(..stride * ROWS)?;
        Some(Self { rows: rows.chunks_exact(stride), colors })
    }
}

impl Colors<'_> {
    /// Red, green and blue of a pixel, added up; none where its color is not in the palette.
    fn of(&self, row: &[u8], column: usize) -> Option<u32> {
        let color = match *self {
            Self::Direct(bytes) => row.get(column * bytes..)?,
            Self::Palette(palette, bits) => {
                let (each, mask) = (8 / bits, (1_usize << bits) - 1);
                let shift = 8 - bits * (column % each + 1);
                palette.get(4 * (usize::from(*row.get(column / each)?) >> shift & mask)..)?
            }
        };
        Some(color.get(..3)?.iter().copied().map(u32::from).sum())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_bitmap_holds_what_it_was_made_of() {
        let wanted: Vec<f32> = (0..100).map(|channel| channel as f32 / 99.0).collect();
        let codes: Vec<MirrorCode> = wanted.iter().map(|&value| MirrorCode::nearest(value)).collect();
        let file = bitmap(&codes);
        assert_eq!(file.len(), 62 + 76 * 684);
        let read = transmissions(&file, 100).unwrap();
        for ((read, code), wanted) in read.iter().zip(&codes).zip(&wanted) {
            assert_eq!(*read, code.transmission());
            assert!((read - wanted).abs() <= 0.5 / 684.0 + 1e-6);
        }
        assert_eq!(transmissions(&file[1..], 100), None);
        assert_eq!(transmissions(&file[..1000], 100), None);
    }

    /// A bitmap file of so many bits, from the color (blue, green, red) of each column.
    fn file(bits: u16, height: i32, palette: &[[u8; 4]], pixel: impl Fn(usize) -> u32) -> Vec<u8> {
        let start = 54 + 4 * palette.len() as u32;
        let mut file = b"BM".to_vec();
        file.extend([[0; 4], [0; 4], start.to_le_bytes(), 40_u32.to_le_bytes()].concat());
        file.extend([(COLUMNS as u32).to_le_bytes(), height.to_le_bytes()].concat());
        file.extend([1_u16.to_le_bytes(), bits.to_le_bytes()].concat());
        file.extend([0; 16]);
        file.extend([(palette.len() as u32).to_le_bytes(), [0; 4]].concat());
        file.extend(palette.concat());
        let bits = usize::from(bits);
        let mut row = vec![0_u8; (COLUMNS * bits).div_ceil(32) * 4];
        for column in 0..COLUMNS {
            let value = pixel(column);
            if bits < 8 {
                row[column * bits / 8] |= (value << (8 - bits - column * bits % 8)) as u8;
            } else {
                let at = column * bits / 8;
                row[at..at + bits / 8].copy_from_slice(&value.to_le_bytes()[..bits / 8]);
            }
        }
        file.extend(row.repeat(ROWS));
        file
    }

    #[test]
    fn an_image_is_read_at_every_depth_that_it_may_have() {
        let gray = |level: u8| [level, level, level, 0];
        let half = |column: usize| u32::from(COLUMNS / 2 <= column);
        let two = |file: &[u8]| transmissions(file, 2).unwrap();
        assert_eq!(two(&file(1, 684, &[gray(0), gray(255)], half)), [0.0, 1.0]);
        assert_eq!(two(&file(1, 684, &[gray(255), gray(0)], half)), [1.0, 0.0], "the palette says what is white");
        let ramp: Vec<[u8; 4]> = (0..16).map(|level| gray(17 * level)).collect();
        assert_eq!(two(&file(4, 684, &ramp, |column| 3 + 9 * half(column))), [0.2, 0.8]);
        let ramp: Vec<[u8; 4]> = (0..=255).map(gray).collect();
        assert_eq!(two(&file(8, -684, &ramp, |column| 51 + 102 * half(column))), [0.2, 0.6]);
        let color = |column| [0x00_00_FF, 0xFF_FF_00][half(column) as usize];
        assert_eq!(two(&file(24, 684, &[], color)), [1.0 / 3.0, 2.0 / 3.0], "a color is a part of the time");
        assert_eq!(two(&file(32, 684, &[], color)), [1.0 / 3.0, 2.0 / 3.0]);
    }

    #[test]
    fn a_pattern_of_few_bits_has_few_levels() {
        let ramp: Vec<[u8; 4]> = (0..=255).map(|level| [level, level, level, 0]).collect();
        let file = |level| file(8, 684, &ramp, move |_| level);
        let shown = |level, depth| Image::decode(&file(level), Some(depth)).unwrap().transmissions(1)[0];
        assert_eq!([shown(127, 1), shown(128, 1), shown(255, 1)], [0.0, 1.0, 1.0]);
        assert_eq!([shown(63, 2), shown(64, 2), shown(191, 2)], [0.0, 1.0 / 3.0, 2.0 / 3.0]);
        assert_eq!(shown(51, 8), 0.2);
    }

    #[test]
    fn what_is_no_image_of_this_device_is_none() {
        let ramp = [[0; 4], [255; 4]];
        let good = file(1, 684, &ramp, |_| 1);
        assert!(Image::decode(&good, None).is_some());
        for (at, byte, what) in
            [(18, 0xFF, "width"), (22, 0, "height"), (26, 2, "planes"), (28, 3, "bits"), (30, 1, "compression")]
        {
            let mut bad = good.clone();
            bad[at] = byte;
            assert_eq!(Image::decode(&bad, None), None, "{what}");
        }
        assert_eq!(Image::decode(&file(8, 684, &ramp, |_| 2), None), None, "a color that is not in the palette");
    }

    proptest! {
        #[test]
        fn garbage_never_panics(mut bytes in prop::collection::vec(any::<u8>(), 0..200), place in 10_usize..62, byte: u8) {
            let _ = transmissions(&bytes, 7);
            let mut file = bitmap(&[MirrorCode::nearest(0.5)]);
            file[place] = byte;
            let _ = transmissions(&file, 7);
            bytes.splice(..0, *b"BM");
            let _ = transmissions(&bytes, 7);
        }
    }
}
