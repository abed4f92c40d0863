//! What networks for groups are held against: classes in groups, with rows of groups and classes that nobody learned, digital and through a
//! plant; and vowels, where a distance of the state is the better guard. Each as named numbers (`pnnlab reproduce mos` judges them).

// Circle with training/mos/: one experiment; split for its length.

mod state;
mod vowels;

use sims::Key;

use super::guard::scored;
use super::unknown::ScoredUnknown;
use crate::Error;
use crate::data::{Dataset, Grouping, Hierarchical, Hierarchy, Rows};
use crate::document::Document;
use crate::network::Network;
use crate::plants::{Derivatives, Lab, Rig};
use crate::scores::ObjectiveKind;
use crate::training::batchnorm::Finding;
use crate::training::{Experiment, ObjectiveConfig, Trainer};

pub use state::{cost, false_alarms};
pub use vowels::{VOWELS, vowels};

/// 96 classes in 8 groups, 48 values: some 6 % of the rows lie nearer to another class.
const SHAPE: Hierarchy = Hierarchy { groups: 8, classes: 96, width: 48, group_spread: 2.0, class_spread: 0.6 };
/// Rows to learn from, to test on, and unknown ones of either kind.
const ROWS: [usize; 3] = [9600, 1920, 1920];

/// What computes the features below the head.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Body {
    /// 96 rectified values.
    Digital,
    /// The electrical plant between two digital layers.
    Electrical,
}

impl Body {
    /// Its name in findings.
    pub fn name(self) -> &'static str {
        match self {
            Self::Digital => "digital",
            Self::Electrical => "electrical",
        }
    }

    /// The experiment, with a head of so many outputs.
    fn experiment(self, steps: usize, outputs: usize) -> String {
        let head = format!("[[layers]]\nkind = \"linear\"\nwidth = {outputs}\n");
        let relu = "[[layers]]\nkind = \"activation\"\nfunction = \"relu\"\n";
        let linear = |width: usize| format!("[[layers]]\nkind = \"linear\"\nwidth = {width}\n");
        let layers = match self {
            Self::Digital => format!("{}{relu}{head}", linear(96)),
            // Features become the drive, each held over four samples; readings are the features of the head.
            Self::Electrical => format!(
                "[plants.electrical.simulated]\nsamples = 256\n{}[[layers]]\nkind = \"repeat\"\nwidth = 256\norder = \"hold\"\n\
                 [[layers]]\nkind = \"scale\"\nscale = 0.1\n[[layers]]\nkind = \"physical\"\nplant = \"electrical\"\n\
                 [[layers]]\nkind = \"normalize\"\nepsilon = 1e-8\n{}{relu}{head}",
                linear(64),
                linear(96)
            ),
        };
        format!(
            "name = \"mos\"\n[data]\nsource = \"digits\"\n[training]\nsteps = {steps}\nbatch = 128\nlearning_rate = 0.01\nrange_penalty = 2.0\nevaluate_every = 0\n{layers}"
        )
    }

    fn lab(self, document: &Document, seed: u64) -> Result<Lab, Error> {
        let plants: &[&str] = if self == Self::Electrical { &["electrical"] } else { &[] };
        Lab::new(Rig::find(None, document)?.open(plants, seed)?, Derivatives::Twin)
    }
}

/// The objective for these groups.
fn grouped(groups: &[Vec<String>]) -> ObjectiveConfig {
    ObjectiveConfig {
        kind: ObjectiveKind::Groups,
        grouping: Grouping::Taxonomy,
        groups: groups.to_vec(),
        count: None,
        latent: None,
        told: false,
    }
}

/// The accuracy of a network that was trained on `data`, and what it says of each set of unknown rows.
struct Told {
    accuracy: f64,
    unknown: Vec<Vec<ScoredUnknown>>,
}

/// Trains a network by physics-aware training, and scores unknown rows on its plant.
fn told(body: Body, data: &Dataset, unknown: &[&Rows], steps: usize, seed: u64) -> Result<Told, Error> {
    let text = body.experiment(steps, data.meaning.len());
    let document = Document::parse("mos", &text)?;
    let experiment: Experiment = document.check()?;
    let mut lab = body.lab(&document, seed)?;
    let network = Network::build(&experiment.layers, &document, &lab, data)?;
    let training = &experiment.training;
    let mut trainer = Trainer::new(network, data, training, training.method, Key::new(seed));
    trainer.updates(steps, &mut lab)?;
    if body == Body::Electrical {
        trainer.measure_all(None, &mut lab)?;
    }
    let accuracy = trainer.test_scores(&mut lab)?.first();
    let of = |rows: &&Rows| scored(&trainer, (data, rows), Key::new(seed), &mut lab).map(|(scores, ..)| scores);
    Ok(Told { accuracy, unknown: unknown.iter().map(of).collect::<Result<Vec<_>, Error>>()? })
}

/// One number of one score.
fn fpr95(scores: &[ScoredUnknown], name: &str) -> f64 {
    scores.iter().find(|score| score.score == name).map_or(f64::NAN, |score| score.detection.fpr95)
}

/// B1 and B2 for one seed: a flat head and one for groups on the same body.
pub fn hierarchy(body: Body, seed: u64, steps: usize) -> Result<Vec<Finding>, Error> {
    let Hierarchical { data, groups, new_groups, near } = SHAPE.draw(ROWS, Key::new(seed).branch("mos"));
    let document = Document::parse("mos", "")?;
    let in_groups = grouped(&groups).apply(data.clone(), &document, Key::new(seed))?;
    let flat = told(body, &data, &[&new_groups, &near], steps, seed)?;
    let of_groups = told(body, &in_groups, &[&new_groups, &near], steps, seed)?;
    let name = body.name();
    let mut found = vec![
        Finding::new(format!("{name}: accuracy of the flat head"), flat.accuracy),
        Finding::new(format!("{name}: accuracy of the head for groups"), of_groups.accuracy),
    ];
    for (place, kind) in ["new groups", "near classes"].into_iter().enumerate() {
        for score in ["softmax", "energy", "odin", "kl-matching", "mahalanobis"] {
            found.push(Finding::new(
                format!("{name}, {kind}: FPR95 by {score}, flat head"),
                fpr95(&flat.unknown[place], score),
            ));
        }
        found.push(Finding::new(format!("{name}, {kind}: FPR95 by mos"), fpr95(&of_groups.unknown[place], "mos")));
    }
    Ok(found)
}

/// The same classes in groups by the means of the classes, and at random: what a taxonomy is worth.
pub fn groupings(seed: u64, steps: usize) -> Result<Vec<Finding>, Error> {
    let Hierarchical { data, new_groups, .. } = SHAPE.draw(ROWS, Key::new(seed).branch("mos"));
    let document = Document::parse("mos", "")?;
    let mut found = Vec::new();
    for (grouping, name) in [(Grouping::Clusters, "clusters"), (Grouping::Random, "random")] {
        let config = ObjectiveConfig {
            kind: ObjectiveKind::Groups,
            grouping,
            groups: vec![],
            count: Some(SHAPE.groups),
            latent: None,
            told: false,
        };
        let grouped = config.apply(data.clone(), &document, Key::new(seed))?;
        let told = told(Body::Electrical, &grouped, &[&new_groups], steps, seed)?;
        found.push(Finding::new(
            format!("electrical, groups by {name}: FPR95 by mos on new groups"),
            fpr95(&told.unknown[0], "mos"),
        ));
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_head_for_groups_behind_a_plant_knows_new_groups() {
        let found = hierarchy(Body::Electrical, 3, 120).unwrap();
        let of = |name: &str| found.iter().find(|finding| finding.name == name).unwrap().value;
        assert!(of("electrical: accuracy of the head for groups") > 0.3, "{found:?}");
        let [mos, softmax] =
            ["mos", "softmax, flat head"].map(|by| of(&format!("electrical, new groups: FPR95 by {by}")));
        assert!(mos < softmax, "{found:?}");
    }
}
