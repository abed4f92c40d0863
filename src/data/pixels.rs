//! Images as they are in the file, and how they become rows: pixels averaged in squares, thinned out, scaled.

use super::Span;

/// Gray images of one size.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Images {
    /// Image after image, line after line.
    pub pixels: Vec<u8>,
    /// Lines and columns.
    pub size: [usize; 2],
    /// What a pixel of full ink, or white, is.
    pub white: u8,
}

/// How an image becomes a row.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Reduction {
    /// Squares of this many pixels are averaged.
    pub average: usize,
    /// Every so many of the averages are taken, of each line and column.
    pub stride: usize,
    /// What black and white become.
    pub range: Span,
}

impl Images {
    /// Pixels of one image.
    pub fn area(&self) -> usize {
        self.size[0] * self.size[1]
    }

    /// The image at `index`.
    pub fn image(&self, index: usize) -> &[u8] {
        &self.pixels[index * self.area()..(index + 1) * self.area()]
    }

    /// The images at `indices`.
    pub fn select(&self, indices: &[usize]) -> Self {
        Self { pixels: indices.iter().flat_map(|&index| self.image(index)).copied().collect(), ..*self }
    }

    /// The images at `indices` as rows.
    pub fn rows(&self, indices: &[usize], reduction: &Reduction) -> Vec<f32> {
        let mut rows = Vec::with_capacity(indices.len() * reduction.width(self.size));
        for &index in indices {
            let image = self.image(index);
            reduction.reduce(self, |y, x| f32::from(image[y * self.size[1] + x]), &mut rows);
        }
        rows
    }
}

impl Reduction {
    /// Lines and columns that are left of an image of `size`.
    fn reduced(&self, size: [usize; 2]) -> [usize; 2] {
        size.map(|side| (side / self.average).div_ceil(self.stride))
    }

    /// Values of a row.
    pub fn width(&self, size: [usize; 2]) -> usize {
        self.reduced(size).iter().product()
    }

    /// Adds one row of an image with the size of `images`, whose pixels `pixel(line, column)` gives from 0 to white.
    pub fn reduce(&self, images: &Images, pixel: impl Fn(usize, usize) -> f32, row: &mut Vec<f32>) {
        let [lines, columns] = self.reduced(images.size);
        let (average, step) = (self.average, self.average * self.stride);
        let scale = 1.0 / (f32::from(images.white) * (average * average) as f32);
        for (line, column) in (0..lines).flat_map(|line| (0..columns).map(move |column| (line, column))) {
            let (top, left) = (line * step, column * step);
            let square = (top..top + average).flat_map(|y| (left..left + average).map(move |x| (y, x)));
            let sum: f32 = square.map(|(y, x)| pixel(y, x)).sum();
            row.push(self.range.at(sum * scale));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn images() -> Images {
        Images { pixels: vec![0, 255, 255, 255, 0, 255, 255, 255, 1, 2, 3, 4, 5, 6, 7, 8], size: [4, 4], white: 255 }
    }

    fn row(average: usize, stride: usize, range: Span) -> Vec<f32> {
        images().rows(&[0], &Reduction { average, stride, range })
    }

    #[test]
    fn squares_are_averaged_and_lines_thinned_out() {
        let close = |a: Vec<f32>, b: &[f32]| a.len() == b.len() && a.iter().zip(b).all(|(a, b)| (a - b).abs() < 1e-6);
        assert!(close(row(2, 1, Span::default()), &[0.5, 1.0, 14.0 / 4.0 / 255.0, 22.0 / 4.0 / 255.0]));
        assert!(close(row(1, 2, Span::default()), &[0.0, 1.0, 1.0 / 255.0, 3.0 / 255.0]));
        assert!(close(row(1, 3, Span::default()), &[0.0, 1.0, 5.0 / 255.0, 8.0 / 255.0]));
        assert!(close(row(2, 2, Span::default()), &[0.5]));
        assert_eq!(row(1, 1, Span::default()).len(), 16);
        assert_eq!(row(1, 1, Span::default())[1], 1.0);
    }

    #[test]
    fn black_and_white_become_the_ends_of_the_range() {
        let row = row(1, 1, Span { low: -0.5, high: 3.0 });
        assert_eq!((row[0], row[1]), (-0.5, 3.0));
    }
}
