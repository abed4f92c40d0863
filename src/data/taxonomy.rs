//! Classes in groups: as the experiment lists them, as a column of the data says, by the means of the classes, or at random.
//!
//! A network for groups has an output for each class and one more for each group, *others*: none of this group (Huang and Li, arXiv
//! 2105.01879). Group after group the outputs are `others, its classes`.

// Circle with data/rows.rs: a taxonomy is found from rows, and rows may have targets in groups.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use sims::{Key, Stream};

use super::Rows;
use crate::document::{list, nearest};

/// How classes are put into groups.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Grouping {
    /// As `groups` lists them, or as the column `data.group` says.
    #[default]
    Taxonomy,
    /// Classes whose means over the training rows lie near one another (k-means).
    Clusters,
    /// At random, by the experiment's seed: what a taxonomy is worth is seen beside it.
    Random,
}

/// Some classes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Group {
    /// What it is called.
    pub name: String,
    /// Its classes, counted from 0.
    pub classes: Vec<u32>,
}

/// Every class in one group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Taxonomy {
    words: Vec<String>,
    groups: Vec<Group>,
}

/// Passes of k-means at most: it ends by itself where nothing changes.
const PASSES: usize = 100;

impl Taxonomy {
    /// Classes with these words in these groups; the rest of a sentence says why it is none.
    pub fn new(words: Vec<String>, groups: Vec<Group>) -> Result<Self, String> {
        let quoted = |class: u32| format!("`{}`", words.get(class as usize).map_or("?", String::as_str));
        if groups.len() < 2 {
            return Err(format!("are {}: at least two are needed, or `kind = \"classify\"`", groups.len()));
        }
        if let Some(group) = groups.iter().find(|group| group.classes.len() < 2) {
            let what =
                group.classes.first().map_or("no class".to_owned(), |class| format!("one class, {}", quoted(*class)));
            return Err(format!(
                "have a group `{}` with {what}: put at least two classes into each, or join it with another group",
                group.name
            ));
        }
        let mut owner: Vec<Option<&str>> = vec![None; words.len()];
        for group in &groups {
            for &class in &group.classes {
                match owner.get_mut(class as usize) {
                    Some(free @ None) => *free = Some(&group.name),
                    Some(Some(first)) => {
                        let (class, first) = (quoted(class), (*first).to_owned());
                        return Err(format!(
                            "have class {class} in `{first}` and in `{}`: put it into one of them",
                            group.name
                        ));
                    }
                    None => return Err(format!("have a class {class}, but there are {} classes", words.len())),
                }
            }
        }
        if let Some(class) = owner.iter().position(Option::is_none) {
            return Err(format!("leave out class {}: put every class into a group", quoted(class as u32)));
        }
        Ok(Self { words, groups })
    }

    /// The same from lists of words.
    pub fn of_lists(words: Vec<String>, lists: &[Vec<String>]) -> Result<Self, String> {
        let known: Vec<&str> = words.iter().map(String::as_str).collect();
        let number = |word: &String| {
            known.iter().position(|known| known == word).map(|class| class as u32).ok_or_else(|| {
                let hint = nearest(word, &known).map(|near| format!(" Did you mean `{near}`?")).unwrap_or_default();
                format!("name `{word}`, but the data has no such class: it has {}.{hint}", list(&known))
            })
        };
        let group = |(place, list): (usize, &Vec<String>)| {
            let classes = list.iter().map(number).collect::<Result<Vec<u32>, String>>()?;
            Ok(Group { name: format!("group {}", place + 1), classes })
        };
        let groups = lists.iter().enumerate().map(group).collect::<Result<Vec<Group>, String>>()?;
        Self::new(words, groups)
    }

    /// The same from the word of each row's group; the rest of a sentence says why it is none.
    pub fn of_rows(words: Vec<String>, labels: &[u32], families: &[String]) -> Result<Self, String> {
        let mut of_class: Vec<Option<&String>> = vec![None; words.len()];
        for (label, family) in labels.iter().zip(families) {
            let known = of_class[*label as usize].get_or_insert(family);
            if *known != family {
                let class = &words[*label as usize];
                return Err(format!(
                    "puts class `{class}` into `{known}` and into `{family}`: each class has one group"
                ));
            }
        }
        let mut names: Vec<&String> = of_class.iter().flatten().copied().collect();
        names.sort_unstable();
        names.dedup();
        let classes = |name: &String| {
            let own = of_class.iter().enumerate().filter(|(_, family)| **family == Some(name));
            own.map(|(class, _)| class as u32).collect()
        };
        let groups = names.iter().map(|name| Group { name: (*name).clone(), classes: classes(name) }).collect();
        Self::new(words, groups).map_err(|complaint| format!("says groups that {complaint}"))
    }

    /// `count` groups at random, as equal as can be.
    pub fn at_random(words: Vec<String>, count: usize, key: Key) -> Result<Self, String> {
        let mut order: Vec<u32> = (0..words.len() as u32).collect();
        key.branch("groups").stream().shuffle(&mut order);
        let mut owner = vec![0; words.len()];
        order.iter().enumerate().for_each(|(place, class)| owner[*class as usize] = place % count.max(1));
        Self::of_owners(words, &owner, count)
    }

    /// `count` groups of classes whose means over these rows lie near one another.
    pub fn of_clusters(
        words: Vec<String>,
        (rows, width): (&Rows, usize),
        count: usize,
        key: Key,
    ) -> Result<Self, String> {
        let mut sums = vec![(vec![0.0_f64; width], 0.0_f64); words.len()];
        for (label, row) in rows.labels().iter().zip(rows.values.chunks_exact(width.max(1))) {
            let (sum, seen) = &mut sums[*label as usize];
            sum.iter_mut().zip(row).for_each(|(sum, value)| *sum += f64::from(*value));
            *seen += 1.0;
        }
        let means: Vec<Vec<f64>> =
            sums.into_iter().map(|(sum, seen)| sum.into_iter().map(|sum| sum / seen.max(1.0)).collect()).collect();
        let owner = clusters(&means, count.min(words.len()), &mut key.branch("groups").stream());
        Self::of_owners(words, &owner, count)
    }

    /// Groups by the number of each class's.
    fn of_owners(words: Vec<String>, owner: &[usize], count: usize) -> Result<Self, String> {
        let classes = |group: usize| {
            let own = owner.iter().enumerate().filter(|(_, own)| **own == group);
            own.map(|(class, _)| class as u32).collect::<Vec<u32>>()
        };
        let name = |group: usize| format!("group {}", group + 1);
        Self::new(words, (0..count).map(|group| Group { name: name(group), classes: classes(group) }).collect())
    }

    /// What the classes are called.
    pub fn words(&self) -> &[String] {
        &self.words
    }

    /// The groups.
    pub fn groups(&self) -> &[Group] {
        &self.groups
    }

    /// Outputs of a network: the classes and the others of each group.
    pub fn outputs(&self) -> usize {
        self.words.len() + self.groups.len()
    }

    /// Each group with the place of its others; its classes follow in their order.
    pub fn places(&self) -> impl Iterator<Item = (usize, &Group)> {
        self.groups.iter().scan(0, |next, group| {
            let place = *next;
            *next += 1 + group.classes.len();
            Some((place, group))
        })
    }
}

/// The cluster of each point: k-means from centers that are drawn far from one another (k-means++), with at least two points in each, so far as
/// there are any.
fn clusters(points: &[Vec<f64>], count: usize, stream: &mut Stream) -> Vec<usize> {
    let distance = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| (a - b).powi(2)).sum::<f64>();
    let Some(first) = points.get(stream.below(points.len().max(1))) else { return vec![] };
    let mut centers = vec![first.clone()];
    while centers.len() < count {
        let near: Vec<f64> = points
            .iter()
            .map(|point| centers.iter().map(|center| distance(point, center)).fold(f64::INFINITY, f64::min))
            .collect();
        let mut left = f64::from(stream.uniform()) * near.iter().sum::<f64>();
        let drawn = near.iter().position(|share| {
            left -= share;
            left < 0.0
        });
        centers.push(points[drawn.unwrap_or(points.len() - 1)].clone());
    }
    let mut owner = vec![usize::MAX; points.len()];
    for _ in 0..PASSES {
        let nearest = |point: &Vec<f64>| {
            let each = centers.iter().enumerate().map(|(index, center)| (index, distance(point, center)));
            each.min_by(|a, b| a.1.total_cmp(&b.1)).map_or(0, |(index, _)| index)
        };
        let mut next: Vec<usize> = points.iter().map(nearest).collect();
        fill(&mut next, points, &centers, distance);
        if next == owner {
            break;
        }
        owner = next;
        for (index, center) in centers.iter_mut().enumerate() {
            let own: Vec<&Vec<f64>> =
                points.iter().zip(&owner).filter(|(_, own)| **own == index).map(|(point, _)| point).collect();
            for (column, value) in center.iter_mut().enumerate().filter(|_| !own.is_empty()) {
                *value = own.iter().map(|point| point[column]).sum::<f64>() / own.len() as f64;
            }
        }
    }
    owner
}

/// Gives clusters of fewer than two points the nearest points of those that have more than two.
fn fill(owner: &mut [usize], points: &[Vec<f64>], centers: &[Vec<f64>], distance: impl Fn(&[f64], &[f64]) -> f64) {
    let held = |owner: &[usize], index: usize| owner.iter().filter(|own| **own == index).count();
    for (index, center) in centers.iter().enumerate() {
        while held(owner, index) < 2 {
            let spare = (0..points.len()).filter(|point| owner[*point] != index && 2 < held(owner, owner[*point]));
            let nearest = spare.min_by(|a, b| distance(&points[*a], center).total_cmp(&distance(&points[*b], center)));
            let Some(nearest) = nearest else { break };
            owner[nearest] = index;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::Targets;

    fn words(words: &[&str]) -> Vec<String> {
        words.iter().map(|word| (*word).to_owned()).collect()
    }

    fn lists(groups: &[&[&str]]) -> Result<Taxonomy, String> {
        let lists: Vec<Vec<String>> = groups.iter().map(|group| words(group)).collect();
        Taxonomy::of_lists(words(&["ae", "iy", "uw", "ah"]), &lists)
    }

    #[test]
    fn every_class_is_in_one_group_of_several() {
        let taxonomy = lists(&[&["ae", "ah"], &["uw", "iy"]]).unwrap();
        let places: Vec<(usize, Vec<u32>)> =
            taxonomy.places().map(|(place, group)| (place, group.classes.clone())).collect();
        assert_eq!((places, taxonomy.outputs()), (vec![(0, vec![0, 3]), (3, vec![2, 1])], 6));
        let refused = |groups: &[&[&str]], said: &str| {
            let complaint = lists(groups).unwrap_err();
            assert!(complaint.contains(said), "{complaint}");
        };
        refused(
            &[&["ae", "iy", "uw"], &["ah"]],
            "have a group `group 2` with one class, `ah`: put at least two classes into each",
        );
        refused(&[&["ae", "iy", "uw"], &[]], "with no class");
        refused(&[&["ae", "iy"], &["uw", "iy"]], "have class `iy` in `group 1` and in `group 2`");
        refused(&[&["ae", "iy"], &["uw", "ae", "ah"]], "`ae`");
        refused(&[&["ae", "iy", "uw", "ah"]], "are 1: at least two");
        refused(&[&["ae", "iy"], &["uw", "oh"]], "name `oh`, but the data has no such class");
        let five = Taxonomy::of_lists(words(&["a", "b", "c", "d", "e"]), &[words(&["a", "b"]), words(&["c", "d"])]);
        assert!(five.unwrap_err().contains("leave out class `e`: put every class into a group"));
    }

    #[test]
    fn a_column_says_the_group_of_each_class() {
        let of =
            |families: &[&str]| Taxonomy::of_rows(words(&["a", "b", "c", "d"]), &[0, 1, 2, 3, 0], &words(families));
        let taxonomy = of(&["x", "x", "w", "w", "x"]).unwrap();
        let groups: Vec<(&str, &[u32])> =
            taxonomy.groups().iter().map(|group| (&group.name[..], &group.classes[..])).collect();
        assert_eq!(groups, [("w", &[2, 3][..]), ("x", &[0, 1])]);
        assert!(of(&["x", "x", "w", "w", "w"]).unwrap_err().contains("puts class `a` into `x` and into `w`"));
        assert!(
            of(&["x", "y", "w", "w", "x"]).unwrap_err().contains("says groups that have a group `x` with one class")
        );
    }

    #[test]
    fn clusters_are_those_that_lie_together_and_chance_deals_evenly() {
        // Twelve classes around three places.
        let place = |class: usize| [[0.0, 0.0], [9.0, 0.0], [0.0, 9.0]][class % 3];
        let mut stream = Key::new(4).stream();
        let labels: Vec<u32> = (0..240).map(|row| row % 12).collect();
        let values =
            labels.iter().flat_map(|label| place(*label as usize).map(|value| value + stream.normal())).collect();
        let rows = Rows { values, targets: Targets::Classes(labels), numbers: vec![] };
        let names: Vec<String> = (0..12).map(|class| class.to_string()).collect();
        for seed in 0..20 {
            let found = Taxonomy::of_clusters(names.clone(), (&rows, 2), 3, Key::new(seed)).unwrap();
            for group in found.groups() {
                assert!(group.classes.iter().all(|class| class % 3 == group.classes[0] % 3), "{seed}: {found:?}");
            }
            let sizes =
                |taxonomy: &Taxonomy| taxonomy.groups().iter().map(|group| group.classes.len()).collect::<Vec<_>>();
            assert_eq!(sizes(&Taxonomy::at_random(names.clone(), 5, Key::new(seed)).unwrap()), [3, 3, 2, 2, 2]);
            // More groups than places: none is left with one class.
            assert!(
                sizes(&Taxonomy::of_clusters(names.clone(), (&rows, 2), 6, Key::new(seed)).unwrap())
                    .iter()
                    .all(|size| *size > 1)
            );
        }
        assert!(Taxonomy::at_random(names, 7, Key::new(1)).unwrap_err().contains("with one class"));
    }
}
