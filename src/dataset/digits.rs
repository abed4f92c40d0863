//! The embedded digits: Alpaydin and Kaynak, "Optical Recognition of Handwritten Digits", UCI, 1998, as the `smartcore`
//! library ships them.

use super::Rows;
use crate::Error;

/// All 1,797 digits, 64 pixels each, from 0 to 1.
pub fn load() -> Result<Rows, Error> {
    let dataset = smartcore::dataset::digits::load_dataset();
    if dataset.data.len() != dataset.num_samples * 64 || dataset.target.len() != dataset.num_samples {
        return Err(Error::Data(
            "the embedded digits are not 64 pixels each: the `smartcore` library has changed them".into(),
        ));
    }
    // Pixels are counts of ink in squares of 4×4: 0 to 16.
    let values = dataset.data.iter().map(|pixel| pixel / 16.0).collect();
    Ok(Rows { values, labels: dataset.target.iter().map(|label| *label as u32).collect() })
}

#[cfg(test)]
mod tests {
    #[test]
    fn there_are_1797_digits_of_ten_classes_between_0_and_1() {
        let rows = super::load().unwrap();
        assert_eq!((rows.len(), rows.values.len()), (1797, 1797 * 64));
        assert!(rows.values.iter().all(|value| (0.0..=1.0).contains(value)));
        for digit in 0..10 {
            let count = rows.labels.iter().filter(|&&label| label == digit).count();
            assert!((170..=185).contains(&count), "{count} of digit {digit}");
        }
    }
}
