//! Textures as pictures: PNG, and GIF for films.

use std::path::Path;

use sims::{COLORS, Pixels};

use crate::Error;
use crate::writing::replace_chosen;

/// Hundredths of a second of a frame.
const DELAY: u16 = 6;

/// Bytes of a picture whose pixels are `zoom` squared.
fn bytes(pixels: &Pixels<f32>, zoom: usize) -> Vec<u8> {
    let [height, width] = pixels.size;
    let cells = (0..height * zoom).flat_map(|y| (0..width * zoom).map(move |x| y / zoom * width + x / zoom));
    let byte = |color: &f32| (255.0 * color.clamp(0.0, 1.0)).round() as u8;
    cells.flat_map(|cell| pixels.colors[cell * COLORS..][..COLORS].iter().map(byte).collect::<Vec<_>>()).collect()
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

/// Gray images of one size side by side, so many in a line, with a gap of one pixel. `black` and `white` are the ends of their values.
pub fn sheet(images: &[&[f32]], (size, across): ([usize; 2], usize), [black, white]: [f32; 2]) -> Pixels<f32> {
    const GAP: f32 = 0.5;
    let [height, width] = size;
    let across = across.clamp(1, images.len().max(1));
    let lines = images.len().div_ceil(across).max(1);
    let whole = [lines * (height + 1) - 1, across * (width + 1) - 1];
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
}
