//! The embedded digits: Alpaydin and Kaynak, "Optical Recognition of Handwritten Digits", UCI, 1998, as the `smartcore`
//! library ships them.

use super::augmentation::Augmented;
use super::pixels::{Images, Reduction};
use super::split::{Chosen, Parts, classes};
use super::{Asked, Dataset, DigitsConfig, Meaning, Rows, Targets};
use crate::Error;

/// Pixels are counts of ink in squares of 4×4: 0 to 16.
const INK: u8 = 16;
/// Pixels of a line, and lines.
const SIDE: usize = 8;

/// The digits, split.
pub fn dataset(config: &DigitsConfig, asked: Asked<'_>) -> Result<Dataset, Error> {
    let (images, labels) = load()?;
    let reduction = Reduction { average: 1, stride: 1, range: config.range };
    let width = reduction.width(images.size);
    let all: Vec<usize> = (0..labels.len()).collect();
    let parts = Parts { test: config.test, validation: config.validation, train: config.train };
    let Chosen { train, validation, test } = config.split.choose(&labels, parts, asked)?;
    let words = (0..classes(&labels)).map(|class| class.to_string()).collect();
    let rows = Rows { values: images.rows(&all, &reduction), targets: Targets::Classes(labels), numbers: all };
    let augmented = config.augmentation.clone().map(|config| Augmented {
        images: images.select(&train),
        reduction,
        config,
        key: asked.key.branch("augmentation"),
    });
    Ok(Dataset {
        name: "digits".to_owned(),
        width,
        meaning: Meaning::Classes(words),
        train: rows.select(&train, width),
        validation: rows.select(&validation, width),
        test: rows.select(&test, width),
        augmented,
        drawn: None,
        columns: vec![],
    })
}

/// All 1,797 digits and their labels.
fn load() -> Result<(Images, Vec<u32>), Error> {
    let dataset = smartcore::dataset::digits::load_dataset();
    if dataset.data.len() != dataset.num_samples * SIDE * SIDE || dataset.target.len() != dataset.num_samples {
        return Err(Error::Data(
            "the embedded digits are not 64 pixels each: the `smartcore` library has changed them".into(),
        ));
    }
    let pixels = dataset.data.iter().map(|&pixel| pixel as u8).collect();
    let labels = dataset.target.iter().map(|label| *label as u32).collect();
    Ok((Images { pixels, size: [SIDE, SIDE], white: INK }, labels))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_are_1797_digits_of_ten_classes_between_0_and_16() {
        let (images, labels) = load().unwrap();
        assert_eq!((labels.len(), images.pixels.len()), (1797, 1797 * 64));
        assert!(images.pixels.iter().all(|&pixel| pixel <= INK) && images.pixels.contains(&INK));
        for digit in 0..10 {
            let count = labels.iter().filter(|&&label| label == digit).count();
            assert!((170..=185).contains(&count), "{count} of digit {digit}");
        }
    }
}
