//! PNG for print: a figure that is laid out in pixels of 1/100 inch is drawn three times as large and says that it has 300 dots an
//! inch, so that it comes out at the same size, with sharp text.

use std::fs::File;
use std::io::BufWriter;
use std::path::Path;

use plotters::prelude::*;
use plotters::style::TextStyle;
use plotters_backend::{BackendColor, BackendStyle, BackendTextStyle, DrawingErrorKind};

/// Dots for each pixel of the layout, along either axis.
const DOTS: u32 = 3;
/// 300 dots an inch, in dots a meter (PNG specification 1.2, section 4.2.4.2: `pHYs`).
const DOTS_A_METER: u32 = 11_811;

/// Draws with `draw` on a page of `size` pixels and saves it as `path`.
pub fn print(
    path: &Path,
    size: (u32, u32),
    draw: impl FnOnce(DrawingArea<Enlarged<'_>, plotters::coord::Shift>) -> Result<(), String>,
) -> Result<(), String> {
    let (width, height) = (size.0 * DOTS, size.1 * DOTS);
    let mut pixels = vec![0; width as usize * height as usize * 3];
    let page = Enlarged { dots: BitMapBackend::with_buffer(&mut pixels, (width, height)), size };
    draw(page.into_drawing_area())?;
    let file = File::create(path).map_err(|error| error.to_string())?;
    let mut encoder = png::Encoder::new(BufWriter::new(file), width, height);
    encoder.set_color(png::ColorType::Rgb);
    encoder.set_pixel_dims(Some(png::PixelDimensions {
        xppu: DOTS_A_METER,
        yppu: DOTS_A_METER,
        unit: png::Unit::Meter,
    }));
    let mut writer = encoder.write_header().map_err(|error| error.to_string())?;
    writer.write_image_data(&pixels).map_err(|error| error.to_string())?;
    writer.finish().map_err(|error| error.to_string())
}

/// A page whose pixels are squares of dots.
pub struct Enlarged<'a> {
    dots: BitMapBackend<'a>,
    size: (u32, u32),
}

type Drawn<'a> = Result<(), DrawingErrorKind<<BitMapBackend<'a> as DrawingBackend>::ErrorType>>;

/// A pixel's middle in dots.
fn middle((x, y): (i32, i32)) -> (i32, i32) {
    let dots = DOTS as i32;
    (x * dots + dots / 2, y * dots + dots / 2)
}

/// A color with a line as wide in dots as it was in pixels.
fn enlarged(style: &impl BackendStyle) -> ShapeStyle {
    let color = style.color();
    let color = RGBAColor(color.rgb.0, color.rgb.1, color.rgb.2, color.alpha);
    ShapeStyle { color, filled: false, stroke_width: style.stroke_width() * DOTS }
}

impl<'a> DrawingBackend for Enlarged<'a> {
    type ErrorType = <BitMapBackend<'a> as DrawingBackend>::ErrorType;

    fn get_size(&self) -> (u32, u32) {
        self.size
    }

    fn ensure_prepared(&mut self) -> Drawn<'a> {
        self.dots.ensure_prepared()
    }

    fn present(&mut self) -> Drawn<'a> {
        self.dots.present()
    }

    fn draw_pixel(&mut self, (x, y): (i32, i32), color: BackendColor) -> Drawn<'a> {
        let dots = DOTS as i32;
        let all = (0..dots).flat_map(|down| (0..dots).map(move |along| (x * dots + along, y * dots + down)));
        for dot in all {
            self.dots.draw_pixel(dot, color)?;
        }
        Ok(())
    }

    fn draw_line<S: BackendStyle>(&mut self, from: (i32, i32), to: (i32, i32), style: &S) -> Drawn<'a> {
        self.dots.draw_path([middle(from), middle(to)], &enlarged(style))
    }

    fn draw_rect<S: BackendStyle>(&mut self, from: (i32, i32), to: (i32, i32), style: &S, fill: bool) -> Drawn<'a> {
        let style = enlarged(style);
        let ((left, top), (right, bottom)) = (middle(from), middle(to));
        if fill {
            // All dots of the pixels at its edges belong to it.
            let dots = DOTS as i32;
            let corners = ((from.0 * dots, from.1 * dots), (to.0 * dots + dots - 1, to.1 * dots + dots - 1));
            return self.dots.draw_rect(corners.0, corners.1, &style, true);
        }
        self.dots.draw_path([(left, top), (right, top), (right, bottom), (left, bottom), (left, top)], &style)
    }

    fn draw_path<S: BackendStyle, I: IntoIterator<Item = (i32, i32)>>(&mut self, path: I, style: &S) -> Drawn<'a> {
        self.dots.draw_path(path.into_iter().map(middle), &enlarged(style))
    }

    fn draw_circle<S: BackendStyle>(&mut self, center: (i32, i32), radius: u32, style: &S, fill: bool) -> Drawn<'a> {
        self.dots.draw_circle(middle(center), radius * DOTS, &enlarged(style), fill)
    }

    fn fill_polygon<S: BackendStyle, I: IntoIterator<Item = (i32, i32)>>(
        &mut self,
        corners: I,
        style: &S,
    ) -> Drawn<'a> {
        self.dots.fill_polygon(corners.into_iter().map(middle), &enlarged(style))
    }

    fn draw_text<S: BackendTextStyle>(&mut self, text: &str, style: &S, at: (i32, i32)) -> Drawn<'a> {
        let family = style.family();
        let font = FontDesc::new(FontFamily::from(family.as_str()), style.size() * f64::from(DOTS), style.style());
        let font = font.transform(style.transform());
        let style = TextStyle { font, color: style.color(), pos: style.anchor() };
        self.dots.draw_text(text, &style, (at.0 * DOTS as i32, at.1 * DOTS as i32))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_says_its_dots_an_inch_and_a_pixel_is_nine_of_them() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("page.png");
        print(&path, (4, 2), |page| {
            page.fill(&WHITE).map_err(|error| error.to_string())?;
            page.draw_pixel((1, 0), &BLACK).map_err(|error| error.to_string())
        })
        .unwrap();
        let decoder = png::Decoder::new(std::io::BufReader::new(File::open(&path).unwrap()));
        let mut reader = decoder.read_info().unwrap();
        let mut pixels = vec![0; reader.output_buffer_size().unwrap()];
        reader.next_frame(&mut pixels).unwrap();
        let info = reader.info();
        assert_eq!((info.width, info.height), (12, 6));
        assert_eq!(info.pixel_dims.unwrap().xppu, 11_811);
        let black = pixels.chunks(3).filter(|dot| *dot == [0, 0, 0]).count();
        assert_eq!(black, 9);
    }
}
