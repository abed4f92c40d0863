//! Classes made here: Gaussian clusters, as published experiments on normalization use them.

use sims::Key;

use super::{Dataset, Meaning, Rows, Targets};

impl Dataset {
    /// Clusters of unit variance around random centers with this standard deviation, in `width` dimensions: so many rows of each part. The
    /// training rows are sorted by class where `sorted` says so.
    pub fn clusters([width, classes]: [usize; 2], spread: f32, rows: [usize; 3], sorted: bool, key: Key) -> Self {
        let mut stream = key.branch("centers").stream();
        let centers: Vec<f32> = (0..classes * width).map(|_| spread * stream.normal()).collect();
        let part = |name: &str, count: usize, sorted: bool| {
            let mut stream = key.branch(name).stream();
            let mut labels: Vec<u32> = (0..count).map(|row| (row % classes) as u32).collect();
            stream.shuffle(&mut labels);
            if sorted {
                labels.sort_unstable();
            }
            let centers = |label: u32| &centers[label as usize * width..][..width];
            let values =
                labels.iter().flat_map(|label| centers(*label)).map(|center| center + stream.normal()).collect();
            Rows { values, targets: Targets::Classes(labels), numbers: (0..count).collect() }
        };
        Self {
            name: format!("{classes} clusters in {width} dimensions"),
            width,
            meaning: Meaning::Classes((0..classes).map(|class| class.to_string()).collect()),
            train: part("train", rows[0], sorted),
            validation: part("validation", rows[1], false),
            test: part("test", rows[2], false),
            augmented: None,
            drawn: None,
            columns: vec![],
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_share_their_centers_and_sorting_changes_the_order_alone() {
        let make = |sorted| Dataset::clusters([3, 4], 5.0, [400, 8, 40], sorted, Key::new(2));
        let (data, sorted) = (make(false), make(true));
        assert_eq!((data.train.len(), data.validation.len(), data.test.len()), (400, 8, 40));
        assert!(sorted.train.labels().is_sorted() && !data.train.labels().is_sorted());
        let center = |data: &Dataset, class: u32| {
            let of = |row: &usize| data.train.labels()[*row] == class;
            let own: Vec<usize> = (0..400).filter(of).collect();
            own.iter().map(|row| data.train.values[3 * row]).sum::<f32>() / own.len() as f32
        };
        for class in 0..4 {
            // A hundred rows: a standard error of 0.1 each.
            assert!((center(&data, class) - center(&sorted, class)).abs() < 0.6);
        }
    }
}
