//! The words of an objective: its name, its scores with their direction, what its loss and its baseline are called, what a figure of it shows.
//!
//! Records, tables, figures and the dashboard speak of scores by these names; what computes them is `training/objective/`.

// Circle with scores/keyed.rs: values by key say whose they are, and an objective makes them; split for its length.

mod keyed;

use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

pub use keyed::Keyed;

/// What is learned.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum ObjectiveKind {
    /// A class for each row: cross-entropy, judged by accuracy. Needs data with labels.
    #[default]
    Classify,
    /// A class for each row, of classes in groups: cross-entropy in each group, judged by accuracy. Says as well what is of no group. Needs
    /// data with labels.
    Groups,
    /// Numbers for each row: mean squared error, judged by NRMSE and R². Needs data with targets.
    Regress,
    /// A texture: sliced optimal transport between patches, judged by a distance. Needs an image and `[cells]`.
    Texture,
    /// Images like those of the data, made of latents: sliced optimal transport, judged by a distance. Needs data with classes, whose rows
    /// are images.
    Generate,
    /// Sequences like those of the data, by moving a generator: sliced optimal transport of windows, or critics, judged by a distance. Needs `[motion]`.
    Motion,
}

/// Which end of a score is the good one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Better {
    /// More is better.
    Higher,
    /// Less is better.
    Lower,
}

/// One way to judge a network.
#[derive(Debug, PartialEq)]
pub struct Score {
    /// In files: `accuracy` is `test_accuracy` of the test set.
    pub name: &'static str,
    /// In tables and sentences.
    pub words: &'static str,
    /// Which end is the good one.
    pub better: Better,
    /// Whether it is a fraction that is written in percent.
    pub in_percent: bool,
    /// The key of its values seed by seed.
    pub each: &'static str,
    /// What it can be.
    pub range: [f64; 2],
}

/// What the figure of a run's last test shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Picture {
    /// How often each class was given each name.
    Confusion,
    /// Predictions against targets.
    Predictions,
    /// None: what was made is drawn by a command of its own.
    Texture,
}

static CLASSIFY: [Score; 1] = [Score {
    name: "accuracy",
    words: "accuracy",
    better: Better::Higher,
    in_percent: true,
    each: "accuracies",
    range: [0.0, 1.0],
}];

static REGRESS: [Score; 2] = [
    Score {
        name: "nrmse",
        words: "NRMSE",
        better: Better::Lower,
        in_percent: false,
        each: "nrmse_of_each",
        range: [0.0, f64::INFINITY],
    },
    Score {
        name: "r2",
        words: "R²",
        better: Better::Higher,
        in_percent: false,
        each: "r2_of_each",
        range: [f64::NEG_INFINITY, 1.0],
    },
];

static TEXTURE: [Score; 1] = [Score {
    name: "distance",
    words: "distance",
    better: Better::Lower,
    in_percent: false,
    each: "distances",
    range: [f64::NEG_INFINITY, f64::INFINITY],
}];

/// Scores of an objective at most.
const MOST: usize = 2;

impl ObjectiveKind {
    /// All of them.
    pub const ALL: [Self; 6] =
        [Self::Classify, Self::Groups, Self::Regress, Self::Texture, Self::Generate, Self::Motion];
    /// Those whose scores are called differently: each is told by its scores.
    pub const JUDGED: [Self; 3] = [Self::Classify, Self::Regress, Self::Texture];

    /// The name in files.
    pub fn name(self) -> &'static str {
        match self {
            Self::Classify => "classify",
            Self::Groups => "groups",
            Self::Regress => "regress",
            Self::Texture => "texture",
            Self::Generate => "generate",
            Self::Motion => "motion",
        }
    }

    /// Its scores; the first one decides.
    pub fn scores(self) -> &'static [Score] {
        match self {
            Self::Classify | Self::Groups => &CLASSIFY,
            Self::Regress => &REGRESS,
            Self::Texture | Self::Generate | Self::Motion => &TEXTURE,
        }
    }

    /// Whose scores are its own: those that share them are one by their scores.
    pub fn judged(self) -> Self {
        match self {
            Self::Classify | Self::Groups => Self::Classify,
            Self::Regress => Self::Regress,
            Self::Texture | Self::Generate | Self::Motion => Self::Texture,
        }
    }

    /// Whether it learns data that by itself is learned by `data`.
    pub fn learns(self, data: Self) -> bool {
        match self {
            Self::Generate => data.judged() == Self::Classify,
            Self::Motion => data.judged() == Self::Classify || data == Self::Motion,
            other => other.judged() == data.judged() && data != Self::Motion,
        }
    }

    /// The score that decides.
    pub fn score(self) -> &'static Score {
        &self.scores()[0]
    }

    /// What its loss is called: in files and in sentences.
    pub fn loss(self) -> [&'static str; 2] {
        match self {
            Self::Classify => ["cross_entropy", "cross-entropy"],
            Self::Groups => ["group_cross_entropy", "sum of the groups' cross-entropies"],
            Self::Regress => ["squared_error", "squared error"],
            Self::Texture => ["transport", "transport between patches"],
            Self::Generate => ["transport", "transport between images"],
            Self::Motion => ["motion_loss", "loss of the motion"],
        }
    }

    /// What a table without physics is computed by.
    pub fn baseline(self) -> &'static str {
        match self {
            Self::Classify | Self::Groups => "logistic regression",
            Self::Regress => "least squares",
            Self::Texture | Self::Generate => "shuffled pixels",
            Self::Motion => "shuffled frames",
        }
    }

    /// What the figure of its last test shows.
    pub fn picture(self) -> Picture {
        match self {
            Self::Classify | Self::Groups => Picture::Confusion,
            Self::Regress => Picture::Predictions,
            Self::Texture | Self::Generate | Self::Motion => Picture::Texture,
        }
    }

    /// What its data must have, and where that is.
    pub fn data(self) -> [&'static str; 2] {
        match self {
            Self::Classify | Self::Groups => ["labels", "the digits, IDX files, or a CSV file with data.label"],
            Self::Regress => {
                ["targets", "a CSV file with data.targets, or the sources narma, mackey-glass and channel"]
            }
            Self::Texture => ["an image", "the source image, with a table [cells]"],
            Self::Generate => ["images with classes", "the digits, IDX files, or a CSV file with data.label"],
            Self::Motion => {
                ["sequences", "the sources frames and trace, or the digits or IDX files, with a table [motion]"]
            }
        }
    }

    /// Scores under their keys in files, part by part: `test_accuracy`, `believed_accuracy`; null where there are none.
    pub fn keyed<const N: usize>(self, parts: [(&str, Option<Scores>); N]) -> Keyed<Option<f64>> {
        let of = |score: &'static Score| {
            parts.map(|(part, scores)| (score.key(part), scores.and_then(|scores| scores.get(score.name))))
        };
        self.scores().iter().flat_map(of).collect()
    }

    /// The objective of a record, as its `run.json` says; records of before there were several classify.
    pub fn of_record(facts: &serde_json::Value) -> Self {
        serde_json::from_value(facts["objective"].clone()).unwrap_or_default()
    }

    /// The objective whose first score is among some keys, such as columns: `test_nrmse` of the test set.
    pub fn of_keys(prefix: &str, has: impl Fn(&str) -> bool) -> Option<Self> {
        Self::JUDGED.into_iter().find(|kind| has(&kind.score().key(prefix)))
    }
}

impl std::fmt::Display for ObjectiveKind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name())
    }
}

impl Score {
    /// Its key in files: `test_accuracy` of the test set, or its name alone.
    pub fn key(&self, prefix: &str) -> String {
        if prefix.is_empty() { self.name.to_owned() } else { format!("{prefix}_{}", self.name) }
    }

    /// Whether `value` is better than `other`.
    pub fn is_better(&self, value: f64, other: f64) -> bool {
        match self.better {
            Better::Higher => other < value,
            Better::Lower => value < other,
        }
    }

    /// How much better `value` is than `other`; negative where it is worse.
    pub fn lead(&self, value: f64, other: f64) -> f64 {
        match self.better {
            Better::Higher => value - other,
            Better::Lower => other - value,
        }
    }

    /// A value as it is drawn: in percent, or as it is.
    pub fn scaled(&self, value: f64) -> f64 {
        if self.in_percent { 100.0 * value } else { value }
    }

    /// A value without its unit, as tables have it.
    pub fn number(&self, value: f64) -> String {
        if self.in_percent { format!("{:.1}", 100.0 * value) } else { format!("{value:.3}") }
    }

    /// A value: `88.5 %`, `0.412`.
    pub fn show(&self, value: f64) -> String {
        format!("{}{}", self.number(value), self.unit())
    }

    /// A mean with its spread: `88.5 ± 0.3 %`.
    pub fn show_spread(&self, mean: f64, spread: f64) -> String {
        format!("{} ± {}{}", self.number(mean), self.number(spread), self.unit())
    }

    /// A value after its name, where the value alone does not say what it is: `88.5 %`, `NRMSE 0.412`.
    pub fn say(&self, value: f64) -> String {
        if self.in_percent { self.show(value) } else { format!("{} {}", self.words, self.show(value)) }
    }

    /// What an axis of it is called, such as `test accuracy, %`.
    pub fn axis(&self, before: &str) -> String {
        format!("{before}{}{}", self.words, if self.in_percent { ", %" } else { "" })
    }

    fn unit(&self) -> &'static str {
        if self.in_percent { " %" } else { "" }
    }
}

/// A value for each score of an objective.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Scores {
    kind: ObjectiveKind,
    values: [f64; MOST],
}

impl Scores {
    /// The values in the order of [`ObjectiveKind::scores`]; those that are missing are 0.
    pub fn new(kind: ObjectiveKind, values: &[f64]) -> Self {
        let mut all = [0.0; MOST];
        all.iter_mut().zip(values).for_each(|(place, value)| *place = *value);
        Self { kind: kind.judged(), values: all }
    }

    /// Whose scores they are.
    pub fn kind(&self) -> ObjectiveKind {
        self.kind
    }

    /// The value that decides.
    pub fn first(&self) -> f64 {
        self.values[0]
    }

    /// Each score with its value.
    pub fn iter(&self) -> impl Iterator<Item = (&'static Score, f64)> + '_ {
        self.kind.scores().iter().zip(self.values)
    }

    /// The value of one score, if it is one of them.
    pub fn get(&self, name: &str) -> Option<f64> {
        self.iter().find(|(score, _)| score.name == name).map(|(_, value)| value)
    }

    /// Adds a share of others.
    pub fn add(&mut self, share: f64, others: &Self) {
        self.values.iter_mut().zip(others.values).for_each(|(value, other)| *value += share * other);
    }

    /// The mean of as many that were added.
    pub fn over(mut self, count: usize) -> Self {
        self.values.iter_mut().for_each(|value| *value /= count.max(1) as f64);
        self
    }

    /// All of them in words: `88.5 %`, `NRMSE 0.412, R² 0.830`.
    pub fn say(&self) -> String {
        self.iter().map(|(score, value)| score.say(value)).collect::<Vec<_>>().join(", ")
    }

    /// A value that its score cannot have, if there is one.
    pub fn impossible(&self) -> Option<(&'static Score, f64)> {
        let can_be = |score: &Score, value: f64| {
            let [least, most] = score.range;
            value.is_finite() && (least..=most).contains(&value)
        };
        self.iter().find(|(score, value)| !can_be(score, *value))
    }

    /// The scores that stand below `prefix` in a file; none where there are none.
    pub fn read(prefix: &str, value: impl Fn(&str) -> Option<f64>) -> Option<Self> {
        let kind = ObjectiveKind::of_keys(prefix, |key| value(key).is_some())?;
        let values: Option<Vec<f64>> = kind.scores().iter().map(|score| value(&score.key(prefix))).collect();
        Some(Self::new(kind, &values?))
    }
}

impl Default for Scores {
    fn default() -> Self {
        Self::new(ObjectiveKind::default(), &[])
    }
}

/// By their names.
impl Serialize for Scores {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.iter().map(|(score, value)| (score.name.to_owned(), value)).collect::<Keyed<f64>>().serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Scores {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let named = Keyed::<f64>::deserialize(deserializer)?;
        let found = Self::read("", |key| named.get(key).copied());
        found.ok_or_else(|| serde::de::Error::custom("no objective has these scores"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scores_have_a_direction_and_words() {
        let [accuracy, nrmse, _] = ObjectiveKind::JUDGED.map(ObjectiveKind::score);
        assert!(accuracy.is_better(0.9, 0.8) && nrmse.is_better(0.1, 0.2) && !nrmse.is_better(0.2, 0.2));
        assert_eq!((accuracy.lead(0.75, 0.5), nrmse.lead(0.75, 0.5)), (0.25, -0.25));
        assert_eq!((accuracy.show(0.885), nrmse.show(0.4121)), ("88.5 %".to_owned(), "0.412".to_owned()));
        assert_eq!(accuracy.show_spread(0.9141, 0.007), "91.4 ± 0.7 %");
        assert_eq!((accuracy.axis("test "), nrmse.axis("test ")), ("test accuracy, %".into(), "test NRMSE".into()));
        let scores = Scores::new(ObjectiveKind::Regress, &[0.412, 0.83]);
        assert_eq!(scores.say(), "NRMSE 0.412, R² 0.830");
        assert_eq!((scores.get("r2"), scores.get("accuracy")), (Some(0.83), None));
        assert_eq!(Scores::new(ObjectiveKind::Classify, &[0.5]).say(), "50.0 %");
        assert_eq!(Scores::new(ObjectiveKind::Classify, &[1.5]).impossible().unwrap().0.name, "accuracy");
        assert!(Scores::new(ObjectiveKind::Regress, &[1.5, -1.25]).impossible().is_none());
        for value in [f64::NAN, f64::INFINITY, -0.5] {
            assert!(Scores::new(ObjectiveKind::Regress, &[value, 0.0]).impossible().is_some(), "{value}");
        }
    }

    #[test]
    fn every_objective_is_told_by_its_first_score_and_fits() {
        for kind in ObjectiveKind::ALL {
            assert!((1..=MOST).contains(&kind.scores().len()));
            let key = kind.score().key("believed");
            assert_eq!(ObjectiveKind::of_keys("believed", |one| one == key), Some(kind.judged()));
            assert_eq!(ObjectiveKind::of_record(&serde_json::json!({ "objective": kind })), kind);
            let scores = Scores::new(kind, &[0.25, 0.5]);
            let text = serde_json::to_string(&scores).unwrap();
            assert_eq!(
                serde_json::from_str::<Scores>(&text).unwrap(),
                Scores::new(kind, &[0.25, 0.5][..kind.scores().len()])
            );
        }
        assert_eq!(ObjectiveKind::of_record(&serde_json::json!({})), ObjectiveKind::Classify, "records of before");
        assert_eq!(ObjectiveKind::of_keys("test", |_| false), None);
    }
}
