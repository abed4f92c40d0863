//! Textures as pictures: PNG, and GIF for films.

use std::path::Path;

use sims::{COLORS, Pixels};

use crate::Error;
use crate::writing::replace_chosen;

/// Hundredths of a second of a frame.
const DELAY: u16 = 6;

/// Pixels of a picture at most: their bytes are in memory until they are written.
const MOST_PIXELS: usize = 1 << 26;
/// Pixels of all frames of a film together, at most.
const MOST_OF_FILM: usize = 1 << 28;
/// The same before they are enlarged: their colors are numbers.
const MOST_KEPT: usize = 1 << 26;

/// Bytes of a picture whose pixels are `zoom` squared.
fn bytes(pixels: &Pixels<f32>, zoom: usize) -> Vec<u8> {
    let byte = |color: &f32| (255.0 * color.clamp(0.0, 1.0)).round() as u8;
    let mut bytes = Vec::with_capacity(pixels.colors.len() * zoom * zoom);
    for line in pixels.colors.chunks_exact((pixels.size[1] * COLORS).max(1)) {
        let wide = |color: &[f32]| color.iter().map(byte).collect::<Vec<u8>>().repeat(zoom);
        let line: Vec<u8> = line.chunks_exact(COLORS).flat_map(wide).collect();
        (0..zoom).for_each(|_| bytes.extend_from_slice(&line));
    }
    bytes
}

/// Refuses so many frames of so many lines and columns, whose pixels become `zoom` squared, if they are more than memory or the format
/// holds; `instead` says what to give. To be asked before anything is driven for them.
pub fn refuse_large(
    (path, option): (&Path, &str),
    (frames, size): (usize, [usize; 2]),
    (zoom, instead): (usize, &str),
) -> Result<(), Error> {
    let [height, width] = size.map(|side| side.saturating_mul(zoom));
    let pixels = height.saturating_mul(width);
    let kept = frames.saturating_mul(size[0].saturating_mul(size[1]));
    let is_film = is_film(path);
    let complaint = if is_film && u16::try_from(height.max(width)).is_err() {
        Some(format!("a GIF image has at most {} in a line or column", u16::MAX))
    } else if is_film {
        let is_large = MOST_KEPT < kept || MOST_OF_FILM < frames.saturating_mul(pixels);
        is_large.then(|| {
            format!("a film of {frames} frames has at most {MOST_OF_FILM} in all, {MOST_KEPT} before they are enlarged")
        })
    } else {
        (MOST_PIXELS < pixels).then(|| format!("a picture has at most {MOST_PIXELS}"))
    };
    complaint.map_or(Ok(()), |complaint| {
        Err(Error::Usage(format!(
            "{option} {}: would be {width} × {height} pixels, and {complaint}: give {instead}",
            path.display()
        )))
    })
}

/// Writes one picture, or with several a film, by the name of the file, at a place that `option` of the command line chose.
pub fn write((path, option): (&Path, &str), frames: &[Pixels<f32>], zoom: usize) -> Result<(), Error> {
    let Some(last) = frames.last() else { return Ok(()) };
    let bad = |message: String| Error::Record { path: path.to_owned(), message: format!("cannot be made: {message}") };
    let [height, width] = last.size.map(|side| side * zoom);
    let mut file = Vec::new();
    if is_film(path) {
        let [short_height, short_width] = [height, width].map(u16::try_from);
        let (Ok(height), Ok(width)) = (short_height, short_width) else {
            return Err(bad(format!("{width} × {height} pixels are more than a GIF image can have")));
        };
        let mut encoder = gif::Encoder::new(&mut file, width, height, &[]).map_err(|error| bad(error.to_string()))?;
        encoder.set_repeat(gif::Repeat::Infinite).map_err(|error| bad(error.to_string()))?;
        for frame in frames {
            let mut frame = gif::Frame::from_rgb_speed(width, height, &bytes(frame, zoom), 10);
            frame.delay = DELAY;
            encoder.write_frame(&frame).map_err(|error| bad(error.to_string()))?;
        }
    } else {
        let mut encoder = png::Encoder::new(&mut file, width as u32, height as u32);
        encoder.set_color(png::ColorType::Rgb);
        let written = encoder.write_header().and_then(|mut writer| writer.write_image_data(&bytes(last, zoom)));
        written.map_err(|error| bad(error.to_string()))?;
    }
    replace_chosen(path, &file, option)
}

/// Lines and columns of a sheet of so many images.
pub fn sheet_size(count: usize, ([height, width], across): ([usize; 2], usize)) -> [usize; 2] {
    let across = across.clamp(1, count.max(1));
    [count.div_ceil(across).max(1) * (height + 1) - 1, across * (width + 1) - 1]
}

/// Gray images of one size side by side, so many in a line, with a gap of one pixel. `black` and `white` are the ends of their values.
pub fn sheet(images: &[&[f32]], (size, across): ([usize; 2], usize), [black, white]: [f32; 2]) -> Pixels<f32> {
    const GAP: f32 = 0.5;
    let [height, width] = size;
    let across = across.clamp(1, images.len().max(1));
    let whole = sheet_size(images.len(), (size, across));
    let mut colors = vec![GAP; whole[0] * whole[1] * COLORS];
    for (place, image) in images.iter().enumerate() {
        let [top, left] = [place / across * (height + 1), place % across * (width + 1)];
        for (at, value) in image.iter().enumerate() {
            let pixel = (top + at / width) * whole[1] + left + at % width;
            colors[pixel * COLORS..][..COLORS].fill((value - black) / (white - black));
        }
    }
    Pixels { size: whole, colors }
}

/// Whether a file of this name is a film.
pub fn is_film(path: &Path) -> bool {
    path.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("gif"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_picture_is_read_back_as_it_was_and_a_film_has_all_its_frames() {
        let folder = tempfile::tempdir().unwrap();
        let frame = |color: f32| Pixels { size: [2, 3], colors: vec![color; 18] };
        let picture = folder.path().join("a.png");
        write((&picture, "--out"), &[frame(0.2), frame(1.5)], 2).unwrap();
        let read = crate::data::read_image(&picture).unwrap();
        assert_eq!((read.size, read.colors[0]), ([4, 6], 1.0));
        let film = folder.path().join("a.gif");
        write((&film, "--out"), &[frame(0.2), frame(0.7)], 1).unwrap();
        let mut decoder = gif::Decoder::new(std::fs::File::open(&film).unwrap()).unwrap();
        let mut frames = 0;
        while decoder.read_next_frame().unwrap().is_some() {
            frames += 1;
        }
        assert_eq!((frames, decoder.width(), decoder.height()), (2, 3, 2));
    }

    #[test]
    fn pixels_become_squares() {
        let pixels = Pixels { size: [2, 1], colors: vec![0.0, 0.2, 0.4, 0.6, 0.8, 1.0] };
        let [first, second] = [[0, 51, 102], [153, 204, 255]].map(|pixel: [u8; 3]| pixel.repeat(2));
        assert_eq!(bytes(&pixels, 2), [first.clone(), first, second.clone(), second].concat());
    }

    #[test]
    fn what_memory_or_the_format_does_not_hold_is_refused() {
        let refused = |name: &str, frames: usize, size: [usize; 2], zoom: usize| {
            let refused = refuse_large((Path::new(name), "--out"), (frames, size), (zoom, "less"));
            refused.map_err(|error| error.to_string())
        };
        refused("a.png", 1, [4096, 4096], 2).unwrap();
        refused("a.gif", 60, [256, 256], 4).unwrap();
        for (name, frames, size, zoom, words) in [
            (
                "a.png",
                1,
                [4096, 4096],
                3,
                "--out a.png: would be 12288 × 12288 pixels, and a picture has at most 67108864: give less",
            ),
            ("a.gif", 1, [9, 2100], 32, "a GIF image has at most 65535 in a line or column"),
            ("a.gif", 60, [2048, 2048], 1, "a film of 60 frames has at most"),
            ("a.gif", 60, [256, 256], 32, "a film of 60 frames has at most"),
        ] {
            let said = refused(name, frames, size, zoom).unwrap_err();
            assert!(said.contains(words), "{said}");
        }
    }
}
