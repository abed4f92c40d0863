//! Settings of a sweep: every combination of the keys' values, or some drawn at random.

use sims::Key;

use crate::Error;

/// A key with the values that it takes.
#[derive(Debug, Clone, PartialEq)]
pub struct Axis {
    /// The key.
    pub key: String,
    /// Its values.
    pub values: Values,
}

/// What a key takes.
#[derive(Debug, Clone, PartialEq)]
pub enum Values {
    /// These.
    These(Vec<String>),
    /// Anything between two ends, evenly, or evenly in the logarithm where the higher one is ten times the lower one or more.
    Between(f64, f64),
    /// The same of whole numbers, both ends among them.
    Whole(f64, f64),
}

/// Draws for each setting, until one is given up that was drawn before.
const TRIES: usize = 20;
/// Decimals from which on a number is written with an exponent.
const MOST_DECIMALS: i32 = 12;

/// Each key with a value.
#[derive(Debug, Clone, PartialEq)]
pub struct Setting {
    /// In the order of the keys.
    pub values: Vec<(String, String)>,
    /// The value of the first key; of one that is no number, its place among the values.
    pub number: f64,
}

impl Axis {
    /// Reads `1,2,3` or `0.001..0.1`.
    pub fn read(key: &str, text: &str) -> Result<Self, Error> {
        let refuse = |message: String| Err(Error::Usage(format!("--values {text}: {message}")));
        let values = if let Some((low_text, high_text)) = text.split_once("..") {
            match (low_text.trim().parse::<f64>(), high_text.trim().parse::<f64>()) {
                (Ok(low), Ok(high)) if low < high && (high - low).is_finite() => {
                    let is_whole = [low_text, high_text].iter().all(|end| end.trim().parse::<i32>().is_ok());
                    if is_whole { Values::Whole(low, high) } else { Values::Between(low, high) }
                }
                _ => return refuse(format!("`{key}` needs two numbers, the lower one first, such as 0.001..0.1")),
            }
        } else {
            let these: Vec<String> = text.split(',').map(|value| value.trim().to_owned()).collect();
            if these.iter().any(String::is_empty) {
                return refuse(format!("`{key}` has an empty value: separate values by single commas"));
            }
            if let Some(twice) = (0..these.len()).find(|&index| these[..index].contains(&these[index])) {
                return Err(Error::Usage(format!("--values names {} twice: name each value once", these[twice])));
            }
            Values::These(these)
        };
        Ok(Self { key: key.to_owned(), values })
    }

    /// The number of a value: itself, or its place.
    fn number(&self, value: &str) -> f64 {
        let place = || match &self.values {
            Values::These(these) => these.iter().position(|known| known == value).unwrap_or(0) as f64,
            Values::Between(..) | Values::Whole(..) => 0.0,
        };
        value.parse::<f64>().ok().filter(|number| number.is_finite()).unwrap_or_else(place)
    }
}

impl Setting {
    fn of(axes: &[Axis], values: Vec<String>) -> Self {
        let number = axes.first().zip(values.first()).map_or(0.0, |(axis, value)| axis.number(value));
        Self { values: axes.iter().map(|axis| axis.key.clone()).zip(values).collect(), number }
    }

    /// Each key with its value.
    pub fn words(&self) -> String {
        self.values.iter().map(|(key, value)| format!("{key}={value}")).collect::<Vec<_>>().join(", ")
    }

    /// The values alone, as part of a folder's name.
    pub fn name(&self) -> String {
        let values: Vec<&str> = self.values.iter().map(|(_, value)| value.as_str()).collect();
        values.join(",").replace(['/', '\\', '"', ' '], "_")
    }
}

/// Every combination, the last key fastest.
pub fn grid(axes: &[Axis]) -> Result<Vec<Setting>, Error> {
    let mut all: Vec<Vec<String>> = vec![vec![]];
    for axis in axes {
        let Values::These(these) = &axis.values else {
            let message =
                format!("`{}` takes anything between two ends: say how many are drawn with --random", axis.key);
            return Err(Error::Usage(format!("--values: {message}")));
        };
        let longer = |start: &Vec<String>, value: &String| [start.as_slice(), std::slice::from_ref(value)].concat();
        all = all.iter().flat_map(|start| these.iter().map(move |value| longer(start, value))).collect();
    }
    Ok(all.into_iter().map(|values| Setting::of(axes, values)).collect())
}

/// `count` settings drawn by `key`, each once; of fewer combinations all.
pub fn drawn(axes: &[Axis], count: usize, key: Key) -> Result<Vec<Setting>, Error> {
    let mut stream = key.branch("sweep").stream();
    if axes.iter().all(|axis| matches!(axis.values, Values::These(_))) {
        let mut all = grid(axes)?;
        stream.shuffle(&mut all);
        all.truncate(count);
        return Ok(all);
    }
    let mut draw = |axis: &Axis| match &axis.values {
        Values::These(these) => {
            let place = (f64::from(stream.uniform()) * these.len() as f64) as usize;
            these[place.min(these.len() - 1)].clone()
        }
        Values::Between(low, high) => words(between([*low, *high], f64::from(stream.uniform()))),
        Values::Whole(low, high) => {
            let value = between([*low, high + 1.0], f64::from(stream.uniform())).floor();
            format!("{:.0}", value.min(*high))
        }
    };
    let mut all: Vec<Setting> = Vec::new();
    for _ in 0..TRIES * count {
        if all.len() == count {
            break;
        }
        let setting = Setting::of(axes, axes.iter().map(&mut draw).collect());
        if !all.contains(&setting) {
            all.push(setting);
        }
    }
    Ok(all)
}

/// The value that lies such a fraction of the way between two ends, on a straight or on a logarithmic scale.
fn between([low, high]: [f64; 2], fraction: f64) -> f64 {
    let is_wide = 0.0 < low && 10.0 * low <= high;
    if is_wide { low * (high / low).powf(fraction) } else { low + (high - low) * fraction }
}

/// A number of four digits, which tell settings apart and can be typed again.
fn words(value: f64) -> String {
    let digits = 3 - value.abs().max(f64::MIN_POSITIVE).log10().floor() as i32;
    let decimals = digits.max(0) as usize;
    if MOST_DECIMALS < digits { format!("{value:.3e}") } else { format!("{value:.decimals$}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn axes(texts: &[(&str, &str)]) -> Vec<Axis> {
        texts.iter().map(|(key, text)| Axis::read(key, text).unwrap()).collect()
    }

    #[test]
    fn a_grid_has_every_combination_once() {
        let grid = grid(&axes(&[("a", "1,2"), ("b", "x,y,z")])).unwrap();
        let words: Vec<String> = grid.iter().map(Setting::words).collect();
        assert_eq!(words, ["a=1, b=x", "a=1, b=y", "a=1, b=z", "a=2, b=x", "a=2, b=y", "a=2, b=z"]);
        assert_eq!((grid[4].number, grid[4].name()), (2.0, "2,y".to_owned()));
        let words = axes(&[("b", "x,y")]);
        assert_eq!(super::grid(&words).unwrap()[1].number, 1.0, "the place of a value that is no number");
    }

    #[test]
    fn drawn_settings_depend_on_the_seed_alone() {
        let all = axes(&[("a", "1,2,3"), ("b", "4,5,6")]);
        let few = drawn(&all, 5, Key::new(1)).unwrap();
        assert_eq!(few, drawn(&all, 5, Key::new(1)).unwrap());
        assert_ne!(few, drawn(&all, 5, Key::new(2)).unwrap());
        assert!((0..5).all(|index| !few[..index].contains(&few[index])), "each once");
        assert_eq!(drawn(&all, 50, Key::new(1)).unwrap().len(), 9, "no more than there are");
        let between = drawn(&axes(&[("rate", "0.001..0.1"), ("a", "1,2")]), 40, Key::new(1)).unwrap();
        let rates: Vec<f64> = between.iter().map(|setting| setting.number).collect();
        assert!(rates.iter().all(|rate| (0.001..=0.1).contains(rate)));
        let low = rates.iter().filter(|rate| **rate < 0.01).count();
        assert!((10..=30).contains(&low), "evenly in the logarithm: {low} of 40 in the lower decade");
        let tiny = drawn(&axes(&[("rate", "1e-15..1e-13")]), 20, Key::new(1)).unwrap();
        assert!(tiny.iter().all(|setting| 9e-16 < setting.number && setting.number < 1.1e-13), "{tiny:?}");
    }

    #[test]
    fn ends_without_a_decimal_point_give_whole_numbers_each_once() {
        let of = |text: &str, count: usize| {
            let settings = drawn(&axes(&[("batch", text)]), count, Key::new(1)).unwrap();
            settings.iter().map(|setting| setting.values[0].1.clone()).collect::<Vec<_>>()
        };
        let mut few = of("2..4", 3);
        few.sort();
        assert_eq!(few, ["2", "3", "4"]);
        assert!(of("8..512", 30).iter().all(|value| (8..=512).contains(&value.parse::<i32>().unwrap())));
        assert_eq!(of("0..1", 5).len(), 2, "no more than there are");
        assert!(of("8.0..32", 3).iter().any(|value| value.contains('.')));
        let small = of("1e-20..1e-19", 3);
        assert!(small.iter().all(|value| (1e-20..=1e-19).contains(&value.parse::<f64>().unwrap())), "{small:?}");
    }

    #[test]
    fn values_without_sense_are_refused_by_name() {
        let error = |text: &str| Axis::read("a", text).unwrap_err().to_string();
        assert_eq!(error("1,2,1"), "--values names 1 twice: name each value once");
        assert!(error("1,,2").contains("`a` has an empty value"));
        assert!(error("0.1..0.001").contains("the lower one first"));
        assert!(grid(&axes(&[("a", "0..1")])).unwrap_err().to_string().contains("--random"));
    }
}
