//! Classes in groups made here: Gaussian classes around centers of groups, with rows of groups and classes that nobody learns.

use sims::Key;

use super::{Dataset, Meaning, Rows, Targets};

/// How large such data is, and how its centers are spread, in deviations of the rows of a class.
#[derive(Debug, Clone, Copy)]
pub struct Hierarchy {
    /// Groups.
    pub groups: usize,
    /// Classes of all groups.
    pub classes: usize,
    /// Values of a row.
    pub width: usize,
    /// Of the groups' centers.
    pub group_spread: f32,
    /// Of the classes' centers around those of their groups.
    pub class_spread: f32,
}

/// Data with rows that are unknown to it.
#[derive(Debug, Clone)]
pub struct Hierarchical {
    /// What is learned; its classes are not in groups.
    pub data: Dataset,
    /// The classes of each group, by their names.
    pub groups: Vec<Vec<String>>,
    /// Rows of classes in as many other groups.
    pub new_groups: Rows,
    /// Rows of other classes in the same groups.
    pub near: Rows,
}

impl Hierarchy {
    /// So many training, test and unknown rows of either kind.
    pub fn draw(&self, [train, test, unknown]: [usize; 3], key: Key) -> Hierarchical {
        let Self { groups, classes, width, .. } = *self;
        let centers = |name: &str, count: usize, spread: f32| {
            let mut stream = key.branch(name).stream();
            (0..count).map(|_| (0..width).map(|_| spread * stream.normal()).collect()).collect::<Vec<Vec<f32>>>()
        };
        let around = |groups: &[Vec<f32>], offsets: Vec<Vec<f32>>| -> Vec<Vec<f32>> {
            let of = |(class, offset): (usize, Vec<f32>)| {
                groups[class % groups.len()].iter().zip(offset).map(|(center, offset)| center + offset).collect()
            };
            offsets.into_iter().enumerate().map(of).collect()
        };
        let (own, others) =
            (centers("groups", groups, self.group_spread), centers("new groups", groups, self.group_spread));
        let offsets = |name: &str| centers(name, classes, self.class_spread);
        let (known, near) = (around(&own, offsets("classes")), around(&own, offsets("near classes")));
        let new = around(&others, offsets("classes of new groups"));
        let rows = |name: &str, count: usize, centers: &[Vec<f32>]| {
            let mut stream = key.branch(name).stream();
            let mut labels: Vec<u32> = (0..count).map(|row| (row % classes) as u32).collect();
            stream.shuffle(&mut labels);
            let values = labels
                .iter()
                .flat_map(|label| &centers[*label as usize])
                .map(|center| center + stream.normal())
                .collect();
            Rows { values, targets: Targets::Classes(labels), numbers: (0..count).collect() }
        };
        let names: Vec<String> = (0..classes).map(|class| class.to_string()).collect();
        let of_group = |group: usize| names.iter().skip(group).step_by(groups).cloned().collect();
        Hierarchical {
            groups: (0..groups).map(of_group).collect(),
            new_groups: rows("rows of new groups", unknown, &new),
            near: rows("rows of near classes", unknown, &near),
            data: Dataset {
                name: format!("{classes} classes in {groups} groups"),
                width,
                meaning: Meaning::Classes(names),
                train: rows("train", train, &known),
                validation: Rows::default(),
                test: rows("test", test, &known),
                augmented: None,
                drawn: None,
                columns: vec![],
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn classes_lie_around_their_groups_and_new_groups_elsewhere() {
        let shape = Hierarchy { groups: 3, classes: 9, width: 20, group_spread: 3.0, class_spread: 0.5 };
        let made = shape.draw([450, 90, 90], Key::new(5));
        assert_eq!(made.groups[1], ["1", "4", "7"]);
        let mean = |rows: &Rows, wanted: &dyn Fn(u32) -> bool| {
            let own: Vec<usize> = (0..rows.len()).filter(|row| wanted(rows.labels()[*row])).collect();
            (0..20)
                .map(|column| own.iter().map(|row| rows.values[20 * row + column]).sum::<f32>() / own.len() as f32)
                .collect::<Vec<f32>>()
        };
        let distance = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(a, b)| (a - b).powi(2)).sum::<f32>().sqrt();
        let group = |group: u32| move |label: u32| label % 3 == group;
        let first = mean(&made.data.train, &group(0));
        // Offsets of 0.5 in 20 directions, over three classes; groups are some 19 apart.
        assert!(distance(&first, &mean(&made.near, &group(0))) < 5.0);
        assert!(distance(&first, &mean(&made.data.test, &group(0))) < 2.0);
        for other in 0..3 {
            assert!(distance(&first, &mean(&made.new_groups, &group(other))) > 8.0);
        }
        assert!(distance(&first, &mean(&made.data.train, &group(1))) > 8.0);
    }
}
